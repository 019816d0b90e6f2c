"""Compiled paths of likelihoods against those of the working-set solver."""

import os
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

import sparsestat.linear_model as ssl
from sparsestat._utils.arithmetic import rounding
from sparsestat.linear_model._penalized import (
    _datafits,
    _kernels_losses,
    _likelihood_path,
)
from sparsestat.linear_model._penalized import _likelihood_problems as problems
from sparsestat.linear_model._penalized._gaps import likelihood_dual
from sparsestat.linear_model._penalized._points import PathPoints
from sparsestat.linear_model._penalized._problems import PathProblem
from sparsestat.linear_model._penalized._spec import PenaltySpec
from sparsestat.linear_model._penalized._survival import Cox
from sparsestat.linear_model._penalized._survival_problem import CoxProblem

TRIALS = int(os.environ.get("SPARSESTAT_PATH_PROBLEMS", "100"))
LOSSES = ("logistic", "poisson", "gamma", "tweedie", "huber", "cox")
CLASSES = {
    "logistic": problems.LogisticProblem,
    "poisson": problems.PoissonProblem,
    "gamma": problems.GammaProblem,
    "tweedie": problems.TweedieProblem,
    "huber": problems.HuberProblem,
    "cox": CoxProblem,
}


def target_of(loss, eta, rng):
    n = len(eta)
    if loss == "logistic":
        y = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
        y[:2] = 0.0, 1.0
        return y
    if loss == "cox":
        times = rng.exponential(np.exp(-np.clip(eta, -3, 3)))
        if rng.random() < 0.5:
            times = np.ceil(4.0 * times)  # ties
        event = rng.random(n) < 0.8
        event[:2] = True
        return np.column_stack([times, event])
    if loss == "huber":
        return eta + rng.standard_t(2, n)
    mean = np.exp(np.clip(eta, -3, 3))
    if loss == "gamma":
        return mean * rng.gamma(2.0, 0.5, n) + 1e-3
    y = rng.poisson(mean).astype(float)
    y[0] = 2.0
    return y * rng.uniform(0.5, 2.0, n) if loss == "tweedie" else y


def random_problem(rng, loss, *, is_sparse=None):
    """Return a problem, with few entries in a column if `is_sparse` is true."""
    n = int(rng.choice([2, 6, 25, 80]))
    p = int(rng.choice([1, 3, 10, 40]))
    if is_sparse:
        n, p = int(rng.choice([70, 200])), int(rng.choice([10, 40, 300]))
    if loss == "cox":  # taken with events enough for each feature
        n = 80 if p == 40 else 60
    X = rng.standard_normal((n, p))
    kind = rng.integers(0, 5)
    if kind == 1 and p > 2:
        X[:, 1] = X[:, 0]  # duplicates
    elif kind == 2:
        X[:, -1] = 0.0 if rng.random() < 0.5 else 3.0
    elif kind == 3 and not is_sparse:
        X += 10.0 ** rng.uniform(0, 4)  # far from zero
    elif kind == 4:
        # A violation relative to the largest gradient says little on columns whose
        # scales are far apart.
        reach = 0.5 if loss == "cox" else 6.0
        X = X * 10.0 ** rng.uniform(-reach, reach, p)
    if is_sparse:
        X *= rng.random((n, p)) < rng.choice([0.01, 0.03])
    eta = X[:, : 8 if is_sparse else 1].sum(axis=1)
    y = target_of(loss, eta / max(np.abs(eta).max(), 1e-300), rng)
    weights = None if rng.random() < 0.5 else rng.integers(0, 3, n) * rng.random(n)
    if weights is not None:
        weights[:2] = 1.0, 0.5
        if loss == "cox":
            weights += 0.1
    omega = None
    if rng.random() < 0.4:
        omega = rng.uniform(0.2, 3.0, p)
        omega[rng.random(p) < 0.2] = np.inf
        if np.isinf(omega).all():
            omega = None
    spec = PenaltySpec(feature_weights=omega, positive=bool(rng.random() < 0.3))
    options = {
        "fit_intercept": bool(rng.random() < 0.7),
        "tol": 10.0 ** -rng.integers(4, 8),
        "max_iter": 200,
        "max_epochs": 50_000,
        "penalty": spec,
    }
    if loss == "cox":
        options["ties"] = "breslow"
        del options["fit_intercept"]
    if loss == "tweedie":
        options["power"] = float(rng.choice([1.2, 1.5, 1.8]))
    if loss == "huber":
        options["delta"] = float(rng.choice([0.3, 1.35]))
    if is_sparse or (is_sparse is None and rng.random() < 0.3):
        X = sparse.csc_array(X)
    return CLASSES[loss](X, y, weights, **options)


