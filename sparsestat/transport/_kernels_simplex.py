r"""The network simplex of transport: strongly feasible trees of integer flows.

Nodes are rows 0..n-1 and columns n..n+m-1; the root is the last column. A basis is a
spanning tree, kept in preorder (`thread`, `rev` backward, `last` descendant, `size`);
``flow[x]`` is that of the arc between x and its parent, from row to column. Potentials
are such that ``cost + pot[row] + pot[column]`` is the reduced cost: a subtree moves by
adding a constant to its rows and subtracting it from its columns. They are sums of two
numbers, ``high + low``; the fast phase uses the first alone.

Costs are a matrix of lines: of rows, or of columns (`flat`) where rows are short.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.sparse._kernels_intrinsics import prefetch

__all__ = [
    "coprime",
    "exchange",
    "grow_tree",
    "is_monge",
    "least",
    "pivots",
    "start_tree",
    "tree_potentials",
]

_PIECE = 256


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def least(line, cross, start, stop):
    best = np.inf
    for k in range(start, stop):
        x = line[k] + cross[k]
        if x < best:
            best = x
    return best


@njit(cache=True, nogil=True)
def _cheapest_open(L, flat, i, shut):
    """Return the first of the cheapest columns of a row; `shut` is infinite or zero."""
    best, where = np.inf, -1
    m = len(shut)
    if flat:
        for j in range(m):
            c = L[j, i] + shut[j]
            if where < 0 or c < best:
                best, where = c, j
        return where
    line, piece = L[i], 0
    for start in range(0, m, _PIECE):
        c = least(line, shut, start, min(start + _PIECE, m))
        if start == 0 or c < best:
            best, piece = c, start
    for j in range(piece, m):
        if line[j] + shut[j] == best:
            return j
    return where


@njit(cache=True, nogil=True)
def is_monge(L, allowance):
    """Say whether masses matched in order are optimal, as for sorted points."""
    p, q = L.shape
    for i in range(p - 1):
        for k in range(q - 1):
            if L[i, k] + L[i + 1, k + 1] > L[i, k + 1] + L[i + 1, k] + allowance:
                return False
    return True


@njit(cache=True, nogil=True)
def _greedy_arcs(L, flat, supply, demand, in_order, rows, columns, flows):
    """Let each row in turn fill its cheapest open columns, or the first; write arcs.

    Masses are compared with infinitesimals: rows have one more, columns one less, the
    last column the rest. Two masses are then never equal before the end, so that there
    are as many arcs as a tree has, and the tree is strongly feasible.
    """
    n, m = len(supply), len(demand)
    left = demand.copy()
    tiny = np.full(m, -1)
    tiny[m - 1] = n + m - 1
    shut = np.zeros(m)
    count, j = 0, 0
    for i in range(n):
        mass, own = supply[i], 1
        while count < n + m - 1:
            if in_order:
                while shut[j] > 0.0:
                    j += 1
            else:
                j = _cheapest_open(L, flat, i, shut)
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
            shut[j] = np.inf
            count += 1


@njit(cache=True, nogil=True)
def start_tree(
    L, flat, supply, demand, in_order, parent, thread, rev, size, last, flow
):
    """Write a strongly feasible tree for integer masses of equal totals."""
    N = len(parent)
    rows, columns = np.empty(N - 1, np.int32), np.empty(N - 1, np.int32)
    flows = np.empty(N - 1, np.int64)
    _greedy_arcs(L, flat, supply, demand, in_order, rows, columns, flows)
    grow_tree(rows, columns, flows, parent, thread, rev, size, last, flow)


@njit(cache=True, nogil=True)
def grow_tree(rows, columns, flows, parent, thread, rev, size, last, flow):
    """Write the tree of these arcs, whose columns are named by their nodes."""
    N = len(parent)
    ptr = np.zeros(N + 1, np.int64)
    for k in range(N - 1):
        ptr[rows[k] + 1] += 1
        ptr[columns[k] + 1] += 1
    for x in range(N):
        ptr[x + 1] += ptr[x]
    place = ptr[:-1].copy()
    arcs = np.empty(2 * (N - 1), np.int64)
    for k in range(N - 1):
        arcs[place[rows[k]]] = k
        place[rows[k]] += 1
        arcs[place[columns[k]]] = k
        place[columns[k]] += 1
    order, stack = np.empty(N, np.int32), np.empty(N, np.int32)
    stack[0], height, seen = N - 1, 1, 0
    parent[N - 1] = -1
    flow[N - 1] = 0
    while height:
        height -= 1
        x = stack[height]
        order[seen] = x
        seen += 1
        for p in range(ptr[x], ptr[x + 1]):
            k = arcs[p]
            y = columns[k] if rows[k] == x else rows[k]
            if y != parent[x]:
                parent[y] = x
                flow[y] = flows[k]
                stack[height] = y
                height += 1
    for x in range(N):
        size[x] = 1
    for s in range(N - 1, -1, -1):
        x = order[s]
        thread[x] = order[s + 1] if s + 1 < N else order[0]
        rev[x] = order[s - 1]
        last[x] = order[s + size[x] - 1]
        if s:
            size[parent[x]] += size[x]


@njit(cache=True, nogil=True)
def tree_potentials(L, flat, n, parent, thread, high, low):
    """Write the potentials of the tree as sums of two numbers, the root's zero."""
    N = len(parent)
    root = N - 1
    high[root], low[root] = 0.0, 0.0
    x = thread[root]
    while x != root:
        p = parent[x]
        i, j = (x, p - n) if x < n else (p, x - n)
        c = L[j, i] if flat else L[i, j]
        s = c + high[p]
        part = s - c
        rest = (c - (s - part)) + (high[p] - part) + low[p]
        total = s + rest
        high[x] = -total
        low[x] = -(rest - (total - s))
        x = thread[x]


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _least_exact(line, cross, cross_low, base, base_low, start, stop):
    best = np.inf
    for k in range(start, stop):
        s = cross[k] + base
        part = s - cross[k]
        e = (cross[k] - (s - part)) + (base - part)
        t = s + line[k]
        part = t - s
        e += (s - (t - part)) + (line[k] - part)
        x = t + (e + (cross_low[k] + base_low))
        if x < best:
            best = x
    return best


