"""The proximal step of the sorted absolute penalty.

Reference: M. Bogdan, E. van den Berg, C. Sabatti, W. Su, E. Candes, "SLOPE:
adaptive variable selection via convex optimization", Annals of Applied Statistics
9, 2015, algorithm 4.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit


@njit(cache=True, nogil=True)
def sorted_prox(sizes, lam, out):
    """Write the nearest non-increasing, non-negative sequence to sizes - lam.

    `sizes` are absolute values in decreasing order. Neighbors that would cross are
    pooled; a pool holds one value, to the last bit.
    """
    m = sizes.shape[0]
    start = np.empty(m, dtype=np.intp)
    total = np.empty(m)
    mean = np.empty(m)
    n_pools = 0
    for i in range(m):
        start[n_pools] = i
        total[n_pools] = sizes[i] - lam[i]
        mean[n_pools] = total[n_pools]
        n_pools += 1
        while n_pools > 1 and mean[n_pools - 2] <= mean[n_pools - 1]:
            n_pools -= 1
            total[n_pools - 1] += total[n_pools]
            mean[n_pools - 1] = total[n_pools - 1] / (i + 1 - start[n_pools - 1])
    for k in range(n_pools):
        stop = start[k + 1] if k + 1 < n_pools else m
        value = max(mean[k], 0.0)
        for i in range(start[k], stop):
            out[i] = value


@njit(cache=True, nogil=True)
def predicted_support(sizes, lam):
    """Number of leading entries that can be non-zero when `sizes` is the gradient.

    `sizes` in decreasing order: the last index up to which the sum of
    ``sizes - lam`` since the last such index is not negative.
    """
    count = 0
    excess = 0.0
    for i in range(sizes.shape[0]):
        excess += sizes[i] - lam[i]
        if excess >= 0.0:
            count = i + 1
            excess = 0.0
    return count
