"""Sparse regression for data with outliers: the Huber loss."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np
from sklearn.metrics import r2_score

from sparsestat._utils.compat import Interval, StrOptions
from sparsestat._utils.samples import effective_rows
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
from sparsestat.linear_model._penalized._datafits import Huber
from sparsestat.linear_model._penalized._likelihood_problems import HuberProblem
from sparsestat.linear_model._predictors import LinearPredictor

__all__ = ["SparseHuberRegressor", "SparseHuberRegressorCV"]


_EFFICIENT = 1.35  # scales of the noise: 95 % efficient on Gaussian noise
_NORMAL = 1.4826022185056018  # standard deviation beside the median distance
_LEAST_SHARE = 1e-3  # of the first delta: less is an exact fit


def robust_scale(values, weights=None):
    """Return the median distance to the median, as a standard deviation.

    Where more than half of the values are equal, the mean distance; weights count
    repetitions.
    """
    weights = np.ones(len(values)) if weights is None else weights
    distances = np.abs(values - _median(values, weights))
    scale = _NORMAL * _median(distances, weights)
    if scale == 0.0:
        unit = distances.max(initial=0.0)
        share = distances / unit if unit > 0.0 else distances
        scale = np.sqrt(np.pi / 2.0) * float(np.average(share, weights=weights)) * unit
    return float(scale)


def _median(values, weights):
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    half = 0.5 * reached[-1]
    low = values[order][np.searchsorted(reached, half, side="left")]
    high = values[order][
        min(np.searchsorted(reached, half, side="right"), len(values) - 1)
    ]
    return 0.5 * low + 0.5 * high


class _HuberPredictor(OffsetMixin, LinearPredictor):
    """The problem of both; classes say by ``_pilot`` where the first of two fits is."""

    def _validated(self, X, y, sample_weight):
        X, y, sample_weight = super()._validated(X, y, sample_weight)
        self.delta_ = self.delta
        if self.delta == "auto":
            self.delta_ = self._automatic_delta(X, y, sample_weight)
        return X, y, sample_weight

    def _automatic_delta(self, X, y, sample_weight):
        rows, targets, weights = effective_rows(X, y, sample_weight)
        first = _EFFICIENT * robust_scale(targets, weights)
        if first == 0.0:  # a constant target
            return _EFFICIENT
        self.delta_ = first
        problem = self._problem(rows, targets, weights)
        alpha, setting = self._pilot(problem)
        result = problem.solve_one(alpha, setting)
        residual = targets - problem.predictors([result], rows)[:, 0]
        second = _EFFICIENT * robust_scale(residual, weights)
        return max(second, _LEAST_SHARE * first)

    def _block_delta(self):
        if self.delta == "auto":
            raise ValueError(
                "delta='auto' needs the residuals of all rows in memory. Pass a number "
                "where X comes in blocks: about 1.35 standard deviations of the noise."
            )
        self.delta_ = float(self.delta)
        return self.delta_

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
            ``X @ coef_ + intercept_ + offset``.
        """
        return self._shifted(self._scores(X), offset)

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

    def _problem(self, X, y, sample_weight, **rows):
        if self.delta == "auto" and rows:
            raise ValueError(
                "delta='auto' measures the residuals of y alone and does not go with "
                "`offset`. Subtract the offset from y, which is the same here."
            )
        return HuberProblem(
            X,
            y,
            sample_weight,
            **rows,
            delta=self.delta_ if self.delta == "auto" else self.delta,
            penalty=self._spec(X.shape[1]),
            **solver_options(self),
        )


