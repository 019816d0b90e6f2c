"""Logarithms of sums along one axis of a grid, for kernels that are products."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.sparse._kernels_exp import exponentials

__all__ = ["axis_log_sums"]

_CUT = 42.0  # exponents this far below the largest do not show


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _added(line, weights, out):
    """Write line + weights; return the largest."""
    top = -np.inf
    for j in range(len(line)):
        x = line[j] + weights[j]
        out[j] = x
        if x > top:
            top = x
    return top


@njit(cache=True, nogil=True)
def axis_log_sums(V, weights, out):
    """Write log sum_j exp(V[o, j, q] + weights[i, j]) to out[o, i, q].

    ``-inf`` is the logarithm of zero, in both.
    """
    outer, n, inner = V.shape
    line, sums, scratch = np.empty(n), np.empty(n), np.empty(n)
    for o in range(outer):
        for q in range(inner):
            for j in range(n):
                line[j] = V[o, j, q]
            for i in range(n):
                top = _added(line, weights[i], sums)
                if top == -np.inf:
                    out[o, i, q] = top
                    continue
                kept = 0
                for j in range(n):
                    x = sums[j] - top
                    if x > -_CUT:
                        sums[kept] = x
                        kept += 1
                exponentials(sums, scratch, kept)
                total = 0.0
                for j in range(kept):
                    total += sums[j]
                out[o, i, q] = top + np.log(total)
