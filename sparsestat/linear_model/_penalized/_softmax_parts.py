"""Working sets of matrices of coefficients, and second-order models on them.

A part is a working set: single coefficients, or groups of rows. It knows how to
descend on a model, and how to finish with a Newton step where that is smooth.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from functools import partial

import numpy as np
from scipy import sparse

from sparsestat._utils.linalg import conjugate_gradients
from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized import _kernels_glm as kernels

__all__ = ["Block", "GroupPart", "Model", "PairPart", "better"]

_SWEEPS = 5  # descent sweeps on one model
_CORNERS = 20  # Newton steps to a change of sign, on one model


def better(part, model, W, swept, newton):
    """Return the Newton point, or one between, if the model prefers it to `swept`.

    The norms bend beside zero, so that a full step may overshoot.
    """
    present = part.model_value(model, W, swept)
    for length in (1.0, 0.5, 0.2, 0.05):
        point = swept + length * (newton - swept)  # zeros of both stay zero
        if part.model_value(model, W, point) <= present:
            return point
    return swept


class Block:
    """The columns of a working set, with one of ones for the intercepts.

    Dense columns are gathered and centered, sparse ones are taken as they are.
    """

    def __init__(self, design, columns, weights, *, extra):
        n, m = design.n_samples, len(columns)
        self.extra = int(extra)
        self.columns = columns
        self.is_sparse = design.is_sparse
        if self.is_sparse:
            A = design.matrix[:, columns]
            if self.extra:
                A = sparse.hstack([A, np.ones((n, 1))], format="csc")
            self.A = sparse.csc_array(A)
            self.center = design.means[columns]
        else:
            self.center = np.zeros(m)
            self.A = np.empty((n, m + self.extra), order="F")
            design.gather(columns, self.A, 0)
            if self.extra:
                # By the weighted means, so that a weight equals repetition.
                self.center = -(weights @ self.A[:, :m]) / weights.sum()
                self.A[:, :m] += self.center
                self.A[:, m] = 1.0
        self.m = m

    def shift(self, d):
        """Return the change of the intercepts of the design's centered columns."""
        return d[-1] + self.center @ d[: self.m]

    def products(self, R):
        """Return the products of the columns with the columns of R."""
        return np.asarray(self.A.T @ R)

    def image(self, V):
        """Return the columns times V."""
        return np.asarray(self.A @ V)


class Model:
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


class _Part:
    """A working set; subclasses know what it is made of."""

    def model_value(self, model, W, new):
        """Change of the second-order model and the penalty from W to new."""
        d = new - W
        quadratic = 0.5 * float(np.vdot(d, model.hessian_product(d)))
        return quadratic - float(np.vdot(model.q, d)) + self.model_change(W, new)


class PairPart(_Part):
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
        D, s = np.zeros_like(model.P), np.zeros(len(model.P))
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
        return new, sweeps, _changes(W[:m], new[:m])

    def finish(self, model, W, new, rtol):
        """Newton steps on the support of `new` that keep its signs.

        Where the step that is projected on the signs fails, as it may on a singular
        model, the next one goes to the first change of sign, and goes on without it.
        """
        m = len(self.mask)
        lam = np.zeros_like(W)
        lam[:m] = self.penalty.slopes(W[:m])
        l2 = np.zeros_like(W)
        l2[:m] = self.penalty.l2[:, None]
        diagonal = self.curvatures + l2
        diagonal = np.where(diagonal > 0, diagonal, 1.0)
        present = self.model_value(model, W, new)
        for _ in range(_CORNERS):
            signs = np.sign(new)
            free = new != 0.0
            free[m:] = True
            slope = model.q - model.hessian_product(new - W) - lam * signs - l2 * new
            slope = model.without_flat(slope * free)

            def product(V, free=free):
                return free * (model.hessian_product(V) + l2 * V)

            step = conjugate_gradients(product, slope, 1.0 / diagonal, rtol)
            if not np.isfinite(step).all():
                return new
            out = new + step
            flips = np.sign(out[:m]) != signs[:m]
            out[:m][flips] = 0.0
            if not flips.any() or self.model_value(model, W, out) <= present:
                return out
            with np.errstate(divide="ignore", invalid="ignore"):
                reach = np.where(flips, -new[:m] / step[:m], np.inf)
            length = float(reach.min())
            new = new + length * step
            new[:m][reach <= length] = 0.0
            present = self.model_value(model, W, new)
        return new


class GroupPart(_Part):
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
        D, s = np.zeros_like(model.P), np.zeros(len(model.P))
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
            return new, sweeps, _changes(W[:m], new[:m])
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

        step = conjugate_gradients(product, slope, 1.0 / diagonal, rtol)
        if not np.isfinite(step).all() or not norms.any():
            return new
        out = new + step
        if part.l1 > 0.0:
            out[:m] = np.where(np.sign(out[:m]) == signs[:m], out[:m], 0.0)
        return out


def _changes(W, new):
    """Return the share of coefficients that change sign; intercepts do not count."""
    changed = np.count_nonzero(np.sign(W) != np.sign(new))
    return changed / max(np.count_nonzero(new), 1)


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
