"""Compile the kernels of retrieval on tiny data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

__all__ = ["warmup"]


def warmup():
    """Search among a few sparse rows, in both precisions, and encode two sets."""
    from sparsestat.neighbors import FixedDimensionalEncoder, SparseNeighbors

    for dtype in (np.float32, np.float64):
        X = sparse.csr_array(np.eye(12, dtype=dtype) + np.eye(12, k=1, dtype=dtype))
        for algorithm in ("seismic", "exact"):
            SparseNeighbors(2, algorithm=algorithm, random_state=0).fit(X).kneighbors(X)
    sets = [np.eye(3), np.eye(3)[:1]]
    encoder = FixedDimensionalEncoder(2, n_bits=2, random_state=0).fit(sets)
    encoder.transform(sets)
    encoder.score_chamfer(sets, sets)
