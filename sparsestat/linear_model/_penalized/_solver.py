r"""Working-set solver for penalized least squares.

Minimizes :math:`\frac12\|y - A w\|^2 + \sum_j g_j(w_j)` on the columns of a
Design. Each outer iteration makes one pass over the features, which gives the
duality gap, screens features that are certainly zero (gap-safe rule, [2]_) and
enlarges a working set by the largest violations [1]_. Inside the set, coordinate
descent runs until the signs settle; then a Newton step on the support, projected
on the signs, ends the problem in finitely many steps. Where sweeps stop paying,
a semismooth-Newton augmented Lagrangian [3]_ (or, for sparse columns, Anderson
extrapolation first [4]_) takes over.

References
----------
.. [1] M. Massias, A. Gramfort, J. Salmon, "Celer: a fast solver for the Lasso with
   dual extrapolation", ICML, 2018.
.. [2] E. Ndiaye, O. Fercoq, A. Gramfort, J. Salmon, "Gap safe screening rules for
   sparsity enforcing penalties", JMLR 18, 2017.
.. [3] X. Li, D. Sun, K.-C. Toh, "A highly efficient semismooth Newton augmented
   Lagrangian method for solving Lasso problems", SIAM J. Optim. 28, 2018.
.. [4] Q. Bertrand, M. Massias, "Anderson acceleration of coordinate descent",
   AISTATS, 2021.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.optimize import nnls

from sparsestat.linear_model._penalized._augmented_lagrangian import (
    augmented_lagrangian,
)
from sparsestat.linear_model._penalized._design import is_small
from sparsestat.linear_model._penalized._gaps import squared_parts, squared_screen
from sparsestat.linear_model._penalized._group_working_sets import (
    make_group_working_set,
)
from sparsestat.linear_model._penalized._outer import OuterLoop
from sparsestat.linear_model._penalized._rounding import squared_loss_rounding
from sparsestat.linear_model._penalized._working_sets import make_working_set

__all__ = ["VIOLATION_SCALE", "SquaredLossLoop", "WorkingSetSolver"]

VIOLATION_SCALE = "largest violation of stationarity / largest gradient at zero"

_FIRST_SET = 100  # columns in the first working set
_GROWTH = 1.0  # enlarge the set at most by this share of the support, ...
_PATH_GROWTH = 0.25  # ... or this one when the start was already close
_SETTLE = 0.02  # signs have settled when at most this share changed in a sweep
_CRAWLS = 0.9  # Newton steps that meet kinks have to lower the gap to this share
_SWEEPS = 15  # coordinate descent before a heavier move is considered
_HANDOVER = 1e-2  # relative gap below which the augmented Lagrangian pays ...
_CRAWLING = 5  # ... or looks at a gap that hardly falls, as among near-copies
_MAX_CLIPS = 4  # a Newton step that clips more signs than this has failed ...
_MAX_FAILURES = 3  # ... and after so many failures Newton rests for this set
_PAYS = 0.5  # sweeps that lower the gap so much go on before a costly Newton step
_TINY = 1e-15  # a decrease of the objective that is no progress
_MEMORY = 5  # iterates of Anderson extrapolation
_MARGIN = 1e-7  # share of a strength that covers the rounding of a bound


class SquaredLossLoop(OuterLoop):
    """What solvers of squared losses share: a working set, its residual, gaps.

    Parameters
    ----------
    design : Design
    target : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Already centered and weighted by the design.
    coef : ndarray of shape (n_features,) or (n_features, n_targets), default=None
        Where to start.
    groups : Groups, default=None
        For group penalties.
    """

    def __init__(self, design, target, coef=None, groups=None):
        self.design, self.target = design, target
        self.square = float(np.vdot(target, target))
        if not np.isfinite(self.square):
            raise ValueError(
                "The squared norm of y overflows float64 or y holds NaN. Rescale y."
            )
        if groups is None:
            self.set = make_working_set(design, target)
        else:
            self.set = make_group_working_set(design, target, groups)
        self.residual = target
        if coef is not None and np.any(coef):
            used = coef if coef.ndim == 1 else coef.any(axis=1)
            self.set.hold(np.flatnonzero(used))
            self.set.w = np.array(coef[self.set.columns], dtype=np.float64)
            self.residual = self.set.residual()
        self.q = design.correlations(self.residual)

    def _begin(self, penalty):
        self._unit = self.square

    def _measure(self, penalty):
        w = np.zeros(self.q.shape)
        w[self.set.columns] = self.set.w
        r = self.residual
        parts = squared_parts(
            penalty, w, self.q, float(np.vdot(r, r)), float(np.vdot(self.target, r))
        )
        self._full, self._parts = w, parts
        measure = max(parts.gap / self._unit, 0.0) if self._unit > 0 else 0.0
        return parts.primal, parts.dual, measure

    def _rounding(self, penalty):
        working = self.set
        return squared_loss_rounding(
            self.design,
            penalty,
            working.columns,
            working.w,
            self.residual,
            self.q,
            self._parts,
        )

    def _slack(self, value):
        return _TINY * self.square

    def _solution(self):
        working = self.set
        nonzero = working.support
        nonzero = nonzero[np.argsort(working.columns[nonzero])]
        return working.columns[nonzero], working.w[nonzero]


class WorkingSetSolver(SquaredLossLoop):
    """Solve a sequence of penalized problems on one design and one target.

    The units of screening and of working sets are features, or groups of them. A
    penalty that is not convex has no duality gap: the largest violation of
    stationarity, relative to the largest gradient at zero, takes its place. Several
    targets ask for a penalty with rows as units; a group penalty or a concave one has
    no ridge here. The working set, its Gram matrix and the last residual are kept from
    one call of :meth:`solve` to the next.
    """

    def __init__(self, design, target, coef=None, groups=None):
        super().__init__(design, target, coef, groups)
        squares = design.squares
        self._unit_squares = squares if groups is None else groups.sums(squares)
        self._moved = False  # the residual has changed since the correlations
        self._estimated = False  # some of these are bounds
        self._bounds = None  # of the correlations, the residual then, and norms
        plain = groups is None and target.ndim == 1 and not design.is_sparse
        if plain:
            self._bounds = np.abs(self.q), self.residual, np.sqrt(squares)
        norms = self._unit_squares[self._unit_squares > 0]
        self._least_norm = np.sqrt(norms.min(initial=np.inf))
        self._null_gradient = None
        self._is_small = plain and is_small(design)

    def _begin(self, penalty):
        if len(self.set):
            self._drop_forbidden(penalty)
        if penalty.free.size:
            self.settle_free(penalty)
        self._correlate(penalty)
        self._unit, self.scale = self.square, ""
        if not penalty.is_convex:
            if self._null_gradient is None:
                self._null_gradient = np.abs(self.design.correlations(self.target))
            gradient = self._null_gradient
            if penalty.kept is not None:
                gradient = gradient[penalty.kept]
            self._unit = float(np.max(gradient, initial=0.0))
            self.scale = VIOLATION_SCALE

    def _drop_forbidden(self, penalty):
        """Take out what the new penalty does not allow a warm start to hold."""
        allowed = np.isfinite(penalty.lam[self.set.units])
        if penalty.positive:
            allowed &= self.set.w >= 0
        if not allowed.all():
            self.set.keep(np.flatnonzero(allowed))
            self.residual = self.set.residual()
            self._moved = True

    def settle_free(self, penalty):
        """Minimize exactly over unpenalized features.

        They make equality constraints in the dual: only a residual orthogonal to
        them is a dual point.
        """
        free = penalty.free
        free = free[self.design.squares[free] > 0.0]
        if free.size == 0:
            return
        self.set.hold(free)
        block = self.design.block(free)
        position = np.empty(self.design.n_features, dtype=np.intp)
        position[self.set.columns] = np.arange(len(self.set))
        at = position[free]
        if penalty.positive:
            new = nnls(block, self.residual + block @ self.set.w[at])[0]
            step = new - self.set.w[at]
        else:
            step = np.linalg.lstsq(block, self.residual, rcond=None)[0]
        self.set.w[at] += step
        self.residual = self.residual - block @ step
        self._moved = True
        self._correlate(penalty, exact=True)

    def _correlate(self, penalty, alive=None, *, exact=False):
        if not (self._moved or self._partial or self._estimated):
            return
        columns = None if alive is None else self._few_columns(penalty, alive)
        self._estimated = False
        if self._bounds is not None and penalty.is_convex and not exact:
            self._correlate_doubtful(penalty, columns)
        else:
            self.design.correlations(self.residual, columns, self.q)
        self._partial = columns is not None
        self._moved = False

    def _correlate_doubtful(self, penalty, columns):
        """Correlate the features that may reach their strengths.

        A correlation changes by at most the norm of its column times the length of
        the residual's move. Where that cannot reach the strength, the bound takes its
        place: it keeps the dual point feasible and violates nothing.
        """
        bounds, last, norms = self._bounds
        bounds += norms * float(np.linalg.norm(self.residual - last))
        self._bounds = bounds, self.residual, norms
        least = penalty.lam
        if self._previous_lam is not None:  # the strong rule looks further down
            with np.errstate(invalid="ignore"):
                least = np.fmin(least, 2.0 * least - self._previous_lam)
        doubtful = bounds >= (1.0 - _MARGIN) * least
        doubtful[self.set.columns] = True
        sure = ~doubtful
        if columns is not None:
            asked = np.zeros(len(doubtful), dtype=bool)
            asked[columns] = True
            doubtful &= asked
            sure &= asked
        columns = np.flatnonzero(doubtful)
        self.design.correlations(self.residual, columns, self.q)
        bounds[columns] = np.abs(self.q[columns])
        self.q[sure] = bounds[sure]
        self._estimated = True

    def _gone(self, penalty, gap):
        parts = self._parts
        if parts.radius * self._least_norm >= np.max(penalty.lam):
            return None
        gone = squared_screen(penalty, parts, self._full, self.q, self._unit_squares)
        gone[self.set.units] = False
        return gone

    def _choose(self, penalty):
        """Prune the set, add the worst violators; return the worst, and if all fit."""
        working = self.set
        lam = penalty.lam
        magnitude = penalty.magnitude(self.q)
        n_nonzero = len(working.active)
        held = working.units
        first = max(int(_FIRST_SET * len(lam) / self.design.n_features), 10)
        if len(held) > 1.5 * n_nonzero + first:
            needed = magnitude[held] >= 0.95 * lam[held]
            needed[working.active] = True
            if np.count_nonzero(needed) < 0.9 * len(held):
                working.keep(np.flatnonzero(needed))
        excess = magnitude - lam
        worst = float(np.max(excess, initial=0.0))
        excess[working.inside] = -1.0
        excess[self._unit_squares == 0.0] = -1.0
        if self._alive is not None:
            excess[~self._alive] = -1.0
        if self._is_small and penalty.is_convex:
            added = np.flatnonzero(excess != -1.0)
            self._previous_lam = None
            if len(added):
                working.add(added)
            return worst, True
        growth = _GROWTH if self._is_cold else _PATH_GROWTH
        if self._previous_lam is not None:
            # Sequential strong rule: these will probably enter on the way down.
            previous, self._previous_lam = self._previous_lam, None
            with np.errstate(invalid="ignore"):
                likely = (magnitude >= 2.0 * lam - previous) & (excess > -lam)
            likely &= ~working.inside & (self._unit_squares > 0.0)
            excess[likely] = np.maximum(excess[likely], np.finfo(float).tiny)
        violators = np.flatnonzero(excess > 0.0)
        room = max(first, int(growth * n_nonzero))
        if len(violators) > room:
            chosen = np.argpartition(excess[violators], -room)[-room:]
            added = np.sort(violators[chosen])
        else:
            added = violators
        if len(added):
            working.add(added)
        return worst, len(added) == 0

    def _descend(self, penalty, worst, goal, max_epochs, counter):
        self.set.use(penalty, self.residual, self.q)
        self._solve_set(penalty, goal * self._unit, worst, max_epochs, counter)
        self.residual = self.set.residual()
        self._moved = True
        if penalty.free.size:
            self.settle_free(penalty)

    def _solve_set(self, penalty, goal, worst, max_epochs, counter):
        """Solve the problem restricted to the working set to a gap of `goal`."""
        working = self.set
        target = 1e-2 * worst
        newton_rests, failures, sweeps = False, 0, 0
        best, stalled, newton_gap = np.inf, 0, np.inf
        iterates = []
        while counter["sweeps"] < max_epochs:
            early = not (newton_rests or working.newton_waits)
            block = _SWEEPS if not newton_rests else _MEMORY
            done, _, changes = working.sweep(
                min(block, max_epochs - counter["sweeps"]),
                target,
                _SETTLE if early else -1.0,
            )
            counter["sweeps"] += done
            sweeps += done
            gap = working.gap()
            if gap <= goal:
                return
            target = min(target, 1e-2 * target) if done == 1 else target
            stalled = stalled + 1 if gap > 0.99 * best else 0
            waits = working.newton_waits and gap <= _PAYS * best
            best = min(best, gap)
            if stalled >= 20:
                return  # rounding: the outer loop judges
            n_nonzero = len(working.support)
            settled = changes <= max(1, _SETTLE * n_nonzero)
            determined = working.is_curved or n_nonzero < self.design.n_samples
            if waits:
                continue
            if not newton_rests and settled and determined and n_nonzero:
                # A gap falls with the square of the error of the step.
                share = np.sqrt(goal / gap) if penalty.is_convex else goal / gap
                rtol = min(0.1, max(1e-8, 0.3 * share))
                clipped = working.newton(rtol)
                counter["newton"] += 1
                if clipped < 0:
                    newton_rests = True
                elif clipped > _MAX_CLIPS or (clipped and gap > _CRAWLS * newton_gap):
                    failures += 1
                    newton_rests = failures >= _MAX_FAILURES
                newton_gap = gap
            elif (
                working.has_dual_step
                and sweeps >= working.patience
                and (gap <= _HANDOVER * self.square or stalled >= _CRAWLING)
            ):
                if augmented_lagrangian(working, goal, counter):
                    if working.gap() <= goal:
                        return
                    newton_rests = False
            else:
                iterates.append(working.w.ravel().copy())
                if len(iterates) > _MEMORY:
                    _extrapolate(working, iterates)
                    iterates.clear()


def _extrapolate(working, iterates):
    """Anderson extrapolation over stored iterates; kept only if it descends."""
    W = np.column_stack(iterates)
    differences = np.diff(W, axis=1)
    normal = differences.T @ differences
    normal[np.diag_indices_from(normal)] += 1e-10 * np.trace(normal)
    try:
        weights = np.linalg.solve(normal, np.ones(len(normal)))
    except np.linalg.LinAlgError:
        return
    total = weights.sum()
    if not np.isfinite(total) or total == 0.0:
        return
    w = (W[:, 1:] @ (weights / total)).reshape(working.w.shape)
    if working.penalty.positive:
        np.maximum(w, 0.0, out=w)
    before, old = working.objective(), working.w.copy()
    working.set(w)
    if not working.objective() < before:
        working.set(old)
