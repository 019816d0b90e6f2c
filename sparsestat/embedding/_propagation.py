r"""Weighted powers of a transition matrix times a sparse projection.

.. math:: E = \sum_k a_k \, \mathrm{rownorm}(N_k), \quad
          N_0 = L R, \quad N_k = D^{-1} S N_{k-1}

Powers are never formed. Where memory is short the columns of the projection are
taken in blocks, once for the row norms and once more for the sum.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from sparsestat._utils.validation import read_only
from sparsestat.embedding import _kernels as kernels
from sparsestat.sparse._threads import balanced_rows, run_shared, thread_count

__all__ = [
    "Operator",
    "Side",
    "Start",
    "add_start",
    "average",
    "block_width",
    "embed",
    "make_projection",
    "make_side",
]

_START_ROWS = 4096  # rows a block in which the start is added
_ENOUGH = 2_000_000  # multiply-adds below which threads do not pay


@dataclass
class Side:
    """The averaging matrix of one kind of nodes: degrees, and neighbors to average.

    `source` says whose rows are averaged: 0 for the same nodes in an ordinary graph,
    the other side in a bipartite one.
    """

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    weighted: bool
    degrees: np.ndarray
    inverse: np.ndarray
    source: int = 0
    arrivals: np.ndarray | None = None

    @property
    def n_nodes(self):
        """Number of rows."""
        return len(self.indptr) - 1

    @property
    def arrays(self):
        """The arguments that every kernel starts with."""
        return tuple(read_only(a) for a in (self.data, self.indices, self.indptr)) + (
            self.weighted,
            read_only(self.inverse),
        )


@dataclass
class Operator:
    """One side for an ordinary graph, two for a bipartite one."""

    sides: list

    @property
    def n_nodes(self):
        """Number of nodes of all sides."""
        return sum(side.n_nodes for side in self.sides)


@dataclass
class Start:
    """The rows N_0 of one side: a sparse projection, plus dense last columns.

    `level` are the entries of the diagonal matrix L. `dense` (or None) is added to
    the last columns.
    """

    projection: sparse.csr_array
    level: np.ndarray
    dense: np.ndarray | None = None

    @property
    def is_dense(self):
        """Whether a dense array is the better form of N_0."""
        n, d = self.projection.shape
        return self.dense is not None or 10 * self.projection.nnz > n * d

    def scaled(self):
        """Return L R as a CSR array."""
        R = self.projection
        data = R.data * np.repeat(self.level, np.diff(R.indptr)).astype(R.dtype)
        return sparse.csr_array((data, R.indices, R.indptr), shape=R.shape)

    def block(self, left, right, dtype):
        """Return columns left..right-1 of N_0 as a dense array."""
        d = self.projection.shape[1]
        out = np.ascontiguousarray(self.scaled()[:, left:right].toarray(), dtype)
        if self.dense is not None:
            offset = d - self.dense.shape[1]
            low = max(left, offset)
            if low < right:
                out[:, low - left :] += self.dense[:, low - offset : right - offset]
        return out

    def rows(self, first, last, dtype):
        """Return rows first..last-1 of N_0 as a dense array."""
        out = self.projection[first:last].toarray().astype(dtype)
        out *= self.level[first:last, None]
        if self.dense is not None:
            out[:, out.shape[1] - self.dense.shape[1] :] += self.dense[first:last]
        return out


def _over_largest_of_row(data, indptr):
    """Return the weights of each row divided by its largest one."""
    counts = np.diff(indptr)
    rows = np.flatnonzero(counts)
    largest = np.maximum.reduceat(data, indptr[rows])
    return data / np.repeat(np.where(largest > 0, largest, 1.0), counts[rows])


def make_side(S, dtype, *, source=0, arrivals=False):
    """Return the averaging matrix of a canonical CSR array.

    Weights that are all equal are dropped: averages do not need them. Extreme ones
    are scaled row by row first, since single precision could overflow. With
    `arrivals` the column sums are taken too.
    """
    data = S.data
    weighted = len(data) > 0 and bool((data != data[0]).any())
    if not weighted:
        data = data[:1] if len(data) else np.ones(1, dtype)
    indptr = read_only(S.indptr)
    degrees = kernels.sums_of_rows(read_only(data), indptr, weighted)
    sums_in = None
    if arrivals:
        sums_in = kernels.sums_of_columns(
            read_only(data), read_only(S.indices), weighted, S.shape[1]
        )
    if weighted:
        sums = degrees
        if not 1e-30 < data.min(where=data > 0, initial=1.0) <= data.max() < 1e30:
            data = _over_largest_of_row(data, S.indptr)
            sums = kernels.sums_of_rows(read_only(data), indptr, weighted)
        data = data.astype(dtype, copy=False)
    else:
        sums = np.diff(indptr).astype(np.float64)
        data = data.astype(dtype, copy=False)
    inverse = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
    return Side(data, S.indices, S.indptr, weighted, degrees, inverse, source, sums_in)


def make_projection(keys, d, s, scale, seed, dtype, *, n_jobs=None):
    """Draw the very sparse sign matrix; row i depends on keys[i] and seed alone.

    Entries are +scale or -scale with probability 1/(2s) each, zero otherwise.
    """
    n = len(keys)
    keys = read_only(np.ascontiguousarray(keys, np.int64))
    seed = np.uint64(seed)
    threads = thread_count(n_jobs, n * (1 + d / s), enough=_ENOUGH)
    size = -(-n // (8 * threads)) if threads > 1 else max(n, 1)
    ranges = [(a, min(a + size, n)) for a in range(0, n, size)]
    counts = np.zeros(n + 1, np.int64)
    run_shared(
        lambda a, b: kernels.count_projection(
            keys, seed, d, float(s), a, b, counts[1:]
        ),
        ranges,
        threads,
    )
    np.cumsum(counts, out=counts)
    nnz = int(counts[-1])
    kind = np.int32 if nnz <= np.iinfo(np.int32).max else np.int64
    indptr = counts.astype(kind)
    indices, data = np.empty(nnz, kind), np.empty(nnz, dtype)
    run_shared(
        lambda a, b: kernels.fill_projection(
            keys, seed, d, float(s), scale, a, b, read_only(indptr), indices, data
        ),
        ranges,
        threads,
    )
    return sparse.csr_array((data, indices, indptr), shape=(n, d))


def block_width(n, d, n_powers, itemsize, max_memory):
    """Return how many columns to propagate at a time.

    Propagation takes the embedding (n d numbers), two blocks of n b numbers, and 8
    bytes a node for its key, degrees and their inverse and for its norm in each power.

    Parameters
    ----------
    n, d : int
        Nodes and components.
    n_powers : int
        Highest power.
    itemsize : int
        Bytes of a number of the embedding.
    max_memory : float or None
        Bytes allowed, not counting the graph and R. None means no limit.

    Returns
    -------
    b : int
        Between 1 and d; a multiple of 16 if it is more than that and less than d.
    """
    embedding = n * d * itemsize
    nodes = 8 * n * (n_powers + 5)
    if max_memory is None or 3 * embedding + nodes <= max_memory:
        return d
    width = int((max_memory - embedding - nodes) // (2 * n * itemsize))
    if width < 1:
        least = embedding + nodes + 2 * n * itemsize
        raise ValueError(
            f"max_memory={max_memory:.3g} bytes is too small for {n} nodes and {d} "
            f"components: the embedding and the smallest blocks take {least:.3g} "
            "bytes. Raise max_memory or lower n_components."
        )
    return min(max(d - 1, 1), width if width < 16 else width // 16 * 16)


def embed(
    operator, starts, weights, *, normalize, rescale, out, block, n_jobs, keep=False
):
    """Add sum_k a_k N_k, rows normalized or not, to the zeroed arrays `out`.

    Parameters
    ----------
    operator : Operator
        Averaging matrices.
    starts : list of Start
        N_0 of each side.
    weights : ndarray of shape (n_powers + 1,)
        a_0, the self weight, then one weight a power.
    normalize : bool
        Normalize the rows of each power before they are added.
    rescale : bool
        Propagate normalized rows, from N_1 on.
    out : list of ndarray
        One array of shape (n_nodes, d) a side.
    block : int
        Columns at a time.
    n_jobs : int or None
        Threads.
    keep : bool or "all", default=False
        Return the powers below the last, or all; needs all columns in one block.

    Returns
    -------
    powers : list of list of ndarray
        ``powers[k - 1][side]`` is N_k, for 1 <= k < n_powers; empty unless `keep`.
    """
    d = out[0].shape[1]
    q = len(weights) - 1
    for start, array in zip(starts, out, strict=True):
        if weights[0] != 0:
            add_start(start, weights[0], normalize, array)
    blocks = [(c, min(c + block, d)) for c in range(0, d, block)]
    run = _Run(operator, starts, weights, normalize, rescale, out, n_jobs)
    if len(blocks) == 1 or not (normalize or rescale):
        for left, right in blocks:
            kept = run.columns(left, right, q, range(1, q + 1), keep=keep)
        return kept
    # The norms of power k need all columns of power k. If power k + 1 starts from
    # normalized rows, each power needs a sweep of its own.
    sweeps = [[k] for k in range(1, q + 1)] if rescale else [range(1, q + 1)]
    for collect in sweeps:
        for left, right in blocks:
            run.columns(left, right, max(collect), collect, add=False)
    for left, right in blocks:
        run.columns(left, right, q, ())
    return []


def add_start(start, weight, normalize, out):
    """Add a_0 N_0 to `out`, a few thousand rows at a time."""
    for first in range(0, len(out), _START_ROWS):
        rows = start.rows(first, first + _START_ROWS, np.float64)
        if normalize:
            norms = np.sqrt((rows**2).sum(axis=1, keepdims=True))
            np.divide(rows, norms, out=rows, where=norms > 0)
        out[first : first + _START_ROWS] += (weight * rows).astype(out.dtype)


def average(side, start, powers, weights, *, normalize, rescale, out, n_jobs):
    """Add the powers of new nodes, whose neighbors are all known, to `out`.

    Parameters
    ----------
    side : Side
        Arcs from the new nodes to the known ones.
    start : Start
        N_0 of the known nodes.
    powers : list of ndarray
        N_1 .. N_{q-1} of the known nodes.
    weights, normalize, rescale, n_jobs
        As in :func:`embed`; the self weight has no meaning for new nodes.
    out : ndarray of shape (n_new, d)
        Zeroed.
    """
    side = replace(side, source=0)
    run = _Run(Operator([side]), [start], weights, normalize, rescale, [out], n_jobs)
    for k in range(1, len(weights)):
        before = None if k == 1 else [powers[k - 2]]
        run.power(k, before, 0, out.shape[1], store=False, collect=True, add=True)


class _Run:
    """The state of one propagation: norms of all powers, and where to add."""

    def __init__(self, operator, starts, weights, normalize, rescale, out, n_jobs):
        self.sides, self.starts, self.weights = operator.sides, starts, weights
        self.normalize, self.rescale, self.out = normalize, rescale, out
        self.dtype = out[0].dtype
        self.norms = [np.zeros((len(weights), side.n_nodes)) for side in self.sides]
        nnz = sum(len(side.indices) for side in self.sides)
        self.threads = thread_count(n_jobs, nnz * out[0].shape[1], enough=_ENOUGH)

    def columns(self, left, right, n_powers, collect, *, add=True, keep=False):
        """Propagate some columns; return the powers below the last if `keep`."""
        before, kept, spare = None, [], None
        for k in range(1, n_powers + 1):
            store = k < n_powers or keep == "all"
            after = self.power(
                k, before, left, right, store, k in collect, add, spare=spare
            )
            if keep:
                kept += [after] if store else []
            else:
                spare = before  # two blocks take turns
            before = after
        return kept

    def power(self, k, before, left, right, store, collect, add, *, spare=None):
        """Compute N_k of every side from N_{k-1}; N_0 is `before=None`."""
        after = spare
        if after is None or not store:
            after = [
                np.empty((side.n_nodes if store else 0, right - left), self.dtype)
                for side in self.sides
            ]
        if before is None and self.starts[0].is_dense:
            before = [start.block(left, right, self.dtype) for start in self.starts]
        for s, side in enumerate(self.sides):
            tail = (
                store,
                after[s],
                self.norms[s][k],
                collect,
                float(self.weights[k]) if add else 0.0,
                self.normalize,
                self.rescale and store,
                self.out[s],
            )
            blocks = balanced_rows(side.indptr, self.threads)
            if before is None:
                R = self.starts[side.source].scaled()
                start = tuple(read_only(a) for a in (R.data, R.indices, R.indptr))
                run_shared(
                    lambda a, b, side=side, start=start, tail=tail: kernels.first_power(
                        *side.arrays, *start, left, right, a, b, *tail
                    ),
                    blocks,
                    self.threads,
                )
            else:
                B = read_only(before[side.source])
                run_shared(
                    lambda a, b, side=side, B=B, tail=tail: kernels.propagate(
                        *side.arrays, B, left, a, b, *tail
                    ),
                    blocks,
                    self.threads,
                )
        return after
