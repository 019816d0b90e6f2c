"""Clustering that says how far the partition can be trusted."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.cluster._balanced import BalancedKMeans
from sparsestat.cluster._certificate import KMeansCertificate
from sparsestat.cluster._certify import kmeans_certificate
from sparsestat.cluster._laplacian import LaplacianKMeans
from sparsestat.cluster._sdp_kmeans import SDPKMeans

__all__ = [
    "BalancedKMeans",
    "KMeansCertificate",
    "LaplacianKMeans",
    "SDPKMeans",
    "kmeans_certificate",
]
