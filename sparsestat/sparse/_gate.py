"""What the public kernels accept, and the form in which they give it back."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat._utils.validation import as_compressed

__all__ = [
    "as_csr",
    "build",
    "check_dense",
    "check_inner",
    "common_dtype",
    "compress",
    "is_csc",
    "matrix",
    "refuse_complex_type",
]

_FLOATS = (np.float32, np.float64, np.complex64, np.complex128)


def as_csr(X, *, dtype=None, sort=True, sum_duplicates=True, copy=False):
    """Return X as a checked CSR array, ready for compiled kernels.

    Compiled code does not check bounds, so index arrays that were built by hand
    are checked here, once, in one pass over the entries.

    Parameters
    ----------
    X : {array-like, sparse matrix, sparse array} of shape (n_rows, n_columns)
        The input, never modified. Any sparse format, or a dense array.
    dtype : dtype, default=None
        Type of the values. None keeps floating and complex types and turns
        booleans and integers into float64.
    sort : bool, default=True
        Sort the column indices within each row.
    sum_duplicates : bool, default=True
        Add up entries that stand at the same place. Implies sorting.
    copy : bool, default=False
        Never share memory with X.

    Returns
    -------
    X : csr_array of shape (n_rows, n_columns)
        Shares memory with the input wherever nothing had to change. Indices and
        row pointers have one type: int32 when the shape and the number of entries
        allow it, int64 otherwise. Explicit zeros are kept.

    Raises
    ------
    TypeError
        If the entries are objects or strings.
    ValueError
        If X is not two-dimensional, or its index arrays are inconsistent.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_matrix
    >>> from sparsestat.sparse import as_csr
    >>> X = csr_matrix(
    ...     (np.array([1, 2, 3]), np.array([2, 0, 2]), np.array([0, 3])), shape=(1, 3)
    ... )
    >>> as_csr(X).indices, as_csr(X).data  # sorted, summed, in float64
    (array([0, 2], dtype=int32), array([2., 4.]))
    """
    out = as_compressed(X, "csr", dtype=dtype, sort=sort, sum_duplicates=sum_duplicates)
    return out.copy() if copy else out


def common_dtype(*operands):
    """Return the type in which a product of the operands is computed.

    Single, double and complex types as numpy promotes them; booleans and integers
    among themselves in int64, which is exact; everything else in float64.
    """
    dtype = np.result_type(*(operand.dtype for operand in operands))
    if dtype.type in _FLOATS:
        return dtype
    if dtype.kind in "bi" or (dtype.kind == "u" and dtype.itemsize < 8):
        return np.dtype(np.int64)
    if dtype.kind == "c":
        return np.dtype(np.complex128)
    return np.dtype(np.float64)


def is_csc(X):
    """Whether X is stored by columns."""
    return sparse.issparse(X) and X.format == "csc"


def compress(X, layout, dtype, *, canonical=True):
    """Pass X through the gate in a chosen layout and value type."""
    return as_compressed(
        X, layout, dtype=dtype, sort=canonical, sum_duplicates=canonical
    )


def numeric(X, name):
    """Return X as something with a numeric dtype, or raise TypeError."""
    if not sparse.issparse(X):
        X = np.asarray(X)
    if X.dtype.kind not in "biufc":
        raise TypeError(
            f"{name} has dtype {X.dtype}, but numeric entries are required. Convert "
            "with .astype(float)."
        )
    return X


def matrix(X, name):
    """Return X as a numeric matrix, or raise TypeError or ValueError."""
    X = numeric(X, name)
    if X.ndim != 2:
        raise ValueError(
            f"{name} must be a two-dimensional matrix, got shape {X.shape}."
        )
    return X


def refuse_complex_type(X, function):
    """Raise TypeError where an order or a size comparison has no complex meaning."""
    if X.dtype.kind == "c":
        raise TypeError(
            f"{function} does not accept complex entries, got dtype {X.dtype}. Pass "
            "abs(X), or the real and imaginary parts one by one."
        )
    return X


def check_dense(B, name, *, ndim=(1, 2)):
    """Return B as a dense numeric array with one of the given dimensions."""
    if sparse.issparse(B):
        raise TypeError(
            f"{name} is sparse, but a dense array is required. Use spgemm for the "
            f"product of two sparse matrices, or {name}.toarray()."
        )
    B = numeric(B, name)
    if B.ndim not in ndim:
        raise ValueError(
            f"{name} must have {' or '.join(map(str, ndim))} dimensions, got shape "
            f"{B.shape}."
        )
    return B


def check_inner(left, right, operation):
    """Raise ValueError unless the inner dimensions agree; both shapes are named."""
    if left[1] != right[0]:
        raise ValueError(
            f"{operation}: shapes {left} and {right} do not fit together: "
            f"{left[1]} columns against {right[0]} rows."
        )


def build(data, indices, indptr, shape, like, *, layout="csr", sort=True):
    """Wrap arrays as a matrix or an array, whichever `like` is."""
    use_matrix = sparse.issparse(like) and not isinstance(like, sparse.sparray)
    name = f"{layout}_{'matrix' if use_matrix else 'array'}"
    out = getattr(sparse, name)((data, indices, indptr), shape=shape, copy=False)
    if sort:
        out.has_canonical_format = True
    return out
