"""Whole paths of the group Lasso on a Gram matrix, in one call.

The columns of a group are rotated so that its own block of the Gram matrix is diagonal.
The minimum over a group is then one equation for the norm of its coefficients, and
groups enter a list as features do in ``_kernels_path``.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.linear_model._penalized._kernels_entry import exceeds, outlook
from sparsestat.linear_model._penalized._kernels_path import _products

_DOT = {"reassoc", "contract", "arcp", "nsz"}
_LOOK = 4  # sweeps between two looks at the gap
_FIRST_NEWTON, _NEWTON_SHARE = 4, 0.05  # sweeps before a Newton step pays
_SINGULAR = 1e-12  # squared pivot relative to its diagonal entry


@njit(cache=True, nogil=True, fastmath=_DOT)
def _norm(a, begin, end):
    total = 0.0
    for i in range(begin, end):
        total += a[i] * a[i]
    return np.sqrt(total)


@njit(cache=True, nogil=True)
def _size(z, d, lam, begin, end):
    """Return the norm of the minimum over a group, whose squared pulls are z.

    The root of ``sum_i z_i^2 / (d_i t + lam)^2 = 1``: a convex function that falls, so
    that Newton's method comes to it from the left.
    """
    length = _norm(z, begin, end)
    if length <= lam:
        return 0.0
    top = 0.0
    for i in range(begin, end):
        top = max(top, d[i])
    if top <= 0.0:
        return 0.0
    t = (length - lam) / top
    for _ in range(100):
        value, slope = -1.0, 0.0
        for i in range(begin, end):
            below = d[i] * t + lam
            share = z[i] / below
            value += share * share
            slope -= 2.0 * share * share * d[i] / below
        if value <= 1e-15 or slope == 0.0:
            break
        move = -value / slope
        t += move
        if move <= 1e-15 * t:
            break
    return t


@njit(cache=True, nogil=True, fastmath=_DOT)
def _gap(lam, strength, w, q, c, yy, ptr, n_groups):
    """Return the gap, the primal value and the scaling of the dual point."""
    fitted = left = absolute = ratio = 0.0
    for u in range(n_groups):
        begin, end = ptr[u], ptr[u + 1]
        size = _norm(w, begin, end)
        if size > 0.0:
            absolute += lam[u] * size
            for i in range(begin, end):
                fitted += w[i] * c[i]
                left += w[i] * q[i]
        ratio = max(ratio, _norm(q, begin, end) / (strength * lam[u]))
    target_dot = yy - fitted
    residual = max(target_dot - left, 0.0)
    primal = 0.5 * residual + strength * absolute
    best = target_dot / residual if residual > 0.0 else 0.0
    scale = max(min(best, 1.0 / ratio if ratio > 0.0 else np.inf), 0.0)
    return primal - scale * target_dot + 0.5 * scale * scale * residual, primal, scale


@njit(cache=True, nogil=True, fastmath=_DOT)
def _sweep(GA, wA, qA, dA, lam_in, strength, ptr, n_groups, z):
    """One cycle over the groups of the list; return the squared moves in G's metric."""
    m = ptr[n_groups]
    moved = 0.0
    for u in range(n_groups):
        begin, end = ptr[u], ptr[u + 1]
        for i in range(begin, end):
            z[i] = qA[i] + dA[i] * wA[i]
        lam = strength * lam_in[u]
        t = _size(z, dA, lam, begin, end)
        for i in range(begin, end):
            new = z[i] * t / (dA[i] * t + lam)
            step = new - wA[i]
            if step != 0.0:
                wA[i] = new
                moved += dA[i] * step * step
                row = GA[i]
                for b in range(m):
                    qA[b] -= step * row[b]
    return moved


@njit(cache=True, nogil=True, fastmath=_DOT)
def _newton(GA, wA, qA, lam_in, strength, ptr, n_groups, L, index, owner, step, image):
    """Newton step on the groups in use, halved until it descends; whether it did."""
    k = 0
    for u in range(n_groups):
        if _norm(wA, ptr[u], ptr[u + 1]) > 0.0:
            for i in range(ptr[u], ptr[u + 1]):
                index[k], owner[k] = i, u
                k += 1
    if k == 0:
        return False
    for i in range(k):
        a, u = index[i], owner[i]
        size = _norm(wA, ptr[u], ptr[u + 1])
        lam = strength * lam_in[u]
        step[i] = qA[a] - lam * wA[a] / size
        row = GA[a]
        pivot = 0.0
        for j in range(i + 1):
            b = index[j]
            total = row[b]
            if owner[j] == u:
                total -= lam * (wA[a] / size) * (wA[b] / size) / size
            if i == j:
                total += lam / size
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
    slope = 0.0
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
    m = ptr[n_groups]
    for b in range(m):
        image[b] = 0.0
    for i in range(k):
        row = GA[index[i]]
        for b in range(m):
            image[b] += step[i] * row[b]
    bend = 0.0
    for i in range(k):
        slope += qA[index[i]] * step[i]
        bend += image[index[i]] * step[i]
    length = 1.0
    for _ in range(12):
        change = -length * slope + 0.5 * length * length * bend
        i = 0
        while i < k:
            u = owner[i]
            old = new = 0.0
            while i < k and owner[i] == u:
                w = wA[index[i]]
                old += w * w
                new += (w + length * step[i]) ** 2
                i += 1
            change += strength * lam_in[u] * (np.sqrt(new) - np.sqrt(old))
        if change < 0.0:
            for i in range(k):
                wA[index[i]] += length * step[i]
            for b in range(m):
                qA[b] -= length * image[b]
            return True
        length *= 0.5
    return False


