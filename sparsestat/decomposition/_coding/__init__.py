"""Sparse coding by expectation truncation: models, states and their kernels."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
