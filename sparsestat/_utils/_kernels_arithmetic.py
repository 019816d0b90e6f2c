"""Sums and dot products in twice the working precision, in one pass.

Every rounding error is recovered exactly by Knuth's two-sum and Dekker's product and
added up beside the sum, so the result is as good as if it had been computed with 106
bits and rounded once (Ogita, Rump and Oishi 2005). Numbers up to 1e140 are safe.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat._utils.jit import njit

_SPLIT = 134217729.0  # 2**27 + 1: halves of 26 bits, whose products are exact


@njit(cache=True, nogil=True)
def compensated_dot(x, y):
    """Return the dot product of two vectors as a sum of two numbers."""
    total = 0.0
    rest = 0.0
    for i in range(x.shape[0]):
        a = float(x[i])
        b = float(y[i])
        product = a * b
        c = _SPLIT * a
        a_high = c - (c - a)
        a_low = a - a_high
        c = _SPLIT * b
        b_high = c - (c - b)
        b_low = b - b_high
        error = a_low * b_low - (
            ((product - a_high * b_high) - a_low * b_high) - a_high * b_low
        )
        new = total + product
        part = new - total
        rest += ((total - (new - part)) + (product - part)) + error
        total = new
    high = total + rest
    return high, rest - (high - total)


@njit(cache=True, nogil=True)
def compensated_dots(x, Y, out):
    """Write the dot products of a vector with the rows of a matrix, rounded once."""
    for k in range(Y.shape[0]):
        high, low = compensated_dot(x, Y[k])
        out[k] = high + low


@njit(cache=True, nogil=True)
def column_extremes(X, low, high):
    """Narrow `low` and widen `high` to the entries of each column, in one pass."""
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            x = X[i, j]
            if x < low[j]:
                low[j] = x
            if x > high[j]:
                high[j] = x


@njit(cache=True, nogil=True)
def compensated_sum(x):
    """Return the sum of a vector as a sum of two numbers."""
    total = 0.0
    rest = 0.0
    for i in range(x.shape[0]):
        a = float(x[i])
        new = total + a
        part = new - total
        rest += (total - (new - part)) + (a - part)
        total = new
    high = total + rest
    return high, rest - (high - total)
