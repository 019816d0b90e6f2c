"""Gaussian-process regression through inducing points: the estimator."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy.linalg import solve_triangular
from sklearn.base import RegressorMixin
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat.gaussian_process._covariances import cross, diagonal
from sparsestat.gaussian_process._evidence import (
    check_data,
    check_one_output,
    default_kernel,
    evidence_certificate,
    kernel_with_noise,
    maximize_evidence,
    numerical_errors,
    standardized,
    warn_of_differences,
    within_reach,
)
from sparsestat.gaussian_process._inducing import (
    evaluate,
    greedy_points,
    kmeans_points,
)

__all__ = ["SparseGPRegressor"]

_ROWS = 2048


class SparseGPRegressor(CallbackSupportMixin, RegressorMixin, SparsestatEstimator):
    r"""Gaussian-process regression through m inducing points, in O(n m^2) time.

    The covariance of n samples is approximated by what passes through m points Z, which
    are learned together with the kernel's parameters by maximizing

    .. math::

        \log N(y; 0, Q + \Lambda) - \frac{1 - \alpha}{2 \alpha}
        \sum_t \log\Bigl(1 + \frac{\alpha d_t}{\sigma^2}\Bigr) ,
        \quad Q = K_{nm} K_{mm}^{-1} K_{mn} ,
        \quad d = \mathrm{diag}(K - Q) ,
        \quad \Lambda_t = \sigma^2 + \alpha d_t .

    ``method="vfe"`` is the limit at :math:`\alpha = 0`, the variational lower bound of
    the log marginal likelihood, ``"fitc"`` is :math:`\alpha = 1` and ``"pep"`` takes
    `alpha_pep`. Whatever the method, the fitted model carries a lower and an upper
    bound of the exact log marginal likelihood at its parameters: their distance says
    whether m points are enough. Use it from some thousand samples on, where functions
    are smooth at the scale of m points. Do not use it where the correlation length is
    short against the extent of the data (see
    :class:`~sparsestat.gaussian_process.CompactGPRegressor`), nor below some thousand
    samples, where :class:`sklearn.gaussian_process.GaussianProcessRegressor` is exact.
    Read more in the :ref:`User Guide <gaussian_processes>`.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel, default=None
        Any kernel. Its WhiteKernel is the noise; one is added where there is none. None
        takes a constant times a Gaussian kernel with one length a feature, plus noise,
        started at the scales of the data.
    n_inducing : int, default=100
        Number of inducing points; no more than there are distinct rows.
    inducing : {"kmeans", "greedy"} or array-like (m, n_features), default="kmeans"
        Start of the inducing points: centres of a short k-means run, rows of X chosen
        one by one where the variance given the others is largest, or points.
    method : {"vfe", "fitc", "pep"}, default="vfe"
        The objective. ``"vfe"`` never gains from overfitting; ``"fitc"`` tends to
        underestimate the noise.
    alpha_pep : float, default=0.5
        Power of ``method="pep"``, between 0 and 1.
    optimize_inducing : bool, default=True
        Whether the points are optimized together with the kernel's parameters.
    optimizer : {"fmin_l_bfgs_b"} or None, default="fmin_l_bfgs_b"
        None keeps the kernel's parameters and the points as they are.
    n_restarts_optimizer : int, default=0
        Further starts, with kernel parameters drawn within their bounds.
    max_iter : int, default=200
        Largest number of iterations of one start.
    tol : float, default=1e-4
        Stop when no entry of the projected gradient of the objective divided by
        n_samples exceeds `tol`; with respect to logarithms of kernel parameters, and to
        inducing points in units of the features' standard deviations.
    normalize_y : bool, default=False
        Whether targets are centred and scaled to unit variance; otherwise the process
        has mean zero.
    jitter : float, default=1e-10
        Added to the diagonal of :math:`K_{mm}`, relative to its mean; more is tried
        where a factorization fails.
    random_state : int, RandomState instance or None, default=None
        For k-means and restarts.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    kernel_ : sklearn.gaussian_process.kernels.Kernel
        Kernel with the parameters found, noise included.
    inducing_points_ : ndarray of shape (m, n_features)
        The points Z.
    noise_variance_ : float
        Variance of the noise, in units of y**2.
    objective_ : float
        The objective, the approximate log marginal likelihood.
    lower_bound_, upper_bound_ : float
        Bounds of the exact log marginal likelihood at the fitted parameters, after
        [1]_ and [4]_. The lower one is the objective for ``method="vfe"``.
    L_, L_B_ : ndarray of shape (m, m)
        Lower Cholesky factors of :math:`K_{mm}` (jittered) and of
        :math:`I + L^{-1} K_{mn} \Lambda^{-1} K_{nm} L^{-T}`.
    c_ : ndarray of shape (m,)
        :math:`L_B^{-1} L^{-1} K_{mn} \Lambda^{-1} y`.
    jitter_ : float
        The jitter in use.
    objective_history_ : ndarray
        Objective after each iteration.
    certificate_ : Certificate
        The projected gradient, and both bounds.
    n_iter_ : int
        Number of iterations of the best start.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        For points of another dimension than X; for a kernel without positive noise, or
        whose noise is multiplied by a kernel that is not stationary.
    TypeError
        If `kernel` is no kernel.
    NumericalError
        If a covariance cannot be factored.
    RuntimeError
        If both standard deviations and covariances are asked of ``predict``.

    Warns
    -----
    ConvergenceWarning
        If the projected gradient is above `tol` at the end.
    UserWarning
        If gradients of the kernel have to be taken by differences.

    See Also
    --------
    CompactGPRegressor : Short correlations, sparse covariance matrices.
    ToeplitzGPRegressor : Exact, for even grids in one dimension.
    sklearn.gaussian_process.GaussianProcessRegressor : Exact, for few samples.

    Notes
    -----
    One iteration takes about 4 n m^2 multiplications (6 n m^2 for ``"fitc"`` and
    ``"pep"``), all in BLAS. Memory beside the data: O(m^2), n numbers, and the n x m
    covariances where they fit into 256 MB. All computations are in double precision.
    The result depends on the number of BLAS threads by rounding alone.

    References
    ----------
    .. [1] M. Titsias, "Variational learning of inducing variables in sparse Gaussian
       processes", AISTATS, 2009.
    .. [2] E. Snelson, Z. Ghahramani, "Sparse Gaussian processes using pseudo-inputs",
       NIPS, 2005.
    .. [3] T. D. Bui, J. Yan, R. E. Turner, "A unifying framework for Gaussian process
       pseudo-point approximations using power expectation propagation", JMLR 18, 2017.
    .. [4] M. Titsias, "Variational inference for Gaussian and determinantal point
       processes", workshop on advances in variational inference, NIPS, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.gaussian_process import SparseGPRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(0, 6, (2000, 1))
    >>> y = np.sin(X[:, 0]) + 0.1 * rng.normal(size=2000)
    >>> model = SparseGPRegressor(n_inducing=15, random_state=0).fit(X, y)
    >>> bool(model.upper_bound_ - model.lower_bound_ < 1)
    True
    >>> mean, std = model.predict(np.array([[1.5]]), return_std=True)
    >>> print(f"{mean[0]:.2f} {std[0]:.2f}")
    1.00 0.10
    """

    _parameter_constraints = {
        "kernel": [Kernel, None],
        "n_inducing": [Interval(Integral, 1, None, closed="left")],
        "inducing": [StrOptions({"kmeans", "greedy"}), "array-like"],
        "method": [StrOptions({"vfe", "fitc", "pep"})],
        "alpha_pep": [Interval(Real, 0, 1, closed="both")],
        "optimize_inducing": ["boolean"],
        "optimizer": [StrOptions({"fmin_l_bfgs_b"}), None],
        "n_restarts_optimizer": [Interval(Integral, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "normalize_y": ["boolean"],
        "jitter": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        kernel=None,
        *,
        n_inducing=100,
        inducing="kmeans",
        method="vfe",
        alpha_pep=0.5,
        optimize_inducing=True,
        optimizer="fmin_l_bfgs_b",
        n_restarts_optimizer=0,
        max_iter=200,
        tol=1e-4,
        normalize_y=False,
        jitter=1e-10,
        random_state=None,
        verbose=0,
    ):
        self.kernel = kernel
        self.n_inducing = n_inducing
        self.inducing = inducing
        self.method = method
        self.alpha_pep = alpha_pep
        self.optimize_inducing = optimize_inducing
        self.optimizer = optimizer
        self.n_restarts_optimizer = n_restarts_optimizer
        self.max_iter = max_iter
        self.tol = tol
        self.normalize_y = normalize_y
        self.jitter = jitter
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Find inducing points and kernel parameters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,)
            Targets.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, order="C", y_numeric=True)
        y = np.asarray(y, dtype=np.float64)
        check_data(X, y)
        rng = check_random_state(self.random_state)
        y, self._y_mean, self._y_scale = standardized(y, self.normalize_y)
        kernel = default_kernel(X, y) if self.kernel is None else self.kernel
        kernel = kernel_with_noise(kernel, X.shape[1], y)
        Z = self._first_points(kernel, X, rng)
        alpha = {"vfe": 0.0, "fitc": 1.0, "pep": float(self.alpha_pep)}[self.method]
        n, slope = len(y), 0.0
        self.n_iter_, history = 1, []
        if self.optimizer is not None:
            warn_of_differences(kernel, type(self).__name__)
            scale = X.std(axis=0)
            scale[scale == 0] = 1.0
            move = self.optimize_inducing

            def function(theta, points):
                state = evaluate(
                    kernel.clone_with_theta(theta),
                    points.reshape(Z.shape) * scale if move else Z,
                    X,
                    y,
                    alpha=alpha,
                    jitter=self.jitter,
                    want_points=move,
                )
                gradient = state.gradient
                if move:
                    gradient = np.r_[gradient, (state.Z_gradient * scale).ravel()]
                return state.objective, gradient

            extra = (Z / scale).ravel() if move else np.zeros(0)
            with numerical_errors():
                best = maximize_evidence(
                    self, function, kernel, extra, n=n, rng=rng, X=X, y=y
                )
            kernel = kernel.clone_with_theta(best.x[: kernel.n_dims])
            if move:
                Z = best.x[kernel.n_dims :].reshape(Z.shape) * scale
            slope, history, self.n_iter_ = best.slope, best.history, best.n_iter
        with numerical_errors():
            state = evaluate(
                kernel, Z, X, y, alpha=alpha, jitter=self.jitter, want_gradient=False
            )
        self.kernel_, self.inducing_points_ = kernel, Z
        self.noise_variance_ = state.noise * self._y_scale**2
        self.L_, self.L_B_, self.c_ = state.L, state.L_B, state.c
        self.jitter_ = state.jitter
        self.objective_ = float(state.objective)
        self.lower_bound_, self.upper_bound_ = state.lower, state.upper
        self.objective_history_ = np.array(history)
        self._set_mean_weights()
        self.certificate_ = evidence_certificate(
            self,
            "lower_bound",
            slope,
            {
                "lower_bound": self.lower_bound_,
                "upper_bound": self.upper_bound_,
                "gap_per_sample": (self.upper_bound_ - self.lower_bound_) / n,
                "n_inducing": len(Z),
                "optimized": self.optimizer is not None,
            },
        )
        return self

    def _first_points(self, kernel, X, rng):
        """Return where the inducing points start."""
        if not isinstance(self.inducing, str):
            Z = check_array(self.inducing, dtype=np.float64, input_name="inducing")
            if Z.shape[1] != X.shape[1]:
                raise ValueError(
                    f"`inducing` holds points with {Z.shape[1]} features, but X has "
                    f"{X.shape[1]}. Give points in the space of X."
                )
            return Z.copy()
        rows = np.unique(X, axis=0)
        if len(rows) <= self.n_inducing:
            return rows
        if self.inducing == "greedy":
            return rows[greedy_points(kernel, rows, self.n_inducing)]
        return kmeans_points(rows, self.n_inducing, rng)

    def _set_mean_weights(self):
        """Keep K_mm^-1 K_mn (Q + Lambda)^-1 y: predicted means are one product."""
        half = solve_triangular(self.L_B_, self.c_, lower=True, trans="T")
        self._mean_weights = solve_triangular(self.L_, half, lower=True, trans="T")

    def predict(self, X, return_std=False, return_cov=False):
        """Predict new values, noise included in their spread.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.
        return_std : bool, default=False
            Whether standard deviations are returned.
        return_cov : bool, default=False
            Whether the covariance matrix is returned.

        Returns
        -------
        y_mean : ndarray of shape (n_samples,)
            Means of the predictive distribution.
        y_std : ndarray of shape (n_samples,)
            Its standard deviations, with `return_std`.
        y_cov : ndarray of shape (n_samples, n_samples)
            Its covariance, with `return_cov`.
        """
        check_one_output(return_std, return_cov)
        check_is_fitted(self)
        X = within_reach(
            validate_data(self, X, dtype=np.float64, order="C", reset=False)
        )
        mean = np.empty(len(X))
        variance = np.empty(len(X))
        s2 = self.noise_variance_ / self._y_scale**2
        for start in range(0, len(X), _ROWS):
            rows = slice(start, start + _ROWS)
            K = cross(self.kernel_, X[rows], self.inducing_points_)
            mean[rows] = K @ self._mean_weights
            if return_std:
                prior, posterior = self._halves(K)
                variance[rows] = (
                    diagonal(self.kernel_, X[rows])
                    - np.einsum("ij,ij->j", prior, prior)
                    + np.einsum("ij,ij->j", posterior, posterior)
                )
        mean = self._y_scale * mean + self._y_mean
        if return_std:
            # Rounding may leave less than the noise alone.
            return mean, self._y_scale * np.sqrt(np.maximum(variance, 0.0) + s2)
        if return_cov:
            prior, posterior = self._halves(
                cross(self.kernel_, X, self.inducing_points_)
            )
            cov = cross(self.kernel_, X, X)
            cov = cov + posterior.T @ posterior - prior.T @ prior
            cov.flat[:: len(X) + 1] += s2
            return mean, self._y_scale**2 * cov
        return mean

    def _halves(self, K):
        """Return L^-1 K' and L_B^-1 L^-1 K'."""
        prior = solve_triangular(self.L_, K.T, lower=True)
        return prior, solve_triangular(self.L_B_, prior, lower=True)

    def sample_y(self, X, n_samples=1, random_state=0):
        """Draw new values from the predictive distribution.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
            Points.
        n_samples : int, default=1
            Number of draws.
        random_state : int, RandomState instance or None, default=0
            Source of randomness.

        Returns
        -------
        y_samples : ndarray of shape (n_samples_X, n_samples)
            One draw in each column.
        """
        rng = check_random_state(random_state)
        mean, cov = self.predict(X, return_cov=True)
        return rng.multivariate_normal(mean, cov, n_samples).T
