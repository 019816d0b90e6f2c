"""Sparse times dense: vectors, blocks, and products on a sparse pattern."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.validation import read_only, read_only_triple
from sparsestat.sparse._gate import (
    build,
    check_dense,
    check_inner,
    common_dtype,
    compress,
    is_csc,
    matrix,
    refuse_complex_type,
)
from sparsestat.sparse._threads import balanced_rows, run_shared, thread_count

__all__ = ["sddmm", "spmm", "spmm_t", "spmv"]

_SCATTER_CHUNKS = 8
_LINE = 16  # columns below which a block is not split among threads


def spmv(A, x, *, alpha=1.0, beta=0.0, y=None, n_jobs=None):
    r"""Multiply a sparse matrix with a vector: :math:`\alpha A x + \beta y`.

    Parameters
    ----------
    A : {sparse matrix, sparse array, array-like} of shape (n, m)
        CSR and CSC are used as they are, other input is converted to CSR.
    x : array-like of shape (m,)
        The vector.
    alpha : float, default=1.0
        Factor of the product.
    beta : float, default=0.0
        Factor of `y`. At zero, `y` is not read, so it may hold NaN.
    y : array-like of shape (n,), default=None
        Added vector, never modified; None stands for zero.
    n_jobs : int, default=None
        Threads; None means 1 unless a joblib context says otherwise.

    Returns
    -------
    out : ndarray of shape (n,)
        In int64 for integers and booleans with integer factors, otherwise in the
        floating or complex type to which the operands are promoted.

    Raises
    ------
    TypeError
        If entries are not numeric, or x is sparse.
    ValueError
        If the shapes do not fit.

    See Also
    --------
    spmm : Several vectors at once.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from sparsestat.sparse import spmv
    >>> spmv(csr_array([[1.0, 2.0], [0.0, 3.0]]), np.array([1.0, 1.0]), alpha=2.0)
    array([6., 6.])
    """
    from sparsestat.sparse import _kernels_dense as kernels

    A, x = matrix(A, "A"), check_dense(x, "x", ndim=(1,))
    check_inner(A.shape, x.shape, "spmv")
    operands = [A, x]
    if y is not None:
        y = check_dense(y, "y", ndim=(1,))
        if y.shape[0] != A.shape[0]:
            raise ValueError(
                f"spmv: y has shape {y.shape}, but A of shape {A.shape} needs "
                f"({A.shape[0]},)."
            )
        operands.append(y)
    elif beta != 0:
        raise ValueError(f"spmv: beta={beta} needs y. Pass y, or beta=0.")
    dtype = common_dtype(*operands)
    for factor in (alpha, beta):
        # As a Python scalar a factor widens integers, but not single precision.
        whole = not isinstance(factor, complex) and float(factor).is_integer()
        dtype = np.result_type(dtype, int(factor) if whole else factor)
    layout = "csc" if is_csc(A) else "csr"
    triple = read_only_triple(compress(A, layout, dtype, canonical=False))
    x = read_only(np.ascontiguousarray(x, dtype))
    alpha, beta = dtype.type(alpha), dtype.type(beta)
    threads = thread_count(n_jobs, len(triple[0]), enough=1_000_000)
    if layout == "csr":
        out = np.empty(A.shape[0], dtype) if y is None else np.array(y, dtype)
        run_shared(
            lambda a, b: kernels.multiply_vector(*triple, x, alpha, beta, a, b, out),
            balanced_rows(triple[2], threads),
            threads,
        )
        return out
    out = _scatter(kernels, triple, x, A.shape[0], threads)
    if alpha != 1:
        out *= alpha
    if beta != 0:
        out += beta * np.asarray(y, dtype)
    return out


def _scatter(kernels, triple, x, n_columns, threads):
    """Return A^T x from the CSR triple of A, bitwise equal for any thread count."""
    nnz = len(triple[0])
    # Pieces depend on the matrix alone, so that the order of sums does too.
    pieces = _SCATTER_CHUNKS if nnz > max(1 << 20, 32 * n_columns) else 1
    blocks = balanced_rows(triple[2], pieces, per_thread=1)
    partial = np.zeros((len(blocks), n_columns), x.dtype)
    run_shared(
        lambda k, a, b: kernels.multiply_vector_t(*triple, x, a, b, partial[k]),
        [(k, a, b) for k, (a, b) in enumerate(blocks)],
        threads,
    )
    out = partial[0]
    for k in range(1, len(blocks)):
        out += partial[k]
    return out


def _dense_operand(A, B, out, rows, name):
    """Check B and out for a block product; return them with A's common type."""
    B = check_dense(B, "B", ndim=(2,))
    dtype = common_dtype(A, B)
    shape = (rows, B.shape[1])
    if out is None:
        return B, dtype, np.empty(shape, dtype)
    if (
        not isinstance(out, np.ndarray)
        or out.shape != shape
        or out.dtype != dtype
        or not out.flags.c_contiguous
        or not out.flags.writeable
    ):
        raise ValueError(
            f"{name}: out must be a writable C-ordered {dtype} array of shape "
            f"{shape}, got {getattr(out, 'dtype', type(out))} "
            f"{getattr(out, 'shape', '')}."
        )
    if np.may_share_memory(out, B):
        raise ValueError(f"{name}: out must not share memory with B.")
    return B, dtype, out


