"""The users of a simulated protocol: what a server would receive from all of them.

Users of a group answer in the order of their rows, in chunks whose randomness has a
seed of its own: a message depends neither on who computes it nor on the blocks in
which rows come.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
from scipy import sparse

from sparsestat._utils.moments import numeric_targets
from sparsestat._utils.parallel import run_parallel
from sparsestat.linear_model._private._clients import chunk_size

__all__ = ["BlockUsers", "Users"]


class Users:
    """Users whose records are in memory.

    Parameters
    ----------
    X, y : validated arrays
    n_jobs : int or None
    """

    def __init__(self, X, y, n_jobs=None):
        self.X, self.y, self.n_jobs, self.n = X, y, n_jobs, X.shape[0]

    def extent(self):
        """Return the largest norm of a row, entry and target."""
        return _extent(self.X, self.y)

    def total(self, client):
        """Return the sum of the moments of all records."""
        return _total(client, self.X, self.y)

    def mean_message(self, client, group, rng):
        """Return the mean of the messages of a group, as a server would receive it.

        Parameters
        ----------
        client : GradientClient or MomentClient
        group : ndarray of int
            Rows, in increasing order.
        rng : Generator
        """
        n, size = len(group), chunk_size(client.length)
        starts = range(0, n, size)
        seeds = rng.bit_generator.seed_seq.spawn(len(starts))
        rows = (_stretch(group[start : start + size]) for start in starts)
        tasks = (
            (client, self.X[here], self.y[here], seed)
            for here, seed in zip(rows, seeds, strict=True)
        )
        sums = run_parallel(_sum_of_messages, tasks, n_jobs=self.n_jobs)
        return np.sum(sums, axis=0) / n


class BlockUsers:
    """Users whose records come in blocks of rows; see :class:`Users`.

    Parameters
    ----------
    blocks : RowBlocks
    n_jobs : int or None
    name : str
        Of the estimator, for messages.
    """

    def __init__(self, blocks, n_jobs, name):
        self.blocks, self.n_jobs, self.n = blocks, n_jobs, blocks.n_samples
        self.name = name

    def _reduce(self, function, merge, *arguments, **options):
        call = self.blocks.reduce
        return call(
            function, merge, self.name, *arguments, n_jobs=self.n_jobs, **options
        )

    def extent(self):
        """Return the largest norm of a row, entry and target."""
        return self._reduce(_extent_of_block, _largest)

    def total(self, client):
        """Return the sum of the moments of all records."""
        return self._reduce(_total_of_block, _add, client)

    def mean_message(self, client, group, rng):
        """Return the mean of the messages of a group."""
        n, size = len(group), chunk_size(client.length)
        parent = rng.bit_generator.seed_seq
        first = parent.n_children_spawned
        parent.spawn(-(-n // size))
        seeds = parent.entropy, parent.spawn_key, parent.pool_size, first
        position = np.full(self.n, -1, dtype=np.int64)
        position[group] = np.arange(n)
        total = self._reduce(
            _messages_of_block, _add, client, seeds, (n, size), rows=position
        )
        return total / n


def _stretch(rows):
    """Return increasing rows as a slice where they are one: it needs no copy."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows


def _sum_of_messages(client, X, y, seed):
    return client.messages(X, y, np.random.default_rng(seed)).sum(axis=0)


def _extent(X, y):
    squares = X.multiply(X) if sparse.issparse(X) else np.square(X)
    norm = math.sqrt(np.asarray(squares.sum(axis=1)).max())
    return norm, math.sqrt(squares.max()), float(np.abs(y).max())


def _total(client, X, y):
    size = chunk_size(client.n_features + 1)
    total = 0.0
    for start in range(0, X.shape[0], size):
        rows = slice(start, start + size)
        total = total + client.total(X[rows], y[rows])
    return total


def _records(block, name):
    """Return the checked records of a block."""
    if block.weights is not None:
        raise ValueError(
            f"{name} takes no sample_weight: a weight would itself be private."
        )
    y = numeric_targets(block.y)
    if y.shape[1] > 1:
        raise ValueError(f"y should be a 1d array, got {y.shape[1]} columns.")
    return block.X, y[:, 0]


def _extent_of_block(block, name):
    return _extent(*_records(block, name))


def _largest(a, b):
    return tuple(map(max, a, b))


def _add(a, b):
    return a + b


def _total_of_block(block, name, client):
    return _total(client, *_records(block, name))


def _messages_of_block(block, position, name, client, seeds, sizes):
    """Sum the messages of those rows of a block that have a position in the group.

    Of a chunk that began before the block, or ends after it, all randomness is drawn.
    """
    X, y = _records(block, name)
    entropy, key, pool_size, first = seeds
    n, size = sizes
    own = np.flatnonzero(position >= 0)
    chunk, total = position[own] // size, np.zeros(client.length)
    for k in np.unique(chunk):
        rows = own[chunk == k]
        at = position[rows] - k * size
        seed = np.random.SeedSequence(
            entropy, spawn_key=(*key, first + int(k)), pool_size=pool_size
        )
        count = min(size, n - k * size)
        records, targets = X[rows], y[rows]
        if len(rows) < count:
            own_X = records.toarray() if sparse.issparse(records) else records
            records, targets = np.zeros((count, X.shape[1])), np.zeros(count)
            records[at], targets[at] = own_X, y[rows]
        sent = client.messages(records, targets, np.random.default_rng(seed))
        total += sent[at].sum(axis=0)
    return total
