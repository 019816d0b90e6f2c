r"""Two relatives of the coding rate of a partition.

With a doubly stochastic affinity :math:`\Gamma` in place of a partition every sample
leads a group of its own, whose members are the samples close to it,

.. math:: F(\Gamma) = \frac{1}{2n} \sum_j \log\det\Bigl(I + \frac{d}{\varepsilon^2}
   X^T \mathrm{diag}(\Gamma_j) X\Bigr) + \frac{\eta}{n} \sum_{ij} \Gamma_{ij}
   \log \Gamma_{ij}.

With a linear map :math:`W` the rows are coded after projection, and the map maximizes
the difference between the rate of all rows and that of the groups.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.linalg.blas import dtrsm

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.transport import doubly_stochastic

__all__ = [
    "AffinityDescent",
    "affinity_rate",
    "ascend_map",
    "cosine_affinity",
    "descend_affinity",
    "first_map",
    "mapped_rows",
    "rate_reduction",
]

_SHARPNESS = 0.1  # eta of the kernel exp((x_i . x_j)^2 / eta)
_MAP_STEPS = 3  # between two partitions: more would tie the map to a bad one


def cosine_affinity(X, tol=1e-4):
    """Return the doubly stochastic kernel of squared cosines of the rows."""
    scale = np.einsum("nd,nd->n", X, X).max()
    cosines = X @ X.T / (scale if scale > 0 else 1.0)
    return _scaled(-(cosines**2), _SHARPNESS, tol)


def _scaled(costs, strength, tol):
    with warnings.catch_warnings():
        # The next step starts afresh: one need not be scaled to the last digit.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return doubly_stochastic(costs, reg=strength, zero_diagonal=True, tol=tol)[0]


@dataclass
class AffinityDescent:
    """Where the descent of an affinity ended."""

    affinity: np.ndarray
    history: list
    change: float


def affinity_rate(X, affinity, eps, entropy):
    """Return F of a symmetric affinity and n times its gradient without entropy.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows.
    affinity : ndarray of shape (n, n)
        Symmetric with row sums 1.
    eps, entropy : float
        Distortion and weight of the entropy.

    Returns
    -------
    rate : float
    slopes : ndarray of shape (n, n)
        Symmetric.
    """
    n, d = X.shape
    c = d / eps**2
    if d > n:  # the same inner products in fewer columns
        X = np.ascontiguousarray(linalg.qr(X.T, mode="r")[0][:n].T)
    diagonal = np.diag_indices(X.shape[1])
    slopes = np.empty((n, n))
    total = 0.0
    columns = np.asfortranarray(X.T)
    for j in range(n):
        B = X * np.sqrt(c * affinity[j])[:, None]
        M = B.T @ B
        M[diagonal] += 1.0
        L = linalg.cholesky(M, lower=True, overwrite_a=True, check_finite=False)
        total += float(np.log(np.diag(L)).sum())
        Y = dtrsm(1.0, L, columns, lower=1)
        slopes[j] = np.einsum("dn,dn->n", Y, Y)
    slopes *= 0.5 * c
    weights = affinity[affinity > 0]
    mixed = float((weights * np.log(weights)).sum())
    return (total + entropy * mixed) / n, 0.5 * (slopes + slopes.T)


def descend_affinity(X, affinity, eps, entropy, max_iter, tol):
    """Lower F by mirror descent.

    The rate is concave in the affinity and the entropy is what the mirror is made of,
    so that the longest step, ``1 / entropy``, minimizes a majorant: F never rises.

    Returns
    -------
    found : AffinityDescent
    """
    rate, slopes = affinity_rate(X, affinity, eps, entropy)
    history, change = [rate], np.inf
    for _ in range(max_iter):
        moved = _scaled(slopes, entropy, 1e-9)
        after, slopes = affinity_rate(X, moved, eps, entropy)
        fall = rate - after
        change = abs(fall) / max(abs(after), np.finfo(float).tiny)
        if fall <= 0:  # rounding, or what scaling left of the row sums
            break
        affinity, rate = moved, after
        history.append(rate)
        if change <= tol:
            break
    return AffinityDescent(affinity, history, float(change))


def first_map(X, n_components):
    """Return the leading right singular vectors of X."""
    return linalg.svd(X, full_matrices=False)[2][:n_components].T.copy()


def mapped_rows(X, W, normalize):
    """Return ``X W``, rows scaled to norm one, and the norms they had."""
    Z = X @ W
    norms = np.ones(len(Z))
    if normalize:
        norms = np.linalg.norm(Z, axis=1)
        norms[norms == 0] = 1.0
        Z /= norms[:, None]
    return Z, norms


def rate_reduction(X, W, labels, n_clusters, eps, normalize):
    """Return ``R - R_c`` of the mapped rows and its gradient with respect to W."""
    Z, norms = mapped_rows(X, W, normalize)
    n, p = Z.shape
    c = p / eps**2
    value, gradient = 0.0, np.empty_like(Z)
    groups = [(slice(None), n, 1.0)]
    groups += [(np.flatnonzero(labels == j), None, -1.0) for j in range(n_clusters)]
    for rows, size, sign in groups:
        B = Z[rows]
        size = len(B) if size is None else size
        if not size:
            continue
        M = (c / size) * (B.T @ B)
        M[np.diag_indices(p)] += 1.0
        factor = linalg.cho_factor(M, lower=True, check_finite=False)
        value += sign * size / n * float(np.log(np.diag(factor[0])).sum())
        part = (c / n) * linalg.cho_solve(factor, B.T, check_finite=False).T
        if sign > 0:
            gradient[:] = part
        else:
            gradient[rows] -= part
    if normalize:
        gradient -= np.einsum("np,np->n", gradient, Z)[:, None] * Z
        gradient /= norms[:, None]
    return value, X.T @ gradient


def ascend_map(X, W, labels, n_clusters, eps, normalize, step):
    """Raise the rate reduction over W with orthonormal columns, by a few steps.

    Returns
    -------
    W : ndarray of shape (d, p)
    value : float
    step : float
        Length to begin with next time.
    """
    value, direction = _climb(X, W, labels, n_clusters, eps, normalize)
    for _ in range(_MAP_STEPS):
        slope = float(np.vdot(direction, direction))
        if slope <= 1e-24:
            break
        for _ in range(40):
            trial = linalg.qr(W + step * direction, mode="economic")[0]
            trial *= np.sign(np.einsum("dp,dp->p", trial, W))  # no column turns over
            reached, other = _climb(X, trial, labels, n_clusters, eps, normalize)
            if reached >= value + 1e-4 * step * slope:
                break
            step *= 0.5
        else:
            break
        moved, turned = trial - W, direction - other
        W, value, direction = trial, reached, other
        # Barzilai and Borwein's step
        curvature = abs(float(np.vdot(moved, turned)))
        step = float(np.vdot(moved, moved)) / curvature if curvature > 0 else step
    return W, value, step


def _climb(X, W, labels, n_clusters, eps, normalize):
    """Return the rate reduction and the part of its gradient along the manifold."""
    value, gradient = rate_reduction(X, W, labels, n_clusters, eps, normalize)
    along = W.T @ gradient
    return value, gradient - 0.5 * W @ (along + along.T)
