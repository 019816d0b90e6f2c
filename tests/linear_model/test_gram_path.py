"""Paths from moments against paths from the data, and folds without fits."""

import os

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.model_selection import KFold, RepeatedKFold, ShuffleSplit

import sparsestat.linear_model as ssl
from sparsestat._utils.arithmetic import rounding
from sparsestat.linear_model._penalized import (
    _csc_path,
    _design,
    _gram_path,
    _kernels_csc_path,
)
from sparsestat.linear_model._penalized._csc_path import _rounding, suits_csc
from sparsestat.linear_model._penalized._elastic_net import ElasticNetProblem
from sparsestat.linear_model._penalized._problems import PathProblem
from tests.linear_model.lasso_oracles import relative_gap

TRIALS = int(os.environ.get("SPARSESTAT_PATH_PROBLEMS", "120"))


def random_problem(rng):
    n = int(rng.choice([2, 5, 20, 60]))
    p = int(rng.choice([1, 3, 10, 40]))
    X = rng.standard_normal((n, p))
    kind = rng.integers(0, 6)
    if kind == 1 and p > 2:
        X[:, 1] = X[:, 0]  # duplicates
    elif kind == 2:
        X[:, -1] = 0.0 if rng.random() < 0.5 else 3.0  # nothing to fit with
    elif kind == 3:
        X += 10.0 ** rng.uniform(0, 6)  # far from zero
    elif kind == 4:
        X = X * 10.0 ** rng.uniform(-8, 8, p)
    elif kind == 5 and p > 2:
        X[:, 1] = X[:, 0] + 1e-5 * X[:, 1]  # near-copies
    y = X[:, 0] / max(np.abs(X[:, 0]).max(), 1e-300) + 0.3 * rng.standard_normal(n)
    weights = None if rng.random() < 0.5 else rng.integers(0, 3, n) * rng.random(n)
    if weights is not None and np.count_nonzero(weights) < 2:
        weights = None
    omega = None
    if rng.random() < 0.4:
        omega = rng.uniform(0.2, 3.0, p)
        omega[rng.random(p) < 0.2] = np.inf
        if np.isinf(omega).all():
            omega = None
    options = {
        "fit_intercept": bool(rng.random() < 0.7),
        "positive": bool(rng.random() < 0.3),
        "feature_weights": omega,
        "tol": 10.0 ** -rng.integers(4, 9),
        "max_iter": 200,
        "max_epochs": 50_000,
    }
    return X, y, weights, options


def agreed(problem, alphas, ratio):
    """Compare compiled paths with those of working sets; count strengths not mended."""
    fast = problem.solve(alphas, ratio)
    slow = PathProblem.solve(problem, alphas, ratio)
    tol, finished = problem.tol, 0
    A = problem.design.block(np.arange(problem.n_features))
    for alpha, a, b in zip(alphas, fast, slow, strict=True):
        # Near-copies may keep both from the tolerance, never the fast one alone.
        assert a.gap <= max(tol, b.gap) and a.rounding >= 0.0
        square = a.unit * problem.y_unit**2
        slack = (max(a.gap, b.gap) + a.rounding + b.rounding + 1e-14) * square
        assert abs(a.objective - b.objective) <= slack
        # The gap holds measured from outside, too.
        penalty = problem.penalty(alpha / problem.alpha_unit, ratio)
        w = a.dense_coef(problem.n_features) / problem.coef_unit
        gap, _, error = _gram_path.measured_point(
            problem, A, problem.target, w, alpha, ratio
        )
        centering = 1e-16 * a.unit  # which rounds the columns of A
        allowed = (max(tol, a.gap) + a.rounding) * a.unit + error + centering
        assert gap <= allowed
        assert not np.any(penalty.lam[w != 0] == np.inf)
        if problem.positive:
            assert (w >= 0).all()
        finished += len(a.gap_history) == 1
    return finished


