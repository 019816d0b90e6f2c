"""The default width and noise of spectral mixtures, chosen by held-out ends."""

import numpy as np
import pytest

from sparsestat.gaussian_process import GridSpectralMixtureRegressor
from sparsestat.gaussian_process._spectral._engines import Samples
from sparsestat.gaussian_process._spectral._held_out import HeldOut, _ends
from sparsestat.gaussian_process._spectral._spectrum import Spectrum

# Monthly totals of airline passengers, 1949 to 1957, in thousands.
AIRLINE = [
    112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118, 115, 126, 141, 135,
    125, 149, 170, 170, 158, 133, 114, 140, 145, 150, 178, 163, 172, 178, 199, 199,
    184, 162, 146, 166, 171, 180, 193, 181, 183, 218, 230, 242, 209, 191, 172, 194,
    196, 196, 236, 235, 229, 243, 264, 272, 237, 211, 180, 201, 204, 188, 235, 227,
    234, 264, 302, 293, 259, 229, 203, 229, 242, 233, 267, 269, 270, 315, 364, 347,
    312, 274, 237, 278, 284, 277, 317, 313, 318, 374, 413, 405, 355, 306, 271, 306,
]  # fmt: skip


def sines(seed, noise=0.2):
    t, rng = np.arange(200.0), np.random.default_rng(seed)
    y = np.sin(2 * np.pi * t / 25) + 0.5 * np.sin(2 * np.pi * t / 9)
    return t, y + noise * rng.standard_normal(200), 50


def growth(seed):
    t, rng = np.arange(240.0) / 12, np.random.default_rng(seed)
    y = 340 + 1.4 * t + 0.01 * t**2 + 3 * np.sin(2 * np.pi * t)
    return t, y + 0.8 * np.cos(4 * np.pi * t) + 0.3 * rng.standard_normal(240), 48


def scattered(seed):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(0, 100, 150))
    return t, np.sin(2 * np.pi * t / 11) + 0.2 * rng.standard_normal(150), 40


def airline(seed):
    return np.arange(96.0), np.log(AIRLINE), 24


def forecast(series, **options):
    """Return the error ahead, and the model."""
    t, y, ahead = series
    model = GridSpectralMixtureRegressor(random_state=0, **options)
    model.fit(t[:-ahead, None], y[:-ahead])
    mean = model.predict(t[-ahead:, None])
    return np.sqrt(np.mean((mean - y[-ahead:]) ** 2)), model


@pytest.mark.parametrize(
    ("make", "share"), [(sines, 0.8), (growth, 0.6), (scattered, 0.85), (airline, 1.0)]
)
def test_series_are_continued_better_than_by_the_widest_width(make, share):
    errors, widest = [], []
    for seed in (0, 2, 5) if make is sines else (0,):
        series = make(seed)
        t, _, ahead = series
        errors.append(forecast(series)[0])
        extent = np.ptp(t[:-ahead])
        widest.append(forecast(series, sigma=1 / extent, noise="ml")[0])
    assert sum(errors) <= share * sum(widest)


def test_what_forgets_keeps_the_widest_width():
    rng = np.random.default_rng(5)
    y = np.zeros(300)
    for i in range(1, 300):
        y[i] = 0.8 * y[i - 1] + rng.standard_normal()
    _, model = forecast((np.arange(300.0), y, 50))
    assert model.sigmas_[0, 0] == pytest.approx(1 / 249)


def test_the_choice_does_not_depend_on_units():
    t, y, _ = sines(1)
    widths = [
        GridSpectralMixtureRegressor(60, random_state=0)
        .fit(a * t[:, None] + 3.0, b * y + c)
        .sigmas_[0, 0]
        * a
        for a, b, c in ((1.0, 1.0, 0.0), (1024.0, 2.0**-30, 0.0), (0.25, 2.0**40, 1e13))
    ]
    np.testing.assert_allclose(widths, widths[0], rtol=1e-12)


def test_what_is_given_stays():
    t, y, _ = sines(0)
    model = GridSpectralMixtureRegressor(40, sigma=0.01, noise=0.04).fit(t[:, None], y)
    assert (model.sigmas_ == 0.01).all()
    assert model.noise_variance_ == pytest.approx(0.04)
    model = GridSpectralMixtureRegressor(40, sigma=0.01).fit(t[:, None], y)
    assert (model.sigmas_ == 0.01).all()


def test_the_loss_is_the_density_of_the_held_out_points():
    rng = np.random.default_rng(0)
    X, y = np.arange(30.0)[:, None], rng.standard_normal(30)
    weights = np.full(30, 2.0)
    samples = Samples(X, y[:, None], weights, 60.0, 30.0)
    parts = list(_ends(samples))
    assert [len(k.X) for k, _ in parts] == [24, 24]
    assert [len(o.X) for _, o in parts] == [6, 6]
    assert parts[0][1].X[-1] == 29.0 and parts[1][1].X[0] == 0.0
    assert all(k.within == pytest.approx(24.0) for k, _ in parts)
    # A width of all frequencies is white: the components are noise as well.
    spectrum = Spectrum(np.zeros((1, 1)), np.full((1, 1), 50.0))
    loss = HeldOut(spectrum, 1e-4, None).scores(samples, (1,), (0.5,))
    assert loss.shape == (1, 1)
    expected = []
    for kept, out in parts:
        signal = max(float(np.mean(kept.Y**2)) - 0.25, 0.0)
        variance = signal + 0.25
        square = np.mean(out.Y**2)
        expected.append(0.5 * (np.log(variance) + square / variance))
    np.testing.assert_allclose(loss, np.mean(expected), rtol=1e-2)


def test_too_few_points_keep_the_widest_width():
    t, y, _ = sines(0)
    model = GridSpectralMixtureRegressor(20).fit(t[:12, None], y[:12])
    assert model.sigmas_[0, 0] == pytest.approx(max(1 / 11, 0.25 / 19))
