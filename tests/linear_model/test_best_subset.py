"""Best subset regression: exhaustive search, closed forms, invariances, bad input."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.linear_model import (
    BestSubsetClassifier,
    BestSubsetRegressor,
)
from sparsestat.linear_model._subsets import _fit as subset_fit
from sparsestat.linear_model._subsets import _kernels_subset as kernels
from sparsestat.linear_model._subsets import _search as _best_subset_search
from sparsestat.linear_model._subsets._fit import criterion_penalty, default_largest
from sparsestat.linear_model._subsets._search import search

METHODS = ("splicing", "omp", "iht", "htp", "cosamp", "cd_swaps", "exact")


def problem(seed, n=40, d=12, k=4, noise=1.0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    w = np.zeros(d)
    w[rng.choice(d, k, replace=False)] = rng.standard_normal(k)
    return X, X @ w + noise * rng.standard_normal(n) + 3.0, w


def rss_of(X, y, columns):
    """Squared error of least squares with an intercept, by an outside solver."""
    A = np.column_stack([np.ones(len(y)), X[:, list(columns)]])
    residual = y - A @ np.linalg.lstsq(A, y, rcond=None)[0]
    return float(residual @ residual)


def exhaustive(X, y, k):
    """Least squared error over all subsets of k columns, solved in one batch."""
    Xc, yc = X - X.mean(axis=0), y - y.mean()
    if k == 0:
        return float(yc @ yc)
    subsets = np.array(list(combinations(range(X.shape[1]), k)))
    G, b = Xc.T @ Xc, Xc.T @ yc
    A = G[subsets[:, :, None], subsets[:, None, :]]
    w = np.linalg.solve(A, b[subsets][..., None])[..., 0]
    return float(yc @ yc - (w * b[subsets]).sum(axis=1).max())


def rss(model, X, y):
    return float(((y - model.predict(X)) ** 2).sum())


# Against exhaustive search


def test_splicing_finds_the_best_subset_in_95_of_100_draws():
    hits = 0
    for seed in range(200):
        k = 1 + seed % 4
        X, y, _ = problem(seed, k=k)
        best = exhaustive(X, y, k)
        found = rss(BestSubsetRegressor(k).fit(X, y), X, y)
        assert found >= best * (1 - 1e-9)
        hits += found <= best * (1 + 1e-9)
    assert hits >= 190


@pytest.mark.parametrize("seed", range(10))
def test_branch_and_bound_is_exact_for_every_size(seed):
    X, y, _ = problem(seed, d=9)
    X[:, 1] = X[:, 0] + 0.05 * X[:, 2] + 0.01 * X[:, 1]  # a hard one
    path = BestSubsetRegressor(max_nonzero_coefs=9, method="exact").fit(X, y).path_
    assert_array_equal(path.sizes, np.arange(10))
    best = [exhaustive(X, y, k) / (2 * len(y)) for k in range(10)]
    assert_allclose(path.losses, best, rtol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_no_method_beats_exhaustive_search_or_is_far_from_it(method):
    hits = 0
    for seed in range(20):
        X, y, _ = problem(seed, n=80, k=3)
        best = exhaustive(X, y, 3)
        model = BestSubsetRegressor(3, method=method).fit(X, y)
        found = rss(model, X, y)
        assert found >= best * (1 - 1e-9)
        assert found <= best * 1.5
        assert len(model.support_) == model.n_nonzero_coefs_ == 3
        hits += found <= best * (1 + 1e-9)
    assert hits >= (20 if method == "exact" else 15)


def test_groups_agree_with_exhaustive_search_over_groups():
    groups = [[0, 5], [1, 2, 3], [4], [6, 7], [8, 9, 10, 11]]
    for seed in range(10):
        X, y, _ = problem(seed)
        best = min(
            rss_of(X, y, groups[a] + groups[b]) for a, b in combinations(range(5), 2)
        )
        exact = BestSubsetRegressor(2, groups=groups, method="exact").fit(X, y)
        assert_allclose(rss(exact, X, y), best, rtol=1e-9)
        splicing = BestSubsetRegressor(2, groups=groups).fit(X, y)
        assert_allclose(rss(splicing, X, y), best, rtol=1e-9)
        chosen = [set(g) <= set(splicing.support_.tolist()) for g in groups]
        assert sum(chosen) == 2


@pytest.mark.parametrize("method", METHODS)
def test_noiseless_support_is_recovered(method, global_random_seed):
    d = 30 if method == "exact" else 300
    X, y, w = problem(global_random_seed, n=120, d=d, k=6, noise=0.0)
    w[w != 0] += np.sign(w[w != 0])
    y = X @ w - 1.0
    model = BestSubsetRegressor(6, method=method).fit(X, y)
    assert_array_equal(model.support_, np.flatnonzero(w))
    assert_allclose(model.coef_, w, atol=1e-10)
    assert_allclose(model.intercept_, -1.0, atol=1e-10)


def test_splicing_recovers_exact_supports_in_high_dimension():
    rng = np.random.default_rng(0)
    for _ in range(100):
        X = rng.standard_normal((200, 1000))
        support = rng.choice(1000, 10, replace=False)
        y = X[:, support] @ rng.choice([-1.0, 1.0], 10)
        model = BestSubsetRegressor(10).fit(X, y)
        assert_array_equal(model.support_, np.sort(support))


# Closed forms and optimality


def test_orthogonal_design_selects_the_largest_products():
    rng = np.random.default_rng(3)
    Q = np.linalg.qr(rng.standard_normal((50, 15)))[0]
    y = rng.standard_normal(50)
    products = Q.T @ y
    for method in METHODS:
        model = BestSubsetRegressor(4, fit_intercept=False, method=method).fit(Q, y)
        largest = np.sort(np.argsort(-np.abs(products))[:4])
        assert_array_equal(model.support_, largest)
        assert_allclose(model.coef_[largest], products[largest], rtol=1e-10)


def test_coefficients_are_least_squares_and_losses_fall_along_the_path():
    X, y, _ = problem(1, n=100, d=60, k=8)
    model = BestSubsetRegressor(max_nonzero_coefs=20).fit(X, y)
    assert (np.diff(model.path_.losses) < 0).all()
    for size, coef, intercept, loss in zip(*model.path_, strict=True):
        columns = coef.toarray()[0].nonzero()[0]
        assert len(columns) == size
        residual = y - X @ coef.toarray()[0] - intercept
        assert_allclose(X[:, columns].T @ residual, 0.0, atol=1e-9)
        assert_allclose(residual @ residual / 200, loss, rtol=1e-10)
    greedy = BestSubsetRegressor(max_nonzero_coefs=20, method="omp").fit(X, y)
    assert (model.path_.losses <= greedy.path_.losses * (1 + 1e-12)).all()


def test_no_exchange_of_two_features_improves_what_was_chosen():
    rng = np.random.default_rng(19)
    Z = rng.standard_normal((60, 40))
    X = np.cumsum(Z, axis=1) / np.sqrt(np.arange(1, 41))  # strongly correlated
    for _ in range(5):
        y = X @ (rng.standard_normal(40) * (rng.random(40) < 0.15))
        y = y + 0.5 * rng.standard_normal(60)
        model = BestSubsetRegressor(5).fit(X, y)
        own = rss(model, X, y)
        for leaves in model.support_:
            rest = [j for j in model.support_ if j != leaves]
            for enters in set(range(40)) - set(model.support_.tolist()):
                assert rss_of(X, y, [*rest, enters]) >= own * (1 - 1e-5)


def test_ridge_is_that_of_standardized_features():
    X, y, _ = problem(2, n=60)
    X *= np.geomspace(1e-3, 1e3, X.shape[1])
    model = BestSubsetRegressor(3, l2=0.3).fit(X, y)
    columns = model.support_
    Z = (X - X.mean(axis=0))[:, columns]
    gram = Z.T @ Z / 60
    w = np.linalg.solve(gram + 0.3 * np.diag(np.diag(gram)), Z.T @ (y - y.mean()) / 60)
    assert_allclose(model.coef_[columns], w, rtol=1e-9)
    penalty = 0.15 * float(np.diag(gram) @ w**2)
    assert_allclose(model.objective_, rss(model, X, y) / 120 + penalty, rtol=1e-9)


@pytest.mark.parametrize("criterion", ["gic", "ebic", "bic", "aic"])
def test_criteria_are_the_documented_ones(criterion):
    X, y, _ = problem(3, n=60, d=12)
    model = BestSubsetRegressor(criterion=criterion).fit(X, y)
    n, d = X.shape
    for at, size in enumerate(model.path_.sizes):
        value = n * np.log(2 * model.path_.losses[at])
        value += {
            "gic": size * np.log(d) * np.log(np.log(n)),
            "ebic": size * np.log(n)
            + 2 * np.log(len(list(combinations(range(d), int(size))))),
            "bic": size * np.log(n),
            "aic": 2 * size,
        }[criterion]
        assert_allclose(model.criterion_path_[at], value, rtol=1e-10)
    assert model.n_nonzero_coefs_ == model.path_.sizes[np.argmin(model.criterion_path_)]


def test_cross_validation_refits_the_best_size_and_ignores_n_jobs():
    X, y, _ = problem(4, n=80)
    one = BestSubsetRegressor(criterion="cv", cv=4, max_nonzero_coefs=6).fit(X, y)
    two = BestSubsetRegressor(criterion="cv", cv=4, max_nonzero_coefs=6, n_jobs=2).fit(
        X, y
    )
    assert one.mse_path_.shape == (7, 4)
    assert_array_equal(one.mse_path_, two.mse_path_)
    assert_array_equal(one.coef_, two.coef_)
    assert one.n_nonzero_coefs_ == np.argmin(one.mse_path_.mean(axis=1))
    held = slice(0, 20)  # the first of four unshuffled folds
    train = BestSubsetRegressor(one.n_nonzero_coefs_).fit(X[20:], y[20:])
    error = ((y[held] - train.predict(X[held])) ** 2).mean()
    assert_allclose(one.mse_path_[one.n_nonzero_coefs_, 0], error, rtol=1e-9)


def test_certificates_say_what_was_proved():
    X, y, _ = problem(5)
    local = BestSubsetRegressor(2).fit(X, y).certificate_
    exact = BestSubsetRegressor(2, method="exact").fit(X, y).certificate_
    assert (local.kind, exact.kind) == ("none", "exact")
    assert local.satisfied and exact.satisfied
    assert_allclose(exact.details["objective"], exhaustive(X, y, 2) / 80, rtol=1e-10)


@pytest.mark.parametrize(("doubt", "satisfied"), [(1e-6, True), (2e-6, False)])
def test_doubts_of_the_search_are_those_of_the_certificate(
    doubt, satisfied, monkeypatch
):
    X, y, _ = problem(5, n=60, d=6)

    def doubtful(problem, sizes, **options):
        fits, n_iter = search(problem, sizes, **options)
        for fit in fits:
            fit.state["doubt"] = doubt
        return fits, n_iter

    monkeypatch.setattr(subset_fit, "search", doubtful)
    model = BestSubsetRegressor(2, method="exact")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = model.fit(X, y).certificate_
    assert (found.value, found.tol) == (doubt, 1e-6)
    assert found.satisfied == satisfied == (not caught)
    assert found.details == {"objective": model.objective_, "size": 2}
    assert found.scale.startswith("share of the loss")
    if satisfied:
        local = BestSubsetRegressor(0).fit(X, y).certificate_
        assert local.scale.startswith("nothing is proved")
    assert_allclose(model.objective_, rss(model, X, y) / 120, rtol=1e-10)
    if not satisfied:
        with pytest.warns(ConvergenceWarning, match="what another set"):
            found = BestSubsetRegressor(2).fit(X, y).certificate_
        assert (found.kind, found.tol, found.value) == ("none", 0.0, doubt)


def test_a_chosen_size_that_is_refined_may_leave_another_ahead(monkeypatch):
    X, y, _ = problem(3, n=60, d=12)
    plain = BestSubsetRegressor(criterion="bic").fit(X, y)
    at, refined = plain.n_nonzero_coefs_, []

    def worse(self, problem, fit, forced):
        """What is chosen first loses its last feature."""
        refined.append(len(fit.units))
        return problem.refit(fit.units[:-1]) if len(refined) == 1 else fit

    monkeypatch.setattr(subset_fit.SubsetFitMixin, "_refined", worse)
    model = BestSubsetRegressor(criterion="bic").fit(X, y)
    assert refined[0] == at and len(refined) == 2 and refined[1] != at
    assert model.n_nonzero_coefs_ == refined[1]
    assert np.argmin(model.criterion_path_) == refined[1]
    # Of an exact search nothing is refined, and a given size stays.
    refined.clear()
    BestSubsetRegressor(criterion="bic", method="exact").fit(X, y)
    assert not refined
    assert BestSubsetRegressor(4).fit(X, y).n_nonzero_coefs_ == 3 and refined == [4]


# Invariances


@pytest.mark.parametrize("method", METHODS)
def test_scale_of_features_and_target_does_not_matter(method):
    X, y, _ = problem(6, n=60)
    scales = np.geomspace(1e-6, 1e6, X.shape[1])
    plain = BestSubsetRegressor(method=method).fit(X, y)
    scaled = BestSubsetRegressor(method=method).fit(X * scales, 1e5 * y)
    assert_array_equal(plain.support_, scaled.support_)
    assert_allclose(scaled.coef_ * scales, 1e5 * plain.coef_, rtol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_weights_are_repetitions(method):
    rng = np.random.default_rng(7)
    X, y, _ = problem(7, n=50)
    weights = rng.integers(0, 4, 50)
    repeated = np.repeat(np.arange(50), weights)
    a = BestSubsetRegressor(method=method).fit(X, y, sample_weight=weights)
    b = BestSubsetRegressor(method=method).fit(X[repeated], y[repeated])
    assert a.n_nonzero_coefs_ == b.n_nonzero_coefs_
    assert_allclose(a.coef_, b.coef_, rtol=1e-8, atol=1e-12)
    assert_allclose(a.criterion_path_, b.criterion_path_, rtol=1e-9)


@pytest.mark.parametrize("container", [sparse.csc_array, sparse.csr_matrix])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_sparse_and_dense_agree(container, weighted, l2):
    rng = np.random.default_rng(8)
    X = rng.standard_normal((80, 60)) * (rng.random((80, 60)) < 0.2) + 0.0
    y = X[:, :5].sum(axis=1) + 0.3 * rng.standard_normal(80)
    weights = rng.random(80) if weighted else None
    a = BestSubsetRegressor(l2=l2).fit(X, y, sample_weight=weights)
    b = BestSubsetRegressor(l2=l2).fit(container(X), y, sample_weight=weights)
    assert_array_equal(a.support_, b.support_)
    assert_allclose(a.coef_, b.coef_, rtol=1e-9)
    assert_allclose(a.predict(X), b.predict(container(X)), rtol=1e-9)


def test_single_precision_is_kept_and_close():
    X, y, _ = problem(9, n=60)
    a = BestSubsetRegressor(3).fit(X, y)
    b = BestSubsetRegressor(3).fit(X.astype(np.float32), y)
    assert b.coef_.dtype == np.float32
    assert_allclose(a.coef_, b.coef_, rtol=1e-4)


def test_large_offsets_do_not_hide_the_signal():
    X, y, _ = problem(10, n=60)
    a = BestSubsetRegressor(3).fit(X, y)
    b = BestSubsetRegressor(3).fit(X + 1e6, y)
    assert_array_equal(a.support_, b.support_)
    assert_allclose(a.coef_, b.coef_, rtol=1e-6)


# Sets that are asked for, degenerate data


@pytest.mark.parametrize("method", METHODS)
def test_features_that_are_always_selected_count(method):
    X, y, _ = problem(11)
    weakest = int(np.argmin(np.abs((X - X.mean(axis=0)).T @ (y - y.mean()))))
    model = BestSubsetRegressor(3, always_select=[weakest], method=method).fit(X, y)
    assert weakest in model.support_ and model.n_nonzero_coefs_ == 3
    best = min(
        rss_of(X, y, [weakest, *pair])
        for pair in combinations(set(range(12)) - {weakest}, 2)
    )
    if method in ("splicing", "exact"):
        assert_allclose(rss(model, X, y), best, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_no_feature_is_the_intercept(method):
    X, y, _ = problem(12)
    model = BestSubsetRegressor(0, method=method).fit(X, y)
    assert not model.coef_.any() and len(model.support_) == 0
    assert_allclose(model.intercept_, y.mean())


@pytest.mark.parametrize("method", METHODS)
def test_duplicate_and_constant_columns_do_no_harm(method):
    X, y, _ = problem(13, d=8, k=3)
    X = np.column_stack([X, X, np.ones(len(X)), X[:, 0] + X[:, 1]])
    model = BestSubsetRegressor(max_nonzero_coefs=8, method=method).fit(X, y)
    assert np.isfinite(model.coef_).all()
    assert model.coef_[16] == 0.0
    distinct = {j % 8 for j in model.support_ if j < 16}
    assert len(model.support_) - (17 in model.support_) == len(distinct)
    full = BestSubsetRegressor(18, method=method).fit(X, y)
    assert_allclose(rss(full, X, y), rss_of(X, y, range(8)), rtol=1e-8)


def test_constant_target_selects_nothing():
    X, _, _ = problem(14)
    model = BestSubsetRegressor().fit(X, np.full(len(X), 2.5))
    assert model.n_nonzero_coefs_ == 0
    assert_allclose(model.predict(X), 2.5)


def test_sizes_of_the_extended_bic_are_parameters_where_nobody_counts_features():
    alone = criterion_penalty("ebic", 3, 50.0, 10)
    assert_allclose(alone, 3 * np.log(50.0) + 2.0 * np.log(120.0))
    assert_allclose(criterion_penalty("ebic", 3, 50.0, 10, 3), alone)
    fewer = criterion_penalty("ebic", 3, 50.0, 10, 1)
    assert_allclose(fewer, 3 * np.log(50.0) + 2.0 * np.log(10.0))


def test_default_largest_size_follows_the_samples():
    assert default_largest(1.0, 1000) == 1  # never none
    assert default_largest(1000, 5000) == 60
    assert default_largest(10**6, 10**4) == 100
    assert default_largest(50, 3) == 3
    assert criterion_penalty("aic", 3, 10, 5) == 6.0


# Bad input


def test_too_large_k_is_refused_with_the_numbers():
    X, y, _ = problem(15)
    with pytest.raises(
        ValueError, match=r"`n_nonzero_coefs`=13 is more than min.*= 12"
    ):
        BestSubsetRegressor(13).fit(X, y)
    with pytest.raises(ValueError, match=r"`n_nonzero_coefs`=9 is more than min.*= 8"):
        BestSubsetRegressor(9).fit(X[:8], y[:8])
    with pytest.raises(ValueError, match="`max_nonzero_coefs`=50 is more"):
        BestSubsetRegressor(max_nonzero_coefs=50).fit(X, y)
    with pytest.raises(ValueError, match="samples of positive weight: 5"):
        weights = (np.arange(40) < 5).astype(float)
        BestSubsetRegressor(6).fit(X, y, sample_weight=weights)


def test_conflicting_wishes_are_refused():
    X, y, _ = problem(16)
    with pytest.raises(ValueError, match="less than the 2 features"):
        BestSubsetRegressor(1, always_select=[0, 3]).fit(X, y)
    with pytest.raises(ValueError, match="indices from 0 to 12, but there are 12"):
        BestSubsetRegressor(2, always_select=[0, 12]).fit(X, y)
    with pytest.raises(ValueError, match="list of indices"):
        BestSubsetRegressor(2, always_select=[0.5]).fit(X, y)
    with pytest.raises(ValueError, match="single features"):
        BestSubsetRegressor(2, groups=2, method="cd_swaps").fit(X, y)
    with pytest.raises(ValueError, match="at most 40 features"):
        wide = np.random.default_rng(0).standard_normal((40, 41))
        BestSubsetRegressor(2, method="exact").fit(wide, y)


# Kernels


def test_factor_kernels_agree_with_fresh_factorizations():
    rng = np.random.default_rng(17)
    n, k = 30, 6
    X, y = rng.standard_normal((n, k)), rng.standard_normal(n)
    Q, R, z = np.zeros((n, 8), order="F"), np.zeros((8, 8)), np.zeros(8)
    placed = np.zeros(k, dtype=np.int64)
    columns = np.asfortranarray(X)
    columns[:, 4] = columns[:, 0] - columns[:, 2]
    used = kernels.append_columns(Q, R, z, y, 0, columns, 1e-10, placed)
    assert used == 5
    assert_array_equal(placed, [0, 1, 2, 3, -1, 4])
    used = kernels.remove_column(Q, R, z, used, 1)
    kept = columns[:, [0, 2, 3, 5]]
    assert_allclose(Q[:, :4] @ R[:4, :4], kept, atol=1e-12)
    assert_allclose(Q[:, :4].T @ Q[:, :4], np.eye(4), atol=1e-13)
    assert_allclose(z[:4], Q[:, :4].T @ y, atol=1e-13)


def test_backward_elimination_rises_by_exactly_the_refitted_error():
    rng = np.random.default_rng(18)
    X, y = rng.standard_normal((40, 10)), rng.standard_normal(40)
    X[:, 1] = X[:, 0] + 1e-5 * X[:, 1]
    Q, R = np.linalg.qr(X)
    order, rise = np.zeros(10, dtype=np.int64), np.zeros(10)
    costs = kernels.costs_of_dropping(R, Q.T @ y, np.ones(10, dtype=bool))
    steps = kernels.remove_least(
        R.copy(), Q.T @ y, 10, np.ones(10, dtype=bool), order, rise
    )
    assert steps == 10

    def error(left):
        A = X[:, left]
        r = y - A @ np.linalg.lstsq(A, y, rcond=None)[0]
        return float(r @ r)

    left = list(range(10))
    for gone, cost in zip(order, rise, strict=True):
        before = error(left)
        changes = [error([j for j in left if j != c]) - before for c in left]
        if len(left) == 10:
            assert_allclose(costs, changes, rtol=1e-6, atol=1e-9)
        left.remove(gone)
        after = error(left)
        assert_allclose(after - before, cost, rtol=1e-9, atol=1e-9)
        assert cost <= min(changes) + 1e-9


def test_larger_exchanges_reach_what_single_ones_miss():
    single, several = [], []
    for seed in range(60):
        X, y, _ = problem(seed, k=4)
        best = exhaustive(X, y, 4)
        for found, size in ((single, 1), (several, 4)):
            model = BestSubsetRegressor(4, splice_size=size).fit(X, y)
            found.append(rss(model, X, y) / best)
            assert found[-1] >= 1 - 1e-9
    misses = [np.count_nonzero(np.array(f) > 1 + 1e-9) for f in (single, several)]
    assert misses[1] <= misses[0]
    # One round of exchanges is enough where nothing can be exchanged.
    X, y, _ = problem(0, k=2)
    short, full = (BestSubsetRegressor(2, max_iter=m).fit(X, y) for m in (1, 100))
    assert short.n_iter_ <= full.n_iter_
    assert rss(full, X, y) <= rss(short, X, y) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("apart", "k", "loss", "doubt"),
    [
        (1e-5, 2, 1.25, 0.0),
        (1e-5, 3, 1.0, 0.0),
        (1e-11, 2, 5.0, 0.75),
        (1e-11, 3, 5.0, 0.8),
    ],
)
@pytest.mark.parametrize("unit", [1.0, 2.0**-40])
def test_what_a_nearly_dependent_column_might_save_is_certified(
    apart, k, loss, doubt, unit
):
    """The two columns explain 4 of 5 together, if their difference can be told."""
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((30, 4)))[0]
    X = np.column_stack([Q[:, 0], Q[:, 0] + apart * Q[:, 1], Q[:, 2]])
    y = unit * (Q @ np.array([1.0, 2.0, 0.5, 1.0]))
    model = BestSubsetRegressor(k, method="exact", fit_intercept=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    assert_allclose(model.certificate_.value, doubt, atol=1e-4)
    assert model.certificate_.satisfied == (doubt == 0.0)
    objective = model.certificate_.details["objective"]
    assert_allclose(objective, loss * unit**2 / 60, rtol=1e-6)


@pytest.mark.parametrize("groups", [None, [[0, 3], [1], [2, 5], [4], [6, 7]]])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("always", [False, True])
def test_exhaustion_needs_no_good_start(groups, k, always, monkeypatch):
    """Started from the worst set of each size, it ends at the best."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((25, 8)) + 0.7 * rng.standard_normal((25, 1))
        y = X @ (rng.standard_normal(8) * (rng.random(8) < 0.5))
        y = (y + rng.standard_normal(25)) * 2.0 ** rng.choice([-20, 0, 20])
        units = [[j] for j in range(8)] if groups is None else groups
        kept = {1} if always else set()
        losses = {}
        for chosen in combinations(range(len(units)), k):
            if kept <= set(chosen):
                A = X[:, np.concatenate([units[u] for u in chosen]).astype(int)]
                losses[chosen] = np.linalg.norm(y - A @ np.linalg.lstsq(A, y)[0]) ** 2
        worst = max(losses, key=losses.get)
        worst = np.array(sorted(worst, key=lambda unit: unit not in kept))
        monkeypatch.setattr(
            _best_subset_search._Search,
            "_splicing",
            lambda self, sizes, worst=worst: [
                self.problem.fit(np.sort(worst[:size])) for size in sizes
            ],
        )
        model = BestSubsetRegressor(
            k,
            method="exact",
            groups=groups,
            always_select=[1] if always else None,
            fit_intercept=False,
        ).fit(X, y)
        best = min(losses, key=losses.get)
        columns = np.sort(np.concatenate([units[u] for u in best]).astype(int))
        assert_array_equal(model.support_, columns)
        assert_allclose(model.objective_, losses[best] / 50, rtol=1e-10)
        assert model.certificate_.satisfied and model.certificate_.value <= 1e-8


