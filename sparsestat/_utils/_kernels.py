"""One pass over the index arrays of a compressed matrix, before they are trusted."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat._utils.jit import njit

__all__ = ["BAD_INDEX", "BAD_POINTER", "SORTED", "UNIQUE", "UNSORTED", "scan_indices"]

# What a scan can find; the order matters: anything from UNSORTED on is safe to read.
BAD_POINTER, BAD_INDEX, UNSORTED, SORTED, UNIQUE = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True)
def scan_indices(indices, indptr, minor):
    """Return the first fault, or how well the indices of every row are ordered.

    UNIQUE means strictly increasing rows, SORTED non-decreasing ones. Nothing is
    allocated, however many entries there are.
    """
    if indptr[0] != 0 or indptr[-1] > len(indices):
        return BAD_POINTER
    found = UNIQUE
    stop = 0
    for i in range(len(indptr) - 1):
        start = stop
        stop = indptr[i + 1]
        if stop == start:
            continue
        if stop < start or stop > len(indices):
            return BAD_POINTER
        before = -1
        for p in range(start, stop):
            column = indices[p]
            if column < 0 or column >= minor:
                return BAD_INDEX
            if column <= before:
                found = min(found, SORTED if column == before else UNSORTED)
            before = column
    return found
