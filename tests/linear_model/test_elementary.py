"""The elementary estimator: its closed form, its limits and its invariances."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LinearRegression

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.linear_model import ElementaryEstimator
from sparsestat.linear_model import _elementary as elementary
from sparsestat.linear_model._elementary import solve_floored, thresholded


@pytest.fixture
def data(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = rng.standard_normal((200, 12)) @ (np.eye(12) + 0.2 * rng.random((12, 12)))
    X += 3.0 * rng.standard_normal(12)
    y = X[:, 1] - 2.0 * X[:, 7] + 0.3 * rng.standard_normal(200) + 5.0
    return X, y


def by_hand(X, y, alpha, nu, kind, floor):
    """The formula, written from its definition."""
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    t = y - y.mean()
    S = Z.T @ Z / len(y)
    T = np.sign(S) * np.maximum(abs(S) - nu, 0) if kind == "soft" else S * (abs(S) > nu)
    T[np.diag_indices_from(T)] = 1.0
    values, vectors = np.linalg.eigh(T)
    T = vectors @ np.diag(np.maximum(values, floor)) @ vectors.T
    raw = np.linalg.solve(T, Z.T @ t / len(y))
    w = np.sign(raw) * np.maximum(np.abs(raw) - alpha, 0) / X.std(axis=0)
    return w, y.mean() - X.mean(axis=0) @ w


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("floor", [0.01, 0.9])
def test_it_is_its_formula(data, kind, floor):
    X, y = data
    model = ElementaryEstimator(
        0.1, cov_threshold=0.15, thresholding=kind, eigenvalue_floor=floor
    ).fit(X, y)
    coef, intercept = by_hand(X, y, 0.1, 0.15, kind, floor)
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-9, atol=1e-12)
    assert model.intercept_ == pytest.approx(intercept, rel=1e-9)
    assert (model.n_lifted_ > 0) == (floor > 0.5)
    assert model.certificate_.kind == "exact"
    assert model.certificate_.value < 1e-12


def test_without_thresholds_it_is_least_squares(data):
    X, y = data
    model = ElementaryEstimator(0.0, cov_threshold=0.0).fit(X, y)
    reference = LinearRegression().fit(X, y)
    np.testing.assert_allclose(model.coef_, reference.coef_, rtol=1e-8)
    assert model.intercept_ == pytest.approx(reference.intercept_, rel=1e-8)
    none = ElementaryEstimator(0.0, cov_threshold=0.0, fit_intercept=False).fit(X, y)
    reference = LinearRegression(fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(none.coef_, reference.coef_, rtol=1e-7)
    assert none.intercept_ == 0.0


def test_thresholding_every_correlation_leaves_marginal_regression(data):
    X, y = data
    model = ElementaryEstimator(0.05, cov_threshold=1.0).fit(X, y)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    marginal = Z.T @ (y - y.mean()) / len(y)
    shrunk = np.sign(marginal) * np.maximum(np.abs(marginal) - 0.05, 0)
    np.testing.assert_allclose(model.coef_, shrunk / X.std(axis=0), rtol=1e-10)


def test_the_diagonal_is_never_thresholded():
    S = np.array([[1.0, 0.4], [0.4, 1.0]])
    np.testing.assert_array_equal(thresholded(S, 2.0, "soft"), np.eye(2))
    np.testing.assert_array_equal(thresholded(S, 0.3, "hard"), S)
    np.testing.assert_allclose(thresholded(S, 0.3, "soft")[0, 1], 0.1)


def test_eigenvalues_are_lifted_only_below_the_floor():
    T = np.array([[1.0, 0.95], [0.95, 1.0]])  # eigenvalues 0.05 and 1.95
    b = np.array([1.0, -1.0])
    plain, _, lifted = solve_floored(T.copy(), b, 0.04)
    np.testing.assert_allclose(plain, b / 0.05, rtol=1e-12)
    assert lifted == 0
    floored, matrix, lifted = solve_floored(T.copy(), b, 0.5)
    np.testing.assert_allclose(floored, b / 0.5, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), [0.5, 1.95])
    assert lifted == 1


def test_of_many_thresholds_an_even_share_is_compared(data, monkeypatch):
    X, y = data
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    t = y - y.mean()
    raw = np.linalg.lstsq(Z, t, rcond=None)[0]
    levels = np.append(0.0, np.sort(np.abs(raw)))
    noise = np.sum((t - Z @ raw) ** 2) / (200 - 12 - 1)

    def criterion(level):
        w = np.sign(raw) * np.maximum(np.abs(raw) - level, 0.0)
        return np.mean((t - Z @ w) ** 2) + 2.0 * noise / 200 * np.count_nonzero(w)

    # 13 of them: all, all but some, and the ends with the middle.
    for most, compared in ((13, levels), (4, levels[[0, 4, 8, 12]]), (3, levels[::6])):
        monkeypatch.setattr(elementary, "_LEVELS", most)
        model = ElementaryEstimator(eigenvalue_floor=1e-9).fit(X, y)
        expected = min(compared, key=criterion)
        assert model.alpha_ == pytest.approx(expected, rel=1e-8, abs=1e-12)


def test_scaling_the_data_scales_the_answer(data):
    X, y = data
    model = ElementaryEstimator().fit(X, y)
    factors = 10.0 ** np.linspace(-6, 6, 12)
    scaled = ElementaryEstimator().fit(X * factors, 7.0 * y)
    np.testing.assert_allclose(scaled.coef_ * factors, 7.0 * model.coef_, rtol=1e-7)
    assert scaled.alpha_ == pytest.approx(7.0 * model.alpha_)


def test_integer_weights_are_repetition(data):
    X, y = data
    weights = np.arange(len(y)) % 3
    weighted = ElementaryEstimator().fit(X, y, sample_weight=weights)
    repeated = ElementaryEstimator().fit(
        np.repeat(X, weights, 0), np.repeat(y, weights)
    )
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-9, atol=1e-12)


def test_sparse_equals_dense(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = rng.standard_normal((150, 20)) * (rng.random((150, 20)) < 0.2)
    X[:, 4] = 0.0
    y = X[:, 0] + 0.1 * rng.standard_normal(150)
    weights = rng.random(150)
    dense = ElementaryEstimator().fit(X, y, sample_weight=weights)
    for container in (sparse.csr_array, sparse.csc_matrix):
        model = ElementaryEstimator().fit(container(X), y, sample_weight=weights)
        np.testing.assert_allclose(model.coef_, dense.coef_, rtol=1e-9, atol=1e-12)
        assert model.intercept_ == pytest.approx(dense.intercept_, abs=1e-12)


def test_constant_columns_get_no_coefficient(data):
    X, y = data
    X = np.column_stack([X, np.full(len(y), 0.1), np.zeros(len(y))])
    for container in (np.asarray, sparse.csr_array):
        model = ElementaryEstimator().fit(container(X), y)
        assert not model.coef_[-2:].any()
        assert np.isfinite(model.coef_).all()


def test_many_features_and_few_samples_recover_the_support(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = rng.standard_normal((300, 500))
    w = np.zeros(500)
    w[[10, 200, 499]] = [3.0, -3.0, 2.0]
    model = ElementaryEstimator().fit(X, X @ w + 0.2 * rng.standard_normal(300))
    largest = np.argsort(-np.abs(model.coef_))[:3]
    assert set(largest) == {10, 200, 499}
    assert model.cov_threshold_ == pytest.approx(np.sqrt(np.log(500) / 300))


def cp_by_hand(X, y, alpha):
    """Mallows' Cp of a thresholded least-squares fit, up to a constant factor."""
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    t = y - y.mean()
    raw = np.linalg.lstsq(Z, t, rcond=None)[0]
    noise = np.sum((t - Z @ raw) ** 2) / (len(y) - X.shape[1] - 1)
    w = np.sign(raw) * np.maximum(np.abs(raw) - alpha, 0.0)
    return np.mean((t - Z @ w) ** 2) + 2.0 * noise * np.count_nonzero(w) / len(y), raw


