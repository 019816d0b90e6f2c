"""Points in few dimensions, sorted into cells, so that passes skip what is far.

A tree of halvings along the widest side orders the points; its leaves are the cells,
and the parts of a coarser depth are the points of a coarser problem.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.validation import read_only
from sparsestat.transport._costs import PointCost
from sparsestat.transport._kernels_points import METRIC_CODES

__all__ = ["CellCost", "coarsened", "sort_points", "worth_sorting"]

_CELL = 24  # points in a cell, about
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
        for start, stop in zip(parts[:-1], parts[1:], strict=True):
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
        self.metric, self.X, self.Y = metric, X, Y  # centred already
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

    def groups(self, depth):
        """Return the part of a depth that each column is in."""
        parts = self.y_depths[depth]
        return np.repeat(np.arange(len(parts) - 1, dtype=np.int32), np.diff(parts))

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


def coarsened(cost, a, b, depth):
    """Return the problem between the parts of a depth, and how far points moved.

    A part is its centre of mass; the displacement is the mean cost of moving there.
    """
    X, left, x_moved = _centres(cost.X, a, cost.x_depths, depth, cost.metric)
    Y, right, y_moved = _centres(cost.Y, b, cost.y_depths, depth, cost.metric)
    coarse = CellCost(
        X,
        Y,
        cost.metric,
        _shorter(cost.x_depths, depth),
        _shorter(cost.y_depths, depth),
    )
    return coarse, left, right, x_moved + y_moved


def _centres(X, mass, depths, depth, metric):
    depth = min(depth, len(depths) - 1)
    starts = depths[depth][:-1]
    sums = np.add.reduceat(mass, starts)
    centres = np.add.reduceat(mass[:, None] * X, starts, axis=0) / sums[:, None]
    moved = X - np.repeat(centres, np.diff(depths[depth]), axis=0)
    if metric == "cityblock":
        away = np.abs(moved).sum(axis=1)
    else:
        away = np.einsum("ij,ij->i", moved, moved)
        away = away if metric == "sqeuclidean" else np.sqrt(away)
    return centres, sums, mass @ away / sums.sum()


def _shorter(depths, depth):
    """Return the depths above `depth`, counted in its parts."""
    depth = min(depth, len(depths) - 1)
    last = depths[depth]
    return [np.searchsorted(last, parts) for parts in depths[: depth + 1]]
