"""Distances in a tree that is given by the parents of its nodes."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.sparse._kernels import kernel

__all__ = ["distances_from", "order_from_root"]


@kernel
def order_from_root(parents, order):
    """Write the nodes so that parents come before children; return how many.

    Fewer than all nodes are reached if there is a cycle. The root is its own parent.
    """
    n = len(parents)
    first = np.full(n, -1, np.int64)  # children as linked lists
    after = np.full(n, -1, np.int64)
    count = 0
    for v in range(n - 1, -1, -1):
        if parents[v] == v:
            order[count] = v
            count += 1
        else:
            after[v] = first[parents[v]]
            first[parents[v]] = v
    done = 0
    while done < count:
        child = first[order[done]]
        done += 1
        while child >= 0:
            order[count] = child
            count += 1
            child = after[child]
    return count


@kernel
def distances_from(sources, parents, lengths, order, out):
    """Write the distances of all nodes from each source: up to the root, then down."""
    n = len(parents)
    above = np.full(n, -1, np.int64)  # the last source that stands below a node
    for s in range(len(sources)):
        row = out[s]
        v = sources[s]
        row[v] = 0.0
        above[v] = s
        while parents[v] != v:
            row[parents[v]] = row[v] + lengths[v]
            v = parents[v]
            above[v] = s
        for t in range(n):
            v = order[t]
            if above[v] != s:
                row[v] = row[parents[v]] + lengths[v]
