"""Random projection, and propagation of its rows over a graph.

Every row of the projection depends on its key and the seed alone, and every row
of a product is summed by one thread in the order of its entries: results do not
depend on threads, on column blocks or on the order of work.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.sparse._kernels import kernel
from sparsestat.sparse._kernels_intrinsics import prefetch
from sparsestat.sparse._kernels_random import GAMMA, mix

__all__ = [
    "count_projection",
    "fill_projection",
    "first_power",
    "propagate",
    "sums_of_columns",
    "sums_of_rows",
]

U = np.uint64
S11, S63 = U(11), U(63)
UNIT = 1.0 / 9007199254740992.0  # 2**-53
AHEAD = 10  # entries by which rows of the dense factor are prefetched
LINE = 64  # bytes of a cache line


@kernel
def _walk_row(key, seed, d, s, start, columns, signs):
    """Draw the entries of one row; return how many.

    Gaps between entries are geometric: floor(log u / log(1 - 1/s)) zeros stand
    before the next entry. Columns and signs are written if there is room.
    """
    state = mix(U(key) * GAMMA + seed)
    slope = np.log1p(-1.0 / s) if s > 1.0 else 0.0
    count, column = 0, 0
    while True:
        if s > 1.0:
            state += GAMMA
            u = (np.float64(mix(state) >> S11) + 0.5) * UNIT
            gap = np.log(u) / slope
            if gap >= d - column:
                return count
            column += int(gap)
        elif column >= d:
            return count
        state += GAMMA
        if start + count < len(columns):
            columns[start + count] = column
            signs[start + count] = 1.0 if mix(state) >> S63 else -1.0
        count += 1
        column += 1


@kernel
def count_projection(keys, seed, d, s, first, last, counts):
    """Count the entries of rows first..last-1 of the projection."""
    columns, signs = np.empty(0, np.int32), np.empty(0, np.float64)
    for i in range(first, last):
        counts[i] = _walk_row(keys[i], seed, d, s, 0, columns, signs)


@kernel
def fill_projection(keys, seed, d, s, scale, first, last, indptr, indices, data):
    """Write the entries of rows first..last-1, each plus or minus `scale`."""
    columns, signs = np.empty(d, np.int32), np.empty(d, np.float64)
    for i in range(first, last):
        n = _walk_row(keys[i], seed, d, s, 0, columns, signs)
        for q in range(n):
            indices[indptr[i] + q] = columns[q]
            data[indptr[i] + q] = scale * signs[q]


@kernel
def sums_of_rows(data, indptr, weighted):
    """Return row sums in double precision; unweighted data is one number."""
    out = np.zeros(len(indptr) - 1)
    for i in range(len(out)):
        if weighted:
            total = 0.0
            for p in range(indptr[i], indptr[i + 1]):
                total += data[p]
            out[i] = total
        else:
            out[i] = np.float64(data[0]) * (indptr[i + 1] - indptr[i])
    return out


@kernel
def sums_of_columns(data, indices, weighted, n_columns):
    """Return column sums in double precision; unweighted data is one number."""
    out = np.zeros(n_columns)
    for p in range(len(indices)):
        out[U(indices[p])] += data[p] if weighted else data[0]
    return out


@kernel
def _finish_row(o, a, i, norms, collect, weight, normalize, rescale):
    """Use a freshly computed row while it is in the cache.

    `collect` adds its squared length to norms[i]; `weight` times the row, divided
    by its length if `normalize`, is added to a; `rescale` divides the row itself.
    """
    n = len(o)
    if collect:
        total = 0.0
        for c in range(n):
            v = np.float64(o[c])
            total += v * v
        norms[i] += total
    factor = 1.0
    if (normalize or rescale) and norms[i] > 0.0:
        factor = 1.0 / np.sqrt(norms[i])
    if factor > 1e30:  # beyond single precision: scale the row itself first
        for c in range(n):
            v = o.dtype.type(np.float64(o[c]) * factor)
            if normalize:
                a[c] += o.dtype.type(weight * v)
            else:
                a[c] += o.dtype.type(weight * o[c])
            if rescale:
                o[c] = v
        return
    if weight != 0.0:
        step = o.dtype.type(weight * factor if normalize else weight)
        for c in range(n):
            a[c] += step * o[c]
    if rescale:
        step = o.dtype.type(factor)
        for c in range(n):
            o[c] *= step


@kernel
def first_power(
    data,
    indices,
    indptr,
    weighted,
    inverse,
    r_data,
    r_indices,
    r_indptr,
    left,
    right,
    first,
    last,
    store,
    out,
    norms,
    collect,
    weight,
    normalize,
    rescale,
    acc,
):
    """Average the sparse rows of the scaled projection over neighbors.

    Only columns left..right-1 are computed: `out` has just these, `acc` has all.
    """
    scratch = np.zeros(right - left, out.dtype)
    one = out.dtype.type(1)
    n_entries = indptr[last]
    for i in range(first, last):
        o = out[i] if store else scratch
        o[:] = 0
        for p in range(indptr[i], indptr[i + 1]):
            if p + AHEAD < n_entries:
                prefetch(r_indptr, U(indices[p + AHEAD]))
            j = U(indices[p])
            v = data[p] if weighted else one
            for q in range(r_indptr[j], r_indptr[j + U(1)]):
                c = r_indices[q]
                if left <= c < right:
                    o[c - left] += v * r_data[q]
        step = out.dtype.type(inverse[i])
        for c in range(right - left):
            o[c] *= step
        a = acc[i, left:right]
        _finish_row(o, a, i, norms, collect, weight, normalize, rescale)


@kernel
def propagate(
    data,
    indices,
    indptr,
    weighted,
    inverse,
    B,
    left,
    first,
    last,
    store,
    out,
    norms,
    collect,
    weight,
    normalize,
    rescale,
    acc,
):
    """Average dense rows over neighbors: eight of them in one sweep.

    The columns of B and `out` are those from `left` on of `acc`.
    """
    n = B.shape[1]
    flat = B.reshape(-1)
    width, line = U(n), U(LINE // B.itemsize)
    scratch = np.zeros(n, out.dtype)
    one = out.dtype.type(1)
    v0 = v1 = v2 = v3 = v4 = v5 = v6 = v7 = one
    n_entries = indptr[last]
    for i in range(first, last):
        o = out[i] if store else scratch
        p, stop = indptr[i], indptr[i + 1]
        for q in range(p + AHEAD, stop + AHEAD):
            if q < n_entries:
                at = U(indices[q]) * width
                end = at + width
                while at < end:
                    prefetch(flat, at)
                    at += line
        for c in range(n):
            o[c] = 0
        while p + 8 <= stop:
            if weighted:
                v0, v1, v2, v3 = data[p], data[p + 1], data[p + 2], data[p + 3]
                v4, v5, v6, v7 = data[p + 4], data[p + 5], data[p + 6], data[p + 7]
            b0, b1 = B[U(indices[p])], B[U(indices[p + 1])]
            b2, b3 = B[U(indices[p + 2])], B[U(indices[p + 3])]
            b4, b5 = B[U(indices[p + 4])], B[U(indices[p + 5])]
            b6, b7 = B[U(indices[p + 6])], B[U(indices[p + 7])]
            for c in range(n):
                o[c] += (
                    (v0 * b0[c] + v1 * b1[c])
                    + (v2 * b2[c] + v3 * b3[c])
                    + ((v4 * b4[c] + v5 * b5[c]) + (v6 * b6[c] + v7 * b7[c]))
                )
            p += 8
        while p + 2 <= stop:
            if weighted:
                v0, v1 = data[p], data[p + 1]
            b0, b1 = B[U(indices[p])], B[U(indices[p + 1])]
            for c in range(n):
                o[c] += v0 * b0[c] + v1 * b1[c]
            p += 2
        if p < stop:
            if weighted:
                v0 = data[p]
            b0 = B[U(indices[p])]
            for c in range(n):
                o[c] += v0 * b0[c]
        step = out.dtype.type(inverse[i])
        for c in range(n):
            o[c] *= step
        a = acc[i, left : left + n]
        _finish_row(o, a, i, norms, collect, weight, normalize, rescale)
