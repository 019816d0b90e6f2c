r"""Likelihoods of a Gaussian process: expectations of log p(y | f), f being Gaussian.

Each has `n_outputs`, the processes a sample sees, and ``expected(y, mean, variance)``:
the expectation of the log likelihood of each sample, and its exact derivatives in the
means and variances, all of shape (n_samples, n_outputs). Where an integral has no
closed form the nodes are fixed, so that the result is a smooth function that does not
change from call to call.

References
----------
.. [1] J. Hensman, N. Fusi, N. D. Lawrence, "Gaussian processes for big data", UAI,
   2013.
.. [2] J. Hensman, A. G. de G. Matthews, Z. Ghahramani, "Scalable variational Gaussian
   process classification", AISTATS, 2015.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.special import gammaln, log_ndtr, ndtr, softmax
from scipy.stats import norm, qmc

__all__ = ["Bernoulli", "Gaussian", "Softmax", "StudentT"]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(20)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_LOG_2PI = np.log(2.0 * np.pi)
_SMALLEST = 1e-12  # variances below count as this
_DRAWS, _MANY_DRAWS = 32, 512
_BLOCK = 1 << 15


class Gaussian:
    """Normal noise of one variance on every output."""

    def __init__(self, noise, n_outputs=1):
        self.noise, self.n_outputs = noise, n_outputs

    def expected(self, y, mean, variance):
        rest = y - mean
        value = -0.5 * (_LOG_2PI + np.log(self.noise))
        value = value - 0.5 * (rest**2 + variance) / self.noise
        slope = np.full_like(variance, -0.5 / self.noise)
        return value.sum(axis=1), rest / self.noise, slope

    def noise_slope(self, y, mean, variance):
        """Return the derivative of the sum over samples in the noise variance."""
        squares = np.sum((y - mean) ** 2 + variance)
        return 0.5 * (squares / self.noise - y.size) / self.noise


class _Quadrature:
    """One output whose log likelihood has no closed expectation: 20 Hermite nodes."""

    n_outputs = 1

    def expected(self, y, mean, variance):
        root = np.sqrt(np.maximum(variance, _SMALLEST))
        f = mean + root * _NODES
        value, slope = self._log_density(y, f)
        slope = slope * _WEIGHTS
        mean_bar = slope.sum(axis=1, keepdims=True)
        variance_bar = 0.5 * (slope @ _NODES)[:, None] / root
        return value @ _WEIGHTS, mean_bar, variance_bar


class Bernoulli(_Quadrature):
    """Two classes, y being 1 or -1, through the normal distribution function."""

    def _log_density(self, y, f):
        value = log_ndtr(y * f)
        slope = y * np.exp(-0.5 * f * f - 0.5 * _LOG_2PI - value)
        return value, slope

    def probabilities(self, mean, variance):
        """Return the probability of each class, in closed form."""
        z = mean[:, 0] / np.sqrt(1.0 + variance[:, 0])
        return np.column_stack([ndtr(-z), ndtr(z)])


class StudentT(_Quadrature):
    """Heavy-tailed noise: Student's t with given degrees of freedom and scale.

    Rows may count by `weights`.
    """

    def __init__(self, scale, degrees=4.0, weights=1.0):
        self.scale, self.degrees, self.weights = scale, degrees, weights
        self._constant = (
            gammaln(0.5 * (degrees + 1)) - gammaln(0.5 * degrees)
            - 0.5 * np.log(degrees * np.pi)
        )  # fmt: skip

    def _log_density(self, y, f):
        nu, r = self.degrees, (y - f) / self.scale
        value = self._constant - np.log(self.scale)
        value = value - 0.5 * (nu + 1) * np.log1p(r * r / nu)
        return value, (nu + 1) * r / (nu + r * r) / self.scale

    def expected(self, y, mean, variance):
        value, mean_bar, variance_bar = super().expected(y, mean, variance)
        if np.ndim(self.weights):
            w = self.weights[:, None]
            return self.weights * value, w * mean_bar, w * variance_bar
        return value, mean_bar, variance_bar

    def scale_slope(self, y, mean, variance):
        """Return the derivative of the sum over samples in the log of the scale."""
        f = mean + np.sqrt(np.maximum(variance, _SMALLEST)) * _NODES
        square = ((y - f) / self.scale) ** 2
        slope = (self.degrees + 1) * square / (self.degrees + square) - 1.0
        return float(np.sum(self.weights * (slope @ _WEIGHTS)))


class Softmax:
    """Several classes, y being rows of an identity matrix.

    Expectations are taken over a fixed, symmetric set of points of low discrepancy,
    whose covariance is exactly the identity.
    """

    def __init__(self, n_outputs):
        self.n_outputs = n_outputs
        self._few = _symmetric_points(n_outputs, _DRAWS)

    def expected(self, y, mean, variance):
        root = np.sqrt(np.maximum(variance, _SMALLEST))
        points = self._few
        value, size = np.empty(len(y)), len(points)
        mean_bar, root_bar = np.empty_like(mean), np.empty_like(mean)
        for rows in _blocks(len(y), points.size):
            f = mean[rows, None] + root[rows, None] * points
            f -= f.max(axis=2, keepdims=True)
            chosen = np.einsum("ipj,ij->i", f, y[rows])
            np.exp(f, out=f)
            total = f.sum(axis=2, keepdims=True)
            value[rows] = (chosen - np.log(total).sum(axis=(1, 2))) / size
            f /= -total
            f += y[rows, None]
            mean_bar[rows] = f.sum(axis=1) / size
            root_bar[rows] = np.einsum("ipj,pj->ij", f, points) / size
        return value, mean_bar, 0.5 * root_bar / root

    def probabilities(self, mean, variance):
        """Return the probability of each class, averaged over more points."""
        root = np.sqrt(np.maximum(variance, _SMALLEST))
        points = _symmetric_points(self.n_outputs, _MANY_DRAWS)
        p = np.empty_like(mean)
        for rows in _blocks(len(mean), points.size):
            p[rows] = softmax(mean[rows, None] + root[rows, None] * points, 2).mean(1)
        return p / p.sum(axis=1, keepdims=True)


def _blocks(n, size):
    """Yield slices of rows whose arrays of `size` numbers each stay in the cache."""
    step = max(1, _BLOCK // size)
    for start in range(0, n, step):
        yield slice(start, start + step)


def _symmetric_points(n_dims, least):
    """Return normal points of low discrepancy with mean zero and unit covariance."""
    size = max(least // 2, 2 ** int(np.ceil(np.log2(2 * n_dims))))
    half = norm.ppf(qmc.Sobol(n_dims, seed=0).random(size))
    values, vectors = np.linalg.eigh(half.T @ half / size)
    half = half @ (vectors / np.sqrt(values)) @ vectors.T
    return np.vstack([half, -half])
