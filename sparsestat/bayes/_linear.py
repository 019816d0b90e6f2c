"""What the linear models of sparse Bayesian learning share."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
from scipy import sparse
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.arithmetic import standardize
from sparsestat._utils.results import (
    Certificate,
    users_stacklevel,
    warn_if_unsatisfied,
)
from sparsestat.bayes._data import (
    centred_r2,
    is_operator,
    product,
    square,
    validate_predict,
)
from sparsestat.exceptions import NoiseCollapseWarning

__all__ = ["BayesianLinearMixin", "warn_if_collapsed"]

_LEAST_LEFT = 0.2  # of the observations, for a learned noise variance to be trusted
_TINY = 1e-3  # of the mean square of y, doubtful where half of them are spent


def warn_if_collapsed(
    name, total, dof, learned, *, noise=1.0, remedy="Pass noise_variance."
):
    """Warn when nearly all observations were spent on coefficients.

    Parameters
    ----------
    name : str
        Class of the estimator.
    total, dof : float
        Observations, and how many of them coefficients took.
    learned : bool
        Whether the noise variance was learned.
    noise : float, default=1.0
        Noise variance relative to the mean square of y: where it is tiny, half of the
        observations are too many already.
    remedy : str, default="Pass noise_variance."
        Ends the message.
    """
    left = total - dof
    least = 0.5 if noise < _TINY else _LEAST_LEFT
    if learned and left < least * total:
        size = f" ({noise:.1e} of the mean square of y)" if noise < _TINY else ""
        warnings.warn(
            f"{name}: the noise variance{size} was learned with only "
            f"{max(left, 0.0):.3g} of {total:.3g} observations left to estimate it "
            "from, and is probably far too small, and so are the standard deviations "
            f"of predictions. {remedy}",
            NoiseCollapseWarning,
            stacklevel=users_stacklevel(),
        )


class BayesianLinearMixin(RegressorMixin):
    """Centring, storing, prediction and score where data may be complex."""

    def _centred_targets(self, data):
        """Return the weighted mean of y and sqrt(w) (y - mean)."""
        Y, w = data.Y, data.weights
        mean = np.zeros(Y.shape[1], dtype=Y.dtype)
        if self.fit_intercept:
            record = standardize(Y, w)
            mean, Y = record.offset + record.rest, record.apply(Y)
        return mean, Y if w is None else np.sqrt(w)[:, None] * Y

    def _store_linear(self, coef, data, y_mean=None, record=None):
        """Keep coefficients of shape (n_targets, n_features) as y was given.

        The intercept belongs to them as they are stored, rounded to single precision
        or not, and is kept in double precision: columns may lie far from the origin.
        """
        self.coef_ = coef.astype(data.dtype)
        self.intercept_ = 0.0
        if getattr(self, "fit_intercept", False):
            parts = np.concatenate([record.offset, record.rest, record.mean])
            if np.iscomplexobj(parts) or self.coef_.dtype.kind == "c":
                moved = y_mean - np.tile(self.coef_, 3) @ parts
            else:
                moved = record.intercept(self.coef_.T, y_mean)
            self.intercept_ = moved[0] if data.one_target else moved
        if data.one_target:
            self.coef_ = self.coef_[0]

    def _report_change(self, change, converged, n_iter, **details):
        """Certify a fit that stopped by the change of its coefficients."""
        self.n_iter_, self.converged_ = n_iter, bool(converged)
        self.certificate_ = Certificate(
            "monotone_bound",
            float(change),
            float(self.tol),
            self.converged_,
            "relative to the norm of coef_",
            {"dof": self.dof_, "noise_variance": self.noise_variance_, **details},
        )
        warn_if_unsatisfied(
            self.certificate_,
            f"{type(self).__name__} did not converge: the last change of coef_",
            "Increase max_iter, or tol.",
        )

    def _mean(self, X):
        if is_operator(X):
            return product(X, self.coef_.T) + self.intercept_
        # Far columns cancel against the intercept, in double precision only.
        wide = X.astype(np.result_type(X.dtype, np.float64), copy=False)
        mean = product(wide, self.coef_.T) + self.intercept_
        return mean.astype(np.result_type(X.dtype, self.coef_.dtype), copy=False)

    def _std(self, variance, mean):
        """Return deviations of observations, in the shape of the predictions."""
        std = np.sqrt(variance + self.noise_variance_).astype(mean.real.dtype)
        return std if mean.ndim == 1 else np.repeat(std[:, None], mean.shape[1], axis=1)

    def _predict_factorized(self, X, return_std):
        """Predict from a posterior without correlations of the coefficients."""
        check_is_fitted(self)
        X = validate_predict(self, X)
        mean = self._mean(X)
        if not return_std:
            return mean
        return mean, self._std(_diagonal_spread(X, self.coef_var_, self._record), mean)

    def score(self, X, y, sample_weight=None):
        """Return the coefficient of determination of the prediction.

        For complex data squares are squared moduli; several targets are averaged.

        Parameters
        ----------
        X : {array-like, sparse matrix, LinearOperator} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        score : float
            At most 1.
        """
        return centred_r2(y, self.predict(X), sample_weight)


def _diagonal_spread(X, variances, record):
    """Return ``sum_n |x_n - mean_n|^2 variances_n`` for each row."""
    if is_operator(X):
        raise TypeError(
            "return_std needs the entries of X; pass an array or a sparse matrix "
            "instead of a LinearOperator."
        )
    offset = record.offset + record.rest
    if not sparse.issparse(X):
        return square(X - (offset + record.mean)) @ variances
    mean = record.mean
    squares = np.asarray(abs(X).power(2) @ np.where(offset == 0, variances, 0.0))
    cross = np.real(np.asarray(X @ (variances * np.conj(mean)))).ravel()
    near = np.maximum(squares.ravel() - 2.0 * cross + square(mean) @ variances, 0.0)
    # Columns that were full in the fit, which may lie far from the origin.
    full = np.flatnonzero(offset)
    return near + square(X[:, full].toarray() - offset[full]) @ variances[full]
