"""Symmetric sweeps over forests as a preconditioner, at the cost of one product.

The nodes are renumbered forest by forest, each in breadth-first order. With D the
forests' own blocks and L the entries that tie a node to an earlier forest, the
preconditioner is ``(D + L) D^{-1} (D + L')``. The kernels apply the preconditioned
matrix ``(D + L)^{-1} A (D + L')^{-1}`` without multiplying by A (Eisenstat's trick):
with t = (D + L')^{-1} p it is ``t + (D + L)^{-1} L' t``.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = [
    "advance",
    "backward_sweep",
    "conjugate",
    "forest_product",
    "forward_sweep",
    "lower_part",
]


@njit(cache=True, nogil=True)
def lower_part(data, indices, indptr, sequence, starts, position):
    """Return, by position, the entries to earlier forests as a CSR triple."""
    n = sequence.shape[0]
    lower_ptr = np.zeros(n + 1, np.int64)
    for f in range(starts.shape[0] - 1):
        for k in range(starts[f], starts[f + 1]):
            v = sequence[k]
            count = 0
            for p in range(indptr[v], indptr[v + 1]):
                if position[indices[p]] < starts[f]:
                    count += 1
            lower_ptr[k + 1] = lower_ptr[k] + count
    lower_data = np.empty(lower_ptr[n])
    lower_indices = np.empty(lower_ptr[n], np.int32)
    for f in range(starts.shape[0] - 1):
        for k in range(starts[f], starts[f + 1]):
            v = sequence[k]
            place = lower_ptr[k]
            for p in range(indptr[v], indptr[v + 1]):
                u = position[indices[p]]
                if u < starts[f]:
                    lower_data[place] = data[p]
                    lower_indices[place] = u
                    place += 1
    return lower_data, lower_indices, lower_ptr


@njit(cache=True, nogil=True)
def _solve_forest(up, link, pivot, first, last, X):
    """X <- D^{-1} X on one forest: from the leaves to the roots and back."""
    width = X.shape[1]
    for k in range(last - 1, first - 1, -1):
        if up[k] >= 0:
            ratio = link[k] / pivot[k]
            for t in range(width):
                X[up[k], t] -= ratio * X[k, t]
    for k in range(first, last):
        above = up[k]
        scale = 1.0 / pivot[k]
        if above < 0:
            for t in range(width):
                X[k, t] *= scale
        else:
            for t in range(width):
                X[k, t] = (X[k, t] - link[k] * X[above, t]) * scale


@njit(cache=True, nogil=True)
def backward_sweep(data, indices, indptr, starts, up, link, pivot, P, T, carried):
    """T = (D + L')^{-1} P and carried = L' T."""
    width = P.shape[1]
    carried[:] = 0.0
    for f in range(starts.shape[0] - 2, -1, -1):
        first, last = starts[f], starts[f + 1]
        for k in range(first, last):
            for t in range(width):
                T[k, t] = P[k, t] - carried[k, t]
        _solve_forest(up, link, pivot, first, last, T)
        for k in range(first, last):
            for p in range(indptr[k], indptr[k + 1]):
                u = indices[p]
                a = data[p]
                for t in range(width):
                    carried[u, t] += a * T[k, t]


@njit(cache=True, nogil=True)
def forward_sweep(data, indices, indptr, starts, up, link, pivot, S):
    """S <- (D + L)^{-1} S."""
    width = S.shape[1]
    for f in range(starts.shape[0] - 1):
        first, last = starts[f], starts[f + 1]
        for k in range(first, last):
            for p in range(indptr[k], indptr[k + 1]):
                u = indices[p]
                a = data[p]
                for t in range(width):
                    S[k, t] -= a * S[u, t]
        _solve_forest(up, link, pivot, first, last, S)


@njit(cache=True, nogil=True)
def forest_product(up, link, diag, R, Z, dots):
    """Z = D R with the forests' blocks D, and the column sums of R * Z."""
    n, width = R.shape
    for k in range(n):
        for t in range(width):
            Z[k, t] = diag[k] * R[k, t]
    dots[:] = 0.0
    # Parents stand before their children: a node is complete once its own link and
    # all later ones have been added, hence the second loop for the sums.
    for k in range(n):
        above = up[k]
        if above >= 0:
            a = link[k]
            for t in range(width):
                Z[k, t] += a * R[above, t]
                Z[above, t] += a * R[k, t]
                dots[t] += 2.0 * a * R[k, t] * R[above, t]
        for t in range(width):
            dots[t] += diag[k] * R[k, t] * R[k, t]


@njit(cache=True, nogil=True)
def advance(P, T, S, X, R, rho, curvature):
    """Step along P: X += a T and R -= a (T + S) with a = rho / P'(T + S)."""
    n, width = P.shape
    curvature[:] = 0.0
    for k in range(n):
        for t in range(width):
            S[k, t] += T[k, t]
            curvature[t] += P[k, t] * S[k, t]
    length = np.zeros(width)
    for t in range(width):
        if curvature[t] > 0.0:
            length[t] = rho[t] / curvature[t]
    for k in range(n):
        for t in range(width):
            X[k, t] += length[t] * T[k, t]
            R[k, t] -= length[t] * S[k, t]


@njit(cache=True, nogil=True)
def conjugate(P, Z, ratio):
    """P <- Z + ratio * P."""
    n, width = P.shape
    for k in range(n):
        for t in range(width):
            P[k, t] = Z[k, t] + ratio[t] * P[k, t]
