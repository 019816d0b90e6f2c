"""Selections, norms and transposes of CSR triples."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.sparse._kernels import kernel

__all__ = [
    "kth_largest",
    "norms_of_rows",
    "scale_rows",
    "top_of_rows",
    "transpose",
]

U = np.uint64


@kernel
def norms_of_rows(data, indptr, p):
    """Return the p-norm of every row, p in 0 (largest entry), 1 or 2, in float64."""
    out = np.zeros(len(indptr) - 1)
    for i in range(len(out)):
        start, stop = indptr[i], indptr[i + 1]
        total, largest = 0.0, 0.0
        for q in range(start, stop):
            v = np.float64(abs(data[q]))
            if p == 1:
                total += v
            elif p == 2:
                total += v * v
            if v > largest or v != v:
                largest = v
        if p == 0:
            out[i] = largest
        elif p == 1:
            out[i] = total
        elif 1e-120 < largest < 1e120 or largest == 0.0 or not np.isfinite(largest):
            out[i] = np.sqrt(total)
        else:  # the squares would overflow or vanish
            total = 0.0
            for q in range(start, stop):
                v = abs(data[q]) / largest
                total += v * v
            out[i] = largest * np.sqrt(total)
    return out


@kernel
def scale_rows(data, indptr, norms, out):
    """Divide every row by its norm; rows of norm zero are copied."""
    for i in range(len(indptr) - 1):
        norm = norms[i]
        if norm == 0.0:
            norm = 1.0
        for q in range(indptr[i], indptr[i + 1]):
            out[q] = data[q] / norm


@kernel
def kth_largest(keys, k):
    """Return the k-th largest entry (k >= 1); `keys` is permuted."""
    low, high = 0, len(keys) - 1
    target = k - 1
    while low < high:
        # Median of three keeps sorted and constant inputs linear.
        middle = (low + high) >> 1
        a, b, c = keys[low], keys[middle], keys[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while keys[i] > pivot:
                i += 1
            while keys[j] < pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if target <= j:
            high = j
        elif target >= i:
            low = i
        else:
            break
    return keys[target]


@kernel
def top_of_rows(data, indices, indptr, k, by_abs, out_data, out_indices, out_indptr):
    """Keep the k largest entries of every row; of equal ones the lower columns."""
    longest = 0
    for i in range(len(indptr) - 1):
        longest = max(longest, np.int64(indptr[i + 1] - indptr[i]))
    scratch = np.empty(longest, data.dtype)
    pos = np.int64(0)
    for i in range(len(indptr) - 1):
        start, stop = indptr[i], indptr[i + 1]
        n = stop - start
        if n <= k:
            for q in range(start, stop):
                out_data[pos] = data[q]
                out_indices[pos] = indices[q]
                pos += 1
        elif k > 0:
            for q in range(n):
                v = data[start + q]
                scratch[q] = abs(v) if by_abs else v
            cut = kth_largest(scratch[:n], k)
            above = 0
            for q in range(start, stop):
                v = abs(data[q]) if by_abs else data[q]
                if v > cut:
                    above += 1
            ties = k - above
            for q in range(start, stop):
                v = abs(data[q]) if by_abs else data[q]
                keep = v > cut
                if v == cut and ties > 0:
                    keep = True
                    ties -= 1
                if keep:
                    out_data[pos] = data[q]
                    out_indices[pos] = indices[q]
                    pos += 1
        out_indptr[i + 1] = pos


@kernel
def transpose(data, indices, indptr, n_columns):
    """Return the transposed triple by counting; its rows come out sorted."""
    nnz = indptr[-1]
    t_indptr = np.zeros(n_columns + 1, indptr.dtype)
    t_indices = np.empty(nnz, indices.dtype)
    t_data = np.empty(nnz, data.dtype)
    for q in range(nnz):
        t_indptr[U(indices[q]) + U(1)] += 1
    for j in range(n_columns):
        t_indptr[j + 1] += t_indptr[j]
    # Row ends are used as running positions, and shifted back afterwards.
    for i in range(len(indptr) - 1):
        for q in range(indptr[i], indptr[i + 1]):
            j = U(indices[q])
            at = t_indptr[j]
            t_indices[at] = i
            t_data[at] = data[q]
            t_indptr[j] = at + 1
    for j in range(n_columns, 0, -1):
        t_indptr[j] = t_indptr[j - 1]
    t_indptr[0] = 0
    return t_data, t_indices, t_indptr
