"""Compile the common signatures of this family on tiny data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np

from sparsestat.cluster import BalancedKMeans, KMeans1D, LaplacianKMeans, SDPKMeans
from sparsestat.exceptions import ConvergenceWarning

__all__ = ["warmup"]


def warmup():
    """Fit every estimator with kernels once."""
    X = np.random.default_rng(0).standard_normal((40, 2))
    for update in ("sequential", "parallel"):
        LaplacianKMeans(2, update=update, tol=1.0, random_state=0).fit(X)
    BalancedKMeans(3, tol=1.0, random_state=0).fit(X)
    KMeans1D(3).fit(X[:, 0])
    KMeans1D(3).fit(X[:, 0], sample_weight=X[:, 1] ** 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        SDPKMeans(3, solver="nlr", n_init=1, random_state=0).fit(X)
        SDPKMeans(3, solver="admm", max_iter=5, tol=1.0, random_state=0).fit(X)
