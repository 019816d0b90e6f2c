"""Descent on second-order models of several classes, by its conditions and by hand.

The Hessian is set up entry by entry. Orthogonal columns have steps that can be counted.
"""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from sparsestat.linear_model._penalized import _kernels_glm as kernels

storages = pytest.mark.parametrize("storage", ["dense", "csc"])


def model(seed, n=9, m=4, n_classes=3):
    """Columns, probabilities, these times weights, and the Hessian of all pairs."""
    rng = np.random.default_rng(seed)
    A = np.asfortranarray(rng.standard_normal((n, m)) * (rng.random((n, m)) < 0.7))
    A[0] = 1.0
    P = rng.dirichlet(np.ones(n_classes), n)
    Q = rng.uniform(0.5, 2.0, n)[:, None] * P
    H = np.zeros((m, n_classes, m, n_classes))
    for i in range(n):
        bend = np.diag(Q[i]) - np.outer(Q[i], P[i])
        H += np.einsum("j,k,cd->jckd", A[i], A[i], bend)
    return A, np.asfortranarray(P), np.asfortranarray(Q), H, rng


def descend(name, storage, A, *arguments):
    if storage == "dense":
        return getattr(kernels, name)(A, *arguments)
    C = sparse.csc_array(A)
    parts = C.data, C.indices, C.indptr
    return getattr(kernels, name + "_csc")(*parts, *arguments)


def pairs(storage, data, q, w, lam, l2, *, positive=False, sweeps=400, target=0.0):
    """Descend over all pairs; return the sweeps, the last move, D and s."""
    A, P, Q, H, _ = data
    m, n_classes = H.shape[:2]
    rows, classes = np.divmod(np.arange(m * n_classes), n_classes)
    curvature = np.array([H[j, c, j, c] for j, c in zip(rows, classes, strict=True)])
    D, s = np.zeros_like(P), np.zeros(len(P))
    found = descend(
        "softmax_cd", storage, A, P, Q, rows, classes, q, curvature, w, lam, l2,
        positive, D, s, sweeps, target,
    )  # fmt: skip
    return *found, D, s, curvature


@storages
@pytest.mark.parametrize("positive", [False, True])
def test_pairs_descend_to_the_optimum_of_the_model(storage, positive):
    data = model(0)
    A, P, _, H, rng = data
    start = np.where(rng.random(12) < 0.5, rng.uniform(0.1, 1.0, 12), 0.0)
    q, lam, l2 = (
        3.0 * rng.standard_normal(12),
        rng.uniform(0.2, 1, 12),
        np.full(12, 0.3),
    )
    w = start.copy()
    _, moved, D, s, _ = pairs(storage, data, q, w, lam, l2, positive=positive)
    step = w - start
    slope = q - H.reshape(12, 12) @ step - l2 * w
    held = w != 0.0
    assert held.any() and not held.all() and moved <= 1e-12
    assert_allclose(slope[held], (lam * np.sign(w))[held], atol=1e-10)
    above = slope[~held] if positive else np.abs(slope[~held])
    assert (above <= lam[~held]).all()
    assert not positive or (w >= 0.0).all()
    assert_allclose(D, A @ step.reshape(4, 3), atol=1e-12)
    assert_allclose(s, (P * D).sum(axis=1), atol=1e-12)


@storages
def test_a_sweep_over_pairs_says_what_it_moved(storage):
    data = model(1)
    rng = data[-1]
    w, q, l2 = np.zeros(12), rng.standard_normal(12), np.linspace(0.1, 0.6, 12)
    n_sweeps, moved, *_, curvature = pairs(
        storage, data, q, w, np.full(12, 0.1), l2, sweeps=1
    )
    assert n_sweeps == 1.0
    assert_allclose(moved, np.max(np.abs(w) * (curvature + l2)))
    # The first coordinate has seen no other.
    first = np.sign(q[0]) * max(abs(q[0]) - 0.1, 0.0) / (curvature[0] + l2[0])
    assert_allclose(w[0], first)


