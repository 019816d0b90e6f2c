"""The outer loop of all solvers: measure, record, test, choose, descend, correlate.

A solver gives the moves and their constants, which differ for measured reasons; when
to stop, what is recorded and what is returned is said here once.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.linear_model._penalized._result import SolverResult

__all__ = ["OuterLoop"]

_NEARLY_ALL = 0.9  # share of the features from which all are correlated


class OuterLoop:
    """Solve a sequence of penalized problems on one design.

    What a solver holds is kept from one call of :meth:`solve` to the next, which is
    what makes paths cheap. Subclasses give

    - ``_begin(penalty)``: adopt a penalty, and set ``_unit``, what the measure is
      relative to; ``_kind`` says what is measured;
    - ``_measure(penalty)``: objective, dual value and the relative measure;
    - ``_rounding(penalty)``: a bound of the rounding error of the measure times unit;
    - ``_gone(penalty, gap)``: a mask of units that are certainly zero, or None;
    - ``_choose(penalty)``: a working set, and whether it holds every violator;
    - ``_descend(penalty, chosen, goal, max_epochs, counter)``: solve on it until its
      measure is at most `goal`;
    - ``_correlate(penalty, alive)``: bring ``q``, the products of the columns with the
      negative gradient of the loss, up to date, of the units in a mask or of all;
    - ``_solution()``: the features with coefficients, and these.
    """

    max_stalls = 5  # iterations without progress before the solver gives up
    inner_share = 0.1  # solve the set to this share of the outer measure
    growth_is_progress = True  # a gap need not fall while the set grows
    scale = ""  # what the measure is relative to, where its kind does not say it
    shift = 0.0
    bend = 1.0  # a bound of the curvature of the loss along a change of the fit
    _alive = None  # units that no screening has left out
    _partial = False  # some of q was left out
    _previous_lam = None
    _is_cold = True

    def solve(
        self,
        penalty,
        *,
        kind=None,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        step=None,
    ):
        """Solve for one penalty, starting from the present coefficients.

        Parameters
        ----------
        penalty : Penalty
        kind : {"duality_gap", "kkt"}, default=None
            What is measured and compared with `tol`. None takes the gap where the
            penalty is convex.
        tol : float, default=1e-4
            Stop when the duality gap is at most tol times that of the null model, or
            the largest violation at most tol times the largest gradient there.
        max_iter : int, default=100
            Largest number of outer iterations.
        max_epochs : int, default=10000
            Largest number of sweeps, or proximal steps, in all.
        step : callable, default=None
            Called with the measure in each outer iteration; returning True stops.

        Returns
        -------
        result : SolverResult
        """
        self._kind = kind or ("duality_gap" if penalty.is_convex else "kkt")
        counter = {"sweeps": 0, "newton": 0}
        history, grew, best, stalled = [], False, np.inf, 0
        self._alive = None
        self._begin(penalty)
        self._alive = penalty.kept
        for n_iter in range(1, max_iter + 1):
            value, dual, measure = self._measure(penalty)
            if self._partial and measure <= tol:
                # The certificate is about all features, screened ones included.
                self._correlate(penalty, ~self._alive)
                self._partial = False
                value, dual, measure = self._measure(penalty)
            history.append(measure)
            stops = step is not None and step(measure)
            error = None
            if stops or measure <= tol:
                error = self._error(penalty)
                # Proved, or as near as rounding lets a proof come.
                if stops or measure + error <= tol or error > 0.5 * tol:
                    break
            if n_iter == max_iter or counter["sweeps"] >= max_epochs:
                break
            # The objective must fall, or the working set grow, once in a few
            # iterations: otherwise rounding is all that is left.
            gained = grew or best - value > self._slack(value)
            best, stalled = min(best, value), 0 if gained else stalled + 1
            if stalled >= self.max_stalls:
                break
            gone = self._gone(penalty, value - dual)
            if gone is not None and gone.any():
                # A screened feature keeps a correlation that cannot disturb the gap.
                self.q[penalty.columns_of(gone)] = 0.0
                self._partial = True
                self._alive = ~gone if self._alive is None else ~gone & self._alive
            chosen, complete = self._choose(penalty)
            grew = self.growth_is_progress and not complete
            # With no violation outside, the set probably holds the solution.
            share = 0.0 if complete else self.inner_share * measure
            goal = max(share, 0.5 * tol)
            self._descend(penalty, chosen, goal, max_epochs, counter)
            self._correlate(penalty, self._alive)
        self._previous_lam = penalty.lam
        self._is_cold = False
        columns, coef = self._solution()
        return SolverResult(
            columns=columns,
            coef=coef,
            shift=self.shift,
            gap=measure,
            objective=value,
            dual=dual,
            n_iter=n_iter,
            n_sweeps=int(np.ceil(counter["sweeps"])),
            n_newton=counter["newton"],
            gap_history=history,
            converged=measure <= tol,
            kind=self._kind,
            scale=self.scale,
            rounding=self._error(penalty) if error is None else error,
            unit=self._unit or 1.0,
            bend=self.bend,
        )

    def _error(self, penalty):
        """Bound the rounding error of the relative measure."""
        return self._rounding(penalty) / self._unit if self._unit > 0 else 0.0

    def _slack(self, value):
        """Return a decrease of the objective that is no progress."""
        return 1e-14 * abs(value)

    def _gone(self, penalty, gap):
        return None

    def _few_columns(self, penalty, alive):
        """Return the features of a mask of units, or None for nearly all."""
        columns = penalty.columns_of(alive)
        return columns if len(columns) <= _NEARLY_ALL * len(self.q) else None
