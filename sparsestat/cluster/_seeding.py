"""K-means starts and Lloyd's iteration, the same for weights and for repetition."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin_min
from sklearn.utils.extmath import row_norms

from sparsestat.exceptions import ConvergenceWarning

__all__ = ["drawing_order", "kmeans_plusplus", "lloyd"]

_SORT_UNTIL = 50_000  # rows
_SORT_DENSE_UNTIL = 1_000_000  # entries of a small sparse matrix, written out


def drawing_order(X):
    """Return an order of the rows that does not depend on how they were given.

    Drawing along it makes repeated rows and weighted ones meet the same random
    numbers. Sorting large data costs more than a start, so these keep their order.
    """
    n, d = X.shape
    if n > _SORT_UNTIL or (sparse.issparse(X) and n * d > _SORT_DENSE_UNTIL):
        return np.arange(n)
    columns = X.toarray() if sparse.issparse(X) else X
    return np.lexsort(columns.T[::-1])


def kmeans_plusplus(X, n_clusters, rng, sample_weight=None, *, order=None):
    """Draw centers far from one another, the best of a few candidates each time.

    Parameters
    ----------
    X : {ndarray, csr matrix} of shape (n_samples, n_features)
        Points in double precision, best centered.
    n_clusters : int
        Number of centers.
    rng : RandomState
        Source of randomness.
    sample_weight : ndarray of shape (n_samples,), default=None
        Non-negative weights.
    order : ndarray of shape (n_samples,), default=None
        What :func:`drawing_order` said, where there is more than one start.

    Returns
    -------
    indices : ndarray of at most `n_clusters` integers
        Rows that became centers; fewer when there are not as many distinct points.
    """
    n = X.shape[0]
    weights = np.ones(n) if sample_weight is None else sample_weight
    order = drawing_order(X) if order is None else order
    squares = row_norms(X, squared=True)
    n_trials = 2 + int(np.log(n_clusters))

    def draw(mass, count):
        cumulative = np.cumsum(mass[order])
        picks = rng.uniform(size=count) * cumulative[-1]
        places = np.searchsorted(cumulative, picks, side="right")
        # The last place with mass, where rounding pushed a pick past the end.
        last = int(np.searchsorted(cumulative, cumulative[-1], side="left"))
        return order[np.minimum(places, last)]

    def distances(rows):
        cross = X @ X[rows].T
        cross = cross.toarray() if sparse.issparse(cross) else cross
        both = squares[:, None] + squares[rows]
        out = np.maximum(both - 2.0 * cross, 0.0)
        # What cancels is summed from differences: equal points are those that are.
        for j, row in enumerate(rows):
            near = np.flatnonzero(out[:, j] <= 1e-6 * both[:, j])
            apart = X[near] - X[np.full(len(near), row)]
            out[near, j] = row_norms(apart, squared=True)
        return out

    chosen = [int(draw(weights, 1)[0])]
    closest = distances(chosen)[:, 0]
    while len(chosen) < n_clusters:
        mass = weights * closest
        if not mass.sum() > 0:
            break
        candidates = draw(mass, n_trials)
        trial = np.minimum(closest[:, None], distances(candidates))
        best = int(np.argmin(weights @ trial))
        chosen.append(int(candidates[best]))
        closest = trial[:, best]
    return np.array(chosen)


def lloyd(X, centers, sample_weight=None, *, max_iter=300):
    """Run Lloyd's iteration from given centers to its fixed point.

    Returns
    -------
    labels : ndarray of shape (n_samples,)
        Assignment.
    centers : ndarray of shape (n_clusters, n_features)
        Means of the clusters.
    cost : float
        Weighted sum of squared distances to the means.
    """
    if len(centers) == 1:
        weights = np.ones(X.shape[0]) if sample_weight is None else sample_weight
        mean = np.asarray(X.T @ weights).reshape(1, -1) / weights.sum()
        labels, distance = pairwise_distances_argmin_min(
            X, mean, metric="euclidean", metric_kwargs={"squared": True}
        )
        return labels.astype(np.int64), mean, float(weights @ distance)
    model = KMeans(len(centers), init=centers, n_init=1, tol=0.0, max_iter=max_iter)
    with warnings.catch_warnings():
        # Fewer distinct points than centers: the caller says so in its own words.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, sample_weight=sample_weight)
    return model.labels_.astype(np.int64), model.cluster_centers_, model.inertia_
