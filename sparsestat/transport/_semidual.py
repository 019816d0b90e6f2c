r"""The semi-dual of entropic transport: one vector of potentials, rows exact.

With :math:`f(g)` from the soft c-transform the row sums of the plan are `a`
whatever g is, and

.. math:: S(g) = \langle a, f(g)\rangle + \langle b, g\rangle - \varepsilon\sum a

is concave with gradient b - c(g), c the column sums. Its negative Hessian times
:math:`\varepsilon` is the Laplacian of a graph on the columns.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np

from sparsestat._utils.validation import read_only
from sparsestat.transport import _kernels
from sparsestat.transport._costs import MatrixCost

__all__ = ["NOTHING", "SemiDual", "State"]

NOTHING = 2.0  # a threshold that stores no entries
_LOOSEST = 3e-3  # coarsest threshold tried before the entries are given up
_MAX_ENTRIES = 12_000_000
_MAX_ENTRIES_LAZY = 4_000_000  # where the costs themselves are not in memory


@dataclass
class State:
    """A point g with everything one pass tells about it."""

    g: np.ndarray
    f: np.ndarray
    shift: np.ndarray  # max_j (g_j - C_ij): minus the hard c-transform
    c: np.ndarray
    objective: float
    error: float
    cost: float
    entropy: float  # sum P log(P / a)
    indices: np.ndarray = None
    weights: np.ndarray = None
    ptr: np.ndarray = None
    tau: float = NOTHING


class SemiDual:
    """Passes over one problem with total mass one; counts them.

    Parameters
    ----------
    cost : MatrixCost or PointCost
        With a finite entry in each row and column.
    a, b : ndarray
        Positive masses with sum one.
    """

    def __init__(self, cost, a, b):
        self.cost = cost
        self.a, self.b = read_only(a), read_only(b)
        self.log_a, self.log_b = read_only(np.log(a)), np.log(b)
        self.n, self.m = cost.shape
        self.cut = 37.0 + np.log(max(self.n, self.m))
        most = _MAX_ENTRIES if isinstance(cost, MatrixCost) else _MAX_ENTRIES_LAZY
        self.max_entries = min(most, self.n * self.m)
        self._least_tau = {}  # by strength: below it the entries did not fit
        self._indices = self._weights = None
        self.n_passes = 0

    def evaluate(self, g, eps, tau=NOTHING, loosest=_LOOSEST):
        """Visit all rows at g; entries above tau are kept if they fit."""
        eps = float(eps)
        tau = max(float(tau), self._least_tau.get(eps, 0.0))
        while True:
            state = self._evaluate(g, eps, tau)
            if state is not None:
                return state
            tau = max(30.0 * tau, 1e-12) if tau < loosest else NOTHING
            self._least_tau[eps] = tau

    def _evaluate(self, g, eps, tau):
        n, m = self.n, self.m
        g = np.ascontiguousarray(g, dtype=np.float64)
        f, shift, c, stats = np.empty(n), np.empty(n), np.zeros(m), np.zeros(2)
        storing = tau <= 1.0
        size = min(self.max_entries, max(16 * n, 4 * m)) if storing else 0
        indices, weights = np.empty(size, np.int32), np.empty(size)
        ptr, nnz = np.zeros(n + 1, np.int64), 0
        view = read_only(g)
        self.n_passes += 1
        for start, stop, rows in self.cost.blocks():
            part, row = slice(start, stop), 0
            offsets = ptr[start : stop + 1]
            while True:
                row, nnz = _kernels.row_pass(
                    rows,
                    row,
                    view,
                    self.a[part],
                    self.log_a[part],
                    eps,
                    self.cut,
                    f[part],
                    shift[part],
                    c,
                    stats,
                    tau,
                    indices,
                    weights,
                    offsets,
                    nnz,
                )
                if row == stop - start:
                    break
                if len(indices) >= self.max_entries:
                    return None  # too many: the caller raises the threshold
                grown = min(self.max_entries, 2 * len(indices) + m)
                indices = np.concatenate([indices[:nnz], np.empty(grown - nnz, "i4")])
                weights = np.concatenate([weights[:nnz], np.empty(grown - nnz)])
        objective = self.a @ f + self.b @ g - eps
        error = np.abs(c - self.b).sum()
        state = State(g, f, shift, c, objective, error, stats[0], stats[1])
        if storing:
            state.indices, state.weights, state.ptr = indices, weights, ptr
            state.tau = tau
        return state

    def updated_columns(self, state, eps):
        """Return g after Sinkhorn's update of the columns.

        The update is g + eps log(b/c). Columns whose sum is below what the row
        pass resolves are summed up again relative to their own largest entries.
        """
        floor = 1e-7 / self.m
        if state.c.min() > floor:
            return state.g + eps * (self.log_b - np.log(state.c))
        return eps * self.log_b - self.column_softmax(state.f, eps)

    def column_softmax(self, f, eps):
        """Return eps log sum_i exp((f_i - C_ij)/eps) for all columns."""
        shift, sums = np.full(self.m, -np.inf), np.zeros(self.m)
        f = read_only(f)
        for start, stop, rows in self.cost.blocks():
            _kernels.column_shifts(rows, f[start:stop], shift)
        for start, stop, rows in self.cost.blocks():
            _kernels.column_sums(
                rows, f[start:stop], read_only(shift), float(eps), self.cut, sums
            )
        self.n_passes += 2
        return shift + eps * np.log(sums)

    def centred(self, g):
        """Move the constant that P does not see out of g."""
        return g - self.b @ g

    def floor(self, state, eps):
        """Return the marginal error that rounding of the exponents allows for."""
        largest = np.abs(state.f).max() + np.abs(state.g).max()
        return 8.0 * np.finfo(float).eps * largest / eps

    def rounded(self, state, eps):
        """Return the cost of a feasible plan made from the state's, and marginals.

        Columns that got too much are scaled down; what is then missing is added as
        a product of two vectors [Altschuler, Weed, Rigollet 2017].
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.where(state.c > self.b, self.b / state.c, 1.0)
        rows, stats = np.empty(self.n), np.zeros(1)
        view = read_only(state.g)
        for start, stop, C in self.cost.blocks():
            part = slice(start, stop)
            _kernels.rounding_pass(
                C, view, self.a[part], y, float(eps), self.cut, rows[part], stats
            )
        missing_rows = np.maximum(self.a - rows, 0.0)
        missing_columns = np.maximum(self.b - state.c * y, 0.0)
        total = missing_columns.sum()
        value, forbidden = stats[0], False
        if total > 0 and missing_rows.sum() > 0:
            missing_rows *= total / missing_rows.sum()
            for start, stop, C in self.cost.blocks():
                for low in range(0, stop - start, 1024):
                    piece = C[low : low + 1024].astype(np.float64)
                    closed = np.isinf(piece)
                    if closed.any():
                        forbidden = True
                        largest = np.abs(piece[~closed]).max(initial=0.0)
                        piece[closed] = largest
                    part = missing_rows[start + low : start + low + len(piece)]
                    value += part @ (piece @ missing_columns) / total
        return value, forbidden
