r"""Proximal Newton for multinomial and grouped likelihoods.

Minimises :math:`f(X W + 1 b') + g(W)` for the softmax likelihood (or any other, as a
single column) and a penalty on single coefficients, rows or groups of rows. The
second-order model keeps the coupling of the classes, so that the steps are those of
Newton's method: coordinate (block) descent on the model settles which coefficients
are zero, then conjugate gradients solve for the others. No Hessian is ever formed.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from functools import partial

import numpy as np
from scipy import sparse

from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized import _kernels_glm as kernels
from sparsestat.linear_model._penalized._gaps import likelihood_dual
from sparsestat.linear_model._penalized._newton import (
    SETTLED,
    line_search,
    settle_block,
)
from sparsestat.linear_model._penalized._result import Patience, SolverResult, is_met
from sparsestat.linear_model._penalized._rounding import likelihood_rounding

__all__ = ["OneColumn", "SoftmaxSolver"]

_FIRST_SET = 500  # coefficients in the first working set
_GROWTH = 1.0  # enlarge the set at most by this share of the support
_INNER_SHARE = 0.1  # solve the set to this share of the outer measure
_MAX_NEWTON = 20  # models in one working set
_SWEEPS = 5  # descent sweeps on one model
_SETTLED = 0.05  # share of changed zeros below which conjugate gradients pay
_MAX_CG = 200
_ROUNDING = 1e-14


class OneColumn:
    """A datafit of one predictor, which is a matrix of one column here."""

    def __init__(self, datafit):
        self.datafit = datafit
        self.weights, self.total = datafit.weights, datafit.total
        self.n_samples, self.n_classes = datafit.n_samples, 1
        self.saturated = datafit.saturated
        self.has_intercept = datafit.has_intercept
        self.is_separable = datafit.is_separable

    def value(self, eta):
        """Return the weighted sum of the losses."""
        return self.datafit.value(eta[:, 0])

    def gradient(self, eta):
        """Return the derivative in eta, shape (n_samples, 1)."""
        return self.datafit.gradient(eta[:, 0])[:, None]

    def conjugate(self, v):
        """Return the convex conjugate at v."""
        return self.datafit.conjugate(v[:, 0])

    def model(self, eta):
        """Return coupling and weights of the second-order model at eta."""
        h = self.datafit.model_curvature(eta[:, 0])[:, None]
        return np.zeros_like(h), h

    def hessian_product(self, eta, E):
        """Return the Hessian of a loss that is not a sum over samples, times E."""
        return self.datafit.hessian_product(eta[:, 0], E[:, 0])[:, None]

    def steepest(self, eta):
        """Return the largest curvature of a sample."""
        return self.datafit.steepest(eta[:, 0])

    def magnitude(self, eta):
        """Return the sum of the absolute terms of the loss."""
        return self.datafit.magnitude(eta[:, 0])

    def null_intercept(self):
        """Return the best constant predictor."""
        return np.array([self.datafit.null_intercept()])

    def settle_intercept(self, eta):
        """Return the shift of eta at which the gradient sums to zero."""
        return np.array([self.datafit.settle_intercept(eta[:, 0])])

    def settle_block(self, block, eta, *, with_shift):
        """Return the step of free coefficients and intercepts to their minimum."""
        step, shift = settle_block(
            self.datafit, block, eta[:, 0], with_shift=with_shift
        )
        return step[:, None], np.array([shift])


class SoftmaxSolver:
    """Solve a sequence of penalised likelihoods on one design and one datafit.

    Parameters
    ----------
    design : Design
        Without sample weights: the datafit has them.
    datafit : Softmax or OneColumn
    coef : ndarray of shape (n_features, n_classes), default=None
        Where to start.
    """

    def __init__(self, design, datafit, coef=None):
        self.design, self.datafit = design, datafit
        self.fits_shift = design.fit_intercept and datafit.has_intercept
        n_classes = datafit.n_classes
        self.W = np.zeros((design.n_features, n_classes))
        self.shift = (
            datafit.null_intercept() if self.fits_shift else np.zeros(n_classes)
        )
        eta = np.tile(self.shift, (design.n_samples, 1))
        self.null_value = datafit.value(eta)
        self.gap_scale = self.null_value - datafit.saturated
        self.eta, self.gradient = eta, datafit.gradient(eta)
        self.usable = design.squares > 0.0
        self._matrix = None
        if design.is_sparse:
            self._matrix = sparse.csc_array(
                (design.data, design.indices, design.indptr), shape=design.X.shape
            )
        self._correlate()
        self._null_q = self.q.copy()
        self._previous_lam = None
        self._multiple = 0.0  # of the gradient that is the dual point
        self._free = self._held = np.empty(0, dtype=np.intp)
        if coef is not None and np.any(coef):
            self.W = np.where(self.usable[:, None], coef, 0.0)
            rows = np.flatnonzero(self.W.any(axis=1))
            self.eta = self.shift + design.product(rows, self.W[rows])
            self._settle()
            self._correlate()

    def solve(
        self, penalty, *, kind, tol=1e-4, max_iter=100, max_epochs=10_000, step=None
    ):
        """Solve for one penalty; the parameters are those of ``GLMSolver.solve``."""
        self._adopt(penalty, kind)
        counter = {"sweeps": 0.0, "newton": 0}
        history = []
        patience = Patience(4)
        for n_iter in range(1, max_iter + 1):
            value, dual, measure = self._measure(penalty, kind, self.W, self.q)
            history.append(measure)
            error = self._rounding(penalty, kind)
            if (step is not None and step(measure)) or is_met(measure, error, tol):
                break
            if n_iter == max_iter or counter["sweeps"] >= max_epochs:
                break
            if patience.ends(value, _ROUNDING * abs(value)):
                break
            chosen, complete = self._choose(penalty)
            goal = 0.5 * tol if complete else max(_INNER_SHARE * measure, 0.5 * tol)
            self._descend(penalty, chosen, kind, goal, max_epochs, counter)
            self._refresh()
            self._correlate()
        self._previous_lam = penalty.lam
        support = np.flatnonzero(self.W.any(axis=1))
        return SolverResult(
            columns=support,
            coef=self.W[support],
            shift=self.shift.copy(),
            gap=measure,
            objective=value,
            dual=dual,
            n_iter=n_iter,
            n_sweeps=int(np.ceil(counter["sweeps"])),
            n_newton=counter["newton"],
            gap_history=history,
            converged=measure <= tol,
            kind=kind,
            rounding=error,
            unit=(self.kkt_scale if kind == "kkt" else self.gap_scale) or 1.0,
            bend=self.datafit.steepest(self.eta),
        )

    def settle_free(self, penalty):
        """Minimise over the features that nothing penalises, and the intercepts."""
        self._adopt(penalty, "duality_gap")

    def _adopt(self, penalty, kind):
        """Take out what a penalty forbids, and settle what it leaves free."""
        # The largest magnitude of a unit at zero coefficients.
        magnitude = penalty.magnitude(self._null_q)
        if penalty.kept is not None:
            magnitude = magnitude[penalty.kept]
        self.kkt_scale = float(np.max(magnitude, initial=0.0))
        forbidden = np.zeros(self.W.shape, dtype=bool)
        if penalty.kept is not None:
            forbidden[penalty.columns_of(~penalty.kept)] = True
        if penalty.positive:
            forbidden |= self.W < 0.0
        moved = bool(self.W[forbidden].any())
        if moved:
            self.W[forbidden] = 0.0
        free = penalty.free[self.usable[penalty.free]]
        self._held = np.empty(0, dtype=np.intp) if penalty.is_nothing else free
        self._free = self._held
        if kind != "duality_gap" or self._free.size == 0:
            self._free = self._free[:0]
        else:
            self._block = self.design.block(free)
        if moved or self._free.size:
            self._refresh()
            self._correlate()

    def _rounding(self, penalty, kind):
        """Bound the rounding error of the relative gap or violation."""
        unit = self.kkt_scale if kind == "kkt" else self.gap_scale
        if unit == 0.0:
            return 0.0
        rows = np.flatnonzero(self.W.any(axis=1))
        error = likelihood_rounding(
            self.design,
            self.datafit,
            penalty,
            rows,
            self.W[rows],
            self.shift,
            self.eta,
            self.gradient,
            kind,
            self._multiple,
        )
        return error / unit

    def _refresh(self):
        """Compute the predictors afresh: steps have gathered rounding errors."""
        rows = np.flatnonzero(self.W.any(axis=1))
        self.eta = self.shift + self.design.product(rows, self.W[rows])
        self._settle()

    def _settle(self):
        """Minimise over the intercepts; the gradients then sum to zero."""
        if self.fits_shift:
            change = self.datafit.settle_intercept(self.eta)
            self.shift = self.shift + change
            self.eta = self.eta + change
        if self._free.size:
            step, shift = self.datafit.settle_block(
                self._block, self.eta, with_shift=self.fits_shift
            )
            self.W[self._free] += step
            self.shift = self.shift + shift
            self.eta = self.eta + self._block @ step + shift
        self.gradient = self.datafit.gradient(self.eta)

    def _correlate(self):
        """Bring the negative gradient of the loss up to date."""
        if self._matrix is None:
            self.q = self.design.correlations(-self.gradient)
        else:
            self.q = self._matrix.T @ -self.gradient
            # The gradient sums to zero where there are intercepts; the means are
            # zero where there are none.
            self.q += np.outer(self.design.means, self.gradient.sum(axis=0))

    def _measure(self, penalty, kind, W, q):
        """Return objective, dual value and the relative gap or violation."""
        value = self.datafit.value(self.eta) + penalty.value(W)
        if kind == "kkt":
            worst = float(penalty.violations(W, q).max(initial=0.0))
            return value, np.nan, worst / self.kkt_scale if self.kkt_scale else 0.0
        dual, self._multiple = likelihood_dual(self.datafit, penalty, self.gradient, q)
        if self._free.size:
            slope = np.abs(self._block.T @ self.gradient).max()
            if slope > SETTLED * self.kkt_scale:
                dual = -np.inf
        gap = max(value - dual, 0.0)
        return value, dual, gap / self.gap_scale if self.gap_scale > 0 else gap

    def _choose(self, penalty):
        """Return the working set, and whether it holds every violator.

        A set is a pair of index arrays (features and classes), or of groups.
        """
        excess = penalty.excess(self.q)
        if penalty.is_grouped:
            held = penalty.norms(self.W) > 0.0
            held[np.unique(penalty.groups.labels[self._held])] = True
            room_first = max(_FIRST_SET // (self.W.size // len(held)), 20)
        else:
            held = self.W != 0.0
            held[self._held] = True
            excess[~self.usable] = -np.inf
            room_first = _FIRST_SET
        excess[held] = -np.inf
        wanted = excess > 0.0
        n_wanted = int(np.count_nonzero(wanted))
        room = max(room_first, int(_GROWTH * np.count_nonzero(held)))
        complete = n_wanted <= room
        if self._previous_lam is not None:
            # Sequential strong rule: these will probably enter on the way down.
            with np.errstate(invalid="ignore"):
                below = np.minimum(penalty.lam - self._previous_lam, 0.0)
            wanted = excess > (below if excess.ndim == 1 else below[:, None])
            n_wanted = int(np.count_nonzero(wanted))
            self._previous_lam = None
        if n_wanted > room:
            least = np.partition(excess, excess.size - room, axis=None)[-room]
            wanted &= excess >= least
        return held | wanted, complete

    def _descend(self, penalty, chosen, kind, goal, max_epochs, counter):
        """Proximal Newton on the working set until its measure is below goal."""
        if penalty.is_grouped:
            part = _GroupPart(penalty, chosen, self.usable)
            columns = part.columns
        else:
            columns = np.flatnonzero(chosen.any(axis=1))
            part = _PairPart(penalty, chosen[columns], columns)
        block = _Block(self, columns)
        W = np.vstack([self.W[columns], np.zeros((block.extra, self.W.shape[1]))])
        q = block.products(-self.gradient)
        measure = np.inf
        for _ in range(_MAX_NEWTON):
            model = _Model(block, self.datafit, self.eta, q)
            counter["newton"] += 1
            worst = part.penalty.violations(*part.view(W, q)).max(initial=0.0)
            limit = max(int(max_epochs - counter["sweeps"]), 1)
            new, sweeps, share = part.descend(model, W, 0.1 * float(worst), limit)
            counter["sweeps"] += sweeps
            if share <= _SETTLED:
                rtol = float(np.clip(measure, 1e-6, 0.1))
                new = _better(part, model, W, new, part.finish(model, W, new, rtol))
            moved = self._step(part, block, model, W, new)
            if not moved:
                return
            W = np.vstack([self.W[columns], np.zeros((block.extra, W.shape[1]))])
            q = block.products(-self.gradient)
            measure = self._measure(part.penalty, kind, *part.view(W, q))[2]
            if measure <= goal or counter["sweeps"] >= max_epochs:
                return

    def _step(self, part, block, model, W, new):
        """Line search from W to new; store the result on the block."""
        d = new - W
        image = block.image(d)
        change = -float(np.vdot(model.q, d)) + part.model_change(W, new)
        present = self.datafit.value(self.eta) + part.value(W)

        def objective(t):
            return self.datafit.value(self.eta + t * image) + part.value(W + t * d)

        length = line_search(objective, present, change)
        if length == 0.0:
            return False
        W = new if length == 1.0 else W + length * d
        self.W[block.columns] = W[: block.m]
        self.eta = self.eta + length * image
        if block.extra:
            self.shift = self.shift + length * block.shift(d)
        self._settle()
        return True


def _better(part, model, W, swept, newton):
    """Return the Newton point, or one between, if the model prefers it to `swept`.

    The norms bend beside zero, so that a full step may overshoot.
    """
    present = part.model_value(model, W, swept)
    for length in (1.0, 0.5, 0.2, 0.05):
        point = newton if length == 1.0 else swept + length * (newton - swept)
        if part.model_value(model, W, point) <= present:
            return point
    return swept


class _Block:
    """The columns of a working set, with one of ones for the intercepts.

    Dense columns are gathered and centred, sparse ones are taken as they are.
    """

    def __init__(self, solver, columns):
        design = solver.design
        n = design.n_samples
        self.extra = int(solver.fits_shift)
        m = len(columns)
        self.columns = columns
        self.is_sparse = solver._matrix is not None
        if self.is_sparse:
            A = solver._matrix[:, columns]
            if self.extra:
                A = sparse.hstack([A, np.ones((n, 1))], format="csc")
            self.A = sparse.csc_array(A)
            self.centre = design.means[columns]
        else:
            self.centre = np.zeros(m)
            self.A = np.empty((n, m + self.extra), order="F")
            design.gather(columns, self.A, 0)
            if self.extra:
                # By the weighted means, so that a weight equals repetition.
                weights = solver.datafit.weights
                self.centre = -(weights @ self.A[:, :m]) / weights.sum()
                self.A[:, :m] += self.centre
                self.A[:, m] = 1.0
        self.m = m

    def shift(self, d):
        """Return the change of the intercepts of the design's centred columns."""
        return d[-1] + self.centre @ d[: self.m]

    def products(self, R):
        """Return the products of the columns with the columns of R."""
        return np.asarray(self.A.T @ R)

    def image(self, V):
        """Return the columns times V."""
        return np.asarray(self.A @ V)


