"""What the best subset estimators share: sizes, criteria, cross-validation, storage."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import gammaln
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from sparsestat._utils.compat import (
    Interval,
    StrOptions,
    align_sparse_interface,
    fit_context,
)
from sparsestat._utils.deprecation import renamed
from sparsestat._utils.parallel import single_blas_thread
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.samples import check_counts
from sparsestat._utils.validation import as_compressed
from sparsestat.linear_model._cv import checked_folds, cross_validate, fold_weights
from sparsestat.linear_model._penalized._problems import weighted_mean
from sparsestat.linear_model._subsets._search import refine, search
from sparsestat.linear_model._subsets._units import make_units

__all__ = [
    "OLD_CONSTRAINTS",
    "SUBSET_CONSTRAINTS",
    "OldNamesMixin",
    "SubsetFitMixin",
    "SubsetPath",
    "criterion_penalty",
    "default_largest",
]

_SIZE = [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"}), None]
SUBSET_CONSTRAINTS = {
    "n_nonzero_coefs": _SIZE,
    "max_nonzero_coefs": [Interval(Integral, 0, None, closed="left"), None],
    "criterion": [StrOptions({"gic", "ebic", "bic", "aic", "cv"})],
    "groups": ["array-like", int, str, None],
    "always_select": ["array-like", None],
    "l2": [Interval(Real, 0, None, closed="left")],
    "splice_size": [Interval(Integral, 1, None, closed="left")],
    "cv": ["cv_object"],
    "fit_intercept": ["boolean"],
    "tol": [Interval(Real, 0, 1, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "n_jobs": [Integral, None],
    "verbose": ["verbose"],
}
OLD_CONSTRAINTS = {
    "k": [*_SIZE, StrOptions({"deprecated"})],
    "k_max": [
        Interval(Integral, 0, None, closed="left"),
        StrOptions({"deprecated"}),
        None,
    ],
}

_MOST_SIZES = 100  # on an automatic path
_SCALE_NONE = "nothing is proved: the problem is not convex, a local search was run"
_SCALE_EXACT = (
    "share of the loss by which a subset of this size might be better: branch and bound"
)
_DOUBT = 1e-6  # of the loss: less is rounding


class SubsetPath(NamedTuple):
    """The best subsets found, one for each size.

    Attributes
    ----------
    sizes : ndarray of int of shape (n_sizes,)
        Numbers of selected features, or groups.
    coefs : list of csr_array of shape (1 or n_classes, n_features)
        Coefficients.
    intercepts : list of float or ndarray
        Intercepts.
    losses : ndarray of shape (n_sizes,)
        Mean loss on the training data, without the ridge: half the squared error, or
        the log loss.
    """

    sizes: np.ndarray
    coefs: list
    intercepts: list
    losses: np.ndarray


def log_log(n):
    """Return log(log(n)), at least one half."""
    return max(float(np.log(np.log(max(n, 3.0)))), 0.5)


def default_largest(n_effective, n_units):
    """Return the largest size worth trying, ``n / (log log n log n_units)``."""
    share = n_effective / (log_log(n_effective) * np.log(max(n_units, 2)))
    return max(1, min(int(share), n_units, _MOST_SIZES))


def criterion_penalty(name, df, n_effective, n_features, size=None):
    """Return what a criterion adds to minus twice the log likelihood.

    ``df`` times log(d) log(log(n)) (GIC), log(n) (BIC) or 2 (AIC); the extended BIC
    adds ``2 log binomial(d, size)`` to that of the BIC, where `size` counts features
    (None: as many as `df`).
    """
    n = max(n_effective, 1.0)
    if name == "gic":
        return df * float(np.log(max(n_features, 2))) * log_log(n)
    if name == "aic":
        return 2.0 * df
    value = df * float(np.log(n))
    if name == "ebic":
        k = df if size is None else size
        d = max(n_features, k)
        value += 2.0 * float(gammaln(d + 1) - gammaln(k + 1) - gammaln(d - k + 1))
    return value


class SubsetFitMixin:
    """Fit, choose a size and store.

    A class to its right has ``_validated(X, y, sample_weight)``; the class itself
    ``_subset_problem(X, y, sample_weight, units)``, ``_held_out(X, y, fit,
    problem)``, the losses of a fit on other rows (or ``_held_out_losses``, means of
    several fits), and ``_store(coef, intercept)``, which shapes `coef_`.
    """

    _losses_name = "loss_path_"

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition. Their sum is
            the number of samples in the criteria.
        groups : array-like of shape (n_samples,), default=None
            Groups of samples, handed to the splitter of ``criterion="cv"``; those of
            features are a parameter of the class.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        self._size_limits(warn=True)
        X, y, sample_weight = self._validated(X, y, sample_weight)
        if sparse.issparse(X):
            X = as_compressed(X, "csc")
        names = getattr(self, "feature_names_in_", None)
        units, forced = make_units(self.groups, X.shape[1], self.always_select, names)
        total = self._n_effective(y, sample_weight)
        if self._is_open() and self.criterion != "cv":
            check_counts(sample_weight, X.shape[0], f"criterion={self.criterion!r}")
        n_rows = X.shape[0]
        if sample_weight is not None:
            n_rows = int(np.count_nonzero(sample_weight))
        sizes = self._sizes(units, forced, total, n_rows)
        chosen = sizes[-1]
        by_cv = self._is_open() and self.criterion == "cv"
        with (
            single_blas_thread(),
            FitProgress(self, len(sizes), X=X, y=y, verbose=self.verbose) as progress,
        ):
            problem = self._subset_problem(X, y, sample_weight, units)
            if by_cv:
                chosen = self._cross_validate(
                    X, y, sample_weight, groups, units, forced, sizes
                )
            fits, self.n_iter_ = self._search(
                problem,
                sizes,
                forced,
                lambda size, loss: progress.step(size=size, loss=loss),
            )
            index = min(chosen - sizes[0], len(fits) - 1)
            if not by_cv:
                index = self._choose(problem, fits, forced, total, index)
            elif self.method == "splicing":
                fits[index] = self._refined(problem, fits[index], forced)
            fit = fits[index]
            self._keep(problem, fits, fit)
        return self

    def _n_effective(self, y, sample_weight):
        """Return what counts as the number of samples in sizes and criteria."""
        return float(len(y) if sample_weight is None else sample_weight.sum())

    def _held_out_losses(self, X, y, fits, problem, held):
        """Return the mean loss of each fit on other rows of weights `held`."""
        losses = [self._held_out(X, y, fit, problem) for fit in fits]
        return weighted_mean(np.column_stack(losses), held)

    def _choose(self, problem, fits, forced, total, index):
        """Store the criterion and return the position of the chosen fit.

        What is chosen is refined by all exchanges of two features; that may leave
        another size ahead, which is then refined too.
        """
        name = "gic" if self.criterion == "cv" else self.criterion

        def value(fit):
            df = problem.parameters * len(fit.columns)
            size = len(fit.columns)
            penalty = criterion_penalty(name, df, total, problem.n_features, size)
            return problem.criterion_loss(fit) + penalty

        values = np.array([value(fit) for fit in fits])
        refined = set()
        while True:
            at = int(np.argmin(values)) if self._is_open() else index
            if at in refined or self.method != "splicing":
                break
            refined.add(at)
            fits[at] = self._refined(problem, fits[at], forced)
            values[at] = value(fits[at])
        self.criterion_path_ = values
        return at

    def _refined(self, problem, fit, forced):
        return refine(
            problem,
            fit,
            forced=forced,
            splice_size=self.splice_size,
            max_iter=self.max_iter,
            tol=self.tol,
        )

    def _size_limits(self, *, warn=False):
        """Return the size asked for, and the largest that an automatic one may be."""
        return self.n_nonzero_coefs, self.max_nonzero_coefs

    def _is_open(self):
        size = self._size_limits()[0]
        return size is None or size == "auto"

    def _sizes(self, units, forced, total, n_rows):
        """Return the sizes to try, the last of them the largest."""
        n_forced, n_units = int(forced.sum()), len(units)
        what = "features" if units.single else "groups"
        name, largest = "n_nonzero_coefs", self._size_limits()[0]
        if self._is_open():
            name, largest = "max_nonzero_coefs", self._size_limits()[1]
        if largest is None:
            largest = default_largest(total, n_units)
            largest = min(largest, max(1, int(min(total, n_rows)) - 2))
            largest = max(largest, n_forced)
        limit = min(n_rows, n_units) if units.single else n_units
        if largest > limit:
            raise ValueError(
                f"`{name}`={largest} is more than min(n_samples, n_{what}) = {limit} "
                f"(samples of positive weight: {n_rows}, {what}: {n_units}). Choose a "
                f"smaller `{name}`."
            )
        if largest < n_forced:
            raise ValueError(
                f"`{name}`={largest} is less than the {n_forced} {what} in "
                "`always_select`, which count too."
            )
        return list(range(n_forced, largest + 1))

    def _search(self, problem, sizes, forced, step=None):
        return search(
            problem,
            sizes,
            method=self.method,
            forced=forced,
            splice_size=self.splice_size,
            max_iter=self.max_iter,
            tol=self.tol,
            step=step,
        )

    def _cross_validate(self, X, y, sample_weight, groups, units, forced, sizes):
        """Return the size with the least held-out loss."""
        splitter = check_cv(self.cv, y, classifier=is_classifier(self))
        folds = checked_folds(splitter.split(X, y, groups), sample_weight, X.shape[0])
        if self.method != "exact":
            least = min(len(train) for train, _ in folds)
            sizes = [s for s in sizes if s <= max(least - 2, sizes[0])]
        losses = cross_validate(
            self._fold_losses,
            X,
            y,
            sample_weight,
            folds,
            [(units, forced, sizes)],
            n_jobs=self.n_jobs,
        )
        losses = np.array(losses).T
        weights = fold_weights(folds, sample_weight)
        setattr(self, self._losses_name, losses)
        self.criterion_path_ = np.average(losses, axis=1, weights=weights)
        return sizes[int(np.argmin(self.criterion_path_))]

    def _fold_losses(self, fitted, held, units, forced, sizes):
        """Losses on rows of the subsets found on others."""
        X = as_compressed(fitted.X, "csc") if sparse.issparse(fitted.X) else fitted.X
        problem = self._subset_problem(X, fitted.y, fitted.weights, units)
        fits, _ = self._search(problem, sizes, forced)
        return self._held_out_losses(held.X, held.y, fits, problem, held.weights)

    def _keep(self, problem, fits, chosen):
        """Store the path and the chosen fit of it, which is returned refitted."""
        # On a fresh factor, so that the answer does not depend on the search.
        fit = problem.refit(chosen.units)
        fit.state.update(doubt=chosen.state.get("doubt", 0.0))
        self.n_nonzero_coefs_ = len(fit.units)
        coef, intercept = problem.coefficients(fit)
        dense = np.zeros((problem.n_features, *coef.shape[1:]))
        dense[fit.columns] = coef
        self._store(dense, intercept)
        nonzero = dense if dense.ndim == 1 else dense.any(axis=1)
        self.support_ = np.flatnonzero(nonzero)
        self.objective_ = problem.loss_of(fit.loss)
        self.path_ = self._path(problem, fits)
        kind = "exact" if self.method == "exact" else "none"
        # Shares of the loss that double precision cannot tell apart.
        doubt = fit.state.get("doubt", 0.0)
        self.certificate_ = Certificate(
            kind,
            doubt,
            _DOUBT if kind == "exact" else 0.0,
            doubt <= _DOUBT,
            _SCALE_EXACT if kind == "exact" else _SCALE_NONE,
            {"objective": self.objective_, "size": self.n_nonzero_coefs_},
        )
        warn_if_unsatisfied(
            self.certificate_,
            f"{type(self).__name__}: what another set, or a better fit, might save",
            problem.remedy,
        )
        return fit

    def _path(self, problem, fits):
        coefs, intercepts = [], []
        for fit in fits:
            coef, intercept = problem.coefficients(fit)
            block = np.atleast_2d(coef.T)
            rows, at = np.nonzero(block)
            ends = np.searchsorted(rows, np.arange(block.shape[0] + 1))
            matrix = sparse.csr_array(
                (block[rows, at], fit.columns[at], ends),
                shape=(block.shape[0], problem.n_features),
            )
            matrix.sort_indices()
            coefs.append(align_sparse_interface(matrix))
            intercepts.append(np.copy(intercept)[()])
        return SubsetPath(
            np.array([len(fit.units) for fit in fits]),
            coefs,
            intercepts,
            np.array([problem.loss_of(fit.data_loss) for fit in fits]),
        )


class OldNamesMixin:
    """The names of sizes before 0.2."""

    def _size_limits(self, *, warn=False):
        size = renamed(self.n_nonzero_coefs, self.k, "n_nonzero_coefs", "k", warn=warn)
        most = renamed(
            self.max_nonzero_coefs, self.k_max, "max_nonzero_coefs", "k_max", warn=warn
        )
        return size, most

    @property
    def k_(self):
        """The old name of `n_nonzero_coefs_`."""
        return renamed(None, self.n_nonzero_coefs_, "n_nonzero_coefs_", "k_")
