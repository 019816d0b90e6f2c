r"""Second moments of rows: summed by blocks, put together without cancellation.

Each block is centered on its own means, in two passes, and blocks are put together by
the rule for two samples [1]_: what is added to the sum of two spreads is positive. So
are folds: the rows that a fold trains on are the other folds put together, not what is
left of all rows without it.

References
----------
.. [1] T. Chan, G. Golub, R. LeVeque, "Algorithms for computing the sample variance:
   analysis and recommendations", The American Statistician 37, 1983.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg.lapack import dpstrf
from sklearn.utils import check_array

from sparsestat._utils.validation import check_magnitude

__all__ = [
    "MOST_FEATURES",
    "Moments",
    "check_width",
    "dense_slices",
    "fold_moments",
    "merge_folds",
    "merge_moments",
    "merge_sums",
    "numeric_targets",
    "residual_sums",
    "row_slices",
    "square_root",
]

MOST_FEATURES = 10_000  # whose products are held: 800 megabytes
_ENTRIES = 2**21  # of temporary arrays
_CACHED = 2**18  # of those that several passes go over


@dataclass(frozen=True)
class Moments:
    """Weight, means and centered products of columns.

    Parameters
    ----------
    weight : float
        Sum of the weights.
    n_rows : int
        How many rows of positive weight there are.
    mean : ndarray of shape (n_columns,)
    spread : ndarray of shape (n_columns, n_columns)
        Sum of the weighted products of the centered columns.
    low, high : ndarray of shape (n_columns,)
        Extremes, by which constant columns are known.
    """

    weight: float
    n_rows: int
    mean: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def products(self, *, centered):
        """Return the products of the columns, about their means or about zero."""
        out = self.spread.copy()
        if not centered:
            return out + self.weight * np.outer(self.mean, self.mean)
        level = self.low == self.high  # but for rounding
        out[level] = 0.0
        out[:, level] = 0.0
        return out

    @property
    def center(self):
        """The means, exact for constant columns."""
        return np.where(self.low == self.high, self.low, self.mean)


def merge_moments(a, b):
    """Put the moments of two sets of rows together."""
    weight = a.weight + b.weight
    step = b.mean - a.mean
    return Moments(
        weight,
        a.n_rows + b.n_rows,
        a.mean + step * (b.weight / weight),
        a.spread + b.spread + np.outer(step, step * (a.weight * b.weight / weight)),
        np.minimum(a.low, b.low),
        np.maximum(a.high, b.high),
    )


def merge_folds(a, b):
    """Put dictionaries of moments together, fold by fold."""
    out = dict(a)
    for fold, moments in b.items():
        out[fold] = merge_moments(out[fold], moments) if fold in out else moments
    return out


def fold_moments(block, folds, targets=None):
    """Return the moments of the rows of a block, for each fold that has some.

    Parameters
    ----------
    block : Block
    folds : ndarray of int of shape (n_rows,) or None
        The fold of each row; None puts all into fold 0.
    targets : callable, default=None
        Makes an array of shape (n_rows, n_targets) of the targets, whose columns come
        after those of X.
    """
    y = None if targets is None else targets(block.y)
    groups = [(0, slice(None))]
    if folds is not None:
        found = np.unique(folds)
        groups = [(int(f), slice(None)) for f in found]
        if len(found) > 1:
            groups = [(int(f), np.flatnonzero(folds == f)) for f in found]
    out = {}
    for fold, rows in groups:
        w = None if block.weights is None else block.weights[rows]
        out[fold] = _moments(block.X[rows], None if y is None else y[rows], w)
    return out


def row_slices(n_rows, n_columns, *, entries=_ENTRIES, fewest=1):
    """Return slices of rows whose temporary arrays stay small."""
    step = max(fewest, entries // max(n_columns, 1))
    return [slice(k, min(k + step, n_rows)) for k in range(0, n_rows, step)]


def dense_slices(X, width=1, **limits):
    """Yield slices of rows, and these as dense arrays.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_rows, n_columns)
    width : int, default=1
        Entries that a row needs beside those of X, if these are more.
    **limits : int
        Of :func:`row_slices`.
    """
    for rows in row_slices(X.shape[0], max(X.shape[1], width), **limits):
        part = X[rows]
        yield rows, part.toarray() if sparse.issparse(part) else part


def _moments(X, y, weights):
    # Slices that stay in the cache of a core, though with rows enough for the products
    # to outweigh the merging.
    p, total = X.shape[1], None
    fewest = min(2 * p, _ENTRIES // max(p, 1))
    for rows, part in dense_slices(X, entries=_CACHED, fewest=max(fewest, 1)):
        w = None if weights is None else weights[rows]
        one = _dense_moments(part, None if y is None else y[rows], w)
        total = one if total is None else merge_moments(total, one)
    return total


def _dense_moments(X, y, weights):
    n, p = X.shape
    Z = np.empty((n, p + (0 if y is None else y.shape[1])))
    Z[:, :p] = X
    if y is not None:
        Z[:, p:] = y
    low, high = Z.min(axis=0), Z.max(axis=0)
    share = np.full(n, 1.0 / n) if weights is None else weights / weights.sum()
    mean = share @ Z
    Z -= mean
    rest = share @ Z  # what the first pass has lost
    Z -= rest
    if weights is not None:
        Z *= np.sqrt(weights)[:, None]
    weight = float(n) if weights is None else float(weights.sum())
    return Moments(weight, n, mean + rest, Z.T @ Z, low, high)


def numeric_targets(y, *, many=False):
    """Return targets as an array of shape (n_rows, n_targets), checked.

    Parameters
    ----------
    y : ndarray or None
    many : bool, default=False
        Whether one dimension is too few.
    """
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None. Pass it "
            "to fit or row_blocks, as an array, the name of a column, or in the blocks."
        )
    y = check_array(
        y, ensure_2d=False, dtype=np.float64, ensure_min_samples=0, input_name="y"
    )
    if y.ndim == 1 and many:
        raise ValueError("For mono-task outputs, use the estimator of one target.")
    y = y.reshape(len(y), -1) if y.ndim == 1 else y
    return check_magnitude(y, name="y", largest=1e40)


def residual_sums(block, center, target_center, coefs, targets):
    """Return sums of the residuals of many coefficients over a block.

    Parameters
    ----------
    block : Block
    center : ndarray of shape (n_features,)
    target_center : ndarray of shape (n_targets,)
    coefs : ndarray of shape (n_features, n_results, n_targets)
    targets : callable
        As in :func:`fold_moments`.

    Returns
    -------
    sums : tuple of ndarray
        Weighted squares of the residuals, and their products with the centered
        targets, summed over targets, each of shape (n_results,); products with the
        centered columns, of the shape of `coefs`; sums of residuals, of shape
        (n_results, n_targets); sums of the centered columns; and the weight.
    """
    p, K, T = coefs.shape
    used = np.flatnonzero(coefs.any(axis=(1, 2)))
    flat = -coefs[used].reshape(len(used), K * T)
    y, total = targets(block.y), None
    for rows, A in dense_slices(block.X, K * T):
        A = np.subtract(A, center, dtype=np.float64)
        z = y[rows] - target_center
        R = A[:, used] @ flat
        R.reshape(-1, K, T)[...] += z[:, None, :]
        w = None if block.weights is None else block.weights[rows]
        V = R if w is None else w[:, None] * R
        dots = sum(z[:, t] @ V[:, t::T] for t in range(T))
        one = (
            np.einsum("ij,ij->j", V, R).reshape(K, T).sum(axis=1),
            dots,
            (A.T @ V).reshape(p, K, T),
            V.sum(axis=0).reshape(K, T),
            A.sum(axis=0) if w is None else w @ A,
            float(len(A)) if w is None else float(w.sum()),
        )
        total = one if total is None else merge_sums(total, one)
    return total


def merge_sums(a, b):
    """Add tuples, entry by entry."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


def square_root(S):
    """Return R with ``R'R = S`` and rank(S) rows, for a positive semidefinite S.

    The columns are brought to norm one first, so that their scales do not matter.
    """
    norms = np.sqrt(np.maximum(S.diagonal(), 0.0))
    used = np.flatnonzero(norms)
    if used.size == 0:
        return np.zeros((1, len(S)))
    inner = S[np.ix_(used, used)] / np.outer(norms[used], norms[used])
    U, order, rank, _ = dpstrf(inner, lower=0)
    root = np.zeros((rank, len(S)))
    root[:, used[order - 1]] = np.triu(U)[:rank]
    return root * norms


def check_width(name, n_features):
    """Refuse more features than products of all pairs can be held of."""
    if n_features > MOST_FEATURES:
        raise ValueError(
            f"{name} reads rows in blocks and holds the products "
            f"of all pairs of features: with {n_features} features they take "
            f"{8e-9 * n_features**2:.1f} GB. Wide data are fitted by working sets of "
            "columns, which need X in memory: pass X.compute() of a dask collection, "
            "or an array. Or select at most "
            f"{MOST_FEATURES} features beforehand."
        )