def test_single_fits_on_small_data_are_those_of_working_sets():
    rng = np.random.default_rng(1)
    used = finished = 0
    for _ in range(TRIALS):
        X, y, weights, options = random_problem(rng)
        if rng.random() < 0.2:
            X = sparse.csc_array(X)
        ratio = float(rng.choice([1.0, 0.5]))
        problem = ElasticNetProblem(X, y, weights, **options)
        top = problem.alpha_max(ratio)
        if not top > 0:
            continue
        alpha = top * 10.0 ** rng.uniform(-3, 0.3)
        used += 1
        fast = _gram_path.gram_fit(problem, alpha, ratio)
        if fast is None:
            continue
        finished += 1
        slow = problem.solve_one(alpha, ratio, solver=problem.make_solver())
        w = fast.dense_coef(problem.n_features)
        fast = problem.given(fast)
        square = fast.unit * problem.y_unit**2
        slack = (max(fast.gap, slow.gap) + fast.rounding + slow.rounding) * square
        assert abs(fast.objective - slow.objective) <= slack + 1e-14 * square
        # Gaps measured on the data: of what is returned, and of zeros.
        A = problem.design.block(np.arange(problem.n_features))
        for v, found in ((0.0 * w, fast.gap_history[0]), (w, fast.gap)):
            gap, _, error = _gram_path.measured_point(
                problem, A, problem.target, v, alpha, ratio
            )
            allowed = error + (1e-15 + fast.rounding) * fast.unit
            assert abs(max(gap, 0.0) - found * fast.unit) <= allowed
        assert fast.gap + fast.rounding <= problem.tol
        assert fast.gap_history[1] == fast.gap and fast.n_iter == 2
        assert not problem.positive or (w >= 0).all()
        assert not np.any(w[np.isinf(problem.penalty(1.0, ratio).lam)])
    assert used > 0.7 * TRIALS and finished > 0.7 * used


def test_points_say_what_the_kernels_measured(monkeypatch):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((40, 6))
    y = X[:, 0] - 0.5 * X[:, 1] + 0.2 * rng.standard_normal(40)
    omega = rng.uniform(0.5, 2.0, 6)
    options = {
        "fit_intercept": True, "positive": False, "feature_weights": omega,
        "tol": 1e-6, "max_iter": 100, "max_epochs": 1000,
    }  # fmt: skip
    problem = ElasticNetProblem(X, y, **options)
    seen, bound, path = [], _gram_path._gap_rounding, _gram_path.kernels.gram_path

    def watched(moments, n, W, gaps, lam):
        found = bound(moments, n, W, gaps, lam)
        seen.append((gaps.copy(), lam, found.copy()))
        return found

    counts = []

    def counted(*arguments):
        counts.append(arguments[-1])
        return path(*arguments)

    monkeypatch.setattr(_gram_path, "_gap_rounding", watched)
    monkeypatch.setattr(_gram_path.kernels, "gram_path", counted)
    alphas = problem.alpha_max(0.5) * np.geomspace(0.9, 0.05, 6)
    points = problem.solve(alphas, 0.5)
    one = _gram_path.gram_fit(problem, alphas[3], 0.5)
    square = problem.target @ problem.target
    (gaps, lam, errors), (own, own_lam, own_error) = seen
    (info,) = counts
    for k, point in enumerate(points):
        assert_allclose(lam[k], problem.penalty(alphas[k], 0.5).lam, rtol=1e-12)
        assert (point.n_iter, point.n_sweeps, point.n_newton) == (
            info[k, 2], info[k, 0], info[k, 1],
        )  # fmt: skip
        assert_allclose(point.rounding, errors[k] / square, rtol=1e-12)
        assert_allclose(point.gap, max(gaps[k, 0], 0.0) / square, rtol=1e-12)
        assert_allclose(point.objective - point.dual, point.gap * square, atol=1e-12)
    assert (info[:, 0] != info[:, 1]).any()
    assert_allclose(own_lam[0], lam[3], rtol=1e-12)
    assert_allclose(one.rounding, own_error[0] / square, rtol=1e-12)
    assert_allclose(one.gap, max(own[0, 0], 0.0) / square, rtol=1e-12)
    assert_allclose(one.unit, square, rtol=1e-12)
    assert_allclose(one.objective, points[3].objective, rtol=2e-6)


