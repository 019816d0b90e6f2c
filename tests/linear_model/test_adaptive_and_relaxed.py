"""Adaptive weights, relaxed fits and criteria of likelihoods, by their definitions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import comb, xlogy
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import KFold, cross_val_score

import sparsestat.linear_model as ssl
from tests.linear_model.test_penalty_matrix import ESTIMATORS, loss_of, make


def signals(seed=0, n=80, p=30, noise=1.0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * rng.uniform(0.5, 3.0, p)
    y = X[:, :4] @ np.array([2.0, -1.0, 1.0, 0.7]) + noise * rng.standard_normal(n)
    return X, y


def test_relaxed_points_lie_between_the_path_and_least_squares():
    X, y = signals(noise=0.7)
    phis = [0.0, 0.5]
    model = ssl.LassoCV(relaxed=phis, alphas=30, cv=KFold(3), tol=1e-10).fit(X, y)
    assert model.mse_path_.shape == (3, 30, 3) and model.cv_mean_.shape == (3, 30)
    for k, (train, test) in enumerate(KFold(3).split(X)):
        for a in (9, 15):
            lasso = ssl.Lasso(model.alphas_[a], tol=1e-10).fit(X[train], y[train])
            used = np.flatnonzero(lasso.coef_)
            ols = LinearRegression().fit(X[train][:, used], y[train])
            for row, phi in enumerate((1.0, 0.5, 0.0)):
                coef = phi * lasso.coef_[used] + (1 - phi) * ols.coef_
                inside = y[train].mean() - X[train][:, used].mean(axis=0) @ coef
                error = (y[test] - X[test][:, used] @ coef - inside) ** 2
                assert_allclose(model.mse_path_[row, a, k], error.mean(), rtol=1e-5)
    phi = model.phi_
    lasso = ssl.Lasso(model.alpha_, tol=1e-10).fit(X, y)
    used = np.flatnonzero(lasso.coef_)
    ols = LinearRegression().fit(X[:, used], y)
    expected = phi * lasso.coef_[used] + (1 - phi) * ols.coef_
    assert_allclose(model.coef_[used], expected, atol=1e-5)
    assert phi < 1.0  # strong signals: the shrinkage costs
    assert np.count_nonzero(model.coef_) <= np.count_nonzero(
        ssl.LassoCV(alphas=30, cv=KFold(3)).fit(X, y).coef_
    )
    plain = ssl.LassoCV(alphas=30, cv=KFold(3), tol=1e-10).fit(X, y)
    assert_allclose(model.mse_path_[0], plain.mse_path_)
    assert not hasattr(plain, "phi_")


def test_where_least_squares_is_not_determined_the_path_stays():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((12, 30))
    X[:, 1] = X[:, 0]
    y = rng.standard_normal(12)
    model = ssl.LassoCV(relaxed=True, alphas=20, eps=1e-6, cv=3).fit(X, y)
    assert np.isfinite(model.mse_path_).all() and np.isfinite(model.coef_).all()
    # As many coefficients as rows allow: all shares are the same there.
    assert_allclose(model.mse_path_[-1, -1], model.mse_path_[0, -1])
    for bad in ([1.5], [np.nan], []):
        with pytest.raises(ValueError, match="`relaxed` must be"):
            ssl.LassoCV(relaxed=bad).fit(X, y)
    with pytest.raises(ValueError, match="does not go with criterion='bic'"):
        ssl.LassoCV(relaxed=True, criterion="bic").fit(X, y)


def adaptive_weights(X, first, gamma):
    scales = X.std(axis=0)
    size = np.abs(first) * scales
    weights = (size / np.median(size)) ** -gamma * scales
    return weights / np.median(scales)


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
def test_adaptive_weights_come_from_the_rows_of_each_fold(container):
    X, y = signals(2)
    first = Ridge(3.0, tol=1e-13)
    model = ssl.AdaptiveLassoCV(
        initial=first, gamma=1.5, alphas=8, cv=KFold(3), tol=1e-10
    ).fit(container(X), y)
    weights = adaptive_weights(X, first.fit(container(X), y).coef_, 1.5)
    assert_allclose(model.feature_weights_, weights, rtol=1e-8)
    whole = ssl.Lasso(model.alpha_, feature_weights=weights, tol=1e-10).fit(X, y)
    assert_allclose(model.coef_, whole.coef_, atol=1e-6)
    for k, (train, test) in enumerate(KFold(3).split(X)):
        inside = adaptive_weights(X[train], first.fit(X[train], y[train]).coef_, 1.5)
        one = ssl.Lasso(model.alphas_[4], feature_weights=inside, tol=1e-10)
        error = (y[test] - one.fit(X[train], y[train]).predict(X[test])) ** 2
        assert_allclose(model.mse_path_[4, k], error.mean(), rtol=1e-5)


def test_adaptive_fits_do_not_depend_on_units_of_features():
    X, y = signals(3)
    units = 10.0 ** np.random.default_rng(4).uniform(-3, 3, X.shape[1])
    for initial in ("ridge", "lasso"):
        model = ssl.AdaptiveLassoCV(initial=initial, alphas=8, cv=3, tol=1e-9)
        a = model.fit(X, y).predict(X)
        if initial == "ridge":
            b = model.fit(X * units, y).predict(X * units)
            assert_allclose(b, a, rtol=1e-5, atol=1e-6)
    assert set(np.flatnonzero(model.fit(X, y).coef_)) >= {0, 1, 2, 3}


def test_held_out_errors_of_adaptive_fits_tell_the_truth_about_noise():
    # Weights from all rows would promise an error of .85 of the variance and less.
    rng = np.random.default_rng(5)
    ratios = []
    for _ in range(6):
        X, y = rng.standard_normal((50, 100)), rng.standard_normal(50)
        model = ssl.AdaptiveLassoCV(alphas=15, cv=5).fit(X, y)
        ratios.append(model.cv_mean_.min() / y.var())
    assert np.mean(ratios) > 0.95


def test_a_first_estimate_of_zeros_gives_the_mean():
    class Nothing(Ridge):
        def fit(self, X, y, sample_weight=None):
            super().fit(X, y, sample_weight)
            self.coef_ = np.zeros(X.shape[1])
            return self

    X, y = signals(6)
    model = ssl.AdaptiveLassoCV(initial=Nothing(), alphas=5, cv=3).fit(X, y)
    assert not model.coef_.any()
    assert_allclose(model.predict(X), y.mean())
    assert np.isinf(model.feature_weights_).all()

    class Bare(Ridge):
        def fit(self, X, y, sample_weight=None):
            return self

    with pytest.raises(ValueError, match="has no `coef_`"):
        ssl.AdaptiveLassoCV(initial=Bare()).fit(X, y)
    score = cross_val_score(ssl.AdaptiveLassoCV(alphas=10, cv=3), X, y).mean()
    assert score > 0.7


@pytest.mark.parametrize("loss", list(ESTIMATORS))
@pytest.mark.parametrize("criterion", ["aic", "bic", "ebic"])
def test_criteria_of_likelihoods_are_their_formulas(loss, criterion):
    cp = pytest.importorskip("cvxpy")
    X, y, s = make(loss, 7)
    s = np.round(s + 0.5)
    cls = getattr(ssl, ESTIMATORS[loss].__name__ + "CV")
    model = cls(alphas=6, eps=0.1, criterion=criterion, tol=1e-9)
    model.fit(X, y, sample_weight=s)
    assert not hasattr(model, "alpha_1se_") and model.alpha_min_ == model.alpha_
    assert model.alpha_ == model.alphas_[np.argmin(model.criterion_path_)]
    n = s.sum() if loss != "cox" else s @ y[:, 1]
    least = {
        "poisson": lambda: s @ (y - np.where(y > 0, y * np.log(np.maximum(y, 1)), 0)),
        "gamma": lambda: s @ (1 + np.log(y)),
        "tweedie": lambda: s @ (4 * np.sqrt(y)),
    }.get(loss, lambda: 0.0)()
    for k in (2, 5):
        coef = model.coef_path_[..., k]
        intercept = model.intercept_path_[..., k]
        eta = X @ (coef.T if loss == "multinomial" else coef) + intercept
        value = loss_of(loss, cp.Constant(eta), y, s).value * s.sum()
        deviance = 2 * (float(value) - least)
        df = np.count_nonzero(coef)
        cost = {"aic": 2 * df}.get(criterion, np.log(n) * df)
        if criterion == "ebic":
            cost += 2 * np.log(comb(coef.size, df))
        if loss in ("gamma", "tweedie", "huber"):
            deviance = n * np.log(deviance / n)
        assert_allclose(model.criterion_path_[k], deviance + cost, rtol=1e-6)


def test_a_ridge_takes_its_share_of_the_degrees_of_freedom():
    X, y, s = make("poisson", 8)
    model = ssl.SparsePoissonRegressorCV(
        alphas=[0.3, 0.1], l1_ratio=0.5, criterion="aic", tol=1e-10
    ).fit(X, y, sample_weight=s)
    coef, b = model.coef_path_[:, 1], model.intercept_path_[1]
    eta = X @ coef + b
    h = s * np.exp(eta)
    used = np.flatnonzero(coef)
    A = X[:, used] - h @ X[:, used] / h.sum()
    H = A.T @ (h[:, None] * A)
    df = np.trace(np.linalg.solve(H + 0.05 * s.sum() * np.eye(len(used)), H))
    terms = s @ (np.exp(eta) - y * eta - y + xlogy(y, y))
    assert_allclose(model.criterion_path_[1], 2 * terms + 2 * df, rtol=1e-6)
