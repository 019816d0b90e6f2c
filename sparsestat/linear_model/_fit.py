"""Fits at one penalty strength: validate, solve, store, warn."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from numbers import Integral, Real

import numpy as np

from sparsestat._utils.compat import CallbackSupportMixin, Interval, fit_context
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import users_stacklevel, warn_if_unsatisfied

__all__ = ["FIT_CONSTRAINTS", "FitMixin", "solver_options"]

FIT_CONSTRAINTS = {
    "alpha": [Interval(Real, 0, None, closed="left")],
    "fit_intercept": ["boolean"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
}


def solver_options(estimator):
    """Return the parameters of an estimator that all path problems take."""
    names = ("fit_intercept", "tol", "max_iter", "max_epochs")
    return {
        name: getattr(estimator, name) for name in names if hasattr(estimator, name)
    }


class FitMixin(CallbackSupportMixin):
    """Fit at one strength, for linear models of any kind.

    Classes have ``_validated(X, y, sample_weight)``; they say which problem they solve
    by ``_problem(X, y, sample_weight)`` and ``_setting()``, see ``_path_problems``.
    """

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, y, sample_weight = self._validated(X, y, sample_weight)
        return self._fit_validated(X, y, sample_weight)

    def _setting(self):
        return None

    def _path_settings(self):
        return [self._setting()]

    def _fit_validated(self, X, y, sample_weight):
        problem = self._problem(X, y, sample_weight)
        if self.alpha == 0:
            warnings.warn(
                problem.no_penalty, UserWarning, stacklevel=users_stacklevel()
            )
        with FitProgress(
            self, self.max_iter, X=X, y=y, verbose=self.verbose
        ) as progress:
            result = problem.solve_one(
                self.alpha,
                self._setting(),
                coef_init=self._start(problem),
                step=lambda value: progress.step(certificate=value),
            )
        problem.keep_one(self, result)
        self.n_epochs_ = result.n_sweeps
        warn_if_unsatisfied(
            self.certificate_,
            f"{type(self).__name__} did not converge: its {self.certificate_.kind}",
            problem.remedy,
        )
        return self

    def _start(self, problem):
        """Return the previous coefficients, if they fit the problem."""
        if not (self.warm_start and hasattr(self, "coef_")):
            return None
        start = np.asarray(self.coef_, dtype=np.float64).T
        if start.ndim == 2 and len(problem.coef_shape) == 1 and start.shape[1] == 1:
            start = start[:, 0]
        return start if start.shape == problem.coef_shape else None
