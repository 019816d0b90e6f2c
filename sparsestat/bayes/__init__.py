"""Sparse Bayesian learning: variances instead of penalties, real and complex."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.bayes._kronecker_sbl import KroneckerSBL
from sparsestat.bayes._sbl import SBLRegressor

__all__ = ["KroneckerSBL", "SBLRegressor"]
