"""The inverted index of Seismic as arrays: what is built, and how it is searched.

Bruch, Nardini, Rulli, Venturini, "Efficient inverted indexes for approximate retrieval
over learned sparse representations", SIGIR 2024. Signed data are indexed as if every
coordinate were two, one for each sign: a bound of the inner product is what equal signs
have in common, and documents are scored exactly on the data as they are.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sparsestat._utils.validation import read_only, read_only_triple
from sparsestat.sparse import topk_rows
from sparsestat.sparse._threads import balanced_rows, run_shared, thread_count

__all__ = ["Blocks", "Index", "build_index", "search_index", "split_signs"]

_CUT = 15  # entries of a document by which blocks are formed
_SHORT = 1 << 16  # numbers that two bytes can hold


@dataclass(frozen=True)
class Blocks:
    """How the lists are pruned, cut into blocks and summed up."""

    n_postings: int
    fraction: float
    smallest: int
    energy: float
    longest: float
    pruning: str
    quantize: bool


@dataclass(frozen=True)
class Index:
    """The arrays of an index; see `_kernels_index` for what they hold."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    n_columns: int
    signed: bool
    list_ptr: np.ndarray
    block_ptr: np.ndarray
    docs: np.ndarray
    step: np.ndarray
    coord_ptr: np.ndarray
    coords: np.ndarray
    entry_ptr: np.ndarray
    entry_block: np.ndarray
    entry_value: np.ndarray
    graph: np.ndarray

    @property
    def arrays(self):
        """All arrays of the index, in the order in which the kernel takes them."""
        return (
            *(self.list_ptr, self.block_ptr, self.docs, self.step, self.coord_ptr),
            *(self.coords, self.entry_ptr, self.entry_block, self.entry_value),
            self.graph,
        )

    @property
    def documents(self):
        """The rows that were indexed."""
        shape = (len(self.indptr) - 1, self.n_columns)
        indices = self.indices.astype(np.int32)
        return sparse.csr_array((self.data, indices, self.indptr), shape=shape)

    @property
    def n_bytes(self):
        """Bytes of the lists and of the documents."""
        forward = (self.data, self.indices, self.indptr)
        return sum(array.nbytes for array in (*forward, *self.arrays))


def split_signs(X):
    """Return [X+, X-], the positive parts beside the negative ones, in float32."""
    plus, minus = X.data > 0, X.data < 0
    shift = np.where(minus, X.shape[1], 0).astype(X.indices.dtype)
    wide = sparse.csr_array(
        (np.abs(X.data).astype(np.float32), X.indices + shift, X.indptr),
        shape=(X.shape[0], 2 * X.shape[1]),
    )
    if not (plus | minus).all():
        wide.eliminate_zeros()
    wide.sort_indices()
    return wide


def build_index(X, blocks, *, signed, seed, n_jobs):
    """Index the rows of a canonical CSR array without explicit zeros."""
    from sparsestat.neighbors import _kernels_index as kernels

    wide = split_signs(X) if signed else X.astype(np.float32)
    list_ptr, postings = _lists(wide, blocks, kernels)
    cut = topk_rows(wide, _CUT)
    n_lists = wide.shape[1]
    threads = thread_count(n_jobs, wide.nnz)
    arguments = (
        read_only(postings),
        read_only(list_ptr),
        *read_only_triple(wide),
        *read_only_triple(cut),
    )

    def build(first, last):
        return kernels.build_lists(
            *arguments,
            n_lists,
            first,
            last,
            seed,
            float(blocks.fraction),
            int(blocks.smallest),
            float(blocks.energy),
            blocks.quantize,
        )

    parts = run_shared(build, balanced_rows(list_ptr, threads, per_thread=4), threads)
    docs, ends, of_list, step, coords_of, coords, entries, block, value = zip(
        *parts, strict=True
    )
    longest = max((int(part.max(initial=0)) for part in of_list), default=0)
    return Index(
        data=X.data,
        # Half the memory to read where two bytes number the coordinates.
        indices=X.indices.astype(np.uint16 if X.shape[1] <= _SHORT else np.int32),
        indptr=X.indptr.astype(np.int64),
        n_columns=X.shape[1],
        signed=signed,
        list_ptr=_pointer(np.concatenate(of_list)),
        block_ptr=_chained(ends),
        docs=np.concatenate(docs),
        step=np.concatenate(step),
        coord_ptr=_pointer(np.concatenate(coords_of)),
        coords=np.concatenate(coords),
        entry_ptr=_chained(entries),
        entry_block=np.concatenate(block).astype(
            np.uint16 if longest <= _SHORT else np.int32
        ),
        entry_value=np.concatenate(value).astype(
            np.uint8 if blocks.quantize else np.float32
        ),
        graph=np.empty((0, 0), np.int64),
    )


def _lists(wide, blocks, kernels):
    """Return the pruned lists: documents of every coordinate by falling values."""
    columns = sparse.csc_array(wide)
    of = np.repeat(np.arange(wide.shape[1]), np.diff(columns.indptr))
    # Rows are in order within a column, and stay so among equal values.
    order = np.lexsort((-columns.data, of))
    values, postings = columns.data[order], columns.indices[order].astype(np.int32)
    cut, longest = 0.0, blocks.n_postings
    if blocks.pruning == "global":
        longest = max(1, int(min(blocks.longest * blocks.n_postings, wide.shape[0])))
        total = blocks.n_postings * wide.shape[1]
        if total < len(values):
            cut = np.partition(values, len(values) - total)[len(values) - total]
    indptr = columns.indptr.astype(np.int64)
    keep = kernels.prune_lists(values, indptr, longest, float(cut))
    return np.concatenate([[0], np.cumsum(keep)])[indptr], postings[keep]


def _pointer(counts):
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _chained(ends):
    """Return the pointer of parts that each count from zero."""
    out, before = [np.zeros(1, np.int64)], 0
    for part in ends:
        out.append(part + before)
        before += int(part[-1]) if len(part) else 0
    return np.concatenate(out)


def search_index(index, Q, k, *, query_cut, heap_factor, itself=False, n_jobs=None):
    """Return scores and documents of shape (n_queries, k), and how many were scored.

    Only documents with a positive score are found. Places without a document have score
    -inf and document -1.
    """
    from sparsestat.neighbors import _kernels_search as kernels

    bounds = split_signs(Q) if index.signed else Q.astype(np.float32)
    scores = np.full((Q.shape[0], k), -np.inf, index.data.dtype)
    docs = np.full((Q.shape[0], k), -1, np.int64)
    evaluated = np.zeros(Q.shape[0], np.int64)
    longest = int(np.diff(bounds.indptr).max(initial=0))
    query_cut = longest if query_cut is None else min(int(query_cut), longest)
    arguments = (
        *read_only_triple(Q),
        *read_only_triple(bounds),
    )
    forward = [read_only(a) for a in (index.data, index.indices, index.indptr)]
    arrays = [read_only(a) for a in index.arrays]
    threads = thread_count(n_jobs, 1000 * Q.shape[0])

    def search(first, last):
        kernels.search(
            *arguments,
            first,
            last,
            *forward,
            index.n_columns,
            *arrays,
            k,
            query_cut,
            float(heap_factor),
            itself,
            scores,
            docs,
            evaluated,
        )

    run_shared(search, balanced_rows(Q.indptr, threads), threads)
    return scores, docs, evaluated
