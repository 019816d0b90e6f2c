r"""Causes with a normal strength that add up: y = (s z) W + noise.

For a support A the strengths integrate out: with Gram matrix G and correlations b,
both weighted by the noise, slab N(m, Psi), r = b - G m and K = (G + Psi^-1)^-1 on A,
log p(A, y) = log-odds of A - (logdet(K^-1 Psi) + m'Gm) / 2 + m'b + r'Kr / 2 + const.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from types import SimpleNamespace

import numpy as np
from scipy import sparse

from sparsestat._utils.validation import read_only
from sparsestat.decomposition._coding import _kernels_sparse_coding as coding_kernels
from sparsestat.decomposition._coding import _kernels_supports as kernels
from sparsestat.decomposition._coding._linear import (
    correlations,
    data_moments,
    linear_step,
)
from sparsestat.decomposition._coding._support_tables import SupportModel

__all__ = ["SlabModel"]

_PI, _PSI = 5e-5, 1e-5


class SlabModel(SupportModel):
    """Spike-and-slab causes.

    Parameters
    ----------
    *args, **kwargs
        Of :class:`CodingModel`.
    noise : {"scalar", "diagonal"}, default="scalar"
        One variance for all features, or one each.
    full : bool, default=False
        Whether the slab's covariance has entries off its diagonal.
    """

    def __init__(self, *args, noise="scalar", full=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.diagonal_noise = noise == "diagonal"
        self.full = full
        self.row_entries = 2 * (1 + self.max_active) ** 2

    def start(self, summary, W, rng):
        """Return the first parameters for a given W."""
        h, d = W.shape
        sigma = summary.deviation
        return {
            "W": W,
            "pi": rng.uniform(0.05, 0.95, h),
            "sigma": np.full(d, sigma) if self.diagonal_noise else sigma,
            "mean": summary.mean.copy() if self.fit_mean else 0.0 * summary.mean,
            "slab_mean": rng.standard_normal(h),
            "slab_cov": np.diag(rng.uniform(0.05, 2.0, h)),
        }

    def admissible(self, params):
        """Return the parameters within their bounds."""
        return params | {"pi": np.clip(params["pi"], _PI, 1.0 - _PI)}

    def prepare(self, params, temper):
        """Compute what the E-step needs of the parameters."""
        W, pi = params["W"], params["pi"]
        precision = np.broadcast_to(1.0 / np.square(params["sigma"]), W.shape[1])
        weighted = W * precision
        return self.share(
            SimpleNamespace(
                W=W,
                mean=params["mean"] if params["mean"].any() else None,
                precision=precision,
                weighted=weighted,
                G=np.ascontiguousarray(weighted @ W.T),
                log_odds=np.log(pi / (1.0 - pi)),
                slab_mean=params["slab_mean"],
                slab_cov=np.ascontiguousarray(params["slab_cov"]),
                temper=(float(temper.on_prior), float(temper.beta)),
            )
        )

    def table(self, step, supports):
        """Return log-odds, constants, shifts and posterior covariances of supports."""
        n, g = supports.members.shape
        prior, base = np.empty(n), np.empty(n)
        shift, post = np.zeros((n, g)), np.zeros((n, g, g))
        kernels.slab_tables(
            read_only(step.G),
            read_only(step.slab_mean),
            read_only(step.slab_cov),
            read_only(step.log_odds),
            *supports.arrays,
            prior,
            base,
            shift,
            post,
        )
        return tuple(read_only(a) for a in (prior, base, shift, post))

    def select(self, step, B):
        """Return the candidates of each sample."""
        gram, mean = np.diag(step.G), step.slab_mean
        variance = np.diag(step.slab_cov)
        spread = 1.0 + variance * gram
        base = -0.5 * (np.log(spread) + mean**2 * gram)
        scores = base + mean * B + 0.5 * (variance / spread) * (B - gram * mean) ** 2
        candidates = np.empty((len(B), self.n_candidates), dtype=np.int64)
        coding_kernels.top_candidates(read_only(scores), candidates)
        return candidates

    def energy(self, step, block):
        """Return the squared norms of the samples less the mean, over the noise."""
        if not self.diagonal_noise:
            norms = block.norms
        elif sparse.issparse(block.X):
            norms = np.asarray(block.X.multiply(block.X) @ step.precision)
        else:
            norms = np.square(block.X, dtype=np.float64) @ step.precision
        scale = 1.0 if self.diagonal_noise else step.precision[0]
        energy = scale * norms
        if step.mean is not None:
            weighted = step.mean * step.precision
            energy = (
                energy - 2.0 * np.asarray(block.X @ weighted) + step.mean @ weighted
            )
        return energy

    def _terms(self, step, block):
        B = read_only(correlations(block.X, step.weighted, step.mean))
        candidates = self.select(step, B)
        supports, table, sets, rows = self.supports_of(step, candidates)
        terms = (
            B,
            read_only(step.slab_mean),
            read_only(sets),
            read_only(rows),
            supports.members,
            self.tree.sizes,
            self.first,
            *table,
            step.temper,
        )
        return terms, candidates, supports

    def expect_part(self, step, block):
        """Return log-evidences, posterior means and statistics."""
        terms, _, supports = self._terms(step, block)
        n, h = terms[0].shape
        g = supports.members.shape[1]
        log_z, means = np.empty(n), np.zeros((n, h))
        mass = np.zeros(len(supports.sizes))
        first, second = np.zeros((len(mass), g)), np.zeros((len(mass), g, g))
        kernels.slab_posteriors(
            *terms, read_only(block.weights), log_z, means, mass, first, second
        )
        log_z -= 0.5 * step.temper[1] * self.energy(step, block)
        active, mixed, moments = (np.zeros((h, h)) for _ in range(3))
        kernels.slab_moments(
            *supports.arrays,
            terms[10],
            read_only(mass),
            read_only(first),
            read_only(second),
            active,
            mixed,
            moments,
        )
        statistics = data_moments(block, means)
        statistics |= {"ss": moments, "active": active, "mixed": mixed}
        if self.diagonal_noise:
            w, X = block.weights, block.X
            square = X.multiply(X).T @ w if sparse.issparse(X) else w @ np.square(X)
            statistics["y2"] = np.asarray(square, dtype=np.float64)
        return log_z, means, statistics

    def joints(self, step, block):
        """Return the log-joints of all states of all samples, and the candidates."""
        terms, candidates, _ = self._terms(step, block)
        n_several = len(self.tree.sizes) - self.first
        out = np.empty((len(block.norms), 1 + self.n_components + n_several))
        kernels.slab_joints(*terms, out)
        return out, candidates

    def prior_mass(self, params):
        """Return the prior probability of at most `max_active` causes."""
        counts = np.zeros(self.max_active + 1)
        counts[0] = 1.0
        for pi in params["pi"]:
            counts[1:] = counts[1:] * (1.0 - pi) + counts[:-1] * pi
            counts[0] *= 1.0 - pi
        return min(float(counts.sum()), 1.0)

    def constant(self, params):
        """Return the log-likelihood less the log-evidence, for a sample."""
        d = params["W"].shape[1]
        noise = np.broadcast_to(2.0 * np.log(params["sigma"]), d).sum()
        return (
            np.log1p(-params["pi"]).sum()
            - 0.5 * (d * np.log(2.0 * np.pi) + noise)
            - np.log(max(self.prior_mass(params), 1e-300))
        )

    def maximize(self, params, statistics):
        """Return the parameters after an M-step."""
        S, n = statistics, statistics["n"]
        W, mean, residual = linear_step(params, S, self.learn, self.fit_mean)
        new = params | {"W": W, "mean": mean}
        d = W.shape[1]
        if "sigma" in self.learn and self.diagonal_noise:
            sy = S["sy"] - np.outer(S["s"], mean)
            square = S["y2"] - 2.0 * mean * S["y"] + n * mean**2
            square += np.einsum("hd,hd->d", W, S["ss"] @ W - 2.0 * sy)
            new["sigma"] = np.maximum(np.sqrt(np.maximum(square, 0.0) / n), self.floor)
        elif "sigma" in self.learn:
            new["sigma"] = float(max(np.sqrt(residual / d), self.floor))
        active = np.maximum(S["active"], 1e-300)
        often = np.diag(active)
        if "pi" in self.learn:
            new["pi"] = np.clip(often / n, _PI, 1.0 - _PI)
        if "slab" in self.learn:
            m = np.where(
                often > 1e-10, np.diag(S["mixed"]) / often, params["slab_mean"]
            )
            new["slab_mean"] = m
            spread = S["ss"] - m * S["mixed"].T - m[:, None] * S["mixed"]
            spread = (spread + np.outer(m, m) * S["active"]) / active
            old = params["slab_cov"]
            if self.full:
                values, vectors = np.linalg.eigh(np.where(active > 1e-10, spread, 0.0))
                spread = (vectors * np.maximum(values, _PSI)) @ vectors.T
                new["slab_cov"] = 0.5 * (spread + spread.T)
            else:
                variance = np.where(often > 1e-10, np.diag(spread), np.diag(old))
                new["slab_cov"] = np.diag(np.maximum(variance, _PSI))
        return new
