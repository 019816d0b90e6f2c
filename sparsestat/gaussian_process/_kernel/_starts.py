r"""Where the search for a kernel's parameters starts: scales found on some of the data.

The evidence of a Gaussian kernel has many local optima in its lengths. A few hundred
rows, half of them drawn from everywhere and half next to each other, so that short and
long correlations are both seen, suffice to tell which one is worth climbing: for every
length of a halving sequence one eigendecomposition gives the evidence for all noises,
with the best amplitude in closed form. Several features get lengths of their own by a
short ascent from there.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

__all__ = ["Scales", "feature_units", "first_scales"]

_ROWS = 240  # of the sample
_NEXT = 30  # rows next to each other
_RATIOS = 10.0 ** np.arange(-10.0, 1.01, 0.5)  # of noise to signal variance
_LONGEST, _SHORTEST = 4.0, 1e-5  # lengths in units of features
_NOISE_SPAN = (1e-10, 10.0)
_FAR = 1e3  # lengths beyond are as good as infinite


@dataclass(frozen=True)
class Scales:
    """Scales of a Gaussian process.

    Parameters
    ----------
    lengths : ndarray of shape (n_features,)
        Lengths of a Gaussian kernel, in units of the features.
    variance, noise : float
        Of the function and of the noise, in units of y**2.
    gap : float
        Typical distance of neighbors, in standard deviations of the features.
    """

    lengths: np.ndarray
    variance: float
    noise: float
    gap: float


def feature_units(X):
    """Return the standard deviations of the features, 1 for constant ones."""
    unit = X.std(axis=0)
    return np.where((np.ptp(X, axis=0) > 0) & (unit > 0), unit, 1.0)


def _sample(U):
    """Return rows from everywhere and rows next to each other; all where few."""
    n = len(U)
    if n <= _ROWS:
        return np.arange(n)
    # The same rows in every fit of the same data.
    rng = np.random.RandomState(0)
    spread = rng.choice(n, _ROWS // 2, replace=False)
    anchors = U[spread[: _ROWS // (2 * _NEXT)]]
    near = cKDTree(U).query(anchors, _NEXT)[1].ravel()
    return np.union1d(spread, near)


def first_scales(X, y):
    """Find scales at which a Gaussian kernel explains the targets well.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Data.
    y : ndarray of shape (n,) or (n, n_targets)
        Targets, of processes with mean zero.

    Returns
    -------
    scales : Scales
        Those of most evidence among the ones tried.
    """
    unit = feature_units(X)
    U = (X - X.mean(axis=0)) / unit
    n_dims = U.shape[1]
    rows = _sample(U)
    U, y = U[rows], y[rows].reshape(len(rows), -1)
    gap = _gap(U)
    size = float(np.mean(y**2))
    if len(U) < 3 or not size > 0:
        size = size if size > 0 else 1.0
        lengths = unit * np.sqrt(n_dims)
        return Scales(lengths, size, 0.1 * size, gap)
    y = y / np.sqrt(size)
    square = cdist(U, U, "sqeuclidean")
    tried = []
    length = _LONGEST * np.sqrt(n_dims)
    shortest = max(0.5 * gap, _SHORTEST)
    while length >= shortest or not tried:
        tried.append((*_best_noise(square, y, length), length))
        length *= 0.5
    values = np.array([t[0] for t in tried])
    peaks = np.r_[-np.inf, values, -np.inf]
    peaks = np.flatnonzero((values >= peaks[:-2]) & (values >= peaks[2:]))
    peaks = peaks[np.argsort(-values[peaks], kind="stable")][:2]
    best = tried[peaks[0]]
    lengths, variance, ratio = np.full(n_dims, best[3]), best[1], best[2]
    if n_dims > 1:
        climbed = [_climb(U, y, tried[p][3], tried[p][2]) for p in peaks]
        _, lengths, variance, ratio = max(climbed, key=lambda c: c[0])
    variance *= size
    return Scales(lengths * unit, variance, ratio * variance, gap)


def _gap(U):
    """Return a typical distance of neighbors that are apart."""
    distinct = np.unique(U, axis=0)
    if len(distinct) < 2:
        return 1.0
    return float(np.quantile(cKDTree(distinct).query(distinct, 2)[0][:, 1], 0.25))


def _best_noise(square, y, length):
    """Return the evidence, the variance and the ratio of noise for one length."""
    values, vectors = np.linalg.eigh(np.exp(square * (-0.5 / length**2)))
    values = np.maximum(values, 0.0)[:, None] + _RATIOS
    squares = np.mean((vectors.T @ y) ** 2, axis=1, keepdims=True)
    variance = np.mean(squares / values, axis=0)
    evidence = -0.5 * (len(y) * np.log(variance) + np.log(values).sum(axis=0))
    best = int(np.argmax(evidence))
    return float(evidence[best]), float(variance[best]), float(_RATIOS[best])


def _climb(U, y, length, ratio, *, max_iter=25):
    """Give every feature a length of its own; return as well the evidence."""
    n, n_dims = U.shape
    bounds = [(np.log(_SHORTEST), np.log(_FAR))] * n_dims
    bounds.append((np.log(1e-10), np.log(10.0)))

    def terms(x):
        A = U / np.exp(x[:-1])
        K = np.exp(-0.5 * cdist(A, A, "sqeuclidean"))
        C = K.copy()
        C.flat[:: n + 1] += np.exp(x[-1])
        factor = cho_factor(C, lower=True)
        a = cho_solve(factor, y)
        return A, K, factor, a, float(np.sum(y * a)) / y.size

    def negative(x):
        try:
            A, K, factor, a, variance = terms(x)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros(n_dims + 1)
        S = cho_solve(factor, np.eye(n))
        S -= a @ (a.T / (variance * y.shape[1]))
        value = 0.5 * n * np.log(variance) + np.log(np.diag(factor[0])).sum()
        G = S * K
        squares = 2.0 * (G.sum(axis=1) @ A**2 - np.sum(A * (G @ A), axis=0))
        return value, 0.5 * np.r_[squares, np.exp(x[-1]) * np.trace(S)]

    start = np.r_[np.full(n_dims, np.log(length)), np.log(ratio)]
    found = minimize(
        negative,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": max_iter},
    )
    x = found.x
    try:
        variance = terms(x)[-1]
    except np.linalg.LinAlgError:
        return -np.inf, np.full(n_dims, length), 1.0, ratio
    return -float(found.fun), np.exp(x[:-1]), variance, float(np.exp(x[-1]))
