"""Compile the kernels of trees of labels on three nodes."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

__all__ = ["warmup"]


def warmup():
    """Measure distances in a path of three labels."""
    from sparsestat.multiclass._metrics import TreeMetric

    TreeMetric([-1, 0, 1]).rows([0])
