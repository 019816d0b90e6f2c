"""Proofs of K-means partitions against every partition there is.

Small problems are drawn with ties, duplicates, far origins, sparse rows and weights
of any size. A bound above the least cost, a proved partition that is not best and a
crash are all failures. ``SPARSESTAT_KMEANS_PROBLEMS=10000`` draws as many.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import os
import warnings
from functools import cache

import numpy as np
import pytest
from scipy import sparse

from sparsestat.cluster import SDPKMeans, kmeans_certificate

N_PROBLEMS = int(os.environ.get("SPARSESTAT_KMEANS_PROBLEMS", "300"))
N_PARTS = 10


@cache
def partitions(n, n_clusters):
    """Return every labeling of n points by at most so many clusters, once each."""
    grown = np.zeros((1, 1), dtype=np.int64)
    for _ in range(n - 1):
        used = grown.max(axis=1)
        parts = [
            np.column_stack([rows, np.full(len(rows), k)])
            for k in range(n_clusters)
            for rows in [grown[used >= k - 1]]
        ]
        grown = np.vstack(parts)
    return grown


def costs(X, weights, labellings, n_clusters):
    """Return the costs of partitions in extended precision, about the first point."""
    X = X.astype(np.longdouble)
    w = np.ones(len(X)) if weights is None else weights / weights.max()
    w = w.astype(np.longdouble)
    X = X - X[0]
    X = X - (w @ X) / w.sum()
    total = (w @ X**2).sum()
    for k in range(n_clusters):
        mine = (labellings == k) * w
        mass = mine.sum(axis=1)
        sums = mine @ X
        share = np.divide(1.0, mass, out=np.zeros_like(mass), where=mass > 0)
        total = total - (sums**2).sum(axis=1) * share
    return np.maximum(total, 0.0), float((w @ X**2).sum())


def draw(rng):
    n, d = rng.randint(2, 9), rng.randint(1, 4)
    n_clusters = rng.randint(2, min(n, 4) + 1)
    kind = rng.randint(4)
    if kind == 0:
        X = rng.randint(0, 4, size=(n, d)).astype(float)
    elif kind == 1:
        X = rng.standard_normal((n, d))
    elif kind == 2:
        X = rng.randint(0, 4, size=(n, 1)) + 10.0 ** -rng.randint(1, 8) * rng.randn(
            n, d
        )
    else:
        X = 1e3 * rng.randint(0, 2, size=(n, d)) + rng.randint(0, 3, size=(n, d))
    X = X * 10.0 ** rng.randint(-2, 3)
    if rng.rand() < 0.6:
        X = X + 10.0 ** rng.randint(0, 9) * rng.choice([-1.0, 1.0], size=d)
    weights = None
    if rng.rand() < 0.4:
        weights = rng.randint(1, 4, size=n).astype(float)
        weights *= rng.choice([1.0, 1e-200, 1e150])
    return X, n_clusters, weights, rng.rand() < 0.5


def check(X, n_clusters, weights, as_sparse, rng):
    least, total = costs(X, weights, partitions(len(X), n_clusters), n_clusters)
    unit = 1.0 if weights is None else weights.max()
    # Extended precision has 64 bits.
    blur = 1e-18 * total
    best = float(least.min())
    given = sparse.csr_array(X) if as_sparse else X

    def judge(certificate, labels):
        cost = float(costs(X, weights, labels[None], labels.max() + 1)[0][0])
        bound = certificate.lower_bound / unit
        assert bound <= best * (1 + 1e-12) + blur
        found = certificate.details["cost"] / unit
        slack = certificate.details["gap_rounding"] * found + 1e-12 * cost + blur
        assert abs(found - cost) <= slack
        if certificate.certified:
            assert cost <= best * (1 + 1.1e-6) + blur
        return cost

    labels = np.unique(rng.randint(n_clusters, size=len(X)), return_inverse=True)[1]
    optimal = partitions(len(X), n_clusters)[least.argmin()]
    for tried in (labels, optimal):
        if len(np.unique(tried)) == n_clusters:
            for method in ("rank_one", "dual"):
                found = kmeans_certificate(
                    given, tried, sample_weight=weights, method=method, max_iter=100
                )
                judge(found, tried)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SDPKMeans(n_clusters, max_iter=100, n_init=1, random_state=0)
        model.fit(given, sample_weight=weights)
    cost = judge(model.certificate_, model.labels_)
    np.testing.assert_allclose(
        model.inertia_ / unit, cost, rtol=1e-6, atol=1e-13 * total
    )
    return model.certified_


@pytest.mark.parametrize("part", range(N_PARTS))
def test_no_proof_is_false(part):
    rng = np.random.RandomState(part)
    proved = 0
    count = max(N_PROBLEMS // N_PARTS, 1)
    for _ in range(count):
        proved += check(*draw(rng), rng)
    assert proved > 0.5 * count


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_a_partition_too_large_for_bounds_is_priced(container, monkeypatch):
    from sparsestat.cluster import _certify

    monkeypatch.setattr(_certify, "_LARGEST_SIDE", 4)
    rng = np.random.RandomState(0)
    X = rng.standard_normal((30, 6)) + 100.0
    labels, w = np.arange(30) % 4, rng.uniform(0.5, 3.0, 30)
    found = kmeans_certificate(container(X), labels, sample_weight=w, method="rank_one")
    means = [
        np.average(X[labels == k], axis=0, weights=w[labels == k]) for k in range(4)
    ]
    cost = (w[:, None] * (X - np.array(means)[labels]) ** 2).sum()
    assert found.bound == "trivial" and not found.certified
    np.testing.assert_allclose(found.details["cost"], cost, rtol=1e-10)
    assert 0 < found.details["gap_rounding"] < 1e-10


def test_points_that_coincide_cost_nothing_and_others_something():
    X = np.array([[0.1], [0.1], [0.1], [0.7], [0.7], [0.7]])
    labels = np.repeat([0, 1], 3)
    found = kmeans_certificate(X, labels)
    assert found.certified and found.details["cost"] == 0.0
    X[0] += 1e-9
    found = kmeans_certificate(sparse.csr_array(X + 1e3), labels)
    assert found.details["cost"] > 0.0
    model = SDPKMeans(3, random_state=0).fit(np.array([[0.0], [1e-9], [1.0], [1.0]]))
    assert len(set(model.labels_)) == 3 and model.inertia_ == 0.0


def test_new_points_may_lie_anywhere():
    X = np.array([[0.0, 1.0], [0.0, 2.0], [9.0, 1.0], [9.0, 2.0]]) + 1e8
    model = SDPKMeans(2, random_state=0).fit(X)
    low, high = model.labels_[[0, 2]]
    far = np.array([[-1e300, 0.0], [1e300, 0.0]])
    for container in (np.asarray, sparse.csr_array):
        assert model.predict(container(far)).tolist() == [low, high]
    distances = model.transform(far)
    np.testing.assert_allclose(distances, 1e300, rtol=1e-12)
    np.testing.assert_allclose(model.transform(X)[0, low], 0.5, rtol=1e-7)


def test_units_that_leave_double_precision_are_refused_by_name():
    X = 1e100 * np.array([[0.0], [1.0], [9.0], [10.0]])
    with pytest.raises(ValueError, match="Rescale one of them"):
        kmeans_certificate(X, [0, 0, 1, 1], sample_weight=np.full(4, 1e150))
