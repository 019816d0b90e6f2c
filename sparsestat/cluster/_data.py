"""Centred, weighted rows behind one interface, dense or sparse."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import linalg, sparse

__all__ = ["CentredRows", "row_blocks"]

# Entries of the rows handled at once, which bound every temporary array, unless that
# would be too few rows for products to pay.
_ENTRIES, _FEWEST_ROWS = 2**18, 2_048


def row_blocks(shape):
    """Yield slices that cover the rows of an array of the given shape."""
    n, d = shape
    step = max(_FEWEST_ROWS, _ENTRIES // max(d, 1))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


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
    copy : bool, default=True
        Keep a centred copy of dense X, for many products with it. If False each
        pass centres a block of rows at a time and X itself is all that is held.
    """

    def __init__(self, X, weights=None, *, copy=True):
        n = X.shape[0]
        self.is_sparse = sparse.issparse(X)
        self.in_blocks = not self.is_sparse
        self.shape = X.shape
        self.weights = np.ones(n) if weights is None else weights
        self.total_weight = float(self.weights.sum())
        self.root = np.sqrt(self.weights)
        self.mean = np.asarray(X.T @ self.weights).ravel() / self.total_weight
        if self.is_sparse:
            self._X = sparse.diags_array(self.root).tocsr() @ X
            raw = float(np.vdot(self._X.data, self._X.data))
            raw -= self.total_weight * float(self.mean @ self.mean)
            self.sum_of_squares = max(raw, 0.0)
            return
        # A second pass takes out what the first mean lost to rounding when the data
        # lie far from the origin.
        self._X = X
        shift, squares = np.zeros(X.shape[1]), 0.0
        for rows in row_blocks(X.shape):
            block = self.block(rows)
            shift += self.root[rows] @ block
            squares += float(np.vdot(block, block))
        shift /= self.total_weight
        self.mean = self.mean + shift
        squares -= self.total_weight * float(shift @ shift)
        self.sum_of_squares = max(squares, 0.0)
        if copy:
            self.in_blocks, self._X = False, self.block(slice(None))

    def dot(self, V):
        """Return ``rows @ V`` for V of shape (n_features, k) or (n_features,)."""
        if self.in_blocks:
            out = np.empty((self.shape[0], *V.shape[1:]))
            for rows in row_blocks(self.shape):
                out[rows] = self.block(rows) @ V
            return out
        out = self._X @ V
        if self.is_sparse:
            out = out - np.multiply.outer(self.root, self.mean @ V)
        return out

    def t_dot(self, U):
        """Return ``rows.T @ U`` for U of shape (n_samples, k) or (n_samples,)."""
        if self.in_blocks:
            blocks = row_blocks(self.shape)
            return np.asarray(sum(self.block(rows).T @ U[rows] for rows in blocks))
        out = self._X.T @ U
        if self.is_sparse:
            out = out - np.multiply.outer(self.mean, self.root @ U)
        return np.asarray(out)

    def block(self, rows):
        """Return the dense rows of a slice or an index array.

        Centred dense rows give a view where they can; others a copy of few rows.
        """
        part = self._X[rows]
        if self.is_sparse:
            part = part.toarray() - np.multiply.outer(self.root[rows], self.mean)
        elif self.in_blocks:
            part = part - self.mean
            part *= self.root[rows, None]
        return part

    def gram(self):
        """Return the (n, n) Gram matrix of the rows; for moderate n only."""
        if not self.is_sparse:
            rows = self.block(slice(None))
            return rows @ rows.T
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
            wide = self.block(slice(None))
            triangle = linalg.qr(wide.T, mode="r")[0][: min(n, d)]
            rows = np.ascontiguousarray(triangle.T)
        out = object.__new__(CentredRows)
        out.__dict__.update(self.__dict__)
        out.is_sparse, out._X, out.shape = False, rows, rows.shape
        out.in_blocks = False
        out.mean = np.zeros(rows.shape[1])
        return out