def test_the_default_threshold_has_the_least_cp(data):
    X, y = data
    model = ElementaryEstimator().fit(X, y)
    raw = cp_by_hand(X, y, 0.0)[1]
    values = [cp_by_hand(X, y, a)[0] for a in np.append(0.0, np.abs(raw))]
    found = cp_by_hand(X, y, model.alpha_ * (1.0 + 1e-9))[0]
    assert found == pytest.approx(min(values), rel=1e-8)
    assert model.cov_threshold_ == 0.0


def test_the_universal_threshold_is_its_formula(data):
    X, y = data
    model = ElementaryEstimator("universal").fit(X, y)
    rate = np.sqrt(2.0 * np.log(X.shape[1]) / len(y))
    first = by_hand(X, y, y.std() * rate, 0.0, "soft", 0.01)
    noise = np.sqrt(np.mean((y - X @ first[0] - first[1]) ** 2))
    assert model.alpha_ == pytest.approx(min(noise, y.std()) * rate, rel=1e-9)
    wide = ElementaryEstimator().fit(X[:10], y[:10])  # not more samples than features
    same = ElementaryEstimator("universal").fit(X[:10], y[:10])
    np.testing.assert_array_equal(wide.coef_, same.coef_)


def test_few_samples_raise_the_floor_instead_of_thresholding(data):
    X, y = data
    few = ElementaryEstimator().fit(X[:40], y[:40])
    assert (few.cov_threshold_, few.eigenvalue_floor_) == (0.0, 0.1)
    assert ElementaryEstimator().fit(X, y).eigenvalue_floor_ == 0.01
    given = ElementaryEstimator(eigenvalue_floor=0.2).fit(X[:40], y[:40])
    assert given.eigenvalue_floor_ == 0.2


