"""Which features can be trusted: error control for sparse selection."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.inference._debiased import DebiasedLasso
from sparsestat.inference._knockoffs import KnockoffSelector
from sparsestat.inference._scaled_lasso import ScaledLasso
from sparsestat.inference._selective import LassoSelectiveInference
from sparsestat.inference._stability import StabilitySelection

__all__ = [
    "DebiasedLasso",
    "KnockoffSelector",
    "LassoSelectiveInference",
    "ScaledLasso",
    "StabilitySelection",
]
