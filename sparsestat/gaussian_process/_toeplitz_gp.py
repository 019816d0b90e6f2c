"""Exact Gaussian-process regression on even grids in one dimension: the estimator."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    column_or_1d,
    validate_data,
)

from sparsestat._utils.compat import fit_context
from sparsestat._utils.results import users_stacklevel
from sparsestat._utils.validation import refuse_complex
from sparsestat.gaussian_process._exact_gp import Factors, StructuredGPRegressor
from sparsestat.gaussian_process._kernel._covariances import (
    cross,
    cross_backward,
    diagonal,
    noise_variance,
    scaled_cross,
)
from sparsestat.gaussian_process._kernel._evidence import default_kernel
from sparsestat.gaussian_process._structure._toeplitz import (
    DenseToeplitzFactor,
    autocorrelation,
    even_grid,
    grid_tolerance,
    sample_toeplitz,
    stable_factor,
)

__all__ = ["ToeplitzGPRegressor"]

_LOG_2PI = np.log(2.0 * np.pi)
_NUGGET = 1e-10
_PRECISE = 1e-9  # of the prior variance: smaller ones lose their sixth digit
_MOST_DRAWN = 1e8  # steps from the data to where values are drawn on the grid
_BLOCK = 1 << 20  # covariances of new points and data that are held at once


class ToeplitzGPRegressor(StructuredGPRegressor):
    r"""Exact Gaussian-process regression of a regular time series.

    On an even grid a stationary kernel has the covariance
    :math:`C_{ij} = c_{|i-j|}`, of which only the first column is ever held. Levinson's
    recursion gives the log marginal likelihood in O(n^2) time and O(n) memory; with the
    first column of :math:`C^{-1}`, which it finds on the way, the gradient and the
    predictions take fast Fourier transforms. Nothing is approximated. Use it for series
    with up to some hundred thousand time stamps. Do not use it for irregular time
    stamps, which it refuses
    (:class:`~sparsestat.gaussian_process.CompactGPRegressor`,
    :class:`~sparsestat.gaussian_process.SparseGPRegressor`). Read more in the
    :ref:`User Guide <gaussian_processes>`.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel, str or None, default=None
        Any stationary kernel. Its WhiteKernel is the noise; one is added where there is
        none. A name takes a constant times ``"rbf"``, ``"matern12"``, ``"matern32"``,
        ``"matern52"`` or ``"rational_quadratic"``, plus noise, started at the length
        that has most evidence on a part of the data; None is ``"rbf"``.
    optimizer : {"fmin_l_bfgs_b"} or None, default="fmin_l_bfgs_b"
        None keeps the kernel's parameters.
    n_restarts_optimizer : int, default=0
        Further starts, with parameters drawn within their bounds.
    max_iter : int, default=100
        Largest number of iterations of one start.
    tol : float, default=1e-4
        Stop when no entry of the projected gradient of the log marginal likelihood
        divided by n_samples exceeds `tol`, with respect to logarithms of parameters.
    normalize_y : bool, default=True
        Whether targets are centered and scaled to unit variance, unlike scikit-learn's
        default; otherwise the process has mean zero. The parameters of `kernel` are in
        the units of what is fitted.
    random_state : int, RandomState instance or None, default=None
        For restarts.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    kernel_ : sklearn.gaussian_process.kernels.Kernel
        Kernel with the parameters found, noise included.
    noise_variance_ : float or ndarray of shape (n_targets,)
        Variance of the noise, in units of y**2. Where `kernel` has no
        WhiteKernel, it is at least 1e-10 of their variance; where rounding hides the
        largest evidence at so little noise, that bound is raised by factors of ten, to
        1e-6 at most. ``certificate_.details["noise_level_bound"]`` is the one in use,
        in the units of `kernel_`.
    log_marginal_likelihood_value_ : float
        At the parameters found, of the targets that are not missing.
    step_ : float
        Distance of neighboring time stamps.
    grid_ : ndarray of shape (n_samples,)
        The time stamps in ascending order.
    n_missing_ : int
        Number of missing targets.
    alpha_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Inverse covariance times targets, in the order of `grid_`; zero where targets
        are missing.
    history_ : ndarray
        Log marginal likelihood after each iteration.
    certificate_ : Certificate
        The projected gradient.
    n_iter_ : int
        Number of iterations of the best start.
    n_features_in_ : int
        Number of features, 1.
    feature_names_in_ : ndarray of shape (1,)
        Name of the feature, when X has string column names.

    Raises
    ------
    ValueError
        For more than one feature, time stamps that are not on an even grid, kernels
        that are not stationary, or a covariance of more than 5000 points.
    NumericalError
        If the covariance cannot be factored.
    RuntimeError
        If both standard deviations and covariances are asked of ``predict``.

    Warns
    -----
    ConvergenceWarning
        If the projected gradient is above `tol` at the end.

    See Also
    --------
    GridSpectralMixtureRegressor : Learns the spectrum of a series.
    CompactGPRegressor : Irregular time stamps, short correlations.
    sklearn.gaussian_process.GaussianProcessRegressor : Any points, dense matrices.

    Notes
    -----
    There are no weights and no noise per sample: they take the structure away
    (:class:`GridSpectralMixtureRegressor` and :class:`SparseGPRegressor` have them).
    Missing values are NaN in y: their time stamps must be there. With m of them a
    system of m equations is solved in addition, whose matrix is that part of the
    inverse covariance: O(m n log n + m^3) time. Up to 1500 time stamps a covariance
    that is nearly singular is factored densely, without what is missing. One evaluation
    of the likelihood and its gradient takes 4 n^2 multiplications beside some Fourier
    transforms.

    References
    ----------
    .. [1] G. H. Golub, C. F. Van Loan, "Matrix computations", section 4.7, 4th edition,
       2013.
    .. [2] I. Gohberg, A. Semencul, "On the inversion of finite Toeplitz matrices and
       their continuous analogs", Mat. Issled. 7, 1972.
    .. [3] J. P. Cunningham, K. V. Shenoy, M. Sahani, "Fast Gaussian process methods for
       point process intensity estimation", ICML, 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.gaussian_process import ToeplitzGPRegressor
    >>> t = np.arange(2000.0)[:, None]
    >>> rng = np.random.default_rng(0)
    >>> y = np.sin(t[:, 0] / 20) + 0.1 * rng.normal(size=2000)
    >>> y[500:510] = np.nan  # missing
    >>> model = ToeplitzGPRegressor().fit(t, y)
    >>> print(f"{model.noise_variance_:.3f}")
    0.010
    >>> mean, std = model.predict(t[504:506], return_std=True)
    >>> bool(np.abs(mean - np.sin(t[504:506, 0] / 20)).max() < 0.1)
    True
    """

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Find the kernel's parameters and the posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, 1)
            Time stamps on an even grid, in any order.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets; NaN where they are missing, in all of several at once. Several are
            independent processes of one kernel.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X = validate_data(self, X, dtype=np.float64, order="C")
        refuse_complex(y, name="y")
        if np.ndim(y) != 2:
            y = column_or_1d(y, dtype=np.float64, warn=True)
        y = check_array(
            y,
            dtype=np.float64,
            ensure_2d=False,
            ensure_all_finite=False,
            input_name="y",
        )
        check_consistent_length(X, y)
        if X.shape[1] != 1:
            raise ValueError(
                f"ToeplitzGPRegressor fits series over one feature, but X has "
                f"{X.shape[1]}. Use SparseGPRegressor or CompactGPRegressor for "
                "several."
            )
        if np.isinf(y).any() or np.isnan(y).all():
            raise ValueError(
                "y contains infinity, or nothing but NaN. Give finite targets; NaN "
                "stands for those that are missing."
            )
        order, step = even_grid(X[:, 0])
        if order is None:
            raise ValueError(
                "ToeplitzGPRegressor needs time stamps on an even grid (distances "
                "equal to 1e-8 or to rounding), each once. Hint: put missing time "
                "stamps in, with NaN in y; interpolate to a grid; or use "
                "CompactGPRegressor, GridSpectralMixtureRegressor or "
                "SparseGPRegressor, which take uneven "
                "ones."
            )
        self.step_, self.grid_ = step, X[order, 0]
        y = y[order]
        observed = ~np.isnan(y.reshape(len(y), -1))
        if np.any(observed != observed[:, :1]):
            raise ValueError(
                "y has rows in which some targets are missing and others are not. Fit "
                "these targets one by one, or put NaN in whole rows."
            )
        observed = observed[:, 0]
        self._missing = np.flatnonzero(~observed)
        self.n_missing_ = len(self._missing)
        self._observed = observed
        return self._fit(X[order][observed], y[observed])

    def _prepare(self, X, y, rng):
        self._targets = np.zeros((y.shape[1], len(self._observed)))
        self._targets[:, self._observed] = y.T
        if self.kernel is None or isinstance(self.kernel, str):
            return default_kernel(X - self.grid_[0], y, name=self.kernel or "rbf")
        return self.kernel

    def _factorize(self, kernel):
        n = self._targets.shape[1]
        lags = self.step_ * np.arange(n)[:, None]
        scale, K, saved = scaled_cross(kernel, lags, np.zeros((1, 1)))
        column = scale * K[:, 0]
        column[0] += noise_variance(kernel, 1)[0]
        factor = stable_factor(column, self._targets, self._observed)
        if not len(self._missing) or isinstance(factor, DenseToeplitzFactor):
            return Factors(factor, factor.solution, saved)
        rest = _Missing(factor, self._missing)
        # The recursion knows of no gaps: the targets there were taken for zero. What
        # is likely there leaves less to forget, and so less rounding.
        filled = rest.fill(self._targets, factor.solution)
        return Factors(factor, rest.forget(factor.solve(filled)), saved, rest)

    def _evidence(self, kernel, factors, want_gradient):
        factor, a, rest = factors.covariance, factors.alpha, factors.missing
        n = int(self._observed.sum())
        log_det = factor.log_det + (0.0 if rest is None else rest.log_det)
        k = len(self._targets)
        value = np.sum(self._targets * a) + k * (log_det + n * _LOG_2PI)
        value = -0.5 * float(value)
        if not want_gradient:
            return value, None
        sums = autocorrelation(a) - k * factor.inverse_sums()
        if rest is not None:
            sums += k * autocorrelation(rest.half)
        bar = sums.copy()  # every lag but 0 stands for two diagonals, halved
        bar[0] *= 0.5
        gradient, _ = cross_backward(kernel, factors.saved, bar[:, None])
        return value, gradient + bar[0] * noise_variance(kernel, 1)[1]

    def _settle(self, best, X, y):
        details = super()._settle(best, X, y)
        self.alpha_ = self._shaped(self._factors.alpha.T)
        return details

    def _solve(self, K):
        factor, rest = self._factors.covariance, self._factors.missing
        solved = factor.solve(K if not len(self._missing) else K * self._observed)
        return solved if rest is None else rest.forget(solved)

    def _blocks(self, X):
        size = max(1, _BLOCK // len(self.grid_))
        for start in range(0, len(X), size):
            rows = slice(start, start + size)
            yield rows, cross(self.kernel_, X[rows], self._stamps())

    def _stamps(self):
        """Return the time stamps as the covariance sees them, from the first on."""
        return self.step_ * np.arange(len(self.grid_))[:, None]

    def _check_points(self, X):
        # From the first time stamp on; where a point is on the grid, exactly.
        X = super()._check_points(X) - self.grid_[0]
        places = np.rint(X / self.step_)
        room = grid_tolerance(self.grid_, self.step_) * self.step_
        stamps = places * self.step_
        return np.where(np.abs(X - stamps) <= room, stamps, X)

    def _representer(self):
        return self._stamps(), self.alpha_

    def _marginals(self, X, with_variance):
        mean = np.empty((len(X), *self.alpha_.shape[1:]))
        variance = diagonal(self.kernel_, X) if with_variance else None
        for rows, K in self._blocks(X):
            mean[rows] = K @ self.alpha_
            if with_variance:
                variance[rows] -= np.einsum("ij,ij->i", self._solve(K), K)
        if with_variance:
            self._warn_of_precision(variance, float(diagonal(self.kernel_, X[:1])[0]))
        return mean, variance

    def _warn_of_precision(self, variance, prior):
        """Warn where a variance is a difference that rounding may have changed."""
        least = max(float(variance.min()), 0.0) + self._noise
        if least < _PRECISE * prior:
            warnings.warn(
                "ToeplitzGPRegressor: precision does not suffice for the spreads: the "
                f"smallest variance is {least / prior:.1e} of the prior's, so that "
                "rounding may change it by more than one part in a million. Give "
                "`kernel` a WhiteKernel with a larger lower bound of noise_level.",
                UserWarning,
                stacklevel=users_stacklevel(),
            )

    def _joint(self, X):
        cov = np.array(cross(self.kernel_, X, X))
        K = cross(self.kernel_, X, self._stamps())
        for start in range(0, len(X), max(1, _BLOCK // len(self.grid_))):
            rows = slice(start, start + max(1, _BLOCK // len(self.grid_)))
            cov[rows] -= self._solve(K[rows]) @ K.T
        return K @ self.alpha_, 0.5 * (cov + cov.T)

    def sample_y(self, X, n_samples=1, random_state=0):
        """Draw new values from the predictive distribution.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, 1)
            Time stamps: any number on the grid of the data, continued either way; at
            most 5000 elsewhere.
        n_samples : int, default=1
            Number of draws.
        random_state : int, RandomState instance or None, default=0
            Source of randomness.

        Returns
        -------
        y_samples : ndarray of shape (n_samples_X, n_samples) or \
                (n_samples_X, n_targets, n_samples)
            New values, noise included; one draw along the last axis.

        Notes
        -----
        On the grid, data and new values are drawn together from the prior by circulant
        embedding (or by Levinson's recursion, where that is not exact), and the draw is
        moved by what its data lack (Matheron's rule); for that the variance of the
        function is enlarged by one part in 1e10. Elsewhere the dense covariance of the
        new values is factored.
        """
        X = self._check_points(X)
        rng = check_random_state(random_state)
        places = X[:, 0] / self.step_
        if np.abs(places).max() > _MOST_DRAWN:
            return super().sample_y(X + self.grid_[0], n_samples, rng)
        whole = np.rint(places).astype(np.int64)
        if np.abs(places - whole).max() > 1e-6:
            return super().sample_y(X + self.grid_[0], n_samples, rng)
        n = len(self.grid_)
        first = min(0, int(whole.min()))
        length = max(n - 1, int(whole.max())) - first + 1
        k = len(self._targets)

        def column(size):
            lags = self.step_ * np.arange(size)[:, None]
            out = np.array(cross(self.kernel_, lags, np.zeros((1, 1)))[:, 0])
            # Smooth kernels are singular to working precision.
            out[0] *= 1.0 + _NUGGET
            return out

        draws, _ = sample_toeplitz(column(length), k * n_samples, rng, longer=column)
        spread = np.sqrt(self._noise)
        seen = draws[:, -first : n - first]
        seen = seen + spread * rng.standard_normal((k * n_samples, n))
        targets = np.repeat(self._targets, n_samples, axis=0)
        lack = self._solve(np.where(self._observed, targets - seen, 0.0))
        moved = draws[:, whole - first]
        moved = moved + spread * rng.standard_normal(moved.shape)
        for rows, K in self._blocks(X):
            moved[:, rows] += lack @ K.T
        moved = moved.T.reshape(len(X), k, n_samples)
        moved = np.reshape(self._y_scale, (-1, 1)) * moved
        moved += np.reshape(self._y_mean, (-1, 1))
        return moved[:, 0] if self._one else moved


class _Missing:
    """Take values out of a Toeplitz system, after the whole was factored.

    With P = C^-1 and the missing places M, the inverse of the observed part of C is
    P - P_M P_MM^-1 P_M' there, and its determinant det C times det P_MM.
    """

    def __init__(self, factor, places):
        unit = np.zeros((len(places), len(factor.column)))
        unit[np.arange(len(places)), places] = 1.0
        self.places = places
        self._rows = factor.solve(unit)
        inner = self._rows[:, places]
        self._factor = cho_factor(0.5 * (inner + inner.T), lower=True)
        self.log_det = 2.0 * float(np.log(np.diag(self._factor[0])).sum())

    @property
    def half(self):
        """Rows H with H' H = P_M P_MM^-1 P_M'."""
        return solve_triangular(self._factor[0], self._rows, lower=True)

    def fill(self, V, solved):
        """Return rows with their conditional means in the missing places."""
        out = V.copy()
        out[..., self.places] -= cho_solve(self._factor, solved[..., self.places].T).T
        return out

    def forget(self, V):
        """Correct rows that the whole inverse was applied to."""
        missing = V[..., self.places]
        out = V - cho_solve(self._factor, missing.T).T @ self._rows
        out[..., self.places] = 0.0
        return out
