"""Exact k-means on a line: brute force, rationals, invariances, bad input."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import itertools
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.utils.estimator_checks import parametrize_with_checks

from sparsestat._utils.samples import check_samples
from sparsestat.cluster import KMeans1D
from sparsestat.cluster._optimal_levels import optimal_levels
from sparsestat.exceptions import ConvergenceWarning
from sparsestat.sparse import _kernels_codebook as codebook


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


class FirstOfMany(KMeans1D):
    """KMeans1D on the first of many columns, as the common checks pass them."""

    def _column(self, X, *, reset=True):
        return check_samples(self, X, reset=reset)[:, 0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = False
        return tags


@parametrize_with_checks([FirstOfMany(3), FirstOfMany("bic", max_clusters=4)])
def test_scikit_learn_checks_hold_on_one_column(estimator, check):
    check(estimator)


def least_cost(x, w, k):
    """Return the optimum over all partitions into intervals, in rationals."""
    order = sorted(range(len(x)), key=lambda i: x[i])
    x = [Fraction(float(x[i])) for i in order]
    w = [Fraction(float(w[i])) for i in order]

    def cost(i, j):
        total = sum(w[i:j])
        if total == 0:
            return Fraction(0)
        mean = sum(a * b for a, b in zip(x[i:j], w[i:j], strict=True)) / total
        pairs = zip(x[i:j], w[i:j], strict=True)
        return sum((b * (a - mean) ** 2 for a, b in pairs), Fraction(0))

    cuts = itertools.combinations(range(1, len(x)), k - 1)
    return min(
        sum(cost(i, j) for i, j in itertools.pairwise((0, *cut, len(x))))
        for cut in cuts
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pairs", [False, True])
def test_the_cost_is_that_of_brute_force_for_every_k(rng, weighted, pairs):
    for _ in range(20):
        n = rng.integers(2, 10)
        x = rng.standard_normal(n).round(rng.integers(0, 4))
        w = rng.integers(1, 5, n).astype(float)
        found = optimal_levels(x, w if weighted else None, n, pairs=pairs)
        for k, cost in enumerate(found.costs, start=1):
            best = least_cost(x, w if weighted else np.ones(n), k)
            assert_allclose(cost, float(best), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("pairs", [False, True])
def test_many_values_are_halved_to_the_same_optimum(pairs):
    rng = np.random.default_rng(3)
    n = 90 if pairs else 150
    x, w = np.sort(rng.standard_normal(n)), rng.integers(1, 5, n).astype(float)
    sums = [np.r_[0.0, np.cumsum(w * x**power)] for power in range(3)]

    def cost(i, j):
        W, S, Q = (s[j] - s[i] for s in sums)
        return Q - S * S / W

    best = np.array([np.inf, *(cost(0, j) for j in range(1, n + 1))])
    for k in range(1, 5):
        assert_allclose(optimal_levels(x, w, k, pairs=pairs).costs[-1], best[n])
        new = np.full(n + 1, np.inf)
        for j in range(k + 1, n + 1):
            i = np.arange(k, j)
            new[j] = (best[i] + cost(i, j)).min()
        best = new
    assert not optimal_levels(x, w, 4).pairs


def test_pairs_and_doubles_agree_on_more_values(rng):
    x, w = rng.standard_normal(3000), rng.gamma(0.3, size=3000) + 1e-6
    one, two = (optimal_levels(x, w, 40, pairs=p) for p in (False, True))
    assert_allclose(one.costs, two.costs, rtol=1e-12)
    assert (two.excess[1:] < one.excess[1:]).all()
    assert (np.abs(one.costs - two.costs) <= one.excess + 1e-14 * one.costs).all()


def test_attributes_are_those_of_the_partition(rng):
    x, w = rng.standard_normal(200), rng.random(200)
    model = KMeans1D(5).fit(x, sample_weight=w)
    centers = model.cluster_centers_.ravel()
    assert (np.diff(centers) > 0).all()
    for k in range(5):
        mine = model.labels_ == k
        assert_allclose(centers[k], np.average(x[mine], weights=w[mine]), rtol=1e-12)
    rest = w * (x - centers[model.labels_]) ** 2
    assert_allclose(model.inertia_, rest.sum(), rtol=1e-12)
    assert_allclose(model.boundaries_, (centers[1:] + centers[:-1]) / 2)
    assert_array_equal(model.predict(x), model.labels_)
    assert_array_equal(model.fit_predict(x, sample_weight=w), model.labels_)
    for k in range(1, 5):
        smaller = KMeans1D(k).fit(x, sample_weight=w)
        assert_allclose(model.inertia_path_[k - 1], smaller.inertia_, rtol=1e-10)
    assert model.certificate_.kind == "exact" and model.certificate_.satisfied
    assert model.certificate_.value < 1e-9


def test_no_local_minimum_is_below(rng):
    x, w = rng.gamma(0.3, size=400), rng.gamma(0.3, size=400)
    exact = KMeans1D(12).fit(x, sample_weight=w).inertia_
    local = KMeans(12, n_init=3, random_state=0).fit(x[:, None], sample_weight=w)
    assert exact <= local.inertia_ * (1 + 1e-12)


def test_columns_vectors_lists_series_and_frames_are_the_same(rng):
    x = rng.standard_normal(30)
    expected = KMeans1D(3).fit(x)
    frame = pd.DataFrame({"a": x})
    for X in (x[:, None], x.tolist(), pd.Series(x), frame, np.asfortranarray(x)):
        model = KMeans1D(3).fit(X)
        assert_array_equal(model.labels_, expected.labels_)
        assert_array_equal(model.cluster_centers_, expected.cluster_centers_)
        assert model.n_features_in_ == 1
    assert KMeans1D(3).fit(frame).feature_names_in_ == ["a"]


def test_shift_scale_order_and_repetition(rng):
    x, w = rng.standard_normal(50).round(2), rng.integers(0, 4, 50)
    model = KMeans1D(4).fit(x, sample_weight=w)
    scaled = KMeans1D(4).fit(2.0**40 * x, sample_weight=2.0**-30 * w)
    assert_array_equal(scaled.labels_, model.labels_)
    assert scaled.inertia_ == 2.0**50 * model.inertia_
    assert_array_equal(scaled.cluster_centers_, 2.0**40 * model.cluster_centers_)
    shifted = KMeans1D(4).fit(x + 2.0**20, sample_weight=w)
    assert_array_equal(shifted.labels_, model.labels_)
    assert_allclose(shifted.inertia_, model.inertia_, rtol=1e-6)
    order = rng.permutation(50)
    moved = KMeans1D(4).fit(x[order], sample_weight=w[order])
    assert_array_equal(moved.labels_, model.labels_[order])
    repeated = KMeans1D(4).fit(np.repeat(x, w))
    assert_allclose(repeated.cluster_centers_, model.cluster_centers_, rtol=1e-12)
    assert_array_equal(repeated.labels_, np.repeat(model.labels_, w))


def test_samples_of_weight_zero_follow_the_nearest_center(rng):
    x = np.array([0.0, 0.1, 5.0, 5.1, 1e6, 2.0, 3.0])
    w = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    model = KMeans1D(2).fit(x, sample_weight=w)
    assert_array_equal(model.labels_, [0, 0, 1, 1, 1, 0, 1])
    assert_allclose(model.cluster_centers_.ravel(), [0.05, 5.05])


def test_far_clusters_of_tiny_spread_are_solved_in_pairs():
    x = np.r_[np.arange(8) * 2.0**-9, 2.0**20 + np.arange(8) * 2.0**-8, -(2.0**20)]
    model = KMeans1D(6).fit(x)
    assert model.certificate_.details["precision"] == "pairs of doubles"
    best = least_cost(x, np.ones(len(x)), 6)
    assert_allclose(model.inertia_, float(best), rtol=1e-7)
    assert model.certificate_.satisfied
    # Double precision alone goes wrong here, and its bound says so.
    rough = optimal_levels(x, None, 6, pairs=False)
    assert rough.excess[-1] > 1e-7 * rough.costs[-1]


def test_weights_of_very_different_sizes():
    # A far sample of little weight counts with what it costs.
    model = KMeans1D(1).fit([0.0, 1.0, 1e20], sample_weight=[1, 1, 1e-40])
    assert_allclose(model.inertia_, 1.5)
    assert model.certificate_.satisfied
    # Where nothing is left but such a cost, which cluster bears it is not certain.
    with pytest.warns(ConvergenceWarning, match="lacks precision"):
        model = KMeans1D(2).fit([0.0, 1.0, 0.3], sample_weight=[1, 1, 1e-40])
    assert not model.certificate_.satisfied
    assert_allclose(model.cluster_centers_.ravel(), [0.0, 1.0], atol=1e-12)
    # Pairs of doubles tell these weights apart.
    for light in (1e-12, 1e-17):
        x, w = [0.0, 1.0, 0.3, 0.8], [1.0, 1.0, light, light]
        model = KMeans1D(3).fit(x, sample_weight=w)
        assert model.certificate_.satisfied
        assert_allclose(model.inertia_, float(least_cost(x, w, 3)), rtol=1e-10)


@pytest.mark.parametrize("pairs", [False, True])
def test_the_excess_bounds_what_rounding_did(rng, pairs):
    # Exponents of weights all over: the cost of what was found, in rationals.
    for _ in range(20):
        x, w = rng.standard_normal(8), 10.0 ** rng.uniform(-22, 0, 8)
        found = optimal_levels(x, w, 7, pairs=pairs)
        for k in range(2, 8):
            labels = np.repeat(np.arange(k), np.diff(found.ends[k - 1]))
            cost = sum(
                least_cost(found.values[labels == c], found.weights[labels == c], 1)
                for c in range(k)
            )
            above = float(cost - least_cost(x, w, k))
            assert above <= found.excess[k - 1]


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_excess_is_the_bound_of_its_parts(pairs, weighted):
    x = np.array([0.0, 1.0, 1.5, 4.0, 9.0, 9.25])
    w = np.array([1.0, 2.0, 0.5, 1.0, 4.0, 1.0]) if weighted else np.ones(6)
    found = optimal_levels(x, w if weighted else None, 4, pairs=pairs)
    # Of values less their weighted median.
    away = x - (9.0 if weighted else 1.5)
    reach = np.abs(away).max()
    one = 8 * reach * np.abs(np.cumsum(w * away)).max() + 4 * w @ away**2
    if weighted:
        one += 16 * reach**2 * w.sum()
    unit = 2.0**-104 * 22 if pairs else 2.0**-53
    expected = 4 * np.arange(1, 5) * (np.log2(6) + 2) * unit * one
    moved = unit * reach
    shifts = 2 * moved * np.sqrt(w.sum() * found.costs) + moved**2 * w.sum()
    expected = expected + shifts
    expected[0] = 0.0
    assert_allclose(found.excess, expected, rtol=1e-12)
    assert found.pairs == pairs
    # The unit of single doubles squared is seen beside nothing else.
    alone = optimal_levels(np.array([1.0, 2.0]), None, 2, pairs=pairs)
    unit = 2.0**-104 * 18 if pairs else 2.0**-53
    one = 8 * 1.0 * 1.0 + 4 * 1.0
    assert_allclose(alone.excess[1], 8 * 3 * unit * one + unit**2 * 2, rtol=1e-15)


def test_fewer_distinct_values_than_clusters_warn_and_cost_nothing():
    with pytest.warns(ConvergenceWarning, match=r"distinct points \(2\)"):
        model = KMeans1D(3).fit([1.0, 1.0, 2.0, 2.0])
    assert model.inertia_ == 0 and model.n_clusters_ == 2
    assert_array_equal(model.cluster_centers_.ravel(), [1.0, 2.0])
    assert_array_equal(model.labels_, [0, 0, 1, 1])
    assert model.certificate_.satisfied and model.certificate_.value == 0


def test_neighboring_doubles_are_told_apart():
    x = np.array([1.0, np.nextafter(1.0, 2), np.nextafter(np.nextafter(1.0, 2), 2)])
    model = KMeans1D(3).fit(x)
    assert_array_equal(model.labels_, [0, 1, 2])
    assert_array_equal(model.predict(x), [0, 1, 2])
    assert model.inertia_ == 0


def test_bic_counts_separated_clusters_and_is_the_formula(rng):
    x = np.concatenate([c + rng.standard_normal(80) for c in (-9.0, 0.0, 9.0)])
    model = KMeans1D("bic", max_clusters=6).fit(x)
    assert model.n_clusters_ == 3 and len(model.bic_path_) == 6
    n, sizes = len(x), np.bincount(model.labels_)
    expected = n * np.log(2 * np.pi * np.e * model.inertia_ / n)
    expected += -2 * (sizes * np.log(sizes / n)).sum() + 2 * 3 * np.log(n)
    assert_allclose(model.bic_path_[2], expected, rtol=1e-10)
    assert KMeans1D("bic").fit(rng.standard_normal(500)).n_clusters_ == 1
    # Weights are repetitions here.
    doubled = KMeans1D("bic", max_clusters=6).fit(x, sample_weight=np.full(n, 2.0))
    repeated = KMeans1D("bic", max_clusters=6).fit(np.repeat(x, 2))
    assert_allclose(doubled.bic_path_, repeated.bic_path_, rtol=1e-10)


def test_bic_of_constant_and_of_few_samples():
    model = KMeans1D("bic").fit(np.full(9, 3.0))
    assert_allclose(model.bic_path_, [9 * np.log(2 * np.pi * np.e) + 2 * np.log(9)])
    assert len(KMeans1D("bic").fit(np.arange(40.0)).bic_path_) == 10
    assert KMeans1D("bic").fit(np.full(9, 3.0)).n_clusters_ == 1
    assert KMeans1D("bic").fit([7.0]).n_clusters_ == 1
    assert len(KMeans1D("bic").fit([7.0, 8.0, 9.0, 1.0]).bic_path_) == 2


@pytest.mark.parametrize(
    "X, arguments, message",
    [
        (np.zeros((5, 2)), {}, "clusters one column, but X has 2 features"),
        ([1.0, np.nan], {}, "NaN"),
        ([1.0, 2.0], {}, "n_samples=2 must be at least n_clusters=8"),
        ([1.0, 1e80], {"n_clusters": 1}, "overflow"),
        ([1.0, 2.0], {"n_clusters": "aic"}, "n_clusters"),
        ([1.0, 2.0], {"n_clusters": 0}, "n_clusters"),
        (np.array([1j, 2]), {"n_clusters": 1}, "Complex data not supported"),
        (["a", "b"], {"n_clusters": 1}, "convert"),
        (1.0, {"n_clusters": 1}, "Expected 2D array, got scalar"),
    ],
)
def test_bad_input_is_refused_by_name(X, arguments, message):
    with pytest.raises(ValueError, match=message):
        KMeans1D(**arguments).fit(X)


def test_bad_weights_are_refused():
    with pytest.raises(ValueError, match="at least one non-zero"):
        KMeans1D(1).fit([1.0, 2.0], sample_weight=[0, 0])
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        KMeans1D(1).fit([1.0, 2.0], sample_weight=[1, -1])


def test_nothing_of_the_input_changes_and_clones_agree(rng):
    x, w = rng.standard_normal(20), rng.random(20)
    kept = x.copy(), w.copy()
    model = KMeans1D(3).fit(x, sample_weight=w)
    assert_array_equal(x, kept[0])
    assert_array_equal(w, kept[1])
    again = clone(model).fit(x, sample_weight=w)
    assert_array_equal(again.labels_, model.labels_)


def test_single_precision_is_close(rng):
    x = rng.standard_normal(500).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        single, double = KMeans1D(6).fit(x), KMeans1D(6).fit(x.astype(float))
    assert_array_equal(single.cluster_centers_, double.cluster_centers_)


def test_the_most_clusters_of_a_criterion_are_half_of_the_weight():
    x = np.arange(12.0) ** 2
    for weight, most in ((2.0, 12), (1.0, 6), (0.5, 3), (0.125, 1)):
        model = KMeans1D("bic", max_clusters=20).fit(x, sample_weight=weight * x**0)
        assert len(model.bic_path_) == most


@pytest.mark.parametrize("n", [1, 3, 4, 6, 9])
def test_the_largest_of_values_is_that_of_all(n):
    for place in range(n):
        values = -np.arange(1.0, n + 1.0)
        values[place] = 0.5
        assert codebook._largest(values) == 0.5


@pytest.mark.parametrize("n", [20, 60])  # few starts one by one, many at once
def test_the_best_start_of_a_cluster_is_the_first_of_the_best(n):
    W = np.arange(n + 1.0)
    S = np.cumsum(np.r_[0.0, np.arange(n) % 5])
    rng = np.random.default_rng(0)
    first, last, values = 2, n - 1, np.empty(n)
    for place in (None, first, last - 3, last):
        before = rng.integers(0, 9, n + 1).astype(float)
        if place is not None:
            before[place] = 1e3
        i = np.arange(first, last + 1)
        gains = before[i] + (S[n] - S[i]) ** 2 / (W[n] - W[i])
        at, best = codebook._best_start(S, W, before, n, first, last, values)
        assert_allclose(best, gains.max(), rtol=1e-14)
        assert at == first + gains.argmax()
        assert place is None or at == place
