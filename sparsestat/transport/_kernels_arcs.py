"""The network simplex on few arcs between points in few dimensions.

Points of both sides are sorted into cells with bounding boxes, as in
`_kernels_points`. The smallest cost to a box, with the smallest potential in it, is
below the reduced costs of all arcs that end there: cells where that is positive are
skipped, so that all pairs are priced in little more time than their cells take.
Potentials are as in `_kernels_simplex`.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.transport._kernels_points import EUCLIDEAN, L1
from sparsestat.transport._kernels_simplex import coprime, exchange

__all__ = [
    "best_arcs",
    "cost_of",
    "nearest_open_arcs",
    "pivots_of_arcs",
    "point_potentials",
    "worst_arcs",
]

_SAFE = 1e-13  # relative: more than bounds of boxes are rounded
_ROUNDED = 1.5 * 2.0**-52


@njit(cache=True, nogil=True)
def cost_of(x, y, metric):
    total = 0.0
    for k in range(len(x)):
        gap = x[k] - y[k]
        total += abs(gap) if metric == L1 else gap * gap
    return np.sqrt(total) if metric == EUCLIDEAN else total


@njit(cache=True, nogil=True)
def _to_box(x, low, high, metric):
    total = 0.0
    for k in range(len(x)):
        gap = max(low[k] - x[k], x[k] - high[k], 0.0)
        total += gap if metric == L1 else gap * gap
    return np.sqrt(total) if metric == EUCLIDEAN else total


@njit(cache=True, nogil=True)
def _bounds(x, box_low, box_high, metric, least, bounds):
    """Write bounds below cost + potential for each cell; return the lowest's cell."""
    best = 0
    for c in range(len(least)):
        near = _to_box(x, box_low[c], box_high[c], metric)
        bounds[c] = near * (1.0 - _SAFE) + least[c]
        if bounds[c] < bounds[best]:
            best = c
    return best


@njit(cache=True, nogil=True)
def _least_of_cells(values, cells, least):
    for c in range(len(least)):
        low = np.inf
        for j in range(cells[c], cells[c + 1]):
            low = min(low, values[j])
        least[c] = low


@njit(cache=True, nogil=True)
def best_arcs(
    X, Y, cells, box_low, box_high, metric, own, cross, limit, columns, values, counts
):
    """Write the arcs of each row with the least reduced costs, those below `limit`.

    As many as the second dimension of `columns` holds, the least one first.
    """
    n, most = columns.shape
    least, bounds = np.empty(len(cells) - 1), np.empty(len(cells) - 1)
    _least_of_cells(cross, cells, least)
    for i in range(n):
        first = _bounds(X[i], box_low, box_high, metric, least, bounds)
        count = 0
        worst = limit - own[i]
        for step in range(-1, len(least)):
            c = first if step < 0 else step
            if (step == first) or bounds[c] >= worst:
                continue
            for j in range(cells[c], cells[c + 1]):
                value = cost_of(X[i], Y[j], metric) + cross[j]
                if value >= worst:
                    continue
                k = min(count, most - 1)
                while k > 0 and values[i, k - 1] > value:
                    values[i, k], columns[i, k] = values[i, k - 1], columns[i, k - 1]
                    k -= 1
                values[i, k], columns[i, k] = value, j
                count = min(count + 1, most)
                if count == most:
                    worst = values[i, most - 1]
        counts[i] = count


@njit(cache=True, nogil=True)
def nearest_open_arcs(
    X,
    Y,
    cells,
    box_low,
    box_high,
    metric,
    cross,
    supply,
    demand,
    rows,
    columns,
    flows,
):
    """Let each row in turn fill the open columns of least reduced cost; write arcs.

    Masses are compared with infinitesimals, as for a matrix of costs.
    """
    n, m = len(supply), len(demand)
    left = demand.copy()
    tiny = np.full(m, -1)
    tiny[m - 1] = n + m - 1
    values = cross.copy()  # infinite where closed
    least, bounds = np.empty(len(cells) - 1), np.empty(len(cells) - 1)
    cell_of = np.empty(m, np.int64)
    for c in range(len(least)):
        cell_of[cells[c] : cells[c + 1]] = c
    _least_of_cells(values, cells, least)
    count = 0
    for i in range(n):
        mass, own = supply[i], 1
        first = _bounds(X[i], box_low, box_high, metric, least, bounds)
        while count < n + m - 1:
            best, j = np.inf, -1
            for step in range(-1, len(least)):
                c = first if step < 0 else step
                if (step == first) or bounds[c] >= best:
                    continue
                for k in range(cells[c], cells[c + 1]):
                    value = cost_of(X[i], Y[k], metric) + values[k]
                    if value < best:
                        best, j = value, k
            rows[count], columns[count] = i, n + j
            if mass < left[j] or (mass == left[j] and own <= tiny[j]):
                flows[count] = mass
                left[j] -= mass
                tiny[j] -= own
                count += 1
                break
            flows[count] = left[j]
            mass -= left[j]
            own -= tiny[j]
            values[j] = np.inf
            c = cell_of[j]
            low = np.inf
            for k in range(cells[c], cells[c + 1]):
                low = min(low, values[k])
            bounds[c] += low - least[c] if low < np.inf else np.inf
            least[c] = low
            count += 1


