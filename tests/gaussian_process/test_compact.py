"""Sparse covariances: selected inverse, exact dense limits, what users meet."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pytest
from scipy import sparse
from scipy.linalg import cholesky_banded
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel

from sparsestat.exceptions import ConvergenceWarning, NumericalError
from sparsestat.gaussian_process import CompactGPRegressor, WendlandKernel
from sparsestat.gaussian_process._structure import _kernels_compact as kernels
from sparsestat.gaussian_process._structure._sparse_cholesky import (
    SparseCholesky,
    _closed,
    close_pairs,
    radius_for_neighbors,
)


def data(n=500, d=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 10, (n, d))
    y = np.sin(X[:, 0]) * np.cos(X[:, -1]) + 0.1 * rng.normal(size=n)
    return X, y, rng.uniform(-1, 11, (60, d))


def covariance(n=400, d=2, support=1.2):
    X, _, _ = data(n, d)
    K = WendlandKernel(support)(X)
    K.flat[:: n + 1] += 0.1
    return X, sparse.csc_array(K)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_factor_and_selected_inverse_equal_dense_ones(d):
    _, C = covariance(d=d, support=[0.2, 1.2, 3.0][d - 1])
    factor = SparseCholesky(C)
    dense = C.toarray()
    inverse = np.linalg.inv(dense)
    assert factor.log_det == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-12)
    rows, columns = C.nonzero()
    np.testing.assert_allclose(
        factor.inverse_entries(rows, columns), inverse[rows, columns], atol=1e-11
    )
    L = factor.factor.toarray()
    p = factor.order
    rebuilt = (L * factor.pivots) @ L.T
    np.testing.assert_allclose(rebuilt[np.ix_(p, p)], dense, atol=1e-13)
    B = np.random.default_rng(0).standard_normal((len(dense), 3))
    np.testing.assert_allclose(factor.solve(B), inverse @ B, atol=1e-11)
    K = sparse.csr_array(sparse.random_array(B.T.shape, density=0.1, rng=0))
    wanted = np.einsum("ij,jk,ik->i", K.toarray(), inverse, K.toarray())
    np.testing.assert_allclose(factor.explained(K), wanted, atol=1e-12)


def test_entries_that_canceled_are_put_back():
    _, C = covariance(150)
    L = SparseCholesky(C).factor
    thin = L.copy()
    # Drop every seventh entry below the diagonal, as exact cancellation would.
    below = np.flatnonzero(thin.indices > np.repeat(np.arange(150), np.diff(L.indptr)))
    keep = np.ones(thin.nnz, bool)
    keep[below[::7]] = False
    columns = np.repeat(np.arange(150), np.diff(L.indptr))
    thin = sparse.csc_array(
        (thin.data[keep], (thin.indices[keep], columns[keep])), shape=L.shape
    )
    assert kernels.is_closed(L.indices, L.indptr)
    assert not kernels.is_closed(thin.indices, thin.indptr)
    closed = _closed(thin)
    assert kernels.is_closed(closed.indices, closed.indptr)
    np.testing.assert_array_equal(closed.toarray(), thin.toarray())
    pivots = np.linspace(1, 2, 150)
    found = kernels.selected_inverse(closed.data, closed.indices, closed.indptr, pivots)
    dense = thin.toarray()
    inverse = np.linalg.inv((dense * pivots) @ dense.T)
    columns = np.repeat(np.arange(150), np.diff(closed.indptr))
    np.testing.assert_allclose(found, inverse[closed.indices, columns], atol=1e-10)


def test_sorted_points_on_a_line_make_a_band():
    x = np.sort(np.random.default_rng(0).uniform(0, 50, 300))[:, None]
    K = WendlandKernel(1.0)(x) + 0.05 * np.eye(300)
    width = max(np.flatnonzero(row).max() - i for i, row in enumerate(K))
    band = np.zeros((width + 1, 300))
    for k in range(width + 1):
        band[k, : 300 - k] = np.diag(K, -k)
    log_det = 2 * np.log(cholesky_banded(band, lower=True)[0]).sum()
    assert SparseCholesky(sparse.csc_array(K)).log_det == pytest.approx(log_det)


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        (None, {}),
        (1.5 * WendlandKernel(k=2) * Matern(1.0, nu=1.5) + WhiteKernel(0.05), {}),
        (
            2.0 * WendlandKernel([2.0, 3.0], (0.5, 5.0), k=2) * RBF(2.0)
            + 0.5 * WendlandKernel(1.5, k=0)
            + WhiteKernel(0.02),
            {"support": None, "normalize_y": True},
        ),
    ],
    ids=["default", "tapered", "sum with free support"],
)
def test_it_is_the_dense_process_with_its_kernel(kernel, options):
    X, y, T = data()
    model = CompactGPRegressor(kernel, random_state=0, max_iter=30, **options)
    model.fit(X, y)
    assert model.certificate_.satisfied
    full = GaussianProcessRegressor(
        model.kernel_, optimizer=None, alpha=0, normalize_y=model.normalize_y
    ).fit(X, y)
    for request in ({}, {"return_std": True}, {"return_cov": True}):
        np.testing.assert_allclose(
            np.hstack([np.ravel(a) for a in np.atleast_1d(model.predict(T, **request))])
            if not request
            else np.hstack([np.ravel(a) for a in model.predict(T, **request)]),
            np.hstack([np.ravel(a) for a in full.predict(T, **request)])
            if request
            else full.predict(T),
            atol=1e-9,
        )
    assert model.log_marginal_likelihood_value_ == pytest.approx(
        full.log_marginal_likelihood_value_, abs=1e-8
    )
    theta = model.kernel_.theta + 0.1
    value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    value_full, gradient_full = full.log_marginal_likelihood(theta, eval_gradient=True)
    assert value == pytest.approx(value_full, abs=1e-8)
    np.testing.assert_allclose(gradient, gradient_full, rtol=1e-8, atol=1e-8)


def test_gradient_is_that_of_differences():
    X, y, _ = data(300)
    kernel = 1.2 * WendlandKernel(1.5, (0.1, 10), k=1) + WhiteKernel(0.05)
    model = CompactGPRegressor(kernel, support=None, optimizer=None).fit(X, y)
    gradient = model.log_marginal_likelihood(eval_gradient=True)[1]
    theta, h = model.kernel_.theta, 1e-5
    numeric = [
        (
            model.log_marginal_likelihood(theta + h * e)
            - model.log_marginal_likelihood(theta - h * e)
        )
        / (2 * h)
        for e in np.eye(len(theta))
    ]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6)


def test_a_tiny_support_leaves_white_noise():
    X, y, _ = data(200)
    kernel = 1.0 * WendlandKernel() + WhiteKernel(0.5)
    model = CompactGPRegressor(
        kernel, support=1e-9, optimizer=None, normalize_y=False
    ).fit(X, y)
    assert model.n_nonzeros_ == 200
    wanted = -0.5 * (y @ y / 1.5 + 200 * np.log(2 * np.pi * 1.5))
    assert model.log_marginal_likelihood_value_ == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("neighbors", [5, 30])
def test_the_support_follows_from_the_number_of_neighbors(neighbors):
    X, y, _ = data(3000)
    model = CompactGPRegressor(neighbors=neighbors, optimizer=None, random_state=0)
    model.fit(X, y)
    assert model.n_nonzeros_ / 3000 - 1 == pytest.approx(neighbors, rel=0.05)
    first, _ = close_pairs(X, model.support_)
    assert model.n_nonzeros_ == 3000 + 2 * len(first)
    assert model.fill_ < 3000 * 200


def test_radius_of_points_that_coincide():
    rng = np.random.RandomState(0)
    assert radius_for_neighbors(np.zeros((50, 2)), 5, rng) == 1.0
    X = np.r_[np.zeros((50, 1)), np.ones((1, 1))]
    assert radius_for_neighbors(X, 5, rng) == 1.0


def test_samples_have_the_moments_of_the_prediction():
    X, y, T = data(300)
    model = CompactGPRegressor(random_state=0).fit(X, y)
    T = np.vstack([T[:4], X[:2]])  # new noise at points that were seen
    mean, cov = model.predict(T, return_cov=True)
    draws = model.sample_y(T, 20_000, random_state=0)
    np.testing.assert_allclose(draws.mean(axis=1), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(draws), cov, atol=0.03 * cov.max())


def test_pickles_factor_again():
    X, y, T = data(300)
    model = CompactGPRegressor(random_state=0).fit(X, y)
    payload = pickle.dumps(model)
    assert len(payload) < 3 * X.nbytes + 8192
    again = pickle.loads(payload)
    np.testing.assert_array_equal(
        again.predict(T, return_std=True)[1], model.predict(T, return_std=True)[1]
    )


def test_far_points_get_the_prior():
    X, y, _ = data(200)
    model = CompactGPRegressor(random_state=0, normalize_y=False).fit(X, y)
    far = np.array([[1e3, 1e3]])
    mean, std = model.predict(far, return_std=True)
    assert mean[0] == 0.0
    assert std[0] == pytest.approx(np.sqrt(model.kernel_.diag(far)[0]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": RBF()}, "needs a WendlandKernel as a factor of every summand"),
        ({"kernel": WendlandKernel() + RBF()}, "reaches everywhere"),
        ({"kernel": WendlandKernel(dim=1)}, "Set dim to 2 or more"),
        ({"support": -1.0}, "'support' parameter"),
        ({"neighbors": 0}, "'neighbors' parameter"),
    ],
)
def test_bad_parameters_are_refused(arguments, message):
    X, y, _ = data(40)
    with pytest.raises(ValueError, match=message):
        CompactGPRegressor(**arguments).fit(X, y)


def test_indefinite_matrices_and_huge_covariances_are_refused():
    C = sparse.csc_array(np.array([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        SparseCholesky(C)
    X, y, _ = data(60)
    model = CompactGPRegressor(optimizer=None).fit(X, y)
    with pytest.raises(ValueError, match="at most 5000 points are accepted"):
        model.predict(np.zeros((5001, 2)), return_cov=True)
    with pytest.raises(RuntimeError, match="At most one"):
        model.predict(X, return_std=True, return_cov=True)


def test_memory_stays_far_below_a_dense_matrix():
    X, y, _ = data(20_000)
    import tracemalloc

    tracemalloc.start()
    model = CompactGPRegressor(neighbors=12, optimizer=None, random_state=0).fit(X, y)
    model.log_marginal_likelihood(eval_gradient=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.1 * 8 * 20_000**2


@pytest.mark.parametrize("normalize_y", [False, True])
def test_dual_coefficients_and_history(normalize_y):
    X, y, _ = data(200)
    model = CompactGPRegressor(normalize_y=normalize_y, tol=1e-3).fit(X, y + 4.0)
    target = y + 4.0
    if normalize_y:
        target = (target - target.mean()) / target.std()
    np.testing.assert_array_equal(model.X_train_, X)
    C = model.kernel_(X)
    np.testing.assert_allclose(C @ model.alpha_, target, atol=1e-7)
    history = model.history_
    np.testing.assert_allclose(history[-1], model.log_marginal_likelihood_value_)
    assert history[-1] > history[0]
    assert model.certificate_.satisfied and model.certificate_.value <= 1e-3
    more = CompactGPRegressor(
        normalize_y=normalize_y, tol=1e-3, n_restarts_optimizer=1, random_state=0
    ).fit(X, y + 4.0)
    found = more.log_marginal_likelihood_value_
    assert found >= model.log_marginal_likelihood_value_ - 1e-6


def test_hitting_the_limit_of_iterations_warns_once():
    X, y, _ = data(150)
    with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
        model = CompactGPRegressor(max_iter=1, tol=1e-8).fit(X, y)
    assert len(caught) == 1 and not model.certificate_.satisfied


def test_covariances_that_are_singular_are_named():
    X = np.linspace(0, 1, 20)[:, None, None] + 1e-9 * np.arange(3)[:, None]
    X = X.reshape(-1, 1)
    kernel = 1e8 * WendlandKernel(5.0, k=3) + WhiteKernel(1e-12)
    model = CompactGPRegressor(kernel, support=None, optimizer=None)
    with pytest.raises(NumericalError, match="raise the noise level"):
        model.fit(X, np.sin(X[:, 0]))
