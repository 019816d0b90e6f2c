"""Selections, norms and Laplacians of sparse matrices."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator

from sparsestat._utils.validation import read_only, read_only_triple
from sparsestat.sparse._gate import (
    build,
    compress,
    is_csc,
    numeric,
    refuse_complex_type,
)

__all__ = ["laplacian", "normalize_rows", "row_norms", "sparsify", "topk_rows"]

_NORMS = {1: 1, 2: 2, np.inf: 0}


def _real_csr(X, function, *, layout="csr", allow_nan=True):
    """Return X as a canonical CSR (or CSC) array of floats."""
    X = refuse_complex_type(numeric(X, "X"), function)
    dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.float64
    out = compress(X, layout, dtype)
    if not allow_nan and np.isnan(out.data).any():
        raise ValueError(
            f"{function}: X contains NaN, which has no place in an order. Remove or "
            "impute these entries."
        )
    return out


def _back(X, triple, like):
    """Wrap a CSR triple in the format of `like`: CSC stays CSC."""
    out = build(*triple, X.shape, like)
    return out.tocsc() if is_csc(like) else out


def topk_rows(X, k, *, by="value"):
    """Keep the largest entries of every row.

    Parameters
    ----------
    X : {sparse matrix, sparse array, array-like} of shape (n, m)
        Only stored entries compete; implicit zeros do not.
    k : int
        How many to keep per row; rows with fewer entries stay whole.
    by : {"value", "abs"}, default="value"
        Compare entries or their absolute values. Of equal ones those in lower
        columns are kept.

    Returns
    -------
    out : sparse matrix or sparse array of shape (n, m)
        With sorted rows, in the format of X (CSR unless X is CSC).

    Raises
    ------
    TypeError
        If X is complex or not numeric.
    ValueError
        If X contains NaN, k is negative or `by` is unknown.

    See Also
    --------
    sparsify : Keep the largest entries of the whole matrix.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from sparsestat.sparse import topk_rows
    >>> topk_rows(csr_array([[3.0, -5.0, 4.0]]), 2, by="abs").toarray()
    array([[ 0., -5.,  4.]])
    """
    from sparsestat.sparse import _kernels_structure as kernels

    if isinstance(k, bool) or not isinstance(k, Integral) or k < 0:
        raise ValueError(f"k must be a non-negative integer, got {k!r}.")
    if by not in ("value", "abs"):
        raise ValueError(f"by must be 'value' or 'abs', got {by!r}.")
    csr = _real_csr(X, "topk_rows", allow_nan=False)
    kept = int(np.minimum(np.diff(csr.indptr), k).sum())
    data = np.empty(kept, csr.dtype)
    indices = np.empty(kept, csr.indices.dtype)
    indptr = np.zeros(csr.shape[0] + 1, csr.indptr.dtype)
    kernels.top_of_rows(
        *read_only_triple(csr), int(k), by == "abs", data, indices, indptr
    )
    return _back(csr, (data, indices, indptr), X)


def sparsify(X, *, keep=None, threshold=None):
    """Drop the small entries of a matrix.

    Parameters
    ----------
    X : {sparse matrix, sparse array, array-like} of shape (n, m)
        The input, never modified.
    keep : int, default=None
        Keep this many entries, the largest in absolute value; exactly as many, if
        there are as many. Of equal ones those stored first are kept, row by row
        (column by column for CSC).
    threshold : float, default=None
        Drop entries with absolute value at most this. Give one of the two.

    Returns
    -------
    out : sparse matrix or sparse array of shape (n, m)
        In the format of X (CSR unless X is CSC).

    Raises
    ------
    TypeError
        If X is complex or not numeric.
    ValueError
        If X contains NaN, or not exactly one of `keep` and `threshold` is given,
        or it is negative.

    See Also
    --------
    topk_rows : Keep the largest entries of every row.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from sparsestat.sparse import sparsify
    >>> sparsify(csr_array([[3.0, -5.0], [1.0, 4.0]]), keep=2).toarray()
    array([[ 0., -5.],
           [ 0.,  4.]])
    """
    if (keep is None) == (threshold is None):
        raise ValueError("Give exactly one of keep and threshold.")
    layout = "csc" if is_csc(X) else "csr"
    csr = _real_csr(X, "sparsify", layout=layout, allow_nan=False)
    size = np.abs(csr.data)
    if threshold is not None:
        if not threshold >= 0:
            raise ValueError(f"threshold must not be negative, got {threshold!r}.")
        mask = size > threshold
    else:
        if isinstance(keep, bool) or not isinstance(keep, Integral) or keep < 0:
            raise ValueError(f"keep must be a non-negative integer, got {keep!r}.")
        mask = _largest(size, int(keep))
    before = np.zeros(csr.nnz + 1, csr.indptr.dtype)
    np.cumsum(mask, out=before[1:])
    return build(
        csr.data[mask],
        csr.indices[mask],
        before[csr.indptr],
        csr.shape,
        X,
        layout=layout,
    )


def _largest(size, keep):
    """Return the mask of the `keep` largest values, of equal ones the first."""
    if keep >= len(size):
        return np.ones(len(size), dtype=bool)
    if keep == 0:
        return np.zeros(len(size), dtype=bool)
    cut = np.partition(size, len(size) - keep)[len(size) - keep]
    mask = size > cut
    ties = np.flatnonzero(size == cut)
    mask[ties[: keep - np.count_nonzero(mask)]] = True
    return mask


def row_norms(X, p=2):
    """Return the norm of every row.

    Parameters
    ----------
    X : {sparse matrix, sparse array, array-like} of shape (n, m)
        Duplicate entries are summed first, in a copy.
    p : {1, 2, inf}, default=2
        Sum of absolute values, Euclidean norm, or largest absolute value.

    Returns
    -------
    norms : ndarray of shape (n,)
        In double precision, whatever the type of X. Squares that would overflow or
        vanish are scaled first.

    Raises
    ------
    TypeError
        If X is complex or not numeric.
    ValueError
        If `p` is none of the three.

    See Also
    --------
    normalize_rows : Divide the rows by their norms.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from sparsestat.sparse import row_norms
    >>> row_norms(csr_array([[3.0, 4.0], [0.0, 0.0]]))
    array([5., 0.])
    """
    from sparsestat.sparse import _kernels_structure as kernels

    code = _norm_code(p)
    csr = _real_csr(X, "row_norms")
    return kernels.norms_of_rows(read_only(csr.data), read_only(csr.indptr), code)


def _norm_code(p):
    if p not in _NORMS:
        raise ValueError(f"p must be 1, 2 or inf, got {p!r}.")
    return _NORMS[p]


def normalize_rows(X, p=2):
    """Divide every row by its norm; zero rows stay zero.

    Parameters
    ----------
    X : {sparse matrix, sparse array, array-like} of shape (n, m)
        The input, never modified.
    p : {1, 2, inf}, default=2
        Which norm, as in :func:`row_norms`.

    Returns
    -------
    out : sparse matrix or sparse array of shape (n, m)
        In the format of X (CSR unless X is CSC), single or double precision.

    Raises
    ------
    TypeError
        If X is complex or not numeric.
    ValueError
        If `p` is none of the three.

    See Also
    --------
    row_norms : The norms alone.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from sparsestat.sparse import normalize_rows
    >>> normalize_rows(csr_array([[3.0, 4.0], [0.0, 0.0]])).toarray()
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    from sparsestat.sparse import _kernels_structure as kernels

    code = _norm_code(p)
    csr = _real_csr(X, "normalize_rows")
    indptr = read_only(csr.indptr)
    norms = kernels.norms_of_rows(read_only(csr.data), indptr, code)
    data = np.empty_like(csr.data)
    kernels.scale_rows(read_only(csr.data), indptr, read_only(norms), data)
    return _back(csr, (data, csr.indices.copy(), csr.indptr.copy()), X)


