"""Safe arithmetic: rounding allowances, sums that keep their digits, scales, centering.

A certificate compares a difference of large numbers with a tolerance, so it is only
as true as that difference. What decides is therefore computed on centered data of
moderate size, in compensated sums, and a bound of the rounding that is left (the
*allowance*) is added to the value before it is compared.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sparsestat._utils import _kernels_arithmetic as kernels
from sparsestat._utils.validation import read_only

__all__ = [
    "EPS",
    "Standardization",
    "column_signs",
    "dot",
    "dots",
    "extremes",
    "moderate",
    "power_of_two",
    "rounding",
    "standardize",
    "stored",
    "total",
    "unbalanced",
]

EPS = float(np.finfo(np.float64).eps)
_ENTRIES = 2**17  # of a block of rows
_NEAR = 1e-6  # entries of a unit vector that differ by less are equal but for rounding


def rounding(n_terms, magnitude=1.0):
    """Bound the rounding error of a sum of n terms whose absolute values add up.

    This is Higham's ``gamma_n * magnitude`` with the unit roundoff ``EPS / 2``.

    Parameters
    ----------
    n_terms : int
        How many operations stand on the longest way to the result.
    magnitude : float, default=1.0
        The sum of the absolute values of the terms.
    """
    share = 0.5 * EPS * n_terms
    return math.inf if share >= 1.0 else share / (1.0 - share) * magnitude


def unbalanced(total, size, n_terms):
    """Return by how much numbers fail to sum to zero, beyond rounding.

    As the slope of a loss in an intercept does, which is the sum of its gradient.

    Parameters
    ----------
    total, size : float or ndarray
        The sum of the numbers, and their norm; of each of several sets of numbers.
    n_terms : int
    """
    slack = rounding(n_terms + 4) * np.sqrt(n_terms) * size
    return np.maximum(np.abs(total) - slack, 0.0)


def power_of_two(value):
    """Return the power of two next below ``|value|``, and 1 for 0.

    To divide by it moves the value into [1, 2) and rounds nothing.
    """
    size = abs(float(value))
    if size == 0.0 or not math.isfinite(size):
        return 1.0
    return math.ldexp(1.0, math.frexp(size)[1] - 1)


# Products of four numbers of the first size fit into double precision; what is of the
# second size can be brought there, and so can solutions in the given units.
_PLAIN, _LARGEST = 2.0**150, 1e150


def moderate(X, name="X"):
    """Return X divided by a power of two, and that power, if X is out of range.

    X itself and 1 where products of its entries neither overflow nor vanish.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of floats
        Never modified.
    name : str, default="X"
        How to call it in the message.

    Raises
    ------
    ValueError
        If the largest absolute entry is beyond 1e150 or below 1e-150 (but not 0).
    """
    entries = X.data if sparse.issparse(X) else X
    if entries.size == 0:
        return X, 1.0
    largest = max(float(entries.max()), -float(entries.min()))
    if largest == 0.0 or 1.0 / _PLAIN <= largest <= _PLAIN:
        return X, 1.0
    if math.isnan(largest) or math.isinf(largest):
        raise ValueError(
            f"Input {name} contains NaN or infinity. Remove or impute these entries."
        )
    if not 1.0 / _LARGEST <= largest <= _LARGEST:
        what = "overflow" if largest > 1.0 else "vanish"
        raise ValueError(
            f"Products of the entries of {name} {what} in double precision: the "
            f"largest absolute value is {largest:.1e}. Rescale {name} to between "
            f"{1.0 / _LARGEST:.0e} and {_LARGEST:.0e}, for example to unit variance."
        )
    unit = power_of_two(largest)
    return X * (1.0 / unit), unit


def stored(values, dtype):
    """Return values in the precision of the data, or as they are where it cannot.

    Single precision has no number beyond 3e38 and none in full below 1e-38, which
    coefficients may well be where the target has such units.

    Parameters
    ----------
    values : array-like of float64
    dtype : dtype
    """
    values = np.asarray(values)
    if dtype == np.float32:
        size = np.abs(values)
        limits = np.finfo(np.float32)
        if ((size > limits.max) | ((size > 0.0) & (size < limits.tiny))).any():
            return values
    return values.astype(dtype, copy=False)


def column_signs(V):
    """Return for each column the sign of its largest entry, 1 for zeros.

    Of entries that are equally large but for rounding the first decides, so that the
    last bit does not: eigenvectors of symmetric problems are full of such.

    Parameters
    ----------
    V : ndarray of shape (n, k)
        Vectors whose sign is free.
    """
    size = np.abs(V)
    first = (size >= (1.0 - _NEAR) * size.max(axis=0)).argmax(axis=0)
    return np.where(V[first, np.arange(V.shape[1])] < 0, -1.0, 1.0)


def dot(x, y):
    """Return the dot product of two real vectors, rounded once."""
    return sum(kernels.compensated_dot(_vector(x), _vector(y)))


def dots(x, Y):
    """Return the dot products of a real vector with the rows of Y, rounded once."""
    Y = read_only(np.ascontiguousarray(Y, dtype=np.float64))
    out = np.empty(len(Y))
    kernels.compensated_dots(_vector(x), Y, out)
    return out


def total(x):
    """Return the sum of a real vector, rounded once."""
    return sum(kernels.compensated_sum(_vector(x)))


def _double(X):
    return np.result_type(X.dtype, np.float64)


def _vector(x):
    return read_only(np.ascontiguousarray(x, dtype=np.float64).ravel())


@dataclass(frozen=True)
class Standardization:
    """What is taken off the columns of X, and what that means for coefficients.

    The center of a column is kept as ``offset + rest``, so that a mean that is huge
    beside the spread loses nothing. Sparse columns with structural zeros stay where
    they are (their mean is at most ``sqrt(n)`` spreads away); for them the mean that
    is left is `mean`, and products subtract it as a rank-one term.

    Attributes
    ----------
    offset, rest : ndarray of shape (n_features,)
        Taken off explicitly by `apply`, in two parts.
    mean : ndarray of shape (n_features,)
        Weighted means of what `apply` returns that are still to be subtracted:
        zeros but for sparse columns that hold zeros.
    """

    offset: np.ndarray
    rest: np.ndarray
    mean: np.ndarray

    def apply(self, X):
        """Return a centered copy of X in double precision, or X if nothing moves.

        X may be other data than those that were centered: then zeros of columns that
        move become entries.
        """
        if not sparse.issparse(X):
            out = np.subtract(X, self.offset, dtype=_double(X))
            out -= self.rest
            return out
        if not self.offset.any():
            return X
        moved = np.flatnonzero(self.offset)
        counts = np.bincount(X.indices, minlength=X.shape[1])
        if X.format == "csc":
            counts = np.diff(X.indptr)
        if (counts[moved] < X.shape[0]).any():
            return self._filled(X, moved)
        out = X.astype(_double(X))  # a copy
        if X.format == "csc":
            counts = np.diff(X.indptr)
            out.data -= np.repeat(self.offset, counts)
            out.data -= np.repeat(self.rest, counts)
        else:
            out.data -= self.offset[X.indices]
            out.data -= self.rest[X.indices]
        return out

    def _filled(self, X, moved):
        """Return X centered where its zeros are entries of columns that move."""
        center = (self.offset + self.rest)[moved]
        part = type(X)(X[:, moved].toarray() - center)
        place = sparse.csr_array(
            (np.ones(len(moved)), (np.arange(len(moved)), moved)),
            shape=(len(moved), X.shape[1]),
        )
        stay = sparse.diags_array((self.offset == 0.0).astype(float))
        return (X @ stay + part @ place).asformat(X.format)

    def intercept(self, coef, target_mean=0.0):
        """Return the intercept of the raw columns for centered coefficients.

        Parameters
        ----------
        coef : ndarray of shape (n_features,) or (n_features, n_targets)
            Coefficients, the same for raw and for centered columns.
        target_mean : float or ndarray of shape (n_targets,), default=0.0
            The value predicted where all centered columns are zero.
        """
        parts = np.concatenate([self.offset, self.rest, self.mean])
        if coef.ndim == 1:
            used = np.concatenate([coef, coef, coef])
            return float(target_mean) - dot(parts, used)
        moved = [dot(parts, np.concatenate([w, w, w])) for w in coef.T]
        return np.asarray(target_mean) - np.array(moved)


def standardize(X, weights=None, ends=None):
    """Return the :class:`Standardization` that centers the columns of X.

    Means are found in two passes, the second over what the first has left.

    Parameters
    ----------
    X : {ndarray, csr or csc matrix} of shape (n_samples, n_features)
        Rows of positive weight, real or complex.
    weights : ndarray of shape (n_samples,), default=None
        Positive weights. None means equal ones.
    ends : (ndarray, ndarray), default=None
        The :func:`extremes` of X, where they are known.
    """
    n, p = X.shape
    zeros = np.zeros(p)
    share = np.full(n, 1.0 / n) if weights is None else weights / weights.sum()
    if not sparse.issparse(X):
        wide = _double(X)
        offset, rest = np.zeros(p, wide), np.zeros(p, wide)
        low, high = extremes(X) if ends is None else ends
        # Blocks of rows, which stay in the cache, bound every temporary array.
        step = max(1, _ENTRIES // max(p, 1))
        blocks = [slice(start, start + step) for start in range(0, n, step)]
        left = np.empty((min(step, n), p), wide)
        for rows in blocks:
            offset += share[rows] @ X[rows].astype(wide, copy=False)
        offset = np.where(low == high, low, offset)
        for rows in blocks:
            part = share[rows]
            rest += part @ np.subtract(X[rows], offset, out=left[: len(part)])
        return Standardization(offset, rest, zeros)
    mean = np.asarray(X.T @ share, dtype=_double(X)).ravel()
    if X.format == "csc":
        full = np.diff(X.indptr) == n
    else:
        full = np.bincount(X.indices, minlength=p) == n
    # A constant column becomes zeros, whatever its mean was rounded to.
    low, high = extremes(X) if ends is None else ends
    level = full & (low == high)
    offset = np.where(level, low, np.where(full, mean, 0.0))
    moved = Standardization(offset, zeros, zeros).apply(X)
    left = np.asarray(moved.T @ share, dtype=_double(X)).ravel()
    return Standardization(offset, np.where(full, left, 0.0), np.where(full, 0.0, left))


def extremes(X):
    """Return the least and the largest entries of columns, of each part if complex."""
    if X.dtype.kind == "c":
        parts = zip(extremes(X.real), extremes(X.imag), strict=True)
        return tuple(real + 1j * imaginary for real, imaginary in parts)
    if not sparse.issparse(X):
        if not (X.flags.c_contiguous and X.dtype in (np.float32, np.float64)):
            return X.min(axis=0), X.max(axis=0)
        low, high = X[0].copy(), X[0].copy()
        kernels.column_extremes(read_only(X), low, high)
        return low, high
    return X.min(axis=0).toarray().ravel(), X.max(axis=0).toarray().ravel()
