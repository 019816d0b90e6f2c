"""The design matrix as the solvers see it: weighted and centered, never copied.

With sample weights ``sw`` and an intercept, the squared loss of (X, y) equals
that of ``sqrt(sw) * (X - mean)`` and ``sqrt(sw) * (y - mean(y))``, both means
weighted. The solvers work on these columns; dense ones are formed only for the
columns of a working set, sparse ones never (the mean enters as a rank-one term).
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from functools import cached_property

import numpy as np
from scipy import sparse

from sparsestat._utils.arithmetic import (
    dot,
    dots,
    moderate,
    standardize,
)
from sparsestat._utils.validation import read_only, read_only_triple
from sparsestat.linear_model._penalized import _kernels_design as kernels

__all__ = ["Design", "MomentDesign", "is_small", "make_design"]

_EMPTY = read_only(np.empty(0))
# Beyond this ratio of mean to spread, implicit centering would lose more than a
# quarter of the digits of a correlation, so such columns are centered in a copy.
# Sparse columns are copied sooner: it costs little.
_OFFSET_LIMIT, _SPARSE_OFFSET_LIMIT = 1e4, 10.0
# Of a squared norm of a column; its products must fit into double precision too.
_LARGEST_SQUARE = 1e200
# Sparse columns at least this full are gathered densely into the working set, as
# long as a set of 4096 of them stays below a gigabyte.
_FULL_COLUMNS = 0.05
_GATHER_BYTES = 1e9
_SMALL = 1e6  # multiplications of a Gram matrix of all features


def is_small(design):
    """Whether a set of all features costs less than looking for some of them."""
    return float(design.n_samples) * design.n_features**2 <= _SMALL


def make_design(X, sample_weight=None, *, fit_intercept=True):
    """Return the Design for dense X (F-ordered inside) or compressed sparse X."""
    if sparse.issparse(X):
        # The kernels would read any other format as columns, past its end.
        X = X if X.format == "csc" else X.tocsc()
        return _CSCDesign(X, sample_weight, fit_intercept)
    return _DenseDesign(X, sample_weight, fit_intercept)


class Design:
    """Columns ``sqrt(sw) * (X_j - mean_j)`` behind a handful of products.

    Attributes
    ----------
    n_samples, n_features : int
    unit : float
        Power of two by which X was divided, so that products of its entries stay
        within double precision. All else is about the divided columns.
    total : float
        Sum of the sample weights; the objective divides the loss by it.
    roots : ndarray of shape (n_samples,) or (0,)
        Square roots of the weights, empty when there are none.
    means : ndarray of shape (n_features,)
        Weighted means that the products subtract; zeros without an intercept, and
        rounding where columns were centered in a copy.
    squares : ndarray of shape (n_features,)
        Squared norms of the columns.
    is_weighted : bool
        Whether sample weights were given.
    chain : int
        How many additions follow each other in a product with a column.
    prefers_gram : bool
        Whether coordinate descent should run on the Gram matrix of the columns.
    """

    is_sparse = False
    prefers_gram = True
    _offset_limit = _OFFSET_LIMIT

    def __init__(self, X, sample_weight, fit_intercept):
        self.X, self.unit = moderate(X)
        self.n_samples, self.n_features = X.shape
        self.fit_intercept = fit_intercept
        # Vectorized loops and BLAS keep at least eight partial sums.
        self.chain = self.n_samples // 8 + 16
        self.is_weighted = sample_weight is not None
        if sample_weight is None:
            self.weights = self.roots = _EMPTY
            self.total = float(self.n_samples)
        else:
            weights = np.asarray(sample_weight, dtype=np.float64)
            self.weights = read_only(weights)
            self.roots = read_only(np.sqrt(weights))
            self.total = float(weights.sum())
        self.all_columns = read_only(np.arange(self.n_features))
        self._standardization = None
        if self._measure():
            # Some column is so far from zero that its spread has lost digits.
            weights = self.weights if self.is_weighted else None
            self._standardization = standardize(self.X, weights)
            self.X = self._centered(self._standardization)
            self._measure()
        vanished = np.flatnonzero(self.squares == 0.0)
        if vanished.size and not self._constant(vanished).all():
            self._raise_too_small()

    def _measure(self):
        """Find means and squared norms; return whether they lost their digits."""
        sums = np.empty(self.n_features)
        squares = np.empty(self.n_features)
        self._moments(sums, squares)
        if not (squares <= _LARGEST_SQUARE).all():
            self._raise_too_large()
        means = np.zeros(self.n_features)
        is_far = False
        if self.fit_intercept:
            means = sums / self.total
            centered = np.maximum(squares - self.total * means**2, 0.0)
            # Where the mean is huge beside the spread, the difference has lost
            # its digits: the column is constant or wants explicit centering.
            doubtful = np.flatnonzero(centered * self._offset_limit**2 <= squares)
            if doubtful.size:
                constant = self._constant(doubtful)
                centered[doubtful[constant]] = 0.0
                is_far = bool(self._movable(doubtful[~constant]).any())
            squares = centered
        self.means = read_only(means)
        self.squares = read_only(squares)
        return is_far

    def _raise_too_large(self):
        data = self.X.data if sparse.issparse(self.X) else self.X
        if np.isfinite(data).all():
            raise ValueError(
                "Products of the squared norms of the columns of X overflow float64 "
                f"(largest absolute value {np.abs(data).max():.1e}). Rescale X, for "
                "example with sklearn.preprocessing.StandardScaler."
            )
        raise ValueError(
            "Input X contains NaN or infinity. Remove or impute these entries."
        )

    def _raise_too_small(self):
        raise ValueError(
            "The squared norms of some columns of X vanish in double precision beside "
            "the others. Rescale X, for example with "
            "sklearn.preprocessing.StandardScaler."
        )

    def target(self, y):
        """Return ``sqrt(sw) * (y - mean)`` and the mean (zero without intercept)."""
        y = np.asarray(y, dtype=np.float64)
        mean = np.zeros(y.shape[1:])
        centered = y
        if self.fit_intercept and len(y):
            share = np.full(self.n_samples, 1.0 / self.n_samples)
            if self.is_weighted:
                share = self.weights / self.total
            mean = share @ y
            # The second pass finds what the first lost where y is far from zero,
            # and a constant y is centered exactly.
            mean = mean + share @ (y - mean)
            mean = np.where((y == y[:1]).all(axis=0), y[0], mean)
            centered = y - mean
        if self.is_weighted:
            roots = self.roots if y.ndim == 1 else self.roots[:, None]
            centered = centered * roots
        return centered, mean

    def correlations(self, residual, columns=None, out=None):
        """Return the products of the (listed) columns with a residual vector.

        Entries of `out` that belong to other columns are left as they are.
        """
        if residual.ndim == 2:
            return self._many_correlations(residual, columns, out)
        v = self.roots * residual if self.is_weighted else residual
        v_sum = float(v.sum()) if self.fit_intercept else 0.0
        if columns is None:
            columns = self.all_columns
        if out is None:
            out = np.empty(self.n_features)
        self._correlations(
            read_only(np.ascontiguousarray(v)), v_sum, read_only(columns), out
        )
        return out

    def _many_correlations(self, residuals, columns, out):
        if out is None:
            out = np.empty((self.n_features, residuals.shape[1]))
        for t in range(residuals.shape[1]):
            column = np.ascontiguousarray(out[:, t])
            out[:, t] = self.correlations(residuals[:, t], columns, column)
        return out

    def block(self, columns):
        """Return some columns, centered and weighted, as a dense F-ordered array."""
        out = np.empty((self.n_samples, len(columns)), order="F")
        self.gather(columns, out, 0)
        return out

    def center_dot(self, columns, w):
        """Return the products of the columns' true centers with coefficients.

        Both in the units of the X that was given.
        """
        centers, w = self.means[columns], w.T
        if self._standardization is not None:
            parts = self._standardization.offset, self._standardization.rest
            centers = np.concatenate([centers, *(part[columns] for part in parts)])
            w = np.tile(w, 3)
        centers = centers * self.unit
        return dot(centers, w) if w.ndim == 1 else dots(centers, w)

    def intercept(self, y_mean, columns, w):
        """Return the intercept that belongs to coefficients w on `columns`.

        All in the units of the X that was given.
        """
        if not self.fit_intercept:
            return np.zeros_like(y_mean)
        return y_mean - self.center_dot(columns, w)


class _DenseDesign(Design):
    def __init__(self, X, sample_weight, fit_intercept):
        X = np.asfortranarray(X)
        super().__init__(read_only(X), sample_weight, fit_intercept)
        self.X = read_only(self.X)

    def _centered(self, standardization):
        return read_only(np.asfortranarray(standardization.apply(self.X)))

    def _movable(self, columns):
        return np.ones(len(columns), dtype=bool)

    def _constant(self, columns):
        X = self.X
        return np.array([bool((X[:, j] == X[0, j]).all()) for j in columns], dtype=bool)

    def _moments(self, sums, squares):
        kernels.dense_moments(self.X, self.weights, sums, squares)

    def _correlations(self, v, v_sum, columns, out):
        kernels.dense_correlations(self.X, v, v_sum, self.means, columns, out)

    def _many_correlations(self, residuals, columns, out):
        if columns is not None or self.X.dtype != np.float64:
            return super()._many_correlations(residuals, columns, out)
        v = self.roots[:, None] * residuals if self.is_weighted else residuals
        products = self.X.T @ v
        if self.fit_intercept:
            products -= np.outer(self.means, v.sum(axis=0))
        if out is None:
            return products
        out[...] = products
        return out

    def gather(self, columns, out, start):
        """Write the listed columns into F-ordered `out` from column `start` on."""
        kernels.dense_gather(
            self.X, read_only(columns), self.means, self.roots, out, start
        )

    def product(self, columns, w):
        """Return the sum of the listed columns times w, shape (n_samples,)."""
        out = self.X[:, columns] @ w - self.means[columns] @ w
        if self.is_weighted:
            out *= self.roots if out.ndim == 1 else self.roots[:, None]
        return out


class MomentDesign(_DenseDesign):
    """Few rows that have the products of many: a square root of their moments.

    Parameters
    ----------
    root : ndarray of shape (n_rows, n_features)
    centers : ndarray of shape (n_features,) or None
        What the columns were centered on; None without an intercept.
    """

    def __init__(self, root, centers):
        super().__init__(root, None, False)
        self.centers = centers

    def center_dot(self, columns, w):
        if self.centers is None:
            return 0.0 if w.ndim == 1 else np.zeros(w.shape[1])
        if w.ndim == 1:
            return dot(self.centers[columns], w)
        return dots(self.centers[columns], w.T)

    def intercept(self, y_mean, columns, w):
        if self.centers is None:
            return np.zeros_like(y_mean)
        return y_mean - self.center_dot(columns, w)


class _CSCDesign(Design):
    is_sparse = True
    _offset_limit = _SPARSE_OFFSET_LIMIT

    def __init__(self, X, sample_weight, fit_intercept):
        super().__init__(X, sample_weight, fit_intercept)
        data, self.indices, self.indptr = read_only_triple(self.X)
        self.chain = int(np.diff(self.indptr).max(initial=0)) + 16
        # The solver multiplies by row roots at every touch, so the scaled values
        # are kept (one array of nnz entries; the index arrays are shared).
        if self.is_weighted or data.dtype != np.float64:
            scaled = data.astype(np.float64)
            if self.is_weighted:
                kernels.csc_scale_rows(data, self.indices, self.roots, scaled)
            data = read_only(scaled)
        self.data = data
        full = X.nnz >= _FULL_COLUMNS * self.n_samples * self.n_features
        held = 8.0 * self.n_samples * min(4096, self.n_features)
        self.prefers_gram = bool(full and held <= _GATHER_BYTES)

    @cached_property
    def matrix(self):
        """The scaled columns as a CSC array; their means are not taken off."""
        triple = (self.data, self.indices, self.indptr)
        return sparse.csc_array(triple, shape=self.X.shape)

    def _centered(self, standardization):
        # Only full columns can be far from zero, and they can be moved where they are.
        return standardization.apply(self.X)

    def _movable(self, columns):
        return np.diff(self.X.indptr)[columns] == self.n_samples

    def _constant(self, columns):
        # A column with structural zeros is constant only if all of it is zero.
        data, indptr = self.X.data, self.X.indptr
        stored = [data[indptr[j] : indptr[j + 1]] for j in columns]
        full = np.array([len(x) == self.n_samples for x in stored], dtype=bool)
        level = np.array([bool((x == x[:1]).all()) for x in stored], dtype=bool)
        empty = np.array([not x.any() for x in stored], dtype=bool)
        return (full & level) | empty

    def gather(self, columns, out, start):
        """Write the listed columns into F-ordered `out` from column `start` on."""
        for k, j in enumerate(columns, start):
            out[:, k] = -self.means[j] * (self.roots if self.is_weighted else 1.0)
            stored = slice(self.indptr[j], self.indptr[j + 1])
            out[self.indices[stored], k] += self.data[stored]

    def _moments(self, sums, squares):
        kernels.csc_moments(*read_only_triple(self.X), self.weights, sums, squares)

    def correlations(self, residual, columns=None, out=None):
        if residual.ndim == 2:
            return self._many_correlations(residual, columns, out)
        total = 0.0
        if self.fit_intercept:
            total = self.roots @ residual if self.is_weighted else residual.sum()
        if columns is None:
            columns = self.all_columns
        if out is None:
            out = np.empty(self.n_features)
        kernels.csc_correlations(
            self.data,
            self.indices,
            self.indptr,
            read_only(np.ascontiguousarray(residual)),
            float(total),
            self.means,
            read_only(columns),
            out,
        )
        return out

    def _many_correlations(self, residuals, columns, out):
        if columns is not None:
            return super()._many_correlations(residuals, columns, out)
        products = self.matrix.T @ residuals
        if self.fit_intercept:
            roots = self.roots if self.is_weighted else np.ones(self.n_samples)
            products -= np.outer(self.means, roots @ residuals)
        if out is None:
            return products
        out[...] = products
        return out

    def shifted(self, u, shift):
        """Return ``u + s shift'`` with s the roots (ones when unweighted)."""
        if not np.any(shift):
            return u
        if not self.is_weighted:
            return u + shift
        return u + (self.roots * shift if u.ndim == 1 else np.outer(self.roots, shift))

    def product(self, columns, w):
        """Return the sum of the listed columns times w, shape (n_samples,)."""
        w = np.asarray(w)
        if w.ndim == 2:
            return np.column_stack([self.product(columns, col) for col in w.T])
        out = np.zeros(self.n_samples)
        shift = kernels.csc_product(
            self.data,
            self.indices,
            self.indptr,
            self.means,
            read_only(columns),
            read_only(np.ascontiguousarray(w)),
            out,
        )
        return self.shifted(out, shift)
