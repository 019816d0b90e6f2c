r"""MCP and SCAD: penalties that leave large coefficients unshrunk.

.. math:: \min_{w, b}\; \frac{1}{2 S}\sum_i s_i (y_i - b - x_i'w)^2
   + \sum_j p_j(w_j), \qquad S = \sum_i s_i,

with a penalty p that starts like ``alpha |w|`` and becomes constant.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from sparsestat._utils.compat import Interval
from sparsestat.linear_model._coordinate_descent import PenalizedRegressor
from sparsestat.linear_model._path_problems import (
    LeastSquaresProblem,
    feature_weight_array,
)
from sparsestat.linear_model._paths import check_path_input
from sparsestat.linear_model._penalties import ConcavePenalty

__all__ = [
    "ConcavePathResult",
    "MCPRegressor",
    "SCADRegressor",
    "mcp_path",
    "scad_path",
]

SHAPE_NAMES = {
    "mcp": ("gamma", 1.0),
    "scad": ("a", 2.0),
}  # shapes and their lower bounds


class ConcavePathResult(NamedTuple):
    """Coefficients along a sequence of penalty strengths.

    Attributes
    ----------
    alphas : ndarray of shape (n_alphas,)
        Penalty strengths, in decreasing order.
    coefs : ndarray of shape (n_features, n_alphas)
        Coefficients at each of them.
    kkt_residuals : ndarray of shape (n_alphas,)
        Largest violations of stationarity, relative to the largest gradient at
        zero.
    """

    alphas: np.ndarray
    coefs: np.ndarray
    kkt_residuals: np.ndarray


def check_shape(kind, shape):
    """Return gamma or a as a float; refuse what makes one coordinate non-convex."""
    name, bound = SHAPE_NAMES[kind]
    shape = float(shape)
    if not shape > bound:
        raise ValueError(
            f"`{name}` must be above {bound:g}, got {shape}: at and below it the "
            "problem in a single coefficient has several minima. Infinity is the Lasso."
        )
    return shape


class ConcaveProblem(LeastSquaresProblem):
    """Least squares with MCP or SCAD; the setting is the shape."""

    remedy = (
        "Increase max_iter or max_epochs, scale the features, or raise alpha or tol."
    )

    def __init__(
        self, kind, X, y, sample_weight=None, *, feature_weights=None, **options
    ):
        super().__init__(X, y, sample_weight, **options)
        self.kind = kind
        self.feature_weights = feature_weights

    def penalty(self, alpha, setting):
        """Return the penalty of one strength; its concavity follows the columns."""
        return ConcavePenalty(
            self.kind,
            alpha,
            setting,
            self.design.squares,
            self.total,
            feature_weights=self.feature_weights,
        )


def _concave_path(kind, X, y, shape, eps, alphas, coef_init, verbose, **options):
    weights = options.pop("sample_weight")
    X, y, weights, coef_init = check_path_input(X, y, weights, coef_init)
    options["feature_weights"] = feature_weight_array(
        options["feature_weights"], X.shape[1]
    )
    problem = ConcaveProblem(kind, X, y, weights, **options)
    alphas, coefs, results = problem.run(
        alphas, eps, check_shape(kind, shape), coef_init=coef_init, verbose=verbose
    )
    return ConcavePathResult(alphas, coefs, np.array([r.gap for r in results]))


def mcp_path(
    X,
    y,
    *,
    gamma=3.0,
    eps=1e-3,
    alphas=100,
    fit_intercept=False,
    feature_weights=None,
    sample_weight=None,
    coef_init=None,
    tol=1e-4,
    max_iter=100,
    max_epochs=10_000,
    verbose=0,
):
    """MCP path by working-set coordinate descent with warm starts.

    The problem of :class:`MCPRegressor` for a decreasing sequence of strengths, each
    started from the solution of the one before: this way into a non-convex problem
    finds better stationary points than a cold start at a weak penalty. Read more in
    the :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Design. F-ordered dense or CSC float64 avoids a copy; never modified.
    y : array-like of shape (n_samples,)
        Target.
    gamma : float, default=3.0
        Where the penalty becomes constant, in units of alpha; above 1. Small values
        leave more coefficients unshrunk but make more local minima; infinity is
        the Lasso.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on a logarithmic grid from the smallest alpha with an
        all-zero solution downwards, or the strengths themselves.
    fit_intercept : bool, default=False
        Centre X and y (weighted) first.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers: 0 leaves a feature unpenalized, infinity drops it.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights; an integer weight equals repetition.
    coef_init : array-like of shape (n_features,), default=None
        Where the first problem starts.
    tol : float, default=1e-4
        Each problem stops when the largest violation of stationarity is at most tol
        times the largest gradient at zero.
    max_iter : int, default=100
        Largest number of passes over all features, for each alpha.
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps, for each alpha.
    verbose : int, default=0
        At 1 and above, show a progress bar.

    Returns
    -------
    path : ConcavePathResult
        Named tuple ``(alphas, coefs, kkt_residuals)``.

    Raises
    ------
    ValueError
        If the data are not finite, real and of matching shapes, a strength is
        negative or `gamma` is not above 1.

    Warns
    -----
    ConvergenceWarning
        Once, when a problem of the path missed its tolerance.

    See Also
    --------
    MCPRegressor : One strength.
    lasso_path : The convex path.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import MCPRegressor
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> path = MCPRegressor.path(X, y - y.mean(), alphas=5)
    >>> [int((w != 0).sum()) for w in path.coefs.T][:3]
    [0, 5, 23]
    """
    return _concave_path(
        "mcp",
        X,
        y,
        gamma,
        eps,
        alphas,
        coef_init,
        verbose,
        fit_intercept=fit_intercept,
        feature_weights=feature_weights,
        sample_weight=sample_weight,
        tol=tol,
        max_iter=max_iter,
        max_epochs=max_epochs,
    )


def scad_path(
    X,
    y,
    *,
    a=3.7,
    eps=1e-3,
    alphas=100,
    fit_intercept=False,
    feature_weights=None,
    sample_weight=None,
    coef_init=None,
    tol=1e-4,
    max_iter=100,
    max_epochs=10_000,
    verbose=0,
):
    """SCAD path by working-set coordinate descent with warm starts.

    The problem of :class:`SCADRegressor` for a decreasing sequence of strengths, each
    started from the solution of the one before: this way into a non-convex problem
    finds better stationary points than a cold start at a weak penalty. Read more in
    the :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Design. F-ordered dense or CSC float64 avoids a copy; never modified.
    y : array-like of shape (n_samples,)
        Target.
    a : float, default=3.7
        Where the penalty becomes constant, in units of alpha; above 2. Small values
        leave more coefficients unshrunk but make more local minima; infinity is
        the Lasso.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on a logarithmic grid from the smallest alpha with an
        all-zero solution downwards, or the strengths themselves.
    fit_intercept : bool, default=False
        Centre X and y (weighted) first.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers: 0 leaves a feature unpenalized, infinity drops it.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights; an integer weight equals repetition.
    coef_init : array-like of shape (n_features,), default=None
        Where the first problem starts.
    tol : float, default=1e-4
        Each problem stops when the largest violation of stationarity is at most tol
        times the largest gradient at zero.
    max_iter : int, default=100
        Largest number of passes over all features, for each alpha.
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps, for each alpha.
    verbose : int, default=0
        At 1 and above, show a progress bar.

    Returns
    -------
    path : ConcavePathResult
        Named tuple ``(alphas, coefs, kkt_residuals)``.

    Raises
    ------
    ValueError
        If the data are not finite, real and of matching shapes, a strength is
        negative or `a` is not above 2.

    Warns
    -----
    ConvergenceWarning
        Once, when a problem of the path missed its tolerance.

    See Also
    --------
    SCADRegressor : One strength.
    lasso_path : The convex path.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import SCADRegressor
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> path = SCADRegressor.path(X, y - y.mean(), alphas=5)
    >>> [int((w != 0).sum()) for w in path.coefs.T][:3]
    [0, 5, 23]
    """
    return _concave_path(
        "scad",
        X,
        y,
        a,
        eps,
        alphas,
        coef_init,
        verbose,
        fit_intercept=fit_intercept,
        feature_weights=feature_weights,
        sample_weight=sample_weight,
        tol=tol,
        max_iter=max_iter,
        max_epochs=max_epochs,
    )


class ConcaveProblemMixin:
    """The problem of both penalties, for fits and for cross-validation."""

    def _problem(self, X, y, sample_weight):
        return ConcaveProblem(
            self._kind,
            X,
            y,
            sample_weight,
            feature_weights=feature_weight_array(self.feature_weights, X.shape[1]),
            fit_intercept=self.fit_intercept,
            tol=self.tol,
            max_iter=self.max_iter,
            max_epochs=self.max_epochs,
        )

    def _setting(self):
        name, _ = SHAPE_NAMES[self._kind]
        return check_shape(self._kind, getattr(self, name))


_FIT_CONSTRAINTS = {
    "alpha": [Interval(Real, 0, None, closed="left")],
    "fit_intercept": ["boolean"],
    "feature_weights": ["array-like", None],
    "tol": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
}


class MCPRegressor(ConcaveProblemMixin, PenalizedRegressor):
    r"""Least squares with the minimax concave penalty (MCP).

    Minimizes

    .. math:: \frac{1}{2 n}\|y - b - X w\|^2 + \sum_j p(w_j), \qquad
        p(w) = \begin{cases} \alpha |w| - w^2 / (2\gamma) & |w| \le \gamma\alpha
        \\ \gamma\alpha^2 / 2 & \text{otherwise} \end{cases}

    over coefficients w (`coef_`) and intercept b (`intercept_`), with alpha `alpha`
    and gamma `gamma`, for features of unit variance; see the notes for others.
    Large coefficients are not shrunk, so that fewer false features are needed to
    make up for the bias of the Lasso. Use it when few strong effects are expected
    and their sizes matter; do not use it with many weak effects or highly correlated
    features, where the stationary point found may depend on details: the problem is
    not convex, and a fit is a stationary point, not a proven minimum. Prefer
    :class:`MCPRegressorCV` or ``MCPRegressor.path``, which come from strong
    penalties. Read more in the :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    alpha : float, default=1.0
        Penalty strength, in units of y times a feature. Zero warns and gives
        least squares.
    gamma : float, default=3.0
        Where the penalty becomes constant, in units of alpha; above 1. Small values
        leave more coefficients unshrunk but make more local minima; infinity is
        the Lasso.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    feature_weights : array-like of shape (n_features,), default=None
        Multipliers of alpha: 0 leaves a feature unpenalized, infinity drops it.
    tol : float, default=1e-4
        Stop when the largest violation of stationarity is at most tol times the
        largest gradient at zero.
    max_iter : int, default=100
        Largest number of outer iterations (passes over all features).
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps over the working sets.
    warm_start : bool, default=False
        Start from the previous `coef_`; otherwise from zero.
    verbose : int, default=0
        At 1 and above, log a line per outer iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept, 0.0 without one.
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Largest violation of stationarity, relative to the
        largest gradient at zero (the largest alpha without feature weights).
    objective_ : float
        The objective.
    gap_history_ : ndarray
        Relative violation at each outer iteration.
    n_iter_ : int
        Number of outer iterations.
    n_epochs_ : int
        Number of coordinate descent sweeps.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    MCPRegressorCV : Chooses alpha from the data.
    SCADRegressor : Another penalty of the same kind.
    Lasso : The convex problem, which shrinks all coefficients.

    Notes
    -----
    The penalty is measured against the spread of a feature: with v the variance
    of a column (its mean square without an intercept), the constant part begins at
    ``gamma * alpha / v``. That is the textbook penalty on the standardized features
    with the strengths of the Lasso on the given ones, so `gamma` above 1 makes
    the problem in each single coefficient convex whatever the scales, and an infinite
    `gamma` is the Lasso. Costs are those of :class:`Lasso`. The result is
    deterministic.

    References
    ----------
    .. [1] C.-H. Zhang, "Nearly unbiased variable selection under minimax concave
       penalty", Annals of Statistics 38, 2010.
    .. [2] P. Breheny, J. Huang, "Coordinate descent algorithms for nonconvex
       penalized regression, with applications to biological feature selection",
       Annals of Applied Statistics 5, 2011.

    Examples
    --------
    >>> from sparsestat.datasets import make_sparse_regression
    >>> from sparsestat.linear_model import MCPRegressor
    >>> data = make_sparse_regression(100, 300, n_nonzero=5, snr=10, random_state=0)
    >>> model = MCPRegressor(alpha=0.3).fit(data.X, data.y)
    >>> int((model.coef_ != 0).sum())
    5
    >>> model.certificate_.satisfied
    True
    """

    _kind = "mcp"

    _parameter_constraints = {
        **_FIT_CONSTRAINTS,
        "gamma": [Interval(Real, 1, None, closed="right")],
    }

    path = staticmethod(mcp_path)

    def __init__(
        self,
        alpha=1.0,
        *,
        gamma=3.0,
        fit_intercept=True,
        feature_weights=None,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        warm_start=False,
        verbose=0,
    ):
        self.alpha = alpha
        self.gamma = gamma
        self.fit_intercept = fit_intercept
        self.feature_weights = feature_weights
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.warm_start = warm_start
        self.verbose = verbose


class SCADRegressor(ConcaveProblemMixin, PenalizedRegressor):
    r"""Least squares with the smoothly clipped absolute deviation (SCAD).

    Minimizes

    .. math:: \frac{1}{2 n}\|y - b - X w\|^2 + \sum_j p(w_j), \qquad
        p'(w) = \begin{cases} \alpha & w \le \alpha
        \\ (a\alpha - w) / (a - 1) & \alpha < w \le a\alpha
        \\ 0 & \text{otherwise} \end{cases}\qquad (w > 0)

    over coefficients w (`coef_`) and intercept b (`intercept_`), with alpha `alpha`
    and a `a`, for features of unit variance; see the notes for others.
    Large coefficients are not shrunk, so that fewer false features are needed to
    make up for the bias of the Lasso. Use it when few strong effects are expected
    and their sizes matter; do not use it with many weak effects or highly correlated
    features, where the stationary point found may depend on details: the problem is
    not convex, and a fit is a stationary point, not a proven minimum. Prefer
    :class:`SCADRegressorCV` or ``SCADRegressor.path``, which come from strong
    penalties. Read more in the :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    alpha : float, default=1.0
        Penalty strength, in units of y times a feature. Zero warns and gives
        least squares.
    a : float, default=3.7
        Where the penalty becomes constant, in units of alpha; above 2. Small values
        leave more coefficients unshrunk but make more local minima; infinity is
        the Lasso.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    feature_weights : array-like of shape (n_features,), default=None
        Multipliers of alpha: 0 leaves a feature unpenalized, infinity drops it.
    tol : float, default=1e-4
        Stop when the largest violation of stationarity is at most tol times the
        largest gradient at zero.
    max_iter : int, default=100
        Largest number of outer iterations (passes over all features).
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps over the working sets.
    warm_start : bool, default=False
        Start from the previous `coef_`; otherwise from zero.
    verbose : int, default=0
        At 1 and above, log a line per outer iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept, 0.0 without one.
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Largest violation of stationarity, relative to the
        largest gradient at zero (the largest alpha without feature weights).
    objective_ : float
        The objective.
    gap_history_ : ndarray
        Relative violation at each outer iteration.
    n_iter_ : int
        Number of outer iterations.
    n_epochs_ : int
        Number of coordinate descent sweeps.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    SCADRegressorCV : Chooses alpha from the data.
    MCPRegressor : Another penalty of the same kind.
    Lasso : The convex problem, which shrinks all coefficients.

    Notes
    -----
    The penalty is measured against the spread of a feature: with v the variance
    of a column (its mean square without an intercept), the constant part begins at
    ``a * alpha / v``. That is the textbook penalty on the standardized features
    with the strengths of the Lasso on the given ones, so `a` above 2 makes
    the problem in each single coefficient convex whatever the scales, and an infinite
    `a` is the Lasso. Costs are those of :class:`Lasso`. The result is
    deterministic.

    References
    ----------
    .. [1] J. Fan, R. Li, "Variable selection via nonconcave penalized likelihood and
       its oracle properties", JASA 96, 2001.
    .. [2] P. Breheny, J. Huang, "Coordinate descent algorithms for nonconvex
       penalized regression, with applications to biological feature selection",
       Annals of Applied Statistics 5, 2011.

    Examples
    --------
    >>> from sparsestat.datasets import make_sparse_regression
    >>> from sparsestat.linear_model import SCADRegressor
    >>> data = make_sparse_regression(100, 300, n_nonzero=5, snr=10, random_state=0)
    >>> model = SCADRegressor(alpha=0.3).fit(data.X, data.y)
    >>> int((model.coef_ != 0).sum())
    5
    >>> model.certificate_.satisfied
    True
    """

    _kind = "scad"

    _parameter_constraints = {
        **_FIT_CONSTRAINTS,
        "a": [Interval(Real, 2, None, closed="right")],
    }

    path = staticmethod(scad_path)

    def __init__(
        self,
        alpha=1.0,
        *,
        a=3.7,
        fit_intercept=True,
        feature_weights=None,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        warm_start=False,
        verbose=0,
    ):
        self.alpha = alpha
        self.a = a
        self.fit_intercept = fit_intercept
        self.feature_weights = feature_weights
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.warm_start = warm_start
        self.verbose = verbose
