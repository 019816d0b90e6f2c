"""Labels from the leading eigenvectors of a symmetric affinity."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
from scipy import linalg
from sklearn.cluster import KMeans

from sparsestat._utils.arithmetic import column_signs
from sparsestat.exceptions import ConvergenceWarning

__all__ = ["spectral_embedding", "spectral_labels"]


def spectral_embedding(affinity, n_components):
    """Return the largest eigenvalues of a symmetric matrix and their eigenvectors.

    Signs are fixed by the largest entry of each vector.
    """
    n = len(affinity)
    n_components = min(n_components, n)
    values, vectors = linalg.eigh(
        affinity, subset_by_index=(n - n_components, n - 1), check_finite=False
    )
    if len(values) < n_components:  # LAPACK gives up on many equal eigenvalues
        values, vectors = linalg.eigh(affinity, driver="evd", check_finite=False)
        values, vectors = values[-n_components:], vectors[:, -n_components:]
    values, vectors = values[::-1], vectors[:, ::-1]
    return values, vectors * column_signs(vectors)


def spectral_labels(vectors, n_clusters, rng, n_init=10):
    """Cluster the rows of eigenvectors, scaled to norm one."""
    norms = np.linalg.norm(vectors, axis=1)
    rows = vectors / np.where(norms > 0, norms, 1.0)[:, None]
    model = KMeans(min(n_clusters, len(rows)), n_init=n_init, random_state=rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows
        return model.fit(rows).labels_.astype(np.int64)
