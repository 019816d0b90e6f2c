r"""Losses of generalised linear models as functions of the linear predictor.

A datafit holds a target and sample weights and measures a linear predictor eta
(shape ``(n_samples,)``, softmax ``(n_samples, n_classes)``):

- ``value(eta)``: the weighted sum of the losses, not divided by anything;
- ``gradient(eta)``: its derivative, of the shape of eta;
- ``curvature(eta)``: the diagonal of its Hessian (Huber, Cox: weights of a
  quadratic that is close to it, or above it);
- ``curvature_bound``: an upper bound of that diagonal for every eta, or None;
- ``smoothness``: per sample, an upper bound of the Hessian as a matrix, or None;
- ``conjugate(v)``: the convex conjugate at v (of the shape of eta), or None;
- ``gram(A, eta, h)``: ``A' H(eta) A`` for columns A, h the diagonal curvature;
- ``null_intercept()`` and ``settle_intercept(eta)``: the best constant predictor,
  and the shift of eta that makes the gradient sum to zero, to rounding;
- ``saturated``: the least value that any eta could have.

The dual point of a penalised problem is a multiple c of the gradient with
``0 <= c <= 1``; for all losses here that keeps it in the domain of the conjugate.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.special import expit, xlogy

from sparsestat._utils.samples import check_counts

__all__ = ["Cox", "Huber", "LeastSquares", "Logistic", "Poisson", "Softmax"]

_EPS = np.finfo(np.float64).eps
_MAX_INTERCEPT_STEPS = 100
_TOUCHING = 0.3  # share of the curvature of a quadratic that touches Huber's loss
_SINGLE_TERMS, _RULE_SIZE = 32, 12  # of Efron's sums: one by one, nodes of a rule
# Range of eta within which plain sums of exponentials keep all their terms.
_PLAIN_RANGE = 500.0


class Datafit:
    """What the losses of one linear predictor for each sample share."""

    has_intercept = True
    is_separable = True  # a sum over samples: the Hessian is a diagonal matrix
    curvature_bound = None
    smoothness = None
    saturated = 0.0
    floor = 1e-6  # least curvature of a model, relative to the weight of a sample

    def __init__(self, y, sample_weight=None):
        self.y = np.asarray(y, dtype=np.float64)
        self.n_samples = self.y.shape[0]
        if sample_weight is None:
            self.weights = np.ones(self.n_samples)
        else:
            self.weights = np.asarray(sample_weight, dtype=np.float64)
        self.total = float(self.weights.sum())

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
        for _ in range(_MAX_INTERCEPT_STEPS):
            gradient = self.gradient(eta + shift)
            slope = float(gradient.sum())
            if abs(slope) <= goal:
                break
            low, high = (low, shift) if slope > 0 else (shift, high)
            bend = float(self.curvature(eta + shift).sum())
            step = -slope / bend if bend > 0 else -reach * np.sign(slope)
            # Far from the root a convex loss may bend very little, or not at all.
            step = float(np.clip(step, -reach, reach)) if self._steep else step
            reach *= 2.0
            new = shift + step
            if not low < new < high:
                new = 0.5 * (low + high)
                if not np.isfinite(new):
                    new = shift + np.clip(step, -8.0, 8.0)
            if new == shift or abs(new - shift) <= _EPS * abs(new):
                break
            shift = new
        return shift

    _steep = False

    def _slope_scale(self, eta):
        return float(np.abs(self.gradient(eta)).sum())


class LeastSquares(Datafit):
    """Half the squared error, ``(eta - y)^2 / 2``."""

    def __init__(self, y, sample_weight=None):
        super().__init__(y, sample_weight)
        self.curvature_bound = self.smoothness = self.weights

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

    def __init__(self, y, sample_weight=None):
        super().__init__(y, sample_weight)
        self.curvature_bound = self.smoothness = 0.25 * self.weights

    def value(self, eta):
        """Return the weighted sum of the losses."""
        # log(1 + exp(-z)) with the margin z: nothing cancels where z is large.
        margin = np.where(self.y > 0.5, eta, -eta)
        return float(self.weights @ np.logaddexp(0.0, -margin))

    def gradient(self, eta):
        """Return the derivative in eta."""
        margin = np.where(self.y > 0.5, -eta, eta)
        return self.weights * np.where(self.y > 0.5, -1.0, 1.0) * expit(margin)

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
        return float(s @ (xlogy(u, u) + xlogy(1.0 - u, 1.0 - u)))


class Poisson(Datafit):
    """Poisson loss with the logarithmic link, ``exp(eta) - y eta``."""

    _steep = True

    def __init__(self, y, sample_weight=None):
        super().__init__(y, sample_weight)
        self.saturated = float(self.weights @ (self.y - xlogy(self.y, self.y)))

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


class Huber(Datafit):
    """Huber's loss of ``r = eta - y``: quadratic up to `delta`, linear beyond.

    ``r^2 / 2`` where ``|r| <= delta`` and ``delta (|r| - delta / 2)`` elsewhere.
    """

    floor = 0.02

    def __init__(self, y, sample_weight=None, *, delta=1.35):
        super().__init__(y, sample_weight)
        self.delta = float(delta)
        self.curvature_bound = self.smoothness = self.weights

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
        left, right = knots[low], knots[high]
        a, b = slope(left), slope(right)
        if b <= a:
            return float(0.5 * (left + right))
        return float(left - a * (right - left) / (b - a))


class Softmax:
    """Multinomial log loss ``logsumexp(eta_i) - eta_i[y_i]``.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples,)
        Class of each sample.
    n_classes : int
    sample_weight : array-like of shape (n_samples,), default=None
    """

    has_intercept = True
    saturated = 0.0
    steepest = Datafit.steepest
    magnitude = Datafit.magnitude

    def __init__(self, codes, n_classes, sample_weight=None):
        self.codes = np.asarray(codes, dtype=np.intp)
        self.n_samples, self.n_classes = len(self.codes), int(n_classes)
        if sample_weight is None:
            self.weights = np.ones(self.n_samples)
        else:
            self.weights = np.asarray(sample_weight, dtype=np.float64)
        self.total = float(self.weights.sum())
        self.rows = np.arange(self.n_samples)
        self.curvature_bound = 0.25 * self.weights
        self.smoothness = 0.5 * self.weights

    def value(self, eta):
        """Return the weighted sum of the losses."""
        shifted = eta - eta.max(axis=1, keepdims=True)
        losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[self.rows, self.codes]
        return float(self.weights @ losses)

    def probabilities(self, eta):
        """Return the class probabilities, rows that sum to one."""
        P = np.exp(eta - eta.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        return P

    def gradient(self, eta):
        """Return the derivative in eta, shape (n_samples, n_classes)."""
        G = self.probabilities(eta)
        G[self.rows, self.codes] -= 1.0
        G *= self.weights[:, None]
        return G

    def curvature(self, eta):
        """Return the diagonal of the Hessian, shape (n_samples, n_classes)."""
        P = self.probabilities(eta)
        return self.weights[:, None] * P * (1.0 - P)

    def conjugate(self, v):
        """Return the convex conjugate at v, rows that sum to zero."""
        used = self.weights > 0
        t = v[used] / self.weights[used][:, None]
        t[np.arange(len(t)), self.codes[used]] += 1.0
        t = np.maximum(t, 0.0)
        return float(self.weights[used] @ xlogy(t, t).sum(axis=1))

    def null_intercept(self):
        """Return the logarithms of the weighted class shares, with mean zero."""
        mass = np.bincount(self.codes, self.weights, self.n_classes)
        logs = np.log(mass)
        return logs - logs.mean()

    def settle_intercept(self, eta):
        """Return the shift (one number a class) at which all gradients sum to zero.

        Damped Newton steps in the space of shifts with mean zero.
        """
        shift = np.zeros(self.n_classes)
        value = self.value(eta)
        mass = np.bincount(self.codes, self.weights, self.n_classes)
        before = np.inf
        for _ in range(_MAX_INTERCEPT_STEPS):
            P = self.probabilities(eta + shift)
            weighted = self.weights[:, None] * P
            slope = weighted.sum(axis=0) - mass
            largest = np.abs(slope).max()
            if largest <= 8.0 * _EPS * self.total or (
                largest >= before and largest <= 1e-12 * self.total
            ):
                break
            before = largest
            H = np.diag(weighted.sum(axis=0)) - P.T @ weighted
            # The all-ones direction is flat; this fills it.
            H += self.total / self.n_classes**2
            try:
                step = np.linalg.solve(H, -slope)
            except np.linalg.LinAlgError:  # a class without any probability
                step = np.linalg.lstsq(H, -slope, rcond=1e-13)[0]
            step -= step.mean()
            # Where probabilities are 0 or 1 to all digits, steps have no length.
            step *= min(1.0, 8.0 / max(np.abs(step).max(), 1e-300))
            length, gain = 1.0, float(slope @ step)
            while length > 1e-6:
                new = self.value(eta + shift + length * step)
                # Close to the optimum the decrease drowns in rounding.
                if new <= value + 1e-4 * length * gain + 1e-14 * abs(value):
                    break
                length *= 0.5
            else:  # half the total bounds the curvature: this always descends
                length, step = 1.0, -2.0 / self.total * slope
                new = self.value(eta + shift + step)
            shift = shift + length * step
            value = new
        return shift


def _efron_terms(mass):
    """Return the steps l of Efron's sum over tied events, and their counts.

    The terms are smooth functions of l with a singularity at l = mass or beyond. The
    last ones are taken one by one; before them come runs that double in length, each
    as far from the singularity as it is long, so that a Gauss rule for the sum over a
    run is exact to rounding.
    """
    last = max(int(np.ceil(mass - 1e-12)), 1)
    steps = [np.arange(max(last - _SINGLE_TERMS, 0), last, dtype=np.float64)]
    counts = [np.minimum(1.0, mass - steps[0])]
    start = int(steps[0][0])
    while start > 0:
        length = min(last - start, start)
        start -= length
        nodes, sizes = _sum_rule(length)
        steps.append(start + nodes)
        counts.append(sizes)
    return np.concatenate(steps), np.concatenate(counts)


def _sum_rule(length):
    """Gauss rule for the sum over 0, ..., length - 1 of a smooth function.

    The nodes are the zeros of a discrete Chebyshev polynomial, found from its
    three-term recurrence (Golub and Welsch 1969).
    """
    if length <= _RULE_SIZE:
        return np.arange(length, dtype=np.float64), np.ones(length)
    k = np.arange(1.0, _RULE_SIZE)
    beside = 0.5 * np.sqrt(k * k * (1.0 - (k / length) ** 2) / (4.0 * k * k - 1.0))
    nodes, vectors = eigh_tridiagonal(np.zeros(_RULE_SIZE), beside)
    return 0.5 * (length - 1.0) + length * nodes, length * vectors[0] ** 2


class Cox(Datafit):
    """Negative log partial likelihood of right-censored survival times.

    Parameters
    ----------
    time : array-like of shape (n_samples,)
    event : array-like of bool of shape (n_samples,)
        True where the event was seen, False where the time is censored.
    sample_weight : array-like of shape (n_samples,), default=None
        Counts: an integer weight equals repetition, also for ties.
    ties : {"breslow", "efron"}, default="breslow"

    Notes
    -----
    The predictor has no intercept. Samples are sorted by time once; every risk set
    is then a tail, and its sums are reverse cumulative sums. Efron's method with
    tied events of total weight D takes the terms l = 0, 1, ... of weight 1 below D
    (the last one of weight D - l when D is not whole). Long runs of terms are summed
    by Gauss rules for sums, so that memory does not grow with the weights.
    """

    has_intercept = False
    is_separable = False

    def __init__(self, time, event, sample_weight=None, *, ties="breslow"):
        super().__init__(time, sample_weight)
        self.event = np.asarray(event, dtype=bool)
        self.ties = ties
        order = np.argsort(self.y, kind="stable")
        self.order = order
        times, w = self.y[order], self.weights[order]
        self._w = w
        with np.errstate(divide="ignore"):
            self._log_w = np.log(w)
        self._hit = w * self.event[order]
        _, first, group = np.unique(times, return_index=True, return_inverse=True)
        mass = np.bincount(group, self._hit)
        # Only times with events matter: the others belong to no term.
        used = mass > 0
        self.event_times = times[first[used]]
        self._first = first[used]  # start of the risk set of each event time
        self._last = np.append(first[1:], self.n_samples)[used]  # end of its ties
        self._mass = mass[used]
        # Number of event times not later than each sample.
        self._reached = np.cumsum(used)[group]
        # Position among event times of each sample, and of those whose event it is.
        self._at = np.where(used[group], self._reached - 1, -1)
        self._tied = np.where(self._hit > 0, self._at, -1)
        if ties == "efron":
            check_counts(sample_weight, self.n_samples, "ties='efron'")
            terms = [_efron_terms(float(mass)) for mass in self._mass]
            sizes = [len(steps) for steps, _ in terms]
            self._term = np.repeat(np.arange(len(terms)), sizes)
            steps = np.concatenate([steps for steps, _ in terms])
            self._part = steps / self._mass[self._term]
            self._left = (self._mass[self._term] - steps) / self._mass[self._term]
            self._term_weight = np.concatenate([counts for _, counts in terms])
        else:
            self._term = np.arange(len(self._mass))
            self._part = np.zeros(len(self._mass))
            self._term_weight = self._mass
        # Ties that Efron's method tells from Breslow's.
        self._has_parts = bool(self._part.any())

    def _sums(self, eta):
        """Return the pieces of all sums at eta: sorted, in units of exp(top)."""
        z = eta[self.order]
        top = float(z.max())
        e = self._w * np.exp(z - top)
        tails = np.append(np.cumsum(e[::-1])[::-1], 0.0)
        if not self._has_parts:
            return z, top, e, tails[self._first], None
        # The risk set less its tied events: no difference of sums that may be equal.
        held = self._tied >= 0
        tied = np.bincount(self._tied[held], e[held], len(self._mass))
        beside = (self._at >= 0) & ~held
        rest = tails[self._last]
        rest = rest + np.bincount(self._at[beside], e[beside], len(self._mass))
        return z, top, e, rest, tied

    def _phi(self, risk, tied):
        phi = risk[self._term]
        if tied is not None:
            phi = phi + self._left * tied[self._term]
        return phi

    def _is_plain(self, eta):
        return float(eta.max() - eta.min()) < _PLAIN_RANGE

    def _log_phi(self, z):
        """Logarithm of the risk sums, whatever the range of eta."""
        logs = z + self._log_w
        log_risk = np.logaddexp.accumulate(logs[::-1])[::-1][self._first]
        log_phi = log_risk[self._term]
        if self._has_parts:
            log_tied = np.full(len(self._mass), -np.inf)
            held = self._tied >= 0
            np.logaddexp.at(log_tied, self._tied[held], logs[held])
            share = np.exp(log_tied - log_risk)[self._term]
            log_phi = log_phi + np.log1p(-self._part * share)
        return log_phi

    def value(self, eta):
        """Return the negative log partial likelihood."""
        if not np.isfinite(eta).all():
            return np.inf
        if self._is_plain(eta):
            z, top, _, risk, tied = self._sums(eta)
            log_phi = np.log(self._phi(risk, tied)) + top
        else:
            z = eta[self.order]
            log_phi = self._log_phi(z)
        return float(self._term_weight @ log_phi - self._hit @ z)

    def _expected(self, eta):
        """Return the expected events of each sample, sorted by time."""
        n_times = len(self._mass)
        if self._is_plain(eta):
            z, _, e, risk, tied = self._sums(eta)
            inverse = self._term_weight / self._phi(risk, tied)
            rate = np.bincount(self._term, inverse, n_times)
            hazard = np.concatenate([[0.0], np.cumsum(rate)])[self._reached]
            if tied is not None:
                relief = np.bincount(self._term, inverse * self._part, n_times)
                held = self._tied >= 0
                hazard[held] -= relief[self._tied[held]]
            return e * hazard
        z = eta[self.order]
        log_inverse = np.log(self._term_weight) - self._log_phi(z)
        # Cumulative hazards in the logarithmic domain, then one product each.
        log_rate = np.full(n_times, -np.inf)
        np.logaddexp.at(log_rate, self._term, log_inverse)
        log_hazard = np.concatenate([[-np.inf], np.logaddexp.accumulate(log_rate)])
        expected = np.exp(log_hazard[self._reached] + z + self._log_w)
        if self._has_parts:
            with np.errstate(divide="ignore"):
                parts = np.log(self._part) + log_inverse
            log_relief = np.full(n_times, -np.inf)
            np.logaddexp.at(log_relief, self._term, parts)
            held = self._tied >= 0
            expected[held] -= np.exp(
                log_relief[self._tied[held]] + z[held] + self._log_w[held]
            )
        return expected

    def gradient(self, eta):
        """Return the derivative in eta: expected minus observed events."""
        out = np.empty(self.n_samples)
        out[self.order] = self._expected(eta) - self._hit
        return out

    def curvature(self, eta):
        """Return a diagonal that lies above the Hessian: expected events."""
        out = np.empty(self.n_samples)
        out[self.order] = np.maximum(self._expected(eta), 0.0)
        return out

    def gram(self, A, eta, h):
        """Return ``A' H(eta) A`` with the full Hessian, h minus a part of low rank."""
        G = super().gram(A, eta, h)
        _, _, e, risk, tied = self._sums(eta)
        weighted = e[:, None] * A[self.order]
        # Means of the columns over each risk set.
        sums = np.cumsum(weighted[::-1], axis=0)[::-1][self._first]
        M = sums[self._term]
        if tied is not None:
            held = self._tied >= 0
            at_ties = np.zeros((len(self._mass), A.shape[1]))
            np.add.at(at_ties, self._tied[held], weighted[held])
            M = M - self._part[:, None] * at_ties[self._term]
        phi = self._phi(risk, tied)
        with np.errstate(divide="ignore", invalid="ignore"):
            M *= np.where(phi > 0, np.sqrt(self._term_weight) / phi, 0.0)[:, None]
        G -= M.T @ M
        return G

    def baseline(self, eta):
        """Return the cumulative baseline hazard after each event time."""
        _, top, _, risk, tied = self._sums(eta)
        inverse = self._term_weight / self._phi(risk, tied)
        rate = np.bincount(self._term, inverse, len(self._mass))
        return np.cumsum(rate) * np.exp(-top)

    def null_intercept(self):
        """Return 0: the partial likelihood does not see a constant."""
        return 0.0

    def settle_intercept(self, eta):
        """Return 0: the partial likelihood does not see a constant."""
        return 0.0
