"""Entropic transport: oracles, invariants, extreme strengths, bad input."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog
from sklearn.datasets import load_digits

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.transport import (
    OTResult,
    sinkhorn,
    sinkhorn_divergence,
    sinkhorn_newton_sparse,
    sinkhorn_points,
    wasserstein_distance,
)
from sparsestat.transport._costs import METRICS, MatrixCost, pairwise_cost
from sparsestat.transport._kernels import laplacian_diagonal, split_entries
from sparsestat.transport._semidual import SemiDual

METHODS = ("sns", "ssns", "sinkhorn", "proximal")


def problem(n=14, m=11, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.random(n) + 0.1, rng.random(m) + 0.1
    return rng.random((n, m)), a / a.sum(), b / b.sum()


def marginal_error(P, a, b):
    return np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum()


@pytest.mark.parametrize("reg", [1e5, 1e9, 1e12, 1e16, 1e100, 1e280])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_values_keep_their_digits_beside_a_huge_strength(reg, dtype):
    C, a, b = problem()
    C = C.astype(dtype)
    wide = C.astype(np.float64)
    found = sinkhorn(C, a, b, reg=reg)
    assert found.certificate.satisfied
    # The plan is a b' (1 + x) with x = -(C - means of rows and columns) / reg.
    x = wide - (wide @ b)[:, None] - a @ wide + a @ wide @ b
    square = a @ x**2 @ b
    rtol = 1e-9 if dtype == np.float64 else 1e-6
    value = a @ wide @ b - square / reg
    np.testing.assert_allclose(found.value, value, rtol=rtol)
    np.testing.assert_allclose(found.value_kl, value + square / 2 / reg, rtol=rtol)
    np.testing.assert_allclose(found.certificate.details["transport_cost"], value, rtol)
    plain = sinkhorn(C, a, b, reg=reg, return_plan=False)
    np.testing.assert_allclose(plain.value, value, rtol=rtol)
    if dtype == np.float64:
        C[0, 1] = np.inf
        closed = sinkhorn(C, a, b, reg=reg)
        C[0, 1] = 0.0
        np.testing.assert_allclose(closed.value, (closed.plan * C).sum(), rtol=1e-9)
        points = np.linspace(0.0, 1.0, 14)[:, None], np.linspace(0.0, 2.0, 11)[:, None]
        found = sinkhorn_points(*points, a, b, reg=reg)
        wide = (points[0] - points[1].T) ** 2
        np.testing.assert_allclose(found.value, a @ wide @ b, rtol=10.0 / reg + 1e-9)


@pytest.mark.parametrize("reg", [1e4, 1e6, 1e8, 1e10, 1e12, 1e16, 1e100])
def test_divergences_keep_their_digits_beside_a_huge_strength(reg):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((7, 2)), rng.standard_normal((6, 2))
    a, b = rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(6))

    def value(A, B, p, q):
        C = pairwise_cost(A, B, "sqeuclidean")
        x = C - (C @ q)[:, None] - p @ C + p @ C @ q
        return p @ C @ q - p @ x**2 @ q / 2 / reg

    expected = value(X, Y, a, b) - 0.5 * (value(X, X, a, a) + value(Y, Y, b, b))
    assert sinkhorn_divergence(X, Y, a, b, reg=reg) == pytest.approx(expected, abs=1e-6)


def lp_value(C, a, b):
    n, m = C.shape
    A = sparse.vstack(
        [sparse.kron(sparse.eye(n), np.ones(m)), sparse.kron(np.ones(n), sparse.eye(m))]
    )
    A = sparse.csr_array(A)
    return linprog(C.ravel(), A_eq=A, b_eq=np.concatenate([a, b])).fun


def entropic_objective(P, C, eps):
    positive = P > 0
    p = P[positive]
    return p @ C[positive] + eps * (p * (np.log(p) - 1)).sum()


# Oracle 1: brute force


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
@pytest.mark.parametrize("eps", [1.0, 0.1, 0.03])
def test_plan_matches_the_exponential_cone_program(eps):
    cp = pytest.importorskip("cvxpy")
    C, a, b = problem(8, 6)
    P = cp.Variable(C.shape, nonneg=True)
    objective = cp.sum(cp.multiply(C, P)) - eps * cp.sum(cp.entr(P)) - eps * cp.sum(P)
    constraints = [cp.sum(P, axis=1) == a, cp.sum(P, axis=0) == b]
    tight = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-11)
    cp.Problem(cp.Minimize(objective), constraints).solve(solver="CLARABEL", **tight)
    result = sinkhorn(C, a, b, reg=eps, tol=1e-12)
    np.testing.assert_allclose(result.plan, P.value, atol=1e-6)


# Oracle 2: invariants


@pytest.mark.parametrize("eta", [5.0, 200.0])
def test_plan_does_not_see_shifts_scales_order_or_orientation(eta):
    C, a, b = problem(30, 24)
    rng = np.random.default_rng(1)
    P = sinkhorn(C, a, b, eta=eta, tol=1e-12).plan
    u, v = rng.normal(size=30), rng.normal(size=24)
    shifted = sinkhorn(C + u[:, None] + v, a, b, eta=eta, tol=1e-12).plan
    np.testing.assert_allclose(shifted, P, atol=1e-11)
    scaled = sinkhorn(7 * C, a, b, eta=eta / 7, tol=1e-12).plan
    np.testing.assert_allclose(scaled, P, atol=1e-11)
    i, j = rng.permutation(30), rng.permutation(24)
    permuted = sinkhorn(C[np.ix_(i, j)], a[i], b[j], eta=eta, tol=1e-12).plan
    np.testing.assert_allclose(permuted, P[np.ix_(i, j)], atol=1e-11)
    transposed = sinkhorn(C.T, b, a, eta=eta, tol=1e-12).plan
    np.testing.assert_allclose(transposed.T, P, atol=1e-11)


def test_splitting_a_point_keeps_cost_and_relative_entropy():
    C, a, b = problem(20, 20)
    whole = sinkhorn(C, a, b, reg=0.05, tol=1e-12)
    halves = np.concatenate([[a[0] / 2, a[0] / 2], a[1:]])
    split = sinkhorn(np.vstack([C[:1], C]), halves, b, reg=0.05, tol=1e-12)
    assert split.value == pytest.approx(whole.value, rel=1e-10)
    assert split.value_kl == pytest.approx(whole.value_kl, rel=1e-10)
    assert abs(split.value_entropic - whole.value_entropic) > 1e-4


# Oracle 3: duality; the values are recomputed from the plan


@pytest.mark.parametrize("mass", [1.0, 3.0])
@pytest.mark.parametrize("shape", [(25, 18), (18, 25)])
@pytest.mark.parametrize("eta", [2.0, 50.0, 2000.0])
def test_values_and_certificate_are_those_of_the_returned_plan(shape, eta, mass):
    C, a, b = problem(*shape)
    a, b = mass * a, mass * b
    result = sinkhorn(C, a, b, eta=eta, tol=1e-11)
    P, (phi, psi) = result.plan, result.potentials
    rebuilt = np.outer(a, b) * np.exp(eta * (phi[:, None] + psi - C))
    np.testing.assert_allclose(P, rebuilt, rtol=1e-9, atol=1e-300)
    assert marginal_error(P, a, b) / mass <= 1.2e-11
    assert result.marginal_error == pytest.approx(
        marginal_error(P, a, b) / mass, abs=2e-12
    )
    assert result.value == pytest.approx((P * C).sum(), rel=1e-11)
    objective = entropic_objective(P, C, 1 / eta)
    assert result.value_entropic == pytest.approx(objective, rel=1e-10)
    assert result.dual_value == pytest.approx(objective, rel=1e-10)
    positive = P > 0
    kl = (P[positive] * np.log(P[positive] / np.outer(a, b)[positive])).sum()
    kl += mass**2 - P.sum()
    assert result.value_kl == pytest.approx((P * C).sum() + kl / eta, rel=1e-10)
    assert result.certificate.kind == "transport_gap"
    assert result.certificate.satisfied and result.converged


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("eta", [3.0, 100.0, 1e4])
def test_gap_is_never_below_the_true_error(seed, eta):
    C, a, b = problem(40, 33, seed)
    exact = lp_value(C, a, b)
    for method in METHODS:
        result = sinkhorn(
            C, a, b, eta=eta, method=method, tol=1e-3 if method == "sinkhorn" else 1e-9
        )
        assert result.gap >= abs(result.value - exact) - 1e-12
        assert result.certificate.details["lower_bound"] <= exact + 1e-12


# Oracle 4: closed forms


@pytest.mark.parametrize("eps", [5.0, 0.5, 0.05, 0.005])
def test_two_by_two_closed_form(eps):
    C = np.array([[0.3, 0.9], [0.5, 0.2]])
    d = C[0, 1] + C[1, 0] - C[0, 0] - C[1, 1]
    P = sinkhorn(C, reg=eps, tol=1e-13).plan
    # d > 0 favors the diagonal.
    assert P[0, 0] == pytest.approx(0.5 / (1 + np.exp(-d / (2 * eps))), rel=1e-9)


def test_infinite_strength_gives_the_product():
    C, a, b = problem()
    P = sinkhorn(C, a, b, reg=1e9).plan
    np.testing.assert_allclose(P, np.outer(a, b), rtol=1e-7)


# Oracle 5: derivatives


def test_gradient_and_laplacian_match_central_differences():
    C, a, b = problem(20, 12)
    semidual, eps, h = SemiDual(MatrixCost(C), a, b), 0.05, 1e-6
    rng = np.random.default_rng(3)
    g, v = 0.1 * rng.normal(size=12), rng.normal(size=12)
    state = semidual.evaluate(g, eps, 0.0)
    up, down = semidual.evaluate(g + h * v, eps), semidual.evaluate(g - h * v, eps)
    slope = (up.objective - down.objective) / (2 * h)
    assert slope == pytest.approx((b - state.c) @ v, rel=1e-6)
    out = np.empty(12)
    laplacian_diagonal(
        state.indices,
        state.weights,
        state.ptr,
        a,
        np.zeros(20),
        np.zeros(12),
        v,
        out,
    )
    np.testing.assert_allclose(eps * (up.c - down.c) / (2 * h), out, rtol=1e-6)
    diagonal = split_entries(
        state.indices, state.weights, state.ptr, a, np.zeros(20), np.zeros(12)
    )
    W = np.zeros((20, 12))
    for i in range(20):
        part = slice(state.ptr[i], state.ptr[i + 1])
        W[i, state.indices[part]] = state.weights[part]
    dense = np.diag(state.c) - W.T @ (a[:, None] * W)
    np.testing.assert_allclose(diagonal, np.diag(dense), rtol=1e-10)
    np.testing.assert_allclose(out, dense @ v, atol=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_thresholded_operator_is_positive_semidefinite(seed):
    from sparsestat.transport._kernels import select_entries

    C, a, b = problem(15, 9, seed)
    semidual = SemiDual(MatrixCost(C), a, b)
    state = semidual.evaluate(np.random.default_rng(seed).normal(size=9), 0.3, 0.0)
    indices, weights, ptr, rest, dropped = select_entries(
        state.indices, state.weights, state.ptr, a, 9, 0.05 * (seed + 1)
    )
    M = np.empty((9, 9))
    for k in range(9):
        laplacian_diagonal(indices, weights, ptr, a, rest, dropped, np.eye(9)[k], M[k])
    np.testing.assert_allclose(M, M.T, atol=1e-14)
    assert np.linalg.eigvalsh(M).min() > -1e-14
    # The full mass stays on the diagonal: row sums are the mass dropped.
    assert (M.sum(axis=1) >= -1e-14).all()


# Oracle 6: methods agree


@pytest.mark.parametrize("shape", [(60, 60), (80, 30)])
def test_methods_agree(shape):
    C, a, b = problem(*shape)
    plans = [sinkhorn(C, a, b, eta=60.0, method=m, tol=1e-12).plan for m in METHODS]
    for plan in plans[1:]:
        np.testing.assert_allclose(plan, plans[0], atol=1e-9)


def test_proximal_steps_are_one_problem_at_a_smaller_strength():
    C, a, b = problem(20, 20)
    eps, k = 0.3, 5
    P = np.outer(a, b)
    for _ in range(k):  # argmin <C, P> + eps KL(P | previous P)
        P = sinkhorn(C - eps * np.log(P), a, b, reg=eps, tol=1e-13).plan
    once = sinkhorn(C, a, b, reg=eps / k, tol=1e-13).plan
    np.testing.assert_allclose(P, once, atol=1e-10)


def test_newton_steps_replace_sweeps():
    C = np.random.default_rng(0).random((200, 200))
    fast = sinkhorn_newton_sparse(C, eta=1200.0, tol=1e-10)
    assert fast.converged and fast.n_iter["newton"] <= 60
    with pytest.warns(ConvergenceWarning, match=r"marginal error is .*max_iter"):
        slow = sinkhorn(C, eta=1200.0, tol=1e-10, method="sinkhorn", max_iter=200)
    assert not slow.converged and slow.marginal_error > 1e-10
    sparse_steps = sinkhorn_newton_sparse(C, eta=1200.0, density=0.05, n_scaling=0)
    np.testing.assert_allclose(sparse_steps.plan, fast.plan, atol=1e-9)


# Oracle 7: extreme strengths


def digit_problem(p, seed):
    from scipy.ndimage import zoom

    images = load_digits().images
    rng = np.random.default_rng(seed)
    pair = [
        np.clip(zoom(images[k], 2, order=1), 0, None) for k in rng.integers(0, 1797, 2)
    ]
    a, b = ((x / x.max() + 0.01).ravel() for x in pair)
    grid = np.stack(np.meshgrid(*[np.arange(16.0)] * 2), -1).reshape(-1, 2)
    C = (np.abs(grid[:, None] - grid) ** p).sum(axis=-1)
    return C / np.median(C), a / a.sum(), b / b.sum()


@pytest.mark.parametrize("method", ["auto", "ssns", "sinkhorn", "proximal"])
@pytest.mark.parametrize("eta", [1.0, 1e2, 1e4, 1e5])
@pytest.mark.parametrize("kind", ["random", "digits-1", "digits-2", "far"])
def test_no_strength_overflows_and_the_status_is_true(kind, eta, method):
    if kind == "random":
        C, a, b = problem(60, 60)
        C = C / np.median(C)
    elif kind == "far":
        x = np.linspace(0, 1, 80)
        C, a, b = (x[:, None] - x) ** 2, np.exp(-40 * x), np.exp(-40 * (1 - x))
        C, a, b = C / np.median(C), a / a.sum(), b / b.sum()
    else:
        C, a, b = digit_problem(int(kind[-1]), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        with np.errstate(all="raise", under="ignore"):
            limit = None if method == "auto" else 40
            result = sinkhorn(
                C, a, b, eta=eta, tol=1e-10, method=method, max_iter=limit
            )
    assert np.isfinite(result.plan).all()
    assert all(np.isfinite(p).all() for p in result.potentials)
    assert np.isfinite([result.value, result.gap, result.dual_value]).all()
    error = marginal_error(result.plan.astype(float), a, b)
    assert error == pytest.approx(
        result.marginal_error, rel=0.01, abs=1e-10 + 1e-9 * eta / 1e5
    )
    rounding = result.certificate.details["rounding"]
    assert result.certificate.tol == 1e-10
    assert result.converged == (result.marginal_error + rounding <= 1e-10)
    assert result.converged or method != "auto"


# Masses, forbidden arcs, containers, types


def test_zero_masses_give_empty_rows_and_finite_potentials():
    C, a, b = problem(12, 10)
    a[[0, 5]], b[3] = 0, 0
    a, b = a / a.sum(), b / b.sum()
    result = sinkhorn(C, a, b, eta=30.0)
    assert (result.plan[[0, 5]] == 0).all() and (result.plan[:, 3] == 0).all()
    phi, psi = result.potentials
    assert np.isfinite(phi).all() and np.isfinite(psi).all()
    # The soft c-transform defines potentials where the mass is zero.
    np.testing.assert_allclose(
        np.exp(30 * (phi[:, None] + psi - C)) @ b, np.ones(12), rtol=1e-7
    )


def test_tiny_masses_are_legal():
    C, a, b = problem(12, 10)
    a[0], b[1] = 1e-300, 1e-200
    a, b = a / a.sum(), b / b.sum()
    result = sinkhorn(C, a, b, eta=50.0)
    assert result.converged and np.isfinite(result.plan).all()
    assert np.isfinite(result.potentials[0]).all()


@pytest.mark.parametrize("eta", [10.0, 1000.0])
def test_forbidden_arcs_carry_nothing(eta):
    C, a, b = problem(20, 20)
    a[:], b[:] = 1 / 20, 1 / 20
    closed = np.random.default_rng(5).random(C.shape) < 0.4
    np.fill_diagonal(closed, False)
    C = np.where(closed, np.inf, C)
    result = sinkhorn(C, a, b, eta=eta)
    assert (result.plan[closed] == 0).all()
    assert marginal_error(result.plan, a, b) <= 1e-8
    table = sparse.coo_array((C[~closed], np.nonzero(~closed)), shape=C.shape)
    np.testing.assert_array_equal(sinkhorn(table, a, b, eta=eta).plan, result.plan)


def test_impossible_arcs_are_named():
    C = np.ones((3, 3))
    C[1] = np.inf
    with pytest.raises(ValueError, match=r"No plan exists: rows \[1\]"):
        sinkhorn(C, reg=1.0)
    C = np.array([[1.0, np.inf], [1.0, 1.0], [np.inf, 1.0]])
    C = np.block([[C, np.full((3, 2), np.inf)], [np.full((1, 2), np.inf), C[:1, ::-1]]])
    C[3] = [np.inf, np.inf, 1.0, 1.0]
    with pytest.raises(ValueError, match="cut off by forbidden arcs"):
        sinkhorn(C, reg=1.0)


def test_float32_costs_are_not_copied_and_give_a_float32_plan():
    C, a, b = problem(30, 20)
    C32 = C.astype(np.float32)
    assert np.shares_memory(MatrixCost(C32).C, C32)
    result = sinkhorn(C32, a, b, eta=20.0)
    assert result.plan.dtype == np.float32
    assert result.converged and result.certificate.tol == 1e-6
    error = marginal_error(result.plan.astype(float), a, b)
    assert result.marginal_error == pytest.approx(error, abs=1e-14)
    with pytest.warns(ConvergenceWarning, match="Precision does not suffice"):
        asked = sinkhorn(C32, a, b, eta=20.0, tol=1e-9)
    assert asked.certificate.details["reason"] == "precision"
    assert asked.certificate.tol == 1e-9 and not asked.converged
    assert result.potentials[0].dtype == np.float64
    reference = sinkhorn(C32.astype(float), a, b, eta=20.0)
    np.testing.assert_allclose(result.plan, reference.plan, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("shape", [(50, 40), (40, 50)])
def test_sparse_plan_is_the_dense_one_without_its_small_entries(shape):
    C, a, b = problem(*shape)
    a[2] = 0
    a /= a.sum()
    dense = sinkhorn(C, a, b, eta=400.0).plan
    found = sinkhorn(C, a, b, eta=400.0, return_plan="sparse").plan
    assert found.nnz < 0.5 * dense.size
    np.testing.assert_allclose(found.toarray(), dense, atol=1e-13)
    assert sinkhorn(C, a, b, eta=4.0, return_plan=False).plan is None


def test_warm_start_saves_the_work():
    C, a, b = problem(100, 80)
    cold = sinkhorn(C, a, b, eta=500.0)
    warm = sinkhorn(C, a, b, eta=500.0, warm_start=cold)
    assert warm.n_iter["newton"] == 0 and warm.n_iter["sinkhorn"] <= 1
    np.testing.assert_allclose(warm.plan, cold.plan, atol=1e-9)
    flipped = sinkhorn(C.T, b, a, eta=500.0, warm_start=cold.potentials[::-1])
    assert flipped.n_iter["newton"] == 0


def test_inputs_are_not_modified():
    C, a, b = problem()
    before = [x.copy() for x in (C, a, b)]
    for x in (C, a, b):
        x.flags.writeable = False
    sinkhorn(C, a, b, eta=100.0)
    for x, y in zip((C, a, b), before, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 3)])
def test_smallest_shapes(shape):
    C, a, b = problem(*shape)
    result = sinkhorn(C, a, b, reg=0.1)
    assert isinstance(result, OTResult)
    assert marginal_error(result.plan, a, b) < 1e-8


def test_relative_strength_is_in_units_of_the_median():
    C, a, b = problem()
    one = sinkhorn(C, a, b, reg=0.1, reg_mode="relative")
    assert one.reg == pytest.approx(0.1 * np.median(C))
    two = sinkhorn(5 * C, a, b, reg=0.1, reg_mode="relative")
    np.testing.assert_allclose(one.plan, two.plan, atol=1e-9)
    zero = sinkhorn(np.zeros((3, 3)), reg=0.1, reg_mode="relative")
    np.testing.assert_allclose(zero.plan, 1 / 9)


# Points


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_features", [2, 30])
def test_points_and_matrix_give_one_answer(metric, n_features, monkeypatch):
    from sparsestat.transport import _costs

    monkeypatch.setattr(_costs, "_BLOCK_BYTES", 8 * 30 * 7)
    rng = np.random.default_rng(0)
    X, Y = rng.random((40, n_features)) + 0.1, rng.random((30, n_features)) + 0.2
    C = pairwise_cost(X, Y, metric)
    lazy = sinkhorn_points(X, Y, metric=metric, reg=0.01, reg_mode="relative")
    dense = sinkhorn(C, reg=lazy.reg)
    np.testing.assert_allclose(lazy.plan.toarray(), dense.plan, atol=2e-9)
    from_sparse = sinkhorn_points(sparse.csr_array(X), Y, metric=metric, reg=lazy.reg)
    np.testing.assert_allclose(from_sparse.plan.toarray(), dense.plan, atol=2e-9)


def test_entries_that_do_not_fit_are_left_out_and_the_answer_stays(monkeypatch):
    from sparsestat.transport import _semidual

    rng = np.random.default_rng(0)
    X, Y = rng.random((200, 2)), rng.random((150, 2))
    whole = sinkhorn_points(X, Y, reg=1e-3)
    monkeypatch.setattr(_semidual, "_MAX_ENTRIES_LAZY", 2500)
    monkeypatch.setattr(_semidual, "_MAX_PLAN_LAZY", 2500)
    short = sinkhorn_points(X, Y, reg=1e-3)
    assert short.converged == (
        short.marginal_error + short.certificate.details["rounding"] <= 1e-9
    )
    assert short.certificate.details["potentials_error"] <= 1e-9
    assert short.plan.nnz <= 2500
    assert short.value == pytest.approx(whole.value, rel=1e-7)
    np.testing.assert_allclose(short.potentials[0], whole.potentials[0], atol=1e-7)


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cityblock"])
@pytest.mark.parametrize("shape", [(90, 70), (70, 90)])
def test_sorted_points_give_the_answer_of_the_matrix(metric, shape, monkeypatch):
    from sparsestat.transport import _cells

    rng = np.random.default_rng(2)
    X, Y = rng.standard_normal((shape[0], 2)), rng.random((shape[1], 2))
    a, b = problem(*shape)[1:]
    a[[4, 9]], b[3] = 0, 0
    a, b = a / a.sum(), b / b.sum()
    C = pairwise_cost(X, Y, metric)
    monkeypatch.setattr(_cells, "_SORT_FROM", 0)
    monkeypatch.setattr(_cells, "_CELL", 5)
    monkeypatch.setattr(_cells, "_FIRST_DEPTH", 3)
    for reg in (1.0, 0.03, 1e-3):
        given = {"metric": metric, "reg": reg, "tol": 1e-11}
        found = sinkhorn_points(X, Y, a, b, **given)
        matrix = sinkhorn(C, a, b, reg=reg, tol=1e-11)
        assert found.converged
        np.testing.assert_allclose(found.plan.toarray(), matrix.plan, atol=1e-10)
        assert found.value == pytest.approx(matrix.value, rel=1e-9)
        assert found.gap >= abs(found.value - lp_value(C, a, b)) - 1e-12
        dense = sinkhorn_points(X, Y, a, b, return_plan="dense", **given).plan
        np.testing.assert_allclose(dense, matrix.plan, atol=1e-10)
        warm = sinkhorn_points(X, Y, a, b, warm_start=found, **given)
        assert warm.n_iter["newton"] == 0


@pytest.mark.parametrize("room", [600, 2000])
def test_columns_are_grouped_where_their_entries_do_not_fit(room, monkeypatch):
    from sparsestat.transport import _cells, _semidual

    rng = np.random.default_rng(3)
    X, Y = rng.random((120, 2)), rng.random((110, 2))
    matrix = sinkhorn(pairwise_cost(X, Y, "sqeuclidean"), reg=0.05, tol=1e-9)
    monkeypatch.setattr(_cells, "_SORT_FROM", 0)
    monkeypatch.setattr(_cells, "_FIRST_DEPTH", 3)
    monkeypatch.setattr(_semidual, "_MAX_ENTRIES_LAZY", room)
    monkeypatch.setattr(_semidual, "_MAX_PLAN_LAZY", room)
    with pytest.warns(ConvergenceWarning, match="leaves out .* of the mass"):
        found = sinkhorn_points(X, Y, reg=0.05, tol=1e-9)
    # The plan is not what was asked for, the potentials are.
    assert not found.converged and found.certificate.details["reason"] == "entries"
    error = marginal_error(found.plan.toarray(), np.full(120, 1 / 120), 1 / 110)
    assert found.marginal_error == pytest.approx(error, rel=1e-9)
    assert found.n_iter["newton"] > 0
    alone = sinkhorn_points(X, Y, reg=0.05, tol=1e-9, return_plan=False)
    assert alone.converged and alone.plan is None
    np.testing.assert_allclose(found.potentials[0], matrix.potentials[0], atol=1e-7)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_twenty_thousand_points_fit_in_half_a_gigabyte():
    code = """
