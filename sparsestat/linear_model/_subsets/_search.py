"""Searches for the best subset of each size.

A search works on a problem, which fits a loss on any set of units and scores the
others; see ``_best_subset_least_squares`` and ``_best_subset_likelihoods``. Each
takes increasing sizes and returns one fit for each of them.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.validation import read_only
from sparsestat.linear_model._subsets import _kernels_subset as kernels
from sparsestat.linear_model._subsets._units import top_units

__all__ = ["METHODS", "refine", "search"]

METHODS = ("splicing", "omp", "iht", "htp", "cosamp", "cd_swaps", "exact")
_LARGEST_EXACT = 40  # units of a squared loss
_LARGEST_GENERIC = 20  # units of other losses, or groups
_MAX_NODES = 20_000_000
_HALVINGS = 60
# Of a column's norm: less is left by others than a factor can use, or than rounding.
_DEPENDENT, _ROUNDING = 1e-10, 1e-14


def search(problem, sizes, *, method, forced, splice_size, max_iter, tol, step=None):
    """Return a fit for each size and the number of rounds that were needed.

    Parameters
    ----------
    problem : LeastSquaresSubsets or LikelihoodSubsets
    sizes : list of int
        Increasing.
    method : str
        One of METHODS.
    forced : ndarray of bool of shape (n_units,)
        Units that are part of every fit.
    splice_size : int
        Largest number of units exchanged at once.
    max_iter : int
        Rounds for each size.
    tol : float
        Least relative decrease of the loss that counts.
    step : callable, default=None
        Called with size and loss after each size; stops the search when true.
    """
    run = _Search(problem, forced, splice_size, max_iter, tol, step, sizes[-1])
    fits = getattr(run, "_" + method)(list(sizes))
    return fits, max(run.n_rounds, 1)


def refine(problem, fit, *, forced, splice_size, max_iter, tol):
    """Return a fit that no exchange of any two features improves.

    Splicing considers the most promising features only; this considers all.
    """
    if not (problem.exact_exchange and problem.units.single):
        return fit
    run = _Search(problem, forced, splice_size, max_iter, tol, None, len(fit.units))
    for _ in range(max_iter):
        better = problem.best_of_all_exchanges(fit, tol=tol, movable=run.movable)
        if better is None:
            break
        fit = run._splice(better)
    return fit


class _Search:
    def __init__(self, problem, forced, splice_size, max_iter, tol, step, largest):
        self.problem, self.forced = problem, forced
        self.movable = ~forced
        self.splice_size, self.max_iter, self.tol = splice_size, max_iter, tol
        self.step, self.largest = step, largest
        self.n_rounds = 0

    # Splicing and greedy search

    def _splicing(self, sizes):
        # A few sizes more than asked for: what is offered backwards helps them all.
        most = self._most_units()
        beyond = range(sizes[-1] + 1, min(sizes[-1] + self.splice_size, most) + 1)
        fits = self._forward([*sizes, *(beyond if sizes[-1] else ())], self._splice)
        return self._backward(fits, sizes)

    def _most_units(self):
        """Return the largest size a local search should reach."""
        problem = self.problem
        widest = int(problem.units.sizes.max())
        most = (problem.design.n_samples - 2) // widest
        return min(int((problem.usable | self.forced).sum()), most)

    def _omp(self, sizes):
        return self._forward(sizes, lambda fit: fit)

    def _forward(self, sizes, improve):
        """Grow from size to size by the most promising units, improving each time."""
        problem = self.problem
        fit = problem.fit(np.flatnonzero(self.forced))
        fits = []
        for size in range(len(fit.units), sizes[-1] + 1):
            self.n_rounds += 1
            if size > len(fit.units):
                fit = self._grow(fit, size)
                fit = improve(fit)
            fits.append(fit)
            if self._report(fit):
                break
        return fits

    def _report(self, fit):
        """Tell the caller about one size; return True to stop."""
        if self.step is None or len(fit.units) > self.largest:
            return False
        return self.step(len(fit.units), fit.loss)

    def _grow(self, fit, size):
        """Add the most promising units, one at a time."""
        problem = self.problem
        while len(fit.units) < size:
            promise = problem.scores(fit)[1]
            promise[~np.isfinite(promise)] = -1.0
            promise[fit.units] = -np.inf
            best = int(np.argmax(promise))
            fit = problem.fit(np.union1d(fit.units, [best]), fit)
        return fit

    def _splice(self, fit):
        """Exchange units until no exchange lowers the loss."""
        for _ in range(self.max_iter):
            self.n_rounds += 1
            better = self.problem.exchange(
                fit, most=self.splice_size, tol=self.tol, movable=self.movable
            )
            if better is None:
                break
            fit = better
        return fit

    def _backward(self, fits, sizes):
        """Offer each size the next larger solution without its weakest unit."""
        problem = self.problem
        for at in range(len(fits) - 2, -1, -1):
            if np.isin(fits[at].units, fits[at + 1].units).all():
                continue  # nested: there is nothing to learn
            larger = fits[at + 1]
            gone = problem.weakest(larger, self.movable)
            smaller = problem.fit(np.delete(larger.units, gone), larger)
            if smaller.loss < fits[at].loss * (1.0 - self.tol):
                fits[at] = self._splice(smaller)
        return [fit for fit in fits if len(fit.units) <= sizes[-1]]

    # Thresholding

    def _each_size(self, sizes, solve):
        """Solve for each size from the previous solution, grown."""
        fits, fit = [], self.problem.fit(np.flatnonzero(self.forced))
        for size in sizes:
            self.n_rounds += 1
            fit = self._grow(fit, size)
            if size > self.forced.sum():
                fit = solve(fit, size)
            fits.append(fit)
            if self._report(fit):
                break
        return fits

    def _top(self, scores, size):
        scores = np.where(self.problem.usable, scores, -1.0)
        return top_units(np.where(self.forced, np.inf, scores), size)

    def _htp(self, sizes):
        def solve(fit, size):
            best = fit
            for _ in range(self.max_iter):
                self.n_rounds += 1
                units = self._top(self.problem.step_scores(fit), size)
                if np.array_equal(units, fit.units):
                    break
                fit = self.problem.fit(units, fit)
                if fit.loss >= best.loss * (1.0 - self.tol):
                    break
                best = fit
            return best

        return self._each_size(sizes, solve)

    def _cosamp(self, sizes):
        problem = self.problem
        n_units = len(problem.usable)

        def solve(fit, size):
            best = fit
            for _ in range(self.max_iter):
                self.n_rounds += 1
                promise = problem.scores(fit)[1]
                room = min(2 * size, n_units - len(fit.units), self._room(size))
                more = top_units(promise, room)
                more = more[np.isfinite(promise[more])]
                wide = problem.fit(np.union1d(fit.units, more), fit)
                scores = np.full(n_units, -1.0)
                scores[wide.units] = problem.scores(wide)[0]
                fit = problem.fit(self._top(scores, size), wide)
                if fit.loss >= best.loss * (1.0 - self.tol):
                    break
                best = fit
            return best

        return self._each_size(sizes, solve)

    def _room(self, size):
        """Return how many units may be merged without reaching the sample size."""
        widest = int(self.problem.units.sizes.max())
        return max(1, self.problem.design.n_samples // widest - size - 1)

    def _iht(self, sizes):
        problem = self.problem

        def solve(fit, size):
            w = problem.normalized(fit)
            loss, slope = problem.gradient_state(w)
            best = fit
            support = fit.units
            for _ in range(self.max_iter):
                self.n_rounds += 1
                inside = np.zeros(problem.n_features, dtype=bool)
                inside[problem.units.columns_of(support)] = True
                shown = (slope.T * inside).T
                bend = problem.bend(shown)
                mu = float((shown * shown).sum()) / bend if bend > 0 else 1.0
                for _ in range(_HALVINGS):
                    moved = w + mu * slope
                    units = self._top(problem.energies_of(moved), size)
                    new = np.zeros_like(w)
                    columns = problem.units.columns_of(units)
                    new[columns] = moved[columns]
                    if np.array_equal(units, support):
                        break
                    # Beyond this length the step may raise the loss.
                    change = new - w
                    bend = problem.bend(change)
                    if mu * bend <= 0.99 * float((change * change).sum()):
                        break
                    mu *= 0.5
                new_loss, new_slope = problem.gradient_state(new)
                before = loss
                if new_loss < loss:
                    w, slope, support, loss = new, new_slope, units, new_loss
                if new_loss >= before * (1.0 - self.tol):
                    break
            found = problem.fit(support, fit)
            return found if found.loss < best.loss else best

        return self._each_size(sizes, solve)

    # Coordinate descent with hard thresholds and local exchanges

    def _cd_swaps(self, sizes):
        problem = self.problem
        if not (problem.exact_exchange and problem.units.single):
            raise ValueError(
                "method='cd_swaps' works on single features and a squared loss only. "
                "Use method='splicing'."
            )
        found = {}
        fit = problem.fit(np.flatnonzero(self.forced))
        found[len(fit.units)] = fit
        largest = sizes[-1]
        for _ in range(5 * largest + 1):
            promise = problem.scores(fit)[1]
            top = float(promise.max(initial=0.0))
            if top <= 1e-14 * problem.null_loss or len(fit.units) >= largest:
                break
            before = fit
            fit = self._splice(self._descend(fit, 0.99 * top, largest))
            self._keep_better(found, fit)
            if np.array_equal(before.units, fit.units):
                fit = self._grow(fit, len(fit.units) + 1)
                self._keep_better(found, fit)
        fits = []
        for size in sizes:
            fit = found.get(size)
            if fit is None:  # the path of thresholds jumped over this size
                nearest = max(s for s in found if s < size)
                fit = found[size] = self._splice(self._grow(found[nearest], size))
            fits.append(fit)
            if self._report(fit):
                break
        return fits

    def _keep_better(self, found, fit):
        known = found.get(len(fit.units))
        if known is None or fit.loss < known.loss:
            found[len(fit.units)] = fit

    def _descend(self, fit, threshold, largest):
        """Coordinate descent at one threshold, on a working set that grows."""
        problem = self.problem
        count = min(4 * largest + 16, len(problem.usable))
        for _ in range(self.max_iter):
            self.n_rounds += 1
            promise = problem.scores(fit)[1]
            if promise.max(initial=0.0) <= threshold:
                break
            near = top_units(promise, count)
            near = near[np.isfinite(promise[near])]
            work = np.union1d(fit.units, near)
            gram, products = problem.normalized_gram(work)
            w = np.zeros(len(work))
            w[np.searchsorted(work, fit.units)] = problem.norms[fit.columns] * fit.coef
            c = products - gram @ w
            kernels.descend_hard(
                read_only(gram), c, w, float(threshold), 1000, 1e-9 * problem.norm
            )
            units = np.union1d(work[w != 0.0], np.flatnonzero(self.forced))
            if len(units) > largest:
                size = np.full(len(promise), -np.inf)
                size[work] = np.abs(w)
                units = self._top(size, largest)
            if np.array_equal(units, fit.units):
                break
            fit = problem.fit(units)
        return fit

    # Exhaustive search

    def _exact(self, sizes):
        problem = self.problem
        usable = np.flatnonzero(problem.usable | self.forced)
        triangular = problem.exact_exchange and problem.units.single
        limit = _LARGEST_EXACT if triangular else _LARGEST_GENERIC
        if len(usable) > limit:
            raise ValueError(
                f"method='exact' is for at most {limit} features or groups that are "
                f"not constant, but there are {len(usable)}. Use method='splicing'."
            )
        fits = self._splicing(sizes)
        if len(fits) < len(sizes):
            return fits  # stopped by a callback
        if triangular:
            return self._exact_triangular(usable, sizes, fits)
        return [self._exact_one(usable, fit) for fit in fits]

    def _exact_triangular(self, usable, sizes, fits):
        problem = self.problem
        order = np.concatenate(
            [usable[self.forced[usable]], usable[~self.forced[usable]]]
        )
        R, z = problem.full_triangle(order)
        d = len(order)
        rest = max(problem.norm**2 - float(z @ z), 0.0)
        best = np.full(d + 1, -np.inf)
        doubt = np.full(d + 1, np.inf)
        members = np.zeros((d + 1, d), dtype=bool)
        wanted = [size for size in sizes if size <= d]
        for size, fit in zip(sizes, fits, strict=True):
            if size > d:
                continue
            inside = np.flatnonzero(np.isin(order, fit.units))
            members[size, inside] = True
            # Of the fit itself, since dependent columns spoil what a triangle says.
            best[size] = max(2.0 * fit.loss - rest, 0.0)
            best[size] += 1e-9 * (best[size] + rest) + 1e-14 * problem.norm**2
        nodes = kernels.best_subsets(
            read_only(R),
            read_only(z),
            int(self.forced.sum()),
            wanted[0],
            wanted[-1],
            best,
            members,
            _MAX_NODES,
            _DEPENDENT,
            _ROUNDING,
            doubt,
        )
        if nodes < 0:
            raise ValueError(
                f"The search tree of method='exact' exceeded {_MAX_NODES} nodes. Use "
                "method='splicing', or a smaller max_nonzero_coefs."
            )
        self.n_rounds += nodes
        out = []
        for size, fit in zip(sizes, fits, strict=True):
            if size <= d:
                # On fresh factors, as the answer will be: where columns are nearly
                # dependent, what a factor can use depends on their order.
                exact = problem.refit(order[members[size]])
                fit = problem.refit(fit.units)
                fit = exact if exact.loss < fit.loss else fit
                # What sets of nearly dependent columns might save, and by how much
                # the search and the fit disagree: both are zero or rounding where
                # double precision suffices.
                least = min(doubt[size] + rest, 2.0 * fit.loss)
                told = min(best[size] + rest, 2.0 * fit.loss)
                # A target of zeros has no loss, and nothing to save.
                unit = max(2.0 * fit.loss, 1e-14 * problem.norm**2) or 1.0
                fit.state["doubt"] = max(
                    (2.0 * fit.loss - min(least, told)) / unit, 0.0
                )
            out.append(fit)
        return out

    def _exact_one(self, usable, known):
        """Branch and bound by fits: a set of units bounds all its subsets."""
        problem, size = self.problem, len(known.units)
        best, least = known, _bound(known)
        full = problem.fit(np.union1d(usable, known.units), known)
        stack = [(full, 0)]
        while stack:
            fit, fixed = stack.pop()
            self.n_rounds += 1
            if len(fit.units) == size:
                least = min(least, _bound(fit))
                if fit.loss < best.loss:
                    best = fit
                continue
            if _bound(fit) >= best.loss or fixed > size:
                continue
            # Units that were decided to stay come first, in order of decision.
            kept = fit.state.get("kept", tuple(np.flatnonzero(self.forced)))
            sacrifice = dict(
                zip(fit.units.tolist(), problem.scores(fit)[0], strict=True)
            )
            open_units = sorted(
                (u for u in fit.units.tolist() if u not in kept),
                key=lambda u: -sacrifice[u],
            )
            children = []
            for at, unit in enumerate(open_units):
                stays = (*kept, *open_units[:at])
                if len(stays) > size:
                    break
                child = problem.fit(np.setdiff1d(fit.units, [unit]), fit)
                if _bound(child) < best.loss:
                    child.state["kept"] = stays
                    children.append((child, len(stays)))
            stack.extend(children)
        # Fits that did not converge might save the rest of their loss, and rounding may
        # hide which of two losses is less.
        unit = max(best.loss, 1e-14 * problem.null_loss) or 1.0
        saved = max(best.loss - least, 0.0) + problem.loss_error(best)
        best.state["doubt"] = min(saved / unit, 1.0)
        return best


def _bound(fit):
    """Return what the loss of a set of units is not below."""
    return fit.loss - fit.state.get("left", 0.0)
