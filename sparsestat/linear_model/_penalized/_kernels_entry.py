"""What enters the list of a path: what moves now, and what will at the next strength.

The strong rule and a line through the last two strengths say what will enter; what they
miss is seen by the gap over all features.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

_RISEN = 1.0 + 1e-14  # rounding alone lets no feature enter


@njit(cache=True, nogil=True)
def outlook(strengths, k, margin):
    """Return how far a step goes, and the level of what is expected to enter.

    Parameters
    ----------
    strengths : ndarray of shape (n_strengths,)
    k : int
    margin : float
        Share of the step by which features are expected too early.

    Returns
    -------
    stride : float
        The step relative to the last one; 0 where there is none to compare with.
    level : float
        What expected slopes must exceed, beside their multipliers.
    """
    if k == 0:
        return 0.0, np.inf
    if k == 1:
        return 0.0, 2.0 * strengths[1] - strengths[0]
    step = strengths[k - 1] - strengths[k]
    last = strengths[k - 2] - strengths[k - 1]
    stride = step / last if last > 0.0 else 0.0
    return stride, strengths[k] - margin * step


@njit(cache=True, nogil=True)
def exceeds(here, ahead, lam, strength, level):
    """Whether a size, or the one that is expected, lets its unit enter."""
    return here > _RISEN * strength * lam or ahead > level * lam


@njit(cache=True, nogil=True)
def enters(q, before, lam, strength, level, stride, positive):
    """Whether a feature enters, whose slope was `before` and is q."""
    here, ahead = q, q + stride * (q - before)
    if not positive:
        here, ahead = abs(here), abs(ahead)
    return exceeds(here, ahead, lam, strength, level)
