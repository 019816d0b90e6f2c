"""Row-wise (Gustavson) sparse times sparse product, one accumulator per kind of row.

For each row i of A the rows B_k with A_ik != 0 are scaled and merged. How they
are merged depends on f_i, the number of products of the row:

- one entry in A's row: a scaled copy of B's row;
- a column span of at most 64: a window of 64 slots and one bit mask;
- at most 32 products: insertion into a short sorted list;
- many products, or few columns: a dense accumulator, and a two-level bitmap that
  remembers which columns were touched. Walking the bitmap from its lowest bit up
  gives the columns in sorted order;
- otherwise: a hash table with linear probing, whose keys are sorted at the end.

Indices are cast to uint64 before they index an array: signed ones cost a test
for negative values each.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.sparse._kernels import kernel
from sparsestat.sparse._kernels_intrinsics import prefetch, trailing_zeros

__all__ = [
    "bound_entries",
    "count_products",
    "cut_rows",
    "masked_rows",
    "multiply_rows",
    "symbolic_rows",
]

U = np.uint64
ZERO, ONE, SIX, TWELVE, LOW6 = U(0), U(1), U(6), U(12), U(63)
HASH = U(0x9E3779B97F4A7C15)
SHORT = 32  # products up to which insertion into a sorted list wins
AHEAD = 12  # entries of A by which B's rows are prefetched


@kernel
def count_products(a_indices, b_indptr):
    """Return how many multiplications A B takes."""
    total = np.int64(0)
    n_entries = len(a_indices)
    for p in range(n_entries):
        if p + 2 * AHEAD < n_entries:
            prefetch(b_indptr, U(a_indices[p + 2 * AHEAD]))
        k = U(a_indices[p])
        total += np.int64(b_indptr[k + ONE]) - np.int64(b_indptr[k])
    return total


@kernel
def _row_work(a_indices, a_indptr, b_indices, b_indptr, i, n_columns, spans):
    """Return the number of products of row i and a bound on its entries."""
    flops = np.int64(0)
    lowest, highest = np.int64(n_columns), np.int64(-1)
    for p in range(a_indptr[i], a_indptr[i + 1]):
        k = U(a_indices[p])
        start, stop = U(b_indptr[k]), U(b_indptr[k + ONE])
        flops += np.int64(stop - start)
        if spans and stop > start:
            lowest = min(lowest, np.int64(b_indices[start]))
            highest = max(highest, np.int64(b_indices[stop - ONE]))
    if spans:
        return flops, max(0, min(flops, highest - lowest + 1))
    return flops, min(flops, n_columns)


@kernel
def bound_entries(a_indices, a_indptr, b_indices, b_indptr, n_columns, spans):
    """Return an upper bound on the entries of the product.

    A row has at most min(products, n_columns) entries. With `spans`, at most as
    many as there are columns between the first and the last that B's rows touch.
    """
    bound = np.int64(0)
    for i in range(len(a_indptr) - 1):
        _flops, most = _row_work(
            a_indices, a_indptr, b_indices, b_indptr, i, n_columns, spans
        )
        bound += most
    return bound


@kernel
def cut_rows(
    a_indices, a_indptr, b_indices, b_indptr, n_columns, spans, total, n_chunks
):
    """Cut the rows into chunks of nearly equal work.

    Returns the first row of each chunk (and the number of rows), and the upper
    bound on the entries of the product in front of each chunk. A row counts one
    unit besides its products, so that runs of empty rows are shared out too.
    """
    n_rows = len(a_indptr) - 1
    starts = np.zeros(n_chunks + 1, np.int64)
    offsets = np.zeros(n_chunks + 1, np.int64)
    work = total + n_rows
    chunk, done, bound = 1, np.int64(0), np.int64(0)
    for i in range(n_rows):
        flops, most = _row_work(
            a_indices, a_indptr, b_indices, b_indptr, i, n_columns, spans
        )
        while chunk < n_chunks and done * n_chunks >= work * chunk:
            starts[chunk] = i
            offsets[chunk] = bound
            chunk += 1
        done += flops + 1
        bound += most
    while chunk <= n_chunks:
        starts[chunk] = n_rows
        offsets[chunk] = bound
        chunk += 1
    return starts, offsets


@kernel
def symbolic_rows(a_indices, a_indptr, b_indices, b_indptr, first, last, step, m):
    """Count the entries of rows first, first + step, ... of the product."""
    bits = np.zeros((m >> 6) + 1, np.uint64)
    touched = np.empty((m >> 6) + 1, np.int64)
    count = np.int64(0)
    for i in range(first, last, step):
        n_touched = 0
        for p in range(a_indptr[i], a_indptr[i + 1]):
            k = U(a_indices[p])
            for q in range(U(b_indptr[k]), U(b_indptr[k + ONE])):
                c = U(b_indices[q])
                word = bits[c >> SIX]
                if word == ZERO:
                    touched[n_touched] = np.int64(c >> SIX)
                    n_touched += 1
                bit = ONE << (c & LOW6)
                if word & bit == ZERO:
                    count += 1
                    bits[c >> SIX] = word | bit
        for t in range(n_touched):
            bits[touched[t]] = ZERO
    return count


@kernel
def _sort_keys(keys, spare, n, n_columns):
    """Sort the first n keys, all below n_columns; return the array they end in."""
    if n <= 64:
        for s in range(1, n):
            key = keys[s]
            t = s - 1
            while t >= 0 and keys[t] > key:
                keys[t + 1] = keys[t]
                t -= 1
            keys[t + 1] = key
        return keys
    counts = np.empty(257, np.int64)
    shift = 0
    while (n_columns - 1) >> shift > 0:
        counts[:] = 0
        for s in range(n):
            counts[((keys[s] >> shift) & 255) + 1] += 1
        for t in range(256):
            counts[t + 1] += counts[t]
        for s in range(n):
            digit = (keys[s] >> shift) & 255
            spare[counts[digit]] = keys[s]
            counts[digit] += 1
        keys, spare = spare, keys
        shift += 8
    return keys


@kernel
def multiply_rows(
    a_data,
    a_indices,
    a_indptr,
    b_data,
    b_indices,
    b_indptr,
    first,
    last,
    n_columns,
    dense_from,
    sort,
    c_data,
    c_indices,
    c_indptr,
    position,
):
    """Compute rows first..last-1 of A B; return where the last of them ends.

    Entries are written from `position` on, row ends into ``c_indptr[i + 1]``. B's
    rows must be sorted and free of duplicates. Rows with at least `dense_from`
    products use the dense accumulator, whose memory is taken when first needed.
    """
    dtype = c_data.dtype
    n_words = (n_columns >> 6) + 1
    n_super = (n_words >> 6) + 1
    acc = np.empty(0, dtype)
    bits = np.empty(0, np.uint64)
    summary = np.empty(0, np.uint64)
    short_col = np.empty(SHORT, np.int64)
    short_val = np.empty(SHORT, dtype)
    window = np.zeros(64, dtype)
    table = np.empty(0, np.int64)
    table_val = np.empty(0, dtype)
    keys = np.empty(0, np.int64)
    spare = np.empty(0, np.int64)
    zero = window[0]
    pos = U(position)
    n_entries = a_indptr[last]

    for i in range(first, last):
        begin, end = a_indptr[i], a_indptr[i + 1]
        if begin == end:
            c_indptr[i + 1] = pos
            continue
        # B's rows are scattered in memory: ask for the ones needed soon.
        for p in range(begin + AHEAD, end + AHEAD):
            if p + AHEAD < n_entries:
                prefetch(b_indptr, U(a_indices[p + AHEAD]))
            if p < n_entries:
                q = U(b_indptr[U(a_indices[p])])
                prefetch(b_indices, q)
                prefetch(b_data, q)
                prefetch(b_data, q + U(8))

        if end - begin == 1:
            k, a = U(a_indices[begin]), a_data[begin]
            for q in range(U(b_indptr[k]), U(b_indptr[k + ONE])):
                c_indices[pos] = b_indices[q]
                c_data[pos] = a * b_data[q]
                pos += ONE
            c_indptr[i + 1] = pos
            continue

        flops = np.int64(0)
        lowest, highest = np.int64(n_columns), np.int64(-1)
        for p in range(begin, end):
            k = U(a_indices[p])
            start, stop = U(b_indptr[k]), U(b_indptr[k + ONE])
            if stop > start:
                flops += np.int64(stop - start)
                lowest = min(lowest, np.int64(b_indices[start]))
                highest = max(highest, np.int64(b_indices[stop - ONE]))
        if flops == 0:
            c_indptr[i + 1] = pos
            continue

        if highest - lowest < 64:
            mask = ZERO
            low = U(lowest)
            for p in range(begin, end):
                k, a = U(a_indices[p]), a_data[p]
                for q in range(U(b_indptr[k]), U(b_indptr[k + ONE])):
                    slot = U(b_indices[q]) - low
                    window[slot] += a * b_data[q]
                    mask |= ONE << slot
            if mask & (mask + ONE) == ZERO:  # no holes: copy straight through
                for slot in range(U(highest - lowest + 1)):
                    c_indices[pos + slot] = low + slot
                    c_data[pos + slot] = window[slot]
                    window[slot] = zero
                pos += U(highest - lowest + 1)
            else:
                while mask != ZERO:
                    slot = trailing_zeros(mask)
                    mask &= mask - ONE
                    c_indices[pos] = low + slot
                    c_data[pos] = window[slot]
                    window[slot] = zero
                    pos += ONE

        elif flops <= SHORT:
            count = 0
            for p in range(begin, end):
                k, a = U(a_indices[p]), a_data[p]
                t = 0  # B's row is sorted: search on from its previous entry
                for q in range(U(b_indptr[k]), U(b_indptr[k + ONE])):
                    c = np.int64(b_indices[q])
                    while t < count and short_col[t] < c:
                        t += 1
                    if t < count and short_col[t] == c:
                        short_val[t] += a * b_data[q]
                    else:
                        for s in range(count, t, -1):
                            short_col[s] = short_col[s - 1]
                            short_val[s] = short_val[s - 1]
                        short_col[t] = c
                        short_val[t] = a * b_data[q]
                        count += 1
            for t in range(count):
                c_indices[pos] = short_col[t]
                c_data[pos] = short_val[t]
                pos += ONE

        elif flops >= dense_from:
            if len(acc) == 0:
                acc = np.zeros(n_columns, dtype)
                bits = np.zeros(n_words, np.uint64)
                summary = np.zeros(n_super, np.uint64)
            for p in range(begin, end):
                k, a = U(a_indices[p]), a_data[p]
                for q in range(U(b_indptr[k]), U(b_indptr[k + ONE])):
                    c = U(b_indices[q])
                    acc[c] += a * b_data[q]
                    bits[c >> SIX] |= ONE << (c & LOW6)
                    summary[c >> TWELVE] |= ONE << ((c >> SIX) & LOW6)
            for w in range(U(lowest) >> TWELVE, (U(highest) >> TWELVE) + ONE):
                upper = summary[w]
                if upper == ZERO:
                    continue
                summary[w] = ZERO
                while upper != ZERO:
                    at = (w << SIX) + trailing_zeros(upper)
                    upper &= upper - ONE
                    word = bits[at]
                    bits[at] = ZERO
                    while word != ZERO:
                        c = (at << SIX) + trailing_zeros(word)
                        word &= word - ONE
                        c_indices[pos] = c
                        c_data[pos] = acc[c]
                        acc[c] = zero
                        pos += ONE

        else:
            log2 = 7
            while (1 << log2) < 2 * min(flops, n_columns):
                log2 += 1
            if len(table) < (1 << log2):
                table = np.full(1 << log2, -1, np.int64)
                table_val = np.empty(1 << log2, dtype)
                keys = np.empty(1 << (log2 - 1), np.int64)
                spare = np.empty(1 << (log2 - 1), np.int64)
            shift, last_slot = U(64 - log2), U((1 << log2) - 1)
            count = 0
            for p in range(begin, end):
                k, a = U(a_indices[p]), a_data[p]
                for q in range(U(b_indptr[k]), U(b_indptr[k + ONE])):
                    c = np.int64(b_indices[q])
                    h = (U(c) * HASH) >> shift
                    while table[h] != c and table[h] != -1:
                        h = (h + ONE) & last_slot
                    if table[h] == c:
                        table_val[h] += a * b_data[q]
                    else:
                        table[h] = c
                        table_val[h] = a * b_data[q]
                        keys[count] = c
                        count += 1
            ordered = keys
            if sort:
                ordered = _sort_keys(keys, spare, count, n_columns)
            for t in range(count):
                c = ordered[t]
                h = (U(c) * HASH) >> shift
                while table[h] != c:
                    h = (h + ONE) & last_slot
                c_indices[pos] = c
                c_data[pos] = table_val[h]
                pos += ONE
            # Only now: a slot freed earlier would break the probing of the rest.
            for t in range(count):
                h = (U(ordered[t]) * HASH) >> shift
                while table[h] != -1:
                    table[h] = -1
                    h = (h + ONE) & last_slot
        c_indptr[i + 1] = pos
    return np.int64(pos)


@kernel
def masked_rows(
    m_indices,
    m_indptr,
    a_data,
    a_indices,
    a_indptr,
    b_data,
    b_indices,
    b_indptr,
    first,
    last,
    n_columns,
    out,
):
    """Accumulate the entries of A B that stand on the pattern of a mask.

    `out` is aligned with the mask's indices and zero on entry; the mask has no
    duplicates. ``where`` holds one plus the place of a column in the mask's row.
    """
    where = np.zeros(n_columns, np.int32)
    n_entries = a_indptr[last]
    for i in range(first, last):
        start, stop = m_indptr[i], m_indptr[i + 1]
        if start == stop:
            continue
        for p in range(start, stop):
            where[U(m_indices[p])] = np.int32(p - start + 1)
        base = U(start) - ONE
        for p in range(a_indptr[i], a_indptr[i + 1]):
            if p + AHEAD < n_entries:
                q = U(b_indptr[U(a_indices[p + AHEAD])])
                prefetch(b_indices, q)
            k, a = U(a_indices[p]), a_data[p]
            for q in range(U(b_indptr[k]), U(b_indptr[k + ONE])):
                place = where[U(b_indices[q])]
                if place != 0:
                    out[base + U(place)] += a * b_data[q]
        for p in range(start, stop):
            where[U(m_indices[p])] = np.int32(0)
