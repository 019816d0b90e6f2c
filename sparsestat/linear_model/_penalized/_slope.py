r"""Working-set solver for the sorted absolute penalty (SLOPE).

Minimizes :math:`\frac12\|y - A w\|^2 + \sum_i \lambda_i |w|_{(i)}` with
non-increasing strengths. The problem restricted to a working set is one of the
same kind with the leading strengths [2]_. It is solved by accelerated proximal
gradients [1]_ until the pattern (which coefficients share an absolute value, with
which signs) settles; on a pattern the problem is a small least squares problem,
which is solved exactly, pools that would cross being merged on the way.

References
----------
.. [1] M. Bogdan, E. van den Berg, C. Sabatti, W. Su, E. Candes, "SLOPE: adaptive
   variable selection via convex optimization", Annals of Applied Statistics 9, 2015.
.. [2] J. Larsson, M. Bogdan, J. Wallin, "The strong screening rule for SLOPE",
   NeurIPS, 2020.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.linalg import solve_definite
from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized import _kernels_slope as kernels
from sparsestat.linear_model._penalized._gaps import squared_parts
from sparsestat.linear_model._penalized._penalties import Penalty
from sparsestat.linear_model._penalized._solver import SquaredLossLoop

__all__ = ["SlopePenalty", "SlopeSolver"]

_FIRST_SET = 100  # columns added at least, when so many can enter
_BLOCK = 10  # proximal steps between two looks at the pattern
_MAX_IMAGE = 5e7  # entries of the matrix of pooled columns of a sparse design
_TINY = 1e-15


class SlopePenalty(Penalty):
    """Sorted absolute penalty with the strengths ``total * alpha * lambdas``."""

    has_l2 = False
    free = np.empty(0, dtype=np.intp)

    def __init__(self, lambdas, alpha, total):
        self.lam = total * alpha * lambdas
        self.sums = np.cumsum(self.lam)

    def value(self, w):
        """Penalty of coefficients w, zeros elsewhere."""
        sizes = np.sort(np.abs(w))[::-1]
        return float(sizes @ self.lam[: len(w)])

    def gauge(self, q):
        """Dual norm: the smallest multiple of the strengths that keeps w = 0."""
        sizes = np.cumsum(np.sort(np.abs(q))[::-1])
        return float(np.max(sizes / self.sums[: len(sizes)], initial=0.0))

    ratio = gauge

    def prox(self, z, curvature):
        """Minimize curvature ||w||^2 / 2 - z'w + penalty(w)."""
        order = np.argsort(-np.abs(z), kind="stable")
        sizes = np.abs(z)[order]
        pooled = np.empty(len(z))
        kernels.sorted_prox(read_only(sizes), read_only(self.lam[: len(z)]), pooled)
        out = np.empty(len(z))
        out[order] = pooled / curvature
        return np.sign(z) * out


