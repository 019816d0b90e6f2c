"""The gate, selections, norms, Laplacians and rearrangements."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.csgraph import laplacian as scipy_laplacian

from sparsestat._utils.validation import as_compressed, read_only_triple
from sparsestat.sparse import _kernels_structure as kernels
from sparsestat.sparse import (
    as_csr,
    laplacian,
    normalize_rows,
    row_norms,
    sparsify,
    topk_rows,
)
from tests.sparse.sparse_strategies import FLOATS, dense, fingerprint, matrices

drawn = settings(max_examples=50, deadline=None)
real = matrices(dtypes=FLOATS)


@drawn
@given(matrices())
def test_as_csr_is_canonical_and_leaves_its_input_alone(X):
    before = fingerprint(X)
    out = as_csr(X)
    assert isinstance(out, sparse.csr_array)
    assert out.indices.dtype == out.indptr.dtype == np.int32
    assert_array_equal(out.toarray(), dense(X))
    for i in range(out.shape[0]):
        assert (np.diff(out.indices[out.indptr[i] : out.indptr[i + 1]]) > 0).all()
    copy = as_csr(X, copy=True)
    assert not np.shares_memory(copy.data, X.data)
    assert fingerprint(X) == before


def test_as_csr_shares_memory_where_nothing_changes():
    X = sparse.random_array((20, 30), density=0.2, rng=0, format="csr")
    out = as_csr(X)
    assert np.shares_memory(out.data, X.data)
    assert np.shares_memory(out.indices, X.indices)
    assert as_csr(X, dtype=np.float32).dtype == np.float32
    assert as_csr([[1, 0], [0, 2]]).dtype == np.float64
    with pytest.raises(TypeError, match="numeric"):
        as_csr(np.array([["a"]], dtype=object))
    with pytest.raises(ValueError, match="two-dimensional"):
        as_csr([1.0, 2.0])


@drawn
@given(real, st.integers(0, 12), st.sampled_from(["value", "abs"]))
def test_topk_rows_keeps_the_largest_with_ties_to_the_left(X, k, by):
    before = fingerprint(X)
    out = topk_rows(X, k, by=by)
    assert type(out) is type(X)
    csr, kept = as_csr(X), as_csr(out)
    for i in range(X.shape[0]):
        place = slice(csr.indptr[i], csr.indptr[i + 1])
        columns, values = csr.indices[place], csr.data[place]
        key = np.abs(values) if by == "abs" else values
        best = np.sort(np.lexsort((columns, -key))[:k])
        mine = slice(kept.indptr[i], kept.indptr[i + 1])
        assert_array_equal(kept.indices[mine], columns[best])
        assert_array_equal(kept.data[mine], values[best])
    assert fingerprint(X) == before


@pytest.mark.parametrize("n", [200, 1001])
@pytest.mark.parametrize("order", ["random", "sorted", "reversed", "equal", "two"])
def test_topk_selection_on_long_rows(n, order):
    values = np.random.default_rng(0).normal(size=n)
    values = {
        "random": values,
        "sorted": np.sort(values),
        "reversed": -np.sort(values),
        "equal": np.ones(n),
        "two": np.sign(values),
    }[order]
    for k in (1, 7, n // 2, n - 1):
        out = topk_rows(values[None, :], k)
        best = np.sort(np.lexsort((np.arange(n), -values))[:k])
        assert_array_equal(out.indices, best)


@drawn
@given(real, st.integers(0, 60))
def test_sparsify_keeps_exactly_so_many(X, keep):
    before = fingerprint(X)
    out = sparsify(X, keep=keep)
    assert type(out) is type(X)
    full = as_compressed(X, X.format)
    assert out.nnz == min(keep, full.nnz)
    order = np.lexsort((np.arange(full.nnz), -np.abs(full.data)))
    assert_array_equal(out.data, full.data[np.sort(order[:keep])])
    assert fingerprint(X) == before


def test_sparsify_with_equal_values_and_thresholds():
    X = sparse.csr_array(np.ones((5, 5)))
    assert_array_equal(sparsify(X, keep=7).toarray().ravel(), np.arange(25) < 7)
    Y = sparse.csr_array(np.array([[1.0, -2.0], [3.0, 0.5]]))
    assert_array_equal(sparsify(Y, threshold=1.0).toarray(), [[0, -2], [3, 0]])
    for arguments in ({}, {"keep": 1, "threshold": 1.0}):
        with pytest.raises(ValueError, match="exactly one"):
            sparsify(X, **arguments)
    with pytest.raises(ValueError, match="keep must be"):
        sparsify(X, keep=-1)
    with pytest.raises(ValueError, match="threshold must not"):
        sparsify(X, threshold=-1.0)
    Y.data[0] = np.nan
    for call in (lambda: sparsify(Y, keep=1), lambda: topk_rows(Y, 1)):
        with pytest.raises(ValueError, match="NaN"):
            call()
    with pytest.raises(TypeError, match="complex"):
        sparsify(Y.astype(complex), keep=1)
    with pytest.raises(ValueError, match="k must be"):
        topk_rows(X, -1)
    with pytest.raises(ValueError, match="by must be"):
        topk_rows(X, 1, by="size")


@drawn
@given(real, st.sampled_from([1, 2, np.inf]))
def test_norms_and_normalization(X, p):
    before = fingerprint(X)
    D = dense(X).astype(float)
    if X.shape[1]:
        expected = np.linalg.norm(D, ord=p, axis=1)
    else:
        expected = np.zeros(X.shape[0])
    assert_allclose(row_norms(X, p), expected, rtol=1e-14)
    out = normalize_rows(X, p)
    assert type(out) is type(X) and out.dtype == X.dtype
    scale = np.where(expected == 0, 1, expected)
    assert_allclose(out.toarray(), D / scale[:, None], rtol=1e-6)
    assert fingerprint(X) == before


def test_norms_neither_overflow_nor_vanish():
    X = sparse.csr_array(np.array([[3e200, 4e200], [3e-200, 4e-200], [np.nan, 1.0]]))
    norms = row_norms(X)
    assert_allclose(norms[:2], [5e200, 5e-200], rtol=1e-14)
    assert np.isnan(norms[2])
    with pytest.raises(ValueError, match="p must be"):
        row_norms(X, 3)


@pytest.mark.parametrize("layout", ["csr", "csc"])
@pytest.mark.parametrize("kind", ["combinatorial", "sym", "rw"])
def test_laplacian_by_its_definition(kind, layout):
    rng = np.random.default_rng(0)
    W = np.triu(rng.uniform(size=(12, 12)) * (rng.uniform(size=(12, 12)) < 0.3), 1)
    W = W + W.T
    W[3] = W[:, 3] = 0  # an isolated node
    np.fill_diagonal(W, np.where(np.arange(12) == 5, 0.7, 0))
    S = sparse.csr_array(W).asformat(layout)
    degree = W.sum(axis=1)
    inverse = np.divide(1, degree, out=np.zeros(12), where=degree > 0)
    linked = np.diag((degree > 0).astype(float))
    expected = {
        "combinatorial": np.diag(degree) - W,
        "sym": linked - np.sqrt(inverse)[:, None] * W * np.sqrt(inverse),
        "rw": linked - inverse[:, None] * W,
    }[kind]
    L = laplacian(S, kind=kind)
    assert L.format == layout
    assert_allclose(L.toarray(), expected, atol=1e-14)
    operator = laplacian(S, kind=kind, as_operator=True)
    assert_allclose(operator @ np.eye(12), expected, atol=1e-14)
    assert_allclose(operator.T @ np.eye(12), expected.T, atol=1e-14)
    assert_allclose(operator @ degree, expected @ degree, atol=1e-13)
    assert L.toarray()[3].any() == 0


def test_laplacian_spectrum_counts_components_and_agrees_with_scipy():
    G = nx.disjoint_union(nx.karate_club_graph(), nx.cycle_graph(5))
    G.add_node(99)
    W = nx.to_scipy_sparse_array(G, dtype=float)
    L = laplacian(W)
    assert_allclose(L.sum(axis=1), 0, atol=1e-12)
    values = np.linalg.eigvalsh(L.toarray())
    assert values.min() > -1e-12
    assert (values < 1e-10).sum() == connected_components(W)[0] == 3
    sym = laplacian(W, kind="sym").toarray()
    assert_allclose(sym, scipy_laplacian(W, normed=True).toarray(), atol=1e-14)


def test_laplacian_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match=r"square, got shape \(2, 3\)"):
        laplacian(np.ones((2, 3)))
    with pytest.raises(ValueError, match="kind must be"):
        laplacian(np.ones((2, 2)), kind="random")
    with pytest.raises(ValueError, match="negative degree"):
        laplacian(-np.ones((2, 2)), kind="sym")


@drawn
@given(st.data())
def test_transposes(data):
    X = as_csr(data.draw(real))
    n, m = X.shape
    parts = kernels.transpose(*read_only_triple(X), m)
    out = sparse.csr_array(parts, shape=(m, n))
    assert as_csr(out).nnz == out.nnz  # sorted and free of duplicates
    assert_array_equal(out.toarray(), X.toarray().T)


@pytest.mark.parametrize("sum_duplicates", [False, True])
@pytest.mark.parametrize("sort", [False, True])
def test_as_csr_does_what_it_is_asked_to(sort, sum_duplicates):
    X = sparse.csr_array(
        (np.array([1.0, 2.0, 3.0, 4.0]), np.array([2, 0, 2, 1]), np.array([0, 3, 4])),
        shape=(2, 3),
    )
    out = as_csr(X, sort=sort, sum_duplicates=sum_duplicates)
    assert_allclose(out.toarray(), [[2.0, 0.0, 4.0], [0.0, 4.0, 0.0]])
    if sum_duplicates:
        assert out.indices.tolist() == [0, 2, 1]
    elif sort:
        assert out.indices.tolist() == [0, 2, 2, 1]
    else:
        assert out.indices.tolist() == [2, 0, 2, 1]
        assert np.shares_memory(out.data, X.data)
