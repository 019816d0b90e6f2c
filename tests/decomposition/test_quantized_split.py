"""Quantized plus low rank plus sparse: exact cases, bounds, what more bits buy."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsestat.decomposition import quantized_low_rank_sparse


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def split(X, *arguments, **named):
    return quantized_low_rank_sparse(X, *arguments, random_state=0, **named)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (1, 9), (9, 1)])
def test_rounding_alone_is_that_of_numpy(rng, axis, shape):
    X = rng.standard_normal(shape)
    found = split(X, 3, 0, 0.0, group_size=8, axis=axis)
    expected = np.empty_like(X)
    for start in range(0, shape[axis], 8):
        part = np.take(X, np.arange(start, min(start + 8, shape[axis])), axis=axis)
        low, high = (f(part, axis=axis, keepdims=True) for f in (np.min, np.max))
        scale = (high - low) / 7
        level = np.rint((part - low) / np.where(scale > 0, scale, 1.0))
        index = [slice(None), slice(None)]
        index[axis] = slice(start, start + 8)
        expected[tuple(index)] = low + scale * level
    assert_allclose(found.reconstruct(), expected, atol=1e-12)
    error = np.linalg.norm(X - expected) / np.linalg.norm(X)
    assert_allclose(found.error, error, atol=1e-12)
    assert found.sparse.nnz == 0 and found.U.shape == (shape[0], 0)


def test_eight_bits_are_within_half_a_scale(rng):
    X = rng.standard_normal((30, 128))
    found = split(X, 8, 0, 0.0)
    scale = np.repeat(found.scales, 64, axis=1)
    assert (np.abs(X - found.reconstruct()) <= scale / 2 * (1 + 1e-10)).all()
    assert found.error < 0.01


@pytest.mark.parametrize("axis", [0, 1])
def test_full_rank_and_full_sparsity_are_exact(rng, axis):
    X = rng.standard_normal((12, 30))
    assert_allclose(split(X, 1, 12, 0.0, axis=axis).reconstruct(), X, atol=1e-12)
    all_sparse = split(X, 1, 2, 1.0, axis=axis)
    assert_allclose(all_sparse.reconstruct(), X, atol=1e-14)
    assert all_sparse.error == 0 and all_sparse.sparse.nnz == X.size


@pytest.mark.parametrize("axis", [0, 1])
def test_extremes_of_each_vector_are_exact(rng, axis):
    X = rng.standard_normal((40, 50))
    found = split(X, 2, 3, 0.1, axis=axis, group_size=16)
    marked = found.sparse.toarray() != 0
    assert (marked.sum(axis=axis) == round(0.1 * X.shape[axis])).all()
    order = np.argsort(X, axis=axis)
    count = round(0.1 * X.shape[axis]) // 2
    for ends in (range(count), range(-count, 0)):
        places = np.take(order, list(ends), axis=axis)
        assert np.take_along_axis(marked, places, axis=axis).all()
    assert_allclose(found.reconstruct()[marked], X[marked], atol=1e-14)
    left = np.linalg.norm(X - found.reconstruct()) / np.linalg.norm(X)
    assert_allclose(found.error, left, rtol=1e-10)


def test_the_error_falls_with_each_of_the_three(rng):
    X = rng.standard_normal((80, 5)) @ rng.standard_normal((5, 90))
    X += rng.standard_t(3, X.shape)
    for errors in (
        [split(X, bits).error for bits in range(1, 9)],
        [split(X, 2, rank).error for rank in (0, 2, 5, 10, 40)],
        [split(X, 2, 0, s).error for s in (0.0, 0.05, 0.2, 0.5)],
    ):
        assert (np.diff(errors) < 0).all()


def test_the_low_rank_part_is_that_of_what_rounding_leaves(rng):
    X = rng.standard_normal((60, 70))
    plain = split(X, 1, 0, 0.0)
    found = split(X, 1, 20, 0.0)  # by a full decomposition
    U, s, Vt = np.linalg.svd(X - plain.reconstruct())
    assert_allclose(found.U @ found.V.T, (U[:, :20] * s[:20]) @ Vt[:20], atol=1e-9)
    few = split(X, 1, 4, 0.0)  # by power steps
    best = np.sqrt((s[4:] ** 2).sum()) / np.linalg.norm(X)
    assert best * (1 - 1e-10) <= few.error <= 1.05 * best


@pytest.mark.parametrize("axis", [0, 1])
def test_more_passes_never_lose(rng, axis):
    X = rng.standard_normal((60, 4)) @ rng.standard_normal((4, 80))
    X += 0.1 * rng.standard_normal(X.shape)
    one = split(X, 2, 4, 0.02, axis=axis)
    found = split(X, 2, 4, 0.02, axis=axis, n_iter=6)
    assert len(found.history) == 6
    assert (np.diff(found.history) <= 0).all()
    assert found.history[0] == one.error
    assert found.error < 0.97 * one.error
    left = np.linalg.norm(X - found.reconstruct()) / np.linalg.norm(X)
    assert_allclose(found.error, left, rtol=1e-10)
    assert found.n_bits == one.n_bits


def test_constant_groups_have_scale_zero(rng):
    X = rng.standard_normal((6, 12))
    X[:, :4] = 3.0
    X[2] = 0.0
    found = split(X, 2, 0, 0.0, group_size=4)
    assert (found.scales[:, 0] == 0).all() and (found.scales[2] == 0).all()
    assert_array_equal(found.reconstruct()[:, :4], X[:, :4])
    zero = split(np.zeros((3, 4)), 1, 2)
    assert zero.error == 0
    assert_array_equal(zero.reconstruct(), np.zeros((3, 4)))


def test_transposes_shifts_and_scales(rng):
    X = rng.standard_normal((20, 30))
    one = split(X, 2, 0, 0.1, axis=1).reconstruct()
    two = split(X.T, 2, 0, 0.1, axis=0).reconstruct()
    assert_allclose(one, two.T, atol=1e-13)
    big = split(2.0**90 * X, 2, 3, 0.1)
    assert_array_equal(big.reconstruct(), 2.0**90 * split(X, 2, 3, 0.1).reconstruct())
    shifted = split(X + 2.0**10, 2, 0, 0.1).reconstruct()
    assert_allclose(shifted - 2.0**10, split(X, 2, 0, 0.1).reconstruct(), atol=1e-9)


def test_bits_are_those_of_the_parts(rng):
    X = rng.standard_normal((32, 100))
    found = split(X, 3, 2, 0.1, group_size=30)
    values = 2 * 32 * 4 + 2 * (32 + 100)
    assert found.n_bits == 3 * X.size + 16 * values + 320 * (16 + 7)
    assert found.codes.shape == (32, 38) and found.shape == (32, 100)


@pytest.mark.parametrize(
    "X, arguments, message",
    [
        (np.ones((3, 4)), {"rank": 4}, "rank=4 exceeds the smaller side of X, 3"),
        (np.ones((3, 4)), {"axis": 2}, "axis=2 is out of range"),
        (np.ones((3, 4)), {"bits": 9}, "bits"),
        (np.ones((3, 4)), {"sparsity": 1.1}, "sparsity"),
        (np.array([[1.0, np.nan]]), {"rank": 0}, "NaN"),
        (np.ones((3, 4)), {"group_size": 0}, "group_size"),
    ],
)
def test_bad_input_is_refused_by_name(X, arguments, message):
    with pytest.raises(ValueError, match=message):
        quantized_low_rank_sparse(X, **arguments)
