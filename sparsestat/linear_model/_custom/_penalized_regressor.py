"""The extension point: any loss with any penalty, named ones or the user's own."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.metrics import r2_score

from sparsestat._utils.compat import HasMethods, StrOptions
from sparsestat.linear_model._cv import STOP_EXPLAINED
from sparsestat.linear_model._fit import solver_options
from sparsestat.linear_model._glm import (
    CV_CONSTRAINTS,
    FIT_CONSTRAINTS,
    GLMCVMixin,
    GLMFitMixin,
    OffsetMixin,
)
from sparsestat.linear_model._penalized._concave_path import ConcaveProblem
from sparsestat.linear_model._penalized._elastic_net import ElasticNetProblem
from sparsestat.linear_model._penalized._given_problem import GivenProblem
from sparsestat.linear_model._predictors import LinearPredictor

__all__ = ["PenalizedRegressor", "PenalizedRegressorCV"]

_OBJECTS = {
    "datafit": [StrOptions({"squared"}), HasMethods(["losses", "slopes"])],
    "penalty": [*FIT_CONSTRAINTS["penalty"], HasMethods(["value", "prox"])],
}


class _PenalizedPredictor(OffsetMixin, LinearPredictor):
    """The problem of both estimators."""

    def _problem(self, X, y, sample_weight, **rows):
        options = {**solver_options(self), **rows}
        if not isinstance(self.penalty, str):
            self._refuse_parameters()
            return GivenProblem(
                X, y, sample_weight, datafit=self.datafit, given=self.penalty, **options
            )
        spec = self._spec(X.shape[1])
        is_squared = isinstance(self.datafit, str)
        if is_squared and spec.shape is not None and not rows and self._is_pure():
            return ConcaveProblem(
                spec.kind,
                X,
                y,
                sample_weight,
                shape=spec.shape,
                positive=spec.positive,
                feature_weights=spec.feature_weights,
                **options,
            )
        if is_squared and spec.kind == "elasticnet" and not rows:
            return ElasticNetProblem(
                X,
                y,
                sample_weight,
                positive=spec.positive,
                feature_weights=spec.feature_weights,
                **options,
            )
        return GivenProblem(
            X, y, sample_weight, datafit=self.datafit, penalty=spec, **options
        )

    def _is_pure(self):
        """Whether no share of the penalty is a ridge."""
        return self.l1_ratio is None or np.array_equal(self.l1_ratio, 1.0)

    def _refuse_parameters(self):
        """Refuse parameters that only named penalties have."""
        given = {
            "l1_ratio": self.l1_ratio is not None,
            "gamma": self.gamma is not None,
            "groups": self.groups is not None,
            "feature_weights": self.feature_weights is not None,
            "positive": self.positive,
        }
        for name, is_given in given.items():
            if is_given:
                raise ValueError(
                    f"`{name}` is a parameter of the named penalties and does not go "
                    f"with an object, {type(self.penalty).__name__}. Let the object "
                    "have it."
                )

    def _default_setting(self):
        if not isinstance(self.penalty, str):
            return 1.0
        return super()._default_setting()

    def predict(self, X, offset=None):
        """Predict with the linear model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            ``X @ coef_ + intercept_ + offset``, through ``datafit.inverse_link`` if
            there is one.
        """
        eta = self._shifted(self._scores(X), offset)
        link = getattr(self.datafit, "inverse_link", None)
        return eta if link is None else link(eta)

    def score(self, X, y, sample_weight=None, offset=None):
        """Return the share of the variance explained, R squared.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`.

        Returns
        -------
        score : float
            1 is perfect.
        """
        return r2_score(y, self.predict(X, offset), sample_weight=sample_weight)


class PenalizedRegressor(GLMFitMixin, _PenalizedPredictor):
    r"""Any loss with any penalty, named ones or your own.

    Minimizes

    .. math:: \frac{1}{n} \sum_i \ell(y_i, b + x_i'w) + \alpha\, p(w)

    over coefficients w (`coef_`) and intercept b (`intercept_`), for a loss that is
    convex in the linear predictor and a penalty p. With sample weights the loss is
    their weighted mean. The squared loss is half the squared error, with which
    :class:`Lasso`, :class:`ElasticNet`, :class:`MCPRegressor`, :class:`SCADRegressor`,
    :class:`GroupLasso` and :class:`Slope` are the named cases; use those where they
    fit, and this class for penalties and losses of your own, or for combinations that
    they do not offer, such as signs with the MCP. Read more in the
    :ref:`User Guide <penalty_matrix>`.

    Parameters
    ----------
    datafit : "squared" or object, default="squared"
        The loss, see the notes for what an object offers. Likelihoods have estimators
        of their own, such as :class:`SparsePoissonRegressor`.
    penalty : {"elasticnet", "mcp", "scad", "group"} or object, default="elasticnet"
        The penalty, see the notes for what an object offers; the named ones take the
        parameters below. "l1" is an alias of "elasticnet".
    alpha : float, default=1.0
        Penalty strength; the loss is a (weighted) mean over samples.
    l1_ratio : float, default=None
        Share of the penalty that selects, the rest is a ridge; for groups the share of
        absolute values inside them (sparse groups). None is 1, for groups 0.
    gamma : float, default=None
        Shape of the MCP, above 1, or of SCAD, above 2: the larger, the further out the
        penalty becomes constant. None is 3.0 and 3.7.
    groups : int, array-like or list of array-like, default=None
        For ``penalty="group"``: the size of consecutive groups, one integer label for
        each feature, or lists of indices that partition the features.
    group_weights : "sqrt", array-like of shape (n_groups,) or None, default="sqrt"
        Multipliers of the norms of groups: the roots of their sizes, those given, or
        ones. 0 leaves a group without its norm, infinity drops it.
    feature_weights : array-like of shape (n_features,), default=None
        Multipliers of alpha: 0 leaves a feature unpenalized, infinity drops it.
    positive : bool, default=False
        Allow no negative coefficient.
    fit_intercept : bool, default=True
        Fit an unpenalized intercept. X is centered implicitly, so sparse X stays
        sparse.
    tol : float, default=1e-4
        Stop when the certificate is at most `tol`.
    max_iter : int, default=100
        Largest number of outer iterations (passes over all features).
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps over the working sets.
    warm_start : bool, default=False
        Start from the previous `coef_`.
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
        Duality gap relative to what there is to explain; with an object or a concave
        penalty the largest violation of stationarity relative to the gradient at zero.
    dual_gap_ : float
        Duality gap of the objective, where there is one.
    objective_ : float
        The objective at the solution.
    history_ : ndarray of shape (n_iter_,)
        What the certificate measures, at each outer iteration.
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
    PenalizedRegressorCV : Chooses alpha from the data.
    SparseHuberRegressor, SparsePoissonRegressor : Named losses.

    Notes
    -----
    A loss is an object with

    - ``losses(y, eta)``: the loss of each sample at the linear predictors eta;
    - ``slopes(y, eta)``: their derivatives in eta, which must not fall;
    - ``curvature``, optional: an upper bound of the second derivatives;
    - ``inverse_link(eta)``, optional: what `predict` returns for eta.

    A penalty is an object with

    - ``value(w)``: the penalty of coefficients w at the strength one;
    - ``prox(z, strength)``: the minimizer of ``||w - z||^2 / 2 + strength * value(w)``,
      a new array.

    Both are called with arrays and may be plain numpy or compiled with numba. They are
    copied with the estimator and travel to workers, so that they must be picklable:
    keep their settings in `__init__`. Named penalties have the solvers of
    :class:`Lasso` and its kin; for a penalty object accelerated proximal gradients take
    over, which are slower, and certified by the length of a proximal step.

    References
    ----------
    .. [1] Q. Bertrand, Q. Klopfenstein, P.-A. Bannier, G. Gidel, M. Massias, "Beyond
       L1: faster and better sparse models with skglm", NeurIPS, 2022.
    .. [2] A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for
       linear inverse problems", SIAM J. Imaging Sciences 2, 2009.

    Examples
    --------
    A penalty on the largest absolute value, by its proximal operator (the rest after a
    projection on the ball of the absolute penalty):

    >>> import numpy as np
    >>> from sparsestat.linear_model import PenalizedRegressor
    >>> class LargestValue:
    ...     def value(self, w):
    ...         return np.abs(w).max(initial=0.0)
    ...
    ...     def prox(self, z, strength):
    ...         sizes = np.sort(np.abs(z))[::-1]
    ...         excess = np.cumsum(sizes) - strength
    ...         if excess[-1] <= 0:
    ...             return np.zeros_like(z)
    ...         levels = excess / np.arange(1, len(z) + 1)
    ...         return np.clip(z, -levels.max(), levels.max())
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 5))
    >>> y = X @ np.ones(5) + 0.1 * rng.standard_normal(100)
    >>> model = PenalizedRegressor(penalty=LargestValue(), alpha=0.5).fit(X, y)
    >>> model.coef_.round(2)
    array([0.9, 0.9, 0.9, 0.9, 0.9])
    >>> model.certificate_.satisfied
    True
    """

    _parameter_constraints = {**FIT_CONSTRAINTS, **_OBJECTS}

    def __init__(
        self,
        datafit="squared",
        penalty="elasticnet",
        *,
        alpha=1.0,
        l1_ratio=None,
        gamma=None,
        groups=None,
        group_weights="sqrt",
        feature_weights=None,
        positive=False,
        fit_intercept=True,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        warm_start=False,
        verbose=0,
    ):
        self.datafit = datafit
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.gamma = gamma
        self.groups = groups
        self.group_weights = group_weights
        self.feature_weights = feature_weights
        self.positive = positive
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.warm_start = warm_start
        self.verbose = verbose


class PenalizedRegressorCV(GLMCVMixin, _PenalizedPredictor):
    r"""Any loss with any penalty, alpha chosen by cross-validation.

    Fits the path of :class:`PenalizedRegressor` and chooses the point with the least
    mean loss on held-out folds. Read more in the :ref:`User Guide <penalty_matrix>`.

    Parameters
    ----------
    datafit : "squared" or object, default="squared"
        The loss, see the notes for what an object offers. Likelihoods have estimators
        of their own, such as :class:`SparsePoissonRegressor`.
    penalty : {"elasticnet", "mcp", "scad", "group"} or object, default="elasticnet"
        The penalty, see the notes for what an object offers; the named ones take the
        parameters below. "l1" is an alias of "elasticnet".
    l1_ratio : float or array-like of float, default=None
        Shares of the penalty that select, to be tried, the rest is a ridge; for groups
        shares of absolute values inside them (sparse groups). None is 1, for groups 0.
    gamma : float, default=None
        Shape of the MCP, above 1, or of SCAD, above 2: the larger, the further out the
        penalty becomes constant. None is 3.0 and 3.7.
    groups : int, array-like or list of array-like, default=None
        For ``penalty="group"``: the size of consecutive groups, one integer label for
        each feature, or lists of indices that partition the features.
    group_weights : "sqrt", array-like of shape (n_groups,) or None, default="sqrt"
        Multipliers of the norms of groups: the roots of their sizes, those given, or
        ones. 0 leaves a group without its norm, infinity drops it.
    feature_weights : array-like of shape (n_features,), default=None
        Multipliers of alpha: 0 leaves a feature unpenalized, infinity drops it.
    positive : bool, default=False
        Allow no negative coefficient.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on an automatic grid, or the strengths.
    fit_intercept : bool, default=True
        Fit an unpenalized intercept. X is centered implicitly, so sparse X stays
        sparse.
    criterion : {"cv", "aic", "bic", "ebic"}, default="cv"
        How to choose: by held-out losses, or by the deviance plus 2 (AIC) or log n
        (BIC) for each degree of freedom; the extended BIC adds twice the logarithm of
        the number of models of that size. Where the likelihood has a free scale, n
        times the logarithm of the deviance stands for it.
    one_se : bool, default=False
        Take the largest alpha whose loss is within one standard error of the least:
        a sparser, more stable model.
    stop_explained : bool, default=False
        End the automatic grid where more than .999 of the loss of the null model is
        explained, or a step gains less than 1e-5 of that, though not before five
        strengths: decided on all data, before the folds. The least value of a loss
        object is taken as zero. With concave penalties and with penalty objects
        coefficients may rest for steps and gain later: there a step without gain ends
        the grid only where no later one gains more.
    cv : int, cross-validation generator or iterable, default=None
        Splitting; None means 5 folds.
    tol : float, default=1e-4
        Every problem stops when its certificate is at most `tol`.
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
        Where the mean loss is least, and the largest within one standard error of it
        (``criterion="cv"`` only).
    cv_mean_, cv_standard_error_ : ndarray of the shape of `alphas_`
        Means of the losses over folds, and their standard errors.
    criterion_path_ : ndarray of shape (n_alphas,) or (n_l1_ratio, n_alphas)
        Values of the information criterion (the other choices only).
    l1_ratio_ : float
        The chosen share.
    alphas_ : ndarray of shape (n_alphas,) or (n_l1_ratio, n_alphas)
        The strengths tried, in decreasing order.
    loss_path_ : ndarray of shape ([n_l1_ratio,] n_alphas, n_folds)
        Mean loss of each held-out fold: squared error, or that of the object.
    coef_path_ : ndarray of shape (n_features, n_alphas)
        Coefficients on all the data along the path of the chosen share.
    intercept_path_ : ndarray of shape (n_alphas,)
        Their intercepts.
    dual_gaps_, kkt_residuals_ : ndarray of shape (n_alphas,)
        Their duality gaps, or violations.
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept, 0.0 without one.
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Duality gap relative to what there is to explain; with an object or a concave
        penalty the largest violation of stationarity relative to the gradient at zero.
    dual_gap_ : float
        Duality gap of the objective, where there is one.
    objective_ : float
        The objective at the solution.
    history_ : ndarray of shape (n_iter_,)
        What the certificate measures, at each outer iteration.
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
    PenalizedRegressor : One strength.
    LassoCV : Squared error and absolute penalty.

    Notes
    -----
    A loss is an object with

    - ``losses(y, eta)``: the loss of each sample at the linear predictors eta;
    - ``slopes(y, eta)``: their derivatives in eta, which must not fall;
    - ``curvature``, optional: an upper bound of the second derivatives;
    - ``inverse_link(eta)``, optional: what `predict` returns for eta.

    A penalty is an object with

    - ``value(w)``: the penalty of coefficients w at the strength one;
    - ``prox(z, strength)``: the minimizer of ``||w - z||^2 / 2 + strength * value(w)``,
      a new array.

    Both are called with arrays and may be plain numpy or compiled with numba. They are
    copied with the estimator and travel to workers, so that they must be picklable:
    keep their settings in `__init__`. Named penalties have the solvers of
    :class:`Lasso` and its kin; for a penalty object accelerated proximal gradients take
    over, which are slower, and certified by the length of a proximal step.

    References
    ----------
    .. [1] Q. Bertrand, Q. Klopfenstein, P.-A. Bannier, G. Gidel, M. Massias, "Beyond
       L1: faster and better sparse models with skglm", NeurIPS, 2022.
    .. [2] A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for
       linear inverse problems", SIAM J. Imaging Sciences 2, 2009.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import PenalizedRegressorCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 20))
    >>> y = X[:, 0] + 2 * X[:, 1] + 0.5 * rng.standard_normal(100)
    >>> model = PenalizedRegressorCV(penalty="mcp", positive=True, alphas=20)
    >>> np.flatnonzero(model.fit(X, y).coef_ > 0.5)
    array([0, 1])
    """

    _parameter_constraints = {**CV_CONSTRAINTS, **_OBJECTS, **STOP_EXPLAINED}

    def __init__(
        self,
        datafit="squared",
        penalty="elasticnet",
        *,
        l1_ratio=None,
        gamma=None,
        groups=None,
        group_weights="sqrt",
        feature_weights=None,
        positive=False,
        eps=1e-3,
        alphas=100,
        fit_intercept=True,
        criterion="cv",
        one_se=False,
        stop_explained=False,
        cv=None,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        n_jobs=None,
        verbose=0,
    ):
        self.datafit = datafit
        self.penalty = penalty
        self.l1_ratio = l1_ratio
        self.gamma = gamma
        self.groups = groups
        self.group_weights = group_weights
        self.feature_weights = feature_weights
        self.positive = positive
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.criterion = criterion
        self.one_se = one_se
        self.stop_explained = stop_explained
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.n_jobs = n_jobs
        self.verbose = verbose
