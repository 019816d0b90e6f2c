"""Covariances of clusters, from labels, lifted memberships or posteriors."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import linalg
from scipy.special import logsumexp

__all__ = ["covariances_of", "scatter", "soft_labels"]

_MAX_SOFT = 100
_SOFT_TOL = 1e-4  # of the mean log-likelihood, in nats


def scatter(X, labels, k):
    mine = X[labels == k]
    if not len(mine):
        return np.zeros((X.shape[1], X.shape[1]))
    mine = mine - mine.mean(axis=0)
    return mine.T @ mine


def covariances_of(T, labels, n_clusters, result):
    """Return covariances and sizes, soft ones where lifted memberships are known.

    ``T' (diag(Z 1) - Z) T`` is positive semidefinite, for it is the Laplacian of Z.
    """
    d = T.shape[1]
    raw, sizes = np.empty((n_clusters, d, d)), np.empty(n_clusters)
    for k in range(n_clusters):
        hard = np.count_nonzero(labels == k)
        soft = None if result is None else float(result.memberships[:, k].sum())
        if soft is None or abs(soft - hard) > 0.5 * max(hard, 1):
            raw[k], sizes[k] = scatter(T, labels, k) / max(hard, 1), max(hard, 1)
            continue
        w, Z = result.memberships[:, k], result.lifted[k]
        centered = T - (w @ T) / soft
        if result.factored:
            image = Z.T @ centered
            inner = image.T @ image
        else:
            inner = centered.T @ Z @ centered
        raw[k] = (centered.T @ (w[:, None] * centered) - inner) / soft
        sizes[k] = soft
    return raw, sizes


def soft_labels(T, labels, shaped):
    """Run EM for a Gaussian mixture from labels; return the likeliest ones.

    Parameters
    ----------
    T : ndarray of shape (n_samples, d)
        Samples.
    labels : ndarray of shape (n_samples,)
        Start; no cluster may be empty.
    shaped : callable
        Takes T, covariances and sizes; returns Cholesky factors of the regularized
        covariances.
    """
    n, d = T.shape
    K = int(labels.max()) + 1
    weights = np.eye(K)[labels]
    before = -np.inf
    for _ in range(_MAX_SOFT):
        sizes = np.maximum(weights.sum(axis=0), 1e-10)
        raw, means = np.empty((K, d, d)), (weights.T @ T) / sizes[:, None]
        for k in range(K):
            centered = T - means[k]
            raw[k] = centered.T @ (weights[:, k, None] * centered) / sizes[k]
        density = np.empty((n, K))
        for k, L in enumerate(shaped(T, raw, sizes)):
            white = linalg.solve_triangular(L, (T - means[k]).T, lower=True)
            density[:, k] = np.log(sizes[k] / n) - np.log(np.diag(L)).sum()
            density[:, k] -= 0.5 * np.square(white).sum(axis=0)
        total = logsumexp(density, axis=1)
        weights = np.exp(density - total[:, None])
        if total.mean() - before <= _SOFT_TOL:
            break
        before = total.mean()
    return weights.argmax(axis=1)