def test_gaps_beside_the_tolerance_are_not_proved(monkeypatch):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((40, 6))
    y = X[:, 0] - 0.5 * X[:, 1] + 0.2 * rng.standard_normal(40)
    options = {"fit_intercept": True, "tol": 1e-6, "max_iter": 100, "max_epochs": 1000}
    problem = ElasticNetProblem(X, y, **options)
    goal = 1e-6 * (problem.target @ problem.target)
    fit, path = _gram_path.kernels.gram_fit, _gram_path.kernels.gram_path
    alphas = problem.alpha_max(1.0) * np.geomspace(0.9, 0.05, 5)
    for share, proved in ((0.99, True), (1.01, False)):

        def spoiled_fit(*arguments, share=share):
            sweeps, newtons, first, _, *rest = fit(*arguments)
            return sweeps, newtons, first, share * goal, *rest

        def spoiled_path(*arguments, share=share):
            n_solved = path(*arguments)
            arguments[-2][2, 0] = share * goal
            return n_solved

        monkeypatch.setattr(_gram_path.kernels, "gram_fit", spoiled_fit)
        monkeypatch.setattr(_gram_path.kernels, "gram_path", spoiled_path)
        found = _gram_path.gram_fit(problem, alphas[2], 1.0)
        assert (found is not None) == proved
        if proved:
            assert_allclose(found.gap, 0.99e-6, rtol=1e-9)
        points = _gram_path.gram_results(problem, alphas, 1.0)
        # A point that was missed is measured and solved again, by working sets.
        assert (points[2].gap > 0.98e-6) == proved and points[2].gap <= 1e-6


def test_ridges_of_single_fits_follow_the_unit_of_the_target():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((40, 6))
    y = X[:, 0] - 0.5 * X[:, 1] + 0.2 * rng.standard_normal(40)
    options = {"fit_intercept": True, "tol": 1e-8, "max_iter": 99, "max_epochs": 999}
    small = 2.0**-400
    fits = []
    # 0.2 |w| + 0.3 w^2 / 2, and the same in a tiny unit of y: 0.2 small |w| there.
    for target, alpha, ratio in ((y, 0.5, 0.4), (y * small, 0.3, 2 / 3 * small)):
        problem = ElasticNetProblem(X, target, **options)
        assert problem.penalty(alpha / problem.alpha_unit, ratio).l2.any()
        fit = _gram_path.gram_fit(problem, alpha, ratio)
        fits.append(problem.given(fit).dense_coef(6))
    assert fits[0].any() and problem.coef_unit != 1.0
    assert_allclose(fits[1] / small, fits[0], rtol=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 0.0},
        {"l1_ratio": 0.0},
        {"tol": 1e-14},
        {"max_iter": 1},
        {"max_epochs": 2},
        {"feature_weights": [0, 1, 1, 1]},
    ],
    ids=str,
)
def test_what_single_calls_cannot_prove_goes_to_working_sets(options):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 4))
    options = {
        "alpha": 0.1, "l1_ratio": 0.5, "fit_intercept": True, "tol": 1e-6,
        "max_iter": 100, "max_epochs": 100, **options,
    }  # fmt: skip
    alpha, ratio = options.pop("alpha"), options.pop("l1_ratio")
    if "feature_weights" in options:
        options["feature_weights"] = np.array(options["feature_weights"], dtype=float)
    problem = ElasticNetProblem(X, X[:, 0] + X[:, 1], **options)
    assert _gram_path.gram_fit(problem, alpha, ratio) is None
    found = problem.solve_one(alpha, ratio)
    expected = problem.solve_one(alpha, ratio, solver=problem.make_solver())
    assert_allclose(found.coef, expected.coef, rtol=1e-12)


