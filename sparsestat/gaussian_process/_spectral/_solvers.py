r"""Solvers for the weights of a grid spectral mixture.

The objective F(w, s2) is a convex term plus a concave one. All solvers stop at the
same measure: with shares :math:`u_i = w_i g_i`, in which the gradient of F is
:math:`1 - q_i / g_i`, a point is stationary when
:math:`\min(u_i, 1 - q_i / g_i) = 0` for every component; the largest modulus is the
residual.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np
from scipy import optimize

from sparsestat._utils.parallel import run_parallel
from sparsestat.gaussian_process._spectral._majorizer import (
    extrapolate,
    minimize_majorizer,
)
from sparsestat.gaussian_process._spectral._newton import WhittleMetric, solve_in_metric

__all__ = ["Problem", "Solution", "solve"]

_PRUNE = 1e-10  # weights below this times the largest are set to zero
_REVIVED = 1e-3  # a revived weight, relative to the largest
_N_BLOCKS = 4
_MEMORY = 20
_WARM_STEPS = 20  # updates in closed form before quasi-Newton steps
_FEW_STEPS = 8  # the same before steps in Whittle's metric
_INNER = 40  # evaluations of a convex subproblem


class Problem:
    """The objective as a function of one vector: the weights, then the noise.

    Parameters
    ----------
    engine : Engine
        Evaluates the objective.
    noise_floor : float
        Smallest noise variance.
    noise : float or None
        The noise variance when it is given.
    """

    def __init__(self, engine, *, noise_floor, noise=None):
        self.engine = engine
        self.noise, self.noise_floor = noise, noise_floor
        self.learns_noise = noise is None
        self.n = len(engine.spectrum)

    def value(self, z):
        return self.engine.value(z[:-1], z[-1])

    def evaluate(self, z, subset=None):
        """Return the objective, and g and q of the components and of the noise."""
        return self.examine(z, subset)[:3]

    def examine(self, z, subset=None):
        """Do the same as :meth:`evaluate`; return the factorization as well."""
        found = self.engine.evaluate(z[:-1], z[-1], subset)
        samples, noise = self.engine.samples, z[-1]
        g = np.append(found.g, found.noise_g + samples.extra / noise)
        q = np.append(found.q, found.noise_q + samples.within / noise / noise)
        return found.value, g, q, found.state

    def scale(self, g, z):
        """Return g, with a positive entry for the noise."""
        scale = g.copy()
        # Weights that sum to less than the number of points make the last negative.
        scale[-1] = max(g[-1], (g[-1] * z[-1] - self.engine.samples.extra) / z[-1])
        return np.maximum(scale, np.finfo(float).tiny)

    def lower(self, z=None):
        bound = np.zeros(self.n + 1)
        bound[-1] = self.noise_floor if self.learns_noise else self.noise
        return bound

    def residual(self, z, g, q):
        """Return the largest violation of stationarity."""
        scale = self.scale(g, z)
        slope = (g - q) / scale
        found = np.abs(np.minimum((z - self.lower()) * scale, slope))
        if not self.learns_noise:
            found = found[:-1]
        return float(found.max())

    def update(self, z, g, q):
        """Return the minimizer of the separable majorizer at z."""
        new = z * np.sqrt(np.maximum(q, 0.0) / self.scale(g, z))
        if not self.learns_noise:
            new[-1] = z[-1]
            return new
        samples, noise = self.engine.samples, z[-1]
        if samples.extra < 0:
            # -|extra| log s2 is convex and stays as it is: a quadratic equation.
            a = g[-1] - samples.extra / noise
            b, c = samples.extra, noise**2 * q[-1]
            new[-1] = 2.0 * c / (b + np.sqrt(b * b + 4.0 * a * c))
        new[-1] = max(new[-1], self.noise_floor)
        return new


@dataclass
class Solution:
    """Where a solver stopped."""

    z: np.ndarray
    value: float
    residual: float
    path: list = field(default_factory=list)
    n_iter: int = 0


class _Run:
    """Count evaluations, keep the best point and its objective, talk to callbacks."""

    def __init__(self, problem, tol, max_iter, step):
        self.problem, self.tol, self.max_iter, self.step = problem, tol, max_iter, step
        self.path, self.n_iter, self.stopped = [], 0, False
        self.best, self.best_z, self.best_gradient = np.inf, None, None

    def evaluate(self, z, subset=None):
        return self._record(z, subset, *self.problem.evaluate(z, subset))

    def examine(self, z):
        *found, state = self.problem.examine(z)
        return *self._record(z, None, *found), state

    def _record(self, z, subset, value, g, q):
        self.n_iter += 1
        if value < self.best:
            self.best, self.best_z = value, z.copy()
            self.best_gradient = (g, q) if subset is None else None
            self.path.append(value)
            self.stopped = bool(self.step(value)) or self.stopped
        return value, g, q

    @property
    def left(self):
        return 0 if self.stopped else self.max_iter - self.n_iter

    def solution(self, prune_tol):
        """Return the best point; what weighs nothing there becomes zero."""
        z, value = self.best_z, self.best
        if self.best_gradient is None:
            self.best_gradient = self.problem.evaluate(z)[1:]
        g, q = self.best_gradient
        weights = z[:-1]
        small = weights <= prune_tol * weights.max(initial=0.0)
        small &= (weights > 0) & (weights * g[:-1] <= self.tol)
        if small.any():
            z = z.copy()
            z[:-1][small] = 0.0
            value, g, q = self.problem.evaluate(z)
        residual = self.problem.residual(z, g, q)
        return Solution(z, value, residual, self.path, max(1, self.n_iter))


def solve(
    problem,
    z,
    *,
    solver,
    tol,
    max_iter,
    prune_tol=0.0,
    step=lambda value: False,
    n_jobs=None,
):
    """Minimize the objective from the point z.

    Parameters
    ----------
    problem : Problem
        The objective.
    z : ndarray of shape (n_components + 1,)
        Start: positive weights and the noise variance.
    solver : {"whittle", "newton", "working_sets", "mm", "sca", "dsca", "conic"}
        See the functions of this module.
    tol : float
        Stop when the residual is at most this.
    max_iter : int
        Largest number of evaluations of the gradient.
    prune_tol : float, default=0.0
        Weights up to this times the largest, and with shares below `tol`, become zero.
    step : callable
        Called with every new lowest objective; True stops.
    n_jobs : int, default=None
        Workers over the blocks of dsca.

    Returns
    -------
    solution : Solution
        The best point that was seen.
    """
    run = _Run(problem, tol, max_iter, step)
    if solver == "dsca":
        _solve_blocks(run, z, n_jobs)
    else:
        _SOLVERS[solver](run, z)
    return run.solution(prune_tol)


def _prune(z):
    z = z.copy()
    z[:-1][z[:-1] < _PRUNE * z[:-1].max(initial=0.0)] = 0.0
    return z


def _solve_mm(run, z, *, most=None, revive=True):
    """Separable majorizers, minimized in closed form; extrapolated in log weights.

    A cycle takes two plain steps and one extrapolated; when that one does not lower
    the objective, the plain steps stand.
    """
    problem = run.problem
    last = run.n_iter + (most or run.max_iter)
    value, g, q = run.evaluate(z)
    while run.left > 0 and run.n_iter < last:
        if problem.residual(z, g, q) <= run.tol:
            return z
        one = _prune(problem.update(z, g, q))
        if revive:
            one = _revive(one, z, g, q, run.tol)
        value_one, g_one, q_one = run.evaluate(one)
        if run.left <= 0 or run.n_iter >= last:
            return one
        two = _prune(problem.update(one, g_one, q_one))
        jump = extrapolate(z, one, two, problem.lower())
        value, g, q = run.evaluate(jump)
        if value <= value_one:
            z = jump
        else:
            z = two
            value, g, q = run.evaluate(two)
    return z


def _revive(new, z, g, q, tol):
    """Give weights of zero that ought to grow a small value."""
    wanted = (z[:-1] == 0) & (q[:-1] > g[:-1] * (1.0 + tol))
    if wanted.any():
        new[:-1][wanted] = _REVIVED * max(z[:-1].max(), 1e-6 * z[-1])
    return new


def _quasi_newton(run, z, subset, most):
    """L-BFGS-B in the shares u = w g of a subset of the components and the noise."""
    problem = run.problem
    whole = len(subset) == problem.n
    asked = None if whole else subset
    value, g, q = run.evaluate(z, asked)
    place = np.append(subset, problem.n)
    free = place if problem.learns_noise else place[:-1]
    kept = slice(None) if problem.learns_noise else slice(-1)
    scale = problem.scale(g, z)[kept]
    seen = {"x": z[free] * scale, "value": value, "slope": (g - q)[kept] / scale}

    def objective(x):
        if not np.array_equal(x, seen["x"]):
            point = z.copy()
            point[free] = x / scale
            seen["value"], g, q = run.evaluate(point, asked)
            seen["x"], seen["slope"] = x.copy(), (g - q)[kept] / scale
        return seen["value"], seen["slope"]

    def stop(x):
        if run.stopped:
            raise StopIteration

    bounds = optimize.Bounds(problem.lower()[free] * scale, np.inf)
    optimize.minimize(
        objective,
        seen["x"],
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        callback=stop,
        options={
            "maxfun": max(1, min(most, run.left)),
            "maxiter": max(1, most),
            "gtol": 0.5 * run.tol,
            "ftol": 1e-15,
            "maxcor": _MEMORY,
        },
    )
    return run.best_z


def _solve_newton(run, z):
    """Closed-form updates, then quasi-Newton steps on all components."""
    _solve_mm(run, z, most=_WARM_STEPS, revive=False)
    _descend(run)


def _descend(run):
    """Take quasi-Newton steps on all components, from the best point."""
    everything = np.arange(run.problem.n)
    while run.left > 0:
        z = run.best_z
        if run.best_gradient is not None:
            g, q = run.best_gradient
            if run.problem.residual(z, g, q) <= run.tol:
                return
        before, used = run.best, run.n_iter
        # A fresh start from time to time: the scales are those of its first point.
        _quasi_newton(run, z, everything, 100)
        if before - run.best <= 1e-14 * abs(run.best) and run.n_iter - used < 3:
            return


def _solve_whittle(run, z):
    """Closed-form updates, then Newton steps in a metric of the frequency domain."""
    z = _solve_mm(run, z, most=_FEW_STEPS, revive=False)
    solve_in_metric(run, run.best_z, WhittleMetric(run.problem.engine))
    if run.left > 0:  # no further descent: another method may find some
        _descend(run)


def _solve_working_sets(run, z):
    """From no component at all: add what violates most, quasi-Newton, repeat."""
    problem = run.problem
    z = z.copy()
    z[:-1] = 0.0
    if problem.learns_noise:
        z[-1] = _noise_alone(problem)
    while run.left > 0:
        _, g, q = run.evaluate(z)
        if z is run.best_z or np.array_equal(z, run.best_z):
            run.best_gradient = (g, q)
        if problem.residual(z, g, q) <= run.tol:
            return
        excess = q[:-1] / g[:-1] - 1.0
        active = np.flatnonzero(z[:-1])
        wanted = np.flatnonzero((z[:-1] == 0) & (excess > 0.5 * run.tol))
        room = max(16, len(active) // 2)
        wanted = wanted[np.argsort(-excess[wanted], kind="stable")[:room]]
        subset = np.sort(np.concatenate([active, wanted]))
        before = run.best
        z = _quasi_newton(run, z, subset, 2 * _INNER)
        if before - run.best <= 1e-14 * abs(run.best):
            return


def _noise_alone(problem):
    """Return the best noise variance without any component."""
    samples = problem.engine.samples
    spread = float(((samples.Y**2).T @ samples.weights).sum()) + samples.within
    return max(problem.noise_floor, spread / (samples.n_targets * samples.total))


def _solve_sca(run, z, inner="lbfgs"):
    """Linearize the log determinant; solve the convex problem that is left."""
    value, g, q = run.evaluate(z)
    while run.left > 0 and run.problem.residual(z, g, q) > run.tol:
        new = minimize_majorizer(run.problem, g, z, method=inner, max_iter=_INNER)
        before = value
        value, g, q = run.evaluate(new)
        if value >= before - 1e-14 * abs(before):
            return
        z = new


def _solve_conic(run, z):
    """As sca, with the convex problem handed to cvxpy: a reference, not a method."""
    _solve_sca(run, z, inner="conic")


def _solve_blocks(run, z, n_jobs):
    """Damped parallel blocks: each solves the convex problem in its own weights.

    A full step can cycle when blocks hold similar components, so that the step is
    halved, down to one over the number of blocks, until the objective falls.
    """
    problem = run.problem
    n_blocks = min(_N_BLOCKS, problem.n)
    blocks = [np.arange(b, problem.n, n_blocks) for b in range(n_blocks)]
    if problem.learns_noise:
        blocks[0] = np.append(blocks[0], problem.n)
    value, g, q = run.evaluate(z)
    while run.left > 0 and problem.residual(z, g, q) > run.tol:
        parts = run_parallel(
            _solve_block, [(problem, g, z, block) for block in blocks], n_jobs=n_jobs
        )
        target = z.copy()
        for block, part in zip(blocks, parts, strict=True):
            target[block] = part
        length, before = 1.0, value
        while True:
            point = z + length * (target - z)
            value, g, q = run.evaluate(point)
            if value < before - 1e-14 * abs(before) or length <= 1.0 / n_blocks:
                break
            length = max(0.5 * length, 1.0 / n_blocks)
        if value >= before - 1e-14 * abs(before):
            return
        z = point


def _solve_block(problem, g, z, block):
    return minimize_majorizer(problem, g, z, block=block, max_iter=_INNER // 2)[block]


_SOLVERS = {
    "whittle": _solve_whittle,
    "newton": _solve_newton,
    "working_sets": _solve_working_sets,
    "mm": _solve_mm,
    "sca": _solve_sca,
    "conic": _solve_conic,
}
