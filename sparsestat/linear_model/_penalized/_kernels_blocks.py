"""Sums over the rows of a block, C-ordered, in single or double precision.

Columns are centered as they are read, and everything is summed in double precision:
neither a centered nor a wider copy of the block is made.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["predictors", "products", "squares", "weighted_columns"]

_DOT = {"reassoc", "contract", "arcp", "nsz"}  # lets dots vectorize, keeps NaN


@njit(cache=True, nogil=True, fastmath=_DOT)
def predictors(X, center, columns, w, out):
    """Write the centered columns times w into out."""
    for i in range(X.shape[0]):
        total = 0.0
        for k in range(columns.shape[0]):
            j = columns[k]
            total += (np.float64(X[i, j]) - center[j]) * w[k]
        out[i] = total


@njit(cache=True, nogil=True, fastmath=_DOT)
def products(X, center, v, out):
    """Add the products of the centered columns with v to out, four rows at a time."""
    n, p = X.shape
    whole = n - n % 4
    for i in range(0, whole, 4):
        a, b, c, d = v[i], v[i + 1], v[i + 2], v[i + 3]
        for j in range(p):
            mean = center[j]
            out[j] += (
                (np.float64(X[i, j]) - mean) * a
                + (np.float64(X[i + 1, j]) - mean) * b
                + (np.float64(X[i + 2, j]) - mean) * c
                + (np.float64(X[i + 3, j]) - mean) * d
            )
    for i in range(whole, n):
        for j in range(p):
            out[j] += (np.float64(X[i, j]) - center[j]) * v[i]


@njit(cache=True, nogil=True, fastmath=_DOT)
def squares(X, center, weights, out):
    """Add the weighted squares of the centered columns to out."""
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            x = np.float64(X[i, j]) - center[j]
            out[j] += weights[i] * x * x


@njit(cache=True, nogil=True, fastmath=_DOT)
def weighted_columns(X, center, columns, roots, out):
    """Write some centered columns times roots into out, and the roots after them."""
    m = columns.shape[0]
    for i in range(X.shape[0]):
        root = roots[i]
        for k in range(m):
            j = columns[k]
            out[i, k] = (np.float64(X[i, j]) - center[j]) * root
        out[i, m] = root
