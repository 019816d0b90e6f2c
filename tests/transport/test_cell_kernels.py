"""Passes over cells of points against sums over all pairs."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from sparsestat._utils.validation import read_only
from sparsestat.transport._cells import CellCost
from sparsestat.transport._costs import PointCost
from sparsestat.transport._kernels_points import (
    METRIC_CODES,
    _farthest_cost,
    _nearest_cost,
    name_columns,
    placed_rows,
)
from sparsestat.transport._semidual import SemiDual

METRICS = sorted(METRIC_CODES)


@pytest.mark.parametrize("metric", METRICS)
def test_boxes_are_as_near_and_as_far_as_their_points(metric):
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, two = rng.integers(-3, 4, (2, 2, 3)).astype(float)
        boxes = [(box.min(axis=0), box.max(axis=0)) for box in (one, two)]
        # Sides are integers: grids of these have the extreme points.
        grids = [
            np.array(
                list(product(*(np.arange(a, b + 1) for a, b in zip(*box, strict=True))))
            )
            for box in boxes
        ]
        costs = cdist(*grids, metric)
        code = METRIC_CODES[metric]
        near = _nearest_cost(*boxes[0], *boxes[1], code)
        far = _farthest_cost(*boxes[0], *boxes[1], code)
        assert_allclose([near, far], [costs.min(), costs.max()], rtol=1e-12)


def problem(metric, n=23, m=17, seed=0):
    rng = np.random.default_rng(seed)
    # Two groups that are far from each other: cells can be left out.
    X = rng.standard_normal((n, 2)) + 6.0 * (np.arange(n) % 2)[:, None]
    Y = rng.standard_normal((m, 2)) + 6.0 * (np.arange(m) % 2)[:, None]
    cost, _, _ = CellCost.of(PointCost(X, Y, metric), 4)
    a, b = rng.random(n) + 0.1, rng.random(m) + 0.1
    return cost, a / a.sum(), b / b.sum(), rng.standard_normal(m)


@pytest.fixture(autouse=True)
def small_cells(monkeypatch):
    from sparsestat.transport import _cells

    monkeypatch.setattr(_cells, "_CELL", 4)


@pytest.mark.parametrize("eps", [0.3, 3.0])
@pytest.mark.parametrize("metric", METRICS)
def test_a_pass_over_cells_is_that_over_all_pairs(metric, eps):
    cost, a, b, g = problem(metric)
    C = cdist(cost.X, cost.Y, metric)
    whole = SemiDual(cost, a, b)
    state = whole.evaluate(g, eps, 1e-3)
    exponents = (g - C) / eps
    sums = logsumexp(exponents, axis=1)
    P = a[:, None] * np.exp(exponents - sums[:, None])
    assert_allclose(state.f, eps * (np.log(a) - sums), rtol=1e-11, atol=1e-11)
    assert_allclose(state.shift, (g - C).max(axis=1), rtol=1e-12, atol=1e-12)
    assert_allclose(state.c, P.sum(axis=0), rtol=1e-11, atol=1e-16)
    assert_allclose(state.error, np.abs(P.sum(axis=0) - b).sum(), rtol=1e-10)
    assert_allclose(state.cost, (P * C).sum(), rtol=1e-11)
    share = P / a[:, None]
    logs = exponents - sums[:, None]
    assert_allclose(state.entropy, (P * logs).sum(), rtol=1e-10, atol=1e-12)
    objective = a @ state.f + b @ g - eps
    assert_allclose(state.objective, objective, rtol=1e-12)
    # What is stored are the shares above the threshold, the largest of a row first.
    for i in range(len(a)):
        row = slice(state.ptr[i], state.ptr[i + 1])
        found = dict(zip(state.indices[row].tolist(), state.weights[row], strict=True))
        wanted = np.flatnonzero(share[i] > 1e-3)
        assert sorted(found) == wanted.tolist()
        assert_allclose([found[j] for j in wanted], share[i, wanted], rtol=1e-10)
        assert state.weights[row.start] == state.weights[row].max()
    # The other side, and the plan made feasible.
    softmax = eps * logsumexp((state.f[:, None] - C) / eps, axis=0)
    assert_allclose(whole.column_softmax(state.f, eps), softmax, atol=1e-10)
    Q = P * np.minimum(1.0, b / P.sum(axis=0))
    rows, columns = a - Q.sum(axis=1), b - Q.sum(axis=0)
    Q += np.outer(rows, columns) / columns.sum()
    value, forbidden = whole.rounded(state, eps)
    assert not forbidden
    assert_allclose(value, (Q * C).sum(), rtol=1e-10)
    # Row sums other than a: those of a plan whose rows are not met.
    masses = a[::-1].copy()
    other = whole.evaluate(g, eps, masses=masses)
    assert_allclose(other.c, (share * masses[:, None]).sum(axis=0), rtol=1e-10)


def test_a_pass_may_begin_in_the_middle_of_a_cell():
    cost, a, b, g = problem("sqeuclidean")
    whole = SemiDual(cost, a, b)
    state = whole.evaluate(g, 0.3, 2.0)
    n, m = cost.shape
    for row in range(n + 1):
        f, shift, c = np.full(n, np.nan), np.full(n, np.nan), np.zeros(m)
        done, _ = whole._rows(
            None,
            row,
            (read_only(g), whole.a, whole.log_a, 0.3, whole.cut),
            (f, shift, c, np.zeros(2)),
            (2.0, np.empty(0, np.int32), np.empty(0), np.zeros(n + 1, np.int64), 0),
            None,
        )
        assert done == n and np.isnan(f[:row]).all()
        assert_allclose(f[row:], state.f[row:], rtol=1e-12)
        assert_allclose(shift[row:], state.shift[row:], rtol=1e-12)


def test_entries_of_groups_are_the_sums_over_their_columns():
    cost, a, b, g = problem("euclidean")
    C = cdist(cost.X, cost.Y)
    whole = SemiDual(cost, a, b)
    group = np.repeat(np.arange(6), 3)[:17].astype(np.int32)
    whole._groups[0.5], whole._moved[1.0] = group, 0.5
    state = whole.evaluate(g, 1.0, 1e-9)
    share = np.exp(g - C - logsumexp(g - C, axis=1)[:, None])
    expected = share @ np.eye(6)[group]
    found = np.zeros((23, 6))
    for i in range(23):
        row = slice(state.ptr[i], state.ptr[i + 1])
        assert len(set(state.indices[row])) == row.stop - row.start
        found[i, state.indices[row]] = state.weights[row]
    assert_allclose(found, np.where(expected > 1e-9, expected, 0.0), rtol=1e-10)
    assert_allclose(state.c, a @ share, rtol=1e-10)


def test_entries_that_do_not_fit_are_grown_or_grouped():
    cost, a, b, g = problem("cityblock")
    whole = SemiDual(cost, a, b)
    full = whole.evaluate(g, 5.0, 1e-6)
    assert full.ptr[-1] == 23 * 17
    whole.max_entries = 23 * 17 - 1
    state = whole.evaluate(g, 5.0, 1e-6)
    assert state.ptr is None or state.ptr[-1] <= 23 * 17 - 1
    assert_allclose(state.c, full.c, rtol=1e-12)


def test_rows_are_renamed_sorted_and_placed():
    indices = np.array([2, 0, 1, 0, 3], dtype=np.int32)
    weights, ptr = np.array([0.5, 0.25, 0.25, 0.75, 0.25]), np.array([0, 3, 3, 5])
    scale, column_of = np.array([2.0, 9.0, 4.0]), np.array([7, 4, 5, 0], dtype=np.int32)
    name_columns(indices, weights, ptr, scale, column_of)
    assert_array_equal(indices, [4, 5, 7, 0, 7])
    assert_array_equal(weights, [0.5, 1.0, 0.5, 1.0, 3.0])
    rows = np.array([-1, 2, 0, 1])
    out = placed_rows(weights, ptr, rows, np.array([0, 0, 2, 5, 5]))
    assert_array_equal(out, [1.0, 3.0, 0.5, 1.0, 0.5])
