r"""Sinkhorn sweeps and sparse Newton steps on the semi-dual, level by level.

The Newton system is the Laplacian of the plan's graph, of which only the entries
that matter at the present error are kept; dropped mass stays on the diagonal, so
that the matrix is positive definite for every pattern.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from sparsestat._utils.linalg import solve_positive
from sparsestat.transport import _kernels
from sparsestat.transport._cells import CellCost, coarsened
from sparsestat.transport._semidual import NOTHING, SemiDual

__all__ = ["Trace", "levels_to", "solve_newton", "solve_sinkhorn"]

_DENSE_UP_TO = 200  # columns up to which the Laplacian is factored
_DENSE_LIMIT = 1000  # and up to which it is where gradients converge slowly
_STEPS_BEFORE_DENSE = 60
_SWEEP_EVERY = 8  # steps without progress: tails go by shares there, not by steps
_LAST_PATIENCE = 60  # tails that lack mass may move thousands of strengths to meet
_AT_FLOOR = 4  # steps without progress where rounding explains the error
_SWEEPS_AT_FLOOR = 30
_MOVED = 0.75  # strengths that moving a point to the center of its part may cost
_UNHEEDED = 1e-3  # share of the wanted error that a pass may leave out
_STEPS = (1.0, 0.5, 0.25, 0.125, *(0.125 * 0.2**k for k in range(1, 9)))


@dataclass(frozen=True)
class _Way:
    """How a path is walked from strength to strength.

    Where masses vary by many orders, the error hardly sees their tails, whose
    potentials stay behind: later attempts solve each level more closely.
    """

    factor: float
    error: float  # at which a level hands on to the next
    steps: int  # at most, in a level
    patience: int  # steps without progress that are borne


_FIRST = _Way(2.0, 1e-2, 30, 10)
_WAYS = (_FIRST, _Way(2.0, 1e-6, 200, 100), _Way(1.4, 1e-6, 200, 100))


@dataclass
class Trace:
    """Counts and the marginal error after each sweep or step."""

    n_sinkhorn: int = 0
    n_newton: int = 0
    n_cg: int = 0
    history: list = field(default_factory=list)

    def add(self, phase, eps, error):
        """Note one finished iteration."""
        self.history.append((phase, float(eps), float(error)))


def levels_to(eps, start, *, factor=2.0):
    """Return the decreasing strengths from `start` to `eps`, eps last."""
    levels, start = [], float(start)
    while start > eps * factor:
        levels.append(start)
        start /= factor
    if start > eps * 1.5:
        levels.append(start)
    return [*levels, eps]


def solve_sinkhorn(problem, g, eps, tol, max_iter, trace, *, tau=NOTHING):
    """Sweep until the columns are met; the rows always are."""
    state = problem.evaluate(g, eps, tau)
    least, since = state.error, 0
    for _ in range(max_iter):
        if state.error <= tol or since >= _SWEEPS_AT_FLOOR:
            break
        state = _sweep(problem, state, eps, trace, tau)
        since = 0 if state.error < 0.99 * least else since + 1
        since = since if problem.at_floor(state, eps) else 0
        least = min(least, state.error)
    return state


def _sweep(problem, state, eps, trace, tau):
    g = problem.centered(problem.updated_columns(state, eps))
    state.drop_entries()
    state = problem.evaluate(g, eps, tau)
    trace.n_sinkhorn += 1
    trace.add("sinkhorn", eps, state.error)
    return state


def solve_newton(
    problem,
    g,
    eps,
    tol,
    trace,
    *,
    scale,
    n_sinkhorn=5,
    max_newton=1000,
    path="auto",
    density=None,
):
    """Solve at `eps`, directly from g or along a path of decreasing strengths.

    Parameters
    ----------
    problem : SemiDual
        The problem.
    g : ndarray
        Starting potentials.
    eps, tol : float
        Strength, and marginal error relative to the mass.
    trace : Trace
        Filled.
    scale : float
        Where a path begins: a quarter of the typical cost.
    n_sinkhorn, max_newton : int
        Plain sweeps tried first, and Newton steps in total.
    path : {"auto", False} or list of float
        "auto" walks along a path when the plain sweeps leave an error above 0.5, and
        more closely if the first attempt fails, as it does along a list.
    density : float, default=None
        Largest share of the entries used in a Newton step; None keeps all above the
        threshold.

    Returns
    -------
    state : State
        The last state, the best one seen at `eps`.
    """
    steps = _Steps(max_newton, density)
    if isinstance(path, list):
        state = _walk(problem, g, path, tol, steps, trace)
        if not _done(problem, state, eps, tol):
            again = _walk(problem, g, path, tol, steps, trace, _WAYS[1])
            state = again if again.error < state.error else state
        return state
    if path == "auto" and isinstance(problem.cost, CellCost):
        state = _climb(problem, levels_to(eps, scale), tol, steps, trace)
        if _done(problem, state, eps, tol):
            return state
    levels = levels_to(eps, scale)
    problem.set_precision(_UNHEEDED * tol)
    # Few sweeps tell whether Newton's method can start at the target.
    state = solve_sinkhorn(problem, g, eps, tol, n_sinkhorn, trace, tau=1e-5)
    direct = path is False or len(levels) == 1
    if direct or state.error < 0.5:
        state = _newton_level(problem, state, eps, tol, steps, trace, final=True)
        if path is False or _done(problem, state, eps, tol):
            return state
    best = state
    for way in _WAYS:
        levels = levels_to(eps, scale, factor=way.factor)
        if steps.left(trace) <= 0 or len(levels) == 1:
            break
        state = _walk(problem, g, levels, tol, steps, trace, way)
        best = state if state.error < best.error else best
        if _done(problem, best, eps, tol):
            break
    return best


@dataclass(frozen=True)
class _Steps:
    """How many Newton steps may be taken in all, and how dense they may be."""

    max_newton: int
    density: float | None

    def left(self, trace):
        return self.max_newton - trace.n_newton


def _done(problem, state, eps, tol):
    """Say whether the goal is met, or rounding forbids it and no start will help."""
    return state.error <= tol or problem.at_floor(state, eps)


def _walk(problem, g, levels, tol, steps, trace, way=_FIRST):
    for level in levels[:-1]:
        g = _level(problem, g, level, way.error, steps, trace, way).g
    return _level(problem, g, levels[-1], tol, steps, trace, way, final=True)


def _level(problem, g, eps, tol, steps, trace, way=_FIRST, *, final=False):
    problem.set_precision(_UNHEEDED * tol)
    state = solve_sinkhorn(problem, g, eps, tol, 3, trace, tau=1e-5)
    if final or state.error > tol:
        state = _newton_level(problem, state, eps, tol, steps, trace, way, final=final)
    return state


def _climb(whole, levels, tol, steps, trace):
    """Walk along the levels on few points first, on all of them at the end.

    A level takes the centers of parts so small that moving points there costs less
    than its strength; the potentials of one set of points extend to another.
    """
    problem, state, reached = None, None, 0
    for level in levels:
        cost, a, b = coarsened(whole.cost, whole.a, whole.b, _MOVED * level)
        if cost.shape[0] * cost.shape[1] > 0.5 * whole.n * whole.m:
            break
        if problem is None:
            problem, g = SemiDual(cost, a, b), np.zeros(len(b))
        elif cost.shape != problem.cost.shape:
            finer = SemiDual(cost, a, b)
            finer.n_passes = problem.n_passes
            g = _carried(problem, state, finer, levels[reached - 1])
            problem = finer
        state = _level(problem, g, level, _FIRST.error, steps, trace)
        g, reached = state.g, reached + 1
    if problem is None:
        return _walk(whole, np.zeros(whole.m), levels, tol, steps, trace)
    whole.n_passes += problem.n_passes
    g = _carried(problem, state, whole, levels[reached - 1])
    return _walk(whole, g, levels[reached:] or levels[-1:], tol, steps, trace)


def _carried(coarse, state, fine, eps):
    """Extend potentials of few points to many by a soft c-transform."""
    between = CellCost(
        fine.cost.Y,
        coarse.cost.X,
        fine.cost.metric,
        fine.cost.y_depths,
        coarse.cost.x_depths,
    )
    return fine.centered(SemiDual(between, fine.b, coarse.a).evaluate(state.f, eps).f)


def _newton_level(problem, state, eps, tol, steps, trace, way=_FIRST, *, final):
    """Take Newton steps at one strength; return the best state seen."""
    mu, best, since = 1e-3, state, 0
    patience = max(way.patience, _LAST_PATIENCE) if final else way.patience
    left = steps.left(trace) if final else min(way.steps, steps.left(trace))
    for _ in range(left):
        if state.error <= tol:
            break
        if state.indices is None:  # too many entries: sweeps converge fast there
            state = solve_sinkhorn(
                problem, state.g, eps, tol, 200, trace, tau=_store(state)
            )
            best = state if state.error < best.error else best
            if state.indices is None or problem.at_floor(state, eps):
                break
            continue
        direction, n_cg = _direction(problem, state, eps, mu, steps.density)
        state.drop_entries()
        trace.n_cg += n_cg
        grouped = state.group is not None
        candidate, t = _line_search(problem, state, direction, eps)
        trace.n_newton += 1
        if grouped and candidate is not None:  # the sweep sees to the rest
            candidate = _sweep(problem, candidate, eps, trace, _store(candidate))
        if candidate is None:
            mu = min(mu * 10.0, 1e3)
            candidate = _sweep(problem, state, eps, trace, _store(state))
        elif t == 1.0:
            mu = max(mu * 0.3, 1e-6)
        elif t < 0.2:
            mu = min(mu * 2.0, 1e3)
        if since % _SWEEP_EVERY == _SWEEP_EVERY - 1:
            candidate = _sweep(problem, candidate, eps, trace, _store(candidate))
        state = candidate
        trace.add("newton", eps, state.error)
        if state.error < best.error:
            since = 0 if state.error < 0.9 * best.error else since + 1
            best = state
        else:
            since += 1
        if since >= (_AT_FLOOR if problem.at_floor(best, eps) else patience):
            break
    return best


def _store(state):
    """Return the threshold of the entries kept for the next Newton step.

    The error may fall quadratically in one step, and the threshold of the step
    after follows it.
    """
    error = state.error
    return min(1e-5, max(1e-4 * error * min(error, 1.0), 1e-15))


def _direction(problem, state, eps, mu, density):
    error, b, c = min(state.error, 1.0), problem.b, state.c
    group = state.group
    if group is not None:  # Galerkin: one unknown for each group of columns
        b, c = np.bincount(group, b), np.bincount(group, c)
    m = len(b)
    tau = min(1e-4, max(1e-3 * error, 1e-14))
    if density is not None:
        n_kept = int(np.ceil(density * problem.n * m))
        stored = state.weights[: state.ptr[-1]]
        if n_kept < len(stored):
            tau = max(tau, np.partition(stored, -n_kept)[-n_kept])
    entries = _kernels.select_entries(
        state.indices, state.weights, state.ptr, problem.a, m, max(tau, state.tau)
    )
    indices, weights, ptr, rest, dropped = entries
    diagonal = _kernels.split_entries(indices, weights, ptr, problem.a, rest, dropped)
    shift = mu * error / m
    rhs = b - c  # without eps, which has any size: the solution is multiplied by it
    rhs -= rhs.mean()
    # A factorization of a large matrix pays only where many steps would be needed.
    full = m <= _DENSE_LIMIT and ptr[-1] > 0.25 * problem.n * m
    d, steps = None, 0
    if m > _DENSE_UP_TO:
        most = _STEPS_BEFORE_DENSE if full else 2000
        d, steps = _kernels.conjugate_gradient(
            indices,
            weights,
            ptr,
            problem.a,
            rest,
            dropped,
            np.maximum(diagonal, 1e-300),
            shift,
            rhs,
            min(0.05, error),
            most,
        )
    if d is None or (full and steps >= most):
        exact = _solve_dense(problem, indices, weights, ptr, diagonal, shift, rhs)
        d = exact if exact is not None else d
    if d is None:
        d = rhs / np.maximum(diagonal + shift, 1e-300)
    return eps * _lifted(d, group), steps


def _lifted(d, group):
    d = d - d.mean()
    return d if group is None else d[group]


def _solve_dense(problem, indices, weights, ptr, diagonal, shift, rhs):
    n, m = problem.n, len(rhs)
    L = np.zeros((m, m))
    if ptr[-1] > 0.05 * n * m:
        W = sparse.csr_array((weights, indices, ptr), shape=(n, m))
        for start in range(0, n, 4096):
            block = W[start : start + 4096].toarray()
            L -= block.T @ (problem.a[start : start + 4096, None] * block)
    else:
        _kernels.add_dense_laplacian(indices, weights, ptr, problem.a, L)
    # The constant vector is in the null space; a multiple of 11^T moves it out.
    L += diagonal.mean() / m
    L[np.diag_indices(m)] = diagonal + shift + diagonal.mean() / m
    return solve_positive(L, rhs, overwrite=True)


def _line_search(problem, state, d, eps):
    slope = (problem.b - state.c) @ d
    if not slope > 0 or not np.isfinite(d).all():
        return None, 0.0
    allowance = 1e-14 * abs(state.objective) + eps * problem.precision
    for t in _STEPS:
        g = problem.centered(state.g + t * d)
        candidate = None  # the one that failed is as large as the next
        candidate = problem.evaluate(g, eps, _store(state))
        rise = candidate.objective - state.objective
        if rise >= 1e-4 * t * slope - allowance or (
            # Near the optimum S is flat to rounding; the gradient still tells.
            candidate.error < 0.5 * state.error
        ):
            return candidate, t
    return None, 0.0
