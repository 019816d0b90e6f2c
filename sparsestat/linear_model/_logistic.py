"""Sparse logistic regression, binary and multinomial."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.metrics import accuracy_score

from sparsestat._utils.compat import StrOptions
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
from sparsestat.linear_model._penalized._datafits import Logistic
from sparsestat.linear_model._penalized._likelihood_problems import (
    LogisticProblem,
)
from sparsestat.linear_model._penalized._multinomial_problem import MultinomialProblem
from sparsestat.linear_model._predictors import LinearClassifier

__all__ = ["SparseLogisticRegression", "SparseLogisticRegressionCV"]

_LOGISTIC_CONSTRAINTS = {
    "row_sparse": ["boolean"],
    "class_weight": [StrOptions({"balanced"}), dict, None],
}


class _LogisticModel(OffsetMixin, LinearClassifier):
    """The problem of both classifiers."""

    def decision_function(self, X, offset=None):
        """Return the linear predictors.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`; of several classes as there.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            With two classes the log odds of the second.
        """
        return self._shifted(super().decision_function(X), offset)

    def predict(self, X, offset=None):
        """Predict the most probable class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`; of several classes as there.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Labels, from `classes_`.
        """
        return self._classes_of(self.decision_function(X, offset))

    def predict_log_proba(self, X, offset=None):
        """Predict the logarithms of the class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`; of several classes as there.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return self._log_proba_of(self.decision_function(X, offset))

    def predict_proba(self, X, offset=None):
        """Predict the class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`; of several classes as there.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return np.exp(self.predict_log_proba(X, offset))

    def score(self, X, y, sample_weight=None, offset=None):
        """Return the share of samples that are classified rightly.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`; of several classes as there.

        Returns
        -------
        score : float
            1 is perfect.
        """
        return accuracy_score(y, self.predict(X, offset), sample_weight=sample_weight)

    def _offset_shape(self, n_samples):
        n_classes = len(self.classes_)
        return (n_samples,) if n_classes == 2 else (n_samples, n_classes)

    def _problem(self, X, y, sample_weight, **rows):
        options = {**solver_options(self), **rows}
        n_classes = len(self.classes_)
        # With two classes there is one row of coefficients, and nothing to join.
        spec = self._spec(X.shape[1], row_sparse=self.row_sparse)
        if self.row_sparse and n_classes == 2 and self.penalty != "group":
            spec = self._spec(X.shape[1])
        options["penalty"] = spec
        if n_classes == 2:
            return LogisticProblem(X, y.astype(np.float64), sample_weight, **options)
        return MultinomialProblem(X, y, sample_weight, n_classes=n_classes, **options)


