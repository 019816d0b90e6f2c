r"""Regularization paths of the Lasso, the elastic net, MCP and SCAD.

.. math:: \min_{w, b}\; \frac{1}{2 S}\sum_i s_i (y_i - b - x_i'w)^2
   + \alpha \sum_j \omega_j \Big(\rho |w_j| + \frac{1-\rho}{2} w_j^2\Big),
   \qquad S = \sum_i s_i,

or with MCP or SCAD, see ``_nonconvex``, in place of the penalty.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.utils import check_array, check_X_y

from sparsestat._utils.samples import FLOATS, given_weights
from sparsestat._utils.validation import is_plain, refuse_complex
from sparsestat.linear_model._penalized._concave_path import ConcaveProblem, check_shape
from sparsestat.linear_model._penalized._elastic_net import ElasticNetProblem
from sparsestat.linear_model._penalized._path_result import PathResult
from sparsestat.linear_model._penalized._problems import feature_weight_array

__all__ = ["PathResult", "enet_path", "lasso_path", "mcp_path", "scad_path"]


def lasso_path(
    X,
    y,
    *,
    eps=1e-3,
    alphas=100,
    fit_intercept=False,
    positive=False,
    feature_weights=None,
    sample_weight=None,
    coef_init=None,
    stop_explained=False,
    tol=1e-4,
    max_iter=100,
    max_epochs=10_000,
    verbose=0,
):
    r"""Lasso path by working-set coordinate descent with warm starts.

    Minimizes, for each alpha,

    .. math:: \frac{1}{2 n}\|y - X w\|^2 + \alpha \sum_j \omega_j |w_j|.

    Read more in the :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Design. F-ordered dense or CSC float64 avoids a copy; never modified.
    y : array-like of shape (n_samples,)
        Target.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on a logarithmic grid from the smallest alpha with an
        all-zero solution downwards, or the strengths themselves.
    fit_intercept : bool, default=False
        Center X and y (weighted) first.
    positive : bool, default=False
        Constrain the coefficients to be non-negative.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers omega: 0 leaves a feature unpenalized, infinity drops
        it.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights; an integer weight equals repetition.
    coef_init : array-like of shape (n_features,), default=None
        Where the first problem starts.
    stop_explained : bool, default=False
        End the automatic grid where more than .999 of the sum of squares of y is
        explained, or a step gains less than 1e-5 of that, though not before five
        strengths.
    tol : float, default=1e-4
        Each problem stops when its duality gap is at most ``tol * ||y||^2 / n``
        with the centered y.
    max_iter : int, default=100
        Largest number of passes over all features, for each alpha.
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps, for each alpha.
    verbose : int, default=0
        At 1 and above, show a progress bar.

    Returns
    -------
    path : PathResult
        Named tuple ``(alphas, coefs, gaps)``: strengths in decreasing order,
        coefficients of shape (n_features, n_alphas), and the gap of each in the units
        of the objective.

    Raises
    ------
    ValueError
        If the data are not finite, real and of matching shapes, or a strength is
        negative.

    Warns
    -----
    ConvergenceWarning
        Once, when a problem of the path missed its tolerance.

    See Also
    --------
    enet_path : The same with a squared penalty added.
    LassoCV : Chooses alpha on the path by cross-validation or a criterion.
    sklearn.linear_model.lasso_path : Plain coordinate descent.

    Notes
    -----
    Each alpha starts from the previous solution and working set; the sequential
    strong rule proposes the features that enter, the gap-safe rule leaves out
    those that certainly do not. Memory beside X, with a working set of size a:
    O(n_samples * a + a^2) for dense X, O(nnz) for sparse X.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import lasso_path
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> path = lasso_path(X, y - y.mean(), alphas=5)
    >>> [int((w != 0).sum()) for w in path.coefs.T]
    [0, 7, 25, 48, 58]
    """
    return enet_path(
        X,
        y,
        l1_ratio=1.0,
        eps=eps,
        alphas=alphas,
        fit_intercept=fit_intercept,
        positive=positive,
        feature_weights=feature_weights,
        sample_weight=sample_weight,
        coef_init=coef_init,
        stop_explained=stop_explained,
        tol=tol,
        max_iter=max_iter,
        max_epochs=max_epochs,
        verbose=verbose,
    )


def enet_path(
    X,
    y,
    *,
    l1_ratio=0.5,
    eps=1e-3,
    alphas=100,
    fit_intercept=False,
    positive=False,
    feature_weights=None,
    sample_weight=None,
    coef_init=None,
    stop_explained=False,
    tol=1e-4,
    max_iter=100,
    max_epochs=10_000,
    verbose=0,
):
    r"""Elastic net path by working-set coordinate descent with warm starts.

    Minimizes, for each alpha and with rho = `l1_ratio`,

    .. math:: \frac{1}{2 n}\|y - X w\|^2 + \alpha \sum_j \omega_j
        \Big(\rho |w_j| + \frac{1-\rho}{2} w_j^2\Big).

    Read more in the :ref:`User Guide <sparse_regression>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Design. F-ordered dense or CSC float64 avoids a copy; never modified.
    y : array-like of shape (n_samples,)
        Target.
    l1_ratio : float, default=0.5
        Share of the absolute penalty, in [0, 1]; 1 is the Lasso.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on a logarithmic grid from the smallest alpha with an
        all-zero solution downwards, or the strengths themselves.
    fit_intercept : bool, default=False
        Center X and y (weighted) first.
    positive : bool, default=False
        Constrain the coefficients to be non-negative.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers omega: 0 leaves a feature unpenalized, infinity drops
        it.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights; an integer weight equals repetition.
    coef_init : array-like of shape (n_features,), default=None
        Where the first problem starts.
    stop_explained : bool, default=False
        End the automatic grid where more than .999 of the sum of squares of y is
        explained, or a step gains less than 1e-5 of that, though not before five
        strengths.
    tol : float, default=1e-4
        Each problem stops when its duality gap is at most ``tol * ||y||^2 / n``
        with the centered y.
    max_iter : int, default=100
        Largest number of passes over all features, for each alpha.
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps, for each alpha.
    verbose : int, default=0
        At 1 and above, show a progress bar.

    Returns
    -------
    path : PathResult
        Named tuple ``(alphas, coefs, gaps)``: strengths in decreasing order,
        coefficients of shape (n_features, n_alphas), and the gap of each in the units
        of the objective.

    Raises
    ------
    ValueError
        If the data are not finite, real and of matching shapes, or a strength is
        negative.

    Warns
    -----
    ConvergenceWarning
        Once, when a problem of the path missed its tolerance.

    See Also
    --------
    lasso_path : The path without the squared penalty.
    ElasticNetCV : Chooses alpha and l1_ratio by cross-validation or a criterion.
    sklearn.linear_model.enet_path : Plain coordinate descent.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import enet_path
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> path = enet_path(X, y - y.mean(), l1_ratio=0.8, alphas=5)
    >>> bool((path.gaps <= 1e-4 * y.var()).all())
    True
    """
    l1_ratio = check_l1_ratio(l1_ratio)
    X, y, sample_weight, coef_init = check_path_input(X, y, sample_weight, coef_init)
    problem = ElasticNetProblem(
        X,
        y,
        sample_weight,
        fit_intercept=fit_intercept,
        positive=positive,
        feature_weights=feature_weight_array(feature_weights, X.shape[1]),
        tol=tol,
        max_iter=max_iter,
        max_epochs=max_epochs,
    )
    return problem.path(
        alphas,
        eps,
        l1_ratio,
        coef_init=coef_init,
        verbose=verbose,
        stop_explained=stop_explained,
    )


def mcp_path(
    X,
    y,
    *,
    gamma=3.0,
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
    """MCP path by working-set coordinate descent with warm starts.

    The problem of :class:`MCPRegressor` for a decreasing sequence of strengths, each
    started from the solution of the one before: this way into a non-convex problem
    finds better stationary points than a cold start at a weak penalty. Read more in
    the :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Design. F-ordered dense or CSC float64 avoids a copy; never modified.
    y : array-like of shape (n_samples,)
        Target.
    gamma : float, default=3.0
        Where the penalty becomes constant, in units of alpha; above 1. Small values
        leave more coefficients unshrunk but make more local minima; infinity is
        the Lasso.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on a logarithmic grid from the smallest alpha with an
        all-zero solution downwards, or the strengths themselves.
    fit_intercept : bool, default=False
        Center X and y (weighted) first.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers: 0 leaves a feature unpenalized, infinity drops it.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights; an integer weight equals repetition.
    coef_init : array-like of shape (n_features,), default=None
        Where the first problem starts.
    tol : float, default=1e-4
        Each problem stops when the largest violation of stationarity is at most tol
        times the largest gradient at zero.
    max_iter : int, default=100
        Largest number of passes over all features, for each alpha.
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps, for each alpha.
    verbose : int, default=0
        At 1 and above, show a progress bar.

    Returns
    -------
    path : PathResult
        Named tuple ``(alphas, coefs, gaps)``.

    Raises
    ------
    ValueError
        If the data are not finite, real and of matching shapes, a strength is
        negative or `gamma` is not above 1.

    Warns
    -----
    ConvergenceWarning
        Once, when a problem of the path missed its tolerance.

    See Also
    --------
    MCPRegressor : One strength.
    lasso_path : The convex path.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import MCPRegressor
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> path = MCPRegressor.path(X, y - y.mean(), alphas=5)
    >>> [int((w != 0).sum()) for w in path.coefs.T][:2]
    [0, 5]
    """
    return _concave_path(
        "mcp",
        X,
        y,
        gamma,
        eps,
        alphas,
        coef_init,
        verbose,
        fit_intercept=fit_intercept,
        feature_weights=feature_weights,
        sample_weight=sample_weight,
        tol=tol,
        max_iter=max_iter,
        max_epochs=max_epochs,
    )


def scad_path(
    X,
    y,
    *,
    a=3.7,
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
    """SCAD path by working-set coordinate descent with warm starts.

    The problem of :class:`SCADRegressor` for a decreasing sequence of strengths, each
    started from the solution of the one before: this way into a non-convex problem
    finds better stationary points than a cold start at a weak penalty. Read more in
    the :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Design. F-ordered dense or CSC float64 avoids a copy; never modified.
    y : array-like of shape (n_samples,)
        Target.
    a : float, default=3.7
        Where the penalty becomes constant, in units of alpha; above 2. Small values
        leave more coefficients unshrunk but make more local minima; infinity is
        the Lasso.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on a logarithmic grid from the smallest alpha with an
        all-zero solution downwards, or the strengths themselves.
    fit_intercept : bool, default=False
        Center X and y (weighted) first.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers: 0 leaves a feature unpenalized, infinity drops it.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights; an integer weight equals repetition.
    coef_init : array-like of shape (n_features,), default=None
        Where the first problem starts.
    tol : float, default=1e-4
        Each problem stops when the largest violation of stationarity is at most tol
        times the largest gradient at zero.
    max_iter : int, default=100
        Largest number of passes over all features, for each alpha.
    max_epochs : int, default=10000
        Largest number of coordinate descent sweeps, for each alpha.
    verbose : int, default=0
        At 1 and above, show a progress bar.

    Returns
    -------
    path : PathResult
        Named tuple ``(alphas, coefs, gaps)``.

    Raises
    ------
    ValueError
        If the data are not finite, real and of matching shapes, a strength is
        negative or `a` is not above 2.

    Warns
    -----
    ConvergenceWarning
        Once, when a problem of the path missed its tolerance.

    See Also
    --------
    SCADRegressor : One strength.
    lasso_path : The convex path.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import SCADRegressor
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> path = SCADRegressor.path(X, y - y.mean(), alphas=5)
    >>> [int((w != 0).sum()) for w in path.coefs.T][:2]
    [0, 5]
    """
    return _concave_path(
        "scad",
        X,
        y,
        a,
        eps,
        alphas,
        coef_init,
        verbose,
        fit_intercept=fit_intercept,
        feature_weights=feature_weights,
        sample_weight=sample_weight,
        tol=tol,
        max_iter=max_iter,
        max_epochs=max_epochs,
    )


def _concave_path(kind, X, y, shape, eps, alphas, coef_init, verbose, **options):
    weights = options.pop("sample_weight")
    X, y, weights, coef_init = check_path_input(X, y, weights, coef_init)
    options["feature_weights"] = feature_weight_array(
        options["feature_weights"], X.shape[1]
    )
    problem = ConcaveProblem(kind, X, y, weights, **options)
    shape = check_shape(kind, shape)
    return problem.path(alphas, eps, shape, coef_init=coef_init, verbose=verbose)


def check_l1_ratio(l1_ratio, *, zero=True):
    """Return the share of the absolute penalty as a float within its bounds."""
    ratio = float(l1_ratio)
    if not 0.0 <= ratio <= 1.0 or (ratio == 0.0 and not zero):
        raise ValueError(
            f"`l1_ratio` must lie in {'[' if zero else '('}0, 1], got {l1_ratio}."
        )
    return ratio


def check_path_input(X, y, sample_weight, coef_init):
    """Validate what a path function was given."""
    refuse_complex(X)
    refuse_complex(y, name="y")
    if np.ndim(y) == 2 and np.shape(y)[1] > 1:
        raise ValueError(
            f"y has shape {np.shape(y)}, but a path is one of a single target. For "
            "several that share their features use multi_task_lasso_path or "
            "multi_task_enet_path, otherwise ElasticNet().path(X, y), which has a "
            "path for each column."
        )
    if not is_plain(X, y):
        X, y = check_X_y(
            X,
            y,
            accept_sparse=["csc", "csr"],
            dtype=FLOATS,
            order="F",
            y_numeric=True,
        )
    y = np.asarray(y, dtype=np.float64)
    sample_weight = given_weights(sample_weight, X)
    if coef_init is not None:
        coef_init = check_array(coef_init, ensure_2d=False, dtype=np.float64)
        if coef_init.shape != (X.shape[1],):
            raise ValueError(
                f"`coef_init` has shape {coef_init.shape}, expected ({X.shape[1]},)."
            )
    return X, y, sample_weight, coef_init
