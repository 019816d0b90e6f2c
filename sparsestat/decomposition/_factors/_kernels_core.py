"""Exact updates of a sparse core between two block-diagonal factors.

Inside a block the loss is a quadratic in the core S with gradient ``T = A' R B'`` (R
the residual) and curvatures ``HA = A'A`` and ``HB = B B'``; importances of columns are
in B. A group of m entries of a row has the curvature ``HA[r, r] * HB[group, group]``,
so that the Cholesky factors of all choices of n entries are shared by all rows of a
block column.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["factor_masks", "improve_core"]

# A pivot below this part of its diagonal entry is rounding: the entry stays zero.
_PIVOT = 1e-12


@njit(cache=True, nogil=True)
def factor_masks(HB, masks, m, factors):
    """Write the Cholesky factors of HB on every mask of every group.

    Diagonals hold reciprocals, zero for an entry that the others before it explain.
    """
    n = masks.shape[1]
    for g in range(HB.shape[0] // m):
        for q in range(masks.shape[0]):
            L = factors[g, q]
            for i in range(n):
                row = g * m + masks[q, i]
                for j in range(i):
                    value = HB[row, g * m + masks[q, j]]
                    for t in range(j):
                        value -= L[i, t] * L[j, t]
                    L[i, j] = value * L[j, j]
                pivot = HB[row, row]
                for t in range(i):
                    pivot -= L[i, t] * L[i, t]
                usable = pivot > _PIVOT * HB[row, row]
                L[i, i] = 1.0 / np.sqrt(pivot) if usable else 0.0


@njit(cache=True, nogil=True)
def improve_core(T, HA, HB, factors, masks, m, S):
    """Visit every group of the blocks of a block column of S once, in place.

    Each group gets its best mask and values. T, the gradient, is overwritten.
    """
    n_blocks, b, _ = S.shape
    n = masks.shape[1]
    f, step, y, best = np.empty(m), np.empty(b), np.empty(n), np.empty(n)
    for k in range(n_blocks):
        _improve_block(T[k], HA[k], HB, factors, masks, m, S[k], f, step, y, best)


@njit(cache=True, nogil=True)
def _improve_block(T, HA, HB, factors, masks, m, S, f, step, y, best):
    b, n = S.shape[0], masks.shape[1]
    for r in range(b):
        curvature = HA[r, r]
        if not curvature > 0.0:
            continue
        step[:] = 0.0
        moved = False
        for g in range(b // m):
            at = g * m
            # f is the gradient with this group left out; `now` is what the group
            # takes off the loss as it is, times the curvature.
            now = 0.0
            for i in range(m):
                x = 0.0
                for j in range(m):
                    x += HB[at + i, at + j] * S[r, at + j]
                x *= curvature
                f[i] = T[r, at + i] + x
                now += S[r, at + i] * (2.0 * f[i] - x)
            now *= curvature
            top, chosen = now, -1
            for q in range(masks.shape[0]):
                L = factors[g, q]
                gain = 0.0
                for i in range(n):
                    value = f[masks[q, i]]
                    for t in range(i):
                        value -= L[i, t] * y[t]
                    y[i] = value * L[i, i]
                    gain += y[i] * y[i]
                if gain > top:
                    top, chosen = gain, q
                    best[:] = y
            if chosen < 0:
                continue
            L = factors[g, chosen]
            for i in range(n - 1, -1, -1):
                value = best[i]
                for t in range(i + 1, n):
                    value -= L[t, i] * best[t]
                best[i] = value * L[i, i]
            for i in range(m):
                f[i] = -S[r, at + i]
                S[r, at + i] = 0.0
            for i in range(n):
                x = best[i] / curvature
                S[r, at + masks[chosen, i]] = x
                f[masks[chosen, i]] += x
            for i in range(m):
                change = f[i]
                if change != 0.0:
                    moved = True
                    for j in range(b):
                        step[j] += change * HB[at + i, j]
                        T[r, j] -= curvature * change * HB[at + i, j]
        if moved:
            for other in range(r + 1, b):
                a = HA[other, r]
                for j in range(b):
                    T[other, j] -= a * step[j]