@njit(cache=True, nogil=True)
def point_potentials(X, Y, metric, parent, thread, high, low):
    """Write the potentials of the tree as sums of two numbers, the root's zero."""
    N, n = len(parent), len(X)
    root = N - 1
    high[root], low[root] = 0.0, 0.0
    x = thread[root]
    while x != root:
        p = parent[x]
        i, j = (x, p - n) if x < n else (p, x - n)
        c = cost_of(X[i], Y[j], metric)
        s = c + high[p]
        part = s - c
        rest = (c - (s - part)) + (high[p] - part) + low[p]
        total = s + rest
        high[x] = -total
        low[x] = -(rest - (total - s))
        x = thread[x]


@njit(cache=True, nogil=True)
def _entering_arc(ptr, columns, costs, high, n, tol, block, stride, cursor):
    """Return row, column and reduced cost of a good arc among few; -1 if none."""
    line = cursor[0]
    best, best_line, best_column = -tol, -1, -1
    in_block = 0
    for _ in range(n):
        base = high[line]
        for k in range(ptr[line], ptr[line + 1]):
            x = costs[k] + high[n + columns[k]] + base
            if x < best:
                best, best_line, best_column = x, line, columns[k]
        in_block += ptr[line + 1] - ptr[line]
        line += stride
        line -= n * (line >= n)
        if in_block >= block:
            if best_line >= 0:
                break
            in_block = 0
    cursor[0] = line
    return best_line, best_column, best


@njit(cache=True, nogil=True)
def pivots_of_arcs(
    X,
    Y,
    metric,
    ptr,
    columns,
    costs,
    parent,
    thread,
    rev,
    size,
    last,
    flow,
    high,
    low,
    tol,
    most,
):
    """Pivot until no arc among these has a reduced cost below ``-tol``.

    Returns the numbers of pivots and of those that moved nothing, and whether it is
    finished.
    """
    n, N = len(X), len(parent)
    block = max(64, int(np.sqrt(float(len(columns)))))
    stride = coprime(n, 0.618)
    cursor = np.zeros(1, np.int64)
    count, idle, fresh = 0, 0, 0
    point_potentials(X, Y, metric, parent, thread, high, low)
    while count < most:
        i, j, r = _entering_arc(
            ptr, columns, costs, high, n, tol, block, stride, cursor
        )
        if i < 0 and fresh == 0:
            return count, idle, True
        if i < 0 or fresh >= N:
            point_potentials(X, Y, metric, parent, thread, high, low)
            fresh = 0
            if i < 0:
                continue
            r = cost_of(X[i], Y[j], metric) + high[n + j] + high[i]
        count += 1
        fresh += 1
        idle += not exchange(
            i,
            n + j,
            r,
            0.0,
            n,
            parent,
            thread,
            rev,
            size,
            last,
            flow,
            high,
            low,
            False,
            True,
        )
    return count, idle, False


@njit(cache=True, nogil=True)
def worst_arcs(X, Y, cells, box_low, box_high, metric, high, low, nearest, worst):
    """Write the least cost of each row, and bounds below its reduced costs or zero.

    A cell is skipped only if its bound stays above zero by more than it is rounded.
    """
    n = len(X)
    cross, cross_low = high[n:], low[n:]
    least, bounds = np.empty(len(cells) - 1), np.empty(len(cells) - 1)
    none = np.zeros(len(cells) - 1)
    _least_of_cells(cross, cells, least)
    largest = 0.0
    for j in range(len(cross)):
        largest = max(largest, abs(cross[j]))
    for i in range(n):
        first = _bounds(X[i], box_low, box_high, metric, none, bounds)
        near = np.inf
        for step in range(-1, len(least)):
            c = first if step < 0 else step
            if (step == first) or bounds[c] >= near:
                continue
            for j in range(cells[c], cells[c + 1]):
                near = min(near, cost_of(X[i], Y[j], metric))
        nearest[i] = near
        best = 0.0
        base, base_low = high[i], low[i]
        margin = _SAFE * (abs(base) + largest)
        for c in range(len(least)):
            if bounds[c] + least[c] + base > margin + _SAFE * bounds[c]:
                continue
            for j in range(cells[c], cells[c + 1]):
                s = cross[j] + base
                part = s - cross[j]
                e = (cross[j] - (s - part)) + (base - part)
                cost = cost_of(X[i], Y[j], metric)
                t = s + cost
                part = t - s
                d = (s - (t - part)) + (cost - part)
                x = t + ((e + d) + (cross_low[j] + base_low))
                hidden = abs(e) + abs(d) + abs(cross_low[j]) + abs(base_low)
                best = min(best, x - _ROUNDED * (hidden + abs(x)))
        worst[i] = best
