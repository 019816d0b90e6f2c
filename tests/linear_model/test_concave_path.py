"""MCP and SCAD from moments against working sets, and folds without fits."""

import os

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.model_selection import KFold, RepeatedKFold

import sparsestat.linear_model as ssl
from sparsestat._utils.arithmetic import rounding
from sparsestat.datasets import make_sparse_regression
from sparsestat.linear_model._penalized import _concave_path, _gram_path
from sparsestat.linear_model._penalized import _kernels_concave_path as kernels
from sparsestat.linear_model._penalized._concave_path import ConcaveProblem
from sparsestat.linear_model._penalized._problems import (
    LeastSquaresProblem,
    PathProblem,
)
from tests.linear_model.penalty_oracles import concave_problem
from tests.linear_model.test_gram_path import random_problem

TRIALS = int(os.environ.get("SPARSESTAT_PATH_PROBLEMS", "120"))
SHAPES = {"mcp": ("gamma", 3.0), "scad": ("a", 3.7)}
kinds = pytest.mark.parametrize("kind", list(SHAPES))


def random_concave(rng, shape=None):
    """Return a problem and its shape, or None where there is nothing to fit."""
    X, y, weights, options = random_problem(rng)
    omega = options["feature_weights"]
    if omega is not None and np.isfinite(omega).sum() > 1 and rng.random() < 0.5:
        omega[rng.integers(0, len(omega))] = 0.0
    if rng.random() < 0.2:
        X = sparse.csc_array(X)
    kind = str(rng.choice(list(SHAPES)))
    if shape is None:
        shape = (1.0 if kind == "mcp" else 2.0) + 10.0 ** rng.uniform(-1, 2)
    problem = ConcaveProblem(kind, X, y, weights, **options)
    top = problem.alpha_max(shape)
    scale = float(np.abs(problem.design.correlations(problem.target)).max(initial=0.0))
    if not top * problem.total > 1e-8 * scale * problem.alpha_unit:
        return None
    return problem, shape, top


def outside(problem, result, alpha, shape):
    """Violation of a point seen from the data, its bound of rounding, the penalty."""
    A = problem.design.block(np.arange(problem.n_features))
    w = result.dense_coef(problem.n_features) / problem.coef_unit
    gap, _, error = _gram_path.measured_point(
        problem, A, problem.target, w, alpha, shape
    )
    return gap, error, w


def test_random_paths_are_stationary_and_as_low_as_those_of_working_sets():
    rng = np.random.default_rng(0)
    used = finished = points = 0
    lower = []
    for _ in range(TRIALS):
        made = random_concave(rng)
        if made is None:
            continue
        problem, shape, _ = made
        used += 1
        alphas = problem.grid(12, 10.0 ** rng.uniform(-3, -1), shape)
        fast = problem.solve(alphas, shape)
        slow = PathProblem.solve(problem, alphas, shape)
        null = 0.5 * float(problem.target @ problem.target) * problem.y_unit**2
        for alpha, a, b in zip(alphas, fast, slow, strict=True):
            assert a.kind == "kkt" and np.isnan(a.dual) and a.scale == b.scale
            assert_allclose(a.unit, b.unit, rtol=1e-9)
            # Near-copies may keep both from the tolerance, never the fast one alone.
            assert a.gap <= max(problem.tol, 1.01 * b.gap) and a.rounding >= 0.0
            gap, error, w = outside(problem, a, alpha, shape)
            allowed = (max(problem.tol, a.gap) + a.rounding + 1e-15) * a.unit
            assert gap <= allowed + error
            assert not np.any(w[np.isinf(problem.penalty(1.0, shape).lam)])
            assert not problem.positive or (w >= 0).all()
            lower.append((b.objective - a.objective) / null)
            finished += len(a.gap_history) == 1
            points += 1
    assert used > 0.7 * TRIALS and finished > 0.85 * points
    # Both ways down may end at other stationary points, neither at worse ones.
    lower = np.array(lower)
    assert (np.abs(lower) < 1e-4).mean() > 0.9
    assert (lower < -1e-4).sum() <= 2 * (lower > 1e-4).sum() + 0.03 * points


