"""Whole paths of the elastic net on sparse columns, in one call.

The residual is kept as ``u + beta s``, s the roots of the sample weights, so that a
column costs its entries although it is centered. Features enter a list in the order in
which they are met, with a copy of their entries side by side. Sweeps over the list
alternate with Newton steps by conjugate gradients on the support. Every strength ends
with a residual computed afresh and its products with all features: gaps are measured
from the data. Rows and bounds of columns are unsigned, which spares the loops a test at
every entry.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.linear_model._penalized._kernels_entry import enters, outlook

_DOT = {"reassoc", "contract", "arcp", "nsz"}
_LOOK = 5  # sweeps between two looks at the gap of the list
_NEWTON = 10  # sweeps before a Newton step
_MOST_CG, _CG_RTOL = 40, 0.03  # steps of conjugate gradients, and what they aim at


@njit(cache=True, nogil=True, fastmath=_DOT)
def _gap(
    lam, l2, strength, ridge, w, q, norms, m, residual, target_dot, slip, positive
):
    """Return gap, primal value, scaling and error, of m features.

    The error is that of the dual value where it is the one of the residual itself and
    not of its multiple, `slip` bounding those of the products relative to the norms.
    """
    absolute = 0.0
    square = 0.0
    ratio = 0.0
    for a in range(m):
        shrunk = q[a]
        size = abs(w[a])
        if size > 0.0:
            absolute += lam[a] * size
            square += l2[a] * size * size
            shrunk -= ridge * l2[a] * w[a]
        top = shrunk if positive else abs(shrunk)
        if top > ratio * strength * lam[a]:
            ratio = top / (strength * lam[a])
    augmented = residual + ridge * square
    primal = 0.5 * residual + strength * absolute + 0.5 * ridge * square
    best = target_dot / augmented if augmented > 0.0 else 0.0
    scale = max(min(best, 1.0 / ratio if ratio > 0.0 else np.inf), 0.0)
    dual = scale * target_dot - 0.5 * scale * scale * augmented
    if ridge == 0.0:
        return primal - dual, primal, scale, 0.0
    conjugate = 0.0
    error = 0.0
    for a in range(m):
        over = (q[a] if positive else abs(q[a])) - strength * lam[a]
        reach = slip * norms[a]
        if over + reach > 0.0:
            error += (over + reach) * reach / (ridge * l2[a])
            if over > 0.0:
                conjugate += 0.5 * over * over / (ridge * l2[a])
    soft = target_dot - 0.5 * residual - conjugate
    if soft <= dual:
        error = 0.0
    return primal - max(dual, soft), primal, scale, error


@njit(cache=True, nogil=True, fastmath=_DOT)
def _sweep(
    ptr, rows, values, mean, w, square, lam, l2, u, beta, total, strength, ridge, m,
    positive,
):  # fmt: skip
    """One cycle over the list; return the sum of squared moves, and beta."""
    moved = 0.0
    for a in range(m):
        start, stop = ptr[a], ptr[a + 1]
        z = beta * mean[a] * total
        for p in range(start, stop):
            z += values[p] * u[rows[p]]
        old = w[a]
        level = strength * lam[a]
        if old == 0.0 and z <= level and (positive or z >= -level):
            continue
        d = square[a]
        z += d * old
        new = 0.0
        if z > level:
            new = (z - level) / (d + ridge * l2[a])
        elif z < -level and not positive:
            new = (z + level) / (d + ridge * l2[a])
        if new != old:
            step = new - old
            w[a] = new
            moved += d * step * step
            beta += step * mean[a]
            for p in range(start, stop):
                u[rows[p]] -= step * values[p]
    return moved, beta


@njit(cache=True, nogil=True, fastmath=_DOT)
def _products(ptr, rows, values, mean, u, beta, total, index, k, out):
    """Write the products of the listed columns with the residual ``u + beta s``."""
    for i in range(k):
        a = index[i]
        z = beta * mean[a] * total
        for p in range(ptr[a], ptr[a + 1]):
            z += values[p] * u[rows[p]]
        out[i] = z


@njit(cache=True, nogil=True)
def _image(ptr, rows, values, mean, step, index, k, out):
    """Write the product of the listed columns with a step; return its beta."""
    for i in range(out.shape[0]):
        out[i] = 0.0
    shift = 0.0
    for i in range(k):
        a = index[i]
        value = step[i]
        shift -= value * mean[a]
        for p in range(ptr[a], ptr[a + 1]):
            out[rows[p]] += value * values[p]
    return shift


@njit(cache=True, nogil=True, fastmath=_DOT)
def _newton(
    ptr, rows, values, mean, w, q, square, lam, l2, u, beta, total, strength, ridge, m,
    index, work, image, most,
):  # fmt: skip
    """A Newton step on the support, up to where signs change; whether it moved, beta.

    Rows of `work` are scratch.
    """
    k = 0
    for a in range(m):
        if w[a] != 0.0:
            index[k] = a
            k += 1
    if k == 0:
        return False, beta
    slope, x, r, move, product = work[0], work[1], work[2], work[3], work[4]
    rz = 0.0
    for i in range(k):
        a = index[i]
        sign = 1.0 if w[a] > 0.0 else -1.0
        slope[i] = q[a] - strength * lam[a] * sign - ridge * l2[a] * w[a]
        x[i] = 0.0
        r[i] = slope[i]
        move[i] = slope[i] / (square[a] + ridge * l2[a])
        rz += slope[i] * move[i]
    goal = _CG_RTOL * _CG_RTOL * rz
    for _ in range(most):
        if rz <= goal or rz <= 0.0:
            break
        shift = _image(ptr, rows, values, mean, move, index, k, image)
        _products(ptr, rows, values, mean, image, shift, total, index, k, product)
        curvature = 0.0
        for i in range(k):
            product[i] += ridge * l2[index[i]] * move[i]
            curvature += move[i] * product[i]
        if curvature <= 0.0:
            break
        length = rz / curvature
        rz_new = 0.0
        for i in range(k):
            a = index[i]
            x[i] += length * move[i]
            r[i] -= length * product[i]
            rz_new += r[i] * r[i] / (square[a] + ridge * l2[a])
        share = rz_new / rz
        rz = rz_new
        for i in range(k):
            a = index[i]
            move[i] = r[i] / (square[a] + ridge * l2[a]) + share * move[i]
    ascent = 0.0
    curvature = 0.0
    for i in range(k):
        a = index[i]
        if (w[a] + x[i]) * w[a] <= 0.0:
            x[i] = -w[a]
        ascent += slope[i] * x[i]
        curvature += ridge * l2[a] * x[i] * x[i]
    if not ascent > 0.0:
        return False, beta
    shift = _image(ptr, rows, values, mean, x, index, k, image)
    for i in range(image.shape[0]):
        curvature += image[i] * image[i]
    curvature -= shift * shift * total
    length = 1.0
    if curvature > ascent:
        length = ascent / curvature
    for i in range(k):
        a = index[i]
        if length == 1.0 and x[i] == -w[a]:
            w[a] = 0.0
        else:
            w[a] += length * x[i]
    for i in range(image.shape[0]):
        u[i] -= length * image[i]
    return True, beta - length * shift


@njit(cache=True, nogil=True, fastmath=_DOT)
def _residual(y, roots, ptr, rows, values, mean, w, m, r):
    """Write the residual, computed afresh; return its square and product with y."""
    for i in range(r.shape[0]):
        r[i] = y[i]
    shift = 0.0
    for a in range(m):
        value = w[a]
        if value != 0.0:
            shift += value * mean[a]
            for p in range(ptr[a], ptr[a + 1]):
                r[rows[p]] -= value * values[p]
    square = 0.0
    target_dot = 0.0
    for i in range(r.shape[0]):
        r[i] += shift * roots[i]
        square += r[i] * r[i]
        target_dot += r[i] * y[i]
    return square, target_dot


@njit(cache=True, nogil=True, fastmath=_DOT)
def _all_products(data, indices, indptr, means, roots, r, q):
    """Write the products of all columns with the residual."""
    level = 0.0
    for i in range(r.shape[0]):
        level += roots[i] * r[i]
    for j in range(q.shape[0]):
        z = 0.0
        for p in range(indptr[j], indptr[j + 1]):
            z += data[p] * r[indices[p]]
        q[j] = z - means[j] * level


@njit(cache=True, nogil=True)
def csc_path(
    data, indices, indptr, means, squares, roots, total, y, lam, l2, strengths, ridges,
    positive, goal, budget, unit, W, gaps, info,
):  # fmt: skip
    """Solve for each strength in turn, until the gap is at most `goal`.

    Parameters
    ----------
    data, indices, indptr : ndarrays
        Columns, scaled by the roots and not centered; the last two unsigned.
    means, squares : ndarray of shape (p,)
        Centers, and squared norms of the centered columns.
    roots : ndarray of shape (n,)
        Roots of the sample weights.
    total : float
        Their sum of squares.
    y : ndarray of shape (n,)
        Centered and scaled, too.
    lam, l2 : ndarray of shape (p,)
        Multipliers of the strengths and ridges; those of lam are positive, infinite for
        features that are dropped.
    strengths, ridges : ndarray of shape (n_strengths,)
    positive : bool
    goal : float
    budget : int
        Sweeps for each strength; when they do not suffice the path ends there.
    unit : float
        Bound of the rounding of a product, relative to the norms.
    W : ndarray of shape (n_strengths, p)
        Zeros; the coefficients come here.
    gaps : ndarray of shape (n_strengths, 7)
        Gap, primal value, scaling of the dual point, an error of the dual value (see
        ``_gap``), norm of the residual, its product with y, and the sum of the
        coefficients' sizes times the norms of their columns.
    info : ndarray of shape (n_strengths, 3)
        Sweeps, Newton steps and looks at all features.

    Returns
    -------
    n_solved : int
    """
    n, p = y.shape[0], means.shape[0]
    norms = np.sqrt(squares)
    w, q, before = np.zeros(p), np.empty(p), np.zeros(p)
    u = y.copy()
    _all_products(data, indices, indptr, means, roots, u, q)
    order = np.empty(p, dtype=np.int64)
    every = np.arange(p)
    inside = np.zeros(p, dtype=np.bool_)
    ptr = np.zeros(p + 1, dtype=np.uint64)
    rows = np.empty(1024, dtype=indices.dtype)
    values = np.empty(1024)
    wA, qA, lastA, dA, normA = (
        np.zeros(p), np.zeros(p), np.zeros(p), np.zeros(p), np.zeros(p),
    )  # fmt: skip
    lam_in, l2A, meanA = np.zeros(p), np.zeros(p), np.zeros(p)
    index, image = np.empty(p, dtype=np.int64), np.empty(n)
    work = np.empty((5, 1))
    m = np.int64(0)
    for k in range(strengths.shape[0]):
        strength, ridge = strengths[k], ridges[k]
        sweeps = newtons = looks = 0
        solved = False
        first = True
        stride, level = outlook(strengths, k, 0.0)
        beta = 0.0
        while True:
            added = 0
            for j in range(p):
                if inside[j] or squares[j] <= 0.0 or np.isinf(lam[j]):
                    continue
                if enters(q[j], before[j], lam[j], strength, level, stride, positive):
                    start = np.int64(ptr[m])
                    stop = start + np.int64(indptr[j + 1] - indptr[j])
                    if stop > values.shape[0]:
                        more_rows = np.empty(2 * stop, dtype=indices.dtype)
                        more_values = np.empty(2 * stop)
                        for at in range(start):
                            more_rows[at] = rows[at]
                            more_values[at] = values[at]
                        rows, values = more_rows, more_values
                    for at in range(indptr[j], indptr[j + 1]):
                        rows[start] = indices[at]
                        values[start] = data[at]
                        start += 1
                    ptr[m + 1] = stop
                    order[m] = j
                    inside[j] = True
                    dA[m], lam_in[m], l2A[m] = squares[j], lam[j], l2[j]
                    meanA[m], normA[m] = means[j], norms[j]
                    wA[m], lastA[m] = 0.0, 0.0
                    m += 1
                    added += 1
            if work.shape[1] < m:
                work = np.empty((5, min(2 * m, p)))
            if first:
                changed = 0
                step = work[0]
                for a in range(m):
                    change = stride * (wA[a] - lastA[a])
                    lastA[a] = wA[a]
                    if change != 0.0 and wA[a] * (wA[a] + change) > 0.0:
                        wA[a] += change
                        step[changed] = change
                        index[changed] = a
                        changed += 1
                if changed > 0:
                    shift = _image(
                        ptr, rows, values, meanA, step, index, changed, image
                    )
                    beta -= shift
                    for i in range(n):
                        u[i] -= image[i]
            inner = 0.5 * goal if added > 0 or first else 0.1 * goal
            since = 0
            while sweeps < budget:
                moved, beta = _sweep(
                    ptr, rows, values, meanA, wA, dA, lam_in, l2A, u, beta, total,
                    strength, ridge, m, positive,
                )  # fmt: skip
                sweeps += 1
                since += 1
                if moved > 2.0 * inner and since % _LOOK != 0:
                    continue
                _products(ptr, rows, values, meanA, u, beta, total, every, m, qA)
                residual = -beta * beta * total
                target_dot = 0.0
                for i in range(n):
                    residual += u[i] * u[i]
                    target_dot += u[i] * y[i]
                gap, _, _, _ = _gap(
                    lam_in, l2A, strength, ridge, wA, qA, normA, m, residual,
                    target_dot, 0.0, positive,
                )  # fmt: skip
                if gap <= inner:
                    break
                if since >= _NEWTON:
                    newtons += 1
                    since = 0
                    _, beta = _newton(
                        ptr, rows, values, meanA, wA, qA, dA, lam_in, l2A, u, beta,
                        total, strength, ridge, m, index, work, image, _MOST_CG,
                    )  # fmt: skip
            if first:
                for j in range(p):
                    before[j] = q[j]
            residual, target_dot = _residual(
                y, roots, ptr, rows, values, meanA, wA, m, u
            )
            beta = 0.0
            _all_products(data, indices, indptr, means, roots, u, q)
            looks += 1
            reach = 0.0
            for a in range(m):
                w[order[a]] = wA[a]
                reach += abs(wA[a]) * normA[a]
            size = np.sqrt(residual)
            gap, primal, scale, error = _gap(
                lam, l2, strength, ridge, w, q, norms, p, residual, target_dot,
                unit * size, positive,
            )  # fmt: skip
            first, level = False, np.inf
            if gap <= goal:
                solved = True
                break
            if sweeps >= budget or looks > 50:
                break
        for a in range(m):
            if wA[a] != 0.0:
                W[k, order[a]] = wA[a]
        gaps[k, 0], gaps[k, 1], gaps[k, 2], gaps[k, 3] = gap, primal, scale, error
        gaps[k, 4], gaps[k, 5], gaps[k, 6] = size, target_dot, reach
        info[k, 0], info[k, 1], info[k, 2] = sweeps, newtons, looks
        if not solved:
            return k
    return strengths.shape[0]
