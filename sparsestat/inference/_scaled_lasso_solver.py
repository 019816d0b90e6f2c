r"""The scaled Lasso: coefficients and noise level from one convex problem.

.. math:: \min_{b, \sigma}\; \frac{\|y - X b\|^2}{2 n \sigma} + \frac{\sigma}{2}
   + \lambda_0 \|b\|_1,

on centered columns with :math:`\|X_j\|^2 = n`. At a fixed :math:`\sigma` this is the
Lasso of strength :math:`\lambda_0 \sigma`, and on its support E with signs s the best
:math:`\sigma` has a closed form. Minimized over :math:`\sigma` it is the square-root
Lasso, whose duality gap is the certificate.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import qr, solve_triangular

from sparsestat._utils.arithmetic import power_of_two, rounding
from sparsestat.exceptions import ConvergenceWarning
from sparsestat.linear_model import Lasso

__all__ = [
    "ActiveSet",
    "ScaledSolution",
    "centered_target",
    "gap_rounding",
    "scaled_lasso",
    "universal_strength",
]

_FLOOR = 1e-6  # of the spread of y: below it the noise level has collapsed
_RANK = 1e-10
_ROWS = 8192  # of a block of products, so that few additions follow each other


def universal_strength(factor, n, p):
    """Return ``factor * sqrt(2 log(p) / n)``, for one column as for two."""
    return factor * np.sqrt(2.0 * np.log(max(p, 2)) / n)


def centered_target(y):
    """Return y without its mean in units of a power of two, the unit and the mean."""
    mean = float(y.mean())
    rest = y - mean
    mean += float(rest.mean())
    rest = rest - rest.mean()
    unit = power_of_two(np.abs(rest).max(initial=0.0))
    return rest / unit, unit, mean


class ActiveSet:
    """Least squares on a few columns, and the Lasso with given signs on them.

    Parameters
    ----------
    Z : {ndarray, csr matrix} of shape (n_samples, n_features)
        Columns; those that are used are centered here.
    columns : ndarray of int
        Which ones are used.
    y : ndarray of shape (n_samples,)
        Centered.
    """

    def __init__(self, Z, columns, y):
        part = Z[:, columns]
        part = part.toarray() if sparse.issparse(part) else np.asarray(part)
        part = part - part.mean(axis=0)
        self.columns, self.part, self.y = columns, part, y
        self.has_full_rank = len(columns) < len(y)
        if not self.has_full_rank:
            return
        self.Q, self.R = qr(part, mode="economic")
        size = np.abs(np.diag(self.R))
        norms = np.sqrt(np.einsum("ij,ij->j", part, part))
        self.has_full_rank = bool((size > _RANK * norms).all())
        if self.has_full_rank:
            self.ols = solve_triangular(self.R, self.Q.T @ y)
            self.rss = float(np.sum((y - self.Q @ (self.Q.T @ y)) ** 2))

    def dependent(self):
        """Return which of the columns the ones before them explain."""
        triangle = qr(self.part, mode="r")[0]
        size = np.zeros(len(self.columns))
        diagonal = np.abs(np.diag(triangle))
        size[: len(diagonal)] = diagonal
        norms = np.sqrt(np.einsum("ij,ij->j", self.part, self.part))
        return np.flatnonzero(size <= _RANK * norms)

    def half_solve(self, v):
        """Return ``R^-T v``, whose square is ``v' (X'X)^-1 v``."""
        return solve_triangular(self.R, v, trans="T")

    def solve(self, v):
        """Return ``(X'X)^-1 v``."""
        return solve_triangular(self.R, self.half_solve(v))


@dataclass(frozen=True)
class ScaledSolution:
    """A solution of the scaled Lasso on standardized columns.

    Parameters
    ----------
    coef : ndarray of shape (n_features,)
    sigma : float
        Noise level, in the units of the target.
    residual : ndarray of shape (n_samples,)
    gap, rounding : float
        Of the square-root Lasso, relative to the spread of the target.
    n_iter : int
        Number of Lasso problems.
    collapsed : bool
        Whether the noise level fell to its floor.
    """

    coef: np.ndarray
    sigma: float
    residual: np.ndarray
    gap: float
    rounding: float
    n_iter: int
    collapsed: bool

    @property
    def sigma_df(self):
        """Noise level with degrees of freedom taken off; 0.0 if none are left."""
        free = len(self.residual) - 1 - np.count_nonzero(self.coef)
        if free < 1:
            return 0.0
        return float(np.sqrt(self.residual @ self.residual / free))


def scaled_lasso(Z, y, strength, *, tol=1e-8, max_iter=20):
    """Minimize over coefficients and the noise level in turn.

    Parameters
    ----------
    Z : {ndarray, csr matrix} of shape (n_samples, n_features)
        Columns of variance one. Dense ones are centered, sparse ones nearly so.
    y : ndarray of shape (n_samples,)
        Centered.
    strength : float
        Lambda_0.
    tol : float, default=1e-8
        Relative duality gap to stop at.
    max_iter : int, default=20
        Largest number of Lasso problems.
    """
    n = len(y)
    spread = float(np.sqrt(y @ y / n))
    if spread == 0.0:
        zeros = np.zeros(Z.shape[1])
        return ScaledSolution(zeros, 0.0, y, 0.0, 0.0, 0, False)
    means = np.asarray(Z.mean(axis=0)).ravel()
    sigma, known = spread, None
    best, best_gap = None, np.inf
    for n_iter in range(1, max_iter + 1):  # noqa: B007
        coef = _lasso(Z, y, strength * sigma)
        support = np.flatnonzero(coef)
        signs = np.sign(coef[support])
        residual = y - Z @ coef + means @ coef
        following = float(np.sqrt(residual @ residual / n))
        active = ActiveSet(Z, support, y)
        if len(support) and active.has_full_rank:
            half = active.half_solve(signs)
            shrunk = 1.0 - n * strength**2 * float(half @ half)
            if shrunk > 0.0:
                following = float(np.sqrt(active.rss / (n * shrunk)))
                exact = active.ols - n * strength * following * active.solve(signs)
                if (np.sign(exact) == signs).all():
                    coef[support] = exact
                    residual = y - active.part @ exact
        gap = _gap(Z, means, y, coef, residual, strength, spread)
        if gap < best_gap:
            best, best_gap = (coef, residual), gap
        collapsed = following <= _FLOOR * spread
        settled = known is not None and np.array_equal(known, np.sign(coef))
        known, sigma = np.sign(coef), max(following, _FLOOR * spread)
        if collapsed:
            coef = _lasso(Z, y, strength * sigma)
            residual = y - Z @ coef + means @ coef
            best = coef, residual
            best_gap = _gap(Z, means, y, coef, residual, strength, spread)
        if collapsed or gap <= 0.01 * tol or (settled and gap <= tol):
            break
    coef, residual = best
    lengths = np.sqrt(1.0 + means**2)
    chain = min(n, _ROWS) // 8 + n // _ROWS + 16
    error = gap_rounding(n, chain, coef / spread, lengths, strength)
    level = float(np.sqrt(residual @ residual / n))
    return ScaledSolution(
        coef, level, residual, float(best_gap), error, n_iter, collapsed
    )


def _lasso(Z, y, alpha):
    """Return the Lasso's coefficients; its shortcomings show in our own gap."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)  # nothing is selected: so be it
        return Lasso(alpha=alpha, tol=1e-10).fit(Z, y).coef_.astype(np.float64)


def _gap(Z, means, y, coef, residual, strength, spread):
    """Return the duality gap of the square-root Lasso relative to the spread of y."""
    root = np.sqrt(len(y))
    norm = float(np.sqrt(residual @ residual))
    primal = norm / root + strength * float(np.abs(coef).sum())
    if norm == 0.0:
        return primal / spread
    u = residual / norm
    blocks = [slice(at, at + _ROWS) for at in range(0, len(u), _ROWS)]
    products = sum(Z[rows].T @ u[rows] for rows in blocks)
    largest = float(np.abs(products - means * u.sum()).max())
    if largest > strength * root:
        u = u * (strength * root / largest)
    return max(primal - float(u @ y) / root, 0.0) / spread


def gap_rounding(n, chain, coef, lengths, strength):
    """Bound the rounding error of the gap of the square-root Lasso.

    Parameters
    ----------
    n : int
        Number of samples.
    chain : int
        Additions that follow each other in a product with a column.
    coef : ndarray of shape (n_features,)
        Coefficients relative to the spread of the target.
    lengths : ndarray of shape (n_features,)
        Norms of the columns before they are centered, over ``sqrt(n)``.
    strength : float
    """
    used = np.count_nonzero(coef)
    error = rounding(n + used + 8, 4.0)  # of norms, and of products with the target
    error += rounding(used + 8, 2.0 * float(np.abs(coef) @ lengths))  # of the residual
    # The dual point is scaled by the largest product, whose bound is the strength.
    return error + rounding(chain, 2.0 * float(lengths.max()) / strength)
