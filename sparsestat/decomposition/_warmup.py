"""Compile the common signatures of this family on tiny data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.decomposition import (
    BinarySparseCoding,
    CalibratedSparseFactorization,
    MaximalCausesAnalysis,
    RobustPCA,
    SemiNMF,
    SemiStructuredFactorization,
    SpikeSlabSparseCoding,
    SupervisedDictionaryLearning,
    abs_topk_code,
    feature_choice_code,
    mutual_choice_code,
    norm_matched_code,
    project_nm,
    project_topk,
    quantize_rows,
    quantized_low_rank_sparse,
    topk_code,
)

__all__ = ["warmup"]


def warmup():
    """Run every kernel once in single and in double precision."""
    rng = np.random.default_rng(0)
    for dtype in (np.float64, np.float32):
        W = rng.standard_normal((8, 8)).astype(dtype)
        topk_code(W, 2)
        abs_topk_code(W, 2)
        project_topk(W, 3)
        project_nm(W)
        project_nm(W, 1, 2)
        mutual_choice_code(W, 3)
        feature_choice_code(W, 2)
        norm_matched_code(W, X=W)
        quantize_rows(W, 2, outlier_fraction=0.1).matmul(W)
    quantized_low_rank_sparse(W, random_state=0).reconstruct()
    SemiStructuredFactorization(block_size=4, tol=1.0).fit(W).matmul(W)
    SemiNMF(2, tol=1.0, random_state=0).fit(W)
    CalibratedSparseFactorization(3, tol=1.0, random_state=0).fit(W)
    y = np.arange(8) % 2
    for nonnegative in (False, True):
        SupervisedDictionaryLearning(
            2, solver="bcd", nonnegative=nonnegative, tol=1.0, max_iter=6
        ).fit(np.abs(W), y).transform(np.abs(W))
    RobustPCA(1, method="altproj", tol=1.0, random_state=0).fit(W)
    for model in (BinarySparseCoding, MaximalCausesAnalysis, SpikeSlabSparseCoding):
        coder = model(3, n_steps=2, max_iter=2, tol=1e10, random_state=0).fit(W)
        coder.predict_states(W)