def test_single_precision_is_kept(data):
    X, y = data
    model = ElementaryEstimator().fit(X.astype(np.float32), y)
    assert model.coef_.dtype == np.float32


def test_bad_parameters_are_refused(data):
    X, y = data
    with pytest.raises(ValueError, match="alpha"):
        ElementaryEstimator(-1.0).fit(X, y)
    with pytest.raises(ValueError, match="eigenvalue_floor"):
        ElementaryEstimator(eigenvalue_floor=0.0).fit(X, y)


@pytest.mark.parametrize("factor", [2.0**330, 2.0**-330])
def test_units_do_not_matter(data, factor):
    X, y = data
    plain = ElementaryEstimator().fit(X, y)
    far = ElementaryEstimator().fit(factor * X, y)
    np.testing.assert_allclose(far.predict(factor * X), plain.predict(X), rtol=1e-12)
    tall = ElementaryEstimator().fit(X, factor * y)
    np.testing.assert_allclose(tall.predict(X) / factor, plain.predict(X), rtol=1e-12)


@pytest.mark.parametrize("factor", [1e200, 1e-200])
def test_data_whose_squares_do_not_fit_are_refused(data, factor):
    X, y = data
    with pytest.raises(ValueError, match="Rescale X"):
        ElementaryEstimator().fit(factor * X, y)
    with pytest.raises(ValueError, match="Rescale y"):
        ElementaryEstimator().fit(X, factor * y)


def test_the_support_is_where_coefficients_are_not_zero(data):
    X, y = data
    model = ElementaryEstimator(alpha=0.5).fit(X, y)
    np.testing.assert_array_equal(model.support_, np.flatnonzero(model.coef_))
    assert 0 < len(model.support_) < X.shape[1]


def test_an_answer_worse_than_the_mean_is_warned_about():
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((30, 3))
    X = factors @ rng.standard_normal((3, 200)) + 0.05 * rng.standard_normal((30, 200))
    y = factors[:, 0] + 0.1 * rng.standard_normal(30)
    for unit in (2.0**-20, 1.0):
        with pytest.warns(UserWarning, match="n_lifted_") as caught:
            model = ElementaryEstimator().fit(X, unit * y)
        assert len(caught) == 1
    assert model.n_lifted_ > 0 or model.score(X, y) < 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ElementaryEstimator().fit(rng.standard_normal((300, 5)), np.arange(300.0))


def nearly_dependent():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((60, 4))
    X[:, 1] = X[:, 0] + 2e-6 * rng.standard_normal(60)
    return X, rng.standard_normal(60)


