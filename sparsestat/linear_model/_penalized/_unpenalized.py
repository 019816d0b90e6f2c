"""Least squares without a penalty, with the residual of its normal equations."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.optimize import nnls
from scipy.sparse.linalg import LinearOperator, lsmr

from sparsestat.linear_model._penalized._penalties import ElasticNetPenalty
from sparsestat.linear_model._penalized._result import SolverResult
from sparsestat.linear_model._penalized._working_sets import make_working_set

__all__ = ["unpenalized_least_squares"]


def unpenalized_least_squares(design, target, penalty):
    """Minimum-norm (or non-negative) least squares with a KKT residual."""
    allowed = design.squares > 0.0
    if penalty.kept is not None:
        dropped = penalty.columns_of(~penalty.kept)
        allowed[dropped] = False
    kept = np.flatnonzero(allowed)
    coef = np.zeros((design.n_features, *target.shape[1:]))
    start = design.correlations(target)
    if len(kept):
        if not design.is_sparse:
            A = np.empty((design.n_samples, len(kept)), order="F")
            design.gather(kept, A, 0)
            if penalty.positive:
                coef[kept] = nnls(A, target)[0]
            else:
                coef[kept] = np.linalg.lstsq(A, target, rcond=None)[0]
        else:
            solve = _sparse_nnls if penalty.positive else _sparse_least_squares
            coef[kept] = solve(design, target, kept)
    residual = target - design.product(kept, coef[kept])
    gradient = design.correlations(residual)
    slack = np.abs(gradient)
    if penalty.positive:
        slack = np.where(coef > 0, slack, np.maximum(gradient, 0.0))
    largest = np.abs(start[kept]).max(initial=0.0)
    violation = slack[kept].max(initial=0.0) / largest if largest > 0 else 0.0
    objective = 0.5 * float(np.vdot(residual, residual))
    support = np.flatnonzero(coef if coef.ndim == 1 else coef.any(axis=1))
    return SolverResult(
        columns=support,
        coef=coef[support],
        gap=float(violation),
        objective=objective,
        dual=objective,
        n_iter=1,
        n_sweeps=0,
        n_newton=0,
        gap_history=[float(violation)],
        kind="kkt",
    )


def _sparse_least_squares(design, target, kept):
    operator = LinearOperator(
        (design.n_samples, len(kept)),
        matvec=lambda w: design.product(kept, np.ravel(w)),
        rmatvec=lambda r: design.correlations(np.ravel(r))[kept],
        dtype=np.float64,
    )
    if target.ndim == 2:
        return np.column_stack(
            [_sparse_least_squares(design, t, kept) for t in target.T]
        )
    limit = 20 * max(operator.shape) + 1000
    return lsmr(operator, target, atol=1e-14, btol=1e-14, conlim=0, maxiter=limit)[0]


def _sparse_nnls(design, target, kept):
    """Non-negative least squares: coordinate descent with Newton steps."""
    working = make_working_set(design, target)
    working.add(kept)
    nothing = ElasticNetPenalty(
        0.0, 1.0, design.n_features, design.total, positive=True
    )
    correlations = design.correlations(target)
    working.use(nothing, target, correlations)
    goal = 1e-12 * np.abs(correlations[kept]).max()
    for _ in range(200):
        _, moved, _ = working.sweep(50, goal, 0.02)
        if moved <= goal:
            break
        if len(working.support):
            working.newton()
    out = np.zeros(design.n_features)
    out[working.columns] = working.w
    return out[kept]
