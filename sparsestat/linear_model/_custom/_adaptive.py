"""The adaptive Lasso: penalties in inverse proportion to a first estimate."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.linear_model import RidgeCV

from sparsestat._utils.arithmetic import moderate
from sparsestat._utils.compat import HasMethods, Interval, StrOptions
from sparsestat._utils.validation import as_compressed
from sparsestat.linear_model._coordinate_descent_cv import LassoCV
from sparsestat.linear_model._cv import CRITERION, CV_CONSTRAINTS, PathCVMixin
from sparsestat.linear_model._fit import solver_options
from sparsestat.linear_model._penalized._design import make_design
from sparsestat.linear_model._penalized._elastic_net import ElasticNetProblem
from sparsestat.linear_model._penalized._path_result import PathMethod
from sparsestat.linear_model._penalized._problems import PathProblem
from sparsestat.linear_model._predictors import LinearPredictor

__all__ = ["AdaptiveLassoCV"]

_RIDGES = np.geomspace(1e-4, 1e2, 13)  # of standardized features, for each row
_SMALLEST = 1e-6  # a first estimate below this share of the largest is zero


class _AdaptiveProblem(ElasticNetProblem):
    """A Lasso whose weights were learned from the same rows."""

    fold_losses = PathProblem.fold_losses  # every fold has weights of its own

    def attributes(self, result):
        """Return what an estimator shows of one solution, and the weights."""
        weights = {"feature_weights_": self.feature_weights}
        return super().attributes(result) | weights


class AdaptiveLassoCV(PathCVMixin, LinearPredictor):
    r"""Adaptive Lasso with alpha chosen from the data.

    Minimizes

    .. math:: \frac{1}{2 n}\|y - b - X w\|^2 + \alpha \sum_j \omega_j |w_j|,
        \qquad \omega_j = s_j |s_j \hat w_j|^{-\gamma}

    with weights omega from a first estimate of the coefficients and the standard
    deviations s of the features, both relative to their medians: features that look
    strong are shrunk less, whatever their units. The weights are computed anew from the
    training rows of every fold; weights from all rows would tell the folds about their
    test rows and choose far too little penalty. Where every first estimate is zero the
    mean is fitted. Use it for unbiased large coefficients from a convex problem with a
    duality gap; where few rows or strong correlation make the first estimate poor,
    :class:`LassoCV` or :class:`MCPRegressorCV` are safer. In the spirit of [1]_, whose
    first estimate is least squares. Read more in the
    :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    initial : {"ridge", "lasso"} or estimator, default="ridge"
        What the weights are taken from: a ridge regression of standardized features
        with its strength chosen by generalized cross-validation, :class:`LassoCV`, or
        any regressor with `coef_`.
    gamma : float, default=1.0
        Power of the weights.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on an automatic grid, or the strengths.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    positive : bool, default=False
        Constrain the coefficients to be non-negative.
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
    feature_weights_ : ndarray of shape (n_features,)
        The weights from all the data, infinite for features that are dropped.
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
    LassoCV : The same weight for all features.
    MCPRegressorCV : A concave penalty, without a first estimate.

    References
    ----------
    .. [1] H. Zou, "The adaptive lasso and its oracle properties", JASA 101, 2006.

    Examples
    --------
    >>> from sparsestat.datasets import make_sparse_regression
    >>> from sparsestat.linear_model import AdaptiveLassoCV
    >>> data = make_sparse_regression(100, 50, n_nonzero=5, snr=10, random_state=0)
    >>> model = AdaptiveLassoCV(one_se=True).fit(data.X, data.y)
    >>> bool((model.coef_ != 0).sum() <= 5)
    True
    """

    _parameter_constraints = {
        **CV_CONSTRAINTS,
        "initial": [StrOptions({"ridge", "lasso"}), HasMethods(["fit"])],
        "gamma": [Interval(Real, 0, None, closed="neither")],
        "positive": ["boolean"],
        **CRITERION,
        "relaxed": ["boolean", "array-like"],
    }

    path = PathMethod()

    def __init__(
        self,
        *,
        initial="ridge",
        gamma=1.0,
        eps=1e-3,
        alphas=100,
        fit_intercept=True,
        positive=False,
        criterion="cv",
        one_se=False,
        relaxed=False,
        cv=None,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        n_jobs=None,
        verbose=0,
    ):
        self.initial = initial
        self.gamma = gamma
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.criterion = criterion
        self.one_se = one_se
        self.relaxed = relaxed
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _setting(self):
        return 1.0

    def _problem(self, X, y, sample_weight):
        return _AdaptiveProblem(
            X,
            y,
            sample_weight,
            positive=self.positive,
            feature_weights=self._weights(X, y, sample_weight),
            **solver_options(self),
        )

    def _weights(self, X, y, sample_weight):
        """Return penalty multipliers from a first estimate on these rows."""
        if issparse(X):
            X = as_compressed(X, "csc")
        design = make_design(X, sample_weight, fit_intercept=self.fit_intercept)
        # In the units of the fit: what a standard deviation of the feature does.
        scales = np.sqrt(design.squares / design.total) * design.unit
        first = np.abs(self._first_estimate(design, X, y, sample_weight, scales))
        size = first * scales
        seen = size > _SMALLEST * size.max(initial=0.0)
        weights = np.full(len(first), np.inf)
        if not seen.any():
            return weights
        typical = np.median(size[seen])
        # So that gamma does not change with the units of a feature, the weight of its
        # standardized coefficient is shared between that and its own scale.
        with np.errstate(over="ignore"):  # what is infinite is left out
            weights[seen] = (size[seen] / typical) ** -self.gamma * scales[seen]
        return weights / np.median(scales[seen])

    def _first_estimate(self, design, X, y, sample_weight, scales):
        if isinstance(self.initial, str) and self.initial == "ridge":
            scales = np.where(scales > 0, scales, 1.0)
            y, _ = moderate(y, "y")
            ridge = RidgeCV(alphas=_RIDGES * design.total)
            if design.prefers_gram or not issparse(X):
                # Centered and weighted already, whatever the offsets of the columns.
                columns = np.arange(design.n_features)
                block = np.empty((design.n_samples, len(columns)), order="F")
                design.gather(columns, block, 0)
                block *= design.unit / scales
                ridge.set_params(fit_intercept=False)
                return ridge.fit(block, design.target(y)[0]).coef_ / scales
            ridge.set_params(fit_intercept=self.fit_intercept)
            scaled = X.multiply(1.0 / scales[None, :]).tocsr()
            return ridge.fit(scaled, y, sample_weight).coef_ / scales
        model = LassoCV(cv=self.cv) if self.initial == "lasso" else clone(self.initial)
        fitted = model.fit(X, y, sample_weight=sample_weight)
        if not hasattr(fitted, "coef_"):
            raise ValueError(
                f"`initial` must be a linear model, but {type(fitted).__name__} has no "
                "`coef_` after `fit`."
            )
        return np.ravel(fitted.coef_)
