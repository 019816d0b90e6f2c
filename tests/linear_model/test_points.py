"""Points of compiled paths: results by index, units, what replaces one."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sparsestat.linear_model._penalized._points import (
    PathPoints,
    are_gaps,
    gaps_of,
    shifts_of,
    used_columns,
    worst_result,
)
from sparsestat.linear_model._penalized._result import SolverResult

COEFS = np.zeros((3, 4))
COEFS[1, 0], COEFS[2, 0], COEFS[2, 2] = 1.0, 1.0, -2.0


def result(**fields):
    given = {
        "columns": np.array([0, 2]),
        "coef": np.array([3.0, 5.0]),
        "gap": 0.5,
        "objective": 7.0,
        "dual": 6.5,
        "n_iter": 1,
        "n_sweeps": 2,
        "n_newton": 3,
    }
    return SolverResult(**{**given, **fields})


def points(unit=1.0, with_shift=True, **common):
    """Return points, and the results that were brought into given units."""
    seen = []
    problem = SimpleNamespace(
        coef_unit=unit, y_unit=2.0, loss_unit=8.0, y_offset=0.25, given=seen.append
    )
    problem.given = lambda one: seen.append(one) or one
    varying = {
        "gap": np.array([1e-3, 4e-3, 3e-3]),
        "rounding": np.array([0.0, 0.0, 2e-3]),
        "objective": np.array([9.0, 8.0, 7.0]),
        "dual": np.array([8.5, 7.5, 6.5]),
        "n_iter": np.array([1, 2, 3]),
        "n_sweeps": np.array([4, 5, 6]),
        "n_newton": np.array([7, 8, 9]),
    }
    if with_shift:
        varying["shift"] = np.array([0.5, 1.0, 1.5])
    return PathPoints(problem, COEFS.copy(), varying, common), seen


@pytest.mark.parametrize("unit", [1.0, 2.0, 4.0])
def test_arrays_are_in_the_units_of_the_given_data(unit):
    found, seen = points(unit)
    assert_array_equal(found.coefs, COEFS * unit)
    assert (found.coefs is found._inner) == (unit == 1.0)  # no copy of what is large
    assert_array_equal(found.objectives, np.array([9.0, 8.0, 7.0]) * 32.0)
    assert_array_equal(found.duals, np.array([8.5, 7.5, 6.5]) * 32.0)
    assert_array_equal(found.shifts, [1.25, 2.25, 3.25])
    assert_array_equal(shifts_of(found), found.shifts)
    assert_array_equal(gaps_of(found), [1e-3, 4e-3, 3e-3])
    assert_array_equal(used_columns(found), [0, 2])
    assert len(found) == 3 and seen == []
    assert_array_equal(points(with_shift=False)[0].shifts, [0.25, 0.25, 0.25])


def test_results_are_made_once_and_when_asked_for():
    found, seen = points(unit=2.0)
    one = found[-1]
    assert_array_equal(one.columns, [0, 2])
    assert_array_equal(one.coef, [1.0, -2.0])
    assert (one.gap, one.rounding, one.gap_history) == (3e-3, 2e-3, [3e-3])
    assert (one.objective, one.dual, one.shift) == (7.0, 6.5, 1.5)
    assert (one.n_iter, one.n_sweeps, one.n_newton) == (3, 6, 9)
    assert one.kind == "duality_gap" and one.converged
    assert found[2] is one and seen == [one]
    assert [x is y for x, y in zip(found[1:], (found[1], one), strict=True)] == [1, 1]
    assert len(found[0].columns) == 0 and len(seen) == 3
    with pytest.raises(IndexError):
        found[3]


def test_the_worst_point_is_so_with_its_rounding():
    found, _ = points()
    assert worst_result(found) is found[2]
    several = [result(gap=0.5), result(gap=0.25, rounding=0.5), result(gap=0.625)]
    assert worst_result(several) is several[1]
    assert_array_equal(gaps_of(several), [0.5, 0.25, 0.625])


def test_a_point_may_be_replaced():
    found, seen = points()
    better = result(rounding=0.125, shift=11.0)
    found[-2] = better
    assert found[1] is better and seen == []
    assert_array_equal(found.coefs, [COEFS[0], [3.0, 0.0, 5.0, 0.0], COEFS[2]])
    assert_array_equal(found.gaps, [1e-3, 0.5, 3e-3])
    assert_array_equal(found.roundings, [0.0, 0.125, 2e-3])
    assert_array_equal(found.shifts, [1.25, 11.0, 3.25])
    assert_array_equal(found.objectives, [288.0, 7.0, 224.0])
    assert_array_equal(found.duals, [272.0, 6.5, 208.0])
    # What the problem was given stays as it was.
    assert_array_equal(found._varying["gap"], [1e-3, 4e-3, 3e-3])
    assert_array_equal(found._varying["rounding"], [0.0, 0.0, 2e-3])


def test_kinds_and_supports_of_points_and_of_results():
    assert are_gaps(points()[0]) and not are_gaps(points(kind="kkt")[0])
    both = [result(), result(kind="kkt", columns=np.array([1]), coef=np.ones(1))]
    assert are_gaps(both[:1]) and not are_gaps(both)
    assert_array_equal(used_columns(both), [0, 1, 2])
    assert_array_equal(shifts_of([result(shift=2.0), result()]), [2.0, 0.0])


def test_results_have_neutral_defaults():
    one = result()
    assert (one.kind, one.scale, one.converged) == ("duality_gap", "", True)
    assert (one.shift, one.rounding, one.unit, one.bend) == (0.0, 0.0, 1.0, 1.0)
    assert one.null_value == np.inf and one.gap_history == []
    assert one.active_groups is None


@pytest.mark.parametrize("tail", [(), (2,)])
def test_copies_of_features_add_up(tail):
    coef = np.array([1.0, 2.0, 4.0]).reshape(3, *(1 for _ in tail)) * np.ones(
        (3, *tail)
    )
    one = result(columns=np.array([0, 2, 3]), coef=coef)
    one.merge_copies(np.array([5, 1, 1, 5]))
    assert_array_equal(one.columns, [1, 5])
    assert_array_equal(
        one.coef.T, np.array([[2.0, 5.0]] * (tail[0] if tail else 1)).squeeze()
    )
    dense = one.dense_coef(7, np.float32)
    assert dense.dtype == np.float32 and dense.shape == (7, *tail)
    assert_array_equal(dense.reshape(7, -1)[:, 0], [0, 2, 0, 0, 0, 5, 0])
