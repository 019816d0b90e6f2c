"""What estimators ask of rows that come in blocks, to make problems of them."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
