"""Kernels of the exhaustive search, on problems small enough to run uncompiled."""

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsestat.linear_model._subsets import _kernels_subset as kernels

DEPENDENT, ROUNDING = 1e-8, 1e-13


def triangle(d, seed, n=8):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, d)) + 0.8 * rng.standard_normal((n, 1))
    A /= np.linalg.norm(A, axis=0)
    y = A @ (rng.standard_normal(d) * (rng.random(d) < 0.6)) + rng.standard_normal(n)
    Q, R = np.linalg.qr(A)
    return R, Q.T @ y


def excess(R, z, columns):
    """What some columns of the triangle leave of z, squared."""
    left = z
    if len(columns):
        A = R[:, list(columns)]
        left = z - A @ np.linalg.lstsq(A, z, rcond=1e-10)[0]
    return float(left @ left)


def search(R, z, n_forced, smallest, largest, best=None, max_nodes=10_000):
    d = len(z)
    best = np.full(d + 1, np.inf) if best is None else best
    members = np.zeros((d + 1, d), dtype=bool)
    doubt = np.full(d + 1, np.inf)
    nodes = kernels.best_subsets(
        R, z, n_forced, smallest, largest, best, members, max_nodes,
        DEPENDENT, ROUNDING, doubt,
    )  # fmt: skip
    return nodes, best, members, doubt


def subsets(d, size, n_forced=0):
    for rest in combinations(range(n_forced, d), size - n_forced):
        yield (*range(n_forced), *rest)


@pytest.mark.parametrize(
    ("n_forced", "smallest", "largest"),
    [(0, 1, 5), (1, 1, 5), (2, 2, 4), (2, 3, 3), (0, 2, 2), (0, 5, 5)],
)
def test_the_search_finds_what_enumeration_finds(n_forced, smallest, largest):
    for seed in range(8):
        R, z = triangle(5, seed)
        nodes, best, members, doubt = search(R, z, n_forced, smallest, largest)
        assert 1 <= nodes <= 2**5
        for size in range(6):
            if not smallest <= size <= largest:
                assert best[size] == np.inf and not members[size].any()
                continue
            values = {c: excess(R, z, c) for c in subsets(5, size, n_forced)}
            least = min(values, key=values.get)
            assert_allclose(best[size], values[least], rtol=1e-9, atol=1e-13)
            assert_array_equal(np.flatnonzero(members[size]), least)
        assert np.isinf(doubt).all()


def test_known_subsets_cut_the_tree():
    for seed in range(4):
        R, z = triangle(6, seed)
        nodes, best, members, _ = search(R, z, 0, 1, 6)
        known = best * (1 + 1e-9) + 1e-13
        fewer, again, same, _ = search(R, z, 0, 1, 6, known.copy())
        assert fewer <= nodes
        assert_allclose(again, best, rtol=1e-9, atol=1e-13)
        assert_array_equal(same[1:6], members[1:6])
        # A value below all others is left alone, and nothing is visited for it.
        below = np.full(7, -1.0)
        assert search(R, z, 0, 1, 6, below)[0] == 1
        assert search(R, z, 0, 1, 6, max_nodes=nodes)[0] == nodes
        assert search(R, z, 0, 1, 6, max_nodes=nodes - 1)[0] == -1


def test_orthonormal_columns_are_dropped_in_the_order_of_their_products():
    z = np.array([0.5, 3.0, -2.0, 1.0])
    nodes, best, members, _ = search(np.eye(4), z, 0, 1, 4)
    assert_allclose(best[1:], [5.25, 1.25, 0.25, 0.0])
    assert_array_equal(members[1:3], [[0, 1, 0, 0], [0, 1, 1, 0]])
    # The strongest first: the root alone holds every best set.
    assert nodes == 1 + 3  # and a child for each size that a tie could improve


def test_ties_go_to_the_first_columns():
    _, best, members, _ = search(np.eye(3), np.ones(3), 0, 1, 3)
    assert_allclose(best[1:], [2.0, 1.0, 0.0])
    assert_array_equal(members[1:3], [[1, 0, 0], [1, 1, 0]])


def test_what_stands_below_a_dependent_column_moves_up():
    T = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    work = np.zeros((3, 3)), np.zeros(3)
    left, largest = kernels._unexplained(T, np.array([1.0, 2.0, 3.0]), 3, 1e-8, *work)
    assert (left, largest) == (4.0, 0.0)


