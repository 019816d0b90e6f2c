"""Multi-task Lasso and elastic net: several targets that share their features."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sklearn.base import MultiOutputMixin

from sparsestat._utils.compat import fit_context
from sparsestat.linear_model._coordinate_descent import ElasticNet
from sparsestat.linear_model._penalized._path_result import PathMethod
from sparsestat.linear_model._predictors import validate_fit_data

__all__ = [
    "JointTargets",
    "MultiTaskElasticNet",
    "MultiTaskLasso",
    "multi_task_enet_path",
    "multi_task_lasso_path",
]


def multi_task_enet_path(
    X,
    y,
    *,
    l1_ratio=0.5,
    eps=1e-3,
    alphas=100,
    fit_intercept=False,
    feature_weights=None,
    sample_weight=None,
    coef_init=None,
    tol=1e-4,
    max_iter=100,
    max_epochs=10_000,
    verbose=0,
):
    r"""Path of the multi-task elastic net with warm starts.

    Minimizes, for each alpha and with rho = `l1_ratio`,

    .. math:: \frac{1}{2 n}\|Y - X W\|_F^2 + \alpha \sum_j \omega_j
        \Big(\rho \|W_{j\cdot}\|_2 + \frac{1-\rho}{2} \|W_{j\cdot}\|_2^2\Big).

    Read more in the :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Design. F-ordered dense or CSC float64 avoids a copy; never modified.
    y : array-like of shape (n_samples, n_targets)
        Targets.
    l1_ratio : float, default=0.5
        Share of the norms, in [0, 1]; 1 is the multi-task Lasso.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on a logarithmic grid from the smallest alpha with an
        all-zero solution downwards, or the strengths themselves.
    fit_intercept : bool, default=False
        Center X and y (weighted) first.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers omega: 0 leaves a feature unpenalized, infinity drops it.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights; an integer weight equals repetition.
    coef_init : array-like of shape (n_targets, n_features), default=None
        Where the first problem starts.
    tol : float, default=1e-4
        Each problem stops when its duality gap is at most ``tol * ||Y||_F^2 / n``.
    max_iter : int, default=100
        Largest number of passes over all features, for each alpha.
    max_epochs : int, default=10000
        Largest number of block coordinate descent sweeps, for each alpha.
    verbose : int, default=0
        At 1 and above, show a progress bar.

    Returns
    -------
    path : PathResult
        Named tuple ``(alphas, coefs, gaps)``: strengths in decreasing order,
        coefficients of shape (n_targets, n_features, n_alphas), and the gap of each in
        the units of the objective.

    See Also
    --------
    multi_task_lasso_path : The path without the squared penalty.
    MultiTaskElasticNet : One strength.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import multi_task_enet_path
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((50, 8))
    >>> Y = X[:, :2] @ rng.standard_normal((2, 3))
    >>> multi_task_enet_path(X, Y, alphas=4).coefs.shape
    (3, 8, 4)
    """
    model = MultiTaskElasticNet(
        l1_ratio=l1_ratio,
        fit_intercept=fit_intercept,
        feature_weights=feature_weights,
        tol=tol,
        max_iter=max_iter,
        max_epochs=max_epochs,
        verbose=verbose,
    )
    return model.path(
        X,
        y,
        alphas=alphas,
        eps=eps,
        sample_weight=sample_weight,
        coef_init=coef_init,
    )


def multi_task_lasso_path(
    X,
    y,
    *,
    eps=1e-3,
    alphas=100,
    fit_intercept=False,
    feature_weights=None,
    sample_weight=None,
    coef_init=None,
    tol=1e-4,
    max_iter=100,
    max_epochs=10_000,
    verbose=0,
):
    r"""Path of the multi-task Lasso with warm starts.

    Minimizes, for each alpha,

    .. math:: \frac{1}{2 n}\|Y - X W\|_F^2 + \alpha \sum_j \omega_j
        \|W_{j\cdot}\|_2.

    Read more in the :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Design. F-ordered dense or CSC float64 avoids a copy; never modified.
    y : array-like of shape (n_samples, n_targets)
        Targets.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on a logarithmic grid from the smallest alpha with an
        all-zero solution downwards, or the strengths themselves.
    fit_intercept : bool, default=False
        Center X and y (weighted) first.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers omega: 0 leaves a feature unpenalized, infinity drops it.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights; an integer weight equals repetition.
    coef_init : array-like of shape (n_targets, n_features), default=None
        Where the first problem starts.
    tol : float, default=1e-4
        Each problem stops when its duality gap is at most ``tol * ||Y||_F^2 / n``.
    max_iter : int, default=100
        Largest number of passes over all features, for each alpha.
    max_epochs : int, default=10000
        Largest number of block coordinate descent sweeps, for each alpha.
    verbose : int, default=0
        At 1 and above, show a progress bar.

    Returns
    -------
    path : PathResult
        Named tuple ``(alphas, coefs, gaps)``: strengths in decreasing order,
        coefficients of shape (n_targets, n_features, n_alphas), and the gap of each in
        the units of the objective.

    See Also
    --------
    multi_task_enet_path : Adds a squared penalty.
    MultiTaskLasso : One strength.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import multi_task_lasso_path
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((50, 8))
    >>> Y = X[:, :2] @ rng.standard_normal((2, 3))
    >>> multi_task_lasso_path(X, Y, alphas=4).coefs.shape
    (3, 8, 4)
    """
    model = MultiTaskLasso(
        fit_intercept=fit_intercept,
        feature_weights=feature_weights,
        tol=tol,
        max_iter=max_iter,
        max_epochs=max_epochs,
        verbose=verbose,
    )
    return model.path(
        X,
        y,
        alphas=alphas,
        eps=eps,
        sample_weight=sample_weight,
        coef_init=coef_init,
    )


class JointTargets(MultiOutputMixin):
    """Targets of shape (n_samples, n_targets) that make one problem."""

    _is_joint = True
    _block_problem = ElasticNet._block_problem
    _problem = ElasticNet._problem

    def _validated(self, X, y, sample_weight):
        X, y, sample_weight = validate_fit_data(
            self, X, y, sample_weight, multi_output=True
        )
        if y.ndim == 1:
            name = type(self).__name__.replace("MultiTask", "")
            raise ValueError(
                f"For one-dimensional targets use {name}: y has shape {y.shape}, but "
                "(n_samples, n_targets) is expected."
            )
        return X, y, sample_weight

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags


class MultiTaskElasticNet(JointTargets, ElasticNet):
    r"""Multi-task elastic net: several targets that share their features.

    Minimizes

    .. math:: \frac{1}{2 n}\|Y - 1 b' - X W\|_F^2 + \alpha \sum_j
        \omega_j \Big(\rho \|W_{j\cdot}\|_2 + \frac{1-\rho}{2} \|W_{j\cdot}\|_2^2\Big)

    over W (`coef_` is its transpose) and the intercepts b, so that a feature is
    used for all targets or for none. Use it when the targets depend on the same
    features, for example sensors that see the same sources. It solves the
    problem of :class:`sklearn.linear_model.MultiTaskElasticNet`, also for sparse X and
    with sample weights. Read more in the :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    alpha : float, default=1.0
        Penalty strength, in units of y times a feature. Zero warns and gives
        least squares.
    l1_ratio : float, default=0.5
        Share rho of the norms, in [0, 1]; the rest is a ridge, which keeps features
        that resemble each other together.
    fit_intercept : bool, default=True
        Fit an intercept per target. X is centered implicitly.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers: 0 leaves a feature unpenalized, infinity drops it.
    tol : float, default=1e-4
        Stop when the duality gap is at most ``tol * ||Y||_F^2 / n_samples`` with Y
        centered if there is an intercept.
    max_iter : int, default=100
        Largest number of outer iterations (passes over all features).
    max_epochs : int, default=10000
        Largest number of block coordinate descent sweeps over the working sets.
    warm_start : bool, default=False
        Start from the previous `coef_`.
    verbose : int, default=0
        At 1 and above, log a line per outer iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (n_targets, n_features)
        Coefficients.
    intercept_ : ndarray of shape (n_targets,)
        Intercepts, zeros without.
    sparse_coef_ : csr_array of shape (n_targets, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Duality gap relative to ``||Y||_F^2 / n_samples``.
    dual_gap_ : float
        Duality gap of the objective, in units of y squared.
    objective_ : float
        The objective at the solution.
    history_ : ndarray of shape (n_iter_,)
        Relative duality gap at each outer iteration.
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
    ElasticNet : One target.
    MultiTaskElasticNetCV : Chooses alpha and l1_ratio from the data.
    sklearn.linear_model.MultiTaskElasticNet : Plain block coordinate descent.

    References
    ----------
    .. [1] G. Obozinski, B. Taskar, M. Jordan, "Joint covariate selection and joint
       subspace selection for multiple classification problems", Statistics and
       Computing 20, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import MultiTaskElasticNet
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((50, 8))
    >>> Y = X[:, :2] @ rng.standard_normal((2, 3))
    >>> model = MultiTaskElasticNet(alpha=0.1, l1_ratio=0.9).fit(X, Y)
    >>> np.flatnonzero(model.coef_.any(axis=0))
    array([0, 1])
    """

    _parameter_constraints = {
        name: rule
        for name, rule in ElasticNet._parameter_constraints.items()
        if name != "positive"
    }

    path = PathMethod(multi_task_enet_path)

    def __init__(
        self,
        alpha=1.0,
        *,
        l1_ratio=0.5,
        fit_intercept=True,
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
        self.feature_weights = feature_weights
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.warm_start = warm_start
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, y, sample_weight = self._validated(X, y, sample_weight)
        return self._fit_validated(X, y, sample_weight)


class MultiTaskLasso(MultiTaskElasticNet):
    r"""Multi-task Lasso: several targets that share their features.

    Minimizes

    .. math:: \frac{1}{2 n}\|Y - 1 b' - X W\|_F^2 + \alpha \sum_j \omega_j
        \|W_{j\cdot}\|_2

    over W (`coef_` is its transpose) and the intercepts b, so that a feature is
    used for all targets or for none. Use it when the targets depend on the same
    features, for example sensors that see the same sources. It solves the
    problem of :class:`sklearn.linear_model.MultiTaskLasso`, also for sparse X and
    with sample weights. Read more in the :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    alpha : float, default=1.0
        Penalty strength, in units of y times a feature. Zero warns and gives
        least squares.
    fit_intercept : bool, default=True
        Fit an intercept per target. X is centered implicitly.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers: 0 leaves a feature unpenalized, infinity drops it.
    tol : float, default=1e-4
        Stop when the duality gap is at most ``tol * ||Y||_F^2 / n_samples`` with Y
        centered if there is an intercept.
    max_iter : int, default=100
        Largest number of outer iterations (passes over all features).
    max_epochs : int, default=10000
        Largest number of block coordinate descent sweeps over the working sets.
    warm_start : bool, default=False
        Start from the previous `coef_`.
    verbose : int, default=0
        At 1 and above, log a line per outer iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (n_targets, n_features)
        Coefficients.
    intercept_ : ndarray of shape (n_targets,)
        Intercepts, zeros without.
    sparse_coef_ : csr_array of shape (n_targets, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        Duality gap relative to ``||Y||_F^2 / n_samples``.
    dual_gap_ : float
        Duality gap of the objective, in units of y squared.
    objective_ : float
        The objective at the solution.
    history_ : ndarray of shape (n_iter_,)
        Relative duality gap at each outer iteration.
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
    Lasso : One target.
    MultiTaskLassoCV : Chooses alpha from the data.
    sklearn.linear_model.MultiTaskLasso : Plain block coordinate descent.

    References
    ----------
    .. [1] G. Obozinski, B. Taskar, M. Jordan, "Joint covariate selection and joint
       subspace selection for multiple classification problems", Statistics and
       Computing 20, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import MultiTaskLasso
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((50, 8))
    >>> Y = X[:, :2] @ rng.standard_normal((2, 3))
    >>> model = MultiTaskLasso(alpha=0.1).fit(X, Y)
    >>> np.flatnonzero(model.coef_.any(axis=0))
    array([0, 1])
    """

    _parameter_constraints = {
        name: rule
        for name, rule in MultiTaskElasticNet._parameter_constraints.items()
        if name != "l1_ratio"
    }

    path = PathMethod(multi_task_lasso_path)

    def __init__(
        self,
        alpha=1.0,
        *,
        fit_intercept=True,
        feature_weights=None,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        warm_start=False,
        verbose=0,
    ):
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.feature_weights = feature_weights
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.warm_start = warm_start
        self.verbose = verbose

    def _setting(self):
        return 1.0
