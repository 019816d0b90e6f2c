"""What users of transport libraries rely on: claims that POT tests of itself.

Multiple histograms, array backends, barycenters, screening and label costs, which
are tested there too, are not part of this package.
"""

import warnings

import numpy as np
import pytest

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.transport import (
    OptimalTransport,
    sinkhorn,
    sinkhorn_divergence,
    sinkhorn_points,
    sinkhorn_unbalanced,
    wasserstein_distance,
)
from sparsestat.transport._costs import pairwise_cost

METHODS = ("auto", "sns", "ssns", "sinkhorn", "proximal")


@pytest.fixture
def cloud():
    X = np.random.RandomState(42).randn(100, 2)
    return X, pairwise_cost(X, X, "sqeuclidean")


def source_and_target(n=150, seed=0):
    rng = np.random.RandomState(seed)
    y = rng.randint(0, 3, n)
    X = rng.randn(n, 2) + np.array([[0, 0], [5, 0], [0, 5]])[y]
    Xt = 1.3 * rng.randn(n, 2) + np.array([[1, 1], [7, 1], [1, 7]])[y]
    return X, y, Xt


def check_marginals(P, a, b, atol=1e-8):
    np.testing.assert_allclose(P.sum(axis=1), a, atol=atol)
    np.testing.assert_allclose(P.sum(axis=0), b, atol=atol)


# Balanced solvers


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reg", [10.0, 1.0, 0.1])
def test_every_method_meets_the_marginals(cloud, method, reg):
    _, C = cloud
    u = np.full(100, 0.01)
    if method == "sinkhorn" and reg < 1.0:
        pytest.skip("needs more than the default number of sweeps")
    check_marginals(sinkhorn(C, u, u, reg=reg, method=method).plan, u, u)


def test_masses_left_out_are_uniform(cloud):
    _, C = cloud
    u = np.full(100, 0.01)
    both = sinkhorn(C, u, u, reg=1.0).plan
    for a, b in ((None, None), (u, None), (None, u)):
        np.testing.assert_array_equal(sinkhorn(C, a, b, reg=1.0).plan, both)


def test_methods_and_starts_agree(cloud):
    _, C = cloud
    rng = np.random.RandomState(0)
    a, b = rng.rand(100), rng.rand(100)
    a, b = a / a.sum(), b / b.sum()
    reference = sinkhorn(C, a, b, reg=0.5, tol=1e-11)
    for method in METHODS:
        cold = sinkhorn(C, a, b, reg=0.5, method=method, tol=1e-11)
        np.testing.assert_allclose(cold.plan, reference.plan, atol=1e-9)
        rough = sinkhorn(C, a, b, reg=0.5, method=method, tol=1e-2)
        warm = sinkhorn(
            C, a, b, reg=0.5, method=method, tol=1e-11, warm_start=rough.potentials
        )
        np.testing.assert_allclose(warm.plan, reference.plan, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, int])
def test_cost_types_are_accepted(cloud, dtype):
    C = np.round(10 * cloud[1]).astype(dtype)
    result = sinkhorn(C, reg=20.0)
    check_marginals(result.plan, 0.01, 0.01, atol=1e-6)
    wanted = np.float32 if dtype is np.float32 else np.float64
    assert result.plan.dtype == wanted


@pytest.mark.parametrize("reg", [1e-1, 1e-3, 1e-5])
def test_small_strengths_are_stable(reg):
    x = np.arange(100.0)[:, None]
    a = np.exp(-((x[:, 0] - 20.0) ** 2) / 50) + 1e-3
    b = np.exp(-((x[:, 0] - 60.0) ** 2) / 200) + 1e-3
    a, b = a / a.sum(), b / b.sum()
    C = pairwise_cost(x, x, "sqeuclidean")
    C = C / C.max()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        P = sinkhorn(C, a, b, reg=reg).plan
    check_marginals(P, a, b)
    exact = sinkhorn(C, a, b, method="exact")
    assert (P * C).sum() >= exact.value - 1e-9
    assert (P * C).sum() <= exact.value + reg * np.log(1e4)


