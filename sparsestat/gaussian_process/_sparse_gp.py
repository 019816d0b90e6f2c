"""Gaussian-process regression through inducing points: the estimator."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import replace
from functools import partial
from numbers import Integral, Real

import numpy as np
from scipy.linalg import solve_triangular
from scipy.sparse import issparse
from sklearn.gaussian_process.kernels import Kernel, WhiteKernel
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array

from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.moments import numeric_targets
from sparsestat._utils.samples import effective_rows, given_weights
from sparsestat.gaussian_process._kernel._covariances import (
    cross,
    diagonal,
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
from sparsestat.gaussian_process._kernel._row_noise import RowNoise
from sparsestat.gaussian_process._kernel._starts import feature_units
from sparsestat.gaussian_process._kernel_gp import KernelGPRegressor
from sparsestat.gaussian_process._variational._heavy_tails import (
    heavy_bound,
    typical_targets,
)
from sparsestat.gaussian_process._variational._svgp import Posterior

__all__ = ["SparseGPRegressor"]

_POWERS = {"vfe": 0.0, "fitc": 1.0}
_ROWS = 2048
_EXACT, _DENSE = 1000, 2000  # rows that may all be points; for dense algebra
_FEW = 200  # rows that may all be points of a process with heavy-tailed noise
_SIZES = (100, 200, 400)
_SAMPLE = 10_000  # rows that choose kernel and points where rows come in blocks
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
        start fewer leave more variance unexplained than there is noise; with
        ``likelihood="student_t"`` all rows up to 200. Where all rows are points and
        `method` is ``"vfe"``, the process with normal noise is exact: its parameters
        are found by dense algebra, and the points stay.
    inducing : {"kmeans", "greedy"} or array-like (m, n_features), default="kmeans"
        Start of the inducing points: centers of a short k-means run, rows of X chosen
        one by one where the variance given the others is largest, or points.
    method : {"vfe", "fitc", "pep"}, default="vfe"
        The objective. ``"vfe"`` never gains from overfitting; ``"fitc"`` tends to
        underestimate the noise.
    alpha_pep : float, default=0.5
        Power of ``method="pep"``, between 0 and 1.
    likelihood : {"gaussian", "student_t"}, default="gaussian"
        The noise. ``"student_t"`` has heavy tails: single outliers move the function
        little. Its WhiteKernel is the square of the scale of Student's distribution.
        One target, ``method="vfe"`` and no known noise; the objective is a variational
        bound whose expectations take 20 Hermite nodes.
    degrees : float, default=4.0
        Degrees of freedom of Student's distribution, above 2; fewer have heavier tails.
    optimize_inducing : bool, default=True
        Whether the points are optimized together with the kernel's parameters.
    noise_variance : float or array-like of shape (n_samples,), default=None
        Variance of the noise of the targets that is known beforehand, in units of y**2,
        of all samples or of each. No WhiteKernel is added then; one that `kernel` has
        is noise beside it. Spreads of new values hold a known number, but know nothing
        of the noise of other samples: with an array they are those of the function, and
        of the WhiteKernel. Several targets then share one scale.
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
        and points are moved: their gradients keep more digits with more of it. Where
        the process is exact it starts at a thousandth of the noise, where that is less.
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
    noise_variance_ : float or ndarray of shape (n_targets,)
        Variance of the noise of new values, in units of y**2. Where `kernel` has no
        WhiteKernel, it is at least 1e-10 of their variance; where rounding hides the
        largest evidence at so little noise, that bound is raised by factors of ten, to
        1e-6 at most. ``certificate_.details["noise_level_bound"]`` is the one in use,
        in the units of `kernel_`.
    objective_ : float
        The objective, the approximate log marginal likelihood.
    lower_bound_, upper_bound_ : float
        Bounds of the exact log marginal likelihood at the fitted parameters, after
        [1]_ and [4]_. The lower one is the objective for ``method="vfe"``; with
        ``likelihood="student_t"`` no upper one is known.
    L_, L_B_ : ndarray of shape (m, m)
        Lower Cholesky factors of :math:`K_{mm}` (jittered) and of
        :math:`I + L^{-1} K_{mn} \Lambda^{-1} K_{nm} L^{-T}`.
    c_ : ndarray of shape (m,) or (m, n_targets)
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
        For `noise_variance` of another length than X, or not positive; for what
        ``likelihood="student_t"`` does not fit; for points of another dimension than X;
        for a kernel without positive noise, or whose noise is multiplied by a kernel
        that is not stationary.
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
        "likelihood": [StrOptions({"gaussian", "student_t"})],
        "degrees": [Interval(Real, 2, None, closed="neither")],
        "optimize_inducing": ["boolean"],
        "noise_variance": [
            Interval(Real, 0, None, closed="neither"),
            "array-like",
            None,
        ],
        "jitter": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
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
        likelihood="gaussian",
        degrees=4.0,
        optimize_inducing=True,
        noise_variance=None,
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
        self.likelihood = likelihood
        self.degrees = degrees
        self.optimize_inducing = optimize_inducing
        self.noise_variance = noise_variance
        self.jitter = jitter

    @property
    def _heavy(self):
        return self.likelihood == "student_t"

    @property
    def _collects(self):
        # The mean of some observations says all about normal noise only.
        return not self._heavy

    def _prepare(self, X, y, rng):
        if self._heavy:
            self._check_heavy(y)
        kernel = self.kernel
        if kernel is None or isinstance(kernel, str):
            # At less noise the bound is a cliff that nobody climbs.
            kernel = default_kernel(X, y, name=kernel or "rbf", least_noise=1e-6)
            if self.noise_variance is not None:
                kernel = kernel.k1
        self.inducing_points_ = self._first_points(kernel, X, rng)
        if self._heavy and not isinstance(self.kernel, Kernel):
            return self._without_outliers(kernel, X, y)
        return kernel

    def _without_outliers(self, kernel, X, y):
        """Return the kernel to start from, or a better one that outliers spoil less."""
        Z, few = self.inducing_points_, slice(None, None, max(1, len(X) // _ROWS))
        typical, noise = typical_targets(X, y)
        other = default_kernel(X, typical, name=self.kernel or "rbf")
        bounds = kernel.k2.noise_level_bounds
        noise = float(np.clip(noise, 1e-6, bounds[1]))
        other = other.k1 + WhiteKernel(noise, bounds)

        def bound_of(kernel):
            return heavy_bound(
                kernel,
                Z,
                X[few],
                y[few],
                Posterior.prior(len(Z), 1),
                degrees=self.degrees,
                jitter=1e-8,
            ).value

        return max([kernel, other], key=bound_of)

    def _check_heavy(self, y):
        """Refuse what the bound of heavy-tailed noise is not made for."""
        asked = {
            f"y has {y.shape[1]} targets": y.shape[1] > 1,
            f"method is {self.method!r}": self.method != "vfe",
            "noise_variance is given": self.noise_variance is not None,
        }
        for what, is_so in asked.items():
            if is_so:
                raise ValueError(
                    f"likelihood='student_t' fits one target with method='vfe' and a "
                    f"scale that is learned, but {what}. Take likelihood='gaussian', "
                    "or change that."
                )

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
        if len(rows) <= (_FEW if self._heavy else _EXACT):
            return rows
        noise = noise_variance(kernel, X.shape[1])[0] + np.mean(self._row_noise.known)
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
        return evaluate(
            kernel,
            Z,
            X,
            y,
            alpha=power,
            jitter=self._jitter,
            rows=self._row_noise,
            **wanted,
        )

    def _settled(self, kernel, Z, X, y):
        """Return the bound of heavy-tailed noise, and keep the distribution there."""
        state = heavy_bound(
            kernel,
            Z,
            X,
            y,
            self._posterior,
            degrees=self.degrees,
            jitter=self._jitter,
            weights=self._row_noise.weights,
        )
        self._posterior = state.posterior
        return state

    def _objective(self, kernel, X, y):
        self._jitter = 1e-10 if self.jitter == "auto" else self.jitter
        Z, scale, center = self.inducing_points_, feature_units(X), X.mean(axis=0)
        self._posterior = Posterior.prior(len(Z), 1)
        # The free energy is the evidence where no row is missing among the points.
        exact = isinstance(self.inducing, str) and self.method == "vfe"
        exact = exact and not self._heavy
        exact = exact and len(X) <= _DENSE
        self._exact = exact and len(Z) == len(np.unique(X, axis=0))
        if self._exact:
            return (
                lambda theta, _: exact_evidence(
                    kernel.clone_with_theta(theta), X, y, rows=self._row_noise
                )
            ), np.zeros(0)
        if self.optimizer is None or not self.optimize_inducing:

            def with_fixed_points(theta, _):
                moved = kernel.clone_with_theta(theta)
                if self._heavy:
                    state = self._settled(moved, Z, X, y)
                    return state.value, state.gradient
                state = self._evaluate(moved, Z, X, y, want_points=False)
                return state.objective, state.gradient

            return with_fixed_points, np.zeros(0)

        if self.jitter == "auto":
            share = self._noise_share(kernel, X)
            if share < _LITTLE:
                self._jitter = float(np.clip(1e-2 * share, 1e-10, 1e-8))

        def function(theta, points):
            moved = kernel.clone_with_theta(theta)
            points = points.reshape(Z.shape) * scale + center
            if self._heavy:
                state = self._settled(moved, points, X, y)
                value = state.value
            else:
                state = self._evaluate(moved, points, X, y, want_points=True)
                value = state.objective
            slopes = np.r_[state.gradient, (state.Z_gradient * scale).ravel()]
            return value, slopes

        return function, ((Z - center) / scale).ravel()

    def _noise_share(self, kernel, X):
        """Return the noise variance relative to that of the function."""
        noise = noise_variance(kernel, X.shape[1])[0] + np.mean(self._row_noise.known)
        return float(noise / diagonal(kernel, X).mean())

    def _settle(self, best, X, y):
        Z = self.inducing_points_
        if len(best.extra):
            Z = best.extra.reshape(Z.shape) * feature_units(X) + X.mean(axis=0)
        if self._heavy:
            return self._settle_heavy(best, Z, X, y)
        K = cross(self.kernel_, Z, Z)
        jitter = self._jitter
        if self._exact and self.jitter == "auto":
            # More than a small part of the noise would be noise that is not learned.
            share = self._noise_share(best.kernel, X)
            jitter = float(np.clip(1e-3 * share, 1e-15, jitter))
        self.L_, self.jitter_ = jittered_cholesky(K, jitter)
        self.inducing_points_ = Z
        self._sums = self._sums_of(X, y, self._row_noise)
        self._row_noise = None
        return self._store()

    def _settle_heavy(self, best, Z, X, y):
        """Store the distribution of the values at the points; return details."""
        state = self._settled(best.kernel, Z, X, y)
        best.slope = max(best.slope, state.unsettled / self._row_noise.total(len(X)))
        self.inducing_points_, self.L_, self.jitter_ = Z, state.L, self._jitter
        root = state.posterior.root(0)
        self.L_B_, self.c_ = root, root.T @ state.posterior.mean[:, 0]
        self.objective_ = self.lower_bound_ = float(state.value)
        self.upper_bound_ = np.inf
        self._row_noise = self._posterior = None
        self._store_weights()
        return {"lower_bound": self.lower_bound_, "n_inducing": len(Z)}

    def _store_noise(self):
        if self._heavy:
            self._noise *= self.degrees / (self.degrees - 2.0)
        super()._store_noise()

    def _sums_of(self, X, y, rows):
        return sums_of_rows(
            self.kernel_,
            self.inducing_points_,
            self.L_,
            X,
            y,
            alpha=self._power(),
            rows=rows,
        )

    def _store(self):
        """Store the posterior that the sums make; return details of a certificate."""
        state = state_of_sums(self._sums, self.L_, self._noise, self.jitter_)
        self.L_B_, self.c_ = state.L_B, self._shaped(state.c)
        self.objective_ = float(state.objective)
        self.lower_bound_, self.upper_bound_ = state.lower, state.upper
        self._store_weights()
        return {
            "lower_bound": self.lower_bound_,
            "upper_bound": self.upper_bound_,
            "gap_per_sample": (self.upper_bound_ - self.lower_bound_)
            / float(self._sums.scalars[0]),
            "n_inducing": len(self.L_),
        }

    def _store_weights(self):
        # K_mm^-1 K_mn (Q + Lambda)^-1 y: predicted means are one product.
        half = solve_triangular(self.L_B_, self.c_, lower=True, trans="T")
        self._mean_weights = solve_triangular(self.L_, half, lower=True, trans="T")

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
        y_samples : ndarray of shape (n_samples_X, n_samples) or \
                (n_samples_X, n_targets, n_samples)
            New values, noise included; one draw along the last axis.
        """
        if not self._heavy:
            return super().sample_y(X, n_samples, random_state)
        rng = check_random_state(random_state)
        mean, cov = self._joint(self._check_points(X))
        values, vectors = np.linalg.eigh(cov)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        draws = root @ rng.standard_normal((len(mean), n_samples))
        scale = np.sqrt(self._noise * (self.degrees - 2.0) / self.degrees)
        draws += scale * rng.standard_t(self.degrees, draws.shape)
        return self._y_scale * (mean[:, None] + draws) + self._y_mean

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Learn from further samples; the kernel and the points stay as they are.

        The first call, where there was no fit, is one. After that the posterior, its
        bounds and the objective are those of all samples seen, as if they had come at
        once: give the first call, or ``fit``, samples that represent all.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, as for ``fit``.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        first = not hasattr(self, "kernel_")
        X, y = self._checked(X, y, reset=first)
        weights = given_weights(sample_weight, X)
        if first:
            return self._fit(X, y, weights)
        self._check_targets(y)
        if self._heavy:
            raise ValueError(
                "partial_fit adds samples to a process with normal noise; with "
                "likelihood='student_t' the first call is all. Fit all samples at once."
            )
        known = self._known_noise(len(X), weights)
        X, y, weights = effective_rows(X, y, weights)
        check_data(X, y)
        Y = (y.reshape(len(y), -1) - self._y_mean) / self._y_scale
        rows = RowNoise(
            1.0 if weights is None else weights,
            0.0 if known is None else known / np.ravel(self._y_scale)[0] ** 2,
        )
        with numerical_errors():
            self._sums = self._sums + self._sums_of(
                np.clip(X, -self._far, self._far), Y, rows
            )
            details = self._store()
        self.n_iter_ += 1
        # The update is exact; how good the parameters are is what the fit said.
        self.certificate_ = replace(
            self.certificate_, details={**self.certificate_.details, **details}
        )
        return self

    def _fit_blocks(self, blocks):
        if self._heavy or np.ndim(self.noise_variance):
            raise ValueError(
                "likelihood='student_t' and a noise_variance for each row need X in "
                "memory: rows in blocks have normal noise of one variance."
            )
        part = blocks.sample(_SAMPLE, check_random_state(self.random_state))
        X, y = _rows_of(part)
        self._fit(X, y[:, 0] if part.y.ndim == 1 else y, part.weights)
        known = self.noise_variance
        noise = 0.0 if known is None else known / np.ravel(self._y_scale)[0] ** 2
        sums_of = partial(
            sums_of_rows, self.kernel_, self.inducing_points_, self.L_,
            alpha=self._power(),
        )  # fmt: skip
        units = self._far, self._y_mean, self._y_scale
        with numerical_errors():
            self._sums = blocks.reduce(_block_sums, _add, sums_of, units, noise)
            details = self._store()
        self.certificate_ = replace(
            self.certificate_, details={**self.certificate_.details, **details}
        )
        return self

    def _check_targets(self, y):
        """Refuse targets of another number than were fitted."""
        fitted = np.size(self._y_mean)
        if (y.ndim == 1) != self._one or y.size != fitted * len(y):
            raise ValueError(
                f"y has shape {y.shape}, but the fit saw {fitted} targets in an array "
                f"of {1 if self._one else 2} dimensions."
            )

    def _power(self):
        return _POWERS.get(self.method, float(self.alpha_pep))

    def _representer(self):
        return self.inducing_points_, self._mean_weights

    def _marginals(self, X, with_variance):
        mean = np.empty((len(X), *self._mean_weights.shape[1:]))
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


def _rows_of(block):
    """Return rows and targets of a block in double precision, the latter as columns."""
    X = block.X.toarray() if issparse(block.X) else block.X
    return np.ascontiguousarray(X, dtype=np.float64), numeric_targets(block.y)


def _block_sums(block, sums_of, units, noise):
    """Return what a block adds to the posterior."""
    (X, y), (far, mean, scale) = _rows_of(block), units
    rows = RowNoise(1.0 if block.weights is None else block.weights, noise)
    return sums_of(np.clip(X, -far, far), (y - mean) / scale, rows=rows)


def _add(a, b):
    return a + b
