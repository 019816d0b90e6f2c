"""Misspecified sparse bandits: nets, guarantees and refusals."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
from itertools import combinations, product

import numpy as np
import pytest

from sparsestat.linear_model import sparse_misspecified_bandit
from sparsestat.linear_model._bandits import _bandit as module
from sparsestat.linear_model._bandits._net import Net, subset_chunks


def make_bandit(d, s, eps, n_actions, rng, *, adversarial=True, norm=1.0):
    """Return features, rewards and theta; errors are turned against the optimum."""
    features = rng.standard_normal((n_actions, d))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    theta = np.zeros(d)
    values = rng.standard_normal(s)
    theta[rng.choice(d, s, replace=False)] = norm * values / np.linalg.norm(values)
    linear = features @ theta
    if not adversarial:
        return features, linear + rng.uniform(-eps, eps, n_actions), theta
    # Good actions look worse than they are, bad ones better.
    good = linear > np.quantile(linear, 0.9)
    return features, linear + np.where(good, -eps, eps), theta


class Counter:
    def __init__(self, rewards, noise=0.0, seed=0):
        self.rewards, self.noise, self.n = rewards, noise, 0
        self.rng = np.random.default_rng(seed)

    def __call__(self, action):
        self.n += 1
        return self.rewards[action] + self.noise * self.rng.standard_normal()


# Nets


@pytest.mark.parametrize("norm", ["sphere", "ball"])
@pytest.mark.parametrize(("s", "eps"), [(1, 0.3), (2, 0.1), (3, 0.2), (4, 0.5), (2, 1)])
def test_every_point_is_within_the_radius_of_the_net(s, eps, norm):
    rng = np.random.default_rng(0)
    points = rng.standard_normal((10_000, s))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    if norm == "ball":
        points *= rng.random((10_000, 1)) ** (1 / s)
    net = Net(s, eps, norm).points()
    norms = np.linalg.norm(net, axis=1)
    assert norms.max() <= 1 + 1e-12
    if norm == "sphere":
        np.testing.assert_allclose(norms, 1.0)
    worst = 0.0
    for part in np.array_split(points, 20):
        squares = (part**2).sum(1)[:, None] - 2 * part @ net.T + norms**2
        worst = max(worst, math.sqrt(max(squares.min(axis=1).max(), 0.0)))
    assert worst <= eps + 1e-7


@pytest.mark.parametrize("norm", ["sphere", "ball"])
@pytest.mark.parametrize("s", [1, 2, 3, 4])
def test_nets_are_counted_before_they_are_made(s, norm):
    for eps in (0.17, 0.3, 0.5, 1.0):
        net = Net(s, eps, norm)
        points = net.points()
        assert net.count() == len(points)
        assert len(np.unique(np.round(points, 9), axis=0)) > 0.5 * len(points)


def test_the_grid_is_enumerated_completely():
    net = Net(3, 0.4, "sphere")
    reach = math.ceil(1.3 / net.step)
    grid = np.array(list(product(range(-reach, reach + 1), repeat=3))) * net.step
    inside = np.abs(np.linalg.norm(grid, axis=1) - 1) <= 0.2 + 1e-6
    assert len(net.points()) == inside.sum()


def test_vast_nets_are_counted_by_volume():
    small = Net(3, 0.02, "sphere").count()
    limit, module_net = 10, __import__(Net.__module__, fromlist=["x"])
    before = module_net._LONGEST_COUNT
    try:
        module_net._LONGEST_COUNT = limit
        assert Net(3, 0.02, "sphere").count() == pytest.approx(small, rel=0.01)
    finally:
        module_net._LONGEST_COUNT = before
    assert math.isfinite(Net(500, 1e-9, "sphere").count())


def test_subsets_come_in_order_and_are_found_by_rank():
    found = np.vstack(list(subset_chunks(7, 3, 4)))
    np.testing.assert_array_equal(found, list(combinations(range(7), 3)))
    for rank, subset in enumerate(found):
        assert module._subset_at(rank, 7, 3) == list(subset)


# Guarantees


@pytest.mark.parametrize("method", ["elimination", "net"])
def test_the_gap_is_at_most_four_epsilon_against_an_adversary(method):
    # 500 draws for elimination, fewer for the plain net.
    shapes = [(4, 1, 0.05), (5, 2, 0.2), (4, 2, 0.1), (4, 3, 0.35), (3, 3, 0.3)]
    for seed in range(500 if method == "elimination" else 100):
        rng = np.random.default_rng(seed)
        d, s, eps = shapes[seed % len(shapes)]
        features, rewards, _ = make_bandit(d, s, eps, 80, rng)
        query = Counter(rewards)
        result = sparse_misspecified_bandit(features, query, s, eps, method=method)
        assert result.gap_bound == 4 * eps
        assert rewards.max() - rewards[result.action] <= 4 * eps + 1e-9
        assert result.value == rewards[result.action]
        assert result.n_queries == query.n == len(result.history)
        assert len({step["action"] for step in result.history}) == query.n


def test_the_neighbor_of_the_truth_is_never_eliminated(monkeypatch):
    kept = []

    class Watched(module._Candidates):
        def keep_consistent(self, action, value, width):
            super().keep_consistent(action, value, width)
            kept.append(self)

    monkeypatch.setattr(module, "_Candidates", Watched)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        features, rewards, theta = make_bandit(5, 2, 0.15, 60, rng)
        sparse_misspecified_bandit(features, Counter(rewards), 2, 0.15)
        candidates = kept[-1]
        all_thetas = np.array([candidates.theta(k) for k in range(candidates.n)])
        near = np.linalg.norm(all_thetas - theta, axis=1) <= 0.15
        assert near.any() and candidates.alive[near].all()


def test_candidates_promise_what_their_vectors_give():
    rng = np.random.default_rng(0)
    features, _, _ = make_bandit(6, 2, 0.3, 50, rng)
    candidates = module._Candidates(features, 2, 0.3, "sphere", 10**6)
    thetas = np.array([candidates.theta(k) for k in range(candidates.n)])
    scores = thetas @ features.T
    np.testing.assert_allclose(candidates.promise, scores.max(axis=1))
    np.testing.assert_array_equal(candidates.action, scores.argmax(axis=1))
    candidates.keep_consistent(7, 0.1, 0.2)
    np.testing.assert_array_equal(candidates.alive, np.abs(scores[:, 7] - 0.1) <= 0.2)


def test_chunks_do_not_change_the_candidates(monkeypatch):
    rng = np.random.default_rng(0)
    features, rewards, _ = make_bandit(6, 2, 0.3, 50, rng)
    whole = sparse_misspecified_bandit(features, rewards.item, 2, 0.3)
    monkeypatch.setattr(module, "_CHUNK_ENTRIES", 100)
    chunked = sparse_misspecified_bandit(features, rewards.item, 2, 0.3)
    assert whole.action == chunked.action and whole.history == chunked.history
    np.testing.assert_array_equal(whole.theta, chunked.theta)


def test_a_correct_model_on_the_net_gives_the_best_action():
    rng = np.random.default_rng(0)
    features, _, _ = make_bandit(5, 2, 0.2, 300, rng)
    theta = np.zeros(5)
    theta[[1, 3]] = Net(2, 0.2, "sphere").points()[7]
    rewards = features @ theta
    result = sparse_misspecified_bandit(features, rewards.item, 2, 0.2, method="net")
    assert result.action == rewards.argmax()
    assert result.value == rewards.max()


def test_sparser_and_shorter_vectors_are_covered():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        features, rewards, _ = make_bandit(5, 1, 0.2, 60, rng)
        result = sparse_misspecified_bandit(features, rewards.item, 2, 0.2)
        assert rewards.max() - rewards[result.action] <= 0.8 + 1e-9
        features, rewards, _ = make_bandit(5, 2, 0.2, 60, rng, norm=rng.random())
        result = sparse_misspecified_bandit(
            features, rewards.item, 2, 0.2, theta_norm="ball"
        )
        assert math.isfinite(result.gap_bound)
        assert rewards.max() - rewards[result.action] <= 0.8 + 1e-9


@pytest.mark.parametrize("method", ["elimination", "net"])
def test_noise_is_averaged_out(method):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        features, rewards, _ = make_bandit(4, 2, 0.3, 60, rng)
        query = Counter(rewards, noise=0.5, seed=seed)
        result = sparse_misspecified_bandit(
            features, query, 2, 0.3, method=method, noise=0.5, delta=0.01
        )
        repeats = math.ceil(
            2 * 0.25 * math.log(2 * result.n_candidates / 0.01) / 0.3**2
        )
        assert result.n_queries == query.n == repeats * len(result.history)
        assert rewards.max() - rewards[result.action] <= 6 * 0.3
        assert result.gap_bound == pytest.approx(1.8)
        assert abs(result.value - rewards[result.action]) <= 0.3


@pytest.mark.parametrize(
    ("d", "s", "eps", "n_actions", "n_candidates"),
    [(8, 2, 0.1, 2000, 3136), (10, 2, 0.1, 5000, 5040)],
)
def test_elimination_needs_few_queries(d, s, eps, n_actions, n_candidates):
    rng = np.random.default_rng(0)
    features, rewards, _ = make_bandit(d, s, eps, n_actions, rng, adversarial=False)
    result = sparse_misspecified_bandit(features, rewards.item, s, eps)
    assert result.n_candidates == n_candidates
    assert result.n_queries <= 40
    left = [step["n_left"] for step in result.history]
    assert left == sorted(left, reverse=True)


def test_regression_finds_a_good_action_where_nets_are_too_large():
    gaps = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        features, rewards, _ = make_bandit(60, 5, 0.02, 3000, rng, adversarial=False)
        query = Counter(rewards)
        result = sparse_misspecified_bandit(
            features, query, 5, 0.02, method="regression"
        )
        assert result.n_queries == query.n < 150
        assert np.count_nonzero(result.theta) == 5
        assert result.gap_bound == math.inf and result.n_candidates == 0
        gaps.append(rewards.max() - rewards[result.action])
    assert np.median(gaps) <= 5 * 0.02


def test_regression_with_many_actions_is_reproducible():
    rng = np.random.default_rng(0)
    features, rewards, _ = make_bandit(6, 2, 0.05, 30_000, rng, adversarial=False)
    runs = [
        sparse_misspecified_bandit(
            features, rewards.item, 2, 0.05, method="regression", random_state=1
        )
        for _ in range(2)
    ]
    assert runs[0].action == runs[1].action
    assert rewards.max() - runs[0].value < 0.2


# Refusals


def test_a_wrong_model_is_noticed():
    rng = np.random.default_rng(0)
    features, _, _ = make_bandit(5, 1, 0.05, 100, rng)
    rewards = 5.0 + features[:, 0]
    with pytest.warns(UserWarning, match="No 1-sparse candidate agrees"):
        result = sparse_misspecified_bandit(features, rewards.item, 1, 0.05)
    assert result.gap_bound == math.inf
    assert result.value == rewards[result.action]


def test_too_many_candidates_are_refused_with_their_number():
    features = np.eye(8)
    with pytest.raises(ValueError, match=r"The net has 3,136 candidates, more than"):
        sparse_misspecified_bandit(features, float, 2, 0.1, max_candidates=3135)
    with pytest.raises(ValueError, match=r"about \d\.\de\+\d+ candidates"):
        sparse_misspecified_bandit(features, float, 8, 1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sparsity": 4}, "`sparsity` is 4, but there are only 3 features"),
        ({"sparsity": 0}, "sparsity"),
        ({"misspecification": 0.0}, "misspecification"),
        ({"misspecification": -1.0}, "misspecification"),
        ({"features": 2 * np.eye(3)}, "longest feature vector has norm 2"),
        ({"query": lambda a: math.nan}, "returned nan for action"),
        ({"delta": 0.0}, "delta"),
        ({"method": "ucb"}, "method"),
        ({"features": np.full((2, 3), np.nan)}, "NaN"),
    ],
)
def test_bad_input_is_refused(change, message):
    given = {
        "features": np.eye(3),
        "query": lambda a: 0.5,
        "sparsity": 1,
        "misspecification": 0.2,
    }
    with pytest.raises(ValueError, match=message):
        sparse_misspecified_bandit(**{**given, **change})


def test_inputs_are_left_as_they_were():
    rng = np.random.default_rng(0)
    features, rewards, _ = make_bandit(4, 1, 0.2, 30, rng)
    before = features.copy()
    features.setflags(write=False)
    for method in ("elimination", "net", "regression"):
        sparse_misspecified_bandit(features, rewards.item, 1, 0.2, method=method)
        np.testing.assert_array_equal(features, before)
