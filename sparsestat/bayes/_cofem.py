"""Covariance-free expectation maximization: conjugate gradients and random probes.

Products with H are all that is asked for, so H may be sparse or an operator.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np

from sparsestat._utils.arithmetic import Standardization, standardize
from sparsestat.bayes._data import is_operator, square

__all__ = [
    "CofemResult",
    "Products",
    "conjugate_gradients",
    "maximize_evidence_cofem",
    "posterior_variances",
]


class Products:
    """Products with the weighted and centered X.

    Parameters
    ----------
    X : ndarray, CSR array or LinearOperator of shape (m, n)
    weights : ndarray of shape (m,) or None
        Sample weights.
    center : bool
        Subtract the weighted column means: from a copy of dense X and of full sparse
        columns, which may lie far from the origin, and inside the products from what
        has structural zeros or no entries.
    """

    def __init__(self, X, weights=None, *, center=False):
        self.shape = X.shape
        self.dtype = np.result_type(np.dtype(X.dtype or float), np.float64)
        self.root = None if weights is None else np.sqrt(weights)[:, None]
        self._operator = is_operator(X)
        self.center = center
        zeros = np.zeros(X.shape[1], dtype=self.dtype)
        self.record = Standardization(zeros, zeros, zeros)
        if center and not self._operator:
            self.record = standardize(X, weights)
            X = self.record.apply(X)
        self.X = X
        self._adjoint = None if self._operator else X.conj().T
        if not self._operator and not isinstance(X, np.ndarray):
            self._adjoint = self._adjoint.tocsr()
        if center and self._operator:
            w = np.ones(X.shape[0]) if weights is None else weights
            columns = self._backward((w / w.sum())[:, None])
            mean = np.ascontiguousarray(columns[:, 0].conj())
            self.record = Standardization(zeros, zeros, mean)
        # What products still have to subtract: nothing from dense X.
        self.mean = self.record.mean
        self.center = center and bool(self.mean.any())

    def _backward(self, R):
        return self.X.rmatmat(R) if self._operator else self._adjoint @ R

    def forward(self, Z):
        """Return H @ Z for Z of shape (n, k)."""
        out = self.X.matmat(Z) if self._operator else self.X @ Z
        if self.center:
            out = out - self.mean @ Z
        return out if self.root is None else self.root * out

    def adjoint(self, R):
        """Return H^H @ R for R of shape (m, k)."""
        if self.root is not None:
            R = self.root * R
        out = self._backward(R)
        if self.center:
            out = out - np.outer(self.mean.conj(), R.sum(axis=0))
        return out

    def squared_norms(self, rng):
        """Squared norms of the columns; of an operator, their mean by probes."""
        if self._operator:
            P = _probes(rng, self.shape[1], 8)
            return np.full(self.shape[1], float(square(self.forward(P)).sum()) / P.size)
        weighted = self.X if self.root is None else self.X * self.root
        if isinstance(self.X, np.ndarray):
            squares = square(weighted).sum(axis=0)
        else:
            weighted = weighted.tocsr()
            squares = abs(weighted).power(2).sum(axis=0)
        total = self.shape[0] if self.root is None else float((self.root**2).sum())
        out = np.asarray(squares, dtype=float).ravel()
        if self.center:
            # A column with a zero lies at most sqrt(m) spreads away, and one whose
            # entries are all equal is full: nothing here is constant.
            out = np.maximum(out - total * square(self.mean), 0.0)
        return out


@dataclass
class CofemResult:
    """Variances, posterior mean and variances of all columns."""

    gamma: np.ndarray
    noise_variance: float
    mean: np.ndarray
    variances: np.ndarray
    dof: float
    change: float
    converged: bool
    n_iter: int
    cg_failed: bool
    history: list = field(default_factory=list)


def _probes(rng, n, count):
    return np.asfortranarray(
        (2.0 * rng.randint(0, 2, size=(count, n)) - 1.0).T, dtype=np.float64
    )


def conjugate_gradients(apply, B, X, diagonal, tol, max_iter):
    """Solve ``apply(X) = B`` for all columns; return X and whether all are solved.

    Preconditioned by `diagonal`. A column leaves the iteration once its residual is
    below `tol` (one number, or one for each column) times its right-hand side, both
    in the norm of the preconditioner: variances span many orders of magnitude, and in
    the plain norm the largest alone would count. All arrays are (n, k) and X is
    overwritten.
    """
    inverse = (1.0 / diagonal)[:, None]
    goal = np.asarray(tol) ** 2 * _inner(B, inverse * B)
    R = B - apply(X) if X.any() else B.copy(order="F")
    Z = inverse * R
    rho = _inner(R, Z)
    open_ = np.flatnonzero(rho > goal)
    R, P, rho = np.asfortranarray(R[:, open_]), Z[:, open_], rho[open_]
    for _ in range(max_iter):
        if len(open_) == 0:
            return X, True
        Q = apply(P)
        step = rho / _inner(P, Q)
        for c, column in enumerate(open_):
            X[:, column] += step[c] * P[:, c]
            R[:, c] -= step[c] * Q[:, c]
        Z = inverse * R
        new = _inner(R, Z)
        P = np.asfortranarray(Z + (new / rho) * P)
        rho = new
        keep = rho > goal[open_]
        if not keep.all():
            open_, rho = open_[keep], rho[keep]
            R, P = np.asfortranarray(R[:, keep]), np.asfortranarray(P[:, keep])
    return X, len(open_) == 0


def _inner(A, B):
    """Real inner products of columns."""
    if A.dtype.kind == "c" or B.dtype.kind == "c":
        return np.einsum("ij,ij->j", A.conj(), B).real
    return np.einsum("ij,ij->j", A, B)


def posterior_variances(H, gamma, squares, s2, rng, n_probes, *, tol=1e-4):
    """Estimate the posterior variances for given prior variances.

    `squares` are the squared norms of the columns.
    """
    root = np.sqrt(gamma)[:, None]
    P = _probes(rng, len(gamma), n_probes).astype(H.dtype)

    def apply(Z):
        return Z + root * H.adjoint(H.forward(root * Z)) / s2

    X, _ = conjugate_gradients(
        apply, root * P, np.zeros_like(P), 1.0 + gamma * squares / s2, tol, 400
    )
    return np.clip((P.real * (root * X).real).mean(axis=1), 0.0, gamma)


def _relative(new, old):
    size = np.linalg.norm(old)
    moved = float(np.linalg.norm(new - old))
    return moved / size if size > 0 else float(moved > 0)


def maximize_evidence_cofem(
    H,
    Y,
    *,
    scale,
    gamma_init,
    noise,
    stop,
    total,
    prune_tol,
    n_probes,
    cg_tol,
    cg_max_iter,
    rng,
):
    """Expectation maximization with estimated posterior variances.

    Parameters
    ----------
    H : Products
        The design.
    Y : ndarray of shape (m, L)
        Targets.
    scale : ndarray of shape (n,)
        Norms of the columns; variances start at ``gamma_init / scale^2``.
    rng : RandomState
        Draws new probes in each iteration: with fixed ones, coordinates whose noise
        is positive would never leave the model.
    """
    n, n_targets = H.shape[1], Y.shape[1]
    learn, s2 = noise.learns, noise.first
    used = scale > 0
    squares = scale**2
    gamma = np.where(used, gamma_init, 0.0) / np.where(used, squares, 1.0)
    HY = H.adjoint(Y)
    mean = np.zeros((n, n_targets), dtype=HY.dtype)
    change, converged, cg_failed, history = np.inf, False, False, []
    dof = 0.0
    variances = gamma.copy()
    # The mean starts close to its solution, and its change is what stops the fit.
    tols = np.full(n_targets + n_probes, cg_tol)
    tols[:n_targets] *= 0.1
    n_iter = 0
    for _ in range(stop.max_iter):
        n_iter += 1
        root = np.sqrt(gamma)[:, None]
        P = _probes(rng, n, n_probes)
        B = np.asfortranarray(np.hstack([root * HY / s2, root * P]))
        X = np.zeros_like(B, order="F")
        np.divide(mean, root, out=X[:, :n_targets], where=root > 0)

        def apply(Z, root=root, s2=s2):
            out = H.adjoint(H.forward(root * Z))
            out *= root / s2
            out += Z
            return out

        X, solved = conjugate_gradients(
            apply, B, X, 1.0 + gamma * squares / s2, tols, cg_max_iter
        )
        cg_failed |= not solved
        new_mean = root * X[:, :n_targets]
        # Sigma = Gamma^1/2 (I + G)^-1 Gamma^1/2, its diagonal by the probes.
        estimate = (P * (root * X[:, n_targets:].real)).mean(axis=1)
        variances = np.clip(estimate, 0.0, gamma)
        new = square(new_mean).mean(axis=1) + variances
        new_s2, inside = s2, gamma > 0
        dof = float((1.0 - estimate[inside] / gamma[inside]).sum())
        dof = min(max(dof, 0.0), float(min(total, inside.sum())))
        if learn:
            error = square(Y - H.forward(new_mean)).sum() / n_targets
            new_s2 = max((error + s2 * dof) / total, noise.floor)
        # The variances are noisy, and the mean alone may rest while they move.
        change = _relative(new_mean, mean)
        change = max(change, 0.1 * _relative(new * squares, gamma * squares))
        history.append(change)
        mean = new_mean
        asked = stop.asked(change)
        if change <= stop.tol:
            converged = True
            break
        if asked:
            break
        gamma, s2 = new, new_s2
        gamma[gamma < prune_tol * gamma.max()] = 0.0
        if not gamma.any():
            mean[:] = 0.0
            change, converged, dof = 0.0, True, 0.0
            break
    return CofemResult(
        gamma=gamma,
        noise_variance=float(s2),
        mean=mean,
        variances=variances,
        dof=dof,
        change=change,
        converged=converged,
        n_iter=n_iter,
        cg_failed=cg_failed,
        history=history,
    )
