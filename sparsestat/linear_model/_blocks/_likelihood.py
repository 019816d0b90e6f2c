"""Likelihoods on rows in blocks: what each of them asks of the target."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from functools import partial

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.class_weight import compute_class_weight

from sparsestat._utils.arithmetic import power_of_two
from sparsestat._utils.moments import check_width
from sparsestat.linear_model._cv import block_folds
from sparsestat.linear_model._fit import solver_options
from sparsestat.linear_model._penalized._block_likelihood import likelihood_problem
from sparsestat.linear_model._penalized._block_sums import (
    MOST_CLASSES,
    Outline,
    Rows,
    outline,
)
from sparsestat.linear_model._penalized._class_datafits import Softmax
from sparsestat.linear_model._penalized._datafits import Logistic

__all__ = ["BlockLikelihoodMixin"]

_PLAIN = 2.0**20  # mean weights so far from one are divided by their unit


def _numeric(y, weights, *, datafit, options):
    return datafit(y, weights, **options)


def _coded(y, weights, *, classes, factors):
    """Return the datafit of labels, with the weights of their classes."""
    codes = np.searchsorted(classes, y)
    if factors is not None:
        own = factors[codes]
        weights = own if weights is None else own * weights
    if len(classes) == 2:
        return Logistic(codes, weights)
    return Softmax(codes, len(classes), weights)


class BlockLikelihoodMixin:
    """Fits a likelihood on rows in blocks."""

    def _fit_likelihood(self, blocks, datafit, **options):
        """Fit at one strength.

        Parameters
        ----------
        blocks : RowBlocks
        datafit : class
            The loss.
        **options : object
            See :meth:`_likelihood`.
        """
        problem, _ = self._likelihood(blocks, datafit, **options)
        return self._fit_problem(problem)

    def _fit_likelihood_cv(self, blocks, datafit, *, groups=None, **options):
        """Choose a strength, by folds that hold out each row once or a criterion."""
        problem, offset = self._likelihood(
            blocks, datafit, n_jobs=self.n_jobs, **options
        )
        if self.criterion == "cv":
            y = None
            if is_classifier(self):
                y = np.searchsorted(self.classes_, blocks.targets())
            folds = block_folds(self.cv, blocks.n_samples, groups, y)
            unit = problem.rows.weight_unit
            problem.rows = Rows(blocks, offset, folds, weight_unit=unit)
        return self._choose(None, None, None, {}, None, problem=problem)

    def _likelihood(
        self, blocks, datafit, *, least=None, offset=None, n_jobs=None, **model
    ):
        """Return the problem of all rows, and the offset as an array or None.

        Parameters
        ----------
        blocks : RowBlocks
        datafit : class
            The loss.
        least : float, default=None
            Targets must be above it; or at least 0 if it is negative. None takes any.
        offset : array-like, default=None
        n_jobs : int, default=None
        **model : object
            Of the datafit and the problem.
        """
        check_width(type(self).__name__, blocks.n_features)
        options = {
            **solver_options(self),
            "penalty": self._block_penalty(blocks.n_features),
            "verbose": self.verbose,
            "n_jobs": n_jobs,
        }
        labels = is_classifier(self)
        found = Rows(blocks).reduce(
            outline, Outline.merged, labels, verbose=self.verbose, n_jobs=n_jobs
        )
        weight_unit = power_of_two(found.weight / found.n_rows)
        if not 1.0 / _PLAIN <= weight_unit <= _PLAIN:
            found = found.divided(weight_unit)
        else:
            weight_unit = 1.0
        mean = found.y_sum / found.weight
        if labels:
            make, start = self._coding(found)
            options["classes"] = tuple(self.classes_.tolist())
            if len(self.classes_) > 2:
                datafit, model = Softmax, {"n_classes": len(self.classes_)}
        else:
            make = partial(_numeric, datafit=datafit, options=model)
            start = mean
            if least is not None:
                self._check_range(found, least)
                start = float(np.log(mean))
        self._has_offset = offset is not None
        if self._has_offset:
            offset = self._checked_offset(np.asarray(offset), blocks.n_samples)
        rows = Rows(blocks, offset, weight_unit=weight_unit)
        problem = likelihood_problem(
            datafit, rows, found, make, start, model=model, **options
        )
        return problem, offset

    def _block_penalty(self, n_features):
        if getattr(self, "row_sparse", False):
            raise ValueError(
                "row_sparse=True needs X in memory: rows in blocks are fitted without."
            )
        return self._spec(n_features)

    def _coding(self, found):
        """Store the classes; return what makes the datafit, and first intercepts."""
        name = type(self).__name__
        if found.classes is None or len(found.classes) < 2:
            count = "1 class" if found.classes else f"more than {MOST_CLASSES} labels"
            raise ValueError(
                f"{name} needs samples (of positive weight) of 2 to {MOST_CLASSES} "
                f"classes where X comes in blocks of rows, but y holds {count}."
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
        logs = np.log(mass)
        if len(classes) == 2:
            return make, float(logs[1] - logs[0])
        return make, logs - logs.mean()

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
