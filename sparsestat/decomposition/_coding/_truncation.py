"""The states that expectation truncation keeps, and how many there are."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np

from sparsestat._utils.validation import read_only

__all__ = ["MAX_STATES", "StateTree", "check_truncation", "count_states", "state_tree"]

MAX_STATES = 5_000_000


@dataclass(frozen=True)
class StateTree:
    """States over H' candidates with at most gamma causes, parents first.

    Row 0 is the zero state. A state's parent lacks its last cause.

    Parameters
    ----------
    members : ndarray of shape (n_states, gamma), int16
        Positions of the causes among the candidates, ascending.
    levels : ndarray of shape (n_states, gamma), int16
        Which of the non-zero values each cause takes.
    sizes : ndarray of shape (n_states,), int16
        Numbers of causes.
    parents : ndarray of shape (n_states,), int32
        Rows of the parents.
    """

    members: np.ndarray
    levels: np.ndarray
    sizes: np.ndarray
    parents: np.ndarray

    @property
    def arrays(self):
        """The four arrays, for the kernels."""
        return self.members, self.levels, self.sizes, self.parents


def count_states(n_components, n_candidates, max_active, n_values=1):
    """Return the number of states that one point keeps."""
    several = sum(comb(n_candidates, g) * n_values**g for g in range(2, max_active + 1))
    return 1 + n_values * n_components + several


def check_truncation(n_components, n_candidates, max_active, n_values=1):
    """Return H' and gamma with the defaults put in, or raise ValueError."""
    if n_candidates is None:
        n_candidates = min(n_components, 8)
        if max_active is not None:
            n_candidates = min(n_components, max(n_candidates, max_active))
    if max_active is None:
        max_active = min(n_candidates, 4)
    if n_candidates > n_components:
        raise ValueError(
            f"n_candidates={n_candidates} exceeds n_components={n_components}. Choose "
            "at most as many candidates as there are components."
        )
    if max_active > n_candidates:
        raise ValueError(
            f"max_active={max_active} exceeds n_candidates={n_candidates}. The causes "
            "of a sample are taken from its candidates: lower max_active or raise "
            "n_candidates."
        )
    n_states = count_states(n_components, n_candidates, max_active, n_values)
    if n_states > MAX_STATES:
        raise ValueError(
            f"n_candidates={n_candidates} and max_active={max_active} make {n_states} "
            f"states for every sample, more than {MAX_STATES}. Lower one of them."
        )
    return n_candidates, max_active


@lru_cache(maxsize=8)
def state_tree(n_candidates, max_active, n_values=1):
    """Enumerate the states, by size and then in lexicographic order.

    Parameters
    ----------
    n_candidates, max_active : int
        H' and gamma.
    n_values : int, default=1
        Number of non-zero values a cause can take.

    Returns
    -------
    tree : StateTree
        Arrays are read-only.
    """
    members = [np.zeros((1, max_active), dtype=np.int16)]
    levels = [np.zeros((1, max_active), dtype=np.int16)]
    sizes, parents = [np.zeros(1, dtype=np.int16)], [np.zeros(1, dtype=np.int32)]
    first = 0  # row of the first state one size below
    for g in range(max_active):
        above, above_levels = members[-1], levels[-1]
        start = above[:, g - 1].astype(np.int64) + 1 if g else np.zeros(1, np.int64)
        n_children = (n_candidates - start) * n_values
        origin = np.repeat(np.arange(len(above)), n_children)
        # Children are counted from 0 within each parent.
        begin = np.cumsum(n_children) - n_children
        child = np.arange(len(origin)) - begin[origin]
        new, new_levels = above[origin].copy(), above_levels[origin].copy()
        new[:, g] = start[origin] + child // n_values
        new_levels[:, g] = child % n_values
        members.append(new)
        levels.append(new_levels)
        sizes.append(np.full(len(new), g + 1, dtype=np.int16))
        parents.append((first + origin).astype(np.int32))
        first += len(above)
    return StateTree(
        *(read_only(np.concatenate(parts)) for parts in (members, levels)),
        *(read_only(np.concatenate(parts)) for parts in (sizes, parents)),
    )
