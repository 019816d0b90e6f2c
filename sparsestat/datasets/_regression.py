"""Sparse linear regression problems with a known answer."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch, check_random_state

from sparsestat._utils.compat import Interval, StrOptions, validate_params
from sparsestat.datasets._designs import DESIGN_CONSTRAINTS, draw_design

__all__ = ["make_sparse_regression"]


@validate_params(
    {
        **DESIGN_CONSTRAINTS,
        "n_nonzero": [Interval(Integral, 0, None, closed="left")],
        "n_targets": [Interval(Integral, 1, None, closed="left")],
        "coef": [StrOptions({"normal", "sign", "ones", "geometric"}), "array-like"],
        "support": [StrOptions({"random", "even", "first"})],
        "snr": [Interval(Real, 0, None, closed="neither"), Real],
        "bias": [Interval(Real, None, None, closed="neither")],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def make_sparse_regression(
    n_samples=200,
    n_features=1000,
    *,
    n_nonzero=10,
    n_targets=1,
    design="toeplitz",
    rho=0.5,
    block_size=10,
    n_factors=2,
    factor_noise=0.1,
    density=None,
    coef="normal",
    support="random",
    snr=10.0,
    bias=0.0,
    return_X_y=False,
    random_state=None,
):
    r"""Draw a linear regression problem whose coefficients are sparse and known.

    The response is ``y = X @ coef.T + bias + noise`` with features of a chosen
    correlation structure and independent normal noise. The signal-to-noise ratio
    is a ratio of variances,

    .. math::

        \mathrm{snr} = \frac{\frac1n \sum_i (s_i - \bar s)^2}{\sigma^2},
        \qquad s = X w, \qquad y_i = s_i + b + \sigma \varepsilon_i,
        \qquad \varepsilon_i \sim N(0, 1) ,

    that is, the variance of the noise-free response over the rows that were drawn,
    divided by the *population* variance of the noise (for each target on its own).
    The best attainable R2 on new data is therefore about ``snr / (1 + snr)``. In
    decibel, ``snr = 10`` is 10 dB.

    Parameters
    ----------
    n_samples : int, default=200
        Number of rows.
    n_features : int, default=1000
        Number of columns.
    n_nonzero : int, default=10
        Number of features with a nonzero coefficient; at most `n_features`.
        Ignored when `coef` is an array.
    n_targets : int, default=1
        Number of responses. They share one support: the coefficient matrix is
        sparse in whole columns, as multi-task estimators assume.
    design : {"block", "factor", "iid", "toeplitz", "two_scale"}, default="toeplitz"
        Correlation of the features, see :func:`make_correlated_features`.
    rho : float, default=0.5
        Correlation of neighboring columns or inside a block.
    block_size : int, default=10
        Columns in a block of the block design.
    n_factors : int, default=2
        Common factors of the factor and two-scale designs.
    factor_noise : float, default=0.1
        What the factors leave unexplained in each column.
    density : float in (0, 1], default=None
        Share of nonzeros in `X`, which is then CSC. None gives a dense array.
    coef : {"normal", "sign", "ones", "geometric"} or array-like, default="normal"
        Nonzero coefficients: standard normal, random signs, all 1, or random signs
        times 1, 0.8, 0.8**2, ... An array of shape (n_features,) or (n_targets,
        n_features) is used as it is.
    support : {"random", "even", "first"}, default="random"
        Where the nonzeros are: drawn at random, evenly spaced, or the first
        columns (which correlated designs make neighbors).
    snr : float, default=10.0
        Signal-to-noise ratio as defined above; ``float("inf")`` gives no noise.
        Where the signal has no variance (``n_nonzero=0``) the noise is standard
        normal.
    bias : float, default=0.0
        Intercept.
    return_X_y : bool, default=False
        Return the pair ``(X, y)`` only.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output across calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        X : {ndarray, sparse matrix} of shape (n_samples, n_features)
            Features, in Fortran order or CSC.
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Responses.
        coef : ndarray of shape (n_features,) or (n_targets, n_features)
            True coefficients, laid out as an estimator's ``coef_``.
        support : ndarray of shape (n_nonzero,)
            Sorted indices of the features with a nonzero coefficient.
        bias : float
            True intercept.
        signal : ndarray, as y
            Noise-free response, ``y`` minus the noise.
        noise_std : float or ndarray of shape (n_targets,)
            Standard deviation of the noise.
        snr : float
            The parameter `snr`.
    (X, y) : tuple if ``return_X_y=True``
        Features and responses.

    Raises
    ------
    ValueError
        If `n_nonzero` exceeds `n_features`, `snr` is NaN, `coef` has the wrong
        shape, or the design has no sparse form.

    See Also
    --------
    make_correlated_features : The features alone, with their covariance.
    sklearn.datasets.make_regression : Low-rank or independent features.

    Notes
    -----
    Time and memory are proportional to the size of `X`. The same seed gives the
    same data on every platform.

    Examples
    --------
    >>> from sparsestat.datasets import make_sparse_regression
    >>> data = make_sparse_regression(100, 500, n_nonzero=3, random_state=0)
    >>> data.X.shape, data.support.size
    ((100, 500), 3)
    >>> round(float(data.signal.var() / data.noise_std**2), 6)
    10.0
    """
    if n_nonzero > n_features:
        raise ValueError(
            f"n_nonzero={n_nonzero} exceeds n_features={n_features}. Choose at most "
            f"{n_features} nonzero coefficients."
        )
    if np.isnan(snr) or snr <= 0:
        raise ValueError(f"snr must be positive (inf for no noise), got {snr}.")
    rng = check_random_state(random_state)
    X, _ = draw_design(
        rng,
        n_samples,
        n_features,
        design=design,
        rho=rho,
        block_size=block_size,
        n_factors=n_factors,
        factor_noise=factor_noise,
        density=density,
    )
    if isinstance(coef, str):
        W = _draw_coef(rng, n_targets, n_features, n_nonzero, coef, support)
    else:
        W = _check_coef(coef, n_targets, n_features)

    signal = np.asarray(X @ W.T) + bias
    spread = signal.std(axis=0)
    noise_std = np.where(spread > 0, spread, 1.0) / np.sqrt(snr)
    if not np.isfinite(snr):
        noise_std = np.zeros(n_targets)
    y = signal + noise_std * rng.standard_normal((n_samples, n_targets))
    indices = np.flatnonzero(np.any(W != 0, axis=0))
    if n_targets == 1:
        y, signal, W, noise_std = y[:, 0], signal[:, 0], W[0], float(noise_std[0])
    if return_X_y:
        return X, y
    return Bunch(
        X=X,
        y=y,
        coef=W,
        support=indices,
        bias=float(bias),
        signal=signal,
        noise_std=noise_std,
        snr=float(snr),
    )


def _draw_coef(rng, n_targets, n_features, n_nonzero, kind, support):
    if support == "random":
        indices = rng.choice(n_features, size=n_nonzero, replace=False)
    elif support == "even":
        indices = (np.arange(n_nonzero) * n_features) // max(n_nonzero, 1)
    else:
        indices = np.arange(n_nonzero)
    shape = (n_targets, n_nonzero)
    if kind == "normal":
        values = rng.standard_normal(shape)
    elif kind == "ones":
        values = np.ones(shape)
    else:
        values = rng.choice([-1.0, 1.0], size=shape)
        if kind == "geometric":
            values = values * 0.8 ** np.arange(n_nonzero)
    W = np.zeros((n_targets, n_features))
    W[:, indices] = values
    return W


def _check_coef(coef, n_targets, n_features):
    W = np.array(coef, dtype=np.float64, ndmin=2)  # a copy
    if W.shape != (n_targets, n_features):
        raise ValueError(
            f"coef has shape {np.shape(coef)}, expected ({n_targets}, {n_features})"
            + (f" or ({n_features},)." if n_targets == 1 else ".")
        )
    if not np.all(np.isfinite(W)):
        raise ValueError("coef contains NaN or infinity; pass finite numbers.")
    return W
