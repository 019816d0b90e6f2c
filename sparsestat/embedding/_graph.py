"""Graphs of several forms, turned into one sparse matrix of arcs."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

__all__ = ["is_networkx", "read_graph"]


def is_networkx(X):
    """Whether X looks like a networkx graph."""
    return hasattr(X, "adjacency") and hasattr(X, "number_of_nodes")


def read_graph(X):
    """Return the adjacency matrix of X and the labels of its nodes, or None.

    Parameters
    ----------
    X : array-like, sparse matrix, networkx graph or tuple of arrays
        Matrices are returned as they are. A tuple is an edge list: sources,
        targets and, if it has three parts, weights; parallel edges add up.

    Returns
    -------
    X : array-like or sparse matrix
        Entry (i, j) is the weight of the arc from i to j.
    labels : ndarray or None
        Node labels in the order of the rows, None for a matrix.
    """
    if is_networkx(X):
        import networkx as nx

        if X.number_of_nodes() == 0:
            raise ValueError("The graph has no nodes.")
        labels = np.empty(X.number_of_nodes(), dtype=object)
        labels[:] = list(X)
        return nx.to_scipy_sparse_array(X, dtype=np.float64, format="csr"), labels
    if isinstance(X, tuple):
        return _read_edges(X)
    return X, None


def _read_edges(edges):
    if len(edges) not in (2, 3):
        raise ValueError(
            "An edge list is a tuple (sources, targets) or (sources, targets, "
            f"weights), got {len(edges)} parts."
        )
    source, target = np.asarray(edges[0]), np.asarray(edges[1])
    weight = np.asarray(edges[2]) if len(edges) == 3 else np.ones(source.shape[:1])
    shapes = {part.shape for part in (source, target, weight)}
    if len(shapes) > 1 or source.ndim != 1 or source.size == 0:
        raise ValueError(
            "The parts of an edge list must be one-dimensional, equally long and not "
            f"empty, got shapes {source.shape}, {target.shape} and {weight.shape}."
        )
    labels, codes = np.unique(np.concatenate([source, target]), return_inverse=True)
    n = len(labels)
    arcs = (codes[: len(source)], codes[len(source) :])
    X = sparse.coo_array((weight.astype(np.float64), arcs), shape=(n, n))
    return X.tocsr(), labels
