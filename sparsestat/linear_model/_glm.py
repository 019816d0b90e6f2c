"""What the estimators of penalised likelihoods share: fits, paths, cross-validation."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import validate_data

from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    check_sample_weight,
    fit_context,
)
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import users_stacklevel, warn_if_unsatisfied
from sparsestat.linear_model._coordinate_descent import validate_fit_data
from sparsestat.linear_model._cv import PathCVMixin

__all__ = [
    "CV_CONSTRAINTS",
    "FIT_CONSTRAINTS",
    "GLMCVMixin",
    "GLMFitMixin",
    "GLMPath",
    "validate_counts",
]

FIT_CONSTRAINTS = {
    "alpha": [Interval(Real, 0, None, closed="left")],
    "l1_ratio": [Interval(Real, 0, 1, closed="right")],
    "fit_intercept": ["boolean"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
}

CV_CONSTRAINTS = {
    "l1_ratio": [Interval(Real, 0, 1, closed="right"), "array-like"],
    "eps": [Interval(Real, 0, 1, closed="neither")],
    "alphas": [Interval(Integral, 1, None, closed="left"), "array-like"],
    "fit_intercept": ["boolean"],
    "one_se": ["boolean"],
    "cv": ["cv_object"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "n_jobs": [Integral, None],
    "verbose": ["verbose"],
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


class _Common:
    """Validation and options that fits and cross-validated fits have in common.

    Classes to their right have ``_checked(X, y, sample_weight)``, which returns
    validated data, and ``_problem(X, y, sample_weight)``.
    """

    def _validated(self, X, y, sample_weight):
        return self._checked(X, y, sample_weight)

    def _weights(self, X, sample_weight):
        if sample_weight is None:
            return None
        return check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )

    def _options(self):
        options = {
            "tol": self.tol,
            "max_iter": self.max_iter,
            "max_epochs": self.max_epochs,
        }
        if hasattr(self, "fit_intercept"):
            options["fit_intercept"] = self.fit_intercept
        return options


class GLMFitMixin(CallbackSupportMixin, _Common):
    """Fit at one strength, or along a path of them."""

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
        problem = self._problem(X, y, sample_weight)
        if self.alpha == 0:
            warnings.warn(
                "alpha=0 leaves the coefficients unpenalized: the maximum of the "
                "likelihood is looked for, which need not exist. Use alpha > 0.",
                UserWarning,
                stacklevel=users_stacklevel(),
            )
        with FitProgress(
            self, self.max_iter, X=X, y=y, verbose=self.verbose
        ) as progress:
            result = problem.solve_one(
                self.alpha,
                self.l1_ratio,
                coef_init=self._start(problem),
                step=lambda value: progress.step(certificate=value),
            )
        problem.keep_one(self, result)
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
        if start.ndim == 2 and start.shape[1] == 1:
            start = start[:, 0]
        n_classes = getattr(problem, "n_classes", None)
        expected = (
            (problem.n_features,)
            if n_classes is None
            else (
                problem.n_features,
                n_classes,
            )
        )
        return start if start.shape == expected else None

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
        from sklearn.base import clone

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


class GLMCVMixin(_Common, PathCVMixin):
    """Choose alpha, and l1_ratio if several are given, by the held-out loss."""

    _losses_name = "loss_path_"

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Fit the paths and choose a point.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, of the training and of the held-out losses.
        groups : array-like of shape (n_samples,), default=None
            Group labels handed to the splitter.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        self._fit_cv(X, y, sample_weight, groups)
        self.l1_ratio_ = self._best_setting
        return self

    def _settings(self):
        ratios = np.atleast_1d(np.asarray(self.l1_ratio, dtype=np.float64))
        if ratios.size == 0 or ratios.min() <= 0.0 or ratios.max() > 1.0:
            raise ValueError(f"`l1_ratio` must lie in (0, 1], got {self.l1_ratio}.")
        return [float(ratio) for ratio in ratios]

    def _many_settings(self):
        return np.ndim(self.l1_ratio) > 0


def validate_counts(estimator, X, y, sample_weight):
    """Validate data whose target must be counts, or at least not negative."""
    X, y, sample_weight = validate_fit_data(estimator, X, y, sample_weight)
    if y.min() < 0.0:
        at = int(np.argmin(y))
        raise ValueError(
            f"Counts in y must not be negative, got {y[at]:g} at position {at}. Use "
            "SparseHuberRegressor or Lasso for targets of any sign."
        )
    return X, y, sample_weight


def validate_classes(estimator, X, y):
    """Validate X and labels of any type; return X and labels as one dimension."""
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import column_or_1d

    X, y = validate_data(
        estimator,
        X,
        y,
        accept_sparse=["csc", "csr"],
        dtype=[np.float64, np.float32],
        order="F",
    )
    check_classification_targets(y)
    return X, column_or_1d(y, warn=True)
