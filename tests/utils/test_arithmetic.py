"""Sums are rounded once, scales round nothing, and far columns keep their digits."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from sparsestat._utils.arithmetic import (
    EPS,
    dot,
    power_of_two,
    rounding,
    standardize,
    total,
)


def exactly(values):
    return sum((Fraction(float(v)) for v in values), Fraction(0))


@pytest.mark.parametrize("spread", [0, 5, 15])
def test_sums_and_products_are_those_of_twice_the_precision(spread, global_random_seed):
    rng = np.random.RandomState(global_random_seed)
    x = rng.standard_normal(400) * 10.0 ** rng.uniform(-spread, spread, 400)
    y = rng.standard_normal(400) * 10.0 ** rng.uniform(-spread, spread, 400)
    x, y = np.r_[x, -x[::-1], 1.0], np.r_[y, y[::-1] * (1 + EPS), 1.0]
    for ours, terms in (
        (total(x), [Fraction(float(a)) for a in x]),
        (
            dot(x, y),
            [
                Fraction(float(a)) * Fraction(float(b))
                for a, b in zip(x, y, strict=True)
            ],
        ),
    ):
        true, size = sum(terms), float(sum(map(abs, terms)))
        allowed = 0.5 * EPS * abs(float(true)) + (len(x) * EPS) ** 2 * size
        assert abs(float(Fraction(ours) - true)) <= allowed


def test_the_allowance_bounds_the_error_of_a_plain_sum(global_random_seed):
    rng = np.random.RandomState(global_random_seed)
    for n in (2, 10, 1000):
        x = rng.standard_normal(n)
        plain = 0.0
        for a in x:
            plain += a
        error = abs(float(Fraction(plain) - exactly(x)))
        assert error <= rounding(n, np.abs(x).sum())
    assert rounding(10) == pytest.approx(5 * EPS)
    assert rounding(10**17) == math.inf


def test_powers_of_two():
    assert [power_of_two(v) for v in (1.0, -3.0, 4.0, 0.75)] == [1.0, 2.0, 4.0, 0.5]
    for v in (1e-320, 1e-200, 1e300):
        assert 1.0 <= v / power_of_two(v) < 2.0
    assert power_of_two(0.0) == power_of_two(math.inf) == 1.0


@pytest.mark.parametrize("layout", [np.asarray, sparse.csc_array, sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_far_columns_keep_their_digits(layout, dtype, global_random_seed):
    rng = np.random.RandomState(global_random_seed)
    near = np.round(rng.standard_normal((50, 3)) * 64) / 64
    near[:, 2] = 0.0
    near[::7, 1] = 0.0
    shift = np.array([2.0**28 if dtype == np.float64 else 2.0**15, 0.0, 3.0])
    weights = rng.randint(1, 4, 50).astype(float)
    X = layout((near + shift).astype(dtype))
    record = standardize(X, weights)
    centered = record.apply(X)
    centered = centered.toarray() if sparse.issparse(centered) else centered
    centered = centered - record.mean
    expected = near - weights @ near / weights.sum()
    np.testing.assert_allclose(centered, expected, atol=1e-13)
    assert not centered[:, 2].any()
    coef = rng.standard_normal((3, 2))
    means = [
        float(sum(Fraction(a) * Fraction(w) for a, w in zip(X_j, weights, strict=True)))
        / weights.sum()
        for X_j in (near + shift).astype(dtype).astype(float).T
    ]
    np.testing.assert_allclose(
        record.intercept(coef, np.ones(2)), 1.0 - np.array(means) @ coef, rtol=1e-14
    )
    np.testing.assert_allclose(
        record.intercept(coef[:, 0]), -np.array(means) @ coef[:, 0], rtol=1e-14
    )


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csc_array])
def test_complex_columns_are_centered(container):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((20, 3)) + 1j * rng.standard_normal((20, 3))
    far = X + np.array([1e8, 1e8j, 3.0])
    far[:, 2] = 3.0 - 1.0j
    record = standardize(container(far))
    moved = record.apply(container(far))
    moved = moved.toarray() if sparse.issparse(moved) else moved
    np.testing.assert_allclose(moved[:, :2], (X - X.mean(axis=0))[:, :2], atol=3e-8)
    assert not moved[:, 2].any()


@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_other_data_with_zeros_move_with_the_columns(layout):
    X = np.array([[5.0, 0.0, 1.0], [7.0, 2.0, 1.0]])
    record = standardize(sparse.csr_array(X).asformat(layout))
    other = np.array([[0.0, 0.0, 4.0], [6.0, 3.0, 0.0]])
    moved = record.apply(sparse.csr_array(other).asformat(layout))
    assert moved.format == layout
    np.testing.assert_array_equal(moved.toarray(), [[-6, 0, 3], [0, 3, -1]])
