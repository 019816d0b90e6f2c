"""Newton steps on the dual of elastic nets, on working sets with exact products."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sparsestat.linear_model._penalized._augmented_lagrangian import (
    augmented_lagrangian,
)


class Exact:
    """A working set of few columns; it counts how often its gap was asked for."""

    def __init__(self, A, y, lam, l2, w, *, positive=False, breaks=()):
        self.A, self.target, self.lam, self.l2, self.w = A, y, lam, l2, w
        self.penalty = SimpleNamespace(positive=positive)
        self.target_square = float(y @ y)
        self.breaks, self.n_solved, self.n_gaps = breaks, 0, 0

    def residual(self):
        return self.target - self.A @ self.w

    def products(self, v):
        return self.A.T @ v

    def product(self, z):
        return self.A @ z

    def set(self, w):
        self.w = w.copy()

    def objective(self):
        r = self.residual()
        return 0.5 * r @ r + self.lam @ np.abs(self.w) + 0.5 * self.l2 @ self.w**2

    def gap(self):
        self.n_gaps += 1
        return self.violation()

    def violation(self):
        slope = self.A.T @ self.residual() - self.l2 * self.w
        bound = slope if self.penalty.positive else np.abs(slope)
        outside = np.where(self.w == 0, np.maximum(bound - self.lam, 0.0), 0.0)
        inside = np.where(self.w != 0, slope - self.lam * np.sign(self.w), 0.0)
        return max(outside.max(), np.abs(inside).max())

    def solve_normal(self, index, ridge, rhs, rtol):
        self.n_solved += 1
        if self.n_solved in self.breaks:
            return None
        B = self.A[:, index]
        return np.linalg.solve(B.T @ B + np.diag(ridge), rhs)


def near_copies(seed=0, unit=1.0, **options):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((30, 1)) + 0.05 * rng.standard_normal((30, 6))
    A[:, 4:] = rng.standard_normal((30, 2))
    y = A @ [1.0, -1.0, 0.5, 0.0, -2.0, 0.0] + 0.1 * rng.standard_normal(30)
    lam, l2 = np.array([0.4, 0.4, 0.8, 0.4, 0.4, 60.0]), np.full(6, 0.02)
    l2[0], start = 0.0, np.full(6, 0.1)
    return Exact(A, unit * y, unit * lam, l2, unit * start, **options)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("unit", [1.0, 2.0**40])
def test_a_few_newton_steps_are_enough(positive, unit):
    working, counter = near_copies(unit=unit, positive=positive), {"newton": 1}
    assert augmented_lagrangian(working, 1e-7 * unit, counter) is True
    assert working.violation() <= 1e-7 * unit
    held = working.w != 0
    assert held.any() and not held[5]
    assert positive == bool((working.w >= 0.0).all())
    # All of them are counted, and they are few.
    assert counter["newton"] == 1 + working.n_solved
    assert working.n_solved <= 16 and working.n_gaps <= 11


def test_it_ends_where_the_goal_is_met():
    coarse, fine = near_copies(), near_copies()
    augmented_lagrangian(coarse, 1.0, {"newton": 0})
    augmented_lagrangian(fine, 1e-10, {"newton": 0})
    assert 1 <= coarse.n_gaps < fine.n_gaps and coarse.n_solved < fine.n_solved
    assert 1e-6 < coarse.violation() <= 1.0


def test_nothing_is_done_from_zero_or_without_a_strength():
    for working in (near_copies(), near_copies()):
        if working.w.any():
            working.w = np.zeros(6)
        assert augmented_lagrangian(working, 1e-9, {"newton": 0}) is False
        assert working.n_solved == 0 and not working.w.any()
    working = near_copies()
    working.lam, w = np.zeros(6), working.w.copy()
    assert augmented_lagrangian(working, 1e-9, {"newton": 0}) is False
    assert working.n_solved == 0
    assert_array_equal(working.w, w)


def test_a_step_that_fails_makes_the_next_ones_shorter():
    working, counter = near_copies(breaks=(1, 2)), {"newton": 0}
    assert augmented_lagrangian(working, 1e-9, counter)
    assert working.violation() <= 1e-9
    assert counter["newton"] == working.n_solved - 2
    # Where all fail, the start is what is left.
    working, counter = near_copies(breaks=range(1000)), {"newton": 0}
    w = working.w.copy()
    augmented_lagrangian(working, 1e-9, counter)
    assert_array_equal(working.w, w)
    assert counter["newton"] == 0 and 5 <= working.n_solved <= 12


def test_the_start_is_kept_where_the_end_is_worse():
    working = near_copies()
    w, values = working.w.copy(), iter([1.0, 1.5, 1.0, 1.0])
    working.objective = lambda: next(values)
    assert augmented_lagrangian(working, 1e-9, {"newton": 0}) is False
    assert_array_equal(working.w, w)
    assert augmented_lagrangian(working, 1e-9, {"newton": 0}) is True
    assert working.violation() <= 1e-9


@pytest.mark.parametrize("seed", [21, 69, 120, 128, 180])
def test_steps_that_overshoot_are_cut(seed):
    working = near_copies(seed)
    working.w = 3.0 * np.random.default_rng(seed).standard_normal(6)
    assert augmented_lagrangian(working, 1e-7, {"newton": 0})
    assert working.violation() <= 1e-7
    assert working.n_solved <= 20  # twice as many where full steps are taken
