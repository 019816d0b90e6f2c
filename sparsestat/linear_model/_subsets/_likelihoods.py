r"""Likelihoods on subsets of the features, refitted by Newton's method.

The loss is a (weighted) sum of losses, from the least value that any predictor could
have (zero for classes), plus ``l2 / 2 sum_j s_j |w_j|^2`` with
s_j the squared norm of the centered column, so that the ridge does not depend on the
scale of a feature. Units are scored by the diagonal of the Hessian.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import issparse
from sklearn.utils.extmath import safe_sparse_dot

from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.samples import effective_rows, relative_weights
from sparsestat._utils.validation import read_only, read_only_triple
from sparsestat.linear_model._penalized import _kernels_design as passes
from sparsestat.linear_model._penalized._class_datafits import OneColumn, Softmax
from sparsestat.linear_model._penalized._datafits import Logistic, Poisson
from sparsestat.linear_model._penalized._design import make_design
from sparsestat.linear_model._penalized._survival import Cox
from sparsestat.linear_model._subsets import _kernels_subset as subsets
from sparsestat.linear_model._subsets._least_squares import SubsetFit

__all__ = ["ClassSubsets", "CoxSubsets", "LikelihoodSubsets", "PoissonSubsets"]

_MAX_NEWTON = 60
_DECREMENT = 1e-13  # of the null loss: what a further Newton step may still gain
_SMALL = 1e-9  # of the null loss: gains that a line search may miss by rounding
_JITTER = 1e-12  # of the mean curvature, for columns that depend on each other
_ARMIJO = 1e-4
_NEAR = 3  # exchanges that are refitted, or tried among so many weakest and strongest
_CANDIDATES = 8  # features considered for exchanges


class LikelihoodSubsets:
    """A likelihood of one data set as the subset searches see it.

    Classes have ``make_datafit(y, sample_weight)``.

    Parameters
    ----------
    X : validated array or CSC array
    y : ndarray of shape (n_samples, ...)
    sample_weight : ndarray or None
    fit_intercept : bool
        Whether columns are centered, and there is an intercept if the likelihood sees
        one.
    units : Units
    l2 : float
    """

    exact_exchange = False
    counts_rows = False  # whether more than the ratios of weights matters
    remedy = (
        "The likelihood has no maximum on some sets, as where classes are separated: "
        "set `l2`."
    )

    def __init__(self, X, y, sample_weight, *, fit_intercept, units, l2=0.0):
        self.dtype = X.dtype
        X, y, sample_weight = effective_rows(X, y, sample_weight)
        self.weight_unit = 1.0
        if not self.counts_rows:
            sample_weight, self.weight_unit = relative_weights(sample_weight)
        if issparse(X):
            X = X.tocsc()
        self.design = make_design(X, None, fit_intercept=fit_intercept)
        self.datafit = self.make_datafit(y, sample_weight)
        self.has_shift = fit_intercept and self.datafit.has_intercept
        self.least = self.least_value()
        self.n_outputs = self.datafit.n_classes
        self.parameters = max(1, self.n_outputs - 1)  # for each feature
        self.weights, self.total = self.datafit.weights, self.datafit.total
        self.n_features = self.design.n_features
        self.units, self.l2 = units, float(l2)
        squares = self.design.squares
        if sample_weight is not None:
            weighted = make_design(
                self.design.X, sample_weight, fit_intercept=fit_intercept
            )
            squares = weighted.squares
        self.squares = np.asarray(squares)
        self.norms = np.sqrt(self.squares)
        usable = self.squares > 0.0
        self.usable = units.any_of(usable)
        self._inverse = np.zeros(self.n_features)
        self._inverse[usable] = 1.0 / self.norms[usable]
        shift = np.zeros(self.n_outputs)
        if self.has_shift:
            shift = np.atleast_1d(self.datafit.null_intercept())
        eta = np.tile(shift, (self.design.n_samples, 1))
        self.null_loss = self._value(eta)
        self._null_shift = shift

    def make_datafit(self, y, sample_weight):
        """Return the loss, of one predictor for each output."""
        raise NotImplementedError

    def least_value(self):
        """Return what no value of the loss is below."""
        return self.datafit.saturated

    def _value(self, eta):
        return self.datafit.value(eta) - self.least

    # Fits

    def fit(self, units, start=None):
        """Return the best fit on the given units, by damped Newton steps."""
        units = np.unique(np.asarray(units, dtype=np.intp))
        columns = self.units.columns_of(units)
        columns = np.asarray(columns, dtype=np.intp)
        scale = np.where(self.norms[columns] > 0.0, self.norms[columns], 1.0)
        scale = scale / np.sqrt(self.total)
        n, m = self.design.n_samples, len(columns)
        has_shift = self.has_shift
        A = np.empty((n, m + has_shift), order="F")
        if m:
            self.design.gather(columns, A, 0)
            A[:, :m] /= scale
        theta = np.zeros((m + has_shift, self.n_outputs))
        if has_shift:
            A[:, m] = 1.0
            theta[m] = self._null_shift
        if start is not None:
            _, here, there = np.intersect1d(columns, start.columns, return_indices=True)
            theta[here] = start.coef[there] * scale[here, None]
            if has_shift:
                theta[m] = start.state["shift"]
        ridge = np.zeros(m + has_shift)
        ridge[:m] = self.l2 * self.total * (self.norms[columns] > 0.0)
        theta, eta, loss, left = self._newton(A, theta, ridge)
        coef = theta[:m] / scale[:, None]
        state = {
            "shift": theta[m] if has_shift else np.zeros(self.n_outputs),
            "eta": eta,
            "left": left,
        }
        return SubsetFit(units, columns, coef, loss, self._value(eta), state)

    def refit(self, units):
        """Fit from zero coefficients, so that the answer is that of these units."""
        return self.fit(units)

    def _newton(self, A, theta, ridge):
        """Minimize; return where, the loss, and a bound of what is left to save."""
        datafit = self.datafit

        def measure(theta):
            eta = A @ theta
            return eta, self._value(eta) + 0.5 * float(ridge @ (theta**2).sum(axis=1))

        eta, value = measure(theta)
        if value > self.null_loss * (1.0 + 1e-12):  # a start that is worse than none
            theta = np.zeros_like(theta)
            if self.has_shift:
                theta[-1] = self._null_shift
            eta, value = measure(theta)
        if A.shape[1] == 0:
            return theta, eta, value, 0.0
        left = value  # no loss is below zero
        for _ in range(_MAX_NEWTON):
            slope = A.T @ datafit.gradient(eta) + ridge[:, None] * theta
            step = self._newton_step(A, eta, slope, ridge)
            decrement = -float((slope * step).sum())
            if decrement <= _DECREMENT * self.null_loss:
                left = 0.0
                break
            length = 1.0
            while length > 1e-8:
                new_eta, new_value = measure(theta + length * step)
                goal = value - _ARMIJO * length * decrement
                if new_value <= goal or (
                    length == 1.0 and new_value <= value + 1e-15 * self.null_loss
                ):
                    break
                length *= 0.5
            else:  # rounding, if there is little to gain
                left = decrement if decrement <= _SMALL * self.null_loss else value
                break
            theta, eta = theta + length * step, new_eta
            left = value = new_value
        return theta, eta, value, left

    def _newton_step(self, A, eta, slope, ridge):
        C, p = self.n_outputs, A.shape[1]
        flat = self._hessian(A, eta).reshape(C * p, C * p)
        at = np.arange(C * p)
        level = max(float(np.trace(flat)) / (C * p), 1e-300)
        flat[at, at] += np.tile(ridge, C) + _JITTER * level
        if C > 1:  # adding a constant to all classes changes nothing: fill that in
            for j in range(p):
                index = j + p * np.arange(C)
                flat[np.ix_(index, index)] += level / C
        right = -slope.T.ravel()
        factor, info = lapack.dpotrf(flat, lower=1, clean=0)
        if info == 0:
            step = lapack.dpotrs(factor, right, lower=1)[0]
        else:
            step = np.linalg.lstsq(flat, right, rcond=1e-12)[0]
        return step.reshape(C, p).T

    def _hessian(self, A, eta):
        """Return the Hessian of the loss in the coefficients of A, by output."""
        C, p = self.n_outputs, A.shape[1]
        P, Q = self.datafit.model(eta)
        H = np.empty((C, p, C, p))
        for a in range(C):
            for b in range(a, C):
                h = Q[:, a] * ((a == b) - P[:, b])
                H[a, :, b] = A.T @ (h[:, None] * A)
                H[b, :, a] = H[a, :, b]
        return H

    def coefficients(self, fit):
        """Return coefficients of the original features and the intercepts."""
        coef = fit.coef / self.design.unit
        return coef, fit.state["shift"] - self.design.center_dot(fit.columns, coef)

    def loss_of(self, value):
        """Return a loss as a mean over samples, from where the objective counts."""
        return (value + self.least) / self.total

    # Scores

    def _curvatures(self, eta):
        """Return the diagonal of the Hessian, intercept profiled out, by class."""
        P, Q = self.datafit.model(eta)
        out = np.empty((self.n_features, self.n_outputs))
        sums, squares = np.empty(self.n_features), np.empty(self.n_features)
        for c in range(self.n_outputs):
            h = Q[:, c] * (1.0 - P[:, c])
            if self.design.is_sparse:
                passes.csc_moments(
                    *read_only_triple(self.design.X), read_only(h), sums, squares
                )
            else:
                passes.dense_moments(self.design.X, read_only(h), sums, squares)
            out[:, c] = squares
            total = float(h.sum())
            if self.design.fit_intercept and total > 0.0:
                out[:, c] = np.maximum(squares - sums * (sums / total), 0.0)
        floor = 1e-10 * self.squares[:, None]
        return np.maximum(out, floor) + self.l2 * self.squares[:, None]

    def scores(self, fit):
        """Return the loss that each unit saves, or would save, to second order.

        Returns
        -------
        sacrifice : ndarray of shape (n_units of the fit,)
        promise : ndarray of shape (n_units,)
            -inf for units of the fit and those that are constant.
        """
        if "scores" not in fit.state:
            eta = fit.state["eta"]
            slope = self.design.correlations(-self.datafit.gradient(eta))
            curvature = self._curvatures(eta)
            with np.errstate(divide="ignore", invalid="ignore"):
                # In this order no square overflows.
                gains = 0.5 * (slope * (slope / curvature)).sum(axis=1)
            gains[~(self.squares > 0.0)] = 0.0
            promise = np.array(self.units.sums(gains), dtype=np.float64)
            promise[~self.usable] = -np.inf
            promise[fit.units] = -np.inf
            costs = np.zeros(self.n_features)
            costs[fit.columns] = 0.5 * (curvature[fit.columns] * fit.coef**2).sum(
                axis=1
            )
            fit.state["scores"] = self.units.sums(costs)[fit.units], promise
        sacrifice, promise = fit.state["scores"]
        return sacrifice.copy(), promise.copy()

    def exchange(self, fit, *, most, tol, movable):
        """Return a better fit with as many units, or None.

        The units of least sacrifice are exchanged for those that promise most, 1 to
        `most` at a time, or a single one for another. Two classes: a quadratic model
        of the loss says which of these to refit; else single exchanges are tried
        among a few of both.
        """
        sacrifice, promise = self.scores(fit)
        free = np.flatnonzero(movable[fit.units])
        count = int(np.isfinite(promise).sum())
        if not len(free) or not count:
            return None
        out = free[np.argsort(sacrifice[free], kind="stable")]
        into = np.argsort(-promise, kind="stable")[: min(count, max(most, _CANDIDATES))]
        for units in self._proposals(fit, out, into, most, movable):
            new = self.fit(units, fit)
            if new.loss < fit.loss * (1.0 - tol):
                return new
        return None

    def _proposals(self, fit, out, into, most, movable):
        """Return sets worth a refit, the most promising first."""
        several = [
            np.union1d(np.delete(fit.units, out[:c]), into[:c])
            for c in range(min(most, len(out), len(into)), 0, -1)
        ]
        if self.n_outputs == 1 and self.units.single:
            return self._by_quadratic_model(fit, into, several, movable)
        return several + [
            np.union1d(np.delete(fit.units, out[i]), [into[j]])
            for i in range(min(_NEAR, len(out)))
            for j in range(min(_NEAR, len(into)))
            if i or j
        ]

    def _by_quadratic_model(self, fit, into, several, movable):
        """Order sets by the quadratic model of the loss at a fit, solved exactly.

        The model is a weighted least squares problem; one triangular factor of the
        fitted columns and the candidates gives the effect of every exchange.
        """
        eta = fit.state["eta"]
        h = self.datafit.model(eta)[1][:, 0]
        roots = np.sqrt(h)
        gradient = self.datafit.gradient(eta)[:, 0]
        features = np.concatenate([fit.columns, into]).astype(np.intp)
        k, first = len(fit.columns), int(self.design.fit_intercept)
        block = np.empty((len(h), first + len(features)), order="F")
        self.design.gather(features, block, first)
        block[:, first:] *= self._inverse[features]
        if first:
            block[:, 0] = 1.0
        block *= roots[:, None]
        Q, R = np.linalg.qr(block)
        diagonal = np.abs(np.diag(R))
        if diagonal.min() <= 1e-8 * diagonal.max():
            return several[::-1]  # dependent candidates: one exchange first
        z = Q.T @ (roots * eta[:, 0] - gradient / roots)
        R, z = read_only(np.ascontiguousarray(R)), read_only(z)
        used, n_all = first + k, first + len(features)
        may = np.zeros(used, dtype=bool)
        may[first:] = movable[fit.units]
        gained = float(z[used:] @ z[used:])
        gains, sets = [], []
        for units in several:
            kept = np.flatnonzero(np.isin(features, units)) + first
            kept = np.concatenate([np.arange(first), kept])
            gains.append(gained - subsets.excess_of_subset(R, z, n_all, kept))
            sets.append(units)
        if k:
            net, gone, fresh = subsets.best_exchange(R, z, used, n_all, may)
            gains.append(net)
            left = np.delete(fit.units, gone - first)
            sets.append(np.union1d(left, features[fresh - first : fresh - first + 1]))
        order = np.argsort(-np.array(gains), kind="stable")
        # A model may err: the best of it is refitted even where no gain is foretold.
        worth = [at for at in order if gains[at] > 0.0] or [order[0]]
        return [sets[at] for at in worth[:_NEAR]]

    def weakest(self, fit, movable):
        """Return the position of the unit of a fit that is missed least."""
        sacrifice = self.scores(fit)[0]
        sacrifice[~movable[fit.units]] = np.inf
        return int(np.argmin(sacrifice))

    # Steps of thresholding methods

    def step_scores(self, fit):
        """Return the energy of each unit after a diagonal Newton step (HTP)."""
        sacrifice, promise = self.scores(fit)
        promise[fit.units] = sacrifice
        return promise

    def normalized(self, fit):
        """Return coefficients of columns scaled to norm one, for all features."""
        w = np.zeros((self.n_features, self.n_outputs))
        w[fit.columns] = fit.coef * self.norms[fit.columns, None]
        return w

    def energies_of(self, w):
        """Return the squared size of normalized coefficients, by unit."""
        return self.units.sums((w * w).sum(axis=1))

    def gradient_state(self, w):
        """Return loss and negative gradient of normalized coefficients `w`."""
        columns = np.flatnonzero(w.any(axis=1))
        v = w[columns] * self._inverse[columns, None]
        eta = self.design.product(columns, v).reshape(-1, self.n_outputs)
        if self.has_shift:
            eta = eta + self.datafit.settle_intercept(eta)
        slope = self.design.correlations(-self.datafit.gradient(eta))
        slope = slope * self._inverse[:, None] - self.l2 * w
        loss = self._value(eta) + 0.5 * self.l2 * float((w * w).sum())
        return loss, slope

    def bend(self, direction):
        """Bound the second derivative along normalized coefficients."""
        columns = np.flatnonzero(direction.any(axis=1))
        v = direction[columns] * self._inverse[columns, None]
        image = self.design.product(columns, v).reshape(-1, self.n_outputs)
        bound = self.bend_bound
        bend = bound * float(self.weights @ (image * image).sum(axis=1))
        return bend + self.l2 * float((direction * direction).sum())

    def loss_error(self, fit):
        """Bound the rounding error of the loss of a fit and of another one near it."""
        terms = self.datafit.magnitude(fit.state["eta"])
        return 2.0 * rounding(self.design.n_samples // 8 + 16, terms)

    def criterion_loss(self, fit):
        """Return minus twice the log likelihood, up to a constant."""
        return 2.0 * fit.data_loss * self.weight_unit


class ClassSubsets(LikelihoodSubsets):
    """The log loss; y holds the class of each sample.

    Parameters
    ----------
    n_classes : int
    """

    def __init__(self, *arguments, n_classes, **options):
        self.n_classes = n_classes
        self.bend_bound = 0.25 if n_classes == 2 else 0.5
        super().__init__(*arguments, **options)

    def make_datafit(self, y, sample_weight):
        """Return the log loss of a sigmoid, or of several classes."""
        if self.n_classes == 2:
            return OneColumn(Logistic(y == 1, sample_weight))
        return Softmax(y, self.n_classes, sample_weight)


class PoissonSubsets(LikelihoodSubsets):
    """Counts with the logarithmic link."""

    def make_datafit(self, y, sample_weight):
        """Return the Poisson loss."""
        if not y.any():
            raise ValueError(
                "All counts in y (of positive weight) are zero: the likelihood has no "
                "maximum. At least one positive count is required."
            )
        with np.errstate(divide="ignore"):
            self._log_y = np.log(y)
        return OneColumn(Poisson(y, sample_weight))

    def _deviances(self, eta):
        """Return half the deviance of each row, without weights, and what it hides.

        From the logarithms of ratios: of large counts differences of means and counts
        have no digits.
        """
        y, eta = self.datafit.datafit.y, eta[:, 0]
        some = y > 0.0
        off = np.where(some, eta - self._log_y, eta)
        with np.errstate(over="ignore", invalid="ignore"):
            rise = np.where(some, y * np.expm1(off), np.exp(off))
            spread = np.abs(eta) + np.where(some, np.abs(self._log_y), 0.0)
            hidden = y * np.abs(off) + np.abs(rise) * (1.0 + spread)
            return np.where(some, y * (np.expm1(off) - off), rise), hidden

    def _value(self, eta):
        terms, _ = self._deviances(eta)
        return float(self.weights @ terms)

    def loss_error(self, fit):
        """Bound the rounding error of the loss of a fit and of another one near it."""
        terms, hidden = self._deviances(fit.state["eta"])
        error = rounding(self.design.n_samples // 8 + 16, self.weights @ terms)
        steps = len(fit.columns) + 8  # to the predictor, and to its distance
        return 2.0 * (error + rounding(steps, self.weights @ hidden))

    def coefficients(self, fit):
        """Return coefficients of the original features and the intercept."""
        coef, intercept = super().coefficients(fit)
        return coef[:, 0], float(intercept[0])


class CoxSubsets(LikelihoodSubsets):
    """The partial likelihood; y has the columns time and event.

    Features are scored with expected events as weights of the samples, as if all risk
    sets had one center; what is proposed is refitted with the full Hessian.
    """

    def __init__(self, *arguments, ties, **options):
        self.ties = ties
        self.counts_rows = ties == "efron"
        super().__init__(*arguments, fit_intercept=True, **options)

    def make_datafit(self, y, sample_weight):
        """Return the partial likelihood."""
        if y.shape[1] > 2:
            raise ValueError(
                "Entry times (a y of three columns) are not taken by "
                "BestSubsetCoxRegressor. Use SparseCoxRegressor, or leave them out."
            )
        event = y[:, 1] > 0
        if not event.any():
            raise ValueError(
                "All samples (of positive weight) are censored: the partial likelihood "
                "is constant. At least one observed event is required."
            )
        return OneColumn(Cox(y[:, 0], event, sample_weight, ties=self.ties))

    def least_value(self):
        """Return the limit where at every time those who fail have all the risk."""
        return self.datafit.datafit.least_value

    def _hessian(self, A, eta):
        datafit, eta = self.datafit.datafit, eta[:, 0]
        H = datafit.gram(A, eta, datafit.model_curvature(eta))
        return H[None, :, None]

    def coefficients(self, fit):
        """Return coefficients of the original features, and no intercept."""
        return super().coefficients(fit)[0][:, 0], 0.0

    def held_out_losses(self, X, y, fits, held):
        """Partial likelihood of all rows less that of the rows fitted, per event."""
        here = self.datafit.datafit
        held = np.ones(len(y)) if held is None else held / self.weight_unit
        whole = Cox(
            np.concatenate([here.y, y[:, 0]]),
            np.concatenate([here.event, y[:, 1] > 0]),
            np.concatenate([here.weights, held]),
            ties=self.ties,
        )
        events = float(held @ (y[:, 1] > 0))
        losses = np.zeros(len(fits))
        for at, fit in enumerate(fits if events > 0 else ()):
            coef, _ = self.coefficients(fit)
            eta = fit.state["eta"][:, 0]
            there = safe_sparse_dot(X[:, fit.columns], coef, dense_output=True)
            there = there - self.design.center_dot(fit.columns, coef)
            gain = whole.value(np.concatenate([eta, there])) - here.value(eta)
            losses[at] = gain / events
        return losses
