"""Gaps, ends and directions of inference after the Lasso, from their definitions."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat._utils.arithmetic import rounding
from sparsestat.inference import _nodewise, _scaled_lasso_solver, _selective
from sparsestat.inference._truncated_normal import _log1mexp


def problem(seed, n=20, p=5):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, p)), rng.standard_normal(n)
    return rng, X, y


def test_logarithms_of_what_is_left_of_one():
    assert _log1mexp(0.0) == -math.inf
    for x in (-1e-12, -0.3, -0.69, -0.70, -5.0, -700.0):
        expected = float(np.log(-np.expm1(x)))
        assert _log1mexp(x) == pytest.approx(expected, rel=1e-14)


# The scaled Lasso


def test_strengths_and_targets():
    found = _scaled_lasso_solver.universal_strength(0.7, 50, 30)
    assert found == pytest.approx(0.7 * math.sqrt(2 * math.log(30) / 50))
    one, two = (_scaled_lasso_solver.universal_strength(1.0, 9, p) for p in (1, 2))
    assert one == two > 0.0
    y = np.array([1.0, 4.0, 7.0]) + 1e6
    rest, unit, mean = _scaled_lasso_solver.centered_target(y)
    assert mean == 1e6 + 4.0 and math.frexp(unit)[0] == 0.5
    assert_array_equal(rest * unit, [-3.0, 0.0, 3.0])
    small = _scaled_lasso_solver.centered_target((y - 1e6) * 2.0**-300)
    assert small[1] == unit * 2.0**-300


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_an_active_set_is_least_squares_on_its_columns(container):
    _, X, y = problem(0)
    y -= y.mean()
    X = np.where(np.abs(X) > 0.3, X, 0.0)
    active = _scaled_lasso_solver.ActiveSet(container(X), [3, 1], y)
    part = X[:, [3, 1]] - X[:, [3, 1]].mean(axis=0)
    assert active.has_full_rank
    assert_allclose(active.part, part, atol=1e-14)
    ols = np.linalg.lstsq(part, y, rcond=None)[0]
    assert_allclose(active.ols, ols, rtol=1e-10)
    assert active.rss == pytest.approx(((y - part @ ols) ** 2).sum())
    v = np.array([2.0, -1.0])
    expected = np.linalg.solve(part.T @ part, v)
    assert_allclose(active.solve(v), expected, rtol=1e-10)
    half = active.half_solve(v)
    assert half @ half == pytest.approx(v @ expected)


def test_dependent_columns_of_an_active_set_are_told():
    _, X, y = problem(1)
    X[:, 2] = X[:, 0] - 2.0 * X[:, 1]
    X[:, 4] = X[:, 3] + 1e-8 * X[:, 4]  # near, but its own
    for columns, which in (([0, 1, 2], [2]), ([2, 3, 0, 1], [3]), ([0, 3, 4], [])):
        active = _scaled_lasso_solver.ActiveSet(X, columns, y)
        assert active.has_full_rank == (not which)
        assert_array_equal(active.dependent(), which)
    few = _scaled_lasso_solver.ActiveSet(X[:4], [0, 1, 3, 4], y[:4])
    assert not few.has_full_rank
    assert_array_equal(few.dependent(), [3])


@pytest.mark.parametrize("strength", [0.05, 0.4, 3.0])
def test_the_gap_of_the_scaled_lasso_is_that_of_its_dual(strength):
    for seed in range(6):
        rng, X, y = problem(seed)
        y -= y.mean()
        means = X.mean(axis=0)
        coef = rng.standard_normal(5) * (seed % 2)
        residual = y - (X - means) @ coef
        found = _scaled_lasso_solver._gap(X, means, y, coef, residual, strength, 2.0)
        primal = np.sqrt((residual**2).mean()) + strength * np.abs(coef).sum()
        # u of norm at most 1 with |X'u| at most strength * sqrt(n).
        u = residual / np.linalg.norm(residual)
        u *= min(1.0, strength * np.sqrt(20) / np.abs((X - means).T @ u).max())
        gap = (primal - u @ y / np.sqrt(20)) / 2.0
        assert found == pytest.approx(gap, rel=1e-10, abs=1e-14)
    zero = np.zeros(20)
    found = _scaled_lasso_solver._gap(X, means, y, np.ones(5), zero, strength, 4.0)
    assert found == pytest.approx(strength * 5 / 4)


def test_a_solution_carries_its_gap_and_its_rounding():
    _, X, y = problem(3)
    y = X[:, 0] + 0.5 * y
    y -= y.mean()
    means = X.mean(axis=0)
    Z = (X - means) / X.std(axis=0)
    found = _scaled_lasso_solver.scaled_lasso(Z, y, 0.4, tol=1e-9, max_iter=50)
    residual = y - Z @ found.coef
    assert_allclose(found.residual, residual, atol=1e-12)
    assert found.sigma == pytest.approx(np.sqrt((residual**2).mean()), rel=1e-14)
    spread = np.sqrt((y**2).mean())
    none = np.zeros(5)
    gap = _scaled_lasso_solver._gap(Z, none, y, found.coef, residual, 0.4, spread)
    assert found.gap == pytest.approx(gap, abs=1e-14) and 0.0 <= found.gap <= 1e-9
    used, reach = np.count_nonzero(found.coef), np.abs(found.coef).sum() / spread
    expected = rounding(20 + used + 8, 4.0) + rounding(used + 8, 2.0 * reach)
    expected += rounding(20 // 8 + 16, 2.0 / 0.4)
    assert_allclose(found.rounding, expected, rtol=1e-12)
    assert not found.collapsed and found.coef[0] > 0.0


@pytest.mark.parametrize("strength", [1e-5, 1e-3, 0.1])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_the_rounding_of_gaps_is_within_its_bound(strength, container):
    # Near-copies want large coefficients, and small strengths blow rounding up.
    for seed, spread in enumerate((1e-2, 1e-4, 1e-6)):
        rng = np.random.default_rng(seed)
        Z = rng.standard_normal((40, 6))
        Z[:, 3:] = Z[:, :3] + spread * Z[:, 3:]
        Z -= Z.mean(axis=0)
        if container is not np.asarray:
            Z += rng.uniform(-5.0, 5.0, 6)
        Z /= Z.std(axis=0)
        y = (Z[:, 3] - Z[:, 0]) / spread + rng.standard_normal(40)
        y -= y.mean()
        found = _scaled_lasso_solver.scaled_lasso(container(Z), y, strength)
        wide = [a.astype(np.longdouble) for a in (Z, y, found.coef, found.residual)]
        A, t, w, r = wide
        A, root = A - A.mean(axis=0), np.sqrt(np.longdouble(40))
        # The residual that was found is a dual point, whatever rounding did to it.
        u = r / np.sqrt(r @ r)
        u *= min(1.0, strength * root / np.abs(A.T @ u).max())
        left = t - A @ w
        gap = np.sqrt(left @ left) / root + strength * np.abs(w).sum() - u @ t / root
        gap = float(gap / np.sqrt(t @ t) * root)
        assert gap <= found.gap + found.rounding and found.gap <= gap + found.rounding


def test_products_of_many_rows_are_added_in_blocks(monkeypatch):
    _, X, y = problem(0, n=50)
    arguments = np.zeros(5), y - X @ np.ones(5), 0.2, 2.0
    whole = _scaled_lasso_solver._gap(X, X.mean(axis=0), y, *arguments)
    bounds = []
    for rows in (8192, 16):
        monkeypatch.setattr(_scaled_lasso_solver, "_ROWS", rows)
        for Z in (X, sparse.csr_array(X)):
            found = _scaled_lasso_solver._gap(Z, X.mean(axis=0), y, *arguments)
            assert found == pytest.approx(whole, rel=1e-12)
        bounds.append(_scaled_lasso_solver.scaled_lasso(X, y, 0.2).rounding)
    chains = [rounding(50 // 8 + 16, 1.0), rounding(16 // 8 + 50 // 16 + 16, 1.0)]
    lengths = np.sqrt(1.0 + X.mean(axis=0) ** 2).max()
    difference = 2.0 * lengths / 0.2 * (chains[0] - chains[1])
    assert bounds[0] - bounds[1] == pytest.approx(difference, rel=1e-6)


def test_signs_that_no_noise_level_has_are_passed_over(monkeypatch):
    rng = np.random.default_rng(4)
    Z = rng.standard_normal((40, 4))
    Z[:, 1] = 0.1 * Z[:, 1] - Z[:, 0]  # 1 - n strength^2 s'(Z'Z)^-1 s < 0 for (+, +)
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    y = Z[:, 2] + 0.3 * rng.standard_normal(40)
    y -= y.mean()
    expected = _scaled_lasso_solver.scaled_lasso(Z, y, 0.3)
    lasso, given = _scaled_lasso_solver._lasso, [np.array([1.0, 1.0, 0.0, 0.0])]
    monkeypatch.setattr(
        _scaled_lasso_solver, "_lasso", lambda *a: given.pop() if given else lasso(*a)
    )
    found = _scaled_lasso_solver.scaled_lasso(Z, y, 0.3)
    assert not given
    assert_allclose(found.coef, expected.coef, rtol=1e-7, atol=1e-9)
    assert 0.0 <= found.gap <= 1e-8


def test_the_best_of_a_limited_number_of_candidates_is_returned(monkeypatch):
    rng = np.random.default_rng(6)
    Z = rng.standard_normal((40, 4))
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    y = Z[:, 2] - 0.5 * Z[:, 0] + 0.3 * rng.standard_normal(40)
    y -= y.mean()
    once = _scaled_lasso_solver.scaled_lasso(Z, y, 0.2, tol=-1.0, max_iter=1)
    # The closed form on the support of the first Lasso, whose signs are those.
    assert once.n_iter == 1 and once.gap <= 1e-13
    lasso, given = _scaled_lasso_solver._lasso, [np.zeros(4), np.full(4, 9.0), None]

    def first_the_best(*arguments):
        out = given.pop()
        return lasso(*arguments) if out is None else out

    monkeypatch.setattr(_scaled_lasso_solver, "_lasso", first_the_best)
    found = _scaled_lasso_solver.scaled_lasso(Z, y, 0.2, tol=-1.0, max_iter=3)
    assert found.n_iter == 3 and not given
    assert_array_equal(found.coef, once.coef)
    assert found.gap == once.gap
    constant = _scaled_lasso_solver.scaled_lasso(Z, np.zeros(40), 0.2)
    assert (constant.gap, constant.rounding, constant.n_iter) == (0.0, 0.0, 0)
    assert constant.sigma == 0.0 and not constant.coef.any()


def test_a_noise_level_that_collapses_stops_at_its_floor():
    rng = np.random.default_rng(5)
    Z = rng.standard_normal((30, 3))
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    y = 8.0 * Z[:, 1]
    found = _scaled_lasso_solver.scaled_lasso(Z, y, 0.3)
    # The Lasso of strength 0.3 sigma with sigma at a millionth of the spread of 8.
    assert found.collapsed
    assert_allclose(found.coef, [0.0, 8.0 - 0.3 * 8e-6, 0.0], rtol=0.0, atol=1e-8)
    assert found.sigma == pytest.approx(0.3 * 8e-6, rel=1e-2)
    shifted = sparse.csr_array(Z + 3.0)
    found = _scaled_lasso_solver.scaled_lasso(shifted, y, 0.3)
    assert found.collapsed
    assert_allclose(found.residual, y - Z @ found.coef, rtol=0.0, atol=1e-12)


# Directions


def test_directions_are_measured_on_the_data():
    rng, X, _ = problem(2)
    Z, nodes = rng.standard_normal((20, 2)), np.array([3, 0])
    found = _nodewise._measured(X, Z, nodes, 0.25)
    assert found.Z is Z and found.violation == 0.25
    products = X.T @ Z
    assert_allclose(found.along, [products[3, 0], products[0, 1]])
    leak = [np.abs(np.delete(products[:, k], j)).max() for k, j in enumerate(nodes)]
    assert_allclose(found.leak, leak)
    alone = _nodewise._measured(X[:, :1], Z[:, :1], np.array([0]), 0.0)
    assert_array_equal(alone.leak, [0.0])
    exact = _nodewise.least_squares_directions(X, nodes)
    assert exact.violation == 0.0
    assert_allclose(exact.Z.T @ X, np.eye(5)[nodes], atol=1e-12)


# Selections


def test_ends_are_where_a_sign_would_change():
    rng = np.random.default_rng(0)
    for _ in range(20):
        beta = rng.standard_normal(4)
        G = rng.standard_normal((4, 6))
        G = G @ G.T
        weights = np.array([1.0, 0.5, 0.0, 2.0])
        below, above = _selective.cut_off(beta, np.sign(beta), weights, G)
        for j in range(4):
            # Along the line of t_j, coefficients move by G_.j / G_jj a unit.
            moves = np.array([-1.0, 1.0])[:, None] * G[:, j] / G[j, j]
            for move, found in zip(moves, (below[j], above[j]), strict=True):
                falling = (np.sign(move) == -np.sign(beta)) & (weights > 0)
                steps = np.abs(beta[falling] / move[falling])
                assert found == pytest.approx(steps.min(initial=np.inf))


@pytest.mark.parametrize("level", [0.02, 0.3, 5.0])
def test_the_gap_of_a_selection_is_that_of_its_lasso(level):
    for seed in range(4):
        rng, X, y = problem(seed)
        coef = rng.standard_normal(5) * 0.1
        coef[1] = coef[2] = 0.0
        weights = np.array([1.0, np.inf, 0.5, 2.0, 0.0 if seed % 2 else 1.0])
        residual = y - X @ coef
        correlations = X.T @ residual / 20
        gap, slack = _selective._gap(y, residual, coef, correlations, level, weights)
        finite = np.where(np.isinf(weights), 0.0, weights)
        primal = 0.5 * (residual**2).mean() + level * finite @ np.abs(coef)
        bounded = np.isfinite(weights) & (weights > 0)
        ratio = np.abs(correlations[bounded]) / (level * weights[bounded])
        theta = residual * min(1.0, 1.0 / ratio.max())
        dual = theta @ y / 20 - 0.5 * (theta**2).mean()
        unpaid = abs(correlations[4] * coef[4]) if weights[4] == 0.0 else 0.0
        expected = max(primal - dual, 0.0) + unpaid
        square = (y**2).mean()
        assert gap == pytest.approx(expected / square, rel=1e-10)
        allowance = rounding(20 + 3 + 8, 4.0 * square)
        assert slack == pytest.approx(expected + allowance, rel=1e-12)
        assert slack > expected
        assert_allclose(slack - gap * square, allowance, rtol=0.05)
    none = np.zeros(20)
    found = _selective._gap(none, none, np.zeros(5), np.zeros(5), 1.0, np.ones(5))
    assert found == (0.0, rounding(28, 0.0))


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_a_selection_is_decided_beyond_the_reach_of_its_gap(container, shift):
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((20, 4))
    Z = np.linalg.qr(Z - Z.mean(axis=0))[0] * np.array([1.0, 2.0, 3.0, 4.0]) + shift
    G, features = np.diag([1.0, 0.25, 1.0 / 9.0]), np.array([0, 1, 2])
    slack, means = 1e-6, np.full(4, shift)
    off = np.sqrt(2 * 20 * slack)  # of the fit, in the norm
    given = object.__new__(_selective._Selection)
    given.gap = slack

    def is_refused(coef, correlation=0.0, levels=(1.0, 1.0, 1.0, 1.0)):
        coef, correlations = np.append(coef, 0.0), np.append(np.ones(3), correlation)
        arguments = coef, correlations, np.array(levels), slack, G, features, str
        try:
            given._refuse_undecided(container(Z), means, *arguments)
        except ValueError as error:
            return str(error).split("feature ")[1].split(" ")[0]
        return None

    far = np.array([5.0, -5.0, 5.0]) * off
    assert is_refused(far) is None
    for j in range(3):  # a coefficient moves by at most sqrt(G_jj) off
        for share, answer in ((0.9, str(j)), (1.1, None)):
            coef = far.copy()
            coef[j] = -share * np.sqrt(G[j, j]) * off
            assert is_refused(coef) == answer
        free = np.ones(4)
        free[j] = 0.0  # an unpenalized one stays, however small
        coef[j] = 1e-9
        assert is_refused(coef, levels=free) is None
    for share, answer in ((0.9, "3"), (1.1, None)):  # and a correlation by 4 off / n
        for sign in (-1.0, 1.0):
            near = sign * (1.0 - share * 4.0 * off / 20)
            assert is_refused(far, near) == answer
            assert is_refused(far, near, (1.0, 1.0, 1.0, np.inf)) is None


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_errors_of_a_selection_are_those_of_least_squares(fit_intercept):
    _, X, y = problem(0, n=40)
    y += 3.0 * X[:, 1] - 2.0 * X[:, 3]
    weights, arguments = np.ones(5), (fit_intercept, str)
    found = _selective._Selection(X, y, 0.3, weights, *arguments)
    part = X[:, found.features]
    if fit_intercept:
        part, y = part - part.mean(axis=0), y - y.mean()
    G = np.linalg.inv(part.T @ part)
    assert 1 < len(found.features) < 5
    assert_allclose(found.roots, np.sqrt(np.diag(G)), rtol=1e-10)
    ols = G @ part.T @ y
    assert_allclose(found.estimates, ols, rtol=1e-9)
    signs = np.sign(ols)
    shrunk = ols - 40 * 0.3 * G @ signs
    assert_allclose(found.lasso_coef[found.features], shrunk, rtol=1e-8)
