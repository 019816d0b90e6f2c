"""Best subset classification: an outside solver, exhaustive search, invariants."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import comb
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from sparsestat.linear_model import BestSubsetClassifier

METHODS = ("splicing", "omp", "iht", "htp", "cosamp", "exact")


def problem(seed, n=120, d=8, classes=2, k=2):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    W = np.zeros((d, classes))
    W[rng.choice(d, k, replace=False)] = 1.5 * rng.standard_normal((k, classes))
    y = (X @ W + rng.gumbel(size=(n, classes))).argmax(axis=1)
    return X, y


def outside(X, y, columns, l2):
    """Objective of the best fit on some columns, by scikit-learn's Newton solver."""
    Z = X[:, list(columns)]
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    model = LogisticRegression(
        C=1.0 / (l2 * len(y)), solver="newton-cg", tol=1e-12, max_iter=500
    ).fit(Z, y)
    loss = log_loss(y, model.predict_proba(Z))
    return loss + 0.5 * l2 * float((model.coef_**2).sum())


@pytest.mark.parametrize("classes", [2, 3])
def test_exact_search_is_exact_and_refits_are_optimal(classes):
    for seed in range(3):
        X, y = problem(seed, d=6, classes=classes)
        best = min(outside(X, y, pair, 0.01) for pair in combinations(range(6), 2))
        exact = BestSubsetClassifier(2, l2=0.01, method="exact").fit(X, y)
        assert_allclose(exact.objective_, best, rtol=1e-8)
        assert_allclose(
            exact.objective_, outside(X, y, exact.support_, 0.01), rtol=1e-8
        )
        local = BestSubsetClassifier(2, l2=0.01).fit(X, y)
        assert_allclose(local.objective_, best, rtol=1e-8)


def test_splicing_agrees_with_the_exact_search_in_most_draws():
    hits = 0
    for seed in range(20):
        X, y = problem(seed, n=80, d=10, k=3)
        exact = BestSubsetClassifier(3, method="exact").fit(X, y).objective_
        local = BestSubsetClassifier(3).fit(X, y).objective_
        assert local >= exact * (1 - 1e-9)
        hits += local <= exact * (1 + 1e-9)
    assert hits >= 19


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("classes", [2, 4])
def test_every_method_finds_clear_signals(method, classes):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((400, 12))
    W = np.zeros((12, classes))
    W[3], W[7] = np.linspace(-3, 3, classes), np.linspace(3, -3, classes) ** 2 / 3
    if classes == 2:
        W[7] = [0.0, 2.0]
    y = (X @ W + rng.gumbel(size=(400, classes))).argmax(axis=1)
    model = BestSubsetClassifier(2, method=method).fit(X, y)
    assert_array_equal(model.support_, [3, 7])
    assert model.coef_.shape == (1 if classes == 2 else classes, 12)
    if classes > 2:
        assert_allclose(model.coef_.sum(axis=0), 0.0, atol=1e-8)
        assert_allclose(model.intercept_.sum(), 0.0, atol=1e-8)


def test_gradient_vanishes_on_the_support():
    X, y = problem(6, classes=3)
    model = BestSubsetClassifier(2, l2=0.05).fit(X, y)
    residual = model.predict_proba(X) - np.eye(3)[y]
    columns = model.support_
    variance = X[:, columns].var(axis=0)
    ridge = 0.05 * variance[:, None] * model.coef_[:, columns].T
    assert_allclose(X[:, columns].T @ residual / 120 + ridge, 0.0, atol=1e-7)
    assert_allclose(residual.mean(axis=0), 0.0, atol=1e-8)


def test_separable_classes_have_finite_coefficients():
    X, y = load_iris(return_X_y=True)
    model = BestSubsetClassifier(2).fit(X, y == 0)
    assert np.isfinite(model.coef_).all()
    assert model.score(X, y == 0) == 1.0
    unpenalized = BestSubsetClassifier(2, l2=0.0).fit(X, y == 0)
    assert np.isfinite(unpenalized.coef_).all()


