"""Non-negative least squares, one small problem a row."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat._utils.jit import njit
from sparsestat.decomposition._low_rank._kernels_cholesky import solve_factored

__all__ = ["nnls_active_set", "nnls_rows"]


@njit(cache=True, nogil=True)
def nnls_rows(P, Q, G, max_sweeps, tol):
    """Lower ``g Q g / 2 - p g`` over g >= 0 for each row, by cyclic coordinates.

    P is (n, k), Q the (k, k) Gram matrix, G holds the start and receives the answer.
    A row stops when no coordinate moved by more than `tol` of its largest one.
    """
    k = Q.shape[0]
    for i in range(P.shape[0]):
        for _ in range(max_sweeps):
            moved = 0.0
            largest = 0.0
            for j in range(k):
                if Q[j, j] <= 0.0:
                    continue
                slope = P[i, j]
                for m in range(k):
                    slope -= Q[j, m] * G[i, m]
                old = G[i, j]
                new = max(0.0, old + slope / Q[j, j])
                G[i, j] = new
                moved = max(moved, abs(new - old))
                largest = max(largest, new)
            if moved <= tol * largest:
                break


@njit(cache=True, nogil=True)
def _solve_on_support(Q, p, active, n_active, L, x):
    """Solve ``Q[S, S] x = p[S]`` by Cholesky; False when a pivot vanishes."""
    for a in range(n_active):
        i = active[a]
        for b in range(a + 1):
            total = Q[i, active[b]]
            for m in range(b):
                total -= L[a, m] * L[b, m]
            if a == b:
                if total <= 1e-14 * Q[i, i]:
                    return False
                L[a, a] = total**0.5
            else:
                L[a, b] = total / L[b, b]
    solve_factored(L, p, active, n_active, x)
    return True


@njit(cache=True, nogil=True)
def nnls_active_set(P, Q, G, active, L, x):
    """Minimize ``g Q g / 2 - p g`` over g >= 0 for each row, by active sets.

    The method of Lawson and Hanson on the Gram matrix; finite, and exact however
    dependent the columns are. `active`, `L` and `x` are work space.
    """
    k = Q.shape[0]
    for i in range(P.shape[0]):
        size = 0.0
        for j in range(k):
            G[i, j] = 0.0
            size = max(size, abs(P[i, j]))
        n_active = 0
        refused = -1
        for _ in range(10 * k + 10):
            # The most promising coordinate enters, unless it could not before.
            entering, steepest = -1, 1e-13 * size
            for j in range(k):
                if G[i, j] > 0.0 or j == refused:
                    continue
                slope = P[i, j]
                for m in range(k):
                    slope -= Q[j, m] * G[i, m]
                if slope > steepest:
                    entering, steepest = j, slope
            if entering < 0:
                break
            active[n_active] = entering
            n_active += 1
            refused = -1
            while n_active > 0:
                if not _solve_on_support(Q, P[i], active, n_active, L, x):
                    n_active -= 1  # dependent on the others: nothing to gain
                    refused = entering
                    break
                step, blocked = 1.0, -1
                for a in range(n_active):
                    if x[a] <= 0.0:
                        old = G[i, active[a]]
                        ratio = old / (old - x[a]) if old > x[a] else 0.0
                        if ratio < step or blocked < 0:
                            step, blocked = min(step, ratio), a
                if blocked < 0:
                    for a in range(n_active):
                        G[i, active[a]] = x[a]
                    break
                if active[blocked] == entering and step == 0.0:
                    refused = entering  # its slope was rounding
                for a in range(n_active):
                    j = active[a]
                    G[i, j] += step * (x[a] - G[i, j])
                G[i, active[blocked]] = 0.0
                kept = 0
                for a in range(n_active):
                    if G[i, active[a]] > 0.0 or (
                        active[a] == entering and refused != entering and a != blocked
                    ):
                        active[kept] = active[a]
                        kept += 1
                    else:
                        G[i, active[a]] = 0.0
                n_active = kept
