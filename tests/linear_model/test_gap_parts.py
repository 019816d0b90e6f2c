"""Gaps, violations and their rounding, against the definitions feature by feature."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsestat._utils.arithmetic import EPS
from sparsestat.linear_model._penalized import _rounding
from sparsestat.linear_model._penalized._design import make_design
from sparsestat.linear_model._penalized._gaps import (
    GapParts,
    StationarityParts,
    squared_parts,
    squared_screen,
)
from sparsestat.linear_model._penalized._group_names import make_groups
from sparsestat.linear_model._penalized._groups import GroupPenalty
from sparsestat.linear_model._penalized._penalties import (
    ConcavePenalty,
    ElasticNetPenalty,
    multiplier_array,
)
from sparsestat.linear_model._penalized._slope import SlopePenalty


def gamma(n, size=1.0):
    """Higham's bound for n operations, written out."""
    return n * EPS / 2 / (1 - n * EPS / 2) * size


def elastic_net(total=4.0, **options):
    omega = np.array([1.0, 0.5, 0.0, np.inf, 2.0])
    options = {"joint": True, **options}
    return ElasticNetPenalty(0.3, 0.25, 5, total, feature_weights=omega, **options)


def test_strengths_of_the_elastic_net():
    penalty = elastic_net(l2_unit=3.0)
    assert_allclose(penalty.lam, [0.3, 0.15, 0.0, np.inf, 0.6], rtol=1e-14)
    assert_allclose(penalty.l2, [2.7, 1.35, 0.0, 0.0, 5.4], rtol=1e-14)
    assert_array_equal(penalty.kept, [True, True, True, False, True])
    assert_array_equal(penalty.free, [2])
    assert penalty.has_l2 and not penalty.is_nothing and penalty.uniform is None
    plain = ElasticNetPenalty(0.3, 1.0, 3, 2.0)
    assert plain.uniform == 0.6 and plain.kept is None and not plain.has_l2
    assert not plain.free.size and not plain.is_nothing
    ridge = ElasticNetPenalty(0.3, 0.0, 3, 2.0)
    assert ridge.has_l2 and not ridge.is_nothing and not ridge.free.size
    nothing = ElasticNetPenalty(0.0, 1.0, 3, 2.0)
    assert nothing.is_nothing and len(nothing.free) == 3
    given = ElasticNetPenalty.of(np.array([1.0, 0.0, 0.0]), np.array([0.0, 2.0, 0.0]))
    assert given.has_l2 and given.uniform is None
    assert_array_equal(given.free, [2])
    assert not ElasticNetPenalty.of(np.ones(2), np.zeros(2)).has_l2


def test_values_and_derivatives_of_the_elastic_net():
    penalty = elastic_net()
    w = np.array([-2.0, 3.0, 5.0, 0.0, 0.5])
    lam, l2 = [0.3, 0.15, 0.0, 0.0, 0.6], [0.9, 0.45, 0.0, 0.0, 1.8]
    by_hand = sum(
        a * abs(v) + b * v * v / 2 for a, b, v in zip(lam, l2, w, strict=True)
    )
    assert_allclose(penalty.value(w), by_hand, rtol=1e-14)
    columns = np.array([0, 1, 4])
    first, second = penalty.restricted(columns).derivatives(w[columns])
    assert_allclose(first, [-0.3 - 1.8, 0.15 + 1.35, 0.6 + 0.9], rtol=1e-14)
    assert_allclose(second, [0.9, 0.45, 1.8], rtol=1e-14)
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, -2.0]])
    assert_allclose(penalty.value(rows), 1.5 + 0.45 * 25 + 1.2 + 0.9 * 4, rtol=1e-14)
    plain = ElasticNetPenalty(0.3, 1.0, 3, 2.0)
    assert_allclose(plain.value(np.array([1.0, -2.0, 0.0])), 1.8, rtol=1e-14)


def test_the_gauge_and_the_violations_of_the_elastic_net():
    q = np.array([-0.9, 0.15, 0.0, 7.0, 0.3])
    assert_allclose(elastic_net().gauge(q), 3.0, rtol=1e-14)
    free = ElasticNetPenalty.of(np.zeros(2), np.zeros(2))
    assert free.gauge(np.ones(2)) == 0.0
    one_sided = elastic_net(positive=True)
    assert_allclose(one_sided.gauge(q), 1.0, rtol=1e-14)
    w = np.array([-2.0, 0.0, 0.5, 0.0, 0.1])
    expected = [0.9 * 2 - 0.9 + 0.3, 0.0, 0.0, 0.0, abs(0.3 - 0.18 - 0.6)]
    assert_allclose(elastic_net().violations(w, q), expected, rtol=1e-12)
    q[1] = -0.4
    assert_allclose(elastic_net().violations(w, q)[1], 0.25, rtol=1e-12)
    assert elastic_net(positive=True).violations(w, q)[1] == 0.0
    W = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, -1.0]])
    Q = np.array([[1.0, 0.0], [0.3, 0.4], [0.0, 2.0], [9.0, 9.0], [0.0, -3.0]])
    expected = [
        math.hypot(1.0 - 0.9 * 3 - 0.3 * 0.6, -0.9 * 4 - 0.3 * 0.8),
        0.35,
        2.0,
        0.0,
        3.0 - 1.8 - 0.6,
    ]
    assert_allclose(elastic_net().violations(W, Q), expected, rtol=1e-12)
    assert_allclose(elastic_net().magnitude(Q)[[0, 1]], [1.0, 0.5], rtol=1e-14)


