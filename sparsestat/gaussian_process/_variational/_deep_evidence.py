r"""The evidence of a deep kernel machine, its gradient, and what predictions need.

The objective is

.. math::

    \log p(Y | K(G_L)) - \nu \sum_{l=1}^{L}
    \mathrm{KL}\left(N(0, G_l) \,\|\, N(0, K(G_{l-1}))\right) ,

where :math:`G_0 = X W X^T + b` with one weight a feature. Its first term is the log
evidence of normal targets for all rows (*dense*), Titsias' bound of it with m inducing
rows, or, for classes, the variational bound at the best distribution of the inducing
variables. That distribution is found for every value of the other parameters, so that
their gradient is the partial one. Rows pass by in blocks.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np

from sparsestat.gaussian_process._variational._layers import (
    Trunk,
    build,
    solve_lower,
)
from sparsestat.gaussian_process._variational._likelihoods import Gaussian
from sparsestat.gaussian_process._variational._svgp import (
    Posterior,
    bound,
    natural_step,
    settle,
)

__all__ = [
    "DeepEvidence",
    "DeepState",
    "Slopes",
    "gaussian_evidence",
    "row_step",
    "titsias",
]

_BLOCK = 1 << 17  # entries of a block of rows times m
_KEEP = 1 << 25  # numbers that are kept for the way back rather than made again
_LOG_2PI = np.log(2.0 * np.pi)
_WEIGHT_SPAN = (-16.0, 16.0)  # of logarithms, beside the start
_AMPLITUDE_SPAN = (-12.0, 12.0)
_LARGEST_NOISE = 10.0
_STIFF = 10.0
_SMALLEST_ROOT = -12.0  # logarithm of the diagonal of V


def gaussian_evidence(L, Y, noise):
    """Return the log evidence of normal targets with covariance L L' + noise I.

    Parameters
    ----------
    L : ndarray of shape (n, n)
        Lower triangular.
    Y : ndarray of shape (n, n_outputs)
        Independent columns.
    noise : float
        Noise variance.

    Returns
    -------
    value : float
        The log evidence.
    K_bar : ndarray of shape (n, n)
        Its derivatives in the covariance.
    noise_bar : float
        And in the noise variance.
    """
    n, n_outputs = Y.shape
    C = L @ L.T
    C.flat[:: n + 1] += noise
    root = np.linalg.cholesky(C)
    half = solve_lower(root, np.eye(n))
    a = half.T @ (half @ Y)
    value = -0.5 * np.sum(Y * a) - n_outputs * np.log(root.diagonal()).sum()
    value -= 0.5 * n * n_outputs * _LOG_2PI
    K_bar = 0.5 * (a @ a.T - n_outputs * (half.T @ half))
    return float(value), K_bar, float(np.trace(K_bar))


def titsias(M, v, square, total, n, noise):
    """Return Titsias' bound of the log evidence from sums over the rows.

    Parameters
    ----------
    M : ndarray of shape (m, m)
        Sum of :math:`a_t a_t^T` over the whitened features.
    v : ndarray of shape (m, n_outputs)
        Sum of :math:`a_t y_t^T`.
    square : float
        Sum of squares of the targets.
    total : float
        Sum of the prior variances.
    n : int
        Number of rows.
    noise : float
        Noise variance.

    Returns
    -------
    value : float
        The bound.
    slopes : tuple
        Its derivatives in `M`, `v`, each prior variance, and the noise variance.
    posterior : Posterior
        The distribution of the inducing variables at which it is attained.
    """
    m, n_outputs = v.shape
    B = M / noise
    B.flat[:: m + 1] += 1.0
    root = np.linalg.cholesky(B)
    c = solve_lower(root, v / noise)
    u = solve_lower(root, c, transposed=True)
    missed = total - np.trace(M)
    value = -0.5 * n * n_outputs * (_LOG_2PI + np.log(noise))
    value -= n_outputs * np.log(root.diagonal()).sum()
    value -= 0.5 * (square + n_outputs * missed) / noise
    value += 0.5 * np.sum(c * c)
    half = solve_lower(root, np.eye(m))
    inverse = half.T @ half
    M_bar = -0.5 * (n_outputs * inverse + u @ u.T) / noise
    M_bar.flat[:: m + 1] += 0.5 * n_outputs / noise
    shrunk = m - np.trace(inverse)  # trace of B^-1 M / noise
    noise_bar = 0.5 * (n_outputs * (shrunk - n) + (square + n_outputs * missed) / noise)
    noise_bar = noise_bar / noise - np.sum(v * u) / noise**2
    noise_bar += 0.5 * np.sum(u * (M @ u)) / noise**2
    slopes = (M_bar, u / noise, -0.5 * n_outputs / noise, float(noise_bar))
    return float(value), slopes, Posterior(u, [root])


def row_step(m):
    """Return how many rows are carried through layers of m rows at once."""
    return max(1, _BLOCK // m)


@dataclass
class DeepState:
    """A fitted deep kernel machine, in the units it was fitted in.

    Parameters
    ----------
    trunk : Trunk
        Its layers.
    weights : ndarray of shape (n_features,)
        Of the features; a last one for the constant where there is one.
    Z : ndarray of shape (m, n_features)
        The rows that carry the layers.
    amplitude : float
        Variance that multiplies the kernel of the last layer.
    noise : float
        Noise variance; 0 where the targets are classes.
    posterior : Posterior
        Of the whitened outputs at `Z`.
    """

    trunk: Trunk
    weights: np.ndarray
    Z: np.ndarray
    amplitude: float
    noise: float
    posterior: Posterior

    def rows(self, X):
        """Return features, prior variances and what the layers saved of rows."""
        G = (self.Z * self.weights) @ X.T
        g = (X * X) @ self.weights
        A, k, saved = self.trunk.rows(G, g)
        root = np.sqrt(self.amplitude)
        return root * A, self.amplitude * k, (g, saved)

    def kernel(self, X, Y=None):
        """Return the learned kernel of the last layer between rows."""
        first = self.rows(X)[2]
        second = first if Y is None else self.rows(Y)[2]
        Y = X if Y is None else Y
        G = (X * self.weights) @ Y.T
        return self.amplitude * self.trunk.between_rows(first, second, G)


class DeepEvidence:
    """The objective as a function of one vector of parameters.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Data, standardized; with a constant last where wanted.
    Y : ndarray of shape (n, n_outputs)
        Targets as the likelihood takes them.
    Z : ndarray of shape (m, n_features)
        Rows that carry the layers, at the start; `X` itself if `dense`.
    kernel : {"relu", "rbf", "linear"}
        The kernel.
    n_layers : int
        Learned Gram matrices.
    nu : float
        Relative width; infinite for layers that are not learned.
    likelihood : object or None
        None for normal noise.
    dense : bool
        Whether the evidence is exact; only with normal noise.
    learn_scales, learn_inducing : bool
        What is learned beside the layers and the noise. A constant last column stays.
    n_constant : int
        1 if the last column of `X` is constant, else 0.
    noise_floor : float
        Least noise variance.
    jitter : float
        Relative, on the diagonals of kernels.
    passes : DeepRows, default=None
        Rows that pass by, of which `X` and `Y` are a sample; only with normal noise.
    """

    def __init__(
        self, X, Y, Z, *, kernel, n_layers, nu, likelihood, dense, learn_scales,
        learn_inducing, n_constant, noise_floor, jitter, passes=None,
    ):  # fmt: skip
        self.X, self.Y, self.Z, self.passes = X, Y, Z, passes
        self.n = len(X) if passes is None else passes.n
        self.kernel, self.n_layers, self.nu = kernel, n_layers, nu
        self.likelihood, self.dense = likelihood, dense
        self.learn_scales, self.n_constant = learn_scales, n_constant
        self.learn_inducing = learn_inducing and not dense
        self.noise_floor, self.jitter = noise_floor, jitter
        m, p = Z.shape
        self._learned = n_layers if np.isfinite(nu) else 0
        self._lower = np.tril_indices(m)
        self._on_diagonal = self._lower[0] == self._lower[1]
        self._free = p - n_constant if self.learn_inducing else 0
        sizes = (
            p + 1 if learn_scales else 0,
            0 if likelihood is not None else 1,
            self._learned * len(self._lower[0]),
            m * self._free,
        )
        self._ends = np.cumsum(sizes)
        # Entries of V - I in units in which the divergence is about as curved as the
        # likelihood: quasi-Newton steps need that where nu is large.
        self._unit = 1.0
        if self._learned:
            self._unit = 1.0 / np.sqrt(1.0 + _STIFF * nu / self.n)
        self.posterior, self.unsettled = None, 0.0
        self._square = float(np.sum(Y * Y))

    def start(self, weights, amplitude, noise):
        """Return the parameters at which no layer has learned anything.

        Parameters
        ----------
        weights : ndarray of shape (n_features,)
            Of the features.
        amplitude, noise : float
            Variances of the function and the noise.

        Returns
        -------
        x : ndarray
            The vector of parameters.
        bounds : ndarray of shape (len(x), 2)
            Their bounds.
        """
        self.given = weights, amplitude, noise
        parts, spans = [], []
        if self.learn_scales:
            logs = np.log(weights)
            parts += [logs, [np.log(amplitude)]]
            spans.append(logs[:, None] + np.array(_WEIGHT_SPAN))
            spans.append(np.log(amplitude) + np.array([_AMPLITUDE_SPAN]))
        if self.likelihood is None:
            span = np.log([self.noise_floor, _LARGEST_NOISE])
            parts.append(np.clip([np.log(noise)], *span))
            spans.append(span[None])
        size = self._learned * len(self._lower[0])
        parts.append(np.zeros(size))
        low = np.full(size, -np.inf)
        if self._learned:
            layers = parts[-1].reshape(self._learned, -1)
            layers[:, ~self._on_diagonal] = 0.0
            low.reshape(self._learned, -1)[:, self._on_diagonal] = (
                _SMALLEST_ROOT / self._unit
            )
        spans.append(np.column_stack([low, np.full(size, np.inf)]))
        points = self.Z[:, : self._free].ravel()
        parts.append(points)
        spans.append(np.tile([-np.inf, np.inf], (len(points), 1)))
        return np.concatenate(parts), np.vstack(spans)

    def carried(self, other, x):
        """Return the parameters of another width in the units of this one."""
        layers = slice(*self._ends[1:3])
        x = x.copy()
        x[layers] *= other._unit / self._unit
        return x

    def _unpack(self, x):
        a, b, c, _ = self._ends
        if self.learn_scales:
            weights, amplitude = np.exp(x[: a - 1]), float(np.exp(x[a - 1]))
        else:
            weights, amplitude = self.given[:2]
        noise = float(np.exp(x[a])) if b > a else 0.0
        m = len(self.Z)
        factors = []
        for packed in x[b:c].reshape(self._learned, -1) if c > b else []:
            V = np.zeros((m, m))
            V[self._lower] = self._unit * packed
            V.flat[:: m + 1] = np.exp(V.diagonal())
            factors.append(V)
        if not factors:
            factors = [np.eye(m)] * self.n_layers
        Z = self.Z
        if self._free:
            Z = Z.copy()
            Z[:, : self._free] = x[c:].reshape(m, self._free)
        return weights, amplitude, noise, factors, Z

    def _build(self, x):
        weights, amplitude, noise, factors, Z = self._unpack(x)
        trunk = build(self.kernel, (Z * weights) @ Z.T, factors, self.jitter)
        return DeepState(trunk, weights, Z, amplitude, noise, self.posterior)

    def _blocks(self):
        step = row_step(len(self.Z))
        for start in range(0, len(self.X), step):
            yield slice(start, start + step)

    def __call__(self, x):
        """Return the objective and its gradient."""
        return self._evaluate(x)[:2]

    def state(self, x):
        """Return what predictions need, at the given parameters."""
        return self._evaluate(x)[2]

    def _evaluate(self, x):
        state = self._build(x)
        slopes = Slopes(self, state)
        if self.likelihood is not None:
            value = self._classes(state, slopes)
        elif self.dense:
            value = self._exact(state, slopes)
        elif self.passes is not None:
            value = self._passed(state, slopes)
        else:
            value = self._collapsed(state, slopes)
        finite = np.isfinite(self.nu)
        if finite:
            value -= self.nu * state.trunk.divergence()
        return value, slopes.finish(self.nu if finite else 0.0), state

    def _exact(self, state, slopes):
        L = state.trunk.layers[-1].L
        a = state.amplitude
        value, K_bar, noise_bar = gaussian_evidence(np.sqrt(a) * L, self.Y, state.noise)
        slopes.noise = noise_bar
        slopes.amplitude = np.sum(K_bar * (L @ L.T)) * a
        slopes.K = a * K_bar
        A = np.sqrt(a) * L.T  # features of the rows, given themselves
        likelihood = Gaussian(state.noise, self.Y.shape[1])
        prior = Posterior.prior(len(A), self.Y.shape[1])
        variances = np.einsum("ij,ij->j", A, A)
        state.posterior = natural_step(likelihood, prior, A, variances, self.Y)
        return value

    def _collapsed(self, state, slopes):
        m, n_outputs = len(self.Z), self.Y.shape[1]
        numbers = 4 * (self.n_layers + 1) * m * len(self.X)
        keep = {} if numbers <= _KEEP else None
        M, v, total = np.zeros((m, m)), np.zeros((m, n_outputs)), 0.0
        for rows in self._blocks():
            A, k, saved = state.rows(self.X[rows])
            M += A @ A.T
            v += A @ self.Y[rows]
            total += float(k.sum())
            if keep is not None:
                keep[rows.start] = A, k, saved
        found = titsias(M, v, self._square, total, len(self.X), state.noise)
        value, (M_bar, v_bar, k_bar, slopes.noise), state.posterior = found
        for rows in self._blocks():
            if keep is not None:
                A, k, saved = keep.pop(rows.start)
            else:
                A, k, saved = state.rows(self.X[rows])
            A_bar = 2.0 * (M_bar @ A) + v_bar @ self.Y[rows].T
            slopes.add(self.X[rows], A, k, saved, A_bar, np.full(len(k), k_bar))
        return value

    def _passed(self, state, slopes):
        passes = self.passes
        M, v, total = passes.sums(state)
        found = titsias(M, v, passes.square, total, self.n, state.noise)
        value, (*bars, slopes.noise), state.posterior = found
        slopes.gather(passes.slopes(state, bars))
        return value

    def _classes(self, state, slopes):
        kept = [state.rows(self.X[rows]) for rows in self._blocks()]
        A = np.hstack([part[0] for part in kept])
        k = np.concatenate([part[1] for part in kept])
        first = self.posterior
        if first is None:
            first = Posterior.prior(len(A), self.likelihood.n_outputs)
        posterior, seen, far = settle(self.likelihood, first, A, k, self.Y)
        self.posterior = state.posterior = posterior
        # The gradient in the distribution, in its own metric.
        self.unsettled = float(np.sqrt(far)) / len(self.X)
        value, A_bar, k_bar, _ = bound(
            self.likelihood, posterior, A, k, self.Y, seen=seen
        )
        for rows, (part, some, saved) in zip(self._blocks(), kept, strict=True):
            slopes.add(self.X[rows], part, some, saved, A_bar[:, rows], k_bar[rows])
        return value

    def on_batch(self, x, rows, posterior, *, step):
        """Evaluate the bound on some rows, after a natural-gradient step there.

        Parameters
        ----------
        x : ndarray
            Parameters.
        rows : ndarray of int
            The batch.
        posterior : Posterior
            Of the inducing variables.
        step : float
            Length of the natural-gradient step.

        Returns
        -------
        value : float
            The bound, estimated.
        gradient : ndarray
            Its gradient.
        posterior : Posterior
            After the step.
        """
        state = self._build(x)
        slopes = Slopes(self, state)
        X, Y = self.X[rows], self.Y[rows]
        scale = len(self.X) / len(X)
        likelihood = self.likelihood
        if likelihood is None:
            likelihood = Gaussian(state.noise, Y.shape[1])
        A, k, saved = state.rows(X)
        posterior = natural_step(likelihood, posterior, A, k, Y, step=step, scale=scale)
        value, A_bar, k_bar, seen = bound(likelihood, posterior, A, k, Y, scale=scale)
        if self.likelihood is None:
            slope = likelihood.noise_slope(Y, seen.mean, seen.variance)
            slopes.noise = scale * slope
        slopes.add(X, A, k, saved, A_bar, k_bar)
        finite = np.isfinite(self.nu)
        if finite:
            value -= self.nu * state.trunk.divergence()
        return value, slopes.finish(self.nu if finite else 0.0), posterior


class Slopes:
    """Derivatives as blocks of rows bring them in."""

    def __init__(self, evidence, state):
        self.evidence, self.state = evidence, state
        self.noise, self.amplitude, self.K = 0.0, 0.0, None
        self.weights = np.zeros(len(state.weights))
        self.Z = np.zeros(state.Z.shape)

    def add(self, X, A, k, saved, A_bar, k_bar):
        state = self.state
        self.amplitude += 0.5 * float(np.sum(A_bar * A)) + float(k_bar @ k)
        root = np.sqrt(state.amplitude)
        G_bar, g_bar = state.trunk.rows_back(
            saved[1], root * A_bar, state.amplitude * k_bar
        )
        pulled = G_bar @ X
        self.weights += np.sum(state.Z * pulled, axis=0) + g_bar @ (X * X)
        self.Z += pulled * state.weights

    def parts(self):
        """Return what was brought in, as sums of rows elsewhere."""
        return self.amplitude, self.weights, self.Z, *self.state.trunk.collected()

    def gather(self, parts):
        """Add what rows elsewhere have brought in."""
        amplitude, weights, Z, *bars = parts
        self.amplitude += amplitude
        self.weights += weights
        self.Z += Z
        self.state.trunk.collect(bars)

    def finish(self, weight):
        """Return the gradient in all parameters, `weight` being that of the layers."""
        evidence, state = self.evidence, self.state
        G_bar = state.trunk.back(self.K, weight)
        pulled = G_bar @ state.Z
        self.weights += np.sum(state.Z * pulled, axis=0)
        self.Z += 2.0 * pulled * state.weights
        parts = []
        if evidence.learn_scales:
            parts += [self.weights * state.weights, [self.amplitude]]
        if evidence.likelihood is None:
            parts.append([self.noise * state.noise])
        if evidence._learned:
            for layer in state.trunk.layers[:-1]:
                V_bar = layer.V_bar[evidence._lower]
                V_bar[evidence._on_diagonal] *= layer.V.diagonal()
                parts.append(evidence._unit * V_bar)
        parts.append(self.Z[:, : evidence._free].ravel())
        return np.concatenate(parts)
