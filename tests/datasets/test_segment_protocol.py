"""Comparing segmentations: subjects, degraded truths, paired tests, known findings."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm, rankdata

from sparsestat.datasets import (
    compare_scores,
    make_correlation_structures,
    make_correlation_subjects,
    make_degraded_segmentations,
    score_segmentation,
)

SMALL = {"n_segments": 6, "lengths": [60, 120]}


def scores(data, segments=None, **kwargs):
    return score_segmentation(
        data.X,
        data.segments if segments is None else segments,
        data.segments,
        targets=data.relaxed,
        pattern_ids=data.pattern_ids,
        **kwargs,
    )


# Subjects


def test_subjects_differ_and_halves_share_none():
    halves = [
        list(make_correlation_subjects(4, split=split, random_state=0, **SMALL))
        for split in ("exploratory", "confirmatory")
    ]
    drawn = {data.X.tobytes() for half in halves for data in half}
    assert len(drawn) == 8
    again = list(make_correlation_subjects(6, random_state=0, **SMALL))
    for one, two in zip(halves[0], again, strict=False):
        assert_array_equal(one.X, two.X)  # more subjects do not change the first


def test_a_study_has_thirty_subjects_a_half_and_draws_them_when_asked():
    subjects = make_correlation_subjects(random_state=1, **SMALL)
    assert iter(subjects) is iter(subjects)
    assert sum(1 for _ in subjects) == 30
    huge = make_correlation_subjects(10**4, n_segments=100, random_state=0)
    assert len(next(huge).segments) == 100


def test_a_subject_is_the_same_in_every_variant():
    kwargs = {"random_state": 3, **SMALL}
    plain = list(make_correlation_subjects(2, **kwargs))
    skewed = list(make_correlation_subjects(2, variant="non_normal", **kwargs))
    thin = list(make_correlation_subjects(2, missing=0.5, **kwargs))
    for one, two, three in zip(plain, skewed, thin, strict=True):
        assert_array_equal(one.segments, two.segments)
        assert_array_equal(one.X[three.time_index], three.X)


# Degraded truths


def test_sixty_six_segmentations_get_worse_and_worse():
    data = make_correlation_structures(40, lengths=[400], random_state=0)
    degraded = make_degraded_segmentations(data.segments, random_state=0)
    kinds = [d.kind for d in degraded]
    assert kinds == ["truth"] + ["patterns"] * 22 + ["bounds"] * 22 + ["both"] * 22
    assert_array_equal(degraded[0].segments, data.segments)
    for d in degraded:
        wrong = (d.segments["pattern_id"] != data.segments["pattern_id"]).sum()
        late = d.segments["start"][1:] - data.segments["start"][1:]
        assert wrong == d.n_wrong and (late == d.shift).all()
    by_kind = {k: [d for d in degraded if d.kind == k] for k in set(kinds)}
    assert [d.n_wrong for d in by_kind["patterns"]][::21] == [1, 40]
    assert [d.shift for d in by_kind["bounds"]][::21] == [1, 300]
    assert not any(d.shift for d in by_kind["patterns"])
    assert not any(d.n_wrong for d in by_kind["bounds"])
    for kind in ("patterns", "bounds", "both"):
        jaccards = [scores(data, d.segments).jaccard for d in by_kind[kind][::7]]
        # Where nearly all is wrong it is chance what is left.
        assert jaccards[0] > jaccards[1] > max(jaccards[2:])
    again = make_degraded_segmentations(data.segments, random_state=0)
    for one, two in zip(degraded, again, strict=True):
        assert_array_equal(one.segments, two.segments)


def test_short_segments_cannot_be_moved():
    data = make_correlation_structures(5, lengths=[100], random_state=0)
    with pytest.raises(ValueError, match=r"has 100 rows.*margin=100"):
        make_degraded_segmentations(data.segments)
    assert len(make_degraded_segmentations(data.segments, margin=40, n_each=2)) == 7
    one = make_degraded_segmentations(data.segments[:1], n_each=1, pattern_ids=[1, 2])
    assert [d.n_wrong for d in one] == [0, 1, 0, 1]


# Paired tests


def test_p_values_are_those_of_all_signs(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    first, second = rng.standard_normal((2, 8))
    found = compare_scores(first, second)
    difference = first - second
    ranks = rankdata(np.abs(difference))
    assert found.statistic == ranks[difference > 0].sum()
    sums = np.array([np.dot(signs, ranks) for signs in product((0, 1), repeat=8)])
    center = ranks.sum() / 2
    exact = (np.abs(sums - center) >= abs(found.statistic - center) - 1e-9).mean()
    assert_allclose(found.p_value, exact)
    z = (found.statistic - 18.0) / np.sqrt(8 * 9 * 17 / 24)
    assert_allclose([found.z, found.effect_size], [z, z / np.sqrt(8)])


def test_ties_use_the_normal_distribution():
    difference = np.array([1.0, 1.0, -1.0, 2.0, 2.0, 2.0, 3.0])
    found = compare_scores(difference, np.zeros(7))
    ranks = rankdata(np.abs(difference))
    variance = 7 * 8 * 15 / 24 - (3**3 - 3) / 48 - (3**3 - 3) / 48
    z = (ranks[difference > 0].sum() - 14.0) / np.sqrt(variance)
    assert_allclose(found.z, z)
    assert_allclose(found.p_value, 2 * norm.sf(z))
    # A tie in all but the last digit is one.
    nearly = compare_scores([0.9, 0.3, 0.6], [0.8, 0.2, 0.1])
    assert_allclose(nearly.z, compare_scores([0.1, 0.1, 0.5], [0, 0, 0]).z)


def test_equal_pairs_are_left_out_and_several_tests_corrected_for():
    rng = np.random.default_rng(0)
    first = rng.standard_normal((30, 3))
    second = first + [1.0, 0.0, -1e-9]
    second[:10, 0] = first[:10, 0] + 5e-9
    found = compare_scores(first, second)
    assert found.n_pairs.tolist() == [20, 0, 0]
    assert_allclose(found.effect_size[0], found.z[0] / np.sqrt(20))
    assert found.z[0] < 0 and found.median_difference[0] == pytest.approx(-1.0)
    assert found.p_value[1:].tolist() == [1.0, 1.0] == found.p_adjusted[1:].tolist()
    assert_allclose(found.p_adjusted[0], 3 * found.p_value[0])
    more = compare_scores(first, second, n_comparisons=50)
    assert_allclose(more.p_adjusted[0], 50 * found.p_value[0])
    swapped = compare_scores(second, first)
    assert_allclose(swapped.z, -found.z)
    assert_allclose(swapped.p_value, found.p_value)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1.0], [1.0, 2.0], "of one shape"),
        ([], [], "not empty"),
        (np.ones((2, 2, 2)), np.ones((2, 2, 2)), "of one shape"),
        ([np.nan, 1.0], [0.0, 1.0], "must be finite"),
    ],
)
def test_scores_that_cannot_be_compared(first, second, message):
    with pytest.raises(ValueError, match=message):
        compare_scores(first, second)


# What the benchmark is known to show


@pytest.fixture(scope="module")
def study():
    """Return the error of the correlations of six subjects in five variants."""
    variants = {
        "correlated": {},
        "non_normal": {"variant": "non_normal"},
        "partial": {"missing": 0.3},
        "sparse": {"missing": 0.9},
        "downsampled": {"variant": "downsampled"},
    }
    kwargs = {"n_segments": 46, "lengths": [1800], "random_state": 5}
    return {
        name: np.array(
            [
                scores(data).mae
                for data in make_correlation_subjects(6, **options, **kwargs)
            ]
        )
        for name, options in variants.items()
    }


def test_margins_and_thinning_barely_matter_and_downsampling_distorts(study):
    base = study["correlated"]
    assert base.max() < 0.05
    for name in ("non_normal", "partial"):
        assert_allclose(study[name], base, atol=0.005)
    assert (study["sparse"] < base + 0.03).all()
    worse = compare_scores(study["downsampled"], base)
    assert worse.n_pairs == 6 and worse.p_value == 2 / 2**6  # all six the same way
    assert worse.median_difference > 0.03


def test_thirty_observations_tell_most_patterns_apart():
    found = []
    for length in (10, 30, 100):
        data = make_correlation_structures(230, lengths=[length], random_state=0)
        correlations = scores(data).correlations
        near = np.abs(correlations[:, None] - data.relaxed).sum(axis=2).argmin(axis=1)
        found.append((data.pattern_ids[near] == data.segments["pattern_id"]).mean())
    assert found[0] < 0.85 < found[1] < found[2] and found[2] > 0.97
