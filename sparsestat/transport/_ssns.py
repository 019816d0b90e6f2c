r"""Newton steps in both potentials at once, sparsified safely and regularized.

.. math:: \max_{f, g} \langle a, f\rangle + \langle b, g\rangle
   - \varepsilon \sum_{ij} \exp((f_i + g_j - C_{ij}) / \varepsilon)

Z. Tang, Y. Qiu, "Safe and Sparse Newton Method for Entropic-Regularized Optimal
Transport", NeurIPS 2024. The last entry of g is fixed; a step is trusted by how much of
the predicted rise it brings.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg

from sparsestat._utils.arithmetic import power_of_two
from sparsestat.transport import _kernels
from sparsestat.transport._newton import solve_sinkhorn

__all__ = ["solve_ssns"]

_DROPPED = 0.01  # share of the gradient's norm that a row or column may lose
_STEPS = (1.0, 0.5, 0.25, 0.1)
_UNIT_SAMPLE = 40_000  # costs that tell their size
_LEAST_SHIFT, _MOST_SHIFT = 1e-3, 1e8
_LARGEST_FACTOR = 600.0  # logarithm of the largest row factor: beyond, no step
_PATIENCE = 30  # steps refused one after the other
_AT_FLOOR = 5  # the same, where rounding can explain the error


@dataclass
class _Point:
    """Potentials with the sums and the entries of their plan."""

    f: np.ndarray
    g: np.ndarray
    r: np.ndarray
    c: np.ndarray
    objective: float
    error: float
    state: object  # at g, with rows made exact
    factor: np.ndarray  # what those rows are multiplied by


def solve_ssns(problem, g, eps, tol, max_iter, trace):
    """Take at most `max_iter` steps from g; return the best state seen.

    Parameters
    ----------
    problem : SemiDual
        The problem.
    g : ndarray
        Where to start; the columns are then met exactly, at f = 0.
    eps, tol : float
        Strength, and marginal error relative to the mass.
    max_iter : int
        Number of steps.
    trace : Trace
        Filled.
    """
    if not g.any():
        g = eps * problem.log_b - problem.column_softmax(np.zeros(problem.n), eps)
        point = _point(problem, np.zeros(problem.n), g, eps)
    else:
        state = problem.evaluate(g, eps)
        point = _point(problem, state.f, g, eps)
    # The shift is a number beside costs of size one: it moves with their unit.
    unit = power_of_two(np.median(np.abs(problem.cost.sample(_UNIT_SAMPLE))))
    mu, best, since = 1.0, point, 0
    for _ in range(max_iter):
        if point.error <= tol:
            break
        if point.state.indices is None:  # too many entries: sweeps converge there
            return solve_sinkhorn(problem, point.g, eps, tol, max_iter, trace)
        found, rho, n_cg = _step(problem, point, eps, mu / unit)
        trace.n_newton += 1
        trace.n_cg += n_cg
        if rho < 0.25:
            mu = min(4.0 * mu, _MOST_SHIFT)
        elif rho > 0.75:
            mu = max(0.5 * mu, _LEAST_SHIFT)
        stuck = found is None
        if found is not None:
            point = found
            stuck = problem.at_floor(point, eps) and point.error > 0.9 * best.error
            best = point if point.error < best.error else best
        since = since + 1 if stuck else 0
        trace.add("newton", eps, point.error)
        if since >= (_AT_FLOOR if problem.at_floor(point, eps) else _PATIENCE):
            break
    return problem.evaluate(problem.centered(best.g), eps)


def _point(problem, f, g, eps):
    """Return the sums of the plan of f and g, or None if they overflow.

    A pass at g shifts every row by its largest entry; what f adds to the rows' exact
    potentials is a factor for each row.
    """
    state = problem.evaluate(g, eps)
    exponent = (f - state.f) / eps
    if not exponent.max() < _LARGEST_FACTOR:
        return None
    factor = np.exp(exponent)
    r = problem.a * factor
    state = problem.evaluate(g, eps, 1e-15, plan=True, masses=r)
    objective = problem.a @ f + problem.b @ g - eps * r.sum()
    error = np.abs(r - problem.a).sum() + np.abs(state.c - problem.b).sum()
    return _Point(f, g, r, state.c, objective, error, state, factor)


def _step(problem, point, eps, mu):
    """Return the point of an accepted step or None, its ratio, and CG steps."""
    n, m, state = problem.n, problem.m, point.state
    left, right = problem.a - point.r, (problem.b - point.c)[:-1]
    norm = np.sqrt(left @ left + right @ right)
    shift = eps * mu * norm
    T = _sparsified(state, point.r, (n, m), _DROPPED * norm)
    # f is eliminated: (diag c - T' diag(1/r) T) dg = the rest.
    rows, columns = point.r + shift, point.c[:-1] + shift
    rhs = right - T.T @ (left / rows)
    steps = [0]

    def product(v):
        v = np.ravel(v)
        return columns * v - T.T @ ((T @ v) / rows)

    def count(_):
        steps[0] += 1

    squares = T.multiply(T).T @ (1.0 / rows)
    diagonal = np.maximum(columns - squares, 1e-12 * columns)
    inverse = LinearOperator((m - 1, m - 1), lambda v: np.ravel(v) / diagonal)
    operator = LinearOperator((m - 1, m - 1), matvec=product, dtype=np.float64)
    if m > 1:
        dg, _ = cg(operator, rhs, rtol=1e-8, maxiter=2000, M=inverse, callback=count)
    else:
        dg = np.zeros(0)
    df = eps * (left - T @ dg) / rows
    dg = eps * dg
    slope = left @ df + right @ dg
    # df' H df of the sparsified Hessian, shift and all, is the slope itself.
    for t in _STEPS:
        g = point.g.copy()
        g[:-1] += t * dg
        found = _point(problem, point.f + t * df, g, eps)
        if found is None:
            continue
        predicted = (t - 0.5 * t * t) * slope
        rise = found.objective - point.objective
        rounding = 1e-14 * abs(point.objective)
        if found.error < 0.5 * point.error and rise >= -rounding:
            return found, 1.0, steps[0]  # flat to rounding: the gradient tells
        rho = rise / predicted if predicted > 0 else -1.0
        if rho > 0:
            return found, rho, steps[0]
    return None, -1.0, steps[0]


def _sparsified(state, r, shape, delta):
    """Return the plan without its last column and without what can be dropped.

    The smallest entries of a row are droppable while their sum is at most delta, and
    likewise of a column; those droppable in both go, so that no row or column loses
    more than delta.
    """
    nnz = state.ptr[-1]
    weights = state.weights[:nnz] * np.repeat(r, np.diff(state.ptr))
    T = sparse.csr_array((weights, state.indices[:nnz], state.ptr), shape=shape)
    T = sparse.csr_array(T[:, :-1])
    columns = sparse.csc_array(T)
    columns.data = _kernels.large_entries(columns.data, columns.indptr, delta)
    large = _kernels.large_entries(T.data, T.indptr, delta)
    marks = sparse.csr_array((large, T.indices, T.indptr), shape=T.shape)
    marks = marks + sparse.csr_array(columns)
    kept = sparse.csr_array(T.multiply(marks > 0))
    kept.eliminate_zeros()
    return kept