def dual_of_scale(s, lam, l2, w, q, square, dot):
    """Dual value of s times the augmented residual; minus infinity if infeasible."""
    top = np.abs(q - l2 * w)
    if np.any(s * top > lam * (1 + 1e-12)):
        return -np.inf
    return s * dot - s * s / 2 * (square + (l2 * w * w).sum())


def test_the_gap_of_the_elastic_net_is_the_best_of_its_two_dual_points():
    rng = np.random.default_rng(0)
    for trial in range(60):
        n, p = 8, 4
        A, y = rng.standard_normal((n, p)), rng.standard_normal(n)
        w = rng.standard_normal(p) * rng.integers(0, 2, p) * rng.choice([0.1, 1.0])
        lam = rng.uniform(0.1, 2.0, p)
        l2 = np.zeros(p) if trial % 3 == 0 else rng.uniform(0.1, 2.0, p)
        if trial % 3 == 2:
            l2[0] = 0.0
        penalty = ElasticNetPenalty.of(lam, l2)
        r = y - A @ w
        q = A.T @ r
        parts = squared_parts(penalty, w, q, float(r @ r), float(y @ r))
        primal = r @ r / 2 + (lam * np.abs(w) + l2 * w * w / 2).sum()
        assert_allclose(parts.primal, primal, rtol=1e-13)
        top = np.abs(q - l2 * w)
        best = max((y @ r) / (r @ r + (l2 * w * w).sum()), 0.0)
        scale = min(best, (lam[top > 0] / top[top > 0]).min(initial=np.inf))
        assert_allclose(parts.scale, scale, rtol=1e-12)
        value = dual_of_scale(scale, lam, l2, w, q, r @ r, y @ r)
        assert_allclose(parts.scaled_dual, value, rtol=1e-12, atol=1e-13)
        for other in np.linspace(0, 2 * scale, 41):
            assert value >= dual_of_scale(other, lam, l2, w, q, r @ r, y @ r) - 1e-12
        soft = -np.inf
        if all(b > 0 or abs(c) <= a for a, b, c in zip(lam, l2, q, strict=True)):
            over = [max(abs(c) - a, 0.0) for a, c in zip(lam, q, strict=True)]
            soft = y @ r - r @ r / 2
            soft -= sum(o * o / b / 2 for o, b in zip(over, l2, strict=True) if b > 0)
        assert_allclose(parts.dual, max(value, soft), rtol=1e-12, atol=1e-13)
        assert_allclose(parts.gap, primal - max(value, soft), rtol=1e-9, atol=1e-12)
        assert parts.target_dot == y @ r
        slack = 8 * EPS * primal + max(primal - value, 0.0)
        assert_allclose(parts.radius, math.sqrt(2 * slack), rtol=1e-7)


def test_a_ridge_without_threshold_leaves_the_soft_dual_point_alone():
    penalty = ElasticNetPenalty.of(np.array([0.0, 1.0]), np.array([2.0, 0.0]))
    parts = squared_parts(penalty, np.zeros(2), np.array([0.5, 0.5]), 3.0, 3.0)
    assert parts.scale == 0.0 and parts.scaled_dual == 0.0
    assert_allclose(parts.dual, 3.0 - 1.5 - 0.25 / 4, rtol=1e-14)
    # Unless its gradient is zero, the shrinkage of the ridge included.
    parts = squared_parts(penalty, np.array([0.25, 0.0]), np.full(2, 0.5), 3.0, 3.0)
    assert_allclose(parts.scale, 3.0 / 3.125, rtol=1e-14)
    # A feature that nothing penalizes does not bound the scale.
    free = ElasticNetPenalty.of(np.array([0.0, 1.0]), np.array([0.0, 0.0]))
    parts = squared_parts(free, np.zeros(2), np.array([0.5, 0.5]), 3.0, 3.0)
    assert parts.scale == 1.0
    parts = squared_parts(free, np.zeros(2), np.array([0.5, 4.0]), 3.0, 3.0)
    assert parts.scale == 0.25
    # All of the strength at zero: the uniform penalty is nothing.
    parts = squared_parts(
        ElasticNetPenalty(0.0, 1.0, 2, 1.0), np.zeros(2), np.ones(2), 3.0, 1.5
    )
    assert parts.scale == 0.5
    parts = squared_parts(
        ElasticNetPenalty(1.0, 1.0, 2, 1.0), np.zeros(2), np.ones(2), 0.0, 0.0
    )
    assert parts.scale == 0.0 and parts.dual == 0.0
    opposed = squared_parts(
        ElasticNetPenalty(1.0, 1.0, 2, 1.0), np.ones(2), np.ones(2), 2.0, -1.0
    )
    assert opposed.scale == 0.0