@njit(cache=True, nogil=True)
def _reduced(c, high_a, low_a, high_b, low_b):
    """Return c + a + b as a sum of two numbers."""
    s = high_a + high_b
    part = s - high_a
    e = (high_a - (s - part)) + (high_b - part)
    t = s + c
    part = t - s
    e += (s - (t - part)) + (c - part)
    e += low_a + low_b
    high = t + e
    return high, e - (high - t)


@njit(cache=True, nogil=True)
def _entering(L, flat, n, high, low, precise, tol, block, stride, cursor):
    """Return line and position of a good arc of negative reduced cost, or -1, -1.

    Blocks of costs are searched from where the last search ended, lines in an order
    that jumps about: neighboring lines of sorted points want the same columns.
    """
    p, q = L.shape
    line, k = cursor[0], cursor[1]
    cross, cross_low = (high[:n], low[:n]) if flat else (high[n:], low[n:])
    own = n if flat else 0
    best, best_line, best_start = -tol, -1, 0
    seen, in_block, total = 0, 0, p * q
    while seen < total:
        stop = min(k + _PIECE, q)
        # Lines are far apart: what comes next is asked for while this one is read.
        ahead = line + stride
        row = L[ahead - p * (ahead >= p)]
        for z in range(k, stop, 8):
            prefetch(row, np.uint64(z))
        base = high[own + line]
        if precise:
            base_low = low[own + line]
            x = _least_exact(L[line], cross, cross_low, base, base_low, k, stop)
        else:
            x = least(L[line], cross, k, stop) + base
        if x < best:
            best, best_line, best_start = x, line, k
        seen += stop - k
        in_block += stop - k
        k = stop
        if k == q:
            k = 0
            line += stride
            line -= p * (line >= p)
        if in_block >= block:
            if best_line >= 0:
                break
            in_block = 0
    cursor[0], cursor[1] = line, k
    if best_line < 0:
        return -1, -1
    base, base_low = high[own + best_line], low[own + best_line]
    best, where = np.inf, best_start
    for k in range(best_start, min(best_start + _PIECE, q)):
        if precise:
            x, _ = _reduced(L[best_line, k], cross[k], cross_low[k], base, base_low)
        else:
            x = L[best_line, k] + cross[k]
        if x < best:
            best, where = x, k
    return best_line, where


