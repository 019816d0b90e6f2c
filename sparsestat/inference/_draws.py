"""Which features one fit selects first: the draws that stability selection repeats."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.base import clone

from sparsestat._utils.base import SparsestatEstimator

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
