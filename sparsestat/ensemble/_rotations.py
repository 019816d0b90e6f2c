"""Scaling and random rotations of features.

Rotations of principal components by groups of features are those of Rodriguez, Kuncheva
and Alonso (2006); Haar rotations those of Blaser and Fryzlewicz (2016).
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat._utils.arithmetic import column_signs

__all__ = ["Scaler", "draw_rotation"]

_KNOTS = 1000  # of a rank transformation
_FAR = 1e30  # scaled values beyond are all the same to a tree


class Scaler:
    """Bring the columns to one scale; sparse columns are not centered.

    A common shift of a rotated column changes no split, so that centering is a matter
    of rounding alone.
    """

    def __init__(self, X, weights, kind):
        self.kind = kind
        self.shift, self.factor = np.zeros(X.shape[1]), np.ones(X.shape[1])
        if kind == "standard":
            self._fit_moments(X, weights)
        elif kind == "rank":
            total = np.ones(len(X)) if weights is None else weights
            self.knots = [_rank_knots(column, total) for column in X.T]
        else:
            largest = np.abs(X.data if sparse.issparse(X) else X).max(initial=0.0)
            self.factor *= 2.0 ** -float(np.frexp(largest)[1])

    def _fit_moments(self, X, weights):
        for j in range(X.shape[1]):
            if sparse.issparse(X):
                column = X[:, [j]].toarray().ravel()
            else:
                column = X[:, j]
            column = column.astype(np.float64)
            if column.min() == column.max():
                self.shift[j] = column[0]
                continue
            mean = np.average(column, weights=weights)
            spread = np.sqrt(np.average((column - mean) ** 2, weights=weights))
            self.shift[j] = mean
            self.factor[j] = 1.0 / spread if spread > 0 else 1.0

    def __call__(self, X):
        """Return the scaled columns, in double precision."""
        if sparse.issparse(X):
            return X.astype(np.float64) @ sparse.diags_array(self.factor, format="csr")
        if self.kind == "rank":
            columns = [
                np.interp(column, values, ranks)
                for column, (values, ranks) in zip(X.T, self.knots, strict=True)
            ]
            return np.column_stack(columns)
        with np.errstate(over="ignore"):
            return np.clip((X - self.shift) * self.factor, -_FAR, _FAR)


def _rank_knots(column, weights):
    """Return values and their ranks, from 0 to 1, of one column."""
    values, inverse = np.unique(column.astype(np.float64), return_inverse=True)
    mass = np.bincount(inverse.ravel(), weights=weights, minlength=len(values))
    ranks = (np.cumsum(mass) - mass / 2) / mass.sum()
    if len(values) > _KNOTS:
        at = np.searchsorted(ranks, np.linspace(ranks[0], ranks[-1], _KNOTS))
        at = np.unique(np.minimum(at, len(values) - 1))
        values, ranks = values[at], ranks[at]
    return values, ranks


def draw_rotation(kind, X, *, codes, weights, options, rng):
    """Return a matrix (n_features, n_components) to multiply the features by.

    Parameters
    ----------
    kind : {"pca", "sparse", "random", "rc"}
        Principal components of groups, sparse signs, a Haar rotation, or combinations
        of few features.
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Scaled features; "pca" alone looks at them.
    codes : ndarray of shape (n_samples,) or None
        Class numbers, from which each group draws a subset; None takes all samples.
    weights : ndarray of shape (n_samples,) or None
        Weights of the samples.
    options : dict
        `group_size`, `subsample`, `density` and `n_components`.
    rng : Generator
        Source of random numbers.

    Returns
    -------
    R : {ndarray, csr_array} of shape (n_features, n_components)
        The matrix.
    """
    p = X.shape[1]
    width = options["n_components"] or p
    if kind == "pca":
        return _principal_axes(X, codes, weights, options, rng)
    if kind == "random":
        Q, R = np.linalg.qr(rng.standard_normal((p, p)))
        # Without the signs the law would not be uniform over rotations.
        return Q * np.where(np.diag(R) < 0, -1.0, 1.0)
    if kind == "sparse":
        counts = rng.binomial(p, options["density"], width)
        while not counts.all():  # a column of zeros would be no feature
            empty = counts == 0
            counts[empty] = rng.binomial(p, options["density"], empty.sum())
        rows = [rng.permutation(p)[:count] for count in counts]
        size = 1.0 / np.sqrt(options["density"] * width)
        values = size * rng.choice([-1.0, 1.0], counts.sum())
    else:
        few = min(options["group_size"], p)
        rows = [rng.permutation(p)[:few] for _ in range(width)]
        counts = np.full(width, few)
        values = rng.uniform(-1, 1, few * width)
    columns = np.repeat(np.arange(width), counts)
    return sparse.csr_array((values, (np.concatenate(rows), columns)), shape=(p, width))


def _principal_axes(X, codes, weights, options, rng):
    """Return the axes of random groups of features, each from a part of the samples."""
    n, p = X.shape
    order = rng.permutation(p)
    n_groups = -(-p // options["group_size"])
    rows, columns, values = [], [], []
    left = 0
    for group in np.array_split(order, n_groups):
        chosen = _some_samples(n, codes, len(group), options["subsample"], rng)
        if sparse.issparse(X):
            block = X[:, group].toarray()[chosen]
        else:
            block = X[chosen[:, None], group]
        axes = _axes(block, None if weights is None else weights[chosen])
        k = len(group)
        rows.append(np.repeat(group, k))
        columns.append(np.tile(np.arange(left, left + k), k))
        values.append(axes.ravel())
        left += k
    places = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_array((np.concatenate(values), places), shape=(p, p))


def _some_samples(n, codes, least, share, rng):
    """Draw samples of a random set of classes; all samples if these are too few."""
    chosen = np.arange(n)
    if codes is not None:
        n_classes = int(codes.max()) + 1
        taken = rng.random(n_classes) < 0.5
        while not taken.any():
            taken = rng.random(n_classes) < 0.5
        chosen = np.flatnonzero(taken[codes])
    if share < 1:
        size = int(np.ceil(share * len(chosen)))
        chosen = np.sort(rng.permutation(chosen)[:size])
    return chosen if len(chosen) >= max(least, 2) else np.arange(n)


def _axes(block, weights):
    """Return all principal axes, as columns with their largest entry positive."""
    block = block - np.average(block, axis=0, weights=weights)
    scale = np.abs(block).max(initial=0.0)
    if scale > 0:
        block = block / scale  # squares neither overflow nor vanish
    weighted = block if weights is None else block * weights[:, None]
    axes = np.linalg.eigh(block.T @ weighted)[1][:, ::-1]
    # Of two standardized features they are always the sum and the difference.
    return axes * column_signs(axes)
