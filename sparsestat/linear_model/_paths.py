r"""Regularisation paths of the Lasso and the elastic net.

.. math:: \min_{w, b}\; \frac{1}{2 S}\sum_i s_i (y_i - b - x_i'w)^2
   + \alpha \sum_j \omega_j \Big(\rho |w_j| + \frac{1-\rho}{2} w_j^2\Big),
   \qquad S = \sum_i s_i.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls
from scipy.sparse import issparse
from scipy.sparse.linalg import LinearOperator, lsmr
from sklearn.utils import check_array, check_X_y

from sparsestat._utils.compat import check_sample_weight
from sparsestat._utils.progress import progress_bar
from sparsestat._utils.results import (
    Certificate,
    users_stacklevel,
    warn_if_unsatisfied,
)
from sparsestat._utils.validation import as_compressed, refuse_complex
from sparsestat.linear_model._design import make_design
from sparsestat.linear_model._penalties import ElasticNetPenalty
from sparsestat.linear_model._solver import SolverResult, WorkingSetSolver
from sparsestat.linear_model._working_sets import make_working_set

__all__ = ["PathResult", "enet_path", "lasso_path"]

GAP_SCALE = "duality gap / squared norm of the centred y, both divided by n_samples"
KKT_SCALE = "largest gradient of a free coefficient / largest gradient at zero"
GAP_REMEDY = (
    "Increase max_iter or max_epochs, scale the features, or raise alpha or tol."
)


class PathResult(NamedTuple):
    """Coefficients along a sequence of penalty strengths.

    Attributes
    ----------
    alphas : ndarray of shape (n_alphas,)
        Penalty strengths, in decreasing order.
    coefs : ndarray of shape (n_features, n_alphas)
        Coefficients at each of them.
    dual_gaps : ndarray of shape (n_alphas,)
        Duality gaps of the objective (loss divided by ``n_samples``).
    """

    alphas: np.ndarray
    coefs: np.ndarray
    dual_gaps: np.ndarray


def lasso_path(
    X,
    y,
    *,
    eps=1e-3,
    alphas=100,
    fit_intercept=False,
    positive=False,
    feature_weights=None,
    sample_weight=None,
    coef_init=None,
    tol=1e-4,
    max_iter=100,
    max_epochs=10_000,
    verbose=0,
):
    r"""Lasso path by working-set coordinate descent with warm starts.

    Minimizes, for each alpha,

    .. math:: \frac{1}{2 n}\|y - X w\|^2 + \alpha \sum_j \omega_j |w_j|.

    Read more in the :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Design. F-ordered dense or CSC float64 avoids a copy; never modified.
    y : array-like of shape (n_samples,)
        Target.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on a logarithmic grid from the smallest alpha with an
        all-zero solution downwards, or the strengths themselves.
    fit_intercept : bool, default=False
        Centre X and y (weighted) first.
    positive : bool, default=False
        Constrain the coefficients to be non-negative.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers omega: 0 leaves a feature unpenalized, infinity drops
        it.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights; an integer weight equals repetition.
    coef_init : array-like of shape (n_features,), default=None
        Where the first problem starts.
    tol : float, default=1e-4
        Each problem stops when its duality gap is at most ``tol * ||y||^2 / n``
        with the centered y.
    max_iter : int, default=100
        Largest number of passes over all features, for each alpha.
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps, for each alpha.
    verbose : int, default=0
        At 1 and above, show a progress bar.

    Returns
    -------
    path : PathResult
        Named tuple ``(alphas, coefs, dual_gaps)``.

    Raises
    ------
    ValueError
        If the data are not finite, real and of matching shapes, or a strength is
        negative.

    Warns
    -----
    ConvergenceWarning
        Once, when a problem of the path missed its tolerance.

    See Also
    --------
    enet_path : The same with a squared penalty added.
    LassoCV : Chooses alpha on the path by cross-validation or a criterion.
    sklearn.linear_model.lasso_path : Plain coordinate descent.

    Notes
    -----
    Each alpha starts from the previous solution and working set; the sequential
    strong rule proposes the features that enter, the gap-safe rule leaves out
    those that certainly do not. Memory beside X, with a working set of size a:
    O(n_samples * a + a^2) for dense X, O(nnz) for sparse X.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import lasso_path
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> path = lasso_path(X, y - y.mean(), alphas=5)
    >>> [int((w != 0).sum()) for w in path.coefs.T]
    [0, 7, 25, 48, 58]
    """
    return enet_path(
        X,
        y,
        l1_ratio=1.0,
        eps=eps,
        alphas=alphas,
        fit_intercept=fit_intercept,
        positive=positive,
        feature_weights=feature_weights,
        sample_weight=sample_weight,
        coef_init=coef_init,
        tol=tol,
        max_iter=max_iter,
        max_epochs=max_epochs,
        verbose=verbose,
    )


def enet_path(
    X,
    y,
    *,
    l1_ratio=0.5,
    eps=1e-3,
    alphas=100,
    fit_intercept=False,
    positive=False,
    feature_weights=None,
    sample_weight=None,
    coef_init=None,
    tol=1e-4,
    max_iter=100,
    max_epochs=10_000,
    verbose=0,
):
    r"""Elastic net path by working-set coordinate descent with warm starts.

    Minimizes, for each alpha and with rho = `l1_ratio`,

    .. math:: \frac{1}{2 n}\|y - X w\|^2 + \alpha \sum_j \omega_j
        \Big(\rho |w_j| + \frac{1-\rho}{2} w_j^2\Big).

    Read more in the :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Design. F-ordered dense or CSC float64 avoids a copy; never modified.
    y : array-like of shape (n_samples,)
        Target.
    l1_ratio : float, default=0.5
        Share of the absolute penalty, in [0, 1]; 1 is the Lasso.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on a logarithmic grid from the smallest alpha with an
        all-zero solution downwards, or the strengths themselves.
    fit_intercept : bool, default=False
        Centre X and y (weighted) first.
    positive : bool, default=False
        Constrain the coefficients to be non-negative.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers omega: 0 leaves a feature unpenalized, infinity drops
        it.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights; an integer weight equals repetition.
    coef_init : array-like of shape (n_features,), default=None
        Where the first problem starts.
    tol : float, default=1e-4
        Each problem stops when its duality gap is at most ``tol * ||y||^2 / n``
        with the centered y.
    max_iter : int, default=100
        Largest number of passes over all features, for each alpha.
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps, for each alpha.
    verbose : int, default=0
        At 1 and above, show a progress bar.

    Returns
    -------
    path : PathResult
        Named tuple ``(alphas, coefs, dual_gaps)``.

    Raises
    ------
    ValueError
        If the data are not finite, real and of matching shapes, or a strength is
        negative.

    Warns
    -----
    ConvergenceWarning
        Once, when a problem of the path missed its tolerance.

    See Also
    --------
    lasso_path : The path without the squared penalty.
    ElasticNetCV : Chooses alpha and l1_ratio by cross-validation or a criterion.
    sklearn.linear_model.enet_path : Plain coordinate descent.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import enet_path
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> path = enet_path(X, y - y.mean(), l1_ratio=0.8, alphas=5)
    >>> bool((path.dual_gaps <= 1e-4 * y.var()).all())
    True
    """
    refuse_complex(X)
    refuse_complex(y, name="y")
    if not 0.0 <= l1_ratio <= 1.0:
        raise ValueError(f"`l1_ratio` must lie in [0, 1], got {l1_ratio}.")
    X, y = check_X_y(
        X,
        y,
        accept_sparse=["csc", "csr"],
        dtype=[np.float64, np.float32],
        order="F",
        y_numeric=True,
    )
    weights = feature_weight_array(feature_weights, X.shape[1])
    if sample_weight is not None:
        sample_weight = check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
    if coef_init is not None:
        coef_init = check_array(coef_init, ensure_2d=False, dtype=np.float64)
        if coef_init.shape != (X.shape[1],):
            raise ValueError(
                f"`coef_init` has shape {coef_init.shape}, expected ({X.shape[1]},)."
            )
    design = design_of(X, sample_weight, fit_intercept)
    target, _ = design.target(y)
    if isinstance(alphas, (int, np.integer)):
        alphas = alpha_grid(
            design,
            target,
            l1_ratio=l1_ratio,
            n_alphas=alphas,
            eps=eps,
            positive=positive,
            feature_weights=weights,
        )
    else:
        alphas = np.sort(check_array(alphas, ensure_2d=False, dtype=np.float64))[::-1]
        if alphas.min() < 0.0:
            raise ValueError(
                f"`alphas` must not be negative, got {alphas.min()}. Zero is least "
                "squares."
            )
    results = solve_path(
        design,
        target,
        alphas,
        l1_ratio,
        positive=positive,
        feature_weights=weights,
        coef_init=coef_init,
        tol=tol,
        max_iter=max_iter,
        max_epochs=max_epochs,
        verbose=verbose,
    )
    coefs = stack_coefs(results, X.shape[1], X.dtype)
    gaps = np.array([result.objective - result.dual for result in results])
    warn_if_unsatisfied(
        path_certificate(results, tol), "The largest duality gap", GAP_REMEDY
    )
    return PathResult(alphas, coefs, np.maximum(gaps, 0.0) / design.total)


def design_of(X, sample_weight, fit_intercept):
    """Return the Design of validated X, sparse matrices brought into clean CSC."""
    if issparse(X):
        X = as_compressed(X, "csc")
    return make_design(X, sample_weight, fit_intercept=fit_intercept)


def feature_weight_array(feature_weights, n_features):
    """Validate penalty multipliers: None, or non-negative and possibly infinite."""
    if feature_weights is None:
        return None
    weights = np.asarray(feature_weights, dtype=np.float64)
    if weights.shape != (n_features,):
        raise ValueError(
            f"`feature_weights` has shape {weights.shape}, expected ({n_features},): "
            "one multiplier per feature."
        )
    if np.isnan(weights).any() or (weights < 0).any():
        raise ValueError(
            "`feature_weights` must not be negative or NaN: 0 leaves a feature "
            "unpenalized, infinity drops it."
        )
    return weights


def alpha_max(design, target, l1_ratio, *, positive=False, feature_weights=None):
    """Return the smallest alpha at which every penalised coefficient is zero."""
    penalty = ElasticNetPenalty(
        1.0,
        l1_ratio,
        design.n_features,
        design.total,
        positive=positive,
        feature_weights=feature_weights,
    )
    solver = WorkingSetSolver(design, target)
    solver.settle_free(penalty)
    magnitude = penalty.magnitude(solver.correlations)
    penalised = (penalty.lam > 0) & np.isfinite(penalty.lam)
    ratios = magnitude[penalised] / penalty.lam[penalised]
    return float(np.max(ratios, initial=0.0))


def alpha_grid(
    design, target, *, l1_ratio, n_alphas, eps, positive=False, feature_weights=None
):
    """Return a decreasing logarithmic grid that starts at alpha_max."""
    if l1_ratio == 0.0:
        raise ValueError(
            "No alpha makes the ridge solution (l1_ratio=0) exactly zero, so there is "
            "no automatic grid. Pass `alphas` as an array."
        )
    largest = alpha_max(
        design, target, l1_ratio, positive=positive, feature_weights=feature_weights
    )
    if largest <= np.finfo(np.float64).resolution:
        return np.full(n_alphas, np.finfo(np.float64).resolution)
    if n_alphas == 1:
        return np.array([largest])
    grid = np.geomspace(largest, largest * eps, num=n_alphas)
    grid[0] = largest  # geomspace rounds its ends
    return grid


def solve_one(
    design,
    target,
    alpha,
    l1_ratio,
    *,
    solver=None,
    feature_weights=None,
    positive=False,
    coef_init=None,
    tol=1e-4,
    max_iter=100,
    max_epochs=10_000,
    step=None,
):
    """Solve one problem; least squares when nothing is penalised."""
    penalty = ElasticNetPenalty(
        alpha,
        l1_ratio,
        design.n_features,
        design.total,
        positive=positive,
        feature_weights=feature_weights,
    )
    if len(penalty.free) == design.n_features or not (
        penalty.has_l2 or np.any(penalty.lam[np.isfinite(penalty.lam)])
    ):
        return _least_squares(design, target, penalty)
    if solver is None:
        solver = WorkingSetSolver(design, target, coef_init)
    return solver.solve(
        penalty, tol=tol, max_iter=max_iter, max_epochs=max_epochs, step=step
    )


def solve_path(
    design, target, alphas, l1_ratio, *, coef_init=None, verbose=0, **options
):
    """Solve for each alpha in turn with warm starts; return the results."""
    solver = WorkingSetSolver(design, target, coef_init)
    return [
        solve_one(design, target, alpha, l1_ratio, solver=solver, **options)
        for alpha in progress_bar(alphas, description="path", verbose=verbose)
    ]


def stack_coefs(results, n_features, dtype=np.float64):
    """Return the coefficients of a path as (n_features, n_alphas)."""
    coefs = np.zeros((n_features, len(results)), dtype=dtype, order="F")
    for k, result in enumerate(results):
        coefs[result.columns, k] = result.coef
    return coefs


def make_certificate(result, tol, total):
    """Return the certificate of one result, in the units of the estimator."""
    if result.kind == "kkt":
        return Certificate(
            "kkt",
            float(result.gap),
            float(tol),
            bool(result.gap <= tol),
            KKT_SCALE,
            {"objective": result.objective / total},
        )
    return Certificate(
        "duality_gap",
        float(result.gap),
        float(tol),
        bool(result.converged),
        GAP_SCALE,
        {
            "objective": result.objective / total,
            "dual_objective": result.dual / total,
        },
    )


def path_certificate(results, tol, total=1.0):
    """Return the certificate of the worst result of a path."""
    return make_certificate(max(results, key=lambda result: result.gap), tol, total)


def warn_no_penalty():
    """Say that alpha = 0 is least squares and what to use instead."""
    warnings.warn(
        "alpha=0 leaves the coefficients unpenalized: the least squares solution is "
        "returned. Use sklearn.linear_model.LinearRegression for that, or alpha > 0.",
        UserWarning,
        stacklevel=users_stacklevel(),
    )


def _least_squares(design, target, penalty):
    """Minimum-norm (or non-negative) least squares with a KKT residual."""
    kept = np.flatnonzero((design.squares > 0.0) & np.isfinite(penalty.lam))
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
