"""Selection of the largest entries: rows of a dense matrix, N of every M."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat._utils.jit import njit
from sparsestat.sparse._kernels_structure import kth_largest

__all__ = ["keep_n_of_m", "keep_two_of_four", "topk_of_rows"]


@njit(cache=True, nogil=True)
def _key(u, signed):
    return abs(u) if signed else max(u, u * 0)


@njit(cache=True, nogil=True)
def topk_of_rows(U, k, signed, keys, indices, values, counts):
    """Write the k largest entries of each row in order of column; ties: the first.

    With `signed`, magnitudes are compared and signs kept; otherwise entries are
    compared themselves and only positive ones kept. Zeros are never written.
    """
    n_columns = U.shape[1]
    n_first = 8 * k
    for i in range(U.shape[0]):
        # The k-th largest of the first entries is a lower bound on that of all: only
        # entries that reach it are searched.
        n_kept = 0
        if n_columns >= 2 * n_first:
            for j in range(n_first):
                keys[j] = _key(U[i, j], signed)
            least = kth_largest(keys[:n_first], k)
            for j in range(n_columns):
                key = _key(U[i, j], signed)
                keys[n_kept] = key
                n_kept += 1 if key >= least else 0
        else:
            for j in range(n_columns):
                keys[j] = _key(U[i, j], signed)
            n_kept = n_columns
        bar = kth_largest(keys[:n_kept], k) if k < n_columns else keys[0] * 0
        above = 0
        for j in range(n_columns):
            above += 1 if _key(U[i, j], signed) > bar else 0
        ties = k - above
        count = 0
        for j in range(n_columns):
            u = U[i, j]
            key = _key(u, signed)
            if key > bar:
                take = True
            elif key == bar and ties > 0:
                ties -= 1
                take = key > 0
            else:
                take = False
            if take:
                indices[i, count] = j
                values[i, count] = u
                count += 1
        counts[i] = count


@njit(cache=True, nogil=True)
def keep_two_of_four(w, out):
    """Zero all but the two largest magnitudes of every four; ties: the first."""
    zero = w[0] * 0
    for q in range(len(w) // 4):
        g = 4 * q
        u, v, x, y = w[g], w[g + 1], w[g + 2], w[g + 3]
        a, b, c, d = abs(u), abs(v), abs(x), abs(y)
        # Each comparison has one loser, and who loses at most once is kept; of
        # equals the first wins. Integers, for a loop without branches.
        ab = 1 if a >= b else 0
        ac = 1 if a >= c else 0
        ad = 1 if a >= d else 0
        bc = 1 if b >= c else 0
        bd = 1 if b >= d else 0
        cd = 1 if c >= d else 0
        out[g] = u if ab + ac + ad > 1 else zero
        out[g + 1] = v if bc + bd - ab > 0 else zero
        out[g + 2] = x if cd - ac - bc > -1 else zero
        out[g + 3] = y if ad + bd + cd < 2 else zero


@njit(cache=True, nogil=True)
def keep_n_of_m(w, scores, n, m, out):
    """Zero all but the n largest scores of every m; ties: the first."""
    zero = w[0] * 0
    for g in range(0, len(w), m):
        for i in range(m):
            losses = 0
            own = scores[g + i]
            for j in range(m):
                other = scores[g + j]
                if other > own or (other == own and j < i):
                    losses += 1
            out[g + i] = w[g + i] if losses < n else zero
