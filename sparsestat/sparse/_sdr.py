r"""Exact probabilities of matches between sparse binary codes.

A code has a of its n bits on, drawn at random. Its overlap with s given bits follows
the hypergeometric law: :math:`P(b) = \binom{s}{b} \binom{n-s}{a-b} / \binom{n}{a}`.
All tails are sums of positive terms, taken in logarithms.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.special import betaln

__all__ = [
    "sdr_false_negative",
    "sdr_false_positive",
    "sdr_optimal_threshold",
    "sdr_overlap_probability",
    "sdr_union_false_positive",
]

_LARGEST = 2**53  # integers that double precision tells apart
_TINY = -36.0  # exp of this is below the rounding of one


def sdr_overlap_probability(n, a, *, theta, s=None, noise=0, log=False):
    r"""Return the probability that a random code overlaps in at least theta bits.

    .. math:: \sum_{b \ge \theta - \nu} \binom{s}{b} \binom{n-s}{a-b} / \binom{n}{a}

    where :math:`\nu` bits may have been added to the overlap by noise, at worst: the
    chance that a code matches somebody else's pattern when :math:`\nu` of its bits are
    set by an adversary.

    Parameters
    ----------
    n : array-like of int
        Bits of a code.
    a : array-like of int
        Bits that are on, from 1 to n.
    theta : array-like of int
        Overlap from which on codes match, from 0 to s.
    s : array-like of int, default=None
        How many of the active bits of the stored code are compared, from 1 to a; None
        compares all.
    noise : array-like of int, default=0
        Bits by which noise may raise the overlap, at least 0.
    log : bool, default=False
        Return logarithms, which tell apart what is below 1e-308.

    Returns
    -------
    probability : float or ndarray
        Of the shape to which the arguments broadcast.

    Raises
    ------
    ValueError
        If an argument is no integer or out of its range.

    See Also
    --------
    sdr_false_positive : The same without noise, for one or many patterns.

    References
    ----------
    .. [1] S. Ahmad, J. Hawkins, "How do neurons operate on sparse distributed
       representations? A mathematical theory of sparsity, neurons and active
       dendrites", arXiv:1601.00720, 2016.

    Examples
    --------
    >>> from sparsestat.sparse import sdr_overlap_probability
    >>> print(f"{sdr_overlap_probability(1024, 20, theta=10):.2e}")
    9.33e-14
    """
    n, a, s, theta = _codes(n, a, s, theta)
    noise = _integers(noise, "noise", 0)
    return _answer(_log_tail(theta - noise, n, s, a), log)


def sdr_false_positive(n, a, *, theta, s=None, n_patterns=1, log=False):
    r"""Return the probability that a random code matches by mistake.

    With M stored patterns, each compared on its own, :math:`1 - (1 - p)^M`, where p is
    the probability of an overlap of at least theta with one of them.

    Parameters
    ----------
    n : array-like of int
        Bits of a code.
    a : array-like of int
        Bits that are on, from 1 to n.
    theta : array-like of int
        Overlap from which on codes match, from 0 to s.
    s : array-like of int, default=None
        How many of the active bits of a stored code are compared, from 1 to a; None
        compares all.
    n_patterns : array-like of int, default=1
        How many random patterns are stored.
    log : bool, default=False
        Return logarithms, which tell apart what is below 1e-308.

    Returns
    -------
    probability : float or ndarray
        Of the shape to which the arguments broadcast.

    Raises
    ------
    ValueError
        If an argument is no integer or out of its range.

    See Also
    --------
    sdr_union_false_positive : All patterns stored in one union.
    sdr_false_negative : The other mistake.

    References
    ----------
    .. [1] S. Ahmad, J. Hawkins, "How do neurons operate on sparse distributed
       representations? A mathematical theory of sparsity, neurons and active
       dendrites", arXiv:1601.00720, 2016.

    Examples
    --------
    >>> from sparsestat.sparse import sdr_false_positive
    >>> print(f"{sdr_false_positive(1024, 20, theta=10, n_patterns=1000):.2e}")
    9.33e-11
    """
    n, a, s, theta = _codes(n, a, s, theta)
    n_patterns = _integers(n_patterns, "n_patterns", 1)
    return _answer(_log_any(_log_tail(theta, n, s, a), n_patterns), log)


def sdr_false_negative(n, a, *, theta, noise, s=None, log=False):
    """Return the probability that noise hides a stored code.

    Of the active bits of the code, `noise` ones, drawn at random, are moved to places
    that were off. Those of them that are compared are lost: their number follows the
    hypergeometric law, and the match fails when fewer than theta are left.

    Parameters
    ----------
    n : array-like of int
        Bits of a code.
    a : array-like of int
        Bits that are on, from 1 to n.
    theta : array-like of int
        Overlap from which on codes match, from 0 to s.
    noise : array-like of int
        Active bits that are moved, from 0 to a.
    s : array-like of int, default=None
        How many of the active bits of the stored code are compared, from 1 to a; None
        compares all.
    log : bool, default=False
        Return logarithms, which tell apart what is below 1e-308.

    Returns
    -------
    probability : float or ndarray
        Of the shape to which the arguments broadcast.

    Raises
    ------
    ValueError
        If an argument is no integer or out of its range.

    See Also
    --------
    sdr_optimal_threshold : The largest theta for a given rate.
    sdr_false_positive : The other mistake.

    References
    ----------
    .. [1] S. Ahmad, J. Hawkins, "How do neurons operate on sparse distributed
       representations? A mathematical theory of sparsity, neurons and active
       dendrites", arXiv:1601.00720, 2016.

    Examples
    --------
    >>> from sparsestat.sparse import sdr_false_negative
    >>> print(f"{sdr_false_negative(1024, 20, theta=8, noise=8, s=12):.4f}")
    0.6117
    """
    n, a, s, theta = _codes(n, a, s, theta)
    noise = _noise(noise, n, a)
    return _answer(_log_tail(s - theta + 1, a, noise, s), log)


def sdr_union_false_positive(n, a, m, theta, *, log=False):
    r"""Return the probability that a random code matches a union of codes.

    M random patterns that are stored as the union of their bits set a bit with
    probability :math:`1 - (1 - a/n)^M`. The tail is that of a random code against the
    expected number of set bits, rounded.

    Parameters
    ----------
    n : array-like of int
        Bits of a code.
    a : array-like of int
        Bits that are on, from 1 to n.
    m : array-like of int
        How many random patterns the union holds, at least 1.
    theta : array-like of int
        Overlap from which on codes match, from 0 to a.
    log : bool, default=False
        Return logarithms, which tell apart what is below 1e-308.

    Returns
    -------
    probability : float or ndarray
        Of the shape to which the arguments broadcast.

    Raises
    ------
    ValueError
        If an argument is no integer or out of its range.

    See Also
    --------
    sdr_false_positive : Patterns that are compared one by one.

    References
    ----------
    .. [1] S. Ahmad, J. Hawkins, "How do neurons operate on sparse distributed
       representations? A mathematical theory of sparsity, neurons and active
       dendrites", arXiv:1601.00720, 2016.

    Examples
    --------
    >>> from sparsestat.sparse import sdr_union_false_positive
    >>> print(f"{sdr_union_false_positive(1024, 20, 20, 15):.2e}")
    1.09e-04
    """
    n, a, _, theta = _codes(n, a, None, theta)
    m = _integers(m, "m", 1)
    with np.errstate(divide="ignore"):
        share = -np.expm1(m * np.log1p(-a / n))
    set_bits = np.rint(n * share).astype(np.int64)
    return _answer(_log_tail(theta, n, set_bits, a), log)


def sdr_optimal_threshold(n, a, s, noise, max_false_negative):
    """Return the largest threshold that noise seldom falls short of.

    A larger threshold has fewer false positives; this is the largest whose rate of
    false negatives is at most the given one.

    Parameters
    ----------
    n : array-like of int
        Bits of a code.
    a : array-like of int
        Bits that are on, from 1 to n.
    s : array-like of int or None
        How many of the active bits of the stored code are compared, from 1 to a; None
        compares all.
    noise : array-like of int
        Active bits that are moved, from 0 to a.
    max_false_negative : array-like of float
        Acceptable rate, between 0 and 1.

    Returns
    -------
    theta : int or ndarray of int
        Of the shape to which the arguments broadcast.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    See Also
    --------
    sdr_false_negative : The rate of a threshold.

    References
    ----------
    .. [1] S. Ahmad, J. Hawkins, "How do neurons operate on sparse distributed
       representations? A mathematical theory of sparsity, neurons and active
       dendrites", arXiv:1601.00720, 2016.

    Examples
    --------
    >>> from sparsestat.sparse import sdr_false_negative, sdr_optimal_threshold
    >>> theta = sdr_optimal_threshold(1024, 20, 12, 8, 0.01)
    >>> theta, bool(sdr_false_negative(1024, 20, theta=theta, noise=8, s=12) <= 0.01)
    (5, True)
    """
    n, a, s, _ = _codes(n, a, s, 0)
    noise = _noise(noise, n, a)
    rate = np.asarray(max_false_negative)
    if rate.dtype.kind not in "fiu" or not ((rate >= 0) & (rate <= 1)).all():
        raise ValueError(
            f"max_false_negative must be between 0 and 1, got {max_false_negative!r}."
        )
    n, a, s, noise, rate = np.broadcast_arrays(n, a, s, noise, rate)
    # The rate rises with theta: bisect, with the invariant rate(low) <= rate.
    low, high = np.zeros_like(s), s.copy()
    with np.errstate(divide="ignore"):
        log_rate = np.log(rate.astype(np.float64))
    for _ in range(int(s.max(initial=1)).bit_length() + 1):
        middle = (low + high + 1) // 2
        good = _log_tail(s - middle + 1, a, noise, s) <= log_rate
        low, high = np.where(good, middle, low), np.where(good, high, middle - 1)
        high = np.maximum(low, high)
    return int(low) if low.ndim == 0 else low


def _integers(values, name, lowest):
    """Return an integer array, or raise ValueError."""
    array = np.asarray(values)
    good = array.dtype.kind in "iuf" and array.size > 0
    if good and array.dtype.kind == "f":
        good = bool(np.isfinite(array).all()) and (array == np.rint(array)).all()
    if not good:
        raise ValueError(f"{name} must hold integers, got {values!r}.")
    if (array < lowest).any() or (array > _LARGEST).any():
        raise ValueError(
            f"{name} must be at least {lowest} and at most 2**53, got values from "
            f"{array.min()} to {array.max()}."
        )
    return array.astype(np.int64)


def _codes(n, a, s, theta):
    """Return validated sizes of codes, of the samples compared, and thresholds."""
    n, a, theta = (
        _integers(n, "n", 1),
        _integers(a, "a", 1),
        _integers(theta, "theta", 0),
    )
    s = a if s is None else _integers(s, "s", 1)
    for small, large, names in (
        (a, n, ("a", "n")),
        (s, a, ("s", "a")),
        (theta, s, ("theta", "s (by default a)")),
    ):
        if _exceeds(small, large, names):
            raise ValueError(
                f"{names[0]} must not be larger than {names[1]}, got {small} and "
                f"{large}."
            )
    return n, a, s, theta


def _exceeds(small, large, names):
    """Whether an entry is larger than its counterpart."""
    try:
        return bool((small > large).any())
    except ValueError as error:
        raise ValueError(
            f"{names[0]} of shape {small.shape} and {names[1]} of shape {large.shape} "
            "do not broadcast to one shape."
        ) from error


def _noise(noise, n, a):
    noise = _integers(noise, "noise", 0)
    if _exceeds(noise, a, ("noise", "a")) or _exceeds(noise, n - a, ("noise", "n - a")):
        raise ValueError(
            "noise moves active bits to places that are off: it must not be larger "
            f"than a and n - a, got noise {noise}, a {a} and n {n}."
        )
    return noise


def _answer(log_probability, log):
    """Return logarithms or probabilities; a float for scalars."""
    out = log_probability if log else np.exp(log_probability)
    return float(out) if out.ndim == 0 else out


def _log_choose(n, k):
    return -np.log1p(n) - betaln(n - k + 1, k + 1)


def _log_tail(low, n, good, draws):
    """Return log P(X >= low) for X the good ones among `draws` of n without return."""
    low, n, good, draws = np.broadcast_arrays(low, n, good, draws)
    shape = low.shape
    low, n, good, draws = (x.ravel().astype(np.float64) for x in (low, n, good, draws))
    least = np.maximum(0.0, draws - (n - good))
    most = np.minimum(good, draws)
    certain, never = low <= least, low > most
    b = np.clip(low, least, most)
    out = (
        _log_choose(good, b) + _log_choose(n - good, draws - b) - _log_choose(n, draws)
    )
    # P(b + 1) / P(b) falls with b: the sum is that of its running products. Where it
    # begins above one, the terms rise to the mode; their scale is kept apart.
    total, term, scale = np.ones_like(out), np.ones_like(out), np.zeros_like(out)
    open_ = ~(certain | never) & (b < most)
    while open_.any():
        i = np.flatnonzero(open_)
        ratio = (good[i] - b[i]) * (draws[i] - b[i])
        ratio /= (b[i] + 1) * (n[i] - good[i] - draws[i] + b[i] + 1)
        term[i] *= ratio
        total[i] += term[i]
        b[i] += 1
        large = i[total[i] > 1e200]
        scale[large] += np.log(total[large])
        term[large] /= total[large]
        total[large] = 1.0
        open_[i] = (b[i] < most[i]) & ((ratio > 1) | (term[i] > 1e-18 * total[i]))
    out = np.minimum(out + scale + np.log(total), 0.0)
    out = np.where(certain, 0.0, np.where(never, -np.inf, out))
    return out.reshape(shape)


def _log_any(log_p, m):
    """Return log(1 - (1 - p)^m)."""
    log_p, m = np.broadcast_arrays(log_p, m)
    with np.errstate(divide="ignore", over="ignore"):
        p = np.exp(log_p)
        # log(-log(1 - p)), which is log p where p is small.
        rate = np.where(log_p < _TINY, log_p, np.log(-np.log1p(-p))) + np.log(m)
        return np.where(rate < _TINY, rate, np.log(-np.expm1(-np.exp(rate))))
