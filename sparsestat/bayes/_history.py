"""The log evidence at every iteration, and the names it had before 0.2."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np

from sparsestat._utils.deprecation import renamed
from sparsestat._utils.results import users_stacklevel

__all__ = ["EvidenceHistoryMixin"]


class EvidenceHistoryMixin:
    """Keep the log evidence of one target at every iteration in ``history_``."""

    def _keep_evidence(self, costs, total, scale, is_complex):
        """Store log evidences from costs, which count logarithms twice.

        Parameters
        ----------
        costs : list of float
            -2 log evidence of y / scale (of complex y, -1), less the part of pi.
        total : float
            Observations.
        scale : float
            Divisor of y.
        is_complex : bool
            Whether densities are those of circular complex numbers.
        """
        share = 1.0 if is_complex else 0.5
        self._evidence_units = share, total * np.log(np.pi / share)
        costs = np.array(costs) + total * np.log(scale**2)
        self.history_ = -share * (costs + self._evidence_units[1])

    @property
    def scores_(self):
        """The costs behind `history_`, by their old name."""
        share, constant = self._evidence_units
        costs = -self.history_ / share - constant
        return renamed(None, costs, "history_", "scores_")

    def _warn_of_compute_score(self):
        if self.compute_score != "deprecated":
            warnings.warn(
                "`compute_score` has no effect since 0.2: `history_` is always kept. "
                "The parameter goes in 0.4.",
                FutureWarning,
                stacklevel=users_stacklevel(),
            )