def test_screening_is_the_sphere_test():
    lam, l2 = np.array([1.0, 1.0, 1.0]), np.array([0.5, 0.0, 2.0])
    penalty = ElasticNetPenalty.of(lam, l2)
    parts = SimpleNamespace(scale=0.5, radius=0.1)
    w, squares = np.array([0.4, 0.0, -0.3]), np.array([4.0, 1.0, 2.0])
    bound = [
        0.5 * abs(c - b * v) + 0.1 * math.sqrt(a + b)
        for b, v, a, c in zip(l2, w, squares, (1.7, -1.7, 1.0), strict=True)
    ]
    q = np.array([1.7, -1.7, 1.0])
    assert_array_equal(
        squared_screen(penalty, parts, w, q, squares), np.array(bound) < 1.0
    )
    for j, b in enumerate(bound):  # right at the edge
        edge = ElasticNetPenalty.of(np.full(3, b * (1 + 1e-12)), l2)
        assert squared_screen(edge, parts, w, q, squares)[j]
        edge = ElasticNetPenalty.of(np.full(3, b * (1 - 1e-12)), l2)
        assert not squared_screen(edge, parts, w, q, squares)[j]
    penalty.joint = True
    two = squared_screen(penalty, parts, np.c_[w, w], np.c_[q, q], squares)
    rows = [
        0.5 * math.sqrt(2) * abs(c - b * v) + 0.1 * math.sqrt(a + b) < 1.0
        for b, v, a, c in zip(l2, w, squares, q, strict=True)
    ]
    assert_array_equal(two, rows)


def test_bounds_of_the_error_of_soft_duals():
    penalty = ElasticNetPenalty.of(np.array([1.0, 1.0, 1.0]), np.array([2.0, 0.0, 4.0]))
    q, reach = np.array([-1.5, 9.0, 0.5]), np.array([0.1, 0.1, 0.2])
    assert_allclose(penalty.conjugate_error(q, reach), 0.6 * 0.1 / 2, rtol=1e-13)
    q[2] = 0.9
    expected = 0.6 * 0.1 / 2 + 0.1 * 0.2 / 4
    assert_allclose(penalty.conjugate_error(q, reach), expected, rtol=1e-13)


def test_parts_of_gaps_and_of_violations():
    parts = GapParts(3.0, 1.0, 0.5, 0.5, 2.0)
    assert parts.gap == 2.0
    assert_allclose(parts.radius, math.sqrt(5.0), rtol=1e-14)
    at_rounding = GapParts(3.0, 3.0, 1.0, 3.5, 2.0)
    assert_allclose(at_rounding.radius, math.sqrt(48 * EPS), rtol=1e-14)
    violation = StationarityParts(2.0, 0.5)
    assert violation.gap == 0.5 and violation.radius == np.inf
    assert violation.scale == 0.0 and np.isnan(violation.dual)
    for bad in ([1.0], [1.0, -1e-9], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="omega"):
            multiplier_array(bad, "omega", 2, "feature")
    assert_array_equal(multiplier_array([0, 2], "omega", 2, "feature"), [0.0, 2.0])


