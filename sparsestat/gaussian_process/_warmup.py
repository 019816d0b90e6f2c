"""Compile the common signatures of this family on tiny data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

__all__ = ["warmup"]


def warmup():
    """Run every kernel once."""
