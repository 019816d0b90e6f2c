"""Covariances with gradients, inducing points, and parameters of most evidence."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