class _Model:
    """The second-order model of the likelihood at eta, on a block."""

    def __init__(self, block, datafit, eta, q):
        self.block, self.q = block, q
        P, Q = datafit.model(eta)
        self.P, self.Q = np.asfortranarray(P), np.asfortranarray(Q)
        self.exact = None
        if not datafit.is_separable:  # beside the diagonal there is more
            self.exact = partial(datafit.hessian_product, eta)

    def curvatures(self):
        """Return the diagonal of the Hessian, one number a column and class."""
        H = self.Q * (1.0 - self.P)
        A = self.block.A
        if self.block.is_sparse:
            squares = A.copy()
            squares.data = squares.data**2
            return np.asarray(squares.T @ H)
        return (A * A).T @ H

    def bound(self):
        """Return a bound of the largest eigenvalue of each sample's Hessian."""
        if self.P.shape[1] == 1:
            return self.Q[:, 0]
        return 2.0 * (self.Q * (1.0 - self.P)).max(axis=1)

    def hessian_product(self, V):
        """Return the Hessian times V, both of shape (m, n_classes)."""
        E = self.block.image(V)
        if self.exact is not None:
            return self.block.products(self.exact(E))
        E -= (self.P * E).sum(axis=1, keepdims=True)
        E *= self.Q
        return self.without_flat(self.block.products(E))

    def without_flat(self, V):
        """Take out the direction in which the likelihood is flat, in place.

        A constant added to the intercepts of all classes changes nothing.
        """
        if self.block.extra and V.shape[1] > 1:
            V[-1] -= V[-1].mean()
        return V

    def start(self, W, new):
        """Return the step of the predictors and its mean over classes."""
        if W is new:
            return np.zeros_like(self.P), np.zeros(len(self.P))
        D = np.asfortranarray(self.block.image(new - W))
        return D, (self.P * D).sum(axis=1)