def outside(problem, result, alpha, ratio):
    """Measure a result as the working-set solver would, relative to the same unit."""
    design, datafit = problem.design, problem.datafit
    penalty = problem.penalty(alpha / problem.alpha_unit, ratio)
    w = result.dense_coef(problem.n_features) / problem.coef_unit
    shift = (result.shift - problem.y_offset) / problem.y_unit
    eta = shift + design.product(np.arange(len(w)), w)
    gradient = datafit.gradient(eta)
    q = design.correlations(-gradient)
    value = datafit.value(eta) + penalty.value(w)
    if result.kind == "kkt":
        return value, penalty.violations(w, q).max() / result.unit
    if design.fit_intercept:
        assert abs(gradient.sum()) <= 1e-10 * np.abs(gradient).sum() + 1e-300
    dual, _ = likelihood_dual(datafit, penalty, gradient, q)
    return value, (value - dual) / result.unit


@pytest.mark.parametrize(
    "loss, is_sparse",
    [(loss, None) for loss in LOSSES] + [(loss, True) for loss in LOSSES[:-1]],
)
def test_compiled_and_working_set_paths_are_the_same(loss, is_sparse):
    rng = np.random.default_rng(LOSSES.index(loss))
    used = compiled = total = 0
    for _ in range(max(TRIALS // len(LOSSES), 1)):
        problem = random_problem(rng, loss, is_sparse=is_sparse)
        if is_sparse and problem.design.prefers_gram:
            continue
        ratio = float(rng.choice([1.0, 0.5]))
        top = problem.alpha_max(ratio)
        # Correlations that are rounding have no strengths to compare.
        solver = problem.make_solver()
        longest = np.sqrt(problem.design.squares).max()
        steepest = np.abs(solver.gradient).max()
        least = 1e-9 * longest * steepest
        if steepest < 1e-10 or longest == 0.0 or top * problem.total <= least:
            continue
        alphas = np.geomspace(top, 1e-2 * top, 10)
        suits = _likelihood_path.suits_compiled(problem, alphas, ratio)
        if loss == "cox" and not suits:
            continue
        assert suits
        fast = problem.solve(alphas, ratio)
        slow = PathProblem.solve(problem, alphas, ratio)
        used += isinstance(fast, PathPoints)
        for alpha, a, b in zip(alphas, fast, slow, strict=True):
            assert a.kind == b.kind and a.scale == b.scale
            assert_allclose(a.unit, b.unit, rtol=1e-9)
            # Separated classes keep both from the tolerance, never the fast one alone.
            assert a.gap <= max(problem.tol, b.gap)
            assert a.gap + a.rounding <= max(problem.tol, b.gap + b.rounding)
            _, gap = outside(problem, a, alpha, ratio)
            assert gap <= a.gap + a.rounding + 1e-3 * problem.tol
            if a.kind == "duality_gap":
                unit = a.unit * problem.y_unit**2
                slack = (max(a.gap, b.gap) + a.rounding + b.rounding + 1e-13) * unit
                assert abs(a.objective - b.objective) <= slack + 1e-14 * abs(
                    a.objective
                )
            else:
                assert_allclose(a.objective, b.objective, rtol=1e-4, atol=1e-12)
            penalty = problem.penalty(alpha / problem.alpha_unit, ratio)
            w = a.dense_coef(problem.n_features)
            assert not np.any(penalty.lam[w != 0] == np.inf)
            assert not problem.spec.positive or (w >= 0).all()
            compiled += len(a.gap_history) == 1
            total += 1
    assert used > 0 and compiled > (0.6 if loss == "cox" else 0.8) * total


@pytest.mark.parametrize("loss", LOSSES)
def test_compiled_losses_are_those_of_the_datafits(loss):
    rng = np.random.default_rng(8)
    n = 300
    s, eta = rng.uniform(0.1, 2.0, n), 4.0 * rng.standard_normal(n)
    eta[:4] = 0.0, 40.0, -40.0, 1e-9
    first = np.empty(0, dtype=np.int64)
    if loss == "cox":
        y = target_of(loss, np.zeros(n), rng)
        y[:, 0] = np.ceil(20.0 * y[:, 0])
        order = np.argsort(y[:, 0], kind="stable")
        y, eta[eta == -40.0] = y[order], 0.0
        first = np.searchsorted(y[:, 0], y[:, 0])
    else:
        y = target_of(loss, eta, rng)
    made = {
        "logistic": _datafits.Logistic,
        "poisson": _datafits.Poisson,
        "gamma": _datafits.Gamma,
        "tweedie": lambda y, s: _datafits.Tweedie(y, s, power=1.4),
        "huber": lambda y, s: _datafits.Huber(y, s, delta=0.7),
        "cox": lambda y, s: Cox(y[:, 0], y[:, 1], s),
    }[loss](y, s)
    code, shape, inner = _likelihood_path.loss_code(made)
    if loss == "cox":
        inner = y[:, 1].copy()
    g, h = np.empty(n), np.empty(n)
    value = _kernels_losses.evaluate(
        code, shape, made.floor, inner, s, first, eta, g, h, n > 0
    )
    assert_allclose(value, made.value(eta), rtol=1e-13)
    assert_allclose(g, made.gradient(eta), rtol=1e-12, atol=1e-14 * np.abs(g).max())
    assert_allclose(h, made.model_curvature(eta), rtol=1e-12)
    if loss == "cox":
        spread = np.linspace(-400.0, 400.0, n)
        value = _kernels_losses.evaluate(
            code, shape, made.floor, inner, s, first, spread, g, h, n > 0
        )
        assert np.isinf(value)  # no sums of exponentials there
        return
    size = _kernels_losses.magnitude(code, shape, inner, s, eta, value)
    assert size + abs(made.saturated) >= 0.99 * (made.magnitude(eta) - s.sum())
    for multiple in (1.0, 0.7):
        found = _kernels_losses.conjugate(code, shape, inner, s, eta, g, multiple)
        assert_allclose(found, made.conjugate(multiple * g), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("power", [1.001, 1.02, 1.4, 1.97, 1.999])
def test_conjugates_of_tweedie_are_found_from_anywhere(power):
    p = power
    for y, x, far in product(
        (1e-3, 1.0, 60.0), (-6.0, -0.3, 4.0), (-12, -1, 0, 0.5, 9)
    ):
        low, high = y * np.exp((1.0 - p) * x), np.exp((2.0 - p) * x)
        u, loss = high - low, low / (p - 1.0) + high / (2.0 - p)
        found = _kernels_losses._tweedie_conjugate(u, y, p, x + far)
        assert_allclose(found, u * x - loss, atol=1e-14 * (abs(u * x) + loss))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_budget_that_ends_hands_over(loss, monkeypatch):
    problem = None
    rng = np.random.default_rng(3)
    while problem is None or problem.design.n_samples < 40 or problem.n_features != 10:
        problem = random_problem(rng, loss)
    alphas = problem.grid(12, 0.05, 1.0)
    whole = problem.solve(alphas, 1.0)
    monkeypatch.setattr(_likelihood_path, "_BUDGET", 9)
    short = problem.solve(alphas, 1.0)
    assert isinstance(short, PathPoints)
    for a, b in zip(whole, short, strict=True):
        assert b.gap <= problem.tol
        assert_allclose(a.objective, b.objective, rtol=1e-3, atol=1e-9)


def test_folds_take_the_compiled_path(monkeypatch):
    rng = np.random.default_rng(4)
    X = rng.standard_normal((80, 12))
    y = X[:, 0] + rng.standard_normal(80) > 0
    model = ssl.SparseLogisticRegressionCV(alphas=8, cv=4, tol=1e-7).fit(X, y)
    monkeypatch.setattr(problems, "suits_compiled", lambda *arguments: False)
    slow = ssl.SparseLogisticRegressionCV(alphas=8, cv=4, tol=1e-7).fit(X, y)
    assert_allclose(model.loss_path_, slow.loss_path_, rtol=1e-4)
    assert_allclose(model.coef_, slow.coef_, atol=1e-3)
    assert_allclose(model.intercept_path_, slow.intercept_path_, atol=1e-3)
    assert_allclose(model.dual_gaps_, 0.0, atol=1e-7)


def test_what_the_kernel_does_not_suit_takes_the_other_way():
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((30, 5)), rng.integers(0, 2, 30) * 1.0
    alphas = np.geomspace(1, 0.1, 10)

    def suits(X=X, y=y, alphas=alphas, ratio=1.0, **more):
        problem = problems.LogisticProblem(X, y, tol=more.pop("tol", 1e-4), **more)
        return _likelihood_path.suits_compiled(problem, alphas, ratio)

    assert suits()
    assert not suits(tol=1e-12)
    assert not suits(penalty=PenaltySpec(feature_weights=np.array([0.0, 1, 1, 1, 1])))
    assert not suits(penalty=PenaltySpec("mcp", shape=3.0))
    assert not suits(alphas=alphas[:3])
    assert not suits(alphas=np.append(alphas, 0.0))
    assert not suits(ratio=0.0)
    assert not suits(offset=np.ones(30))
    X = sparse.random_array((30, 100), density=0.01, format="csc", rng=0)
    assert suits(X=X)
    problem = CoxProblem(X, np.column_stack([y + 1.0, y]), ties="breslow")
    assert not _likelihood_path.suits_compiled(problem, alphas, 1.0)


@pytest.mark.parametrize("loss", LOSSES[:-1])
def test_single_fits_in_one_call_are_those_of_working_sets(loss):
    rng = np.random.default_rng(10 + LOSSES.index(loss))
    used = finished = 0
    for _ in range(max(TRIALS // 3, 1)):
        problem = random_problem(rng, loss)
        ratio = float(rng.choice([1.0, 0.5]))
        kind = "duality_gap" if problem._gap_is_measured(1.0) else "kkt"
        top = problem.alpha_max(ratio)
        solver = problem.make_solver()
        longest = np.sqrt(problem.design.squares).max()
        lost = 1e-11 * longest * np.abs(solver.gradient).max()
        if not top * problem.total > lost > 0 or not problem.design.prefers_gram:
            continue
        alpha = top * 10.0 ** rng.uniform(-2, 0.3)
        used += 1
        fast = _likelihood_path.likelihood_result(problem, alpha, ratio, kind)
        if fast is None:
            continue
        finished += 1
        assert fast.gap + fast.rounding <= problem.tol
        assert fast.n_iter == len(fast.gap_history) <= 40
        assert fast.gap_history[-1] == fast.gap and fast.n_newton == fast.n_iter - 1
        assert np.all(fast.coef != 0.0)
        assert not problem.spec.positive or np.all(fast.coef > 0.0)
        if problem.spec.feature_weights is not None:
            assert np.isfinite(problem.spec.feature_weights[fast.columns]).all()
        # What is there to explain, and the gap of zeros and of what is returned.
        unit = solver.gap_scale if kind == "duality_gap" else problem_unit(problem)
        assert_allclose(fast.unit, unit, rtol=1e-9)
        assert_allclose(fast.null_value, solver.null_value, rtol=1e-12)
        fast = problem.given(fast)
        value, gap = outside(problem, fast, alpha, ratio)
        objective = (fast.objective + moved(problem)) / problem.y_unit**2
        assert_allclose(objective / problem.loss_unit, value, rtol=1e-11, atol=1e-300)
        assert abs(gap - fast.gap) <= 2.0 * fast.rounding + 1e-4 * problem.tol
        slow = problem.solve_one(alpha, ratio, solver=problem.make_solver())
        if kind == "duality_gap":
            slack = fast.gap + slow.gap + fast.rounding + slow.rounding
            slack *= fast.unit * problem.loss_unit
            size = abs(fast.objective) + abs(moved(problem))
            assert abs(fast.objective - slow.objective) <= slack + 1e-14 * size
    assert used > 0.5 * TRIALS // 3 and finished > 0.7 * used


def problem_unit(problem):
    """Return the largest gradient at zero of a feature that is not dropped."""
    solver = problem.make_solver()
    solver._adopt(problem.penalty(1.0, 1.0))
    return solver.kkt_scale


def moved(problem):
    """Return what a unit of the target took from the objective of the given data."""
    if isinstance(problem, problems.GammaProblem):
        return -problem.total * problem.y_offset
    if isinstance(problem, problems.PoissonProblem) and problem.y_offset:
        sums = float(problem.datafit.weights @ problem.y)
        return problem.loss_unit * problem.y_offset * sums
    return 0.0


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 0.0},
        {"ratio": 0.0},
        {"tol": 1e-14},
        {"max_iter": 2},
        {"max_epochs": 2},
        {"offset": np.linspace(-1, 1, 30)},
        {"penalty": PenaltySpec(feature_weights=np.array([0.0, 1, 1, 1]))},
        {"penalty": PenaltySpec("mcp", shape=3.0)},
        {"columns": 2001},
        {"density": 0.01, "columns": 40},
    ],
    ids=lambda options: next(iter(options)),
)
def test_single_fits_of_other_kinds_go_to_working_sets(options):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, options.pop("columns", 4)))
    density = options.pop("density", None)
    if density is not None:
        X = sparse.csc_array(X * (rng.random(X.shape) < density))
        X[[0, 1, 2, 3], [0, 1, 2, 3]] = 1.0
    y = (X[:, [0]].sum(axis=1) + rng.standard_normal(30) > 0) * 1.0
    alpha, ratio = options.pop("alpha", 0.02), options.pop("ratio", 1.0)
    problem = problems.LogisticProblem(X, y, **{"tol": 1e-6, **options})
    kind = "duality_gap" if problem._gap_is_measured(alpha) else "kkt"
    assert _likelihood_path.likelihood_result(problem, alpha, ratio, kind) is None
    found = problem.solve_one(alpha, ratio)
    expected = problem._solved(alpha, ratio, kind, None, None, None)
    assert found.kind == kind
    assert_allclose(found.coef, expected.coef, rtol=1e-12)


