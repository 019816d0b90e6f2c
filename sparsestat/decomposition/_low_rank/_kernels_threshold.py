"""One pass over low-rank plus sparse: subtract, threshold, measure."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat._utils.jit import njit

__all__ = ["clip_gross_errors"]


@njit(cache=True, nogil=True)
def clip_gross_errors(D, zeta, Z):
    """Replace L in Z by D, except where they differ by more than `zeta`.

    Z is then D less the hard-thresholded errors D - L. Returns the number of entries
    left at L and the sum of squares of the differences of the others.
    """
    kept = 0
    rest = 0.0
    for i in range(D.shape[0]):
        row = 0.0
        for j in range(D.shape[1]):
            d, low = D[i, j], Z[i, j]
            r = d - low
            keep = abs(r) > zeta
            Z[i, j] = low if keep else d
            row += 0.0 if keep else r * r
            kept += keep
        rest += row
    return kept, rest
