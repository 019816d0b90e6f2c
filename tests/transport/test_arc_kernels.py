"""Kernels that price arcs between points by boxes, one by one, from definitions."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

from sparsestat.transport import _kernels_arcs
from sparsestat.transport._kernels_points import METRIC_CODES

METRICS = sorted(METRIC_CODES)
CELLS = np.array([0, 3, 4, 8, 12])
SAFE = 1.0 - 1e-13


def points(seed, n=7):
    """Points, and others in four cells with their boxes."""
    rng = np.random.default_rng(seed)
    X, Y = 3.0 * rng.standard_normal((n, 2)), rng.standard_normal((12, 2))
    Y += np.repeat(rng.integers(-4, 5, (4, 2)), np.diff(CELLS), axis=0)
    low, high = (of.reduceat(Y, CELLS[:-1], axis=0) for of in (np.minimum, np.maximum))
    return rng, X, Y, low, high


@pytest.mark.parametrize("metric", METRICS)
def test_costs_are_those_of_scipy_and_to_boxes_those_of_the_nearest_point(metric):
    _, X, Y, low, high = points(0)
    code = METRIC_CODES[metric]
    for x in X:
        costs = [_kernels_arcs.cost_of(x, y, code) for y in Y]
        assert_allclose(costs, cdist(x[None], Y, metric)[0], rtol=1e-14)
        for a, b in zip(low, high, strict=True):
            found = _kernels_arcs._to_box(x, a, b, code)
            nearest = cdist(x[None], np.clip(x, a, b)[None], metric)[0, 0]
            assert found == pytest.approx(nearest, rel=1e-14)
    inside = 0.5 * (low[2] + high[2])
    assert _kernels_arcs._to_box(inside, low[2], high[2], code) == 0.0


@pytest.mark.parametrize("metric", METRICS)
def test_bounds_of_cells_are_below_their_arcs(metric):
    first = set()
    for seed in range(4):
        rng, X, Y, low, high = points(seed)
        values, code = rng.standard_normal(12), METRIC_CODES[metric]
        least, bounds = np.empty(4), np.empty(4)
        _kernels_arcs._least_of_cells(values, CELLS, least)
        assert_array_equal(least, np.minimum.reduceat(values, CELLS[:-1]))
        C = cdist(X, Y, metric)
        for x, costs in zip(X, C, strict=True):
            best = _kernels_arcs._bounds(x, low, high, code, least, bounds)
            near = [
                _kernels_arcs._to_box(x, *box, code)
                for box in zip(low, high, strict=True)
            ]
            assert_allclose(bounds, np.multiply(near, SAFE) + least, rtol=1e-15)
            assert best == np.argmin(bounds)
            cells = np.minimum.reduceat(costs + values, CELLS[:-1])
            assert (bounds <= cells).all()
            first.add(best)
    assert first == {0, 1, 2, 3}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("limit", [np.inf, 1.0, -1e9])
@pytest.mark.parametrize("most", [1, 3, 20])
def test_the_best_arcs_are_those_of_all(metric, limit, most):
    for seed in range(3):
        rng, X, Y, low, high = points(seed)
        own, cross = rng.standard_normal(7), rng.standard_normal(12)
        columns, values = np.full((7, most), -1, np.int32), np.full((7, most), np.nan)
        counts = np.empty(7, np.int64)
        _kernels_arcs.best_arcs(
            X, Y, CELLS, low, high, METRIC_CODES[metric], own, cross, limit, columns,
            values, counts,
        )  # fmt: skip
        C = cdist(X, Y, metric) + cross
        for i in range(7):
            order = np.argsort(C[i])
            order = order[C[i, order] + own[i] < limit][:most]
            assert counts[i] == len(order)
            assert_array_equal(columns[i, : counts[i]], order)
            assert_allclose(values[i, : counts[i]], C[i, order], rtol=1e-13)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(8))
def test_potentials_of_a_tree_are_sums_of_its_costs_in_two_numbers(metric, seed):
    # A path through all points, with one branch; the last column is the root.
    _, X, Y, _, _ = points(seed, n=4)
    X, Y = 2.0 ** (5 * seed) * X, Y[:3]
    parent = np.array([6, 4, 4, 5, 0, 2, -1])  # rows 0..3, columns 4..6
    thread = np.array([4, 2, 5, 6, 1, 3, 0])
    high, low = np.full(7, np.nan), np.full(7, np.nan)
    code = METRIC_CODES[metric]
    _kernels_arcs.point_potentials(X, Y, code, parent, thread, high, low)
    assert high[6] == low[6] == 0.0
    exact = {6: Fraction(0)}
    for x in (0, 4, 1, 2, 5, 3):
        i, j = (x, parent[x] - 4) if x < 4 else (parent[x], x - 4)
        cost = _kernels_arcs.cost_of(X[i], Y[j], code)
        exact[x] = -Fraction(float(cost)) - exact[parent[x]]
        left = Fraction(float(high[x])) + Fraction(float(low[x])) - exact[x]
        assert abs(left) <= Fraction(2) ** -98 * sum(map(abs, exact.values()))
        assert abs(low[x]) <= 2.0**-52 * abs(high[x])


def priced(X, Y, low, high, metric, potentials, rest):
    n = len(X)
    nearest, worst = np.full(n, np.nan), np.full(n, np.nan)
    _kernels_arcs.worst_arcs(
        X, Y, CELLS, low, high, METRIC_CODES[metric], potentials, rest, nearest, worst
    )
    return nearest, worst


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("far", [0.0, 2.0**20, 2.0**54])
def test_least_reduced_costs_are_bounded_from_below(metric, far):
    found_positive = 0
    for seed in range(6):
        rng, X, Y, low, high = points(seed)
        potentials = 3.0 * rng.standard_normal(19)
        potentials[:7] += far
        potentials[7:] -= far
        rest = rng.uniform(-1.0, 1.0, 19) * np.spacing(potentials) / 2
        nearest, worst = priced(X, Y, low, high, metric, potentials, rest)
        assert_allclose(nearest, cdist(X, Y, metric).min(axis=1), rtol=1e-14)
        for i in range(7):
            bound = Fraction(0)
            slack = Fraction(1)
            for j in range(12):
                cost = _kernels_arcs.cost_of(X[i], Y[j], METRIC_CODES[metric])
                parts = (potentials[i], potentials[7 + j], rest[i], rest[7 + j], cost)
                exact = sum(Fraction(float(part)) for part in parts)
                hidden = abs(exact) + sum(abs(Fraction(float(r))) for r in parts[2:4])
                s = Fraction(float(potentials[i] + potentials[7 + j]))
                e = Fraction(float(potentials[i])) + Fraction(float(potentials[7 + j]))
                hidden += abs(e - s)
                if exact < bound:
                    bound, slack = exact, hidden
            lower = Fraction(float(worst[i]))
            assert lower <= bound  # never above
            assert bound - lower <= Fraction(3) * Fraction(2) ** -52 * slack
            assert (bound == 0) <= (worst[i] == 0.0 or far == 2.0**54)
            found_positive += bound == 0
    assert found_positive or far


def test_the_bound_of_one_arc_keeps_what_large_terms_round_away():
    x, cells = np.zeros((1, 1)), np.array([0, 1])
    nearest, worst = np.empty(1), np.empty(1)

    def bound(y, high, low):
        Y = np.array([[y]])
        _kernels_arcs.worst_arcs(
            x, Y, cells, Y, Y, METRIC_CODES["cityblock"], np.array(high),
            np.array(low), nearest, worst,
        )  # fmt: skip
        return worst[0]

    share, big = 1.5 * 2.0**-52, 2.0**53
    # Hidden: what the sum of the potentials loses, both rests, and the result.
    assert bound(1.0, [-big, big - 9.0], [0.0, 0.0]) == -8.0 - share * 8.0
    assert bound(1.0, [-9.0, 0.0], [-0.25, -0.5]) == -8.75 - share * 9.5
    assert bound(1.0, [-9.0, 0.0], [0.25, 0.5]) == -7.25 - share * 8.0
    assert bound(1.0, [-1.0, 0.0], [-0.5, 0.25]) == -0.25 - share * 1.0
    assert bound(2.0 * big, [-2.0 * big, -3.0], [0.0, 0.0]) == -3.0 - share * 4.0
    assert bound(1.0, [2.0, 5.0], [0.0, 0.0]) == 0.0


@pytest.mark.parametrize("metric", METRICS)
def test_cells_are_looked_at_within_the_rounding_of_their_bounds(metric):
    # Points on the corner of their box: the bound is the cost, less its allowance.
    X, Y = np.zeros((1, 2)), np.array([[3.0, 4.0]])
    cost = float(cdist(X, Y, metric)[0, 0])
    cells = np.array([0, 1])
    near = -cost * (1.0 - 2e-13)
    for potential, seen in ((-cost, True), (near, True), (-1.0, False)):
        nearest, worst = np.empty(1), np.empty(1)
        # What the second numbers add tells whether the arc was priced.
        _kernels_arcs.worst_arcs(
            X, Y, cells, Y, Y, METRIC_CODES[metric], np.array([potential, 0.0]),
            np.array([-0.5, 0.0]), nearest, worst,
        )  # fmt: skip
        assert (worst[0] < 0.0) == seen
        assert nearest[0] == cost
