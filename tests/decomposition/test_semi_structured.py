"""Semi-structured factorization: each step against its oracle, and the whole."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import itertools
import math
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import linalg

from sparsestat.decomposition import SemiStructuredFactorization, project_nm
from sparsestat.decomposition._factors._semi_structured_fit import _Descent
from sparsestat.exceptions import ConvergenceWarning


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def fitted(W, *, data=None, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return SemiStructuredFactorization(**arguments).fit(W, **(data or {}))


def perturbed(rng, shape=(8, 12), block=4, n=2, m=4):
    """Return a descent away from its start, its matrix and importances."""
    W, d = rng.standard_normal(shape), rng.random(shape[1]) + 0.1
    state = _Descent(W, d, n, m, block, None)
    state.A += 0.3 * rng.standard_normal(state.A.shape)
    state.B += 0.3 * rng.standard_normal(state.B.shape)
    state._take_residual()
    return state, W, d


def dense(state):
    """Return the factors as dense matrices."""
    S = state.S.transpose(1, 0, 2).reshape(state.S.shape[1], -1)
    return linalg.block_diag(*state.A), S, linalg.block_diag(*state.B)


def cost(W, d, A, S, B):
    return (d * (W - A @ S @ B) ** 2).sum()


def test_each_step_lowers_the_loss_and_tracks_the_residual(rng):
    state, W, d = perturbed(rng, (12, 16))
    loss = state.loss()
    for _ in range(3):
        for step in (state.improve_left, state.improve_right, state.improve_core):
            step()
            assert state.loss() < loss
            loss = state.loss()
            assert_allclose(loss, cost(W, d, *dense(state)) / (d * W**2).sum())


def test_left_and_right_steps_are_least_squares(rng):
    state, W, d = perturbed(rng)
    _, S, B = dense(state)
    state.improve_left()
    root = np.sqrt(d)
    for k in range(2):
        rows = slice(4 * k, 4 * k + 4)
        P = (S[rows] @ B) * root
        expected = np.linalg.lstsq(P.T, (W[rows] * root).T, rcond=None)[0].T
        assert_allclose(state.A[k], expected, atol=1e-6)
    A, S, _ = dense(state)
    state.improve_right()
    for c in range(3):
        columns = slice(4 * c, 4 * c + 4)
        expected = np.linalg.lstsq(A @ S[:, columns], W[:, columns], rcond=None)[0]
        assert_allclose(state.B[c], expected, atol=1e-6)


@pytest.mark.parametrize("n, m", [(2, 4), (1, 4), (3, 4), (1, 2)])
def test_the_core_step_is_brute_force_group_by_group(rng, n, m):
    state, W, d = perturbed(rng, (4, 8), n=n, m=m)
    A, S, B = dense(state)
    state.improve_core()
    root = np.sqrt(d)
    for c, r, g in itertools.product(range(2), range(4), range(4 // m)):
        start = 4 * c + g * m
        group = np.arange(start, start + m)
        without = S.copy()
        without[r, group] = 0.0
        R = (W - A @ without @ B) * root
        best = np.inf
        for mask in itertools.combinations(group, n):
            design = np.stack([np.outer(A[:, r], B[j] * root).ravel() for j in mask])
            x, *_ = np.linalg.lstsq(design.T, R.ravel(), rcond=None)
            left = ((R.ravel() - x @ design) ** 2).sum()
            if left < best:
                best, chosen = left, (mask, x)
        S = without
        S[r, list(chosen[0])] = chosen[1]
    assert_allclose(dense(state)[1], S, atol=1e-9)


def test_the_loss_never_rises_and_is_below_pruning(rng):
    W, d = rng.standard_normal((40, 64)), rng.random(64)
    model = fitted(W, block_size=8, data={"importance": d})
    assert (np.diff(model.history_) <= 0).all()
    pruned = project_nm(W, importance=d)
    baseline = (d * (W - pruned) ** 2).sum() / (d * W**2).sum()
    assert_allclose(model.history_[0], baseline, rtol=1e-10)
    assert_allclose(model.baseline_loss_, baseline, rtol=1e-10)
    rest = (d * (W - model.reconstruct()) ** 2).sum() / (d * W**2).sum()
    assert_allclose(model.loss_, rest, rtol=1e-8)
    assert model.loss_ < 0.8 * baseline
    fall = 1 - model.history_[-1] / model.history_[-2]
    assert_allclose(model.certificate_.value, fall)
    assert model.certificate_.satisfied == (fall <= 1e-3)


@pytest.mark.parametrize(
    "shape", [(10, 13), (1, 1), (3, 50), (50, 3), (9, 8), (16, 16)]
)
@pytest.mark.parametrize("n, m, block_size", [(2, 4, 8), (1, 3, 6), (4, 4, 4)])
def test_any_shape_has_its_pattern_and_its_product(rng, shape, n, m, block_size):
    W = rng.standard_normal(shape)
    model = fitted(W, n=n, m=m, block_size=block_size, max_iter=5)
    S = model.core_.toarray()
    assert S.shape == shape
    for start in range(0, shape[1], m):
        assert (np.count_nonzero(S[:, start : start + m], axis=1) <= n).all()
    A = linalg.block_diag(*model.left_blocks_)
    B = linalg.block_diag(*model.right_blocks_)
    assert A.shape == 2 * shape[:1] and B.shape == 2 * shape[1:]
    assert_allclose(A @ S @ B, model.reconstruct(), atol=1e-12)
    X = rng.standard_normal((shape[1], 3))
    assert_allclose(model.matmul(X), model.reconstruct() @ X, atol=1e-10)
    assert_allclose(model.matmul(X[:, 0]), model.matmul(X)[:, 0], atol=1e-12)
    assert (np.diff(model.history_) <= 0).all()
    assert_allclose(np.linalg.norm(A, axis=0), 1.0)
    assert_allclose(np.linalg.norm(B, axis=1), 1.0)


def test_a_matrix_with_the_pattern_is_exact_at_the_start(rng):
    W = project_nm(rng.standard_normal((20, 32)))
    model = fitted(W, block_size=8)
    assert model.loss_ == 0 and model.n_iter_ == 1
    assert_allclose(model.reconstruct(), W, atol=1e-14)
    assert model.certificate_.satisfied


def test_a_planted_product_is_approached(rng):
    blocks = [[rng.standard_normal((16, 16)) for _ in range(4)] for _ in range(2)]
    S = project_nm(rng.standard_normal((64, 64)))
    W = linalg.block_diag(*blocks[0]) @ S @ linalg.block_diag(*blocks[1])
    model = fitted(W, block_size=16, max_iter=12)
    assert model.loss_ < 0.15 * model.baseline_loss_


def test_calibration_is_the_mean_square_of_its_columns(rng):
    W, X = rng.standard_normal((8, 12)), rng.standard_normal((30, 12))
    X *= np.geomspace(0.1, 10, 12)
    square = (X**2).mean(axis=0)
    ways = ({"calibration": X}, {"gram": X.T @ X / 30}, {"importance": square})
    one, two, three = (
        fitted(W, block_size=4, data=data).reconstruct() for data in ways
    )
    assert_allclose(one, two, atol=1e-9)
    assert_allclose(one, three, atol=1e-9)
    plain = fitted(W, block_size=4)
    identity = fitted(W, block_size=4, data={"calibration": np.eye(12)})
    assert_allclose(identity.reconstruct(), plain.reconstruct(), atol=1e-10)


def test_scales_of_columns_and_of_everything_leave_the_loss(rng):
    W, d = rng.standard_normal((8, 12)), rng.random(12) + 0.1
    model = fitted(W, block_size=4, data={"importance": d})
    scale = 2.0 ** rng.integers(-3, 4, 12)
    moved = fitted(W * scale, block_size=4, data={"importance": d / scale**2})
    assert_allclose(moved.history_[0], model.history_[0], rtol=1e-12)
    assert_allclose(moved.loss_, model.loss_, rtol=1e-6)
    large = fitted(2.0**100 * W, block_size=4, data={"importance": 2.0**-50 * d})
    assert_array_equal(large.history_, model.history_)
    assert_array_equal(large.reconstruct(), 2.0**100 * model.reconstruct())


def test_columns_without_importance_and_rows_of_zeros(rng):
    W, d = rng.standard_normal((8, 12)), rng.random(12)
    d[3:6] = 0.0
    W[2] = 0.0
    model = fitted(W, block_size=4, data={"importance": d})
    assert (np.diff(model.history_) <= 0).all()
    assert np.isfinite(model.reconstruct()).all()
    assert fitted(np.zeros((8, 12)), block_size=4).loss_ == 0


def test_rotations_are_drawn_by_the_seed_and_never_worse_than_pruning(rng):
    W = rng.standard_normal((32, 32))
    runs = [
        fitted(W, block_size=8, init="rotation", random_state=s, max_iter=5)
        for s in (0, 0, 1)
    ]
    assert_array_equal(runs[0].history_, runs[1].history_)
    assert runs[0].loss_ != runs[2].loss_
    exact = project_nm(W)  # which no rotation finds
    model = fitted(exact, block_size=8, init="rotation", random_state=0, max_iter=1)
    assert model.loss_ == 0 == model.baseline_loss_


def test_the_number_of_threads_does_not_matter(rng):
    W = rng.standard_normal((40, 48))
    one, two = (fitted(W, block_size=8, max_iter=4, n_jobs=j) for j in (1, 2))
    assert_array_equal(one.history_, two.history_)
    assert_array_equal(one.core_.toarray(), two.core_.toarray())


def test_bits_are_those_of_the_format():
    model = fitted(np.ones((8, 10)), block_size=4, max_iter=1)
    blocks = 2 * 16 + (2 * 16 + 4)
    group = 2 * 16 + math.ceil(math.log2(6))
    assert model.n_bits_ == 16 * blocks + 8 * (2 * group + 2 * 16)


def test_single_precision_is_close(rng):
    W = rng.standard_normal((16, 16)).astype(np.float32)
    one, two = fitted(W, block_size=8), fitted(W.astype(float), block_size=8)
    assert one.loss_ == two.loss_


def test_it_warns_once_when_the_loss_still_falls(rng):
    with pytest.warns(ConvergenceWarning, match="last fall") as caught:
        SemiStructuredFactorization(block_size=8, max_iter=1).fit(
            rng.standard_normal((16, 16))
        )
    assert len(caught) == 1


@pytest.mark.parametrize(
    "arguments, data, message",
    [
        ({"n": 5}, {}, "n=5 exceeds m=4"),
        ({"m": 5}, {}, "m=5 does not divide block_size=32"),
        ({"n": 8, "m": 16}, {}, "12870 ways"),
        ({}, {"importance": [1.0, -1.0, 1.0, 1.0]}, "non-negative"),
        ({}, {"importance": [1.0, np.nan, 1.0, 1.0]}, "finite"),
        ({}, {"importance": np.ones(3)}, "does not broadcast"),
        ({}, {"importance": np.zeros(4)}, "importance zero"),
        ({}, {"importance": ["a", "b", "c", "d"]}, "real numbers"),
        ({}, {"calibration": np.ones((5, 3))}, "4 columns"),
        ({}, {"gram": np.ones((4, 3))}, "symmetric"),
        ({}, {"gram": np.eye(4), "calibration": np.eye(4)}, "only one of"),
        ({}, {"gram": -np.eye(4)}, "negative diagonal"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, data, message):
    with pytest.raises(ValueError, match=message):
        SemiStructuredFactorization(**arguments).fit(np.ones((4, 4)), **data)


def test_matmul_refuses_other_shapes(rng):
    model = fitted(rng.standard_normal((4, 6)), max_iter=1)
    with pytest.raises(ValueError, match="first dimension must be 6"):
        model.matmul(np.ones((4, 2)))
