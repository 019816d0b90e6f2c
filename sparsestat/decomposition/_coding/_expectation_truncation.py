"""Expectation truncation: annealed EM over a small set of states for each sample.

A model states its selection score, its log-joint and its sufficient statistics;
everything else is here: blocks of samples, temperatures, the cut of samples that the
truncated states cannot explain, and the loop. A model offers

- ``overshoots``: whether its M-step may lower the likelihood;
- ``start(summary, rng)``: first parameters, a dict;
- ``prepare(params, temper)``: what an E-step needs of the parameters, computed once;
- ``expect(step, block)``: log-evidences of samples, posterior means, and a dict of
  statistics that add up over samples and are linear in their weights;
- ``constant(params)``: what the log-likelihood has beside the log-evidences;
- ``prior_mass(params)``: probability of at most ``max_active`` causes;
- ``maximize(params, statistics)``: new parameters.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse

from sparsestat._utils.parallel import run_parallel
from sparsestat.exceptions import NumericalError

__all__ = [
    "Block",
    "Samples",
    "Temper",
    "Truncated",
    "add_statistics",
    "anneal",
    "check_schedule",
    "expectations",
    "run_em",
]

_KEYS = ("T", "ncut", "W_noise", "pi_noise", "sigma_noise")
_SMALLEST_BLOCK, _MOST_BLOCKS = 1024, 64
_SHORTEST = 1.0 / 16.0  # step of a model that overshoots


@dataclass(frozen=True)
class Temper:
    """Factors of the log-prior and the log-likelihood in the log-joint."""

    temperature: float = 1.0
    with_prior: bool = False

    @property
    def beta(self):
        return 1.0 / self.temperature

    @property
    def on_prior(self):
        return self.beta if self.with_prior else 1.0


@dataclass(frozen=True)
class Block:
    """A block of samples with the squares of their norms and their weights."""

    X: object
    norms: np.ndarray
    weights: np.ndarray

    def rows(self, chosen, weights):
        """Return some of the samples, with other weights."""
        return Block(self.X[chosen], self.norms[chosen], weights)


class Samples:
    """Data in blocks whose sizes depend on the number of samples alone.

    Statistics are added up block by block, so that results are equal to the last
    bit for every number of workers and every batch size.
    """

    def __init__(self, X, weights=None, *, batch_size=4096):
        self.n = X.shape[0]
        self.unweighted = weights is None
        self.weights = np.ones(self.n) if weights is None else weights
        share = -(-self.n // (_MOST_BLOCKS * 256)) * 256
        self.size = max(_SMALLEST_BLOCK, share)
        self.norms = _squared_norms(X)
        self.blocks = [
            Block(X[s : s + self.size], self.norms[s : s + self.size], w)
            for s in range(0, self.n, self.size)
            for w in [self.weights[s : s + self.size]]
        ]
        self.per_task = max(1, batch_size // self.size)

    @property
    def total(self):
        return self.n if self.unweighted else float(self.weights.sum())

    def reweighted(self, weights):
        """Return the blocks that keep a positive weight, with new weights."""
        blocks = []
        for k, block in enumerate(self.blocks):
            w = weights[k * self.size : (k + 1) * self.size]
            chosen = np.flatnonzero(w)
            if len(chosen):
                blocks.append(block.rows(chosen, w[chosen]))
        return blocks

    def sums(self, model, step, weights=None, onto=None, *, n_jobs=None):
        """Return log-evidences, and statistics added up over samples.

        Parameters
        ----------
        model, step : see the module's docstring
        weights : ndarray of shape (n_samples,), default=None
            Others than those of the samples; the log-evidences are None then.
        onto : dict, default=None
            Statistics to which these are added.
        n_jobs : int, default=None
        """
        blocks = None if weights is None else self.reweighted(weights)
        found = expectations(model, step, self, blocks, n_jobs=n_jobs)
        for _, _, statistics in found:
            onto = add_statistics(statistics, onto)
        if weights is not None:
            return None, onto
        return np.concatenate([part[0] for part in found]), onto


def _squared_norms(X):
    if sparse.issparse(X):
        return np.asarray(X.multiply(X).sum(axis=1), dtype=np.float64).ravel()
    return np.einsum("ij,ij->i", X, X, dtype=np.float64)


# Annealing


def check_schedule(annealing):
    """Return the schedule as sorted points, or raise ValueError."""
    unknown = sorted(set(annealing) - set(_KEYS))
    if unknown:
        raise ValueError(
            f"annealing has unknown keys {unknown}. Expected a subset of {_KEYS}."
        )
    schedule = {}
    for key, points in annealing.items():
        if np.isscalar(points):
            points = [(0.0, points)]
        try:
            table = np.array(points, dtype=np.float64)
            positions, values = table.T
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"annealing[{key!r}] must be a number or a list of pairs (progress, "
                f"value), got {points!r}."
            ) from error
        if not np.isfinite(table).all() or (np.diff(positions) < 0).any():
            raise ValueError(
                f"annealing[{key!r}] must list finite pairs by rising progress, got "
                f"{points!r}."
            )
        if positions.min() < 0 or positions.max() > 1:
            raise ValueError(
                f"annealing[{key!r}] has progress {positions.tolist()}, but progress "
                "runs from 0 to 1."
            )
        if key == "T" and values.min() < 1e-3:
            raise ValueError(
                f"annealing['T'] must be at least 1e-3, got {values.min():g}. "
                "Temperature 1 is the model itself."
            )
        if key == "ncut" and not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(
                f"annealing['ncut'] must lie in [0, 1], got {values.tolist()}."
            )
        if key.endswith("noise") and values.min() < 0:
            raise ValueError(
                f"annealing[{key!r}] must not be negative, got {values.tolist()}."
            )
        schedule[key] = (positions, values)
    return schedule


def anneal(schedule, progress):
    """Return the values of a checked schedule at a progress from 0 to 1."""
    now = {"T": 1.0} | {key: 0.0 for key in _KEYS[1:]}
    for key, (positions, values) in schedule.items():
        now[key] = float(np.interp(progress, positions, values))
    return now


# E-step


def _expect_blocks(model, step, blocks):
    return [model.expect(step, block) for block in blocks]


def expectations(model, step, samples, blocks=None, *, n_jobs=None):
    """Return what ``model.expect`` says of every block, in order.

    A task of joblib has ``samples.per_task`` blocks or more, about four tasks for
    each worker. The caller limits the threads of BLAS when there is one worker.
    """
    blocks = samples.blocks if blocks is None else blocks
    n_workers = effective_n_jobs(n_jobs)
    per_task = max(samples.per_task, -(-len(blocks) // (4 * n_workers)))
    if len(blocks) <= samples.per_task or n_workers == 1:
        return _expect_blocks(model, step, blocks)
    tasks = [
        (model, step, blocks[k : k + per_task]) for k in range(0, len(blocks), per_task)
    ]
    parts = run_parallel(_expect_blocks, tasks, n_jobs=n_jobs)
    return [found for part in parts for found in part]


def add_statistics(statistics, total=None):
    """Add statistics to a total, in place; return it."""
    total = {} if total is None else total
    for name, value in statistics.items():
        if name in total:
            total[name] += value
        else:
            total[name] = np.array(value, dtype=np.float64)
    return total


def kept_weights(log_z, weights, n_use):
    """Return weights that keep `n_use` of the samples with the largest evidence.

    Among equal evidences the lower index stays. A weighted sample at the threshold
    keeps the part of its weight that is missing.
    """
    if np.all(weights == 1.0):
        n, n_use = len(log_z), int(n_use)
        if n_use >= n:
            return weights
        kept = np.zeros(n)
        if n_use > 0:
            threshold = np.partition(log_z, n - n_use)[n - n_use]
            kept[log_z > threshold] = 1.0
            ties = np.flatnonzero(log_z == threshold)
            kept[ties[: n_use - int(kept.sum())]] = 1.0
        return kept
    order = np.argsort(-log_z, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(weights[order])[:-1]])
    kept = np.empty(len(log_z))
    kept[order] = np.clip(n_use - before, 0.0, weights[order])
    return kept


def weight_to_use(model, params, ncut, samples):
    """Return how many samples the truncated states are to explain."""
    n_use = samples.total * (1.0 - (1.0 - model.prior_mass(params)) * ncut)
    if np.all(samples.weights == np.round(samples.weights)):
        n_use = np.floor(n_use + 1e-9)  # whole samples
    return max(n_use, min(1.0, samples.total))


def e_step(model, params, temper, n_use, samples, *, n_jobs=None):
    """Return statistics, the mean log-evidence, and the weight of samples used."""
    step = model.prepare(params, temper)
    log_z, statistics = samples.sums(model, step, n_jobs=n_jobs)
    weights = samples.weights
    if n_use < samples.total:
        kept = kept_weights(log_z, weights, n_use)
        removed = weights - kept
        if removed.sum() > kept.sum():
            _, statistics = samples.sums(model, step, kept, n_jobs=n_jobs)
        elif removed.any():
            _, statistics = samples.sums(
                model, step, -removed, statistics, n_jobs=n_jobs
            )
        weights = kept
    n_used = float(weights.sum())
    return statistics, float(weights @ log_z) / n_used, n_used


# The loop


@dataclass(frozen=True)
class Truncated:
    """Result of an annealed EM."""

    params: dict
    log_likelihoods: np.ndarray
    n_iter: int
    change: float
    converged: bool
    n_used: float
    statistics: dict


def _disturb(params, now, scale, floor, rng):
    """Add the noise of the schedule to the parameters."""
    params = dict(params)
    if now["W_noise"] > 0:
        noise = rng.standard_normal(params["W"].shape)
        params["W"] = params["W"] + now["W_noise"] * scale * noise
    if now["sigma_noise"] > 0:
        size = np.shape(params["sigma"]) or None
        noise = np.exp(now["sigma_noise"] * rng.standard_normal(size))
        params["sigma"] = np.maximum(params["sigma"] * noise, floor)
    if now["pi_noise"] > 0:
        pi = params["pi"]
        noise = np.exp(now["pi_noise"] * rng.standard_normal(np.shape(pi) or None))
        params["pi"] = pi * noise
    return params


def run_em(
    model,
    params,
    samples,
    *,
    schedule,
    n_steps,
    max_iter,
    tol,
    rng,
    n_jobs=None,
    report=None,
):
    """Run the schedule, then EM at temperature 1 until the likelihood rests.

    Parameters
    ----------
    model : object
        See the module's docstring.
    params : dict
        Where to start.
    samples : Samples
        The data.
    schedule : dict
        As :func:`check_schedule` returns it; empty for plain EM.
    n_steps : int
        Length of the schedule in steps; cut at `max_iter`.
    max_iter : int
        Most steps in all.
    tol : float
        Stop when the mean log-likelihood of a sample changes by at most
        ``tol * max(1, |log-likelihood|)``.
    rng : RandomState
        For the noise of the schedule.
    n_jobs : int, default=None
        Workers.
    report : callable, default=None
        Called with the parameters and the log-likelihood after each step; a true
        answer stops the loop.

    Returns
    -------
    result : Truncated
        Its last log-likelihood is that of its parameters.
    """
    n_steps = min(n_steps, max_iter) if schedule else 0
    history, change, converged, cold, stride = [], np.inf, False, False, 1.0
    for it in range(max_iter + 1):
        now = anneal(schedule, min(it / n_steps, 1.0) if n_steps else 1.0)
        if it >= n_steps:
            now["T"] = 1.0
        elif it < max_iter and any(now[key] > 0 for key in _KEYS[2:]):
            params = _disturb(params, now, model.scale, model.floor, rng)
            params = model.admissible(params)
        if it <= n_steps:  # then it stays, so that the likelihood can come to rest
            n_use = weight_to_use(model, params, now["ncut"], samples)
        statistics, log_z, n_used = e_step(
            model,
            params,
            Temper(now["T"], model.anneal_prior),
            n_use,
            samples,
            n_jobs=n_jobs,
        )
        history.append(model.constant(params) + now["T"] * log_z)
        if not np.isfinite(history[-1]):
            raise NumericalError(
                f"The log-likelihood is {history[-1]} at step {it}. Scale the data to "
                "unit variance, or start from another random_state."
            )
        if it > n_steps or (it == n_steps and cold):
            change = abs(history[-1] - history[-2]) / max(1.0, abs(history[-1]))
            converged = change <= tol
            if model.overshoots and history[-1] < history[-2] and not converged:
                stride = max(0.5 * stride, _SHORTEST)
        cold = now["T"] == 1.0
        stop = report is not None and it > 0 and report(params, history[-1])
        if it == max_iter or stop or (converged and it > 0):
            break
        before, params = params["W"], model.maximize(params, statistics)
        if stride < 1.0:
            params["W"] = before + stride * (params["W"] - before)
    history = np.array(history)
    change = float(change)
    return Truncated(params, history, it, change, converged, n_used, statistics)
