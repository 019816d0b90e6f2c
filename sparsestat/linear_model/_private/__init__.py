"""Regression under local differential privacy: clients, server and ledger."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
