"""Column and Gram kernels of compressed sparse matrices, for coordinate descent.

Every kernel takes the triple ``data, indices, indptr`` in the order in which
``_utils.validation.read_only_triple`` returns it, does no validation and
modifies nothing but the array it says it updates.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from numba import njit

__all__ = [
    "csc_col_axpy",
    "csc_col_axpy_weighted",
    "csc_col_dot",
    "csc_col_dot_centered",
    "csc_col_dot_weighted",
    "csc_col_sqnorm",
    "csc_col_sqnorm_weighted",
    "gram_block",
    "gram_block_weighted",
    "kernel",
]


def kernel(function):
    """Compile with numba; without the disk cache where no folder is writable."""
    try:
        return njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # "cannot cache function: no locator available"
        return njit(nogil=True, error_model="numpy")(function)


@kernel
def csc_col_dot(data, indices, indptr, j, r):
    """Return <x_j, r> for column j of a CSC matrix."""
    total = 0.0
    for p in range(indptr[j], indptr[j + 1]):
        total += data[p] * r[indices[p]]
    return total


@kernel
def csc_col_dot_weighted(data, indices, indptr, j, r, w):
    """Return sum_i w_i x_ij r_i."""
    total = 0.0
    for p in range(indptr[j], indptr[j + 1]):
        i = indices[p]
        total += w[i] * data[p] * r[i]
    return total


@kernel
def csc_col_dot_centered(data, indices, indptr, j, r, mean_j, r_sum):
    """Return <x_j - mean_j, r> without centring; `r_sum` is the sum of r."""
    total = 0.0
    for p in range(indptr[j], indptr[j + 1]):
        total += data[p] * r[indices[p]]
    return total - mean_j * r_sum


@kernel
def csc_col_axpy(data, indices, indptr, j, a, r):
    """Add a x_j to r in place."""
    for p in range(indptr[j], indptr[j + 1]):
        r[indices[p]] += a * data[p]


@kernel
def csc_col_axpy_weighted(data, indices, indptr, j, a, r, w):
    """Add a (w * x_j) to r in place."""
    for p in range(indptr[j], indptr[j + 1]):
        i = indices[p]
        r[i] += a * w[i] * data[p]


@kernel
def csc_col_sqnorm(data, indices, indptr, j):
    """Return the squared Euclidean norm of column j (no duplicate entries)."""
    total = 0.0
    for p in range(indptr[j], indptr[j + 1]):
        total += data[p] * data[p]
    return total


@kernel
def csc_col_sqnorm_weighted(data, indices, indptr, j, w):
    """Return sum_i w_i x_ij^2 (no duplicate entries)."""
    total = 0.0
    for p in range(indptr[j], indptr[j + 1]):
        total += w[indices[p]] * data[p] * data[p]
    return total


@kernel
def gram_block(data, indices, indptr, columns, n_rows):
    """Return the dense X_J^T X_J of the chosen columns of a CSC matrix.

    One column at a time is scattered into a dense vector, against which the
    others are dotted: O(|J| nnz(X_J)) time, O(n_rows) memory, duplicates allowed.
    """
    k = len(columns)
    out = np.zeros((k, k))
    column = np.zeros(n_rows)
    for a in range(k):
        first, last = indptr[columns[a]], indptr[columns[a] + 1]
        for p in range(first, last):
            column[indices[p]] += data[p]
        for b in range(a, k):
            total = 0.0
            for p in range(indptr[columns[b]], indptr[columns[b] + 1]):
                total += data[p] * column[indices[p]]
            out[a, b] = total
            out[b, a] = total
        for p in range(first, last):
            column[indices[p]] = 0.0
    return out


@kernel
def gram_block_weighted(data, indices, indptr, columns, w):
    """Return the dense X_J^T diag(w) X_J of the chosen columns of a CSC matrix."""
    k = len(columns)
    out = np.zeros((k, k))
    column = np.zeros(len(w))
    for a in range(k):
        first, last = indptr[columns[a]], indptr[columns[a] + 1]
        for p in range(first, last):
            column[indices[p]] += w[indices[p]] * data[p]
        for b in range(a, k):
            total = 0.0
            for p in range(indptr[columns[b]], indptr[columns[b] + 1]):
                total += data[p] * column[indices[p]]
            out[a, b] = total
            out[b, a] = total
        for p in range(first, last):
            column[indices[p]] = 0.0
    return out
