"""The largest entries of every row of a sparse product."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np

from sparsestat._utils.validation import read_only, read_only_triple
from sparsestat.exceptions import NumericalError
from sparsestat.sparse._gate import (
    build,
    check_inner,
    common_dtype,
    compress,
    matrix,
    refuse_complex_type,
)
from sparsestat.sparse._spgemm import _one_index_type
from sparsestat.sparse._threads import balanced_rows, run_shared, thread_count

__all__ = ["topk_product"]


def topk_product(A, B, k, *, threshold=None, n_jobs=None):
    r"""Return the largest entries of every row of a sparse product.

    The same as ``topk_rows(spgemm(A, B), k)`` without entries that are zero, but the
    product is never stored: memory is that of the answer and of one row. With the rows
    of A as queries and B the transpose of a matrix of documents this is exact search
    for the largest inner products; with rows of unit length, for the smallest angles.

    Parameters
    ----------
    A : {sparse matrix, sparse array, array-like} of shape (n, p)
        Left factor.
    B : {sparse matrix, sparse array, array-like} of shape (p, m)
        Right factor. CSR avoids a conversion.
    k : int
        How many entries to keep per row, at least 1. Rows with fewer non-zero entries
        stay whole, so that k may be larger than m.
    threshold : float, default=None
        Keep only entries above this. None keeps negative entries too.
    n_jobs : int, default=None
        Threads; None means 1 unless a joblib context says otherwise.

    Returns
    -------
    C : csr_array of shape (n, m)
        With sorted indices, and without explicit zeros; a matrix where A is one. Of
        equal entries those in lower columns are kept. Integers are multiplied in
        double precision.

    Raises
    ------
    TypeError
        If a factor is complex or not numeric.
    ValueError
        If the shapes do not fit, k is not a positive integer, or a factor contains NaN
        or infinity.
    NumericalError
        If entries of the product overflow.

    See Also
    --------
    spgemm : The whole product.
    topk_rows : Select from a matrix that exists.
    sparsestat.neighbors.SparseNeighbors : Approximate search with an index.

    Notes
    -----
    Each entry sums its products in the order of A's row, in one thread: the result is
    bitwise the same for every `n_jobs`. Time is that of the multiplications; a row
    with many of them is accumulated without book-keeping and read through once.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from sparsestat.sparse import topk_product
    >>> queries = csr_array([[1.0, 2.0, 0.0]])
    >>> documents = csr_array([[1.0, 1.0, 0.0], [0.0, 3.0, 1.0], [2.0, 0.0, 5.0]])
    >>> topk_product(queries, documents.T, 2).toarray()
    array([[3., 6., 0.]])
    """
    from sparsestat.sparse import _kernels_topk as kernels

    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise ValueError(f"k must be a positive integer, got {k!r}.")
    if threshold is None:
        threshold = -np.inf
    elif (
        isinstance(threshold, bool)
        or not isinstance(threshold, Real)
        or np.isnan(threshold)
    ):
        raise ValueError(f"threshold must be a number or None, got {threshold!r}.")
    same = A is B
    A = refuse_complex_type(matrix(A, "A"), "topk_product")
    B = A if same else refuse_complex_type(matrix(B, "B"), "topk_product")
    check_inner(A.shape, B.shape, "topk_product")
    dtype = common_dtype(A, B)
    if dtype.kind != "f":
        dtype = np.dtype(np.float64)
    left = compress(A, "csr", dtype)
    right = left if same else compress(B, "csr", dtype)
    for name, factor in (("A", left), ("B", right)):
        if not np.isfinite(factor.data).all():
            raise ValueError(
                f"topk_product: {name} contains NaN or infinity, which have no place "
                "in an order. Remove or impute these entries."
            )
    shape = (A.shape[0], B.shape[1])
    left, right = _one_index_type(left, right)
    a, b = read_only_triple(left), read_only_triple(right)
    counts = np.zeros(shape[0], np.int64)
    kernels.products_of_rows(a[1], a[2], b[2], min(int(k), shape[1]), counts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    data = np.empty(int(starts[-1]), dtype)
    indices = np.empty(int(starts[-1]), left.indices.dtype)
    work = left.nnz * max(1, right.nnz // max(1, B.shape[0]))
    threads = thread_count(n_jobs, work)
    k = min(int(k), max(shape[1], 1))

    def multiply(first, last):
        return kernels.top_products(
            *a,
            *b,
            first,
            last,
            shape[1],
            k,
            dtype.type(threshold),
            read_only(starts),
            data,
            indices,
            counts,
        )

    with np.errstate(over="ignore"):
        faults = run_shared(multiply, balanced_rows(left.indptr, threads), threads)
    if sum(faults):
        raise NumericalError(
            f"topk_product: {sum(faults)} entries of the product overflow to "
            "infinities of both signs. Rescale A or B."
        )
    indptr = np.empty(shape[0] + 1, left.indptr.dtype)
    kernels.pack_rows(data, indices, starts, counts, indptr)
    nnz = int(indptr[-1])
    data.resize(nnz, refcheck=False)  # shrinks in place
    indices.resize(nnz, refcheck=False)
    return build(data, indices, indptr, shape, A)
