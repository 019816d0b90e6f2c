"""MCP and SCAD regression with the strength chosen from the data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

from sparsestat._utils.compat import Interval
from sparsestat.linear_model._cv import CRITERION, CV_CONSTRAINTS, PathCVMixin
from sparsestat.linear_model._nonconvex import ConcaveProblemMixin
from sparsestat.linear_model._paths import mcp_path, scad_path
from sparsestat.linear_model._penalized._concave_path import check_shape
from sparsestat.linear_model._penalized._path_result import PathMethod
from sparsestat.linear_model._predictors import LinearPredictor

__all__ = ["MCPRegressorCV", "SCADRegressorCV"]

_CONSTRAINTS = {
    **CV_CONSTRAINTS,
    "feature_weights": ["array-like", None],
    **CRITERION,
}


class _ConcaveCV(ConcaveProblemMixin, PathCVMixin, LinearPredictor):
    """A path for each shape and fold, and the best point of all."""

    def _checked_setting(self, shape):
        return check_shape(self._kind, shape)


class MCPRegressorCV(_ConcaveCV):
    r"""MCP regression with alpha, and gamma if wanted, chosen from the data.

    Fits the path of :class:`MCPRegressor` from the strongest penalty downwards and
    chooses the point with the least cross-validated squared error, or the least
    information criterion (the degrees of freedom are counted as the non-zero
    coefficients). Read more in the :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    gamma : float or array-like of float, default=3.0
        Shapes to try, each above 1.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on an automatic grid, or the strengths.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    feature_weights : array-like of shape (n_features,), default=None
        Multipliers of alpha: 0 leaves a feature unpenalized, infinity drops it.
    criterion : {"cv", "aic", "bic", "ebic"}, default="cv"
        How to choose.
    one_se : bool, default=False
        With ``criterion="cv"``, take the largest alpha whose error is within one
        standard error of the least: a sparser, more stable model.
    cv : int, cross-validation generator or iterable, default=None
        Splitting; None means 5 folds.
    tol : float, default=1e-4
        Every problem stops when its largest violation of stationarity is at most tol
        times the largest gradient at zero.
    max_iter : int, default=100
        Largest number of outer iterations, for each problem.
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps, for each problem.
    n_jobs : int, default=None
        Workers over folds and shapes. The result does not depend on it.
    verbose : int, default=0
        At 1 and above, show a progress bar for the final path.

    Attributes
    ----------
    alpha_ : float
        The chosen strength.
    gamma_ : float
        The chosen shape.
    alphas_ : ndarray of shape (n_alphas,) or (n_shapes, n_alphas)
        The strengths tried, in decreasing order.
    mse_path_ : ndarray of shape ([n_shapes,] n_alphas, n_folds)
        Squared error of each held-out fold (``criterion="cv"`` only).
    criterion_path_ : ndarray of shape (n_alphas,) or (n_shapes, n_alphas)
        Values of the information criterion (the other choices only).
    coef_path_ : ndarray of shape (n_features, n_alphas)
        Coefficients on all the data along the path of the chosen shape.
    intercept_path_ : ndarray of shape (n_alphas,)
        Their intercepts.
    kkt_residuals_ : ndarray of shape (n_alphas,)
        Their violations of stationarity, relative to the largest gradient at zero.
    coef_ : ndarray of shape (n_features,)
        Coefficients at the chosen point.
    intercept_ : float
        Intercept at the chosen point, 0.0 without one.
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Largest violation of stationarity at the chosen point, relative to the
        largest gradient at zero (the largest alpha without feature weights).
    objective_ : float
        The objective at the chosen point.
    history_ : ndarray
        Relative violation at each outer iteration at the chosen point.
    n_iter_ : int
        Number of outer iterations at the chosen point.
    n_epochs_ : int
        Number of coordinate descent sweeps of the chosen point.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    MCPRegressor : One strength.
    SCADRegressorCV : Another penalty of the same kind.
    LassoCV : The convex problem, which shrinks all coefficients.

    References
    ----------
    .. [1] P. Breheny, J. Huang, "Coordinate descent algorithms for nonconvex
       penalized regression, with applications to biological feature selection",
       Annals of Applied Statistics 5, 2011.

    Examples
    --------
    >>> from sparsestat.datasets import make_sparse_regression
    >>> from sparsestat.linear_model import MCPRegressorCV
    >>> data = make_sparse_regression(100, 300, n_nonzero=5, snr=10, random_state=0)
    >>> model = MCPRegressorCV(one_se=True).fit(data.X, data.y)
    >>> int((model.coef_ != 0).sum())
    5
    """

    _kind = "mcp"
    _setting_name = "gamma"

    _parameter_constraints = {
        "gamma": [Interval(Real, 1, None, closed="right"), "array-like"],
        **_CONSTRAINTS,
    }

    path = PathMethod(mcp_path)

    def __init__(
        self,
        *,
        gamma=3.0,
        eps=1e-3,
        alphas=100,
        fit_intercept=True,
        feature_weights=None,
        criterion="cv",
        one_se=False,
        cv=None,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        n_jobs=None,
        verbose=0,
    ):
        self.gamma = gamma
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.feature_weights = feature_weights
        self.criterion = criterion
        self.one_se = one_se
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.n_jobs = n_jobs
        self.verbose = verbose


class SCADRegressorCV(_ConcaveCV):
    r"""SCAD regression with alpha, and a if wanted, chosen from the data.

    Fits the path of :class:`SCADRegressor` from the strongest penalty downwards and
    chooses the point with the least cross-validated squared error, or the least
    information criterion (the degrees of freedom are counted as the non-zero
    coefficients). Read more in the :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    a : float or array-like of float, default=3.7
        Shapes to try, each above 2.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on an automatic grid, or the strengths.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    feature_weights : array-like of shape (n_features,), default=None
        Multipliers of alpha: 0 leaves a feature unpenalized, infinity drops it.
    criterion : {"cv", "aic", "bic", "ebic"}, default="cv"
        How to choose.
    one_se : bool, default=False
        With ``criterion="cv"``, take the largest alpha whose error is within one
        standard error of the least: a sparser, more stable model.
    cv : int, cross-validation generator or iterable, default=None
        Splitting; None means 5 folds.
    tol : float, default=1e-4
        Every problem stops when its largest violation of stationarity is at most tol
        times the largest gradient at zero.
    max_iter : int, default=100
        Largest number of outer iterations, for each problem.
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps, for each problem.
    n_jobs : int, default=None
        Workers over folds and shapes. The result does not depend on it.
    verbose : int, default=0
        At 1 and above, show a progress bar for the final path.

    Attributes
    ----------
    alpha_ : float
        The chosen strength.
    a_ : float
        The chosen shape.
    alphas_ : ndarray of shape (n_alphas,) or (n_shapes, n_alphas)
        The strengths tried, in decreasing order.
    mse_path_ : ndarray of shape ([n_shapes,] n_alphas, n_folds)
        Squared error of each held-out fold (``criterion="cv"`` only).
    criterion_path_ : ndarray of shape (n_alphas,) or (n_shapes, n_alphas)
        Values of the information criterion (the other choices only).
    coef_path_ : ndarray of shape (n_features, n_alphas)
        Coefficients on all the data along the path of the chosen shape.
    intercept_path_ : ndarray of shape (n_alphas,)
        Their intercepts.
    kkt_residuals_ : ndarray of shape (n_alphas,)
        Their violations of stationarity, relative to the largest gradient at zero.
    coef_ : ndarray of shape (n_features,)
        Coefficients at the chosen point.
    intercept_ : float
        Intercept at the chosen point, 0.0 without one.
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Largest violation of stationarity at the chosen point, relative to the
        largest gradient at zero (the largest alpha without feature weights).
    objective_ : float
        The objective at the chosen point.
    history_ : ndarray
        Relative violation at each outer iteration at the chosen point.
    n_iter_ : int
        Number of outer iterations at the chosen point.
    n_epochs_ : int
        Number of coordinate descent sweeps of the chosen point.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    SCADRegressor : One strength.
    MCPRegressorCV : Another penalty of the same kind.
    LassoCV : The convex problem, which shrinks all coefficients.

    References
    ----------
    .. [1] P. Breheny, J. Huang, "Coordinate descent algorithms for nonconvex
       penalized regression, with applications to biological feature selection",
       Annals of Applied Statistics 5, 2011.

    Examples
    --------
    >>> from sparsestat.datasets import make_sparse_regression
    >>> from sparsestat.linear_model import SCADRegressorCV
    >>> data = make_sparse_regression(100, 300, n_nonzero=5, snr=10, random_state=0)
    >>> model = SCADRegressorCV(one_se=True).fit(data.X, data.y)
    >>> int((model.coef_ != 0).sum())
    5
    """

    _kind = "scad"
    _setting_name = "a"

    _parameter_constraints = {
        "a": [Interval(Real, 2, None, closed="right"), "array-like"],
        **_CONSTRAINTS,
    }

    path = PathMethod(scad_path)

    def __init__(
        self,
        *,
        a=3.7,
        eps=1e-3,
        alphas=100,
        fit_intercept=True,
        feature_weights=None,
        criterion="cv",
        one_se=False,
        cv=None,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        n_jobs=None,
        verbose=0,
    ):
        self.a = a
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.feature_weights = feature_weights
        self.criterion = criterion
        self.one_se = one_se
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.n_jobs = n_jobs
        self.verbose = verbose
