"""Gaussian-process regression through inducing points: the estimator."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from scipy.linalg import solve_triangular
from sklearn.utils.validation import check_array, validate_data

from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat.gaussian_process._kernel._covariances import (
    cross,
    diagonal,
    has_noise,
    noise_variance,
)
from sparsestat.gaussian_process._kernel._evidence import (
    check_data,
    default_kernel,
    numerical_errors,
)
from sparsestat.gaussian_process._kernel._inducing import (
    evaluate,
    exact_evidence,
    greedy_points,
    jittered_cholesky,
    kmeans_points,
    missed,
    state_of_sums,
    sums_of_rows,
)
from sparsestat.gaussian_process._kernel._starts import feature_units
from sparsestat.gaussian_process._kernel_gp import KernelGPRegressor

__all__ = ["SparseGPRegressor"]

_POWERS = {"vfe": 0.0, "fitc": 1.0}
_ROWS = 2048
_EXACT, _DENSE = 1000, 2000  # rows that may all be points; for dense algebra
_SIZES = (100, 200, 400)
_LITTLE = 1e-3  # noise beside the function's variance


class SparseGPRegressor(KernelGPRegressor):
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
    kernel : sklearn.gaussian_process.kernels.Kernel, str or None, default=None
        Any kernel. Its WhiteKernel is the noise; one is added where there is none. A
        name takes a constant times ``"rbf"``, ``"matern12"``, ``"matern32"``,
        ``"matern52"`` (one length a feature) or ``"rational_quadratic"``, plus noise,
        started at the scales of the data; None is ``"rbf"``.
    n_inducing : {"auto"} or int, default="auto"
        Number of inducing points; no more than there are distinct rows. ``"auto"``
        takes all rows up to 1000, and 100 points beyond, or 200 or 400 where at the
        start fewer leave more variance unexplained than there is noise. Where all rows
        are points and `method` is ``"vfe"``, the process is exact: its parameters are
        found by dense algebra, and the points stay.
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
    normalize_y : bool, default=True
        Whether targets are centered and scaled to unit variance, unlike scikit-learn's
        default; otherwise the process has mean zero. The parameters of `kernel` are in
        the units of what is fitted.
    jitter : {"auto"} or float, default="auto"
        Added to the diagonal of :math:`K_{mm}`, relative to its mean; more is tried
        where a factorization fails. ``"auto"`` is 1e-10, but a hundredth of the noise
        (at most 1e-8) where that is below 1e-3 of the function's variance at the start
        and points are moved: their gradients keep more digits with more of it.
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
    history_ : ndarray
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
        **KernelGPRegressor._parameter_constraints,
        "n_inducing": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "inducing": [StrOptions({"kmeans", "greedy"}), "array-like"],
        "method": [StrOptions({"vfe", "fitc", "pep"})],
        "alpha_pep": [Interval(Real, 0, 1, closed="both")],
        "optimize_inducing": ["boolean"],
        "jitter": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
    }
    _certificate_kind = "lower_bound"
    _remedy = (
        "If there is one, its scale may be short against the distance of inducing "
        "points: raise n_inducing, or give `kernel` with other scales."
    )

    def __init__(
        self,
        kernel=None,
        *,
        n_inducing="auto",
        inducing="kmeans",
        method="vfe",
        alpha_pep=0.5,
        optimize_inducing=True,
        optimizer="fmin_l_bfgs_b",
        n_restarts_optimizer=0,
        max_iter=200,
        tol=1e-4,
        normalize_y=True,
        jitter="auto",
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            kernel,
            optimizer=optimizer,
            n_restarts_optimizer=n_restarts_optimizer,
            max_iter=max_iter,
            tol=tol,
            normalize_y=normalize_y,
            random_state=random_state,
            verbose=verbose,
        )
        self.n_inducing = n_inducing
        self.inducing = inducing
        self.method = method
        self.alpha_pep = alpha_pep
        self.optimize_inducing = optimize_inducing
        self.jitter = jitter

    def _prepare(self, X, y, rng):
        kernel = self.kernel
        if kernel is None or isinstance(kernel, str):
            # At less noise the bound is a cliff that nobody climbs.
            kernel = default_kernel(X, y, name=kernel or "rbf", least_noise=1e-6)
        self.inducing_points_ = self._first_points(kernel, X, rng)
        return kernel

    def _rounding(self, kernel, X, noise):
        share = len(self.inducing_points_) / len(X)
        return share * super()._rounding(kernel, X, noise)

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
        if self.n_inducing != "auto":
            return self._chosen(kernel, rows, self.n_inducing, rng)
        if len(rows) <= _EXACT:
            return rows
        noise = noise_variance(kernel, X.shape[1])[0] if has_noise(kernel) else 0.0
        probes = rows[:: max(1, len(rows) // _ROWS)]
        for m in _SIZES:
            Z = self._chosen(kernel, rows, m, rng)
            if noise <= 0 or missed(kernel, Z, probes) <= noise:
                break
        return Z

    def _chosen(self, kernel, rows, m, rng):
        if len(rows) <= m:
            return rows
        if self.inducing == "greedy":
            return rows[greedy_points(kernel, rows, m)]
        return kmeans_points(rows, m, rng)

    def _evaluate(self, kernel, Z, X, y, **wanted):
        power = self._power()
        return evaluate(kernel, Z, X, y, alpha=power, jitter=self._jitter, **wanted)

    def _objective(self, kernel, X, y):
        self._jitter = 1e-10 if self.jitter == "auto" else self.jitter
        Z, scale, center = self.inducing_points_, feature_units(X), X.mean(axis=0)
        # The free energy is the evidence where no row is missing among the points.
        exact = isinstance(self.inducing, str) and self.method == "vfe"
        if exact and len(X) <= _DENSE and len(Z) == len(np.unique(X, axis=0)):
            return (
                lambda theta, _: exact_evidence(kernel.clone_with_theta(theta), X, y)
            ), np.zeros(0)
        if self.optimizer is None or not self.optimize_inducing:

            def with_fixed_points(theta, _):
                moved = kernel.clone_with_theta(theta)
                state = self._evaluate(moved, Z, X, y, want_points=False)
                return state.objective, state.gradient

            return with_fixed_points, np.zeros(0)

        if self.jitter == "auto":
            noise = noise_variance(kernel, X.shape[1])[0]
            share = noise / float(diagonal(kernel, X).mean())
            if share < _LITTLE:
                self._jitter = float(np.clip(1e-2 * share, 1e-10, 1e-8))

        def function(theta, points):
            moved = kernel.clone_with_theta(theta)
            points = points.reshape(Z.shape) * scale + center
            state = self._evaluate(moved, points, X, y, want_points=True)
            slopes = np.r_[state.gradient, (state.Z_gradient * scale).ravel()]
            return state.objective, slopes

        return function, ((Z - center) / scale).ravel()

    def _settle(self, best, X, y):
        Z = self.inducing_points_
        if len(best.extra):
            Z = best.extra.reshape(Z.shape) * feature_units(X) + X.mean(axis=0)
        K = cross(self.kernel_, Z, Z)
        self.L_, self.jitter_ = jittered_cholesky(K, self._jitter)
        self.inducing_points_ = Z
        self._sums = self._sums_of(X, y)
        return self._store(len(y))

    def _sums_of(self, X, y):
        return sums_of_rows(
            self.kernel_, self.inducing_points_, self.L_, X, y, alpha=self._power()
        )

    def _store(self, n):
        """Store the posterior that the sums make; return details of a certificate."""
        noise = self.noise_variance_ / self._y_scale**2
        state = state_of_sums(self._sums, self.L_, noise, self.jitter_)
        self.L_B_, self.c_ = state.L_B, state.c
        self.objective_ = float(state.objective)
        self.lower_bound_, self.upper_bound_ = state.lower, state.upper
        # K_mm^-1 K_mn (Q + Lambda)^-1 y: predicted means are one product.
        half = solve_triangular(self.L_B_, self.c_, lower=True, trans="T")
        self._mean_weights = solve_triangular(self.L_, half, lower=True, trans="T")
        return {
            "lower_bound": self.lower_bound_,
            "upper_bound": self.upper_bound_,
            "gap_per_sample": (self.upper_bound_ - self.lower_bound_) / n,
            "n_inducing": len(self.L_),
        }

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y):
        """Learn from further samples; the kernel and the points stay as they are.

        The first call, where there was no fit, is one. After that the posterior, its
        bounds and the objective are those of all samples seen, as if they had come at
        once: give the first call, or ``fit``, samples that represent all.

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
        first = not hasattr(self, "kernel_")
        X, y = validate_data(
            self, X, y, dtype=np.float64, order="C", y_numeric=True, reset=first
        )
        y = np.asarray(y, dtype=np.float64)
        if first:
            return self._fit(X, y)
        check_data(X, y)
        y = (y - self._y_mean) / self._y_scale
        with numerical_errors():
            self._sums = self._sums + self._sums_of(
                np.clip(X, -self._far, self._far), y
            )
            details = self._store(float(self._sums.scalars[0]))
        self.n_iter_ += 1
        # The update is exact; how good the parameters are is what the fit said.
        self.certificate_ = replace(
            self.certificate_, details={**self.certificate_.details, **details}
        )
        return self

    def _power(self):
        return _POWERS.get(self.method, float(self.alpha_pep))

    def _representer(self):
        return self.inducing_points_, self._mean_weights

    def _marginals(self, X, with_variance):
        mean = np.empty(len(X))
        variance = diagonal(self.kernel_, X) if with_variance else None
        for start in range(0, len(X), _ROWS):
            rows = slice(start, start + _ROWS)
            K = cross(self.kernel_, X[rows], self.inducing_points_)
            mean[rows] = K @ self._mean_weights
            if with_variance:
                prior, posterior = self._halves(K)
                variance[rows] -= np.einsum("ij,ij->j", prior, prior)
                variance[rows] += np.einsum("ij,ij->j", posterior, posterior)
        return mean, variance

    def _joint(self, X):
        K = cross(self.kernel_, X, self.inducing_points_)
        prior, posterior = self._halves(K)
        cov = cross(self.kernel_, X, X) + posterior.T @ posterior - prior.T @ prior
        return K @ self._mean_weights, cov

    def _halves(self, K):
        """Return L^-1 K' and L_B^-1 L^-1 K'."""
        prior = solve_triangular(self.L_, K.T, lower=True)
        return prior, solve_triangular(self.L_B_, prior, lower=True)
