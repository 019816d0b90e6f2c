"""Sums over intervals against each interval by itself; risk sets with late entries."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsestat.linear_model import SparseCoxRegressor
from sparsestat.linear_model._penalized._interval_sums import IntervalSums
from sparsestat.linear_model._penalized._survival import partial_likelihood


@pytest.mark.parametrize("n_positions", [1, 2, 5, 8, 13])
def test_sums_over_intervals_one_by_one(n_positions):
    rng = np.random.default_rng(n_positions)
    starts = rng.integers(0, n_positions + 1, 40)
    stops = rng.integers(0, n_positions + 1, 40)
    starts[0], stops[0] = 0, n_positions
    sums = IntervalSums(starts, stops, n_positions)
    at = np.arange(n_positions)[:, None]
    inside = ((starts <= at) & (at < stops)).astype(float)
    # Integers are added without rounding.
    values, rates = rng.integers(1, 9, 40) + 0.0, rng.integers(1, 9, n_positions) + 0.0
    assert_array_equal(sums.at_positions(values), inside @ values)
    columns = rng.integers(1, 9, (40, 3)) + 0.0
    assert_array_equal(sums.at_positions(columns), inside @ columns)
    assert_array_equal(sums.of_rows(rates), rates @ inside)


def test_sums_over_no_interval_are_zero():
    sums = IntervalSums(np.array([2, 1]), np.array([2, 0]), 3)
    assert_array_equal(sums.at_positions(np.ones(2)), np.zeros(3))
    assert_array_equal(sums.of_rows(np.ones(3)), np.zeros(2))


def late_entries(seed):
    """Times with ties, entries between them, and predictors of many sizes."""
    rng = np.random.default_rng(seed)
    entry = rng.integers(0, 6, 14).astype(float)
    time = entry + rng.integers(1, 5, 14)
    event = rng.random(14) < 0.7
    event[:2] = True
    s = rng.integers(1, 4, 14).astype(float)
    return np.column_stack([entry, time, event]), s, rng


def one_by_one(eta, y, s, ties):
    """Value, gradient, Hessian and hazards; no risk set is a difference."""
    entry, time, event = y.T
    n, e = len(eta), s * np.exp(eta)
    value, g, H, hazards = 0.0, np.zeros(n), np.zeros((n, n)), []
    for t in np.unique(time[event > 0]):
        tied = (time == t) & (event > 0)
        rest = (entry < t) & (time >= t) & ~tied
        mass = s[tied].sum()
        terms = [(1.0, mass)]
        if ties == "efron":
            terms = [(1.0 - step / mass, 1.0) for step in range(int(mass))]
        value -= (s * eta)[tied].sum()
        g[tied] -= s[tied]
        hazards.append(0.0)
        for left, weight in terms:
            p = e * (rest + left * tied)
            phi = p.sum()
            value += weight * np.log(phi)
            g += weight * p / phi
            H += weight * (np.diag(p / phi) - np.outer(p, p) / phi**2)
            hazards[-1] += weight / phi
    return value, g, H, np.cumsum(hazards)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("spread", [1.0, 12.0, 60.0])
def test_risk_sets_beside_large_ones_that_enter_later(ties, spread):
    for seed in range(4):
        y, s, rng = late_entries(seed)
        fit = partial_likelihood(y, s, ties=ties)
        # Later entries are riskier, so that early risk sets vanish beside them.
        eta = spread * (y[:, 0] - y[:, 0].mean() + rng.standard_normal(14)) / 3.0
        value, g, H, hazards = one_by_one(eta, y, s, ties)
        assert_allclose(fit.value(eta), value, rtol=1e-9)
        assert_allclose(fit.gradient(eta), g, rtol=1e-8, atol=1e-9)
        assert_allclose(fit.curvature(eta), g + s * y[:, 2], rtol=1e-8, atol=1e-9)
        assert_allclose(fit.baseline(eta), hazards, rtol=1e-8)
        v = rng.standard_normal((14, 2))
        product = np.column_stack([fit.hessian_product(eta, c) for c in v.T])
        assert_allclose(product, H @ v, atol=1e-8)
        gram = fit.gram(v, eta, fit.curvature(eta))
        assert_allclose(gram, v.T @ H @ v, atol=1e-7)
        if spread == 60.0:
            assert fit.in_cells(eta, 4) is None


def test_cells_are_not_made_of_sums_without_digits():
    y = np.array([[0.0, 1.0, 1], [0.0, 2.0, 1], [0.0, 2.5, 0], [3.0, 4.0, 0]])
    fit = partial_likelihood(y, ties="breslow")
    assert fit.in_cells(np.zeros(4), 2) is not None
    # Who enters after all events is in no risk set, but in the sums behind them.
    assert fit.in_cells(np.array([0.0, 0.0, 0.0, 30.0]), 2) is None
    # Late rates that are nothing beside early ones.
    y[3, 0], y[2] = 1.5, (1.5, 2.0, 1)
    fit = partial_likelihood(y, ties="breslow")
    assert fit.in_cells(np.array([-30.0, -30.0, 0.0, 0.0]), 2) is None


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_the_least_value_is_where_those_who_fail_have_all_the_risk(ties):
    rng = np.random.default_rng(3)
    time, event = rng.integers(1, 5, 16) + 0.0, rng.random(16) < 0.6
    s = rng.integers(1, 4, 16).astype(float)
    y = np.column_stack([np.zeros(16), time, event])
    fit = partial_likelihood(y[:, 1:], s, ties=ties)
    eta = np.where(event, -60.0 * time, -400.0)
    value, *_ = one_by_one(eta, y, s, ties)
    assert_allclose(fit.least_value, value, rtol=1e-9)
    assert_allclose(fit.value(eta), value, rtol=1e-9)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_a_constant_of_those_who_enter_late_changes_nothing(ties):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    entry = np.where(np.arange(60) < 40, 0.0, 10.0)
    time = entry + rng.uniform(0.1, 4.0, 60)
    y = np.column_stack([entry, time, rng.random(60) < 0.8])
    model = SparseCoxRegressor(0.02, ties=ties, tol=1e-8)
    plain, far = (
        model.fit(X, y, offset=np.where(entry > 0, offset, 0.0)).coef_.copy()
        for offset in (0.0, 45.0)
    )
    assert plain.any() and model.certificate_.satisfied
    assert np.isfinite(model.objective_)
    assert_allclose(far, plain, rtol=1e-6)
