"""Variational inference at inducing points: oracles, streams, what users meet."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm, t
from sklearn.datasets import load_iris, make_moons
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.gaussian_process import SparseGPClassifier, SparseGPRegressor
from sparsestat.gaussian_process._kernel._inducing import evaluate
from sparsestat.gaussian_process._variational._bounds import features, variational_bound
from sparsestat.gaussian_process._variational._likelihoods import (
    Bernoulli,
    Gaussian,
    Softmax,
    StudentT,
)
from sparsestat.gaussian_process._variational._svgp import (
    Posterior,
    bound,
    natural_step,
    settle,
)


def problem(likelihood, n=40, m=6, seed=0):
    rng = np.random.default_rng(seed)
    A = 0.4 * rng.normal(size=(m, n))
    k = 1.5 + np.sum(A**2, axis=0)
    if isinstance(likelihood, Bernoulli):
        y = np.sign(rng.normal(size=(n, 1)))
    elif isinstance(likelihood, Softmax):
        y = np.eye(likelihood.n_outputs)[rng.integers(0, likelihood.n_outputs, n)]
    else:
        y = rng.normal(size=(n, likelihood.n_outputs))
    return A, k, y


LIKELIHOODS = {
    "gaussian": Gaussian(0.3, 2),
    "bernoulli": Bernoulli(),
    "student": StudentT(0.5),
    "softmax": Softmax(3),
}


# Likelihoods


@pytest.mark.parametrize("mean, variance", [(0.3, 0.2), (-1.5, 2.0), (2.0, 1e-9)])
def test_expectations_are_those_of_quadrature(mean, variance):
    root = np.sqrt(variance)
    laws = {
        Bernoulli(): lambda f: norm.logcdf(-f),
        StudentT(0.7): lambda f: t(4).logpdf((-1 - f) / 0.7) - np.log(0.7),
        Gaussian(0.4): lambda f: norm(f, np.sqrt(0.4)).logpdf(-1),
    }
    for likelihood, log_p in laws.items():
        expected = quad(
            lambda z, log_p=log_p: norm.pdf(z) * log_p(mean + root * z), -12, 12
        )[0]
        point = np.array([[mean]]), np.array([[variance]])
        found = likelihood.expected(np.array([[-1.0]]), *point)[0]
        assert found[0] == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_slopes_of_expectations_are_those_of_differences(name):
    likelihood = LIKELIHOODS[name]
    _, _, y = problem(likelihood, 5)
    rng = np.random.default_rng(1)
    mean = rng.normal(size=(5, likelihood.n_outputs))
    variance = rng.uniform(0.2, 1.5, size=mean.shape)
    _, mean_bar, variance_bar = likelihood.expected(y, mean, variance)
    for j in range(likelihood.n_outputs):
        e = 1e-5 * np.eye(likelihood.n_outputs)[j]
        up, down = (likelihood.expected(y, mean + s * e, variance)[0] for s in (1, -1))
        np.testing.assert_allclose((up - down) / 2e-5, mean_bar[:, j], atol=1e-8)
        up, down = (likelihood.expected(y, mean, variance + s * e)[0] for s in (1, -1))
        np.testing.assert_allclose((up - down) / 2e-5, variance_bar[:, j], atol=1e-8)


def test_softmax_is_near_its_expectation():
    rng = np.random.default_rng(0)
    likelihood = Softmax(4)
    mean, variance = rng.normal(size=(3, 4)), rng.uniform(0.1, 1.0, size=(3, 4))
    y = np.eye(4)[:3]
    f = mean + np.sqrt(variance) * rng.standard_normal((200_000, 1, 4))
    log_p = f - np.log(np.exp(f).sum(axis=2, keepdims=True))
    expected = np.mean(np.sum(log_p * y, axis=2), axis=0)
    found = likelihood.expected(y, mean, variance)[0]
    np.testing.assert_allclose(found, expected, atol=0.01)
    p = likelihood.probabilities(mean, variance)
    np.testing.assert_allclose(p, np.exp(log_p).mean(axis=0), atol=5e-3)


# The distribution of the inducing variables


def test_one_step_of_length_one_is_the_bound_of_titsias():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = np.sin(2 * X[:, 0]) + 0.1 * rng.normal(size=60)
    smooth, Z = ConstantKernel(1.3) * RBF([0.7, 1.1]), X[:8] + 0.1
    state = evaluate(smooth + WhiteKernel(0.05), Z, X, y, jitter=1e-10)
    A, k = features(smooth, Z, state.L, X)
    likelihood = Gaussian(0.05)
    for start in (Posterior.prior(8, 1), Posterior(np.ones((8, 1)), [2 * np.eye(8)])):
        one = natural_step(likelihood, start, A, k, y[:, None])
        value = bound(likelihood, one, A, k, y[:, None])[0]
        assert value == pytest.approx(state.objective, abs=1e-8)
    np.testing.assert_allclose(one.root(0), state.L_B, atol=1e-8)
    found = variational_bound(smooth, Z, X, y[:, None], likelihood, start, jitter=1e-10)
    assert found.value == pytest.approx(state.objective, abs=1e-8)
    n_theta = len(found.gradient)
    np.testing.assert_allclose(found.gradient, state.gradient[:n_theta], rtol=1e-5)
    np.testing.assert_allclose(found.Z_gradient, state.Z_gradient, atol=1e-5)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_where_steps_settle_nothing_is_higher(name):
    likelihood = LIKELIHOODS[name]
    A, k, y = problem(likelihood)
    best, _, far = settle(likelihood, Posterior.prior(6, likelihood.n_outputs), A, k, y)
    value = bound(likelihood, best, A, k, y)[0]
    assert far < 1e-8
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-1):
        for _ in range(5):
            moved = Posterior(
                best.mean + size * rng.normal(size=best.mean.shape),
                [C + size * np.tril(rng.normal(size=C.shape)) for C in best.roots],
            )
            assert bound(likelihood, moved, A, k, y)[0] < value


def test_no_step_lowers_the_bound():
    """Counts far from where the steps start: those of length one lead too far."""

    def expected(y, mean, variance):
        rate = np.exp(mean + 0.5 * variance)
        return y * mean - rate, y - rate, -0.5 * rate

    counts = SimpleNamespace(expected=expected)
    A, k, _ = problem(LIKELIHOODS["gaussian"])
    A, y = np.abs(A), np.full((40, 1), 100.0)
    start = Posterior.prior(6, 1)
    values = [bound(counts, start, A, k, y)[0]]
    for steps in range(1, 16):
        found = settle(counts, start, A, k, y, max_steps=steps)[0]
        values.append(bound(counts, found, A, k, y)[0])
    whole = natural_step(counts, start, A, k, y)
    assert bound(counts, whole, A, k, y)[0] < values[0]
    assert (np.diff(values) >= -1e-9 * np.abs(values[1:])).all()
    assert values[-1] > values[0] + 100.0


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_first_step_is_of_length_one_where_the_bound_rises(name):
    likelihood = LIKELIHOODS[name]
    A, k, y = problem(likelihood)
    start = Posterior.prior(6, likelihood.n_outputs)
    whole = natural_step(likelihood, start, A, k, y)
    assert bound(likelihood, whole, A, k, y)[0] > bound(likelihood, start, A, k, y)[0]
    found = settle(likelihood, start, A, k, y, max_steps=1)[0]
    np.testing.assert_allclose(found.mean, whole.mean, atol=1e-12)
    np.testing.assert_allclose(found.roots, whole.roots, atol=1e-12)


def test_extrapolated_steps_settle_sooner():
    likelihood = LIKELIHOODS["softmax"]
    A, k, y = problem(likelihood)
    A, k = 3.0 * A, 9.0 * k
    start = Posterior.prior(6, likelihood.n_outputs)
    assert settle(likelihood, start, A, k, y, max_steps=25)[2] <= 1e-10 * len(y)
    plain = start
    for _ in range(25):
        plain, before = natural_step(likelihood, plain, A, k, y), plain
    assert plain.divergence(before) > 1e-10 * len(y)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_slopes_of_the_bound_are_those_of_differences(name):
    likelihood = LIKELIHOODS[name]
    A, k, y = problem(likelihood, 8, 3)
    q = natural_step(likelihood, Posterior.prior(3, likelihood.n_outputs), A, k, y)
    _, A_bar, k_bar, _ = bound(likelihood, q, A, k, y, scale=2.5)
    for i in range(3):
        E = np.zeros_like(A)
        E[i, 2] = 1e-5
        up, down = (
            bound(likelihood, q, A + s * E, k, y, scale=2.5)[0] for s in (1, -1)
        )
        assert A_bar[i, 2] == pytest.approx((up - down) / 2e-5, abs=1e-6)
    e = 1e-5 * np.eye(8)[5]
    up, down = (bound(likelihood, q, A, k + s * e, y, scale=2.5)[0] for s in (1, -1))
    assert k_bar[5] == pytest.approx((up - down) / 2e-5, abs=1e-6)


def test_divergences_are_those_of_their_formula():
    rng = np.random.default_rng(0)
    roots = [np.tril(rng.normal(size=(4, 4))) + 3 * np.eye(4) for _ in range(2)]
    q = Posterior(rng.normal(size=(4, 2)), roots)
    standard = Posterior.prior(4, 2)
    assert q.divergence() == pytest.approx(q.divergence(standard), rel=1e-12)
    assert q.divergence(q) == pytest.approx(0.0, abs=1e-12)
    S = [np.linalg.inv(C @ C.T) for C in roots]
    expected = sum(np.trace(s) - np.linalg.slogdet(s)[1] for s in S)
    expected = 0.5 * (expected + np.sum(q.mean**2) - 8)
    assert q.divergence() == pytest.approx(expected, rel=1e-10)


def test_normal_targets_in_a_stream_are_as_at_once():
    likelihood = Gaussian(0.3, 2)
    A, k, y = problem(likelihood)
    prior = Posterior.prior(6, 2)
    whole = settle(likelihood, prior, A, k, y)[0]
    part = settle(likelihood, prior, A[:, :15], k[:15], y[:15])[0]
    part = settle(likelihood, part, A[:, 15:], k[15:], y[15:], prior=part)[0]
    np.testing.assert_allclose(part.mean, whole.mean, atol=1e-8)
    np.testing.assert_allclose(part.root(0), whole.root(0), atol=1e-8)


def test_heavy_tails_leave_outliers_alone():
    rng = np.random.default_rng(0)
    X = np.sort(rng.uniform(0, 6, (80, 1)), axis=0)
    y = np.sin(X[:, 0]) + 0.05 * rng.normal(size=80)
    y[::10] += 5.0
    kernel, Z = RBF(1.5), np.linspace(0, 6, 10)[:, None]
    L = np.linalg.cholesky(kernel(Z) + 1e-8 * np.eye(10))
    A, k = features(kernel, Z, L, X)
    errors = []
    for likelihood in (StudentT(0.1), Gaussian(0.25)):
        q = settle(likelihood, Posterior.prior(10, 1), A, k, y[:, None])[0]
        errors.append(np.abs(A.T @ q.mean[:, 0] - np.sin(X[:, 0])).max())
    assert errors[0] < 0.15 < errors[1]


@pytest.mark.parametrize("name", ["bernoulli", "softmax"])
def test_gradients_in_kernels_and_points_are_those_of_differences(name):
    likelihood = LIKELIHOODS[name]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2))
    _, _, y = problem(likelihood, 30)
    kernel = 1.2 * Matern([0.8, 1.1], nu=2.5) + 0.3
    x = np.r_[kernel.theta, X[:5].ravel() + 0.1]
    p = kernel.n_dims

    def at(x):
        return variational_bound(
            kernel.clone_with_theta(x[:p]),
            x[p:].reshape(5, 2),
            X,
            y,
            likelihood,
            Posterior.prior(5, likelihood.n_outputs),
            jitter=1e-9,
        )

    state = at(x)
    numeric = [
        (at(x + 1e-5 * e).value - at(x - 1e-5 * e).value) / 2e-5 for e in np.eye(len(x))
    ]
    found = np.r_[state.gradient, state.Z_gradient.ravel()]
    np.testing.assert_allclose(found, numeric, atol=1e-4 * np.abs(numeric).max())


# The classifier


def test_moons_are_told_apart_as_by_all_points():
    X, y = make_moons(300, noise=0.2, random_state=0)
    model = SparseGPClassifier(n_inducing=25, random_state=0).fit(X[:150], y[:150])
    assert model.certificate_.satisfied
    assert model.score(X[150:], y[150:]) > 0.94
    full = GaussianProcessClassifier(model.kernel_, optimizer=None)
    full.fit(X[:150], y[:150])
    p, q = (m.predict_proba(X[150:])[:, 1] for m in (model, full))
    assert np.mean((p > 0.5) == (q > 0.5)) > 0.97
    np.testing.assert_allclose(p.mean(), q.mean(), atol=0.03)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_several_classes_and_their_names():
    X, y = load_iris(return_X_y=True)
    names = np.array(["z", "x", "y"])
    make = SparseGPClassifier
    model = make(n_inducing=15, random_state=0, tol=1e-3).fit(X[::2], y[::2])
    other = make(n_inducing=15, random_state=0, tol=1e-3).fit(X[::2], names[y[::2]])
    assert model.score(X[1::2], y[1::2]) > 0.93
    order = [list(other.classes_).index(name) for name in names]
    np.testing.assert_allclose(
        other.predict_proba(X)[:, order], model.predict_proba(X), atol=1e-6
    )


def test_two_classes_by_softmax_agree_with_one_process():
    X, y = make_moons(120, noise=0.2, random_state=0)
    one, two = (
        SparseGPClassifier(likelihood=name, n_inducing=15, random_state=0).fit(X, y)
        for name in ("bernoulli", "softmax")
    )
    assert np.mean(one.predict(X) == two.predict(X)) > 0.95


def test_more_points_never_lower_the_bound():
    X, y = make_moons(100, noise=0.2, random_state=0)
    values = [
        SparseGPClassifier(2.0 * RBF(0.7), inducing=X[:m], optimizer=None)
        .fit(X, y)
        .lower_bound_
        for m in (3, 6, 12, 25, 100)
    ]
    assert (np.diff(values) > -1e-6).all()


def test_batches_come_near_the_full_ascent():
    X, y = make_moons(300, noise=0.2, random_state=0)
    model = SparseGPClassifier(
        n_inducing=20, batch_size=50, max_iter=30, random_state=0
    ).fit(X, y)
    assert model.certificate_.tol == np.inf
    full = SparseGPClassifier(n_inducing=20, random_state=0).fit(X, y)
    assert model.lower_bound_ > full.lower_bound_ - 3.0
    assert model.lower_bound_ < full.lower_bound_ + 0.1


def test_a_stream_of_samples_sharpens_the_boundary():
    X, y = make_moons(600, noise=0.2, random_state=0)
    model = SparseGPClassifier(n_inducing=20, random_state=0)
    model.partial_fit(X[:60], y[:60])
    kernel, losses = model.kernel_, []
    for start in range(60, 300, 60):
        p = model.predict_proba(X[300:])
        losses.append(-np.mean(np.log(p[np.arange(300), y[300:]])))
        model.partial_fit(X[start : start + 60], y[start : start + 60])
        assert model.certificate_.satisfied and model.kernel_ is kernel
    p = model.predict_proba(X[300:])
    assert -np.mean(np.log(p[np.arange(300), y[300:]])) < losses[0]
    at_once = SparseGPClassifier(
        kernel, inducing=model.inducing_points_, optimizer=None
    )
    q = at_once.fit(X[:300], y[:300]).predict_proba(X[300:])
    np.testing.assert_allclose(p, q, atol=0.1)


def test_classes_of_a_stream_are_named_at_first():
    X, y = make_moons(60, noise=0.2, random_state=0)
    first = SparseGPClassifier(n_inducing=10, random_state=0)
    first.partial_fit(X, y, classes=[0, 1, 2])
    assert list(first.classes_) == [0, 1, 2]
    first.partial_fit(X[:5], np.full(5, 2))
    with pytest.raises(ValueError, match="did not name"):
        first.partial_fit(X[:5], np.full(5, 3))
    with pytest.raises(ValueError, match="`classes` lacks"):
        SparseGPClassifier().partial_fit(X, y, classes=[0, 2])


def test_what_does_not_fit_is_refused_by_name():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="likelihood='softmax'"):
        SparseGPClassifier(likelihood="bernoulli").fit(X, y)
    with pytest.raises(ValueError, match="WhiteKernel"):
        SparseGPClassifier(RBF() + WhiteKernel()).fit(X, y)
    with pytest.raises(ValueError, match="points with 3 features"):
        SparseGPClassifier(inducing=np.zeros((2, 3))).fit(X, y)
    with pytest.raises(ValueError, match="only one class"):
        SparseGPClassifier().fit(X, np.zeros(150))


def test_an_ascent_cut_short_says_so():
    X, y = make_moons(60, noise=0.2, random_state=0)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        SparseGPClassifier(n_inducing=10, max_iter=1, tol=1e-9).fit(X, y)


# Streams of numbers


@pytest.mark.parametrize("method", ["vfe", "fitc", "pep"])
def test_parts_are_as_good_as_the_whole(method):
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 6, (300, 1))
    y = np.sin(X[:, 0]) + 0.1 * rng.normal(size=300)
    kernel = RBF(1.0) + WhiteKernel(0.02)
    settings = {"method": method, "inducing": X[:10], "normalize_y": False}
    make = SparseGPRegressor
    whole = make(kernel, optimizer=None, **settings).fit(X, y)
    parts = make(kernel, optimizer=None, **settings)
    for start in range(0, 300, 100):
        parts.partial_fit(X[start : start + 100], y[start : start + 100])
    for name in ("objective_", "lower_bound_", "upper_bound_"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-9)
    for one, two in zip(
        whole.predict(X, return_std=True),
        parts.predict(X, return_std=True),
        strict=True,
    ):
        np.testing.assert_allclose(one, two, atol=1e-9)
    state = evaluate(kernel, X[:10], X, y, alpha=whole._power(), jitter=whole.jitter_)
    assert whole.objective_ == pytest.approx(state.objective, rel=1e-10)
    assert whole.upper_bound_ >= whole.lower_bound_


def test_a_first_part_is_a_fit_and_the_others_sharpen_it():
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 6, (600, 1))
    y = 1e3 * np.sin(X[:, 0]) + 5e4 + 100 * rng.normal(size=600)
    model = SparseGPRegressor(n_inducing=10, random_state=0)
    model.partial_fit(X[:100], y[:100])
    before = model.predict(X, return_std=True)[1]
    kernel = model.kernel_
    model.partial_fit(X[100:], y[100:])
    mean, after = model.predict(X, return_std=True)
    assert model.kernel_ is kernel and (after <= before + 1e-9).all()
    truth = 1e3 * np.sin(X[:, 0]) + 5e4
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 40
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(np.zeros((3, 2)), np.zeros(3))


def test_a_settled_bound_is_found_by_other_optimizers():
    likelihood = Bernoulli()
    A, k, y = problem(likelihood, 15, 3)
    best = settle(likelihood, Posterior.prior(3, 1), A, k, y)[0]

    def negative(x):
        C = np.zeros((3, 3))
        C[np.tril_indices(3)] = x[3:]
        C.flat[::4] = np.exp(C.diagonal())
        return -bound(likelihood, Posterior(x[:3, None], [C]), A, k, y)[0]

    found = minimize(negative, np.zeros(9), options={"gtol": 1e-7})
    value = bound(likelihood, best, A, k, y)[0]
    assert value == pytest.approx(-found.fun, abs=1e-8)


def test_duplicates_and_constant_features():
    X, y = make_moons(40, noise=0.2, random_state=0)
    X = np.column_stack([np.vstack([X, X]), np.full(80, 3.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = SparseGPClassifier(max_iter=5, random_state=0).fit(X, np.r_[y, y])
    assert len(model.inducing_points_) == 40
    assert np.isfinite(model.predict_proba(X)).all()
