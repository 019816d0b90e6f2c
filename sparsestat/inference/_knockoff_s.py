r"""How far knockoffs stand from their features: the vector s, with a bound.

On the correlation matrix R, knockoffs need :math:`s \ge 0` with
:math:`A = 2 R - \mathrm{diag}(s) \succeq 0`, and each problem below prefers one s:

- equi: all s the same, :math:`\min(1, 2 \lambda_{\min}(R))`;
- sdp: the largest :math:`\sum_j s_j` with :math:`s \le 1`, by a barrier method with a
  dual bound;
- mvr: the least :math:`\mathrm{tr} A^{-1} + \sum_j 1 / s_j`, by coordinate steps and
  Newton's method, with a bound from convexity.

Inverses are formed on purpose: the Newton systems are built from their entries.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigvalsh
from scipy.linalg.blas import dger
from scipy.linalg.lapack import dpotrf, dpotri

from sparsestat._utils.linalg import solve_positive
from sparsestat.exceptions import NumericalError

__all__ = ["METHODS", "SVector", "s_vector"]

METHODS = ("mvr", "sdp", "equi")
_SWEPT = 400  # columns above which updates of rank one cost more than Newton steps
_STEPS, _ROUNDS = 300, 3


@dataclass(frozen=True)
class SVector:
    """A feasible s for a correlation matrix, and how good it is.

    Parameters
    ----------
    s : ndarray of shape (n_features,)
    objective : float
        The sum for equi and sdp, the reconstructability for mvr.
    gap : float
        Bound of the distance to the best objective, relative to it.
    n_iter : int
    """

    s: np.ndarray
    objective: float
    gap: float
    n_iter: int


def s_vector(R, method, tol=1e-6):
    """Return s for a positive definite correlation matrix.

    Parameters
    ----------
    R : ndarray of shape (n_features, n_features)
        With a unit diagonal.
    method : {"mvr", "sdp", "equi"}
    tol : float, default=1e-6
        Relative gap to stop at.

    Raises
    ------
    NumericalError
        If R is not positive definite to working precision.
    """
    least = float(eigvalsh(R, subset_by_index=[0, 0])[0])
    if not least > 0.0:
        raise NumericalError(
            f"The correlation matrix is not positive definite: its least eigenvalue is "
            f"{least:.1e}. Remove features that depend on others, or use a covariance "
            "that shrinks, such as 'ledoit_wolf'."
        )
    equal = np.full(len(R), min(1.0, 2.0 * least))
    if method == "equi":
        return SVector(equal, float(equal.sum()), 0.0, 1)
    solve = {"mvr": _least_reconstructable, "sdp": _largest_sum}[method]
    return solve(R, 0.5 * equal, tol)


def _inverse(A):
    """Return the inverse of a symmetric matrix, None if it is not positive definite."""
    factor, failed = dpotrf(A, lower=1, clean=0)
    if failed:
        return None
    inverse, failed = dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        return None
    inverse = np.tril(inverse)
    return inverse + np.tril(inverse, -1).T


def _newton(hessian, right):
    """Solve a system in units that make its diagonal one; None if it is singular."""
    units = 1.0 / np.sqrt(np.diag(hessian))
    step = solve_positive(hessian * units * units[:, None], units * right)
    return None if step is None else units * step


def _gap_matrix(R, s):
    A = 2.0 * R
    A.flat[:: len(R) + 1] -= s
    return A


def _largest_sum(R, s, tol):
    """Maximize the sum of s by a barrier method, with the best dual bound."""
    mu, bound, gap = 0.5, np.inf, np.inf
    inverse = _inverse(_gap_matrix(R, s))
    for n_iter in range(1, _STEPS + 1):  # noqa: B007
        gradient = 1.0 / mu - np.diag(inverse) + 1.0 / s - 1.0 / (1.0 - s)
        squares = inverse * inverse
        hessian = squares.copy()
        hessian.flat[:: len(R) + 1] += 1.0 / s**2 + 1.0 / (1.0 - s) ** 2
        move = _newton(hessian, gradient)
        if move is None:  # precision does not go further
            break
        decrement = float(np.sqrt(max(gradient @ move, 0.0)))
        diagonal, product = np.diag(inverse), float(np.vdot(inverse, R))
        bound = min(bound, _sum_bound(mu * diagonal, mu * product))
        if decrement < 1.0:
            # Then ``A^-1 + A^-1 diag(move) A^-1`` is positive semidefinite too, and
            # nearly the optimum's; its product with R takes ``2 R = A + diag(s)``.
            product += 0.5 * float((diagonal + squares @ s) @ move)
            diagonal = diagonal + squares @ move
            bound = min(bound, _sum_bound(mu * diagonal, mu * product))
        value = float(s.sum())
        gap = (bound - value) / value
        if gap <= tol:
            break
        with np.errstate(divide="ignore"):
            room = np.where(move < 0, -s / move, (1.0 - s) / move)
        length = min(1.0, 0.95 * float(room[move != 0].min(initial=np.inf)))
        following = None
        while length > 1e-12:
            following = _inverse(_gap_matrix(R, s + length * move))
            if following is not None:
                break
            length *= 0.6
        if following is None:
            break
        s, inverse = s + length * move, following
        if decrement < 1.0:
            mu *= 0.15
    return SVector(s, float(s.sum()), max(gap, 0.0), n_iter)


def _sum_bound(diagonal, product):
    """Return the least bound of the sum of s that multiples of some Z >= 0 prove.

    The sum is at most ``2 tr(Z R) + sum max(0, 1 - Z_jj)``: given are the diagonal of Z
    and its product with R, ``tr(Z R)``.
    """
    slope = 2.0 * product
    # Convex and piecewise linear in the multiple c, with kinks at 1 / Z_jj.
    kinks = np.sort(1.0 / diagonal)
    order = np.argsort(1.0 / diagonal)
    open_after = len(kinks) - np.arange(1, len(kinks) + 1)
    left = diagonal.sum() - np.cumsum(diagonal[order])
    values = slope * kinks + open_after - kinks * left
    return min(float(values.min()), float(len(kinks)))


def _least_reconstructable(R, s, tol):
    """Minimize ``tr A^-1 + sum 1 / s`` by Newton's method, after sweeps if they pay.

    They do for small matrices, and where Newton's steps have come to nothing.
    """
    n_iter = 0
    for round_ in range(_ROUNDS):
        inverse = _inverse(_gap_matrix(R, s))
        if round_ > 0 or len(R) <= _SWEPT:
            s, inverse = _sweeps(R, s, inverse, 2)
        found = _descended(R, s, inverse, tol)
        s, n_iter = found.s, n_iter + found.n_iter
        if found.gap <= tol:
            break
    return replace(found, n_iter=n_iter)


def _descended(R, s, inverse, tol):
    """Minimize ``tr A^-1 + sum 1 / s`` by Newton's method from s."""
    bound_of = 1.0 / np.diag(_inverse(2.0 * R))
    value = float(np.trace(inverse) + (1.0 / s).sum())
    for n_iter in range(1, _STEPS + 1):  # noqa: B007
        square = inverse @ inverse.T  # half the work of a product of any two
        gradient = np.diag(square) - 1.0 / s**2
        # Some optimum lies in the box from 1 / f to u: convexity does the rest.
        least = np.minimum(gradient / value, gradient * bound_of)
        gap = float((gradient * s - least).sum()) / value
        if gap <= tol:
            break
        hessian = 2.0 * inverse * square
        hessian.flat[:: len(R) + 1] += 2.0 / s**3
        move = _newton(hessian, -gradient)
        if move is None:
            break
        descent = float(gradient @ move)
        if -descent <= 1e-14 * value:
            break
        shrinking = move < 0
        length = min(
            1.0, 0.95 * float((-s[shrinking] / move[shrinking]).min(initial=np.inf))
        )
        found = None
        while length > 1e-12:
            trial = s + length * move
            following = _inverse(_gap_matrix(R, trial))
            if following is not None:
                after = float(np.trace(following) + (1.0 / trial).sum())
                if after <= value + 1e-4 * length * descent:
                    found = trial, following, after
                    break
            length *= 0.6
        if found is None or found[2] >= value * (1.0 - 1e-15):
            break
        s, inverse, value = found
    return SVector(s, value, max(gap, 0.0), n_iter)


def _sweeps(R, s, inverse, count):
    """Return s and the inverse after exact minimizations over single entries."""
    s, inverse = s.copy(), inverse.copy()
    for _ in range(count):
        for j in range(len(s)):
            column = inverse[j].copy()
            c, r = column[j], float(np.sqrt(column @ column))
            new = (1.0 + c * s[j]) / (c + r)
            # 1 - (new - s_j) c = r new: always positive, so that A stays definite.
            change = (new - s[j]) / (r * new)
            inverse = dger(change, column, column, a=inverse.T, overwrite_a=1).T
            s[j] = new
    fresh = _inverse(_gap_matrix(R, s))
    return s, inverse if fresh is None else fresh
