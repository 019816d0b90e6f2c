r"""Accelerated proximal gradients for penalties and losses that users write.

Minimises :math:`f(X w + b) + \lambda p(w)` given only values, the derivative of f and
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

from sparsestat._utils.arithmetic import rounding
from sparsestat.linear_model._penalized._datafits import Datafit
from sparsestat.linear_model._penalized._result import Patience, SolverResult

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


class ProximalSolver:
    """Solve a sequence of problems on one design and one datafit.

    Parameters
    ----------
    design : Design
        Without sample weights: the datafit has them.
    datafit : Datafit
    coef : ndarray of shape (n_features,), default=None
        Where to start.
    """

    def __init__(self, design, datafit, coef=None):
        self.design, self.datafit = design, datafit
        self.fits_shift = design.fit_intercept and datafit.has_intercept
        self.w = np.zeros(design.n_features)
        self.columns = np.arange(design.n_features)
        self.shift = 0.0
        state = self._at(self.w)
        self.null_value, self.null_q = state[0], state[1]
        self.kkt_scale = float(np.abs(self.null_q).max(initial=0.0))
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

    def violation(self, penalty, w, q):
        """Length of a proximal step as a gradient, relative to the largest at zero."""
        if self.kkt_scale == 0.0:
            return 0.0
        moved = np.abs(w - penalty.prox(w + q / self.lipschitz, 1.0 / self.lipschitz))
        return float(moved.max(initial=0.0)) * self.lipschitz / self.kkt_scale

    def solve(
        self, penalty, *, kind="kkt", tol=1e-4, max_iter=100, max_epochs=10_000,
        step=None,
    ):  # fmt: skip
        """Solve for one penalty, starting from the present coefficients.

        An epoch is a proximal step, an iteration a block of them.
        """
        history, sweeps = [], 0
        patience = Patience(10)
        w, old, momentum = self.w, self.w, 1.0
        for n_iter in range(1, max_iter + 1):
            loss, q = self._at(w)
            value = loss + penalty.value(w)
            measure = self.violation(penalty, w, q)
            history.append(measure)
            if (step is not None and step(measure)) or measure <= tol:
                break
            if n_iter == max_iter or sweeps >= max_epochs:
                break
            if patience.ends(value, _ROUNDING * abs(value)):
                break
            for _ in range(min(_BLOCK, max_epochs - sweeps)):
                following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2))
                point = w + ((momentum - 1.0) / following) * (w - old)
                new = self._step(penalty, point)
                sweeps += 1
                uphill = float((point - new) @ (new - w)) > 0.0
                old, w, momentum = w, new, 1.0 if uphill else following
        self.w = w
        support = np.flatnonzero(w)
        return SolverResult(
            columns=support,
            coef=w[support],
            shift=self.shift,
            gap=measure,
            objective=value,
            dual=np.nan,
            n_iter=n_iter,
            n_sweeps=sweeps,
            n_newton=0,
            gap_history=history,
            converged=measure <= tol,
            kind="kkt",
            rounding=self._rounding(w),
            unit=self.kkt_scale or 1.0,
            bend=self.datafit.steepest(self.eta),
        )

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

    def _rounding(self, w):
        """Bound the rounding error of the relative violation."""
        if self.kkt_scale == 0.0:
            return 0.0
        norms = np.sqrt(self.design.squares)
        size = float(np.linalg.norm(self.gradient))
        reach = float(norms.max(initial=0.0))
        error = reach * rounding(self.design.chain + 4, size)
        fit = rounding(len(w) + 4, float(norms @ np.abs(w)) + np.linalg.norm(self.eta))
        error += reach * self.datafit.steepest(self.eta) * float(fit)
        return error / self.kkt_scale
