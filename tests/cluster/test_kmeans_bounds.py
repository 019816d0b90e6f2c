"""Bounds of K-means partitions against their formulas, allowances included.

Allowances are far below what results can show. Where they are asserted, one operation
is taken to lose 1e-5 instead of half a unit in the last place.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import linalg, sparse, stats
from scipy.spatial.distance import cdist

from sparsestat._utils.arithmetic import Standardization, power_of_two
from sparsestat.cluster import (
    KMeansCertificate,
    _certificate,
    _certify,
    _data,
    kmeans_certificate,
)
from sparsestat.cluster._certificate import (
    ClusterMoments,
    dense_multiplier,
    pca_bound,
    rank_one_bound,
    relative_gap,
    sampled_bound,
)
from sparsestat.cluster._certify import Bounds, partition_cost
from sparsestat.cluster._data import CenteredRows, Frame, slices_of
from sparsestat.cluster._kernels_rows import residuals

LOSS = 1e-5


def lossy(n_terms, magnitude=1.0):
    return LOSS * n_terms * magnitude


@pytest.fixture
def rough(monkeypatch):
    for module in (_certificate, _certify, _data):
        monkeypatch.setattr(module, "rounding", lossy)


def problem(d=2, n_clusters=3, n=40, spread=0.1, seed=0):
    """Return clusters that are apart, labels and weights."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_clusters
    centers = rng.standard_normal((n_clusters, d))
    X = centers[labels] + spread * rng.standard_normal((n, d)) + 3.0
    return X, labels, rng.integers(1, 8, n) / 4.0


def in_frame(X, weights):
    """Return centered points in the unit, the weights in theirs, and both units."""
    rows = X - np.average(X, axis=0, weights=weights)
    unit, weight = power_of_two(np.abs(rows).max()), power_of_two(weights.max())
    return rows / unit, weights / weight, unit, weight


def parts_of(X, labels, w):
    """Return means, scatter, smallest margins and what they are computed from."""
    K = labels.max() + 1
    means = np.array(
        [np.average(X[labels == k], axis=0, weights=w[labels == k]) for k in range(K)]
    )
    rest = X - means[labels]
    scatter = np.array(
        [(rest[labels == k].T * w[labels == k]) @ rest[labels == k] for k in range(K)]
    )
    far = cdist(X, means, "sqeuclidean")
    margins = np.array(
        [
            [(far[labels == k, j] - far[labels == k, k]).min() for j in range(K)]
            for k in range(K)
        ]
    )
    return means, scatter, margins, np.bincount(labels, w)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("copy", [False, True])
def test_moments_and_margins_are_what_they_say(container, copy, rough, monkeypatch):
    monkeypatch.setattr(_data, "_FEWEST_ROWS", 7)
    monkeypatch.setattr(_data, "_ENTRIES", 1)
    X, labels, weights = problem()
    Z, w, unit, weight = in_frame(X, weights)
    data = CenteredRows(container(X), weights, copy=copy)
    assert data.cost_unit == unit**2 * weight
    moments = ClusterMoments(data, labels, 3)
    means, scatter, margins, sizes = parts_of(Z, labels, w)
    np.testing.assert_allclose(moments.weights, sizes)
    np.testing.assert_allclose(moments.means, means, atol=1e-12)
    np.testing.assert_allclose(moments.scatter, scatter, atol=1e-12)
    total = (Z.T * w) @ Z
    np.testing.assert_allclose(moments.total_scatter(), total, atol=1e-12)
    cost = np.trace(scatter.sum(axis=0))
    np.testing.assert_allclose(moments.cost, cost)
    np.testing.assert_allclose(data.sum_of_squares, np.trace(total))
    farthest = (Z**2).sum(axis=1).max()
    np.testing.assert_allclose(moments.radius, np.sqrt(farthest))
    steps = sum(X.shape)
    size = np.sqrt(cost * data.magnitude)
    blur = lossy(8 * steps, size) + lossy(8 * steps) ** 2 * data.magnitude
    np.testing.assert_allclose(moments.cost_rounding, blur)
    harmonic = sizes[:, None] * sizes / (sizes[:, None] + sizes)
    room = harmonic * (margins - lossy(16 * steps, farthest))
    room[np.eye(3, dtype=bool)] = np.inf
    np.testing.assert_allclose(moments.lam_max, room.min())
    if container is np.asarray:
        assert data.magnitude == data.sum_of_squares
    # What reduced rows have lost counts too.
    data.gram_rounding = 0.25
    other = ClusterMoments(data, labels, 3)
    np.testing.assert_allclose(other.cost_rounding, blur + 0.25)
    np.testing.assert_allclose(other.lam_max, (room - 0.25 * harmonic).min())
    one = ClusterMoments(data, np.zeros(40, dtype=int), 1)
    assert one.lam_max == np.inf
    value, lam, slack = rank_one_bound(one)
    assert value == one.cost - one.cost_rounding and lam == slack == np.inf


