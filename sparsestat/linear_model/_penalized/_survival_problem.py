"""Penalized partial likelihoods on one data set, as fits, paths and folds see them."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.linear_model._penalized._likelihood_problems import GLMProblem
from sparsestat.linear_model._penalized._survival import partial_likelihood

__all__ = ["CoxProblem"]


class CoxProblem(GLMProblem):
    """Partial likelihood of survival times; y has the columns time and event."""

    has_gap = False

    def __init__(self, X, y, sample_weight=None, *, ties, strata=None, **options):
        self.ties, self.strata = ties, strata
        if strata is not None and sample_weight is not None:
            self.strata = strata[sample_weight > 0]
        self.counts_rows = ties == "efron"
        # The likelihood does not see a constant; centered columns are better to work
        # with.
        super().__init__(X, y, sample_weight, fit_intercept=True, **options)

    def check_target(self, y):
        """Refuse a target without events."""
        if not (y[:, -1] > 0).any():
            raise ValueError(
                "All samples (of positive weight) are censored: the partial likelihood "
                "is constant. At least one observed event is required."
            )

    def make_datafit(self, y, sample_weight):
        """Return the loss."""
        return partial_likelihood(y, sample_weight, ties=self.ties, strata=self.strata)

    def losses(self, results, X, y, sample_weight=None, offset=None, strata=None):
        """Partial likelihood of all rows less that of the rows fitted, per event.

        Held-out rows alone would often have tiny risk sets.
        """
        held = np.ones(len(y)) if sample_weight is None else sample_weight
        fitted = self.datafit.weights
        held = held / self.weight_unit
        whole = partial_likelihood(
            np.vstack([self.y, y]),
            np.concatenate([fitted, held]),
            ties=self.ties,
            strata=None if strata is None else np.concatenate([self.strata, strata]),
        )
        here = np.column_stack(
            [self.design.product(r.columns, r.coef / self.coef_unit) for r in results]
        )
        there = self.predictors(results, X)
        if offset is not None:
            there = there + offset[:, None]
        known = getattr(self.datafit, "offset", 0.0)
        losses = np.array(
            [
                whole.value(np.concatenate([a + known, b])) - self.datafit.value(a)
                for a, b in zip(here.T, there.T, strict=True)
            ]
        )
        events = float(held @ (y[:, -1] > 0))
        if events == 0.0:
            return np.zeros(len(results))
        return losses / events + np.log(self.weight_unit)

    @property
    def n_observed(self):
        """Number of events: censored samples tell less."""
        return float(self.datafit.weights @ (self.y[:, -1] > 0)) * self.weight_unit

    @property
    def loss_moved(self):
        """What losses inside lack: sums over risk sets are of relative weights."""
        return self.n_observed / self.weight_unit * float(np.log(self.weight_unit))

    def given(self, result):
        """Return a result in the units of the given data."""
        result = super().given(result)
        result.objective += self.loss_moved
        result.null_value += self.loss_moved
        return result

    def intercept_of(self, result):
        """Return 0: the likelihood has no intercept."""
        return 0.0

    def intercepts_of(self, results):
        """Return zeros: the likelihood has no intercept."""
        return np.zeros(len(results), dtype=self.dtype)

    def attributes(self, result):
        """Return what an estimator shows of one solution, and its baseline hazard."""
        eta = self.design.product(result.columns, result.coef / self.coef_unit)
        offset = float(self.design.center_dot(result.columns, result.coef))
        hazard = self.datafit.baseline(eta)
        with np.errstate(over="ignore", under="ignore"):
            of_zeros = hazard * np.exp(-offset)
        # A sample at the center of the features has the offset as its predictor; far
        # from zero the hazard of a sample of zeros would overflow.
        return {
            **super().attributes(result),
            "event_times_": self.datafit.event_times,
            "baseline_hazard_": of_zeros,
            "_center_predictor": offset,
            "_center_hazard": hazard,
        }
