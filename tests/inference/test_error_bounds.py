"""Bounds of stability selection against linear programs and direct optimization."""

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from sparsestat.inference._error_bounds import (
    _unimodal,
    concave_tail,
    pfer_bound,
    resolve,
)


def test_largest_sizes_are_those_of_the_three_assumptions():
    found = [
        resolve(None, 0.75, 1.0, 1000, 50, name).q
        for name in ("none", "unimodal", "r-concave")
    ]
    assert found == [22, 31, 61]


@pytest.mark.parametrize(
    "q, t, unimodal, concave",
    [(20, 38, 4.0, 1.5115), (20, 30, 100 / 9, 6.6357), (8, 38, 0.64, 0.1966)],
)
def test_bounds_of_a_null_model(q, t, unimodal, concave):
    assert pfer_bound(q, 100, t, 25, "unimodal") == pytest.approx(unimodal, rel=1e-12)
    assert pfer_bound(q, 100, t, 25, "r-concave") == pytest.approx(concave, abs=1e-4)


def test_unimodal_bounds_for_forty_percent_more_than_half():
    # tau = 0.6, B = 50, p = 100: 10 / 3.8 q^2 / 100, as printed by the R package.
    for q in range(1, 11):
        assert pfer_bound(q, 100, 60, 50, "unimodal") == pytest.approx(q * q / 38)


def _unimodal_lp(theta, t, B):
    """Largest P(X >= t) of unimodal X on 0..B with mean theta^2 B, by its modes.

    X counts pairs that agree; a unimodal law is a mixture of flat ones that have the
    mode at one end.
    """
    best = 0.0
    points = np.arange(B + 1)
    for mode in range(B + 1):
        columns = []
        for end in range(B + 1):
            low, high = min(mode, end), max(mode, end)
            flat = (points >= low) & (points <= high)
            columns.append(flat / flat.sum())
        laws = np.array(columns).T
        tail = laws[t:].sum(axis=0)
        found = linprog(
            -tail,
            A_eq=np.vstack([np.ones(B + 1), points @ laws]),
            b_eq=[1.0, theta**2 * B],
        )
        if found.status == 0:
            best = max(best, -found.fun)
    return best


@pytest.mark.parametrize("q, t", [(4, 9), (3, 8), (5, 7), (2, 10)])
def test_unimodal_bound_is_the_largest_tail_of_a_linear_program(q, t):
    # 2B = 10 halves; selected t times means that t - B pairs agree at least.
    p, B = 20, 5
    exact = p * _unimodal_lp(q / p, t - B, B)
    bound = pfer_bound(q, p, t, B, "unimodal")
    assert exact <= bound * (1 + 1e-9)
    if bound < pfer_bound(q, p, t, B):
        # The constant holds for all q at once: the program comes near it, or below.
        assert exact >= 0.5 * bound


def _concave_by_search(eta, t, B, r, seed):
    """Largest tail over r-concave laws, by optimizing convex sequences directly."""
    s = -1.0 / r
    points = np.arange(B + 1.0)

    def law(z, k):
        # f^r is convex and rising where the law falls: increasing slopes.
        slopes = np.cumsum(np.exp(np.clip(z, -30.0, 30.0)))
        g = np.concatenate([[1.0], 1.0 + np.cumsum(slopes)])[: k + 1]
        f = np.zeros(B + 1)
        f[: k + 1] = g**-s
        return f / f.sum()

    best = 0.0
    rng = np.random.RandomState(seed)
    for k in range(max(t, 1), B + 1):
        for _ in range(3):
            start = rng.normal(size=k) - 1.0
            found = minimize(
                lambda z, k=k: -law(z, k)[t:].sum(),
                start,
                constraints={
                    "type": "ineq",
                    "fun": lambda z, k=k: eta * B - points @ law(z, k),
                },
                method="SLSQP",
                options={"maxiter": 300, "ftol": 1e-14},
            )
            if points @ law(found.x, k) <= eta * B * (1 + 1e-9):
                best = max(best, law(found.x, k)[t:].sum())
    return best


