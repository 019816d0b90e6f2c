"""Prediction in a metric space of labels, seen and never seen."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.multiclass._frechet import FrechetMeanClassifier
from sparsestat.multiclass._locus import locus, next_label

__all__ = ["FrechetMeanClassifier", "locus", "next_label"]