def conjugate_gradients(product, rhs, diagonal, rtol):
    """Solve for several blocks at once with a diagonal preconditioner."""
    x = np.zeros_like(rhs)
    r = rhs.copy()
    z = r / diagonal
    p = z.copy()
    rz = float(np.vdot(r, z))
    goal = rtol * rtol * rz
    for _ in range(_MAX_CG):
        if rz <= goal or rz == 0.0:
            break
        Hp = product(p)
        bend = float(np.vdot(p, Hp))
        if bend <= 0.0:
            break
        length = rz / bend
        x += length * p
        r -= length * Hp
        z = r / diagonal
        rz, before = float(np.vdot(r, z)), rz
        p = z + (rz / before) * p
    return x


class _Part:
    """A working set; subclasses know what it is made of."""

    def model_value(self, model, W, new):
        """Change of the second-order model and the penalty from W to new."""
        d = new - W
        quadratic = 0.5 * float(np.vdot(d, model.hessian_product(d)))
        return quadratic - float(np.vdot(model.q, d)) + self.model_change(W, new)


class _PairPart(_Part):
    """Single coefficients as a working set."""

    def __init__(self, penalty, mask, columns):
        self.penalty = penalty.restricted(columns)
        self.mask = mask
        self.rows, self.classes = np.nonzero(mask)

    def view(self, W, q):
        """Return W and q as the penalty sees them: zero outside the set."""
        m = len(self.mask)
        return W[:m], np.where(self.mask, q[:m], 0.0)

    def value(self, W):
        """Penalty of a block of coefficients."""
        return self.penalty.value(W[: len(self.mask)])

    def model_change(self, W, new):
        """Change of the penalty, of its tangent where it is concave."""
        m = len(self.mask)
        old, new = W[:m], new[:m]
        change = self.penalty.slopes(old) * (np.abs(new) - np.abs(old))
        ridge = self.penalty.l2[:, None] * (new * new - old * old)
        return float(change.sum()) + 0.5 * float(ridge.sum())

    def descend(self, model, W, target, limit):
        """Coordinate descent on the model; return W, sweeps, share of changes."""
        m, n_classes = self.mask.shape
        extra = len(W) - m
        rows, classes = self.rows, self.classes
        lam = self.penalty.slopes(W[:m])[rows, classes]
        l2 = self.penalty.l2[rows]
        if extra:
            rows = np.concatenate([rows, np.full(n_classes, m)])
            classes = np.concatenate([classes, np.arange(n_classes)])
            lam = np.concatenate([lam, np.zeros(n_classes)])
            l2 = np.concatenate([l2, np.zeros(n_classes)])
        w = W[rows, classes]
        before = w.copy()
        D, s = model.start(W, W)
        q = model.q[rows, classes]
        self.curvatures = model.curvatures()
        tail = (
            read_only(model.P), read_only(model.Q), read_only(rows),
            read_only(classes), read_only(q),
            read_only(self.curvatures[rows, classes]), w, read_only(lam),
            read_only(l2), self.penalty.positive, D, s, min(_SWEEPS, limit), target,
        )  # fmt: skip
        A = model.block.A
        if model.block.is_sparse:
            sweeps, _ = kernels.softmax_cd_csc(
                read_only(A.data), read_only(A.indices), read_only(A.indptr), *tail
            )
        else:
            sweeps, _ = kernels.softmax_cd(read_only(A), *tail)
        new = np.zeros_like(W)
        new[rows, classes] = w
        changed = np.count_nonzero(np.sign(w) != np.sign(before))
        return new, sweeps, changed / max(np.count_nonzero(w), 1)

    def finish(self, model, W, new, rtol):
        """Newton step on the support of `new`, projected on its signs."""
        m = len(self.mask)
        lam = np.zeros_like(W)
        lam[:m] = self.penalty.slopes(W[:m])
        l2 = np.zeros_like(W)
        l2[:m] = self.penalty.l2[:, None]
        free = new != 0.0
        free[m:] = True
        signs = np.sign(new)
        slope = model.q - model.hessian_product(new - W) - lam * signs - l2 * new
        slope = model.without_flat(slope * free)
        diagonal = np.where(free, self.curvatures + l2, 1.0)
        diagonal = np.where(diagonal > 0, diagonal, 1.0)

        def product(V):
            return free * (model.hessian_product(V) + l2 * V)

        step = conjugate_gradients(product, slope, diagonal, rtol)
        if not np.isfinite(step).all():
            return new
        out = new + step
        out[:m] = np.where(np.sign(out[:m]) == signs[:m], out[:m], 0.0)
        return out


