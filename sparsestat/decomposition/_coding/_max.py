"""Causes of which the largest wins, feature by feature.

The maximum is softened to (sum_h W_h^rho)^(1/rho), signed for causes of both signs,
with rho = T / (T - 1) at a temperature T that is kept above 1.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from types import SimpleNamespace

import numpy as np
from scipy import sparse

from sparsestat._utils.validation import read_only
from sparsestat.decomposition._coding import _kernels_sparse_coding as coding_kernels
from sparsestat.decomposition._coding import _kernels_supports as kernels
from sparsestat.decomposition._coding._support_tables import SupportModel

__all__ = ["MaximumModel"]

_LEAST = 1e-4  # smallest magnitude of an entry of W
_COLDEST = {False: 1.05, True: 1.2}  # temperature that still softens the maximum
_STEEPEST = {False: 21.0, True: 35.0}


class MaximumModel(SupportModel):
    """Causes of which the largest, or the largest in magnitude, wins.

    Parameters
    ----------
    *args, **kwargs
        Of :class:`CodingModel`.
    signed : bool, default=False
        Compare magnitudes, and keep the sign.
    """

    overshoots = True

    def __init__(self, *args, signed=False, n_features=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.signed = signed
        self.row_entries = 3 * n_features

    def bounded(self, W):
        """Return W with entries of magnitude 1e-4 at least; positive if unsigned."""
        if not self.signed:
            return np.maximum(W, _LEAST)
        return np.where(np.abs(W) < _LEAST, np.copysign(_LEAST, W), W)

    def start(self, summary, W):
        """Return the first parameters for a given W."""
        return {
            "W": self.bounded(W if self.signed else np.abs(W)),
            "pi": self.first_pi,
            "sigma": summary.deviation,
            "mean": summary.mean.copy() if self.fit_mean else 0.0 * summary.mean,
        }

    def admissible(self, params):
        """Return the parameters within their bounds."""
        return super().admissible(params) | {"W": self.bounded(params["W"])}

    def prepare(self, params, temper):
        """Compute what the E-step needs of the parameters."""
        W, pi = params["W"], params["pi"]
        warm = max(temper.temperature, _COLDEST[self.signed])
        rho = min(max(warm / (warm - 1.0), 1.0), _STEEPEST[self.signed])
        scale = np.abs(W).max(axis=0)
        relative = np.abs(W) / scale
        return self.share(
            SimpleNamespace(
                W=W,
                mean=params["mean"] if params["mean"].any() else None,
                rho=rho,
                scale=scale,
                powers=np.copysign(relative**rho, W),
                lower=relative ** (rho - 1.0),
                log_odds=temper.beta * np.log(pi / (1.0 - pi)),
                two_inv=temper.beta / params["sigma"] ** 2,
            )
        )

    def table(self, step, supports):
        """Return the softened maxima of supports, their ratios and norms."""
        shape = len(supports.sizes), step.W.shape[1]
        bars, ratios, norms = np.empty(shape), np.empty(shape), np.empty(shape[0])
        kernels.max_tables(
            read_only(step.W),
            read_only(step.powers),
            read_only(step.scale),
            *supports.arrays,
            float(step.rho),
            bars,
            ratios,
            norms,
        )
        return read_only(bars), read_only(ratios), read_only(norms)

    def data(self, step, block):
        """Return the samples, dense and in double precision, less the mean."""
        X = block.X.toarray() if sparse.issparse(block.X) else block.X
        X = np.ascontiguousarray(X, dtype=np.float64)
        return read_only(X if step.mean is None else X - step.mean)

    def select(self, step, X):
        """Return the candidates of each sample."""
        scores = np.empty((len(X), self.n_components))
        if self.signed:  # minus the squared distance, less the norm of the sample
            scores[:] = X @ (2.0 * step.W.T) - (step.W**2).sum(axis=1)
        else:
            kernels.max_scores(X, read_only(step.W), scores)
        candidates = np.empty((len(X), self.n_candidates), dtype=np.int64)
        coding_kernels.top_candidates(read_only(scores), candidates)
        return candidates

    def expect_part(self, step, block):
        """Return log-evidences, posterior means and statistics."""
        X = self.data(step, block)
        candidates = self.select(step, X)
        supports, table, sets, rows = self.supports_of(step, candidates)
        bars, ratios, norms = table
        n, h = len(X), self.n_components
        log_z, means = np.empty(n), np.empty((n, h))
        mass, sums = np.zeros(len(norms)), np.zeros(bars.shape)
        kernels.max_posteriors(
            X,
            read_only(sets),
            read_only(rows),
            supports.members,
            bars,
            norms,
            self.tree.sizes,
            self.first,
            h,
            float(step.log_odds),
            float(step.two_inv),
            read_only(block.weights),
            log_z,
            means,
            mass,
            sums,
        )
        energy = np.einsum("ij,ij->i", X, X)
        log_z -= 0.5 * step.two_inv * energy
        num, den = np.zeros(step.W.shape), np.zeros(step.W.shape)
        kernels.max_moments(
            read_only(step.W),
            read_only(step.lower),
            read_only(step.scale),
            float(step.rho),
            *supports.arrays,
            bars,
            ratios,
            read_only(mass),
            read_only(sums),
            num,
            den,
        )
        w = block.weights
        residual = w @ energy - 2.0 * np.vdot(bars, sums) + mass @ norms
        return (
            log_z,
            means,
            {
                "n": w.sum(),
                "y": w @ X,
                "num": num,
                "den": den,
                "active": mass @ supports.sizes,
                "bars": mass @ bars,
                "residual": residual,
            },
        )

    def joints(self, step, block):
        """Return the log-joints of all states of all samples, and the candidates."""
        X = self.data(step, block)
        candidates = self.select(step, X)
        _, (bars, _, norms), sets, rows = self.supports_of(step, candidates)
        out = np.empty((len(X), len(self.tree.sizes) - self.n_candidates))
        out = np.empty((len(X), out.shape[1] + self.n_components))
        kernels.max_joints(
            X,
            read_only(sets),
            read_only(rows),
            bars,
            norms,
            self.tree.sizes,
            self.first,
            self.n_components,
            float(step.log_odds),
            float(step.two_inv),
            out,
        )
        return out, candidates

    def maximize(self, params, statistics):
        """Return the parameters after an M-step."""
        S, W, n = statistics, params["W"], statistics["n"]
        new = dict(params)
        num, den = S["num"], S["den"]
        if "W" in self.learn:
            if self.signed:
                fresh = num / np.maximum(den, 1e-4)
                trust = np.maximum(-np.expm1(-den / 2.5), 0.2)
                W = trust * fresh + (1.0 - trust) * W
            else:
                known = den > 1e-300
                W = np.where(known, num / np.where(known, den, 1.0), W)
            new["W"] = self.bounded(W)
        if "pi" in self.learn:
            new["pi"] = self.next_pi(params["pi"], S["active"], n)
        residual = S["residual"]
        if self.fit_mean:
            # The statistics hold samples less the old mean.
            shift = (S["y"] - S["bars"]) / n
            new["mean"] = params["mean"] + shift
            residual = residual - n * (shift @ shift)
        if "sigma" in self.learn:
            sigma = np.sqrt(max(residual, 0.0) / (n * W.shape[1]))
            new["sigma"] = float(max(sigma, self.floor))
        return new
