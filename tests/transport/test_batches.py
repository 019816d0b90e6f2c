"""Several problems in one call have the answers of single calls."""

import numpy as np
import pytest
from scipy import sparse

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.transport import sinkhorn


def same(one, other):
    np.testing.assert_array_equal(one.plan, other.plan)
    np.testing.assert_array_equal(one.potentials[0], other.potentials[0])
    assert one.value == other.value
    assert one.certificate.value == other.certificate.value


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.random((12, 9)), rng.dirichlet(np.ones(12)), rng.random((9, 4))


@pytest.mark.parametrize("method", ["auto", "sinkhorn", "exact"])
def test_columns_of_masses(data, method):
    C, a, B = data
    B = B / B.sum(axis=0)
    reg = None if method == "exact" else 0.05
    found = sinkhorn(C, a, B, reg=reg, method=method)
    assert len(found) == 4
    for k, one in enumerate(found):
        same(one, sinkhorn(C, a, B[:, k], reg=reg, method=method))


def test_columns_on_both_sides_and_zero_masses(data):
    C, _, B = data
    A = np.random.default_rng(1).random((12, 4))
    A[3] = 0.0
    B = B * (A.sum(axis=0) / B.sum(axis=0))
    found = sinkhorn(C, A, B, reg=0.1)
    for k, one in enumerate(found):
        same(one, sinkhorn(C, A[:, k], B[:, k], reg=0.1))
    same(found[0], sinkhorn(C, sparse.csr_array(A), B, reg=0.1)[0])


def test_stacked_costs(data):
    C, a, B = data
    B = (B / B.sum(axis=0)).T
    stack = [k * C + 0.1 * k for k in range(1, 5)]
    found = sinkhorn(stack, a, B, reg=0.1, reg_mode="relative")
    for k, one in enumerate(found):
        same(one, sinkhorn(stack[k], a, B[k], reg=0.1, reg_mode="relative"))
    uniform = sinkhorn(np.array(stack), reg=0.1)
    same(uniform[2], sinkhorn(stack[2], reg=0.1))
    again = sinkhorn(stack, reg=0.1, warm_start=uniform)
    same(again[1], sinkhorn(stack[1], reg=0.1, warm_start=uniform[1]))


def test_one_warning_counts_the_problems(data):
    C, a, B = data
    B = B / B.sum(axis=0)
    with pytest.warns(ConvergenceWarning, match="4 of 4 problems") as record:
        found = sinkhorn(C, a, B, reg=1e-4, max_iter=1, tol=1e-12)
    assert len(record) == 1
    assert not any(one.converged for one in found)


def test_what_does_not_fit_is_named(data):
    C, a, B = data
    B = B / B.sum(axis=0)
    with pytest.raises(ValueError, match="Problem 1: b has negative"):
        sinkhorn(C, a, B - [0, 1, 0, 0], reg=0.1)
    with pytest.raises(ValueError, match="equally many, got 3 in C, 4 in b"):
        sinkhorn([C, C, C], a, B.T, reg=0.1)
    with pytest.raises(ValueError, match="equally many, got 2 in a, 4 in b"):
        sinkhorn(C, np.ones((12, 2)), B, reg=0.1)
    with pytest.raises(ValueError, match="list of 4 results"):
        sinkhorn(C, a, B, reg=0.1, warm_start=sinkhorn(C, a, B[:, 0], reg=0.1))
    with pytest.raises(ValueError, match="at most two"):
        sinkhorn([C], a[None, None], reg=0.1)
