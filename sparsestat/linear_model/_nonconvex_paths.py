"""Paths of concave penalties: MCP and SCAD."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.linear_model._paths import check_path_input
from sparsestat.linear_model._penalized._concave_path import ConcaveMoments
from sparsestat.linear_model._penalized._penalties import ConcavePenalty
from sparsestat.linear_model._penalized._problems import feature_weight_array

__all__ = [
    "SHAPE_NAMES",
    "ConcaveProblem",
    "check_shape",
    "mcp_path",
    "scad_path",
]

SHAPE_NAMES = {
    "mcp": ("gamma", 1.0),
    "scad": ("a", 2.0),
}  # shapes and their lower bounds


def check_shape(kind, shape):
    """Return gamma or a as a float; refuse what makes one coordinate non-convex."""
    name, bound = SHAPE_NAMES[kind]
    shape = float(shape)
    if not shape > bound:
        raise ValueError(
            f"`{name}` must be above {bound:g}, got {shape}: at and below it the "
            "problem in a single coefficient has several minima. Infinity is the Lasso."
        )
    return shape


class ConcaveProblem(ConcaveMoments):
    """Least squares with MCP or SCAD; the setting is the shape, if none is given."""

    remedy = (
        "Increase max_iter or max_epochs, scale the features, or raise alpha or tol."
    )

    def __init__(
        self,
        kind,
        X,
        y,
        sample_weight=None,
        *,
        shape=None,
        positive=False,
        feature_weights=None,
        **options,
    ):
        super().__init__(X, y, sample_weight, **options)
        self.kind, self.shape, self.positive = kind, shape, positive
        self.feature_weights = feature_weights

    def penalty(self, alpha, setting):
        """Return the penalty of one strength; its concavity follows the columns."""
        return ConcavePenalty(
            self.kind,
            alpha,
            self.shape_of(setting),
            self.design.squares,
            self.total,
            positive=self.positive,
            feature_weights=self.feature_weights,
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
