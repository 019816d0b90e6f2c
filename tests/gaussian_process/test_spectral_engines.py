"""The objective and its gradient are the same by every path."""

import numpy as np
import pytest
from scipy import linalg

from sparsestat.exceptions import NumericalError
from sparsestat.gaussian_process._spectral._engines import (
    FeatureEngine,
    ProductEngine,
    Samples,
    ToeplitzEngine,
)
from sparsestat.gaussian_process._spectral._fit import aggregate
from sparsestat.gaussian_process._spectral._low_rank import (
    EnvelopeBasis,
    FourierBasis,
    LowRankEngine,
    NystromBasis,
)
from sparsestat.gaussian_process._spectral._solvers import Problem
from sparsestat.gaussian_process._spectral._spectrum import Spectrum, make_grid
from tests.gaussian_process.spectral_oracles import component_grams, evaluate


def grid(X, count, form="product", seed=0, **kwargs):
    kwargs = {"grid": "uniform", "frequency_range": None, "sigma": None, **kwargs}
    rng = np.random.RandomState(seed)
    return make_grid(X, count, form=form, rng=rng, **kwargs)


def samples_at(X, seed=0, n_targets=2, even=False):
    rng = np.random.default_rng(seed)
    weights = np.full(len(X), 2.0) if even else rng.random(len(X)) + 0.5
    Y = rng.standard_normal((len(X), n_targets))
    return Samples(X, Y, weights, weights.sum() + 3.0, 1.3)


LINE = 0.1 * np.arange(60.0)[:, None] + 5
RANDOM = np.random.default_rng(5)
UNEVEN = np.sort(RANDOM.random((40, 1)), axis=0)
PLANE, SIX = RANDOM.random((35, 2)), RANDOM.random((30, 6))
TWO_WIDTHS = np.repeat([0.1, 0.2], 10)[:, None]
ENGINES = {
    "Toeplitz, folded": (ToeplitzEngine, LINE, {}),
    "Toeplitz, part of the range": (
        ToeplitzEngine,
        LINE,
        {"frequency_range": (0.0, 2.0), "count": 21},
    ),
    "Toeplitz, table": (ToeplitzEngine, LINE, {"grid": "random", "sigma": TWO_WIDTHS}),
    "features, line": (FeatureEngine, UNEVEN, {}),
    "features, two widths": (FeatureEngine, UNEVEN, {"sigma": TWO_WIDTHS}),
    "features, product": (FeatureEngine, PLANE, {}),
    "features, cosine": (FeatureEngine, SIX, {"form": "cosine"}),
    "products": (ProductEngine, SIX, {"count": 70}),
    "products, tensor": (ProductEngine, PLANE, {"grid": "tensor", "count": 25}),
    "low rank": (
        lambda s, p: LowRankEngine(s, p, EnvelopeBasis(s.X, p)),
        UNEVEN,
        {},
    ),
}


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_gives_what_dense_algebra_gives(name):
    make, X, options = ENGINES[name]
    options = {"count": 20, **options}
    spectrum = grid(X, **options)
    samples = samples_at(X, even="Toeplitz" in name)
    engine = make(samples, spectrum)
    rng = np.random.default_rng(1)
    weights = rng.random(len(spectrum)) * (rng.random(len(spectrum)) < 0.6)
    found = engine.evaluate(weights, 0.3)
    value, g, q, noise_g, noise_q = evaluate(samples, spectrum, weights, 0.3)
    np.testing.assert_allclose(found.value, value, rtol=1e-9)
    np.testing.assert_allclose(engine.value(weights, 0.3), value, rtol=1e-9)
    np.testing.assert_allclose(found.g, g, rtol=1e-9)
    np.testing.assert_allclose(found.q, q, rtol=1e-9, atol=1e-9 * q.max())
    np.testing.assert_allclose(found.noise_g, noise_g, rtol=1e-9)
    np.testing.assert_allclose(found.noise_q, noise_q, rtol=1e-9)
    some = np.array([3, 1, 17])
    part = engine.evaluate(weights, 0.3, some)
    np.testing.assert_allclose(part.g, g[some], rtol=1e-9)
    np.testing.assert_allclose(part.q, q[some], rtol=1e-9, atol=1e-9 * q.max())
    if hasattr(engine, "quadratic"):
        quadratic = engine.quadratic(engine.factor(weights, 0.3))
        np.testing.assert_allclose(quadratic, q, rtol=1e-9, atol=1e-9 * q.max())


