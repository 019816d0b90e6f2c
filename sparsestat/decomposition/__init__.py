"""Sparse codes, orthogonal dictionaries and structured matrix factorizations."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.decomposition._calibrated import CalibratedSparseFactorization
from sparsestat.decomposition._codes import abs_topk_code, topk_code
from sparsestat.decomposition._factors._monarch import monarch_matmul, project_monarch
from sparsestat.decomposition._factors._quantize import QuantizedMatrix, quantize_rows
from sparsestat.decomposition._factors._quantized_split import quantized_low_rank_sparse
from sparsestat.decomposition._low_rank._split import low_rank_plus_sparse
from sparsestat.decomposition._orthogonal._code_budgets import (
    feature_choice_code,
    mutual_choice_code,
    norm_matched_code,
    quasi_orthogonality,
    zipf_budgets,
)
from sparsestat.decomposition._orthogonal._denoise import denoise_image
from sparsestat.decomposition._orthogonal_batch import OrthogonalDictionary
from sparsestat.decomposition._orthogonal_online import OnlineOrthogonalDictionary
from sparsestat.decomposition._projections import (
    project_nm,
    project_spectral_ball,
    project_stiefel,
    project_topk,
)
from sparsestat.decomposition._robust_pca import RobustPCA
from sparsestat.decomposition._semi_nmf import SemiNMF
from sparsestat.decomposition._semi_structured import SemiStructuredFactorization
from sparsestat.decomposition._sparse_coding import (
    BinarySparseCoding,
    DiscreteSparseCoding,
    TernarySparseCoding,
)
from sparsestat.decomposition._sparse_coding_causes import (
    MaximalCausesAnalysis,
    MaxMagnitudeCausesAnalysis,
    SpikeSlabSparseCoding,
)
from sparsestat.decomposition._supervised_dictionary import (
    SupervisedDictionaryLearning,
)

__all__ = [
    "BinarySparseCoding",
    "CalibratedSparseFactorization",
    "DiscreteSparseCoding",
    "MaxMagnitudeCausesAnalysis",
    "MaximalCausesAnalysis",
    "OnlineOrthogonalDictionary",
    "OrthogonalDictionary",
    "QuantizedMatrix",
    "RobustPCA",
    "SemiNMF",
    "SemiStructuredFactorization",
    "SpikeSlabSparseCoding",
    "SupervisedDictionaryLearning",
    "TernarySparseCoding",
    "abs_topk_code",
    "denoise_image",
    "feature_choice_code",
    "low_rank_plus_sparse",
    "monarch_matmul",
    "mutual_choice_code",
    "norm_matched_code",
    "project_monarch",
    "project_nm",
    "project_spectral_ball",
    "project_stiefel",
    "project_topk",
    "quantize_rows",
    "quantized_low_rank_sparse",
    "quasi_orthogonality",
    "topk_code",
    "zipf_budgets",
]
