"""Paths of groups from moments against those of the working-set solver."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from sparsestat._utils.arithmetic import rounding
from sparsestat.linear_model import GroupLasso, GroupLassoCV
from sparsestat.linear_model._group_lasso import GroupProblem
from sparsestat.linear_model._penalized import (
    _gram_path,
    _group_path,
    _kernels_group_path,
)
from sparsestat.linear_model._penalized._groups import Groups
from sparsestat.linear_model._penalized._points import PathPoints
from sparsestat.linear_model._penalized._problems import PathProblem

TRIALS = int(os.environ.get("SPARSESTAT_PATH_PROBLEMS", "80"))


def random_problem(rng):
    n = int(rng.choice([2, 6, 25, 80]))
    p = int(rng.choice([1, 4, 12, 40]))
    X = rng.standard_normal((n, p))
    kind = rng.integers(0, 5)
    if kind == 1 and p > 2:
        X[:, 1] = X[:, 0]  # duplicates
    elif kind == 2:
        X[:, -1] = 0.0 if rng.random() < 0.5 else 3.0
    elif kind == 3:
        X += 10.0 ** rng.uniform(0, 4)  # far from zero
    elif kind == 4:
        X = X * 10.0 ** rng.uniform(-4, 4, p)
    y = X[:, 0] / max(np.abs(X[:, 0]).max(), 1e-300) + 0.3 * rng.standard_normal(n)
    weights = None if rng.random() < 0.5 else rng.integers(0, 3, n) * rng.random(n)
    if weights is not None:
        weights[:2] = 1.0, 0.5
    _, labels = np.unique(rng.integers(0, max(p // 3, 1), p), return_inverse=True)
    group_weights = "sqrt"
    if rng.random() < 0.4:
        group_weights = rng.uniform(0.2, 3.0, labels.max() + 1)
    options = {
        "fit_intercept": bool(rng.random() < 0.7),
        "tol": 10.0 ** -rng.integers(4, 9),
        "max_iter": 200,
        "max_epochs": 50_000,
        "groups": labels,
        "group_weights": group_weights,
    }
    if rng.random() < 0.3:
        X = sparse.csc_array(X)
    return GroupProblem(X, y, weights, **options)


def test_moments_and_data_give_the_same_paths():
    rng = np.random.default_rng(0)
    used = finished = total = 0
    for _ in range(TRIALS):
        problem = random_problem(rng)
        top = problem.alpha_max(0.0)
        if not top > 0:
            continue
        alphas = np.geomspace(top, 1e-3 * top, 12)
        assert _group_path.suits_group_gram(problem, alphas, 0.0)
        fast = problem.solve(alphas, 0.0)
        slow = PathProblem.solve(problem, alphas, 0.0)
        used += isinstance(fast, PathPoints)
        A = problem.design.block(np.arange(problem.n_features))
        for alpha, a, b in zip(alphas, fast, slow, strict=True):
            assert a.gap <= max(problem.tol, b.gap)
            square = a.unit * problem.y_unit**2
            slack = (max(a.gap, b.gap) + a.rounding + b.rounding + 1e-14) * square
            assert abs(a.objective - b.objective) <= slack
            assert set(a.active_groups) == set(
                np.unique(problem.groups.labels[a.columns])
            )
            w = a.dense_coef(problem.n_features) / problem.coef_unit
            gap, _, error = _gram_path.measured_point(
                problem, A, problem.target, w, alpha, 0.0
            )
            assert gap <= (max(problem.tol, a.gap) + a.rounding) * a.unit + error
            finished += len(a.gap_history) == 1
            total += 1
    assert used > 0.8 * TRIALS and finished > 0.8 * total


def test_orthonormal_columns_have_a_closed_form():
    rng = np.random.default_rng(1)
    Q = np.linalg.qr(rng.standard_normal((30, 6)))[0]
    y = Q @ [3.0, -2.0, 1.0, 0.5, 0.1, 0.2] + 0.1 * rng.standard_normal(30)
    alphas = np.array([0.05, 0.03, 0.02, 0.01, 0.001])
    path = GroupLasso(groups=2, fit_intercept=False, tol=1e-10).path(
        Q, y, alphas=alphas
    )
    z = (Q.T @ y).reshape(3, 2)
    for alpha, coef in zip(alphas, path.coefs.T, strict=True):
        lam = 30 * alpha * np.sqrt(2.0)
        norm = np.linalg.norm(z, axis=1, keepdims=True)
        expected = z * np.maximum(1.0 - lam / norm, 0.0)
        assert_allclose(coef, expected.ravel(), atol=1e-5)


@pytest.mark.parametrize("budget", [2, 2000])
def test_strengths_left_over_are_finished(budget, monkeypatch):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((60, 24)) + 3.0 * rng.standard_normal((60, 1))
    y = X[:, :5].sum(axis=1) + rng.standard_normal(60)
    monkeypatch.setattr(_group_path, "BUDGET", budget)
    path = GroupLasso(groups=4, tol=1e-8).path(X, y, alphas=20)
    assert (path.gaps <= 1e-8 * y.var()).all()
    cv = GroupLassoCV(groups=4, alphas=10, cv=3).fit(X, y)
    assert np.isfinite(cv.mse_path_).all() and cv.certificate_.satisfied


def test_what_moments_do_not_suit_takes_the_other_way():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((30, 6)), rng.standard_normal(30)
    alphas = np.geomspace(1, 0.1, 10)
    options = {"fit_intercept": True, "tol": 1e-4, "max_iter": 9, "max_epochs": 99}

    def suits(ratio=0.0, alphas=alphas, **more):
        given = {"groups": 2, "group_weights": "sqrt", **options, **more}
        problem = GroupProblem(X, y, **given)
        return _group_path.suits_group_gram(problem, alphas, ratio)

    assert suits()
    assert not suits(ratio=0.5)
    assert not suits(tol=1e-12)
    assert not suits(alphas=alphas[:2])
    assert not suits(group_weights=np.array([0.0, 1.0, 1.0]))
    assert not suits(groups=[[0, 1, 2], [2, 3], [4, 5]])


def test_the_bound_of_rounding_is_the_sum_of_its_parts():
    rng = np.random.default_rng(0)
    labels = np.array([0, 1, 1, 2, 2, 2])
    squares, weights = rng.uniform(1.0, 9.0, 6), np.array([0.5, 1.0, 2.0])
    problem = SimpleNamespace(
        design=SimpleNamespace(squares=squares, n_samples=50),
        groups=Groups(labels, 3),
        weights=weights,
    )
    W, c = rng.normal(size=(4, 6)), rng.normal(size=6)
    strengths, scales = rng.uniform(0.1, 1.0, 4), rng.uniform(0.1, 1.0, 4)
    found = _group_path._gap_rounding(problem, 3.0, c, W, strengths, scales)
    unit = rounding(50 + 8 + 8 * 3)
    for k in range(4):
        # Of y and of the coefficients times their columns; of the products with the
        # residual of the group that they limit most.
        reach = np.sqrt(3.0) + np.abs(W[k]) @ np.sqrt(squares)
        steepest = max(
            np.sqrt(squares[labels == u].sum()) / (weights[u] * strengths[k])
            for u in range(3)
        )
        dual = steepest * reach * abs(3.0 - W[k] @ c) * scales[k]
        assert_allclose(found[k], unit * (reach**2 + 3.0 * dual), rtol=1e-12)


def test_rotated_groups_have_diagonal_blocks():
    rng = np.random.default_rng(1)
    A = rng.normal(size=(20, 7))
    groups = Groups(np.array([0, 1, 1, 2, 2, 2, 3]), 4)
    found = _group_path._rotations(A.T @ A, groups)
    assert [members.tolist() for members, _ in found] == [[[1, 2]], [[3, 4, 5]]]
    for members, V in found:
        for columns, vectors in zip(members, V, strict=True):
            B = A[:, columns] @ vectors
            assert_allclose(vectors.T @ vectors, np.eye(len(columns)), atol=1e-12)
            off = B.T @ B - np.diag((B * B).sum(axis=0))
            assert_allclose(off, 0.0, atol=1e-10)


@pytest.mark.parametrize("unit", [1.0, 2.0**-300])
def test_points_carry_the_bound_of_their_rounding(unit):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((40, 6))
    X[:, 5] = 0.0
    y = unit * (X[:, 0] - X[:, 3] + rng.standard_normal(40))
    options = {"fit_intercept": False, "max_iter": 9, "max_epochs": 999, "tol": 1e-6}
    problem = GroupProblem(X, y, groups=2, group_weights=[1.0, 2.0, 0.5], **options)
    alphas = np.geomspace(problem.alpha_max(0.0), 1e-2 * unit, 6)
    points = _group_path.group_results(problem, alphas)
    assert isinstance(points, PathPoints)
    y, W = problem.target, points.coefs / problem.coef_unit
    A = problem.design.block(np.arange(6))
    inside = 40.0 * alphas / problem.y_unit  # columns have no units here
    assert problem.design.unit == 1.0 and (problem.y_unit == 1.0) == (unit == 1.0)
    for k, point in enumerate(points):
        r = y - A @ W[k]
        norms = np.sqrt(problem.groups.sums((A.T @ r) ** 2))
        scale = min(y @ r / (r @ r), inside[k] / (norms / problem.weights).max())
        expected = _group_path._gap_rounding(
            problem, y @ y, A.T @ y, W[k : k + 1], inside[k : k + 1], np.array([scale])
        )
        assert_allclose(point.rounding, expected / (y @ y), rtol=1e-4)
        value = 0.5 * r @ r + inside[k] * problem.weights @ np.sqrt(
            problem.groups.sums(W[k] ** 2)
        )
        dual = scale * (y @ r) - 0.5 * scale**2 * (r @ r)
        assert_allclose(point.gap, (value - dual) / (y @ y), atol=1e-12)
        assert W[k, 5] == 0.0
    assert W[-1, :5].all()
    flat = GroupProblem(
        X, np.zeros(40), groups=2, group_weights=[1.0, 2.0, 0.5], **options
    )
    assert _group_path.group_results(flat, alphas) is None


def test_paths_of_groups_of_which_nothing_is_solved_are_none(monkeypatch):
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((30, 6)), rng.standard_normal(30)
    limits = {"fit_intercept": True, "max_iter": 99, "max_epochs": 9999, "tol": 1e-7}
    problem = GroupProblem(X, y, groups=2, group_weights="sqrt", **limits)
    alphas = problem.alpha_max(0.0) * np.geomspace(0.9, 0.2, 5)
    values = [point.objective for point in _group_path.group_results(problem, alphas)]
    for n_solved in (0, 1, 4):
        kernel = _kernels_group_path.group_gram_path
        monkeypatch.setattr(
            _kernels_group_path,
            "group_gram_path",
            lambda *a, kernel=kernel, found=n_solved: min(kernel(*a), found),
        )
        points = _group_path.group_results(problem, alphas)
        monkeypatch.undo()
        assert (points is None) == (n_solved == 0)
        if points is not None:
            assert [p.gap <= 1e-7 for p in points] == [True] * 5
            assert_allclose([p.objective for p in points], values, rtol=1e-6)
