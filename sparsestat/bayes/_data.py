"""What enters a fit: real or complex arrays, sparse matrices, linear operators."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator
from sklearn.utils.validation import check_array

from sparsestat._utils.arithmetic import power_of_two
from sparsestat._utils.validation import (
    LARGEST_ENTRY,
    check_complex_array,
    largest_entry,
)

__all__ = [
    "FitData",
    "any_targets",
    "centered_r2",
    "check_units",
    "is_complex",
    "is_operator",
    "product",
    "square",
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


def check_units(X, Y):
    """Refuse data whose variances of coefficients, (y / x)^2, leave the doubles."""
    x, y = 1.0 if is_operator(X) else largest_entry(X), largest_entry(Y)
    if x > 0 and y > 0 and not 1.0 / LARGEST_ENTRY <= y / x <= LARGEST_ENTRY:
        raise ValueError(
            f"y is {y / x:.1e} times as large as X, and squares of coefficients of "
            "that size leave double precision. Rescale X or y."
        )


def any_targets(y):
    """Validate y through the door for complex arrays, whichever its type."""
    array = check_complex_array(y, name="y", ndim=(1, 2))
    return array


def product(X, W):
    """``X @ W`` as a dense array, for every kind of X."""
    if is_operator(X):
        return X.matmat(W) if W.ndim == 2 else X.matvec(W)
    return np.asarray(X @ W)


def centered_r2(y, prediction, sample_weight=None):
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
