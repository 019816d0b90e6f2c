"""The largest entries of every row of a sparse product, which is never stored.

A row of the product is accumulated as in Gustavson's algorithm and read off at once.
Candidates above the current cut go to a buffer; whenever it is full, the k largest stay
and the cut rises to the smallest of them. Columns are read in rising order, so that of
equal entries those in lower columns stay.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.sparse._kernels import kernel
from sparsestat.sparse._kernels_intrinsics import prefetch, trailing_zeros
from sparsestat.sparse._kernels_structure import kth_largest

__all__ = ["pack_rows", "products_of_rows", "sort_rows_by_value", "top_products"]

U = np.uint64
ZERO, ONE, SIX, TWELVE, LOW6 = U(0), U(1), U(6), U(12), U(63)
AHEAD = 12  # entries of A by which B's rows are prefetched
STRIP = 64  # columns that are compared with the cut together
SCAN = 8  # one product in so many columns pays for reading them all


@kernel
def products_of_rows(a_indices, a_indptr, b_indptr, limit, out):
    """Write min(products of row i, limit), an upper bound on what is kept of it."""
    for i in range(len(a_indptr) - 1):
        flops = np.int64(0)
        for p in range(a_indptr[i], a_indptr[i + 1]):
            k = U(a_indices[p])
            flops += np.int64(b_indptr[k + ONE]) - np.int64(b_indptr[k])
        out[i] = min(flops, limit)


@kernel
def _shrink(values, columns, count, k, scratch):
    """Keep the k largest candidates in their order; return the smallest of them."""
    for t in range(count):
        scratch[t] = values[t]
    cut = kth_largest(scratch[:count], k)
    above = 0
    for t in range(count):
        if values[t] > cut:
            above += 1
    ties = k - above
    kept = 0
    for t in range(count):
        v = values[t]
        keep = v > cut
        if v == cut and ties > 0:
            keep = True
            ties -= 1
        if keep:
            values[kept] = v
            columns[kept] = columns[t]
            kept += 1
    return cut


@kernel
def top_products(
    a_data,
    a_indices,
    a_indptr,
    b_data,
    b_indices,
    b_indptr,
    first,
    last,
    n_columns,
    k,
    threshold,
    starts,
    out_data,
    out_indices,
    counts,
):
    """Write the k largest non-zero entries above `threshold` of rows first..last-1.

    Row i begins at ``starts[i]``, and ``counts[i]`` says how many there are. Returns
    the number of entries that were not a number.
    """
    dtype = out_data.dtype
    acc = np.zeros(n_columns, dtype)
    zero = np.zeros(1, dtype)[0]
    n_words = (n_columns >> 6) + 1
    bits = np.zeros(n_words, np.uint64)
    summary = np.zeros((n_words >> 6) + 1, np.uint64)
    room = min(2 * k, max(n_columns, k)) + STRIP
    values = np.empty(room, dtype)
    columns = np.empty(room, np.int64)
    scratch = np.empty(room, dtype)
    full = room - STRIP  # a strip more always fits
    n_entries = a_indptr[last]
    faults = 0

    for i in range(first, last):
        begin, end = a_indptr[i], a_indptr[i + 1]
        flops = np.int64(0)
        for p in range(begin, end):
            row = U(a_indices[p])
            flops += np.int64(b_indptr[row + ONE]) - np.int64(b_indptr[row])
        if flops == 0:
            counts[i] = 0
            continue
        cut = threshold
        count = 0
        scan = flops * SCAN >= n_columns
        lowest, highest = np.int64(n_columns), np.int64(-1)
        for p in range(begin, end):
            if p + AHEAD < n_entries:
                q = U(b_indptr[U(a_indices[p + AHEAD])])
                prefetch(b_indices, q)
                prefetch(b_data, q)
            row, a = U(a_indices[p]), a_data[p]
            start, stop = U(b_indptr[row]), U(b_indptr[row + ONE])
            if stop > start:
                lowest = min(lowest, np.int64(b_indices[start]))
                highest = max(highest, np.int64(b_indices[stop - ONE]))
            if scan:
                for q in range(start, stop):
                    acc[U(b_indices[q])] += a * b_data[q]
            else:
                for q in range(start, stop):
                    c = U(b_indices[q])
                    acc[c] += a * b_data[q]
                    bits[c >> SIX] |= ONE << (c & LOW6)
                    summary[c >> TWELVE] |= ONE << ((c >> SIX) & LOW6)

        if scan:
            for left in range(lowest, highest + 1, STRIP):
                right = min(left + STRIP, highest + 1)
                above = 0
                for c in range(left, right):
                    above += not (acc[U(c)] <= cut)
                if above:
                    for c in range(left, right):
                        v = acc[U(c)]
                        if v > cut and v != zero:
                            values[count] = v
                            columns[count] = c
                            count += 1
                        elif v != v:
                            faults += 1
                    if count >= full and count > k:
                        cut = max(cut, _shrink(values, columns, count, k, scratch))
                        count = k
                acc[left:right] = zero
        else:
            for w in range(U(lowest) >> TWELVE, (U(highest) >> TWELVE) + ONE):
                upper = summary[w]
                summary[w] = ZERO
                while upper != ZERO:
                    at = (w << SIX) + trailing_zeros(upper)
                    upper &= upper - ONE
                    word = bits[at]
                    bits[at] = ZERO
                    while word != ZERO:
                        c = (at << SIX) + trailing_zeros(word)
                        word &= word - ONE
                        v = acc[c]
                        acc[c] = zero
                        if v > cut and v != zero:
                            values[count] = v
                            columns[count] = np.int64(c)
                            count += 1
                        elif v != v:
                            faults += 1
                    if count >= full and count > k:
                        cut = max(cut, _shrink(values, columns, count, k, scratch))
                        count = k
        if count > k:
            _shrink(values, columns, count, k, scratch)
            count = k
        base = starts[i]
        for t in range(count):
            out_data[base + t] = values[t]
            out_indices[base + t] = columns[t]
        counts[i] = count
    return faults


@kernel
def pack_rows(data, indices, starts, counts, indptr):
    """Move the rows together, in place, and write where they begin."""
    pos = np.int64(0)
    for i in range(len(counts)):
        start = starts[i]
        indptr[i] = pos
        for t in range(counts[i]):
            data[pos] = data[start + t]
            indices[pos] = indices[start + t]
            pos += 1
    indptr[len(counts)] = pos


@kernel
def sort_rows_by_value(data, indices, indptr, out_values, out_indices):
    """Write rows with falling values, of equal ones the lower columns first.

    Rows are short; what is not filled is left as it is.
    """
    for i in range(len(indptr) - 1):
        n = 0
        for q in range(indptr[i], indptr[i + 1]):
            v, c = data[q], indices[q]
            t = n
            while t > 0 and (
                out_values[i, t - 1] < v
                or (out_values[i, t - 1] == v and out_indices[i, t - 1] > c)
            ):
                out_values[i, t] = out_values[i, t - 1]
                out_indices[i, t] = out_indices[i, t - 1]
                t -= 1
            out_values[i, t] = v
            out_indices[i, t] = c
            n += 1
