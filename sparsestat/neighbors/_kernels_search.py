"""Search the inverted index: score the summaries of blocks, then documents exactly."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.sparse._kernels import kernel
from sparsestat.sparse._kernels_intrinsics import prefetch

__all__ = ["search"]

U = np.uint64
ONE, TWO, THREE, FOUR = U(1), U(2), U(3), U(4)
AHEAD = 3  # documents by which the forward index is prefetched
LINE = 16  # entries of four bytes in a cache line


@kernel
def _product(dense, data, indices, begin, end):
    """Return the inner product of a dense query with one document."""
    zero = dense[0] * 0
    s0, s1, s2, s3 = zero, zero, zero, zero
    p, stop = U(begin), U(end)
    while p + THREE < stop:  # four sums: an addition need not wait for the last one
        s0 += dense[U(indices[p])] * data[p]
        s1 += dense[U(indices[p + ONE])] * data[p + ONE]
        s2 += dense[U(indices[p + TWO])] * data[p + TWO]
        s3 += dense[U(indices[p + THREE])] * data[p + THREE]
        p += FOUR
    while p < stop:
        s0 += dense[U(indices[p])] * data[p]
        p += ONE
    return (s0 + s1) + (s2 + s3)


@kernel
def _insert(scores, docs, count, k, score, doc):
    """Insert into a list with falling scores, of equal ones the lower document first.

    Returns the number of documents in the list.
    """
    t = count
    if count == k:
        t = k - 1
        if score < scores[t] or (score == scores[t] and doc > docs[t]):
            return count
    while t > 0 and (
        scores[t - 1] < score or (scores[t - 1] == score and docs[t - 1] > doc)
    ):
        scores[t] = scores[t - 1]
        docs[t] = docs[t - 1]
        t -= 1
    scores[t] = score
    docs[t] = doc
    return min(count + 1, k)


@kernel
def _largest_coordinates(data, begin, end, n, out):
    """Write the places of the n largest entries, falling; return how many."""
    count = 0
    for p in range(begin, end):
        if data[p] <= 0.0:
            continue
        t = count
        if count == n:
            t = n - 1
            if n == 0 or data[p] <= data[out[t]]:
                continue
        while t > 0 and data[out[t - 1]] < data[p]:
            out[t] = out[t - 1]
            t -= 1
        out[t] = p
        count = min(count + 1, n)
    return count


@kernel
def _score_blocks(
    b_data,
    b_indices,
    begin,
    end,
    coords,
    low,
    high,
    entry_ptr,
    entry_block,
    entry_value,
    acc,
):
    """Add up what the query has in common with the summaries of one list."""
    for p in range(begin, end):
        x = b_indices[p]
        top = high
        while low < top:  # both are sorted: search on from the last place
            middle = (low + top) >> 1
            if coords[middle] < x:
                low = middle + 1
            else:
                top = middle
        if low == high:
            return
        if coords[low] == x:
            v = b_data[p]
            for q in range(U(entry_ptr[low]), U(entry_ptr[low + 1])):
                acc[U(entry_block[q])] += v * np.float32(entry_value[q])
            low += 1


@kernel
def search(
    q_data,
    q_indices,
    q_indptr,
    b_data,
    b_indices,
    b_indptr,
    first,
    last,
    data,
    indices,
    indptr,
    n_columns,
    list_ptr,
    block_ptr,
    docs,
    step,
    coord_ptr,
    coords,
    entry_ptr,
    entry_block,
    entry_value,
    graph,
    k,
    query_cut,
    heap_factor,
    itself,
    out_scores,
    out_docs,
    evaluated,
):
    """Answer queries first..last-1.

    `q_...` are the queries, `b_...` their non-negative parts, in the coordinates of the
    lists. With `itself`, query i is document i and must not be found. `evaluated`
    counts the documents that were scored.
    """
    n_docs = len(indptr) - 1
    dense = np.zeros(n_columns, data.dtype)
    seen = np.full(n_docs, -1, np.int32)
    most, widest = 1, 1
    for j in range(len(list_ptr) - 1):
        most = max(most, list_ptr[j + 1] - list_ptr[j])
    for b in range(len(block_ptr) - 1):
        widest = max(widest, block_ptr[b + 1] - block_ptr[b])
    fresh = np.empty(widest, np.uint64)
    acc = np.zeros(most, np.float32)
    bounds = np.empty(most, np.float32)
    blocks = np.empty(most, np.int64)
    chosen = np.empty(max(query_cut, 1), np.int64)
    for i in range(first, last):
        mark = np.int32(i)
        scores, found = out_scores[i], out_docs[i]
        count, scored = 0, 0
        for p in range(q_indptr[i], q_indptr[i + 1]):
            dense[U(q_indices[p])] = q_data[p]
        if itself:
            seen[i] = mark
        begin, end = b_indptr[i], b_indptr[i + 1]
        # Sums of single precision fall short of the bound by their rounding.
        slack = np.float32(1.0 + 2.4e-7 * (end - begin + 8))
        n_lists = _largest_coordinates(b_data, begin, end, query_cut, chosen)
        for t in range(n_lists):
            j = U(b_indices[chosen[t]])
            base = list_ptr[j]
            n_blocks = list_ptr[j + ONE] - base
            if n_blocks == 0:
                continue
            acc[:n_blocks] = np.float32(0.0)
            _score_blocks(
                b_data,
                b_indices,
                begin,
                end,
                coords,
                coord_ptr[j],
                coord_ptr[j + ONE],
                entry_ptr,
                entry_block,
                entry_value,
                acc,
            )
            # Only blocks that may hold something, the best first: the cut rises soon.
            n_open = 0
            least = heap_factor * scores[k - 1] if count == k else -np.inf
            for b in range(n_blocks):
                bound = acc[b] * step[base + b] * slack
                if bound > 0.0 and bound >= least:
                    bounds[n_open] = -bound
                    blocks[n_open] = b
                    n_open += 1
            for turn in np.argsort(bounds[:n_open]):
                if count == k and -bounds[turn] < heap_factor * scores[k - 1]:
                    break
                b = blocks[turn]
                start, stop = block_ptr[base + b], block_ptr[base + b + 1]
                n_new = 0
                for s in range(start, stop):
                    doc = U(docs[s])
                    if seen[doc] != mark:
                        seen[doc] = mark
                        fresh[n_new] = doc
                        n_new += 1
                scored += n_new
                for s in range(n_new):
                    for ahead in range(
                        s + AHEAD if s else 0, min(s + AHEAD + 1, n_new)
                    ):
                        at, till = indptr[fresh[ahead]], indptr[fresh[ahead] + ONE]
                        for line in range(at, till, LINE):
                            prefetch(indices, U(line))
                            prefetch(data, U(line))
                    doc = fresh[s]
                    v = _product(dense, data, indices, indptr[doc], indptr[doc + ONE])
                    if v > 0.0 and (count < k or v >= scores[k - 1]):
                        count = _insert(scores, found, count, k, v, np.int64(doc))
        if graph.shape[1] > 0:
            # Neighbors of what was found, once: the list changes meanwhile.
            for near in found[:count].copy():
                for other in graph[near]:
                    doc = U(other)
                    if other < 0 or seen[doc] == mark:
                        continue
                    seen[doc] = mark
                    scored += 1
                    v = _product(dense, data, indices, indptr[doc], indptr[doc + ONE])
                    if v > 0.0:
                        count = _insert(scores, found, count, k, v, other)
        for p in range(q_indptr[i], q_indptr[i + 1]):
            dense[U(q_indices[p])] = 0
        evaluated[i] = scored
