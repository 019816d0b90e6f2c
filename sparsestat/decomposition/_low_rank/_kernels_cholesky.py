"""Triangular solves with a factor that grows or shrinks by rows."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat._utils.jit import njit

__all__ = ["solve_factored"]


@njit(cache=True, nogil=True)
def solve_factored(L, p, active, n, x):
    """Write the solution of ``L L' x = p[active[:n]]`` into x."""
    for a in range(n):
        total = p[active[a]]
        for m in range(a):
            total -= L[a, m] * x[m]
        x[a] = total / L[a, a]
    for a in range(n - 1, -1, -1):
        total = x[a]
        for m in range(a + 1, n):
            total -= L[m, a] * x[m]
        x[a] = total / L[a, a]
