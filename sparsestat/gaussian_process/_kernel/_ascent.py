"""Ascents of an objective over a vector of parameters: quasi-Newton, and stochastic."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize

__all__ = ["Adam", "Top", "climb", "projected"]

# The solver is held to a little less than `tol`: the certificate evaluates again.
_MARGIN = 0.9
_LAST, _PATIENCE = 30, 10  # steps on rises from gradients; those that gain nothing


@dataclass
class Top:
    """Where an ascent ended.

    Parameters
    ----------
    x : ndarray
        The best parameters seen.
    value : float
        The objective there.
    slope : float
        Largest entry of the projected gradient there, per sample.
    n_iter : int
        Number of iterations.
    history : list of float
        The objective after each.
    stopped : bool
        Whether the limit of iterations, or a callback, ended it.
    """

    x: np.ndarray
    value: float
    slope: float
    n_iter: int = 1
    history: list = field(default_factory=list)
    stopped: bool = False


def projected(gradient, x, bounds):
    """Zero the entries of an ascent direction that would leave the bounds."""
    low, high = bounds[:, 0], bounds[:, 1]
    out = gradient.copy()
    room = 1e-9 * np.maximum(1.0, np.abs(x))
    out[(x <= low + room) & (gradient < 0)] = 0.0
    out[(x >= high - room) & (gradient > 0)] = 0.0
    return out


def climb(function, start, bounds, *, n, max_iter, tol, progress):
    """Run L-BFGS-B from one start.

    Where values are differences of large numbers, rounding moves them more than the
    last steps do, and a line search on them stops above `tol`. The gradients keep more
    digits: from there the search goes on with rises that are taken from them, by the
    trapezoidal rule from one iterate to the next.

    Parameters
    ----------
    function : callable
        Takes parameters, returns the objective and its gradient; may raise LinAlgError.
    start : ndarray
        Parameters.
    bounds : ndarray of shape (len(start), 2)
        Their bounds.
    n : int
        Number of samples; the tolerance is relative to it.
    max_iter : int
        Largest number of iterations.
    tol : float
        Of the projected gradient per sample.
    progress : FitProgress
        Told of every iteration.

    Returns
    -------
    top : Top
        The best point seen.

    Raises
    ------
    numpy.linalg.LinAlgError
        If there is no value at the start.
    """
    seen = _Seen(function, bounds, n)
    top = _search(seen, start, max_iter, tol, progress)
    if top.slope <= tol or top.stopped:
        return top
    steps = min(max_iter - top.n_iter, _LAST)
    rises = _Rises(function, bounds, n)
    last = _search(rises, top.x, steps, tol, progress)
    last.n_iter += top.n_iter
    last.stopped = rises.interrupted or last.n_iter >= max_iter
    last.history = top.history + last.history
    # A rise of the integral is one of the objective, but for its rounding.
    if last.slope < top.slope and last.value > top.value - tol * n:
        return last
    top.stopped = last.stopped
    return top


class _Seen:
    """The negative of a function per sample, which keeps the best point seen."""

    ftol = 1e-14

    def __init__(self, function, bounds, n):
        self.function, self.bounds, self.n = function, bounds, n
        self.best, self.worst, self.interrupted = None, None, False

    def __call__(self, x):
        try:
            value, gradient = self.function(x)
        except np.linalg.LinAlgError:
            value = -np.inf
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            # A wall that the line search turns back from.
            worst = 1e10 if self.worst is None else self.worst
            return 10.0 * abs(worst) + 1e10, np.zeros(len(x))
        slope = np.abs(projected(gradient, x, self.bounds)).max(initial=0.0) / self.n
        top = Top(x.copy(), float(value), float(slope))
        fall = -self.rise(top, gradient) / self.n
        self.worst = fall if self.worst is None else max(self.worst, fall)
        if self.best is None or self.is_better(top):
            self.best = top
        return fall, -gradient / self.n

    def rise(self, top, gradient):
        """Return what is maximized, at the point that was seen last."""
        return top.value

    def is_better(self, top):
        return top.value > self.best.value

    def moved(self, result):
        """Take note of an iterate; return the objective there."""
        return -self.n * float(result.fun)

    def has_ended(self, n_iter):
        """Tell whether further steps are of no use, after so many."""
        return False


class _Rises(_Seen):
    """The same with rises from the gradients; the best point has the least slope."""

    ftol = 0.0
    _place = _leader = None

    def rise(self, top, gradient):
        if self._place is None:
            self._place = top.x, gradient, 0.0
        x, before, risen = self._place
        risen = risen + 0.5 * float((gradient + before) @ (top.x - x))
        self._last = top, (top.x, gradient, risen)
        return risen

    def is_better(self, top):
        return top.slope < self.best.slope

    def moved(self, result):
        top, place = self._last
        if np.array_equal(result.x, top.x):
            self._place = place
        return top.value

    def has_ended(self, n_iter):
        if self.best is not self._leader:
            self._leader, self._since = self.best, n_iter
        return n_iter - self._since >= _PATIENCE


def _search(seen, start, max_iter, tol, progress):
    """Run L-BFGS-B once."""
    history = []

    def step(intermediate_result):
        history.append(seen.moved(intermediate_result))
        seen.interrupted = bool(progress.step(log_evidence=history[-1]))
        if seen.interrupted or seen.has_ended(len(history)):
            raise StopIteration

    result = minimize(
        seen,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=seen.bounds,
        callback=step,
        options={
            "maxiter": max_iter,
            "maxfun": 3 * max_iter + 20,
            "maxcor": 20,
            "gtol": _MARGIN * tol,
            "ftol": seen.ftol,
        },
    )
    top = seen.best
    if top is None:
        raise np.linalg.LinAlgError(
            "The covariance is not positive definite at the start of the optimization."
        )
    top.n_iter, top.history = max(1, int(result.nit)), history
    top.stopped = seen.interrupted or result.status == 1  # 1: a limit was reached
    return top


class Adam:
    """Steps along running means of gradients, over the roots of those of squares."""

    def __init__(self, size, rate):
        self.rate, self.steps = rate, 0
        self._first, self._second = np.zeros(size), np.zeros(size)

    def step(self, x, gradient, bounds):
        """Return the parameters after one step up, within their bounds."""
        self.steps += 1
        self._first = 0.9 * self._first + 0.1 * gradient
        self._second = 0.999 * self._second + 0.001 * gradient**2
        first = self._first / (1.0 - 0.9**self.steps)
        second = self._second / (1.0 - 0.999**self.steps)
        moved = x + self.rate * first / (np.sqrt(second) + 1e-12)
        return np.clip(moved, bounds[:, 0], bounds[:, 1])
