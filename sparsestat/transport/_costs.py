"""Costs as blocks of rows: a matrix in memory, or points whose costs are made anew."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.spatial.distance import cdist

from sparsestat._utils.validation import read_only

__all__ = ["METRICS", "MatrixCost", "PointCost", "pairwise_cost"]

METRICS = ("sqeuclidean", "euclidean", "cityblock", "cosine")
_BLOCK_BYTES = 1 << 24  # a block of costs: 16 MiB
_GEMM_FROM = 24  # dimensions from which a product beats sums of differences


def pairwise_cost(X, Y, metric):
    """Return the matrix of costs between the rows of X and those of Y."""
    if metric == "cosine":
        return _cosine(_unit_rows(X), _unit_rows(Y))
    if metric == "sqeuclidean" and X.shape[1] >= _GEMM_FROM:
        return _squared(X, Y, np.einsum("ij,ij->i", X, X), np.einsum("ij,ij->i", Y, Y))
    return cdist(X, Y, metric)


def _unit_rows(X):
    norms = np.linalg.norm(X, axis=1)
    if not norms.all():
        raise ValueError(
            "metric='cosine' needs points with a direction, but row "
            f"{int(np.argmin(norms))} is all zeros. Remove it or choose another metric."
        )
    return X / norms[:, None]


def _cosine(X, Y):
    out = X @ Y.T
    np.subtract(1.0, out, out=out)
    return np.maximum(out, 0.0, out=out)


def _squared(X, Y, xx, yy):
    out = X @ Y.T
    out *= -2.0
    out += xx[:, None]
    out += yy[None, :]
    return np.maximum(out, 0.0, out=out)


class MatrixCost:
    """A dense cost matrix, float64 or float32, C-contiguous."""

    def __init__(self, C):
        self.C = read_only(np.ascontiguousarray(C))
        self.shape = self.C.shape
        self.dtype = self.C.dtype
        self._transposed = None

    @property
    def T(self):
        """The transposed cost; made once."""
        if self._transposed is None:
            self._transposed = MatrixCost(self.C.T)
            self._transposed._transposed = self
        return self._transposed

    def blocks(self):
        """Yield ``(start, stop, rows)``: the whole matrix at once."""
        yield 0, self.shape[0], self.C

    def take(self, rows, columns):
        """Return the cost between some rows and some columns."""
        n, m = self.shape
        if len(rows) == n and len(columns) == m:
            return self
        return MatrixCost(self.C[np.ix_(rows, columns)])

    def sample(self, size=1_000_000):
        """Return finite costs from which scales are read off, about `size`."""
        C = self.C
        step = max(1, C.size // size) | 1  # odd: not one column again and again
        some = C.reshape(-1)[::step] if step > 1 else C.reshape(-1)
        finite = some[np.isfinite(some)]
        return finite if len(finite) else C[np.isfinite(C)]

    def entries(self, rows, columns):
        """Return the costs of single arcs."""
        return self.C[rows, columns].astype(np.float64)


class PointCost:
    """Costs between points, computed block by block when they are visited."""

    def __init__(self, X, Y, metric):
        self.metric = metric
        self.X, self.Y = X, Y
        if metric == "sqeuclidean":
            # Distances do not move with the origin, but rounding does.
            center = 0.5 * (X.mean(axis=0) + Y.mean(axis=0))
            self.X, self.Y = X - center, Y - center
        self.shape = (len(X), len(Y))
        self.dtype = np.dtype(np.float64)

    @property
    def T(self):
        """The cost with the two sets of points exchanged."""
        return PointCost(self.Y, self.X, self.metric)

    def blocks(self):
        """Yield ``(start, stop, rows)`` in blocks of a few megabytes."""
        n, m = self.shape
        size = max(1, min(n, _BLOCK_BYTES // (8 * m)))
        for start in range(0, n, size):
            stop = min(start + size, n)
            yield start, stop, read_only(self._rows(start, stop))

    def _rows(self, start, stop):
        return pairwise_cost(self.X[start:stop], self.Y, self.metric)

    def take(self, rows, columns):
        """Return the cost between some of the points."""
        return PointCost(self.X[rows], self.Y[columns], self.metric)

    def sample(self, size=490_000):
        """Return costs between evenly spaced points of both sets."""
        n, m = self.shape
        side = max(1, int(size**0.5))
        return pairwise_cost(
            self.X[:: max(1, n // side)], self.Y[:: max(1, m // side)], self.metric
        ).ravel()

    def entries(self, rows, columns):
        """Return the costs of single arcs."""
        out = np.empty(len(rows))
        for start in range(0, len(rows), 65536):
            stop = start + 65536
            X, Y = self.X[rows[start:stop]], self.Y[columns[start:stop]]
            if self.metric == "cosine":
                X, Y = _unit_rows(X), _unit_rows(Y)
                out[start:stop] = np.maximum(1 - np.einsum("ij,ij->i", X, Y), 0)
            elif self.metric == "cityblock":
                out[start:stop] = np.abs(X - Y).sum(axis=1)
            else:
                squares = ((X - Y) ** 2).sum(axis=1)
                out[start:stop] = (
                    squares if self.metric == "sqeuclidean" else np.sqrt(squares)
                )
        return out
