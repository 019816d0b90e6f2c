"""Exact transport on few arcs: the answer of all arcs, and a proof over all pairs."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from sparsestat.transport import (
    _candidates,
    _exact,
    sinkhorn,
    sinkhorn_points,
    wasserstein_distance,
)
from sparsestat.transport._cells import CellCost
from sparsestat.transport._costs import PointCost


@pytest.fixture
def always(monkeypatch):
    """Take candidate arcs whatever the size, and coarse problems of few points."""
    monkeypatch.setattr(_exact, "has_candidates", lambda c: isinstance(c, PointCost))
    monkeypatch.setattr(_candidates, "_COARSE", 4)


def check(X, Y, a, b, metric):
    found = sinkhorn_points(X, Y, a, b, metric=metric, method="exact")
    C = cdist(X, Y, metric)
    whole = sinkhorn(C, a, b, method="exact")
    assert found.converged
    # A plan may differ by pairs of equal cost: what counts is its cost and margins.
    assert found.value == pytest.approx(whole.value, rel=1e-12, abs=1e-15 * C.max())
    P = found.plan.toarray()
    left = np.full(len(X), 1 / len(X)) if a is None else a
    right = np.full(len(Y), 1 / len(Y)) if b is None else b * (left.sum() / b.sum())
    np.testing.assert_allclose(P.sum(axis=1), left, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(P.sum(axis=0), right, rtol=1e-12, atol=1e-16)
    phi, psi = found.potentials
    assert (C - phi[:, None] - psi).min() >= -1e-13 * C.max()
    assert left @ phi + right @ psi == pytest.approx(
        found.value, rel=1e-12, abs=1e-13 * C.max()
    )


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cityblock"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (60, 60), (90, 25), (30, 110)])
@pytest.mark.parametrize("n_features", [1, 2, 4])
def test_candidates_give_the_answer_of_all_pairs(always, metric, shape, n_features):
    rng = np.random.default_rng(shape[0] + n_features)
    X = rng.standard_normal((shape[0], n_features))
    Y = rng.standard_normal((shape[1], n_features)) + 0.5
    check(X, Y, None, None, metric)
    a, b = rng.dirichlet(np.ones(shape[0])), rng.dirichlet(np.ones(shape[1]))
    check(X, Y, a, b, metric)


@pytest.mark.parametrize("seed", range(20))
def test_ties_duplicates_and_zero_masses(always, seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 80, 2)
    X = rng.integers(0, 4, (n, 2)).astype(float)
    Y = rng.integers(0, 4, (m, 2)).astype(float)
    a, b = rng.integers(0, 3, n).astype(float), rng.integers(0, 3, m).astype(float)
    a[0], b[0] = 1, 1
    check(X, Y, a, b * (a.sum() / b.sum()), "sqeuclidean" if seed % 2 else "cityblock")


def test_far_points_and_scales(always):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((70, 2)), rng.standard_normal((60, 2))
    base = sinkhorn_points(X, Y, method="exact")
    for scale in (2.0**-300, 2.0**300):
        found = sinkhorn_points(X * scale, Y * scale, method="exact")
        assert found.value == pytest.approx(base.value * scale**2, rel=1e-12)
        assert found.converged
    found = sinkhorn_points(X + 1e6, Y + 1e6, method="exact")
    assert found.value == pytest.approx(base.value, rel=1e-8)


def test_a_bad_start_is_mended_by_rounds(always, monkeypatch):
    # One arc a point to begin with, and one in each round, from useless duals.
    monkeypatch.setattr(_candidates, "_FIRST", 1)
    monkeypatch.setattr(_candidates, "_MORE", 1)
    monkeypatch.setattr(
        _candidates,
        "_coarse_potentials",
        lambda cost, a, b: np.random.default_rng(0).random(cost.shape[1]),
    )
    rng = np.random.default_rng(1)
    check(rng.random((80, 2)), rng.random((80, 2)), None, None, "sqeuclidean")


def test_rounds_that_are_not_enough_are_not_satisfied(always, monkeypatch):
    monkeypatch.setattr(_candidates, "_FIRST", 1)
    monkeypatch.setattr(_candidates, "_MOST_ROUNDS", 1)
    rng = np.random.default_rng(2)
    X, Y = rng.random((80, 2)), rng.random((80, 2))
    with pytest.warns(match="gap"):
        found = sinkhorn_points(X, Y, method="exact")
    best = sinkhorn(cdist(X, Y, "sqeuclidean"), method="exact").value
    assert not found.converged
    assert found.value > best > found.value - found.gap
    assert found.certificate.details["lower_bound"] <= best


@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
def test_every_point_and_every_column_has_its_dual(shape, monkeypatch):
    rng = np.random.default_rng(4)
    X, Y = rng.random((shape[0], 2)), rng.random((shape[1], 2))
    best, lengths = _candidates._best, []

    def counted(points, cost, own, cross, limit, most):
        lengths.append((len(own) - len(points), len(cross) - len(cost.Y)))
        return best(points, cost, own, cross, limit, most)

    monkeypatch.setattr(_candidates, "_best", counted)
    cost = CellCost.of(PointCost(X, Y, "sqeuclidean"), 4)[0]
    found = _candidates.nearest_costs(cost)
    C = cdist(cost.X, cost.Y, "sqeuclidean")
    np.testing.assert_allclose(found, C.min(axis=1), rtol=1e-13)
    mass = [np.full(n, 360 // n) / 360.0 for n in cost.shape]
    monkeypatch.setattr(_candidates, "_COARSE", 2)
    _candidates.solve_points(cost, *mass)
    assert len(lengths) > 3 and set(lengths) == {(0, 0)}


def test_candidates_are_for_nine_million_pairs_of_few_dimensions():
    of = np.zeros((3000, 2))
    for n, d, expected in ((3000, 2, True), (2999, 2, False), (3000, 5, False)):
        cost = PointCost(np.zeros((n, d)), np.zeros((3000, d)), "sqeuclidean")
        assert _candidates.has_candidates(cost) == expected
    assert not _candidates.has_candidates(PointCost(of[:2999], of, "sqeuclidean"))


def test_many_points_of_the_plane():
    rng = np.random.default_rng(3)
    X, Y = rng.random((3100, 2)), rng.random((3000, 2))
    assert _candidates.has_candidates(PointCost(X, Y, "sqeuclidean"))
    for few in ((X[:9], Y), (X, Y[:9]), (X[:9], Y[:9])):
        assert not _candidates.has_candidates(PointCost(*few, "sqeuclidean"))
    # The distance of a set to itself moved is how far it was moved.
    moved = X + [0.3, 0.4]
    assert wasserstein_distance(X, moved) == pytest.approx(0.5, rel=1e-12)
