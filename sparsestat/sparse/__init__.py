"""Products, selections and normalizations of sparse matrices, compiled by numba."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.sparse._dense_products import sddmm, spmm, spmm_t, spmv
from sparsestat.sparse._gate import as_csr
from sparsestat.sparse._sdr import (
    sdr_false_negative,
    sdr_false_positive,
    sdr_optimal_threshold,
    sdr_overlap_probability,
    sdr_union_false_positive,
)
from sparsestat.sparse._spgemm import masked_spgemm, spgemm
from sparsestat.sparse._structure import (
    laplacian,
    normalize_rows,
    row_norms,
    sparsify,
    topk_rows,
)
from sparsestat.sparse._topk_product import topk_product

__all__ = [
    "as_csr",
    "laplacian",
    "masked_spgemm",
    "normalize_rows",
    "row_norms",
    "sddmm",
    "sdr_false_negative",
    "sdr_false_positive",
    "sdr_optimal_threshold",
    "sdr_overlap_probability",
    "sdr_union_false_positive",
    "sparsify",
    "spgemm",
    "spmm",
    "spmm_t",
    "spmv",
    "topk_product",
    "topk_rows",
]
