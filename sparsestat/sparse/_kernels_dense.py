"""Products of a sparse matrix with dense vectors and blocks.

The block product is bound by memory: eight rows of the dense factor are added in
one sweep over the row of the result, which is so read and written an eighth as
often, and the rows needed next are prefetched.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.sparse._kernels import kernel
from sparsestat.sparse._kernels_intrinsics import prefetch

__all__ = [
    "multiply_block",
    "multiply_block_t",
    "multiply_vector",
    "multiply_vector_t",
    "sampled_products",
]

U = np.uint64
AHEAD = 10  # entries of A by which rows of the dense factor are prefetched
LINE = 64  # bytes of a cache line


@kernel
def multiply_vector(data, indices, indptr, x, alpha, beta, first, last, y):
    """Set rows first..last-1 of y to alpha A x + beta y; beta = 0 does not read y."""
    for i in range(first, last):
        total = y.dtype.type(0)
        for p in range(indptr[i], indptr[i + 1]):
            total += data[p] * x[U(indices[p])]
        if beta == 0:
            y[i] = alpha * total
        else:
            y[i] = alpha * total + beta * y[i]


@kernel
def multiply_vector_t(data, indices, indptr, x, first, last, y):
    """Add the rows first..last-1 of A, times their x, to y = A^T x."""
    for i in range(first, last):
        xi = x[i]
        for p in range(indptr[i], indptr[i + 1]):
            y[U(indices[p])] += data[p] * xi


@kernel
def multiply_block(data, indices, indptr, B, first, last, left, right, out):
    """Set out[first:last, left:right] to A B, B and out in C order."""
    flat = B.reshape(-1)
    width = U(B.shape[1])
    line = U(LINE // B.itemsize)
    n_entries = indptr[last]
    for i in range(first, last):
        p, stop = indptr[i], indptr[i + 1]
        for q in range(p + AHEAD, stop + AHEAD):
            if q < n_entries:
                row = U(indices[q]) * width
                at, end = row + U(left), row + U(right)
                while at < end:
                    prefetch(flat, at)
                    at += line
        o = out[i, left:right]
        n = right - left
        for c in range(n):
            o[c] = 0
        while p + 8 <= stop:
            v0, v1, v2, v3 = data[p], data[p + 1], data[p + 2], data[p + 3]
            v4, v5, v6, v7 = data[p + 4], data[p + 5], data[p + 6], data[p + 7]
            b0 = B[U(indices[p]), left:right]
            b1 = B[U(indices[p + 1]), left:right]
            b2 = B[U(indices[p + 2]), left:right]
            b3 = B[U(indices[p + 3]), left:right]
            b4 = B[U(indices[p + 4]), left:right]
            b5 = B[U(indices[p + 5]), left:right]
            b6 = B[U(indices[p + 6]), left:right]
            b7 = B[U(indices[p + 7]), left:right]
            for c in range(n):
                o[c] += (
                    (v0 * b0[c] + v1 * b1[c])
                    + (v2 * b2[c] + v3 * b3[c])
                    + ((v4 * b4[c] + v5 * b5[c]) + (v6 * b6[c] + v7 * b7[c]))
                )
            p += 8
        while p + 4 <= stop:
            v0, v1, v2, v3 = data[p], data[p + 1], data[p + 2], data[p + 3]
            b0 = B[U(indices[p]), left:right]
            b1 = B[U(indices[p + 1]), left:right]
            b2 = B[U(indices[p + 2]), left:right]
            b3 = B[U(indices[p + 3]), left:right]
            for c in range(n):
                o[c] += (v0 * b0[c] + v1 * b1[c]) + (v2 * b2[c] + v3 * b3[c])
            p += 4
        while p < stop:
            v0 = data[p]
            b0 = B[U(indices[p]), left:right]
            for c in range(n):
                o[c] += v0 * b0[c]
            p += 1


@kernel
def multiply_block_t(data, indices, indptr, B, left, right, out):
    """Add A^T B to out[:, left:right] by scattering, without a transpose of A."""
    flat = out.reshape(-1)
    width = U(out.shape[1])
    line = U(LINE // out.itemsize)
    n_entries = indptr[-1]
    n = right - left
    for i in range(len(indptr) - 1):
        b = B[i, left:right]
        for p in range(indptr[i], indptr[i + 1]):
            if p + AHEAD < n_entries:
                row = U(indices[p + AHEAD]) * width
                at, end = row + U(left), row + U(right)
                while at < end:
                    prefetch(flat, at)
                    at += line
            v = data[p]
            o = out[U(indices[p]), left:right]
            for c in range(n):
                o[c] += v * b[c]


@njit(
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath={"reassoc", "contract", "nsz"},
)
def _dot(u, v):
    total = u.dtype.type(0)
    for c in range(len(u)):
        total += u[c] * v[c]
    return total


@kernel
def sampled_products(data, indices, indptr, L, R, first, last, out):
    """Set out_ij to A_ij <L_i, R_j> on the pattern of rows first..last-1 of A."""
    for i in range(first, last):
        row = L[i]
        for p in range(indptr[i], indptr[i + 1]):
            out[p] = data[p] * _dot(row, R[U(indices[p])])
