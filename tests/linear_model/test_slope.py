"""SLOPE: prox, cvxpy, gaps from outside, pools, invariants, bad input."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.stats import norm
from sklearn.isotonic import isotonic_regression

import sparsestat.linear_model as ssl
from sparsestat.linear_model._penalized import _kernels_slope as kernels
from sparsestat.linear_model._penalized._slope import SlopePenalty
from tests.linear_model.penalty_oracles import slope_gap, slope_objective


def problem(seed=0, n=60, p=40, density=None):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + 0.7 * rng.standard_normal((n, 1))
    if density is not None:
        X = X * (rng.random(X.shape) < density)
    w = np.zeros(p)
    w[:8] = [3, -2, 2, 2, 1, -1, 0.5, 4]
    return X, X @ w + rng.standard_normal(n) + 2.0


def top(X, y, **options):
    return ssl.Slope(**options)._problem(X, y, None).alpha_max()


def cvxpy_penalty(w, lambdas):
    import cvxpy as cp

    drops = lambdas - np.append(lambdas[1:], 0.0)
    # The sum of all of them is asked for by its name: CVXPY 1.6 fails for that size.
    parts = [
        d * (cp.norm1(w) if k == w.size else cp.sum_largest(cp.abs(w), k))
        for k, d in enumerate(drops, start=1)
        if d > 0
    ]
    return sum(parts)


def test_prox_against_a_general_minimizer():
    import cvxpy as cp

    rng = np.random.default_rng(1)
    for _ in range(5):
        z = rng.standard_normal(7) * 2
        z[3] = z[2]  # a tie
        lambdas = np.sort(rng.random(7))[::-1]
        found = SlopePenalty(lambdas, 0.5, 2.0).prox(z, 1.7)
        w = cp.Variable(7)
        objective = 0.85 * cp.sum_squares(w) - z @ w + cvxpy_penalty(w, lambdas)
        cp.Problem(cp.Minimize(objective)).solve("CLARABEL")
        assert_allclose(found, w.value, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_the_prox_is_isotonic_and_the_support_where_sums_are_largest(seed):
    rng = np.random.default_rng(seed)
    for m in (1, 2, 5, 12):
        # Integers, so that ties are exact.
        sizes = np.sort(rng.integers(0, 9, m))[::-1].astype(float)
        lam = np.sort(rng.integers(0, 9, m))[::-1].astype(float)
        out = np.full(m, np.nan)
        kernels.sorted_prox(sizes, lam, out)
        expected = isotonic_regression(sizes - lam, increasing=False)
        assert_allclose(out, np.maximum(expected, 0.0), atol=1e-14)
        sums = np.append(0.0, np.cumsum(sizes - lam))
        last = np.flatnonzero(sums == sums.max())[-1]
        assert kernels.predicted_support(sizes, lam) == last


@pytest.mark.parametrize("lambdas", ["bh", "oscar", "drop"])
@pytest.mark.parametrize("divisor", [2, 30])
def test_objective_agrees_with_cvxpy(lambdas, divisor):
    import cvxpy as cp

    X, y = problem(p=25)
    s = np.random.default_rng(3).random(60) + 0.2
    if lambdas == "drop":
        lambdas = np.r_[np.ones(5), np.zeros(20)]
    alpha = top(X, y, lambdas=lambdas) / divisor
    model = ssl.Slope(alpha, lambdas=lambdas, tol=1e-13).fit(X, y, sample_weight=s)
    w, b = cp.Variable(25), cp.Variable()
    loss = cp.sum(cp.multiply(s, cp.square(y - X @ w - b))) / (2 * s.sum())
    options = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}
    total = loss + alpha * cvxpy_penalty(w, model.lambdas_)
    best = cp.Problem(cp.Minimize(total)).solve("CLARABEL", **options)
    assert_allclose(model.objective_, best, rtol=1e-8)
    assert_allclose(model.coef_, w.value, atol=1e-4)


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array, sparse.csr_matrix])
@pytest.mark.parametrize("divisor", [3, 30])
def test_gap_is_true_seen_from_outside(container, divisor):
    density = None if container is np.asarray else 0.04
    X, y = problem(2, n=200, p=100, density=density)
    s = np.random.default_rng(2).random(200)
    alpha = top(X, y) / divisor
    model = ssl.Slope(alpha, tol=1e-10).fit(container(X), y, sample_weight=s)
    arguments = (X, y, model.coef_, alpha, model.lambdas_)
    outside = slope_gap(*arguments, sample_weight=s)
    assert model.certificate_.kind == "duality_gap" and model.certificate_.satisfied
    assert outside <= 1e-10 * (1 + 1e-3)
    assert_allclose(model.certificate_.value, outside, atol=1e-13)
    assert_allclose(
        model.objective_, slope_objective(*arguments, sample_weight=s), rtol=1e-12
    )


def test_wide_data_need_only_part_of_the_features():
    X, y = problem(3, n=50, p=600)
    model = ssl.Slope(0.3 * top(X, y), tol=1e-12).fit(X, y)
    assert slope_gap(X, y, model.coef_, model.alpha, model.lambdas_) <= 1e-12


def test_named_strengths():
    X, y = problem()
    bh = ssl.Slope(0.1, q=0.2).fit(X, y).lambdas_
    assert_allclose(bh, norm.ppf(1 - 0.2 * np.arange(1, 41) / 80))
    oscar = ssl.Slope(0.1, lambdas="oscar").fit(X, y).lambdas_
    assert_allclose(oscar, np.arange(40, 0, -1) / 40)


def test_equal_strengths_are_the_lasso():
    X, y = problem(4)
    alpha = 0.1 * np.abs((X - X.mean(0)).T @ (y - y.mean())).max() / 60
    lasso = ssl.Lasso(alpha, tol=1e-15).fit(X, y).coef_
    slope = ssl.Slope(alpha, lambdas="lasso", tol=1e-15).fit(X, y).coef_
    assert_allclose(slope, lasso, atol=1e-6)


def test_correlated_features_share_one_size_to_the_last_bit():
    rng = np.random.default_rng(5)
    base = rng.standard_normal((80, 1))
    X = np.hstack([base + 0.05 * rng.standard_normal((80, 4)),
                   rng.standard_normal((80, 6))])  # fmt: skip
    y = X[:, :4].sum(axis=1) + 0.1 * rng.standard_normal(80)
    model = ssl.Slope(0.2, lambdas="oscar", tol=1e-14).fit(X, y)
    sizes = np.abs(model.coef_[:4])
    assert sizes[0] > 0 and np.all(sizes == sizes[0])
    assert model.n_clusters_ == len(np.unique(np.abs(model.coef_[model.coef_ != 0])))


def test_false_discoveries_are_controlled_in_an_orthogonal_design():
    rng = np.random.default_rng(6)
    n, q = 128, 0.2
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0] * np.sqrt(n)
    w = np.zeros(n)
    w[:10] = 5.0 / np.sqrt(n)
    rates = []
    for _ in range(40):
        y = Q @ w + rng.standard_normal(n)
        model = ssl.Slope(1 / np.sqrt(n), q=q, fit_intercept=False, tol=1e-8)
        found = np.flatnonzero(model.fit(Q, y).coef_)
        rates.append(np.sum(found >= 10) / max(len(found), 1))
    assert np.mean(rates) <= q + 3 * np.std(rates) / np.sqrt(40)


def test_alpha_max_and_just_below(global_random_seed):
    X, y = problem(global_random_seed)
    largest = top(X, y)
    assert not ssl.Slope(largest * (1 + 1e-12), tol=1e-13).fit(X, y).coef_.any()
    assert ssl.Slope(0.999 * largest, tol=1e-13).fit(X, y).coef_.any()


def test_storages_agree():
    for density in (0.04, 0.4):
        X, y = problem(7, n=200, density=density)
        alpha = 0.1 * top(X, y)
        dense = ssl.Slope(alpha, tol=1e-14).fit(X, y).coef_
        thin = ssl.Slope(alpha, tol=1e-14).fit(sparse.csc_array(X), y).coef_
        assert_allclose(thin, dense, atol=1e-7)


def test_weights_equal_repetition_and_equivariance():
    X, y = problem(8)
    s = np.random.default_rng(9).integers(0, 4, 60)
    rows = np.repeat(np.arange(60), s)
    model = ssl.Slope(0.1, tol=1e-15)
    a = model.fit(X, y, sample_weight=s).coef_
    b = model.fit(X[rows], y[rows]).coef_
    assert_allclose(a, b, atol=1e-8)
    base = model.fit(X, y).coef_
    order = np.random.default_rng(0).permutation(40)
    assert_allclose(model.fit(X[:, order], y).coef_, base[order], atol=1e-7)
    scaled = ssl.Slope(1e5, tol=1e-15).fit(X, 1e6 * y).coef_
    assert_allclose(scaled, 1e6 * base, atol=0.1)


def test_path_and_cross_validation():
    X, y = problem(10)
    path = ssl.Slope.path(X, y, alphas=15, eps=0.01, fit_intercept=True, tol=1e-9)
    assert not path.coefs[:, 0].any()
    assert np.all(path.gaps <= 1e-9 * y.var())
    cold = ssl.Slope(path.alphas[9], tol=1e-12).fit(X, y)
    assert_allclose(path.coefs[:, 9], cold.coef_, atol=1e-3)
    options = {"alphas": 10, "cv": 3, "lambdas": "oscar"}
    one = ssl.SlopeCV(**options).fit(X, y)
    two = ssl.SlopeCV(n_jobs=2, **options).fit(X, y)
    assert_array_equal(one.mse_path_, two.mse_path_)
    assert_array_equal(one.coef_, two.coef_)
    assert one.alpha_ == one.alphas_[one.mse_path_.mean(axis=1).argmin()]


def test_warm_start_and_degenerate_data():
    X, y = problem(11)
    model = ssl.Slope(0.1, warm_start=True, tol=1e-10).fit(X, y)
    assert model.fit(X, y).n_iter_ == 1
    X[:, 3] = 0.0
    X[:, 4] = X[:, 5]
    assert ssl.Slope(0.05, tol=1e-9).fit(X, y).certificate_.satisfied
    assert not ssl.Slope(0.1).fit(X, np.ones(60)).coef_.any()
    single = ssl.Slope(0.1).fit(X.astype(np.float32), y)
    assert single.coef_.dtype == np.float32 and single.certificate_.satisfied
    with pytest.warns(UserWarning, match="least squares"):
        ssl.Slope(0.0).fit(X, y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lambdas": np.arange(40.0)}, "must not increase"),
        ({"lambdas": np.ones(3)}, "one strength for each rank"),
        ({"lambdas": np.zeros(40)}, "first one positive"),
        ({"lambdas": np.r_[np.ones(39), -1]}, "not negative"),
        ({"lambdas": np.r_[np.inf, np.ones(39)]}, "finite"),
        ({"lambdas": "other"}, "lambdas"),
        ({"q": 1.0}, "q"),
        ({"alpha": -1.0}, "alpha"),
    ],
)
def test_bad_parameters_are_refused(arguments, message):
    X, y = problem()
    with pytest.raises(ValueError, match=message):
        ssl.Slope(**arguments).fit(X, y)


@pytest.mark.parametrize("storage", [np.asarray, sparse.csc_array])
def test_columns_that_sum_to_zero_are_solved(storage):
    # The power method for the curvature starts at ones: it found none at all.
    X = np.array([[1.0, -2.0, 1.0, 0.0], [-1.0, 2.0, -1.0, 0.0]])
    y = np.array([3.0, -3.0])
    for lambdas in ([1.0, 0.5, 0.25, 0.25], "lasso"):
        model = ssl.Slope(0.5, lambdas=lambdas, tol=1e-9).fit(storage(X), y)
        assert model.certificate_.satisfied
        # One direction: the longest column leads, and others may follow.
        w = model.coef_
        strength = 0.5 * np.sort([1.0] * 4 if lambdas == "lasso" else lambdas)[::-1]
        best = min(
            ((y - X @ v) ** 2).sum() / 4 + strength @ np.sort(np.abs(v))[::-1]
            for a in np.linspace(0.0, 2.0, 201)
            for t in (0.0, 0.25, 0.5, 1.0)
            for v in [np.array([t * a, -a, t * a, 0.0])]
        )
        value = ((y - X @ w) ** 2).sum() / 4 + strength @ np.sort(np.abs(w))[::-1]
        assert value <= best + 1e-9
        assert_allclose(model.objective_, value, rtol=1e-12)
