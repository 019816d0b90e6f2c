r"""Rows that count differently: weights, known noise, and targets that repeat.

A row of weight w stands for w observations at one place. With noise of variance v each,
their mean has the variance v / w, and what they scatter about it has the log density

.. math::

    -\frac12 \Bigl( (w - 1) \log (2 \pi v) + \log w + \frac{r}{v} \Bigr) ,

r being the weighted sum of squares about the mean. So a weight of two is a row given
twice, whether a fit sees one or the other.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np

from sparsestat._utils.samples import distinct_rows

__all__ = ["PLAIN", "RowNoise", "collected", "standardized_rows"]


@dataclass(frozen=True)
class RowNoise:
    """What is known of the noise of rows, beside the white noise of a kernel.

    Parameters
    ----------
    weights : ndarray of shape (n,) or float, default=1.0
        How many observations a row stands for.
    known : ndarray of shape (n,) or float, default=0.0
        Variance of one observation that is known beforehand.
    within : ndarray of shape (n,) or float, default=0.0
        Weighted squares of the targets about their means, summed over the targets.
    """

    weights: np.ndarray | float = 1.0
    known: np.ndarray | float = 0.0
    within: np.ndarray | float = 0.0

    @property
    def is_plain(self):
        """Whether all rows are alike."""
        return all(np.ndim(v) == 0 for v in vars(self).values())

    def total(self, n):
        """Return how many observations n rows are."""
        return float(np.broadcast_to(self.weights, n).sum())

    def single(self, noise, n):
        """Return the noise variance of one observation of each row."""
        return np.full(n, noise) + self.known

    def part(self, rows):
        """Return that of some rows."""
        return RowNoise(
            *(v if np.ndim(v) == 0 else v[rows] for v in vars(self).values())
        )

    def scatter(self, single, n_targets):
        """Return the log density of what repeats, and its slopes in `single`."""
        w = np.broadcast_to(self.weights, single.shape)
        more = w - 1.0
        value = n_targets * np.sum(more * np.log(2.0 * np.pi * single) + np.log(w))
        value += np.sum(self.within / single)
        slope = (n_targets * more - self.within / single) / single
        return -0.5 * float(value), -0.5 * slope


PLAIN = RowNoise()


def collected(X, Y, weights):
    """Collect repeated rows into one of their weight, in lexicographic order.

    So rows with weights and the same rows, repeated, lead to the same numbers.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Data.
    Y : ndarray of shape (n, n_targets)
        Targets.
    weights : ndarray of shape (n,) or None
        Positive weights.

    Returns
    -------
    X, Y : ndarray
        Distinct rows and their mean targets; as they came where none counts more than
        another.
    weights : ndarray of shape (n_distinct,) or None
        Of the distinct rows; None where all are 1 and nothing repeats.
    within : ndarray of shape (n_distinct, n_targets) or float
        Weighted squares of targets about their means.
    """
    if weights is not None and np.all(weights == 1.0):
        weights = None
    points, place = distinct_rows(X)
    n = len(points)
    if n == len(X) and weights is None:
        return X, Y, None, 0.0
    first = np.empty(n, dtype=np.intp)
    first[place[::-1]] = np.arange(len(X))[::-1]
    if n == len(X):
        return points, Y[first], weights[first], 0.0
    if weights is None:
        weights = np.ones(len(X))
    total = np.bincount(place, weights)
    # Sums of what targets are above one of them: large targets lose no digits.
    start = Y[first]
    rest = Y - start[place]
    above = [np.bincount(place, weights * r) / total for r in rest.T]
    above = np.stack(above, axis=1)
    squares = weights[:, None] * (rest - above[place]) ** 2
    within = np.stack([np.bincount(place, s) for s in squares.T], axis=1)
    return points, start + above, total, within


def standardized_rows(Y, weights, within, *, common=False):
    """Center and scale targets whose rows count differently.

    Parameters
    ----------
    Y : ndarray of shape (n, n_targets)
        Targets.
    weights : ndarray of shape (n,) or None
        How many observations they stand for.
    within : ndarray of shape (n, n_targets) or float
        Weighted squares of those about the targets.
    common : bool, default=False
        Whether all targets get one scale; known noise, which is in the units of all of
        them, asks for it.

    Returns
    -------
    Y : ndarray of shape (n, n_targets)
        With mean zero and mean square 1.
    means, scales : ndarray of shape (n_targets,)
        What was taken off and divided by.
    """
    w = np.ones(len(Y)) if weights is None else weights
    share = (w / w.sum())[:, None]
    means = Y[0] + (share * (Y - Y[0])).sum(axis=0)
    rest = Y - means
    # A mean that is huge beside the spread was rounded: what it left is taken off too.
    left = (share * rest).sum(axis=0)
    rest = rest - left
    squares = (share * rest**2).sum(axis=0)
    if np.ndim(within):
        squares = squares + within.sum(axis=0) / w.sum()
    if common:
        squares = np.full_like(squares, squares.mean())
    scales = np.where(squares > 0, np.sqrt(squares), 1.0)
    return rest / scales, means + left, scales