def test_targets_that_a_constant_explains_have_nothing_to_be_fitted():
    X = np.random.default_rng(0).standard_normal((20, 3))
    model = ssl.SparsePoissonRegressor(0.1).fit(X, np.full(20, 3.0))
    assert model.certificate_.satisfied and not model.coef_.any()
    assert_allclose(model.intercept_, np.log(3.0), rtol=1e-12)


def test_features_that_want_coefficients_by_the_hundred_come_one_after_another():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 800))
    y = rng.poisson(np.exp(0.5 * X[:, 0]))
    fast = ssl.SparsePoissonRegressor(1e-2, tol=1e-7).fit(X, y)
    assert fast.certificate_.satisfied and fast.n_iter_ > 8
    slow = ssl.SparsePoissonRegressor(1e-2, tol=1e-7, warm_start=True)
    slow.coef_ = np.zeros(800)
    slow.fit(X, y)
    assert_allclose(fast.objective_, slow.objective_, rtol=1e-6)


@pytest.mark.parametrize("has_gap", [False, True])
def test_the_bound_of_rounding_is_the_sum_of_its_parts(has_gap):
    rng = np.random.default_rng(0)
    n, k, product = 50, 3, 1e-15
    shifts, counts = rng.normal(size=k), np.array([1, 4, 4])
    # So that no part hides the others.
    stats, bends = rng.uniform(0.5, 2.0, (k, 10)), rng.uniform(0.5, 2.0, k)
    stats[:, 5] *= 1e-15
    reach, strengths = rng.uniform(1.0, 5.0, k), rng.uniform(0.1, 1.0, k)
    found = _likelihood_path._rounding(
        -2.5, n, counts, reach, product, shifts, stats, bends, 1.7, 3.0, strengths,
        has_gap,
    )  # fmt: skip
    for i in range(k):
        # Columns 3 to 9: the multiple that is the dual point, the norm and the sum of
        # the gradient, what the dual falls by, sums of absolute terms, the distance.
        multiple, size, total, fall, absolute, _, far = stats[i, 3:]
        slip = rounding(int(counts[i]) + 4) * (reach[i] + np.sqrt(n) * abs(shifts[i]))
        if has_gap:
            expected = (
                slip * (size + 0.5 * bends[i] * slip)
                + 2.0 * rounding(n + 16) * (absolute + 2.5)
                + abs(shifts[i] * total)
                + 3.0 / strengths[i] * product * size * multiple * abs(fall)
                + 2.0 * product * size * far
            )
        else:
            expected = 1.7 * (product * size + bends[i] * slip)
        assert_allclose(found[i], expected, rtol=1e-12)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_errors_of_implicit_centers_are_reckoned_with(is_sparse):
    rng = np.random.default_rng(1)
    X = (rng.random((300, 4)) < 0.03) * rng.uniform(1.0, 3.0, (300, 4))
    problem = problems.LogisticProblem(
        sparse.csc_array(X) if is_sparse else X, np.arange(300) % 2.0
    )
    norms, W = np.sqrt(problem.design.squares), rng.standard_normal((3, 4))
    sums = np.abs(W) @ norms
    stats = np.column_stack([np.full((3, 10), np.nan), sums])
    reach, product = _likelihood_path._reach(problem, W, norms, stats)
    chain = rounding(problem.design.chain + 4)
    if not is_sparse:
        assert_allclose(reach, sums)
        assert product == chain
        return
    assert problem.design.chain == np.count_nonzero(X, axis=0).max() + 16
    far = np.sqrt(300) * (X.mean(axis=0) / norms).max()
    assert 0.05 < far < 1.0
    assert_allclose(reach, (1.0 + 2.0 * far) * sums)
    assert_allclose(product, chain + far * rounding(304))


