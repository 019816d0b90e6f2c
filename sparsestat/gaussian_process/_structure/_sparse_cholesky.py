"""Sparse positive definite systems by SuperLU: determinant, inverse on the pattern.

Nothing n x n is made. The factorization C = P' L D L' P keeps to the diagonal, so that
it is Cholesky's; its fill depends on the ordering (minimum degree of C + C').
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from sparsestat._utils.arithmetic import EPS
from sparsestat._utils.validation import read_only

__all__ = ["DenseCholesky", "SparseCholesky", "close_pairs", "radius_for_neighbors"]


def close_pairs(X, support):
    """Return the pairs of points within a radius, every pair once.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Points.
    support : ndarray of shape (1,) or (n_features,)
        Radius, or half-axes of an ellipsoid.

    Returns
    -------
    first, second : ndarray of int
        Indices, the first smaller than the second.
    """
    with np.errstate(over="ignore"):
        shares = X / support
    if not np.abs(shares).max() < 1e150:
        raise ValueError(
            f"The support {np.min(support):.0e} is no distance between points of which "
            f"the largest coordinate is {np.abs(X).max():.0e}."
        )
    pairs = cKDTree(shares).query_pairs(1.0, output_type="ndarray")
    return pairs[:, 0], pairs[:, 1]


def radius_for_neighbors(X, neighbors, random_state, *, n_probes=2000):
    """Return the radius within which a point has so many others, on average.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Points.
    neighbors : int
        Mean number of other points in the radius.
    random_state : RandomState
        Chooses the points that are asked, where there are more than `n_probes`.
    n_probes : int, default=2000
        Largest number of points that are asked.

    Returns
    -------
    radius : float
        Positive; the extent of the data where there are fewer points.
    """
    n = len(X)
    probes = X
    if n > n_probes:
        probes = X[random_state.choice(n, n_probes, replace=False)]
    tree = cKDTree(X)
    # Points in dense places have more neighbors than the mean within the radius.
    asked = min(n, 4 * neighbors + 1)
    distances = np.sort(tree.query(probes, asked)[0], axis=None)
    wanted = min(len(probes) * (neighbors + 1), distances.size) - 1
    radius = float(distances[wanted])
    if radius > 0:
        return radius * (1.0 + 1e-9)
    extent = float(np.ptp(X, axis=0).max(initial=0.0))
    return extent if extent > 0 else 1.0


class SparseCholesky:
    """A factorization P C P' = L D L' of a sparse symmetric matrix.

    Parameters
    ----------
    C : csc_array of shape (n, n)
        Symmetric, both triangles stored.

    Attributes
    ----------
    log_det : float
        Logarithm of the determinant.
    order : ndarray of shape (n,)
        Row i of C is row ``order[i]`` of the factor.
    pivots : ndarray of shape (n,)
        The diagonal of D.
    factor : csc_array of shape (n, n)
        L, with sorted rows.

    Raises
    ------
    numpy.linalg.LinAlgError
        If C is not positive definite to working precision.
    """

    def __init__(self, C):
        self.matrix = C
        try:
            # SuperLU wants 32-bit indices.
            self._lu = splu(
                C,
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
        except RuntimeError as error:  # "Factor is exactly singular"
            raise np.linalg.LinAlgError(_INDEFINITE.format(0.0)) from error
        self.order = self._lu.perm_c
        self.pivots = np.ascontiguousarray(self._lu.U.diagonal())
        smallest = float(self.pivots.min())
        if not smallest > 0 or (self._lu.perm_r != self.order).any():
            raise np.linalg.LinAlgError(_INDEFINITE.format(smallest))
        self.log_det = float(np.log(self.pivots).sum())
        self._factor = self._inverse = None

    def solve(self, B):
        """Return C^-1 B, corrected once by the residual."""
        X = self._lu.solve(B)
        return X + self._lu.solve(B - self.matrix @ X)

    @property
    def n_nonzeros(self):
        """Number of entries of C."""
        return int(self.matrix.nnz)

    @property
    def fill(self):
        """Number of entries of L."""
        return int(self.factor.nnz)

    @property
    def factor(self):
        """L as a CSC array whose pattern is closed."""
        if self._factor is None:
            L = sparse.csc_array(self._lu.L)
            L.sort_indices()
            self._factor = _closed(L)
        return self._factor

    def _triple(self):
        L = self.factor
        return read_only(L.data), read_only(L.indices), read_only(L.indptr)

    def inverse_entries(self, rows, columns):
        """Return entries of C^-1 within the pattern of C.

        Parameters
        ----------
        rows, columns : ndarray of int
            Where C is stored.

        Returns
        -------
        entries : ndarray
            Of the inverse.
        """
        from sparsestat.gaussian_process._structure import _kernels_compact as kernels

        data, indices, indptr = self._triple()
        if self._inverse is None:
            self._inverse = kernels.selected_inverse(
                data, indices, indptr, read_only(self.pivots)
            )
        i, j = self.order[rows], self.order[columns]
        return kernels.gather(
            read_only(self._inverse),
            indices,
            indptr,
            read_only(np.maximum(i, j)),
            read_only(np.minimum(i, j)),
        )

    def explained(self, K):
        """Return k' C^-1 k for every row k of a CSR array."""
        from sparsestat.gaussian_process._structure import _kernels_compact as kernels

        data, indices, indptr = self._triple()
        return kernels.explained(
            data,
            indices,
            indptr,
            read_only(self.pivots),
            read_only(K.data),
            read_only(self.order[K.indices]),
            read_only(K.indptr),
        )

    def sample(self, n_samples, random_state):
        """Draw from N(0, C).

        Parameters
        ----------
        n_samples : int
            Number of draws.
        random_state : RandomState
            Source of the normals.

        Returns
        -------
        samples : ndarray of shape (n, n_samples)
            One draw in each column.
        """
        Z = random_state.standard_normal((len(self.pivots), n_samples))
        Z *= np.sqrt(self.pivots)[:, None]
        return (self.factor @ Z)[self.order]


