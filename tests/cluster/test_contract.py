"""What every clusterer does with bad, degenerate and shifted data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.metrics import adjusted_rand_score

from sparsestat.cluster import (
    BalancedKMeans,
    CodingRateSubspaceClustering,
    DoublyStochasticClustering,
    LaplacianKMeans,
    LikelihoodAdjustedSDP,
    ProbabilisticPartitivePartitioning,
    SDPKMeans,
)
from sparsestat.cluster._certify import check_weights
from sparsestat.exceptions import ConvergenceWarning

# Each with the number of clusters as its only free parameter.
MAKE = {
    "sdp": lambda k: SDPKMeans(k, random_state=0),
    "sdp nlr": lambda k: SDPKMeans(k, solver="nlr", random_state=0),
    "sdp sketch": lambda k: SDPKMeans(k, solver="sketch", random_state=0),
    "la-sdp": lambda k: LikelihoodAdjustedSDP(k, random_state=0),
    "balanced": lambda k: BalancedKMeans(k, random_state=0),
    "laplacian": lambda k: LaplacianKMeans(k, random_state=0),
    "laplacian parallel": lambda k: LaplacianKMeans(
        k, update="parallel", random_state=0
    ),
    "coding rate": lambda k: CodingRateSubspaceClustering(k, random_state=0),
    "coding affinity": lambda k: CodingRateSubspaceClustering(
        k, membership="doubly_stochastic", eps=0.3, random_state=0
    ),
    "coding map": lambda k: CodingRateSubspaceClustering(
        k, n_components=2, eps=0.3, random_state=0
    ),
    "doubly stochastic": lambda k: DoublyStochasticClustering(k, random_state=0),
}
every = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


def blobs(seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1, 2], 20)
    return 15.0 * np.eye(3, 4)[y] + rng.standard_normal((60, 4)), y


def quiet_fit(model, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        return model.fit(X)


@pytest.mark.parametrize("name", MAKE)
def test_clear_clusters_are_found_and_the_input_is_left_alone(name):
    make = MAKE[name]
    X, y = blobs()
    before = X.copy()
    X.flags.writeable = False
    model = quiet_fit(make(3), X)
    found = adjusted_rand_score(y, model.labels_)
    # An affinity of 60 samples is blurred by its entropy.
    assert found == 1.0 if name != "coding affinity" else found > 0.8
    assert model.n_iter_ >= 0 and model.n_features_in_ == 4
    assert model.certificate_.kind in ("lower_bound", "monotone_bound", "transport_gap")
    assert_array_equal(X, before)
    assert_array_equal(make(3).fit_predict(X), model.labels_)  # same seed


@every
def test_more_clusters_than_samples_are_refused(make):
    X, _ = blobs()
    with pytest.raises(ValueError, match="n_samples=5"):
        make(6).fit(X[:5])
    with pytest.raises(ValueError, match="'n_clusters'"):
        make(0).fit(X)


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1j])
def test_numbers_that_are_none_are_refused(make, bad):
    X, _ = blobs()
    X = X.astype(complex) if bad == 1j else X
    X[3, 1] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity|Complex"):
        make(3).fit(X)


@every
def test_one_cluster_holds_everything(make):
    X, _ = blobs()
    model = quiet_fit(make(1), X)
    assert not model.labels_.any() and len(model.labels_) == 60


@every
def test_duplicate_samples_are_legal(make):
    X, y = blobs()
    points = np.repeat(X[[0, 20, 40]], 12, axis=0)
    model = quiet_fit(make(3), points)
    assert adjusted_rand_score(np.repeat([0, 1, 2], 12), model.labels_) == 1.0
    twice = quiet_fit(make(3), np.vstack([X, X]))
    assert_array_equal(twice.labels_[:60], twice.labels_[60:])
    assert adjusted_rand_score(np.tile(y, 2), twice.labels_) == 1.0


@every
def test_fewer_distinct_samples_than_clusters_end_in_labels_all_the_same(make):
    points = np.repeat([[1.0, 0.0, 0.0], [0.0, 9.0, 0.0]], 10, axis=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = make(4).fit(points)
    assert len(model.labels_) == 20 and np.isfinite(model.certificate_.value)
    found = len(np.unique(model.labels_))
    # Either the answer is short of clusters and says so, or points were divided.
    if found < 4:
        assert any(issubclass(w.category, UserWarning) for w in caught)


INVARIANT = [n for n in MAKE if not n.startswith("coding")]


@pytest.mark.parametrize("name", INVARIANT)
@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_units_and_origin_do_not_matter(name, scale):
    X, _ = blobs()
    first = quiet_fit(MAKE[name](3), X).labels_
    moved = quiet_fit(MAKE[name](3), scale * (X + 1e6)).labels_
    assert adjusted_rand_score(first, moved) == 1.0


def test_partitive_partitioning_keeps_to_the_same_rules():
    X, y = blobs()
    model = ProbabilisticPartitivePartitioning(5, n_init=5, random_state=0).fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1.0
    moved = ProbabilisticPartitivePartitioning(5, n_init=5, random_state=0)
    assert_array_equal(moved.fit(1e-4 * (X + 1e6)).labels_, model.labels_)
    for bad, message in ((np.nan, "NaN"), (np.inf, "infinity")):
        wrong = X.copy()
        wrong[0, 0] = bad
        with pytest.raises(ValueError, match=message):
            moved.fit(wrong)


def test_weights_that_vanish_beside_others_are_zeros():
    X = np.zeros((3, 1))
    found = check_weights(np.array([1e-210, 1.0, 2.0]), X)
    assert_array_equal(found, [0.0, 1.0, 2.0])
    kept = np.array([2e-200, 1.0, 2.0])
    assert_array_equal(check_weights(kept, X), kept)


FOUR = np.repeat([[1.0, 2.0], [2.0, 1.0], [3.0, 1.0], [1.0, 5.0]], 5, axis=0)


@pytest.mark.parametrize(
    "model",
    [
        SDPKMeans(6, random_state=0),
        SDPKMeans(6, solver="nlr", random_state=0),
        DoublyStochasticClustering(6, random_state=0),
        LaplacianKMeans(6, random_state=0),
        CodingRateSubspaceClustering(6, random_state=0),
        LikelihoodAdjustedSDP(6, random_state=0),
    ],
    ids=repr,
)
def test_equal_points_stay_together_and_are_told_in_one_warning(model):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        labels = model.fit(FOUR).labels_.reshape(4, 5)
    assert (labels == labels[:, :1]).all()
    assert isinstance(model, LaplacianKMeans) or len(np.unique(labels)) == 4
    told = [str(w.message) for w in caught if w.category is ConvergenceWarning]
    assert told == [
        "Number of distinct points (4) found smaller than n_clusters (6). Possibly due "
        "to duplicate points in X."
    ]
