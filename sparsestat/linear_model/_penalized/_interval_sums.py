"""Sums over intervals of positions that take no differences of longer sums."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

__all__ = ["IntervalSums"]


class IntervalSums:
    """Rows that hold intervals of positions, on a binary tree of the positions.

    A difference of cumulative sums has no digits where little is left of much. Here an
    interval is made up of nodes of the tree, so that all is added: in time O(n log m)
    for n intervals of m positions.

    Parameters
    ----------
    starts, stops : ndarray of int of shape (n_rows,)
        The positions from `start` to `stop - 1` belong to a row; none where these are
        not more.
    n_positions : int
    """

    def __init__(self, starts, stops, n_positions):
        self.n_positions = n_positions
        self.n_leaves = 1 << max(n_positions - 1, 0).bit_length()
        rows, nodes = [], []
        low, high = starts + self.n_leaves, stops + self.n_leaves
        open_ = np.flatnonzero(low < high)
        while len(open_):
            left, right = low[open_] & 1 == 1, high[open_] & 1 == 1
            rows += [open_[left], open_[right]]
            nodes += [low[open_[left]], high[open_[right]] - 1]
            low, high = (low + 1) // 2, high // 2
            open_ = open_[low[open_] < high[open_]]
        rows, nodes = np.concatenate([*rows, []]), np.concatenate([*nodes, []])
        shape = (2 * self.n_leaves, len(starts))
        at = nodes.astype(np.intp), rows.astype(np.intp)
        self.cover = sparse.csr_array((np.ones(len(rows)), at), shape=shape)

    def at_positions(self, values):
        """Sum values of rows over those whose intervals hold each position.

        Parameters
        ----------
        values : ndarray of shape (n_rows,) or (n_rows, n_columns)

        Returns
        -------
        sums : ndarray of shape (n_positions,) or (n_positions, n_columns)
        """
        tree = self.cover @ values
        width = 1
        while width < self.n_leaves:
            above = tree[width : 2 * width]
            tree[2 * width : 4 * width] += np.repeat(above, 2, axis=0)
            width *= 2
        return tree[self.n_leaves : self.n_leaves + self.n_positions]

    def of_rows(self, values):
        """Sum values of positions over the interval of each row.

        Parameters
        ----------
        values : ndarray of shape (n_positions,)

        Returns
        -------
        sums : ndarray of shape (n_rows,)
        """
        tree = np.zeros(2 * self.n_leaves)
        tree[self.n_leaves : self.n_leaves + self.n_positions] = values
        width = self.n_leaves // 2
        while width:
            below = tree[2 * width : 4 * width]
            tree[width : 2 * width] = below[::2] + below[1::2]
            width //= 2
        return self.cover.T @ tree
