"""Labels that spread over graphs."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause
