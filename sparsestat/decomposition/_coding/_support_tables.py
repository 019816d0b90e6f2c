"""Which supports a set of samples uses, so that each is computed once.

With few components the table lists all supports of at most gamma causes and serves
all samples; otherwise it is made anew for every block, of the supports that occur.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np

from sparsestat._utils.validation import read_only
from sparsestat.decomposition._coding import _kernels_supports as kernels
from sparsestat.decomposition._coding._models import CodingModel
from sparsestat.decomposition._coding._truncation import state_tree

__all__ = ["SupportModel", "Supports"]

_MOST_SHARED = 200_000  # supports in a table for all samples
_MOST_ENTRIES = 25_000_000  # numbers in a table
_LARGEST_RANK = 2**62


@dataclass(frozen=True)
class Supports:
    """Supports in the order of a table, the single causes first."""

    members: np.ndarray
    sizes: np.ndarray

    @property
    def arrays(self):
        """Both arrays, for the kernels."""
        return self.members, self.sizes


@lru_cache(maxsize=16)
def _binomials(n, k):
    """Return C(c, g) for c < n and g <= k, 0 where it would not fit."""
    table = [[comb(c, g) for g in range(k + 1)] for c in range(n)]
    return read_only(
        np.array(
            [[b if b < _LARGEST_RANK else 0 for b in row] for row in table],
            dtype=np.int64,
        )
    )


def _fits(n, k):
    return sum(comb(n, g) for g in range(1, k + 1)) < _LARGEST_RANK


@lru_cache(maxsize=16)
def _offsets(n, k):
    """Return where the supports of each size begin in a table of all of them."""
    counts = [0, 0] + [comb(n, g) for g in range(1, k)]
    return read_only(np.cumsum(np.array(counts, dtype=np.int64)))


def rank_states(candidates, tree, n_components):
    """Return the number of every state's support in a table of all supports."""
    gamma = tree.members.shape[1]
    ranks = np.empty((len(candidates), len(tree.sizes)), dtype=np.int64)
    kernels.rank_states(
        read_only(np.ascontiguousarray(candidates)),
        tree.members,
        tree.sizes,
        tree.parents,
        _binomials(n_components, gamma),
        _offsets(n_components, gamma),
        ranks,
    )
    return ranks


@lru_cache(maxsize=8)
def all_supports(n_components, max_active):
    """Return all supports of at most `max_active` causes, by their ranks."""
    tree = state_tree(n_components, max_active)
    ranks = rank_states(np.arange(n_components)[None, :], tree, n_components)[0, 1:]
    members = np.zeros((len(ranks), max_active), dtype=np.int64)
    sizes = np.empty(len(ranks), dtype=np.int64)
    members[ranks], sizes[ranks] = tree.members[1:], tree.sizes[1:]
    return Supports(read_only(members), read_only(sizes))


def group_candidates(candidates, n_components):
    """Return the distinct sets of candidates, and which one each sample has."""
    k = candidates.shape[1]
    if _fits(n_components, k):
        table = _binomials(n_components, k)
        key = table[candidates, np.arange(1, k + 1)].sum(axis=1)
        _, first, sets = np.unique(key, return_index=True, return_inverse=True)
        return candidates[first], sets.ravel()
    distinct, sets = np.unique(candidates, axis=0, return_inverse=True)
    return distinct, sets.ravel()


def occurring_supports(distinct, tree, n_components):
    """Return the supports that sets of candidates have, and each state's row."""
    first = 1 + distinct.shape[1]  # states of several causes
    gamma = tree.members.shape[1]
    n_several = len(tree.sizes) - first
    if _fits(n_components, gamma):
        ranks = rank_states(distinct, tree, n_components)[:, first:]
        _, flat, inverse = np.unique(
            ranks.ravel(), return_index=True, return_inverse=True
        )
    else:  # too many supports to number them: none is shared
        flat = inverse = np.arange(len(distinct) * n_several)
    rows = np.zeros((len(distinct), len(tree.sizes)), dtype=np.int64)
    rows[:, first:] = n_components + inverse.reshape(len(distinct), n_several)
    which, state = np.divmod(flat, max(n_several, 1))
    members = np.zeros((n_components + len(flat), gamma), dtype=np.int64)
    members[:n_components, 0] = np.arange(n_components)
    sizes = np.ones(len(members), dtype=np.int64)
    states = tree.members[first + state]
    members[n_components:] = distinct[which[:, None], states]
    sizes[n_components:] = tree.sizes[first + state]
    return Supports(read_only(members), read_only(sizes)), rows


class SupportModel(CodingModel):
    """A model whose costly terms depend on the support alone.

    A subclass offers ``table(step, supports)``, ``select(step, data)``,
    ``data(step, block)``, and works on the table.
    """

    row_entries = 1  # numbers in a row of the table

    @property
    def first(self):
        """The tree's first state of several causes."""
        return 1 + self.n_candidates

    def shared_supports(self):
        """Return the supports of a table for all samples, or None if too many."""
        n = sum(comb(self.n_components, g) for g in range(1, self.max_active + 1))
        if n > _MOST_SHARED or n * self.row_entries > _MOST_ENTRIES:
            return None
        return all_supports(self.n_components, self.max_active)

    def parts(self, n):
        """Return slices of a block, short enough for their table to fit."""
        entries = len(self.tree.sizes) * max(self.row_entries, 1)
        length = int(np.clip(_MOST_ENTRIES // entries, 16, 1024))
        return [slice(k, k + length) for k in range(0, n, length)]

    def supports_of(self, step, candidates):
        """Return supports, their table, the sets of samples, and rows of states."""
        distinct, sets = group_candidates(candidates, self.n_components)
        if step.shared is not None:
            rows = rank_states(distinct, self.tree, self.n_components)
            return step.supports, step.shared, sets, rows
        supports, rows = occurring_supports(distinct, self.tree, self.n_components)
        return supports, self.table(step, supports), sets, rows

    def share(self, step):
        """Make the table for all samples, where it is small enough."""
        step.shared, step.supports = None, self.shared_supports()
        if step.supports is not None:
            step.shared = self.table(step, step.supports)
        return step

    def expect(self, step, block):
        """Return log-evidences, posterior means and statistics of a block."""
        n = len(block.norms)
        if step.shared is not None:
            return self.expect_part(step, block)
        log_z, means, total = [], [], None
        for part in self.parts(n):
            piece = block.rows(part, block.weights[part])
            z, mean, statistics = self.expect_part(step, piece)
            log_z.append(z)
            means.append(mean)
            if total is None:
                total = statistics
            else:
                total = {name: total[name] + statistics[name] for name in total}
        return np.concatenate(log_z), np.concatenate(means), total

    def decode(self, columns, candidates):
        """Return the states at columns of the log-joints, as levels."""
        h = self.n_components
        several = columns > h
        rows = np.where(several, columns - 1 - h + self.first, 0)
        levels = self.scatter(rows, candidates, h)
        single = np.flatnonzero((columns > 0) & ~several)
        levels[single, columns[single] - 1] = 1
        return levels
