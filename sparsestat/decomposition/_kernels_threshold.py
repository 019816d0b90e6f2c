"""One pass over low-rank plus sparse: subtract, threshold, measure."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numba import njit

__all__ = ["threshold_residual"]


@njit(cache=True, nogil=True)
def threshold_residual(D, L, zeta, S):
    """Write the entries of D - L above `zeta` in magnitude to S, zeros elsewhere.

    Returns the number of entries kept and the sum of squares of those left out.
    """
    kept = 0
    rest = 0.0
    for i in range(D.shape[0]):
        row = 0.0
        for j in range(D.shape[1]):
            r = D[i, j] - L[i, j]
            keep = r > zeta or r < -zeta
            S[i, j] = r if keep else 0.0
            row += 0.0 if keep else r * r
            kept += keep
        rest += row
    return kept, rest
