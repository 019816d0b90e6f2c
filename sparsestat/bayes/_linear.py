"""What the linear models of sparse Bayesian learning share."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
from scipy import sparse
from sklearn.base import RegressorMixin
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from sparsestat._utils.arithmetic import standardize
from sparsestat._utils.results import (
    Certificate,
    users_stacklevel,
    warn_if_unsatisfied,
)
from sparsestat._utils.samples import check_counts, given_weights
from sparsestat._utils.validation import (
    LARGEST_ENTRY,
    as_compressed,
    check_complex_array,
    check_magnitude,
    refuse_complex,
)
from sparsestat.bayes._data import (
    FitData,
    any_targets,
    centered_r2,
    check_units,
    is_complex,
    is_operator,
    product,
    square,
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
    """Centering, storing, prediction and score where data may be complex."""

    def _validate_fit(self, X, y, sample_weight=None, *, accept_sparse, reason=""):
        """Return a checked :class:`FitData`.

        Parameters
        ----------
        X, y, sample_weight : array-like
            As given to ``fit``.
        accept_sparse : bool
            Whether sparse matrices and linear operators are taken.
        reason : str, default=""
            Ends the message when they are not: what to do instead.
        """
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but "
                "the target y is None."
            )
        if not accept_sparse and (sparse.issparse(X) or is_operator(X)):
            kind = "a sparse matrix" if sparse.issparse(X) else "a LinearOperator"
            raise TypeError(f"X is {kind}, but dense data is required{reason}.")
        if not self.allow_complex:
            refuse_complex(X)
            refuse_complex(y, name="y")
        if is_operator(X):
            Y = any_targets(y)
            if X.shape[0] != Y.shape[0]:
                raise ValueError(
                    "Found input variables with inconsistent numbers of samples: "
                    f"{[X.shape[0], Y.shape[0]]}."
                )
            self.n_features_in_ = X.shape[1]
            dtype = X.dtype or np.dtype(float)
        elif is_complex(X) or is_complex(y):
            if sparse.issparse(X):
                X = as_compressed(X, "csr")
                if not np.isfinite(X.data).all():
                    raise ValueError("X contains NaN or infinity.")
            else:
                X = check_complex_array(X)
            Y = any_targets(y)
            check_consistent_length(X, Y)
            validate_data(self, X, skip_check_array=True)
            dtype = X.dtype
        else:
            X, Y = validate_data(
                self,
                X,
                y,
                accept_sparse=["csr", "csc"] if accept_sparse else False,
                dtype=[np.float64, np.float32],
                y_numeric=True,
                multi_output=True,
            )
            refuse_complex(Y, name="y")
            dtype = X.dtype
            if sparse.issparse(X):
                X = as_compressed(X, "csr")
        one_target = Y.ndim == 1
        Y = Y.reshape(len(Y), -1)
        wide = np.result_type(dtype, np.complex64 if is_complex(Y) else np.float32)
        Y = Y.astype(np.complex128 if wide.kind == "c" else np.float64)
        weights, total = None, float(len(Y))
        if sample_weight is not None:
            probe = np.empty((len(Y), 1))
            weights = given_weights(sample_weight, probe)
            keep = np.flatnonzero(weights)
            if len(keep) < len(weights):
                if is_operator(X):
                    raise ValueError(
                        "Zero sample weights cannot be combined with a LinearOperator: "
                        "leave these rows out of the operator and of y."
                    )
                X, Y, weights = X[keep], Y[keep], weights[keep]
            total = check_counts(weights, len(weights), type(self).__name__)
            if np.all(weights == 1.0):
                weights = None
        if not is_operator(X):
            check_magnitude(X, largest=LARGEST_ENTRY)
        check_magnitude(Y, name="y", largest=LARGEST_ENTRY)
        check_units(X, Y)
        return FitData(X, Y, weights, total, one_target, np.dtype(wide))

    def _validate_predict(self, X):
        """Return X ready for a product with the coefficients."""
        n_features = self.n_features_in_
        if is_operator(X) or is_complex(X):
            if not self.allow_complex:
                refuse_complex(X)
            if not is_operator(X):
                X = X if sparse.issparse(X) else check_complex_array(X)
            if X.shape[1] != n_features:
                raise ValueError(
                    f"X has {X.shape[1]} features, but {type(self).__name__} is "
                    f"expecting {n_features} features as input."
                )
            return X
        return validate_data(
            self,
            X,
            accept_sparse=["csr", "csc"],
            dtype=[np.float64, np.float32],
            reset=False,
        )

    def _centered_targets(self, data):
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

    def _report_change(self, found, **details):
        """Certify a fit that stopped by the change of its coefficients."""
        self.n_iter_, self.converged_ = found.n_iter, bool(found.converged)
        self.history_ = np.array(found.history)
        self.certificate_ = Certificate(
            "monotone_bound",
            float(found.change),
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
        X = self._validate_predict(X)
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
        return centered_r2(y, self.predict(X), sample_weight)


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