def test_dependent_columns_explain_nothing_of_their_own():
    R, z = triangle(4, 3)
    R = np.column_stack([R[:, 0], R[:, 0], R[:, 1:]])
    R = np.vstack([R, np.zeros(5)])
    Q, T = np.linalg.qr(R)
    v = Q.T @ np.append(z, 0.7)
    _, best, members, doubt = search(T, v, 0, 1, 5)
    for size in range(1, 6):
        least = min(excess(T, v, c) for c in subsets(5, size))
        assert_allclose(best[size], least, rtol=1e-9, atol=1e-13)
        found = excess(T, v, np.flatnonzero(members[size]))
        assert_allclose(found, least, rtol=1e-9, atol=1e-13)
        assert members[size].sum() == size
    assert np.isinf(doubt).all()


def test_nearly_dependent_columns_leave_a_doubt():
    # The second column is the first but for 1e-10: with it the set of two is perfect.
    T = np.array([[1.0, 1.0, 0.6], [0.0, 1e-10, 0.0], [0.0, 0.0, 0.8]])
    z = np.array([1.0, 2.0, 0.5])
    _, best, members, doubt = search(T, z, 0, 1, 3)
    assert_allclose(best[3], 4.0, rtol=1e-9)
    assert_allclose(doubt[3], 0.0, atol=1e-9)
    # With the first and the third: .25 of the third product is explained.
    assert_allclose(best[2], 4.0, rtol=1e-9)
    assert_array_equal(
        np.flatnonzero(members[1]), [np.argmin([excess(T, z, [j]) for j in range(3)])]
    )
    assert_allclose(doubt[2], 0.25, rtol=1e-9)
    assert doubt[1] == np.inf


def test_rotations_keep_lengths_and_make_zeros():
    rng = np.random.default_rng(0)
    T, v = rng.standard_normal((4, 5)), rng.standard_normal(4)
    before, held = T.copy(), v.copy()
    cosine, sine = kernels._rotate(T, v, 1, 2, 4)
    h = np.hypot(before[1, 2], before[2, 2])
    assert_allclose([cosine, sine], [before[1, 2] / h, before[2, 2] / h], rtol=1e-14)
    G = np.eye(4)
    G[1:3, 1:3] = [[cosine, sine], [-sine, cosine]]
    expected = before.copy()
    expected[:, 2:4] = G @ before[:, 2:4]
    assert_allclose(T, expected, atol=1e-14)
    assert T[2, 2] == 0.0
    assert_allclose(v, G @ held, atol=1e-14)
    assert kernels._rotate(T, v, 1, 2, 4) == (1.0, 0.0)
    S = rng.standard_normal((4, 4))
    rotated = S.copy()
    kernels._rotate_columns(rotated, 1, cosine, sine, 3)
    S[:3] = S[:3] @ G.T
    assert_allclose(rotated, S, atol=1e-14)


def test_the_inverse_of_a_triangle():
    R = np.triu(np.random.default_rng(1).standard_normal((5, 5))) + 2 * np.eye(5)
    S = np.zeros((5, 5))
    kernels._invert(R, 4, S)
    assert_allclose(S[:4, :4], np.linalg.inv(R[:4, :4]), atol=1e-13)
    assert not S[4].any() and not S[:, 4].any()
    assert kernels._pivot(-2e-12) == -2e-12
    assert kernels._pivot(1e-13) == kernels._pivot(0.0) == 1e-12
    z = np.arange(1.0, 6.0)
    w, spread = kernels._coefficient(S, z, 1, 4)
    assert_allclose(w, S[1, 1:4] @ z[1:4], rtol=1e-14)
    assert_allclose(spread, S[1, 1:4] @ S[1, 1:4], rtol=1e-14)


@pytest.mark.parametrize("s", [1, 2, 3, 4, 5])
def test_what_columns_of_a_triangle_leave(s):
    rng = np.random.default_rng(s)
    T, v = np.triu(rng.standard_normal((5, 5))), rng.standard_normal(5)
    garbage = [rng.standard_normal((5, 5)), rng.standard_normal(5)]
    left, largest = kernels._unexplained(T, v, s, 1e-8, *garbage)
    assert_allclose(left, 0.0, atol=1e-20)
    assert largest == 0.0
    if s < 3:
        return
    # The third column is the sum of those before it, but for 1e-9.
    T[:, 2] = T[:, 0] + T[:, 1]
    T[2, 2] = -1e-9
    left, largest = kernels._unexplained(T, v, s, 1e-8, *garbage)
    used = [0, 1, *range(3, s)]
    expected = excess(T[:s], v[:s], used)
    assert_allclose(left, expected, rtol=1e-7, atol=1e-14)
    assert_allclose(largest, 1e-9, rtol=1e-6)
    left, largest = kernels._unexplained(T, v, s, 1e-9 * (1 - 1e-6), *garbage)
    assert_allclose(left, 0.0, atol=1e-20)
    assert largest == 0.0
    if s == 3:  # no rotation touches it: the limit itself counts as dependent
        _, largest = kernels._unexplained(T, v, s, 1e-9, *garbage)
        assert largest == 1e-9
