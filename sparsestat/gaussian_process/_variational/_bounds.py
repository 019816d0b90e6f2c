"""The variational bound of a process with one of scikit-learn's kernels, and gradients.

The distribution of the inducing variables is the best one for every kernel and every
set of points, so that the gradient in those is the partial one. Rows pass by in blocks;
their whitened features are kept.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np

from sparsestat.gaussian_process._kernel._covariances import (
    cross,
    cross_backward,
    diagonal,
    diagonal_backward,
    scaled_cross,
)
from sparsestat.gaussian_process._kernel._inducing import jittered_cholesky
from sparsestat.gaussian_process._variational._layers import cholesky_back, solve_lower
from sparsestat.gaussian_process._variational._svgp import (
    Marginals,
    Posterior,
    bound,
    natural_step,
    settle,
)

__all__ = ["VariationalState", "features", "variational_bound"]

_BLOCK = 100_000  # entries of a block of covariances


@dataclass
class VariationalState:
    """A bound, its gradients and what predictions need.

    Parameters
    ----------
    value : float
        The bound.
    gradient : ndarray
        With respect to ``kernel.theta``.
    Z_gradient : ndarray of shape (m, n_features)
        With respect to the points.
    L : ndarray of shape (m, m)
        Cholesky factor of the jittered covariance of the points.
    posterior : Posterior
        Of the whitened inducing variables.
    unsettled : float
        Length of the last step of the distribution, in its own metric.
    seen : Marginals
        Of the data.
    """

    value: float
    gradient: np.ndarray
    Z_gradient: np.ndarray
    L: np.ndarray
    posterior: Posterior
    unsettled: float
    seen: Marginals


def features(kernel, Z, L, X):
    """Return the whitened features of points, and their prior variances."""
    return solve_lower(L, cross(kernel, Z, X)), diagonal(kernel, X)


def variational_bound(
    kernel, Z, X, Y, likelihood, posterior, *, jitter, step=None, scale=1.0
):
    """Evaluate the bound and its gradients.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        Without white noise.
    Z : ndarray of shape (m, n_features)
        Inducing points.
    X : ndarray of shape (n, n_features)
        Data.
    Y : ndarray of shape (n, n_outputs)
        Targets as the likelihood takes them.
    likelihood : object
        Of :mod:`sparsestat.gaussian_process._variational._likelihoods`.
    posterior : Posterior
        Of the inducing variables, to start from.
    jitter : float
        Added to the diagonal of the covariance of the points, relative to its mean.
    step : float, default=None
        Length of one natural-gradient step. None goes on until the bound is largest.
    scale : float, default=1.0
        Samples that one of these stands for.

    Returns
    -------
    state : VariationalState
        At the distribution found.
    """
    m, n = len(Z), len(X)
    scale_mm, K_mm, saved_mm = scaled_cross(kernel, Z, Z)
    L, jitter = jittered_cholesky(scale_mm * K_mm, jitter)
    rows_of = [
        slice(s, s + max(1, _BLOCK // m)) for s in range(0, n, max(1, _BLOCK // m))
    ]
    A, kept = np.empty((m, n)), []
    for rows in rows_of:
        factor, K, saved = scaled_cross(kernel, Z, X[rows])
        kept.append(saved)
        A[:, rows] = solve_lower(L, factor * K)
    k = diagonal(kernel, X)
    seen, far = None, 0.0
    if step is None:
        posterior, seen, far = settle(likelihood, posterior, A, k, Y)
    else:
        posterior = natural_step(likelihood, posterior, A, k, Y, step=step, scale=scale)
    value, A_bar, k_bar, seen = bound(
        likelihood, posterior, A, k, Y, scale=scale, seen=seen
    )
    theta_bar = diagonal_backward(kernel, X, k_bar)
    Z_bar = np.zeros(Z.shape)
    K_bar = solve_lower(L, A_bar, transposed=True)
    for rows, saved in zip(rows_of, kept, strict=True):
        part, points = cross_backward(
            kernel, saved, np.ascontiguousarray(K_bar[:, rows]), want_x=True
        )
        theta_bar += part
        Z_bar += points
    mm_bar = cholesky_back(L, -K_bar @ A.T)
    mm_bar.flat[:: m + 1] += jitter * np.trace(mm_bar) / m
    part, points = cross_backward(kernel, saved_mm, mm_bar, want_x=True)
    theta_bar += part
    Z_bar += 2.0 * points  # both arguments move
    unsettled = float(np.sqrt(far))
    return VariationalState(value, theta_bar, Z_bar, L, posterior, unsettled, seen)
