"""GSMKernel and GSMPKernel keep scikit-learn's contract for kernels."""

import pickle

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sparsestat.gaussian_process import GSMKernel, GSMPKernel
from sparsestat.gaussian_process._spectral._spectrum import Spectrum
from tests.gaussian_process.spectral_oracles import component_grams

BOUNDS = (1e-5, 1e5)


def kernels():
    rng = np.random.default_rng(0)
    return [
        cls(
            rng.random((6, n_dims)),
            0.1 * rng.random((6, n_dims)),
            rng.random(6),
            weights_bounds=bounds,
        )
        for cls in (GSMKernel, GSMPKernel)
        for n_dims in (1, 2, 5)
        for bounds in ("fixed", BOUNDS)
    ]


def points(kernel, n=12, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, kernel.frequencies.shape[1]))


@pytest.mark.parametrize("kernel", kernels(), ids=repr)
def test_kernel_is_the_formula(kernel):
    X, Z = points(kernel), points(kernel, 7, 2)
    form = "cosine" if isinstance(kernel, GSMKernel) else "product"
    spectrum = Spectrum(kernel.frequencies, kernel.sigmas, form)
    expected = np.tensordot(kernel.weights, component_grams(X, Z, spectrum), 1)
    np.testing.assert_allclose(kernel(X, Z), expected, atol=1e-13)
    np.testing.assert_allclose(kernel(X), kernel(X, X), atol=1e-13)
    np.testing.assert_allclose(np.diag(kernel(X)), kernel.diag(X), rtol=1e-12)
    assert np.linalg.eigvalsh(kernel(X)).min() >= -1e-10 * len(X)


@pytest.mark.parametrize("kernel", kernels(), ids=repr)
def test_gradient_is_that_of_differences(kernel):
    X = points(kernel)
    _, gradient = kernel(X, eval_gradient=True)
    assert gradient.shape == (len(X), len(X), kernel.n_dims)
    if kernel.n_dims == 0:
        return

    def entries(theta):
        return kernel.clone_with_theta(theta)(X).ravel()

    expected = approx_fprime(kernel.theta, entries, 1e-7)
    np.testing.assert_allclose(gradient.reshape(-1, kernel.n_dims), expected, atol=4e-6)


@pytest.mark.parametrize("kernel", kernels(), ids=repr)
def test_kernel_clones_pickles_and_round_trips_theta(kernel):
    X = points(kernel)
    for twin in (clone(kernel), pickle.loads(pickle.dumps(kernel))):
        assert twin == kernel
        np.testing.assert_array_equal(twin(X), kernel(X))
    again = kernel.clone_with_theta(kernel.theta)
    np.testing.assert_allclose(again(X), kernel(X), rtol=1e-12)
    assert kernel.bounds.shape[0] == kernel.n_dims
    assert kernel.is_stationary()


def test_kernels_compose():
    X = np.linspace(0, 1, 9)[:, None]
    one = GSMKernel([0.0, 2.0], 0.1, [1.0, 0.5], weights_bounds=BOUNDS)
    both = one * RBF(0.5) + WhiteKernel(0.1)
    K, gradient = both(X, eval_gradient=True)
    np.testing.assert_allclose(K, one(X) * RBF(0.5)(X) + 0.1 * np.eye(9))
    assert gradient.shape == (9, 9, 4) and both.n_dims == 4
    gp = GaussianProcessRegressor(both, normalize_y=True, n_restarts_optimizer=1)
    gp.fit(X, np.sin(12 * X[:, 0]))
    assert gp.kernel_.n_dims == 4
    squared = one**2
    np.testing.assert_allclose(squared(X), one(X) ** 2)


def test_zero_weights_have_finite_theta():
    kernel = GSMKernel([0.0, 1.0], 0.1, [0.0, 1.0], weights_bounds=BOUNDS)
    assert np.isfinite(kernel.theta).all()


def test_product_is_the_mean_of_cosines_over_signs():
    rng = np.random.default_rng(3)
    mu, sigma, weights = rng.random((4, 3)), 0.1 * rng.random((4, 3)), rng.random(4)
    X = rng.standard_normal((8, 3))
    mean = np.zeros((8, 8))
    for a in (1, -1):
        for b in (1, -1):
            signed = mu * np.array([1, a, b])
            mean += GSMKernel(signed, sigma, weights)(X) / 4
    np.testing.assert_allclose(GSMPKernel(mu, sigma, weights)(X), mean, atol=1e-12)
    one = GSMPKernel(mu[:, :1], sigma[:, :1], weights)(X[:, :1])
    np.testing.assert_array_equal(
        one, GSMKernel(mu[:, :1], sigma[:, :1], weights)(X[:, :1])
    )


def test_spectral_density_is_the_fourier_transform():
    kernel = GSMKernel([0.3, 1.0], [0.05, 0.1], [1.0, 2.0])
    f = np.linspace(-3, 3, 6001)
    density = kernel.spectral_density(f)
    np.testing.assert_allclose(np.trapezoid(density, f), 3.0, rtol=1e-9)
    for lag in (0.4, 1.7):
        value = np.trapezoid(density * np.cos(2 * np.pi * f * lag), f)
        np.testing.assert_allclose(value, kernel([[0.0]], [[lag]])[0, 0], atol=1e-9)


def test_spectral_density_of_a_product_is_even_in_every_coordinate():
    kernel = GSMPKernel([[0.3, 0.5]], 0.1, [2.0])
    f = np.linspace(-1.5, 1.5, 301)
    grid = np.stack(np.meshgrid(f, f, indexing="ij"), axis=-1).reshape(-1, 2)
    density = kernel.spectral_density(grid)
    np.testing.assert_allclose(density, kernel.spectral_density(grid * [1, -1]))
    np.testing.assert_allclose(density.sum() * (f[1] - f[0]) ** 2, 2.0, rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([-0.1], 0.1, [1.0]), "frequencies must not be negative"),
        (([0.1], -0.1, [1.0]), "sigmas must be finite and not negative"),
        (([0.1], 0.1, [-1.0]), "weights must be finite and not negative"),
        (([0.1], 0.1, [np.nan]), "weights must be finite"),
        (([np.nan], 0.1, [1.0]), "frequencies contains NaN"),
        (([0.1, 0.2], 0.1, [1.0]), "2 components"),
        (([0.1, 0.2], [[0.1, 0.2, 0.3]], [1.0, 1.0]), "sigmas has shape"),
    ],
)
def test_bad_components_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GSMKernel(*arguments)(np.zeros((2, 1)))


def test_features_must_match():
    with pytest.raises(ValueError, match="one column for each feature"):
        GSMPKernel([[0.1, 0.2]], 0.1, [1.0])(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="Y is None"):
        GSMKernel([0.1], 0.1, [1.0])([[0.0]], [[0.0]], eval_gradient=True)
    with pytest.raises(ValueError, match="width 0"):
        GSMKernel([0.1], 0.0, [1.0]).spectral_density([0.1])


@pytest.mark.parametrize("kernel", kernels(), ids=repr)
def test_optimizers_see_the_weights_and_nothing_else(kernel):
    seen = kernel.hyperparameter_weights
    assert kernel.hyperparameters == [seen] and kernel.requires_vector_input
    assert seen.name == "weights" and seen.n_elements == 6
    if kernel.weights_bounds == "fixed":
        assert seen.fixed and kernel.theta.size == 0
    else:
        np.testing.assert_allclose(np.exp(kernel.theta), kernel.weights)
        np.testing.assert_allclose(np.exp(kernel.bounds), [BOUNDS] * 6)