@pytest.mark.parametrize("kind", ["mcp", "scad"])
def test_concave_penalties_piece_by_piece(kind):
    squares, shape = np.array([2.0, 2.0, 2.0, 0.0]), 3.0
    omega = np.array([1.0, 0.0, np.inf, 1.0])
    penalty = ConcavePenalty(kind, 0.5, shape, squares, 2.0, feature_weights=omega)
    kappa = 2.0 / (shape if kind == "mcp" else shape - 1.0)
    assert_allclose(penalty.lam, [1.0, 0.0, np.inf, 1.0])
    assert_allclose(penalty.kappa, [kappa, 0.0, 0.0, 0.0], rtol=1e-14)
    assert penalty.kernel_l2 is penalty.kappa and not penalty.has_l2
    assert_array_equal(penalty.free, [1])
    knees = (1.0 / kappa,) if kind == "mcp" else (1 / kappa / 2, 3 / kappa / 2)

    def slope(t):
        if kind == "mcp":
            return max(1.0 - kappa * t, 0.0)
        v = kappa * 2.0
        return 1.0 if v * t <= 1.0 else max((3.0 - v * t) / 2.0, 0.0)

    column = np.array([0])
    for t in (0.1, 0.4, 0.9 * knees[0], 1.1 * knees[0], 1.3, 2.0, 5.0):
        grid = np.linspace(0, t, 20001)
        mids = 0.5 * (grid[1:] + grid[:-1])
        area = sum(map(slope, mids)) * t / 20000
        for sign in (1.0, -1.0):
            w = np.array([sign * t])
            assert_allclose(penalty.restricted(column).value(w), area, rtol=1e-7)
            first, second = penalty.restricted(column).derivatives(w)
            assert_allclose(first, sign * slope(t), rtol=1e-12, atol=1e-15)
            bend = (slope(t + 1e-6) - slope(t - 1e-6)) / 2e-6
            assert_allclose(second, bend, atol=1e-6)
    w, q = np.array([0.2, 0.3, 0.0, 0.0]), np.array([0.4, -0.2, 8.0, -1.75])
    expected = [abs(0.4 - slope(0.2)), 0.2, 0.0, 0.75]
    assert_allclose(penalty.violations(w, q), expected, rtol=1e-12)
    assert_allclose(penalty.gauge(q), 1.75)
    parts = squared_parts(penalty, w, q, 3.0, 1.0)
    assert_allclose(parts.gap, max(expected), rtol=1e-12)
    assert_allclose(parts.primal, 1.5 + penalty.value(w), rtol=1e-14)
    assert penalty.value(np.array([0.0, 5.0, 0.0, 0.0])) == 0.0
    assert not penalty.is_nothing
    assert ConcavePenalty(kind, 0.0, 3.0, squares, 2.0).is_nothing
    flat = ConcavePenalty(kind, 0.5, np.inf, squares, 2.0)
    assert not flat.kappa.any()
    assert_allclose(flat.value(np.array([9.0, -1.0, 0.0, 0.0])), 10.0)


def test_groups_and_their_penalty_by_hand():
    groups = make_groups([[0, 3], [1], [2, 4]], 5)
    assert_array_equal(groups.sums(np.arange(5.0)), [3.0, 1.0, 6.0])
    weights = np.array([1.0, 0.0, np.inf])
    penalty = GroupPenalty(groups, weights, 0.5, 0.2, 3.0)
    assert_allclose(penalty.lam, [1.2, 0.0, np.inf], rtol=1e-14)
    assert_allclose(penalty.l1, 0.3, rtol=1e-14)
    assert_array_equal(penalty.kept, [True, True, False])
    assert not penalty.free.size and not penalty.is_nothing
    w = np.array([3.0, -2.0, 0.0, 4.0, 0.0])
    assert_allclose(penalty.value(w), 1.2 * 5 + 0.3 * 9, rtol=1e-14)
    q = np.array([1.3, -0.7, 5.0, 0.2, 5.0])
    assert_allclose(penalty.magnitude(q)[:2], [1.0, 0.4], rtol=1e-14)
    whole = GroupPenalty(groups, np.array([1.0, 0.0, 1.0]), 0.5, 0.0, 2.0)
    assert_array_equal(whole.free, [1])
    assert_array_equal(whole.free_units, [1])
    assert whole.kept is None and not whole.is_nothing
    assert GroupPenalty(groups, np.ones(3), 0.0, 0.0, 2.0).is_nothing
    assert not GroupPenalty(groups, np.zeros(3), 0.5, 1.0, 2.0).is_nothing
    assert_allclose(whole.gauge(np.array([3.0, 0, 0, 4.0, 0])), 5.0)
    parts = squared_parts(whole, w, np.array([3.0, 0.0, 0.0, 4.0, 0.0]), 4.0, 2.0)
    assert_allclose(parts.primal, 2.0 + 5.0, rtol=1e-14)
    assert_allclose(parts.scale, 0.2, rtol=1e-14)
    assert_allclose(parts.dual, 0.2 * 2 - 0.5 * 0.04 * 4, rtol=1e-14)
    wide = squared_parts(whole, w, np.zeros(5), 4.0, 2.0)
    assert wide.scale == 0.5
    assert squared_parts(whole, w, np.zeros(5), 0.0, 2.0).scale == 0.0
    assert squared_parts(whole, w, np.zeros(5), 4.0, -2.0).scale == 0.0
    assert squared_parts(whole, w, np.zeros(5), 0.5, 2.0).scale == 4.0
    part = penalty.restricted(np.array([1, 0]))
    assert_array_equal(part.groups.labels, [0, 1, 1])
    assert_allclose(part.lam, [0.0, 1.2], rtol=1e-14)
    mask = np.array([True, False, True])
    assert_array_equal(penalty.columns_of(mask), [0, 2, 3, 4])
    parts = SimpleNamespace(scale=2.0, radius=0.1)
    # |2 q| - l1 in the first group: (2.3, .1), and the sphere around it.
    bound = math.hypot(2 * 1.3 - 0.3, 2 * 0.2 - 0.3) + 0.1 * 3.0
    for factor, gone in ((1 + 1e-12, True), (1 - 1e-12, False)):
        penalty.lam = np.array([bound * factor, 0.0, np.inf])
        screened = squared_screen(penalty, parts, w, q, np.array([9.0, 1.0, 1.0]))
        assert_array_equal(screened, [gone, False, True])


