"""Metrics on labels: a matrix, a tree, a graph, embeddings, or 0 and 1."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.distance import cdist
from sklearn.utils import check_array

from sparsestat._utils.results import users_stacklevel
from sparsestat._utils.validation import (
    as_compressed,
    check_magnitude,
    read_only,
    refuse_complex,
)

__all__ = [
    "EmbeddingMetric",
    "GraphMetric",
    "MatrixMetric",
    "TreeMetric",
    "ZeroOneMetric",
    "checked_distances",
    "graph_or_matrix",
    "variances",
]

_SLACK = 1e-8  # relative rounding of distances that somebody else computed
_MIDDLES = 300  # labels that are tried as the corner of a triangle
_BLOCK_BYTES = 1 << 26  # of scores, and of distances that are not kept


def checked_distances(distances):
    """Return a matrix of distances, validated; warn if it breaks the triangles."""
    refuse_complex(distances, name="distances")
    D = check_array(distances, dtype=np.float64, input_name="distances")
    if D.shape[0] != D.shape[1]:
        raise ValueError(
            f"distances must be a square matrix, one row a label, got shape {D.shape}."
        )
    check_magnitude(D, name="distances")
    if (D < 0).any():
        raise ValueError(f"distances must not be negative, the least is {D.min():.3g}.")
    largest = D.max(initial=0.0)
    if np.diag(D).max(initial=0.0) > 0:
        worst = int(np.argmax(np.diag(D)))
        raise ValueError(
            f"A label must have distance 0 from itself, but label {worst} has "
            f"{D[worst, worst]:.3g}."
        )
    gap = np.abs(D - D.T)
    if gap.max(initial=0.0) > _SLACK * largest:
        i, j = np.unravel_index(int(gap.argmax()), D.shape)
        raise ValueError(
            f"distances must be symmetric, but those of labels {i} and {j} are "
            f"{D[i, j]:.6g} and {D[j, i]:.6g}. Pass (D + D.T) / 2 if that is meant."
        )
    middles = np.unique(np.linspace(0, len(D) - 1, min(len(D), _MIDDLES)).astype(int))
    for k in middles:
        excess = D - (D[:, k, None] + D[None, k, :])
        if excess.max() > _SLACK * largest:
            i, j = np.unravel_index(int(excess.argmax()), D.shape)
            warnings.warn(
                f"distances break the triangle inequality: {D[i, j]:.4g} between "
                f"labels {i} and {j} is more than {D[i, k]:.4g} + {D[k, j]:.4g} by way "
                f"of label {k}. Predictions minimize what was asked for, but the "
                "guarantees for metrics do not hold.",
                stacklevel=users_stacklevel(),
            )
            break
    return D


class ZeroOneMetric:
    """All labels are equally far apart."""

    def __init__(self, n_labels):
        self.n_labels = n_labels

    def rows(self, index):
        """Return the distances of some labels from all labels."""
        out = np.ones((len(index), self.n_labels))
        out[np.arange(len(index)), index] = 0.0
        return out


class MatrixMetric:
    """Distances as a matrix."""

    def __init__(self, distances):
        self.distances = checked_distances(distances)
        self.n_labels = len(self.distances)

    def rows(self, index):
        """Return the distances of some labels from all labels."""
        return self.distances[index]


class TreeMetric:
    """Path lengths in a tree whose nodes are the labels."""

    def __init__(self, parents, edge_lengths=None):
        from sparsestat.multiclass import _kernels_tree as kernels

        parents = np.asarray(parents)
        n = len(parents) if parents.ndim == 1 else 0
        if n == 0 or parents.dtype.kind not in "iu":
            raise ValueError(
                "parents must be a one-dimensional array of integers, one a label, "
                f"got {parents.dtype} of shape {parents.shape}."
            )
        parents = np.where(parents < 0, np.arange(n), parents).astype(np.int64)
        if parents.max() >= n:
            raise ValueError(
                f"parents must be numbers of labels, below {n}, or -1 for the root; "
                f"the largest is {parents.max()}."
            )
        roots = np.flatnonzero(parents == np.arange(n))
        if len(roots) != 1:
            raise ValueError(
                f"A tree has one root, a node with parent -1 or itself, but there are "
                f"{len(roots)}."
            )
        self.order = np.empty(n, np.int64)
        if kernels.order_from_root(read_only(parents), self.order) < n:
            raise ValueError("parents has a cycle: some labels never reach the root.")
        lengths = np.ones(n)
        if edge_lengths is not None:
            lengths = check_array(
                edge_lengths,
                dtype=np.float64,
                ensure_2d=False,
                input_name="edge_lengths",
            )
            if lengths.shape != (n,):
                raise ValueError(
                    f"edge_lengths must have shape ({n},), one for the edge above each "
                    f"label, got {lengths.shape}."
                )
            if (np.delete(lengths, roots) < 0).any():
                raise ValueError("edge_lengths must not be negative.")
            check_magnitude(lengths, name="edge_lengths")
        self.parents, self.lengths, self.n_labels = parents, lengths, n

    def rows(self, index):
        """Return the distances of some labels from all labels."""
        from sparsestat.multiclass import _kernels_tree as kernels

        out = np.empty((len(index), self.n_labels))
        kernels.distances_from(
            np.asarray(index, np.int64),
            read_only(self.parents),
            read_only(self.lengths),
            read_only(self.order),
            out,
        )
        return out


class GraphMetric:
    """Lengths of shortest paths in an undirected graph."""

    def __init__(self, graph):
        graph = as_compressed(graph, "csr", dtype=np.float64)
        if graph.shape[0] != graph.shape[1]:
            raise ValueError(
                f"The graph of labels must be a square matrix, got shape {graph.shape}."
            )
        if not np.isfinite(graph.data).all() or (graph.data < 0).any():
            raise ValueError("The graph of labels must have finite lengths, >= 0.")
        check_magnitude(graph, name="distances")
        self.graph, self.n_labels = graph, graph.shape[0]

    def rows(self, index):
        """Return the distances of some labels from all labels."""
        out = dijkstra(self.graph, directed=False, indices=index)
        if not np.isfinite(out).all():
            where = np.argwhere(~np.isfinite(out))[0]
            raise ValueError(
                f"The graph of labels is not connected: no path leads from label "
                f"{index[where[0]]} to label {where[1]}. Add edges, or drop labels."
            )
        return out


class EmbeddingMetric:
    """Euclidean or cosine distances of vectors."""

    def __init__(self, vectors, metric):
        vectors = check_array(vectors, dtype=np.float64, input_name="label_embeddings")
        check_magnitude(vectors, name="label_embeddings")
        if metric == "cosine" and not (vectors != 0).any(axis=1).all():
            raise ValueError(
                "label_embeddings has a vector of zeros, which has no direction. Use "
                "metric='euclidean', or leave that label out."
            )
        if metric == "cosine":  # lengths do not matter, and squares must not vanish
            vectors = vectors / np.abs(vectors).max(axis=1, keepdims=True)
        self.vectors, self.metric, self.n_labels = vectors, metric, len(vectors)

    def rows(self, index):
        """Return the distances of some labels from all labels."""
        out = cdist(self.vectors[index], self.vectors, self.metric)
        out[np.arange(len(index)), index] = 0.0
        return np.maximum(out, 0.0)


def variances(P, metric, observed, power):
    """Yield ``(first row, variances of shape (rows, n_labels))`` block by block.

    Entry (i, y) is the sum over observed labels of their probability times their
    distance from y to the given power.
    """
    n_labels = metric.n_labels
    if isinstance(metric, ZeroOneMetric):
        step = max(1, _BLOCK_BYTES // (8 * n_labels))
        for first in range(0, len(P), step):
            rows = P[first : first + step]
            out = np.repeat(rows.sum(axis=1, keepdims=True), n_labels, axis=1)
            out[:, observed] -= rows  # no sum over the others, so that ties stay ties
            yield first, out
        return
    some = max(1, _BLOCK_BYTES // (8 * n_labels))
    kept = None
    if len(observed) <= some:
        kept = metric.rows(observed) ** power
    for first in range(0, len(P), some):
        rows = P[first : first + some]
        if kept is not None:
            yield first, rows @ kept
            continue
        out = np.zeros((len(rows), n_labels))
        for begin in range(0, len(observed), some):
            part = metric.rows(observed[begin : begin + some]) ** power
            out += rows[:, begin : begin + some] @ part
        yield first, out


def graph_or_matrix(distances):
    """Return the metric of sparse lengths of edges, or of a matrix of distances."""
    if sparse.issparse(distances):
        return GraphMetric(distances)
    return MatrixMetric(distances)
