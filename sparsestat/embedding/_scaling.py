"""Standardization of embeddings, by blocks of rows."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

__all__ = ["finish", "statistics"]

_ROWS = 4096  # rows a block in column sums; fixed, hence reproducible


def statistics(E, output):
    """Return column means and spreads, summed in fixed blocks of rows."""
    n, d = E.shape
    if output != "standard":
        return np.zeros(d), np.ones(d)
    blocks = range(0, n, _ROWS)
    mean = np.zeros(d)
    for a in blocks:
        mean += E[a : a + _ROWS].sum(axis=0, dtype=np.float64)
    mean /= n
    variance = np.zeros(d)
    for a in blocks:
        variance += ((E[a : a + _ROWS] - mean) ** 2).sum(axis=0)
    scale = np.sqrt(variance / n)
    # Rounding leaves a constant column a spread of the order of its rounding errors.
    scale[scale <= 10 * np.finfo(E.dtype).eps * np.abs(mean)] = 1.0
    return mean, scale


def finish(E, output, mean, scale):
    """Standardize columns or normalize rows in place, a block of rows at a time."""
    if output is None:
        return
    for a in range(0, len(E), _ROWS):
        rows = E[a : a + _ROWS]
        if output == "standard":
            rows[:] = (rows - mean) / scale
        else:
            lengths = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
            rows[:] = rows / np.where(lengths > 0, lengths, 1.0)
