"""The elastic net as a problem: which way solves it, and its degrees of freedom."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from sparsestat.linear_model._penalized import _elastic_net
from sparsestat.linear_model._penalized._elastic_net import ElasticNetProblem
from sparsestat.linear_model._penalized._problems import PathProblem

LIMITS = {"tol": 1e-8, "max_iter": 100, "max_epochs": 10_000}


def data(seed=0, n=30, p=5):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + 1.0
    return rng, X, X[:, 0] - X[:, 1] + 0.3 * rng.standard_normal(n)


@pytest.mark.parametrize("unit", [1.0, 2.0**300])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("omega", [None, np.array([0.5, 1.0, 2.0, 1.5, 0.25])])
def test_degrees_of_freedom_are_the_trace_of_the_map_of_a_support(
    omega, weighted, unit
):
    rng, X, y = data()
    weights = rng.integers(1, 4, 30).astype(float) if weighted else None
    problem = ElasticNetProblem(
        X * unit, y, weights, fit_intercept=True, feature_weights=omega, **LIMITS
    )
    result = SimpleNamespace(columns=np.array([1, 4]), coef=np.array([1.0, -2.0]))
    s = np.ones(30) if weights is None else weights
    A = (X - s @ X / s.sum())[:, [1, 4]]
    G = (A.T * s) @ A
    for alpha, ratio in ((0.1, 0.5), (2.0, 0.25), (0.3, 0.0)):
        of = np.ones(2) if omega is None else omega[[1, 4]]
        ridge = s.sum() * alpha * (1.0 - ratio) * np.diag(of)
        found = problem.degrees_of_freedom(result, alpha * unit**2, ratio)
        assert found == pytest.approx(np.trace(np.linalg.solve(G + ridge, G)))
    assert problem.degrees_of_freedom(result, 0.1, 1.0) == 2.0
    one = SimpleNamespace(columns=np.array([4]), coef=np.array([-2.0]))
    share = 1.0 if omega is None else omega[4]
    expected = G[1, 1] / (G[1, 1] + s.sum() * 0.05 * share)
    found = problem.degrees_of_freedom(one, 0.1 * unit**2, 0.5)
    assert found == pytest.approx(expected)
    none = SimpleNamespace(columns=np.array([], dtype=int), coef=np.array([]))
    assert problem.degrees_of_freedom(none, 0.1, 0.5) == 0.0
    both = ElasticNetProblem(X, np.c_[y, -y], None, fit_intercept=True, **LIMITS)
    result = SimpleNamespace(columns=np.array([1]), coef=np.array([[1.0, -2.0]]))
    assert both.degrees_of_freedom(result, 0.1, 0.5) == 2.0


@pytest.mark.parametrize("way", ["gram_results", "csc_results"])
def test_strengths_take_the_better_of_two_ways_where_one_misses(way, monkeypatch):
    _, X, y = data()
    if way == "csc_results":
        X = sparse.csc_array(np.where(np.abs(X) > 2.5, X, 0.0))
    problem = ElasticNetProblem(X, y, None, fit_intercept=True, **LIMITS)
    alphas = np.geomspace(1.0, 0.1, 4)
    suits = way.replace("results", "path").replace("_path", "")
    monkeypatch.setattr(_elastic_net, f"suits_{suits}", lambda *_: True)
    if suits == "csc":
        monkeypatch.setattr(_elastic_net, "suits_gram", lambda *_: False)
    calls = []

    def points(*gaps):
        return [SimpleNamespace(gap=gap, of=object()) for gap in gaps]

    def slow(self, *arguments, coef_init=None, verbose=0):
        calls.append((*arguments, coef_init, verbose))
        return others

    monkeypatch.setattr(PathProblem, "solve", slow)
    others = points(1e-9, 1e-9, 1e-3, 1e-9)
    for compiled, n_calls in (
        (points(0.0, 1e-8, 0.0, 0.0), 0),  # the tolerance, met
        (points(0.0, 1e-9, 0.0, 0.0), 0),
        (points(0.0, 2e-8, 1e-2, 0.0), 1),
        (None, 1),
    ):
        calls.clear()
        monkeypatch.setattr(_elastic_net, way, lambda *_, found=compiled: found)
        found = problem.solve(alphas, 0.5, verbose=3)
        assert len(calls) == n_calls
        if compiled is None:
            assert found is others
        elif n_calls == 0:
            assert found is compiled
        else:
            assert found == [compiled[0], others[1], others[2], compiled[3]]
            assert calls == [(alphas, 0.5, None, 3)]
    # A start is for the working sets.
    calls.clear()
    start = np.zeros(5)
    assert problem.solve(alphas, 0.5, coef_init=start) is others
    assert calls[0][2] is start
    # Neither way is taken where it does not suit.
    monkeypatch.setattr(_elastic_net, f"suits_{suits}", lambda *_: False)
    monkeypatch.setattr(_elastic_net, way, None)
    assert problem.solve(alphas, 0.5) is others


def test_penalties_have_the_settings_of_the_problem():
    _, X, y = data()
    omega = np.array([1.0, 0.5, 0.0, 2.0, np.inf])
    problem = ElasticNetProblem(
        X, y * 2.0**-300, None, fit_intercept=True, positive=True,
        feature_weights=omega, **LIMITS,
    )  # fmt: skip
    penalty = problem.penalty(0.2, 0.25)
    w = np.array([1.0, 2.0, 3.0, 4.0, 0.0])
    l1, l2 = 30 * 0.2 * 0.25 * omega[:4], 30 * 0.2 * 0.75 * problem.coef_unit
    expected = l1 @ w[:4] + 0.5 * l2 * omega[:4] @ w[:4] ** 2
    assert penalty.value(w) == pytest.approx(expected)
    assert penalty.positive
    plain = ElasticNetProblem(X, y, None, fit_intercept=True, **LIMITS)
    assert not plain.positive and plain.column == 0 and plain.shared is None
    both = ElasticNetProblem(X, np.c_[y, -y], None, fit_intercept=True, **LIMITS)
    W = np.array([[3.0, 4.0]] + [[0.0, 0.0]] * 4)  # a row counts by its norm
    assert both.penalty(0.2, 1.0).value(W) == pytest.approx(30 * 0.2 * 5.0)
    assert plain.penalty(0.2, 1.0).joint is False and both.penalty(0.2, 1.0).joint
    with pytest.raises(ValueError, match="no automatic grid"):
        problem.grid(10, 1e-3, 0.0)
    given = np.array([0.1, 1.0])
    assert_allclose(problem.grid(given, 1e-3, 0.0), [1.0, 0.1])


def test_targets_with_the_same_unit_share_their_moments():
    _, X, y = data()
    problem = ElasticNetProblem(
        X, np.c_[y, 2.0 * y, 0.5 * y], None, fit_intercept=True, **LIMITS
    )
    first, third = problem.of_target(0), problem.of_target(2)
    assert first.shared is third.shared is problem.shared is not None
    assert (first.column, third.column) == (0, 2)
    assert_allclose(third.target * third.y_unit, 0.5 * (y - y.mean()), atol=1e-12)
    far = ElasticNetProblem(
        X, np.c_[y, y * 2.0**-400], None, fit_intercept=True, **LIMITS
    )
    assert far.of_target(0).shared is far.shared
    assert far.of_target(1).shared is None
