r"""Best actions of sparse linear bandits whose model is slightly wrong.

.. math:: r(a) = \phi(a)^\top \theta^* + \nu(a), \qquad |\nu(a)| \le \epsilon,
   \qquad \|\theta^*\|_0 \le s .
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
import warnings
from numbers import Integral, Real

import numpy as np
from scipy.special import comb
from sklearn.utils import Bunch, check_array, check_random_state

from sparsestat._utils.compat import Interval, StrOptions, validate_params
from sparsestat._utils.results import users_stacklevel
from sparsestat.linear_model._bandits._net import Net, subset_chunks

__all__ = ["sparse_misspecified_bandit"]

_CHUNK_ENTRIES = 1 << 21
_POOL = 20_000  # actions that the exploration set is chosen from
_EXPLORATION = 4.0  # actions explored, times s log(2 d)


@validate_params(
    {
        "features": ["array-like"],
        "query": [callable],
        "sparsity": [Interval(Integral, 1, None, closed="left")],
        "misspecification": [Interval(Real, 0, None, closed="neither")],
        "method": [StrOptions({"elimination", "net", "regression"})],
        "noise": [Interval(Real, 0, None, closed="left")],
        "delta": [Interval(Real, 0, 1, closed="neither")],
        "theta_norm": [StrOptions({"sphere", "ball"})],
        "max_candidates": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def sparse_misspecified_bandit(
    features,
    query,
    sparsity,
    misspecification,
    *,
    method="elimination",
    noise=0.0,
    delta=0.05,
    theta_norm="sphere",
    max_candidates=10**7,
    random_state=None,
):
    r"""Find a nearly best action when rewards are linear up to a bounded error.

    The reward of action a is :math:`\phi(a)^\top \theta^* + \nu(a)` with feature
    vectors of norm at most 1, an unknown :math:`\theta^*` of norm 1 with at most s
    nonzero entries, and an error :math:`|\nu(a)| \le \epsilon` that may be chosen by
    an adversary. Without sparsity, an action within a constant times
    :math:`\epsilon` of the best cannot be found with few queries; with it, a finite net
    of candidates for :math:`\theta^*` suffices, of size
    :math:`\binom{d}{s} O(1/\epsilon)^s`.

    Use it when s is 1 to 3 and queries are expensive compared with arithmetic. Larger s
    makes the net too big, unavoidably for this accuracy; ``method="regression"`` then
    finds an action with few queries, but proves nothing. Read more in the
    :ref:`User Guide <misspecified_bandits>`.

    Parameters
    ----------
    features : array-like of shape (n_actions, n_features)
        Feature vector of each action; norms at most 1.
    query : callable
        Maps the index of an action to a reward. It may be called several times for one
        action when `noise` is positive.
    sparsity : int
        Largest number s of nonzero entries of :math:`\theta^*`.
    misspecification : float
        The bound :math:`\epsilon` of the error of the linear model; positive.
    method : {"elimination", "net", "regression"}, default="elimination"
        ``"elimination"``: query the action of the most optimistic candidate that agrees
        with everything seen, until its promise is kept. ``"net"``: query the best
        action of every candidate. ``"regression"``: query a spread-out set of actions,
        fit s features by orthogonal matching pursuit, and query the best action of the
        fit.
    noise : float, default=0.0
        Scale of sub-Gaussian noise in the rewards. Queries are repeated until their
        mean is within :math:`\epsilon`, with probability 1 - `delta` for all at once.
    delta : float, default=0.05
        Probability of failure when there is noise.
    theta_norm : {"sphere", "ball"}, default="sphere"
        Whether the norm of :math:`\theta^*` is 1 or at most 1.
    max_candidates : int, default=10**7
        Largest net that is gone through. About 13 bytes each are kept, and never a
        table of candidates by actions.
    random_state : int, RandomState instance or None, default=None
        For ``method="regression"`` with more than 20,000 actions: the exploration set
        is chosen from that many of them.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch`
        With the entries

        - ``action`` : int, index of the action;
        - ``value`` : float, its observed (mean) reward;
        - ``gap_bound`` : float, the proved bound of the distance to the best reward;
          infinite for ``method="regression"`` or if no candidate agrees with the
          rewards;
        - ``theta`` : ndarray of shape (n_features,), the candidate or the fit;
        - ``n_queries`` : int, calls of `query`;
        - ``n_candidates`` : int, size of the net; 0 for ``method="regression"``;
        - ``history`` : list of dict with ``action``, ``value`` and ``n_left``, the
          candidates that agree with all rewards so far (None where not counted).

    Raises
    ------
    ValueError
        If `sparsity` is above the number of features, a feature vector is longer than
        1, a reward is not finite, or the net has more than `max_candidates` points; the
        message names their number.

    Warns
    -----
    UserWarning
        If no candidate agrees with the rewards: the model does not hold as stated.

    See Also
    --------
    BestSubsetRegressor : Sparse regression on rewards that were already collected.

    Notes
    -----
    Without noise both nets guarantee a reward within :math:`4\epsilon` of the best,
    with noise :math:`6\epsilon`. In elimination a query that is not the last removes at
    least one candidate, and usually most of them. The first pass over the net costs
    O(n_actions * n_candidates * s) operations, and each query O(n_candidates * s).

    References
    ----------
    .. [1] J. Dong, L. Yang, "Does sparsity help in learning misspecified linear
       bandits?", ICML, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import sparse_misspecified_bandit
    >>> rng = np.random.default_rng(0)
    >>> features = rng.standard_normal((2000, 8))
    >>> features /= np.linalg.norm(features, axis=1, keepdims=True)
    >>> rewards = features[:, [1, 4]] @ [0.6, -0.8] + rng.uniform(-0.1, 0.1, 2000)
    >>> result = sparse_misspecified_bandit(features, rewards.item, 2, 0.1)
    >>> result.n_candidates, result.n_queries < 20
    (3136, True)
    >>> bool(rewards[result.action] >= rewards.max() - result.gap_bound)
    True
    """
    features = check_array(features, dtype=np.float64, input_name="features")
    d = features.shape[1]
    if sparsity > d:
        raise ValueError(
            f"`sparsity` is {sparsity}, but there are only {d} features. Pass at most "
            "that many."
        )
    longest = float(np.sqrt(np.einsum("ij,ij->i", features, features).max()))
    if longest > 1 + 1e-9:
        raise ValueError(
            f"The longest feature vector has norm {longest:.6g}, but the guarantee is "
            "for norms of at most 1. Divide `features` by it, which also divides "
            "rewards and `misspecification`."
        )
    bandit = _Queries(query, noise, delta, misspecification)
    if method == "regression":
        return _regression(features, bandit, sparsity, check_random_state(random_state))
    candidates = _Candidates(
        features, sparsity, misspecification, theta_norm, max_candidates
    )
    bandit.plan(candidates.n)
    search = _elimination if method == "elimination" else _query_all
    return search(candidates, bandit, misspecification)


class _Queries:
    """The rewards seen so far; repeats queries where there is noise."""

    def __init__(self, query, noise, delta, accuracy):
        self.query, self.noise = query, float(noise)
        self.delta, self.accuracy = float(delta), float(accuracy)
        self.n_repeats, self.n_calls = 1, 0
        self.values, self.history = {}, []

    def plan(self, n_actions):
        """Repeat so often that the means of n_actions actions are all accurate."""
        if self.noise > 0:
            level = 2 * self.noise**2 * math.log(2 * n_actions / self.delta)
            self.n_repeats = math.ceil(level / self.accuracy**2)

    def ask(self, action):
        """Return the (mean) reward of an action; known ones are not asked again."""
        if action not in self.values:
            total = 0.0
            for _ in range(self.n_repeats):
                reward = float(self.query(action))
                if not math.isfinite(reward):
                    raise ValueError(
                        f"`query` returned {reward} for action {action}. Rewards must "
                        "be finite numbers."
                    )
                total += reward
            self.n_calls += self.n_repeats
            self.values[action] = total / self.n_repeats
            self.history.append(
                {"action": action, "value": self.values[action], "n_left": None}
            )
        return self.values[action]

    def best(self):
        """Return the action of the largest reward seen."""
        return max(self.values, key=self.values.get)

    def result(self, action, theta, gap_bound, n_candidates):
        return Bunch(
            action=action,
            value=self.values[action],
            gap_bound=gap_bound,
            theta=theta,
            n_queries=self.n_calls,
            n_candidates=n_candidates,
            history=self.history,
        )


class _Candidates:
    """All sparse vectors of the net, enumerated anew whenever they are needed.

    Kept of each: its best action, what it promises there, and whether it is alive.
    """

    def __init__(self, features, sparsity, misspecification, theta_norm, limit):
        self.features, self.sparsity = features, int(sparsity)
        d = features.shape[1]
        net = Net(sparsity, min(float(misspecification), 1.0), theta_norm)
        count = comb(d, sparsity) * net.count()
        if count > limit:
            shown = f"{count:,.0f}" if count < 1e15 else f"about {count:.1e}"
            raise ValueError(
                f"The net has {shown} candidates, more than max_candidates={limit:,}. "
                "Lower `sparsity`, raise `misspecification`, leave out features, raise "
                "max_candidates, or use method='regression'."
            )
        self.net = net.points()
        self.n = comb(d, sparsity, exact=True) * len(self.net)
        self.promise = np.empty(self.n)
        self.action = np.empty(self.n, dtype=np.int32)
        self.alive = np.ones(self.n, dtype=bool)
        step = max(1, _CHUNK_ENTRIES // len(features))
        start = 0
        for subsets in subset_chunks(d, self.sparsity, 1024):
            for subset in subsets:
                columns = np.ascontiguousarray(features[:, subset].T)
                for first in range(0, len(self.net), step):
                    scores = self.net[first : first + step] @ columns
                    best = scores.argmax(axis=1)
                    stop = start + len(best)
                    self.action[start:stop] = best
                    self.promise[start:stop] = scores[np.arange(len(best)), best]
                    start = stop

    def theta(self, index):
        """Return a candidate as a vector of all features."""
        which, point = divmod(int(index), len(self.net))
        coef = np.zeros(self.features.shape[1])
        coef[_subset_at(which, len(coef), self.sparsity)] = self.net[point]
        return coef

    def keep_consistent(self, action, value, width):
        """Drop the candidates that predict the reward of an action wrongly."""
        phi = self.features[action]
        size = max(1, _CHUNK_ENTRIES // len(self.net))
        start = 0
        for subsets in subset_chunks(len(phi), self.sparsity, size):
            predicted = (phi[subsets] @ self.net.T).ravel()
            stop = start + len(predicted)
            self.alive[start:stop] &= np.abs(predicted - value) <= width
            start = stop


def _subset_at(rank, n, k):
    """Return the subset of k of n features at a place of the lexicographic order."""
    chosen = []
    feature = 0
    while len(chosen) < k:
        after = math.comb(n - feature - 1, k - len(chosen) - 1)
        if rank < after:
            chosen.append(feature)
        else:
            rank -= after
        feature += 1
    return chosen


def _guarantee(bandit, misspecification):
    """Return the proved gap: observed means are an accuracy off when there is noise."""
    return (6.0 if bandit.noise > 0 else 4.0) * misspecification


def _elimination(candidates, bandit, misspecification):
    # The neighbor of theta* in the net is never dropped: it is wrong by at most
    # epsilon (the net) + epsilon (the model) + epsilon (noise).
    width = (3.0 if bandit.noise > 0 else 2.0) * misspecification
    width *= 1 + 1e-12
    while candidates.alive.any():
        index = int(np.where(candidates.alive, candidates.promise, -np.inf).argmax())
        action = int(candidates.action[index])
        seen = action in bandit.values
        value = bandit.ask(action)
        if not seen:
            candidates.keep_consistent(action, value, width)
            bandit.history[-1]["n_left"] = int(np.count_nonzero(candidates.alive))
        if candidates.alive[index]:
            # It promised at least the best reward less 2 epsilon, and kept its promise.
            gap = _guarantee(bandit, misspecification)
            return bandit.result(action, candidates.theta(index), gap, candidates.n)
    warnings.warn(
        f"No {candidates.sparsity}-sparse candidate agrees with the rewards of "
        f"{len(bandit.values)} actions to within {width:.3g}: `misspecification` or "
        "`sparsity` is too small, or the norm of theta is not as stated. The best "
        "action seen is returned, without a guarantee.",
        UserWarning,
        stacklevel=users_stacklevel(),
    )
    action = bandit.best()
    index = int(np.abs(candidates.promise - bandit.values[action]).argmin())
    return bandit.result(action, candidates.theta(index), math.inf, candidates.n)


def _query_all(candidates, bandit, misspecification):
    actions, first = np.unique(candidates.action, return_index=True)
    for action in actions:
        bandit.ask(int(action))
    action = bandit.best()
    theta = candidates.theta(first[np.searchsorted(actions, action)])
    gap = _guarantee(bandit, misspecification)
    return bandit.result(action, theta, gap, candidates.n)


def _regression(features, bandit, sparsity, random_state):
    n_actions, d = features.shape
    pool = np.arange(n_actions)
    if n_actions > _POOL:
        pool = np.sort(random_state.choice(n_actions, _POOL, replace=False))
    wanted = math.ceil(_EXPLORATION * sparsity * math.log(2 * d))
    explored = pool[_spread_out(features[pool], min(max(wanted, 2 * sparsity), d * 4))]
    bandit.plan(len(explored) + 1)
    rewards = np.array([bandit.ask(int(action)) for action in explored])
    theta = _matching_pursuit(features[explored], rewards, sparsity)
    bandit.ask(int((features @ theta).argmax()))
    return bandit.result(bandit.best(), theta, math.inf, 0)


def _spread_out(features, size):
    """Choose rows greedily by the determinant of their regularized second moments."""
    size = min(size, len(features))
    leverage = np.einsum("ij,ij->i", features, features) / 1e-2
    inverse = np.eye(features.shape[1]) / 1e-2
    chosen = []
    for _ in range(size):
        row = int(leverage.argmax())
        chosen.append(row)
        moved = inverse @ features[row]
        scale = 1.0 + max(float(features[row] @ moved), 0.0)
        leverage -= (features @ moved) ** 2 / scale
        leverage[chosen] = -np.inf
        inverse -= np.outer(moved, moved) / scale
    return np.array(chosen)


def _matching_pursuit(A, b, sparsity):
    """Return the coefficients of orthogonal matching pursuit."""
    norms = np.sqrt(np.einsum("ij,ij->j", A, A))
    norms[norms == 0] = np.inf
    support, residual = [], b
    coef = np.zeros(A.shape[1])
    for _ in range(min(sparsity, len(A))):
        scores = np.abs(A.T @ residual) / norms
        scores[support] = -1.0
        support.append(int(scores.argmax()))
        solution = np.linalg.lstsq(A[:, support], b, rcond=None)[0]
        residual = b - A[:, support] @ solution
    coef[support] = solution
    return coef
