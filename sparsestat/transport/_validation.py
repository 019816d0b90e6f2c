"""Gates of the transport functions: costs, masses, strengths."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from sparsestat._utils.validation import refuse_complex
from sparsestat.transport._costs import METRICS, MatrixCost, PointCost

__all__ = [
    "all_finite",
    "check_cost",
    "check_masses",
    "check_number",
    "check_points",
    "check_strength",
    "choose_strength",
    "default_tolerance",
    "one_mass",
]

# Costs over the strength beyond which potentials have no digit left, and the largest
# strength whose products with entropies are finite.
_WIDEST, _MOST = 1e20, 1e290
_LEAST_MASS = 1e-150
_LARGEST_POINT = 1e120  # coordinates whose squares leave room for sums of them


def check_number(value, name, *, low=0.0, strict=True, integer=False):
    """Return a finite number above (or at) `low`, or raise ValueError."""
    kind = Integral if integer else Real
    good = isinstance(value, kind) and not isinstance(value, bool | np.bool_)
    good = good and np.isfinite(value) and (value > low if strict else value >= low)
    if not good:
        raise ValueError(
            f"{name} must be {'an integer' if integer else 'a finite number'} "
            f"{'above' if strict else 'at or above'} {low:g}, got {value!r}."
        )
    return int(value) if integer else float(value)


def all_finite(C):
    """Say whether all costs are finite, by their sum unless that overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(C.sum()) or np.isfinite(C).all())


def check_cost(C):
    """Return a checked cost; float32 and float64 arrays are not copied."""
    refuse_complex(C, name="C")
    if sparse.issparse(C):
        # Arcs that are not stored are forbidden.
        table = sparse.coo_array(C, copy=True)
        table.sum_duplicates()
        dense = np.full(table.shape, np.inf)
        dense[table.row, table.col] = table.data
        C = dense
    C = np.asarray(C)
    if C.dtype not in (np.float32, np.float64):
        try:
            C = C.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"C has dtype {C.dtype}, which cannot be converted to numbers."
            ) from error
    if C.ndim != 2 or C.size == 0:
        raise ValueError(
            f"C must be a matrix with at least one row and one column, got shape "
            f"{C.shape}."
        )
    if all_finite(C):
        return C
    if np.isnan(C).any():
        raise ValueError(
            "C contains NaN. Impute these costs, or set them to +inf to forbid the arc."
        )
    if np.isneginf(C).any():
        raise ValueError(
            "C contains -inf. Only finite costs, and +inf for forbidden arcs, have a "
            "meaning."
        )
    return C


def one_mass(mass, size, name):
    """Return masses as float64; None means uniform with total one."""
    if mass is None:
        return np.full(size, 1.0 / size)
    refuse_complex(mass, name=name)
    mass = np.asarray(mass, dtype=np.float64)
    if mass.shape != (size,):
        raise ValueError(
            f"{name} must have shape ({size},) to match the cost, got {mass.shape}."
        )
    least, most = mass.min(), mass.max()
    if not -np.inf < least <= most < np.inf:
        raise ValueError(f"{name} contains NaN or infinity.")
    if least < 0:
        raise ValueError(
            f"{name} has negative entries (smallest {least:g}). Masses are "
            "non-negative."
        )
    if not most > 0:
        raise ValueError(f"{name} has zero total mass. At least one entry must be > 0.")
    total = mass.sum() if most <= 1.0 / _LEAST_MASS else most
    if not _LEAST_MASS <= total <= 1.0 / _LEAST_MASS:
        raise ValueError(
            f"{name} has a total mass of {total:.1e}, beyond what products of masses "
            "can hold. Rescale the masses."
        )
    return mass


