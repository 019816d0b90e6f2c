"""Exponentials of a block of numbers, for kernels that take many."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["exponentials"]

_LOG2E = 1.4426950408889634
_LN2_HIGH = 6.93145751953125e-1
_LN2_LOW = 1.42860682030941723212e-6
_MAGIC = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def exponentials(x, scratch, n):
    """Replace x[:n], all within [-700, 0], by their exponentials.

    Range reduction and a polynomial, without branches, so that the compiler can
    use vector instructions; the relative error is a few units in the last place.
    """
    bits = scratch.view(np.int64)
    for k in range(n):
        t = x[k] * _LOG2E + _MAGIC
        scratch[k] = t
        e = t - _MAGIC
        r = (x[k] - e * _LN2_HIGH) - e * _LN2_LOW
        p = 1.6059043836821613e-10
        p = p * r + 2.08767569878681e-09
        p = p * r + 2.505210838544172e-08
        p = p * r + 2.755731922398589e-07
        p = p * r + 2.7557319223985893e-06
        p = p * r + 2.48015873015873e-05
        p = p * r + 1.984126984126984e-04
        p = p * r + 1.388888888888889e-03
        p = p * r + 8.333333333333333e-03
        p = p * r + 4.1666666666666664e-02
        p = p * r + 1.6666666666666666e-01
        p = p * r + 0.5
        p = p * r + 1.0
        x[k] = p * r + 1.0
    for k in range(n):
        bits[k] = (bits[k] << 52) + (1023 << 52)
    for k in range(n):
        x[k] *= scratch[k]
