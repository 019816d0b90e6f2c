"""The Peng-Wei relaxation of K-means by the alternating direction method."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.validation import read_only
from sparsestat.cluster import _kernels_sdp as kernels

__all__ = ["ADMMResult", "dual_bound", "solve_admm"]

_EPS = np.finfo(float).eps
_RELAXATION = 1.6
_DENSE_UNTIL = 250  # rows: below, a full eigendecomposition beats filtering
_CHECK_EVERY = 20
_ADAPT_UNTIL = 500
_FILTER_DEGREE = 6


@dataclass
class ADMMResult:
    """Outcome of :func:`solve_admm`."""

    membership: np.ndarray
    value: float
    lower_bound: float
    infeasibility: float
    change: float
    n_iter: int
    converged: bool


def dual_bound(gram, B, root, n_clusters, total, gram_rounding=0.0):
    """Return the lower bound on the cost from any non-negative symmetric B.

    Parameters
    ----------
    gram : ndarray of shape (n, n)
        Gram matrix of the centered rows, orthogonal to `root`.
    B : ndarray of shape (n, n)
        Non-negative and symmetric; need not come from a converged solver.
    root : ndarray of shape (n,)
        Square roots of the weights.
    n_clusters : int
        K.
    total : float
        Trace of `gram`.
    gram_rounding : float, default=0.0
        How much rounding can have moved the sum of the absolute values of `gram`'s
        eigenvalues.
    """
    n = len(root)
    q = root / linalg.norm(root)
    N = gram + B
    image = N @ q
    along = float(q @ image)
    N -= np.multiply.outer(q, image) + np.multiply.outer(image, q)
    N += along * np.multiply.outer(q, q)
    count = n_clusters - 1
    top = np.zeros(0)
    if count:
        top = linalg.eigvalsh(N, subset_by_index=(n - count, n - 1), overwrite_a=False)
    allowance = 10.0 * n * _EPS * (linalg.norm(N) + abs(along)) + gram_rounding
    return total - along - float(np.maximum(top, 0.0).sum()) - allowance


def solve_admm(
    data,
    n_clusters,
    *,
    cost,
    start=None,
    multiplier=None,
    max_iter=2000,
    tol=1e-5,
    gap_tol=1e-6,
    stop_at_gap=True,
    settle=None,
    report=None,
):
    """Solve the relaxation densely, to a primal-dual tolerance or a proved gap.

    Parameters
    ----------
    data : CenteredRows
        The points; n x n arrays are formed.
    n_clusters : int
        K, at least 2 and less than the number of points.
    cost : float
        Cost of the best known partition: the bound is compared with it.
    start : ndarray of shape (n_samples,), default=None
        Labels of a warm start.
    multiplier : ndarray of shape (n, n), default=None
        Non-negative multiplier that belongs to `start`.
    stop_at_gap : bool, default=True
        Stop as soon as the bound proves `cost` optimal to `gap_tol`.
    settle : float, default=None
        For those who want the bound and not the solution: stop as well once two
        checks running moved it by at most this share of the remaining gap.
    report : callable, default=None
        Called at each check with the residual and the gap; stops on True.
    """
    n = data.shape[0]
    root = data.root
    q = root / linalg.norm(root)
    gram = data.gram()
    total = float(np.trace(gram))
    gram_rounding = rounding(8 * sum(data.shape), data.magnitude)
    gram_rounding += n_clusters * data.gram_rounding
    if total <= 0.0:  # all points coincide
        Z = np.multiply.outer(q, q)
        return ADMMResult(Z, 0.0, 0.0, 0.0, 0.0, 0, True)
    scale = float(linalg.eigvalsh(gram, subset_by_index=(n - 1, n - 1))[0])
    A = gram / scale
    W, U, rho = _initial(data, q, start, multiplier, scale)
    T = np.empty((n, n))
    kernels.shifted_target(W, U, T, read_only(A), 1.0, rho)
    eigen = _Spectrum(n, q, n_clusters)
    best_bound, converged, residual = -np.inf, False, np.inf
    change, quiet = np.inf, 0
    for it in range(1, max_iter + 1):
        vectors, weights = eigen.project(T)
        Z = (vectors * weights) @ vectors.T
        Z += np.multiply.outer(q, q)
        primal, dual = kernels.admm_pass(Z, W, U, T, read_only(A), _RELAXATION, rho)
        primal = np.sqrt(primal / n_clusters)
        dual = rho * np.sqrt(dual)
        residual = max(primal, dual)
        met = residual <= tol
        if it % _CHECK_EVERY == 0 or it == max_iter or (met and not stop_at_gap):
            B = U + U.T  # symmetric but for rounding
            np.maximum(-B, 0.0, out=B)
            B *= 0.5 * rho * scale
            before = best_bound
            bound = dual_bound(gram, B, root, n_clusters, total, gram_rounding)
            best_bound = max(before, bound)
            gap = (cost - best_bound) / cost if cost > 0 else 0.0
            left = cost - best_bound
            change = (best_bound - before) / left if left > 0 else 0.0
            quiet = quiet + 1 if settle is not None and change <= settle else 0
            # Past its tolerance the solver goes on while that pays for the bound.
            converged = met and (change <= 0.1 or not stop_at_gap)
            if converged or quiet == 2 or (stop_at_gap and gap <= gap_tol):
                converged = True
                break
            if report is not None and report(residual=residual, gap=gap):
                break
            if it <= _ADAPT_UNTIL:
                rho = _adapt(W, U, T, A, rho, primal, dual)
    value = scale * float(np.vdot(A, Z))
    return ADMMResult(
        Z, value, best_bound, float(residual), float(change), it, converged
    )


def _initial(data, q, start, multiplier, scale):
    """Return W, U and rho; a warm start needs both a partition and its multiplier."""
    n = len(q)
    if start is None or multiplier is None:
        return np.multiply.outer(q, q), np.zeros((n, n)), 1.0
    weights = np.bincount(start, data.weights)
    same = start[:, None] == start
    W = np.multiply.outer(data.root, data.root) / weights[start] * same
    rho = 2.0
    return W, -multiplier / (scale * rho), rho


def _adapt(W, U, T, A, rho, primal, dual):
    """Balance the residuals; U is scaled, so that it changes with rho."""
    if primal > 5.0 * dual:
        factor = 2.0
    elif dual > 5.0 * primal:
        factor = 0.5
    else:
        return rho
    kernels.shifted_target(W, U, T, read_only(A), 1.0 / factor, rho * factor)
    return rho * factor


def capped_simplex(e, total):
    """Project e on ``{0 <= x <= 1, sum x = total}`` exactly, by its breakpoints.

    The total is positive; where it is more than e has entries, all of them are 1.
    """
    points = np.unique(np.concatenate((e, e - 1.0)))[::-1]
    sums = np.clip(e - points[:, None], 0.0, 1.0).sum(axis=1)
    above = int(np.searchsorted(sums, total))
    if above == len(points):
        return np.ones_like(e)
    low, high = sums[above - 1], sums[above]
    share = (total - low) / (high - low)
    shift = points[above - 1] + share * (points[above] - points[above - 1])
    return np.clip(e - shift, 0.0, 1.0)


class _Spectrum:
    """Eigenvectors of the projected target that receive weight.

    Few do, and they move slowly, so that a filtered block of the previous ones
    replaces the full decomposition.
    """

    def __init__(self, n, q, n_clusters):
        self.n, self.q, self.rank = n, q, n_clusters - 1
        self.block = None
        self.floor = None
        self.calls = 0
        self.rng = np.random.RandomState(0)

    def project(self, T):
        """Return vectors and their weights on the capped simplex."""
        self.calls += 1
        if self.block is None or self.n <= _DENSE_UNTIL:
            return self._full(T)
        answer = self._filtered(T)
        return self._full(T) if answer is None else answer

    def _apply(self, T, V):
        """Return the projected target times V, for V orthogonal to q."""
        out = T @ V
        out -= np.multiply.outer(self.q, self.q @ out)
        return out

    def _full(self, T):
        q = self.q
        image = T @ q
        V = T - np.multiply.outer(q, image) - np.multiply.outer(image, q)
        # Far below everything else, the direction of q never receives weight.
        low = 2.0 * linalg.norm(V) + 1.0
        V += (float(q @ image) - low) * np.multiply.outer(q, q)
        e, Q = linalg.eigh(V, driver="evd", check_finite=False)
        weights = capped_simplex(e[1:], self.rank)
        self.floor = float(e[1])
        keep = np.flatnonzero(weights > 0)
        wide = min(self.n - 1, len(keep) + 8)
        self.block = np.ascontiguousarray(Q[:, -wide:])
        self.last = float(e[-wide])
        return np.ascontiguousarray(Q[:, 1 + keep]), weights[keep]

    def _filtered(self, T):
        if self.calls % 10 == 2:
            self._update_floor(T)
        block, cut = self.block, self.last
        for _ in range(6):
            half = 0.5 * (cut - self.floor)
            if not half > 0 or block.shape[1] > self.n // 3:
                return None
            center = 0.5 * (cut + self.floor)
            V = self._chebyshev(T, block, center, half)
            V -= np.multiply.outer(self.q, self.q @ V)
            Q = linalg.qr(V, mode="economic", check_finite=False)[0]
            small = Q.T @ self._apply(T, Q)
            e, R = linalg.eigh(0.5 * (small + small.T), check_finite=False)
            weights = capped_simplex(e, self.rank)
            vectors = Q @ R
            if weights[0] <= 0.0:
                keep = np.flatnonzero(weights > 0)
                wide = min(len(e), len(keep) + 8)
                self.block = np.ascontiguousarray(vectors[:, -wide:])
                self.last = float(e[-wide])
                return np.ascontiguousarray(vectors[:, keep]), weights[keep]
            # The smallest Ritz value still matters: look for more of them.
            extra = self.rng.standard_normal((self.n, max(5, block.shape[1] // 2)))
            extra -= np.multiply.outer(self.q, self.q @ extra)
            block = np.hstack((vectors, extra))
            cut = float(e[0])
        return None

    def _update_floor(self, T):
        """Refresh the lower end of the damped interval, loosely but safely."""
        operator = LinearOperator(
            (self.n, self.n),
            matvec=lambda v: self._apply(
                T, np.ravel(v)[:, None] - np.outer(self.q, self.q @ np.ravel(v))
            ).ravel(),
            dtype=float,
        )
        start = self.rng.standard_normal(self.n)
        try:
            low = eigsh(
                operator, 1, which="SA", tol=1e-2, v0=start, return_eigenvectors=False
            )[0]
        except ArpackError:
            return
        self.floor = float(low - 0.02 * (self.last - low))

    def _chebyshev(self, T, V, center, half):
        """Damp the eigenvalues in the interval and amplify those above it."""
        previous = V
        current = (self._apply(T, V) - center * V) / half
        for _ in range(_FILTER_DEGREE - 1):
            following = (self._apply(T, current) - center * current) * (2.0 / half)
            following -= previous
            previous, current = current, following
        return current
