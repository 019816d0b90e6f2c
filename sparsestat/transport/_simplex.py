r"""A network simplex on integer masses, proved optimal in twice double precision.

Masses become integers of total about :math:`2^{60}`, so that flows and ratio tests are
exact. Pivots run in double precision first. The tree found is then priced with
potentials that are sums of two doubles; only if that does not prove it optimal, pivots
go on in that precision.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np

from sparsestat._utils.arithmetic import EPS, power_of_two
from sparsestat._utils.validation import read_only
from sparsestat.transport import _kernels_proof as proof
from sparsestat.transport import _kernels_simplex as kernels

__all__ = ["FAST", "CutOff", "Run", "Tree", "integer_masses", "solve_tree"]

_BITS = 60
# Few columns, and so many times more rows, are visited column by column.
_SHORT, _TALL = 64, 4
FAST = 1e-14  # reduced costs that count in the fast phase, over the largest cost
_PROVED = 1e-14  # gap that proves a tree, over its cost above the row minima
_PRECISE = 1e-27
_CLOSED = 1e300  # a cost that never enters; infinity would turn into NaN
_WIDE, _NARROW = 1e100, 1e-100  # largest costs that are not rescaled
_OFFSET = 8.0  # times the spread of costs, from where on offsets are taken off


class CutOff(ValueError):
    """Forbidden arcs keep masses apart.

    `rows` have more mass than `columns`, all that they reach, by `short`; a flow of
    `stuck` had to go from `stuck_rows` to `stuck_columns` on forbidden arcs.
    """

    def __init__(self, rows, columns, short, stuck, stuck_rows, stuck_columns):
        super().__init__("No plan exists.")
        self.rows, self.columns, self.short = rows, columns, short
        self.stuck = stuck
        self.stuck_rows, self.stuck_columns = stuck_rows, stuck_columns


@dataclass
class Tree:
    """An optimal basis: its flows in integers and its potentials.

    ``costs + pot[row] + pot[column]``, with ``pot = high + low``, is the reduced cost.
    """

    parent: np.ndarray
    flow: np.ndarray
    high: np.ndarray
    low: np.ndarray
    least: np.ndarray  # smallest cost of each row
    worst: np.ndarray  # a bound below the reduced costs of each row, 0 at most
    n: int
    n_pivots: int
    n_idle: int
    finished: bool
    precise: bool
    unit: float  # of the costs and potentials

    def arcs(self):
        """Return rows, columns and integer flows of the arcs that carry any."""
        return proof.tree_arcs(self.n, self.parent, self.flow)


def integer_masses(a, b):
    """Return both masses in integers of equal totals, and their unit's exponent."""
    exponent = _BITS - int(np.log2(power_of_two(max(a.sum(), b.sum()))))
    left = np.rint(np.ldexp(a, exponent)).astype(np.int64)
    # A column without mass could not hang below a row in a strongly feasible tree.
    right = np.maximum(np.rint(np.ldexp(b, exponent)).astype(np.int64), 1)
    more = int(left.sum()) - int(right.sum())
    if more > 0:
        right = _spread(right, more)
    elif more < 0:
        left = _spread(left, -more)
    return left, right, -exponent


def _spread(mass, more):
    """Add integers of total `more` in proportion to the masses."""
    added = np.floor(more * (mass / mass.sum())).astype(np.int64)
    rest = more - int(added.sum())
    order = np.argsort(-mass, kind="stable")
    added += rest // len(mass)
    added[order[: rest % len(mass)]] += 1
    return mass + added


def solve_tree(C, left, right):
    """Return the optimal tree of costs with at least as many rows as columns.

    Parameters
    ----------
    C : ndarray of shape (n, m)
        Costs in double precision; infinity forbids an arc.
    left, right : ndarray of int64
        Masses of equal totals, those of columns positive.
    """
    n, m = C.shape
    flat = m < _SHORT and n > _TALL * m
    L = np.ascontiguousarray(C.T if flat else C)
    low, high, offset = proof.survey(read_only(L), flat)
    closed, largest = None, max(high, -low)
    if high == np.inf:
        closed = np.isinf(L)
        largest = float(np.abs(np.where(closed, 0.0, L)).max())
    unit = 1.0
    if not _NARROW <= largest <= _WIDE and largest > 0:
        unit = power_of_two(largest)
        L, largest, offset = L / unit, largest / unit, offset / unit
    run = Run(flat, n, m)
    if closed is None:
        in_order = kernels.is_monge(read_only(L), 4.0 * EPS * largest)
        run.start(L, left, right, in_order)
    else:
        run.start(closed.astype(np.float64), left, right, False)
    if closed is None:
        least, worst = run.optimize(L, largest, offset, left)
    else:
        least, worst = _with_closed(run, L, closed, largest, left, right)
    return Tree(
        run.parent,
        run.flow,
        run.high,
        run.low,
        least,
        np.minimum(worst, 0.0),
        n,
        run.n_pivots,
        run.n_idle,
        run.finished,
        run.precise,
        unit,
    )