@pytest.mark.parametrize("way", ["moments", "sparse columns"])
def test_compiled_paths_are_those_of_working_sets(way, monkeypatch):
    rng = np.random.default_rng(0)
    if way != "moments":  # columns are thin enough at any density
        monkeypatch.setattr(_design, "_FULL_COLUMNS", 2.0)
    used = finished = 0
    for _ in range(TRIALS):
        X, y, weights, options = random_problem(rng)
        if way != "moments":
            X = np.where(rng.random(X.shape) < rng.choice([0.1, 0.5, 0.9]), X, 0.0)
        if way != "moments" or rng.random() < 0.3:
            X = sparse.csc_array(X)
        ratio = float(rng.choice([1.0, 0.5]))
        problem = ElasticNetProblem(X, y, weights, **options)
        top = problem.alpha_max(ratio)
        if not top > 0:
            continue
        alphas = np.geomspace(top, 1e-3 * top, 12)
        suits = _gram_path.suits_gram if way == "moments" else suits_csc
        assert suits(problem, alphas)
        used += 1
        finished += agreed(problem, alphas, ratio)
    assert used > 0.7 * TRIALS and finished > 0.8 * 12 * used


def test_a_false_gap_of_moments_is_caught_and_mended():
    # Near-copies far from zero: differences of moments have lost their digits.
    rng = np.random.default_rng(3)
    z = rng.standard_normal((40, 3))
    X = np.column_stack([z, z + 1e-6 * rng.standard_normal((40, 3))])
    y = z @ [1e4, -1e4, 1.0] + rng.standard_normal(40)
    for tol in (1e-6, 1e-9):
        path = ssl.lasso_path(X, y, alphas=20, tol=tol, max_epochs=200_000)
        for alpha, coef in zip(path.alphas, path.coefs.T, strict=True):
            gap = relative_gap(X, y, coef, alpha, fit_intercept=False)
            assert gap <= tol * (1 + 1e-3) + 1e-15


def test_a_budget_that_ends_hands_over(monkeypatch):
    rng = np.random.default_rng(4)
    X = rng.standard_normal((50, 20)) + 2.0 * rng.standard_normal((50, 1))
    y = X[:, :5] @ np.ones(5) + rng.standard_normal(50)
    whole = ssl.lasso_path(X, y, alphas=30, tol=1e-9)
    monkeypatch.setattr(_gram_path, "BUDGET", 3)
    short = ssl.lasso_path(X, y, alphas=30, tol=1e-9)
    assert_allclose(short.coefs, whole.coefs, atol=1e-3)
    assert (short.gaps <= 1e-9 * (y @ y) / 50).all()
    cv = ssl.LassoCV(alphas=10, cv=3).fit(X, y)
    assert np.isfinite(cv.mse_path_).all()


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("hostile", ["", "fold", "near constant", "far", "outlier"])
def test_errors_of_folds_are_those_of_fits(storage, hostile, monkeypatch):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((60, 12))
    if hostile == "fold":
        X[20:, 3] = 0.0  # seen in one fold only
    elif hostile == "near constant":
        X[:, 2] = 1.0 + 1e-9 * X[:, 2]
    elif hostile == "far":
        X += 1e6
    elif hostile == "outlier":
        X[7] *= 1e4
    y = X[:, 0] + X[:, 1] + 0.5 * rng.standard_normal(60)
    weights = rng.integers(0, 3, 60) * 1.0
    options = {"alphas": 12, "cv": KFold(4), "tol": 1e-9, "l1_ratio": [0.5, 1.0]}
    model = ssl.ElasticNetCV(**options).fit(storage(X), y, sample_weight=weights)
    monkeypatch.setattr(ElasticNetProblem, "fold_losses", PathProblem.fold_losses)
    monkeypatch.setattr(_gram_path, "MOST_FEATURES", 0)
    slow = ssl.ElasticNetCV(**options).fit(storage(X), y, sample_weight=weights)
    assert_allclose(model.alphas_, slow.alphas_, rtol=1e-9)
    assert_allclose(model.mse_path_, slow.mse_path_, rtol=2e-3, atol=1e-6 * y.var())
    assert model.l1_ratio_ == slow.l1_ratio_


