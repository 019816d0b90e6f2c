"""Clusters with known labels: subspaces, separated and heterogeneous mixtures."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from sparsestat._utils.compat import Interval, StrOptions, validate_params

__all__ = ["make_gaussian_clusters", "make_subspaces"]

_POSITIVE = [Interval(Integral, 1, None, closed="left")]


@validate_params(
    {
        "n_samples": _POSITIVE,
        "n_features": _POSITIVE,
        "n_subspaces": _POSITIVE,
        "dimension": _POSITIVE,
        "noise": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_subspaces(
    n_samples=300,
    n_features=9,
    n_subspaces=5,
    dimension=6,
    *,
    noise=0.0,
    random_state=None,
):
    """Draw unit vectors near random linear subspaces.

    Parameters
    ----------
    n_samples : int, default=300
        Number of rows, equally many near each subspace up to one.
    n_features : int, default=9
        Dimension of the space.
    n_subspaces : int, default=5
        Number of subspaces, uniformly distributed.
    dimension : int, default=6
        Their dimension. When dimensions add up to more than `n_features`, subspaces
        intersect.
    noise : float, default=0.0
        Typical norm of the Gaussian noise added to each row of norm one, before the
        rows are scaled to norm one again.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output across calls.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Rows of norm one.
    y : ndarray of shape (n_samples,)
        Subspace of each row.

    Raises
    ------
    ValueError
        If `dimension` is larger than `n_features`.

    See Also
    --------
    make_gaussian_clusters : Clusters around points.

    Examples
    --------
    >>> from sparsestat.datasets import make_subspaces
    >>> X, y = make_subspaces(100, 6, 2, 3, random_state=0)
    >>> X.shape, y.tolist().count(1)
    ((100, 6), 50)
    """
    if dimension > n_features:
        raise ValueError(
            f"dimension={dimension} must be at most n_features={n_features}."
        )
    rng = check_random_state(random_state)
    y = np.sort(np.arange(n_samples) % n_subspaces)
    X = np.empty((n_samples, n_features))
    for k in range(n_subspaces):
        basis, _ = np.linalg.qr(rng.standard_normal((n_features, dimension)))
        rows = np.flatnonzero(y == k)
        codes = rng.standard_normal((len(rows), dimension))
        X[rows] = codes / np.linalg.norm(codes, axis=1)[:, None] @ basis.T
    if noise > 0:
        X += noise / np.sqrt(n_features) * rng.standard_normal(X.shape)
    return X / np.linalg.norm(X, axis=1)[:, None], y


@validate_params(
    {
        "n_samples": _POSITIVE,
        "n_features": _POSITIVE,
        "n_clusters": _POSITIVE,
        "separation": [Interval(Real, 0, None, closed="left")],
        "covariance": [StrOptions({"spherical", "heterogeneous"})],
        "weights": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_gaussian_clusters(
    n_samples=400,
    n_features=10,
    n_clusters=4,
    *,
    separation=6.0,
    covariance="spherical",
    weights=None,
    random_state=None,
):
    """Draw a Gaussian mixture whose centers are equally far from one another.

    Centers are ``separation / sqrt(2)`` times the first unit vectors, so that any two
    are `separation` apart, in standard deviations of the noise if that is spherical.

    Parameters
    ----------
    n_samples : int, default=400
        Number of rows.
    n_features : int, default=10
        Dimension, at least `n_clusters`.
    n_clusters : int, default=4
        Number of clusters.
    separation : float, default=6.0
        Distance between centers.
    covariance : {"spherical", "heterogeneous"}, default="spherical"
        Identity; or for each cluster another random rotation of a diagonal matrix
        with entries 9, 6, 1, 0.3, 0.3, 0.2, repeated as needed.
    weights : array-like of shape (n_clusters,), default=None
        Shares of the rows, rounded; None means equal ones.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output across calls.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Rows.
    y : ndarray of shape (n_samples,)
        Cluster of each row, in order.

    Raises
    ------
    ValueError
        If there are more clusters than features, or weights are negative or of the
        wrong length.

    See Also
    --------
    make_subspaces : Clusters near subspaces.

    Examples
    --------
    >>> from sparsestat.datasets import make_gaussian_clusters
    >>> X, y = make_gaussian_clusters(10, 5, 2, weights=[0.8, 0.2], random_state=0)
    >>> X.shape, y.tolist()
    ((10, 5), [0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    """
    if n_clusters > n_features:
        raise ValueError(
            f"n_clusters={n_clusters} must be at most n_features={n_features}: centers "
            "stand on different axes."
        )
    rng = check_random_state(random_state)
    shares = np.ones(n_clusters) if weights is None else np.asarray(weights, float)
    if shares.shape != (n_clusters,) or (shares < 0).any() or not shares.sum() > 0:
        raise ValueError(
            f"weights must be {n_clusters} non-negative numbers, not all zero, got "
            f"{weights!r}."
        )
    stops = np.round(np.cumsum(shares) / shares.sum() * n_samples).astype(int)
    y = np.searchsorted(stops, np.arange(n_samples), side="right")
    X = rng.standard_normal((n_samples, n_features))
    if covariance == "heterogeneous":
        roots = np.sqrt(np.resize([9.0, 6.0, 1.0, 0.3, 0.3, 0.2], n_features))
        for k in range(n_clusters):
            Q, _ = np.linalg.qr(rng.standard_normal((n_features, n_features)))
            X[y == k] = (X[y == k] * roots) @ Q.T
    X[np.arange(n_samples), y] += separation / np.sqrt(2.0)
    return X, y
