r"""Finish a partition by exchanges of single points, as Hartigan does.

Moving a point of weight w from cluster a to b changes the cost by

.. math:: \frac{n_b w}{n_b + w} \|x - m_b\|^2
    - \frac{n_a w}{n_a - w} \|x - m_a\|^2

so that partitions which no move improves are among the fixed points of Lloyd's
iteration, but fewer. The best move of all goes first: the order of the rows does not
matter. Equal rows move as one, as a row of their total weight would.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat._utils.validation import read_only, read_only_triple
from sparsestat.cluster import _kernels_exchange as kernels

__all__ = ["DistinctRows"]

_MAX_MOVES, _FEWEST_MOVES = 1_000, 10
_FLOPS = 2 * 10**8  # that the moves may take
_TOL = 1e-12  # of the cost: less than that is rounding
_SORTED_ENTRIES = 10**6  # of a sparse matrix that is written out to find equal rows


class DistinctRows:
    """Rows with equal ones merged, which share one label.

    Parameters
    ----------
    rows : {ndarray, csr_array} of shape (n_samples, n_features)
    weights : ndarray of shape (n_samples,)
        Positive.
    order : ndarray of shape (n_samples,)
        An order in which equal rows are neighbors; any other merges fewer of them.
    """

    def __init__(self, rows, weights, order):
        n, d = rows.shape
        self.member = np.arange(n)  # which distinct row each row is
        self.first = np.arange(n)
        if not sparse.issparse(rows) or n * d <= _SORTED_ENTRIES:
            dense = rows.toarray() if sparse.issparse(rows) else rows
            ordered = dense[order]
            new = np.ones(n, dtype=bool)
            new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
            self.first = order[new]
            self.member[order] = np.cumsum(new) - 1
        merged = len(self.first) < n
        self.rows = rows[self.first] if merged else rows
        if not merged:
            self.first = self.member = np.arange(n)
        self.weights = np.bincount(self.member, weights)

    def exchange(self, labels, n_clusters):
        """Return labels that no move of a distinct row improves.

        Also their means, the number of moves and whether these were all. None if not
        every cluster holds a distinct row, or there are too many for the moves to pay.
        """
        n, d = self.rows.shape
        limit = min(_MAX_MOVES, _FLOPS // (n * (n_clusters + 4 * d)))
        own = labels[self.first].astype(np.int64)
        if limit < _FEWEST_MOVES or len(np.unique(own)) < n_clusters:
            return None
        weights, settings = read_only(self.weights), (n_clusters, limit, _TOL)
        if sparse.issparse(self.rows):
            triple = read_only_triple(sparse.csr_array(self.rows))
            centers, moves = kernels.exchange_sparse(
                *triple, d, weights, own, *settings
            )
        else:
            rows = read_only(np.ascontiguousarray(self.rows))
            centers, moves = kernels.exchange_dense(rows, weights, own, *settings)
        return own[self.member], centers, moves, moves < limit
