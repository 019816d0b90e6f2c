"""Sparse Bayesian learning: variances instead of penalties, real and complex."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.bayes._block_kronecker import BlockKroneckerSBL
from sparsestat.bayes._inverse_free_sbl import InverseFreeSBL
from sparsestat.bayes._kronecker_sbl import KroneckerSBL
from sparsestat.bayes._mrf_sbl import MRFSBL
from sparsestat.bayes._sbl import SBLRegressor
from sparsestat.bayes._sbl_classifier import SBLClassifier

__all__ = [  # noqa: RUF022
    "BlockKroneckerSBL",
    "InverseFreeSBL",
    "KroneckerSBL",
    "MRFSBL",
    "SBLClassifier",
    "SBLRegressor",
]
