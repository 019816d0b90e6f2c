"""Coordinate descent sweeps, on a cached Gram matrix or on CSC columns.

A penalty enters as an integer code with a flat parameter array, so that every
penalty shares one compiled, disk-cached kernel.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

_DOT = {"reassoc", "contract", "arcp", "nsz"}

# Penalty codes; the Python twins stand in `_penalties.py`. With t = |w|:
L1 = 0  # lam t + l2 t^2 / 2
L1_PLUS = 1  # the same on w >= 0
MCP = 2  # lam t - l2 t^2 / 2 up to t = lam / l2, constant from there on
SCAD = 3  # lam t up to lam / v, concave up to a lam / v, constant from there on;
#           here a = params[0] and l2 = v / (a - 1), the concavity in between
# A second entry of params keeps MCP and SCAD to w >= 0.


@njit(cache=True, nogil=True)
def prox(code, params, z, lam, curvature, l2):
    """Minimize curvature w^2 / 2 - z w + penalty(w) over one coordinate.

    The minimum is the global one, also where the penalty is more concave than
    the quadratic is curved.
    """
    if code <= L1_PLUS:
        if z > lam:
            return (z - lam) / (curvature + l2)
        if z < -lam and code != L1_PLUS:
            return (z + lam) / (curvature + l2)
        return 0.0
    if params.shape[0] > 1 and z <= 0.0:
        return 0.0
    if code == MCP:
        return _prox_mcp(z, lam, curvature, l2)
    return _prox_scad(params[0], z, lam, curvature, l2)


@njit(cache=True, nogil=True)
def _prox_mcp(z, lam, curvature, concavity):
    size = abs(z)
    if concavity >= curvature:  # only the ends of the concave piece can be minima
        if size * size * concavity <= lam * lam * curvature:
            return 0.0
        return z / curvature
    if size <= lam:
        return 0.0
    if size * concavity > lam * curvature:
        return z / curvature
    return np.sign(z) * (size - lam) / (curvature - concavity)


@njit(cache=True, nogil=True)
def _prox_scad(a, z, lam, curvature, concavity):
    size = abs(z)
    v = concavity * (a - 1.0)
    sparse = max(size - lam, 0.0) / curvature  # minimum of the absolute piece
    flat = size / curvature  # minimum of the constant piece
    absolute = sparse * v <= lam
    constant = flat * v >= a * lam
    if concavity >= curvature and absolute and constant:
        gain = 0.5 * curvature * sparse * sparse
        if gain < 0.5 * curvature * flat * flat - 0.5 * (a + 1.0) * lam * lam / v:
            return np.sign(z) * flat
        return np.sign(z) * sparse
    if absolute:
        return np.sign(z) * sparse
    if constant or concavity >= curvature:
        return np.sign(z) * flat
    middle = (size - a * lam / (a - 1.0)) / (curvature - concavity)
    return np.sign(z) * middle


@njit(cache=True, nogil=True)
def prox_all(code, params, z, lam, curvature, l2, out):
    """Write the prox of every coordinate of z into out; all arrays of one length."""
    for j in range(z.shape[0]):
        out[j] = prox(code, params, z[j], lam[j], curvature[j], l2[j])


@njit(cache=True, nogil=True)
def piece(code, params, w, lam, l2):
    """Number of the smooth piece of the penalty on which w lies; 0 is w = 0."""
    if w == 0.0:
        return 0
    number = 1
    if code == MCP and abs(w) * l2 >= lam:
        number = 2
    elif code == SCAD:
        reach = abs(w) * l2 * (params[0] - 1.0)
        if reach >= params[0] * lam:
            number = 3
        elif reach > lam:
            number = 2
    return number if w > 0.0 else -number


@njit(cache=True, nogil=True)
def stays_zero(code, params, q, lam):
    """Whether 0 is stationary when the smooth descent direction there is q."""
    if code == L1_PLUS or (code != L1 and params.shape[0] > 1):
        return q <= lam
    return abs(q) <= lam


@njit(cache=True, nogil=True, fastmath=_DOT)
def gram_cd(G, q, w, lam, l2, code, params, max_sweeps, target, settle):
    """Cyclic coordinate descent that keeps q = A'(y - Aw) up to date.

    Stops when a whole sweep moved no gradient by more than `target`, or, if
    `settle` is at least 0, when at most max(1, settle * nnz) coordinates went to
    another piece of the penalty (for the absolute value: changed sign).

    Returns
    -------
    n_sweeps, largest gradient move and changes of piece of the last sweep.
    """
    m = w.shape[0]
    moved = 0.0
    changes = 0
    for sweep in range(max_sweeps):
        moved = 0.0
        changes = 0
        n_nonzero = 0
        for j in range(m):
            curvature = G[j, j]
            old = w[j]
            # The usual case first: a zero that stays zero costs a comparison.
            if curvature == 0.0 or (
                old == 0.0 and stays_zero(code, params, q[j], lam[j])
            ):
                continue
            new = prox(code, params, q[j] + curvature * old, lam[j], curvature, l2[j])
            if new != 0.0:
                n_nonzero += 1
            if new == old:
                continue
            if code <= L1_PLUS:
                changes += np.sign(new) != np.sign(old)
            elif piece(code, params, new, lam[j], l2[j]) != piece(
                code, params, old, lam[j], l2[j]
            ):
                changes += 1
            step = new - old
            w[j] = new
            for k in range(m):
                q[k] -= step * G[j, k]
            moved = max(moved, abs(step) * (curvature + l2[j]))
        if moved <= target:
            return sweep + 1, moved, changes
        if settle >= 0.0 and changes <= max(1.0, settle * n_nonzero):
            return sweep + 1, moved, changes
    return max_sweeps, moved, changes


@njit(cache=True, nogil=True)
def csc_cd(
    data, indices, indptr, means, total, squares, columns, u, beta, w, lam, l2,
    code, params, max_sweeps, target, settle,
):  # fmt: skip
    """The same descent on CSC columns, with the residual u + beta[0] s."""
    m = w.shape[0]
    moved = 0.0
    changes = 0
    for sweep in range(max_sweeps):
        moved = 0.0
        changes = 0
        n_nonzero = 0
        for k in range(m):
            j = columns[k]
            curvature = squares[j]
            if curvature == 0.0:
                continue
            start = indptr[j]
            stop = indptr[j + 1]
            mean = means[j]
            q = beta[0] * mean * total
            for p in range(start, stop):
                q += data[p] * u[indices[p]]
            old = w[k]
            if old == 0.0 and stays_zero(code, params, q, lam[k]):
                continue
            new = prox(code, params, q + curvature * old, lam[k], curvature, l2[k])
            if new != 0.0:
                n_nonzero += 1
            if new == old:
                continue
            if code <= L1_PLUS:
                changes += np.sign(new) != np.sign(old)
            elif piece(code, params, new, lam[k], l2[k]) != piece(
                code, params, old, lam[k], l2[k]
            ):
                changes += 1
            step = new - old
            w[k] = new
            for p in range(start, stop):
                u[indices[p]] -= step * data[p]
            beta[0] += step * mean
            moved = max(moved, abs(step) * (curvature + l2[k]))
        if moved <= target:
            return sweep + 1, moved, changes
        if settle >= 0.0 and changes <= max(1.0, settle * n_nonzero):
            return sweep + 1, moved, changes
    return max_sweeps, moved, changes


@njit(cache=True, nogil=True)
def gather_square(G, index, ridge, out):
    """Write G[index, index] + diag(ridge), lower triangle of F-ordered out."""
    m = index.shape[0]
    for b in range(m):
        row = index[b]
        for a in range(b, m):
            out[a, b] = G[row, index[a]]
        out[b, b] += ridge[b]


@njit(cache=True, nogil=True)
def _row_step(step, W, j, lam, scale):
    """Minimize over row j of W, whose gradient step `step` holds on entry.

    On return `step` is the change that was made; its norm is returned.
    """
    square = 0.0
    for t in range(step.shape[0]):
        square += step[t] * step[t]
    norm = np.sqrt(square)
    shrink = (1.0 - lam / norm) / scale if norm > lam else 0.0
    square = 0.0
    for t in range(step.shape[0]):
        step[t] = step[t] * shrink - W[j, t]
        square += step[t] * step[t]
        W[j, t] = W[j, t] + step[t] if shrink > 0.0 else 0.0
    return np.sqrt(square)


@njit(cache=True, nogil=True, fastmath=_DOT)
def gram_block_cd(G, Q, W, lam, l2, max_sweeps, target):
    """Block descent over the rows of W (lam ||W_j|| + l2 ||W_j||^2 / 2) on a Gram."""
    m, n_targets = W.shape
    step = np.empty(n_targets)
    moved = 0.0
    for sweep in range(max_sweeps):
        moved = 0.0
        for j in range(m):
            curvature = G[j, j]
            if curvature == 0.0:
                continue
            for t in range(n_targets):
                step[t] = Q[j, t] + curvature * W[j, t]
            size = _row_step(step, W, j, lam[j], curvature + l2[j])
            if size == 0.0:
                continue
            for k in range(m):
                g = G[j, k]
                for t in range(n_targets):
                    Q[k, t] -= g * step[t]
            moved = max(moved, size * (curvature + l2[j]))
        if moved <= target:
            return sweep + 1, moved
    return max_sweeps, moved


@njit(cache=True, nogil=True)
def csc_block_cd(
    data, indices, indptr, means, total, squares, columns, U, beta, W, lam, l2,
    max_sweeps, target,
):  # fmt: skip
    """The same block descent on CSC columns, residual U + s beta'."""
    m, n_targets = W.shape
    step = np.empty(n_targets)
    moved = 0.0
    for sweep in range(max_sweeps):
        moved = 0.0
        for k in range(m):
            j = columns[k]
            curvature = squares[j]
            if curvature == 0.0:
                continue
            mean = means[j]
            for t in range(n_targets):
                step[t] = beta[t] * mean * total + curvature * W[k, t]
            for p in range(indptr[j], indptr[j + 1]):
                for t in range(n_targets):
                    step[t] += data[p] * U[indices[p], t]
            size = _row_step(step, W, k, lam[k], curvature + l2[k])
            if size == 0.0:
                continue
            for t in range(n_targets):
                beta[t] += step[t] * mean
            for p in range(indptr[j], indptr[j + 1]):
                for t in range(n_targets):
                    U[indices[p], t] -= data[p] * step[t]
            moved = max(moved, size * (curvature + l2[k]))
        if moved <= target:
            return sweep + 1, moved
    return max_sweeps, moved
