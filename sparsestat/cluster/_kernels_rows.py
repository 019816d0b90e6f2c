"""Passes over rows of points that would otherwise need arrays of their size."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat._utils.jit import njit

__all__ = ["centered", "residuals"]


@njit(cache=True, nogil=True)
def centered(X, offset, rest, factors, out):
    """Write ``((x - offset) - rest) * factor`` for each row x and its factor."""
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            out[i, j] = ((X[i, j] - offset[j]) - rest[j]) * factors[i]


@njit(cache=True, nogil=True)
def residuals(rows, labels, root, means, places, out):
    """Write what is left of rows beside their means, cluster after cluster.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
        Points times their entry of root.
    labels : ndarray of shape (n,)
    root : ndarray of shape (n,)
    means : ndarray of shape (n_clusters, d)
    places : ndarray of shape (n_clusters,)
        The row of `out` at which each cluster begins; it moves on.
    out : ndarray of shape (n, d)

    Returns
    -------
    farthest : float
        The largest square of a point.
    """
    farthest = 0.0
    for i in range(rows.shape[0]):
        k = labels[i]
        at = places[k]
        places[k] += 1
        square = 0.0
        for j in range(rows.shape[1]):
            x = rows[i, j]
            square += x * x
            out[at, j] = x - root[i] * means[k, j]
        farthest = max(farthest, square / (root[i] * root[i]))
    return farthest
