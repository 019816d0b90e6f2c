"""Exchanges of single points, and the three ways to prove a partition."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, load_wine
from sklearn.preprocessing import scale

from sparsestat.cluster import SDPKMeans, kmeans_certificate
from sparsestat.cluster._exchange import DistinctRows
from sparsestat.cluster._seeding import drawing_order


def cost_of(X, labels, weights):
    total = 0.0
    for k in np.unique(labels):
        mine = labels == k
        mean = np.average(X[mine], axis=0, weights=weights[mine])
        total += (weights[mine, None] * (X[mine] - mean) ** 2).sum()
    return total


def best_neighbor(X, labels, weights, n_clusters):
    """Return the least cost among all partitions one point away, by enumeration."""
    costs = []
    for i in range(len(X)):
        for k in range(n_clusters):
            other = labels.copy()
            other[i] = k
            if len(np.unique(other)) == n_clusters:
                costs.append(cost_of(X, other, weights))
    return min(costs)


def exchanged(X, labels, n_clusters, weights=None):
    weights = np.ones(X.shape[0]) if weights is None else weights
    distinct = DistinctRows(X, weights, drawing_order(X))
    return distinct.exchange(labels, n_clusters)


@pytest.mark.parametrize("seed", range(4))
def test_no_single_move_improves_what_comes_out(seed):
    rng = np.random.default_rng(seed)
    X, weights = rng.standard_normal((24, 2)), rng.uniform(0.5, 2.0, 24)
    start = np.arange(24) % 4
    labels, centers, moves, finished = exchanged(X, start, 4, weights)
    assert finished and moves > 0
    found = cost_of(X, labels, weights)
    assert found <= best_neighbor(X, labels, weights, 4) * (1 + 1e-12)
    assert found < cost_of(X, start, weights)
    for k in range(4):
        mean = np.average(X[labels == k], axis=0, weights=weights[labels == k])
        np.testing.assert_allclose(centers[k], mean, rtol=1e-12)
    # Such a partition is a fixed point of Lloyd's iteration too.
    distance = ((X[:, None] - centers) ** 2).sum(2)
    np.testing.assert_array_equal(distance.argmin(1), labels)


def test_sparse_rows_and_permuted_rows_make_the_same_moves():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3)) * (rng.uniform(size=(60, 3)) < 0.6)
    X[:, 0] = rng.standard_normal(60)  # equal rows would share a label
    start = np.arange(60) % 3
    labels, centers, moves, _ = exchanged(X, start, 3)
    twin = exchanged(sparse.csr_array(X), start, 3)
    np.testing.assert_array_equal(twin[0], labels)
    np.testing.assert_allclose(twin[1], centers, rtol=1e-9, atol=1e-12)
    order = rng.permutation(60)
    permuted = exchanged(X[order], start[order], 3)
    assert permuted[2] == moves
    np.testing.assert_array_equal(permuted[0], labels[order])


def test_equal_rows_move_as_one_row_of_their_weight():
    rng = np.random.default_rng(1)
    X, weights = rng.standard_normal((30, 2)), rng.integers(1, 4, 30).astype(float)
    start = np.arange(30) % 3
    rows = np.repeat(np.arange(30), weights.astype(int))
    labels = exchanged(X, start, 3, weights)[0]
    repeated = exchanged(X[rows], start[rows], 3)[0]
    np.testing.assert_array_equal(repeated, labels[rows])


def test_clusters_are_never_emptied_and_too_few_rows_are_left_alone():
    X = np.array([[0.0], [0.1], [0.2], [5.0]])
    labels = exchanged(X, np.array([0, 0, 1, 2]), 3)[0]
    assert len(np.unique(labels)) == 3
    assert exchanged(np.zeros((4, 1)), np.arange(4) % 2, 2) is None


@pytest.mark.parametrize("name, n_clusters", [("wine", 6), ("iris", 5), ("iris", 8)])
def test_not_above_ten_starts_of_kmeans(name, n_clusters):
    load = {"wine": load_wine, "iris": load_iris}[name]
    X = scale(load().data)
    peer = KMeans(n_clusters, n_init=10, random_state=0).fit(X).inertia_
    model = SDPKMeans(n_clusters, certify="quick", random_state=0).fit(X)
    assert model.inertia_ <= peer * (1 + 1e-9)


def test_the_default_proof_of_a_small_table_is_the_relaxation():
    X = scale(load_wine().data)[::2]
    quick = SDPKMeans(4, certify="quick", random_state=0).fit(X)
    assert quick.certificate_.bound in ("pca", "rank_one")
    assert "certify='sdp'" in quick.certificate_.scale
    assert quick.n_iter_ == 0
    default = SDPKMeans(4, random_state=0).fit(X)
    assert default.certificate_.bound == "dual"
    assert default.gap_ < 0.2 * quick.gap_
    assert "certify='sdp'" not in default.certificate_.scale
    # The low-rank solver is proved the same way, and from labels alone as well.
    low_rank = SDPKMeans(4, solver="nlr", certify="sdp", random_state=0).fit(X)
    assert low_rank.certificate_.bound == "dual"
    assert low_rank.gap_ < 0.2 * quick.gap_
    proof = kmeans_certificate(X, default.labels_)
    assert proof.bound == "dual"
    assert proof.gap == pytest.approx(default.gap_, rel=0.1)
    none = SDPKMeans(4, certify=False, random_state=0).fit(X)
    assert none.lower_bound_ == 0.0
    assert none.inertia_ == pytest.approx(quick.inertia_, rel=1e-12)


def test_a_proof_that_does_not_fit_is_refused_by_name():
    X = np.zeros((5001, 1))
    with pytest.raises(ValueError, match="certify='sdp' forms n x n matrices"):
        SDPKMeans(2, certify="sdp").fit(X)
