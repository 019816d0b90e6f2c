"""Linear algebra of several rooms: definite systems, power iterations."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import linalg

__all__ = [
    "SINGULAR",
    "conjugate_gradients",
    "largest_eigenvalue",
    "shrunk_trace",
    "solve_definite",
    "solve_positive",
    "solve_semidefinite",
]

SINGULAR = 1e-12  # squared pivot relative to its diagonal entry
_MAX_CG = 200


def solve_positive(H, right, *, overwrite=False):
    """Solve with a symmetric positive definite matrix; None where it is not.

    Parameters
    ----------
    H : ndarray of shape (n, n)
        The matrix, of which one triangle is read; n may be 0.
    right : ndarray of shape (n,) or (n, k)
        Right-hand sides.
    overwrite : bool, default=False
        Whether H may be destroyed.

    Returns
    -------
    x : ndarray or None
        The solution, if it is finite.
    """
    if not len(H):
        return np.zeros(right.shape)
    try:
        factor = linalg.cho_factor(
            H, lower=True, overwrite_a=overwrite, check_finite=False
        )
    except linalg.LinAlgError:
        return None
    x = linalg.cho_solve(factor, right, check_finite=False)
    return x if np.isfinite(x).all() else None


def solve_semidefinite(H, right):
    """Solve with a positive semi-definite matrix, by least squares if singular."""
    x = solve_positive(H, right)
    return linalg.lstsq(H, right)[0] if x is None else x


def solve_definite(H, right):
    """Solve with an F-ordered matrix, which is overwritten; None if it is singular."""
    diagonal = H.diagonal().copy()
    factor, info = linalg.lapack.dpotrf(H, lower=1, overwrite_a=1, clean=0)
    # A pivot at rounding level passes or fails by luck: call it singular.
    if info != 0 or (factor.diagonal() ** 2 < SINGULAR * diagonal).any():
        return None
    return linalg.lapack.dpotrs(factor, right, lower=1)[0]


def shrunk_trace(gram, ridge):
    """Return the trace of ``(gram + diag(ridge))^-1 gram``, the size of a ridge fit.

    Directions that neither has but for rounding count nothing.

    Parameters
    ----------
    gram : ndarray of shape (n, n)
    ridge : ndarray of shape (n,)
    """
    shifted = gram + np.diag(ridge)
    size = np.sqrt(np.maximum(shifted.diagonal(), np.finfo(np.float64).tiny))
    scale = np.outer(size, size)
    shifted, right = np.asfortranarray(shifted / scale), gram / scale
    x = solve_definite(shifted.copy(order="F"), right)
    if x is None:
        x = linalg.lstsq(shifted, right, cond=SINGULAR)[0]
    return float(np.trace(x))


def conjugate_gradients(product, right, inverse, rtol):
    """Solve given products with the matrix and an inverse of its diagonal.

    `right` is a vector or a block of them; ends where the matrix shows no curvature.
    """
    x, r = np.zeros_like(right), right.copy()
    z = inverse * r
    move, rz = z, float(np.vdot(r, z))
    goal = rtol * rtol * rz
    for _ in range(_MAX_CG):
        if rz <= goal:
            break
        image = product(move)
        curvature = float(np.vdot(move, image))
        if curvature <= 0.0:
            break
        length = rz / curvature
        x += length * move
        r -= length * image
        z = inverse * r
        rz, before = float(np.vdot(r, z)), rz
        move = z + (rz / before) * move
    return x


def largest_eigenvalue(product, v, *, n_iter, rtol=0.0):
    """Estimate from below the largest absolute eigenvalue of a Hermitian matrix.

    Parameters
    ----------
    product : callable
        Multiplies the matrix with an array like `v`.
    v : ndarray
        Where the power iteration starts.
    n_iter : int
        Most products.
    rtol : float, default=0.0
        Relative change of the estimate at which it stops.

    Returns
    -------
    value : float
        The estimate; 0 if a product vanishes.
    """
    value = 0.0
    for _ in range(n_iter):
        size = np.linalg.norm(v)
        if size == 0:
            return 0.0
        v = product(v / size)
        before, value = value, float(np.linalg.norm(v))
        if abs(value - before) <= rtol * value:
            break
    return value
