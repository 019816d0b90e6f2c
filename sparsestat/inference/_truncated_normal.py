r"""The normal law cut off on both sides, in the far tails too.

With an observed t0 that lies ``below`` above the lower and ``above`` below the upper
end, everything is computed from these two *differences* and
:math:`z = (t_0 - \mu) / \mathrm{sd}`: far out, the ends themselves agree with t0 to all
digits.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr

__all__ = ["interval", "log_difference", "log_odds", "two_sided_pvalue"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_FAR = 1e4  # standard deviations beyond which an interval has no end


def _log1mexp(x):
    """Return log(1 - exp(x)) for negative x."""
    if x > -math.log(2.0):
        return math.log(-math.expm1(x)) if x < 0.0 else -math.inf
    return math.log1p(-math.exp(x))


def log_difference(a, width):
    """Return ``log(Phi(a + width) - Phi(a))`` of the normal distribution function.

    Parameters
    ----------
    a : float
        Lower end.
    width : float
        Not negative; infinite only with a finite `a`.
    """
    b = a + width
    if width == 0.0:
        return -math.inf
    if width * max(1.0, abs(a), abs(b)) < 1.0:
        # The mean of exp(-x^2 / 2) over a short interval, about its middle.
        middle, x = a + 0.5 * width, 0.5 * width * _NODES
        mean = 0.5 * float(_WEIGHTS @ np.exp(-middle * x - 0.5 * x * x))
        return -0.5 * middle**2 - _HALF_LOG_2PI + math.log(width) + math.log(mean)
    if a > 0.0:
        a, b = -b, -a
    if b <= 0.0:
        upper = float(log_ndtr(b))
        return upper + _log1mexp(float(log_ndtr(a)) - upper)
    tails = math.exp(float(log_ndtr(a))) + math.exp(float(log_ndtr(-b)))
    return math.log1p(-tails)


def _parts(z, below, above):
    """Return the logarithms of the masses below and above the observation."""
    lower = (
        float(log_ndtr(z)) if below == math.inf else log_difference(z - below, below)
    )
    upper = float(log_ndtr(-z)) if above == math.inf else log_difference(z, above)
    return lower, upper


def log_odds(z, below, above):
    """Return ``log(F / (1 - F))`` of the observation; it rises with z.

    Parameters
    ----------
    z : float
        Observation minus mean, in standard deviations.
    below, above : float
        Distances to the ends, in standard deviations, perhaps infinite.
    """
    lower, upper = _parts(z, below, above)
    return lower - upper


def two_sided_pvalue(z, below, above):
    """Return twice the smaller tail of the observation."""
    lower, upper = _parts(z, below, above)
    return 2.0 * math.exp(min(lower, upper) - np.logaddexp(lower, upper))


def interval(below, above, confidence):
    """Return means, as ``(observation - mean) / sd``, that the data do not exclude.

    Parameters
    ----------
    below, above : float
        Distances to the ends, in standard deviations.
    confidence : float

    Returns
    -------
    low, high : float
        Of z; infinite where the end is beyond 10,000 standard deviations.
    """
    target = math.log1p(confidence) - math.log1p(-confidence)  # logit of the upper end
    return tuple(_solve(sign * target, below, above) for sign in (-1.0, 1.0))


def _solve(target, below, above):
    def excess(z):
        return log_odds(z, below, above) - target

    step = 1.0
    low = high = 0.0
    while excess(low) > 0.0:
        high, low = low, low - step
        step *= 2.0
        if low < -_FAR:
            return -math.inf
    while excess(high) < 0.0:
        low, high = high, high + step
        step *= 2.0
        if high > _FAR:
            return math.inf
    if low == high:
        return low
    return brentq(excess, low, high, xtol=1e-12, rtol=1e-14)
