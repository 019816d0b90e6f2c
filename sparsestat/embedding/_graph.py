"""Graphs of several forms, turned into one sparse matrix of arcs."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
from scipy import sparse

from sparsestat._utils.results import users_stacklevel

__all__ = [
    "from_edges",
    "is_edge_list",
    "is_networkx",
    "read_graph",
    "warn_if_triangular",
]


def from_edges(edges, *, symmetrize=True):
    """Turn a list of edges into a sparse matrix and the names of its nodes.

    Parameters
    ----------
    edges : DataFrame, array-like of shape (n_edges, 2) or (n_edges, 3), or tuple
        One edge a row: its two ends, which are strings or integers, and a weight if
        there is a third column. Or the columns as a tuple of two or three arrays.
        Parallel edges add up.
    symmetrize : bool, default=True
        Whether edges have no direction: (a, b) also joins b to a. A list that holds
        every edge in both directions is taken as it is. False makes arcs from the
        first end to the second.

    Returns
    -------
    adjacency : csr_array of shape (n_nodes, n_nodes)
        Entry (i, j) is the weight of the arc from i to j.
    node_ids : ndarray of shape (n_nodes,)
        The names in the order of the rows, sorted.

    Raises
    ------
    ValueError
        If there are not two or three columns, an end is missing, ends are neither all
        strings nor all integers, or a weight is not a finite number.

    See Also
    --------
    FastRP : Takes such lists, and matrices.
    sparsestat.linear_model.GraphLabelPropagation : Takes the matrix.

    Examples
    --------
    >>> from sparsestat.embedding import from_edges
    >>> A, names = from_edges([("ann", "bob"), ("bob", "eve")])
    >>> names.tolist(), A.toarray().tolist()
    (['ann', 'bob', 'eve'], [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    """
    source, target, weight = _columns(edges)
    ends = _names(np.concatenate([source, target]))
    labels, codes = np.unique(ends, return_inverse=True)
    n = len(labels)
    arcs = (codes[: len(source)], codes[len(source) :])
    S = sparse.coo_array((weight, arcs), shape=(n, n)).tocsr()
    if symmetrize and abs(S - S.T).max() > 0:
        loops = sparse.diags_array(S.diagonal()).tocsr()
        S = sparse.csr_array(S + S.T - loops)
        S.eliminate_zeros()
    return S, labels


def is_networkx(X):
    """Whether X looks like a networkx graph."""
    return hasattr(X, "adjacency") and hasattr(X, "number_of_nodes")


def is_edge_list(X):
    """Whether X is a tuple of columns, or a table that can only be a list of edges.

    Two or three columns, and not a square matrix of numbers: a graph of two or three
    nodes.
    """
    if isinstance(X, tuple):
        return True
    if sparse.issparse(X) or is_networkx(X):
        return False
    if not hasattr(X, "shape"):
        if not isinstance(X, list) or not X or not hasattr(X[0], "__len__"):
            return False
        if isinstance(X[0], str) or any(len(row) != len(X[0]) for row in X):
            return False
        X = np.asarray(X, dtype=object)
    if len(X.shape) != 2 or X.shape[1] not in (2, 3):
        return False
    if X.shape[0] != X.shape[1]:
        return True
    table = np.asarray(X, dtype=object)
    return any(isinstance(v, str) for v in table[:, :2].ravel())


def read_graph(X, *, symmetrize=True):
    """Return the adjacency matrix of X and the labels of its nodes, or None.

    Parameters
    ----------
    X : array-like, sparse matrix, networkx graph or edge list
        Matrices are returned as they are.
    symmetrize : bool, default=True
        Whether the edges of a list have no direction.

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
    if is_edge_list(X):
        return from_edges(X, symmetrize=symmetrize)
    return X, None


def warn_if_triangular(S):
    """Warn when a matrix holds each edge in one direction only, as files often do."""
    if S.shape[0] < 3 or S.nnz < 2:
        return
    rows = np.repeat(np.arange(S.shape[0]), np.diff(S.indptr))
    off = S.indices != rows
    below = off & (S.indices < rows)
    if off.any() and (not below.any() or below.sum() == off.sum()):
        side = "lower" if below.any() else "upper"
        warnings.warn(
            f"The adjacency matrix is {side} triangular: each edge is there in one "
            "direction only, and most nodes have no neighbors to average. Pass "
            "X + X.T, or direction='undirected'.",
            UserWarning,
            stacklevel=users_stacklevel(),
        )


def _columns(edges):
    """Return sources, targets and weights as one-dimensional arrays."""
    if isinstance(edges, tuple):
        if len(edges) not in (2, 3):
            raise ValueError(
                "An edge list is a tuple (sources, targets) or (sources, targets, "
                f"weights), got {len(edges)} parts."
            )
        parts = [np.asarray(part) for part in edges]
    elif hasattr(edges, "columns") and hasattr(edges, "iloc"):
        # Column by column, or numbers beside names would turn into objects.
        parts = [edges.iloc[:, j].to_numpy() for j in range(edges.shape[1])]
    else:
        table = edges if hasattr(edges, "shape") else np.asarray(edges, dtype=object)
        table = np.asarray(table)
        if table.ndim != 2:
            raise ValueError(
                "An edge list has two columns, or three with weights, got an array of "
                f"shape {table.shape}."
            )
        parts = list(table.T)
    if len(parts) not in (2, 3):
        raise ValueError(
            "An edge list has two columns, the ends of the edges, or three with "
            f"weights, got {len(parts)}."
        )
    source, target = parts[:2]
    weight = parts[2] if len(parts) == 3 else np.ones(source.shape[:1])
    shapes = {part.shape for part in (source, target, weight)}
    if len(shapes) > 1 or source.ndim != 1 or source.size == 0:
        raise ValueError(
            "The parts of an edge list must be one-dimensional, equally long and not "
            f"empty, got shapes {source.shape}, {target.shape} and {weight.shape}."
        )
    for part in (source, target, weight):
        if part.dtype.kind == "c":
            raise ValueError("Complex data not supported: an edge list is complex.")
    try:
        weight = weight.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The third column of an edge list holds the weights, but it is not "
            f"numeric: {error}. Leave it out for edges without weights."
        ) from error
    if not np.isfinite(weight).all():
        raise ValueError("The weights of an edge list contain NaN or infinity.")
    return source, target, weight


def _names(ends):
    """Return names as strings or integers, one type for all of them."""
    if ends.dtype.kind in "iuU":
        return ends
    if ends.dtype.kind == "f":
        if not np.isfinite(ends).all():
            raise ValueError("An end of an edge is NaN or infinite: drop these rows.")
        if (ends != np.round(ends)).any() or np.abs(ends).max() > 2**53:
            raise ValueError(
                "The first two columns of an edge list name its nodes, by integers or "
                "strings, but they hold fractions. Is this a table of features? An "
                "adjacency matrix is square; use metric='bipartite' for a rectangular "
                "matrix of weights between two kinds of nodes."
            )
        return ends.astype(np.int64)
    values = ends.tolist()
    if all(isinstance(v, str) for v in values):
        return ends.astype(str)
    if all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in values):
        return ends.astype(np.int64)
    if any(v is None or v != v for v in values):
        raise ValueError("An end of an edge is missing: drop these rows.")
    if all(isinstance(v, float | int | np.number) for v in values):
        return _names(ends.astype(np.float64))
    kinds = sorted({type(v).__name__ for v in values})
    raise ValueError(
        "The ends of the edges must be all strings or all integers, got "
        f"{', '.join(kinds)}. Convert them with str."
    )
