"""Whole paths of elastic nets on likelihoods, in one call.

Proximal Newton steps on a list of features. The weighted Gram matrix of a model is kept
while it serves: it is formed anew where the steps that it still needs would cost more.
The intercept is minimized over inside the model, and exactly before a gap is measured.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.linear_model._penalized._kernels_entry import enters, outlook
from sparsestat.linear_model._penalized._kernels_losses import (
    COX,
    HUBER,
    conjugate,
    evaluate,
    magnitude,
)
from sparsestat.linear_model._penalized._kernels_path import _newton, _sweep

_DOT = {"reassoc", "contract", "arcp", "nsz"}
_ROWS = 1024  # samples in a block of a Gram matrix
_ARMIJO, _ROUNDING = 1e-4, 1e-14
_MOST_STEPS = 60  # models between two looks at all features
_MOST_LOOKS = 40
_SETTLED = 1e-13  # sum of the gradient beside that of its absolute values
_MARGIN = 0.25  # of a step in strength by which features are expected too early
_FIRST_NEWTON, _NEWTON_SHARE = 4, 0.05  # sweeps before a Newton step pays
_BLAS = 6.0  # how much quicker a product of matrices is than one of vectors
_EVALUATION = 12.0  # cost of the loss of a sample, in multiplications


@njit(cache=True, nogil=True, fastmath=_DOT)
def _dot(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True, fastmath=_DOT)
def _add(a, scale, b):
    for i in range(a.shape[0]):
        a[i] += scale * b[i]


@njit(cache=True, nogil=True)
def _fill(a, value):
    for i in range(a.shape[0]):
        a[i] = value


@njit(cache=True, nogil=True)
def _copy(a, b):
    # Assignments of slices compile for seconds.
    for i in range(a.shape[0]):
        a[i] = b[i]


@njit(cache=True, nogil=True, fastmath=_DOT)
def _total(a):
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i]
    return total


@njit(cache=True, nogil=True, fastmath=_DOT)
def _correlate(A, g, q):
    product = np.dot(A, g)
    for j in range(q.shape[0]):
        q[j] = -product[j]


@njit(cache=True, nogil=True)
def _larger(H, m, capacity):
    out = np.zeros((capacity, capacity))
    for a in range(m):
        for b in range(m):
            out[a, b] = H[a, b]
    return out


@njit(cache=True, nogil=True)
def _gram(A, order, start, m, h, with_shift, mu, root, T, H):
    """Write rows and columns from `start` on of the Gram matrix weighted by h into H.

    With an intercept the columns are centered by their weighted means, mu.
    """
    n = A.shape[1]
    for a in range(start, m):
        mu[a] = 0.0
    if with_shift:
        total = _total(h)
        for a in range(start, m):
            mu[a] = _dot(A[order[a]], h) / total
    for i in range(n):
        root[i] = np.sqrt(h[i])
    for a in range(start, m):
        for b in range(m):
            H[a, b] = 0.0
    for begin in range(0, n, _ROWS):
        size = min(_ROWS, n - begin)
        block = T[: m * size].reshape(m, size)
        for a in range(m):
            row, out = A[order[a]], block[a]
            for i in range(size):
                out[i] = (row[begin + i] - mu[a]) * root[begin + i]
        part = np.dot(block[start:], block.T)
        for a in range(start, m):
            for b in range(m):
                H[a, b] += part[a - start, b]
    for a in range(start):
        for b in range(start, m):
            H[a, b] = H[b, a]


@njit(cache=True, nogil=True, fastmath=_DOT)
def _bound(lam, l2, strength, ridge, w, q, m, positive, has_gap, unit):
    """Return about what is missing to the optimum over m features, to first order.

    Of a gap: what complementary slackness lacks, and what the scaling of the dual
    point costs; with a ridge the exact gap. Otherwise the largest violation.
    """
    missing = 0.0
    fitted = 0.0
    ratio = 0.0
    worst = 0.0
    for a in range(m):
        bound, bend = strength * lam[a], ridge * l2[a]
        size = abs(w[a])
        top = q[a] if positive else abs(q[a])
        over = max(top - bound, 0.0)
        if has_gap:
            missing += bound * size - q[a] * w[a]
            fitted += q[a] * w[a]
            ratio = max(ratio, top / bound)
            if ridge > 0.0:
                missing += 0.5 * bend * size * size + 0.5 * over * over / bend
        elif size > 0.0:
            pull = bound if w[a] > 0.0 else -bound
            worst = max(worst, abs(q[a] - bend * w[a] - pull))
        else:
            worst = max(worst, over)
    if not has_gap:
        return worst
    if ridge == 0.0 and ratio > 1.0:
        excess = ratio - 1.0
        missing += excess * max(fitted, 0.0) + min(excess * excess, 1.0) * unit
    return missing


@njit(cache=True, nogil=True, fastmath=_DOT)
def _penalty(lam, l2, strength, ridge, w, m):
    total = 0.0
    for a in range(m):
        size = abs(w[a])
        if size > 0.0:
            total += strength * lam[a] * size + 0.5 * ridge * l2[a] * size * size
    return total


@njit(cache=True, nogil=True)
def _minimize_model(
    H, v, r, dA, lam_in, l2A, strength, ridge, m, positive, has_gap, unit, goal, most,
    L, index, step,
):  # fmt: skip
    """Bring the model at v, whose negative slope is r, to the goal; count the work."""
    sweeps = newtons = since = 0
    while sweeps < most:
        _sweep(H, v, r, dA, lam_in, l2A, strength, ridge, m, positive)
        sweeps += 1
        since += 1
        if since % 2 == 1 and since > 1:
            continue
        left = _bound(lam_in, l2A, strength, ridge, v, r, m, positive, has_gap, unit)
        if left <= goal:
            break
        nz = 0
        for a in range(m):
            if v[a] != 0.0:
                nz += 1
        if since >= _FIRST_NEWTON + _NEWTON_SHARE * nz:
            newtons += 1
            since = 0
            if _newton(H, v, r, lam_in, l2A, strength, ridge, m, L, index, step):
                left = _bound(
                    lam_in, l2A, strength, ridge, v, r, m, positive, has_gap, unit
                )
                if left <= goal:
                    break
    return sweeps, newtons


@njit(cache=True, nogil=True)
def _settle(code, shape, floor, y, s, first_tied, eta, g, h, shift):
    """Shift eta until the gradient sums to zero; return the shift in all.

    Newton's method, kept inside a bracket. g and h are those of eta on both ends.
    """
    # Huber's model is never that flat, and its targets have any unit.
    low, high, reach = -np.inf, np.inf, np.inf if code == HUBER else 8.0
    change, n = 0.0, eta.shape[0]
    for _ in range(100):
        slope, absolute = 0.0, 0.0
        for i in range(g.shape[0]):
            slope += g[i]
            absolute += abs(g[i])
        if abs(slope) <= _SETTLED * absolute:
            break
        if slope > 0.0:
            high = change
        else:
            low = change
        move = -slope / _total(h)
        move = min(max(move, -reach), reach)
        reach *= 2.0
        new = change + move
        if not (low < new < high):
            new = 0.5 * (low + high)
            if not np.isfinite(new):
                new = change + min(max(move, -8.0), 8.0)
        move = new - change
        if abs(move) <= 2.0e-16 * (abs(new) + abs(shift)):
            break
        for i in range(eta.shape[0]):
            eta[i] += move
        change = new
        evaluate(code, shape, floor, y, s, first_tied, eta, g, h, n < 0)
    return shift + change


@njit(cache=True, nogil=True)
def _measure(
    code, shape, y, s, eta, g, q, w, norms, lam, l2, strength, ridge, positive, has_gap,
    objective,
):  # fmt: skip
    """Return the gap, the dual value, its multiple of the gradient and a slope.

    Without a gap the largest violation, and what there is none of. The slope is that
    of the dual value in errors of q relative to the norms of the columns; zero where
    the scaled gradient is the better dual point.
    """
    worst, ratio, soft, slope = 0.0, 0.0, 0.0, 0.0
    for j in range(q.shape[0]):
        if np.isinf(lam[j]):
            continue
        bound, bend = strength * lam[j], ridge * l2[j]
        top = q[j] if positive else abs(q[j])
        if has_gap:
            ratio = max(ratio, top / bound)
            if ridge > 0.0 and top > bound:
                soft += 0.5 * (top - bound) ** 2 / bend
                slope += (top - bound) * norms[j] / bend
        elif w[j] != 0.0:
            pull = bound if w[j] > 0.0 else -bound
            worst = max(worst, abs(q[j] - bend * w[j] - pull))
        else:
            worst = max(worst, top - bound)
    if not has_gap:
        return worst, np.nan, 0.0, 0.0
    multiple = 1.0 / ratio if ratio > 1.0 else 1.0
    dual = -conjugate(code, shape, y, s, eta, g, multiple)
    if ridge > 0.0 and ratio > 1.0:
        # With a ridge the gradient itself has a finite dual value.
        other = -conjugate(code, shape, y, s, eta, g, 1.0) - soft
        if other > dual:
            dual, multiple = other, 1.0
        else:
            slope = 0.0
    return max(objective - dual, 0.0), dual, multiple, slope


@njit(cache=True, nogil=True)
def likelihood_path(
    A, y, s, first_tied, norms, code, shape, floor, with_shift, shift, has_gap, unit,
    lam, l2, strengths, ridges, positive, goal, budget, W, shifts, stats, info,
):  # fmt: skip
    """Solve for each strength in turn, until the gap or violation is at most `goal`.

    Parameters
    ----------
    A : ndarray of shape (p, n)
        Centered features as rows.
    y, s : ndarray of shape (n,)
        Target and weights, all positive.
    first_tied : ndarray of int of shape (n,)
        See ``_kernels_losses``.
    norms : ndarray of shape (p,)
        Norms of the features.
    code, shape, floor : see ``_kernels_losses``
    with_shift : bool
    shift : float
        The intercept alone that is best.
    has_gap : bool
        Whether gaps are measured, or the largest violation.
    unit : float
        What there is to explain by the features.
    lam, l2 : ndarray of shape (p,)
        Multipliers of strengths and ridges; lam positive, infinite for features that
        are dropped.
    strengths, ridges : ndarray of shape (K,)
    positive : bool
    goal : float
    budget : int
        Sweeps for each strength; when they do not suffice the path ends there.
    W : ndarray of shape (K, p)
    shifts : ndarray of shape (K,)
    stats : ndarray of shape (K, at least 10)
        Objective, dual value, gap or violation, multiple of the gradient; norm and sum
        of the gradient, its product with the fit, absolute terms of the loss, largest
        curvature; slope of the conjugate in errors of the products.
    info : ndarray of shape (K, 5)
        Sweeps, models, looks at all features, Gram matrices and Newton steps.

    Returns
    -------
    n_solved : int
    """
    p, n = A.shape
    w, q, before = np.zeros(p), np.zeros(p), np.zeros(p)
    eta, g, h = np.full(n, shift), np.empty(n), np.empty(n)
    eta2, g2, h2 = np.empty(n), np.empty(n), np.empty(n)
    held, image = np.empty(n), np.empty(n)
    order = np.empty(p, dtype=np.int64)
    inside = np.zeros(p, dtype=np.bool_)
    capacity = min(p, 32)
    H, L = np.zeros((capacity, capacity)), np.empty((capacity, capacity))
    T, root = np.empty(capacity * min(n, _ROWS)), np.empty(n)
    wA, qA, dA, v, r = np.zeros(p), np.zeros(p), np.zeros(p), np.zeros(p), np.zeros(p)
    lam_in, l2A, mu = np.zeros(p), np.zeros(p), np.zeros(p)
    index, step = np.empty(p, dtype=np.int64), np.empty(p)
    # Features in the list, and those among them that H knows; not literals, of which
    # each is a type of its own and compiles what is called with it once more.
    m = fresh = np.int64(0)
    always, never = n > 0, n < 0
    # Survival times do not see a constant; the best one brings the model closer.
    centers = with_shift or code == COX
    value = evaluate(code, shape, floor, y, s, first_tied, eta, g, h, always)
    _correlate(A, g, q)
    w_before, shift_before = np.zeros(p), shift
    for k in range(strengths.shape[0]):
        strength, ridge = strengths[k], ridges[k]
        sweeps = models = looks = grams = newtons = 0
        solved = False
        first = True
        stride, level = outlook(strengths, k, _MARGIN)
        inner = 0.7 * goal
        while True:
            added = 0
            for j in range(p):
                if inside[j] or norms[j] <= 0.0 or np.isinf(lam[j]):
                    continue
                if enters(q[j], before[j], lam[j], strength, level, stride, positive):
                    order[m] = j
                    inside[j] = True
                    lam_in[m], l2A[m], wA[m], mu[m] = lam[j], l2[j], 0.0, 0.0
                    m += 1
                    added += 1
            if m > capacity:
                capacity = min(max(2 * capacity, m), p)
                H = _larger(H, fresh, capacity)
                L = np.empty((capacity, capacity))
                T = np.empty(capacity * min(n, _ROWS))
            for a in range(m):
                qA[a] = q[order[a]]
            last, stalled, renewed = np.inf, 0, False
            if first and stride > 0.0:
                # A line through the last two solutions, if it leads downhill.
                _fill(image, stride * (shift - shift_before))
                for a in range(m):
                    j = order[a]
                    v[a] = wA[a] + stride * (w[j] - w_before[j])
                    if v[a] * wA[a] <= 0.0:
                        v[a] = wA[a]
                    elif v[a] != wA[a]:
                        _add(image, v[a] - wA[a], A[j])
                for i in range(n):
                    eta2[i] = eta[i] + image[i]
                new = evaluate(
                    code, shape, floor, y, s, first_tied, eta2, g2, h2, always
                )
                gained = value + _penalty(lam_in, l2A, strength, ridge, wA, m)
                if new + _penalty(lam_in, l2A, strength, ridge, v, m) < gained:
                    eta, eta2 = eta2, eta
                    g, g2 = g2, g
                    h, h2 = h2, h
                    value, ahead = new, shift + stride * (shift - shift_before)
                    shift_before, shift = shift, ahead
                    for a in range(m):
                        wA[a] = v[a]
                        qA[a] = -_dot(A[order[a]], g)
                else:
                    shift_before = shift
            elif first:
                shift_before = shift
            if first:
                _copy(before, q)
                _copy(w_before, w)
                first, level = False, np.inf
            for models_here in range(_MOST_STEPS):
                # The slopes at the best intercept, as far as the model knows.
                lean = _total(g) if centers else 0.0
                for a in range(m):
                    r[a] = qA[a] + mu[a] * lean
                left = _bound(
                    lam_in, l2A, strength, ridge, wA, r, m, positive, has_gap, unit
                )
                if left <= inner or sweeps >= budget:
                    break
                # How many steps of this model are left, and whether they cost more
                # than a new one.
                if left > 0.9 * last and renewed:
                    stalled += 1
                    if stalled > 3:
                        break
                renew = fresh == 0
                if not renew and models_here > 0:
                    rate = left / last
                    cost = 2.0 * m * n + _EVALUATION * n
                    ahead = np.inf
                    if rate < 0.9:
                        ahead = np.log(inner / left) / np.log(rate)
                    new = m * m * n / _BLAS + 2.0 * cost
                    renew = rate > 0.9 or max(ahead, 1.0) * cost > new
                renewed = renew
                if renew:
                    # Features at rest that are far from moving leave the list.
                    kept = 0
                    for a in range(m):
                        j = order[a]
                        top = qA[a] if positive else abs(qA[a])
                        if wA[a] != 0.0 or top > 0.8 * strength * lam_in[a]:
                            order[kept], wA[kept], qA[kept] = j, wA[a], qA[a]
                            lam_in[kept], l2A[kept] = lam_in[a], l2A[a]
                            kept += 1
                        else:
                            inside[j] = False
                            w[j] = 0.0
                    m = kept
                    _copy(held, h)
                    grams += 1
                    fresh = np.int64(0)
                elif models_here == 0 and stride > 0.0:
                    # Curvatures rise and fall together: the model keeps up with them
                    # along the last step.
                    old = now = 0.0
                    for i in range(n):
                        old += held[i] * image[i] * image[i]
                        now += h[i] * image[i] * image[i]
                    if now > 0.0 and old > 0.0:
                        factor = min(max(now / old, 0.2), 5.0)
                        for i in range(n):
                            held[i] *= factor
                        for a in range(fresh):
                            dA[a] *= factor
                            for b in range(fresh):
                                H[a, b] *= factor
                if fresh < m:
                    _gram(A, order, fresh, m, held, centers, mu, root, T, H)
                    for a in range(fresh, m):
                        dA[a] = H[a, a]
                    fresh = m
                last = left
                for a in range(m):
                    v[a] = wA[a]
                    r[a] = qA[a] + mu[a] * lean
                aim = max(0.003 * left, 0.3 * inner)
                swept, jumps = _minimize_model(
                    H, v, r, dA, lam_in, l2A, strength, ridge, m, positive, has_gap,
                    unit, aim, budget - sweeps, L, index, step,
                )  # fmt: skip
                sweeps += swept
                models += 1
                newtons += jumps
                move = -lean / _total(held) if centers else 0.0
                change = 0.0
                _fill(image, 0.0)
                for a in range(m):
                    d = v[a] - wA[a]
                    if d != 0.0:
                        move -= mu[a] * d
                        _add(image, d, A[order[a]])
                        change += strength * lam_in[a] * (abs(v[a]) - abs(wA[a]))
                        change += 0.5 * ridge * l2A[a] * d * (v[a] + wA[a])
                        change -= qA[a] * d
                change += move * lean
                for i in range(n):
                    image[i] += move
                present = value + _penalty(lam_in, l2A, strength, ridge, wA, m)
                length = 1.0
                found = False
                while length > 1e-10:
                    for i in range(n):
                        eta2[i] = eta[i] + length * image[i]
                    new = evaluate(
                        code, shape, floor, y, s, first_tied, eta2, g2, h2, always
                    )
                    for a in range(m):
                        step[a] = wA[a] + length * (v[a] - wA[a])
                    total = new + _penalty(lam_in, l2A, strength, ridge, step, m)
                    slack = _ROUNDING * abs(present)
                    # Where the objective has no digits left for the gain, the slopes
                    # may have some.
                    if total <= present + _ARMIJO * length * change or (
                        length == 1.0
                        and abs(change) <= 1e4 * slack
                        and total <= present + 10.0 * slack
                    ):
                        found = True
                        break
                    length *= 0.5
                if not found:
                    break
                for a in range(m):
                    wA[a] = v[a] if length == 1.0 else step[a]
                shift += length * move
                value = new
                eta, eta2 = eta2, eta
                g, g2 = g2, g
                h, h2 = h2, h
                for a in range(m):
                    qA[a] = -_dot(A[order[a]], g)
            # Afresh: steps have gathered rounding.
            if not with_shift:
                shift = 0.0
            _fill(eta, shift)
            for a in range(m):
                w[order[a]] = wA[a]
                if wA[a] != 0.0:
                    _add(eta, wA[a], A[order[a]])
            evaluate(code, shape, floor, y, s, first_tied, eta, g, h, never)
            if with_shift:
                shift = _settle(code, shape, floor, y, s, first_tied, eta, g, h, shift)
            value = evaluate(code, shape, floor, y, s, first_tied, eta, g, h, always)
            _correlate(A, g, q)
            looks += 1
            objective = value + _penalty(lam, l2, strength, ridge, w, p)
            measure, dual, multiple, slope = _measure(
                code, shape, y, s, eta, g, q, w, norms, lam, l2, strength, ridge,
                positive, has_gap, objective,
            )  # fmt: skip
            if measure <= goal:
                solved = True
                break
            if sweeps >= budget or looks >= _MOST_LOOKS:
                break
            if added == 0:
                inner *= 0.3
        _copy(W[k], w)
        shifts[k] = shift
        stats[k, 0], stats[k, 1] = objective, dual
        stats[k, 2], stats[k, 3] = measure, multiple
        stats[k, 4], stats[k, 5] = np.sqrt(_dot(g, g)), _total(g)
        stats[k, 6] = _dot(g, eta) - shift * stats[k, 5]
        steepest = 0.0
        for i in range(n):
            steepest = max(steepest, h[i])
        stats[k, 7] = magnitude(code, shape, y, s, eta, value)
        stats[k, 8], stats[k, 9] = steepest, slope
        info[k, 0], info[k, 1], info[k, 2] = sweeps, models, looks
        info[k, 3], info[k, 4] = grams, newtons
        if not solved:
            return k
    return strengths.shape[0]
