"""Working sets whose units are groups of features.

Block coordinate descent moves a group at a time. Where the active groups have
settled the objective is smooth in their coefficients, and a Newton step with the
curvature of the group norms ends the problem quadratically.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.linalg import blas, eigvalsh, lapack

from sparsestat._utils.linalg import (
    conjugate_gradients,
    solve_definite,
)
from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized import _kernels_design as passes
from sparsestat.linear_model._penalized import _kernels_group as kernels
from sparsestat.linear_model._penalized._working_sets import (
    CSCWorkingSet,
    GramWorkingSet,
)

__all__ = ["make_group_working_set"]

_WIDE = 2000  # a group with more sparse columns is measured by power iteration
_ROUNDING = 1.0 + 1e-12  # an eigenvalue is a bound only up to rounding


def make_group_working_set(design, target, groups):
    """Return the working set of groups that suits the design's storage."""
    if design.prefers_gram:
        return _GramGroups(design, target, groups)
    return _CSCGroups(design, target, groups)


class _GroupMoves:
    """What does not depend on the storage; mixed in before a working set."""

    is_curved = True
    has_dual_step = False
    newton_waits = True
    patience = np.inf

    def __init__(self, design, target, groups):
        super().__init__(design, target)
        self.groups = groups
        self._units = np.empty(0, dtype=np.intp)
        self.inside = np.zeros(len(groups), dtype=bool)
        self._curvatures = np.full(len(groups), np.nan)

    @property
    def units(self):
        return self._units

    @property
    def active(self):
        labels = np.repeat(np.arange(len(self._units)), self.groups.sizes[self._units])
        return np.unique(labels[self.support])

    def hold(self, columns):
        """Add the groups of the columns that are not held yet."""
        units = np.unique(self.groups.labels[columns])
        missing = units[~self.inside[units]]
        if missing.size:
            self.add(missing)

    def add(self, units):
        """Take more groups into the set."""
        self._units = np.concatenate([self._units, units])
        super().add(self.groups.columns_of(units))

    def keep(self, positions):
        """Drop every group but those at `positions`."""
        sizes = self.groups.sizes[self._units]
        wanted = np.zeros(len(sizes), dtype=bool)
        wanted[positions] = True
        self._units = self._units[wanted]
        super().keep(np.flatnonzero(np.repeat(wanted, sizes)))

    def use(self, penalty, residual, correlations):
        """Adopt a penalty and the residual and correlations at the present w."""
        self.penalty = penalty.restricted(self._units)
        self.ptr = self.penalty.groups.ptr
        self.unit_of = self.penalty.groups.labels
        unknown = np.flatnonzero(np.isnan(self._curvatures[self._units]))
        for k in unknown:
            largest = self._largest_eigenvalue(self.ptr[k], self.ptr[k + 1])
            self._curvatures[self._units[k]] = largest * _ROUNDING
        self.curvature = self._curvatures[self._units]
        self._adopt(residual, correlations)

    def _free_slack(self, products):
        free = self.penalty.free_units
        if free.size == 0:
            return 0.0
        square = self.penalty.groups.sums(products * products)[free]
        gain = float((square / np.maximum(self.curvature[free], 1e-300)).sum())
        return gain + self._hidden(products, self.penalty.free)

    def _value_on(self, support):
        full = self.w.copy()

        def value(values):
            full[support] = values
            return self.penalty.value(full)

        return value

    def newton(self, rtol=1e-3):
        """Take a Newton step on the active groups, halved until it descends.

        With an absolute penalty inside the groups, only non-zero coefficients move,
        and those that would change sign are set to zero. Returns the number of
        these, or -1 if no step was possible.
        """
        l1 = self.penalty.l1
        if l1 > 0.0:
            support = self.support
        else:
            norms = self.penalty.groups.sums(self.w * self.w)
            support = np.flatnonzero(norms[self.unit_of] > 0.0)
        old = self.w[support]
        norms = np.sqrt(self.penalty.groups.sums(self.w * self.w))
        unit = self.unit_of[support]
        slope = self._support_q(support) - l1 * np.sign(old)
        slope -= (self.penalty.lam / np.where(norms > 0, norms, 1.0))[unit] * old
        step = self._solve_curved(support, unit, norms, slope, rtol)
        if step is None or not np.isfinite(step).all() or not step.any():
            return -1
        new = old + step
        n_flipped = 0
        if l1 > 0.0:
            flipped = np.sign(new) != np.sign(old)
            n_flipped = int(np.count_nonzero(flipped))
            new[flipped] = 0.0
            step = new - old
        image = self._image(support, step)
        length = self._falling_length(support, old, step, image)
        if length == 0.0:
            return -1
        self._move(support, old + length * step, length, image)
        return n_flipped if length == 1.0 else max(n_flipped, 1)


