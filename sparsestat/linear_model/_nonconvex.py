r"""MCP and SCAD: penalties that leave large coefficients unshrunk.

.. math:: \min_{w, b}\; \frac{1}{2 S}\sum_i s_i (y_i - b - x_i'w)^2
   + \sum_j p_j(w_j), \qquad S = \sum_i s_i,

with a penalty p that starts like ``alpha |w|`` and becomes constant.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

from sparsestat._utils.compat import Interval
from sparsestat.linear_model._fit import FIT_CONSTRAINTS, FitMixin, solver_options
from sparsestat.linear_model._paths import mcp_path, scad_path
from sparsestat.linear_model._penalized._concave_path import ConcaveProblem, check_shape
from sparsestat.linear_model._penalized._path_result import PathMethod
from sparsestat.linear_model._penalized._penalties import SHAPES
from sparsestat.linear_model._penalized._problems import feature_weight_array
from sparsestat.linear_model._predictors import LinearPredictor

__all__ = ["MCPRegressor", "SCADRegressor"]


class ConcaveProblemMixin:
    """The problem of both penalties, for fits and for cross-validation."""

    def _problem(self, X, y, sample_weight):
        return ConcaveProblem(
            self._kind,
            X,
            y,
            sample_weight,
            feature_weights=feature_weight_array(self.feature_weights, X.shape[1]),
            **solver_options(self),
        )

    def _setting(self):
        return check_shape(self._kind, getattr(self, SHAPES[self._kind][0]))


_CONSTRAINTS = {**FIT_CONSTRAINTS, "feature_weights": ["array-like", None]}


class MCPRegressor(ConcaveProblemMixin, FitMixin, LinearPredictor):
    r"""Least squares with the minimax concave penalty (MCP).

    Minimizes

    .. math:: \frac{1}{2 n}\|y - b - X w\|^2 + \sum_j p(w_j), \qquad
        p(w) = \begin{cases} \alpha |w| - w^2 / (2\gamma) & |w| \le \gamma\alpha
        \\ \gamma\alpha^2 / 2 & \text{otherwise} \end{cases}

    over coefficients w (`coef_`) and intercept b (`intercept_`), for features of
    unit variance; see the notes for others.
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
    history_ : ndarray
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
        **_CONSTRAINTS,
        "gamma": [Interval(Real, 1, None, closed="right")],
    }

    path = PathMethod(mcp_path)

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


class SCADRegressor(ConcaveProblemMixin, FitMixin, LinearPredictor):
    r"""Least squares with the smoothly clipped absolute deviation (SCAD).

    Minimizes

    .. math:: \frac{1}{2 n}\|y - b - X w\|^2 + \sum_j p(w_j), \qquad
        p'(w) = \begin{cases} \alpha & w \le \alpha
        \\ (a\alpha - w) / (a - 1) & \alpha < w \le a\alpha
        \\ 0 & \text{otherwise} \end{cases}\qquad (w > 0)

    over coefficients w (`coef_`) and intercept b (`intercept_`), for features of
    unit variance; see the notes for others.
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
    history_ : ndarray
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
        **_CONSTRAINTS,
        "a": [Interval(Real, 2, None, closed="right")],
    }

    path = PathMethod(scad_path)

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
