"""What solvers of penalized likelihoods share: predictors, gradients, gaps, free units.

Whether there is one linear predictor or one for each class is a matter of shapes alone.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.arithmetic import unbalanced
from sparsestat.linear_model._penalized._gaps import likelihood_dual
from sparsestat.linear_model._penalized._outer import OuterLoop
from sparsestat.linear_model._penalized._rounding import likelihood_rounding

__all__ = ["SETTLED", "LikelihoodLoop"]

# Gradient of free features, relative to the largest at zero; of an intercept, to the
# largest that a gradient of the size of that at zero has along a constant.
SETTLED = 1e-7


class LikelihoodLoop(OuterLoop):
    """Solve a sequence of penalized likelihoods on one design and one datafit.

    Parameters
    ----------
    design : Design
        Without sample weights: the datafit has them.
    datafit : Datafit, Softmax or OneColumn
    coef : ndarray of shape (n_features,) or (n_features, n_classes), default=None
        Where to start.
    """

    max_stalls = 4
    _kind = "duality_gap"
    growth_is_progress = False

    def __init__(self, design, datafit, coef=None):
        self.design, self.datafit = design, datafit
        self.fits_shift = design.fit_intercept and datafit.has_intercept
        shape = datafit.shape
        self.w = np.zeros((design.n_features, *shape))
        self.shift = (
            datafit.null_intercept() if self.fits_shift else np.zeros(shape)[()]
        )
        self.eta = np.zeros((design.n_samples, *shape)) + self.shift
        self.null_value = datafit.value(self.eta)
        # Beside a saturated model, what there is to explain.
        self.gap_scale = self.null_value - datafit.saturated
        if self.gap_scale <= 1e-14 * abs(self.null_value):
            self.gap_scale = 0.0
        self.gradient = datafit.gradient(self.eta)
        # What a slope of the intercept is beside those of features: the slope along a
        # constant that is as long as the longest column.
        n_samples, longest = design.n_samples, design.squares.max(initial=0.0)
        self._constant = float(np.sqrt(longest / max(n_samples, 1)))
        self._flat = SETTLED * float(np.sqrt(n_samples) * _norm(self.gradient))
        self.q = design.correlations(-self.gradient)
        self._null_q = self.q.copy()
        self.kkt_scale = float(np.abs(self.q).max(initial=0.0))
        # Constant columns are dropped by their squares, not by rounding.
        self.usable = design.squares > 0.0
        self._multiple = 0.0  # of the gradient that is the dual point
        self._free = self._held = np.empty(0, dtype=np.intp)
        if coef is not None and np.any(coef):
            eta, shift = self.eta, self.shift
            self.w[self.usable] = coef[self.usable]
            held = self._support
            self.eta = shift + design.product(held, self.w[held])
            if np.isfinite(datafit.value(self.eta)):
                self._settle()
                self._correlate()
            else:  # a start that overflows is no start
                self.w[:] = 0.0
                self.eta = eta

    @property
    def _support(self):
        return np.flatnonzero(self.w if self.w.ndim == 1 else self.w.any(axis=1))

    def settle_free(self, penalty):
        """Minimize over the features that nothing penalizes, and the intercepts."""
        self._kind = "duality_gap"
        self._adopt(penalty)

    def _begin(self, penalty):
        self._adopt(penalty)
        if self._partial:
            self._correlate()

    @property
    def _unit(self):
        return self.kkt_scale if self._kind == "kkt" else self.gap_scale

    def _adopt(self, penalty):
        """Take out what a penalty forbids, and settle what it leaves free.

        Without a gap the free features are left to the working sets, which hold them.
        """
        null_q = self._null_q
        sizes = penalty.magnitude(null_q) if penalty.is_grouped else np.abs(null_q)
        if penalty.kept is not None:
            sizes = sizes[penalty.kept]
        self.kkt_scale = float(sizes.max(initial=0.0))
        moved = False
        if penalty.kept is not None or penalty.positive:
            forbidden = (
                self.w < 0.0 if penalty.positive else np.zeros_like(self.w, bool)
            )
            if penalty.kept is not None:
                forbidden[penalty.columns_of(~penalty.kept)] = True
            moved = bool(self.w[forbidden].any())
            self.w[forbidden] = 0.0
        free = penalty.free[self.usable[penalty.free]]
        self._held = np.empty(0, dtype=np.intp) if penalty.is_nothing else free
        self._free = self._held if self._kind == "duality_gap" else self._held[:0]
        if self._free.size:
            self._block = self.design.block(free)
        if moved or self._free.size:
            self._refresh()
            self._correlate()

    def _rounding(self, penalty):
        held = self._support
        return likelihood_rounding(
            self.design,
            self.datafit,
            penalty,
            held,
            self.w[held],
            self.shift,
            self.eta,
            self.gradient,
            self._kind,
            self._multiple,
        )

    def _refresh(self):
        """Compute the predictors afresh: steps have gathered rounding errors."""
        held = self._support
        self.eta = self.shift + self.design.product(held, self.w[held])
        self._settle()

    def _settle(self):
        """Minimize over the intercepts; the gradients then sum to zero."""
        if self.fits_shift:
            change = self.datafit.settle_intercept(self.eta)
            self.shift = self.shift + change
            self.eta = self.eta + change
        if self._free.size:
            step, shift = self.datafit.settle_block(
                self._block, self.eta, with_shift=self.fits_shift
            )
            self.w[self._free] += step
            self.shift = self.shift + shift
            self.eta = self.eta + self._block @ step + shift
        self.gradient = self.datafit.gradient(self.eta)

    def _correlate(self, penalty=None, alive=None):
        columns = None if alive is None else self._few_columns(penalty, alive)
        self.design.correlations(-self.gradient, columns, self.q)
        self._partial = columns is not None

    def _measure(self, penalty):
        return self._measure_on(penalty, self.w, self.q)

    def _measure_on(self, penalty, w, q):
        """Return objective, dual value and measure of the problem on some units."""
        value = self.datafit.value(self.eta) + penalty.value(w)
        if self._kind == "kkt":
            worst = float(penalty.violations(w, q).max(initial=0.0))
            worst = max(worst, self._constant * self._lean())
            return value, np.nan, worst / self._unit if self._unit > 0 else 0.0
        dual, self._multiple = likelihood_dual(self.datafit, penalty, self.gradient, q)
        if self._free.size:
            # Features that nothing penalizes make equality constraints in the dual.
            slope = np.abs(self._block.T @ self.gradient).max()
            if slope > SETTLED * self.kkt_scale:
                dual = -np.inf
        if self._lean() > self._flat:  # so does an intercept
            dual = -np.inf
        gap = max(value - dual, 0.0)
        if self._unit == 0.0:
            return value, dual, gap if w.any() else 0.0
        return value, dual, gap / self._unit

    def _lean(self):
        """Return the largest slope of the loss in an intercept, beyond rounding."""
        if not self.fits_shift:
            return 0.0
        g = self.gradient
        return float(np.max(unbalanced(g.sum(axis=0), _norm(g), len(g))))

    def _solution(self):
        held = self._support
        return held, self.w[held]

    @property
    def bend(self):
        """A bound of the curvature of the loss along a change of the fit."""
        return self.datafit.steepest(self.eta)


def _norm(gradient):
    return float(np.sqrt(np.vdot(gradient, gradient)))
