"""Levels of rows: optimality, packing, outliers, products, bits."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans

from sparsestat.cluster import KMeans1D
from sparsestat.decomposition import QuantizedMatrix, quantize_rows
from sparsestat.decomposition._factors._quantize import pack_codes, unpack_codes


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def least_cost(x, w, k):
    """Return the optimum over all partitions of a short row into intervals."""
    order = np.argsort(x)
    x, w = x[order], w[order]

    def cost(i, j):
        mean = np.average(x[i:j], weights=w[i:j])
        return (w[i:j] * (x[i:j] - mean) ** 2).sum()

    cuts = itertools.combinations(range(1, len(x)), min(k, len(x)) - 1)
    return min(
        sum(cost(i, j) for i, j in itertools.pairwise((0, *cut, len(x))))
        for cut in cuts
    )


@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_levels_cost_as_little_as_brute_force(rng, bits, weighted):
    W = rng.standard_normal((20, 9))
    h = rng.gamma(0.5, size=W.shape) + 1e-3 if weighted else np.ones(W.shape)
    Q = quantize_rows(W, bits, sensitivity=h if weighted else None)
    costs = (h * (W - Q.dequantize()) ** 2).sum(axis=1)
    for row, weights, found in zip(W, h, costs, strict=True):
        assert_allclose(found, least_cost(row, weights, 2**bits), rtol=1e-10)
    assert_allclose(Q.loss, costs.sum() / (h * W**2).sum(), rtol=1e-10)


def test_rows_are_those_of_the_exact_clusterer_and_no_worse_than_k_means(rng):
    W, h = rng.standard_normal((5, 400)), rng.gamma(0.3, size=(5, 400))
    Q = quantize_rows(W, 3, sensitivity=h)
    for row, weights, levels in zip(W, h, Q.codebook, strict=True):
        exact = KMeans1D(8).fit(row, sample_weight=weights)
        assert_allclose(levels, exact.cluster_centers_.ravel(), rtol=1e-9)
        local = KMeans(8, n_init=1, random_state=0)
        local.fit(row[:, None], sample_weight=weights)
        assert exact.inertia_ <= local.inertia_ * (1 + 1e-12)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("n_columns", [1, 7, 8, 19, 64])
def test_packed_codes_come_back(rng, bits, n_columns):
    codes = rng.integers(0, 2**bits, (3, n_columns)).astype(np.uint8)
    packed = pack_codes(codes, bits)
    assert packed.shape == (3, -(-n_columns * bits // 8))
    assert_array_equal(unpack_codes(packed, bits, n_columns), codes)
    W = rng.standard_normal((3, n_columns))
    Q = quantize_rows(W, bits)
    levels = np.take_along_axis(Q.codebook, Q.unpack().astype(int), axis=1)
    assert_array_equal(Q.dequantize(), levels)
    assert_array_equal(
        np.abs(Q.codebook[:, None] - W[:, :, None]).argmin(2),
        np.abs(levels[:, :, None] - Q.codebook[:, None]).argmin(2),
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("fraction", [0.0, 0.03])
def test_products_are_those_of_the_decoded_matrix(rng, dtype, fraction):
    W = rng.standard_normal((300, 37)).astype(dtype)
    Q = quantize_rows(W, 3, outlier_fraction=fraction)
    assert Q.dequantize().dtype == dtype
    for X in (rng.standard_normal((37, 5)), rng.standard_normal(37)):
        X = X.astype(dtype)
        assert Q.matmul(X).dtype == dtype
        rtol = 1e-12 if dtype == np.float64 else 1e-4
        assert_allclose(Q.matmul(X), Q.dequantize() @ X, rtol=rtol, atol=rtol)


def test_outliers_are_exact_and_the_largest(rng):
    W = rng.standard_normal((10, 20))
    W[3, 4], W[7, 0] = 50.0, -60.0
    Q = quantize_rows(W, 2, outlier_fraction=0.01)
    assert_array_equal(np.argwhere(Q.outliers.toarray()), [[3, 4], [7, 0]])
    kept = Q.dequantize()
    assert kept[3, 4] == 50.0 and kept[7, 0] == -60.0
    assert Q.codebook.max() < 5
    assert Q.loss < quantize_rows(W, 2).loss
    none = quantize_rows(W, 2, outlier_fraction=1e-4)
    assert none.outliers.nnz == 0
    assert_array_equal(none.dequantize(), quantize_rows(W, 2).dequantize())


@pytest.mark.parametrize("weighted", [False, True])
def test_all_outliers_are_exact(rng, weighted):
    W = rng.standard_normal((6, 11))
    W[2, 3:] = 0.0
    h = rng.random(W.shape) if weighted else None
    Q = quantize_rows(W, 1, sensitivity=h, outlier_fraction=1.0)
    assert_array_equal(Q.dequantize(), W)
    assert Q.loss == 0 and Q.outliers.nnz == W.size


def test_sensitive_entries_are_kept_before_large_ones(rng):
    W, h = rng.standard_normal((10, 20)), np.ones((10, 20))
    h[5, 5] = 9.0
    W[5, 5] = 0.01
    Q = quantize_rows(W, 2, sensitivity=h, outlier_fraction=0.05)
    assert Q.outliers.nnz == 10 and Q.dequantize()[5, 5] == 0.01


def test_weights_broadcast_and_only_their_ratios_matter(rng):
    W, h = rng.standard_normal((8, 30)), rng.random(30)
    one = quantize_rows(W, 2, sensitivity=h)
    two = quantize_rows(W, 2, sensitivity=np.tile(2.0**60 * h, (8, 1)))
    assert_array_equal(one.dequantize(), two.dequantize())
    assert_allclose(one.loss, two.loss)
    scaled = quantize_rows(2.0**80 * W, 2, sensitivity=h)
    assert_array_equal(scaled.dequantize(), 2.0**80 * one.dequantize())
    shifted = quantize_rows(W + 2.0**10, 2, sensitivity=h)
    assert_array_equal(shifted.codes, one.codes)


def test_rows_without_any_weight_or_of_one_value(rng):
    W, h = rng.standard_normal((4, 12)), rng.random((4, 12))
    h[1], W[2], W[3] = 0.0, 0.0, 7.0
    Q = quantize_rows(W, 2, sensitivity=h)
    assert_allclose(Q.codebook[1], quantize_rows(W[[1]], 2).codebook[0])
    assert_array_equal(Q.dequantize()[2:], W[2:])
    assert quantize_rows(np.zeros((2, 3)), 2).loss == 0


def test_more_levels_than_values_are_exact(rng):
    W = rng.integers(0, 5, (6, 40)).astype(float)
    Q = quantize_rows(W, 3)
    assert_array_equal(Q.dequantize(), W)
    assert (np.diff(Q.codebook, axis=1) >= 0).all()
    assert Q.unpack().max() <= 4


def test_the_loss_falls_with_bits_and_memory_is_small(rng):
    W = rng.standard_normal((64, 512)).astype(np.float32)
    found = [quantize_rows(W, bits) for bits in range(1, 9)]
    assert (np.diff([Q.loss for Q in found]) < 0).all()
    assert found[2].nbytes < W.nbytes / 5
    Q = quantize_rows(W, 3, outlier_fraction=0.01)
    assert Q.n_bits == 3 * W.size + 16 * 8 * 64 + Q.outliers.nnz * (16 + 9)
    assert isinstance(Q, QuantizedMatrix) and Q.shape == W.shape


def test_the_number_of_threads_does_not_matter(rng):
    W = rng.standard_normal((600, 20))
    one, two = (quantize_rows(W, 2, n_jobs=j) for j in (1, 2))
    assert_array_equal(one.codes, two.codes)
    assert_array_equal(one.codebook, two.codebook)


@pytest.mark.parametrize(
    "W, arguments, message",
    [
        (np.ones((2, 3)), {"bits": 0}, "bits"),
        (np.ones((2, 3)), {"bits": 9}, "bits"),
        (np.array([[1.0, np.nan]]), {}, "NaN"),
        (np.ones((2, 3)), {"outlier_fraction": 1.5}, "outlier_fraction"),
        (np.ones((2, 3)), {"sensitivity": -np.ones((2, 3))}, "non-negative"),
        (np.ones((2, 3)), {"sensitivity": np.ones((3, 2))}, "does not broadcast"),
        (np.ones((2, 3)), {"sensitivity": np.full(3, np.inf)}, "finite"),
    ],
)
def test_bad_input_is_refused_by_name(W, arguments, message):
    with pytest.raises(ValueError, match=message):
        quantize_rows(W, **arguments)


def test_matmul_refuses_other_shapes():
    with pytest.raises(ValueError, match="first dimension must be 3"):
        quantize_rows(np.eye(3)).matmul(np.ones((2, 2)))
