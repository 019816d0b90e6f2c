"""Kernels of entropic transport: shifted exponentials, passes, graph Laplacians.

A *pass* visits the rows of a block of the cost matrix. It never exponentiates a
positive number, and skips entries that cannot change a sum in double precision.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.sparse._kernels_exp import exponentials

__all__ = [
    "add_dense_laplacian",
    "column_shifts",
    "column_sums",
    "column_totals",
    "conjugate_gradient",
    "laplacian_diagonal",
    "large_entries",
    "plan_pass",
    "rounding_pass",
    "row_pass",
    "select_entries",
    "split_entries",
]


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _shifted_row(cost, g, v):
    """Write g - cost into v and return its largest entry."""
    top = -np.inf
    for j in range(len(g)):
        x = g[j] - cost[j]
        v[j] = x
        if x > top:
            top = x
    return top


@njit(cache=True, nogil=True)
def row_pass(
    C, start, g, a, log_a, eps, cut, f, shift, c, stats, tau, indices, weights, ptr, nnz
):
    """Visit the rows of C from `start`; return the next row and the entries stored.

    For each row f_i = eps log a_i - eps log sum_j exp((g_j - C_ij)/eps), which
    makes the row sums of P equal to `a`. Adds the column sums of P to `c`, and to
    `stats` the values <C, P> and sum P log(P/a). Entries with P_ij/a_i > tau go to
    `indices` and `weights` (P_ij/a_i), the largest of a row first; tau > 1 stores
    nothing. Stops before a row that might not fit.
    """
    n, m = C.shape
    v = np.empty(m)
    x = np.empty(m)
    scratch = np.empty(m)
    kept = np.empty(m, dtype=np.int32)
    inverse_eps = 1.0 / eps
    for i in range(start, n):
        top = _shifted_row(C[i], g, v)
        # Beside costs of 1e16 eps the width of the window is lost in rounding.
        limit = min(top - cut * eps, np.nextafter(top, -np.inf))
        k = _count_above(v, limit)
        if tau <= 1.0 and nnz + k > len(indices):
            return i, nnz
        whole = 3 * k > m  # no use in picking out entries one by one
        if whole:
            k = m
            _scaled_row(v, top, eps, inverse_eps, x)
        else:
            _pick_above(v, limit, kept)
            for p in range(k):
                x[p] = (v[kept[p]] - top) * inverse_eps
        exponentials(x, scratch, k)
        if whole:
            total, value, entropy = _whole_sums(x, v, g, top)
        else:
            total, value, entropy = 0.0, 0.0, 0.0
            for p in range(k):
                j = kept[p]
                total += x[p]
                value += x[p] * (g[j] - v[j])
                entropy += x[p] * (v[j] - top)
        inverse = 1.0 / total
        log_total = np.log(total)
        f[i] = eps * (log_a[i] - log_total) - top
        shift[i] = top
        mass = a[i] * inverse
        stats[0] += value * mass
        stats[1] += mass * inverse_eps * entropy - a[i] * log_total
        if whole:
            _add_scaled(x, mass, c)
        else:
            for p in range(k):
                c[kept[p]] += x[p] * mass
        if tau <= 1.0:
            first = nnz
            largest = 0.0
            bound = tau * total
            for p in range(k):
                j = p if whole else kept[p]
                if x[p] > bound and v[j] > limit:
                    w = x[p] * inverse
                    indices[nnz] = j
                    weights[nnz] = w
                    if w > largest:
                        largest = w
                        q = nnz
                    nnz += 1
            if largest > 0.0 and q != first:
                j = indices[first]
                indices[first] = indices[q]
                indices[q] = j
                w = weights[first]
                weights[first] = weights[q]
                weights[q] = w
            ptr[i + 1] = nnz
    return n, nnz


@njit(cache=True, nogil=True)
def _count_above(v, limit):
    count = 0
    for j in range(len(v)):
        count += v[j] > limit
    return count


@njit(cache=True, nogil=True)
def _pick_above(v, limit, kept):
    """Write where v is above the limit to `kept`; without branches."""
    k = 0
    for j in range(len(v)):
        kept[k] = j
        k += v[j] > limit


@njit(cache=True, nogil=True, fastmath={"nsz"})
def _scaled_row(v, top, eps, inverse_eps, x):
    """Bound v from below where exponentials vanish, and write exponents to x."""
    low = top - 690.0 * eps
    for j in range(len(v)):
        value = v[j] if v[j] > low else low
        v[j] = value
        x[j] = (value - top) * inverse_eps


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _whole_sums(x, v, g, top):
    total, value, entropy = 0.0, 0.0, 0.0
    for j in range(len(x)):
        total += x[j]
        value += x[j] * (g[j] - v[j])
        entropy += x[j] * (v[j] - top)
    return total, value, entropy


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _add_scaled(x, mass, c):
    for j in range(len(x)):
        c[j] += x[j] * mass


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def column_shifts(C, f, shift):
    """Raise shift_j to the largest f_i - C_ij over the rows of a block."""
    n, m = C.shape
    for i in range(n):
        fi = f[i]
        for j in range(m):
            x = fi - C[i, j]
            if x > shift[j]:
                shift[j] = x


@njit(cache=True, nogil=True)
def column_sums(C, f, shift, eps, cut, sums):
    """Add exp((f_i - C_ij - shift_j)/eps) over the rows of a block to `sums`."""
    n, m = C.shape
    x = np.empty(m)
    scratch = np.empty(m)
    kept = np.empty(m, dtype=np.int32)
    low = -cut * eps
    inverse_eps = 1.0 / eps
    for i in range(n):
        fi = f[i]
        k = 0
        for j in range(m):
            v = fi - C[i, j] - shift[j]
            if v > low:
                kept[k] = j
                x[k] = v * inverse_eps
                k += 1
        exponentials(x, scratch, k)
        for p in range(k):
            sums[kept[p]] += x[p]


@njit(cache=True, nogil=True)
def select_entries(indices, weights, ptr, a, m, tau):
    """Keep the weights above tau; return them with what was dropped.

    Dropped mass is summed up entry by entry, by row (relative to a) and by column:
    a difference of sums near one would cancel.
    """
    n = len(a)
    count = 0
    for p in range(ptr[n]):
        count += weights[p] > tau
    new_indices = np.empty(count, dtype=np.int32)
    new_weights = np.empty(count)
    new_ptr = np.empty(n + 1, dtype=np.int64)
    rest = np.zeros(n)
    dropped = np.zeros(m)
    new_ptr[0] = 0
    k = 0
    for i in range(n):
        for p in range(ptr[i], ptr[i + 1]):
            w = weights[p]
            if w > tau:
                new_indices[k] = indices[p]
                new_weights[k] = w
                k += 1
            else:
                rest[i] += w
                dropped[indices[p]] += w * a[i]
        new_ptr[i + 1] = k
    return new_indices, new_weights, new_ptr, rest, dropped


@njit(cache=True, nogil=True)
def large_entries(data, ptr, delta):
    """Return ones for entries of a compressed matrix, zeros for the droppable ones.

    The smallest of each row (or column) are droppable while their sum is at most delta.
    """
    marks = np.ones(len(data))
    for i in range(len(ptr) - 1):
        order = np.argsort(data[ptr[i] : ptr[i + 1]])
        total = 0.0
        for k in order:
            total += data[ptr[i] + k]
            if total > delta:
                break
            marks[ptr[i] + k] = 0.0
    return marks


@njit(cache=True, nogil=True)
def split_entries(indices, weights, ptr, a, rest, dropped):
    """Return the diagonal of the Laplacian, rests of the largest entries summed up."""
    n = len(a)
    diagonal = dropped.copy()
    for i in range(n):
        first = ptr[i]
        if ptr[i + 1] == first:
            continue
        others = rest[i]
        for p in range(first + 1, ptr[i + 1]):
            others += weights[p]
            diagonal[indices[p]] += a[i] * weights[p] * (1.0 - weights[p])
        diagonal[indices[first]] += a[i] * weights[first] * others
    return diagonal


@njit(cache=True, nogil=True)
def laplacian_diagonal(indices, weights, ptr, a, rest, dropped, v, out):
    """Write the Laplacian times v into out, in the difference form.

    out_j = sum_i P_ij (v_j - (P v)_i / a_i) + dropped_j v_j, each row relative to
    the value at its largest entry, so that plans close to a permutation lose no
    digits.
    """
    n = len(a)
    for j in range(len(v)):
        out[j] = dropped[j] * v[j]
    for i in range(n):
        first = ptr[i]
        stop = ptr[i + 1]
        if stop == first:
            continue
        base = v[indices[first]]
        mean = 0.0
        for p in range(first + 1, stop):
            mean += weights[p] * (v[indices[p]] - base)
        back = mean - rest[i] * base
        mass = a[i]
        for p in range(first, stop):
            j = indices[p]
            out[j] += mass * weights[p] * (v[j] - base - back)


@njit(cache=True, nogil=True)
def add_dense_laplacian(indices, weights, ptr, a, out):
    """Add the Laplacian of the stored entries to a dense matrix, lower triangle."""
    for i in range(len(a)):
        for p in range(ptr[i], ptr[i + 1]):
            j = indices[p]
            left = a[i] * weights[p]
            for q in range(ptr[i], ptr[i + 1]):
                k = indices[q]
                if k < j:
                    w = left * weights[q]
                    out[j, k] -= w


@njit(cache=True, nogil=True)
def conjugate_gradient(
    indices, weights, ptr, a, rest, dropped, diagonal, shift, rhs, reduction, max_iter
):
    """Solve (Laplacian + shift) x = rhs with Jacobi's preconditioner from zero.

    Stops when the preconditioned residual has fallen by `reduction`; returns the
    solution and the number of steps.
    """
    m = len(rhs)
    x = np.zeros(m)
    r = rhs.copy()
    z = np.empty(m)
    Ap = np.empty(m)
    inverse = np.empty(m)
    for j in range(m):
        inverse[j] = 1.0 / (diagonal[j] + shift)
        z[j] = r[j] * inverse[j]
    p = z.copy()
    rz = 0.0
    for j in range(m):
        rz += r[j] * z[j]
    goal = reduction * reduction * rz
    steps = 0
    while steps < max_iter and rz > goal and rz > 0.0:
        laplacian_diagonal(indices, weights, ptr, a, rest, dropped, p, Ap)
        curvature = 0.0
        for j in range(m):
            Ap[j] += shift * p[j]
            curvature += p[j] * Ap[j]
        if not curvature > 0.0:
            break
        alpha = rz / curvature
        new = 0.0
        for j in range(m):
            x[j] += alpha * p[j]
            r[j] -= alpha * Ap[j]
            z[j] = r[j] * inverse[j]
            new += r[j] * z[j]
        beta = new / rz
        rz = new
        for j in range(m):
            p[j] = z[j] + beta * p[j]
        steps += 1
    return x, steps


@njit(cache=True, nogil=True)
def rounding_pass(C, g, a, y, eps, cut, rows, stats):
    """Scale the columns of the plan by y: row sums, and <C, P> into `stats`."""
    n, m = C.shape
    v = np.empty(m)
    x = np.empty(m)
    scratch = np.empty(m)
    kept = np.empty(m, dtype=np.int32)
    inverse_eps = 1.0 / eps
    for i in range(n):
        top = _shifted_row(C[i], g, v)
        limit = min(top - cut * eps, np.nextafter(top, -np.inf))
        k = 0
        for j in range(m):
            if v[j] > limit:
                kept[k] = j
                x[k] = (v[j] - top) * inverse_eps
                k += 1
        exponentials(x, scratch, k)
        total = 0.0
        for p in range(k):
            total += x[p]
        value = 0.0
        mass = 0.0
        for p in range(k):
            j = kept[p]
            mass += x[p] * y[j]
            value += x[p] * y[j] * C[i, j]
        rows[i] = a[i] * mass / total
        stats[0] += a[i] * value / total


@njit(cache=True, nogil=True)
def plan_pass(C, g, a, eps, P):
    """Write the plan at g to P: each row is a softmax that sums to its mass.

    Entries below the smallest normal number beside the largest of their row are zero.
    """
    n, m = C.shape
    v = np.empty(m)
    x = np.empty(m)
    scratch = np.empty(m)
    kept = np.empty(m, dtype=np.int32)
    inverse_eps = 1.0 / eps
    for i in range(n):
        top = _shifted_row(C[i], g, v)
        limit = min(top - 690.0 * eps, np.nextafter(top, -np.inf))
        k = 0
        for j in range(m):
            kept[k] = j
            k += v[j] > limit
        for p in range(k):
            x[p] = (v[kept[p]] - top) * inverse_eps
        exponentials(x, scratch, k)
        total = 0.0
        for p in range(k):
            total += x[p]
        share = a[i] / total
        for j in range(m):
            P[i, j] = 0.0
        for p in range(k):
            P[i, kept[p]] = x[p] * share


@njit(cache=True, nogil=True)
def column_totals(P, totals, rest):
    """Add the columns of P to `totals`, what rounding takes away to `rest`."""
    n, m = P.shape
    for i in range(n):
        for j in range(m):
            x = float(P[i, j])
            new = totals[j] + x
            part = new - totals[j]
            rest[j] += (totals[j] - (new - part)) + (x - part)
            totals[j] = new
