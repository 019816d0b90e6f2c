"""Compile the common signatures of this family on tiny data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat._utils.blocks import row_blocks
from sparsestat.linear_model import (
    BestSubsetPoissonRegressor,
    BestSubsetRegressor,
    GraphLabelPropagation,
    GroupLasso,
    Lasso,
    MCPRegressor,
    MultiTaskLasso,
    Slope,
    SparseCoxRegressor,
    SparseLogisticRegression,
    SparsePoissonRegressor,
    greedy_bcd,
)

__all__ = ["warmup"]


def warmup():
    """Fit dense and sparse, float64 and float32, weighted and multi-task once."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 30))
    y = X[:, 0] + 0.1 * rng.standard_normal(20)
    weights = np.ones(20)
    for data in (X, X.astype(np.float32), sparse.csc_array(X)):
        Lasso(alpha=0.05, tol=1e-8).fit(data, y, sample_weight=weights)
        # Conjugate gradients need a larger set than the above reaches.
        Lasso(alpha=1e-3, tol=1e-10).fit(data, y)
        MultiTaskLasso(alpha=0.05).fit(data, np.column_stack([y, -y]))
    MultiTaskLasso(alpha=0.05).fit(X[:, :3], np.column_stack([y, -y]))
    thin = sparse.csc_array(X * (rng.random(X.shape) < 0.02))
    for data in (X, thin):
        GroupLasso(3, alpha=0.05, tol=1e-8).fit(data, y)
        Slope(alpha=0.05, tol=1e-8).fit(data, y)
        SparseLogisticRegression(0.01).fit(data, y > 0)
        SparsePoissonRegressor(0.05).fit(data, np.exp(y))
        SparseLogisticRegression(0.01).fit(data, np.arange(20) % 3)
        SparseLogisticRegression(0.01, row_sparse=True).fit(data, np.arange(20) % 3)
    for data in (X, X.astype(np.float32)):
        SparseLogisticRegression(0.01).fit(row_blocks(data, y > 0))
    # Whole paths in one call.
    for data in (X, thin):
        Lasso.path(data, y, alphas=5)
        SparseLogisticRegression.path(data, y > 0, alphas=5)
    GroupLasso.path(X, y, alphas=5, groups=3)
    MCPRegressor.path(X, y, alphas=5)
    cox = SparseCoxRegressor(0.05).fit(X, np.exp(y))
    cox.score(X, np.exp(y))
    labels = np.arange(20) % 3 - 1
    for method in ("cg", "greedy_tree", "red_black", "gs"):
        GraphLabelPropagation(n_neighbors=3, method=method).fit(X, labels)
    BestSubsetPoissonRegressor(2).fit(X, np.arange(20) % 4)
    for method in ("splicing", "cd_swaps", "exact"):
        BestSubsetRegressor(3, method=method).fit(X, y)
    greedy_bcd(X, y, penalty="l1", alpha=0.05, tol=1e-2)
