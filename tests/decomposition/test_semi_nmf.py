"""Semi-NMF: scipy's NNLS, a closed form, monotone steps, recovery."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import nnls

from sparsestat.decomposition import SemiNMF, _semi_nmf
from sparsestat.exceptions import ConvergenceWarning


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def test_codes_are_those_of_scipy(rng):
    X = rng.standard_normal((30, 12))
    model = SemiNMF(4, random_state=0, max_iter=5000).fit(X)
    expected = np.array([nnls(model.components_.T, x)[0] for x in X])
    assert_allclose(model.transform(X), expected, atol=1e-7)
    error = np.linalg.norm(X - expected @ model.components_)
    assert_allclose(model.reconstruction_err_, error, rtol=1e-9)


@pytest.mark.parametrize("solver", ["hals", "mu"])
@pytest.mark.parametrize("init", ["svd", "kmeans", "random"])
def test_the_objective_never_rises(solver, init, rng):
    X = rng.standard_normal((60, 20))
    model = SemiNMF(5, solver=solver, init=init, random_state=0, max_iter=5000).fit(X)
    total = (X**2).sum()
    assert (np.diff(model.history_) <= 1e-12 * total).all()
    assert model.certificate_.satisfied
    assert model.reconstruction_err_**2 <= model.history_[-1] + 1e-9 * total


def test_one_component_has_a_closed_form(rng):
    # Positive first left singular vector: the best rank-one matrix is feasible.
    X = np.outer(1 + rng.random(20), rng.standard_normal(9))
    X += 0.01 * rng.standard_normal(X.shape)
    s = np.linalg.svd(X, compute_uv=False)
    model = SemiNMF(1, tol=1e-15, max_iter=2000, random_state=0).fit(X)
    assert_allclose(model.reconstruction_err_, np.sqrt((s[1:] ** 2).sum()), rtol=1e-8)


@pytest.mark.parametrize("init", ["kmeans", "svd"])
def test_separable_codes_are_recovered(init, rng):
    k, n = 4, 80
    G = np.zeros((n, k))
    G[np.arange(n), np.arange(n) % k] = 1 + rng.random(n)
    X = G @ rng.standard_normal((k, 30))
    model = SemiNMF(k, init=init, tol=1e-14, max_iter=5000, random_state=0).fit(X)
    assert model.reconstruction_err_ <= 1e-6 * np.linalg.norm(X)


def test_sparse_components_keep_their_share(rng):
    k, d = 3, 40
    H = np.zeros((k, d))
    for j in range(k):
        H[j, 10 * j : 10 * j + 10] = rng.standard_normal(10) + 2
    X = rng.random((200, k)) @ H
    errors = []
    for init in ("svd", "kmeans", "random"):  # not convex: a few starts
        model = SemiNMF(k, feature_density=0.25, init=init, random_state=0, tol=1e-12)
        model.fit(X)
        assert ((model.components_ != 0).sum(axis=1) <= 10).all()
        errors.append(model.reconstruction_err_)
    assert min(errors) <= 1e-3 * np.linalg.norm(X)


def test_one_component_agrees_with_a_power_iteration(rng):
    # X of any sign: the best g >= 0 comes from X X^T g with negatives cut off.
    X = rng.standard_normal((40, 15))
    best = np.inf
    for _ in range(30):
        g = rng.random(40)
        for _ in range(500):
            g = np.maximum(X @ (X.T @ g), 0)
            g /= np.linalg.norm(g)
        best = min(best, (X**2).sum() - ((X.T @ g) ** 2).sum())
    errors = [
        SemiNMF(1, init="random", tol=1e-14, max_iter=5000, random_state=s)
        .fit(X)
        .reconstruction_err_
        for s in range(10)
    ]
    assert_allclose(min(errors) ** 2, best, rtol=1e-6)


def test_refitted_components_are_least_squares_on_their_support(rng):
    X = rng.standard_normal((80, 30))
    arguments = {"feature_density": 0.4, "random_state": 0, "max_iter": 2000}
    G, H = rng.random((80, 4)), rng.standard_normal((4, 30))
    H *= rng.random(H.shape) < 0.4
    H[:, 0], H[:, 1] = 0.0, 1.0  # a feature that nobody uses, one that all do
    found = _semi_nmf._refit(H, G.T @ G, G.T @ X)
    assert ((found != 0) == (H != 0)).all()
    slope = G.T @ (X - G @ found)
    assert np.abs(slope[H != 0]).max() < 1e-10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain = SemiNMF(4, **arguments).fit(X)
        refit = SemiNMF(4, debias=True, **arguments).fit(X)
    assert ((refit.components_ != 0).sum(axis=1) <= 12).all()
    assert refit.reconstruction_err_ < plain.reconstruction_err_


@pytest.mark.parametrize("solver", ["hals", "mu"])
@pytest.mark.parametrize("density", [None, 0.5])
def test_weights_are_repetitions(density, solver, rng):
    X, w = rng.standard_normal((40, 12)), rng.integers(0, 4, 40)
    model = SemiNMF(3, solver=solver, feature_density=density, max_iter=3000)
    weighted = model.fit(X, sample_weight=w)
    codes, error = weighted.transform(X), weighted.reconstruction_err_
    repeated = model.fit(np.repeat(X, w, axis=0))
    assert_allclose(repeated.transform(X), codes, atol=1e-6)
    assert_allclose(repeated.reconstruction_err_, error, rtol=1e-8)
    thin = model.fit(sparse.csr_array(X), sample_weight=w)
    assert_allclose(thin.reconstruction_err_, error, rtol=1e-8)


def test_sparse_data_give_the_dense_answer(rng):
    X = rng.standard_normal((50, 20)) * (rng.random((50, 20)) < 0.3)
    dense = SemiNMF(3, random_state=0, max_iter=2000).fit(X)
    thin = SemiNMF(3, random_state=0, max_iter=2000).fit(sparse.csr_array(X))
    assert_allclose(thin.components_, dense.components_, atol=1e-8)
    assert_allclose(thin.reconstruction_err_, dense.reconstruction_err_, rtol=1e-8)
    assert_allclose(thin.transform(sparse.csc_array(X)), dense.transform(X), atol=1e-8)


def test_zero_data_give_zero_components():
    model = SemiNMF(2, random_state=0).fit(np.zeros((6, 4)))
    assert not model.components_.any() and model.certificate_.satisfied


def test_a_given_start_is_used_and_checked(rng):
    X = rng.standard_normal((10, 5))
    start = rng.random((10, 2))
    before = start.copy()
    SemiNMF(2, init=start, max_iter=1000).fit(X)
    assert_allclose(start, before)
    for bad in (start[:5], -start, start * np.nan):
        with pytest.raises(ValueError, match="non-negative array of shape"):
            SemiNMF(2, init=bad).fit(X)
    with pytest.raises(ValueError, match="zero everywhere"):
        SemiNMF(2, init=np.zeros((10, 2))).fit(X)
    with pytest.raises(ValueError, match="'feature_density'"):
        SemiNMF(2, feature_density=0.0).fit(X)
    with pytest.raises(ValueError, match="Complex data not supported"):
        SemiNMF(2).fit(X * 1j)
    with pytest.warns(ConvergenceWarning, match="Raise max_iter"):
        SemiNMF(2, max_iter=1, random_state=0).fit(X)


@pytest.mark.parametrize("solver", ["hals", "mu"])
def test_the_size_of_a_given_start_does_not_matter(rng, solver):
    X, start = rng.standard_normal((10, 5)), rng.random((10, 2))
    model = SemiNMF(2, init=start, solver=solver, tol=1e-2).fit(X)
    for size in (2.0**-900, 2.0**900):
        other = SemiNMF(2, init=start * size, solver=solver, tol=1e-2).fit(X)
        assert_allclose(other.components_, model.components_, rtol=1e-9)
        assert_allclose(other.history_, model.history_, rtol=1e-9)


def test_codes_times_components_approximate_the_data(rng):
    X = rng.standard_normal((30, 12))
    model = SemiNMF(n_components=3, random_state=0, max_iter=2000).fit(X)
    codes = model.transform(X)
    assert codes.shape == (30, 3) and (codes >= 0).all()
    assert_allclose(model.inverse_transform(codes), codes @ model.components_)
    error = np.linalg.norm(X - model.inverse_transform(codes))
    assert_allclose(error, model.reconstruction_err_, rtol=1e-9)


def test_the_tolerance_is_of_the_error_and_not_of_what_is_explained(rng):
    # A large common level would otherwise hide the rest.
    X = rng.standard_normal((80, 10)) + np.linspace(0, 1000, 10)
    model = SemiNMF(3, random_state=0, max_iter=5000).fit(X)
    fine = SemiNMF(3, random_state=0, tol=1e-9, max_iter=50_000).fit(X)
    assert model.certificate_.satisfied
    assert model.reconstruction_err_ < 1.05 * fine.reconstruction_err_
    h = model.history_
    assert_allclose(model.certificate_.value, (h[-2] - h[-1]) / h[-1], rtol=1e-6)
