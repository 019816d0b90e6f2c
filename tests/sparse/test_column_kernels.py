"""Column and Gram kernels against dense algebra."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from sparsestat._utils.validation import as_compressed, read_only, read_only_triple
from sparsestat.sparse import _kernels as k


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X = sparse.random_array((40, 12), density=0.3, rng=rng, format="csc")
    X = as_compressed(X, "csc")
    return X, X.toarray(), rng.normal(size=40), rng.uniform(size=40)


@pytest.mark.parametrize("j", [0, 5, 11])
def test_column_kernels_match_dense_columns(problem, j):
    X, D, r, w = problem
    triple = read_only_triple(X)
    x = D[:, j]
    rr, ww = read_only(r), read_only(w)
    assert_allclose(k.csc_col_dot(*triple, j, rr), x @ r, atol=1e-13)
    assert_allclose(k.csc_col_dot_weighted(*triple, j, rr, ww), (w * x) @ r, atol=1e-13)
    centered = k.csc_col_dot_centered(*triple, j, rr, x.mean(), r.sum())
    assert_allclose(centered, (x - x.mean()) @ r, atol=1e-13)
    assert_allclose(k.csc_col_sqnorm(*triple, j), x @ x, atol=1e-13)
    assert_allclose(k.csc_col_sqnorm_weighted(*triple, j, ww), (w * x) @ x, atol=1e-13)
    out = r.copy()
    k.csc_col_axpy(*triple, j, 0.7, out)
    assert_allclose(out, r + 0.7 * x, atol=1e-13)
    out = r.copy()
    k.csc_col_axpy_weighted(*triple, j, -0.3, out, ww)
    assert_allclose(out, r - 0.3 * w * x, atol=1e-13)


def test_gram_block_is_the_gram_matrix_of_the_active_set(problem):
    X, D, _, w = problem
    active = np.array([7, 0, 3, 11])
    gram = k.gram_block(*read_only_triple(X), active, 40)
    assert_allclose(gram, D[:, active].T @ D[:, active], atol=1e-13)
    assert np.array_equal(gram, gram.T)
    weighted = k.gram_block_weighted(*read_only_triple(X), active, read_only(w))
    assert_allclose(weighted, (D[:, active].T * w) @ D[:, active], atol=1e-13)
    assert k.gram_block(*read_only_triple(X), active[:0], 40).shape == (0, 0)
