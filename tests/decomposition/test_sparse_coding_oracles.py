"""Probabilistic sparse coding against brute force, closed forms and quadrature."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from math import comb

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from sparsestat.decomposition import (
    BinarySparseCoding,
    DiscreteSparseCoding,
    SpikeSlabSparseCoding,
    TernarySparseCoding,
)
from sparsestat.decomposition._coding import _expectation_truncation, _support_tables
from sparsestat.decomposition._coding._expectation_truncation import (
    Block,
    Samples,
    Temper,
    e_step,
    kept_weights,
)
from sparsestat.decomposition._coding._linear import LinearModel
from sparsestat.decomposition._coding._slab import SlabModel
from sparsestat.decomposition._coding._truncation import count_states, state_tree
from tests.decomposition import sparse_coding_oracles as oracles


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def block_of(X, weights=None):
    weights = np.ones(X.shape[0]) if weights is None else weights
    return Block(X, _expectation_truncation._squared_norms(X), weights)


# The E-step


@pytest.mark.parametrize("with_prior", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("kind", oracles.KINDS)
def test_all_states_give_the_posterior_of_brute_force(
    kind, temperature, with_prior, rng
):
    model, params, Y = oracles.make(kind, rng)
    temper = Temper(temperature, with_prior)
    states, q, log_z = oracles.brute_force(model, params, Y, temper)
    weights = rng.uniform(0.5, 2.0, len(Y))
    found, means, statistics = model.expect(
        model.prepare(params, temper), block_of(Y, weights)
    )
    assert_allclose(found, log_z, rtol=0, atol=1e-10)
    if kind != "slab":
        assert_allclose(means, q @ states, atol=1e-10)
    if kind in ("binary", "ternary", "discrete"):
        second = np.einsum("n,ns,sa,sb->ab", weights, q, states, states)
        assert_allclose(statistics["ss"], second, atol=1e-10)
        counts = [weights @ q @ (states == v).sum(axis=1) for v in model.values]
        assert_allclose(statistics["counts"], counts, atol=1e-10)
        assert_allclose(statistics["sy"], (weights[:, None] * means).T @ Y, atol=1e-10)
    elif kind != "slab":
        active = weights @ q @ states.sum(axis=1)
        assert_allclose(statistics["active"], active, atol=1e-10)
        X = Y - params["mean"]
        bars = np.array(
            [
                oracles.soft_maximum(params["W"], s, temperature, model.signed)
                for s in states
            ]
        )
        far = ((X[:, None] - bars) ** 2).sum(axis=-1)
        assert_allclose(statistics["residual"], weights @ (q * far).sum(axis=1))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("noise", ["scalar", "diagonal"])
def test_slab_moments_are_those_of_the_gaussians(noise, full, rng):
    model, params, Y = oracles.make("slab", rng, noise=noise, full=full)
    temper = Temper(2.0)
    states, q, log_z = oracles.brute_force(model, params, Y, temper)
    found, means, statistics = model.expect(model.prepare(params, temper), block_of(Y))
    assert_allclose(found, log_z, rtol=0, atol=1e-9)
    h, d = params["W"].shape
    expected, second = np.zeros((len(Y), h)), np.zeros((h, h))
    mixed, active = np.zeros((h, h)), np.zeros((h, h))
    precision = np.diag(np.broadcast_to(1 / np.square(params["sigma"]), d))
    for s, probability in zip(states, q.T, strict=True):
        A = np.flatnonzero(s)
        W, mu = params["W"][A], params["slab_mean"][A]
        inverse = np.linalg.inv(params["slab_cov"][np.ix_(A, A)])
        cov = np.linalg.inv(W @ precision @ W.T + inverse)
        right = W @ precision @ (Y - params["mean"]).T + (inverse @ mu)[:, None]
        kappa = (cov @ right).T
        expected[:, A] += probability[:, None] * kappa
        moment = np.einsum("n,na,nb->ab", probability, kappa, kappa)
        second[np.ix_(A, A)] += moment + probability.sum() * cov
        active[np.ix_(A, A)] += probability.sum()
        mixed[np.ix_(A, A)] += probability @ kappa
    assert_allclose(means, expected, atol=1e-9)
    assert_allclose(statistics["ss"], second, atol=1e-9)
    assert_allclose(statistics["active"], active, atol=1e-9)
    assert_allclose(statistics["mixed"], mixed, atol=1e-9)


def test_slab_evidence_of_each_support_is_that_of_scipy(rng):
    model, params, Y = oracles.make("slab", rng, h=5, gamma=3, full=True)
    step = model.prepare(params, Temper())
    block = block_of(Y)
    joints, candidates = model.joints(step, block)
    columns = np.arange(joints.shape[1])
    levels = model.decode(columns, np.repeat(candidates[:1], len(columns), axis=0))
    expected = oracles.log_likelihood(model, params, Y, levels, 1.0)
    odds = oracles.log_prior(model, params["pi"], levels)
    found = joints - odds - 0.5 * model.energy(step, block)[:, None]
    assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("kind", oracles.KINDS)
def test_truncated_states_are_the_ones_of_the_definition(kind, rng):
    h, k, gamma = 6, 4, 3
    model, params, Y = oracles.make(kind, rng, h=h, k=k, gamma=gamma)
    step = model.prepare(params, Temper())
    block = block_of(Y)
    joints, candidates = model.joints(step, block)
    n_states = count_states(h, k, gamma, model.n_values)
    for i in range(len(Y)):
        columns = np.flatnonzero(joints[i] > -np.inf)
        assert len(columns) == n_states
        levels = model.decode(columns, np.repeat(candidates[i : i + 1], n_states, 0))
        sizes = (levels > 0).sum(axis=1)
        assert len(np.unique(levels, axis=0)) == n_states
        assert sizes.max() == gamma
        assert (sizes == 1).sum() == h * model.n_values
        outside = np.setdiff1d(np.arange(h), candidates[i])
        assert not levels[sizes > 1][:, outside].any()
        direct = oracles.log_prior(model, params["pi"], levels)
        direct = direct + oracles.log_likelihood(
            model, params, Y[i : i + 1], levels, 1.0
        )
        found = joints[i, columns] - joints[i, columns[0]]
        assert_allclose(found, (direct - direct[:, :1])[0], atol=1e-10)
    # The same states stand behind the moments.
    found, means, _ = model.expect(step, block)
    top = logsumexp(joints, axis=1)
    if kind != "slab":
        weights = np.exp(joints - top[:, None])
        for i in (0, len(Y) - 1):
            columns = np.flatnonzero(joints[i] > -np.inf)
            levels = model.decode(
                columns, np.repeat(candidates[i : i + 1], n_states, 0)
            )
            expected = weights[i, columns] @ oracles.values_of(model, levels)
            assert_allclose(means[i], expected, atol=1e-10)


def test_candidates_have_the_best_selection_scores(rng):
    h, k = 9, 4
    for kind in oracles.KINDS:
        model, params, Y = oracles.make(kind, rng, h=h, k=k, gamma=2)
        params["mean"] = np.zeros(Y.shape[1])
        W = params["W"]
        far = ((Y[:, None] - W) ** 2).sum(axis=-1)
        if kind == "binary":
            scores = Y @ W.T / np.linalg.norm(W, axis=1)
        elif kind == "max":
            scores = -np.maximum(W - Y[:, None], 0).sum(axis=-1)
        elif kind == "max_magnitude":
            scores = -far
        elif kind == "slab":
            single = np.eye(h, dtype=int)
            scores = oracles.log_likelihood(model, params, Y, single, 1.0)
        else:
            odds = oracles.log_prior(
                model, params["pi"], np.diag(np.ones(h, dtype=int))
            )
            del odds
            scores = np.full(far.shape, -np.inf)
            for j, v in enumerate(model.values):
                chance = (
                    0.5 * params["pi"]
                    if kind == "ternary"
                    else np.delete(params["pi"], model.zero)[j]
                )
                residual = ((Y[:, None] - v * W) ** 2).sum(axis=-1)
                fit = np.log(chance) - 0.5 * residual / params["sigma"] ** 2
                scores = np.maximum(scores, fit)
        _, candidates = model.joints(model.prepare(params, Temper()), block_of(Y))
        expected = np.sort(np.argsort(-scores, axis=1, kind="stable")[:, :k], axis=1)
        assert_array_equal(candidates, expected, err_msg=kind)


def test_equal_scores_go_to_the_lower_index(rng):
    model, params, Y = oracles.make("binary", rng, h=6, k=3, gamma=2)
    params["W"] = np.repeat(params["W"][:1], 6, axis=0)
    _, candidates = model.joints(model.prepare(params, Temper()), block_of(Y))
    assert_array_equal(candidates, np.tile([0, 1, 2], (len(Y), 1)))


@pytest.mark.parametrize("kind", ["max", "max_magnitude", "slab"])
def test_tables_for_all_samples_and_for_blocks_agree(kind, rng, monkeypatch):
    model, params, Y = oracles.make(kind, rng, h=7, k=4, gamma=3, n=50)
    temper, block = Temper(2.0), block_of(Y)
    shared = model.expect(model.prepare(params, temper), block)
    monkeypatch.setattr(_support_tables, "_MOST_SHARED", 0)
    monkeypatch.setattr(_support_tables, "_MOST_ENTRIES", 5000)
    for rank in (2**62, 3):  # supports numbered, or too many to be numbered
        monkeypatch.setattr(_support_tables, "_LARGEST_RANK", rank)
        step = model.prepare(params, temper)
        assert step.shared is None
        log_z, means, statistics = model.expect(step, block)
        assert_allclose(log_z, shared[0], rtol=1e-12)
        assert_allclose(means, shared[1], atol=1e-12)
        for name, value in statistics.items():
            assert_allclose(value, shared[2][name], atol=1e-9, err_msg=name)


def test_soft_maximum_is_close_to_the_maximum(rng):
    gamma = 4
    model, params, _ = oracles.make("max", rng, h=6, gamma=gamma, k=6)
    step = model.prepare(params, Temper())
    assert step.rho == pytest.approx(21.0)
    bars = step.shared[0]
    for j, size in enumerate(step.supports.sizes):
        top = params["W"][step.supports.members[j, :size]].max(axis=0)
        assert (bars[j] >= top * (1 - 1e-12)).all()
        assert (bars[j] - top <= top * (gamma ** (1 / 21) - 1) + 1e-12).all()


def test_soft_maximum_survives_powers_that_underflow(rng):
    for kind in ("max", "max_magnitude"):
        model, params, Y = oracles.make(kind, rng, h=4)
        params["W"][0] *= 1e60
        params["W"][1:, :3] *= 1e-3
        _, means, statistics = model.expect(
            model.prepare(params, Temper()), block_of(Y)
        )
        assert np.isfinite(means).all()
        for name in ("num", "den", "bars"):
            assert np.isfinite(statistics[name]).all()
        new = model.maximize(params, statistics)
        assert np.isfinite(new["W"]).all()


# Model identities


def test_discrete_coding_contains_binary_and_ternary(rng):
    model, params, Y = oracles.make("binary", rng, h=5, k=5, gamma=3)
    pi, block, temper = params["pi"], block_of(Y), Temper(2.0)
    pairs = [
        (model, LinearModel(5, 5, 3, values=(1,), kind="discrete"), [1 - pi, pi]),
        (
            LinearModel(5, 5, 3, values=(-1, 1), kind="ternary"),
            LinearModel(5, 5, 3, values=(-1, 1), kind="discrete", zero=1),
            [pi / 2, 1 - pi, pi / 2],
        ),
    ]
    for one, other, prior in pairs:
        a = one.expect(one.prepare(params, temper), block)
        changed = params | {"pi": np.array(prior)}
        b = other.expect(other.prepare(changed, temper), block)
        assert_allclose(a[0], b[0], rtol=1e-12)
        assert_allclose(a[1], b[1], atol=1e-12)
        for name in a[2]:
            assert_allclose(a[2][name], b[2][name], rtol=1e-10, atol=1e-12)
        assert one.prior_mass(params) == pytest.approx(other.prior_mass(changed))


def test_a_slab_without_spread_is_binary_coding(rng):
    h = 5
    slab, params, Y = oracles.make("slab", rng, h=h, gamma=3)
    binary = LinearModel(h, h, 3)
    params |= {"slab_mean": np.ones(h), "slab_cov": 1e-9 * np.eye(h)}
    params["pi"] = np.full(h, 0.3)
    block, temper = block_of(Y), Temper()
    a = slab.expect(slab.prepare(params, temper), block)
    b = binary.expect(binary.prepare(params | {"pi": 0.3}, temper), block)
    assert_allclose(a[0], b[0], atol=1e-6)
    assert_allclose(a[1], b[1], atol=1e-6)
    # A spread of exactly zero divides nothing by zero.
    params["slab_cov"] = np.zeros((h, h))
    a = slab.expect(slab.prepare(params, temper), block)
    assert_allclose(a[0], b[0], atol=1e-10)


def test_one_slab_cause_agrees_with_quadrature(rng):
    model, params, Y = oracles.make("slab", rng, h=1, d=3)
    log_z, means, _ = model.expect(model.prepare(params, Temper()), block_of(Y))
    W, sigma, pi = params["W"][0], params["sigma"], params["pi"][0]
    mu, sd = params["slab_mean"][0], np.sqrt(params["slab_cov"][0, 0])
    z = np.linspace(mu - 12 * sd, mu + 12 * sd, 20001)
    prior = norm.pdf(z, mu, sd) * (z[1] - z[0])
    for y, evidence, mean in zip(Y - params["mean"], log_z, means[:, 0], strict=True):
        density = np.exp(-0.5 * ((y - z[:, None] * W) ** 2).sum(axis=1) / sigma**2)
        off = np.exp(-0.5 * (y @ y) / sigma**2)
        on = pi / (1 - pi) * density * prior
        assert evidence == pytest.approx(np.log(off + on.sum()), abs=1e-9)
        assert mean == pytest.approx((z * on).sum() / (off + on.sum()), abs=1e-9)


def test_one_cause_at_most_is_a_mixture_of_gaussians(rng):
    X = rng.standard_normal((40, 5))
    model = BinarySparseCoding(3, max_active=1, random_state=0, max_iter=20, tol=1.0)
    model.fit(X)
    pi, W, d = model.pi_, model.components_, 5
    centers = np.vstack([np.zeros(d), W])
    chances = np.array([(1 - pi) ** 3] + [pi * (1 - pi) ** 2] * 3)
    logs = [
        np.log(c) + multivariate_normal.logpdf(X, m, model.sigma_**2 * np.eye(d))
        for c, m in zip(chances / chances.sum(), centers, strict=True)
    ]
    assert_allclose(model.score_samples(X), logsumexp(logs, axis=0), atol=1e-10)


@pytest.mark.parametrize("kind", oracles.KINDS)
def test_the_order_of_causes_does_not_matter(kind, rng):
    model, params, Y = oracles.make(kind, rng, h=6, k=4, gamma=3)
    if kind == "max":
        Y = Y - 3.0  # causes that lie below a sample altogether tie as candidates
    order = rng.permutation(6)
    moved = params | {"W": params["W"][order]}
    if kind == "slab":
        moved |= {
            "pi": params["pi"][order],
            "slab_mean": params["slab_mean"][order],
            "slab_cov": params["slab_cov"][np.ix_(order, order)],
        }
    a = model.expect(model.prepare(params, Temper()), block_of(Y))
    b = model.expect(model.prepare(moved, Temper()), block_of(Y))
    assert_allclose(a[0], b[0], rtol=1e-10)
    assert_allclose(a[1][:, order], b[1], atol=1e-10)


def test_negated_ternary_components_negate_the_codes(rng):
    model, params, Y = oracles.make("ternary", rng, h=6, k=4, gamma=3)
    sign = rng.choice([-1.0, 1.0], 6)
    turned = params | {"W": params["W"] * sign[:, None]}
    a = model.expect(model.prepare(params, Temper()), block_of(Y))
    b = model.expect(model.prepare(turned, Temper()), block_of(Y))
    assert_allclose(a[0], b[0], rtol=1e-12)
    assert_allclose(a[1] * sign, b[1], atol=1e-12)


# The M-step


def naive_binary_step(Y, W, pi, sigma, k, gamma, temperature, ncut, old_sigma):
    """One EM step of binary sparse coding, a sample and a state at a time."""
    n, d = Y.shape
    h = len(W)
    tree = state_tree(k, gamma)
    scores = Y @ W.T / np.linalg.norm(W, axis=1)
    log_z, posteriors = np.empty(n), []
    for i in range(n):
        chosen = np.sort(np.argsort(-scores[i], kind="stable")[:k])
        states = [np.zeros(h), *np.eye(h)]
        for row in np.flatnonzero(tree.sizes > 1):
            s = np.zeros(h)
            s[chosen[tree.members[row, : tree.sizes[row]]]] = 1
            states.append(s)
        states = np.array(states)
        joint = states.sum(axis=1) * np.log(pi / (1 - pi))
        joint -= ((Y[i] - states @ W) ** 2).sum(axis=1) / (2 * sigma**2) / temperature
        log_z[i] = logsumexp(joint)
        posteriors.append((states, np.exp(joint - log_z[i])))
    terms = [comb(h, g) * pi**g * (1 - pi) ** (h - g) for g in range(gamma + 1)]
    mass, mean = sum(terms), sum(g * t for g, t in enumerate(terms))
    n_use = int(n * (1 - (1 - mass) * ncut))
    used = np.argsort(-log_z, kind="stable")[:n_use]
    Wp, Wq, active = np.zeros((h, d)), np.zeros((h, h)), 0.0
    for i in used:
        states, q = posteriors[i]
        Wp += np.outer(q @ states, Y[i])
        Wq += np.einsum("s,sa,sb->ab", q, states, states)
        active += q @ states.sum(axis=1)
    new = np.linalg.solve(Wq, Wp)
    frame, total = W if old_sigma else new, 0.0
    for i in used:
        states, q = posteriors[i]
        total += q @ ((Y[i] - states @ frame) ** 2).sum(axis=1)
    return new, mass / mean * pi * active / n_use, np.sqrt(total / d / n_use), n_use


@pytest.mark.parametrize("ncut", [0.0, 0.5, 1.0])
def test_one_binary_step_is_that_of_the_formulas(ncut, rng):
    h, d, k, gamma, n = 6, 8, 4, 2, 60
    W, pi, sigma = rng.standard_normal((h, d)), 0.4, 0.8
    S = rng.uniform(size=(n, h)) < pi
    Y = S @ W + sigma * rng.standard_normal((n, d))
    start = W + 0.3 * rng.standard_normal((h, d))
    model = LinearModel(h, k, gamma)
    params = {"W": start, "pi": pi, "sigma": sigma, "mean": np.zeros(d)}
    samples = Samples(Y)
    n_use = _expectation_truncation.weight_to_use(model, params, ncut, samples)
    statistics, _, n_used = e_step(model, params, Temper(1.5), n_use, samples)
    new = model.maximize(params, statistics)
    arguments = Y, start, pi, sigma, k, gamma, 1.5, ncut
    W_new, pi_new, sigma_new, used = naive_binary_step(*arguments, False)
    assert n_used == n_use == used
    assert_allclose(new["W"], W_new, rtol=1e-6, atol=1e-8)
    assert new["pi"] == pytest.approx(pi_new, rel=1e-10)
    assert new["sigma"] == pytest.approx(sigma_new, rel=1e-8)
    # With the components of before, noise is estimated larger.
    frozen = LinearModel(h, k, gamma, learn=("sigma",)).maximize(params, statistics)
    assert frozen["sigma"] == pytest.approx(naive_binary_step(*arguments, True)[2])
    assert frozen["sigma"] >= new["sigma"]
    assert_array_equal(frozen["W"], start)


@pytest.mark.parametrize("signed", [False, True])
def test_maximal_causes_are_weighted_by_who_makes_the_maximum(signed, rng):
    kind = "max_magnitude" if signed else "max"
    model, params, Y = oracles.make(kind, rng, h=4, d=5)
    temper = Temper(2.0)
    states, q, _ = oracles.brute_force(model, params, Y, temper)
    _, _, statistics = model.expect(model.prepare(params, temper), block_of(Y))
    W, X, rho = params["W"], Y - params["mean"], 2.0
    num, den = np.zeros(W.shape), np.zeros(W.shape)
    for s, probability in zip(states, q.T, strict=True):
        bar = np.abs(oracles.soft_maximum(W, s, 2.0, signed))
        for h in np.flatnonzero(s):
            a = np.ones(W.shape[1])
            if s.sum() > 1:
                a = np.minimum(1.0, np.abs(W[h]) / bar) ** (rho - 1)
            num[h] += a * (probability @ X)
            den[h] += a * probability.sum()
    assert_allclose(statistics["num"], num, atol=1e-9)
    assert_allclose(statistics["den"], den, atol=1e-9)


EXACT = [
    (BinarySparseCoding, {}),
    (BinarySparseCoding, {"fit_mean": True}),
    (TernarySparseCoding, {}),
    (DiscreteSparseCoding, {"values": (0, 1, 3)}),
    (SpikeSlabSparseCoding, {}),
    (SpikeSlabSparseCoding, {"noise": "diagonal", "fit_mean": True}),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("cls", "options"), EXACT, ids=lambda v: getattr(v, "__name__", str(v))
)
def test_the_likelihood_never_falls_when_all_states_are_kept(cls, options, rng):
    h = 4
    W = 3 * rng.standard_normal((h, 7))
    X = (rng.uniform(size=(150, h)) < 0.3) @ W + rng.standard_normal((150, 7))
    model = cls(
        h,
        n_candidates=h,
        max_active=h,
        annealing=None,
        max_iter=60,
        tol=0.0,
        random_state=0,
        **options,
    ).fit(X)
    history = model.history_
    assert len(history) == model.n_iter_ + 1
    assert (np.diff(history) >= -1e-9 * np.abs(history[1:])).all()
    assert history[-1] > history[0]
    assert model.certificate_.details["exact"]
    # The last value is the likelihood of the parameters that are returned.
    assert model.score(X) == pytest.approx(history[-1], rel=1e-9)


# The cut of samples


def test_the_cut_keeps_the_lower_index_among_equals():
    log_z = np.array([3.0, 1.0, 2.0, 2.0, 2.0, 5.0])
    for n_use, expected in [(3, [1, 0, 1, 0, 0, 1]), (4, [1, 0, 1, 1, 0, 1])]:
        assert_array_equal(kept_weights(log_z, np.ones(6), n_use), expected)
    weights = np.array([2.0, 1.0, 3.0, 1.0, 1.0, 1.0])
    assert_allclose(kept_weights(log_z, weights, 5.0), [2, 0, 2, 0, 0, 1])
    assert_allclose(kept_weights(log_z, np.ones(6), 6), np.ones(6))


@pytest.mark.parametrize("n_use", [3, 30, 57, 60])
def test_cut_statistics_are_those_of_the_samples_that_stay(n_use, rng):
    for kind in oracles.KINDS:
        model, params, Y = oracles.make(kind, rng, h=5, k=4, gamma=2, n=60)
        statistics, mean, n_used = e_step(model, params, Temper(), n_use, Samples(Y))
        step = model.prepare(params, Temper())
        log_z = model.expect(step, block_of(Y))[0]
        best = np.sort(np.argsort(-log_z, kind="stable")[:n_use])
        _, _, expected = model.expect(step, block_of(Y[best]))
        assert n_used == n_use
        assert mean == pytest.approx(log_z[best].mean())
        for name, value in expected.items():
            assert_allclose(
                statistics[name], value, rtol=1e-9, atol=1e-9, err_msg=(kind, name)
            )


def test_blocks_do_not_change_sums(rng, monkeypatch):
    monkeypatch.setattr(_expectation_truncation, "_SMALLEST_BLOCK", 16)
    for kind in oracles.KINDS:
        model, params, Y = oracles.make(kind, rng, h=5, k=4, gamma=2, n=600)
        for X in (Y, sparse.csr_array(Y)):
            samples = Samples(X)
            assert len(samples.blocks) > 1
            statistics, _, _ = e_step(model, params, Temper(), 500, samples)
            step = model.prepare(params, Temper())
            log_z = model.expect(step, block_of(Y))[0]
            best = np.sort(np.argsort(-log_z, kind="stable")[:500])
            _, _, expected = model.expect(step, block_of(Y[best]))
            for name, value in expected.items():
                assert_allclose(
                    statistics[name], value, rtol=1e-9, atol=1e-9, err_msg=name
                )


def test_prior_mass_is_the_chance_of_few_causes(rng):
    h, gamma = 6, 2
    model, params, _ = oracles.make("slab", rng, h=h, gamma=gamma)
    levels = oracles.all_levels(model)
    chances = np.where(levels > 0, params["pi"], 1 - params["pi"]).prod(axis=1)
    few = chances[levels.sum(axis=1) <= gamma].sum()
    assert model.prior_mass(params) == pytest.approx(few, rel=1e-12)
    equal = params | {"pi": np.full(h, 0.3)}
    binary = LinearModel(h, h, gamma)
    assert model.prior_mass(equal) == pytest.approx(binary.prior_mass({"pi": 0.3}))


@pytest.mark.parametrize(("k", "gamma", "n_values"), [(5, 3, 1), (4, 4, 2), (3, 1, 4)])
def test_the_tree_lists_every_state_once_with_its_parent(k, gamma, n_values):
    tree = state_tree(k, gamma, n_values)
    n = sum(comb(k, g) * n_values**g for g in range(gamma + 1))
    assert len(tree.sizes) == n
    assert count_states(9, k, gamma, n_values) == n - k * n_values + 9 * n_values
    seen = set()
    for s in range(n):
        g = tree.sizes[s]
        members, levels = tree.members[s, :g], tree.levels[s, :g]
        assert (np.diff(members) > 0).all()
        seen.add((tuple(members), tuple(levels)))
        if s:
            parent = tree.parents[s]
            assert parent < s
            assert tree.sizes[parent] == g - 1
            assert_array_equal(tree.members[parent, : g - 1], members[:-1])
            assert_array_equal(tree.levels[parent, : g - 1], levels[:-1])
    assert len(seen) == n


def test_full_slab_covariance_is_recovered(rng):
    h, n = 2, 3000
    cov = np.array([[1.0, 0.7], [0.7, 1.0]])
    z = rng.multivariate_normal([2.0, 2.0], cov, n)
    active = rng.uniform(size=(n, h)) < 0.8
    W = np.linalg.qr(rng.standard_normal((6, h)))[0].T
    Y = (active * z) @ W + 0.1 * rng.standard_normal((n, 6))
    model = SlabModel(h, h, h, full=True, learn=("slab",))
    params = {
        "W": W,
        "pi": np.full(h, 0.8),
        "sigma": 0.1,
        "mean": np.zeros(6),
        "slab_mean": np.ones(h),
        "slab_cov": np.eye(h),
    }
    samples = Samples(Y)
    for _ in range(30):
        params = model.maximize(params, e_step(model, params, Temper(), n, samples)[0])
    assert_allclose(params["slab_cov"], cov, atol=0.12)
    assert_allclose(params["slab_mean"], 2.0, atol=0.1)
