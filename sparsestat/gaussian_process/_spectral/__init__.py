"""Spectra on grids of frequencies: engines, solvers, agents that agree."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
