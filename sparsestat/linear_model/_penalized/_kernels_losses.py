"""Losses of one linear predictor for kernels: values, slopes, curvatures, conjugates.

They are those of ``_datafits``, whose tests compare both.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.sparse._kernels_exp import exponentials

__all__ = ["conjugate", "evaluate", "magnitude"]

LOGISTIC, POISSON, GAMMA, TWEEDIE, HUBER, COX = 0, 1, 2, 3, 4, 5
_TOUCHING = 0.3  # of the curvature of a quadratic that touches Huber's loss
_RANGE = 500.0  # of predictors of survival times whose exponentials are summed
_MOST = 700.0  # exponents beyond it overflow
_SERIES = 18  # terms of the logarithm of 1 + e: (1/9)^18 is below all digits


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "reassoc"})
def _log1p_sum(e, s, n):
    """Return ``sum(s * log(1 + e))`` of e in [0, 1], by the series of atanh."""
    total = 0.0
    for i in range(n):
        t = e[i] / (2.0 + e[i])
        z = t * t
        p = 1.0 / (2 * _SERIES + 1)
        for k in range(_SERIES - 1, -1, -1):
            p = p * z + 1.0 / (2 * k + 1)
        total += s[i] * (2.0 * t * p)
    return total


@njit(cache=True, nogil=True)
def _logistic(y, s, floor, eta, g, h, wanted):
    n = eta.shape[0]
    for i in range(n):
        h[i] = -min(abs(eta[i]), _MOST)
    exponentials(h, g, n)
    value = 0.0
    if wanted:
        value = _log1p_sum(h, s, n)
        for i in range(n):
            margin = eta[i] if y[i] > 0.5 else -eta[i]
            if margin < 0.0:
                value -= s[i] * margin
    for i in range(n):
        e = h[i]
        near = 1.0 / (1.0 + e)  # of the likelier class
        far = e * near
        towards = eta[i] >= 0.0
        if y[i] > 0.5:
            g[i] = -s[i] * (far if towards else near)
        else:
            g[i] = s[i] * (near if towards else far)
        h[i] = s[i] * max(near * far, floor)
    return value


@njit(cache=True, nogil=True)
def _cox(y, s, first, floor, eta, g, h):
    """Breslow's partial likelihood of samples in the order of their times.

    h becomes a diagonal that lies above the Hessian: expected events.
    """
    n = eta.shape[0]
    top, least = -np.inf, np.inf
    for i in range(n):
        top, least = max(top, eta[i]), min(least, eta[i])
    if not top - least < _RANGE:
        return np.inf
    risk = 0.0
    for i in range(n - 1, -1, -1):
        h[i] = s[i] * np.exp(eta[i] - top)
        risk += h[i]
        g[i] = risk
    value = hazard = 0.0
    i = 0
    while i < n:
        risk = g[i]
        end = i
        while end < n and first[end] == i:
            if y[end] > 0.0:
                hazard += s[end] / risk
                value += s[end] * (np.log(risk) + top - eta[end])
            end += 1
        for j in range(i, end):
            expected = h[j] * hazard
            g[j] = expected - s[j] * y[j]
            h[j] = max(expected, floor * s[j])
        i = end
    return value


@njit(cache=True, nogil=True)
def evaluate(code, shape, floor, y, s, first, eta, g, h, wanted):
    """Write gradient and curvatures of a model into g and h; return the value.

    Parameters
    ----------
    code : int
    shape : float
        The power of Tweedie's loss, the delta of Huber's; of Gamma's, y are logarithms.
    floor : float
        Least curvature of a sample beside its weight.
    y, s, eta, g, h : ndarray of shape (n_samples,)
    first : ndarray of int of shape (n_samples,)
        Of Cox's loss, where samples are sorted by time: the first one with the same
        time; otherwise not used.
    wanted : bool
        Whether the value is; otherwise that of the logistic loss is left out.
    """
    if code == LOGISTIC:
        return _logistic(y, s, floor, eta, g, h, wanted)
    if code == COX:
        return _cox(y, s, first, floor, eta, g, h)
    value = 0.0
    for i in range(eta.shape[0]):
        x, target, weight = eta[i], y[i], s[i]
        if code == POISSON:
            mean = np.exp(x)
            value += weight * (mean - target * x)
            g[i] = weight * (mean - target)
            bend = mean
        elif code == GAMMA:
            ratio = np.exp(target - x)
            value += weight * (ratio + x)
            g[i] = weight * (1.0 - ratio)
            bend = ratio
        elif code == TWEEDIE:
            low = target * np.exp((1.0 - shape) * x) if target > 0.0 else 0.0
            high = np.exp((2.0 - shape) * x)
            value += weight * (low / (shape - 1.0) + high / (2.0 - shape))
            g[i] = weight * (high - low)
            bend = (shape - 1.0) * low + (2.0 - shape) * high
        else:
            r = x - target
            size = abs(r)
            inner = min(size, shape)
            value += weight * inner * (size - 0.5 * inner)
            g[i] = weight * min(max(r, -shape), shape)
            bend = 1.0
            if size > shape:
                bend = min(floor, _TOUCHING * shape / size)
                h[i] = weight * bend
                continue
        h[i] = weight * max(bend, floor)
    return value


@njit(cache=True, nogil=True)
def magnitude(code, shape, y, s, eta, value):
    """Return the sum of the absolute terms of the loss, less what is constant."""
    if code == POISSON or code == GAMMA:
        total = 0.0
        for i in range(eta.shape[0]):
            if code == POISSON:
                total += s[i] * (np.exp(eta[i]) + y[i] * abs(eta[i]))
            else:
                total += s[i] * (np.exp(y[i] - eta[i]) + abs(eta[i]))
        return total
    return abs(value)


@njit(cache=True, nogil=True)
def _xlogx(x):
    return x * np.log(x) if x > 0.0 else 0.0


@njit(cache=True, nogil=True)
def _tweedie_conjugate(u, y, p, start):
    """Return the conjugate of Tweedie's loss at u, by Newton's method from `start`."""
    if y <= 0.0:
        if u <= 0.0:
            return 0.0
        x = np.log(u) / (2.0 - p)
        return u * x - np.exp((2.0 - p) * x) / (2.0 - p)
    # Relative to log(y), one term alone is too small: the root is between zero and
    # where that term would do. Outside, steps may overflow for powers near 1 and 2.
    middle, k = np.log(y), u * y ** (p - 2.0)
    low = min(-np.log1p(max(-k, 0.0)) / (p - 1.0), 0.0)
    high = np.log1p(max(k, 0.0)) / (2.0 - p)
    x = min(max(start - middle, low), high)
    for _ in range(200):
        a, b = np.exp((2.0 - p) * x), np.exp((1.0 - p) * x)
        over = (a - b) - k
        if over > 0.0:
            high = x
        else:
            low = x
        new = x - over / ((2.0 - p) * a + (p - 1.0) * b)
        if not (low <= new <= high):
            new = 0.5 * (low + high)
        settled = abs(new - x) <= 1e-15 * max(abs(x), 1.0)
        x = new
        if settled:
            break
    x += middle
    loss = y * np.exp((1.0 - p) * x) / (p - 1.0) + np.exp((2.0 - p) * x) / (2.0 - p)
    return u * x - loss


@njit(cache=True, nogil=True)
def conjugate(code, shape, y, s, eta, g, multiple):
    """Return the conjugate at ``multiple * g``, where g is the gradient at eta."""
    total = 0.0
    for i in range(g.shape[0]):
        u = multiple * g[i] / s[i]
        if code == LOGISTIC:
            t = min(abs(u), 1.0)
            value = _xlogx(t)
            if t < 1.0:  # 1 - t has no digits of a small t
                value += (1.0 - t) * np.log1p(-t)
        elif code == POISSON:
            t = max(u + y[i], 0.0)
            value = _xlogx(t) - t
        elif code == GAMMA:
            t = max(1.0 - u, 0.0)
            value = _xlogx(t) - t * y[i] - t
        elif code == TWEEDIE:
            value = _tweedie_conjugate(u, y[i], shape, eta[i])
        else:
            value = 0.5 * u * u + y[i] * u
        total += s[i] * value
    return total
