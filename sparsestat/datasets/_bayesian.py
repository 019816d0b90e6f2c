"""Sparse signals with structure: Kronecker supports, channels, bursts on a grid."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch, check_random_state

from sparsestat._utils.compat import Interval, StrOptions, validate_params

__all__ = ["make_burst_sparse", "make_irs_mimo_channel", "make_kronecker_sparse"]

_SNR_DB = [Interval(Real, None, None, closed="neither")]


def _normal(rng, shape, is_complex):
    """Draw standard normal numbers, circularly symmetric if complex."""
    if not is_complex:
        return rng.standard_normal(shape)
    real, imaginary = rng.standard_normal((2, *np.atleast_1d(shape)))
    return (real + 1j * imaginary) / np.sqrt(2.0)


def _kron(vectors):
    out = vectors[0]
    for v in vectors[1:]:
        out = np.kron(out, v)
    return out


def _apply(factors, x):
    """Return the Kronecker product of the factors times x, as a tensor."""
    X = x.reshape([H.shape[1] for H in factors])
    for i, H in enumerate(factors):
        X = np.moveaxis(np.tensordot(H, X, axes=(1, i)), 0, i)
    return X


@validate_params(
    {
        "n_rows": ["array-like"],
        "n_columns": ["array-like"],
        "n_nonzero": [Interval(Integral, 1, None, closed="left")],
        "coef": [StrOptions({"kronecker", "independent"})],
        "snr_db": _SNR_DB,
        "complex_values": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_kronecker_sparse(
    n_rows=(8, 12, 15),
    n_columns=(15, 15, 15),
    *,
    n_nonzero=3,
    coef="kronecker",
    snr_db=25.0,
    complex_values=False,
    random_state=None,
):
    r"""Draw a sparse vector with Kronecker-structured support, and measurements.

    The measurements are :math:`y = (H_1 \otimes \dots \otimes H_I)\, x + e` with
    independent standard normal factors, and the support of x is a product of one
    support for each factor. An experiment of [1]_.

    Parameters
    ----------
    n_rows : array-like of int, default=(8, 12, 15)
        Rows of each factor.
    n_columns : array-like of int, default=(15, 15, 15)
        Columns of each factor.
    n_nonzero : int, default=3
        Size of the support in each factor.
    coef : {"kronecker", "independent"}, default="kronecker"
        ``"kronecker"``: x is the Kronecker product of sparse standard normal vectors.
        ``"independent"``: only the support has the structure; the values are
        independent with variance 0.05.
    snr_db : float, default=25.0
        Mean square of the noise-free measurements over the variance of the noise, in
        decibel.
    complex_values : bool, default=False
        Draw circularly symmetric complex numbers.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output across calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        factors : list of ndarray of shape (n_rows[i], n_columns[i])
            Factors of the design.
        y : ndarray of shape (prod(n_rows),)
            Measurements in C order, as ``np.kron`` has it.
        coef : ndarray of shape (prod(n_columns),)
            The vector x.
        supports : list of ndarray of shape (n_nonzero,)
            Sorted support of each factor.
        signal : ndarray of shape (prod(n_rows),)
            Measurements without noise.
        noise_variance : float
            Variance of the noise.

    See Also
    --------
    make_irs_mimo_channel : Angular dictionaries and a block-sparse channel.
    sparsestat.bayes.KroneckerSBL : Recovers such vectors.

    References
    ----------
    .. [1] Y. He, G. Joseph, "Bayesian algorithms for Kronecker-structured sparse
       vector recovery with application to IRS-MIMO channel estimation", IEEE
       Transactions on Signal Processing, 2024.

    Examples
    --------
    >>> from sparsestat.datasets import make_kronecker_sparse
    >>> data = make_kronecker_sparse((4, 6), (10, 10), n_nonzero=2, random_state=0)
    >>> data.y.shape, data.coef.shape, int((data.coef != 0).sum())
    ((24,), (100,), 4)
    """
    n_rows, n_columns = _sizes(n_rows, "n_rows"), _sizes(n_columns, "n_columns")
    if len(n_rows) != len(n_columns):
        raise ValueError(
            f"n_rows has {len(n_rows)} entries and n_columns {len(n_columns)}. Pass "
            "one size of each for every factor."
        )
    if n_nonzero > min(n_columns):
        raise ValueError(
            f"n_nonzero={n_nonzero} exceeds the {min(n_columns)} columns of the "
            "smallest factor."
        )
    rng = check_random_state(random_state)
    factors = [
        _normal(rng, (m, n), complex_values)
        for m, n in zip(n_rows, n_columns, strict=True)
    ]
    supports, parts = [], []
    for n in n_columns:
        chosen = np.sort(rng.choice(n, n_nonzero, replace=False))
        part = np.zeros(n, dtype=complex if complex_values else float)
        part[chosen] = _normal(rng, n_nonzero, complex_values)
        supports.append(chosen)
        parts.append(part)
    x = _kron(parts)
    if coef == "independent":
        inside = np.flatnonzero(x)
        x[inside] = np.sqrt(0.05) * _normal(rng, len(inside), complex_values)
    signal = _apply(factors, x).ravel()
    y, noise_variance = _measured(rng, signal, snr_db, complex_values)
    return Bunch(
        factors=factors,
        y=y,
        coef=x,
        supports=supports,
        signal=signal,
        noise_variance=noise_variance,
    )


def _measured(rng, signal, snr_db, complex_values):
    """Return the signal with noise, and the variance of the noise."""
    noise_variance = float((np.abs(signal) ** 2).mean() / 10 ** (snr_db / 10))
    noise = np.sqrt(noise_variance) * _normal(rng, signal.shape, complex_values)
    return signal + noise, noise_variance


def _sizes(values, name):
    sizes = np.asarray(values)
    if sizes.ndim != 1 or not sizes.size or sizes.dtype.kind not in "iu":
        raise ValueError(f"{name} must be a sequence of integers, got {values!r}.")
    if sizes.min() < 1:
        raise ValueError(f"{name} must be positive, got {values!r}.")
    return sizes.tolist()


def _steering(size, n_angles):
    """Return responses of a half-wavelength array on a uniform grid of sines."""
    sines = 2.0 * np.arange(n_angles) / n_angles - 1.0
    return np.exp(1j * np.pi * np.outer(np.arange(size), sines)) / np.sqrt(size)


@validate_params(
    {
        "n_pilots": [Interval(Integral, 1, None, closed="left")],
        "n_patterns": [Interval(Integral, 1, None, closed="left")],
        "n_angles": [Interval(Integral, 3, None, closed="left")],
        "spread": [Interval(Integral, 1, None, closed="left")],
        "snr_db": _SNR_DB,
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_irs_mimo_channel(
    n_pilots=3,
    n_patterns=6,
    *,
    n_angles=18,
    spread=3,
    snr_db=20.0,
    random_state=None,
):
    r"""Draw the uplink channel of an antenna system with a reflecting surface.

    A mobile station with 6 antennas reaches a base station with 16 over a reflecting
    surface with 256 elements. Pilots are sent under several patterns of reflection;
    on grids of angles, the measurements are a Kronecker-structured function of a
    vector whose support comes in blocks. The experiment of [1]_.

    Parameters
    ----------
    n_pilots : int, default=3
        Pilot symbols for each pattern.
    n_patterns : int, default=6
        Random patterns of reflection.
    n_angles : int, default=18
        Points of each grid of angles.
    spread : int, default=3
        Neighboring angles of arrival at the surface and at the base station.
    snr_db : float, default=20.0
        Mean square of the noise-free measurements over the variance of the noise, in
        decibel.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output across calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        factors : list of three ndarrays
            Shapes (n_patterns, n_angles), (n_pilots, n_angles), (16, n_angles).
        y : ndarray of shape (n_patterns * n_pilots * 16,)
            Measurements.
        coef : ndarray of shape (n_angles**3,)
            The block-sparse vector.
        channels : ndarray of shape (n_patterns, 6, 16)
            Channel under each pattern, transposed.
        channel_factors : list of three ndarrays
            Map coefficients to channels as `factors` maps them to measurements.
        coupled : list of bool
            The factors in which support comes in blocks.
        signal : ndarray, as y
            Measurements without noise.
        noise_variance : float
            Variance of the noise.

    See Also
    --------
    make_kronecker_sparse : Independent factors.
    sparsestat.bayes.BlockKroneckerSBL : Recovers such vectors.

    References
    ----------
    .. [1] Y. He, G. Joseph, "Bayesian algorithms for Kronecker-structured sparse
       vector recovery with application to IRS-MIMO channel estimation", IEEE
       Transactions on Signal Processing, 2024.

    Examples
    --------
    >>> from sparsestat.datasets import make_irs_mimo_channel
    >>> data = make_irs_mimo_channel(random_state=0)
    >>> data.y.shape, data.coef.shape, int((data.coef != 0).sum())
    ((288,), (5832,), 9)
    """
    mobile, base, surface = 6, 16, 256
    if spread > n_angles:
        raise ValueError(f"spread={spread} exceeds n_angles={n_angles}.")
    rng = check_random_state(random_state)
    A_mobile, A_base = _steering(mobile, n_angles), _steering(base, n_angles)
    A_surface = _steering(surface, n_angles)
    qpsk = rng.choice([-1.0, 1.0], size=(2, mobile, n_pilots))
    pilots = (qpsk[0] + 1j * qpsk[1]) / np.sqrt(2.0 * mobile)
    depart_mobile, depart_surface = rng.randint(n_angles, size=2)
    arrive_surface = rng.randint(n_angles - spread + 1) + np.arange(spread)
    arrive_base = rng.randint(n_angles - spread + 1) + np.arange(spread)
    gains_surface = _normal(rng, spread, True)
    gains_base = _normal(rng, spread, True)
    size = np.sqrt(mobile * surface / 3) * np.sqrt(base * surface / 3)
    # The product of two responses of the surface is a response at the difference of
    # the angles, so one factor describes arrival and departure together.
    x = np.zeros((n_angles, n_angles, n_angles), dtype=complex)
    for a, gain in zip(arrive_surface, gains_surface, strict=True):
        difference = (depart_surface - a) % n_angles
        x[difference, depart_mobile, arrive_base] = size * gain * gains_base
    while True:
        patterns = rng.choice([-1.0, 1.0], size=(surface, n_patterns)) / np.sqrt(
            surface
        )
        F = patterns.T @ (A_surface[:, :1] * A_surface.conj())
        factors = [F, pilots.T @ A_mobile.conj(), A_base]
        signal = _apply(factors, x).ravel()
        if np.abs(signal).max() > 1e-6 * size / surface:
            break
    y, noise_variance = _measured(rng, signal, snr_db, True)
    channel_factors = [F, A_mobile.conj(), A_base]
    return Bunch(
        factors=factors,
        y=y,
        coef=x.ravel(),
        channels=_apply(channel_factors, x),
        channel_factors=channel_factors,
        coupled=[True, False, True],
        signal=signal,
        noise_variance=noise_variance,
    )


@validate_params(
    {
        "n_measurements": [Interval(Integral, 1, None, closed="left")],
        "grid_shape": ["array-like"],
        "support": [StrOptions({"rectangles", "scattered", "lines"})],
        "n_bursts": [Interval(Integral, 1, None, closed="left")],
        "snr_db": _SNR_DB,
        "complex_values": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_burst_sparse(
    n_measurements=100,
    grid_shape=(32, 32),
    *,
    support="rectangles",
    n_bursts=3,
    snr_db=20.0,
    complex_values=True,
    random_state=None,
):
    """Draw a signal that is sparse in bursts on a grid, and random measurements.

    Parameters
    ----------
    n_measurements : int, default=100
        Rows of the design, whose entries are independent with variance
        ``1 / n_measurements``.
    grid_shape : array-like of one or two int, default=(32, 32)
        The grid; coefficients are in C order.
    support : {"rectangles", "scattered", "lines"}, default="rectangles"
        ``"rectangles"``: of sides 3 to 6, which may overlap; intervals of 9 to 36 on a
        chain. ``"scattered"``: as many cells as the rectangles would have, anywhere.
        ``"lines"``: diagonals (on a chain, every second cell of an interval), which a
        lattice of nearest neighbors does not connect.
    n_bursts : int, default=3
        Number of rectangles or lines.
    snr_db : float, default=20.0
        Mean square of the noise-free measurements over the variance of the noise, in
        decibel.
    complex_values : bool, default=True
        Draw circularly symmetric complex numbers.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output across calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        X : ndarray of shape (n_measurements, prod(grid_shape))
            Design.
        y : ndarray of shape (n_measurements,)
            Measurements.
        coef : ndarray of shape (prod(grid_shape),)
            Standard normal on the support.
        support : ndarray of shape (prod(grid_shape),)
            Boolean.
        signal : ndarray of shape (n_measurements,)
            Measurements without noise.
        noise_variance : float
            Variance of the noise.

    See Also
    --------
    sparsestat.bayes.MRFSBL : Recovers such signals.

    Examples
    --------
    >>> from sparsestat.datasets import make_burst_sparse
    >>> data = make_burst_sparse(random_state=0)
    >>> data.X.shape, int(data.support.sum())
    ((100, 1024), 78)
    """
    shape = _sizes(grid_shape, "grid_shape")
    if len(shape) > 2:
        raise ValueError(f"grid_shape has one or two sizes, got {grid_shape!r}.")
    if min(shape) < (6 if len(shape) == 2 else 36):
        raise ValueError(
            f"grid_shape={tuple(shape)} is too small for bursts: at least 6 by 6, "
            "or 36 cells on a chain."
        )
    rng = check_random_state(random_state)
    mask = np.zeros(shape, dtype=bool)
    for _ in range(n_bursts):
        if len(shape) == 1:
            long = rng.randint(9, 37)
            start = rng.randint(shape[0] - long + 1)
            mask[start : start + long : 2 if support == "lines" else 1] = True
            continue
        sides = rng.randint(3, 7, size=2)
        i, j = (rng.randint(n - s + 1) for n, s in zip(shape, sides, strict=True))
        if support == "lines":
            long = min(4 * min(sides), shape[0] - i, shape[1] - j)
            mask[i + np.arange(long), j + np.arange(long)] = True
        else:
            mask[i : i + sides[0], j : j + sides[1]] = True
    mask = mask.ravel()
    if support == "scattered":
        chosen = rng.choice(mask.size, mask.sum(), replace=False)
        mask[:] = False
        mask[chosen] = True
    x = np.zeros(mask.size, dtype=complex if complex_values else float)
    x[mask] = _normal(rng, int(mask.sum()), complex_values)
    X = _normal(rng, (n_measurements, mask.size), complex_values)
    X /= np.sqrt(n_measurements)
    signal = X @ x
    y, noise_variance = _measured(rng, signal, snr_db, complex_values)
    return Bunch(
        X=X,
        y=y,
        coef=x,
        support=mask,
        signal=signal,
        noise_variance=noise_variance,
    )
