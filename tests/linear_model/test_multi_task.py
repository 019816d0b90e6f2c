"""Several targets: joint problems against scikit-learn, separate ones one by one."""

import numpy as np
import pytest
import sklearn.linear_model as skl
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

import sparsestat.linear_model as ssl

storages = pytest.mark.parametrize("storage", [np.asarray, sparse.csc_array])


def problem(seed=0, n=60, p=15):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + 1.0
    B = np.zeros((p, 3))
    B[:4] = rng.standard_normal((4, 3))
    return X, X @ B + 0.5 * rng.standard_normal((n, 3)) + 2.0


@storages
@pytest.mark.parametrize("l1_ratio", [1.0, 0.6])
def test_the_joint_elastic_net_is_that_of_scikit_learn(storage, l1_ratio):
    X, Y = problem()
    ours = ssl.MultiTaskElasticNet(0.2, l1_ratio=l1_ratio, tol=1e-10)
    ours.fit(storage(X), Y)
    theirs = skl.MultiTaskElasticNet(
        alpha=0.2, l1_ratio=l1_ratio, tol=1e-10, max_iter=100_000
    ).fit(X, Y)
    assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-5)
    assert ours.certificate_.satisfied and ours.certificate_.kind == "duality_gap"
    if l1_ratio == 1.0:
        lasso = ssl.MultiTaskLasso(0.2, tol=1e-10).fit(X, Y)
        assert_allclose(lasso.coef_, ours.coef_, atol=1e-8)


def test_weights_of_features_and_repetitions():
    X, Y = problem(1)
    omega = np.ones(15)
    omega[0], omega[5] = 0.0, np.inf
    s = np.random.default_rng(2).integers(0, 3, 60)
    model = ssl.MultiTaskElasticNet(0.5, l1_ratio=0.7, feature_weights=omega, tol=1e-10)
    a = model.fit(X, Y, sample_weight=s).coef_
    rows = np.repeat(np.arange(60), s)
    assert_allclose(model.fit(X[rows], Y[rows]).coef_, a, atol=1e-7)
    assert not a[:, 5].any() and a[:, 0].all()


def test_paths_are_those_of_scikit_learn_and_keep_settings():
    X, Y = problem(3)
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    path = ssl.multi_task_enet_path(X, Y, l1_ratio=0.8, alphas=6, tol=1e-10)
    alphas, coefs, _ = skl.enet_path(
        X, Y, l1_ratio=0.8, alphas=path.alphas, tol=1e-10, max_iter=100_000
    )
    assert_allclose(path.alphas, alphas)
    assert_allclose(path.coefs, coefs, atol=1e-5)
    again = ssl.MultiTaskElasticNet(l1_ratio=0.8, fit_intercept=False, tol=1e-10)
    assert_allclose(again.path(X, Y, alphas=6).coefs, path.coefs, atol=1e-8)
    lasso = ssl.multi_task_lasso_path(X, Y, alphas=6, tol=1e-10)
    _, coefs, _ = skl.lasso_path(X, Y, alphas=lasso.alphas, tol=1e-10, max_iter=100_000)
    assert_allclose(lasso.coefs, coefs, atol=1e-5)
    assert not lasso.coefs[..., 0].any()
    for function in (ssl.lasso_path, ssl.enet_path):
        with pytest.raises(ValueError, match="multi_task_lasso_path"):
            function(X, Y)


def test_cross_validation_of_joint_problems_is_that_of_scikit_learn():
    X, Y = problem(4)
    ours = ssl.MultiTaskLassoCV(alphas=10, cv=3, tol=1e-9).fit(X, Y)
    theirs = skl.MultiTaskLassoCV(
        alphas=ours.alphas_, cv=3, tol=1e-9, max_iter=100_000
    ).fit(X, Y)
    assert_allclose(ours.mse_path_, theirs.mse_path_, rtol=1e-4)
    assert ours.alpha_ == theirs.alpha_
    assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    assert ours.coef_path_.shape == (3, 15, 10)
    net = ssl.MultiTaskElasticNetCV(l1_ratio=[0.5, 0.9], alphas=8, cv=3, tol=1e-9)
    net.fit(X, Y)
    theirs = skl.MultiTaskElasticNetCV(
        l1_ratio=[0.5, 0.9], alphas=8, cv=3, tol=1e-9, max_iter=100_000
    ).fit(X, Y)
    assert net.l1_ratio_ == theirs.l1_ratio_
    assert_allclose(net.alpha_, theirs.alpha_, rtol=1e-6)
    bic = ssl.MultiTaskLassoCV(criterion="bic", alphas=20).fit(X, Y)
    assert_array_equal(np.flatnonzero(bic.coef_.any(axis=0))[:4], range(4))
    with pytest.raises(ValueError, match="For one-dimensional targets use LassoCV"):
        ssl.MultiTaskLassoCV().fit(X, Y[:, 0])


def test_separate_targets_are_problems_of_their_own():
    X, Y = problem(5)
    options = {"l1_ratio": [0.5, 1.0], "alphas": 8, "cv": 3, "tol": 1e-9}
    model = ssl.ElasticNetCV(**options).fit(X, Y)
    for t in range(3):
        one = ssl.ElasticNetCV(**options).fit(X, Y[:, t])
        for name in ("alpha_", "l1_ratio_", "coef_", "mse_path_", "alpha_1se_"):
            mine, theirs = getattr(model, name)[t], getattr(one, name)
            assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
    assert model.predict(X).shape == Y.shape and model.certificate_.satisfied
    assert ssl.LassoCV(cv=3, alphas=5).fit(X, Y[:, :1]).coef_.shape == (15,)


@pytest.mark.parametrize("alpha", [1e-9, 0.5])
def test_without_norms_of_rows_it_is_a_ridge_regression(alpha):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((20, 6)) + 1.0, rng.standard_normal((20, 3))
    model = ssl.MultiTaskElasticNet(alpha, l1_ratio=0.0, tol=1e-12).fit(X, Y)
    ridge = skl.Ridge(20 * alpha).fit(X, Y)
    assert_allclose(model.coef_, ridge.coef_, atol=1e-5)
    assert_allclose(model.intercept_, ridge.intercept_, atol=1e-5)
    assert model.certificate_.satisfied