@pytest.mark.parametrize(
    "eta, t, B, r", [(0.1, 6, 8, -0.5), (0.05, 5, 6, -0.25), (0.15, 7, 10, -0.5)]
)
def test_concave_tail_is_the_supremum(eta, t, B, r):
    found = _concave_by_search(eta, t, B, r, 0)
    bound = concave_tail(eta, t, B, r)
    assert found <= bound * (1 + 1e-7)
    assert found >= bound * (1 - 2e-2)  # the extreme law lies at a corner


def test_an_explicit_law_attains_more_than_the_r_package_prints():
    # p = 100, q = 10, threshold 1: its .00518 is exceeded by a law of the family.
    assert pfer_bound(10, 100, 100, 50, "r-concave") == pytest.approx(
        0.0054906, rel=1e-4
    )


@pytest.mark.parametrize("assumption", ["none", "unimodal", "r-concave"])
def test_bounds_grow_with_q_and_fall_with_the_threshold(assumption):
    by_q = [pfer_bound(q, 60, 30, 20, assumption) for q in range(1, 20)]
    by_t = [pfer_bound(8, 60, t, 20, assumption) for t in range(21, 41)]
    assert np.all(np.diff(by_q) >= -1e-12)
    assert np.all(np.diff(by_t) <= 1e-12)


@pytest.mark.parametrize("assumption", ["none", "unimodal", "r-concave"])
def test_the_third_parameter_is_the_best_that_keeps_the_bound(assumption):
    p, B = 80, 20
    setting = resolve(None, 0.7, 2.0, p, B, assumption)
    assert setting.bound <= 2.0 < pfer_bound(setting.q + 1, p, setting.t, B, assumption)
    setting = resolve(10, None, 2.0, p, B, assumption)
    assert setting.bound <= 2.0
    if setting.t > B + 1:
        assert pfer_bound(10, p, setting.t - 1, B, assumption) > 2.0
    setting = resolve(10, 0.8, None, p, B, assumption)
    assert setting.t == 32 and setting.q == 10
    assert setting.bound == pfer_bound(10, p, 32, B, assumption)


def test_defaults_and_refusals():
    assert resolve(None, None, None, 100, 50, "none") == resolve(
        None, 0.75, 1.0, 100, 50, "none"
    )
    assert resolve(5, None, None, 100, 50, "none").t == 75
    with pytest.raises(ValueError, match="any two give the third"):
        resolve(5, 0.8, 1.0, 100, 50, "none")
    with pytest.raises(ValueError, match="q=101 is more than the 100"):
        resolve(101, 0.8, None, 100, 50, "none")
    with pytest.raises(ValueError, match="even q=1 gives"):
        resolve(None, 0.75, 1e-3, 100, 50, "none")
    with pytest.raises(ValueError, match="even threshold=1 gives"):
        resolve(50, None, 1e-3, 100, 50, "none")
    with pytest.raises(ValueError, match="above 1/2"):
        resolve(5, 0.5, None, 100, 50, "none")


def test_thresholds_are_whole_numbers_of_halves():
    assert resolve(3, 0.6, None, 50, 50, "none").t == 60  # 0.6 * 100 rounds up to 60
    assert resolve(3, 0.605, None, 50, 50, "none").t == 61


def test_bounds_of_one_mode_hold_above_the_least_threshold():
    for q, least in ((10, 0.5 + 0.1**2), (40, 0.5 + 1.0 / 100 + 0.75 * 0.4**2)):
        assert _unimodal(q, 100, least - 1e-9, 50) == np.inf
        assert _unimodal(q, 100, least + 1e-9, 50) < np.inf


def test_tails_outside_the_closed_form_are_certain_or_impossible():
    assert concave_tail(0.9, 3, 5, -0.5) == 1.0
    assert concave_tail(0.0, 3, 5, -0.5) == 0.0
    assert concave_tail(0.0, 0, 5, -0.5) == 1.0
    assert concave_tail(0.4, 5, 5, -0.5) < 1.0
