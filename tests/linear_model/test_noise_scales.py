"""Strengths and thresholds that follow the noise: SLOPE's "noise", Huber's "auto"."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.stats import median_abs_deviation

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.linear_model import Slope, SparseHuberRegressor, SparseHuberRegressorCV
from sparsestat.linear_model._huber import robust_scale


def data(seed=0, n=120, p=30):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    y = X[:, :3] @ [3.0, -3.0, 3.0] + rng.standard_normal(n) + 4.0
    return X, y


def test_noise_gives_the_strength_of_the_definition():
    X, y = data()
    spread = np.sqrt(X.var(axis=0).mean())
    model = Slope("noise", sigma=2.0).fit(X, y)
    assert_allclose(model.alpha_, 2.0 * spread / np.sqrt(120), rtol=1e-12)
    assert model.sigma_ == 2.0 and model.alpha == "noise"
    same = Slope(model.alpha_).fit(X, y)
    assert_array_equal(model.coef_, same.coef_)
    assert same.alpha_ == same.alpha and not hasattr(same, "sigma_")


def test_estimated_noise_is_that_of_least_squares_on_the_support():
    X, y = data(1)
    model = Slope("noise").fit(X, y)
    support = np.flatnonzero(model.coef_)
    A = np.column_stack([X[:, support], np.ones(120)])
    rest = y - A @ np.linalg.lstsq(A, y, rcond=None)[0]
    expected = np.sqrt(rest @ rest / (120 - A.shape[1]))
    assert_allclose(model.sigma_, expected, rtol=1e-10)
    assert set(range(3)) <= set(support.tolist())


def test_false_discoveries_are_controlled_in_orthogonal_designs():
    shares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        Q = np.linalg.qr(rng.standard_normal((100, 50)))[0] * 10.0
        y = Q[:, :5] @ np.full(5, 0.6) + rng.standard_normal(100)
        model = Slope("noise", sigma=1.0, q=0.2, fit_intercept=False).fit(Q, y)
        found = np.flatnonzero(model.coef_)
        shares.append((found >= 5).sum() / max(len(found), 1))
    assert np.mean(shares) < 0.25  # the level is 0.18, its standard error 0.02


def test_noise_follows_units_weights_and_storage():
    X, y = data(2)
    model = Slope("noise", tol=1e-10).fit(X, y)
    scaled = Slope("noise", tol=1e-10).fit(X, 1024.0 * y)
    assert_allclose(scaled.sigma_, 1024.0 * model.sigma_, rtol=1e-12)
    assert_allclose(scaled.coef_, 1024.0 * model.coef_, rtol=1e-8, atol=1e-6)
    smaller = Slope("noise", tol=1e-10).fit(X / 8.0, y)
    assert_allclose(smaller.coef_, 8.0 * model.coef_, rtol=1e-8, atol=1e-9)
    thin = Slope("noise", tol=1e-10).fit(sparse.csr_array(X), y)
    assert_allclose(thin.coef_, model.coef_, atol=1e-6)
    counts = np.random.default_rng(0).integers(0, 3, 120)
    rows = np.repeat(np.arange(120), counts)
    weighted = Slope("noise", tol=1e-10).fit(X, y, sample_weight=counts)
    repeated = Slope("noise", tol=1e-10).fit(X[rows], y[rows])
    assert_allclose(weighted.sigma_, repeated.sigma_, rtol=1e-10)
    assert_allclose(weighted.coef_, repeated.coef_, atol=1e-6)


def test_nothing_to_explain_and_nothing_unexplained():
    X, _ = data(3)
    with pytest.warns(UserWarning, match="selects no feature"):
        Slope("noise", sigma=100.0).fit(X, X[:, 0])
    assert not Slope("noise").fit(X, np.full(120, 3.0)).coef_.any()
    exact = Slope("noise").fit(X, X[:, :3] @ [1.0, 2.0, 3.0])
    assert exact.certificate_.satisfied
    assert_allclose(exact.coef_[:3], [1.0, 2.0, 3.0], atol=0.1)
    wide = np.random.default_rng(0).standard_normal((20, 200))
    assert Slope("noise").fit(wide, wide[:, 0] - wide[:, 1]).sigma_ > 0.0
    with pytest.raises(ValueError, match="counts rows"):
        Slope("noise").fit(X, X[:, 0], sample_weight=np.full(120, 1e-30))
    with pytest.raises(ValueError, match="alpha"):
        Slope("auto").fit(X, X[:, 0])


def test_robust_scale_is_the_median_distance(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    for n in (9, 10, 31):
        values = rng.standard_normal(n)
        expected = median_abs_deviation(values, scale="normal")
        assert_allclose(robust_scale(values), expected, rtol=1e-9)
        counts = rng.integers(1, 4, n).astype(float)
        repeated = np.repeat(values, counts.astype(int))
        assert_allclose(
            robust_scale(values, counts), robust_scale(repeated), rtol=1e-12
        )
    mostly = np.array([0.0] * 8 + [1.0, 3.0])
    assert_allclose(robust_scale(mostly), np.sqrt(np.pi / 2.0) * 0.4)
    assert robust_scale(np.ones(5)) == 0.0


def test_automatic_delta_is_that_of_the_residuals_of_the_first_fit():
    X, y = data(4)
    y[:12] += 50.0
    first = 1.35 * median_abs_deviation(y, scale="normal")
    pilot = SparseHuberRegressor(0.3, delta=first, tol=1e-9).fit(X, y)
    rest = median_abs_deviation(y - pilot.predict(X), scale="normal")
    model = SparseHuberRegressor(0.3, delta="auto", tol=1e-9).fit(X, y)
    assert_allclose(model.delta_, 1.35 * rest, rtol=1e-6)
    given = SparseHuberRegressor(0.3, delta=model.delta_, tol=1e-9).fit(X, y)
    assert_array_equal(model.coef_, given.coef_)
    assert model.certificate_.satisfied and model.delta == "auto"
    assert 1.0 < model.delta_ < 2.5  # the noise has the scale one


@pytest.mark.parametrize("unit", [2.0**-20, 1024.0])
def test_automatic_delta_follows_units(unit):
    X, y = data(5)
    model = SparseHuberRegressor(0.2, delta="auto").fit(X, y)
    scaled = SparseHuberRegressor(0.2 * unit, delta="auto").fit(X, unit * y)
    assert_allclose(scaled.delta_, unit * model.delta_, rtol=1e-9)
    assert_allclose(scaled.coef_, unit * model.coef_, rtol=1e-7, atol=1e-9 * unit)
    assert scaled.n_iter_ == model.n_iter_  # dollars and thousands cost the same
    options = {"delta": "auto", "alphas": 8, "cv": 3}
    cv = SparseHuberRegressorCV(**options).fit(X, y)
    moved = SparseHuberRegressorCV(**options).fit(X, unit * y)
    assert_allclose(moved.delta_, unit * cv.delta_, rtol=1e-9)
    assert_allclose(moved.loss_path_, unit**2 * cv.loss_path_, rtol=1e-6)
    assert_allclose(moved.coef_, unit * cv.coef_, rtol=1e-6, atol=1e-9 * unit)


def test_automatic_delta_of_weights_exact_fits_and_constants():
    X, y = data(6)
    counts = np.random.default_rng(0).integers(0, 3, 120)
    rows = np.repeat(np.arange(120), counts)
    weighted = SparseHuberRegressor(0.2, delta="auto", tol=1e-9)
    a = weighted.fit(X, y, sample_weight=counts).coef_
    b = SparseHuberRegressor(0.2, delta="auto", tol=1e-9).fit(X[rows], y[rows])
    assert_allclose(weighted.delta_, b.delta_, rtol=1e-6)
    assert_allclose(a, b.coef_, atol=1e-6)
    constant = SparseHuberRegressor(0.2, delta="auto").fit(X, np.full(120, 7.0))
    assert constant.delta_ == 1.35 and constant.intercept_ == 7.0
    exact = SparseHuberRegressor(1e-6, delta="auto").fit(X, 2.0 * X[:, 0])
    assert exact.delta_ > 0.0 and exact.certificate_.satisfied
    path = SparseHuberRegressor(0.2, delta="auto").path(X, y, alphas=3)
    assert (path.gaps <= 1e-4).all()
    with pytest.raises(ValueError, match="delta"):
        SparseHuberRegressor(delta="mad").fit(X, y)


@pytest.mark.parametrize("delta", [1.35])
def test_a_delta_in_other_units_than_y_is_what_the_warning_is_about(delta):
    X, y = data(n=60, p=5)
    with pytest.warns(ConvergenceWarning, match="Raise `delta` .* or divide y"):
        model = SparseHuberRegressor(0.1, delta=delta).fit(X, 1e90 * y)
    assert not model.certificate_.satisfied
    # One in the units of y is as good as with y near one.
    near = SparseHuberRegressor(0.1, delta=1.0).fit(X, y)
    far = SparseHuberRegressor(0.1 * 1e90, delta=1e90).fit(X, 1e90 * y)
    assert near.certificate_.satisfied and far.certificate_.satisfied
    assert_allclose(far.coef_, 1e90 * near.coef_, rtol=1e-4)
