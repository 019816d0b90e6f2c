r"""The convex problem inside: minimize y' C(w)^{-1} y + g' w over w >= 0.

It is also a group lasso: with :math:`K_i = L_i L_i^T`, minimize over u

.. math:: \|y - \sum_i L_i u_i\|^2 / s^2 + 2 \sum_i \sqrt{g_i}\, \|u_i\| ,

and :math:`w_i = \|u_i\| / \sqrt{g_i}`. Optimality: q_i <= g_i, with equality where
w_i > 0.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
from scipy import optimize
from scipy.linalg import lapack

from sparsestat.exceptions import NumericalError
from sparsestat.gaussian_process._spectral._spectrum import cross_covariance

__all__ = [
    "component_factor",
    "extrapolate",
    "majorizer_value",
    "minimize_majorizer",
]

_LONGEST = 64.0  # of an extrapolated step, in plain ones
_FARTHEST = 7.0  # that a logarithm moves in one


def majorizer_value(problem, g, z):
    """Return the majorizer at z, up to a constant, and q there."""
    engine, noise = problem.engine, z[-1]
    state = engine.factor_once(z[:-1], noise)
    samples = engine.samples
    fit = float(np.einsum("nt,nt->", samples.Y, state.alpha))
    q = np.append(
        engine.quadratic(state),
        float(((state.alpha**2).T @ (1.0 / samples.weights)).sum())
        + samples.within / noise**2,
    )
    value = fit + samples.within / noise + float(g @ z)
    if samples.extra < 0:  # convex, hence not linearized in g
        value += samples.extra * np.log(noise)
    return value, q


def minimize_majorizer(
    problem, g, z, *, method="lbfgs", block=None, max_iter=200, tol=1e-9
):
    """Minimize the convex majorizer with the slopes g, from the point z.

    Parameters
    ----------
    problem : Problem
        The objective.
    g : ndarray of shape (n_components + 1,)
        Slopes of the linear term; the last is that of the noise.
    z : ndarray of shape (n_components + 1,)
        Start.
    method : {"lbfgs", "mm", "conic"}
        Quasi-Newton in the shares g w; closed-form updates; cvxpy.
    block : ndarray of int, default=None
        Coordinates that move; None means all.
    max_iter : int
        Largest number of evaluations.
    tol : float
        Tolerance on the projected gradient in the shares.

    Returns
    -------
    z : ndarray of shape (n_components + 1,)
        The minimizer.
    """
    g = _slopes(problem, g, z)
    if block is None:
        block = np.arange(problem.n + 1)
    if not problem.learns_noise:
        block = block[block < problem.n]
    if method == "conic":
        return _minimize_conic(problem, g, z)
    if method == "mm":
        return _minimize_closed_form(problem, g, z, block, max_iter, tol)
    scale = np.maximum(np.abs(g[block]), np.finfo(float).tiny)
    extra = min(problem.engine.samples.extra, 0.0)

    def objective(x):
        point = z.copy()
        point[block] = x / scale
        value, q = majorizer_value(problem, g, point)
        slope = g - q
        slope[-1] += extra / point[-1]
        return value, slope[block] / scale

    found = optimize.minimize(
        objective,
        z[block] * scale,
        jac=True,
        method="L-BFGS-B",
        bounds=optimize.Bounds(problem.lower()[block] * scale, np.inf),
        options={"maxfun": max_iter, "maxiter": max_iter, "gtol": tol, "ftol": 1e-16},
    )
    out = z.copy()
    out[block] = found.x / scale
    return out


def _slopes(problem, g, z):
    """Take the part of the noise that is convex already out of its slope."""
    extra = problem.engine.samples.extra
    if extra < 0:
        g = g.copy()
        g[-1] -= extra / z[-1]
    return g


def _minimize_closed_form(problem, g, z, block, max_iter, tol):
    """Two plain steps and one extrapolated; the plain ones stand if that rises."""
    lower = problem.lower()

    def step(point, q):
        new = point.copy()
        new[block] = (point * np.sqrt(q / g))[block]
        return np.maximum(new, lower)

    value, q = majorizer_value(problem, g, z)
    for _ in range(max_iter // 2):
        rest = np.minimum((z - lower) * g, 1.0 - q / g)[block]
        if np.abs(rest).max() <= tol:
            break
        one = step(z, q)
        value_one, q_one = majorizer_value(problem, g, one)
        two = step(one, q_one)
        z = extrapolate(z, one, two, lower)
        value, q = majorizer_value(problem, g, z)
        if value > value_one:
            z = two
            value, q = majorizer_value(problem, g, z)
    return z


def extrapolate(z, one, two, lower):
    """Return the squared extrapolation of two steps, in logarithms (SQUAREM)."""
    alive = two > 0
    a, b, c = (np.log(np.maximum(v[alive], 1e-300)) for v in (z, one, two))
    first, second = b - a, (c - b) - (b - a)
    size = np.linalg.norm(second)
    ratio = np.linalg.norm(first) / size if size > 0 else 1.0
    ratio = min(max(ratio, 1.0), _LONGEST)
    moved = 2.0 * ratio * first + ratio**2 * second
    out = np.zeros_like(two)
    out[alive] = np.exp(a + np.clip(moved, -_FARTHEST, _FARTHEST))
    return np.maximum(out, lower)


def component_factor(engine, i, tol=1e-13):
    """Return L with L L' the Gram matrix of component i, of full column rank."""
    X = engine.samples.X
    gram = cross_covariance(X, X, engine.spectrum.take([i]), np.ones(1))
    lower, order, rank, _ = lapack.dpstrf(gram, lower=1, tol=tol * len(X))
    factor = np.zeros((len(X), rank))
    factor[order - 1] = np.tril(lower)[:, :rank]
    return factor


