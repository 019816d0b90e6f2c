"""What one fit says of the features, and many fits whose warnings are one."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
from sklearn.base import clone

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.results import users_stacklevel
from sparsestat.exceptions import ConvergenceWarning

__all__ = ["NEVER", "half_sizes", "has_path", "importances", "sizes_at_entry"]

NEVER = np.iinfo(np.int32).max  # the size at which an unselected feature enters
_POINTS, _EPS, _CHUNK = 100, 1e-3, 16  # of the path, and solved in one call


def has_path(estimator):
    """Whether an estimator of this package offers all its strengths at once."""
    return isinstance(estimator, SparsestatEstimator) and hasattr(estimator, "path")


def half_sizes(estimator, X, y, sample_weight, rows, q):
    """Return :func:`sizes_at_entry` of some rows."""
    part = X[rows]
    weights = None if sample_weight is None else sample_weight[rows]
    return sizes_at_entry(estimator, part, y[rows], weights, q)


def sizes_at_entry(estimator, X, y, sample_weight, q):
    """Return how many features were in when each one had come in.

    A model of at most k features consists of those whose size is at most k.

    Parameters
    ----------
    estimator : estimator
        One with a path is followed down it until more than q features have ever been
        active; any other is fitted, and its features are ranked by the absolute
        values of their importances.
    X, y, sample_weight : arrays of one half
    q : int
        Larger sizes are not of interest.

    Returns
    -------
    sizes : ndarray of shape (n_features,), int32
        `NEVER` for features that are not among the first q.
    """
    if has_path(estimator):
        return _along_path(estimator, X, y, sample_weight, q)
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    return _by_rank(importances(clone(estimator).fit(X, y, **weights), X.shape[1]), q)


def _along_path(estimator, X, y, sample_weight, q):
    """Walk down the path in chunks; the cost is that of the first q features."""
    weights = {"sample_weight": sample_weight}
    sizes = np.full(X.shape[1], NEVER, dtype=np.int32)
    largest = float(estimator.path(X, y, alphas=1, **weights).alphas[0])
    ratios = np.geomspace(1.0, _EPS, _POINTS)[1:]
    start = None
    for first in range(0, len(ratios), _CHUNK):
        alphas = largest * ratios[first : first + _CHUNK]
        path = estimator.path(X, y, alphas=alphas, coef_init=start, **weights)
        start = path.coefs[..., -1]
        active = path.coefs != 0.0
        if active.ndim == 3:
            active = active.any(axis=0)
        for column in active.T:
            new = column & (sizes == NEVER)
            if not new.any():
                continue
            size = np.count_nonzero(sizes != NEVER) + np.count_nonzero(new)
            if size > q:
                return sizes
            sizes[new] = size
    return sizes


def _by_rank(values, q):
    """Return sizes at entry when the largest values enter first, ties together."""
    size = np.abs(values)
    order = np.sort(size)[::-1]
    ranks = np.searchsorted(-order, -size, side="right")
    return np.where((size > 0.0) & (ranks <= q), ranks, NEVER).astype(np.int32)


def importances(model, n_features):
    """Return one number for each feature from a fitted estimator.

    Raises
    ------
    ValueError
        If there are neither coefficients nor importances, or not as many.
    """
    if hasattr(model, "steps"):
        model = model.steps[-1][1]
    values = getattr(model, "coef_", None)
    if values is None:
        values = getattr(model, "feature_importances_", None)
    if values is None:
        raise ValueError(
            f"{type(model).__name__} has neither coef_ nor feature_importances_ after "
            "its fit, so that its features cannot be ranked. Pass an estimator with "
            "one of them."
        )
    values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    if values.ndim == 2:
        values = np.sqrt((values**2).sum(axis=0))
    if values.shape != (n_features,):
        raise ValueError(
            f"{type(model).__name__} ranks {values.shape[0]} features, but X has "
            f"{n_features}. Transform X before the selection."
        )
    return values


def entry_strengths(estimator, X, y, n_points=200):
    """Return for each feature the strength at which it comes in, and its size then.

    Parameters
    ----------
    estimator : estimator
        With a path.
    X, y : arrays
    n_points : int, default=200
        Of the path.

    Returns
    -------
    strengths, sizes : ndarray of shape (n_features,)
        Zeros for features that stay out.
    """
    path = estimator.path(X, y, alphas=n_points, eps=_EPS)
    sizes = np.abs(path.coefs)
    if sizes.ndim == 3:
        sizes = np.sqrt((sizes**2).sum(axis=0))
    active = sizes > 0.0
    first = np.where(active.any(axis=1), active.argmax(axis=1), -1)
    entered = first >= 0
    strengths = np.where(entered, path.alphas[first], 0.0)
    return strengths, np.where(entered, sizes[np.arange(len(sizes)), first], 0.0)


def run_fits(function, tasks, n_jobs):
    """Run fits on workers; return results and how many did not converge.

    Warnings of convergence are counted, others are repeated once each.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = run_parallel(function, tasks, n_jobs=n_jobs)
    short, others = 0, {}
    for w in caught:
        if issubclass(w.category, ConvergenceWarning):
            short += 1
        else:
            others[w.category, str(w.message)] = w
    for w in others.values():
        warnings.warn(w.message, w.category, stacklevel=users_stacklevel())
    return results, short


def warn_of_short_fits(name, short):
    """Say once how many fits fell short."""
    if short:
        warnings.warn(
            f"{name}: {short} fits did not converge. Raise the iteration limit of the "
            "estimator, or scale the features.",
            ConvergenceWarning,
            stacklevel=users_stacklevel(),
        )
