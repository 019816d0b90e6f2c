"""Penalties made to measure: learned from the rows, or the user's own."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
