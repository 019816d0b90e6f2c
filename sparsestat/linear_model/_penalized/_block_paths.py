"""Choosing a strength on rows in blocks: criteria, folds and held-out losses by passes.

Each fold is a problem of its own on the rows that it trains on, which are cut out of
the blocks in every pass; one more pass gives the losses of its whole path.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from types import SimpleNamespace

import numpy as np

from sparsestat._utils.linalg import shrunk_trace
from sparsestat._utils.moments import merge_sums
from sparsestat.linear_model._penalized._block_sums import (
    Outline,
    class_losses,
    losses,
    outline,
)
from sparsestat.linear_model._penalized._criteria import (
    deviance_criterion,
    information_criterion,
)

__all__ = ["BlockPaths"]


class BlockPaths:
    """The part of a likelihood's problem on blocks that compares points of paths."""

    def of_fold(self, fold):
        """Return the problem of the rows that train where those of a fold are held out.

        Parameters
        ----------
        fold : int
        """
        rows = self.rows.without(fold)
        with_labels = self.classes is not None
        found = rows.reduce(outline, Outline.merged, with_labels, n_jobs=self.n_jobs)
        for label in self.classes or ():
            if label not in found.classes:
                raise ValueError(
                    f"The training samples of fold {fold} (of positive weight) lack "
                    f"class {label!r}. Use stratified or fewer folds."
                )
        return type(self)(rows, found, self.make, self._shift, **self.options)

    def fold_tables(self, settings, grids):
        """Return held-out losses, and weights of the folds or None.

        Returns
        -------
        tables : ndarray of shape (n_settings, 1, n_alphas, n_folds)
        weights : ndarray of shape (n_folds,) or None
        """
        tables, weights, counts = [], [], []
        for fold in range(int(self.rows.beside["fold"].max()) + 1):
            problem, table = self.of_fold(fold), []
            for setting, alphas in zip(settings, grids, strict=True):
                found = problem.solve(alphas, setting)
                total, weight, count = problem.losses_on(self.rows.held(fold), found)
                table.append(total / weight)
            tables.append(table)
            weights.append(weight)
            counts.append(count)
        weights = None if weights == counts else np.array(weights)
        return np.array(tables).transpose(1, 2, 0)[:, None], weights

    def losses_on(self, rows, results):
        """Return sums of the losses of results on other rows, weights and numbers.

        Parameters
        ----------
        rows : Rows
        results : list of SolverResult
        """
        coefs = np.stack([r.dense_coef(self.n_features) for r in results], axis=-1)
        shifts = np.stack([r.shift for r in results], axis=-1)
        is_joint = len(self.coef_shape) == 2
        return rows.reduce(
            class_losses if is_joint else losses,
            merge_sums,
            self.make,
            (self.center, coefs, shifts),
            type(self).row_losses,
            SimpleNamespace(**self.options["model"]),
            n_jobs=self.n_jobs,
        )

    def explained(self, results):
        """Return the share of the deviance of the null model that results explain."""
        least = self.datafit.saturated - self.loss_moved
        null = self.null_value - least
        if not null > 0.0:
            return np.ones(len(results))
        passes = [
            self._pass(result.dense_coef(self.n_features), result.shift, None)
            for result in results
        ]
        return 1.0 - np.array([sums["value"] - least for sums in passes]) / null

    def criteria(self, name, results, alphas, setting=None):
        """Information criterion of each result."""
        deviance, df = np.empty(len(results)), np.empty(len(results))
        for k, (result, alpha) in enumerate(zip(results, alphas, strict=True)):
            w, columns = result.dense_coef(self.n_features), result.columns
            ridge = self.penalty(alpha, setting).l2[columns]
            has_trace = ridge.any() and w.ndim == 1
            sums = self._pass(w, result.shift, columns if has_trace else None)
            deviance[k] = 2.0 * (sums["value"] - sums["saturated"] + self.loss_moved)
            df[k] = np.count_nonzero(w)
            if has_trace:
                H, cross = sums["H"][:-1, :-1], sums["H"][:-1, -1]
                if self.fit_intercept:
                    H = H - np.outer(cross, cross / sums["H"][-1, -1])
                df[k] = shrunk_trace(H, ridge)
        deviance = np.maximum(deviance, 0.0) * self.weight_unit
        n, p = self.n_observed, w.size
        if not self.has_dispersion:
            return deviance_criterion(name, deviance, df, n, p)
        return information_criterion(name, deviance, float(deviance.max()), df, n, p)
