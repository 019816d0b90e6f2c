r"""Least squares on subsets of the features, one orthogonal factor moved between them.

The loss is ``||y - X w||^2 / 2 + l2 / 2 sum_j ||x_j||^2 w_j^2`` on weighted, centered
columns. The columns in use are held as a thin QR factor to which columns are added
and from which they are removed; correlations of all features with the residual cost
one pass over X, or a few products with Gram columns that were kept.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import solve_triangular
from scipy.sparse import issparse

from sparsestat._utils.arithmetic import moderate
from sparsestat._utils.samples import effective_rows, relative_weights
from sparsestat._utils.validation import as_compressed, read_only
from sparsestat.linear_model._penalized._design import make_design
from sparsestat.linear_model._subsets import _kernels_subset as kernels
from sparsestat.linear_model._subsets._factor import Factor

__all__ = ["LeastSquaresSubsets", "SubsetFit"]

_SURE = 1e5  # largest sum |w_j| ||x_j|| / ||y|| for which Gram columns are used
_KEPT_BYTES = 2.5e8  # of Gram columns
_SHORT = 400  # samples up to which a product with X costs no more than those kept
_FIRST_BATCH = 32  # Gram columns computed at the start
_BATCH = 24  # and whenever one is missing
_BLOCK = 8192  # features whose exchanges are measured at once
_CANCELED = 1e-8  # share of a squared norm below which a difference is rounding
_CANDIDATES = 8  # tried for exchanges beside the larger splices


@dataclass
class SubsetFit:
    """The best fit on a set of units (features, or groups of them).

    Attributes
    ----------
    units : ndarray of int
        In increasing order.
    columns : ndarray of int
        Their features.
    coef : ndarray of shape (n_columns,) or (n_columns, n_classes)
    loss : float
        With the ridge, not divided by anything.
    data_loss : float
        Without the ridge.
    """

    units: np.ndarray
    columns: np.ndarray
    coef: np.ndarray
    loss: float
    data_loss: float
    state: dict = field(default_factory=dict)


class LeastSquaresSubsets:
    """The squared loss of one design and target as the subset searches see it.

    Parameters
    ----------
    X, y, sample_weight : validated arrays
    fit_intercept : bool
    units : Units
    l2 : float, default=0.0
        Ridge on the standardized coefficients.
    """

    exact_exchange = True
    n_outputs = parameters = 1
    remedy = "Leave out columns that are almost combinations of others, or set `l2`."

    def __init__(self, X, y, sample_weight, *, fit_intercept, units, l2=0.0):
        X, y, sample_weight = effective_rows(X, y, sample_weight)
        weights, self.weight_unit = relative_weights(sample_weight)
        if issparse(X):
            X = as_compressed(X, "csc")
        y, self.y_unit = moderate(y, "y")
        self.design = make_design(X, weights, fit_intercept=fit_intercept)
        self.coef_unit = self.y_unit / self.design.unit
        self.target, y_mean = self.design.target(y)
        self.y_mean = y_mean * self.y_unit
        self.total = self.design.total
        # In criteria weights count rows.
        self.n_effective = self.total * self.weight_unit
        self.n_features = self.design.n_features
        self.units, self.l2 = units, float(l2)
        self.squares = self.design.squares * (1.0 + self.l2)
        self.norms = np.sqrt(self.squares)
        usable = self.design.squares > 0.0
        self.usable = units.any_of(usable)
        self._inverse = np.zeros(self.n_features)
        self._inverse[usable] = 1.0 / self.norms[usable]
        self.norm = float(np.linalg.norm(self.target))
        self.null_loss = 0.5 * float(self.target @ self.target)
        self.factor = Factor(self.design, self.target, self.l2)
        self.start = self.design.correlations(self.target)
        self._likely = np.abs(self.start) * self._inverse
        self._roots = None if units.single else units.roots(self.design, self.l2)
        self._kept, self._gram = {}, np.empty((0, self.n_features))
        self._most = int(_KEPT_BYTES // (8 * max(self.n_features, 1)))
        self._is_short = not self.design.is_sparse and self.design.n_samples <= _SHORT
        self._here = None  # the fit of the factor
        self._seen = None, None  # a fit and its correlations
        self.n_passes = 1

    # Fits

    def fit(self, units, start=None):
        """Return the best fit on the given units; `start` is not needed."""
        units = np.unique(np.asarray(units, dtype=np.intp))
        columns = self.units.columns_of(units)
        self.factor.move_to(columns)
        return self._current(units, columns)

    def refit(self, units):
        """Fit on a fresh factor, so that the answer does not depend on the search."""
        self.factor = Factor(self.design, self.target, self.l2)
        return self.fit(units)

    def _current(self, units, columns):
        coef = np.zeros(len(columns))
        held = np.array(self.factor.columns, dtype=np.intp)
        if self.units.single:
            held = np.searchsorted(columns, held)
        else:
            order = np.argsort(columns, kind="stable")
            held = order[np.searchsorted(columns, held, sorter=order)]
        coef[held] = self.factor.coefficients()
        residual = self.factor.residual
        loss = 0.5 * float(residual @ residual)
        rows = residual[: self.factor.n_rows]
        data_loss = 0.5 * float(rows @ rows)
        self._here = SubsetFit(units, columns, coef, loss, data_loss)
        return self._here

    def coefficients(self, fit):
        """Return coefficients of the original features and the intercept."""
        coef = fit.coef * self.coef_unit
        return coef, self.design.intercept(self.y_mean, fit.columns, coef)

    def loss_of(self, value):
        """Return a loss as a mean over samples, in the units of the given target."""
        return value / self.total * self.y_unit**2

    # Scores

    def correlations(self, fit):
        """Return the products of all columns with the residual of a fit."""
        if self._seen[0] is not fit:
            self._seen = fit, read_only(self._correlations(fit))
        return self._seen[1]

    def _correlations(self, fit):
        self._at(fit)
        if self._is_short:
            self.n_passes += 1
            return self.design.correlations(self.factor.residual[: self.factor.n_rows])
        size = np.abs(fit.coef) @ self.norms[fit.columns]
        scale = np.sqrt(2.0 * self.null_loss)
        sure = size <= _SURE * scale and 2.0 * fit.loss > 1e-10 * scale**2
        if sure and len(fit.columns) <= self._most:
            return self._from_gram(fit)
        self.n_passes += 1
        return self.design.correlations(self.factor.residual[: self.factor.n_rows])

    def _from_gram(self, fit):
        missing = [int(j) for j in fit.columns if int(j) not in self._kept]
        if missing:
            self._keep(missing)
        if not len(fit.columns):
            return self.start.copy()
        rows = [self._kept[int(j)] for j in fit.columns]
        if len(self._kept) > 4 * len(rows):
            return self.start - fit.coef @ self._gram[rows]
        coef = np.zeros(len(self._kept))
        coef[rows] = fit.coef
        return self.start - coef @ self._gram[: len(coef)]

    def _keep(self, wanted):
        """Compute Gram columns, with those most likely to be asked for next."""
        if len(self._kept) + len(wanted) > self._most:
            self._kept = {}
        room = self._most - len(self._kept) - len(wanted)
        extra = min(_BATCH if self._kept else _FIRST_BATCH, room)
        if extra > 0 and not self.design.is_sparse:
            likely = self._likely
            first = np.argpartition(-likely, min(2 * extra, len(likely) - 1))
            first = first[: 2 * extra]
            first = first[np.argsort(-likely[first], kind="stable")]
            more = [int(j) for j in first if int(j) not in self._kept]
            wanted = list(dict.fromkeys([*wanted, *more[:extra]]))
        block = np.empty((self.design.n_samples, len(wanted)), order="F")
        self.design.gather(np.asarray(wanted, dtype=np.intp), block, 0)
        products = self.design.correlations(block)
        self.n_passes += 1
        count = len(self._kept)
        if count + len(wanted) > len(self._gram):
            larger = min(max(2 * len(self._gram), count + len(wanted)), self._most)
            gram = np.empty((larger, self.n_features))
            gram[:count] = self._gram[:count]
            self._gram = gram
        self._gram[count : count + len(wanted)] = products.T
        self._kept.update({j: count + c for c, j in enumerate(wanted)})

    def scores(self, fit):
        """Return the loss that each unit saves, or would save.

        Returns
        -------
        sacrifice : ndarray of shape (n_units of the fit,)
            By how much the loss would rise without the unit, others unchanged.
        promise : ndarray of shape (n_units,)
            By how much it would fall with the unit; -inf for units of the fit and
            those that are constant.
        """
        products = self.correlations(fit)
        if self.units.single:
            promise = np.empty(self.n_features)
            self._likely = np.empty(self.n_features)
            kernels.promises(
                products,
                read_only(self._inverse),
                read_only(self.usable),
                read_only(fit.columns),
                promise,
                self._likely,
            )
            sacrifice = 0.5 * self.squares[fit.columns] * fit.coef**2
        else:
            self._likely = np.abs(products) * self._inverse
            promise = 0.5 * self.units.energies(products, self._roots)
            sacrifice = 0.5 * self.units.quadratic(fit, self._roots)
            promise[~self.usable] = -np.inf
            promise[fit.units] = -np.inf
        return sacrifice, promise

    def _at(self, fit):
        """Move the factor to a fit."""
        if self._here is not fit:
            if sorted([*self.factor.columns, *self.factor.dependent]) != sorted(
                fit.columns.tolist()
            ):
                self.factor.move_to(fit.columns)
            self._here = fit

    # Exchanges

    def exchange(self, fit, *, most, tol, movable):
        """Return a better fit with as many units, or None.

        The units with the least sacrifice are exchanged for those that promise most,
        1 to `most` at a time; where units are single features, also any one of them
        for any one of the most promising, by its exact effect. All are tried on one
        triangular factor, and the best is taken if it lowers the loss by more than
        `tol` times itself.
        """
        sacrifice, promise = self.scores(fit)
        self._at(fit)
        free = np.flatnonzero(movable[fit.units])
        candidates = min(int(np.isfinite(promise).sum()), max(most, _CANDIDATES))
        if not len(free) or not candidates:
            return None
        out = free[np.argsort(sacrifice[free], kind="stable")]
        into = kernels.largest(promise, candidates)
        factor = self.factor
        k = factor.size
        new = self.units.columns_of(into)
        placed = factor.append(new)
        if self.units.single:
            best, chosen = self._best_splice(fit, out, into, placed, most, movable)
        else:
            best, chosen = self._best_group_splice(fit, out, into, k, most)
        factor.truncate(k)
        if chosen is None or 0.5 * best <= tol * fit.loss:
            return None
        gone, fresh = chosen
        units = np.union1d(np.delete(fit.units, gone), fresh)
        better = self.fit(units)
        if better.loss >= fit.loss * (1.0 - 0.5 * tol):
            self.fit(fit.units)
            return None
        return better

    def _best_splice(self, fit, out, into, placed, most, movable):
        """Return the best gain and the positions in the fit and features exchanged."""
        factor = self.factor
        k = factor.size - int((placed >= 0).sum())
        R, z = factor.triangle(factor.size)
        held = np.array(factor.columns[:k], dtype=np.intp)
        rank = np.searchsorted(fit.units, held)
        position = np.full(len(fit.units), -1)
        position[rank] = np.arange(k)
        best, c = kernels.best_splice(
            read_only(R),
            read_only(z),
            k,
            read_only(position[out]),
            read_only(placed),
            min(most, len(out), len(into)),
        )
        chosen = (out[:c], into[:c]) if c else None
        if k and not factor.dependent:
            may = np.ascontiguousarray(movable[held])
            net, leaves, enters = kernels.best_exchange(
                read_only(R), read_only(z), k, factor.size, may
            )
            if net > best * (1.0 + 1e-12):
                best = net
                chosen = rank[leaves : leaves + 1], np.array([factor.columns[enters]])
        return best, chosen

    def _best_group_splice(self, fit, out, into, k, most):
        factor = self.factor
        R, z = factor.triangle(factor.size)
        gained = float(z[k:] @ z[k:])  # all candidates at once
        where = dict(zip(factor.columns, range(factor.size), strict=True))
        best, chosen = 0.0, None
        for c in range(1, min(most, len(out), len(into)) + 1):
            gone = set(self.units.columns_of(fit.units[out[:c]]).tolist())
            fresh = set(self.units.columns_of(into[:c]).tolist())
            kept = [
                at
                for j, at in where.items()
                if (at < k and j not in gone) or (at >= k and j in fresh)
            ]
            lost = kernels.excess_of_subset(
                read_only(R),
                read_only(z),
                factor.size,
                np.array(sorted(kept), dtype=np.int64),
            )
            if gained - lost > best:
                best, chosen = gained - lost, (out[:c], into[:c])
        return best, chosen

    def best_of_all_exchanges(self, fit, *, tol, movable):
        """Return the fit after the best exchange of any two features, or None.

        One product of X with the orthonormal columns gives the exact effect of all
        exchanges of a feature in the fit for one outside.
        """
        self._at(fit)
        factor, k = self.factor, self.factor.size
        if factor.dependent or not self.units.single or not k:
            return None
        products = self.correlations(fit)
        R, z = factor.triangle(k)
        inverse = solve_triangular(R, np.eye(k), check_finite=False)
        w, spread = inverse @ z, (inverse**2).sum(axis=1)
        fixed = ~movable[np.array(factor.columns)]
        best, pair = 0.0, None
        outside = self.squares > 0.0
        outside[fit.columns] = False
        B = self.design.correlations(np.asfortranarray(factor.orthonormal()))
        for start in range(0, self.n_features, _BLOCK):
            part = slice(start, start + _BLOCK)
            image = B[part].T
            left = self.squares[part] - (image * image).sum(axis=0)
            sound = outside[part] & (left > _CANCELED * self.squares[part])
            at = np.flatnonzero(sound)
            if not len(at):
                continue
            left, c = left[at], products[part][at]
            U = inverse @ image[:, at]
            own = w[:, None] - U * (c / left)
            net = c * c / left - own**2 / (spread[:, None] + U * U / left)
            net[fixed] = -np.inf
            leaves, enters = np.unravel_index(int(np.argmax(net)), net.shape)
            if net[leaves, enters] > best:
                best = float(net[leaves, enters])
                pair = factor.columns[leaves], start + int(at[enters])
        if pair is None or 0.5 * best <= tol * fit.loss:
            return None
        units = np.union1d(fit.units[fit.units != pair[0]], [pair[1]])
        better = self.fit(units)
        if better.loss < fit.loss * (1.0 - 0.5 * tol):
            return better
        self.fit(fit.units)
        return None

    def weakest(self, fit, movable):
        """Return the position of the unit of a fit that is missed least."""
        self._at(fit)
        factor = self.factor
        if factor.dependent or not self.units.single:
            sacrifice = self.scores(fit)[0]
            sacrifice[~movable[fit.units]] = np.inf
            return int(np.argmin(sacrifice))
        R, z = factor.triangle(factor.size)
        may = np.array([bool(movable[j]) for j in factor.columns])
        drops = kernels.costs_of_dropping(read_only(R), read_only(z), may)
        gone = factor.columns[int(np.argmin(drops))]
        return int(np.searchsorted(fit.units, gone))

    # Steps of thresholding methods

    def step_scores(self, fit):
        """Return the energy of each unit after a gradient step from a fit (HTP)."""
        products = self.correlations(fit)
        slope = products * self._inverse
        w = np.zeros(self.n_features)
        w[fit.columns] = fit.coef * self.norms[fit.columns]
        slope[fit.columns] = 0.0
        step = self._step_length(
            slope, self.units.top(slope**2, max(len(fit.units), 1))
        )
        return self.units.sums((w + step * slope) ** 2)

    def _step_length(self, slope, units):
        columns = self.units.columns_of(units)
        v = slope[columns]
        square = float(v @ v)
        if square == 0.0:
            return 1.0
        image = self._image(columns, v)
        bend = float(image @ image) + self.l2 / (1.0 + self.l2) * square
        return square / bend if bend > 0.0 else 1.0

    def _image(self, columns, v):
        """Return X w for coefficients v of columns scaled to norm one."""
        return self.design.product(columns, v * self._inverse[columns])

    def gradient_state(self, w):
        """Return loss and negative gradient of normalized coefficients `w`."""
        columns = np.flatnonzero(w)
        v = w[columns]
        residual = self.target - self._image(columns, v)
        self.n_passes += 1
        share = self.l2 / (1.0 + self.l2)
        slope = self.design.correlations(residual) * self._inverse - share * w
        loss = 0.5 * float(residual @ residual) + 0.5 * share * float(v @ v)
        return loss, slope

    def bend(self, direction):
        """Return the second derivative along normalized coefficients."""
        columns = np.flatnonzero(direction)
        v = direction[columns]
        image = self._image(columns, v)
        share = self.l2 / (1.0 + self.l2)
        return float(image @ image) + share * float(v @ v)

    def normalized(self, fit):
        """Return coefficients of columns scaled to norm one, for all features."""
        w = np.zeros(self.n_features)
        w[fit.columns] = fit.coef * self.norms[fit.columns]
        return w

    def energies_of(self, w):
        """Return the squared size of normalized coefficients, by unit."""
        return self.units.sums(w * w)

    def normalized_gram(self, columns):
        """Return Gram matrix and target products of columns scaled to norm one."""
        block = np.empty((self.design.n_samples, len(columns)), order="F")
        self.design.gather(columns, block, 0)
        block *= self._inverse[columns]
        gram = block.T @ block
        np.fill_diagonal(gram, 1.0)
        return gram, self.start[columns] * self._inverse[columns]

    def full_triangle(self, columns):
        """Return R and Q'y of a QR factorization of the columns scaled to norm one."""
        d = len(columns)
        block = np.zeros((self.design.n_samples + d, d), order="F")
        self.design.gather(columns, block[: self.design.n_samples], 0)
        scale = np.sqrt(self.design.squares[columns])
        block[: self.design.n_samples] /= scale
        # Dependent columns make R singular, which the search allows for.
        block[self.design.n_samples + np.arange(d), np.arange(d)] = np.sqrt(self.l2)
        Q, R = np.linalg.qr(block)
        y = np.concatenate([self.target, np.zeros(d)])
        return np.ascontiguousarray(R), Q.T @ y

    def loss_error(self, fit):
        """Residuals are squared: nothing is taken off that would hide a loss."""
        return 0.0

    def criterion_loss(self, fit):
        """Return minus twice the log likelihood, the noise variance estimated."""
        rss = max(2.0 * fit.data_loss, 1e-14 * self.norm**2)
        if rss == 0.0:  # a constant target
            return 0.0
        n = self.n_effective
        return n * float(np.log(rss / self.total) + 2.0 * np.log(self.y_unit))
