"""Points in few dimensions, sorted into cells, so that passes skip what is far.

A tree of halvings along the widest side orders the points; its leaves are the cells,
and the parts of a coarser depth are the points of a coarser problem.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import pairwise

import numpy as np

from sparsestat._utils.validation import read_only
from sparsestat.transport._costs import PointCost
from sparsestat.transport._kernels_points import METRIC_CODES

__all__ = [
    "CellCost",
    "coarse_problem",
    "coarsened",
    "sort_points",
    "worth_sorting",
]

_CELL = 24  # points in a cell, about
_FIRST_DEPTH = 8  # coarser problems have at least 256 points of each side
_MAX_FEATURES = 4
_SORT_FROM = 1_000_000  # arcs: below, a pass over all of them is fast enough


def worth_sorting(cost):
    """Say whether boxes of points can be skipped, and whether that pays."""
    return (
        isinstance(cost, PointCost)
        and cost.metric in METRIC_CODES
        and cost.X.shape[1] <= _MAX_FEATURES
        and cost.shape[0] * cost.shape[1] >= _SORT_FROM
    )


def sort_points(X, size):
    """Order points by halving along the widest side.

    Returns the order and, depth by depth, the offsets of the parts, down to parts of
    at most `size` points.
    """
    order = np.arange(len(X))
    parts = np.array([0, len(X)])
    depths = [parts]
    while np.diff(parts).max() > size:
        edges = [0]
        for start, stop in pairwise(parts):
            if stop - start > 1:
                own = order[start:stop]
                points = X[own]
                side = np.argmax(np.ptp(points, axis=0))
                middle = (stop - start) // 2
                order[start:stop] = own[np.argpartition(points[:, side], middle)]
                edges.append(start + middle)
            edges.append(stop)
        parts = np.array(edges)
        depths.append(parts)
    return order, depths


class CellCost(PointCost):
    """Costs between sorted points; `depths` are the parts of both sides."""

    def __init__(self, X, Y, metric, x_depths, y_depths):
        self.metric, self.X, self.Y = metric, X, Y  # centered already
        self.shape, self.dtype = (len(X), len(Y)), np.dtype(np.float64)
        self.x_depths, self.y_depths = x_depths, y_depths
        self.code = METRIC_CODES[metric]
        self.rows = read_only(np.ascontiguousarray(self.X))
        self.x_cells = read_only(_cells(x_depths))
        self.y_cells = read_only(_cells(y_depths))
        starts = self.y_cells[:-1]
        self.columns = read_only(np.ascontiguousarray(self.Y.T))
        self.low = read_only(np.minimum.reduceat(self.Y, starts, axis=0))
        self.high = read_only(np.maximum.reduceat(self.Y, starts, axis=0))
        self._transposed = None

    @property
    def T(self):
        """The cost with the two sets of points exchanged; made once."""
        if self._transposed is None:
            self._transposed = CellCost(
                self.Y, self.X, self.metric, self.y_depths, self.x_depths
            )
            self._transposed._transposed = self
        return self._transposed

    def groups(self, largest):
        """Return the part of each column; moving to its center costs `largest`."""
        edges = _cut(self.Y, self.y_depths, self.metric, largest)
        return np.repeat(np.arange(len(edges) - 1, dtype=np.int32), np.diff(edges))

    @classmethod
    def of(cls, cost, size):
        """Return sorted costs and the orders of rows and columns."""
        x_order, x_depths = sort_points(cost.X, size)
        y_order, y_depths = sort_points(cost.Y, size)
        X, Y = cost.X[x_order], cost.Y[y_order]
        return cls(X, Y, cost.metric, x_depths, y_depths), x_order, y_order


def _cells(depths):
    """Return the offsets of the first depth whose parts are small."""
    for parts in depths:
        if np.diff(parts).max() <= _CELL:
            break
    return parts.astype(np.int64)


def coarsened(cost, a, b, largest):
    """Return the problem between the centers of mass of parts.

    Parts are as large as they can be while no point moves for more than `largest`.
    """
    edges = [
        _cut(points, depths, cost.metric, largest)
        for points, depths in ((cost.X, cost.x_depths), (cost.Y, cost.y_depths))
    ]
    return _between_centers(cost, a, b, edges)


def coarse_problem(cost, a, b, size):
    """Return the problem between the centers of mass of parts of at most `size`."""
    edges = [
        next(parts for parts in depths if np.diff(parts).max() <= size)
        for depths in (cost.x_depths, cost.y_depths)
    ]
    return _between_centers(cost, a, b, edges)


def _between_centers(cost, a, b, parts):
    sides = []
    for points, depths, mass, edges in (
        (cost.X, cost.x_depths, a, parts[0]),
        (cost.Y, cost.y_depths, b, parts[1]),
    ):
        starts = edges[:-1]
        sums = np.add.reduceat(mass, starts)
        share = mass / np.repeat(sums, np.diff(edges))
        centers = np.add.reduceat(share[:, None] * points, starts, axis=0)
        own = [np.unique(np.searchsorted(edges, parts)) for parts in depths]
        sides.append((centers, [*own, np.arange(len(edges))], sums))
    (X, x_depths, a), (Y, y_depths, b) = sides
    return CellCost(X, Y, cost.metric, x_depths, y_depths), a, b


def _cut(points, depths, metric, largest):
    """Return the edges of the largest parts within which moving costs `largest`."""
    covered = np.zeros(len(points), bool)
    edges = np.ones(len(points) + 1, bool)
    for parts in depths[_FIRST_DEPTH:]:
        starts = parts[:-1]
        sides = np.maximum.reduceat(points, starts) - np.minimum.reduceat(
            points, starts
        )
        if metric == "cityblock":
            radius = 0.5 * sides.sum(axis=1)
        else:
            radius = 0.25 * np.einsum("ij,ij->i", sides, sides)
            radius = radius if metric == "sqeuclidean" else np.sqrt(radius)
        small = np.repeat(radius <= largest, np.diff(parts))
        new = small & ~covered
        edges[:-1][new] = False
        first = np.zeros(len(points), bool)
        first[starts] = True
        edges[:-1][new & first] = True
        covered |= new
    return np.flatnonzero(edges)
