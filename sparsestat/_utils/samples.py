"""Samples and their weights, as most estimators take them."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.utils.validation import validate_data

from sparsestat._utils.compat import check_sample_weight
from sparsestat._utils.validation import check_magnitude, refuse_complex

__all__ = ["FLOATS", "check_samples", "check_total", "given_weights"]

_FEWEST, _MOST = 1e-9, 1e15  # rows that weights may stand for
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


def check_total(total):
    """Refuse weights that cannot be numbers of rows.

    The likelihood counts rows, so that weights are repetitions and their sum, against
    which priors and the noise are weighed, means something.
    """
    if not _FEWEST <= total <= _MOST:
        raise ValueError(
            f"sample_weight sums to {total:.1e}, but weights count repetitions of rows "
            f"here and must sum to between {_FEWEST:.0e} and {_MOST:.0e}. Rescale "
            "them, for example to a mean of one."
        )
