"""The best partitions of values on a line into 1, 2, ..., K clusters, exactly.

Dynamic programming in double precision first. A bound on what rounding may have cost
decides whether it is done again on pairs of doubles.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
from dataclasses import dataclass

import numpy as np

from sparsestat._utils.validation import read_only

__all__ = ["RELATIVE_EXCESS", "Levels", "optimal_levels"]

# Largest excess over the least cost, relative to it, that rounding may cause.
RELATIVE_EXCESS = 1e-7
_EPS, _EPS_PAIRS = 2.0**-53, 2.0**-104


@dataclass(frozen=True)
class Levels:
    """Best partitions of distinct values with weights.

    Parameters
    ----------
    values, weights : ndarray of shape (n_distinct,)
        Distinct values in ascending order, and their weights.
    ends : list of ndarray of shape (k + 1,)
        ``ends[k - 1]`` bounds the k clusters: they are ``values[ends[c]:ends[c + 1]]``.
    costs : ndarray of shape (k_max,)
        Their least costs.
    sizes : list of ndarray of shape (k,)
        Weights of the clusters.
    pairs : bool
        Whether double precision was not enough.
    excess : ndarray of shape (k_max,)
        Bound on how far each cost may be above the least one by rounding.
    """

    values: np.ndarray
    weights: np.ndarray
    ends: list
    costs: np.ndarray
    sizes: list
    pairs: bool
    excess: np.ndarray


def optimal_levels(values, weights, k_max, pairs=None):
    """Partition values into 1, ..., k_max clusters at the least cost.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Finite values in any order.
    weights : ndarray of shape (n,) or None
        Non-negative weights of moderate size, at least one of them positive.
    k_max : int
        Largest number of clusters; there are never more than distinct values.
    pairs : bool, default=None
        Whether to compute in pairs of doubles; None decides by the excess.

    Returns
    -------
    levels : Levels
    """
    from sparsestat.sparse import _kernels_codebook as kernels

    weighted = weights is not None
    if weighted:
        order = np.argsort(values)
        values, weights = values[order], weights[order].astype(np.float64)
    else:
        values, weights = np.sort(values), np.ones(len(values))
    m = kernels.merge_equal(values, weights)
    values, weights = values[:m].copy(), weights[:m].copy()
    k_max = min(k_max, m)
    middle = np.searchsorted(np.cumsum(weights), 0.5 * weights.sum())
    center = float(values[min(middle, m - 1)])
    S, W, Q = (np.empty((m + 1, 2)) for _ in range(3))
    kernels.pair_sums(read_only(values), center, read_only(weights), S, W, Q)
    reach = max(values[-1] - center, center - values[0])
    starts = np.zeros((k_max, m + 1), dtype=np.int32)
    stack = np.empty((64, 4), dtype=np.int64)

    def search(pairs):
        if pairs:
            scratch = np.empty((2, m + 1, 2))
            fill, sums = kernels.fill_layers_pairs, (S, W)
        else:
            scratch = np.empty((2, m + 1))
            fill, sums = kernels.fill_layers, (S[:, 0].copy(), W[:, 0].copy())
        fill(*map(read_only, sums), k_max, *scratch, stack, starts)
        ends, costs = [], np.empty(k_max)
        for k in range(1, k_max + 1):
            cuts, parts = np.empty(k + 1, dtype=np.int64), np.empty(k)
            kernels.cut_points(starts, k, m, cuts)
            kernels.segment_costs(S, W, Q, cuts, parts)
            ends.append(cuts)
            costs[k - 1] = parts.sum()
        return ends, costs

    def excess(costs, pairs):
        """Bound the rounding of a comparison, times the number of comparisons."""
        total, squares = W[-1, 0], Q[-1, 0]
        unit = _EPS_PAIRS * (m + 16) if pairs else _EPS
        one = 8 * reach * np.abs(S[:, 0]).max() + 4 * squares
        if weighted:
            # Sums of ones are exact. Others may leave a difference of weights that is
            # all rounding: no gain then misses, or exceeds, what such a weight can
            # make of the largest distance.
            one += 16 * reach**2 * total
        k = np.arange(1, k_max + 1)
        found = 4 * k * (math.log2(m) + 2) * unit * one
        # Values were rounded when the center was taken off them.
        moved = unit * reach
        found += 2 * moved * np.sqrt(total * costs) + moved**2 * total
        found[0] = 0.0  # nothing was compared
        return found

    ends, costs = search(bool(pairs))
    bound = excess(costs, bool(pairs))
    if pairs is None and (bound > RELATIVE_EXCESS * costs)[costs > 0].any():
        pairs = True
        ends, costs = search(pairs)
        bound = excess(costs, pairs)
    cumulative = W[:, 0]
    sizes = [np.diff(cumulative[cuts]) for cuts in ends]
    return Levels(values, weights, ends, costs, sizes, bool(pairs), bound)
