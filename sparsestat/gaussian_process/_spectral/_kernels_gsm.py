"""Kernels of grid spectral mixtures: products of cosines.

The products work on tables ``cosines[p, j, i]`` and ``sines[p, j, i]`` of dimension p,
point j and component i, so that no trigonometric function stands in a loop over pairs
of points: cos(b(x - z)) = cos bx cos bz + sin bx sin bz.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["product_gram", "product_scan"]

_LOOSE = {"reassoc", "contract", "nsz"}
_BLOCK = 32  # points whose tables stay in the cache


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