class DenseCholesky:
    """The same of a matrix in which most pairs are near, by LAPACK.

    Parameters
    ----------
    C : ndarray of shape (n, n)
        Symmetric.

    Raises
    ------
    numpy.linalg.LinAlgError
        If C is not positive definite to working precision.
    """

    def __init__(self, C):
        self.matrix = C
        self._root = np.linalg.cholesky(C)
        pivots = self._root.diagonal() ** 2
        if pivots.min() <= EPS * len(C) * C.diagonal().max():
            raise np.linalg.LinAlgError(_INDEFINITE.format(float(pivots.min())))
        self.log_det = float(np.log(pivots).sum())
        self.n_nonzeros = int(np.count_nonzero(C))
        self.fill = len(C) * (len(C) + 1) // 2
        self._inverse = None

    def _half(self, B, trans="N"):
        return solve_triangular(
            self._root, B, lower=True, trans=trans, check_finite=False
        )

    def solve(self, B):
        """Return C^-1 B, corrected once by the residual."""
        X = self._half(self._half(B), "T")
        return X + self._half(self._half(B - self.matrix @ X), "T")

    def inverse_entries(self, rows, columns):
        """Return entries of C^-1."""
        if self._inverse is None:
            half = self._half(np.eye(len(self._root)))
            self._inverse = half.T @ half
        return self._inverse[rows, columns]

    def explained(self, K):
        """Return k' C^-1 k for every row k of a CSR array."""
        out = np.empty(K.shape[0])
        for start in range(0, K.shape[0], _ROWS):
            rows = slice(start, start + _ROWS)
            out[rows] = np.sum(self._half(K[rows].toarray().T) ** 2, axis=0)
        return out

    def sample(self, n_samples, random_state):
        """Draw from N(0, C), one draw in each column."""
        return self._root @ random_state.standard_normal((len(self._root), n_samples))


_ROWS = 1024  # right-hand sides solved at once
_INDEFINITE = (
    "The sparse covariance is not positive definite: its smallest pivot is {:.3e}. "
    "Raise the noise variance, or check that the kernel is positive definite in the "
    "dimension of the data."
)


def _closed(L):
    """Put back entries of the pattern that canceled to zero and were dropped."""
    from sparsestat.gaussian_process._structure import _kernels_compact as kernels

    while not kernels.is_closed(read_only(L.indices), read_only(L.indptr)):
        n = L.shape[0]
        first = L.indptr[:-1] + 1
        has_parent = first < L.indptr[1:]
        parent = np.full(n, -1)
        parent[has_parent] = L.indices[first[has_parent]]
        columns = np.repeat(np.arange(n), np.diff(L.indptr))
        # Every entry (i, j) below the diagonal asks for the entry (i, parent of j).
        wanted = L.indices > columns
        rows, columns = L.indices[wanted], parent[columns[wanted]]
        extra = sparse.csc_array((np.zeros(len(rows)), (rows, columns)), shape=L.shape)
        L = _union(L, extra)
    return L


def _union(L, extra):
    """Add entries to a pattern with the value zero (scipy would drop them)."""
    both = L.tocoo(), extra.tocoo()
    out = sparse.csc_array(
        (
            np.concatenate([b.data for b in both]),
            (
                np.concatenate([b.row for b in both]),
                np.concatenate([b.col for b in both]),
            ),
        ),
        shape=L.shape,
    )
    out.sum_duplicates()
    out.sort_indices()
    return out
