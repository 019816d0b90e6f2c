"""Choosing alpha on a path: cross-validation and information criteria.

The mixin knows nothing of a particular penalty or loss: it asks a problem for the
path on some rows, and for the losses of that path on others.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from copy import copy
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.results import users_stacklevel
from sparsestat._utils.samples import fold_rows, relative_weights
from sparsestat.exceptions import NumericalError
from sparsestat.linear_model._penalized._problems import refuse_given_grid

__all__ = [
    "CV_CONSTRAINTS",
    "STOP_EXPLAINED",
    "PathCVMixin",
    "block_folds",
    "checked_folds",
    "cross_validate",
    "fold_weights",
    "held_out",
    "mean_and_error",
]


CV_CONSTRAINTS = {
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
STOP_EXPLAINED = {"stop_explained": ["boolean"]}
CRITERION = {"criterion": [StrOptions({"cv", "aic", "bic", "ebic"})]}


def mean_and_error(losses, fold_weights=None):
    """Return means over folds, the last axis, and standard errors of these.

    Parameters
    ----------
    losses : ndarray of shape (..., n_folds)
    fold_weights : ndarray of shape (n_folds,), default=None
        Weights of the mean over folds.
    """
    n_folds = losses.shape[-1]
    mean = np.average(losses, axis=-1, weights=fold_weights)
    if n_folds < 2:
        return mean, np.zeros_like(mean)
    with np.errstate(invalid="ignore", over="ignore"):  # losses may have overflowed
        return mean, losses.std(axis=-1, ddof=1) / np.sqrt(n_folds)


def checked_folds(splits, sample_weight, n_samples):
    """Return the folds as a list, each with rows to train on and rows to test on.

    The rows are indices from 0 on, whatever form the splitter gave them.

    Raises
    ------
    ValueError
        If there is no fold, or one names samples that do not exist or has no training
        or no test samples of positive weight.
    """
    folds = [
        tuple(fold_rows(rows, n_samples, k) for rows in fold)
        for k, fold in enumerate(splits)
    ]
    if not folds:
        raise ValueError(
            "`cv` yields no fold. Pass a number of folds, a splitter, or a list of "
            "(train, test) indices."
        )
    for k, fold in enumerate(folds):
        for rows, what in zip(fold, ("training", "test"), strict=True):
            held, _ = held_out(rows, sample_weight)
            if len(held) == 0:
                raise ValueError(
                    f"Fold {k} of `cv` has no {what} samples (of positive weight). "
                    "Use fewer folds, or a splitter that leaves some in each."
                )
    return folds


def held_out(rows, sample_weight):
    """Return the indices of rows of positive weight, and their weights."""
    rows = np.asarray(rows)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    if sample_weight is None:
        return rows, None
    rows = rows[sample_weight[rows] > 0]
    return rows, sample_weight[rows]


def fold_weights(folds, sample_weight):
    """Return the weights of a mean over folds, or None."""
    if sample_weight is None:
        return None
    weights, _ = relative_weights(sample_weight)
    return np.array([weights[test].sum() for _, test in folds])


class Rows(NamedTuple):
    """Some rows of what `fit` was given, and the fold that they belong to."""

    X: object
    y: np.ndarray
    weights: np.ndarray | None
    others: dict
    fold: int


def _on_fold(measure, X, y, sample_weight, others, train, test, fold, variant):
    def rows_of(at, weights):
        rest = {name: values[at] for name, values in others.items()}
        return Rows(X[at], y[at], weights, rest, fold)

    fitted = rows_of(train, None if sample_weight is None else sample_weight[train])
    if not issparse(X):
        fitted = fitted._replace(X=np.asfortranarray(fitted.X))
    return measure(fitted, rows_of(*held_out(test, sample_weight)), *variant)


def cross_validate(
    measure,
    X,
    y,
    sample_weight,
    folds,
    variants=((),),
    *,
    others=None,
    known=None,
    n_jobs=None,
):
    """Return what is measured on the held-out rows of every fold.

    Parameters
    ----------
    measure : callable
        Takes the rows to fit on, the rows held out (those of positive weight) and the
        entries of a variant.
    X, y, sample_weight : validated arrays
    folds : list of (train, test)
        As :func:`checked_folds` returns them.
    variants : sequence of tuple, default=((),)
    others : dict, default=None
        Further arrays with an entry for each row.
    known : list, default=None
        What needs no fit, variant after variant, with None for the rest.
    n_jobs : int, default=None
        Results do not depend on it.

    Returns
    -------
    found : list
        Variant after variant, fold after fold.
    """
    X = X.tocsr() if issparse(X) else X
    others = {} if others is None else others
    tasks = [
        (measure, X, y, sample_weight, others, train, test, k, variant)
        for variant in variants
        for k, (train, test) in enumerate(folds)
    ]
    found = [None] * len(tasks) if known is None else list(known)
    left = [k for k, value in enumerate(found) if value is None]
    fitted = run_parallel(_on_fold, [tasks[k] for k in left], n_jobs=n_jobs)
    for k, value in zip(left, fitted, strict=True):
        found[k] = value
    return found


def block_folds(cv, n_samples, groups=None, y=None):
    """Return the fold in which each row is held out; all others train on it.

    Parameters
    ----------
    cv : int, splitter, iterable or None
    n_samples : int
    groups : array-like of shape (n_samples,), default=None
    y : ndarray of shape (n_samples,), default=None
        Class numbers, by which folds are stratified.

    Returns
    -------
    folds : ndarray of int16 of shape (n_samples,)
    """
    folds = np.full(n_samples, -1, dtype=np.int16)
    nothing = np.empty((n_samples, 0))
    splitter = check_cv(cv, y, classifier=y is not None)
    for k, (train, test) in enumerate(splitter.split(nothing, y, groups)):
        train, test = (fold_rows(rows, n_samples, k) for rows in (train, test))
        is_held = np.zeros(n_samples, dtype=bool)
        is_held[test] = True
        others = n_samples - int(is_held.sum())
        if (folds[test] >= 0).any() or len(train) != others or is_held[train].any():
            raise ValueError(
                f"Fold {k} of `cv` is not held out once while all other rows are "
                "trained on, which is what rows in blocks ask for: KFold, "
                "GroupKFold, PredefinedSplit and their like do it. Use one of them, or "
                "an array in memory."
            )
        folds[test] = k
    if (folds < 0).any():
        raise ValueError(
            f"{int((folds < 0).sum())} rows are held out in no fold of `cv`, but rows "
            "in blocks ask for folds that hold out each row once, as KFold does."
        )
    return folds


def _moment_losses(problem, held, settings, grids, phis):
    """Errors on a fold of known moments, of shape (settings, phis, alphas)."""
    out = []
    for setting, alphas in zip(settings, grids, strict=True):
        results = problem.solve(alphas, setting)
        refits = None if phis is None else [problem.refit(r) for r in results]
        table = []
        for phi in (1.0,) if phis is None else phis:
            mixed = results if refits is None else blends(results, refits, phi)
            table.append([problem.held_out_error(r, held) for r in mixed])
        out.append(table)
    return out


def blends(results, refits, phi):
    """Return points between a path and the fits without penalty on its supports.

    Where there is no such fit (more coefficients than rows determine) the path stays.
    """
    out = []
    for result, refit in zip(results, refits, strict=True):
        if refit is not None and phi < 1.0:
            result = copy(result)
            result.coef = phi * result.coef + (1.0 - phi) * refit
        out.append(result)
    return out


def checked_phis(relaxed):
    """Return the shares of the penalized fit to try, decreasing from 1; or None."""
    if relaxed is False or relaxed is None:
        return None
    if relaxed is True:
        return np.array([1.0, 0.75, 0.5, 0.25, 0.0])
    phis = np.unique(np.asarray(relaxed, dtype=np.float64).ravel())[::-1]
    if phis.size == 0 or not ((phis >= 0) & (phis <= 1)).all():
        raise ValueError(
            f"`relaxed` must be False, True or numbers in [0, 1], got {relaxed!r}: 1 "
            "is the penalized fit, 0 the fit without penalty on its support."
        )
    return phis if phis[0] == 1.0 else np.concatenate([[1.0], phis])


def _without_fits(problem, folds, sample_weight, settings, grids):
    """Return what a problem knows of its folds without fits, or None for each.

    It does only of folds that hold every row once, to train on or to test on.
    """
    rows = problem.n_rows
    inner = []
    for train, test in folds:
        train, _ = held_out(train, sample_weight)
        test, _ = held_out(test, sample_weight)
        seen = np.zeros(rows, dtype=np.intp)
        np.add.at(seen, train, 1)
        np.add.at(seen, test, 1)
        used = np.ones(rows, dtype=bool) if sample_weight is None else sample_weight > 0
        if not np.array_equal(seen > 0, used) or seen.max() > 1:
            return [None] * (len(settings) * len(folds))
        # Rows of weight zero are no rows of the problem.
        position = np.cumsum(used) - 1
        inner.append((position[train], position[test]))
    found = problem.fold_losses(inner, settings, grids)
    return [None if table is None else table[None, :] for table in found]


def _criterion_path(problem, setting, alphas, criterion, verbose):
    """Solve a path and return it with the criterion at each of its points."""
    results = problem.solve(alphas, setting, verbose=verbose)
    return results, problem.criteria(criterion, results, alphas, setting)


class PathCVMixin:
    """Fit a path for each setting, choose a point on it, store what was found.

    A class that mixes this in has the parameters `alphas`, `eps`, `cv`, `one_se`,
    `n_jobs`, `verbose` and, if it offers them, `criterion` and `relaxed`; and

    - ``_problem(X, y, sample_weight, **rows)``: the PathProblem of validated rows,
      with further arrays that have an entry for each of them;
    - ``_validated(X, y, sample_weight)``: what `fit` was given, checked (targets of
      classifiers encoded);
    - ``_setting_name``: the parameter of which several values may be tried beside
      alpha, with ``_checked_setting(value)``; or ``_setting()``, its only value;
    - ``_losses_name``: the fitted attribute of the held-out losses.

    The folds of classifiers are stratified. Results do not depend on `n_jobs`.
    """

    _losses_name = "mse_path_"
    _setting_name = None
    gap_history_ = OldAttribute("history_")

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
            Non-negative weights, of the training and of the held-out errors.
        groups : array-like of shape (n_samples,), default=None
            Group labels handed to the splitter.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        return self._fit_cv(X, y, sample_weight, groups)

    def _setting(self):
        return None

    def _settings(self):
        name = self._setting_name
        if name is None:
            return [self._setting()]
        value = getattr(self, name)
        if value is None:
            value = self._default_setting()
        values = np.atleast_1d(np.asarray(value, dtype=np.float64))
        if values.ndim > 1 or values.size == 0:
            raise ValueError(
                f"`{name}` must be a number or a list of numbers, got "
                f"{getattr(self, name)!r}."
            )
        return [self._checked_setting(value) for value in values]

    _path_settings = _settings

    def _many_settings(self):
        return (
            self._setting_name is not None
            and np.ndim(getattr(self, self._setting_name)) > 0
        )

    def _fit_cv(self, X, y, sample_weight, groups=None, **rows):
        X, y, sample_weight = self._validated(X, y, sample_weight)
        rows = self._checked_rows(rows, y) if rows else rows
        return self._choose(X, y, sample_weight, rows, groups)

    def _fit_cv_blocks(self, blocks, groups=None):
        """Fit on rows in blocks, for classes that have a problem of such."""
        folds = None
        if getattr(self, "criterion", "cv") == "cv":
            folds = block_folds(self.cv, blocks.n_samples, groups)
        problem, moments = self._block_problem(blocks, folds)
        if problem.target.ndim == 2 and not getattr(self, "_is_joint", False):
            raise ValueError(
                f"{type(self).__name__} chooses the strengths of several targets one "
                f"by one, and reads rows in blocks for one target only. y has "
                f"{problem.target.shape[1]}: fit them in turn."
            )
        return self._choose(moments, None, None, {}, None, problem=problem)

    def _choose(self, X, y, sample_weight, rows, groups, *, problem=None):
        """Fit the paths on validated data, choose a point and store it.

        With a `problem` of rows in blocks X holds the moments of the folds, or nothing
        where each fold is a problem of passes.
        """
        if problem is None:
            problem = self._problem(X, y, sample_weight, **rows)
        settings = self._settings()
        phis = checked_phis(getattr(self, "relaxed", False))
        grids = [problem.grid(self.alphas, self.eps, s) for s in settings]
        criterion = getattr(self, "criterion", "cv")
        if getattr(self, "stop_explained", False):
            grids = self._shortened(problem, settings, grids)
        if criterion == "cv":
            picks = self._cross_validate(
                problem, X, y, sample_weight, rows, groups, settings, grids, phis
            )
            best = min(range(len(settings)), key=lambda k: picks[k].loss)
            results = problem.solve(grids[best], settings[best], verbose=self.verbose)
        else:
            if phis is not None:
                raise ValueError(
                    f"relaxed={self.relaxed!r} is chosen by held-out errors and does "
                    f"not go with criterion={criterion!r}. Use criterion='cv'."
                )
            tasks = [
                (problem, setting, grid, criterion, self.verbose)
                for setting, grid in zip(settings, grids, strict=True)
            ]
            found = run_parallel(_criterion_path, tasks, n_jobs=self.n_jobs)
            picks = [
                _Pick(float(values.min()), int(np.argmin(values)))
                for _, values in found
            ]
            best = min(range(len(settings)), key=lambda k: picks[k].loss)
            results = found[best][0]
            values = np.array([values for _, values in found])
            self.criterion_path_ = values if self._many_settings() else values[0]
        pick, grid = picks[best], grids[best]
        if phis is not None:
            self.phi_ = float(phis[pick.phi])
            chosen = results[pick.index]
            (results[pick.index],) = blends(
                [chosen], [problem.refit(chosen)], self.phi_
            )
        vars(self).update(problem.path_attributes(results, pick.index))
        self.alphas_ = np.array(grids) if self._many_settings() else grid
        self.alpha_ = float(grid[pick.index])
        self.alpha_min_ = float(grid[pick.least])
        if pick.sparse is not None:
            self.alpha_1se_ = float(grid[pick.sparse])
        if self._setting_name is not None:
            setattr(self, f"{self._setting_name}_", settings[best])
        problem.warn_of_path(results, type(self).__name__)
        return self

    def _shortened(self, problem, settings, grids):
        """End the grids where nothing more is explained on all data, all at once."""
        refuse_given_grid(self.alphas)
        kept = max(
            problem.n_explaining(problem.solve(grid, setting))
            for setting, grid in zip(settings, grids, strict=True)
        )
        return [grid[:kept] for grid in grids]

    def _held_out_losses(self, fitted, held, setting, alphas, phis):
        """Losses on rows of a path fitted on others, of shape (n_phis, n_alphas)."""
        problem = self._problem(fitted.X, fitted.y, fitted.weights, **fitted.others)
        results = problem.solve(alphas, setting)
        refits = None if phis is None else [problem.refit(result) for result in results]
        losses = []
        for phi in (1.0,) if phis is None else phis:
            mixed = results if refits is None else blends(results, refits, phi)
            losses.append(problem.losses(mixed, *held[:3], **held.others))
        return np.array(losses)

    def _cross_validate(
        self, problem, X, y, sample_weight, rows, groups, settings, grids, phis
    ):
        """Held-out losses of every fold and setting; return a pick for each setting."""
        if X is None:
            return self._picks(*problem.fold_tables(settings, grids), phis)
        if isinstance(X, dict):
            tasks = [
                (problem.of_others(X, k), X[k], settings, grids, phis)
                for k in sorted(X)
            ]
            losses = run_parallel(_moment_losses, tasks, n_jobs=self.n_jobs)
            losses = np.array(losses).transpose(1, 2, 3, 0)
            weights = np.array([X[k].weight for k in sorted(X)])
            is_weighted = any(m.weight != m.n_rows for m in X.values())
            return self._picks(losses, weights if is_weighted else None, phis)
        splitter = check_cv(self.cv, y, classifier=is_classifier(self))
        folds = checked_folds(splitter.split(X, y, groups), sample_weight, X.shape[0])
        if is_classifier(self):
            _warn_of_missing_classes(y, folds, self.classes_)
        known = None
        if phis is None:
            known = _without_fits(problem, folds, sample_weight, settings, grids)
        losses = cross_validate(
            self._held_out_losses,
            X,
            y,
            sample_weight,
            folds,
            [(*pair, phis) for pair in zip(settings, grids, strict=True)],
            others=rows,
            known=known,
            n_jobs=self.n_jobs,
        )
        losses = np.array(losses)
        # (settings, phis, alphas, folds)
        losses = losses.reshape(len(settings), len(folds), *losses.shape[1:])
        losses = losses.transpose(0, 2, 3, 1)
        return self._picks(losses, fold_weights(folds, sample_weight), phis)

    def _picks(self, losses, weights, phis):
        """Store held-out losses, of shape (settings, phis, alphas, folds); pick."""
        kept = losses[:, 0] if phis is None else losses
        setattr(self, self._losses_name, kept if self._many_settings() else kept[0])
        mean, error = mean_and_error(losses, weights)
        self.cv_mean_, self.cv_standard_error_ = (
            table if self._many_settings() else table[0]
            for table in (
                (mean, error) if phis is not None else (mean[:, 0], error[:, 0])
            )
        )
        picks = []
        for means, errors in zip(mean, error, strict=True):
            # A loss that overflowed is no candidate.
            means = np.where(np.isfinite(means), means, np.inf)
            phi, least = np.unravel_index(np.argmin(means), means.shape)
            smallest = float(means[phi, least])
            if not np.isfinite(smallest):
                raise NumericalError(
                    "The held-out losses overflow at every strength. Rescale y and X, "
                    "or remove extreme samples."
                )
            near = means[phi] <= smallest + errors[phi, least]
            sparse = int(np.flatnonzero(near)[0])
            index = sparse if self.one_se else int(least)
            picks.append(_Pick(smallest, index, int(least), sparse, int(phi)))
        return picks


class _Pick:
    """A point of a path: where the loss is least, and the sparsest one near it."""

    def __init__(self, loss, index, least=None, sparse=None, phi=0):
        self.loss, self.index, self.phi = loss, index, phi
        self.least = index if least is None else least
        self.sparse = sparse


def _warn_of_missing_classes(y, folds, classes):
    """Warn where training rows lack a class that the test rows of a fold have."""
    for k, (train, test) in enumerate(folds):
        missing = np.setdiff1d(y[test], y[train])
        if len(missing):
            warnings.warn(
                f"The training samples of fold {k} lack class "
                f"{classes[missing[0]]}, which its test samples have: their losses "
                "are those of the least probability reckoned with and tell little. "
                "Use stratified or fewer folds.",
                UserWarning,
                stacklevel=users_stacklevel(),
            )
            return
