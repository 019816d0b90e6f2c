"""Spreads mean the same in every regressor: those of new values, noise included."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sparsestat.gaussian_process import (
    CompactGPRegressor,
    DistributedGridSpectralMixtureRegressor,
    GridSpectralMixtureRegressor,
    SparseGPRegressor,
    ToeplitzGPRegressor,
    WendlandKernel,
)

X = np.arange(40.0)[:, None]
Y = np.sin(X[:, 0] / 3) + 0.3 * np.random.default_rng(0).standard_normal(40)
NEW = np.array([[3.5], [20.0], [38.2], [39.9], [47.0], [400.0]])
KERNEL = 1.3 * RBF(3.0) + WhiteKernel(0.08)
MODELS = {
    "sparse": SparseGPRegressor(
        KERNEL, inducing=X, optimizer=None, jitter=0.0, normalize_y=False
    ),
    "compact": CompactGPRegressor(
        1.3 * WendlandKernel(9.0) + WhiteKernel(0.08),
        support=None,
        optimizer=None,
        normalize_y=False,
    ),
    "toeplitz": ToeplitzGPRegressor(KERNEL, optimizer=None, normalize_y=False),
    "spectral": GridSpectralMixtureRegressor(20, detrend=None),
    "agents": DistributedGridSpectralMixtureRegressor(
        8, n_agents=2, detrend=None, random_state=0
    ),
}


@pytest.fixture(scope="module")
def fitted():
    return {name: model.fit(X, Y) for name, model in MODELS.items()}


@pytest.mark.parametrize("name", MODELS)
def test_spreads_are_those_of_scikit_learn_with_the_fitted_kernel(fitted, name):
    model = fitted[name]
    peer = GaussianProcessRegressor(model.kernel_, optimizer=None, alpha=0).fit(X, Y)
    for option in ("return_std", "return_cov"):
        mean, spread = model.predict(NEW, **{option: True})
        expected_mean, expected = peer.predict(NEW, **{option: True})
        np.testing.assert_allclose(mean, expected_mean, atol=1e-7)
        np.testing.assert_allclose(spread, expected, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_noise_is_in_the_spread_once(fitted, name):
    model = fitted[name]
    _, std = model.predict(NEW, return_std=True)
    _, cov = model.predict(NEW, return_cov=True)
    np.testing.assert_allclose(np.diag(cov), std**2, rtol=1e-9)
    # A point asked for twice is two observations of one value of the function.
    _, twice = model.predict(np.vstack([NEW[:1], NEW[:1]]), return_cov=True)
    assert twice[0, 0] - twice[0, 1] == pytest.approx(model.noise_variance_, rel=1e-6)
    assert (std**2 >= model.noise_variance_).all()


@pytest.mark.parametrize("name", MODELS)
def test_draws_are_new_values(fitted, name):
    model = fitted[name]
    draws = model.sample_y(NEW, 20_000, random_state=0)
    mean, cov = model.predict(NEW, return_cov=True)
    assert draws.shape == (len(NEW), 20_000)
    error = np.sqrt(np.diag(cov) / 20_000)
    assert (np.abs(draws.mean(axis=1) - mean) < 5 * error).all()
    np.testing.assert_allclose(np.cov(draws), cov, atol=0.05 * cov.max())


@pytest.mark.parametrize("name", MODELS)
def test_both_spreads_at_once_are_refused(fitted, name):
    with pytest.raises(RuntimeError, match="At most one"):
        fitted[name].predict(NEW, return_std=True, return_cov=True)
