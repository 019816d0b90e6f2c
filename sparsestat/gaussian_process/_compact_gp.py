"""Gaussian-process regression with sparse covariance matrices: the estimator."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree
from sklearn.base import clone
from sklearn.gaussian_process.kernels import (
    Kernel,
    Product,
    Sum,
    WhiteKernel,
)
from sklearn.utils import check_random_state

from sparsestat._utils.compat import Interval, StrOptions
from sparsestat.gaussian_process._exact_gp import Factors, StructuredGPRegressor
from sparsestat.gaussian_process._kernel._covariances import (
    cross,
    cross_backward,
    diagonal,
    diagonal_backward,
    leaves,
    noise_variance,
    scaled_cross,
)
from sparsestat.gaussian_process._kernel._evidence import (
    default_amplitude,
    default_noise,
    spread,
)
from sparsestat.gaussian_process._kernel._starts import feature_units, first_scales
from sparsestat.gaussian_process._kernel._wendland import WendlandKernel
from sparsestat.gaussian_process._structure._sparse_cholesky import (
    DenseCholesky,
    SparseCholesky,
    close_pairs,
    radius_for_neighbors,
)

__all__ = ["CompactGPRegressor"]

_LOG_2PI = np.log(2.0 * np.pi)
_ALL_PAIRS = 1500  # samples up to which the support may cover all
_MOST_DENSE, _CROWDED = 3000, 0.1  # a pattern is dense from this share of pairs on
_WIDEST = 20.0  # extents of the data; wider kernels are as good as splines
_MOST_WORK, _MOST_FILL = 4e8, 6e7  # multiplications, entries of a factor
_NUGGET = 1e-10  # of a variance, for draws without noise
_MANY = 20_000  # samples beyond which the first support is kept
_FLAT = 10.0  # spreads of a feature: a longer length means that it does not matter


class CompactGPRegressor(StructuredGPRegressor):
    r"""Exact Gaussian-process regression with a kernel of compact support.

    Points that are further apart than the support have no covariance: the n x n matrix
    C is sparse, is built from pairs of neighbors and factored by a sparse Cholesky
    factorization. The log marginal likelihood

    .. math:: -\tfrac12 \bigl( y' C^{-1} y + \log\det C + n \log 2 \pi \bigr)

    and its gradient are exact; the latter needs :math:`C^{-1}` only where C is not
    zero, and takes it from the factor [2]_. Use it for many points in one to three
    dimensions whose correlations are short. Do not use it where distant points inform
    each other, or in many dimensions, where neighbors are too many
    (:class:`~sparsestat.gaussian_process.SparseGPRegressor`). Read more in the
    :ref:`User Guide <gaussian_processes>`.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel, default=None
        A stationary kernel in which every summand has a
        :class:`~sparsestat.gaussian_process.WendlandKernel` as a factor, apart from
        white noise, which is added where there is none: for instance
        ``WendlandKernel(k=1) * RBF(2.0) + WhiteKernel()``. None takes a constant times
        a WendlandKernel, plus noise.
    support : {"auto"}, float or None, default="auto"
        Radius of the WendlandKernels. ``"auto"`` takes that within which a point has
        `neighbors` others on average; None leaves the kernel as it is. Where `kernel`
        is None and there are several features, each has a radius of its own, in the
        proportions of the lengths that explain a part of the data best.
    neighbors : {"auto"} or int, default="auto"
        For ``support="auto"``. More neighbors mean a better model of far correlations
        and more fill of the factor. ``"auto"`` starts at 30 and goes on while the
        likelihood rises, as far as a factorization stays below 4e8 multiplications and
        6e7 entries (500 MB); up to 1500 samples all pairs may be neighbors, and beyond
        20,000 samples it stays at 30. Where `kernel` is None fewer neighbors are tried
        too, from a radius on that suits the lengths that explain a part of the data
        best: points in clusters have their 30 neighbors far away.
    noise_variance : float or array-like of shape (n_samples,), default=None
        Variance of the noise of the targets that is known beforehand, in units of y**2,
        of all samples or of each. No WhiteKernel is added then; one that `kernel` has
        is noise beside it. Spreads of new values hold a known number, but know nothing
        of the noise of other samples: with an array they are those of the function, and
        of the WhiteKernel. Several targets then share one scale.
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
        For restarts, and for the choice of 2000 points whose neighbors are counted.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    kernel_ : sklearn.gaussian_process.kernels.Kernel
        Kernel with the parameters found, noise included.
    support_ : ndarray
        Radius of the pattern, or one a feature.
    noise_variance_ : float or ndarray of shape (n_targets,)
        Variance of the noise of new values, in units of y**2. Where `kernel` has no
        WhiteKernel, it is at least 1e-10 of their variance; where rounding hides the
        largest evidence at so little noise, that bound is raised by factors of ten, to
        1e-6 at most. ``certificate_.details["noise_level_bound"]`` is the one in use,
        in the units of `kernel_`.
    log_marginal_likelihood_value_ : float
        At the parameters found.
    alpha_ : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Inverse covariance times targets.
    X_train_ : ndarray of shape (n_rows, n_features)
        The data; rows that repeat stand for one, and are sorted.
    n_nonzeros_ : int
        Entries of the covariance matrix that are stored.
    fill_ : int
        Entries of its Cholesky factor.
    history_ : ndarray
        Log marginal likelihood after each iteration.
    certificate_ : Certificate
        The projected gradient.
    n_iter_ : int
        Number of iterations of the best start.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        If a summand of the kernel has no compact support, the kernel is not stationary,
        a WendlandKernel is not positive definite in the dimension of X, or a covariance
        of more than 5000 points is asked for.
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
    WendlandKernel : The kernels.
    SparseGPRegressor : Smooth functions, through inducing points.
    sklearn.gaussian_process.GaussianProcessRegressor : Exact with dense matrices.

    Notes
    -----
    In two dimensions the factor has O(n log n) entries and costs O(n^1.5); an
    evaluation of the likelihood with its gradient makes one factorization and one
    selected inverse. Memory is that of the factor, twice. A standard deviation costs
    the part of a triangular solve that its neighbors reach. Pickles hold the data; the
    factorization is made again on first use.

    References
    ----------
    .. [1] C. E. Rasmussen, C. K. I. Williams, "Gaussian processes for machine
       learning", sections 4.2 and 5.4, MIT Press, 2006.
    .. [2] K. Takahashi, J. Fagan, M.-S. Chen, "Formation of a sparse bus impedance
       matrix and its application to short circuit study", PICA, 1973.
    .. [3] X. S. Li, "An overview of SuperLU: algorithms, implementation, and user
       interface", ACM Transactions on Mathematical Software 31, 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.gaussian_process import CompactGPRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(0, 10, (1000, 2))
    >>> y = np.sin(X[:, 0]) * np.cos(X[:, 1]) + 0.1 * rng.normal(size=1000)
    >>> model = CompactGPRegressor(neighbors=30, random_state=0).fit(X, y)
    >>> print(f"{model.n_nonzeros_ / 1000:.0f} neighbors, {model.score(X, y):.2f}")
    31 neighbors, 0.99
    """

    _parameter_constraints = {
        **StructuredGPRegressor._parameter_constraints,
        "kernel": [Kernel, None],
        "support": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="neither"),
            None,
        ],
        "neighbors": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "noise_variance": [
            Interval(Real, 0, None, closed="neither"),
            "array-like",
            None,
        ],
    }

    def __init__(
        self,
        kernel=None,
        *,
        support="auto",
        neighbors="auto",
        noise_variance=None,
        optimizer="fmin_l_bfgs_b",
        n_restarts_optimizer=0,
        max_iter=100,
        tol=1e-4,
        normalize_y=True,
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
        self.support = support
        self.neighbors = neighbors
        self.noise_variance = noise_variance

    def _prepare(self, X, y, rng):
        self.X_train_, self._targets, self._pairs = X, y, None
        kernel, shape = self.kernel, np.ones(1)
        if kernel is None:
            scales = first_scales(X, y)
            kernel = default_amplitude(scales.variance, y) * WendlandKernel()
            if self.noise_variance is None:
                kernel = kernel + default_noise(spread(y), scales.noise)
            if X.shape[1] > 1:
                shape = np.minimum(scales.lengths, _FLAT * feature_units(X))
        kernel = clone(kernel)
        if _support(kernel, X.shape[1]) is None:
            raise ValueError(
                f"CompactGPRegressor needs a WendlandKernel as a factor of every "
                f"summand, but {kernel} reaches everywhere. Multiply the summands by "
                "WendlandKernel(), or use SparseGPRegressor."
            )
        if self.support is None:
            return kernel
        if not isinstance(self.support, str):
            return _with_support(kernel, float(self.support))
        count = 30 if self.neighbors == "auto" else self.neighbors
        radius = radius_for_neighbors(X / shape, count, rng)
        if self.neighbors != "auto" or len(X) > _MANY:
            return _with_support(kernel, radius * shape)
        found = self._grow(kernel, radius, count, shape, rng)
        if self.kernel is None:
            # As curved at zero as the Gaussian kernel that explains the data best.
            p = X.shape[1] // 2 + 3
            likely = np.sqrt(p * (p + 1)) * float(np.min(scales.lengths / shape))
            shorter = self._grow_short(kernel, likely, radius, shape)
            found = max(found, shorter, key=lambda trial: trial[0])
        self._factored_last = None
        return found[1]

    def _grow_short(self, kernel, radius, limit, shape):
        """Widen the support from a short one, likewise, up to where `_grow` began.

        Where points come in clusters, the neighbors that are asked for may be those of
        the next one, and what varies within a cluster is seen below that only.
        """
        best, last, fallen = (-np.inf, None), (-np.inf, kernel), 0
        while radius < limit and fallen < 2:
            try:
                last = self._profiled(_with_support(last[1], radius * shape))
            except np.linalg.LinAlgError:
                break
            fallen = 0 if last[0] > best[0] else fallen + 1
            best = max(best, last, key=lambda trial: trial[0])
            radius *= 1.7
        return best

    def _grow(self, kernel, radius, count, shape, rng):
        """Widen the support while the likelihood rises and the budget lasts."""
        X = self.X_train_ / shape
        n = len(X)
        widest = _WIDEST * float(np.linalg.norm(np.ptp(X, axis=0)))
        best = self._profiled(_with_support(kernel, radius * shape))
        last, work = best, _work(self._factored_last)
        fallen = 0
        while fallen < 2:
            if n <= _ALL_PAIRS:
                radius *= 1.7
                if radius > widest:
                    break
            else:
                count *= 2
                # Of twice as many neighbors: twice the fill, four times the work.
                if 4 * work[0] > _MOST_WORK or 2 * work[1] > _MOST_FILL:
                    break
                if count >= n:
                    break
                radius = radius_for_neighbors(X, count, rng)
            try:
                last = self._profiled(_with_support(last[1], radius * shape))
            except np.linalg.LinAlgError:
                break
            work = _work(self._factored_last)
            fallen = 0 if last[0] > best[0] else fallen + 1
            best = max(best, last, key=lambda trial: trial[0])
        return best

    def _profiled(self, kernel):
        """Return the evidence of a kernel, and the kernel; with the best scales.

        For the default kernel the amplitude is that of most evidence, at the best of
        a few ratios of noise.
        """
        if self.kernel is not None or self.noise_variance is not None:
            factors = self._factorize(kernel)
            self._factored_last = factors.covariance
            return self._evidence(kernel, factors, False)[0], kernel
        y, w = (
            self._targets,
            np.broadcast_to(self._row_noise.weights, len(self._targets)),
        )
        n = w.sum()
        signal, noise = kernel.k1.k1.constant_value, kernel.k2.noise_level
        first, best = noise / signal, None
        # A wider kernel has a larger amplitude, and less noise beside it.
        for ratio in first * np.array([8.0, 1.0, 1.0 / 8.0, 1.0 / 64.0]):
            ratio = float(np.clip(ratio, 1e-14, 10.0))
            trial = clone(kernel).set_params(
                k1__k1__constant_value=1.0, k2__noise_level=ratio
            )
            try:
                factors = self._factorize(trial)
            except np.linalg.LinAlgError:
                continue
            self._factored_last = factor = factors.covariance
            squares = float(np.sum(y * factors.alpha))
            squares += np.sum(self._row_noise.within) / ratio
            variance = max(squares / (n * y.shape[1]), np.finfo(float).tiny)
            value = n * np.log(variance) + factor.log_det
            value = -0.5 * (value + (n - len(w)) * np.log(ratio))
            if best is None or value > best[0]:
                best = value, variance, ratio
        if best is None:
            raise np.linalg.LinAlgError("The covariance is not positive definite.")
        value, variance, ratio = best
        if not y.any():
            return value, kernel
        lowest, highest = kernel.k1.k1.constant_value_bounds
        least, most = kernel.k2.noise_level_bounds
        return value, clone(kernel).set_params(
            k1__k1__constant_value=float(np.clip(variance, lowest, highest)),
            k2__noise_level=float(np.clip(ratio * variance, least, most)),
        )

    def _pattern(self, support):
        """Return the pairs of neighbors; those of the last support are kept."""
        pairs = getattr(self, "_pairs", None)
        if pairs is None or not np.array_equal(pairs[0], support):
            pairs = self._pairs = (support, *close_pairs(self.X_train_, support))
        return pairs[1:]

    def _factorize(self, kernel):
        X = self.X_train_
        n, d = X.shape
        first, second = self._pattern(_support(kernel, d))
        # A stationary kernel is a function of differences: one column of pairs.
        origin = np.zeros((1, d))
        scale, K, saved = scaled_cross(kernel, X[first] - X[second], origin)
        values = scale * K[:, 0]
        own = diagonal(kernel, X) + self._single(kernel) / self._row_noise.weights
        each = np.arange(n)
        if n <= _MOST_DENSE and len(first) > _CROWDED * n * n:
            C = np.diag(own)
            C[first, second] = C[second, first] = values
            factor = DenseCholesky(C)
            return Factors(factor, factor.solve(self._targets), saved)
        C = sparse.csc_array(
            (
                np.concatenate([values, values, own]),
                (
                    np.concatenate([first, second, each]).astype(np.int32),
                    np.concatenate([second, first, each]).astype(np.int32),
                ),
            ),
            shape=(n, n),
        )
        factor = SparseCholesky(C)
        return Factors(factor, factor.solve(self._targets), saved)

    def _evidence(self, kernel, factors, want_gradient):
        factor, a = factors.covariance, factors.alpha
        y = self._targets
        n, d = self.X_train_.shape
        k = y.shape[1]
        more, slope = self._row_noise.scatter(self._single(kernel), k)
        value = np.sum(y * a) + k * (factor.log_det + n * _LOG_2PI)
        value = more - 0.5 * float(value)
        if not want_gradient:
            return value, None
        first, second = self._pattern(_support(kernel, d))
        # 2 times the derivative, since every pair stands for two entries.
        bar = np.einsum("ij,ij->i", a[first], a[second])
        bar -= k * factor.inverse_entries(first, second)
        gradient, _ = cross_backward(kernel, factors.saved, bar[:, None])
        each = np.arange(n)
        own = 0.5 * (np.sum(a**2, axis=1) - k * factor.inverse_entries(each, each))
        gradient = gradient + diagonal_backward(kernel, self.X_train_, own)
        own = np.sum(own / self._row_noise.weights + slope)
        return value, gradient + own * noise_variance(kernel, d)[1]

    def _single(self, kernel):
        """Return the noise variance of one observation of each row."""
        n, d = self.X_train_.shape
        return self._row_noise.single(noise_variance(kernel, d)[0], n)

    def _settle(self, best, X, y):
        details = super()._settle(best, X, y)
        factor = self._factors.covariance
        self._factors.saved, self.alpha_ = None, self._shaped(self._factors.alpha)
        self.support_ = _support(self.kernel_, X.shape[1])
        self.n_nonzeros_ = factor.n_nonzeros
        self.fill_ = factor.fill
        return details

    def __getstate__(self):
        # SuperLU's objects cannot be pickled; the rest is cheaper made than stored.
        state = super().__getstate__()
        made = ("_factors", "_pairs", "_factored_last")
        return {k: v for k, v in state.items() if k not in made}

    def _factored(self):
        if getattr(self, "_factors", None) is None:
            self._factors = self._factorize(self.kernel_)
        return self._factors.covariance

    def _fitted_factors(self):
        # What the way back needs was let go.
        return self._factorize(self.kernel_)

    def _cross_sparse(self, X):
        """Return the covariances of new points and the data, as a CSR array."""
        support = self.support_
        tree = cKDTree(self.X_train_ / support)
        near = cKDTree(X / support).query_ball_tree(tree, 1.0)
        return self._rows(X, self.X_train_, near)

    def _rows(self, X, Y, near):
        sizes = np.fromiter(map(len, near), np.int64, len(near))
        indices = np.concatenate([np.sort(found) for found in near] or [[]])
        indices = indices.astype(np.int64)
        indptr = np.r_[0, np.cumsum(sizes)]
        rows = np.repeat(np.arange(len(X)), sizes)
        origin = np.zeros((1, X.shape[1]))
        values = cross(self.kernel_, X[rows] - Y[indices], origin)[:, 0]
        return sparse.csr_array((values, indices, indptr), shape=(len(X), len(Y)))

    def _representer(self):
        return self.X_train_, self.alpha_

    def _marginals(self, X, with_variance):
        K = self._cross_sparse(X)
        if not with_variance:
            return K @ self.alpha_, None
        variance = diagonal(self.kernel_, X) - self._factored().explained(K)
        return K @ self.alpha_, variance

    def _joint(self, X):
        K = self._cross_sparse(X)
        solved = self._factored().solve(K.T.toarray())
        return K @ self.alpha_, cross(self.kernel_, X, X) - K @ solved

    def sample_y(self, X, n_samples=1, random_state=0):
        """Draw new values from the predictive distribution.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
            Points; any number of them.
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
        Data and new values are drawn together from the prior by the sparse Cholesky
        factor of their joint covariance, and the draw is moved by what its data lack
        (Matheron's rule).
        """
        X = self._check_points(X)
        rng = check_random_state(random_state)
        factor = self._factored()
        n = len(self.X_train_)
        both = np.vstack([self.X_train_, X])
        first, second = close_pairs(both, self.support_)
        origin = np.zeros((1, X.shape[1]))
        values = cross(self.kernel_, both[first] - both[second], origin)[:, 0]
        upper = sparse.coo_array(
            (values, (first, second)), shape=(len(both), len(both))
        )
        noise = np.r_[
            self._single(self.kernel_) / self._row_noise.weights,
            np.full(len(X), self._noise),
        ]
        own = diagonal(self.kernel_, both) + noise
        # Without noise of new values their joint covariance may be singular.
        own[n:] += _NUGGET * own[n:]
        joint = SparseCholesky(
            sparse.csc_array(upper + upper.T + sparse.diags_array(own))
        )
        k = self._targets.shape[1]
        draws = joint.sample(k * n_samples, rng)
        lack = np.repeat(self._targets, n_samples, axis=1) - draws[:n]
        moved = draws[n:] + self._cross_sparse(X) @ factor.solve(lack)
        moved = moved.reshape(len(X), k, n_samples)
        moved = np.reshape(self._y_scale, (-1, 1)) * moved
        moved += np.reshape(self._y_mean, (-1, 1))
        return moved[:, 0] if self._one else moved


def _support(kernel, n_features):
    """Return the radii beyond which a kernel is zero, or None if it is not."""
    if isinstance(kernel, Sum):
        parts = [_support(k, n_features) for k in (kernel.k1, kernel.k2)]
        if parts[0] is None or parts[1] is None:
            return None
        return np.maximum(*parts)
    if isinstance(kernel, Product):
        parts = [_support(k, n_features) for k in (kernel.k1, kernel.k2)]
        parts = [p for p in parts if p is not None]
        return None if not parts else parts[0] if len(parts) == 1 else _least(*parts)
    if isinstance(kernel, WendlandKernel):
        return kernel.checked_support(n_features)
    inner = list(leaves(kernel))
    if len(inner) == 1 and inner[0] is not kernel:
        return _support(inner[0], n_features)
    return np.zeros(1) if isinstance(kernel, WhiteKernel) else None


def _with_support(kernel, support):
    """Return a copy of a kernel whose WendlandKernels have a support."""
    kernel = clone(kernel)
    support = np.asarray(support, dtype=float)
    support = float(support.ravel()[0]) if support.size == 1 else support
    for leaf in leaves(kernel):
        if isinstance(leaf, WendlandKernel):
            leaf.set_params(support=support)
    return kernel


def _work(factor):
    """Return the multiplications of a factorization, and the entries of the factor."""
    if isinstance(factor, DenseCholesky):
        n = len(factor.matrix)
        return n**3 / 3.0, factor.fill
    counts = np.diff(factor.factor.indptr).astype(float)
    return float(counts @ counts), factor.fill


def _least(first, second):
    """Return the smaller of two supports: where both are, one of them is."""
    return first if np.max(first) <= np.max(second) else second
