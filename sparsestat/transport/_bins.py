r"""Bins of histograms that share a barycenter: any costs, or the pixels of a grid.

Squared distances on a grid are sums over its axes, so that the kernel
:math:`\exp(-C/\varepsilon)` is a product: a pass takes an axis at a time, N times the
side of the grid and not N squared, and no costs are held. Sums are of exponentials of
differences, as everywhere: a blur that would underflow is none the worse.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np

from sparsestat._utils.validation import read_only
from sparsestat.transport._kernels_grid import axis_log_sums
from sparsestat.transport._semidual import SemiDual

__all__ = ["Bins", "Grid"]


class Bins:
    """Histograms and a barycenter on bins with any costs between them."""

    def __init__(self, cost):
        self.cost = cost
        n, self.size = cost.shape
        sample = cost.sample()
        self.scale = float(np.median(sample) - sample.min())
        self.n_terms = n + self.size
        self._uniform = (np.full(n, 1.0 / n), np.full(self.size, 1.0 / self.size))
        self._whole = None

    def measure(self, masses):
        """Return a histogram with the potentials of its plan."""
        return _Measure(self.cost, masses)

    def blurred(self, log_d, eps):
        """Return the logarithm of the kernel times exp(log_d)."""
        if self._whole is None:
            self._whole = SemiDual(self.cost, *self._uniform)
        return self._whole.column_softmax(eps * log_d, eps) / eps


class _Measure:
    """One histogram with the potentials of its plan to the barycenter."""

    def __init__(self, cost, masses):
        rows = np.flatnonzero(masses)
        m = cost.shape[1]
        inner = cost.take(rows, np.arange(m))
        own = masses[rows]
        self.problem = SemiDual(inner, own / own.sum(), np.full(m, 1.0 / m))
        self.g = np.zeros(m)

    def log_sums(self, eps):
        """Return the state at g and the logarithms of its column sums."""
        state = self.problem.evaluate(self.g, eps)
        with np.errstate(divide="ignore"):
            sums = np.log(state.c)
        if state.c.min() <= 1e-7 / self.problem.m:
            sums = (self.g + self.problem.column_softmax(state.f, eps)) / eps
        return state, sums


class Grid:
    """Histograms and a barycenter on a grid, at squared distances in its steps."""

    def __init__(self, shape):
        self.shape = shape
        self.size = int(np.prod(shape))
        self.n_terms = 2 * sum(shape) * len(shape)
        axes = [np.arange(n, dtype=np.float64) for n in shape]
        self.squares = [(x[:, None] - x) ** 2 for x in axes]
        # The mean over all pairs of bins; the smallest cost is zero.
        self.scale = sum((n * n - 1) / 6.0 for n in shape)

    def measure(self, masses):
        """Return an image with the potentials of its plan."""
        return _Image(self, masses)

    def blurred(self, log_d, eps, dear=None):
        """Return the logarithm of the kernel times exp(log_d).

        With `dear`, the kernel is multiplied by the squared distance along that axis.
        """
        out = log_d
        for k, D in enumerate(self.squares):
            weights = -D / eps
            if k == dear:
                with np.errstate(divide="ignore"):
                    weights += np.log(D)
            n = len(D)
            V = out.reshape(int(np.prod(self.shape[:k])), n, -1)
            out = np.empty_like(V)
            axis_log_sums(read_only(V), read_only(weights), out)
        return out.ravel()


@dataclass
class _ImageState:
    """Column sums of a plan between images, and its cost when asked for."""

    grid: Grid
    f: np.ndarray
    g: np.ndarray
    c: np.ndarray
    eps: float

    @property
    def cost(self):
        moved = [
            np.exp(self.f + self.grid.blurred(self.g, self.eps, dear=k)).sum()
            for k in range(len(self.grid.shape))
        ]
        return float(sum(moved))


class _Image:
    """One image with the potentials of its plan to the barycenter."""

    def __init__(self, grid, masses):
        self.grid = grid
        with np.errstate(divide="ignore"):
            self.log_a = np.log(masses / masses.sum())
        self.g = np.zeros(grid.size)

    def log_sums(self, eps):
        """Return the state at g and the logarithms of its column sums."""
        g = self.g / eps
        f = self.log_a - self.grid.blurred(g, eps)
        sums = g + self.grid.blurred(f, eps)
        return _ImageState(self.grid, f, g, np.exp(sums), eps), sums