def test_a_system_that_loses_its_digits_is_not_certified():
    X, y = nearly_dependent()
    options = {"alpha": 0.0, "cov_threshold": 0.0}
    fine = ElementaryEstimator(**options, eigenvalue_floor=1e-6).fit(X, y)
    assert fine.certificate_.satisfied and fine.n_lifted_ == 1
    assert fine.certificate_.value <= fine.certificate_.tol == 1e-10
    assert fine.certificate_.details == {"n_nonzero": 4, "n_lifted": 1}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lost = ElementaryEstimator(**options, eigenvalue_floor=1e-14).fit(X, y)
    found = lost.certificate_  # how many digits are lost depends on the BLAS
    assert found.satisfied == (found.value <= 1e-10) == (not caught)


@pytest.mark.parametrize("floor", [0.01, 0.9])
def test_the_certificate_is_the_residual_of_the_raw_solution(data, floor, monkeypatch):
    X, y = data
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    cross = Z.T @ (y - y.mean()) / len(y)
    values, vectors = np.linalg.eigh(Z.T @ Z / len(y))
    T = (vectors * np.maximum(values, floor)) @ vectors.T
    moved = np.linspace(-1.0, 1.0, 12) * 1e-3

    def spoiled(T, b, floor):
        raw, matrix, lifted = solve_floored(T, b, floor)
        return raw + moved, matrix, lifted

    monkeypatch.setattr(elementary, "solve_floored", spoiled)
    model = ElementaryEstimator(0.1, cov_threshold=0.0, eigenvalue_floor=floor)
    with pytest.warns(ConvergenceWarning, match="Raise eigenvalue_floor"):
        found = model.fit(X, y).certificate_
    expected = np.linalg.norm(T @ moved) / np.linalg.norm(cross)
    assert found.value == pytest.approx(expected, rel=1e-8) and not found.satisfied


def test_a_target_without_correlations_has_no_residual():
    X = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    model = ElementaryEstimator(0.0, cov_threshold=0.0).fit(X, [1.0, 1.0, -1.0, -1.0])
    assert model.certificate_.value == 0.0 and model.certificate_.satisfied
    assert not model.coef_.any()


def cps_by_hand(X, y, raw):
    """Mallows' Cp at every magnitude of a coefficient (of 200 at most), one by one."""
    n, d = X.shape
    Z, t = (X - X.mean(axis=0)) / X.std(axis=0), y - y.mean()
    variance = np.sum((t - Z @ raw) ** 2) / (n - d - 1)
    levels = np.append(0.0, np.sort(np.abs(raw)))
    if d + 1 > 200:
        levels = levels[np.round(np.linspace(0, d, 200)).astype(int)]
    values = []
    for level in levels:
        w = np.sign(raw) * np.maximum(np.abs(raw) - level, 0.0)
        values.append(np.mean((t - Z @ w) ** 2) + 2 * variance * np.sum(w != 0) / n)
    return levels, np.array(values)


@pytest.mark.parametrize(("n", "d"), [(20, 12), (400, 250)])
@pytest.mark.parametrize("unit", [1.0, 2.0**-20])
def test_the_least_cp_is_found_by_looking_at_each(n, d, unit):
    found = set()
    for seed in range(30 if d < 100 else 1):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((n, d))
        y = X @ (0.5 * rng.standard_normal(d) * (rng.random(d) < 0.5))
        y = unit * (y + rng.standard_normal(n))
        moments = elementary.standardized_moments(X, y, None, True)
        raw = np.linalg.solve(moments.correlation, moments.cross)
        levels, values = cps_by_hand(X, y, raw)
        chosen = elementary.least_cp(moments, raw)
        at = int(np.argmin(np.abs(levels - chosen)))
        assert levels[at] == pytest.approx(chosen, rel=1e-12)
        assert values[at] <= values.min() + 2e-10 * np.mean((y - y.mean()) ** 2)
        found.add(at)
    assert d > 100 or len(found) > 3


def test_what_is_explained_by_all_features_is_not_thresholded():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 250))
    y = X @ rng.uniform(1.0, 2.0, 250)
    moments = elementary.standardized_moments(X, y, None, True)
    raw = np.linalg.solve(moments.correlation, moments.cross)
    assert elementary.least_cp(moments, raw) == 0.0


def test_of_thresholds_that_tie_the_largest_is_taken():
    raw = np.array([1.0, -1e-8, 0.0])
    moments = elementary.Moments(
        np.eye(3), raw, None, np.ones(3), 1.0, 0.0, float(raw @ raw), 1.0, 50
    )
    assert elementary.least_cp(moments, raw) == 1e-8
