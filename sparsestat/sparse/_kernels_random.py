"""Counter-based random numbers for kernels: a stream of its own for every key."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.sparse._kernels import kernel

__all__ = ["GAMMA", "below", "mix"]

U = np.uint64
GAMMA = U(0x9E3779B97F4A7C15)
MIX1, MIX2 = U(0xBF58476D1CE4E5B9), U(0x94D049BB133111EB)
S27, S30, S31, S32 = U(27), U(30), U(31), U(32)


@kernel
def mix(state):
    """Return the output of splitmix64 for a state; states rise by GAMMA."""
    z = state
    z = (z ^ (z >> S30)) * MIX1
    z = (z ^ (z >> S27)) * MIX2
    return z ^ (z >> S31)


@kernel
def below(state, n):
    """Return an integer in 0..n-1 for a state, n below 2**31, nearly uniform."""
    return np.int64(((mix(state) >> S32) * U(n)) >> S32)
