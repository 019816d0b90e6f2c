"""Descent on the second-order model of a multinomial likelihood; concordance.

With class probabilities P (rows of samples), the model of a step D of the linear
predictors is ``sum_i weight_i (sum_c P_ic D_ic^2 - (sum_c P_ic D_ic)^2) / 2`` plus a
linear term. Its derivative is ``Q (D - s)`` with ``Q = weight P`` and ``s = sum_c
P_ic D_ic``, so that a coordinate costs the entries of its column. One class with the
probability p of a binary model gives the curvature p (1 - p). P, Q and D are
F-ordered: a class is contiguous.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.linear_model._penalized._kernels_path import _soft

_DOT = {"reassoc", "contract", "arcp", "nsz"}


@njit(cache=True, nogil=True, fastmath=_DOT)
def softmax_cd(
    A, P, Q, rows, classes, q, curvature, w, lam, l2, positive, D, s, max_sweeps,
    target,
):  # fmt: skip
    """Cyclic descent over pairs of a dense column and a class, absolute penalty.

    Sweeps over all pairs alternate with up to five over the non-zero ones. Stops
    when a sweep over all moved no gradient by more than `target`.

    Returns
    -------
    n_sweeps (in units of all pairs), largest gradient move of the last full one.
    """
    n = A.shape[0]
    m = rows.shape[0]
    work = 0
    moved = 0.0
    turn = 0
    for _ in range(6 * max_sweeps):
        full = turn == 0
        moved = 0.0
        for k in range(m):
            old = w[k]
            if curvature[k] == 0.0 or (not full and old == 0.0):
                continue
            j = rows[k]
            c = classes[k]
            work += 1
            dot = 0.0
            for i in range(n):
                dot += A[i, j] * Q[i, c] * (D[i, c] - s[i])
            z = q[k] - dot + curvature[k] * old
            new = _soft(z, lam[k], positive) / (curvature[k] + l2[k])
            if new == old:
                continue
            step = new - old
            w[k] = new
            for i in range(n):
                change = step * A[i, j]
                D[i, c] += change
                s[i] += P[i, c] * change
            moved = max(moved, abs(step) * (curvature[k] + l2[k]))
        if work >= m * max_sweeps or (full and moved <= target):
            break
        turn = 0 if (not full and moved <= target) else (turn + 1) % 6
    return work / max(m, 1), moved


@njit(cache=True, nogil=True, fastmath=_DOT)
def softmax_cd_csc(
    data, indices, indptr, P, Q, rows, classes, q, curvature, w, lam, l2, positive,
    D, s, max_sweeps, target,
):  # fmt: skip
    """The same descent on CSC columns."""
    m = rows.shape[0]
    work = 0
    moved = 0.0
    turn = 0
    for _ in range(6 * max_sweeps):
        full = turn == 0
        moved = 0.0
        for k in range(m):
            old = w[k]
            if curvature[k] == 0.0 or (not full and old == 0.0):
                continue
            j = rows[k]
            c = classes[k]
            work += 1
            dot = 0.0
            for p in range(indptr[j], indptr[j + 1]):
                i = indices[p]
                dot += data[p] * Q[i, c] * (D[i, c] - s[i])
            z = q[k] - dot + curvature[k] * old
            new = _soft(z, lam[k], positive) / (curvature[k] + l2[k])
            if new == old:
                continue
            step = new - old
            w[k] = new
            for p in range(indptr[j], indptr[j + 1]):
                i = indices[p]
                change = step * data[p]
                D[i, c] += change
                s[i] += P[i, c] * change
            moved = max(moved, abs(step) * (curvature[k] + l2[k]))
        if work >= m * max_sweeps or (full and moved <= target):
            break
        turn = 0 if (not full and moved <= target) else (turn + 1) % 6
    return work / max(m, 1), moved


@njit(cache=True, nogil=True)
def _shrink_block(Z, lam, l1, bound, l2):
    """Multiplier that takes Z (bound W + q, thresholded here) to its minimum."""
    square = 0.0
    for a in range(Z.shape[0]):
        for c in range(Z.shape[1]):
            Z[a, c] = _soft(Z[a, c], l1, False)
            square += Z[a, c] * Z[a, c]
    norm = np.sqrt(square)
    if norm <= lam:
        return 0.0
    return (1.0 - lam / norm) / (bound + l2)


@njit(cache=True, nogil=True, fastmath=_DOT)
def group_cd(A, P, Q, starts, q, bounds, W, lam, l1, l2, D, s, max_sweeps, target):
    """Cyclic descent over groups of dense columns, Frobenius norms as penalties.

    `bounds` holds an upper bound of the curvature of each group; the columns of
    group g are those from ``starts[g]`` to ``starts[g + 1]``, also as rows of q and W.
    `l1` is the strength of an absolute penalty inside each.

    Returns
    -------
    n_sweeps, largest gradient move of the last one.
    """
    n = A.shape[0]
    n_classes = W.shape[1]
    moved = 0.0
    for sweep in range(max_sweeps):
        moved = 0.0
        for g in range(bounds.shape[0]):
            bound = bounds[g]
            if bound == 0.0:
                continue
            size = starts[g + 1] - starts[g]
            Z = np.empty((size, n_classes))
            for a in range(size):
                j = starts[g] + a
                for c in range(n_classes):
                    dot = 0.0
                    for i in range(n):
                        dot += A[i, j] * Q[i, c] * (D[i, c] - s[i])
                    Z[a, c] = q[j, c] - dot + bound * W[j, c]
            shrink = _shrink_block(Z, lam[g], l1[g], bound, l2[g])
            square = 0.0
            for a in range(size):
                j = starts[g] + a
                for c in range(n_classes):
                    new = shrink * Z[a, c]
                    step = new - W[j, c]
                    if step == 0.0:
                        continue
                    W[j, c] = new
                    square += step * step
                    for i in range(n):
                        change = step * A[i, j]
                        D[i, c] += change
                        s[i] += P[i, c] * change
            moved = max(moved, np.sqrt(square) * (bound + l2[g]))
        if moved <= target:
            return sweep + 1, moved
    return max_sweeps, moved


@njit(cache=True, nogil=True, fastmath=_DOT)
def group_cd_csc(
    data, indices, indptr, P, Q, starts, q, bounds, W, lam, l1, l2, D, s,
    max_sweeps, target,
):  # fmt: skip
    """The same descent on groups of CSC columns."""
    n_classes = W.shape[1]
    moved = 0.0
    for sweep in range(max_sweeps):
        moved = 0.0
        for g in range(bounds.shape[0]):
            bound = bounds[g]
            if bound == 0.0:
                continue
            size = starts[g + 1] - starts[g]
            Z = np.empty((size, n_classes))
            for a in range(size):
                j = starts[g] + a
                for c in range(n_classes):
                    dot = 0.0
                    for p in range(indptr[j], indptr[j + 1]):
                        i = indices[p]
                        dot += data[p] * Q[i, c] * (D[i, c] - s[i])
                    Z[a, c] = q[j, c] - dot + bound * W[j, c]
            shrink = _shrink_block(Z, lam[g], l1[g], bound, l2[g])
            square = 0.0
            for a in range(size):
                j = starts[g] + a
                for c in range(n_classes):
                    new = shrink * Z[a, c]
                    step = new - W[j, c]
                    if step == 0.0:
                        continue
                    W[j, c] = new
                    square += step * step
                    for p in range(indptr[j], indptr[j + 1]):
                        i = indices[p]
                        change = step * data[p]
                        D[i, c] += change
                        s[i] += P[i, c] * change
            moved = max(moved, np.sqrt(square) * (bound + l2[g]))
        if moved <= target:
            return sweep + 1, moved
    return max_sweeps, moved


@njit(cache=True, nogil=True)
def concordance_sums(rank, n_ranks, event, weights, blocks):
    """Weighted concordant, tied and comparable pairs, in O(n log n).

    Samples come in decreasing order of time; `blocks` holds the bounds of runs of
    equal times. `rank` is that of the predicted risk, from 0. A pair is comparable
    if the earlier time is an event, or at equal times if one is and one is not.
    """
    tree = np.zeros(n_ranks + 1)  # Fenwick tree of weights by rank
    level = np.zeros(n_ranks)  # weight at each rank
    held = 0.0
    concordant = 0.0
    tied = 0.0
    comparable = 0.0
    for b in range(blocks.shape[0] - 1):
        start = blocks[b]
        stop = blocks[b + 1]
        # Censored samples of this time outlive its events.
        held += _insert(tree, level, rank, weights, event, start, stop, False)
        for i in range(start, stop):
            if not event[i]:
                continue
            below = 0.0
            k = rank[i]
            while k > 0:
                below += tree[k]
                k -= k & -k
            concordant += weights[i] * below
            tied += weights[i] * level[rank[i]]
            comparable += weights[i] * held
        held += _insert(tree, level, rank, weights, event, start, stop, True)
    return concordant, tied, comparable


@njit(cache=True, nogil=True)
def _insert(tree, level, rank, weights, event, start, stop, which):
    added = 0.0
    for i in range(start, stop):
        if event[i] == which:
            level[rank[i]] += weights[i]
            added += weights[i]
            k = rank[i] + 1
            while k < tree.shape[0]:
                tree[k] += weights[i]
                k += k & -k
    return added
