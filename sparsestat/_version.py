"""The version, alone in a file so that it can be read without importing anything."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

__version__ = "0.2.0"
