"""The weighted elastic net as a problem: its paths, folds and degrees of freedom."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.linalg import shrunk_trace
from sparsestat.linear_model._penalized._csc_path import csc_results, suits_csc
from sparsestat.linear_model._penalized._gram_path import (
    SharedMoments,
    fold_errors,
    gram_fit,
    gram_results,
    suits_gram,
)
from sparsestat.linear_model._penalized._penalties import ElasticNetPenalty
from sparsestat.linear_model._penalized._points import gaps_of
from sparsestat.linear_model._penalized._problems import (
    LeastSquaresProblem,
    refuse_ridge_grid,
)

__all__ = ["ElasticNetProblem"]


class ElasticNetProblem(LeastSquaresProblem):
    """Weighted elastic net; the setting is its l1_ratio."""

    moments = None  # of all rows, once somebody needed them
    shared, column = None, 0  # with other targets, and which of them this is

    def __init__(
        self,
        X,
        y,
        sample_weight=None,
        *,
        positive=False,
        feature_weights=None,
        **options,
    ):
        super().__init__(X, y, sample_weight, **options)
        self.positive = positive
        self.feature_weights = feature_weights

    def of_target(self, t):
        """Return the problem of one of several targets, with moments in common."""
        if self.shared is None:
            self.shared = SharedMoments(self.design, self.target)
        other = super().of_target(t)
        other.column = t
        if other.y_unit != self.y_unit:
            other.shared = None
        return other

    def penalty(self, alpha, setting):
        """Return the elastic net penalty of one strength."""
        return ElasticNetPenalty(
            alpha,
            setting,
            self.n_features,
            self.total,
            l2_unit=self.coef_unit,
            positive=self.positive,
            feature_weights=self.feature_weights,
            joint=self.target.ndim == 2,
        )

    def grid(self, alphas, eps, setting=None):
        """Return strengths in decreasing order: those given, or so many of them."""
        refuse_ridge_grid(alphas, setting)
        return super().grid(alphas, eps, setting)

    def solve(self, alphas, setting=None, *, coef_init=None, verbose=0):
        """Solve for each alpha in turn; in one call on few features or sparse ones."""
        results = None
        if coef_init is None and suits_gram(self, alphas):
            results = gram_results(self, alphas, setting, verbose)
        elif coef_init is None and suits_csc(self, alphas):
            results = csc_results(self, alphas, setting, verbose)
        if results is not None and gaps_of(results).max() <= self.tol:
            return results
        others = super().solve(alphas, setting, coef_init=coef_init, verbose=verbose)
        if results is None:
            return others
        # Near-copies: the way down from zero may do better.
        return [
            min(pair, key=lambda result: result.gap)
            for pair in zip(results, others, strict=True)
        ]

    def solve_one(self, alpha, setting=None, *, solver=None, coef_init=None, step=None):
        """Solve one problem; on small data in one call, unless steps are asked for."""
        result = None
        if solver is None and coef_init is None and step is None:
            result = gram_fit(self, alpha, setting)
        if result is None:
            return super().solve_one(
                alpha, setting, solver=solver, coef_init=coef_init, step=step
            )
        return self.given(result)

    def fold_losses(self, folds, settings, grids):
        """Return held-out errors of paths on folds from moments, None where not so."""
        if not all(suits_gram(self, alphas) for alphas in grids):
            return super().fold_losses(folds, settings, grids)
        return fold_errors(self, folds, settings, grids)

    def degrees_of_freedom(self, result, alpha, setting):
        """Trace of the map from y to the fit on a support: its size without ridge."""
        ridge = self.total * alpha * (1.0 - setting) / self.design.unit**2
        if self.feature_weights is not None:
            ridge = ridge * self.feature_weights[result.columns]
        columns = result.columns
        if len(columns) == 0 or not np.any(ridge) or self.target.ndim == 2:
            return super().degrees_of_freedom(result, alpha, setting)
        block = self.design.block(columns)
        return shrunk_trace(block.T @ block, np.broadcast_to(ridge, len(columns)))