@pytest.mark.parametrize("power", [-100, 0, 100])
def test_intercepts_of_huber_are_found_in_any_unit(power):
    # Violations of features do not see an intercept that is far from its place.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 6))
    y = np.ldexp(X[:, 0] + rng.standard_t(2, 40), power)
    delta = 2.0**power
    problem = problems.HuberProblem(X, y, delta=delta, tol=1e-8)
    result = _likelihood_path.likelihood_result(problem, 0.1 * delta, 1.0, "kkt")
    eta = problem.design.product(result.columns, result.coef) + result.shift
    gradient = problem.datafit.gradient(eta)
    assert abs(gradient.sum()) <= 1e-10 * np.abs(gradient).sum()
    alphas = problem.grid(8, 0.05, 1.0)
    for point in problem.solve(alphas, 1.0):
        eta = problem.design.product(point.columns, point.coef / problem.coef_unit)
        eta = eta + (point.shift - problem.y_offset) / problem.y_unit
        gradient = problem.datafit.gradient(eta)
        assert abs(gradient.sum()) <= 1e-8 * np.abs(gradient).sum()
    stats = np.zeros((2, 10))
    stats[:, 4], stats[:, 5] = 1.0, [1e-12, 1e-3]
    assert _likelihood_path._is_settled(40, stats).tolist() == [True, False]


