"""Targets that share their features."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
