"""Student's noise in SparseGPRegressor, and names of kernels in the classifier."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime
from sklearn.datasets import make_moons
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sparsestat.gaussian_process import SparseGPClassifier, SparseGPRegressor
from sparsestat.gaussian_process._variational._heavy_tails import heavy_bound
from sparsestat.gaussian_process._variational._svgp import Posterior

rng = np.random.default_rng(0)
X = np.sort(rng.uniform(0, 10, (80, 1)), axis=0)
TRUTH = np.sin(X[:, 0])
Y = TRUTH + 0.1 * rng.normal(size=80)
Y[::9] += 6.0
KERNEL = 1.0 * RBF(1.5) + WhiteKernel(0.02)
FIXED = {"optimizer": None, "normalize_y": False}


def test_outliers_move_the_function_little():
    model = SparseGPRegressor(likelihood="student_t", n_inducing=20, random_state=0)
    model.fit(X, Y)
    plain = SparseGPRegressor(n_inducing=20, random_state=0).fit(X, Y)
    errors = [np.sqrt(np.mean((m.predict(X) - TRUTH) ** 2)) for m in (model, plain)]
    assert errors[0] < 0.15 < errors[1]
    assert model.certificate_.satisfied and np.isinf(model.upper_bound_)
    assert model.noise_variance_ < 0.2 * plain.noise_variance_


def test_many_degrees_are_normal_noise():
    heavy = SparseGPRegressor(
        KERNEL, inducing=X[::8], likelihood="student_t", degrees=1e7, **FIXED
    ).fit(X, TRUTH)
    plain = SparseGPRegressor(KERNEL, inducing=X[::8], **FIXED).fit(X, TRUTH)
    assert_allclose(heavy.lower_bound_, plain.lower_bound_, rtol=1e-5)
    for a, b in zip(
        heavy.predict(X, return_std=True),
        plain.predict(X, return_std=True),
        strict=True,
    ):
        assert_allclose(a, b, atol=1e-5)
    assert_allclose(heavy.L_B_, plain.L_B_, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("weights", [1.0, np.arange(80) % 3 + 0.5])
def test_gradients_are_those_of_differences(weights):
    Z = X[::10]

    def at(theta, points):
        return heavy_bound(
            KERNEL.clone_with_theta(theta), points.reshape(Z.shape), X, Y[:, None],
            Posterior.prior(len(Z), 1), degrees=4.0, jitter=1e-10, weights=weights,
        )  # fmt: skip

    state = at(KERNEL.theta, Z)
    slopes = approx_fprime(KERNEL.theta, lambda t: at(t, Z).value, 1e-5)
    assert_allclose(state.gradient, slopes, rtol=2e-3, atol=2e-3)
    slopes = approx_fprime(Z.ravel(), lambda z: at(KERNEL.theta, z).value, 1e-5)
    assert_allclose(state.Z_gradient.ravel(), slopes, rtol=2e-3, atol=2e-3)


def test_a_weight_is_a_repetition():
    counts = np.arange(80) % 3
    settings = {"inducing": X[::8], "likelihood": "student_t", **FIXED}
    one = SparseGPRegressor(KERNEL, **settings).fit(X, Y, sample_weight=counts)
    other = SparseGPRegressor(KERNEL, **settings)
    other.fit(X.repeat(counts, 0), Y.repeat(counts))
    assert_allclose(one.lower_bound_, other.lower_bound_, rtol=1e-8)
    assert_allclose(one.predict(X), other.predict(X), atol=1e-4)


def test_draws_have_heavy_tails_and_the_spread_of_predictions():
    model = SparseGPRegressor(
        KERNEL, inducing=X[::8], likelihood="student_t", degrees=6.0, **FIXED
    ).fit(X, Y)
    draws = model.sample_y(X[:2], 40_000, random_state=0)
    mean, std = model.predict(X[:2], return_std=True)
    assert_allclose(draws.mean(axis=1), mean, atol=0.01)
    assert_allclose(draws.std(axis=1), std, rtol=0.05)
    assert_allclose(model.noise_variance_, 0.02 * 6 / 4)


@pytest.mark.parametrize(
    "arguments, y, message",
    [
        ({}, np.column_stack([Y, Y]), "y has 2 targets"),
        ({"method": "fitc"}, Y, "method is 'fitc'"),
        ({"noise_variance": 0.1}, Y, "noise_variance is given"),
        ({"degrees": 2.0}, Y, "degrees"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, y, message):
    with pytest.raises(ValueError, match=message):
        SparseGPRegressor(likelihood="student_t", **arguments).fit(X, y)


def test_parts_are_for_normal_noise():
    model = SparseGPRegressor(KERNEL, inducing=X[::8], likelihood="student_t", **FIXED)
    model.partial_fit(X, Y)
    with pytest.raises(ValueError, match="Fit all samples at once"):
        model.partial_fit(X, Y)


@pytest.mark.parametrize("name", ["rbf", "matern32", "rational_quadratic"])
def test_the_classifier_knows_kernels_by_name(name):
    X, y = make_moons(120, noise=0.2, random_state=0)
    model = SparseGPClassifier(name, n_inducing=12, max_iter=10, random_state=0)
    model.set_params(tol=1.0).fit(X, y)
    assert model.score(X, y) > 0.9
    short = type(model.kernel_.k2).__name__.lower()[:3]
    assert name.startswith(short)