def test_many_zero_masses(cloud):
    _, C = cloud
    a, b = np.zeros(100), np.zeros(100)
    a[:30], b[60:] = 1 / 30, 1 / 40
    check_marginals(sinkhorn(C, a, b, reg=0.5).plan, a, b)
    check_marginals(sinkhorn(C, a, b, method="exact").plan, a, b)


def test_stopping_early_warns_and_convergence_does_not(cloud):
    _, C = cloud
    with pytest.warns(ConvergenceWarning):
        sinkhorn(C[:, ::-1] ** 2, reg=0.1, method="sinkhorn", max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sinkhorn(C, reg=1.0)


def test_loss_is_the_plan_against_the_cost(cloud):
    X, C = cloud
    result = sinkhorn(C, reg=1.0)
    assert result.value == pytest.approx((result.plan * C).sum(), rel=1e-12)
    assert result.history and result.n_iter["passes"] > 0
    root = wasserstein_distance(X, X + 1.0, reg=0.01) ** 2
    assert root == pytest.approx(2.0, rel=0.05)


# From samples


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cityblock"])
def test_samples_and_their_cost_matrix_give_one_plan(metric):
    rng = np.random.RandomState(0)
    X, Y = rng.randn(40, 2), rng.randn(50, 2) + 1.0
    C = pairwise_cost(X, Y, metric)
    lazy = sinkhorn_points(X, Y, metric=metric, reg=1.0, tol=1e-11)
    matrix = sinkhorn(C, reg=1.0, tol=1e-11)
    np.testing.assert_allclose(lazy.plan.toarray(), matrix.plan, atol=1e-11)
    assert lazy.value == pytest.approx(matrix.value, rel=1e-9)
    for one, other in zip(lazy.potentials, matrix.potentials, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)


def test_divergence_is_the_combination_of_three_problems():
    rng = np.random.RandomState(1)
    X, Y = rng.randn(30, 2), rng.randn(25, 2) + 0.5
    parts = [
        sinkhorn_points(A, B, reg=1.0, tol=1e-12).value_kl
        for A, B in ((X, Y), (X, X), (Y, Y))
    ]
    found = sinkhorn_divergence(X, Y, reg=1.0)
    assert found == pytest.approx(parts[0] - 0.5 * (parts[1] + parts[2]), abs=1e-9)
    assert found > 0
    large = sinkhorn_divergence(X, X + 2.0, reg=1.0)
    assert large > found


# Unbalanced


@pytest.mark.parametrize("reg_m", [1.0, (1.0, 1.0), [1.0, 1.0], (1.0, np.inf)])
def test_unbalanced_plan_is_a_fixed_point(cloud, reg_m):
    _, C = cloud
    a, b, eps = np.full(100, 0.01), np.full(100, 0.015), 1.0
    result = sinkhorn_unbalanced(C, a, b, reg=eps, reg_m=reg_m, tol=1e-12)
    prices = (reg_m, reg_m) if np.ndim(reg_m) == 0 else reg_m
    phi, psi = result.potentials
    for potential, other, mass, K, rho in (
        (phi, psi, b, C, prices[0]),
        (psi, phi, a, C.T, prices[1]),
    ):
        power = 1.0 if np.isinf(rho) else rho / (rho + eps)
        update = -power * eps * np.log(np.exp((other - K) / eps) @ mass)
        np.testing.assert_allclose(potential, update, atol=1e-8)


def test_unbalanced_forms_of_a_price_agree_and_infinity_enforces(cloud):
    _, C = cloud
    a, b = np.full(100, 0.01), np.full(100, 0.015)
    plans = [
        sinkhorn_unbalanced(C, a, b, reg=1.0, reg_m=reg_m).plan
        for reg_m in (2.0, (2.0, 2.0), [2.0, 2.0])
    ]
    np.testing.assert_array_equal(plans[1], plans[0])
    np.testing.assert_array_equal(plans[2], plans[0])
    semi = sinkhorn_unbalanced(C, a, b, reg=1.0, reg_m=(np.inf, 0.5)).plan
    np.testing.assert_allclose(semi.sum(axis=1), a, atol=1e-8)
    other = sinkhorn_unbalanced(C, a, b, reg=1.0, reg_m=(0.5, np.inf)).plan
    np.testing.assert_allclose(other.sum(axis=0), b, atol=1e-8)


def test_unbalanced_small_strength_is_stable_and_warm_starts(cloud):
    _, C = cloud
    b = np.full(100, 0.02)
    for reg in (0.1, 1e-3):
        result = sinkhorn_unbalanced(C, b=b, reg=reg, reg_m=1.0)
        assert result.converged and np.isfinite(result.plan).all()
        warm = sinkhorn_unbalanced(C, b=b, reg=reg, reg_m=1.0, warm_start=result)
        np.testing.assert_allclose(warm.plan, result.plan, atol=1e-8)


def test_larger_prices_move_more_mass(cloud):
    _, C = cloud
    moved = [
        sinkhorn_unbalanced(C[:, :50], reg=0.5, reg_m=price).plan.sum()
        for price in (0.01, 0.1, 1.0, 100.0)
    ]
    assert (np.diff(moved) > 0).all() and moved[-1] == pytest.approx(1.0, abs=0.05)


# Adaptation of domains


@pytest.mark.parametrize(
    "parameters",
    [
        {"reg": 0.1},
        {"reg": 0.1, "metric": "euclidean"},
        {"reg": 0.1, "method": "sinkhorn"},
        {"method": "exact"},
        {"method": "exact", "n_neighbors": 3},
        {"reg": 0.1, "reg_m": 1.0},
        {"reg": 0.1, "reg_m": 1.0, "method": "sinkhorn"},
    ],
    ids=str,
)
def test_transport_classes_map_both_ways(parameters):
    X, _, Xt = source_and_target()
    Xt = Xt[:120]
    model = OptimalTransport(**parameters)
    assert not hasattr(model, "coupling_")
    model.fit(X, Xt=Xt)
    assert model.coupling_.shape == (150, 120)
    if "reg_m" not in parameters:
        check_marginals(model.coupling_, 1 / 150, 1 / 120)
    assert model.cost_.shape == (150, 120)
    mapped = model.transform(X)
    assert mapped.shape == X.shape and np.isfinite(mapped).all()
    new, _, new_t = source_and_target(30, seed=7)
    assert model.transform(new).shape == new.shape
    assert model.inverse_transform(Xt).shape == Xt.shape
    assert model.inverse_transform(new_t).shape == new_t.shape
    np.testing.assert_array_equal(
        OptimalTransport(**parameters).fit_transform(X, Xt=Xt), mapped
    )


def test_exact_class_finds_the_optimal_matching():
    X, _, Xt = source_and_target(80)
    model = OptimalTransport(method="exact").fit(X, Xt=Xt)
    assert (model.coupling_ > 0).sum() == 80
    moved = Xt[model.coupling_.argmax(axis=1)]
    np.testing.assert_allclose(model.transform(X), moved, atol=1e-12)


def test_sharper_maps_come_closer_to_the_exact_one():
    X, _, Xt = source_and_target(80)
    exact = OptimalTransport(method="exact").fit(X, Xt=Xt).transform(X)
    away = [
        np.abs(OptimalTransport(reg=reg).fit(X, Xt=Xt).transform(X) - exact).mean()
        for reg in (1.0, 0.1, 1e-3, 1e-4)
    ]
    assert (np.diff(away) < 0).all() and away[-1] < 0.1


def test_masses_of_samples_are_taken():
    X, _, Xt = source_and_target(60)
    ws, wt = np.random.RandomState(0).rand(2, 60)
    model = OptimalTransport(reg=0.2)
    model.fit(X, Xt=Xt, sample_weight_s=ws, sample_weight_t=wt)
    check_marginals(model.coupling_, ws / ws.sum(), wt / wt.sum())
