"""Gaussian processes: learned sparse spectra, inducing points, compact kernels."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

__all__ = []
