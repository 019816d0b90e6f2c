r"""Losses of generalized linear models as functions of the linear predictor.

A datafit holds a target and sample weights and measures a linear predictor eta
(shape ``(n_samples,)``, softmax ``(n_samples, n_classes)``):

- ``value(eta)``: the weighted sum of the losses, not divided by anything;
- ``gradient(eta)``: its derivative, of the shape of eta;
- ``curvature(eta)``: the diagonal of its Hessian (Huber, Cox: weights of a
  quadratic that is close to it, or above it);
- ``curvature_bound``: an upper bound of that diagonal for every eta, or None;
- ``smoothness``: per sample, an upper bound of the Hessian as a matrix, or None;
- ``steepness``: where both are a multiple of the weights, that multiple, or None;
- ``conjugate(v)``: the convex conjugate at v (of the shape of eta), or None;
- ``null_curvature``: that bound, or what is expected of a constant predictor, beside
  the weight of a sample;
- ``gram(A, eta, h)``: ``A' H(eta) A`` for columns A, h the diagonal curvature; where H
  is not diagonal also ``hessian_product(eta, v)``;
- ``null_intercept()`` and ``settle_intercept(eta)``: the best constant predictor,
  and the shift of eta that makes the gradient sum to zero, to rounding;
- ``saturated``: the least value that any eta could have.

The dual point of a penalized problem is a multiple c of the gradient with
``0 <= c <= 1``; for all losses here that keeps it in the domain of the conjugate.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.special import expit, xlog1py, xlogy

from sparsestat.linear_model._penalized._steps import in_one_unit, line_search

__all__ = [
    "MAX_INTERCEPT_STEPS",
    "Datafit",
    "Gamma",
    "Huber",
    "LeastSquares",
    "Logistic",
    "Offset",
    "Poisson",
    "Tweedie",
]

_EPS = np.finfo(np.float64).eps
MAX_INTERCEPT_STEPS = 100
_TOUCHING = 0.3  # share of the curvature of a quadratic that touches Huber's loss


class Datafit:
    """What the losses of one linear predictor for each sample share."""

    shape = ()  # of the linear predictors of a sample
    has_intercept = True
    is_separable = True  # a sum over samples: the Hessian is a diagonal matrix
    curvature_bound = None
    smoothness = None
    steepness = None
    saturated = 0.0
    null_curvature = 1.0
    floor = 1e-6  # least curvature of a model, relative to the weight of a sample

    def __init__(self, y, sample_weight=None):
        self.y = np.asarray(y, dtype=np.float64)
        self.n_samples = self.y.shape[0]
        if sample_weight is None:
            self.weights = np.ones(self.n_samples)
        else:
            self.weights = np.asarray(sample_weight, dtype=np.float64)
        self.total = float(self.weights.sum())
        if self.steepness is not None:
            self.curvature_bound = self.smoothness = self.steepness * self.weights

    def conjugate(self, v):
        """Return None: no conjugate is known."""
        return None

    def model_curvature(self, eta):
        """Return positive curvatures for a second-order model at eta."""
        return np.maximum(self.curvature(eta), self.floor * self.weights)

    def steepest(self, eta):
        """Return the largest curvature of a sample at eta, or a bound for every eta."""
        bound = self.curvature_bound
        bound = self.curvature(eta) if bound is None else bound
        return float(np.max(bound, initial=0.0))

    def magnitude(self, eta):
        """Return the sum of the absolute terms of the loss, for bounds of rounding."""
        return abs(self.value(eta))

    def gram(self, A, eta, h):
        """Return ``A' H(eta) A``, of which `h` is the diagonal."""
        B = np.sqrt(h)[:, None] * A
        return B.T @ B

    def null_intercept(self):
        """Return the best constant predictor."""
        eta = np.zeros(self.n_samples)
        return float(self.settle_intercept(eta))

    def settle_intercept(self, eta):
        """Return the shift of eta at which the gradient sums to zero.

        Newton's method, kept inside a bracket that every step narrows.
        """
        shift, low, high = 0.0, -np.inf, np.inf
        reach = 8.0
        goal = 4.0 * _EPS * self._slope_scale(eta)
        for _ in range(MAX_INTERCEPT_STEPS):
            gradient = self.gradient(eta + shift)
            slope = float(gradient.sum())
            if abs(slope) <= goal:
                break
            low, high = (low, shift) if slope > 0 else (shift, high)
            bend = float(self.curvature(eta + shift).sum())
            step = -slope / bend if bend > 0 else -reach * np.sign(slope)
            # Far from the root a convex loss may bend very little, or not at all.
            step = min(max(step, -reach), reach) if self._steep else step
            reach *= 2.0
            new = shift + step
            if not low < new < high:
                new = 0.5 * (low + high)
                if not np.isfinite(new):
                    new = shift + min(max(step, -8.0), 8.0)
            if new == shift or abs(new - shift) <= _EPS * abs(new):
                break
            shift = new
        return shift

    def settle_block(self, block, eta, *, with_shift):
        """Minimize over the coefficients of a few columns, and an intercept.

        Parameters
        ----------
        block : ndarray of shape (n_samples, n_columns)
        eta : ndarray of shape (n_samples,)
            The linear predictor to start from.
        with_shift : bool
            Whether there is an intercept.

        Returns
        -------
        step : ndarray of shape (n_columns,)
        shift : float
        """
        m = block.shape[1]
        A = np.column_stack([block, np.ones(len(block))]) if with_shift else block
        A, units = in_one_unit(A)
        coef, best = np.zeros(A.shape[1]), np.inf
        present = self.value(eta)
        for _ in range(MAX_INTERCEPT_STEPS):
            gradient = self.gradient(eta)
            slope = A.T @ gradient
            worst = float(np.abs(slope).max())
            if worst >= 0.5 * best and worst <= 1e-9 * float(np.abs(gradient).sum()):
                break  # rounding
            best = min(best, worst)
            H = self.gram(A, eta, self.model_curvature(eta))
            step = np.linalg.lstsq(H, -slope, rcond=1e-14)[0]
            image = A @ step
            change = float(slope @ step)

            def objective(t, eta=eta, image=image):
                return self.value(eta + t * image)

            length = line_search(objective, present, change)
            if length == 0.0:
                # The value has no digits left; the gradient may have some.
                near = np.abs(A.T @ self.gradient(eta + image)).max()
                if not near < worst:
                    break
                length = 1.0
            coef += length * step
            eta = eta + length * image
            present = self.value(eta)
        coef /= units
        return coef[:m], float(coef[m]) if with_shift else 0.0

    _steep = False

    def _slope_scale(self, eta):
        return float(np.abs(self.gradient(eta)).sum())


