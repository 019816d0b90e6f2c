"""The variational bound of a process whose noise has heavy tails, and its gradients."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.spatial import cKDTree

from sparsestat.gaussian_process._kernel._covariances import noise_variance
from sparsestat.gaussian_process._kernel._starts import feature_units
from sparsestat.gaussian_process._variational._bounds import variational_bound
from sparsestat.gaussian_process._variational._likelihoods import StudentT

__all__ = ["heavy_bound", "typical_targets"]

_NEAR = 7  # rows whose median is taken


def typical_targets(X, y):
    """Return targets without outliers, and the variance of the noise about them.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Data.
    y : ndarray of shape (n, 1)
        Targets.

    Returns
    -------
    typical : ndarray of shape (n, 1)
        Medians over rows next to each other.
    noise : float
        Square of the scaled median of what is left.
    """
    U = X / feature_units(X)
    near = cKDTree(U).query(U, min(_NEAR, len(X)))[1].reshape(len(X), -1)
    typical = np.median(y[near, 0], axis=1)[:, None]
    return typical, float((1.4826 * np.median(np.abs(y - typical))) ** 2)


def heavy_bound(kernel, Z, X, y, posterior, *, degrees, jitter, weights=1.0):
    """Evaluate the bound at the best distribution of the inducing variables.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        Its white noise is the square of the scale of Student's distribution.
    Z : ndarray of shape (m, n_features)
        Inducing points.
    X : ndarray of shape (n, n_features)
        Data.
    y : ndarray of shape (n, 1)
        Targets.
    posterior : Posterior
        Of the inducing variables, to start from.
    degrees : float
        Degrees of freedom.
    jitter : float
        Added to the diagonal of the covariance of the points, relative to its mean.
    weights : ndarray of shape (n,) or float, default=1.0
        How many observations a row stands for.

    Returns
    -------
    state : VariationalState
        Its gradient includes that in the scale.
    """
    square, slopes = noise_variance(kernel, X.shape[1])
    if not square > 0:
        raise np.linalg.LinAlgError("The scale of the noise is zero.")
    noise = StudentT(float(np.sqrt(square)), degrees, weights)
    state = variational_bound(kernel, Z, X, y, noise, posterior, jitter=jitter)
    seen = state.seen
    # The distribution is the best one: what moves with the scale is the noise alone.
    slope = noise.scale_slope(y, seen.mean, seen.variance)
    state.gradient = state.gradient + (0.5 * slope / square) * slopes
    return state
