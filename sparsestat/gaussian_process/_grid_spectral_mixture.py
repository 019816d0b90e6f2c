"""Gaussian process regression with a sparse spectrum on a grid of frequencies."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np

from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.progress import FitProgress
from sparsestat.gaussian_process._spectral._fit import (
    choose_engine,
    fit_weights,
    is_even,
)
from sparsestat.gaussian_process._spectral._held_out import NARROWINGS, HeldOut
from sparsestat.gaussian_process._spectral_base import SpectralMixtureBase

__all__ = ["GridSpectralMixtureRegressor"]


class GridSpectralMixtureRegressor(SpectralMixtureBase):
    r"""Gaussian process whose kernel is a sparse mixture of components on a grid.

    The covariance is :math:`C = s^2 I + \sum_i w_i K_i`, one component a frequency.
    The weights, most of them zero, and the noise variance minimize

    .. math:: F(w, s^2) = y^T C^{-1} y + \log\det C , \qquad w \ge 0 ,

    which is minus twice the log marginal likelihood up to a constant. The width of the
    components is chosen by held-out ends of the series, as the likelihood rises with
    every narrower one. Use it for series with several periods, known or not, and for
    extrapolation. On an even grid of one feature nothing of size n x n is formed. It
    has the methods of :class:`sklearn.gaussian_process.GaussianProcessRegressor`, and
    `kernel_` can be handed to it. Read more in the
    :ref:`User Guide <gaussian_processes>`.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Number of components: 500 for one feature, otherwise 100 for each.
    form : {"product", "cosine"}, default="product"
        With several features, products of cosines or one cosine of the inner product;
        only the latter tells directions apart.
    grid : {"auto", "uniform", "sobol", "random", "tensor"} or array, default="auto"
        Where the frequencies lie. ``"auto"`` is uniform for one feature; otherwise
        zero, points on the axes and a scrambled Sobol sequence. An array of shape
        (n_components, n_features) gives them.
    frequency_range : "auto" or (float, float), default="auto"
        Smallest and largest frequency, in cycles per unit of X. ``"auto"``: from 0 to
        half the inverse of the median distance between neighbors, the highest
        frequency that an even grid can carry. With several features the distance is
        taken in units of the standard deviation of each.
    sigma : float, array-like or "auto", default="auto"
        Width of the components, in the same units: the inverse is about five times
        the lag at which a component forgets. ``"auto"``: half the distance between
        frequencies. For one feature not less than the inverse of the extent of X, and
        from there down to a sixteenth as the ends of the series choose: the width
        that gives the held-out last fifth, and first, the largest density.
    noise : {"auto", "ml", "gcv"} or float, default="auto"
        The noise variance: learned with the weights ("ml"), by generalized
        cross-validation of a smoothing spline ("gcv": one feature, even grid), the one
        of the two that is better at the held-out ends, or given, in units of y squared.
    noise_floor : float, default=1e-4
        Smallest noise variance relative to the variance of y. Without one the
        likelihood has no maximum when there are many components.
    solver : {"auto", "mm", "sca", "dsca", "conic"}, default="auto"
        ``"auto"``: a few updates in closed form, then Newton steps in Whittle's metric
        on even grids and quasi-Newton steps elsewhere, on growing working sets where a
        gradient is costly. ``"mm"``: updates in closed form, extrapolated. ``"sca"``: a
        sequence of convex problems. ``"dsca"``: the same, in damped parallel blocks.
        ``"conic"``: the same through cvxpy, for checking.
    low_rank : {"nystrom", "rff"} or None, default=None
        Approximate every component by `rank` features, for many points in several
        dimensions: through some of the training points, or drawn at random.
    rank : int, default=50
        Features of one component when `low_rank` is set.
    detrend : {"mean", "linear"} or None, default="linear"
        What is taken off y before the fit and added to predictions. A grid of
        frequencies has no component for a drift.
    max_iter : int, default=500
        Largest number of evaluations of the gradient (for sca, dsca and conic: of
        outer iterations).
    tol : float, default=1e-6
        Stop when the largest violation of stationarity is at most the square root of
        this, see `certificate_`.
    prune_tol : float, default=1e-6
        Weights up to this times the largest become zero at the end, unless they
        carry a share of the fit above the tolerance.
    n_jobs : int, default=None
        Workers over the blocks of dsca.
    random_state : int, RandomState instance or None, default=None
        Places the components of several features, and the features of `low_rank`.
    verbose : int, default=0
        At 1 and above, log a line for every lower objective.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Variance of each component.
    active_ : ndarray of shape (n_active,)
        Components of positive weight.
    frequencies_ : ndarray of shape (n_components, n_features)
        Frequencies, in cycles per unit of X.
    sigmas_ : ndarray of shape (n_components, n_features)
        Widths, in the same units.
    noise_variance_ : float
        Noise variance, given or learned.
    kernel_ : sklearn.gaussian_process.kernels.Kernel
        A GSMKernel or GSMPKernel of the active components, plus the noise.
    X_train_ : ndarray of shape (n_points, n_features)
        Distinct training points, sorted.
    alpha_ : ndarray of shape (n_points, n_targets)
        Dual coefficients at those points.
    trend_coef_ : ndarray of shape (0 or 1 or 1 + n_features, n_targets)
        Intercept and slopes of the trend.
    history_ : ndarray
        The objective, each time it fell.
    log_marginal_likelihood_value_ : float
        Log marginal likelihood of the training data, trend taken off.
    certificate_ : Certificate
        Largest violation of stationarity over all components, zeros included.
    n_iter_ : int
        Number of evaluations of the gradient.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Warns
    -----
    ConvergenceWarning
        When the certificate is not satisfied.
    UserWarning
        When y is constant.

    See Also
    --------
    DistributedGridSpectralMixtureRegressor : Parties that do not share their data.
    sklearn.gaussian_process.GaussianProcessRegressor : Any kernel, dense.

    Notes
    -----
    An evaluation costs O(n^2 + (n + A) log n) time and O(n + A) memory on an even grid
    of one feature with the default frequencies (O(n A) memory with others), A being
    n_components; otherwise O(n^3 + n^2 A n_features) time and O(n^2 + n A) memory.
    Choosing a width takes ten to twenty short fits of four fifths of the points, at
    most 2000 on an even grid and 200 elsewhere. Unevenly spaced points of one feature
    beyond 5000 use an exact factor of low rank. The objective is not convex: what is
    found is a stationary point. A weight of 2 equals a row given twice: the noise
    variance of a row is divided by its weight. Several targets share the weights.

    References
    ----------
    .. [1] R. Suwandi, Z. Lin, F. Yin, Z. Wang, S. Theodoridis, "Sparsity-aware
       distributed learning for Gaussian processes with linear multiple kernel",
       arXiv 2309.08201, 2023.
    .. [2] F. Yin, L. Pan, X. He, T. Chen, S. Theodoridis, Z.-Q. Luo, "Linear multiple
       low-rank kernel based stationary Gaussian processes regression for time series",
       IEEE Transactions on Signal Processing, 2020.
    .. [3] D. Garcia, "Robust smoothing of gridded data in one and higher dimensions
       with missing values", Computational Statistics & Data Analysis, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.gaussian_process import GridSpectralMixtureRegressor
    >>> x = np.arange(200.0)
    >>> y = np.sin(2 * np.pi * x / 20) + 0.5 * np.cos(2 * np.pi * x / 7)
    >>> model = GridSpectralMixtureRegressor(sigma=1e-3).fit(x[:150, None], y[:150])
    >>> round(model.score(x[150:, None], y[150:]), 2)
    1.0
    """

    _parameter_constraints = {
        **SpectralMixtureBase._parameter_constraints,
        "solver": [StrOptions({"auto", "mm", "sca", "dsca", "conic"})],
        "noise": [
            StrOptions({"auto", "ml", "gcv"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "low_rank": [StrOptions({"nystrom", "rff"}), None],
        "rank": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_components="auto",
        *,
        form="product",
        grid="auto",
        frequency_range="auto",
        sigma="auto",
        noise="auto",
        noise_floor=1e-4,
        solver="auto",
        low_rank=None,
        rank=50,
        detrend="linear",
        max_iter=500,
        tol=1e-6,
        prune_tol=1e-6,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.form = form
        self.grid = grid
        self.frequency_range = frequency_range
        self.sigma = sigma
        self.noise = noise
        self.noise_floor = noise_floor
        self.solver = solver
        self.low_rank = low_rank
        self.rank = rank
        self.detrend = detrend
        self.max_iter = max_iter
        self.tol = tol
        self.prune_tol = prune_tol
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the weights of the components and the noise.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training points, never modified.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights: the noise variance of a row is divided by its
            weight, and an integer weight equals repetition.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        if self.low_rank is not None and self.solver != "auto":
            raise ValueError(
                f"solver={self.solver!r} starts from all components at once, which "
                "low_rank is meant to avoid. Use solver='auto' with it."
            )
        _, samples, spectrum, rng = self._start(X, y, sample_weight)
        if self._store_if_constant(samples, spectrum):
            return self
        spectrum, kind = self._choose_width(samples, spectrum)
        noise, shift = self._given_noise(samples, kind), self._per_unit(samples)
        engine = choose_engine(
            samples, spectrum, low_rank=self.low_rank, rank=self.rank, rng=rng
        )
        with FitProgress(
            self, self.max_iter, X=X, y=y, verbose=self.verbose
        ) as progress:
            solution = fit_weights(
                engine,
                noise=noise,
                noise_floor=self.noise_floor,
                solver=self.solver,
                tol=float(np.sqrt(self.tol)),
                max_iter=self.max_iter,
                prune_tol=self.prune_tol,
                step=lambda value: progress.step(objective=value + shift),
                n_jobs=self.n_jobs,
            )
        self._store_solution(engine, solution.z)
        self.history_ = np.array(solution.path) + shift
        self.n_iter_ = solution.n_iter
        self._store_certificate(
            solution.residual,
            f"{type(self).__name__} did not converge: the violation of stationarity",
            "Increase max_iter or noise_floor, or use solver='auto'.",
            objective=solution.value + shift,
            n_active=len(self.active_),
            noise_variance=self.noise_variance_,
        )
        return self

    def _choose_width(self, samples, spectrum):
        """Return the components and the kind of noise that predict held-out ends best.

        What was given stays; of equals the first is taken, which promises least.
        """
        kinds = [self.noise]
        if self.noise == "auto":
            even = self.low_rank is None and is_even(samples)
            kinds = ["ml", "gcv"] if even else ["ml"]
        chooses = isinstance(self.sigma, str) and isinstance(self.grid, str)
        chooses &= spectrum.n_dims == 1 and self.low_rank is None
        narrowings = NARROWINGS if chooses else (1,)
        if len(kinds) * len(narrowings) == 1:
            return spectrum, kinds[0]
        told = [
            self._given_noise(samples, kind) if isinstance(kind, Real) else kind
            for kind in kinds
        ]
        held_out = HeldOut(spectrum, self.noise_floor, self.detrend)
        losses = held_out.scores(samples, narrowings, told)
        if losses is None:
            return spectrum, kinds[0]
        i, j = np.unravel_index(np.argmin(losses), losses.shape)
        return held_out.narrowed(narrowings[i]), kinds[j]
