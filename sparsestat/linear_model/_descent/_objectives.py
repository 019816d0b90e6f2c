"""What block descent needs to know of an objective, behind one face.

A problem holds its iterate ``w`` (flat) and, beside it, a product that is kept up to
date: the linear predictor, or A w. A *change* is what a step adds to that product.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat.linear_model._forests._forests import SparseSystem
from sparsestat.linear_model._penalized import _kernels_cd as kernels

__all__ = ["LinearProblem", "Penalty", "QuadraticProblem", "SoftmaxProblem"]


class Penalty:
    """A separable penalty: None, l1, nonneg, mcp or scad, of one strength.

    Parameters
    ----------
    kind : {None, "l1", "nonneg", "mcp", "scad"}
        ``nonneg`` is ``alpha * w`` on ``w >= 0``. The concave penalties have the
        usual shapes, 3 for MCP and 3.7 for SCAD.
    alpha : float
    """

    GAMMA = 3.0
    A = 3.7

    def __init__(self, kind, alpha):
        self.kind, self.alpha = kind, float(alpha)
        codes = {
            "l1": kernels.L1,
            "nonneg": kernels.L1_PLUS,
            "mcp": kernels.MCP,
            "scad": kernels.SCAD,
        }
        self.code = codes.get(kind)
        self.params = np.array([self.A])
        # The concavity that the kernels take as their second strength.
        self.concavity = {"mcp": 1.0 / self.GAMMA, "scad": 1.0 / (self.A - 1.0)}.get(
            kind, 0.0
        )

    def strengths(self, m):
        """Return the two strengths of m coordinates, as the kernels want them."""
        return np.full(m, self.alpha), np.full(m, self.concavity)

    def values(self, w):
        """Return the penalty of each coordinate."""
        t = np.abs(w)
        if self.kind is None:
            return np.zeros_like(t)
        if self.kind == "mcp":
            flat = 0.5 * self.GAMMA * self.alpha**2
            curved = self.alpha * t - 0.5 * t * t / self.GAMMA
            return np.where(t < self.GAMMA * self.alpha, curved, flat)
        if self.kind == "scad":
            a, alpha = self.A, self.alpha
            middle = (2 * a * alpha * t - t * t - alpha**2) / (2 * (a - 1.0))
            flat = 0.5 * (a + 1.0) * alpha**2
            return np.where(
                t <= alpha, alpha * t, np.where(t < a * alpha, middle, flat)
            )
        return self.alpha * t

    def differences(self, w, d):
        """Return ``penalty(w + d) - penalty(w)`` without cancellation for small d."""
        new = w + d
        if self.kind is None:
            return np.zeros_like(new)
        plain = self.values(new) - self.values(w)
        # |w + d| - |w| as long as zero is not crossed, and the sum of the two.
        rise = np.where(w != 0, np.sign(w), np.sign(d)) * d
        both = np.abs(w) + np.abs(new)
        inside = w * new >= 0
        low = np.maximum(np.abs(w), np.abs(new))
        high = np.minimum(np.abs(w), np.abs(new))
        if self.kind == "mcp":
            curved = inside & (low < self.GAMMA * self.alpha)
            exact = self.alpha * rise - 0.5 * rise * both / self.GAMMA
            return np.where(curved, exact, plain)
        if self.kind == "scad":
            a, alpha = self.A, self.alpha
            middle = inside & (high > alpha) & (low < a * alpha)
            exact = rise * (2 * a * alpha - both) / (2 * (a - 1.0))
            return np.where(
                inside & (low <= alpha), alpha * rise, np.where(middle, exact, plain)
            )
        return np.where(inside, self.alpha * rise, plain)

    def slopes(self, w):
        """Return the derivative of the penalty in |w|."""
        t = np.abs(w)
        if self.kind is None:
            return np.zeros_like(t)
        if self.kind == "mcp":
            return np.maximum(self.alpha - t / self.GAMMA, 0.0)
        if self.kind == "scad":
            falling = np.maximum(self.A * self.alpha - t, 0.0) / (self.A - 1.0)
            return np.where(t <= self.alpha, self.alpha, falling)
        return np.full_like(t, self.alpha)

    def prox(self, w, g, curvature):
        """Minimize ``g d + curvature d^2 / 2 + penalty(w + d)``; return w + d."""
        if self.kind is None:
            return w - g / curvature
        m = len(w)
        curvature = np.broadcast_to(np.asarray(curvature, dtype=np.float64), (m,))
        out = np.empty(m)
        lam, second = self.strengths(m)
        kernels.prox_all(
            self.code, self.params, curvature * w - g, lam, curvature.copy(), second,
            out,
        )  # fmt: skip
        return out

    def violations(self, w, g):
        """Return the distance of zero to each coordinate's subdifferential."""
        if self.kind is None:
            return np.abs(g)
        active = np.abs(g + self.slopes(w) * np.sign(w))
        if self.kind == "nonneg":
            return np.where(w > 0, active, np.maximum(-(g + self.alpha), 0.0))
        return np.where(w != 0, active, np.maximum(np.abs(g) - self.alpha, 0.0))

    def movements(self, w, g, curvature):
        """Return how far a proximal step with these curvatures moves."""
        return np.abs(self.prox(w, g, curvature) - w)

    def decreases(self, w, g, curvature):
        """Return the decrease of each coordinate's own quadratic model."""
        d = self.prox(w, g, curvature) - w
        model = g * d + 0.5 * curvature * d * d
        return np.maximum(-(model + self.differences(w, d)), 0.0)


