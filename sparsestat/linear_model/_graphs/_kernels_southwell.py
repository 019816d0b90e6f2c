"""Single-coordinate Gauss-Southwell on a heap, and the reduction of label graphs."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["build_heap", "explore", "reduce_graph", "southwell"]


@njit(cache=True, nogil=True)
def _sift_up(heap, place, key, k):
    v = heap[k]
    while k > 0:
        above = (k - 1) // 2
        if key[heap[above]] >= key[v]:
            break
        heap[k] = heap[above]
        place[heap[k]] = k
        k = above
    heap[k] = v
    place[v] = k


@njit(cache=True, nogil=True)
def _sift_down(heap, place, key, k):
    n = heap.shape[0]
    v = heap[k]
    while True:
        child = 2 * k + 1
        if child >= n:
            break
        if child + 1 < n and key[heap[child + 1]] > key[heap[child]]:
            child += 1
        if key[heap[child]] <= key[v]:
            break
        heap[k] = heap[child]
        place[heap[k]] = k
        k = child
    heap[k] = v
    place[v] = k


@njit(cache=True, nogil=True)
def build_heap(key, heap, place):
    """Arrange the nodes as a heap with the largest key on top."""
    n = key.shape[0]
    for v in range(n):
        heap[v] = v
        place[v] = v
    for k in range(n // 2 - 1, -1, -1):
        _sift_down(heap, place, key, k)


@njit(cache=True, nogil=True)
def southwell(data, indices, indptr, diag, W, G, key, heap, place, max_steps):
    """Minimize over the coordinate of most progress, again and again.

    ``key`` is ||G_v||^2 / diag_v, twice the progress of a step on v alone. A step
    costs the degree of its node times the logarithm of their number.

    Returns
    -------
    n_steps
    """
    width = W.shape[1]
    step = np.empty(width)
    for used in range(max_steps):
        v = heap[0]
        if key[v] <= 0.0:
            return used
        for t in range(width):
            step[t] = -G[v, t] / diag[v]
            W[v, t] += step[t]
            G[v, t] = 0.0
        key[v] = 0.0
        _sift_down(heap, place, key, 0)
        for p in range(indptr[v], indptr[v + 1]):
            u = indices[p]
            total = 0.0
            for t in range(width):
                G[u, t] += data[p] * step[t]
                total += G[u, t] * G[u, t]
            total /= diag[u]
            rises = total > key[u]
            key[u] = total
            if rises:
                _sift_up(heap, place, key, place[u])
            else:
                _sift_down(heap, place, key, place[u])
    return max_steps


@njit(cache=True, nogil=True)
def explore(data, indices, indptr, labeled, order):
    """Order, breadth first, the unlabeled nodes that are connected to a label.

    Neighbors come to stand close to each other, which is what makes sparse products
    fast. Pieces without a label among their neighbors are left out.

    Returns
    -------
    n_ordered
    """
    n = indptr.shape[0] - 1
    seen = np.zeros(n, np.bool_)
    found = 0
    for root in range(n):
        if labeled[root] or seen[root]:
            continue
        begin = found
        head = found
        reached = False
        seen[root] = True
        order[found] = root
        found += 1
        while head < found:
            v = order[head]
            for p in range(indptr[v], indptr[v + 1]):
                u = indices[p]
                if data[p] == 0.0:
                    continue
                if labeled[u]:
                    reached = True
                elif not seen[u]:
                    seen[u] = True
                    order[found] = u
                    found += 1
            head += 1
        if not reached:
            found = begin
    return found


@njit(cache=True, nogil=True)
def reduce_graph(data, indices, indptr, order, position, Y):
    """Return the system of the ordered nodes: diagonal, off-diagonal CSR, right side.

    ``position`` is the place of a node in `order`, or -1. Loops do not count.
    """
    m = order.shape[0]
    width = Y.shape[1]
    diag = np.zeros(m)
    B = np.zeros((m, width))
    starts = np.zeros(m + 1, np.int64)
    for k in range(m):
        v = order[k]
        count = 0
        for p in range(indptr[v], indptr[v + 1]):
            u = indices[p]
            if u != v and position[u] >= 0 and data[p] != 0.0:
                count += 1
        starts[k + 1] = starts[k] + count
    columns = np.empty(starts[m], np.int32)
    values = np.empty(starts[m])
    for k in range(m):
        v = order[k]
        place = starts[k]
        for p in range(indptr[v], indptr[v + 1]):
            u = indices[p]
            if u == v or data[p] == 0.0:
                continue
            diag[k] += data[p]
            if position[u] >= 0:
                columns[place] = position[u]
                values[place] = -data[p]
                place += 1
            else:
                for t in range(width):
                    B[k, t] += data[p] * Y[u, t]
    return diag, values, columns, starts, B
