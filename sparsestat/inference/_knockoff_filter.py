"""From knockoff statistics to selections: thresholds, e-values, the e-BH procedure."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

__all__ = ["e_benjamini_hochberg", "e_values", "knockoff_threshold"]


def knockoff_threshold(W, fdr, offset=1):
    """Return the least t at which the estimated share of false ones is at most `fdr`.

    Parameters
    ----------
    W : ndarray of shape (n_features,)
        Statistics, whose signs are fair coins for features without an effect.
    fdr : float
        Level.
    offset : {0, 1}, default=1
        Added to the number of ``W <= -t``.

    Returns
    -------
    threshold : float
        Infinite if there is none.
    """
    sizes = np.unique(np.abs(W[W != 0.0]))
    if len(sizes) == 0:
        return np.inf
    ordered = np.sort(W)
    below = np.searchsorted(ordered, -sizes, side="right")
    above = len(W) - np.searchsorted(ordered, sizes, side="left")
    good = (offset + below) / np.maximum(above, 1) <= fdr
    return float(sizes[np.argmax(good)]) if good.any() else np.inf


def e_values(W, thresholds):
    """Return the mean over draws of ``p 1{W_j >= T} / (1 + #{W <= -T})``.

    Parameters
    ----------
    W : ndarray of shape (n_draws, n_features)
    thresholds : ndarray of shape (n_draws,)
        Draws without a threshold (infinite) count as zeros.
    """
    total = np.zeros(W.shape[1])
    for row, threshold in zip(W, thresholds, strict=True):
        if np.isfinite(threshold):
            total += (row >= threshold) / (1.0 + np.count_nonzero(row <= -threshold))
    return W.shape[1] * total / len(W)


def e_benjamini_hochberg(e, fdr):
    """Return which e-values are selected: the k largest, all at least p / (fdr k)."""
    p = len(e)
    ordered = np.sort(e)[::-1]
    # A k-th largest equal to p / (fdr k) counts, in spite of rounding.
    good = ordered * fdr * np.arange(1, p + 1) >= p * (1.0 - 1e-12)
    if not good.any():
        return np.zeros(p, dtype=bool)
    k = int(np.flatnonzero(good)[-1]) + 1
    return e * fdr * k >= p * (1.0 - 1e-12)