class _GroupPart(_Part):
    """Groups of rows as a working set."""

    def __init__(self, penalty, chosen, usable):
        units = np.flatnonzero(chosen)
        self.penalty = penalty.restricted(units)
        self.columns = penalty.groups.columns_of(units)
        self.usable = usable[self.columns]

    def view(self, W, q):
        """Return W and q as the penalty sees them."""
        m = len(self.columns)
        return W[:m], q[:m]

    def value(self, W):
        """Penalty of a block of coefficients."""
        return self.penalty.value(W[: len(self.columns)])

    def model_change(self, W, new):
        """Change of the penalty."""
        return self.value(new) - self.value(W)

    def descend(self, model, W, target, limit):
        """Block descent on the model; return W, sweeps, share of changes."""
        part, block = self.penalty, model.block
        m = len(self.columns)
        starts = part.groups.ptr
        lam = part.lam
        l1, l2 = np.full(len(lam), part.l1), part.ridge
        weights = model.bound()
        bounds = _group_bounds(block, starts, weights)
        if len(W) > m:
            starts = np.append(starts, m + 1)
            lam, l1, l2 = np.append(lam, 0.0), np.append(l1, 0.0), np.append(l2, 0.0)
            bounds = np.append(bounds, weights.sum())
        new = W.copy()
        D, s = model.start(W, W)
        tail = (
            read_only(model.P), read_only(model.Q), read_only(starts),
            read_only(model.q), read_only(bounds), new, read_only(lam), read_only(l1),
            read_only(l2), D, s, min(2 * _SWEEPS, limit), target,
        )  # fmt: skip
        A = block.A
        if block.is_sparse:
            sweeps, _ = kernels.group_cd_csc(
                read_only(A.data), read_only(A.indices), read_only(A.indptr), *tail
            )
        else:
            sweeps, _ = kernels.group_cd(read_only(A), *tail)
        before, after = part.norms(W[:m]) > 0, part.norms(new[:m]) > 0
        changed = np.count_nonzero(before != after)
        if part.l1 > 0.0:
            changed = np.count_nonzero(np.sign(W[:m]) != np.sign(new[:m]))
            return new, sweeps, changed / max(np.count_nonzero(new[:m]), 1)
        return new, sweeps, changed / max(np.count_nonzero(after), 1)

    def finish(self, model, W, new, rtol):
        """Newton step on the groups that are not zero, where all is smooth.

        With an absolute penalty inside them on the coefficients that are not zero.
        """
        part, m = self.penalty, len(self.columns)
        label = part.groups.labels
        norms = part.norms(new[:m])
        free = np.ones(new.shape, dtype=bool)
        free[:m] = ((norms > 0)[label] & self.usable)[:, None]
        signs = np.zeros_like(new)
        if part.l1 > 0.0:
            free[:m] &= new[:m] != 0.0
            signs[:m] = np.sign(new[:m])
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = np.where(norms > 0, part.lam / norms, 0.0)
            unit = new[:m] / norms[label][:, None]
        unit = np.where(free[:m], unit, 0.0)
        wide = np.zeros((len(W), 1))
        wide[:m, 0] = (pull + part.ridge)[label]
        slope = model.q - model.hessian_product(new - W) - wide * new - part.l1 * signs
        slope = model.without_flat(slope * free)
        diagonal = model.curvatures() + wide
        diagonal = np.where(free & (diagonal > 0), diagonal, 1.0)

        def product(V):
            out = model.hessian_product(V) + wide * V
            # The norm does not bend along its own direction.
            along = np.bincount(label, (unit * V[:m]).sum(axis=1), len(norms))
            out[:m] -= ((pull * along)[label])[:, None] * unit
            return free * out

        step = conjugate_gradients(product, slope, diagonal, rtol)
        if not np.isfinite(step).all() or not norms.any():
            return new
        out = new + step
        if part.l1 > 0.0:
            out[:m] = np.where(np.sign(out[:m]) == signs[:m], out[:m], 0.0)
        return out


def _group_bounds(block, starts, weights):
    """Largest eigenvalue of the weighted Gram matrix of each group."""
    bounds = np.empty(len(starts) - 1)
    for g in range(len(bounds)):
        A = block.A[:, starts[g] : starts[g + 1]]
        if A.shape[1] == 1:
            column = A.toarray() if block.is_sparse else A
            bounds[g] = weights @ (column[:, 0] ** 2)
            continue
        if block.is_sparse:
            G = (A.T @ (sparse.diags_array(weights) @ A)).toarray()
        else:
            G = A.T @ (weights[:, None] * A)
        bounds[g] = np.linalg.eigvalsh(G)[-1]
    return bounds
