r"""Costs without what moves no plan: :math:`C_{ij} - u_i - v_j` for C.

Numbers added to rows or columns leave the plan as it is, but they take the digits that
the exponents need. Row and column minima are taken off first; where rounding of the
potentials still limits the marginals, the potentials themselves are.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.arithmetic import EPS
from sparsestat.transport._costs import MatrixCost, PointCost

__all__ = ["less_minima", "less_symmetric", "less_symmetric_minima", "taken_off"]

_BLOCK = 256
_SHARE = 0.01  # of the tolerance, that rounding may take before a copy is made


def less_minima(cost, eps, tol):
    """Return the cost without row and column minima, and these.

    The cost itself comes back where its offsets are too small to matter.
    """
    n, m = cost.shape
    if isinstance(cost, PointCost):
        return _less_distance(cost, eps, tol)
    if not isinstance(cost, MatrixCost):
        return cost, np.zeros(n), np.zeros(m)
    C = cost.C
    u, v = C.min(axis=1).astype(np.float64), C.min(axis=0).astype(np.float64)
    if not _matters(u, v, eps, tol):
        return cost, np.zeros(n), np.zeros(m)
    out = _difference(C, u, np.zeros(m))
    v = out.min(axis=0)
    out -= v
    return MatrixCost(out), u, v


def _matters(u, v, eps, tol):
    largest = np.abs(u).max() + np.abs(v).max()
    return not 8.0 * EPS * largest / eps <= _SHARE * tol


def _less_distance(cost, eps, tol):
    """Move one set of points onto the other: squared distances change by u and v."""
    n, m = cost.shape
    if cost.metric != "sqeuclidean":
        return cost, np.zeros(n), np.zeros(m)
    left, right = cost.X.mean(axis=0), cost.Y.mean(axis=0)
    X, Y, d = cost.X - left, cost.Y - right, left - right
    u, v = 2.0 * (X @ d) + d @ d, -2.0 * (Y @ d)
    if not _matters(u, v, eps, tol):
        return cost, np.zeros(n), np.zeros(m)
    return PointCost(X, Y, cost.metric), u, v


def taken_off(cost, u, v):
    """Return a matrix of costs less u and v, in double precision."""
    return MatrixCost(_difference(cost.C, u, v))


def _difference(C, u, v):
    out = np.empty(C.shape)
    for start in range(0, len(C), _BLOCK):
        part = slice(start, start + _BLOCK)
        np.subtract(C[part], u[part, None], out=out[part], dtype=np.float64)
        out[part] -= v
    return out


def less_symmetric_minima(C):
    """Return symmetric costs less u_i + u_j, which stay above zero, and u."""
    n = len(C)
    u = np.zeros(n)
    diagonal = 0.5 * np.diag(C)
    low = C.min(axis=1)
    for i in np.argsort(-low, kind="stable"):
        others = C[i] - u
        others[i] = np.inf
        u[i] = min(diagonal[i], others.min())
    return less_symmetric(C, u), u


def less_symmetric(C, u):
    """Return C_ij - u_i - u_j, symmetric to the bit."""
    out = C - u[:, None]
    out -= u
    # The two differences round differently in the two triangles.
    upper = np.triu(out)
    return upper + np.triu(out, 1).T
