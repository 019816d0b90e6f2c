"""Local privacy: calibration, sensitivities, randomizers, the ledger, accuracy."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
import pytest
from scipy import integrate, sparse, stats

from sparsestat._utils.progress import FitProgress
from sparsestat.exceptions import PrivacyLeakWarning
from sparsestat.linear_model import LDPSparseRegressor
from sparsestat.linear_model._private._clients import (
    Bounds,
    GradientClient,
    MomentClient,
)
from sparsestat.linear_model._private._ledger import ledger_entry, spent
from sparsestat.linear_model._private._randomizers import (
    clip_lengths,
    gaussian_delta,
    gaussian_scale,
    make_generator,
    pack_matrix,
    pack_symmetric,
    randomize_on_sphere,
    sphere_length,
    unpack_symmetric,
)
from sparsestat.linear_model._private._server import gradient_step, moment_estimate
from sparsestat.linear_model._private._users import Users


def make_users(n, d=20, k=3, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    coef = np.zeros(d)
    coef[rng.choice(d, k, replace=False)] = rng.choice([-1.0, 1.0], k) / np.sqrt(k)
    return X, X @ coef + noise * rng.standard_normal(n), coef


# Calibration of Gaussian noise


def hockey_stick(scale, sensitivity, epsilon):
    """delta from its definition: the integral of (p - e^epsilon q) where positive."""
    p = stats.norm(sensitivity, scale)
    q = stats.norm(0.0, scale)
    start = epsilon * scale**2 / sensitivity + sensitivity / 2

    def excess(x):
        return p.pdf(x) - math.exp(epsilon + q.logpdf(x))

    value, _ = integrate.quad(
        excess, start, start + 40 * scale, epsabs=1e-14, epsrel=1e-12, limit=500
    )
    return value


@pytest.mark.parametrize("epsilon", [0.01, 0.5, 1.0, 2.0, 8.0, 30.0])
@pytest.mark.parametrize("delta", [1e-8, 1e-6, 1e-3, 0.3])
@pytest.mark.parametrize("sensitivity", [1.0, 85.0])
def test_gaussian_noise_spends_exactly_delta(epsilon, delta, sensitivity):
    scale = gaussian_scale(sensitivity, epsilon, delta)
    assert hockey_stick(scale, sensitivity, epsilon) == pytest.approx(delta, abs=1e-9)
    assert gaussian_delta(scale, sensitivity, epsilon) == pytest.approx(delta, abs=1e-9)
    # The least such noise.
    assert gaussian_delta(0.999 * scale, sensitivity, epsilon) > delta
    assert gaussian_delta(scale, sensitivity, epsilon) <= delta * (1 + 1e-9)


def test_the_privacy_curve_is_the_published_formula():
    for scale, epsilon in [(0.5, 2.0), (3.0, 0.1), (10.0, 1.0), (0.1, 20.0)]:
        a, b = 0.5 / scale, epsilon * scale
        cdf = stats.norm.cdf
        published = cdf(a - b) - math.exp(epsilon) * cdf(-a - b)
        assert gaussian_delta(scale, 1.0, epsilon) == pytest.approx(
            published, abs=1e-13
        )


def test_large_budgets_do_not_overflow():
    assert gaussian_scale(1.0, 1e6, 1e-6) == pytest.approx(1 / math.sqrt(2e6), rel=0.01)
    assert gaussian_delta(1e-6, 1.0, 1e3) == 1.0
    assert gaussian_delta(1e6, 1.0, 1e3) == 0.0


def test_the_classical_formula_would_break_the_promise_at_large_epsilon():
    # The reason for the exact calibration: valid for epsilon <= 1 only.
    epsilon, delta = 10.0, 1e-6
    classical = math.sqrt(2 * math.log(1.25 / delta)) / epsilon
    assert gaussian_delta(classical, 1.0, epsilon) > delta
    assert gaussian_delta(math.sqrt(2 * math.log(1.25e6)), 1.0, 1.0) < delta


def test_points_on_the_sphere_are_less_noisy_for_small_budgets():
    # As the documentation says: by about a half at epsilon 2, and up to 5.
    def ratio(epsilon):
        sphere = sphere_length(231, 1.0, epsilon) / math.sqrt(231)
        return sphere / gaussian_scale(math.sqrt(2), epsilon, 1e-6)

    assert 0.45 < ratio(2.0) < 0.55
    assert all(ratio(epsilon) < 1 for epsilon in (0.1, 1.0, 4.0, 5.0))
    assert ratio(7.0) > 1


# Sensitivities


def records(rng, n, d, extreme):
    """Records of all sizes, half of them aligned to make differences large."""
    X = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-1, 2, (n, 1))
    y = rng.standard_normal(n) * 10.0 ** rng.uniform(-1, 2, n)
    if extreme:
        X = np.sign(X) * 1e3
        y = np.sign(y) * 1e3
    return X, y


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize(
    ("kind", "clipping"),
    [
        ("joint", "norm"),
        ("separate", "coordinate"),
        ("cross", "norm"),
        ("cross", "coordinate"),
        ("joint", "coordinate"),
    ],
)
def test_no_pair_of_records_is_further_apart_than_the_sensitivity(
    kind, clipping, d, extreme, global_random_seed
):
    rng = np.random.default_rng(global_random_seed)
    bounds = Bounds(3.0, 2.0, clipping)
    client = MomentClient(kind, "gaussian", d, bounds, 1.0, 1e-6)
    n = 4000
    first = client.statistics(*records(rng, n, d, extreme))
    X, y = records(rng, n, d, extreme)
    second = client.statistics(X, y)
    # The worst partner of a record is often another record with y turned round.
    turned = client.statistics(X, -y)
    for block in client.blocks:
        part = slice(block.start, block.stop)
        A, B, C = first[:, part], second[:, part], turned[:, part]
        apart = max(
            np.linalg.norm(A - B, axis=1).max(), np.linalg.norm(B - C, axis=1).max()
        )
        assert apart <= block.sensitivity * (1 + 1e-12)
        assert np.linalg.norm(A, axis=1).max() <= block.radius * (1 + 1e-12)
        if extreme and kind == "cross" and clipping == "coordinate":
            assert apart > 0.99 * block.sensitivity  # and the bound is attained


def test_the_joint_sensitivity_is_attained():
    # Orthogonal records of full length: (x, cy) and (x, -cy) with |x| = |cy|.
    client = MomentClient("joint", "gaussian", 2, Bounds(3.0, 2.0, "norm"), 1.0, 1e-6)
    values = client.statistics(np.array([[3.0, 0.0], [3.0, 0.0]]), np.array([2.0, -2]))
    (block,) = client.blocks
    apart = np.linalg.norm(values[0] - values[1])
    assert apart == pytest.approx(block.sensitivity, rel=1e-12)


def test_a_hundred_thousand_pairs_stay_within_the_joint_sensitivity():
    rng = np.random.default_rng(7)
    client = MomentClient("joint", "gaussian", 4, Bounds(1.5, 4.0, "norm"), 1.0, 1e-6)
    n = 100_000
    A = client.statistics(*records(rng, n, 4, False))
    B = client.statistics(*records(rng, n, 4, False))
    (block,) = client.blocks
    assert np.linalg.norm(A - B, axis=1).max() <= block.sensitivity


def test_clipping_keeps_records_within_bounds_and_linear_relations_intact():
    rng = np.random.default_rng(0)
    X = 5.0 * rng.standard_normal((500, 6))
    w = rng.standard_normal(6)
    Z, t = Bounds(2.0, 1e9, "norm").clip(X, X @ w)
    assert np.linalg.norm(Z, axis=1).max() <= 2.0 * (1 + 1e-12)
    np.testing.assert_allclose(Z @ w, t, rtol=1e-10)
    Z, t = Bounds(2.0, 1.0, "coordinate").clip(X, X @ w)
    assert np.abs(Z).max() <= 2.0 and np.abs(t).max() <= 1.0
    huge = np.array([[3e200, 4e200], [1e-300, 0.0]])
    Z, t = Bounds(2.0, 1.0, "norm").clip(huge, np.array([1e200, 1e-300]))
    np.testing.assert_allclose(Z, [[1.2, 1.6], [1e-300, 0.0]])
    np.testing.assert_allclose(t, [0.4, 1e-300])
    short = 0.01 * X
    np.testing.assert_array_equal(Bounds(2.0, 1.0, "norm").clip_rows(short), short)


def test_packing_keeps_inner_products():
    rng = np.random.default_rng(0)
    Z, W = rng.standard_normal((2, 5, 4))
    np.testing.assert_allclose(
        (pack_symmetric(Z) * pack_symmetric(W)).sum(axis=1), (Z * W).sum(axis=1) ** 2
    )
    M = Z.T @ Z
    np.testing.assert_allclose(pack_symmetric(Z).sum(axis=0), pack_matrix(M))
    np.testing.assert_allclose(unpack_symmetric(pack_matrix(M)), M)


# The randomizer on the sphere


@pytest.mark.parametrize("epsilon", [1.0, 40.0, 800.0])
def test_a_lie_is_possible_at_any_budget(epsilon):
    # At 1 / (1 + e^epsilon) below the spacing of the uniform numbers its probability
    # is that spacing, which is more private; never zero, whose ratio is infinite.
    class Least:
        def random(self, n):
            return np.zeros(n)

        def standard_normal(self, shape):
            return np.ones(shape)

    out = randomize_on_sphere(np.ones((1, 3)), 2.0, epsilon, Least())
    assert (out < 0).all()  # the message is on the far side of an honest one


@pytest.mark.parametrize("epsilon", [1e-50, 1e200, 1e300])
def test_noise_of_extreme_budgets_is_finite(epsilon):
    scale = gaussian_scale(1.0, epsilon, 1e-6)
    assert 0.0 < scale < np.inf
    assert gaussian_delta(scale, 1.0, epsilon) <= 1e-6


def test_messages_on_the_sphere_have_one_length():
    rng = np.random.default_rng(0)
    G = rng.standard_normal((1000, 7)) * 10.0 ** rng.uniform(-3, 3, (1000, 1))
    G[0] = 0.0
    out = randomize_on_sphere(G, 2.0, 1.5, rng)
    np.testing.assert_allclose(
        np.linalg.norm(out, axis=1), sphere_length(7, 2.0, 1.5), rtol=1e-12
    )
    lengths = np.linalg.norm(clip_lengths(G, 2.0)[0], axis=1)
    assert lengths.max() <= 2.0 * (1 + 1e-12)


@pytest.mark.parametrize("d", [1, 2, 5, 20])
@pytest.mark.parametrize("size", [0.0, 0.4, 1.0])
def test_the_sphere_randomizer_is_unbiased_with_known_covariance(d, size):
    rng = np.random.default_rng(d)
    g = rng.standard_normal(d)
    g *= size * 3.0 / np.linalg.norm(g)
    n = 200_000
    out = randomize_on_sphere(np.tile(g, (n, 1)), 3.0, 2.0, rng)
    length = sphere_length(d, 3.0, 2.0)
    deviation = length / math.sqrt(d)  # of one entry
    mean = out.mean(axis=0)
    assert np.abs(mean - g).max() < 5 * deviation / math.sqrt(n)
    # Either half of the sphere has the second moments of the whole.
    second = out.T @ out / n
    expected = length**2 / d * np.eye(d)
    assert np.abs(second - expected).max() < 6 * length**2 / math.sqrt(n)


def test_the_length_on_the_sphere_in_low_dimension():
    # E|V_1| is 1 on two points, 2 / pi on the circle and 1/2 on the sphere.
    factor = 1 / math.tanh(0.5)
    assert sphere_length(1, 1.0, 1.0) == pytest.approx(factor)
    assert sphere_length(2, 1.0, 1.0) == pytest.approx(factor * math.pi / 2)
    assert sphere_length(3, 1.0, 1.0) == pytest.approx(factor * 2)
    assert math.isfinite(sphere_length(10**6, 1.0, 1.0))


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_the_empirical_privacy_loss_is_at_most_epsilon(epsilon):
    # Angles of messages in two dimensions, for opposite extreme records and for an
    # extreme record against none at all. 10^6 draws and 36 bins.
    rng = np.random.default_rng(3)
    n = 1_000_000
    inputs = [[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 0.3]]
    logs = []
    for g in inputs:
        out = randomize_on_sphere(np.tile(g, (n, 1)), 1.0, epsilon, rng)
        angles = np.arctan2(out[:, 1], out[:, 0])
        counts, _ = np.histogram(angles, bins=36, range=(-math.pi, math.pi))
        logs.append(np.log(counts / n))
    logs = np.array(logs)
    loss = (logs.max(axis=0) - logs.min(axis=0)).max()
    assert loss <= epsilon + 0.05
    assert np.abs(logs[0] - logs[1]).max() > epsilon - 0.1  # and it is used up


def test_the_empirical_loss_of_gaussian_messages_is_within_the_budget():
    # On the half line that separates two extreme records best, p <= e^eps q + delta.
    rng = np.random.default_rng(5)
    epsilon, delta, n = 1.0, 0.05, 200_000
    client = MomentClient(
        "cross", "gaussian", 2, Bounds(2.0, 1.0, "norm"), epsilon, delta
    )
    X = np.tile([2.0, 0.0], (n, 1))
    p = client.messages(X, np.ones(n), rng)[:, 0]
    q = client.messages(X, -np.ones(n), rng)[:, 0]
    thresholds = np.linspace(-10, 10, 41)
    excess = [
        (p > t).mean() - math.exp(epsilon) * (q > t).mean() - delta for t in thresholds
    ]
    assert max(excess) < 0.01
    assert max(excess) > -0.01  # the budget is used, not wasted


def test_gaussian_messages_have_the_stated_mean_and_noise():
    rng = np.random.default_rng(1)
    for kind, clipping in [("joint", "norm"), ("separate", "coordinate")]:
        client = MomentClient(
            kind, "gaussian", 3, Bounds(2.0, 1.0, clipping), 2.0, 1e-5
        )
        n = 100_000
        x, y = rng.standard_normal((1, 3)), np.array([0.5])
        out = client.messages(np.tile(x, (n, 1)), np.repeat(y, n), rng)
        exact = client.statistics(x, y)[0]
        for block, noise in zip(client.blocks, client.noise, strict=True):
            part = out[:, block.start : block.stop]
            np.testing.assert_allclose(part.std(axis=0), noise, rtol=0.02)
            error = np.abs(part.mean(axis=0) - exact[block.start : block.stop])
            assert error.max() < 5 * noise / math.sqrt(n)
        # The moments come back in their own units.
        S, b = client.moments(exact)
        Z, t = client.bounds.clip(x, y)
        np.testing.assert_allclose(S, Z.T @ Z)
        np.testing.assert_allclose(b, Z[0] * t[0])
        S, b = client.moments(out.mean(axis=0))
        off_diagonal, cross = client.entry_deviations(1)
        M = np.array([client.moments(row)[0][0, 1] for row in out[:2000]])
        assert M.std() == pytest.approx(off_diagonal, rel=0.1)
        v = np.array([client.moments(row)[1][0] for row in out[:2000]])
        assert v.std() == pytest.approx(cross, rel=0.1)


# Protocols


def test_interactive_fit_recovers_the_coefficients(global_random_seed):
    X, y, coef = make_users(200_000, seed=global_random_seed)
    model = LDPSparseRegressor(
        epsilon=2.0, n_nonzero=3, x_bound=4.5, y_bound=2.5, random_state=1
    ).fit(X, y)
    assert set(model.support_) == set(np.flatnonzero(coef))
    assert np.linalg.norm(model.coef_ - coef) < 0.1
    assert model.n_iter_ == 6 and model.intercept_ == 0.0


@pytest.mark.parametrize("public", [False, True])
def test_a_huge_budget_gives_the_answer_without_privacy(public):
    X, y, _ = make_users(20_000, d=5, k=2)
    public_X = make_users(5_000, d=5, seed=9)[0] if public else None
    model = LDPSparseRegressor(
        epsilon=1e10, delta=1e-6, method="nldp", x_bound=50.0, y_bound=50.0,
        public_X=public_X, random_state=0,
    ).fit(X, y)  # fmt: skip
    S = X.T @ X if public_X is None else 4.0 * public_X.T @ public_X
    np.testing.assert_allclose(model.coef_, np.linalg.solve(S, X.T @ y), atol=1e-2)


def test_points_on_the_sphere_are_as_good_as_their_noise_says():
    X, y, coef = make_users(300_000)
    model = LDPSparseRegressor(
        epsilon=2.0, n_nonzero=3, method="nldp", mechanism="sphere",
        x_bound=4.5, y_bound=2.5, random_state=0,
    ).fit(X, y)  # fmt: skip
    assert np.linalg.norm(model.coef_ - coef) < 0.45
    assert model.delta_spent_ == 0.0


def test_closed_form_fits_recover_the_coefficients():
    X, y, coef = make_users(1_000_000)
    bounds = {"x_bound": 4.5, "y_bound": 2.5, "epsilon": 2.0, "n_nonzero": 3}
    model = LDPSparseRegressor(
        method="nldp", delta=1e-6, simulate="aggregate", random_state=0, **bounds
    ).fit(X, y)
    assert np.linalg.norm(model.coef_ - coef) < 0.35
    assert set(model.support_) == set(np.flatnonzero(coef))
    public = LDPSparseRegressor(
        method="nldp", delta=1e-6, simulate="aggregate", random_state=0,
        public_X=make_users(5000, seed=1)[0], **bounds
    ).fit(X, y)  # fmt: skip
    assert np.linalg.norm(public.coef_ - coef) < 0.25


def test_aggregate_and_single_messages_have_one_distribution():
    X, y, _ = make_users(300, d=3)
    client = MomentClient("joint", "gaussian", 3, Bounds(2.0, 2.0, "norm"), 1.0, 1e-3)
    total = client.total(X, y)
    np.testing.assert_allclose(total, client.statistics(X, y).sum(axis=0), rtol=1e-10)
    rng = np.random.default_rng(0)
    at_once = [client.noisy_mean(total, 300, rng) for _ in range(2000)]
    singly = [client.messages(X, y, rng).mean(axis=0) for _ in range(2000)]
    scale = client.deviations(300)[0]
    for draws in (at_once, singly):
        np.testing.assert_allclose(np.std(draws, axis=0), scale, rtol=0.1)
        error = np.abs(np.mean(draws, axis=0) - total / 300).max()
        assert error < 5 * scale / math.sqrt(2000)


def test_messages_are_made_by_users_and_received_by_a_server(global_random_seed):
    X, y, coef = make_users(60_000, d=6, k=1, seed=global_random_seed)
    settings = {"epsilon": 4.0, "n_nonzero": 1, "x_bound": 3.0, "y_bound": 2.0}
    device = LDPSparseRegressor(n_rounds=3, **settings)
    server = LDPSparseRegressor(n_rounds=3, **settings)
    public = None
    for group, rows in enumerate(np.array_split(np.arange(60_000), 3)):
        device.set_params(random_state=group)
        sent = device.privatize(X[rows], y[rows], coef=public, group=group)
        public = server.receive(sent).coef_.copy()
    assert np.linalg.norm(server.coef_ - coef) < 0.3
    assert server.n_iter_ == 3 and server.epsilon_spent_ == 4.0
    assert not vars(device).keys() & {"coef_", "n_features_in_"}
    with pytest.raises(ValueError, match="All n_rounds=3 groups were heard"):
        server.receive(sent for sent in [np.zeros(6)])
    assert server.receive([np.zeros(6)], reset=True).n_iter_ == 1
    assert server.predict(X[:2]).shape == (2,)


@pytest.mark.parametrize("clipping", ["norm", "coordinate"])
def test_one_call_receives_second_moments(clipping):
    X, y, coef = make_users(30_000, d=4, k=1)
    settings = {
        "epsilon": 20.0, "x_bound": 3.0, "y_bound": 2.0, "method": "nldp",
        "delta": 1e-4, "clipping": clipping, "n_nonzero": 1, "random_state": 0,
    }  # fmt: skip
    model = LDPSparseRegressor(**settings)
    model.receive(model.privatize(X, y))
    assert model.n_features_in_ == 4
    assert np.linalg.norm(model.coef_ - coef) < 0.15
    assert len(next(model.privatize(X[:1], y[:1]))) == (
        15 if clipping == "norm" else 14
    )


def test_receiving_checks_what_arrives():
    model = LDPSparseRegressor(x_bound=1.0, y_bound=1.0)
    with pytest.raises(ValueError, match="No messages"):
        model.receive([])
    with pytest.raises(ValueError, match="lengths 3 and 2"):
        model.receive([[0.0, 0, 0], [0.0, 0]])
    with pytest.raises(ValueError, match="finite numbers"):
        model.receive([[np.nan, 0.0]])
    moments = LDPSparseRegressor(x_bound=1, y_bound=1, method="nldp", delta=1e-3)
    with pytest.raises(ValueError, match="Messages have length 5"):
        moments.receive([np.zeros(5)])


def test_clients_check_their_part():
    model = LDPSparseRegressor(x_bound=1.0, y_bound=1.0)
    X, y = np.ones((2, 3)), np.ones(2)
    with pytest.raises(ValueError, match="`group` must be from 0 to n_rounds - 1 = 5"):
        model.privatize(X, y, group=6)
    with pytest.raises(ValueError, match="`coef` must be 3 finite numbers"):
        model.privatize(X, y, coef=[1.0])
    with pytest.raises(ValueError, match="must be given: public constants"):
        LDPSparseRegressor(strict=False).privatize(X, y)


def test_the_result_does_not_depend_on_the_number_of_workers():
    X, y, _ = make_users(3000, d=40)
    for settings in (
        {"n_nonzero": 3},
        {"method": "nldp", "delta": 1e-6, "n_nonzero": 3},
    ):
        model = LDPSparseRegressor(
            x_bound=7.0, y_bound=2.5, random_state=3, **settings
        ).fit(X, y)
        for change in ({"n_jobs": 2}, {"n_jobs": 1}):
            again = LDPSparseRegressor(
                x_bound=7.0, y_bound=2.5, random_state=3, **settings, **change
            ).fit(X, y)
            np.testing.assert_array_equal(model.coef_, again.coef_)


def test_sparse_rows_equal_dense_rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5000, 10)) * (rng.random((5000, 10)) < 0.3)
    y = X[:, 2]
    for settings in (
        {},
        {"method": "nldp", "delta": 1e-5, "simulate": "aggregate"},
        {"method": "nldp", "delta": 1e-5, "clipping": "coordinate"},
    ):
        fits = [
            LDPSparseRegressor(
                x_bound=3.0, y_bound=2.0, random_state=0, **settings
            ).fit(container(X), y)
            for container in (np.asarray, sparse.csr_array, sparse.csc_matrix)
        ]
        for model in fits[1:]:
            np.testing.assert_allclose(model.coef_, fits[0].coef_, atol=1e-9)


def test_the_global_seed_does_not_reach_the_noise():
    X, y, _ = make_users(100, d=3)
    model = LDPSparseRegressor(x_bound=3.0, y_bound=2.0)
    draws = []
    for _ in range(2):
        np.random.seed(0)
        draws.append(next(model.privatize(X[:1], y[:1])))
    assert not np.array_equal(*draws)
    state = np.random.RandomState(0)
    one, two = make_generator(state), make_generator(state)
    assert one.random() != two.random()


# The ledger


def test_every_user_of_the_interactive_protocol_speaks_once():
    X, y, _ = make_users(1003, d=4)
    model = LDPSparseRegressor(
        epsilon=0.7, x_bound=3.0, y_bound=2.0, n_rounds=5, grad_decay=0.5
    ).fit(X, y)
    ledger = model.privacy_ledger_
    assert sum(entry["group_size"] for entry in ledger) == 1003
    assert [entry["group"] for entry in ledger] == [0, 1, 2, 3, 4]
    assert all(entry["epsilon"] == 0.7 and entry["delta"] == 0 for entry in ledger)
    assert model.epsilon_spent_ == 0.7 and model.delta_spent_ == 0.0
    radii = [entry["sensitivity"] / 2 for entry in ledger]
    np.testing.assert_allclose(radii, 6 * 0.5 ** np.arange(5))
    for entry, radius in zip(ledger, radii, strict=True):
        assert entry["noise_scale"] == sphere_length(4, radius, 0.7)
    assert model.certificate_.details["n_users"] == 1003


def test_the_ledger_adds_up_what_one_user_releases():
    X, y, _ = make_users(500, d=3)
    model = LDPSparseRegressor(
        epsilon=1.0, delta=1e-4, method="nldp", clipping="coordinate",
        x_bound=2.0, y_bound=2.0,
    ).fit(X, y)  # fmt: skip
    first, second = model.privacy_ledger_
    assert first["group"] == second["group"] and first["group_size"] == 500
    assert first["epsilon"] == 0.5 and first["delta"] == 5e-5
    assert model.epsilon_spent_ == 1.0 and model.delta_spent_ == 1e-4
    assert first["sensitivity"] == pytest.approx(math.sqrt(2) * 3 * 4)
    assert second["sensitivity"] == pytest.approx(2 * math.sqrt(3) * 4)
    for entry in (first, second):
        assert gaussian_delta(
            entry["noise_scale"], entry["sensitivity"], 0.5
        ) == pytest.approx(5e-5, rel=1e-6)
    assert model.certificate_.details["n_users"] == 500


def test_disjoint_groups_do_not_add_up():
    options = {"delta": 0.0, "sensitivity": 1, "noise_scale": 1, "group_size": 3}
    ledger = [
        ledger_entry("m", "q", group=0, epsilon=1.0, **options),
        ledger_entry("m", "q", group=1, epsilon=0.4, **options),
        ledger_entry("m", "q", group=1, epsilon=0.8, **options),
    ]
    assert spent(ledger) == (pytest.approx(1.2), 0.0)
    assert spent([]) == (0.0, 0.0)


def test_the_gradient_bound_is_never_above_what_the_bounds_allow():
    X, y, _ = make_users(100, d=3)
    model = LDPSparseRegressor(
        x_bound=0.5, y_bound=1.0, coef_bound=2.0, grad_decay=1.0
    ).fit(X, y)
    assert model.privacy_ledger_[0]["sensitivity"] == pytest.approx(2 * 0.5 * 2.0)


def test_nothing_of_the_records_is_kept():
    X, y, _ = make_users(400, d=3)
    for settings in ({}, {"method": "nldp", "delta": 1e-3}):
        model = LDPSparseRegressor(x_bound=3.0, y_bound=2.0, **settings).fit(X, y)
        sizes = [np.size(value) for value in vars(model).values()]
        assert max(sizes) <= 10


# What the server computes


def test_a_gradient_step_thresholds_and_projects():
    coef = gradient_step(
        np.zeros(4), np.array([-3.0, 1.0, -4.0, 0.5]), step=1.0, n_keep=2, coef_bound=10
    )
    np.testing.assert_allclose(coef, [3.0, 0, 4.0, 0])
    coef = gradient_step(
        np.zeros(4), np.array([-3.0, 1.0, -4.0, 0.5]), step=1.0, n_keep=2, coef_bound=1
    )
    np.testing.assert_allclose(coef, [0.6, 0, 0.8, 0])


def test_indefinite_moments_are_lifted():
    S = np.diag([1.0, 1.0, -0.5])
    b = np.array([1.0, 0.0, 0.2])
    raw = moment_estimate(S, b, 0.2, 0.0)
    floor = 0.2 * math.sqrt(3)
    np.testing.assert_allclose(raw, [1.0, 0.0, 0.2 / floor])
    np.testing.assert_allclose(moment_estimate(S, b, 0.2, 0.0, 1), [1.0, 0, 0])
    # Thresholded at the noise of b over the curvature.
    shrunk = moment_estimate(np.eye(3), b, 0.0, 0.1)
    cut = 0.1 / 0.7 * math.sqrt(2 * math.log(3))
    np.testing.assert_allclose(shrunk, [1 - cut, 0.0, max(0.2 - cut, 0.0)], atol=1e-12)
    assert not moment_estimate(np.zeros((2, 2)), np.ones(2), 0.0, 0.1).any()


def test_expanded_rounds_end_with_the_wanted_number_of_coefficients():
    X, y, _ = make_users(6000, d=12)
    model = LDPSparseRegressor(
        x_bound=4.0, y_bound=2.0, n_nonzero=2, expand=3, random_state=0
    )
    counts = []
    for group in range(6):
        sent = model.privatize(X[:500], y[:500], group=group)
        counts.append(len(model.receive(sent).support_))
    assert counts == [6, 6, 6, 6, 6, 2]


@pytest.mark.parametrize("d", [1, 2, 3, 7, 20, 100])
def test_lengths_of_messages_tell_the_number_of_features(d):
    bounds = Bounds(1.0, 1.0, "norm")
    for settings in (
        {"method": "iht"},
        {"method": "nldp", "clipping": "norm"},
        {"method": "nldp", "clipping": "coordinate"},
        {"method": "nldp", "public_X": np.ones((2, d))},
    ):
        model = LDPSparseRegressor(delta=0.1, **settings)
        client = model._client(d, bounds, np.zeros(d), 0)
        assert model._features_of(client.length) == d


def test_rounds_end_where_somebody_says_so_and_moments_begin_anew(monkeypatch):
    X, y, _ = make_users(60, d=3)
    moments = LDPSparseRegressor(method="nldp", delta=0.1, x_bound=3.0, y_bound=2.0)
    for _ in range(2):
        moments.receive(moments.privatize(X, y))
        assert moments.n_iter_ == 1 and len(moments.privacy_ledger_) == 1
    monkeypatch.setattr(FitProgress, "step", lambda self, **values: True)
    model = LDPSparseRegressor(x_bound=3.0, y_bound=2.0).fit(X, y)
    assert model.n_iter_ == 1 and model.certificate_.details["n_users"] == 10


@pytest.mark.parametrize("simulate", ["users", "aggregate"])
def test_messages_are_made_only_where_users_are_simulated(simulate, monkeypatch):
    X, y, _ = make_users(50, d=3)
    made, mean_message = [], Users.mean_message

    def counted(self, *arguments):
        made.append(arguments)
        return mean_message(self, *arguments)

    monkeypatch.setattr(Users, "mean_message", counted)
    LDPSparseRegressor(
        method="nldp", delta=1e-3, x_bound=3.0, y_bound=2.0, simulate=simulate
    ).fit(X, y)
    assert len(made) == (simulate == "users")


def test_rounds_of_the_server_by_hand():
    model = LDPSparseRegressor(
        x_bound=2.0, y_bound=3.0, n_nonzero=1, expand=2, n_rounds=2, step=0.5,
        grad_bound=4.0, grad_decay=0.25, epsilon=0.5,
    )  # fmt: skip
    model.receive([[1.0, -0.5, 0.125], [0.0, -0.75, 0.125]], n_features=3)
    np.testing.assert_allclose(model.coef_, [-0.25, 0.3125, 0.0])
    assert list(model.support_) == [0, 1] and model.n_iter_ == 1
    details = model.certificate_.details
    assert (details["n_users"], details["at_coef_bound"]) == (2, False)
    model.receive(iter([[4.0, -4.0, 0.0]] * 3))
    np.testing.assert_allclose(model.coef_, [0.0, 1.0, 0.0])  # of (-2.25, 2.3125, 0)
    details = model.certificate_.details
    assert (details["n_users"], details["at_coef_bound"]) == (5, True)
    assert details["epsilon_spent"] == 0.5 and details["delta_spent"] == 0.0
    assert model.certificate_.kind == "none" and model.certificate_.satisfied
    ledger = model.privacy_ledger_
    assert [(e["group"], e["group_size"]) for e in ledger] == [(0, 2), (1, 3)]
    np.testing.assert_allclose([e["sensitivity"] for e in ledger], [8.0, 2.0])
    # Another number of features needs a beginning.
    with pytest.raises(ValueError, match="All n_rounds=2"):
        model.receive([np.zeros(3)])
    model.receive([np.zeros(4)], reset=True)
    assert model.n_features_in_ == 4 and model.n_iter_ == 1
    assert not model.coef_.any() and len(model.privacy_ledger_) == 1
    with pytest.raises(ValueError, match="length 3, but 4 is that of 4 features"):
        model.receive([np.zeros(3)])
    with pytest.raises(ValueError, match="vector of finite numbers"):
        model.receive([np.zeros((1, 4))])


def test_bounds_of_gradients_are_the_least_of_three():
    norms = Bounds(0.5, 2.0, "norm")
    for bound, expected in ((None, 0.5 * (0.5 * 3.0 + 2.0)), (1.0, 1.0 * 0.5**2)):
        model = LDPSparseRegressor(grad_bound=bound, grad_decay=0.5, coef_bound=3.0)
        assert model._radius(4, norms, 2 if bound else 0) == pytest.approx(expected)
    entries = Bounds(0.5, 2.0, "coordinate")  # a norm of 1 in 4 dimensions
    assert LDPSparseRegressor(coef_bound=0.5)._radius(4, entries, 0) == 2.5
    assert LDPSparseRegressor(grad_decay=1.0)._radius(400, entries, 5) == 6.0


@pytest.mark.parametrize("given", [{}, {"x_bound": 0.25}, {"y_bound": 0.25}])
def test_bounds_of_zeros_are_one(given):
    missing = [name for name in ("x_bound", "y_bound") if name not in given]
    with pytest.warns(PrivacyLeakWarning, match=f"{', '.join(missing)} taken"):
        model = LDPSparseRegressor(strict=False, **given)
        model.fit(np.zeros((9, 2)), np.zeros(9))
    assert model._protocol.x == given.get("x_bound", 1.0)
    assert model._protocol.y == given.get("y_bound", 1.0)
    assert (
        model.epsilon_spent_
        == math.inf
        == (model.certificate_.details["epsilon_spent"])
    )


# Bad input


@pytest.mark.parametrize(
    "missing", [("x_bound",), ("y_bound",), ("x_bound", "y_bound")]
)
def test_missing_bounds_are_refused(missing):
    X, y, _ = make_users(50, d=3)
    given = {name: 2.0 for name in ("x_bound", "y_bound") if name not in missing}
    with pytest.raises(ValueError, match="must be given: public constants") as error:
        LDPSparseRegressor(**given).fit(X, y)
    assert all(name in str(error.value) for name in missing)


@pytest.mark.parametrize("clipping", ["norm", "coordinate"])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_without_strictness_bounds_come_from_the_data_with_a_warning(
    clipping, container
):
    X, y, _ = make_users(50, d=3)
    with pytest.warns(PrivacyLeakWarning, match="x_bound, y_bound taken from the data"):
        model = LDPSparseRegressor(strict=False, clipping=clipping).fit(container(X), y)
    assert model.epsilon_spent_ == math.inf
    expected = np.abs(X).max()
    if clipping == "norm":
        expected = np.linalg.norm(X, axis=1).max()
    assert model._protocol.x == pytest.approx(expected)
    assert model._protocol.y == pytest.approx(np.abs(y).max())


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_epsilon_is_refused(epsilon):
    X, y, _ = make_users(50, d=3)
    with pytest.raises(ValueError, match="epsilon"):
        LDPSparseRegressor(epsilon=epsilon, x_bound=1.0, y_bound=1.0).fit(X, y)


@pytest.mark.parametrize("delta", [None, 0.0, 1.0, -0.1, 2.0])
def test_gaussian_noise_needs_a_delta(delta):
    X, y, _ = make_users(50, d=3)
    with pytest.raises(ValueError, match="delta"):
        LDPSparseRegressor(
            delta=delta, method="nldp", x_bound=1.0, y_bound=1.0
        ).fit(X, y)  # fmt: skip


def test_other_contradictions_are_refused():
    X, y, _ = make_users(50, d=3)
    bounds = {"x_bound": 1.0, "y_bound": 1.0}
    cases = [
        ({"n_nonzero": 4}, "there are only 3 features"),
        ({"n_rounds": 51}, "n_samples=50 users cannot form 51 groups"),
        ({"simulate": "aggregate"}, "needs method='nldp'"),
        ({"public_X": X}, "set method='nldp'"),
        ({"x_bound": float("inf")}, "x_bound"),
        (
            {"method": "nldp", "delta": 0.1, "public_X": X[:, :2]},
            "Pass the same columns",
        ),
    ]
    for change, message in cases:
        with pytest.raises(ValueError, match=message):
            LDPSparseRegressor(**{**bounds, **change}).fit(X, y)
    with pytest.raises(TypeError):
        LDPSparseRegressor(**bounds).fit(X, y, sample_weight=np.ones(50))


def test_gradients_are_taken_at_the_public_coefficients():
    rng = np.random.default_rng(0)
    bounds = Bounds(10.0, 10.0, "norm")
    x, y = np.array([[1.0, 2.0]]), np.array([3.0])
    client = GradientClient(np.array([0.5, 0.0]), bounds, 20.0, 1e3)
    out = client.messages(np.tile(x, (400_000, 1)), np.repeat(y, 400_000), rng)
    gradient = x[0] * (0.5 - 3.0)
    error = np.abs(out.mean(axis=0) - gradient).max()
    assert error < 5 * sphere_length(2, 20.0, 1e3) / math.sqrt(2 * 400_000)


def test_an_unbounded_ball_leaves_large_coefficients_alone():
    X, y, coef = make_users(100_000, d=4, k=1)
    settings = {"epsilon": 8.0, "x_bound": 3.0, "y_bound": 6.0, "n_nonzero": 1}
    settings |= {"random_state": 0, "grad_decay": 1.0}
    bounded = LDPSparseRegressor(**settings).fit(X, 2 * y)
    free = LDPSparseRegressor(coef_bound=math.inf, **settings).fit(X, 2 * y)
    assert np.linalg.norm(bounded.coef_) == pytest.approx(1.0)
    assert bounded.certificate_.details["at_coef_bound"]
    assert not free.certificate_.details["at_coef_bound"]
    moments = LDPSparseRegressor(method="nldp", delta=1e-3, **settings).fit(X, 2 * y)
    assert np.linalg.norm(moments.coef_) == pytest.approx(1.0)
    assert np.linalg.norm(free.coef_ - 2 * coef) < 0.2


@pytest.mark.parametrize("grad_decay", [1.0, 0.5])
def test_the_noise_follows_the_gradient_bound(grad_decay):
    X, y, _ = make_users(600, d=3)
    scales = []
    for bound in (1.5, 3.0):
        model = LDPSparseRegressor(
            x_bound=9.0, y_bound=9.0, grad_bound=bound, grad_decay=grad_decay,
            n_rounds=3, random_state=0,
        ).fit(X, y)  # fmt: skip
        ledger = model.privacy_ledger_
        bounds = bound * grad_decay ** np.arange(3)
        found = [entry["sensitivity"] for entry in ledger]
        np.testing.assert_allclose(found, 2 * bounds, rtol=1e-12)
        scales.append([entry["noise_scale"] for entry in ledger])
    np.testing.assert_allclose(scales[1], 2 * np.array(scales[0]), rtol=1e-12)
