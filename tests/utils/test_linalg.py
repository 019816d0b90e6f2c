"""Systems and power iterations against LAPACK."""

import numpy as np
import pytest

from sparsestat._utils.linalg import (
    largest_eigenvalue,
    solve_positive,
    solve_semidefinite,
)


def gram(rng, n, rank):
    A = rng.standard_normal((rank, n))
    return A.T @ A


@pytest.mark.parametrize("shape", [(6,), (6, 3)])
def test_a_definite_system_is_solved_and_left_alone(global_random_seed, shape):
    rng = np.random.default_rng(global_random_seed)
    H, right = gram(rng, 6, 20), rng.standard_normal(shape)
    before = H.copy()
    np.testing.assert_allclose(H @ solve_positive(H, right), right, atol=1e-10)
    np.testing.assert_allclose(solve_semidefinite(H, right), solve_positive(H, right))
    np.testing.assert_array_equal(H, before)


def test_a_matrix_that_is_not_definite_has_no_solution():
    assert solve_positive(np.diag([1.0, -1.0]), np.ones(2)) is None
    assert solve_positive(np.full((2, 2), np.nan), np.ones(2)) is None


def test_an_empty_system_has_an_empty_solution():
    assert solve_positive(np.zeros((0, 0)), np.zeros((0, 2))).shape == (0, 2)


def test_a_singular_system_gets_the_least_solution():
    H, right = np.diag([2.0, 0.0]), np.array([4.0, 0.0])
    np.testing.assert_allclose(solve_semidefinite(H, right), [2.0, 0.0])


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_power_steps_approach_the_largest_absolute_eigenvalue(kind):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((30, 8))
    if kind == "complex":
        A = A + 1j * rng.standard_normal((30, 8))
    H = -A.conj().T @ A
    true = np.abs(np.linalg.eigvalsh(H)).max()
    v = rng.standard_normal((8, 1)).astype(H.dtype)
    value = largest_eigenvalue(lambda v: H @ v, v, n_iter=500)
    assert value == pytest.approx(true, rel=1e-6)
    rough = largest_eigenvalue(lambda v: H @ v, v, n_iter=500, rtol=1e-2)
    assert 0.8 * true < rough <= true * (1 + 1e-12)


def test_power_steps_of_nothing_find_zero():
    assert largest_eigenvalue(np.zeros_like, np.ones(3), n_iter=5) == 0.0
    assert largest_eigenvalue(lambda v: v, np.zeros(3), n_iter=5) == 0.0
