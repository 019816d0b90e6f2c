"""What the estimators of penalised likelihoods share: fits, paths, cross-validation."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real
from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from sparsestat._utils.compat import Interval, fit_context
from sparsestat._utils.results import warn_if_unsatisfied
from sparsestat.linear_model import _cv as cv
from sparsestat.linear_model import _fit as one_fit
from sparsestat.linear_model._paths import check_l1_ratio

__all__ = [
    "CV_CONSTRAINTS",
    "FIT_CONSTRAINTS",
    "GLMCVMixin",
    "GLMFitMixin",
    "GLMPath",
]

FIT_CONSTRAINTS = {
    **one_fit.FIT_CONSTRAINTS,
    "l1_ratio": [Interval(Real, 0, 1, closed="right")],
}

CV_CONSTRAINTS = {
    **cv.CV_CONSTRAINTS,
    "l1_ratio": [Interval(Real, 0, 1, closed="right"), "array-like"],
}


class GLMPath(NamedTuple):
    """Solutions along a sequence of penalty strengths.

    Attributes
    ----------
    alphas : ndarray of shape (n_alphas,)
        Penalty strengths, in decreasing order.
    coefs : ndarray of shape ([n_classes,] n_features, n_alphas)
        Coefficients at each of them.
    intercepts : ndarray of shape ([n_classes,] n_alphas)
        Intercepts.
    values : ndarray of shape (n_alphas,)
        What the certificates measure: relative duality gaps or violations.
    """

    alphas: np.ndarray
    coefs: np.ndarray
    intercepts: np.ndarray
    values: np.ndarray


class GLMFitMixin(one_fit.FitMixin):
    """Fit at one strength, or along a path of them."""

    def _setting(self):
        return self.l1_ratio

    @fit_context(prefer_skip_nested_validation=True)
    def path(self, X, y, *, alphas=100, eps=1e-3, sample_weight=None):
        """Compute solutions for decreasing strengths; `alpha` is not used.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Target.
        alphas : int or array-like, default=100
            Number of strengths on a logarithmic grid from the smallest alpha with
            an all-zero solution downwards, or the strengths themselves.
        eps : float, default=1e-3
            Smallest alpha divided by the largest, when `alphas` is an int.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition.

        Returns
        -------
        path : GLMPath
            Named tuple ``(alphas, coefs, intercepts, values)``. The estimator
            remains as it was.
        """
        scratch = clone(self)  # validation leaves marks; they are not for self
        X, y, sample_weight = scratch._validated(X, y, sample_weight)
        problem = scratch._problem(X, y, sample_weight)
        alphas = problem.grid(alphas, eps, self.l1_ratio)
        results = problem.solve(alphas, self.l1_ratio, verbose=self.verbose)
        worst = problem.certificate(max(results, key=lambda result: result.gap))
        warn_if_unsatisfied(
            worst,
            f"{type(self).__name__}: the largest {worst.kind} on the path",
            problem.remedy,
        )
        return GLMPath(
            alphas,
            problem.coefs_of(results),
            problem.intercepts_of(results),
            np.array([result.gap for result in results]),
        )


class GLMCVMixin(cv.PathCVMixin):
    """Choose alpha, and l1_ratio if several are given, by the held-out loss."""

    _losses_name = "loss_path_"
    _setting_name = "l1_ratio"

    def _checked_setting(self, ratio):
        return check_l1_ratio(ratio, zero=False)