def laplacian(W, *, kind="combinatorial", as_operator=False):
    r"""Return the Laplacian of a graph.

    With the degrees :math:`D = \mathrm{diag}(\sum_j W_{ij})`,

    .. math::
        L = D - W, \quad
        L_{sym} = I - D^{-1/2} W D^{-1/2}, \quad
        L_{rw} = I - D^{-1} W .

    Parameters
    ----------
    W : {sparse matrix, sparse array, array-like} of shape (n, n)
        Adjacency matrix; entry (i, j) is the weight of the arc from i to j. Loops
        cancel in the combinatorial Laplacian and stay in the normalized ones.
    kind : {"combinatorial", "sym", "rw"}, default="combinatorial"
        Which of the three.
    as_operator : bool, default=False
        Return a linear operator that multiplies without assembling the matrix.

    Returns
    -------
    L : sparse matrix, sparse array or LinearOperator of shape (n, n)
        A matrix is in the format of W (CSR unless W is CSC). Isolated nodes have
        zero rows, the diagonal included.

    Raises
    ------
    TypeError
        If W is complex or not numeric.
    ValueError
        If W is not square, or a degree is negative and `kind` normalizes by it.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from sparsestat.sparse import laplacian
    >>> laplacian(csr_array([[0.0, 2.0], [2.0, 0.0]])).toarray()
    array([[ 2., -2.],
           [-2.,  2.]])
    """
    if kind not in ("combinatorial", "sym", "rw"):
        raise ValueError(f"kind must be 'combinatorial', 'sym' or 'rw', got {kind!r}.")
    csr = _real_csr(W, "laplacian")
    if csr.shape[0] != csr.shape[1]:
        raise ValueError(f"laplacian: W must be square, got shape {csr.shape}.")
    degrees = np.asarray(csr.sum(axis=1, dtype=np.float64)).ravel()
    if kind != "combinatorial" and degrees.size and degrees.min() < 0:
        raise ValueError(
            f"laplacian: node {int(degrees.argmin())} has the negative degree "
            f"{degrees.min()}, so that kind={kind!r} is undefined. Use non-negative "
            "weights or kind='combinatorial'."
        )
    # L = diag(diagonal) - diag(left) W diag(right)
    linked = degrees != 0
    diagonal, left, right = degrees, None, None
    if kind != "combinatorial":
        diagonal = linked.astype(np.float64)
        inverse = np.zeros_like(degrees)
        inverse[linked] = 1 / degrees[linked]
        left = inverse if kind == "rw" else np.sqrt(inverse)
        right = None if kind == "rw" else left
    if as_operator:
        return _laplacian_operator(csr, diagonal, left, right)
    data = csr.data.astype(csr.dtype, copy=True)
    if left is not None:
        data *= np.repeat(left, np.diff(csr.indptr))
    if right is not None:
        data *= right[csr.indices]
    scaled = sparse.csr_array((data, csr.indices, csr.indptr), shape=csr.shape)
    out = sparse.csr_array(
        sparse.diags_array(diagonal.astype(csr.dtype), format="csr") - scaled
    )
    return _back(csr, (out.data, out.indices, out.indptr), W)


def _laplacian_operator(csr, diagonal, left, right):
    from sparsestat.sparse._dense_products import spmm, spmm_t

    def multiply(block, product, before, after):
        flat = block.ndim == 1
        block = block.reshape(len(diagonal), -1)
        moved = block if before is None else before[:, None] * block
        moved = product(csr, moved)
        if after is not None:
            moved = after[:, None] * moved
        out = diagonal[:, None] * block - moved
        return out[:, 0] if flat else out

    def forward(block):
        return multiply(block, spmm, right, left)

    def backward(block):
        return multiply(block, spmm_t, left, right)

    return LinearOperator(
        csr.shape,
        matvec=forward,
        matmat=forward,
        rmatvec=backward,
        rmatmat=backward,
        dtype=np.float64,
    )
