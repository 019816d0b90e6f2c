"""Correlated designs drawn in time proportional to their size.

No sampler forms or factorizes the p x p covariance: Toeplitz columns come from an
autoregressive recursion, factor designs from their factors, and sparse Toeplitz
designs from runs of a two-state chain, in time and memory proportional to the
number of nonzero entries.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import pairwise
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from scipy.linalg import toeplitz
from sklearn.utils import Bunch, check_random_state

from sparsestat._utils.compat import (
    Interval,
    StrOptions,
    align_sparse_interface,
    validate_params,
)

__all__ = ["DESIGNS", "DESIGN_CONSTRAINTS", "draw_design", "make_correlated_features"]

DESIGNS = ("block", "factor", "iid", "toeplitz", "two_scale")
DESIGN_CONSTRAINTS = {
    "n_samples": [Interval(Integral, 1, None, closed="left")],
    "n_features": [Interval(Integral, 1, None, closed="left")],
    "design": [StrOptions(set(DESIGNS))],
    "rho": [Interval(Real, -1, 1, closed="neither")],
    "block_size": [Interval(Integral, 1, None, closed="left")],
    "n_factors": [Interval(Integral, 1, None, closed="left")],
    "factor_noise": [Interval(Real, 0, None, closed="left")],
    "density": [Interval(Real, 0, 1, closed="right"), None],
    "random_state": ["random_state"],
}


@validate_params(
    {**DESIGN_CONSTRAINTS, "return_covariance": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def make_correlated_features(
    n_samples=200,
    n_features=1000,
    *,
    design="toeplitz",
    rho=0.5,
    block_size=10,
    n_factors=2,
    factor_noise=0.1,
    density=None,
    return_covariance=False,
    random_state=None,
):
    """Draw Gaussian features with a known correlation structure.

    Rows are independent, every column has population mean 0 and variance 1
    (variance `density` when the design is sparse). Large designs are quick: the
    covariance matrix is never formed unless it is asked for.

    Parameters
    ----------
    n_samples : int, default=200
        Number of rows.
    n_features : int, default=1000
        Number of columns.
    design : {"block", "factor", "iid", "toeplitz", "two_scale"}, \
            default="toeplitz"
        Population correlation of columns i and j:

        - ``"iid"``: 0 for i different from j.
        - ``"toeplitz"``: ``rho ** |i - j|``.
        - ``"block"``: `rho` inside blocks of `block_size` neighboring columns, 0
          between blocks.
        - ``"factor"``: columns are random combinations of `n_factors` common
          factors plus noise of their own of standard deviation `factor_noise`,
          then scaled to variance 1. A small `factor_noise` makes the columns
          nearly dependent.
        - ``"two_scale"``: the first half of the columns is a factor design, the
          second half is iid: two very different scales in one spectrum, a hard
          case for a single penalty strength.
    rho : float, default=0.5
        Correlation of neighbors (``"toeplitz"``) or inside a block (``"block"``),
        in (-1, 1); not negative for blocks and for sparse designs.
    block_size : int, default=10
        Columns in a block; the last block may be smaller.
    n_factors : int, default=2
        Number of common factors.
    factor_noise : float, default=0.1
        Standard deviation of what the factors leave unexplained in each column,
        where the loadings are standard normal.
    density : float in (0, 1], default=None
        None returns a dense array. Otherwise return a CSC matrix in which each
        entry is nonzero with this probability and nonzero entries are standard
        normal. Only for ``"iid"`` and ``"toeplitz"``; the correlations are those
        of the dense design.
    return_covariance : bool, default=False
        Also return the population covariance, an array of shape (n_features,
        n_features). Needs 8 ``n_features ** 2`` bytes.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output across calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        X : {ndarray, sparse matrix} of shape (n_samples, n_features)
            The features, in Fortran order or CSC. Sparse output is a sparse array
            or a sparse matrix as ``sklearn.set_config(sparse_interface=...)`` says.
        covariance : ndarray of shape (n_features, n_features) or None
            Population covariance, if asked for. For factor designs it is
            conditional on the loadings that were drawn.
        design : str
            The parameter `design`.

    Raises
    ------
    ValueError
        If `density` is given for a design that has no sparse form, or `rho` is
        negative where it cannot be.

    See Also
    --------
    make_sparse_regression : The same designs with a sparse linear response.

    Notes
    -----
    Time and memory are proportional to ``n_samples * n_features`` for a dense
    design, times `n_factors` in time for factor designs, and to the number of
    nonzeros for a sparse one. The same seed gives the same array on every
    platform and thread count.

    Sparse Toeplitz rows consist of runs of nonzeros. A run goes on with
    probability ``sqrt(rho)`` from one column to the next, and the values inside a
    run follow an autoregression with coefficient ``sqrt(rho)``. Values of
    different runs are independent, so the correlation at distance k is the product
    ``sqrt(rho) ** k * sqrt(rho) ** k = rho ** k``, whatever the density.

    Examples
    --------
    >>> from sparsestat.datasets import make_correlated_features
    >>> data = make_correlated_features(
    ...     5000, 4, rho=0.8, return_covariance=True, random_state=0)
    >>> data.covariance[0].round(3)
    array([1.   , 0.8  , 0.64 , 0.512])
    >>> bool(abs(data.X.T @ data.X / 5000 - data.covariance).max() < 0.1)
    True
    """
    rng = check_random_state(random_state)
    X, covariance = draw_design(
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
    return Bunch(
        X=X, covariance=covariance() if return_covariance else None, design=design
    )


def draw_design(
    rng,
    n_samples,
    n_features,
    *,
    design,
    rho=0.5,
    block_size=10,
    n_factors=2,
    factor_noise=0.1,
    density=None,
):
    """Return the features and a function that builds their covariance."""
    if density is not None:
        if design not in ("iid", "toeplitz"):
            raise ValueError(
                f"design={design!r} has no sparse form, got density={density}. Pass "
                "density=None for a dense array, or design='toeplitz' or 'iid'."
            )
        rho = 0.0 if design == "iid" else rho
        return _sparse_toeplitz(rng, n_samples, n_features, rho, density)
    if design == "iid":
        X = rng.standard_normal((n_features, n_samples)).T
        return X, lambda: np.eye(n_features)
    if design == "toeplitz":
        return _toeplitz(rng, n_samples, n_features, rho)
    if design == "block":
        return _block(rng, n_samples, n_features, rho, block_size)
    if design == "factor":
        return _factor(rng, n_samples, n_features, n_factors, factor_noise)
    return _two_scale(rng, n_samples, n_features, n_factors, factor_noise)


def _toeplitz(rng, n_samples, n_features, rho):
    # Row j of Z is column j of X: the recursion runs over contiguous memory.
    Z = rng.standard_normal((n_features, n_samples))
    innovation = np.sqrt(1.0 - rho**2)
    if rho:
        for j in range(1, n_features):
            Z[j] *= innovation
            Z[j] += rho * Z[j - 1]
    return Z.T, lambda: toeplitz(float(rho) ** np.arange(n_features))


def _block(rng, n_samples, n_features, rho, block_size):
    if rho < 0:
        raise ValueError(
            f"rho={rho} is negative, but a block design shares one factor in each "
            "block and needs 0 <= rho < 1. Use design='toeplitz' for negative "
            "correlations."
        )
    block = np.arange(n_features) // block_size
    shared = rng.standard_normal((block[-1] + 1, n_samples))
    Z = rng.standard_normal((n_features, n_samples))
    Z *= np.sqrt(1.0 - rho)
    for j in range(n_features):
        Z[j] += np.sqrt(rho) * shared[block[j]]

    def covariance():
        same = block[:, None] == block[None, :]
        return rho * same + (1.0 - rho) * np.eye(n_features)

    return Z.T, covariance


def _factor(rng, n_samples, n_features, n_factors, factor_noise):
    loadings = rng.standard_normal((n_features, n_factors))
    scale = np.sqrt((loadings**2).sum(axis=1) + factor_noise**2)
    loadings /= scale[:, None]
    own = factor_noise / scale
    factors = rng.standard_normal((n_factors, n_samples))
    Z = rng.standard_normal((n_features, n_samples))
    Z *= own[:, None]
    Z += loadings @ factors
    return Z.T, lambda: loadings @ loadings.T + np.diag(own**2)


def _two_scale(rng, n_samples, n_features, n_factors, factor_noise):
    half = n_features // 2
    Z = np.empty((n_features, n_samples))
    X, dependent = _factor(rng, n_samples, half, n_factors, factor_noise)
    Z[:half] = X.T
    Z[half:] = rng.standard_normal((n_features - half, n_samples))

    def covariance():
        out = np.eye(n_features)
        out[:half, :half] = dependent()
        return out

    return Z.T, covariance


def _sparse_toeplitz(rng, n_samples, n_features, rho, density):
    """Draw runs of nonzeros along one long tape that holds all rows."""
    if rho < 0:
        raise ValueError(
            f"rho={rho} is negative, but a sparse Toeplitz design needs 0 <= rho < 1. "
            "Pass density=None for a dense design with negative correlations."
        )
    stay = np.sqrt(rho)  # probability that a run goes on; also its autoregression
    # A new run starts with this probability, so that the share of nonzeros is
    # stationary: density = density * stay + (1 - density * stay) * start.
    start = density * (1.0 - stay) / (1.0 - density * stay)
    # Rows lie behind one another on the tape, separated by columns that are
    # thrown away and long enough for the chain to forget: stay**gap < 1e-12.
    gap = 0 if rho == 0 else int(np.ceil(np.log(1e-12) / np.log(stay)))
    stride = n_features + gap
    positions, fresh = _tape(rng, n_samples * stride, stay, start, density)

    values = rng.standard_normal(len(positions))
    starts = np.flatnonzero(fresh)
    depth = np.arange(len(positions))
    if len(starts):
        depth -= np.repeat(starts, np.diff(np.append(starts, len(positions))))
    order = np.argsort(depth, kind="stable")
    bounds = np.searchsorted(depth[order], np.arange(1, depth.max(initial=0) + 2))
    innovation = np.sqrt(1.0 - rho)
    for lo, hi in pairwise(bounds):
        k = order[lo:hi]  # the k-th members of their runs, all at once
        values[k] = stay * values[k - 1] + innovation * values[k]

    row, column = np.divmod(positions, stride)
    keep = column >= gap
    small = max(n_samples, n_features) <= np.iinfo(np.int32).max
    index = np.int32 if small else np.int64
    row, column = row[keep].astype(index), (column[keep] - gap).astype(index)
    X = sparse.coo_array(
        (values[keep], (row, column)), shape=(n_samples, n_features)
    ).tocsc()
    X.sort_indices()
    return align_sparse_interface(
        X
    ), lambda: density * toeplitz(float(rho) ** np.arange(n_features))


def _tape(rng, length, stay, start, density):
    """Return positions of nonzeros in range(length), and which begin a run."""
    pieces, flags, last = [], [], -1
    expected = int(density * length)
    while last < length:
        m = expected + 6 * int(np.sqrt(expected)) + 64
        fresh = rng.uniform(size=m) >= stay
        if last < 0:
            fresh[0] = True
        step = np.ones(m, dtype=np.int64)
        # Where integers end, draws are negative; steps past the end have no sums.
        drawn = rng.geometric(start, int(fresh.sum()))
        step[fresh] = np.where((drawn < 1) | (drawn > length), length + 1, drawn)
        piece = last + np.cumsum(step)
        pieces.append(piece)
        flags.append(fresh)
        last = piece[-1]
        expected = max(64, int(density * (length - last)))
    positions = np.concatenate(pieces)
    n_kept = np.searchsorted(positions, length)
    return positions[:n_kept], np.concatenate(flags)[:n_kept]
