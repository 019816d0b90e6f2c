"""Ascents of an objective over a vector of parameters: quasi-Newton, and stochastic."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize

__all__ = ["Adam", "Top", "climb", "projected"]

# The solver is held to a little less than `tol`: the certificate evaluates again.
_MARGIN = 0.9


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
    """

    x: np.ndarray
    value: float
    slope: float
    n_iter: int = 1
    history: list = field(default_factory=list)


def projected(gradient, x, bounds):
    """Zero the entries of an ascent direction that would leave the bounds."""
    low, high = bounds[:, 0], bounds[:, 1]
    out = gradient.copy()
    room = 1e-9 * np.maximum(1.0, np.abs(x))
    out[(x <= low + room) & (gradient < 0)] = 0.0
    out[(x >= high - room) & (gradient > 0)] = 0.0
    return out


def climb(function, start, bounds, *, n, max_iter, tol, progress):
    """Run L-BFGS-B once from one start.

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
    seen = {"value": -np.inf}
    history = []

    def negative(x):
        try:
            value, gradient = function(x)
        except np.linalg.LinAlgError:
            value = -np.inf
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            # A wall that the line search turns back from.
            worst = seen.get("worst", 1e10)
            return 10.0 * abs(worst) + 1e10, np.zeros(len(x))
        seen["worst"] = max(seen.get("worst", -np.inf), -value / n)
        if value > seen["value"]:
            seen.update(value=value, x=x.copy(), gradient=gradient.copy())
        return -value / n, -gradient / n

    def step(intermediate_result):
        history.append(-n * float(intermediate_result.fun))
        if progress.step(log_evidence=history[-1]):
            raise StopIteration

    result = minimize(
        negative,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        callback=step,
        options={
            "maxiter": max_iter,
            "maxfun": 3 * max_iter + 20,
            "maxcor": 20,
            "gtol": _MARGIN * tol,
            "ftol": 1e-14,
        },
    )
    if "x" not in seen:
        raise np.linalg.LinAlgError(
            "The covariance is not positive definite at the start of the optimization."
        )
    x = seen["x"]
    slope = np.abs(projected(seen["gradient"], x, bounds)).max(initial=0.0) / n
    return Top(x, float(seen["value"]), float(slope), max(1, int(result.nit)), history)


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
