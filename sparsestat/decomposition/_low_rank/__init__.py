"""Low rank: splits with a sparse part, factors that explain labels."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
