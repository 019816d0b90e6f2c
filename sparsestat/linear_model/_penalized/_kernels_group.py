"""Block coordinate descent over groups of coordinates, and their dual norm.

The penalty of a group g is ``lam_g ||w_g|| + l1 ||w_g||_1``. The columns of a group
stand side by side: group k holds positions ``ptr[k]`` to ``ptr[k + 1]``.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

_DOT = {"reassoc", "contract", "arcp", "nsz"}
_INNER = 10  # prox-gradient steps inside a block before its step is applied
_INNER_SHARE = 0.05  # ... ended when one is this much shorter than all of them


@njit(cache=True, nogil=True)
def group_prox(z, lam, l1, curvature, out):
    """Write the minimizer of curvature ||w||^2 / 2 - z'w + penalty(w) into out.

    Soft thresholding of the coordinates, then of their norm, which is returned
    (0.0 when all of out is zero).
    """
    square = 0.0
    for i in range(z.shape[0]):
        size = abs(z[i]) - l1
        if size > 0.0:
            out[i] = size if z[i] > 0.0 else -size
            square += size * size
        else:
            out[i] = 0.0
    norm = np.sqrt(square)
    if norm <= lam:
        out[:] = 0.0
        return 0.0
    shrink = (1.0 - lam / norm) / curvature
    for i in range(z.shape[0]):
        out[i] *= shrink
    return norm * shrink


@njit(cache=True, nogil=True)
def shrunk_norms(c, order, ptr, l1, out):
    """out[k] = norm of the soft-thresholded c on the columns of group k."""
    for k in range(out.shape[0]):
        square = 0.0
        for p in range(ptr[k], ptr[k + 1]):
            size = abs(c[order[p]]) - l1
            if size > 0.0:
                square += size * size
        out[k] = np.sqrt(square)


@njit(cache=True, nogil=True)
def group_factors(c, order, ptr, lam, l1, out):
    """out[k] = least s with ||soft(c_k, s l1)|| <= s lam_k; 0 where nothing binds."""
    for k in range(out.shape[0]):
        start, stop = ptr[k], ptr[k + 1]
        out[k] = 0.0
        if np.isinf(lam[k]) or (lam[k] == 0.0 and l1 == 0.0):
            continue
        sizes = np.empty(stop - start)
        square = 0.0
        for p in range(start, stop):
            sizes[p - start] = abs(c[order[p]])
            square += sizes[p - start] ** 2
        if l1 == 0.0:
            out[k] = np.sqrt(square) / lam[k]
            continue
        sizes.sort()
        largest = sizes[-1]
        if lam[k] == 0.0 or largest == 0.0:
            out[k] = largest / l1
            continue
        # ||soft(c, s l1)||^2 - s^2 lam^2 falls in s; on each piece between two
        # sorted sizes it is a parabola with this many terms.
        first = 0.0
        second = 0.0
        ratio = lam[k] / l1
        for m in range(1, sizes.shape[0] + 1):
            size = sizes[-m]
            first += size
            second += size * size
            following = sizes[-m - 1] if m < sizes.shape[0] else 0.0
            excess = second - 2.0 * following * first + m * following * following
            if excess >= (following * ratio) ** 2:
                lead = m - ratio * ratio
                root = np.sqrt(max(first * first - lead * second, 0.0))
                out[k] = second / (first + root) / l1
                break


@njit(cache=True, nogil=True)
def _rests_at_zero(q, w, start, stop, lam, l1):
    square = 0.0
    for i in range(start, stop):
        if w[i] != 0.0:
            return False
        size = abs(q[i]) - l1
        if size > 0.0:
            square += size * size
    return square <= lam * lam


@njit(cache=True, nogil=True)
def _widest(ptr):
    widest = 0
    for k in range(ptr.shape[0] - 1):
        widest = max(widest, ptr[k + 1] - ptr[k])
    return widest


@njit(cache=True, nogil=True, fastmath=_DOT)
def _solve_block(G, q, w, start, size, lam, l1, L, z, new, total):
    """Make proximal gradient steps inside one block of a Gram matrix.

    `q` holds the descent directions of the block and is overwritten, `total`
    receives the sum of the steps; `z` and `new` are scratch.
    """
    for i in range(size):
        total[i] = 0.0
    for _ in range(_INNER):
        for i in range(size):
            z[i] = q[i] + L * w[start + i]
        group_prox(z[:size], lam, l1, L, new[:size])
        step_square = 0.0
        total_square = 0.0
        for i in range(size):
            step = new[i] - w[start + i]
            w[start + i] = new[i]
            total[i] += step
            z[i] = step
            step_square += step * step
            total_square += total[i] * total[i]
        if step_square <= _INNER_SHARE**2 * total_square or size == 1:
            break
        for a in range(size):
            if z[a] != 0.0:
                for b in range(size):
                    q[b] -= z[a] * G[start + a, start + b]


@njit(cache=True, nogil=True, fastmath=_DOT)
def gram_group_cd(G, q, w, ptr, lam, l1, curvature, max_sweeps, target, settle):
    """Cyclic block descent that keeps q = A'(y - Aw) up to date.

    `curvature` bounds the largest eigenvalue of each diagonal block. Several
    prox-gradient steps are made inside a block, where they are cheap. Stops as
    ``_kernels_cd.gram_cd`` does and returns the same triple.
    """
    m = w.shape[0]
    widest = _widest(ptr)
    block_q = np.empty(widest)
    new = np.empty(widest)
    total = np.empty(widest)
    z = np.empty(widest)
    moved = 0.0
    changes = 0
    for sweep in range(max_sweeps):
        moved = 0.0
        changes = 0
        n_nonzero = 0
        for k in range(lam.shape[0]):
            start, stop = ptr[k], ptr[k + 1]
            size = stop - start
            L = curvature[k]
            if L == 0.0 or _rests_at_zero(q, w, start, stop, lam[k], l1):
                continue
            for i in range(size):
                block_q[i] = q[start + i]
            _solve_block(G, block_q, w, start, size, lam[k], l1, L, z, new, total)
            size_of_step = 0.0
            for i in range(size):
                if w[start + i] != 0.0:
                    n_nonzero += 1
                step = total[i]
                if step == 0.0:
                    continue
                size_of_step += step * step
                for j in range(m):
                    q[j] -= step * G[start + i, j]
            if size_of_step == 0.0:
                continue
            for i in range(size):
                changes += np.sign(w[start + i]) != np.sign(w[start + i] - total[i])
            moved = max(moved, np.sqrt(size_of_step) * L)
        if moved <= target:
            return sweep + 1, moved, changes
        if settle >= 0.0 and changes <= max(1.0, settle * n_nonzero):
            return sweep + 1, moved, changes
    return max_sweeps, moved, changes


@njit(cache=True, nogil=True, fastmath=_DOT)
def dense_group_cd(A, G, r, w, ptr, lam, l1, curvature, max_sweeps, target, settle):
    """The same descent on the residual r of dense columns A.

    Cheaper than the Gram matrix once there are more columns than rows; only the
    diagonal blocks of G are read.
    """
    n = A.shape[0]
    widest = _widest(ptr)
    block_q = np.empty(widest)
    new = np.empty(widest)
    total = np.empty(widest)
    z = np.empty(widest)
    moved = 0.0
    changes = 0
    for sweep in range(max_sweeps):
        moved = 0.0
        changes = 0
        n_nonzero = 0
        for k in range(lam.shape[0]):
            start, stop = ptr[k], ptr[k + 1]
            size = stop - start
            L = curvature[k]
            if L == 0.0:
                continue
            for i in range(size):
                dot = 0.0
                for row in range(n):
                    dot += A[row, start + i] * r[row]
                block_q[i] = dot
            _solve_block(G, block_q, w, start, size, lam[k], l1, L, z, new, total)
            size_of_step = 0.0
            for i in range(size):
                if w[start + i] != 0.0:
                    n_nonzero += 1
                step = total[i]
                if step == 0.0:
                    continue
                size_of_step += step * step
                for row in range(n):
                    r[row] -= step * A[row, start + i]
                changes += np.sign(w[start + i]) != np.sign(w[start + i] - step)
            moved = max(moved, np.sqrt(size_of_step) * L)
        if moved <= target:
            return sweep + 1, moved, changes
        if settle >= 0.0 and changes <= max(1.0, settle * n_nonzero):
            return sweep + 1, moved, changes
    return max_sweeps, moved, changes


@njit(cache=True, nogil=True)
def csc_group_cd(
    data, indices, indptr, means, total, columns, u, beta, w, ptr, lam, l1,
    curvature, max_sweeps, target, settle,
):  # fmt: skip
    """The same descent on CSC columns, one step a block, residual u + beta[0] s."""
    widest = _widest(ptr)
    z = np.empty(widest)
    new = np.empty(widest)
    moved = 0.0
    changes = 0
    for sweep in range(max_sweeps):
        moved = 0.0
        changes = 0
        n_nonzero = 0
        for k in range(lam.shape[0]):
            start, stop = ptr[k], ptr[k + 1]
            size = stop - start
            L = curvature[k]
            if L == 0.0:
                continue
            for i in range(size):
                j = columns[start + i]
                q = beta[0] * means[j] * total
                for p in range(indptr[j], indptr[j + 1]):
                    q += data[p] * u[indices[p]]
                z[i] = q + L * w[start + i]
            group_prox(z[:size], lam[k], l1, L, new[:size])
            size_of_step = 0.0
            for i in range(size):
                if new[i] != 0.0:
                    n_nonzero += 1
                step = new[i] - w[start + i]
                if step == 0.0:
                    continue
                changes += np.sign(new[i]) != np.sign(w[start + i])
                size_of_step += step * step
                w[start + i] = new[i]
                j = columns[start + i]
                for p in range(indptr[j], indptr[j + 1]):
                    u[indices[p]] -= step * data[p]
                beta[0] += step * means[j]
            moved = max(moved, np.sqrt(size_of_step) * L)
        if moved <= target:
            return sweep + 1, moved, changes
        if settle >= 0.0 and changes <= max(1.0, settle * n_nonzero):
            return sweep + 1, moved, changes
    return max_sweeps, moved, changes


@njit(cache=True, nogil=True)
def group_hessian(G, index, unit, w, lam, norms, out):
    """Write G[index, index] plus the curvature of the group norms into out.

    Only the lower triangle of F-ordered `out` is written. ``unit[a]`` is the group
    of index[a], with the positions of a group side by side.
    """
    m = index.shape[0]
    for b in range(m):
        row = index[b]
        k = unit[b]
        slope = lam[k] / norms[k]
        for a in range(b, m):
            out[a, b] = G[row, index[a]]
            if unit[a] == k:
                out[a, b] -= slope * w[row] * w[index[a]] / (norms[k] * norms[k])
        out[b, b] += slope
