"""What enters a fit: real or complex arrays, sparse matrices, linear operators."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator
from sklearn.utils.validation import check_array, check_consistent_length, validate_data

from sparsestat._utils.arithmetic import power_of_two
from sparsestat._utils.samples import check_counts, given_weights
from sparsestat._utils.validation import (
    LARGEST_ENTRY,
    as_compressed,
    check_complex_array,
    check_magnitude,
    largest_entry,
    refuse_complex,
)

__all__ = [
    "FitData",
    "centred_r2",
    "is_operator",
    "product",
    "square",
    "validate_fit",
    "validate_predict",
]


def is_operator(X):
    """Whether X acts by products only."""
    return isinstance(X, LinearOperator)


def is_complex(X):
    return getattr(getattr(X, "dtype", None), "kind", None) == "c"


def square(Z):
    """Squared moduli, always real."""
    if Z.dtype.kind == "c":
        return Z.real**2 + Z.imag**2
    return Z * Z


@dataclass
class FitData:
    """A validated problem: rows with zero weight are gone, the others unscaled.

    Parameters
    ----------
    X : ndarray, CSR array or LinearOperator
        Never copied where it could be used as it was given.
    Y : ndarray of shape (n_samples, n_targets)
        Targets as columns, float64 or complex128.
    weights : ndarray of shape (n_samples,) or None
        Positive weights.
    total : float
        Sum of the weights: what the noise step counts as observations.
    one_target : bool
        Whether y was one-dimensional.
    dtype : dtype
        Of the coefficients that are returned.
    """

    X: Any
    Y: Any
    weights: Any
    total: float
    one_target: bool
    dtype: Any


def validate_fit(
    estimator, X, y, sample_weight=None, *, allow_complex, accept_sparse, reason=""
):
    """Return a checked :class:`FitData`.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and, from data frames, ``feature_names_in_``.
    X, y, sample_weight : array-like
        As given to ``fit``.
    allow_complex : bool
        Whether complex numbers are taken.
    accept_sparse : bool
        Whether sparse matrices and linear operators are taken.
    reason : str, default=""
        Ends the message when they are not: what to do instead.
    """
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but "
            "the target y is None."
        )
    if not accept_sparse and (sparse.issparse(X) or is_operator(X)):
        kind = "a sparse matrix" if sparse.issparse(X) else "a LinearOperator"
        raise TypeError(f"X is {kind}, but dense data is required{reason}.")
    if not allow_complex:
        refuse_complex(X)
        refuse_complex(y, name="y")
    if is_operator(X):
        Y = _targets(y)
        if X.shape[0] != Y.shape[0]:
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: "
                f"{[X.shape[0], Y.shape[0]]}."
            )
        estimator.n_features_in_ = X.shape[1]
        dtype = X.dtype or np.dtype(float)
    elif is_complex(X) or is_complex(y):
        if sparse.issparse(X):
            X = as_compressed(X, "csr")
            if not np.isfinite(X.data).all():
                raise ValueError("X contains NaN or infinity.")
        else:
            X = check_complex_array(X)
        Y = _targets(y)
        check_consistent_length(X, Y)
        validate_data(estimator, X, skip_check_array=True)
        dtype = X.dtype
    else:
        X, Y = validate_data(
            estimator,
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
        total = check_counts(weights, len(weights), type(estimator).__name__)
        if np.all(weights == 1.0):
            weights = None
    if not is_operator(X):
        check_magnitude(X, largest=LARGEST_ENTRY)
    check_magnitude(Y, name="y", largest=LARGEST_ENTRY)
    _check_units(X, Y)
    return FitData(X, Y, weights, total, one_target, np.dtype(wide))


def _check_units(X, Y):
    """Refuse data whose variances of coefficients, (y / x)^2, leave the doubles."""
    x, y = 1.0 if is_operator(X) else largest_entry(X), largest_entry(Y)
    if x > 0 and y > 0 and not 1.0 / LARGEST_ENTRY <= y / x <= LARGEST_ENTRY:
        raise ValueError(
            f"y is {y / x:.1e} times as large as X, and squares of coefficients of "
            "that size leave double precision. Rescale X or y."
        )


def _targets(y):
    """Validate y through the door for complex arrays, whichever its type."""
    array = check_complex_array(y, name="y", ndim=(1, 2))
    return array


def validate_predict(estimator, X):
    """Return X ready for a product with the coefficients."""
    n_features = estimator.n_features_in_
    if is_operator(X) or is_complex(X):
        if not estimator.allow_complex:
            refuse_complex(X)
        if not is_operator(X):
            X = X if sparse.issparse(X) else check_complex_array(X)
        if X.shape[1] != n_features:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(estimator).__name__} is "
                f"expecting {n_features} features as input."
            )
        return X
    return validate_data(
        estimator,
        X,
        accept_sparse=["csr", "csc"],
        dtype=[np.float64, np.float32],
        reset=False,
    )


def product(X, W):
    """``X @ W`` as a dense array, for every kind of X."""
    if is_operator(X):
        return X.matmat(W) if W.ndim == 2 else X.matvec(W)
    return np.asarray(X @ W)


def centred_r2(y, prediction, sample_weight=None):
    """Coefficient of determination with moduli, averaged over targets."""
    y, prediction = check_array_like(y), np.asarray(prediction)
    y = y.astype(np.result_type(y, np.float64), copy=False)
    if sample_weight is None:
        weight = np.ones(len(y))
    else:
        weight = np.asarray(sample_weight, dtype=float)
        kept = weight != 0
        if not kept.all():
            y, prediction, weight = y[kept], prediction[kept], weight[kept]
        # Only ratios count; powers of two keep the sums within range.
        weight = weight / power_of_two(np.abs(weight).max(initial=0.0))
    # Nor do units: squares of what is divided by the size of y cannot overflow.
    unit = power_of_two(np.abs(y).max(initial=0.0))
    error = weight @ square((y - prediction) / unit)
    moved = (y - y[0]) / unit  # a mean far from 0 would round the spread away
    spread = weight @ square(moved - (weight @ moved) / weight.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(spread > 0, error / spread, np.where(error > 0, 1.0, 0.0))
    return float(np.mean(1.0 - ratio))


def check_array_like(y):
    """Return y as a finite array of one or two dimensions, complex or not."""
    if is_complex(np.asarray(y)):
        return check_complex_array(y, name="y", ndim=(1, 2))
    return check_array(y, ensure_2d=False, dtype="numeric")
