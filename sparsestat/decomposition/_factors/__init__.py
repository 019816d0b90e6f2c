"""Matrices as structured factors: calibrated, block-diagonal, quantized."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
