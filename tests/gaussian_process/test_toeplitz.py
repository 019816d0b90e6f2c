"""ToeplitzGPRegressor: its own contract, and equality with the dense process."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
import tracemalloc

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    WhiteKernel,
)

from sparsestat.exceptions import ConvergenceWarning, NumericalError
from sparsestat.gaussian_process import ToeplitzGPRegressor, WendlandKernel
from sparsestat.gaussian_process._structure import _toeplitz

MIXED = (
    1.0 * RBF(10.0) * ExpSineSquared(3.0, 100.0)
    + Matern(5.0, nu=1.5)
    + WhiteKernel(0.1)
)


def series(n=240, seed=0, missing=()):
    rng = np.random.default_rng(seed)
    t = 1950.0 + np.arange(n) / 12
    y = np.sin(t) + 0.1 * rng.normal(size=n)
    y[list(missing)] = np.nan
    return t[:, None], y


@pytest.mark.parametrize(
    ("kernel", "missing"),
    [
        (None, ()),
        (MIXED, ()),
        (1.0 * WendlandKernel(2.0, (0.1, 20), k=2) + WhiteKernel(0.1), ()),
        (None, [0, 7, *range(100, 140), 239]),
        (MIXED, [200]),
    ],
    ids=["default", "mixed", "compact", "gaps", "one missing"],
)
def test_it_is_the_dense_process_with_its_kernel(kernel, missing):
    t, y = series(missing=missing)
    model = ToeplitzGPRegressor(kernel, normalize_y=True, max_iter=30, tol=1e-3)
    model.fit(t, y)
    assert model.n_missing_ == len(missing)
    seen = ~np.isnan(y)
    full = GaussianProcessRegressor(
        model.kernel_, optimizer=None, alpha=0, normalize_y=True
    ).fit(t[seen], y[seen])
    T = np.r_[t[::9], t[100:140:7], [[1949.3], [1960.01], [1975.0]]]
    mean, std = model.predict(T, return_std=True)
    mean_full, std_full = full.predict(T, return_std=True)
    np.testing.assert_allclose(mean, mean_full, atol=1e-8)
    np.testing.assert_allclose(std, std_full, atol=1e-8)
    np.testing.assert_allclose(
        model.predict(T, return_cov=True)[1],
        full.predict(T, return_cov=True)[1],
        atol=1e-8,
    )
    theta = model.kernel_.theta + 0.05
    value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    value_full, gradient_full = full.log_marginal_likelihood(theta, eval_gradient=True)
    assert value == pytest.approx(value_full, rel=1e-9)
    np.testing.assert_allclose(
        gradient, gradient_full, atol=1e-9 * np.abs(gradient_full).max()
    )


def test_gradient_is_that_of_differences():
    t, y = series(missing=[3, 4])
    model = ToeplitzGPRegressor(MIXED, optimizer=None).fit(t, y)
    gradient = model.log_marginal_likelihood(eval_gradient=True)[1]
    theta, h = model.kernel_.theta, 1e-5
    numeric = [
        (
            model.log_marginal_likelihood(theta + h * e)
            - model.log_marginal_likelihood(theta - h * e)
        )
        / (2 * h)
        for e in np.eye(len(theta))
    ]
    np.testing.assert_allclose(gradient, numeric, atol=1e-6 * np.abs(numeric).max())


def test_the_order_of_time_stamps_does_not_matter():
    t, y = series()
    shuffle = np.random.default_rng(1).permutation(len(y))
    first = ToeplitzGPRegressor().fit(t, y)
    second = ToeplitzGPRegressor().fit(t[shuffle], y[shuffle])
    np.testing.assert_allclose(first.predict(t), second.predict(t), atol=1e-6)
    np.testing.assert_array_equal(first.grid_, second.grid_)
    assert first.step_ == pytest.approx(1 / 12)
    assert first.certificate_.satisfied and first.certificate_.kind == "kkt"


@pytest.mark.parametrize("place", ["on the grid", "between"])
def test_samples_have_the_moments_of_the_prediction(place):
    t, y = series(60, missing=[30, 31, 32])
    model = ToeplitzGPRegressor().fit(t, y)
    T = np.r_[t[[28, 31, 33]], t[-1:] + 0.5, t[:1] - 0.25]
    if place == "between":
        T = T + 0.01
    mean, cov = model.predict(T, return_cov=True)
    draws = model.sample_y(T, 20_000, random_state=0)
    assert draws.shape == (5, 20_000)
    sigma = np.sqrt(cov.max())
    np.testing.assert_allclose(draws.mean(axis=1), mean, atol=0.04 * sigma)
    np.testing.assert_allclose(np.cov(draws), cov, atol=0.05 * cov.max())


def test_long_series_need_no_square_matrix():
    n = 6000
    t = np.arange(n, dtype=float)[:, None]
    y = np.sin(t[:, 0] / 30) + 0.1 * np.random.default_rng(0).normal(size=n)
    kernel = 1.0 * Matern(30.0, nu=2.5) + WhiteKernel(0.01)
    ToeplitzGPRegressor(kernel, optimizer=None).fit(t[:50], y[:50])
    tracemalloc.start()
    model = ToeplitzGPRegressor(kernel, max_iter=3, tol=10.0).fit(t, y)
    model.predict(t[:20], return_std=True)
    model.sample_y(t, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2 * 8 * n**2


# -- the contract ---------------------------------------------------------------------


def test_uneven_grids_are_refused_with_a_hint():
    t, y = series()
    for bad in (np.delete(np.arange(240), 17), np.r_[np.arange(240), 239]):
        with pytest.raises(ValueError, match=r"even grid .* Hint: .* NaN in y"):
            ToeplitzGPRegressor().fit(t[bad], y[bad])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, y: (np.hstack([t, t]), y), "over one feature, but X has 2"),
        (lambda t, y: (t, np.full(len(y), np.nan)), "nothing but NaN"),
        (lambda t, y: (t, np.where(y > 0, np.inf, y)), "infinity"),
        (lambda t, y: (t, y[1:]), "inconsistent numbers of samples"),
        (lambda t, y: (t, y + 1j), "Complex data not supported"),
        (lambda t, y: (t + 1j, y), "Complex data not supported"),
        (lambda t, y: (t * np.nan, y), "NaN"),
        (lambda t, y: (t[:, 0], y), "Expected 2D array"),
        (
            lambda t, y: (t, np.column_stack([y, np.where(y > 0, y, np.nan)])),
            "some targets are missing",
        ),
    ],
)
def test_bad_data_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ToeplitzGPRegressor().fit(*change(*series(40)))


def test_sparse_data_are_refused():
    from scipy import sparse

    t, y = series(40)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        ToeplitzGPRegressor().fit(sparse.csr_array(t), y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": DotProduct() + WhiteKernel()}, "needs a stationary kernel"),
        ({"tol": 0.0}, "'tol' parameter"),
        ({"kernel": RBF(1.0, (1e-3, np.inf)), "n_restarts_optimizer": 1}, "finite"),
    ],
)
def test_bad_parameters_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ToeplitzGPRegressor(**arguments).fit(*series(40))


def test_an_indefinite_covariance_says_what_to_do():
    # Noise that vanishes beside a smooth function leaves nothing to factor.
    t, y = series(300)
    kernel = ConstantKernel(1e8) * RBF(50.0) + WhiteKernel(1e-12)
    with pytest.raises(NumericalError, match="raise the noise level"):
        ToeplitzGPRegressor(kernel, optimizer=None).fit(t, y)


def test_it_clones_pickles_and_leaves_data_alone():
    t, y = series(missing=[5])
    kept = t.copy(), y.copy()
    model = ToeplitzGPRegressor(MIXED, max_iter=5, tol=1.0)
    with pytest.raises(NotFittedError):
        model.predict(t)
    model.fit(t, y)
    np.testing.assert_array_equal(t, kept[0])
    np.testing.assert_array_equal(y, kept[1])
    assert clone(model).get_params() == model.get_params()
    assert model.kernel == MIXED
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(t), model.predict(t))
    assert model.score(t[:5], y[:5]) <= 1.0
    assert model.n_features_in_ == 1
    with pytest.raises(ValueError, match="expecting 1 features"):
        model.predict(np.zeros((3, 2)))
    with pytest.raises(RuntimeError, match="At most one"):
        model.predict(t, return_std=True, return_cov=True)


def test_read_only_lists_frames_and_single_precision_are_accepted():
    pd = pytest.importorskip("pandas")
    t, y = series(40)
    wanted = ToeplitzGPRegressor().fit(t, y).predict(t)
    frozen = t.copy(), y.copy()
    for a in frozen:
        a.flags.writeable = False
    for X, target in (
        frozen,
        (t.tolist(), y.tolist()),
        (pd.DataFrame(t, columns=["year"]), pd.Series(y)),
    ):
        np.testing.assert_array_equal(
            ToeplitzGPRegressor().fit(X, target).predict(X), wanted
        )
    steps = np.arange(40, dtype=np.float32)[:, None]
    ToeplitzGPRegressor().fit(steps, y.astype(np.float32))


def test_short_and_constant_series_are_handled():
    one = ToeplitzGPRegressor().fit([[3.0]], [2.0])
    assert np.isfinite(one.predict([[3.0]])).all()
    two = ToeplitzGPRegressor().fit([[3.0], [4.0]], [2.0, 2.5])
    assert np.isfinite(two.predict([[3.5]], return_std=True)).all()
    t, _ = series(50)
    flat = ToeplitzGPRegressor().fit(t, np.zeros(50))
    np.testing.assert_array_equal(flat.predict(t), np.zeros(50))


def test_hitting_the_limit_of_iterations_warns_once():
    t, y = series()
    with pytest.warns(ConvergenceWarning, match="Increase max_iter") as caught:
        model = ToeplitzGPRegressor(max_iter=1, tol=1e-9).fit(t, y)
    assert len(caught) == 1
    assert not model.certificate_.satisfied


@pytest.mark.parametrize("missing", [(), (3, 50, 51)])
def test_dual_coefficients_and_history(missing):
    t, y = series(100, missing=missing)
    model = ToeplitzGPRegressor(tol=1e-3, normalize_y=False).fit(t, y)
    seen = ~np.isnan(y)
    assert not model.alpha_[~seen].any()
    C = model.kernel_(t[seen])
    np.testing.assert_allclose(C @ model.alpha_[seen], y[seen], atol=1e-7)
    full = GaussianProcessRegressor(model.kernel_, optimizer=None, alpha=0)
    value = full.fit(t[seen], y[seen]).log_marginal_likelihood_value_
    np.testing.assert_allclose(model.log_marginal_likelihood_value_, value, rtol=1e-8)
    history = model.history_
    np.testing.assert_allclose(history[-1], model.log_marginal_likelihood_value_)
    assert history[-1] >= history[0]


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("noise", [1e-8, 1e-2])
def test_gaps_in_smooth_series_are_those_of_the_dense_process(
    small, noise, monkeypatch
):
    monkeypatch.setattr(_toeplitz, "_DENSE", 1500 if small else 0)
    t = np.arange(60.0)[:, None]
    y = np.sin(t[:, 0] / 4) + np.sin(7.0 * t[:, 0] ** 2) * np.sqrt(noise)
    y[[7, 8, 30, 59]] = np.nan
    seen = ~np.isnan(y)
    options = {"optimizer": None, "normalize_y": False}
    kernel = RBF(3.0) + WhiteKernel(noise)
    model = ToeplitzGPRegressor(kernel, **options).fit(t, y)
    C = kernel(t[seen])
    new = np.linspace(-3, 63, 40)[:, None]
    K = RBF(3.0)(new, t[seen])
    weights = np.linalg.solve(C, y[seen])
    np.testing.assert_allclose(model.predict(new), K @ weights, atol=1e-6)
    dense = -0.5 * (
        y[seen] @ weights + np.linalg.slogdet(C)[1] + seen.sum() * np.log(2 * np.pi)
    )
    assert model.log_marginal_likelihood_value_ == pytest.approx(dense, rel=1e-5)
    _, gradient = model.log_marginal_likelihood(model.kernel_.theta, eval_gradient=True)
    inner = np.outer(weights, weights) - np.linalg.inv(C)
    slopes = kernel(t[seen], eval_gradient=True)[1]
    exact = 0.5 * np.einsum("ij,ijk->k", inner, slopes)
    np.testing.assert_allclose(gradient, exact, rtol=1e-4)
