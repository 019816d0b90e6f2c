"""Forests: linear-time solves against dense ones, acyclic and maximal choices."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from sparsestat.linear_model import greedy_bcd_quadratic
from sparsestat.linear_model._forests._forests import SparseSystem, static_blocks


def random_system(n, density, seed):
    """Return a sparse, strictly diagonally dominant symmetric matrix."""
    rng = np.random.default_rng(seed)
    A = sparse.random_array((n, n), density=density, rng=rng, format="csr")
    A.data -= 0.5
    A = sparse.csr_array(A + A.T)
    A.setdiag(0)
    A.eliminate_zeros()
    return sparse.csr_array(A + sparse.diags_array(abs(A).sum(axis=1) + 0.1))


def random_forest(n, n_roots, seed):
    """Return the matrix of a random forest with weights on its edges."""
    rng = np.random.default_rng(seed)
    child = np.arange(n_roots, n)
    parent = np.array([rng.integers(0, k) for k in child], dtype=int)
    weight = rng.uniform(-1, 1, len(child))
    label = rng.permutation(n)
    i, j = label[child], label[parent]
    A = sparse.coo_array((weight, (i, j)), shape=(n, n))
    A = sparse.csr_array(A + A.T)
    return sparse.csr_array(A + sparse.diags_array(abs(A).sum(axis=1) + 0.01))


def is_forest(A, nodes):
    """Whether |E| = |V| - #components on the nodes."""
    sub = A[nodes][:, nodes].tocoo()
    edges = int(np.count_nonzero(sub.row < sub.col))
    parts = connected_components(sparse.csr_array(sub), directed=False)[0]
    return edges == len(nodes) - parts


@pytest.mark.parametrize("n_roots", [1, 7, 60])
@pytest.mark.parametrize("n_columns", [1, 3])
def test_forest_solve_equals_dense_solve(n_roots, n_columns, global_random_seed):
    n = 60
    A = random_forest(n, n_roots, global_random_seed)
    system = SparseSystem.from_matrix(A)
    rng = np.random.default_rng(global_random_seed)
    forest = system.greedy_forest(rng.permutation(n))
    assert len(forest) == n  # nothing has to be left out of a forest
    G = rng.standard_normal((n, n_columns))
    step = np.empty_like(G)
    step[forest.sequence] = forest.solve(G)
    assert_allclose(step, np.linalg.solve(A.toarray(), -G), atol=1e-10)


def path(n):
    off = -np.ones(n - 1)
    return sparse.diags_array([off, np.full(n, 2.01), off], offsets=[-1, 0, 1])


def star(n):
    hub, leaves = np.zeros(n - 1, dtype=int), np.arange(1, n)
    A = sparse.coo_array((-np.ones(n - 1), (hub, leaves)), shape=(n, n))
    return A + A.T + sparse.diags_array(np.r_[n, np.full(n - 1, 1.5)])


@pytest.mark.parametrize("make", [path, star])
def test_large_trees_are_solved_in_one_step_without_recursion(make):
    n = 100_000
    A = sparse.csr_array(make(n))
    b = np.random.default_rng(0).standard_normal(n)
    result = greedy_bcd_quadratic(A, b, tol=1e-10)
    assert result.n_iter == 1
    assert result.history["block_size"][1] == n
    assert np.abs(A @ result.coef - b).max() <= 1e-10 * np.abs(b).max()


def test_greedy_forest_is_acyclic_and_maximal(global_random_seed):
    n = 120
    A = random_system(n, 0.03, global_random_seed)
    system = SparseSystem.from_matrix(A)
    order = np.random.default_rng(global_random_seed).permutation(n)
    forest = system.greedy_forest(order)
    nodes = np.sort(forest.sequence)
    assert is_forest(A, nodes)
    for v in np.setdiff1d(np.arange(n), nodes):
        assert not is_forest(A, np.append(nodes, v))
    # Greedy: every prefix of the order is treated as if it were the whole.
    half = system.greedy_forest(order[: n // 2])
    assert_array_equal(np.sort(half.sequence), np.intersect1d(nodes, order[: n // 2]))
    # Parents stand before their children and are tied to them.
    for k, above in enumerate(forest.up):
        if above >= 0:
            assert above < k
            assert forest.link[k] == A[forest.sequence[k], forest.sequence[above]]


@pytest.mark.parametrize("kind", ["tree_partition", "red_black"])
def test_partitions_cover_all_nodes_by_forests_or_independent_sets(
    kind, global_random_seed
):
    A = random_system(150, 0.02, global_random_seed)
    system = SparseSystem.from_matrix(A)
    block, forests = static_blocks(system, kind)
    assert_array_equal(
        np.sort(np.concatenate([f.sequence for f in forests])), np.arange(150)
    )
    for number, forest in enumerate(forests):
        assert_array_equal(np.sort(forest.sequence), np.flatnonzero(block == number))
        assert is_forest(A, forest.sequence)
        if kind == "red_black":
            assert (forest.up == -1).all()


def lattice(side):
    line = sparse.diags_array([np.ones(side - 1)] * 2, offsets=[-1, 1])
    eye = sparse.eye_array(side)
    W = sparse.csr_array(sparse.kron(line, eye) + sparse.kron(eye, line))
    return sparse.csr_array(sparse.diags_array(W.sum(axis=1) + 0.1) - W)


def test_a_lattice_has_two_colors_and_two_or_three_forests():
    system = SparseSystem.from_matrix(lattice(12))
    assert len(static_blocks(system, "red_black")[1]) <= 4  # first fit, not optimal
    assert len(static_blocks(system, "tree_partition")[1]) <= 3


def test_exact_step_minimizes_over_the_forest_and_lowers_the_objective():
    A = random_system(80, 0.05, 1)
    b = np.random.default_rng(1).standard_normal(80)
    system = SparseSystem.from_matrix(A)
    W = np.zeros((80, 1))
    G = -b[:, None].copy()
    forest = system.greedy_forest(np.argsort(-np.abs(b)))
    system.step_on(forest, W, G)
    assert_allclose(G, A @ W - b[:, None], atol=1e-13)
    assert np.abs(G[forest.sequence]).max() < 1e-13


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda A: A[:, :-1], "must be square"),
        (lambda A: A + sparse.csr_array(([1.0], ([0], [5])), shape=A.shape), "symmet"),
        (lambda A: A - 100 * sparse.eye_array(A.shape[0]), "not positive definite"),
        (lambda A: A * np.nan, "NaN"),
    ],
)
def test_matrices_that_are_no_systems_are_refused(change, message):
    A = sparse.csr_array(change(random_system(20, 0.1, 0)))
    with pytest.raises(ValueError, match=message):
        SparseSystem.from_matrix(A)


def test_an_indefinite_matrix_is_found_on_the_forest():
    A = sparse.csr_array(np.array([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(ValueError, match="not positive definite"):
        greedy_bcd_quadratic(A, [1.0, 1.0])


def test_trees_are_no_larger_than_asked_for(global_random_seed):
    A = random_system(150, 0.02, global_random_seed)
    system = SparseSystem.from_matrix(A)
    block, forests = static_blocks(system, "tree_partition", largest=5)
    for forest in forests:
        assert is_forest(A, forest.sequence)
        parts = connected_components(A[forest.sequence][:, forest.sequence])[1]
        assert np.bincount(parts).max() <= 5
    assert_array_equal(np.bincount(block), [len(f) for f in forests])
