"""The scaled Lasso and intervals without its bias, against closed forms and peers."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsestat.exceptions import ConvergenceWarning, NumericalError
from sparsestat.inference import DebiasedLasso, ScaledLasso, _debiased, _scaled_lasso
from sparsestat.inference._debiased import corrected_pvalues
from sparsestat.inference._nodewise import (
    least_squares_directions,
    nodewise_directions,
)
from sparsestat.inference._scaled_lasso_solver import universal_strength


def problem(seed, n=80, p=30, s=3, rho=0.5):
    rng = np.random.RandomState(seed)
    L = np.linalg.cholesky(rho ** np.abs(np.subtract.outer(np.arange(p), np.arange(p))))
    X = rng.standard_normal((n, p)) @ L.T
    coef = np.zeros(p)
    coef[:s] = 1.0
    return X, X @ coef + rng.standard_normal(n), coef


def standardized(X):
    X = X - X.mean(axis=0)
    return X / np.sqrt((X**2).mean(axis=0))


# The scaled Lasso


def test_scaled_lasso_is_the_solution_of_a_cone_program(global_random_seed):
    X, y, _ = problem(global_random_seed, n=30, p=8)
    model = ScaledLasso(0.7).fit(X, y)
    Z, centered = standardized(X), y - y.mean()
    w, strength = cp.Variable(8), universal_strength(0.7, 30, 8)
    objective = cp.norm(centered - Z @ w) / np.sqrt(30) + strength * cp.norm1(w)
    best = cp.Problem(cp.Minimize(objective)).solve(solver=cp.CLARABEL)
    found = model.coef_ * np.sqrt(((X - X.mean(axis=0)) ** 2).mean(axis=0))
    value = np.linalg.norm(centered - Z @ found) / np.sqrt(30)
    assert model.sigma_ == pytest.approx(value)
    value += strength * np.abs(found).sum()
    assert value == pytest.approx(best, rel=1e-7)
    assert_allclose(found, w.value, atol=1e-5)
    assert model.certificate_.value <= 1e-10 and model.n_iter_ <= 5


def test_sigma_is_a_fixed_point_of_the_lasso(global_random_seed):
    from sparsestat.linear_model import Lasso

    X, y, _ = problem(global_random_seed)
    model = ScaledLasso().fit(X, y)
    again = Lasso(alpha=model.alpha_, tol=1e-12).fit(standardized(X), y)
    residual = y - y.mean() - standardized(X) @ again.coef_
    assert np.linalg.norm(residual) / np.sqrt(80) == pytest.approx(model.sigma_)
    free = 80 - 1 - np.count_nonzero(model.coef_)
    assert model.sigma_df_ == pytest.approx(np.linalg.norm(residual) / np.sqrt(free))
    assert_allclose(model.predict(X), y - residual, atol=1e-7)


def test_noise_levels_are_near_the_truth():
    levels = [
        ScaledLasso(0.7).fit(*problem(k, 150, 60)[:2]).sigma_df_ for k in range(20)
    ]
    assert abs(np.mean(levels) - 1.0) < 0.06


def test_sparse_columns_give_the_dense_answer(global_random_seed):
    X, y, _ = problem(global_random_seed)
    X = np.where(np.abs(X) > 0.7, X, 0.0)
    dense = ScaledLasso().fit(X, y)
    for container in (sparse.csr_array, sparse.csc_array):
        other = ScaledLasso().fit(container(X), y)
        assert_allclose(other.coef_, dense.coef_, atol=1e-9)
        assert_allclose(other.predict(container(X)), dense.predict(X))


def test_a_small_strength_lets_the_noise_level_collapse():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((30, 120)), rng.standard_normal(30)
    with pytest.warns(UserWarning, match="noise level collapsed"):
        model = ScaledLasso(0.1).fit(X, y)
    assert model.certificate_.details["collapsed"]
    assert model.sigma_ < 1e-3
    with pytest.raises(NumericalError, match="Raise `factor`"):
        DebiasedLasso(0.1).fit(X, y)


def test_a_constant_target_has_no_noise():
    X, _, _ = problem(0)
    model = ScaledLasso().fit(X, np.full(80, 3.0))
    assert model.sigma_ == 0.0 and not model.coef_.any()
    assert_allclose(model.predict(X), 3.0)


def test_missed_tolerances_are_said():
    X, y, _ = problem(0, rho=0.9)
    with pytest.warns(ConvergenceWarning, match="duality gap"):
        model = ScaledLasso(0.5, tol=0.0).fit(X, y)
    assert not model.certificate_.satisfied


@pytest.mark.parametrize("factor, collapsed", [(0.7, False), (0.05, True)])
def test_the_scaled_lasso_says_what_is_left_in_the_units_of_the_target(
    factor, collapsed, recwarn
):
    X, y, _ = problem(3, n=30, p=8 if not collapsed else 60)
    model = ScaledLasso(factor, tol=1e-7).fit(X * 4.0 + 1.0, 32.0 * y + 5.0)
    certificate, p = model.certificate_, X.shape[1]
    w = model.coef_ * (4.0 * X.std(axis=0))
    centered, strength = 32.0 * (y - y.mean()), universal_strength(factor, 30, p)
    residual = centered - standardized(X) @ w
    level, spread = np.sqrt((residual**2).mean()), np.sqrt((centered**2).mean())
    u = residual / np.linalg.norm(residual)
    most = np.abs(standardized(X).T @ u).max()
    u *= min(1.0, strength * np.sqrt(30) / most)
    gap = level + strength * np.abs(w).sum() - u @ centered / np.sqrt(30)
    assert certificate.kind == "duality_gap" and certificate.tol == 1e-7
    rel = 1e-3 if not collapsed else 1e-2  # little is left, of which digits are lost
    assert certificate.value == pytest.approx(gap / spread, rel=rel, abs=1e-12)
    free = 29 - np.count_nonzero(w)
    assert_allclose(model.sigma_, level, rtol=1e-7 if not collapsed else 1e-2)
    assert model.alpha_ == strength * model.sigma_
    expected = level * np.sqrt(30 / free) if free > 0 else 0.0
    assert model.sigma_df_ == pytest.approx(expected, rel=1e-2)
    assert_allclose(model.predict(4.0 * X + 1.0), 32.0 * y + 5.0 - residual, rtol=1e-9)
    assert certificate.details["sigma"] == model.sigma_
    assert certificate.details["collapsed"] == collapsed
    assert any("collapsed" in str(w.message) for w in recwarn) == collapsed


@pytest.mark.parametrize("change", [0.0, 0.99, 1.01])
def test_a_gap_beside_the_tolerance_is_seen(change, monkeypatch, recwarn):
    X, y, _ = problem(4)
    solve = _scaled_lasso.scaled_lasso
    monkeypatch.setattr(
        _scaled_lasso,
        "scaled_lasso",
        lambda *args, **kw: replace(solve(*args, **kw), gap=change * 1e-6),
    )
    certificate = ScaledLasso(tol=1e-6).fit(X, y).certificate_
    assert certificate.value == change * 1e-6
    assert certificate.satisfied == (change < 1.0) == (len(recwarn) == 0)


# Directions


def test_directions_satisfy_their_optimality_conditions(global_random_seed):
    X = standardized(problem(global_random_seed, n=40, p=60)[0])
    strength = universal_strength(0.5, 40, 60)
    nodes = np.array([0, 7, 59])
    directions, failed = nodewise_directions(X, nodes, strength, None)
    assert len(failed) == 0 and directions.violation <= 1e-6
    for k, j in enumerate(nodes):
        Z = directions.Z[:, k]
        level = strength * np.linalg.norm(Z) / np.sqrt(40)
        products = X.T @ Z / 40
        others = np.delete(products, j)
        assert np.abs(others).max() <= level * (1 + 1e-6)
        gamma = np.linalg.lstsq(np.delete(X, j, axis=1), X[:, j] - Z, rcond=None)[0]
        # |Z|^2 / n + lambda |gamma|_1 = Z'X_j / n on the support of the solution.
        used = np.abs(others) >= level * (1 - 1e-5)
        sub = np.delete(X, j, axis=1)[:, used]
        gamma = np.linalg.lstsq(sub, X[:, j] - Z, rcond=None)[0]
        value = Z @ Z / 40 + level * np.abs(gamma).sum()
        assert directions.along[k] / 40 == pytest.approx(value, rel=1e-5)


def test_least_squares_directions_are_orthogonal_to_all_others(global_random_seed):
    X = standardized(problem(global_random_seed, n=40, p=10)[0])
    nodes = np.array([2, 5])
    directions = least_squares_directions(X, nodes)
    assert_allclose(directions.Z.T @ X, np.eye(10)[nodes], atol=1e-12)
    expected = X @ np.linalg.solve(X.T @ X, np.eye(10)[:, nodes])
    assert_allclose(directions.Z, expected, atol=1e-12)


# Intervals


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_without_penalty_it_is_least_squares(factor, global_random_seed):
    sm = pytest.importorskip("statsmodels.api")
    X, y, _ = problem(global_random_seed)
    X = X * 10.0 + 5.0
    expected = sm.OLS(y, sm.add_constant(X)).fit()
    model = DebiasedLasso(factor, nodewise_factor=0).fit(X, y)
    assert_allclose(model.coef_, expected.params[1:], rtol=1e-9, atol=1e-12)
    assert_allclose(model.standard_errors_, expected.bse[1:], rtol=1e-10)
    assert_allclose(model.conf_int_, expected.conf_int()[1:], rtol=1e-9, atol=1e-12)
    assert_allclose(model.pvalues_, expected.pvalues[1:], rtol=1e-7, atol=1e-14)
    assert "exact" in model.certificate_.scale


def test_estimates_are_the_lasso_plus_one_step(global_random_seed):
    X, y, _ = problem(global_random_seed, n=40, p=60)
    model = DebiasedLasso().fit(X, y)
    Z, spreads = standardized(X), X.std(axis=0)
    lasso = ScaledLasso().fit(X, y)
    assert_allclose(model.lasso_coef_, lasso.coef_, atol=1e-10)
    directions, _ = nodewise_directions(
        Z, np.arange(60), universal_strength(0.5, 40, 60), None
    )
    residual = y - lasso.predict(X)
    beta = lasso.coef_ * spreads + directions.Z.T @ residual / directions.along
    assert_allclose(model.estimates_, beta / spreads, rtol=1e-6, atol=1e-9)
    errors = lasso.sigma_df_ * np.linalg.norm(directions.Z, axis=0) / directions.along
    assert_allclose(model.standard_errors_, errors / spreads, rtol=1e-6)
    # Bias of standardized coefficients: (I - D'X)(lasso - truth), by rows.
    D = directions.Z / directions.along
    left = np.eye(60) - D.T @ Z
    assert_allclose(np.abs(left).max(axis=1), model.bias_bound_, rtol=1e-5)


def test_intervals_cover_and_pvalues_keep_their_level():
    covered, null = [], []
    for seed in range(25):
        X, y, coef = problem(seed, n=100, p=60)
        model = DebiasedLasso().fit(X, y)
        low, high = model.conf_int_.T
        covered.append((low <= coef) & (coef <= high))
        null.append(model.pvalues_[3:] < 0.05)
    covered = np.array(covered)
    assert 0.90 <= covered[:, :3].mean() <= 1.0
    assert 0.93 <= covered[:, 3:].mean() <= 0.975
    assert np.mean(null) <= 0.075


@pytest.mark.parametrize("exact", [False, True])
def test_the_certificate_says_what_the_parts_left(exact, monkeypatch):
    X, y, _ = problem(5, n=40, p=12)
    options = {"nodewise_factor": 0.0} if exact else {}
    model = DebiasedLasso(confidence=0.9, **options).fit(X, y)
    certificate, details = model.certificate_, model.certificate_.details
    assert certificate.kind == "error_bound" and certificate.satisfied
    assert certificate.value == pytest.approx(0.1) and certificate.tol == np.inf
    assert ("Gaussian noise" in details["assumption"]) == exact
    assert details["largest_bias_factor"] == model.bias_bound_.max()
    assert (details["largest_bias_factor"] <= 1e-12) == exact
    assert 0.0 <= details["lasso_gap"] <= 1e-8
    assert details["direction_violation"] <= details["direction_tol"]
    solve, directions = _debiased.scaled_lasso, _debiased.nodewise_directions
    # The lasso's gap counts, and a hundredth of the violation of the directions.
    for gap, violation, kept in (
        (0.9e-6, 0.0, True),
        (1.1e-6, 0.0, exact),
        (0.0, 0.9e-4, True),
        (0.0, 1.1e-4, exact),
    ):
        monkeypatch.setattr(
            _debiased,
            "scaled_lasso",
            lambda *a, gap=gap: replace(solve(*a), gap=gap),
        )

        def spoiled(*a, violation=violation):
            found, failed = directions(*a)
            return replace(found, violation=violation), failed

        monkeypatch.setattr(_debiased, "nodewise_directions", spoiled)
        model = DebiasedLasso(confidence=0.9, **options)
        if kept:
            assert model.fit(X, y).certificate_.satisfied
        else:
            with pytest.warns(ConvergenceWarning, match="left undone"):
                assert not model.fit(X, y).certificate_.satisfied
        assert model.certificate_.details["lasso_gap"] == gap


def test_a_noise_level_without_degrees_of_freedom_is_refused(monkeypatch):
    X, y, _ = problem(0, n=20, p=30)
    solve = _debiased.scaled_lasso
    full = np.ones(30)
    monkeypatch.setattr(
        _debiased, "scaled_lasso", lambda *a: replace(solve(*a), coef=full)
    )
    with pytest.raises(NumericalError, match="Raise `factor`"):
        DebiasedLasso().fit(X, y)
    # Least squares of a target that it explains has no noise either.
    X, _, coef = problem(0, n=40, p=5)
    with pytest.raises(NumericalError, match="leaves no residual"):
        DebiasedLasso(nodewise_factor=0.0).fit(X, X @ coef[:5] + 1.0)


@pytest.mark.parametrize("method", ["holm", "bh", None])
def test_corrected_pvalues_from_their_definitions(method):
    p = np.array([0.6, 0.01, 0.04, 0.03, 0.011, 0.9])
    m, ranks = len(p), np.argsort(np.argsort(p)) + 1
    if method == "holm":
        raw = p * (m - ranks + 1)
        expected = [min(1.0, raw[ranks <= r].max()) for r in ranks]
    elif method == "bh":
        raw = p * m / ranks
        expected = [min(1.0, raw[ranks >= r].min()) for r in ranks]
    else:
        expected = p
    found = corrected_pvalues(p, method)
    assert_allclose(found, expected, rtol=1e-14)
    assert found is not p and len(corrected_pvalues(p[:0], method)) == 0
    X, y, _ = problem(1, n=40, p=6)
    model = DebiasedLasso(multiple_testing=method).fit(X, y)
    assert_allclose(model.pvalues_corrected_, corrected_pvalues(model.pvalues_, method))


def test_chosen_features_have_the_values_they_have_among_all(global_random_seed):
    pd = pytest.importorskip("pandas")
    X, y, _ = problem(global_random_seed, n=40, p=50)
    frame = pd.DataFrame(X, columns=[f"g{j}" for j in range(50)])
    whole = DebiasedLasso(n_jobs=2).fit(X, y)
    for features in ([4, 1], ["g4", "g1"], np.isin(np.arange(50), [1, 4])):
        part = DebiasedLasso(features=features).fit(frame, y)
        assert_array_equal(part.features_, [1, 4])
        assert_allclose(part.conf_int_, whole.conf_int_[[1, 4]], rtol=1e-9)
        assert_array_equal(part.coef_[[0, 2]], part.lasso_coef_[[0, 2]])
    assert set(part.summary().index) == {"g1", "g4"}


def test_corrections_are_those_of_statsmodels(global_random_seed):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    pvalues = np.random.RandomState(global_random_seed).uniform(size=20) ** 3
    for ours, theirs in (("holm", "holm"), ("bh", "fdr_bh")):
        expected = multitest.multipletests(pvalues, method=theirs)[1]
        assert_allclose(corrected_pvalues(pvalues, ours), expected)
    assert_array_equal(corrected_pvalues(pvalues, None), pvalues)


def test_units_and_shifts_are_carried_through(global_random_seed):
    X, y, _ = problem(global_random_seed, n=40, p=50)
    plain = DebiasedLasso().fit(X, y)
    units = 2.0 ** (np.arange(50) % 7 - 3)
    moved = DebiasedLasso().fit(X * units + 100.0, 4.0 * y - 7.0)
    assert_allclose(moved.conf_int_, plain.conf_int_ * 4.0 / units[:, None], rtol=1e-6)
    assert_allclose(moved.pvalues_, plain.pvalues_, rtol=1e-5, atol=1e-12)


def test_names_come_through_transformed_columns():
    pd = pytest.importorskip("pandas")
    X, y, _ = problem(0, p=6)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    columns = ColumnTransformer(
        [("scaled", StandardScaler(), list("abc")), ("raw", "passthrough", list("def"))]
    )
    pipeline = make_pipeline(columns, DebiasedLasso()).fit(frame, y)
    names = pipeline[:-1].get_feature_names_out()
    table = pipeline[-1].summary(feature_names=names)
    assert table.index[0] in {"scaled__a", "scaled__b", "scaled__c"}
    assert list(table.columns[:2]) == ["estimate", "std_error"]
    with pytest.raises(ValueError, match="has 2 names for 6"):
        pipeline[-1].summary(feature_names=["a", "b"])


@pytest.mark.parametrize(
    "options, change, message",
    [
        ({}, lambda X, y: (X, np.ones(80)), "y is constant"),
        ({}, lambda X, y: (X[:5], y[:5]), "at least 8 samples"),
        ({}, lambda X, y: (X[:, [0, 1, 0]], y), "x0, x2 have correlation one"),
        ({"features": [0, 40]}, lambda X, y: (X, y), "numbers from 0 to 29"),
        ({"features": ["age"]}, lambda X, y: (X, y), "no columns of X"),
        (
            {"features": [2]},
            lambda X, y: (np.where(np.arange(30) == 2, 1.0, X), y),
            "x2 are constant",
        ),
        ({"nodewise_factor": 0}, lambda X, y: (X[:31], y[:31]), "ordinary least"),
        (
            {"nodewise_factor": 0},
            lambda X, y: (np.column_stack([X, X[:, 1] + X[:, 2]]), y),
            "depend on the",
        ),
    ],
)
def test_bad_input_is_named(options, change, message):
    X, y = change(*problem(0)[:2])
    with pytest.raises(ValueError, match=message):
        DebiasedLasso(**options).fit(X, y)


def test_features_that_others_explain_are_named():
    X, y, _ = problem(0, p=3)
    X[:, 2] = X[:, 0] + X[:, 1]
    with pytest.raises(NumericalError, match="x0, x1, x2 are explained by the others"):
        DebiasedLasso(nodewise_factor=1e-3).fit(X, y)


def test_strongly_correlated_columns_reach_their_optimum():
    from sparsestat.datasets import load_diabetes_interactions

    data = load_diabetes_interactions(degree=2)
    X = standardized(data.data)
    strength = universal_strength(0.5, *X.shape)
    directions, failed = nodewise_directions(X, np.arange(64), strength, None)
    assert len(failed) == 0 and directions.violation <= 1e-6
    level = strength * np.linalg.norm(directions.Z, axis=0) * np.sqrt(len(X))
    assert (directions.leak <= level * (1 + 1e-5)).all()
