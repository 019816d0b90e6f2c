"""Optimal transport: entropic at any strength, exact, unbalanced, between points."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.transport._adaptation import DomainAdaptationClassifier
from sparsestat.transport._barycenter import barycenter
from sparsestat.transport._distances import (
    sinkhorn_divergence,
    wasserstein_distance,
)
from sparsestat.transport._estimators import (
    DoublyStochasticAffinity,
    OptimalTransport,
)
from sparsestat.transport._partial import partial_transport
from sparsestat.transport._result import OTResult
from sparsestat.transport._sinkhorn import (
    sinkhorn,
    sinkhorn_newton_sparse,
    sinkhorn_points,
)
from sparsestat.transport._symmetric import doubly_stochastic
from sparsestat.transport._unbalanced import sinkhorn_unbalanced

__all__ = [
    "DomainAdaptationClassifier",
    "DoublyStochasticAffinity",
    "OTResult",
    "OptimalTransport",
    "barycenter",
    "doubly_stochastic",
    "partial_transport",
    "sinkhorn",
    "sinkhorn_divergence",
    "sinkhorn_newton_sparse",
    "sinkhorn_points",
    "sinkhorn_unbalanced",
    "wasserstein_distance",
]
