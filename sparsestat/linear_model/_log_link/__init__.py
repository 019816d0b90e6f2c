"""Likelihoods of positive targets whose means are exponentials."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