def test_only_folds_that_hold_every_row_once_do_without_fits(monkeypatch):
    rng = np.random.default_rng(6)
    X = rng.standard_normal((40, 5))
    y = X[:, 0] + rng.standard_normal(40)
    asked = []
    original = ElasticNetProblem.fold_losses

    def spy(self, folds, *more):
        asked.append(len(folds))
        return original(self, folds, *more)

    monkeypatch.setattr(ElasticNetProblem, "fold_losses", spy)
    splitters = {
        "whole": RepeatedKFold(n_splits=4, n_repeats=2, random_state=0),
        "part": ShuffleSplit(3, train_size=0.5, test_size=0.2, random_state=0),
        "twice": [(np.r_[0:20, 0:20], np.arange(20, 40))],
    }
    for name, cv in splitters.items():
        asked.clear()
        model = ssl.LassoCV(alphas=6, cv=cv, tol=1e-8).fit(X, y)
        assert asked == ([8] if name == "whole" else [])
        folds = cv if isinstance(cv, list) else cv.split(X)
        for k, (train, test) in enumerate(folds):
            one = ssl.Lasso(model.alphas_[3], tol=1e-10).fit(X[train], y[train])
            error = ((y[test] - one.predict(X[test])) ** 2).mean()
            assert_allclose(model.mse_path_[3, k], error, rtol=1e-3)


def test_what_the_gram_matrix_does_not_suit_takes_the_other_way():
    rng = np.random.default_rng(7)
    X, y = rng.standard_normal((30, 5)), rng.standard_normal(30)
    options = {"fit_intercept": True, "tol": 1e-4, "max_iter": 9, "max_epochs": 99}
    alphas = np.geomspace(1, 0.1, 10)

    def suits(X=X, y=y, alphas=alphas, **more):
        problem = ElasticNetProblem(X, y, **{**options, **more})
        return _gram_path.suits_gram(problem, alphas)

    assert suits()
    assert not suits(tol=1e-12)
    free = np.array([0.0, 1, 1, 1, 1])
    assert suits(feature_weights=free)
    assert not suits(feature_weights=free, positive=True)
    assert not suits(feature_weights=np.zeros(5))
    assert not suits(alphas=alphas[:3])
    assert not suits(alphas=np.append(alphas, 0.0))
    assert not suits(y=np.column_stack([y, y]))
    assert not suits(X=sparse.random_array((30, 100), density=0.01, format="csc"))


def test_the_bound_of_rounding_is_the_sum_of_its_parts():
    rng = np.random.default_rng(0)
    n, p, k = 50, 4, 3
    G = rng.normal(size=(p, p))
    G = G @ G.T
    G[-1, -1] = -1e-300  # a constant column, but for rounding
    c, yy = rng.normal(size=p), 3.0
    W, lam = rng.normal(size=(k, p)), rng.uniform(0.5, 2.0, (k, p))
    gaps = rng.uniform(0.1, 1.0, (k, 4))
    found = _gram_path._gap_rounding(_gram_path.Moments(G, c, yy, 1.0), n, W, gaps, lam)
    norms = [*np.sqrt(np.diag(G)[:-1]), 0.0]
    unit = rounding(n + 8)
    for i in range(k):
        # Of y and of the coefficients times their columns; of the products with the
        # residual, which the scaled dual point divides by lam; of what is left.
        reach = np.sqrt(yy) + sum(abs(w) * s for w, s in zip(W[i], norms, strict=True))
        steepest = max(s / at for s, at in zip(norms, lam[i], strict=True))
        dual = steepest * reach * abs(yy - W[i] @ c) * gaps[i, 2]
        parts = (reach**2, 3.0 * dual, 2.0 * reach * gaps[i, 3])
        assert_allclose(found[i], unit * sum(parts), rtol=1e-12)


def test_the_bound_of_rounding_of_sparse_columns_is_the_sum_of_its_parts():
    primal, scale, conjugate, size, target_dot, reach = 3.0, 0.7, 1e-15, 1.5, -2.0, 4.0
    gaps = np.array([[9.0, primal, scale, conjugate, size, target_dot, reach]])
    found = _rounding(gaps, np.array([12]), 50, 1e-17, 0.25, np.array([30.0]))
    slip = rounding(20, 1.5 * reach + size)
    parts = [
        slip * (size + 0.5 * slip),
        rounding(58) * (primal + scale * 2.0),
        30.0 * 1e-17 * size * scale * 2.0,
        conjugate,
    ]
    assert_allclose(found, [sum(parts)], rtol=1e-12)


