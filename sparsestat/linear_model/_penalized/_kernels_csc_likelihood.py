"""Whole paths of elastic nets on likelihoods of sparse columns, in one call.

Proximal Newton steps on a list of features. A model is a weighted squared loss, so that
the moves are those of ``_kernels_csc_path``, on copies of the listed columns times the
roots of the curvatures: a copy costs little more than a sweep, and every step has its
own. Sweeps leave out what rests far from moving; Newton steps by conjugate gradients
come where sweeps do not get ahead. Gaps are measured on all features, from the
coefficients that are returned.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.linear_model._penalized._kernels_csc_path import (
    _DOT,
    _all_products,
    _newton,
    _products,
)
from sparsestat.linear_model._penalized._kernels_entry import enters, outlook
from sparsestat.linear_model._penalized._kernels_likelihood import (
    _bound,
    _copy,
    _dot,
    _fill,
    _measure,
    _penalty,
    _settle,
    _total,
)
from sparsestat.linear_model._penalized._kernels_losses import evaluate, magnitude

_ARMIJO, _ROUNDING = 1e-4, 1e-14
_MOST_STEPS = 60  # models between two looks at all features
_MOST_LOOKS = 40
_AIM = 0.003  # share of what is missing that a model may leave
_RESTS = 0.9  # share of its bound below which a feature at zero is left out of sweeps
_NEWTON = 4  # sweeps before a Newton step
_MOST_CG = 20


@njit(cache=True, nogil=True, fastmath=_DOT)
def _sweep(
    ptr, rows, values, mean, w, square, lam, l2, u, beta, total, strength, ridge, index,
    k, positive, has_gap,
):  # fmt: skip
    """One cycle over the features listed in `index`, which loses those at rest.

    Returns how many are left, beta, and about what was missing to the minimum.
    """
    kept = 0
    missing = 0.0
    for i in range(k):
        a = index[i]
        start, stop = ptr[a], ptr[a + 1]
        z = beta * mean[a] * total
        for p in range(start, stop):
            z += values[p] * u[rows[p]]
        old = w[a]
        level = strength * lam[a]
        if old == 0.0:
            top = z if positive else abs(z)
            if top <= level:
                if top > _RESTS * level:
                    index[kept] = a
                    kept += 1
                continue
        index[kept] = a
        kept += 1
        d = square[a]
        bend = ridge * l2[a]
        slope = z - bend * old
        z += d * old
        new = 0.0
        if z > level:
            new = (z - level) / (d + bend)
        elif z < -level and not positive:
            new = (z + level) / (d + bend)
        if old > 0.0 or (old == 0.0 and new > 0.0):
            slope -= level
        else:
            slope += level
        slope = abs(slope)
        if has_gap:
            missing += slope * max(abs(old), abs(new))
        else:
            missing = max(missing, slope)
        if new != old:
            step = new - old
            w[a] = new
            beta += step * mean[a]
            for p in range(start, stop):
                u[rows[p]] -= step * values[p]
    return kept, beta, missing


@njit(cache=True, nogil=True)
def _minimize_model(
    ptr, rows, values, mean, v, r, square, lam, l2, u, beta, total, strength, ridge, m,
    positive, has_gap, goal, most, index, every, support, work, image,
):  # fmt: skip
    """Bring the model at v to the goal; return the sweeps, Newton steps and beta."""
    k = m
    for a in range(m):
        index[a] = a
    sweeps = newtons = since = 0
    while sweeps < most:
        k, beta, missing = _sweep(
            ptr, rows, values, mean, v, square, lam, l2, u, beta, total, strength,
            ridge, index, k, positive, has_gap,
        )  # fmt: skip
        sweeps += 1
        since += 1
        if missing <= goal:
            break
        if since >= _NEWTON:
            newtons += 1
            since = 0
            _products(ptr, rows, values, mean, u, beta, total, every, m, r)
            _, beta = _newton(
                ptr, rows, values, mean, v, r, square, lam, l2, u, beta, total,
                strength, ridge, m, support, work, image, _MOST_CG,
            )  # fmt: skip
    return sweeps, newtons, beta


@njit(cache=True, nogil=True, fastmath=_DOT)
def _weigh(data, indices, indptr, order, m, s, with_shift, ptr, rows, values, mean, sq):
    """Copy the listed columns times s; write their weighted means and squares.

    Squares are those of the columns less their means.
    """
    total = 0.0
    for i in range(s.shape[0]):
        total += s[i] * s[i]
    at, one = np.uint64(0), np.uint64(1)
    for a in range(m):
        j = order[a]
        ptr[a] = at
        first = second = 0.0
        for p in range(indptr[j], indptr[j + 1]):
            i = indices[p]
            value = data[p] * s[i]
            rows[at] = i
            values[at] = value
            first += value * s[i]
            second += value * value
            at += one
        mean[a] = 0.0
        if with_shift:
            mean[a] = first / total
            second = max(second - total * mean[a] * mean[a], 1e-12 * second)
        sq[a] = second
    ptr[m] = at
    return total


@njit(cache=True, nogil=True, fastmath=_DOT)
def _slopes(data, indices, indptr, means, order, m, g, lean, q):
    """Write the products of the listed columns with the negative gradient."""
    for a in range(m):
        j = order[a]
        z = 0.0
        for p in range(indptr[j], indptr[j + 1]):
            z += data[p] * g[indices[p]]
        q[a] = means[j] * lean - z


@njit(cache=True, nogil=True)
def _add_columns(data, indices, indptr, order, m, d, out):
    """Add the listed columns times d, not centered."""
    for a in range(m):
        value = d[a]
        if value != 0.0:
            j = order[a]
            for p in range(indptr[j], indptr[j + 1]):
                out[indices[p]] += value * data[p]


@njit(cache=True, nogil=True)
def csc_likelihood_path(
    data, indices, indptr, means, norms, y, s, code, shape, floor, with_shift, shift,
    has_gap, unit, lam, l2, strengths, ridges, positive, goal, budget, W, shifts, stats,
    info,
):  # fmt: skip
    """Solve for each strength in turn, until the gap or violation is at most `goal`.

    Parameters
    ----------
    data, indices, indptr : ndarrays
        Columns, not centered; the last two unsigned.
    means, norms : ndarray of shape (p,)
        Centers, and norms of the centered columns.
    y, s, code, shape, floor, with_shift, shift, has_gap, unit, lam, l2, strengths,
    ridges, positive, goal, budget, W, shifts, info
        As in ``_kernels_likelihood``.
    stats : ndarray of shape (K, 11)
        As there; and the sum of the coefficients' sizes times the norms.

    Returns
    -------
    n_solved : int
    """
    n, p = y.shape[0], means.shape[0]
    w, q, before = np.zeros(p), np.zeros(p), np.zeros(p)
    eta, g, h = np.full(n, shift), np.empty(n), np.empty(n)
    eta2, g2, h2 = np.empty(n), np.empty(n), np.empty(n)
    root, u, image, ones = np.empty(n), np.empty(n), np.empty(n), np.ones(n)
    nobody = np.empty(0, dtype=np.int64)
    order = np.empty(p, dtype=np.int64)
    every = np.arange(p)
    inside = np.zeros(p, dtype=np.bool_)
    ptr = np.zeros(p + 1, dtype=np.uint64)
    rows = np.empty(1024, dtype=indices.dtype)
    values = np.empty(1024)
    work = np.empty((5, 1))
    wA, qA, v, r, dA = np.zeros(p), np.zeros(p), np.zeros(p), np.zeros(p), np.zeros(p)
    lam_in, l2A, mu, step = np.zeros(p), np.zeros(p), np.zeros(p), np.zeros(p)
    index, support = np.empty(p, dtype=np.int64), np.empty(p, dtype=np.int64)
    m, held = np.int64(0), np.int64(0)  # features in the list, and their entries
    always, never = n > 0, n < 0
    value = evaluate(code, shape, floor, y, s, nobody, eta, g, h, always)
    _all_products(data, indices, indptr, means, ones, g, q)
    for j in range(p):
        q[j] = -q[j]
    w_before, shift_before = np.zeros(p), shift
    for k in range(strengths.shape[0]):
        strength, ridge = strengths[k], ridges[k]
        sweeps = models = looks = newtons = 0
        solved = False
        first = True
        stride, level = outlook(strengths, k, 0.0)
        inner = 0.7 * goal
        while True:
            added = 0
            for j in range(p):
                if inside[j] or norms[j] <= 0.0 or np.isinf(lam[j]):
                    continue
                if enters(q[j], before[j], lam[j], strength, level, stride, positive):
                    order[m] = j
                    inside[j] = True
                    lam_in[m], l2A[m], wA[m] = lam[j], l2[j], 0.0
                    mu[m] = means[j]
                    held += np.int64(indptr[j + 1] - indptr[j])
                    m += 1
                    added += 1
            if held > values.shape[0]:
                rows = np.empty(2 * held, dtype=indices.dtype)
                values = np.empty(2 * held)
            if work.shape[1] < m:
                work = np.empty((5, min(2 * m, p)))
            for a in range(m):
                qA[a] = q[order[a]]
            if first:
                moved = 0.0
                if stride > 0.0:
                    # A line through the last two solutions, if it leads downhill.
                    centers = stride * (shift - shift_before)
                    for a in range(m):
                        j = order[a]
                        v[a] = wA[a] + stride * (w[j] - w_before[j])
                        if v[a] * wA[a] <= 0.0:
                            v[a] = wA[a]
                        step[a] = v[a] - wA[a]
                        moved += abs(step[a])
                        centers -= step[a] * means[j]
                shift_last = shift
                if moved > 0.0:
                    _fill(image, centers)
                    _add_columns(data, indices, indptr, order, m, step, image)
                    for i in range(n):
                        eta2[i] = eta[i] + image[i]
                    new = evaluate(
                        code, shape, floor, y, s, nobody, eta2, g2, h2, always
                    )
                    present = value + _penalty(lam_in, l2A, strength, ridge, wA, m)
                    if new + _penalty(lam_in, l2A, strength, ridge, v, m) < present:
                        eta, eta2 = eta2, eta
                        g, g2 = g2, g
                        h, h2 = h2, h
                        value = new
                        shift += stride * (shift - shift_before)
                        for a in range(m):
                            wA[a] = v[a]
                        lean = _total(g) if with_shift else 0.0
                        _slopes(data, indices, indptr, means, order, m, g, lean, qA)
                shift_before = shift_last
                _copy(before, q)
                _copy(w_before, w)
                first, level = False, np.inf
            last, stalled = np.inf, 0
            for _ in range(_MOST_STEPS):
                # The slopes at the best intercept, as far as the model knows.
                lean = _total(g) if with_shift else 0.0
                for a in range(m):
                    r[a] = qA[a] + (mu[a] - means[order[a]]) * lean
                left = _bound(
                    lam_in, l2A, strength, ridge, wA, r, m, positive, has_gap, unit
                )
                if left <= inner or sweeps >= budget:
                    break
                if left > 0.9 * last:
                    stalled += 1
                    if stalled > 3:
                        break
                last = left
                # Features at rest that are far from moving leave the list.
                kept, held = np.int64(0), np.int64(0)
                for a in range(m):
                    j = order[a]
                    top = qA[a] if positive else abs(qA[a])
                    if wA[a] != 0.0 or top > 0.8 * strength * lam_in[a]:
                        order[kept], wA[kept], qA[kept] = j, wA[a], qA[a]
                        lam_in[kept], l2A[kept] = lam_in[a], l2A[a]
                        held += np.int64(indptr[j + 1] - indptr[j])
                        kept += 1
                    else:
                        inside[j] = False
                        w[j] = 0.0
                m = kept
                for i in range(n):
                    root[i] = np.sqrt(h[i])
                    u[i] = -g[i] / root[i]
                total = _weigh(
                    data, indices, indptr, order, m, root, with_shift, ptr, rows,
                    values, mu, dA,
                )  # fmt: skip
                for a in range(m):
                    v[a] = wA[a]
                aim = max(_AIM * left, 0.3 * inner)
                swept, jumps, _ = _minimize_model(
                    ptr, rows, values, mu, v, r, dA, lam_in, l2A, u, lean / total,
                    total, strength, ridge, m, positive, has_gap, aim, budget - sweeps,
                    index, every, support, work, image,
                )  # fmt: skip
                sweeps += swept
                models += 1
                newtons += jumps
                move = -lean / total if with_shift else 0.0
                change, center = 0.0, 0.0
                for a in range(m):
                    d = v[a] - wA[a]
                    step[a] = d
                    if d != 0.0:
                        move -= mu[a] * d
                        center += means[order[a]] * d
                        change += strength * lam_in[a] * (abs(v[a]) - abs(wA[a]))
                        change += 0.5 * ridge * l2A[a] * d * (v[a] + wA[a])
                        change -= qA[a] * d
                _fill(image, move)
                _add_columns(data, indices, indptr, order, m, step, image)
                move += center  # of the intercept that belongs to centered columns
                change += move * lean
                present = value + _penalty(lam_in, l2A, strength, ridge, wA, m)
                slack = _ROUNDING * abs(present)
                length = 1.0
                found = False
                while length > 1e-10:
                    for i in range(n):
                        eta2[i] = eta[i] + length * image[i]
                    new = evaluate(
                        code, shape, floor, y, s, nobody, eta2, g2, h2, always
                    )
                    for a in range(m):
                        r[a] = wA[a] + length * step[a]
                    after = new + _penalty(lam_in, l2A, strength, ridge, r, m)
                    # Where the objective has no digits left for the gain, the slopes
                    # may have some.
                    if after <= present + _ARMIJO * length * change or (
                        length == 1.0
                        and abs(change) <= 1e4 * slack
                        and after <= present + 10.0 * slack
                    ):
                        found = True
                        break
                    length *= 0.5
                if not found:
                    break
                for a in range(m):
                    wA[a] = v[a] if length == 1.0 else r[a]
                shift += length * move
                value = new
                eta, eta2 = eta2, eta
                g, g2 = g2, g
                h, h2 = h2, h
                lean = _total(g) if with_shift else 0.0
                _slopes(data, indices, indptr, means, order, m, g, lean, qA)
            # Afresh: steps have gathered rounding.
            if not with_shift:
                shift = 0.0
            center = reach = 0.0
            for a in range(m):
                w[order[a]] = wA[a]
                center += wA[a] * means[order[a]]
                reach += abs(wA[a]) * norms[order[a]]
            _fill(eta, 0.0)
            _add_columns(data, indices, indptr, order, m, wA, eta)
            for i in range(n):
                eta[i] += shift - center
            evaluate(code, shape, floor, y, s, nobody, eta, g, h, never)
            if with_shift:
                shift = _settle(code, shape, floor, y, s, nobody, eta, g, h, shift)
            value = evaluate(code, shape, floor, y, s, nobody, eta, g, h, always)
            _all_products(data, indices, indptr, means, ones, g, q)
            for j in range(p):
                q[j] = -q[j]
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
        for a in range(m):
            if wA[a] != 0.0:
                W[k, order[a]] = wA[a]
        shifts[k] = shift
        stats[k, 0], stats[k, 1] = objective, dual
        stats[k, 2], stats[k, 3] = measure, multiple
        stats[k, 4], stats[k, 5] = np.sqrt(_dot(g, g)), _total(g)
        stats[k, 6] = _dot(g, eta) - shift * stats[k, 5]
        steepest = 0.0
        for i in range(n):
            steepest = max(steepest, h[i])
        stats[k, 7] = magnitude(code, shape, y, s, eta, value)
        stats[k, 8], stats[k, 9], stats[k, 10] = steepest, slope, reach
        info[k, 0], info[k, 1], info[k, 2] = sweeps, models, looks
        info[k, 4] = newtons
        if not solved:
            return k
    return strengths.shape[0]
