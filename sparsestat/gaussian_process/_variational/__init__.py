"""Variational bounds at inducing points, and deep kernel machines."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
