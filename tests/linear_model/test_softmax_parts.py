"""Blocks of columns and second-order models of several classes, against differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat.linear_model._penalized import _softmax_parts as parts
from sparsestat.linear_model._penalized._class_datafits import OneColumn, Softmax
from sparsestat.linear_model._penalized._datafits import Logistic
from sparsestat.linear_model._penalized._design import make_design
from sparsestat.linear_model._penalized._group_names import make_groups
from sparsestat.linear_model._penalized._groups import GroupPenalty
from sparsestat.linear_model._penalized._penalties import (
    ConcavePenalty,
    ElasticNetPenalty,
)
from sparsestat.linear_model._penalized._softmax import SoftmaxSolver
from sparsestat.linear_model._penalized._survival import Cox

storages = pytest.mark.parametrize("storage", [np.asarray, sparse.csc_array])
COLUMNS = np.array([3, 0, 2])


def columns_of(storage, fit_intercept=True, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((12, 5)) * (rng.random((12, 5)) < 0.8) + 0.5
    return make_design(storage(X), None, fit_intercept=fit_intercept), X, rng


def losses(rng):
    s = rng.integers(1, 4, 12).astype(float)
    codes = np.arange(12) % 3
    time = rng.integers(1, 9, 12)
    yield Softmax(codes, 3, s), 3
    yield OneColumn(Logistic(codes % 2, s)), 1
    yield OneColumn(Cox(time, np.arange(12) % 4 > 0, s, ties="efron")), 1


@storages
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_blocks_are_columns_of_the_design(storage, fit_intercept):
    design, X, rng = columns_of(storage, fit_intercept)
    s = rng.uniform(0.5, 2.0, 12)
    block = parts.Block(design, COLUMNS, s, extra=fit_intercept)
    assert block.m == 3 and block.extra == fit_intercept
    d = rng.standard_normal((3 + fit_intercept, 2))
    moved = X[:, COLUMNS] @ d[:3]
    if fit_intercept:
        # The step of centered columns, and what the intercepts of these make of it.
        moved = moved - X[:, COLUMNS].mean(axis=0) @ d[:3] + block.shift(d)
        assert_array_equal(block.image(np.eye(4)[:, 3:]), np.ones((12, 1)))
        if storage is np.asarray:  # weights are repetitions
            assert_allclose(s @ block.image(np.eye(4)[:, :3]), np.zeros(3), atol=1e-12)
    assert_allclose(block.image(d), moved, atol=1e-12)
    R = rng.standard_normal((12, 2))
    whole = block.image(np.eye(len(d)))
    assert_allclose(block.products(R), whole.T @ R, atol=1e-12)


@storages
@pytest.mark.parametrize("which", [0, 1, 2])
def test_models_are_second_derivatives(storage, which):
    design, _, rng = columns_of(storage)
    datafit, n_classes = list(losses(rng))[which]
    extra = datafit.has_intercept
    block = parts.Block(design, COLUMNS, datafit.weights, extra=extra)
    eta = rng.standard_normal((12, n_classes))
    q = block.products(-datafit.gradient(eta))
    model = parts.Model(block, datafit, eta, q)
    size, h = 3 + extra, 1e-5
    diagonal = np.empty((size, n_classes))
    for j, c in np.ndindex(size, n_classes):
        V = np.zeros((size, n_classes))
        V[j, c] = 1.0
        up, down = (datafit.gradient(eta + t * block.image(V)) for t in (h, -h))
        second = block.products((up - down) / (2 * h))
        diagonal[j, c] = second[j, c]
        if extra and n_classes > 1:  # the flat direction is taken out
            second[-1] -= second[-1].mean()
        assert_allclose(model.hessian_product(V), second, atol=1e-7)
    if which < 2:
        assert_allclose(model.curvatures(), diagonal, atol=1e-7)
    else:  # of risk sets it lies above
        assert (model.curvatures() >= diagonal - 1e-7).all()
    # Each sample's own Hessian lies below the bound.
    own = [np.diag(Q) - np.outer(Q, P) for P, Q in zip(model.P, model.Q, strict=True)]
    largest = np.array([np.linalg.eigvalsh(0.5 * (A + A.T))[-1] for A in own])
    assert (model.bound() >= largest * (1.0 - 1e-12)).all()
    if which == 1:
        assert_allclose(model.bound(), largest)


def test_the_bound_of_two_classes_is_attained():
    design, _, rng = columns_of(np.asarray)
    datafit = Softmax(np.arange(12) % 2, 2, rng.uniform(0.5, 2.0, 12))
    block = parts.Block(design, COLUMNS, datafit.weights, extra=True)
    model = parts.Model(block, datafit, np.zeros((12, 2)), None)
    assert_allclose(model.bound(), 0.5 * datafit.weights)


def quadratic(model, block, W, new):
    """Change of the second-order model, from the Hessian of each sample."""
    E = block.image(new - W)
    total = -np.sum(model.q * (new - W))
    for e, P, Q in zip(E, model.P, model.Q, strict=True):
        total += 0.5 * (Q @ e**2 - (Q @ e) * (P @ e))
    return total


@storages
@pytest.mark.parametrize("kind", ["net", "scad", "group"])
def test_values_of_models_are_sums_of_their_parts(storage, kind):
    design, _, rng = columns_of(storage)
    datafit = Softmax(np.arange(12) % 3, 3, rng.uniform(0.5, 2.0, 12))
    columns, usable = np.array([0, 2, 3, 4]), np.ones(5, dtype=bool)
    if kind == "group":
        groups = make_groups([[3, 0], [1], [4, 2]], 5)
        penalty = GroupPenalty(
            groups, np.array([1.0, 2.0, 3.0]), 0.4, 0.25, 2.0, l2=0.3
        )
        part = parts.GroupPart(penalty, np.array([True, False, True]), usable)
        columns = part.columns
        assert sorted(columns) == [0, 2, 3, 4]
    else:
        weights = np.array([1.0, 1.0, 2.0, 0.5, 3.0])
        if kind == "net":
            penalty = ElasticNetPenalty(0.4, 0.5, 5, 2.0, feature_weights=weights)
        else:
            squares = np.full(5, 6.0)
            penalty = ConcavePenalty(
                "scad", 0.4, 3.7, squares, 2.0, feature_weights=weights
            )
        part = parts.PairPart(penalty, np.ones((4, 3), dtype=bool), columns)
    block = parts.Block(design, columns, datafit.weights, extra=True)
    eta = rng.standard_normal((12, 3))
    q = block.products(-datafit.gradient(eta))
    model = parts.Model(block, datafit, eta, q)
    W, new = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    W[1], new[2, 0] = 0.0, 0.0
    # The constant of all intercepts is flat in the model.
    expected = quadratic(model, block, W, new)
    whole = [np.zeros((5, 3)), np.zeros((5, 3))]
    for out, values in zip(whole, (W, new), strict=True):
        out[columns] = values[:4]
    if kind == "scad":  # its tangent
        slopes = penalty.slopes(whole[0])
        expected += (slopes * (np.abs(whole[1]) - np.abs(whole[0]))).sum()
    else:
        expected += penalty.value(whole[1]) - penalty.value(whole[0])
    assert_allclose(part.value(W), penalty.value(whole[0]), rtol=1e-13)
    assert_allclose(part.model_value(model, W, new), expected, rtol=1e-10)


@storages
def test_bounds_of_groups_are_eigenvalues(storage):
    design, _, rng = columns_of(storage)
    s = rng.uniform(0.5, 2.0, 12)
    block = parts.Block(design, np.arange(5), s, extra=False)
    A = block.image(np.eye(5))
    found = parts._group_bounds(block, np.array([0, 2, 3, 5]), s)
    expected = [
        np.linalg.eigvalsh((A[:, a:b].T * s) @ A[:, a:b])[-1]
        for a, b in ((0, 2), (2, 3), (3, 5))
    ]
    assert_allclose(found, expected, rtol=1e-12)


def test_changes_of_signs_are_a_share_of_what_is_not_zero():
    W = np.array([[1.0, -1.0, 0.0], [2.0, 0.0, 3.0]])
    new = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert parts._changes(W, new) == 2 / 3
    assert parts._changes(W, np.zeros((2, 3))) == 4.0


class Bowl:
    """A model whose least value is where coefficients are `best`."""

    def __init__(self, best):
        self.best = best

    def model_value(self, model, W, new):
        return float(np.abs(new - self.best).sum())


@pytest.mark.parametrize(
    ("best", "length"),
    [(0.9, 1.0), (0.5, 1.0), (0.3, 0.5), (0.15, 0.2), (0.05, 0.05), (0.01, 0.0)],
)
def test_the_better_of_two_points_or_one_between(best, length):
    swept, newton = np.array([2.0, 0.0]), np.array([4.0, 0.0])
    found = parts.better(Bowl(np.array([2 + 2 * best, 0])), None, None, swept, newton)
    assert_allclose(found, [2.0 + 2.0 * length, 0.0])


@storages
@pytest.mark.parametrize("kind", ["net", "group"])
def test_a_step_is_taken_as_far_as_the_objective_falls(storage, kind):
    design, X, rng = columns_of(storage)
    datafit = Softmax(np.arange(12) % 3, 3, rng.uniform(0.5, 2.0, 12))
    solver = SoftmaxSolver(design, datafit)
    if kind == "net":
        penalty = ElasticNetPenalty(0.01, 1.0, 5, datafit.total)
        part = parts.PairPart(penalty, np.ones((5, 3), dtype=bool), np.arange(5))
    else:
        penalty = GroupPenalty(make_groups(1, 5), np.ones(5), 0.01, 0.0, datafit.total)
        part = parts.GroupPart(penalty, np.ones(5, dtype=bool), solver.usable)
    block = parts.Block(design, np.arange(5), datafit.weights, extra=True)
    W, q = np.zeros((6, 3)), block.products(-solver.gradient)
    model = parts.Model(block, datafit, solver.eta, q)
    start = datafit.value(solver.eta)
    # Far too long a step along the gradient is cut.
    assert not solver._step(part, block, model, W, -q)
    assert not solver.w.any()
    assert solver._step(part, block, model, W, 1e3 * q)
    centered = X - X.mean(axis=0)
    assert_allclose(solver.eta, centered @ solver.w + solver.shift, atol=1e-9)
    assert_allclose(solver.gradient, datafit.gradient(solver.eta), atol=1e-12)
    assert_allclose(solver.gradient.sum(axis=0), np.zeros(3), atol=1e-8)
    assert datafit.value(solver.eta) + penalty.value(solver.w) < start
    ratio = solver.w / (1e3 * q[:5])
    assert_allclose(ratio, ratio[0, 0])
    assert 0.0 < ratio[0, 0] < 1.0 and np.log2(ratio[0, 0]) == pytest.approx(
        round(np.log2(ratio[0, 0]))
    )


@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_steps_promise_what_the_objective_keeps_a_share_of(alpha):
    design, _, rng = columns_of(np.asarray, seed=5)
    datafit = Softmax(np.arange(12) % 3, 3, rng.uniform(0.5, 2.0, 12))
    solver = SoftmaxSolver(design, datafit)
    penalty = ElasticNetPenalty(alpha, 0.5, 5, datafit.total)
    part = parts.PairPart(penalty, np.ones((5, 3), dtype=bool), np.arange(5))
    block = parts.Block(design, np.arange(5), datafit.weights, extra=True)
    lengths = []
    for scale in (0.3, 1.0, 3.0, 5.0, 10.0, 20.0, 300.0):
        W = rng.standard_normal((6, 3))
        W[5] = 0.0
        solver.w, solver.shift = W[:5].copy(), np.zeros(3)
        solver._refresh()
        eta, q = solver.eta.copy(), block.products(-solver.gradient)
        model = parts.Model(block, datafit, eta, q)
        slope = -q.copy()
        slope[:5] += penalty.lam[:, None] * np.sign(W[:5]) + penalty.l2[:, None] * W[:5]
        d = -scale * slope / datafit.total
        change = np.sum(-q * d) + penalty.value(W[:5] + d[:5]) - penalty.value(W[:5])

        def objective(t, W=W, d=d, eta=eta):
            moved = datafit.value(eta + t * block.image(d))
            return moved + penalty.value(W[:5] + t * d[:5])

        assert solver._step(part, block, model, W, W + d) == (change < 0.0)
        if change >= 0.0:
            assert_allclose(solver.w, W[:5], rtol=1e-14)
            continue
        length = (solver.w - W[:5])[0, 0] / d[0, 0]
        lengths.append(round(np.log2(length)))
        length = 2.0 ** lengths[-1]
        assert_allclose(solver.w, W[:5] + length * d[:5], rtol=1e-12)
        assert objective(length) <= objective(0.0) + 1e-4 * length * change
        if length < 1.0:
            longer = 2.0 * length
            assert objective(longer) > objective(0.0) + 1e-4 * longer * change
    assert len(set(lengths)) >= 2


def test_the_flat_direction_is_the_mean_of_intercepts():
    design, _, rng = columns_of(np.asarray)
    two = Softmax(np.arange(12) % 2, 2, np.ones(12))
    for datafit, n_classes in [*losses(rng), (two, 2)]:
        for extra in {False, datafit.has_intercept}:
            block = parts.Block(design, COLUMNS, datafit.weights, extra=extra)
            model = parts.Model(block, datafit, np.zeros((12, n_classes)), None)
            V = rng.standard_normal((3 + extra, n_classes))
            expected = V.copy()
            if extra and n_classes > 1:
                expected[3] -= V[3].mean()
            assert_allclose(model.without_flat(V.copy()), expected)
