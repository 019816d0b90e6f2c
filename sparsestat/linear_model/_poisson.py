"""Sparse Poisson regression: counts with the logarithmic link."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.metrics import d2_tweedie_score
from sklearn.utils.validation import check_is_fitted

from sparsestat.linear_model._blocks._likelihood import BlockLikelihoodMixin
from sparsestat.linear_model._cv import STOP_EXPLAINED
from sparsestat.linear_model._fit import solver_options
from sparsestat.linear_model._glm import (
    CV_CONSTRAINTS,
    FIT_CONSTRAINTS,
    GLMCVMixin,
    GLMFitMixin,
    OffsetMixin,
)
from sparsestat.linear_model._penalized._datafits import Poisson
from sparsestat.linear_model._penalized._likelihood_problems import PoissonProblem
from sparsestat.linear_model._predictors import LinearPredictor, validate_fit_data

__all__ = [
    "LogLinkPredictor",
    "PoissonPredictor",
    "SparsePoissonRegressor",
    "SparsePoissonRegressorCV",
]


class LogLinkPredictor(OffsetMixin, LinearPredictor):
    """Means with the logarithmic link, and the share of the deviance they explain.

    Classes have ``_power``, that of the variance as a power of the mean, and
    ``_problem_class`` with ``_problem_options()``.
    """

    def _problem_options(self):
        return {}

    def _problem(self, X, y, sample_weight, **rows):
        return self._problem_class(
            X,
            y,
            sample_weight,
            **rows,
            penalty=self._spec(X.shape[1]),
            **self._problem_options(),
            **solver_options(self),
        )

    def _validated(self, X, y, sample_weight):
        X, y, sample_weight = validate_fit_data(self, X, y, sample_weight)
        lowest = y.min()
        if lowest < 0.0 or (lowest == 0.0 and self._power >= 2):
            at = int(np.argmin(y))
            what = "negative" if self._power < 2 else "negative or zero"
            raise ValueError(
                f"{self._target_name} in y must not be {what}, got {y[at]:g} at "
                f"position {at}. Use SparseHuberRegressor or Lasso for targets of any "
                "sign."
            )
        return X, y, sample_weight

    def predict(self, X, offset=None):
        """Predict the means.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            ``exp(X @ coef_ + intercept_ + offset)``.
        """
        # Beyond this the exponential overflows.
        return np.exp(np.minimum(self._shifted(self._scores(X), offset), 700.0))

    def score(self, X, y, sample_weight=None, offset=None):
        """Return the share of the deviance explained, D squared.

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
            1 is perfect, 0 as good as the mean.
        """
        check_is_fitted(self)
        mean = np.maximum(self.predict(X, offset), np.finfo(np.float64).tiny)
        return float(
            d2_tweedie_score(y, mean, sample_weight=sample_weight, power=self._power)
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags


class PoissonPredictor(LogLinkPredictor):
    """Means of counts."""

    _power, _target_name = 1, "Counts"
    _problem_class = PoissonProblem


class SparsePoissonRegressor(BlockLikelihoodMixin, GLMFitMixin, PoissonPredictor):
    r"""Sparse Poisson regression with the logarithmic link.

    Minimizes

    .. math:: \frac{1}{n} \sum_i \big(e^{\eta_i} - y_i \eta_i\big) +
        \alpha \sum_j \Big(\rho |w_j| + \frac{1-\rho}{2} w_j^2\Big),
        \qquad \eta_i = b + x_i'w

    over coefficients w (`coef_`) and intercept b (`intercept_`), where rho is
    `l1_ratio`. With sample weights the loss is their weighted mean. Use it to
    select features that explain counts or rates (with ``log(exposure)`` as `offset` in
    :meth:`fit`); do not use it where the variance is far from the
    mean and standard errors matter. :class:`sklearn.linear_model.PoissonRegressor`
    has only the ridge. Read more in the :ref:`User Guide <glm>`.

    Parameters
    ----------
    alpha : float, default=1.0
        Penalty strength; the loss is a (weighted) mean over samples. Zero warns and
        looks for the maximum of the likelihood.
    penalty : {"elasticnet", "mcp", "scad", "group"}, default="elasticnet"
        "elasticnet" ("l1" is an alias) has absolute values and a ridge. "mcp" and
        "scad" leave large coefficients unshrunk (not convex: a stationary point is
        found, from zero or along the path). "group" selects whole `groups`.
    l1_ratio : float, default=None
        Share of the penalty that selects, the rest is a ridge; for groups the share of
        absolute values inside them (sparse groups). None is 1, for groups 0.
    gamma : float, default=None
        Shape of the MCP, above 1, or of SCAD, above 2: the larger, the further out the
        penalty becomes constant. None is 3.0 and 3.7.
    groups : int, str, array-like or list of array-like, default=None
        For ``penalty="group"``: the size of consecutive groups, a label for each
        feature, lists of features (they may overlap), or "prefix" for one-hot columns,
        as in :class:`GroupLasso`.
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
        Stop when the duality gap is at most `tol` times the difference between the
        loss of the intercept alone and the least possible loss.
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
        Duality gap relative to what there is to explain (``kkt`` when alpha is 0).
    dual_gap_ : float
        Duality gap of the objective.
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
    SparsePoissonRegressorCV : Chooses alpha from the data.
    sklearn.linear_model.PoissonRegressor : Ridge penalty.

    Notes
    -----
    One pass over X costs O(n_samples * n_features) or O(nnz); a second-order model on
    a working set of a features O(n_samples * a^2 + a^3) (dense) or a few sweeps over
    its entries (sparse). Memory beside X: O(n_samples * a + a^2) with a at most 3000
    for dense X, O(nnz) for sparse X. float32 input is read as it is and gives float32
    coefficients; all sums are float64. The result is deterministic.

    References
    ----------
    .. [1] J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for generalized
       linear models via coordinate descent", J. Statistical Software 33, 2010.
    .. [2] J. Lee, Y. Sun, M. Saunders, "Proximal Newton-type methods for minimizing
       composite functions", SIAM J. Optim. 24, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import SparsePoissonRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 30))
    >>> y = rng.poisson(np.exp(0.5 + X[:, 0] - X[:, 1]))
    >>> model = SparsePoissonRegressor(alpha=0.8).fit(X, y)
    >>> np.flatnonzero(model.coef_)
    array([0, 1])
    >>> model.certificate_.satisfied
    True
    """

    _parameter_constraints = dict(FIT_CONSTRAINTS)

    def __init__(
        self,
        alpha=1.0,
        *,
        penalty="elasticnet",
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
        self.alpha = alpha
        self.penalty = penalty
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

    def _fit_blocks(self, blocks, offset=None):
        return self._fit_likelihood(blocks, Poisson, least=-1.0, offset=offset)


class SparsePoissonRegressorCV(BlockLikelihoodMixin, GLMCVMixin, PoissonPredictor):
    r"""Sparse Poisson regression with alpha chosen by cross-validation.

    Fits the path of :class:`SparsePoissonRegressor` and chooses the point with the
    least mean deviance on held-out folds. Read more in the :ref:`User Guide <glm>`.

    Parameters
    ----------
    penalty : {"elasticnet", "mcp", "scad", "group"}, default="elasticnet"
        "elasticnet" ("l1" is an alias) has absolute values and a ridge. "mcp" and
        "scad" leave large coefficients unshrunk (not convex: a stationary point is
        found, from zero or along the path). "group" selects whole `groups`.
    l1_ratio : float or array-like of float, default=None
        Shares of the penalty that select, to be tried, the rest is a ridge; for groups
        shares of absolute values inside them (sparse groups). None is 1, for groups 0.
    gamma : float, default=None
        Shape of the MCP, above 1, or of SCAD, above 2: the larger, the further out the
        penalty becomes constant. None is 3.0 and 3.7.
    groups : int, str, array-like or list of array-like, default=None
        For ``penalty="group"``: the size of consecutive groups, a label for each
        feature, lists of features (they may overlap), or "prefix" for one-hot columns,
        as in :class:`GroupLasso`.
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
        End the automatic grid where more than .999 of the deviance of the null model
        is explained, or a step gains less than 1e-5 of that, though not before five
        strengths: decided on all data, before the folds.
    cv : int, cross-validation generator or iterable, default=None
        Splitting; None means 5 folds.
    tol : float, default=1e-4
        Every problem stops when its duality gap is at most `tol` times the difference
        between the loss of the intercept alone and the least possible loss.
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
        Mean unit deviance of each held-out fold.
    coef_path_ : ndarray of shape (n_features, n_alphas)
        Coefficients on all the data along the path of the chosen share.
    intercept_path_ : ndarray of shape (n_alphas,)
        Their intercepts.
    dual_gaps_ : ndarray of shape (n_alphas,)
        Their duality gaps.
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept, 0.0 without one.
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Duality gap relative to what there is to explain (``kkt`` when alpha is 0).
    dual_gap_ : float
        Duality gap of the objective.
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
    SparsePoissonRegressor : One strength.
    LassoCV : Squared error instead of counts.

    References
    ----------
    .. [1] J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for generalized
       linear models via coordinate descent", J. Statistical Software 33, 2010.
    .. [2] J. Lee, Y. Sun, M. Saunders, "Proximal Newton-type methods for minimizing
       composite functions", SIAM J. Optim. 24, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import SparsePoissonRegressorCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 30))
    >>> y = rng.poisson(np.exp(0.5 + X[:, 0] - X[:, 1]))
    >>> model = SparsePoissonRegressorCV(alphas=20, one_se=True).fit(X, y)
    >>> bool(model.coef_[:2].all()), bool(model.alpha_ < model.alphas_[0])
    (True, True)
    """

    _parameter_constraints = {**CV_CONSTRAINTS, **STOP_EXPLAINED}

    def __init__(
        self,
        *,
        penalty="elasticnet",
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

    def _fit_blocks(self, blocks, groups=None, offset=None):
        options = {"groups": groups, "offset": offset}
        return self._fit_likelihood_cv(blocks, Poisson, least=-1.0, **options)
