"""Working sets: coordinate descent, Newton and augmented-Lagrangian steps on them.

A working set holds a few columns of a Design and the coefficients on them. The
dense one caches the columns and their Gram matrix, so that a coordinate step
costs its size; the sparse one steps on the residual, so that it costs the
entries of the column. Both offer the same moves to the solver.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.linalg import (
    conjugate_gradients,
    solve_definite,
)
from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized import _kernels_cd as cd
from sparsestat.linear_model._penalized import _kernels_design as passes
from sparsestat.linear_model._penalized._factor import SupportFactor
from sparsestat.linear_model._penalized._gaps import squared_parts

__all__ = ["CSCWorkingSet", "GramWorkingSet", "make_working_set"]

_LARGEST_SYSTEM = 1500  # rows times targets of a dense Newton system


def make_working_set(design, target):
    """Return the working set that suits the design's storage."""
    if design.prefers_gram:
        return GramWorkingSet(design, target)
    return CSCWorkingSet(design, target)


class _WorkingSet:
    """Moves that need only products with the columns and normal-equation solves.

    Attributes
    ----------
    columns : ndarray of int
        The features held, in the order of `w`.
    w : ndarray of float
        Their coefficients.
    units : ndarray of int
        What enters and leaves as a whole: the features, or groups of them.
    inside : ndarray of bool
        Which units are held.
    active : ndarray of int
        Positions of the units with a non-zero coefficient.
    is_curved : bool
        Whether the penalty makes the Newton system regular on any support.
    has_dual_step : bool
        Whether ``augmented_lagrangian`` can be used.
    newton_waits : bool
        Whether a Newton step costs so much that sweeps come first while they pay.
    """

    def __init__(self, design, target):
        self.design = design
        self.target = target
        self.target_square = float(np.vdot(target, target))
        self.columns = np.empty(0, dtype=np.intp)
        self.w = np.empty((0, *target.shape[1:]))
        self.inside = np.zeros(design.n_features, dtype=bool)

    def __len__(self):
        return len(self.columns)

    @property
    def support(self):
        """Positions of the non-zero coefficients (rows of them)."""
        return np.flatnonzero(self.w if self.w.ndim == 1 else self.w.any(axis=1))

    @property
    def units(self):
        return self.columns

    @property
    def active(self):
        return self.support

    def hold(self, columns):
        """Add those of the columns that are not held yet."""
        missing = columns[~self.inside[columns]]
        if missing.size:
            self.add(missing)

    def use(self, penalty, residual, correlations):
        """Adopt a penalty and the residual and correlations at the present w."""
        self.penalty = penalty = penalty.restricted(self.columns)
        self.lam, self.l2 = penalty.lam, penalty.kernel_l2
        single = self.w.ndim == 1
        # The norm of a row of coefficients is curved across its direction.
        self.is_curved = penalty.has_l2 or not single
        self.has_dual_step = penalty.is_convex and single
        self.newton_waits = not self.has_dual_step
        self._adopt(residual, correlations)

    def prepare(self):
        """Bring the columns in the order that suits the moves."""

    def _enter(self, columns):
        zeros = np.zeros((len(columns), *self.w.shape[1:]))
        self.columns = np.concatenate([self.columns, columns])
        self.w = np.concatenate([self.w, zeros])
        self._mark()

    def _leave(self, positions):
        self.columns, self.w = self.columns[positions], self.w[positions]
        self._mark()

    def _mark(self):
        self.inside[:] = False
        self.inside[self.units] = True

    def _free_slack(self, products):
        """Bound what free columns could still gain, and what they hide in the dual.

        Only a residual orthogonal to them is a dual point: another one has products
        with their fit, of either sign, which would let a gap look small or negative.
        """
        free = self.penalty.free
        if free.size == 0 or not self.penalty.is_convex:
            return 0.0
        squares = self.design.squares[self.columns[free]]
        gain = products[free] ** 2
        if gain.ndim == 2:
            gain = gain.sum(axis=1)
        return float(gain @ (1.0 / squares)) + self._hidden(products, free)

    def _hidden(self, products, free):
        return float(np.abs(products[free] * self.w[free]).sum())

    def newton(self, rtol=1e-3):
        """Take a Newton step on the support, projected on the present signs.

        Entries that would change sign are set to zero, then the step length is
        exact (convex penalties) or halved until the objective falls. Returns the
        number of such entries, or -1 if no step was possible. Several targets have
        no sign pattern: their rows that are not zero move, with the curvature of
        their norms. An iterative solver stops at the relative accuracy `rtol`.
        """
        if self.w.ndim == 2:
            return self._newton_on_rows(rtol)
        support = self.support
        old = self.w[support]
        first, second = self.penalty.restricted(support).derivatives(old)
        slope = self._support_q(support) - first
        step = self.solve_normal(support, second, slope, rtol)
        if step is None and not self.penalty.is_convex:
            # A concave penalty lies below its tangent: without its curvature the
            # model is an upper bound, and its minimum a step down.
            step = self.solve_normal(support, np.zeros(len(old)), slope, rtol)
        if step is None or not np.isfinite(step).all():
            return -1
        new = old + step
        flipped = np.sign(new) != np.sign(old)
        n_flipped = int(np.count_nonzero(flipped))
        new[flipped] = 0.0
        step = new - old
        image = self._image(support, step)
        length = 1.0
        if not self.penalty.is_convex:
            if not step.any():
                return -1
            length = self._falling_length(support, old, step, image)
            if length == 0.0:
                return -1
        elif n_flipped:
            curvature = self._curvature(support, step, image)
            ascent = float(slope @ step)
            if ascent <= 0.0 or curvature <= 0.0:
                return -1
            length = min(ascent / curvature, 1.0)
        if length < 1.0:
            new = old + length * step
        self._move(support, new, length, image)
        return n_flipped if length == 1.0 else max(n_flipped, 1)

    def _newton_on_rows(self, rtol):
        support = self.support
        old = self.w[support]
        norms = np.sqrt((old * old).sum(axis=1))
        pull = self.lam[support] / norms
        l2 = self.l2[support]
        slope = self._support_q(support) - (pull + l2)[:, None] * old
        step = self._solve_rows(
            support, pull, l2, old / norms[:, None], slope, max(rtol, 1e-8)
        )
        if step is None or not np.isfinite(step).all() or not step.any():
            return -1
        new = old + step
        # A row that would turn around has met zero, where its norm has a kink.
        turned = (new * old).sum(axis=1) <= 0.0
        n_turned = int(np.count_nonzero(turned))
        new[turned] = 0.0
        step = new - old
        image = self._image(support, step)
        length = self._falling_length(support, old, step, image)
        if length == 0.0:
            return -1
        self._move(
            support, new if length == 1.0 else old + length * step, length, image
        )
        return n_turned if length == 1.0 else max(n_turned, 1)

    def _solve_rows(self, support, pull, l2, direction, rhs, rtol):
        """Conjugate gradients on the Newton system of rows of coefficients.

        Its matrix is ``A'A + l2`` for each target, and ``pull (I - u u')`` for each
        row, u its direction.
        """

        def hessian(V):
            along = (direction * V).sum(axis=1)
            out = self._gram_product(support, V)
            return out + (pull + l2)[:, None] * V - (pull * along)[:, None] * direction

        bend = self.design.squares[self.columns[support]] + pull + l2
        return conjugate_gradients(hessian, rhs, (1.0 / bend)[:, None], rtol)

    def _curvature(self, support, step, image):
        ridge = float((self.l2[support] * step) @ step)
        return self._squared_image(support, step, image) + ridge

    def _value_on(self, support):
        """Return the penalty as a function of the coefficients at `support`."""
        return self.penalty.restricted(support).value

    def _falling_length(self, support, old, step, image):
        """Largest of 1, 1/2, ... at which the objective has fallen, or 0."""
        products = float(np.vdot(self._support_q(support), step))
        square = self._squared_image(support, step, image)
        value = self._value_on(support)
        before = value(old)
        for halvings in range(6):
            length = 0.5**halvings
            after = value(old + length * step)
            loss = length * (0.5 * length * square - products)
            if after - before + loss <= 1e-14 * abs(before):
                return length
        return 0.0


