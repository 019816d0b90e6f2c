"""Positive definite systems of Newton steps: a factor, or conjugate gradients."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.linalg import lapack

__all__ = ["conjugate_gradients", "solve_definite"]

_SINGULAR = 1e-12  # squared pivot relative to its diagonal entry
_MAX_CG = 200


def solve_definite(H, right):
    """Solve with an F-ordered matrix, which is overwritten; None if it is singular."""
    diagonal = H.diagonal().copy()
    factor, info = lapack.dpotrf(H, lower=1, overwrite_a=1, clean=0)
    # A pivot at rounding level passes or fails by luck: call it singular.
    if info != 0 or (factor.diagonal() ** 2 < _SINGULAR * diagonal).any():
        return None
    return lapack.dpotrs(factor, right, lower=1)[0]


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
