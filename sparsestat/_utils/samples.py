"""Samples and their weights, as most estimators take them."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse
from sklearn.utils.validation import validate_data

from sparsestat._utils.arithmetic import power_of_two
from sparsestat._utils.compat import check_sample_weight
from sparsestat._utils.validation import check_magnitude, refuse_complex

__all__ = [
    "FLOATS",
    "check_counts",
    "check_samples",
    "distinct_rows",
    "effective_rows",
    "fold_rows",
    "given_weights",
    "relative_weights",
]

_FEWEST, _MOST = 1e-3, 1e15  # rows, counted to double precision
FLOATS = [np.float64, np.float32]  # single precision is kept, all else is double


def check_samples(
    estimator,
    X,
    *,
    reset=True,
    accept_sparse=False,
    dtype=np.float64,
    order="C",
    largest=1e75,
):
    """Validate real, finite samples whose products stay within double precision.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and, from data frames, ``feature_names_in_``.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The samples, never modified.
    reset : bool, default=True
        False in methods after the fit, which compare with what the fit has seen.
    accept_sparse : str, list of str or False, default=False
        Formats that may stay sparse.
    dtype : dtype or list of dtype, default=np.float64
        The first one is converted to; ``FLOATS`` keeps single precision.
    order : {"C", "F"} or None, default="C"
        Memory order of dense samples.
    largest : float or None, default=1e75
        For :func:`check_magnitude`. None leaves that to the caller, who drops rows of
        weight zero first.

    Returns
    -------
    X : {ndarray, sparse matrix}
        The checked samples.
    """
    refuse_complex(X)
    X = validate_data(
        estimator,
        X,
        accept_sparse=accept_sparse,
        dtype=dtype,
        order=order,
        reset=reset,
    )
    return X if largest is None else check_magnitude(X, largest=largest)


def given_weights(sample_weight, X):
    """Return non-negative weights in double precision, or None for none given."""
    if sample_weight is None:
        return None
    return check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )


def relative_weights(sample_weight):
    """Return weights of which only the ratios matter, and the unit taken out.

    The largest lies in [1, 2) afterwards; to divide by a power of two rounds nothing.
    """
    if sample_weight is None:
        return None, 1.0
    unit = power_of_two(sample_weight.max(initial=0.0))
    return sample_weight / unit, unit


def effective_rows(X, y, sample_weight):
    """Return X, y and weights without the rows of weight zero.

    Such rows never matter, whatever finite numbers they hold.

    Parameters
    ----------
    X : {ndarray, csr or csc matrix} of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, ...)
    sample_weight : ndarray of shape (n_samples,) or None
        Validated weights.
    """
    if sample_weight is None or sample_weight.all():
        return X, y, sample_weight
    used = np.flatnonzero(sample_weight)
    if used.size == 0:
        raise ValueError("All sample weights are zero. At least one must be positive.")
    if sparse.issparse(X):
        X = X.tocsr()[used]
    else:
        X = np.asfortranarray(X[used]) if X.flags.f_contiguous else X[used]
    return X, y[used], sample_weight[used]


def check_counts(sample_weight, n_samples, what):
    """Return the sum of weights that count rows, refusing sums that are no counts.

    Parameters
    ----------
    sample_weight : ndarray of shape (n_samples,) or None
    n_samples : int
    what : str
        What counts them, for the message.
    """
    if sample_weight is None:
        return float(n_samples)
    unit = power_of_two(sample_weight.max(initial=0.0))
    total = float((sample_weight / unit).sum()) * unit
    if not _FEWEST <= total <= _MOST:
        raise ValueError(
            f"{what} counts rows by their sample weights, which sum to {total:.1e}. "
            f"Rescale them to numbers of repetitions, between {_FEWEST:g} and "
            f"{_MOST:.0e} in all."
        )
    return total


def distinct_rows(A):
    """Return the distinct rows, sorted, and where each row of A went."""
    rows, inverse = np.unique(A, axis=0, return_inverse=True)
    return rows, inverse.ravel()


def fold_rows(rows, n_samples, fold):
    """Return the rows of one side of a fold of `cv` as indices from 0 on.

    Parameters
    ----------
    rows : array-like
        Indices, negative ones from the end, or a mask over all samples.
    n_samples : int
    fold : int
        Which fold this is, for the message.
    """
    found = np.asarray(rows)
    if found.size == 0:
        return np.zeros(0, dtype=np.intp)
    if found.ndim == 1 and found.dtype == bool and len(found) == n_samples:
        return np.flatnonzero(found)
    if found.ndim == 1 and found.dtype.kind in "iu":
        found = found.astype(np.intp)
        if -n_samples <= found.min() and found.max() < n_samples:
            return np.where(found < 0, found + n_samples, found)
    raise ValueError(
        f"Fold {fold} of `cv` must hold row numbers below n_samples={n_samples}, or a "
        f"mask of that length, but has an array of {found.dtype} of shape "
        f"{found.shape}"
        + (f" with values up to {found.max()}." if found.dtype.kind in "iuf" else ".")
    )
