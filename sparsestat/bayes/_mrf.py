r"""Burst-sparse recovery: a spike-and-slab prior with a Markov random field.

Supports s in {-1, +1} have ``p(s) ~ exp(-sum alpha_n s_n + sum beta_nm s_n s_m)`` and
``x_n ~ N(0, V)`` where s_n = 1. The Gaussian posterior of x for the current prior
variances says, for each coefficient, what is known without its own prior; that
extrinsic evidence is the field of the supports.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import digamma, gammaln

from sparsestat.bayes import _kernels_field as kernels
from sparsestat.bayes._cofem import conjugate_gradients
from sparsestat.bayes._data import square
from sparsestat.bayes._evidence import compress_rows, posterior
from sparsestat.bayes._inverse_free import curvature_bound

__all__ = ["Field", "MRFResult", "Refinement", "grid_edges", "solve_mrf"]

SPIKE = 1e-6  # variance of an absent coefficient, relative to a present one
TINY = 1e-290
HOLD = 8  # iterations before noise and field are learned
MEAN_FIELD_SWEEPS = 4
EVIDENCE_LIMIT = 40.0
RATE, RIDGE = 0.02, 0.2


def grid_edges(shape, connectivity):
    """Return pairs of neighboring cells and an order that alternates colors."""
    cells = np.arange(int(np.prod(shape))).reshape(shape)
    if len(shape) == 1:
        pairs = [np.column_stack([cells[:-1], cells[1:]])]
        color = cells % 2
    else:
        pairs = [
            np.column_stack([cells[:-1].ravel(), cells[1:].ravel()]),
            np.column_stack([cells[:, :-1].ravel(), cells[:, 1:].ravel()]),
        ]
        i, j = np.indices(shape)
        color = (i + j) % 2
        if connectivity == 8:
            pairs += [
                np.column_stack([cells[:-1, :-1].ravel(), cells[1:, 1:].ravel()]),
                np.column_stack([cells[:-1, 1:].ravel(), cells[1:, :-1].ravel()]),
            ]
            color = 2 * (i % 2) + j % 2
    order = np.argsort(color.ravel(), kind="stable")
    return np.concatenate(pairs).astype(np.int64), order.astype(np.int64)


class Field:
    """The Markov random field: its graph, its parameters and its magnetization."""

    def __init__(self, n, pairs, order, alpha, beta):
        self.pairs, self.order = pairs, order
        self.alpha = np.array(np.broadcast_to(alpha, n), dtype=float)
        self.beta = np.array(np.broadcast_to(beta, len(pairs)), dtype=float)
        self.start = (
            float(self.alpha.mean()),
            float(self.beta.mean()) if len(pairs) else 0.0,
        )
        ends = np.concatenate([pairs[:, 0], pairs[:, 1]])
        other = np.concatenate([pairs[:, 1], pairs[:, 0]])
        by_cell = np.argsort(ends, kind="stable")
        self.indices = other[by_cell]
        self.edges = np.tile(np.arange(len(pairs)), 2)[by_cell]
        self.indptr = np.zeros(n + 1, dtype=np.int64)
        np.cumsum(np.bincount(ends, minlength=n), out=self.indptr[1:])
        self.error = np.empty(n)

    def update(self, m, log_odds):
        """Sweep the mean field for given evidence; m is changed in place."""
        external = np.clip(log_odds, -EVIDENCE_LIMIT, EVIDENCE_LIMIT) / 2 - self.alpha
        kernels.mean_field(
            m, external, self.beta, self.indices, self.edges, self.indptr,
            self.order, MEAN_FIELD_SWEEPS,
        )  # fmt: skip

    def learn(self, m, stationary):
        """Take one pseudo-likelihood step."""
        kernels.pseudo_likelihood_step(
            m, self.alpha, self.beta, self.pairs, *self.start, RATE, RATE * RIDGE,
            stationary, self.error,
        )  # fmt: skip


@dataclass
class Refinement:
    """Positions of the columns, moved along the gradient of the expected fit.

    Parameters
    ----------
    atom, datom : callable
        Columns and their derivatives at an array of positions.
    grid : ndarray of shape (n,)
        Starting positions.
    every : int
        Iterations between moves.
    """

    atom: Any
    datom: Any
    grid: np.ndarray
    every: int

    def __post_init__(self):
        self.home = np.array(self.grid, dtype=float)
        self.grid = self.home.copy()
        gaps = np.diff(np.sort(self.home))
        gaps = gaps[gaps > 0]
        self.reach = 0.5 * float(gaps.min()) if len(gaps) else np.inf

    def move(self, H, Y, mean, v, active):
        """Shift active columns downhill; H is changed in place."""
        if len(active) == 0:
            return
        n_targets = Y.shape[1]
        outside = Y - H @ mean
        mu, spread = mean[active], v[active]
        columns, slopes = H[:, active], self.datom(self.grid[active])
        power = square(mu).sum(axis=1) + n_targets * spread
        gradient = -2.0 * np.real(
            np.einsum("nl,nl->n", mu.conj(), slopes.conj().T @ outside)
        )
        gradient += 2.0 * n_targets * spread * np.real((slopes.conj() * columns).sum(0))
        curvature = 2.0 * power * square(slopes).sum(axis=0)
        direction = -gradient / np.maximum(curvature, TINY)
        base = outside + columns @ mu
        value = square(outside).sum() + n_targets * spread @ square(columns).sum(0)
        t = 1.0
        for _ in range(12):
            theta = np.clip(
                self.grid[active] + t * direction,
                self.home[active] - self.reach,
                self.home[active] + self.reach,
            )
            new = self.atom(theta)
            there = square(base - new @ mu).sum()
            there += n_targets * spread @ square(new).sum(axis=0)
            if there <= value + 1e-4 * float(gradient @ (theta - self.grid[active])):
                self.grid[active] = theta
                H[:, active] = new
                return
            t *= 0.5


@dataclass
class MRFResult:
    """Posterior of coefficients, supports and everything that was learned."""

    mean: np.ndarray
    variances: np.ndarray
    probabilities: np.ndarray
    noise_variance: float
    slab_variance: float
    dof: float
    change: float
    converged: bool
    n_iter: int
    history: list = field(default_factory=list)


class _Exact:
    """E-step by a Cholesky factor of the covariance of y."""

    def __init__(self, H, Y, compress):
        self.H, self.Y, self.rest = np.asfortranarray(H), Y, 0.0
        if compress and H.shape[0] > H.shape[1]:
            self.H, self.Y, self.rest = compress_rows(self.H, self.Y)
        self.buffer = np.empty_like(self.H, order="F")

    def __call__(self, gamma, s2):
        found = posterior(self.H, self.Y, gamma, s2, buffer=self.buffer)
        root = np.sqrt(gamma)
        S = np.maximum(found.gs / gamma, TINY)
        left = np.maximum(1.0 - found.gs, 1e-12)
        r = found.gq / (root * S)[:, None]
        mean = root[:, None] * found.gq
        residual = found.residual + self.rest
        return mean, gamma * left, r, left / S, residual, found.dof


class _InverseFree:
    """E-step by conjugate gradients and a scalar fixed point for the variances.

    For columns that look independent, ``h_n^H Sy^-1 h_n`` without the prior of n
    itself is the same multiple of ``||h_n||^2`` for all n.
    """

    def __init__(self, H, Y, squares):
        self.H, self.Y, self.squares = H, Y, squares
        self.w = np.zeros_like(Y, dtype=np.result_type(H.dtype, Y.dtype), order="F")

    def __call__(self, gamma, s2):
        H, m = self.H, self.Y.shape[0]

        def apply(W):
            return s2 * W + H.forward(gamma[:, None] * H.adjoint(W))

        right = np.array(self.Y, dtype=self.w.dtype, order="F")
        self.w, _ = conjugate_gradients(apply, right, self.w, np.ones(m), 1e-8, 2000)
        Q = H.adjoint(self.w)
        t = self.level(gamma, s2, m)
        tau = t / np.maximum(self.squares, TINY)
        r = Q * (gamma + tau)[:, None]
        v = gamma * tau / (gamma + tau)
        residual = s2 * s2 * float(square(self.w).sum()) / self.Y.shape[1]
        dof = float((gamma / (gamma + tau)).sum())
        return gamma[:, None] * Q, v, r, tau, residual, dof

    def level(self, gamma, s2, m):
        """Solve ``t = s2 + (1/m) sum d gamma / (1 + gamma d / t)`` from above."""
        power = self.squares * gamma
        t = s2 + power.sum() / m
        for _ in range(2000):
            new = s2 + (power / (1.0 + power / t)).sum() / m
            if abs(new - t) <= 1e-12 * t:
                break
            t = new
        return t


def _log_odds(r, tau, V, h):
    """Evidence for the slab in the pseudo-observation r of variance tau."""
    gain = V / tau / (tau + V)
    out = -r.shape[1] * np.log1p(V / tau) + square(r).sum(axis=1) * gain
    return h * out


def solve_mrf(
    H,
    Y,
    graph,
    *,
    engine,
    squares,
    noise_variance,
    sparsity,
    slab_variance,
    learn_mrf,
    stationary,
    is_complex,
    stop,
    damping,
    refinement=None,
    rng=None,
):
    """Alternate Gaussian posterior, mean field and the slab variance.

    Parameters
    ----------
    H : ndarray, or Products for the engine "inverse-free"
        The design; an own copy if there is a refinement.
    graph : Field
        Changed in place when `learn_mrf` is set.
    engine : {"exact", "inverse-free", "vb"}
        The E-step.
    squares : ndarray of shape (n,)
        Squared norms of the columns.
    """
    if engine == "vb":
        return _solve_vb(
            H, Y, graph, squares, noise_variance, sparsity, slab_variance, learn_mrf,
            stationary, is_complex, stop, rng,
        )  # fmt: skip
    m_rows, n = H.shape
    n_targets = Y.shape[1]
    h = 1.0 if is_complex else 0.5
    power = float(square(Y).sum()) / n_targets
    learn = noise_variance is None
    s2 = 0.01 * power / m_rows if learn else noise_variance
    q = np.full(n, sparsity)
    V_start = slab_variance or power / (float(squares.mean()) * n * sparsity)
    V = V_start
    magnetization = 2.0 * q - 1.0
    if engine == "exact":
        e_step = _Exact(H, Y, compress=refinement is None)
    else:
        e_step = _InverseFree(H, Y, squares)
    mean, change, converged, history = 0.0, np.inf, False, []
    n_iter = 0
    while n_iter < stop.max_iter:
        n_iter += 1
        gamma = V * (q + SPIKE)
        new, v, r, tau, residual, dof = e_step(gamma, s2)
        size = np.sqrt(square(new).sum())
        change = float(np.sqrt(square(new - mean).sum()) / size) if size > 0 else 0.0
        change /= damping  # of a whole step: small steps are no convergence
        history.append(change)
        mean = new
        graph.update(magnetization, _log_odds(r, tau, V, h))
        q = damping * 0.5 * (1.0 + magnetization) + (1.0 - damping) * q
        if slab_variance is None:
            V = q @ (square(mean).mean(axis=1) + v) / max(q.sum(), 1.0)
            V = max(V, 1e-2 * V_start)
        if learn and n_iter >= HOLD:
            s2 = max((residual + s2 * dof) / m_rows, 1e-10 * power / m_rows)
        if learn_mrf and n_iter >= HOLD:
            graph.learn(magnetization, stationary)
        asked = stop.asked(change)
        if change <= stop.tol and n_iter >= (HOLD + 2 if learn or learn_mrf else 6):
            converged = True
            break
        if asked or n_iter == stop.max_iter:
            break
        # What is returned belongs to the columns that it was found for.
        if refinement is not None and n_iter % refinement.every == 0:
            refinement.move(e_step.H, Y, mean, v, np.flatnonzero(q > 0.5))
    return MRFResult(
        mean, v, q, float(s2), float(V), dof, change, converged, n_iter, history
    )


def _solve_vb(
    H, Y, graph, squares, noise_variance, sparsity, slab_variance, learn_mrf,
    stationary, is_complex, stop, rng,
):  # fmt: skip
    """Run the fully factorized updates, for study: supports and precisions lock."""
    m_rows, n = H.shape
    n_targets = Y.shape[1]
    h = 1.0 if is_complex else 0.5
    power = float(square(Y).sum()) / n_targets
    learn = noise_variance is None
    kappa = m_rows / (0.01 * power) if learn else 1.0 / noise_variance
    V = slab_variance or power / (float(squares.mean()) * n * sparsity)
    shapes, rates = (1.0, 1.0), (V, SPIKE * V)  # slab, spike
    T = curvature_bound(H, rng)
    q = np.full(n, sparsity)
    magnetization = 2.0 * q - 1.0
    rho = 1.0 / (V * (q + SPIKE))
    mean = np.zeros((n, n_targets), dtype=np.result_type(H.dtype, Y.dtype))
    change, converged, history = np.inf, False, []
    n_iter = 0
    dof = 0.0
    while n_iter < stop.max_iter:
        n_iter += 1
        outside = H.forward(mean) - Y
        v = 1.0 / (rho + kappa * T)
        new = (kappa * v)[:, None] * (T * mean - H.adjoint(outside))
        size = np.sqrt(square(new).sum())
        change = float(np.sqrt(square(new - mean).sum()) / size) if size > 0 else 0.0
        history.append(change)
        mean = new
        moment = h * (square(mean).sum(axis=1) + n_targets * v)
        shape = q * shapes[0] + (1 - q) * shapes[1] + h * n_targets
        rate = q * rates[0] + (1 - q) * rates[1] + moment
        rho, log_rho = shape / rate, digamma(shape) - np.log(rate)
        evidence = [
            a * np.log(b) - gammaln(a) + (a - 1.0) * log_rho - b * rho
            for a, b in zip(shapes, rates, strict=True)
        ]
        graph.update(magnetization, evidence[0] - evidence[1])
        q = 0.5 * (1.0 + magnetization)
        dof = float((kappa * squares / (rho + kappa * squares)).sum())
        if learn and n_iter >= HOLD:
            error = float(square(Y - H.forward(mean)).sum()) / n_targets
            kappa = m_rows / max(error + float(v @ squares), 1e-10 * power)
        if learn_mrf and n_iter >= HOLD:
            graph.learn(magnetization, stationary)
        asked = stop.asked(change)
        if change <= stop.tol and n_iter >= HOLD + 2:
            converged = True
            break
        if asked:
            break
    return MRFResult(
        mean, v, q, 1.0 / kappa, float(V), dof, change, converged, n_iter, history
    )
