r"""What a server computes from privatized moments and gradients.

Everything here sees messages alone, so that it costs no privacy.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
from scipy import linalg

__all__ = ["gradient_step", "moment_estimate", "project"]

# Eigenvalues of the noisy covariance are lifted to a share of their mean; the
# threshold counts on a larger share.
FLOOR, CURVATURE = 0.1, 0.7


def largest(values, k):
    """Return the indices of the k largest absolute values, ties by position."""
    return np.sort(np.argsort(-np.abs(values), kind="stable")[:k])


def moment_estimate(S, b, deviation_S, deviation_b, n_nonzero=None, *, exact_S=False):
    r"""Return sparse coefficients from a noisy covariance and a noisy x'y / n.

    The eigenvalues of the covariance are lifted to f = max(s sqrt(d), 0.1 v), with s
    its noise and v its mean eigenvalue, and the system is solved. Then either entries
    are soft-thresholded, or the `n_nonzero` largest are fitted again by themselves.

    Parameters
    ----------
    S : ndarray of shape (n_features, n_features)
        Covariance, perhaps noisy and indefinite.
    b : ndarray of shape (n_features,)
        Mean of x y.
    deviation_S, deviation_b : float
        Noise of an off-diagonal entry of S, and of an entry of b.
    n_nonzero : int, default=None
        Nonzero coefficients to keep; None thresholds.
    exact_S : bool, default=False
        Whether S is public: the threshold then uses its least eigenvalue.

    Returns
    -------
    coef : ndarray of shape (n_features,)
        Coefficients.
    """
    d = len(b)
    values, vectors = linalg.eigh(S)
    mean = max(values.mean(), 0.0)
    floor = max(deviation_S * math.sqrt(d), FLOOR * mean)
    coef = np.zeros(d)
    if floor == 0.0:  # a public covariance of zeros
        return coef
    lifted = np.maximum(values, floor)
    raw = vectors @ ((vectors.T @ b) / lifted)
    if n_nonzero is None:
        curvature = lifted[0] if exact_S else max(floor, CURVATURE * mean)
        threshold = deviation_b / curvature * math.sqrt(2.0 * math.log(max(d, 2)))
        return np.sign(raw) * np.maximum(np.abs(raw) - threshold, 0.0)
    kept = largest(raw, n_nonzero)
    part = (vectors[kept] * lifted) @ vectors[kept].T
    coef[kept] = linalg.cho_solve(linalg.cho_factor(part), b[kept])
    return coef


def gradient_step(coef, gradient, *, step, n_keep, coef_bound):
    """Return the next iterate: a step, the largest entries, within the ball."""
    moved = coef - step * gradient
    kept = largest(moved, n_keep)
    found = np.zeros_like(moved)
    found[kept] = moved[kept]
    return project(found, coef_bound)


def project(coef, bound):
    """Return the nearest point of the ball of radius `bound`."""
    norm = np.linalg.norm(coef)
    return coef * (bound / norm) if norm > bound else coef
