r"""SLOPE: the sorted absolute penalty.

.. math:: \min_{w, b}\; \frac{1}{2 S}\sum_i s_i (y_i - b - x_i'w)^2
   + \alpha \sum_j \lambda_j |w|_{(j)}, \qquad S = \sum_i s_i,

with ``|w|_(1) >= |w|_(2) >= ...`` and ``lambda_1 >= lambda_2 >= ... >= 0``.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from copy import copy
from numbers import Real

import numpy as np
from scipy.special import ndtri

from sparsestat._utils.compat import Interval, StrOptions
from sparsestat._utils.samples import check_counts
from sparsestat.linear_model._cv import CRITERION, CV_CONSTRAINTS, PathCVMixin
from sparsestat.linear_model._fit import FIT_CONSTRAINTS, FitMixin, solver_options
from sparsestat.linear_model._paths import check_path_input
from sparsestat.linear_model._penalized._path_result import PathMethod
from sparsestat.linear_model._penalized._problems import LeastSquaresProblem
from sparsestat.linear_model._penalized._slope import SlopePenalty, SlopeSolver
from sparsestat.linear_model._predictors import LinearPredictor

__all__ = ["Slope", "SlopeCV", "slope_lambdas", "slope_path"]

_MOST_ROUNDS = 20  # of support and noise in turn
_LEAST_NOISE = 1e-6  # of the spread of y: less is an exact fit


def slope_lambdas(lambdas, q, n_features):
    """Return the sorted strengths that a name stands for, or check given ones.

    Parameters
    ----------
    lambdas : {"bh", "oscar", "lasso"} or array-like of shape (n_features,)
    q : float
        Level of "bh".
    n_features : int

    Returns
    -------
    lambdas : ndarray of shape (n_features,)
    """
    rank = np.arange(1, n_features + 1)
    if isinstance(lambdas, str):
        if lambdas == "bh":
            return -ndtri(q * rank / (2.0 * n_features))
        if lambdas == "oscar":
            return (n_features + 1.0 - rank) / n_features
        if lambdas == "lasso":
            return np.ones(n_features)
        raise ValueError(
            f"`lambdas` must be 'bh', 'oscar', 'lasso' or an array, got {lambdas!r}."
        )
    lambdas = np.asarray(lambdas, dtype=np.float64)
    if lambdas.shape != (n_features,):
        raise ValueError(
            f"`lambdas` has shape {lambdas.shape}, expected ({n_features},): one "
            "strength for each rank."
        )
    if np.any(np.diff(lambdas) > 0.0):
        raise ValueError(
            "`lambdas` must not increase: sort them with numpy.sort(lambdas)[::-1]."
        )
    if not np.isfinite(lambdas).all() or lambdas[-1] < 0.0 or lambdas[0] <= 0.0:
        raise ValueError(
            "`lambdas` must be finite and not negative, and the first one positive."
        )
    return lambdas


class SlopeProblem(LeastSquaresProblem):
    """Least squares with the sorted absolute penalty."""

    def __init__(self, X, y, sample_weight=None, *, lambdas, q, **options):
        super().__init__(X, y, sample_weight, **options)
        self.lambdas = slope_lambdas(lambdas, q, self.n_features)

    def penalty(self, alpha, setting=None):
        """Return the penalty of one strength."""
        return SlopePenalty(self.lambdas, alpha, self.total)

    def make_solver(self, coef_init=None):
        """Return a solver that can be used for all strengths in turn."""
        return SlopeSolver(self.design, self.target, self.start_of(coef_init))

    def alpha_max(self, setting=None):
        """Return the smallest alpha at which every coefficient is zero."""
        correlations = self.design.correlations(self.target)
        return self.penalty(1.0).gauge(correlations) * self.alpha_unit

    def noise_alpha(self, sigma):
        """Return the strength that belongs to noise of standard deviation sigma."""
        # The root mean square spread of the features: one, if standardized.
        used = self.design.squares[self.design.squares > 0.0]
        if not len(used) or sigma == 0.0:
            return 1.0  # nothing to explain, or nothing to explain it by
        spread = np.sqrt(used.mean() / self.total) * self.design.unit
        return float(sigma * spread / np.sqrt(self.total * self.weight_unit))

    def estimate_noise(self):
        """Return the standard deviation that least squares on the support leaves.

        The support and the deviation are found in turn, from the empty support on,
        until it repeats; a support of more than half the samples is not believed.
        """
        support, seen, start = np.empty(0, dtype=np.intp), set(), None
        sigma = first = self._noise_beside(support)
        while tuple(support) not in seen and len(seen) < _MOST_ROUNDS and sigma > 0.0:
            seen.add(tuple(support))
            result = self.solve_one(self.noise_alpha(sigma), coef_init=start)
            support, start = result.columns, result.dense_coef(self.n_features)
            if 2 * len(support) > self.total * self.weight_unit:
                break
            sigma = max(self._noise_beside(support), _LEAST_NOISE * first)
        return sigma

    def _noise_beside(self, support):
        A = np.empty((self.design.n_samples, len(support)), order="F")
        self.design.gather(support, A, 0)
        residual = self.target
        if len(support):
            residual = residual - A @ np.linalg.lstsq(A, residual, rcond=None)[0]
        n = self.total * self.weight_unit
        left = max(n - len(support) - self.design.fit_intercept, 1.0)
        square = float(residual @ residual) * self.weight_unit / left
        return np.sqrt(square) * self.y_unit

    def degrees_of_freedom(self, result, alpha=None, setting=None):
        """Return the number of different non-zero absolute values."""
        # Coefficients of one pool are equal to the last bit before they are rounded.
        return float(np.count_nonzero(np.unique(np.abs(result.coef))))

    def attributes(self, result):
        """Return what an estimator shows of one solution, and the strengths."""
        return {
            **super().attributes(result),
            "lambdas_": self.lambdas,
            "n_clusters_": int(self.degrees_of_freedom(result)),
        }


def slope_path(
    X,
    y,
    *,
    lambdas="bh",
    q=0.1,
    eps=1e-3,
    alphas=100,
    fit_intercept=False,
    sample_weight=None,
    coef_init=None,
    tol=1e-4,
    max_iter=100,
    max_epochs=100_000,
    verbose=0,
):
    """SLOPE path by working sets with warm starts.

    The problem of :class:`Slope` for a decreasing sequence of strengths. Read more
    in the :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Design. F-ordered dense or CSC float64 avoids a copy; never modified.
    y : array-like of shape (n_samples,)
        Target.
    lambdas : {"bh", "oscar", "lasso"} or array-like, default="bh"
        Strengths by rank, as in :class:`Slope`.
    q : float, default=0.1
        Level of ``lambdas="bh"``, in (0, 1).
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
    max_epochs : int, default=100000
        Largest number of proximal gradient steps, for each alpha.
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
        negative, or `lambdas` increase.

    Warns
    -----
    ConvergenceWarning
        Once, when a problem of the path missed its tolerance.

    See Also
    --------
    Slope : One strength.
    lasso_path : All ranks penalized alike.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import Slope
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> path = Slope.path(X, y - y.mean(), alphas=5)
    >>> bool((path.gaps <= 1e-4 * y.var()).all())
    True
    """
    if not 0.0 < q < 1.0:
        raise ValueError(f"`q` must lie in (0, 1), got {q}.")
    X, y, sample_weight, coef_init = check_path_input(X, y, sample_weight, coef_init)
    problem = SlopeProblem(
        X,
        y,
        sample_weight,
        lambdas=lambdas,
        q=q,
        fit_intercept=fit_intercept,
        tol=tol,
        max_iter=max_iter,
        max_epochs=max_epochs,
    )
    return problem.path(alphas, eps, None, coef_init=coef_init, verbose=verbose)


class _SlopeProblemMixin:
    """The problem, for fits and for cross-validation."""

    def _problem(self, X, y, sample_weight):
        return SlopeProblem(
            X,
            y,
            sample_weight,
            lambdas=self.lambdas,
            q=self.q,
            **solver_options(self),
        )


_SLOPE_CONSTRAINTS = {
    "lambdas": [StrOptions({"bh", "oscar", "lasso"}), "array-like"],
    "q": [Interval(Real, 0, 1, closed="neither")],
}


class Slope(_SlopeProblemMixin, FitMixin, LinearPredictor):
    r"""Sorted L1 penalized estimation (SLOPE).

    Minimizes

    .. math:: \frac{1}{2 n}\|y - b - X w\|^2 + \alpha \sum_j \lambda_j |w|_{(j)}

    over coefficients w (`coef_`) and intercept b (`intercept_`), where
    ``|w|_(1) >= |w|_(2) >= ...`` are the sorted absolute values and the strengths
    lambda (`lambdas`) decrease: a coefficient is penalized by its rank. Two things
    come out of it: with the default strengths, control of the false discovery rate
    in orthogonal designs, and coefficients of exactly equal size for correlated
    features, which are pooled instead of one being picked. Use it to select with
    few false features or to find such pools; do not use it where single coefficients
    are to be read as effect sizes, as pooling and shrinkage bias them. Read more in
    the :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    alpha : float or "noise", default=1.0
        Penalty strength, in units of y times a feature. With standardized
        orthogonal features and noise of standard deviation sigma, ``sigma /
        sqrt(n_samples)`` controls the false discovery rate at `q`; "noise" is this
        strength, times the root mean square of the features' standard deviations, for
        the given or estimated `sigma`. Zero warns and gives least squares.
    lambdas : {"bh", "oscar", "lasso"} or array-like, default="bh"
        Strengths by rank: the normal quantiles at ``1 - q j / (2 n_features)``
        ("bh"), linear from 1 to ``1 / n_features`` ("oscar"), all one ("lasso"), or
        given; they must not increase.
    q : float, default=0.1
        Level of ``lambdas="bh"``, in (0, 1).
    sigma : float, default=None
        Standard deviation of the noise, for ``alpha="noise"``. None estimates it in
        turn with the support [1]_: least squares on the support leaves a residual, its
        deviation (with ``n_samples - size - 1`` in the denominator) gives a strength,
        and that a new support, from the empty one on until it repeats. It is a little
        too small where features are chosen by their fit to the noise.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    tol : float, default=1e-4
        Stop when the duality gap is at most ``tol * ||y||^2 / n_samples`` with y
        centered if there is an intercept.
    max_iter : int, default=100
        Largest number of outer iterations (passes over all features).
    max_epochs : int, default=100000
        Largest number of proximal gradient steps on the working sets.
    warm_start : bool, default=False
        Start from the previous `coef_`.
    verbose : int, default=0
        At 1 and above, log a line per outer iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept, 0.0 without one.
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    alpha_ : float
        The strength that was used.
    sigma_ : float
        The standard deviation that it stands for (``alpha="noise"`` only).
    lambdas_ : ndarray of shape (n_features,)
        The strengths by rank.
    n_clusters_ : int
        Number of different non-zero absolute values of coefficients.
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
        Number of proximal gradient steps.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    SlopeCV : Chooses alpha from the data.
    Lasso : All ranks penalized alike.
    ElasticNet : Keeps correlated features together without equal sizes.

    Notes
    -----
    Proximal gradient steps on a working set of size a cost O(a^2) on its cached Gram
    matrix (dense X, or sparse X that is at least 5 % full) or two products with its
    columns; an exact step on k pools costs O(k^3). Memory beside X: O(n_samples * a +
    a^2), or O(nnz + n_samples * k). The result is deterministic.

    References
    ----------
    .. [1] M. Bogdan, E. van den Berg, C. Sabatti, W. Su, E. Candes, "SLOPE: adaptive
       variable selection via convex optimization", Annals of Applied Statistics 9,
       2015.
    .. [2] J. Larsson, M. Bogdan, J. Wallin, "The strong screening rule for SLOPE",
       NeurIPS, 2020.

    Examples
    --------
    >>> from sparsestat.datasets import make_sparse_regression
    >>> from sparsestat.linear_model import Slope
    >>> data = make_sparse_regression(100, 300, n_nonzero=5, snr=10, random_state=0)
    >>> model = Slope(alpha=0.1).fit(data.X, data.y)
    >>> model.certificate_.satisfied
    True
    >>> round(Slope("noise").fit(data.X, data.y).alpha_, 3)
    0.078
    """

    _parameter_constraints = {
        **FIT_CONSTRAINTS,
        **_SLOPE_CONSTRAINTS,
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"noise"})],
        "sigma": [Interval(Real, 0, None, closed="neither"), None],
    }

    path = PathMethod(slope_path)

    def __init__(
        self,
        alpha=1.0,
        *,
        lambdas="bh",
        q=0.1,
        sigma=None,
        fit_intercept=True,
        tol=1e-4,
        max_iter=100,
        max_epochs=100_000,
        warm_start=False,
        verbose=0,
    ):
        self.alpha = alpha
        self.lambdas = lambdas
        self.q = q
        self.sigma = sigma
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.warm_start = warm_start
        self.verbose = verbose

    def _fit_validated(self, X, y, sample_weight):
        if self.alpha != "noise":
            self.alpha_ = float(self.alpha)
            return super()._fit_validated(X, y, sample_weight)
        check_counts(sample_weight, len(y), "alpha='noise'")
        problem = self._problem(X, y, sample_weight)
        sigma = problem.estimate_noise() if self.sigma is None else float(self.sigma)
        # A parameter stays what was given: a twin has the number.
        twin = copy(self)
        twin.alpha = problem.noise_alpha(sigma)
        FitMixin._fit_validated(twin, X, y, sample_weight)
        vars(self).update(vars(twin) | {"alpha": self.alpha})
        self.sigma_, self.alpha_ = sigma, twin.alpha
        return self


class SlopeCV(_SlopeProblemMixin, PathCVMixin, LinearPredictor):
    r"""SLOPE with alpha chosen from the data.

    Fits the path of :class:`Slope` and chooses the point with the least
    cross-validated squared error, or the least information criterion. Read more in the
    :ref:`User Guide <nonconvex_and_groups>`.

    Parameters
    ----------
    lambdas : {"bh", "oscar", "lasso"} or array-like, default="bh"
        Strengths by rank, as in :class:`Slope`.
    q : float, default=0.1
        Level of ``lambdas="bh"``, in (0, 1).
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    alphas : int or array-like, default=100
        Number of strengths on an automatic grid, or the strengths.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    criterion : {"cv", "aic", "bic", "ebic"}, default="cv"
        How to choose. Information criteria count the different non-zero absolute
        values (`n_clusters_`), each one parameter.
    one_se : bool, default=False
        With ``criterion="cv"``, take the largest alpha whose error is within one
        standard error of the least: a sparser, more stable model.
    cv : int, cross-validation generator or iterable, default=None
        Splitting; None means 5 folds.
    tol : float, default=1e-4
        Every problem stops when its duality gap is at most
        ``tol * ||y||^2 / n_samples``.
    max_iter : int, default=100
        Largest number of outer iterations, for each problem.
    max_epochs : int, default=100000
        Largest number of proximal gradient steps, for each problem.
    n_jobs : int, default=None
        Workers over folds. The result does not depend on it.
    verbose : int, default=0
        At 1 and above, show a progress bar for the final path.

    Attributes
    ----------
    alpha_ : float
        The chosen strength.
    alphas_ : ndarray of shape (n_alphas,)
        The strengths tried, in decreasing order.
    mse_path_ : ndarray of shape (n_alphas, n_folds)
        Squared error of each held-out fold (``criterion="cv"`` only).
    criterion_path_ : ndarray of shape (n_alphas,)
        Values of the information criterion (the other choices only).
    coef_path_ : ndarray of shape (n_features, n_alphas)
        Coefficients on all the data along the path.
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
    lambdas_ : ndarray of shape (n_features,)
        The strengths by rank.
    n_clusters_ : int
        Number of different non-zero absolute values at the chosen point.
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
    Slope : One strength.
    LassoCV : All ranks penalized alike.

    References
    ----------
    .. [1] M. Bogdan, E. van den Berg, C. Sabatti, W. Su, E. Candes, "SLOPE: adaptive
       variable selection via convex optimization", Annals of Applied Statistics 9,
       2015.

    Examples
    --------
    >>> from sparsestat.datasets import make_sparse_regression
    >>> from sparsestat.linear_model import SlopeCV
    >>> data = make_sparse_regression(100, 300, n_nonzero=5, snr=10, random_state=0)
    >>> model = SlopeCV(alphas=20, eps=1e-2).fit(data.X, data.y)
    >>> model.certificate_.satisfied
    True
    """

    _parameter_constraints = {**CV_CONSTRAINTS, **CRITERION, **_SLOPE_CONSTRAINTS}

    path = PathMethod(slope_path)

    def __init__(
        self,
        *,
        lambdas="bh",
        q=0.1,
        eps=1e-3,
        alphas=100,
        fit_intercept=True,
        criterion="cv",
        one_se=False,
        cv=None,
        tol=1e-4,
        max_iter=100,
        max_epochs=100_000,
        n_jobs=None,
        verbose=0,
    ):
        self.lambdas = lambdas
        self.q = q
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.criterion = criterion
        self.one_se = one_se
        self.cv = cv
        self.tol = tol
        self.max_iter = max_iter
        self.max_epochs = max_epochs
        self.n_jobs = n_jobs
        self.verbose = verbose
