r"""The objective of grid spectral mixtures and its gradient, one class a structure.

With :math:`C(w) = s^2 D + \sum_i w_i K_i` and :math:`D = diag(1 / weights)`, the
objective is

.. math:: F(w, s^2) = \sum_t y_t^T C^{-1} y_t + T \log\det C + \text{terms of } s^2 ,

and its gradient :math:`g_i - q_i`, with :math:`g_i = T\,tr(C^{-1} K_i)` and
:math:`q_i = \sum_t a_t^T K_i a_t`, :math:`a_t = C^{-1} y_t`. No engine holds the Gram
matrices of the components.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np
from scipy import fft, linalg
from scipy.linalg import lapack

from sparsestat._utils.validation import read_only
from sparsestat.exceptions import NumericalError
from sparsestat.gaussian_process._spectral._kernels_gsm import product_scan
from sparsestat.gaussian_process._spectral._spectrum import (
    CHUNK,
    FEATURE_DIMS,
    envelope,
    features,
    product_covariance,
    product_tables,
)
from sparsestat.gaussian_process._structure._toeplitz import (
    ToeplitzFactor,
    autocorrelation,
    even_grid,
    factor_toeplitz,
    inverse_diagonal_sums,
)

__all__ = [
    "DenseEngine",
    "Evaluation",
    "FeatureEngine",
    "ProductEngine",
    "Samples",
    "ToeplitzEngine",
]

_KEPT_ENVELOPES = 4


@dataclass(frozen=True)
class Samples:
    """Distinct points, mean targets there, and what their repetition adds.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Distinct points, sorted.
    Y : ndarray of shape (n, n_targets)
        Weighted mean of the targets at each point.
    weights : ndarray of shape (n,)
        Sum of the weights at each point: the noise there is s2 / weight.
    total : float
        Sum of all weights.
    within : float
        Weighted sum of squares about those means, over all targets.
    """

    X: np.ndarray
    Y: np.ndarray
    weights: np.ndarray
    total: float
    within: float

    @property
    def n_targets(self):
        return self.Y.shape[1]

    @property
    def extra(self):
        """How many observations more than points there are, over all targets."""
        return self.n_targets * (self.total - len(self.X))

    def noise_terms(self, noise):
        """Return the terms of the objective that only the noise variance enters."""
        constant = self.n_targets * np.log(self.weights).sum()
        return self.within / noise + self.extra * np.log(noise) + constant


@dataclass
class Evaluation:
    """The objective at a point, and the parts g and q of its gradient."""

    value: float
    g: np.ndarray
    q: np.ndarray
    noise_g: float
    noise_q: float
    state: object = field(default=None, repr=False)


class Engine:
    """What all engines share: from a factorization to the objective and gradient.

    A subclass defines ``factor(weights, noise)``, which returns a state with
    ``logdet``, ``alpha`` and ``solve``; ``contract(state, subset)``, which returns g
    and q; ``quadratic(state)``, q alone; and ``noise_traces(state)``.
    """

    def __init__(self, samples, spectrum):
        self.samples, self.spectrum = samples, spectrum

    def __reduce__(self):
        # Tables are cheaper to compute again than to send to another process.
        return type(self), (self.samples, self.spectrum)

    def factor_once(self, weights, noise):
        """Return a state for one evaluation, which need not be exact to rounding."""
        return self.factor(weights, noise)

    def value(self, weights, noise):
        """Return the objective."""
        return self.objective(self.factor(weights, noise), noise)

    def objective(self, state, noise):
        """Return the objective at a factorization."""
        samples = self.samples
        fit = float(np.einsum("nt,nt->", samples.Y, state.alpha))
        return (
            fit + samples.n_targets * state.logdet + float(samples.noise_terms(noise))
        )

    def evaluate(self, weights, noise, subset=None):
        """Return the objective with g and q, of a subset of the components or all."""
        state = self.factor_once(weights, noise)
        g, q = self.contract(state, subset)
        return Evaluation(
            self.objective(state, noise), g, q, *self.noise_traces(state), state
        )


# Even grids: the covariance is a Toeplitz matrix


@dataclass
class _ToeplitzState:
    factor: ToeplitzFactor
    alpha: np.ndarray
    traces: tuple = None

    @property
    def logdet(self):
        return self.factor.log_det

    def solve(self, B):
        return self.factor.solve(B.T).T


class ToeplitzEngine(Engine):
    """An even grid with equal weights: O(n^2 + n A) time, O(n A) memory or less.

    One recursion of Levinson gives the log determinant and the first column of the
    inverse; all else are Fourier transforms.
    """

    def __init__(self, samples, spectrum):
        super().__init__(samples, spectrum)
        x = samples.X[:, 0]
        n = len(x)
        _, self.step = even_grid(x)
        lags = self.step * np.arange(n)
        mu, sigma = spectrum.frequencies[:, 0], spectrum.sigmas[:, 0]
        self.period = self._period(mu, sigma)
        self.table = None
        if self.period:
            self.envelope = np.exp(-2.0 * (np.pi * sigma[0] * lags) ** 2)
        else:
            self.table = np.cos(2.0 * np.pi * np.outer(mu, lags))
            self.table *= np.exp(-2.0 * (np.pi * np.outer(sigma, lags)) ** 2)

    def _period(self, mu, sigma):
        """Return after how many steps all cosines of a grid 0, d, 2d, ... repeat."""
        if len(mu) < 2 or mu[0] != 0 or np.ptp(sigma) > 0 or mu[1] <= 0:
            return 0
        period = round(1.0 / (mu[1] * self.step))
        exact = np.arange(len(mu)) / (max(period, 1) * self.step)
        if period < 2 * (len(mu) - 1) or np.abs(mu - exact).max() > 1e-14 * mu[-1]:
            return 0
        return period

    def column(self, weights):
        """Return the first column of the covariance, noise left out."""
        n = len(self.samples.X)
        if not self.period:
            active = np.flatnonzero(weights)
            if 2 * len(active) < len(weights):
                return weights[active] @ self.table[active]
            return weights @ self.table
        half = np.zeros(self.period // 2 + 1)
        half[: len(weights)] = 0.5 * self.period * weights
        half[0] *= 2.0
        if self.period % 2 == 0:
            half[-1] *= 2.0
        wave = fft.irfft(half, self.period)
        wave = wave[:n] if n <= self.period else np.resize(wave, n)
        return wave * self.envelope

    def _sums(self, rows):
        """Return the sums of each component's column times the rows given."""
        if not self.period:
            return rows @ self.table.T
        rows = rows * self.envelope
        n = rows.shape[1]
        if n > self.period:
            whole = -(-n // self.period) * self.period
            rows = np.pad(rows, ((0, 0), (0, whole - n)))
            rows = rows.reshape(len(rows), -1, self.period).sum(axis=1)
        return fft.rfft(rows, self.period, axis=1).real[:, : len(self.spectrum)]

    def factor(self, weights, noise, *, refine=True):
        column = self.column(weights)
        column[0] += noise / self.samples.weights[0]
        try:
            factor = factor_toeplitz(column, self.samples.Y.T, refine=refine)
        except np.linalg.LinAlgError as error:
            raise NumericalError(
                "The covariance is not positive definite in floating point: "
                f"{error} Raise noise_floor."
            ) from error
        return _ToeplitzState(factor, factor.solution.T)

    def factor_once(self, weights, noise):
        return self.factor(weights, noise, refine=False)

    def contract(self, state, subset=None):
        diagonals = self.samples.n_targets * inverse_diagonal_sums(
            state.factor.generator
        )
        rows = np.stack([diagonals, autocorrelation(state.alpha.T)])
        state.traces = tuple(rows[:, 0] / self.samples.weights[0])
        rows[:, 1:] *= 2.0
        g, q = self._sums(rows)
        q = np.maximum(q, 0.0)
        return (g, q) if subset is None else (g[subset], q[subset])

    def noise_traces(self, state):
        return state.traces

    def quadratic(self, state):
        row = autocorrelation(state.alpha.T)[None]
        row[:, 1:] *= 2.0
        return np.maximum(self._sums(row)[0], 0.0)


# Dense covariances


@dataclass
class _DenseState:
    lower: np.ndarray
    logdet: float
    alpha: np.ndarray
    inverse: np.ndarray = None

    def solve(self, B):
        return linalg.cho_solve((self.lower, True), B, check_finite=False)

    def full_inverse(self):
        """Return the inverse, for traces against it only."""
        if self.inverse is None:
            out, _ = lapack.dpotri(self.lower, lower=1)
            out = np.tril(out)
            out += np.tril(out, -1).T
            self.inverse = out
        return self.inverse


class DenseEngine(Engine):
    """Any points: one Cholesky factorization of the covariance an evaluation."""

    def __init__(self, samples, spectrum):
        super().__init__(samples, spectrum)
        self.groups = spectrum.groups()
        self._kept = {}

    def _envelope(self, k):
        if k in self._kept:
            return self._kept[k]
        X = self.samples.X
        found = envelope(X, X, self.groups[k][0])
        if len(self._kept) < _KEPT_ENVELOPES:
            self._kept[k] = found
        return found

    def covariance(self, weights):
        """Return the covariance of the training points, noise left out."""
        n = len(self.samples.X)
        out = np.zeros((n, n))
        for k, (_, members) in enumerate(self.groups):
            active = members[weights[members] > 0]
            if len(active):
                gram = self._gram(active, weights[active])
                gram *= self._envelope(k)
                out += gram
        return out

    def factor(self, weights, noise):
        C = self.covariance(weights)
        C[np.diag_indices_from(C)] += noise / self.samples.weights
        lower, info = lapack.dpotrf(C, lower=1, overwrite_a=1)
        if info:
            raise NumericalError(
                "The covariance is not positive definite in floating point (order "
                f"{info}). Raise noise_floor, or the noise."
            )
        alpha = linalg.cho_solve((lower, True), self.samples.Y, check_finite=False)
        return _DenseState(lower, 2.0 * float(np.log(np.diag(lower)).sum()), alpha)

    def contract(self, state, subset=None):
        inverse = state.full_inverse()
        outer = state.alpha @ state.alpha.T
        wanted = np.arange(len(self.spectrum)) if subset is None else subset
        place = np.full(len(self.spectrum), -1)
        place[wanted] = np.arange(len(wanted))
        g, q = np.zeros(len(wanted)), np.zeros(len(wanted))
        for k, (_, members) in enumerate(self.groups):
            some = members[place[members] >= 0]
            if len(some):
                E = self._envelope(k)
                at = place[some]
                g[at], q[at] = self._contract(inverse * E, outer * E, some)
        return self.samples.n_targets * g, np.maximum(q, 0.0)

    def quadratic(self, state):
        outer = state.alpha @ state.alpha.T
        q = np.zeros(len(self.spectrum))
        for k, (_, members) in enumerate(self.groups):
            q[members] = self._quadratic(outer * self._envelope(k), members)
        return np.maximum(q, 0.0)

    def noise_traces(self, state):
        D = 1.0 / self.samples.weights
        g = self.samples.n_targets * float(D @ np.diag(state.full_inverse()))
        return g, float(D @ (state.alpha**2).sum(axis=1))


class FeatureEngine(DenseEngine):
    """Few cosines a component: everything is a matrix product with features.

    O(n^3 + n^2 A) time and O(n^2 + n A) memory.
    """

    def __init__(self, samples, spectrum):
        super().__init__(samples, spectrum)
        self.features = features(samples.X, spectrum)

    def _gram(self, active, weights):
        left = self.features[:, :, active]
        return sum((a * weights) @ a.T for a in left)

    def _contract(self, first, second, some):
        return self._quadratic(first, some), self._quadratic(second, some)

    def _quadratic(self, matrix, some):
        whole = len(some) == len(self.spectrum)
        parts = (t if whole else t[:, some] for t in self.features)
        return sum(np.einsum("ni,ni->i", part, matrix @ part) for part in parts)


class ProductEngine(DenseEngine):
    """Products of many cosines, in chunks of components.

    O(n^3 + n^2 A P) time and O(n^2 + n P) memory.
    """

    def _gram(self, active, weights):
        X = self.samples.X
        gram = product_covariance(X, X, self.spectrum.take(active), weights, lower=True)
        gram += np.tril(gram, -1).T
        return gram

    def _contract(self, first, second, some):
        sums = []
        for start in range(0, len(some), CHUNK):
            part = self.spectrum.take(some[start : start + CHUNK])
            tables = product_tables(self.samples.X, part)
            sums.append(product_scan(*map(read_only, (*tables, first, second))))
        return np.concatenate(sums, axis=1)

    def _quadratic(self, matrix, some):
        return self._contract(matrix, matrix, some)[0]


def dense_engine_for(spectrum):
    """Return the class of dense engine that suits a spectrum."""
    if spectrum.one_cosine or spectrum.n_dims <= FEATURE_DIMS:
        return FeatureEngine
    return ProductEngine
