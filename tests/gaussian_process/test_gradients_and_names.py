"""Gradients of predicted means, and kernels by name."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel

from sparsestat.gaussian_process import (
    CompactGPRegressor,
    SparseGPRegressor,
    ToeplitzGPRegressor,
    WendlandKernel,
)


def fitted(name):
    rng = np.random.default_rng(0)
    if name == "toeplitz":
        X = 100.0 + 0.5 * np.arange(60)[:, None]
        y = 10 + 3 * np.sin(X[:, 0])
        kernel = Matern(1.5, nu=2.5) + WhiteKernel(1e-3)
        return ToeplitzGPRegressor(kernel, optimizer=None).fit(X, y), X
    X = rng.uniform(0, 4, (120, 2))
    y = 10 + 3 * np.sin(X[:, 0]) * X[:, 1]
    if name == "compact":
        kernel = WendlandKernel(2.0, k=2) + WhiteKernel(1e-3)
        model = CompactGPRegressor(kernel, support=None, optimizer=None)
    else:
        kernel = RBF([1.0, 2.0]) + WhiteKernel(1e-3)
        model = SparseGPRegressor(kernel, n_inducing=30, optimizer=None, random_state=0)
    return model.fit(X, y), X


@pytest.mark.parametrize("name", ["sparse", "compact", "toeplitz"])
def test_gradients_of_means_are_those_of_differences(name):
    model, X = fitted(name)
    T = X[:15] + 0.07
    found = model.predict_gradient(T)
    assert found.shape == T.shape
    for p in range(T.shape[1]):
        e = 1e-5 * np.eye(T.shape[1])[p]
        slope = (model.predict(T + e) - model.predict(T - e)) / 2e-5
        np.testing.assert_allclose(found[:, p], slope, atol=1e-5 * np.abs(slope).max())


def test_kernels_with_a_kink_have_no_gradient():
    X = np.arange(20.0)[:, None]
    for model in (
        SparseGPRegressor("matern12", max_iter=3, tol=1e3),
        CompactGPRegressor(WendlandKernel(3.0, k=0), support=None, optimizer=None),
    ):
        with pytest.raises(ValueError, match="kink at zero"):
            model.fit(X, np.sin(X[:, 0])).predict_gradient(X)


@pytest.mark.parametrize(
    "name", ["rbf", "matern12", "matern32", "matern52", "rational_quadratic"]
)
@pytest.mark.parametrize("make", [SparseGPRegressor, ToeplitzGPRegressor])
def test_kernels_by_name_start_at_the_scales_of_the_data(make, name):
    rng = np.random.default_rng(0)
    X = np.arange(80.0)[:, None]
    y = 50 + 7 * np.sin(X[:, 0] / 4) + 0.5 * rng.normal(size=80)
    model = make(name, tol=1e-2).fit(X, y)
    assert (
        type(model.kernel_.k1.k2).__name__.lower()[:3]
        == name.replace("rational", "rat")[:3]
    )
    truth = 50 + 7 * np.sin(X[:, 0] / 4)
    assert np.sqrt(np.mean((model.predict(X) - truth) ** 2)) < 0.5


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'kernel' parameter"):
        SparseGPRegressor("gauss").fit([[0.0], [1.0]], [0.0, 1.0])
