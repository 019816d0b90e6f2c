"""Lasso and elastic net with their strengths chosen from the data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np

from sparsestat._utils.compat import Interval
from sparsestat.linear_model import _paths as paths
from sparsestat.linear_model._coordinate_descent import ElasticNet
from sparsestat.linear_model._cv import (
    CRITERION,
    CV_CONSTRAINTS,
    STOP_EXPLAINED,
    PathCVMixin,
)
from sparsestat.linear_model._penalized._path_result import PathMethod
from sparsestat.linear_model._predictors import LinearPredictor, validate_fit_data

__all__ = ["ElasticNetCV", "LassoCV"]

_CONSTRAINTS = {
    **CV_CONSTRAINTS,
    "positive": ["boolean"],
    "feature_weights": ["array-like", None],
    **CRITERION,
    "relaxed": ["boolean", "array-like"],
    **STOP_EXPLAINED,
}

# What every target has by itself where there are several.
_BY_TARGET = frozenset(
    "alpha_ alpha_min_ alpha_1se_ phi_ l1_ratio_ alphas_ mse_path_ cv_mean_ "
    "cv_standard_error_ criterion_path_ coef_path_ intercept_path_ dual_gaps_ coef_ "
    "intercept_ dual_gap_ objective_ n_iter_ n_epochs_ certificate_ history_".split()
)


class _SeparateTargets(PathCVMixin):
    """Several targets, each with a strength of its own."""

    def _validated(self, X, y, sample_weight):
        X, y, sample_weight = validate_fit_data(
            self, X, y, sample_weight, multi_output=True
        )
        return X, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y, sample_weight

    _is_joint = False
    _block_problem = ElasticNet._block_problem
    _fit_blocks = PathCVMixin._fit_cv_blocks

    def _choose(self, X, y, sample_weight, rows, groups, **options):
        if y is None or y.ndim == 1:
            return super()._choose(X, y, sample_weight, rows, groups, **options)
        if self.stop_explained:
            raise ValueError(
                "stop_explained=True ends the grid of one target, but y has "
                f"{y.shape[1]}, each with strengths of its own. Use "
                "stop_explained=False, or fit them one by one."
            )
        fits = []
        whole = self._problem(X, y, sample_weight, **rows)
        for t, target in enumerate(y.T):
            super()._choose(
                X,
                np.ascontiguousarray(target),
                sample_weight,
                rows,
                groups,
                problem=whole.of_target(t),
            )
            fits.append({k: v for k, v in vars(self).items() if k in _BY_TARGET})
        worst = max(fits, key=lambda values: values["certificate_"].value)
        for name in set(fits[0]) - {"certificate_", "history_"}:
            setattr(self, name, np.array([values[name] for values in fits]))
        self.certificate_, self.history_ = worst["certificate_"], worst["history_"]
        self.n_iter_ = int(self.n_iter_.max())
        self.n_epochs_ = int(self.n_epochs_.max())
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class ElasticNetCV(_SeparateTargets, LinearPredictor):
    r"""Elastic net with alpha and l1_ratio chosen from the data.

    Fits the path of :class:`ElasticNet` and chooses the point with the least
    cross-validated squared error, or the least information criterion

    .. math:: n \log(\mathrm{RSS} / n) + c\,\mathrm{df},

    c = 2 (AIC) or log n (BIC), plus ``2 log binomial(n_features, df)`` for the
    extended BIC. Criteria need one path instead of one for each fold, but rest on
    the noise being Gaussian and the model being nearly true. Read more in the
    :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    l1_ratio : float or array-like of float, default=0.5
        Shares of the absolute penalty to try, each in (0, 1].
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on an automatic grid, or the strengths.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    positive : bool, default=False
        Constrain the coefficients to be non-negative.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers: 0 leaves a feature unpenalized, infinity drops it.
    criterion : {"cv", "aic", "bic", "ebic"}, default="cv"
        How to choose.
    one_se : bool, default=False
        With ``criterion="cv"``, take the largest alpha whose error is within one
        standard error of the least: a sparser, more stable model.
    relaxed : bool or array-like of float, default=False
        Shares phi of the penalized fit to try: the coefficients are phi times those of
        the path plus (1 - phi) times least squares on their support, which undoes the
        shrinkage. True tries 1, .75, .5, .25 and 0. Worth it where signals are strong;
        alpha and phi are chosen together by held-out errors.
    stop_explained : bool, default=False
        End the automatic grid where more than .999 of the deviance of the null model
        is explained, or a step gains less than 1e-5 of that, though not before five
        strengths: decided on all data, before the folds.
    cv : int, cross-validation generator or iterable, default=None
        Splitting; None means 5 folds.
    tol : float, default=1e-4
        Every problem stops when its duality gap is at most
        ``tol * ||y||^2 / n_samples``.
    max_iter : int, default=100
        Largest number of outer iterations, for each problem.
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps, for each problem.
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
    phi_ : float
        The chosen share (``relaxed`` only); the certificate is that of the path.
    cv_mean_, cv_standard_error_ : ndarray of the shape of `alphas_`
        Means of the errors over folds, and their standard errors; with `relaxed` a row
        for each share before the strengths.
    l1_ratio_ : float
        The chosen share.
    alphas_ : ndarray of shape (n_alphas,) or (n_l1_ratio, n_alphas)
        The strengths tried, in decreasing order.
    mse_path_ : ndarray of shape ([n_l1_ratio,] n_alphas, n_folds)
        Squared error of each held-out fold (``criterion="cv"`` only).
    criterion_path_ : ndarray of shape (n_alphas,) or (n_l1_ratio, n_alphas)
        Values of the information criterion (the other choices only).
    coef_path_ : ndarray of shape (n_features, n_alphas)
        Coefficients on all the data along the path of the chosen share.
    intercept_path_ : ndarray of shape (n_alphas,)
        Their intercepts.
    dual_gaps_ : ndarray of shape (n_alphas,)
        Their duality gaps.
    coef_ : ndarray of shape (n_features,)
        Coefficients at the chosen point.
    intercept_ : float
        Intercept at the chosen point.
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Duality gap at the chosen point relative to ``||y||^2 / n_samples``.
    dual_gap_ : float
        Duality gap of the objective at the chosen point.
    objective_ : float
        Objective at the chosen point.
    history_ : ndarray
        Relative gap at each outer iteration of the chosen point.
    n_iter_ : int
        Number of outer iterations of the chosen point.
    n_epochs_ : int
        Number of coordinate descent sweeps of the chosen point.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    ElasticNet : One strength.
    LassoCV : The case ``l1_ratio=1``.
    sklearn.linear_model.ElasticNetCV : Plain coordinate descent.

    Notes
    -----
    The degrees of freedom are the trace of ``X_A (X_A'X_A + n alpha (1 -
    l1_ratio) I)^{-1} X_A'`` on the support A; with weights the number of samples is
    the sum of the weights.

    References
    ----------
    .. [1] H. Zou, T. Hastie, R. Tibshirani, "On the degrees of freedom of the
       lasso", Annals of Statistics 35, 2007.
    .. [2] J. Chen, Z. Chen, "Extended Bayesian information criteria for model
       selection with large model spaces", Biometrika 95, 2008.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import ElasticNetCV
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> model = ElasticNetCV(l1_ratio=[0.5, 0.9], criterion="bic").fit(X, y)
    >>> model.l1_ratio_
    0.9
    """

    _parameter_constraints = {
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), "array-like"],
        **_CONSTRAINTS,
    }

    path = PathMethod(paths.enet_path)
    _setting_name = "l1_ratio"

    def __init__(
        self,
        *,
        l1_ratio=0.5,
        eps=1e-3,
        alphas=100,
        fit_intercept=True,
        positive=False,
        feature_weights=None,
        criterion="cv",
        one_se=False,
        relaxed=False,
        stop_explained=False,
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
        self.positive = positive
        self.feature_weights = feature_weights
        self.criterion = criterion
        self.one_se = one_se
        self.relaxed = relaxed
        self.stop_explained = stop_explained
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.n_jobs = n_jobs
        self.verbose = verbose

    _problem = ElasticNet._problem
    _checked_setting = staticmethod(paths.check_l1_ratio)


class LassoCV(_SeparateTargets, LinearPredictor):
    r"""Lasso with alpha chosen from the data.

    Fits the path of :class:`Lasso` and chooses the point with the least
    cross-validated squared error, or the least information criterion

    .. math:: n \log(\mathrm{RSS} / n) + c\,\mathrm{df},

    c = 2 (AIC) or log n (BIC), plus ``2 log binomial(n_features, df)`` for the
    extended BIC. Criteria need one path instead of one for each fold, but rest on
    the noise being Gaussian and the model being nearly true. Read more in the
    :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on an automatic grid, or the strengths.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    positive : bool, default=False
        Constrain the coefficients to be non-negative.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers: 0 leaves a feature unpenalized, infinity drops it.
    criterion : {"cv", "aic", "bic", "ebic"}, default="cv"
        How to choose.
    one_se : bool, default=False
        With ``criterion="cv"``, take the largest alpha whose error is within one
        standard error of the least: a sparser, more stable model.
    relaxed : bool or array-like of float, default=False
        Shares phi of the penalized fit to try: the coefficients are phi times those of
        the path plus (1 - phi) times least squares on their support, which undoes the
        shrinkage. True tries 1, .75, .5, .25 and 0. Worth it where signals are strong;
        alpha and phi are chosen together by held-out errors.
    stop_explained : bool, default=False
        End the automatic grid where more than .999 of the deviance of the null model
        is explained, or a step gains less than 1e-5 of that, though not before five
        strengths: decided on all data, before the folds.
    cv : int, cross-validation generator or iterable, default=None
        Splitting; None means 5 folds.
    tol : float, default=1e-4
        Every problem stops when its duality gap is at most
        ``tol * ||y||^2 / n_samples``.
    max_iter : int, default=100
        Largest number of outer iterations, for each problem.
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps, for each problem.
    n_jobs : int, default=None
        Workers over folds. The result does not depend on it.
    verbose : int, default=0
        At 1 and above, show a progress bar for the final path.

    Attributes
    ----------
    alpha_ : float
        The chosen strength.
    alpha_min_, alpha_1se_ : float
        Where the mean error is least, and the largest within one standard error of it
        (``criterion="cv"`` only).
    phi_ : float
        The chosen share (``relaxed`` only); the certificate is that of the path.
    cv_mean_, cv_standard_error_ : ndarray of the shape of `alphas_`
        Means of the errors over folds, and their standard errors; with `relaxed` a row
        for each share before the strengths.
    alphas_ : ndarray of shape (n_alphas,)
        The strengths tried, in decreasing order.
    mse_path_ : ndarray of shape (n_alphas, n_folds)
        Squared error of each held-out fold (``criterion="cv"`` only).
    criterion_path_ : ndarray of shape (n_alphas,)
        Values of the information criterion (the other choices only).
    coef_path_ : ndarray of shape (n_features, n_alphas)
        Coefficients on all the data along the path.
    intercept_path_ : ndarray of shape (n_alphas,)
        Their intercepts.
    dual_gaps_ : ndarray of shape (n_alphas,)
        Their duality gaps.
    coef_ : ndarray of shape (n_features,)
        Coefficients at the chosen point.
    intercept_ : float
        Intercept at the chosen point.
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Duality gap at the chosen point relative to ``||y||^2 / n_samples``.
    dual_gap_ : float
        Duality gap of the objective at the chosen point.
    objective_ : float
        Objective at the chosen point.
    history_ : ndarray
        Relative gap at each outer iteration of the chosen point.
    n_iter_ : int
        Number of outer iterations of the chosen point.
    n_epochs_ : int
        Number of coordinate descent sweeps of the chosen point.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    Lasso : One strength.
    ElasticNetCV : Adds a squared penalty.
    sklearn.linear_model.LassoCV : Plain coordinate descent.

    References
    ----------
    .. [1] H. Zou, T. Hastie, R. Tibshirani, "On the degrees of freedom of the
       lasso", Annals of Statistics 35, 2007.
    .. [2] J. Chen, Z. Chen, "Extended Bayesian information criteria for model
       selection with large model spaces", Biometrika 95, 2008.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import LassoCV
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> model = LassoCV(one_se=True).fit(X, y)
    >>> int((model.coef_ != 0).sum())
    12
    """

    _parameter_constraints = dict(_CONSTRAINTS)

    path = PathMethod(paths.lasso_path)

    def __init__(
        self,
        *,
        eps=1e-3,
        alphas=100,
        fit_intercept=True,
        positive=False,
        feature_weights=None,
        criterion="cv",
        one_se=False,
        relaxed=False,
        stop_explained=False,
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
        self.positive = positive
        self.feature_weights = feature_weights
        self.criterion = criterion
        self.one_se = one_se
        self.relaxed = relaxed
        self.stop_explained = stop_explained
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.n_jobs = n_jobs
        self.verbose = verbose

    _problem = ElasticNet._problem

    def _setting(self):
        return 1.0
