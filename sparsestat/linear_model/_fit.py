"""Fits at one penalty strength: validate, solve, store, warn."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from contextlib import nullcontext
from numbers import Integral, Real

import numpy as np

from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    fit_context,
    has_callbacks,
)
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import users_stacklevel, warn_if_unsatisfied
from sparsestat.linear_model._penalized._path_result import PathMethod
from sparsestat.linear_model._penalized._spec import penalty_spec

__all__ = [
    "FIT_CONSTRAINTS",
    "FitMixin",
    "GLMFitMixin",
    "PenaltyMixin",
    "solver_options",
]

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
    by ``_problem(X, y, sample_weight, **rows)`` and ``_setting()``, see
    ``_path_problems``; `rows` are further arrays with an entry for each sample.
    """

    gap_history_ = OldAttribute("history_")
    _is_joint = True  # whether several targets make one problem

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples,)
            Target; classes that say so take several, (n_samples, n_targets), each a
            problem of its own.
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

    def _fit_validated(self, X, y, sample_weight, **rows):
        problem = self._problem(X, y, sample_weight, **rows)
        return self._fit_problem(problem, X, y)

    def _fit_problem(self, problem, X=None, y=None):
        if not self._is_joint and problem.target.ndim == 2:
            return self._fit_targets(problem, X, y)
        if self.alpha == 0:
            warnings.warn(
                problem.no_penalty, UserWarning, stacklevel=users_stacklevel()
            )
        watched = nullcontext()
        if self.verbose or has_callbacks(self):
            watched = FitProgress(self, self.max_iter, X=X, y=y, verbose=self.verbose)
        with watched as progress:
            result = problem.solve_one(
                self.alpha,
                self._setting(),
                coef_init=self._start(problem),
                step=progress and progress.watcher,
            )
        vars(self).update(problem.attributes(result))
        self._warn(problem)
        return self

    def _fit_targets(self, whole, X, y):
        """Fit each target by itself, on one design."""
        n_targets = whole.target.shape[1]
        start = getattr(self, "coef_", None) if self.warm_start else None
        if start is not None and np.shape(start) != (n_targets, whole.n_features):
            start = None
        kept, results = [], []
        with FitProgress(
            self, self.max_iter, X=X, y=y, verbose=self.verbose
        ) as progress:
            for t in range(n_targets):
                problem = whole.of_target(t)
                result = problem.solve_one(
                    self.alpha,
                    self._setting(),
                    coef_init=None if start is None else start[t].astype(np.float64),
                    step=progress.watcher,
                )
                results.append(result)
                kept.append(problem.attributes(result))
        worst = max(range(len(results)), key=lambda t: results[t].gap)
        vars(self).update(kept[worst])
        for name in ("coef_", "intercept_", "objective_", "dual_gap_"):
            if all(name in values for values in kept):
                setattr(self, name, np.array([values[name] for values in kept]))
        self.n_iter_ = max(result.n_iter for result in results)
        self.n_epochs_ = max(result.n_sweeps for result in results)
        self._warn(whole, whole.alpha_max_of_targets)
        return self

    def _warn(self, problem, alpha_max=None):
        """Warn once of what the user should know about this fit."""
        warn_if_unsatisfied(
            self.certificate_,
            f"{type(self).__name__} did not converge: its {self.certificate_.kind}",
            problem.remedy,
            precision_remedy=problem.precision_remedy,
        )
        if self.alpha > 0.0 and not np.any(self.coef_):
            # Costs a pass over X, hence only where nothing was selected.
            alpha_max = (alpha_max or problem.alpha_max)(self._setting())
            if 0.0 < alpha_max <= self.alpha:
                warnings.warn(
                    f"{type(self).__name__} selects no feature: alpha={self.alpha:g} "
                    f"is not below alpha_max = {alpha_max:.4g}, the least strength at "
                    f"which all coefficients are zero. Lower `alpha`, or choose it by "
                    "cross-validation.",
                    UserWarning,
                    stacklevel=users_stacklevel(),
                )

    def _start(self, problem):
        """Return the previous coefficients, if they fit the problem."""
        if not (self.warm_start and hasattr(self, "coef_")):
            return None
        start = np.asarray(self.coef_, dtype=np.float64).T
        if start.ndim == 2 and len(problem.coef_shape) == 1 and start.shape[1] == 1:
            start = start[:, 0]
        return start if start.shape == problem.coef_shape else None


class PenaltyMixin:
    """The penalty of an estimator, from its parameters."""

    path = PathMethod()

    def _spec(self, n_features, **options):
        return penalty_spec(
            n_features,
            penalty=self.penalty,
            gamma=self.gamma,
            groups=self.groups,
            group_weights=self.group_weights,
            feature_weights=self.feature_weights,
            positive=self.positive,
            feature_names=getattr(self, "feature_names_in_", None),
            **options,
        )

    def _default_setting(self):
        return 0.0 if self.penalty == "group" else 1.0


class GLMFitMixin(PenaltyMixin, FitMixin):
    """Fit at one strength, or along a path of them."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, offset=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition.
        offset : array-like of shape (n_samples,), default=None
            What is known of the linear predictor, added to it with the coefficient 1,
            such as the logarithm of an exposure. Several classes take one for each,
            shape (n_samples, n_classes).

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, y, sample_weight = self._validated(X, y, sample_weight)
        rows = self._checked_rows({"offset": offset}, y)
        return self._fit_validated(X, y, sample_weight, **rows)

    def _setting(self):
        return self._default_setting() if self.l1_ratio is None else self.l1_ratio
