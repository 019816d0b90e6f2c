"""How far a partition of rows in blocks can be from the global k-means optimum."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from types import SimpleNamespace

import numpy as np
from scipy import sparse

from sparsestat._utils.moments import (
    fold_moments,
    merge_folds,
    merge_moments,
    row_slices,
)
from sparsestat._utils.validation import read_only
from sparsestat.cluster import _kernels_sdp as kernels
from sparsestat.cluster._certificate import ClusterMoments

__all__ = ["BlockClusterMoments", "labels_of_blocks"]

_MOST_FEATURES = 2000  # scatter matrices of all clusters are held


class BlockClusterMoments(ClusterMoments):
    """Weights, means, scatter and margins of clusters, by two passes over blocks.

    Parameters
    ----------
    blocks : RowBlocks
    labels : ndarray of shape (n_samples,)
        Codes of the clusters, 0..K-1, of all rows.
    """

    def __init__(self, blocks, labels):
        d = blocks.n_features
        if d > _MOST_FEATURES:
            raise ValueError(
                f"kmeans_certificate reads rows in blocks of at most {_MOST_FEATURES} "
                f"features, got {d}. Pass an array in memory, or reduce the features."
            )
        found = blocks.reduce(fold_moments, merge_folds, rows=labels)
        codes = sorted(found)
        parts = [found[k] for k in codes]
        whole = parts[0]
        for part in parts[1:]:
            whole = merge_moments(whole, part)
        self.n_clusters, self.n_features = len(parts), d
        self.n_samples = whole.n_rows
        self.steps = self.n_samples + len(blocks.sizes) + d
        self.weights = np.array([part.weight for part in parts])
        self.means = np.array([part.mean - whole.mean for part in parts])
        self.scatter = np.array([part.products(centered=True) for part in parts])
        self.is_level = all((part.low == part.high).all() for part in parts)
        self.sum_of_squares = float(np.trace(whole.products(centered=True)))
        # Clusters whose rows all have weight zero are none.
        order = np.full(int(labels.max(initial=0)) + 1, -1, dtype=np.int64)
        order[codes] = np.arange(len(codes))
        margins, farthest = blocks.reduce(
            _margins, _least, whole.mean, self.means, rows=order[labels]
        )
        self._settle(margins, farthest, self.sum_of_squares, 0.0)

    def stands_for(self):
        """Return what bounds ask of the points themselves."""
        return SimpleNamespace(
            shape=(self.n_samples, self.n_features),
            cost_unit=1.0,
            sum_of_squares=self.sum_of_squares,
            all_equal_within=lambda labels: self.is_level,
        )


def _margins(block, labels, center, means):
    K = len(means)
    margins, farthest = np.full((K, K), np.inf), 0.0
    squares = np.einsum("ij,ij->i", means, means)
    for rows in row_slices(len(labels), max(means.shape)):
        part = block.X[rows]
        part = part.toarray() if sparse.issparse(part) else part
        part = np.subtract(part, center, dtype=np.float64)
        norms = np.einsum("ij,ij->i", part, part)
        farthest = max(farthest, float(norms.max(initial=0.0)))
        kernels.smallest_margins(
            read_only(np.ascontiguousarray(part @ means.T)),
            read_only(np.ascontiguousarray(labels[rows])),
            read_only(squares),
            margins,
        )
    return margins, farthest


def _least(a, b):
    return np.minimum(a[0], b[0]), max(a[1], b[1])


def labels_of_blocks(blocks, labels):
    """Return codes of the labels of all rows, as many as there are."""
    labels = np.asarray(labels)
    n = blocks.n_samples
    if labels.shape != (n,):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {n} rows, "
            f"labels of shape {labels.shape}."
        )
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
