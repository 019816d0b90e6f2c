"""Calibrated factorization: matching pursuit, exactness, monotone error."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import orthogonal_mp_gram

from sparsestat.decomposition import CalibratedSparseFactorization
from sparsestat.decomposition._factors import _kernels_omp as kernels
from sparsestat.exceptions import ConvergenceWarning


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def test_matching_pursuit_agrees_with_scikit_learn(rng):
    D = rng.standard_normal((20, 40))
    D /= np.linalg.norm(D, axis=0)
    Y = rng.standard_normal((20, 30))
    A, Q, s = np.ascontiguousarray(Y.T @ D), D.T @ D, 6
    codes = np.empty((30, 40))
    work = np.empty(40), np.empty(s, dtype=np.int64), np.empty((s, s)), np.empty(s)
    kernels.omp_rows(A, Q, s, codes, *work)
    expected = orthogonal_mp_gram(Q, A.T, n_nonzero_coefs=s)
    assert_allclose(codes.T, expected, atol=1e-10)


def test_the_error_never_rises_and_is_that_on_the_data(rng):
    W, X = rng.standard_normal((15, 60)), rng.standard_normal((200, 15))
    X *= np.geomspace(1, 20, 15)
    model = CalibratedSparseFactorization(
        25, n_nonzero=3, random_state=0, ridge=0.0, max_iter=200
    ).fit(W, calibration=X)
    assert (np.diff(model.history_) <= 1e-12).all()
    assert (np.diff(model.codes_.tocsc().indptr) <= 3).all()
    error = np.linalg.norm(X @ (W - model.reconstruct())) / np.linalg.norm(X @ W)
    assert_allclose(model.error_, error, rtol=1e-8)
    assert model.certificate_.satisfied


def test_gram_stands_for_the_data(rng):
    W, X = rng.standard_normal((10, 40)), rng.standard_normal((100, 10))
    model = CalibratedSparseFactorization(12, random_state=0, max_iter=200)
    one = model.fit(W, calibration=X).reconstruct()
    two = model.fit(W, gram=X.T @ X / 100).reconstruct()
    assert_allclose(one, two, atol=1e-10)


def test_calibration_lowers_the_error_on_the_data(rng):
    W, X = rng.standard_normal((20, 80)), rng.standard_normal((300, 20))
    X *= np.geomspace(1, 50, 20)
    errors = []
    for data in (X, None):
        model = CalibratedSparseFactorization(
            30, n_nonzero=3, random_state=0, max_iter=200
        ).fit(W, calibration=data)
        errors.append(np.linalg.norm(X @ (W - model.reconstruct())))
    assert errors[0] < 0.8 * errors[1]


def test_as_many_entries_as_the_rank_are_exact(rng):
    W = rng.standard_normal((12, 5)) @ rng.standard_normal((5, 40))
    X = rng.standard_normal((100, 12))
    model = CalibratedSparseFactorization(8, n_nonzero=8, random_state=0)
    assert model.fit(W, calibration=X).error_ < 1e-8


def test_planted_codes_of_one_entry_are_found(rng):
    # One entry a column: clusters of directions, up to a gain.
    D = np.linalg.qr(rng.standard_normal((10, 4)))[0]
    label = np.arange(60) % 4
    W = D[:, label] * (1 + rng.random(60)) * rng.choice([-1, 1], 60)
    errors = [
        CalibratedSparseFactorization(4, n_nonzero=1, random_state=s).fit(W).error_
        for s in range(10)
    ]
    assert min(errors) < 1e-10


def test_calibration_turns_the_norm_of_the_data_into_a_plain_one(rng):
    W, X = rng.standard_normal((12, 30)), rng.standard_normal((80, 12))
    X *= np.geomspace(0.1, 10, 12)
    R = CalibratedSparseFactorization(4, ridge=0.0)._root(12, X, None)
    assert_allclose(
        np.linalg.norm(X @ W) / np.sqrt(80), np.linalg.norm(R @ W), rtol=1e-10
    )
    assert_allclose(R, np.triu(R))
    # Several matrices that act on the same data share one dictionary, side by side.
    pair = np.hstack([W, 2.0 * W[:, :5]])
    model = CalibratedSparseFactorization(8, n_nonzero=2, ridge=0.0, random_state=0)
    model.set_params(max_iter=300).fit(pair, calibration=X)
    shared, D = model.reconstruct(), model.dictionary_
    assert_allclose(np.linalg.norm(R @ D, axis=0), 1.0, rtol=1e-10)
    assert_allclose(shared[:, 30:], 2.0 * shared[:, :5], atol=1e-8)


def test_one_entry_a_column_is_gain_shape_k_means(rng):
    W, k = rng.standard_normal((6, 50)), 5
    model = CalibratedSparseFactorization(k, n_nonzero=1, random_state=0, tol=0.0)
    D = model._start(W, np.random.RandomState(0))
    errors = []
    for _ in range(15):  # assign to the best direction, then average with gains
        match = D.T @ W
        label = np.abs(match).argmax(axis=0)
        gain = match[label, np.arange(50)]
        for j in range(k):
            mean = W[:, label == j] @ gain[label == j]
            if mean.any():
                D[:, j] = mean / np.linalg.norm(mean)
        rest = W - D[:, label] * (D[:, label] * W).sum(axis=0)
        errors.append(np.linalg.norm(rest) / np.linalg.norm(W))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(max_iter=15).fit(W)
    n = min(len(errors), len(model.history_))
    assert_allclose(model.history_[:n], errors[:n], rtol=1e-10)


def test_zero_matrix_has_zero_codes():
    model = CalibratedSparseFactorization(3, random_state=0).fit(np.zeros((5, 6)))
    assert model.codes_.nnz == 0 and model.error_ == 0


def test_bad_input_is_explained(rng):
    W, X = rng.standard_normal((6, 10)), rng.standard_normal((20, 6))
    model = CalibratedSparseFactorization(4, n_nonzero=2, random_state=0)
    with pytest.raises(ValueError, match="not both"):
        model.fit(W, calibration=X, gram=X.T @ X)
    with pytest.raises(ValueError, match="has 5 columns"):
        model.fit(W, calibration=X[:, :5])
    with pytest.raises(ValueError, match="symmetric matrix of shape"):
        model.fit(W, gram=np.triu(np.ones((6, 6))))
    with pytest.raises(ValueError, match="not positive definite"):
        model.fit(W, gram=-np.eye(6))
    with pytest.raises(ValueError, match="Complex data not supported"):
        model.fit(W * 1j)
    with pytest.warns(ConvergenceWarning, match="Raise max_iter"):
        CalibratedSparseFactorization(4, max_iter=1, random_state=0).fit(W)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(tol=1.0).fit(W)
