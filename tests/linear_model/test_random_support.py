"""Regression on random supports: the lemma, exact recovery, refits, invariances."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import tracemalloc
from itertools import combinations
from math import comb

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import lars_path

from sparsestat.datasets import make_hard_regression
from sparsestat.linear_model import RandomSupportRegressor, lasso_path
from sparsestat.linear_model._penalized._design import make_design
from sparsestat.linear_model._subsets._random_support_search import (
    ProjectedDesign,
    backward_elimination,
    orthonormal_basis,
)


def mse(model, data):
    return float(((model.predict(data.X) - data.signal) ** 2).mean())


def small(seed=0, n=60, d=12, k=3, noise=0.5):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    w = np.zeros(d)
    w[rng.choice(d, k, replace=False)] = rng.choice([-1.0, 1.0], k)
    return X, X @ w + noise * rng.standard_normal(n) + 1.0


def distance(x, columns):
    """Distance of a vector from a span, by an orthogonal factor."""
    Q = np.linalg.qr(columns)[0]
    left = x - Q @ (Q.T @ x)
    return float(np.linalg.norm(left - Q @ (Q.T @ left)))


# What is proved


@pytest.mark.parametrize("design", ["factor", "geometric", "iid", "clusters"])
def test_new_coefficients_are_bounded_by_the_signal(design):
    # For every signal on S: |v_i| <= ||X w|| / sqrt(n) as soon as what T leaves of a
    # column of S is no longer than what the rest of S leaves of it.
    k, holds = 5, 0
    rng = np.random.default_rng(0)
    for draw in range(200):
        if draw % 20 == 0:
            X = make_hard_regression(
                100, 200, design=design, condition=1e6, random_state=draw
            ).X
            base = make_design(X, None, fit_intercept=False)
        T = rng.choice(200, k * k, replace=False)
        S = rng.choice(200, k, replace=False)
        Q = np.linalg.qr(X[:, T])[0]
        worst = 0.0
        for i in S:
            left = X[:, i] - Q @ (Q.T @ X[:, i])
            rho = np.linalg.norm(left - Q @ (Q.T @ left))
            worst = max(worst, rho / distance(X[:, i], X[:, S[S != i]]))
        holds += worst <= 1.0
    del base
    assert holds >= 150


def test_the_coefficients_of_the_projected_design_are_those_of_the_lemma():
    data = make_hard_regression(100, 60, design="factor", random_state=3)
    design = make_design(data.X, None, fit_intercept=False)
    T = np.arange(10)
    Q, _, kept = orthonormal_basis(design, T)
    projected = ProjectedDesign(design, Q)
    assert len(kept) == 10
    v = data.coef * projected.rho / np.sqrt(100)
    v[T] = 0.0
    image = projected.product(np.arange(60), v)
    assert_allclose(image, projected.project(data.signal), atol=1e-9)


def test_projected_columns_are_orthogonal_to_the_basis_and_of_one_length():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((50, 2)) @ rng.standard_normal((2, 30))
    X += 1e-7 * rng.standard_normal((50, 30))  # one projection would not be enough
    X[:, 5] = X[:, 0] - 2.0 * X[:, 1]  # dependent on the basis
    design = make_design(X, None, fit_intercept=True)
    Q, R, kept = orthonormal_basis(design, np.array([0, 1, 2]))
    block = np.empty((50, 3), order="F")
    design.gather(kept, block, 0)
    assert_allclose(Q @ R, block / np.linalg.norm(block, axis=0), atol=1e-12)
    projected = ProjectedDesign(design, Q)
    Z = np.empty((50, 30), order="F")
    projected.gather(np.arange(30), Z, 0)
    usable = projected.squares > 0
    assert not usable[[0, 1, 2, 5]].any() and usable.sum() == 26
    assert_allclose(np.linalg.norm(Z[:, usable], axis=0), np.sqrt(50), rtol=1e-6)
    assert np.abs(Q.T @ Z).max() < 1e-7
    r = rng.standard_normal(50)
    assert_allclose(projected.correlations(r), Z.T @ r, atol=1e-6)
    out = np.full(30, 7.0)
    projected.correlations(r, np.array([8, 9]), out)
    assert_allclose(out[[8, 9]], Z[:, [8, 9]].T @ r, atol=1e-6)
    assert (np.delete(out, [8, 9]) == 7.0).all()


# Recovery


def test_noiseless_factor_designs_are_solved_exactly():
    for seed in range(3):
        data = make_hard_regression(design="factor", noise=0.0, random_state=seed)
        model = RandomSupportRegressor(fit_intercept=False, random_state=0)
        model.fit(data.X, data.y)
        assert_array_equal(model.support_, data.support)
        assert mse(model, data) < 1e-10


def test_two_scales_defeat_the_lasso_but_not_random_sets():
    ratios = []
    for seed in range(3):
        data = make_hard_regression(random_state=seed)
        model = RandomSupportRegressor(fit_intercept=False, random_state=0)
        error = mse(model.fit(data.X, data.y), data)
        # The exact path: every breakpoint, the best of them chosen by an oracle.
        coefs = lars_path(data.X, data.y, method="lasso", max_iter=400)[2]
        fits = data.X @ coefs
        lasso = ((fits - data.signal[:, None]) ** 2).mean(axis=0).min()
        ratios.append(error / lasso)
    assert np.median(ratios) < 0.1


# Refits


def price(criterion, size, p):
    """What the number of models of a size costs."""
    return 2 * np.log(comb(p, size)) if criterion == "ebic" else 2 * size * np.log(p)


@pytest.mark.parametrize("criterion", ["mbic", "ebic"])
def test_elimination_matches_refits_and_its_criterion(criterion):
    X, y = small(2)
    X[:, 3] = X[:, 2] + 1e-6 * X[:, 3]
    model = RandomSupportRegressor(criterion=criterion)
    problem = model._problem(X, y, None)
    found, values = backward_elimination(problem, np.arange(12))
    for step in range(13):
        columns = found[step]
        assert len(columns) == 12 - step
        A = np.column_stack([np.ones(60), X[:, columns]])
        r = y - A @ np.linalg.lstsq(A, y, rcond=None)[0]
        size = len(columns)
        expected = 60 * np.log(r @ r / 60) + size * np.log(60)
        expected += price(criterion, size, 12)
        assert_allclose(values[step], expected, rtol=1e-9)


def test_without_random_sets_it_is_the_lasso_path_with_the_same_refit():
    X, y = small(3, n=90, d=40)
    model = RandomSupportRegressor(m_grid=[0], splicing=False, alphas=15).fit(X, y)
    problem = model._problem(X, y, None)
    target = y - y.mean()
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    top = np.abs(Z.T @ target).max() / 90
    path = lasso_path(Z, target, alphas=top * np.geomspace(1, 1e-5, 15), tol=1e-10)
    best = np.inf, None
    for w in path.coefs.T:
        support = np.flatnonzero(w)
        if len(support) > 30:
            break
        found, values = backward_elimination(problem, support)
        at = int(np.argmin(values))
        if values[at] < best[0]:
            best = values[at], found[at]
    assert_array_equal(model.support_, best[1])
    assert_allclose(model.criterion_, best[0], rtol=1e-10)
    assert model.m_ == 0 and len(model.basis_) == 0


@pytest.mark.parametrize("criterion", ["mbic", "ebic"])
def test_criterion_is_that_of_the_best_subset_of_few_features(criterion):
    for seed in range(10):
        X, y = small(seed, n=40)
        model = RandomSupportRegressor(criterion=criterion, random_state=0).fit(X, y)
        Xc, yc = X - X.mean(axis=0), y - y.mean()
        best = np.inf
        for size in range(6):
            for c in combinations(range(12), size):
                A = Xc[:, list(c)]
                r = yc - A @ np.linalg.lstsq(A, yc, rcond=None)[0]
                value = 40 * np.log(r @ r / 40) + size * np.log(40)
                value += price(criterion, size, 12)
                best = min(best, float(value))
        assert_allclose(model.criterion_, best, rtol=1e-9)


def test_coefficients_are_least_squares_on_the_support():
    X, y = small(4)
    model = RandomSupportRegressor(random_state=1).fit(X, y)
    residual = y - model.predict(X)
    assert_allclose(X[:, model.support_].T @ residual, 0.0, atol=1e-10)
    left = 60 - len(model.support_) - 1
    assert_allclose(model.noise_variance_, residual @ residual / left, rtol=1e-10)
    assert model.certificate_.kind == "none"
    assert min(r["criterion"] for r in model.path_) >= model.criterion_ - 1e-9


def test_without_a_refit_all_of_the_random_set_has_coefficients():
    X, y = small(5, n=100, d=30)
    model = RandomSupportRegressor(m_grid=[6], refit=False, random_state=0).fit(X, y)
    assert set(model.basis_.tolist()) <= set(model.support_.tolist())
    # Unpenalized columns are orthogonal to the residual, penalized ones need not be.
    residual = y - model.predict(X)
    assert_allclose(X[:, model.basis_].T @ residual, 0.0, atol=1e-9)
    rest = y - y.mean() - (X - X.mean(axis=0)) @ model.coef_
    size = len(model.support_)
    value = 100 * np.log(rest @ rest / 100) + size * np.log(100 * 30**2)
    assert_allclose(model.criterion_, value, rtol=1e-10)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("refit", ["backward", False])
@pytest.mark.parametrize("unit", [1.0, 2.0**300])
def test_the_noise_is_what_is_left_over_the_rows_left(fit_intercept, refit, unit):
    X, y = small(7)
    weights = np.random.default_rng(0).integers(0, 4, 60).astype(float)
    model = RandomSupportRegressor(
        m_grid=[0, 3], refit=refit, fit_intercept=fit_intercept, random_state=0
    ).fit(X, y * unit, sample_weight=weights)
    left = (y * unit - model.predict(X)) / unit
    df = weights.sum() - len(model.support_) - fit_intercept
    expected = weights @ left**2 / df
    assert_allclose(model.noise_variance_ / unit**2, expected, rtol=1e-9)
    assert model.certificate_.kind == "none" and model.certificate_.satisfied
    assert model.certificate_.value == model.certificate_.tol == 0.0  # nothing proved
    assert model.certificate_.details == {
        "criterion": model.criterion_,
        "size": len(model.support_),
    }
    assert bool(model.intercept_) == fit_intercept
    assert model.m_ == len(model.basis_)


# Invariances


@pytest.mark.parametrize("refit", ["backward", False])
def test_predictions_do_not_depend_on_the_scale_of_columns(refit):
    data = make_hard_regression(100, 80, random_state=6)
    scales = np.geomspace(1e-5, 1e5, 80)
    a = RandomSupportRegressor(refit=refit, random_state=0).fit(data.X, data.y)
    b = RandomSupportRegressor(refit=refit, random_state=0).fit(data.X * scales, data.y)
    assert_array_equal(a.basis_, b.basis_)
    assert_allclose(a.predict(data.X), b.predict(data.X * scales), rtol=1e-3, atol=1e-4)
    if refit:
        assert_array_equal(a.support_, b.support_)
        assert_allclose(a.coef_, b.coef_ * scales, rtol=1e-6)


@pytest.mark.parametrize("criterion", ["mbic", "ebic", "cv"])
def test_results_do_not_depend_on_the_number_of_workers(criterion):
    X, y = small(7, n=80, d=40)
    options = {"criterion": criterion, "cv": 3, "alphas": 8, "random_state": 3}
    one = RandomSupportRegressor(n_jobs=1, **options).fit(X, y)
    two = RandomSupportRegressor(n_jobs=2, **options).fit(X, y)
    assert_array_equal(one.coef_, two.coef_)
    assert_array_equal(one.basis_, two.basis_)
    assert one.path_ == two.path_
    if criterion == "cv":
        assert one.mse_path_.shape == (4, 3)
        assert_array_equal(one.mse_path_, two.mse_path_)


def test_weights_are_repetitions():
    rng = np.random.default_rng(8)
    X, y = small(8)
    weights = rng.integers(0, 4, 60)
    rows = np.repeat(np.arange(60), weights)
    a = RandomSupportRegressor(random_state=0).fit(X, y, sample_weight=weights)
    b = RandomSupportRegressor(random_state=0).fit(X[rows], y[rows])
    assert_array_equal(a.basis_, b.basis_)
    assert_allclose(a.coef_, b.coef_, rtol=1e-8)
    assert_allclose(a.criterion_, b.criterion_, rtol=1e-9)


@pytest.mark.parametrize("container", [sparse.csc_array, sparse.csr_matrix])
def test_sparse_and_dense_agree(container):
    rng = np.random.default_rng(9)
    X = rng.standard_normal((90, 70)) * (rng.random((90, 70)) < 0.15) + 0.0
    y = X[:, :4].sum(axis=1) + 0.2 * rng.standard_normal(90)
    weights = rng.random(90) + 0.5
    a = RandomSupportRegressor(random_state=0).fit(X, y, sample_weight=weights)
    b = RandomSupportRegressor(random_state=0).fit(container(X), y, weights)
    assert_array_equal(a.support_, b.support_)
    assert_allclose(a.coef_, b.coef_, rtol=1e-8)


def test_the_projected_design_is_not_stored():
    n, d = 200, 20_000
    X = np.asfortranarray(np.random.default_rng(10).standard_normal((n, d)))
    y = X[:, :3].sum(axis=1)
    model = RandomSupportRegressor(m_grid=[15], n_draws=1, alphas=5, random_state=0)
    model.fit(X[:, :50], y)  # compiled before memory is measured
    tracemalloc.start()
    model.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.8 * X.nbytes
    assert_array_equal(model.support_, [0, 1, 2])


# Bad input


def test_too_few_samples_are_refused():
    X, y = small(11)
    with pytest.raises(ValueError, match="at least 8 samples, got n_samples = 7"):
        RandomSupportRegressor().fit(X[:7], y[:7])
    with pytest.raises(ValueError, match="weights that sum to 6"):
        RandomSupportRegressor().fit(X, y, sample_weight=np.full(60, 0.1))
    RandomSupportRegressor().fit(X[:8], y[:8])


def test_sizes_of_random_sets_are_checked():
    X, y = small(12)
    with pytest.raises(ValueError, match="between 0 and 12 columns"):
        RandomSupportRegressor(m_grid=[0, 13]).fit(X, y)
    with pytest.raises(ValueError, match="'auto' or a list of integers"):
        RandomSupportRegressor(m_grid=[0.5]).fit(X, y)
    with pytest.raises(ValueError, match="from -1 to 3"):
        RandomSupportRegressor(m_grid=[-1, 3]).fit(X, y)


def test_a_column_of_targets_is_ravelled_and_several_are_refused():
    X, y = small(13)
    with pytest.warns(DataConversionWarning):
        column = RandomSupportRegressor(random_state=0).fit(X, y[:, None])
    flat = RandomSupportRegressor(random_state=0).fit(X, y)
    assert_array_equal(column.coef_, flat.coef_)
    with pytest.raises(ValueError, match="should be a 1d array"):
        RandomSupportRegressor().fit(X, np.column_stack([y, y]))


def test_degenerate_columns_and_targets_do_no_harm():
    X, y = small(14)
    X = np.column_stack([X, X, np.ones(60)])
    model = RandomSupportRegressor(random_state=0).fit(X, y)
    assert np.isfinite(model.coef_).all() and model.coef_[-1] == 0.0
    constant = RandomSupportRegressor(random_state=0).fit(X, np.full(60, 4.0))
    assert len(constant.support_) == 0
    assert_allclose(constant.predict(X), 4.0)


def test_an_empty_model_is_the_mean():
    rng = np.random.default_rng(15)
    X, y = rng.standard_normal((50, 30)), 1e-8 * rng.standard_normal(50) + 5.0
    model = RandomSupportRegressor(random_state=0).fit(X, y)
    assert_allclose(model.predict(X), y, atol=1e-7)


@pytest.mark.parametrize("guess", [None, 2])
def test_sizes_of_random_sets_follow_the_guess(guess):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 40))
    y = X[:, 0] - X[:, 1] + 0.1 * rng.standard_normal(150)
    model = RandomSupportRegressor(
        n_nonzero=guess, alphas=4, n_draws=1, random_state=0
    ).fit(X, y)
    k0 = 5 if guess is None else guess
    assert {point["m"] for point in model.path_} == {0, k0, 3 * k0, 6 * k0}
    assert len(model.basis_) == model.m_