def _minimize_conic(problem, g, z):
    """Solve the second-order cone program with cvxpy."""
    import cvxpy as cp

    engine = problem.engine
    samples = engine.samples
    n_targets = samples.n_targets
    if samples.extra < 0:
        raise ValueError(
            "solver='conic' needs sample weights that sum to at least the number of "
            "distinct points. Use another solver."
        )
    # Units in which the targets have variance 1, for the conic solver's tolerances.
    size = float((samples.Y**2).mean()) or 1.0
    root = np.sqrt(samples.weights)[:, None]
    w = cp.Variable(problem.n, nonneg=True)
    rest, cost = samples.Y / np.sqrt(size), size * (g[:-1] @ w)
    for i in range(problem.n):
        factor = component_factor(engine, i)
        u = cp.Variable((factor.shape[1], n_targets))
        rest = rest - factor @ u
        cost += cp.quad_over_lin(u, w[i])
    if problem.learns_noise:
        s = cp.Variable()
        cost += cp.quad_over_lin(cp.multiply(root, rest), s) + size * g[-1] * s
        if samples.within > 0:
            cost += samples.within / size * cp.inv_pos(s)
        limits = [s >= problem.noise_floor / size]
    else:
        cost += cp.sum_squares(cp.multiply(root, rest)) / (problem.noise / size)
        limits = []
    program = cp.Problem(cp.Minimize(cost), limits)
    for accuracy in (1e-10, 1e-8):
        options = dict.fromkeys(("tol_gap_rel", "tol_gap_abs", "tol_feas"), accuracy)
        try:
            with warnings.catch_warnings():
                # What it reached short of this accuracy is good enough to go on.
                warnings.simplefilter("ignore", UserWarning)
                program.solve(solver=cp.CLARABEL, **options)
        except cp.SolverError:
            continue
        if w.value is not None:
            break
    if w.value is None:
        raise NumericalError(
            f"cvxpy stopped with status {program.status!r}. Use another solver."
        )
    out = z.copy()
    out[:-1] = np.maximum(w.value, 0.0) * size
    out[-1] = (
        max(float(s.value) * size, problem.noise_floor)
        if problem.learns_noise
        else problem.noise
    )
    return out
