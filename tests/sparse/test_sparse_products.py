"""Products against dense algebra and scipy, on every awkward kind of matrix."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat.sparse import _kernels_spgemm as kernels
from sparsestat.sparse import masked_spgemm, sddmm, spgemm, spmm, spmm_t, spmv
from tests.sparse.sparse_strategies import FLOATS, NUMBERS, dense, fingerprint, matrices

drawn = settings(max_examples=60, deadline=None)
sizes = st.integers(0, 70)


def random_csr(n, m, per_row, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = sparse.coo_array(
        (
            rng.normal(size=n * per_row),
            (np.repeat(np.arange(n), per_row), rng.integers(0, m, n * per_row)),
        ),
        shape=(n, m),
    )
    return sparse.csr_array(X, dtype=dtype)


def power_law(n, edges, seed=0):
    """Return a symmetric 0/1 graph with hubs, in CSR."""
    rng = np.random.default_rng(seed)
    ends = (n * rng.random((2, edges)) ** 3).astype(int)
    X = sparse.csr_array((np.ones(edges), ends), shape=(n, n))
    X = X + X.T
    X.setdiag(0)
    X.eliminate_zeros()
    X.data[:] = 1.0
    return X


@drawn
@given(st.data())
def test_spgemm_equals_the_dense_product(data):
    n, k, m = data.draw(sizes), data.draw(sizes), data.draw(sizes)
    A = data.draw(matrices((n, k)))
    B = data.draw(matrices((k, m)))
    before = fingerprint(A), fingerprint(B)
    C = spgemm(A, B, sort=data.draw(st.booleans()))
    assert type(C) is type(A)
    assert C.dtype == np.result_type(A.dtype, B.dtype)
    assert C.indices.dtype == C.indptr.dtype == np.int32
    # Entries are small integers: sums are exact, whatever their order.
    assert_array_equal(C.toarray(), dense(A) @ dense(B))
    assert (fingerprint(A), fingerprint(B)) == before


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("n_jobs", [1, 2, 7])
def test_spgemm_equals_scipy_bitwise_for_any_thread_count(dtype, n_jobs):
    A = random_csr(2000, 5000, 25, dtype=dtype)
    B = random_csr(5000, 3000, 30, seed=1, dtype=dtype)
    C = spgemm(A, B, n_jobs=n_jobs)
    expected = A @ B
    expected.sort_indices()
    assert_array_equal(C.indptr, expected.indptr)
    assert_array_equal(C.indices, expected.indices)
    assert_array_equal(C.data, expected.data)
    assert C.has_canonical_format


def rows_of_each_class(m):
    """Return factors whose rows take every road through the kernel."""
    rng = np.random.default_rng(3)
    rows = [[], [4], [1, 2, 3], [5, 6], list(range(7, 40)), list(range(60)), [60]]
    A = sparse.lil_array((len(rows), 61))
    for i, columns in enumerate(rows):
        A[i, columns] = rng.normal(size=len(columns))
    B = random_csr(61, m, 12, seed=4).tolil()
    for i in range(1, 4):  # a narrow window of columns, with and without holes
        B[i, :] = 0
        B[i, i + 10 : i + 14] = i
    B[5, :] = 0
    B[5, [3, 40]] = 1.0
    B[6, :] = 0
    B[60, :] = 0
    return A.tocsr(), B.tocsr()


@pytest.mark.parametrize("m", [50, 64, 65, 4096, 5000, 100_000, 3_000_000, 2**31 + 7])
@pytest.mark.parametrize("sort", [True, False])
def test_every_accumulator_agrees_with_scipy(m, sort):
    A, B = rows_of_each_class(min(m, 3_000_000))
    expected = A @ B  # scipy's takes memory for every column: not beyond 3e6
    B = sparse.csr_array((B.data, B.indices, B.indptr), shape=(61, m))
    C = spgemm(A, B, sort=sort)
    expected.sort_indices()
    C.sort_indices()
    assert_array_equal(C.indptr, expected.indptr)
    assert_array_equal(C.indices, expected.indices)
    assert_array_equal(C.data, expected.data)
    assert C.indices.dtype == (np.int64 if m > 2**31 else np.int32)


def test_hashed_rows_with_many_columns_are_sorted():
    rng = np.random.default_rng(5)
    m = 1 << 22
    A = sparse.csr_array(np.ones((3, 40)))
    indices = np.sort(rng.integers(0, m, (40, 30)), axis=1)
    B = sparse.csr_array(
        (rng.normal(size=1200), indices.ravel(), np.arange(0, 1201, 30)), shape=(40, m)
    )
    C = spgemm(A, B)
    expected = A @ B
    expected.sort_indices()
    assert_array_equal(C.indices, expected.indices)
    assert_array_equal(C.data, expected.data)


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_loose_bounds_are_counted_first(monkeypatch, n_jobs):
    from sparsestat.sparse import _spgemm

    counted = []
    kernel = _spgemm.run_shared
    monkeypatch.setattr(_spgemm, "_ALWAYS_ONE_PASS", 0)
    monkeypatch.setattr(_spgemm, "thread_count", lambda n_jobs, work, enough=0: n_jobs)
    monkeypatch.setattr(
        _spgemm,
        "run_shared",
        lambda f, tasks, t: counted.append(1) or kernel(f, tasks, t),
    )
    rng = np.random.default_rng(0)
    # Columns at the two ends of a long range: neither bound sees the overlap.
    columns = np.r_[0:15, 4985:5000]
    B = sparse.csr_array(
        (rng.normal(size=3000), np.tile(columns, 100), np.arange(0, 3001, 30)),
        shape=(100, 5000),
    )
    A = random_csr(500, 100, 40)
    C = spgemm(A, B, n_jobs=n_jobs)
    expected = A @ B
    expected.sort_indices()
    assert len(counted) == (2 if n_jobs > 1 else 1)
    assert_array_equal(C.indices, expected.indices)
    assert_array_equal(C.data, expected.data)


def test_products_are_associative_and_transpose():
    A, B = random_csr(300, 200, 5), random_csr(200, 250, 6, seed=2)
    x = np.random.default_rng(1).normal(size=250)
    assert_allclose(spmv(spgemm(A, B), x), spmv(A, spmv(B, x)), rtol=0, atol=1e-12)
    left = spgemm(A, B).T.toarray()
    assert_allclose(left, spgemm(B.T, A.T).toarray(), rtol=0, atol=1e-12)


def test_integers_and_booleans_are_exact():
    A = sparse.csr_array(np.array([[2**40 + 1, 0], [3, 1]]))
    C = spgemm(A, A)
    assert C.dtype == np.int64
    assert_array_equal(C.toarray(), A.toarray() @ A.toarray())
    b = sparse.csr_array(np.array([[True, False], [True, True]]))
    assert_array_equal(spgemm(b, b).toarray(), [[1, 0], [2, 1]])
    assert spgemm(A, A.astype(np.float32)).dtype == np.float64
    assert spmv(A, np.array([1, 2])).dtype == np.int64
    assert spmv(A, np.array([1, 2]), alpha=0.5).dtype == np.float64


@drawn
@given(st.data())
def test_masked_product_keeps_exactly_the_pattern(data):
    n, k, m = data.draw(sizes), data.draw(sizes), data.draw(sizes)
    M = data.draw(matrices((n, m), dtypes=FLOATS))
    A, B = data.draw(matrices((n, k))), data.draw(matrices((k, m)))
    before = [fingerprint(X) for X in (M, A, B)]
    C = masked_spgemm(M, A, B)
    assert type(C) is type(M)
    pattern = np.zeros(M.shape, bool)
    major = np.repeat(np.arange(len(M.indptr) - 1), np.diff(M.indptr))
    pattern[(major, M.indices) if M.format == "csr" else (M.indices, major)] = True
    assert C.nnz == pattern.sum()
    assert_array_equal(C.toarray(), np.where(pattern, dense(A) @ dense(B), 0))
    assert [fingerprint(X) for X in (M, A, B)] == before
    assert_array_equal(spgemm(A, B, mask=M).toarray(), C.toarray())


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_masked_product_counts_triangles(n_jobs):
    G = nx.barabasi_albert_graph(400, 6, seed=1)
    A = nx.to_scipy_sparse_array(G, weight=None)
    triangles = sum(nx.triangles(G).values()) // 3
    assert masked_spgemm(A, A, A, n_jobs=n_jobs).sum() == 6 * triangles


@drawn
@given(st.data())
def test_products_with_dense_factors(data):
    n, m, d = data.draw(sizes), data.draw(sizes), data.draw(st.integers(0, 40))
    A = data.draw(matrices((n, m)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    dtype = data.draw(st.sampled_from(NUMBERS))
    order = data.draw(st.sampled_from("CF"))
    B = np.asarray(rng.integers(-3, 4, (m, d)), dtype=dtype, order=order)
    L = np.asarray(rng.integers(-3, 4, (n, d)), dtype=dtype, order=order)
    B.flags.writeable = L.flags.writeable = False
    before = fingerprint(A)
    result = spmm(A, B)
    assert result.dtype == np.result_type(A.dtype, dtype)
    assert result.flags.c_contiguous
    assert_array_equal(result, dense(A) @ B)
    assert_array_equal(spmm_t(A, L), dense(A).T @ L)
    x = B[:, 0] if d else np.zeros(m, dtype)
    assert_array_equal(spmv(A, x), dense(A) @ x)
    assert fingerprint(A) == before


@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_spmv_scales_and_adds(layout):
    A = random_csr(50, 30, 4).asformat(layout)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=30), rng.normal(size=50)
    kept = y.copy()
    out = spmv(A, x, alpha=-2.5, beta=0.5, y=y)
    assert_allclose(out, -2.5 * (A @ x) + 0.5 * y, atol=1e-13)
    assert_array_equal(y, kept)
    # beta = 0 must not read y
    assert_allclose(spmv(A, x, y=np.full(50, np.nan)), A @ x, atol=1e-13)
    single = spmv(A.astype(np.float32), x.astype(np.float32), alpha=0.3)
    assert single.dtype == np.float32
    assert spmv(A, x, alpha=1j).dtype == np.complex128


@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_dense_products_are_bitwise_equal_for_any_thread_count(layout, monkeypatch):
    from sparsestat.sparse import _dense_products

    A = power_law(3000, 40_000)  # node 0 is a hub, whose row is split by columns
    A.data[:] = np.random.default_rng(0).normal(size=A.nnz)
    A = A.asformat(layout)
    B = np.random.default_rng(1).normal(size=(3000, 100))
    one = spmm(A, B), spmm_t(A, B), spmv(A, B[:, 0])
    monkeypatch.setattr(
        _dense_products, "thread_count", lambda n_jobs, work, enough=0: n_jobs
    )
    assert max(t[3] - t[2] for t in _dense_products._row_tasks(A.indptr, 100, 2)) < 101
    for n_jobs in (2, 7):
        several = (
            spmm(A, B, n_jobs=n_jobs),
            spmm_t(A, B, n_jobs=n_jobs),
            spmv(A, B[:, 0], n_jobs=n_jobs),
        )
        for a, b in zip(one, several, strict=True):
            assert_array_equal(a, b)
    assert_allclose(one[0], A @ B, atol=1e-11)


def test_scattered_vector_product_in_pieces(monkeypatch):
    A = random_csr(40_000, 50, 30).tocsc()  # A^T x from CSR of A^T: many entries
    A = A.T.tocsr().T
    x = np.random.default_rng(0).normal(size=A.shape[1])
    assert A.format == "csc"
    wide = random_csr(300_000, 40, 4)  # 1.2e6 entries, 40 columns: eight pieces
    v = np.random.default_rng(2).normal(size=300_000)
    results = [spmv(wide.T, v, n_jobs=n) for n in (1, 2, 5)]
    assert_allclose(results[0], wide.T @ v, rtol=1e-10)
    assert_array_equal(results[0], results[1])
    assert_array_equal(results[0], results[2])
    assert_allclose(spmv(A, x), A @ x, rtol=1e-9, atol=1e-9)


def test_out_is_written_and_checked():
    A, B = random_csr(20, 10, 3), np.ones((10, 4))
    out = np.full((20, 4), np.nan)
    assert spmm(A, B, out=out) is out
    assert_allclose(out, A @ B, atol=1e-13)
    with pytest.raises(ValueError, match="out must be a writable"):
        spmm(A, B, out=np.empty((20, 5)))
    with pytest.raises(ValueError, match="out must be a writable"):
        spmm(A, B, out=np.empty((20, 4), order="F"))
    square = random_csr(10, 10, 2)
    with pytest.raises(ValueError, match="share memory"):
        spmm(square, B, out=B)


@drawn
@given(st.data())
def test_sddmm_is_the_masked_dense_product(data):
    n, m, d = data.draw(sizes), data.draw(sizes), data.draw(st.integers(0, 20))
    A = data.draw(matrices((n, m), dtypes=FLOATS))
    rng = np.random.default_rng(0)
    L, R = rng.integers(-3, 4, (n, d)), rng.integers(-3, 4, (m, d)).astype(float)
    before = fingerprint(A)
    C = sddmm(A, L, R)
    assert type(C) is type(A)
    assert_array_equal(C.toarray(), dense(A) * (L @ R.T))
    assert fingerprint(A) == before


@pytest.mark.parametrize("function", [spgemm, spmm, sddmm, spmv, masked_spgemm])
def test_shapes_that_do_not_fit_are_named(function):
    A, B = random_csr(4, 5, 2), random_csr(6, 3, 2)
    arguments = {
        spgemm: (A, B),
        spmm: (A, np.ones((6, 2))),
        sddmm: (A, np.ones((4, 2)), np.ones((6, 2))),
        spmv: (A, np.ones(6)),
        masked_spgemm: (A, A, B),
    }[function]
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(6"):
        function(*arguments)


def test_a_mask_of_the_wrong_shape_is_named():
    A = random_csr(4, 4, 2)
    with pytest.raises(ValueError, match=r"mask has shape \(4, 5\).*\(4, 4\)"):
        masked_spgemm(random_csr(4, 5, 1), A, A)


def test_wrong_types_are_refused():
    A = random_csr(4, 4, 2)
    words = np.array([["a", "b"], ["c", "d"]], dtype=object)
    with pytest.raises(TypeError, match="numeric entries are required"):
        spgemm(words, A)
    with pytest.raises(TypeError, match="numeric entries are required"):
        spmm(A, words)
    with pytest.raises(TypeError, match="B is sparse"):
        spmm(A, A)
    with pytest.raises(TypeError, match="complex"):
        sddmm(A.astype(complex), np.ones((4, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="needs y"):
        spmv(A, np.ones(4), beta=1.0)
    with pytest.raises(ValueError, match="y has shape"):
        spmv(A, np.ones(4), beta=1.0, y=np.ones(3))
    with pytest.raises(ValueError, match="n_jobs must be"):
        spgemm(A, A, n_jobs=0)
    with pytest.raises(ValueError, match="must have 2 dimensions"):
        spmm(A, np.ones(4))


def test_indices_out_of_range_never_reach_a_kernel():
    A = random_csr(4, 4, 2)
    A.indices = A.indices.copy()
    A.indices[0] = 1_000_000
    with pytest.raises(ValueError, match="indices outside"):
        spgemm(A, A)


def test_nan_and_infinity_propagate_and_structural_zeros_do_not_meet_them():
    A = sparse.csr_array(np.array([[1.0, 0.0], [0.0, 2.0]]))
    B = sparse.csr_array(np.array([[np.nan, 0.0], [0.0, np.inf]]))
    C = spgemm(A, B).toarray()
    assert np.isnan(C[0, 0]) and C[1, 1] == np.inf and C[0, 1] == C[1, 0] == 0


def test_threads_then_worker_processes_then_threads():
    from joblib import Parallel, delayed

    A = random_csr(20_000, 20_000, 10)
    expected = spgemm(A, A, n_jobs=2)
    products = Parallel(n_jobs=2, backend="loky", timeout=300)(
        delayed(spgemm)(A, A, n_jobs=n_jobs) for n_jobs in (1, 2)
    )
    for product in (*products, spgemm(A, A, n_jobs=2)):
        assert_array_equal(product.data, expected.data)
        assert_array_equal(product.indices, expected.indices)


def test_shared_output_survives_a_process_backend():
    from joblib import parallel_config

    A = random_csr(20_000, 20_000, 10)
    with parallel_config(backend="loky", n_jobs=2):
        C = spgemm(A, A)
    assert_array_equal(C.data, spgemm(A, A, n_jobs=1).data)


# Bounds of the room that a product takes: too small a one would be overrun


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(30, 20, 200), (40, 50, 6), (1, 5, 130), (7, 1, 64)])
def test_bounds_of_entries_are_those_of_products_and_spans(shape, seed):
    n, k, m = shape
    A = random_csr(n, k, 3, seed)
    B = random_csr(k, m, 4, seed + 10)
    B = sparse.csr_array(B.multiply(np.arange(k)[:, None] % 3 > 0))
    B.eliminate_zeros()
    left, right = A.toarray() != 0, B.toarray() != 0
    products = left.astype(int) @ right.sum(axis=1)
    entries = (left.astype(int) @ right.astype(int) > 0).sum(axis=1)
    touched = [np.flatnonzero(right[row].any(axis=0)) for row in left]
    spans = np.array([t[-1] - t[0] + 1 if len(t) else 0 for t in touched])
    plain, narrow = np.minimum(products, m), np.minimum(products, spans)
    structure = (A.indices, A.indptr, B.indices, B.indptr)
    assert kernels.count_products(A.indices, B.indptr) == products.sum()
    assert kernels.bound_entries(*structure, m, False) == plain.sum()
    assert kernels.bound_entries(*structure, m, True) == narrow.sum()
    assert (entries <= narrow).all()
    assert kernels.symbolic_rows(*structure, 0, n, 1, m) == entries.sum()
    assert kernels.symbolic_rows(*structure, 1, n, 3, m) == entries[1::3].sum()
    for n_chunks in (1, 3, 50):
        for by_span, most in ((False, plain), (True, narrow)):
            starts, offsets = kernels.cut_rows(
                *structure, m, by_span, products.sum(), n_chunks
            )
            assert len(starts) == len(offsets) == n_chunks + 1
            assert (starts[0], starts[-1]) == (0, n)
            before = np.append(0, np.cumsum(most))
            assert_array_equal(offsets, before[starts])
            # As few rows as have their share of the work in front of them.
            work = np.append(0, np.cumsum(products + 1))
            shares = np.arange(1, n_chunks) * work[-1]
            wanted = np.searchsorted(work[:-1] * n_chunks, shares)
            assert_array_equal(starts[1:-1], wanted)