def test_centers_count_beside_the_spread_of_their_columns():
    X = np.zeros((8, 3))
    X[:2, 0], X[:4, 1] = [1.0, 3.0], 1.0  # the third column has nothing
    weights = np.array([1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5])
    design = _design.make_design(sparse.csc_array(X), weights)
    shares = []
    for x in X.T[:2]:
        mean = weights @ x / 6.0
        shares.append(abs(mean) * np.sqrt(6.0 / (weights @ (x - mean) ** 2)))
    found = _csc_path.center_share(design, np.sqrt(design.squares))
    assert_allclose(found, max(shares))
    plain = _design.make_design(sparse.csc_array(X), fit_intercept=False)
    assert _csc_path.center_share(plain, np.sqrt(plain.squares)) == 0.0


def sparse_problem(**options):
    rng = np.random.default_rng(11)
    X = sparse.random_array((100, 90), density=0.02, rng=rng, format="csc")
    y = X[:, :9] @ np.ones(9) + 0.1 * rng.standard_normal(100)
    limits = {"tol": 1e-7, "max_iter": 200, "max_epochs": 50_000}
    problem = ElasticNetProblem(X, y, None, fit_intercept=True, **limits, **options)
    alphas = np.geomspace(0.9, 0.2, 5)
    assert suits_csc(problem, alphas * problem.alpha_max(1.0))
    return X, problem, alphas


@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_products_of_sparse_columns_are_wrong_by_the_longest_column(ratio, monkeypatch):
    omega = np.linspace(0.5, 3.0, 90)
    omega[4] = np.inf
    X, problem, alphas = sparse_problem(feature_weights=omega)
    alphas *= problem.alpha_max(ratio)
    given = []
    monkeypatch.setattr(
        _csc_path, "_rounding", lambda *a: given.append(a) or _rounding(*a)
    )
    points = _csc_path.csc_results(problem, alphas, ratio)
    counts, _, unit, far, steepest = given[0][1:]
    A = X.toarray() - X.mean(axis=0)
    norms = np.linalg.norm(A, axis=0)
    # |X_j| / (n alpha ratio omega_j): what an error of X_j'r is to the dual point.
    expected = (norms / omega).max() / (100 * alphas * ratio)
    assert_allclose(steepest, expected * problem.y_unit, rtol=1e-10)
    used = norms > 0.0
    shares = np.abs(X.mean(axis=0))[used] / norms[used]
    assert_allclose(far, shares.max() * 10.0)
    chain = np.diff(X.indptr).max() + 16
    assert_allclose(unit, rounding(chain + 4) + far * rounding(104), rtol=1e-12)
    yy = problem.target @ problem.target
    for k, (point, count) in enumerate(zip(points, counts, strict=True)):
        assert count == np.count_nonzero(point.dense_coef(90)) > 0
        assert_allclose(point.rounding, _rounding(*given[0])[k] / yy, rtol=1e-12)


def test_sparse_paths_of_which_nothing_is_solved_are_none(monkeypatch):
    _, problem, alphas = sparse_problem()
    alphas *= problem.alpha_max(1.0)
    assert _csc_path.csc_results(problem, alphas, 0.0) is None
    values = [p.objective for p in _csc_path.csc_results(problem, alphas, 1.0)]
    kernel = _kernels_csc_path.csc_path
    for n_solved in (0, 1, 4):

        def first(*arguments, n_solved=n_solved):
            assert kernel(*arguments) == 5
            return n_solved

        monkeypatch.setattr(_kernels_csc_path, "csc_path", first)
        points = _csc_path.csc_results(problem, alphas, 1.0)
        if n_solved == 0:
            assert points is None
        else:
            assert [p.gap <= 1e-7 for p in points] == [True] * 5
            assert_allclose([p.objective for p in points], values, rtol=1e-6)
    flat = ElasticNetProblem(
        sparse.eye_array(9, format="csc"), np.ones(9), None, fit_intercept=True,
        **problem.limits,
    )  # fmt: skip
    assert _csc_path.csc_results(flat, np.geomspace(1.0, 0.2, 5), 1.0) is None


