"""Exact transport against rational arithmetic: ties, zeros, closed arcs, any costs."""

import os
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from sparsestat.transport import sinkhorn, sinkhorn_points
from sparsestat.transport._simplex import integer_masses, solve_tree

N_PROBLEMS = 300  # for each seed
N_DEGENERATE = int(os.environ.get("SPARSESTAT_DEGENERATE_PIVOTS", "5000"))


def cheapest_flow(C, a, b):
    """Return the least cost in rationals by cheapest augmenting paths, None if none."""
    n, m = C.shape
    cost = [[None if np.isinf(c) else Fraction(float(c)) for c in row] for row in C]
    left, right = [Fraction(float(x)) for x in a], [Fraction(float(x)) for x in b]
    flow = [[Fraction(0)] * m for _ in range(n)]
    while any(left):
        far = [Fraction(0) if x else None for x in left] + [None] * m
        back = [-1] * (n + m)
        moved = True
        while moved:
            moved = False
            for i in range(n):
                for j in range(m):
                    if cost[i][j] is None:
                        continue
                    d = far[i]
                    if d is not None:
                        d += cost[i][j]
                        if far[n + j] is None or d < far[n + j]:
                            far[n + j], back[n + j], moved = d, i, True
                    d = far[n + j]
                    if d is not None and flow[i][j]:
                        d -= cost[i][j]
                        if far[i] is None or d < far[i]:
                            far[i], back[i], moved = d, n + j, True
        ends = [j for j in range(m) if right[j] and far[n + j] is not None]
        if not ends:
            return None
        j = min(ends, key=lambda j: far[n + j])
        amount, x = right[j], n + j
        while back[x] >= 0:
            y = back[x]
            if x < n:  # an arc is left in the other direction
                amount = min(amount, flow[x][y - n])
            x = y
        amount = min(amount, left[x])
        left[x] -= amount
        right[j] -= amount
        x = n + j
        while back[x] >= 0:
            y = back[x]
            if x >= n:
                flow[y][x - n] += amount
            else:
                flow[x][y - n] -= amount
            x = y
    pairs = [(i, j) for i in range(n) for j in range(m) if flow[i][j]]
    return sum((flow[i][j] * cost[i][j] for i, j in pairs), Fraction(0))


def random_problem(rng):
    """Costs and masses of many kinds; masses are exact multiples of one unit."""
    n, m = rng.integers(1, 7, 2)
    kind = rng.integers(0, 7)
    if kind == 0:  # many ties
        C = rng.integers(0, 3, (n, m)).astype(float)
    elif kind == 1:  # of very different sizes
        C = 10.0 ** rng.uniform(-12, 14, (n, m))
    elif kind == 2:  # an offset that takes digits
        C = rng.random((n, m)) + 10.0 ** rng.integers(0, 12)
    elif kind == 3:  # on a line
        C = np.abs(rng.integers(0, 5, n)[:, None] - rng.integers(0, 5, m)) / 3.0
    elif kind == 4:  # of both signs
        C = rng.standard_normal((n, m)) * 10.0 ** rng.integers(-12, 14)
    elif kind == 5:  # few large ones among small ones
        C = np.where(rng.random((n, m)) < 0.4, 1e14, rng.integers(0, 9, (n, m)))
    else:
        C = rng.random((n, m)) + 1e6 * rng.random((n, 1)) + 1e3 * rng.random(m)
    total = int(rng.integers(max(n, m), 60))
    parts = []
    for size in (n, m):
        if rng.random() < 0.5:  # small integers: degenerate
            cuts = np.sort(rng.integers(0, total + 1, size - 1))
            parts.append(np.diff(np.r_[0, cuts, total]).astype(float))
        else:
            cuts = np.sort(rng.integers(0, total * 2**20 + 1, size - 1))
            parts.append(np.diff(np.r_[0, cuts, total * 2**20]) / 2.0**20)
    a, b = parts
    if rng.random() < 0.3:
        C = np.where(rng.random((n, m)) < rng.uniform(0.1, 0.6), np.inf, C)
    power = 2.0 ** int(rng.integers(-300, 300)) if rng.random() < 0.2 else 1.0
    return C, power * a, power * b


def exact_cost(P, C):
    return sum(
        (Fraction(float(P[i, j])) * Fraction(float(C[i, j])))
        for i, j in zip(*np.nonzero(P), strict=True)
    )


