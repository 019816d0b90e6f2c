"""K-means on rows in blocks: a sample is searched, and all rows prove it or not."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from sklearn.utils import check_random_state

from sparsestat.cluster._block_rows import ClusterBlocks
from sparsestat.cluster._certify import Bounds
from sparsestat.cluster._certify_blocks import BlockClusterMoments
from sparsestat.cluster._sdp_search import search_partition

__all__ = ["search_blocks"]

_MOST_PASSES = 100
_SCALE = "gap of the cost to the bound / cost; a sample was searched: a proof counts"


def search_blocks(options, blocks, progress):
    """Search a sample, go on from its means on all rows, and bound the cost of these.

    Parameters
    ----------
    options : SearchOptions
        `sketch_size` rows are drawn; `polish` says whether means move after that.
    blocks : RowBlocks
    progress : FitProgress

    Returns
    -------
    found : SimpleNamespace
        As an estimator stores it. Rows of weight zero have the label -1.
    """
    rng = check_random_state(options.random_state)
    rows = ClusterBlocks(blocks).outline()
    K, n = options.n_clusters, len(rows.index)
    X, weights = rows.sample(min(max(options.sketch_size, K), n), rng)
    solver = "auto" if options.solver == "sketch" else options.solver
    inner = replace(options, solver=solver, random_state=rng)
    search = search_partition(inner, X.astype(np.float64), weights, progress)
    means, labels = search.centers - rows.center, None
    for _ in range(_MOST_PASSES if options.polish else 1):
        new, sums, mass, _ = rows.nearest(means)
        filled = mass > 0.0
        means[filled] = sums[filled] / mass[filled, None]
        if labels is not None and np.array_equal(new, labels):
            break
        labels = new
    if not filled.all():
        raise ValueError(
            f"Only {int(filled.sum())} of n_clusters={K} clusters have rows of "
            "positive weight: rows are too few, or alike. Lower n_clusters."
        )
    full = np.full(rows.n_all, -1, dtype=np.int64)
    full[rows.index] = labels
    bounds = Bounds.of_moments(BlockClusterMoments(blocks, full))
    certificate = bounds.certificate(options.gap_tol, satisfied=False, scale=_SCALE)
    certificate = replace(
        certificate, value=certificate.gap, satisfied=certificate.certified
    )
    return SimpleNamespace(
        frame=search.data.frame,
        centers=means + rows.center,
        labels=full.astype(np.int32),
        inertia=certificate.details["cost"],
        certificate=certificate,
        infeasibility=search.infeasibility,
        n_iter=search.n_iter,
    )
