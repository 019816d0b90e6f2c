"""Kernels of paths on sparse columns, one by one, against formulas on dense data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat.linear_model._penalized import _kernels_csc_path as kernels

# Dropped features have infinite strengths, and kernels say nothing of 0 * inf.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value")


def problem(seed, positive=False, n=12, p=6):
    """Sparse columns scaled by roots of weights, and what they are when centered."""
    rng = np.random.default_rng(seed)
    s = np.sqrt(rng.uniform(0.5, 2.0, n))
    X = (rng.standard_normal((n, p)) + 1.0) * (rng.random((n, p)) < 0.6)
    V = sparse.csc_array(s[:, None] * X)
    total = s @ s
    mean = V.T @ s / total
    y = s * rng.standard_normal(n)
    y -= s * (s @ y) / total
    w = np.where(rng.random(p) < 0.6, rng.standard_normal(p), 0.0)
    w[0] = 0.4
    return SimpleNamespace(
        rng=rng,
        s=s,
        V=V,
        A=V.toarray() - np.outer(s, mean),
        columns=(V.indptr, V.indices, V.data, mean),
        mean=mean,
        total=total,
        y=y,
        w=np.abs(w) if positive else w,
        lam=rng.uniform(0.5, 2.0, p),
        l2=rng.uniform(0.5, 2.0, p),
    )


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.3, 30.0])
@pytest.mark.parametrize("strength", [0.01, 0.7, 5.0, 100.0])
def test_the_gap_is_that_of_the_definitions(strength, ridge, positive):
    better = set()
    for seed in range(12):
        d = problem(seed, positive)
        A, y, w, lam, l2 = d.A, d.y, d.w, d.lam, d.l2
        if seed >= 8:  # near the optimum of a small ridge
            w = np.linalg.solve(A.T @ A + 0.1 * np.eye(6), A.T @ y)
            w = np.maximum(w, 0.0) if positive else w
        lam[(w == 0.0) & (np.arange(6) == 5)] = np.inf
        r = y - A @ w
        q, norms, slip = A.T @ r, np.sqrt((A * A).sum(axis=0)), 0.3
        found = kernels._gap(
            lam, l2, strength, ridge, w, q, norms, 6, r @ r, y @ r, slip, positive
        )
        used = np.where(w != 0, lam, 0.0)
        value = 0.5 * r @ r + strength * used @ np.abs(w) + 0.5 * ridge * l2 @ w**2
        # The ridge stands in rows of its own, below A and y.
        R = np.concatenate([r, -np.sqrt(ridge * l2) * w])
        pull = q - ridge * l2 * w
        pull = np.maximum(pull, 0.0) if positive else np.abs(pull)
        most = (strength * lam[pull > 0] / pull[pull > 0]).min(initial=np.inf)
        scale = min(max(y @ r / (R @ R), 0.0), most)
        dual, error = scale * (y @ r) - 0.5 * scale**2 * (R @ R), 0.0
        if ridge > 0.0:
            over = (q if positive else np.abs(q)) - strength * lam
            kept = np.maximum(over, 0.0)
            soft = y @ r - 0.5 * r @ r - 0.5 * (kept**2 / (ridge * l2)).sum()
            better.add(soft > dual)
            if soft > dual:
                reach = slip * norms
                far = over + reach > 0.0
                dual = soft
                error = ((over + reach) * reach / (ridge * l2))[far].sum()
        assert_allclose(found, (value - dual, value, scale, error), atol=1e-11)
    assert ridge == 0.0 or strength == 100.0 or better


def test_gaps_where_nothing_limits_or_nothing_is_left():
    one, none = np.ones(1), np.zeros(1)

    def gap(w, q, residual, target_dot, ridge=0.0, m=1, lam=one, slip=0.0):
        return kernels._gap(
            lam, one, 2.0, ridge, w, q, one, m, residual, target_dot, slip, False
        )

    assert gap(none, none, 3.0, 3.0) == (0.0, 1.5, 1.0, 0.0)
    assert gap(none, none, 0.0, 0.0) == (0.0, 0.0, 0.0, 0.0)
    assert gap(one, one, 1.0, -1.0) == (2.5, 2.5, 0.0, 0.0)  # not a negative scaling
    # Only what lies before m counts; features at zero carry no penalty.
    assert gap(50.0 * one, 50.0 * one, 3.0, 3.0, m=0) == (0.0, 1.5, 1.0, 0.0)
    assert gap(none, none, 3.0, 3.0, lam=np.full(1, np.inf)) == (0.0, 1.5, 1.0, 0.0)
    # Of a ridge: what is over, and what rounding may put over.
    found = gap(none, 4.0 * one, 9.0, 9.0, ridge=0.5)
    scaled, soft = 4.5 - 0.125 * 9.0, 4.5 - 4.0
    assert found == (4.5 - max(scaled, soft), 4.5, 0.5, 0.0)
    found = gap(none, 2.5 * one, 9.0, 9.0, ridge=2.0, slip=0.25)
    assert_allclose(found, (0.0625, 4.5, 0.8, 0.75 * 0.25 / 2.0))
    assert_allclose(gap(none, 2.5 * one, 9.0, 9.0, 2.0), (0.0625, 4.5, 0.8, 0.0))
    # Not over yet, but within reach.
    found = gap(one, 1.5 * one, 9.0, 9.0, ridge=0.5, slip=1.0)
    assert_allclose(found, (2.0 + 0.25, 6.75, 9.0 / 9.5, 0.5 / 0.5))
    found = gap(np.full(1, -0.5), 1.75 * one, 9.0, 9.0, ridge=0.5, slip=0.5)
    assert_allclose(found[:2], (1.0 + 0.0625, 5.5625))
    assert_allclose(found[3], 0.25 * 0.5 / 0.5)
    # A tie is no gain: then the error is not that of the soft value.
    assert gap(none, none, 9.0, 9.0, ridge=0.5, slip=4.0) == (0.0, 4.5, 1.0, 0.0)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_a_cycle_minimizes_over_one_coordinate_after_the_other(ridge, positive):
    zeros = set()
    for seed in range(6):
        d = problem(seed, positive)
        w, strength, beta = d.w.copy(), 1.2, 0.7
        square = (d.A * d.A).sum(axis=0)
        u = d.y - d.A @ w - beta * d.s
        moved, after = kernels._sweep(
            *d.columns, w, square, d.lam, d.l2, u, beta, d.total, strength, ridge, 5,
            positive,
        )  # fmt: skip
        expected = d.w.copy()
        for a in range(5):  # the sixth is behind the end of the list
            rest = d.y - d.A @ expected + d.A[:, a] * expected[a]
            z = d.A[:, a] @ rest
            size = max((z if positive else abs(z)) - strength * d.lam[a], 0.0)
            expected[a] = np.sign(z) * size / (square[a] + ridge * d.l2[a])
        assert_allclose(w, expected, atol=1e-12)
        assert_allclose(u + after * d.s, d.y - d.A @ w, atol=1e-12)
        assert_allclose(moved, square @ (w - d.w) ** 2)
        zeros |= set((w[:5] == 0.0).tolist())
    assert zeros == {False, True}
    # What fits already is shrunk, whatever its size.
    for old in (1.0, 2.0):
        d = problem(0)
        w, square = np.array([old, 0.0, 0.0, 0.0, 0.0, 0.0]), (d.A * d.A).sum(axis=0)
        kernels._sweep(
            *d.columns, w, square, d.lam, d.l2, np.zeros(12), 0.0, d.total, 0.1, ridge,
            1, positive,
        )  # fmt: skip
        expected = (square[0] * old - 0.1 * d.lam[0]) / (square[0] + ridge * d.l2[0])
        assert_allclose(w[0], expected, rtol=1e-12)


def test_products_and_images_are_those_of_centered_columns():
    d = problem(1)
    r = d.y - d.A @ d.w
    index, beta = np.array([4, 0, 3, 9, 9, 9]), -0.6
    out = np.full(6, np.nan)
    kernels._products(*d.columns, r - beta * d.s, beta, d.total, index, 3, out)
    assert_allclose(out[:3], d.A[:, index[:3]].T @ r, atol=1e-12)
    assert np.isnan(out[3:]).all()
    step, image = np.array([0.5, -2.0, 3.0, 9.0, 9.0, 9.0]), np.full(12, np.nan)
    shift = kernels._image(*d.columns, step, index, 3, image)
    assert_allclose(image + shift * d.s, d.A[:, index[:3]] @ step[:3], atol=1e-12)
    out = np.full(6, np.nan)
    v = d.rng.standard_normal(12)  # not centered
    kernels._all_products(d.V.data, d.V.indices, d.V.indptr, d.mean, d.s, v, out)
    assert_allclose(out, d.A.T @ v, atol=1e-12)


def test_residuals_are_computed_afresh():
    for seed in range(3):
        d = problem(seed)
        w, out = d.w.copy(), np.full(12, np.nan)
        w[5] = 7.0  # behind the end of the list
        square, target_dot = kernels._residual(d.y, d.s, *d.columns, w, 5, out)
        r = d.y - d.A[:, :5] @ w[:5]
        assert_allclose(out, r, atol=1e-12)
        assert_allclose((square, target_dot), (r @ r, r @ d.y), atol=1e-12)


def step_of(H, diagonal, slope, most):
    """Return the maximizer of the model on the Krylov space that most steps span.

    Fewer steps are made if the residual has fallen to a share of 0.03.
    """
    x, first = np.zeros(len(slope)), slope @ (slope / diagonal)
    basis = [slope / diagonal]
    for _ in range(most):
        K = np.linalg.qr(np.column_stack(basis))[0]
        x = K @ np.linalg.solve(K.T @ H @ K, K.T @ slope)
        r = slope - H @ x
        if r @ (r / diagonal) <= 0.03**2 * first:
            break
        basis.append(H @ K[:, -1] / diagonal)
    return x


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_newton_steps_go_as_far_as_conjugate_gradients_do(ridge):
    clipped, shorter = set(), set()
    for seed in range(60):
        most = (0, 1, 2, 3, 40)[seed % 5]
        d = problem(seed)
        if seed >= 30:  # near the optimum
            d.w = np.linalg.solve(d.A.T @ d.A + 0.1 * np.eye(6), d.A.T @ d.y)
        w, beta, strength = d.w.copy(), 0.7, 0.4
        r = d.y - d.A @ w
        q, square = d.A.T @ r, (d.A * d.A).sum(axis=0)
        u, image = r - beta * d.s, np.empty(12)
        moved, after = kernels._newton(
            *d.columns, w, q, square, d.lam, d.l2, u, beta, d.total, strength, ridge,
            6, np.empty(6, np.int64), np.empty((5, 6)), image, most,
        )  # fmt: skip
        on = np.flatnonzero(d.w)
        old, extra = d.w[on], ridge * d.l2[on]
        H = d.A[:, on].T @ d.A[:, on] + np.diag(extra)
        slope = q[on] - strength * d.lam[on] * np.sign(old) - extra * old
        x = step_of(H, square[on] + extra, slope, most)
        crossed = (old + x) * old <= 0.0
        x[crossed] = -old[crossed]
        ascent, curvature = slope @ x, x @ H @ x
        assert moved == (ascent > 0.0)
        assert_allclose(u + after * d.s, d.y - d.A @ w, atol=1e-10)
        if not moved:
            assert_array_equal(w, d.w)
            assert after == beta
            continue
        length = min(1.0, ascent / curvature)
        assert_allclose(w[on], old + length * x, atol=1e-9)
        whole = length == 1.0
        assert np.count_nonzero(w) == len(on) - (crossed.sum() if whole else 0)
        clipped.add(bool(crossed.any()))
        shorter.add(length < 0.99)
    assert clipped == shorter == {False, True}


def test_newton_steps_on_nothing_or_at_the_optimum():
    d = problem(0)
    square = (d.A * d.A).sum(axis=0)
    rest = d.total, 0.5, 0.0, 6, np.empty(6, np.int64), np.empty((5, 6)), np.empty(12)
    none, u = np.zeros(6), d.y.copy()
    q = d.A.T @ d.y
    found = kernels._newton(
        *d.columns, none, q, square, d.lam, d.l2, u, 0.25, *rest, 40
    )
    assert found == (False, 0.25) and not none.any()
    signs = np.array([1.0, -1.0, 1.0, 0.0, 0.0, 0.0])
    found = kernels._newton(
        *d.columns, signs.copy(), 0.5 * d.lam * signs, square, d.lam, d.l2, u, 0.25,
        *rest, 40,
    )  # fmt: skip
    assert found == (False, 0.25)
    assert_array_equal(u, d.y)
