"""Defaults serve ordinary signals, whatever their place, units and periods."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from sparsestat._utils.progress import FitProgress
from sparsestat.exceptions import ConvergenceWarning
from sparsestat.gaussian_process import (
    CompactGPRegressor,
    SparseGPRegressor,
    ToeplitzGPRegressor,
    WendlandKernel,
)
from sparsestat.gaussian_process._kernel import _evidence
from sparsestat.gaussian_process._kernel._ascent import climb, projected
from sparsestat.gaussian_process._kernel._evidence import (
    Ascent,
    default_kernel,
    maximize_evidence,
    raise_noise,
    standardized,
)
from sparsestat.gaussian_process._kernel._inducing import exact_evidence
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


def test_supports_are_short_where_clusters_vary_within():
    rng = np.random.RandomState(0)
    centers = np.sort(rng.uniform(0, 1000, 20))
    t = np.sort((centers[:, None] + 0.3 * rng.normal(size=(20, 16))).ravel())
    y = np.sin(t) + 0.1 * rng.normal(size=t.size)
    model = CompactGPRegressor(random_state=0).fit(t[:, None], y)
    # Thirty neighbors of a cluster of sixteen are in the next, many periods away.
    far = CompactGPRegressor(neighbors=30, random_state=0).fit(t[:, None], y)
    assert model.support_[0] < 8 < 20 < far.support_[0]
    evidence = model.log_marginal_likelihood_value_
    assert evidence > far.log_marginal_likelihood_value_
    assert model.noise_variance_**0.5 == pytest.approx(0.1, rel=0.15)
    between = np.linspace(0, 1000, 400)
    error, worse = (
        np.mean((m.predict(between[:, None]) - np.sin(between)) ** 2) ** 0.5
        for m in (model, far)
    )
    assert error < 0.9 and error < 0.5 * worse


def _without_noise(seed, dtype=np.float64, unit=1.0):
    """Return rows, some that are held out, and a target that is one of the features."""
    rng = np.random.default_rng(seed)
    X = (unit * rng.normal(size=(90, 3)) * [1.0, 30.0, 1e3]).astype(dtype)
    return X[:60], X[60:], lambda X: 3 * X[:, 0] + 7 * unit


@pytest.mark.parametrize("model", [CompactGPRegressor, SparseGPRegressor])
@pytest.mark.parametrize("unit", [1.0, 1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_targets_without_noise_are_fitted_to_the_tolerance(model, unit, dtype):
    for seed in range(3):
        X, new, target = _without_noise(seed, dtype, unit)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            fitted = model(random_state=0).fit(X, target(X))
        error = np.sqrt(np.mean((fitted.predict(new) - target(new)) ** 2))
        # A kernel of compact support bends at the rim of the data.
        share = 1e-4 if model is SparseGPRegressor else 0.05
        assert error < share * target(X).std()
        bound = fitted.certificate_.details["noise_level_bound"]
        assert fitted.certificate_.satisfied and 1e-11 < bound < 1.1e-6
        variance = fitted.noise_variance_ / target(X).astype(float).var()
        assert variance >= bound * (1 - 1e-5)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("unit", [1.0, 1e6])
@pytest.mark.parametrize("signal", [lambda t: 3 * t + 5, lambda t: np.sin(t / 9)])
def test_series_without_noise_are_fitted_to_the_tolerance(signal, unit, missing):
    t = np.arange(80.0)
    y = unit * signal(t)
    held = np.arange(80) % 7 == 3
    new = t[held] if missing else t[held] + 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model = ToeplitzGPRegressor().fit(
            unit * t[:, None], np.where(held & missing, np.nan, y)
        )
    assert model.certificate_.satisfied
    error = np.abs(model.predict(unit * new[:, None]) - unit * signal(new)).max()
    assert error < 1e-3 * y.std()  # it was above y.std() with missing values


def test_a_certificate_without_noise_is_that_of_the_dense_evidence():
    X, _, target = _without_noise(1)
    y = target(X)
    model = SparseGPRegressor(random_state=0).fit(X, y)
    kernel = model.kernel_
    value, gradient = exact_evidence(kernel, X, standardized(y, True)[0])
    slope = np.abs(projected(gradient, kernel.theta, kernel.bounds)).max() / len(X)
    assert slope < 2 * model.tol
    # Points that are all of the data miss what their jitter costs beside the noise,
    # which may end at one of two bounds by the last bit.
    jitter = model.jitter_ * kernel.k1.k1.constant_value / kernel.k2.noise_level / 2
    assert jitter < 0.2
    assert value - jitter * len(X) < model.lower_bound_ < value + 1e-3
    assert model.history_[-1] == pytest.approx(value, abs=1e-2)


def test_the_bound_of_the_noise_is_raised_until_the_gradient_is_not_rounding(
    monkeypatch,
):
    calls, levels = [], set()

    def function(theta, _):
        """Of less noise the better; of the amplitude there is nothing but rounding."""
        levels.add(round(float(theta[1]) / np.log(10), 6))
        calls.append(1)
        return -theta[1], np.array([3e-12 * (-1) ** len(calls) / np.exp(theta[1]), -1])

    def rounding(kernel):
        return 3e-12 / kernel.k2.noise_level

    kernel = ConstantKernel(1.0) + WhiteKernel(1e-3, (1e-10, 10.0))
    y = np.array([-1.0, 1.0])
    ascent = Ascent("Model", "fmin_l_bfgs_b", max_iter=100, tol=1e-4)
    rest = {"n": 1, "progress": FitProgress(None, 100)}
    best = maximize_evidence(ascent, function, kernel, np.zeros(0), rng=None, **rest)
    assert best.slope == pytest.approx(3e-2) and not best.stopped
    levels.clear()
    found = raise_noise(best, ascent, function, y, rounding=rounding, **rest)
    assert levels == {-8, -7}  # a bound of 1e-9 would have changed too little
    assert found.kernel.k2.noise_level_bounds == pytest.approx((1e-7, 10.0))
    assert found.kernel.k2.noise_level == pytest.approx(1e-7)
    assert found.slope == pytest.approx(3e-5) and found.n_iter > best.n_iter
    # Not where rounding is not what hides the top, nor where steps ran out.
    same = raise_noise(best, ascent, function, y, rounding=lambda _: 0.0, **rest)
    assert same is best
    levels.clear()
    spent = replace(best, n_iter=101), replace(best, stopped=True)
    for start in spent:
        same = raise_noise(start, ascent, function, y, rounding=rounding, **rest)
        assert same is start and not levels
    # Where no bound would do, the last is tried: a millionth of the variance of y.
    lost = replace(best, slope=3e6)
    found = raise_noise(lost, ascent, function, 2 * y, rounding=lambda _: 1e6, **rest)
    assert list(levels) == [pytest.approx(np.log10(4e-6), abs=2e-6)]
    assert found.kernel.k2.noise_level_bounds == pytest.approx((4e-6, 10.0))
    # What was spent before counts.
    nearly = replace(best, n_iter=94)
    restarts, asked = replace(ascent, n_restarts_optimizer=2), []

    def watched(more, *arguments, **others):
        asked.append(more)
        return maximize_evidence(more, *arguments, **others)

    with monkeypatch.context() as patch:
        patch.setattr(_evidence, "maximize_evidence", watched)
        raise_noise(nearly, restarts, function, y, rounding=rounding, **rest)
    assert (asked[0].max_iter, asked[0].n_restarts_optimizer) == (6, 0)


@pytest.mark.parametrize("name", ["sparse", "compact"])
def test_bounds_of_noise_that_were_given_stay(name):
    X, _, target = _without_noise(1)
    given = WhiteKernel(1e-6, (1e-10, 10.0))
    if name == "sparse":
        model = SparseGPRegressor(1.0 * RBF(np.std(X, axis=0)) + given)
    else:
        model = CompactGPRegressor(1.0 * WendlandKernel() + given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, target(X))
    assert model.kernel_.k2.noise_level_bounds == (1e-10, 10.0)
    assert "noise_level_bound" not in model.certificate_.details


@pytest.mark.parametrize("digits", [2, 4, 8])
def test_rounded_values_do_not_stop_an_ascent(digits):
    scales = np.logspace(0, 2, 6)
    top = np.linspace(-1, 1, 6)

    def function(x):
        rest = x - top
        value = -np.sum(scales * np.cosh(rest))
        return round(float(value), digits), -scales * np.sinh(rest)

    bounds = np.tile([-np.inf, 0.5], (6, 1))
    found = climb(
        function, np.zeros(6), bounds,
        n=1, max_iter=200, tol=1e-6, progress=FitProgress(None, 200),
    )  # fmt: skip
    assert found.slope <= 1e-6 and not found.stopped
    np.testing.assert_allclose(found.x, np.minimum(top, 0.5), atol=1e-6)


def test_an_ascent_that_a_callback_ends_goes_no_further():
    class Impatient:
        steps = 0

        def step(self, **figures):
            self.steps += 1
            return True

    progress = Impatient()
    found = climb(
        lambda x: (-np.sum(x**4), -4 * x**3), np.ones(2), np.tile([-9.0, 9.0], (2, 1)),
        n=1, max_iter=50, tol=1e-9, progress=progress,
    )  # fmt: skip
    assert progress.steps == 1 and found.stopped
