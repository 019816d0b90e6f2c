r"""Grid spectral mixtures through factors of the components, for many points.

Every component has a factor with :math:`K_i = L_i L_i^T`, exactly (a low-rank envelope
times cosines and sines) or approximately (Nystroem, random Fourier features). With
Z the scaled factors of the active components side by side, :math:`C = s^2 D + Z Z^T`
is inverted through :math:`I + Z^T D^{-1} Z / s^2`.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from sparsestat.exceptions import NumericalError
from sparsestat.gaussian_process._spectral._engines import Engine
from sparsestat.gaussian_process._spectral._spectrum import (
    cross_covariance,
    envelope,
    features,
)

__all__ = ["EnvelopeBasis", "FourierBasis", "LowRankEngine", "NystromBasis"]

_ENVELOPE_TOL = 1e-12
_NYSTROM_TOL = 1e-10
_COLUMNS = 2000  # columns of factors computed at once
_KEPT = 1 << 25  # entries of factors kept between evaluations


class EnvelopeBasis:
    """Exact factors: a pivoted Cholesky factor of the envelope times the features.

    All components must have the same widths.
    """

    def __init__(self, X, spectrum):
        self.spectrum = spectrum
        self.width = spectrum.sigmas[0]
        self.pivots = X[_pivots(X, self.width)]
        gram = envelope(self.pivots, self.pivots, self.width)
        gram[np.diag_indices_from(gram)] += _ENVELOPE_TOL
        self.root = linalg.cholesky(gram, lower=True)

    def __call__(self, X, some):
        """Return the factors of some components at X, of shape (len(some), n, r)."""
        cross = envelope(X, self.pivots, self.width)
        V = linalg.solve_triangular(self.root, cross.T, lower=True).T
        tables = features(X, self.spectrum.take(some))
        parts = [table.T[:, :, None] * V for table in tables]
        return np.concatenate(parts, axis=2)


class NystromBasis:
    """Factors through the covariance with some of the training points."""

    def __init__(self, X, spectrum, rank, rng):
        self.spectrum = spectrum
        chosen = np.sort(rng.choice(len(X), size=min(rank, len(X)), replace=False))
        self.points = X[chosen]
        self._roots = {}

    def _root(self, one, i):
        if i not in self._roots:
            gram = cross_covariance(self.points, self.points, one, np.ones(1))
            values, vectors = np.linalg.eigh(gram)
            kept = values > _NYSTROM_TOL * values[-1]
            scale = np.where(kept, 1.0 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
            self._roots[i] = vectors * scale
        return self._roots[i]

    def __call__(self, X, some):
        """Return the factors of some components at X, of shape (len(some), n, r)."""
        out = np.empty((len(some), len(X), len(self.points)))
        for k, i in enumerate(some):
            one = self.spectrum.take([i])
            cross = cross_covariance(X, self.points, one, np.ones(1))
            out[k] = cross @ self._root(one, int(i))
        return out


class FourierBasis:
    """Random Fourier features, drawn from the spectral density of each component."""

    def __init__(self, spectrum, rank, rng):
        self.rank = 2 * max(1, rank // 2)
        shape = (len(spectrum), self.rank // 2, spectrum.n_dims)
        draws = spectrum.sigmas[:, None, :] * rng.standard_normal(shape)
        signs = np.ones(shape)
        if not spectrum.one_cosine:
            signs = rng.choice([-1.0, 1.0], size=shape)
        self.frequencies = signs * spectrum.frequencies[:, None, :] + draws

    def __call__(self, X, some):
        """Return the factors of some components at X, of shape (len(some), n, r)."""
        phase = 2.0 * np.pi * np.einsum("np,isp->ins", X, self.frequencies[some])
        parts = np.concatenate([np.cos(phase), np.sin(phase)], axis=2)
        return parts * np.sqrt(2.0 / self.rank)


def _pivots(X, width):
    """Choose points by pivoted Cholesky until the envelope is explained."""
    left = np.ones(len(X))
    columns, chosen = [], []
    while len(chosen) < len(X):
        k = int(np.argmax(left))
        if left[k] <= _ENVELOPE_TOL:
            break
        column = envelope(X, X[k : k + 1], width)[:, 0]
        for other in columns:
            column -= other * other[k]
        column /= np.sqrt(left[k])
        columns.append(column)
        chosen.append(k)
        left = np.maximum(left - column**2, 0.0)
        left[k] = 0.0
    return np.array(chosen)


@dataclass
class _LowRankState:
    """Rows are scaled by the root of the weights, so that the noise is constant.

    `lower` is the factor of I + Z' Z / noise, or of noise I + Z Z' when Z is wide.
    """

    Z: np.ndarray
    lower: np.ndarray
    root: np.ndarray
    noise: float
    logdet: float
    alpha: np.ndarray = None

    @property
    def wide(self):
        return self.Z.shape[1] >= self.Z.shape[0]

    def _solve_scaled(self, B):
        if self.wide:
            return linalg.cho_solve((self.lower, True), B, check_finite=False)
        inner = linalg.cho_solve((self.lower, True), self.Z.T @ B / self.noise)
        return (B - self.Z @ inner) / self.noise

    def solve(self, B):
        return self.root[:, None] * self._solve_scaled(self.root[:, None] * B)

    def quadratic_forms(self, B):
        """Return the diagonal of B' (C scaled)^{-1} B."""
        if self.wide:
            return (self._half(B) ** 2).sum(0)
        return ((B**2).sum(0) - (self._half(self.Z.T @ B) ** 2).sum(0) / self.noise) / (
            self.noise
        )

    def _half(self, B):
        return linalg.solve_triangular(self.lower, B, lower=True, check_finite=False)

    def trace(self):
        """Return the trace of the inverse of C, scaled."""
        square = float((self._half(np.eye(len(self.lower))) ** 2).sum())
        if self.wide:
            return square
        n, rank = self.Z.shape
        return (n - rank + square) / self.noise