def test_a_point_midway_leaves_no_room():
    X, labels = np.array([[-2.0], [0.0], [1.0], [1.0]]), np.array([0, 0, 1, 1])
    moments = ClusterMoments(CenteredRows(X), labels, 2)
    # Of weights 2 and 2, and of 5 steps of size 1 in the unit.
    allowed = _certificate.rounding(16 * 5, 1.0)
    assert moments.lam_max == pytest.approx(-allowed, rel=1e-12, abs=0)
    value, lam, slack = rank_one_bound(moments)
    assert value == -np.inf and np.isnan(lam) and np.isnan(slack)
    bounds = Bounds(CenteredRows(X), labels, 2)
    assert bounds.lam_max < 0 and bounds.warm_multiplier() is None
    assert bounds.bound == "trivial" and bounds.lower_bound == 0.0
    for value in (0.0, np.inf):
        bounds.lam_max = value
        assert bounds.warm_multiplier() is None
    bounds.lam_max = 0.5
    assert bounds.warm_multiplier().shape == (4, 4)


@pytest.mark.parametrize("n_clusters, d", [(3, 5), (2, 3), (2, 2)])
def test_the_bound_by_components_is_the_tail_of_the_spectrum(n_clusters, d, rough):
    X, labels, weights = problem(d, n_clusters)
    data = CenteredRows(X, weights)
    moments = ClusterMoments(data, labels, n_clusters)
    Z, w, _, _ = in_frame(X, weights)
    tail = linalg.eigvalsh((Z.T * w) @ Z)[: d + 1 - n_clusters].sum()
    steps = 8 * (40 + d) + 32 * d * n_clusters
    allowed = lossy(steps, data.magnitude) + moments.cost_rounding
    found = pca_bound(moments, data.sum_of_squares)
    np.testing.assert_allclose(found, max(tail - allowed, 0.0), atol=1e-12)
    moments.cost_rounding = 1e9
    assert pca_bound(moments, data.sum_of_squares) == 0.0


