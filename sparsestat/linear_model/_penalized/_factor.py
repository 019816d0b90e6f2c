"""A Cholesky factor that follows a support as it changes.

From one strength of a path to the next few features enter and fewer leave. What enters
is appended to the factor; what leaves stays in it, held at zero by multipliers, until
so much has left that a new factor costs less.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtrs

from sparsestat._utils.linalg import SINGULAR, solve_definite
from sparsestat.linear_model._penalized import _kernels_cd as cd

__all__ = ["SupportFactor"]

_LEAST = 64  # unknowns from which a factor is worth keeping
_LEFT, _LEFT_SHARE = 8, 40  # so many may have left, and one more for so many unknowns
_GROWN = 4  # appended unknowns, at most one in so many


class SupportFactor:
    """Solves ``(G[s, s] + diag(ridge)) x = rhs`` for one support s after another.

    Positions are those of rows of G. The owner says when they change.
    """

    def __init__(self):
        self._L = np.empty((0, 0), order="F")
        self.clear()

    def clear(self):
        """Forget the factor."""
        self._at = np.empty(0, dtype=np.intp)
        self._ridge = np.empty(0)

    def keep(self, positions):
        """Follow a matrix of which only the rows at `positions` are left, in order."""
        new = np.full(max(positions.max(initial=-1), self._at.max(initial=-1)) + 1, -1)
        new[positions] = np.arange(len(positions))
        at = new[self._at]
        if (at < 0).any():
            self.clear()
        else:
            self._at = at

    def solve(self, G, index, ridge, rhs):
        """Return the solution, or None where the matrix is singular to rounding.

        Parameters
        ----------
        G : ndarray of shape (m, m)
        index : ndarray of int, of shape (s,)
            The support, increasing.
        ridge, rhs : ndarray of shape (s,)
        """
        s = len(index)
        if s == 0:
            return np.empty(0)
        if s < _LEAST:
            H = np.empty((s, s), order="F")
            cd.gather_square(G, index, np.ascontiguousarray(ridge), H)
            return solve_definite(H, rhs)
        place = np.full(len(G), -1)
        place[self._at] = np.arange(len(self._at))
        if not self._follow(G, index, ridge, place) and not self._renew(
            G, index, ridge
        ):
            self.clear()
            return None
        place[self._at] = np.arange(len(self._at))
        return self._solve(place[index], rhs)

    def _follow(self, G, index, ridge, place):
        """Append what the support has beyond the factor; return whether that did."""
        t, s = len(self._at), len(index)
        known = place[index] >= 0
        missing = index[~known]
        k = len(missing)
        left = t + k - s
        if left > _LEFT + s // _LEFT_SHARE or k > s // _GROWN:
            return False
        if not np.array_equal(self._ridge[place[index[known]]], ridge[known]):
            return False
        if k == 0:
            return True
        self._reserve(t + k)
        L = self._L
        rows = np.asfortranarray(G[np.ix_(self._at, missing)])
        rows, _ = dtrtrs(L[:, :t], rows, lower=1, overwrite_b=1)
        corner = np.empty((k, k), order="F")
        cd.gather_square(G, missing, ridge[~known], corner)
        diagonal = corner.diagonal().copy()
        factor, info = dpotrf(corner - rows.T @ rows, lower=1)
        if info != 0 or (factor.diagonal() ** 2 < SINGULAR * diagonal).any():
            return False
        L[t : t + k, :t] = rows.T
        L[t : t + k, t : t + k] = factor
        self._at = np.concatenate([self._at, missing])
        self._ridge = np.concatenate([self._ridge, ridge[~known]])
        return True

    def _renew(self, G, index, ridge):
        """Factor the matrix of a support from scratch; return whether it is regular."""
        s = len(index)
        ridge = np.ascontiguousarray(ridge)
        H = np.empty((s, s), order="F")
        cd.gather_square(G, index, ridge, H)
        diagonal = H.diagonal().copy()
        factor, info = dpotrf(H, lower=1, overwrite_a=1, clean=0)
        if info != 0 or (factor.diagonal() ** 2 < SINGULAR * diagonal).any():
            return False
        self._at, self._ridge = index.copy(), ridge.copy()
        self._L = factor  # has room only once something is appended
        return True

    def _reserve(self, size):
        t, capacity = len(self._at), len(self._L)
        if size > capacity:
            larger = np.empty((size + size // 2, size + size // 2), order="F")
            larger[:t, :t] = self._L[:t, :t]
            self._L = larger

    def _solve(self, at, rhs):
        t = len(self._at)
        L = self._L[:, :t]
        full = np.zeros((len(self._L), 1), order="F")
        full[at, 0] = rhs
        half, _ = dtrtrs(L, full, lower=1, overwrite_b=1)
        held = np.ones(t, dtype=bool)
        held[at] = False
        left = np.flatnonzero(held)
        if len(left):
            # Multipliers that hold at zero what has left the support.
            unit = np.zeros((len(self._L), len(left)), order="F")
            unit[left, np.arange(len(left))] = 1.0
            unit, _ = dtrtrs(L, unit, lower=1, overwrite_b=1)
            unit = unit[:t]
            multipliers = solve_definite(
                np.asfortranarray(unit.T @ unit), unit.T @ half[:t, 0]
            )
            if multipliers is None:
                return None
            half[:t, 0] -= unit @ multipliers
        x, _ = dtrtrs(L, half, lower=1, trans=1, overwrite_b=1)
        return x[at, 0]
