"""The noise of wide data, kernels for columns, and how InverseFreeSBL starts."""

import warnings

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator
from sklearn.gaussian_process.kernels import RBF
from sklearn.metrics.pairwise import rbf_kernel

from sparsestat.bayes import InverseFreeSBL, SBLRegressor
from sparsestat.exceptions import NoiseCollapseWarning


def wide(n=30, p=400, signal=1.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n + 60, p))
    y = signal * (2 * X[:, 0] - X[:, 1]) + 0.5 * rng.standard_normal(n + 60)
    return X[:n], y[:n], X[n:], y[n:]


@pytest.mark.parametrize("method", ["mm", "em", "mackay", "fast"])
def test_learned_noise_of_wide_data_is_doubted(method):
    X, y, _, _ = wide(signal=0.0)
    with pytest.warns(NoiseCollapseWarning, match="'cv'") as caught:
        SBLRegressor(method).fit(X, y)
    assert len(caught) == 1


@pytest.mark.parametrize("signal", [0.0, 1.0])
def test_noise_by_cross_validation_covers(signal):
    X, y, X_new, y_new = wide(signal=signal)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoiseCollapseWarning)
        model = SBLRegressor(noise_variance="cv").fit(X, y)
    mean, std = model.predict(X_new, return_std=True)
    assert np.mean(np.abs(y_new - mean) < 1.96 * std) > 0.7
    assert model.noise_variance_ > 0.02
    best = np.argmax(model.cv_scores_.mean(axis=1))
    assert model.noise_variance_ == pytest.approx(model.noise_variances_[best])
    assert model.cv_scores_.shape == (len(model.noise_variances_), 5)
    again = SBLRegressor(noise_variance=model.noise_variance_).fit(X, y)
    np.testing.assert_allclose(model.coef_, again.coef_, rtol=1e-6, atol=1e-9)


def test_cross_validated_noise_has_the_scores_of_its_folds():
    X, y, _, _ = wide(n=20, p=30)
    model = SBLRegressor(noise_variance="cv", cv=4, n_jobs=2).fit(X, y)
    level, k = model.noise_variances_[2], 1
    test = np.arange(5, 10)
    train = np.setdiff1d(np.arange(20), test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = SBLRegressor(noise_variance=level).fit(X[train], y[train])
    mean, std = part.predict(X[test], return_std=True)
    density = -0.5 * (np.log(2 * np.pi * std**2) + ((y[test] - mean) / std) ** 2)
    np.testing.assert_allclose(model.cv_scores_[2, k], density.mean(), rtol=1e-10)


def test_cross_validated_noise_needs_rows():
    X, y, _, _ = wide()
    with pytest.raises(ValueError, match="LinearOperator"):
        SBLRegressor("cofem", noise_variance="cv").fit(aslinearoperator(X), y)
    with pytest.raises(ValueError, match="n_splits=5"):
        SBLRegressor(noise_variance="cv").fit(X[:3], y[:3])


@pytest.mark.parametrize("method", ["mm", "cofem"])
def test_one_sample_has_a_spread(method):
    with pytest.warns(NoiseCollapseWarning, match="0 of 1 observations"):
        model = SBLRegressor(method).fit([[1.0, 2.0]], [3.0])
    assert model.predict([[5.0, 5.0]], return_std=True)[1] == pytest.approx(3.0)


@pytest.mark.parametrize("method", ["mm", "cofem"])
def test_kernel_is_the_model_of_its_matrix(method):
    rng = np.random.default_rng(0)
    X = rng.uniform(-5, 5, (60, 2)) + 1e5
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(60)
    options = {"method": method, "random_state": 0, "max_iter": 100}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SBLRegressor(kernel="rbf", kernel_params={"gamma": 0.3}, **options)
        model.fit(X, y)
        K = rbf_kernel(X - X.mean(axis=0), gamma=0.3)
        plain = SBLRegressor(**options).fit(K, y)
        written = SBLRegressor(kernel=RBF((2 * 0.3) ** -0.5), **options)
        written.fit(X - X.mean(axis=0), y)
    mean, std = model.predict(X[:7], return_std=True)
    expected = plain.predict(K[:7], return_std=True)
    atol = 1e-4 if method == "cofem" else 1e-8  # which solves to cg_tol
    np.testing.assert_allclose(mean, expected[0], rtol=1e-6, atol=atol)
    np.testing.assert_allclose(std, expected[1], rtol=1e-6, atol=atol)
    np.testing.assert_allclose(written.predict(X[:7] - X.mean(axis=0)), mean, atol=1e-4)
    np.testing.assert_array_equal(model.relevance_vectors_, X[model.active_])
    assert len(model.coef_) == 60 and model.n_features_in_ == 2


def test_kernel_counts_rows_as_they_were_given():
    rng = np.random.default_rng(1)
    X = rng.uniform(-5, 5, (40, 1))
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(40)
    w = np.ones(40)
    w[::4] = 0
    model = SBLRegressor(kernel="rbf").fit(X, y, w)
    part = SBLRegressor(kernel="rbf").fit(X[w > 0], y[w > 0])
    np.testing.assert_array_equal(model.predict(X), part.predict(X))
    assert np.all(model.coef_[w == 0] == 0) and len(model.coef_) == 40
    np.testing.assert_array_equal(model.relevance_vectors_, X[model.active_])


def test_kernel_recovers_a_sinc_from_few_rows():
    rng = np.random.default_rng(0)
    X = np.sort(rng.uniform(-10, 10, 100))[:, None]
    clean = np.sinc(X[:, 0] / np.pi)
    y = clean + 0.1 * rng.standard_normal(100)
    model = SBLRegressor(kernel="rbf", kernel_params={"gamma": 0.1}).fit(X, y)
    assert model.n_active_ <= 12
    assert np.sqrt(np.mean((model.predict(X) - clean) ** 2)) < 0.05
    assert 0.07**2 < model.noise_variance_ < 0.13**2


def test_bad_kernels_are_named():
    X, y = np.ones((4, 2)) * np.arange(4.0)[:, None], np.arange(4.0)
    with pytest.raises(ValueError, match="two matrices"):
        SBLRegressor(kernel=lambda A, B: np.ones(3)).fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        SBLRegressor(kernel=lambda A, B: np.full((len(A), len(B)), np.nan)).fit(X, y)
    with pytest.raises(ValueError, match="entries of a real X"):
        SBLRegressor("cofem", kernel="rbf").fit(aslinearoperator(X), y)


@pytest.mark.parametrize("case", ["spread", "smooth"])
def test_inverse_free_sbl_finds_correlated_signals(case):
    rng = np.random.default_rng(0)
    if case == "spread":
        X = 3 * rng.standard_normal((200, 1)) + 0.3 * rng.standard_normal((200, 30))
        y = X[:, 0] - X[:, 1] + 0.1 * rng.standard_normal(200)
    else:
        grid = np.linspace(0, 1, 300)
        peaks = np.exp(-(((grid - np.linspace(0, 1, 8)[:, None]) / 0.08) ** 2) / 2)
        amounts = rng.uniform(0, 1, (60, 8))
        X = amounts @ peaks + 0.5 * rng.uniform(size=(60, 1))
        y = amounts[:, 3] * 3 - amounts[:, 5] + 0.05 * rng.standard_normal(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = InverseFreeSBL(random_state=0).fit(X, y)
        exact = SBLRegressor().fit(X, y)
    assert model.score(X, y) > exact.score(X, y) - 0.03
    details = model.certificate_.details
    assert details["dof_posterior"] > 0.5 * exact.dof_ and details["dof"] > 1
