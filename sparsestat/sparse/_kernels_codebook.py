"""Optimal levels of sorted values: dynamic programming over prefix sums.

The least cost of k clusters of the first j values is
``D_k(j) = min_i D_{k-1}(i) + cost(i, j)``. Sums of squares telescope, so that what is
maximized here is ``F_k(j) = max_i F_{k-1}(i) + (S_j - S_i)^2 / (W_j - W_i)`` with
prefix sums S of the weighted values and W of the weights. The best i does not fall
when j or k grows, hence divide and conquer over j and a lower bound from k - 1.

Twice: in double precision, and in pairs of doubles whose sum is the number, where
differences of large sums decide.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.sparse._kernels import kernel

__all__ = [
    "cut_points",
    "fill_layers",
    "fill_layers_pairs",
    "merge_equal",
    "pair_sums",
    "segment_costs",
    "sum_of_squares",
]


# So few entries with so few candidates are not worth halving.
_FEW, _NARROW = 16, 64


@kernel
def merge_equal(values, weights):
    """Merge equal neighbors of sorted values in place; return how many are left.

    Values of weight zero are left out.
    """
    m = 0
    for i in range(len(values)):
        if weights[i] <= 0.0:
            continue
        if m > 0 and values[i] == values[m - 1]:
            weights[m - 1] += weights[i]
        else:
            values[m] = values[i]
            weights[m] = weights[i]
            m += 1
    return m


@kernel
def _gains(S, W, before, s, w, values):
    """Write F at sums s and w for each start of the last cluster."""
    for t in range(len(values)):
        d, share = s - S[t], w - W[t]
        gain = d * d / share
        values[t] = before[t] + (gain if share > 0.0 else 0.0)


@kernel
def _largest(values):
    """Return the largest entry, by four comparisons at a time."""
    a = b = c = d = values[0]
    whole = len(values) // 4 * 4
    for t in range(0, whole, 4):
        a = values[t] if values[t] > a else a
        b = values[t + 1] if values[t + 1] > b else b
        c = values[t + 2] if values[t + 2] > c else c
        d = values[t + 3] if values[t + 3] > d else d
    for t in range(whole, len(values)):
        a = values[t] if values[t] > a else a
    return max(max(a, b), max(c, d))


@kernel
def _best_start(S, W, before, j, first, last, values):
    """Return the first of the best starts of the last cluster at j, and F there."""
    if last - first < 48:
        s, w = S[j], W[j]
        best, at = -np.inf, first
        for i in range(first, last + 1):
            d, share = s - S[i], w - W[i]
            value = before[i] + (d * d / share if share > 0.0 else 0.0)
            if value > best:
                best, at = value, i
        return at, best
    part = values[: last + 1 - first]
    stop = last + 1
    _gains(S[first:stop], W[first:stop], before[first:stop], S[j], W[j], part)
    best = _largest(part)
    t = 0
    while part[t] != best:
        t += 1
    return first + t, best


@kernel
def _fill_few(S, W, before, after, bound, row, a, b, low, high):
    """Fill a few neighboring entries of a layer from left to right."""
    for j in range(a, b + 1):
        s, w = S[j], W[j]
        first, last = max(low, np.int64(bound[j])), min(high, j - 1)
        best, at = -np.inf, first
        for i in range(first, last + 1):
            d, share = s - S[i], w - W[i]
            value = before[i] + (d * d / share if share > 0.0 else 0.0)
            if value > best:
                best, at = value, i
        after[j] = best
        row[j] = at
        low = at


@kernel
def fill_layers(S, W, n_clusters, before, after, stack, starts):
    """Write into `starts[k, j]` where the last of k + 1 clusters of j values starts.

    `before` and `after` have the length of the prefix sums, `stack` the shape
    (64, 4). Of the last layer only the entry of all values is written.
    """
    m = len(S) - 1
    values = np.empty(m)
    before[0] = 0.0
    starts[0, 0] = 0
    for j in range(1, m + 1):
        before[j] = S[j] * S[j] / W[j]
        starts[0, j] = 0
    for k in range(1, n_clusters):
        bound, row = starts[k - 1], starts[k]
        if k == n_clusters - 1:
            first = max(np.int64(bound[m]), k)
            row[m], _ = _best_start(S, W, before, m, first, m - 1, values)
            return
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = k + 1, m, k, m - 1
        top = 1
        while top > 0:
            top -= 1
            a, b, low, high = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
            if b - a < _FEW and high - low < _NARROW:
                _fill_few(S, W, before, after, bound, row, a, b, low, high)
                continue
            j = (a + b) >> 1
            first, last = max(low, np.int64(bound[j])), min(high, j - 1)
            at, after[j] = _best_start(S, W, before, j, first, last, values)
            row[j] = at
            if j < b:
                stack[top, 0], stack[top, 1] = j + 1, b
                stack[top, 2], stack[top, 3] = at, high
                top += 1
            if a < j:
                stack[top, 0], stack[top, 1] = a, j - 1
                stack[top, 2], stack[top, 3] = low, at
                top += 1
        before[k + 1 :] = after[k + 1 :]


@kernel
def cut_points(starts, n_clusters, m, ends):
    """Write the n_clusters + 1 bounds of the best clusters of all m values."""
    ends[n_clusters] = m
    for k in range(n_clusters - 1, -1, -1):
        ends[k] = starts[k, ends[k + 1]]


# Numbers as unevaluated sums of two doubles (T. J. Dekker, 1971)


@kernel
def _two_sum(a, b):
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@kernel
def _two_product(a, b):
    p = a * b
    t = 134217729.0 * a
    ah = t - (t - a)
    al = a - ah
    t = 134217729.0 * b
    bh = t - (t - b)
    bl = b - bh
    return p, ((ah * bh - p) + ah * bl + al * bh) + al * bl


@kernel
def _add(a, a_low, b, b_low):
    s, e = _two_sum(a, b)
    t, f = _two_sum(a_low, b_low)
    s, e = _two_sum(s, e + t)
    return _two_sum(s, e + f)


@kernel
def _multiply(a, a_low, b, b_low):
    p, e = _two_product(a, b)
    return _two_sum(p, e + (a * b_low + a_low * b))


@kernel
def _ratio_of_square(d, d_low, w, w_low):
    """Return d^2 / w."""
    s, s_low = _multiply(d, d_low, d, d_low)
    q = s / w
    p, p_low = _multiply(q, 0.0, w, w_low)
    r, _ = _add(s, s_low, -p, -p_low)
    return _two_sum(q, r / w)


@kernel
def pair_sums(values, center, weights, S, W, Q):
    """Write prefix sums of w (x - c), w and w (x - c)^2, two columns each.

    The differences from the center are exact, the sums have a relative error of
    about 1e-31.
    """
    S[0] = W[0] = Q[0] = 0.0
    for i in range(len(values)):
        w = weights[i]
        x, x_low = _two_sum(values[i], -center)
        y, y_low = _multiply(x, x_low, w, 0.0)
        z, z_low = _multiply(x, x_low, y, y_low)
        S[i + 1, 0], S[i + 1, 1] = _add(S[i, 0], S[i, 1], y, y_low)
        W[i + 1, 0], W[i + 1, 1] = _add(W[i, 0], W[i, 1], w, 0.0)
        Q[i + 1, 0], Q[i + 1, 1] = _add(Q[i, 0], Q[i, 1], z, z_low)


@kernel
def _gain(S, W, i, j):
    """Return (S_j - S_i)^2 / (W_j - W_i) of pairs."""
    d, d_low = _add(S[j, 0], S[j, 1], -S[i, 0], -S[i, 1])
    w, w_low = _add(W[j, 0], W[j, 1], -W[i, 0], -W[i, 1])
    return _ratio_of_square(d, d_low, w, w_low)


@kernel
def segment_costs(S, W, Q, ends, out):
    """Write the cost of each cluster between bounds, from sums in pairs."""
    for k in range(len(ends) - 1):
        i, j = ends[k], ends[k + 1]
        g, g_low = _gain(S, W, i, j)
        q, q_low = _add(Q[j, 0], Q[j, 1], -Q[i, 0], -Q[i, 1])
        cost, _ = _add(q, q_low, -g, -g_low)
        out[k] = cost if cost > 0.0 and j - i > 1 else 0.0


@kernel
def _best_start_pairs(S, W, before, j, first, last):
    best, best_low, at = -np.inf, 0.0, first
    for i in range(first, last + 1):
        g, g_low = _gain(S, W, i, j)
        v, v_low = _add(before[i, 0], before[i, 1], g, g_low)
        if v > best or (v == best and v_low > best_low):
            best, best_low, at = v, v_low, i
    return at, best, best_low


@kernel
def fill_layers_pairs(S, W, n_clusters, before, after, stack, starts):
    """Do what `fill_layers` does on sums in pairs, some twenty times as slowly."""
    m = len(S) - 1
    before[0] = 0.0
    starts[0, 0] = 0
    for j in range(1, m + 1):
        before[j, 0], before[j, 1] = _gain(S, W, 0, j)
        starts[0, j] = 0
    for k in range(1, n_clusters):
        bound, row = starts[k - 1], starts[k]
        if k == n_clusters - 1:
            first = max(np.int64(bound[m]), k)
            row[m], _, _ = _best_start_pairs(S, W, before, m, first, m - 1)
            return
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = k + 1, m, k, m - 1
        top = 1
        while top > 0:
            top -= 1
            a, b, low, high = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
            j = (a + b) >> 1
            first, last = max(low, np.int64(bound[j])), min(high, j - 1)
            at, value, value_low = _best_start_pairs(S, W, before, j, first, last)
            after[j, 0], after[j, 1] = value, value_low
            row[j] = at
            if j < b:
                stack[top, 0], stack[top, 1] = j + 1, b
                stack[top, 2], stack[top, 3] = at, high
                top += 1
            if a < j:
                stack[top, 0], stack[top, 1] = a, j - 1
                stack[top, 2], stack[top, 3] = low, at
                top += 1
        for j in range(k + 1, m + 1):
            before[j] = after[j]


@kernel
def sum_of_squares(values, weights, ends, centers):
    """Return the weighted squared distances of clusters to centers, compensated."""
    total, rest = 0.0, 0.0
    for k in range(len(centers)):
        c = centers[k]
        for i in range(ends[k], ends[k + 1]):
            d = values[i] - c
            total, e = _two_sum(total, weights[i] * d * d)
            rest += e
    return total + rest
