"""Kernels that prove a tree of the network simplex, one by one, from definitions."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sparsestat._utils.arithmetic import EPS
from sparsestat.transport import _kernels_proof

SHARE = 1.5 * EPS


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_costs_are_surveyed(flat, sign):
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (1, 4), (4, 1), (5, 3), (3, 5)):
        C = sign * 0.25 * rng.random(shape)
        L = np.ascontiguousarray(C.T if flat else C)
        offset = np.abs(C.min(axis=1)).max()
        assert _kernels_proof.survey(L, flat) == (C.min(), C.max(), offset)


def small_tree():
    """Three rows and three columns: parents, flows and arcs of which two are idle."""
    n, parent = 3, np.array([3, 3, 5, 1, 2, -1])
    flow = np.array([4, 0, 7, 3, 2, 0])
    # A row below its column, a column below its row, the first column among them.
    return n, parent, flow, ([0, 2, 1, 2], [0, 2, 0, 1], [4, 7, 3, 2])


def test_arcs_of_a_tree_are_those_that_carry_something():
    n, parent, flow, expected = small_tree()
    found = _kernels_proof.tree_arcs(n, parent, flow)
    for mine, right in zip(found, expected, strict=True):
        assert mine.dtype == np.int64
        assert_array_equal(mine, right)
    found = _kernels_proof.tree_arcs(n, parent, 0 * flow)
    assert [len(part) for part in found] == [0, 0, 0]


@pytest.mark.parametrize("flat", [False, True])
def test_a_proof_compares_the_gap_with_the_smaller_cost_above_the_minima(flat):
    n, parent, flow, (i, j, mass) = small_tree()
    left = np.array([4.0, 2.0, 8.0])
    smaller = set()
    for seed in range(12):
        C = np.random.default_rng(seed).integers(1, 64, (3, 3)) / 128.0
        L = np.ascontiguousarray(C.T if flat else C)
        least = C.min(axis=1)
        rows = mass @ (C[i, j] - least[i])
        columns = mass @ (C[i, j] - C.min(axis=0)[j])
        smaller.add(rows < columns)
        most = 0.25 * min(rows, columns)
        # Short numbers: the bound is met exactly. What is positive has no part in it.
        worst = np.array([-most / 8.0, 50.0, -most / 16.0])
        for excess, proved in ((0.0, True), (2.0**-20, False), (-(2.0**-20), True)):
            at = worst - [0.0, 0.0, excess]
            found = _kernels_proof.is_proved(
                L, flat, n, parent, flow, left, least, at, 0.25
            )
            assert found == (proved or (most == 0.0 and excess == 0.0))
    assert smaller == {False, True}


def test_gaps_keep_what_large_terms_round_away():
    one = np.zeros(1, np.int64), np.zeros(1, np.int64), np.array([2.0])

    def gap(cost, high, low, worst=0.0):
        found = _kernels_proof.gap_of_arcs(
            *one, np.array([cost]), 1, np.array(high), np.array(low), np.array([worst])
        )
        return found[0] / 2.0, (found[1] - EPS * 9 * found[0]) / (2.0 * SHARE)

    big = 2.0**53
    # A cost beside a potential, and a potential beside a cost.
    for cost, high in ((big, 1.0), (1.0, big)):
        found, hidden = gap(cost, [high, 0.0], [-big, 0.0])
        assert found == 1.0
        assert hidden == pytest.approx(big + 2.0, rel=1e-14)
        assert gap(cost, [0.0, high], [0.0, -big])[0] == 1.0
    # Where neither of the terms is what the difference gives back.
    big, rest = 2.0**55, -(2.0**54 - 6.0)
    assert gap(big, [6.0, 0.0], [rest, 0.0])[0] == 2.0**54 + 12.0
    assert gap(0.0, [6.0, big], [rest, 0.0])[0] == 2.0**54 + 12.0
    # Each part of what is hidden counts by its size.
    found, hidden = gap(1.0, [1.0, 1.0], [-0.25, -0.5], -1.5)
    assert found == 2.25 + 1.5
    assert hidden == pytest.approx(0.75 + 2.25, rel=1e-12)
    found, hidden = gap(-4.0, [1.0, 1.0], [0.0, 0.0], -2.5)
    assert found == 0.5 and hidden == pytest.approx(2.0, rel=1e-12)
    # Below the lowered potential nothing is left of the gap.
    assert gap(-4.0, [1.0, 1.0], [0.0, 0.0], -1.5)[0] == 0.0
    # The rounding of the sum grows with its length.
    for count in (1, 5):
        i = np.zeros(count, np.int64)
        arrays = np.ones(count), np.ones(count), 1, np.zeros(2), np.zeros(2)
        found, allowance = _kernels_proof.gap_of_arcs(i, i, *arrays, np.zeros(1))
        assert found == count
        assert allowance == pytest.approx(
            SHARE * count + EPS * (count + 8) * count, rel=1e-12, abs=0
        )


def test_totals_are_added_to_what_is_there():
    i, j = np.array([0, 2, 2]), np.array([1, 1, 0])
    rows, columns = np.array([1.0, 8.0, 0.0]), np.array([0.0, 0.5])
    longest = _kernels_proof.arc_totals(i, j, np.array([2.0, 4.0, 3.0]), rows, columns)
    assert_array_equal(rows, [3.0, 8.0, 7.0])
    assert_array_equal(columns, [3.0, 6.5])
    assert longest == 1 * 3.0 + 2 * 7.0 + 1 * 3.0 + 2 * 6.5


def test_least_reduced_costs_of_long_lines_are_found_in_every_piece():
    zeros = np.zeros(40)
    for k in range(40):
        line = np.full(40, 3.0)
        line[k] = -2.0
        for margin in (0.0, 9.0):
            found = _kernels_proof._least_of_all(line, zeros, zeros, 0.0, 0.0, margin)
            assert found == -2.0 - SHARE * 2.0
    for margin in (0.0, 9.0):
        line = np.full(40, 3.0)
        assert _kernels_proof._least_of_all(line, zeros, zeros, 0.0, 0.0, margin) == 0.0
    # Lowest of the potential, the cross potential and the line together.
    cross, base = np.arange(40.0), -20.5
    found = _kernels_proof._least_of_all(cross[::-1] / 4, cross, zeros, base, 0.0, 0.0)
    assert found == pytest.approx(9.75 - 20.5, rel=1e-15)


def test_pieces_are_left_out_only_above_the_margin_and_all_rounding():
    def found(x, margin=0.5):
        line, zeros, low = np.full(20, x), np.zeros(20), np.full(20, -3.0)
        return _kernels_proof._least_of_all(line, zeros, low, 0.0, 0.0, margin)

    for x in (0.25, 0.5, 0.5 * (1.0 + 12.0 * EPS)):
        assert found(x) == pytest.approx(x - 3.0, rel=1e-14)
    for x in (0.5 * (1.0 + 14.0 * EPS), 1.0):
        assert found(x) == 0.0
    assert found(0.0, 0.0) == pytest.approx(-3.0, rel=1e-14)


def least_of_rows(C, high, low):
    n = len(C)
    least, worst = np.empty(n), np.empty(n)
    _kernels_proof.least_reduced(
        C, False, n, np.array(high), np.array(low), least, worst
    )
    assert_array_equal(least, C.min(axis=1))
    return worst


def test_margins_cover_all_that_lies_below_the_leading_numbers():
    one = np.array([[1.0]])
    assert least_of_rows(one, [0.0, 0.0], [-3.0, 0.0]) == pytest.approx(-2.0)
    assert least_of_rows(one, [0.0, 0.0], [0.0, -3.0]) == pytest.approx(-2.0)
    assert least_of_rows(one, [0.0, 0.0], [-0.75, -0.75]) == pytest.approx(-0.5)
    assert least_of_rows(one, [0.0, 0.0], [-0.25, -0.25]) == 0.0
    # Twice what is computed is above zero, and below it in truth.
    big = 2.0**53
    for row, column in ((big, -big - 2.0), (-big - 2.0, big)):
        found = least_of_rows(np.array([[3.0]]), [row, column], [-1.5, 0.0])
        assert found == pytest.approx(-0.5, rel=1e-14)
        found = least_of_rows(np.array([[3.0]]), [row, column], [0.0, -1.5])
        assert found == pytest.approx(-0.5, rel=1e-14)
    # The largest potential and the largest rest may stand in different columns.
    C = np.array([[1.0, 2.0, 9.0], [1.0, 1.5, 3.0]])
    found = least_of_rows(C, [0.0, 0.0, 0.0, 1.0, -8.0], [0.0, 0.0, 0.0, -3.5, 0.0])
    np.testing.assert_allclose(found, [-0.5, -5.0], rtol=1e-14)