@pytest.mark.parametrize("spread", [0.1, 0.35])
@pytest.mark.parametrize("n_clusters, d", [(3, 2), (2, 4), (3, 8)])
def test_the_rank_one_bound_is_that_of_its_matrix(n_clusters, d, spread, rough):
    X, labels, weights = problem(d, n_clusters, 30, spread)
    data = CenteredRows(X, weights)
    Z, w, _, _ = in_frame(X, weights)
    means, scatter, _, sizes = parts_of(Z, labels, w)
    moments = ClusterMoments(data, labels, n_clusters)
    # Whatever the margins are: half of where a pair of clusters leaves nothing.
    between = cdist(means, means, "sqeuclidean")[np.triu_indices(n_clusters, 1)]
    both = np.add.outer(1.0 / sizes, 1.0 / sizes)[np.triu_indices(n_clusters, 1)]
    moments.lam_max = 0.5 * (between / both).min()
    bound, lam, slack = rank_one_bound(moments)
    assert 0.0 < lam < moments.lam_max
    K, apart = n_clusters, np.inf
    roots = [
        linalg.eigh(C)[1] * np.sqrt(np.maximum(linalg.eigvalsh(C), 0.0))
        for C in scatter
    ]
    stacked = np.hstack(roots)
    matrix, size = stacked.T @ stacked, np.trace(scatter.sum(axis=0))
    for k, j in permutations(range(K), 2):
        delta = means[k] - means[j]
        apart = min(apart, np.sqrt(delta @ delta))
        product = sizes[k] * sizes[j]
        t = 0.5 * (product * (delta @ delta) - lam * (sizes[k] + sizes[j]))
        left, right = np.zeros(K * d), np.zeros(K * d)
        left[k * d : (k + 1) * d] = roots[k].T @ delta
        right[j * d : (j + 1) * d] = roots[j].T @ -delta
        matrix = matrix + product / t * np.outer(left, right)
        size += product / t * np.linalg.norm(left) * np.linalg.norm(right)
    top = linalg.eigvalsh(0.5 * (matrix + matrix.T))[-(K - 1) :]
    np.testing.assert_allclose(slack, lam - top[-1], atol=1e-9)
    loss = np.maximum(top - lam, 0.0).sum()
    width = min(d + K * (K - 1), K * d)
    radius = np.sqrt((Z**2).sum(axis=1).max())
    relative = lossy(64 * width) + lossy(8 * (30 + d)) * radius / apart
    allowed = (K - 1) * relative * size + 2.0 * moments.cost_rounding
    np.testing.assert_allclose(bound, moments.cost - loss - allowed, atol=1e-9)
    if slack >= 0:
        assert lam == 0.99 * moments.lam_max
    else:  # no multiplier that is feasible does better
        matrix = _certificate._RankOneMatrix(moments)
        for share in np.linspace(0.01, 0.999, 60):
            top = linalg.eigvalsh(matrix.at(share * moments.lam_max))[-(K - 1) :]
            other = np.maximum(top - share * moments.lam_max, 0.0).sum()
            assert loss <= other + 1e-3 * moments.cost


def test_eigenproblems_that_are_too_large_are_left_alone(monkeypatch):
    X, labels, _ = problem(2, 3)
    moments = ClusterMoments(CenteredRows(X), labels, 3)
    for limit, solved in ((6, True), (5, False)):
        monkeypatch.setattr(_certificate, "_LARGEST_EIGENPROBLEM", limit)
        assert (rank_one_bound(moments)[0] > 0) == solved
    assert rank_one_bound(moments)[0] == -np.inf


def test_golden_sections_narrow_where_the_value_is_largest():
    for peak in (0.1234, 0.37, 0.61):
        asked = []

        def evaluate(share, peak=peak, asked=asked):
            asked.append(share)
            return -abs(share - peak), share, 0.0

        best = _certificate._golden(evaluate, -1.0, 2.0, (-1.0, -1.0, 0.0))
        ratio = 0.5 * (np.sqrt(5.0) - 1.0)
        low, high, expected = 1e-3, 0.9999, []
        for _ in range(9):  # of two points within, the end beside the worse one goes
            left, right = high - ratio * (high - low), low + ratio * (high - low)
            expected += [left, right]
            low, high = (low, right) if peak < 0.5 * (left + right) else (left, high)
        assert len(asked) == 10
        np.testing.assert_allclose(np.sort(asked), _distinct(expected), atol=1e-12)
        assert best[1] == min(asked, key=lambda share: abs(share - peak))
        assert abs(best[1] - peak) <= ratio**8
        kept = _certificate._golden(evaluate, 0.2, 0.8, (1.0, 7.0, 0.0))
        assert kept[1] == 7.0


def _distinct(values):
    values = np.sort(values)
    return values[np.diff(values, prepend=-1.0) > 1e-9]


def test_bounds_of_samples_are_one_sided_intervals():
    values, drawn = iter([3.0, 4.0, 8.0]), []

    def solve(rows):
        drawn.append(rows)
        return next(values)

    found = sampled_bound(30, subset_size=6, n_subsets=3, solve=solve, random_state=0)
    for rows in drawn:
        assert len(rows) == 6 and (np.diff(rows) > 0).all() and rows.max() < 30
    scaled = 5.0 * np.array([3.0, 4.0, 8.0])
    quantile = stats.t(2).ppf(0.99)
    expected = scaled.mean() - quantile * stats.sem(scaled)
    assert found == pytest.approx(max(expected, 0.0))
    close = iter([3.0, 3.125, 3.0])
    found = sampled_bound(
        30, subset_size=6, n_subsets=3, solve=lambda _: next(close), random_state=0
    )
    scaled = 5.0 * np.array([3.0, 3.125, 3.0])
    assert found == pytest.approx(scaled.mean() - quantile * stats.sem(scaled))


