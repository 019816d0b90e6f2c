"""Consensus: the central fit, the direct minimum, and messages that are counted."""

import warnings
from itertools import product

import joblib
import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor

from sparsestat.gaussian_process import (
    DistributedGridSpectralMixtureRegressor,
    GridSpectralMixtureRegressor,
)
from sparsestat.gaussian_process._spectral._consensus import (
    Agent,
    agree,
    message_bits,
    nearest_root,
    quantize,
)
from sparsestat.gaussian_process._spectral._solvers import Problem, solve
from tests.gaussian_process.spectral_oracles import two_tones


class Total(Problem):
    """The sum of the objectives of some agents."""

    def __init__(self, agents):
        first = agents[0].problem
        super().__init__(first.engine, noise_floor=first.noise_floor, noise=first.noise)
        self.agents = agents

    def value(self, z):
        return sum(agent.value(z) for agent in self.agents)

    def evaluate(self, z, subset=None):
        parts = [agent.problem.evaluate(z, subset) for agent in self.agents]
        return tuple(sum(values) for values in zip(*parts, strict=True))


def direct_minimum(monkeypatch, model, X, y):
    """Fit, and minimize the sum of the objectives of the same agents directly."""
    caught = []
    respond = Agent.respond

    def spy(self, *arguments):
        if self not in caught:
            caught.append(self)
        return respond(self, *arguments)

    monkeypatch.setattr(Agent, "respond", spy)
    model.fit(X, y)
    total = Total(caught)
    start = np.append(np.full(total.n, np.var(y) / total.n), 0.1 * np.var(y))
    return solve(total, start, solver="newton", tol=1e-3, max_iter=2000)


@pytest.mark.parametrize("n_agents", [2, 4])
@pytest.mark.parametrize("partition", ["contiguous", "random"])
def test_agents_reach_the_direct_minimum(monkeypatch, n_agents, partition):
    X, y = two_tones(80, noise=0.2)
    model = DistributedGridSpectralMixtureRegressor(
        20, n_agents=n_agents, partition=partition, random_state=0
    )
    with warnings.catch_warnings():
        # Four agents with twenty neighbors each stay apart for longer.
        warnings.simplefilter("ignore", ConvergenceWarning)
        best = direct_minimum(monkeypatch, model, X, y)
    assert model.objective_ <= best.value + 5e-3 * abs(best.value)
    if partition == "random" or n_agents == 2:
        assert model.certificate_.satisfied
    assert model.agent_weights_.shape == (n_agents, 20)


def test_one_agent_is_the_central_fit():
    X, y = two_tones(60, noise=0.2)
    # Agents keep the widest components; ends of the series are not held out.
    central = GridSpectralMixtureRegressor(20, sigma=1 / np.ptp(X), noise="ml")
    central.fit(X, y)
    model = DistributedGridSpectralMixtureRegressor(20, n_agents=1, tol=1e-5)
    model.fit(X, y)
    gap = central.log_marginal_likelihood_value_ - model.log_marginal_likelihood_value_
    assert gap <= 5e-3 * abs(central.history_[-1])
    np.testing.assert_allclose(model.predict(X), central.predict(X), atol=0.05)


