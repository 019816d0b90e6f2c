"""What to do on a block: gradient, diagonal, matrix and Newton steps, line searches.

Every update returns ``(d, change)``, the step on the block and what it adds to the
maintained product, so that trial points never cost a product with the whole X.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import linalg

from sparsestat.linear_model._penalized import _kernels_cd as kernels

__all__ = ["UPDATES", "Updater", "solve_block"]

UPDATES = (
    "adaptive",
    "diagonal",
    "exact_1d",
    "gradient",
    "matrix",
    "newton",
    "projected_newton",
    "two_metric",
)
_ARMIJO = 1e-4
_TRIALS = 30
_MODEL_SWEEPS = 200
_ROUNDING = 1e-15


def solve_block(H, g):
    """Return d with H d = -g: Cholesky, then with jitter, then least squares."""
    m = len(g)
    for jitter in (0.0, 1e-12 * float(np.trace(H)) / m):
        A = H
        if jitter:
            A = H.copy()
            A.flat[:: m + 1] += jitter
        try:
            factor = linalg.cho_factor(A, lower=True, check_finite=False)
        except linalg.LinAlgError:
            continue
        d = linalg.cho_solve(factor, -g, check_finite=False)
        if np.isfinite(d).all():
            return d
    return np.linalg.lstsq(H, -g, rcond=None)[0]


class Updater:
    """Steps of one kind on blocks of one problem.

    Parameters
    ----------
    problem, penalty, selector : object
    update : str
        One of `UPDATES`.
    """

    def __init__(self, problem, penalty, selector, update):
        self.problem, self.penalty, self.selector = problem, penalty, selector
        self.kind = update
        self._estimates = {}
        self._coordinate_estimates = None

    def __call__(self, b, number, g, value):
        """Return the step on the block b.

        Parameters
        ----------
        b : ndarray of int
        number : int or None
            Of a fixed block.
        g : ndarray
            Gradient of the smooth part, all coordinates.
        value : float
            Smooth part at the iterate.
        """
        w_b, g_b = self.problem.w[b], g[b]
        if self.kind == "newton":
            return self._newton(b, w_b, g_b, value)
        if self.kind == "adaptive":
            return self._adaptive(b, number, w_b, g_b, value)
        if self.kind == "two_metric":
            return self.two_metric(b, w_b, g_b, value)
        if self.kind == "projected_newton":
            return self.projected_newton(b, w_b, g_b, value)
        if self.kind == "diagonal":
            d = self._prox_step(w_b, g_b, self.selector.bounds()[b])
        else:
            H, L = self.selector.bound(number, b)
            if self.kind == "matrix" and len(b) > 1:
                d = self._minimize_model(H, w_b, g_b)
            else:  # "gradient", and blocks of one
                d = self._prox_step(w_b, g_b, np.full(len(b), L))
        return d, self.problem.change(b, d)

    def _prox_step(self, w_b, g_b, curvature):
        """Minimize a separable model; coordinates without curvature stay."""
        moving = curvature > 0
        safe = np.where(moving, curvature, 1.0)
        return np.where(moving, self.penalty.prox(w_b, g_b, safe) - w_b, 0.0)

    def _minimize_model(self, H, w_b, g_b):
        """Minimize ``g'd + d'Hd / 2 + penalty(w + d)``."""
        if self.penalty.kind is None:
            return solve_block(H, g_b)
        new = np.ascontiguousarray(w_b)
        if new is w_b or new.base is not None:
            new = new.copy()
        lam, second = self.penalty.strengths(len(w_b))
        scale = max(float(np.abs(g_b).max()), self.penalty.alpha)
        kernels.gram_cd(
            np.ascontiguousarray(H), -g_b, new, lam, second,
            self.penalty.code, self.penalty.params, _MODEL_SWEEPS, 1e-13 * scale, -1.0,
        )  # fmt: skip
        return new - w_b

    def _newton(self, b, w_b, g_b, value):
        H = self.problem.hessian_block(b)
        m = len(b)
        if not self.problem.has_bound or float(np.trace(H)) <= 0:
            H = H.copy()
            H.flat[:: m + 1] += 1e-10 * max(float(np.trace(H)) / m, 1e-300)
        d = self._minimize_model(H, w_b, g_b)
        return self._search(b, w_b, g_b, value, d)

    def _search(self, b, w_b, g_b, value, d):
        """Armijo's rule along d, by interpolation: quadratic, then cubic."""
        problem, penalty = self.problem, self.penalty
        before = float(penalty.values(w_b).sum())
        change = problem.change(b, d)
        slope = float((g_b * d + penalty.differences(w_b, d)).sum())
        if not slope < 0:
            return self._fallback(b, w_b, g_b, value)
        t, last = 1.0, None
        total = value + before
        for _ in range(_TRIALS):
            step = t * d
            new = problem.value_after(b, step, t * change)
            new += float(penalty.values(w_b + step).sum())
            if new <= total + _ARMIJO * t * slope + _ROUNDING * abs(total):
                return step, t * change
            t, last = _interpolate(t, new - total, slope, last), (t, new - total)
        return np.zeros_like(d), np.zeros_like(change)

    def _fallback(self, b, w_b, g_b, value):
        """A proximal step with curvatures that are doubled until they hold."""
        return self._adaptive(b, None, w_b, g_b, value)

    def _adaptive(self, b, number, w_b, g_b, value):
        problem, penalty = self.problem, self.penalty
        L = self._estimate(b, number)
        before = float(penalty.values(w_b).sum())
        for _ in range(60):
            d = penalty.prox(w_b, g_b, np.full(len(b), L)) - w_b
            change = problem.change(b, d)
            model = value + float(g_b @ d) + 0.5 * L * float(d @ d)
            new = problem.value_after(b, d, change)
            if new <= model + _ROUNDING * (abs(value) + before):
                break
            L *= 2.0
        # Between visits an estimate may fall to half of what was needed last time.
        if number is not None:
            self._estimates[number] = 0.5 * L
        else:
            self._coordinate_estimates[b] = 0.5 * L
        return d, change

    def _estimate(self, b, number):
        if self._coordinate_estimates is None:
            L = np.asarray(self.selector.scales()[0])
            floor = 1e-12 * max(float(L.max()), 1e-300)
            self._coordinate_estimates = np.maximum(L, floor)
        if number is not None and number in self._estimates:
            return self._estimates[number]
        return float(self._coordinate_estimates[b].max())

    def two_metric(self, b, w_b, g_b, value):
        """Two-metric projection for bounds ``w >= 0``.

        Coordinates at the bound that want to leave through it get a diagonal metric
        of their own, without coupling to the others: else the projected Newton step
        may ascend.
        """
        slope = g_b + self.penalty.alpha
        stationary = np.linalg.norm(w_b - np.maximum(w_b - slope, 0.0))
        eps = min(1e-4, float(stationary))  # a fixed width would stall
        bound = (w_b <= eps) & (slope > 0)
        H = self.problem.hessian_block(b)
        d = -slope / np.where(np.diag(H) > 0, np.diag(H), 1.0)
        free = np.flatnonzero(~bound)
        if len(free):
            d[free] = solve_block(H[np.ix_(free, free)], slope[free])
        return self._arc(
            b, w_b, g_b, slope, value, lambda t: np.maximum(w_b + t * d, 0.0)
        )

    def projected_newton(self, b, w_b, g_b, value):
        """Newton's method in the orthant of w, for the absolute penalty.

        Zeros join with the sign of their descent direction if it outweighs the
        penalty. Coordinates that would change sign stop at zero.
        """
        alpha = self.penalty.alpha
        sign = np.sign(w_b)
        joins = (sign == 0) & (np.abs(g_b) > alpha)
        sign[joins] = -np.sign(g_b[joins])
        free = np.flatnonzero(sign)
        if not len(free):
            return np.zeros_like(w_b), self.problem.change(b, np.zeros_like(w_b))
        slope = g_b + alpha * sign
        d = np.zeros_like(w_b)
        H = self.problem.hessian_block(b)
        d[free] = solve_block(H[np.ix_(free, free)], slope[free])

        def arc(t):
            new = w_b + t * d
            return np.where(new * sign > 0, new, 0.0)

        return self._arc(b, w_b, g_b, slope, value, arc)

    def _arc(self, b, w_b, g_b, slope, value, arc):
        """Armijo's rule along a projected path; the penalty is linear on it."""
        problem, penalty = self.problem, self.penalty
        total = value + float(penalty.values(w_b).sum())
        t = 1.0
        for _ in range(_TRIALS):
            new_w = arc(t)
            d = new_w - w_b
            predicted = float(slope @ d)
            if predicted < 0:
                change = problem.change(b, d)
                new = problem.value_after(b, d, change)
                new += float(penalty.values(new_w).sum())
                if new <= total + _ARMIJO * predicted + _ROUNDING * abs(total):
                    return d, change
            elif not d.any():
                break
            t *= 0.5
        return self._fallback(b, w_b, g_b, value)


def _interpolate(t, rise, slope, last):
    """Return the next trial length, within [t / 10, t / 2].

    Parameters
    ----------
    t, rise : float
        The length that failed and the objective there, relative to the start.
    slope : float
        Derivative at the start.
    last : tuple or None
        The same two of the trial before.
    """
    guess = np.nan
    if np.isfinite(rise):
        if last is None or not np.isfinite(last[1]):
            guess = -slope * t * t / (2.0 * (rise - slope * t))
        else:
            u, old = last
            first = (rise - slope * t) / (t * t)
            second = (old - slope * u) / (u * u)
            a = (first - second) / (t - u)
            c = (t * second - u * first) / (t - u)
            if a == 0:
                guess = -slope / (2.0 * c) if c else np.nan
            else:
                root = c * c - 3.0 * a * slope
                guess = (-c + np.sqrt(root)) / (3.0 * a) if root >= 0 else np.nan
    if not np.isfinite(guess):
        guess = 0.5 * t
    return float(np.clip(guess, 0.1 * t, 0.5 * t))
