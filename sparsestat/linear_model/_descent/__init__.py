"""Greedy block coordinate descent: rules, updates and objectives."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
