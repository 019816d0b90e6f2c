"""What regressors with one of scikit-learn's kernels share: from data to a fit."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from abc import abstractmethod
from numbers import Integral, Real

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.gaussian_process.kernels import Kernel, Matern
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from sparsestat._utils.arithmetic import EPS
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.samples import check_counts, effective_rows, given_weights
from sparsestat.gaussian_process._kernel._covariances import (
    cross_backward,
    diagonal,
    has_noise,
    leaves,
    noise_variance,
    scaled_cross,
)
from sparsestat.gaussian_process._kernel._evidence import (
    KERNEL_NAMES,
    Ascent,
    check_data,
    evidence_certificate,
    kernel_with_noise,
    maximize_evidence,
    numerical_errors,
    raise_noise,
    standardized,
    warn_of_limits,
)
from sparsestat.gaussian_process._kernel._row_noise import (
    RowNoise,
    collected,
    standardized_rows,
)
from sparsestat.gaussian_process._kernel._wendland import WendlandKernel
from sparsestat.gaussian_process._posterior import PosteriorMixin

__all__ = ["KernelGPRegressor"]

_BLOCK = 1_000_000  # entries of a block of covariances
_FAR = 1e30  # sizes of the data: what is further is as far as can be


class KernelGPRegressor(
    CallbackSupportMixin, PosteriorMixin, RegressorMixin, SparsestatEstimator
):
    """Base of regressors that learn a kernel's parameters by maximal evidence.

    A subclass says where to start (`_prepare`), what is maximized (`_objective`) and
    what is kept of the maximum (`_settle`).
    """

    _needs_rows = "its kernel couples all pairs of rows"
    _by_rows = True
    objective_history_ = OldAttribute("history_")

    _parameter_constraints = {
        "kernel": [Kernel, StrOptions(KERNEL_NAMES), None],
        "optimizer": [StrOptions({"fmin_l_bfgs_b"}), None],
        "n_restarts_optimizer": [Interval(Integral, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "normalize_y": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    noise_variance = None  # known beforehand, where a subclass has such a parameter
    _collects = True  # whether rows that repeat are collected into one
    _certificate_kind = "kkt"
    _remedy = (
        "If there is one, start elsewhere: give `kernel` with other scales, or raise "
        "n_restarts_optimizer."
    )

    def __init__(
        self,
        kernel=None,
        *,
        optimizer="fmin_l_bfgs_b",
        n_restarts_optimizer=0,
        max_iter=100,
        tol=1e-4,
        normalize_y=True,
        random_state=None,
        verbose=0,
    ):
        self.kernel = kernel
        self.optimizer = optimizer
        self.n_restarts_optimizer = n_restarts_optimizer
        self.max_iter = max_iter
        self.tol = tol
        self.normalize_y = normalize_y
        self.random_state = random_state
        self.verbose = verbose

    @abstractmethod
    def _prepare(self, X, y, rng):
        """Store the data's structure; return the kernel to start from."""

    @abstractmethod
    def _objective(self, kernel, X, y):
        """Return the log evidence, and where its further variables start.

        The former is a function of ``theta`` and of those variables that returns the
        value and its gradient in both.
        """

    @abstractmethod
    def _settle(self, best, X, y):
        """Store what predictions need; return details for the certificate."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Find the kernel's parameters and the posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets; several are independent processes of one kernel.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights: the noise variance of a row is divided by its
            weight, and an integer weight equals repetition.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, y = self._checked(X, y)
        return self._fit(X, y, given_weights(sample_weight, X))

    def _checked(self, X, y, *, reset=True):
        """Return validated rows and targets."""
        X, y = validate_data(
            self,
            X,
            y,
            dtype=np.float64,
            order="C",
            y_numeric=True,
            multi_output=True,
            reset=reset,
        )
        return X, np.asarray(y, dtype=np.float64)

    def _fit(self, X, y, sample_weight=None):
        """Fit validated data."""
        known = self._known_noise(len(X), sample_weight)
        X, y, weights = effective_rows(X, y, sample_weight)
        check_data(X, y)
        check_counts(weights, len(X), type(self).__name__)
        size = float(np.abs(X).max())
        self._far = _FAR * size if size > 0 else 1e100
        rng = check_random_state(self.random_state)
        X, Y = self._standardize(X, y, weights, known)
        variance = float(np.mean(self._row_noise.known))
        kernel = self._prepare(X, Y, rng)
        given = isinstance(self.kernel, Kernel) and has_noise(self.kernel)
        kernel = kernel_with_noise(kernel, X.shape[1], Y, known=variance)
        adds_noise = has_noise(kernel) and not given
        function, extra = self._objective(kernel, X, Y)
        name = type(self).__name__
        ascent = self._options(Ascent, name=name)

        def rounding(kernel):
            noise = noise_variance(kernel, X.shape[1])[0] + variance
            return self._rounding(kernel, X, noise)

        with FitProgress(
            self, ascent.total, X=X, y=Y, verbose=self.verbose
        ) as progress:
            best = maximize_evidence(
                ascent,
                function,
                kernel,
                extra,
                n=self._row_noise.total(len(X)),
                rng=rng,
                progress=progress,
            )
            if adds_noise:
                best = raise_noise(
                    best,
                    ascent,
                    function,
                    Y,
                    n=self._row_noise.total(len(X)),
                    rounding=rounding,
                    progress=progress,
                )
        self.kernel_, self.n_iter_ = best.kernel, best.n_iter
        self.history_ = np.array(best.history)
        self._noise = noise_variance(best.kernel, X.shape[1])[0]
        if known is not None and known.ndim == 0:
            self._noise += variance
        self._store_noise()
        with numerical_errors():
            details = self._settle(best, X, Y)
        if adds_noise:
            details["noise_level_bound"] = float(best.kernel.k2.noise_level_bounds[0])
        noise = noise_variance(best.kernel, X.shape[1])[0] + variance
        if self.optimizer is not None:
            warn_of_limits(name, best.kernel, noise, Y, self._remedy)
        self.certificate_ = evidence_certificate(
            name,
            self._certificate_kind,
            best.slope,
            self.tol,
            {**details, "optimized": self.optimizer is not None},
            rounding(best.kernel),
        )
        return self

    def _store_noise(self):
        """Store the noise variance of new values, in units of y**2."""
        self.noise_variance_ = self._noise * self._y_scale**2

    def _known_noise(self, n, sample_weight):
        """Return known noise variances of rows that count, in units of y**2."""
        if self.noise_variance is None:
            return None
        known = np.asarray(self.noise_variance, dtype=np.float64)
        if known.shape not in ((), (n,)):
            raise ValueError(
                f"noise_variance has shape {known.shape}, but a number or one for each "
                f"of the {n} rows was expected."
            )
        if known.ndim and sample_weight is not None:
            known = known[sample_weight > 0]
        if not (np.isfinite(known).all() and (known > 0).all()):
            raise ValueError(
                "noise_variance must be positive and finite, but its smallest entry is "
                f"{known.min()}. Give observations without noise a small one, e.g. "
                "1e-6 times the variance of y."
            )
        return known

    def _standardize(self, X, y, weights, known):
        """Return rows and targets as they are fitted, and store what leads back."""
        self._one = y.ndim == 1
        Y, within = y.reshape(len(y), -1), 0.0
        if self._collects and known is None:
            X, Y, weights, within = collected(X, Y, weights)
        means, scales = np.zeros(Y.shape[1]), np.ones(Y.shape[1])
        if not self.normalize_y:
            pass
        elif weights is None and known is None:
            columns = [standardized(column, True) for column in Y.T]
            Y = np.column_stack([c[0] for c in columns])
            means, scales = (np.array([c[i] for c in columns]) for i in (1, 2))
        else:
            Y, means, scales = standardized_rows(
                Y, weights, within, common=known is not None
            )
        self._row_noise = RowNoise(
            1.0 if weights is None else weights,
            0.0 if known is None else known / scales[0] ** 2,
            within if np.ndim(within) == 0 else (within / scales**2).sum(axis=1),
        )
        self._y_mean = float(means[0]) if self._one else means
        self._y_scale = float(scales[0]) if self._one else scales
        return X, np.ascontiguousarray(Y)

    def _shaped(self, mean):
        """Return means in as many dimensions as y had."""
        return mean[:, 0] if self._one else mean

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @abstractmethod
    def _representer(self):
        """Return points and weights: means are sums of weighted covariances."""

    def predict_gradient(self, X):
        """Return the gradients of the predicted means.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.

        Returns
        -------
        gradients : ndarray of shape (n_samples, n_features) or \
                (n_samples, n_features, n_targets)
            Derivatives of the means in each feature, in units of y over those of X.
        """
        X = self._check_points(X)
        rough = [leaf for leaf in leaves(self.kernel_) if _is_rough(leaf)]
        if rough:
            raise ValueError(
                f"Means of a process with {rough[0]} have no gradient at the data: the "
                "kernel has a kink at zero. Fit a smoother one, e.g. a Matern kernel "
                "with nu=1.5 or more, or a WendlandKernel with k=1."
            )
        points, weights = self._representer()
        weights = weights.reshape(len(points), -1)
        out = np.empty((*X.shape, weights.shape[1]))
        step = max(1, _BLOCK // len(points))
        for start in range(0, len(X), step):
            rows = slice(start, start + step)
            _, K, saved = scaled_cross(self.kernel_, X[rows], points)
            for j, column in enumerate(weights.T):
                bar = np.broadcast_to(column, K.shape).copy()
                slopes = cross_backward(self.kernel_, saved, bar, want_x=True)[1]
                out[rows, :, j] = slopes
        return self._y_scale * (out[..., 0] if self._one else out)

    def _rounding(self, kernel, X, noise):
        """Estimate the rounding of the gradient: that of a solution, per sample."""
        return EPS * len(X) * float(diagonal(kernel, X).mean()) / noise


def _is_rough(leaf):
    """Tell whether a kernel has a kink where its arguments are equal."""
    if isinstance(leaf, WendlandKernel):
        return leaf.k == 0
    return isinstance(leaf, Matern) and leaf.nu <= 0.5
