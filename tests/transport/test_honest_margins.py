"""Certified margins are those of the returned plan, whatever offsets and scales."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.transport import (
    DoublyStochasticAffinity,
    OptimalTransport,
    doubly_stochastic,
    sinkhorn,
    sinkhorn_divergence,
    sinkhorn_points,
    sinkhorn_unbalanced,
    wasserstein_distance,
)
from sparsestat.transport._margins import marginal_error, sums_of


def problem(n=40, m=30, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.random(n) + 0.1, rng.random(m) + 0.1
    return rng.random((n, m)), a / a.sum(), b / b.sum()


def histograms(n, left, right, width):
    x = np.arange(float(n))
    bumps = [np.exp(-((x - m) ** 2) / (2 * width**2)) for m in (left, right)]
    return (x[:, None] - x) ** 2, *(bump / bump.sum() for bump in bumps)


def outside(P, a, b):
    """The L1 error of both marginals, summed with many digits."""
    P = np.asarray(P.toarray() if sparse.issparse(P) else P, dtype=np.longdouble)
    rows, columns = P.sum(axis=1) - a, P.sum(axis=0) - b
    return float(np.abs(rows).sum() + np.abs(columns).sum())


@pytest.mark.parametrize("kind", ["constant", "rows", "columns", "both"])
@pytest.mark.parametrize("size", [1e3, 1e6, 1e8])
def test_offsets_of_costs_move_nothing(size, kind):
    C, a, b = problem()
    rng = np.random.default_rng(1)
    u, v = size * rng.random(40), size * rng.random(30)
    u = u if kind in ("rows", "both") else np.full(40, size * (kind == "constant"))
    v = v if kind in ("columns", "both") else np.zeros(30)
    near = sinkhorn(C, a, b, reg=1e-3)
    far = sinkhorn(C + u[:, None] + v, a, b, reg=1e-3)
    assert far.converged and outside(far.plan, a, b) <= 1e-9
    # What the sum C + u + v has rounded away, in units of reg.
    lost = 4e-16 * size / 1e-3
    np.testing.assert_allclose(far.plan, near.plan, atol=1e-9 + lost)
    moved = u @ a + v @ b
    # The cost of the plan feels its marginal errors, times the offsets of columns.
    felt = far.marginal_error * np.abs(v).max()
    assert far.value - moved == pytest.approx(
        near.value, abs=1e-15 * size + felt + 1e-9
    )
    assert far.dual_value - moved == pytest.approx(
        near.dual_value, abs=1e-15 * size + 1e-9
    )
    assert far.gap == pytest.approx(near.gap, rel=1e-3, abs=1e-15 * size)


@pytest.mark.parametrize("method", ["auto", "ssns", "proximal"])
@pytest.mark.parametrize("power", [-330, -100, 100, 330])
def test_powers_of_two_move_nothing_but_the_units(power, method):
    C, a, b = problem()
    scale = 2.0**power
    one = sinkhorn(C, a, b, reg=1e-2, method=method)
    costs = sinkhorn(scale * C, a, b, reg=1e-2 * scale, method=method)
    # But for what is smaller than a normal number.
    np.testing.assert_allclose(costs.plan, one.plan, rtol=0, atol=1e-300)
    assert costs.value == one.value * scale and costs.n_iter == one.n_iter
    masses = sinkhorn(C, scale * a, scale * b, reg=1e-2, method=method)
    np.testing.assert_allclose(masses.plan / scale, one.plan, rtol=0, atol=1e-190)
    assert masses.value == one.value * scale and masses.n_iter == one.n_iter
    assert masses.certificate.value == one.certificate.value
    values = [masses.value_entropic, masses.value_kl, masses.dual_value, masses.gap]
    assert np.isfinite(values).all()


@pytest.mark.parametrize("want", ["dense", "sparse"])
@pytest.mark.parametrize("power", [-300, 200])
def test_masses_that_single_precision_cannot_hold_get_double(power, want):
    C, a, b = problem()
    scale = 2.0**power
    found = sinkhorn(
        C.astype(np.float32), scale * a, scale * b, reg=0.01, return_plan=want
    )
    assert found.converged and found.plan.dtype == np.float64
    assert outside(found.plan, scale * a, scale * b) <= 1e-6 * scale
    free = sinkhorn_unbalanced(C.astype(np.float32), scale * a, scale * b, reg=0.01)
    assert np.isfinite(free.plan).all() and free.plan.dtype == np.float64


@pytest.mark.parametrize("want", ["dense", "sparse"])
@pytest.mark.parametrize("tol", [1e-4, 1e-9, 1e-13, 1e-15])
@pytest.mark.parametrize("method", ["sns", "sinkhorn", "ssns", "proximal"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_certificate_is_of_the_plan_and_the_tolerance_as_asked(method, tol, want):
    C, a, b = problem()
    result = sinkhorn(
        C, a, b, reg=0.02, method=method, tol=tol, return_plan=want, max_iter=300
    )
    certificate = result.certificate
    assert certificate.tol == tol
    error = outside(result.plan, a, b)
    assert abs(error - certificate.value) <= certificate.details["rounding"]
    assert certificate.satisfied == (
        certificate.value + certificate.details["rounding"] <= tol
    )
    assert not certificate.satisfied or error <= tol
    if tol == 1e-15:
        assert certificate.details["reason"] == "precision"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("seed", range(3))
def test_hopeless_strengths_give_a_plan_and_say_precision(seed):
    C, a, b = problem(seed=seed)
    # Between points there is no matrix from which potentials could be taken off.
    X = np.random.default_rng(seed).normal(size=(40, 2))
    with pytest.warns(ConvergenceWarning, match="Precision does not suffice"):
        found = sinkhorn_points(
            X, X[:30] + [1e7, 0], a, b, metric="euclidean", reg=1e-2, max_iter=50
        )
    assert found.certificate.details["reason"] == "precision"
    assert np.isfinite(found.plan.data).all() and np.isfinite(found.value)
    C[:, 0] *= 1e9
    for reg in (1e-9, 1e-12):
        with np.errstate(all="raise", under="ignore"):
            result = sinkhorn(C, a, b, reg=reg, max_iter=20, tol=1e-3)
        assert np.isfinite(result.plan).all()
        values = [result.value, result.gap, result.dual_value, result.value_kl]
        assert np.isfinite(values).all()
        assert not result.converged or outside(result.plan, a, b) <= 1e-3


@pytest.mark.parametrize("method", ["auto", "proximal"])
@pytest.mark.parametrize("reg", [1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize(
    "shape", [(100, 30, 40, 10.0), (100, 20, 60, 5.0), (200, 60, 100, 10.0)]
)
def test_gaussian_histograms_on_a_line_converge_at_small_strengths(shape, reg, method):
    C, a, b = histograms(*shape)
    result = sinkhorn(C, a, b, reg=reg * C.max(), method=method)
    assert result.converged and outside(result.plan, a, b) <= 1e-9
    # Without entropy mass moves in order; on the line that is (m1 - m2)^2 but for
    # what the ends cut off.
    assert result.value - result.gap <= 1.01 * (shape[1] - shape[2]) ** 2


def test_margins_that_rounding_limits_are_met_once_potentials_are_taken_off():
    C, a, b = histograms(100, 20, 60, 5.0)
    result = sinkhorn(C, a, b, reg=1e-7 * C.max())
    assert result.converged and outside(result.plan, a, b) <= 1e-9
    # From the potentials alone, rounded in units of the costs, it cannot be rebuilt.
    phi, psi = result.potentials
    exponent = (phi[:, None] + psi - C) / result.reg
    rebuilt = np.outer(a, b) * np.exp(exponent)
    np.testing.assert_allclose(rebuilt, result.plan, rtol=1e-6, atol=1e-12)


def test_strengths_are_measured_against_differences_of_costs():
    C, a, b = problem()
    with pytest.raises(ValueError, match="costs that differ by about"):
        sinkhorn(C, a, b, reg=1e-21)
    with pytest.raises(ValueError, match="costs that differ by about"):
        sinkhorn(C, a, b, reg=1e300)
    constant = sinkhorn(np.full((40, 30), 1e12), a, b, reg=1e-10)
    np.testing.assert_allclose(constant.plan, np.outer(a, b), rtol=1e-9)
    with pytest.raises(ValueError, match="Rescale the masses"):
        sinkhorn(C, 1e-200 * a, 1e-200 * b, reg=1.0)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e8])
def test_symmetric_plans_do_not_see_offsets(offset):
    X = np.random.default_rng(0).normal(size=(50, 2))
    C = ((X[:, None] - X) ** 2).sum(axis=-1)
    G, f, certificate = doubly_stochastic(C + offset, reg=1e-2)
    assert certificate.satisfied and certificate.tol == 1e-9
    assert np.abs(G.sum(axis=1) - 1).max() <= 1e-9
    near, g, _ = doubly_stochastic(C, reg=1e-2)
    np.testing.assert_allclose(G, near, atol=1e-9 + 1e-13 * offset)
    np.testing.assert_allclose(f - 0.5 * offset, g, atol=1e-9 + 1e-15 * offset)
    np.testing.assert_array_equal(G, G.T)
    with pytest.warns(ConvergenceWarning):
        _, _, strict = doubly_stochastic(C, reg=1e-2, tol=1e-16)
    assert strict.tol == 1e-16 and not strict.satisfied


def test_unbalanced_margins_are_those_of_the_plan():
    C, a, b = problem()
    b = 1.5 * b
    for kind, tol in ((np.float64, 1e-9), (np.float32, 1e-6)):
        result = sinkhorn_unbalanced(C.astype(kind), a, b, reg=0.01, reg_m=(1.0, 0.5))
        assert result.converged and result.certificate.tol == tol
        P, (phi, psi) = result.plan.astype(np.longdouble), result.potentials
        error = np.abs(P.sum(axis=1) - a * np.exp(-phi)).sum()
        error += np.abs(P.sum(axis=0) - b * np.exp(-2 * psi)).sum()
        assert result.certificate.value == pytest.approx(
            float(error / P.sum()), abs=1e-14
        )
    with pytest.warns(ConvergenceWarning, match="Precision does not suffice"):
        found = sinkhorn_unbalanced(C.astype(np.float32), a, b, reg=0.01, tol=1e-9)
    assert found.certificate.details["reason"] == "precision"
    # Ended early, below the digits of single precision but not of its own.
    seen = []
    for steps in range(4, 9):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = sinkhorn_unbalanced(C, a, b, reg=0.3, max_iter=steps, tol=1e-13)
        if 1e-11 < found.certificate.value < 1e-8:
            assert "Increase max_iter" in str(caught[0].message)
            seen.append(found.certificate.details["reason"])
    assert set(seen) == {"iterations"}


def test_closed_arcs_have_no_part_in_the_cost_of_unbalanced_plans():
    C, a, b = problem(9, 7)
    C[2, 3] = C[5, :4] = np.inf
    found = sinkhorn_unbalanced(C, a, b, reg=0.05, reg_m=0.4)
    open_arcs = np.isfinite(C)
    assert found.converged and (found.plan[~open_arcs] == 0.0).all()
    paid = (found.plan[open_arcs] * C[open_arcs]).sum()
    assert found.value == pytest.approx(paid, rel=1e-13)


def test_the_allowance_of_row_sums_grows_with_their_length():
    allowed = [
        doubly_stochastic(np.zeros((n, n)), reg=1.0)[2].details["rounding"]
        for n in (2, 1024)
    ]
    assert 32 * 2.0**-53 <= allowed[0] < allowed[1] <= 128 * 2.0**-53


def test_divergence_warns_where_a_problem_does_not_converge():
    X = np.random.default_rng(0).normal(size=(40, 2))
    with pytest.warns(ConvergenceWarning, match="Sinkhorn divergence") as caught:
        sinkhorn_divergence(X, X + 1.0, reg=0.01, tol=1e-17)
    assert len(caught) == 1


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_sums_of_plans_keep_their_digits(kind):
    rng = np.random.default_rng(0)
    P = (rng.random((300, 70)) ** 20 * (rng.random((300, 70)) < 0.3)).astype(kind)
    exact = P.astype(np.longdouble)
    for plan in (P, sparse.csr_array(P)):
        rows, columns, allowance = sums_of(plan)
        off = np.abs(rows - exact.sum(axis=1)).sum()
        off += np.abs(columns - exact.sum(axis=0)).sum()
        assert off <= allowance <= 1e-13 * rows.sum()
    a, b = P.sum(axis=1, dtype=float), P.sum(axis=0, dtype=float)
    error, allowance = marginal_error(P, 2 * a, 2 * b)
    assert error == pytest.approx(1.0, abs=1e-12)
    assert allowance < 1e-13


@pytest.mark.parametrize("scale", [2.0**-330, 1e-100, 1e100, 2.0**330])
def test_points_of_any_size_give_the_same_plan(scale):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 2)), rng.normal(size=(30, 2))

    def answers(X, Y, unit):
        relative = {"reg": 0.01, "reg_mode": "relative"}
        C = ((X[:, None] - Y) ** 2).sum(axis=-1)
        return [
            sinkhorn_points(X, Y, **relative).value / unit**2,
            sinkhorn_points(X, Y, method="exact").value / unit**2,
            wasserstein_distance(X, Y) / unit,
            wasserstein_distance(X[:, 0], Y[:, 0], p=4) / unit,
            wasserstein_distance(X, Y, **relative) / unit,
            sinkhorn_divergence(X, Y, reg=0.1, reg_mode="relative") / unit**2,
            sinkhorn_unbalanced(C, **relative, reg_m=unit**2).value / unit**2,
            DoublyStochasticAffinity(perplexity=5).fit(X).affinity_matrix_[0, 1],
            OptimalTransport().fit(X, Xt=Y).transform(X).mean() / unit,
        ]

    one, many = answers(X, Y, 1.0), answers(X * scale, Y * scale, scale)
    np.testing.assert_allclose(many, one, rtol=1e-8)
    with pytest.raises(ValueError, match=r"overflow|vanish"):
        sinkhorn_points(X * scale**2, Y, reg=1.0)
