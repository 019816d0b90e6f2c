"""Sparse times sparse: the public product, and its masked form."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from threading import Lock

import numpy as np

from sparsestat._utils.validation import read_only
from sparsestat.sparse._gate import (
    build,
    check_inner,
    common_dtype,
    compress,
    is_csc,
    matrix,
)
from sparsestat.sparse._threads import balanced_rows, run_shared, thread_count

__all__ = ["masked_spgemm", "spgemm"]

_INT32_MAX = np.iinfo(np.int32).max
_ALWAYS_ONE_PASS = 1 << 22  # entries up to which an upper bound is simply allocated
_LOOSE = 2  # how far above the estimate an upper bound may be
_CHUNKS_PER_THREAD = 16


def spgemm(A, B, *, mask=None, sort=True, n_jobs=None):
    r"""Multiply two sparse matrices.

    Computes :math:`C_{i\cdot} = \sum_k A_{ik} B_{k\cdot}` row by row. For each row
    an accumulator is chosen by the number of products and the span of its columns:
    a scaled copy, a 64-slot window, a short sorted list, a dense accumulator under
    a two-level bitmap, or a hash table. Rows come out sorted at no extra cost.

    Parameters
    ----------
    A : {sparse matrix, sparse array, array-like} of shape (n, p)
        Left factor. The result has its format, CSR or CSC, and its interface,
        matrix or array; other formats and dense input are converted to CSR.
    B : {sparse matrix, sparse array, array-like} of shape (p, m)
        Right factor, converted to the format of A.
    mask : {sparse matrix, sparse array} of shape (n, m), default=None
        Compute only the entries on this pattern; see :func:`masked_spgemm`.
    sort : bool, default=True
        Return sorted indices. False saves the sorting of hashed rows; other kinds
        of rows are sorted in any case.
    n_jobs : int, default=None
        Threads; None means 1 unless a joblib context says otherwise.

    Returns
    -------
    C : sparse matrix or sparse array of shape (n, m)
        Entries that cancel stay as explicit zeros, as in scipy. Booleans and
        integers are multiplied in int64, other types as numpy promotes them.

    Raises
    ------
    TypeError
        If the entries are not numeric.
    ValueError
        If the shapes do not fit or the index arrays are inconsistent.

    See Also
    --------
    masked_spgemm : Only the entries on a given pattern.
    spmm : Sparse times dense.

    Notes
    -----
    Each entry sums its products in the order of A's row, in one thread, so that the
    result is bitwise the same for every `n_jobs`, and the same as scipy's for
    canonical input. Memory beyond the result: one accumulator of ``n_columns`` values
    a thread. Where the upper bound on the number of entries is far above an estimate
    from 1% of the rows, the entries are counted first.

    References
    ----------
    .. [1] F. G. Gustavson, "Two fast algorithms for sparse matrices: multiplication
       and permuted transposition", ACM TOMS, 1978.
    .. [2] K. Shivdikar, "SMASH: Sparse Matrix Atomic Scratchpad Hashing", MS
       thesis, Northeastern University, 2021.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from sparsestat.sparse import spgemm
    >>> A = csr_array([[1.0, 0.0], [2.0, 3.0]])
    >>> spgemm(A, A).toarray()
    array([[1., 0.],
           [8., 9.]])
    """
    if mask is not None:
        return masked_spgemm(mask, A, B, n_jobs=n_jobs)
    same = A is B
    A = matrix(A, "A")
    B = A if same else matrix(B, "B")
    check_inner(A.shape, B.shape, "spgemm")
    dtype = common_dtype(A, B)
    layout = "csc" if is_csc(A) else "csr"
    left = compress(A, layout, dtype)
    right = left if same else compress(B, layout, dtype)
    shape = (A.shape[0], B.shape[1])
    if layout == "csc":
        # The CSC arrays of A are the CSR arrays of A^T, and (A B)^T = B^T A^T.
        left, right = right, left
    triple = _multiply(left, right, shape[layout == "csr"], dtype, sort, n_jobs)
    return build(*triple, shape, A, layout=layout, sort=sort)


def masked_spgemm(M, A, B, *, n_jobs=None):
    """Multiply two sparse matrices, keeping only the entries on a pattern.

    The full product is never formed: memory is that of the mask, plus four bytes a
    column and thread. With ``M = A = B`` the adjacency matrix of an undirected graph
    without loops, the sum of the result is six times its number of triangles.

    Parameters
    ----------
    M : {sparse matrix, sparse array} of shape (n, m)
        The pattern; its values do not matter, its explicit zeros count as places.
    A : {sparse matrix, sparse array, array-like} of shape (n, p)
        Left factor.
    B : {sparse matrix, sparse array, array-like} of shape (p, m)
        Right factor.
    n_jobs : int, default=None
        Threads; None means 1 unless a joblib context says otherwise.

    Returns
    -------
    C : sparse matrix or sparse array of shape (n, m)
        Exactly the pattern of M, in the format of M (CSR unless M is CSC), with
        explicit zeros where the product has none.

    Raises
    ------
    TypeError
        If the entries are not numeric.
    ValueError
        If the shapes do not fit.

    See Also
    --------
    spgemm : The whole product.
    sddmm : The product of two dense factors on a sparse pattern.

    Examples
    --------
    >>> import networkx as nx
    >>> from sparsestat.sparse import masked_spgemm
    >>> A = nx.to_scipy_sparse_array(nx.karate_club_graph(), weight=None)
    >>> int(masked_spgemm(A, A, A).sum()) // 6
    45
    """
    from sparsestat.sparse._kernels_spgemm import masked_rows

    same_a, same_b = A is M, B is A
    M = matrix(M, "M")
    A = M if same_a else matrix(A, "A")
    B = A if same_b else matrix(B, "B")
    check_inner(A.shape, B.shape, "masked_spgemm")
    shape = (A.shape[0], B.shape[1])
    if M.shape != shape:
        raise ValueError(
            f"masked_spgemm: the mask has shape {M.shape}, but the product of shapes "
            f"{A.shape} and {B.shape} has shape {shape}."
        )
    dtype = common_dtype(A, B)
    layout = "csc" if is_csc(M) else "csr"
    pattern = compress(M, layout, M.dtype if M.dtype.kind in "fc" else np.float64)
    left = compress(A, layout, dtype)
    right = left if same_b else compress(B, layout, dtype)
    if layout == "csc":
        left, right = right, left
    left, right, pattern = _one_index_type(left, right, pattern)
    out = np.zeros(pattern.nnz, dtype)
    threads = thread_count(n_jobs, pattern.nnz + left.nnz)
    arguments = [
        read_only(array)
        for array in (pattern.indices, pattern.indptr, left.data, left.indices)
        + (left.indptr, right.data, right.indices, right.indptr)
    ]
    minor = shape[layout == "csr"]
    run_shared(
        lambda a, b: masked_rows(*arguments, a, b, minor, out),
        balanced_rows(left.indptr, threads),
        threads,
    )
    return build(
        out, pattern.indices.copy(), pattern.indptr.copy(), shape, M, layout=layout
    )


def _one_index_type(*matrices):
    """Give all matrices the widest index type among them."""
    if len({X.indices.dtype for X in matrices}) > 1:
        for X in matrices:
            X.indices = X.indices.astype(np.int64, copy=False)
            X.indptr = X.indptr.astype(np.int64, copy=False)
    return matrices


def _multiply(left, right, n_columns, dtype, sort, n_jobs):
    """Multiply two canonical CSR triples; return data, indices and indptr."""
    from sparsestat.sparse import _kernels_spgemm as kernels

    left, right = _one_index_type(left, right)
    n_rows = left.indptr.size - 1
    a = [read_only(x) for x in (left.data, left.indices, left.indptr)]
    b = [read_only(x) for x in (right.data, right.indices, right.indptr)]
    total = bound = kernels.count_products(a[1], b[2])
    structure = (*a[1:], *b[1:], n_columns)
    threads = thread_count(n_jobs, total, enough=1_000_000)
    spans = counted = False
    if bound > _ALWAYS_ONE_PASS:
        likely = _estimate_entries(kernels, structure, n_rows)
        bound = kernels.bound_entries(*structure, spans)
        if bound > _LOOSE * likely:
            spans = True
            bound = kernels.bound_entries(*structure, spans)
        counted = bound > _LOOSE * likely
    n_chunks = 1 if threads == 1 else threads * _CHUNKS_PER_THREAD
    starts, offsets = np.array([0, n_rows]), np.array([0, bound])
    if n_chunks > 1:
        starts, offsets = kernels.cut_rows(*structure, spans, total, n_chunks)
    if counted:
        counts = run_shared(
            lambda first, last: kernels.symbolic_rows(
                *structure[:-1], first, last, 1, n_columns
            ),
            zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True),
            threads,
        )
        offsets = np.concatenate([[0], np.cumsum(counts)])
        bound = int(offsets[-1])
    index_dtype = left.indices.dtype
    if max(n_columns, bound) > _INT32_MAX:
        index_dtype = np.dtype(np.int64)
    # numpy rather than numba allocates: it asks the system for huge pages, and
    # pages beyond the last entry are never touched.
    data = np.empty(bound, dtype)
    indices = np.empty(bound, index_dtype)
    indptr = np.zeros(n_rows + 1, index_dtype)
    # Below this many products a row is hashed. The bitmap costs one step per 4096
    # columns to walk, and beyond 2**20 columns the accumulator leaves the cache.
    dense_from = n_columns >> (14 if n_columns <= 1 << 20 else 6)

    def multiply(chunk, values, columns, position):
        return kernels.multiply_rows(
            *a,
            *b,
            int(starts[chunk]),
            int(starts[chunk + 1]),
            n_columns,
            dense_from,
            sort,
            values,
            columns,
            indptr,
            position,
        )

    if n_chunks == 1:
        nnz = multiply(0, data, indices, 0)
    elif counted:
        run_shared(
            lambda chunk: multiply(chunk, data, indices, int(offsets[chunk])),
            [(chunk,) for chunk in range(n_chunks)],
            threads,
        )
        nnz = bound
    else:
        longest = int(np.diff(offsets).max())
        packer = _Packer(data, indices, indptr, starts, longest)

        def multiply_and_pack(chunk):
            values, columns = packer.take()
            packer.put(chunk, values, columns, multiply(chunk, values, columns, 0))

        run_shared(multiply_and_pack, [(c,) for c in range(n_chunks)], threads)
        nnz = packer.nnz
    data.resize(nnz, refcheck=False)  # shrinks in place
    indices.resize(nnz, refcheck=False)
    if index_dtype == np.int64 and max(n_rows, n_columns, nnz) <= _INT32_MAX:
        indices, indptr = indices.astype(np.int32), indptr.astype(np.int32)
    return data, indices, indptr


def _estimate_entries(kernels, structure, n_rows):
    """Estimate the number of entries of the product from about 1% of its rows."""
    step = max(1, n_rows // max(64, n_rows // 100))
    *triples, n_columns = structure
    return step * max(kernels.symbolic_rows(*triples, 0, n_rows, step, n_columns), 1)


class _Packer:
    """Buffers of the chunks, packed one behind the other as they are finished.

    A chunk's place is known once all chunks before it are done. Until then its
    buffer waits here, while the other threads go on computing; then it is reused.
    """

    def __init__(self, data, indices, indptr, starts, longest):
        self.data, self.indices, self.indptr = data, indices, indptr
        self.starts, self.longest = starts, longest
        self.nnz = 0
        self._next, self._ready, self._free = 0, {}, []
        self._lock = Lock()

    def take(self):
        """Return a pair of buffers for the longest chunk."""
        with self._lock:
            if self._free:
                return self._free.pop()
        return (
            np.empty(self.longest, self.data.dtype),
            np.empty(self.longest, self.indices.dtype),
        )

    def put(self, chunk, values, columns, count):
        """Hand in a finished chunk; pack all whose place is known by now.

        Only the bookkeeping is locked: threads copy side by side.
        """
        placed = []
        with self._lock:
            self._ready[chunk] = values, columns, count
            while self._next in self._ready:
                placed.append((self._next, self.nnz, *self._ready.pop(self._next)))
                self.nnz += placed[-1][-1]
                self._next += 1
        for chunk, begin, values, columns, count in placed:
            self.data[begin : begin + count] = values[:count]
            self.indices[begin : begin + count] = columns[:count]
            first, last = self.starts[chunk], self.starts[chunk + 1]
            self.indptr[first + 1 : last + 1] += self.indptr.dtype.type(begin)
            with self._lock:
                self._free.append((values, columns))
