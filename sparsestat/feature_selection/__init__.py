"""Unsupervised selection of features."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.feature_selection._quick_selection import QuickSelection

__all__ = ["QuickSelection"]
