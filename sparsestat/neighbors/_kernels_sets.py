"""Sums and means of projected vectors by bucket, and the exact Chamfer similarity."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.sparse._kernels import kernel

__all__ = ["encode_sets", "pack_signs", "sum_of_largest"]

U = np.uint64
ONE, TWO, FOUR = U(1), U(2), U(4)
M1, M2, M4 = U(0x5555555555555555), U(0x3333333333333333), U(0x0F0F0F0F0F0F0F0F)
H01, S56 = U(0x0101010101010101), U(56)


@kernel
def _ones(word):
    """Return the number of set bits of a uint64."""
    word = word - ((word >> ONE) & M1)
    word = (word & M2) + ((word >> TWO) & M2)
    word = (word + (word >> FOUR)) & M4
    return (word * H01) >> S56


@kernel
def pack_signs(products, n_bits, out):
    """Write the bucket of every vector in every repetition: one bit a hyperplane."""
    n_points, n_repetitions = out.shape
    for i in range(n_points):
        for r in range(n_repetitions):
            code = 0
            for b in range(n_bits):
                if products[i, r * n_bits + b] > 0:
                    code |= 1 << b
            out[i, r] = code


@kernel
def encode_sets(
    points, step, codes, offsets, n_buckets, width, is_document, fill, slots, signs, out
):
    """Encode the sets of one block; `out` is zero on entry.

    Vector i in repetition r is the row of `width` numbers of `points` from column
    ``r * step`` on, and stands in bucket ``codes[i, r]``. Documents take the mean of a
    bucket and may fill an empty one with the vector of the nearest code; queries take
    the sum. With `slots`, entry j of the encoding is added to ``slots[j]`` with its
    sign.
    """
    n_repetitions = codes.shape[1]
    sketch = len(slots) > 0
    long = n_repetitions * n_buckets * width
    scratch = np.zeros(long if sketch else 0, out.dtype)
    counts = np.zeros(n_buckets, np.int64)
    leaders = np.zeros(n_buckets, np.int64)  # first vector of a bucket
    taken = np.empty(n_buckets, np.int64)
    for s in range(len(offsets) - 1):
        begin, end = offsets[s], offsets[s + 1]
        if begin == end:
            continue
        row = scratch if sketch else out[s]
        for r in range(n_repetitions):
            n_taken = 0
            left = r * step
            for i in range(begin, end):
                b = codes[i, r]
                if counts[b] == 0:
                    taken[n_taken] = b
                    leaders[b] = i
                    n_taken += 1
                counts[b] += 1
                base = (r * n_buckets + b) * width
                target, source = row[base : base + width], points[i, left:]
                for t in range(width):
                    target[t] += source[t]
            if is_document:
                for t in range(n_taken):
                    b = taken[t]
                    base = (r * n_buckets + b) * width
                    if counts[b] > 1:
                        row[base : base + width] /= counts[b]
            if fill and n_taken < n_buckets:
                for b in range(n_buckets):
                    if counts[b] > 0:
                        continue
                    near, leader = U(64), np.int64(0)
                    for t in range(n_taken):  # in the order of the vectors
                        d = _ones(U(taken[t] ^ b))
                        if d < near:
                            near, leader = d, leaders[taken[t]]
                    base = (r * n_buckets + b) * width
                    row[base : base + width] = points[leader, left : left + width]
            for t in range(n_taken):
                counts[taken[t]] = 0
        if sketch:
            for j in range(long):
                out[s, slots[j]] += signs[j] * scratch[j]
                scratch[j] = 0


@kernel
def sum_of_largest(products, offsets, out):
    """Write, for every set of columns, the sum over rows of the largest entry."""
    for s in range(len(offsets) - 1):
        begin, end = offsets[s], offsets[s + 1]
        total = 0.0
        for i in range(products.shape[0]):
            if begin == end:
                break
            largest = products[i, begin]
            for j in range(begin + 1, end):
                largest = max(largest, products[i, j])
            total += largest
        out[s] = total
