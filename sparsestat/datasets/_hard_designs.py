"""Sparse regression problems whose columns depend on each other at several scales."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy.linalg import null_space
from sklearn.utils import Bunch, check_random_state

from sparsestat._utils.compat import Interval, StrOptions, validate_params

__all__ = ["HARD_DESIGNS", "make_hard_regression"]

HARD_DESIGNS = ("clusters", "factor", "geometric", "iid", "two_scale")


@validate_params(
    {
        "n_samples": [Interval(Integral, 2, None, closed="left")],
        "n_features": [Interval(Integral, 2, None, closed="left")],
        "design": [StrOptions(set(HARD_DESIGNS))],
        "n_nonzero": [Interval(Integral, 1, None, closed="left"), None],
        "delta": [Interval(Real, 0, None, closed="neither")],
        "n_factors": [Interval(Integral, 1, None, closed="left")],
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "condition": [Interval(Real, 1, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_hard_regression(
    n_samples=200,
    n_features=500,
    *,
    design="two_scale",
    n_nonzero=None,
    delta=1e-3,
    n_factors=2,
    n_clusters=20,
    condition=1e12,
    noise=0.3,
    random_state=None,
):
    r"""Draw a sparse regression with a design that may defeat the Lasso.

    The columns of X have norm ``sqrt(n_samples)`` and so has the signal ``X @ coef``;
    the noise is Gaussian. Where columns nearly depend on each other and the signal
    lies in what tells them apart, the coefficients are of order ``1 / delta``, and
    so is their sum of absolute values, which is what the error of the Lasso grows
    with.

    Parameters
    ----------
    n_samples : int, default=200
        Number of rows.
    n_features : int, default=500
        Number of columns.
    design : str, default="two_scale"
        - ``"iid"``: standard normal columns, coefficients of equal size.
        - ``"clusters"``: `n_clusters` directions, each column is one of them plus
          `delta` times noise of its own; coefficients of equal size.
        - ``"geometric"``: singular values in geometric progression from 1 to
          ``1 / condition``; coefficients of equal size.
        - ``"factor"``: combinations of `n_factors` factors plus `delta` times noise
          of their own. The coefficients cancel the factors, so that the signal is
          in the noise of the columns.
        - ``"two_scale"``: one half of the columns is a factor design with 5 of 8
          coefficients, the other is iid with the rest. Both halves contribute
          equally to the signal: a small penalty is needed for the one, a large one
          for the other.
    n_nonzero : int, default=None
        Number of nonzero coefficients; None means 8 for ``"two_scale"``, else 5.
    delta : float, default=1e-3
        Size of what tells dependent columns apart.
    n_factors : int, default=2
        Number of common factors.
    n_clusters : int, default=20
        Number of clusters.
    condition : float, default=1e12
        Ratio of the largest to the least singular value, before the columns are
        scaled.
    noise : float, default=0.3
        Standard deviation of the noise.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output across calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        X : ndarray of shape (n_samples, n_features)
            The design, in Fortran order.
        y : ndarray of shape (n_samples,)
            The target.
        coef : ndarray of shape (n_features,)
            The coefficients.
        support : ndarray of int of shape (n_nonzero,)
            Where they are not zero, sorted.
        signal : ndarray of shape (n_samples,)
            The target without noise.
        design : str
            The parameter `design`.

    Raises
    ------
    ValueError
        If there are fewer features than nonzero coefficients, or too few
        coefficients to cancel the factors.

    See Also
    --------
    make_sparse_regression : Correlated designs with a set signal-to-noise ratio.

    Examples
    --------
    >>> from sparsestat.datasets import make_hard_regression
    >>> data = make_hard_regression(random_state=0)
    >>> len(data.support), bool(abs(data.coef).max() > 100)
    (8, True)
    >>> round(float(data.signal @ data.signal) / 200, 12)
    1.0
    """
    rng = check_random_state(random_state)
    if n_nonzero is None:
        n_nonzero = 8 if design == "two_scale" else 5
    if n_nonzero > n_features:
        raise ValueError(
            f"`n_nonzero`={n_nonzero} is more than the {n_features} features."
        )
    if design == "two_scale":
        X, coef = _two_scale(rng, n_samples, n_features, n_nonzero, n_factors, delta)
    elif design == "factor":
        X, coef = _factor(rng, n_samples, n_features, n_nonzero, n_factors, delta)
    else:
        if design == "iid":
            X = rng.standard_normal((n_samples, n_features))
        elif design == "clusters":
            X = _clusters(rng, n_samples, n_features, n_clusters, delta)
        else:
            X = _geometric(rng, n_samples, n_features, condition)
        coef = _signs(rng, n_features, n_nonzero)
        coef /= np.linalg.norm(X, axis=0)  # equal size once the columns are scaled
    norms = np.linalg.norm(X, axis=0) / np.sqrt(n_samples)
    X = np.asfortranarray(X / norms)
    coef = coef * norms
    signal = X @ coef
    scale = np.sqrt(n_samples) / np.linalg.norm(signal)
    coef, signal = coef * scale, signal * scale
    y = signal + noise * rng.standard_normal(n_samples)
    return Bunch(
        X=X,
        y=y,
        coef=coef,
        support=np.flatnonzero(coef),
        signal=signal,
        design=design,
    )


def _signs(rng, n_features, n_nonzero):
    coef = np.zeros(n_features)
    support = rng.choice(n_features, n_nonzero, replace=False)
    coef[support] = rng.choice([-1.0, 1.0], size=n_nonzero)
    return coef


def _factor(rng, n_samples, n_features, n_nonzero, n_factors, delta):
    """Factors plus delta times noise; the coefficients cancel the factors."""
    if n_nonzero <= n_factors:
        raise ValueError(
            f"{n_nonzero} coefficients cannot cancel {n_factors} factors: more "
            "coefficients than factors are needed. Raise `n_nonzero` or lower "
            "`n_factors`."
        )
    if n_nonzero > n_features:
        raise ValueError(
            f"The {n_features} columns that share factors are fewer than their "
            f"{n_nonzero} coefficients. Raise `n_features` or lower `n_nonzero`."
        )
    factors = rng.standard_normal((n_samples, n_factors))
    loadings = rng.standard_normal((n_factors, n_features))
    X = factors @ loadings + delta * rng.standard_normal((n_samples, n_features))
    support = rng.choice(n_features, n_nonzero, replace=False)
    null = null_space(loadings[:, support])
    direction = null @ rng.standard_normal(null.shape[1])
    coef = np.zeros(n_features)
    coef[support] = direction / (np.linalg.norm(direction) * delta)
    return X, coef


def _two_scale(rng, n_samples, n_features, n_nonzero, n_factors, delta):
    half = n_features // 2
    plain = (3 * n_nonzero) // 8
    A, a = _factor(rng, n_samples, half, n_nonzero - plain, n_factors, delta)
    B = rng.standard_normal((n_samples, n_features - half))
    b = _signs(rng, n_features - half, plain)
    a /= np.linalg.norm(A @ a)
    if plain:
        b /= np.linalg.norm(B @ b)
    return np.hstack([A, B]), np.concatenate([a, b])


def _clusters(rng, n_samples, n_features, n_clusters, delta):
    centers = rng.standard_normal((n_samples, n_clusters))
    own = rng.standard_normal((n_samples, n_features))
    return centers[:, np.arange(n_features) % n_clusters] + delta * own


def _geometric(rng, n_samples, n_features, condition):
    rank = min(n_samples, n_features)
    left = np.linalg.qr(rng.standard_normal((n_samples, rank)))[0]
    right = np.linalg.qr(rng.standard_normal((n_features, rank)))[0]
    return (left * np.geomspace(1.0, 1.0 / condition, rank)) @ right.T