class _Problem:
    """What all problems share."""

    has_bound = True
    groups = None

    def step(self, b, d, change):
        """Move to w + d on the block b."""
        self.w[b] += d
        self.product += change


def _squares(X, weights):
    """Return ``sum_i weights_i X_ij^2`` for every column."""
    if sparse.issparse(X):
        return np.asarray(X.multiply(X).T @ weights).ravel()
    return np.einsum("ij,ij,i->j", X, X, weights)


class LinearProblem(_Problem):
    """``datafit(X w) / total`` with one coefficient for each column.

    Parameters
    ----------
    X : ndarray or csc_array of shape (n_samples, n_features)
    datafit : object
        As described in `_datafits.py`.
    """

    def __init__(self, X, datafit):
        self.X, self.datafit, self.total = X, datafit, datafit.total
        self.n_coef = X.shape[1]
        self.has_bound = datafit.curvature_bound is not None
        self._fixed = None
        if self.has_bound:
            self._fixed = datafit.smoothness / self.total
        self._size = abs(X)

    def start(self, w):
        """Begin at w."""
        self.w = w
        self.product = self._predict(w)

    def refresh(self):
        """Recompute the product, which gathers rounding errors."""
        self.product = self._predict(self.w)

    def _predict(self, w):
        return self.X @ w

    def value(self):
        """Return the smooth part at w."""
        return self.datafit.value(self.product) / self.total

    def value_after(self, b, d, change):
        """Return the smooth part after a step."""
        return self.datafit.value(self.product + change) / self.total

    def gradient(self):
        """Return the gradient of the smooth part."""
        return self.X.T @ (self.datafit.gradient(self.product) / self.total)

    def change(self, b, d):
        """Return what a step d on the block b adds to the product."""
        return self.X[:, b] @ d

    def _weights(self):
        """Return the curvatures of the samples in the quadratic bound or model."""
        if self._fixed is not None:
            return self._fixed
        return self.datafit.curvature(self.product) / self.total

    def lipschitz(self):
        """Return the curvature of each coordinate."""
        return _squares(self.X, self._weights())

    def row_sums(self):
        """Return an upper bound of the absolute row sums of the Hessian's bound."""
        return self._size.T @ (self._weights() * self._size.sum(axis=1))

    def bound_block(self, b):
        """Return the upper bound of the Hessian on the block b."""
        return _gram(self.X[:, b], self._weights())

    def hessian_block(self, b):
        """Return the Hessian on the block b."""
        A = self.X[:, b]
        if sparse.issparse(A):
            A = A.toarray()
        eta = self.product
        H = self.datafit.gram(A, eta, self.datafit.curvature(eta)) / self.total
        return H

    def multiply(self, d):
        """Return the bound of the Hessian times d."""
        return self.X.T @ (self._weights() * (self.X @ d))


def _gram(A, weights):
    if sparse.issparse(A):
        if min(A.shape) and A.nnz > 0.1 * A.shape[0] * A.shape[1]:
            A = A.toarray()
        else:
            return (A.T @ A.multiply(weights[:, None]).tocsc()).toarray()
    return A.T @ (weights[:, None] * A)


