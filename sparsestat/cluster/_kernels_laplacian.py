"""Updates of soft memberships that feel those of their neighbors.

The graph comes as the three arrays of a symmetric CSR matrix without diagonal.
`entropy[i]` holds ``sum_k z_ik log z_ik`` of row i, known for free when a row is
updated, so that no logarithm of a membership is ever taken.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["color_rows", "energy_terms", "jacobi_rows", "plain_softmax", "sweep"]

_CUT = 40.0  # memberships below exp(-40) are zero


@njit(cache=True, nogil=True)
def _gather(data, indices, start, stop, Z, reg, field):
    """Add ``reg * sum_j w_ij z_j`` to a row."""
    for p in range(start, stop):
        j = indices[p]
        weight = reg * data[p]
        for k in range(len(field)):
            field[k] += weight * Z[j, k]


@njit(cache=True, nogil=True)
def _softmax(field, temperature, out):
    """Write softmax(field / T); return the entropy sum and -T log-sum-exp."""
    best, where = field[0], 0
    for k in range(1, len(field)):
        if field[k] > best:
            best, where = field[k], k
    if temperature == 0.0:
        for k in range(len(field)):
            out[k] = 0.0
        out[where] = 1.0
        return 0.0, -best
    total = 0.0
    mean = 0.0  # of (field - best) / T
    for k in range(len(field)):
        gap = (field[k] - best) / temperature
        if gap < -_CUT:
            out[k] = 0.0
        else:
            out[k] = math.exp(gap)
            total += out[k]
            mean += out[k] * gap
    for k in range(len(field)):
        out[k] /= total
    log_total = math.log(total)
    return mean / total - log_total, -best - temperature * log_total


@njit(cache=True, nogil=True)
def plain_softmax(U, fixed, temperature, Z, entropy):
    """Write the memberships of free rows without a graph."""
    field = np.empty(U.shape[1])
    for i in range(U.shape[0]):
        if fixed[i] < 0:
            for k in range(len(field)):
                field[k] = -U[i, k]
            entropy[i], _ = _softmax(field, temperature, Z[i])


@njit(cache=True, nogil=True)
def color_rows(indices, indptr):
    """Give every row the least color that no neighbor before it has.

    Returns the colors and their number, at most one more than the largest degree.
    """
    n = len(indptr) - 1
    colors = np.full(n, -1, dtype=np.int64)
    seen = np.full(n + 1, -1, dtype=np.int64)
    n_colors = 0
    for i in range(n):
        for p in range(indptr[i], indptr[i + 1]):
            if colors[indices[p]] >= 0:
                seen[colors[indices[p]]] = i
        color = 0
        while seen[color] == i:
            color += 1
        colors[i] = color
        n_colors = max(n_colors, color + 1)
    return colors, n_colors


@njit(cache=True, nogil=True)
def sweep(
    data, indices, indptr, U, fixed, reg, temperature, order, bounds, falls, Z, entropy
):
    """Minimize the energy over one row after the other, in a given order.

    falls[b] receives the decrease from rows ``order[bounds[b]:bounds[b + 1]]``.
    """
    k = U.shape[1]
    field = np.empty(k)
    for b in range(len(bounds) - 1):
        decrease = 0.0
        for at in range(bounds[b], bounds[b + 1]):
            i = order[at]
            if fixed[i] >= 0:
                continue
            for c in range(k):
                field[c] = -U[i, c]
            _gather(data, indices, indptr[i], indptr[i + 1], Z, reg, field)
            before = temperature * entropy[i]
            for c in range(k):
                before -= Z[i, c] * field[c]
            entropy[i], after = _softmax(field, temperature, Z[i])
            decrease += before - after
        falls[b] = decrease


@njit(cache=True, nogil=True)
def jacobi_rows(
    data, indices, indptr, U, fixed, reg, temperature, shift, Z, out, entropy, lo, hi
):
    """Update rows lo to hi from the memberships Z of all, with a diagonal shift."""
    field = np.empty(U.shape[1])
    for i in range(lo, hi):
        if fixed[i] >= 0:
            for c in range(len(field)):
                out[i, c] = Z[i, c]
            continue
        for c in range(len(field)):
            field[c] = -U[i, c] + reg * shift[i] * Z[i, c]
        _gather(data, indices, indptr[i], indptr[i + 1], Z, reg, field)
        entropy[i], _ = _softmax(field, temperature, out[i])


@njit(cache=True, nogil=True)
def energy_terms(data, indices, indptr, U, shift, Z, entropy):
    """Return the sums of z u, of z (W + shift) z and of z log z."""
    linear, smooth, mixed = 0.0, 0.0, 0.0
    n, k = U.shape
    field = np.empty(k)
    for i in range(n):
        for c in range(k):
            field[c] = shift[i] * Z[i, c]
        _gather(data, indices, indptr[i], indptr[i + 1], Z, 1.0, field)
        mixed += entropy[i]
        for c in range(k):
            linear += Z[i, c] * U[i, c]
            smooth += Z[i, c] * field[c]
    return linear, smooth, mixed
