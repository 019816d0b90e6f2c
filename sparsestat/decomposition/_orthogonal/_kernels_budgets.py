"""Selection of positive entries under a budget for all, for each column, each row."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.sparse._kernels_structure import kth_largest

__all__ = [
    "bar_of_all",
    "bars_of_rows",
    "count_norms",
    "kept_above",
]


@njit(cache=True, nogil=True)
def bar_of_all(flat, k, buffer):
    """Return the k-th largest positive entry, or zero where there are fewer.

    `buffer` has room for at least 2 k: what cannot be among the k largest so far is
    never looked at again.
    """
    bar, filled = flat[0] * 0, 0
    for i in range(len(flat)):
        if flat[i] > bar:
            buffer[filled] = flat[i]
            filled += 1
            if filled == len(buffer):
                # Quickselect leaves the k largest in front.
                bar = kth_largest(buffer, k)
                filled = k
    if filled < k:
        return flat[0] * 0
    return kth_largest(buffer[:filled], k)


@njit(cache=True, nogil=True)
def bars_of_rows(V, budgets, keys, bars):
    """Write the budget-th largest positive entry of each row, zero for fewer."""
    for j in range(V.shape[0]):
        filled = 0
        for i in range(V.shape[1]):
            if V[j, i] > 0:
                keys[filled] = V[j, i]
                filled += 1
        k = budgets[j]
        if k == 0:
            bars[j] = np.inf
        elif filled < k:
            bars[j] = 0
        else:
            bars[j] = kth_largest(keys[:filled], k)


@njit(cache=True, nogil=True)
def kept_above(U, bars, ties, by_column, indices, values, indptr, write):
    """Keep positive entries above a bar, and the first `ties` of those at it.

    Bars and ties belong to columns, or to rows. Without `write` only `indptr` is
    filled.
    """
    at = 0
    for i in range(U.shape[0]):
        for j in range(U.shape[1]):
            u = U[i, j]
            if not u > 0:
                continue
            b = j if by_column else i
            if u < bars[b]:
                continue
            if u == bars[b]:
                if ties[b] == 0:
                    continue
                ties[b] -= 1
            if write:
                indices[at] = j
                values[at] = u
            at += 1
        indptr[i + 1] = at


@njit(cache=True, nogil=True)
def count_norms(U, norms, keys, counts, bars, ties):
    """Choose for each row how many of its largest entries come closest to a norm.

    Entries are sorted a doubling number at a time, until their norm reaches the goal.
    """
    for i in range(U.shape[0]):
        filled = 0
        for j in range(U.shape[1]):
            if U[i, j] > 0:
                keys[filled] = U[i, j]
                filled += 1
        goal = norms[i]
        scale = 0.0
        for p in range(filled):
            scale = max(scale, np.float64(keys[p]))
        best, chosen = goal, 0
        total, done, width = 0.0, 0, 32
        while done < filled:
            stop = min(done + width, filled)
            part = keys[done:filled]
            if stop < filled:
                kth_largest(part, stop - done)
            # numba sorts ascending: from the back.
            piece = np.sort(keys[done:stop])
            for p in range(stop - done):
                keys[done + p] = piece[stop - done - 1 - p]
            reached = False
            for p in range(done, stop):
                u = np.float64(keys[p]) / scale
                total += u * u
                norm = scale * np.sqrt(total)
                if abs(norm - goal) < best:
                    best, chosen = abs(norm - goal), p + 1
                if norm >= goal:
                    reached = True
                    break
            if reached:
                break
            done = stop
            width *= 2
        counts[i] = chosen
        if chosen == 0:
            bars[i], ties[i] = np.inf, 0
            continue
        bars[i] = keys[chosen - 1]
        same = 0
        for p in range(chosen):
            same += 1 if keys[p] == bars[i] else 0
        ties[i] = same