class SoftmaxProblem(_Problem):
    """Multinomial log loss over a table of features by classes, kept row by row.

    Coordinate ``j * n_classes + k`` is the coefficient of feature j for class k, so
    that consecutive blocks of n_classes coordinates hold all classes of one feature.
    """

    def __init__(self, X, datafit):
        self.X, self.datafit, self.total = X, datafit, datafit.total
        self.k = datafit.n_classes
        self.n_coef = X.shape[1] * self.k
        self._sizes = datafit.weights / self.total
        self._size = abs(X)

    def start(self, w):
        """Begin at w."""
        self.w = w
        self.refresh()

    def refresh(self):
        """Recompute the product, which gathers rounding errors."""
        self.product = self.X @ self.w.reshape(-1, self.k)

    def value(self):
        """Return the smooth part at w."""
        return self.datafit.value(self.product) / self.total

    def value_after(self, b, d, change):
        """Return the smooth part after a step."""
        return self.datafit.value(self.product + change) / self.total

    def gradient(self):
        """Return the gradient of the smooth part."""
        return (self.X.T @ (self.datafit.gradient(self.product) / self.total)).ravel()

    def change(self, b, d):
        """Return what a step d on the block b adds to the product."""
        features, row = np.unique(b // self.k, return_inverse=True)
        D = np.zeros((len(features), self.k))
        D[row, b % self.k] = d
        return self.X[:, features] @ D

    def lipschitz(self):
        """Return the curvature of each coordinate."""
        return np.repeat(0.25 * _squares(self.X, self._sizes), self.k)

    def row_sums(self):
        """Return an upper bound of the absolute row sums of the Hessian's bound."""
        sums = self._size.T @ (self._sizes * self._size.sum(axis=1))
        # (1 - 1/K) / 2 from the class itself, K - 1 times 1 / (2K) from the others.
        return np.repeat((1.0 - 1.0 / self.k) * sums, self.k)

    def bound_block(self, b):
        """Return the upper bound of the Hessian on the block b."""
        features, row = np.unique(b // self.k, return_inverse=True)
        classes = b % self.k
        G = _gram(self.X[:, features], self._sizes)[np.ix_(row, row)]
        # All classes outside the block can be merged into one.
        kept = min(self.k, len(np.unique(classes)) + 1)
        return 0.5 * G * ((classes[:, None] == classes) - 1.0 / kept)

    def hessian_block(self, b):
        """Return the Hessian on the block b."""
        features, row = np.unique(b // self.k, return_inverse=True)
        classes = b % self.k
        A = self.X[:, features]
        Z = (A.toarray() if sparse.issparse(A) else A)[:, row]
        P = self.datafit.probabilities(self.product)[:, classes]
        B = P * Z
        H = -(B.T @ (self._sizes[:, None] * B))
        same = classes[:, None] == classes
        H += np.where(same, (self._sizes[:, None] * B).T @ Z, 0.0)
        return 0.5 * (H + H.T)

    def multiply(self, d):
        """Return the bound of the Hessian times d."""
        M = self.X @ d.reshape(-1, self.k)
        M -= M.mean(axis=1, keepdims=True)
        M *= 0.5 * self._sizes[:, None]
        return (self.X.T @ M).ravel()


class QuadraticProblem(_Problem):
    """``w' A w / 2 - b' w`` with a sparse positive definite matrix.

    Parameters
    ----------
    A : csr_array of shape (n, n)
        Symmetric, checked.
    b : ndarray of shape (n,)
    """

    def __init__(self, A, b):
        self.A, self.b = A, b
        self.n_coef = len(b)
        self.system = SparseSystem.from_matrix(A)
        self._columns = sparse.csc_array(A)

    def start(self, w):
        """Begin at w."""
        self.w = w
        self.refresh()

    def refresh(self):
        """Recompute A w, which gathers rounding errors."""
        self.product = self.A @ self.w

    def value(self):
        """Return the objective at w."""
        return 0.5 * float(self.w @ (self.product - self.b)) - 0.5 * float(
            self.w @ self.b
        )

    def value_after(self, b, d, change):
        """Return the objective after a step."""
        slope = float(d @ (self.product[b] - self.b[b]))
        return self.value() + slope + 0.5 * float(d @ change[b])

    def gradient(self):
        """Return A w - b."""
        return self.product - self.b

    def change(self, b, d):
        """Return A[:, b] d."""
        return self._columns[:, b] @ d

    def lipschitz(self):
        """Return the diagonal of A."""
        return self.system.diag

    def row_sums(self):
        """Return the sums of the absolute values of the rows."""
        return np.asarray(abs(self.A).sum(axis=1)).ravel()

    def bound_block(self, b):
        """Return A on the block b."""
        return self._columns[:, b][b].toarray()

    hessian_block = bound_block

    def multiply(self, d):
        """Return A d."""
        return self.A @ d