class SlopeSolver(SquaredLossLoop):
    """Solve a sequence of SLOPE problems on one design and one target.

    An epoch is a step of the proximal gradient method.
    """

    def __init__(self, design, target, coef=None):
        super().__init__(design, target, coef)
        self.has_gram = design.prefers_gram
        self.products = None if self.has_gram else design.correlations(target)

    def _correlate(self, penalty, alive=None):
        self.q = self.design.correlations(self.residual)

    def _choose(self, penalty):
        """Add the features that the sorted gradient allows to be non-zero."""
        working = self.set
        n_nonzero = len(working.support)
        sizes = np.abs(self.q)
        order = np.argsort(-sizes, kind="stable")
        count = kernels.predicted_support(
            read_only(sizes[order]), read_only(penalty.lam)
        )
        if len(working) > 2 * n_nonzero + 2 * _FIRST_SET:
            wanted = np.zeros(len(sizes), dtype=bool)
            wanted[order[: 2 * count]] = True
            needed = wanted[working.columns]
            needed[working.support] = True
            working.keep(np.flatnonzero(needed))
        room = max(_FIRST_SET, n_nonzero)
        wanted = order[:count]
        wanted = wanted[~working.inside[wanted]]
        wanted = wanted[self.design.squares[wanted] > 0.0][:room]
        if wanted.size:
            working.add(np.sort(wanted))
        return None, len(wanted) == 0

    def _bound_curvature(self):
        """Bound the largest eigenvalue of the working set's Gram matrix."""
        working = self.set
        v = np.ones(len(working)) / np.sqrt(len(working))
        estimate, before = 0.0, -1.0
        for _ in range(100):
            if estimate - before <= 1e-3 * estimate:
                break
            v = self._gram_times(v)
            before, estimate = estimate, float(np.linalg.norm(v))
            v /= max(estimate, 1e-300)
        # The start may be orthogonal to all that the columns span.
        return max(1.02 * estimate, float(self.design.squares[working.columns].max()))

    def _gram_times(self, v):
        working = self.set
        if self.has_gram:
            return working.G @ v
        return working.products(working.product(v))

    def _descend(self, penalty, chosen, goal, max_epochs, counter):
        self._solve_set(penalty, goal * self.square, max_epochs, counter)
        self.residual = self.set.residual()

    def _solve_set(self, penalty, goal, max_epochs, counter):
        """Solve the problem restricted to the working set to a gap of `goal`."""
        working = self.set
        if len(working) == 0:
            return
        working.prepare()
        b = working.b if self.has_gram else self.products[working.columns]
        L = self._bound_curvature()
        w = working.w
        image = self._gram_times(w)
        value = self._value(penalty, w, image, b)
        point, point_image, momentum = w, image, 1.0
        pattern, best, stalled = None, np.inf, 0
        slack = _TINY * self.square  # a rise of the objective that is rounding
        while counter["sweeps"] < max_epochs:
            for _ in range(min(_BLOCK, max_epochs - counter["sweeps"])):
                counter["sweeps"] += 1
                new = penalty.prox(b - point_image + L * point, L)
                new_image = self._gram_times(new)
                move = new - point
                curved = float(move @ (new_image - point_image))
                if curved > L * float(move @ move) * (1.0 + 1e-12):
                    L *= 1.5  # the power method had stopped too early
                    continue
                new_value = self._value(penalty, new, new_image, b)
                if new_value > value + slack:
                    if point is w:
                        break  # a plain step that ascends is rounding
                    point, point_image, momentum = w, image, 1.0
                    continue
                following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2))
                beta = (momentum - 1.0) / following
                point = new + beta * (new - w)
                point_image = new_image + beta * (new_image - image)
                w, image, value, momentum = new, new_image, new_value, following
            before, pattern = pattern, _pattern(w)
            if before is not None and np.array_equal(before, pattern):
                moved = self._newton(penalty, w, b)
                counter["newton"] += 1
                if moved is not None:
                    moved_image = self._gram_times(moved)
                    moved_value = self._value(penalty, moved, moved_image, b)
                    if moved_value <= value + slack:
                        w, image, value = moved, moved_image, moved_value
                        point, point_image, momentum = w, image, 1.0
                        pattern = _pattern(w)
            working.w = w
            gap = self._gap(penalty, w, image, b)
            if gap <= goal:
                return
            stalled = stalled + 1 if gap > 0.999 * best else 0
            best = min(best, gap)
            if stalled >= 50:
                return  # rounding: the outer loop judges

    def _value(self, penalty, w, image, b):
        """Objective without the constant ||y||^2 / 2."""
        return 0.5 * float(w @ image) - float(w @ b) + penalty.value(w)

    def _gap(self, penalty, w, image, b):
        target_dot = self.square - float(w @ b)
        square = max(target_dot - float(w @ (b - image)), 0.0)
        return squared_parts(penalty, w, b - image, square, target_dot).gap

    def _newton(self, penalty, w, b):
        """Minimize exactly on the pattern of w, merging pools that meet.

        Returns the coefficients, or None if the pattern leaves them undetermined.
        """
        support = np.flatnonzero(w)
        if support.size == 0:
            return None
        order = support[np.argsort(-np.abs(w[support]), kind="stable")]
        sizes, signs = np.abs(w[order]), np.sign(w[order])
        starts = np.flatnonzero(np.diff(sizes, prepend=np.inf))
        values = sizes[starts]
        H = self._pooled_gram(order, signs, starts)
        if H is None:
            return None
        rhs = np.add.reduceat(signs * b[order] - penalty.lam[: len(order)], starts)
        alive = np.arange(len(starts))  # pool that each original pool is now in
        while True:
            n_pools = alive[-1] + 1
            firsts = np.flatnonzero(np.diff(alive, prepend=-1))
            pooled = H
            if n_pools < len(alive):
                pooled = np.add.reduceat(np.add.reduceat(H, firsts, 0), firsts, 1)
            solution = solve_definite(
                np.array(pooled, order="F"), np.add.reduceat(rhs, firsts)
            )
            if solution is None:
                return None
            gaps = -np.diff(values, append=0.0)
            steps = -np.diff(solution, append=0.0) - gaps
            crossing = np.flatnonzero(gaps + steps <= 0.0)
            if crossing.size == 0:
                values = solution
                break
            lengths = gaps[crossing] / -steps[crossing]
            first = int(np.argmin(lengths))
            values = values + lengths[first] * (solution - values)
            at = crossing[first]
            if at == n_pools - 1:
                values[at] = 0.0  # the last pool meets zero: leave it to the prox
                break
            values = np.delete(values, at + 1)
            alive = np.where(alive > at, alive - 1, alive)
        pool_of = np.zeros(len(order), dtype=np.intp)
        pool_of[starts[1:]] = 1
        out = np.zeros(len(w))
        out[order] = signs * values[alive[np.cumsum(pool_of)]]
        return out

    def _pooled_gram(self, order, signs, starts):
        working = self.set
        if self.has_gram:
            signed = working.G[np.ix_(order, order)] * np.outer(signs, signs)
            return np.add.reduceat(np.add.reduceat(signed, starts, 0), starts, 1)
        if len(starts) * self.design.n_samples > _MAX_IMAGE:
            return None
        stops = np.append(starts[1:], len(order))
        image = np.column_stack(
            [
                self.design.product(working.columns[order[a:z]], signs[a:z])
                for a, z in zip(starts, stops, strict=True)
            ]
        )
        return image.T @ image


def _pattern(w):
    """Ranks of the absolute values, with signs."""
    _, ranks = np.unique(np.abs(w), return_inverse=True)
    return np.where(w == 0, 0, np.sign(w) * (1 + ranks)).astype(np.intp)
