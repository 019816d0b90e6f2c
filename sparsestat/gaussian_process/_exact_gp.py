"""What exact Gaussian-process regressors with structured covariances share."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sparsestat.gaussian_process._kernel_gp import KernelGPRegressor

__all__ = ["Factors", "StructuredGPRegressor"]


@dataclass
class Factors:
    """A covariance of the data, factorized, and the weights of the targets.

    Attributes
    ----------
    covariance : object
        With ``log_det`` and ``solve``.
    alpha : ndarray
        The solution for the targets.
    saved : object
        What derivatives of the kernel need; None once it was let go.
    missing : object or None
        What is taken off where rows of a grid were not observed.
    """

    covariance: object
    alpha: np.ndarray
    saved: object
    missing: object = None


class StructuredGPRegressor(KernelGPRegressor):
    """Base of exact regressors, given a structure of their covariance.

    A subclass says how the covariance is made and solved with (`_prepare`,
    `_factorize` and `_evidence`), and what is known at new points (`_marginals` and
    `_joint`).
    """

    _most_for_cov = 5000

    @abstractmethod
    def _factorize(self, kernel):
        """Return what depends on the kernel's parameters, as `Factors`."""

    @abstractmethod
    def _evidence(self, kernel, factors, want_gradient):
        """Return the log marginal likelihood and its gradient in theta, or None."""

    def _objective(self, kernel, X, y):
        if not kernel.is_stationary():
            raise ValueError(
                f"{type(self).__name__} needs a stationary kernel, got {kernel}. Use "
                "SparseGPRegressor for kernels that depend on the place."
            )

        def function(theta, _):
            moved = kernel.clone_with_theta(theta)
            return self._evidence(moved, self._factorize(moved), True)

        return function, np.zeros(0)

    def _settle(self, best, X, y):
        self._factors = self._factorize(self.kernel_)
        value, _ = self._evidence(self.kernel_, self._factors, False)
        self.log_marginal_likelihood_value_ = value
        return {"log_marginal_likelihood": value}

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
            Of the targets as the model sees them (centered and scaled, for
            `normalize_y`).
        gradient : ndarray of shape (kernel_.n_dims,)
            Only with `eval_gradient`.
        """
        check_is_fitted(self)
        if theta is None and not eval_gradient:
            return self.log_marginal_likelihood_value_
        kernel = self.kernel_ if theta is None else self.kernel_.clone_with_theta(theta)
        factors = self._fitted_factors() if theta is None else self._factorize(kernel)
        value, gradient = self._evidence(kernel, factors, eval_gradient)
        return (value, gradient) if eval_gradient else value

    def _fitted_factors(self):
        """Return what `_factorize` gives at the fitted parameters."""
        return self._factors
