"""Probabilistic partitive partitioning: separable data, repeatability, honesty."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from sparsestat.cluster import ProbabilisticPartitivePartitioning, _partitive
from sparsestat.cluster._partitive import _matched, _mixture
from sparsestat.datasets import make_gaussian_clusters
from sparsestat.exceptions import ConvergenceWarning, NoAcceptablePartitionWarning


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_well_separated_blobs_are_core_to_the_last_point(k):
    X, y = make_gaussian_clusters(60 * k, 5, k, separation=20.0, random_state=0)
    model = ProbabilisticPartitivePartitioning(random_state=0).fit(X)
    assert model.n_clusters_ == k
    assert adjusted_rand_score(y, model.labels_) == 1.0
    assert model.core_mask_.all() and model.separable_fraction_ == 1.0
    assert_allclose(model.jaccard_, 1)
    assert_allclose(model.posterior_, 1)
    assert model.stability_[k] == 1.0 and model.acceptable_[k]
    assert_array_equal(model.predict(X), model.labels_)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_one_gaussian_is_one_cluster_and_says_so(rng):
    X = rng.standard_normal((300, 3))
    with pytest.warns(NoAcceptablePartitionWarning, match="No number of clusters"):
        model = ProbabilisticPartitivePartitioning(random_state=0).fit(X)
    assert model.n_clusters_ == 1 and not model.labels_.any()
    assert model.separable_fraction_ == 0 and not any(model.acceptable_.values())
    assert not model.predict(X).any()
    assert_allclose(model.cluster_centers_, X.mean(axis=0, keepdims=True))


@pytest.mark.parametrize(
    ("load", "k", "agreement"), [(load_iris, 2, 0.55), (load_wine, 3, 0.85)]
)
def test_labels_of_real_data_do_not_depend_on_the_seed(load, k, agreement):
    X, y = load(return_X_y=True)
    models = [
        ProbabilisticPartitivePartitioning(random_state=s).fit(X) for s in range(3)
    ]
    for model in models:
        assert model.n_clusters_ == k
        assert_array_equal(model.labels_, models[0].labels_)
    core = models[0].core_mask_
    found = adjusted_rand_score(y, models[0].labels_)
    assert found > agreement
    assert 0.4 < core.mean() <= 1
    # Core points are cleaner than the rest.
    assert adjusted_rand_score(y[core], models[0].labels_[core]) >= found - 0.01


def test_no_number_of_clusters_is_invented():
    X, _ = load_breast_cancer(return_X_y=True)
    Z = PCA(5, random_state=0).fit_transform(StandardScaler().fit_transform(X))
    with pytest.warns(NoAcceptablePartitionWarning):
        model = ProbabilisticPartitivePartitioning(max_clusters=6, random_state=0)
        assert model.fit(Z).n_clusters_ == 1


def test_order_of_rows_and_units_do_not_matter(rng):
    X, _ = make_gaussian_clusters(150, 4, 3, separation=9.0, random_state=1)
    first = ProbabilisticPartitivePartitioning(random_state=0).fit(X)
    order = rng.permutation(150)
    for scale in (1e-4, 1e4):
        moved = scale * X[order] + 1e6 * scale
        again = ProbabilisticPartitivePartitioning(random_state=0).fit(moved)
        assert_array_equal(first.labels_[order], again.labels_)
        assert_array_equal(first.core_mask_[order], again.core_mask_)
    centers = first.cluster_centers_
    assert_array_equal(np.lexsort(centers.T[::-1]), np.arange(3))


def test_core_points_lie_inside(rng):
    X, y = make_gaussian_clusters(600, 2, 2, separation=4.5, random_state=0)
    model = ProbabilisticPartitivePartitioning(random_state=0).fit(X)
    assert model.n_clusters_ == 2
    core = model.core_mask_
    assert 0.5 < core.mean() < 1
    right = (
        (model.labels_ == y)
        if (model.labels_ == y).mean() > 0.5
        else (model.labels_ != y)
    )
    assert right[core].mean() > right[~core].mean()
    stricter = ProbabilisticPartitivePartitioning(
        posterior_threshold=0.95, random_state=0
    ).fit(X)
    assert stricter.n_clusters_ == 1 or stricter.core_mask_.mean() <= core.mean()


def test_clusters_within_clusters_are_split(rng):
    far = np.array([[0.0, 0.0], [1000.0, 0.0]])
    near = np.array([[0.0, 0.0], [0.0, 15.0]])
    centers = (far[:, None] + near).reshape(-1, 2)
    X = np.repeat(centers, 60, axis=0) + rng.standard_normal((240, 2))
    arguments = {"max_clusters": 2, "standardize": False, "random_state": 0}
    flat = ProbabilisticPartitivePartitioning(**arguments).fit(X)
    assert flat.n_clusters_ == 2
    deep = ProbabilisticPartitivePartitioning(recursive=True, **arguments).fit(X)
    assert deep.n_clusters_ == 4
    assert adjusted_rand_score(np.repeat(range(4), 60), deep.labels_) == 1.0
    assert deep.gaussian_mixture_.n_components == 4
    assert_array_equal(deep.predict(X), deep.labels_)


def test_matching_renames_the_other_labels():
    labels = np.array([0, 0, 1, 1, 2, 2])
    assert_array_equal(_matched(labels, np.array([2, 2, 0, 0, 1, 1]), 3), labels)


def test_the_mixture_starts_at_the_partition(rng):
    X, y = make_gaussian_clusters(90, 3, 3, separation=30.0, random_state=0)
    mixture = _mixture(X, y, 3, 1e-6)
    assert_array_equal(mixture.predict(X), y)
    for k in range(3):
        assert_allclose(mixture.means_[k], X[y == k].mean(axis=0), atol=1e-8)
    assert_allclose(mixture.weights_, 1 / 3)


def test_many_rows_are_assigned_in_the_end(monkeypatch):
    from sparsestat.cluster import _partitive

    monkeypatch.setattr(_partitive, "_MOST_ROWS", 300)
    X, y = make_gaussian_clusters(1000, 3, 3, separation=15.0, random_state=0)
    model = ProbabilisticPartitivePartitioning(max_clusters=4, random_state=0).fit(X)
    assert model.n_clusters_ == 3 and len(model.labels_) == 1000
    assert adjusted_rand_score(y, model.labels_) == 1.0


def test_workers_do_not_change_the_result():
    X, _ = load_iris(return_X_y=True)
    one = ProbabilisticPartitivePartitioning(random_state=0).fit(X)
    two = ProbabilisticPartitivePartitioning(random_state=0, n_jobs=2).fit(X)
    assert_array_equal(one.core_mask_, two.core_mask_)
    assert one.stability_ == two.stability_


def test_degenerate_data(rng):
    for X in (np.ones((20, 2)), np.ones((1, 2)), np.zeros((3, 1))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoAcceptablePartitionWarning)
            model = ProbabilisticPartitivePartitioning(random_state=0).fit(X)
        assert model.n_clusters_ == 1
    X = np.repeat([[0.0, 1.0], [5.0, 1.0], [9.0, 1.0]], 10, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoAcceptablePartitionWarning)
        model = ProbabilisticPartitivePartitioning(random_state=0).fit(X)
    assert model.n_clusters_ in (1, 3)
    with pytest.raises(ValueError, match="Complex data not supported"):
        ProbabilisticPartitivePartitioning().fit(X * 1j)
    with pytest.raises(ValueError, match="'stability_threshold'"):
        ProbabilisticPartitivePartitioning(stability_threshold=1.5).fit(X)


def test_a_higher_quorum_leaves_fewer_core_points(rng):
    # Two means cut a disc in any direction: no point stays in its half.
    X = rng.standard_normal((150, 2))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    X[:75] *= 0.5
    masks = [
        ProbabilisticPartitivePartitioning(
            core_quorum=quorum, stability_threshold=0.0, posterior_threshold=0.0,
            max_clusters=2, random_state=0,
        ).fit(X).core_mask_
        for quorum in (0.0, 0.6, 1.0)
    ]  # fmt: skip
    for low, high in pairwise(masks):
        assert not (high & ~low).any()
    assert masks[0].sum() > masks[-1].sum()


@pytest.mark.parametrize("ridge", [1e-6, 1e-1])
def test_covariances_have_a_ridge_relative_to_their_variance(ridge, rng):
    X, _ = make_gaussian_clusters(200, 3, 2, separation=20.0, random_state=0)
    X[:, 2] = 1e-9 * rng.standard_normal(200)
    model = ProbabilisticPartitivePartitioning(
        max_clusters=2, n_init=5, reg_covar=ridge, standardize=False, random_state=0
    ).fit(X)
    assert model.n_clusters_ == 2
    own = [np.cov(X[model.labels_ == k].T, bias=True) for k in range(2)]
    share = np.bincount(model.labels_) / 200
    mean = sum(w * np.trace(S) / 3 for w, S in zip(share, own, strict=True))
    # The mixture is that of scaled data: one factor for all.
    expected = np.array(own) + ridge * mean * np.eye(3)
    found = model.gaussian_mixture_.covariances_
    found = found * np.trace(expected.sum(axis=0)) / np.trace(found.sum(axis=0))
    order = np.argsort(found[:, 0, 0])
    expected = expected[np.argsort(expected[:, 0, 0])]
    assert_allclose(found[order], expected, rtol=1e-4, atol=1e-9)


def test_a_mixture_that_stops_early_is_announced(monkeypatch):
    X, _ = make_gaussian_clusters(200, 2, 2, separation=5.0, random_state=0)
    monkeypatch.setattr(_partitive, "_MAX_EM", 1)
    with pytest.warns(ConvergenceWarning, match="EM of the mixture"):
        model = ProbabilisticPartitivePartitioning(max_clusters=2, random_state=0)
        model.fit(X)
    assert not model.certificate_.satisfied and model.n_iter_ == 1
    assert model.certificate_.value == np.inf  # there is nothing to compare


def test_resolution_lowers_the_thresholds_and_favors_more_clusters():
    X = load_iris().data
    strict = ProbabilisticPartitivePartitioning(random_state=0).fit(X)
    fine = ProbabilisticPartitivePartitioning(resolution=1.0, random_state=0).fit(X)
    assert strict.n_clusters_ == 2
    assert fine.n_clusters_ > 2 and all(fine.acceptable_.values())
    assert fine.separable_fraction_ < strict.separable_fraction_
    half = ProbabilisticPartitivePartitioning(
        max_clusters=5, resolution=0.5, random_state=0
    ).fit(X)
    same = ProbabilisticPartitivePartitioning(
        max_clusters=5,
        stability_threshold=0.45,
        posterior_threshold=0.45,
        random_state=0,
    ).fit(X)
    assert half.acceptable_ == same.acceptable_


def test_the_certificate_is_that_of_the_mixture():
    X, _ = make_gaussian_clusters(150, 3, 3, separation=12.0, random_state=0)
    model = ProbabilisticPartitivePartitioning(max_clusters=3, random_state=0).fit(X)
    certificate, mixture = model.certificate_, model.gaussian_mixture_
    assert certificate.satisfied and certificate.tol == mixture.tol
    bounds = mixture.lower_bounds_
    assert len(bounds) > 1
    assert certificate.value == abs(bounds[-1] - bounds[-2]) < mixture.tol
    assert certificate.details == {
        "n_clusters": 3,
        "stability": model.stability_[3],
        "separable_fraction": model.core_mask_.mean(),
    }
    assert model.n_iter_ == mixture.n_iter_ and model.n_clusters_ == 3
    means = [X[model.labels_ == k].mean(axis=0) for k in range(3)]
    assert_allclose(model.cluster_centers_, means, rtol=1e-9)
