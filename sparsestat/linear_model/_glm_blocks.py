"""Likelihoods on rows in blocks: what each of them asks of the target."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from functools import partial

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from sparsestat._utils.moments import check_width
from sparsestat.linear_model._fit import solver_options
from sparsestat.linear_model._penalized._block_likelihood import (
    Outline,
    likelihood_problem,
    outline,
)
from sparsestat.linear_model._penalized._datafits import Logistic

__all__ = ["BlockLikelihoodMixin"]


def _numeric(y, weights, *, datafit, options):
    return datafit(y, weights, **options)


def _coded(y, weights, *, classes, factors):
    """Return the logistic datafit of labels, with the weights of their classes."""
    codes = np.searchsorted(classes, y)
    if factors is not None:
        own = factors[codes]
        weights = own if weights is None else own * weights
    return Logistic(codes, weights)


class BlockLikelihoodMixin:
    """Fits a likelihood of one linear predictor on rows in blocks."""

    def _fit_likelihood(self, blocks, datafit, *, least=None, **options):
        """Fit a likelihood of one linear predictor on rows in blocks.

        Parameters
        ----------
        blocks : RowBlocks
        datafit : class
            The loss.
        least : float, default=None
            Targets must be above it; or at least 0 if it is negative. None takes any.
        **options : object
            Of the datafit.
        """
        check_width(type(self).__name__, blocks.n_features)
        penalty = self._spec(blocks.n_features)
        found = blocks.reduce(outline, Outline.merged, verbose=self.verbose)
        mean = found.y_sum / found.weight
        if datafit is Logistic:
            make, start = self._two_classes(found)
        else:
            make = partial(_numeric, datafit=datafit, options=options)
            start = mean
            if least is not None:
                self._check_range(found, least)
                start = float(np.log(mean))
        problem = likelihood_problem(
            datafit,
            blocks,
            found,
            make,
            start,
            penalty=penalty,
            verbose=self.verbose,
            **solver_options(self),
        )
        self._has_offset = False
        return self._fit_problem(problem)

    def _two_classes(self, found):
        """Store the classes; return what makes the datafit, and the first intercept."""
        name = type(self).__name__
        if found.classes is None or len(found.classes) != 2:
            count = "more than 100" if found.classes is None else len(found.classes)
            raise ValueError(
                f"{name} reads rows in blocks for two classes, but y holds {count}. "
                "One class is no problem to solve; more than two need X in memory."
            )
        classes = np.array(sorted(found.classes))
        mass = np.array([found.classes[label] for label in classes.tolist()])
        self.classes_ = classes
        factors = None
        if self.class_weight is not None:
            factors = compute_class_weight(
                self.class_weight, classes=classes, y=classes, sample_weight=mass
            )
            if not (factors > 0).all():
                raise ValueError(
                    "`class_weight` must be positive for every class, got "
                    f"{dict(zip(classes.tolist(), factors, strict=True))}."
                )
            mass = mass * factors
        make = partial(_coded, classes=classes, factors=factors)
        return make, float(np.log(mass[1]) - np.log(mass[0]))

    def _check_range(self, found, least):
        low = found.lowest
        if low < 0.0 or low <= least:
            what = "negative" if least < 0.0 else "negative or zero"
            raise ValueError(
                f"{self._target_name} in y must not be {what}, got {low:g}. Use "
                "SparseHuberRegressor or Lasso for targets of any sign."
            )
        if found.y_sum == 0.0:
            raise ValueError(
                f"All {self._target_name.lower()} in y (of positive weight) are zero: "
                "the likelihood has no maximum."
            )