def test_sparse_paths_that_run_out_of_sweeps_are_handed_over(monkeypatch):
    rng = np.random.default_rng(8)
    X = sparse.random_array((200, 400), density=0.03, rng=rng, format="csc")
    y = X[:, :20] @ np.ones(20) + 0.1 * rng.standard_normal(200)
    options = {"alphas": 30, "tol": 1e-8, "fit_intercept": True}
    whole = ssl.lasso_path(X, y, **options)
    monkeypatch.setattr(_csc_path, "BUDGET", 30)
    short = ssl.lasso_path(X, y, **options)
    assert_allclose(short.coefs, whole.coefs, atol=1e-2)
    for path in (whole, short):
        for alpha, coef in zip(path.alphas, path.coefs.T, strict=True):
            assert relative_gap(X.toarray(), y, coef, alpha) <= 1e-8 * (1 + 1e-3)


@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_features_without_penalty_are_part_of_the_call(ratio, monkeypatch):
    rng = np.random.default_rng(9)
    handed = []
    original = ElasticNetProblem.solve_one
    monkeypatch.setattr(
        ElasticNetProblem,
        "solve_one",
        lambda *a, **k: handed.append(1) or original(*a, **k),
    )
    for trial in range(20):
        X = rng.standard_normal((60, 9)) + 2.0 * rng.standard_normal((60, 1))
        if trial % 3 == 1:
            X[:, 5] = X[:, 0] - X[:, 1]  # a combination of what is free
        elif trial % 3 == 2:
            X[:, 1] = 0.0
        y = X[:, 0] + X[:, 4] + rng.standard_normal(60)
        omega = rng.uniform(0.5, 2.0, 9)
        omega[:2], omega[8] = 0.0, np.inf
        weights = rng.random(60) if trial % 2 else None
        options = {"tol": 1e-9, "max_iter": 200, "max_epochs": 50_000}
        problem = ElasticNetProblem(
            X, y, weights, feature_weights=omega, fit_intercept=trial % 4 < 2, **options
        )
        top = problem.alpha_max(ratio)
        alphas = np.geomspace(top, 1e-3 * top, 12)
        assert _gram_path.suits_gram(problem, alphas)
        agreed(problem, alphas, ratio)
        # At the first strength the others stay out: least squares on what is free.
        A = problem.design.block(np.arange(2))
        least = np.linalg.lstsq(A, problem.target, rcond=None)[0]
        first = problem.solve(alphas, ratio)[0].dense_coef(9)
        assert_allclose(first, np.r_[least, np.zeros(7)], atol=1e-7)
    # `agreed` solves each path a second time by working sets.
    assert len(handed) <= 1.1 * 20 * 12


def test_folds_with_features_without_penalty_need_no_fits(monkeypatch):
    rng = np.random.default_rng(10)
    X = rng.standard_normal((60, 6))
    y = X[:, 0] + X[:, 1] + 0.5 * rng.standard_normal(60)
    options = {"alphas": 12, "tol": 1e-9, "feature_weights": [0, 1, 1, 2, 0, 1]}
    model = ssl.LassoCV(**options).fit(X, y)
    monkeypatch.setattr(_gram_path, "MOST_FEATURES", 0)
    slow = ssl.LassoCV(**options).fit(X, y)
    assert_allclose(model.mse_path_, slow.mse_path_, rtol=1e-3)
    assert_allclose(model.coef_, slow.coef_, atol=1e-4)


@pytest.mark.parametrize("density", [0.02, 0.5])
def test_workers_do_not_change_what_compiled_paths_find(density):
    rng = np.random.default_rng(15)
    X = sparse.random_array((90, 60), density=density, rng=rng, format="csr")
    y = X[:, :5] @ np.ones(5) + 0.1 * rng.standard_normal(90)
    options = {"alphas": 20, "l1_ratio": [0.5, 1.0], "cv": 3}
    one = ssl.ElasticNetCV(n_jobs=1, **options).fit(X, y)
    two = ssl.ElasticNetCV(n_jobs=2, **options).fit(X, y)
    np.testing.assert_array_equal(one.mse_path_, two.mse_path_)
    np.testing.assert_array_equal(one.coef_path_, two.coef_path_)


