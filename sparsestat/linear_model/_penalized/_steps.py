"""Steps of Newton's method: how long they are, and the units they are taken in."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.arithmetic import power_of_two

__all__ = ["in_one_unit", "line_search"]

_ARMIJO = 1e-4
_ROUNDING = 1e-14


def line_search(objective, present, change):
    """Halve the step until the objective falls enough.

    Parameters
    ----------
    objective : callable
        Takes a step length.
    present : float
        Objective at length 0.
    change : float
        What the model promises of a full step; negative.

    Returns
    -------
    length : float
        0.0 if no step descends.
    """
    if not change < 10 * _ROUNDING * abs(present):
        return 0.0
    length = 1.0
    while length > 1e-10:
        new = objective(length)
        if new <= present + _ARMIJO * length * change:
            return length
        # At the optimum both sides agree to rounding: a full step is as good.
        if length == 1.0 and -change <= 10 * _ROUNDING * abs(present):
            return 1.0 if new <= present + _ROUNDING * abs(present) else 0.0
        length *= 0.5
    return 0.0


def in_one_unit(A):
    """Return columns divided by powers of two, and these.

    Slopes along them then compare, and no column is small beside another.
    """
    units = np.array([power_of_two(size) for size in np.abs(A).max(axis=0)])
    return np.asfortranarray(A / units), units
