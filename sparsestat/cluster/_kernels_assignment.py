"""Assignment of rows to groups of bounded size: a min-cost flow on K + 1 nodes.

Nodes are the groups and one sink. Rows are never nodes: moving a row from one
group to another is an arc between the two, and a heap per pair of groups holds
the cheapest of them. Prices v keep all reduced costs
``(D[i, j] - v[j]) - (D[i, k] - v[k])`` non-negative, so that every shortest path
keeps the assignment optimal for the sizes it has.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["assign", "nearest"]


@njit(cache=True, nogil=True)
def nearest(D, v, labels):
    """Write the group of least ``D - v`` for every row; return the group sizes."""
    n, k = D.shape
    sizes = np.zeros(k, dtype=np.int64)
    for i in range(n):
        best = D[i, 0] - v[0]
        where = 0
        for j in range(1, k):
            value = D[i, j] - v[j]
            if value < best:
                best = value
                where = j
        labels[i] = where
        sizes[where] += 1
    return sizes


@njit(cache=True, nogil=True)
def _sift_down(keys, rows, base, size, at):
    key, row = keys[base + at], rows[base + at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and keys[base + child + 1] < keys[base + child]:
            child += 1
        if keys[base + child] >= key:
            break
        keys[base + at] = keys[base + child]
        rows[base + at] = rows[base + child]
        at = child
    keys[base + at], rows[base + at] = key, row


@njit(cache=True, nogil=True)
def _sift_up(keys, rows, base, at):
    key, row = keys[base + at], rows[base + at]
    while at > 0:
        parent = (at - 1) // 2
        if keys[base + parent] <= key:
            break
        keys[base + at] = keys[base + parent]
        rows[base + at] = rows[base + parent]
        at = parent
    keys[base + at], rows[base + at] = key, row


@njit(cache=True, nogil=True)
def _build(D, v, labels, tau, spare):
    """Return heaps of the moves whose reduced cost is at most tau."""
    n, k = D.shape
    size = np.zeros(k * k, dtype=np.int64)
    for i in range(n):
        a = labels[i]
        own = D[i, a] - v[a] + tau
        for b in range(k):
            if b != a and D[i, b] - v[b] <= own:
                size[a * k + b] += 1
    offset = np.zeros(k * k + 1, dtype=np.int64)
    for p in range(k * k):
        offset[p + 1] = offset[p] + size[p] + size[p] // 2 + spare
    keys = np.empty(offset[-1])
    rows = np.empty(offset[-1], dtype=np.int64)
    size[:] = 0
    for i in range(n):
        a = labels[i]
        own = D[i, a] - v[a] + tau
        for b in range(k):
            if b != a and D[i, b] - v[b] <= own:
                p = a * k + b
                keys[offset[p] + size[p]] = D[i, b] - D[i, a]
                rows[offset[p] + size[p]] = i
                size[p] += 1
    for p in range(k * k):
        for at in range(size[p] // 2 - 1, -1, -1):
            _sift_down(keys, rows, offset[p], size[p], at)
    return keys, rows, offset, size


@njit(cache=True, nogil=True)
def _refresh(a, k, labels, keys, rows, offset, size, top):
    """Drop rows that have left group a from its heaps; note the cheapest moves."""
    for b in range(k):
        if b == a:
            continue
        p = a * k + b
        base = offset[p]
        while size[p] > 0 and labels[rows[base]] != a:
            size[p] -= 1
            if size[p] > 0:
                keys[base], rows[base] = keys[base + size[p]], rows[base + size[p]]
                _sift_down(keys, rows, base, size[p], 0)
        top[a, b] = keys[base] if size[p] > 0 else np.inf


@njit(cache=True, nogil=True)
def _shortest_path(top, floor, v, excess, flow, low, high, dist, parent, done):
    """Search from all groups with too much to the nearest with too little.

    Node k is the sink. Returns the node reached, or -1.
    """
    k = top.shape[0]
    for a in range(k + 1):
        dist[a] = 0.0 if excess[a] > 0 else np.inf
        parent[a] = -1
        done[a] = False
    while True:
        a, best = -1, np.inf
        for b in range(k + 1):
            if not done[b] and dist[b] < best:
                a, best = b, dist[b]
        if a < 0:
            return -1
        if excess[a] < 0:
            return a
        done[a] = True
        for b in range(k + 1):
            if done[b]:
                continue
            if a < k and b < k:
                cost = min(top[a, b], floor[a, b])
            elif b == k:  # give a unit to the sink
                cost = 0.0 if flow[a] < high[a] else np.inf
            else:  # take one back
                cost = 0.0 if flow[b] > low[b] else np.inf
            if cost == np.inf:
                continue
            length = best + max(cost + v[a] - v[b], 0.0)
            if length < dist[b]:
                dist[b] = length
                parent[b] = a


@njit(cache=True, nogil=True)
def assign(D, low, high, v, labels, tau):
    """Assign rows to groups of sizes in [low, high] at least total cost.

    Parameters
    ----------
    D : (n, K) costs
    low, high : (K,) bounds with sum(low) <= n <= sum(high)
    v : (K + 1,) prices of the groups and of the sink; changed to optimal ones
    labels : (n,) output
    tau : first bound on the reduced cost of moves that are looked at; grows

    Returns
    -------
    sizes : (K,)
    n_moves : number of units sent along shortest paths
    """
    n, k = D.shape
    sizes = nearest(D, v[:k] - v[k], labels)
    # Units in the arc from each group to the sink that its price calls for.
    flow = np.empty(k, dtype=np.int64)
    excess = np.zeros(k + 1, dtype=np.int64)
    for a in range(k):
        if v[a] > v[k]:
            flow[a] = low[a]
        elif v[a] < v[k]:
            flow[a] = high[a]
        else:
            flow[a] = min(max(sizes[a], low[a]), high[a])
        excess[a] = sizes[a] - flow[a]
        excess[k] += flow[a]
    excess[k] -= n
    left = 0
    for a in range(k + 1):
        left += max(excess[a], 0)
    n_moves = left
    if left == 0:
        return sizes, n_moves
    top = np.full((k, k), np.inf)
    floor = np.full((k, k), np.inf)
    dist, parent = np.empty(k + 1), np.empty(k + 1, dtype=np.int64)
    done = np.empty(k + 1, dtype=np.bool_)
    # Room for moves that come up later, in heaps that are many if groups are.
    spare, rounds = min(max(n // (k * k), 16), 128), 0
    stale = True
    keys, rows, offset, size = _build(D, v, labels, -1.0, 0)
    while left > 0:
        if stale:
            if rounds > 6:
                tau = np.inf  # all moves: nothing can be missing any more
            keys, rows, offset, size = _build(D, v, labels, tau, spare)
            for a in range(k):
                for b in range(k):
                    if b != a:
                        # Moves that are not in the heaps cost more than this.
                        floor[a, b] = tau + v[b] - v[a]
                _refresh(a, k, labels, keys, rows, offset, size, top)
            stale = False
        end = _shortest_path(top, floor, v, excess, flow, low, high, dist, parent, done)
        if end < 0:
            return sizes, -1
        b = end
        while parent[b] >= 0:
            a = parent[b]
            if a < k and b < k and floor[a, b] < top[a, b]:
                stale = True
            b = a
        if stale:
            tau = max(4.0 * tau, 1e-300)
            rounds += 1
            continue
        reach = dist[end]
        for a in range(k + 1):
            if dist[a] < reach:
                v[a] -= reach - dist[a]
        # Move one row along each arc, from the end of the path to its beginning.
        b = end
        while parent[b] >= 0:
            a = parent[b]
            if b == k:
                flow[a] += 1
            elif a == k:
                flow[b] -= 1
            else:
                i = rows[offset[a * k + b]]
                labels[i] = b
                sizes[a] -= 1
                sizes[b] += 1
                for c in range(k):
                    if c == b:
                        continue
                    if D[i, c] - D[i, b] > floor[b, c]:
                        continue  # no cheaper than moves that are not looked at
                    p = b * k + c
                    if offset[p] + size[p] == offset[p + 1]:
                        stale = True  # full: build anew, which drops what is stale
                        continue
                    keys[offset[p] + size[p]] = D[i, c] - D[i, b]
                    rows[offset[p] + size[p]] = i
                    _sift_up(keys, rows, offset[p], size[p])
                    size[p] += 1
            b = a
        excess[b] -= 1
        excess[end] += 1
        left -= 1
        if stale:
            spare *= 4
            continue
        b = end
        while b >= 0:
            if b < k:
                _refresh(b, k, labels, keys, rows, offset, size, top)
            b = parent[b]
    for a in range(k):
        v[a] -= v[k]
    v[k] = 0.0
    return sizes, n_moves
