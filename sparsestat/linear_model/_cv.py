"""Choosing alpha on a path: cross-validation and information criteria.

The mixin knows nothing of a particular penalty or loss: it asks a problem for the
path on some rows, and for the losses of that path on others.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.results import warn_if_unsatisfied
from sparsestat.linear_model import _paths as paths
from sparsestat.linear_model._coordinate_descent import (
    ElasticNet,
    LinearPredictor,
    validate_fit_data,
)

__all__ = ["ElasticNetCV", "LassoCV", "PathCVMixin", "one_se_index"]


def one_se_index(errors, fold_weights=None):
    """Index of the largest alpha within one standard error of the best.

    Parameters
    ----------
    errors : ndarray of shape (n_alphas, n_folds)
        Rows in order of decreasing alpha.
    fold_weights : ndarray of shape (n_folds,), default=None
        Weights of the mean over folds.
    """
    mean = np.average(errors, axis=1, weights=fold_weights)
    best = int(np.argmin(mean))
    n_folds = errors.shape[1]
    spread = errors[best].std(ddof=1) / np.sqrt(n_folds) if n_folds > 1 else 0.0
    return int(np.flatnonzero(mean <= mean[best] + spread)[0])


def _fold_losses(estimator, X, y, sample_weight, train, test, setting, alphas):
    """Held-out losses on the rows `test` of a path fitted on `train`."""
    weights = None if sample_weight is None else sample_weight[train]
    held = None if sample_weight is None else sample_weight[test]
    X_train = X[train] if issparse(X) else np.asfortranarray(X[train])
    problem = estimator._problem(X_train, y[train], weights)
    results = problem.solve(alphas, setting)
    return problem.losses(results, X[test], y[test], held)


def _criterion_path(problem, setting, alphas, criterion):
    """Solve a path and return it with the criterion at each of its points."""
    results = problem.solve(alphas, setting)
    return results, problem.criteria(criterion, results, alphas, setting)


class PathCVMixin:
    """Fit a path for each setting, choose a point on it, store what was found.

    A class that mixes this in has the parameters `alphas`, `eps`, `cv`, `one_se`,
    `n_jobs`, `verbose` and, if it offers information criteria, `criterion`; and

    - ``_problem(X, y, sample_weight)``: the PathProblem of validated rows;
    - ``_validated(X, y, sample_weight)``: what `fit` was given, checked (targets of
      classifiers encoded);
    - ``_settings()``: what is tried beside alpha; ``[None]`` means nothing;
    - ``_losses_name``: the fitted attribute of the held-out losses.

    The folds of classifiers are stratified. Results do not depend on `n_jobs`.
    """

    _losses_name = "mse_path_"

    def _validated(self, X, y, sample_weight):
        return validate_fit_data(self, X, y, sample_weight)

    def _settings(self):
        return [None]

    def _many_settings(self):
        return False

    def _fit_cv(self, X, y, sample_weight, groups=None):
        X, y, sample_weight = self._validated(X, y, sample_weight)
        problem = self._problem(X, y, sample_weight)
        settings = self._settings()
        grids = [problem.grid(self.alphas, self.eps, s) for s in settings]
        criterion = getattr(self, "criterion", "cv")
        if criterion == "cv":
            picks = self._cross_validate(X, y, sample_weight, groups, settings, grids)
            best = min(range(len(settings)), key=lambda k: picks[k][1])
            results = problem.solve(grids[best], settings[best], verbose=self.verbose)
        else:
            tasks = [
                (problem, setting, grid, criterion)
                for setting, grid in zip(settings, grids, strict=True)
            ]
            found = run_parallel(_criterion_path, tasks, n_jobs=self.n_jobs)
            picks = [
                (int(np.argmin(values)), float(values.min())) for _, values in found
            ]
            best = min(range(len(settings)), key=lambda k: picks[k][1])
            results = found[best][0]
            values = np.array([values for _, values in found])
            self.criterion_path_ = values if self._many_settings() else values[0]
        index = picks[best][0]
        problem.keep(self, results, index)
        self.alphas_ = np.array(grids) if self._many_settings() else grids[0]
        self.alpha_ = float(grids[best][index])
        self._best_setting = settings[best]
        worst = problem.certificate(max(results, key=lambda result: result.gap))
        what = "gap" if worst.kind == "duality_gap" else "violation"
        warn_if_unsatisfied(
            worst,
            f"{type(self).__name__}: the largest {what} on the path",
            problem.remedy,
        )
        return self

    def _cross_validate(self, X, y, sample_weight, groups, settings, grids):
        """Losses of every fold and setting; return (index, loss) for each setting."""
        if issparse(X):
            X = X.tocsr()
        splitter = check_cv(self.cv, y, classifier=is_classifier(self))
        folds = list(splitter.split(X, y, groups))
        tasks = [
            (self, X, y, sample_weight, train, test, setting, grid)
            for setting, grid in zip(settings, grids, strict=True)
            for train, test in folds
        ]
        losses = np.array(run_parallel(_fold_losses, tasks, n_jobs=self.n_jobs))
        losses = losses.reshape(len(settings), len(folds), -1).transpose(0, 2, 1)
        setattr(self, self._losses_name, losses if self._many_settings() else losses[0])
        fold_weights = None
        if sample_weight is not None:
            fold_weights = np.array([sample_weight[test].sum() for _, test in folds])
        picks = []
        for table in losses:
            mean = np.average(table, axis=1, weights=fold_weights)
            index = int(np.argmin(mean))
            smallest = float(mean[index])
            if self.one_se:
                index = one_se_index(table, fold_weights)
            picks.append((index, smallest))
        return picks


CV_CONSTRAINTS = {
    "eps": [Interval(Real, 0, 1, closed="neither")],
    "alphas": [Interval(Integral, 1, None, closed="left"), "array-like"],
    "fit_intercept": ["boolean"],
    "positive": ["boolean"],
    "feature_weights": ["array-like", None],
    "criterion": [StrOptions({"cv", "aic", "bic", "ebic"})],
    "one_se": ["boolean"],
    "cv": ["cv_object"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "n_jobs": [Integral, None],
    "verbose": ["verbose"],
}


class _ElasticNetCVBase(PathCVMixin, LinearPredictor):
    """The problem of the elastic net for its cross-validated classes."""

    _problem = ElasticNet._problem
    _options = ElasticNet._options


class ElasticNetCV(_ElasticNetCVBase):
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
    gap_history_ : ndarray
        Relative gap at each outer iteration of the chosen point.
    n_iter_ : int
        Number of outer iterations of the chosen point.
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
        **CV_CONSTRAINTS,
    }

    path = staticmethod(paths.enet_path)

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
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Fit the paths and choose a point.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, of the training and of the held-out errors.
        groups : array-like of shape (n_samples,), default=None
            Group labels handed to the splitter.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        self._fit_cv(X, y, sample_weight, groups)
        self.l1_ratio_ = self._best_setting
        return self

    def _settings(self):
        ratios = np.atleast_1d(np.asarray(self.l1_ratio, dtype=np.float64))
        if ratios.size == 0 or ratios.min() < 0.0 or ratios.max() > 1.0:
            raise ValueError(f"`l1_ratio` must lie in [0, 1], got {self.l1_ratio}.")
        return [float(ratio) for ratio in ratios]

    def _many_settings(self):
        return np.ndim(self.l1_ratio) > 0


class LassoCV(_ElasticNetCVBase):
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
    alphas_ : ndarray of shape (n_alphas,)
        The strengths tried, in decreasing order.
    mse_path_ : ndarray of shape (n_alphas, n_folds)
        Squared error of each held-out fold (``criterion="cv"`` only).
    criterion_path_ : ndarray of shape (n_alphas,)
        Values of the information criterion (the other choices only).
    coef_path_ : ndarray of shape (n_features, n_alphas)
        Coefficients on all the data along the path.
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
    gap_history_ : ndarray
        Relative gap at each outer iteration of the chosen point.
    n_iter_ : int
        Number of outer iterations of the chosen point.
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

    _parameter_constraints = dict(CV_CONSTRAINTS)

    path = staticmethod(paths.lasso_path)

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
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Fit the path and choose a point.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples,)
            Target.
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

    def _settings(self):
        return [1.0]

    def _many_settings(self):
        return False
