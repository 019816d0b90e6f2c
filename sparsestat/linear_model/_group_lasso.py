r"""Group and sparse-group Lasso.

.. math:: \min_{w, b}\; \frac{1}{2 S}\sum_i s_i (y_i - b - x_i'w)^2
   + \alpha \Big((1 - \rho) \sum_g \omega_g \|w_g\|_2 + \rho \|w\|_1\Big),
   \qquad S = \sum_i s_i.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np

from sparsestat._utils.compat import Interval, StrOptions, feature_names
from sparsestat._utils.deprecation import renamed
from sparsestat.linear_model._cv import (
    CRITERION,
    CV_CONSTRAINTS,
    STOP_EXPLAINED,
    PathCVMixin,
)
from sparsestat.linear_model._fit import FIT_CONSTRAINTS, FitMixin, solver_options
from sparsestat.linear_model._paths import (
    check_l1_ratio,
    check_path_input,
)
from sparsestat.linear_model._penalized._group_names import make_groups
from sparsestat.linear_model._penalized._group_path import (
    group_results,
    suits_group_gram,
)
from sparsestat.linear_model._penalized._groups import GroupPenalty, group_weight_array
from sparsestat.linear_model._penalized._path_result import PathMethod
from sparsestat.linear_model._penalized._points import worst_result
from sparsestat.linear_model._penalized._problems import LeastSquaresProblem
from sparsestat.linear_model._penalized._solver import WorkingSetSolver
from sparsestat.linear_model._predictors import LinearPredictor

__all__ = ["GroupLasso", "GroupLassoCV", "group_lasso_path"]


class GroupProblem(LeastSquaresProblem):
    """Least squares with the sparse-group penalty; the setting is its l1_ratio."""

    def __init__(
        self,
        X,
        y,
        sample_weight=None,
        *,
        groups,
        group_weights,
        feature_names=None,
        **options,
    ):
        n_features = X.shape[1]
        self.groups = make_groups(groups, n_features, feature_names)
        self.weights = group_weight_array(group_weights, self.groups)
        super().__init__(self.groups.spread(X), y, sample_weight, **options)
        self.n_features, self.copies = n_features, self.groups.copies

    def penalty(self, alpha, setting):
        """Return the penalty of one strength."""
        return GroupPenalty(self.groups, self.weights, alpha, setting, self.total)

    comes_down = True

    def make_solver(self, coef_init=None):
        """Return a solver whose units are the groups."""
        start = self.start_of(coef_init)
        return WorkingSetSolver(self.design, self.target, start, self.groups)

    def solve(self, alphas, setting=None, *, coef_init=None, verbose=0):
        """Solve for each alpha in turn; in one call where a Gram matrix is small."""
        if coef_init is None and suits_group_gram(self, alphas, setting):
            results = group_results(self, alphas, verbose)
            if results is not None and worst_result(results).gap <= self.tol:
                return results
        return super().solve(alphas, setting, coef_init=coef_init, verbose=verbose)

    def given(self, result):
        """Return a result in the units of the given data."""
        result.active_groups = np.unique(self.groups.labels[result.columns])
        return super().given(result)

    def attributes(self, result):
        """Return what an estimator shows of one solution, and its groups."""
        groups = self.groups
        names = np.arange(len(groups)) if groups.names is None else groups.names
        return {
            **super().attributes(result),
            "group_labels_": groups.labels[: self.n_features],
            "group_sizes_": groups.sizes,
            "group_features_": groups.features(),
            "group_names_": names,
            "active_groups_": result.active_groups,
        }


def group_lasso_path(
    X,
    y,
    *,
    groups=1,
    l1_ratio=0.0,
    group_weights="sqrt",
    eps=1e-3,
    alphas=100,
    fit_intercept=False,
    sample_weight=None,
    coef_init=None,
    tol=1e-4,
    max_iter=100,
    max_epochs=10_000,
    verbose=0,
    weights="deprecated",
):
    """Group Lasso path by working-set block coordinate descent with warm starts.

    The problem of :class:`GroupLasso` for a decreasing sequence of strengths. Read
    more in the :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Design. F-ordered dense or CSC float64 avoids a copy; never modified.
    y : array-like of shape (n_samples,)
        Target.
    groups : int, str, array-like or list of array-like, default=1
        Groups of features, as in :class:`GroupLasso`.
    l1_ratio : float, default=0.0
        Share of the absolute penalty inside the groups, in [0, 1].
    group_weights : {"sqrt"}, array-like of shape (n_groups,) or None, default="sqrt"
        Penalty multipliers of the groups: square roots of the sizes, given, or
        ones; 0 frees a group of its norm, infinity drops it.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on a logarithmic grid from the smallest alpha with an
        all-zero solution downwards, or the strengths themselves.
    fit_intercept : bool, default=False
        Center X and y (weighted) first.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights; an integer weight equals repetition.
    coef_init : array-like of shape (n_features,), default=None
        Where the first problem starts.
    tol : float, default=1e-4
        Each problem stops when its duality gap is at most ``tol * ||y||^2 / n``
        with the centered y.
    max_iter : int, default=100
        Largest number of passes over all features, for each alpha.
    max_epochs : int, default=10000
        Largest number of block coordinate descent sweeps, for each alpha.
    verbose : int, default=0
        At 1 and above, show a progress bar.
    weights : object, default="deprecated"
        The old name of `group_weights`.

        .. deprecated:: 0.2
            Use `group_weights`. This name goes in 0.4.

    Returns
    -------
    path : PathResult
        Named tuple ``(alphas, coefs, gaps)``.

    Raises
    ------
    ValueError
        If the data are not finite, real and of matching shapes, a strength is
        negative, or the groups miss a feature.

    Warns
    -----
    ConvergenceWarning
        Once, when a problem of the path missed its tolerance.

    See Also
    --------
    GroupLasso : One strength.
    lasso_path : Groups of one feature.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import GroupLasso
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> path = GroupLasso.path(X, y - y.mean(), groups=5, alphas=5)
    >>> bool((path.gaps <= 1e-4 * y.var()).all())
    True
    """
    l1_ratio = check_l1_ratio(l1_ratio)
    group_weights = renamed(group_weights, weights, "group_weights", "weights")
    names = feature_names(X)
    X, y, sample_weight, coef_init = check_path_input(X, y, sample_weight, coef_init)
    problem = GroupProblem(
        X,
        y,
        sample_weight,
        groups=groups,
        group_weights=group_weights,
        feature_names=names,
        fit_intercept=fit_intercept,
        tol=tol,
        max_iter=max_iter,
        max_epochs=max_epochs,
    )
    return problem.path(alphas, eps, l1_ratio, coef_init=coef_init, verbose=verbose)


class _GroupProblemMixin:
    """The problem, for fits and for cross-validation."""

    def _validated(self, X, y, sample_weight):
        self._weights(warn=True)
        return super()._validated(X, y, sample_weight)

    def _weights(self, *, warn=False):
        return renamed(
            self.group_weights, self.weights, "group_weights", "weights", warn=warn
        )

    def _problem(self, X, y, sample_weight):
        return GroupProblem(
            X,
            y,
            sample_weight,
            groups=self.groups,
            group_weights=self._weights(),
            feature_names=getattr(self, "feature_names_in_", None),
            **solver_options(self),
        )


_GROUP_CONSTRAINTS = {
    "groups": [Interval(Integral, 1, None, closed="left"), "array-like", str],
    "group_weights": [StrOptions({"sqrt"}), "array-like", None],
    "weights": [StrOptions({"sqrt", "deprecated"}), "array-like", None],
}


class GroupLasso(_GroupProblemMixin, FitMixin, LinearPredictor):
    r"""Group and sparse-group Lasso by block descent with a Newton finish.

    Minimizes

    .. math:: \frac{1}{2 n}\|y - b - X w\|^2 + \alpha \Big((1 - \rho) \sum_g
        \omega_g \|w_g\|_2 + \rho \|w\|_1\Big)

    over coefficients w (`coef_`) and intercept b (`intercept_`), where rho is
    `l1_ratio`, omega `group_weights`, and w_g are the coefficients of group g.
    A group enters or stays out as a whole, with ``l1_ratio > 0`` also single
    features inside it. Use it for features that belong together: the indicator
    columns of a category, a basis expansion of one variable, the lags of one series.
    Do not use it when the groups are guesses: a wrong group drags its idle members
    in. Read more in the :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    groups : int, str, array-like or list of array-like, default=1
        Groups of features; each feature is in one at least. One of:

        - int: the size of consecutive groups (the last may be smaller);
        - array-like of shape (n_features,): a label per feature, integers, strings or
          anything else hashable;
        - list of lists: the features of each group, by index or, where X has column
          names, by name. Lists that share features overlap, see Notes;
        - "prefix": columns whose names are equal up to the last underscore after the
          last ``__``, as one-hot columns of a ColumnTransformer are
          (``cat__city_Paris`` and ``cat__city_Rome`` form ``cat__city``). Other columns
          stand alone. ``"prefix:cat__"`` does this for names that start with ``cat__``,
          and leaves ``num__house_age`` and ``num__house_size`` apart. Where categories
          have underscores themselves, it raises an error; give labels then.
    alpha : float, default=1.0
        Penalty strength, in units of y times a feature. Zero warns and gives
        least squares.
    l1_ratio : float, default=0.0
        Share of the absolute penalty, in [0, 1]; 0 is the group Lasso, 1 the Lasso.
    group_weights : {"sqrt"}, array-like of shape (n_groups,) or None, default="sqrt"
        Penalty multipliers of the groups: square roots of their sizes, given (in
        increasing order of labels that are numbers, in the order of other labels or
        of the list), or ones.
        0 frees a group of its norm, infinity drops it.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    tol : float, default=1e-4
        Stop when the duality gap is at most ``tol * ||y||^2 / n_samples`` with y
        centered if there is an intercept.
    max_iter : int, default=100
        Largest number of outer iterations (passes over all features).
    max_epochs : int, default=10000
        Largest number of block coordinate descent sweeps over the working sets.
    warm_start : bool, default=False
        Start from the previous `coef_`.
    verbose : int, default=0
        At 1 and above, log a line per outer iteration.
    weights : object, default="deprecated"
        The old name of `group_weights`.

        .. deprecated:: 0.2
            Use `group_weights`. This name goes in 0.4.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept, 0.0 without one.
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    active_groups_ : ndarray of int
        The groups with a non-zero coefficient.
    group_labels_ : ndarray of int of shape (n_features,)
        The group of each feature, numbered from 0; of several the first.
    group_sizes_ : ndarray of int of shape (n_groups,)
        Number of features of each group.
    group_features_ : list of ndarray of int
        The features of each group.
    group_names_ : ndarray of shape (n_groups,)
        The labels, or the common beginnings of the names; otherwise numbers.
    certificate_ : Certificate
        Duality gap relative to ``||y||^2 / n_samples`` (``kkt`` when alpha is 0).
    dual_gap_ : float
        Duality gap of the objective, in units of y squared.
    objective_ : float
        The objective at the solution.
    history_ : ndarray of shape (n_iter_,)
        Relative duality gap at each outer iteration.
    n_iter_ : int
        Number of outer iterations.
    n_epochs_ : int
        Number of block coordinate descent sweeps.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    GroupLassoCV : Chooses alpha from the data.
    Lasso : Groups of one feature.
    MultiTaskLasso : Groups made of the targets.

    Notes
    -----
    The blocks are not orthonormalized: the penalty is on the coefficients as they
    are, and each block step uses the largest eigenvalue of its Gram block. Costs and
    memory are those of :class:`Lasso`, plus the cube of a group size once for each
    group that ever enters. The result is deterministic.

    Where groups overlap, each has coefficients of its own for its features, and
    `coef_` is their sum ([4]_): the selected features are a union of groups. The
    penalty of `coef_` is that of the cheapest such split, and the certificate is of
    the problem in the split coefficients, whose design has a column for every feature
    of every group.

    References
    ----------
    .. [1] M. Yuan, Y. Lin, "Model selection and estimation in regression with
       grouped variables", JRSS B 68, 2006.
    .. [2] N. Simon, J. Friedman, T. Hastie, R. Tibshirani, "A sparse-group lasso",
       Journal of Computational and Graphical Statistics 22, 2013.
    .. [3] E. Ndiaye, O. Fercoq, A. Gramfort, J. Salmon, "Gap safe screening rules for
       sparsity enforcing penalties", JMLR 18, 2017.
    .. [4] L. Jacob, G. Obozinski, J.-P. Vert, "Group lasso with overlap and graph
       lasso", ICML 2009.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import GroupLasso
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((80, 20))
    >>> y = X[:, :4] @ [1.0, -2.0, 1.5, 1.0] + 0.1 * rng.standard_normal(80)
    >>> model = GroupLasso(groups=4, alpha=0.2).fit(X, y)
    >>> model.active_groups_
    array([0])
    >>> model.certificate_.satisfied
    True
    """

    _parameter_constraints = {
        **FIT_CONSTRAINTS,
        **_GROUP_CONSTRAINTS,
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
    }

    path = PathMethod(group_lasso_path)

    def __init__(
        self,
        groups=1,
        *,
        alpha=1.0,
        l1_ratio=0.0,
        group_weights="sqrt",
        fit_intercept=True,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        warm_start=False,
        verbose=0,
        weights="deprecated",
    ):
        self.groups = groups
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.group_weights = group_weights
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.warm_start = warm_start
        self.verbose = verbose
        self.weights = weights

    def _setting(self):
        return float(self.l1_ratio)


class GroupLassoCV(_GroupProblemMixin, PathCVMixin, LinearPredictor):
    r"""Group Lasso with alpha, and l1_ratio if wanted, chosen from the data.

    Fits the path of :class:`GroupLasso` and chooses the point with the least
    cross-validated squared error, or the least information criterion. Read more in the
    :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    groups : int, str, array-like or list of array-like, default=1
        Groups of features, as in :class:`GroupLasso`; groups of samples for the
        splitter go to `fit`.
    l1_ratio : float or array-like of float, default=0.0
        Shares of the absolute penalty to try, each in [0, 1].
    group_weights : {"sqrt"}, array-like of shape (n_groups,) or None, default="sqrt"
        Penalty multipliers of the groups, as in :class:`GroupLasso`.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on an automatic grid, or the strengths.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    criterion : {"cv", "aic", "bic", "ebic"}, default="cv"
        How to choose. Information criteria count every coefficient that is not
        zero.
    one_se : bool, default=False
        With ``criterion="cv"``, take the largest alpha whose error is within one
        standard error of the least: a sparser, more stable model.
    stop_explained : bool, default=False
        End the automatic grid where more than .999 of the sum of squares of y is
        explained, or a step gains less than 1e-5 of that, though not before five
        strengths: decided on all data, before the folds.
    cv : int, cross-validation generator or iterable, default=None
        Splitting; None means 5 folds. Splits that respect groups of samples get these
        from `fit`.
    tol : float, default=1e-4
        Every problem stops when its duality gap is at most
        ``tol * ||y||^2 / n_samples``.
    max_iter : int, default=100
        Largest number of outer iterations, for each problem.
    max_epochs : int, default=10000
        Largest number of block coordinate descent sweeps, for each problem.
    n_jobs : int, default=None
        Workers over folds and ratios. The result does not depend on it.
    verbose : int, default=0
        At 1 and above, show a progress bar for the final path.
    weights : object, default="deprecated"
        The old name of `group_weights`.

        .. deprecated:: 0.2
            Use `group_weights`. This name goes in 0.4.

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
    active_groups_ : ndarray of int
        The groups with a non-zero coefficient at the chosen point.
    group_labels_ : ndarray of int of shape (n_features,)
        The group of each feature, numbered from 0; of several the first.
    group_sizes_ : ndarray of int of shape (n_groups,)
        Number of features of each group.
    group_features_ : list of ndarray of int
        The features of each group.
    group_names_ : ndarray of shape (n_groups,)
        The labels, or the common beginnings of the names; otherwise numbers.
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
    GroupLasso : One strength.
    LassoCV : Groups of one feature.

    References
    ----------
    .. [1] N. Simon, J. Friedman, T. Hastie, R. Tibshirani, "A sparse-group lasso",
       Journal of Computational and Graphical Statistics 22, 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import GroupLassoCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((80, 20))
    >>> y = X[:, :4] @ [1.0, -2.0, 1.5, 1.0] + rng.standard_normal(80)
    >>> model = GroupLassoCV(groups=4, l1_ratio=[0.0, 0.5]).fit(X, y)
    >>> 0 in model.active_groups_, model.certificate_.satisfied
    (True, True)
    """

    _parameter_constraints = {
        **CV_CONSTRAINTS,
        **CRITERION,
        **STOP_EXPLAINED,
        **_GROUP_CONSTRAINTS,
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), "array-like"],
    }

    path = PathMethod(group_lasso_path)
    _setting_name = "l1_ratio"
    _checked_setting = staticmethod(check_l1_ratio)

    def __init__(
        self,
        groups=1,
        *,
        l1_ratio=0.0,
        group_weights="sqrt",
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
        weights="deprecated",
    ):
        self.groups = groups
        self.l1_ratio = l1_ratio
        self.group_weights = group_weights
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
        self.weights = weights