def test_rounding_costs_little_and_saves_bits(monkeypatch):
    X, y = two_tones(80, noise=0.2)
    exact = DistributedGridSpectralMixtureRegressor(20, n_agents=2).fit(X, y)
    rounded = DistributedGridSpectralMixtureRegressor(
        20, n_agents=2, quantization=0.05, max_rounds=60, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        best = direct_minimum(monkeypatch, rounded, X, y)
    assert rounded.objective_ <= best.value + 0.02 * abs(best.value)
    per_round = rounded.communication_bits_ / rounded.n_iter_
    assert per_round < 0.6 * exact.communication_bits_ / exact.n_iter_
    assert (np.diff(rounded.bits_history_) > 0).all()
    assert rounded.bits_history_[-1] == rounded.communication_bits_


def test_only_weights_leave_an_agent(monkeypatch):
    X, y = two_tones(80)
    returned = []
    for name in ("respond", "slopes", "value"):
        plain = getattr(Agent, name)

        def spy(self, *arguments, plain=plain):
            answer = plain(self, *arguments)
            returned.append(answer)
            return answer

        monkeypatch.setattr(Agent, name, spy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        DistributedGridSpectralMixtureRegressor(6, n_agents=2, max_rounds=3).fit(X, y)
    sizes = {np.size(part) for part in returned}
    assert sizes <= {1, 7, 14}  # objectives, weights with noise, slopes


def test_workers_and_backends_do_not_change_the_answer():
    X, y = two_tones(60)
    options = {"n_agents": 3, "max_rounds": 4, "quantization": 0.1, "random_state": 0}
    fits = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for n_jobs in (None, 2):
            model = DistributedGridSpectralMixtureRegressor(8, n_jobs=n_jobs, **options)
            fits.append(model.fit(X, y))
        with joblib.parallel_config("loky", n_jobs=2):
            model = DistributedGridSpectralMixtureRegressor(8, **options)
            fits.append(model.fit(X, y))
    for model in fits[1:]:
        np.testing.assert_array_equal(model.weights_, fits[0].weights_)
        assert model.communication_bits_ == fits[0].communication_bits_


def test_quantizer_is_unbiased_and_close():
    x = np.array([0.0, 0.31, 1.07, 2.5])
    rng = np.random.RandomState(0)
    draws = quantize(np.tile(x, (100_000, 1)), 0.5, rng)
    assert np.abs(draws - x).max() < 0.5
    error = np.abs(draws.mean(axis=0) - x)
    assert (error <= 4 * 0.25 / np.sqrt(1e5)).all()
    np.testing.assert_array_equal(quantize(x, 0.0, rng), x)
    assert message_bits(x, 0.0) == 64 * 4
    assert message_bits(x, 0.5) == 3 * 4 + 128


def test_the_step_of_an_agent_is_the_root_of_its_cubic():
    rng = np.random.default_rng(0)
    fit = rng.random(200) * 10.0 ** rng.integers(-12, 6, 200)
    fit[::9] = 0.0
    slope, target = rng.standard_normal(200) * 10, rng.random(200)
    rho = 10.0 ** rng.uniform(-3, 3, 200)
    found = nearest_root(fit, slope, rho, target)

    def derivative(w, k):
        return rho[k] * (w - target[k]) + slope[k] - fit[k] / w**2

    for k in range(200):
        if fit[k] == 0:
            assert found[k] == max(target[k] - slope[k] / rho[k], 0.0)
        else:
            high = max(target[k] - slope[k] / rho[k], 0) + np.cbrt(fit[k] / rho[k])
            root = brentq(derivative, 1e-12, high * (1 + 1e-9), args=(k,), rtol=1e-14)
            assert found[k] == pytest.approx(root, rel=1e-9)


@pytest.mark.parametrize("mode", ["poe", "rbcm"])
def test_joined_predictions(mode):
    X, y = two_tones(120, noise=0.1)
    options = {"n_agents": 3, "noise": 0.01, "random_state": 0}
    model = DistributedGridSpectralMixtureRegressor(30, predict_mode=mode, **options)
    model.fit(X, y)
    mean, std = model.predict(X, return_std=True)
    assert np.corrcoef(mean, y)[0, 1] > 0.95 and (std > 0).all()
    np.testing.assert_array_equal(model.predict(X), mean)
    far = model.predict(X[-1:] + 1e5, return_std=True)[1]
    prior = model.weights_.sum() / (3 if mode == "poe" else 1)
    np.testing.assert_allclose(far**2, prior + model.noise_variance_, rtol=1e-6)
    with pytest.raises(ValueError, match="predict_mode='full'"):
        model.predict(X, return_cov=True)
    with pytest.raises(RuntimeError, match="At most one"):
        model.predict(X, return_std=True, return_cov=True)


@pytest.mark.parametrize("mode", ["poe", "rbcm"])
def test_joined_predictions_are_those_of_dense_posteriors(mode):
    rng = np.random.default_rng(0)
    X, owner = rng.uniform(0, 9, (24, 1)), np.arange(24) % 2
    y = np.sin(X[:, 0]) + np.cos(2 * np.pi * X[:, 0]) + 0.1 * rng.standard_normal(24)
    model = DistributedGridSpectralMixtureRegressor(
        2, grid=np.array([[1 / (2 * np.pi)], [1.0]]), sigma=0.02, detrend=None,
        partition=owner, predict_mode=mode, noise=0.01, random_state=0,
    ).fit(X, y)  # fmt: skip
    assert (model.weights_ > 0.1).all()
    new = rng.uniform(0, 12, (7, 1))
    prior, means, variances = model.weights_.sum(), [], []
    for agent in range(2):
        rows = owner == agent
        K = model.kernel_(X[rows])
        across = model.kernel_(new, X[rows])
        means.append(across @ np.linalg.solve(K, y[rows]))
        variances.append(prior - np.sum(across * np.linalg.solve(K, across.T).T, 1))
    means, variances = np.array(means), np.array(variances)
    shares = np.ones((2, 7)) if mode == "poe" else 0.5 * np.log(prior / variances)
    precision = (shares / variances).sum(axis=0)
    if mode == "rbcm":
        precision += (1.0 - shares.sum(axis=0)) / prior
    mean, std = model.predict(new, return_std=True)
    expected = (shares / variances * means).sum(axis=0) / precision
    np.testing.assert_allclose(mean, expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(std**2, 1.0 / precision + 0.01, rtol=1e-6)


def test_given_partition_and_bad_input():
    X, y = two_tones(30)
    owner = np.arange(30) % 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = DistributedGridSpectralMixtureRegressor(
            6, partition=owner, max_rounds=2
        ).fit(X, y, sample_weight=np.r_[0.0, np.ones(29)])
    assert model.agent_weights_.shape == (3, 6)
    for options, message in [
        ({"n_agents": 31}, "n_agents=31 is more"),
        ({"quantization": -0.1}, "quantization"),
        ({"partition": np.zeros(3, dtype=int)}, "for each of the 30 rows"),
        ({"partition": np.linspace(0, 1, 30)}, "integer"),
    ]:
        with pytest.raises(ValueError, match=message):
            DistributedGridSpectralMixtureRegressor(6, **options).fit(X, y)
    with pytest.warns(UserWarning, match="y is constant"):
        model = DistributedGridSpectralMixtureRegressor(6).fit(X, np.ones(30))
    np.testing.assert_allclose(model.predict(X), 1.0, rtol=1e-14)


def test_agents_that_do_not_agree_warn():
    X, y = two_tones(60)
    with pytest.warns(ConvergenceWarning, match="max_rounds"):
        model = DistributedGridSpectralMixtureRegressor(20, max_rounds=2).fit(X, y)
    assert not model.certificate_.satisfied


@pytest.mark.parametrize("detrend", [None, "mean", "linear"])
def test_the_trend_is_that_of_least_squares(detrend):
    X, y = two_tones(60)
    y = y + 0.2 * X[:, 0] - 3.0
    columns = {None: 0, "mean": 1, "linear": 2}[detrend]
    A = np.column_stack([np.ones(60), X])[:, :columns]
    expected = np.linalg.lstsq(A, y, rcond=None)[0]
    for model in (
        GridSpectralMixtureRegressor(20, detrend=detrend),
        DistributedGridSpectralMixtureRegressor(
            20, n_agents=2, detrend=detrend, max_rounds=3
        ),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        assert model.trend_coef_.shape == (columns, 1)
        np.testing.assert_allclose(model.trend_coef_[:, 0], expected, atol=1e-9)
        # Far beyond the data only the trend is left.
        far = np.array([[1e7], [2e7]])
        trend = np.column_stack([np.ones(2), far])[:, :columns] @ expected
        np.testing.assert_allclose(model.predict(far), trend, rtol=1e-6, atol=1e-6)


def test_agents_with_equal_rows_agree_at_once():
    X, y = two_tones(40)
    holders = np.repeat([0, 1], 40)
    model = DistributedGridSpectralMixtureRegressor(
        12, partition=holders, prune_tol=0.0, max_rounds=4, tol=1e-12
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(np.vstack([X, X]), np.concatenate([y, y]))
    assert model.primal_residuals_.shape == model.dual_residuals_.shape == (4,)
    np.testing.assert_allclose(model.primal_residuals_, 0.0, atol=1e-12)
    assert (model.dual_residuals_ > 0).all()
    first, second = model.agent_weights_
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(model.weights_, first, rtol=1e-12)


def test_residuals_fall_below_what_the_tolerance_allows():
    X, y = two_tones(60)
    model = DistributedGridSpectralMixtureRegressor(12, n_agents=3, tol=1e-2)
    model.fit(X, y)
    primal, dual = model.primal_residuals_, model.dual_residuals_
    assert model.certificate_.satisfied and len(primal) == len(dual) == model.n_iter_
    assert primal[-1] < primal[0] and dual[-1] < dual[1]
    spread = np.abs(model.agent_weights_ - model.weights_).max()
    assert spread < 0.1 * model.weights_.max()
    harder = DistributedGridSpectralMixtureRegressor(12, n_agents=3, tol=1e-3)
    harder.fit(X, y)
    assert harder.certificate_.satisfied and harder.n_iter_ > model.n_iter_
    assert harder.primal_residuals_[-1] < 0.5 * primal[-1]


class Distant:
    """The part of an agent, least at 1.5, whose answers grow by one in each round."""

    learns_noise, noise = False, 0.1

    def __init__(self):
        self.problem, self.answer = self, 0.0

    def lower(self):
        return np.array([0.0, 0.1])

    def value(self, z):
        return abs(z[0] - 1.5)

    def evaluate(self, z):
        return self.value(z), np.ones(2), np.ones(2)

    def respond(self, *arguments):
        self.answer += 1.0
        return np.array([self.answer, 0.1])


@pytest.mark.parametrize(("rounds", "step"), [(1, 0.0), (7, 0.0), (30, 0.5)])
def test_the_residual_is_that_of_the_agreement_that_is_returned(
    monkeypatch, rounds, step
):
    monkeypatch.setattr(Agent, "respond", Distant.respond)
    found = agree(
        [Distant(), Distant()],
        np.array([1.0, 0.1]),
        step=step,
        max_rounds=rounds,
        tol=1e-3,
        rng=np.random.RandomState(0),
    )
    # All agents say k in round k, and so does the center, until it hardly weighs that.
    last, theta = found.n_rounds, found.theta[0]
    np.testing.assert_allclose(found.agents[:, 0], last)
    assert abs(theta - 1.5) <= 0.5
    away = np.sqrt(2.0) * (last - theta)
    allowed = max(1e-3 * (2.0 + np.sqrt(2.0) * np.hypot(last, 0.1)), step)
    expected = max(found.primal[-1], found.dual[-1], away) / allowed
    assert found.violation == pytest.approx(expected, rel=1e-9)
    assert (found.violation > 1.0) == (rounds > 1)


def test_bits_are_those_of_all_messages(monkeypatch):
    monkeypatch.setattr(Agent, "respond", Distant.respond)
    agents, rng = [Distant(), Distant(), Distant()], np.random.RandomState(0)
    found = agree(agents, np.array([1.0, 0.1]), max_rounds=3, tol=1e-9, rng=rng)
    answers = 3 * 2 * 64
    agreed = 3 * (2 * 64 + 128)  # and the two residuals
    units = 2 * 3 * 2 * 8  # there and back; afresh in each of the first rounds
    assert found.n_rounds == 3
    each = units + answers + agreed
    assert found.bits_path[:2] == [each, 2 * each]
    mean = 3 * (2 * 64 + 64)
    assert found.bits == found.bits_path[2] == 3 * each + mean


def test_experts_share_one_kernel_and_add_their_evidence():
    X, y = two_tones(60)
    holders = np.repeat([0, 1, 2], 20)
    model = DistributedGridSpectralMixtureRegressor(
        12, partition=holders, detrend=None, prune_tol=0.0, tol=1e-2
    ).fit(X, y)
    assert model.weights_[model.active_].all()
    assert np.count_nonzero(model.weights_) == len(model.active_)
    total = sum(
        GaussianProcessRegressor(model.kernel_, optimizer=None, alpha=0)
        .fit(X[holders == j], y[holders == j])
        .log_marginal_likelihood_value_
        for j in range(3)
    )
    np.testing.assert_allclose(model.log_marginal_likelihood_value_, total, rtol=1e-6)
    full = GaussianProcessRegressor(model.kernel_, optimizer=None, alpha=0).fit(X, y)
    np.testing.assert_array_equal(model.X_train_, X)
    np.testing.assert_allclose(model.alpha_[:, 0], full.alpha_, rtol=1e-5, atol=1e-6)
    # What it says of the spectrum is what its kernel says.
    at = np.linspace(0, 0.5, 50)
    smooth = model.kernel_.k1
    np.testing.assert_allclose(
        model.spectral_density(at), smooth.spectral_density(at), rtol=1e-9
    )
    before = model.predict(X[:5] + 0.3)
    model.prune()
    assert len(model.weights_) == len(model.frequencies_) == len(model.sigmas_)
    assert (model.weights_ > 0).all()
    np.testing.assert_allclose(model.predict(X[:5] + 0.3), before)


def test_small_weights_are_pruned():
    X, y = two_tones(60)
    options = {"n_agents": 2, "tol": 1e-2}
    kept = DistributedGridSpectralMixtureRegressor(20, prune_tol=0.0, **options)
    cut = DistributedGridSpectralMixtureRegressor(20, prune_tol=0.2, **options)
    before, after = kept.fit(X, y).weights_, cut.fit(X, y).weights_
    gone = (before > 0) & (after == 0)
    assert (before[gone] <= 0.2 * before.max()).all()
    assert len(cut.active_) <= len(kept.active_)
    np.testing.assert_allclose(after[after > 0], before[after > 0])


@pytest.mark.parametrize(
    "cls", [GridSpectralMixtureRegressor, DistributedGridSpectralMixtureRegressor]
)
def test_frequencies_and_widths_are_those_asked_for(cls):
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 5, (30, 2))
    y = np.sin(3 * X[:, 0]) + 0.1 * rng.standard_normal(30)
    short = {"max_iter": 2, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for grid, form in (
            ("sobol", "product"), ("random", "cosine"), ("tensor", "product"),
        ):  # fmt: skip
            model = cls(
                25, grid=grid, form=form, frequency_range=(0.1, 0.8), sigma=0.05,
                **short,
            ).fit(X, y)  # fmt: skip
            f = model.frequencies_
            assert f.shape == (25, 2) and f.dtype == float
            assert (np.abs(f) <= 0.8 + 1e-12).all()
            np.testing.assert_allclose(model.sigmas_, 0.05)
            if grid == "tensor":
                axis = np.unique(f[:, 0].round(12))
                assert len(axis) == 5
                pairs = {*map(tuple, f.round(12))}
                assert pairs == set(product(axis, axis))
        own = rng.uniform(0.1, 0.5, (6, 2))
        model = cls(6, grid=own, sigma=0.1, **short).fit(X, y)
        np.testing.assert_allclose(model.frequencies_, own)
