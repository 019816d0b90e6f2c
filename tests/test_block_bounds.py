"""Bounds that passes over blocks of rows compute, from their definitions."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsestat import row_blocks
from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.blocks import checked_block
from sparsestat.cluster import _certify_blocks
from sparsestat.inference import (
    ScaledLasso,
    _scaled_lasso_blocks,
    _scaled_lasso_solver,
)
from sparsestat.linear_model._penalized._block_sums import outline
from sparsestat.linear_model._penalized._gaps import squared_parts
from sparsestat.linear_model._penalized._moment_problem import (
    MomentProblem,
    block_problem,
)
from sparsestat.linear_model._penalized._rounding import squared_loss_rounding


def data(n=60, p=4):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p)) + 3.0
    y = X @ [1.0, -0.5, 0.0, 0.0] + rng.standard_normal(n)
    return X, y, rng.integers(1, 4, n).astype(float)


def moment_problem(blocks, tol=1e-8, **options):
    return block_problem(
        "Lasso", blocks, feature_weights=None, fit_intercept=True, tol=tol,
        max_iter=50, max_epochs=5000, n_jobs=None, verbose=0, **options,
    )[0]  # fmt: skip


def test_gaps_of_moments_carry_the_rounding_of_their_passes():
    X, y, w = data()
    problem = moment_problem(row_blocks(X, y, w, block_size=8))
    result = problem.solve_one(0.2, 1.0)
    A, z = X - w @ X / w.sum(), y - w @ y / w.sum()
    coef = result.dense_coef(4)
    r = z - A @ coef
    q, square, penalty = A.T @ (w * r), w @ r**2, problem.penalty(0.2, 1.0)
    parts = squared_parts(penalty, coef, q, square, w @ (z * r))
    sizes = SimpleNamespace(squares=w @ A**2, chain=60 // 8 + 8 + 16)
    used = np.flatnonzero(coef)
    error = squared_loss_rounding(
        sizes, penalty, used, coef[used], np.array([np.sqrt(square)]), q, parts
    )
    unit = w @ z**2
    assert result.unit == pytest.approx(unit) and len(used) == 2
    # A part is the last digits by which the dual point may be infeasible.
    assert_allclose(result.rounding, error / unit, rtol=0.05)
    assert result.gap == pytest.approx(max(parts.gap, 0.0) / unit, abs=1e-13)
    assert_allclose((result.objective, result.dual), (parts.primal, parts.dual))


def test_without_a_gap_the_largest_violation_is_measured():
    X, y, w = data()
    problem = moment_problem(row_blocks(X, y, w, block_size=8), tol=1e-3)
    result = problem.solve_one(0.0, 1.0)
    A, z = X - w @ X / w.sum(), y - w @ y / w.sum()
    q = A.T @ (w * (z - A @ result.dense_coef(4)))
    assert result.kind == "kkt"
    largest = np.abs(A.T @ (w * z)).max()
    assert result.gap == pytest.approx(np.abs(q).max() / largest, abs=1e-12)
    # One that is not solved shows the violation that it has.
    wrong = np.array([0.5, 0.0, 0.0, 0.0])
    result.columns, result.coef = np.array([0]), wrong[:1]
    (q,) = problem._measure([result], [0.0], [0], 1.0)
    expected = A.T @ (w * (z - A @ wrong))
    assert_allclose(q[:, 0], expected, rtol=1e-10)
    assert result.gap == pytest.approx(np.abs(expected).max() / largest, rel=1e-10)
    flat = moment_problem(row_blocks(X, np.ones(60), w, block_size=8))
    found = flat.solve_one(0.1, 1.0)
    assert (found.gap, found.rounding, found.unit) == (0.0, 0.0, 1.0)
    assert flat.solve_one(0.0, 1.0).gap == 0.0


def test_targets_apart_and_held_out_errors():
    X, y, w = data()
    Y = np.column_stack([y, X[:, 2] - y])
    folds = np.arange(60) % 3
    blocks = row_blocks(X, Y, w, block_size=8)
    problem, moments = block_problem(
        "MultiTaskLasso", blocks, folds=folds, joint=True, feature_weights=None,
        fit_intercept=True, tol=1e-8, max_iter=50, max_epochs=5000, n_jobs=None,
        verbose=0,
    )  # fmt: skip
    train = problem.of_others(moments, 1)
    mine = folds != 1
    assert train.total == w[mine].sum() and train.n_rows == mine.sum()
    result = train.solve_one(0.1, 1.0)
    A = X - np.average(X[mine], axis=0, weights=w[mine])
    center = np.average(Y[mine], axis=0, weights=w[mine])
    coef = np.zeros((4, 2))
    coef[result.columns] = result.coef
    rest = (Y - center - A @ coef)[~mine]
    expected = w[~mine] @ (rest**2).sum(axis=1) / w[~mine].sum() / 2
    assert train.held_out_error(result, moments[1]) == pytest.approx(expected)
    single = problem.of_target(1)
    assert single.scale == pytest.approx(w @ (Y[:, 1] - w @ Y[:, 1] / w.sum()) ** 2)
    assert single.is_single and single.y_mean == pytest.approx(w @ Y[:, 1] / w.sum())
    assert single.target.shape == (len(single.target),)


def test_outlines_of_blocks_add_up():
    X, y, w = data()
    labels = np.where(y > y.mean(), 1.0, 0.0)
    for target in (y, labels):
        found = None
        for rows in (slice(0, 1), slice(1, 25), slice(25, 60)):
            block = checked_block(X[rows], target[rows], w[rows], n_features=4)
            part = outline(block, None, True)
            found = part if found is None else found.merged(part)
        mean = w @ X / w.sum()
        assert (found.n_rows, found.weight) == (60, w.sum())
        assert_allclose(found.mean, mean, rtol=1e-13)
        assert_allclose(found.squares, w @ (X - mean) ** 2, rtol=1e-12)
        assert found.y_sum == pytest.approx(w @ target)
        assert found.lowest == target.min()
    assert found.classes == {0.0: w[labels == 0].sum(), 1.0: w[labels == 1].sum()}


def test_clusters_of_blocks_have_their_moments_and_margins():
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    X = 0.01 * (rng.standard_normal((30, 2)) + 9.0 * labels[:, None])
    found = _certify_blocks.BlockClusterMoments(row_blocks(X, block_size=7), labels)
    assert found.steps == 30 + 5 + 2 and not found.is_level
    center = X - X.mean(axis=0)
    means = np.array([center[labels == k].mean(axis=0) for k in range(3)])
    assert_allclose(found.means, means, atol=1e-15)
    assert found.radius == pytest.approx(np.sqrt((center**2).sum(axis=1).max()))
    assert found.sum_of_squares == pytest.approx((center**2).sum())
    distances = ((center[:, None] - means) ** 2).sum(axis=2)
    margins = [
        (distances[labels == a, b] - distances[labels == a, a]).min() * 10 * 10 / 20
        for a in range(3)
        for b in range(3)
        if a != b
    ]
    assert found.lam_max == pytest.approx(min(margins), rel=1e-9)
    level = labels[:, None] * np.ones(2)
    found = _certify_blocks.BlockClusterMoments(row_blocks(level, block_size=7), labels)
    assert found.is_level and found.cost == 0.0
    a, b = (np.array([1.0, 5.0]), 2.0), (np.array([3.0, 4.0]), 7.0)
    margins, farthest = _certify_blocks._least(a, b)
    assert_array_equal(margins, [1.0, 4.0])
    assert farthest == 7.0


def test_the_gap_of_the_scaled_lasso_needs_sums_alone():
    X, y, _ = data()
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    z, none = y - y.mean(), np.zeros(4)
    for coef in (np.zeros(4), np.array([0.8, -0.4, 0.0, 0.1])):
        for strength in (0.05, 0.5, 5.0):
            r = z - Z @ coef
            found = _scaled_lasso_blocks._gap(60, r @ r, r @ z, Z.T @ r, coef, strength)
            gap = _scaled_lasso_solver._gap(Z, none, z, coef, r, strength, 1.0)
            assert found == pytest.approx(gap, rel=1e-9)
    coef = np.ones(4)
    assert _scaled_lasso_blocks._gap(60, 0.0, 0.0, none, coef, 0.5) == 2.0
    # Nothing limits the dual point: the gap is that of the norms.
    found = _scaled_lasso_blocks._gap(4, 16.0, 8.0, none, coef, 0.5)
    assert found == pytest.approx(2.0 + 2.0 - 8.0 / 4 / 2)
    # The largest product limits it, small as it is: 0.05 / 0.1 against 0.2 * 2.
    few = np.array([0.05, -0.02, 0.0, 0.0])
    found = _scaled_lasso_blocks._gap(4, 0.01, 0.3, few, coef, 0.2)
    assert found == pytest.approx(0.1 / 2 + 0.2 * 4 - 0.8 * 0.3 / 0.1 / 2)
    root = np.random.default_rng(1).standard_normal((3, 4))
    rows = _scaled_lasso_blocks._without_mean(root)
    assert rows.shape == (4, 4)
    assert_allclose(rows.T @ rows, root.T @ root, atol=1e-12)
    assert_allclose(rows.sum(axis=0), 0.0, atol=1e-12)


def test_noise_levels_of_blocks_carry_their_rounding():
    X, y, _ = data()
    model = ScaledLasso().fit(row_blocks(X, y, block_size=8))
    used = np.count_nonzero(model.coef_)
    reach = np.abs(model.coef_) @ X.std(axis=0) / y.std()
    expected = rounding(60 + 8 + used + 8, 4.0) + rounding(used + 8, 2.0 * reach)
    expected += rounding(8 // 8 + 8 + 16, 2.0 * model.sigma_ / model.alpha_)
    assert_allclose(model.certificate_.details["rounding"], expected, rtol=1e-12)


def test_noise_levels_are_spreads_about_what_rounding_left_of_the_mean():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    y = np.round((X[:, 0] + 0.5 * rng.standard_normal(200)) * 64.0) / 64.0
    model = ScaledLasso().fit(row_blocks(X, y + 2.0**30, block_size=64))
    spread = np.std(y - X @ model.coef_)
    assert_allclose(model.sigma_, spread, rtol=1e-10)
    degrees = 199 - np.count_nonzero(model.coef_)
    assert_allclose(model.sigma_df_, spread * np.sqrt(200 / degrees), rtol=1e-10)


def test_one_degree_of_freedom_is_enough_for_a_noise_level():
    X = np.array([[1.0, 2.0], [-1.0, 0.5], [2.0, -1.5], [0.5, 1.0]])
    y = X @ [3.0, -2.0] + 0.01 * np.array([1.0, -1.0, 1.0, 2.0])
    model = ScaledLasso(factor=1e-3).fit(row_blocks(X, y, block_size=2))
    assert np.count_nonzero(model.coef_) == 2
    assert_allclose(model.sigma_df_, 2.0 * model.sigma_, rtol=1e-12)


def test_gaps_are_mended_where_the_data_may_miss_the_tolerance():
    def result(gap, error, kind="duality_gap", converged=True):
        return SimpleNamespace(gap=gap, rounding=error, kind=kind, converged=converged)

    given = [
        result(0.875, 0.25),
        result(5.0, 0.25, kind="kkt"),
        result(0.5, 0.25),
        result(5.0, 0.25, converged=False),
        result(5.0, 0.5),
        result(0.75, 0.25),
        result(5.0, 0.25),
    ]
    refined = []

    def mend(found, q, alpha, setting):
        refined.append((alpha, q))
        return result(0.0, 0.25)

    of = SimpleNamespace(
        blocks=(),
        tol=1.0,
        _measure=lambda found, alphas, todo, setting: [10 * k for k in todo],
        _refined=mend,
    )
    found = MomentProblem._certified(of, list(given), "abcdefg", None)
    assert refined == [("a", 0), ("g", 60)]
    assert [r.gap for r in found] == [0.0, 5.0, 0.5, 5.0, 5.0, 0.75, 0.0]


def test_the_scaled_lasso_takes_one_target():
    X, y, _ = data()
    with pytest.raises(ValueError, match="1d array"):
        ScaledLasso().fit(row_blocks(X, np.column_stack([y, y]), block_size=8))


def test_clusters_of_blocks_refuse_too_many_features_and_other_numbers(monkeypatch):
    monkeypatch.setattr(_certify_blocks, "_MOST_FEATURES", 3)
    labels = np.arange(6) % 2
    for d in (2, 3, 4, 5):
        blocks = row_blocks(np.random.default_rng(0).random((6, d)), block_size=4)
        if d <= 3:
            moments = _certify_blocks.BlockClusterMoments(blocks, labels)
            assert (moments.n_features, moments.n_clusters) == (d, 2)
        else:
            with pytest.raises(ValueError, match=f"at most 3 features, got {d}"):
                _certify_blocks.BlockClusterMoments(blocks, labels)
    for wrong in (labels[1:], np.zeros(7), labels[:, None]):
        with pytest.raises(ValueError, match="6 rows, labels of shape"):
            _certify_blocks.labels_of_blocks(blocks, wrong)
    codes = _certify_blocks.labels_of_blocks(blocks, ["b", "a", "b", "d", "a", "d"])
    assert_array_equal(codes, [1, 0, 1, 2, 0, 2])
