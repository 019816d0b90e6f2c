r"""Exact transport between many points in few dimensions, on few arcs.

The simplex runs on candidates: the arcs of least reduced cost of each point, which
reduced costs of a coarser problem tell. All pairs are then priced by cells; arcs that
are better than what is there join the candidates, until there are none. The dual
variables are feasible for all pairs then, in memory that grows with n + m.

In the spirit of Schmitzer, "A sparse multiscale algorithm for dense optimal transport",
Journal of Mathematical Imaging and Vision 56, 2016; the proof here is by bounds of
boxes, not by shielding.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.validation import read_only
from sparsestat.transport import _kernels_arcs as kernels
from sparsestat.transport._cells import coarse_problem, worth_sorting
from sparsestat.transport._kernels_simplex import grow_tree
from sparsestat.transport._simplex import FAST, Run, Tree, integer_masses, solve_tree

__all__ = ["has_candidates", "nearest_costs", "solve_points"]

_FROM = 9_000_000  # arcs: below, all of them are priced by the dense simplex
_COARSE = 1024  # points of a side at which the coarsest problem is solved
_FACTOR = 8  # points of a part, from one problem to the next
_FIRST, _MORE = 12, 8  # arcs of each point: to begin with, and in each round
_MOST_ROUNDS = 100


def has_candidates(cost):
    """Say whether costs are between points whose cells can be skipped, and many."""
    return worth_sorting(cost) and cost.shape[0] * cost.shape[1] >= _FROM


def solve_points(cost, a, b):
    """Return the optimal tree of a CellCost, and the exponent of its masses' unit."""
    cross = _coarse_potentials(cost, a, b)
    left, right, exponent = integer_masses(a, b)
    run = _PointRun(cost, len(a), len(b))
    run.start_near(cross, left, right)
    run.optimize_all(cross)
    nearest, worst = run.prove()
    return (
        Tree(
            run.parent,
            run.flow,
            run.high,
            run.low,
            nearest,
            worst,
            run.n,
            run.n_pivots,
            run.n_idle,
            run.finished,
            False,
            1.0,
        ),
        exponent,
    )


def _coarse_potentials(cost, a, b):
    """Return potentials of the columns from a problem between centers of parts."""
    small, left, right = coarse_problem(cost, a, b, _FACTOR)
    if max(small.shape) > _COARSE:
        tree, _ = solve_points(small, left, right)
    else:
        swapped = small.shape[0] < small.shape[1]
        C = np.vstack([C for _, _, C in small.blocks()])
        if swapped:
            C, left, right = np.ascontiguousarray(C.T), right, left
        tree = solve_tree(C, *integer_masses(left, right)[:2])
        if swapped:
            tree.high = np.concatenate([tree.high[tree.n :], tree.high[: tree.n]])
    rows = small.shape[0]
    # The best that a column finds among the parts: -min (C + potential of the part).
    _, values, _ = _best(
        cost.Y, small.T, np.zeros(cost.shape[1]), tree.high[:rows], np.inf, 1
    )
    return -values[:, 0]


def _best(points, cost, own, cross, limit, most):
    """Return columns, values and counts of the least reduced costs of points."""
    n = len(points)
    columns, values = np.empty((n, most), np.int32), np.empty((n, most))
    counts = np.empty(n, np.int64)
    kernels.best_arcs(
        read_only(np.ascontiguousarray(points)),
        read_only(np.ascontiguousarray(cost.Y)),
        cost.y_cells,
        cost.low,
        cost.high,
        cost.code,
        read_only(own),
        read_only(np.ascontiguousarray(cross)),
        float(limit),
        columns,
        values,
        counts,
    )
    return columns, values, counts


def nearest_costs(cost):
    """Return the smallest cost of each row."""
    none = np.zeros(sum(cost.shape))
    return _best(cost.X, cost, none[: cost.shape[0]], none[cost.shape[0] :], np.inf, 1)[
        1
    ][:, 0]


class _PointRun(Run):
    """A tree of arcs between points, and the candidates for it."""

    def __init__(self, cost, n, m):
        super().__init__(False, n, m)
        self.cost = cost
        self.X = read_only(np.ascontiguousarray(cost.X))
        self.Y = read_only(np.ascontiguousarray(cost.Y))
        self.cells = (cost.y_cells, cost.low, cost.high, cost.code)

    def start_near(self, cross, left, right):
        """Begin with the tree in which rows fill what is cheapest at these duals."""
        arcs = self.n + self.m - 1
        rows, columns = np.empty(arcs, np.int32), np.empty(arcs, np.int32)
        flows = np.empty(arcs, np.int64)
        kernels.nearest_open_arcs(
            self.X,
            self.Y,
            *self.cells,
            read_only(cross),
            read_only(left),
            read_only(right),
            rows,
            columns,
            flows,
        )
        grow_tree(
            rows,
            columns,
            flows,
            self.parent,
            self.thread,
            self.rev,
            self.size,
            self.last,
            self.flow,
        )

    def optimize_all(self, cross):
        """Pivot on candidates, and let arcs join them, until no pair is better."""
        n, m = self.n, self.m
        own, pairs = np.zeros(n), np.empty(0, np.int64)
        corners = [self.X.min(axis=0), self.Y.min(axis=0)]
        far = np.maximum(self.X.max(axis=0), self.Y.max(axis=0)) - np.minimum(*corners)
        tol = FAST * kernels.cost_of(far, np.zeros_like(far), self.cost.code)
        most, limit = _FIRST, np.inf
        for _ in range(_MOST_ROUNDS):
            columns, values, counts = _best(self.X, self.cost, own, cross, limit, most)
            found = _pairs(columns, counts, m)
            if limit == np.inf:  # columns too choose their rows
                rows = _best(self.Y, self.cost.T, cross, -values[:, 0], limit, most)
                j, i = np.divmod(_pairs(rows[0], rows[2], n), n)
                found = np.concatenate([found, i * m + j])
            elif not len(found):
                break
            pairs = np.union1d(pairs, found)
            self.pivot_on(pairs, tol)
            if not self.finished:
                break
            own, cross = self.high[:n].copy(), self.high[n:].copy()
            most, limit = _MORE, -tol

    def pivot_on(self, pairs, tol):
        """Pivot until no reduced cost of these pairs is below -tol."""
        i, j = np.divmod(pairs, self.m)
        ptr = np.searchsorted(i, np.arange(self.n + 1))
        found = kernels.pivots_of_arcs(
            self.X,
            self.Y,
            self.cost.code,
            read_only(ptr),
            read_only(j.astype(np.int32)),
            read_only(self.cost.entries(i, j)),
            self.parent,
            self.thread,
            self.rev,
            self.size,
            self.last,
            self.flow,
            self.high,
            self.low,
            tol,
            self.most,
        )
        self.n_pivots += int(found[0])
        self.n_idle += int(found[1])
        self.finished = bool(found[2])

    def prove(self):
        """Return smallest costs, and bounds of reduced costs over all pairs."""
        kernels.point_potentials(
            self.X,
            self.Y,
            self.cost.code,
            self.parent,
            self.thread,
            self.high,
            self.low,
        )
        nearest, worst = np.empty(self.n), np.empty(self.n)
        kernels.worst_arcs(
            self.X, self.Y, *self.cells, self.high, self.low, nearest, worst
        )
        return nearest, worst


def _pairs(columns, counts, m):
    """Return the arcs of rows as single numbers."""
    kept = np.arange(columns.shape[1]) < counts[:, None]
    rows = np.repeat(np.arange(len(columns)), counts)
    return rows * m + columns[kept]
