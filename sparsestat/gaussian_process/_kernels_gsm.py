"""Kernels of grid spectral mixtures: Levinson's recursion and products of cosines.

The products work on tables ``cosines[p, j, i]`` and ``sines[p, j, i]`` of dimension p,
point j and component i, so that no trigonometric function stands in a loop over pairs
of points: cos(b(x - z)) = cos bx cos bz + sin bx sin bz.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
from numba import njit

__all__ = ["levinson", "product_gram", "product_scan"]

_LOOSE = {"reassoc", "contract", "nsz"}
_BLOCK = 32  # points whose tables stay in the cache


@njit(cache=True, nogil=True, fastmath=_LOOSE)
def levinson(column, targets):
    """Factor a symmetric positive definite Toeplitz matrix, given its first column.

    Returns the first column of the inverse, the solution for every row of `targets`
    (which may have no rows), the log determinant, and the step at which a prediction
    error was not positive (the order when all were).

    The forward predictor stands in `forward`, the backward one in `back`, moved so
    that the two are updated in place, at the same positions, in one pass.
    """
    n = len(column)
    n_targets = len(targets)
    solved = np.zeros((n_targets, n))
    mirrored = column[::-1].copy()
    forward = np.zeros(n)
    back = np.zeros(2 * n)
    forward[0] = 1.0
    start = n
    back[start] = 1.0
    error = column[0]
    if not error > 0.0:
        return forward, solved, 0.0, 0
    for t in range(n_targets):
        solved[t, 0] = targets[t, 0] / error
    logdet = math.log(error)
    next_dot = column[1] if n > 1 else 0.0
    for k in range(1, n):
        reflection = -next_dot / error
        start -= 1
        error *= 1.0 - reflection * reflection
        if not error > 0.0:
            return forward, solved, logdet, k
        logdet += math.log(error)
        # forward[i] and the shifted back[i], i = 0..k; mirrored holds c[k + 1 - i].
        f = forward[: k + 1]
        b = back[start : start + k + 1]
        total = 0.0
        if k + 1 < n:
            c = mirrored[n - 2 - k : n - 1]
            for i in range(k + 1):
                x = f[i]
                z = b[i]
                new = x + reflection * z
                f[i] = new
                b[i] = z + reflection * x
                total += c[i] * new
        else:
            for i in range(k + 1):
                x = f[i]
                z = b[i]
                f[i] = x + reflection * z
                b[i] = z + reflection * x
        next_dot = total
        c = mirrored[n - 1 - k : n - 1]  # c[k - i], i = 0..k-1
        for t in range(n_targets):
            x = solved[t]
            missing = targets[t, k]
            for i in range(k):
                missing -= c[i] * x[i]
            missing /= error
            for i in range(k + 1):
                x[i] += missing * b[i]
    return forward / error, solved, logdet, n


@njit(cache=True, nogil=True, fastmath=_LOOSE)
def product_gram(cosines, sines, other_cosines, other_sines, weights, lower, gram):
    """Add the weighted sum of products of cosines to `gram`, in place.

    Rows are the points of the first tables, columns those of the others. `lower`
    leaves out what is above the diagonal.
    """
    n_dims, n, m = cosines.shape
    n_columns = other_cosines.shape[1]
    buffer = np.empty(m)
    for low in range(0, n_columns, _BLOCK):
        high = min(low + _BLOCK, n_columns)
        for j in range(low if lower else 0, n):
            for k in range(low, min(high, j + 1) if lower else high):
                for i in range(m):
                    buffer[i] = weights[i]
                for p in range(n_dims):
                    cj, ck = cosines[p, j], other_cosines[p, k]
                    sj, sk = sines[p, j], other_sines[p, k]
                    for i in range(m):
                        buffer[i] *= cj[i] * ck[i] + sj[i] * sk[i]
                total = 0.0
                for i in range(m):
                    total += buffer[i]
                gram[j, k] += total


@njit(cache=True, nogil=True, fastmath=_LOOSE)
def product_scan(cosines, sines, first, second):
    """Contract the products of cosines with two symmetric matrices.

    Returns, for every component, the sums of its Gram matrix times `first` and
    times `second`, entry by entry. Only the lower triangles are read.
    """
    n_dims, n, m = cosines.shape
    out = np.zeros((2, m))
    one, two = out[0], out[1]
    buffer = np.empty(m)
    for low in range(0, n, _BLOCK):
        high = min(low + _BLOCK, n)
        for j in range(low, n):
            for k in range(low, min(high, j + 1)):
                for i in range(m):
                    buffer[i] = 1.0
                for p in range(n_dims):
                    cj, ck = cosines[p, j], cosines[p, k]
                    sj, sk = sines[p, j], sines[p, k]
                    for i in range(m):
                        buffer[i] *= cj[i] * ck[i] + sj[i] * sk[i]
                times = 1.0 if j == k else 2.0
                a = times * first[j, k]
                b = times * second[j, k]
                for i in range(m):
                    one[i] += a * buffer[i]
                    two[i] += b * buffer[i]
    return out
