"""What solvers measure and problems hand on: duals, units, storage, by definition."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import xlogy

from sparsestat._utils.arithmetic import rounding
from sparsestat.exceptions import ConvergenceWarning
from sparsestat.linear_model import (
    PenalizedRegressor,
    SparseGammaRegressor,
    SparseHuberRegressor,
    SparseLogisticRegression,
    SparsePoissonRegressor,
    SparseTweedieRegressor,
)
from sparsestat.linear_model._penalized import _likelihood_path
from sparsestat.linear_model._penalized._class_datafits import OneColumn, Softmax
from sparsestat.linear_model._penalized._datafits import (
    Gamma,
    Huber,
    Logistic,
    Poisson,
    Tweedie,
)
from sparsestat.linear_model._penalized._design import make_design
from sparsestat.linear_model._penalized._elastic_net import ElasticNetProblem
from sparsestat.linear_model._penalized._likelihood_problems import (
    HuberProblem,
    LogisticProblem,
)
from sparsestat.linear_model._penalized._newton import GLMSolver
from sparsestat.linear_model._penalized._penalties import ElasticNetPenalty
from sparsestat.linear_model._penalized._points import PathPoints
from sparsestat.linear_model._penalized._problems import (
    GAP_SCALE,
    KKT_SCALE,
    LeastSquaresProblem,
)
from sparsestat.linear_model._penalized._proximal import (
    GivenPenalty,
    ProximalSolver,
    UserDatafit,
)
from sparsestat.linear_model._penalized._result import SolverResult
from sparsestat.linear_model._penalized._rounding import (
    likelihood_rounding,
    storage_error,
)
from sparsestat.linear_model._penalized._softmax import SoftmaxSolver
from sparsestat.linear_model._penalized._unpenalized import unpenalized_least_squares


def binary(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((30, 4))
    y = (X[:, 0] + rng.standard_normal(30) > 0).astype(float)
    return X, y, rng


def measure(solver, penalty, kind="duality_gap"):
    solver._kind = kind
    return solver._measure(penalty)


def entropy(u):
    return float((xlogy(u, u) + xlogy(1 - u, 1 - u)).sum())


@pytest.mark.parametrize("matrix", [False, True])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_the_dual_of_a_likelihood_is_the_best_feasible_point(matrix, l1_ratio):
    X, y, rng = binary()
    design = make_design(X)
    A = X - X.mean(axis=0)
    seen = set()
    for trial in range(30):
        w = rng.standard_normal(4) * rng.choice([0.0, 0.3, 2.0])
        alpha = 10.0 ** rng.uniform(-3, -0.5) if trial else 10.0
        penalty = ElasticNetPenalty(alpha, l1_ratio, 4, 30.0)
        if matrix:
            solver = SoftmaxSolver(design, OneColumn(Logistic(y)), w[:, None])
        else:
            solver = GLMSolver(design, Logistic(y), w)
        value, dual, gap = measure(solver, penalty)
        eta = A @ w
        shift = Logistic(y).settle_intercept(eta)
        eta = eta + shift
        primal = np.logaddexp(0, eta).sum() - y @ eta
        lam, l2 = 30 * alpha * l1_ratio, 30 * alpha * (1 - l1_ratio)
        primal += lam * np.abs(w).sum() + l2 / 2 * w @ w
        assert_allclose(value, primal, rtol=1e-12)
        g = 1 / (1 + np.exp(-eta)) - y
        q = np.abs(A.T @ g)
        c = min(1.0, lam / q.max())
        plain = -entropy(y + c * g)
        best, multiple = plain, c
        if l2 > 0 and c < 1:
            over = np.maximum(q - lam, 0)
            soft = -entropy(y + g) - over @ over / (2 * l2)
            if soft > plain:
                best, multiple = soft, 1.0
        seen.add(multiple)
        assert_allclose(dual, best, rtol=1e-10)
        assert_allclose(solver._multiple, multiple, rtol=1e-10)
        p = y.mean()
        null = -30 * (p * math.log(p) + (1 - p) * math.log(1 - p))
        assert_allclose(solver.gap_scale, null, rtol=1e-12)
        assert_allclose(gap, max(primal - best, 0) / null, rtol=1e-8, atol=1e-14)
        for kind, unit in (("kkt", solver.kkt_scale), ("duality_gap", null)):
            used = np.flatnonzero(w)
            held = w[used][:, None] if matrix else w[used]
            error = likelihood_rounding(
                design, solver.datafit, penalty, used, held, solver.shift,
                solver.eta, solver.gradient, kind, multiple,
            )  # fmt: skip
            solver._kind = kind
            # A part is the last digits by which the dual point may be infeasible.
            assert_allclose(solver._error(penalty), error / unit, rtol=0.01)
    assert 1.0 in seen and len(seen) > 5


@pytest.mark.parametrize("matrix", [False, True])
def test_the_violation_of_a_likelihood_is_relative_to_that_at_zero(matrix):
    X, y, _ = binary(1)
    design = make_design(X)
    A, w = X - X.mean(axis=0), np.array([0.5, 0.0, -0.2, 0.0])
    penalty = ElasticNetPenalty(0.05, 1.0, 4, 30.0)
    top = np.abs(A.T @ (y - y.mean())).max()
    eta = A @ w
    eta = eta + Logistic(y).settle_intercept(eta)
    q = A.T @ (y - 1 / (1 + np.exp(-eta)))
    expected = np.where(
        w != 0, np.abs(q - 1.5 * np.sign(w)), np.maximum(np.abs(q) - 1.5, 0)
    ).max()
    if matrix:
        solver = SoftmaxSolver(design, OneColumn(Logistic(y)), w[:, None])
    else:
        solver = GLMSolver(design, Logistic(y), w)
    assert_allclose(solver.kkt_scale, top, rtol=1e-12)
    found = measure(solver, penalty, "kkt")
    assert math.isnan(found[1])
    assert_allclose(found[2], expected / top, rtol=1e-10)
    solver.kkt_scale = 0.0
    assert solver._measure(penalty)[2] == 0.0
    assert solver._error(penalty) == 0.0
    solver.gap_scale = 0.0
    value, dual, gap = measure(solver, penalty)
    assert gap == value - dual > 0
    assert solver._error(penalty) == 0.0
    solver.w[:] = 0.0
    assert solver._measure(penalty)[2] == 0.0


def test_the_gap_of_counts_is_relative_to_what_there_is_to_explain():
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((30, 3)), rng.poisson(2.0, 30).astype(float)
    solver = GLMSolver(make_design(X), Poisson(y))
    mean = y.mean()
    deviance = 30 * mean * (1 - math.log(mean)) - (y - xlogy(y, y)).sum()
    assert_allclose(solver.gap_scale, deviance, rtol=1e-12)
    assert GLMSolver(make_design(X), Poisson(np.full(30, 2.0))).gap_scale == 0.0


def test_one_column_is_the_binary_loss():
    _, y, rng = binary(3)
    fit, eta = Logistic(y, rng.random(30)), rng.standard_normal((30, 1))
    one = OneColumn(fit)
    assert (one.shape, one.n_samples, one.total) == ((1,), 30, fit.total)
    assert one.value(eta) == fit.value(eta[:, 0])
    assert_array_equal(one.gradient(eta), fit.gradient(eta[:, 0])[:, None])
    v = one.gradient(eta)
    assert one.conjugate(v) == fit.conjugate(v[:, 0])
    coupling, weights = one.model(eta)
    p = 1 / (1 + np.exp(-eta))
    assert_allclose(weights[:, 0], fit.weights * (p * (1 - p))[:, 0], rtol=1e-13)
    assert not coupling.any()
    assert one.steepest(eta) == fit.steepest(eta[:, 0])
    assert one.magnitude(eta) == fit.magnitude(eta[:, 0])
    assert_array_equal(one.null_intercept(), [fit.null_intercept()])
    assert_array_equal(one.settle_intercept(eta), [fit.settle_intercept(eta[:, 0])])


def test_the_gap_of_softmax_is_relative_to_its_null_loss():
    X, _, rng = binary(4)
    codes = rng.integers(0, 3, 30)
    solver = SoftmaxSolver(make_design(X), Softmax(codes, 3))
    shares = np.bincount(codes) / 30
    null = -30 * float(xlogy(shares, shares).sum())
    assert_allclose(solver.gap_scale, null, rtol=1e-12)
    penalty = ElasticNetPenalty(1e3, 1.0, 4, 30.0)
    value, dual, gap = measure(solver, penalty)
    assert_allclose([value, dual], [null, null], rtol=1e-12)
    assert gap <= 1e-14 and solver._multiple == 1.0


OPTIONS = {"fit_intercept": True, "tol": 1e-6, "max_iter": 10, "max_epochs": 100}


def squared(seed=0, dtype=np.float64, **options):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((20, 3)).astype(dtype)
    y = (X @ [1.0, -2.0, 0.0] + rng.standard_normal(20)).astype(dtype)
    return X, y, {**OPTIONS, **options}


def fake(**fields):
    values = {
        "columns": np.array([0, 2]), "coef": np.array([2.0, -4.0]), "gap": 1e-7,
        "objective": 30.0, "dual": 20.0, "n_iter": 1, "n_sweeps": 1, "n_newton": 0,
        "shift": 3.0, "rounding": 1e-9, "unit": 5.0, "bend": 7.0,
    }  # fmt: skip
    return SolverResult(**{**values, **fields})


def test_results_are_given_in_the_units_of_the_data():
    X, y, options = squared()
    problem = ElasticNetProblem(2.0**200 * X, 2.0**-180 * y, **options)
    x_unit, y_unit = problem.design.unit, problem.y_unit
    assert 2.0**-3 <= x_unit / 2.0**200 <= 8 and 2.0**-3 <= y_unit / 2.0**-180 <= 8
    assert problem.coef_unit == y_unit / x_unit
    assert problem.alpha_unit == y_unit * x_unit
    problem.y_offset = 2.0**-170
    given = problem.given(fake())
    assert_array_equal(given.coef, np.array([2.0, -4.0]) * y_unit / x_unit)
    assert given.shift == 3.0 * y_unit + 2.0**-170
    assert (given.objective, given.dual) == (30.0 * y_unit**2, 20.0 * y_unit**2)
    assert (given.rounding, given.gap, given.unit) == (1e-9, 1e-7, 5.0)
    assert_array_equal(problem.start_of(given.coef), [2.0, -4.0])
    assert problem.start_of(None) is None
    assert_array_equal(
        problem.start_of(np.ones((3, 2))), np.ones((3, 2)) / problem.coef_unit
    )
    centered = X - X.mean(axis=0)
    top = np.abs(centered.T @ (y - y.mean())).max() / 20
    assert_allclose(problem.alpha_max(1.0), top * 2.0**20, rtol=1e-12)
    assert_allclose(problem.alpha_max(0.5), top * 2.0**21, rtol=1e-12)


@pytest.mark.parametrize("kind", ["duality_gap", "kkt"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_storing_in_single_precision_counts_against_the_certificate(
    kind, fit_intercept
):
    X, y, options = squared(dtype=np.float32, fit_intercept=fit_intercept)
    X = (X + 1.0) / 64.0  # columns shorter than one
    problem = ElasticNetProblem(X, y, **options)
    result = problem.given(fake(kind=kind))
    center = X[:, [0, 2]].astype(float).mean(axis=0) @ [2.0, -4.0]
    shift = np.array(3.0 + abs(center) if fit_intercept else 3.0)
    moved = storage_error(problem.design, fake(), np.float32, 20, shift)
    error = (math.sqrt(5e-7) + math.sqrt(3.5) * moved) ** 2 - 5e-7  # beside the gap
    if kind == "kkt":
        error = 7.0 * math.sqrt(problem.design.squares.max()) * moved
    assert_allclose(result.rounding - 1e-9, error / 5.0, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_arrays_alone_prove_a_path_stored_as_it_was_computed(dtype):
    X, y, options = squared(dtype=dtype)
    problem = ElasticNetProblem(X, y, **options)
    for gaps, rounding_, proved in (
        ([1e-9, 1e-7], [0.0, 1e-9], True),
        ([1e-9, 2e-6], [0.0, 0.0], False),
        ([1e-9, 1e-7], [0.0, 1e-6], False),
    ):
        varying = {
            "gap": np.array(gaps), "rounding": np.array(rounding_),
            "objective": np.ones(2), "dual": np.ones(2),
        }  # fmt: skip
        points = PathPoints(problem, np.zeros((2, 3)), varying, {"kind": "kkt"})
        is_double = dtype == np.float64
        assert options["tol"] == 1e-6 and problem.dtype == dtype
        assert problem._are_proved(points) == (proved and is_double)
    assert not problem._are_proved([fake()])


@pytest.mark.parametrize("gap", [0.0, 1e-16, 1e-12, 1e-6])
def test_a_gap_and_storage_in_one_direction_cost_more_than_both_alone(gap):
    rng = np.random.default_rng(20)
    a = rng.standard_normal(20).astype(np.float32)
    problem = ElasticNetProblem(
        a[:, None], a, fit_intercept=False, tol=1e-6, max_iter=9, max_epochs=9
    )
    a = a.astype(float)
    # Half the squared residual, beside a least of zero at a coefficient of one.
    far = math.sqrt(2.0 * gap / (a @ a))
    result = fake(
        columns=np.array([0]), coef=np.array([1.0 + far]), shift=0.0, bend=1.0,
        gap=gap, unit=1.0, rounding=0.0, kind="duality_gap",
    )  # fmt: skip
    problem.given(result)
    moved = 2.0**-24 * (1.0 + far)  # up, as far as it may
    rise = 0.5 * (a @ a) * (far + moved) ** 2
    assert_allclose(gap + result.rounding, rise, rtol=1e-6)


def test_certificates_of_results_are_per_sample():
    X, y, options = squared()
    weights = np.array([1.0, 3.0] * 10)
    problem = ElasticNetProblem(X, y, weights, **options)
    certificate = problem.certificate(fake(kind="duality_gap"))
    total = problem.total
    assert certificate.details == {
        "objective": 30.0 / total, "dual_objective": 20.0 / total, "rounding": 1e-9
    }  # fmt: skip
    assert (certificate.kind, certificate.value) == ("duality_gap", 1e-7)
    assert (certificate.tol, certificate.scale) == (1e-6, GAP_SCALE)
    assert certificate.satisfied
    violation = problem.certificate(fake(kind="kkt", rounding=1e-6))
    assert violation.details == {"objective": 30.0 / total, "rounding": 1e-6}
    assert violation.scale == KKT_SCALE and not violation.satisfied
    assert problem.certificate(fake(scale="other")).scale == "other"
    gaps = problem.dual_gaps([fake(), fake(dual=31.0), fake(dual=30.0 - total)])
    assert_allclose(gaps, [10.0 / total, 0.0, 1.0])
    found = problem.measures([fake(), fake(dual=31.0)])
    assert_allclose(found.pop("dual_gaps_"), [10.0 / total, 0.0])
    assert found == {}
    found = problem.measures([fake(), fake(kind="kkt", gap=0.5)])
    assert_array_equal(found.pop("kkt_residuals_"), [1e-7, 0.5])
    assert found == {}


@pytest.mark.parametrize("layout", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("positive", [False, True])
def test_least_squares_and_its_violation(layout, positive):
    X, y, _ = squared(5)
    X, y = X / 64.0, y / 128.0  # columns shorter than one, coefficients below it
    X[:, 2] = 4.0  # constant: left out
    design = make_design(layout(X))
    target, _ = design.target(y)
    penalty = ElasticNetPenalty(0.0, 1.0, 3, 20.0, positive=positive)
    result = unpenalized_least_squares(design, target, penalty)
    A = (X - X.mean(axis=0))[:, :2]
    best = np.linalg.lstsq(A, target, rcond=None)[0]
    if positive:
        best = np.array([A[:, 0] @ target / (A[:, 0] @ A[:, 0]), 0.0])
    residual = target - A @ best
    found = np.zeros(3)
    found[result.columns] = result.coef
    assert_allclose(found[:2], best, atol=1e-9)
    assert_array_equal(result.columns, np.flatnonzero(best))
    assert_allclose(result.objective, residual @ residual / 2, rtol=1e-10)
    assert result.dual == result.objective and result.kind == "kkt"
    assert (result.n_iter, result.n_sweeps, result.n_newton) == (1, 0, 0)
    assert 0.0 <= result.gap <= 1e-9 and result.gap_history == [result.gap]
    dropped = ElasticNetPenalty(
        0.0, 1.0, 3, 20.0, feature_weights=np.array([1.0, np.inf, 1.0])
    )
    alone = unpenalized_least_squares(design, target, dropped)
    assert_array_equal(alone.columns, [0])
    assert_allclose(alone.coef, [A[:, 0] @ target / (A[:, 0] @ A[:, 0])], rtol=1e-9)
    assert unpenalized_least_squares(design, np.zeros(20), penalty).gap == 0.0


@pytest.mark.parametrize("layout", [np.asarray, sparse.csc_array])
def test_least_squares_of_several_targets(layout):
    X, y, _ = squared(16)
    targets = np.column_stack([y, X[:, 0] - y, 0.0 * y])
    targets -= targets.mean(axis=0)
    design = make_design(layout(X))
    penalty = ElasticNetPenalty(0.0, 1.0, 3, 20.0)
    result = unpenalized_least_squares(design, targets, penalty)
    best = np.linalg.lstsq(X - X.mean(axis=0), targets, rcond=None)[0]
    assert_array_equal(result.columns, [0, 1, 2])
    assert_allclose(result.coef, best, atol=1e-9)
    rest = targets - (X - X.mean(axis=0)) @ best
    assert_allclose(result.objective, 0.5 * (rest**2).sum(), rtol=1e-10)
    assert result.gap < 1e-9


def test_a_violation_of_least_squares_is_seen(monkeypatch):
    X, y, _ = squared(6)
    design = make_design(X)
    target, _ = design.target(y)
    A = X - X.mean(axis=0)
    y /= 16.0
    target /= 16.0
    wrong = np.array([0.5, 0.25, -1.0])
    monkeypatch.setattr(np.linalg, "lstsq", lambda *args, **more: (wrong,))
    result = unpenalized_least_squares(
        design, target, ElasticNetPenalty(0.0, 1.0, 3, 20.0)
    )
    q, start = A.T @ (target - A @ wrong), np.abs(A.T @ target).max()
    assert_allclose(result.gap, np.abs(q).max() / start, rtol=1e-10)
    monkeypatch.setattr(
        "sparsestat.linear_model._penalized._unpenalized.nnls",
        lambda *args: (np.array([0.5, 0.0, 0.0]), 0.0),
    )
    positive = ElasticNetPenalty(0.0, 1.0, 3, 20.0, positive=True)
    result = unpenalized_least_squares(design, target, positive)
    q = A.T @ (target - 0.5 * A[:, 0])
    expected = max(abs(q[0]), q[1], q[2]) / start
    assert q[0] < 0.0 and abs(q[0]) > q[1:].max()
    assert_allclose(result.gap, expected, rtol=1e-10)
    assert LeastSquaresProblem(X, y, **OPTIONS).total == 20.0


@pytest.mark.parametrize("above", [0.25, -0.25])
def test_measures_are_relative_and_not_negative(above, monkeypatch):
    X, y, _ = binary(7)
    design, penalty = make_design(X), ElasticNetPenalty(0.05, 1.0, 4, 30.0)
    w = np.array([0.5, 0.0, -0.2, 0.0])
    solver = GLMSolver(design, Logistic(y), w)
    value = measure(solver, penalty, "kkt")[0]
    worst = penalty.violations(solver.w, solver.q).max()
    solver.kkt_scale = 0.5
    assert measure(solver, penalty, "kkt")[2] == 2.0 * worst
    solver.kkt_scale = 4.0
    assert measure(solver, penalty, "kkt")[2] == worst / 4.0
    monkeypatch.setattr(solver.datafit, "conjugate", lambda v: above - value)
    expected = max(value - (value - above), 0.0)
    for scale, unit in ((0.0, 1.0), (0.5, 0.5), (8.0, 8.0)):
        solver.gap_scale = scale
        assert measure(solver, penalty)[2] == expected / unit
    matrix = SoftmaxSolver(design, OneColumn(Logistic(y)), w[:, None])
    matrix.kkt_scale = 0.5
    assert_allclose(measure(matrix, penalty, "kkt")[2], 2.0 * worst)
    monkeypatch.setattr(matrix.datafit, "conjugate", lambda v: above - value)
    for scale, unit in ((0.0, 1.0), (0.5, 0.5), (8.0, 8.0)):
        matrix.gap_scale = scale
        found = measure(matrix, penalty)[2]
        assert_allclose(found, expected / unit, atol=1e-13)


def test_without_correlations_the_gradient_is_the_dual_point():
    y = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    design, penalty = make_design(np.zeros((5, 1))), ElasticNetPenalty(0.1, 1.0, 1, 5.0)
    null = -(3 * math.log(0.6) + 2 * math.log(0.4))
    one = GLMSolver(design, Logistic(y))
    many = SoftmaxSolver(design, OneColumn(Logistic(y)))
    for solver in (one, many):
        found = measure(solver, penalty)
        assert_allclose(found[:2], [null, null], rtol=1e-13)
        assert found[2] <= 1e-14 and solver._multiple == 1.0


def test_zeros_that_are_stationary_violate_nothing():
    X, y, _ = binary(8)
    design, penalty = make_design(X), ElasticNetPenalty(10.0, 1.0, 4, 30.0)
    one = GLMSolver(design, Logistic(y))
    many = SoftmaxSolver(design, OneColumn(Logistic(y)))
    assert measure(one, penalty, "kkt")[2] == 0.0
    assert measure(many, penalty, "kkt")[2] == 0.0


def test_a_ridge_alone_has_the_soft_dual_point():
    X, y, _ = binary(9)
    design, penalty = make_design(X), ElasticNetPenalty(1e-3, 0.0, 4, 30.0)
    w = np.array([2.0, -1.0, 0.5, 0.0])
    one = GLMSolver(design, Logistic(y), w)
    many = SoftmaxSolver(design, OneColumn(Logistic(y)), w[:, None])
    q = (X - X.mean(axis=0)).T @ one.gradient
    soft = -entropy(y + one.gradient) - q @ q / (2 * 0.03)
    assert soft < 0.0  # so zero, which is a dual point as well, would be better
    for solver in (one, many):
        found = measure(solver, penalty)
        assert_allclose(found[1], soft, rtol=1e-10)
        assert solver._multiple == 1.0


@pytest.mark.parametrize("matrix", [False, True])
@pytest.mark.parametrize("loss", [Logistic, Huber])
def test_the_slope_of_an_intercept_is_a_violation_and_leaves_no_dual(matrix, loss):
    X, y, _ = binary(10)
    design, penalty = make_design(X), ElasticNetPenalty(10.0, 1.0, 4, 30.0)
    datafit = OneColumn(loss(y)) if matrix else loss(y)
    solver = (SoftmaxSolver if matrix else GLMSolver)(design, datafit)
    assert abs(solver.gradient.sum()) < 1e-12
    assert measure(solver, penalty, "kkt")[2] == 0.0
    solver.eta = solver.eta + 0.25
    solver.gradient = datafit.gradient(solver.eta)
    longest = np.sqrt(design.squares.max() / 30.0)
    expected = longest * abs(solver.gradient.sum()) / solver.kkt_scale
    assert expected > 0.1
    assert_allclose(measure(solver, penalty, "kkt")[2], expected, rtol=1e-10)
    if loss is Logistic:
        _, dual, gap = measure(solver, penalty)
        assert dual == -np.inf and gap == np.inf
    # Without an intercept there is no such condition.
    solver.fits_shift = False
    assert measure(solver, penalty, "kkt")[2] == 0.0


def test_the_slope_of_several_intercepts_is_the_largest():
    X, _, rng = binary(11)
    design, codes = make_design(X), rng.integers(0, 3, 30)
    solver = SoftmaxSolver(design, Softmax(codes, 3))
    solver.eta = solver.eta + np.array([0.5, -0.25, -0.25])
    solver.gradient = solver.datafit.gradient(solver.eta)
    lean = np.abs(solver.gradient.sum(axis=0)).max()
    penalty = ElasticNetPenalty(1e3, 1.0, 4, 30.0)
    expected = np.sqrt(design.squares.max() / 30.0) * lean / solver.kkt_scale
    assert_allclose(measure(solver, penalty, "kkt")[2], expected, rtol=1e-10)
    assert measure(solver, penalty)[2] == np.inf


@pytest.mark.parametrize(
    "make, loss",
    [
        (lambda: SparseHuberRegressor(0.05), Huber),
        (lambda: SparseLogisticRegression(0.05, penalty="mcp"), Logistic),
        (lambda: SparseLogisticRegression(0.05), Logistic),
        (lambda: SparsePoissonRegressor(0.05, penalty="scad"), Poisson),
        (lambda: SparseGammaRegressor(0.05), Gamma),
        (lambda: SparseTweedieRegressor(0.05), Tweedie),
        (lambda: SparseTweedieRegressor(0.05, penalty="mcp"), Tweedie),
    ],
)
def test_a_model_with_a_wrong_intercept_is_not_certified(make, loss, monkeypatch):
    X, y, rng = binary(12)
    if loss is not Logistic:
        y = 1.0 + rng.poisson(2.0, 30)
    assert make().fit(X, y).certificate_.satisfied
    # Small fits in one call settle the intercept themselves.
    monkeypatch.setattr(_likelihood_path, "_suits_fit", lambda *arguments: False)
    settle = loss.settle_intercept
    monkeypatch.setattr(
        loss, "settle_intercept", lambda self, eta: settle(self, eta) + 0.25
    )
    with pytest.warns(ConvergenceWarning):
        certificate = make().fit(X, y).certificate_
    assert not certificate.satisfied
    assert certificate.value > 0.01


def test_a_multinomial_with_wrong_intercepts_is_not_certified(monkeypatch):
    X, _, rng = binary(13)
    y, settle = rng.integers(0, 3, 30), Softmax.settle_intercept
    by = np.array([0.25, 0.0, -0.25])
    for options in ({}, {"row_sparse": True}, {"penalty": "mcp"}):
        with monkeypatch.context() as patch:
            model = SparseLogisticRegression(0.02, **options)
            assert model.fit(X, y).certificate_.satisfied
            patch.setattr(
                Softmax, "settle_intercept", lambda self, eta: settle(self, eta) + by
            )
            with pytest.warns(ConvergenceWarning):
                assert not model.fit(X, y).certificate_.satisfied


class Rounded:
    """A loss of users."""

    curvature = 1.0

    def losses(self, y, eta):
        return np.sqrt(1.0 + (eta - y) ** 2)

    def slopes(self, y, eta):
        return (eta - y) / np.sqrt(1.0 + (eta - y) ** 2)


class Absolute:
    """A penalty of users."""

    def value(self, w):
        return np.abs(w).sum()

    def prox(self, z, strength):
        return np.sign(z) * np.maximum(np.abs(z) - strength, 0.0)


@pytest.mark.parametrize("penalty", ["elasticnet", Absolute()])
def test_a_loss_of_users_with_a_wrong_intercept_is_not_certified(penalty, monkeypatch):
    X, y, _ = squared(14)
    model = PenalizedRegressor(Rounded(), penalty, alpha=0.05)
    assert model.fit(X, y).certificate_.satisfied
    settle = UserDatafit.settle_intercept
    monkeypatch.setattr(
        UserDatafit, "settle_intercept", lambda self, eta: settle(self, eta) + 0.25
    )
    with pytest.warns(ConvergenceWarning):
        assert not model.fit(X, y).certificate_.satisfied


@pytest.mark.parametrize("loss", ["logistic", "huber"])
def test_compiled_paths_miss_where_intercepts_are_wrong(loss, monkeypatch):
    X, y, _ = binary(15)
    options = {**OPTIONS, "max_iter": 100, "max_epochs": 1000}
    if loss == "huber":
        problem = HuberProblem(X, y + X[:, 1], delta=0.5, **options)
    else:
        problem = LogisticProblem(X, y, **options)
    kernel_of, seen = _likelihood_path._kernel_of, []

    def wrong(problem, norms):
        solve, data = kernel_of(problem, norms)

        def solved(*arguments):
            found, stats = solve(*arguments), arguments[-2]
            stats[2, 5] = 0.1 * np.sqrt(30.0) * stats[2, 4]
            seen.append(stats.copy())
            return found

        return solved, data

    monkeypatch.setattr(_likelihood_path, "_kernel_of", wrong)
    kept = []
    monkeypatch.setattr(
        _likelihood_path,
        "mended",
        lambda problem, points, missed, *rest: kept.append((points, missed)) or points,
    )
    alphas = problem.alpha_max(1.0) * np.array([0.8, 0.5, 0.3, 0.2])
    points = problem.solve(alphas, 1.0)
    assert_array_equal(kept[0][1], [False, False, True, False])
    if loss == "logistic":
        assert points.gaps[2] == np.inf
    else:
        g = Huber(problem.y, delta=0.5 / problem.y_unit).gradient
        start = problem.datafit.null_intercept()
        top = np.abs((X - X.mean(axis=0)).T @ g(np.full(30, start))).max()
        longest = np.sqrt(problem.design.squares.max() / 30.0)
        expected = longest * seen[0][2, 5] / (top / problem.design.unit)
        assert_allclose(points.gaps[2], expected, rtol=1e-6)


@pytest.mark.parametrize("loss", ["logistic", "huber"])
@pytest.mark.parametrize("share, proved", [(0.1, False), (1e-17, True)])
def test_single_fits_in_one_call_miss_where_the_intercept_is_wrong(
    loss, share, proved, monkeypatch
):
    X, y, _ = binary(15)
    options = {**OPTIONS, "max_iter": 100, "max_epochs": 1000}
    if loss == "huber":
        problem = HuberProblem(X, y + X[:, 1], delta=0.5, **options)
    else:
        problem = LogisticProblem(X, y, **options)
    kind = "kkt" if loss == "huber" else "duality_gap"
    alpha = 0.3 * problem.alpha_max(1.0)
    fit = _likelihood_path.kernels.likelihood_fit

    def wrong(*arguments):
        found, stats = fit(*arguments), arguments[-1]
        stats[0, 5] = share * np.sqrt(30.0) * stats[0, 4]
        return found

    monkeypatch.setattr(_likelihood_path.kernels, "likelihood_fit", wrong)
    found = _likelihood_path.likelihood_result(problem, alpha, 1.0, kind)
    assert (found is not None) == proved


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_steps_of_a_penalty_of_users_measure_it(fit_intercept):
    X, y, _ = squared(17)
    X, y = X / 64.0, y + 2.0
    design = make_design(X, fit_intercept=fit_intercept)
    datafit = UserDatafit(Rounded(), y, np.linspace(0.5, 2.0, 20))
    weights = datafit.weights
    A = X - X.mean(axis=0) if fit_intercept else X

    def at(w):
        eta = A @ w
        if fit_intercept:
            eta = eta + datafit.settle_intercept(eta)
        return eta, weights * (eta - y) / np.sqrt(1.0 + (eta - y) ** 2)

    start = np.abs(A.T @ at(np.zeros(3))[1]).max()
    w = np.array([0.75, 0.0, -0.5])
    solver = ProximalSolver(design, datafit, w)
    assert_allclose(solver.null_scale, start, rtol=1e-10)
    assert_allclose(solver.lipschitz, 2.0 * design.squares.max(), rtol=1e-12)
    assert_allclose(
        solver.null_value,
        weights @ np.sqrt(1.0 + (at(np.zeros(3))[0] - y) ** 2),
        rtol=1e-10,
    )
    bend = solver.lipschitz = 0.25
    for strength in (0.02, 0.5, 8.0):
        penalty = GivenPenalty(Absolute(), strength, 1.0)
        value, dual, found = solver._measure(penalty)
        eta, g = at(w)
        loss = weights @ np.sqrt(1.0 + (eta - y) ** 2)
        assert_allclose(value, loss + 1.25 * strength, rtol=1e-12)
        z = w - A.T @ g / bend
        moved = w - np.sign(z) * np.maximum(np.abs(z) - strength / bend, 0.0)
        expected = np.abs(moved).max() * bend
        assert_allclose(found, expected / start, rtol=1e-9)
        assert math.isnan(dual)
    for unit in (0.25, 4.0):
        solver._unit = unit
        assert_allclose(solver._measure(penalty)[2], expected / unit, rtol=1e-9)
    solver._unit = 0.0
    assert solver._measure(penalty)[2] == 0.0
    # What rounding may hide: of the products, and of the fit.
    norms = np.sqrt((A**2).sum(axis=0))
    error = norms.max() * rounding(design.chain + 4, np.linalg.norm(g))
    spread = norms @ np.abs(w) + np.linalg.norm(eta)
    error += norms.max() * 2.0 * rounding(3 + 4, spread)
    assert_allclose(solver._rounding(penalty), error, rtol=1e-9)


def test_a_step_of_users_counts_the_slope_of_the_intercept(monkeypatch):
    X, y, _ = squared(18)
    design, datafit = make_design(X), UserDatafit(Rounded(), y)
    solver = ProximalSolver(design, datafit)
    penalty = GivenPenalty(Absolute(), 1e3, 1.0)
    assert solver._measure(penalty)[2] == 0.0
    settle = datafit.settle_intercept
    monkeypatch.setattr(datafit, "settle_intercept", lambda eta: settle(eta) + 0.5)
    lean = abs(datafit.gradient(np.full(20, datafit.settle_intercept(0 * y))).sum())
    expected = np.sqrt(design.squares.max() / 20.0) * lean / solver.null_scale
    assert_allclose(solver._measure(penalty)[2], expected, rtol=1e-9)


@pytest.mark.parametrize("matrix", [False, True])
def test_a_gradient_that_free_features_slope_in_is_no_dual_point(matrix):
    X, y, _ = binary(19)
    datafit = OneColumn(Logistic(y)) if matrix else Logistic(y)
    solver = (SoftmaxSolver if matrix else GLMSolver)(make_design(X), datafit)
    weights = np.array([0.0, 1.0, 1.0, 1.0])
    penalty = ElasticNetPenalty(0.3, 1.0, 4, 30.0, feature_weights=weights)
    solver._kind = "duality_gap"
    solver._adopt(penalty)
    solver.q = solver.design.correlations(-solver.gradient)
    value, dual, gap = solver._measure(penalty)
    assert 0.0 <= gap < 1.0
    assert 0.5 * value < dual <= value * (1.0 + 1e-12)
    # Moved away along the free feature, with the intercept settled.
    image = solver.design.block(np.array([0])) @ np.ones((1, 1))
    solver.eta = solver.eta + (image if matrix else image[:, 0])
    solver.eta = solver.eta + datafit.settle_intercept(solver.eta)
    solver.gradient = datafit.gradient(solver.eta)
    assert abs(solver.gradient.sum()) < 1e-12
    assert solver._measure(penalty)[1:] == (-np.inf, np.inf)
