"""Euclidean projections onto sets of structured matrices."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np

from sparsestat._utils.compat import Interval, validate_params
from sparsestat._utils.validation import read_only
from sparsestat.decomposition import _kernels_select as kernels
from sparsestat.decomposition._codes import check_matrix
from sparsestat.sparse._kernels_structure import kth_largest

__all__ = ["project_nm", "project_spectral_ball", "project_stiefel", "project_topk"]


@validate_params(
    {"M": ["array-like"], "k": [Interval(Integral, 0, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def project_topk(M, k):
    """Keep the k entries of largest magnitude of a whole matrix.

    The Euclidean projection onto the matrices with at most k entries other than
    zero.

    Parameters
    ----------
    M : array-like of shape (n_rows, n_columns)
        The matrix.
    k : int
        Number of entries to keep; at least the size of M keeps all.

    Returns
    -------
    P : ndarray of shape (n_rows, n_columns)
        The projection. Of equal magnitudes the first in row order are kept.

    See Also
    --------
    abs_topk_code : The k largest of each row.
    project_nm : The N largest of every M neighbors.

    Examples
    --------
    >>> from sparsestat.decomposition import project_topk
    >>> project_topk([[3.0, -5.0], [1.0, 2.0]], 2)
    array([[ 3., -5.],
           [ 0.,  0.]])
    """
    M = check_matrix(M, "M")
    if k >= M.size:
        return M.copy()
    out, flat = np.zeros(M.size, dtype=M.dtype), M.ravel()
    kept = places_of_largest(flat, k)
    out[kept] = flat[kept]
    return out.reshape(M.shape)


def places_of_largest(values, k):
    """Return where the k entries of largest magnitude stand; of equal ones the first.

    Those at the smallest magnitude that is kept come last.
    """
    if k == 0:
        return np.zeros(0, dtype=np.intp)
    size = np.abs(values)
    bar = kth_largest(size.copy(), k)
    above = np.flatnonzero(size > bar)
    return np.append(above, np.flatnonzero(size == bar)[: k - len(above)])


@validate_params(
    {
        "W": ["array-like"],
        "n": [Interval(Integral, 0, None, closed="left")],
        "m": [Interval(Integral, 1, None, closed="left")],
        "axis": [Integral],
        "importance": ["array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def project_nm(W, n=2, m=4, *, axis=-1, importance=None):
    r"""Keep the N largest magnitudes of every M neighbors.

    The Euclidean projection onto N:M sparse matrices; with `importance` the one in
    the norm :math:`\sum_{ij} \omega_{ij} (W_{ij} - P_{ij})^2`.

    Parameters
    ----------
    W : array-like of shape (n_rows, n_columns)
        The matrix. float32 stays float32.
    n : int, default=2
        Number of entries kept in each group.
    m : int, default=4
        Size of the groups; divides the length of the axis.
    axis : int, default=-1
        Axis along which entries are grouped.
    importance : array-like, default=None
        Non-negative weights omega, of the shape of W or broadcast to it.

    Returns
    -------
    P : ndarray of shape (n_rows, n_columns)
        The projection. Of equal magnitudes the first are kept.

    See Also
    --------
    project_topk : No groups.

    Notes
    -----
    One pass over W; 2:4 has a loop of its own.

    Examples
    --------
    >>> from sparsestat.decomposition import project_nm
    >>> project_nm([[3.0, -5.0, 1.0, 4.0]])
    array([[ 0., -5.,  0.,  4.]])
    """
    W = check_matrix(W, "W")
    if axis not in (-2, -1, 0, 1):
        raise ValueError(f"axis={axis} is out of range for a matrix: use 0 or 1.")
    length = W.shape[axis]
    if length % m:
        raise ValueError(
            f"m={m} does not divide the {length} entries along axis {axis}. Pad W "
            "with zeros or choose another m."
        )
    if n > m:
        raise ValueError(f"n={n} exceeds m={m}: at most m of m can be kept.")
    weights = None
    if importance is not None:
        weights = np.asarray(importance, dtype=W.dtype)
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise ValueError("importance must be finite and non-negative.")
        try:
            weights = np.broadcast_to(weights, W.shape)
        except ValueError as error:
            raise ValueError(
                f"importance has shape {weights.shape}, which does not broadcast to "
                f"the shape {W.shape} of W."
            ) from error
    turned = axis in (0, -2)
    if turned:
        W = np.ascontiguousarray(W.T)
        weights = None if weights is None else weights.T
    out = np.empty_like(W)
    flat = read_only(W.ravel())
    if weights is None and (n, m) == (2, 4):
        kernels.keep_two_of_four(flat, out.ravel())
    else:
        scores = np.abs(W)
        if weights is not None:
            # Square roots: squares of small float32 entries would become ties.
            scores *= np.sqrt(weights)
        kernels.keep_n_of_m(flat, read_only(scores.ravel()), n, m, out.ravel())
    return np.ascontiguousarray(out.T) if turned else out


@validate_params(
    {"M": ["array-like"], "radius": [Interval(Real, 0, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def project_spectral_ball(M, radius=1.0):
    """Clip the singular values of a matrix.

    The Euclidean projection onto the matrices of spectral norm at most `radius`.

    Parameters
    ----------
    M : array-like of shape (n_rows, n_columns)
        The matrix.
    radius : float, default=1.0
        Largest singular value allowed.

    Returns
    -------
    P : ndarray of shape (n_rows, n_columns)
        The projection.

    See Also
    --------
    project_stiefel : Sets all singular values to one.

    Examples
    --------
    >>> from sparsestat.decomposition import project_spectral_ball
    >>> project_spectral_ball([[3.0, 0.0], [0.0, 0.5]])
    array([[1. , 0. ],
           [0. , 0.5]])
    """
    M = check_matrix(M, "M")
    U, s, Vt = np.linalg.svd(M, full_matrices=False)
    return (U * np.minimum(s, s.dtype.type(radius))) @ Vt


@validate_params({"M": ["array-like"]}, prefer_skip_nested_validation=True)
def project_stiefel(M):
    """Return the closest matrix with orthonormal rows (or columns).

    The polar factor ``U V^T`` of ``M = U diag(s) V^T``: rows are orthonormal when M
    is wide, columns when it is tall. Where M is rank deficient the projection is
    not unique and one of them is returned.

    Parameters
    ----------
    M : array-like of shape (n_rows, n_columns)
        The matrix.

    Returns
    -------
    P : ndarray of shape (n_rows, n_columns)
        The projection.

    See Also
    --------
    project_spectral_ball : Clips singular values instead.
    scipy.linalg.polar : Also returns the other factor.

    Examples
    --------
    >>> from sparsestat.decomposition import project_stiefel
    >>> project_stiefel([[2.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """
    U, _, Vt = np.linalg.svd(check_matrix(M, "M"), full_matrices=False)
    return U @ Vt