class LeastSquares(Datafit):
    """Half the squared error, ``(eta - y)^2 / 2``."""

    steepness = 1.0

    def value(self, eta):
        """Return the weighted sum of the losses."""
        r = eta - self.y
        return 0.5 * float(self.weights @ (r * r))

    def gradient(self, eta):
        """Return the derivative in eta."""
        return self.weights * (eta - self.y)

    def curvature(self, eta):
        """Return the second derivative in eta."""
        return self.weights

    def conjugate(self, v):
        """Return the convex conjugate at v."""
        used = self.weights > 0
        v, y, s = v[used], self.y[used], self.weights[used]
        return float((0.5 * v * v / s + y * v).sum())

    def settle_intercept(self, eta):
        """Return the shift of eta at which the gradient sums to zero."""
        return float(self.weights @ (self.y - eta)) / self.total


class Logistic(Datafit):
    """Binary log loss ``log(1 + exp(eta)) - y eta`` with y in {0, 1}."""

    _steep = True
    null_curvature = steepness = 0.25

    def __init__(self, y, sample_weight=None):
        super().__init__(y, sample_weight)
        self._signs = np.where(self.y > 0.5, -1.0, 1.0)  # of the other class
        self._signed_weights = self.weights * self._signs

    def value(self, eta):
        """Return the weighted sum of the losses."""
        # log(1 + exp(-z)) with the margin z: nothing cancels where z is large.
        return float(self.weights @ np.logaddexp(0.0, self._signs * eta))

    def gradient(self, eta):
        """Return the derivative in eta."""
        return self._signed_weights * expit(self._signs * eta)

    def curvature(self, eta):
        """Return the second derivative in eta."""
        return self.weights * expit(eta) * expit(-eta)

    def conjugate(self, v):
        """Return the convex conjugate at v."""
        used = self.weights > 0
        s = self.weights[used]
        # t = v / s + y, kept away from cancellation on both sides.
        u = np.abs(v[used]) / s
        u = np.minimum(u, 1.0)
        return float(s @ (xlogy(u, u) + xlog1py(1.0 - u, -u)))