def test_gaps_are_relative_and_never_negative():
    assert relative_gap(2.0, 0.5) == 0.75
    assert relative_gap(2.0, 2.0) == relative_gap(2.0, 3.0) == 0.0
    assert relative_gap(0.0, 0.0) == relative_gap(0.0, -1.0) == 0.0
    assert relative_gap(0.5, 0.0) == 1.0


def test_certificates_say_what_was_proved():
    def said(**fields):
        return repr(KMeansCertificate("lower_bound", 0.0, 1.0, True, "-", **fields))

    assert said(certified=True, gap=0.5) == "global optimum, proved"
    assert said(gap=0.5, bound="statistical") == "optimality gap <~ 5.0e-01"
    for bound in ("trivial", "pca", "rank_one", "dual"):
        assert said(gap=0.5, bound=bound) == "optimality gap <= 5.0e-01"


def test_what_decides_is_the_gap_with_its_rounding():
    X, labels, weights = problem()
    bounds = Bounds(CenteredRows(8.0 * X, 32.0 * weights), labels, 3)
    bounds.cost, bounds.lower_bound, bounds.cost_rounding = 2.0, 1.0, 0.5
    bounds.bound, bounds.lam, bounds.lam_max, bounds.slack = "pca", 3.0, 4.0, 5.0
    unit = bounds.data.cost_unit
    assert unit not in (0.0, 1.0)
    found = bounds.certificate(0.75)
    assert found.certified and found.gap == 0.5 and found.kind == "lower_bound"
    assert found.details["gap_rounding"] == 0.25 and found.details["gap"] == 0.5
    assert found.details["certified"] == "yes" and found.details["bound"] == "pca"
    assert found.details["cost"] == 2.0 * unit
    assert found.lower_bound == found.details["lower_bound"] == unit
    assert (found.lam, found.lam_max, found.slack) == (3 * unit, 4 * unit, 5 * unit)
    assert (found.value, found.tol, found.satisfied) == (0.0, 0.75, True)
    tight = bounds.certificate(0.74, value=2.0, tol=1.0, satisfied=False, scale="of")
    assert not tight.certified and tight.details["certified"] == "no"
    assert (tight.value, tight.tol, tight.satisfied) == (2.0, 1.0, False)
    # Where a tighter proof is at hand, the sentence names it.
    assert tight.scale.startswith("of; the relaxation")
    bounds.bound = "statistical"
    assert not bounds.certificate(1.0).certified
    bounds.bound, bounds.cost = "pca", 0.0
    assert bounds.certificate(0.0).certified
    assert bounds.certificate(0.0).details["gap_rounding"] == 0.0


def test_costs_within_rounding_are_nothing_where_points_are_equal():
    labels = np.array([0, 0, 1, 1])
    for X, cost, left in (
        ([[0.1], [0.1], [0.7], [0.7]], 1e-16, 0.0),
        ([[0.1], [0.1], [0.7], [0.7]], 1e-15, 0.0),
        ([[0.1], [0.1], [0.7], [0.7]], 2e-15, 2e-15),
        ([[0.1], [0.2], [0.7], [0.7]], 1e-16, 1e-16),
    ):
        bounds = Bounds(CenteredRows(np.array(X)), labels, 2)
        bounds.cost, bounds.cost_rounding = cost, 1e-15
        bounds._settle_zero()
        assert bounds.cost == left
        assert bounds.cost_rounding == (1e-15 if left else 0.0)


def test_the_better_bound_is_kept():
    X, labels, _ = problem()
    bounds = Bounds(CenteredRows(X), labels, 3)
    assert bounds.bound == "rank_one" and bounds.lam == 0.99 * bounds.lam_max
    value = bounds.lower_bound
    bounds._keep("dual", value)
    assert bounds.bound == "rank_one"
    bounds._keep("dual", 2.0 * value)
    assert bounds.bound == "dual" and bounds.lower_bound == 2.0 * value
    # With more clusters allowed the rank-one argument says nothing.
    more = Bounds(CenteredRows(X), labels, 3, 4)
    assert more.bound in ("pca", "trivial") and np.isnan(more.lam)
    assert more.n_found == 3 and more.moments.n_clusters == 3
    X, labels, _ = problem(5, 3, 40, 0.6)
    more = Bounds(CenteredRows(X), labels, 3, 4)
    Z = in_frame(X, np.ones(40))[0]
    tail = linalg.eigvalsh(Z.T @ Z)[:2].sum()
    assert more.bound == "pca" and more.lower_bound == pytest.approx(tail, rel=1e-9)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1e-9])
