"""Whole paths of MCP and SCAD on a Gram matrix, in one call.

Features enter a list as in ``_kernels_path``, from which these kernels are apart: what
the Lasso compiles does not grow by them. There is no gap where nothing is convex. A
point is done when the largest violation of stationarity over all features is small, and
each strength starts where the one before ended, not ahead of it: another start may
end at another stationary point.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.linear_model._penalized._kernels_cd import MCP, piece, prox, stays_zero
from sparsestat.linear_model._penalized._kernels_entry import enters, outlook
from sparsestat.linear_model._penalized._kernels_path import _products

_DOT = {"reassoc", "contract", "arcp", "nsz"}
_LOOK = 4  # sweeps between two looks at the violations
_FIRST_NEWTON, _NEWTON_SHARE = 4, 0.05  # sweeps before a Newton step pays
_SETTLE = 0.02  # share of the coefficients that may still go to another piece
_PATIENCE = 100  # sweeps after which nothing settles by itself
_SINGULAR = 1e-12  # squared pivot relative to its diagonal entry
MOST_LOOKS = 50  # at all features, for one strength
_HALVINGS = 6  # of a Newton step
_FLAT = 1e-14  # share of a penalty below which its change is rounding


@njit(cache=True, nogil=True)
def _slope(code, a, t, lam, kappa):
    """Slope of the penalty at t = |w| > 0, and whether it bends there."""
    if code == MCP:
        slope = lam - kappa * t
        return (
            (slope, True) if slope > 0.0 and kappa > 0.0 else (max(slope, 0.0), False)
        )
    reach = kappa * (a - 1.0) * t
    if reach <= lam:
        return lam, False
    if reach < a * lam:
        return (a * lam - reach) / (a - 1.0), True
    return 0.0, False


@njit(cache=True, nogil=True)
def _value(code, a, t, lam, kappa):
    """Penalty of a coefficient of size t."""
    if code == MCP:
        if kappa * t >= lam and kappa > 0.0:
            return 0.5 * lam * lam / kappa
        return lam * t - 0.5 * kappa * t * t
    v = kappa * (a - 1.0)
    if v * t <= lam:
        return lam * t
    if v * t < a * lam:
        return (2.0 * a * lam * t - v * t * t - lam * lam / v) / (2.0 * (a - 1.0))
    return 0.5 * (a + 1.0) * lam * lam / v


@njit(cache=True, nogil=True)
def _violation(lam, kappa, strength, code, a, w, q, m, positive):
    """Largest distance of q to the subdifferential, over m features."""
    worst = 0.0
    for i in range(m):
        if w[i] == 0.0:
            off = (q[i] if positive else abs(q[i])) - strength * lam[i]
        else:
            slope, _ = _slope(code, a, abs(w[i]), strength * lam[i], kappa[i])
            off = abs(q[i] - slope) if w[i] > 0.0 else abs(q[i] + slope)
        worst = max(worst, off)
    return worst


@njit(cache=True, nogil=True, fastmath=_DOT)
def _sweep(GA, wA, qA, dA, lam_in, kA, strength, code, params, m):
    """One cycle over the list.

    Returns the largest move of a gradient by a step, and how many coefficients went to
    another piece of the penalty.
    """
    moved, changes = 0.0, 0
    for i in range(m):
        old, lam = wA[i], strength * lam_in[i]
        if old == 0.0 and stays_zero(code, params, qA[i], lam):
            continue
        d = dA[i]
        z = qA[i] + d * old
        new = prox(code, params, z, lam, d, kA[i])
        if new != old:
            step = new - old
            wA[i] = new
            row = GA[i]
            for b in range(m):
                qA[b] -= step * row[b]
            moved = max(moved, d * abs(step))
            changes += piece(code, params, new, lam, kA[i]) != piece(
                code, params, old, lam, kA[i]
            )
    return moved, changes


@njit(cache=True, nogil=True, fastmath=_DOT)
def _factor(GA, wA, lam_in, kA, strength, code, a, bent, k, L, index):
    """Factor the second derivatives on the support; whether they are regular.

    Not `bent`, the penalty lies below what they are those of.
    """
    for i in range(k):
        at = index[i]
        row, Li = GA[at], L[i]
        for j in range(i + 1):
            total = row[index[j]]
            Lj = L[j]
            for t in range(j):
                total -= Li[t] * Lj[t]
            if i == j:
                if bent:
                    lam = strength * lam_in[at]
                    _, bends = _slope(code, a, abs(wA[at]), lam, kA[at])
                    if bends:
                        total -= kA[at]
                if total <= _SINGULAR * row[at]:
                    return False
                Li[i] = np.sqrt(total)
            else:
                Li[j] = total / Lj[j]
    return True


@njit(cache=True, nogil=True, fastmath=_DOT)
def _newton(GA, wA, qA, lam_in, kA, strength, code, a, m, L, index, step, image):
    """Newton step on the support, signs kept, that descends; whether there was one."""
    k = 0
    for i in range(m):
        if wA[i] != 0.0:
            index[k] = i
            k += 1
    if k == 0:
        return False
    bent = _factor(GA, wA, lam_in, kA, strength, code, a, True, k, L, index)
    if not bent and not _factor(
        GA, wA, lam_in, kA, strength, code, a, False, k, L, index
    ):
        return False
    for i in range(k):
        at = index[i]
        slope, _ = _slope(code, a, abs(wA[at]), strength * lam_in[at], kA[at])
        total = qA[at] - (slope if wA[at] > 0.0 else -slope)
        for t in range(i):
            total -= L[i, t] * step[t]
        step[i] = total / L[i, i]
    for i in range(k - 1, -1, -1):
        total = step[i] / L[i, i]
        step[i] = total
        for t in range(i):
            step[t] -= L[i, t] * total
    for b in range(m):
        image[b] = 0.0
    stays, before = bent, 0.0
    for i in range(k):
        at = index[i]
        old, lam = wA[at], strength * lam_in[at]
        if (old + step[i]) * old <= 0.0 and lam > 0.0:
            step[i] = -old
            stays = False
        elif stays:
            was = _slope(code, a, abs(old), lam, kA[at])
            now = _slope(code, a, abs(old + step[i]), lam, kA[at])
            stays = was[1] == now[1] and (was[1] or was[0] == now[0])
        before += _value(code, a, abs(old), lam, kA[at])
        row = GA[at]
        for b in range(m):
            image[b] += step[i] * row[b]
    length = 1.0
    if not stays:
        # Where pieces of the penalty change, the step is one of another problem.
        linear = square = 0.0
        for i in range(k):
            linear += qA[index[i]] * step[i]
            square += image[index[i]] * step[i]
        descends = False
        for _ in range(_HALVINGS):
            after = 0.0
            for i in range(k):
                at = index[i]
                size = abs(wA[at] + length * step[i])
                after += _value(code, a, size, strength * lam_in[at], kA[at])
            loss = length * (0.5 * length * square - linear)
            if after - before + loss <= _FLAT * before:
                descends = True
                break
            length *= 0.5
        if not descends:
            return False
    for i in range(k):
        wA[index[i]] += length * step[i]
    for b in range(m):
        qA[b] -= length * image[b]
    return True


@njit(cache=True, nogil=True)
def concave_path(
    G, c, yy, lam, kappa, strengths, code, params, goal, budget, W, points, info,
    history,
):  # fmt: skip
    """Solve for each strength in turn, until no violation is above `goal`.

    Parameters
    ----------
    G : ndarray of shape (p, p)
    c : ndarray of shape (p,)
    yy : float
    lam : ndarray of shape (p,)
        Multipliers of the strengths: zero for free features, infinite for those that
        are dropped.
    kappa : ndarray of shape (p,)
        Concavities.
    strengths : ndarray of shape (n_strengths,)
    code : int
        Of the penalty, see ``_kernels_cd``.
    params : ndarray of shape (1,) or (2,)
        The shape; with a second entry no coefficient is negative.
    goal : float
    budget : int
        Sweeps for each strength; when they do not suffice the path ends there.
    W : ndarray of shape (n_strengths, p)
        The coefficients come here; the first row holds those to start from.
    points : ndarray of shape (n_strengths, 2)
        Largest violation over all features, and the objective.
    info : ndarray of shape (n_strengths, 3)
        Sweeps, Newton steps and looks at all features.
    history : ndarray of shape (MOST_LOOKS + 1,)
        Violations at the start and at each look, for the first strength.

    Returns
    -------
    n_solved : int
    """
    p, a, positive = G.shape[0], params[0], params.shape[0] > 1
    w, q = np.empty(p), np.empty(p)
    before = np.empty(p)  # q of the strength before the last
    order, index = np.empty(p, dtype=np.int64), np.empty(p, dtype=np.int64)
    inside = np.zeros(p, dtype=np.bool_)
    capacity = min(p, 64)
    GA, L = np.empty((capacity, capacity)), np.empty((capacity, capacity))
    wA, qA, dA = np.empty(p), np.empty(p), np.empty(p)
    lam_in, kA, step, image = np.empty(p), np.empty(p), np.empty(p), np.empty(p)
    for j in range(p):
        w[j], before[j], order[j] = W[0, j], 0.0, j
    _products(G, c, order, w, p, q)
    history[0] = _violation(lam, kappa, strengths[0], code, a, w, q, p, positive)
    # A literal would be a type of its own, compiled once more.
    m = np.int64(0)
    for k in range(strengths.shape[0]):
        strength = strengths[k]
        sweeps = newtons = looks = 0
        solved, first, worst = False, True, 0.0
        stride, level = outlook(strengths, k, 0.0)
        while True:
            for j in range(p):
                if inside[j] or G[j, j] <= 0.0 or np.isinf(lam[j]):
                    continue
                if (
                    w[j] != 0.0
                    or lam[j] == 0.0
                    or enters(
                        q[j], before[j], lam[j], strength, level, stride, positive
                    )
                ):
                    if m == capacity:
                        capacity = min(2 * capacity, p)
                        larger = np.empty((capacity, capacity))
                        for i in range(m):
                            for b in range(m):
                                larger[i, b] = GA[i, b]
                        GA = larger
                        L = np.empty((capacity, capacity))
                    order[m] = j
                    inside[j] = True
                    for i in range(m):
                        value = G[j, order[i]]
                        GA[m, i] = value
                        GA[i, m] = value
                    GA[m, m] = G[j, j]
                    dA[m], lam_in[m], kA[m], wA[m] = G[j, j], lam[j], kappa[j], w[j]
                    m += 1
            for i in range(m):
                qA[i] = q[order[i]]
            inner = 0.5 * goal if first else 0.1 * goal
            since = 0
            while sweeps < budget:
                moved, changes = _sweep(
                    GA, wA, qA, dA, lam_in, kA, strength, code, params, m
                )
                sweeps += 1
                since += 1
                if moved > inner and since % _LOOK != 0:
                    continue
                worst = _violation(lam_in, kA, strength, code, a, wA, qA, m, positive)
                if worst <= inner:
                    break
                nz = 0
                for i in range(m):
                    if wA[i] != 0.0:
                        nz += 1
                # Before the pieces have settled a step would lead elsewhere.
                settled = changes <= max(1.0, _SETTLE * nz) or since >= _PATIENCE
                if settled and since >= _FIRST_NEWTON + _NEWTON_SHARE * nz:
                    newtons += 1
                    since = 0
                    if _newton(
                        GA, wA, qA, lam_in, kA, strength, code, a, m, L, index, step,
                        image,
                    ):  # fmt: skip
                        worst = _violation(
                            lam_in, kA, strength, code, a, wA, qA, m, positive
                        )
                        if worst <= inner:
                            break
            if first:
                for j in range(p):
                    before[j] = q[j]
            first, level = False, np.inf
            _products(G, c, order, wA, m, q)
            looks += 1
            for i in range(m):
                w[order[i]] = wA[i]
            worst = _violation(lam, kappa, strength, code, a, w, q, p, positive)
            if k == 0:
                history[looks] = worst
            if worst <= goal:
                solved = True
                break
            if sweeps >= budget or looks >= MOST_LOOKS:
                break
        residual, value = yy, 0.0
        for i in range(m):
            if wA[i] != 0.0:
                j = order[i]
                residual -= wA[i] * (c[j] + q[j])
                value += _value(code, a, abs(wA[i]), strength * lam_in[i], kA[i])
        for j in range(p):
            W[k, j] = w[j]
        points[k, 0], points[k, 1] = worst, 0.5 * max(residual, 0.0) + value
        info[k, 0], info[k, 1], info[k, 2] = sweeps, newtons, looks
        if not solved:
            return k
    return strengths.shape[0]
