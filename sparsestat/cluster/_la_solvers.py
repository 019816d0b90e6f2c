"""The likelihood-adjusted relaxation: one lifted membership for each cluster."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import linalg

from sparsestat._utils.linalg import largest_eigenvalue
from sparsestat._utils.validation import read_only
from sparsestat.cluster import _kernels_sdp as kernels
from sparsestat.cluster._checks import import_cvxpy
from sparsestat.cluster._nlr import FactorState, augmented_lagrangian

__all__ = ["Affinities", "LiftedResult", "solve_conic", "solve_dense", "solve_factored"]

_EPS = np.finfo(float).eps
_CHECK_EVERY = 20
_STILL = (
    1e-2  # of the gap: a bound that moves by less at two checks running stands still
)


@dataclass
class LiftedResult:
    """Outcome of a solver of the likelihood-adjusted relaxation."""

    memberships: np.ndarray  # (n, K): row sums of each lifted membership
    lifted: list  # lifted memberships (n, n), or factors (n, r)
    factored: bool
    value: float
    upper_bound: float
    infeasibility: float
    n_iter: int
    converged: bool


class Affinities:
    r"""The matrices ``A_k`` of twice the log-likelihood, held as factors.

    ``A_k = Y_k Y_k' - (q_k 1' + 1 q_k') / 2`` with the rows of Y_k whitened by the
    covariance of cluster k. Nothing n x n is formed but on request.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Points.
    factors : ndarray of shape (n_clusters, n_features, n_features)
        Lower Cholesky factors of the covariances.
    log_weights : ndarray of shape (n_clusters,), default=None
        Logarithms of mixing proportions. None leaves them out.
    """

    def __init__(self, X, factors, log_weights=None):
        self.n, self.K = len(X), len(factors)
        centered = X - X.mean(axis=0)  # only differences of points matter
        self.Y, self.q = [], np.empty((self.K, self.n))
        for k, L in enumerate(factors):
            Y = linalg.solve_triangular(L, centered.T, lower=True).T
            self.Y.append(np.ascontiguousarray(Y))
            log_det = 2.0 * np.log(np.diag(L)).sum()
            self.q[k] = np.einsum("ij,ij->i", Y, Y) + log_det
            if log_weights is not None:
                self.q[k] -= 2.0 * log_weights[k]
        # A constant times 11' in every A_k changes the value by a constant only,
        # since the memberships sum to one.
        mean = np.mean([np.square(Y.sum(axis=0)).sum() for Y in self.Y]) / self.n**2
        self.shift = float(self.q.mean() - mean)
        self.q -= self.shift
        self.scale = self._scale()

    def _scale(self):
        """Return the largest spectral norm, by a few power iterations."""
        rng = np.random.RandomState(0)
        largest = max(
            largest_eigenvalue(
                partial(self.product, k), rng.standard_normal((self.n, 1)), n_iter=20
            )
            for k in range(self.K)
        )
        return largest or 1.0

    def product(self, k, U):
        """Return ``A_k U`` for U of shape (n, r), without the shift."""
        total, weighted = U.sum(axis=0), self.q[k] @ U
        out = self.Y[k] @ (self.Y[k].T @ U)
        out -= 0.5 * (np.multiply.outer(self.q[k], total) + weighted)
        return out

    def dense(self, k):
        """Return ``A_k`` without the shift, of shape (n, n)."""
        q = self.q[k]
        return self.Y[k] @ self.Y[k].T - 0.5 * (q[:, None] + q)

    def value(self, labels):
        """Return the objective of a partition, shift included."""
        total = -self.shift * self.n
        for k in range(self.K):
            mine = labels == k
            size = np.count_nonzero(mine)
            if size:
                within = np.square(self.Y[k][mine].sum(axis=0)).sum() / size
                total += within - self.q[k][mine].sum()
        return float(total)

    def weak_bound(self, y):
        """Return an upper bound on the relaxation from any y, without n x n arrays.

        ``A_k - (1 y' + y 1') / 2`` is a positive part of rank d and a part of rank
        2, so its largest eigenvalue is that of a small matrix.
        """
        total = float(y.sum()) - self.shift * self.n
        size = 0.0
        for k in range(self.K):
            F = np.column_stack((self.Y[k], np.ones(self.n), self.q[k] + y))
            # F S F' has the non-zero eigenvalues of R S R' for F = Q R.
            R = linalg.qr(F, mode="r")[0][: F.shape[1]]
            S = np.eye(F.shape[1])
            S[-2:, -2:] = [[0.0, -0.5], [-0.5, 0.0]]
            values = linalg.eigvalsh(R @ S @ R.T)
            top = float(values[-1])
            total += max(top, 0.0) if self.n > F.shape[1] else top
            size += float(np.abs(values).max())
        return total + 10.0 * self.n * _EPS * (size + abs(total))


def solve_conic(affinities):
    """Hand the relaxation to a generic conic solver; for tiny data."""
    cp = import_cvxpy()
    n, K = affinities.n, affinities.K
    Z = [cp.Variable((n, n), PSD=True) for _ in range(K)]
    A = [affinities.dense(k) / affinities.scale for k in range(K)]
    constraints = [Zk >= 0 for Zk in Z] + [cp.trace(Zk) == 1 for Zk in Z]
    constraints.append(sum(cp.sum(Zk, axis=1) for Zk in Z) == 1)
    goal = sum(cp.trace(Ak @ Zk) for Ak, Zk in zip(A, Z, strict=True))
    problem = cp.Problem(cp.Maximize(goal), constraints)
    problem.solve()
    if Z[0].value is None:
        raise ValueError(f"cvxpy did not solve the relaxation: {problem.status}.")
    lifted = [Zk.value for Zk in Z]
    memberships = np.column_stack([Zk.sum(axis=1) for Zk in lifted])
    value = affinities.scale * float(problem.value) - affinities.shift * n
    off = float(abs(memberships.sum(axis=1) - 1).max())
    done = problem.status == "optimal"
    return LiftedResult(memberships, lifted, False, value, np.inf, off, 0, done)


def solve_dense(affinities, *, max_iter=2000, tol=1e-7, enough=None, start=None):
    """Solve the relaxation by consensus between its three simple sets.

    Holds 7 K arrays of size n x n and takes K eigendecompositions an iteration. With
    `enough` it stops as well once the residual is no more than that and the bound
    stands still, or has met the value of the labels.
    """
    n, K = affinities.n, affinities.K
    A = np.array([affinities.dense(k) for k in range(K)]) / affinities.scale
    V = np.full((K, n, n), 1.0 / (n * K))
    if start is not None:
        V = np.zeros((K, n, n))
        for k in range(K):
            mine = start == k
            V[k][np.ix_(mine, mine)] = 1.0 / max(np.count_nonzero(mine), 1)
    duals = [np.zeros((K, n, n)) for _ in range(3)]
    copies = [V, V, V]
    rho, bound, converged, residual = 1.0, np.inf, False, np.inf
    best, quiet = -np.inf if start is None else affinities.value(start), 0
    for it in range(1, max_iter + 1):
        psd = np.array([_unit_trace(T) for T in V - duals[0] + A / rho])
        positive = np.maximum(V - duals[1], 0.0)
        affine = _partition_of_unity(V - duals[2])
        copies = [psd, positive, affine]
        new = sum(c + u for c, u in zip(copies, duals, strict=True)) / 3.0
        for c, u in zip(copies, duals, strict=True):
            u += c - new
        primal = np.sqrt(sum(np.square(c - new).sum() for c in copies) / (3 * K))
        dual = rho * linalg.norm((new - V).ravel()) * np.sqrt(3.0 / K)
        V = new
        residual = float(max(primal, dual))
        converged = residual <= tol
        if it % _CHECK_EVERY == 0 or converged or it == max_iter:
            before = bound
            bound = min(bound, _dense_bound(affinities, A, duals, rho))
            if converged:
                break
            if enough is not None and residual <= enough:
                labels = psd.sum(axis=2).argmax(axis=0)
                best = max(best, affinities.value(labels))
                quiet = quiet + 1 if before - bound <= _STILL * (bound - best) else 0
                converged = quiet == 2 or bound - best <= 1e-7 * n
                if converged:
                    break
            rho = _balance(duals, rho, primal, dual)
    memberships = psd.sum(axis=2).T
    value = affinities.scale * float((A * psd).sum()) - affinities.shift * n
    return LiftedResult(
        memberships, list(psd), False, value, bound, residual, it, converged
    )


def _unit_trace(T):
    """Project a symmetric matrix on the positive semidefinite ones of trace 1."""
    e, Q = linalg.eigh(0.5 * (T + T.T), driver="evd", check_finite=False)
    descending = e[::-1]
    excess = (np.cumsum(descending) - 1.0) / np.arange(1, len(e) + 1)
    count = int(np.flatnonzero(descending > excess)[-1]) + 1
    shift = excess[count - 1]
    keep = Q[:, -count:]
    return (keep * (e[-count:] - shift)) @ keep.T


def _partition_of_unity(V):
    """Project K matrices on those whose row sums add up to one."""
    K, n = V.shape[:2]
    a = (1.0 - V.sum(axis=(0, 2))) / K
    a = (a - a.sum() / (2 * n)) / n
    return V + (a[:, None] + a)


def _dense_bound(affinities, A, duals, rho):
    """Return the upper bound that the multipliers of the consensus give."""
    n, K = affinities.n, affinities.K
    row = duals[2].sum(axis=(0, 2)) / K
    a = (row - row.sum() / (2 * n)) / n
    y = -2.0 * rho * a
    total, size = float(y.sum()), 0.0
    for k in range(K):
        B = rho * np.maximum(duals[1][k], 0.0)
        M = A[k] + 0.5 * (B + B.T) - 0.5 * (y[:, None] + y)
        total += float(linalg.eigvalsh(M, subset_by_index=(n - 1, n - 1))[0])
        size += linalg.norm(M)
    total += 10.0 * n * _EPS * (size + abs(total))
    return affinities.scale * total - affinities.shift * n


def _balance(duals, rho, primal, dual):
    factor = 1.6 if primal > 5 * dual else 1 / 1.6 if dual > 5 * primal else 1.0
    for u in duals:
        u /= factor
    return rho * factor


def solve_factored(affinities, U, *, max_iter=600, tol=1e-3):
    """Solve over non-negative factors of unit norm, one for each cluster.

    Not convex: the answer depends on the start U of shape (K, n, r).
    """
    problem = _FactoredProblem(affinities, U.shape[2])
    state, off, _, it, converged = augmented_lagrangian(
        problem,
        problem.at(U),
        tol=tol,
        label_tol=tol,
        max_iter=max_iter,
    )
    memberships = np.einsum("knr,kr->nk", state.U, state.s)
    value = affinities.scale * state.smooth - affinities.shift * affinities.n
    bound = affinities.weak_bound(affinities.scale * problem.y)
    return LiftedResult(
        memberships, list(state.U), True, value, bound, off, it, converged
    )


class _FactoredProblem:
    """The scaled augmented Lagrangian of K factors at once."""

    def __init__(self, affinities, rank):
        self.affinities, self.rank = affinities, rank
        self.n, self.K = affinities.n, affinities.K
        self.norm = np.sqrt(self.K)
        self.beta = 2.0 * self.K / self.n
        self.y = np.zeros(self.n)
        self.ones = read_only(np.ones(self.n))
        root = np.sqrt(affinities.scale)
        self.Y = [Y / root for Y in affinities.Y]
        self.q = affinities.q / affinities.scale

    def at(self, U):
        state = FactorState()
        state.U, state.s = U, U.sum(axis=1)
        self._evaluate(state)
        return state

    def _evaluate(self, state):
        """Fill the value, the constraint and what the gradient is built from."""
        U, K = state.U, self.K
        images = [self.Y[k].T @ U[k] for k in range(K)]
        weighted = np.einsum("kn,knr->kr", self.q, U)
        state.smooth = sum(float(np.vdot(image, image)) for image in images)
        state.smooth -= float((weighted * state.s).sum())
        c = np.einsum("knr,kr->n", U, state.s) - 1.0
        state.linear, state.square = float(self.y @ c), float(c @ c)
        yb = self.y + self.beta * c
        state.H = [self.Y[k] @ images[k] for k in range(K)]
        # The part of the gradient in q has the form of the multiplier's.
        state.yb = yb + self.q
        state.v = weighted + np.einsum("n,knr->kr", yb, U)

    def value(self, state):
        return -state.smooth + state.linear + 0.5 * self.beta * state.square

    def step(self, state, step, reference):
        for _ in range(60):
            new = FactorState()
            new.U, new.s = np.empty_like(state.U), np.empty_like(state.s)
            moved = 0.0
            for k in range(self.K):
                norm2, _ = kernels.low_rank_trial(
                    state.U[k],
                    state.H[k],
                    state.yb[k],
                    state.s[k],
                    self.ones,
                    state.v[k],
                    step,
                    new.U[k],
                )
                if not norm2 > 0.0 or not np.isfinite(norm2):
                    moved = np.nan
                    break
                moved += kernels.low_rank_rescale(
                    new.U[k], state.U[k], 1.0 / np.sqrt(norm2), self.ones, new.s[k]
                )
            if not np.isfinite(moved):
                step /= 10.0
                continue
            self._evaluate(new)
            value = self.value(new)
            if np.isfinite(value) and value <= reference - 5e-5 / step * moved:
                return moved, new, step
            step *= 0.5
        return 0.0, None, step

    def secant(self, new, old):
        return sum(
            kernels.low_rank_secant(
                new.U[k],
                old.U[k],
                new.H[k],
                new.yb[k],
                new.s[k],
                new.v[k],
                old.H[k],
                old.yb[k],
                old.s[k],
                old.v[k],
                self.ones,
            )
            for k in range(self.K)
        )

    def update_multiplier(self, state):
        c = np.einsum("knr,kr->n", state.U, state.s) - 1.0
        self.y = self.y + self.beta * c
