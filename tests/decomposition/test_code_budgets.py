"""Budgets of codes: brute force, budgets met, thresholds, predicted norms."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat.decomposition import (
    feature_choice_code,
    mutual_choice_code,
    norm_matched_code,
    quasi_orthogonality,
    topk_code,
    zipf_budgets,
)
from sparsestat.decomposition._orthogonal._kernels_budgets import bar_of_all


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def first_largest(u, k):
    """Keep the k largest positive entries of a vector, equal ones from the left."""
    order = sorted(range(len(u)), key=lambda i: (-u[i], i))
    kept = [i for i in order[:k] if u[i] > 0]
    out = np.zeros_like(u)
    out[kept] = u[kept]
    return out


@pytest.mark.parametrize("digits", [1, 6])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_mutual_choice_is_brute_force(rng, digits, dtype):
    U = rng.standard_normal((7, 9)).round(digits).astype(dtype)
    for k in (0, 1, 5, 20, 63, 1000):
        Z, bar = mutual_choice_code(U, k, return_threshold=True)
        assert_array_equal(Z.toarray(), first_largest(U.ravel(), k).reshape(U.shape))
        assert Z.dtype == dtype and Z.has_sorted_indices
        if 0 < k <= (U > 0).sum():
            assert Z.nnz == k and bar == Z.data.min()
        elif k:
            assert bar == 0


def test_a_budget_beyond_the_buffer_is_still_exact(rng):
    flat = rng.standard_normal(50_000)
    for k in (1, 17, 3000):
        buffer = np.empty(2 * k + 5)
        assert bar_of_all(flat, k, buffer) == np.sort(flat)[-k]


def test_equal_rows_share_the_budget_like_topk(rng):
    U = np.tile(rng.standard_normal(12), (5, 1))
    both = mutual_choice_code(U, 5 * 3), topk_code(U, 3)
    assert_array_equal(both[0].toarray(), both[1].toarray())


@pytest.mark.parametrize("digits", [1, 6])
def test_feature_choice_is_brute_force(rng, digits):
    U = rng.standard_normal((11, 6)).round(digits)
    budgets = np.array([0, 1, 2, 3, 11, 50])
    Z, bars = feature_choice_code(U, budgets, return_threshold=True)
    expected = [first_largest(u, m) for u, m in zip(U.T, budgets, strict=True)]
    assert_array_equal(Z.toarray(), np.array(expected).T)
    assert bars[0] == np.inf
    for j in range(1, 6):
        enough = (U[:, j] > 0).sum() >= budgets[j]
        column = Z.toarray()[:, j]
        assert bars[j] == (column[column > 0].min() if enough else 0)
    same = feature_choice_code(U, 2).toarray()
    assert_array_equal(same, feature_choice_code(U, np.full(6, 2)).toarray())


def test_columns_are_taken_in_blocks(rng, monkeypatch):
    from sparsestat.decomposition._orthogonal import _code_budgets

    U = rng.random((30, 11))
    whole = feature_choice_code(U, 4).toarray()
    monkeypatch.setattr(_code_budgets, "_BLOCK", 60)
    assert_array_equal(feature_choice_code(U, 4).toarray(), whole)
    assert (np.count_nonzero(whole, axis=0) == 4).all()


def test_thresholds_give_the_same_code_again(rng):
    U = rng.standard_normal((40, 15))  # without ties
    Z, bar = mutual_choice_code(U, 50, return_threshold=True)
    again, same = mutual_choice_code(U, threshold=bar, return_threshold=True)
    assert_array_equal(again.toarray(), Z.toarray())
    assert same == bar
    rows = [mutual_choice_code(u[None], threshold=bar).toarray()[0] for u in U]
    assert_array_equal(rows, Z.toarray())
    Z, bars = feature_choice_code(U, 6, return_threshold=True)
    rows = [feature_choice_code(u[None], threshold=bars).toarray()[0] for u in U]
    assert_array_equal(rows, Z.toarray())


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("largest", [None, 40, 17])
def test_zipf_budgets_sum_to_the_total_and_fall(exponent, largest):
    for n_atoms, total in ((1, 17), (10, 170), (33, 100), (7, 0), (20, 3)):
        if largest is not None and largest * n_atoms < total:
            continue
        budgets = zipf_budgets(n_atoms, total, exponent, largest=largest)
        assert budgets.sum() == total and len(budgets) == n_atoms
        assert (np.diff(budgets) <= 0).all() and budgets.min() >= 0
        if largest is not None:
            assert budgets.max() <= largest
        else:
            share = np.arange(1, n_atoms + 1) ** -exponent
            assert (np.abs(budgets - total * share / share.sum()) < 1).all()


def test_norm_matching_is_brute_force(rng):
    U = rng.standard_normal((60, 45)).round(1)
    goals = 6 * rng.random(60)
    goals[0], goals[1] = 0.0, 1e3
    Z, counts = norm_matched_code(U, goals)
    for u, goal, z, count in zip(U, goals, Z.toarray(), counts, strict=True):
        codes = [first_largest(u, k) for k in range((u > 0).sum() + 1)]
        misses = np.round([abs(np.linalg.norm(c) - goal) for c in codes], 12)
        assert count == misses.argmin()
        assert_array_equal(z, codes[count])


def test_norm_matching_of_orthonormal_atoms_is_exact(rng):
    D = np.linalg.qr(rng.standard_normal((90, 90)))[0]
    codes = rng.random((20, 90)) * (rng.random((20, 90)) < 0.5)
    X = codes @ D
    Z, counts = norm_matched_code(X @ D.T, X=X)
    # Rounding leaves entries of the order of 1e-16, which change no norm.
    assert_allclose(Z.toarray(), codes, atol=1e-12)
    assert (counts >= (codes > 0.01).sum(axis=1)).all()
    same, _ = norm_matched_code(X @ D.T, np.linalg.norm(X, axis=1))
    assert_array_equal(same.toarray(), Z.toarray())
    scaled, other = norm_matched_code(2.0**200 * (X @ D.T), X=2.0**200 * X)
    assert_array_equal(other, counts)
    assert_array_equal(scaled.toarray(), 2.0**200 * Z.toarray())


def test_quasi_orthogonality_is_that_of_the_gram_matrix(rng, monkeypatch):
    from sparsestat.decomposition._orthogonal import _code_budgets

    D = rng.standard_normal((23, 7)) * np.geomspace(1e-3, 1e3, 23)[:, None]
    unit = D / np.linalg.norm(D, axis=1, keepdims=True)
    off = np.abs((unit @ unit.T)[~np.eye(23, dtype=bool)])
    for block in (4_000_000, 60):
        monkeypatch.setattr(_code_budgets, "_BLOCK", block)
        found = quasi_orthogonality(D)
        assert_allclose(found.mean, off.mean())
        assert_allclose(found.max, off.max())
        assert_allclose(found.mean_square, (off**2).mean())
    assert quasi_orthogonality(np.eye(5)).norm_ratio_error(3) == 0
    assert quasi_orthogonality([[2.0, 1.0]]).max == 0
    # Welch: so many unit vectors cannot be closer to orthogonal.
    assert found.mean_square >= (23 - 7) / (7 * 22) * (1 - 1e-12)


def test_the_predicted_error_is_that_over_all_signs(rng):
    k, angle = 6, 0.3
    # All pairs have the same inner product, so that the prediction is exact.
    G = np.full((k, k), angle) + (1 - angle) * np.eye(k)
    D = np.linalg.cholesky(G)
    found = quasi_orthogonality(D)
    assert_allclose(found.mean_square, angle**2)
    f = rng.random(k) + 0.1
    signs = np.array(list(itertools.product((-1, 1), repeat=k)))
    ratios = ((signs * f) @ G * (signs * f)).sum(axis=1) / (f @ f)
    assert_allclose(ratios.mean(), 1.0)
    for codes in (f[None], sparse.csr_array(7.0 * f[None]), np.array([f, f, 0 * f])):
        error = found.norm_ratio_error(codes)
        assert_allclose(error[0], ratios.std(), rtol=1e-10)
    assert error[2] == 0
    equal = (signs @ G * signs).sum(axis=1) / k
    assert_allclose(found.norm_ratio_error(k), equal.std(), rtol=1e-10)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: mutual_choice_code(np.eye(2)), "exactly one of n_nonzero"),
        (lambda: mutual_choice_code(np.eye(2), 1, threshold=0.5), "exactly one"),
        (lambda: mutual_choice_code(np.eye(2), -1), "n_nonzero"),
        (lambda: mutual_choice_code([[np.nan]], 1), "NaN"),
        (lambda: feature_choice_code(np.eye(2)), "exactly one of n_samples"),
        (lambda: feature_choice_code(np.eye(2), [1, 2, 3]), "each of the 2 atoms"),
        (lambda: feature_choice_code(np.eye(2), [1.5, 2]), "non-negative integer"),
        (lambda: feature_choice_code(np.eye(2), [-1, 2]), "non-negative integer"),
        (lambda: feature_choice_code(np.eye(2), threshold=[1.0]), "one number"),
        (lambda: zipf_budgets(3, 10, largest=3), "does not reach total=10"),
        (lambda: zipf_budgets(0, 10), "n_atoms"),
        (lambda: norm_matched_code(np.eye(2)), "exactly one of norms"),
        (lambda: norm_matched_code(np.eye(2), [1.0]), "each of the 2"),
        (lambda: norm_matched_code(np.eye(2), [1.0, -1.0]), "non-negative"),
        (lambda: norm_matched_code(np.eye(2), X=np.ones((3, 1))), "each of the 2"),
        (lambda: quasi_orthogonality([[1.0, 0.0], [0.0, 0.0]]), "Atom 1 is zero"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