class LowRankEngine(Engine):
    """O(n R^2) time and O(n R) memory, R the summed ranks of the active components."""

    def __init__(self, samples, spectrum, basis):
        super().__init__(samples, spectrum)
        self.basis = basis
        self.rank = basis(samples.X[:1], np.zeros(1, dtype=int)).shape[2]
        self._kept = {}

    def __reduce__(self):
        return type(self), (self.samples, self.spectrum, self.basis)

    def _factors(self, some):
        """Return the factors at the training points; small sets are kept."""
        X = self.samples.X
        if len(some) * len(X) * self.rank > _KEPT:
            return self.basis(X, some)
        missing = [i for i in some if i not in self._kept]
        if missing:
            if (len(self._kept) + len(missing)) * len(X) * self.rank > _KEPT:
                self._kept.clear()
                missing = list(some)
            found = self.basis(X, np.array(missing))
            self._kept.update(zip(missing, found, strict=True))
        return np.stack([self._kept[i] for i in some])

    def _stack(self, weights, X=None):
        n = len(self.samples.X if X is None else X)
        active = np.flatnonzero(weights)
        if not len(active):
            return np.zeros((n, 0))
        parts = self._factors(active) if X is None else self.basis(X, active)
        parts = parts * np.sqrt(weights[active])[:, None, None]
        return parts.transpose(1, 0, 2).reshape(n, -1)

    def cross(self, X, weights):
        """Return the prior covariance of new points with those of the training."""
        return self._stack(weights, X) @ self._stack(weights).T

    def factor(self, weights, noise):
        samples = self.samples
        n, root = len(samples.X), np.sqrt(samples.weights)
        Z = root[:, None] * self._stack(weights)
        wide = Z.shape[1] >= n
        B = Z @ Z.T if wide else Z.T @ Z / noise
        B[np.diag_indices_from(B)] += noise if wide else 1.0
        try:
            lower = linalg.cholesky(B, lower=True, check_finite=False)
        except linalg.LinAlgError as error:
            raise NumericalError(
                "The reduced covariance is not positive definite in floating point. "
                "Raise noise_floor, or the noise."
            ) from error
        logdet = 2.0 * np.log(np.diag(lower)).sum() - np.log(samples.weights).sum()
        if not wide:
            logdet += n * np.log(noise)
        state = _LowRankState(Z, lower, root, noise, float(logdet))
        state.alpha = state.solve(samples.Y)
        return state

    def contract(self, state, subset=None):
        wanted = np.arange(len(self.spectrum)) if subset is None else subset
        g, q = np.zeros(len(wanted)), np.zeros(len(wanted))
        scaled = state.alpha / state.root[:, None]
        width = max(1, _COLUMNS // self.rank)
        for start in range(0, len(wanted), width):
            part = slice(start, start + width)
            L = self._factors(wanted[part])
            count, n, rank = L.shape
            flat = L.transpose(1, 0, 2).reshape(n, -1) * state.root[:, None]
            trace = state.quadratic_forms(flat)
            g[part] = trace.reshape(count, rank).sum(1)
            q[part] = ((flat.T @ scaled) ** 2).sum(1).reshape(count, rank).sum(1)
        return self.samples.n_targets * g, q

    def noise_traces(self, state):
        quadratic = ((state.alpha / state.root[:, None]) ** 2).sum()
        return self.samples.n_targets * state.trace(), float(quadratic)
