"""Best subset selection for counts and for survival times."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.special import xlogy
from sklearn.utils.extmath import safe_sparse_dot

from sparsestat._utils.arithmetic import stored
from sparsestat._utils.compat import CallbackSupportMixin, StrOptions
from sparsestat.linear_model._cox import CoxPredictor
from sparsestat.linear_model._poisson import PoissonPredictor
from sparsestat.linear_model._subsets._fit import (
    SUBSET_CONSTRAINTS,
    SubsetFitMixin,
)
from sparsestat.linear_model._subsets._likelihoods import CoxSubsets, PoissonSubsets
from sparsestat.linear_model._subsets._search import METHODS

__all__ = ["BestSubsetCoxRegressor", "BestSubsetPoissonRegressor"]

# Hard thresholding needs a bound of the curvature, which these losses do not have.
_METHODS = StrOptions(set(METHODS) - {"cd_swaps", "iht"})


class BestSubsetPoissonRegressor(
    SubsetFitMixin, CallbackSupportMixin, PoissonPredictor
):
    r"""Poisson regression on the best k features, k given or chosen from the data.

    Looks for

    .. math:: \min_{w, b}\; \frac{1}{n} \sum_i \big(e^{\eta_i} - y_i \eta_i\big)
        + \frac{\lambda}{2} \sum_j v_j w_j^2
        \quad\text{subject to}\quad \|w\|_0 \le k, \qquad \eta_i = b + x_i'w

    where lambda is `l2` and v_j the variance of feature j. With sample weights the loss
    is their weighted mean. Use it to find the few features that drive a count; when
    many matter a little, :class:`SparsePoissonRegressorCV` predicts better. The problem
    is not convex, and all methods but ``"exact"`` are local searches that prove
    nothing, which is why ``certificate_`` says "none". Read more in the
    :ref:`User Guide <hard_regression>`.

    Parameters
    ----------
    n_nonzero_coefs : int, "auto" or None, default="auto"
        Number of features (with `groups`, of groups) to select. 0 is the intercept
        alone. "auto" and None choose the size by `criterion`.
    max_nonzero_coefs : int, default=None
        Largest size that "auto" tries. None means
        ``n / (log(log(n)) log(n_features))``, at most 100.
    method : str, default="splicing"
        How to search: "splicing", "omp", "htp", "cosamp" or "exact", see
        :class:`BestSubsetRegressor`. "exact" is for at most 20 features or groups.
    criterion : {"gic", "ebic", "bic", "aic", "cv"}, default="gic"
        How "auto" chooses: the least ``deviance + c size``, with c as in
        :class:`BestSubsetRegressor`. "cv" takes the least held-out deviance.
    groups : int, str, array-like or list of array-like, default=None
        Features that come and go together: the size of consecutive groups, a label for
        each feature, lists of features that do not overlap, or "prefix" for one-hot
        columns, as in :class:`GroupLasso`. Groups of samples for the splitter go to
        `fit`.
    always_select : array-like of int, default=None
        Indices of features (with `groups`, of groups) that are part of every subset.
        They count.
    l2 : float, default=1e-4
        Ridge on the coefficients of standardized features. It keeps them finite where
        a feature marks samples without counts.
    splice_size : int, default=5
        Largest number of features exchanged at once.
    cv : int, cross-validation generator or iterable, default=None
        Splitting for ``criterion="cv"``; None means 5 folds.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    tol : float, default=1e-6
        An exchange is made when it lowers the loss (half the deviance and the ridge)
        by more than `tol` times itself.
    max_iter : int, default=100
        Largest number of rounds for each size.
    n_jobs : int, default=None
        Workers over folds. The result does not depend on it.
    verbose : int, default=0
        At 1 and above, log a line per size.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept, 0.0 without one.
    support_ : ndarray of int
        Indices of the features with a nonzero coefficient.
    n_nonzero_coefs_ : int
        Number of selected features, or groups.
    path_ : SubsetPath
        Named tuple ``(sizes, coefs, intercepts, losses)`` over the sizes tried.
    criterion_path_ : ndarray of shape (n_sizes,)
        The criterion at each of them; the mean held-out deviance for "cv".
    loss_path_ : ndarray of shape (n_sizes, n_folds)
        Held-out unit deviances (``criterion="cv"`` only).
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        "exact" for ``method="exact"``, otherwise "none".
    objective_ : float
        The objective at the solution.
    n_iter_ : int
        Number of rounds (nodes of the tree for "exact").
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        If `n_nonzero_coefs` or `max_nonzero_coefs` exceeds the number of samples or
        features, or is less than the number of units in `always_select`, there are too
        many features for "exact", or counts are negative or all zero.

    See Also
    --------
    SparsePoissonRegressorCV : Convex, with shrinkage.
    BestSubsetRegressor : The same for a squared loss.
    BestSubsetCoxRegressor : The same for survival times.

    Notes
    -----
    A round costs two passes over X and a few refits by Newton's method, O(n_samples *
    k^2) each step. Memory beside X: O(n_samples * k). Results do not depend on the
    scale of the features. The result is deterministic.

    References
    ----------
    .. [1] J. Zhu, C. Wen, J. Zhu, H. Zhang, X. Wang, "A polynomial algorithm for
       best-subset selection problem", PNAS 117, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import BestSubsetPoissonRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 30))
    >>> y = rng.poisson(np.exp(1.0 + 0.5 * X[:, 4] - 0.5 * X[:, 7]))
    >>> model = BestSubsetPoissonRegressor(n_nonzero_coefs=2).fit(X, y)
    >>> model.support_, model.n_nonzero_coefs_
    (array([4, 7]), 2)
    """

    _parameter_constraints = {**SUBSET_CONSTRAINTS, "method": [_METHODS]}

    def __init__(
        self,
        n_nonzero_coefs="auto",
        *,
        max_nonzero_coefs=None,
        method="splicing",
        criterion="gic",
        groups=None,
        always_select=None,
        l2=1e-4,
        splice_size=5,
        cv=None,
        fit_intercept=True,
        tol=1e-6,
        max_iter=100,
        n_jobs=None,
        verbose=0,
    ):
        self.n_nonzero_coefs = n_nonzero_coefs
        self.max_nonzero_coefs = max_nonzero_coefs
        self.method = method
        self.criterion = criterion
        self.groups = groups
        self.always_select = always_select
        self.l2 = l2
        self.splice_size = splice_size
        self.cv = cv
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _subset_problem(self, X, y, sample_weight, units):
        return PoissonSubsets(
            X,
            y,
            sample_weight,
            fit_intercept=self.fit_intercept,
            units=units,
            l2=self.l2,
        )

    def _held_out(self, X, y, fit, problem):
        coef, intercept = problem.coefficients(fit)
        eta = safe_sparse_dot(X[:, fit.columns], coef, dense_output=True) + intercept
        mean = np.exp(np.minimum(eta, 700.0))
        return 2.0 * (xlogy(y, y) - y * eta - y + mean)

    def _keep(self, problem, fits, chosen):
        self._dtype = problem.dtype
        return super()._keep(problem, fits, chosen)

    def _store(self, coef, intercept):
        dtype = self.__dict__.pop("_dtype")
        self.coef_, self.intercept_ = (stored(v, dtype)[()] for v in (coef, intercept))


class BestSubsetCoxRegressor(SubsetFitMixin, CallbackSupportMixin, CoxPredictor):
    r"""Cox regression on the best k features, k given or chosen from the data.

    Looks for, with Breslow's method for ties,

    .. math:: \min_w\; -\frac{1}{n} \sum_{i: \text{event}} \Big(x_i'w
        - \log \sum_{k: t_k \ge t_i} e^{x_k'w}\Big)
        + \frac{\lambda}{2} \sum_j v_j w_j^2
        \quad\text{subject to}\quad \|w\|_0 \le k

    where lambda is `l2` and v_j the variance of feature j. The target has the columns
    time and event (1 seen, 0 censored), or is a structured array with a Boolean field;
    a one-dimensional target means that every event was seen. Use it to find the few
    features that change the hazard; when many matter a little,
    :class:`SparseCoxRegressorCV` predicts better. The problem is not convex, and all
    methods but ``"exact"`` are local searches that prove nothing, which is why
    ``certificate_`` says "none". Read more in the :ref:`User Guide <hard_regression>`.

    Parameters
    ----------
    n_nonzero_coefs : int, "auto" or None, default="auto"
        Number of features (with `groups`, of groups) to select. "auto" and None choose
        the size by `criterion`.
    ties : {"breslow", "efron"}, default="breslow"
        How events at the same time are treated.
    max_nonzero_coefs : int, default=None
        Largest size that "auto" tries. None means
        ``n / (log(log(n)) log(n_features))`` for n events, at most 100.
    method : str, default="splicing"
        How to search: "splicing", "omp", "htp", "cosamp" or "exact", see
        :class:`BestSubsetRegressor`. "exact" is for at most 20 features or groups.
    criterion : {"gic", "ebic", "bic", "aic", "cv"}, default="gic"
        How "auto" chooses: the least minus twice the log partial likelihood plus
        ``c size``, with c as in :class:`BestSubsetRegressor` and n the number of
        events [2]_. "cv" takes the least held-out partial likelihood, see
        :class:`SparseCoxRegressorCV`.
    groups : int, str, array-like or list of array-like, default=None
        Features that come and go together: the size of consecutive groups, a label for
        each feature, lists of features that do not overlap, or "prefix" for one-hot
        columns, as in :class:`GroupLasso`. Groups of samples for the splitter go to
        `fit`.
    always_select : array-like of int, default=None
        Indices of features (with `groups`, of groups) that are part of every subset.
        They count.
    l2 : float, default=1e-4
        Ridge on the coefficients of standardized features. It keeps them finite where
        a feature puts the events in order.
    splice_size : int, default=5
        Largest number of features exchanged at once.
    cv : int, cross-validation generator or iterable, default=None
        Splitting for ``criterion="cv"``; None means 5 folds.
    tol : float, default=1e-6
        An exchange is made when it lowers the loss by more than `tol` times itself.
    max_iter : int, default=100
        Largest number of rounds for each size.
    n_jobs : int, default=None
        Workers over folds. The result does not depend on it.
    verbose : int, default=0
        At 1 and above, log a line per size.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients: logarithms of hazard ratios.
    intercept_ : float
        0.0: the likelihood has no intercept.
    support_ : ndarray of int
        Indices of the features with a nonzero coefficient.
    n_nonzero_coefs_ : int
        Number of selected features, or groups.
    event_times_ : ndarray of shape (n_times,)
        Times with an event.
    baseline_hazard_ : ndarray of shape (n_times,)
        Cumulative hazard of a sample of zeros after each of them.
    path_ : SubsetPath
        Named tuple ``(sizes, coefs, intercepts, losses)`` over the sizes tried.
    criterion_path_ : ndarray of shape (n_sizes,)
        The criterion at each of them; the mean held-out loss for "cv".
    loss_path_ : ndarray of shape (n_sizes, n_folds)
        Held-out partial likelihoods per event (``criterion="cv"`` only).
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        "exact" for ``method="exact"``, otherwise "none".
    objective_ : float
        The objective at the solution.
    n_iter_ : int
        Number of rounds (nodes of the tree for "exact").
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        If `n_nonzero_coefs` or `max_nonzero_coefs` exceeds the number of samples or
        features, or is less than the number of units in `always_select`, there are too
        many features for "exact", or no event was seen.

    See Also
    --------
    SparseCoxRegressorCV : Convex, with shrinkage.
    BestSubsetRegressor : The same for a squared loss.
    BestSubsetPoissonRegressor : The same for counts.

    Notes
    -----
    Features are scored by gradient and curvature with the expected events as weights;
    what is proposed is refitted by Newton's method with the full Hessian, O(n_samples *
    k^2) each step. Memory beside X: O(n_samples * k). Results do not depend on the
    scale of the features. The result is deterministic.

    References
    ----------
    .. [1] J. Zhu, C. Wen, J. Zhu, H. Zhang, X. Wang, "A polynomial algorithm for
       best-subset selection problem", PNAS 117, 2020.
    .. [2] C. Volinsky, A. Raftery, "Bayesian information criterion for censored
       survival models", Biometrics 56, 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import BestSubsetCoxRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 30))
    >>> time = rng.exponential(np.exp(X[:, 4] - X[:, 7]))
    >>> event = time < 3.0
    >>> y = np.column_stack([np.minimum(time, 3.0), event])
    >>> model = BestSubsetCoxRegressor().fit(X, y)
    >>> model.support_, model.n_nonzero_coefs_
    (array([4, 7]), 2)
    """

    _parameter_constraints = {
        **SUBSET_CONSTRAINTS,
        "method": [_METHODS],
        "ties": [StrOptions({"breslow", "efron"})],
    }
    _parameter_constraints.pop("fit_intercept")

    def __init__(
        self,
        n_nonzero_coefs="auto",
        *,
        ties="breslow",
        max_nonzero_coefs=None,
        method="splicing",
        criterion="gic",
        groups=None,
        always_select=None,
        l2=1e-4,
        splice_size=5,
        cv=None,
        tol=1e-6,
        max_iter=100,
        n_jobs=None,
        verbose=0,
    ):
        self.n_nonzero_coefs = n_nonzero_coefs
        self.ties = ties
        self.max_nonzero_coefs = max_nonzero_coefs
        self.method = method
        self.criterion = criterion
        self.groups = groups
        self.always_select = always_select
        self.l2 = l2
        self.splice_size = splice_size
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _subset_problem(self, X, y, sample_weight, units):
        return CoxSubsets(X, y, sample_weight, ties=self.ties, units=units, l2=self.l2)

    def _n_effective(self, y, sample_weight):
        event = y[:, 1] > 0
        weights = event if sample_weight is None else sample_weight[event]
        return float(weights.sum())

    def _held_out_losses(self, X, y, fits, problem, held):
        return problem.held_out_losses(X, y, fits, held)

    def _keep(self, problem, fits, chosen):
        self._dtype = problem.dtype
        fit = super()._keep(problem, fits, chosen)
        datafit = problem.datafit.datafit
        coef, _ = problem.coefficients(fit)
        offset = float(problem.design.center_dot(fit.columns, coef))
        self.event_times_ = datafit.event_times
        # Of a sample at the center of the features: far from zero the hazard of a
        # sample of zeros would overflow.
        self._center_predictor = offset
        self._center_hazard = datafit.baseline(fit.state["eta"][:, 0])
        with np.errstate(over="ignore", under="ignore"):
            self.baseline_hazard_ = self._center_hazard * np.exp(-offset)
        return fit

    def _store(self, coef, intercept):
        dtype = self.__dict__.pop("_dtype")
        self.coef_, self.intercept_ = (stored(v, dtype)[()] for v in (coef, intercept))
