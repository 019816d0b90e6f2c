"""Sparse proportional hazards regression for right-censored survival times."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from sparsestat._utils.compat import StrOptions, fit_context
from sparsestat.linear_model._blocks._survival import BlockCoxMixin
from sparsestat.linear_model._cv import STOP_EXPLAINED
from sparsestat.linear_model._fit import solver_options
from sparsestat.linear_model._glm import (
    CV_CONSTRAINTS,
    FIT_CONSTRAINTS,
    GLMCVMixin,
    GLMFitMixin,
    OffsetMixin,
)
from sparsestat.linear_model._penalized._survival_problem import CoxProblem
from sparsestat.linear_model._penalized._survival_targets import (
    concordance_index,
    stratum_numbers,
    survival_target,
    with_events,
)
from sparsestat.linear_model._predictors import LinearPredictor, validate_fit_data

__all__ = [
    "CoxPredictor",
    "SparseCoxRegressor",
    "SparseCoxRegressorCV",
]


class CoxPredictor(OffsetMixin, LinearPredictor):
    """Log hazard ratios, survival functions and the concordance index."""

    _needs_rows = (
        "its risk sets follow the times of all rows, and it gathers working sets of "
        "columns from X in memory"
    )

    def _validated(self, X, y, sample_weight):
        target = survival_target(y)
        many = target is not None and target.ndim == 2 and target.shape[1] > 1
        X, target, sample_weight = validate_fit_data(
            self, X, target, sample_weight, multi_output=many
        )
        return X, with_events(target), sample_weight

    def _checked_rows(self, rows, y):
        rows = super()._checked_rows(rows, y)
        self.strata_ = None
        if "strata" in rows:
            strata = column_or_1d(rows["strata"])
            check_consistent_length(strata, y)
            self.strata_, rows["strata"] = np.unique(strata, return_inverse=True)
        return rows

    def _problem(self, X, y, sample_weight, **rows):
        return CoxProblem(
            X,
            y,
            sample_weight,
            ties=self.ties,
            penalty=self._spec(X.shape[1]),
            **rows,
            **solver_options(self),
        )

    def predict(self, X, offset=None):
        """Predict the logarithm of the hazard ratio: high means an early event.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`.

        Returns
        -------
        risk : ndarray of shape (n_samples,)
            ``X @ coef_ + offset``.
        """
        return self._shifted(self._scores(X), offset)

    def predict_survival(self, X, times=None, offset=None, strata=None):
        """Predict the probabilities of no event up to given times.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        times : array-like of shape (n_times,), default=None
            Times; None means `event_times_`.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`.
        strata : array-like of shape (n_samples,), default=None
            Strata of the samples, needed if there were some in `fit`.

        Returns
        -------
        survival : ndarray of shape (n_samples, n_times)
            ``exp(-baseline_hazard_ * exp(risk))``.
        """
        risk = self.predict(X, offset)
        times = self.event_times_ if times is None else np.asarray(times, dtype=float)
        # From the center of the features: `baseline_hazard_` itself, of a sample of
        # zeros, overflows where the features are far from zero.
        hazard = np.atleast_2d(self._center_hazard)
        hazard = np.column_stack([np.zeros(len(hazard)), hazard])
        at = np.searchsorted(self.event_times_, times, side="right")
        stratum = np.zeros(len(risk), dtype=np.intp)
        if getattr(self, "strata_", None) is not None:
            stratum = stratum_numbers(strata, self.strata_, len(risk))
        with np.errstate(divide="ignore"):
            relative = risk[:, None] - self._center_predictor
            exponent = np.log(hazard[:, at])[stratum] + relative
        return np.exp(-np.exp(np.minimum(exponent, 700.0)))

    def score(self, X, y, sample_weight=None, offset=None):
        """Return the concordance index of the predicted risks.

        Entry times and strata are left out of account.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, 2), or structured array
            Times, or times and events, as in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; a pair counts the product of its weights.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`.

        Returns
        -------
        score : float
            1 is perfect, 0.5 as good as chance.
        """
        check_is_fitted(self)
        risk = self.predict(X, offset)
        target = with_events(survival_target(y))
        if len(target) != len(risk):
            raise ValueError(
                f"X has {len(risk)} samples, but y has {len(target)}: one time for "
                "each sample is required."
            )
        return concordance_index(target[:, -2], target[:, -1] > 0, risk, sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


class SparseCoxRegressor(BlockCoxMixin, GLMFitMixin, CoxPredictor):
    r"""Sparse Cox regression for right-censored survival times.

    Minimizes, with Breslow's method for ties,

    .. math:: -\frac{1}{n} \sum_{i: \text{event}} \Big(x_i'w
        - \log \sum_{k: t_k \ge t_i} e^{x_k'w}\Big) +
        \alpha \sum_j \Big(\rho |w_j| + \frac{1-\rho}{2} w_j^2\Big)

    over coefficients w (`coef_`), where rho is `l1_ratio`. The target has
    the columns time and event (1 seen, 0 censored), or is a structured array with a
    Boolean field; a one-dimensional target means that every event was seen. Only the
    order of the times matters. A first column `entry` says since when a sample was
    observed (left truncation), and `strata` in :meth:`fit` have baseline hazards of
    their own. Use it to select features that change the hazard by a
    factor that is constant in time; do not use it where hazards cross. Read more in the
    :ref:`User Guide <glm>`.

    Parameters
    ----------
    alpha : float, default=1.0
        Penalty strength; the loss is a (weighted) mean over samples. Zero warns and
        looks for the maximum of the likelihood.
    ties : {"breslow", "efron"}, default="breslow"
        How events at the same time share their risk set. Efron's method is the better
        approximation where ties are many.
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
    coef_ : ndarray of shape (n_features,)
        Coefficients: logarithms of hazard ratios for a unit of the feature.
    intercept_ : float
        Always 0.0; the baseline hazard takes its place.
    event_times_ : ndarray of shape (n_event_times,)
        The distinct times of events, in increasing order.
    baseline_hazard_ : ndarray of shape (n_event_times,) or (n_strata, n_event_times)
        Cumulative hazard of a sample of zeros, after each of these times.
    strata_ : ndarray of shape (n_strata,) or None
        The labels of the strata.
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
    SparseCoxRegressorCV : Chooses alpha from the data.
    SparsePoissonRegressor : Rates over fixed times.

    Notes
    -----
    Sample weights are counts: an integer weight equals repetition, which with Efron's
    method depends on the weights themselves and not only on their ratios. On dense X
    the second-order models hold the full Hessian of the likelihood, on sparse X a
    diagonal above it, which takes more of them. A model on a working set of a features
    costs O(n_samples * a^2 + a^3) and O(n_samples * a + a^2) memory (dense X). The
    likelihood has a dual, but no dual point is at hand: the certificate is the
    violation of stationarity, which for a convex problem vanishes only at a minimum.

    References
    ----------
    .. [1] D. R. Cox, "Regression models and life-tables", JRSS B 34, 1972.
    .. [2] B. Efron, "The efficiency of Cox's likelihood function for censored data",
       JASA 72, 1977.
    .. [3] N. Simon, J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for
       Cox's proportional hazards model via coordinate descent", J. Statistical
       Software 39, 2011.
    .. [4] P. Verweij, H. van Houwelingen, "Cross-validation in survival analysis",
       Statistics in Medicine 12, 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import SparseCoxRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((150, 20))
    >>> time = rng.exponential(np.exp(-X[:, 0] + X[:, 1]))
    >>> limit = rng.exponential(2.0, 150)
    >>> y = np.column_stack([np.minimum(time, limit), time <= limit])
    >>> model = SparseCoxRegressor(alpha=0.2).fit(X, y)
    >>> np.flatnonzero(model.coef_)
    array([0, 1])
    >>> model.score(X, y) > 0.75
    True
    """

    _parameter_constraints = {
        **{k: v for k, v in FIT_CONSTRAINTS.items() if k != "fit_intercept"},
        "ties": [StrOptions({"breslow", "efron"})],
    }

    def __init__(
        self,
        alpha=1.0,
        *,
        ties="breslow",
        penalty="elasticnet",
        l1_ratio=None,
        gamma=None,
        groups=None,
        group_weights="sqrt",
        feature_weights=None,
        positive=False,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        warm_start=False,
        verbose=0,
    ):
        self.alpha = alpha
        self.ties = ties
        self.penalty = penalty
        self.l1_ratio = l1_ratio
        self.gamma = gamma
        self.groups = groups
        self.group_weights = group_weights
        self.feature_weights = feature_weights
        self.positive = positive
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.warm_start = warm_start
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, offset=None, strata=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples,), (n_samples, 2) or (n_samples, 3)
            Times, or the columns [entry,] time and event; or a structured array.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition.
        offset : array-like of shape (n_samples,), default=None
            What is known of the linear predictor, added to it with the coefficient 1.
        strata : array-like of shape (n_samples,), default=None
            Labels of strata: samples are compared only with those of their stratum,
            which has a baseline hazard of its own.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, y, sample_weight = self._validated(X, y, sample_weight)
        rows = self._checked_rows({"offset": offset, "strata": strata}, y)
        return self._fit_validated(X, y, sample_weight, **rows)

    def _fit_blocks(self, blocks, offset=None, strata=None):
        problem = self._block_survival(blocks, offset=offset, strata=strata)
        return self._fit_problem(problem)


class SparseCoxRegressorCV(BlockCoxMixin, GLMCVMixin, CoxPredictor):
    r"""Sparse Cox regression with alpha chosen by cross-validation.

    Fits the path of :class:`SparseCoxRegressor` and chooses the point with the least
    held-out partial likelihood: that of all samples less that of the training samples,
    both at the coefficients of the latter [4]_. Read more in the
    :ref:`User Guide <glm>`.

    Parameters
    ----------
    ties : {"breslow", "efron"}, default="breslow"
        How events at the same time share their risk set. Efron's method is the better
        approximation where ties are many.
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
    criterion : {"cv", "aic", "bic", "ebic"}, default="cv"
        How to choose: by held-out losses, or by the deviance plus 2 (AIC) or log n
        (BIC) for each degree of freedom; the extended BIC adds twice the logarithm of
        the number of models of that size. Where the likelihood has a free scale, n
        times the logarithm of the deviance stands for it.
    one_se : bool, default=False
        Take the largest alpha whose loss is within one standard error of the least:
        a sparser, more stable model.
    stop_explained : bool, default=False
        End the automatic grid where more than .999 of the negative log partial
        likelihood of the null model is explained, or a step gains less than 1e-5 of
        that, though not before five strengths: decided on all data, before the folds.
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
        Held-out negative log partial likelihood per event of each held-out fold.
    coef_path_ : ndarray of shape (n_features, n_alphas)
        Coefficients on all the data along the path of the chosen share.
    intercept_path_ : ndarray of shape (n_alphas,)
        Their intercepts.
    kkt_residuals_ : ndarray of shape (n_alphas,)
        Their largest violations of stationarity, relative as in the certificate.
    coef_ : ndarray of shape (n_features,)
        Coefficients: logarithms of hazard ratios for a unit of the feature.
    intercept_ : float
        Always 0.0; the baseline hazard takes its place.
    event_times_ : ndarray of shape (n_event_times,)
        The distinct times of events, in increasing order.
    baseline_hazard_ : ndarray of shape (n_event_times,) or (n_strata, n_event_times)
        Cumulative hazard of a sample of zeros, after each of these times.
    strata_ : ndarray of shape (n_strata,) or None
        The labels of the strata.
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
    SparseCoxRegressor : One strength.
    LassoCV : Squared error, no censoring.

    References
    ----------
    .. [1] D. R. Cox, "Regression models and life-tables", JRSS B 34, 1972.
    .. [2] B. Efron, "The efficiency of Cox's likelihood function for censored data",
       JASA 72, 1977.
    .. [3] N. Simon, J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for
       Cox's proportional hazards model via coordinate descent", J. Statistical
       Software 39, 2011.
    .. [4] P. Verweij, H. van Houwelingen, "Cross-validation in survival analysis",
       Statistics in Medicine 12, 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import SparseCoxRegressorCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((150, 20))
    >>> time = rng.exponential(np.exp(-X[:, 0] + X[:, 1]))
    >>> limit = rng.exponential(2.0, 150)
    >>> y = np.column_stack([np.minimum(time, limit), time <= limit])
    >>> model = SparseCoxRegressorCV(alphas=20, eps=0.05, one_se=True).fit(X, y)
    >>> bool(model.coef_[:2].all())
    True
    """

    _parameter_constraints = {
        **{k: v for k, v in CV_CONSTRAINTS.items() if k != "fit_intercept"},
        **STOP_EXPLAINED,
        "ties": [StrOptions({"breslow", "efron"})],
    }

    def __init__(
        self,
        *,
        ties="breslow",
        penalty="elasticnet",
        l1_ratio=None,
        gamma=None,
        groups=None,
        group_weights="sqrt",
        feature_weights=None,
        positive=False,
        eps=1e-3,
        alphas=100,
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
        self.ties = ties
        self.penalty = penalty
        self.l1_ratio = l1_ratio
        self.gamma = gamma
        self.groups = groups
        self.group_weights = group_weights
        self.feature_weights = feature_weights
        self.positive = positive
        self.eps = eps
        self.alphas = alphas
        self.criterion = criterion
        self.one_se = one_se
        self.stop_explained = stop_explained
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None, offset=None, strata=None):
        """Fit the paths and choose a point.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples,), (n_samples, 2) or (n_samples, 3)
            Times, or the columns [entry,] time and event; or a structured array.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition.
        groups : array-like of shape (n_samples,), default=None
            Group labels handed to the splitter.
        offset : array-like of shape (n_samples,), default=None
            What is known of the linear predictor, added to it with the coefficient 1.
        strata : array-like of shape (n_samples,), default=None
            Labels of strata: samples are compared only with those of their stratum,
            which has a baseline hazard of its own.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        return self._fit_cv(X, y, sample_weight, groups, offset=offset, strata=strata)

    def _fit_blocks(self, blocks, groups=None, offset=None, strata=None):
        problem = self._block_survival(
            blocks, groups=groups, offset=offset, strata=strata, n_jobs=self.n_jobs
        )
        return self._choose(None, None, None, {}, None, problem=problem)
