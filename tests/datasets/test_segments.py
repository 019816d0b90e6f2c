"""Correlation structures: patterns, bounds, population correlations, margins."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from sparsestat.datasets import make_correlation_structures

VARIANTS = ["correlated", "raw", "non_normal", "downsampled"]


def upper(R):
    return np.array([R[0, 1], R[0, 2], R[1, 2]])


def test_there_are_23_patterns_of_which_11_are_valid():
    data = make_correlation_structures(2, lengths=[60], random_state=0)
    assert data.targets.shape == data.relaxed.shape == (23, 3)
    valid = []
    for target, relaxed in zip(data.targets, data.relaxed, strict=True):
        for triple, bound in ((target, None), (relaxed, -1e-12)):
            C = np.eye(3)
            C[np.triu_indices(3, 1)] = triple
            smallest = np.linalg.eigvalsh(C + C.T - np.eye(3))[0]
            if bound is None:
                valid.append(smallest > -1e-12)
            else:
                assert smallest > bound
    assert sum(valid) == 11
    two = np.count_nonzero(data.targets, axis=1) == 2
    np.testing.assert_array_equal(two, ~np.array(valid))
    np.testing.assert_array_equal(
        np.sort(np.abs(data.relaxed[two]), axis=1), np.tile([0, 0.70, 0.71], (12, 1))
    )


def test_population_correlations_of_clipped_patterns():
    data = make_correlation_structures(2, lengths=[60], random_state=0)
    two = np.count_nonzero(data.targets, axis=1) == 2
    np.testing.assert_allclose(
        data.population[~two], data.targets[~two], rtol=0, atol=1e-12
    )
    # Eigenvalues 1 + sqrt(2), 1, 1 - sqrt(2), the last one set to zero: the series with
    # two strong correlations has variance a, the others b, with covariances below.
    a, b = (1 + np.sqrt(2)) / 2, (3 + np.sqrt(2)) / 4
    strong = (2 + np.sqrt(2)) / 4 / np.sqrt(a * b)
    weak = (np.sqrt(2) - 1) / 4 / b
    for target, found in zip(data.targets[two], data.population[two], strict=True):
        sign = np.prod(target[target != 0])
        exact = np.where(target != 0, strong * target, weak * sign)
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-12)
    exact = make_correlation_structures(
        2, lengths=[60], method="cholesky", random_state=0
    )
    np.testing.assert_allclose(exact.population, exact.relaxed, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["loadings", "cholesky"])
@pytest.mark.parametrize("standardize", [False, True])
def test_sample_correlations_match_the_population(method, standardize):
    data = make_correlation_structures(
        23, lengths=[20_000], method=method, standardize=standardize, random_state=0
    )
    position = {int(k): i for i, k in enumerate(data.pattern_ids)}
    for start, stop, pattern in data.segments:
        part = data.X[start:stop]
        found = upper(np.corrcoef(part, rowvar=False))
        np.testing.assert_allclose(
            found, data.population[position[int(pattern)]], atol=5 / np.sqrt(20_000)
        )
        if standardize or method == "cholesky":
            np.testing.assert_allclose(part.var(axis=0), 1.0, atol=0.06)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("missing", [0.0, 0.3, 0.9])
def test_segments_cover_every_row_once(variant, missing):
    data = make_correlation_structures(
        30, variant=variant, missing=missing, lengths=[125, 300], random_state=1
    )
    s = data.segments
    assert s["start"][0] == 0 and s["stop"][-1] == len(data.X)
    np.testing.assert_array_equal(s["start"][1:], s["stop"][:-1])
    labels = np.repeat(s["pattern_id"], s["stop"] - s["start"])
    np.testing.assert_array_equal(labels, data.labels)
    assert np.all(np.diff(data.time_index) > 0)
    assert np.all(s["pattern_id"][1:] != s["pattern_id"][:-1])
    assert np.isfinite(data.X).all()
    full = 15 * (125 + 300) if variant != "downsampled" else 15 * (3 + 5)
    assert len(data.X) == round((1 - missing) * full)


def test_patterns_and_default_lengths_are_balanced():
    data = make_correlation_structures(100, random_state=0)
    _, counts = np.unique(data.segments["pattern_id"], return_counts=True)
    assert set(counts) == {4, 5} and len(counts) == 23
    sizes = data.segments["stop"] - data.segments["start"]
    assert np.sum(sizes >= 21600) == 25
    assert sizes.min() == 900 and sizes.max() == 36000


def test_downsampled_rows_are_means_of_a_minute():
    kwargs = {"lengths": [150], "random_state": 3}
    fine = make_correlation_structures(3, **kwargs)
    coarse = make_correlation_structures(3, variant="downsampled", **kwargs)
    expected = [
        fine.X[s + lo : s + hi].mean(axis=0)
        for s in (0, 150, 300)
        for lo, hi in ((0, 60), (60, 120), (120, 150))
    ]
    np.testing.assert_allclose(coarse.X, expected, rtol=1e-12)
    np.testing.assert_array_equal(
        coarse.time_index, [0, 60, 120, 150, 210, 270, 300, 360, 420]
    )


def test_skewed_margins_keep_the_ranks():
    kwargs = {"lengths": [20_000], "random_state": 5, "patterns": "valid"}
    normal = make_correlation_structures(4, **kwargs)
    skewed = make_correlation_structures(4, variant="non_normal", **kwargs)
    for start, stop, _ in normal.segments:
        one = spearmanr(normal.X[start:stop]).statistic
        two = spearmanr(skewed.X[start:stop]).statistic
        np.testing.assert_allclose(one, two, atol=1e-2)
    assert skewed.X[:, 1].min() == 0
    assert np.all(skewed.X[:, 1] == skewed.X[:, 1].round())


def test_geometric_quantiles_agree_with_scipy():
    from scipy.stats import nbinom, norm

    from sparsestat.datasets._segments import _skewed

    x = np.linspace(-4, 4, 1001)
    found = _skewed(np.column_stack([x, x, x]))[:, 1]
    np.testing.assert_array_equal(found, nbinom(1, 0.05).ppf(norm.cdf(x)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_seed_same_bytes(variant):
    kwargs = {"variant": variant, "lengths": [100], "missing": 0.2}
    one = make_correlation_structures(5, random_state=2, **kwargs)
    two = make_correlation_structures(5, random_state=2, **kwargs)
    assert one.X.tobytes() == two.X.tobytes()
    np.testing.assert_array_equal(one.segments, two.segments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patterns": [14]}, r"unknown identifiers \[14\]"),
        ({"patterns": [1]}, "at least two patterns"),
        ({"lengths": [0, 10]}, "must be positive"),
        ({"lengths": [1.5]}, "sequence of integers"),
        ({"missing": 1.0}, "missing"),
        ({"variant": "noisy"}, "variant"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_correlation_structures(3, **arguments)