class SparseHuberRegressor(BlockLikelihoodMixin, GLMFitMixin, _HuberPredictor):
    r"""Sparse regression that outliers in y cannot pull.

    Minimizes

    .. math:: \frac{1}{n} \sum_i h_\delta(y_i - b - x_i'w) +
        \alpha \sum_j \Big(\rho |w_j| + \frac{1-\rho}{2} w_j^2\Big),
        \qquad h_\delta(r) = \tfrac12 m^2 + \delta (|r| - m),
        \quad m = \min(|r|, \delta)

    over coefficients w (`coef_`) and intercept b (`intercept_`), where rho is
    `l1_ratio`. With sample weights the loss is their weighted
    mean. Use it when some targets are far off; outliers in X (leverage points) still
    pull. Unlike :class:`sklearn.linear_model.HuberRegressor`, which has only the ridge,
    it estimates the scale of the noise only with ``delta="auto"``; otherwise `delta` is
    in units of y. Read more in
    the :ref:`User Guide <glm>`.

    Parameters
    ----------
    alpha : float, default=1.0
        Penalty strength; the loss is a (weighted) mean over samples. Zero warns and
        looks for the maximum of the likelihood.
    delta : float or "auto", default=1.35
        Residuals beyond it, in units of y, count linearly. Choose it from the scale of
        the noise: 1.35 standard deviations lose 5 % of efficiency on Gaussian noise.
        "auto" is 1.35 times the median distance of the residuals from their median, as
        a standard deviation: those of a fit at the same `alpha` with the delta that
        belongs to y itself. It costs a second fit, and follows the units of y.
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
        Stop when the largest violation of stationarity is at most `tol` times the
        largest gradient at zero coefficients.
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
    delta_ : float
        The delta that was used.
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept, 0.0 without one.
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Largest violation of stationarity relative to the largest gradient at zero.
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
    SparseHuberRegressorCV : Chooses alpha from the data.
    Lasso : Squared error.
    sklearn.linear_model.HuberRegressor : Ridge penalty, estimates the scale.

    Notes
    -----
    One pass over X costs O(n_samples * n_features) or O(nnz); a second-order model on
    a working set of a features O(n_samples * a^2 + a^3) (dense) or a few sweeps over
    its entries (sparse). Memory beside X: O(n_samples * a + a^2) with a at most 3000
    for dense X, O(nnz) for sparse X. float32 input is read as it is and gives float32
    coefficients; all sums are float64. The result is deterministic.

    References
    ----------
    .. [1] P. Huber, "Robust estimation of a location parameter", Annals of
       Mathematical Statistics 35, 1964.
    .. [2] J. Lee, Y. Sun, M. Saunders, "Proximal Newton-type methods for minimizing
       composite functions", SIAM J. Optim. 24, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import SparseHuberRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 30))
    >>> y = 3 * X[:, 0] + rng.standard_normal(100)
    >>> y[:10] += 100
    >>> model = SparseHuberRegressor(alpha=0.4).fit(X, y)
    >>> np.flatnonzero(model.coef_)
    array([0])
    """

    _parameter_constraints = {
        **FIT_CONSTRAINTS,
        "delta": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        alpha=1.0,
        *,
        delta=1.35,
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
        self.delta = delta
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
        delta = self._block_delta()
        return self._fit_likelihood(blocks, Huber, delta=delta, offset=offset)

    def _pilot(self, problem):
        return self.alpha, self._setting()


class SparseHuberRegressorCV(BlockLikelihoodMixin, GLMCVMixin, _HuberPredictor):
    r"""Sparse Huber regression with alpha chosen by cross-validation.

    Fits the path of :class:`SparseHuberRegressor` and chooses the point with the least
    mean Huber loss on held-out folds. Read more in the :ref:`User Guide <glm>`.

    Parameters
    ----------
    delta : float or "auto", default=1.35
        Residuals beyond it, in units of y, count linearly. Choose it from the scale of
        the noise: 1.35 standard deviations lose 5 % of efficiency on Gaussian noise.
        "auto" takes it from the data, as :class:`SparseHuberRegressor` does, from a fit
        at the strength next to a tenth of the largest; it is one for all folds.
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
        End the automatic grid where more than .999 of the loss of the null model is
        explained, or a step gains less than 1e-5 of that, though not before five
        strengths: decided on all data, before the folds.
    cv : int, cross-validation generator or iterable, default=None
        Splitting; None means 5 folds.
    tol : float, default=1e-4
        Every problem stops when its largest violation of stationarity is at most
        `tol` times the largest gradient at zero coefficients.
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
        Mean Huber loss of each held-out fold.
    coef_path_ : ndarray of shape (n_features, n_alphas)
        Coefficients on all the data along the path of the chosen share.
    intercept_path_ : ndarray of shape (n_alphas,)
        Their intercepts.
    kkt_residuals_ : ndarray of shape (n_alphas,)
        Their largest violations of stationarity, relative as in the certificate.
    delta_ : float
        The delta that was used.
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept, 0.0 without one.
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Largest violation of stationarity relative to the largest gradient at zero.
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
    SparseHuberRegressor : One strength.
    LassoCV : Squared error.

    References
    ----------
    .. [1] P. Huber, "Robust estimation of a location parameter", Annals of
       Mathematical Statistics 35, 1964.
    .. [2] J. Lee, Y. Sun, M. Saunders, "Proximal Newton-type methods for minimizing
       composite functions", SIAM J. Optim. 24, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import SparseHuberRegressorCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 30))
    >>> y = 3 * X[:, 0] + rng.standard_normal(100)
    >>> y[:10] += 100
    >>> model = SparseHuberRegressorCV(alphas=20).fit(X, y)
    >>> bool(2.0 < model.coef_[0] < 3.5)
    True
    """

    _parameter_constraints = {
        **CV_CONSTRAINTS,
        **STOP_EXPLAINED,
        "delta": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        *,
        delta=1.35,
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
        self.delta = delta
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

    def _pilot(self, problem):
        setting = self._settings()[0]
        grid = problem.grid(self.alphas, self.eps, setting)
        return float(grid[np.argmin(np.abs(grid - 0.1 * grid[0]))]), setting

    def _fit_blocks(self, blocks, groups=None, offset=None):
        options = {"groups": groups, "offset": offset}
        delta = self._block_delta()
        return self._fit_likelihood_cv(blocks, Huber, delta=delta, **options)
