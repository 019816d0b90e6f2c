r"""Causes with discrete values that add up: y = s W + noise.

With G = W W' and b = W y, a state's log-joint is, up to terms of y alone,
sum_h log(pi(s_h) / pi(0)) + (2 s.b - s.G.s) / (2 sigma^2).
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from types import SimpleNamespace

import numpy as np
from scipy import sparse

from sparsestat._utils.validation import read_only
from sparsestat.decomposition._coding import _kernels_sparse_coding as kernels
from sparsestat.decomposition._coding._models import CodingModel, least_squares

__all__ = ["LinearModel", "centered_energy", "correlations", "data_moments"]

_SMALLEST_PI = 1e-6


def correlations(X, W, mean=None):
    """Return ``(X - mean) @ W.T`` in double precision; X stays as it is."""
    B = np.asarray(X @ W.T.astype(X.dtype, copy=False)).astype(np.float64, copy=False)
    return B if mean is None else B - W @ mean


def centered_energy(block, mean=None):
    """Return the squared norms of the samples less the mean."""
    if mean is None:
        return block.norms
    shift = np.asarray(block.X @ mean.astype(block.X.dtype), dtype=np.float64)
    return block.norms - 2.0 * shift + mean @ mean


def data_moments(block, means):
    """Return the statistics that join data and posterior means, and those of data."""
    X, w = block.X, block.weights
    weighted = (means * w[:, None]).astype(X.dtype, copy=False)
    if sparse.issparse(X):
        joint, total = (X.T @ weighted).T, X.T @ w.astype(X.dtype)
    else:
        joint, total = weighted.T @ X, w.astype(X.dtype) @ X
    return {
        "n": w.sum(),
        "y": np.asarray(total, dtype=np.float64),
        "yy": w @ block.norms,
        "s": w @ means,
        "sy": np.asarray(joint, dtype=np.float64),
    }


def linear_step(params, statistics, learn, fit_mean):
    """Return W, the offset, and the mean squared residual of a sample."""
    W, mean, S = params["W"], params["mean"], statistics
    sy = S["sy"] - np.outer(S["s"], mean)
    if "W" in learn:
        W = least_squares(S["ss"], sy)
    if fit_mean:
        mean = (S["y"] - S["s"] @ W) / S["n"]
        sy = S["sy"] - np.outer(S["s"], mean)
    energy = S["yy"] - 2.0 * mean @ S["y"] + S["n"] * (mean @ mean)
    residual = energy - 2.0 * np.vdot(W, sy) + np.vdot(W @ W.T, S["ss"])
    return W, mean, max(residual, 0.0) / S["n"]


class LinearModel(CodingModel):
    """Discrete causes that add up.

    Parameters
    ----------
    *args, **kwargs
        Of :class:`CodingModel`.
    values : array-like
        Non-zero values of a cause.
    kind : {"binary", "ternary", "discrete"}
        One probability; one probability for two signs; or one for each value.
    zero : int, default=0
        Place of zero among the values, for "discrete".
    """

    def __init__(self, *args, values=(1.0,), kind="binary", zero=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.values = np.array(values, dtype=np.float64)
        self.n_values = len(self.values)
        self.kind = kind
        self.zero = zero

    def start(self, summary, W):
        """Return the first parameters for a given W."""
        pi = self.first_pi
        if self.kind == "discrete":
            pi, rest = np.full(self.n_values + 1, pi / self.n_values), 1.0 - pi
            pi[self.zero] = rest
        return {
            "W": W,
            "pi": pi,
            "sigma": summary.deviation,
            "mean": summary.mean.copy() if self.fit_mean else 0.0 * summary.mean,
        }

    def admissible(self, params):
        """Return the parameters within their bounds."""
        if self.kind != "discrete":
            return super().admissible(params)
        pi = np.maximum(params["pi"] / params["pi"].sum(), _SMALLEST_PI)
        return params | {"pi": pi / pi.sum()}

    def log_prior(self, pi):
        """Return log P(s = 0) and the log-odds of the non-zero values."""
        if self.kind == "discrete":
            rest = np.log(pi[self.zero])
            return rest, np.log(np.delete(pi, self.zero)) - rest
        rest = np.log1p(-pi)
        return rest, np.full(self.n_values, np.log(pi / self.n_values) - rest)

    def prepare(self, params, temper):
        """Compute what the E-step needs of the parameters."""
        W = params["W"]
        return SimpleNamespace(
            W=W,
            mean=params["mean"] if params["mean"].any() else None,
            G=W @ W.T,
            log_odds=self.log_prior(params["pi"])[1],
            on_prior=temper.on_prior,
            precision=1.0 / params["sigma"] ** 2,
            beta=temper.beta,
        )

    def select(self, step, B):
        """Return the candidates of each sample."""
        squares = np.diag(step.G)
        if self.kind == "binary":
            scores = B / np.sqrt(np.where(squares > 0, squares, 1.0))
        else:
            scores = np.full(B.shape, -np.inf)
            for value, odds in zip(self.values, step.log_odds, strict=True):
                fit = step.precision * value * (B - 0.5 * value * squares)
                np.maximum(scores, odds + fit, out=scores)
        candidates = np.empty((len(B), self.n_candidates), dtype=np.int64)
        kernels.top_candidates(read_only(scores), candidates)
        return candidates

    def _terms(self, step, B, candidates):
        return (
            read_only(B),
            read_only(candidates),
            read_only(step.G),
            read_only(self.values),
            read_only(step.on_prior * step.log_odds),
            float(step.beta * step.precision),
            *self.tree.arrays,
        )

    def expect(self, step, block):
        """Return log-evidences, posterior means and statistics of a block."""
        B = correlations(block.X, step.W, step.mean)
        n, h = B.shape
        log_z, means = np.empty(n), np.zeros((n, h))
        second, counts = np.zeros((h, h)), np.zeros(self.n_values)
        kernels.linear_posteriors(
            *self._terms(step, B, self.select(step, B)),
            read_only(block.weights),
            log_z,
            means,
            second,
            counts,
        )
        second += np.triu(second, 1).T
        energy = centered_energy(block, step.mean)
        log_z -= 0.5 * step.beta * step.precision * energy
        moments = data_moments(block, means)
        return log_z, means, moments | {"ss": second, "counts": counts}

    def joints(self, step, block):
        """Return the log-joints of all states of all samples, and the candidates."""
        B = correlations(block.X, step.W, step.mean)
        candidates = self.select(step, B)
        rest = 0 if self.n_candidates == B.shape[1] else B.shape[1] * self.n_values
        out = np.empty((len(B), len(self.tree.sizes) + rest))
        kernels.linear_joints(*self._terms(step, B, candidates), out)
        return out, candidates

    def decode(self, columns, candidates):
        """Return the states at columns of the log-joints, as levels."""
        n_states, h = len(self.tree.sizes), self.n_components
        levels = self.scatter(np.where(columns < n_states, columns, 0), candidates, h)
        single = np.flatnonzero(columns >= n_states)
        cause, value = np.divmod(columns[single] - n_states, self.n_values)
        levels[single, cause] = 1 + value
        return levels

    def prior_mass(self, params):
        """Return the prior probability of at most `max_active` causes."""
        if self.kind == "discrete":
            params = params | {"pi": 1.0 - params["pi"][self.zero]}
        return super().prior_mass(params)

    def constant(self, params):
        """Return the log-likelihood less the log-evidence, for a sample."""
        if self.kind != "discrete":
            return super().constant(params)
        rest, _ = self.log_prior(params["pi"])
        n_features = params["W"].shape[1]
        noise = np.log(2.0 * np.pi * params["sigma"] ** 2)
        return self.n_components * rest - 0.5 * n_features * noise

    def maximize(self, params, statistics):
        """Return the parameters after an M-step."""
        W, mean, residual = linear_step(params, statistics, self.learn, self.fit_mean)
        new = params | {"W": W, "mean": mean}
        n, counts = statistics["n"], statistics["counts"]
        if "sigma" in self.learn:
            sigma = np.sqrt(residual / W.shape[1])
            new["sigma"] = float(max(sigma, self.floor))
        if "pi" in self.learn:
            if self.kind == "discrete":
                share = counts / (self.n_components * n)
                new["pi"] = np.insert(share, self.zero, 1.0 - share.sum())
                new = self.admissible(new)
            else:
                new["pi"] = self.next_pi(params["pi"], counts.sum(), n)
        return new
