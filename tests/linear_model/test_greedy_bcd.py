"""Block descent: bounds, monotone objectives, optimality, the claims about rules."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import itertools
import time
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit, logsumexp

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.linear_model import Lasso, greedy_bcd, greedy_bcd_quadratic
from sparsestat.linear_model._descent import _rules as rules
from sparsestat.linear_model._descent._descent import descend
from sparsestat.linear_model._descent._objectives import (
    LinearProblem,
    Penalty,
    SoftmaxProblem,
)
from sparsestat.linear_model._descent._updates import UPDATES, solve_block
from sparsestat.linear_model._penalized._class_datafits import Softmax
from sparsestat.linear_model._penalized._datafits import LeastSquares, Logistic
from tests.linear_model.test_greedy_forests import lattice, random_system

LOSSES = ("squared", "logistic", "softmax", "poisson", "huber", "cox")


def data(loss, n=60, p=24, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * rng.uniform(0.3, 2.0, p)
    eta = 0.3 * X @ (rng.standard_normal(p) * (rng.random(p) < 0.4))
    y = {
        "squared": eta + 0.5 * rng.standard_normal(n),
        "logistic": np.where(eta + rng.standard_normal(n) > 0, "yes", "no"),
        "softmax": rng.integers(0, 3, n),
        "poisson": rng.poisson(np.exp(np.clip(0.3 * eta, -3, 3))),
        "huber": eta + rng.standard_t(2, n),
        "cox": np.column_stack([rng.exponential(1, n), rng.random(n) < 0.7]),
    }[loss]
    return X, y


def run(X, y, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return greedy_bcd(X, y, **options)


def problem_of(loss, X, y):
    if loss == "softmax":
        return SoftmaxProblem(X, Softmax(y, 3))
    if loss == "logistic":
        return LinearProblem(X, Logistic(y == "yes"))
    return LinearProblem(X, LeastSquares(y))


def smallest(H):
    return np.linalg.eigvalsh(H)[0]


# What the rules and updates are built on


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax"])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_gradient_and_hessians_are_right_and_bounded(loss, is_sparse):
    X, y = data(loss)
    problem = problem_of(loss, sparse.csc_array(X) if is_sparse else X, y)
    rng = np.random.default_rng(1)
    problem.start(0.1 * rng.standard_normal(problem.n_coef))
    g, value = problem.gradient(), problem.value()
    b = np.sort(rng.choice(problem.n_coef, 6, replace=False))
    H = problem.hessian_block(b)
    d = rng.standard_normal(6)
    for t in (1e-4, 1e-5):
        moved = problem.value_after(b, t * d, t * problem.change(b, d))
        model = value + t * g[b] @ d + 0.5 * t * t * d @ H @ d
        assert moved == pytest.approx(model, abs=1e-11)
    # The bounds hold: on blocks, on the diagonal, and on the whole.
    L, sums = problem.lipschitz(), problem.row_sums()
    D = rules.block_bounds(6, L, sums)
    for _ in range(20):
        b = np.sort(rng.choice(problem.n_coef, 6, replace=False))
        B = problem.bound_block(b)
        assert smallest(B - problem.hessian_block(b)) > -1e-12
        assert smallest(np.diag(D[b]) - B) > -1e-12
        assert smallest(np.diag(sums[b]) - B) > -1e-12
        assert rules.largest_curvature(B) >= np.linalg.eigvalsh(B)[-1] * (1 - 1e-12)
        if loss != "softmax":
            assert_allclose(np.diag(B), L[b])
        else:
            assert (np.diag(B) >= L[b] * (1 - 1e-12)).all()
    whole = problem.bound_block(np.arange(problem.n_coef))
    d = rng.standard_normal(problem.n_coef)
    assert_allclose(problem.multiply(d), whole @ d, atol=1e-12)


def test_power_iteration_bounds_large_blocks():
    rng = np.random.default_rng(0)
    for _ in range(20):
        A = rng.standard_normal((80, 100))
        H = A.T @ A
        top = np.linalg.eigvalsh(H)[-1]
        assert top * (1 - 1e-3) <= rules.largest_curvature(H) <= 1.02 * top


def test_blocks_that_are_singular_are_solved():
    v = np.arange(1.0, 5.0)
    H = np.outer(v, v)
    d = solve_block(H, 2.0 * v)
    assert_allclose(H @ d, -2.0 * v, atol=1e-6)


@pytest.mark.parametrize("kind", ["l1", "nonneg", "mcp", "scad"])
def test_prox_and_scores_against_a_grid(kind):
    penalty = Penalty(kind, 0.7)
    rng = np.random.default_rng(0)
    grid = np.linspace(0 if kind == "nonneg" else -6, 6, 240_001)
    pen = penalty.values(grid)
    for _ in range(20):
        w = abs(rng.standard_normal()) if kind == "nonneg" else rng.standard_normal()
        g, c = 2 * rng.standard_normal(), rng.uniform(0.6, 3)
        model = g * (grid - w) + 0.5 * c * (grid - w) ** 2 + pen
        best = penalty.prox(np.array([w]), np.array([g]), c)[0]
        assert abs(best - grid[model.argmin()]) < 1e-4
        here = penalty.values(np.array([w]))[0]
        steps = rng.standard_normal(5) * np.array([1e-8, 1e-3, 0.1, 1, 3])
        steps = np.maximum(steps, -w) if kind == "nonneg" else steps
        assert_allclose(
            penalty.differences(np.full(5, w), steps),
            penalty.values(w + steps) - here,
            atol=1e-14,
        )
        found = penalty.decreases(np.array([w]), np.array([g]), np.array([c]))[0]
        assert found == pytest.approx(max(here - model.min(), 0), abs=1e-7)


def test_partitions():
    L = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    parts = {
        kind: [b.tolist() for b in rules.partition(kind, 2, L, lambda: -L)]
        for kind in rules.FIXED
    }
    assert parts == {
        "order": [[0, 1], [2, 3], [4]],
        "sort": [[1, 3], [4, 2], [0]],
        "avg": [[1, 0], [3, 2], [4]],
        "hsort": [[0, 2], [4, 3], [1]],
        "havg": [[0, 1], [2, 3], [4]],
    }


def exact_progress(H, g, b):
    return 0.5 * g[b] @ np.linalg.solve(H[np.ix_(b, b)], g[b])


def test_gsq_makes_the_most_progress_of_all_rules(global_random_seed):
    # One matrix update on random quadratics; blocks by enumeration.
    rng = np.random.default_rng(global_random_seed)
    close = []
    for _ in range(30):
        M = rng.standard_normal((12, 9)) * rng.uniform(0.2, 3, 9)
        H, g = M.T @ M, rng.standard_normal(9)
        blocks = [np.array(b) for b in itertools.combinations(range(9), 3)]
        made = np.array([exact_progress(H, g, b) for b in blocks])
        curvature = [np.linalg.eigvalsh(H[np.ix_(b, b)])[-1] for b in blocks]
        gsl = np.argmax(
            [g[b] @ g[b] / c for b, c in zip(blocks, curvature, strict=True)]
        )
        D = rules.block_bounds(3, np.diag(H), np.abs(H).sum(axis=1))
        gsd = np.argmax([(g[b] ** 2 / D[b]).sum() for b in blocks])
        assert made.max() >= made[gsl] and made.max() >= made[gsd]
        found = rules.hard_thresholded_block(
            lambda d, H=H: H @ d, g, np.diag(H), np.linalg.eigvalsh(H)[-1], 3
        )
        close.append(exact_progress(H, g, found) / made.max())
    assert max(close) <= 1 + 1e-12
    assert np.mean(close) > 0.7
    diagonal = rng.uniform(0.5, 2, 9)
    found = rules.hard_thresholded_block(
        lambda d: diagonal * d, g, diagonal, diagonal.max(), 3
    )
    assert_array_equal(found, np.sort(np.argsort(-(g**2) / diagonal)[:3]))


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax"])
def test_gsq_wins_among_fixed_blocks(loss):
    X, y = data(loss)
    options = {"loss": loss, "blocks": "sort", "block_size": 4, "max_iter": 1}
    gains = {}
    for rule in ("gs", "gsl", "gsd", "gsdli", "gsq"):
        h = run(X, y, rule=rule, **options).history["objective"]
        gains[rule] = h[0] - h[1]
    if loss == "squared":
        # Here the bound is the Hessian, and the score the progress itself.
        assert gains["gsq"] >= max(gains.values()) * (1 - 1e-9)
    assert min(gains.values()) > 0


# Every rule, block and update


def combinations(loss):
    for penalty, alpha in ((None, 0.0), ("l1", 0.05), ("nonneg", 0.02), ("mcp", 0.05)):
        smooth = penalty is None
        for rule in rules.RULES:
            if rule in rules.SMOOTH and not smooth:
                continue
            for update in UPDATES:
                if update == "exact_1d" and loss != "squared":
                    continue
                if loss in ("poisson", "cox") and update in (
                    "gradient",
                    "diagonal",
                    "matrix",
                ):
                    continue
                if update == "two_metric" and penalty != "nonneg":
                    continue
                if update == "projected_newton" and penalty != "l1":
                    continue
                for blocks in ("variable", "sort"):
                    yield {
                        "penalty": penalty,
                        "alpha": alpha,
                        "rule": rule,
                        "update": update,
                        "blocks": blocks,
                        "block_size": 1 if update == "exact_1d" else 5,
                    }


@pytest.mark.parametrize("loss", LOSSES)
def test_the_objective_never_rises_whatever_the_rule_and_update(loss):
    X, y = data(loss, n=40, p=12)
    lowest = {}
    for options in combinations(loss):
        result = run(X, y, loss=loss, max_iter=25, random_state=0, **options)
        objective = result.history["objective"]
        rise = np.diff(objective).max(initial=-np.inf)
        assert rise <= 1e-13 * max(1.0, abs(objective[0])), options
        assert objective[-1] < objective[0], options
        assert result.objective == pytest.approx(objective[-1], abs=1e-12)
        lowest.setdefault(options["penalty"], []).append(objective[-1])
    assert set(lowest) == {None, "l1", "nonneg", "mcp"}


def loss_value(loss, X, y, W):
    if loss == "squared":
        return 0.5 * np.mean((X @ W - y) ** 2)
    if loss == "logistic":
        return np.mean(np.logaddexp(0, np.where(y == "yes", -1, 1) * (X @ W)))
    eta = X @ W.T
    return np.mean(logsumexp(eta, axis=1) - eta[np.arange(len(y)), y])


def loss_gradient(loss, X, y, W):
    n = len(y)
    if loss == "squared":
        return X.T @ (X @ W - y) / n
    if loss == "logistic":
        return X.T @ (expit(X @ W) - (y == "yes")) / n
    P = np.exp(X @ W.T - logsumexp(X @ W.T, axis=1, keepdims=True))
    P[np.arange(n), y] -= 1
    return P.T @ X / n


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax"])
@pytest.mark.parametrize("penalty", [None, "l1", "nonneg"])
def test_the_answer_is_stationary_and_certified(loss, penalty):
    X, y = data(loss, n=200, p=10)
    alpha = 0.0 if penalty is None else 0.02
    result = greedy_bcd(
        X, y, loss=loss, penalty=penalty, alpha=alpha, update="newton", tol=1e-9,
        max_iter=5000,
    )  # fmt: skip
    w, g = result.coef, loss_gradient(loss, X, y, result.coef)
    if penalty is None:
        apart = np.abs(g)
    elif penalty == "l1":
        resting = np.maximum(np.abs(g) - alpha, 0)
        apart = np.where(w != 0, np.abs(g + alpha * np.sign(w)), resting)
    else:
        apart = np.where(w > 0, np.abs(g + alpha), np.maximum(-g - alpha, 0))
        assert w.min() >= 0
    scale = np.abs(loss_gradient(loss, X, y, np.zeros_like(w))).max()
    assert apart.max() / scale <= 1.01e-9
    assert result.certificate.value == pytest.approx(apart.max() / scale, abs=1e-12)
    assert result.history["violation"][-1] <= 1e-9 and result.n_iter < 5000
    objective = loss_value(loss, X, y, w) + alpha * np.abs(w).sum()
    assert result.objective == pytest.approx(objective, abs=1e-13)
    assert result.converged and repr(result).startswith("BCDResult(objective=")


def lasso_by_hand(X, y, w, alpha):
    """Objective, and the largest distance of zero to a subdifferential."""
    r, n = y - X @ w, len(y)
    g = -X.T @ r / n
    apart = np.where(
        w, np.abs(g + alpha * np.sign(w)), np.maximum(np.abs(g) - alpha, 0)
    )
    return r @ r / (2 * n) + alpha * np.abs(w).sum(), apart.max()


def test_the_certificate_does_not_trust_the_product_that_steps_keep():
    X, y = data("squared", n=30, p=5)
    problem, penalty = LinearProblem(X, LeastSquares(y)), Penalty("l1", 0.03)
    w = np.linspace(-0.2, 0.2, 5)
    problem.start(w.copy())
    optimum = run(X, y, penalty="l1", alpha=0.03, tol=1e-12, max_iter=5000).coef
    seen, steps = [], []

    def lying(problem, g, value):
        """The product of the optimum, beside coefficients that are not."""
        steps.append(value)
        problem.product = X @ optimum
        problem.w[:] = np.where(optimum, w - 0.01 * len(steps), 0.0)
        return 3

    options = {"scale": 0.5, "tol": 0.02, "callback": None, "name": "lying"}
    options |= {"as_coef": lambda: problem.w.copy(), "classes": np.arange(2)}
    begin = time.perf_counter()
    with pytest.warns(ConvergenceWarning, match="lying did not converge"):
        result = descend(problem, penalty, lying, max_iter=4, **options)
    objective, apart = lasso_by_hand(X, y, result.coef, 0.03)
    assert_allclose(result.certificate.value, apart / 0.5, rtol=1e-12)
    assert_allclose(result.objective, objective, rtol=1e-12)
    assert_allclose(result.certificate.details["objective"], objective, rtol=1e-12)
    assert not result.converged and not result.certificate.satisfied
    assert result.certificate.tol == 0.02 and result.n_iter == len(steps) == 4
    assert result.certificate.details["n_iter"] == 4
    start = lasso_by_hand(X, y, w, 0.03)
    assert_allclose(result.history["objective"][0], start[0], rtol=1e-12)
    assert_allclose(result.history["violation"][0], start[1] / 0.5, rtol=1e-12)
    assert_array_equal(result.history["block_size"], [0, 3, 3, 3, 3])
    held = np.count_nonzero(optimum)
    assert_array_equal(result.history["support"], [np.count_nonzero(w), *4 * [held]])
    seconds = result.history["seconds"]
    assert (np.diff(seconds) >= 0.0).all() and seconds[0] >= 0.0
    assert seconds[-1] <= time.perf_counter() - begin
    same = np.array_equal(optimum != 0, w != 0)
    assert result.identified == (0 if same else 1)
    assert_array_equal(result.classes, [0, 1])
    # A callback that has seen enough ends it without a warning, a zero scale is one.
    problem.start(w.copy())
    options |= {"callback": lambda k, coef: seen.append((k, coef)) or k == 2}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = descend(
            problem, penalty, lying, max_iter=9, **{**options, "scale": 0.0}
        )
    assert [k for k, _ in seen] == [1, 2] and result.n_iter == 2
    assert_allclose(
        result.certificate.value, lasso_by_hand(X, y, result.coef, 0.03)[1], rtol=1e-12
    )
    assert_array_equal(seen[-1][1], result.coef)


def test_products_are_made_afresh_now_and_then_and_the_finisher_comes_first():
    X, y = data("squared", n=30, p=5)
    problem, penalty = LinearProblem(X, LeastSquares(y)), Penalty(None, 0.0)
    w, calls = np.linspace(-0.2, 0.2, 5), []
    problem.start(w.copy())

    def drifting(problem, g, value):
        calls.append(value)
        problem.product = problem.product + 1e-3
        return 1

    def finisher(unchanged, g, value):
        return 5 if unchanged in (3, 4) else 0

    with pytest.warns(ConvergenceWarning):
        result = descend(
            problem, penalty, drifting, scale=1.0, tol=1e-9, max_iter=502,
            callback=None, as_coef=lambda: problem.w, name="drift", finisher=finisher,
        )  # fmt: skip
    true = np.mean((y - X @ w) ** 2) / 2
    found = result.history["objective"]
    assert_allclose(found[[0, 500, 502]], [true, true, found[502]], rtol=1e-12)
    assert abs(found[499] - true) > 1e-3 * true
    assert_allclose(result.objective, true, rtol=1e-12)
    sizes = result.history["block_size"]
    assert_array_equal(np.flatnonzero(sizes == 5), [4, 5]) and len(calls) == 500
    # What meets the tolerance at the start is left alone.
    result = descend(
        problem, penalty, drifting, scale=1.0, tol=np.inf, max_iter=5, callback=None,
        as_coef=lambda: problem.w, name="none",
    )  # fmt: skip
    assert result.n_iter == 0 and result.converged


def test_objectives_that_are_not_finite_are_refused():
    X, y = data("squared", n=30, p=5)
    problem = LinearProblem(X, LeastSquares(y))
    problem.start(np.zeros(5))

    def worse(problem, g, value):
        problem.product = np.full(30, np.inf)
        return 1

    with (
        np.errstate(invalid="ignore"),
        pytest.raises(ValueError, match=r"the objective is .* after 1 updates"),
    ):
        descend(
            problem, Penalty(None, 0.0), worse, scale=1.0, tol=1e-9, max_iter=5,
            callback=None, as_coef=None, name="worse",
        )  # fmt: skip


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("penalty", ["nonneg", "l1"])
def test_objective_agrees_with_a_convex_solver(loss, penalty):
    import cvxpy as cp

    X, y = data(loss, n=50, p=15, seed=4)
    alpha = 0.03
    w = cp.Variable(15)
    if loss == "squared":
        smooth = cp.sum_squares(X @ w - y) / (2 * len(y))
    else:
        sign = np.where(y == "yes", -1.0, 1.0)
        smooth = cp.sum(cp.logistic(cp.multiply(sign, X @ w))) / len(y)
    constraints = [w >= 0] if penalty == "nonneg" else []
    reference = cp.Problem(cp.Minimize(smooth + alpha * cp.norm1(w)), constraints)
    reference.solve(solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12)
    updates = ["matrix", "newton"]
    updates.append("two_metric" if penalty == "nonneg" else "projected_newton")
    for update in updates:
        result = greedy_bcd(
            X, y, loss=loss, penalty=penalty, alpha=alpha, update=update, tol=1e-9,
            max_iter=5000,
        )  # fmt: skip
        assert result.objective == pytest.approx(reference.value, rel=1e-8)


def test_the_lasso_is_that_of_the_estimator_dense_and_sparse():
    X, y = data("squared", n=80, p=40)
    model = Lasso(alpha=0.05, fit_intercept=False, tol=1e-12).fit(X, y)
    for design in (X, sparse.csr_array(X), sparse.csc_matrix(X)):
        result = greedy_bcd(
            design, y, penalty="l1", alpha=0.05, tol=1e-10, max_iter=5000
        )
        assert_allclose(result.coef, model.coef_, atol=1e-7)
        assert result.objective == pytest.approx(model.objective_, rel=1e-9)


def test_integer_weights_are_repetitions():
    X, y = data("squared")
    s = np.random.default_rng(0).integers(0, 3, len(y))
    options = {"penalty": "l1", "alpha": 0.05, "tol": 1e-11, "max_iter": 5000}
    weighted = greedy_bcd(X, y, sample_weight=s, **options)
    repeated = greedy_bcd(np.repeat(X, s, axis=0), np.repeat(y, s), **options)
    assert_allclose(weighted.coef, repeated.coef, atol=1e-9)


# Identification and the finish


def test_lasso_ends_in_finitely_many_steps_once_the_support_is_found():
    X, y = data("squared", n=100, p=200, seed=3)
    y = y + 0.1 * np.random.default_rng(0).standard_normal(len(y))
    result = run(
        X, y, penalty="l1", alpha=0.05, update="projected_newton", block_size=120,
        tol=1e-15, max_iter=60,
    )  # fmt: skip
    gaps = result.history["objective"] - result.objective
    violation = result.history["violation"]
    start = np.flatnonzero(violation > 1e-5)[-1]
    assert violation[start + 1 : start + 4].min() < 1e-13
    assert gaps[start + 1 : start + 4].min() <= 1e-14 * result.history["objective"][0]
    assert result.identified <= start + 2
    assert result.history["support"][-1] == np.count_nonzero(result.coef)


@pytest.mark.parametrize("penalty", ["l1", "nonneg"])
def test_finish_ends_small_blocks_at_once(penalty):
    X, y = data("squared", n=100, p=60, seed=5)
    options = {"penalty": penalty, "alpha": 0.02, "block_size": 2, "max_iter": 3000}
    plain = run(X, y, tol=1e-12, **options)
    quick = greedy_bcd(X, y, finish=True, tol=1e-12, **options)
    assert quick.converged
    assert quick.n_iter < plain.n_iter
    assert_allclose(quick.coef, plain.coef, atol=1e-8)
    # The last update takes the violation to rounding.
    assert quick.history["block_size"][-1] == np.count_nonzero(quick.coef)


def test_newton_on_the_active_set_is_superlinear():
    X, y = data("logistic", n=300, p=20, seed=1)
    result = run(
        X, y, loss="logistic", update="newton", block_size=20, tol=1e-14, max_iter=30
    )
    v = result.history["violation"]
    tail = v[(v < 1e-2) & (v > 1e-13)]
    assert len(v) < 12
    assert all(tail[1:] <= 10 * tail[:-1] ** 1.5)


# Edges


def test_huge_logits_stay_finite():
    X, y = data("softmax", n=30, p=6)
    start = np.full((3, 6), 1e4) * np.array([[1], [-1], [0]])
    result = run(
        X, y, loss="softmax", penalty="l1", alpha=0.01, update="newton",
        coef_init=start, max_iter=200,
    )  # fmt: skip
    assert np.isfinite(result.history["objective"]).all()
    assert np.isfinite(result.coef).all()
    assert result.objective < result.history["objective"][0]
    labels = np.array(["a", "b", "c"])[y]
    named = run(X, labels, loss="softmax", penalty="l1", alpha=0.05, max_iter=5)
    assert named.classes.tolist() == ["a", "b", "c"] and named.coef.shape == (3, 6)


def test_zero_columns_and_constant_targets_are_no_trouble():
    X, y = data("squared")
    X[:, 3] = 0.0
    for rule in rules.RULES:
        penalty, alpha = (None, 0.0) if rule in rules.SMOOTH else ("l1", 0.05)
        for blocks in ("variable", "sort"):
            result = run(
                X, y, penalty=penalty, alpha=alpha, rule=rule, blocks=blocks,
                random_state=0, max_iter=30,
            )  # fmt: skip
            assert result.coef[3] == 0 and np.isfinite(result.coef).all()
    result = greedy_bcd(X, np.zeros(len(y)), penalty="l1", alpha=0.1)
    assert result.n_iter == 0 and not result.coef.any()


def test_own_blocks_callbacks_seeds_and_start():
    X, y = data("squared")
    blocks = [[0, 5, 7], np.arange(8, 24), [1, 2, 3, 4, 6]]
    seen = []
    result = run(
        X, y, blocks=blocks, rule="cyclic", max_iter=50,
        callback=lambda k, w: seen.append((k, w)) or k == 6,
    )  # fmt: skip
    assert result.n_iter == 6 and [k for k, _ in seen] == list(range(1, 7))
    assert result.history["block_size"].tolist() == [0, 3, 16, 5, 3, 16, 5]
    assert_array_equal(seen[-1][1], result.coef)
    assert not np.shares_memory(seen[-1][1], result.coef)
    again = run(X, y, coef_init=result.coef, max_iter=0)
    assert_array_equal(again.coef, result.coef)
    for rule in ("random", "perm", "lipschitz"):
        one, two = (run(X, y, rule=rule, random_state=3, max_iter=20) for _ in range(2))
        assert_array_equal(one.coef, two.coef)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": "l1", "rule": "gsd"}, "is for smooth problems"),
        ({"loss": "poisson"}, "needs an upper bound"),
        ({"update": "two_metric"}, "is for penalty='nonneg'"),
        ({"update": "exact_1d"}, "block_size=1"),
        ({"penalty": "mcp", "finish": True}, "finish=True is for"),
        ({"blocks": [[0, 1]]}, "exactly once"),
        ({"blocks": [[0, 99]]}, "within 0..23"),
        ({"coef_init": [1.0]}, "coef_init must have shape"),
        ({"alpha": -1.0}, "'alpha' parameter"),
        ({"sample_weight": -np.ones(60)}, "[Nn]egative"),
    ],
)
def test_what_does_not_fit_together_is_refused(options, message):
    X, y = data("squared")
    with pytest.raises(ValueError, match=message):
        greedy_bcd(X, np.abs(y), **options)


def test_bad_data_are_refused():
    X, y = data("squared")
    with pytest.raises(ValueError, match="NaN"):
        greedy_bcd(np.where(X > 1, np.nan, X), y)
    with pytest.raises(ValueError, match="single class"):
        greedy_bcd(X, np.ones(60, int), loss="logistic")
    with pytest.raises(ValueError, match="two classes"):
        greedy_bcd(X, np.arange(60) % 3, loss="logistic")
    with pytest.raises(ValueError, match="negative"):
        greedy_bcd(X, y, loss="poisson", update="newton")
    with pytest.raises(ValueError, match="times and events"):
        greedy_bcd(X, y, loss="cox", update="newton")
    with pytest.raises(ValueError, match="Complex"):
        greedy_bcd(X + 1j, y)


def test_stopping_early_warns_once_with_the_numbers():
    X, y = data("squared")
    with pytest.warns(ConvergenceWarning, match="violation") as caught:
        result = greedy_bcd(X, y, max_iter=2)
    assert len(caught) == 1 and not result.converged
    assert f"{result.certificate.value:.3e}" in str(caught[0].message)


# Sparse systems


def quadratic(A, b, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return greedy_bcd_quadratic(A, b, **options)


@pytest.mark.parametrize(
    ("blocks", "rule"),
    [
        ("greedy_tree", "gs"),
        ("greedy_tree", "gsl"),
        ("greedy_tree", "gsd"),
        ("random_tree", "random"),
        ("tree_partition", "cyclic"),
        ("tree_partition", "gs"),
        ("tree_partition", "perm"),
        ("red_black", "cyclic"),
        ("red_black", "random"),
        ("variable", "gsq"),
        ("sort", "gsl"),
    ],
)
def test_systems_are_solved_and_the_history_tells_how(blocks, rule):
    A = random_system(60, 0.08, 2)
    b = np.random.default_rng(0).standard_normal(60)
    result = greedy_bcd_quadratic(
        A, b, blocks=blocks, rule=rule, tol=1e-10, max_iter=5000, random_state=0
    )
    expected = np.linalg.solve(A.toarray(), b)
    assert_allclose(result.coef, expected, atol=1e-8)
    assert result.objective == pytest.approx(-0.5 * b @ expected, rel=1e-12)
    history = result.history
    assert np.diff(history["objective"]).max() <= 1e-14 * abs(result.objective)
    assert len(history["seconds"]) == result.n_iter + 1
    assert (np.diff(history["seconds"]) >= 0).all()
    outside = np.abs(A @ result.coef - b).max() / np.abs(b).max()
    assert result.certificate.value == pytest.approx(outside, rel=1e-6, abs=1e-15)


def test_bounded_systems_satisfy_their_conditions():
    A = random_system(40, 0.1, 0)
    b = np.random.default_rng(1).standard_normal(40)
    for update in ("matrix", "two_metric"):
        result = greedy_bcd_quadratic(
            A, b, penalty="nonneg", blocks="variable", update=update, tol=1e-10,
            max_iter=5000,
        )  # fmt: skip
        w, g = result.coef, A @ result.coef - b
        assert w.min() >= 0 and g.min() >= -1e-9
        assert np.abs(w * g).max() <= 1e-9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": "l1"}, "takes no penalty"),
        ({"update": "gradient"}, "needs update='matrix'"),
        ({"rule": "random"}, "goes with rule gs, gsl, gsd"),
        ({"b": np.ones(3)}, "b must have shape"),
        ({"b": np.full(60, np.inf)}, "infinity"),
    ],
)
def test_what_forests_cannot_do_is_refused(options, message):
    A = random_system(60, 0.08, 2)
    b = options.pop("b", np.ones(60))
    with pytest.raises(ValueError, match=message):
        greedy_bcd_quadratic(A, b, **options)


def label_system(side=20, n_labeled=16, seed=0):
    """Return the system of a lattice with labels on a few nodes."""
    A = lattice(side)
    A = sparse.csr_array(A - 0.1 * sparse.eye_array(side * side))
    rng = np.random.default_rng(seed)
    labeled = np.zeros(side * side, bool)
    labeled[rng.choice(side * side, n_labeled, replace=False)] = True
    y = 100 * rng.standard_normal(side * side)
    b = -(A[~labeled][:, labeled] @ y[labeled])
    return sparse.csr_array(A[~labeled][:, ~labeled]), b


# The claims, on small versions of the published experiments


def suboptimality(result, best, k):
    h = result.history["objective"]
    return (h[min(k, len(h) - 1)] - best) / (h[0] - best)


def test_tree_blocks_beat_dense_greedy_blocks_by_orders():
    A, b = label_system()
    best = -0.5 * b @ sparse.linalg.spsolve(sparse.csc_array(A), b)
    options = {"tol": 0.0, "max_iter": 100}
    dense = quadratic(A, b, blocks="variable", block_size=8, rule="gsl", **options)
    reached = {"dense": suboptimality(dense, best, 100)}
    for blocks in ("greedy_tree", "random_tree", "tree_partition", "red_black"):
        result = quadratic(A, b, blocks=blocks, random_state=0, **options)
        reached[blocks] = suboptimality(result, best, 100)
    assert reached["greedy_tree"] < 1e-3 * reached["dense"]
    assert reached["tree_partition"] < 1e-2 * reached["dense"]
    # Greedy forests make more of a step than random ones, and than single nodes.
    assert reached["greedy_tree"] < reached["random_tree"]
    assert reached["tree_partition"] < reached["red_black"]


def wide_data(n=100, p=400, seed=0):
    """Experiment A, scaled down: sparse columns of very different sizes."""
    rng = np.random.default_rng(seed)
    X = (rng.standard_normal((n, p)) + 1) * 10 * rng.standard_normal(p)
    X *= rng.random((n, p)) < 10 * np.log(n) / n
    w = rng.standard_normal(p) * (rng.random(p) < 0.1)
    return X, X @ w + rng.standard_normal(n)


def after(X, y, k, **options):
    result = run(X, y, tol=0.0, max_iter=k, random_state=0, **options)
    return result.history["objective"][-1]


def test_greedy_beats_cyclic_and_variable_beats_fixed_blocks():
    X, y = wide_data()
    for update in ("gradient", "matrix"):
        cyclic = after(X, y, 60, rule="cyclic", blocks="order", update=update)
        random = after(X, y, 60, rule="random", blocks="sort", update=update)
        fixed = after(X, y, 60, rule="gsl", blocks="sort", update=update)
        variable = after(X, y, 60, rule="gsdli", blocks="variable", update=update)
        assert variable < fixed < min(cyclic, random)


def test_matrix_updates_beat_gradient_updates():
    X, y = wide_data()
    for size in (5, 20):
        gradient = after(X, y, 40, rule="gsd", update="gradient", block_size=size)
        matrix = after(X, y, 40, rule="gsd", update="matrix", block_size=size)
        assert matrix < 0.8 * gradient


def test_large_blocks_end_soon_after_identification():
    X, y = wide_data()
    used = {}
    for size, update in ((5, "gradient"), (5, "two_metric"), (100, "two_metric")):
        result = run(
            X, y, penalty="nonneg", alpha=50.0, rule="gs-q", update=update,
            block_size=size, tol=1e-10, max_iter=600,
        )  # fmt: skip
        used[size, update] = result.n_iter
        if size == 100:
            assert result.converged
            assert result.n_iter - result.identified <= 3
    assert used[100, "two_metric"] < used[5, "two_metric"] <= used[5, "gradient"]
