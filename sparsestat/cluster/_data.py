"""Centred, weighted rows behind one interface, dense or sparse."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import linalg, sparse

__all__ = ["CentredRows", "row_blocks"]

_BLOCK = 65_536  # rows handled at once: bounds every temporary array


def row_blocks(n):
    """Yield slices that cover n rows."""
    for start in range(0, n, _BLOCK):
        yield slice(start, min(start + _BLOCK, n))


class CentredRows:
    """The matrix with rows ``sqrt(w_i) (x_i - mean)``, never formed if X is sparse.

    With weights every quantity is that of the data in which point i stands `w_i`
    times; `root` is the vector that the plain problem calls 1.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Points in double precision.
    weights : ndarray of shape (n_samples,), default=None
        Positive weights. None means 1.
    """

    def __init__(self, X, weights=None):
        n = X.shape[0]
        self.is_sparse = sparse.issparse(X)
        self.shape = X.shape
        self.weights = np.ones(n) if weights is None else weights
        self.total_weight = float(self.weights.sum())
        self.root = np.sqrt(self.weights)
        self.mean = np.asarray(X.T @ self.weights).ravel() / self.total_weight
        if self.is_sparse:
            self._X = sparse.diags_array(self.root).tocsr() @ X
        else:
            # A second pass takes out what the first mean lost to rounding when the
            # data lie far from the origin.
            rows = X - self.mean
            shift = (self.weights @ rows) / self.total_weight
            rows -= shift
            self.mean = self.mean + shift
            rows *= self.root[:, None]
            self._X = rows
        self.sum_of_squares = self._sum_of_squares()

    def _sum_of_squares(self):
        if not self.is_sparse:
            return float(np.vdot(self._X, self._X))
        raw = float(np.vdot(self._X.data, self._X.data))
        return max(raw - self.total_weight * float(self.mean @ self.mean), 0.0)

    def dot(self, V):
        """Return ``rows @ V`` for V of shape (n_features, k) or (n_features,)."""
        out = self._X @ V
        if self.is_sparse:
            out = out - np.multiply.outer(self.root, self.mean @ V)
        return out

    def t_dot(self, U):
        """Return ``rows.T @ U`` for U of shape (n_samples, k) or (n_samples,)."""
        out = self._X.T @ U
        if self.is_sparse:
            out = out - np.multiply.outer(self.mean, self.root @ U)
        return np.asarray(out)

    def block(self, rows):
        """Return the dense rows of a slice or an index array.

        Dense X gives a view where it can; sparse X gives a dense copy of few rows.
        """
        part = self._X[rows]
        if self.is_sparse:
            part = part.toarray() - np.multiply.outer(self.root[rows], self.mean)
        return part

    def gram(self):
        """Return the (n, n) Gram matrix of the rows; for moderate n only."""
        if not self.is_sparse:
            return self._X @ self._X.T
        gram = (self._X @ self._X.T).toarray()
        cross = np.multiply.outer(self._X @ self.mean, self.root)
        gram -= cross + cross.T
        gram += (self.mean @ self.mean) * np.multiply.outer(self.root, self.root)
        return gram

    def spectral_norm(self, n_steps=30):
        """Return the largest singular value by power iteration, to about 1 %."""
        v = np.random.RandomState(0).standard_normal(self.shape[1])
        value = 0.0
        for _ in range(n_steps):
            size = linalg.norm(v)
            if size == 0:
                return 0.0
            v = self.t_dot(self.dot(v / size))
            previous, value = value, np.sqrt(linalg.norm(v))
            if abs(value - previous) <= 1e-4 * value:
                break
        return float(value)

    def reduced(self, limit):
        """Return rows with the same Gram matrix and at most `limit` columns.

        The Gram matrix is all that any bound depends on, so wide data lose nothing.
        The answer is this object if it is narrow enough, and None when both sides
        of the matrix are longer than `limit`.
        """
        n, d = self.shape
        if d <= limit and (d <= n or self.is_sparse):
            return self
        if n > limit:
            return None
        if self.is_sparse:
            values, vectors = linalg.eigh(self.gram())
            rows = vectors * np.sqrt(np.maximum(values, 0.0))
        else:
            triangle = linalg.qr(self._X.T, mode="r")[0][: min(n, d)]
            rows = np.ascontiguousarray(triangle.T)
        out = object.__new__(CentredRows)
        out.__dict__.update(self.__dict__)
        out.is_sparse, out._X, out.shape = False, rows, rows.shape
        out.mean = np.zeros(rows.shape[1])
        return out