def check(C, a, b):
    """Compare one problem with rationals; return whether it has a plan."""
    best = cheapest_flow(C, a, b)
    if best is None:
        with pytest.raises(ValueError, match="No plan exists"):
            sinkhorn(C, a, b, method="exact")
        return False
    result = sinkhorn(C, a, b, method="exact")
    P = result.plan
    assert (P[np.isinf(C)] == 0).all()
    # Masses are multiples of a unit that double precision holds: margins are exact.
    np.testing.assert_array_equal(P.sum(axis=1), a)
    np.testing.assert_array_equal(P.sum(axis=0), b)
    low = [
        min(c for c in row if np.isfinite(c)) if x else 0
        for row, x in zip(C, a, strict=True)
    ]
    found = exact_cost(P, C)
    spent = found - sum(
        (Fraction(float(x)) * Fraction(float(c)) for x, c in zip(a, low, strict=True)),
        Fraction(0),
    )
    assert result.converged
    assert 0 <= found - best <= Fraction(1, 10**13) * spent
    assert (
        Fraction(result.certificate.value) * spent
        >= found - best - Fraction(result.certificate.details["rounding"]) * spent
    )
    magnitude = float(np.abs(P[P > 0] * C[P > 0]).sum())
    assert result.value == pytest.approx(float(found), abs=4e-16 * magnitude)
    # Dual variables are feasible for open arcs, up to their own rounding.
    phi, psi = result.potentials
    size = np.abs(phi).max() + np.abs(psi).max() + np.abs(C[np.isfinite(C)]).max()
    assert (C - phi[:, None] - psi).min() >= -1e-14 * size
    return True


def test_random_problems_equal_the_program_in_rationals(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    solved = sum(check(*random_problem(rng)) for _ in range(N_PROBLEMS))
    assert 0.6 * N_PROBLEMS < solved < N_PROBLEMS


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", [(70, 70), (150, 66), (66, 150), (400, 3), (3, 400)])
def test_larger_problems_are_proved_by_their_dual_variables(shape, seed):
    rng = np.random.default_rng(seed)
    for C in (
        rng.random(shape),
        rng.integers(0, 4, shape).astype(float),
        10.0 ** rng.uniform(0, 14, shape),
    ):
        a, b = rng.random(shape[0]) ** 4, rng.random(shape[1])
        a, b = a / a.sum(), b / b.sum()
        result = sinkhorn(C, a, b, method="exact")
        assert result.converged and result.certificate.value <= 1e-14
        assert result.marginal_error < 1e-14
        phi, psi = result.potentials
        sizes = np.abs(phi).max() + np.abs(psi).max()
        slack = C - phi[:, None] - psi
        assert slack.min() >= -1e-15 * sizes
        # Complementary slackness, and a basis: no more arcs than a tree has.
        assert (result.plan * slack).sum() <= 1e-15 * sizes
        assert np.count_nonzero(result.plan) <= sum(shape) - 1


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 300])
def test_uniform_masses_give_an_assignment(n):
    C = np.random.default_rng(n).random((n, n))
    i, j = linear_sum_assignment(C)
    result = sinkhorn(C, method="exact", return_plan="sparse")
    assert result.value == pytest.approx(C[i, j].mean(), rel=1e-14)
    assert result.plan.nnz == n


def test_offsets_and_scales_leave_the_plan():
    rng = np.random.default_rng(0)
    C, a, b = rng.random((40, 50)), rng.random(40), rng.random(50)
    a, b = a / a.sum(), b / b.sum()
    P = sinkhorn(C, a, b, method="exact").plan
    for power in (-400, 400):
        scaled = sinkhorn(2.0**power * C, a, b, method="exact")
        np.testing.assert_array_equal(scaled.plan, P)
        heavy = sinkhorn(C, 2.0**power * a, 2.0**power * b, method="exact")
        np.testing.assert_array_equal(heavy.plan, 2.0**power * P)
        assert scaled.certificate.value == heavy.certificate.value
    for offset in (1e6, 1e10):
        far = np.round(C * 2**10) / 2**10  # so that the sum rounds nothing
        near = sinkhorn(far, a, b, method="exact")
        moved = sinkhorn(far + offset, a, b, method="exact")
        assert moved.converged and moved.certificate.value <= 1e-14
        assert moved.value - offset == pytest.approx(near.value, abs=4e-16 * offset)
        assert (moved.plan * far).sum() == pytest.approx(near.value, rel=1e-13)


def test_sorted_histograms_need_no_pivot():
    x = np.arange(80.0)
    rng = np.random.default_rng(0)
    a, b = rng.random(80), rng.random(80)
    a, b = a / a.sum(), b / b.sum()
    result = sinkhorn((x[:, None] - x) ** 2, a, b, method="exact")
    A, B = np.cumsum(a), np.cumsum(b)
    edges = np.union1d(A, B)
    middle = edges - 0.5 * np.diff(edges, prepend=0)
    far = np.searchsorted(A, middle).clip(max=79) - np.searchsorted(B, middle).clip(
        max=79
    )
    expected = (np.diff(edges, prepend=0) * far**2.0).sum()
    assert result.value == pytest.approx(expected, rel=1e-12)
    assert result.n_iter["pivots"] <= 20


