"""Penalized problems: designs, losses, penalties, their solvers and gaps."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
