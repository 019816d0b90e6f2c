"""How the kernels of this room are compiled."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat._utils.jit import njit

__all__ = ["kernel"]


def kernel(function):
    """Compile with numba, as all kernels of this room are."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)
