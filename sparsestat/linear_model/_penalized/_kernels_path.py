"""Whole paths of the elastic net on a Gram matrix, in one call.

With ``G = A'A``, ``c = A'y`` and ``yy = y'y`` everything that a path needs is known:
the products ``q = c - G w`` of the columns with the residual, its square ``yy - w'c -
w'q`` and ``y'r = yy - w'c``. Features enter a list in the order in which they are met;
their part of G is kept side by side, so that a coordinate step costs the length of the
list.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.linear_model._penalized._kernels_entry import enters, outlook

_DOT = {"reassoc", "contract", "arcp", "nsz"}
_LOOK = 8  # sweeps between two looks at the gap
_FIRST_NEWTON, _NEWTON_SHARE = 4, 0.05  # sweeps before a Newton step pays
_SINGULAR = 1e-12  # squared pivot relative to its diagonal entry


@njit(cache=True, nogil=True)
def _soft(z, lam, positive):
    if z > lam:
        return z - lam
    if z < -lam and not positive:
        return z + lam
    return 0.0


@njit(cache=True, nogil=True, fastmath=_DOT)
def _gap(lam, l2, strength, ridge, w, q, c, d, yy, m, positive):
    """Return the gap, the primal value, the scaling and a slope, over m features.

    The slope is that of the dual value in errors of q relative to the norms of the
    columns; zero where the scaled residual is the better dual point.
    """
    fitted = 0.0
    left = 0.0
    absolute = 0.0
    square = 0.0
    ratio = 0.0
    for a in range(m):
        shrunk = q[a]
        size = abs(w[a])
        if size > 0.0:
            fitted += w[a] * c[a]
            left += w[a] * q[a]
            absolute += lam[a] * size
            square += l2[a] * size * size
            shrunk -= ridge * l2[a] * w[a]
        top = shrunk if positive else abs(shrunk)
        if top > ratio * strength * lam[a]:
            ratio = top / (strength * lam[a])
    target_dot = yy - fitted
    residual = max(target_dot - left, 0.0)
    augmented = residual + ridge * square
    primal = 0.5 * residual + strength * absolute + 0.5 * ridge * square
    best = target_dot / augmented if augmented > 0.0 else 0.0
    scale = max(min(best, 1.0 / ratio if ratio > 0.0 else np.inf), 0.0)
    dual = scale * target_dot - 0.5 * scale * scale * augmented
    if ridge == 0.0:
        return primal - dual, primal, scale, 0.0
    # With a ridge the residual itself has a finite dual value.
    conjugate = 0.0
    slope = 0.0
    for a in range(m):
        over = (q[a] if positive else abs(q[a])) - strength * lam[a]
        if over > 0.0:
            conjugate += 0.5 * over * over / (ridge * l2[a])
            slope += over * np.sqrt(d[a]) / (ridge * l2[a])
    soft = target_dot - 0.5 * residual - conjugate
    if soft <= dual:
        slope = 0.0
    return primal - max(dual, soft), primal, scale, slope


@njit(cache=True, nogil=True, fastmath=_DOT)
def _sweep(GA, wA, qA, dA, lam_in, l2A, strength, ridge, m, positive):
    """One cycle over the list; return the sum of squared moves in the metric of G."""
    moved = 0.0
    for a in range(m):
        d = dA[a]
        old = wA[a]
        new = _soft(qA[a] + d * old, strength * lam_in[a], positive)
        new /= d + ridge * l2A[a]
        if new != old:
            step = new - old
            wA[a] = new
            moved += d * step * step
            row = GA[a]
            for b in range(m):
                qA[b] -= step * row[b]
    return moved


@njit(cache=True, nogil=True, fastmath=_DOT)
def _newton(GA, wA, qA, lam_in, l2A, strength, ridge, m, L, index, step):
    """Newton step on the support, cut at the first change of sign; whether it moved."""
    k = 0
    for a in range(m):
        if wA[a] != 0.0:
            index[k] = a
            k += 1
    if k == 0:
        return False
    for i in range(k):
        a = index[i]
        sign = 1.0 if wA[a] > 0.0 else -1.0
        step[i] = qA[a] - strength * lam_in[a] * sign - ridge * l2A[a] * wA[a]
        row = GA[a]
        for j in range(i + 1):
            total = row[index[j]]
            if i == j:
                total += ridge * l2A[a]
                pivot = total
            Li, Lj = L[i], L[j]
            for t in range(j):
                total -= Li[t] * Lj[t]
            if i == j:
                if total <= _SINGULAR * pivot:
                    return False
                Li[i] = np.sqrt(total)
            else:
                Li[j] = total / Lj[j]
    for i in range(k):
        total = step[i]
        for t in range(i):
            total -= L[i, t] * step[t]
        step[i] = total / L[i, i]
    for i in range(k - 1, -1, -1):
        total = step[i] / L[i, i]
        step[i] = total
        for t in range(i):
            step[t] -= L[i, t] * total
    length = 1.0
    crossing = -1
    for i in range(k):
        a = index[i]
        new = wA[a] + step[i]
        if new * wA[a] <= 0.0:
            share = -wA[a] / step[i]
            if share < length:
                length = share
                crossing = a
    for i in range(k):
        a = index[i]
        change = length * step[i]
        if a == crossing:
            change = -wA[a]
            wA[a] = 0.0
        else:
            wA[a] += change
        row = GA[a]
        for b in range(m):
            qA[b] -= change * row[b]
    return True


@njit(cache=True, nogil=True, fastmath=_DOT)
def _products(G, c, order, wA, m, q):
    """Write ``c - G w`` into q, afresh: steps have gathered rounding."""
    for j in range(q.shape[0]):
        q[j] = c[j]
    for a in range(m):
        if wA[a] != 0.0:
            row = G[order[a]]
            for j in range(q.shape[0]):
                q[j] -= wA[a] * row[j]


@njit(cache=True, nogil=True)
def gram_path(
    G, c, yy, lam, l2, strengths, ridges, positive, goal, budget, W, gaps, info
):
    """Solve for each strength in turn, until the gap is at most `goal`.

    Parameters
    ----------
    G : ndarray of shape (p, p)
    c : ndarray of shape (p,)
    yy : float
    lam, l2 : ndarray of shape (p,)
        Multipliers of the strengths and ridges; those of lam are positive, infinite for
        features that are dropped.
    strengths, ridges : ndarray of shape (n_strengths,)
    positive : bool
    goal : float
    budget : int
        Sweeps for each strength; when they do not suffice the path ends there.
    W : ndarray of shape (n_strengths, p)
        The coefficients come here.
    gaps : ndarray of shape (n_strengths, 4)
        Gap, primal value, scaling of the dual point and slope in the errors of the
        products, over all features.
    info : ndarray of shape (n_strengths, 3)
        Sweeps, Newton steps and looks at all features.

    Returns
    -------
    n_solved : int
    """
    p = G.shape[0]
    w, q, d = np.zeros(p), c.copy(), np.diag(G).copy()
    before = np.zeros(p)  # q of the strength before the last
    order = np.empty(p, dtype=np.int64)
    inside = np.zeros(p, dtype=np.bool_)
    capacity = min(p, 64)
    GA = np.empty((capacity, capacity))
    L = np.empty((capacity, capacity))
    wA, qA, dA = np.zeros(p), np.zeros(p), np.zeros(p)
    lam_in, l2A, cA, lastA = np.zeros(p), np.zeros(p), np.zeros(p), np.zeros(p)
    index, step = np.empty(p, dtype=np.int64), np.empty(p)
    # A literal would be a type of its own, compiled once more; slices cost seconds.
    m = np.int64(0)
    for k in range(strengths.shape[0]):
        strength, ridge = strengths[k], ridges[k]
        sweeps = newtons = looks = 0
        solved = False
        first = True
        stride, level = outlook(strengths, k, 0.0)
        while True:
            added = 0
            for j in range(p):
                if inside[j] or G[j, j] <= 0.0 or np.isinf(lam[j]):
                    continue
                if enters(q[j], before[j], lam[j], strength, level, stride, positive):
                    if m == capacity:
                        capacity = min(2 * capacity, p)
                        larger = np.empty((capacity, capacity))
                        for a in range(m):
                            for b in range(m):
                                larger[a, b] = GA[a, b]
                        GA = larger
                        L = np.empty((capacity, capacity))
                    order[m] = j
                    inside[j] = True
                    for a in range(m):
                        value = G[j, order[a]]
                        GA[m, a] = value
                        GA[a, m] = value
                    GA[m, m] = G[j, j]
                    dA[m], lam_in[m], l2A[m], cA[m] = G[j, j], lam[j], l2[j], c[j]
                    wA[m], qA[m], lastA[m] = 0.0, q[j], 0.0
                    m += 1
                    added += 1
            for a in range(m):
                qA[a] = q[order[a]]
            if first and stride > 0.0:
                for a in range(m):
                    change = stride * (wA[a] - lastA[a])
                    lastA[a] = wA[a]
                    if change != 0.0 and wA[a] * (wA[a] + change) > 0.0:
                        wA[a] += change
                        row = GA[a]
                        for b in range(m):
                            qA[b] -= change * row[b]
            elif first:
                for a in range(m):
                    lastA[a] = wA[a]
            inner = 0.5 * goal if added > 0 or first else 0.1 * goal
            since = 0
            nz = 0
            while sweeps < budget:
                moved = _sweep(
                    GA, wA, qA, dA, lam_in, l2A, strength, ridge, m, positive
                )
                sweeps += 1
                since += 1
                if moved <= 2.0 * inner or since % _LOOK == 0:
                    gap, _, _, _ = _gap(
                        lam_in, l2A, strength, ridge, wA, qA, cA, dA, yy, m, positive
                    )
                    if gap <= inner:
                        break
                    nz = 0
                    for a in range(m):
                        if wA[a] != 0.0:
                            nz += 1
                    if since >= _FIRST_NEWTON + _NEWTON_SHARE * nz:
                        newtons += 1
                        if _newton(
                            GA,
                            wA,
                            qA,
                            lam_in,
                            l2A,
                            strength,
                            ridge,
                            m,
                            L,
                            index,
                            step,
                        ):
                            gap, _, _, _ = _gap(
                                lam_in, l2A, strength, ridge, wA, qA, cA, dA, yy, m,
                                positive,
                            )  # fmt: skip
                            if gap <= inner:
                                break
                        since = 0
            if first:
                for j in range(p):
                    before[j] = q[j]
            _products(G, c, order, wA, m, q)
            looks += 1
            for a in range(m):
                w[order[a]] = wA[a]
            gap, primal, scale, slope = _gap(
                lam, l2, strength, ridge, w, q, c, d, yy, p, positive
            )
            first, level = False, np.inf
            if gap <= goal:
                solved = True
                break
            if sweeps >= budget or looks > 50:
                break
        for j in range(p):
            W[k, j] = w[j]
        gaps[k, 0], gaps[k, 1], gaps[k, 2], gaps[k, 3] = gap, primal, scale, slope
        info[k, 0], info[k, 1], info[k, 2] = sweeps, newtons, looks
        if not solved:
            return k
    return strengths.shape[0]


@njit(cache=True, nogil=True)
def gram_fit(G, c, yy, lam, l2, strength, ridge, positive, still, most, w):
    """Solve for one strength on all features, until a sweep moves nothing.

    Parameters
    ----------
    G, c, yy, lam, l2, positive : see :func:`gram_path`
        No feature vanishes.
    strength, ridge : float
    still : float
        What the last sweep may move the fit by, squared.
    most : int
        Sweeps.
    w : ndarray of shape (p,)
        Zeros; the coefficients come here.

    Returns
    -------
    n_sweeps, n_newton : int
        One more than `most` sweeps where these did not suffice.
    first, gap, primal, scale, slope : float
        The gap of zeros; for the others see :func:`gram_path`.
    """
    p = w.shape[0]
    # Loops and one call of a kernel: copies, diagonals and calls compile for long.
    q, d, step, L = np.empty(p), np.empty(p), np.empty(p), np.empty((p, p))
    order, index = np.empty(p, dtype=np.int64), np.empty(p, dtype=np.int64)
    for j in range(p):
        q[j], d[j], order[j] = c[j], G[j, j], j
    sweeps, newtons, first = 0, 0, 0.0
    for look in range(2):
        while look > 0 and sweeps <= most:
            sweeps += 1
            moved = _sweep(G, w, q, d, lam, l2, strength, ridge, p, positive)
            if moved <= still:
                break
            if sweeps % _LOOK == 0:
                _newton(G, w, q, lam, l2, strength, ridge, p, L, index, step)
                newtons += 1
        _products(G, c, order, w, p, q)
        gap, primal, scale, slope = _gap(
            lam, l2, strength, ridge, w, q, c, d, yy, p, positive
        )
        if look == 0:
            first = gap
    return sweeps, newtons, first, gap, primal, scale, slope
