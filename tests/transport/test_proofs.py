"""What transport proves, against rationals and formulas, allowances included.

Where an allowance is far below what a result can show, one operation is taken to lose
1e-5 instead of half a unit in the last place.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from sparsestat._utils.arithmetic import EPS
from sparsestat._utils.results import Certificate
from sparsestat.exceptions import ConvergenceWarning
from sparsestat.transport import (
    _entropic,
    _exact,
    _kernels,
    _kernels_proof,
    _kernels_simplex,
    _margins,
    _simplex,
    _symmetric,
    _unbalanced,
    doubly_stochastic,
    sinkhorn,
    sinkhorn_points,
)
from sparsestat.transport._cells import CellCost
from sparsestat.transport._costs import MatrixCost, PointCost
from sparsestat.transport._semidual import SemiDual
from sparsestat.transport._simplex import Run, _spread, integer_masses, solve_tree

LOSS = 1e-5
BIT = 2.0**-53


def lossy(n_terms, magnitude=1.0):
    return LOSS * n_terms * magnitude


def whole(*numbers):
    return sum((Fraction(float(x)) for x in numbers), Fraction(0))


# Kernels that price a tree


def test_reduced_costs_are_sums_of_two_numbers():
    rng = np.random.default_rng(0)
    for _ in range(300):
        c, a, b = rng.standard_normal(3) * 10.0 ** rng.integers(-9, 9, 3)
        if rng.random() < 0.5:
            c = -(a + b) * (1.0 + rng.integers(-2, 3) * EPS)
        low = EPS * rng.standard_normal(2) * [a, b]
        high, rest = _kernels_simplex._reduced(c, a, low[0], b, low[1])
        exact = whole(c, a, b, *low)
        size = abs(a) + abs(b) + abs(c)
        assert abs(float(whole(high, rest) - exact)) <= 8 * BIT**2 * size
        assert abs(rest) <= BIT * abs(high) * (1.0 + EPS)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("spread", [1.0, 1e12])
def test_potentials_of_a_tree_make_its_arcs_free(flat, spread):
    rng = np.random.default_rng(1)
    n, m = 7, 5
    C = rng.random((n, m)) * spread ** rng.random((n, m))
    left, right, _ = integer_masses(rng.random(n), rng.random(m))
    run = Run(flat, n, m)
    L = np.ascontiguousarray(C.T if flat else C)
    run.start(L, left, right, False)
    least, worst = run.price(L)
    np.testing.assert_array_equal(least, C.min(axis=1))
    assert run.high[-1] == run.low[-1] == 0.0
    size = np.abs(run.high).max() + C.max()
    for x in range(n + m - 1):
        p = run.parent[x]
        i, j = (x, p - n) if x < n else (p, x - n)
        reduced = whole(C[i, j], run.high[x], run.low[x], run.high[p], run.low[p])
        assert abs(float(reduced)) <= 8 * BIT**2 * size
        assert abs(run.low[x]) <= BIT * abs(run.high[x]) * (1 + EPS)
    for i in range(n):
        reduced = [
            whole(C[i, j], run.high[i], run.low[i], run.high[n + j], run.low[n + j])
            for j in range(m)
        ]
        below = float(min(reduced) - Fraction(float(worst[i])))
        assert 0.0 <= below <= 1e-15 * (size * EPS + abs(float(min(reduced)))) * 8


LEAST = {
    "rows": lambda line, *rest: _least_of_piece(line, *rest),
    "columns": lambda line, *rest: _lowered(line, *rest),
}


def _least_of_piece(line, *rest):
    return _kernels_proof._least_of_piece(line, *rest, 0, len(line))


def _lowered(line, *rest):
    lowest = np.full(len(line), np.inf)
    _kernels_proof._least_safe(line, *rest, lowest)
    return lowest.min()


@pytest.mark.parametrize("kernel", LEAST.values(), ids=LEAST)
def test_bounds_of_reduced_costs_are_lower_by_their_rounding(kernel):
    share = 1.5 * 2.0**-52

    def bound(line, cross, cross_low, base, base_low):
        arrays = (np.array([x]) for x in (line, cross, cross_low))
        return kernel(*arrays, base, base_low)

    # The large terms cancel; what is left is what was known of them.
    big = 2.0**53
    assert bound(-big, big, 0.0, 1.0, 0.0) == 1.0 - share * 2.0
    assert bound(-big, big, -1.0, 1.0, 0.0) == -share * 2.0
    assert bound(-big, big, 0.0, 1.0, -1.0) == -share * 2.0
    assert bound(-big, 1.0, 0.25, big, -1.25) == -share * 2.5
    assert bound(-big, 1.0, -1.25, big, 0.25) == -share * 2.5
    assert bound(-3.0, 2.0, 0.5, 1.0, -0.5) == -share
    assert bound(-2.0, 2.0, 0.0, 1.0, 0.0) == 1.0 - share
    assert bound(-4.0, 2.0, 0.0, 1.0, 0.0) == -1.0 - share
    # What a cost loses beside a potential is known too.
    lost = bound(1.0, big, -big, 0.0, 0.0)
    assert lost == pytest.approx(1.0 - share * (big + 2.0), rel=1e-12)
    # The least of many.
    line = np.array([5.0, 3.0, 4.0])
    zeros = np.zeros(3)
    assert kernel(line, zeros, zeros, 0.0, 0.0) == 3.0 - share * 3.0
    rng = np.random.default_rng(0)
    for _ in range(200):
        line, cross = rng.standard_normal((2, 6)) * 10.0 ** rng.integers(-8, 8, (2, 6))
        base = float(rng.standard_normal())
        cross_low, base_low = EPS * cross * rng.random(6), EPS * base * rng.random()
        line[0] = -(cross[0] + base)
        exact = min(
            whole(a, b, c, base, base_low)
            for a, b, c in zip(line, cross, cross_low, strict=True)
        )
        found = kernel(line, cross, cross_low, base, base_low)
        size = float(np.abs(cross).max() + 1.0)
        assert 0.0 <= float(exact - Fraction(float(found)))
        assert float(exact - Fraction(float(found))) <= 4 * EPS * (
            abs(float(exact)) + 4 * EPS * size
        )


@pytest.mark.parametrize("flat", [False, True])
def test_every_row_is_bounded(flat):
    rng = np.random.default_rng(2)
    n, m = 6, 4
    C = rng.integers(-8, 8, (n, m)).astype(float)
    high, low = rng.integers(-8, 8, n + m).astype(float), np.zeros(n + m)
    high[[1, n + 2]] += 0.5
    least, worst = np.empty(n), np.empty(n)
    L = np.ascontiguousarray(C.T if flat else C)
    _kernels_proof.least_reduced(L, flat, n, high, low, least, worst)
    reduced = C + high[:n, None] + high[n:]
    np.testing.assert_array_equal(least, C.min(axis=1))
    # Lines of rows leave out what is above zero.
    below = reduced.min(axis=1) if flat else np.minimum(reduced.min(axis=1), 0.0)
    np.testing.assert_allclose(worst, below, rtol=1e-14, atol=1e-14)
    low[:] = 0.125 * np.arange(n + m)
    _kernels_proof.least_reduced(L, flat, n, high, low, least, worst)
    reduced = reduced + low[:n, None] + low[n:]
    below = reduced.min(axis=1) if flat else np.minimum(reduced.min(axis=1), 0.0)
    np.testing.assert_allclose(worst, below, rtol=1e-14, atol=1e-14)


def test_masses_matched_in_order_are_told():
    x = np.arange(5.0)
    C = (x[:, None] - x[:4]) ** 2
    assert _kernels_simplex.is_monge(C, 0.0)
    for i in range(5):
        for j in range(4):
            other = C.copy()
            other[i, j] += 10.0 if (i, j) not in ((0, 3), (4, 0)) else -10.0
            assert not _kernels_simplex.is_monge(other, 1.0)
    tilted = C.copy()
    tilted[1, 1] += 2.5  # 2 is the curvature of squares
    assert not _kernels_simplex.is_monge(tilted, 0.25)
    assert _kernels_simplex.is_monge(tilted, 0.5)
    assert _kernels_simplex.is_monge(C[:1], 0.0)


# Masses


def test_integer_masses_are_the_masses_in_one_unit():
    rng = np.random.default_rng(0)
    for power in (-400, -3, 0, 5, 400):
        a = rng.integers(1, 2**20, 9) * 2.0 ** (power - 20)
        b = np.array([a.sum() / 4] * 4)
        left, right, exponent = integer_masses(a, b)
        assert left.dtype == right.dtype == np.int64
        # Exact where the numbers are short, and of some 2^60 in all.
        assert [Fraction(int(x)) * Fraction(2) ** exponent for x in left] == [
            Fraction(x) for x in a
        ]
        assert [Fraction(int(x)) * Fraction(2) ** exponent for x in right] == [
            Fraction(x) for x in b
        ]
        assert 2**60 <= left.sum() < 2**61
    for a, b in (([0.25, 0.5], [0.5, 0.5]), ([0.5, 0.5], [0.25, 0.5])):
        left, right, exponent = integer_masses(np.array(a), np.array(b))
        assert left.sum() == right.sum() and exponent == -60
        # The side that has less is raised to the other, in proportion.
        np.testing.assert_allclose(np.ldexp(left.astype(float), -60).sum(), 1.0)
        small = left if a[0] == 0.25 else right
        assert int(small[1]) == pytest.approx(2 * int(small[0]), rel=1e-15)
    _, right, _ = integer_masses(np.array([1.0, 1.0]), np.array([2.0, 1e-30]))
    assert right[1] == 1


def test_what_is_missing_is_spread_in_proportion():
    for more in (1, 2, 7, 1000, 10**15):
        mass = np.array([5, 3, 1, 1], dtype=np.int64) * 10**16
        out = _spread(mass, more)
        assert out.sum() - mass.sum() == more and (out >= mass).all()
        assert np.abs((out - mass) - more * (mass / mass.sum())).max() <= 1.0
    np.testing.assert_array_equal(_spread(np.array([4, 4, 8]), 1), [4, 4, 9])
    np.testing.assert_array_equal(_spread(np.array([1, 1, 1]), 5), [3, 3, 2])


# The gap of exact transport


def small_tree(unit=1.0):
    """Two rows, two columns, with potentials that are short sums."""
    return SimpleNamespace(
        n=2,
        unit=unit,
        high=np.array([1.0, -2.0, 3.0, 0.0]),
        low=np.array([0.25, 0.5, -0.125, 0.0]),
        worst=np.array([-1.0, -0.5]),
    )


def test_the_gap_is_what_arcs_cost_beyond_the_lowered_potentials():
    for unit in (1.0, 8.0):
        tree = small_tree(unit)
        C = unit * np.array([[2.0, 4.0], [1.5, 7.0]])
        i, j, mass = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.arange(1.0, 5.0)
        gap, allowance = _exact._gap(C[i, j], tree, i, j, mass)
        reduced = [2 + 1 + 3 + 0.125, 4 + 1.25, 1.5 - 1.5 + 2.875, 7 - 1.5]
        beyond = np.array(reduced) + [1.0, 1.0, 0.5, 0.5]
        assert gap == unit * (mass @ beyond)
        hidden = np.array(reduced) + [0.25 + 0.125, 0.25, 0.5 + 0.125, 0.5]
        expected = 1.5 * EPS * (mass @ hidden) + EPS * 12 * (mass @ beyond)
        assert allowance == pytest.approx(unit * expected, rel=1e-12, abs=0)
    # Large terms that cancel leave what they rounded away.
    tree = small_tree()
    big = 2.0**53
    tree.high[[0, 2]], tree.low[:] = [big, 1.0], 0.0
    C = np.array([[-big, 1.0], [1.0, 1.0]])
    one = (np.array([0]), np.array([0]), np.array([2.0]))
    gap, allowance = _exact._gap(C[one[0], one[1]], tree, *one)
    assert gap == 2.0 * (1.0 + 1.0)
    assert allowance == pytest.approx(1.5 * EPS * 4.0 + EPS * 9 * 4.0, rel=1e-12, abs=0)
    tree.high[[0, 2]] = [1.0, big]
    assert _exact._gap(C[one[0], one[1]], tree, *one) == (gap, allowance)
    # Arcs below the lowered potentials cost nothing beyond them.
    tree = small_tree()
    tree.worst[:] = 0.0
    gap, _ = _exact._gap(np.full(len(one[0]), -50.0), tree, *one)
    assert gap == 0.0


def test_gaps_of_random_potentials_are_bounded_by_their_allowance():
    rng = np.random.default_rng(3)
    for _ in range(100):
        n, m = 4, 3
        C = rng.standard_normal((n, m)) * 10.0 ** rng.integers(-6, 6, (n, m))
        high = rng.standard_normal(n + m) * 10.0 ** rng.integers(-6, 6, n + m)
        low = EPS * high * rng.random(n + m)
        worst = -rng.random(n)
        tree = SimpleNamespace(n=n, unit=1.0, high=high, low=low, worst=worst)
        i, j, mass = np.arange(4), rng.integers(0, m, 4), rng.random(4)
        gap, allowance = _exact._gap(C[i, j], tree, i, j, mass)
        exact = Fraction(0)
        for r, c, x in zip(i, j, mass, strict=True):
            terms = C[r, c], high[r], low[r], high[n + c], low[n + c], -worst[r]
            exact += Fraction(float(x)) * max(whole(*terms), Fraction(0))
        assert abs(float(Fraction(gap) - exact)) <= allowance
        size = np.abs(high).max() + np.abs(C).max() + 1.0
        assert allowance <= 40 * EPS * mass.sum() * size


def test_margins_and_pivots_short_of_the_aim_are_not_proved():
    def with_(error, value=0.0, finished=True):
        given = Certificate.measured(
            "transport_gap", value, 1e-9, "of", rounding=0.0, details={"x": 1}
        )
        return _exact._with_margins(given, error, SimpleNamespace(finished=finished))

    assert with_(1e-9).satisfied and "reason" not in with_(1e-9).details
    far = with_(1.1e-9)
    assert not far.satisfied and far.details["reason"] == "precision"
    assert (far.kind, far.value, far.tol, far.scale) == ("transport_gap", 0, 1e-9, "of")
    assert far.details["x"] == 1
    assert with_(0.0, value=1.0).details["reason"] == "precision"
    assert with_(0.0, value=1.0, finished=False).details["reason"] == "iterations"


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (40, 3)])
def test_every_number_of_an_exact_answer(shape):
    rng = np.random.default_rng(5)
    n, m = shape
    C = rng.integers(1, 40, shape) / 8.0
    a, b = rng.multinomial(64 - n, np.ones(n) / n) + 1, rng.multinomial(64, [1 / m] * m)
    a, b = a / 16.0, b / 16.0
    result = sinkhorn(C, a, b, method="exact")
    details = result.certificate.details
    value = (result.plan * C).sum()
    assert result.value == details["transport_cost"] == value
    assert result.value_entropic == result.value_kl == value
    assert result.reg == 0.0 and result.marginal_error == 0.0
    assert result.certificate.kind == "transport_gap" and result.certificate.tol == 1e-9
    phi, psi = result.potentials
    # Short numbers: nothing is rounded, so that the duals are tight and feasible.
    assert a @ phi + b @ psi == pytest.approx(value, abs=1e-12)
    assert (C - phi[:, None] - psi)[a > 0][:, b > 0].min() >= -1e-13
    assert value * (1 - 1e-13) <= details["lower_bound"] <= value
    assert details["lower_bound"] < value
    assert 0.0 <= result.gap <= 1e-13 * value
    assert result.dual_value == pytest.approx(value, rel=1e-13)
    assert result.dual_value <= value
    row_minima = C.min(axis=1)
    spent = (result.plan * (C - row_minima[:, None])).sum()
    gap, allowed = result.gap, details["rounding"] * spent
    assert result.certificate.value == pytest.approx(gap / spent, rel=1e-12, abs=0)
    known = 2.0 * EPS * value
    assert details["lower_bound"] == pytest.approx(
        value - gap - allowed - known, abs=BIT * value * 4
    )
    assert details["marginal_error"] == 0.0 and not details["twice_double_precision"]
    assert 0 <= details["degenerate_pivots"] <= details["pivots"]
    assert result.n_iter == {"pivots": details["pivots"]}
    D = rng.exponential(size=shape)  # of all their digits
    large, small = (
        sinkhorn(unit * D, a, b, method="exact").certificate for unit in (1.0, 2.0**-20)
    )
    assert small.details["rounding"] == large.details["rounding"] > 0.0
    assert small.value == large.value
    # All rows at their minima: no flow above them that a gap could be a share of.
    free = sinkhorn(np.ones(shape), a, b, method="exact")
    assert free.certificate.value == 0.0 and free.certificate.details["rounding"] == 0.0
    assert free.converged and free.value == b.sum()


def test_plans_are_sparse_where_they_are_large_or_asked_to_be(monkeypatch):
    C = np.random.default_rng(0).random((5, 4))
    dense = sinkhorn(C, method="exact").plan
    listed = sinkhorn(C, method="exact", return_plan="sparse").plan
    np.testing.assert_array_equal(listed.toarray(), dense)
    assert sinkhorn(C, method="exact", return_plan=False).plan is None
    monkeypatch.setattr(_exact, "_DENSE_PLAN_ENTRIES", 20)
    assert isinstance(sinkhorn(C, method="exact").plan, np.ndarray)
    monkeypatch.setattr(_exact, "_DENSE_PLAN_ENTRIES", 19)
    assert sparse.issparse(sinkhorn(C, method="exact").plan)
    big = sinkhorn(C, method="exact", return_plan="dense").plan
    np.testing.assert_array_equal(big, dense)


def test_points_of_no_mass_get_the_largest_feasible_potentials():
    rng = np.random.default_rng(0)
    C = rng.random((6, 5))
    a, b = np.array([1.0, 0, 2, 1, 0, 1]), np.array([2.0, 1, 0, 2, 0])
    C[1, :4] = np.inf  # reaches a column without mass alone
    result = sinkhorn(C, a, b, method="exact")
    phi, psi = result.potentials
    for i in (1, 4):
        open_ = np.isfinite(C[i]) & (b > 0)
        best = (C[i] - psi)[open_].min() if open_.any() else 0.0
        assert phi[i] == pytest.approx(best, abs=1e-15)
    for j in (2, 4):
        assert psi[j] == pytest.approx((C[:, j] - phi).min(), abs=1e-15)


def test_a_tree_is_proved_by_a_gap_that_is_small_beside_the_cost_above_minima():
    rng = np.random.default_rng(0)
    C = np.ascontiguousarray(rng.random((6, 6)))
    left, right, _ = integer_masses(np.full(6, 0.5), np.full(6, 0.5))
    run = Run(False, 6, 6)
    run.start(C, left, right, False)
    least, worst = run.optimize(C, float(C.max()), 0.0, left)
    assert not run.precise and run._proved(C, least, worst, left)
    i, j, flow = _arcs_of(run)
    c = C[i, j]
    spent = min(flow @ (c - C.min(axis=1)[i]), flow @ (c - C.min(axis=0)[j]))
    assert spent > 0
    for share, proved in ((0.99, True), (1.01, False)):
        worst = np.full(6, -share * 1e-14 * spent / left.sum())
        assert run._proved(C, least, worst, left) == proved
    assert run._proved(C, least, np.full(6, 1.0), left)


def _arcs_of(run):
    x = np.flatnonzero(run.flow)
    up = run.parent[x]
    own = x < run.n
    return np.where(own, x, up), np.where(own, up, x) - run.n, run.flow[x]


@pytest.mark.parametrize("shape, share", [((9, 7), 0.5), ((60, 4), 0.2)])
def test_duals_of_problems_with_closed_arcs_are_feasible(shape, share):
    rng = np.random.default_rng(0)
    n, m = shape
    solved = 0
    for _ in range(40):
        C = rng.integers(-9, 10, shape).astype(float)
        C[rng.random(shape) < share] = np.inf
        a, b = np.full(n, 1.0 / n), np.full(m, 1.0 / m)
        left, right, _ = integer_masses(a, b)
        try:
            tree = solve_tree(C, left, right)
        except ValueError:
            continue
        solved += 1
        pot = tree.high + tree.low
        reduced = np.where(np.isinf(C), np.inf, C + pot[:n, None] + pot[n:])
        assert reduced.min() >= -1e-12 and tree.worst.min() >= -1e-12
        i, j, flow = tree.arcs()
        assert np.isfinite(C[i, j]).all()
        sums = np.zeros(n, np.int64)
        np.add.at(sums, i, flow)
        np.testing.assert_array_equal(sums, left)
        assert np.abs(reduced[i, j]).max() <= 1e-12
        np.testing.assert_array_equal(tree.least, C.min(axis=1))
    assert solved > 10


@pytest.mark.parametrize("shape", [(6, 6), (40, 4)])
@pytest.mark.parametrize("scale", [2.0**-12, 1.0, 2.0**12])
def test_duals_are_mended_where_arcs_carry_nothing_in_any_plan(shape, scale):
    rng = np.random.default_rng(0)
    n, m = shape
    a, b = np.full(n, 1.0 / 8), np.full(m, n / m / 8)
    left, right, _ = integer_masses(a, b)
    mended = 0
    for _ in range(30):
        C = np.full(shape, np.inf)
        # Blocks that need all their mass, and arcs between them one way.
        block = np.arange(n) * m // n
        own = block[:, None] == np.arange(m)
        C[own] = rng.integers(-9, 10, own.sum())
        ways = (block[:, None] < np.arange(m)) & (rng.random(shape) < 0.7)
        C[ways] = rng.integers(-30, 3, ways.sum()) + 0.1
        C *= scale
        order = rng.permutation(n)
        C = C[order]
        tree = solve_tree(C, left, right)
        i, j, _ = tree.arcs()
        assert (j == block[order][i]).all()

        def reduced(r, c, C=C, tree=tree):
            pot = tree.high[r], tree.low[r], tree.high[n + c], tree.low[n + c]
            return whole(C[r, c], *pot)

        worst = [reduced(r, c) for r, c in np.argwhere(np.isfinite(C))]
        size = scale * 1e4
        assert float(min(worst)) >= -1e-28 * size
        assert tree.worst.min() >= -1e-28 * size
        assert np.abs(tree.high).max() <= size
        for r, c in zip(i, j, strict=True):
            assert abs(float(reduced(r, c))) <= 1e-28 * size
        mended += np.abs(tree.high).max() > 60 * scale
    assert mended


# Margins


def test_errors_of_margins_and_their_rounding():
    a, b = np.array([1.0, 3.0]), np.array([2.0, 1.0, 1.0])
    sums = np.array([1.5, 3.0]), np.array([2.0, 0.75, 1.0]), 0.5
    error, allowance = _margins.error_of_sums(sums, a, b)
    assert error == (0.5 + 0.25) / 4.0
    assert allowance == 0.125 + 4.0 * EPS * (1.0 + error)
    i, j, mass = np.array([0, 1, 1]), np.array([0, 0, 2]), np.array([1.0, 2.0, 4.0])
    rows, columns, bound = _margins.sums_of_arcs(i, j, mass, (2, 4))
    assert rows.tolist() == [1.0, 6.0] and columns.tolist() == [3.0, 0.0, 4.0, 0.0]
    assert bound == 0.5 * EPS * (1 + 2 * 6.0 + 2 * 3.0 + 4.0)
    plan = sparse.csr_array((mass, (i, j)), shape=(2, 4))
    dense = _margins.sums_of(plan.toarray())
    for one, other in zip(_margins.sums_of(plan)[:2], dense[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    assert _margins.sums_of(plan)[2] == bound


def test_allowances_of_dense_sums_grow_with_the_length(monkeypatch):
    monkeypatch.setattr(_margins, "rounding", lossy)
    for m, steps in ((1, 52), (1023, 52), (1024, 53), (2048, 54)):
        P = np.full((2, m), 0.5)
        rows, columns, allowance = _margins.sums_of(P)
        assert allowance == pytest.approx(lossy(steps, m))
        assert rows.tolist() == [0.5 * m] * 2 and columns.tolist() == [1.0] * m


def test_totals_of_columns_are_sums_of_two_numbers():
    P = np.array([[1.0, 1e16], [1e16, 1.0], [-1e16, 1.0], [3.0, -1e16]])
    totals, rest = np.zeros(2), np.zeros(2)
    _kernels.column_totals(P, totals, rest)
    assert (totals + rest).tolist() == [4.0, 2.0]
    assert totals.tolist() != [4.0, 2.0]


# The certificate of entropic transport


def fake(n=3, m=2, rounded=(2.5, False)):
    problem = SimpleNamespace(
        n=n,
        m=m,
        a=np.array([0.5, 0.25, 0.25]),
        b=np.array([0.25, 0.75]),
        rounded=lambda state, eps: rounded,
        at_floor=lambda state, eps: False,
    )
    state = SimpleNamespace(
        shift=np.array([-1.0, -2.0, 4.0]), g=np.array([3.0, 1.0]), cost=2.0, error=1.0
    )
    return problem, state


def test_bounds_are_the_dual_and_a_feasible_plan(monkeypatch):
    monkeypatch.setattr(_entropic, "rounding", lossy)
    monkeypatch.setattr(_entropic, "EPS", 1e-4)
    problem, state = fake(rounded=(2.5, True))
    u, v = np.array([1.0, -2.0, 3.0]), np.array([-4.0, 1.0])
    hard = (0.5 + 0.5 + 1.0) + (0.75 + 0.75)
    allowed = LOSS * (3 + 2 + 16) * (hard + 2.0)
    allowed += 4e-4 * ((0.5 + 0.5 + 0.75) + (1.0 + 0.75))
    dual = (0.75 + 0.75) - (-0.5 - 0.5 + 1.0) - allowed
    found = _entropic._bounds(problem, state, 0.1, u, v)
    assert found.dual == pytest.approx(dual, rel=1e-12)
    assert found.gap == pytest.approx((2.5 - dual) + 0.5 + allowed, rel=1e-12)
    assert found.forbidden
    problem.rounded = lambda state, eps: (0.5, False)
    found = _entropic._bounds(problem, state, 0.1, u, v)
    assert found.gap == pytest.approx(1.5 + allowed, rel=1e-12)
    assert not found.forbidden


def test_reasons_of_margins_that_are_not_met():
    problem, state = fake()

    def certified(measured, tol=1e-3, dtype=np.float64, want="dense", **changes):
        request = _entropic.Request(0.1, tol=tol)
        for name, value in changes.items():
            where = problem if name == "at_floor" else state
            setattr(where, name, value)
        return _entropic._certificate(problem, state, request, measured, dtype, want)

    good = certified((5e-4, 5e-4, 0.0))
    assert good.satisfied and "reason" not in good.details
    assert (good.value, good.tol, good.kind) == (5e-4, 1e-3, "transport_gap")
    assert good.details["rounding"] == 5e-4

    def reason(*measured, **options):
        found = certified(measured, **options)
        assert not found.satisfied
        return found.details["reason"]

    assert reason(2e-3, 0.0, 0.0) == "iterations"
    assert reason(2e-3, 1e-3, 0.0) == "precision"
    assert reason(2e-3, 2e-3, 0.0) == "precision"
    assert reason(2e-3, 9e-4, 0.0) == "iterations"
    assert reason(1e-3, 1e-9, 0.0) == "precision"
    assert reason(2e-3, 0.0, 6e-4) == "entries"
    assert reason(2e-3, 0.0, 5e-4) == "iterations"
    assert reason(2e-3, 0.0, 0.0, at_floor=lambda state, eps: True) == "precision"
    problem.at_floor = lambda state, eps: False
    single = {"dtype": np.float32, "error": 1e-3}
    assert reason(2e-3, 0.0, 0.0, **single) == "precision"
    assert reason(2e-3, 0.0, 0.0, **{**single, "error": 1.1e-3}) == "iterations"
    assert reason(2e-3, 0.0, 0.0, **single, want=False) == "iterations"
    assert reason(2e-3, 0.0, 0.0, error=1e-3) == "iterations"


def test_mass_that_entries_leave_out():
    problem, state = fake()
    state.indices, state.ptr = np.arange(4), np.array([0, 2, 2, 3])
    state.weights = np.array([0.5, 0.25, 0.5, 9.0])
    assert _entropic._missing(state, problem) == 1.0 - (0.5 * 0.75 + 0.25 * 0.5)
    state.weights = np.array([0.5, 0.75, 4.0, 9.0])
    assert _entropic._missing(state, problem) == 0.0
    state.indices = None
    assert _entropic._missing(state, problem) == 1.0


def test_entries_are_stored_until_little_is_left_out(monkeypatch):
    asked, dropped = [], []
    raised = SimpleNamespace(by=1.0)

    def evaluate(g, eps, tau, plan=False):
        asked.append(tau)
        return SimpleNamespace(
            tau=raised.by * tau if plan else 7.0,
            drop_entries=lambda: dropped.append(tau),
        )

    problem = SimpleNamespace(evaluate=evaluate, cost=None)
    assert _entropic._last_pass(problem, None, 0.1, 1e-9, "dense").tau == 7.0
    assert asked == [_entropic.NOTHING] and not dropped
    # A tenth of the tolerance may be left out.
    for left, steps in ((0.99e-10, 1), (1.01e-10, 4)):
        asked.clear()
        monkeypatch.setattr(_entropic, "_missing", lambda *_, left=left: left)
        state = _entropic._last_pass(problem, None, 0.1, 1e-9, "sparse")
        assert state.tau == asked[-1] and len(asked) == steps
        np.testing.assert_allclose(asked, 1e-13 * 1e-2 ** np.arange(steps), rtol=1e-12)
    assert len(dropped) == 3
    asked.clear()
    raised.by = 2.0  # there was no room for as many
    assert _entropic._last_pass(problem, None, 0.1, 1e-9, "sparse").tau == 2e-13
    assert asked == [1e-13]
    raised.by, problem.cost = 1.0, object.__new__(CellCost)
    for tol, first in ((1e-9, 1e-12), (1e-11, 1e-13)):
        asked.clear()
        monkeypatch.setattr(_entropic, "_missing", lambda *_: 0.0)
        _entropic._last_pass(problem, None, 0.1, tol, "sparse")
        np.testing.assert_allclose(asked, [first], rtol=1e-12)


def rounded_by_hand(C, g, a, b, eps):
    """Return the cost of the plan of g, scaled and filled up to its marginals."""
    P = np.exp((g - C) / eps)
    P *= (a / P.sum(axis=1))[:, None]
    P *= np.minimum(1.0, b / P.sum(axis=0))
    left, right = a - P.sum(axis=1), b - P.sum(axis=0)
    open_ = np.isfinite(C)
    D = np.where(open_, C, np.abs(C[open_]).max())
    if right.sum() > 0:
        P = P + np.outer(left, right) / right.sum()
    return (P * D).sum()


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", None])
def test_plans_are_rounded_to_feasible_ones(metric):
    rng = np.random.default_rng(0)
    X, Y = rng.random((9, 2)), rng.random((7, 2))
    a, b = rng.random(9) + 0.1, rng.random(7) + 0.1
    a, b = a / a.sum(), b / b.sum()
    C = np.sqrt(((X[:, None] - Y) ** 2).sum(axis=-1))
    C = C**2 if metric == "sqeuclidean" else C
    if metric is None:
        C[2, 3] = np.inf
        cost = MatrixCost(C)
    else:
        cost = PointCost(X, Y, metric)
    problem = SemiDual(cost, a, b)
    for size in (0.0, 0.05, 0.5):
        g = size * rng.standard_normal(7)
        state = problem.evaluate(g, 0.1)
        value, forbidden = problem.rounded(state, 0.1)
        expected = rounded_by_hand(C, g, a, b, 0.1)
        assert value == pytest.approx(expected, rel=1e-9)
        assert forbidden == (metric is None)
    assert problem._product_cost(a, b)[0] == pytest.approx(
        a @ np.where(np.isinf(C), C[np.isfinite(C)].max(), C) @ b, rel=1e-12
    )


@pytest.mark.parametrize("reg", [0.05, 1.0])
def test_sorted_points_are_rounded_as_their_matrix_is(reg):
    rng = np.random.default_rng(1)
    X, Y = rng.random((60, 2)), rng.random((50, 2))
    a, b = rng.random(60) + 0.1, rng.random(50) + 0.1
    a, b = a / a.sum(), b / b.sum()
    cost, rows, columns = CellCost.of(PointCost(X, Y, "euclidean"), 2)
    a, b, g = a[rows], b[columns], 0.1 * rng.standard_normal(50)
    problem = SemiDual(cost, a, b)
    value, forbidden = problem.rounded(problem.evaluate(g, reg), reg)
    C = np.sqrt(((X[rows][:, None] - Y[columns]) ** 2).sum(axis=-1))
    assert value == pytest.approx(rounded_by_hand(C, g, a, b, reg), rel=1e-9)
    assert not forbidden


def test_costs_of_products_are_summed_over_all_blocks():
    rng = np.random.default_rng(2)
    X, Y = rng.random((5000, 2)), rng.random((3, 2))
    C = np.sqrt(((X[:, None] - Y) ** 2).sum(axis=-1))
    a, b = rng.random(5000), rng.random(3)
    for cost in (PointCost(X, Y, "euclidean"), MatrixCost(C)):
        problem = SemiDual(cost, np.full(5000, 2e-4), np.full(3, 1 / 3))
        value, forbidden = problem._product_cost(a, b)
        assert value == pytest.approx(a @ C @ b, rel=1e-12) and not forbidden
    # A plan that meets both margins is left as it is.
    a = np.full(4, 0.25)
    problem = SemiDual(MatrixCost(np.full((4, 4), 3.0)), a, a)
    assert problem.rounded(problem.evaluate(np.zeros(4), 0.5), 0.5) == (3.0, False)


def test_what_rounding_of_exponents_can_explain():
    a = np.full(4, 0.25)
    problem = SemiDual(MatrixCost(np.ones((4, 4))), a, a)
    state = SimpleNamespace(f=np.array([1.0, -6.0]), g=np.array([2.0, -1.0]))
    allowed = 8.0 * EPS * (6.0 + 2.0) / 0.25
    assert problem.floor(state, 0.25) == allowed
    for error, explained in ((allowed, True), (1.01 * allowed, False), (0.0, True)):
        state.error = error
        assert problem.at_floor(state, 0.25) == explained


def test_bounds_of_entropic_answers_hold_and_are_close():
    rng = np.random.default_rng(0)
    C = rng.random((12, 9)) + 90.0 * rng.random((12, 1)) - 40.0 * rng.random(9)
    a, b = rng.random(12) + 0.1, rng.random(9) + 0.1
    a, b = 3.0 * a / a.sum(), 3.0 * b / b.sum()
    best = sinkhorn(C, a, b, method="exact").value
    for shape in (C, C.T):
        left, right = (a, b) if shape is C else (b, a)
        for reg in (0.1, 1e-3):
            result = sinkhorn(shape, left, right, reg=reg)
            details = result.certificate.details
            assert details["lower_bound"] <= best + 1e-14
            assert best <= result.value + result.gap
            assert result.value - result.gap <= best
            # The hard dual of soft potentials is off by reg times some logarithms.
            assert best - details["lower_bound"] <= 3.0 * reg * np.log(108)
            assert result.gap <= 3.0 * reg * np.log(108) + 1e-8
            np.testing.assert_allclose(
                details["lower_bound"],
                result.value - result.gap,
                atol=1e-8 * best,
            )
            assert details["transport_cost"] == pytest.approx(result.value, rel=1e-9)
            assert details["gap"] == result.gap and details["proved"]
            assert details["reg"] == reg
            assert details["plan_threshold"] == 0.0
            assert details["potentials_error"] <= 1e-9
        listed = sinkhorn(shape, left, right, reg=0.1, return_plan="sparse")
        assert 0.0 < listed.certificate.details["plan_threshold"] <= 1e-13
    shut = C.copy()
    shut[0, 0] = np.inf
    assert not sinkhorn(shut, a, b, reg=0.1).certificate.details["proved"]


def test_margins_without_a_plan_are_those_of_the_potentials(monkeypatch):
    rng = np.random.default_rng(0)
    X, Y = rng.random((12, 2)), rng.random((9, 2))
    one = sinkhorn_points(X, Y, reg=0.1, return_plan=False)
    assert one.plan is None
    details = one.certificate.details
    assert one.marginal_error == details["potentials_error"] <= 1e-9
    assert details["rounding"] == pytest.approx(EPS * 21, rel=1e-6, abs=0)
    assert details["plan_threshold"] == 0.0
    other = sinkhorn_points(X, Y, reg=0.1)
    assert one.value == pytest.approx(other.value, rel=1e-9)
    with pytest.warns(ConvergenceWarning, match="Increase max_iter"):
        early = sinkhorn_points(X, Y, reg=1e-3, return_plan=False, max_iter=1)
    assert early.certificate.details["reason"] == "iterations"


# Unbalanced and symmetric transport


def unbalanced(tol=1e-9, floor=0.0, dtype=np.float64, prices=(2.0, 0.5)):
    """Return what is said of given potentials, and the data."""
    rng = np.random.default_rng(0)
    C, eps = rng.random((5, 4)).astype(dtype), 0.25
    a, b = rng.random(5) + 0.5, rng.random(4) + 0.5
    phi, psi = 0.1 * rng.standard_normal(5), 0.1 * rng.standard_normal(4)
    count = _unbalanced._Count()
    count.all, count.newton, count.cg = 9, 2, 5
    cost = MatrixCost(C)
    data = a, b, a, b, np.arange(5), np.arange(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = _unbalanced._result(
            cost, cost, data, (phi, psi), eps, prices, (tol, floor, count), 7, True
        )
    return found, (C.astype(float), a, b, phi, psi, eps)


@pytest.mark.parametrize("prices", [(2.0, 0.5), (np.inf, 0.5), (2.0, np.inf)])
def test_values_of_unbalanced_plans_are_those_of_the_definitions(prices, monkeypatch):
    monkeypatch.setattr(_unbalanced, "EPS", 1e-4)
    found, (C, a, b, phi, psi, eps) = unbalanced(prices=prices)
    P = np.outer(a, b) * np.exp((phi[:, None] + psi - C) / eps)
    np.testing.assert_allclose(found.plan, P, rtol=1e-12)
    assert found.value == pytest.approx((P * C).sum(), rel=1e-12)
    r, c = P.sum(axis=1), P.sum(axis=0)
    left, right = a * np.exp(-phi / prices[0]), b * np.exp(-psi / prices[1])
    error = np.abs(r - left).sum() + np.abs(c - right).sum()
    certificate = found.certificate
    assert certificate.value == found.marginal_error
    assert certificate.value == pytest.approx(error / P.sum(), rel=1e-12)
    rounding = 8e-4 * (left.sum() + right.sum()) / P.sum()
    assert certificate.details["rounding"] == pytest.approx(rounding, rel=1e-9)
    assert certificate.details["mass"] == pytest.approx(P.sum(), rel=1e-12)
    kl = (P * np.log(P / np.outer(a, b))).sum() - P.sum() + a.sum() * b.sum()
    objective = (P * C).sum() + eps * kl
    dual = -eps * (P.sum() - a.sum() * b.sum())
    for price, sums, mass, potential in (
        (prices[0], r, a, phi),
        (prices[1], c, b, psi),
    ):
        if np.isinf(price):
            dual += mass @ potential
            continue
        kl = (sums * np.log(sums / mass)).sum() - sums.sum() + mass.sum()
        objective += price * kl
        dual -= price * (mass @ (np.exp(-potential / price) - 1.0))
    assert found.value_entropic == found.value_kl == certificate.details["objective"]
    assert found.value_entropic == pytest.approx(objective, rel=1e-10)
    assert found.dual_value == certificate.details["dual"]
    assert found.dual_value == pytest.approx(dual, rel=1e-10)
    assert found.gap == pytest.approx(abs(objective - dual), rel=1e-9)
    assert found.n_iter == {"sinkhorn": 7, "newton": 2, "cg": 5, "passes": 7}
    assert found.reg == eps and not found.converged
    assert certificate.kind == "transport_gap" and certificate.tol == 1e-9


def test_reasons_of_unbalanced_margins_that_are_not_met():
    assert unbalanced()[0].certificate.details["reason"] == "iterations"
    value = unbalanced()[0].certificate.value
    for floor, reason in ((value, "precision"), (0.99 * value, "iterations")):
        assert unbalanced(floor=floor)[0].certificate.details["reason"] == reason
    assert unbalanced(tol=2.0 * value)[0].converged
    assert "reason" not in unbalanced(tol=2.0 * value)[0].certificate.details
    single = unbalanced(dtype=np.float32)[0]
    assert single.plan.dtype == np.float32
    assert single.certificate.details["reason"] == "iterations"


def test_prices_of_margins():
    sums, mass = np.array([0.0, 2.0, 1.0]), np.array([1.0, 1.0, 4.0])
    potential = np.array([0.5, -0.25, 0.0])
    primal, dual = _unbalanced._price(sums, mass, 3.0, potential, 1.0 / 3.0)
    assert primal == pytest.approx(3.0 * (2 * np.log(2) + np.log(0.25) - 3 + 6))
    assert dual == pytest.approx(
        -3.0 * (np.expm1(-0.5 / 3.0) + np.expm1(0.25 / 3.0)), rel=1e-12
    )
    assert _unbalanced._price(sums, mass, np.inf, potential, 0.0) == (0.0, 0.25)
    far = _unbalanced._price(sums, mass, 1e-9, np.array([-1.0, 1.0, 1.0]), 1e9)[1]
    assert np.isfinite(far)


def test_symmetric_certificates_are_of_the_rows_as_they_are(monkeypatch):
    monkeypatch.setattr(_symmetric, "rounding", lossy)
    X = np.random.default_rng(0).random((30, 2))
    C = ((X[:, None] - X) ** 2).sum(axis=-1)
    a = np.random.default_rng(1).random(30) + 0.5
    G, f, certificate = doubly_stochastic(C, a, reg=0.1, tol=1e-2)
    off = np.abs(G.sum(axis=1) / a - 1.0).max()
    assert certificate.value == pytest.approx(off, rel=1e-9, abs=1e-15)
    assert 0.0 < off < 1e-2 and certificate.details["reg"] == 0.1
    assert certificate.details["rounding"] == pytest.approx(64 * LOSS)
    assert certificate.kind == "transport_gap" and certificate.tol == 1e-2
    np.testing.assert_allclose(np.exp((f[:, None] + f - C) / 0.1), G, rtol=1e-10)
    for tol, met in ((1e-2, True), (64 * LOSS, False)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = doubly_stochastic(C, reg=0.1, tol=tol)[2]
        assert found.satisfied == met and found.tol == tol
    monkeypatch.undo()
    D = np.random.default_rng(0).random((30, 30))
    with pytest.warns(ConvergenceWarning, match="Increase max_iter"):
        found = doubly_stochastic(D + D.T, reg=1e-3, max_iter=1)[2]
    assert found.details["reason"] == "iterations" and found.details["n_iter"] == 1
    with pytest.warns(ConvergenceWarning, match="recision does not suffice"):
        found = doubly_stochastic(C, reg=1e-2, tol=1e-16)[2]
    assert found.details["reason"] == "precision"
    # Three points are the fewest that can leave their own mass to others.
    few, _, _ = doubly_stochastic(C[:3, :3], reg=1.0, zero_diagonal=True, tol=1e-2)
    np.testing.assert_allclose(few.sum(axis=1), 1.0, atol=1e-2)
    for bad in ({"reg": 1.0, "perplexity": 2.0}, {}):
        with pytest.raises(ValueError, match="Exactly one of reg and perplexity"):
            doubly_stochastic(C, **bad)
    C[3] = C[:, 3] = np.inf
    with pytest.raises(ValueError, match=r"Rows \[3\] have no positive entry"):
        doubly_stochastic(C, reg=1.0)


def test_potentials_at_the_floor_are_taken_off_the_costs(monkeypatch):
    X = np.random.default_rng(0).random((20, 2))
    C = ((X[:, None] - X) ** 2).sum(axis=-1)
    solve, state = _symmetric.solve_symmetric, SimpleNamespace(at_floor=True, n_iter=5)

    def rough(cost, a, eps, tol, max_iter):
        found = solve(cost, a, eps, 1e-2, 3)
        found.error = state.error
        found.at_floor, found.n_iter = state.at_floor, state.n_iter
        return found

    level, limits = _symmetric._solve_level, []

    def limited(cost, a, eps, tol, max_iter, f):
        limits.append(max_iter)
        return level(cost, a, eps, tol, max_iter, f)

    monkeypatch.setattr(_symmetric, "solve_symmetric", rough)
    monkeypatch.setattr(_symmetric, "_solve_level", limited)
    goal = _symmetric._GOAL * 1e-9

    def certified(error=0.5, at_floor=True, n_iter=5):
        state.error, state.at_floor, state.n_iter = error, at_floor, n_iter
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            G, f, certificate = doubly_stochastic(C, reg=0.05, max_iter=50)
        np.testing.assert_allclose(np.exp((f[:, None] + f - C) / 0.05), G, rtol=1e-9)
        return certificate

    good = certified()
    assert good.satisfied and 5 < good.details["n_iter"] <= 50
    for left_alone in (
        certified(error=goal),
        certified(at_floor=False),
        certified(n_iter=50),
        certified(error=1e-300, n_iter=5),
    ):
        assert not left_alone.satisfied
        assert left_alone.details["n_iter"] in (5, 50)
    assert 45 in limits and 0 not in limits  # nothing is solved where nothing is left


def test_costs_and_kernels_that_are_nearly_symmetric_are_averaged():
    rng = np.random.default_rng(0)
    C = rng.random((6, 6)) + 0.5
    C = C + C.T
    for kind, options in (("cost", {"reg": 0.5}), ("kernel", {})):
        near = C.copy()
        near[1, 4] *= 1.0 + 1e-9
        mean = 0.5 * (near + near.T)
        found = doubly_stochastic(near, kind=kind, **options)[0]
        np.testing.assert_array_equal(
            found, doubly_stochastic(mean, kind=kind, **options)[0]
        )
        for scale in (1e-6, 1.0, 1e6):  # relative to the largest
            far = scale * C
            far[1, 4] += 2e-8 * far.max()
            with pytest.raises(ValueError, match="must be symmetric"):
                doubly_stochastic(far, kind=kind, reg=scale)
    shut = C.copy()
    shut[0, 1] = np.inf
    with pytest.raises(ValueError, match="must be symmetric"):
        doubly_stochastic(shut, reg=1.0)
    for bad in ({"reg": 1.0}, {"perplexity": 2.0}):
        with pytest.raises(ValueError, match="leave them out"):
            doubly_stochastic(C, kind="kernel", **bad)
    with pytest.raises(ValueError, match="max_iter"):
        doubly_stochastic(C, reg=1.0, max_iter=2.5)
    shut[1, 0] = np.inf
    for kernel in (shut, C - 2.0):
        with pytest.raises(ValueError, match="finite and non-negative"):
            doubly_stochastic(kernel, kind="kernel")


def test_potentials_are_lowered_by_what_reduced_costs_lack(monkeypatch):
    """A bound of -0.25 below the reduced costs makes duals feasible all the same."""
    rng = np.random.default_rng(0)
    C, a, b = rng.random((6, 4)), np.full(6, 1 / 6), np.full(4, 1 / 4)
    plain, solve, units = sinkhorn(C, a, b, method="exact"), _exact._solve, []

    def lowered(*given):
        tree, exponent = solve(*given)
        units.append(tree.unit)
        return replace(tree, worst=tree.worst - 0.25), exponent

    monkeypatch.setattr(_exact, "_solve", lowered)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = sinkhorn(C, a, b, method="exact")
    u, v = found.potentials
    np.testing.assert_allclose(v, plain.potentials[1], atol=1e-12)
    np.testing.assert_allclose(
        u, plain.potentials[0] - 0.25 * units[0], rtol=1e-9, atol=1e-12
    )
    assert found.gap > plain.gap
    # Sums of potentials, rows first or places first.
    pot = np.array([1.0, 2.0, 5.0])
    np.testing.assert_array_equal(_simplex._outer(pot, 2, False), [[6.0], [7.0]])
    np.testing.assert_array_equal(_simplex._outer(pot, 2, True), [[6.0, 7.0]])
