"""Means and costs of partitions, and rows that are one and the same."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import row_norms

from sparsestat._utils.results import users_stacklevel
from sparsestat.cluster._data import slices_of
from sparsestat.exceptions import ConvergenceWarning

__all__ = [
    "cost_about",
    "equal_rows",
    "few_distinct_rows",
    "means_of",
    "warn_of_few_points",
]

_DIFFERENCES = 10**8  # entries that are written out, by blocks, to price a partition


def few_distinct_rows(X, n_clusters):
    """Return which distinct row each row is if there are fewer than clusters.

    None if there are enough. Rows are equal if they are so bit by bit, but for the
    sign of zeros. Warns, in the words of every clusterer here.
    """
    seen, labels = {}, np.empty(X.shape[0], dtype=np.int64)
    if sparse.issparse(X):
        X = sparse.csr_array(X, copy=True)
        X.sum_duplicates()
        X.eliminate_zeros()
        ends = X.indptr
    for i in range(X.shape[0]):
        if sparse.issparse(X):
            part = slice(ends[i], ends[i + 1])
            key = X.indices[part].tobytes(), X.data[part].tobytes()
        else:
            key = (X[i] + 0.0).tobytes()
        labels[i] = seen.setdefault(key, len(seen))
        if len(seen) == n_clusters:
            return None
    warn_of_few_points(len(seen), n_clusters)
    return labels


def warn_of_few_points(n_distinct, n_clusters):
    """Say that there are fewer distinct points than clusters."""
    warnings.warn(
        f"Number of distinct points ({n_distinct}) found smaller than n_clusters "
        f"({n_clusters}). Possibly due to duplicate points in X.",
        ConvergenceWarning,
        stacklevel=users_stacklevel(),
    )


def _indicator(labels, weights, n_clusters):
    n = len(labels)
    return sparse.csr_array((weights, labels, np.arange(n + 1)), shape=(n, n_clusters))


def means_of(rows, labels, weights, n_clusters):
    """Return the weighted means of clusters, none of them empty, as a dense array."""
    sizes = np.bincount(labels, weights, minlength=n_clusters)
    sums = _indicator(labels, weights, n_clusters).T @ rows
    sums = sums.toarray() if sparse.issparse(sums) else sums
    return sums / sizes[:, None]


def equal_rows(rows, index):
    """Return which rows are one of them, bit by bit."""
    if not sparse.issparse(rows):
        return (rows == rows[index]).all(axis=1)
    apart = rows - rows[np.full(rows.shape[0], index)]
    return np.asarray(abs(apart).sum(axis=1)).ravel() == 0.0


def cost_about(rows, labels, weights, centers):
    """Return the weighted sum of squared distances to the own center."""
    n, d = rows.shape
    if sparse.issparse(rows) and n * d > _DIFFERENCES:
        own = np.einsum("ij,ij->i", centers, centers)[labels]
        cross = np.asarray(rows @ centers.T)[np.arange(n), labels]
        distance = row_norms(rows, squared=True) - 2.0 * cross + own
        return float(weights @ np.maximum(distance, 0.0))
    total = 0.0
    for part in slices_of(rows.shape):
        block = rows[part]
        block = block.toarray() if sparse.issparse(block) else block
        total += float(weights[part] @ np.square(block - centers[labels[part]]).sum(1))
    return total