def spmm(A, B, *, out=None, n_jobs=None):
    """Multiply a sparse matrix with a dense one.

    Parameters
    ----------
    A : {sparse matrix, sparse array, array-like} of shape (n, m)
        CSR and CSC are used as they are, other input is converted to CSR. CSR is
        the faster one here.
    B : array-like of shape (m, d)
        Dense factor. C order avoids a copy.
    out : ndarray of shape (n, d), default=None
        Where to write the result: C-ordered, of the type of the result. A reused
        array, or a numpy memmap, saves fresh memory.
    n_jobs : int, default=None
        Threads; None means 1 unless a joblib context says otherwise.

    Returns
    -------
    out : ndarray of shape (n, d)
        The product, summed in the common type of A and B.

    Raises
    ------
    TypeError
        If entries are not numeric, or B is sparse.
    ValueError
        If the shapes do not fit.

    See Also
    --------
    spmm_t : The product with the transpose.
    spgemm : Sparse times sparse.

    Notes
    -----
    Rows are shared out by their numbers of entries; a row that holds more than its
    share, a hub of a graph, is split by columns of B. Each entry is summed by one
    thread in a fixed order: the result does not depend on `n_jobs`.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from sparsestat.sparse import spmm
    >>> spmm(csr_array([[1.0, 2.0], [0.0, 3.0]]), np.eye(2))
    array([[1., 2.],
           [0., 3.]])
    """
    return _block_product(A, B, out, n_jobs, transposed=False)


def spmm_t(A, B, *, out=None, n_jobs=None):
    """Multiply the transpose of a sparse matrix with a dense one.

    The transpose is not formed: entries of A are scattered into the result, each
    thread working on its own columns of B.

    Parameters
    ----------
    A : {sparse matrix, sparse array, array-like} of shape (n, m)
        CSR and CSC are used as they are, other input is converted to CSR. CSC is
        the faster one here.
    B : array-like of shape (n, d)
        Dense factor. C order avoids a copy.
    out : ndarray of shape (m, d), default=None
        Where to write the result: C-ordered, of the type of the result.
    n_jobs : int, default=None
        Threads; None means 1 unless a joblib context says otherwise.

    Returns
    -------
    out : ndarray of shape (m, d)
        The product of A's transpose with B.

    Raises
    ------
    TypeError
        If entries are not numeric, or B is sparse.
    ValueError
        If the shapes do not fit.

    See Also
    --------
    spmm : The product with A itself.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from sparsestat.sparse import spmm_t
    >>> spmm_t(csr_array([[1.0, 2.0], [0.0, 3.0]]), np.eye(2))
    array([[1., 0.],
           [2., 3.]])
    """
    return _block_product(A, B, out, n_jobs, transposed=True)


