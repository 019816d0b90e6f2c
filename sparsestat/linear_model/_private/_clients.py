r"""What users send: privatized second moments, or privatized gradients.

A client is all that the device of a user needs beside the record: public constants.
Its ``messages(X, y, rng)`` turns records into messages, one row each; nothing else of a
record leaves the device.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse

from sparsestat.linear_model._private._ledger import ledger_entry
from sparsestat.linear_model._private._randomizers import (
    ROUNDING,
    gaussian_scale,
    pack_matrix,
    pack_symmetric,
    randomize_on_sphere,
    sphere_length,
    unpack_symmetric,
)

__all__ = ["Bounds", "GradientClient", "MomentClient", "chunk_size"]

_CHUNK_ENTRIES = 1 << 20
GAUSSIAN = "analytic Gaussian"
SPHERE = "sphere"


def _dense(X):
    X = X.toarray() if sparse.issparse(X) else X
    return np.asarray(X, dtype=np.float64)


@dataclass(frozen=True)
class Bounds:
    """The public limits of a record, and how a record is brought within them."""

    x: float
    y: float
    clipping: str

    def norm(self, n_features):
        """Return the largest Euclidean norm of a clipped row."""
        if self.clipping == "norm":
            return self.x
        return self.x * math.sqrt(n_features)

    def clip(self, X, y):
        """Return clipped copies.

        A row that is too long is shortened together with its y: a linear relation
        between them survives that, and the row merely counts less.
        """
        y = np.asarray(y, dtype=np.float64)
        if self.clipping == "coordinate":
            return np.clip(_dense(X), -self.x, self.x), np.clip(y, -self.y, self.y)
        X = _dense(X)
        norms = np.sqrt(np.einsum("ij,ij->i", X, X))
        if not np.isfinite(norms).all():  # squares of entries above 1e154
            largest = np.maximum(np.abs(X).max(axis=1), 1.0)
            norms = largest * np.linalg.norm(X / largest[:, None], axis=1)
        factors = np.ones_like(norms)
        np.divide(self.x, norms, out=factors, where=norms > self.x)
        return X * factors[:, None], np.clip(y * factors, -self.y, self.y)

    def clip_rows(self, X):
        """Return clipped rows that have no y."""
        return self.clip(X, np.zeros(X.shape[0]))[0]


class Block(NamedTuple):
    """A stretch of a message with a guarantee of its own."""

    quantity: str
    start: int
    stop: int
    radius: float  # largest Euclidean norm
    sensitivity: float  # largest Euclidean distance
    share: float  # of the budget


class MomentClient:
    """Release of the second moments of one record, without interaction.

    Parameters
    ----------
    kind : {"joint", "separate", "cross"}
        The moments of (x, c y) together; those of x and of x with y, half the budget
        each; or those of x with y alone, for a public covariance.
    mechanism : {"gaussian", "sphere"}
        The randomizer.
    n_features : int
        Length of x.
    bounds : Bounds
        Limits of a record.
    epsilon, delta : float
        Budget of a user.
    """

    def __init__(self, kind, mechanism, n_features, bounds, epsilon, delta):
        self.kind, self.mechanism = kind, mechanism
        self.n_features, self.bounds = n_features, bounds
        norm = bounds.norm(n_features)
        triangle = n_features * (n_features + 1) // 2
        # The share of y in the joint record: as much as that of x.
        self.weight = norm / bounds.y
        cross = norm * bounds.y
        if kind == "joint":
            # ||zz' - vv'||^2 = |z|^4 + |v|^4 - 2 <z, v>^2 in Frobenius norm.
            radius = norm**2 + (self.weight * bounds.y) ** 2
            length = triangle + n_features + 1
            self.blocks = [
                Block("(x, cy)(x, cy)'", 0, length, radius, math.sqrt(2) * radius, 1.0)
            ]
        elif kind == "separate":
            self.blocks = [
                Block("xx'", 0, triangle, norm**2, math.sqrt(2) * norm**2, 0.5),
                Block("xy", triangle, triangle + n_features, cross, 2 * cross, 0.5),
            ]
        else:
            self.blocks = [Block("xy", 0, n_features, cross, 2 * cross, 1.0)]
        self.epsilon, self.delta = epsilon, delta
        self.noise = [self._noise(block) for block in self.blocks]

    @property
    def length(self):
        """Length of a message."""
        return self.blocks[-1].stop

    def _noise(self, block):
        epsilon = block.share * self.epsilon
        if self.mechanism == "sphere":
            return sphere_length(
                block.stop - block.start, ROUNDING * block.radius, epsilon
            )
        return gaussian_scale(
            ROUNDING * block.sensitivity, epsilon, block.share * self.delta
        )

    def deviations(self, n):
        """Return the noise of each entry of a mean over n users, block by block."""
        scales = np.array(self.noise)
        if self.mechanism == "sphere":
            scales = scales / np.sqrt([b.stop - b.start for b in self.blocks])
        return scales / math.sqrt(n)

    def statistics(self, X, y):
        """Return the moments of each record, before randomization."""
        X, y = self.bounds.clip(X, y)
        if self.kind == "joint":
            return pack_symmetric(np.column_stack([X, self.weight * y]))
        if self.kind == "separate":
            return np.hstack([pack_symmetric(X), X * y[:, None]])
        return X * y[:, None]

    def total(self, X, y):
        """Return the sum of `statistics` over the records."""
        X, y = self.bounds.clip(X, y)
        if self.kind == "joint":
            Z = np.column_stack([X, self.weight * y])
            return pack_matrix(Z.T @ Z)
        if self.kind == "separate":
            return np.concatenate([pack_matrix(X.T @ X), X.T @ y])
        return X.T @ y

    def messages(self, X, y, rng):
        """Return what the users send, one row each."""
        values = self.statistics(X, y)
        for block, noise in zip(self.blocks, self.noise, strict=True):
            part = values[:, block.start : block.stop]
            if self.mechanism == "sphere":
                part[:] = randomize_on_sphere(
                    part,
                    ROUNDING * block.radius,
                    block.share * self.epsilon,
                    rng,
                )
            else:
                part += noise * rng.standard_normal(part.shape)
        return values

    def noisy_mean(self, total, n, rng):
        """Return a draw of the mean message: the sum of n Gaussians is Gaussian."""
        mean = total / n
        for block, deviation in zip(self.blocks, self.deviations(n), strict=True):
            size = block.stop - block.start
            mean[block.start : block.stop] += deviation * rng.standard_normal(size)
        return mean

    def moments(self, mean):
        """Return the matrix of x (None when public) and the vector of x with y."""
        if self.kind == "joint":
            M = unpack_symmetric(mean)
            return M[:-1, :-1], M[:-1, -1] / self.weight
        if self.kind == "separate":
            stop = self.blocks[0].stop
            return unpack_symmetric(mean[:stop]), mean[stop:]
        return None, mean

    def entry_deviations(self, n):
        """Return the noise of an off-diagonal entry of the matrix, and of the vector.

        Both of the mean over n users, as `moments` returns them.
        """
        deviations = self.deviations(n)
        if self.kind == "joint":
            off_diagonal = deviations[0] / math.sqrt(2.0)
            return off_diagonal, off_diagonal / self.weight
        if self.kind == "separate":
            return deviations[0] / math.sqrt(2.0), deviations[1]
        return 0.0, deviations[0]

    def ledger(self, n):
        """Return the lines of the ledger for n users."""
        gaussian = self.mechanism == "gaussian"
        return [
            ledger_entry(
                GAUSSIAN if gaussian else SPHERE,
                block.quantity,
                group=0,
                group_size=n,
                epsilon=block.share * self.epsilon,
                delta=block.share * self.delta if gaussian else 0.0,
                sensitivity=block.sensitivity,
                noise_scale=noise,
            )
            for block, noise in zip(self.blocks, self.noise, strict=True)
        ]


@dataclass(frozen=True)
class GradientClient:
    """Release of the gradient of the squared error of one record at public `coef`."""

    coef: np.ndarray
    bounds: Bounds
    radius: float
    epsilon: float

    @property
    def length(self):
        """Length of a message."""
        return len(self.coef)

    def messages(self, X, y, rng):
        """Return what the users send, one row each."""
        X, y = self.bounds.clip(X, y)
        G = X * (X @ self.coef - y)[:, None]
        return randomize_on_sphere(G, self.radius, self.epsilon, rng)

    def ledger(self, group, n):
        """Return the line of the ledger for a group of n users."""
        return ledger_entry(
            SPHERE,
            "gradient",
            group=group,
            group_size=n,
            epsilon=self.epsilon,
            delta=0.0,
            sensitivity=2.0 * self.radius,
            noise_scale=sphere_length(self.length, self.radius, self.epsilon),
        )


def chunk_size(length):
    """Return how many messages are held in memory at once."""
    return max(1, _CHUNK_ENTRIES // max(1, length))
