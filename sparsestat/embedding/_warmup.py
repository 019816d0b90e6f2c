"""Compile the propagation kernels on tiny graphs."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

__all__ = ["warmup"]


def warmup():
    """Fit weighted and unweighted graphs in single precision."""
    from sparsestat.embedding import FastRP

    ring = np.eye(6, k=1) + np.eye(6, k=-1)
    for s in ("sqrt", 1.0):
        FastRP(4, s=s, random_state=0).fit(ring).transform(ring)