@njit(cache=True, nogil=True)
def _column_potentials(L, n, parent, high, seen, stack, mark):
    """Write the potentials of the columns alone: few, where lines are columns."""
    N = len(parent)
    seen[N - 1] = mark
    high[N - 1] = 0.0
    for start in range(n, N):
        x, height = start, 0
        while seen[x] != mark:
            stack[height] = x
            height += 1
            x = parent[parent[x]]
        while height:
            height -= 1
            x = stack[height]
            i = parent[x]
            up = parent[i]
            high[x] = high[up] + (L[up - n, i] - L[x - n, i])
            seen[x] = mark


@njit(cache=True, nogil=True)
def _entering_by_rows(L, n, parent, high, tol, length, stride, own, cursor):
    """Return column and row of a good arc where lines are few columns, or -1, -1.

    Potentials of rows are those that their parents' arcs ask for; writing them all at
    each pivot would take most of the time.
    """
    m, _ = L.shape
    blocks = (n + length - 1) // length
    block = cursor[0]
    best, best_line, best_start = -tol, -1, 0
    for _ in range(blocks):
        start = block * length
        stop = min(start + length, n)
        for i in range(start, stop):
            up = parent[i]
            own[i] = -L[up - n, i] - high[up]
        for j in range(m):
            x = least(L[j], own, start, stop) + high[n + j]
            if x < best:
                best, best_line, best_start = x, j, start
        block += stride
        block -= blocks * (block >= blocks)
        if best_line >= 0:
            break
    cursor[0] = block
    if best_line < 0:
        return -1, -1
    best, where = np.inf, best_start
    for i in range(best_start, min(best_start + length, n)):
        x = L[best_line, i] + own[i]
        if x < best:
            best, where = x, i
    return best_line, where


@njit(cache=True, nogil=True)
def coprime(blocks, share):
    stride = max(1, int(share * blocks))
    while True:
        x, y = stride, blocks
        while y:
            x, y = y, x % y
        if x == 1:
            return stride
        stride += 1


@njit(cache=True, nogil=True)
def _leaving(i, j, n, parent, size, flow):
    """Return the join of the cycle, the node whose arc leaves, its flow, and the side.

    Among arcs that block, the last one met on the way from the join through the
    entering arc leaves, which keeps the tree strongly feasible and forbids cycling.
    """
    least_i = least_j = np.iinfo(np.int64).max
    out_i = out_j = -1
    x, y = i, j
    while x != y:
        if size[x] < size[y]:
            if x < n and flow[x] < least_i:
                least_i, out_i = flow[x], x
            x = parent[x]
        else:
            if y >= n and flow[y] <= least_j:
                least_j, out_j = flow[y], y
            y = parent[y]
    if least_j <= least_i:
        return x, out_j, least_j, False
    return x, out_i, least_i, True


@njit(cache=True, nogil=True)
def _hang(q, top, under, amount, parent, thread, rev, size, last, flow):
    """Cut the subtree of q, root it at `top`, and hang it under `under`.

    Returns the last node of the subtree in the new order.
    """
    total = size[q]
    before, end = rev[q], last[q]
    after = thread[end]
    thread[before] = after
    rev[after] = before
    x = parent[q]
    while x >= 0 and last[x] == end:
        last[x] = before
        x = parent[x]
    # The stem from `top` up to q turns over: each node's old parent becomes its last
    # child, followed by what was below that parent beside the stem.
    child, up = top, parent[top]
    first, stop = rev[top], last[top]
    beyond = thread[stop]
    child_size, child_flow = size[top], flow[top]
    parent[top], flow[top], size[top] = under, amount, total
    tail = stop
    while child != q:
        x = up
        up = parent[x]
        x_first, x_stop = rev[x], last[x]
        x_beyond = beyond if x_stop == stop else thread[x_stop]
        x_size, x_flow = size[x], flow[x]
        thread[tail] = x
        rev[x] = tail
        if x_stop == stop:
            tail = first
        else:
            thread[first] = beyond
            rev[beyond] = first
            tail = x_stop
        parent[x], flow[x], size[x] = child, child_flow, total - child_size
        child, first, stop, beyond = x, x_first, x_stop, x_beyond
        child_size, child_flow = x_size, x_flow
    x = q
    while x != under:
        last[x] = tail
        x = parent[x]
    after = thread[under]
    thread[under] = top
    rev[top] = under
    thread[tail] = after
    rev[after] = tail
    x = under
    if last[under] == under:
        while x >= 0 and last[x] == under:
            last[x] = tail
            x = parent[x]
    return tail


