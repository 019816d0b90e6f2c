"""How the kernels of this room are compiled."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numba import njit

__all__ = ["kernel"]


def kernel(function):
    """Compile with numba; without the disk cache where no folder is writable."""
    try:
        return njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # "cannot cache function: no locator available"
        return njit(nogil=True, error_model="numpy")(function)
