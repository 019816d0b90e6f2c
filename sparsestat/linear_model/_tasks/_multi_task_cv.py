"""Multi-task Lasso and elastic net with their strengths chosen from the data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

from sparsestat._utils.compat import Interval, fit_context
from sparsestat.linear_model._cv import CRITERION, CV_CONSTRAINTS, PathCVMixin
from sparsestat.linear_model._paths import check_l1_ratio
from sparsestat.linear_model._penalized._path_result import PathMethod
from sparsestat.linear_model._predictors import LinearPredictor
from sparsestat.linear_model._tasks._multi_task import (
    JointTargets,
    multi_task_enet_path,
    multi_task_lasso_path,
)

__all__ = ["MultiTaskElasticNetCV", "MultiTaskLassoCV"]

_CV_CONSTRAINTS = {
    **CV_CONSTRAINTS,
    "feature_weights": ["array-like", None],
    **CRITERION,
}


class MultiTaskElasticNetCV(JointTargets, PathCVMixin, LinearPredictor):
    r"""Multi-task elastic net with alpha and l1_ratio chosen by cross-validation.

    Fits the path of :class:`MultiTaskElasticNet` and chooses the point with the
    least squared error, the mean over all targets and held-out rows, or the least
    information criterion. Read more in the :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    l1_ratio : float or array-like of float, default=0.5
        Shares of the norms to try, each in (0, 1].
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on an automatic grid, or the strengths.
    fit_intercept : bool, default=True
        Fit an intercept per target. X is centered implicitly.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers: 0 leaves a feature unpenalized, infinity drops it.
    criterion : {"cv", "aic", "bic", "ebic"}, default="cv"
        Information criteria count every coefficient that is not zero.
    one_se : bool, default=False
        Take the largest alpha whose error is within one standard error of the least.
    cv : int, cross-validation generator or iterable, default=None
        Splitting; None means 5 folds.
    tol : float, default=1e-4
        Every problem stops when its duality gap is at most ``tol * ||Y||_F^2 /
        n_samples`` with Y centered if there is an intercept.
    max_iter : int, default=100
        Largest number of outer iterations, for each problem.
    max_epochs : int, default=10000
        Largest number of block coordinate descent sweeps, for each problem.
    n_jobs : int, default=None
        Workers over folds and ratios. The result does not depend on it.
    verbose : int, default=0
        At 1 and above, show a progress bar for the final path.

    Attributes
    ----------
    alpha_ : float
        The chosen strength.
    alpha_min_, alpha_1se_ : float
        Where the mean error is least, and the largest within one standard error of it
        (``criterion="cv"`` only).
    l1_ratio_ : float
        The chosen share.
    alphas_ : ndarray of shape (n_alphas,) or (n_l1_ratio, n_alphas)
        The strengths tried, in decreasing order.
    mse_path_ : ndarray of shape ([n_l1_ratio,] n_alphas, n_folds)
        Squared error of each held-out fold (``criterion="cv"`` only).
    cv_mean_, cv_standard_error_ : ndarray of the shape of `alphas_`
        Means of the errors over folds, and their standard errors.
    criterion_path_ : ndarray of shape (n_alphas,) or (n_l1_ratio, n_alphas)
        Values of the information criterion (the other choices only).
    coef_path_ : ndarray of shape (n_targets, n_features, n_alphas)
        Coefficients on all the data along the path.
    intercept_path_ : ndarray of shape (n_targets, n_alphas)
        Their intercepts.
    dual_gaps_ : ndarray of shape (n_alphas,)
        Their duality gaps.
    coef_ : ndarray of shape (n_targets, n_features)
        Coefficients.
    intercept_ : ndarray of shape (n_targets,)
        Intercepts, zeros without.
    sparse_coef_ : csr_array of shape (n_targets, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Duality gap relative to ``||Y||_F^2 / n_samples``.
    dual_gap_ : float
        Duality gap of the objective, in units of y squared.
    objective_ : float
        The objective at the solution.
    history_ : ndarray
        Relative duality gap at each outer iteration.
    n_iter_ : int
        Number of outer iterations.
    n_epochs_ : int
        Number of coordinate descent sweeps of the chosen point.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    MultiTaskElasticNet : One strength.
    sklearn.linear_model.MultiTaskElasticNetCV : Plain block coordinate descent.

    References
    ----------
    .. [1] G. Obozinski, B. Taskar, M. Jordan, "Joint covariate selection and joint
       subspace selection for multiple classification problems", Statistics and
       Computing 20, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import MultiTaskElasticNetCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((50, 8))
    >>> Y = X[:, :2] @ rng.standard_normal((2, 3)) + 0.1 * rng.standard_normal((50, 3))
    >>> model = MultiTaskElasticNetCV(alphas=20, one_se=True).fit(X, Y)
    >>> model.coef_.shape, bool(model.alpha_ == model.alpha_1se_)
    ((3, 8), True)
    """

    _parameter_constraints = {
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), "array-like"],
        **_CV_CONSTRAINTS,
    }

    path = PathMethod(multi_task_enet_path)
    _setting_name = "l1_ratio"
    _checked_setting = staticmethod(check_l1_ratio)

    def __init__(
        self,
        *,
        l1_ratio=0.5,
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
        self.l1_ratio = l1_ratio
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

    _fit_blocks = PathCVMixin._fit_cv_blocks

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Fit the paths and choose a point.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, of the training and of the held-out errors.
        groups : array-like of shape (n_samples,), default=None
            Group labels handed to the splitter.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        return self._fit_cv(X, y, sample_weight, groups)


class MultiTaskLassoCV(JointTargets, PathCVMixin, LinearPredictor):
    r"""Multi-task Lasso with alpha chosen by cross-validation.

    Fits the path of :class:`MultiTaskLasso` and chooses the point with the
    least squared error, the mean over all targets and held-out rows, or the least
    information criterion. Read more in the :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on an automatic grid, or the strengths.
    fit_intercept : bool, default=True
        Fit an intercept per target. X is centered implicitly.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers: 0 leaves a feature unpenalized, infinity drops it.
    criterion : {"cv", "aic", "bic", "ebic"}, default="cv"
        Information criteria count every coefficient that is not zero.
    one_se : bool, default=False
        Take the largest alpha whose error is within one standard error of the least.
    cv : int, cross-validation generator or iterable, default=None
        Splitting; None means 5 folds.
    tol : float, default=1e-4
        Every problem stops when its duality gap is at most ``tol * ||Y||_F^2 /
        n_samples`` with Y centered if there is an intercept.
    max_iter : int, default=100
        Largest number of outer iterations, for each problem.
    max_epochs : int, default=10000
        Largest number of block coordinate descent sweeps, for each problem.
    n_jobs : int, default=None
        Workers over folds and ratios. The result does not depend on it.
    verbose : int, default=0
        At 1 and above, show a progress bar for the final path.

    Attributes
    ----------
    alpha_ : float
        The chosen strength.
    alpha_min_, alpha_1se_ : float
        Where the mean error is least, and the largest within one standard error of it
        (``criterion="cv"`` only).
    alphas_ : ndarray of shape (n_alphas,)
        The strengths tried, in decreasing order.
    mse_path_ : ndarray of shape (n_alphas, n_folds)
        Squared error of each held-out fold (``criterion="cv"`` only).
    cv_mean_, cv_standard_error_ : ndarray of shape (n_alphas,)
        Means of the errors over folds, and their standard errors.
    criterion_path_ : ndarray of shape (n_alphas,)
        Values of the information criterion (the other choices only).
    coef_path_ : ndarray of shape (n_targets, n_features, n_alphas)
        Coefficients on all the data along the path.
    intercept_path_ : ndarray of shape (n_targets, n_alphas)
        Their intercepts.
    dual_gaps_ : ndarray of shape (n_alphas,)
        Their duality gaps.
    coef_ : ndarray of shape (n_targets, n_features)
        Coefficients.
    intercept_ : ndarray of shape (n_targets,)
        Intercepts, zeros without.
    sparse_coef_ : csr_array of shape (n_targets, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Duality gap relative to ``||Y||_F^2 / n_samples``.
    dual_gap_ : float
        Duality gap of the objective, in units of y squared.
    objective_ : float
        The objective at the solution.
    history_ : ndarray
        Relative duality gap at each outer iteration.
    n_iter_ : int
        Number of outer iterations.
    n_epochs_ : int
        Number of coordinate descent sweeps of the chosen point.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    MultiTaskLasso : One strength.
    sklearn.linear_model.MultiTaskLassoCV : Plain block coordinate descent.

    References
    ----------
    .. [1] G. Obozinski, B. Taskar, M. Jordan, "Joint covariate selection and joint
       subspace selection for multiple classification problems", Statistics and
       Computing 20, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import MultiTaskLassoCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((50, 8))
    >>> Y = X[:, :2] @ rng.standard_normal((2, 3)) + 0.1 * rng.standard_normal((50, 3))
    >>> model = MultiTaskLassoCV(alphas=20, one_se=True).fit(X, Y)
    >>> model.coef_.shape, bool(model.alpha_ == model.alpha_1se_)
    ((3, 8), True)
    """

    _parameter_constraints = dict(_CV_CONSTRAINTS)

    path = PathMethod(multi_task_lasso_path)

    def __init__(
        self,
        *,
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

    _fit_blocks = PathCVMixin._fit_cv_blocks

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Fit the paths and choose a point.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, of the training and of the held-out errors.
        groups : array-like of shape (n_samples,), default=None
            Group labels handed to the splitter.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        return self._fit_cv(X, y, sample_weight, groups)

    def _setting(self):
        return 1.0
