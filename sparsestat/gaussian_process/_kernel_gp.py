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
from sparsestat.gaussian_process._kernel._covariances import (
    cross_backward,
    diagonal,
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
    standardized,
    warn_of_limits,
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
    def fit(self, X, y):
        """Find the kernel's parameters and the posterior.

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
        return self._fit(X, np.asarray(y, dtype=np.float64))

    def _fit(self, X, y):
        """Fit validated data."""
        check_data(X, y)
        size = float(np.abs(X).max())
        self._far = _FAR * size if size > 0 else 1e100
        rng = check_random_state(self.random_state)
        y, self._y_mean, self._y_scale = standardized(y, self.normalize_y)
        kernel = kernel_with_noise(self._prepare(X, y, rng), X.shape[1], y)
        function, extra = self._objective(kernel, X, y)
        name = type(self).__name__
        ascent = self._options(Ascent, name=name)
        with FitProgress(
            self, ascent.total, X=X, y=y, verbose=self.verbose
        ) as progress:
            best = maximize_evidence(
                ascent, function, kernel, extra, n=len(y), rng=rng, progress=progress
            )
        self.kernel_, self.n_iter_ = best.kernel, best.n_iter
        self.history_ = np.array(best.history)
        noise = noise_variance(best.kernel, X.shape[1])[0]
        self.noise_variance_ = noise * self._y_scale**2
        with numerical_errors():
            details = self._settle(best, X, y)
        if self.optimizer is not None:
            warn_of_limits(name, best.kernel, noise, y, self._remedy)
        self.certificate_ = evidence_certificate(
            name,
            self._certificate_kind,
            best.slope,
            self.tol,
            {**details, "optimized": self.optimizer is not None},
            0.0 if self.optimizer is None else self._rounding(best.kernel, X, noise),
        )
        return self

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
        gradients : ndarray of shape (n_samples, n_features)
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
        out = np.empty(X.shape)
        step = max(1, _BLOCK // len(points))
        for start in range(0, len(X), step):
            rows = slice(start, start + step)
            _, K, saved = scaled_cross(self.kernel_, X[rows], points)
            bar = np.broadcast_to(weights, K.shape).copy()
            out[rows] = cross_backward(self.kernel_, saved, bar, want_x=True)[1]
        return self._y_scale * out

    def _rounding(self, kernel, X, noise):
        """Estimate the rounding of the gradient: that of a solution, per sample."""
        return EPS * len(X) * float(diagonal(kernel, X).mean()) / noise


def _is_rough(leaf):
    """Tell whether a kernel has a kink where its arguments are equal."""
    if isinstance(leaf, WendlandKernel):
        return leaf.k == 0
    return isinstance(leaf, Matern) and leaf.nu <= 0.5
