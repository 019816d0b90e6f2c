"""Orthogonal dictionaries: Frank-Wolfe steps, budgets of codes, denoising."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
