"""Compile the kernel of nodewise regressions on tiny data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

__all__ = ["warmup"]


def warmup():
    """Fit intervals to a few rows; the Lasso's kernels come along."""
    from sparsestat.inference import DebiasedLasso

    X = np.random.RandomState(0).standard_normal((20, 4))
    DebiasedLasso().fit(X, X[:, 0] + 0.1 * X[:, 1] ** 2)
