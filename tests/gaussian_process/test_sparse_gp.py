"""Inducing points: exact limits, bounds in order, gradients, what users meet."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    RationalQuadratic,
    WhiteKernel,
)

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.gaussian_process import GSMKernel, SparseGPRegressor, WendlandKernel
from sparsestat.gaussian_process._kernel._inducing import (
    evaluate,
    exact_evidence,
    greedy_points,
)

KERNELS = {
    "rbf": ConstantKernel(1.3) * RBF([0.7, 1.1]) + WhiteKernel(0.05),
    "sum and product": 1.2 * Matern(0.8, nu=2.5) * RBF(2.0)
    + DotProduct(0.5)
    + WhiteKernel(0.1),
    "rq and periodic": RationalQuadratic(1.0, 0.7) * ExpSineSquared(1.2, 3.0)
    + WhiteKernel(0.1),
    "power of noise": (ConstantKernel(1.1) * (Matern([1.0, 0.8], nu=0.5))) ** 2
    + ConstantKernel(0.5) * WhiteKernel(0.1),
    "noise in a product": (ConstantKernel(1.1) + WhiteKernel(0.2)) * RBF(0.9),
    "fixed": ConstantKernel(1.0, "fixed") * Matern(1.0, nu=1.5) + WhiteKernel(0.1),
    "smooth matern": Matern(1.0, nu=np.inf) + 0.3 + WhiteKernel(0.1),
    "compact": WendlandKernel(2.0, (0.1, 10), k=2) + WhiteKernel(0.1),
    "unknown": 1.0 * Matern(0.9, nu=2.2) + WhiteKernel(0.1),
}


def data(n=150, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    y = np.sin(2 * X[:, 0]) + 0.3 * X[:, 1] + 0.1 * rng.normal(size=n)
    return X, y


def exact(kernel, X, y):
    model = GaussianProcessRegressor(kernel, optimizer=None, alpha=0)
    return model.fit(X, y).log_marginal_likelihood_value_


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", KERNELS)
def test_gradients_are_those_of_differences(name, alpha):
    kernel, (X, y) = KERNELS[name], data()
    Z = np.random.default_rng(1).normal(size=(8, 2))
    p = kernel.n_dims

    def objective(x):
        return evaluate(
            kernel.clone_with_theta(x[:p]),
            x[p:].reshape(Z.shape),
            X,
            y,
            alpha=alpha,
            want_gradient=False,
        ).objective

    state = evaluate(kernel, Z, X, y, alpha=alpha)
    found = np.r_[state.gradient, state.Z_gradient.ravel()]
    x, h = np.r_[kernel.theta, Z.ravel()], 1e-5
    numeric = [
        (objective(x + h * e) - objective(x - h * e)) / (2 * h) for e in np.eye(len(x))
    ]
    np.testing.assert_allclose(found, numeric, atol=2e-7 * np.abs(numeric).max())


def test_a_kernel_of_spectral_components_moves_its_points():
    rng = np.random.default_rng(0)
    X = np.sort(rng.uniform(0, 30, (80, 1)), axis=0)
    y = np.sin(X[:, 0]) + 0.1 * rng.normal(size=80)
    kernel = GSMKernel([[0.16], [0.05]], 0.02, [1.0, 0.5])
    kernel = kernel + WhiteKernel(0.05)
    Z = X[::10].copy()
    state = evaluate(kernel, Z, X, y)
    numeric = np.zeros(len(Z))
    for i in range(len(Z)):
        for sign in (1, -1):
            moved = Z.copy()
            moved[i] += sign * 1e-5
            value = evaluate(kernel, moved, X, y, want_gradient=False).objective
            numeric[i] += sign * value / 2e-5
    np.testing.assert_allclose(
        state.Z_gradient[:, 0], numeric, atol=1e-6 * np.abs(numeric).max()
    )


@pytest.mark.parametrize("block", [7, 64, 10**6])
def test_blocks_and_recomputed_covariances_change_nothing(monkeypatch, block):
    from sparsestat.gaussian_process._kernel import _inducing

    X, y = data(300)
    Z = X[:9].copy()
    for alpha in (0.0, 0.5):
        whole = evaluate(KERNELS["rbf"], Z, X, y, alpha=alpha)
        monkeypatch.setattr(_inducing, "_BLOCK", block * len(Z))
        monkeypatch.setattr(_inducing, "_KEEP", 0)
        parts = evaluate(KERNELS["rbf"], Z, X, y, alpha=alpha)
        monkeypatch.undo()
        np.testing.assert_allclose(parts.objective, whole.objective, rtol=1e-10)
        np.testing.assert_allclose(parts.gradient, whole.gradient, rtol=1e-7)
        np.testing.assert_allclose(parts.Z_gradient, whole.Z_gradient, atol=1e-6)


@pytest.mark.parametrize("method", ["vfe", "fitc", "pep"])
def test_data_as_inducing_points_give_the_exact_process(method):
    X, y = data(120)
    kernel = KERNELS["rbf"]
    model = SparseGPRegressor(
        kernel,
        inducing=X,
        method=method,
        optimizer=None,
        jitter=1e-12,
        normalize_y=False,
    ).fit(X, y)
    full = GaussianProcessRegressor(kernel, optimizer=None, alpha=0).fit(X, y)
    likelihood = full.log_marginal_likelihood_value_
    assert model.objective_ == pytest.approx(likelihood, abs=1e-6)
    assert model.lower_bound_ == pytest.approx(likelihood, abs=1e-6)
    assert model.upper_bound_ == pytest.approx(likelihood, abs=1e-4)
    T = np.random.default_rng(2).normal(size=(30, 2))
    mean, std = model.predict(T, return_std=True)
    mean_full, std_full = full.predict(T, return_std=True)
    np.testing.assert_allclose(mean, mean_full, atol=1e-7)
    np.testing.assert_allclose(std, std_full, atol=1e-7)
    _, cov = model.predict(T, return_cov=True)
    np.testing.assert_allclose(cov, full.predict(T, return_cov=True)[1], atol=1e-7)


def test_fitc_and_free_energy_equal_their_dense_formulas():
    X, y = data(90)
    kernel = KERNELS["rbf"]
    Z = X[:10]
    smooth = kernel.k1
    K_mn = smooth(Z, X)
    Q = K_mn.T @ np.linalg.solve(smooth(Z), K_mn)
    d = 1.3 - np.diag(Q)
    for alpha in (0.0, 0.3, 1.0):
        found = evaluate(
            kernel, Z, X, y, alpha=alpha, jitter=1e-14, want_gradient=False
        ).objective
        wanted = multivariate_normal(
            np.zeros(90), Q + np.diag(0.05 + alpha * d), allow_singular=False
        ).logpdf(y)
        if alpha == 0:
            wanted -= 0.5 * d.sum() / 0.05
        else:
            wanted -= (1 - alpha) / (2 * alpha) * np.log1p(alpha * d / 0.05).sum()
        assert found == pytest.approx(wanted, rel=1e-8)


def test_bounds_enclose_the_evidence_and_tighten_with_points():
    X, y = data(200)
    kernel = KERNELS["rbf"]
    likelihood = exact(kernel, X, y)
    order = greedy_points(kernel, X, 120)
    last = -np.inf
    for m in (1, 5, 10, 20, 40, 80, 120):
        state = evaluate(kernel, X[order[:m]], X, y, want_gradient=False)
        assert last - 1e-6 <= state.lower <= likelihood + 1e-6
        assert state.upper >= likelihood - 1e-6
        last = state.lower
    assert likelihood - last < 1e-3
    assert state.upper - likelihood < 1.0


def test_bounds_hold_for_the_other_methods():
    X, y = data(200)
    for method in ("fitc", "pep"):
        model = SparseGPRegressor(
            n_inducing=15, method=method, random_state=0, max_iter=20, tol=1.0
        ).fit(X, y)
        likelihood = exact(model.kernel_, X, y)
        assert model.lower_bound_ <= likelihood <= model.upper_bound_


def test_the_optimum_is_stationary_and_warm_of_the_truth():
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 6, (1000, 1))
    y = np.sin(X[:, 0]) + 0.1 * rng.normal(size=1000)
    model = SparseGPRegressor(
        n_inducing=15, random_state=0, tol=1e-5, normalize_y=False, jitter=1e-10
    ).fit(X, y)
    assert model.certificate_.satisfied
    state = evaluate(model.kernel_, model.inducing_points_, X, y, jitter=model.jitter_)
    slopes = np.r_[state.gradient, (state.Z_gradient * X.std(0)).ravel()]
    assert np.abs(slopes).max() / 1000 == pytest.approx(
        model.certificate_.value, abs=1e-7
    )
    assert model.noise_variance_ == pytest.approx(0.01, rel=0.15)
    assert model.upper_bound_ - model.lower_bound_ < 0.5
    assert (np.diff(model.history_) > -1e-6).all()
    # The exact process has its optimum next to it.
    full = GaussianProcessRegressor(model.kernel_, alpha=0).fit(X[::2], y[::2])
    assert np.exp(full.kernel_.theta[-1]) == pytest.approx(0.01, rel=0.2)


@pytest.mark.parametrize("inducing", ["kmeans", "greedy"])
def test_repeated_rows_and_few_rows_are_handled(inducing):
    X, y = data(30)
    X, y = np.vstack([X, X]), np.r_[y, y + 0.01]
    model = SparseGPRegressor(
        KERNELS["rbf"],
        inducing=inducing,
        optimizer=None,
        n_inducing=500,
        normalize_y=False,
    ).fit(X, y)
    assert len(model.inducing_points_) == 30
    assert model.lower_bound_ == pytest.approx(exact(KERNELS["rbf"], X, y), abs=1e-4)


def test_normalized_targets_shift_and_scale_with_the_data():
    X, y = data(100)
    first = SparseGPRegressor(n_inducing=10, normalize_y=True, random_state=0)
    first.fit(X, y)
    second = SparseGPRegressor(n_inducing=10, normalize_y=True, random_state=0)
    second.fit(X, 1000 * y + 5000)
    a, b = (m.predict(X[:9], return_std=True) for m in (first, second))
    np.testing.assert_allclose(1000 * a[0] + 5000, b[0], rtol=1e-4)
    np.testing.assert_allclose(1000 * a[1], b[1], rtol=1e-3)


def test_samples_have_the_moments_of_the_prediction():
    X, y = data(150)
    model = SparseGPRegressor(KERNELS["rbf"], n_inducing=20, optimizer=None).fit(X, y)
    T = X[:5] + 0.05
    mean, cov = model.predict(T, return_cov=True)
    draws = model.sample_y(T, 20_000, random_state=0)
    np.testing.assert_allclose(draws.mean(axis=1), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(draws), cov, atol=0.02 * cov.max())
    np.testing.assert_array_equal(draws, model.sample_y(T, 20_000, random_state=0))


def test_same_seed_same_model_and_pickles_predict_alike():
    X, y = data(150)
    first = SparseGPRegressor(n_inducing=8, random_state=3, tol=0.05).fit(X, y)
    second = SparseGPRegressor(n_inducing=8, random_state=3, tol=0.05).fit(X, y)
    again = pickle.loads(pickle.dumps(first))
    for other in (second, again):
        np.testing.assert_array_equal(first.predict(X), other.predict(X))
    assert len(pickle.dumps(first)) < 20_000


def test_restarts_find_at_least_as_much_evidence():
    X, y = data(150)
    options = {"n_inducing": 8, "random_state": 0, "max_iter": 30, "tol": 0.1}
    one = SparseGPRegressor(**options).fit(X, y)
    more = SparseGPRegressor(**options, n_restarts_optimizer=2).fit(X, y)
    assert more.objective_ >= one.objective_ - 1e-6


def test_noise_is_added_and_unknown_kernels_are_announced():
    X, y = data(60)
    model = SparseGPRegressor(RBF(1.0), n_inducing=5, max_iter=3, tol=10.0).fit(X, y)
    assert "WhiteKernel" in str(model.kernel_)
    assert model.noise_variance_ > 0
    with pytest.warns(UserWarning, match="no gradients of Matern"):
        SparseGPRegressor(KERNELS["unknown"], n_inducing=5, max_iter=2, tol=10.0).fit(
            X, y
        )


def test_hitting_the_limit_of_iterations_warns_once():
    X, y = data(100)
    with pytest.warns(ConvergenceWarning, match="Increase max_iter") as caught:
        model = SparseGPRegressor(n_inducing=5, max_iter=1, tol=1e-9).fit(X, y)
    assert len(caught) == 1
    assert not model.certificate_.satisfied


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"inducing": np.zeros((3, 5))}, ValueError, "5 features, but X has 2"),
        (
            {"kernel": RBF() + WhiteKernel(0.0)},
            ValueError,
            "must be positive",
        ),
        (
            {"kernel": DotProduct() * WhiteKernel()},
            ValueError,
            "Add the WhiteKernel to the kernel instead",
        ),
        ({"method": "svgp"}, ValueError, "'method' parameter"),
        ({"kernel": "gauss"}, ValueError, "'kernel' parameter"),
        ({"alpha_pep": 1.5}, ValueError, "'alpha_pep' parameter"),
        (
            {"kernel": RBF(1.0, (1e-3, np.inf)), "n_restarts_optimizer": 1},
            ValueError,
            "Set finite bounds",
        ),
        ({"kernel": WendlandKernel(dim=1)}, ValueError, "Set dim to 2"),
    ],
)
def test_bad_parameters_are_refused(arguments, error, message):
    X, y = data(40)
    with pytest.raises(error, match=message):
        SparseGPRegressor(**arguments).fit(X, y)


def test_std_and_cov_at_once_are_refused():
    X, y = data(40)
    model = SparseGPRegressor(KERNELS["rbf"], optimizer=None).fit(X, y)
    with pytest.raises(RuntimeError, match="At most one of return_std and return_cov"):
        model.predict(X, return_std=True, return_cov=True)


def test_the_factors_are_those_of_the_formulas():
    X, y = data(80)
    kernel = KERNELS["rbf"]
    Z = X[:9]
    smooth = kernel.k1
    for method, alpha in (("vfe", 0.0), ("fitc", 1.0), ("pep", 0.3)):
        model = SparseGPRegressor(
            kernel, inducing=Z, method=method, alpha_pep=0.3, optimizer=None,
            jitter=1e-6, normalize_y=False,
        ).fit(X, y)  # fmt: skip
        np.testing.assert_allclose(model.inducing_points_, Z)
        K = smooth(Z) + model.jitter_ * np.mean(np.diag(smooth(Z))) * np.eye(9)
        assert model.jitter_ == 1e-6
        np.testing.assert_allclose(model.L_ @ model.L_.T, K, rtol=1e-12)
        V = np.linalg.solve(model.L_, smooth(Z, X))
        noise = model.noise_variance_ + alpha * (1.3 - (V**2).sum(axis=0))
        B = np.eye(9) + (V / noise) @ V.T
        np.testing.assert_allclose(model.L_B_ @ model.L_B_.T, B, rtol=1e-9)
        c = np.linalg.solve(model.L_B_, V @ (y / noise))
        np.testing.assert_allclose(model.c_, c, rtol=1e-7, atol=1e-9)


def test_points_stay_where_they_are_unless_they_are_optimized():
    X, y = data(120)
    Z = X[:8] + 0.5
    arguments = {"inducing": Z, "max_iter": 60, "tol": 1e-3}
    fixed = SparseGPRegressor(optimize_inducing=False, **arguments).fit(X, y)
    moved = SparseGPRegressor(**arguments).fit(X, y)
    np.testing.assert_allclose(fixed.inducing_points_, Z, rtol=1e-12)
    assert np.abs(moved.inducing_points_ - Z).max() > 0.1
    assert moved.objective_ > fixed.objective_
    # Parameters of the kernel are found either way.
    still = SparseGPRegressor(inducing=Z, optimizer=None).fit(X, y)
    assert fixed.objective_ > still.objective_


@pytest.mark.parametrize("name", [name for name in KERNELS if name != "unknown"])
def test_dense_evidence_is_that_of_scikit_learn(name):
    X, y = data(60)
    model = GaussianProcessRegressor(KERNELS[name], optimizer=None, alpha=0).fit(X, y)
    theta = KERNELS[name].theta
    wanted = model.log_marginal_likelihood(theta, eval_gradient=True)
    found = exact_evidence(KERNELS[name], X, y)
    assert found[0] == pytest.approx(wanted[0], rel=1e-9)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-6, atol=1e-7)


def test_few_rows_are_all_points_and_the_fit_is_exact():
    X, y = data(80)
    y = np.sin(X[:, 0]) + 1e-3 * np.random.default_rng(0).normal(size=80)
    model = SparseGPRegressor(normalize_y=False, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.inducing_points_, np.unique(X, axis=0))
    assert model.certificate_.satisfied
    assert model.objective_ == pytest.approx(exact(model.kernel_, X, y), abs=0.5)


def test_short_scales_take_more_points():
    t = np.arange(1200.0)[:, None]
    y = 5.0 + np.sin(t[:, 0] / 2) + 0.2 * np.random.default_rng(0).normal(size=1200)
    model = SparseGPRegressor(random_state=0, optimize_inducing=False, tol=1e-3)
    assert len(model.fit(t, y).inducing_points_) == 400
    assert np.sqrt(np.mean((model.predict(t) - 5.0 - np.sin(t[:, 0] / 2)) ** 2)) < 0.2
    slow = (
        5.0 + np.sin(t[:, 0] / 100) + 0.2 * np.random.default_rng(0).normal(size=1200)
    )
    assert len(model.fit(t, slow).inducing_points_) == 100
