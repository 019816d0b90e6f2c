"""Centered, weighted rows behind one interface, dense or sparse."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from sparsestat._utils.arithmetic import (
    Standardization,
    extremes,
    power_of_two,
    rounding,
    standardize,
)
from sparsestat._utils.linalg import largest_eigenvalue
from sparsestat._utils.moments import row_slices
from sparsestat._utils.validation import largest_entry, read_only
from sparsestat.cluster import _kernels_rows as kernels

__all__ = ["CenteredRows", "Frame", "slices_of"]

_FAR = 1e100  # units from where on only the direction of a new point counts

# Entries of the rows handled at once, which bound every temporary array, unless that
# would be too few rows for products to pay.
_ENTRIES, _FEWEST_ROWS = 2**18, 2_048


def slices_of(shape):
    """Return slices that cover the rows of an array of the given shape."""
    return row_slices(*shape, entries=_ENTRIES, fewest=_FEWEST_ROWS)


@dataclass(frozen=True)
class Frame:
    """Coordinates about the mean, in a power of two of the largest of them.

    Where the data lie and in what units they come then cannot touch an answer.

    Attributes
    ----------
    record : Standardization
        What is taken off the columns.
    unit : float
        What the rest is divided by.
    """

    record: Standardization
    unit: float

    @classmethod
    def of(cls, X, weights=None):
        """Return the frame of X and X in it."""
        record = standardize(X, weights)
        rows = record.apply(X)
        unit = power_of_two(largest_entry(rows))
        return cls(record, unit), rows / unit

    def apply(self, X):
        """Return points in the frame, sparse where they are."""
        return self.record.apply(X) / self.unit

    def points(self, X):
        """Return new points, and what each row was multiplied by beside being moved.

        A point very far away is drawn nearer, along its direction.
        """
        rows = self.record.apply(X)
        if sparse.issparse(rows) and not rows.has_canonical_format:
            rows = rows.copy()  # or abs would sum the duplicates of X itself
        sizes = abs(rows).max(axis=1)
        sizes = sizes.toarray() if sparse.issparse(sizes) else sizes
        sizes = np.asarray(sizes, dtype=float).ravel()
        far = sizes > _FAR * self.unit
        factors = np.full(len(sizes), 1.0 / self.unit)
        factors[far] = _FAR / sizes[far]
        if sparse.issparse(rows):
            return sparse.diags_array(factors).tocsr() @ rows, factors
        return rows * factors[:, None], factors

    def invert(self, points):
        """Return points of the frame in the coordinates and units of X."""
        return points * self.unit + self.record.rest + self.record.offset


class CenteredRows:
    """The matrix with rows ``sqrt(w_i) (x_i - mean) / unit``, never formed if sparse.

    With weights every quantity is that of the data in which point i stands `w_i`
    times; `root` is the vector that the plain problem calls 1. Points and weights are
    divided by powers of two, so that no unit makes a product leave double precision;
    costs are to be multiplied by `cost_unit`.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Points in double precision.
    weights : ndarray of shape (n_samples,), default=None
        Positive weights. None means 1.
    copy : bool, default=True
        Keep a centered copy of dense X, for many products with it. If False each
        pass centers a block of rows at a time and X itself is all that is held.

    Attributes
    ----------
    magnitude : float
        What the squares of the entries add up to before a mean is subtracted as a
        rank-one term. Rounding errors of products are relative to it.
    gram_rounding : float
        How far squared distances of reduced rows are from those of the points.
    """

    def __init__(self, X, weights=None, *, copy=True):
        n = X.shape[0]
        self.is_sparse = sparse.issparse(X)
        self.in_blocks = not self.is_sparse
        self.shape = X.shape
        self.given = X
        weights = np.ones(n) if weights is None else weights
        weight_unit = power_of_two(weights.max())
        self.weights = weights / weight_unit
        self.total_weight = float(self.weights.sum())
        self.root = np.sqrt(self.weights)
        ends = extremes(X)
        self.record = standardize(X, self.weights, ends)
        if self.is_sparse:
            rows = self.record.apply(X)
            self.unit = power_of_two(largest_entry(rows))
            self._X = sparse.diags_array(self.root).tocsr() @ (rows / self.unit)
            self.mean = self.record.mean / self.unit
            raw = float(np.vdot(self._X.data, self._X.data))
            self.magnitude = raw
            raw -= self.total_weight * float(self.mean @ self.mean)
            self.sum_of_squares = max(raw, 0.0)
        else:
            self._X = X
            low, high = ends - self.record.offset - self.record.rest
            self.unit = power_of_two(max(abs(low).max(), abs(high).max()))
            self.mean = np.zeros(X.shape[1])
            blocks = (block for _, block in self.blocks())
            self.sum_of_squares = sum(float(np.vdot(block, block)) for block in blocks)
            self.magnitude = self.sum_of_squares
            if copy:
                self.in_blocks, self._X = False, self.block(slice(None))
        self.gram_rounding = 0.0
        self.cost_unit = self.unit**2 * weight_unit
        if not 0.0 < self.cost_unit * self.sum_of_squares < np.inf:
            if self.sum_of_squares > 0.0:
                raise ValueError(
                    "Squared distances times sample_weight leave double precision: "
                    f"points vary by {self.unit:.1e}, and the largest weight is "
                    f"{weight_unit:.1e}. Rescale one of them."
                )

    @property
    def frame(self):
        """The coordinates in which the rows are."""
        return Frame(self.record, self.unit)

    def rows(self):
        """Return the centered points in the unit, sparse where they are, unweighted."""
        return self.record.apply(self.given) / self.unit

    def dot(self, V):
        """Return ``rows @ V`` for V of shape (n_features, k) or (n_features,)."""
        if self.in_blocks:
            out = np.empty((self.shape[0], *V.shape[1:]))
            for rows, block in self.blocks():
                out[rows] = block @ V
            return out
        out = self._X @ V
        if self.is_sparse:
            out = out - np.multiply.outer(self.root, self.mean @ V)
        return out

    def t_dot(self, U):
        """Return ``rows.T @ U`` for U of shape (n_samples, k) or (n_samples,)."""
        if self.in_blocks:
            return np.asarray(sum(block.T @ U[rows] for rows, block in self.blocks()))
        out = self._X.T @ U
        if self.is_sparse:
            out = out - np.multiply.outer(self.mean, self.root @ U)
        return np.asarray(out)

    def blocks(self):
        """Yield slices and the dense rows of each, which the next may overwrite."""
        out = None
        for rows in slices_of(self.shape):
            if self.in_blocks:
                count = rows.stop - rows.start
                out = np.empty((count, self.shape[1])) if out is None else out[:count]
            yield rows, self.block(rows, out)

    def block(self, rows, out=None):
        """Return the dense rows of a slice or an index array.

        Centered dense rows give a view where they can; others a copy of few rows, which
        is written to `out` where that is given.
        """
        part = self._X[rows]
        if self.is_sparse:
            part = part.toarray() - np.multiply.outer(self.root[rows], self.mean)
        elif self.in_blocks:
            out = np.empty(part.shape) if out is None else out
            factors = self.root[rows] / self.unit
            if part.flags.c_contiguous:
                record = self.record.offset, self.record.rest, factors
                kernels.centered(read_only(part), *map(read_only, record), out)
                return out
            part = np.subtract(part, self.record.offset, out=out)
            part -= self.record.rest
            part *= factors[:, None]
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
        square = largest_eigenvalue(
            lambda v: self.t_dot(self.dot(v)), v, n_iter=n_steps, rtol=2e-4
        )
        return float(np.sqrt(square))

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
            rows = np.ascontiguousarray(vectors * np.sqrt(np.maximum(values, 0.0)))
        else:
            wide = self.block(slice(None))
            triangle = linalg.qr(wide.T, mode="r")[0][: min(n, d)]
            rows = np.ascontiguousarray(triangle.T)
        out = object.__new__(CenteredRows)
        out.__dict__.update(self.__dict__)
        out.is_sparse, out._X, out.shape = False, rows, rows.shape
        out.in_blocks = False
        if self.is_sparse:
            out.gram_rounding = rounding(8 * n) * self.magnitude
        out.mean = np.zeros(rows.shape[1])
        return out

    def all_equal_within(self, labels):
        """Whether the points of each cluster are one and the same, bit by bit."""
        first = np.unique(labels, return_index=True)[1]
        for rows in slices_of(self.shape):
            same = self.given[first[labels[rows]]]
            if (abs(self.given[rows] - same)).max() > 0:
                return False
        return True
