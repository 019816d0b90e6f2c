"""Warnings and errors that sparsestat raises beside Python's own."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "ConvergenceWarning",
    "InconsistentVersionWarning",
    "NoAcceptablePartitionWarning",
    "NoiseCollapseWarning",
    "NumericalError",
    "PrivacyLeakWarning",
]


class InconsistentVersionWarning(UserWarning):
    """An estimator was unpickled with another version than the one that wrote it.

    Parameters
    ----------
    estimator_name : str
        Class of the estimator.
    current_sparsestat_version : str
        The version that reads.
    original_sparsestat_version : str
        The version that wrote.
    """

    def __init__(
        self,
        *,
        estimator_name,
        current_sparsestat_version,
        original_sparsestat_version,
    ):
        super().__init__(estimator_name)
        self.estimator_name = estimator_name
        self.current_sparsestat_version = current_sparsestat_version
        self.original_sparsestat_version = original_sparsestat_version

    def __str__(self):
        return (
            f"A pickled {self.estimator_name} was written by sparsestat "
            f"{self.original_sparsestat_version} and is read by "
            f"{self.current_sparsestat_version}. Fitted attributes may be missing or "
            "mean something else: fit it again, or install the version that wrote it."
        )


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