def independent(storage, correlation, q, sweeps, target=1e-14):
    """A few columns of one class; return how many sweeps they took."""
    m = len(q)
    A = np.asfortranarray(np.diag([2.0] + [1.0] * (m - 1)))
    A[1, 0] = correlation
    P, Q = np.full((m, 1), 0.25), np.full((m, 1), 2.0)
    bend = 2.0 * (1.0 - 0.25)
    D, s, w = np.zeros((m, 1), order="F"), np.zeros(m), np.zeros(m)
    curvature = bend * (A**2).sum(axis=0)
    rows, classes = np.arange(m), np.zeros(m, dtype=int)
    n_sweeps, moved = descend(
        "softmax_cd", storage, A, np.asfortranarray(P), np.asfortranarray(Q), rows,
        classes, np.asarray(q), curvature, w, np.ones(m), np.zeros(m), False, D, s,
        sweeps, target,
    )  # fmt: skip
    return n_sweeps, moved, w


@storages
def test_sweeps_over_nonzero_pairs_come_between_those_over_all(storage):
    # All at once: a sweep over the one that is not zero, and one over all to see it.
    n_sweeps, moved, w = independent(storage, 0.0, [3.0, 0.5, 0.5], 9)
    assert (n_sweeps, moved) == (7 / 3, 0.0)
    assert_allclose(w, [2.0 / 6.0, 0.0, 0.0])
    n_sweeps, moved, w = independent(storage, 0.0, [0.5, 0.5, 0.5], 9)
    assert (n_sweeps, moved) == (1.0, 0.0) and not w.any()
    # Two that are correlated take many: five sweeps over them after each over all.
    for limit, expected in ((1, 3), (2, 7), (3, 9), (4, 13), (5, 16), (6, 18), (8, 24)):
        n_sweeps, moved, w = independent(storage, 8.0, [30.0, 20.0, 0.5], limit)
        assert n_sweeps == expected / 3 and moved > 1e-6 and w[:2].all()
    # Sweeps over few of many count little: 12, five times 2, and again.
    n_sweeps, *_ = independent(storage, 8.0, [30.0, 20.0] + [0.5] * 10, 4)
    assert n_sweeps == (2 * 22 + 12) / 12
    n_sweeps, moved, _ = independent(storage, 8.0, [30.0, 20.0, 0.5], 9, 1e3)
    assert n_sweeps == 1.0 and 0.0 < moved < 1e3


@storages
def test_pairs_without_curvature_stay(storage):
    data = model(2)
    A = data[0]
    A[:, 1] = 0.0
    data[3][1], data[3][:, :, 1] = 0.0, 0.0
    w = np.zeros(12)
    w[4] = 1.0
    pairs(storage, data, np.full(12, 2.0), w, np.full(12, 0.1), np.zeros(12), sweeps=50)
    assert w[4] == 1.0 and not w[[3, 5]].any() and w[[0, 1, 2]].any()
    nothing, none = np.zeros(0), np.zeros(0, dtype=int)
    A, P, Q, _, _ = data
    tail = none, none, nothing, nothing, nothing, nothing, nothing, False
    D, s = np.zeros_like(P), np.zeros(len(P))
    found = descend("softmax_cd", storage, A, P, Q, *tail, D, s, 3, 0.0)
    assert tuple(found) == (0.0, 0.0)


def groups(storage, data, q, W, lam, l1, l2, *, sweeps=4000, target=1e-13):
    A, P, Q, H, _ = data
    starts = np.array([0, 1, 3, 4])
    bounds = np.array(
        [
            np.linalg.eigvalsh(H[a:b, :, a:b].reshape(3 * (b - a), -1))[-1]
            for a, b in pairwise(starts)
        ]
    )
    D, s = np.zeros_like(P), np.zeros(len(P))
    found = descend(
        "group_cd", storage, A, P, Q, starts, q, bounds, W, lam, l1, l2, D, s,
        sweeps, target,
    )  # fmt: skip
    return *found, D, s, bounds


