"""Compile the kernels of the sparse autoencoder on tiny data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

__all__ = ["warmup"]


def warmup():
    """Train on a few samples."""
    from sparsestat.feature_selection import QuickSelection

    X = np.random.default_rng(0).normal(size=(12, 6))
    QuickSelection(n_hidden=4, n_epochs=2, random_state=0).fit(X)
