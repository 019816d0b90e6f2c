"""Warnings and errors that sparsestat raises beside Python's own."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "ConvergenceWarning",
    "NoAcceptablePartitionWarning",
    "NoiseCollapseWarning",
    "NumericalError",
    "PrivacyLeakWarning",
]


class NoAcceptablePartitionWarning(UserWarning):
    """No number of clusters passed the tests, so that all samples are in one."""


class NoiseCollapseWarning(UserWarning):
    """A noise variance was learned from too few observations to be trusted."""


class NumericalError(ArithmeticError):
    """A computation broke down numerically and no stable form rescued it.

    The message names the quantity, the iteration and a remedy. sparsestat
    raises this instead of returning NaN.
    """


class PrivacyLeakWarning(UserWarning):
    """A step taken at the user's request weakens a privacy guarantee."""