class Poisson(Datafit):
    """Poisson loss with the logarithmic link, ``exp(eta) - y eta``."""

    def __init__(self, y, sample_weight=None):
        super().__init__(y, sample_weight)
        self.saturated = float(self.weights @ (self.y - xlogy(self.y, self.y)))

    @property
    def null_curvature(self):
        """Curvature of a sample beside its weight: the mean count."""
        return float(self.weights @ self.y) / self.total

    def value(self, eta):
        """Return the weighted sum of the losses."""
        with np.errstate(over="ignore"):
            return float(self.weights @ (np.exp(eta) - self.y * eta))

    def magnitude(self, eta):
        """Return the sum of the absolute terms of the loss, for bounds of rounding."""
        terms = np.exp(eta) + self.y * np.abs(eta)
        return float(self.weights @ terms) + abs(self.saturated)

    def gradient(self, eta):
        """Return the derivative in eta."""
        return self.weights * (np.exp(eta) - self.y)

    def curvature(self, eta):
        """Return the second derivative in eta."""
        return self.weights * np.exp(eta)

    def conjugate(self, v):
        """Return the convex conjugate at v."""
        used = self.weights > 0
        s = self.weights[used]
        t = np.maximum(v[used] / s + self.y[used], 0.0)
        return float(s @ (xlogy(t, t) - t))

    def settle_intercept(self, eta):
        """Return the shift of eta at which the gradient sums to zero."""
        top = float(eta.max())
        mass = float(self.weights @ np.exp(eta - top))
        return float(np.log(self.weights @ self.y / mass)) - top


class Tweedie(Datafit):
    """Half the Tweedie deviance with the logarithmic link, less what eta leaves alone.

    ``y exp((1 - p) eta) / (p - 1) + exp((2 - p) eta) / (2 - p)`` for a power p of the
    variance between 1 and 2: counts of events, each of a random positive size.
    """

    def __init__(self, y, sample_weight=None, *, power=1.5):
        super().__init__(y, sample_weight)
        self.power = float(power)
        p, seen = self.power, self.y > 0
        least = np.zeros(self.n_samples)
        least[seen] = self.y[seen] ** (2.0 - p) / ((p - 1.0) * (2.0 - p))
        self.saturated = float(self.weights @ least)

    @property
    def null_curvature(self):
        """Curvature of a sample beside its weight, expected of a constant."""
        mean = float(self.weights @ self.y) / self.total
        return mean ** (2.0 - self.power)

    def _terms(self, eta):
        p = self.power
        with np.errstate(over="ignore", invalid="ignore"):
            low = np.where(self.y > 0, self.y * np.exp((1.0 - p) * eta), 0.0)
            return low, np.exp((2.0 - p) * eta)

    def value(self, eta):
        """Return the weighted sum of the losses."""
        low, high = self._terms(eta)
        p = self.power
        return float(self.weights @ (low / (p - 1.0) + high / (2.0 - p)))

    def magnitude(self, eta):
        """Return the sum of the absolute terms of the loss, for bounds of rounding."""
        return self.value(eta) + abs(self.saturated)

    def gradient(self, eta):
        """Return the derivative in eta."""
        low, high = self._terms(eta)
        return self.weights * (high - low)

    def curvature(self, eta):
        """Return the second derivative in eta."""
        low, high = self._terms(eta)
        p = self.power
        return self.weights * ((p - 1.0) * low + (2.0 - p) * high)

    def conjugate(self, v):
        """Return the convex conjugate at v."""
        # The supremum is where the derivative of the loss is v; with t = exp(eta)
        # that is t^(1 - p) (t - y) = u, which has one root.
        used = self.weights > 0
        y, s = self.y[used], self.weights[used]
        u, p = v[used] / s, self.power
        eta = np.full(len(y), -np.inf)
        free = (y == 0) & (u > 0)
        eta[free] = np.log(u[free]) / (2.0 - p)
        seen = y > 0
        eta[seen] = _tweedie_root(u[seen], y[seen], p)
        held = np.isfinite(eta)
        y, s, u, eta = y[held], s[held], u[held], eta[held]
        loss = y * np.exp((1.0 - p) * eta) / (p - 1.0)
        loss = loss + np.exp((2.0 - p) * eta) / (2.0 - p)
        return float(s @ (u * eta - loss))

    def settle_intercept(self, eta):
        """Return the shift of eta at which the gradient sums to zero."""
        p = self.power
        seen = self.y > 0
        low = np.log(self.y[seen]) + (1.0 - p) * eta[seen]
        high = (2.0 - p) * eta
        return _log_mass(self.weights[seen], low) - _log_mass(self.weights, high)


