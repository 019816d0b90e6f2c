"""WendlandKernel: positive definite, zero beyond its support, a scikit-learn kernel."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from sparsestat.gaussian_process import WendlandKernel

FREE = (1e-2, 1e2)


@pytest.fixture
def points():
    return np.random.default_rng(0).uniform(0, 2, (40, 2))


@pytest.mark.parametrize("k", [0, 1, 2, 3])
@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_gram_matrices_are_positive_definite_in_their_dimension(k, dim):
    X = np.random.default_rng(dim).uniform(size=(120, dim))
    K = WendlandKernel(support=0.9, k=k)(X)
    assert np.linalg.eigvalsh(K)[0] > -1e-12
    assert (np.diag(K) == 1).all()
    distance = np.linalg.norm(X[:, None] - X[None], axis=-1)
    assert (K[distance >= 0.9] == 0).all()
    assert (K[distance < 0.85] > 0).all()


def test_too_low_a_dimension_is_not_positive_definite_and_refused():
    # The reason of the check: in five dimensions the kernel of one is indefinite.
    X = np.random.default_rng(0).standard_normal((300, 5))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    kernel = WendlandKernel(support=1.6, k=0, dim=1)
    with pytest.raises(ValueError, match=r"up to 1 dimensions, but the points have 5"):
        kernel(X)
    assert np.linalg.eigvalsh(WendlandKernel(support=1.6, k=0, dim=7)(X))[0] > 0
    lowered = np.maximum(1 - np.linalg.norm(X[:, None] - X[None], axis=-1) / 1.6, 0)
    assert np.linalg.eigvalsh(lowered)[0] < -1e-3


@pytest.mark.parametrize(
    ("k", "formula"),
    [
        (0, lambda r: (1 - r) ** 2),
        (1, lambda r: (1 - r) ** 4 * (4 * r + 1)),
        (2, lambda r: (1 - r) ** 6 * (35 * r**2 + 18 * r + 3) / 3),
    ],
)
def test_polynomials_of_three_dimensions(k, formula):
    r = np.linspace(0, 1, 30)
    X = np.zeros((30, 3))
    X[:, 0] = 2.5 * r
    K = WendlandKernel(support=2.5, k=k)(X, np.zeros((1, 3)))[:, 0]
    np.testing.assert_allclose(K, formula(r), atol=1e-14)


@pytest.mark.parametrize("k", [0, 1, 2, 3])
@pytest.mark.parametrize("support", [0.8, [0.8, 1.3]], ids=["radius", "ellipsoid"])
def test_gradient_is_that_of_differences(points, k, support):
    kernel = 1.5 * WendlandKernel(support, FREE, k=k) * RBF(1.2) + WhiteKernel(0.1)
    K, gradient = kernel(points, eval_gradient=True)
    assert gradient.shape == (*K.shape, kernel.n_dims)
    numeric = approx_fprime(
        kernel.theta, lambda t: kernel.clone_with_theta(t)(points).ravel(), 1e-8
    )
    np.testing.assert_allclose(gradient.reshape(-1, kernel.n_dims), numeric, atol=4e-6)


def test_it_behaves_as_a_scikit_learn_kernel(points):
    kernel = ConstantKernel(2.0) * WendlandKernel(0.7, FREE, k=2) + WhiteKernel(0.1)
    np.testing.assert_allclose(kernel.diag(points), np.diag(kernel(points)))
    assert kernel.is_stationary()
    assert clone(kernel) == kernel
    again = pickle.loads(pickle.dumps(kernel))
    np.testing.assert_array_equal(again(points), kernel(points))
    moved = kernel.clone_with_theta(kernel.theta + 0.3)
    np.testing.assert_allclose(moved.theta, kernel.theta + 0.3)
    assert moved.bounds.shape == (3, 2)
    assert moved.get_params()["k1__k2__support"] == pytest.approx(0.7 * np.exp(0.3))
    np.testing.assert_allclose((kernel**2)(points), kernel(points) ** 2)
    np.testing.assert_array_equal(kernel(points, points[:3]).shape, (40, 3))
    assert WendlandKernel().theta.size == 0
    assert "k=2" in repr(kernel)
    with pytest.raises(ValueError, match="only be evaluated when Y is None"):
        WendlandKernel()(points, points, eval_gradient=True)


def test_scikit_learns_regressor_learns_the_support(points):
    y = np.sin(3 * points[:, 0])
    kernel = WendlandKernel(0.5, FREE) + WhiteKernel(0.01)
    model = GaussianProcessRegressor(kernel).fit(points, y)
    start = GaussianProcessRegressor(kernel, optimizer=None).fit(points, y)
    assert (
        model.log_marginal_likelihood_value_ > start.log_marginal_likelihood_value_ + 1
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 4}, "k must be 0, 1, 2 or 3"),
        ({"support": -1.0}, "must be positive and finite"),
        ({"support": np.inf}, "must be positive and finite"),
        ({"support": [1.0, 1.0, 1.0]}, "3 radii in `support`, but the points have 2"),
        ({"dim": 1}, "Set dim to 2 or more"),
    ],
)
def test_bad_arguments_are_refused(points, arguments, message):
    with pytest.raises(ValueError, match=message):
        WendlandKernel(**arguments)(points)


def test_radii_of_features_are_those_of_scaled_points(points):
    ball = WendlandKernel(1.0, FREE)
    ellipsoid = WendlandKernel([0.5, 2.0], FREE)
    assert ellipsoid.anisotropic and not ball.anisotropic
    assert not WendlandKernel([1.0]).anisotropic
    scaled = points / [0.5, 2.0]
    np.testing.assert_allclose(ellipsoid(points), ball(scaled), atol=1e-14)
    for kernel, count in ((ball, 1), (ellipsoid, 2)):
        assert kernel.hyperparameter_support.name == "support"
        assert kernel.hyperparameter_support.n_elements == count
        assert kernel.hyperparameters == [kernel.hyperparameter_support]
        np.testing.assert_allclose(np.exp(kernel.theta), np.ravel(kernel.support))
        np.testing.assert_allclose(np.exp(kernel.bounds), [FREE] * count)
        np.testing.assert_array_equal(
            kernel.checked_support(2), np.atleast_1d(kernel.support)
        )
    fixed = WendlandKernel([0.5, 2.0])
    assert fixed.hyperparameter_support.fixed and fixed.bounds.size == 0
    apart = WendlandKernel([0.5, 2.0], [(0.1, 1.0), (1.0, 9.0)])
    np.testing.assert_allclose(np.exp(apart.bounds), [(0.1, 1.0), (1.0, 9.0)])
    assert fixed.requires_vector_input
