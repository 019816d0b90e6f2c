r"""Proximal Newton on working sets for likelihoods of one linear predictor.

Minimises :math:`f(X w + b) + \sum_j g_j(w_j)` for a convex datafit f. Each outer
iteration makes one pass over the features, which gives the duality gap (or the
violation of stationarity), screens features that are certainly zero [1]_ and takes
the worst violators into a working set. On it the likelihood is replaced by its
second-order model, whose minimum is the search direction [2]_. A concave penalty is
replaced by its tangent at the present coefficients [3]_, which lies above it, so
that the objective falls all the same.

References
----------
.. [1] E. Ndiaye, O. Fercoq, A. Gramfort, J. Salmon, "Gap safe screening rules for
   sparsity enforcing penalties", JMLR 18, 2017.
.. [2] J. Lee, Y. Sun, M. Saunders, "Proximal Newton-type methods for minimizing
   composite functions", SIAM J. Optim. 24, 2014.
.. [3] H. Zou, R. Li, "One-step sparse estimates in nonconcave penalized likelihood
   models", Annals of Statistics 36, 2008.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat.linear_model._penalized._design import make_design
from sparsestat.linear_model._penalized._gaps import likelihood_dual
from sparsestat.linear_model._penalized._models import ColumnModel, GramModel
from sparsestat.linear_model._penalized._penalties import ElasticNetPenalty
from sparsestat.linear_model._penalized._result import Patience, SolverResult, is_met
from sparsestat.linear_model._penalized._rounding import likelihood_rounding
from sparsestat.linear_model._penalized._solver import WorkingSetSolver

__all__ = ["SETTLED", "GLMSolver", "line_search", "settle_block"]

_FIRST_SET = 100  # columns in the first working set ...
_FIRST_SPARSE = 0.6, 1000  # ... or, of sparse ones, a share of the samples, at most
_SMALL = 1e6  # multiplications of a Hessian of all features
_GROWTH = 0.6  # enlarge the set at most by this share of the support ...
_GROWTH_SPARSE = 1.0  # ... or this one: sparse columns cost little
_INNER_SHARE = 0.5  # solve the set to this share of the outer gap or violation
_FULL = 0.3  # share of entries from which sparse columns get an explicit Hessian
_MAX_NEWTON = 20  # models in one working set
_FEW_SWEEPS = 200  # of coordinate descent on a wide model
_MAX_SET = 3000  # columns in a working set, so that its Hessian fits in memory
_ARMIJO = 1e-4
_ROUNDING = 1e-14
SETTLED = 1e-7  # gradient of free features, relative to the largest at zero
_MAX_SETTLE = 50  # Newton steps on them


def settle_block(datafit, block, eta, *, with_shift):
    """Minimise a loss over the coefficients of a few columns, and an intercept.

    Parameters
    ----------
    datafit : Datafit
    block : ndarray of shape (n_samples, n_columns)
    eta : ndarray of shape (n_samples,)
        The linear predictor to start from.
    with_shift : bool
        Whether there is an intercept.

    Returns
    -------
    step : ndarray of shape (n_columns,)
    shift : float
    """
    m = block.shape[1]
    A = np.column_stack([block, np.ones(len(block))]) if with_shift else block
    A = np.asfortranarray(A)
    coef, best = np.zeros(A.shape[1]), np.inf
    present = datafit.value(eta)
    for _ in range(_MAX_SETTLE):
        gradient = datafit.gradient(eta)
        slope = A.T @ gradient
        worst = float(np.abs(slope).max())
        if worst >= 0.5 * best and worst <= 1e-9 * float(np.abs(gradient).sum()):
            break  # rounding
        best = min(best, worst)
        H = datafit.gram(A, eta, datafit.model_curvature(eta))
        step = np.linalg.lstsq(H, -slope, rcond=1e-14)[0]
        image = A @ step
        change = float(slope @ step)

        def objective(t, eta=eta, image=image):
            return datafit.value(eta + t * image)

        length = line_search(objective, present, change)
        if length == 0.0:
            # The value has no digits left; the gradient may have some.
            near = np.abs(A.T @ datafit.gradient(eta + image)).max()
            if not near < worst:
                break
            length = 1.0
        coef += length * step
        eta = eta + length * image
        present = datafit.value(eta)
    return coef[:m], float(coef[m]) if with_shift else 0.0


def line_search(objective, present, change):
    """Halve the step until the objective falls enough.

    Parameters
    ----------
    objective : callable
        Takes a step length.
    present : float
        Objective at length 0.
    change : float
        What the model promises of a full step; negative.

    Returns
    -------
    length : float
        0.0 if no step descends.
    """
    if not change < 10 * _ROUNDING * abs(present):
        return 0.0
    length = 1.0
    while length > 1e-10:
        new = objective(length)
        if new <= present + _ARMIJO * length * change:
            return length
        # At the optimum both sides agree to rounding: a full step is as good.
        if length == 1.0 and -change <= 10 * _ROUNDING * abs(present):
            return 1.0 if new <= present + _ROUNDING * abs(present) else 0.0
        length *= 0.5
    return 0.0


class GLMSolver:
    """Solve a sequence of penalised likelihoods on one design and one datafit.

    Coefficients are kept from one call of :meth:`solve` to the next.

    Parameters
    ----------
    design : Design
        Without sample weights: the datafit has them.
    datafit : Datafit
    coef : ndarray of shape (n_features,), default=None
        Where to start.
    norms : ndarray of shape (n_features,), default=None
        Norms of the columns in the metric of ``datafit.smoothness``, for screening.
    """

    def __init__(self, design, datafit, coef=None, *, norms=None):
        self.design, self.datafit = design, datafit
        self.norms = norms
        self.fits_shift = design.fit_intercept and datafit.has_intercept
        self.w = np.zeros(design.n_features)
        self.shift = datafit.null_intercept() if self.fits_shift else 0.0
        eta = np.full(design.n_samples, self.shift)
        self.null_value = datafit.value(eta)
        # Beside a saturated model, what there is to explain.
        self.gap_scale = self.null_value - datafit.saturated
        if self.gap_scale <= 1e-14 * abs(self.null_value):
            self.gap_scale = 0.0
        self.gradient = datafit.gradient(eta)
        self.q = design.correlations(-self.gradient)
        self._null_q = self.q.copy()
        self._free = self._held = np.empty(0, dtype=np.intp)
        self.kkt_scale = float(np.abs(self.q).max(initial=0.0))
        # Constant columns are dropped by their squares, not by rounding.
        self.usable = design.squares > 0.0
        # A Hessian serves one step only, so that emptier columns than those of a
        # squared loss are better swept; but a coupled Hessian is worth its price.
        self._explicit = design.prefers_gram and (
            not design.is_sparse
            or not datafit.has_intercept
            or len(design.data) > _FULL * design.n_samples * design.n_features
        )
        # A set of all features costs less than looking for some.
        cost = design.n_samples * float(design.n_features) ** 2
        self._is_small = self._explicit and cost <= _SMALL
        self._previous_lam = None
        self._multiple = 0.0  # of the gradient that is the dual point
        self._partial = False  # some of q was left out by screening
        self.eta = eta
        if coef is not None and np.any(coef):
            self.w = np.where(self.usable, coef, 0.0)
            held = np.flatnonzero(self.w)
            self.eta = self.shift + design.product(held, self.w[held])
            if np.isfinite(datafit.value(self.eta)):
                self._settle()
                self._correlate()
            else:  # a start that overflows is no start
                self.w[:] = 0.0
                self.eta = eta

    def solve(
        self, penalty, *, kind, tol=1e-4, max_iter=100, max_epochs=10_000, step=None
    ):
        """Solve for one penalty, starting from the present coefficients.

        Parameters
        ----------
        penalty : Penalty
            With coefficients as units.
        kind : {"duality_gap", "kkt"}
            What is measured and compared with `tol`: the gap relative to the
            deviance of the null model, or the largest violation relative to the
            largest gradient there.
        tol, max_iter, max_epochs, step
            As in ``WorkingSetSolver.solve``.

        Returns
        -------
        result : SolverResult
        """
        counter = {"sweeps": 0, "newton": 0}
        history = []
        alive = penalty.kept
        self._adopt(penalty, kind)
        if self._partial:
            self._correlate()
        patience = Patience(4)
        for n_iter in range(1, max_iter + 1):
            value, dual, measure = self._measure(penalty, kind)
            if self._partial and measure <= tol:
                self._correlate()
                value, dual, measure = self._measure(penalty, kind)
            history.append(measure)
            error = self._rounding(penalty, kind)
            if (step is not None and step(measure)) or is_met(measure, error, tol):
                break
            if n_iter == max_iter or counter["sweeps"] >= max_epochs:
                break
            if patience.ends(value, _ROUNDING * abs(value)):
                break
            if kind == "duality_gap":
                alive = self._screen(penalty, value - dual, alive)
            columns, complete = self._choose(penalty, alive)
            goal = 0.5 * tol if complete else max(_INNER_SHARE * measure, 0.5 * tol)
            self._descend(penalty, columns, kind, goal, max_epochs, counter)
            self._refresh()
            self._correlate(alive)
        self._previous_lam = penalty.lam
        support = np.flatnonzero(self.w)
        return SolverResult(
            columns=support,
            coef=self.w[support],
            shift=self.shift,
            gap=measure,
            objective=value,
            dual=dual,
            n_iter=n_iter,
            n_sweeps=counter["sweeps"],
            n_newton=counter["newton"],
            gap_history=history,
            converged=measure <= tol,
            kind=kind,
            rounding=error,
            unit=self._unit(kind) or 1.0,
            bend=self.datafit.steepest(self.eta),
        )

    def settle_free(self, penalty):
        """Minimise over the features that nothing penalises, and the intercept."""
        self._adopt(penalty, "duality_gap")

    def _adopt(self, penalty, kind):
        """Take out what a penalty forbids, and settle what it leaves free.

        Without a gap the free features are left to the working sets, which hold them.
        """
        if penalty.kept is not None:
            top = np.abs(self._null_q[penalty.kept])
            self.kkt_scale = float(top.max(initial=0.0))
        forbidden = self.w < 0.0 if penalty.positive else np.zeros(1, dtype=bool)
        if penalty.kept is not None:
            forbidden = forbidden | ~penalty.kept
        moved = bool(forbidden.any() and self.w[forbidden].any())
        if moved:
            self.w[forbidden] = 0.0
        free = penalty.free[self.usable[penalty.free]]
        self._held = np.empty(0, dtype=np.intp) if penalty.is_nothing else free
        self._free, self._block = self._held, None
        if kind != "duality_gap" or free.size == 0:
            self._free = self._free[:0]
        else:
            self._block = self.design.block(free)
        if moved or self._free.size:
            self._refresh()
            self._correlate()

    def _unit(self, kind):
        """What the gap, or the violation, is relative to."""
        return self.kkt_scale if kind == "kkt" else self.gap_scale

    def _rounding(self, penalty, kind):
        """Bound the rounding error of the relative gap or violation."""
        unit = self._unit(kind)
        if unit == 0.0:
            return 0.0
        columns = np.flatnonzero(self.w)
        error = likelihood_rounding(
            self.design,
            self.datafit,
            penalty,
            columns,
            self.w[columns],
            self.shift,
            self.eta,
            self.gradient,
            kind,
            self._multiple,
        )
        return error / unit

    def _refresh(self):
        """Compute the predictor afresh: steps have gathered rounding errors."""
        held = np.flatnonzero(self.w)
        self.eta = self.shift + self.design.product(held, self.w[held])
        self._settle()

    def _settle(self):
        """Minimise over the intercept; the gradient then sums to zero."""
        if self.fits_shift:
            change = self.datafit.settle_intercept(self.eta)
            self.shift += change
            self.eta = self.eta + change
        if self._free.size:
            step, shift = settle_block(
                self.datafit, self._block, self.eta, with_shift=self.fits_shift
            )
            self.w[self._free] += step
            self.shift += shift
            self.eta = self.eta + self._block @ step + shift
        self.gradient = self.datafit.gradient(self.eta)

    def _correlate(self, alive=None):
        """Bring the negative gradient of the loss up to date."""
        columns = None
        if alive is not None:
            columns = np.flatnonzero(alive)
            if len(columns) > 0.9 * self.design.n_features:
                columns = None
        self.design.correlations(-self.gradient, columns, self.q)
        self._partial = columns is not None

    def _measure(self, penalty, kind):
        """Return objective, dual value and the relative gap or violation."""
        return self._measure_on(penalty, kind, self.w, self.q)

    def _measure_on(self, penalty, kind, w, q):
        value = self.datafit.value(self.eta) + penalty.value(w)
        if kind == "kkt":
            worst = float(penalty.violations(w, q).max(initial=0.0))
            scale = self.kkt_scale
            return value, np.nan, worst / scale if scale > 0 else 0.0
        dual, self._multiple = likelihood_dual(self.datafit, penalty, self.gradient, q)
        if self._is_unsettled(q):
            dual = -np.inf
        if self.gap_scale == 0.0:
            return value, dual, 0.0 if not w.any() else max(value - dual, 0.0)
        return value, dual, max(value - dual, 0.0) / self.gap_scale

    def _is_unsettled(self, q):
        """Whether free features still have a gradient, so that no dual point exists."""
        if not self._free.size:
            return False
        slope = self._block.T @ self.gradient
        return float(np.abs(slope).max()) > SETTLED * self.kkt_scale

    def _screen(self, penalty, gap, alive):
        """Leave out features that are certainly zero, once that can be shown."""
        if self.norms is None or not np.isfinite(gap) or penalty.is_nothing:
            return alive
        radius = np.sqrt(2.0 * max(gap, 0.0))
        if self._multiple < 1.0 and penalty.has_l2:
            return alive
        gone = penalty.screened(self._multiple * self.q, radius * self.norms)
        gone &= self.w == 0.0
        if not gone.any():
            return alive
        self.q[gone] = 0.0
        self._partial = True
        return ~gone if alive is None else ~gone & alive

    def _choose(self, penalty, alive):
        """Return the working set, and whether it holds every violator."""
        excess = penalty.excess(self.q)
        held = self.w != 0.0
        held[self._held] = True
        excess[held] = -np.inf
        excess[~self.usable] = -np.inf
        if alive is not None:
            excess[~alive] = -np.inf
        if self._is_small and penalty.is_convex:
            held |= np.isfinite(excess)
            self._previous_lam = None
            return np.flatnonzero(held), True
        candidates = np.flatnonzero(excess > 0.0)
        n_held = int(np.count_nonzero(held))
        if self._explicit:
            room = max(_FIRST_SET, int(_GROWTH * n_held))
        else:
            share, most = _FIRST_SPARSE
            first = min(int(share * self.design.n_samples), most)
            room = max(_FIRST_SET, first, int(_GROWTH_SPARSE * n_held))
        complete = len(candidates) <= room
        if self._previous_lam is not None:
            # Sequential strong rule: these will probably enter on the way down.
            with np.errstate(invalid="ignore"):
                least = 2.0 * penalty.lam - self._previous_lam
            likely = penalty.magnitude(self.q) >= least
            candidates = np.flatnonzero(likely & np.isfinite(excess))
            self._previous_lam = None
        if len(candidates) > room:
            top = np.argpartition(excess[candidates], -room)[-room:]
            candidates = candidates[top]
        held[candidates] = True
        columns = np.flatnonzero(held)
        if len(columns) > _MAX_SET:
            worst = penalty.violations(self.w, self.q)[columns]
            columns = np.sort(columns[np.argpartition(worst, -_MAX_SET)[-_MAX_SET:]])
            complete = False
        return columns, complete

    def _descend(self, penalty, columns, kind, goal, max_epochs, counter):
        """Proximal Newton on the columns until their measure is below goal."""
        design, datafit = self.design, self.datafit
        dense = self._explicit
        if dense:
            A = np.empty((design.n_samples, len(columns)), order="F")
            design.gather(columns, A, 0)
        else:
            matrix = sparse.csc_array(
                (design.data, design.indices, design.indptr), shape=design.X.shape
            )
            A = matrix[:, columns]
        centre = design.means[columns]
        q = self.q[columns]
        w = self.w[columns]
        sub = penalty.restricted(columns)
        l2 = sub.l2
        for _ in range(_MAX_NEWTON):
            lam = sub.slopes(w)
            tangent = ElasticNetPenalty.of(lam, l2, positive=sub.positive)
            worst = float(tangent.violations(w, q).max(initial=0.0))
            # Superlinear: the model is solved the better the closer it fits.
            share = min(0.1, max(worst / self.kkt_scale, 1e-3))
            limit = max(max_epochs - counter["sweeps"], 1)
            if dense:
                new, d_shift = self._dense_model(
                    A, q, w, tangent, share * worst, limit, counter
                )
            else:
                new, d_shift = self._sparse_model(
                    A, centre, w, tangent, share * worst, limit, counter
                )
            counter["newton"] += 1
            d = new - w
            image = A @ d
            if not dense:
                image = image - centre @ d
            image += d_shift
            change = float(-q @ d + lam @ (np.abs(new) - np.abs(w)))
            change += float((l2 * d) @ (new + w)) / 2.0
            change += d_shift * float(self.gradient.sum())
            present = datafit.value(self.eta) + sub.value(w)

            def objective(t, w=w, d=d, image=image):
                return datafit.value(self.eta + t * image) + sub.value(w + t * d)

            length = line_search(objective, present, change)
            if length == 0.0:
                return
            w = new if length == 1.0 else w + length * d
            self.w[columns] = w
            self.eta = self.eta + length * image
            self.shift += length * d_shift
            self._settle()
            w = self.w[columns]
            r = -self.gradient
            q = A.T @ r
            if not dense:
                q = q - centre * r.sum()
            measure = self._measure_on(sub, kind, w, q)[2]
            if measure <= goal or counter["sweeps"] >= max_epochs:
                return

    def _dense_model(self, A, q, w, penalty, goal, limit, counter):
        h = self.datafit.model_curvature(self.eta)
        H = self.datafit.gram(A, self.eta, h)
        if self.fits_shift:
            total = float(h.sum())
            means = A.T @ h / total if total > 0 else np.zeros(len(w))
            H -= total * np.outer(means, means)
        model = GramModel(H, q.copy(), w.copy(), penalty)
        wide = self.datafit.is_separable and len(w) > len(h)
        sweeps, done = model.minimise(goal, min(limit, _FEW_SWEEPS) if wide else limit)
        counter["sweeps"] += sweeps
        if wide and not done and sweeps < limit:
            left = limit - sweeps
            return self._squared_model(A, h, model.w, penalty, goal, left, counter)
        shift = -float(means @ (model.w - w)) if self.fits_shift else 0.0
        return model.w, shift

    def _squared_model(self, A, h, w, penalty, goal, limit, counter):
        """Minimise the model as a weighted squared loss, by all its solver has.

        More columns than samples make a singular Hessian, on which sweeps and Newton
        steps on a support can stall far from the minimum.
        """
        design = make_design(A, h, fit_intercept=self.fits_shift)
        response = self.eta - self.gradient / h
        target, mean = design.target(response)
        solver = WorkingSetSolver(design, target, w)
        scale = float(target @ target)
        reach = goal * max(float(np.abs(w).sum()), 1e-300)
        result = solver.solve(
            penalty,
            tol=min(max(reach / scale, 1e-15), 1e-2) if scale > 0 else 1e-2,
            max_iter=20,
            max_epochs=limit,
        )
        counter["sweeps"] += result.n_sweeps
        new = result.dense_coef(len(w))
        if not self.fits_shift:
            return new, 0.0
        return new, float(design.intercept(mean, result.columns, result.coef)) - (
            self.shift
        )

    def _sparse_model(self, A, centre, w, penalty, goal, limit, counter):
        h = self.datafit.model_curvature(self.eta)
        response = self.eta - self.shift - self.gradient / h
        model = ColumnModel(
            A,
            h,
            response,
            w.copy(),
            penalty,
            # A loss that does not see a constant may take the best one.
            fit_intercept=self.design.fit_intercept,
        )
        sweeps, _ = model.minimise(goal, limit)
        counter["sweeps"] += sweeps
        if not self.fits_shift:
            return model.w, 0.0
        # Of the centred columns: eta = (x - centre)'w + shift.
        return model.w, model.intercept() + float(centre @ model.w)