@pytest.mark.parametrize("cls", [BestSubsetRegressor, BestSubsetClassifier])
def test_old_names_of_sizes_warn_and_count(cls):
    X, y, _ = problem(0)
    y = y > 0 if cls is BestSubsetClassifier else y
    with pytest.warns(FutureWarning, match="`n_nonzero_coefs` since 0.2"):
        old = cls(k=2).fit(X, y)
    assert_array_equal(old.coef_, cls(2).fit(X, y).coef_)
    with pytest.warns(FutureWarning, match="`max_nonzero_coefs` since 0.2"):
        old = cls(k_max=3).fit(X, y)
    assert_array_equal(old.path_.sizes, [0, 1, 2, 3])
    with pytest.warns(FutureWarning, match="`n_nonzero_coefs_` since 0.2"):
        assert old.k_ == old.n_nonzero_coefs_


@pytest.mark.parametrize("storage", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_target_of_zeros_is_explained_by_nothing(storage, fit_intercept):
    X = np.random.default_rng(0).standard_normal((6, 4))
    for k in (1, 2):
        model = BestSubsetRegressor(k, method="exact", fit_intercept=fit_intercept)
        model.fit(storage(X), np.zeros(6))
        assert not model.coef_.any() and model.intercept_ == 0.0
        assert model.objective_ == 0.0
        assert model.certificate_.satisfied and model.certificate_.value == 0.0
