"""Defaults serve ordinary signals, whatever their place, units and periods."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sparsestat.gaussian_process import (
    CompactGPRegressor,
    SparseGPRegressor,
    ToeplitzGPRegressor,
)
from sparsestat.gaussian_process._kernel._evidence import default_kernel, standardized
from sparsestat.gaussian_process._kernel._starts import first_scales
from sparsestat.gaussian_process._structure._toeplitz import even_grid

MODELS = [CompactGPRegressor, SparseGPRegressor, ToeplitzGPRegressor]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("n", "period", "offset", "unit"),
    [(250, 11, 0.0, 1.0), (200, 100, 1013.0, 1.0), (60, 15, 10.0, 1e-6)],
)
def test_defaults_find_an_ordinary_signal(model, n, period, offset, unit):
    rng = np.random.default_rng(0)
    t = np.arange(float(n))
    if model is not ToeplitzGPRegressor:
        t = np.sort(rng.uniform(0, n, n))

    def signal(t):
        return unit * (offset + 0.3 * np.sin(2 * np.pi * t / period))

    y = signal(t) + unit * 0.05 * rng.normal(size=n)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = model(random_state=0).fit(t[:, None], y)
    new = rng.uniform(t[0], t[-1], 200)
    error = fitted.predict(new[:, None]) - signal(new)
    assert np.sqrt(np.mean(error**2)) < 0.06 * unit
    assert fitted.noise_variance_**0.5 == pytest.approx(0.05 * unit, rel=0.35)


def test_features_of_different_units_get_their_lengths():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(200, 3)) * [1.0, 1e3, 1e-3]
    y = np.sin(6 * X[:, 0]) + np.cos(4e-3 * X[:, 1])
    scales = first_scales(X, y + 0.05 * rng.normal(size=200))
    assert scales.lengths[0] < 2 and 50 < scales.lengths[1] < 2000
    assert scales.lengths[2] > 3e-3  # does not matter
    assert scales.noise == pytest.approx(0.05**2, rel=0.5)


@pytest.mark.parametrize("noise", [1e-4, 1e-2, 0.3])
def test_the_noise_is_seen_before_the_fit(noise):
    t = np.arange(400.0)[:, None]
    y = np.sin(t[:, 0] / 7) + noise * np.random.default_rng(0).normal(size=400)
    scales = first_scales(t, y)
    assert noise / 2 < scales.noise**0.5 < 2 * noise


def test_scales_answer_to_units_and_not_to_places():
    rng = np.random.default_rng(1)
    X = np.round(rng.uniform(0, 8, (80, 2)) * 1024) / 1024
    y = np.sin(X[:, 0]) + X[:, 1] + 0.1 * rng.normal(size=80)
    plain = first_scales(X, y)
    moved = first_scales(2.0**20 * (X + 2.0**20), y * 2.0**-9)
    np.testing.assert_allclose(moved.lengths, 2.0**20 * plain.lengths, rtol=1e-4)
    assert moved.noise == pytest.approx(2.0**-18 * plain.noise, rel=1e-4)


def test_bounds_of_the_noise_are_those_of_the_data():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(30, 1))
    y = 1e6 + 1e-3 * rng.normal(size=30)
    kernel = default_kernel(X, y - y.mean())
    low, high = kernel.k2.noise_level_bounds
    assert low == pytest.approx(1e-10 * y.var()) and high == pytest.approx(10 * y.var())


def test_targets_far_from_zero_are_centered_to_the_last_digit():
    y = np.round(np.random.default_rng(0).normal(size=50) * 1024) / 1024
    near, far = standardized(y, True), standardized(y + 2.0**26, True)
    np.testing.assert_allclose(far[0], near[0], atol=1e-13)
    assert far[1] - 2.0**26 == pytest.approx(near[1], abs=1e-7)
    assert far[2] == pytest.approx(near[2], rel=1e-12)


def test_a_bound_that_is_reached_is_named_once():
    t = np.linspace(0, 10, 60)[:, None]
    y = np.sin(t[:, 0]) + 0.1 * np.random.default_rng(0).normal(size=60)
    kernel = RBF(1.0, (0.1, 0.2)) + WhiteKernel(0.5, (0.3, 1.0))
    with pytest.warns(UserWarning, match="bounds:") as caught:
        SparseGPRegressor(kernel, n_inducing=60, tol=0.1).fit(t, y)
    text = str(caught[0].message)
    assert len(caught) == 1
    assert "length_scale (upper bound 0.2)" in text
    assert "noise_level (lower bound 0.3)" in text


@pytest.mark.parametrize("model", [SparseGPRegressor, ToeplitzGPRegressor])
def test_a_fit_without_signal_says_so(model):
    y = np.random.default_rng(1).normal(size=200)
    kernel = 0.5 * RBF(40.0, (30.0, 90.0)) + WhiteKernel(0.5)
    with pytest.warns(UserWarning, match="found no signal"):
        model(kernel, random_state=0).fit(np.arange(200.0)[:, None], y)


def test_wide_supports_serve_smooth_surfaces():
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 1, (300, 2)) * [1.0, 1e-4]
    new = rng.uniform(0.05, 0.95, (300, 2)) * [1.0, 1e-4]

    def surface(X):
        bump = np.exp(-8 * ((X / [1.0, 1e-4] - 0.4) ** 2).sum(axis=1))
        return 100 + 30 * bump + 10 * np.sin(6 * X[:, 0])

    model = CompactGPRegressor().fit(X, surface(X))
    error = model.predict(new) - surface(new)
    assert np.sqrt(np.mean(error**2)) < 0.2
    few = CompactGPRegressor(neighbors=30).fit(X, surface(X))
    assert few.log_marginal_likelihood_value_ < model.log_marginal_likelihood_value_


@pytest.mark.parametrize(
    ("start", "step"), [(2.45e6, 1 / 24), (1.7e9, 0.1), (0.0, 1e-300)]
)
def test_even_grids_are_judged_to_their_rounding(start, step):
    x = start + step * np.arange(500)
    order, found = even_grid(x)
    assert order is not None and found == pytest.approx(step, rel=1e-6)
    x[250] += 0.01 * step
    assert even_grid(x)[0] is None
    assert even_grid(start + step * np.arange(500.0) ** 1.0001)[0] is None


def test_a_series_far_from_zero_is_that_at_zero():
    lags = np.arange(60) / 32
    y = np.sin(lags * 5) + 0.1 * np.random.default_rng(0).normal(size=60)
    near = ToeplitzGPRegressor().fit(lags[:, None], y)
    far = ToeplitzGPRegressor().fit(lags[:, None] + 2.0**31, y)
    for a, b in zip(
        near.predict(lags[:, None], return_std=True),
        far.predict(lags[:, None] + 2.0**31, return_std=True),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_spreads_that_rounding_may_change_are_announced():
    t = np.arange(40.0)[:, None]
    y = np.sin(t[:, 0])
    for noise in (1e-12, 1e-6):
        kernel = RBF(0.3) + WhiteKernel(noise)
        model = ToeplitzGPRegressor(kernel, optimizer=None).fit(t, y)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.predict(t, return_std=True)
        assert bool(caught) == (noise < 1e-9)