def test_weights_are_repetitions_and_class_weights_are_weights():
    rng = np.random.default_rng(7)
    X, y = problem(7)
    weights = rng.integers(0, 3, 120)
    repeated = np.repeat(np.arange(120), weights)
    a = BestSubsetClassifier().fit(X, y, sample_weight=weights)
    b = BestSubsetClassifier().fit(X[repeated], y[repeated])
    assert a.n_nonzero_coefs_ == b.n_nonzero_coefs_
    assert_allclose(a.coef_, b.coef_, rtol=1e-7, atol=1e-10)
    c = BestSubsetClassifier(2, class_weight={0: 1.0, 1: 3.0}).fit(X, y)
    d = BestSubsetClassifier(2).fit(X, y, sample_weight=np.where(y == 1, 3.0, 1.0))
    assert_allclose(c.coef_, d.coef_, rtol=1e-10)


@pytest.mark.parametrize("classes", [2, 3])
def test_sparse_and_dense_agree_and_scale_does_not_matter(classes):
    rng = np.random.default_rng(8)
    X, y = problem(8, classes=classes)
    X = X * (rng.random(X.shape) < 0.5) + 0.0
    dense = BestSubsetClassifier(3).fit(X, y)
    for container in (sparse.csc_array, sparse.csr_matrix):
        thin = BestSubsetClassifier(3).fit(container(X), y)
        assert_allclose(thin.coef_, dense.coef_, rtol=1e-7, atol=1e-10)
    scales = np.geomspace(1e-4, 1e4, 8)
    scaled = BestSubsetClassifier(3).fit(X * scales, y)
    assert_allclose(scaled.coef_ * scales, dense.coef_, rtol=1e-6, atol=1e-9)


def test_groups_forced_features_and_cross_validation():
    X, y = problem(9, k=2)
    model = BestSubsetClassifier(2, groups=2, always_select=[3]).fit(X, y)
    assert {6, 7} <= set(model.support_.tolist()) and len(model.support_) == 4
    chosen = BestSubsetClassifier(
        criterion="cv", max_nonzero_coefs=4, cv=3, n_jobs=2
    ).fit(X, y)
    again = BestSubsetClassifier(criterion="cv", max_nonzero_coefs=4, cv=3).fit(X, y)
    assert_array_equal(chosen.loss_path_, again.loss_path_)
    assert chosen.n_nonzero_coefs_ == np.argmin(chosen.loss_path_.mean(axis=1))
    assert (np.diff(chosen.path_.losses) <= 1e-12).all()


def test_no_feature_gives_the_class_shares():
    X, y = problem(10, classes=3)
    model = BestSubsetClassifier(0).fit(X, y)
    shares = np.bincount(y) / len(y)
    assert_allclose(model.predict_proba(X[:2]), [shares, shares], rtol=1e-10)
    assert model.certificate_.kind == "none"


def test_duplicate_columns_do_no_harm():
    X, y = problem(11)
    X = np.column_stack([X, X])
    for l2 in (0.0, 1e-4):
        model = BestSubsetClassifier(4, l2=l2).fit(X, y)
        assert np.isfinite(model.coef_).all()


def test_bad_input_is_refused():
    X, y = problem(12)
    with pytest.raises(ValueError, match="`n_nonzero_coefs`=9 is more"):
        BestSubsetClassifier(9).fit(X, y)
    with pytest.raises(ValueError, match="1 class"):
        BestSubsetClassifier(1).fit(X, np.zeros(120))
    wide = np.random.default_rng(0).standard_normal((120, 21))
    with pytest.raises(ValueError, match="at most 20 features"):
        BestSubsetClassifier(1, method="exact").fit(wide, y)


@pytest.mark.parametrize("criterion", ["gic", "bic", "aic", "ebic"])
def test_criteria_are_the_documented_ones(criterion):
    X, y = problem(2)
    n, p = X.shape
    model = BestSubsetClassifier(
        criterion=criterion, max_nonzero_coefs=4, splice_size=2
    ).fit(X, y)
    sizes = np.asarray(model.path_.sizes)
    price = {
        "gic": np.log(p) * np.log(np.log(n)),
        "bic": np.log(n),
        "aic": 2.0,
        "ebic": np.log(n),
    }[criterion]
    expected = 2 * n * np.asarray(model.path_.losses) + price * sizes
    if criterion == "ebic":
        expected = expected + 2 * np.log(comb(p, sizes))
    assert_allclose(model.criterion_path_, expected, rtol=1e-8)
    assert model.n_nonzero_coefs_ == sizes[expected.argmin()]
    plain = BestSubsetClassifier(2, fit_intercept=False).fit(X, y)
    assert not plain.intercept_.any() and plain.coef_.any()
