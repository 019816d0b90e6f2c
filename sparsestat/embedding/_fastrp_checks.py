"""Checks of what FastRP is given."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.utils import check_array

__all__ = [
    "check_graph",
    "checked_features",
    "checked_keys",
    "checked_out",
    "checked_weights",
    "refuse_negative",
]


_LARGEST_WEIGHT = 1e15  # products with embeddings stay in single precision


def checked_weights(weights, self_weight):
    """Return a_0 and the weights up to the last that is not zero."""
    given = weights
    weights = check_array(
        weights, ensure_2d=False, dtype=np.float64, ensure_min_samples=0
    )
    if weights.ndim != 1 or len(weights) == 0 or not weights.any():
        raise ValueError(
            "weights must be a sequence with one number a power, not all of them "
            f"zero, got {given!r}."
        )
    last = int(np.flatnonzero(weights)[-1]) + 1
    found = np.concatenate([[float(self_weight)], weights[:last]])
    if np.abs(found).max() > _LARGEST_WEIGHT:
        raise ValueError(
            "Embeddings of such weights have no room in single precision: the largest "
            f"of weights and self_weight is {np.abs(found).max():.0e}, and at most "
            f"{_LARGEST_WEIGHT:.0e} is possible. Divide them all by one number."
        )
    return found


def check_graph(S, features, *, metric, direction, self_loops):
    """Raise ValueError for graphs that cannot be embedded so."""
    refuse_negative(S)
    if metric == "adjacency" and S.shape[0] != S.shape[1]:
        raise ValueError(
            f"An adjacency matrix must be square, got shape {S.shape}. An edge list "
            "has two columns, or three with weights; a rectangular matrix between two "
            "kinds of nodes needs metric='bipartite'."
        )
    if metric == "bipartite" and (direction != "out" or self_loops is not None):
        raise ValueError(
            "metric='bipartite' has neither directions nor self loops: leave "
            "direction='out' and self_loops=None."
        )
    if not S.data.any() and features is None and self_loops is None:
        raise ValueError(
            "The graph has no edges: every entry is zero. Pass features, or a "
            "graph with edges."
        )


def checked_keys(node_ids, n, metric):
    """Return the keys of the rows of the projection."""
    if node_ids is None:
        return np.arange(n)
    keys = np.asarray(node_ids)
    if keys.shape != (n,) or keys.dtype.kind not in "iu":
        raise ValueError(
            f"node_ids must be {n} integers, got an array of shape "
            f"{keys.shape} and dtype {keys.dtype}."
        )
    if len(np.unique(keys)) < n:
        raise ValueError(
            "node_ids must be distinct: equal ids would give equal rows of the "
            "projection."
        )
    keys = keys.astype(np.int64)
    if metric == "bipartite" and keys.min() < 0:
        raise ValueError(
            "node_ids must not be negative with metric='bipartite', whose "
            "columns have the negative ids."
        )
    return keys


def checked_features(features, n, property_ratio):
    """Return the properties of n nodes, or None."""
    if features is None:
        if property_ratio > 0:
            raise ValueError(
                f"property_ratio={property_ratio} needs features: pass them "
                "to fit, or set property_ratio=0."
            )
        return None
    features = check_array(
        features, accept_sparse="csr", dtype=[np.float64, np.float32]
    )
    if features.shape[0] != n:
        raise ValueError(
            f"features must have one row a node: {features.shape[0]} rows against "
            f"{n} nodes."
        )
    if property_ratio == 0:
        raise ValueError(
            "features were passed, but property_ratio=0 leaves no components for "
            "them. Set property_ratio above 0."
        )
    return features


def checked_out(out, shape, dtype):
    """Return the array to write the embedding to, of zeros."""
    if out is None:
        return np.zeros(shape, dtype)
    if (
        not isinstance(out, np.ndarray)
        or out.shape != shape
        or out.dtype != dtype
        or not (out.flags.c_contiguous and out.flags.writeable)
    ):
        raise ValueError(
            f"out must be a writable C-ordered {dtype} array of shape {shape}, got "
            f"{getattr(out, 'dtype', type(out))} {getattr(out, 'shape', '')}."
        )
    out[:] = 0
    return out


def refuse_negative(S):
    """Raise ValueError if an entry of a sparse matrix is negative."""
    if S.nnz and S.data.min() < 0:
        raise ValueError(
            "Negative values in data passed to FastRP: the degrees by which neighbors "
            f"are averaged need non-negative weights, the smallest is {S.data.min()}."
        )