@pytest.mark.parametrize("loss", ["logistic", "huber"])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_gradients_that_do_not_sum_to_zero_are_seen(loss, factor, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5))
    y = target_of(loss, 0.5 * X[:, 0], rng)
    options = {"delta": 1.35} if loss == "huber" else {}
    problem = CLASSES[loss](X, y, tol=1e-4, **options)
    has_gap = loss == "logistic"
    datafit, squares = problem.datafit, problem.design.squares
    null = datafit.gradient(np.full(60, datafit.null_intercept()))
    alphas = problem.alpha_max(1.0) * np.geomspace(0.9, 0.2, 4)
    kind, limit = "duality_gap" if has_gap else "kkt", np.sqrt(60)
    if has_gap:  # of the gradient of the intercept alone, on paths and in single fits
        limit *= 1e-7 * np.linalg.norm(null)
    one = _likelihood_path.likelihood_result(problem, alphas[2], 1.0, kind)
    assert one is not None
    if not has_gap:
        eta = problem.design.product(one.columns, one.coef) + one.shift
        limit *= 1e-8 * np.linalg.norm(datafit.gradient(eta))
    # Beside violations the slope counts as that along the longest column.
    lean = np.sqrt(squares.max() / 60) * factor * limit / one.unit
    fit, kernel_of = (
        _likelihood_path.kernels.likelihood_fit,
        _likelihood_path._kernel_of,
    )

    def spoiled_fit(*arguments):
        found = fit(*arguments)
        arguments[-1][:, 5] = -factor * limit
        return found

    monkeypatch.setattr(_likelihood_path.kernels, "likelihood_fit", spoiled_fit)
    found = _likelihood_path.likelihood_result(problem, alphas[2], 1.0, kind)
    assert (found is None) == (factor > 1.0)
    if found is not None:
        expected = one.gap if has_gap else max(one.gap, lean)
        assert_allclose(found.gap, expected, rtol=1e-6)
        assert found.gap_history[-1] == found.gap

    def spoiled_kernel(problem, norms):
        solve, data = kernel_of(problem, norms)

        def spoiled(*arguments):
            found = solve(*arguments)
            arguments[-2][2:, 5] = factor * limit, 0.25
            return found

        return spoiled, data

    monkeypatch.setattr(_likelihood_path, "_kernel_of", spoiled_kernel)
    monkeypatch.setattr(
        _likelihood_path, "mended", lambda problem, points, missed, *_: (points, missed)
    )
    points, missed = _likelihood_path.likelihood_results(problem, alphas, 1.0, "")
    assert missed.tolist() == [False, False, factor > 1.0, True]
    if has_gap:
        assert np.isinf(points.gaps).tolist() == missed.tolist()
    else:
        expected = np.sqrt(squares.max() / 60) * 0.25 / one.unit
        assert_allclose(points.gaps[3], expected, rtol=1e-6)


