"""Bounds of the likelihood-adjusted relaxation by dense eigenvalues."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsestat.cluster import _la_solvers
from sparsestat.cluster._la_solvers import Affinities, _dense_bound

N, K = 6, 2


def affinities(n=N, d=2, weighted=True, seed=0):
    """Return affinities, and the matrices they stand for, from the definition."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) + 5.0
    factors = np.array(
        [np.tril(rng.standard_normal((d, d)), -1) + np.diag(0.5 + rng.random(d))] * K
    )
    factors[1] *= 2.0
    logs = np.log([0.25, 0.75]) if weighted else None
    matrices = []
    for k, L in enumerate(factors):
        inverse = np.linalg.inv(L @ L.T)
        A = X - X.mean(axis=0)
        gram = A @ inverse @ A.T
        q = np.diag(gram) + np.log(np.linalg.det(L @ L.T))
        q = q - (2.0 * logs[k] if weighted else 0.0)
        matrices.append(gram - 0.5 * (q[:, None] + q))
    return Affinities(X, factors, logs), np.array(matrices)


def largest(M):
    return np.linalg.eigvalsh(M)[-1]


@pytest.mark.parametrize("weighted", [False, True])
def test_values_and_products_are_those_of_the_matrices(weighted):
    found, matrices = affinities(weighted=weighted)
    shift = found.shift
    for k in range(K):
        assert_allclose(found.dense(k), matrices[k] + shift, atol=1e-12)
        U = np.arange(2.0 * N).reshape(N, 2)
        assert_allclose(found.product(k, U), (matrices[k] + shift) @ U, atol=1e-10)
    # The shift leaves matrices whose entries have mean zero.
    assert abs((matrices + shift).mean()) < 1e-12
    top = max(np.abs(np.linalg.eigvalsh(M + shift)).max() for M in matrices)
    assert_allclose(found.scale, top, rtol=0.2)
    for labels in (np.array([0, 1, 0, 0, 1, 1]), np.zeros(N, dtype=int)):
        expected = 0.0
        for k in range(K):
            mine = labels == k
            if mine.any():
                expected += matrices[k][np.ix_(mine, mine)].sum() / mine.sum()
        assert_allclose(found.value(labels), expected, rtol=1e-12)


@pytest.mark.parametrize("n", [3, 4, 5, 6])  # with d = 2: few enough and too many
def test_the_weak_bound_is_that_of_the_largest_eigenvalues(n, monkeypatch):
    found, matrices = affinities(n)
    monkeypatch.setattr(_la_solvers, "_EPS", 2.0**-20)
    for seed in range(6):
        y = np.random.default_rng(seed).standard_normal(n) * 10.0 ** (seed % 3)
        y -= 10.0 * (seed > 3)
        total, size = y.sum() - found.shift * n, 0.0
        for M in matrices:
            M = M + found.shift - 0.5 * (y[:, None] + y)
            total += largest(M)
            size += np.abs(np.linalg.eigvalsh(M)).max()
        slack = 10.0 * n * 2.0**-20 * (size + abs(total))
        assert_allclose(found.weak_bound(y), total + slack, rtol=1e-10)
        best = max(
            found.value(np.array(labels)) for labels in product(range(K), repeat=n)
        )
        assert found.weak_bound(y) >= best


def test_the_dense_bound_is_that_of_the_multipliers(monkeypatch):
    found, matrices = affinities()
    monkeypatch.setattr(_la_solvers, "_EPS", 2.0**-20)
    A = (matrices + found.shift) / found.scale
    best = max(found.value(np.array(labels)) for labels in product(range(K), repeat=N))
    for seed in range(4):
        duals = list(0.3 * np.random.default_rng(seed).standard_normal((3, K, N, N)))
        rho = 0.5 + seed
        row = duals[2].sum(axis=(0, 2)) / K
        # The projection on row sums of one takes off a_i + a_j.
        a = np.linalg.solve(N * np.eye(N) + np.ones((N, N)), row)
        y = -2.0 * rho * a
        total, size = y.sum(), 0.0
        for k in range(K):
            B = rho * np.maximum(duals[1][k], 0.0)
            M = A[k] + 0.5 * (B + B.T) - 0.5 * (y[:, None] + y)
            total, size = total + largest(M), size + np.linalg.norm(M)
        slack = 10.0 * N * 2.0**-20 * (size + abs(total))
        expected = found.scale * (total + slack) - found.shift * N
        bound = _dense_bound(found, A, duals, rho)
        assert_allclose(bound, expected, rtol=1e-10)
        assert bound >= best
