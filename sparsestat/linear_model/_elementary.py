r"""A sparse linear model in closed form: solve, then threshold.

.. math:: \hat w = S_{\lambda}\Big( \big[T_\nu(\hat\Sigma)\big]^{-1}
   \tfrac1n X^\top y \Big)

(Yang, Lozano and Ravikumar, ICML 2014.)
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
import warnings
from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from sparsestat._utils.arithmetic import Standardization, moderate, standardize, stored
from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.results import (
    Certificate,
    users_stacklevel,
    warn_if_unsatisfied,
)
from sparsestat._utils.samples import check_counts, effective_rows
from sparsestat.linear_model._predictors import LinearPredictor, validate_fit_data

__all__ = ["ElementaryEstimator"]

_LEVELS = 200  # thresholds at which a criterion is computed, at most
_RESIDUAL = 1e-10  # of the linear system, which is solved directly
SCALE = "residual of the linear system / its right-hand side"


class Moments(NamedTuple):
    """Weighted first and second moments of the data, columns at unit variance."""

    correlation: np.ndarray
    cross: np.ndarray  # correlation of the columns with y, in units of y_unit
    center: Standardization  # of X / x_unit
    x_scale: np.ndarray  # what standardized coefficients are divided by
    x_unit: float
    y_mean: float
    y_square: float  # in units of y_unit ** 2
    y_unit: float
    total: float


def standardized_moments(X, y, sample_weight, fit_intercept):
    """Return the moments of weighted data; weights count as repetitions."""
    d = X.shape[1]
    n_rows = check_counts(sample_weight, X.shape[0], "ElementaryEstimator")
    X, y, sample_weight = effective_rows(X, y, sample_weight)
    weights = np.ones(len(y)) if sample_weight is None else sample_weight
    total = float(weights.sum())
    (X, x_unit), (y, y_unit) = moderate(X), moderate(y, "y")
    y_mean = 0.0
    nothing = np.zeros(d)
    center = Standardization(nothing, nothing, nothing)
    if fit_intercept:
        center = standardize(X, sample_weight)
        X = center.apply(X)
        y_mean = float(weights @ y) / total
        y_mean += float(weights @ (y - y_mean)) / total
        y = y - y_mean
    if sparse.issparse(X):
        weighted = X.multiply(weights[:, None]).tocsc()
        S = np.asarray((X.T @ weighted).todense(), dtype=np.float64) / total
        # Columns that do not vary are left with rounding errors.
        squares = np.diag(S).copy()
        S -= np.outer(center.mean, center.mean)
        variances = np.where(np.diag(S) > 1e-12 * squares, np.diag(S), 0.0)
        c = (X.T @ (weights * y)) / total
    else:
        R = X.astype(np.float64, copy=False)
        root = None if sample_weight is None else np.sqrt(weights)
        R = R if root is None else R * root[:, None]
        S = R.T @ R / total
        variances = np.diag(S).copy()
        c = R.T @ (y if root is None else root * y) / total
    varying = variances > 0
    x_scale = np.sqrt(np.where(varying, variances, 1.0))
    S = S / np.outer(x_scale, x_scale)
    S[~varying] = S[:, ~varying] = 0.0
    np.fill_diagonal(S, 1.0)
    c = np.where(varying, c / x_scale, 0.0)
    y_square = float(weights @ (y * y)) / total
    return Moments(
        S,
        c,
        center,
        x_scale * (x_unit / y_unit),
        x_unit,
        y_mean * y_unit,
        y_square,
        y_unit,
        n_rows,
    )


def soft_threshold(values, threshold):
    """Move values towards zero by the threshold, and stop there."""
    return np.sign(values) * np.maximum(np.abs(values) - threshold, 0.0)


def mean_squared_residual(moments, w):
    """Return the mean squared residual of standardized coefficients."""
    return moments.y_square - 2 * moments.cross @ w + w @ moments.correlation @ w


def least_cp(moments, raw):
    """Return the threshold of raw coefficients that has the least Mallows' Cp.

    The criterion is the mean squared residual plus ``2 sigma^2 k / n`` for k nonzero
    coefficients, the noise from the residuals without a threshold. It is computed at
    the magnitudes of the coefficients, where the number of nonzero ones changes.
    """
    n, d = moments.total, len(raw)
    left = max(float(mean_squared_residual(moments, raw)), 0.0)
    noise = left * n / (n - d - 1)
    levels = np.append(0.0, np.sort(np.abs(raw)))
    if len(levels) > _LEVELS:
        levels = levels[np.linspace(0, d, _LEVELS).round().astype(np.intp)]
    W = soft_threshold(raw[:, None], levels)
    values = (
        moments.y_square
        - 2.0 * moments.cross @ W
        + np.einsum("ij,ij->j", W, moments.correlation @ W)
        + 2.0 * noise / n * np.count_nonzero(W, axis=0)
    )
    # Of thresholds that tie, the largest: last digits must not choose.
    best = values.min() + 1e-10 * moments.y_square
    return float(levels[np.flatnonzero(values <= best)[-1]])


def thresholded(correlation, threshold, thresholding):
    """Return the matrix with its entries off the diagonal thresholded."""
    if thresholding == "soft":
        T = soft_threshold(correlation, threshold)
    else:
        T = np.where(np.abs(correlation) > threshold, correlation, 0.0)
    np.fill_diagonal(T, 1.0)
    return T


def solve_floored(T, b, floor):
    """Solve with T, eigenvalues below `floor` lifted to it.

    Returns
    -------
    solution : ndarray
        The solution.
    matrix : ndarray
        The matrix it belongs to.
    lifted : int
        How many eigenvalues were lifted.
    """
    shifted = T.copy()
    np.fill_diagonal(shifted, 1.0 - floor)
    try:  # positive definite if and only if all eigenvalues of T are above the floor
        linalg.cholesky(shifted, lower=True, overwrite_a=True, check_finite=False)
    except linalg.LinAlgError:
        values, vectors = linalg.eigh(T)
        raised = np.maximum(values, floor)
        solution = vectors @ ((vectors.T @ b) / raised)
        matrix = (vectors * raised) @ vectors.T
        return solution, matrix, int(np.count_nonzero(values < floor))
    return linalg.cho_solve(linalg.cho_factor(T, lower=True), b), T, 0


class ElementaryEstimator(LinearPredictor):
    r"""Sparse linear regression in closed form.

    With columns centered and scaled to unit variance, computes

    .. math:: \hat w = S_\alpha\Big( \big[T_\nu(X^\top X / n)\big]^{-1}
        X^\top y / n \Big)

    where :math:`S_\alpha` is the soft threshold at `alpha` and :math:`T_\nu` thresholds
    the correlations of the features at `cov_threshold`, and returns the coefficients in
    the original units. There are no iterations: one linear system, however many
    features there are, and with :math:`\nu` set the system is well posed also for more
    features than samples.

    Use it for its speed, when n is large and d moderate, or when features are nearly
    uncorrelated, and as the form that survives privatized data
    (:class:`LDPSparseRegressor`). Do not use it with strongly correlated features and
    fewer samples than features: what the threshold removes from the correlations is
    then missing in the answer, and :class:`Lasso` is better. Read more in the
    :ref:`User Guide <private_regression>`.

    Parameters
    ----------
    alpha : float or "universal", default=None
        Threshold of the coefficients, in units of y per standard deviation of a
        feature. "universal" takes :math:`\hat\sigma \sqrt{2 \log d / n}`, the noise
        estimated from the residuals at the threshold that the standard deviation of y
        would give: few features, none without an effect as a rule. None takes what
        predicts better, the threshold of least Mallows' Cp; "universal" where samples
        are not more than features.
    cov_threshold : float, default=None
        Threshold of the correlations between features. None takes 0, and
        :math:`\sqrt{\log d / n}` where samples are not more than features.
    thresholding : {"soft", "hard"}, default="soft"
        How correlations are thresholded: moved towards zero, or set to zero.
    eigenvalue_floor : float, default=None
        Eigenvalues of the thresholded correlations below this are lifted to it. None
        takes 0.01, and 0.1 with fewer than ten samples a feature where `cov_threshold`
        is 0.
    fit_intercept : bool, default=True
        Center the data first. Sparse X is centered in its moments alone.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept.
    support_ : ndarray of shape (n_nonzero,)
        Indices of the nonzero coefficients.
    alpha_ : float
        The threshold in use.
    cov_threshold_ : float
        The threshold of correlations in use.
    eigenvalue_floor_ : float
        The floor in use.
    n_lifted_ : int
        Number of eigenvalues that were lifted.
    certificate_ : Certificate
        Of kind "exact": a closed form. Its value is the relative residual of the linear
        system.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Warns
    -----
    UserWarning
        When eigenvalues were lifted with more features than samples, or the fit is
        worse on its own data than the mean of y.
    ConvergenceWarning
        When the linear system is not solved to the digits of its right-hand side, as
        below an `eigenvalue_floor` that is tiny.

    See Also
    --------
    Lasso : The penalized form; better where features are correlated.
    LDPSparseRegressor : The same form from privatized moments.

    Notes
    -----
    Time is O(n d^2 + d^3), memory three d x d matrices beside one centered copy of a
    dense X. Scaling a column or y scales the answer accordingly. Sample weights are
    counts: n is their sum. The correlations of a sparse X are computed without
    centering it, which loses digits when means are large against deviations.

    References
    ----------
    .. [1] E. Yang, A. Lozano, P. Ravikumar, "Elementary estimators for high-dimensional
       linear regression", ICML, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import ElementaryEstimator
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((500, 40))
    >>> y = X[:, 3] - 2 * X[:, 8] + 0.5 * rng.standard_normal(500)
    >>> model = ElementaryEstimator("universal").fit(X, y)
    >>> model.support_
    array([ 3,  8, 39])
    >>> model.coef_[model.support_].round(2)
    array([ 0.92, -1.89,  0.  ])
    """

    _parameter_constraints = {
        "alpha": [
            Interval(Real, 0, None, closed="left"),
            StrOptions({"universal"}),
            None,
        ],
        "cov_threshold": [Interval(Real, 0, None, closed="left"), None],
        "thresholding": [StrOptions({"soft", "hard"})],
        "eigenvalue_floor": [Interval(Real, 0, 1, closed="neither"), None],
        "fit_intercept": ["boolean"],
    }

    def __init__(
        self,
        alpha=None,
        *,
        cov_threshold=None,
        thresholding="soft",
        eigenvalue_floor=None,
        fit_intercept=True,
    ):
        self.alpha = alpha
        self.cov_threshold = cov_threshold
        self.thresholding = thresholding
        self.eigenvalue_floor = eigenvalue_floor
        self.fit_intercept = fit_intercept

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, never modified.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, y, sample_weight = validate_fit_data(self, X, y, sample_weight)
        dtype = X.dtype
        moments = standardized_moments(X, y, sample_weight, self.fit_intercept)
        d, n = X.shape[1], moments.total
        rate = math.sqrt(math.log(d) / n)
        tall = n > d + 1
        nu, floor = self.cov_threshold, self.eigenvalue_floor
        nu = (0.0 if tall else rate) if nu is None else nu
        if floor is None:
            floor = 0.1 if nu == 0.0 and n < 10 * d else 0.01
        self.cov_threshold_, self.eigenvalue_floor_ = float(nu), float(floor)
        T = thresholded(moments.correlation, self.cov_threshold_, self.thresholding)
        raw, T, self.n_lifted_ = solve_floored(T, moments.cross, floor)
        alpha = self._threshold(moments, raw, math.sqrt(2.0) * rate, tall)
        self.alpha_ = alpha * moments.y_unit
        standardized = soft_threshold(raw, alpha)
        left = mean_squared_residual(moments, standardized)
        unexplained = left > (1.0 + 1e-9) * moments.y_square
        if moments.y_square > 0 and (unexplained or (self.n_lifted_ and d > n)):
            warnings.warn(
                f"ElementaryEstimator: of {d} eigenvalues of the thresholded "
                f"correlations n_lifted_={self.n_lifted_} were lifted to "
                f"{floor:g}, with {n:.0f} samples, and residuals have "
                f"{left / moments.y_square:.2g} times the variance of y. What the "
                "thresholds removed is missing here: raise alpha or eigenvalue_floor, "
                "or use Lasso.",
                stacklevel=users_stacklevel(),
            )
        coef = standardized / moments.x_scale
        moved = moments.center.intercept(coef * moments.x_unit)
        self.intercept_ = float(moments.y_mean + moved)
        self.coef_ = stored(coef, dtype)
        self.support_ = np.flatnonzero(self.coef_)
        length = float(np.linalg.norm(moments.cross))
        residual = float(np.linalg.norm(T @ raw - moments.cross))
        residual = residual / length if length > 0 else 0.0
        self.certificate_ = Certificate(
            "exact",
            residual,
            _RESIDUAL,
            residual <= _RESIDUAL,
            SCALE,
            {"n_nonzero": len(self.support_), "n_lifted": self.n_lifted_},
        )
        warn_if_unsatisfied(
            self.certificate_,
            "ElementaryEstimator: the residual of its linear system",
            "Raise eigenvalue_floor.",
        )
        return self

    def _threshold(self, moments, raw, rate, tall):
        """Return alpha, the least Cp's, or the noise level times its maximum's rate."""
        if self.alpha is None and tall:
            return least_cp(moments, raw)
        if self.alpha is not None and self.alpha != "universal":
            return float(self.alpha) / moments.y_unit
        alpha = math.sqrt(moments.y_square) * rate
        w = soft_threshold(raw, alpha)
        noise = mean_squared_residual(moments, w)
        return math.sqrt(min(max(noise, 0.0), moments.y_square)) * rate
