"""Spanning forests of graphs: partitions, sweeps and preconditioners."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
