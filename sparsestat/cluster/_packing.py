r"""Assignments of loads to clusters of given capacity.

.. math:: \min_l \sum_i w_i D_{i l_i} \quad \text{s.t.} \quad
   \sum_{i : l_i = k} w_i \le c_k

With unequal loads even a packing that fits is hard to find. Split between clusters, the
loads make a transport problem, of which an optimal corner splits fewer than K; these
are made whole, and what then does not fit is moved or exchanged at least cost.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.cluster._assignment import BoundedAssignment
from sparsestat.transport import partial_transport

__all__ = ["check_capacity", "packed_assignment"]

_EXACT = 1e-12  # of the total capacity: sums that differ by less are equal
_MOST_SWAPS = 2_000  # rows of each cluster that exchanges are looked for among


def check_capacity(capacity, n_clusters, loads):
    """Return capacities of shape (n_clusters,); refuse those that cannot do."""
    given = np.asarray(capacity, dtype=np.float64)
    if given.ndim == 0:
        given = np.full(n_clusters, float(given))
    if given.shape != (n_clusters,) or not np.isfinite(given).all():
        raise ValueError(
            f"capacity must be a number or {n_clusters} finite numbers, one a cluster, "
            f"got {capacity!r}."
        )
    if (given < 0).any():
        raise ValueError(f"capacity must not be negative, got {given.min()}.")
    slack = _EXACT * given.sum()
    if loads.sum() > given.sum() + slack:
        raise ValueError(
            f"The capacities add up to {given.sum():g}, less than the total "
            f"sample_weight of {loads.sum():g}. Raise capacity or n_clusters."
        )
    if loads.max() > given.max() + slack:
        raise ValueError(
            f"The largest sample_weight, {loads.max():g}, is above every capacity: the "
            f"largest is {given.max():g}. Raise capacity, or split the sample."
        )
    return given


def packed_assignment(D, loads, capacity, before=None):
    """Assign loads at a small total cost, and bound the least one from below.

    Parameters
    ----------
    D : ndarray of shape (n, K)
        Cost of a unit of each load in each cluster.
    loads : ndarray of shape (n,)
        Positive.
    capacity : ndarray of shape (K,)
    before : ndarray of shape (n,), default=None
        Labels that fit, which are kept if they cost no more.

    Returns
    -------
    found : BoundedAssignment
        Its prices are those of a unit of capacity, at most 0. No assignment, with
        loads split or whole, costs less than its lower bound.
    """
    n, k = D.shape
    least = D.min(axis=1)
    whole = partial_transport(
        D - least[:, None], loads, capacity, mass=loads.sum(), return_plan="dense"
    )
    prices = whole.potentials[1] - whole.potentials[1].max()
    labels = whole.plan.argmax(axis=1)
    labels = _repaired(D, loads, labels, capacity)
    if labels is None:
        labels = _repaired(D, loads, _first_fit(D, loads, capacity), capacity)
    candidates = [found for found in (labels, before) if found is not None]
    if not candidates:
        raise ValueError(
            "No packing of the samples into the clusters was found: the capacities are "
            f"{capacity.sum() / loads.sum():.3g} times the loads, and samples are not "
            "split. Raise capacity."
        )
    costs = [float(loads @ D[np.arange(n), found]) for found in candidates]
    best = int(np.argmin(costs))
    bound = float(loads @ (D - prices).min(axis=1) + capacity @ prices)
    sizes = np.bincount(candidates[best], minlength=k)
    return BoundedAssignment(candidates[best], sizes, prices, 0, costs[best], bound)


def _repaired(D, loads, labels, capacity):
    """Return labels that fit, by the moves and exchanges that cost least, or None."""
    n, k = D.shape
    if labels is None:
        return None
    labels, slack = labels.copy(), _EXACT * capacity.sum()
    for _ in range(4 * n):
        used = np.bincount(labels, loads, minlength=k)
        over = used - capacity
        a = int(over.argmax())
        if over[a] <= slack:
            return labels
        room = np.where(np.arange(k) == a, -np.inf, -over) + slack
        mine = np.flatnonzero(labels == a)
        change = _moves(D, loads, mine, a, room, over[a])
        if change is None:
            change = _exchanges(D, loads, labels, mine, a, room, over[a], slack)
        if change is None:
            return None
        for i, b in change:
            labels[i] = b
    return None


def _moves(D, loads, mine, a, room, over):
    """Return the cheapest move out of cluster a, for each unit that it needs less."""
    price = (D[mine] - D[mine, a][:, None]) * loads[mine][:, None]
    price /= np.minimum(loads[mine], over)[:, None]
    price[loads[mine][:, None] > room] = np.inf
    i, b = np.unravel_index(int(price.argmin()), price.shape)
    return [(mine[i], b)] if price[i, b] < np.inf else None


def _exchanges(D, loads, labels, mine, a, room, over, slack):
    """Return the cheapest exchange with a lighter sample of another cluster."""
    best, change = np.inf, None
    mine = mine[np.argsort(-loads[mine], kind="stable")[:_MOST_SWAPS]]
    for b in range(D.shape[1]):
        if b == a:
            continue
        theirs = np.flatnonzero(labels == b)
        theirs = theirs[np.argsort(loads[theirs], kind="stable")[:_MOST_SWAPS]]
        if not len(theirs):
            continue
        less = loads[mine][:, None] - loads[theirs]
        price = ((D[mine, b] - D[mine, a]) * loads[mine])[:, None]
        price = price + (D[theirs, a] - D[theirs, b]) * loads[theirs]
        fits = (less > slack) & (less <= room[b])
        price = np.where(
            fits, price / np.where(fits, np.minimum(less, over), 1.0), np.inf
        )
        i, j = np.unravel_index(int(price.argmin()), price.shape)
        if price[i, j] < best:
            best, change = price[i, j], [(mine[i], b), (theirs[j], a)]
    return change


def _first_fit(D, loads, capacity):
    """Pack the heaviest first, each where it is cheapest among clusters with room."""
    room, labels = capacity + _EXACT * capacity.sum(), np.empty(len(D), dtype=np.int64)
    for i in np.argsort(-loads, kind="stable"):
        fits = np.flatnonzero(room >= loads[i])
        if not len(fits):  # where there is most: exchanges may still mend it
            fits = np.array([int(room.argmax())])
        labels[i] = fits[D[i, fits].argmin()]
        room[labels[i]] -= loads[i]
    return labels