def test_the_sorted_penalty_by_hand():
    penalty = SlopePenalty(np.array([3.0, 2.0, 1.0]), 0.5, 4.0)
    assert_array_equal(penalty.lam, [6.0, 4.0, 2.0])
    assert penalty.value(np.array([-1.0, 0.5, 2.0])) == 12.0 + 4.0 + 1.0
    assert penalty.value(np.array([-1.0, 0.5])) == 6.0 + 2.0
    assert not penalty.is_nothing and SlopePenalty(np.zeros(2), 1.0, 1.0).is_nothing
    q = np.array([-3.0, 6.0, 6.0])
    assert_allclose(penalty.gauge(q), max(6 / 6, 12 / 10, 15 / 12), rtol=1e-14)
    assert penalty.gauge(np.empty(0)) == 0.0
    w = np.array([0.0, 1.0, 0.5])
    parts = squared_parts(penalty, w, q, 8.0, 4.0)
    assert_allclose([parts.primal, parts.scale], [4.0 + 8.0, 0.5], rtol=1e-14)
    assert_allclose(parts.dual, 0.5 * 4 - 0.125 * 8, rtol=1e-14)
    assert_allclose(squared_parts(penalty, w, 4 * q, 8.0, 4.0).scale, 0.2, rtol=1e-14)
    assert squared_parts(penalty, w, 0 * q, 0.0, 4.0).scale == 0.0
    assert squared_parts(penalty, w, q, 8.0, -4.0).scale == 0.0
    assert squared_parts(penalty, w, 0 * q, 0.5, 4.0).scale == 8.0
    # The prox minimizes: no neighbor of it has a lower objective.
    z = np.array([9.0, -8.5, 1.0])
    x = penalty.prox(z, 2.0)

    def objective(v):
        return v @ v - z @ v + penalty.value(v)

    for move in itertools.product((-1e-4, 0.0, 1e-4), repeat=3):
        assert objective(x) <= objective(x + np.array(move)) + 1e-12


def test_entries_as_units_by_hand():
    penalty = ElasticNetPenalty(0.5, 0.25, 3, 4.0, l2_unit=2.0)
    assert_array_equal(penalty.lam, [0.5] * 3)
    assert_array_equal(penalty.l2, [3.0] * 3)
    w, q = np.array([2.0, -1.0, 0.0]), np.array([6.5, -3.0, 0.75])
    assert penalty.value(w) == 0.5 * 3 + 1.5 * 5
    assert penalty.value(np.c_[w, -w]) == 2 * penalty.value(w)
    assert_array_equal(penalty.slopes(w), [0.5] * 3)
    assert_allclose(penalty.violations(w, q), [0.0, 0.5, 0.25])
    assert penalty.violations(w, np.array([0.0, 0.0, -0.25]))[2] == 0.0
    both = penalty.violations(np.c_[w, -w], np.c_[q, -q])
    assert_allclose(both, np.c_[penalty.violations(w, q), penalty.violations(w, q)])
    assert_array_equal(penalty.excess(q), [6.0, 2.5, 0.25])
    assert penalty.gauge(q) == penalty.gauge(np.c_[q / 2, -q]) == 13.0
    assert_allclose(penalty.conjugate(q), (36 + 6.25 + 0.0625) / 6.0, rtol=1e-14)
    hard = ElasticNetPenalty(0.5, 1.0, 2, 4.0)
    assert hard.conjugate(np.array([2.0, -1.0])) == 0.0
    assert hard.conjugate(np.array([2.0, -2.01])) == np.inf
    free = ElasticNetPenalty.of(np.array([2.0, 0.0]), np.zeros(2))
    assert free.conjugate(np.array([2.0, -1e-9])) == 0.0
    mixed = ElasticNetPenalty.of(np.array([2.0, 1.0]), np.array([0.0, 1.0]))
    assert mixed.conjugate(np.array([2.0, 3.0])) == 2.0
    assert mixed.conjugate(np.array([2.5, 3.0])) == np.inf
    assert ElasticNetPenalty(0.5, 0.0, 3, 4.0).gauge(q) == np.inf
    assert ElasticNetPenalty(0.5, 0.0, 3, 4.0).gauge(0 * q) == 0.0
    reach = np.array([0.1, 0.2, 0.2])
    error = penalty.conjugate_error(q, reach)
    expected = (6.1 * 0.1 + 2.7 * 0.2 + 0.45 * 0.2) / 3
    assert_allclose(error, expected, rtol=1e-13)
    two = penalty.conjugate_error(np.c_[q, np.zeros(3)], reach)
    assert_allclose(two, expected, rtol=1e-13)
    norms = np.array([1.0, 2.0, 3.0])
    low = np.array([0.39, -0.31, 0.1])
    assert_array_equal(penalty.screened(low, 0.1 * norms), [True, False, True])
    rows = penalty.screened(np.c_[low, -low], 0.1 * norms)
    assert_array_equal(rows[:, 0], rows[:, 1])
    assert_array_equal(rows[:, 0], [True, False, True])
    one_sided = ElasticNetPenalty(0.5, 1.0, 2, 1.0, positive=True)
    assert_array_equal(one_sided.excess(np.array([-3.0, 1.0])), [-3.5, 0.5])
    assert one_sided.screened(np.array([-3.0, 0.4]), np.array([3.0, 0.1])).tolist() == [
        True,
        False,
    ]