class Run:
    """The arrays of a tree while it changes, and counts."""

    def __init__(self, flat, n, m):
        N = n + m
        self.flat, self.n, self.m = flat, n, m
        self.parent, self.thread, self.rev, self.size, self.last = (
            np.empty(N, np.int32) for _ in range(5)
        )
        self.flow = np.empty(N, np.int64)
        self.high, self.low = np.zeros(N), np.zeros(N)
        self.n_pivots = self.n_idle = 0
        self.finished, self.precise = False, False
        self.most = 2000 * N + 100_000

    def start(self, L, left, right, in_order):
        kernels.start_tree(
            read_only(L),
            self.flat,
            read_only(left),
            read_only(right),
            in_order,
            self.parent,
            self.thread,
            self.rev,
            self.size,
            self.last,
            self.flow,
        )

    def pivot(self, L, tol, precise):
        found = kernels.pivots(
            read_only(L),
            self.flat,
            self.n,
            self.parent,
            self.thread,
            self.rev,
            self.size,
            self.last,
            self.flow,
            self.high,
            self.low,
            precise,
            float(tol),
            self.most,
        )
        self.n_pivots += int(found[0])
        self.n_idle += int(found[1])
        self.finished = bool(found[2])

    def price(self, L):
        """Return smallest costs, and bounds of reduced costs at the tree's duals."""
        kernels.tree_potentials(
            read_only(L),
            self.flat,
            self.n,
            self.parent,
            self.thread,
            self.high,
            self.low,
        )
        return self.scan(L)

    def scan(self, L):
        least, worst = np.empty(self.n), np.empty(self.n)
        proof.least_reduced(
            read_only(L), self.flat, self.n, self.high, self.low, least, worst
        )
        return least, worst

    def optimize(self, L, largest, offset, left):
        """Pivot to the optimum of these costs; return what pricing it tells.

        Offsets of rows and columns are taken off where the least costs of rows, of a
        size up to `offset`, are not small beside the largest cost.
        """
        reduced = L if _OFFSET * offset < largest else self._reduced(L, largest)
        size = largest if reduced is L else float(np.abs(_finite(reduced)).max())
        tol = FAST * size
        self.pivot(reduced, tol, False)
        # Where the tree leaves the dearest arcs alone, smaller differences count.
        inside = FAST * float(np.abs(self.high).max())
        if self.finished and 0.0 < inside < 1e-2 * tol:
            self.pivot(reduced, inside, False)
        least, worst = self.price(L)
        if not self._proved(L, least, worst, left):
            self.precise = True
            self.pivot(L, _PRECISE * largest, True)
            least, worst = self.price(L)
        return least, worst

    def _reduced(self, L, largest):
        """Return the costs without offsets of rows and columns, if that helps."""
        own, other = (0, 1) if self.flat else (1, 0)
        out = L - L.min(axis=own, keepdims=True)
        out -= out.min(axis=other, keepdims=True)
        out[L >= _CLOSED] = _CLOSED
        return out if _OFFSET * _finite(out).max() < largest else L

    def _proved(self, L, least, worst, left):
        return proof.is_proved(
            read_only(L),
            self.flat,
            self.n,
            self.parent,
            self.flow,
            read_only(left),
            least,
            worst,
            _PROVED,
        )


def _finite(L):
    return L[L < _CLOSED] if L.max() >= _CLOSED else L


def _with_closed(run, L, closed, largest, left, right):
    """Optimize where arcs are forbidden.

    Costs of one on forbidden arcs tell whether there is a plan. If so, arcs with a
    positive reduced cost there carry nothing in any plan and are left out. Forbidden
    arcs among the rest carry nothing as long as the others are left out, whatever they
    cost; and the duals of the first problem mend those of the second on arcs left out.
    """
    n, flat = run.n, run.flat
    run.pivot(closed.astype(np.float64), 0.5, False)
    first = run.high.copy()  # small integers: exact
    i, j, flow = proof.tree_arcs(n, run.parent, run.flow)
    bad = closed[j, i] if flat else closed[i, j]
    if bad.any():
        raise _cut_off(run, first, left, right, (flow[bad], i[bad], j[bad]))
    by_line, by_place = (first[n:], first[:n]) if flat else (first[:n], first[n:])
    out = closed + by_line[:, None] + by_place > 0.5
    second = np.where(out, _CLOSED, np.where(closed, 0.0, L))
    del out
    _, _, offset = proof.survey(read_only(second), flat)
    least, worst = run.optimize(second, largest, offset, left)
    # On open arcs that were left out the duals may be too large: there, and only
    # there, the duals of the first problem are below zero, by at least one.
    whole = np.where(closed, _CLOSED, L)
    least, worst = run.scan(whole)
    slack = -(by_line[:, None] + by_place)
    reduced = L + _outer(run.high, n, flat)
    with np.errstate(invalid="ignore", divide="ignore"):
        needed = np.where(~closed & (slack < -0.5), reduced / slack, 0.0).max()
    if needed > 0:
        times = 2.0 * power_of_two(2.0 * needed)
        move = times * first
        s = run.high + move
        part = s - run.high
        run.low += (run.high - (s - part)) + (move - part)
        run.high = s
        least, worst = run.scan(whole)
    return least, worst


def _outer(pot, n, flat):
    return pot[n:, None] + pot[:n] if flat else pot[:n, None] + pot[n:]


def _cut_off(run, pot, left, right, stuck):
    """Return the error that names rows which reach too little mass.

    Duals of the problem with costs of one cut rows and columns into levels: open arcs
    lead from rows of a level to columns at or beyond it.
    """
    u, v = -pot[: run.n], pot[run.n :]
    best = None
    for level in np.unique(u):
        rows, columns = u >= level, v >= level
        short = int(left[rows].sum()) - int(right[columns].sum())
        if best is None or short > best[0]:
            best = (short, np.flatnonzero(rows), np.flatnonzero(columns))
    return CutOff(best[1], best[2], best[0], *stuck)
