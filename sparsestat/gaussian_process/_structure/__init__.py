"""Structured covariance matrices: Toeplitz and sparse, by their factors."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