def test_a_concave_penalty_with_a_ridge_by_hand():
    penalty = ConcavePenalty(
        "mcp", 0.5, 4.0, np.array([2.0, 1.0, 0.0]), 4.0, l1_ratio=0.5
    )  # lam 1, l2 1, kappa 1/2, 1/4, 0
    w = np.array([1.0, -6.0, 0.0])
    assert penalty.has_l2
    assert_allclose(penalty.slopes(w), [0.5, 0.0, 1.0])
    assert_allclose(penalty.value(w), (1 - 0.25) + 2.0 + 0.5 * 37, rtol=1e-14)
    assert_allclose(penalty.value(np.c_[w, w]), 2 * penalty.value(w), rtol=1e-14)
    assert_allclose(penalty.slopes(np.c_[w, w])[:, 1], penalty.slopes(w))
    q = np.array([2.0, -5.0, 1.5])
    assert_allclose(penalty.violations(w, q), [0.5, 1.0, 0.5])
    assert_allclose(penalty.derivatives(w)[1], [0.5, 1.0, 1.0])
    part = penalty.restricted(np.array([1]))
    assert_allclose(part.slopes(np.array([2.0])), [0.5])


def test_the_group_penalty_of_matrices_by_hand():
    groups = make_groups([[2, 0], [1]], 3)
    weights = np.array([1.0, 3.0])
    penalty = GroupPenalty(groups, weights, 0.25, 0.0, 4.0, l2=1.0)  # lam 1, 3
    w, q = np.array([3.0, 0.0, 4.0]), np.array([3.0, -3.5, 4.0])
    assert_allclose(penalty.norms(w), [5.0, 0.0])
    assert_allclose(penalty.value(w), 5.0 + 12.5, rtol=1e-14)
    assert_allclose(penalty.excess(q), [4.0, 0.5])
    assert_allclose(penalty.violations(w, q), [1.0, 0.5], rtol=1e-13)
    assert_allclose(penalty.gauge(q), 5.0)
    assert_allclose(penalty.conjugate(q), (16 + 0.25 / 3) / 2, rtol=1e-14)
    ridge = GroupPenalty(groups, weights, 0.0, 0.0, 4.0, l2=1.0)
    assert ridge.gauge(q) == np.inf and not ridge.is_nothing and not ridge.free.size
    small = np.array([0.0, 0.5, 0.0])  # the pull of the weight: 3 / .5 + 3
    assert_allclose(penalty.violations(small, q), [4.0, 3.5 + 4.5], rtol=1e-13)
    W = np.array([[3.0, 0.0], [0.0, 0.0], [0.0, 4.0]])
    assert_allclose(penalty.norms(W), [5.0, 0.0])
    assert_allclose(penalty.violations(W, W), [1.0, 0.0], rtol=1e-13)
    assert_allclose(penalty.gauge(W), 5.0)
    part = penalty.restricted(np.array([1, 0]))
    assert_allclose(part.norms(np.array([7.0, 3.0, 4.0])), [7.0, 5.0])
    assert_array_equal(part.lam, [3.0, 1.0])
    error = penalty.conjugate_error(q, np.array([0.3, 0.2, 0.4]))
    assert_allclose(error, 4.5 * 0.5 + 0.7 * 0.2 / 3, rtol=1e-13)
    # An absolute penalty inside the groups takes its share of every entry.
    inner = GroupPenalty(groups, weights, 0.5, 0.5, 4.0)  # lam 1, 3; l1 1
    assert_allclose(inner.value(W), 5.0 + 7.0, rtol=1e-14)
    Q = np.array([[4.0, -0.5], [2.0, -3.0], [1.0, 5.0]])
    assert_allclose(inner.magnitude(Q), [math.hypot(3, 4), math.hypot(1, 2)])
    rest = [4.0 - 3 / 5 - 1.0, 0.0, 0.0, 5.0 - 4 / 5 - 1.0]
    assert_allclose(inner.violations(W, Q), [math.hypot(*rest), 0.0], rtol=1e-13)
    s = inner.gauge(Q)
    scaled = GroupPenalty(groups, weights, 0.5 * s, 0.5, 4.0)
    assert abs(scaled.excess(Q).max()) <= 1e-13


