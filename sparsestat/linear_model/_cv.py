"""Choosing alpha on a path: cross-validation and information criteria.

The mixin knows nothing of a particular penalty: it asks for the path on some
rows, and for the errors of that path on others.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import issparse
from scipy.special import gammaln
from sklearn.model_selection import check_cv

from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.results import warn_if_unsatisfied
from sparsestat.linear_model import _paths as paths
from sparsestat.linear_model._coordinate_descent import (
    LinearPredictor,
    validate_fit_data,
)

__all__ = ["ElasticNetCV", "LassoCV", "information_criterion", "one_se_index"]

_RSS_FLOOR = 1e-14  # of ||y||^2: below this a residual is rounding


def information_criterion(criterion, rss, scale, df, n_effective, n_features):
    """Return AIC, BIC or EBIC of Gaussian models with unknown variance.

    ``n log(RSS / n) + c df`` with c = 2 (AIC) or log n (BIC); the extended BIC adds
    ``2 log binomial(n_features, df)``. RSS is floored at 1e-14 of `scale`.
    """
    rss = np.maximum(rss, _RSS_FLOOR * scale)
    value = n_effective * np.log(rss / n_effective)
    if criterion == "aic":
        return value + 2.0 * df
    value = value + np.log(n_effective) * df
    if criterion == "ebic":
        p = n_features
        value += 2.0 * (gammaln(p + 1) - gammaln(df + 1) - gammaln(p - df + 1))
    return value


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


def _fold_errors(X, y, sample_weight, train, test, l1_ratio, alphas, options):
    """Mean squared errors on the rows `test` of a path fitted on `train`."""
    intercept = options["fit_intercept"]
    weights = None if sample_weight is None else sample_weight[train]
    X_train = X[train]
    if not issparse(X):
        X_train = np.asfortranarray(X_train)
    design = paths.design_of(X_train, weights, intercept)
    target, y_mean = design.target(y[train])
    results = paths.solve_path(
        design, target, alphas, l1_ratio, **{**options["solver"], "verbose": 0}
    )
    used = np.unique(np.concatenate([r.columns for r in results]))
    coefs = paths.stack_coefs(results, design.n_features)[used]
    X_test = X[test][:, used]
    fitted = np.asarray(X_test @ coefs) + design.intercept(y_mean, used, coefs)
    squared = (y[test][:, None] - fitted) ** 2
    if sample_weight is None:
        return squared.mean(axis=0)
    held = sample_weight[test]
    return held @ squared / held.sum() if held.sum() > 0 else np.zeros(len(alphas))


class PathCVMixin:
    """Fit a path for each l1_ratio, choose a point on it, store what was found."""

    def _fit_cv(self, X, y, sample_weight, groups):
        X, y, sample_weight, weights = validate_fit_data(self, X, y, sample_weight)
        solver_options = {
            "feature_weights": weights,
            "positive": self.positive,
            "tol": self.tol,
            "max_iter": self.max_iter,
            "max_epochs": self.max_epochs,
        }
        options = {"fit_intercept": self.fit_intercept, "solver": solver_options}
        design = paths.design_of(X, sample_weight, self.fit_intercept)
        target, y_mean = design.target(y)
        ratios = self._l1_ratios()
        grids = [self._grid(design, target, ratio, weights) for ratio in ratios]

        if self.criterion == "cv":
            picks = self._cross_validate(
                X, y, sample_weight, groups, ratios, grids, options
            )
            best = min(range(len(ratios)), key=lambda k: picks[k][1])
            results = paths.solve_path(
                design,
                target,
                grids[best],
                ratios[best],
                verbose=self.verbose,
                **solver_options,
            )
        else:
            tasks = [
                (design, target, grid, ratio, solver_options, self.criterion)
                for ratio, grid in zip(ratios, grids, strict=True)
            ]
            found = run_parallel(_criterion_path, tasks, n_jobs=self.n_jobs)
            picks = [
                (int(np.argmin(values)), float(values.min())) for _, values in found
            ]
            best = min(range(len(ratios)), key=lambda k: picks[k][1])
            results = found[best][0]
            values = np.array([values for _, values in found])
            self.criterion_path_ = values if self._many_ratios() else values[0]
        self._keep(design, y_mean, results, picks[best][0], X.dtype)
        self.alphas_ = np.array(grids) if self._many_ratios() else grids[0]
        self.alpha_ = float(grids[best][picks[best][0]])
        self._best_ratio = ratios[best]
        warn_if_unsatisfied(
            paths.path_certificate(results, self.tol),
            f"{type(self).__name__}: the largest gap on the path",
            paths.GAP_REMEDY,
        )
        return self

    def _grid(self, design, target, ratio, weights):
        if isinstance(self.alphas, Integral):
            return paths.alpha_grid(
                design,
                target,
                l1_ratio=ratio,
                n_alphas=self.alphas,
                eps=self.eps,
                positive=self.positive,
                feature_weights=weights,
            )
        return np.sort(np.asarray(self.alphas, dtype=np.float64))[::-1]

    def _cross_validate(self, X, y, sample_weight, groups, ratios, grids, options):
        """Errors of every fold and ratio; return (index, error) for each ratio."""
        if issparse(X):
            X = X.tocsr()
        folds = list(check_cv(self.cv).split(X, y, groups))
        tasks = [
            (X, y, sample_weight, train, test, ratio, grid, options)
            for ratio, grid in zip(ratios, grids, strict=True)
            for train, test in folds
        ]
        errors = np.array(run_parallel(_fold_errors, tasks, n_jobs=self.n_jobs))
        errors = errors.reshape(len(ratios), len(folds), -1).transpose(0, 2, 1)
        self.mse_path_ = errors if self._many_ratios() else errors[0]
        fold_weights = None
        if sample_weight is not None:
            fold_weights = np.array([sample_weight[test].sum() for _, test in folds])
        picks = []
        for table in errors:
            mean = np.average(table, axis=1, weights=fold_weights)
            index = int(np.argmin(mean))
            smallest = float(mean[index])
            if self.one_se:
                index = one_se_index(table, fold_weights)
            picks.append((index, smallest))
        return picks

    def _keep(self, design, y_mean, results, index, dtype):
        chosen = results[index]
        coefs = paths.stack_coefs(results, design.n_features, dtype)
        self.coef_path_ = coefs
        gaps = np.array([result.objective - result.dual for result in results])
        self.dual_gaps_ = np.maximum(gaps, 0.0) / design.total
        self.coef_ = np.ascontiguousarray(coefs[:, index])
        self.intercept_ = dtype.type(
            design.intercept(y_mean, chosen.columns, chosen.coef)
        )
        self.dual_gap_ = float(self.dual_gaps_[index])
        self.objective_ = chosen.objective / design.total
        self.gap_history_ = np.array(chosen.gap_history)
        self.n_iter_ = chosen.n_iter
        self.certificate_ = paths.make_certificate(chosen, self.tol, design.total)


def _criterion_path(design, target, grid, ratio, solver_options, criterion):
    """Solve a path and return it with the criterion at each of its points."""
    results = paths.solve_path(design, target, grid, ratio, **solver_options)
    rss = np.empty(len(results))
    df = np.empty(len(results))
    for k, (result, alpha) in enumerate(zip(results, grid, strict=True)):
        residual = target - design.product(result.columns, result.coef)
        rss[k] = residual @ residual
        ridge = design.total * alpha * (1.0 - ratio)
        if solver_options["feature_weights"] is not None:
            ridge = ridge * solver_options["feature_weights"][result.columns]
        df[k] = _degrees_of_freedom(design, result.columns, ridge)
    scale = float(target @ target)
    values = information_criterion(
        criterion, rss, scale, df, design.total, design.n_features
    )
    return results, values


def _degrees_of_freedom(design, columns, ridge):
    """Trace of the map from y to the fit on a support: its size without ridge."""
    if len(columns) == 0 or not np.any(ridge):
        return float(len(columns))
    block = np.column_stack(
        [design.product(columns[k : k + 1], np.ones(1)) for k in range(len(columns))]
    )
    gram = block.T @ block
    shifted = gram + np.diag(np.broadcast_to(ridge, len(columns)))
    return float(np.trace(cho_solve(cho_factor(shifted), gram)))


_CV_CONSTRAINTS = {
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


class ElasticNetCV(PathCVMixin, LinearPredictor):
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
        **_CV_CONSTRAINTS,
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
        self.l1_ratio_ = self._best_ratio
        return self

    def _l1_ratios(self):
        ratios = np.atleast_1d(np.asarray(self.l1_ratio, dtype=np.float64))
        if ratios.size == 0 or ratios.min() < 0.0 or ratios.max() > 1.0:
            raise ValueError(f"`l1_ratio` must lie in [0, 1], got {self.l1_ratio}.")
        return [float(ratio) for ratio in ratios]

    def _many_ratios(self):
        return np.ndim(self.l1_ratio) > 0


class LassoCV(PathCVMixin, LinearPredictor):
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

    _parameter_constraints = dict(_CV_CONSTRAINTS)

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

    def _l1_ratios(self):
        return [1.0]

    def _many_ratios(self):
        return False
