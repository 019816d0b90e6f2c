"""Displays in scikit-learn's form; matplotlib is imported when one is drawn."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.plotting._certificates import CertificateDisplay
from sparsestat.plotting._cluster import ClusterDisplay
from sparsestat.plotting._convergence import ConvergenceDisplay
from sparsestat.plotting._dictionary import DictionaryDisplay
from sparsestat.plotting._embedding import EmbeddingDisplay
from sparsestat.plotting._inference import (
    IntervalDisplay,
    KnockoffDisplay,
    StabilityPathDisplay,
)
from sparsestat.plotting._k_selection import KSelectionDisplay
from sparsestat.plotting._layers import LayerKernelDisplay
from sparsestat.plotting._path import RegularizationPathDisplay
from sparsestat.plotting._prediction import PredictionDisplay
from sparsestat.plotting._spectral import SpectralDensityDisplay
from sparsestat.plotting._support import SupportRecoveryDisplay
from sparsestat.plotting._transport import TransportPlanDisplay

__all__ = [
    "CertificateDisplay",
    "ClusterDisplay",
    "ConvergenceDisplay",
    "DictionaryDisplay",
    "EmbeddingDisplay",
    "IntervalDisplay",
    "KSelectionDisplay",
    "KnockoffDisplay",
    "LayerKernelDisplay",
    "PredictionDisplay",
    "RegularizationPathDisplay",
    "SpectralDensityDisplay",
    "StabilityPathDisplay",
    "SupportRecoveryDisplay",
    "TransportPlanDisplay",
]
