"""A noise variance that predicts, where the likelihood has none to offer."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np

from sparsestat._utils.parallel import run_parallel
from sparsestat.bayes._data import is_operator, square

__all__ = ["choose_noise"]

_COARSE = 4.0 ** -np.arange(8.0)


def _held_out(make, level, data, train, test):
    """Return the mean log density of held-out targets under one noise variance."""

    def part(array, rows):
        return None if array is None else array[rows]

    Y = data.Y[:, 0] if data.one_target else data.Y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit on all rows warns for itself
        model = make(level).fit(data.X[train], Y[train], part(data.weights, train))
        mean, std = model.predict(data.X[test], return_std=True)
    error = square(Y[test] - mean) / std**2
    if Y.dtype.kind == "c":
        density = -np.log(np.pi * std**2) - error
    else:
        density = -0.5 * (np.log(2.0 * np.pi * std**2) + error)
    density = density.reshape(len(density), -1).mean(axis=1)
    return float(np.average(density, weights=part(data.weights, test)))


def choose_noise(make, data, folds, variance, n_jobs=None):
    """Return the noise variance of the highest held-out density, and all of them.

    Shares of the variance of y from one down to 6e-5, by factors of four, then a
    factor of two on either side of the best.

    Parameters
    ----------
    make : callable
        Returns an unfitted model of the noise variance that it is given.
    data : FitData
        Rows of positive weight.
    folds : list of (train, test)
        Indices of rows.
    variance : float
        Mean square of y about its mean.
    n_jobs : int, default=None
        Number of workers.

    Returns
    -------
    best : float
        The noise variance.
    levels : ndarray of shape (n_levels,)
        What was tried, from large to small.
    scores : ndarray of shape (n_levels, n_folds)
        Mean log densities.
    """
    if is_operator(data.X):
        raise ValueError(
            "noise_variance='cv' needs the rows of X, but X is a LinearOperator. Pass "
            "a number, or None to learn it from all rows."
        )

    def evaluate(levels):
        tasks = [(make, s2, data, *fold) for s2 in levels for fold in folds]
        found = run_parallel(_held_out, tasks, n_jobs=n_jobs)
        return np.reshape(found, (len(levels), len(folds)))

    levels = variance * _COARSE
    scores = evaluate(levels)
    best = levels[np.argmax(scores.mean(axis=1))]
    finer = np.array([s2 for s2 in (2.0 * best, 0.5 * best) if s2 <= variance])
    levels, scores = np.append(levels, finer), np.vstack([scores, evaluate(finer)])
    order = np.argsort(-levels)
    levels, scores = levels[order], scores[order]
    return float(levels[np.argmax(scores.mean(axis=1))]), levels, scores
