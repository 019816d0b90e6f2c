"""Codebooks of rows by dynamic programming, and codes packed to bits."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.sparse._kernels_codebook import cut_points, fill_layers, merge_equal

__all__ = ["code_rows", "decode_rows", "pack_rows", "round_rows", "unpack_rows"]


@njit(cache=True, nogil=True)
def code_rows(W, order, weights, codebook, codes):
    """Write the best levels of each row, ascending, and the nearest level of entries.

    `order` sorts the rows of W. Entries of weight zero do not count; where there are
    fewer distinct values than levels the last one is repeated.
    """
    n_rows, d = W.shape
    n_levels = codebook.shape[1]
    values, shares = np.empty(d), np.empty(d)
    S, total = np.empty(d + 1), np.empty(d + 1)
    before, after = np.empty(d + 1), np.empty(d + 1)
    stack = np.empty((64, 4), np.int64)
    starts = np.zeros((n_levels, d + 1), np.int32)
    ends = np.empty(n_levels + 1, np.int64)
    for r in range(n_rows):
        largest = 0.0
        for j in range(d):
            largest = max(largest, weights[r, j])
        for j in range(d):
            values[j] = W[r, order[r, j]]
            shares[j] = weights[r, order[r, j]] / largest if largest > 0.0 else 0.0
        m = merge_equal(values, shares)
        if m == 0:
            codebook[r] = 0
            codes[r] = 0
            continue
        half, middle = 0.5 * shares[:m].sum(), 0
        passed = shares[0]
        while passed < half and middle < m - 1:
            middle += 1
            passed += shares[middle]
        center = values[middle]
        # Sums with what rounding leaves out carried along.
        s = t = s_rest = t_rest = 0.0
        S[0] = total[0] = 0.0
        for i in range(m):
            term = shares[i] * (values[i] - center)
            new = s + term
            s_rest += (s - new) + term if abs(s) >= abs(term) else (term - new) + s
            s = new
            new = t + shares[i]
            t_rest += (t - new) + shares[i]
            t = new
            S[i + 1] = s + s_rest
            total[i + 1] = t + t_rest
        k = min(n_levels, m)
        sums, sizes = S[: m + 1], total[: m + 1]
        fill_layers(sums, sizes, k, before, after, stack, starts)
        cut_points(starts, k, m, ends)
        for c in range(k):
            first = values[ends[c]]
            away = weight = 0.0
            for i in range(ends[c], ends[c + 1]):
                away += shares[i] * (values[i] - first)
                weight += shares[i]
            codebook[r, c] = first + away / weight
        for c in range(k, n_levels):
            codebook[r, c] = codebook[r, k - 1]
        c = 0
        for j in range(d):
            w = np.float64(W[r, order[r, j]])
            while c < k - 1:
                low, high = np.float64(codebook[r, c]), np.float64(codebook[r, c + 1])
                if w - low <= high - w:
                    break
                c += 1
            codes[r, order[r, j]] = c


@njit(cache=True, nogil=True)
def round_rows(X, offsets, scales, group_size, top, codes):
    """Write the nearest even level of each entry; a scale of zero has one level."""
    for r in range(X.shape[0]):
        for j in range(X.shape[1]):
            g = j // group_size
            scale = scales[r, g]
            code = 0.0
            if scale > 0.0:
                code = np.rint((X[r, j] - offsets[r, g]) / scale)
            codes[r, j] = np.uint8(min(max(code, 0.0), top))


@njit(cache=True, nogil=True)
def pack_rows(codes, bits, out):
    """Write the codes of each row one after the other, low bits first."""
    for r in range(codes.shape[0]):
        out[r] = 0
        for j in range(codes.shape[1]):
            at = j * bits
            code = np.uint32(codes[r, j]) << np.uint32(at & 7)
            out[r, at >> 3] |= np.uint8(code & np.uint32(255))
            if (at & 7) + bits > 8:
                out[r, (at >> 3) + 1] |= np.uint8(code >> np.uint32(8))


@njit(cache=True, nogil=True)
def unpack_rows(packed, bits, out):
    """Undo `pack_rows`."""
    mask = np.uint32((1 << bits) - 1)
    for r in range(out.shape[0]):
        for j in range(out.shape[1]):
            at = j * bits
            word = np.uint32(packed[r, at >> 3])
            if (at & 7) + bits > 8:
                word |= np.uint32(packed[r, (at >> 3) + 1]) << np.uint32(8)
            out[r, j] = np.uint8((word >> np.uint32(at & 7)) & mask)


@njit(cache=True, nogil=True)
def decode_rows(packed, bits, codebook, data, indices, indptr, first, out):
    """Write rows of the matrix that codes, levels and outliers stand for.

    Row i of `out` is row ``first + i``. Eight codes fill `bits` bytes and are read as
    one word.
    """
    mask = np.uint64((1 << bits) - 1)
    shift = np.uint64(bits)
    d = out.shape[1]
    for i in range(out.shape[0]):
        r = first + i
        levels, row, target = codebook[r], packed[r], out[i]
        for q in range(d // 8):
            word = np.uint64(0)
            for byte in range(bits):
                word |= np.uint64(row[q * bits + byte]) << np.uint64(8 * byte)
            for t in range(8):
                target[8 * q + t] = levels[word & mask]
                word >>= shift
        for j in range(d - d % 8, d):
            at = j * bits
            word = np.uint64(row[at >> 3])
            if (at & 7) + bits > 8:
                word |= np.uint64(row[(at >> 3) + 1]) << np.uint64(8)
            target[j] = levels[(word >> np.uint64(at & 7)) & mask]
        for p in range(indptr[r], indptr[r + 1]):
            target[indices[p]] = data[p]
