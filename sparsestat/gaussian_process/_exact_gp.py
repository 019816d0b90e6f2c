"""What exact Gaussian-process regressors with structured covariances share."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from abc import abstractmethod
from numbers import Integral, Real

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat.gaussian_process._covariances import noise_variance
from sparsestat.gaussian_process._evidence import (
    check_data,
    check_one_output,
    evidence_certificate,
    kernel_with_noise,
    maximize_evidence,
    numerical_errors,
    standardized,
    warn_of_differences,
    within_reach,
)

__all__ = ["StructuredGPRegressor"]

_MOST_FOR_COV = 5000


class StructuredGPRegressor(CallbackSupportMixin, RegressorMixin, SparsestatEstimator):
    """Base of exact regressors: fit, predict and draw, given a structure.

    A subclass says how its covariance is made and solved with: `_prepare`, `_factorize`
    and `_evidence`, and for new points `_mean`, `_variance` and `_covariance`.
    """

    _parameter_constraints = {
        "kernel": [Kernel, None],
        "optimizer": [StrOptions({"fmin_l_bfgs_b"}), None],
        "n_restarts_optimizer": [Interval(Integral, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "normalize_y": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _prepare(self, X, y, rng):
        """Store the data's structure; return the kernel to start from."""

    @abstractmethod
    def _factorize(self, kernel):
        """Return everything that depends on the kernel's parameters."""

    @abstractmethod
    def _evidence(self, kernel, factors, want_gradient):
        """Return the log marginal likelihood and its gradient in theta, or None."""

    @abstractmethod
    def _mean(self, X):
        """Return the posterior means of the function, in units of the model."""

    @abstractmethod
    def _variance(self, X):
        """Return its posterior variances."""

    @abstractmethod
    def _covariance(self, X):
        """Return its posterior covariance."""

    def _fit(self, X, y, rng):
        """Find the parameters for validated data, and keep what predictions need."""
        check_data(X, y)
        y, self._y_mean, self._y_scale = standardized(y, self.normalize_y)
        kernel = self._prepare(X, y, rng)
        kernel = kernel_with_noise(kernel, X.shape[1], y)
        if not kernel.is_stationary():
            raise ValueError(
                f"{type(self).__name__} needs a stationary kernel, got {kernel}. Use "
                "SparseGPRegressor for kernels that depend on the place."
            )
        slope, history, self.n_iter_ = 0.0, [], 1
        if self.optimizer is not None and kernel.n_dims:
            warn_of_differences(kernel, type(self).__name__)

            def function(theta, _):
                moved = kernel.clone_with_theta(theta)
                return self._evidence(moved, self._factorize(moved), True)

            with numerical_errors():
                best = maximize_evidence(
                    self, function, kernel, np.zeros(0), n=len(y), rng=rng, X=X, y=y
                )
            kernel = kernel.clone_with_theta(best.x)
            slope, history, self.n_iter_ = best.slope, best.history, best.n_iter
        self.kernel_ = kernel
        self.noise_variance_ = noise_variance(kernel, X.shape[1])[0] * self._y_scale**2
        with numerical_errors():
            self._factors = self._factorize(kernel)
        self.log_marginal_likelihood_value_ = self._evidence(
            kernel, self._factors, False
        )[0]
        self.objective_history_ = np.array(history)
        self.certificate_ = evidence_certificate(
            self,
            "kkt",
            slope,
            {
                "log_marginal_likelihood": self.log_marginal_likelihood_value_,
                "optimized": self.optimizer is not None,
            },
        )
        return self

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
        y = np.asarray(y, dtype=np.float64)
        return self._fit(X, y, check_random_state(self.random_state))

    def log_marginal_likelihood(self, theta=None, eval_gradient=False):
        """Return the log marginal likelihood of the data it was fitted to.

        Parameters
        ----------
        theta : array-like of shape (kernel_.n_dims,), default=None
            Logarithms of the kernel's free parameters; None takes the fitted ones.
        eval_gradient : bool, default=False
            Whether the gradient in `theta` is returned too.

        Returns
        -------
        log_likelihood : float
            Of the targets as the model sees them (centred and scaled, for
            `normalize_y`).
        gradient : ndarray of shape (kernel_.n_dims,)
            Only with `eval_gradient`.
        """
        check_is_fitted(self)
        if theta is None and not eval_gradient:
            return self.log_marginal_likelihood_value_
        kernel = self.kernel_ if theta is None else self.kernel_.clone_with_theta(theta)
        factors = self._factors if theta is None else self._factorize(kernel)
        value, gradient = self._evidence(kernel, factors, eval_gradient)
        return (value, gradient) if eval_gradient else value

    def predict(self, X, return_std=False, return_cov=False):
        """Predict new values, noise included in their spread.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.
        return_std : bool, default=False
            Whether standard deviations are returned.
        return_cov : bool, default=False
            Whether the covariance matrix is returned, of at most 5000 points.

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
        mean = self._y_scale * self._mean(X) + self._y_mean
        if return_std:
            # Rounding may leave less than nothing beside the noise.
            variance = self._y_scale**2 * np.maximum(self._variance(X), 0.0)
            return mean, np.sqrt(variance + self.noise_variance_)
        if return_cov:
            _check_size(len(X), "return_cov")
            cov = self._y_scale**2 * self._covariance(X)
            cov.flat[:: len(X) + 1] += self.noise_variance_
            return mean, cov
        return mean


def _check_size(n, what):
    """Refuse to make a dense covariance of very many points."""
    if n > _MOST_FOR_COV:
        raise ValueError(
            f"{what} would make a dense {n} x {n} matrix; at most {_MOST_FOR_COV} "
            "points are accepted. Ask for return_std, or for parts of X."
        )
