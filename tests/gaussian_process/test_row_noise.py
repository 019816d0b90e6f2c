"""Several targets, noise per sample and weights in the regressors with kernels."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sparsestat.gaussian_process import (
    CompactGPRegressor,
    SparseGPRegressor,
    ToeplitzGPRegressor,
    WendlandKernel,
)
from sparsestat.gaussian_process._kernel._inducing import evaluate, exact_evidence
from sparsestat.gaussian_process._kernel._row_noise import PLAIN, RowNoise, collected

rng = np.random.default_rng(0)
X = rng.uniform(0, 6, (24, 1))
Y = np.column_stack([np.sin(X[:, 0]), 5.0 + 3.0 * np.cos(X[:, 0])])
Y += 0.2 * rng.normal(size=Y.shape)
NEW = np.linspace(-0.5, 6.5, 7)[:, None]
KERNEL = 1.3 * RBF(1.1) + WhiteKernel(0.08)
SMOOTH = 1.3 * RBF(1.1)
COUNTS = rng.integers(0, 4, 24)
VARIANCES = rng.uniform(0.02, 0.5, 24)
FIXED = {"optimizer": None, "normalize_y": False}
MODELS = {
    "sparse": SparseGPRegressor(KERNEL, inducing=X, jitter=0.0, **FIXED),
    "points": SparseGPRegressor(KERNEL, inducing=X[::3], **FIXED),
    "fitc": SparseGPRegressor(KERNEL, inducing=X[::3], method="fitc", **FIXED),
    "pep": SparseGPRegressor(KERNEL, inducing=X[::3], method="pep", **FIXED),
    "compact": CompactGPRegressor(
        1.3 * WendlandKernel(3.0) + WhiteKernel(0.08), support=None, **FIXED
    ),
}
SERIES = np.arange(24.0)[:, None]
TOEPLITZ = ToeplitzGPRegressor(1.3 * RBF(4.0) + WhiteKernel(0.08), **FIXED)


def _evidence(model):
    if isinstance(model, SparseGPRegressor):
        return model.objective_
    return model.log_marginal_likelihood_value_


def _check_alike(one, other, points=NEW, rtol=1e-7):
    for a, b in zip(
        one.predict(points, return_std=True),
        other.predict(points, return_std=True),
        strict=True,
    ):
        assert_allclose(a, b, rtol=rtol, atol=0.1 * rtol)


@pytest.mark.parametrize("name", MODELS)
def test_targets_share_the_kernel_and_nothing_else(name):
    both = clone(MODELS[name]).fit(X, Y)
    each = [clone(MODELS[name]).fit(X, y) for y in Y.T]
    assert_allclose(_evidence(both), sum(map(_evidence, each)), rtol=1e-9)
    mean, std = both.predict(NEW, return_std=True)
    assert mean.shape == std.shape == (7, 2)
    for j, model in enumerate(each):
        one_mean, one_std = model.predict(NEW, return_std=True)
        assert_allclose(mean[:, j], one_mean, rtol=1e-9, atol=1e-10)
        assert_allclose(std[:, j], one_std, rtol=1e-9)
    cov = both.predict(NEW, return_cov=True)[1]
    assert cov.shape == (7, 7, 2)
    assert both.sample_y(NEW, 3).shape == (7, 2, 3)
    assert both.noise_variance_.shape == (2,)


@pytest.mark.parametrize("missing", [[], [3, 4, 17]])
def test_targets_of_a_series(missing):
    series = np.column_stack([np.sin(SERIES[:, 0] / 3), np.cos(SERIES[:, 0] / 2)])
    series[missing] = np.nan
    both = clone(TOEPLITZ).set_params(normalize_y=True).fit(SERIES, series)
    kernel = both.kernel_
    points = np.array([[2.5], [3.0], [30.0]])
    mean, std = both.predict(points, return_std=True)
    value = 0.0
    for j, y in enumerate(series.T):
        one = ToeplitzGPRegressor(kernel, optimizer=None).fit(SERIES, y)
        value += one.log_marginal_likelihood_value_
        one_mean, one_std = one.predict(points, return_std=True)
        assert_allclose(mean[:, j], one_mean, rtol=1e-9, atol=1e-10)
        assert_allclose(std[:, j], one_std, rtol=1e-9)
    assert_allclose(both.log_marginal_likelihood_value_, value, rtol=1e-10)
    gradient = both.log_marginal_likelihood(kernel.theta, eval_gradient=True)[1]
    slopes = approx_fprime(kernel.theta, both.log_marginal_likelihood, 1e-7)
    assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-4)
    draws = both.sample_y(points, 4000, random_state=0)
    assert draws.shape == (3, 2, 4000)
    assert_allclose(draws.mean(axis=2), mean, atol=5 * std.max() / np.sqrt(4000))
    assert_allclose(draws.std(axis=2), std, rtol=0.1)
    assert both.predict_gradient(points).shape == (3, 1, 2)


@pytest.mark.parametrize("name", MODELS)
def test_a_weight_is_a_repetition(name):
    repeated = clone(MODELS[name]).fit(X.repeat(COUNTS, 0), Y.repeat(COUNTS, 0))
    weighted = clone(MODELS[name]).fit(X, Y, sample_weight=COUNTS)
    assert_allclose(_evidence(weighted), _evidence(repeated), rtol=1e-10)
    _check_alike(weighted, repeated)
    # The oracle knows no weights.
    if name == "sparse":
        oracle = GaussianProcessRegressor(KERNEL, optimizer=None, alpha=0.0)
        oracle.fit(X.repeat(COUNTS, 0), Y.repeat(COUNTS, 0))
        value = oracle.log_marginal_likelihood_value_
        # Points without jitter are as exact as the factor of their covariance.
        assert_allclose(_evidence(weighted), value, rtol=1e-4)


def test_repeated_rows_with_other_targets_are_all_counted():
    copies = np.repeat(X, 3, axis=0)
    y = np.repeat(Y[:, 0], 3) + rng.normal(size=72)
    model = SparseGPRegressor(KERNEL, **FIXED).fit(copies, y)
    oracle = GaussianProcessRegressor(KERNEL, optimizer=None, alpha=0.0).fit(copies, y)
    value = oracle.log_marginal_likelihood_value_
    assert_allclose(model.objective_, value, rtol=1e-6)
    _check_alike(model, oracle, rtol=1e-4)  # points have jitter


@pytest.mark.parametrize("known", [VARIANCES, 0.3])
def test_noise_per_sample_is_that_of_the_dense_formula(known):
    y = Y[:, 0]
    oracle = GaussianProcessRegressor(SMOOTH, alpha=known, optimizer=None).fit(X, y)
    exact = SparseGPRegressor(SMOOTH, inducing=X, noise_variance=known, **FIXED)
    exact.set_params(jitter=1e-12).fit(X, y)
    value = oracle.log_marginal_likelihood_value_
    assert_allclose(exact.objective_, value, rtol=1e-6)
    assert exact.lower_bound_ <= value + 1e-4 and exact.upper_bound_ >= value - 1e-4
    mean, std = oracle.predict(NEW, return_std=True)
    more = 0.0 if np.ndim(known) else known
    found, spread = exact.predict(NEW, return_std=True)
    assert_allclose(found, mean, atol=1e-5)
    assert_allclose(spread**2, std**2 + more, atol=1e-5)
    few = SparseGPRegressor(SMOOTH, inducing=X[::4], noise_variance=known, **FIXED)
    few.fit(X, y)
    assert_allclose(few.lower_bound_, few.objective_, rtol=1e-13)
    assert few.objective_ <= value <= few.upper_bound_
    compact = CompactGPRegressor(
        1.3 * WendlandKernel(3.0), support=None, noise_variance=known, **FIXED
    ).fit(X, y)
    oracle = GaussianProcessRegressor(
        1.3 * WendlandKernel(3.0), alpha=known, optimizer=None
    ).fit(X, y)
    value = oracle.log_marginal_likelihood_value_
    assert_allclose(compact.log_marginal_likelihood_value_, value, rtol=1e-9)
    assert_allclose(compact.predict(NEW), oracle.predict(NEW), atol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_gradients_with_rows_that_differ_are_those_of_differences(alpha):
    Z, rows = X[::4], RowNoise(COUNTS + 0.5, VARIANCES, 0.1 * VARIANCES)

    def value(theta, points=Z):
        kernel = KERNEL.clone_with_theta(theta)
        return evaluate(
            kernel, points, X, Y, alpha=alpha, rows=rows, want_gradient=False
        ).objective

    state = evaluate(KERNEL, Z, X, Y, alpha=alpha, rows=rows)
    slopes = approx_fprime(KERNEL.theta, value, 1e-6)
    assert_allclose(state.gradient, slopes, rtol=1e-4, atol=1e-4)
    slopes = approx_fprime(
        Z.ravel(), lambda z: value(KERNEL.theta, z.reshape(Z.shape)), 1e-6
    )
    assert_allclose(state.Z_gradient.ravel(), slopes, rtol=1e-4, atol=1e-4)
    if alpha == 0.0:
        found, gradient = exact_evidence(KERNEL, X, Y, rows=rows)
        slopes = approx_fprime(
            KERNEL.theta,
            lambda t: exact_evidence(KERNEL.clone_with_theta(t), X, Y, rows=rows)[0],
            1e-7,
        )
        assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-4)
        assert state.objective <= found


def test_gradients_of_sparse_covariances_with_rows_that_differ():
    model = clone(MODELS["compact"]).set_params(noise_variance=VARIANCES)
    model.fit(X, Y, sample_weight=COUNTS)
    theta = model.kernel_.theta
    gradient = model.log_marginal_likelihood(theta, eval_gradient=True)[1]
    slopes = approx_fprime(theta, model.log_marginal_likelihood, 1e-7)
    assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-4)


def test_the_scatter_of_what_repeats_is_a_density():
    y = rng.normal(size=5)
    _, mean, weights, within = collected(np.zeros((5, 1)), y[:, None], None)
    rows = RowNoise(weights, 0.0, within[:, 0])
    noise = 0.7
    more = rows.scatter(rows.single(noise, 1), 1)[0]
    whole = multivariate_normal.logpdf(
        y, np.zeros(5), np.ones((5, 5)) + noise * np.eye(5)
    )
    part = multivariate_normal.logpdf(mean[0], [0.0], [[1.0 + noise / 5]])
    assert_allclose(part + more, whole)
    assert PLAIN.is_plain and not rows.is_plain


def test_known_noise_of_both_kinds_is_learned_around():
    t = np.linspace(0, 20, 300)[:, None]
    variance = np.where(t[:, 0] > 10, 1.0, 1e-4)
    y = np.sin(t[:, 0]) + np.sqrt(variance) * np.random.default_rng(1).normal(size=300)
    model = SparseGPRegressor(noise_variance=variance).fit(t, y)
    assert_allclose(model.predict(t[:140]), np.sin(t[:140, 0]), atol=0.03)
    assert model.noise_variance_ == 0.0
    blind = SparseGPRegressor().fit(t, y)
    rest = [np.abs(m.predict(t) - np.sin(t[:, 0]))[:140] for m in (model, blind)]
    assert rest[0].mean() < 0.5 * rest[1].mean()
    compact = CompactGPRegressor(noise_variance=variance, random_state=0).fit(t, y)
    assert_allclose(compact.predict(t[:140]), np.sin(t[:140, 0]), atol=0.1)


def test_parts_with_weights_are_as_good_as_the_whole():
    whole = clone(MODELS["points"]).fit(X, Y, sample_weight=COUNTS)
    parts = clone(MODELS["points"]).partial_fit(X[:12], Y[:12], COUNTS[:12])
    parts.partial_fit(X[12:], Y[12:], COUNTS[12:])
    assert_allclose(parts.objective_, whole.objective_, rtol=1e-10)
    assert_allclose(parts.upper_bound_, whole.upper_bound_, rtol=1e-10)
    _check_alike(parts, whole)
    with pytest.raises(ValueError, match="the fit saw 2 targets"):
        parts.partial_fit(X, Y[:, 0])


def test_units_of_targets_and_of_known_noise_go_together():
    plain = SparseGPRegressor(noise_variance=VARIANCES).fit(X, Y)
    scaled = SparseGPRegressor(noise_variance=2.0**20 * VARIANCES)
    scaled.fit(X, 2.0**10 * Y + 2.0**14)
    found = (scaled.predict(NEW) - 2.0**14) / 2.0**10
    assert_allclose(found, plain.predict(NEW), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"noise_variance": np.ones(3)}, "one for each of the 24 rows"),
        ({"noise_variance": -VARIANCES}, "must be positive and finite"),
        ({"noise_variance": 0.0 * VARIANCES}, "Give observations without noise"),
        ({"noise_variance": np.nan * VARIANCES}, "must be positive and finite"),
        ({"noise_variance": 0.0}, "noise_variance"),
    ],
)
@pytest.mark.parametrize("cls", [SparseGPRegressor, CompactGPRegressor])
def test_bad_noise_is_refused(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments).fit(X, Y)


def test_weights_that_count_nothing_are_refused():
    with pytest.raises(ValueError, match="at least one non-zero"):
        SparseGPRegressor().fit(X, Y, sample_weight=np.zeros(24))
    with pytest.raises(ValueError, match="counts rows"):
        SparseGPRegressor().fit(X, Y, sample_weight=np.full(24, 1e-9))
