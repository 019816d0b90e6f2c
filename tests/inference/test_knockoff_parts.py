"""Parts of knockoffs: the vector s against cvxpy, moments, thresholds, e-values."""

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsestat.exceptions import NumericalError
from sparsestat.inference._knockoff_copies import FixedDesign, Recipe, unit_columns
from sparsestat.inference._knockoff_filter import (
    e_benjamini_hochberg,
    e_values,
    knockoff_threshold,
)
from sparsestat.inference._knockoff_s import METHODS, _sum_bound, s_vector


def correlation(name, p, seed=0):
    if name == "toeplitz":
        return 0.7 ** np.abs(np.subtract.outer(np.arange(p), np.arange(p)))
    if name == "equal":
        return 0.6 * np.ones((p, p)) + 0.4 * np.eye(p)
    X = np.random.RandomState(seed).standard_normal((p + 3, p))
    R = X.T @ X
    d = np.sqrt(np.diag(R))
    return R / d / d[:, None]


DESIGNS = ["toeplitz", "equal", "wishart"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", DESIGNS)
def test_s_is_feasible(name, method):
    R = correlation(name, 12)
    s = s_vector(R, method).s
    assert (s >= 0).all()
    assert np.linalg.eigvalsh(2 * R - np.diag(s))[0] >= -1e-12
    if method != "mvr":
        assert (s <= 1).all()


@pytest.mark.parametrize("name", DESIGNS)
def test_sum_is_that_of_a_semidefinite_solver(name):
    R = correlation(name, 8)
    s = cp.Variable(8)
    problem = cp.Problem(
        cp.Maximize(cp.sum(s)), [s >= 0, s <= 1, 2 * R - cp.diag(s) >> 0]
    )
    best = problem.solve(solver=cp.SCS, eps=1e-9, max_iters=100_000)
    found = s_vector(R, "sdp", 1e-8)
    assert found.objective == pytest.approx(best, rel=1e-6)
    assert 0 <= found.gap <= 1e-8
    assert found.objective * (1 + found.gap) >= best * (1 - 1e-7)


@pytest.mark.parametrize("name", DESIGNS)
def test_reconstructability_is_that_of_a_convex_solver(name):
    R = correlation(name, 7)
    s = cp.Variable(7)
    objective = cp.tr_inv(2 * R - cp.diag(s)) + cp.sum(cp.inv_pos(s))
    best = cp.Problem(cp.Minimize(objective)).solve(solver=cp.CLARABEL)
    found = s_vector(R, "mvr", 1e-9)
    assert found.objective == pytest.approx(best, rel=1e-5)
    # The bound is below the optimum, and ours not below it.
    assert found.objective * (1 - found.gap) <= best * (1 + 1e-6)
    assert found.objective >= best * (1 - 1e-6)


def test_the_bound_of_the_sum_is_the_least_over_multiples():
    rng = np.random.RandomState(0)
    for scale in (0.01, 1.0, 30.0):
        R, Z = correlation("wishart", 6), rng.standard_normal((6, 8))
        Z = scale * Z @ Z.T / 8
        multiples = np.append(0.0, 1.0 / np.diag(Z))  # the kinks
        values = [
            2 * c * np.trace(Z @ R) + np.maximum(0.0, 1.0 - c * np.diag(Z)).sum()
            for c in multiples
        ]
        found = _sum_bound(np.diag(Z), np.trace(Z @ R))
        assert found == pytest.approx(min(values), rel=1e-12)
    # The identity proves 6 of itself; half of what has a smaller product, 4.
    assert _sum_bound(np.ones(6), 6.0) == 6.0
    assert _sum_bound(np.full(6, 0.5), 1.0) == pytest.approx(4.0)


@pytest.mark.parametrize("tol", [0.5, 1e-2, 1e-5])
@pytest.mark.parametrize("name", DESIGNS)
def test_bounds_hold_wherever_the_steps_end(name, tol):
    R = correlation(name, 10)
    found = s_vector(R, "sdp", tol)
    best = s_vector(R, "sdp", 1e-9).objective
    assert 0.0 <= found.gap <= tol
    assert found.objective <= best * (1 + 1e-8) <= found.objective * (1 + found.gap)
    assert found.objective == pytest.approx(found.s.sum(), rel=1e-14)
    found = s_vector(R, "mvr", tol)
    best = s_vector(R, "mvr", 1e-9).objective
    assert 0.0 <= found.gap <= tol
    assert found.objective * (1 - found.gap) <= best * (1 + 1e-8)
    assert best <= found.objective * (1 + 1e-8)
    inverse, s = np.linalg.inv(2 * R - np.diag(found.s)), found.s
    value = np.trace(inverse) + (1 / s).sum()
    assert found.objective == pytest.approx(value, rel=1e-10)
    gradient = np.diag(inverse @ inverse) - 1 / s**2
    ends = 1 / value, 1 / np.diag(np.linalg.inv(2 * R))
    least = np.minimum(gradient * ends[0], gradient * ends[1])
    gap = (gradient * s - least).sum() / value
    assert found.gap == pytest.approx(max(gap, 0.0), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("decrement, bounds", [(0.9, 2), (1.5, 1)])
def test_only_short_steps_prove_by_their_direction(decrement, bounds, monkeypatch):
    # Beyond a decrement of one the matrix that a step gives may be indefinite.
    from sparsestat.inference import _knockoff_s

    newton, bound, seen = _knockoff_s._newton, _knockoff_s._sum_bound, []

    def scaled(hessian, gradient):
        move = newton(hessian, gradient)
        return move * decrement**2 / (gradient @ move)

    def counted(*arguments):
        seen.append(arguments)
        return bound(*arguments)

    monkeypatch.setattr(_knockoff_s, "_newton", scaled)
    monkeypatch.setattr(_knockoff_s, "_sum_bound", counted)
    monkeypatch.setattr(_knockoff_s, "_STEPS", 3)
    found = s_vector(correlation("toeplitz", 10), "sdp")
    assert len(seen) == bounds * found.n_iter == bounds * 3


def test_steps_that_would_leave_the_positive_numbers_are_shortened(monkeypatch):
    from sparsestat.inference import _knockoff_s

    newton, s, ends = _knockoff_s._newton, np.array([2e-4, 0.03, 2e-4]), []

    def watched(hessian, gradient):
        ends.append(s + newton(hessian, gradient))
        return ends[-1] - s

    monkeypatch.setattr(_knockoff_s, "_newton", watched)
    monkeypatch.setattr(_knockoff_s, "_STEPS", 1)
    R = np.array([[1.0, 0.02, 0.999], [0.02, 1.0, -0.02], [0.999, -0.02, 1.0]])
    inverse = np.linalg.inv(2 * R - np.diag(s))
    found = _knockoff_s._descended(R, s, inverse, 1e-9).s
    assert ends[0].min() < -0.03  # where a whole step leads
    share = (found - s) / (ends[0] - s)
    assert_allclose(share, share[0], rtol=1e-7)
    assert (found > 0).all() and 0 < share[0] < 1


def test_identity_has_the_known_answers():
    for method, s in (("equi", 1.0), ("sdp", 1.0), ("mvr", 1.0)):
        assert_allclose(s_vector(np.eye(5), method).s, s, atol=2e-6)
    assert s_vector(np.eye(5), "mvr").objective == pytest.approx(10.0)


def test_equal_correlations_have_one_s():
    # lmin = 1 - rho = 0.3: all s equal 0.6 for equi; sdp reaches more.
    R = 0.7 * np.ones((4, 4)) + 0.3 * np.eye(4)
    assert_allclose(s_vector(R, "equi").s, 0.6)
    assert s_vector(R, "sdp").objective >= 4 * 0.6 * (1 - 1e-6)


def test_nearly_singular_matrices_keep_their_bound():
    X = np.random.RandomState(0).standard_normal((60, 20))
    X[:, 1] = X[:, 0] + 1e-4 * X[:, 1]
    X = unit_columns(X - X.mean(axis=0))
    found = s_vector(X.T @ X, "sdp")
    assert found.gap <= 1e-6
    with pytest.raises(NumericalError, match="not positive definite"):
        s_vector(np.ones((3, 3)), "sdp")


def test_large_problems_take_the_way_without_sweeps(monkeypatch):
    from sparsestat.inference import _knockoff_s

    R = correlation("wishart", 15)
    plain = s_vector(R, "mvr", 1e-9)
    monkeypatch.setattr(_knockoff_s, "_SWEPT", 0)
    other = s_vector(R, "mvr", 1e-9)
    assert_allclose(other.s, plain.s, rtol=1e-4)
    # Near-copies stop Newton's steps from equal s; sweeps help them on.
    X = np.random.RandomState(0).standard_normal((60, 20))
    X[:, 1] = X[:, 0] + 3e-5 * X[:, 1]
    X = unit_columns(X - X.mean(axis=0))
    found = s_vector(X.T @ X, "mvr", 1e-5)
    assert found.gap <= 1e-5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", DESIGNS)
def test_recipe_gives_knockoffs_their_moments(name, method):
    R = correlation(name, 10)
    s = s_vector(R, method).s
    recipe = Recipe(R, s)
    S = np.diag(s)
    expected = 2 * S - S @ np.linalg.solve(R, S)
    assert_allclose(recipe.C @ recipe.C.T, expected, atol=1e-12)
    keep = np.eye(10) - recipe.B
    assert_allclose(keep.T @ R @ keep + recipe.C @ recipe.C.T, R, atol=1e-12)
    assert_allclose(R @ keep, R - S, atol=1e-12)  # covariance with the features


@pytest.mark.parametrize("n", [60, 30])
def test_fixed_knockoffs_have_the_gram_matrix_of_the_features(n, global_random_seed):
    rng = np.random.RandomState(global_random_seed)
    X = rng.standard_normal((n, 20)) @ rng.standard_normal((20, 20))
    X = unit_columns(X - X.mean(axis=0))
    R = X.T @ X
    s = s_vector(R, "mvr").s
    design = FixedDesign(X, Recipe(R, s))
    assert design.n_added == max(0, 40 - (n - 1))
    copies = design.copies(rng)
    assert_allclose(copies.T @ copies, R, atol=1e-10)
    assert_allclose(design.X.T @ copies, R - np.diag(s), atol=1e-10)
    assert_allclose(copies[:n].sum(axis=0), 0.0, atol=1e-10)


def test_noise_of_appended_rows_is_that_of_least_squares():
    rng = np.random.RandomState(0)
    X = unit_columns((Z := rng.standard_normal((30, 20))) - Z.mean(axis=0))
    y = rng.standard_normal(30)
    y -= y.mean()
    design = FixedDesign(X, Recipe(X.T @ X, s_vector(X.T @ X, "mvr").s))
    rest = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    assert design.residual_variance(y) == pytest.approx(rest @ rest / 9)
    target = design.target(y, rng)
    assert_array_equal(target[:30], y)
    assert len(target) == 41 and target[30:].any()


def test_noise_treats_features_and_copies_alike():
    rng = np.random.RandomState(1)
    for n, free in ((50, 9), (41, 0), (42, 1), (30, 0)):
        X = unit_columns((Z := rng.standard_normal((n, 20))) - Z.mean(axis=0))
        y = rng.standard_normal(n)
        y -= y.mean()
        design = FixedDesign(X, Recipe(X.T @ X, s_vector(X.T @ X, "mvr").s))
        copies = design.copies(rng)
        target = design.target(y, np.random.RandomState(5))
        noise = np.sqrt(design.residual_variance(y)) * np.random.RandomState(
            5
        ).standard_normal(design.n_added)
        assert_allclose(target, np.concatenate([y, noise]))
        if free == 0:
            assert design.noise_level(copies, target) is None
            continue
        both = np.hstack([X, copies])
        rest = y - both @ np.linalg.lstsq(both, y, rcond=None)[0]
        expected = np.sqrt(rest @ rest / free)
        assert design.noise_level(copies, y) == pytest.approx(expected)


@pytest.mark.parametrize("offset", [0, 1])
def test_threshold_is_the_least_that_holds(offset, global_random_seed):
    rng = np.random.RandomState(global_random_seed)
    for _ in range(50):
        W = np.round(rng.normal(0.7, 1.0, size=25), 1)
        for fdr in (0.1, 0.2, 0.5):
            good = [
                t
                for t in np.abs(W[W != 0])
                if (offset + (W <= -t).sum()) / max(1, (W >= t).sum()) <= fdr
            ]
            expected = min(good) if good else np.inf
            assert knockoff_threshold(W, fdr, offset) == expected
    assert knockoff_threshold(np.zeros(3), 0.1) == np.inf
    assert knockoff_threshold(np.ones(10), 0.1) == 1.0  # one of ten, by default
    assert knockoff_threshold(np.ones(9), 0.1) == np.inf
    assert knockoff_threshold(np.array([3.0]), 0.5) == np.inf  # one of one


def test_one_draw_of_e_values_selects_as_the_threshold_does(global_random_seed):
    rng = np.random.RandomState(global_random_seed)
    for _ in range(200):
        W = rng.normal(0.5, 1.0, size=(1, 40))
        fdr = rng.uniform(0.05, 0.5)
        threshold = knockoff_threshold(W[0], fdr)
        evidence = e_values(W, [threshold])
        assert_array_equal(e_benjamini_hochberg(evidence, fdr), W[0] >= threshold)


def test_e_values_have_mean_at_most_one_under_the_null():
    rng = np.random.RandomState(0)
    sums = []
    for _ in range(400):
        W = rng.standard_normal((1, 30))
        sums.append(e_values(W, [knockoff_threshold(W[0], 0.3)]).sum() / 30)
    assert np.mean(sums) <= 1.0 + 3 * np.std(sums) / 20


def test_e_benjamini_hochberg_by_hand():
    assert_array_equal(
        e_benjamini_hochberg(np.array([20.0, 10.0, 1.0, 0.0]), 0.2),
        [True, True, False, False],
    )
    # The third is too small for three, and a fourth cannot help it.
    assert_array_equal(
        e_benjamini_hochberg(np.array([20.0, 10.0, 6.0, 0.01]), 0.2),
        [True, True, False, False],
    )
    assert not e_benjamini_hochberg(np.zeros(4), 0.2).any()


def test_e_values_are_means_over_draws():
    W = np.array([[3.0, 2.0, -2.0, 0.5], [1.0, -1.0, 0.0, 4.0], [9.0, 9.0, 9.0, 9.0]])
    found = e_values(W, [2.0, 1.0, np.inf])
    # 4 / (1 + 1) for two of the first draw and for two of the second; none of the last.
    assert_allclose(found, [4 / 3, 2 / 3, 0.0, 2 / 3])
