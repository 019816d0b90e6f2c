r"""Coding rate of a partition and its descent.

.. math:: R_c(\Pi) = \sum_j \frac{\tau_j}{2n} \log\det M_j, \quad
   M_j = I + \frac{d}{\tau_j \varepsilon^2} X^T \mathrm{diag}(\pi_j) X

The rate is concave in the memberships, so that its linearization lies above it and
moving each row to the group of least slope never raises it.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.linalg.blas import dtrsm
from scipy.special import softmax

from sparsestat._utils.arithmetic import rounding
from sparsestat.cluster._assignment import bounded_assignment, check_sizes

__all__ = [
    "RateDescent",
    "anneal",
    "batches",
    "coding_rate",
    "descend",
    "group_factors",
    "rate_slopes",
    "slopes_of",
]

_COOLING, _COLDEST = 0.8, 0.05
_SURE = 1e-3  # what colder memberships do not change any more
_TOGETHER = 2**22  # numbers in the arrays that anneal several starts at once


def coding_rate(X, eps):
    """Return ``1/2 logdet(I + d/(n eps^2) X'X)``."""
    n, d = X.shape
    gram = X.T @ X if n >= d else X @ X.T
    gram *= d / (n * eps**2)
    gram[np.diag_indices_from(gram)] += 1.0
    return float(np.log(np.diag(_cholesky(gram))).sum())


def _factor(B, scale):
    """Return the Cholesky factor of I + scale * B'B, on the shorter side."""
    gram = B.T @ B if len(B) >= B.shape[1] else B @ B.T
    gram *= scale
    gram[np.diag_indices_from(gram)] += 1.0
    return _cholesky(gram)


def _cholesky(gram):
    """Return the lower Cholesky factor of the identity plus a Gram matrix, or many."""
    try:
        if gram.ndim == 2:
            return linalg.cholesky(gram, lower=True, check_finite=False)
        return np.linalg.cholesky(gram)
    except linalg.LinAlgError:
        # Beside huge rows the identity is lost in rounding, but no eigenvalue of
        # the true matrix is below 1.
        values, vectors = np.linalg.eigh(gram)
        root = vectors * np.sqrt(np.maximum(values, 1.0))[..., None, :]
        R = np.linalg.qr(np.swapaxes(root, -1, -2), mode="r")
        signs = np.sign(np.diagonal(R, axis1=-2, axis2=-1))
        L = np.swapaxes(R * signs[..., :, None], -1, -2)
        return np.asfortranarray(L) if L.ndim == 2 else L


def _inverse_trace(L):
    """Return the trace of (L L')^-1, the squared norm of L^-1."""
    half = dtrsm(1.0, L, np.eye(len(L), order="F"), lower=1, overwrite_b=1)
    return float(np.vdot(half, half))


def rate_slopes(X, memberships, n_clusters, eps):
    """Return slopes of 2 n R_c with respect to the memberships, and R_c.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows, usually of norm one.
    memberships : ndarray
        Labels of shape (n,), or weights of shape (n, n_clusters).
    n_clusters : int
        Number of groups.
    eps : float
        Distortion.

    Returns
    -------
    slopes : ndarray of shape (n, n_clusters)
    rate : float
    """
    n, d = X.shape
    c = d / eps**2
    slopes = np.empty((n, n_clusters))
    norms = np.einsum("nd,nd->n", X, X)
    rate = 0.0
    hard = memberships.ndim == 1
    if hard:
        order = np.argsort(memberships, kind="stable")
        stops = np.searchsorted(memberships[order], np.arange(n_clusters + 1))
    for j in range(n_clusters):
        if hard:
            B = X[order[stops[j] : stops[j + 1]]]
            tau = float(len(B))
        else:
            part = np.flatnonzero(memberships[:, j] > 0)
            weights = memberships[part, j]
            B = X[part] * np.sqrt(weights)[:, None]
            tau = float(weights.sum())
        if tau <= 0:
            slopes[:, j] = c * norms  # an empty group codes with M = I
            continue
        L = _factor(B, c / tau)
        log_det = 2.0 * float(np.log(np.diag(L)).sum())
        trace = _inverse_trace(L)
        if len(B) >= d:
            Y = dtrsm(1.0, L, X.T, lower=1)
            quadratic = np.einsum("dn,dn->n", Y, Y)
        else:
            # M^-1 = I - (c/tau) B' (L L')^-1 B
            Y = dtrsm(1.0, L, (X @ B.T).T, lower=1)
            quadratic = norms - (c / tau) * np.einsum("dn,dn->n", Y, Y)
            np.maximum(quadratic, 0.0, out=quadratic)
            trace += d - len(B)
        slopes[:, j] = c * quadratic + (log_det + trace - d)
        rate += tau * log_det / (2.0 * n)
    return slopes, rate


def group_factors(X, labels, n_clusters, eps):
    """Return Cholesky factors (K, d, d) of all M_j and the constants of the slopes."""
    d = X.shape[1]
    c = d / eps**2
    factors = np.empty((n_clusters, d, d))
    offsets = np.zeros(n_clusters)
    for j in range(n_clusters):
        B = X[labels == j]
        M = (c / max(len(B), 1)) * (B.T @ B)
        M[np.diag_indices(d)] += 1.0
        L = _cholesky(M)
        factors[j] = L
        offsets[j] = 2.0 * np.log(np.diag(L)).sum() + _inverse_trace(L) - d
    return factors, offsets


def slopes_of(X, factors, offsets, eps):
    """Return the slopes of rows X for factors kept from a fit."""
    c = X.shape[1] / eps**2
    out = np.empty((len(X), len(factors)))
    for j, L in enumerate(factors):
        Y = dtrsm(1.0, np.asfortranarray(L), X.T, lower=1)
        out[:, j] = c * np.einsum("dn,dn->n", Y, Y) + offsets[j]
    return out


@dataclass
class RateDescent:
    """Where a descent ended."""

    labels: np.ndarray
    rate: float
    history: list
    change: float


def anneal(X, starts, n_clusters, eps, temperature):
    """Lower the rate over soft memberships at falling temperature, for each start.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows.
    starts : list of ndarray of shape (n,)
        Labels to start from.
    n_clusters, eps : int, float
        Number of groups and distortion.
    temperature : float
        First softmax temperature, in nats.

    Returns
    -------
    labels : list of ndarray of shape (n,)
        Groups of least slope in the end.
    """
    if len(starts) == 1:
        return [_anneal_one(X, starts[0], n_clusters, eps, temperature)]
    return list(_anneal_many(X, np.array(starts), n_clusters, eps, temperature))


def batches(starts, X, n_clusters):
    """Group starts that are best annealed at once: many, where they are small."""
    n, d = X.shape
    at_once = max(1, _TOGETHER // (n * d * max(d, n_clusters)))
    return [starts[i : i + at_once] for i in range(0, len(starts), at_once)]


def _anneal_one(X, labels, n_clusters, eps, temperature):
    slopes, _ = rate_slopes(X, labels, n_clusters, eps)
    while temperature > _COLDEST:
        soft = softmax(-slopes / temperature, axis=1)
        before, labels = labels, soft.argmax(axis=1)
        if soft.max(axis=1).min() >= 1 - _SURE and np.array_equal(before, labels):
            return labels
        soft[soft < 1e-12] = 0.0
        slopes, _ = rate_slopes(X, soft, n_clusters, eps)
        temperature *= _COOLING
    return slopes.argmin(axis=1)


def _anneal_many(X, starts, n_clusters, eps, temperature):
    """Anneal a few starts at once on rows that are few and short."""
    n, d = X.shape
    products = (X[:, :, None] * X[:, None, :]).reshape(n, d * d)
    norms = np.einsum("nd,nd->n", X, X)
    labels, out = starts.copy(), starts.copy()
    running = np.arange(len(starts))
    soft = (np.arange(n_clusters)[:, None] == starts[:, None]).astype(float)
    while True:
        slopes = _many_slopes(X, products, norms, soft, eps)
        if temperature <= _COLDEST:
            out[running] = slopes.argmin(axis=1)
            return out
        slopes -= slopes.min(axis=1, keepdims=True)
        slopes /= -temperature
        soft = np.exp(slopes, out=slopes)
        soft /= soft.sum(axis=1, keepdims=True)
        before, labels = labels, soft.argmax(axis=1)
        done = soft.max(axis=1).min(axis=1) >= 1 - _SURE
        done &= (before == labels).all(axis=1)
        if done.any():
            out[running[done]] = labels[done]
            running, labels, soft = running[~done], labels[~done], soft[~done]
            if not len(running):
                return out
        soft[soft < 1e-12] = 0.0
        temperature *= _COOLING


def _many_slopes(X, products, norms, soft, eps):
    """Return slopes for memberships of shape (n_starts, n_clusters, n_rows)."""
    d = X.shape[1]
    c = d / eps**2
    many, diagonal = soft.shape[:2], np.arange(d)
    tau = soft.sum(axis=2)
    scale = np.divide(c, tau, out=np.zeros(many), where=tau > 0)
    M = (soft.reshape(-1, len(X)) @ products).reshape(*many, d, d)
    M *= scale[:, :, None, None]
    M[:, :, diagonal, diagonal] += 1.0
    L = _cholesky(M)
    half = np.linalg.solve(L, np.eye(d))  # triangular, condition <= 1 + c
    offsets = 2.0 * np.log(L[:, :, diagonal, diagonal]).sum(axis=2)
    offsets += np.square(half).sum(axis=(2, 3)) - d
    Y = half.reshape(-1, d) @ X.T
    np.square(Y, out=Y)
    slopes = Y.reshape(*many, d, len(X)).sum(axis=2)
    slopes *= c
    slopes += offsets[:, :, None]
    slopes[tau <= 0] = c * norms  # an empty group codes with M = I
    return slopes


def descend(X, labels, n_clusters, eps, max_iter, tol, balanced):
    """Move rows to the groups of least slope until none moves.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows.
    labels : ndarray of shape (n,)
        Start.
    n_clusters, eps : int, float
        Number of groups and distortion.
    max_iter, tol : int, float
        Largest number of sweeps; least relative fall of the rate.
    balanced : bool
        Keep group sizes equal up to one.

    Returns
    -------
    found : RateDescent
    """
    prices = None
    if balanced:
        sizes = check_sizes(None, None, n_clusters, len(X))
    slopes, rate = rate_slopes(X, labels, n_clusters, eps)
    history, change = [rate], np.inf
    for it in range(max_iter):
        if balanced:
            found = bounded_assignment(slopes, *sizes, prices, prove=False)
            moved, prices = found.labels, found.prices
        else:
            moved = slopes.argmin(axis=1)
        if np.array_equal(moved, labels):
            change = 0.0
            break
        slopes, after = rate_slopes(X, moved, n_clusters, eps)
        if balanced and it == 0:
            history = [np.inf]  # the start may have had any sizes
        fall = history[-1] - after
        if fall <= 0:  # keep what is there; more than a tie to rounding is a change
            tied = -fall <= rounding(X.size, max(1.0, history[-1]))
            change = 0.0 if tied else -fall / abs(after)
            break
        labels = moved
        history.append(after)
        change = fall / abs(after) if after != 0 else 0.0
        if change <= tol:
            break
    history = [r for r in history if np.isfinite(r)]
    return RateDescent(labels, float(history[-1]), history, float(change))