def strictly_convex(rng, kind):
    """Return a problem whose penalty is less concave than the loss is curved."""
    n, p = int(rng.integers(15, 60)), int(rng.integers(1, 12))
    X = rng.standard_normal((n, p)) @ (np.eye(p) + 0.3 * rng.standard_normal((p, p)))
    X *= 10.0 ** rng.uniform(-2, 2, p)
    y = X @ (rng.choice([0.0, 1.0], p) / np.linalg.norm(X, axis=0)) * np.sqrt(n)
    y += rng.standard_normal(n) + 2.0
    s = None if rng.random() < 0.5 else rng.uniform(0.2, 2.0, n)
    omega = None
    if rng.random() < 0.5 and p > 2:
        omega = rng.uniform(0.3, 2.0, p)
        omega[:2] = 0.0, np.inf
    problem = ConcaveProblem(
        kind, X, y, s, feature_weights=omega, fit_intercept=True, tol=1e-9,
        max_iter=100, max_epochs=10_000,
    )  # fmt: skip
    A = problem.design.block(np.arange(p)) / np.sqrt(problem.design.squares)
    least = np.linalg.eigvalsh(A.T @ A)[0]
    # What is left of the curvature in standardized coefficients, and the bound of their
    # errors that follows from violations.
    reach = problem.tol * np.sqrt((1.0 / problem.design.squares).sum())
    return problem, 1.5 / least + (0.0 if kind == "mcp" else 1.0), 3.0 * reach / least


