"""Cox regression: its contract, against cvxpy, pairs counted one by one, limits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat import row_blocks
from sparsestat.linear_model import (
    SparseCoxRegressor,
    SparseCoxRegressorCV,
)
from sparsestat.linear_model._penalized import _design
from sparsestat.linear_model._penalized._survival import _efron_terms
from sparsestat.linear_model._penalized._survival_targets import (
    concordance_index,
    with_events,
)
from tests.linear_model.glm_oracles import cox_loss, violation


def problem(n=60, p=30, seed=0, rounded=True):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + 0.5
    time = rng.exponential(np.exp(X[:, 1] - X[:, 0]))
    limit = rng.exponential(3.0, n)
    y = np.column_stack([np.minimum(time, limit), time <= limit])
    if rounded:  # ties
        y[:, 0] = np.ceil(4 * y[:, 0])
    return X, y


def test_times_without_events_were_all_seen():
    expected = [[2.0, 1.0], [3.0, 1.0], [1.0, 1.0]]
    assert_array_equal(with_events([2.0, 3.0, 1.0]), expected)
    assert_array_equal(with_events([[2.0], [3.0], [1.0]]), expected)
    censored = [[2.0, 0.0], [3.0, 1.0]]
    assert_array_equal(with_events(censored), censored)


def gradient(w, X, y, ties, step=1e-5):
    event = y[:, 1] > 0
    out = np.empty(len(w))
    for j in range(len(w)):
        e = np.zeros(len(w))
        e[j] = step
        up = cox_loss(X @ (w + e), y[:, 0], event, ties)
        out[j] = (up - cox_loss(X @ (w - e), y[:, 0], event, ties)) / (2 * step)
    return out / len(y)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_solution_satisfies_kkt(ties, share, global_random_seed):
    X, y = problem(seed=global_random_seed)
    top = np.abs(gradient(np.zeros(30), X, y, ties)).max()
    assert not SparseCoxRegressor(1.0001 * top, ties=ties).fit(X, y).coef_.any()
    model = SparseCoxRegressor(share * top, ties=ties, tol=1e-9).fit(X, y)
    G = gradient(model.coef_, X, y, ties)
    assert violation(model.coef_, G, model.alpha) <= 1e-7 * top
    assert model.certificate_.kind == "kkt" and model.certificate_.satisfied
    loss = cox_loss(X @ model.coef_, y[:, 0], y[:, 1] > 0, ties) / len(y)
    expected = loss + model.alpha * np.abs(model.coef_).sum()
    assert_allclose(model.objective_, expected, rtol=1e-10)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_objective_agrees_with_cvxpy(l1_ratio):
    cp = pytest.importorskip("cvxpy")
    X, y = problem(n=25, p=10, seed=1)
    model = SparseCoxRegressor(0.05, l1_ratio=l1_ratio, tol=1e-9).fit(X, y)
    w = cp.Variable(10)
    eta = X @ w
    loss = 0
    for i in np.flatnonzero(y[:, 1]):
        loss += cp.log_sum_exp(eta[np.flatnonzero(y[:, 0] >= y[i, 0])]) - eta[i]
    penalty = l1_ratio * cp.norm1(w) + (1 - l1_ratio) / 2 * cp.sum_squares(w)
    task = cp.Problem(cp.Minimize(loss / 25 + 0.05 * penalty))
    options = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-11)
    expected = task.solve(solver="CLARABEL", **options)
    assert_allclose(model.objective_, expected, rtol=1e-8)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
def test_integer_weights_are_repetitions(ties, container):
    X, y = problem()
    weights = np.random.default_rng(5).integers(0, 4, 60)
    rows = np.repeat(np.arange(60), weights)
    a = SparseCoxRegressor(0.05, ties=ties, tol=1e-10)
    a.fit(container(X), y, sample_weight=weights)
    b = SparseCoxRegressor(0.05, ties=ties, tol=1e-10).fit(container(X[rows]), y[rows])
    assert_allclose(a.coef_, b.coef_, atol=1e-9)
    assert_allclose(a.baseline_hazard_, b.baseline_hazard_, rtol=1e-8)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_objectives_and_paths_with_weights_are_those_of_repeated_rows(ties):
    X, y = problem(n=40, p=4, seed=3)
    at = np.repeat(np.arange(40), 4)
    w = np.full(40, 4.0)
    one = SparseCoxRegressor(0.05, ties=ties, tol=1e-9)
    two = SparseCoxRegressor(0.05, ties=ties, tol=1e-9).fit(X[at], y[at])
    assert_allclose(one.fit(X, y, w).objective_, two.objective_, rtol=1e-9)
    objective = one.certificate_.details["objective"]
    assert_allclose(objective, two.objective_, rtol=1e-9)
    halves = np.arange(0, 40, 2), np.arange(1, 40, 2)
    cv = [[np.flatnonzero(np.isin(at, half)) for half in halves]]
    options = {"alphas": 9, "eps": 1e-3, "ties": ties, "tol": 1e-8}
    options["stop_explained"] = True
    one = SparseCoxRegressorCV(cv=[halves], **options).fit(X, y, w)
    two = SparseCoxRegressorCV(cv=cv, **options).fit(X[at], y[at])
    assert_allclose(one.alphas_, two.alphas_, rtol=1e-9)
    assert_allclose(one.loss_path_, two.loss_path_, rtol=1e-6)
    data = row_blocks(X, y, w, block_size=13)
    one = SparseCoxRegressor(0.05, ties=ties, tol=1e-9).fit(data)
    two = SparseCoxRegressor(0.05, ties=ties, tol=1e-9).fit(X[at], y[at])
    assert_allclose(one.objective_, two.objective_, rtol=1e-8)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_lean_sparse_columns_agree_with_dense_ones(ties, monkeypatch):
    X, y = problem()
    X *= np.random.default_rng(0).random(X.shape) < 0.4
    dense = SparseCoxRegressor(0.03, ties=ties, tol=1e-9).fit(X, y)
    monkeypatch.setattr(_design, "_FULL_COLUMNS", 2.0)
    lean = SparseCoxRegressor(0.03, ties=ties, tol=1e-9).fit(sparse.csr_array(X), y)
    assert_allclose(lean.coef_, dense.coef_, atol=1e-7)


def test_without_ties_both_methods_agree():
    X, y = problem(rounded=False)
    a = SparseCoxRegressor(0.05, tol=1e-10).fit(X, y)
    b = SparseCoxRegressor(0.05, ties="efron", tol=1e-10).fit(X, y)
    assert_allclose(a.coef_, b.coef_, atol=1e-12)


def test_targets_may_come_in_three_forms():
    X, y = problem()
    pairs = SparseCoxRegressor(0.05).fit(X, y)
    fields = np.array(
        [(bool(e), t) for t, e in y], dtype=[("seen", bool), ("days", float)]
    )
    structured = SparseCoxRegressor(0.05).fit(X, fields)
    assert_array_equal(pairs.coef_, structured.coef_)
    assert pairs.score(X, y) == structured.score(X, fields) > 0.7
    whole = np.column_stack([y[:, 0], np.ones(60)])
    single = SparseCoxRegressor(0.05).fit(X, y[:, 0])
    assert_array_equal(single.coef_, SparseCoxRegressor(0.05).fit(X, whole).coef_)


def test_only_the_order_of_times_matters():
    X, y = problem()
    shifted = np.column_stack([np.log(y[:, 0]) - 5, y[:, 1]])
    a, b = SparseCoxRegressor(0.05).fit(X, y), SparseCoxRegressor(0.05).fit(X, shifted)
    assert_array_equal(a.coef_, b.coef_)


def test_bad_targets_are_refused_kindly():
    X, y = problem()
    censored = np.column_stack([y[:, 0], np.zeros(60)])
    with pytest.raises(ValueError, match="are censored"):
        SparseCoxRegressor().fit(X, censored)
    with pytest.raises(ValueError, match="must be 0 or 1"):
        SparseCoxRegressor().fit(X, y[:, ::-1])
    with pytest.raises(ValueError, match="two or three are expected"):
        SparseCoxRegressor().fit(X, np.ones((60, 4)))
    with pytest.raises(ValueError, match="two fields"):
        SparseCoxRegressor().fit(X, np.zeros(60, dtype=[("a", float), ("b", float)]))
    with pytest.raises(ValueError, match="NaN"):
        SparseCoxRegressor().fit(X, np.where(y == y.max(), np.nan, y))
    with pytest.raises(ValueError, match="one time for each sample"):
        SparseCoxRegressor(0.1).fit(X, y).score(X, y[:5])


def test_concordance_counts_pairs(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    n = 40
    time, event = rng.integers(1, 8, n), rng.random(n) < 0.6
    risk, weights = rng.integers(0, 6, n), rng.uniform(0.5, 2.0, n)
    good = pairs = 0.0
    for i in np.flatnonzero(event):
        for j in range(n):
            if time[i] < time[j] or (time[i] == time[j] and not event[j]):
                w = weights[i] * weights[j]
                pairs += w
                good += w * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
    assert_allclose(concordance_index(time, event, risk, weights), good / pairs)
    assert concordance_index([1.0, 2.0], [False, False], [0.0, 1.0]) == 0.5


def test_concordance_of_light_pairs_and_of_none():
    weights = np.full(2, 0.25)  # one pair, of weight 1 / 16
    assert concordance_index([1, 2], [True, True], [2.0, 1.0], weights) == 1.0
    assert concordance_index([1, 2], [True, True], [1.0, 1.0], weights) == 0.5
    assert concordance_index([1, 2], [False, True], [1.0, 2.0], weights) == 0.5


def test_survival_functions_fall_from_one_and_follow_the_risk():
    X, y = problem(n=200)
    model = SparseCoxRegressor(0.02).fit(X, y)
    S = model.predict_survival(X)
    assert S.shape == (200, len(model.event_times_))
    assert (np.diff(S, axis=1) <= 0).all() and S.max() <= 1.0 and S.min() >= 0.0
    order = np.argsort(model.predict(X))
    assert (np.diff(S[order, 3]) <= 0).all()
    assert_array_equal(model.predict_survival(X, [-1.0]), 1.0)
    # Breslow: the expected number of events is the observed one.
    hazard = np.concatenate([[0.0], model.baseline_hazard_])
    at = np.searchsorted(model.event_times_, y[:, 0], side="right")
    assert_allclose((hazard[at] * np.exp(model.predict(X))).sum(), y[:, 1].sum())


def test_cross_validation_uses_the_held_out_partial_likelihood():
    X, y = problem()
    test = np.arange(0, 60, 3)
    train = np.setdiff1d(np.arange(60), test)
    model = SparseCoxRegressorCV(alphas=[0.05], cv=[(train, test)], tol=1e-9)
    model.fit(X, y)
    w = SparseCoxRegressor(0.05, tol=1e-9).fit(X[train], y[train]).coef_
    whole = cox_loss(X @ w, y[:, 0], y[:, 1] > 0)
    part = cox_loss(X[train] @ w, y[train, 0], y[train, 1] > 0)
    assert_allclose(model.loss_path_, (whole - part) / y[test, 1].sum(), rtol=1e-6)
    chosen = SparseCoxRegressorCV(alphas=8, eps=0.05, cv=3).fit(X, y)
    again = SparseCoxRegressorCV(alphas=8, eps=0.05, cv=3, n_jobs=2).fit(X, y)
    assert_array_equal(chosen.coef_path_, again.coef_path_)
    assert chosen.coef_[:2].all() and chosen.intercept_ == 0.0


def test_huge_predictors_stay_finite():
    X, y = problem(p=3)
    model = SparseCoxRegressor(1e-5).fit(1e3 * X, y)
    assert np.isfinite(model.coef_).all() and np.isfinite(model.objective_)
    assert np.isfinite(model.predict_survival(1e3 * X)).all()


# Efron's sums over many tied events


def test_long_sums_are_those_of_single_terms():
    for mass in (100.0, 1000.25, 30_000.0):
        steps, counts = _efron_terms(mass)
        assert len(steps) < 200 and counts.min() > 0
        terms = np.arange(int(np.ceil(mass)), dtype=float)
        single = np.minimum(1.0, mass - terms)
        for left in (mass, 1.001 * mass, 3 * mass):
            for function in (np.log, np.reciprocal, lambda v: v**-2.0):
                assert_allclose(
                    counts @ function(left - steps),
                    single @ function(left - terms),
                    rtol=1e-13,
                )


def test_heavy_weights_take_no_memory_and_have_a_limit():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    y = np.column_stack(
        [np.round(rng.exponential(size=60), 1) + 0.1, rng.random(60) < 0.7]
    )
    coefs = [
        SparseCoxRegressor(0.02, ties="efron", tol=1e-10)
        .fit(X, y, sample_weight=np.full(60, count))
        .coef_
        for count in (1e4, 1e6, 1e8)
    ]
    assert_allclose(coefs[1], coefs[2], atol=1e-6)
    assert_allclose(coefs[0], coefs[2], atol=1e-4)
    for count in (1e16, 1e-16):
        with pytest.raises(ValueError, match="counts rows"):
            SparseCoxRegressor(ties="efron").fit(X, y, sample_weight=np.full(60, count))


def test_survival_does_not_depend_on_where_the_features_are():
    rng = np.random.default_rng(1)
    X = np.round(rng.standard_normal((60, 3)) * 64) / 64
    y = np.column_stack([rng.exponential(np.exp(-X[:, 0])), np.ones(60)])
    near = SparseCoxRegressor(0.02, tol=1e-10).fit(X, y)
    far = SparseCoxRegressor(0.02, tol=1e-10).fit(X + 2.0**20, y)
    assert_allclose(far.coef_, near.coef_, atol=1e-7)
    assert_allclose(
        far.predict_survival(X + 2.0**20), near.predict_survival(X), atol=1e-5
    )
