"""Measures of segmentations: the truth is best, spoiling it costs, bad input."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr

from sparsestat.datasets import (
    degrade_segmentation,
    make_correlation_structures,
    score_segmentation,
)


@pytest.fixture(scope="module")
def data():
    return make_correlation_structures(
        46, lengths=[900], method="cholesky", random_state=0
    )


def scores(data, segments, **kwargs):
    return score_segmentation(
        data.X,
        segments,
        data.segments,
        targets=data.relaxed,
        pattern_ids=data.pattern_ids,
        **kwargs,
    )


def test_the_truth_is_recovered(data):
    found = scores(data, data.segments)
    assert found.jaccard == 1.0 and found.pattern_discovery == 1.0
    assert found.pattern_specificity == 1.0
    assert found.segmentation_ratio == found.length_ratio == 1.0
    assert found.mapping == {int(p): int(p) for p in data.pattern_ids}
    assert found.silhouette > 0.8 and found.davies_bouldin < 0.2
    assert found.mae < 0.03  # sampling error


def test_correlations_are_those_of_scipy(data):
    found = scores(data, data.segments)
    for i in (0, 7):
        s = data.segments[i]
        R = spearmanr(data.X[s["start"] : s["stop"]]).statistic
        exact = R[np.triu_indices(3, 1)]
        assert (np.abs(found.correlations[i]) <= np.abs(exact) + 1e-12).all()
        assert_allclose(found.correlations[i], exact, atol=1e-3)


def test_names_of_clusters_do_not_matter(data):
    renamed = data.segments.copy()
    renamed["pattern_id"] = 100 - renamed["pattern_id"]
    one, two = scores(data, data.segments), scores(data, renamed)
    assert one.jaccard == two.jaccard and one.mae == two.mae


def test_measures_fall_as_the_answer_gets_worse(data):
    wrong = [
        scores(data, degrade_segmentation(data.segments, n_wrong=n, random_state=0))
        for n in (0, 10, 46)
    ]
    assert wrong[0].jaccard > wrong[1].jaccard > wrong[2].jaccard
    assert wrong[0].mae < wrong[1].mae < wrong[2].mae
    assert wrong[0].silhouette > wrong[1].silhouette > wrong[2].silhouette
    shifted = [
        scores(data, degrade_segmentation(data.segments, shift=m))
        for m in (0, 100, 300)
    ]
    assert shifted[0].jaccard > shifted[1].jaccard > shifted[2].jaccard
    expected = 1 - 45 * 100 / (46 * 900)
    assert_allclose(shifted[1].jaccard, expected)


def test_a_loose_tolerance_discovers_everything(data):
    spoiled = degrade_segmentation(data.segments, n_wrong=46, random_state=1)
    assert scores(data, spoiled).pattern_discovery < 0.5
    assert scores(data, spoiled, tolerance=1.1).pattern_discovery > 0.8


def test_degrading_keeps_the_cover_and_the_input(data):
    before = data.segments.copy()
    out = degrade_segmentation(data.segments, shift=50, n_wrong=5, random_state=3)
    assert_array_equal(data.segments, before)
    assert out["start"][0] == 0 and out["stop"][-1] == len(data.X)
    assert_array_equal(out["start"][1:], out["stop"][:-1])
    assert (out["pattern_id"] != before["pattern_id"]).sum() == 5
    again = degrade_segmentation(data.segments, shift=50, n_wrong=5, random_state=3)
    assert_array_equal(out, again)


def test_one_cluster_has_no_silhouette(data):
    one = data.segments[:1].copy()
    one["stop"] = len(data.X)
    found = scores(data, one)
    assert np.isnan(found.silhouette) and np.isnan(found.davies_bouldin)
    assert found.segmentation_ratio == 1 / 46


def test_bad_input(data):
    segments = data.segments
    with pytest.raises(ValueError, match="shift=900 must be less than 900"):
        degrade_segmentation(segments, shift=900)
    with pytest.raises(ValueError, match="n_wrong=47 must be at most"):
        degrade_segmentation(segments, n_wrong=47)
    with pytest.raises(ValueError, match="There is no pattern but"):
        degrade_segmentation(segments[:1], n_wrong=1)
    with pytest.raises(ValueError, match="structured array with fields"):
        scores(data, np.zeros((3, 3)))
    outside = segments.copy()
    outside["stop"][-1] += 1
    with pytest.raises(ValueError, match="lies outside the data"):
        scores(data, outside)
    crossed = segments.copy()
    crossed["start"][1] -= 1
    with pytest.raises(ValueError, match="overlap"):
        scores(data, crossed)
    with pytest.raises(ValueError, match="targets must have shape"):
        score_segmentation(
            data.X, segments, segments, targets=data.relaxed[:5], pattern_ids=[1]
        )
