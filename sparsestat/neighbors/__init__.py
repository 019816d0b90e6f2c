"""Retrieval: neighbors of sparse vectors, and vectors for sets of vectors."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.neighbors._encoder import FixedDimensionalEncoder
from sparsestat.neighbors._sparse_neighbors import SparseNeighbors

__all__ = ["FixedDimensionalEncoder", "SparseNeighbors"]
