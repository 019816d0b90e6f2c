"""Compile the common signatures of this family on tiny data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.transport import (
    doubly_stochastic,
    sinkhorn,
    sinkhorn_points,
    sinkhorn_unbalanced,
)

__all__ = ["warmup"]


def warmup():
    """Solve small and larger problems, in both precisions, once."""
    C = np.random.default_rng(0).random((300, 280))
    sinkhorn(C, eta=300.0, return_plan="sparse")
    sinkhorn(C[:20, :10], eta=300.0)
    sinkhorn(C.astype(np.float32), eta=300.0, tol=1e-5)
    sinkhorn(C[:20, :20] ** 8, eta=30.0, method="sinkhorn", tol=1e-2)
    sinkhorn_points(C[:, :2], C[:, 2:4], eta=100.0)
    many = np.random.default_rng(0).random((1010, 2))
    sinkhorn_points(many, many, reg=1e-3, tol=1e-3)
    sinkhorn(C[:20, :10], eta=30.0, method="ssns")
    sinkhorn(C[:80, :70], method="exact")
    line = np.linspace(0.0, 1.0, 3000)
    sinkhorn_points(line, line + 0.5, method="exact")
    sinkhorn_unbalanced(C[:20, :10], eta=1e3)
    doubly_stochastic((C[:20, :1] - C[:20, 0]) ** 2, reg=0.1)
