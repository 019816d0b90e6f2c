"""Truncated posteriors of causes that add up, and the selection of candidates.

The states of a point form a tree: a state's parent lacks its last cause. Log-joints
flow from the root to the leaves, posterior masses of whole subtrees flow back, so
that a state costs as many operations as it has causes. All points share the tree,
hence `LANES` points are treated at once and the compiler can use vector
instructions. In a lane, candidates are addressed by position, 0 to H'-1.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.sparse._kernels_exp import exponentials

__all__ = [
    "exponentials_from",
    "linear_joints",
    "linear_posteriors",
    "top_candidates",
]

LANES = 16
_ROWS = 64  # exponentiated at once, within the first-level cache
_LOWEST = -700.0


@njit(cache=True, nogil=True)
def exponentials_from(x, scratch, n):
    """Replace x[:n], none above zero, by exponentials; below -700 counts as -700."""
    for k in range(n):
        x[k] = x[k] if x[k] > _LOWEST else _LOWEST
    exponentials(x, scratch, n)


@njit(cache=True, nogil=True)
def top_candidates(scores, out):
    """Write the columns of the largest scores of each row, in ascending order.

    Among equal scores the lower column wins.
    """
    n, h = scores.shape
    k = out.shape[1]
    best = np.empty(k)
    chosen = np.empty(k, dtype=np.int64)
    for i in range(n):
        filled = 0
        for j in range(h):
            score = scores[i, j]
            if filled == k and not score > best[k - 1]:
                continue
            a = filled if filled < k else k - 1
            while a > 0 and score > best[a - 1]:
                best[a] = best[a - 1]
                chosen[a] = chosen[a - 1]
                a -= 1
            best[a] = score
            chosen[a] = j
            if filled < k:
                filled += 1
        for a in range(1, k):
            j = chosen[a]
            b = a
            while b > 0 and chosen[b - 1] > j:
                chosen[b] = chosen[b - 1]
                b -= 1
            chosen[b] = j
        for a in range(k):
            out[i, a] = chosen[a]


@njit(cache=True, nogil=True)
def _load(B, candidates, G, values, log_odds, two_inv, start, lin, cross, single):
    """Fill the lanes with the linear and the bilinear terms of points from `start`.

    Lanes past the last point repeat it. `single` gets the log-joints of single
    causes that are no candidates; those of candidates stand in the tree.
    """
    n, h_all = B.shape
    k = candidates.shape[1]
    n_values = len(values)
    for p in range(LANES):
        i = min(start + p, n - 1)
        for a in range(k):
            ca = candidates[i, a]
            b, g = B[i, ca], 0.5 * G[ca, ca]
            for v in range(n_values):
                x = values[v]
                lin[a * n_values + v, p] = log_odds[v] + two_inv * x * (b - x * g)
            for c in range(a + 1, k):
                cross[a * k + c, p] = -two_inv * G[ca, candidates[i, c]]
        if h_all == k:
            continue
        a = 0
        for h in range(h_all):
            if a < k and candidates[i, a] == h:
                a += 1
                for v in range(n_values):
                    single[h * n_values + v, p] = -np.inf
                continue
            b, g = B[i, h], 0.5 * G[h, h]
            for v in range(n_values):
                x = values[v]
                single[h * n_values + v, p] = log_odds[v] + two_inv * x * (b - x * g)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _descend(members, levels, sizes, parents, values, k, lin, cross, joint):
    """Compute the log-joints of the tree, a state from its parent."""
    n_values = len(values)
    for p in range(LANES):
        joint[0, p] = 0.0
    for s in range(1, len(sizes)):
        g = sizes[s] - 1
        last, level, parent = members[s, g], levels[s, g], parents[s]
        row = last * n_values + level
        x = values[level]
        if g == 0:
            for p in range(LANES):
                joint[s, p] = lin[row, p]
        elif g == 1:
            c0, x0 = members[s, 0] * k + last, x * values[levels[s, 0]]
            for p in range(LANES):
                joint[s, p] = joint[parent, p] + lin[row, p] + x0 * cross[c0, p]
        elif g == 2:
            c0, x0 = members[s, 0] * k + last, x * values[levels[s, 0]]
            c1, x1 = members[s, 1] * k + last, x * values[levels[s, 1]]
            for p in range(LANES):
                joint[s, p] = (joint[parent, p] + lin[row, p]) + (
                    x0 * cross[c0, p] + x1 * cross[c1, p]
                )
        else:
            c0, x0 = members[s, 0] * k + last, x * values[levels[s, 0]]
            c1, x1 = members[s, 1] * k + last, x * values[levels[s, 1]]
            c2, x2 = members[s, 2] * k + last, x * values[levels[s, 2]]
            for p in range(LANES):
                joint[s, p] = (
                    (joint[parent, p] + lin[row, p])
                    + (x0 * cross[c0, p] + x1 * cross[c1, p])
                    + x2 * cross[c2, p]
                )
            for j in range(3, g):
                c0, x0 = members[s, j] * k + last, x * values[levels[s, j]]
                for p in range(LANES):
                    joint[s, p] += x0 * cross[c0, p]


@njit(cache=True, nogil=True)
def _ascend(members, levels, sizes, parents, values, k, mass, pairs, counts):
    """Turn masses of states into masses of subtrees and pairwise moments.

    `pairs` holds, for positions a <= c, the sum of the products of the values of
    a and c; its row ``k * k + a`` the sum of the values of a.
    """
    pairs[:] = 0.0
    counts[:] = 0.0
    for s in range(len(sizes) - 1, 0, -1):
        g = sizes[s] - 1
        last, level, parent = members[s, g], levels[s, g], parents[s]
        x = values[level]
        own, first = last * k + last, k * k + last
        for p in range(LANES):
            mass[parent, p] += mass[s, p]
        for p in range(LANES):
            pairs[first, p] += x * mass[s, p]
        for p in range(LANES):
            pairs[own, p] += x * x * mass[s, p]
        if len(values) > 1:
            for p in range(LANES):
                counts[level, p] += mass[s, p]
        for j in range(g):
            c, f = members[s, j] * k + last, x * values[levels[s, j]]
            for p in range(LANES):
                pairs[c, p] += f * mass[s, p]
    if len(values) == 1:
        for a in range(k):
            for p in range(LANES):
                counts[0, p] += pairs[k * k + a, p] / values[0]


@njit(cache=True, nogil=True)
def _normalize(joint, scratch, top, total):
    """Replace log-joints by exp(log-joint - top) and add these up lane by lane."""
    n = joint.shape[0]
    flat = joint.reshape(n * LANES)
    for begin in range(0, n, _ROWS):
        end = min(begin + _ROWS, n)
        for s in range(begin, end):
            for p in range(LANES):
                joint[s, p] -= top[p]
        part = flat[begin * LANES : end * LANES]
        exponentials_from(part, scratch, (end - begin) * LANES)
        for s in range(begin, end):
            for p in range(LANES):
                total[p] += joint[s, p]


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _maxima(joint, top):
    for s in range(joint.shape[0]):
        for p in range(LANES):
            x = joint[s, p]
            top[p] = x if x > top[p] else top[p]


@njit(cache=True, nogil=True)
def linear_posteriors(
    B,
    candidates,
    G,
    values,
    log_odds,
    two_inv,
    members,
    levels,
    sizes,
    parents,
    weights,
    log_z,
    means,
    second,
    counts,
):
    """Write log-evidences and posterior means; add weighted moments.

    The log-joint of a state s is ``sum(log_odds) + two_inv * (s.b - s.G.s / 2)``.
    `second` gets the upper triangle of sum_n w_n <s s'>, `counts` the expected
    numbers of causes at each value.
    """
    n, h_all = B.shape
    k = candidates.shape[1]
    n_values, n_states = len(values), len(sizes)
    rest = 0 if h_all == k else h_all * n_values
    lin = np.empty((k * n_values, LANES))
    cross = np.zeros((k * k, LANES))
    joint = np.empty((n_states, LANES))
    single = np.empty((rest, LANES))
    scratch = np.empty(_ROWS * LANES)
    pairs = np.empty((k * k + k, LANES))
    count = np.empty((n_values, LANES))
    top, total, share = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    for start in range(0, n, LANES):
        _load(B, candidates, G, values, log_odds, two_inv, start, lin, cross, single)
        _descend(members, levels, sizes, parents, values, k, lin, cross, joint)
        top[:] = 0.0  # the log-joint of the zero state
        total[:] = 0.0
        _maxima(joint, top)
        _maxima(single, top)
        _normalize(joint, scratch, top, total)
        _normalize(single, scratch, top, total)
        _ascend(members, levels, sizes, parents, values, k, joint, pairs, count)
        here = min(LANES, n - start)
        for p in range(LANES):
            i = start + p
            share[p] = weights[i] / total[p] if p < here else 0.0
        for v in range(n_values):
            for p in range(LANES):
                counts[v] += share[p] * count[v, p]
        for p in range(here):
            i, w = start + p, share[p]
            log_z[i] = top[p] + np.log(total[p])
            if rest > 0:
                for h in range(h_all):
                    value = 0.0
                    for v in range(n_values):
                        q = single[h * n_values + v, p]
                        value += values[v] * q
                        second[h, h] += w * values[v] ** 2 * q
                        counts[v] += w * q
                    means[i, h] = value / total[p]
            for a in range(k):
                ca = candidates[i, a]
                means[i, ca] = pairs[k * k + a, p] / total[p]
                for c in range(a, k):
                    second[ca, candidates[i, c]] += w * pairs[a * k + c, p]


@njit(cache=True, nogil=True)
def linear_joints(
    B,
    candidates,
    G,
    values,
    log_odds,
    two_inv,
    members,
    levels,
    sizes,
    parents,
    out,
):
    """Write all log-joints: the tree, then all single causes (-inf for candidates)."""
    n, h_all = B.shape
    k = candidates.shape[1]
    n_values, n_states = len(values), len(sizes)
    rest = 0 if h_all == k else h_all * n_values
    lin = np.empty((k * n_values, LANES))
    cross = np.zeros((k * k, LANES))
    joint = np.empty((n_states, LANES))
    single = np.empty((rest, LANES))
    for start in range(0, n, LANES):
        _load(B, candidates, G, values, log_odds, two_inv, start, lin, cross, single)
        _descend(members, levels, sizes, parents, values, k, lin, cross, joint)
        for p in range(min(LANES, n - start)):
            for s in range(n_states):
                out[start + p, s] = joint[s, p]
            for h in range(rest):
                out[start + p, n_states + h] = single[h, p]
