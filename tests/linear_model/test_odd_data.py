"""Odd but legal data: units beyond single precision, one-sided signs, free features."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
import pytest
from scipy import sparse, special
from sklearn.base import clone

from sparsestat._utils.linalg import shrunk_trace
from sparsestat.linear_model import (
    BestSubsetRegressor,
    ElasticNet,
    ElasticNetCV,
    GroupLasso,
    Lasso,
    LassoCV,
    SparseHuberRegressor,
    SparseLogisticRegressionCV,
    SparsePoissonRegressor,
    SparsePoissonRegressorCV,
    SparseTweedieRegressor,
    lasso_path,
)
from sparsestat.linear_model._penalized._datafits import Huber


@pytest.mark.parametrize("exponent", [-330, 330])
@pytest.mark.parametrize(
    "fitted",
    [
        lambda X, y, unit: Lasso(0.1 * unit, tol=1e-8).fit(X, y),
        lambda X, y, unit: LassoCV(alphas=4, criterion="bic").fit(X, y),
        lambda X, y, unit: BestSubsetRegressor(2).fit(X, y),
    ],
)
def test_coefficients_beyond_single_precision_stay_in_double(exponent, fitted):
    r = np.random.default_rng(0)
    X = r.normal(size=(30, 4)).astype(np.float32)
    y = X[:, 0] - X[:, 1] + 0.1 * r.normal(size=30)
    unit = 2.0**exponent
    one, far = fitted(X, y, 1.0), fitted(X, unit * y, unit)
    assert one.coef_.dtype == np.float32 and far.certificate_.satisfied
    np.testing.assert_allclose(far.coef_ / unit, one.coef_, rtol=1e-6)
    np.testing.assert_allclose(far.intercept_ / unit, one.intercept_, rtol=1e-6)


def test_path_of_single_precision_data_in_small_units():
    r = np.random.default_rng(0)
    X = r.normal(size=(30, 4)).astype(np.float32)
    y = X[:, 0] + 0.1 * r.normal(size=30)
    one = lasso_path(X, y, alphas=5)
    far = lasso_path(X, 2.0**-330 * y, alphas=5)
    np.testing.assert_allclose(far.coefs * 2.0**330, one.coefs, rtol=1e-6)


@pytest.mark.parametrize("to", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("criterion", ["cv", "bic"])
def test_nothing_that_may_be_positive_is_proved_at_zero(to, criterion):
    r = np.random.default_rng(0)
    x = r.uniform(size=(30, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m = LassoCV(positive=True, criterion=criterion).fit(to(x), -x.sum(axis=1))
    assert m.certificate_.satisfied and not m.coef_.any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = np.round(9.0 * np.exp(-x.sum(axis=1)))
        m = SparsePoissonRegressorCV(positive=True, criterion=criterion).fit(to(x), y)
    assert m.certificate_.satisfied and not m.coef_.any()


@pytest.mark.parametrize("to", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_free_features_beside_many_others_converge(to, l1_ratio):
    # A residual that is not orthogonal to them had made the inner gap negative.
    r = np.random.default_rng(0)
    X = r.normal(size=(8, 40))
    y = X[:, :3].sum(axis=1) + r.normal(size=8)
    omega = np.r_[np.zeros(3), np.ones(37)]
    m = ElasticNet(0.002, l1_ratio=l1_ratio, feature_weights=omega, tol=1e-10)
    m.fit(to(X), y)
    assert m.certificate_.satisfied
    residual = y - m.predict(X)
    np.testing.assert_allclose(X[:, :3].T @ residual, 0.0, atol=1e-10)
    others = np.abs(X.T @ residual / 8 - 0.002 * (1 - l1_ratio) * m.coef_ * omega)
    assert others.max() <= 0.002 * l1_ratio * (1 + 1e-3) + 1e-8


@pytest.mark.parametrize("to", [np.asarray, sparse.csc_array])
def test_free_groups_beside_many_others_converge(to):
    r = np.random.default_rng(0)
    X = r.normal(size=(8, 40))
    y = X[:, :3].sum(axis=1) + r.normal(size=8)
    weights = np.r_[0.0, np.ones(9)]
    m = GroupLasso(4, alpha=0.001, group_weights=weights, tol=1e-10).fit(to(X), y)
    assert m.certificate_.satisfied
    np.testing.assert_allclose(X[:, :4].T @ (y - m.predict(X)), 0.0, atol=1e-9)


@pytest.mark.parametrize("exponent", [0, 60])
@pytest.mark.parametrize("model", [ElasticNetCV, SparseLogisticRegressionCV])
def test_criteria_where_free_features_depend_on_each_other(model, exponent):
    r = np.random.default_rng(1)
    x = r.normal(size=(20, 1))
    y = x[:, 0] + 0.5 * r.normal(size=20)
    y = y if model is ElasticNetCV else y > 0
    X = x @ r.normal(size=(1, 6)) * 2.0**exponent
    m = model(
        l1_ratio=0.5,
        criterion="bic",
        alphas=10,
        feature_weights=[0.0, 0, 0, 1, 1, 1],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the rest is rounding
        m.fit(X, y)
    if model is ElasticNetCV:
        np.testing.assert_allclose(
            m.predict(X), np.polyval(np.polyfit(x[:, 0], y, 1), x[:, 0]), rtol=1e-6
        )
    assert np.isfinite(m.coef_).all()


def test_size_of_a_ridge_fit():
    r = np.random.default_rng(0)
    A = r.normal(size=(20, 3))
    scale = 2.0 ** np.array([-200.0, 0.0, 200.0])
    ridge = np.array([1.0, 2.0, 3.0])
    right = np.trace(np.linalg.inv(A.T @ A + np.diag(ridge)) @ (A.T @ A))
    far = A * scale
    found = shrunk_trace(far.T @ far, ridge * scale**2)
    assert found == pytest.approx(right, rel=1e-12)
    # Copies count once.
    twice = np.hstack([A, A])
    assert shrunk_trace(twice.T @ twice, np.zeros(6)) == pytest.approx(3.0, abs=1e-9)


def test_free_features_that_explain_all_are_proved_or_warned_of():
    r = np.random.default_rng(40)
    X, y = np.round(2.0 * r.normal(size=(3, 4))), r.normal(size=3)
    m = ElasticNetCV(
        l1_ratio=0.95, criterion="bic", alphas=10, feature_weights=[0, 0, 0, 1.0]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        m.fit(X, y)
    assert m.certificate_.satisfied
    np.testing.assert_allclose(m.predict(X), y, atol=1e-9)


def test_information_criteria_of_heavy_weights():
    r = np.random.default_rng(0)
    X = r.normal(size=(20, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        m = LassoCV(criterion="aic", alphas=4)
        m.fit(X, np.ones(20), sample_weight=np.full(20, 2.0**100))
    assert not m.coef_.any()


@pytest.mark.parametrize("model", [SparsePoissonRegressor, SparseTweedieRegressor])
@pytest.mark.parametrize("exponent", [-40, 30, 40])
def test_free_features_of_likelihoods_in_other_units(model, exponent):
    # Beside an intercept of another unit their Newton steps had crept along.
    r = np.random.default_rng(0)
    X = r.normal(size=(6, 20)) * 2.0**exponent
    y = np.exp(r.normal(size=6))
    omega = np.r_[np.zeros(8), np.ones(12)]
    m = model(1e-3 * 2.0**exponent, feature_weights=omega, tol=1e-7, max_iter=4)
    m.fit(X, y)
    assert m.certificate_.satisfied and not m.coef_[8:].any()
    np.testing.assert_allclose(m.predict(X), y, rtol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        LassoCV(alphas=3),
        SparsePoissonRegressorCV(alphas=3),
        BestSubsetRegressor(criterion="cv"),
    ],
)
def test_folds_of_rows_that_do_not_exist_are_named(model):
    r = np.random.default_rng(0)
    X = r.normal(size=(20, 3))
    y = np.round(np.exp(X[:, 0]))
    rows = np.arange(20)
    for fold in (
        (rows, np.array([20])),
        (rows[:10].astype(float), rows[10:]),
        (np.ones(5, dtype=bool), rows[10:]),
    ):
        with pytest.raises(ValueError, match=r"Fold 1 of `cv` must hold row numbers"):
            model.set_params(cv=[(rows[:10], rows[10:]), fold]).fit(X, y)
    plain = model.set_params(cv=[(rows[:15], rows[15:])]).fit(X, y).coef_.copy()
    masks = rows < 15, rows >= 15
    np.testing.assert_array_equal(model.set_params(cv=[masks]).fit(X, y).coef_, plain)
    back = rows[:15] - 20, rows[15:] - 20
    np.testing.assert_array_equal(model.set_params(cv=[back]).fit(X, y).coef_, plain)


@pytest.mark.parametrize("exponent", [-330, -40, 40, 330])
@pytest.mark.parametrize(
    ("model", "power"),
    [
        (SparsePoissonRegressor(0.05, l1_ratio=0.8, tol=1e-8), 1.0),
        (SparsePoissonRegressor(0.05, penalty="mcp", tol=1e-8), 1.0),
        (SparseTweedieRegressor(0.05, power=1.5, tol=1e-8), 1.5),
        (SparseTweedieRegressor(0.05, power=1.1, tol=1e-8), 1.1),
    ],
)
def test_rates_in_any_unit(model, power, exponent):
    # Claims by second, not by year: the intercept moves, and the loss is so much less.
    r = np.random.default_rng(0)
    X = r.normal(size=(40, 3))
    y = r.poisson(np.exp(X[:, 0])).astype(float)
    unit = 2.0**exponent
    one = clone(model).fit(X, y)
    far = clone(model).set_params(alpha=model.alpha * unit ** (2.0 - power))
    far.fit(X, y * unit)
    assert far.certificate_.satisfied
    np.testing.assert_allclose(far.coef_, one.coef_, atol=1e-6)
    np.testing.assert_allclose(far.predict(X) / unit, one.predict(X), rtol=1e-5)


@pytest.mark.parametrize("exponent", [0, -40])
def test_objective_and_criterion_of_small_rates(exponent):
    r = np.random.default_rng(0)
    X, w = r.normal(size=(40, 3)), r.integers(1, 4, 40).astype(float)
    y = r.poisson(np.exp(X[:, 0])) * 2.0**exponent
    m = SparsePoissonRegressorCV(alphas=5, criterion="bic").fit(X, y, sample_weight=w)
    rate = m.predict(X)
    loss = w @ (rate - y * np.log(rate)) / w.sum()
    value = loss + m.alpha_ * np.abs(m.coef_).sum()
    assert m.objective_ == pytest.approx(value, rel=1e-10)
    full = w @ (y - special.xlogy(y, y)) / w.sum()
    bic = 2.0 * w.sum() * (loss - full)
    bic += np.log(w.sum()) * np.count_nonzero(m.coef_)
    assert m.criterion_path_.min() == pytest.approx(bic, rel=1e-8)


@pytest.mark.parametrize("delta", [1e3, 1e10, 1e20, 1e90])
def test_huber_far_beyond_the_residuals_is_least_squares(delta):
    # Its intercept had the digits of delta, not those of the residuals.
    r = np.random.default_rng(0)
    X, w = r.normal(size=(20, 3)), r.integers(0, 3, 20).astype(float)
    y = X[:, 0] + r.normal(size=20)
    least = Lasso(0.1, tol=1e-12).fit(X, y, sample_weight=w)
    for model in (
        SparseHuberRegressor(0.1, delta=delta, tol=1e-10),
        SparseHuberRegressor(0.1 / delta, delta=1.0, tol=1e-10),
    ):
        unit = delta / model.delta
        model.fit(X, y / unit, sample_weight=w)
        np.testing.assert_allclose(unit * model.coef_, least.coef_, atol=1e-9)
        np.testing.assert_allclose(unit * model.intercept_, least.intercept_, atol=1e-9)


def test_intercept_of_huber_is_the_minimum_with_outliers_on_both_sides():
    r = np.random.default_rng(0)
    for _ in range(30):
        n = int(r.integers(1, 9))
        y = np.round(3.0 * r.normal(size=n)) * 10.0 ** r.integers(0, 3, n)
        w = r.integers(1, 4, n).astype(float)
        loss = Huber(y, w, delta=float(r.choice([0.5, 1.0, 4.0])))
        shift = loss.settle_intercept(np.zeros(n))
        best = loss.value(np.full(n, shift))
        assert (
            abs(loss.gradient(np.full(n, shift)).sum()) <= 1e-12 * w.sum() * loss.delta
        )
        for other in np.linspace(y.min() - 1, y.max() + 1, 201):
            assert best <= loss.value(np.full(n, other)) * (1 + 1e-12) + 1e-12
