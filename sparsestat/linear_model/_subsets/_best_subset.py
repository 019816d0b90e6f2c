"""Best subset selection: the k features with the least loss."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.special import log_softmax
from sklearn.utils.extmath import safe_sparse_dot

from sparsestat._utils.arithmetic import stored
from sparsestat._utils.compat import CallbackSupportMixin, StrOptions
from sparsestat.linear_model._predictors import (
    LinearClassifier,
    LinearPredictor,
    validate_fit_data,
)
from sparsestat.linear_model._subsets._fit import (
    OLD_CONSTRAINTS,
    SUBSET_CONSTRAINTS,
    OldNamesMixin,
    SubsetFitMixin,
)
from sparsestat.linear_model._subsets._least_squares import LeastSquaresSubsets
from sparsestat.linear_model._subsets._likelihoods import ClassSubsets
from sparsestat.linear_model._subsets._search import METHODS
from sparsestat.linear_model._subsets._targets import TargetSubsets

__all__ = ["BestSubsetClassifier", "BestSubsetRegressor"]


class BestSubsetRegressor(
    OldNamesMixin, SubsetFitMixin, CallbackSupportMixin, LinearPredictor
):
    r"""Linear regression on the best k features, k given or chosen from the data.

    Looks for

    .. math:: \min_{w, b}\; \frac{1}{2 n} \|y - b - X w\|^2
        + \frac{\lambda}{2} \sum_j v_j w_j^2
        \quad\text{subject to}\quad \|w\|_0 \le k

    where lambda is `l2` and v_j the variance of feature j. The coefficients of the
    selected features are those of least squares, not shrunk unless `l2` is positive.
    Use it when few features matter and their noise is not overwhelming; when the signal
    is weak, the Lasso (:class:`LassoCV`) predicts better. The problem is not convex,
    and all methods but ``"exact"`` are local searches that prove nothing, which is why
    ``certificate_`` says "none". Read more in the
    :ref:`User Guide <hard_regression>`.

    Several targets share their features: the loss is the sum over targets, and a
    feature is used for all or for none. Scale the targets, so that none outweighs the
    others.

    Parameters
    ----------
    n_nonzero_coefs : int, "auto" or None, default="auto"
        Number of features (with `groups`, of groups) to select. 0 is the intercept
        alone. "auto" and None choose the size by `criterion`.
    max_nonzero_coefs : int, default=None
        Largest size that "auto" tries. None means
        ``n / (log(log(n)) log(n_features))``, at most 100.
    method : str, default="splicing"
        How to search.

        - "splicing": grow by one feature, then exchange the least useful features for
          the most promising ones while the loss falls; finally offer each size the
          next larger solution.
        - "omp": grow by one feature only (orthogonal matching pursuit).
        - "iht": gradient steps cut to k features, normalized step length, then least
          squares.
        - "htp": least squares on the k largest after a gradient step, repeated.
        - "cosamp": merge the 2 k most promising features, keep the k largest.
        - "cd_swaps": coordinate descent with hard thresholds, then exchanges (of one
          target).
        - "exact": branch and bound; at most 40 features (20 groups, or 20 features of
          several targets).
    criterion : {"gic", "ebic", "bic", "aic", "cv"}, default="gic"
        How "auto" chooses: the least ``n log(RSS / n) + c df`` with c =
        ``log(n_features) log(log(n))`` (GIC), ``log(n)`` (BIC), 2 (AIC); EBIC adds
        ``2 log binomial(n_features, size)`` to that of the BIC. df is the size, times
        the number of targets; with several, n log(RSS / n) is ``n q log(RSS / (n q))``
        for q targets. "cv" takes the least held-out squared error.
    groups : int, str, array-like or list of array-like, default=None
        Features that come and go together: the size of consecutive groups, a label for
        each feature, lists of features that do not overlap, or "prefix" for one-hot
        columns, as in :class:`GroupLasso`. Groups of samples for the splitter go to
        `fit`.
    always_select : array-like of int, default=None
        Indices of features (with `groups`, of groups) that are part of every subset.
        They count.
    l2 : float, default=0.0
        Ridge on the coefficients of standardized features.
    splice_size : int, default=5
        Largest number of features exchanged at once.
    cv : int, cross-validation generator or iterable, default=None
        Splitting for ``criterion="cv"``; None means 5 folds.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    tol : float, default=1e-6
        An exchange is made when it lowers the loss by more than `tol` times itself.
    max_iter : int, default=100
        Largest number of rounds for each size.
    n_jobs : int, default=None
        Workers over folds. The result does not depend on it.
    verbose : int, default=0
        At 1 and above, log a line per size.
    k : object, default="deprecated"
        The old name of `n_nonzero_coefs`.

        .. deprecated:: 0.2
            Use `n_nonzero_coefs`. This name goes in 0.4.

    k_max : object, default="deprecated"
        The old name of `max_nonzero_coefs`.

        .. deprecated:: 0.2
            Use `max_nonzero_coefs`. This name goes in 0.4.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercept, 0.0 without one.
    support_ : ndarray of int
        Indices of the features with a nonzero coefficient.
    n_nonzero_coefs_ : int
        Number of selected features, or groups. Larger than the support when selected
        features depend on each other: the later ones have the coefficient zero.
    path_ : SubsetPath
        Named tuple ``(sizes, coefs, intercepts, losses)`` over the sizes tried.
    criterion_path_ : ndarray of shape (n_sizes,)
        The criterion at each of them; the mean held-out error for "cv".
    mse_path_ : ndarray of shape (n_sizes, n_folds)
        Held-out squared errors (``criterion="cv"`` only).
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
        features, or is less than the number of units in `always_select`,
        or there are too many features for "exact".

    See Also
    --------
    RandomSupportRegressor : For designs with nearly dependent columns.
    LassoCV : Convex, with shrinkage.
    MCPRegressorCV : Not convex, nearly unbiased.
    BestSubsetClassifier : The same for classes.

    Notes
    -----
    One round costs O(n_samples * k) for the factor and a pass over X, or O(n_features
    * k) where Gram columns of the selected features are at hand; a new one is a pass
    over X. They are kept up to 250 MB. Memory beside X: O(n_samples * k) and these.
    The least squares of every subset use an orthogonal factor that is updated column
    by column, never normal equations. Results do not depend on the scale of the
    features or of y. The result is deterministic.

    References
    ----------
    .. [1] J. Zhu, C. Wen, J. Zhu, H. Zhang, X. Wang, "A polynomial algorithm for
       best-subset selection problem", PNAS 117, 2020.
    .. [2] H. Hazimeh, R. Mazumder, "Fast best subset selection: coordinate descent and
       local combinatorial optimization algorithms", Operations Research 68, 2020.
    .. [3] T. Blumensath, M. Davies, "Normalized iterative hard thresholding:
       guaranteed stability and performance", IEEE J. Selected Topics in Signal
       Processing 4, 2010.
    .. [4] D. Needell, J. Tropp, "CoSaMP: iterative signal recovery from incomplete and
       inaccurate samples", Applied and Computational Harmonic Analysis 26, 2009.
    .. [5] C. Gatu, E. Kontoghiorghes, "Branch-and-bound algorithms for computing the
       best-subset regression models", J. Computational and Graphical Statistics 15,
       2006.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sparsestat.linear_model import BestSubsetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> BestSubsetRegressor(n_nonzero_coefs=3).fit(X, y).support_
    array([2, 3, 8])
    >>> BestSubsetRegressor(criterion="bic").fit(X, y).n_nonzero_coefs_
    5
    """

    _parameter_constraints = {
        **SUBSET_CONSTRAINTS,
        **OLD_CONSTRAINTS,
        "method": [StrOptions(set(METHODS))],
    }

    def __init__(
        self,
        n_nonzero_coefs="auto",
        *,
        max_nonzero_coefs=None,
        method="splicing",
        criterion="gic",
        groups=None,
        always_select=None,
        l2=0.0,
        splice_size=5,
        cv=None,
        fit_intercept=True,
        tol=1e-6,
        max_iter=100,
        n_jobs=None,
        verbose=0,
        k="deprecated",
        k_max="deprecated",
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
        self.k = k
        self.k_max = k_max

    _losses_name = "mse_path_"

    def _validated(self, X, y, sample_weight):
        takes_several = self.method != "cd_swaps"
        if not takes_several and getattr(y, "ndim", 1) == 2 and y.shape[1] > 1:
            raise ValueError(
                "method='cd_swaps' is for one target, but y has shape "
                f"{y.shape}. Use method='splicing', or fit each column by itself."
            )
        X, y, sample_weight = validate_fit_data(
            self, X, y, sample_weight, multi_output=takes_several
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        self._dtype = X.dtype
        return X, y, sample_weight

    def _subset_problem(self, X, y, sample_weight, units):
        cls = LeastSquaresSubsets if y.ndim == 1 else TargetSubsets
        return cls(
            X,
            y,
            sample_weight,
            fit_intercept=self.fit_intercept,
            units=units,
            l2=self.l2,
        )

    def _held_out(self, X, y, fit, problem):
        coef, intercept = problem.coefficients(fit)
        fitted = safe_sparse_dot(X[:, fit.columns], coef, dense_output=True)
        errors = (y - fitted - intercept) ** 2
        return errors if y.ndim == 1 else errors.mean(axis=1)

    def _store(self, coef, intercept):
        self.coef_ = np.ascontiguousarray(stored(coef.T, self._dtype))
        self.intercept_ = stored(intercept, self._dtype)[()]
        del self._dtype

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self.method != "cd_swaps"
        return tags


class BestSubsetClassifier(
    OldNamesMixin, SubsetFitMixin, CallbackSupportMixin, LinearClassifier
):
    r"""Logistic regression on the best k features, binary or multinomial.

    Looks for

    .. math:: \min_{W, b}\; \frac{1}{n} \sum_i \Big(\log \sum_c e^{\eta_{ic}}
        - \eta_{i y_i}\Big) + \frac{\lambda}{2} \sum_j v_j \|w_j\|^2
        \quad\text{subject to at most } k \text{ features}

    where eta = b + X W, lambda is `l2` and v_j the variance of feature j. Two classes
    have one vector of coefficients, and the log loss of a sigmoid. A feature is used
    for all classes or for none. With sample or class weights the loss is their weighted
    mean. Use it to find the few features that tell classes apart; when many matter a
    little, :class:`SparseLogisticRegressionCV` predicts better. The problem is not
    convex, and all methods but ``"exact"`` are local searches that prove nothing, which
    is why ``certificate_`` says "none". Read more in the
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
        How to search: "splicing", "omp", "iht", "htp", "cosamp" or "exact", see
        :class:`BestSubsetRegressor`. "exact" is for at most 20 features or groups.
    criterion : {"gic", "ebic", "bic", "aic", "cv"}, default="gic"
        How "auto" chooses: the least ``2 n loss + c df``, see
        :class:`BestSubsetRegressor`; df counts a feature once for each class but one.
        "cv" takes the least held-out log loss on stratified folds.
    groups : int, str, array-like or list of array-like, default=None
        Features that come and go together: the size of consecutive groups, a label for
        each feature, lists of features that do not overlap, or "prefix" for one-hot
        columns, as in :class:`GroupLasso`. Groups of samples for the splitter go to
        `fit`.
    always_select : array-like of int, default=None
        Indices of features (with `groups`, of groups) that are part of every subset.
        They count.
    l2 : float, default=1e-4
        Ridge on the coefficients of standardized features. It keeps them finite when
        a few features separate the classes.
    class_weight : dict or "balanced", default=None
        Factors of the sample weights by class; "balanced" makes all classes count the
        same.
    splice_size : int, default=5
        Largest number of features exchanged at once.
    cv : int, cross-validation generator or iterable, default=None
        Splitting for ``criterion="cv"``; None means 5 stratified folds.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    tol : float, default=1e-6
        An exchange is made when it lowers the loss by more than `tol` times itself.
    max_iter : int, default=100
        Largest number of rounds for each size.
    n_jobs : int, default=None
        Workers over folds. The result does not depend on it.
    verbose : int, default=0
        At 1 and above, log a line per size.
    k : object, default="deprecated"
        The old name of `n_nonzero_coefs`.

        .. deprecated:: 0.2
            Use `n_nonzero_coefs`. This name goes in 0.4.

    k_max : object, default="deprecated"
        The old name of `max_nonzero_coefs`.

        .. deprecated:: 0.2
            Use `max_nonzero_coefs`. This name goes in 0.4.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients; with two classes, of the second.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts, zeros without; several sum to zero.
    support_ : ndarray of int
        Indices of the features with a nonzero coefficient.
    n_nonzero_coefs_ : int
        Number of selected features, or groups.
    path_ : SubsetPath
        Named tuple ``(sizes, coefs, intercepts, losses)`` over the sizes tried.
    criterion_path_ : ndarray of shape (n_sizes,)
        The criterion at each of them; the mean held-out log loss for "cv".
    loss_path_ : ndarray of shape (n_sizes, n_folds)
        Held-out log losses (``criterion="cv"`` only).
    sparse_coef_ : csr_array of shape (1, n_features) or (n_classes, n_features)
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
        features, or is less than the number of units in `always_select`,
        there are too many features for "exact", or y holds one class.

    See Also
    --------
    SparseLogisticRegressionCV : Convex, with shrinkage.
    BestSubsetRegressor : The same for a squared loss.

    Notes
    -----
    A round costs two passes over X and a few refits by Newton's method, O(n_samples *
    k^2 * n_classes^2) each step. Memory beside X: O(n_samples * k). Results do not
    depend on the scale of the features. The result is deterministic.

    References
    ----------
    .. [1] J. Zhu, C. Wen, J. Zhu, H. Zhang, X. Wang, "A polynomial algorithm for
       best-subset selection problem", PNAS 117, 2020.
    .. [2] A. Dedieu, H. Hazimeh, R. Mazumder, "Learning sparse classifiers: continuous
       and mixed integer optimization perspectives", JMLR 22, 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sparsestat.linear_model import BestSubsetClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> model = BestSubsetClassifier(n_nonzero_coefs=3).fit(X, y)
    >>> model.support_
    array([ 6,  9, 12])
    >>> round(float(model.score(X, y)), 3)
    0.961
    """

    _parameter_constraints = {
        **SUBSET_CONSTRAINTS,
        **OLD_CONSTRAINTS,
        "method": [StrOptions(set(METHODS) - {"cd_swaps"})],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

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
        class_weight=None,
        splice_size=5,
        cv=None,
        fit_intercept=True,
        tol=1e-6,
        max_iter=100,
        n_jobs=None,
        verbose=0,
        k="deprecated",
        k_max="deprecated",
    ):
        self.n_nonzero_coefs = n_nonzero_coefs
        self.max_nonzero_coefs = max_nonzero_coefs
        self.method = method
        self.criterion = criterion
        self.groups = groups
        self.always_select = always_select
        self.l2 = l2
        self.class_weight = class_weight
        self.splice_size = splice_size
        self.cv = cv
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.k = k
        self.k_max = k_max

    def _validated(self, X, y, sample_weight):
        X, codes, sample_weight = super()._validated(X, y, sample_weight)
        self._dtype = X.dtype
        return X, codes, sample_weight

    def _subset_problem(self, X, codes, sample_weight, units):
        return ClassSubsets(
            X,
            codes,
            sample_weight,
            n_classes=len(self.classes_),
            fit_intercept=self.fit_intercept,
            units=units,
            l2=self.l2,
        )

    def _held_out(self, X, codes, fit, problem):
        coef, intercept = problem.coefficients(fit)
        eta = safe_sparse_dot(X[:, fit.columns], coef, dense_output=True) + intercept
        if eta.shape[1] == 1:
            eta = np.hstack([np.zeros_like(eta), eta])
        return -log_softmax(eta, axis=1)[np.arange(len(codes)), codes]

    def _store(self, coef, intercept):
        self.coef_ = np.ascontiguousarray(stored(coef.T, self._dtype))
        self.intercept_ = stored(intercept, self._dtype)
        del self._dtype
