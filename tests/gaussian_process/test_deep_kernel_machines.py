"""Deep kernel machines: closed forms, gradients, limits, what users meet."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
import warnings

import numpy as np
import pytest
from scipy.linalg import solve_continuous_are
from scipy.optimize import brentq, minimize
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris, make_moons
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.svm import SVC

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.gaussian_process import (
    DeepKernelMachineClassifier,
    DeepKernelMachineRegressor,
)
from sparsestat.gaussian_process._variational._deep_evidence import (
    DeepEvidence,
    gaussian_evidence,
    titsias,
)
from sparsestat.gaussian_process._variational._layers import between, build
from sparsestat.gaussian_process._variational._likelihoods import Bernoulli, Softmax


def inputs(n=30, p=3, seed=0):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(n, p)), np.ones(n)])
    return X, rng.normal(size=(n, 2)), rng


def evidence(X, Y, Z, **other):
    settings = {
        "kernel": "relu",
        "n_layers": 2,
        "nu": 1.5,
        "likelihood": None,
        "dense": False,
        "learn_scales": True,
        "learn_inducing": True,
        "n_constant": 1,
        "noise_floor": 1e-4,
        "jitter": 1e-10,
    }
    return DeepEvidence(X, Y, Z, **{**settings, **other})


def divergence_of_normals(G, K):
    ratio = np.linalg.solve(K, G)
    return 0.5 * (np.trace(ratio) - np.linalg.slogdet(ratio)[1] - len(G))


# Kernels of Gram matrices


def test_the_arc_cosine_kernel_is_the_mean_of_rectified_products():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3))
    drawn = np.maximum(rng.standard_normal((10**6, 3)) @ x.T, 0.0)
    G = x @ x.T
    found = between("relu", G, G.diagonal(), G.diagonal())
    np.testing.assert_allclose(2 * drawn.T @ drawn / 10**6, found, rtol=0.01)
    np.testing.assert_allclose(found.diagonal(), G.diagonal(), rtol=1e-12)


def test_the_gaussian_kernel_is_that_of_scikit_learn():
    X, _, _ = inputs()
    G = X @ X.T
    found = between("rbf", G, G.diagonal(), G.diagonal())
    np.testing.assert_allclose(found, RBF()(X), atol=1e-14)


def test_rows_without_length_have_no_part_in_the_arc_cosine_kernel():
    x = np.array([[0.0, 0.0], [1.0, 2.0]])
    G = x @ x.T
    found = between("relu", G, G.diagonal(), G.diagonal())
    np.testing.assert_allclose(found, [[0.0, 0.0], [0.0, 5.0]], atol=1e-14)


# The objective


def linear_chain(Y, L, V, nu):
    """Return the objective of linear layers without noise, and the last matrix."""
    G, cost = L @ L.T, 0.0
    for factor in V:
        after = L @ factor @ factor.T @ L.T
        cost += divergence_of_normals(after, G)
        G, L = after, L @ factor
    fit = sum(multivariate_normal(cov=G).logpdf(column) for column in Y.T)
    return fit - nu * cost


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_linear_layers_without_noise_equal_their_closed_form(n_layers):
    rng = np.random.default_rng(n_layers)
    n, nu = 5, 3.5
    X, Y = rng.normal(size=(n, 7)), rng.normal(size=(n, 2))
    K = X @ X.T
    L = np.linalg.cholesky(K)
    half = np.linalg.solve(L, Y)
    s, U = np.linalg.eigh(half @ half.T)
    s, rest = np.maximum(s, 0.0), nu - 2

    def equation(r, value):
        return nu * r ** (n_layers + 1) - rest * r**n_layers - value

    upper = 2.0 + s.max()
    ratios = [brentq(equation, rest / nu, upper, (v,), xtol=1e-15) for v in s]
    if n_layers == 1:
        h = (rest + np.sqrt(rest**2 + 4 * nu * s)) / (2 * nu)
        np.testing.assert_allclose(ratios, h, rtol=1e-12)
        G = L @ U @ np.diag(h) @ U.T @ L.T
        riccati = solve_continuous_are(
            0.5 * rest * np.eye(n),
            np.sqrt(nu) * np.linalg.inv(L).T,
            Y @ Y.T,
            np.eye(n),
        )
        np.testing.assert_allclose(riccati, G, rtol=1e-8, atol=1e-10)
    # The layers in whitened terms: each V V' is the ratio in a basis of its own.
    factors, before = [], L
    for layer in range(1, n_layers + 1):
        G = L @ U @ np.diag(np.array(ratios) ** layer) @ U.T @ L.T
        after = np.linalg.cholesky(G)
        factors.append(np.linalg.solve(before, after))
        before = after
    trunk = build("linear", K, factors, 1e-14)
    fit, K_bar, _ = gaussian_evidence(trunk.layers[-1].L, Y, 1e-14)
    value = fit - nu * trunk.divergence()
    assert value == pytest.approx(linear_chain(Y, L, factors, nu), rel=1e-10)
    trunk.back(K_bar, nu)
    for layer in trunk.layers[:-1]:
        assert np.abs(layer.V_bar).max() < 1e-6
    for _ in range(5):
        moved = [V + 0.01 * np.tril(rng.normal(size=V.shape)) for V in factors]
        assert linear_chain(Y, L, moved, nu) < value


def test_the_optimizer_finds_the_closed_form():
    rng = np.random.default_rng(3)
    n, nu = 4, 4.0
    X, Y = rng.normal(size=(n, 6)), rng.normal(size=(n, 1))
    machine = evidence(
        X, Y, X, kernel="linear", n_layers=1, nu=nu, dense=True, n_constant=0,
        learn_scales=False, noise_floor=1e-9, jitter=1e-13,
    )  # fmt: skip
    x, bounds = machine.start(np.ones(6), 1.0, 1e-9)
    bounds[0] = x[0]
    found = minimize(
        lambda x: tuple(-v for v in machine(x)),
        x,
        jac=True,
        bounds=bounds,
        method="L-BFGS-B",
        options={"gtol": 1e-11, "ftol": 0, "maxiter": 500},
    )
    L = np.linalg.cholesky(X @ X.T)
    s, U = np.linalg.eigh(np.linalg.solve(L, Y) @ np.linalg.solve(L, Y).T)
    h = (nu - 1 + np.sqrt((nu - 1) ** 2 + 4 * nu * np.maximum(s, 0))) / (2 * nu)
    G = L @ U @ np.diag(h) @ U.T @ L.T
    (learned,) = machine.state(found.x).trunk.grams
    np.testing.assert_allclose(learned, G, rtol=1e-5, atol=1e-5)
    half = np.linalg.solve(L, L @ U @ np.diag(np.sqrt(h)))
    best = multivariate_normal(cov=G).logpdf(Y[:, 0]) - nu * divergence_of_normals(
        half @ half.T, np.eye(n)
    )
    assert -found.fun == pytest.approx(best, abs=1e-7)


def test_the_divergence_is_that_of_the_normal_distributions():
    X, _, rng = inputs(6)
    factors = [np.eye(6) + 0.2 * np.tril(rng.normal(size=(6, 6))) for _ in range(2)]
    for V in factors:
        V.flat[::7] = np.abs(V.diagonal())
    trunk = build("relu", X @ X.T, factors, 1e-13)
    expected = 0.0
    for layer, after in zip(trunk.layers, trunk.grams, strict=False):
        expected += divergence_of_normals(after, layer.K)
    assert trunk.divergence() == pytest.approx(expected, rel=1e-8)
    assert build("relu", X @ X.T, [np.eye(6)] * 2, 1e-13).divergence() == 0.0


CASES = {
    "dense": (None, True),
    "inducing": (None, False),
    "two classes": (Bernoulli(), False),
    "three classes": (Softmax(3), False),
}


@pytest.mark.parametrize("nu", [1.5, np.inf])
@pytest.mark.parametrize("kernel", ["relu", "rbf"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_differences(case, kernel, nu):
    likelihood, dense = CASES[case]
    X, Y, rng = inputs(20, 2)
    if case == "two classes":
        Y = np.sign(Y[:, :1])
    elif case == "three classes":
        Y = np.eye(3)[rng.integers(0, 3, 20)]
    Z = X if dense else X[:5] + 0.1
    Z[:, -1] = 1.0
    machine = evidence(
        X, Y, Z, likelihood=likelihood, dense=dense, kernel=kernel, nu=nu
    )
    x, _ = machine.start(np.full(3, 0.4), 1.2, 0.1)
    x = x + 0.1 * rng.normal(size=len(x))
    found = machine(x)[1]
    some = np.r_[:5, rng.permutation(len(x))[:40]] % len(x)
    numeric = [
        (machine(x + 1e-5 * e)[0] - machine(x - 1e-5 * e)[0]) / 2e-5
        for e in np.eye(len(x))[some]
    ]
    # With classes, what the inner iterations leave open enters.
    size = np.abs(numeric).max()
    atol = (1e-6 if likelihood is None else 1e-4) * size
    np.testing.assert_allclose(found[some], numeric, atol=atol)


@pytest.mark.parametrize("kernel", ["relu", "rbf"])
def test_rows_that_carry_the_layers_give_the_dense_objective(kernel):
    X, Y, rng = inputs(15)
    both = [
        evidence(
            X, Y, X, dense=dense, kernel=kernel, learn_inducing=False, jitter=1e-12
        )
        for dense in (True, False)
    ]
    x, _ = both[0].start(np.full(4, 0.4), 1.2, 0.1)
    x = x + 0.1 * rng.normal(size=len(x))
    (dense, slopes, a), (sparse, others, b) = (m._evaluate(x) for m in both)
    assert sparse == pytest.approx(dense, rel=1e-6)
    np.testing.assert_allclose(others, slopes, atol=1e-5 * np.abs(slopes).max())
    T = inputs(7, seed=1)[0]
    for one, other in ((a, b),):
        A, k, _ = one.rows(T)
        B, h, _ = other.rows(T)
        first, second = one.posterior.marginals(A, k), other.posterior.marginals(B, h)
        np.testing.assert_allclose(first.mean, second.mean, atol=1e-5)
        np.testing.assert_allclose(first.variance, second.variance, atol=1e-5)


def test_the_bound_from_sums_is_that_of_titsias():
    rng = np.random.default_rng(0)
    A, Y, s2 = rng.normal(size=(4, 20)), rng.normal(size=(20, 2)), 0.3
    k = np.sum(A**2, axis=0) + 0.2
    M, v = A @ A.T, A @ Y
    value, _, posterior = titsias(M, v, np.sum(Y**2), k.sum(), 20, s2)
    cov = A.T @ A + s2 * np.eye(20)
    fit = sum(multivariate_normal(cov=cov).logpdf(column) for column in Y.T)
    assert value == pytest.approx(fit - 0.5 * 2 * 20 * 0.2 / s2, rel=1e-12)
    mean = A.T @ posterior.mean
    np.testing.assert_allclose(mean, A.T @ A @ np.linalg.solve(cov, Y), rtol=1e-10)


def test_one_block_of_rows_or_many_with_or_without_memory(monkeypatch):
    from sparsestat.gaussian_process._variational import _deep_evidence as module

    X, Y, rng = inputs(60)
    machine = evidence(X, Y, X[:5].copy())
    x, _ = machine.start(np.full(4, 0.4), 1.2, 0.1)
    x = x + 0.1 * rng.normal(size=len(x))
    value, slopes = machine(x)
    monkeypatch.setattr(module, "_BLOCK", 5 * 7)
    for keep in (1 << 25, 0):
        monkeypatch.setattr(module, "_KEEP", keep)
        again, others = machine(x)
        assert again == pytest.approx(value, rel=1e-10)
        np.testing.assert_allclose(others, slopes, rtol=1e-6, atol=1e-8)


def test_the_learned_kernel_agrees_with_its_variances_and_is_semidefinite():
    X, Y, rng = inputs(25)
    machine = evidence(X, Y, X[:5].copy())
    x, _ = machine.start(np.full(4, 0.4), 1.2, 0.1)
    state = machine.state(x + 0.2 * rng.normal(size=len(x)))
    K = state.kernel(X)
    np.testing.assert_allclose(K.diagonal(), state.rows(X)[1], rtol=1e-9)
    np.testing.assert_allclose(state.kernel(X[:4], X), K[:4], rtol=1e-9)
    assert np.linalg.eigvalsh(0.5 * (K + K.T)).min() > -1e-9
    top = state.amplitude * state.trunk.layers[-1].K
    np.testing.assert_allclose(state.kernel(state.Z), top, rtol=1e-6)


# The estimators


def bent(n=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, 2))
    return X, np.abs(X[:, 0]) - np.abs(X[:, 1]) + 0.1 * rng.normal(size=n)


def test_no_layers_and_all_rows_are_a_gaussian_process():
    X, y = bent(80)
    model = DeepKernelMachineRegressor(0, kernel="rbf", n_inducing=None).fit(X, y)
    assert model.certificate_.satisfied
    U = (X - X.mean(axis=0)) / X.std(axis=0) * np.sqrt(model.feature_weights_[:2])
    kernel = model.amplitude_ * RBF(1.0)
    kernel = kernel + WhiteKernel(model.noise_variance_ / y.var())
    full = GaussianProcessRegressor(kernel, optimizer=None, alpha=0)
    full.fit(U, (y - y.mean()) / y.std())
    assert model.objective_ == pytest.approx(full.log_marginal_likelihood_value_)
    mean, std = model.predict(X, return_std=True)
    expected, spread = full.predict(U, return_std=True)
    np.testing.assert_allclose(mean, expected * y.std() + y.mean(), atol=1e-5)
    np.testing.assert_allclose(std, spread * y.std(), rtol=1e-5)


@pytest.mark.parametrize("n_inducing", [15, None])
def test_regression_predicts_and_says_how_well(n_inducing):
    X, y = bent()
    model = DeepKernelMachineRegressor(
        1, nu=100, n_inducing=n_inducing, max_iter=60, tol=1e-3, random_state=0
    )
    model.fit(X[:120], y[:120])
    mean, std = model.predict(X[120:], return_std=True)
    assert np.sqrt(np.mean((mean - y[120:]) ** 2)) < 0.2
    assert np.mean(np.abs(mean - y[120:]) < 2 * std) > 0.85
    _, cov = model.predict(X[120:140], return_cov=True)
    np.testing.assert_allclose(np.sqrt(cov.diagonal()), std[:20], rtol=1e-6)
    assert model.sample_y(X[:3], 4).shape == (3, 4)
    assert len(model.grams_) == 1 and model.nu_ == 100
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_small_width_fits_what_a_large_one_cannot():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(900, 2))
    y = np.sign(np.sin(3 * np.sum(X**2, axis=1))) + 0.1 * rng.normal(size=900)
    errors = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for nu in ("auto", np.inf):
            model = DeepKernelMachineRegressor(
                1, nu=nu, n_inducing=40, max_iter=60, random_state=0
            ).fit(X[:500], y[:500])
            errors[nu] = np.sqrt(np.mean((model.predict(X[500:]) - y[500:]) ** 2))
            assert model.nu_ in (1, 10, 100, np.inf)
    assert errors["auto"] < 0.8 * errors[np.inf]


def test_several_targets_have_units_of_their_own():
    X, y = bent()
    Y = np.column_stack([y, 1e3 * y + 5e4])
    model = DeepKernelMachineRegressor(1, nu=100, n_inducing=15, random_state=0)
    mean, std = model.fit(X, Y).predict(X, return_std=True)
    np.testing.assert_allclose(1e3 * mean[:, 0] + 5e4, mean[:, 1], rtol=1e-6)
    np.testing.assert_allclose(1e3 * std[:, 0], std[:, 1], rtol=1e-6)
    assert model.noise_variance_.shape == (2,)
    assert model.predict(X[:3], return_cov=True)[1].shape == (3, 3, 2)
    assert model.sample_y(X[:3], 5).shape == (3, 2, 5)


def test_batches_come_near_the_full_ascent():
    X, y = bent(400)
    make = DeepKernelMachineRegressor
    full = make(1, nu=100, n_inducing=15, random_state=0).fit(X, y)
    part = make(1, nu=100, n_inducing=15, random_state=0, batch_size=50, max_iter=60)
    part.fit(X, y)
    assert part.certificate_.tol == np.inf and part.n_iter_ == 60
    assert np.mean((part.predict(X) - full.predict(X)) ** 2) < 0.02 * y.var()


@pytest.mark.parametrize("kernel", ["relu", "rbf"])
def test_moons_are_told_apart(kernel):
    X, y = make_moons(300, noise=0.15, random_state=0)
    model = DeepKernelMachineClassifier(
        1, kernel=kernel, nu=100, n_inducing=20, random_state=0
    ).fit(X[:150], y[:150])
    assert model.score(X[150:], y[150:]) > 0.95
    p = model.predict_proba(X[150:])
    loss = -np.mean(np.log(p[np.arange(150), y[150:]]))
    assert loss < 0.2
    svm = SVC(kernel="precomputed").fit(model.kernel_matrix(X[:150]), y[:150])
    assert svm.score(model.kernel_matrix(X[150:], X[:150]), y[150:]) > 0.95


def test_names_of_several_classes_do_not_matter():
    X, y = load_iris(return_X_y=True)
    X, y = X[::2], y[::2]
    make = DeepKernelMachineClassifier
    settings = {"nu": 100, "n_inducing": 10, "max_iter": 20, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make(1, **settings).fit(X, y)
        names = np.array(["z", "x", "y"])
        other = make(1, **settings).fit(X, names[y])
    assert model.score(X, y) > 0.95
    order = [list(other.classes_).index(name) for name in names]
    p = other.predict_proba(X)
    np.testing.assert_allclose(p[:, order], model.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)


def test_what_is_unbounded_is_refused_by_name():
    X, y = bent(30)
    model = DeepKernelMachineRegressor(nu=1.0, n_inducing=None, noise_floor=0)
    with pytest.raises(ValueError, match="unbounded objective"):
        model.fit(X, y)


def test_more_points_than_samples_are_lowered_with_a_warning():
    X, y = bent(12)
    model = DeepKernelMachineRegressor(nu=100, n_inducing=13, max_iter=3, tol=1e3)
    with pytest.warns(UserWarning, match="more than the 12 samples"):
        model.fit(X, y)
    assert len(model.inducing_points_) == 12


@pytest.mark.parametrize("n_inducing", [5, None])
def test_duplicates_one_sample_and_constants(n_inducing):
    make = DeepKernelMachineRegressor
    settings = {"nu": 10, "n_inducing": n_inducing, "max_iter": 10, "tol": 1e3}
    X, y = bent(20)
    twice = make(**settings).fit(np.vstack([X, X]), np.r_[y, y])
    assert np.isfinite(twice.predict(X)).all()
    constant = make(**settings).fit(X, np.full(20, 7.0))
    np.testing.assert_allclose(constant.predict(X), 7.0, atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        one = make(**settings).fit(X[:1], y[:1])
    np.testing.assert_allclose(one.predict(X[:1]), y[:1])


def test_an_ascent_cut_short_says_so():
    X, y = bent(60)
    model = DeepKernelMachineRegressor(nu=10, n_inducing=10, max_iter=2, tol=1e-6)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        model.fit(X, y)
    assert not model.certificate_.satisfied


def test_the_certificate_is_the_gradient_at_the_answer():
    X, y = bent(60)
    model = DeepKernelMachineRegressor(1, nu=50, n_inducing=8, random_state=0)
    model.fit(X, y)
    state = model._state
    U, Y = model._inputs(X), (y - y.mean())[:, None] / y.std()
    machine = evidence(
        U, Y, state.Z, n_layers=1, nu=50, noise_floor=1e-2, jitter=model.jitter
    )
    x, bounds = machine.start(state.weights, state.amplitude, state.noise)
    V = state.trunk.layers[0].V
    packed = V[np.tril_indices(8)].copy()
    packed[np.tril_indices(8)[0] == np.tril_indices(8)[1]] = np.log(V.diagonal())
    start = len(state.weights) + 2
    x[start : start + len(packed)] = packed / machine._unit
    value, slopes = machine(x)
    assert value == pytest.approx(model.objective_, rel=1e-8)
    free = (x > bounds[:, 0] + 1e-6) | (slopes > 0)
    largest = np.abs(slopes[free]).max() / len(X)
    assert largest == pytest.approx(model.certificate_.value, rel=1e-2, abs=1e-7)
    assert model.certificate_.value <= model.certificate_.tol
