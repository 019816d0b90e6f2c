"""Lasso and elastic net as scikit-learn regressors."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

from sparsestat._utils.compat import Interval
from sparsestat.linear_model import _paths as paths
from sparsestat.linear_model._fit import FIT_CONSTRAINTS, FitMixin, solver_options
from sparsestat.linear_model._penalized._elastic_net import ElasticNetProblem
from sparsestat.linear_model._penalized._moment_problem import block_problem
from sparsestat.linear_model._penalized._path_result import PathMethod
from sparsestat.linear_model._penalized._problems import (
    feature_weight_array,
)
from sparsestat.linear_model._predictors import LinearPredictor, validate_fit_data

__all__ = ["ElasticNet", "Lasso"]


class ElasticNet(FitMixin, LinearPredictor):
    r"""Elastic net by working-set coordinate descent with a Newton finish.

    Minimizes

    .. math:: \frac{1}{2 n}\|y - b - X w\|^2 + \alpha \sum_j \omega_j
        \Big(\rho |w_j| + \frac{1-\rho}{2} w_j^2\Big)

    over coefficients w (`coef_`) and intercept b (`intercept_`), where rho is
    `l1_ratio` and omega `feature_weights`. With sample weights the loss is their
    weighted mean. Use it when features are correlated in groups of which the Lasso
    would pick one at random; use :class:`sklearn.linear_model.Ridge` when all features
    matter a little. It solves the problem of :class:`sklearn.linear_model.ElasticNet`
    and returns a duality gap with the answer. Read more in the
    :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    alpha : float, default=1.0
        Penalty strength, in units of y times a feature. Zero warns and gives
        least squares.
    l1_ratio : float, default=0.5
        Share of the absolute penalty, in [0, 1]; 1 is the Lasso, 0 is ridge.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    positive : bool, default=False
        Constrain the coefficients to be non-negative.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers: 0 leaves a feature unpenalized, infinity drops it.
    tol : float, default=1e-4
        Stop when the duality gap is at most ``tol * ||y||^2 / n_samples`` with y
        centered if there is an intercept.
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
    coef_ : ndarray of shape ([n_targets,] n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercept, 0.0 without one.
    sparse_coef_ : csr_array of shape (n_targets, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Duality gap relative to ``||y||^2 / n_samples`` (``kkt`` when alpha is 0), of
        the target with the largest.
    dual_gap_ : float or ndarray of shape (n_targets,)
        Duality gap of the objective, in units of y squared.
    objective_ : float or ndarray of shape (n_targets,)
        The objective at the solution.
    history_ : ndarray
        Relative duality gap at each outer iteration, of the target with the largest.
    n_iter_ : int
        Number of outer iterations, the largest over the targets.
    n_epochs_ : int
        Number of coordinate descent sweeps, the largest over the targets.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    ElasticNetCV : Chooses alpha and l1_ratio from the data.
    Lasso : The case ``l1_ratio=1``.
    enet_path : Solutions for a sequence of strengths.
    sklearn.linear_model.ElasticNet : Plain coordinate descent.

    Notes
    -----
    One pass over X costs O(n_samples * n_features) or O(nnz); a Newton step on a
    support of size s costs O(s^3) on a cached Gram matrix (dense) or a few
    conjugate gradient steps (sparse). Memory beside X, with a working set of size
    a: O(n_samples * a + a^2) for dense X and for sparse X that is at least 5 %
    full, O(nnz) for other sparse X. float32 input is read as it is and gives
    float32 coefficients; all sums are float64. The result is deterministic.

    References
    ----------
    .. [1] H. Zou, T. Hastie, "Regularization and variable selection via the
       elastic net", JRSS B 67, 2005.
    .. [2] M. Massias, A. Gramfort, J. Salmon, "Celer: a fast solver for the Lasso
       with dual extrapolation", ICML, 2018.
    .. [3] J. Nutini, I. Laradji, M. Schmidt, "Let's make block coordinate descent
       converge faster", JMLR 23, 2022.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import ElasticNet
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> model = ElasticNet(alpha=2.0, l1_ratio=0.9).fit(X, y)
    >>> int((model.coef_ != 0).sum())
    27
    >>> model.certificate_.satisfied
    True
    """

    _parameter_constraints = {
        **FIT_CONSTRAINTS,
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "positive": ["boolean"],
        "feature_weights": ["array-like", None],
    }

    path = PathMethod(paths.enet_path)

    def __init__(
        self,
        alpha=1.0,
        *,
        l1_ratio=0.5,
        fit_intercept=True,
        positive=False,
        feature_weights=None,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        warm_start=False,
        verbose=0,
    ):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.feature_weights = feature_weights
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.warm_start = warm_start
        self.verbose = verbose

    def _problem(self, X, y, sample_weight):
        return ElasticNetProblem(
            X,
            y,
            sample_weight,
            positive=getattr(self, "positive", False),
            feature_weights=feature_weight_array(self.feature_weights, X.shape[1]),
            **solver_options(self),
        )

    def _setting(self):
        return self.l1_ratio

    _is_joint = False

    def _validated(self, X, y, sample_weight):
        X, y, sample_weight = validate_fit_data(
            self, X, y, sample_weight, multi_output=True
        )
        if y.ndim == 2 and y.shape[1] == 1 and not self._is_joint:
            y = y[:, 0]
        return X, y, sample_weight

    def _fit_blocks(self, blocks):
        return self._fit_problem(self._block_problem(blocks)[0])

    def _block_problem(self, blocks, folds=None):
        return block_problem(
            type(self).__name__,
            blocks,
            folds=folds,
            joint=self._is_joint,
            feature_weights=self.feature_weights,
            n_jobs=getattr(self, "n_jobs", None),
            verbose=self.verbose,
            positive=getattr(self, "positive", False),
            **solver_options(self),
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class Lasso(ElasticNet):
    r"""Lasso by working-set coordinate descent with a Newton finish.

    Minimizes

    .. math:: \frac{1}{2 n}\|y - b - X w\|^2 + \alpha \sum_j \omega_j |w_j|

    over coefficients w (`coef_`) and intercept b (`intercept_`), where omega is
    `feature_weights`. With sample weights the loss is their weighted mean. Use it to
    select a few of many features; do not use it to select among almost identical ones,
    where it picks at random (:class:`ElasticNet` keeps them together), nor for unbiased
    coefficients. It solves the problem of :class:`sklearn.linear_model.Lasso` and
    returns a duality gap with the answer. Read more in the
    :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    alpha : float, default=1.0
        Penalty strength, in units of y times a feature. Zero warns and gives
        least squares.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    positive : bool, default=False
        Constrain the coefficients to be non-negative.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers: 0 leaves a feature unpenalized, infinity drops it.
    tol : float, default=1e-4
        Stop when the duality gap is at most ``tol * ||y||^2 / n_samples`` with y
        centered if there is an intercept.
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
    coef_ : ndarray of shape ([n_targets,] n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercept, 0.0 without one.
    sparse_coef_ : csr_array of shape (n_targets, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Duality gap relative to ``||y||^2 / n_samples`` (``kkt`` when alpha is 0), of
        the target with the largest.
    dual_gap_ : float or ndarray of shape (n_targets,)
        Duality gap of the objective, in units of y squared.
    objective_ : float or ndarray of shape (n_targets,)
        The objective at the solution.
    history_ : ndarray
        Relative duality gap at each outer iteration, of the target with the largest.
    n_iter_ : int
        Number of outer iterations, the largest over the targets.
    n_epochs_ : int
        Number of coordinate descent sweeps, the largest over the targets.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    LassoCV : Chooses alpha from the data.
    ElasticNet : Adds a squared penalty.
    lasso_path : Solutions for a sequence of strengths.
    sklearn.linear_model.Lasso : Plain coordinate descent.

    Notes
    -----
    One pass over X costs O(n_samples * n_features) or O(nnz); a Newton step on a
    support of size s costs O(s^3) on a cached Gram matrix (dense) or a few
    conjugate gradient steps (sparse). Memory beside X, with a working set of size
    a: O(n_samples * a + a^2) for dense X and for sparse X that is at least 5 %
    full, O(nnz) for other sparse X. float32 input is read as it is and gives
    float32 coefficients; all sums are float64. The result is deterministic.

    References
    ----------
    .. [1] R. Tibshirani, "Regression shrinkage and selection via the lasso", JRSS
       B 58, 1996.
    .. [2] M. Massias, A. Gramfort, J. Salmon, "Celer: a fast solver for the Lasso
       with dual extrapolation", ICML, 2018.
    .. [3] X. Li, D. Sun, K.-C. Toh, "A highly efficient semismooth Newton
       augmented Lagrangian method for solving Lasso problems", SIAM J. Optim.
       28, 2018.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import Lasso
    >>> X, y = load_diabetes_interactions(degree=3, return_X_y=True)
    >>> model = Lasso(alpha=2.0).fit(X, y)
    >>> int((model.coef_ != 0).sum())
    48
    >>> model.certificate_.satisfied
    True
    """

    _parameter_constraints = {
        name: rule
        for name, rule in ElasticNet._parameter_constraints.items()
        if name != "l1_ratio"
    }

    path = PathMethod(paths.lasso_path)

    def __init__(
        self,
        alpha=1.0,
        *,
        fit_intercept=True,
        positive=False,
        feature_weights=None,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        warm_start=False,
        verbose=0,
    ):
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.feature_weights = feature_weights
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.warm_start = warm_start
        self.verbose = verbose

    def _setting(self):
        return 1.0