class GramWorkingSet(_WorkingSet):
    """Columns, gathered densely, with their Gram matrix, both grown in place."""

    patience = 15  # sweeps before the augmented Lagrangian pays

    def __init__(self, design, target):
        super().__init__(design, target)
        capacity = min(256, design.n_features)
        self._A = np.empty((design.n_samples, capacity), order="F")
        self._G = np.empty((capacity, capacity))
        self._b = np.empty((capacity, *target.shape[1:]))
        self._factor = SupportFactor()
        self._view()

    def _view(self):
        """Look at the columns held: centered and weighted, their Gram matrix, A'y."""
        m = len(self.columns)
        self.A, self.G, self.b = self._A[:, :m], self._G[:m, :m], self._b[:m]

    def add(self, columns):
        """Gather more columns and extend the Gram matrix."""
        m, k = len(self), len(columns)
        self._reserve(m + k)
        self.design.gather(columns, self._A, m)
        new = self._A[:, m : m + k]
        block = self._A[:, : m + k].T @ new
        self._G[: m + k, m : m + k] = block
        self._G[m : m + k, : m + k] = block.T
        self._b[m : m + k] = new.T @ self.target
        self._enter(columns)
        self._view()

    def keep(self, positions):
        """Drop every column but those at `positions`."""
        k = len(positions)
        self._A[:, :k] = self._A[:, positions]
        self._G[:k, :k] = self._G[np.ix_(positions, positions)]
        self._b[:k] = self._b[positions]
        self._factor.keep(positions)
        self._leave(positions)
        self._view()

    def _reserve(self, size):
        m, capacity = len(self), self._A.shape[1]
        if size <= capacity:
            return
        capacity = max(2 * capacity, size)
        A = np.empty((self.design.n_samples, capacity), order="F")
        G = np.empty((capacity, capacity))
        b = np.empty((capacity, *self._b.shape[1:]))
        A[:, :m], G[:m, :m], b[:m] = self.A, self.G, self.b
        self._A, self._G, self._b = A, G, b

    def _adopt(self, residual, correlations):
        self.q = correlations[self.columns]

    def set(self, w):
        """Replace the coefficients."""
        self.w = w.copy()
        self.q = self.b - self.G @ self.w

    def sweep(self, max_sweeps, target, settle):
        """Run coordinate descent; see ``_kernels_cd.gram_cd``."""
        penalty = self.penalty
        if self.w.ndim == 2:
            arguments = self.G, self.q, self.w, self.lam, self.l2, max_sweeps, target
            return (*cd.gram_block_cd(*arguments), 0)
        return cd.gram_cd(
            self.G,
            self.q,
            self.w,
            self.lam,
            self.l2,
            penalty.code,
            penalty.params,
            max_sweeps,
            target,
            settle,
        )

    def _moments(self):
        # ||r||^2 and y'r without touching vectors of n_samples entries.
        target_dot = self.target_square - float(np.vdot(self.w, self.b))
        square = target_dot - float(np.vdot(self.w, self.q))
        return max(square, 0.0), target_dot

    def gap(self):
        """Duality gap of the problem restricted to the working set."""
        parts = squared_parts(self.penalty, self.w, self.q, *self._moments())
        return parts.gap + (self._free_slack(self.q) if self.penalty.free.size else 0.0)

    def objective(self):
        """Objective at w."""
        square, _ = self._moments()
        return 0.5 * square + self.penalty.value(self.w)

    def residual(self):
        """Return y - A w, computed afresh."""
        return self.target - self.A @ self.w

    def _support_q(self, support):
        return self.q[support]

    def solve_normal(self, index, ridge, rhs, rtol=None):
        return self._factor.solve(self.G, index, ridge, rhs)

    def _solve_rows(self, support, pull, l2, direction, rhs, rtol):
        s, n_targets = rhs.shape
        if s * n_targets > _LARGEST_SYSTEM:
            return super()._solve_rows(support, pull, l2, direction, rhs, rtol)
        H = np.zeros((n_targets, s, n_targets, s))
        gram = self.G[np.ix_(support, support)]
        at = np.arange(s)
        for t in range(n_targets):
            H[t, :, t, :] = gram
            H[t, at, t, at] += pull + l2
        # The norm of a row does not bend along the row.
        along = direction[:, :, None] * direction[:, None, :]
        H[:, at, :, at] -= pull[:, None, None] * along
        H = H.reshape(s * n_targets, s * n_targets)
        step = solve_definite(H.T, rhs.T.ravel())
        return None if step is None else step.reshape(n_targets, s).T

    def _gram_product(self, support, V):
        return self._image(support, V)[support]

    def _image(self, support, step):
        full = np.zeros_like(self.w)
        full[support] = step
        return self.G @ full

    def _squared_image(self, support, step, image):
        return float(np.vdot(step, image[support]))

    def _move(self, support, new, length, image):
        self.w[support] = new
        self.q -= length * image

    def product(self, z):
        """Return the columns times z."""
        return self.A @ z

    def products(self, v):
        """Return the products of the columns with a vector over the samples."""
        return self.A.T @ v


