"""Kernels of likelihood paths on sparse columns, against formulas on dense data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat.linear_model._penalized import _kernels_csc_likelihood as kernels
from sparsestat.linear_model._penalized import _likelihood_problems as problems


def columns(rng, n=30, p=5):
    X = rng.standard_normal((n, p)) * (rng.random((n, p)) < 0.5)
    V = sparse.csc_array(X)
    return X, (V.data, V.indices.astype(np.uint32), V.indptr.astype(np.uint64))


@pytest.mark.parametrize("with_shift", [False, True])
def test_listed_columns_are_weighted_and_centered(with_shift):
    rng = np.random.default_rng(0)
    X, triple = columns(rng)
    s, order = rng.uniform(0.5, 2.0, 30), np.array([3, 0, 4])
    ptr, rows = np.zeros(6, dtype=np.uint64), np.zeros(200, dtype=np.uint32)
    values, mean, squares = np.zeros(200), np.zeros(5), np.zeros(5)
    total = kernels._weigh(
        *triple, order, 3, s, with_shift, ptr, rows, values, mean, squares
    )
    A = s[:, None] * X[:, order]
    assert_allclose(total, s @ s)
    stored = values[: ptr[3]], rows[: ptr[3]].astype(int), ptr[:4].astype(int)
    assert_allclose(sparse.csc_array(stored, shape=(30, 3)).toarray(), A)
    means = A.T @ s / total if with_shift else np.zeros(3)
    assert_allclose(mean[:3], means)
    assert_allclose(squares[:3], ((A - np.outer(s, means)) ** 2).sum(axis=0))


def test_slopes_and_sums_are_those_of_the_listed_columns():
    rng = np.random.default_rng(1)
    X, triple = columns(rng)
    g, order, q = rng.standard_normal(30), np.array([2, 4, 0]), np.zeros(3)
    means = X.mean(axis=0)
    kernels._slopes(*triple, means, order, 3, g, g.sum(), q)
    assert_allclose(q, -(X - means).T[order] @ g)
    d, out = np.array([1.5, 0.0, -2.0]), np.ones(30)
    kernels._add_columns(*triple, order, 3, d, out)
    assert_allclose(out, 1.0 + X[:, order] @ d)


@pytest.mark.parametrize("has_gap", [False, True])
@pytest.mark.parametrize("positive", [False, True])
def test_a_sweep_takes_minima_and_leaves_out_what_rests(positive, has_gap):
    rng = np.random.default_rng(2)
    X, (data, rows, ptr) = columns(rng, p=8)
    s = rng.uniform(0.5, 2.0, 30)
    mean = X.T @ s / (s @ s)
    A = X - np.outer(s, mean)
    square = (A * A).sum(axis=0)
    lam, l2, strength, ridge = rng.uniform(0.5, 1.5, 8), np.ones(8), 7.0, 0.3
    w = np.where(rng.random(8) < 0.4, np.abs(rng.standard_normal(8)), 0.0)
    target = 4.0 * rng.standard_normal(30)
    target -= s * (s @ target) / (s @ s)
    expected, kept, missing = w.copy(), [], 0.0
    for j in range(8):
        z = A[:, j] @ (target - A @ expected)
        level, bend, old = strength * lam[j], ridge * l2[j], expected[j]
        top = z if positive else abs(z)
        if old != 0.0 or top > 0.9 * level:
            kept.append(j)
        z_all = z + square[j] * old
        size = z_all if positive else abs(z_all)
        new = np.sign(z_all) * max(size - level, 0.0) / (square[j] + bend)
        sign = np.sign(old) or np.sign(new)
        if old != 0.0 or new != 0.0:
            slope = abs(z - bend * old - (sign or 1.0) * level)
            part = slope * max(abs(old), abs(new)) if has_gap else slope
            missing = missing + part if has_gap else max(missing, part)
        expected[j] = new
    assert 0 < len(kept) < 8
    u, index = target - X @ w, np.arange(8)
    k, beta, found = kernels._sweep(
        ptr, rows, data, mean, w, square, lam, l2, u, float(mean @ w), s @ s, strength,
        ridge, index, 8, positive, has_gap,
    )  # fmt: skip
    assert_allclose(w, expected, atol=1e-12)
    assert_array_equal(index[:k], kept)
    assert_allclose(found, missing)
    assert_allclose(u + beta * s, target - A @ w, atol=1e-12)


def test_the_path_ends_where_the_budget_does():
    rng = np.random.default_rng(3)
    X = sparse.random_array((400, 60), density=0.03, format="csc", rng=rng)
    y = (X[:, :6].sum(axis=1) + rng.standard_normal(400) > 0.1).astype(float)
    problem = problems.LogisticProblem(X, y, tol=1e-8, max_epochs=3)
    alphas = problem.grid(20, 1e-2, 1.0)
    with pytest.warns(match="gap"):
        problem.warn_of_path(problem.solve(alphas, 1.0), "path")
    problem = problems.LogisticProblem(X, y, tol=1e-8)
    path = problem.solve(alphas, 1.0)
    assert path.gaps.max() <= 1e-8
    assert np.count_nonzero(path.coefs[-1]) > 20
