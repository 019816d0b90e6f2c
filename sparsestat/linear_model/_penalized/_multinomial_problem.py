"""The multinomial likelihood as a problem; see ``_likelihood_problems``."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.special import softmax

from sparsestat._utils.arithmetic import stored
from sparsestat.linear_model._penalized._class_datafits import Softmax
from sparsestat.linear_model._penalized._likelihood_problems import GLMProblem
from sparsestat.linear_model._penalized._problems import weighted_mean
from sparsestat.linear_model._penalized._softmax import SoftmaxSolver

__all__ = ["MultinomialProblem"]

_LEAST_PROBABILITY = 1e-15


class MultinomialProblem(GLMProblem):
    """More than two classes; y holds their codes.

    Parameters
    ----------
    n_classes : int
        Of the whole data. A fold may lack some of them: it is fitted without, and
        gives them the least probability that is reckoned with, 1e-15.
    """

    has_classes = True

    def __init__(self, *arguments, n_classes, **options):
        self.n_classes = n_classes
        super().__init__(*arguments, **options)

    @property
    def coef_shape(self):
        """Shape of the coefficients inside the solver."""
        return (self.n_features, self.n_classes)

    def make_datafit(self, y, sample_weight):
        """Return the loss."""
        self.present, codes = np.unique(y, return_inverse=True)
        if len(self.present) < 2:
            raise ValueError(
                "The samples (of positive weight) are of one class, but a classifier "
                "needs two. In cross-validation use fewer or stratified folds."
            )
        return Softmax(codes, len(self.present), sample_weight)

    def make_solver(self, coef_init=None):
        """Return a solver that can be used for all strengths in turn."""
        return SoftmaxSolver(self.design, self.datafit, self.start_of(coef_init))

    def given(self, result):
        """Return a result in the units of the given data."""
        # A constant added to a feature's coefficients of all classes changes nothing
        # but the penalty: where that is none, they sum to zero, as the intercepts do.
        weights = self.spec.feature_weights
        if weights is not None and not self.spec.positive:
            free = weights[result.columns] == 0.0
            result.coef[free] -= result.coef[free].mean(axis=1, keepdims=True)
        return super().given(result)

    def _inner_offset(self, offset):
        return offset[:, self.present]

    def losses(self, results, X, y, sample_weight=None, offset=None):
        """Mean held-out log loss of each result on other rows."""
        columns = []
        for result in results:
            eta = np.asarray(X[:, result.columns] @ result.coef)
            eta = eta + self.intercept_of(result)
            if offset is not None:
                eta = eta + offset[:, self.present]
            P = np.zeros((len(y), self.n_classes))
            P[:, self.present] = softmax(eta, axis=1)
            columns.append(_log_losses(P, y))
        return weighted_mean(np.column_stack(columns), sample_weight)

    def row_losses(self, y, eta):
        """Return the log loss of each row of predictors of all classes."""
        return _log_losses(softmax(eta, axis=1), y)

    def intercept_of(self, result):
        """Return the intercepts of uncentered features; they sum to zero."""
        # A constant added to all of them changes nothing.
        intercepts = super().intercept_of(result)
        return intercepts - intercepts.mean()

    def coefs_of(self, results):
        """Return coefficients, shape (n_classes, n_features, n_results)."""
        out = np.zeros((self.n_classes, self.n_features, len(results)))
        for k, result in enumerate(results):
            out[:, result.columns, k] = result.coef.T
        return stored(out, self.dtype)

    def intercepts_of(self, results):
        """Return intercepts, shape (n_classes, n_results)."""
        return super().intercepts_of(results).T

    def shaped(self, coef, intercept):
        """Return coefficients and intercept as the estimator shows them."""
        return np.ascontiguousarray(coef.T), stored(intercept, self.dtype)


def _log_losses(P, y):
    own = np.take_along_axis(P, y[:, None], axis=1)[:, 0]
    return -np.log(np.maximum(own, _LEAST_PROBABILITY))