@pytest.mark.parametrize("name", ["Toeplitz, folded", "features, product", "products"])
def test_gradient_is_that_of_differences(name):
    make, X, options = ENGINES[name]
    spectrum = grid(X, **{"count": 20, **options})
    engine = make(samples_at(X, even="Toeplitz" in name), spectrum)
    problem = Problem(engine, noise_floor=1e-6)
    z = np.append(np.random.default_rng(1).random(len(spectrum)), 0.3)
    _, g, q = problem.evaluate(z)
    for i in (0, 7, len(z) - 1):
        step = np.zeros(len(z))
        step[i] = 1e-5
        slope = (problem.value(z + step) - problem.value(z - step)) / 2e-5
        np.testing.assert_allclose((g - q)[i], slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 50, 3500])
def test_toeplitz_solves_are_dense_solves(n):
    X = np.arange(float(n))[:, None]
    spectrum = Spectrum(np.array([[0.0], [0.13]]), np.array([[0.02], [0.02]]))
    samples = samples_at(X, n_targets=1, even=True)
    engine = ToeplitzEngine(samples, spectrum)
    state = engine.factor(np.array([1.0, 0.5]), 0.1)
    column = engine.column(np.array([1.0, 0.5]))
    column[0] += 0.05
    expected = linalg.solve_toeplitz(column, samples.Y)
    np.testing.assert_allclose(state.alpha, expected, atol=1e-9 * abs(expected).max())
    if n <= 50:
        C = linalg.toeplitz(column)
        np.testing.assert_allclose(state.logdet, np.linalg.slogdet(C)[1], rtol=1e-9)
        inverse = state.solve(np.eye(n))
        np.testing.assert_allclose(inverse, np.linalg.inv(C), atol=1e-10)


def test_a_singular_toeplitz_matrix_is_refused():
    X = np.arange(40.0)[:, None]
    spectrum = Spectrum(np.array([[0.0]]), np.array([[1e-6]]))
    engine = ToeplitzEngine(samples_at(X, even=True), spectrum)
    with pytest.raises(NumericalError, match="not positive definite"):
        engine.factor(np.array([1.0]), 1e-300)


def test_repeated_points_are_the_likelihood_of_all_rows():
    rng = np.random.default_rng(0)
    X = np.repeat(rng.random((10, 1)), 3, axis=0)
    Y = rng.standard_normal((30, 2))
    samples = aggregate(X, Y, np.ones(30))
    assert len(samples.X) == 10
    spectrum = grid(samples.X, 8)
    weights = rng.random(8)
    found = FeatureEngine(samples, spectrum).value(weights, 0.2)
    C = np.tensordot(weights, component_grams(X, X, spectrum), 1) + 0.2 * np.eye(30)
    expected = (Y * np.linalg.solve(C, Y)).sum() + 2 * np.linalg.slogdet(C)[1]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_nystrom_through_all_points_is_exact_and_never_above():
    X = np.random.default_rng(2).random((25, 2))
    spectrum = grid(X, 9)
    rng = np.random.RandomState(0)
    grams = component_grams(X, X, spectrum)
    whole = NystromBasis(X, spectrum, 25, rng)(X, np.arange(9))
    np.testing.assert_allclose(whole @ whole.transpose(0, 2, 1), grams, atol=1e-7)
    few = NystromBasis(X, spectrum, 8, rng)(X, np.arange(9))
    for gram, L in zip(grams, few, strict=True):
        assert np.linalg.eigvalsh(gram - L @ L.T).min() > -1e-9


def test_random_features_are_unbiased():
    X = np.random.default_rng(2).random((6, 2))
    spectrum = grid(X, 3)
    grams = component_grams(X, X, spectrum)
    draws = []
    for seed in range(300):
        L = FourierBasis(spectrum, 40, np.random.RandomState(seed))(X, np.arange(3))
        draws.append(L @ L.transpose(0, 2, 1))
    error = np.mean(draws, axis=0) - grams
    deviation = np.std(draws, axis=0) / np.sqrt(300) + 1e-12
    assert np.abs(error / deviation).max() < 4.5


@pytest.mark.parametrize("kind", ["uniform", "sobol", "random", "tensor"])
@pytest.mark.parametrize("n_dims", [1, 2, 4])
def test_grids_lie_in_their_box(kind, n_dims):
    X = np.random.default_rng(0).random((30, n_dims))
    spectrum = grid(X, 40, grid=kind, frequency_range=(0.0, 3.0))
    assert len(spectrum) == (40 if kind != "tensor" or n_dims == 1 else len(spectrum))
    assert len(spectrum) <= 40
    assert (spectrum.frequencies >= 0).all() and (spectrum.frequencies <= 3).all()
    assert (spectrum.frequencies == 0).all(axis=1).any()
    assert (spectrum.sigmas > 0).all()
