"""Exact, unbalanced, symmetric and debiased transport, each against an oracle."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance as scipy_w1

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.transport import (
    _distances,
    doubly_stochastic,
    sinkhorn,
    sinkhorn_divergence,
    sinkhorn_unbalanced,
    wasserstein_distance,
)


def masses(n, m, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.random(n) + 0.05, rng.random(m) + 0.05
    return a / a.sum(), b / b.sum()


def lp_value(C, a, b):
    n, m = C.shape
    rows = sparse.kron(sparse.eye(n), np.ones(m))
    columns = sparse.kron(np.ones(n), sparse.eye(m))
    # The last equation follows from the others, but for rounding.
    A = sparse.csr_array(sparse.vstack([rows, columns]))[:-1]
    return linprog(C.ravel(), A_eq=A, b_eq=np.concatenate([a, b])[:-1]).fun


# Exact


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", [(30, 30), (60, 25), (200, 150)])
def test_exact_value_and_duals_match_the_full_program(shape, seed):
    rng = np.random.default_rng(seed)
    C, (a, b) = rng.random(shape), masses(*shape, seed)
    result = sinkhorn(C, a, b, method="exact")
    assert result.converged and result.reg == 0
    assert result.value == pytest.approx(lp_value(C, a, b), rel=1e-9)
    phi, psi = result.potentials
    assert (C - phi[:, None] - psi).min() >= -1e-12
    assert a @ phi + b @ psi == pytest.approx(result.value, rel=1e-9)
    assert result.gap <= 1e-9 * abs(result.value) + 1e-12
    np.testing.assert_allclose(result.plan.sum(axis=1), a, atol=1e-10)
    np.testing.assert_allclose(result.plan.sum(axis=0), b, atol=1e-10)


def test_exact_with_zero_masses_and_forbidden_arcs():
    C, (a, b) = np.random.default_rng(0).random((20, 20)), masses(20, 20)
    C[0, :19] = np.inf
    a[0], a[3], b[5] = 0.01, 0, 0
    a, b = a / a.sum(), b / b.sum()
    b[19] = max(b[19], 0.02)
    b /= b.sum()
    result = sinkhorn(C, a, b, method="exact")
    assert np.isfinite(result.value) and result.plan[0, 19] == pytest.approx(a[0])
    with pytest.raises(ValueError, match="leave eta out"):
        sinkhorn(C, a, b, method="exact", eta=3.0)


# Wasserstein distances


@pytest.mark.parametrize("p", [1, 1.5, 2, 4])
def test_distance_on_the_line_equals_the_program(p):
    rng = np.random.default_rng(0)
    x, y, (a, b) = rng.normal(size=40), rng.normal(size=30) + 1, masses(40, 30)
    by_sorting = wasserstein_distance(x, y, a, b, p=p)
    by_program = wasserstein_distance(x, y, a, b, p=p, method="exact")
    assert by_sorting == pytest.approx(by_program, rel=1e-8)
    if p == 1:
        assert by_sorting == pytest.approx(scipy_w1(x, y, a, b), rel=1e-12)


def test_distance_of_shifted_points_is_the_shift():
    X = np.random.default_rng(0).random((60, 3))
    shift = np.array([1.0, -2.0, 2.0])
    assert wasserstein_distance(X, X + shift) == pytest.approx(3.0, rel=1e-9)
    assert wasserstein_distance(X, X + shift, p=1) == pytest.approx(3.0, rel=1e-9)
    assert wasserstein_distance(X, X) == pytest.approx(0.0, abs=1e-6)
    near = wasserstein_distance(X, X + shift, reg=1e-3)
    assert near == pytest.approx(3.0, rel=1e-2)


def test_distance_refuses_what_does_not_fit():
    x = np.arange(3.0)
    with pytest.raises(ValueError, match="needs reg > 0"):
        wasserstein_distance(x, x, method="sns")
    with pytest.raises(ValueError, match="is exact: pass reg=0"):
        wasserstein_distance(x, x, method="sorting", reg=1.0)
    with pytest.raises(ValueError, match="points on a line"):
        wasserstein_distance(np.ones((3, 2)), np.ones((3, 2)), method="sorting")
    with pytest.raises(ValueError, match="p must be"):
        wasserstein_distance(x, x, p=0.5)
    with pytest.raises(ValueError, match="same space"):
        wasserstein_distance(np.ones((3, 2)), np.ones((3, 3)))


def test_entropic_cost_between_gaussians_matches_the_closed_form():
    # min <C, P> + eps KL(P | a b) between N(0, s^2) and N(m, t^2), squared cost:
    # with d = sqrt(4 s^2 t^2 + (eps/2)^2), the cross moment is (d - eps/2) / 2, and
    # the value m^2 + s^2 + t^2 - d + eps/2 - (eps/2) log(eps) + (eps/2) log(...)
    # follows from the mutual information of the optimal Gaussian coupling.
    s, t, m, eps = 0.7, 1.2, 1.5, 0.4
    x = np.linspace(-6, 6, 500) * s
    y = np.linspace(-6, 6, 500) * t + m
    a, b = np.exp(-0.5 * (x / s) ** 2), np.exp(-0.5 * ((y - m) / t) ** 2)
    a, b = a / a.sum(), b / b.sum()
    d = np.sqrt(4 * s**2 * t**2 + (eps / 2) ** 2)
    cross = 0.5 * (d - eps / 2)
    information = -0.5 * np.log(1 - (cross / (s * t)) ** 2)
    expected = m**2 + s**2 + t**2 - 2 * cross + eps * information
    result = sinkhorn((x[:, None] - y) ** 2, a, b, reg=eps, tol=1e-11)
    assert result.value_kl == pytest.approx(expected, rel=1e-6)


# Debiased divergence


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean"])
@pytest.mark.parametrize("reg", [0.01, 0.3, 10.0])
def test_divergence_is_zero_for_equal_measures_and_positive_otherwise(metric, reg):
    rng = np.random.default_rng(0)
    X, Y = rng.random((60, 2)), rng.random((50, 2)) + 0.3
    a, b = masses(60, 50)
    order = rng.permutation(60)
    same = sinkhorn_divergence(X, X[order], a, a[order], metric=metric, reg=reg)
    assert abs(same) < 1e-11
    assert sinkhorn_divergence(X, X, a, a, metric=metric, reg=reg) == 0
    there = sinkhorn_divergence(X, Y, a, b, metric=metric, reg=reg, tol=1e-11)
    back = sinkhorn_divergence(Y, X, b, a, metric=metric, reg=reg, tol=1e-11)
    assert there > 1e-4 and there == pytest.approx(back, rel=1e-9)


def test_divergence_of_a_shift_is_its_square():
    X = np.random.default_rng(1).normal(size=(70, 2))
    for reg in (0.05, 2.0):
        found = sinkhorn_divergence(X, X + [3.0, 4.0], reg=reg)
        assert found == pytest.approx(25.0, rel=1e-8)


@pytest.mark.parametrize("metric", ["sqeuclidean", "cityblock"])
def test_divergence_is_made_of_three_problems(metric):
    rng = np.random.default_rng(3)
    X, Y, (a, b) = rng.random((12, 2)), rng.random((9, 2)) + 0.4, masses(12, 9)
    a[4], b[0] = 0.0, 0.0
    a, b = a / a.sum(), b / b.sum()

    def value(x, y, left, right):
        C = np.abs(x[:, None] - y) ** (2 if metric == "sqeuclidean" else 1)
        return sinkhorn(C.sum(axis=2), left, right, reg=0.3, tol=1e-11).value_kl

    expected = value(X, Y, a, b) - 0.5 * (value(X, X, a, a) + value(Y, Y, b, b))
    given = {"metric": metric, "tol": 1e-11}
    for total in (1.0, 3.5):
        found = sinkhorn_divergence(X, Y, total * a, total * b, reg=0.3, **given)
        assert found == pytest.approx(total * expected, rel=1e-7)
    found = sinkhorn_divergence(X, Y, a, b, eta=1.0 / 0.3, **given)
    assert found == pytest.approx(expected, rel=1e-7)
    # Equal points of other masses, or other points of equal masses, are not equal.
    assert sinkhorn_divergence(X, X[::-1], a, a, reg=0.3) > 1e-4
    assert sinkhorn_divergence(X, X, a, a[::-1], reg=0.3) > 1e-4


@pytest.mark.parametrize("spoilt", [None, 0, 1, 2])
def test_divergence_is_certified_by_the_worst_of_three_problems(spoilt, monkeypatch):
    rng = np.random.default_rng(0)
    X, Y = rng.random((15, 2)), rng.random((11, 2)) + 0.5
    solves = _distances.solve_symmetric, _distances.solve_entropic
    errors, certified = [], []

    def own(cost, a, eps, tol):
        assert 0.0 < 2.0 * tol <= 1e-8  # both marginals of the plan
        found = solves[0](cost, a, eps, tol)
        found.error = 0.25 if spoilt == len(errors) else found.error
        points = (X, Y)[len(errors)]
        C = ((points[:, None] - points) ** 2).sum(axis=2)
        P = np.exp((found.f[:, None] + found.f - C) / eps)
        off = np.abs(P.sum(axis=0) - a).sum() + np.abs(P.sum(axis=1) - a).sum()
        errors.append(0.5 if spoilt == len(errors) else off)
        return found

    def between(*arguments):
        found = solves[1](*arguments)
        found = replace(found, marginal_error=0.5) if spoilt == 2 else found
        errors.append(found.marginal_error)
        return found

    monkeypatch.setattr(_distances, "solve_symmetric", own)
    monkeypatch.setattr(_distances, "solve_entropic", between)
    monkeypatch.setattr(
        _distances,
        "warn_if_unsatisfied",
        lambda certificate, *_: certified.append(certificate),
    )
    sinkhorn_divergence(X, Y, reg=0.1, tol=1e-8)
    assert len(errors) == 3
    [certificate] = certified
    assert certificate.tol == 1e-8 and certificate.satisfied == (spoilt is None)
    assert certificate.value == pytest.approx(max(errors), abs=1e-12)
    # Two sums of each row and column, rounded to half a unit each time.
    allowed = certificate.details["rounding"]
    assert allowed == pytest.approx(2 * 26 * 2.0**-53, rel=1e-9, abs=0.0)


def test_quantiles_are_matched_by_hand():
    def distance(x, y, a, b, p):
        parts = (np.asarray(part, dtype=float) for part in (x, y, a, b))
        return _distances._sorted_distance(*parts, p)

    # A half goes from 0 to 1; of the half at 4 one half to 1, the other to 10.
    for p, moved in ((1, 0.5 + 0.75 + 1.5), (2, 0.5 + 2.25 + 9.0)):
        found = distance([4, 0], [10, 1], [1, 1], [0.25, 0.75], p)
        assert found == pytest.approx(moved ** (1 / p), rel=1e-14)
    # Masses are scaled each by their own total; where two points are one they add up.
    found = distance([3, 3, 0], [2, -5], [1, 2, 1], [6, 2], 1)
    assert found == pytest.approx(0.75 * 1.0 + 0.25 * 5.0, rel=1e-14)
    # Powers of what is far beyond the range of powers, or within it none at all.
    assert distance([0], [1e200], [1], [1], 7) == pytest.approx(1e200, rel=1e-14)
    assert distance([0], [1e-200], [1], [1], 7) == pytest.approx(1e-200, rel=1e-14)
    assert distance([2, 1], [1, 2], [1, 3], [3, 1], 3) == 0.0
    # Where sums of masses differ in the last digit nothing of weight moves.
    a = np.full(10, 0.1)
    x = np.arange(10.0)
    assert distance(x, x[::-1], a, a, 1) <= 1e-14


# Unbalanced


def test_high_price_reproduces_balanced_transport():
    C, (a, b) = np.random.default_rng(0).random((20, 15)), masses(20, 15)
    balanced = sinkhorn(C, a, b, reg=0.1)
    free = sinkhorn_unbalanced(C, a, b, reg=0.1, reg_m=1e8)
    np.testing.assert_allclose(free.plan, balanced.plan, atol=1e-6)
    one_side = sinkhorn_unbalanced(C, a, 2 * b, reg=0.1, reg_m=(np.inf, 1.0))
    np.testing.assert_allclose(one_side.plan.sum(axis=1), a, atol=1e-8)


@pytest.mark.parametrize("prices", [(1.0, 1.0), (0.2, 3.0)])
def test_unbalanced_plan_is_the_minimizer(prices):
    cp = pytest.importorskip("cvxpy")
    C, (a, b) = np.random.default_rng(1).random((6, 5)), masses(6, 5)
    b, eps = 1.7 * b, 0.2
    P = cp.Variable(C.shape, nonneg=True)
    objective = (
        cp.sum(cp.multiply(C, P))
        + eps * cp.sum(cp.kl_div(P, np.outer(a, b)))
        + prices[0] * cp.sum(cp.kl_div(cp.sum(P, axis=1), a))
        + prices[1] * cp.sum(cp.kl_div(cp.sum(P, axis=0), b))
    )
    tight = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-11)
    best = cp.Problem(cp.Minimize(objective)).solve(solver="CLARABEL", **tight)
    result = sinkhorn_unbalanced(C, a, b, reg=eps, reg_m=prices, tol=1e-11)
    np.testing.assert_allclose(result.plan, P.value, atol=2e-6)
    assert result.value_entropic == pytest.approx(best, rel=1e-7)
    assert result.dual_value == pytest.approx(best, rel=1e-7)
    assert result.certificate.satisfied


@pytest.mark.parametrize("prices", [(1.0, 1.0), (np.inf, 0.5), (20.0, 2.0)])
@pytest.mark.parametrize("shape", [(40, 30), (30, 40)])
def test_unbalanced_newton_steps_reach_the_fixed_point(shape, prices):
    C, (a, b) = np.random.default_rng(2).random(shape), masses(*shape)
    b, eps = 1.5 * b, 2e-3
    result = sinkhorn_unbalanced(C, a, b, reg=eps, reg_m=prices, tol=1e-11)
    assert result.n_iter["newton"] > 0 and result.converged
    phi, psi = result.potentials
    r, c = result.plan.sum(axis=1), result.plan.sum(axis=0)
    np.testing.assert_allclose(r, a * np.exp(-phi / prices[0]), atol=1e-10)
    np.testing.assert_allclose(c, b * np.exp(-psi / prices[1]), atol=1e-10)
    assert result.value_entropic == pytest.approx(result.dual_value, rel=1e-9)
    again = sinkhorn_unbalanced(
        C, a, b, reg=eps, reg_m=prices, tol=1e-10, warm_start=result
    )
    assert sum(again.n_iter[k] for k in ("sinkhorn", "newton")) <= 2
    np.testing.assert_allclose(again.plan, result.plan, atol=1e-9)


def test_unbalanced_edges_and_bad_input():
    C = np.random.default_rng(0).random((4, 4))
    a = np.array([0.5, 0.0, 0.5, 0.0])
    result = sinkhorn_unbalanced(C, a, reg=1e-4, reg_m=0.01)
    assert np.isfinite(result.plan).all() and (result.plan[1] == 0).all()
    with pytest.raises(ValueError, match="total masses differ"):
        sinkhorn_unbalanced(C, a, np.ones(4), reg=0.1, reg_m=np.inf)
    with pytest.raises(ValueError, match="reg_m must be positive"):
        sinkhorn_unbalanced(C, reg=0.1, reg_m=-1.0)
    with pytest.raises(ValueError, match="warm_start must be a pair"):
        sinkhorn_unbalanced(C, reg=0.1, warm_start=([0.0], [0.0]))
    with pytest.raises(ValueError, match="one number or two"):
        sinkhorn_unbalanced(C, reg=0.1, reg_m=(1.0, 2.0, 3.0))


# Doubly stochastic


@pytest.mark.parametrize("zero_diagonal", [False, True])
@pytest.mark.parametrize("reg", [5.0, 0.5, 0.05, 0.005])
def test_scaling_is_doubly_stochastic_and_symmetric_to_the_bit(reg, zero_diagonal):
    X = np.random.default_rng(0).random((80, 2))
    C = ((X[:, None] - X) ** 2).sum(axis=-1)
    G, f, certificate = doubly_stochastic(C, reg=reg, zero_diagonal=zero_diagonal)
    assert certificate.satisfied
    assert np.abs(G.sum(axis=1) - 1).max() < 1e-9
    np.testing.assert_array_equal(G, G.T)
    assert (np.diag(G) == 0).all() == zero_diagonal
    if not zero_diagonal:
        plain = sinkhorn(C, np.ones(80), np.ones(80), reg=reg, tol=1e-12).plan
        np.testing.assert_allclose(G, plain, atol=1e-8)
        rebuilt = np.exp((f[:, None] + f - C) / reg)
        np.testing.assert_allclose(G, rebuilt, rtol=1e-10)


@pytest.mark.parametrize("zero_diagonal", [False, True])
@pytest.mark.parametrize("perplexity", [2.5, 15.0])
def test_perplexity_is_met(perplexity, zero_diagonal):
    X = np.random.default_rng(1).random((60, 2))
    C = ((X[:, None] - X) ** 2).sum(axis=-1)
    G, _, certificate = doubly_stochastic(
        C, perplexity=perplexity, zero_diagonal=zero_diagonal
    )
    some = G > 0
    entropy = -(G[some] * np.log(G[some])).sum() / 60
    assert np.exp(entropy) == pytest.approx(perplexity, rel=1e-3)
    given = doubly_stochastic(
        C, reg=certificate.details["reg"], zero_diagonal=zero_diagonal
    )[0]
    np.testing.assert_array_equal(given, G)


def test_kernel_and_given_sums():
    rng = np.random.default_rng(0)
    K = rng.random((20, 20))
    K = K + K.T
    K[0, 1] = K[1, 0] = 0
    a = rng.random(20) + 0.5
    G, _, _ = doubly_stochastic(K, a, kind="kernel")
    np.testing.assert_allclose(G.sum(axis=0), a, rtol=1e-8)
    assert G[0, 1] == 0
    ratio = (G / np.where(K > 0, K, 1))[2:, 2:]  # d_i d_j: rank one
    np.testing.assert_allclose(np.linalg.matrix_rank(ratio, tol=1e-9), 1)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"C": np.ones((2, 3)), "reg": 1.0}, "must be square"),
        ({"C": np.array([[0.0, 1.0], [2.0, 0.0]]), "reg": 1.0}, "must be symmetric"),
        ({"C": np.ones((2, 2)), "reg": 1.0, "zero_diagonal": True}, "at least 3"),
        ({"C": np.ones((2, 2))}, "Exactly one of reg and perplexity"),
        ({"C": np.ones((2, 2)), "perplexity": 3.0}, "below the number of open arcs"),
        ({"C": np.ones((2, 2)), "perplexity": 0.5}, "perplexity must be"),
        (
            {"C": np.ones((2, 2)), "kind": "kernel", "perplexity": 1.5},
            "leave them out",
        ),
        ({"C": -np.ones((2, 2)), "kind": "kernel"}, "finite and non-negative"),
        ({"C": np.zeros((2, 2)), "kind": "kernel"}, "no positive entry"),
        ({"C": np.ones((2, 2)), "reg": 1.0, "a": [1.0, 0.0]}, "a must be positive"),
    ],
)
def test_bad_scalings_are_refused_in_words(arguments, match):
    with pytest.raises(ValueError, match=match):
        doubly_stochastic(arguments.pop("C"), arguments.pop("a", None), **arguments)


def test_scaling_that_stops_early_warns_once():
    C = np.random.default_rng(0).random((30, 30))
    C = C + C.T
    with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
        _, _, certificate = doubly_stochastic(C, reg=1e-3, max_iter=1)
    assert len(caught) == 1 and not certificate.satisfied
    assert f"{certificate.value:.3e}" in str(caught[0].message)