@kinds
def test_where_the_problem_is_convex_both_find_its_only_point(kind):
    rng = np.random.default_rng(1)
    compared = 0
    for _ in range(TRIALS // 4):
        problem, shape, reach = strictly_convex(rng, kind)
        alphas = problem.grid(8, 1e-2, shape)
        fast = problem.solve(alphas, shape)
        slow = PathProblem.solve(problem, alphas, shape)
        norms = np.sqrt(problem.design.squares) / problem.coef_unit
        for a, b in zip(fast, slow, strict=True):
            assert len(a.gap_history) == 1  # no other solver had to help
            difference = a.dense_coef(len(norms)) - b.dense_coef(len(norms))
            assert np.linalg.norm(difference * norms) <= 2.0 * reach * a.unit + 1e-11
            assert_allclose(a.objective, b.objective, rtol=1e-9)
            compared += 1
        alpha = float(rng.choice(alphas[1:]))
        one = problem.solve_one(alpha, shape)
        other = LeastSquaresProblem.solve_one(problem, alpha, shape)
        assert_allclose(one.objective, other.objective, rtol=1e-7)
        assert one.n_iter == len(one.gap_history) and one.gap_history[-1] == one.gap
        assert_allclose(one.gap_history[0], other.gap_history[0], rtol=1e-9, atol=1e-12)
    assert compared >= 8 * (TRIALS // 4)


@kinds
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_paths_seen_from_outside(kind, dtype):
    name, shape = SHAPES[kind]
    data = make_sparse_regression(90, 40, n_nonzero=8, snr=5, random_state=3)
    X, y = (data.X * np.geomspace(0.2, 5, 40)).astype(dtype), data.y + 3.0
    s = np.random.default_rng(0).random(90) + 0.1
    cls = {"mcp": ssl.MCPRegressor, "scad": ssl.SCADRegressor}[kind]
    path = cls.path(
        X, y, alphas=20, eps=1e-2, fit_intercept=True, sample_weight=s, tol=1e-6,
        **{name: shape},
    )  # fmt: skip
    assert path.kind == "kkt" and path.coefs.dtype == dtype
    for alpha, w, gap in zip(path.alphas, path.coefs.T, path.gaps, strict=True):
        _, violation = concave_problem(
            X.astype(float), y, w.astype(float), alpha, kind, shape, sample_weight=s
        )
        allowed = 1e-6 if dtype == np.float64 else 2e-5
        assert gap <= 1e-6 and violation <= allowed


@kinds
@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("tol", [1e-8, 1e-12], ids=["moments", "working sets"])
def test_positive_coefficients(kind, container, tol):
    rng = np.random.default_rng(4)
    shape, n = SHAPES[kind][1], 60
    X = rng.standard_normal((n, 20)) * (rng.random((n, 20)) < 0.1)
    y = X @ rng.choice([-1.0, 0.0, 1.0], 20) + 0.1 * rng.standard_normal(n)
    model = ssl.PenalizedRegressor(penalty=kind, positive=True, tol=tol)
    path = model.path(container(X), y, alphas=10, eps=1e-2)
    assert (path.coefs >= 0).all() and path.coefs[:, -1].any() and path.kind == "kkt"
    A, t = X - X.mean(axis=0), y - y.mean()
    squares = (A**2).mean(axis=0)
    for alpha, w in zip(path.alphas, path.coefs.T, strict=True):
        q, size = A.T @ (t - A @ w) / n, w * squares
        if kind == "mcp":
            slope = np.maximum(alpha - size / shape, 0.0)
        else:
            slope = np.maximum(shape * alpha - size, 0.0) / (shape - 1.0)
            slope = np.where(size <= alpha, alpha, slope)
        off = np.where(w > 0, np.abs(q - slope), np.maximum(q - alpha, 0.0))
        assert off.max() <= tol * np.abs(A.T @ t / n).max() + 1e-14
    search = ssl.PenalizedRegressorCV(penalty=kind, positive=True, alphas=10, cv=3)
    assert (search.fit(container(X), y).coef_path_ >= 0).all()


@kinds
def test_named_penalties_of_any_loss_are_the_same_problem(kind):
    name, shape = SHAPES[kind]
    data = make_sparse_regression(80, 15, n_nonzero=4, snr=4, random_state=7)
    own = {"mcp": ssl.MCPRegressorCV, "scad": ssl.SCADRegressorCV}[kind]
    options = {"alphas": 12, "eps": 1e-2, "cv": 4}
    ours = own(**{name: shape}, **options).fit(data.X, data.y)
    model = ssl.PenalizedRegressorCV(penalty=kind, gamma=shape, **options)
    model.fit(data.X, data.y)
    assert_array_equal(model.coef_path_, ours.coef_path_)
    assert_array_equal(model.loss_path_, ours.mse_path_)
    # A ridge beside it is another problem, of which this one is the limit.
    near = ssl.PenalizedRegressor(
        penalty=kind, gamma=30.0, l1_ratio=1.0 - 1e-9, alpha=0.1, tol=1e-9
    ).fit(data.X, data.y)
    one = ssl.PenalizedRegressor(penalty=kind, gamma=30.0, alpha=0.1, tol=1e-9)
    one.fit(data.X, data.y)
    assert_allclose(one.coef_, near.coef_, atol=1e-6)
    assert_allclose(one.objective_, near.objective_, rtol=1e-7)


def test_moments_that_lack_digits_are_not_trusted():
    # A Gram matrix that is off by far more than the tolerance, as rounding may be.
    rng = np.random.default_rng(5)
    X = rng.standard_normal((50, 8)) + 1e5
    y = X[:, 0] - 1e5 + 0.1 * rng.standard_normal(50)
    problem = ConcaveProblem(
        "mcp", X, y, fit_intercept=False, tol=1e-9, max_iter=100, max_epochs=10_000
    )
    alphas = problem.alpha_max(3.0) * np.geomspace(1.0, 1e-4, 6)
    for alpha, result in zip(alphas, problem.solve(alphas, 3.0), strict=True):
        gap, error, _ = outside(problem, result, alpha, 3.0)
        assert gap <= (result.gap + result.rounding) * result.unit + error


def test_the_bound_of_rounding_holds():
    rng = np.random.default_rng(6)
    for _ in range(20):
        X = rng.standard_normal((40, 6)) * 10.0 ** rng.uniform(-3, 3, 6)
        X[:, 1] = X[:, 0] + 1e-6 * X[:, 1]
        y = rng.standard_normal(40)
        w = rng.standard_normal(6) * 10.0 ** rng.uniform(0, 6)
        q = X.T @ y - (X.T @ X) @ w
        exact = X.T.astype(np.longdouble) @ (y - X.astype(np.longdouble) @ w)
        norms = np.linalg.norm(X, axis=0)
        reach = np.linalg.norm(y) + np.abs(w) @ norms
        assert np.abs(q - exact).max() <= rounding(48) * norms.max() * reach


@kinds
def test_starts_are_least_squares_over_free_features(kind, capfd):
    rng = np.random.default_rng(10)
    X, y = rng.standard_normal((30, 6)), rng.standard_normal(30)
    X[:, 1], X[:, 4] = 2.0, -1.0
    omega = np.array([0.0, 1.0, 1.0, np.inf, 0.0, 0.5])
    options = {"fit_intercept": True, "max_iter": 100, "max_epochs": 9999, "tol": 1e-8}
    problem = ConcaveProblem(kind, X, y, shape=3.0, feature_weights=omega, **options)
    given = np.array([9.0, 9.0, 0.5, 9.0, 9.0, 0.25])
    A, t = X - X.mean(axis=0), y - y.mean()
    left = t - 0.5 * A[:, 2] - 0.25 * A[:, 5]
    free = A[:, 0] @ left / (A[:, 0] @ A[:, 0])
    start = _concave_path._start_of(problem, given)
    assert_allclose(start, [free, 0.0, 0.5, 0.0, 0.0, 0.25], rtol=1e-12)
    assert given[1] == 9.0
    result = problem.solve_one(0.2, coef_init=given)
    w = result.dense_coef(6)
    assert w[1] == w[3] == w[4] == 0.0 and len(result.gap_history) > 1
    # At the start and at the end, from the columns.
    for v, found in ((start, result.gap_history[0]), (w, result.gap)):
        gap, _, _ = _gram_path.measured_point(problem, A, t, v, 0.2, 3.0)
        assert_allclose(found, gap / result.unit, rtol=1e-6, atol=1e-13)
    assert capfd.readouterr().err == ""
    # Where the free feature is the target, rounding is all that is left to fit.
    exact = ConcaveProblem(
        kind, X, 3.0 * X[:, 0], shape=3.0, feature_weights=omega, **options
    )
    alphas = np.geomspace(1e-11, 1e-13, 5)
    assert _concave_path._results(exact, alphas, None, None) is None
    assert _concave_path._results(exact, 1e12 * alphas, None, None) is not None


def test_moments_are_asked_for_digits_at_zero_already():
    rng = np.random.default_rng(12)
    X, y = rng.standard_normal((9, 3)), rng.standard_normal(9)
    omega = np.array([1.0, np.inf, 0.5])
    moments = _gram_path.Moments(X.T @ X, X.T @ y, float(y @ y), 9.0)
    norms, unit = np.linalg.norm(X, axis=0), np.abs(X[:, [0, 2]].T @ y).max()
    share = rounding(9 + 8) * norms.max()
    least = share * np.linalg.norm(y) / (_gram_path.DOUBT * unit)
    for tol, enough in ((1.01 * least, True), (0.99 * least, False)):
        problem = ConcaveProblem(
            "mcp", X, y, shape=3.0, feature_weights=omega, fit_intercept=False,
            tol=tol, max_iter=9, max_epochs=99,
        )  # fmt: skip
        found = _concave_path._run(problem, moments, np.array([0.5, 0.2]), None)
        assert (found is not None) == enough
        if enough:
            assert_allclose(found[4], unit, rtol=1e-12)
            expected = share * (np.linalg.norm(y) + np.abs(found[0]) @ norms)
            assert_allclose(found[5], expected, rtol=1e-12)


@pytest.mark.parametrize("share, kept", [(0.99, 3), (1.01, 0)])
def test_folds_whose_moments_lack_digits_are_not_proved(share, kept, monkeypatch):
    rng = np.random.default_rng(11)
    problem = ConcaveProblem(
        "mcp", rng.standard_normal((9, 2)), rng.standard_normal(9), shape=3.0,
        fit_intercept=False, tol=1e-6, max_iter=9, max_epochs=9,
    )  # fmt: skip
    W, unit = rng.standard_normal((4, 2)), 64.0
    errors = np.array([0.0, share, 0.5, 0.0]) * _gram_path.DOUBT * 1e-6 * unit
    monkeypatch.setattr(
        _concave_path, "_run", lambda *_: (W, None, None, 3, unit, errors, None)
    )
    found, n_solved = _concave_path._on_fold(problem, None, np.ones(4), None)
    assert found is W and n_solved == kept
    monkeypatch.setattr(_concave_path, "_run", lambda *_: None)
    found, n_solved = _concave_path._on_fold(problem, None, np.ones(4), None)
    assert found.shape == (0, 2) and n_solved == 0


@kinds
def test_a_budget_that_ends_hands_over(kind, monkeypatch):
    rng = np.random.default_rng(7)
    X = rng.standard_normal((40, 12)) + rng.standard_normal((40, 1))
    y = X[:, :4].sum(axis=1) + rng.standard_normal(40)
    shape = SHAPES[kind][1]
    options = {"fit_intercept": True, "tol": 1e-7, "max_iter": 100, "max_epochs": 9999}
    problem = ConcaveProblem(kind, X, y, **options)
    alphas = problem.grid(10, 1e-2, shape)
    monkeypatch.setattr(_gram_path, "BUDGET", 3)
    results = problem.solve(alphas, shape)
    assert any(len(result.gap_history) > 1 for result in results)
    for alpha, result in zip(alphas, results, strict=True):
        gap, error, _ = outside(problem, result, alpha, shape)
        assert gap <= 1e-7 * result.unit + error


def test_kernels_of_pieces_against_the_penalty():
    rng = np.random.default_rng(8)
    for kind, shape in (("mcp", 1.7), ("mcp", np.inf), ("scad", 2.6), ("scad", np.inf)):
        problem = ConcaveProblem(
            kind, rng.standard_normal((9, 1)), rng.standard_normal(9),
            fit_intercept=False, tol=1e-6, max_iter=9, max_epochs=9,
        )  # fmt: skip
        penalty = problem.penalty(0.3, shape)
        code, a = penalty.code, penalty.params[0]
        lam, kappa = penalty.lam[0], penalty.kappa[0]
        for t in np.r_[rng.uniform(0, 8, 50), 1e-9, 50.0]:
            found = kernels._value.py_func(code, a, t, lam, kappa)
            assert_allclose(found, penalty.value(np.array([t])), rtol=1e-12)
            slope, bends = kernels._slope.py_func(code, a, t, lam, kappa)
            assert_allclose(slope, penalty.slopes(np.array([t]))[0], atol=1e-12)
            assert bends == (penalty.derivatives(np.array([t]))[1][0] < 0.0)


@kinds
@pytest.mark.parametrize("weighted", [False, True])
def test_folds_from_moments_are_those_of_fits(kind, weighted, monkeypatch):
    name = SHAPES[kind][0]
    cls = {"mcp": ssl.MCPRegressorCV, "scad": ssl.SCADRegressorCV}[kind]
    rng = np.random.default_rng(9)
    data = make_sparse_regression(80, 12, n_nonzero=4, snr=4, random_state=5)
    X, y = data.X + 3.0, data.y - 7.0
    s = rng.integers(0, 3, 80) * rng.random(80) if weighted else None
    # So large that each problem has one solution.
    options = {
        name: [30.0, 60.0], "alphas": 15, "eps": 1e-2, "tol": 1e-9,
        "cv": KFold(4, shuffle=True, random_state=0),
    }  # fmt: skip
    quick = cls(**options).fit(X, y, sample_weight=s)
    seen = []
    monkeypatch.setattr(
        _gram_path, "_fold", lambda *arguments: seen.append(1) or [None, None]
    )
    slow = cls(**options).fit(X, y, sample_weight=s)
    assert len(seen) == 4
    assert_allclose(quick.mse_path_, slow.mse_path_, rtol=1e-6)
    assert quick.alpha_ == slow.alpha_
    assert_allclose(quick.coef_, slow.coef_, rtol=1e-5, atol=1e-7)


def test_workers_repeats_and_criteria():
    data = make_sparse_regression(70, 25, n_nonzero=4, snr=4, random_state=6)
    for options in (
        {"cv": RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)},
        {"cv": [(np.arange(40), np.arange(50, 70))]},  # leaves rows out: fits
        {"criterion": "ebic"},
    ):
        options |= {"alphas": 12, "eps": 1e-2, "gamma": [1.8, 3.0]}
        one = ssl.MCPRegressorCV(**options).fit(data.X, data.y)
        two = ssl.MCPRegressorCV(n_jobs=2, **options).fit(data.X, data.y)
        assert one.alpha_ == two.alpha_ and one.gamma_ == two.gamma_
        assert_array_equal(one.coef_path_, two.coef_path_)
        assert one.certificate_.satisfied and one.certificate_.kind == "kkt"
        _, violation = concave_problem(
            data.X, data.y, one.coef_, one.alpha_, "mcp", one.gamma_
        )
        assert violation <= one.tol