import sys
import numpy as np
from sparsestat.transport import sinkhorn_points
rng = np.random.default_rng(11)
X, Y = rng.random((20_000, 2)), rng.random((20_000, 2))
result = sinkhorn_points(X, Y, reg=1e-3, reg_mode="relative", tol=1e-6)
P = result.plan
error = abs(P.sum(axis=0) - 5e-5).sum() + abs(P.sum(axis=1) - 5e-5).sum()
assert result.converged and error < 1.1e-6, (result, error)
# Not ru_maxrss, which begins at the size of the process that started this one. The
# pages of mapped libraries are shared; how many there are is the file cache's choice.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
used = int(status["VmHWM"].split()[0]) - int(status["RssFile"].split()[0])
assert P.indices.dtype == np.int32
assert used < float(sys.argv[1]) * 1024, used
"""
    # The first run may have to compile, which takes memory of its own.
    for megabytes in ("inf", "400"):
        subprocess.run([sys.executable, "-c", code, megabytes], check=True, timeout=300)


# Bad input


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"C": [[np.nan, 1.0]]}, "C contains NaN"),
        ({"C": [[-np.inf, 1.0]]}, "C contains -inf"),
        ({"C": np.ones((2, 2), complex)}, "Complex data not supported"),
        ({"C": np.ones(3)}, "must be a matrix"),
        ({"C": np.ones((0, 3))}, "at least one row"),
        ({"a": [0.5, np.nan]}, "a contains NaN"),
        ({"a": [1.5, -0.5]}, "negative entries"),
        ({"a": [1.0, 1.0]}, "different total masses, 2 and 1.*sinkhorn_unbalanced"),
        ({"a": [0.0, 0.0]}, "zero total mass"),
        ({"b": [1.0]}, r"b must have shape \(2,\)"),
        ({"reg": None}, "exactly one of reg and eta"),
        ({"eta": 1.0}, "exactly one of reg and eta"),
        ({"reg": 0}, "method='exact'"),
        ({"reg": -1.0}, "reg must be a finite number above 0"),
        ({"reg": np.nan}, "reg must be a finite number above 0"),
        ({"method": "magic"}, "method must be one of"),
        ({"tol": 0}, "tol must be"),
        ({"max_iter": 0}, "max_iter must be an integer above 0"),
        ({"max_iter": 1.5}, "max_iter must be an integer"),
        ({"reg_mode": "x"}, "reg_mode must be"),
        ({"return_plan": "x"}, "return_plan must be one of"),
        ({"n_scaling": -1}, "n_scaling must be"),
        ({"warm_start": ([0.0], [0.0])}, "warm_start must be a pair"),
    ],
)
def test_bad_input_is_refused_in_words(change, match):
    arguments = {"C": np.ones((2, 2)), "reg": 1.0} | change
    with pytest.raises(ValueError, match=match):
        sinkhorn(**arguments)


def test_slightly_different_totals_are_rescaled():
    C, a, b = problem()
    result = sinkhorn(C, a, b * (1 + 5e-7), reg=0.1)
    assert result.converged and result.plan.sum() == pytest.approx(1.0)


# Limits of the sparse Newton solver, and what it did


def test_sweeps_and_newton_steps_are_counted_and_bounded():
    C = np.random.default_rng(0).random((60, 60))
    for sweeps in (3, 40):
        found = sinkhorn_newton_sparse(C, eta=200.0, n_sinkhorn=sweeps, n_scaling=0)
        before = [phase for phase, _, _ in found.history]
        assert before[:sweeps] == ["sinkhorn"] * sweeps and "newton" in before
        assert before.index("newton") == sweeps
        assert found.n_iter["newton"] == before.count("newton")
        assert all(reg == found.reg for _, reg, _ in found.history)
        assert found.history[-1][2] == pytest.approx(found.marginal_error, abs=1e-12)
    with pytest.warns(ConvergenceWarning, match="max_newton"):
        short = sinkhorn_newton_sparse(C, eta=200.0, max_newton=2, n_scaling=0)
    assert short.n_iter["newton"] <= 2 and not short.converged
    with pytest.raises(ValueError, match="max_newton"):
        sinkhorn_newton_sparse(C, eta=200.0, max_newton=-1)


def test_relative_strength_means_the_same_everywhere():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((12, 2)), rng.standard_normal((15, 2)) + 1.0
    unit = np.median(((X[:, None] - Y) ** 2).sum(axis=-1))
    for function in (sinkhorn_divergence, wasserstein_distance):
        relative = function(X, Y, reg=0.2, reg_mode="relative")
        assert function(X, Y, reg=0.2 * unit) == pytest.approx(relative, rel=1e-9)
        assert function(X, Y, reg=0.2) != pytest.approx(relative, rel=1e-3)
