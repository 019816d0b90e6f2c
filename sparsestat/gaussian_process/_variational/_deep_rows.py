"""Rows in blocks as deep kernel machines use them: sums of the bound, and its slopes.

A value of the bound takes two passes: one for the sums over the rows, one back through
the layers. The layers themselves, which are as large as the square of the number of
inducing points, travel to the rows.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import replace

import numpy as np
from scipy.sparse import issparse

from sparsestat._utils.moments import (
    fold_moments,
    merge_folds,
    merge_sums,
    numeric_targets,
)
from sparsestat.gaussian_process._kernel._evidence import check_data
from sparsestat.gaussian_process._variational._deep_evidence import Slopes, row_step

__all__ = ["DeepRows"]


class DeepRows:
    """What the bound asks of rows that pass by.

    Parameters
    ----------
    blocks : RowBlocks
    include_bias : bool
        Whether a constant comes after the features.

    Attributes
    ----------
    n : int
        Number of rows.
    x_mean, x_scale, y_mean, y_scale : ndarray
        Centers and units of features and targets.
    size : float
        The largest absolute feature.
    square : float
        Sum of squares of the standardized targets.
    is_flat : bool
        Whether targets came in one dimension.
    """

    def __init__(self, blocks, include_bias):
        self.blocks, p = blocks, blocks.n_features
        (flat, found) = blocks.reduce(_outline, _joined)
        if len(flat) > 1:
            raise ValueError(
                "Some blocks of y have one dimension, others two. Pass the same shape "
                "in all blocks."
            )
        (self.is_flat,), moments = flat, found[0]
        self.n = moments.n_rows
        level = moments.low == moments.high
        spread = np.where(level, 0.0, moments.spread.diagonal())
        scale = np.sqrt(spread / self.n)
        scale = np.where(scale > 0.0, scale, 1.0)
        center = moments.center
        self.x_mean, self.y_mean = center[:p], center[p:]
        self.x_scale, self.y_scale = scale[:p], scale[p:]
        ends = np.abs([moments.low[:p], moments.high[:p]])
        self.size = float(ends.max())
        self.square = float(np.sum(spread[p:] / self.y_scale**2))
        self._units = center, scale, include_bias

    def sample(self, size, rng):
        """Return rows in their order, standardized: all where there are not more."""
        chosen = np.ones(self.blocks.n_samples, dtype=bool)
        if self.n > size:
            chosen[:] = False
            chosen[rng.choice(self.n, size, replace=False)] = True
        X, Y = self.blocks.reduce(_chosen, merge_sums, self._units, rows=chosen)
        return np.concatenate(X), np.concatenate(Y)

    def sums(self, state):
        """Return what Titsias' bound needs: M, v, and the sum of prior variances."""
        return self.blocks.reduce(_forward, merge_sums, self._units, state)

    def slopes(self, state, bars):
        """Return the derivatives that the rows bring in; see :class:`Slopes`."""
        return self.blocks.reduce(_backward, merge_sums, self._units, state, bars)


def _outline(block):
    if block.weights is not None:
        raise ValueError(
            "Deep kernel machines take no sample_weight. Leave it out, or repeat rows."
        )
    Y = numeric_targets(block.y)
    check_data(block.X.data if issparse(block.X) else block.X, Y)
    flat = {np.ndim(block.y) == 1}
    return flat, fold_moments(block, None, numeric_targets)


def _joined(a, b):
    return a[0] | b[0], merge_folds(a[1], b[1])


def _standardized(block, units):
    """Return features, with the constant, and targets in units of all rows."""
    (center, scale, include_bias), p = units, block.X.shape[1]
    X = block.X.toarray() if issparse(block.X) else block.X
    X = (X.astype(np.float64, copy=False) - center[:p]) / scale[:p]
    if include_bias:
        X = np.column_stack([X, np.ones(len(X))])
    return np.ascontiguousarray(X), (numeric_targets(block.y) - center[p:]) / scale[p:]


def _chosen(block, chosen, units):
    X, Y = _standardized(block, units)
    return (X[chosen],), (Y[chosen],)


def _pieces(block, units, state):
    X, Y = _standardized(block, units)
    step = row_step(len(state.Z))
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        yield X[rows], Y[rows]


def _forward(block, units, state):
    M = v = total = 0.0
    for X, Y in _pieces(block, units, state):
        A, k, _ = state.rows(X)
        M, v, total = M + A @ A.T, v + A @ Y, total + float(k.sum())
    return M, v, total


def _backward(block, units, state, bars):
    slopes = Slopes(None, replace(state, trunk=state.trunk.fresh()))
    M_bar, v_bar, k_bar = bars
    for X, Y in _pieces(block, units, state):
        A, k, saved = state.rows(X)
        A_bar = 2.0 * (M_bar @ A) + v_bar @ Y.T
        slopes.add(X, A, k, saved, A_bar, np.full(len(k), k_bar))
    return slopes.parts()
