"""An orthogonal factor of some columns of a design, moved from subset to subset."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.validation import read_only
from sparsestat.linear_model._subsets import _kernels_subset as kernels

__all__ = ["Factor"]

_DEPENDENT = 1e-10  # of a column's norm: less is left by the others than rounding


class Factor:
    """A thin QR factor of some columns of a design that changes column by column.

    Attributes
    ----------
    columns : list of int
        The features in the factor, in its order.
    dependent : list of int
        Features that were asked for but depend on those in the factor.
    residual : ndarray
        What the factor leaves of the target (extended by zeros for the ridge).
    """

    def __init__(self, design, target, l2=0.0):
        self.design, self.l2 = design, float(l2)
        self.n_rows = design.n_samples
        self.columns, self.dependent = [], []
        self.slots = {}  # the extra row of each column, for the ridge
        self._capacity = 0
        self._target = np.asarray(target, dtype=np.float64)
        self._reserve(16)
        self.residual = self._y.copy()

    @property
    def size(self):
        """Return the number of columns in the factor."""
        return len(self.columns)

    def _reserve(self, capacity):
        if capacity <= self._capacity:
            return
        capacity = max(capacity, 2 * self._capacity)
        k = self.size
        rows = self.n_rows + (capacity if self.l2 else 0)
        Q = np.zeros((rows, capacity), order="F")
        R, z = np.zeros((capacity, capacity)), np.zeros(capacity)
        y = np.zeros(rows)
        y[: self.n_rows] = self._target
        if self._capacity:
            old = self._Q.shape[0]
            Q[:old, :k] = self._Q[:, :k]
            R[:k, :k], z[:k] = self._R[:k, :k], self._z[:k]
            residual = np.zeros(rows)
            residual[:old] = self.residual
            self.residual = residual
        self._Q, self._R, self._z, self._y = Q, R, z, y
        self._capacity = capacity

    def _gather(self, features):
        block = np.zeros((self._Q.shape[0], len(features)), order="F")
        index = np.asarray(features, dtype=np.intp)
        if self.l2 == 0.0:
            self.design.gather(index, block, 0)
            return block
        dense = np.empty((self.n_rows, len(features)), order="F")
        self.design.gather(index, dense, 0)
        block[: self.n_rows] = dense
        free = iter(sorted(set(range(self._capacity)) - set(self.slots.values())))
        for c, j in enumerate(features):
            self.slots[j] = next(free)
            row = self.n_rows + self.slots[j]
            block[row, c] = np.sqrt(self.l2 * self.design.squares[j])
        return block

    def append(self, features):
        """Append columns without touching the residual; return their positions.

        A column that depends on the others has position -1 and is left out.
        """
        features = [int(j) for j in features]
        self._reserve(self.size + len(features) + 1)
        placed = np.zeros(len(features), dtype=np.int64)
        kernels.append_columns(
            self._Q,
            self._R,
            self._z,
            self.residual,
            self.size,
            read_only(self._gather(features)),
            _DEPENDENT,
            placed,
        )
        for j, at in zip(features, placed, strict=True):
            if at >= 0:
                self.columns.append(j)
            else:
                self.slots.pop(j, None)
        return placed

    def truncate(self, size):
        """Forget the columns appended last, so that `size` are left."""
        for j in self.columns[size:]:
            self.slots.pop(j, None)
        del self.columns[size:]

    def move_to(self, features):
        """Change the factor to the listed features."""
        wanted = {int(j) for j in features}
        for at in range(self.size - 1, -1, -1):
            if self.columns[at] not in wanted:
                kernels.remove_column(self._Q, self._R, self._z, self.size, at)
                self.slots.pop(self.columns.pop(at), None)
        held = set(self.columns)
        missing = [int(j) for j in features if int(j) not in held]
        self.dependent = []
        if missing:
            placed = self.append(missing)
            self.dependent = [
                j for j, at in zip(missing, placed, strict=True) if at < 0
            ]
        self.refresh()

    def refresh(self):
        """Recompute the residual from the orthonormal columns, twice."""
        Q = self._Q[:, : self.size]
        self._z[: self.size] = Q.T @ self._y
        residual = self._y - Q @ self._z[: self.size]
        correction = Q.T @ residual
        self._z[: self.size] += correction
        self.residual = residual - Q @ correction

    def coefficients(self):
        """Return the coefficients in the order of `columns`."""
        w = np.empty(self.size)
        kernels.solve_triangle(self._R, self._z, w)
        return w

    def orthonormal(self):
        """Return the rows of the orthonormal columns that belong to samples."""
        return self._Q[: self.n_rows, : self.size]

    def triangle(self, size):
        """Return views of R and z for the first `size` columns."""
        return self._R[:size, :size], self._z[:size]
