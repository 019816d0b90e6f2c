"""Rows in blocks as clusterings use them: samples, means of clusters, distances.

Labels and, where they are asked for, distances to all centers stand in memory; rows
pass by.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat._utils.moments import dense_slices, merge_sums
from sparsestat._utils.validation import LARGEST_ENTRY, check_magnitude

__all__ = ["ClusterBlocks"]


class ClusterBlocks:
    """What clusterings ask of rows in blocks; see :class:`RowBlocks`.

    Rows of weight zero are none. Points are about `center`, if it is set.

    Parameters
    ----------
    blocks : RowBlocks

    Attributes
    ----------
    index : ndarray of int of shape (n_rows,)
        Where the rows of positive weight stand, known after :meth:`outline`.
    weights : ndarray of shape (n_rows,)
        Their weights.
    total : ndarray of shape (n_features,)
        The weighted sum of the rows.
    """

    def __init__(self, blocks):
        self.blocks, self.center, self.unit = blocks, np.zeros(blocks.n_features), 1.0

    def outline(self):
        """Read the weights and the mean once; points are about the mean then."""
        self.n_all = self.blocks.n_samples
        parts, total, weight = self._reduce(_outline)
        self.index = np.concatenate([index for index, _ in parts])
        self.weights = np.concatenate([weights for _, weights in parts])
        self.center = total / weight
        return self

    def _reduce(self, function, *arguments):
        rows = np.arange(self.blocks.n_samples)
        return self.blocks.reduce(function, merge_sums, *arguments, rows=rows)

    def sample(self, size, rng):
        """Return rows of positive weight, drawn alike, and their weights.

        In the units of the data. What is drawn does not depend on the blocks.
        """
        block = self.blocks.sample(size, rng)
        return block.X, _weights(block)

    def nearest(self, means):
        """Return the labels of the nearest means, and what :meth:`sums` does."""
        parts, sums, mass, cost = self._reduce(_nearest, self.center, self.unit, means)
        labels = np.concatenate([labels for _, labels in parts])
        return labels, sums, mass, float(cost)

    def sums(self, labels, n_clusters):
        """Return the weighted sums and the weights of clusters."""
        full = np.full(self.n_all, -1, dtype=np.int32)
        full[self.index] = labels
        arguments = self.center, self.unit, n_clusters
        return self.blocks.reduce(_sums, merge_sums, *arguments, rows=full)

    def cost(self, labels, means):
        """Return the weighted squared distances of the rows to their means."""
        full = np.full(self.n_all, -1, dtype=np.int32)
        full[self.index] = labels
        arguments = self.center, self.unit, means
        return float(self.blocks.reduce(_cost, _add, *arguments, rows=full))

    def placed(self, place, placing, sure, n_clusters):
        """Return labels of all rows, whether they are sure, and means of clusters.

        Parameters
        ----------
        place : callable
            Called as ``place(rows, placing, sure)``.
        """
        arguments = place, placing, sure, n_clusters
        parts, sums, mass = self._reduce(_placed, *arguments, self.center)
        labels, core = (
            np.full(self.n_all, -1, dtype=np.int32),
            np.zeros(self.n_all, bool),
        )
        for index, own, known in parts:
            labels[index], core[index] = own, known
        with np.errstate(invalid="ignore"):
            return labels, core, sums / mass[:, None] + self.center

    def at(self, where):
        """Return some rows, about the center."""
        order = np.full(self.n_all, -1, dtype=np.int64)
        order[self.index[where]] = np.arange(len(where))
        parts, _ = self.blocks.reduce(_picked, merge_sums, rows=order)
        out = np.empty((len(where), self.blocks.n_features))
        for at, X in parts:
            out[at] = X
        return (out - self.center) / self.unit

    def distances(self, centers, out):
        """Write squared distances less the squared norms of the rows into out.

        Returns
        -------
        squares : ndarray of shape (n_rows,)
            The squared norms.
        """
        (parts,) = self._reduce(_distances, self.center, self.unit, centers)
        squares, start = np.empty(len(out)), 0
        for D, norms in parts:
            out[start : start + len(D)], squares[start : start + len(D)] = D, norms
            start += len(D)
        return squares


def _points(block, center, unit, width=1):
    """Yield slices of rows, and these about the center."""
    for rows, part in dense_slices(block.X, width):
        part = np.subtract(part, center, dtype=np.float64)
        yield rows, part / unit if unit != 1.0 else part


def _weights(block):
    return np.ones(block.X.shape[0]) if block.weights is None else block.weights


def _outline(block, index):
    check_magnitude(block.X, largest=LARGEST_ENTRY)
    w = _weights(block)
    total = sum(w[rows] @ part for rows, part in _points(block, 0.0, 1.0))
    return ((index, w),), total, float(w.sum())


def _add_sums(part, labels, w, sums, mass):
    k = len(sums)
    hot = sparse.csc_array((w, labels, np.arange(len(w) + 1)), shape=(k, len(w)))
    sums += hot @ part
    mass += np.bincount(labels, w, minlength=k)


def _nearest(block, index, center, unit, means):
    sums, mass, cost = np.zeros(means.shape), np.zeros(len(means)), 0.0
    labels = np.empty(block.X.shape[0], dtype=np.int32)
    squares, w = np.einsum("kd,kd->k", means, means), _weights(block)
    for rows, part in _points(block, center, unit, len(means)):
        D = squares - 2.0 * (part @ means.T)
        labels[rows] = D.argmin(axis=1)
        _add_sums(part, labels[rows], w[rows], sums, mass)
        norms = np.einsum("ij,ij->i", part, part)
        cost += float(w[rows] @ np.maximum(D.min(axis=1) + norms, 0.0))
    return ((index, labels),), sums, mass, cost


def _sums(block, labels, center, unit, n_clusters):
    sums, mass = np.zeros((n_clusters, block.X.shape[1])), np.zeros(n_clusters)
    w = _weights(block)
    for rows, part in _points(block, center, unit):
        _add_sums(part, labels[rows], w[rows], sums, mass)
    return sums, mass


def _distances(block, index, center, unit, centers):
    D, norms = np.empty((len(index), len(centers))), np.empty(len(index))
    squares = np.einsum("kd,kd->k", centers, centers)
    for rows, part in _points(block, center, unit, len(centers)):
        D[rows] = squares - 2.0 * (part @ centers.T)
        norms[rows] = np.einsum("ij,ij->i", part, part)
    return (((D, norms),),)


def _cost(block, labels, center, unit, means):
    total, w = 0.0, _weights(block)
    for rows, part in _points(block, center, unit):
        part = part - means[labels[rows]]
        total += float(w[rows] @ np.einsum("ij,ij->i", part, part))
    return total


def _add(a, b):
    return a + b


def _picked(block, order):
    here = np.flatnonzero(order >= 0)
    X = block.X[here]
    X = X.toarray() if sparse.issparse(X) else X
    return ((order[here], X),), 0


def _placed(block, index, place, placing, sure, n_clusters, center):
    sums, mass = np.zeros((n_clusters, block.X.shape[1])), np.zeros(n_clusters)
    labels, core = np.empty(len(index), dtype=np.int32), np.empty(len(index), bool)
    for rows, part in _points(block, center, 1.0):
        labels[rows], core[rows] = place(part + center, placing, sure)
        _add_sums(part, labels[rows], np.ones(len(part)), sums, mass)
    return ((index, labels, core),), sums, mass
