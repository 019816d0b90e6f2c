"""Bandits whose rewards are sparse only nearly."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
