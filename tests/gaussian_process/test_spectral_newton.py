"""Newton steps in Whittle's metric: the metric, the model, where they lead."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from scipy.linalg import eigh

from sparsestat.gaussian_process import GridSpectralMixtureRegressor
from sparsestat.gaussian_process._spectral._engines import Samples, ToeplitzEngine
from sparsestat.gaussian_process._spectral._fit import choose_solver, first_guess
from sparsestat.gaussian_process._spectral._kernels_whittle import descend
from sparsestat.gaussian_process._spectral._newton import WhittleMetric
from sparsestat.gaussian_process._spectral._solvers import solve
from sparsestat.gaussian_process._spectral._spectrum import Spectrum
from tests.gaussian_process.spectral_oracles import component_grams, two_tones


def problem_of(n=90, count=30, sigma=None, noise=None, step=1.0, n_targets=1):
    X, y = two_tones(n, noise=0.4)
    Y = np.column_stack([y, y[::-1]])[:, :n_targets]
    X, Y = step * X, Y - Y.mean(axis=0)
    mu = np.linspace(0.0, 0.5 / step, count)[:, None]
    sigmas = np.full_like(mu, sigma or 1.0 / (n * step))
    samples = Samples(X, Y, np.ones(n), float(n), 0.0)
    engine = ToeplitzEngine(samples, Spectrum(mu, sigmas))
    guess = first_guess(samples, count, noise=noise, noise_floor=1e-4)
    return guess.problem(engine), guess.z


@pytest.mark.parametrize("step", [1.0, 0.25])
@pytest.mark.parametrize("sigma", [0.013, 0.05, 0.2])
def test_lines_are_the_spectra_of_the_columns(step, sigma):
    problem, _ = problem_of(sigma=sigma / step, step=step)
    metric, engine = WhittleMetric(problem.engine), problem.engine
    assert WhittleMetric.suits(engine)
    for i in range(problem.n):
        ring = np.zeros(metric.size)
        column = engine.column(np.eye(problem.n)[i])
        ring[: metric.n], ring[1 - metric.n :] = column, column[:0:-1]
        spectrum = np.fft.rfft(ring).real
        line = np.zeros(len(spectrum))
        place = slice(metric.first[i], metric.first[i] + metric.lines.shape[1])
        line[place] = metric.lines[i]
        # Beyond four standard deviations a line is cut off.
        np.testing.assert_allclose(line, spectrum, atol=1e-3 * spectrum.max())


@pytest.mark.parametrize("n_targets", [1, 2])
def test_the_metric_is_close_to_the_expected_hessian(n_targets):
    problem, z = problem_of(n_targets=n_targets)
    for _ in range(8):
        _, g, q = problem.evaluate(z)
        z = problem.update(z, g, q)
    _, g, q, state = problem.examine(z)
    metric, engine = WhittleMetric(problem.engine), problem.engine
    grams = [*component_grams(engine.samples.X, engine.samples.X, engine.spectrum)]
    grams.append(np.eye(metric.n))
    inverse = np.linalg.inv(np.tensordot(z, np.array(grams), 1))
    M = np.array([inverse @ K for K in grams])
    expected = n_targets * np.einsum("kij,lji->kl", M, M)
    # Spectra of targets that are their own expectation: the bracket is 1 / S^2.
    curvature = metric.curvature(state.factor.column, 0.0 * state.alpha, z[-1])
    curvature /= 0.1
    B = np.zeros((len(curvature), problem.n + 1))
    for i in range(problem.n):
        B[metric.first[i] : metric.first[i] + metric.lines.shape[1], i] = metric.lines[
            i
        ]
    B[:, -1] = 1.0
    found = (B.T * curvature) @ B
    values = eigh(expected / np.outer(g, g), found / np.outer(g, g), eigvals_only=True)
    assert 0.2 < values.min() and values.max() < 2.0
    assert 0.7 < np.median(values) < 1.3


@pytest.mark.parametrize("learns_noise", [True, False])
def test_descent_ends_at_the_minimum_of_the_model(learns_noise):
    rng = np.random.default_rng(0)
    m, width, n = 60, 7, 20
    first = np.sort(rng.integers(0, m - width, n)).astype(np.intp)
    lines, curvature = rng.random((n, width)), rng.random(m) + 0.1
    slope, room = rng.standard_normal(n + 1) * 5, rng.random(n + 1)
    ridge = np.full(n + 1, 1e-3)
    d = descend(
        lines, first, curvature, slope, ridge, room, learns_noise, 20_000, 1e-26
    )
    B = np.zeros((m, n + 1))
    for i in range(n):
        B[first[i] : first[i] + width, i] = lines[i]
    B[:, -1] = 1.0
    gradient = slope + (B.T * curvature) @ (B @ d) + ridge * d
    if not learns_noise:
        assert d[-1] == 0.0
        d, gradient, room = d[:-1], gradient[:-1], room[:-1]
    assert (d >= -room).all() and (d > -room).any() and (d == -room).any()
    np.testing.assert_allclose(np.minimum(gradient, d + room), 0.0, atol=1e-8)


@pytest.mark.parametrize("noise", [None, 0.2])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_fewer_evaluations_reach_the_same_point(noise, n_targets):
    problem, z = problem_of(noise=noise, n_targets=n_targets)
    assert choose_solver(problem.engine) == "whittle"
    options = {"tol": 1e-4, "max_iter": 3000}
    new = solve(problem, z, solver="whittle", **options)
    old = solve(problem, z, solver="newton", **options)
    assert new.residual <= 1e-4 and old.residual <= 1e-4
    np.testing.assert_allclose(new.value, old.value, rtol=1e-5)
    assert (np.diff(new.path) <= 0).all()
    assert new.n_iter < old.n_iter


def test_lines_narrower_than_the_data_resolve_take_other_steps():
    problem, _ = problem_of(sigma=1e-3)
    assert not WhittleMetric.suits(problem.engine)
    assert choose_solver(problem.engine) == "newton"
    X, y = two_tones(90)
    model = GridSpectralMixtureRegressor(30, sigma=1e-3).fit(X, y)
    assert model.certificate_.satisfied
