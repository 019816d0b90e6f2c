"""Clustering that says how far the partition can be trusted."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.cluster._balanced import BalancedKMeans
from sparsestat.cluster._certificate import KMeansCertificate
from sparsestat.cluster._certify import kmeans_certificate
from sparsestat.cluster._doubly_stochastic import DoublyStochasticClustering
from sparsestat.cluster._kmeans1d import KMeans1D
from sparsestat.cluster._la_sdp import LikelihoodAdjustedSDP
from sparsestat.cluster._laplacian import LaplacianKMeans
from sparsestat.cluster._partitive import ProbabilisticPartitivePartitioning
from sparsestat.cluster._sdp_kmeans import SDPKMeans
from sparsestat.cluster._select import KSelectionResult, select_n_clusters
from sparsestat.cluster._subspace import CodingRateSubspaceClustering

__all__ = [
    "BalancedKMeans",
    "CodingRateSubspaceClustering",
    "DoublyStochasticClustering",
    "KMeans1D",
    "KMeansCertificate",
    "KSelectionResult",
    "LaplacianKMeans",
    "LikelihoodAdjustedSDP",
    "ProbabilisticPartitivePartitioning",
    "SDPKMeans",
    "kmeans_certificate",
    "select_n_clusters",
]
