"""Codes and projections against brute force and closed forms."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat.decomposition import (
    abs_topk_code,
    monarch_matmul,
    project_monarch,
    project_nm,
    project_spectral_ball,
    project_stiefel,
    project_topk,
    topk_code,
)


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def best_on_supports(u, k, nonnegative):
    """Return the smallest squared distance over all supports of size k."""
    best = np.inf
    for support in itertools.combinations(range(len(u)), k):
        z = np.zeros_like(u)
        z[list(support)] = u[list(support)]
        best = min(best, ((u - (np.maximum(z, 0) if nonnegative else z)) ** 2).sum())
    return best


@pytest.mark.parametrize("k", [1, 2, 4, 6])
@pytest.mark.parametrize("code", [topk_code, abs_topk_code])
def test_codes_are_projections(code, k, rng):
    U = rng.standard_normal((20, 6))
    Z = code(U, k)
    assert sparse.issparse(Z) and Z.format == "csr"
    assert Z.has_sorted_indices and (np.diff(Z.indptr) <= k).all()
    for u, z in zip(U, Z.toarray(), strict=True):
        best = best_on_supports(u, k, code is topk_code)
        assert_allclose(((u - z) ** 2).sum(), best, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_codes_agree_with_a_full_sort(dtype, rng):
    U = rng.integers(-4, 5, (200, 37)).astype(dtype)  # many ties and zeros
    for k in (1, 5, 36, 37, 50):
        for code, keys in ((abs_topk_code, np.abs(U)), (topk_code, np.maximum(U, 0))):
            order = np.argsort(-keys, axis=1, kind="stable")[:, :k]
            expected = np.zeros_like(U)
            np.put_along_axis(expected, order, np.take_along_axis(U, order, 1), 1)
            if code is topk_code:
                expected = np.maximum(expected, 0)
            Z = code(U, k)
            assert Z.dtype == dtype and (Z.data != 0).all()
            assert_array_equal(Z.toarray(), expected)


def test_signed_codes_are_at_least_as_close(rng):
    U = rng.standard_normal((50, 30))
    signed, plain = (
        np.linalg.norm(U - c(U, 4).toarray(), axis=1)
        for c in (abs_topk_code, topk_code)
    )
    assert (signed <= plain + 1e-12).all()
    assert_array_equal(abs_topk_code(U, 30).toarray(), U)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 2), (1, 4), (3, 6), (0, 3), (5, 5)])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("weighted", [False, True])
def test_groups_keep_their_best_entries(n, m, axis, weighted, rng):
    shape = (60, 3) if axis == 0 else (3, 60)
    W = rng.integers(-3, 4, shape).astype(float)
    omega = rng.random(shape) if weighted else np.ones(shape)
    before = W.copy()
    P = project_nm(W, n, m, axis=axis, importance=omega if weighted else None)
    assert_array_equal(W, before)
    view = (lambda A: A.T) if axis == 0 else (lambda A: A)
    groups = view(W).reshape(-1, m), view(omega).reshape(-1, m)
    kept = view(P).reshape(-1, m)
    assert ((kept != 0).sum(axis=1) <= n).all()
    loss = (groups[1] * (groups[0] - kept) ** 2).sum(axis=1)
    scores = np.sort(groups[1] * groups[0] ** 2, axis=1)
    assert_allclose(loss, scores[:, : m - n].sum(axis=1), atol=1e-12)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 3), (2, 5)])
def test_groups_agree_with_brute_force(n, m, rng):
    W = rng.standard_normal((4, 2 * m))
    P = project_nm(W, n, m)
    for group, kept in zip(W.reshape(-1, m), P.reshape(-1, m), strict=True):
        best = best_on_supports(group, n, False)
        assert_allclose(((group - kept) ** 2).sum(), best, atol=1e-14)
    M = rng.standard_normal((3, 3))
    found = ((M - project_topk(M, 4)) ** 2).sum()
    assert_allclose(found, best_on_supports(M.ravel(), 4, False), atol=1e-14)


def test_two_of_four_prefers_the_first_of_equal_magnitudes():
    W = np.array(list(itertools.product([-2.0, -1.0, 0.0, 1.0, 2.0], repeat=4)))
    order = np.argsort(-np.abs(W), axis=1, kind="stable")[:, :2]
    expected = np.zeros_like(W)
    np.put_along_axis(expected, order, np.take_along_axis(W, order, 1), 1)
    assert_array_equal(project_nm(W), expected)
    assert project_nm(W.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("k", [0, 1, 7, 29, 30, 100])
def test_topk_of_a_matrix_is_a_projection(k, rng):
    M = rng.integers(-5, 6, (5, 6)).astype(float)
    P = project_topk(M, k)
    assert (P != 0).sum() <= k
    sizes = np.sort(M.ravel() ** 2)[::-1]
    assert_allclose(((M - P) ** 2).sum(), sizes[k:].sum(), atol=1e-12)


def test_ball_projection_satisfies_its_variational_inequality(rng):
    M = 3 * rng.standard_normal((5, 4))
    P = project_spectral_ball(M, 1.5)
    assert np.linalg.norm(P, 2) <= 1.5 + 1e-12
    for _ in range(100):
        Q = rng.standard_normal((5, 4))
        Q *= 1.5 / np.linalg.norm(Q, 2)
        assert np.vdot(M - P, Q - P) <= 1e-10
    assert_allclose(project_spectral_ball(P, 1.5), P, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_stiefel_projection_is_the_closest(shape, rng):
    M = rng.standard_normal(shape)
    P = project_stiefel(M)
    wide = P if shape[0] <= shape[1] else P.T
    assert_allclose(wide @ wide.T, np.eye(min(shape)), atol=1e-12)
    for _ in range(200):
        Q = project_stiefel(rng.standard_normal(shape))
        assert np.linalg.norm(M - P) <= np.linalg.norm(M - Q) + 1e-12


@pytest.mark.parametrize(
    ("shape", "blocks"), [((12, 12), 3), ((12, 20), (4, 5)), ((6, 4), (3, 1))]
)
def test_monarch_projection_leaves_the_other_singular_values(shape, blocks, rng):
    M = rng.standard_normal(shape)
    factors = project_monarch(M, blocks)
    p, q = (blocks, blocks) if isinstance(blocks, int) else blocks
    dense = factors.to_dense()
    assert dense.shape == shape
    discarded = 0.0
    for k in range(p):
        for r in range(q):
            c = shape[1] // q
            s = np.linalg.svd(M[k::p, r * c : (r + 1) * c], compute_uv=False)
            discarded += (s[1:] ** 2).sum()
    assert_allclose(((M - dense) ** 2).sum(), discarded, rtol=1e-10)
    assert_allclose(factors.residual**2, discarded, rtol=1e-10)
    again = project_monarch(dense, blocks)
    assert_allclose(again.to_dense(), dense, atol=1e-12)
    assert again.residual < 1e-12
    X = rng.standard_normal((shape[1], 7))
    assert_allclose(monarch_matmul(factors, X), dense @ X, atol=1e-12)
    assert_allclose(monarch_matmul(factors, X[:, 0]), dense @ X[:, 0], atol=1e-12)


def test_reordered_fourier_matrix_is_monarch():
    n, b = 64, 8
    grid = np.arange(n)
    F = np.exp(-2j * np.pi * np.outer(grid, grid) / n) / np.sqrt(n)
    order = grid.reshape(b, b).T.ravel()
    factors = project_monarch(F[:, order], b)
    assert factors.residual**2 < 1e-26
    assert_allclose(factors.to_dense(), F[:, order], atol=1e-13)
    x = np.random.default_rng(0).standard_normal(n)
    spectrum = monarch_matmul(factors, x[order]) * np.sqrt(n)
    assert_allclose(spectrum, np.fft.fft(x), atol=1e-12)
    assert_allclose(project_monarch(F, b).residual ** 2, 56, rtol=1e-10)


def test_bad_input_is_explained():
    M = np.ones((4, 6))
    with pytest.raises(ValueError, match="does not divide the 6 entries"):
        project_nm(M)
    with pytest.raises(ValueError, match="n=5 exceeds m=3"):
        project_nm(M, 5, 3)
    with pytest.raises(ValueError, match="axis=2"):
        project_nm(M, 1, 2, axis=2)
    with pytest.raises(ValueError, match="does not broadcast"):
        project_nm(M, 1, 2, importance=np.ones(5))
    with pytest.raises(ValueError, match="non-negative"):
        project_nm(M, 1, 2, importance=-np.ones(6))
    with pytest.raises(ValueError, match="do not divide the 6 columns"):
        project_monarch(M, 4)
    with pytest.raises(ValueError, match="must be 6"):
        monarch_matmul(project_monarch(M, 2), np.ones(4))
    for function in (topk_code, abs_topk_code):
        with pytest.raises(ValueError, match="'k' parameter"):
            function(M, 0)
        with pytest.raises(ValueError, match="NaN"):
            function(M * np.nan, 1)
        with pytest.raises(ValueError, match="Complex data not supported"):
            function(M * 1j, 1)


@pytest.mark.parametrize("radius", [0.5, 1.0, 2.5])
def test_singular_values_are_clipped_at_the_radius(radius, rng):
    M = rng.standard_normal((7, 5))
    U, s, V = np.linalg.svd(M, full_matrices=False)
    clipped = (U * np.minimum(s, radius)) @ V
    assert_allclose(project_spectral_ball(M, radius=radius), clipped, atol=1e-12)
