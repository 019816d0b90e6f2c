r"""Evidence of a sparse classifier, by Laplace's approximation.

With :math:`w_{nc} \sim N(0, \gamma_n)` for column n and class c, the coefficients are
those of largest posterior density for given variances, and the log evidence is

.. math:: \log p(y \mid \hat w, \hat b) - \tfrac12 \sum_{nc} \hat w_{nc}^2 / \gamma_n
   - \tfrac12 \log |I + \Gamma^{1/2} G\, \Gamma^{1/2}| ,

where G is the curvature of the negative log likelihood at this point, without what the
intercepts take up. As for regression, variances move by what the coefficients say and
by how well the data determine them.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, qr, solve_triangular
from scipy.special import log_expit, log_softmax

from sparsestat.bayes._evidence import GAMMA_FLOOR, variance_step

__all__ = ["LaplaceResult", "maximize_laplace_evidence"]

NEWTON_STEPS = 100
NEWTON_TOL = 1e-15  # of the squared Newton decrement, in nats a unit of weight


class Likelihood:
    """Sums over rows of log probabilities: one column of scores, or one a class.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        Classes as integers from 0.
    n_classes : int
        Two make it binary.
    weights : ndarray of shape (n_samples,)
        Repetitions.
    """

    def __init__(self, codes, n_classes, weights):
        self.weights = weights[:, None]
        self.binary = n_classes == 2
        self.width = 1 if self.binary else n_classes
        self.observed = np.eye(n_classes)[codes][:, 1:] if self.binary else None
        if not self.binary:
            self.observed = np.eye(n_classes)[codes]
        # Intercepts of classes sum to zero: only their differences matter.
        self.contrasts = np.ones((1, 1))
        if not self.binary:
            self.contrasts = np.linalg.svd(np.ones((1, n_classes)))[2][1:].T

    def value(self, scores):
        """Return the log likelihood of scores of shape (n_samples, width)."""
        if self.binary:
            signs = 2.0 * self.observed - 1.0
            return float((self.weights * log_expit(signs * scores)).sum())
        logs = log_softmax(scores, axis=1)
        return float((self.weights * self.observed * logs).sum())

    def probabilities(self, scores):
        if self.binary:
            return np.exp(log_expit(scores))
        return np.exp(log_softmax(scores, axis=1))

    def gradient(self, P):
        return self.weights * (self.observed - P)

    def curvature(self, P, c, d):
        """Return the weights of rows in the curvature of classes c and d."""
        if c == d:
            return self.weights[:, 0] * P[:, c] * (1.0 - P[:, c])
        return -self.weights[:, 0] * P[:, c] * P[:, d]


@dataclass
class LaplaceResult:
    """Variances, coefficients and a root of their joint posterior covariance.

    The covariance ``root @ root.T`` is that of ``basis.T @ w / sqrt(gamma)``, class by
    class, and of the intercepts in terms of contrasts; what is orthogonal to the basis
    (None: nothing) keeps its prior.
    """

    gamma: np.ndarray
    active: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    basis: np.ndarray | None
    root: np.ndarray
    dof: float
    change: float
    converged: bool
    n_iter: int
    scores: list = field(default_factory=list)


@dataclass
class _Mode:
    """The posterior mode of reduced coefficients, and the curvature there."""

    V: np.ndarray
    c: np.ndarray
    factor: np.ndarray
    determined: np.ndarray
    evidence: float
    decrement: float


def _blocks(likelihood, L, P):
    """Return the curvature in reduced coefficients V, intercepts c, and between."""
    r, k = L.shape[1], likelihood.width
    U = likelihood.contrasts
    within, between = np.empty((k * r, k * r)), np.empty((k * r, k))
    outer = np.empty((k, k))
    for c in range(k):
        for d in range(c, k):
            rows = likelihood.curvature(P, c, d)
            block = (L * rows[:, None]).T @ L
            within[c * r : (c + 1) * r, d * r : (d + 1) * r] = block
            within[d * r : (d + 1) * r, c * r : (c + 1) * r] = block.T
            sums = L.T @ rows
            between[c * r : (c + 1) * r, d] = sums
            between[d * r : (d + 1) * r, c] = sums
            outer[c, d] = outer[d, c] = rows.sum()
    return within, between @ U, U.T @ outer @ U


def _mode(likelihood, L, V, c, with_intercept):
    """Newton's method from (V, c) for coefficients with unit prior variances.

    L is the reduced design of shape (n_samples, r), V has shape (r, width). The
    objective is strictly concave; steps are halved until it rises.
    """
    r, k = L.shape[1], likelihood.width
    U = likelihood.contrasts
    total = float(likelihood.weights.sum())

    def objective(V, c):
        scores = L @ V + U @ c
        return scores, likelihood.value(scores) - 0.5 * float((V * V).sum())

    scores, value = objective(V, c)
    for _ in range(NEWTON_STEPS):
        P = likelihood.probabilities(scores)
        R = likelihood.gradient(P)
        within, between, outer = _blocks(likelihood, L, P)
        slope = (L.T @ R - V).T.ravel()
        size = k * r
        if with_intercept:
            slope = np.append(slope, U.T @ R.sum(axis=0))
            H = np.block([[within, between], [between.T, outer]])
        else:
            H = within.copy()
        H[np.arange(size), np.arange(size)] += 1.0
        # Probabilities of 0 and 1 leave an intercept no curvature: a step is bounded
        # by what the smallest double allows, and halving does the rest.
        tail = np.arange(size, len(H))
        H[tail, tail] += np.finfo(float).eps * (total + 1.0)
        factor = cho_factor(H, lower=True, check_finite=False)
        step = cho_solve(factor, slope, check_finite=False)
        decrement = float(slope @ step)
        if decrement <= NEWTON_TOL * total:
            break
        length = 1.0
        while length > 1e-10:
            new_V = V + length * step[:size].reshape(k, r).T
            new_c = c + length * step[size:] if with_intercept else c
            new_scores, new_value = objective(new_V, new_c)
            if new_value >= value + 1e-4 * length * decrement:
                break
            length *= 0.5
        else:
            break
        V, c, scores, value = new_V, new_c, new_scores, new_value
    root = np.tril(factor[0])
    # How much of each reduced coefficient the data determine, intercepts aside.
    if len(tail):
        corner = cholesky(H[np.ix_(tail, tail)], lower=True)
        half = solve_triangular(corner, between.T, lower=True)
        within = within - half.T @ half
    B = cholesky(within + np.eye(size), lower=True)
    inverse = solve_triangular(B, np.eye(size), lower=True)
    S = inverse.T @ inverse
    determined = sum(
        np.eye(r) - S[a * r : (a + 1) * r, a * r : (a + 1) * r] for a in range(k)
    )
    evidence = value - float(np.log(np.diagonal(B)).sum())
    return _Mode(V, c, root, determined, evidence, decrement)


def _reduce(A):
    """Return L and Q with A = L Q^T and orthonormal Q; Q is None for tall A."""
    if A.shape[1] <= A.shape[0]:
        return A, None
    Q, R = qr(A.T, mode="economic", check_finite=False)
    return np.ascontiguousarray(R.T), Q


def maximize_laplace_evidence(
    H,
    likelihood,
    *,
    method,
    gamma_init,
    with_intercept,
    stop,
    prune_tol,
):
    """Move the variances until one more update would not.

    Parameters
    ----------
    H : ndarray of shape (n_samples, n)
        Columns without zeros.
    likelihood : Likelihood
        Of the observed classes.
    method : {"mm", "em", "mackay"}
        Update of the variances.
    gamma_init : float
        Starting variances.
    with_intercept : bool
        Whether unpenalized intercepts are fitted.
    stop : Stop
        When to end; its step is told the relative change.
    prune_tol : float
        Variances below are dropped, relative to the largest.
    """
    n, width = H.shape[1], likelihood.width
    gamma, index = np.full(n, float(gamma_init)), np.arange(n)
    W, c = np.zeros((n, width)), np.zeros(likelihood.contrasts.shape[1])
    scores, change, converged, n_iter = [], np.inf, False, 0
    dof = 0.0
    while True:
        root = np.sqrt(gamma)
        L, Q = _reduce(H[:, index] * root)
        V = W / root[:, None] if len(root) else W
        found = _mode(likelihood, L, V if Q is None else Q.T @ V, c, with_intercept)
        V = found.V if Q is None else Q @ found.V
        W, c = root[:, None] * V, found.c
        n_iter += 1
        scores.append(found.evidence)
        if len(gamma) == 0:
            change, converged = 0.0, True
            break
        if Q is None:
            gs = np.diagonal(found.determined) / width
        else:
            gs = np.einsum("ij,jk,ik->i", Q, found.determined, Q) / width
        gs = np.clip(gs, 0.0, 1.0)
        dof = float(width * gs.sum())
        new = variance_step(method, gamma, (V * V).mean(axis=1), gs)
        change = float(np.linalg.norm(new - gamma) / np.linalg.norm(gamma))
        asked = stop.asked(change)
        if change <= stop.tol:
            converged = True
            break
        if asked or n_iter > stop.max_iter:
            break
        keep = (new >= prune_tol * new.max()) & (new > GAMMA_FLOOR)
        gamma, index, W = new[keep], index[keep], W[keep]
    inverse = solve_triangular(found.factor, np.eye(len(found.factor)), lower=True)
    full = np.zeros(n)
    full[index] = gamma
    return LaplaceResult(
        gamma=full,
        active=index,
        coef=W,
        intercept=likelihood.contrasts @ c,
        basis=Q,
        root=inverse.T,
        dof=dof,
        change=change,
        converged=converged,
        n_iter=min(n_iter, stop.max_iter),
        scores=scores,
    )