class _GramGroups(_GroupMoves, GramWorkingSet):
    def _largest_eigenvalue(self, start, stop):
        block = self.G[start:stop, start:stop]
        return max(float(eigvalsh(block)[-1]), 0.0)

    def sweep(self, max_sweeps, target, settle):
        """Run block descent; see ``_kernels_group.gram_group_cd``."""
        if len(self) > self.design.n_samples:
            r = self.residual()
            found = kernels.dense_group_cd(
                self.A,
                self.G,
                r,
                self.w,
                self.ptr,
                read_only(self.penalty.lam),
                self.penalty.l1,
                read_only(self.curvature),
                max_sweeps,
                target,
                settle,
            )
            self.q = self.A.T @ r
            return found
        return kernels.gram_group_cd(
            self.G,
            self.q,
            self.w,
            self.ptr,
            read_only(self.penalty.lam),
            self.penalty.l1,
            read_only(self.curvature),
            max_sweeps,
            target,
            settle,
        )

    def _solve_curved(self, support, unit, norms, rhs, rtol):
        n, s = self.design.n_samples, len(support)
        groups, unit = np.unique(unit, return_inverse=True)
        if 3.0 * n * n * (s + len(groups)) < s**3 and np.all(
            self.penalty.lam[groups] > 0
        ):
            return self._solve_wide(support, groups, unit, norms, rhs)
        unit = groups[unit]
        H = np.empty((len(support), len(support)), order="F")
        kernels.group_hessian(
            self.G,
            read_only(support),
            read_only(unit),
            self.w,
            read_only(self.penalty.lam),
            read_only(norms),
            H,
        )
        return solve_definite(H, rhs)

    def _solve_wide(self, support, groups, unit, norms, rhs):
        """Solve the Newton system through a matrix of order n_samples.

        The curvature of a norm is ``lam / ||w||`` across the direction u of its group
        and zero along it. A step splits into lengths `a` along the directions and
        a rest v across; eliminating v by the Woodbury identity leaves a system in a.
        """
        norm = norms[groups]
        u = self.w[support] / norm[unit]
        root = np.sqrt(norm / self.penalty.lam[groups])[unit]

        def across(x):
            along = np.bincount(unit, u * x, minlength=len(groups))
            return x - u * along[unit]

        A = np.asfortranarray(self.A[:, support])
        starts = np.flatnonzero(np.diff(unit, prepend=-1))
        C = np.add.reduceat(A * u, starts, axis=1)
        E = np.asfortranarray((A - C[:, unit] * u) * root)
        K = blas.dsyrk(1.0, E, lower=1)
        K[np.diag_indices_from(K)] += 1.0
        factor, info = lapack.dpotrf(K, lower=1, overwrite_a=1, clean=0)
        if info != 0:
            return None
        s_across = root * across(rhs)
        e = E @ s_across
        solved = lapack.dpotrs(factor, np.column_stack([C, e]), lower=1)[0]
        bordered = np.asfortranarray(C.T @ solved[:, :-1])
        s_along = np.bincount(unit, u * rhs, minlength=len(groups))
        a = solve_definite(bordered, s_along - C.T @ solved[:, -1])
        if a is None:
            return None
        t = solved[:, :-1] @ a + solved[:, -1]
        v = s_across - E.T @ t
        return u * a[unit] + root * v


class _CSCGroups(_GroupMoves, CSCWorkingSet):
    def _adopt(self, residual, correlations):
        self.u = np.ascontiguousarray(residual).copy()
        self.beta = np.zeros(1)

    def _largest_eigenvalue(self, start, stop):
        columns = self.columns[start:stop]
        if len(columns) <= _WIDE:
            design = self.design
            X = design.matrix[:, columns]
            means = design.means[columns]
            gram = (X.T @ X).toarray() - design.total * np.outer(means, means)
            return max(float(eigvalsh(gram)[-1]), 0.0)
        v = np.full(len(columns), len(columns) ** -0.5)
        estimate, before = 0.0, -1.0
        for _ in range(100):
            if estimate - before <= 1e-3 * estimate:
                break
            v = self.design.correlations(self.design.product(columns, v))[columns]
            before, estimate = estimate, float(np.linalg.norm(v))
            v /= max(estimate, 1e-300)
        return min(1.05 * estimate, float(self.design.squares[columns].sum()))

    def sweep(self, max_sweeps, target, settle):
        """Run block descent; see ``_kernels_group.csc_group_cd``."""
        return kernels.csc_group_cd(
            *self._matrix,
            self.design.total,
            read_only(self.columns),
            self.u,
            self.beta,
            self.w,
            self.ptr,
            read_only(self.penalty.lam),
            self.penalty.l1,
            read_only(self.curvature),
            max_sweeps,
            target,
            settle,
        )

    def _solve_curved(self, support, unit, norms, rhs, rtol):
        """Preconditioned conjugate gradients on the Newton system."""
        columns = read_only(self.columns[support])
        used = norms[unit]
        slope = self.penalty.lam[unit] / used
        direction_of_group = self.w[support] / used
        n_units = len(norms)
        products = np.empty(len(support))

        def hessian(v):
            image = self.design.product(columns, v)
            passes.csc_products(
                *self._matrix, self.design.total, columns, read_only(image), 0.0,
                products,
            )  # fmt: skip
            along = np.bincount(unit, direction_of_group * v, minlength=n_units)
            return products + slope * (v - direction_of_group * along[unit])

        inverse = 1.0 / np.maximum(self.design.squares[columns] + slope, 1e-300)
        return conjugate_gradients(hessian, rhs, inverse, rtol)
