"""Ensembles of trees on rotated features."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.ensemble._rotation_forest import (
    RotationForestClassifier,
    RotationForestRegressor,
)

__all__ = ["RotationForestClassifier", "RotationForestRegressor"]
