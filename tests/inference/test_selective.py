"""Selective inference: the truncated normal, the polyhedron, coverage, refusals."""

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit
from scipy.stats import kstest, norm, truncnorm

from sparsestat.inference import LassoSelectiveInference, ScaledLasso
from sparsestat.inference._truncated_normal import (
    interval,
    log_difference,
    log_odds,
    two_sided_pvalue,
)
from sparsestat.linear_model import Lasso


def problem(seed, n=60, p=40, s=3, size=0.8):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, p))
    mean = X[:, :s] @ np.full(s, size)
    return X, mean + rng.standard_normal(n), mean


# The truncated normal


def _exact(a, b):
    with mpmath.workdps(60):
        return float(mpmath.log(mpmath.ncdf(b) - mpmath.ncdf(a)))


def test_differences_of_the_distribution_have_all_digits(global_random_seed):
    rng = np.random.RandomState(global_random_seed)
    for _ in range(150):
        a = rng.normal() * 10 ** rng.uniform(-2, 1.4)
        width = 10 ** rng.uniform(-9, 1.5)
        # The exact sum of the two numbers: differences are what is given.
        with mpmath.workdps(60):
            exact = float(
                mpmath.log(mpmath.ncdf(mpmath.mpf(a) + width) - mpmath.ncdf(a))
            )
        # log itself magnifies: an absolute error of the logarithm is a relative one.
        assert log_difference(a, width) == pytest.approx(exact, rel=1e-11, abs=1e-11)
    assert log_difference(1.0, 0.0) == -np.inf


def test_moderate_cases_are_those_of_scipy(global_random_seed):
    rng = np.random.RandomState(global_random_seed)
    for _ in range(50):
        z, below, above = rng.normal(), *rng.uniform(0.1, 3, size=2)
        law = truncnorm(z - below, z + above)
        cdf = expit(log_odds(z, below, above))
        assert cdf == pytest.approx(law.cdf(z), rel=1e-8)
        p = two_sided_pvalue(z, below, above)
        assert p == pytest.approx(2 * min(law.cdf(z), law.sf(z)), rel=1e-8)


def test_without_ends_it_is_the_normal():
    assert two_sided_pvalue(1.5, np.inf, np.inf) == pytest.approx(2 * norm.sf(1.5))
    low, high = interval(np.inf, np.inf, 0.95)
    assert_allclose([low, high], norm.ppf([0.025, 0.975]), rtol=1e-10)


def test_interval_ends_have_the_tails_they_claim():
    for below, above in ((0.3, 5.0), (2.0, np.inf), (0.02, 0.4)):
        low, high = interval(below, above, 0.9)
        if np.isfinite(low):
            assert expit(log_odds(low, below, above)) == pytest.approx(0.05)
        if np.isfinite(high):
            assert expit(log_odds(high, below, above)) == pytest.approx(0.95)


def test_an_estimate_at_the_end_has_no_finite_interval():
    low, high = interval(1e-7, 1.0, 0.9)
    assert low == -np.inf or low < -1e3 or high > 1e3


# The selection


def _polyhedron(X, y, alpha, weights, support, signs, j):
    """Ends of the j-th estimate from all constraints A y <= b of the selection."""
    n = len(y)
    XE = X[:, support]
    pinv = np.linalg.pinv(XE)
    projection = XE @ pinv
    shrink = n * alpha * np.linalg.solve(XE.T @ XE, weights[support] * signs)
    out = np.setdiff1d(np.arange(X.shape[1]), support)
    rest = X[:, out].T @ (np.eye(n) - projection) / (n * alpha * weights[out])[:, None]
    bound = X[:, out].T @ pinv.T @ (weights[support] * signs) / weights[out]
    A = np.vstack([-np.diag(signs) @ pinv, rest, -rest])
    b = np.concatenate([-signs * shrink, 1 - bound, 1 + bound])
    assert (A @ y <= b + 1e-9).all()
    eta = pinv[j]
    c = eta / (eta @ eta)
    t = eta @ y
    z = y - c * t
    Ac = A @ c
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (b - A @ z) / Ac
    lower = ratio[Ac < -1e-12].max(initial=-np.inf)
    upper = ratio[Ac > 1e-12].min(initial=np.inf)
    return lower, upper


@pytest.mark.parametrize("intercept", [True, False])
def test_ends_are_those_of_the_whole_polyhedron(intercept, global_random_seed):
    X, y, _ = problem(global_random_seed, n=40, p=25)
    weights = np.random.RandomState(1).uniform(0.7, 1.4, size=25)
    model = LassoSelectiveInference(
        0.15, sigma=1.0, fit_intercept=intercept, feature_weights=weights
    ).fit(X, y)
    Z = X - X.mean(axis=0) if intercept else X
    target = y - y.mean() if intercept else y
    E = model.features_
    assert len(E) >= 3
    assert_allclose(
        model.estimates_, np.linalg.lstsq(Z[:, E], target, rcond=None)[0], rtol=1e-9
    )
    signs = np.sign(model.lasso_coef_[E])
    for j in range(len(E)):
        ends = _polyhedron(Z, target, 0.15, weights, E, signs, j)
        assert_allclose(model.truncation_[j], ends, rtol=1e-7, atol=1e-9)


def test_the_lasso_is_the_lasso(global_random_seed):
    X, y, _ = problem(global_random_seed)
    for container in (np.asarray, sparse.csr_array, sparse.csc_array):
        model = LassoSelectiveInference(0.2, sigma=1.0).fit(container(X), y)
        plain = Lasso(alpha=0.2, tol=1e-12).fit(X, y)
        assert_allclose(model.lasso_coef_, plain.coef_, atol=1e-8)
        assert_array_equal(model.features_, np.flatnonzero(plain.coef_))
        assert model.certificate_.details["lasso_gap"] < 1e-12


