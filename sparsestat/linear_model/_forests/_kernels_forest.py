"""Forests in sparse symmetric matrices: choose them, order them, solve on them.

A matrix is given by its diagonal and by its entries beside the diagonal in CSR form
(both triangles). Right-hand sides stand side by side in C-ordered (n, k) arrays, so
that one sweep serves all of them.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = [
    "apply_step",
    "asymmetry",
    "breadth_first",
    "color_nodes",
    "factor_forest",
    "grow_forest",
    "partition_forests",
    "residual",
    "scores",
    "solve_forest",
    "split_diagonal",
]


@njit(cache=True, nogil=True)
def asymmetry(data, indices, indptr):
    """Largest |A_ij - A_ji| of a square CSR matrix with sorted, unique indices."""
    n = indptr.shape[0] - 1
    # Rows are visited in ascending order, so that the entries (j, i) of every row j
    # are met from left to right: one cursor a row finds all partners.
    cursor = np.empty(n, np.int64)
    for i in range(n):
        cursor[i] = indptr[i]
    worst = 0.0
    for i in range(n):
        for p in range(indptr[i], indptr[i + 1]):
            j = indices[p]
            q = cursor[j]
            while q < indptr[j + 1] and indices[q] < i:  # entries without a partner
                worst = max(worst, abs(data[q]))
                q += 1
            if q < indptr[j + 1] and indices[q] == i:
                worst = max(worst, abs(data[p] - data[q]))
                q += 1
            else:
                worst = max(worst, abs(data[p]))
            cursor[j] = q
    for j in range(n):
        for q in range(cursor[j], indptr[j + 1]):
            worst = max(worst, abs(data[q]))
    return worst


@njit(cache=True, nogil=True)
def split_diagonal(data, indices, indptr):
    """Return the diagonal and the other non-zero entries as a CSR triple."""
    n = indptr.shape[0] - 1
    diag = np.zeros(n)
    starts = np.zeros(n + 1, indptr.dtype)
    kept = 0
    for i in range(n):
        for p in range(indptr[i], indptr[i + 1]):
            if indices[p] == i:
                diag[i] += data[p]
            elif data[p] != 0.0:
                kept += 1
        starts[i + 1] = kept
    values = np.empty(kept)
    columns = np.empty(kept, indices.dtype)
    kept = 0
    for i in range(n):
        for p in range(indptr[i], indptr[i + 1]):
            if indices[p] != i and data[p] != 0.0:
                values[kept] = data[p]
                columns[kept] = indices[p]
                kept += 1
    return diag, values, columns, starts


@njit(cache=True, nogil=True)
def _root(tree, v):
    """Return the root of v in the disjoint-set forest, halving the path to it."""
    while tree[v] != v:
        tree[v] = tree[tree[v]]
        v = tree[v]
    return v


@njit(cache=True, nogil=True)
def _join(indices, indptr, v, block, chosen, tree, seen, size, largest):
    """Try to add v to the nodes with block == chosen.

    Returns False if that closes a cycle, or joins trees to one of more than `largest`
    nodes.
    """
    total = 1
    for p in range(indptr[v], indptr[v + 1]):
        u = indices[p]
        if block[u] == chosen:
            root = _root(tree, u)
            total += size[root]
            if seen[root] == v or total > largest:
                return False
            seen[root] = v
    size[v] = total
    for p in range(indptr[v], indptr[v + 1]):
        u = indices[p]
        if block[u] == chosen:
            tree[_root(tree, u)] = v
    block[v] = chosen
    return True


@njit(cache=True, nogil=True)
def grow_forest(indices, indptr, order, block, tree, seen, size):
    """Choose nodes in the given order, skipping those that would close a cycle.

    On return ``block`` is 1 on the chosen nodes and 0 elsewhere; the other two arrays
    are scratch.

    Returns
    -------
    n_chosen
    """
    block[:] = 0
    seen[:] = -1
    n = tree.shape[0]
    for v in range(n):
        tree[v] = v
    n_chosen = 0
    for k in range(order.shape[0]):
        if _join(indices, indptr, order[k], block, 1, tree, seen, size, n):
            n_chosen += 1
    return n_chosen


@njit(cache=True, nogil=True)
def partition_forests(indices, indptr, order, block, largest):
    """Put every node, in the given order, into the first forest that stays one.

    No tree gets more than `largest` nodes.

    Returns
    -------
    n_forests
    """
    n = block.shape[0]
    block[:] = -1
    tree = np.arange(n)
    seen = np.full(n, -1)
    size = np.empty(n, np.int64)
    n_forests = 0
    for k in range(order.shape[0]):
        v = order[k]
        chosen = 0
        while not _join(indices, indptr, v, block, chosen, tree, seen, size, largest):
            chosen += 1
        n_forests = max(n_forests, chosen + 1)
    return n_forests


@njit(cache=True, nogil=True)
def color_nodes(indices, indptr, order, block):
    """Give every node, in the given order, the first color no neighbor has.

    Returns
    -------
    n_colors
    """
    n = block.shape[0]
    block[:] = -1
    taken = np.full(n + 1, -1)
    n_colors = 0
    for k in range(order.shape[0]):
        v = order[k]
        for p in range(indptr[v], indptr[v + 1]):
            if block[indices[p]] >= 0:
                taken[block[indices[p]]] = v
        color = 0
        while taken[color] == v:
            color += 1
        block[v] = color
        n_colors = max(n_colors, color + 1)
    return n_colors


@njit(cache=True, nogil=True)
def breadth_first(data, indices, indptr, nodes, block, chosen, sequence, up, link):
    """Order the forest of the nodes with block == chosen from its roots.

    Fills ``sequence`` with nodes, ``up`` with the position of each node's parent (-1
    for roots, which are the first of their tree in `nodes`) and ``link`` with the
    matrix entry that ties it to its parent.

    Returns
    -------
    n_ordered
    """
    waiting = np.zeros(block.shape[0], np.bool_)
    for k in range(nodes.shape[0]):
        waiting[nodes[k]] = block[nodes[k]] == chosen
    n = 0
    head = 0
    for k in range(nodes.shape[0]):
        root = nodes[k]
        if not waiting[root]:
            continue
        waiting[root] = False
        sequence[n] = root
        up[n] = -1
        link[n] = 0.0
        n += 1
        while head < n:
            v = sequence[head]
            for p in range(indptr[v], indptr[v + 1]):
                u = indices[p]
                if waiting[u]:
                    waiting[u] = False
                    sequence[n] = u
                    up[n] = head
                    link[n] = data[p]
                    n += 1
            head += 1
    return n


@njit(cache=True, nogil=True)
def factor_forest(diag, sequence, up, link, pivot):
    """Eliminate from the leaves to the roots; no entry fills in.

    Returns
    -------
    -1, or the position of a pivot that is not positive.
    """
    n = sequence.shape[0]
    for k in range(n):
        pivot[k] = diag[sequence[k]]
    for k in range(n - 1, -1, -1):
        if not pivot[k] > 1e-14 * abs(diag[sequence[k]]):
            return k
        if up[k] >= 0:
            pivot[up[k]] -= link[k] * link[k] / pivot[k]
    return -1


@njit(cache=True, nogil=True)
def solve_forest(sequence, up, link, pivot, G, step):
    """Solve A_bb step = -G_b for all right-hand sides; step is by position."""
    n = sequence.shape[0]
    width = G.shape[1]
    for k in range(n):
        for t in range(width):
            step[k, t] = -G[sequence[k], t]
    for k in range(n - 1, -1, -1):
        if up[k] >= 0:
            ratio = link[k] / pivot[k]
            for t in range(width):
                step[up[k], t] -= ratio * step[k, t]
    for k in range(n):
        if up[k] < 0:
            for t in range(width):
                step[k, t] /= pivot[k]
        else:
            for t in range(width):
                step[k, t] = (step[k, t] - link[k] * step[up[k], t]) / pivot[k]


@njit(cache=True, nogil=True)
def apply_step(data, indices, indptr, diag, sequence, step, W, G):
    """Add the step on the nodes of `sequence` to W and keep G = A W - B."""
    width = W.shape[1]
    for k in range(sequence.shape[0]):
        v = sequence[k]
        for t in range(width):
            W[v, t] += step[k, t]
            G[v, t] += diag[v] * step[k, t]
        for p in range(indptr[v], indptr[v + 1]):
            u = indices[p]
            for t in range(width):
                G[u, t] += data[p] * step[k, t]


@njit(cache=True, nogil=True)
def residual(data, indices, indptr, diag, W, B, G):
    """Write A W - B into G."""
    width = W.shape[1]
    for v in range(diag.shape[0]):
        for t in range(width):
            G[v, t] = diag[v] * W[v, t] - B[v, t]
        for p in range(indptr[v], indptr[v + 1]):
            u = indices[p]
            a = data[p]
            for t in range(width):
                G[v, t] += a * W[u, t]


@njit(cache=True, nogil=True)
def scores(G, scale, out):
    """Write ||G_v||^2 / scale_v into out, the progress of a step on v alone."""
    for v in range(G.shape[0]):
        total = 0.0
        for t in range(G.shape[1]):
            total += G[v, t] * G[v, t]
        out[v] = total / scale[v]
