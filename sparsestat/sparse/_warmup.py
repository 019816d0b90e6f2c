"""Compile the sparse kernels in single and double precision on tiny matrices."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

__all__ = ["warmup"]


def warmup():
    """Call every public kernel once per value type."""
    from sparsestat import sparse as face

    for dtype in (np.float32, np.float64):
        A = sparse.csr_array(np.eye(4, dtype=dtype) + np.eye(4, k=1, dtype=dtype))
        B = np.ones((4, 2), dtype)
        face.spgemm(A, A)
        face.masked_spgemm(A, A, A)
        face.spmv(A, B[:, 0])
        face.spmv(A.tocsc(), B[:, 0])
        face.spmm(A, B)
        face.spmm_t(A, B)
        face.sddmm(A, B, B)
        face.topk_rows(A, 1)
        face.topk_product(A, A, 1)
        face.normalize_rows(A)
        face.laplacian(A)
