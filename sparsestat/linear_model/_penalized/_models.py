"""Quadratic models of a penalized likelihood on a working set, and their minimum.

A model is ``-q'd + d'Hd / 2 + sum_j lam_j |w_j + d_j| + l2_j (w_j + d_j)^2 / 2``.
Dense columns keep H explicitly, so that any Hessian will do; sparse ones keep a
diagonal weighting and never form H. Coordinate descent finds the signs, Newton
steps projected on the signs finish. The penalty is an elastic net with a strength for
each coefficient; a concave one comes as its tangent.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.linalg import solve_definite
from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized import _kernels_cd as cd
from sparsestat.linear_model._penalized import _kernels_design as passes
from sparsestat.linear_model._penalized._design import make_design

__all__ = ["ColumnModel", "GramModel"]

_SWEEPS = 15  # coordinate descent between two looks at the violation
_SETTLE = 0.02  # signs have settled when at most this share changed in a sweep
_MAX_ROUNDS = 30
_MAX_CLIPS = 4  # a Newton step that clips more signs than this has failed ...
_MAX_FAILURES = 3  # ... and after so many failures Newton rests


class _Model:
    """What both models share: the alternation of sweeps and Newton steps."""

    def minimize(self, goal, max_sweeps):
        """Bring the largest violation to `goal`; return (sweeps, success)."""
        sweeps = failures = 0
        target = 0.3 * goal
        best, stalled = np.inf, 0
        for _ in range(_MAX_ROUNDS):
            rests = failures >= _MAX_FAILURES
            done, changes = self._sweep(
                min(_SWEEPS, max_sweeps - sweeps), target, -1.0 if rests else _SETTLE
            )
            sweeps += done
            q = self.slope()
            worst = self.penalty.violations(self.w, q).max(initial=0.0)
            if worst <= goal or sweeps >= max_sweeps:
                break
            stalled = stalled + 1 if worst > 0.99 * best else 0
            best = min(best, worst)
            if stalled >= 10:
                break  # rounding, or a singular model: the outer loop judges
            support = np.flatnonzero(self.w)
            settled = changes <= max(1, _SETTLE * len(support))
            if rests or not settled or len(support) == 0:
                continue
            clipped = self._newton(support, q, min(0.3, 0.9 * goal / worst))
            if clipped < 0:
                failures = _MAX_FAILURES
            elif clipped > max(_MAX_CLIPS, 0.1 * len(support)):
                failures += 1
        return sweeps, worst <= goal

    def _newton(self, support, q, rtol):
        """Newton step on the support; entries that would change sign become 0."""
        old = self.w[support]
        signs = np.sign(old)
        slope = q[support] - self.l2[support] * old - self.lam[support] * signs
        step = self._solve(support, slope, rtol)
        if step is None or not np.isfinite(step).all():
            return -1
        new = old + step
        flipped = np.sign(new) != signs
        n_flipped = int(np.count_nonzero(flipped))
        new[flipped] = 0.0
        step = new - old
        image = self._image(support, step)
        if n_flipped:
            bend = self._bend(support, step, image)
            ascent = float(slope @ step)
            if ascent <= 0.0 or bend <= 0.0:
                return -1
            length = min(1.0, ascent / bend)
            if length < 1.0:
                new = old + length * step
                image = length * image
        self.w[support] = new
        self._absorb(image)
        return n_flipped


class GramModel(_Model):
    """A model with an explicit Hessian.

    Parameters
    ----------
    H : ndarray of shape (m, m)
        Symmetric positive semidefinite.
    q : ndarray of shape (m,)
        Negative gradient of the smooth part at w.
    w : ndarray of shape (m,)
        Start, overwritten by the minimum.
    penalty : ElasticNetPenalty
    """

    def __init__(self, H, q, w, penalty):
        self.H = np.ascontiguousarray(H)
        self.q, self.w, self.penalty = q, w, penalty
        self.lam, self.l2 = penalty.lam, penalty.l2

    def slope(self):
        """Return the negative gradient of the smooth part at w."""
        return self.q

    def _sweep(self, max_sweeps, target, settle):
        done, _, changes = cd.gram_cd(
            self.H, self.q, self.w, self.lam, self.l2, self.penalty.code,
            self.penalty.params, max_sweeps, target, settle,
        )  # fmt: skip
        return done, changes

    def _solve(self, support, rhs, rtol):
        # A singular model gets a little curvature: the step still descends.
        for jitter in (0.0, 1e-7, 1e-4):
            K = np.empty((len(support), len(support)), order="F")
            cd.gather_square(self.H, support, np.ascontiguousarray(self.l2[support]), K)
            if jitter:
                K[np.diag_indices_from(K)] += jitter * K.diagonal().mean()
            step = solve_definite(K, rhs)
            if step is not None:
                return step
        return None

    def _image(self, support, step):
        full = np.zeros(len(self.w))
        full[support] = step
        return self.H @ full

    def _bend(self, support, step, image):
        return float(step @ image[support] + (self.l2[support] * step) @ step)

    def _absorb(self, image):
        self.q -= image


class ColumnModel(_Model):
    """A model with ``H = A' diag(h) A`` on CSC columns, centered implicitly.

    Parameters
    ----------
    columns : csc_array of shape (n_samples, m)
    h : ndarray of shape (n_samples,)
        Positive weights.
    response : ndarray of shape (n_samples,)
        Working response: what the linear predictor would be at the minimum of the
        loss without restrictions, ``eta - gradient / h``.
    w : ndarray of shape (m,)
        Start, overwritten by the minimum.
    penalty : ElasticNetPenalty
    fit_intercept : bool
    """

    def __init__(self, columns, h, response, w, penalty, *, fit_intercept):
        design = make_design(columns, h, fit_intercept=fit_intercept)
        self.design = design
        self.w, self.penalty = w, penalty
        self.lam, self.l2 = penalty.lam, penalty.l2
        target, self.mean = design.target(response)
        held = np.flatnonzero(w)
        self.u = np.ascontiguousarray(target - design.product(held, w[held]))
        self.beta = np.zeros(1)
        self._matrix = (design.data, design.indices, design.indptr, design.means)
        self._all = read_only(np.arange(len(w)))
        self._scratch = np.empty(design.n_samples)

    def slope(self):
        """Return the negative gradient of the smooth part at w."""
        residual = self.design.shifted(self.u, self.beta)
        return self.design.correlations(residual)

    def intercept(self):
        """Return the intercept that belongs to w."""
        held = np.flatnonzero(self.w)
        return float(self.design.intercept(self.mean, held, self.w[held]))

    def _sweep(self, max_sweeps, target, settle):
        done, _, changes = cd.csc_cd(
            *self._matrix, self.design.total, self.design.squares, self._all, self.u,
            self.beta, self.w, self.lam, self.l2, self.penalty.code,
            self.penalty.params, max_sweeps, target, settle,
        )  # fmt: skip
        return done, changes

    def _solve(self, support, rhs, rtol):
        x = np.zeros(len(support))
        passes.csc_normal_cg(
            *self._matrix, self.design.total, self.design.squares,
            read_only(support), read_only(np.ascontiguousarray(self.l2[support])),
            read_only(rhs), x, self._scratch, float(rtol), 200,
        )  # fmt: skip
        return x

    def _image(self, support, step):
        return self.design.product(support, step)

    def _bend(self, support, step, image):
        return float(image @ image + (self.l2[support] * step) @ step)

    def _absorb(self, image):
        self.u -= image
