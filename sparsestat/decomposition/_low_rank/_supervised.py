r"""Factorize a matrix and explain labels with the same factors.

With Y of shape (m, n), labels l with logits z = T A / root + Z g and weights w, lower

    sum_i w_i loss(z_i, l_i) + xi ||Y - B||_F^2 + nu (||A||_F^2 + ||g||_F^2)

over rank([A, B]) <= r, i.e. A = P beta and B = P Q with r columns in P. The filter
form has Y = X^T and T = X, the feature form Y = X and T the identity. The objective is
convex in (A, B, g); only the rank is not.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np
from scipy import linalg, optimize
from scipy.sparse import issparse
from scipy.sparse.linalg import LinearOperator, svds

from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.linalg import solve_semidefinite
from sparsestat._utils.validation import read_only
from sparsestat.decomposition._low_rank import _kernels_nnls as kernels

__all__ = [
    "LeadingBasis",
    "LiftedProblem",
    "SupervisedResult",
    "block_coordinate_descent",
    "labels_alone",
    "low_rank_gradient",
]

_GRAM = 600  # largest side whose Gram matrix is decomposed densely
_SWEEPS = 5  # of non-negative least squares in each cycle
_HELD = 4  # iterations without a lower L after one was refused
STEADY = 5  # iterations in a row whose fall must be small


@dataclass(frozen=True)
class LiftedProblem:
    """The data of one fit.

    Parameters
    ----------
    Y : {ndarray, sparse matrix} of shape (m, n)
        What is factorized, rows (or columns) scaled by roots of sample weights.
    T : {ndarray, sparse matrix} of shape (n_samples, m) or None
        Turns A into logits; None is the identity.
    root : ndarray of shape (n_samples,)
        Square roots of the sample weights.
    Z : ndarray of shape (n_samples, n_covariates)
        Covariates, the first column ones.
    onehot : ndarray of shape (n_samples, n_classes - 1)
        Membership of every class but the first.
    weights : ndarray of shape (n_samples,)
        Weights of the logistic terms.
    xi, nu : float
        Weight of the reconstruction, ridge.
    """

    Y: object
    T: object
    root: np.ndarray
    Z: np.ndarray
    onehot: np.ndarray
    weights: np.ndarray
    xi: float
    nu: float

    def logits_of(self, A):
        """Return the part of the logits that A gives."""
        return (A if self.T is None else np.asarray(self.T @ A)) / self.root[:, None]

    def pull_back(self, D):
        """Return the adjoint of :meth:`logits_of` at D."""
        D = D / self.root[:, None]
        return D if self.T is None else np.asarray(self.T.T @ D)

    def loss(self, logits):
        """Return the weighted logistic loss."""
        picked = (logits * self.onehot).sum(axis=1)
        return float(self.weights @ (_log_normalizer(logits) - picked))

    def slopes(self, logits):
        """Return the gradient with respect to the logits, and probabilities."""
        prob = np.exp(logits - _log_normalizer(logits)[:, None])
        return self.weights[:, None] * (prob - self.onehot), prob

    def curvature(self):
        """Return the largest curvature of the part of the objective that A is in."""
        factor = 0.25 if self.onehot.shape[1] == 1 else 0.5
        ratio = self.weights / self.root**2
        if self.T is None:
            return factor * ratio.max() + 2.0 * self.nu
        scaled = np.sqrt(ratio)[:, None]
        T = self.T.multiply(scaled).tocsr() if issparse(self.T) else self.T * scaled
        return factor * _spectral_norm(T) ** 2 + 2.0 * self.nu

    def squared_norm(self):
        """Return ``||Y||_F^2``."""
        return float(np.linalg.norm(self.Y.data if issparse(self.Y) else self.Y) ** 2)


@dataclass
class SupervisedResult:
    """Factors and how they were reached.

    Parameters
    ----------
    P : ndarray of shape (m, r)
        The factor that labels and reconstruction share.
    Q : ndarray of shape (r, n)
        The other factor of the reconstruction.
    beta : ndarray of shape (r, n_classes - 1)
        Weights of the labels.
    gamma : ndarray of shape (n_covariates, n_classes - 1)
        Weights of the covariates.
    objective : float
        The value reached.
    change : float
        Largest of the last relative falls.
    history : list of float
        Objective at each iteration, the start first; never rises.
    """

    P: np.ndarray
    Q: np.ndarray
    beta: np.ndarray
    gamma: np.ndarray
    objective: float
    change: float
    history: list = field(default_factory=list)


def _log_normalizer(logits):
    """Return ``log(1 + sum_k exp(logits_k))``, unable to overflow."""
    if logits.shape[1] == 1:
        return np.logaddexp(0.0, logits[:, 0])
    top = np.maximum(logits.max(axis=1), 0.0)
    return top + np.log(np.exp(-top) + np.exp(logits - top[:, None]).sum(axis=1))


def _spectral_norm(M):
    small = min(M.shape)
    if small <= _GRAM:
        gram = M.T @ M if M.shape[1] == small else M @ M.T
        gram = gram.toarray() if issparse(gram) else gram
        return float(np.sqrt(max(linalg.eigvalsh(gram)[-1], 0.0)))
    start = np.ones(small)
    return float(svds(M, k=1, v0=start, return_singular_vectors=False)[0])


def fit_labels(problem, F, ridge, theta, *, max_steps=50):
    r"""Minimize the label part over linear weights of given features, by Newton steps.

    Parameters
    ----------
    problem : LiftedProblem
        Labels, covariates, weights and nu.
    F : ndarray of shape (n_samples, r)
        Features.
    ridge : ndarray of shape (r, r)
        ``nu * trace(beta^T ridge beta)`` is added for their weights beta.
    theta : ndarray of shape (r + n_covariates, n_classes - 1)
        Start: beta over gamma.
    max_steps : int, default=50
        Largest number of Newton steps. Each lowers the value or is the last.

    Returns
    -------
    theta : ndarray
        The minimizer.
    value : float
        Label loss and ridge.
    slopes : ndarray of shape (n_samples, n_classes - 1)
        Gradient with respect to the logits.
    """
    D = np.hstack([F, problem.Z])
    n_columns, k = theta.shape
    penalty = np.zeros((n_columns, n_columns))
    r = F.shape[1]
    penalty[:r, :r] = ridge
    penalty[range(r, n_columns), range(r, n_columns)] = 1.0
    penalty *= problem.nu

    def value_at(theta):
        return problem.loss(D @ theta) + float(np.vdot(theta, penalty @ theta))

    value = value_at(theta)
    for step in range(max_steps + 1):
        slopes, prob = problem.slopes(D @ theta)
        if step == max_steps:
            break
        gradient = D.T @ slopes + 2.0 * penalty @ theta
        hessian = np.empty((k, n_columns, k, n_columns))
        for a in range(k):
            for b in range(a + 1):
                w = problem.weights * prob[:, a] * ((a == b) - prob[:, b])
                block = D.T @ (w[:, None] * D) + 2.0 * (a == b) * penalty
                hessian[a, :, b], hessian[b, :, a] = block, block.T
        move = solve_semidefinite(
            hessian.reshape(k * n_columns, -1), gradient.T.ravel()
        ).reshape(k, n_columns)
        slope = float(np.vdot(move.T, gradient))
        if not slope > 1e-15 * abs(value):
            break
        length = 1.0
        while length > 1e-10:
            trial = theta - length * move.T
            trial_value = value_at(trial)
            if trial_value <= value - 1e-4 * length * slope:
                break
            length *= 0.5
        else:
            break  # rounding is all that is left
        theta, value = trial, trial_value
    return theta, value, slopes


def labels_alone(problem, *, tol=1e-10, max_iter=2000):
    """Minimize the label part over A without any bound on the rank.

    Returns
    -------
    A, gamma : ndarray
        The minimizer.
    value : float
        Its value.
    bound : float
        A proven lower bound on the smallest value, by strong convexity.
    slope : float
        Norm of the gradient, relative to that at zero.
    """
    m = problem.Y.shape[0]
    q, k = problem.Z.shape[1], problem.onehot.shape[1]
    nu = problem.nu

    def function(flat):
        A, gamma = flat[: m * k].reshape(m, k), flat[m * k :].reshape(q, k)
        logits = problem.logits_of(A) + problem.Z @ gamma
        slopes, _ = problem.slopes(logits)
        value = problem.loss(logits) + nu * float(flat @ flat)
        gradient = np.concatenate(
            [problem.pull_back(slopes).ravel(), (problem.Z.T @ slopes).ravel()]
        )
        return value, gradient + 2.0 * nu * flat

    start = np.zeros((m + q) * k)
    options = {"maxiter": max_iter, "maxcor": 20, "ftol": 1e-16, "gtol": tol}
    found = optimize.minimize(
        function, start, jac=True, method="L-BFGS-B", options=options
    )
    value, gradient = function(found.x)
    # F - min F <= ||gradient||^2 / (4 nu); the loss itself is never negative.
    bound = value - float(gradient @ gradient) / (4.0 * nu) if nu > 0 else 0.0
    # What rounding can have added: of the sum of the losses, at least.
    bound -= rounding(8 * sum(problem.Y.shape), value)
    first = np.linalg.norm(function(start)[1])
    slope = float(np.linalg.norm(gradient) / first) if first > 0 else 0.0
    A, gamma = found.x[: m * k].reshape(m, k), found.x[m * k :].reshape(q, k)
    return A, gamma, value, max(bound, 0.0), slope


class LeadingBasis:
    """Leading left singular vectors of ``[a, Y]`` for many small a.

    Parameters
    ----------
    Y : {ndarray, sparse matrix} of shape (m, n)
        The large part.
    rank : int
        Number of vectors.
    rng : RandomState
        Draws the start of Lanczos iterations.
    """

    def __init__(self, Y, rank, rng):
        self.Y, self.rank = Y, rank
        m, n = Y.shape
        self.side = "left" if m <= n else "right"
        if rank >= m:
            self.side = "all"
        elif min(m, n) > _GRAM:
            self.side = "lanczos"
            self.start = rng.standard_normal(m)
        else:
            gram = Y @ Y.T if self.side == "left" else Y.T @ Y
            self.gram = gram.toarray() if issparse(gram) else gram

    def __call__(self, a):
        m, n = self.Y.shape
        k = a.shape[1]
        if self.side == "all":
            return np.eye(m)
        if self.side == "left":
            _, U = linalg.eigh(
                self.gram + a @ a.T, subset_by_index=[m - self.rank, m - 1]
            )
            return np.ascontiguousarray(U[:, ::-1])
        if self.side == "right":
            cross = np.asarray(self.Y.T @ a)
            gram = np.block([[a.T @ a, cross.T], [cross, self.gram]])
            _, V = linalg.eigh(gram, subset_by_index=[n + k - self.rank, n + k - 1])
            V = V[:, ::-1]
            return np.linalg.qr(a @ V[:k] + np.asarray(self.Y @ V[k:]))[0]
        stacked = LinearOperator(
            (m, n + k),
            matvec=lambda v: a @ v[:k].ravel() + self.Y @ v[k:].ravel(),
            rmatvec=lambda u: np.concatenate([a.T @ u.ravel(), self.Y.T @ u.ravel()]),
            dtype=np.float64,
        )
        v0 = self.start if m <= n + k else stacked.rmatvec(self.start)
        U, s, _ = svds(stacked, k=self.rank, v0=v0)
        return np.ascontiguousarray(U[:, np.argsort(-s)])


def low_rank_gradient(problem, rank, *, tol, max_iter, rng, step=None, adapt=True):
    r"""Gradient steps on (A, B), each followed by the best matrix of the given rank.

    A is measured in units in which the curvatures of its part of the objective, L,
    and of the reconstruction, 2 xi, are the same. The step then puts B on Y, and the
    projection keeps the leading left singular vectors of ``[sqrt(L / 2 xi) (A -
    gradient / L), Y]``. Weights of labels and covariates are refitted to them. L
    is lowered while the quadratic bound that it stands for holds.

    Parameters
    ----------
    problem : LiftedProblem
        With positive xi.
    rank : int
        Bound on the rank.
    tol : float
        Stop when `STEADY` falls in a row are at most `tol` of the objective.
    max_iter : int
        Largest number of iterations.
    rng : RandomState
        Draws the start of Lanczos iterations on large data.
    step : callable, default=None
        Called with the objective; returning True stops.
    adapt : bool, default=True
        False keeps L at its proven bound.

    Returns
    -------
    result : SupervisedResult
    """
    basis = LeadingBasis(problem.Y, rank, rng)
    k, q = problem.onehot.shape[1], problem.Z.shape[1]
    m = problem.Y.shape[0]
    total = problem.squared_norm()
    bound = problem.curvature()
    L = bound
    identity = np.eye(rank)

    def refit(U, theta):
        theta, value, slopes = fit_labels(
            problem, problem.logits_of(U), identity, theta
        )
        C = np.asarray((problem.Y.T @ U).T)
        rest = max(total - float(np.vdot(C, C)), 0.0)
        return theta, value, slopes, C, value + problem.xi * rest

    U = basis(np.zeros((m, k)))
    theta, value, slopes, C, objective = refit(U, np.zeros((rank + q, k)))
    history, change, held = [objective], np.inf, 0
    for _ in range(max_iter):
        beta, gamma = theta[:rank], theta[rank:]
        A = U @ beta
        gradient = problem.pull_back(slopes) + 2.0 * problem.nu * A
        base = value - problem.nu * float(np.vdot(gamma, gamma))
        held -= 1
        if adapt and held < 0:
            L = max(L / 2.0, 1e-8 * bound)
        while True:
            target = A - gradient / L
            U_new = basis(np.sqrt(L / (2.0 * problem.xi)) * target)
            start = U_new.T @ target
            move = U_new @ start - A
            logits = problem.logits_of(A + move) + problem.Z @ gamma
            reached = problem.loss(logits) + problem.nu * np.linalg.norm(A + move) ** 2
            allowed = base + np.vdot(gradient, move) + L / 2 * np.vdot(move, move)
            if reached <= allowed + 1e-13 * abs(base) or L >= bound:
                break
            L, held = min(2.0 * L, bound), _HELD
        U = U_new
        theta, value, slopes, C, objective = refit(U, np.vstack([start, gamma]))
        history.append(objective)
        change = _recent_fall(history)
        if (step is not None and step(objective)) or change <= tol:
            break
    beta, gamma = theta[:rank], theta[rank:]
    E, s, Vt = np.linalg.svd(np.hstack([beta, C]), full_matrices=False)
    split = np.sqrt(s)[:, None] * Vt
    return SupervisedResult(
        (U @ E) * np.sqrt(s),
        split[:, k:],
        split[:, :k],
        gamma,
        objective,
        change,
        history,
    )


def _recent_fall(history):
    """Return the largest relative fall of the last iterations, inf if too few."""
    if len(history) <= STEADY:
        return 0.0 if history[-1] == 0 else np.inf
    h = np.array(history[-STEADY - 1 :])
    return float(np.max(h[:-1] - h[1:]) / max(abs(h[-1]), np.finfo(float).tiny))


def block_coordinate_descent(
    problem, rank, *, nonnegative, unit, tol, max_iter, rng, step=None
):
    """Cycle through the columns of P, the rows of Q and the weights of the labels.

    Columns of P take steps of the length that their curvature allows, everything else
    is solved: Q by least squares (or five sweeps of coordinates where it is
    non-negative), weights by Newton steps. The objective never rises.

    Parameters
    ----------
    problem, rank, tol, max_iter, rng, step
        As in :func:`low_rank_gradient`.
    nonnegative : bool
        Whether P and Q are.
    unit : {"P", "Q"}
        The factor that is kept at norm 1.

    Returns
    -------
    result : SupervisedResult
    """
    Y, xi, nu = problem.Y, problem.xi, problem.nu
    k, q = problem.onehot.shape[1], problem.Z.shape[1]
    total = problem.squared_norm()
    basis = LeadingBasis(Y, rank, rng)
    P = basis(np.zeros((Y.shape[0], 1)))
    Q = np.asarray((Y.T @ P).T)
    scale = np.sqrt(np.maximum(np.linalg.norm(Q, axis=1), 1e-12 * np.sqrt(total)))
    P, Q = P * scale, Q / np.where(scale > 0, scale, 1.0)[:, None]
    if nonnegative:
        P, Q = np.abs(P), np.abs(Q)
    curvature = problem.curvature() - 2.0 * nu
    theta = np.zeros((rank + q, k))

    def solve_weights(theta):
        return fit_labels(problem, problem.logits_of(P), P.T @ P, theta)

    def objective_at(value):
        rest = total - 2.0 * np.vdot(np.asarray(Y @ Q.T), P)
        return value + xi * max(rest + np.vdot(P.T @ P, Q @ Q.T), 0.0)

    Q = _other_factor(Y, P, Q, nonnegative)
    theta, value, _ = solve_weights(theta)
    history, change = [float(objective_at(value))], np.inf
    for _ in range(max_iter):
        beta, gamma = theta[:rank], theta[rank:]
        logits = problem.logits_of(P @ beta) + problem.Z @ gamma
        YQ, QQ = np.asarray(Y @ Q.T), Q @ Q.T
        for j in range(rank):
            b = beta[j]
            slopes, _ = problem.slopes(logits)
            size = (curvature + 2.0 * nu) * (b @ b) + 2.0 * xi * QQ[j, j]
            if size <= 0:
                continue
            gradient = (
                problem.pull_back((slopes @ b)[:, None])[:, 0]
                + 2.0 * xi * (P @ QQ[:, j] - YQ[:, j])
                + 2.0 * nu * (P @ (beta @ b))
            )
            new = P[:, j] - gradient / size
            if nonnegative:
                new = np.maximum(new, 0.0)
            logits += problem.logits_of((new - P[:, j])[:, None]) * b
            P[:, j] = new
        if xi > 0:
            Q = _other_factor(Y, P, Q, nonnegative)
        theta, value, _ = solve_weights(theta)
        # Moving a scale between the factors changes nothing but the numbers' size.
        norm = np.linalg.norm(P if unit == "P" else Q)
        if norm > 0:
            factor = norm if unit == "P" else 1.0 / norm
            P, Q = P / factor, Q * factor
            theta[:rank] *= factor
        history.append(float(objective_at(value)))
        change = _recent_fall(history)
        if (step is not None and step(history[-1])) or change <= tol:
            break
    return SupervisedResult(
        P, Q, theta[:rank], theta[rank:], history[-1], change, history
    )


def _other_factor(Y, P, Q, nonnegative):
    """Return the Q that fits Y given P, not worse than the one there is."""
    right, gram = np.ascontiguousarray(Y.T @ P), P.T @ P
    if nonnegative:
        G = np.ascontiguousarray(Q.T)
        kernels.nnls_rows(read_only(right), read_only(gram), G, _SWEEPS, 0.0)
        return np.ascontiguousarray(G.T)
    return solve_semidefinite(gram, right.T)