def test_a_rank_one_bound_of_nothing_has_no_multiplier(value, monkeypatch):
    monkeypatch.setattr(_certify, "rank_one_bound", lambda moments: (value, 2.0, 3.0))
    X, labels, _ = problem(5, 3, 40, 0.6)
    bounds = Bounds(CenteredRows(X), labels, 3)
    found = [bounds.lam, bounds.slack]
    np.testing.assert_array_equal(found, [2.0, 3.0] if value > 0 else [np.nan] * 2)
    assert bounds.bound == "pca" and bounds.lower_bound > 1e-9
    assert _certify.dual_fits(1000) and not _certify.dual_fits(1001)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_partitions_without_bounds_are_priced(container, rough):
    X, labels, weights = problem()
    data = CenteredRows(container(X), weights)
    Z, w, _, _ = in_frame(X, weights)
    scatter = parts_of(Z, labels, w)[1]
    cost, error = partition_cost(data, labels, 3)
    assert cost == pytest.approx(np.trace(scatter.sum(axis=0)), rel=1e-10)
    assert error == pytest.approx(8 * 42 * LOSS * data.magnitude)
    flat = np.zeros((4, 2))
    flat[:2] = 1.0
    found = partition_cost(CenteredRows(flat), np.array([0, 0, 1, 1]), 2)[0]
    assert 0.0 <= found <= 1e-14


def test_multipliers_are_those_of_the_formula():
    X, labels, weights = problem(n=12)
    data = CenteredRows(X, weights)
    Z, w, _, _ = in_frame(X, weights)
    means, _, _, sizes = parts_of(Z, labels, w)
    moments = ClusterMoments(data, labels, 3)
    lam = 0.9 * moments.lam_max
    B = dense_multiplier(data, labels, moments, lam)
    far = cdist(Z, means, "sqeuclidean")
    gaps = cdist(means, means, "sqeuclidean")
    for i in range(12):
        for j in range(12):
            k, m = labels[i], labels[j]
            if k == m:
                assert B[i, j] == 0.0
                continue
            t = 0.5 * (sizes[k] * sizes[m] * gaps[k, m] - lam * (sizes[k] + sizes[m]))
            towards = 0.5 * (
                sizes[m] * (far[i, m] - far[i, k]) - lam * (1 + sizes[m] / sizes[k])
            )
            back = 0.5 * (
                sizes[k] * (far[j, k] - far[j, m]) - lam * (1 + sizes[k] / sizes[m])
            )
            expected = max(towards, 0) * max(back, 0) / t * np.sqrt(w[i] * w[j])
            assert B[i, j] == pytest.approx(expected, rel=1e-8, abs=1e-12)
    assert (B > 0).sum() > 60
    # Too large a multiplier: nothing is divided by what is left, and nothing negative.
    t = sizes[:, None] * sizes * gaps / (sizes[:, None] + sizes)
    B = dense_multiplier(data, labels, moments, t[t > 0].max() * 1.5)
    assert np.isfinite(B).all() and (B >= 0).all()
    one = ClusterMoments(data, np.zeros(12, dtype=int), 1)
    np.testing.assert_array_equal(
        dense_multiplier(data, np.zeros(12, dtype=int), one, 1.0), np.zeros((12, 12))
    )