class SparseLogisticRegression(BlockLikelihoodMixin, GLMFitMixin, _LogisticModel):
    r"""Sparse logistic regression, binary or truly multinomial.

    Minimizes

    .. math:: \frac{1}{n} \sum_i \Big(\log \sum_c e^{\eta_{ic}} - \eta_{i y_i}\Big)
        + \alpha \Big(\rho\, \Omega(W) + \frac{1-\rho}{2} \|W\|_F^2\Big),
        \qquad \eta_{ic} = b_c + x_i'w_c

    over coefficients W (`coef_`) and intercepts b (`intercept_`), where rho is
    `l1_ratio`. Two classes have one vector of coefficients, and the log loss of a
    sigmoid. Omega is the sum of absolute values, the MCP, or a sum of norms of
    `groups` or rows. With sample or class weights the loss is their weighted mean. Use
    it to classify by a few of many features. For alpha > 0 (except the MCP) the
    coefficients stay finite also when the classes are separable. It solves the problem
    of :class:`sklearn.linear_model.LogisticRegression` with ``l1_ratio`` above 0, and
    returns a duality gap with the answer. Read more in the :ref:`User Guide <glm>`.

    Parameters
    ----------
    alpha : float, default=0.01
        Penalty strength; the loss is a (weighted) mean over samples, so that
        scikit-learn's ``C`` is ``1 / (alpha * n_samples)``. Zero warns and looks for
        the maximum of the likelihood.
    penalty : {"elasticnet", "mcp", "scad", "group"}, default="elasticnet"
        "elasticnet" ("l1" is an alias) has absolute values and a ridge. "mcp" and
        "scad" leave large coefficients unshrunk (not convex: a stationary point is
        found, from zero or along the path). "group" selects whole `groups`.
    l1_ratio : float, default=None
        Share of the penalty that selects, the rest is a ridge; for groups the share of
        absolute values inside them (sparse groups). None is 1, for groups 0.
    row_sparse : bool, default=False
        With several classes, penalize the norm of all coefficients of a feature, so
        that it is used for all classes or for none.
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
    class_weight : dict or "balanced", default=None
        Factors of the sample weights by class; "balanced" makes all classes count the
        same.
    fit_intercept : bool, default=True
        Fit an unpenalized intercept. X is centered implicitly, so sparse X stays
        sparse.
    tol : float, default=1e-4
        Stop when the duality gap is at most `tol` times the difference between the
        loss of the intercept alone and the least possible loss. For the
        MCP, when the largest violation of stationarity is at most `tol` times the
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
    classes_ : ndarray of shape (n_classes,)
        The labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients; with two classes, of the second.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts, zeros without; several sum to zero.
    sparse_coef_ : csr_array of shape (1, n_features) or (n_classes, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Duality gap relative to what there is to explain; for the MCP and alpha = 0 the
        largest violation of stationarity relative to the largest gradient at zero.
    dual_gap_ : float
        Duality gap of the objective (not for the MCP).
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
    SparseLogisticRegressionCV : Chooses alpha from the data.
    sklearn.linear_model.LogisticRegression : More solvers for the ridge.

    Notes
    -----
    One pass over X costs O(n_samples * n_features) or O(nnz); a second-order model on
    a working set of a features O(n_samples * a^2 + a^3) (dense) or a few sweeps over
    its entries (sparse). Memory beside X: O(n_samples * a + a^2) with a at most 3000
    for dense X, O(nnz) for sparse X. A multinomial step never
    forms its Hessian: a conjugate gradient step costs O(n_samples * a * n_classes).
    float32 input is read as it is and gives float32
    coefficients; all sums are float64. The result is deterministic.

    References
    ----------
    .. [1] J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for generalized
       linear models via coordinate descent", J. Statistical Software 33, 2010.
    .. [2] G.-X. Yuan, C.-H. Ho, C.-J. Lin, "An improved GLMNET for L1-regularized
       logistic regression", JMLR 13, 2012.
    .. [3] E. Ndiaye, O. Fercoq, A. Gramfort, J. Salmon, "Gap safe screening rules for
       sparsity enforcing penalties", JMLR 18, 2017.
    .. [4] H. Zou, R. Li, "One-step sparse estimates in nonconcave penalized likelihood
       models", Annals of Statistics 36, 2008.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sparsestat.linear_model import SparseLogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = SparseLogisticRegression(alpha=0.03).fit(scale(X), y)
    >>> int((model.coef_ != 0).sum())
    6
    >>> model.certificate_.satisfied
    True
    """

    _parameter_constraints = {**FIT_CONSTRAINTS, **_LOGISTIC_CONSTRAINTS}

    def __init__(
        self,
        alpha=0.01,
        *,
        penalty="elasticnet",
        l1_ratio=None,
        row_sparse=False,
        gamma=None,
        groups=None,
        group_weights="sqrt",
        feature_weights=None,
        positive=False,
        class_weight=None,
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
        self.row_sparse = row_sparse
        self.gamma = gamma
        self.groups = groups
        self.group_weights = group_weights
        self.feature_weights = feature_weights
        self.positive = positive
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.warm_start = warm_start
        self.verbose = verbose

    def _fit_blocks(self, blocks, offset=None):
        return self._fit_likelihood(blocks, Logistic, offset=offset)


class SparseLogisticRegressionCV(BlockLikelihoodMixin, GLMCVMixin, _LogisticModel):
    r"""Sparse logistic regression with alpha chosen by cross-validation.

    Fits the path of :class:`SparseLogisticRegression` and chooses the point with the
    least log loss on held-out, stratified folds. Read more in the
    :ref:`User Guide <glm>`.

    Parameters
    ----------
    penalty : {"elasticnet", "mcp", "scad", "group"}, default="elasticnet"
        "elasticnet" ("l1" is an alias) has absolute values and a ridge. "mcp" and
        "scad" leave large coefficients unshrunk (not convex: a stationary point is
        found, from zero or along the path). "group" selects whole `groups`.
    l1_ratio : float or array-like of float, default=None
        Shares of the penalty that select, to be tried, the rest is a ridge; for groups
        shares of absolute values inside them (sparse groups). None is 1, for groups 0.
    row_sparse : bool, default=False
        With several classes, penalize the norm of all coefficients of a feature, so
        that it is used for all classes or for none.
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
    class_weight : dict or "balanced", default=None
        Factors of the sample weights by class; "balanced" makes all classes count the
        same.
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
    classes_ : ndarray of shape (n_classes,)
        The labels.
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
        Mean log loss of each held-out fold.
    coef_path_ : ndarray of shape ([n_classes,] n_features, n_alphas)
        Coefficients on all the data along the path of the chosen share.
    intercept_path_ : ndarray of shape ([n_classes,] n_alphas)
        Their intercepts.
    dual_gaps_ : ndarray of shape (n_alphas,)
        Their duality gaps (for the MCP `kkt_residuals_`, their violations).
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients; with two classes, of the second.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts, zeros without; several sum to zero.
    sparse_coef_ : csr_array of shape (1, n_features) or (n_classes, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Duality gap relative to what there is to explain; for the MCP and alpha = 0 the
        largest violation of stationarity relative to the largest gradient at zero.
    dual_gap_ : float
        Duality gap of the objective (not for the MCP).
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
    SparseLogisticRegression : One strength.
    sklearn.linear_model.LogisticRegressionCV : More solvers for the ridge.

    References
    ----------
    .. [1] J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for generalized
       linear models via coordinate descent", J. Statistical Software 33, 2010.
    .. [2] G.-X. Yuan, C.-H. Ho, C.-J. Lin, "An improved GLMNET for L1-regularized
       logistic regression", JMLR 13, 2012.
    .. [3] E. Ndiaye, O. Fercoq, A. Gramfort, J. Salmon, "Gap safe screening rules for
       sparsity enforcing penalties", JMLR 18, 2017.
    .. [4] H. Zou, R. Li, "One-step sparse estimates in nonconcave penalized likelihood
       models", Annals of Statistics 36, 2008.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from sparsestat.linear_model import SparseLogisticRegressionCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = SparseLogisticRegressionCV(alphas=20, one_se=True).fit(scale(X), y)
    >>> model.score(scale(X), y) > 0.95
    True
    """

    _parameter_constraints = {
        **CV_CONSTRAINTS,
        **_LOGISTIC_CONSTRAINTS,
        **STOP_EXPLAINED,
    }

    def __init__(
        self,
        *,
        penalty="elasticnet",
        l1_ratio=None,
        row_sparse=False,
        gamma=None,
        groups=None,
        group_weights="sqrt",
        feature_weights=None,
        positive=False,
        class_weight=None,
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
        self.row_sparse = row_sparse
        self.gamma = gamma
        self.groups = groups
        self.group_weights = group_weights
        self.feature_weights = feature_weights
        self.positive = positive
        self.class_weight = class_weight
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
        return self._fit_likelihood_cv(blocks, Logistic, **options)
