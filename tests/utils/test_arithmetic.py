"""Sums are rounded once, scales round nothing, and far columns keep their digits."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from sparsestat._utils import _kernels_arithmetic as kernels
from sparsestat._utils import arithmetic
from sparsestat._utils.arithmetic import (
    EPS,
    column_signs,
    dot,
    moderate,
    power_of_two,
    rounding,
    standardize,
    total,
    unbalanced,
)


def exactly(values):
    return sum((Fraction(float(v)) for v in values), Fraction(0))


def test_signs_do_not_hang_on_the_last_bit():
    half = np.sqrt(0.5)
    V = np.array([[0.1, -half, half, 0.0, -1.0], [-0.9, half, -half, 0.0, 1.0001]])
    expected = [-1.0, -1.0, 1.0, 1.0, 1.0]
    assert column_signs(V).tolist() == expected
    for last in (1 - EPS, 1 + EPS):
        assert column_signs(V * [[1.0], [last]]).tolist() == expected
        assert column_signs(V * [[last], [1.0]]).tolist() == expected


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


def test_the_allowance_is_that_of_higham():
    share = Fraction(10) * Fraction(EPS) / 2
    assert Fraction(rounding(10, 3.0)) == pytest.approx(
        float(3 * share / (1 - share)), rel=1e-15
    )
    assert rounding(2**52, 3.0) == 3.0  # a share of one half
    assert rounding(2**53) == math.inf


def test_sums_that_rounding_explains_are_balanced():
    # Four numbers of norm 2^52: the sum of sizes is at most 2^53, of eight roundings.
    assert unbalanced(10.0, 2.0**52, 4) == pytest.approx(2.0, rel=1e-12)
    found = unbalanced(np.array([-8.5, 7.5, 0.0]), np.array([2.0**52, 2.0**52, 0.0]), 4)
    np.testing.assert_allclose(found, [0.5, 0.0, 0.0], rtol=1e-12)
    assert unbalanced(-3.0, 0.0, 4) == 3.0


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
def test_only_numbers_out_of_range_are_moved(layout):
    for size in (1.0, 2.0**150, 2.0**-150):
        X = layout(np.array([[0.0, -size], [size / 2, 0.0]]))
        assert moderate(X)[0] is X and moderate(X)[1] == 1.0
    for size in (2.0**151, 2.0**-151, 1e150, 1e-150):
        X = np.array([[0.0, -size], [size / 2, 0.0]])
        moved, unit = moderate(layout(X))
        assert unit == power_of_two(size)
        moved = moved.toarray() if sparse.issparse(moved) else moved
        np.testing.assert_array_equal(moved, X / unit)
    zeros = layout(np.zeros((2, 2)))
    assert moderate(zeros) == (zeros, 1.0)
    empty = layout(np.zeros((0, 2)))
    assert moderate(empty)[1] == 1.0


def test_numbers_without_products_are_refused():
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="Input costs contains NaN or infinity"):
            moderate(np.array([1.0, bad]), "costs")
    for size, what in ((1e151, "overflow"), (1e-151, "vanish")):
        with pytest.raises(ValueError, match=rf"{what}.*1e-150 and 1e\+150"):
            moderate(np.array([0.0, -size]))


def test_blocks_of_rows_change_nothing(monkeypatch):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((23, 3)) + [0.0, 2.0**20, 0.0]
    X[:, 2] = 0.1
    whole = standardize(X)
    close = {"rtol": 4e-15, "atol": 4e-15}  # of numbers of size one, or 2**20
    np.testing.assert_allclose(whole.offset + whole.rest, X.mean(axis=0), **close)
    assert whole.offset[2] == 0.1 and whole.rest[2] == 0.0
    monkeypatch.setattr(arithmetic, "_ENTRIES", 12)
    parts = standardize(X)
    np.testing.assert_allclose(parts.offset, whole.offset, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(
        parts.offset + parts.rest, whole.offset + whole.rest, **close
    )
    X[20, 2] = 0.2  # level in all blocks but one
    parts = standardize(X)
    np.testing.assert_allclose(parts.apply(X).sum(axis=0), 0.0, atol=1e-13 * 2.0**20)
    assert parts.apply(X)[20, 2] == pytest.approx(0.1 * 22 / 23)
    # Where a column is not level the mean, and not its first entry, is taken off.
    assert parts.offset[2] == pytest.approx((22 * 0.1 + 0.2) / 23, rel=1e-14)


@pytest.mark.parametrize("layout", [sparse.csc_array, sparse.csr_array])
def test_sparse_columns_with_zeros_stay_where_they_are(layout):
    X = np.array([[1.0, 5.0, 0.0], [0.0, 7.0, 2.0], [2.0, 9.0, 0.0], [3.0, 7.0, 0.0]])
    record = standardize(layout(X))
    np.testing.assert_allclose(record.mean, [1.5, 0.0, 0.5])
    np.testing.assert_allclose(record.offset, [0.0, 7.0, 0.0])
    assert not record.rest.any()
    moved = record.apply(layout(X)).toarray() - record.mean
    np.testing.assert_allclose(moved, X - X.mean(axis=0))
    thin = layout(X[:, [0, 2]])
    record = standardize(thin)
    assert record.apply(thin) is thin
    assert record.intercept(np.array([2.0, 4.0])) == -(1.5 * 2.0 + 0.5 * 4.0)
    assert record.intercept(np.array([2.0, 4.0]), 7.0) == 2.0
    rotated = layout(X + 1j * X)
    record = standardize(rotated)
    np.testing.assert_allclose(record.offset + record.rest, [0, 7 + 7j, 0])
    level = layout(np.full((3, 1), 0.1 + 0.2j))
    assert not record.apply(rotated).toarray()[:, 1].sum().real
    assert not standardize(level).apply(level).toarray().any()
    assert standardize(level).offset == 0.1 + 0.2j


def test_the_first_of_two_numbers_is_the_rounded_sum():
    x = np.array([3.0, 1e16, 5.0, 2.0**-30, -1e3])
    for high, low in (kernels.compensated_sum(x), kernels.compensated_dot(x, x[::-1])):
        assert high + low == high
        assert abs(low) <= 0.5 * EPS * abs(high)
    assert kernels.compensated_sum(np.array([1.0, 2.0**-60])) == (1.0, 2.0**-60)
    assert kernels.compensated_dot(np.ones(2), np.array([1.0, 2.0**-60])) == (
        1.0,
        2.0**-60,
    )


def test_products_with_the_rows_of_a_matrix_are_those_one_by_one():
    rng = np.random.default_rng(11)
    x, Y = 10.0 ** rng.uniform(-8, 8, 50), rng.standard_normal((7, 50))
    np.testing.assert_array_equal(
        arithmetic.dots(x, Y), [arithmetic.dot(x, y) for y in Y]
    )


def test_values_are_stored_in_single_precision_where_it_holds_them():
    for values in ([0.0, 1.0], [-3e38, 2e-38]):
        assert arithmetic.stored(values, np.float32).dtype == np.float32
    for values in ([0.0, 4e38], [1.0, -1e-39]):
        assert arithmetic.stored(values, np.float32).dtype == np.float64
    assert arithmetic.stored([4e38], np.float64).dtype == np.float64
