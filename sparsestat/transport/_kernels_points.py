"""Passes over costs between points in few dimensions, boxes of points skipped.

The points of both sides are sorted so that neighbors are close, and cut into
cells with bounding boxes. A cell of columns is visited for a row only if the
largest potential in it, less the smallest cost to its box, can matter there.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.sparse._kernels_exp import exponentials

__all__ = ["METRIC_CODES", "cell_pass", "name_columns", "placed_rows"]

SQEUCLIDEAN, EUCLIDEAN, L1 = 0, 1, 2
METRIC_CODES = {"sqeuclidean": SQEUCLIDEAN, "euclidean": EUCLIDEAN, "cityblock": L1}


@njit(cache=True, nogil=True)
def _nearest_cost(x_low, x_high, low, high, metric):
    """Return the smallest cost between two boxes."""
    total = 0.0
    for k in range(len(low)):
        gap = max(low[k] - x_high[k], x_low[k] - high[k], 0.0)
        total += gap if metric == L1 else gap * gap
    return np.sqrt(total) if metric == EUCLIDEAN else total


@njit(cache=True, nogil=True)
def _farthest_cost(x_low, x_high, low, high, metric):
    """Return the largest cost between two boxes."""
    total = 0.0
    for k in range(len(low)):
        gap = max(high[k] - x_low[k], x_high[k] - low[k])
        total += gap if metric == L1 else gap * gap
    return np.sqrt(total) if metric == EUCLIDEAN else total


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "nnan", "reassoc"})
def _cell_values(x, YT, g, start, stop, metric, v, k):
    """Write g - cost of the columns of a cell to v[k:]; return the largest."""
    d = len(x)
    size = stop - start
    if metric == L1:
        for q in range(size):
            v[k + q] = np.abs(x[0] - YT[0, start + q])
        for t in range(1, d):
            for q in range(size):
                v[k + q] += np.abs(x[t] - YT[t, start + q])
    else:
        for q in range(size):
            delta = x[0] - YT[0, start + q]
            v[k + q] = delta * delta
        for t in range(1, d):
            for q in range(size):
                delta = x[t] - YT[t, start + q]
                v[k + q] += delta * delta
        if metric == EUCLIDEAN:
            for q in range(size):
                v[k + q] = np.sqrt(v[k + q])
    top = -np.inf
    for q in range(size):
        value = g[start + q] - v[k + q]
        v[k + q] = value
        if value > top:
            top = value
    return top


@njit(cache=True, nogil=True)
def cell_pass(
    X,
    x_cells,
    YT,
    y_cells,
    low,
    high,
    metric,
    start,
    g,
    a,
    log_a,
    eps,
    cut,
    f,
    shift,
    c,
    stats,
    tau,
    indices,
    weights,
    ptr,
    nnz,
    group,
    n_groups,
    y,
    rows,
):
    """Visit rows from `start` as `row_pass` does, and only cells that matter.

    With a non-empty `group` the entries stored are sums over groups of columns. With a
    non-empty `y` it writes to `rows` the row sums of the plan whose columns are scaled
    by y, and its cost to ``stats[0]``, and nothing else.
    """
    n_cells = len(y_cells) - 1
    d, m = YT.shape
    n = len(X)
    v, x, scratch = np.empty(m), np.empty(m), np.empty(m)
    columns, kept = np.empty(m, np.int32), np.empty(m, np.int32)
    largest = np.empty(n_cells)
    for B in range(n_cells):
        best = -np.inf
        for j in range(y_cells[B], y_cells[B + 1]):
            best = max(best, g[j])
        largest[B] = best
    bounds = np.empty(n_cells)
    near = np.empty(n_cells, np.int32)
    x_low, x_high = np.empty(d), np.empty(d)
    inverse_eps = 1.0 / eps
    rounding = len(y) > 0
    grouped = len(group) > 0
    sums = np.zeros(n_groups)
    A, n_near, last_row = 0, 0, start
    for i in range(start, n):
        if i == last_row:  # a new cell of rows: which cells of columns can matter?
            while x_cells[A + 1] <= i:
                A += 1
            last_row = x_cells[A + 1]
            for t in range(d):
                x_low[t], x_high[t] = np.inf, -np.inf
                for r in range(x_cells[A], last_row):
                    x_low[t] = min(x_low[t], X[r, t])
                    x_high[t] = max(x_high[t], X[r, t])
            floor = -np.inf
            for B in range(n_cells):
                far = _farthest_cost(x_low, x_high, low[B], high[B], metric)
                floor = max(floor, largest[B] - far)
                bounds[B] = largest[B] - _nearest_cost(
                    x_low, x_high, low[B], high[B], metric
                )
            floor -= cut * eps
            n_near = 0
            for B in range(n_cells):
                if bounds[B] > floor:
                    near[n_near] = B
                    n_near += 1
        # The cell with the best bound first: its largest entry rules out others.
        best, where = -np.inf, 0
        for s in range(n_near):
            B = near[s]
            bound = largest[B] - _nearest_cost(X[i], X[i], low[B], high[B], metric)
            bounds[s] = bound
            if bound > best:
                best, where = bound, s
        B = near[where]
        top = _cell_values(X[i], YT, g, y_cells[B], y_cells[B + 1], metric, v, 0)
        k = 0
        for j in range(y_cells[B], y_cells[B + 1]):
            columns[k] = j
            k += 1
        for s in range(n_near):
            if s == where or bounds[s] <= top - cut * eps:
                continue
            B = near[s]
            first, stop = y_cells[B], y_cells[B + 1]
            other = _cell_values(X[i], YT, g, first, stop, metric, v, k)
            if other <= top - cut * eps:
                continue
            top = max(top, other)
            for j in range(first, stop):
                columns[k] = j
                k += 1
        limit = min(top - cut * eps, np.nextafter(top, -np.inf))
        count = 0
        for p in range(k):
            if v[p] > limit:
                kept[count] = columns[p]
                v[count] = v[p]
                x[count] = (v[p] - top) * inverse_eps
                count += 1
        if tau <= 1.0 and nnz + min(count, n_groups) > len(indices):
            return i, nnz
        exponentials(x, scratch, count)
        total = 0.0
        for p in range(count):
            total += x[p]
        inverse = 1.0 / total
        mass = a[i] * inverse
        value = 0.0
        if rounding:
            scaled = 0.0
            for p in range(count):
                j = kept[p]
                w = x[p] * y[j]
                scaled += w
                value += w * (g[j] - v[p])
            rows[i] = mass * scaled
            stats[0] += mass * value
            continue
        log_total = np.log(total)
        f[i] = eps * (log_a[i] - log_total) - top
        shift[i] = top
        entropy = 0.0
        for p in range(count):
            j = kept[p]
            c[j] += x[p] * mass
            value += x[p] * (g[j] - v[p])
            entropy += x[p] * (v[p] - top)
        stats[0] += value * mass
        stats[1] += mass * inverse_eps * entropy - a[i] * log_total
        if tau <= 1.0:
            if grouped:
                for p in range(count):
                    sums[group[kept[p]]] += x[p]
                n_sums = 0
                for p in range(count):  # each group once, in the place of its columns
                    q = group[kept[p]]
                    if sums[q] > 0.0:
                        x[n_sums] = sums[q]
                        kept[n_sums] = q
                        sums[q] = 0.0
                        n_sums += 1
                count = n_sums
            front = nnz
            most = 0.0
            bound = tau * total
            for p in range(count):
                if x[p] > bound:
                    w = x[p] * inverse
                    indices[nnz] = kept[p]
                    weights[nnz] = w
                    if w > most:
                        most = w
                        q = nnz
                    nnz += 1
            if most > 0.0 and q != front:
                j = indices[front]
                indices[front] = indices[q]
                indices[q] = j
                w = weights[front]
                weights[front] = weights[q]
                weights[q] = w
            ptr[i + 1] = nnz
    return n, nnz


@njit(cache=True, nogil=True)
def name_columns(indices, weights, ptr, scale, column_of):
    """Rename the columns of each row, sort them, and scale the row; in place."""
    for i in range(len(ptr) - 1):
        row = slice(ptr[i], ptr[i + 1])
        own = column_of[indices[row]]
        order = np.argsort(own)
        indices[row] = own[order]
        weights[row] = weights[row][order] * scale[i]


@njit(cache=True, nogil=True)
def placed_rows(values, ptr, row_of, out_ptr):
    """Return the values of the rows ``row_of``, -1 for none, one after another."""
    out = np.empty(out_ptr[-1], values.dtype)
    for i in range(len(row_of)):
        r = row_of[i]
        if r >= 0:
            out[out_ptr[i] : out_ptr[i + 1]] = values[ptr[r] : ptr[r + 1]]
    return out
