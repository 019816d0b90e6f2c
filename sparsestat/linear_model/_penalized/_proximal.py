r"""Accelerated proximal gradients for penalties and losses that users write.

Minimizes :math:`f(X w + b) + \lambda p(w)` given only values, the derivative of f and
the proximal operator of p [1]_. Steps are found by backtracking, momentum is dropped
where it points uphill [2]_.

References
----------
.. [1] A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for
   linear inverse problems", SIAM J. Imaging Sciences 2, 2009.
.. [2] B. O'Donoghue, E. Candes, "Adaptive restart for accelerated gradient schemes",
   Foundations of Computational Mathematics 15, 2015.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.arithmetic import rounding, unbalanced
from sparsestat.linear_model._penalized._datafits import Datafit
from sparsestat.linear_model._penalized._outer import OuterLoop

__all__ = ["GivenPenalty", "ProximalSolver", "UserDatafit"]

_BLOCK = 20  # steps between two looks at the violation
_HALVINGS = 60
_ROUNDING = 1e-14


class UserDatafit(Datafit):
    """A loss of users: ``losses(y, eta)`` and ``slopes(y, eta)``, row by row.

    ``curvature`` is an upper bound of the second derivative in eta, if there is one.
    """

    _steep = True

    def __init__(self, given, y, sample_weight=None):
        super().__init__(y, sample_weight)
        self.given = given
        bound = getattr(given, "curvature", None)
        self._bound = 1.0 if bound is None else float(bound)
        if bound is not None:
            self.curvature_bound = self._bound * self.weights
        self.null_curvature = self._bound

    def value(self, eta):
        """Return the weighted sum of the losses."""
        return float(self.weights @ np.asarray(self.given.losses(self.y, eta)))

    def gradient(self, eta):
        """Return the derivative in eta."""
        return self.weights * np.asarray(self.given.slopes(self.y, eta))

    def curvature(self, eta):
        """Return a bound of the second derivative, or an estimate of it."""
        if self.curvature_bound is not None:
            return self.curvature_bound
        step = 1e-5 * np.maximum(1.0, np.abs(eta))
        rise = self.gradient(eta + step) - self.gradient(eta - step)
        return np.maximum(rise / (2.0 * step), self.floor * self.weights)


class GivenPenalty:
    """A penalty of users, with a strength and in the units of the solver.

    Parameters
    ----------
    given : object
        With ``value(w)`` and ``prox(z, strength)``, the minimizer of
        ``||w - z||^2 / 2 + strength * value(w)``.
    strength : float
    unit : float
        Coefficients of users are so many times those of the solver.
    """

    is_convex = False  # as far as is known
    kept = lam = None

    def __init__(self, given, strength, unit):
        self.given, self.strength, self.unit = given, strength, unit

    def value(self, w):
        """Penalty of coefficients w."""
        return self.strength * float(self.given.value(self.unit * w))

    def prox(self, z, step):
        """Minimize ``||w - z||^2 / (2 step) + penalty(w)``."""
        scaled = step * self.strength * self.unit**2
        if scaled == 0.0:
            return z.copy()
        return np.asarray(self.given.prox(self.unit * z, scaled)) / self.unit


class ProximalSolver(OuterLoop):
    """Solve a sequence of problems on one design and one datafit.

    An epoch is a proximal step, an iteration a block of them.

    Parameters
    ----------
    design : Design
        Without sample weights: the datafit has them.
    datafit : Datafit
    coef : ndarray of shape (n_features,), default=None
        Where to start.
    """

    max_stalls = 10
    growth_is_progress = False

    def __init__(self, design, datafit, coef=None):
        self.design, self.datafit = design, datafit
        self.fits_shift = design.fit_intercept and datafit.has_intercept
        self.w = np.zeros(design.n_features)
        self.columns = np.arange(design.n_features)
        self.null_value, self.null_q = self._at(self.w)
        self._unit = self.null_scale = float(np.abs(self.null_q).max(initial=0.0))
        squares = float(design.squares.max(initial=0.0))
        bend = datafit.steepest(np.full(design.n_samples, self.shift))
        self.lipschitz = max(squares * bend, np.finfo(np.float64).tiny)
        if coef is not None and np.any(coef):
            self.w = np.array(coef, dtype=np.float64)

    def _at(self, w):
        """Return the loss, with the intercept settled, and minus its gradient."""
        eta = self.design.product(self.columns, w)
        if self.fits_shift:
            self.shift = self.datafit.settle_intercept(eta)
            eta = eta + self.shift
        self.gradient = self.datafit.gradient(eta)
        self.eta = eta
        return self.datafit.value(eta), self.design.correlations(-self.gradient)

    def _begin(self, penalty):
        self._before, self._momentum = self.w, 1.0

    def _measure(self, penalty):
        """The length of a proximal step as a gradient, relative to that at zero."""
        loss, q = self._at(self.w)
        value, w, bend = loss + penalty.value(self.w), self.w, self.lipschitz
        moved = np.abs(w - penalty.prox(w + q / bend, 1.0 / bend))
        worst = float(moved.max(initial=0.0)) * bend
        if self.fits_shift:
            g, n = self.gradient, self.design.n_samples
            longest = float(self.design.squares.max(initial=0.0))
            lean = float(unbalanced(g.sum(), np.linalg.norm(g), n))
            worst = max(worst, np.sqrt(longest / n) * lean)
        return value, np.nan, worst / self._unit if self._unit > 0 else 0.0

    def _choose(self, penalty):
        return None, True

    def _descend(self, penalty, chosen, goal, max_epochs, counter):
        w, before, momentum = self.w, self._before, self._momentum
        for _ in range(min(_BLOCK, max_epochs - counter["sweeps"])):
            following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2))
            point = w + ((momentum - 1.0) / following) * (w - before)
            new = self._step(penalty, point)
            counter["sweeps"] += 1
            uphill = float((point - new) @ (new - w)) > 0.0
            before, w, momentum = w, new, 1.0 if uphill else following
        self.w, self._before, self._momentum = w, before, momentum

    def _correlate(self, penalty, alive=None):
        """Nothing: measuring does."""

    def _solution(self):
        support = np.flatnonzero(self.w)
        return support, self.w[support]

    @property
    def bend(self):
        """A bound of the curvature of the loss along a change of the fit."""
        return self.datafit.steepest(self.eta)

    def _step(self, penalty, point):
        """Proximal step from a point, short enough that its model lies above."""
        loss, q = self._at(point)
        for _ in range(_HALVINGS):
            new = penalty.prox(point + q / self.lipschitz, 1.0 / self.lipschitz)
            d = new - point
            above = loss - float(q @ d) + 0.5 * self.lipschitz * float(d @ d)
            if self._at(new)[0] <= above + _ROUNDING * abs(loss):
                break
            self.lipschitz *= 2.0
        return new

    def _rounding(self, penalty):
        norms = np.sqrt(self.design.squares)
        size = float(np.linalg.norm(self.gradient))
        reach = float(norms.max(initial=0.0))
        error = reach * rounding(self.design.chain + 4, size)
        spread = float(norms @ np.abs(self.w)) + np.linalg.norm(self.eta)
        fit = float(rounding(len(self.w) + 4, spread))
        return error + reach * self.datafit.steepest(self.eta) * fit