@njit(cache=True, nogil=True)
def _shift(first, stop, n, by, by_low, thread, high, low, precise):
    """Add to rows from `first` to `stop` of the order, subtract from columns."""
    x = first
    while True:
        sign = 1.0 if x < n else -1.0
        if precise:
            t = sign * by
            s = high[x] + t
            part = s - high[x]
            e = (high[x] - (s - part)) + (t - part) + (low[x] + sign * by_low)
            high[x] = s + e
            low[x] = e - (high[x] - s)
        else:
            high[x] += sign * by
        if x == stop:
            break
        x = thread[x]


@njit(cache=True, nogil=True)
def exchange(
    i,
    j,
    r,
    r_low,
    n,
    parent,
    thread,
    rev,
    size,
    last,
    flow,
    high,
    low,
    precise,
    shifting,
):
    """Let the arc of row i and column node j enter; say whether anything moved.

    Its reduced cost is ``r + r_low``, by which potentials are shifted if asked for.
    """
    N = len(parent)
    join, out, amount, on_i = _leaving(i, j, n, parent, size, flow)
    if amount > 0:
        x = i
        while x != join:
            flow[x] += -amount if x < n else amount
            x = parent[x]
        x = j
        while x != join:
            flow[x] += amount if x < n else -amount
            x = parent[x]
    top, under = (i, j) if on_i else (j, i)
    total = size[out]
    x = parent[out]
    while x != join:
        size[x] -= total
        x = parent[x]
    x = under
    while x != join:
        size[x] += total
        x = parent[x]
    tail = _hang(out, top, under, amount, parent, thread, rev, size, last, flow)
    if shifting:
        # What is moved is the smaller part of the tree: the rest by the opposite.
        sign = -1.0 if on_i else 1.0
        if 2 * total <= N:
            _shift(top, tail, n, sign * r, sign * r_low, thread, high, low, precise)
        else:
            first, stop = thread[tail], rev[top]
            _shift(first, stop, n, -sign * r, -sign * r_low, thread, high, low, precise)
    return amount > 0


@njit(cache=True, nogil=True)
def pivots(
    L,
    flat,
    n,
    parent,
    thread,
    rev,
    size,
    last,
    flow,
    high,
    low,
    precise,
    tol,
    most,
):
    """Pivot until no reduced cost is below ``-tol``.

    Returns the numbers of pivots and of those that moved nothing, and whether it is
    finished.
    """
    N = len(parent)
    p, q = L.shape
    block = max(64, int(np.sqrt(float(p) * q)))
    cursor = np.zeros(2, np.int64)
    tree_potentials(L, flat, n, parent, thread, high, low)
    count, idle, fresh = 0, 0, 0
    lazy = flat and not precise
    seen, stack = np.full(N, -1, np.int64), np.empty(N - n + 1, np.int32)
    length = max(16, block // (N - n))
    stride = coprime((n + length - 1) // length if lazy else p, 0.618)
    own = np.empty(n)
    while count < most:
        if lazy:
            _column_potentials(L, n, parent, high, seen, stack, count)
            line, k = _entering_by_rows(
                L, n, parent, high, tol, length, stride, own, cursor
            )
            fresh = 0
            if line >= 0:
                high[k] = own[k]
        else:
            line, k = _entering(
                L, flat, n, high, low, precise, tol, block, stride, cursor
            )
        if line < 0 and fresh == 0:
            if lazy:
                tree_potentials(L, flat, n, parent, thread, high, low)
            return count, idle, True
        if line < 0 or fresh >= N:
            tree_potentials(L, flat, n, parent, thread, high, low)
            fresh = 0
            if line < 0:
                continue
        i, j = (k, line) if flat else (line, k)
        j += n
        r, r_low = _reduced(L[line, k], high[i], low[i], high[j], low[j])
        if not precise:
            r, r_low = L[line, k] + high[i] + high[j], 0.0
        count += 1
        fresh += 1
        idle += not exchange(
            i,
            j,
            r,
            r_low,
            n,
            parent,
            thread,
            rev,
            size,
            last,
            flow,
            high,
            low,
            precise,
            not lazy,
        )
    return count, idle, False
