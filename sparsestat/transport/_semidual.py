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

from sparsestat._utils.arithmetic import EPS
from sparsestat._utils.validation import read_only
from sparsestat.transport import _kernels, _kernels_points
from sparsestat.transport._cells import CellCost
from sparsestat.transport._costs import MatrixCost

__all__ = ["NOTHING", "SemiDual", "State"]

NOTHING = 2.0  # a threshold that stores no entries
_LOOSEST = 3e-3  # coarsest threshold tried before the entries are given up
_LOOSEST_OF_A_PLAN = 0.03
_FINEST_GROUPS, _COARSEST_GROUPS = 0.1, 2.0  # strengths moved within a group
_MAX_ENTRIES = 12_000_000
_MAX_ENTRIES_LAZY = 3_000_000  # where the costs themselves are not in memory
_MAX_PLAN_LAZY = 8_000_000
_SAMPLE = 40_000  # costs that tell how much they differ
_LOST = 1e-13  # of the value, to the rounding of potentials
_FLAT = 1e3  # times the differences of costs, where the plan hardly depends on them
_NO_WEIGHTS = read_only(np.empty(0))
_ALONE = read_only(np.empty(0, np.int32))  # columns that are not grouped
_STORE_NOTHING = (NOTHING, np.empty(0, np.int32), np.empty(0), np.zeros(1, np.int64), 0)


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
    group: np.ndarray = None  # of each column, where entries are sums over groups

    def drop_entries(self):
        """Give back the memory of the entries, most of what a state takes."""
        self.indices = self.weights = self.ptr = None


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
        self.precision = 0.0
        self.set_precision(1e-16)
        matrix = isinstance(cost, MatrixCost)
        most = _MAX_ENTRIES if matrix else _MAX_ENTRIES_LAZY
        self.max_entries = min(most, self.n * self.m)
        most = _MAX_ENTRIES if matrix else _MAX_PLAN_LAZY
        self.max_plan = min(most, self.n * self.m)
        self._least_tau = {}  # by strength: below it the entries did not fit
        self._moved = {}  # by strength: how large groups of columns must be to fit
        self._groups = {}
        self.n_passes = 0

    def set_precision(self, relative):
        """Leave out of each row's sum what is below this share of it."""
        self.precision = max(float(relative), 8e-17)
        self.cut = float(np.log(max(self.n, self.m)) - np.log(self.precision))

    def evaluate(self, g, eps, tau=NOTHING, *, plan=False, masses=None):
        """Visit all rows at g; entries above tau are kept if they fit.

        If not, columns are grouped, or tau is raised; for a plan only the latter.
        With `masses` the sums are those of a plan with these row sums.
        """
        eps = float(eps)
        tau = max(float(tau), self._least_tau.get(eps, 0.0))
        loosest = _LOOSEST_OF_A_PLAN if plan else _LOOSEST
        most = self.max_plan if plan else self.max_entries
        while True:
            moved = None if plan else self._moved.get(eps)
            state, done = self._evaluate(g, eps, tau, most, moved, masses)
            if state is not None:
                return state
            if plan or not self._group_more(eps, done):
                tau = max(30.0 * tau, 1e-12) if tau < loosest else NOTHING
                self._least_tau[eps] = tau

    def _group_more(self, eps, done):
        """Make the groups of columns larger; say whether that was possible.

        `done` is the share of the rows whose entries did fit.
        """
        if not isinstance(self.cost, CellCost):
            return False
        moved = self._moved.get(eps)
        if moved is None:
            self._moved[eps] = _FINEST_GROUPS * eps
            return True
        if moved >= _COARSEST_GROUPS * eps:
            return False
        # In the plane the entries of a row are as many as its groups.
        self._moved[eps] = moved * min(max(1.2 / max(done, 0.1), 1.5), 4.0)
        return True

    def _grouped(self, moved):
        if moved not in self._groups:
            self._groups[moved] = read_only(self.cost.groups(moved))
        return self._groups[moved]

    def _evaluate(self, g, eps, tau, most, moved, masses):
        n, m = self.n, self.m
        g = np.ascontiguousarray(g, dtype=np.float64)
        f, shift, c, stats = np.empty(n), np.empty(n), np.zeros(m), np.zeros(2)
        storing = tau <= 1.0
        lazy = isinstance(self.cost, CellCost)  # pages not written to take no memory
        size = most if lazy else min(most, max(16 * n, 4 * m))
        size = size if storing else 0
        group = None
        if storing and moved is not None:
            group = self._grouped(moved)
        indices, weights = np.empty(size, np.int32), np.empty(size)
        ptr, nnz = np.zeros(n + 1, np.int64), 0
        view, a = read_only(g), self.a if masses is None else read_only(masses)
        self.n_passes += 1
        for start, stop, rows in self._parts():
            part, row = slice(start, stop), 0
            while True:
                row, nnz = self._rows(
                    rows,
                    row,
                    (view, a[part], self.log_a[part], eps, self.cut),
                    (f[part], shift[part], c, stats),
                    (tau, indices, weights, ptr[start : stop + 1], nnz),
                    group,
                )
                if row == stop - start:
                    break
                if len(indices) >= most:
                    return None, (start + row) / n  # too many: the caller sees to it
                grown = min(most, 2 * len(indices) + m)
                indices = np.concatenate([indices[:nnz], np.empty(grown - nnz, "i4")])
                weights = np.concatenate([weights[:nnz], np.empty(grown - nnz)])
        objective = self.a @ f + self.b @ g - eps
        error = np.abs(c - self.b).sum()
        state = State(g, f, shift, c, objective, error, stats[0], stats[1])
        if storing:
            state.indices, state.weights, state.ptr = indices, weights, ptr
            state.tau, state.group = tau, group
        return state, 1.0

    def dwarfed(self, state, eps):
        """Return the range of costs where potentials dwarf them, and None elsewhere.

        A pass takes costs for differences of potentials, which grow with the entropy.
        """
        if EPS * np.abs(state.g).max() <= _LOST * state.cost:
            return None
        sample = self.cost.sample(_SAMPLE)
        if not len(sample) or eps <= _FLAT * float(np.median(sample - sample.min())):
            return None
        return float(np.ptp(sample))

    def cost_of_plan(self, f, g, eps):
        """Return what a plan costs, from costs and entries themselves."""
        total = 0.0
        for start, stop, C in self.cost.blocks():
            P = np.exp((f[start:stop, None] + g - C) / eps)
            used = P > 0.0
            total += float((P[used] * C[used]).sum())
        return total

    def _parts(self):
        """Yield the parts of a pass: blocks of costs, or all rows at once."""
        if isinstance(self.cost, CellCost):
            return [(0, self.n, None)]
        return self.cost.blocks()

    def _rows(self, C, row, given, sums, kept, group):
        if C is not None:
            return _kernels.row_pass(C, row, *given, *sums, *kept)
        none = np.empty(0)
        return self._cell_pass(row, given, sums, kept, _NO_WEIGHTS, none, group)

    def _cell_pass(self, row, given, sums, kept, y, rows, group=None):
        cost = self.cost
        group = _ALONE if group is None else group
        return _kernels_points.cell_pass(
            cost.rows,
            cost.x_cells,
            cost.columns,
            cost.y_cells,
            cost.low,
            cost.high,
            cost.code,
            row,
            *given,
            *sums,
            *kept,
            group,
            int(group[-1]) + 1 if len(group) else self.m,
            read_only(y),
            rows,
        )

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
        if isinstance(self.cost, CellCost):
            flipped = SemiDual(self.cost.T, self.b, self.a)
            flipped.set_precision(self.precision)
            self.n_passes += 1
            return eps * self.log_b - flipped.evaluate(f, eps).f
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

    def centered(self, g):
        """Move the constant that P does not see out of g."""
        return g - self.b @ g

    def floor(self, state, eps):
        """Return the marginal error that rounding of the exponents can explain."""
        largest = np.abs(state.f).max() + np.abs(state.g).max()
        return 8.0 * EPS * largest / eps

    def at_floor(self, state, eps):
        """Say whether rounding of the exponents can explain the marginal error."""
        return state.error <= self.floor(state, eps)

    def rounded(self, state, eps):
        """Return the cost of a feasible plan made from the state's, and marginals.

        Columns that got too much are scaled down; what is then missing is added as
        a product of two vectors [Altschuler, Weed, Rigollet 2017].
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.where(state.c > self.b, self.b / state.c, 1.0)
        rows, stats = np.empty(self.n), np.zeros(1)
        view, eps = read_only(state.g), float(eps)
        for start, stop, C in self._parts():
            part = slice(start, stop)
            if C is None:
                given = (view, self.a, self.log_a, eps, self.cut)
                empty = np.empty(0)
                sums = (empty, empty, empty, stats)
                self._cell_pass(0, given, sums, _STORE_NOTHING, y, rows)
                continue
            _kernels.rounding_pass(
                C, view, self.a[part], y, eps, self.cut, rows[part], stats
            )
        missing_rows = np.maximum(self.a - rows, 0.0)
        missing_columns = np.maximum(self.b - state.c * y, 0.0)
        total = missing_columns.sum()
        value, forbidden = stats[0], False
        if total > 0 and missing_rows.sum() > 0:
            missing_rows *= total / missing_rows.sum()
            added, forbidden = self._product_cost(missing_rows, missing_columns)
            value += added / total
        return value, forbidden

    def _product_cost(self, left, right):
        """Return the cost of the plan left right^T, and whether arcs are closed.

        A closed arc counts as the dearest open one of its block.
        """
        cost = self.cost
        if getattr(cost, "metric", None) == "sqeuclidean":
            squares = [np.einsum("ij,ij->i", Z, Z) for Z in (cost.X, cost.Y)]
            inner = (left @ cost.X) @ (right @ cost.Y)
            return (
                (left @ squares[0]) * right.sum()
                + left.sum() * (right @ squares[1])
                - 2.0 * inner
            ), False
        value, forbidden = 0.0, False
        for start, stop, C in cost.blocks():
            for low in range(0, stop - start, 1024):
                piece = C[low : low + 1024].astype(np.float64)
                closed = np.isinf(piece)
                if closed.any():
                    forbidden = True
                    piece[closed] = np.abs(piece[~closed]).max(initial=0.0)
                part = left[start + low : start + low + len(piece)]
                value += part @ (piece @ right)
        return value, forbidden
