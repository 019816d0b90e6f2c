r"""Labels spread by random walks that start at labeled nodes and end by chance.

With the degrees D and a damping a the values solve :math:`(D - a W) F = Y`. In
:math:`D F = \sum_t (a W D^{-1})^t Y` every label sends out one walker, however many
edges its node has: a hub counts no more than others do.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

__all__ = ["WalkSolution", "walk_values"]


@dataclass
class WalkSolution:
    """Values of the nodes that a label reaches, and how exact they are.

    Parameters
    ----------
    F : ndarray of shape (n, k)
        Zero rows where no walk has come yet.
    reach : ndarray of bool of shape (n,)
        Whether a label is connected.
    residual : float
        Largest ``|Y + a W F - D F| / |D F|`` of a row, in the 1-norm.
    n_iter : int
    history : list of float
        The residual after each iteration.
    """

    F: np.ndarray
    reach: np.ndarray
    residual: float = 0.0
    n_iter: int = 1
    history: list = field(default_factory=list)


def walk_values(graph, Y, *, damping, tol, max_iter, step=None):
    """Sum over all walks, from short to long ones.

    All terms are non-negative, so that the values of nodes far from all labels are as
    exact as the others, relative to themselves.

    Parameters
    ----------
    graph : csr_array of shape (n, n)
        Symmetric, non-negative, float64.
    Y : ndarray of shape (n, k)
        One-hot rows of the labeled nodes, zero rows else.
    damping : float
        Chance in [0, 1) that a walk goes on.
    tol : float
    max_iter : int
    step : callable, default=None
        Called with the residual of each iteration; a true answer stops.
    """
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    alone = degrees == 0
    inverse = 1.0 / np.where(alone, 1.0, degrees)
    P = sparse.diags_array(damping * inverse).tocsr() @ graph
    start = Y * inverse[:, None]
    reach = _reached(graph, Y)
    F, history = start.copy(), []
    for _ in range(max_iter):
        after = P @ F
        after += start
        total = after.sum(axis=1)
        change = np.abs(after - F).sum(axis=1)
        F = after
        history.append(_largest_share(change, total, reach))
        if (step is not None and step(history[-1])) or history[-1] <= tol:
            break
    left = np.abs(start + P @ F - F).sum(axis=1)
    residual = _largest_share(left, F.sum(axis=1), reach)
    return WalkSolution(F, reach, residual, len(history), history)


def _largest_share(part, total, reach):
    """Return the largest ratio; nodes that no walk has come to yet count as 1."""
    share = np.where(total > 0, part / np.where(total > 0, total, 1.0), 1.0)
    return float(share[reach].max(initial=0.0))


def _reached(graph, Y):
    """Return which nodes are connected to a labeled one."""
    part = sparse.csgraph.connected_components(graph, directed=False)[1]
    return np.isin(part, part[Y.any(axis=1)])