def test_rows_come_in_blocks_that_cover_them():
    for shape, step in (
        ((5000, 200), 2048),
        ((30_000, 20), 13_107),
        ((3, 0), 2**18),
        ((300_000, 1), 2**18),
    ):
        blocks = list(slices_of(shape))
        assert [b.start for b in blocks] == list(range(0, shape[0], step))
        assert [b.stop for b in blocks] == [
            min(b.start + step, shape[0]) for b in blocks
        ]


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_rows_with_the_same_products_are_as_good(container, rough):
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((9, 20)), rng.integers(1, 5, 9) / 2.0
    X[rng.random(X.shape) < 0.3] = 0.0
    data = CenteredRows(container(X), w)
    Z, v, _, _ = in_frame(X, w)
    rows = np.sqrt(v)[:, None] * Z
    np.testing.assert_allclose(data.gram(), rows @ rows.T, atol=1e-12)
    np.testing.assert_allclose(data.block(np.array([4, 2])), rows[[4, 2]], atol=1e-12)
    np.testing.assert_allclose(data.dot(np.ones(20)), rows.sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(data.t_dot(v), rows.T @ v, atol=1e-12)
    assert data.spectral_norm() == pytest.approx(np.linalg.norm(rows, 2), rel=1e-2)
    assert data.total_weight == v.sum()
    np.testing.assert_array_equal(data.root, np.sqrt(v))
    narrow = data.reduced(15)
    assert narrow.shape == (9, 9) and not narrow.is_sparse
    np.testing.assert_allclose(narrow.gram(), rows @ rows.T, atol=1e-10)
    np.testing.assert_allclose(narrow.dot(np.eye(9)), narrow.block(slice(None)))
    np.testing.assert_allclose(narrow.t_dot(v), narrow.block(slice(None)).T @ v)
    lost = 8 * 9 * LOSS * data.magnitude if container is sparse.csr_array else 0.0
    assert narrow.gram_rounding == pytest.approx(lost)
    assert data.gram_rounding == 0.0
    assert data.reduced(8) is None
    # Sparse rows stay as they are while they are narrow enough.
    assert (data.reduced(20) is data) == (container is sparse.csr_array)
    for d in (4, 9):
        narrow = CenteredRows(container(X[:, :d]), w)
        assert narrow.reduced(d) is narrow
    assert CenteredRows(np.full((5, 2), 3.0)).spectral_norm() == 0.0


def test_small_distances_of_wide_rows_are_kept():
    X = np.random.default_rng(0).standard_normal((6, 20))
    X[1] = X[0]
    X[1, 3] += 1e-10
    rows = CenteredRows(X).reduced(6)
    first, second = rows.block(slice(0, 2))
    apart = np.linalg.norm(first - second) * rows.unit
    np.testing.assert_allclose(apart, X[1, 3] - X[0, 3], rtol=1e-4)


def test_equal_points_are_told_bit_by_bit():
    X = np.array([[0.1, 2.0], [5.0, 1.0], [0.1, 2.0], [5.0, 1.0]])
    labels = np.array([0, 1, 0, 1])
    for container in (np.asarray, sparse.csr_array):
        assert CenteredRows(container(X)).all_equal_within(labels)
        assert not CenteredRows(container(X)).all_equal_within(np.zeros(4, dtype=int))
        other = X.copy()
        other[2, 0] = np.nextafter(0.1, 0.0)
        assert not CenteredRows(container(other)).all_equal_within(labels)


def test_frames_bring_points_near_and_back():
    rng = np.random.default_rng(0)
    X = 24.0 * rng.standard_normal((20, 3)) + 100.0
    frame, rows = Frame.of(X)
    assert 1.0 <= np.abs(rows).max() < 2.0
    with pytest.raises(AttributeError):  # many share it
        frame.unit = 1.0
    np.testing.assert_allclose(rows, (X - X.mean(axis=0)) / frame.unit, atol=1e-12)
    np.testing.assert_allclose(frame.invert(rows), X, rtol=1e-13)
    split = Frame(Standardization(np.array([3.0]), np.array([0.5]), np.zeros(1)), 2.0)
    assert split.invert(np.array([[1.0]])) == 5.5
    np.testing.assert_allclose(frame.apply(X), rows, atol=1e-13)
    far = np.array([[3e200, -4e200, 0.0], [100.0, 101.0, 102.0]])
    for container in (np.asarray, sparse.csr_array):
        points, factors = frame.points(container(far))
        points = points.toarray() if sparse.issparse(points) else points
        if container is np.asarray:
            np.testing.assert_allclose(points[1], frame.apply(far)[1])
        np.testing.assert_allclose(1e-100 * points[0], [0.75, -1.0, 0.0], atol=1e-12)
        np.testing.assert_allclose(factors, [1e100 / 4e200, 1.0 / frame.unit])


def test_units_of_weights_and_points_are_powers_of_two():
    X, _, weights = problem()
    one = CenteredRows(X, weights)
    many = CenteredRows(2.0**40 * X, 2.0**-30 * weights)
    assert many.cost_unit == one.cost_unit * 2.0**50
    np.testing.assert_array_equal(many.block(slice(None)), one.block(slice(None)))
    np.testing.assert_array_equal(many.weights, one.weights)
    fake = SimpleNamespace(record=one.record, given=X, unit=one.unit)
    np.testing.assert_allclose(
        CenteredRows.rows(fake), (X - np.average(X, 0, weights)) / one.unit, atol=1e-12
    )
    for power in (2.0**300, 2.0**-300):
        with pytest.raises(ValueError, match="Rescale one of them"):
            CenteredRows(power * X, power**2 * weights)
    flat = CenteredRows(np.full((3, 2), 5.0))
    assert flat.sum_of_squares == 0.0


def test_as_many_points_as_said_are_taken(monkeypatch):
    X, labels, _ = problem(n=30)
    monkeypatch.setattr(_certify, "LARGEST_DUAL", 30)
    assert kmeans_certificate(X, labels, method="dual").certified
    with pytest.raises(ValueError, match="at most 30 points, got 31"):
        kmeans_certificate(X[[*range(30), 0]], labels[[*range(30), 0]], method="dual")
    sampled = {"method": "sampled", "n_subsets": 2, "random_state": 0}
    found = kmeans_certificate(X, labels, subset_size=30, **sampled)
    assert found.bound in ("rank_one", "statistical")
    with pytest.raises(ValueError, match="must not exceed the number of points"):
        kmeans_certificate(X, labels, subset_size=31, **sampled)
    monkeypatch.setattr(_certify, "LARGEST_DUAL", 29)
    with pytest.raises(ValueError, match="subset_size=30"):
        kmeans_certificate(X, labels, subset_size=30, **sampled)


def test_the_relaxation_starts_from_the_partition_that_is_given(monkeypatch):
    given = {}

    def solve(data, n_clusters, **options):
        given.update(options, n_clusters=n_clusters)
        return SimpleNamespace(lower_bound=123.0)

    monkeypatch.setattr(_certify, "solve_admm", solve)
    X, labels, weights = problem(n=12)
    bounds = Bounds(CenteredRows(X, weights), labels, 3)
    assert bounds.add_dual(gap_tol=0.5, max_iter=7).lower_bound == 123.0
    assert bounds.bound == "dual" and bounds.lower_bound == 123.0
    assert given["start"] is labels and given["multiplier"].shape == (12, 12)
    assert (given["gap_tol"], given["max_iter"], given["n_clusters"]) == (0.5, 7, 3)
    assert given["cost"] == bounds.cost
    # A partition into fewer clusters is no start.
    more = Bounds(CenteredRows(X, weights), labels, 3, 4)
    more.add_dual()
    assert given["start"] is given["multiplier"] is None and given["n_clusters"] == 4
    for n_clusters, solved in ((1, False), (2, True), (11, True), (12, False)):
        bounds.n_clusters = n_clusters
        assert (bounds.add_dual() is not None) == solved
    bounds.n_clusters, bounds.cost = 3, 0.0
    assert bounds.add_dual() is None


def test_bounds_of_parts_are_in_the_units_of_the_whole(monkeypatch):
    kept = {}

    def sampled(n_samples, *, solve, **options):
        kept.update(options, n_samples=n_samples, solve=solve)
        return 0.0

    monkeypatch.setattr(_certify, "sampled_bound", sampled)
    X, labels, weights = problem(n=60, spread=0.05)
    X[-1] += 100.0  # the unit of the whole is larger than that of the parts
    bounds = Bounds(CenteredRows(X, weights), labels, 3)
    bounds.replace_by_sampled(
        X, weights, subset_size=20, n_subsets=4, max_iter=50, random_state=5
    )
    assert kept["n_samples"] == 60 and kept["subset_size"] == 20
    assert kept["n_subsets"] == 4 and kept["random_state"] == 5
    rows = np.arange(20)
    Z = X[rows] - np.average(X[rows], axis=0, weights=weights[rows])
    scatter = parts_of(Z, labels[rows], weights[rows])[1]
    cost = np.trace(scatter.sum(axis=0))
    found = kept["solve"](rows) * bounds.data.cost_unit
    assert (1 - 2e-3) * cost <= found <= cost * (1 + 1e-9)
    assert kept["solve"](rows[:3]) == 0.0 and kept["solve"](rows[:4]) >= 0.0
    flat = np.repeat(X[:2], 30, axis=0)
    two = Bounds(CenteredRows(flat, weights), np.repeat([0, 1], 30), 2, 3)
    two.replace_by_sampled(
        flat, weights, subset_size=20, n_subsets=4, max_iter=50, random_state=5
    )
    assert kept["solve"](np.arange(20, 40)) == 0.0


def test_certificates_are_the_same_whatever_the_names_of_clusters():
    X, labels, weights = problem()
    one = kmeans_certificate(X, labels, sample_weight=weights)
    names = np.array(["b", "c", "a"])[labels]
    other = kmeans_certificate(X, names, sample_weight=weights)
    assert other.lower_bound == pytest.approx(one.lower_bound, rel=1e-12)
    # Points of no weight are not there, nor are clusters of none but such.
    more = np.vstack([X, [[1e6, 0.0], [0.0, 1e6]]])
    zero = np.r_[weights, 0.0, 0.0]
    found = kmeans_certificate(more, [*names, "z", "a"], sample_weight=zero)
    assert found.lower_bound == other.lower_bound and found.certified
    assert found.details["cost"] == other.details["cost"]
    with pytest.raises(ValueError, match="zero"):
        kmeans_certificate(X, labels, sample_weight=np.zeros(40))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        kmeans_certificate(X, labels[1:])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_moments_of_clusters_do_not_depend_on_blocks(order, offset, monkeypatch):
    """The last block is shorter, rows come in any order, weights differ."""
    rng = np.random.default_rng(4)
    X = np.asarray(rng.standard_normal((23, 3)) + offset, order=order)
    labels = rng.permutation(np.arange(23) % 4)
    weights = rng.integers(1, 5, 23).astype(float)
    monkeypatch.setattr(_data, "_ENTRIES", 15)
    monkeypatch.setattr(_data, "_FEWEST_ROWS", 5)
    data = CenteredRows(X, weights, copy=False)
    assert [len(block) for _, block in data.blocks()] == [5, 5, 5, 5, 3]
    moments = ClusterMoments(data, labels, 4)
    exact = X.astype(np.longdouble)
    exact -= np.average(exact, axis=0, weights=weights)
    unit, weight_unit = data.unit, weights.max() / data.weights.max()
    np.testing.assert_allclose(
        np.vstack([block.copy() for _, block in data.blocks()]),
        (exact / unit * np.sqrt(data.weights)[:, None]).astype(float),
        atol=1e-14,
    )
    cost = farthest = 0.0
    for k in range(4):
        w, A = weights[labels == k], exact[labels == k]
        mean = np.average(A, axis=0, weights=w)
        scatter = ((A - mean) * w[:, None]).T @ (A - mean) / (unit**2 * weight_unit)
        np.testing.assert_allclose(
            moments.scatter[k], scatter.astype(float), rtol=1e-7, atol=1e-9
        )
        np.testing.assert_allclose(
            moments.means[k], (mean / unit).astype(float), atol=1e-7
        )
        cost += float(np.trace(scatter))
        farthest = max(farthest, float((A**2).sum(axis=1).max()) / unit**2)
    np.testing.assert_allclose(moments.cost, cost, rtol=1e-7)
    np.testing.assert_allclose(moments.radius, np.sqrt(farthest), rtol=1e-7)
    # Rows are small where one outlier is the unit.
    small, places = 0.125 * np.ones((2, 3)), np.array([1, 0])
    root, means, out = np.array([1.0, 0.5]), np.zeros((2, 3)), np.empty((2, 3))
    farthest = residuals(small, np.array([0, 1]), root, means, places, out)
    assert farthest == 3 / 64 / 0.25 and places.tolist() == [2, 1]
    one = CenteredRows(X, weights)
    assert not one.in_blocks
    np.testing.assert_allclose(
        ClusterMoments(one, labels, 4).cost, moments.cost, rtol=1e-12
    )
