r"""Proximal Newton for multinomial and grouped likelihoods.

Minimizes :math:`f(X W + 1 b') + g(W)` for the softmax likelihood (or any other, as a
single column) and a penalty on single coefficients, rows or groups of rows. The
second-order model keeps the coupling of the classes, so that the steps are those of
Newton's method: coordinate (block) descent on the model settles which coefficients
are zero, then conjugate gradients solve for the others. No Hessian is ever formed.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.linear_model._penalized._likelihood_loop import LikelihoodLoop
from sparsestat.linear_model._penalized._softmax_parts import (
    Block,
    GroupPart,
    Model,
    PairPart,
    better,
)
from sparsestat.linear_model._penalized._steps import line_search

__all__ = ["SoftmaxSolver"]

_FIRST_SET = 500  # coefficients in the first working set
_GROWTH = 1.0  # enlarge the set at most by this share of the support
_MAX_NEWTON = 20  # models in one working set
_SETTLED = 0.05  # share of changed zeros below which conjugate gradients pay


class SoftmaxSolver(LikelihoodLoop):
    """Solve a sequence of penalized likelihoods of a predictor for each class."""

    def _choose(self, penalty):
        """Choose a working set: a mask of coefficients, or of groups."""
        excess = penalty.excess(self.q)
        if penalty.is_grouped:
            held = penalty.norms(self.w) > 0.0
            held[np.unique(penalty.groups.labels[self._held])] = True
            room_first = max(_FIRST_SET // (self.w.size // len(held)), 20)
        else:
            held = self.w != 0.0
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

    def _descend(self, penalty, chosen, goal, max_epochs, counter):
        self._fit_set(penalty, chosen, goal, max_epochs, counter)
        self._refresh()

    def _fit_set(self, penalty, chosen, goal, max_epochs, counter):
        """Proximal Newton on the working set until its measure is below goal."""
        if penalty.is_grouped:
            part = GroupPart(penalty, chosen, self.usable)
            columns = part.columns
        else:
            columns = np.flatnonzero(chosen.any(axis=1))
            part = PairPart(penalty, chosen[columns], columns)
        block = Block(self.design, columns, self.datafit.weights, extra=self.fits_shift)
        W = np.vstack([self.w[columns], np.zeros((block.extra, self.w.shape[1]))])
        q = block.products(-self.gradient)
        measure = np.inf
        for _ in range(_MAX_NEWTON):
            model = Model(block, self.datafit, self.eta, q)
            counter["newton"] += 1
            worst = part.penalty.violations(*part.view(W, q)).max(initial=0.0)
            limit = max(int(max_epochs - counter["sweeps"]), 1)
            new, sweeps, share = part.descend(model, W, 0.1 * float(worst), limit)
            counter["sweeps"] += sweeps
            if share <= _SETTLED:
                rtol = float(np.clip(measure, 1e-6, 0.1))
                new = better(part, model, W, new, part.finish(model, W, new, rtol))
            moved = self._step(part, block, model, W, new)
            if not moved:
                return
            W = np.vstack([self.w[columns], np.zeros((block.extra, W.shape[1]))])
            q = block.products(-self.gradient)
            measure = self._measure_on(part.penalty, *part.view(W, q))[2]
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
        W = W + length * d  # what a full step makes zero is zero
        self.w[block.columns] = W[: block.m]
        self.eta = self.eta + length * image
        if block.extra:
            self.shift = self.shift + length * block.shift(d)
        self._settle()
        return True