def test_what_solvers_ask_of_penalties():
    groups = make_groups(1, 3)
    elastic, sorted_ = elastic_net(), SlopePenalty(np.ones(3), 1.0, 1.0)
    grouped = GroupPenalty(groups, np.ones(3), 1.0, 0.0, 1.0)
    concave = ConcavePenalty("mcp", 1.0, 3.0, np.ones(3), 1.0)
    assert elastic.is_convex and grouped.is_convex and sorted_.is_convex
    assert not concave.is_convex and not concave.has_l2 and not grouped.has_l2
    assert not (elastic.positive or grouped.positive or sorted_.positive)
    assert not concave.positive and elastic_net(positive=True).positive
    assert sorted_.kept is None and not sorted_.free.size
    assert grouped.is_grouped and not elastic.is_grouped


@pytest.fixture
def design():
    rng = np.random.default_rng(3)
    return make_design(rng.standard_normal((40, 3)), fit_intercept=False)


def test_rounding_of_squared_losses_is_the_sum_of_its_parts(design):
    w, columns = np.array([2.0, -1.0]), np.array([0, 2])
    residual = np.linspace(-1, 2, 40)
    q = np.array([3.0, 0.5, -1.0])
    size = math.sqrt((residual**2).sum())
    lengths = [math.sqrt(s) for s in design.squares]
    slip = gamma(6, 2 * lengths[0] + lengths[2] + size)
    reach = [length * gamma(21 + 4, size) for length in lengths]
    assert design.chain == 21
    concave = ConcavePenalty("mcp", 1.0, 3.0, design.squares, 1.0)
    arguments = (columns, w, residual, q)
    found = _rounding.squared_loss_rounding(design, concave, *arguments, None)
    assert_allclose(found, max(reach) + max(lengths) * slip, rtol=1e-12)
    parts = GapParts(5.0, 2.0, 0.5, 2.0, -3.0)
    penalty = ElasticNetPenalty.of(np.array([0.5, 0.0, 2.0]), np.zeros(3))
    common = slip * (size + slip / 2) + gamma(21, 5.0 + 1.5)
    common += max(reach[0] / 0.5, reach[2] / 2.0) * 1.5
    found = _rounding.squared_loss_rounding(design, penalty, *arguments, parts)
    assert_allclose(found, common, rtol=1e-12)
    # A free feature that is held adds its product with the slack; correlations that
    # do not reach their strengths let the dual point be.
    free = ElasticNetPenalty.of(np.array([0.0, 0.5, 2.0]), np.zeros(3))
    expected = slip * (size + slip / 2) + gamma(21, 5.0 + 1.5)
    expected += (3.0 + reach[0]) * 2.0
    found = _rounding.squared_loss_rounding(design, free, *arguments, parts)
    assert_allclose(found, expected, rtol=1e-12)
    # Where residuals and correlations vanish, only their own errors are left.
    nothing = GapParts(0.0, 0.0, 0.0, 0.0, 0.0)
    far = gamma(6, 2 * lengths[0] + lengths[2])
    found = _rounding.squared_loss_rounding(
        design, penalty, columns, w, np.zeros(40), np.zeros(3), nothing
    )
    assert_allclose(found, far * far / 2, rtol=1e-12)
    thin = np.full(40, 1e-30)
    found = _rounding.squared_loss_rounding(
        design, free, columns, w, thin, np.zeros(3), nothing
    )
    size = math.sqrt(40) * 1e-30
    reach_free = 2.0 * lengths[0] * gamma(25, size)
    expected = far * (size + far / 2) + reach_free
    assert_allclose(found, expected, rtol=1e-12)
    alone = _rounding.squared_loss_rounding(
        design, free, columns, 1e-20 * w, thin, np.zeros(3), nothing
    )
    far = gamma(6, 1e-20 * (2 * lengths[0] + lengths[2]) + size)
    expected = far * (size + far / 2) + 1e-20 * reach_free
    assert_allclose(alone, expected, rtol=1e-12)
    size = math.sqrt((residual**2).sum())
    soft = ElasticNetPenalty.of(np.array([0.5, 0.0, 2.0]), np.array([0.0, 4.0, 0.0]))
    better = GapParts(5.0, 2.5, 0.5, 2.0, -3.0)
    found = _rounding.squared_loss_rounding(design, soft, *arguments, better)
    common_but_dual = slip * (size + slip / 2) + gamma(21, 5.0 + 1.5)
    gap_of_soft = (0.5 + reach[1]) * reach[1] / 4.0
    assert_allclose(found, common_but_dual + gap_of_soft, rtol=1e-12)
    penalty.joint = True
    # Several targets: the lengths of rows stand for absolute values.
    found = _rounding.squared_loss_rounding(
        design,
        penalty,
        columns,
        np.c_[0.6 * w, 0.8 * w],
        np.c_[0.6 * residual, 0.8 * residual],
        np.c_[q, q],
        parts,
    )
    assert_allclose(found, common, rtol=1e-12)


