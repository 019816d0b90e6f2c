r"""Finite nets of sparse unit vectors, counted before they are made.

Points of the grid of step :math:`\epsilon / \sqrt s` whose norm is within
:math:`\epsilon / 2` of 1, scaled to norm 1, are within :math:`\epsilon` of every point
of the sphere: the nearest grid point is within :math:`\epsilon / 2`, and scaling moves
it by at most as much again.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
from itertools import chain, combinations, islice

import numpy as np
from scipy.special import gammaln

__all__ = ["Net", "subset_chunks"]

_LONGEST_COUNT = 10**6
_ROUNDING = 1e-9


class Net:
    """A net of radius `radius` of the unit sphere or ball in `sparsity` dimensions.

    Parameters
    ----------
    sparsity : int
        Dimension.
    radius : float
        Largest distance of a point of the sphere (ball) to the net; at most 1.
    norm : {"sphere", "ball"}
        What is covered.
    """

    def __init__(self, sparsity, radius, norm):
        self.sparsity, self.norm = int(sparsity), norm
        root = math.sqrt(self.sparsity)
        if norm == "sphere":
            self.step = radius / root
            inner, outer = 1 - radius / 2, 1 + radius / 2
        else:  # projecting onto the ball brings points closer, so twice the step
            self.step = 2 * radius / root
            inner, outer = 0.0, 1 + radius
        # Squared norms of the integer vectors that are kept.
        self.low = (inner / self.step) ** 2 * (1 - _ROUNDING)
        self.high = (outer / self.step) ** 2 * (1 + _ROUNDING)

    def count(self):
        """Return the number of points, as a float; from volumes if it is vast."""
        if self.norm == "sphere" and self.sparsity == 1:
            return 2.0
        if self.high > _LONGEST_COUNT:
            s = self.sparsity
            log_ball = 0.5 * s * math.log(math.pi) - gammaln(0.5 * s + 1)
            log_outer = log_ball + 0.5 * s * math.log(self.high)
            share = 1 - (self.low / self.high) ** (0.5 * s)
            return share * math.exp(min(log_outer, 700.0))
        # The number of integer vectors by squared norm, one coordinate at a time.
        counts = np.zeros(int(self.high) + 1)
        counts[0] = 1.0
        for _ in range(self.sparsity):
            longer = counts.copy()
            for k in range(1, math.isqrt(len(counts) - 1) + 1):
                longer[k * k :] += 2 * counts[: len(counts) - k * k]
            counts = longer
        return float(counts[math.ceil(self.low) :].sum())

    def points(self):
        """Return the points as an array of shape (n_points, sparsity)."""
        if self.norm == "sphere" and self.sparsity == 1:
            return np.array([[-1.0], [1.0]])
        vectors = np.zeros((1, 0))
        squares = np.zeros(1)
        reach = math.isqrt(int(self.high))
        for _ in range(self.sparsity):
            kept = []
            for value in range(-reach, reach + 1):
                inside = squares + value * value <= self.high
                column = np.full((int(inside.sum()), 1), float(value))
                kept.append(np.hstack([vectors[inside], column]))
            vectors = np.vstack(kept)
            squares = np.einsum("ij,ij->i", vectors, vectors)
        vectors = vectors[squares >= self.low] * self.step
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        if self.norm == "ball":
            norms = np.maximum(norms, 1.0)
        return vectors / norms[:, None]


def subset_chunks(n_features, sparsity, size):
    """Yield all subsets of features in order, as arrays of at most `size` rows."""
    subsets = combinations(range(n_features), sparsity)
    while True:
        flat = np.fromiter(
            chain.from_iterable(islice(subsets, size)), dtype=np.intp
        ).reshape(-1, sparsity)
        if not len(flat):
            return
        yield flat
