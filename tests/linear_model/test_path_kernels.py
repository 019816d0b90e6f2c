"""Kernels of whole paths, one by one, against formulas on small dense data."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq, minimize_scalar

from sparsestat.linear_model._penalized import (
    _datafits,
    _kernels_concave_path,
    _kernels_group_path,
    _kernels_likelihood,
    _kernels_likelihood_fit,
    _kernels_path,
)
from sparsestat.linear_model._penalized import _kernels_entry as entry
from sparsestat.linear_model._penalized._likelihood_path import loss_code
from sparsestat.linear_model._penalized._penalties import ConcavePenalty
from tests.linear_model.penalty_oracles import concave_slope, concave_value

# Dropped features have infinite strengths, and kernels say nothing of 0 * inf.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value")


def problem(seed, n=12, p=6):
    rng = np.random.default_rng(seed)
    A, y = rng.standard_normal((n, p)), rng.standard_normal(n)
    w = np.where(rng.random(p) < 0.6, rng.standard_normal(p), 0.0)
    w[0] = 0.4
    return rng, A, y, w


# The elastic net


def dual_value(A, y, w, lam, ridge, positive, multiple=None):
    """Return the best value of a scaled residual, and the scaling.

    The ridge stands in rows of its own, below A and y.
    """
    extended = np.vstack([A, np.diag(np.sqrt(ridge))])
    target = np.concatenate([y, np.zeros(len(w))])
    r = target - extended @ w
    q = extended.T @ r
    q = np.maximum(q, 0.0) if positive else np.abs(q)
    most = (lam[q > 0] / q[q > 0]).min(initial=np.inf)
    best = min(max(target @ r / (r @ r), 0.0), most)
    return best * (target @ r) - 0.5 * best**2 * (r @ r), best


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.3, 30.0])
@pytest.mark.parametrize("strength", [0.01, 0.7, 5.0, 100.0])
def test_the_gap_of_moments_is_that_of_rows(strength, ridge, positive):
    better = set()
    for seed in range(12):
        rng, A, y, w = problem(seed)
        w = np.abs(w) if positive else w
        if seed >= 8:  # near the optimum of a small ridge
            w = np.linalg.solve(A.T @ A + 0.1 * np.eye(6), A.T @ y)
            w = np.maximum(w, 0.0) if positive else w
        lam, l2 = rng.uniform(0.5, 2.0, 6), rng.uniform(0.5, 2.0, 6)
        r = y - A @ w
        c, q, d = A.T @ y, A.T @ r, (A * A).sum(axis=0)
        lam[(w == 0.0) & (np.arange(6) == 5)] = np.inf
        found = _kernels_path._gap(
            lam, l2, strength, ridge, w, q, c, d, y @ y, 6, positive
        )
        used = np.where(w != 0, lam, 0.0)
        value = 0.5 * r @ r + strength * used @ np.abs(w)
        value += 0.5 * ridge * l2 @ w**2
        dual, scale = dual_value(A, y, w, strength * lam, ridge * l2, positive)
        slope = 0.0
        if ridge > 0.0:
            over = np.maximum((q if positive else np.abs(q)) - strength * lam, 0.0)
            soft = y @ r - 0.5 * r @ r - 0.5 * (over**2 / (ridge * l2)).sum()
            if soft > dual:
                dual, slope = soft, (over * np.sqrt(d) / (ridge * l2)).sum()
            better.add(soft > dual)
        assert_allclose(found, (value - dual, value, scale, slope), atol=1e-11)


def test_gaps_where_the_residual_is_rounding_or_nothing():
    one, none = np.ones(1), np.zeros(1)
    small = np.full(1, 1e-3)  # y'r = 0 and w'q > 0: the square would be negative
    for positive in (False, True):
        found = _kernels_path._gap(
            one, one, 2.0, 0.0, one, small, one, one, 1.0, 1, positive
        )
        assert_allclose(found, (2.0, 2.0, 0.0, 0.0))
    # No correlation limits the scaling; nothing to fit has no gap.
    found = _kernels_path._gap(one, one, 2.0, 0.0, none, none, none, one, 3.0, 1, False)
    assert_allclose(found, (0.0, 1.5, 1.0, 0.0))
    found = _kernels_path._gap(one, one, 2.0, 0.5, none, none, none, one, 0.0, 1, False)
    assert_allclose(found, (0.0, 0.0, 0.0, 0.0))
    # Only what lies before m counts.
    many = np.full(3, 50.0)
    found = _kernels_path._gap(
        many, many, 2.0, 0.0, many, many, many, many, 3.0, 0, False
    )
    assert_allclose(found, (0.0, 1.5, 1.0, 0.0))


def test_thresholds():
    cases = [(3.0, 2.0), (1.0, 0.0), (0.5, 0.0), (-1.0, 0.0), (-3.0, -2.0)]
    for z, expected in cases:
        assert _kernels_path._soft(z, 1.0, False) == expected
        assert _kernels_path._soft(z, 1.0, True) == max(expected, 0.0)


def test_products_are_those_with_the_residual():
    _, A, y, _ = problem(0)
    order, w = np.array([4, 0, 3, 1, 2, 5]), np.array([-1.0, -0.3, 9.0, 0.0, 0.5, 9.0])
    inside = w[order]
    inside[4:] = 0.0
    full = np.zeros(6)
    full[order] = inside
    inside[4:] = 7.0  # behind m
    q = np.full(6, np.nan)
    _kernels_path._products(A.T @ A, A.T @ y, order, inside, 4, q)
    assert_allclose(q, A.T @ (y - A @ full), atol=1e-12)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_a_cycle_minimizes_over_one_coordinate_after_the_other(positive, ridge):
    rng, A, y, w = problem(1)
    w = np.abs(w) if positive else w
    lam, l2 = rng.uniform(0.5, 2.0, 6), rng.uniform(0.5, 2.0, 6)
    G, strength = A.T @ A, 1.5
    found, q = w.copy(), A.T @ (y - A @ w)
    moved = _kernels_path._sweep(
        G, found, q, np.diag(G).copy(), lam, l2, strength, ridge, 6, positive
    )
    expected = w.copy()
    for a in range(6):
        rest = y - A @ np.where(np.arange(6) == a, 0.0, expected)
        best = minimize_scalar(
            lambda t, a=a, rest=rest: (
                0.5 * ((rest - A[:, a] * t) ** 2).sum()
                + strength * lam[a] * abs(t)
                + 0.5 * ridge * l2[a] * t * t
            ),
            bounds=(0.0 if positive else -9.0, 9.0),
            method="bounded",
            options={"xatol": 1e-11},
        )
        expected[a] = best.x
    assert_allclose(found, expected, atol=1e-5)
    assert (found == 0.0).any() and (found != w).any()
    assert_allclose(q, A.T @ (y - A @ found), atol=1e-12)
    assert_allclose(moved, (np.diag(G) * (found - w) ** 2).sum())


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_newton_steps_solve_or_stop_at_zero(ridge):
    stopped = set()
    for seed in range(8):
        rng, A, y, w = problem(seed)
        lam, l2 = rng.uniform(0.5, 2.0, 6), rng.uniform(0.5, 2.0, 6)
        G, found = A.T @ A, w.copy()
        q, L = A.T @ (y - A @ w), np.empty((6, 6))
        moved = _kernels_path._newton(
            G, found, q, lam, l2, 0.1, ridge, 6, L, np.empty(6, np.int64), np.empty(6)
        )
        assert moved
        on = np.flatnonzero(w)
        H = G[np.ix_(on, on)] + ridge * np.diag(l2[on])
        right = A[:, on].T @ y - 0.1 * lam[on] * np.sign(w[on])
        goal = np.linalg.solve(H, right)
        crossing = goal * w[on] <= 0.0
        shares = w[on][crossing] / (w[on] - goal)[crossing]
        length = shares.min(initial=1.0)
        assert_allclose(found[on], w[on] + length * (goal - w[on]), atol=1e-10)
        assert np.count_nonzero(found) == len(on) - crossing.any()
        assert_allclose(q, A.T @ (y - A @ found), atol=1e-10)
        stopped.add(bool(crossing.any()))
    assert stopped == {False, True}
    nothing = np.zeros(6)
    index, step = np.empty(6, np.int64), np.empty(6)
    assert not _kernels_path._newton(
        G, nothing, q, lam, l2, 0.1, ridge, 6, L, index, step
    )
    twice, pair = np.ones((2, 2)), np.ones(2)
    assert not _kernels_path._newton(
        twice, pair.copy(), pair, pair, pair, 0.1, 0.0, 2, L, index, step
    )
    twice[0, 0] += 1e-9  # no copy
    assert _kernels_path._newton(
        twice, pair.copy(), pair, pair, pair, 0.1, 0.0, 2, L, index, step
    )


# Groups

PTR = np.array([0, 2, 3, 6])


def grouped(seed):
    """Columns of which those of a group are orthogonal, as after a rotation."""
    rng, A, y, w = problem(seed)
    for begin, end in pairwise(PTR):
        Q = np.linalg.qr(A[:, begin:end])[0]
        A[:, begin:end] = Q * rng.uniform(0.5, 3.0, end - begin)
    return rng, A, y, w


def norms_of(w):
    return np.array([np.linalg.norm(part) for part in np.split(w, PTR[1:-1])])


@pytest.mark.parametrize("strength", [0.01, 0.5, 4.0, 100.0])
def test_the_gap_of_groups_is_that_of_rows(strength):
    for seed in range(8):
        rng, A, y, w = grouped(seed)
        if seed > 5:
            w = np.linalg.lstsq(A, y, rcond=None)[0]
        lam, r = rng.uniform(0.5, 2.0, 3), y - A @ w
        q = A.T @ r
        found = _kernels_group_path._gap(lam, strength, w, q, A.T @ y, y @ y, PTR, 3)
        value = 0.5 * r @ r + strength * lam @ norms_of(w)
        most = (strength * lam / norms_of(q)).min()
        scale = min(max(y @ r / (r @ r), 0.0), most)
        dual = scale * (y @ r) - 0.5 * scale**2 * (r @ r)
        assert_allclose(found, (value - dual, value, scale), rtol=1e-9, atol=1e-12)
    none, two = np.zeros(6), np.ones(3)
    found = _kernels_group_path._gap(two, 2.0, none, none, none, 3.0, PTR, 3)
    assert_allclose(found, (0.0, 1.5, 1.0))
    found = _kernels_group_path._gap(two, 2.0, none, none, none, 0.0, PTR, 3)
    assert_allclose(found, (0.0, 0.0, 0.0))
    one, small = np.ones(6), np.full(6, 1e-3)
    sizes = np.sqrt([2.0, 1.0, 3.0]).sum()
    found = _kernels_group_path._gap(two, 2.0, one, small, one, 6.0, PTR, 3)
    assert_allclose(found, (2.0 * sizes, 2.0 * sizes, 0.0))


def test_the_norm_of_a_group_is_the_root_of_its_equation():
    rng = np.random.default_rng(0)
    for _ in range(20):
        z, d = 3.0 * rng.standard_normal(5), rng.uniform(0.1, 4.0, 5)
        z[0] = d[0] = 100.0  # before the group
        if rng.random() < 0.3:  # a direction that the group does not have
            z[3] = d[3] = 0.0
        lam = rng.uniform(0.5, 2.0)
        found = _kernels_group_path._size(z, d, lam, 1, 4)
        length = np.sqrt((z[1:4] ** 2).sum())
        if length <= lam:
            assert found == 0.0
            continue

        def excess(t, z=z, d=d, lam=lam):
            return ((z[1:4] / (d[1:4] * t + lam)) ** 2).sum() - 1.0

        assert_allclose(found, brentq(excess, 0.0, 1e4, xtol=1e-14), rtol=1e-10)
    one = np.ones(2)
    assert _kernels_group_path._size(one, one, np.sqrt(2.0), 0, 2) == 0.0
    assert _kernels_group_path._size(one, np.zeros(2), 0.5, 0, 2) == 0.0
    assert_allclose(_kernels_group_path._norm(np.array([9.0, 3.0, 4.0, 9.0]), 1, 3), 5)


def test_a_cycle_minimizes_over_one_group_after_the_other():
    rng, A, y, w = grouped(2)
    lam, G = rng.uniform(0.5, 2.0, 3), A.T @ A
    found, q = w.copy(), A.T @ (y - A @ w)
    moved = _kernels_group_path._sweep(
        G, found, q, np.diag(G).copy(), lam, 0.4, PTR, 3, np.empty(6)
    )
    assert_allclose(q, A.T @ (y - A @ found), atol=1e-12)
    assert_allclose(moved, (np.diag(G) * (found - w) ** 2).sum())
    now = w.copy()
    for u in range(3):  # each group is at its optimum when it has been met
        part = slice(PTR[u], PTR[u + 1])
        now[part] = found[part]
        pull = A[:, part].T @ (y - A @ now)
        size = np.linalg.norm(now[part])
        if size > 0.0:
            assert_allclose(pull, 0.4 * lam[u] * now[part] / size, atol=1e-9)
        else:
            assert np.linalg.norm(pull) <= 0.4 * lam[u]
    assert found.any()


def test_newton_steps_of_groups_descend():
    lengths = set()
    for seed in range(10):
        rng, A, y, w = grouped(seed)
        w[2] = 0.0
        w *= 0.01 if seed % 2 else 1.0  # strongly bent there
        lam, G, strength = rng.uniform(0.5, 2.0, 3), A.T @ A, 0.5
        found, q = w.copy(), A.T @ (y - A @ w)
        arrays = np.empty(6, np.int64), np.empty(6, np.int64), np.empty(6), np.empty(6)
        on = np.flatnonzero(np.repeat(norms_of(w) > 0.0, np.diff(PTR)))
        own = np.repeat(np.arange(3), np.diff(PTR))

        def value(w, A=A, y=y, lam=lam, strength=strength):
            return 0.5 * ((y - A @ w) ** 2).sum() + strength * lam @ norms_of(w)

        H, g = G.copy(), -q.copy()
        for u in np.unique(own[on]):
            part = own == u
            unit, size = w[part] / norms_of(w)[u], norms_of(w)[u]
            g[part] += strength * lam[u] * unit
            H[np.ix_(part, part)] += (
                strength * lam[u] * (np.eye(part.sum()) - np.outer(unit, unit)) / size
            )
        step = np.zeros(6)
        step[on] = -np.linalg.solve(H[np.ix_(on, on)], g[on])
        shares = [0.5**k for k in range(12) if value(w + 0.5**k * step) < value(w)]
        moved = _kernels_group_path._newton(
            G, found, q, lam, strength, PTR, 3, np.empty((6, 6)), *arrays
        )
        assert moved
        assert_allclose(found, w + shares[0] * step, rtol=1e-8, atol=1e-10)
        assert_allclose(q, A.T @ (y - A @ found), atol=1e-10)
        lengths.add(shares[0])
    assert len(lengths) > 1
    again = found.copy()
    assert not _kernels_group_path._newton(
        G, np.zeros(6), q, lam, strength, PTR, 3, np.empty((6, 6)), *arrays
    )
    assert_array_equal(again, found)
    pair, L = np.ones(2), np.empty((2, 2))  # copies in groups of one
    small = pair.copy()
    assert not _kernels_group_path._newton(
        np.ones((2, 2)), small, pair, pair, 0.5, np.arange(3), 2, L, *arrays
    )
    assert_array_equal(small, pair)
    for share, moves in ((1e-9, True), (1e-15, False)):  # copies but for a share
        near = np.full((2, 2), 2.0**20)
        near[1, 1] *= 1.0 + share
        moved = _kernels_group_path._newton(
            near, pair.copy(), pair.copy(), pair, 0.5, np.arange(3), 2, L, *arrays
        )
        assert moved == moves


def test_newton_steps_of_groups_count_all_members():
    # Both columns of the only group are far along a step that overshoots in the second.
    rng, shares = np.random.default_rng(3), set()
    for _ in range(40):
        d, w, c = rng.uniform(0.1, 2.0, 2), rng.standard_normal(2), np.zeros(2)
        w[0] *= 0.05
        found, q, L = w.copy(), c - d * w, np.empty((2, 2))
        arrays = np.empty(2, np.int64), np.empty(2, np.int64), np.empty(2), np.empty(2)

        def value(w, d=d):
            return 0.5 * d @ w**2 + 3.0 * np.linalg.norm(w)

        size = np.linalg.norm(w)
        H = np.diag(d) + 3.0 * (np.eye(2) - np.outer(w, w) / size**2) / size
        step = np.linalg.solve(H, q - 3.0 * w / size)
        lengths = [0.5**k for k in range(12) if value(w + 0.5**k * step) < value(w)]
        assert _kernels_group_path._newton(
            np.diag(d), found, q, np.ones(1), 3.0, np.array([0, 2]), 1, L, *arrays
        )
        assert_allclose(found, w + lengths[0] * step, rtol=1e-8, atol=1e-10)
        shares.add(lengths[0])
    assert len(shares) > 2


# Likelihoods


def likelihood(loss, seed=0, n=14, p=5):
    rng = np.random.default_rng(seed)
    A, s = rng.standard_normal((p, n)), rng.uniform(0.5, 2.0, n)
    w = np.array([0.3, 0.0, -0.2, 0.0, 0.1])
    eta = 0.2 + w @ A
    y = (rng.random(n) < 0.5).astype(float)
    y[:2] = 0.0, 1.0
    datafit = _datafits.Logistic(y, s)
    if loss == "poisson":
        datafit = _datafits.Poisson(rng.poisson(2.0, n).astype(float), s)
    return rng, A, datafit, w, eta, datafit.gradient(eta)


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.2, 5.0])
@pytest.mark.parametrize("strength", [0.1, 1.0, 50.0])
def test_a_measure_is_the_gap_or_the_largest_violation(loss, positive, ridge, strength):
    rng, A, datafit, w, eta, g = likelihood(loss)
    w = np.abs(w) if positive else w
    lam, l2 = rng.uniform(0.5, 2.0, 5), rng.uniform(0.5, 2.0, 5)
    lam[3] = np.inf
    q, norms, objective = -A @ g, np.linalg.norm(A, axis=1), 100.0
    code, shape, _ = loss_code(datafit)
    arguments = (
        code, shape, datafit.y, datafit.weights, eta, g, q, w, norms, lam, l2, strength,
        ridge, positive,
    )  # fmt: skip
    found = _kernels_likelihood._measure(*arguments, True, objective)
    top = q if positive else np.abs(q)
    bounded = np.isfinite(lam)
    multiple = min(1.0, (strength * lam / np.maximum(top, 1e-300))[bounded].min())
    dual, slope = -datafit.conjugate(multiple * g), 0.0
    if ridge > 0.0:
        over = np.maximum(top - strength * lam, 0.0)
        soft = -datafit.conjugate(g) - 0.5 * (over**2 / (ridge * l2)).sum()
        if soft > dual:
            dual, multiple = soft, 1.0
            slope = (over * norms / (ridge * l2)).sum()
    assert_allclose(found, (objective - dual, dual, multiple, slope), rtol=1e-11)
    # Below the dual value there is no gap.
    assert _kernels_likelihood._measure(*arguments, True, dual - 1.0)[0] == 0.0
    found = _kernels_likelihood._measure(*arguments, False, objective)
    pull = np.where(w != 0, strength * lam * np.sign(w), 0.0)
    off = np.where(w != 0, np.abs(q - ridge * l2 * w - pull), top - strength * lam)
    assert_allclose(found, (off[bounded].max(initial=0.0), np.nan, 0.0, 0.0))


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.4])
@pytest.mark.parametrize("strength", [0.2, 3.0])
def test_what_a_model_lacks_is_its_first_order(positive, ridge, strength):
    rng, A, _, w, _, g = likelihood("logistic")
    w = np.abs(w) if positive else w
    lam, l2, q = rng.uniform(0.5, 2.0, 5), rng.uniform(0.5, 2.0, 5), -A @ g

    def bound(has_gap, unit=7.0, q=q):
        return _kernels_likelihood._bound(
            lam, l2, strength, ridge, w, q, 5, positive, has_gap, unit
        )

    top = q if positive else np.abs(q)
    over = np.maximum(top - strength * lam, 0.0)
    pull = strength * lam * np.sign(w)
    off = np.where(w != 0, np.abs(q - ridge * l2 * w - pull), over)
    assert_allclose(bound(False), off.max())
    slack = strength * lam @ np.abs(w) - q @ w
    if ridge > 0.0:
        slack += 0.5 * ridge * l2 @ w**2 + 0.5 * (over**2 / (ridge * l2)).sum()
    else:
        excess = max((top / (strength * lam)).max() - 1.0, 0.0)
        slack += excess * max(q @ w, 0.0) + min(excess**2, 1.0) * 7.0
    assert_allclose(bound(True), slack, rtol=1e-10, atol=1e-12)
    lam[3] = np.inf  # dropped
    penalty = _kernels_likelihood._penalty(lam, l2, strength, ridge, w, 5)
    lam[3] = 0.0
    expected = strength * lam @ np.abs(w) + 0.5 * ridge * l2 @ w**2
    assert_allclose(penalty, expected)


@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("shift", [False, True])
def test_gram_matrices_are_weighted_and_centered(start, shift, monkeypatch):
    monkeypatch.setattr(_kernels_likelihood, "_ROWS", 4)
    rng = np.random.default_rng(0)
    A, h, order = rng.standard_normal((6, 14)), rng.uniform(0.5, 2, 14), [3, 0, 5, 1]
    mean = A @ h / h.sum() if shift else np.zeros(6)
    B = (A - mean[:, None])[order] * np.sqrt(h)
    H, mu = np.full((5, 5), 9.0), np.full(5, 9.0)
    H[:start, :start], mu[:start] = (B @ B.T)[:start, :start], mean[order][:start]
    _kernels_likelihood._gram(
        A, np.array(order), start, 4, h, shift, mu, np.empty(14), np.empty(4096), H
    )
    assert_allclose(H[:4, :4], B @ B.T, rtol=1e-12)
    assert_allclose(mu[:4], mean[order], rtol=1e-12)
    assert (H[4] == 9.0).all() and mu[4] == 9.0


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
@pytest.mark.parametrize("far", [0.0, 3.0, -20.0])
def test_intercepts_are_settled(loss, far):
    _, _, datafit, _, eta, _ = likelihood(loss)
    code, shape, _ = loss_code(datafit)
    eta = eta + far
    g, h, before = datafit.gradient(eta), datafit.model_curvature(eta), eta.copy()
    shift = _kernels_likelihood._settle(
        code, shape, datafit.floor, datafit.y, datafit.weights,
        np.empty(0, np.int64), eta, g, h, 0.25,
    )  # fmt: skip
    assert_allclose(eta, before + shift - 0.25, rtol=1e-12, atol=1e-12)
    best = brentq(lambda t: datafit.gradient(before + t).sum(), -40.0, 40.0, xtol=1e-14)
    assert_allclose(shift - 0.25, best, rtol=1e-9, atol=1e-9)
    assert_allclose(g, datafit.gradient(eta), atol=1e-12)
    assert abs(g.sum()) <= 1e-11 * np.abs(g).sum()


def test_sums_of_vectors():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 7.0])
    A, q = np.arange(6.0).reshape(2, 3), np.empty(2)
    assert _kernels_likelihood._dot(a, b) == 35.0
    assert _kernels_likelihood._total(b) == 16.0
    _kernels_likelihood._correlate(A, b, q)
    assert_array_equal(q, [-19.0, -67.0])
    _kernels_likelihood._add(a, 2.0, b)
    assert_array_equal(a, [9.0, 12.0, 17.0])


def test_features_enter_where_they_move_or_where_a_line_says_that_they_will():
    strengths = np.array([8.0, 6.0, 3.0, 3.0, 2.0])
    # The step relative to the last one, and what expected slopes must exceed.
    looks = [entry.outlook(strengths, k, 0.25) for k in range(5)]
    assert looks[0] == (0.0, np.inf)
    assert looks[1] == (0.0, 4.0)  # the strong rule: 2 * 6 - 8
    assert looks[2] == (1.5, 3.0 - 0.25 * 3.0)
    assert looks[3] == (0.0, 3.0)
    assert looks[4] == (0.0, 2.0 - 0.25)  # after a step of nothing
    q, before, lam = 2.0, 1.0, 0.5
    # Above strength * lam it enters, on it and by rounding alone it does not.
    assert entry.enters(q, before, lam, 3.9, np.inf, 1.0, False)
    assert not entry.enters(q, before, lam, 4.0, np.inf, 1.0, False)
    assert not entry.enters(q * (1 + 2e-16), before, lam, 4.0, np.inf, 1.0, False)
    # The line comes to q + stride * (q - before) = 3.5.
    assert entry.enters(q, before, lam, 9.0, 6.9, 1.5, False)
    assert not entry.enters(q, before, lam, 9.0, 7.0, 1.5, False)
    # Coefficients of one sign: negative slopes never enter.
    for positive in (True, False):
        assert entry.enters(-q, -before, lam, 3.9, np.inf, 1.0, positive) != positive
        assert entry.enters(-q, -before, lam, 9.0, 6.9, 1.5, positive) != positive


# One strength of a likelihood


@pytest.mark.parametrize("with_shift", [False, True])
def test_models_of_single_fits_are_weighted_and_centered(with_shift):
    rng, A, _, _ = problem(3)
    h, order, m = rng.uniform(0.1, 2.0, 12), np.array([4, 0, 2, 1, 5, 3]), 4
    H, mu, t = np.full((5, 5), np.nan), np.full(6, np.nan), np.empty(12)
    columns = np.ascontiguousarray(A.T)
    _kernels_likelihood_fit._gram(columns, order, m, h, with_shift, mu, t, H)
    part = A[:, order[:m]]
    means = h @ part / h.sum() if with_shift else np.zeros(m)
    assert_allclose(mu[:m], means, atol=1e-14)
    assert_allclose(H[:m, :m], (part - means).T @ (h[:, None] * part), atol=1e-12)
    assert_array_equal(H[:m, :m], H[:m, :m].T)
    assert np.isnan(H[m]).all() and np.isnan(mu[m:]).all()


@pytest.mark.parametrize("positive", [False, True])
def test_single_fits_list_what_has_or_wants_a_coefficient(positive):
    q = np.array([1.5, -2.0, 4.0, 0.5, 1.0, 2.5])  # the first just not
    w = np.array([0.0, 0.0, 0.0, 0.25, 0.0, 0.0])
    norms, lam = np.array([1.0, 1, 1, 1, 1, 0]), np.array([1.0, 1, 2, 9, 0.5, 1])
    l2 = np.arange(6.0)
    order, parts = np.full(6, -1), np.full((4, 6), np.nan)
    m = _kernels_likelihood_fit._choose(
        q, w, norms, lam, l2, 1.5, positive, order, *parts
    )
    # Above level * lam: the second by its size, the third and fifth; not the last, of
    # which nothing varies. The fourth is in.
    expected = [2, 3, 4] if positive else [1, 2, 3, 4]
    assert m == len(expected) and order[:m].tolist() == expected
    for part, values in zip(parts, (w, q, lam, l2), strict=True):
        assert_array_equal(part[:m], values[expected])


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_models_of_single_fits_come_down_to_their_minimum(ridge):
    rng, A, y, _ = problem(4)
    A = A + 2.0 * rng.standard_normal((12, 1))
    H, lam, l2 = A.T @ A, rng.uniform(0.5, 2.0, 6), rng.uniform(0.5, 2.0, 6)
    work = np.zeros((6, 6)), np.zeros(6, np.int64), np.zeros(6)

    def minimize(goal, most):
        v, r = np.zeros(6), A.T @ y
        sweeps = _kernels_likelihood_fit._minimize(
            H, v, r, np.diag(H).copy(), lam, l2, 0.2, ridge, 6, False, goal, most, *work
        )
        return sweeps, v, r

    sweeps, v, r = minimize(1e-22, 100_000)
    assert 1 < sweeps < 100  # by Newton steps, without which it takes many more
    assert_allclose(r, A.T @ (y - A @ v), atol=1e-9)
    slope = r - ridge * l2 * v
    assert_allclose(slope[v != 0], (0.2 * lam * np.sign(v))[v != 0], atol=1e-8)
    assert (np.abs(slope) <= 0.2 * lam + 1e-8).all() and v.any()
    assert minimize(np.inf, 100)[0] == 1
    assert [minimize(-1.0, most)[0] for most in (1, 3, 5)] == [1, 3, 5]
    assert minimize(-1.0, 0)[0] == 0


# MCP and SCAD

SHAPES = {"mcp": (1.7, np.inf), "scad": (2.6, np.inf)}
kinds = pytest.mark.parametrize("kind", list(SHAPES))


def concave(kind, shape, squares, positive=False, omega=None):
    """Return a penalty of strength one."""
    return ConcavePenalty(
        kind, 1.0, shape, squares, 1.0, positive=positive, feature_weights=omega
    )


@kinds
def test_pieces_of_concave_penalties_are_those_of_the_textbook(kind):
    shape, square, strength = SHAPES[kind][0], 2.25, 0.3
    penalty = concave(kind, shape, np.full(1, square))
    code, kappa, scale = penalty.code, penalty.kappa[0], np.sqrt(square)
    kinks = strength / square * np.array([1.0, shape])
    sizes = np.r_[kinks, kinks * 0.999, kinks * 1.001, 1e-9, 0.5 * kinks.sum(), 50.0]
    kernels = _kernels_concave_path
    for t in sizes:
        found = kernels._value(code, shape, t, strength, kappa)
        # A feature of that scale: the textbook has it standardized.
        expected = concave_value(kind, t * scale, strength / scale, shape)
        assert_allclose(found, expected, rtol=1e-12)
        slope, bends = kernels._slope(code, shape, t, strength, kappa)
        expected = scale * concave_slope(kind, t * scale, strength / scale, shape)
        assert_allclose(slope, expected, atol=1e-14)
        if t not in kinks:
            low, high = (0.0 if kind == "mcp" else kinks[0]), kinks[1]
            assert bends == (low < t < high)
    if kind == "scad":  # the slope is the strength up to the first kink
        assert kernels._slope(code, shape, strength / kappa / 1.6, strength, kappa) == (
            strength,
            False,
        )
    # Without concavity it is the absolute value, without a strength nothing.
    for t in (0.1, 50.0):
        assert kernels._value(code, 3.0, t, strength, 0.0) == strength * t
        assert kernels._slope(code, 3.0, t, strength, 0.0) == (strength, False)
        assert kernels._value(code, 3.0, t, 0.0, 0.0) == 0.0
        assert kernels._slope(code, 3.0, t, 0.0, 0.0) == (0.0, False)


@kinds
@pytest.mark.parametrize("positive", [False, True])
def test_violations_are_distances_to_the_subdifferential(kind, positive):
    shape, strength = SHAPES[kind][0], 0.4
    for seed in range(12):
        rng, A, y, w = problem(seed)
        w = (np.abs(w) if positive else w) * 10.0 ** rng.uniform(-2, 1, 6)
        squares = (A * A).sum(axis=0)
        omega = rng.uniform(0.5, 2.0, 6)
        omega[1] = 0.0
        if w[2] == 0.0:
            omega[2] = np.inf
        penalty = concave(kind, shape, squares, positive, omega)
        q = A.T @ (y - A @ w) * (1.0 if seed % 2 else 0.05)
        scale, lam = np.sqrt(squares), strength * omega
        slope = scale * concave_slope(kind, np.abs(w) * scale, lam / scale, shape)
        off = np.abs(q - np.sign(w) * np.where(w != 0, slope, 0.0))
        rest = (q if positive else np.abs(q)) - lam
        off = np.where(w != 0, off, np.maximum(rest, 0.0))
        for m in (6, 3, 1):
            found = _kernels_concave_path._violation(
                omega, penalty.kappa, strength, penalty.code, shape, w, q, m, positive
            )
            assert_allclose(found, off[:m].max(), atol=1e-12)
    nothing = np.zeros(6)
    found = _kernels_concave_path._violation(
        np.ones(6), penalty.kappa, 1.0, penalty.code, shape, nothing, nothing, 6, False
    )
    assert found == 0.0


@kinds
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("budget", [1000, 2])
def test_concave_paths_say_what_they_left(kind, positive, budget):
    kernels, shape = _kernels_concave_path, SHAPES[kind][0]
    solved, looks, steps = [], [], []
    for seed in range(10):
        rng, A, y, w = problem(seed, n=14, p=8)
        top = 1.0
        if seed >= 4:  # of which many come in at a time, and not all at once
            A, top = np.hstack([A, A[:, ::-1] + rng.standard_normal((14, 8))]), 0.2
            w = np.concatenate([w, np.zeros(8)])
        p = len(w)
        if seed == 0:  # orthogonal columns of different lengths
            A = np.linalg.qr(A)[0] * rng.uniform(0.3, 3.0, 8)
        elif seed % 2:
            A += rng.standard_normal((14, 1))
        y = y + 2.0 * A @ w
        A[:, 5] = 0.0
        squares, omega = (A * A).sum(axis=0), rng.uniform(0.5, 2.0, p)
        omega[7] = np.inf
        if not positive:
            omega[1] = 0.0
        penalty = concave(kind, shape, squares, positive, omega)
        G, c, K = A.T @ A, A.T @ y, 5
        strengths = top * np.abs(c[:5]).max() * np.geomspace(1.0, 0.05, K)
        W, points = np.zeros((K, p)), np.zeros((K, 2))
        W[0, 1] = 0.0 if positive else c[1] / G[1, 1]
        if seed == 3:  # some that do not come in by themselves
            W[0, 2:5] = 0.01, 0.02 if positive else -0.02, 0.03
        start = W[0].copy()
        info, history = np.zeros((K, 3), np.int64), np.zeros(kernels.MOST_LOOKS + 1)
        goal = 1e-9 * np.abs(c[:5]).max()
        n_solved = kernels.concave_path(
            G, c, y @ y, omega, penalty.kappa, strengths, penalty.code, penalty.params,
            goal, budget, W, points, info, history,
        )  # fmt: skip
        solved.append(n_solved)
        looks.append(info[:, 2].max())
        steps.append(info[:, 1].max())

        def outside(w, strength, A=A, y=y, omega=omega, squares=squares):
            scale = np.where(squares > 0.0, np.sqrt(squares), 1.0)
            lam, r = strength * np.where(np.isinf(omega), 1.0, omega), y - A @ w
            q, t = A.T @ r, np.abs(w) * scale
            slope = scale * concave_slope(kind, t, lam / scale, shape)
            rest = np.maximum((q if positive else np.abs(q)) - lam, 0.0)
            off = np.where(w != 0, np.abs(q - np.sign(w) * slope), rest)
            value = concave_value(kind, t, lam / scale, shape).sum()
            return off[np.isfinite(omega)].max(), 0.5 * r @ r + value

        assert_allclose(history[0], outside(start, strengths[0])[0], atol=1e-10)
        for k in range(min(n_solved + 1, K)):
            assert_allclose(points[k], outside(W[k], strengths[k]), atol=1e-10)
            assert (points[k, 0] <= goal) == (k < n_solved)
            assert W[k, 5] == W[k, 7] == 0.0 and (not positive or (W[k] >= 0.0).all())
            assert 1 <= info[k, 0] <= budget and 1 <= info[k, 2] <= kernels.MOST_LOOKS
        if n_solved > 0:
            assert_allclose(history[info[0, 2]], points[0, 0])
        assert not W[n_solved + 1 :].any() and not info[n_solved + 1 :].any()
        if seed == 0 and budget > 2:  # one coordinate after the other, in closed form
            for k in range(K):
                for j in (0, 2, 3, 4, 6):
                    grid = np.linspace(0.0, 2.0 * abs(c[j]) / G[j, j], 20_001)
                    grid *= np.sign(c[j]) if c[j] > 0 or not positive else 0.0
                    scale, lam = np.sqrt(squares[j]), strengths[k] * omega[j]
                    value = concave_value(kind, grid * scale, lam / scale, shape)
                    value += 0.5 * G[j, j] * grid**2 - c[j] * grid
                    best = grid[np.argmin(value)]
                    assert_allclose(W[k, j], best, atol=2e-4 * abs(c[j]) / G[j, j])
    if budget == 2:
        assert min(solved) < 5 and max(looks) == 1 and max(steps) == 0
    else:
        assert solved == [5] * 10 and max(steps) > 1
        assert positive or max(looks[4:]) > 1
