"""Products, selections and normalisations of sparse matrices, compiled by numba."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.sparse._gate import as_csr
from sparsestat.sparse._spgemm import masked_spgemm, spgemm

__all__ = ["as_csr", "masked_spgemm", "spgemm"]
