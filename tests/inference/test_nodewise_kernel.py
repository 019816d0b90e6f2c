"""The kernel of nodewise regressions against formulas on small dense data."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsestat.inference import _kernels_nodewise as kernels


def gram(seed, n=30, p=5, shared=0.6):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + shared * rng.standard_normal((n, 1))
    X -= X.mean(axis=0)
    X *= np.linspace(1.0, 2.0, p)
    return rng, X, X.T @ X / n


@pytest.mark.parametrize("only_active", [False, True])
def test_a_cycle_leaves_each_coordinate_at_its_best(only_active):
    _, X, G = gram(0)
    start = np.array([0.5, 0.0, -0.4, 0.0, 0.3])
    start[1] = 0.0
    g, j, lam = start.copy(), 1, 0.3
    c = X.T @ (X[:, j] - X @ g) / 30
    moved = kernels._sweep(G, j, g, c, lam, only_active)
    now, changes = start.copy(), []
    for k in range(5):
        if k == j or (only_active and start[k] == 0.0):
            continue
        rest = X[:, j] - X @ np.where(np.arange(5) == k, 0.0, now)
        target = X[:, k] @ rest / 30
        now[k] = np.sign(target) * max(abs(target) - lam, 0.0) / G[k, k]
        changes.append(abs(now[k] - start[k]) * G[k, k])
    assert_allclose(g, now, atol=1e-12)
    assert_allclose(c, X.T @ (X[:, j] - X @ g) / 30, atol=1e-12)
    assert_allclose(moved, max(changes))
    assert g[1] == 0.0 and (g[[0, 2, 4]] != 0).any()


def test_correlations_are_those_with_the_residual():
    _, X, G = gram(1)
    g, c = np.array([0.5, 0.0, -0.4, 0.0, 0.3]), np.full(5, np.nan)
    kernels._correlate(G, 3, g, c)
    assert_allclose(c, X.T @ (X[:, 3] - X @ g) / 30, atol=1e-12)


def test_newton_steps_end_at_the_optimum_of_the_support():
    dropped = set()
    for seed in range(10):
        rng, X, G = gram(seed)
        start, j, lam = rng.standard_normal(5), seed % 5, 0.1
        if seed > 5:  # signs that the optimum has
            start[np.arange(5) != j] = np.linalg.lstsq(np.delete(X, j, 1), X[:, j])[0]
        start[j] = 0.0
        g = start.copy()
        kernels._newton(G, j, g, lam)
        # What stays keeps its sign and is at its best; nothing enters.
        on = np.flatnonzero(g)
        assert (np.sign(g[on]) == np.sign(start[on])).all()
        pulls = X.T @ (X[:, j] - X @ g) / 30
        assert_allclose(pulls[on], lam * np.sign(g[on]), atol=1e-10)

        def value(g, X=X, j=j, lam=lam):
            return 0.5 * ((X[:, j] - X @ g) ** 2).mean() + lam * np.abs(g).sum()

        assert value(g) <= value(start)
        dropped.add(len(on) < 4)
    assert dropped == {False, True}


def test_newton_steps_leave_dependent_columns_alone():
    _, X, _ = gram(0)
    X[:, 2] = X[:, 1]
    g = np.array([0.0, 0.2, 0.2, 0.0, 0.0])
    kernels._newton(X.T @ X / 30, 0, g, 0.1)
    assert_array_equal(g, [0.0, 0.2, 0.2, 0.0, 0.0])


def optimum(X, j, strength):
    """Return the scaled Lasso of a column by plain fixed points of long descents."""
    n, p = X.shape
    g, level = np.zeros(p), np.sqrt((X[:, j] ** 2).mean())
    for _ in range(200):
        lam = strength * level
        for _ in range(60):
            for k in range(p):
                if k != j:
                    rest = X[:, j] - X @ np.where(np.arange(p) == k, 0.0, g)
                    target = X[:, k] @ rest / n
                    square = (X[:, k] ** 2).mean()
                    g[k] = np.sign(target) * max(abs(target) - lam, 0.0) / square
        new = np.sqrt(((X[:, j] - X @ g) ** 2).mean())
        if abs(new - level) <= 1e-13 * new:
            break
        level = new
    return g, level


@pytest.mark.parametrize("shared", [0.6, 4.0])
def test_nodes_are_scaled_lassos_with_the_violation_they_have(shared):
    _, X, G = gram(2, p=4, shared=shared)
    nodes = np.array([3, 0])
    for tol in (1e-9, 1e-2):
        coefs, violations = np.full((2, 4), np.nan), np.full(2, np.nan)
        kernels.nodewise(G, nodes, 0.15, tol, 20_000, coefs, violations)
        for row, j in enumerate(nodes):
            g = coefs[row]
            assert g[j] == 0.0
            if tol == 1e-9:
                best, _ = optimum(X, j, 0.15)
                assert_allclose(g, best, atol=1e-6)
            r = X[:, j] - X @ g
            lam, pulls = 0.15 * np.sqrt((r**2).mean()), X.T @ r / 30
            off = np.where(
                g != 0, np.abs(pulls - lam * np.sign(g)), np.abs(pulls) - lam
            )
            worst = max(np.delete(off, j).max(), 0.0) / lam
            # The level is that of the coefficients to the last bit.
            assert_allclose(violations[row], worst, rtol=1e-6, atol=1e-12)
            assert worst <= 10.0 * tol


def test_nodes_that_others_explain_and_sweeps_that_end():
    _, X, _ = gram(3, p=3)
    X[:, 2] = X[:, 0] + X[:, 1]
    coefs, violations = np.zeros((1, 3)), np.zeros(1)
    kernels.nodewise(X.T @ X / 30, np.array([2]), 1e-7, 1e-9, 3000, coefs, violations)
    assert np.isinf(violations[0])
    _, X, G = gram(3, p=4, shared=4.0)
    kernels.nodewise(G, np.array([0]), 0.01, 1e-12, 1, np.zeros((1, 4)), violations)
    assert 1e-3 < violations[0] < np.inf
    kernels.nodewise(G, np.array([0]), 0.01, 1e-12, 0, np.zeros((1, 4)), violations)
    assert np.isinf(violations[0])