def test_rounding_of_likelihoods_is_the_sum_of_its_parts(design):
    w, columns = np.array([2.0, -1.0]), np.array([0, 2])
    gradient, eta = np.linspace(-1, 2, 40), np.linspace(0, 1, 40)
    datafit = SimpleNamespace(steepest=lambda e: 3.0, magnitude=lambda e: 50.0 + e[-1])
    size = math.sqrt((gradient**2).sum())
    lengths = [math.sqrt(s) for s in design.squares]
    slip = gamma(6, 2 * lengths[0] + lengths[2] + math.sqrt(40) * 0.5)
    reach = np.array([length * gamma(25, size) for length in lengths])
    penalty = ElasticNetPenalty(0.25, 0.5, 3, 4.0)  # lam = l2 = 1/2

    def found(kind, multiple, penalty=penalty):
        return _rounding.likelihood_rounding(
            design, datafit, penalty, columns, w, -0.5, eta, gradient, kind, multiple
        )

    expected = reach.max() + max(lengths) * 3.0 * slip
    assert_allclose(found("kkt", 1.0), expected, rtol=1e-12)
    plain = slip * (size + 1.5 * slip) + 2 * gamma(21, 51.0)
    plain += abs(0.5 * gradient.sum())
    assert_allclose(found("duality_gap", 0.0), plain, rtol=1e-12)
    fall = abs(sum(g * (e + 0.5) for g, e in zip(gradient, eta, strict=True)))
    scaled = plain + reach.max() / 0.5 * 0.25 * fall
    assert_allclose(found("duality_gap", 0.25), scaled, rtol=1e-12)
    whole = plain + reach.max() / 0.5 * fall
    lasso = ElasticNetPenalty(0.125, 1.0, 3, 4.0)
    assert_allclose(found("duality_gap", 1.0, lasso), whole, rtol=1e-12)
    soft = penalty.conjugate_error(design.correlations(-gradient), reach)
    assert_allclose(found("duality_gap", 1.0) - whole, soft, rtol=1e-3)
    # What a free feature holds may gain by its slope, which is not quite zero.
    free = ElasticNetPenalty.of(np.array([0.0, 1e9, 1e9]), np.zeros(3))
    slope = abs(design.correlations(-gradient)[0]) + reach[0]
    assert_allclose(found("duality_gap", 1.0, free), plain + 2.0 * slope, rtol=1e-9)
    # Where the gradient vanishes, the fit's own error is left.
    some, gradient = gradient, np.zeros(40)
    datafit.magnitude = lambda e: 0.0
    assert_allclose(found("duality_gap", 0.0), 1.5 * slip * slip, rtol=1e-12)
    datafit.magnitude, gradient = (lambda e: 50.0 + e[-1]), some
    # Without the intercept's share the rest is tiny: look at it alone.
    gradient = gradient - gradient.mean()
    gradient -= gradient.mean()
    ridge = ElasticNetPenalty(0.125, 0.0, 3, 4.0)
    with_soft, without = (
        found("duality_gap", 1.0, ridge),
        found("duality_gap", 0.5, ridge),
    )
    reach = np.array([v * gamma(25, np.linalg.norm(gradient)) for v in lengths])
    soft = ridge.conjugate_error(design.correlations(-gradient), reach)
    assert_allclose(with_soft - without, soft, rtol=1e-6)


@pytest.mark.parametrize(
    ("q", "positive", "share"),
    [
        ([-5.0, 0.5], True, 0.0),  # on the side that is ruled out
        ([-5.0, 0.5], False, 0.1),
        ([0.95, 0.0], False, 0.05),
        ([0.5, -0.8], False, 0.0),
        ([0.5, -0.8], True, 0.0),
    ],
)
def test_a_dual_point_shrinks_only_where_products_may_leave(q, positive, share):
    penalty = ElasticNetPenalty.of(np.ones(2), np.zeros(2), positive=positive)
    reach = np.full(2, 0.1)
    found = _rounding._shrinking(penalty, np.array(q), reach, 1.0, 2.0)
    assert_allclose(found, 2.0 * share, atol=1e-15)
    halved = _rounding._shrinking(penalty, 2.0 * np.array(q), 2.0 * reach, 0.5, 2.0)
    assert halved >= found - 1e-15


def test_storing_in_single_precision_moves_the_fit(design):
    result = SimpleNamespace(coef=np.array([2.0, -1.0]), columns=np.array([0, 2]))
    assert _rounding.storage_error(design, result, np.float64, 40, 3.0) == 0.0
    lengths = np.sqrt(design.squares)
    expected = 2.0**-24 * (2 * lengths[0] + lengths[2] + math.sqrt(40) * 3.0)
    found = _rounding.storage_error(design, result, np.float32, 40, np.array([3.0]))
    assert_allclose(found, expected, rtol=1e-13)
    result.coef = np.array([[1.2, 1.6], [0.0, -1.0]])
    found = _rounding.storage_error(
        design, result, np.float32, 40, np.array([0.0, -3.0])
    )
    assert_allclose(found, expected, rtol=1e-13)
