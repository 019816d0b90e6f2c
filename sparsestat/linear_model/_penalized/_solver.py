r"""Working-set solver for penalised least squares.

Minimises :math:`\frac12\|y - A w\|^2 + \sum_j g_j(w_j)` on the columns of a
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

from sparsestat.linear_model._penalized._gaps import squared_parts, squared_screen
from sparsestat.linear_model._penalized._group_working_sets import (
    make_group_working_set,
)
from sparsestat.linear_model._penalized._result import Patience, SolverResult, is_met
from sparsestat.linear_model._penalized._rounding import squared_loss_rounding
from sparsestat.linear_model._penalized._working_sets import make_working_set

__all__ = ["VIOLATION_SCALE", "WorkingSetSolver"]

VIOLATION_SCALE = "largest violation of stationarity / largest gradient at zero"

_FIRST_SET = 100  # columns in the first working set
_INNER_SHARE = 0.1  # solve the set to this share of the outer gap
_GROWTH = 1.0  # enlarge the set at most by this share of the support, ...
_PATH_GROWTH = 0.25  # ... or this one when the start was already close
_SETTLE = 0.02  # signs have settled when at most this share changed in a sweep
_SWEEPS = 15  # coordinate descent before a heavier move is considered
_HANDOVER = 1e-2  # relative gap below which the augmented Lagrangian pays
_MAX_CLIPS = 4  # a Newton step that clips more signs than this has failed ...
_MAX_FAILURES = 3  # ... and after so many failures Newton rests for this set
_PAYS = 0.5  # sweeps that lower the gap so much go on before a costly Newton step
_TINY = 1e-15  # a decrease of the objective that is no progress
_MEMORY = 5  # iterates of Anderson extrapolation
_MARGIN = 1e-7  # share of a strength that covers the rounding of a bound


class WorkingSetSolver:
    """Solve a sequence of penalised problems on one design and one target.

    The units of screening and of working sets are features, or groups of them. A
    penalty that is not convex has no duality gap: the largest violation of
    stationarity, relative to the largest gradient at zero, takes its place. The
    working set, its Gram matrix and the last residual are kept from one call
    of :meth:`solve` to the next, which is what makes paths cheap.

    Parameters
    ----------
    design : Design
    target : ndarray of shape (n_samples,)
        Already centred and weighted by the design.
    coef : ndarray of shape (n_features,), default=None
        Where to start.
    groups : Groups, default=None
        For group penalties.
    """

    def __init__(self, design, target, coef=None, groups=None):
        self.design = design
        self.target = target
        self.scale = float(np.vdot(target, target))
        if not np.isfinite(self.scale):
            raise ValueError(
                "The squared norm of y overflows float64 or y holds NaN. Rescale y."
            )
        if groups is None:
            self.set = make_working_set(design, target)
            self._unit_squares = design.squares
        else:
            self.set = make_group_working_set(design, target, groups)
            self._unit_squares = groups.sums(design.squares)
        self.residual = target.copy()
        if coef is not None and np.any(coef):
            used = coef if coef.ndim == 1 else coef.any(axis=1)
            self.set.hold(np.flatnonzero(used))
            self.set.w = np.array(coef[self.set.columns], dtype=np.float64)
            self.residual = self.set.residual()
        self.correlations = design.correlations(self.residual)
        self._moved = False  # the residual has changed since the correlations
        self._partial = False  # some correlations were left out by screening
        self._estimated = False  # some are bounds
        self._previous_lam = None
        self._is_cold = True
        self._bounds = None  # of the correlations, the residual then, and norms
        if groups is None and target.ndim == 1 and not design.is_sparse:
            norms = np.sqrt(design.squares)
            self._bounds = np.abs(self.correlations), self.residual.copy(), norms
        norms = self._unit_squares[self._unit_squares > 0]
        self._least_norm = np.sqrt(norms.min(initial=np.inf))
        self._null_gradient = None

    def solve(self, penalty, *, tol=1e-4, max_iter=100, max_epochs=10_000, step=None):
        """Solve for one penalty, starting from the present coefficients.

        Parameters
        ----------
        penalty : Penalty
            Several targets ask for one with rows as units; a group penalty or a
            concave one has no ridge here.
        tol : float, default=1e-4
            Stop when the duality gap is at most ``tol * ||target||^2``, or the
            largest violation at most tol times the largest gradient at zero.
        max_iter : int, default=100
            Largest number of outer iterations.
        max_epochs : int, default=10000
            Largest number of coordinate descent sweeps in all.
        step : callable, default=None
            Called with the relative gap after each outer iteration; returning
            True stops.

        Returns
        -------
        result : SolverResult
        """
        counter = {"sweeps": 0, "newton": 0}
        history = []
        self._drop_forbidden(penalty)
        self.settle_free(penalty)
        self._correlate(penalty)
        alive = penalty.kept
        unit = self._unit_of_measure(penalty)
        patience, added = Patience(), 0
        for n_iter in range(1, max_iter + 1):
            parts = self._parts(penalty)
            if self._partial and parts.gap <= tol * unit:
                # The certificate is about all features, screened ones included.
                self._correlate(penalty, None if alive is None else ~alive)
                self._partial = False
                parts = self._parts(penalty)
            gap = max(parts.gap / unit, 0.0) if unit > 0 else 0.0
            history.append(gap)
            stop = step is not None and step(gap)
            error = 0.0
            if unit > 0 and (gap <= tol or stop):
                error = self._rounding(penalty, parts) / unit
            if stop or (gap <= tol and is_met(gap, error, tol)):
                break
            if n_iter == max_iter or counter["sweeps"] >= max_epochs:
                break
            # The gap need not fall while the set grows, but the objective must:
            # a few times without either, and rounding is all that is left.
            if patience.ends(parts.primal, _TINY * self.scale, grew=added > 0):
                break
            alive = self._screen(penalty, parts, alive)
            worst, added = self._grow(penalty, alive)
            self.set.use(penalty, self.residual, self.correlations)
            # With no violation outside, the set probably holds the solution.
            share = _INNER_SHARE * gap if added else 0.0
            goal = max(share, 0.5 * tol) * unit
            self._solve_set(penalty, goal, worst, max_epochs, counter)
            self.residual = self.set.residual()
            self._moved = True
            self.settle_free(penalty)
            self._correlate(penalty, alive)
        if unit > 0 and error == 0.0:
            error = self._rounding(penalty, parts) / unit
        self._previous_lam = penalty.lam
        self._is_cold = False
        nonzero = self.set.support
        nonzero = nonzero[np.argsort(self.set.columns[nonzero])]
        return SolverResult(
            columns=self.set.columns[nonzero],
            coef=self.set.w[nonzero],
            gap=gap,
            objective=parts.primal,
            dual=parts.dual,
            n_iter=n_iter,
            n_sweeps=counter["sweeps"],
            n_newton=counter["newton"],
            gap_history=history,
            converged=gap <= tol,
            kind="duality_gap" if penalty.is_convex else "kkt",
            scale="" if penalty.is_convex else VIOLATION_SCALE,
            rounding=error,
            unit=unit if unit > 0 else 1.0,
        )

    def _rounding(self, penalty, parts):
        return squared_loss_rounding(
            self.design,
            penalty,
            self.set.columns,
            self.set.w,
            self.residual,
            self.correlations,
            parts,
        )

    def _unit_of_measure(self, penalty):
        """What gaps, or violations, are relative to."""
        if penalty.is_convex:
            return self.scale
        if self._null_gradient is None:
            self._null_gradient = np.abs(self.design.correlations(self.target))
        gradient = self._null_gradient
        if penalty.kept is not None:
            gradient = gradient[penalty.kept]
        return float(np.max(gradient, initial=0.0))

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
        """Minimise exactly over unpenalised features.

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
        """Bring the correlations up to date with the residual."""
        if not (self._moved or self._partial or self._estimated):
            return
        columns = None
        if alive is not None:
            columns = penalty.columns_of(alive)
            if len(columns) > 0.9 * self.design.n_features:
                columns = None
        self._estimated = False
        if self._bounds is not None and penalty.is_convex and not exact:
            self._correlate_doubtful(penalty, columns)
        else:
            self.design.correlations(self.residual, columns, self.correlations)
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
        self._bounds = bounds, self.residual.copy(), norms
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
        self.design.correlations(self.residual, columns, self.correlations)
        bounds[columns] = np.abs(self.correlations[columns])
        self.correlations[sure] = bounds[sure]
        self._estimated = True

    def _full_coef(self):
        w = np.zeros((self.design.n_features, *self.target.shape[1:]))
        w[self.set.columns] = self.set.w
        return w

    def _parts(self, penalty):
        r = self.residual
        return squared_parts(
            penalty,
            self._full_coef(),
            self.correlations,
            float(np.vdot(r, r)),
            float(np.vdot(self.target, r)),
        )

    def _screen(self, penalty, parts, alive):
        """Leave out features that are certainly zero, once that can be shown."""
        if parts.radius * self._least_norm >= np.max(penalty.lam):
            return alive
        gone = squared_screen(
            penalty, parts, self._full_coef(), self.correlations, self._unit_squares
        )
        gone[self.set.units] = False
        if not gone.any():
            return alive
        # A screened feature keeps a correlation that cannot disturb the gap.
        self.correlations[penalty.columns_of(gone)] = 0.0
        self._partial = True
        return ~gone if alive is None else ~gone & alive

    def _grow(self, penalty, alive):
        """Prune the set, add the worst violators; return the worst, and how many."""
        working = self.set
        lam = penalty.lam
        magnitude = penalty.magnitude(self.correlations)
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
        if alive is not None:
            excess[~alive] = -1.0
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
        return worst, len(added)

    def _solve_set(self, penalty, goal, worst, max_epochs, counter):
        """Solve the problem restricted to the working set to a gap of `goal`."""
        working = self.set
        target = 1e-2 * worst
        newton_rests, failures, sweeps = False, 0, 0
        best, stalled = np.inf, 0
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
                elif clipped > _MAX_CLIPS:
                    failures += 1
                    newton_rests = failures >= _MAX_FAILURES
            elif (
                working.has_dual_step
                and sweeps >= working.patience
                and gap <= _HANDOVER * self.scale
            ):
                if working.augmented_lagrangian(goal, counter):
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
