"""Single points exchanged between clusters, the best move first."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["exchange_dense", "exchange_sparse"]


@njit(cache=True, nogil=True)
def _best_move(D, weights, labels, sizes, counts, least):
    """Return the point and the cluster whose move saves most, or -1."""
    point, goal, best = -1, -1, least
    for i in range(len(labels)):
        own, w = labels[i], weights[i]
        if counts[own] == 1:
            continue  # alone, it costs nothing where it is
        left = sizes[own] - w
        if left <= 1e-12 * sizes[own]:
            continue  # the others hardly count
        save = sizes[own] / left * w * D[i, own]
        if save <= best:
            continue
        for k in range(len(sizes)):
            if k != own:
                gain = save - sizes[k] / (sizes[k] + w) * w * D[i, k]
                if gain > best:
                    point, goal, best = i, k, gain
    return point, goal


@njit(cache=True, nogil=True)
def _dense_column(X, weights, labels, k, center, D):
    """Recompute the mean of cluster k and all squared distances to it."""
    n, d = X.shape
    center[:] = 0.0
    size, count = 0.0, 0
    for i in range(n):
        if labels[i] == k:
            size += weights[i]
            count += 1
            for j in range(d):
                center[j] += weights[i] * X[i, j]
    center /= size
    for i in range(n):
        total = 0.0
        for j in range(d):
            total += (X[i, j] - center[j]) ** 2
        D[i, k] = total
    return size, count


@njit(cache=True, nogil=True)
def exchange_dense(X, weights, labels, n_clusters, max_moves, tol):
    """Move points one at a time while that saves more than `tol` of the cost.

    labels is changed in place; no cluster is emptied. Returns the means and the
    number of moves.
    """
    n, d = X.shape
    D = np.empty((n, n_clusters))
    centers = np.empty((n_clusters, d))
    sizes, counts = np.empty(n_clusters), np.empty(n_clusters, np.int64)
    for k in range(n_clusters):
        sizes[k], counts[k] = _dense_column(X, weights, labels, k, centers[k], D)
    cost = 0.0
    for i in range(n):
        cost += weights[i] * D[i, labels[i]]
    moves = 0
    while moves < max_moves:
        i, b = _best_move(D, weights, labels, sizes, counts, tol * cost)
        if i < 0:
            break
        a = labels[i]
        labels[i] = b
        moves += 1
        sizes[a], counts[a] = _dense_column(X, weights, labels, a, centers[a], D)
        sizes[b], counts[b] = _dense_column(X, weights, labels, b, centers[b], D)
    return centers, moves


@njit(cache=True, nogil=True)
def _sparse_column(data, indices, indptr, squares, weights, labels, k, center, D):
    """Do the same for rows in compressed form, whose squared norms are given."""
    n = len(labels)
    center[:] = 0.0
    size, count = 0.0, 0
    for i in range(n):
        if labels[i] == k:
            size += weights[i]
            count += 1
            for p in range(indptr[i], indptr[i + 1]):
                center[indices[p]] += weights[i] * data[p]
    center /= size
    norm = 0.0
    for j in range(len(center)):
        norm += center[j] ** 2
    for i in range(n):
        total = 0.0
        for p in range(indptr[i], indptr[i + 1]):
            total += data[p] * center[indices[p]]
        D[i, k] = max(squares[i] - 2.0 * total + norm, 0.0)
    return size, count


@njit(cache=True, nogil=True)
def exchange_sparse(
    data, indices, indptr, d, weights, labels, n_clusters, max_moves, tol
):
    """Do the same for rows in compressed form."""
    n = len(labels)
    squares = np.zeros(n)
    for i in range(n):
        for p in range(indptr[i], indptr[i + 1]):
            squares[i] += data[p] ** 2
    D = np.empty((n, n_clusters))
    centers = np.empty((n_clusters, d))
    sizes, counts = np.empty(n_clusters), np.empty(n_clusters, np.int64)
    for k in range(n_clusters):
        sizes[k], counts[k] = _sparse_column(
            data, indices, indptr, squares, weights, labels, k, centers[k], D
        )
    cost = 0.0
    for i in range(n):
        cost += weights[i] * D[i, labels[i]]
    moves = 0
    while moves < max_moves:
        i, b = _best_move(D, weights, labels, sizes, counts, tol * cost)
        if i < 0:
            break
        a = labels[i]
        labels[i] = b
        moves += 1
        for k in (a, b):
            sizes[k], counts[k] = _sparse_column(
                data, indices, indptr, squares, weights, labels, k, centers[k], D
            )
    return centers, moves
