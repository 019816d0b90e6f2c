r"""Proximal Newton on working sets for likelihoods of one linear predictor.

Minimizes :math:`f(X w + b) + \sum_j g_j(w_j)` for a convex datafit f. Each outer
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

from sparsestat.linear_model._penalized._design import is_small, make_design
from sparsestat.linear_model._penalized._likelihood_loop import LikelihoodLoop
from sparsestat.linear_model._penalized._models import ColumnModel, GramModel
from sparsestat.linear_model._penalized._penalties import ElasticNetPenalty
from sparsestat.linear_model._penalized._solver import WorkingSetSolver
from sparsestat.linear_model._penalized._steps import line_search

__all__ = ["GLMSolver"]

_FIRST_SET = 100  # columns in the first working set ...
_FIRST_SPARSE = 0.6, 1000  # ... or, of sparse ones, a share of the samples, at most
_GROWTH = 0.6  # enlarge the set at most by this share of the support ...
_GROWTH_SPARSE = 1.0  # ... or this one: sparse columns cost little
_FULL = 0.3  # share of entries from which sparse columns get an explicit Hessian
_MAX_NEWTON = 20  # models in one working set
_FEW_SWEEPS = 200  # of coordinate descent on a wide model
_MAX_SET = 3000  # columns in a working set, so that its Hessian fits in memory


class GLMSolver(LikelihoodLoop):
    """Solve a sequence of penalized likelihoods of one linear predictor.

    Parameters
    ----------
    design, datafit, coef
        As in ``LikelihoodLoop``.
    norms : ndarray of shape (n_features,), default=None
        Norms of the columns in the metric of ``datafit.smoothness``, for screening.
    """

    inner_share = 0.5

    def __init__(self, design, datafit, coef=None, *, norms=None):
        super().__init__(design, datafit, coef)
        self.norms = norms
        # A Hessian serves one step only, so that emptier columns than those of a
        # squared loss are better swept; but a coupled Hessian is worth its price.
        self._explicit = design.prefers_gram and (
            not design.is_sparse
            or not datafit.has_intercept
            or len(design.data) > _FULL * design.n_samples * design.n_features
        )
        self._is_small = self._explicit and is_small(design)

    def _gone(self, penalty, gap):
        if self.norms is None or self._kind == "kkt" or not np.isfinite(gap):
            return None
        if penalty.is_nothing or (self._multiple < 1.0 and penalty.has_l2):
            return None
        radius = np.sqrt(2.0 * max(gap, 0.0))
        gone = penalty.screened(self._multiple * self.q, radius * self.norms)
        return gone & (self.w == 0.0)

    def _choose(self, penalty):
        excess = penalty.excess(self.q)
        held = self.w != 0.0
        held[self._held] = True
        excess[held] = -np.inf
        excess[~self.usable] = -np.inf
        if self._alive is not None:
            excess[~self._alive] = -np.inf
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

    def _descend(self, penalty, columns, goal, max_epochs, counter):
        self._fit_columns(penalty, columns, goal, max_epochs, counter)
        self._refresh()

    def _fit_columns(self, penalty, columns, goal, max_epochs, counter):
        """Proximal Newton on the columns until their measure is below goal."""
        design, datafit = self.design, self.datafit
        dense = self._explicit
        if dense:
            A = design.block(columns)
        else:
            A = design.matrix[:, columns]
        center = design.means[columns]
        q = self.q[columns]
        w = self.w[columns]
        sub = penalty.restricted(columns)
        l2 = sub.l2
        present = datafit.value(self.eta) + sub.value(w)
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
                    A, center, w, tangent, share * worst, limit, counter
                )
            counter["newton"] += 1
            d = new - w
            image = A @ d
            if not dense:
                image = image - center @ d
            image += d_shift
            change = float(-q @ d + lam @ (np.abs(new) - np.abs(w)))
            change += float((l2 * d) @ (new + w)) / 2.0
            change += d_shift * float(self.gradient.sum())

            def objective(t, w=w, d=d, image=image):
                return datafit.value(self.eta + t * image) + sub.value(w + t * d)

            length = line_search(objective, present, change)
            if length == 0.0:
                return
            w = new if length == 1.0 else w + length * d
            self.w[columns] = w
            self.eta = self.eta + length * image
            self.shift = self.shift + length * d_shift
            self._settle()
            w = self.w[columns]
            r = -self.gradient
            q = A.T @ r
            if not dense:
                q = q - center * r.sum()
            present, _, measure = self._measure_on(sub, w, q)
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
        sweeps, done = model.minimize(goal, min(limit, _FEW_SWEEPS) if wide else limit)
        counter["sweeps"] += sweeps
        if wide and not done and sweeps < limit:
            left = limit - sweeps
            return self._squared_model(A, h, model.w, penalty, goal, left, counter)
        shift = -float(means @ (model.w - w)) if self.fits_shift else 0.0
        return model.w, shift

    def _squared_model(self, A, h, w, penalty, goal, limit, counter):
        """Minimize the model as a weighted squared loss, by all its solver has.

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

    def _sparse_model(self, A, center, w, penalty, goal, limit, counter):
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
        sweeps, _ = model.minimize(goal, limit)
        counter["sweeps"] += sweeps
        if not self.fits_shift:
            return model.w, 0.0
        # Of the centered columns: eta = (x - center)'w + shift.
        return model.w, model.intercept() + float(center @ model.w)