# Several targets on one design


def several(units=(1.0, 1.0, 1.0)):
    rng = np.random.default_rng(21)
    X = rng.standard_normal((70, 9)) + 3.0
    Y = X[:, :3] @ rng.standard_normal((3, 3)) + 0.5 * rng.standard_normal((70, 3))
    return X, (Y - 5.0) * np.array(units), rng.integers(0, 3, 70) * rng.random(70)


@pytest.mark.parametrize("units", [(1.0, 1.0, 1.0), (1e-60, 1.0, 1e90)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "cv", [4, RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)]
)
def test_targets_with_moments_in_common_are_as_if_alone(units, weighted, cv):
    X, Y, weights = several(units)
    weights = weights if weighted else None
    omega = np.array([0.0, *np.linspace(0.5, 2.0, 8)])
    options = {
        "l1_ratio": [0.6, 1.0], "alphas": 12, "cv": cv, "tol": 1e-8,
        "feature_weights": omega,
    }  # fmt: skip
    model = ssl.ElasticNetCV(**options).fit(X, Y, sample_weight=weights)
    for t, unit in enumerate(units):
        one = ssl.ElasticNetCV(**options).fit(X, Y[:, t], sample_weight=weights)
        assert one.certificate_.satisfied and model.certificate_.satisfied
        for name in ("alphas_", "alpha_", "coef_", "coef_path_", "intercept_path_"):
            mine, theirs = getattr(model, name)[t] / unit, getattr(one, name) / unit
            assert_allclose(mine, theirs, rtol=1e-6, atol=1e-9)
        assert_allclose(model.mse_path_[t], one.mse_path_, rtol=1e-7)
        goal = options["tol"] * np.var(Y[:, t] / unit) * 2.0
        assert (model.dual_gaps_[t] / unit**2 <= goal).all()


def test_moments_of_all_targets_are_taken_once(monkeypatch):
    X, Y, _ = several()
    taken = []
    take = _gram_path.SharedMoments._take
    monkeypatch.setattr(
        _gram_path.SharedMoments,
        "_take",
        lambda self, folds: (taken.append(len(folds)), take(self, folds))[1],
    )
    ssl.LassoCV(alphas=6, cv=5).fit(X, Y)
    assert taken == [5]
    # Folds that are drawn anew for every target have moments of their own.
    shuffled = KFold(3, shuffle=True, random_state=np.random.RandomState(0))
    ssl.LassoCV(alphas=6, cv=shuffled).fit(X, Y)
    assert taken == [5, 3, 3, 3]


@pytest.mark.parametrize("make", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("alphas", [10, [0.5, 0.1, 0.02, 0.3, 0.0]])
def test_paths_of_several_targets_are_those_of_each(make, alphas):
    X, Y, weights = several()
    model = ssl.ElasticNet(l1_ratio=0.8, tol=1e-9)
    start = np.ones((3, 9))
    for init in (None, start):
        paths = model.path(
            make(X), Y, alphas=alphas, sample_weight=weights, coef_init=init
        )
        assert paths.coefs.shape == (3, 9, len(paths.alphas[0]))
        for t in range(3):
            one = model.path(
                make(X), Y[:, t], alphas=alphas, sample_weight=weights,
                coef_init=None if init is None else init[t],
            )  # fmt: skip
            assert paths.kind == one.kind
            assert_allclose(paths.alphas[t], one.alphas, rtol=1e-12)
            assert_allclose(paths.coefs[t], one.coefs, atol=1e-5)
            assert_allclose(paths.intercepts[t], one.intercepts, atol=1e-5)
            spread = np.average(
                (Y[:, t] - np.average(Y[:, t], weights=weights)) ** 2, weights=weights
            )
            if paths.kind == "duality_gap":
                assert (paths.gaps[t] <= 1e-9 * spread * (1 + 1e-9)).all()
    with pytest.raises(ValueError, match="ends the grid of one target"):
        ssl.LassoCV(stop_explained=True).path(X, Y)
