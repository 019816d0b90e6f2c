"""Sparse linear models: the Lasso and its relatives, with duality gaps."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.linear_model._bandits._bandit import sparse_misspecified_bandit
from sparsestat.linear_model._coordinate_descent import ElasticNet, Lasso
from sparsestat.linear_model._coordinate_descent_cv import ElasticNetCV, LassoCV
from sparsestat.linear_model._cox import SparseCoxRegressor, SparseCoxRegressorCV
from sparsestat.linear_model._custom._adaptive import AdaptiveLassoCV
from sparsestat.linear_model._custom._penalized_regressor import (
    PenalizedRegressor,
    PenalizedRegressorCV,
)
from sparsestat.linear_model._descent._bcd import greedy_bcd, greedy_bcd_quadratic
from sparsestat.linear_model._elementary import ElementaryEstimator
from sparsestat.linear_model._graphs._labels import (
    GraphLabelPropagation,
    GraphLabelRegressor,
)
from sparsestat.linear_model._group_lasso import GroupLasso, GroupLassoCV
from sparsestat.linear_model._huber import SparseHuberRegressor, SparseHuberRegressorCV
from sparsestat.linear_model._log_link._gamma import (
    SparseGammaRegressor,
    SparseGammaRegressorCV,
)
from sparsestat.linear_model._log_link._tweedie import (
    SparseTweedieRegressor,
    SparseTweedieRegressorCV,
)
from sparsestat.linear_model._logistic import (
    SparseLogisticRegression,
    SparseLogisticRegressionCV,
)
from sparsestat.linear_model._nonconvex import MCPRegressor, SCADRegressor
from sparsestat.linear_model._nonconvex_cv import MCPRegressorCV, SCADRegressorCV
from sparsestat.linear_model._paths import enet_path, lasso_path
from sparsestat.linear_model._poisson import (
    SparsePoissonRegressor,
    SparsePoissonRegressorCV,
)
from sparsestat.linear_model._private._ldp import LDPSparseRegressor
from sparsestat.linear_model._slope import Slope, SlopeCV
from sparsestat.linear_model._subsets._best_subset import (
    BestSubsetClassifier,
    BestSubsetRegressor,
)
from sparsestat.linear_model._subsets._models import (
    BestSubsetCoxRegressor,
    BestSubsetPoissonRegressor,
)
from sparsestat.linear_model._subsets._random_support import RandomSupportRegressor
from sparsestat.linear_model._tasks._multi_task import (
    MultiTaskElasticNet,
    MultiTaskLasso,
    multi_task_enet_path,
    multi_task_lasso_path,
)
from sparsestat.linear_model._tasks._multi_task_cv import (
    MultiTaskElasticNetCV,
    MultiTaskLassoCV,
)

__all__ = [
    "AdaptiveLassoCV",
    "BestSubsetClassifier",
    "BestSubsetCoxRegressor",
    "BestSubsetPoissonRegressor",
    "BestSubsetRegressor",
    "ElasticNet",
    "ElasticNetCV",
    "ElementaryEstimator",
    "GraphLabelPropagation",
    "GraphLabelRegressor",
    "GroupLasso",
    "GroupLassoCV",
    "LDPSparseRegressor",
    "Lasso",
    "LassoCV",
    "MCPRegressor",
    "MCPRegressorCV",
    "MultiTaskElasticNet",
    "MultiTaskElasticNetCV",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
    "PenalizedRegressor",
    "PenalizedRegressorCV",
    "RandomSupportRegressor",
    "SCADRegressor",
    "SCADRegressorCV",
    "Slope",
    "SlopeCV",
    "SparseCoxRegressor",
    "SparseCoxRegressorCV",
    "SparseGammaRegressor",
    "SparseGammaRegressorCV",
    "SparseHuberRegressor",
    "SparseHuberRegressorCV",
    "SparseLogisticRegression",
    "SparseLogisticRegressionCV",
    "SparsePoissonRegressor",
    "SparsePoissonRegressorCV",
    "SparseTweedieRegressor",
    "SparseTweedieRegressorCV",
    "enet_path",
    "greedy_bcd",
    "greedy_bcd_quadratic",
    "lasso_path",
    "multi_task_enet_path",
    "multi_task_lasso_path",
    "sparse_misspecified_bandit",
]
