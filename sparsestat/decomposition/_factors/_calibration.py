"""What the compressions of matrices share: the data they act on, and bits."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
from scipy import linalg

from sparsestat._utils.validation import check_magnitude
from sparsestat.decomposition._codes import check_matrix

__all__ = [
    "VALUE_BITS",
    "check_weights",
    "column_importance",
    "index_bits",
    "root_of_moments",
    "second_moments_of",
    "sparse_bits",
]

# What a stored real number counts for: half precision. Arrays are kept in the
# precision of the input; rounding them is left to who stores them.
VALUE_BITS = 16


def index_bits(n):
    """Return the bits of an index below n."""
    return math.ceil(math.log2(n)) if n > 1 else 0


def sparse_bits(nnz, n_columns):
    """Return the bits of values with one index each."""
    return nnz * (VALUE_BITS + index_bits(n_columns))


def _check_data(calibration, size, side):
    data = check_matrix(calibration, "calibration", dtype=(np.float64,))
    if data.shape[1] != size:
        raise ValueError(
            f"calibration has {data.shape[1]} columns, but the matrix has {size} "
            f"{side}: they must be equal."
        )
    return check_magnitude(data, name="calibration")


def _check_gram(gram, size):
    C = check_matrix(gram, "gram", dtype=(np.float64,))
    check_magnitude(C, name="gram")
    if C.shape != (size, size) or not np.allclose(C, C.T):
        raise ValueError(
            f"gram has shape {C.shape}, but a symmetric matrix of shape "
            f"({size}, {size}) is needed."
        )
    return C


def second_moments_of(size, calibration, gram, side="rows"):
    """Return the second moments of the data a matrix acts on, or None without any.

    Parameters
    ----------
    size : int
        Number of rows (columns) of the matrix, which the data have as columns.
    calibration : array-like of shape (n_samples, size) or None
        The data.
    gram : array-like of shape (size, size) or None
        Their second moments.
    side : {"rows", "columns"}
        What of the matrix meets the data, for messages.

    Returns
    -------
    C : ndarray of shape (size, size) or None
        ``calibration.T @ calibration / n_samples``, or a copy of `gram`.
    """
    if calibration is not None and gram is not None:
        raise ValueError("Pass either calibration or gram, not both.")
    if gram is not None:
        return _check_gram(gram, size).copy()
    if calibration is None:
        return None
    data = _check_data(calibration, size, side)
    return data.T @ data / len(data)


def root_of_moments(C, ridge):
    """Return the upper Cholesky factor of C with a relative ridge, which changes C."""
    C[np.diag_indices_from(C)] += ridge * np.trace(C) / len(C)
    try:
        return linalg.cholesky(C)
    except linalg.LinAlgError as error:
        raise ValueError(
            "The second moments of the calibration data are not positive "
            f"definite with ridge={ridge}. Raise ridge or add data."
        ) from error


def check_weights(weights, shape, name):
    """Return finite non-negative weights in double precision, broadcast to a shape."""
    weights = np.asarray(weights)
    if weights.dtype.kind not in "fiub":
        try:
            weights = weights.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must be an array of real numbers.") from error
    weights = weights.astype(np.float64, copy=False)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(f"{name} must be finite and non-negative.")
    try:
        weights = np.broadcast_to(weights, shape)
    except ValueError as error:
        raise ValueError(
            f"{name} has shape {weights.shape}, which does not broadcast to {shape}."
        ) from error
    return check_magnitude(weights, name=name)


def column_importance(size, calibration, gram, importance):
    """Return one weight for each column: the mean square of the data it meets.

    At most one of the three may be given; None of them weighs all columns alike.
    """
    given = [v is not None for v in (calibration, gram, importance)]
    if sum(given) > 1:
        raise ValueError("Pass only one of calibration, gram and importance.")
    if importance is not None:
        d = check_weights(importance, (size,), "importance").copy()
    elif calibration is not None:
        data = _check_data(calibration, size, "columns")
        d = np.einsum("ij,ij->j", data, data) / len(data)
    elif gram is not None:
        d = np.diag(_check_gram(gram, size)).copy()
        if (d < 0).any():
            raise ValueError(
                "gram has negative diagonal entries: second moments have none."
            )
    else:
        return np.ones(size)
    if not d.any():
        raise ValueError(
            "All columns have importance zero: nothing would be approximated. Pass "
            "data that are not zero everywhere."
        )
    return d