def _block_product(A, B, out, n_jobs, *, transposed):
    from sparsestat.sparse import _kernels_dense as kernels

    name = "spmm_t" if transposed else "spmm"
    A = matrix(A, "A")
    shape = A.shape[::-1] if transposed else A.shape
    B, dtype, out = _dense_operand(A, B, out, shape[0], name)
    check_inner(shape, B.shape, name)
    layout = "csc" if is_csc(A) else "csr"
    triple = read_only_triple(compress(A, layout, dtype, canonical=False))
    B = read_only(np.ascontiguousarray(B, dtype))
    d = B.shape[1]
    threads = thread_count(n_jobs, len(triple[0]) * d, enough=2_000_000)
    if (layout == "csc") == transposed:  # the triple is that of the left factor
        run_shared(
            lambda a, b, c, e: kernels.multiply_block(*triple, B, a, b, c, e, out),
            _row_tasks(triple[2], d, threads),
            threads,
        )
        return out
    out[:] = 0
    # The order of sums is that of A's rows, however the columns are split.
    run_shared(
        lambda c, e: kernels.multiply_block_t(*triple, B, c, e, out),
        _column_ranges(d, threads),
        threads,
    )
    return out


def _column_ranges(d, parts):
    """Cut d columns into at most `parts` ranges of whole cache lines."""
    width = max(_LINE, -(-d // parts))
    width = -(-width // _LINE) * _LINE
    return [(c, min(c + width, d)) for c in range(0, d, width)]


def _row_tasks(indptr, d, threads):
    """Return tasks (first row, last row, first column, last column)."""
    blocks = balanced_rows(indptr, threads)
    if threads == 1:
        return [(a, b, 0, d) for a, b in blocks]
    hub = int(indptr[-1]) // (4 * threads)
    tasks = []
    for a, b in blocks:
        sizes = np.diff(indptr[a : b + 1])
        start = a
        for row in a + np.flatnonzero(sizes > hub):
            if row > start:
                tasks.append((start, int(row), 0, d))
            tasks += [(int(row), int(row) + 1, *r) for r in _column_ranges(d, threads)]
            start = int(row) + 1
        if start < b:
            tasks.append((start, b, 0, d))
    return tasks


def sddmm(A, left, right, *, n_jobs=None):
    r"""Multiply two dense factors on the pattern of a sparse matrix.

    Returns the matrix with entries :math:`A_{ij} \langle u_i, v_j \rangle` where A
    has entries, and none elsewhere; `u` and `v` are the rows of the factors.

    Parameters
    ----------
    A : {sparse matrix, sparse array} of shape (n, m)
        Pattern and weights. Its explicit zeros count as places.
    left : array-like of shape (n, d)
        One row per row of A.
    right : array-like of shape (m, d)
        One row per column of A.
    n_jobs : int, default=None
        Threads; None means 1 unless a joblib context says otherwise.

    Returns
    -------
    out : sparse matrix or sparse array of shape (n, m)
        In the format of A (CSR unless A is CSC).

    Raises
    ------
    TypeError
        If entries are complex or not numeric.
    ValueError
        If the shapes do not fit.

    See Also
    --------
    masked_spgemm : The same for sparse factors.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from sparsestat.sparse import sddmm
    >>> U = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> sddmm(csr_array([[1.0, 0.0], [0.0, 2.0]]), U, U).toarray()
    array([[ 5.,  0.],
           [ 0., 50.]])
    """
    from sparsestat.sparse import _kernels_dense as kernels

    A = refuse_complex_type(matrix(A, "A"), "sddmm")
    left = refuse_complex_type(check_dense(left, "left", ndim=(2,)), "sddmm")
    right = refuse_complex_type(check_dense(right, "right", ndim=(2,)), "sddmm")
    if (*A.shape, left.shape[1]) != (len(left), len(right), right.shape[1]):
        raise ValueError(
            f"sddmm: A of shape {A.shape} needs factors with {A.shape[0]} and "
            f"{A.shape[1]} rows and equally many columns, got {left.shape} and "
            f"{right.shape}."
        )
    dtype = common_dtype(A, left, right)
    layout = "csc" if is_csc(A) else "csr"
    pattern = compress(A, layout, dtype)
    factors = [read_only(np.ascontiguousarray(f, dtype)) for f in (left, right)]
    if layout == "csc":
        factors.reverse()
    triple = read_only_triple(pattern)
    out = np.empty(pattern.nnz, dtype)
    threads = thread_count(n_jobs, pattern.nnz * left.shape[1], enough=2_000_000)
    run_shared(
        lambda a, b: kernels.sampled_products(*triple, *factors, a, b, out),
        balanced_rows(triple[2], threads),
        threads,
    )
    return build(
        out, pattern.indices.copy(), pattern.indptr.copy(), A.shape, A, layout=layout
    )