def _log_mass(weights, logs):
    """Return ``log(sum(weights * exp(logs)))``."""
    top = float(logs.max())
    return float(np.log(weights @ np.exp(logs - top))) + top


def _tweedie_root(u, y, p):
    """Solve ``exp((2 - p) eta) - y exp((1 - p) eta) = u`` for eta, each y positive.

    Relative to y: with x = eta - log(y) and k = u y^(p - 2) the equation is
    ``exp((2 - p) x) - exp((1 - p) x) = k``, and the left side rises.
    """
    k = u * y ** (p - 2.0)
    # One term alone is too small on either side, so that the root is below it.
    with np.errstate(divide="ignore", invalid="ignore"):
        high = np.log1p(np.maximum(k, 0.0)) / (2.0 - p)
        low = -np.log1p(np.maximum(-k, 0.0)) / (p - 1.0)
    x = np.where(k >= 0, high, low)
    for _ in range(100):
        a, b = np.exp((2.0 - p) * x), np.exp((1.0 - p) * x)
        over = (a - b) - k
        low, high = np.where(over < 0, x, low), np.where(over > 0, x, high)
        new = x - over / ((2.0 - p) * a + (p - 1.0) * b)
        new = np.where((new < low) | (new > high), 0.5 * (low + high), new)
        if np.all(np.abs(new - x) <= 4.0 * _EPS * np.maximum(np.abs(x), 1.0)):
            x = new
            break
        x = new
    return x + np.log(y)


class Gamma(Datafit):
    """Gamma loss with the logarithmic link, ``y exp(-eta) + eta``, y positive."""

    def __init__(self, y, sample_weight=None):
        super().__init__(y, sample_weight)
        self._log_y = np.log(self.y)
        self.saturated = float(self.weights @ (1.0 + self._log_y))

    def _ratio(self, eta):
        """Return ``y exp(-eta)``, infinite where it overflows."""
        with np.errstate(over="ignore"):
            return np.exp(self._log_y - eta)

    def value(self, eta):
        """Return the weighted sum of the losses."""
        return float(self.weights @ (self._ratio(eta) + eta))

    def magnitude(self, eta):
        """Return the sum of the absolute terms of the loss, for bounds of rounding."""
        terms = self._ratio(eta) + np.abs(eta) + 1.0 + np.abs(self._log_y)
        return float(self.weights @ terms)

    def gradient(self, eta):
        """Return the derivative in eta."""
        return self.weights * (1.0 - self._ratio(eta))

    def curvature(self, eta):
        """Return the second derivative in eta."""
        return self.weights * self._ratio(eta)

    def conjugate(self, v):
        """Return the convex conjugate at v, given that ``v <= s``."""
        used = self.weights > 0
        s, log_y = self.weights[used], self._log_y[used]
        t = np.maximum(1.0 - v[used] / s, 0.0)
        return float(s @ (xlogy(t, t) - t * log_y - t))

    def settle_intercept(self, eta):
        """Return the shift of eta at which the gradient sums to zero."""
        return _log_mass(self.weights, self._log_y - eta) - float(np.log(self.total))


