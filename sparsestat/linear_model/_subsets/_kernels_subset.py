"""Orthogonal factors of a few columns, changed column by column, and subset trees.

A factor is a thin QR: Q is F-ordered with orthonormal columns, R upper triangular,
``z = Q'y``. The first `k` columns of these preallocated arrays are in use. Columns
enter at the end by Gram-Schmidt, applied twice, and leave by plane rotations; no
normal equations are formed.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = [
    "append_columns",
    "best_exchange",
    "best_splice",
    "best_subsets",
    "costs_of_dropping",
    "descend_hard",
    "excess_of_subset",
    "largest",
    "promises",
    "remove_column",
    "remove_least",
    "solve_triangle",
]

_DOT = {"reassoc", "contract", "arcp", "nsz"}  # lets dots vectorize, keeps NaN


@njit(cache=True, nogil=True)
def _rotate(T, v, j, first, last):
    """Bring T[j + 1, first] to zero by a plane rotation of rows j and j + 1.

    Columns `first` to `last` - 1 of T and the vector v are changed. Returns the
    cosine and the sine.
    """
    a = T[j, first]
    b = T[j + 1, first]
    if b == 0.0:
        return 1.0, 0.0
    h = np.hypot(a, b)
    cosine = a / h
    sine = b / h
    T[j, first] = h
    T[j + 1, first] = 0.0
    for q in range(first + 1, last):
        a = T[j, q]
        b = T[j + 1, q]
        T[j, q] = cosine * a + sine * b
        T[j + 1, q] = cosine * b - sine * a
    a = v[j]
    b = v[j + 1]
    v[j] = cosine * a + sine * b
    v[j + 1] = cosine * b - sine * a
    return cosine, sine


@njit(cache=True, nogil=True)
def _rotate_columns(S, j, cosine, sine, n_rows):
    """Rotate columns j and j + 1 of the first rows of S."""
    for i in range(n_rows):
        a = S[i, j]
        b = S[i, j + 1]
        S[i, j] = cosine * a + sine * b
        S[i, j + 1] = cosine * b - sine * a


@njit(cache=True, nogil=True)
def _invert(R, k, S):
    """Write the inverse of the first k rows and columns of R into the triangle S.

    Of a matrix near R where pivots vanish: what comes of it is only an order.
    """
    for c in range(k):
        S[c, c] = 1.0 / _pivot(R[c, c])
        for j in range(c - 1, -1, -1):
            total = 0.0
            for q in range(j + 1, c + 1):
                total += R[j, q] * S[q, c]
            S[j, c] = -total / _pivot(R[j, j])


@njit(cache=True, nogil=True)
def _pivot(value):
    """Return a pivot, or a small one in place of one that vanishes."""
    return value if abs(value) > 1e-12 else 1e-12


@njit(cache=True, nogil=True)
def _unexplained(T, v, s, dependent, T_work, v_work):
    """Return what the first s columns leave of the first s entries of v, squared.

    Columns that depend on those before them, up to `dependent` of their norm (one),
    explain nothing of their own. Also returns the largest such remainder.
    """
    for j in range(s):
        v_work[j] = v[j]
        for c in range(j, s):
            T_work[j, c] = T[j, c]
        for c in range(j):
            T_work[j, c] = 0.0
    row = 0
    largest = 0.0
    for c in range(s):
        for j in range(s - 1, row, -1):
            if T_work[j, c] != 0.0:
                _rotate(T_work, v_work, j - 1, c, s)
        if abs(T_work[row, c]) <= dependent:
            largest = max(largest, abs(T_work[row, c]))
            for q in range(row, s):
                T_work[q, c] = 0.0
        else:
            row += 1
    left = 0.0
    for j in range(row, s):
        left += v_work[j] * v_work[j]
    return left, largest


@njit(cache=True, nogil=True)
def _coefficient(S, z, j, k):
    """Return coefficient j of k, w = S z, and its variance ``|S_j|^2``."""
    w = 0.0
    spread = 0.0
    for c in range(j, k):
        w += S[j, c] * z[c]
        spread += S[j, c] * S[j, c]
    return w, spread


@njit(cache=True, nogil=True, fastmath=_DOT)
def append_columns(Q, R, z, r, k, columns, rtol, placed):
    """Append the columns to a factor of k; return the new number in use.

    `r` is what the first columns leave of y. A column whose norm falls below `rtol`
    times itself depends on those before it: it is left out and marked -1 in
    `placed`, which tells the others' positions.
    """
    m = Q.shape[0]
    for c in range(columns.shape[1]):
        norm = 0.0
        for i in range(m):
            Q[i, k] = columns[i, c]
            norm += columns[i, c] * columns[i, c]
        for j in range(k + 1):
            R[j, k] = 0.0
        for _ in range(2):
            for j in range(k):
                dot = 0.0
                for i in range(m):
                    dot += Q[i, j] * Q[i, k]
                R[j, k] += dot
                for i in range(m):
                    Q[i, k] -= dot * Q[i, j]
        left = 0.0
        for i in range(m):
            left += Q[i, k] * Q[i, k]
        if left <= rtol * rtol * norm or norm == 0.0:
            placed[c] = -1
            continue
        left = np.sqrt(left)
        R[k, k] = left
        dot = 0.0
        for i in range(m):
            Q[i, k] /= left
            dot += Q[i, k] * r[i]
        z[k] = dot
        placed[c] = k
        k += 1
    return k


@njit(cache=True, nogil=True)
def remove_column(Q, R, z, k, position):
    """Remove the column at a position from a factor of k columns."""
    m = Q.shape[0]
    for c in range(position, k - 1):
        for j in range(c + 2):
            R[j, c] = R[j, c + 1]
    for j in range(position, k - 1):
        cosine, sine = _rotate(R, z, j, j, k - 1)
        _rotate_columns(Q, j, cosine, sine, m)
    return k - 1


@njit(cache=True, nogil=True)
def solve_triangle(R, z, w):
    """Solve R w = z with the leading rows of a factor."""
    for j in range(w.shape[0] - 1, -1, -1):
        total = z[j]
        for c in range(j + 1, w.shape[0]):
            total -= R[j, c] * w[c]
        w[j] = total / R[j, j]


@njit(cache=True, nogil=True)
def excess_of_subset(R, z, n_rows, kept):
    """Return by how much the squared error of some columns exceeds that of all.

    The first `n_rows` rows of R and z describe all columns; `kept` lists positions
    in increasing order. Plane rotations bring the kept ones to triangular form.
    """
    size = kept.shape[0]
    T = np.empty((n_rows, size))
    v = z[:n_rows].copy()
    for c in range(size):
        for j in range(n_rows):
            T[j, c] = R[j, kept[c]] if j <= kept[c] else 0.0
    for c in range(size):
        for j in range(kept[c], c, -1):
            _rotate(T, v, j - 1, c, size)
    total = 0.0
    for j in range(size, n_rows):
        total += v[j] * v[j]
    return total


@njit(cache=True, nogil=True)
def promises(products, inverse, usable, taken, promise, likely):
    """Write what each column outside would save, half its squared normalized product.

    ``-inf`` for columns that are `taken` or not usable; `likely` receives the sizes of
    the normalized products of all.
    """
    for j in range(products.shape[0]):
        size = abs(products[j] * inverse[j])
        likely[j] = size
        if usable[j]:
            promise[j] = 0.5 * size * size
        else:
            promise[j] = -np.inf
    for c in range(taken.shape[0]):
        promise[taken[c]] = -np.inf


@njit(cache=True, nogil=True)
def largest(values, count):
    """Return the positions of the largest values, sorted, ties by position."""
    top = np.empty(count, dtype=np.int64)
    held = 0
    for j in range(values.shape[0]):
        if held == count and values[j] <= values[top[held - 1]]:
            continue
        at = held if held < count else count - 1
        while at > 0 and values[top[at - 1]] < values[j]:
            top[at] = top[at - 1]
            at -= 1
        top[at] = j
        held = min(held + 1, count)
    return top


@njit(cache=True, nogil=True)
def best_splice(R, z, k, leaving, entering, most):
    """Find how many columns to exchange at once, at most `most`.

    `leaving` holds positions among the k columns in use, the least missed first, and
    `entering` those of the candidates, the most promising first; -1 is a column that
    is not in the factor. Returns the decrease of the squared error, 0 if none helps,
    and the number.
    """
    n_all = R.shape[1]
    gained = 0.0
    for j in range(k, n_all):
        gained += z[j] * z[j]
    keeps = np.ones(n_all, dtype=np.bool_)
    keeps[k:] = False
    kept = np.empty(n_all, dtype=np.int64)
    best = 0.0
    number = 0
    for c in range(most):
        if leaving[c] >= 0:
            keeps[leaving[c]] = False
        if entering[c] >= 0:
            keeps[entering[c]] = True
        size = 0
        for j in range(n_all):
            if keeps[j]:
                kept[size] = j
                size += 1
        decrease = gained - excess_of_subset(R, z, n_all, kept[:size])
        if decrease > best:
            best = decrease
            number = c + 1
    return best, number


@njit(cache=True, nogil=True)
def best_exchange(R, z, k, n_all, movable):
    """Find the exchange of one column in use for one candidate that helps most.

    Columns k..n_all-1 of the factor are candidates. Returns the decrease of the
    squared error (exact, negative when every exchange hurts) and the two positions.
    """
    inverse = np.zeros((k, k))
    w = np.empty(k)
    spread = np.empty(k)  # diagonal of the inverse of R'R
    _invert(R, k, inverse)
    for j in range(k):
        w[j], spread[j] = _coefficient(inverse, z, j, k)
    best = -np.inf
    out = -1
    into = -1
    for i in range(k, n_all):
        square = 0.0
        dot = 0.0
        for q in range(k, i + 1):
            square += R[q, i] * R[q, i]
            dot += R[q, i] * z[q]
        if square <= 0.0:
            continue
        gain = dot * dot / square
        if gain <= best:
            continue
        weight = dot / square
        for j in range(k):
            if not movable[j]:
                continue
            u = 0.0
            for c in range(j, k):
                u += inverse[j, c] * R[c, i]
            own = w[j] - u * weight
            net = gain - own * own / (spread[j] + u * u / square)
            if net > best:
                best = net
                out = j
                into = i
    return best, out, into


@njit(cache=True, nogil=True)
def costs_of_dropping(R, z, movable):
    """Return by how much the squared error rises without each column, refitted."""
    k = z.shape[0]
    costs = np.full(k, np.inf)
    S = np.zeros((k, k))
    _invert(R, k, S)
    for j in range(k):
        if movable[j]:
            w, spread = _coefficient(S, z, j, k)
            costs[j] = w * w / spread
    return costs


@njit(cache=True, nogil=True)
def remove_least(R, z, k, movable, order, rise):
    """Remove, one after another, the column whose loss costs the least.

    Backward elimination on a triangular factor of k columns, which is overwritten.
    `order[t]` is the original position of the t-th column to go, `rise[t]` the exact
    increase of the squared error at that step. Returns the number removed. The
    rotations that mend R after a removal also update its inverse S, so that a
    removal costs O(k^2): with w = S z, dropping column j costs ``w_j^2 / |S_j|^2``.
    """
    where = np.arange(k)
    S = np.zeros((k, k))
    _invert(R, k, S)
    steps = 0
    while k > 0:
        least = np.inf
        position = -1
        for j in range(k):
            if not movable[where[j]]:
                continue
            w, spread = _coefficient(S, z, j, k)
            cost = w * w / spread
            if cost < least:
                least = cost
                position = j
        if position < 0:
            break
        order[steps] = where[position]
        rise[steps] = least
        steps += 1
        for c in range(position, k - 1):
            where[c] = where[c + 1]
            for j in range(c + 2):
                R[j, c] = R[j, c + 1]
            for q in range(k):
                S[c, q] = S[c + 1, q]
        for j in range(position, k - 1):
            cosine, sine = _rotate(R, z, j, j, k - 1)
            _rotate_columns(S, j, cosine, sine, k - 1)
        k -= 1
    return steps


@njit(cache=True, nogil=True)
def best_subsets(
    R0, z0, n_forced, smallest, largest, best, members, max_nodes, dependent, rounding,
    doubt,
):  # fmt: skip
    """Branch and bound over all subsets that hold the first `n_forced` columns.

    The tree of dropped columns: a node is an ordered list of columns of which the
    first few may not be dropped; the leading ones of every node are subsets whose
    squared errors its triangular factor gives for free. A branch is cut when the
    error of all its columns is no better than what is known for every size it
    could still improve. ``best[s]`` is the excess of the best subset of s columns
    over all columns (on entry: of a known one, or infinity), ``members[s]`` flags
    them. Sizes from `smallest` to `largest`. Returns the number of nodes, or -1
    when `max_nodes` was reached.

    Columns have norm one. One of which less than `dependent` is left by those before
    it counts as dependent on them; where more than `rounding` is left all the same,
    and the set would have been the best with it, ``doubt[s]`` keeps the least excess
    that it would have had.
    """
    d = R0.shape[0]
    R = np.zeros((d + 1, d, d))
    z = np.zeros((d + 1, d))
    order = np.zeros((d + 1, d), dtype=np.int64)
    size = np.zeros(d + 1, dtype=np.int64)
    child = np.zeros(d + 1, dtype=np.int64)
    excess = np.zeros(d + 1)
    inverse = np.zeros((d, d))
    drop = np.zeros(d)
    T_work = np.zeros((d, d))
    v_work = np.zeros(d)
    ranks = np.zeros(d, dtype=np.int64)
    R[0] = R0
    z[0] = z0
    order[0] = np.arange(d)
    size[0] = d
    child[0] = n_forced
    level = 0
    fresh = True
    nodes = 0
    while level >= 0:
        m = size[level]
        T = R[level]
        v = z[level]
        if fresh:
            nodes += 1
            if nodes > max_nodes:
                return -1
            first = child[level]
            # Strong columns first: what is dropped late then costs the most.
            if m - first > 1:
                _invert(T, m, inverse)
                for j in range(first, m):
                    w, spread = _coefficient(inverse, v, j, m)
                    drop[j] = -w * w / spread
                for j in range(first, m):  # insertion sort: the strongest first
                    at = j
                    while at > first and drop[ranks[at - 1 - first]] > drop[j]:
                        ranks[at - first] = ranks[at - 1 - first]
                        at -= 1
                    ranks[at - first] = j
                held = order[level, first:m].copy()
                columns = T[:m, first:m].copy()
                for c in range(m - first):
                    order[level, first + c] = held[ranks[c] - first]
                    for j in range(m):
                        T[j, first + c] = columns[j, ranks[c] - first]
                for c in range(first, m):
                    for j in range(m - 1, c, -1):
                        _rotate(T, v, j - 1, c, m)
            # The leading subsets of this node.
            tail = excess[level]
            sound = 0  # leading columns that do not depend on those before them
            while sound < m and abs(T[sound, sound]) > dependent:
                sound += 1
            for s in range(m, max(first, smallest) - 1, -1):
                if s < m:
                    tail += v[s] * v[s]
                if s <= largest and tail < best[s]:
                    value = tail
                    if s > sound:
                        left, remainder = _unexplained(
                            T, v, s, dependent, T_work, v_work
                        )
                        value += left
                        if remainder > rounding:
                            doubt[s] = min(doubt[s], tail)
                        if value >= best[s]:
                            continue
                    best[s] = value
                    for j in range(d):
                        members[s, j] = False
                    for j in range(s):
                        members[s, order[level, j]] = True
            fresh = False
        i = child[level]
        goal = -np.inf
        for s in range(max(i + 1, smallest), min(m - 1, largest) + 1):
            goal = max(goal, best[s])
        if excess[level] >= goal:  # also where no size is left to improve
            level -= 1
            continue
        child[level] = i + 1
        # The child: drop column i, keep what stands before it.
        below = R[level + 1]
        after = z[level + 1]
        for c in range(m - 1):
            source = c if c < i else c + 1
            order[level + 1, c] = order[level, source]
            for j in range(m):
                below[j, c] = T[j, source] if j <= source else 0.0
        for j in range(m):
            after[j] = v[j]
        for j in range(i, m - 1):
            _rotate(below, after, j, j, m - 1)
        excess[level + 1] = excess[level] + after[m - 1] * after[m - 1]
        size[level + 1] = m - 1
        child[level + 1] = i
        level += 1
        fresh = True
    return nodes


@njit(cache=True, nogil=True)
def descend_hard(gram, c, w, threshold, max_sweeps, tol):
    """Coordinate descent with hard thresholding on a Gram matrix of unit columns.

    Minimizes ``w'Gw / 2 - b'w + threshold * count(w)`` from w, which is overwritten;
    `c` is ``b - G w`` and is kept up to date. Returns the number of sweeps.
    """
    p = w.shape[0]
    for sweep in range(max_sweeps):
        moved = 0.0
        for j in range(p):
            new = c[j] + gram[j, j] * w[j]
            curvature = gram[j, j]
            if new * new <= 2.0 * threshold * curvature:
                new = 0.0
            else:
                new /= curvature
            step = new - w[j]
            if step != 0.0:
                w[j] = new
                for q in range(p):
                    c[q] -= gram[q, j] * step
                moved = max(moved, abs(step) * np.sqrt(curvature))
        if moved <= tol:
            return sweep + 1
    return max_sweeps