class CSCWorkingSet(_WorkingSet):
    """Columns of a sparse design with the residual ``u + beta s``."""

    patience = 1000  # a sweep costs no more than one step of conjugate gradients

    def __init__(self, design, target):
        super().__init__(design, target)
        self._scratch = np.empty(design.n_samples)
        self._wide = np.empty(design.n_features)
        self._matrix = (design.data, design.indices, design.indptr, design.means)

    def add(self, columns):
        """Take more columns into the set."""
        self._enter(columns)

    def keep(self, positions):
        """Drop every column but those at `positions`."""
        self._leave(positions)

    def prepare(self):
        # Sorted columns are read in memory order.
        order = np.argsort(self.columns)
        self.columns, self.w = self.columns[order], self.w[order]

    def use(self, penalty, residual, correlations):
        """Adopt a penalty and the residual and correlations at the present w."""
        self.prepare()
        super().use(penalty, residual, correlations)

    def _adopt(self, residual, correlations):
        self.u = np.ascontiguousarray(residual).copy()
        self.beta = np.zeros(1 if residual.ndim == 1 else residual.shape[1])

    def set(self, w):
        """Replace the coefficients."""
        self.w = w.copy()
        self.u = np.ascontiguousarray(self.residual())
        self.beta = np.zeros_like(self.beta)

    def sweep(self, max_sweeps, target, settle):
        """Run coordinate descent; see ``_kernels_cd.csc_cd``."""
        penalty = self.penalty
        state = (
            *self._matrix,
            self.design.total,
            self.design.squares,
            read_only(self.columns),
            self.u,
            self.beta,
            self.w,
            self.lam,
            self.l2,
        )
        if self.w.ndim == 2:
            return (*cd.csc_block_cd(*state, max_sweeps, target), 0)
        return cd.csc_cd(
            *state, penalty.code, penalty.params, max_sweeps, target, settle
        )

    def _present(self):
        return self.design.shifted(self.u, self.beta)

    def gap(self):
        """Duality gap of the problem restricted to the working set."""
        r = self._present()
        square, target_dot = float(np.vdot(r, r)), float(np.vdot(self.target, r))
        products = self.products(r)
        parts = squared_parts(self.penalty, self.w, products, square, target_dot)
        return parts.gap + self._free_slack(products)

    def objective(self):
        """Objective at w."""
        r = self._present()
        return 0.5 * float(np.vdot(r, r)) + self.penalty.value(self.w)

    def residual(self):
        """Return y - A w, computed afresh."""
        return self.target - self.product(self.w)

    def _gram_product(self, support, V):
        return self._at_columns(support, self._image(support, V))

    def _at_columns(self, support, vectors):
        columns = self.columns[support]
        return self.design.correlations(vectors, columns)[columns]

    def _support_q(self, support):
        if self.w.ndim == 2:
            return self._at_columns(support, self._present())
        out = np.empty(len(support))
        passes.csc_products(
            *self._matrix,
            self.design.total,
            read_only(self.columns[support]),
            read_only(self.u),
            float(self.beta[0]),
            out,
        )
        return out

    def solve_normal(self, index, ridge, rhs, rtol=1e-3):
        x = np.zeros(len(index))
        if len(index) == 0:
            return x
        passes.csc_normal_cg(
            *self._matrix,
            self.design.total,
            self.design.squares,
            read_only(self.columns[index]),
            read_only(np.ascontiguousarray(ridge)),
            read_only(rhs),
            x,
            self._scratch,
            float(rtol),
            200,
        )
        return x

    def _image(self, support, step):
        return self.design.product(self.columns[support], step)

    def _squared_image(self, support, step, image):
        return float(np.vdot(image, image))

    def _move(self, support, new, length, image):
        self.w[support] = new
        self.u -= length * image

    def product(self, z):
        """Return the columns times z."""
        return self.design.product(self.columns, z)

    def products(self, v):
        """Return the products of the columns with vectors over the samples."""
        if v.ndim == 2:
            return np.column_stack([self.products(column) for column in v.T])
        return self.design.correlations(v, self.columns, self._wide)[self.columns]
