"""Best subsets and averages over random supports."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
