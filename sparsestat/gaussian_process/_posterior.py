"""Predictions of fitted regressors: means, spreads and draws of new values."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from abc import abstractmethod

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = ["PosteriorMixin"]


class PosteriorMixin:
    """Predict new values from what a subclass knows of the posterior of its function.

    Whatever the model, spreads and draws are those of new values, noise included:
    the noise is added here and nowhere else. A subclass gives `_marginals` and
    `_joint` in the units of its model, which `_y_scale` and `_y_mean` lead back to
    those of y, and `noise_variance_` in units of y**2.
    """

    _y_mean, _y_scale = 0.0, 1.0
    _most_for_cov = np.inf
    _far = 1e140  # larger coordinates are taken for this

    @abstractmethod
    def _marginals(self, X, with_variance):
        """Return the posterior means of the function, and its variances or None.

        The means have two dimensions where y had them.
        """

    @abstractmethod
    def _joint(self, X):
        """Return the posterior means of the function, and their covariance."""

    def _check_points(self, X):
        """Return validated points, moved to where distances do not overflow."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, order="C", reset=False)
        return np.clip(X, -self._far, self._far)

    def predict(self, X, return_std=False, return_cov=False):
        """Predict new values, noise included in their spread.

        As in scikit-learn's GaussianProcessRegressor with a WhiteKernel: standard
        deviations and covariances are those of observations. Take `noise_variance_`
        off a variance for that of the function.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.
        return_std : bool, default=False
            Whether standard deviations are returned.
        return_cov : bool, default=False
            Whether the covariance matrix is returned; by CompactGPRegressor and
            ToeplitzGPRegressor, of at most 5000 points.

        Returns
        -------
        y_mean : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Means of the predictive distribution.
        y_std : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Its standard deviations, with `return_std`.
        y_cov : ndarray of shape (n_samples, n_samples) or \
                (n_samples, n_samples, n_targets)
            Its covariance, with `return_cov`.
        """
        if return_std and return_cov:
            raise RuntimeError(
                "At most one of return_std and return_cov can be requested. The "
                "standard deviations are the roots of the diagonal of the covariance."
            )
        X = self._check_points(X)
        if return_cov:
            self._check_size(len(X))
            mean, spread = self._joint(X)
        else:
            mean, spread = self._marginals(X, return_std)
        mean = self._y_scale * mean + self._y_mean
        if not (return_std or return_cov):
            return mean
        if return_std:
            # Rounding may leave less than nothing beside the noise.
            spread = np.maximum(spread, 0.0)
        if mean.ndim == 2:  # one covariance of all targets, in units of each
            spread = np.repeat(spread[..., None], mean.shape[1], axis=-1)
        spread = self._y_scale**2 * spread
        if return_std:
            return mean, np.sqrt(spread + self.noise_variance_)
        rows = np.arange(len(X))
        spread[rows, rows] += self.noise_variance_
        return mean, spread

    def _check_size(self, n):
        """Refuse to make a dense covariance of very many points."""
        if n > self._most_for_cov:
            raise ValueError(
                f"return_cov would make a dense {n} x {n} matrix; at most "
                f"{self._most_for_cov} points are accepted. Ask for return_std, or for "
                "parts of X."
            )

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
        rng = check_random_state(random_state)
        mean, cov = self.predict(X, return_cov=True)
        # Unlike a Cholesky factor, this root exists where rounding leaves the
        # covariance singular.
        each = np.moveaxis(cov, -1, 0) if cov.ndim == 3 else cov
        values, vectors = np.linalg.eigh(each)
        root = vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
        draws = rng.standard_normal((*mean.shape[1:], len(mean), n_samples))
        return mean[..., None] + np.moveaxis(root @ draws, -2, 0)
