"""Samples of probabilistic sparse coding that come in blocks of rows.

An E-step goes to the rows; log-evidences, a number for each row, and the statistics of
the M-step come back.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat._utils.arithmetic import Standardization, power_of_two
from sparsestat._utils.moments import dense_slices
from sparsestat._utils.samples import check_counts
from sparsestat.decomposition._coding._expectation_truncation import (
    Samples,
    add_statistics,
)
from sparsestat.decomposition._coding._models import Summary

__all__ = ["BlockSamples"]

_ROWS = 1024  # of an E-step at once


class BlockSamples:
    """What :class:`Samples` are to the EM, for rows that pass by.

    Parameters
    ----------
    blocks : RowBlocks
    name : str
        Of the estimator, for messages.
    verbose : int

    Attributes
    ----------
    weights : ndarray of shape (n_rows,)
        Of the rows of positive weight.
    origin : Standardization
        Takes off the means of dense columns, once :meth:`outline` was asked to.
    unit : float
        The power of two below the spread.
    """

    def __init__(self, blocks, name, verbose=0):
        self.blocks, self.verbose = blocks, verbose
        rows = np.arange(blocks.n_samples)
        self._outline, parts = blocks.reduce(
            _outline, _joined, rows=rows, description="outline", verbose=verbose
        )
        self.index = np.concatenate([index for index, _ in parts])
        self.unweighted = all(weights is None for _, weights in parts)
        self.weights = np.concatenate(
            [np.ones(len(i)) if w is None else w for i, w in parts]
        )
        self.n = len(self.index)
        check_counts(self.weights, self.n, name)

    @property
    def total(self):
        """The sum of the weights."""
        return self.n if self.unweighted else float(self.weights.sum())

    def choose_frame(self, *, centered):
        """Choose the unit of all arithmetic and its origin; return a summary in them.

        Parameters
        ----------
        centered : bool
            Whether the origin moves to the mean. Sparse rows stay where they are.
        """
        weight, mean, squares, is_sparse = self._outline
        zeros = np.zeros(len(mean))
        moves = centered and not is_sparse
        self.origin = Standardization(mean if moves else zeros, zeros, zeros)
        mean = zeros if moves else mean
        deviation = float(np.sqrt(squares / weight).mean())
        size = deviation or float(np.sqrt((mean**2).mean())) or 1.0
        self.unit = power_of_two(deviation or size)
        size /= self.unit
        return Summary(mean / self.unit, (deviation / self.unit) or size, 1e-6 * size)

    def sums(self, model, step, weights=None, onto=None, *, n_jobs=None):
        """Return log-evidences and statistics; see :class:`Samples`."""
        given = self.weights if weights is None else weights
        rows = np.zeros(self.blocks.n_samples)
        rows[self.index] = given
        parts, statistics = self.blocks.reduce(
            _expect,
            _added,
            model,
            step,
            (self.origin, self.unit),
            weights is not None,
            rows=rows,
            n_jobs=n_jobs,
            description="E-step",
            verbose=self.verbose,
        )
        log_z = np.concatenate(parts) if weights is None else None
        return log_z, add_statistics(statistics, onto)


def _outline(block, index):
    """Return weight, means and centered squares of a block, and lists of its rows."""
    n, p = block.X.shape
    w = np.ones(n) if block.weights is None else block.weights
    weight, is_sparse = float(w.sum()), sparse.issparse(block.X)
    first = block.X[:1].toarray()[0] if is_sparse else block.X[0]
    first = first.astype(np.float64)  # constants stay what they are
    step, squares = np.zeros(p), np.zeros(p)
    for rows, part in _slices(block.X):
        step += w[rows] @ (part - first)
    mean = first + step / weight
    for rows, part in _slices(block.X):
        squares += w[rows] @ (part - mean) ** 2
    return (weight, mean, squares, is_sparse), [(index, block.weights)]


def _slices(X):
    for rows, part in dense_slices(X):
        yield rows, part.astype(np.float64, copy=False)


def _joined(a, b):
    (weight, mean, squares, is_sparse), rows = a
    (other, other_mean, other_squares, other_sparse), more = b
    total, step = weight + other, other_mean - mean
    mean = mean + step * (other / total)
    squares = squares + other_squares + weight * other / total * step * step
    return (total, mean, squares, is_sparse or other_sparse), rows + more


def _expect(block, weights, model, step, frame, chosen):
    """Return log-evidences of the rows, in slices, and their statistics.

    Where rows are `chosen` those of weight zero are left out.
    """
    origin, unit = frame
    log_z, statistics = [], {}
    for start in range(0, block.X.shape[0], _ROWS):
        here = slice(start, start + _ROWS)
        X, w = block.X[here], weights[here]
        if chosen:
            kept = np.flatnonzero(w)
            X, w = X[kept], w[kept]
        if len(w) == 0:
            continue
        X = origin.apply(X) / unit
        (part,) = Samples(X, w, batch_size=_ROWS).blocks
        found = model.expect(step, part)
        log_z.append(found[0])
        statistics = add_statistics(found[2], statistics)
    return log_z, statistics


def _added(a, b):
    return a[0] + b[0], add_statistics(b[1], a[1])
