"""Orthogonal matching pursuit on a Gram matrix, one signal a row."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat._utils.jit import njit
from sparsestat.decomposition._low_rank._kernels_cholesky import solve_factored

__all__ = ["omp_rows"]


@njit(cache=True, nogil=True)
def omp_rows(A, Q, s, codes, alpha, chosen, L, x):
    """Choose up to s atoms for each row of correlations A; fill `codes`.

    Q is the Gram matrix of unit atoms. The Cholesky factor of the chosen part grows
    by a row with each atom. `alpha`, `chosen`, `L` and `x` are work space.
    """
    k = Q.shape[0]
    for i in range(A.shape[0]):
        largest = 0.0
        for j in range(k):
            codes[i, j] = 0.0
            alpha[j] = A[i, j]
            largest = max(largest, abs(A[i, j]))
        n = 0
        while n < s:
            best, size = -1, 1e-12 * largest
            for j in range(k):
                if abs(alpha[j]) > size:
                    best, size = j, abs(alpha[j])
            if best < 0:
                break
            pivot = Q[best, best]
            for a in range(n):
                total = Q[best, chosen[a]]
                for m in range(a):
                    total -= L[n, m] * L[a, m]
                L[n, a] = total / L[a, a]
                pivot -= L[n, a] * L[n, a]
            if pivot <= 1e-12:
                break  # dependent on the atoms chosen: nothing to gain
            L[n, n] = pivot**0.5
            chosen[n] = best
            n += 1
            solve_factored(L, A[i], chosen, n, x)
            for j in range(k):
                alpha[j] = A[i, j]
            for a in range(n):
                weight, row = x[a], chosen[a]
                for j in range(k):
                    alpha[j] -= weight * Q[row, j]
            for a in range(n):
                alpha[chosen[a]] = 0.0  # exactly, so that none is chosen twice
        for a in range(n):
            codes[i, chosen[a]] = x[a]
