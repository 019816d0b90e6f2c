"""Losses of several linear predictors for each sample, or of one as a matrix.

They offer what ``_datafits`` says, and ``model(eta)``: coupling and weights of the
second-order model.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.special import xlog1py, xlogy

from sparsestat.linear_model._penalized._datafits import MAX_INTERCEPT_STEPS, Datafit
from sparsestat.linear_model._penalized._steps import in_one_unit

__all__ = ["OneColumn", "Softmax"]

_EPS = np.finfo(np.float64).eps


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
    is_separable = True
    saturated = 0.0
    null_curvature = 0.25
    steepest = Datafit.steepest
    magnitude = Datafit.magnitude

    def __init__(self, codes, n_classes, sample_weight=None):
        self.codes = np.asarray(codes, dtype=np.intp)
        self.n_samples, self.n_classes = len(self.codes), int(n_classes)
        self.shape = (self.n_classes,)
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
        top = eta.argmax(axis=1)
        shifted = eta - eta[self.rows, top][:, None]
        others = np.exp(shifted)
        others[self.rows, top] = 0.0  # a sum with their 1 would hide small ones
        losses = np.log1p(others.sum(axis=1)) - shifted[self.rows, self.codes]
        return float(self.weights @ losses)

    def probabilities(self, eta):
        """Return the class probabilities, rows that sum to one."""
        P = np.exp(eta - eta.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        return P

    def model(self, eta):
        """Return coupling and weights of the second-order model at eta."""
        P = self.probabilities(eta)
        return P, self.weights[:, None] * P

    def settle_block(self, block, eta, *, with_shift):
        """Return the step of free coefficients and intercepts to their minimum."""
        n, m = block.shape
        A = np.column_stack([block, np.ones(n)]) if with_shift else block
        A, units = in_one_unit(A)
        size, C = A.shape[1], self.n_classes
        coef, start = np.zeros((size, C)), eta
        value, before = self.value(eta), np.inf
        for _ in range(MAX_INTERCEPT_STEPS):
            slope = A.T @ self.gradient(eta)
            largest = float(np.abs(slope).max())
            if largest >= 0.5 * before and largest <= 1e-10 * np.abs(A).max() * (
                self.total
            ):
                break
            before = min(before, largest)
            P, Q = self.model(eta)
            H = np.zeros((C, size, C, size))
            for c in range(C):
                for d in range(C):
                    h = Q[:, c] * ((c == d) - P[:, d])
                    H[c, :, d, :] = A.T @ (h[:, None] * A)
            # A constant in all classes changes nothing: the least step of all.
            step = np.linalg.lstsq(
                H.reshape(C * size, C * size), -slope.T.ravel(), rcond=1e-13
            )[0]
            step = step.reshape(C, size).T
            gain, length = float(np.vdot(slope, step)), 1.0
            while length > 1e-6:
                new = self.value(start + A @ (coef + length * step))
                if new <= value + 1e-4 * length * gain + 1e-14 * abs(value):
                    break
                length *= 0.5
            coef = coef + length * step
            eta, value = start + A @ coef, new
        coef /= units[:, None]
        return coef[:m], coef[m] if with_shift else np.zeros(C)

    def gradient(self, eta):
        """Return the derivative in eta, shape (n_samples, n_classes)."""
        G = self.probabilities(eta)
        G[self.rows, self.codes] = 0.0  # less 1 is what the others have, with digits
        G[self.rows, self.codes] = -G.sum(axis=1)
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
        own = np.arange(len(t)), self.codes[used]
        left = np.clip(-t[own], 0.0, 1.0)  # by which the class of a sample misses 1
        t[own] = 0.0
        t = np.maximum(t, 0.0)
        values = xlogy(t, t).sum(axis=1) + xlog1py(1.0 - left, -left)
        return float(self.weights[used] @ values)

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
        for _ in range(MAX_INTERCEPT_STEPS):
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


class OneColumn:
    """A datafit of one predictor, which is a matrix of one column here."""

    shape = (1,)

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
        step, shift = self.datafit.settle_block(block, eta[:, 0], with_shift=with_shift)
        return step[:, None], np.array([shift])
