"""What the room shares: standardized columns, named features, tables of results."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from sparsestat._utils.arithmetic import EPS, moderate, standardize
from sparsestat._utils.samples import check_samples
from sparsestat._utils.validation import LARGEST_ENTRY, refuse_complex

__all__ = [
    "LEAST_SAMPLES",
    "Columns",
    "check_target",
    "checked_rows",
    "named",
    "summary_table",
]

LEAST_SAMPLES = 8
_LEVEL = 64 * EPS  # spread of a column that is constant but for rounding


def checked_rows(
    estimator, X, y, *, accept_sparse=False, classifier=False, largest=LARGEST_ENTRY
):
    """Validate samples and a target, of as many rows as statistics need.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and, from data frames, ``feature_names_in_``.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples, ...)
    accept_sparse : list of str or False, default=False
    classifier : bool, default=False
        Whether y holds classes.
    largest : float or None, default=1e125
        As in :func:`~sparsestat._utils.samples.check_samples`.
    """
    X = check_samples(
        estimator, X, accept_sparse=accept_sparse, order=None, largest=largest
    )
    y = check_target(estimator, y, classifier=classifier)
    check_consistent_length(X, y)
    if X.shape[0] < LEAST_SAMPLES:
        raise ValueError(
            f"{type(estimator).__name__} needs at least {LEAST_SAMPLES} samples, but X "
            f"has n_samples = {X.shape[0]}."
        )
    return X, y


def check_target(estimator, y, *, classifier=False):
    """Return a target as an array: classes, numbers, or rows of several."""
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is "
            "None."
        )
    refuse_complex(y, name="y")
    if getattr(getattr(y, "dtype", None), "names", None) is not None:
        return np.asarray(y)  # times and events: for the estimator to judge
    if classifier:
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return y
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    return y


class Columns:
    """Columns of X, centered where they can be, and divided by their spreads.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
        Validated samples, never modified.

    Attributes
    ----------
    spreads : ndarray of shape (n_features,)
        Standard deviations (dividing by n); zero for constant columns.
    varies : ndarray of shape (n_features,)
        Which columns are not constant.
    center : Standardization
        What was taken off.
    """

    def __init__(self, X):
        if sparse.issparse(X):
            X = X.tocsr()
        X, self.unit = moderate(X)
        self.center = standardize(X)
        self._moved = self.center.apply(X)
        n = X.shape[0]
        if sparse.issparse(X):
            squares = np.asarray(self._moved.multiply(self._moved).sum(axis=0)).ravel()
            variances = np.maximum(squares / n - self.center.mean**2, 0.0)
            largest = np.sqrt(squares / n)
        else:
            variances = np.einsum("ij,ij->j", self._moved, self._moved) / n
            largest = np.abs(self.center.offset)
        spreads = np.sqrt(variances)
        self.varies = spreads > _LEVEL * largest
        self._spreads = np.where(self.varies, spreads, 0.0)
        self.spreads = self._spreads * self.unit

    def require(self, what):
        """Refuse a table of which no column varies."""
        if not self.varies.any():
            raise ValueError(f"{what}: every column of X is constant.")

    def scaled(self, columns=None):
        """Return the columns in units of their spreads, constant ones as zeros."""
        factors = np.zeros(len(self._spreads))
        factors[self.varies] = 1.0 / self._spreads[self.varies]
        if sparse.issparse(self._moved):
            out = self._moved @ sparse.diags_array(factors)
            return out.tocsr() if columns is None else out.tocsr()[:, columns]
        moved = self._moved if columns is None else self._moved[:, columns]
        return np.asfortranarray(
            moved * (factors if columns is None else factors[columns])
        )

    def given(self, coef, level):
        """Return coefficients of the given columns, and their intercept.

        Parameters
        ----------
        coef : ndarray of shape (n_features,)
            Of the columns as :meth:`scaled` returns them.
        level : float
            What is predicted where all centered columns are zero.
        """
        out = np.zeros(len(coef))
        used = self.varies & (coef != 0.0)
        out[used] = coef[used] / self._spreads[used]
        return out / self.unit, self.center.intercept(out, level)


def named(estimator, features, feature_names=None):
    """Return the names of some features, by their numbers."""
    names = feature_names
    if names is None:
        names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        return [f"x{j}" for j in features]
    if len(names) != estimator.n_features_in_:
        raise ValueError(
            f"feature_names has {len(names)} names for {estimator.n_features_in_} "
            "features."
        )
    return [str(names[j]) for j in features]


def summary_table(names, columns):
    """Return columns as a data frame indexed by feature names.

    Parameters
    ----------
    names : list of str
        One for each row.
    columns : dict
        Arrays by their headings.

    Returns
    -------
    table : DataFrame or dict
        Without pandas a dict of arrays, the names under "feature".
    """
    try:
        import pandas as pd
    except ImportError:
        return {"feature": np.array(names, dtype=object), **columns}
    return pd.DataFrame(columns, index=pd.Index(names, name="feature"))