@storages
@pytest.mark.parametrize(("l1", "strength"), [(0.0, 9.0), (0.4, 9.0), (0.4, 0.3)])
def test_groups_descend_to_the_optimum_of_the_model(storage, l1, strength):
    data = model(3)
    A, P, _, H, rng = data
    start = np.zeros((4, 3))
    start[0], start[3] = 0.5, -0.2
    q = 2.0 * rng.standard_normal((4, 3))
    W, lam, l2 = start.copy(), np.array([0.3, strength, 0.5]), np.array([0.2, 0.3, 0.1])
    n_sweeps, moved, D, s, _ = groups(storage, data, q, W, lam, np.full(3, l1), l2)
    step = W - start
    assert moved <= 1e-13 and 1 < n_sweeps < 4000
    slope = q - np.einsum("jckd,kd->jc", H, step)
    shrunk = np.sign(slope) * np.maximum(np.abs(slope) - l1, 0.0)
    assert W[1:3].any() == (strength < 1.0) and W[0].any() and W[3].any()
    for g, rows in enumerate((slice(0, 1), slice(1, 3), slice(3, 4))):
        if not W[rows].any():
            assert np.linalg.norm(shrunk[rows]) <= lam[g]
            continue
        pull = lam[g] * W[rows] / np.linalg.norm(W[rows]) + l2[g] * W[rows]
        assert_allclose(shrunk[rows], pull, atol=1e-8)
    assert_allclose(D, A @ step, atol=1e-11)
    assert_allclose(s, (P * D).sum(axis=1), atol=1e-11)


@storages
def test_a_sweep_over_groups_is_a_proximal_step_for_each(storage):
    data = model(4)
    rng = data[-1]
    q = 4.0 * rng.standard_normal((4, 3))
    W, lam, l1 = np.zeros((4, 3)), np.full(3, 0.5), np.full(3, 0.2)
    l2 = np.array([0.5, 0.25, 1.0])
    n_sweeps, moved, *_, bounds = groups(storage, data, q, W, lam, l1, l2, sweeps=1)
    shrunk = np.sign(q[0]) * np.maximum(np.abs(q[0]) - 0.2, 0.0)
    size = np.linalg.norm(shrunk)
    assert_allclose(W[0], shrunk * (1.0 - 0.5 / size) / (bounds[0] + 0.5))
    norms = np.array([np.linalg.norm(W[a:b]) for a, b in ((0, 1), (1, 3), (3, 4))])
    assert n_sweeps == 1
    assert_allclose(moved, (norms * (bounds + l2)).max())
    # No more sweeps than asked for, and none after a move that is small enough.
    for limit, target, expected in ((2, 0.0, 2), (3, 0.0, 3), (9, 1e3, 1)):
        W = np.zeros((4, 3))
        found = groups(storage, data, q, W, lam, l1, l2, sweeps=limit, target=target)
        assert found[0] == expected
    # A group without curvature stays.
    A, P, Q, H, _ = data
    A[:, 0], H[0], H[:, :, 0] = 0.0, 0.0, 0.0
    W = np.zeros((4, 3))
    groups(storage, (A, P, Q, H, rng), q, W, lam, l1, l2, sweeps=3)
    assert not W[0].any() and W[3].any()


@pytest.mark.parametrize("seed", range(3))
def test_pairs_of_times_are_counted_one_by_one(seed):
    rng = np.random.default_rng(seed)
    n = 17
    time, risk = rng.integers(0, 6, n), rng.integers(0, 7, n)
    event, weights = rng.random(n) < 0.6, rng.integers(1, 5, n).astype(float)
    expected = np.zeros(3)
    for i in np.flatnonzero(event):
        for j in range(n):
            if time[j] > time[i] or (time[j] == time[i] and not event[j]):
                pair = weights[i] * weights[j]
                expected += pair * np.array([risk[j] < risk[i], risk[j] == risk[i], 1])
    order = np.argsort(-time, kind="stable")
    blocks = np.flatnonzero(np.diff(time[order], prepend=99))
    found = kernels.concordance_sums(
        risk[order], 7, event[order], weights[order], np.append(blocks, n)
    )
    assert_allclose(found, expected)
