r"""Bounds on the expected number of false selections of stability selection.

With B complementary pairs of halves, at most q of p features selected on each half and
:math:`\theta = q / p`, the number of features whose chance of being selected on one
half is at most :math:`\theta`, and which are selected on a share
:math:`\tau` or more of the 2B halves all the same, is bounded in expectation [1]_:

- without assumptions by :math:`q^2 / ((2\tau - 1) p)`;
- if the shares of pairs that agree are unimodal, by a smaller constant;
- if those distributions are r-concave, with r = -1/2 and -1/4, by :func:`concave_tail`.

.. [1] R. Shah, R. Samworth, "Variable selection with error control: another look at
   stability selection", JRSS B 75, 2013.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

__all__ = ["ASSUMPTIONS", "Setting", "concave_tail", "pfer_bound", "resolve"]

ASSUMPTIONS = ("none", "unimodal", "r-concave")


def concave_tail(eta, t, B, r):
    """Return the largest P(X >= t / B) of r-concave X on {0, ..., B} / B.

    Parameters
    ----------
    eta : float
        Bound of the mean of X.
    t : int
        The threshold, in units of 1 / B.
    B : int
        Size of the grid.
    r : float
        Negative: the probabilities to the power r are convex.

    Returns
    -------
    bound : float
        At most 1; equal to 1 where the extremal laws have no closed form.
    """
    mean = eta * B
    first = math.ceil(2.0 * mean) + 1
    if t < first or first > B or mean <= 0.0:
        return 1.0 if mean > 0.0 or t <= 0 else 0.0
    family = _Family(-1.0 / r, mean, t, B)
    ends = np.arange(first, B + 1)  # of the support of the weights
    roots = family.roots(ends)  # decreasing
    k = np.arange(max(first - 1, t - 1), B)
    low = roots[k + 1 - first]
    high = np.where(k < first, np.maximum(low, 0.0) + 60.0, roots[k - first])
    grid = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, 9)
    values = family.tails(grid.ravel(), np.repeat(k, 9)).reshape(grid.shape)
    best = float(values.max())
    # The largest value is smooth in the end too: only the best few are refined.
    for at in np.argsort(-values.max(axis=1))[:4]:
        peak = int(np.argmax(values[at]))
        found = minimize_scalar(
            lambda a, at=at: -family.tails(np.array([a]), k[at : at + 1])[0],
            bounds=(grid[at, max(peak - 1, 0)], grid[at, min(peak + 1, 8)]),
            method="bounded",
            options={"xatol": 1e-10},
        )
        best = max(best, -float(found.fun))
    return min(best, 1.0)


class _Family:
    """Weights ``(1 + i / a)^-power`` on 0, ..., k: the extremal laws.

    Parameters
    ----------
    power, mean : float
        Minus 1 / r, and the mean in units of the grid.
    t, B : int
        Threshold and size of the grid.
    """

    def __init__(self, power, mean, t, B):
        self.power, self.mean, self.t = power, mean, t
        self.steps = np.arange(B + 1.0)
        self.logs = np.append(-np.inf, np.log(self.steps[1:]))

    def weights(self, log_a, k):
        """Return weights, of largest 1, for each pair of a logarithm and an end."""
        w = np.exp(-self.power * np.logaddexp(0.0, self.logs - log_a[:, None]))
        return np.where(self.steps <= k[:, None], w, 0.0)

    def roots(self, k):
        """Return log a at which the weights on 0..k have the mean, for each k."""
        low, high = np.full(len(k), -60.0), np.full(len(k), 60.0)
        for _ in range(60):
            middle = 0.5 * (low + high)
            w = self.weights(middle, k)
            above = w @ self.steps > self.mean * w.sum(axis=1)
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return 0.5 * (low + high)

    def tails(self, log_a, k):
        """Return P(X >= t) of the law that mixes the weights on 0..k and 0..k+1."""
        w = self.weights(log_a, k)
        total = np.maximum(k[:, None] + 1.0 - self.steps, 0.0) * w
        below = w[:, : self.t].sum(axis=1)
        return 1.0 - (k + 1.0 - self.mean) * below / total.sum(axis=1)


def _unimodal(q, p, tau, B):
    theta = q / p
    allowed = theta <= 1.0 / math.sqrt(3.0) and tau > min(
        0.5 + theta**2, 0.5 + 1.0 / (2 * B) + 0.75 * theta**2
    )
    if not allowed:
        return math.inf
    if tau <= 0.75:
        margin = 2.0 * tau - 1.0 - 1.0 / (2 * B)
        constant = 1.0 / (2.0 * margin) if margin > 0.0 else math.inf
    else:
        constant = 4.0 * (1.0 - tau + 1.0 / (2 * B)) / (1.0 + 1.0 / B)
    return constant * q**2 / p


def _concave(q, p, t, B):
    theta = q / p
    both = concave_tail(theta**2, t - B, B, -0.5)
    return p * min(both, concave_tail(theta, t, 2 * B, -0.25))


def pfer_bound(q, p, t, B, assumption="none"):
    """Return a bound on the expected number of false selections.

    Parameters
    ----------
    q : int
        Largest number of features selected on one half.
    p : int
        Number of features.
    t : int
        Selections out of 2B that it takes, more than B.
    B : int
        Number of pairs.
    assumption : {"none", "unimodal", "r-concave"}, default="none"
        What is assumed beyond nothing.

    Returns
    -------
    bound : float
        Never above the one without assumptions.
    """
    tau = t / (2 * B)
    bound = q**2 / ((2.0 * tau - 1.0) * p)
    if assumption == "unimodal":
        bound = min(bound, _unimodal(q, p, tau, B))
    elif assumption == "r-concave":
        bound = min(bound, _concave(q, p, t, B))
    return bound


@dataclass(frozen=True)
class Setting:
    """Three parameters of stability selection that belong together.

    Parameters
    ----------
    q : int
        Largest number of features selected on one half.
    t : int
        Selections out of 2B that it takes.
    bound : float
        Bound on the expected number of false selections.
    """

    q: int
    t: int
    bound: float


def resolve(q, threshold, pfer, p, B, assumption):
    """Return the setting in which two of three parameters give the third.

    Parameters
    ----------
    q : int or None
        Largest number of features selected on one half.
    threshold : float or None
        Share of the halves that selects a feature, above 1/2.
    pfer : float or None
        What the bound must not exceed.
    p, B : int
        Numbers of features and of pairs.
    assumption : str
        See :func:`pfer_bound`.

    Raises
    ------
    ValueError
        If all three are given, or nothing meets them.
    """
    if None not in (q, threshold, pfer):
        raise ValueError(
            "`q`, `threshold` and `pfer` are all given, but any two give the third. "
            "Leave one of them None."
        )
    if q is not None and q > p:
        raise ValueError(
            f"q={q} is more than the {p} features that vary. Choose at most {p}."
        )
    if threshold is None and (q is None or pfer is None):
        threshold = 0.75
    if threshold is not None:
        t = math.ceil(2 * B * threshold - 1e-9)
        if t <= B:
            raise ValueError(
                f"threshold={threshold} is a majority of none of the {2 * B} halves. "
                "Choose it above 1/2."
            )
        if q is not None:
            return Setting(q, t, pfer_bound(q, p, t, B, assumption))
        pfer = 1.0 if pfer is None else pfer
        q = _largest(1, p, lambda k: pfer_bound(k, p, t, B, assumption) <= pfer)
        if q is None:
            least = pfer_bound(1, p, t, B, assumption)
            raise ValueError(
                f"No q keeps the bound below pfer={pfer}: with n_features = {p} that "
                f"vary and threshold={threshold} even q=1 gives {least:.3g}. Raise "
                "`pfer` or `threshold`."
            )
        return Setting(q, t, pfer_bound(q, p, t, B, assumption))
    back = _largest(
        0, B - 1, lambda k: pfer_bound(q, p, 2 * B - k, B, assumption) <= pfer
    )
    if back is None:
        least = pfer_bound(q, p, 2 * B, B, assumption)
        raise ValueError(
            f"No threshold keeps the bound below pfer={pfer}: with q={q} of {p} "
            f"features even threshold=1 gives {least:.3g}. Lower `q` or raise `pfer`."
        )
    return Setting(q, 2 * B - back, pfer_bound(q, p, 2 * B - back, B, assumption))


def _largest(low, high, holds):
    """Return the largest integer at which a falling predicate holds, or None."""
    if not holds(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low
