"""What proves a tree of the network simplex: prices, gaps and sums of its arcs."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.transport._kernels_simplex import least

__all__ = [
    "arc_totals",
    "gap_of_arcs",
    "is_proved",
    "least_reduced",
    "survey",
    "tree_arcs",
]

_PROOF_PIECE = 16
_ROUNDED = 1.5 * 2.0**-52


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _range(line):
    low, high = np.inf, -np.inf
    for k in range(len(line)):
        low = min(low, line[k])
        high = max(high, line[k])
    return low, high


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _lower(line, lowest):
    for k in range(len(line)):
        lowest[k] = min(lowest[k], line[k])


@njit(cache=True, nogil=True)
def survey(L, flat):
    """Return the smallest and the largest cost, and the largest size of a row's least.

    Parameters
    ----------
    L : ndarray of shape (p, q)
        Costs in lines: of rows, or of columns (`flat`).
    flat : bool
        Whether lines are columns.
    """
    low, high, offset = np.inf, -np.inf, 0.0
    lowest = np.full(L.shape[1] if flat else 0, np.inf)
    for line in L:
        a, b = _range(line)
        low, high = min(low, a), max(high, b)
        if flat:
            _lower(line, lowest)
        else:
            offset = max(offset, abs(a))
    for k in range(len(lowest)):
        offset = max(offset, abs(lowest[k]))
    return low, high, offset


@njit(cache=True, nogil=True)
def tree_arcs(n, parent, flow):
    """Return rows, columns and integer flows of the arcs that carry any."""
    count = 0
    for x in range(len(parent)):
        count += flow[x] != 0
    rows, columns = np.empty(count, np.int64), np.empty(count, np.int64)
    flows = np.empty(count, np.int64)
    k = 0
    for x in range(len(parent)):
        if flow[x] != 0:
            up = parent[x]
            rows[k], columns[k] = (x, up - n) if x < n else (up, x - n)
            flows[k] = flow[x]
            k += 1
    return rows, columns, flows


@njit(cache=True, nogil=True)
def is_proved(L, flat, n, parent, flow, left, cheapest_row, worst, share):
    """Say whether the gap is within a share of what the flow costs above the minima.

    Of rows and of columns: the caller may have exchanged them.
    """
    gap = 0.0
    for i in range(n):
        gap += left[i] * max(-worst[i], 0.0)
    m = len(parent) - n
    cheapest = np.full(m, np.inf)
    for k in range(len(L)):
        if flat:
            cheapest[k] = _range(L[k])[0]
        else:
            _lower(L[k], cheapest)
    above_rows = above_columns = 0.0
    for x in range(len(parent)):
        if flow[x] != 0:
            up = parent[x]
            i, j = (x, up - n) if x < n else (up, x - n)
            c = L[j, i] if flat else L[i, j]
            above_rows += flow[x] * (c - cheapest_row[i])
            above_columns += flow[x] * (c - cheapest[j])
    return gap <= share * min(above_rows, above_columns)


@njit(cache=True, nogil=True)
def gap_of_arcs(i, j, mass, c, n, high, low, worst):
    """Return the gap of a plan whose arcs cost c, and a bound of its rounding.

    Potentials are sums of two numbers, exact as they are; with those of the rows
    lowered by what their arcs may miss, rounding included, they are feasible for all
    arcs. What is left to round is the reduced costs of the plan's own arcs.
    """
    gap = allowance = 0.0
    for k in range(len(mass)):
        x, y = i[k], n + j[k]
        s = high[x] + high[y]
        part = s - high[x]
        e = (high[x] - (s - part)) + (high[y] - part)
        t = s + c[k]
        part = t - s
        d = (s - (t - part)) + (c[k] - part)
        reduced = t + ((e + d) + (low[x] + low[y]))
        hidden = abs(e) + abs(d) + abs(low[x]) + abs(low[y]) + abs(reduced)
        gap += mass[k] * max(reduced - worst[x], 0.0)
        allowance += mass[k] * hidden
    return gap, _ROUNDED * allowance + 2.0**-52 * (len(mass) + 8) * gap


@njit(cache=True, nogil=True)
def arc_totals(i, j, mass, rows, columns):
    """Add the masses of arcs to their rows and columns; return what bounds rounding.

    That is the sum, over rows and columns, of their sums times how many arcs they add.
    """
    in_row, in_column = np.zeros(len(rows)), np.zeros(len(columns))
    for k in range(len(mass)):
        rows[i[k]] += mass[k]
        columns[j[k]] += mass[k]
        in_row[i[k]] += 1.0
        in_column[j[k]] += 1.0
    longest = 0.0
    for x in range(len(rows)):
        longest += in_row[x] * rows[x]
    for x in range(len(columns)):
        longest += in_column[x] * columns[x]
    return longest


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _bounded(c, cross, cross_low, base, base_low):
    """Return a reduced cost less a bound of its rounding.

    Only what is added at the end is rounded: the errors of the large terms are known.
    """
    s = cross + base
    part = s - cross
    e = (cross - (s - part)) + (base - part)
    t = s + c
    part = t - s
    d = (s - (t - part)) + (c - part)
    x = t + ((e + d) + (cross_low + base_low))
    hidden = abs(e) + abs(d) + abs(cross_low) + abs(base_low)
    return x - _ROUNDED * (hidden + abs(x))


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _least_safe(line, cross, cross_low, base, base_low, lowest):
    """Lower `lowest` to bounds below the reduced costs of a line."""
    for k in range(len(line)):
        x = _bounded(line[k], cross[k], cross_low[k], base, base_low)
        if x < lowest[k]:
            lowest[k] = x


@njit(cache=True, nogil=True)
def _least_of_all(line, cross, cross_low, base, base_low, margin):
    """Return a bound below the reduced costs of a line, 0 at most.

    Pieces whose least one is above zero by more than all rounding are left out.
    """
    best = 0.0
    for start in range(0, len(line), _PROOF_PIECE):
        stop = min(start + _PROOF_PIECE, len(line))
        x = least(line, cross, start, stop) + base
        if x * (1.0 - _ROUNDED * 8.0) <= margin:
            x = _least_of_piece(line, cross, cross_low, base, base_low, start, stop)
            best = min(best, x)
    return best


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _least_of_piece(line, cross, cross_low, base, base_low, start, stop):
    best = np.inf
    for k in range(start, stop):
        x = _bounded(line[k], cross[k], cross_low[k], base, base_low)
        if x < best:
            best = x
    return best


@njit(cache=True, nogil=True)
def least_reduced(L, flat, n, high, low, least, worst):
    """Write bounds below the reduced costs of each row, and its smallest cost.

    Of reduced costs that are positive the bounds may be any number from zero on.
    """
    p, q = L.shape
    if not flat:
        cross, cross_low = high[n:], low[n:]
        largest, rest = 0.0, 0.0
        for k in range(q):
            largest = max(largest, abs(cross[k]))
            rest = max(rest, abs(cross_low[k]))
        for i in range(n):
            line = L[i]
            least[i] = _range(line)[0]
            margin = 8.0 * _ROUNDED * (largest + abs(high[i])) + rest + abs(low[i])
            worst[i] = _least_of_all(line, cross, cross_low, high[i], low[i], margin)
        return
    least[:] = np.inf
    worst[:] = np.inf
    for j in range(p):
        _least_safe(L[j], high[:n], low[:n], high[n + j], low[n + j], worst)
        _lower(L[j], least)
