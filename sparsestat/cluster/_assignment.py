"""Assignments with bounds on group sizes, exact at any size."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from sparsestat._utils.validation import read_only
from sparsestat.cluster import _kernels_assignment as kernels
from sparsestat.exceptions import NumericalError

__all__ = [
    "BoundedAssignment",
    "bounded_assignment",
    "check_exact_sizes",
    "check_sizes",
    "dual_bound",
    "scaled_sizes",
]

_ROWS_A_GROUP = 64  # below this many no smaller problem is solved first
_SHRINK = 16
_FIRST_SHARE = 0.3  # of the rows whose second best group is looked at to begin with
_MANY_MOVES = 0.05  # share of the rows in groups with too many, given the prices


@dataclass
class BoundedAssignment:
    """Labels, prices and what they prove.

    For any prices v the sum of ``min_k (D_ik - v_k)`` plus the least that the sizes
    can make of v bounds the cost of every admissible assignment from below.
    """

    labels: np.ndarray
    sizes: np.ndarray
    prices: np.ndarray
    n_moves: int
    cost: float = np.nan
    lower_bound: float = np.nan


def bounded_assignment(D, low, high, prices=None, *, prove=True):
    """Minimize the sum of ``D[i, labels[i]]`` over labels with sizes in bounds.

    Parameters
    ----------
    D : ndarray of shape (n, K)
        Finite costs, C-contiguous.
    low, high : ndarray of shape (K,)
        Integers with ``sum(low) <= n <= sum(high)`` and ``low <= high``.
    prices : ndarray of shape (K,), default=None
        Prices of a similar problem, from which few moves lead to the optimum. None
        starts from zero. Where many would be left, a random part of the rows is
        solved first.
    prove : bool, default=True
        Compute the cost and its lower bound.

    Returns
    -------
    found : BoundedAssignment
    """
    n, k = D.shape
    rng = np.random.RandomState(0)  # only speed depends on it, never the optimum
    start = np.zeros(k) if prices is None else np.asarray(prices, dtype=np.float64)
    if n > _SHRINK * _ROWS_A_GROUP * k:
        m = n // _SHRINK
        part = np.sort(rng.randint(n, size=m))
        bounds = scaled_sizes(low, high, n, m)
        sample = np.ascontiguousarray(D[part])
        if prices is None or _excess(sample, *bounds, start) > _MANY_MOVES * m:
            start = bounded_assignment(sample, *bounds, start, prove=False).prices
    v = np.append(start, 0.0)
    labels = np.empty(n, dtype=np.int64)
    view = read_only(D)
    sizes, n_moves = kernels.assign(
        view, read_only(low), read_only(high), v, labels, _first_bound(D, v[:k], rng)
    )
    if n_moves < 0:
        raise NumericalError(
            "No path to a group with room was found although the sizes are feasible. "
            "The costs, squared distances times sample_weight, hold values too "
            "different to be told apart. Drop far outliers, or bring the weights "
            "closer together."
        )
    found = BoundedAssignment(labels, sizes, v[:k], int(n_moves))
    if prove:
        found.cost = float(np.take_along_axis(D, labels[:, None], axis=1).sum())
        found.lower_bound = dual_bound(D, low, high, found.prices)
    return found


def dual_bound(D, low, high, prices):
    """Return the lower bound that prices give on every admissible assignment."""
    dual = float(np.where(prices > 0, low * prices, high * prices).sum())
    for start in range(0, len(D), 65_536):
        dual += float((D[start : start + 65_536] - prices).min(axis=1).sum())
    return dual


def _excess(D, low, high, prices):
    """Return how many rows the prices send to groups that have no room."""
    sizes = np.bincount((D - prices).argmin(axis=1), minlength=D.shape[1])
    over = np.maximum(sizes - high, 0)[prices <= 0].sum()
    over += np.maximum(sizes - low, 0)[prices > 0].sum()
    return int(max(over, np.maximum(low - sizes, 0).sum()))


def _first_bound(D, v, rng):
    """Return a reduced cost below which few of the moves lie."""
    n, k = D.shape
    if k == 1:
        return 0.0
    part = D if n <= 1000 else D[rng.randint(n, size=1000)]
    reduced = np.partition(part - v, 1, axis=1)
    return float(np.quantile(reduced[:, 1] - reduced[:, 0], _FIRST_SHARE))


def scaled_sizes(low, high, n, m):
    """Return the bounds for m rows that n rows with these bounds ask for."""
    return (low * m) // n, np.minimum(-((-high * m) // n), m)


def check_sizes(size_min, size_max, n_clusters, n):
    """Return integer bounds of shape (n_clusters,) for n rows; refuse bad ones.

    Both None means sizes that differ by at most one.
    """
    if size_min is None and size_max is None:
        equal = np.full(n_clusters, n // n_clusters, dtype=np.int64)
        return equal, equal + (n % n_clusters > 0)
    low = _one_bound(size_min, 0, "size_min", n_clusters)
    high = _one_bound(size_max, n, "size_max", n_clusters)
    high = np.minimum(high, n)
    if (low > high).any():
        k = int(np.flatnonzero(low > high)[0])
        raise ValueError(
            f"size_min must not exceed size_max, nor the {n} samples, but cluster {k} "
            f"has size_min={low[k]} and at most {high[k]}."
        )
    if low.sum() > n:
        raise ValueError(
            f"The smallest sizes add up to {low.sum()}, but there are only {n} "
            "samples. Lower size_min or n_clusters."
        )
    if high.sum() < n:
        raise ValueError(
            f"The largest sizes add up to {high.sum()}, which leaves no room for all "
            f"{n} samples. Raise size_max or n_clusters."
        )
    return low, high


def check_exact_sizes(sizes, n_clusters, n):
    """Return bounds that are equal; refuse sizes that do not add up to n."""
    exact = _one_bound(sizes, None, "sizes", n_clusters)
    if exact.sum() != n:
        raise ValueError(
            f"sizes add up to {exact.sum()}, but there are {n} samples. Change sizes, "
            "or use size_min and size_max."
        )
    return exact, exact.copy()


def _one_bound(bound, default, name, n_clusters):
    if bound is None:
        bound = default
    if isinstance(bound, Integral):
        bound = np.full(n_clusters, bound)
    given = np.asarray(bound)
    if given.shape != (n_clusters,) or given.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be an integer or {n_clusters} integers, one a cluster, got "
            f"{bound!r}."
        )
    if (given < 0).any():
        raise ValueError(f"{name} must not be negative, got {given.min()}.")
    return given.astype(np.int64)
