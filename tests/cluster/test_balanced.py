"""Balanced k-means: linear programs, exact sizes, duality, invariants."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import linprog
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from sparsestat.cluster import BalancedKMeans
from sparsestat.cluster._assignment import (
    bounded_assignment,
    check_sizes,
    dual_bound,
    scaled_sizes,
)
from sparsestat.cluster._balanced import _alternate, _Limits
from sparsestat.cluster._packing import check_capacity, packed_assignment
from sparsestat.exceptions import ConvergenceWarning


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def transport_cost(D, low, high):
    """Return the optimum of the linear program over fractional assignments."""
    n, k = D.shape
    rows = sparse.kron(sparse.eye_array(n), np.ones((1, k)))
    columns = sparse.kron(np.ones((1, n)), sparse.eye_array(k))
    bounds = sparse.vstack([columns, -columns])
    found = linprog(
        D.ravel(),
        A_ub=bounds,
        b_ub=np.concatenate([high, -low]),
        A_eq=rows,
        b_eq=np.ones(n),
        method="highs",
    )
    return found.fun


def random_bounds(rng, n, k, kind):
    if kind == "equal":
        return check_sizes(None, None, k, n)
    if kind == "fixed":
        sizes = np.bincount(rng.integers(0, k, n), minlength=k)
        return check_sizes(sizes, sizes, k, n)
    low, high = rng.integers(0, n // k + 1), rng.integers(-(-n // k), n + 1)
    return check_sizes(int(low), int(high), k, n)


@pytest.mark.parametrize("kind", ["equal", "fixed", "interval"])
@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("start", ["cold", "wrong prices"])
def test_assignment_is_the_optimum_of_the_linear_program(kind, rounded, start, rng):
    for _ in range(8):
        n = int(rng.integers(5, 90))
        k = int(rng.integers(1, min(n, 7) + 1))
        D = rng.standard_normal((n, k)) + 3 * rng.standard_normal(k)
        D = D.round() if rounded else D  # ties everywhere
        low, high = random_bounds(rng, n, k, kind)
        prices = None if start == "cold" else 3 * rng.standard_normal(k)
        found = bounded_assignment(D, low, high, prices)
        sizes = np.bincount(found.labels, minlength=k)
        assert_array_equal(sizes, found.sizes)
        assert (sizes >= low).all() and (sizes <= high).all()
        expected = transport_cost(D, low, high)
        scale = max(1.0, abs(expected))
        assert abs(found.cost - expected) <= 1e-9 * scale
        # The prices prove it without a second solver.
        assert abs(found.cost - found.lower_bound) <= 1e-9 * scale


def test_assignment_by_way_of_a_part_of_the_rows_is_exact(rng, monkeypatch):
    from sparsestat.cluster import _assignment

    n, k = 6000, 4  # enough rows for prices from a smaller problem
    D = rng.standard_normal((n, k)) + np.array([0.0, 1.0, 2.0, 5.0])
    low, high = check_sizes(None, None, k, n)
    found = bounded_assignment(D, low, high)
    assert found.sizes.tolist() == [1500] * 4
    assert abs(found.cost - found.lower_bound) <= 1e-10 * abs(found.cost)
    wrong = bounded_assignment(D, low, high, np.array([9.0, -9.0, 0.0, 0.0]))
    monkeypatch.setattr(_assignment, "_ROWS_A_GROUP", n)
    cold = bounded_assignment(D, low, high)
    for other in (wrong, cold):
        assert_allclose(found.cost, other.cost, rtol=1e-12)
    assert max(found.n_moves, wrong.n_moves) < cold.n_moves / 3


@pytest.mark.parametrize("n", [30, 31, 1000])
@pytest.mark.parametrize("k", [1, 4, 7])
def test_sizes_differ_by_at_most_one(n, k, rng):
    X = rng.standard_normal((n, 3)) * [10, 1, 0.1]
    model = BalancedKMeans(k, random_state=0).fit(X)
    sizes = np.bincount(model.labels_, minlength=k)
    assert sizes.max() - sizes.min() <= 1
    assert_array_equal(sizes, model.cluster_sizes_)
    assert_array_equal(model.predict(X, balanced=True).shape, (n,))


def test_brute_force_optimum_on_a_tiny_problem(rng):
    X = rng.standard_normal((8, 2))
    best = np.inf
    for labels in product(range(2), repeat=8):
        labels = np.array(labels)
        if labels.sum() != 4:
            continue
        parts = X[labels == 0], X[labels == 1]
        best = min(best, sum(((p - p.mean(axis=0)) ** 2).sum() for p in parts))
    model = BalancedKMeans(2, n_init=30, random_state=0).fit(X)
    assert_allclose(model.inertia_, best, rtol=1e-12)


def test_fitted_state_is_what_it_says(rng):
    X = make_blobs(500, centers=5, random_state=3)[0] + 100.0
    model = BalancedKMeans(5, random_state=0, tol=0).fit(X)
    means = np.array([X[model.labels_ == k].mean(axis=0) for k in range(5)])
    assert_allclose(model.cluster_centers_, means, rtol=1e-12)
    inertia = ((X - means[model.labels_]) ** 2).sum()
    assert_allclose(model.inertia_, inertia, rtol=1e-10)
    assert (np.diff(model.history_) <= 1e-12 * inertia).all()
    # The labels are the optimal assignment to the means they define.
    D = ((X[:, None] - means) ** 2).sum(axis=2)
    assert_allclose(transport_cost(D, *model.size_bounds_.T), inertia, rtol=1e-9)
    assert model.certificate_.satisfied
    assert model.certificate_.details["assignment_gap"] <= 1e-9


def test_bounds_that_do_not_bind_give_k_means(rng):
    X = make_blobs(300, centers=4, random_state=1)[0]
    start = X[:4]
    ours = BalancedKMeans(4, size_min=1, init=start, tol=0).fit(X)
    plain = KMeans(4, init=start, n_init=1, tol=0).fit(X)
    assert_array_equal(ours.labels_, plain.labels_)
    assert_allclose(ours.inertia_, plain.inertia_, rtol=1e-10)
    assert_array_equal(ours.prices_, 0)
    lone = BalancedKMeans(1).fit([[1.0, 2.0]], sample_weight=[3.0])
    assert lone.inertia_ == 0.0 and lone.certificate_.satisfied


def test_one_sided_and_single_bounds_hold(rng):
    X = make_blobs([400, 50, 20], random_state=0)[0]
    model = BalancedKMeans(3, size_max=200, random_state=0).fit(X)
    assert model.cluster_sizes_.max() <= 200
    model = BalancedKMeans(3, size_min=[10, 20, 300], random_state=0).fit(X)
    assert (model.cluster_sizes_ >= [10, 20, 300]).all()
    exact = [70, 100, 300]
    model = BalancedKMeans(3, size_min=exact, size_max=exact, random_state=0).fit(X)
    assert model.cluster_sizes_.tolist() == exact


def test_equal_blobs_are_found():
    X, y = make_blobs([60] * 5, random_state=7, cluster_std=0.7)
    model = BalancedKMeans(5, n_init=5, random_state=0).fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1.0


def test_shift_scale_and_row_order_do_not_matter(rng):
    X = rng.standard_normal((120, 3))
    start = X[:4]
    labels = BalancedKMeans(4, init=start).fit(X).labels_
    for scale in (1e-4, 1e4):
        moved = scale * X + 1e6 * scale
        again = BalancedKMeans(4, init=moved[:4]).fit(moved).labels_
        assert_array_equal(labels, again)
    order = rng.permutation(120)
    again = BalancedKMeans(4, init=start).fit(X[order]).labels_
    assert_array_equal(labels[order], again)


def test_duplicates_and_single_points_are_legal():
    X = np.repeat(np.arange(3.0)[:, None], 10, axis=0)
    with pytest.warns(ConvergenceWarning, match="distinct points"):
        model = BalancedKMeans(6, random_state=0).fit(X)
    assert model.cluster_sizes_.tolist() == [5] * 6 and model.inertia_ <= 10.0
    with pytest.warns(ConvergenceWarning, match="distinct points"):
        model = BalancedKMeans(5, random_state=0).fit(np.ones((10, 2)))
    assert model.cluster_sizes_.tolist() == [2] * 5 and model.inertia_ == 0
    model = BalancedKMeans(3, random_state=0).fit(np.eye(3))
    assert sorted(model.labels_.tolist()) == [0, 1, 2] and model.inertia_ == 0


def test_empty_clusters_are_possible_only_if_allowed(rng):
    X = np.concatenate([rng.standard_normal((50, 2)), [[500.0, 0.0]]])
    model = BalancedKMeans(3, size_min=0, random_state=0).fit(X)
    assert model.cluster_sizes_.sum() == 51 and model.certificate_.satisfied


def test_prediction_with_and_without_sizes(rng):
    X = rng.standard_normal((90, 2))
    model = BalancedKMeans(3, random_state=0).fit(X)
    new = rng.standard_normal((30, 2)) + [2.0, 0.0]
    nearest = ((new[:, None] - model.cluster_centers_) ** 2).sum(axis=2).argmin(axis=1)
    assert_array_equal(model.predict(new), nearest)
    balanced = model.predict(new, balanced=True)
    assert np.bincount(balanced).tolist() == [10, 10, 10]


def test_prices_are_what_one_more_place_saves(rng):
    D = rng.random((40, 3)) * [1, 2, 3]
    low = high = np.array([10, 15, 15])
    found = bounded_assignment(D, low, high)
    # One place moved from cluster 2 to cluster 0 saves no less than the prices say.
    other = np.array([11, 15, 14])
    saved = found.cost - bounded_assignment(D, other, other).cost
    assert saved <= found.prices[2] - found.prices[0] + 1e-12


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_clusters": 21}, "n_samples=20 must be at least n_clusters=21"),
        ({"size_min": 8}, "add up to 24, but there are only 20"),
        ({"size_max": 6}, "no room for all 20 samples"),
        ({"size_min": 7, "size_max": 6}, "must not exceed size_max"),
        ({"size_min": [1, 2]}, "an integer or 3 integers"),
        ({"size_min": [1, 2, -3]}, "must not be negative"),
        ({"size_max": [1.5, 2, 3]}, "an integer or 3 integers"),
        ({"init": np.ones((2, 2))}, r"init must be a finite array of shape \(3, 2\)"),
        ({"init": "best"}, "'init'"),
        ({"n_clusters": 0}, "'n_clusters'"),
    ],
)
def test_bad_input(parameters, message, rng):
    X = rng.standard_normal((20, 2))
    with pytest.raises(ValueError, match=message):
        BalancedKMeans(**{"n_clusters": 3, **parameters}).fit(X)


def test_complex_data_are_refused_and_stopping_early_warns(rng):
    X = rng.standard_normal((200, 2))
    with pytest.raises(ValueError, match="Complex data not supported"):
        BalancedKMeans(2).fit(X * 1j)
    with pytest.warns(ConvergenceWarning, match="Raise max_iter or tol"):
        BalancedKMeans(5, max_iter=1, random_state=0).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BalancedKMeans(5, random_state=0).fit(X)


def test_every_iteration_is_logged(rng, caplog):
    X = rng.standard_normal((60, 2))
    model = BalancedKMeans(3, random_state=0, verbose=1).fit(X)
    lines = [r.getMessage() for r in caplog.records if r.name == "sparsestat"]
    assert len(lines) == model.n_iter_ == len(model.history_)
    assert lines[-1].endswith(f"inertia {model.inertia_:.4e}")


# Distances, sparse rows, weights, exact sizes and capacities


def test_distances_score_and_names_speak_of_the_fitted_centers(rng):
    X = rng.standard_normal((40, 3))
    model = BalancedKMeans(4, random_state=0).fit(X)
    distance = np.linalg.norm(X[:, None] - model.cluster_centers_, axis=2)
    assert_allclose(model.transform(X), distance, rtol=1e-9)
    assert model.score(X) == pytest.approx(-(distance.min(axis=1) ** 2).sum())
    assert_array_equal(model.predict(X), distance.argmin(axis=1))
    assert model.get_feature_names_out()[0] == "balancedkmeans0"


def test_sparse_rows_give_the_answer_of_dense_ones(rng):
    X = rng.standard_normal((60, 5)) * (rng.uniform(size=(60, 5)) < 0.5)
    X[:, 0] = rng.standard_normal(60)
    weights = rng.uniform(0.5, 2.0, 60)
    for arguments in ({}, {"sizes": [10, 20, 30]}, {"capacity": 0.4 * weights.sum()}):
        model = BalancedKMeans(3, init=X[:3], **arguments)
        dense = model.fit(X, sample_weight=weights)
        labels, centers, inertia = model.labels_, model.cluster_centers_, model.inertia_
        model.fit(sparse.csr_array(X), sample_weight=weights)
        assert_array_equal(model.labels_, labels)
        assert_allclose(model.cluster_centers_, centers, rtol=1e-9, atol=1e-12)
        assert model.inertia_ == pytest.approx(inertia, rel=1e-9)
        assert_allclose(model.transform(sparse.csr_array(X)), dense.transform(X))


def test_exact_sizes_and_zero_weights(rng):
    X = rng.standard_normal((30, 2))
    model = BalancedKMeans(3, sizes=[5, 10, 15], random_state=0).fit(X)
    assert model.cluster_sizes_.tolist() == [5, 10, 15]
    assert BalancedKMeans(3, sizes=10, random_state=0).fit(X).cluster_sizes_.min() == 10
    weights = np.r_[np.zeros(5), np.ones(25)]
    X[:5] = 1e300  # any content
    init = X[5:8]
    model = BalancedKMeans(5, init=np.vstack([init, init + 1])[:5])
    full = model.fit(X, sample_weight=weights)
    inertia, labels = full.inertia_, full.labels_
    short = model.fit(X[5:])
    assert inertia == short.inertia_
    assert_array_equal(labels[5:], short.labels_)


def test_scale_of_weights_changes_only_units(rng):
    X, weights = rng.standard_normal((40, 2)), rng.uniform(0.5, 2.0, 40)
    one = BalancedKMeans(3, init=X[:3]).fit(X, sample_weight=weights)
    two = BalancedKMeans(3, init=X[:3]).fit(X, sample_weight=2.0**80 * weights)
    assert_array_equal(one.labels_, two.labels_)
    assert_array_equal(one.cluster_centers_, two.cluster_centers_)
    assert two.inertia_ == 2.0**80 * one.inertia_
    means = [
        np.average(X[one.labels_ == k], axis=0, weights=weights[one.labels_ == k])
        for k in range(3)
    ]
    assert_allclose(one.cluster_centers_, means, rtol=1e-12)


def test_packings_fit_and_are_bounded_by_enumeration(rng):
    for _ in range(10):
        D, loads = rng.uniform(size=(8, 3)), rng.uniform(0.5, 2.0, 8)
        capacity = np.full(3, 1.25 * loads.sum() / 3)
        best = np.inf
        for labels in product(range(3), repeat=8):
            if (np.bincount(labels, loads, minlength=3) <= capacity).all():
                best = min(best, loads @ D[np.arange(8), labels])
        found = packed_assignment(D, loads, capacity)
        used = np.bincount(found.labels, loads, minlength=3)
        assert (used <= capacity * (1 + 1e-9)).all()
        assert found.lower_bound <= best * (1 + 1e-12)
        assert best * (1 - 1e-12) <= found.cost <= 1.35 * best
        # What fits already and costs less is kept.
        again = packed_assignment(D, loads, capacity, before=found.labels)
        assert again.cost <= found.cost


def test_capacities_hold_and_equal_loads_are_assigned_exactly(rng):
    X, loads = rng.standard_normal((300, 2)), rng.uniform(0.2, 3.0, 300)
    capacity = np.array([0.5, 0.35, 0.2]) * loads.sum()
    model = BalancedKMeans(3, capacity=capacity, random_state=0)
    model.fit(X, sample_weight=loads)
    assert (model.cluster_loads_ <= capacity * (1 + 1e-9)).all()
    loads_found = np.bincount(model.labels_, loads, minlength=3)
    assert_allclose(model.cluster_loads_, loads_found)
    assert 0 <= model.certificate_.details["assignment_gap"] < 0.01
    assert (np.diff(model.history_) <= 0).all()
    again = model.predict(X[:100], balanced=True, sample_weight=loads[:100])
    share = loads[:100].sum() / loads.sum()
    assert (np.bincount(again, loads[:100]) <= share * capacity * (1 + 1e-9)).all()
    # Of loads that are all 2, a capacity of 211 holds 105.
    even = BalancedKMeans(3, capacity=211, random_state=0).fit(
        X, sample_weight=np.full(300, 2.0)
    )
    sizes = BalancedKMeans(3, size_min=0, size_max=105, random_state=0).fit(X)
    assert_array_equal(even.labels_, sizes.labels_)
    assert even.inertia_ == pytest.approx(2 * sizes.inertia_)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"sizes": [10, 10, 9]}, "sizes add up to 29, but there are 30"),
        ({"sizes": 10, "size_min": 3}, "two ways to bound a cluster"),
        ({"capacity": 9.0}, "capacities add up to 27"),
        ({"capacity": [40.0, -1.0, 0.0]}, "must not be negative"),
        ({"capacity": [40.0, 1.0]}, "3 finite numbers"),
        ({"capacity": [10.5, 10.5, 9.5]}, "hold 29 of the 30 samples"),
    ],
)
def test_limits_that_cannot_be_met_are_refused(parameters, message):
    X = np.random.default_rng(0).standard_normal((30, 2))
    with pytest.raises(ValueError, match=message):
        BalancedKMeans(3, **parameters).fit(X)


def test_loads_that_cannot_be_packed_are_refused():
    X = np.random.default_rng(0).standard_normal((3, 2))
    with pytest.raises(ValueError, match=r"No packing.* are 1.02 times the loads"):
        BalancedKMeans(2, capacity=3.0, init=X[:2]).fit(
            X, sample_weight=[2.0, 2.0, 1.9]
        )
    with pytest.raises(ValueError, match="above every capacity"):
        BalancedKMeans(2, capacity=3.0).fit(X, sample_weight=[4.0, 1.0, 0.5])


def test_any_prices_bound_every_assignment():
    D = np.array([[0.0, 2.0, 5.0], [1.0, 1.5, 3.0], [4.0, 0.5, 2.0], [2.0, 2.0, 0.25]])
    low, high = np.array([1, 0, 1]), np.array([2, 3, 2])
    rng = np.random.default_rng(0)
    best = min(
        sum(D[i, k] for i, k in enumerate(labels))
        for labels in product(range(3), repeat=4)
        if (np.bincount(labels, minlength=3) >= low).all()
        and (np.bincount(labels, minlength=3) <= high).all()
    )
    for prices in (np.zeros(3), *(2.0 * rng.standard_normal((20, 3)))):
        sizes = np.where(prices > 0, low, high)
        expected = (D - prices).min(axis=1).sum() + sizes @ prices
        assert_allclose(dual_bound(D, low, high, prices), expected, rtol=1e-14)
        assert dual_bound(D, low, high, prices) <= best + 1e-12
    # Rows come in blocks.
    tall = np.tile(D, (20_000, 1))
    found = dual_bound(tall, 20_000 * low, 20_000 * high, prices)
    assert_allclose(found, 20_000 * expected, rtol=1e-10)
    assert_array_equal(scaled_sizes(low, high, 4, 2), [[0, 0, 0], [1, 2, 1]])
    assert_array_equal(scaled_sizes(np.array([3]), np.array([5]), 8, 3), [[1], [2]])
    assert_array_equal(check_sizes(None, None, 3, 6), [[2, 2, 2], [2, 2, 2]])
    assert_array_equal(check_sizes(None, None, 3, 7), [[2, 2, 2], [3, 3, 3]])


@pytest.mark.parametrize(
    ("costs", "last", "change", "history"),
    [
        ([10.0, 8.0, 9.0], [0, 1, 1, 1], 1 / 9, [10.0, 8.0, 8.0]),  # no convergence
        ([10.0, 8.0, 9.0], [0, 0, 0, 1], 1 / 9, [10.0, 8.0, 8.0]),
        ([10.0, 8.0, 9.0], [0, 1, 0, 1], 0.0, [10.0, 8.0, 8.0]),  # a fixed point
        ([10.0, 8.0, 8.0 + 2e-15], [0, 1, 1, 1], 0.0, [10.0, 8.0, 8.0]),  # rounding
        ([10.0, 8.0, 8.0 - 4e-6], [0, 1, 1, 1], 5e-7, [10.0, 8.0, 8.0 - 4e-6]),
        ([10.0, 8.0, 0.0], [0, 1, 1, 1], 0.0, [10.0, 8.0, 0.0]),  # nothing is left
    ],
)
def test_a_rise_of_the_cost_is_no_convergence(costs, last, change, history):
    """Distances that rounding spoils may give assignments that cost more."""
    labels = [[0, 0, 1, 1], [0, 1, 0, 1], last]
    found = iter(
        SimpleNamespace(labels=np.array(one), sizes=np.array([2, 2]), cost=8.0)
        for one in labels
    )
    values = iter(costs)
    rows = SimpleNamespace(
        distances=lambda centers: np.zeros((4, 2)),
        means=lambda labels, centers: centers,
        cost=lambda labels, means: next(values),
        squares=lambda: np.full(4, 3.0),
    )
    limits = SimpleNamespace(
        assign=lambda D, before: next(found),
        prove=lambda D, best: None,
        weights=np.array([1.0, 2.0, 1.0, 1.0]),
    )
    seen = []
    run = _alternate(rows, np.zeros((2, 1)), limits, 9, 1e-6, seen.append)
    assert seen == history
    assert_allclose(run["change"], change, rtol=1e-6)
    assert run["history"] == history
    assert run["total"] == 15.0 + 8.0
    best = labels[2] if costs[2] < costs[1] else labels[1]
    assert_array_equal(run["assignment"].labels, best)


@pytest.mark.parametrize("free", [0.2, 0.5])
def test_packings_are_bounded_by_their_prices(free, rng):
    """The bound is that of the linear program over split loads, at any shift of D."""
    for shift in (0.0, 50.0, -50.0):
        D, loads = rng.uniform(size=(12, 3)) + shift, rng.integers(1, 9, 12) / 4.0
        D += 0.5 * np.arange(3)
        capacity = (1 + free) * loads.sum() * np.array([0.2, 0.3, 0.5])
        found = packed_assignment(D, loads, np.maximum(capacity, loads.max()))
        capacity = np.maximum(capacity, loads.max())
        used = np.bincount(found.labels, loads, minlength=3)
        assert (used <= capacity * (1 + 1e-9)).all()
        assert found.cost == pytest.approx(loads @ D[np.arange(12), found.labels])
        assert_array_equal(found.sizes, np.bincount(found.labels, minlength=3))
        split = linprog(
            (D * loads[:, None]).ravel(),
            A_ub=sparse.kron(loads[None, :], sparse.eye_array(3)),
            b_ub=capacity,
            A_eq=sparse.kron(sparse.eye_array(12), np.ones((1, 3))),
            b_eq=np.ones(12),
            method="highs",
        ).fun
        assert found.lower_bound == pytest.approx(split, rel=1e-9, abs=1e-8)
        assert found.prices.max() <= 0.0
        priced = loads @ (D - found.prices).min(axis=1) + capacity @ found.prices
        assert found.lower_bound == pytest.approx(priced, rel=1e-12)
        # Labels that fit and cost as much are kept, those that cost more are not.
        assert packed_assignment(D, loads, capacity, before=found.labels).cost == (
            pytest.approx(found.cost, rel=1e-12)
        )
    assert found.n_moves == 0
    # Equal loads are split nowhere: the packing is the optimum.
    whole = packed_assignment(D, np.ones(12), np.array([2.0, 4.0, 6.0]))
    assert whole.sizes.tolist() == [2, 4, 6]
    assert whole.cost == pytest.approx(whole.lower_bound, rel=1e-9, abs=1e-9)
    # Sums that differ by rounding are equal, others are not, whatever the unit.
    assert_array_equal(check_capacity(1e3 - 1e-9, 3, np.full(3, 1e3)), 1e3 - 1e-9)
    for more, loads in ((1e-13, np.ones(3)), (2e-13, np.full(3, 1.0 + 1e-13))):
        assert_array_equal(check_capacity(1.0 - more, 3, loads), 1.0 - more)
    with pytest.raises(ValueError, match="less than the total"):
        check_capacity(1.0 - 1e-10, 3, np.ones(3))
    with pytest.raises(ValueError, match="above every capacity"):
        check_capacity(1.0, 3, np.array([1.0 + 1e-10]))
    with pytest.raises(ValueError, match="3 finite numbers"):
        check_capacity(np.nan, 3, np.ones(1))
    assert_array_equal(check_capacity([0.0, 3.0], 2, np.ones(3)), [0.0, 3.0])


@pytest.mark.parametrize("unit", [1.0, 2.0**10])
@pytest.mark.parametrize("kind", ["even", "weights", "capacity", "even capacity"])
def test_what_was_proved_is_in_the_units_of_the_data(kind, unit, rng):
    X = unit * (make_blobs(60, centers=4, random_state=0)[0] + 5.0)
    w = np.full(60, 3.0) if "even" in kind else 8.0 * rng.uniform(0.5, 2.0, 60)
    arguments = {"size_max": 22}
    if "capacity" in kind:
        arguments = {"capacity": 1.1 * w.sum() / 3}
    first = BalancedKMeans(3, random_state=0, tol=0, **arguments)
    first.fit(X, sample_weight=w)
    # From its own means, those that labels were assigned to are the fitted ones.
    model = BalancedKMeans(3, init=first.cluster_centers_, tol=1e-6, **arguments)
    model.fit(X, sample_weight=w)
    means, labels = model.cluster_centers_, model.labels_
    D = ((X[:, None] - means) ** 2).sum(axis=2)
    inertia = w @ D[np.arange(60), labels]
    assert model.inertia_ == pytest.approx(inertia, rel=1e-10)
    assert model.history_[-1] == model.inertia_
    assert_allclose(model.cluster_loads_, np.bincount(labels, w, minlength=3))
    prices = model.prices_
    if "capacity" in kind:
        bound = w @ (D - prices).min(axis=1) + model.capacity_ @ prices
        assert_allclose(model.capacity_, arguments["capacity"])
    else:
        low, high = model.size_bounds_.T
        bound = dual_bound(w[:, None] * D, low, high, prices)
    # Any prices bound the cost of an assignment to the means from below.
    assert bound <= inertia * (1 + 1e-9)
    gap = model.certificate_.details["assignment_gap"]
    total = w @ ((X - X.mean(axis=0)) ** 2).sum(axis=1)
    # Packings are not optimal, and start anew with other means.
    slack = 5e-3 if kind == "capacity" else 1e-9
    assert (inertia - bound) / total == pytest.approx(gap, abs=slack)
    if kind != "capacity":  # solved to the optimum
        assert bound == pytest.approx(inertia, rel=1e-9) and gap <= 1e-9
    assert model.certificate_.value <= 1e-6 and model.certificate_.satisfied
    assert model.certificate_.details["inertia"] == model.inertia_


def test_clusters_without_samples_start_again_far_from_all():
    seen = []

    def distances(centers):
        seen.append(centers.copy())
        return np.array([[0.0, 0, 0], [1, 1, 1], [2, 2, 2], [0.5, 0.5, 0.5]])

    values = iter([4.0, 3.0, 3.0])
    rows = SimpleNamespace(
        distances=distances,
        means=lambda labels, centers: centers,
        cost=lambda labels, means: next(values),
        squares=lambda: np.array([0.0, 0.0, 1.0, 9.0]),
        at=lambda where: 100.0 + np.asarray(where, float)[:, None],
    )
    found = SimpleNamespace(
        labels=np.array([0, 0, 0, 1]), sizes=np.array([3, 1, 0]), cost=1.0
    )
    limits = SimpleNamespace(
        assign=lambda D, before: found, prove=lambda D, best: None, weights=np.ones(4)
    )
    start = np.array([[0.0], [1.0], [2.0]])
    _alternate(rows, start, limits, 9, 1e-6, lambda cost: False)
    # The row that is farthest from its own center is the last one.
    later = next(c for c in seen if (c != start).any())
    assert_array_equal(later, [[0.0], [1.0], [103.0]])
    assert_array_equal(start, [[0.0], [1.0], [2.0]])


@pytest.mark.parametrize("weights", [np.full(12, 1.5), np.arange(1.0, 13.0)])
def test_assignments_are_proved_in_units_of_a_load(weights, rng):
    D, low = rng.standard_normal((12, 3)) - 4.0, np.array([2, 3, 4])
    limits = _Limits(low, low + 2, None, weights)
    found = limits.assign(D, None)
    prices = found.prices
    limits.prove(D, found)
    weighted = weights[:, None] * D
    cost = weighted[np.arange(12), found.labels].sum()
    assert found.cost == pytest.approx(cost, rel=1e-12)
    assert found.lower_bound == pytest.approx(cost, rel=1e-9)
    factor = 1.5 if weights[0] == weights[1] else 1.0
    assert_allclose(found.prices, factor * prices, rtol=1e-12)
    bound = dual_bound(weighted, low, low + 2, found.prices)
    assert found.lower_bound == pytest.approx(bound, rel=1e-12)
    if factor == 1.0:  # loads that differ are packed
        capacity = np.array([30.0, 30.0, 40.0])
        limits = _Limits(low, low + 2, capacity, weights)
        found = limits.assign(D, None)
        bound = weights @ (D - found.prices).min(axis=1) + capacity @ found.prices
        limits.prove(D, found)
        assert found.lower_bound == pytest.approx(bound, rel=1e-12)
        cost = weighted[np.arange(12), found.labels].sum()
        assert found.cost == pytest.approx(cost, rel=1e-12)
        assert found.prices.any()


def test_gaps_of_assignments_are_never_negative(monkeypatch):
    from sparsestat.cluster import _balanced

    X = np.random.default_rng(0).standard_normal((12, 2))
    same = BalancedKMeans(2, init=np.zeros((2, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert same.fit(0 * X).certificate_.details["assignment_gap"] == 0.0
    # Capacities that just hold all samples are enough.
    full = BalancedKMeans(3, capacity=4.0, random_state=0).fit(X)
    assert full.cluster_sizes_.tolist() == [4, 4, 4]

    def prove(self, D, found):
        found.cost, found.lower_bound = 1.0, 2.0

    monkeypatch.setattr(_balanced._Limits, "prove", prove)
    model = BalancedKMeans(3, random_state=0).fit(X)
    assert model.certificate_.details["assignment_gap"] == 0.0
