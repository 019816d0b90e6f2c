"""Probabilities of matches between sparse binary codes."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import hypergeom

from sparsestat.sparse import (
    sdr_false_negative,
    sdr_false_positive,
    sdr_optimal_threshold,
    sdr_overlap_probability,
    sdr_union_false_positive,
)


def exact_tail(n, a, s, theta):
    """The tail in rational numbers."""
    ways = sum(
        math.comb(s, b) * math.comb(n - s, a - b) for b in range(theta, min(s, a) + 1)
    )
    return Fraction(ways, math.comb(n, a))


@pytest.mark.parametrize(
    ("n", "a", "s"), [(8, 3, 3), (12, 5, 4), (12, 9, 9), (10, 1, 1)]
)
def test_small_codes_are_counted_out(n, a, s):
    codes = [set(c) for c in combinations(range(n), a)]
    stored = set(range(s))
    for theta in range(s + 1):
        matches = np.mean([len(stored & code) >= theta for code in codes])
        assert_allclose(sdr_false_positive(n, a, s=s, theta=theta), matches, rtol=1e-12)
    # Each set of moved bits is as likely as any other.
    for noise in range(min(a, n - a) + 1):
        moved = [set(c) for c in combinations(range(a), noise)]
        for theta in range(s + 1):
            lost = np.mean([len(stored - bits) < theta for bits in moved])
            found = sdr_false_negative(n, a, s=s, theta=theta, noise=noise)
            assert_allclose(found, lost, rtol=1e-12)


@pytest.mark.parametrize(
    ("n", "a", "s", "theta"),
    [
        (2048, 40, 40, 40),
        (4096, 100, 90, 80),
        (1024, 300, 200, 60),
        (500, 400, 300, 100),
    ],
)
def test_tails_are_right_to_the_last_digits(n, a, s, theta):
    exact = exact_tail(n, a, s, theta)
    expected = math.log(exact.numerator) - math.log(exact.denominator)
    found = sdr_false_positive(n, a, s=s, theta=theta, log=True)
    assert_allclose(found, expected, rtol=1e-12, atol=1e-10)


def test_logarithms_reach_below_the_smallest_double():
    exact = exact_tail(20_000, 400, 400, 380)
    expected = math.log(exact.numerator) - math.log(exact.denominator)
    assert expected < -745  # where exp is zero
    found = sdr_false_positive(20_000, 400, theta=380, log=True)
    assert_allclose(found, expected, rtol=1e-11)
    assert sdr_false_positive(20_000, 400, theta=380) == 0


def test_tails_are_scipys():
    theta = np.arange(0, 21)
    found = sdr_false_positive(1024, 64, s=20, theta=theta)
    assert_allclose(found, hypergeom.sf(theta - 1, 1024, 20, 64), rtol=1e-9)


def test_rates_are_those_of_random_codes():
    rng = np.random.default_rng(0)
    n, a, s, theta, noise, draws = 60, 20, 15, 7, 8, 20_000
    keys = rng.random((draws, n))
    codes = np.argsort(keys, axis=1)[:, :a]
    hit = ((codes < s).sum(axis=1) >= theta).mean()
    p = sdr_false_positive(n, a, s=s, theta=theta)
    assert abs(hit - p) < 4 * np.sqrt(p * (1 - p) / draws)
    moved = np.argsort(keys[:, :a], axis=1)[:, :noise]
    miss = (s - (moved < s).sum(axis=1) < theta + 2).mean()
    p = sdr_false_negative(n, a, s=s, theta=theta + 2, noise=noise)
    assert abs(miss - p) < 4 * np.sqrt(p * (1 - p) / draws)


def test_a_union_is_about_what_random_unions_do():
    rng = np.random.default_rng(1)
    n, a, m, theta = 200, 10, 12, 7
    hits = []
    for _ in range(4000):
        on = np.zeros(n, bool)
        for _ in range(m):
            on[rng.choice(n, a, replace=False)] = True
        hits.append(on[rng.choice(n, a, replace=False)].sum() >= theta)
    found = sdr_union_false_positive(n, a, m, theta)
    assert abs(np.mean(hits) - found) < 0.03  # its number of bits is not its mean
    assert sdr_union_false_positive(n, a, 1, theta) == sdr_false_positive(
        n, a, theta=theta
    )


def test_many_patterns_are_one_or_the_other():
    p = sdr_false_positive(200, 20, theta=6)
    m = np.array([1, 2, 10, 10**6])
    found = sdr_false_positive(200, 20, theta=6, n_patterns=m)
    assert_allclose(found, 1 - (1 - p) ** m, rtol=1e-12)
    tiny = sdr_false_positive(2048, 80, theta=80, n_patterns=1000, log=True)
    one = sdr_false_positive(2048, 80, theta=80, log=True)
    assert_allclose(tiny - one, np.log(1000), rtol=1e-12)
    assert sdr_false_positive(10, 3, theta=0, n_patterns=5) == 1.0


def test_rates_rise_and_fall_as_they_must():
    theta = np.arange(0, 13)
    falling = sdr_overlap_probability(256, 30, s=12, theta=theta, log=True)
    assert (np.diff(falling) < 0).all()
    rising = sdr_overlap_probability(256, 30, s=12, theta=8, noise=np.arange(9))
    assert (np.diff(rising) > 0).all() and rising[-1] == 1
    # Vectors and numbers may differ in the last bits of logarithms.
    assert_allclose(rising[0], sdr_false_positive(256, 30, s=12, theta=8), rtol=1e-12)
    assert (np.diff(sdr_false_positive(256, 30, s=np.arange(8, 31), theta=8)) > 0).all()
    lost = sdr_false_negative(256, 30, s=12, theta=8, noise=np.arange(31))
    assert (np.diff(lost) >= 0).all() and lost[0] == 0 and lost[-1] == 1


def test_the_threshold_is_the_largest_good_one():
    noise = np.arange(0, 21)[:, None]
    rate = np.array([0.0, 1e-6, 0.01, 0.5, 1.0])
    found = sdr_optimal_threshold(1024, 20, 12, noise, rate)
    assert found.shape == (21, 5)
    theta = np.arange(13)
    for i, row in enumerate(found):
        rates = sdr_false_negative(1024, 20, s=12, theta=theta, noise=i)
        expected = [theta[rates <= r].max() for r in rate]
        assert_array_equal(row, expected)
    assert sdr_optimal_threshold(1024, 20, None, 0, 0.0) == 20


def test_arguments_broadcast():
    found = sdr_false_positive([[100], [200]], 10, theta=[2, 3, 4])
    assert found.shape == (2, 3)
    assert found[1, 2] == sdr_false_positive(200, 10, theta=4)
    assert isinstance(sdr_false_positive(100.0, 10, theta=2), float)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"theta": 11}, "theta must not be larger than s"),
        ({"theta": -1}, "theta must be at least 0"),
        ({"theta": 2.5}, "theta must hold integers"),
        ({"theta": np.nan}, "theta must hold integers"),
        ({"theta": "x"}, "theta must hold integers"),
        ({"theta": []}, "theta must hold integers"),
        ({"theta": True}, "theta must hold integers"),
        ({"a": 101}, "a must not be larger than n"),
        ({"s": 11}, "s must not be larger than a"),
        ({"s": 0}, "s must be at least 1"),
        ({"n_patterns": 0}, "n_patterns must be at least 1"),
        ({"a": [10, 10], "theta": [1, 2, 3]}, "do not broadcast"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        sdr_false_positive(**{"n": 100, "a": 10, "theta": 3, **arguments})


def test_noise_and_rates_out_of_range_are_refused():
    with pytest.raises(ValueError, match="noise moves active bits"):
        sdr_false_negative(100, 10, theta=3, noise=11)
    with pytest.raises(ValueError, match="noise moves active bits"):
        sdr_false_negative(12, 10, theta=3, noise=3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        sdr_optimal_threshold(100, 10, 5, 2, 1.5)