@njit(cache=True, nogil=True)
def group_gram_path(G, c, yy, ptr, lam, strengths, goal, budget, W, gaps, info):
    """Solve for each strength in turn, until the gap is at most `goal`.

    Parameters
    ----------
    G : ndarray of shape (p, p)
        Of rotated columns, those of a group side by side.
    c : ndarray of shape (p,)
    yy : float
    ptr : ndarray of int of shape (n_groups + 1,)
    lam : ndarray of shape (n_groups,)
        Multipliers of the strengths, positive and finite.
    strengths : ndarray of shape (K,)
    goal : float
    budget : int
        Sweeps for each strength; when they do not suffice the path ends there.
    W : ndarray of shape (K, p)
    gaps : ndarray of shape (K, 3)
        Gap, primal value and scaling of the dual point.
    info : ndarray of shape (K, 3)
        Sweeps, Newton steps and looks at all groups.

    Returns
    -------
    n_solved : int
    """
    p, n_groups = G.shape[0], lam.shape[0]
    w, q, before = np.zeros(p), np.empty(p), np.zeros(p)
    order, owner = np.empty(p, dtype=np.int64), np.empty(p, dtype=np.int64)
    index, inside = np.empty(p, dtype=np.int64), np.zeros(n_groups, dtype=np.bool_)
    ptrA, lam_in = np.zeros(n_groups + 1, dtype=np.int64), np.zeros(n_groups)
    GA, L = np.empty((p, p)), np.empty((p, p))
    wA, qA, dA, cA = np.zeros(p), np.zeros(p), np.zeros(p), np.zeros(p)
    z, step, image = np.empty(p), np.empty(p), np.empty(p)
    for j in range(p):
        q[j] = c[j]
    # Literals would be types of their own, compiled once more.
    m = held = np.int64(0)
    for k in range(strengths.shape[0]):
        strength = strengths[k]
        sweeps = newtons = looks = 0
        solved = False
        first = True
        stride, level = outlook(strengths, k, 0.0)
        gap = primal = scale = 0.0
        while True:
            added = 0
            for u in range(n_groups):
                if inside[u]:
                    continue
                begin, end = ptr[u], ptr[u + 1]
                for i in range(begin, end):
                    z[i] = q[i] + stride * (q[i] - before[i])
                here, ahead = _norm(q, begin, end), _norm(z, begin, end)
                if exceeds(here, ahead, lam[u], strength, level):
                    inside[u] = True
                    for j in range(begin, end):
                        for a in range(m):
                            value = G[j, order[a]]
                            GA[m, a] = value
                            GA[a, m] = value
                        GA[m, m] = G[j, j]
                        order[m] = j
                        dA[m], cA[m], wA[m] = max(G[j, j], 0.0), c[j], 0.0
                        m += 1
                    lam_in[held] = lam[u]
                    held += 1
                    ptrA[held] = m
                    added += 1
            for a in range(m):
                qA[a] = q[order[a]]
            inner = 0.5 * goal if added > 0 or first else 0.1 * goal
            since = 0
            while sweeps < budget:
                moved = _sweep(GA, wA, qA, dA, lam_in, strength, ptrA, held, z)
                sweeps += 1
                since += 1
                if moved <= 2.0 * inner or since % _LOOK == 0:
                    gap, _, _ = _gap(lam_in, strength, wA, qA, cA, yy, ptrA, held)
                    if gap <= inner:
                        break
                    nz = 0
                    for a in range(m):
                        if wA[a] != 0.0:
                            nz += 1
                    if since >= _FIRST_NEWTON + _NEWTON_SHARE * nz:
                        newtons += 1
                        since = 0
                        if _newton(
                            GA, wA, qA, lam_in, strength, ptrA, held, L, index, owner,
                            step, image,
                        ):  # fmt: skip
                            gap, _, _ = _gap(
                                lam_in, strength, wA, qA, cA, yy, ptrA, held
                            )
                            if gap <= inner:
                                break
            if first:
                for j in range(p):
                    before[j] = q[j]
                first, level = False, np.inf
            _products(G, c, order, wA, m, q)
            looks += 1
            for a in range(m):
                w[order[a]] = wA[a]
            gap, primal, scale = _gap(lam, strength, w, q, c, yy, ptr, n_groups)
            if gap <= goal:
                solved = True
                break
            if sweeps >= budget or looks > 50:
                break
        for j in range(p):
            W[k, j] = w[j]
        gaps[k, 0], gaps[k, 1], gaps[k, 2] = gap, primal, scale
        info[k, 0], info[k, 1], info[k, 2] = sweeps, newtons, looks
        if not solved:
            return k
    return strengths.shape[0]
