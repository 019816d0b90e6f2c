"""Clustering that says how far the partition can be trusted."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.cluster._balanced import BalancedKMeans

__all__ = ["BalancedKMeans"]