def test_unpenalized_features_put_no_ends(global_random_seed):
    X, y, _ = problem(global_random_seed, p=6)
    weights = np.array([0.0] * 6)
    weights[5] = np.inf
    model = LassoSelectiveInference(0.2, sigma=1.0, feature_weights=weights).fit(X, y)
    assert_array_equal(model.features_, np.arange(5))
    assert np.isinf(model.truncation_).all()
    half = norm.ppf(0.975) * model.standard_errors_
    assert_allclose(model.conf_int_[:, 1] - model.estimates_, half, rtol=1e-8)


def test_pvalues_are_uniform_and_intervals_cover():
    uniform, covered = [], []
    for seed in range(120):
        X, y, mean = problem(seed)
        model = LassoSelectiveInference(0.25, sigma=1.0, confidence=0.8).fit(X, y)
        E = model.features_
        if len(E) == 0:
            continue
        XE = X[:, E] - X[:, E].mean(axis=0)
        truth = np.linalg.lstsq(XE, mean - mean.mean(), rcond=None)[0]
        j = seed % len(E)
        low, high = model.conf_int_[j]
        covered.append(low <= truth[j] <= high)
        sd, (below, above) = model.standard_errors_[j], model.truncation_[j]
        t = model.estimates_[j]
        odds = log_odds((t - truth[j]) / sd, (t - below) / sd, (above - t) / sd)
        uniform.append(expit(odds))
    assert abs(np.mean(covered) - 0.8) < 3.5 * np.sqrt(0.16 / len(covered))
    assert kstest(uniform, "uniform").pvalue > 1e-3


def test_units_are_carried_through(global_random_seed):
    X, y, _ = problem(global_random_seed, p=10)
    plain = LassoSelectiveInference(0.2, sigma=1.0).fit(X, y)
    moved = LassoSelectiveInference(0.2 * 3.0 * 1e80, sigma=1e80).fit(
        X * 3.0 + 10.0, y * 1e80 - 1e81
    )
    assert_array_equal(moved.features_, plain.features_)
    assert_allclose(moved.pvalues_, plain.pvalues_, rtol=1e-5)
    assert_allclose(moved.conf_int_, plain.conf_int_ * (1e80 / 3), rtol=1e-5)


def test_estimated_noise_is_marked_as_approximate(global_random_seed):
    X, y, _ = problem(global_random_seed)
    model = LassoSelectiveInference(0.2).fit(X, y)
    assert model.sigma_ == pytest.approx(ScaledLasso().fit(X, y).sigma_df_)
    assert "approximate" in model.certificate_.details
    known = LassoSelectiveInference(0.2, sigma=1.0).fit(X, y)
    assert "approximate" not in known.certificate_.details


def test_a_feature_that_is_about_to_enter_is_refused_by_name():
    # Orthogonal columns: x1 enters at exactly alpha = 1.
    X = np.kron(
        np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]), [[1]] * 4
    )
    y = X @ np.array([3.0, 1.0])
    with pytest.raises(ValueError, match=r"x1 at this alpha cannot be decided"):
        LassoSelectiveInference(1.0, sigma=1.0).fit(X, y)
    model = LassoSelectiveInference(1.0 + 1e-5, sigma=1.0).fit(X, y)
    assert_array_equal(model.features_, [0])
    model = LassoSelectiveInference(1.0 - 1e-5, sigma=1.0).fit(X, y)
    assert_array_equal(model.features_, [0, 1])


def test_short_columns_are_refused_by_their_own_norm():
    X = np.kron(
        np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]), [[1]] * 4
    )
    y = X @ np.array([3.0, 1.0])
    X[:, 1] *= 2.0**-10
    with pytest.raises(ValueError, match=r"x1 at this alpha cannot be decided"):
        LassoSelectiveInference(2.0**-10, sigma=1.0).fit(X, y)
    model = LassoSelectiveInference(2.0**-10 * (1 + 1e-5), sigma=1.0).fit(X, y)
    assert_array_equal(model.features_, [0])


def test_huge_columns_have_tiny_errors(global_random_seed):
    X, y, _ = problem(global_random_seed, p=6)
    plain = LassoSelectiveInference(0.2, sigma=1.0).fit(X, y)
    unit = 2.0**300
    moved = LassoSelectiveInference(0.2 * unit, sigma=1.0).fit(X * unit, y)
    assert_allclose(moved.standard_errors_, plain.standard_errors_ / unit, rtol=1e-10)
    assert_allclose(moved.pvalues_, plain.pvalues_, rtol=1e-8)


def test_nothing_selected_is_said():
    X, y, _ = problem(0)
    with pytest.warns(UserWarning, match="selects no feature"):
        model = LassoSelectiveInference(100.0, sigma=1.0).fit(X, y)
    assert model.conf_int_.shape == (0, 2) and not model.coef_.any()
    assert model.estimates_.shape == model.standard_errors_.shape == (0,)
    assert len(model.summary()) == 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sigma": 0.0}, "must be positive"),
        ({"sigma": -1.0}, "must be positive"),
        ({"feature_weights": [1.0]}, "must be 40 numbers"),
    ],
)
def test_bad_parameters_are_named(options, message):
    X, y, _ = problem(0)
    with pytest.raises(ValueError, match=message):
        LassoSelectiveInference(0.2, **options).fit(X, y)


def test_copies_of_selected_features_are_refused():
    X, y, _ = problem(0, p=4)
    X = np.column_stack([X, X[:, 0]])
    with pytest.raises(ValueError, match=r"cannot be (told apart|decided)"):
        LassoSelectiveInference(0.1, sigma=1.0).fit(X, y)