def check_masses(a, b, shape):
    """Return two vectors of masses with equal totals."""
    a, b = one_mass(a, shape[0], "a"), one_mass(b, shape[1], "b")
    total_a, total_b = a.sum(), b.sum()
    if abs(total_a - total_b) > 1e-6 * max(total_a, total_b):
        raise ValueError(
            f"a and b have different total masses, {total_a:.8g} and {total_b:.8g}. "
            "Rescale one of them, or use sinkhorn_unbalanced."
        )
    return a, b * (total_a / total_b)


def check_strength(reg, eta, *, allow_zero=False):
    """Return the entropic strength from exactly one of `reg` and ``eta = 1/reg``."""
    if (reg is None) == (eta is None):
        raise ValueError(
            "Give exactly one of reg and eta (eta = 1/reg), got "
            f"reg={reg!r} and eta={eta!r}."
        )
    if eta is not None:
        return 1.0 / check_number(eta, "eta")
    if allow_zero and reg == 0:
        return 0.0
    if reg == 0:
        raise ValueError(
            "reg must be > 0, got 0. Use method='exact' for transport without entropy."
        )
    return check_number(reg, "reg")


def choose_strength(reg, reg_mode, cost):
    """Turn a relative strength into cost units: times the median finite cost."""
    if reg_mode not in ("absolute", "relative"):
        raise ValueError(
            f"reg_mode must be 'absolute' or 'relative', got {reg_mode!r}."
        )
    sample = cost.sample()
    if not len(sample):
        return reg
    if reg_mode == "relative":
        sizes = np.abs(sample)
        reg = reg * (float(np.median(sizes)) or float(sizes.mean()) or 1.0)
    # A constant in the costs moves no plan: differences are what reg stands beside.
    spread = float(np.median(sample - sample.min()))
    if reg > 0 and not spread / _WIDEST <= reg <= _MOST:
        raise ValueError(
            f"reg={reg:.1e} is lost in the rounding of costs that differ by about "
            f"{spread:.1e}. Rescale the costs, raise reg, or use reg_mode='relative'."
        )
    return reg


def default_tolerance(tol, dtype):
    """Return a checked tolerance; None means what a plan of this type can meet."""
    if tol is None:
        return 1e-6 if dtype == np.float32 else 1e-9
    return check_number(tol, "tol")


def check_points(X, Y, metric):
    """Return two float64 sets of points with equal numbers of columns."""
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {METRICS}, got {metric!r}.")
    refuse_complex(X, name="X")
    refuse_complex(Y, name="Y")
    X = _dense_points(X, "X")
    Y = _dense_points(Y, "Y")
    if X.shape[1] != Y.shape[1]:
        raise ValueError(
            f"X has {X.shape[1]} features but Y has {Y.shape[1]}; points must live in "
            "the same space."
        )
    for name, points in (("X", X), ("Y", Y)):
        largest = np.abs(points).max()
        if largest > _LARGEST_POINT or 0 < largest < 1.0 / _LARGEST_POINT:
            what = "overflow" if largest > 1 else "vanish"
            raise ValueError(
                f"Products of the entries of {name} {what} in double precision: the "
                f"largest absolute value is {largest:.1e}. Rescale the points."
            )
    if metric == "cosine":
        for name, points in (("X", X), ("Y", Y)):
            if not np.linalg.norm(points, axis=1).all():
                raise ValueError(
                    f"metric='cosine' needs points with a direction, but {name} has a "
                    "row of zeros. Remove it or choose another metric."
                )
    return X, Y


def _dense_points(X, name):
    if not sparse.issparse(X) and np.ndim(X) == 1:
        X = np.asarray(X)[:, None]
    X = check_array(X, accept_sparse="csr", dtype=np.float64, input_name=name)
    return X.toarray() if sparse.issparse(X) else X


def make_cost(X, Y, metric, *, limit=200_000_000):
    """Return a cost in memory when it is small enough, else one made when visited."""
    from sparsestat.transport._costs import pairwise_cost

    if 8 * len(X) * len(Y) <= limit:
        return MatrixCost(pairwise_cost(X, Y, metric))
    return PointCost(X, Y, metric)