def test_degenerate_pivots_end():
    seed, count = 0, 0
    while count < N_DEGENERATE:
        rng = np.random.default_rng(seed)
        for C in (rng.random((90, 90)), rng.integers(0, 40, (90, 90)).astype(float)):
            details = sinkhorn(C, method="exact").certificate.details
            assert details["degenerate_pivots"] > 0.7 * details["pivots"] > 0
            assert details["pivots"] < 50 * 180
            count += details["degenerate_pivots"]
        seed += 1


def test_patterns_without_a_plan_are_named():
    C = np.ones((4, 4))
    C[:3, 2:] = np.inf  # three rows reach two columns only
    with pytest.raises(ValueError, match=r"rows \[0, 1, 2\] .*columns \[0, 1\]"):
        sinkhorn(C, method="exact")
    with pytest.raises(ValueError, match=r"rows \[2, 3\] .*columns \[3\]"):
        sinkhorn(C.T, method="exact")
    wide = np.ones((4, 5))
    wide[1:, :2] = np.inf  # two columns, reached by one row
    with pytest.raises(ValueError, match=r"columns \[0, 1\] .*rows \[0\]"):
        sinkhorn(wide, method="exact")
    a = np.array([0.5, 0.2, 0.2, 0.1])
    assert sinkhorn(wide, a, method="exact").converged


def test_parts_that_rounding_makes_uneven_are_solved():
    rng = np.random.default_rng(0)
    a, b = rng.random(30), rng.random(20)
    a[:15] /= a[:15].sum()
    a[15:] /= a[15:].sum()
    b[:9] /= b[:9].sum()
    b[9:] /= b[9:].sum()
    C = np.full((30, 20), np.inf)
    C[:15, :9] = rng.random((15, 9))
    C[15:, 9:] = rng.random((15, 11))
    result = sinkhorn(C, a, b, method="exact")
    assert result.converged and result.marginal_error < 1e-15
    assert (result.plan[np.isinf(C)] == 0).all()
    alone = sinkhorn(C[:15, :9], a[:15], b[:9], method="exact").value
    alone += sinkhorn(C[15:, 9:], a[15:], b[9:], method="exact").value
    assert result.value == pytest.approx(alone, rel=1e-14)


def test_zero_masses_get_feasible_dual_variables():
    rng = np.random.default_rng(0)
    C, a, b = rng.random((20, 18)), rng.random(20), rng.random(18)
    a[[0, 7]], b[[2, 3]] = 0, 0
    a, b = a / a.sum(), b / b.sum()
    result = sinkhorn(C, a, b, method="exact")
    phi, psi = result.potentials
    assert (C - phi[:, None] - psi).min() >= -1e-15
    assert a @ phi + b @ psi == pytest.approx(result.value, rel=1e-13)
    assert (result.plan[[0, 7]] == 0).all() and (result.plan[:, [2, 3]] == 0).all()


def test_masses_of_all_sizes_keep_their_totals():
    a = 10.0 ** np.linspace(-30, 0, 50)
    b = 10.0 ** np.linspace(0, -25, 40)
    C = np.random.default_rng(0).random((50, 40))
    a, b = a / a.sum(), b / b.sum()
    result = sinkhorn(C, a, b, method="exact")
    assert result.converged and result.marginal_error < 1e-15
    left, right, exponent = integer_masses(a, b)
    assert left.sum() == right.sum() and right.min() >= 1
    np.testing.assert_allclose(np.ldexp(left.astype(float), exponent), a, atol=1e-16)


def test_precise_pivots_finish_what_double_precision_cannot():
    rng = np.random.default_rng(1)
    C = 10.0 ** rng.uniform(0, 20, (100, 100))
    C[rng.random(C.shape) < 0.1] = 0.0
    used = []
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(100)
        own, other, _ = integer_masses(np.full(100, 0.01), np.full(100, 0.01))
        tree = solve_tree(C[order], own, other)
        used.append(tree.precise)
        i, j, _ = tree.arcs()
        assert (tree.worst >= -1e-15).all() and tree.finished
        best = linear_sum_assignment(np.log1p(C))  # any assignment is no better
        assert C[order][i, j].sum() <= C[best].sum()
    costs = sinkhorn(C, method="exact")
    assert costs.certificate.value <= 1e-14


def test_single_precision_costs_give_the_answer_in_double():
    rng = np.random.default_rng(0)
    C = rng.random((30, 40)).astype(np.float32)
    single = sinkhorn(C, method="exact")
    double = sinkhorn(C.astype(float), method="exact")
    np.testing.assert_array_equal(single.plan, double.plan)


def test_points_are_those_of_their_matrix():
    rng = np.random.default_rng(0)
    X, Y = rng.random((250, 2)), rng.random((240, 2)) + 0.2
    result = sinkhorn_points(X, Y, method="exact")
    assert result.converged and result.plan.format == "csr"
    C = ((X[:, None] - Y) ** 2).sum(axis=-1)
    assert result.value == pytest.approx(sinkhorn(C, method="exact").value, rel=1e-12)
