"""Knockoff copies of features: of a Gaussian model, or of a fixed design."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.linalg import qr, solve_triangular, svd

__all__ = ["FixedDesign", "Recipe", "unit_columns"]


class Recipe:
    r"""Matrices by which knockoffs are made: ``X - X B + N C'``.

    With S = diag(s), :math:`B = R^{-1} S` and :math:`C C' = 2 S - S R^{-1} S`. The
    second is not formed: from the singular values v of :math:`L^{-1} S^{1/2}`, where
    :math:`R = L L'`, its root is known, also where it is singular.

    Parameters
    ----------
    R : ndarray of shape (n_features, n_features)
        Positive definite, with a unit diagonal.
    s : ndarray of shape (n_features,)
        Feasible.
    """

    def __init__(self, R, s):
        L = np.linalg.cholesky(R)
        root = np.sqrt(s)
        K = solve_triangular(L, np.diag(root), lower=True)
        _, v, Vt = svd(K)
        two = np.sqrt(2.0)
        left = np.sqrt(np.maximum((two - v) * (two + v), 0.0))
        self.B = solve_triangular(L, K, lower=True, trans="T") * root
        self.C = (root[:, None] * Vt.T) * left

    def copies(self, X, noise):
        """Return knockoffs of X from independent noise of unit variance."""
        return X - X @ self.B + noise @ self.C.T


def unit_columns(X):
    """Return centered columns of norm one."""
    return X / np.sqrt(np.einsum("ij,ij->j", X, X))


class FixedDesign:
    """Knockoffs of given columns, without a model of where they come from.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Centered columns of norm one and of full rank.
    recipe : Recipe
        For their Gram matrix.

    Notes
    -----
    Everything lives in the ``m = n_samples - 1`` dimensions that are orthogonal to
    the ones. Where ``n_features < m < 2 n_features`` rows of zeros are appended, and
    the target gets noise there: see :meth:`target`.
    """

    def __init__(self, X, recipe):
        n, p = X.shape
        self.n_added = max(0, 2 * p - (n - 1))
        self.X = np.vstack([X, np.zeros((self.n_added, p))])
        self.recipe = recipe
        ones = np.zeros((len(self.X), 1))
        ones[:n] = n**-0.5
        self._known = np.hstack([ones, self.X])
        self._basis = qr(X, mode="economic")[0]

    def residual_variance(self, y):
        """Return the noise variance that least squares on X estimates."""
        n, p = len(y), self.X.shape[1]
        rest = y - self._basis @ (self._basis.T @ y)
        return float(rest @ rest) / (n - 1 - p)

    def target(self, y, rng):
        """Return a centered target with noise in the rows that were appended."""
        if self.n_added == 0:
            return y
        noise = np.sqrt(self.residual_variance(y)) * rng.standard_normal(self.n_added)
        return np.concatenate([y, noise])

    def copies(self, rng):
        """Return knockoffs whose Gram matrix is that of X off the diagonal."""
        p = self.X.shape[1]
        fill = rng.standard_normal(self.X.shape)
        Q = qr(np.hstack([self._known, fill]), mode="economic")[0]
        return self.recipe.copies(self.X, Q[:, -p:])

    def noise_level(self, copies, y):
        """Return an estimate of the noise that treats a feature and its copy alike."""
        n, p = self.X.shape
        free = n - 1 - 2 * p
        if free < 1:
            return None
        Q = qr(np.hstack([self.X, copies]), mode="economic")[0]
        rest = y - Q @ (Q.T @ y)
        return float(np.sqrt(rest @ rest / free))
