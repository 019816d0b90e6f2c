"""Sparse Cholesky factors L D L': closure of the pattern, selected inverse, solves.

Factors are in CSC form with sorted rows and the unit diagonal first in every column.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["explained", "gather", "is_closed", "selected_inverse"]


@njit(cache=True, nogil=True)
def is_closed(indices, indptr):
    """Tell whether the rows of each column, less the first, are in its parent's.

    The parent of a column is its first row below the diagonal. Patterns of Cholesky
    factors are closed unless entries that canceled to zero were dropped.
    """
    n = indptr.shape[0] - 1
    for j in range(n):
        begin, end = indptr[j] + 1, indptr[j + 1]
        if begin >= end:
            continue
        q = indptr[indices[begin]]
        last = indptr[indices[begin] + 1]
        for p in range(begin, end):
            while q < last and indices[q] < indices[p]:
                q += 1
            if q == last or indices[q] != indices[p]:
                return False
    return True


@njit(cache=True, nogil=True)
def selected_inverse(data, indices, indptr, pivots):
    """Return the entries of (L D L')^-1 on the pattern of L, after Takahashi.

    From the last column to the first, Z_ij = -sum_k Z_ik L_kj over the rows k of
    column j, and Z_jj = 1 / d_j - sum_k L_kj Z_kj. All entries that are needed are in
    the pattern, because it is closed.
    """
    n = indptr.shape[0] - 1
    Z = np.zeros(data.shape[0])
    # Place of a row within the column at hand; 0 for rows that are not in it, whose
    # sums are collected there and thrown away.
    place = np.zeros(n, np.int32)
    longest = 1
    for j in range(n):
        longest = max(longest, indptr[j + 1] - indptr[j])
    column = np.zeros(longest + 1)
    sums = np.zeros(longest + 1)
    for j in range(n - 1, -1, -1):
        begin, end = indptr[j] + 1, indptr[j + 1]
        size = end - begin
        for t in range(size):
            place[indices[begin + t]] = t + 1
            column[t + 1] = data[begin + t]
            sums[t + 1] = 0.0
        for t in range(size):
            k = indices[begin + t]
            factor = column[t + 1]
            first = indptr[k]
            own = Z[first] * factor
            for q in range(first + 1, indptr[k + 1]):
                s = place[indices[q]]
                sums[s] += Z[q] * factor
                own += Z[q] * column[s]
            sums[t + 1] += own
        diagonal = 1.0 / pivots[j]
        for t in range(size):
            Z[begin + t] = -sums[t + 1]
            diagonal += column[t + 1] * sums[t + 1]
            place[indices[begin + t]] = 0
        Z[indptr[j]] = diagonal
    return Z


@njit(cache=True, nogil=True)
def gather(values, indices, indptr, rows, columns):
    """Return the entries at (row, column), row >= column, by bisection."""
    out = np.empty(rows.shape[0])
    for e in range(rows.shape[0]):
        low, high = indptr[columns[e]], indptr[columns[e] + 1] - 1
        while low < high:
            middle = (low + high) // 2
            if indices[middle] < rows[e]:
                low = middle + 1
            else:
                high = middle
        out[e] = values[low]
    return out


@njit(cache=True, nogil=True)
def explained(data, indices, indptr, pivots, k_data, k_indices, k_indptr):
    """Return k' (L D L')^-1 k for every row k of a CSR matrix.

    The solution of L x = k is non-zero on the paths from the entries of k to the root
    of the elimination tree alone: a row costs the columns on them, not all n.
    """
    n = indptr.shape[0] - 1
    m = k_indptr.shape[0] - 1
    out = np.zeros(m)
    x = np.zeros(n)
    seen = np.full(n, -1, np.int64)
    reach = np.empty(n, np.int64)
    for row in range(m):
        count = 0
        for p in range(k_indptr[row], k_indptr[row + 1]):
            j = k_indices[p]
            x[j] = k_data[p]
            while seen[j] != row:
                seen[j] = row
                reach[count] = j
                count += 1
                if indptr[j] + 1 == indptr[j + 1]:
                    break
                j = indices[indptr[j] + 1]
        total = 0.0
        for j in np.sort(reach[:count]):
            value = x[j]
            x[j] = 0.0
            if value != 0.0:
                total += value * value / pivots[j]
                for p in range(indptr[j] + 1, indptr[j + 1]):
                    x[indices[p]] -= data[p] * value
        out[row] = total
    return out
