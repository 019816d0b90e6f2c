"""Toeplitz matrices by their first column, against dense linear algebra."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from scipy import linalg

from sparsestat.gaussian_process._structure import _toeplitz as tz


def smooth_column(n, noise=0.01):
    lags = np.arange(n)
    c = np.exp(-0.5 * (lags / 6.0) ** 2) + 0.5 * np.cos(0.7 * lags) * np.exp(-lags / 50)
    c[0] += noise
    return c


@pytest.fixture(params=[1, 2, 3, 10, 181])
def case(request):
    n = request.param
    rng = np.random.default_rng(n)
    c = smooth_column(n)
    return c, linalg.toeplitz(c), rng.standard_normal((3, n))


def test_levinson_equals_cholesky(case):
    c, T, Y = case
    factor = tz.factor_toeplitz(c, Y)
    np.testing.assert_allclose(
        factor.log_det, np.linalg.slogdet(T)[1], rtol=1e-10, atol=1e-10
    )
    exact = np.linalg.solve(T, Y.T).T
    scale = np.abs(exact).max()
    np.testing.assert_allclose(factor.solution, exact, atol=1e-10 * scale)
    np.testing.assert_allclose(
        factor.generator, np.linalg.solve(T, np.eye(len(c))[0]), atol=1e-9 * scale
    )
    one = tz.factor_toeplitz(c, Y[0])
    assert one.solution.shape == (len(c),)
    np.testing.assert_allclose(one.solution, exact[0], atol=1e-10 * scale)
    # The variances of prediction are the pivots of Cholesky's factorization.
    np.testing.assert_allclose(
        factor.variances, np.diag(np.linalg.cholesky(T)) ** 2, rtol=1e-9
    )


def test_products_with_the_inverse_by_fft(case):
    c, T, Y = case
    factor = tz.factor_toeplitz(c)
    assert factor.solution is None
    inverse = np.linalg.inv(T)
    scale = np.abs(inverse).max()
    np.testing.assert_allclose(factor.solve(Y), Y @ inverse, atol=1e-10 * scale)
    np.testing.assert_allclose(factor.solve(Y[0]), inverse @ Y[0], atol=1e-10 * scale)
    np.testing.assert_allclose(tz.toeplitz_product(c, Y), Y @ T, atol=1e-12 * c[0])


def test_traces_by_diagonal_sums(case):
    c, T, Y = case
    n = len(c)
    factor = tz.factor_toeplitz(c)
    inverse = np.linalg.inv(T)
    S = tz.inverse_diagonal_sums(factor.generator)
    exact = np.array([np.trace(inverse, k) for k in range(n)])
    np.testing.assert_allclose(S, exact, atol=1e-9 * np.abs(exact).max())
    others = np.random.default_rng(0).standard_normal((4, n))
    traces = [np.sum(inverse * linalg.toeplitz(d)) for d in others]
    np.testing.assert_allclose(
        tz.contract(others, S), traces, atol=1e-9 * n * np.abs(exact).max()
    )
    r = tz.autocorrelation(Y)
    forms = [np.einsum("ti,ij,tj", Y, linalg.toeplitz(d), Y) for d in others]
    np.testing.assert_allclose(tz.contract(others, r), forms, atol=1e-11 * n**2)
    both = tz.contract(others, np.column_stack([S, r]))
    np.testing.assert_allclose(both[:, 1], forms, atol=1e-11 * n**2)


def test_an_indefinite_matrix_is_refused_with_the_order():
    c = np.array([1.0, 0.9, -0.9, 0.5])
    with pytest.raises(np.linalg.LinAlgError, match=r"prediction of order 2 .* Raise"):
        tz.factor_toeplitz(c)
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        tz.sample_toeplitz(c, 2, np.random.RandomState(0))


def test_even_grids_are_told_from_uneven_ones():
    x = 1958.2 + np.arange(500) / 52
    shuffled = np.random.default_rng(0).permutation(x)
    order, step = tz.even_grid(shuffled)
    np.testing.assert_array_equal(shuffled[order], x)
    assert step == pytest.approx(1 / 52, rel=1e-11)
    assert tz.even_grid(np.r_[x, x[-1] + 2 / 52])[0] is None
    assert tz.even_grid(np.r_[x, x[-1]])[0] is None
    assert tz.even_grid(np.zeros(4))[0] is None
    assert tz.even_grid(np.array([3.0]))[1] == 1.0


@pytest.mark.parametrize(
    ("column", "method"),
    [
        (np.exp(-np.arange(20) / 3.0), "circulant"),
        (smooth_column(20, 0.1), "levinson"),
    ],
)
def test_samples_have_the_covariance(column, method):
    draws, used = tz.sample_toeplitz(column, 40_000, np.random.RandomState(0))
    assert used == method
    T = linalg.toeplitz(column)
    # The standard error of an entry is at most sqrt(2 / 40000) times the variance.
    np.testing.assert_allclose(draws.T @ draws / len(draws), T, atol=0.03 * column[0])


def test_a_longer_ring_makes_the_embedding_exact():
    def column(n):
        return np.exp(-0.5 * (np.arange(n) / 6.0) ** 2)

    _, short = tz.sample_toeplitz(
        column(20) + 1e-6 * np.eye(20)[0], 1, np.random.RandomState(0)
    )
    draws, used = tz.sample_toeplitz(
        column(20), 40_000, np.random.RandomState(0), longer=column
    )
    assert (short, used) == ("levinson", "circulant")
    T = linalg.toeplitz(column(20))
    np.testing.assert_allclose(draws.T @ draws / len(draws), T, atol=0.03)