class Huber(Datafit):
    """Huber's loss of ``r = eta - y``: quadratic up to `delta`, linear beyond.

    ``r^2 / 2`` where ``|r| <= delta`` and ``delta (|r| - delta / 2)`` elsewhere.
    """

    floor, steepness = 0.02, 1.0

    def __init__(self, y, sample_weight=None, *, delta=1.35):
        super().__init__(y, sample_weight)
        self.delta = float(delta)

    def value(self, eta):
        """Return the weighted sum of the losses."""
        size = np.abs(eta - self.y)
        inner = np.minimum(size, self.delta)
        return float(self.weights @ (inner * (size - 0.5 * inner)))

    def gradient(self, eta):
        """Return the derivative in eta."""
        return self.weights * np.clip(eta - self.y, -self.delta, self.delta)

    def curvature(self, eta):
        """Return the second derivative in eta: 0 for outliers."""
        return self.weights * (np.abs(eta - self.y) <= self.delta)

    def model_curvature(self, eta):
        """Return positive curvatures for a second-order model at eta.

        The loss has none beyond `delta`. The quadratic that touches it at r and at -r
        has ``delta / |r|``: a model without such small curvatures would take steps of
        the order of `delta`, however far the targets are.
        """
        size = np.abs(eta - self.y)
        beyond = _TOUCHING * self.delta / np.maximum(size, self.delta)
        h = np.where(size <= self.delta, 1.0, np.minimum(self.floor, beyond))
        return self.weights * h

    def conjugate(self, v):
        """Return the convex conjugate at v, given that ``|v| <= delta s``."""
        used = self.weights > 0
        v, y, s = v[used], self.y[used], self.weights[used]
        return float((0.5 * v * v / s + y * v).sum())

    def settle_intercept(self, eta):
        """Return the shift of eta at which the gradient sums to zero."""
        # The slope is piecewise linear and rises with the shift: between two of
        # its knots it is a line, and the knots are found by bisection.
        residual = eta - self.y
        used = self.weights > 0
        residual, s = residual[used], self.weights[used]
        knots = np.sort(
            np.concatenate([-residual - self.delta, -residual + self.delta])
        )

        def slope(shift):
            clipped = np.clip(residual + shift, -self.delta, self.delta)
            return float(s @ clipped)

        low, high = 0, len(knots) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if slope(knots[middle]) > 0:
                high = middle
            else:
                low = middle
        # On the line from the residuals within delta: a line through its ends would
        # have the digits of delta, not theirs.
        left, right = knots[low], knots[high]
        middle = 0.5 * (left + right)
        moved = residual + middle
        inside = np.abs(moved) < self.delta
        mass = float(s[inside].sum())
        if mass == 0.0:
            return float(middle)
        beyond = self.delta * float(s[~inside] @ np.sign(moved[~inside]))
        shift = -(float(s[inside] @ residual[inside]) + beyond) / mass
        return float(np.clip(shift, left, right))


class Offset:
    """A datafit of ``eta + offset``: what is known of the predictor beforehand.

    Parameters
    ----------
    datafit : datafit
    offset : ndarray of the shape of eta
    """

    _SHIFTED = frozenset(
        "value gradient curvature model_curvature steepest magnitude model "
        "probabilities settle_intercept".split()
    )

    def __init__(self, datafit, offset):
        self.datafit, self.offset = datafit, offset

    def __getattr__(self, name):
        if name in ("datafit", "offset"):  # not there yet
            raise AttributeError(name)
        value = getattr(self.datafit, name)
        if name not in Offset._SHIFTED:
            return value
        offset = self.offset
        return lambda eta: value(eta + offset)

    def conjugate(self, v):
        """Return the convex conjugate at v."""
        return self.datafit.conjugate(v) - float(np.vdot(self.offset, v))

    def gram(self, A, eta, h):
        """Return ``A' H(eta) A``, of which `h` is the diagonal."""
        return self.datafit.gram(A, eta + self.offset, h)

    def hessian_product(self, eta, v):
        """Return the Hessian at eta times v."""
        return self.datafit.hessian_product(eta + self.offset, v)

    def settle_block(self, block, eta, *, with_shift):
        """Return the step of free coefficients and intercepts to their minimum."""
        eta = eta + self.offset
        return self.datafit.settle_block(block, eta, with_shift=with_shift)

    def null_intercept(self):
        """Return the best constant predictor beside the offset."""
        return self.datafit.settle_intercept(self.offset)

    def in_cells(self, eta, n_cells):
        """Return how risk sets share their events, in runs of event times."""
        return self.datafit.in_cells(eta + self.offset, n_cells)

    def baseline(self, eta):
        """Return the cumulative baseline hazard after each event time."""
        return self.datafit.baseline(eta + self.offset)