@pytest.mark.parametrize("loss", ["logistic", "poisson", "gamma", "huber"])
def test_bounds_of_rounding_are_those_of_the_problem(loss, monkeypatch):
    rng = np.random.default_rng(1)
    X = (rng.standard_normal((40, 4)) + rng.standard_normal((40, 1))) / 64.0
    y = target_of(loss, 40.0 * X[:, 0], rng)
    omega = np.array([0.5, 1.0, 2.0, np.inf])
    options = {"delta": 1.35} if loss == "huber" else {}
    weights = rng.uniform(0.5, 2.0, 40)
    spec = PenaltySpec(feature_weights=omega)
    problem = CLASSES[loss](X, y, weights, penalty=spec, tol=1e-6, **options)
    has_gap, datafit, design = loss != "huber", problem.datafit, problem.design
    kind = "duality_gap" if has_gap else "kkt"
    alphas = problem.alpha_max(0.5) * np.geomspace(0.9, 0.1, 5)
    seen, bound = [], _likelihood_path._rounding

    def watched(*arguments):
        found = bound(*arguments)
        seen.append((arguments, found))
        return found

    runs, kernel_of = [], _likelihood_path._kernel_of

    def counted_kernel(*arguments):
        solve, data = kernel_of(*arguments)

        def counted(*given):
            found, info = solve(*given), given[-1]
            info[:, :3] = 2 * info[:, :3] + [0, 1, 2]  # to tell one from the other
            runs.append(info)
            return found

        return counted, data

    monkeypatch.setattr(_likelihood_path, "_rounding", watched)
    monkeypatch.setattr(_likelihood_path, "_kernel_of", counted_kernel)
    one = _likelihood_path.likelihood_result(problem, alphas[3], 0.5, kind)
    points = _likelihood_path.likelihood_results(problem, alphas, 0.5, "")
    (single, error), (path, errors) = seen
    norms = np.sqrt(((X - X.mean(axis=0)) ** 2).sum(axis=0))
    assert norms.max() < 1.0  # columns shorter than one
    W = points.coefs / problem.coef_unit
    w = one.dense_coef(4)
    strengths = problem.penalty(alphas[3] / problem.alpha_unit, 0.5).lam[1]
    explained = datafit.value(np.full(40, datafit.null_intercept())) - datafit.saturated
    for arguments, v, shift in ((single, w, one.shift), (path, W, path[5])):
        saturated, n, counts, reach, product, shifts, stats, bends = arguments[:8]
        if has_gap:
            assert_allclose(saturated, datafit.saturated, atol=1e-9 * explained)
        assert n == 40 and arguments[11] == has_gap
        assert_allclose(counts, np.count_nonzero(np.atleast_2d(v), axis=1))
        assert_allclose(reach, np.abs(v) @ norms, rtol=1e-12)
        assert_allclose(product, rounding(design.chain + 4), rtol=1e-12)
        assert_allclose(shifts, shift)
        assert_allclose(arguments[8], norms.max(), rtol=1e-12)
        assert_allclose(arguments[9], (norms / omega).max(), rtol=1e-12)
        at = np.atleast_1d(arguments[10])
        assert_allclose(at[-2 if len(at) > 1 else 0], strengths, rtol=1e-12)
        assert np.all(np.asarray(bends) > 0.0) and stats.shape[1] >= 10
    # And they are handed on, relative to what measures are relative to.
    unit = explained if has_gap else one.unit
    assert_allclose(one.unit, unit, rtol=1e-9)
    assert_allclose(one.rounding, error[0] / unit, rtol=1e-9)
    assert_allclose(points.roundings, errors / unit, rtol=1e-9)
    (info,) = runs
    for point, gap, (sweeps, models, looks) in zip(
        points, points.gaps, info[:, :3], strict=True
    ):
        assert (point.n_sweeps, point.n_newton, point.n_iter) == (sweeps, models, looks)
        assert point.kind == kind and point.gap == gap <= 1e-6
        assert_allclose(point.unit, unit, rtol=1e-9)
    _, measure = outside(problem, problem.given(one), alphas[3], 0.5)[:2]
    assert measure <= 1e-6


def test_columns_without_a_slope_have_no_path():
    X = np.ones((12, 2))
    problem = CLASSES["huber"](X, np.arange(12.0) % 5, delta=1.0, tol=1e-6)
    assert _likelihood_path.likelihood_results(problem, np.ones(4), 1.0, "") is None
