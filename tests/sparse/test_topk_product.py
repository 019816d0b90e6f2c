"""The largest entries of a sparse product that is never stored."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from sparsestat.exceptions import NumericalError
from sparsestat.sparse import spgemm, topk_product, topk_rows


def small_integers(shape, density, rng):
    """Sums of products of these are exact, and many are equal or zero."""
    X = sparse.random_array(shape, density=density, rng=rng, format="csr")
    X.data = np.round(6 * X.data - 3)
    return X


def brute_force(A, B, k, threshold):
    C = (A @ B).toarray()
    out = np.zeros_like(C)
    for row, kept in zip(C, out, strict=True):
        order = np.lexsort((np.arange(len(row)), -row))
        good = [j for j in order if row[j] != 0]
        if threshold is not None:
            good = [j for j in good if row[j] > threshold]
        kept[good[:k]] = row[good[:k]]
    return out


@pytest.mark.parametrize("threshold", [None, 0, 1.0, -2.0])
@pytest.mark.parametrize("density", [0.01, 0.2, 0.6])  # bitmap and scan
def test_it_is_what_brute_force_selects(threshold, density, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    for n, p, m in [(7, 12, 9), (9, 20, 700), (3, 5, 5000), (1, 1, 1)]:
        A = small_integers((n, p), 0.3, rng)
        B = small_integers((p, m), density, rng)
        for k in (1, 3, 40, m + 5):
            found = topk_product(A, B, k, threshold=threshold)
            assert_array_equal(found.toarray(), brute_force(A, B, k, threshold))
            assert found.has_canonical_format and (found.data != 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_are_those_of_the_product_to_the_last_bit(dtype):
    rng = np.random.default_rng(0)
    A = sparse.random_array((40, 60), density=0.2, rng=rng, format="csr", dtype=dtype)
    B = sparse.random_array((60, 300), density=0.2, rng=rng, format="csr", dtype=dtype)
    found, expected = topk_product(A, B, 5), topk_rows(spgemm(A, B), 5)
    assert found.dtype == dtype
    assert_array_equal(found.toarray(), expected.toarray())


def test_threads_change_nothing():
    rng = np.random.default_rng(1)
    A = sparse.random_array((3000, 400), density=0.05, rng=rng, format="csr")
    one, two = (topk_product(A, A.T, 7, n_jobs=n) for n in (1, 2))
    assert_array_equal(one.indices, two.indices)
    assert_array_equal(one.data, two.data)


def test_the_product_is_not_formed():
    rng = np.random.default_rng(2)
    A = sparse.random_array((2000, 30), density=0.5, rng=rng, format="csr")
    B = sparse.csr_array(A.T)
    topk_product(A[:5], B, 3)
    tracemalloc.start()
    topk_product(A, B, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * 2000  # an eighth of the bytes of the dense product


def test_formats_and_types_give_one_answer():
    rng = np.random.default_rng(3)
    A, B = small_integers((6, 8), 0.5, rng), small_integers((8, 9), 0.5, rng)
    expected = topk_product(A, B, 2).toarray()
    for left, right in [
        (A.toarray(), B.toarray()),
        (A.tocsc(), B.tocoo()),
        (sparse.csr_matrix(A), B.tocsc()),
        (A.astype(np.int64), B.astype(np.int8)),
        (A.astype(np.float32), B.astype(np.float32)),
    ]:
        assert_array_equal(topk_product(left, right, 2).toarray(), expected)
    assert isinstance(topk_product(sparse.csr_matrix(A), B, 2), sparse.csr_matrix)


@pytest.mark.parametrize("shape", [(0, 4, 3), (3, 4, 0), (3, 0, 3)])
def test_empty_factors_have_an_empty_product(shape):
    n, p, m = shape
    found = topk_product(sparse.csr_array((n, p)), sparse.csr_array((p, m)), 2)
    assert found.shape == (n, m) and found.nnz == 0


@pytest.mark.parametrize("k", [0, -1, 2.0, True, None])
def test_k_is_a_positive_integer(k):
    with pytest.raises(ValueError, match="k must be a positive integer"):
        topk_product(np.eye(2), np.eye(2), k)


@pytest.mark.parametrize("threshold", [np.nan, "x", True])
def test_threshold_is_a_number(threshold):
    with pytest.raises(ValueError, match="threshold must be a number"):
        topk_product(np.eye(2), np.eye(2), 1, threshold=threshold)


def test_bad_factors_are_refused():
    with pytest.raises(ValueError, match="do not fit together"):
        topk_product(np.eye(2), np.eye(3), 1)
    with pytest.raises(ValueError, match="B contains NaN"):
        topk_product(np.eye(2), np.array([[np.nan, 1], [0, 1]]), 1)
    with pytest.raises(TypeError, match="complex"):
        topk_product(np.eye(2) * 1j, np.eye(2), 1)
    big = np.array([[1e200, 1e200]])
    with pytest.raises(NumericalError, match="overflow"):
        topk_product(big, np.array([[1e200], [-1e200]]), 1)
