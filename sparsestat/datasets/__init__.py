"""Problems with a known answer, and real data prepared for sparse models.

Nothing is downloaded: real data come with scikit-learn.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.datasets._bars import make_bars
from sparsestat.datasets._bayesian import (
    make_burst_sparse,
    make_irs_mimo_channel,
    make_kronecker_sparse,
)
from sparsestat.datasets._clusters import make_gaussian_clusters, make_subspaces
from sparsestat.datasets._designs import make_correlated_features
from sparsestat.datasets._hard_designs import make_hard_regression
from sparsestat.datasets._images import (
    load_digits_halves,
    load_digits_sparse,
    load_image_patches,
)
from sparsestat.datasets._regression import make_sparse_regression
from sparsestat.datasets._segment_metrics import (
    degrade_segmentation,
    score_segmentation,
)
from sparsestat.datasets._segment_protocol import (
    compare_scores,
    make_correlation_subjects,
    make_degraded_segmentations,
)
from sparsestat.datasets._segments import make_correlation_structures
from sparsestat.datasets._tabular import (
    load_breast_cancer_interactions,
    load_diabetes_interactions,
    load_wine_interactions,
)

__all__ = [
    "compare_scores",
    "degrade_segmentation",
    "load_breast_cancer_interactions",
    "load_diabetes_interactions",
    "load_digits_halves",
    "load_digits_sparse",
    "load_image_patches",
    "load_wine_interactions",
    "make_bars",
    "make_burst_sparse",
    "make_correlated_features",
    "make_correlation_structures",
    "make_correlation_subjects",
    "make_degraded_segmentations",
    "make_gaussian_clusters",
    "make_hard_regression",
    "make_irs_mimo_channel",
    "make_kronecker_sparse",
    "make_sparse_regression",
    "make_subspaces",
    "score_segmentation",
]
