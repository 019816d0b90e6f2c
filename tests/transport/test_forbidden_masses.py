"""Masses that forbidden arcs cut off are refused by name, whatever the method."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from sparsestat.transport import sinkhorn, sinkhorn_newton_sparse

C = np.array([[0.0, np.inf], [0.0, 1.0]])


@pytest.mark.parametrize("method", ["auto", "sinkhorn", "sns", "ssns", "proximal"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_row_that_reaches_too_little_is_refused(method, turned):
    # Each row and column has an open arc, and all hang together, yet no plan exists.
    a, b = np.array([0.3, 0.7]), np.array([0.2, 0.8])
    problem = (C.T, b, a) if turned else (C, a, b)
    with pytest.raises(ValueError, match=r"No plan exists.*not forbidden"):
        sinkhorn(*problem, reg=0.1, method=method)
    with pytest.raises(ValueError, match=r"No plan exists.*not forbidden"):
        sinkhorn_newton_sparse(*problem, reg=0.1)


def test_a_row_that_reaches_enough_is_served():
    a, b = np.array([0.2, 0.8]), np.array([0.3, 0.7])
    result = sinkhorn(C, a, b, reg=0.1)
    assert result.converged
    np.testing.assert_allclose(result.plan, [[0.2, 0.0], [0.1, 0.7]], atol=1e-9)


def test_few_iterations_are_no_missing_plan():
    r = np.random.default_rng(0)
    costs = r.random((6, 6))
    costs[0, 1:] = np.inf
    a, b = np.full(6, 1 / 6), np.r_[0.5, np.full(5, 0.1)]
    with pytest.warns(UserWarning, match="marginal error"):
        sinkhorn(costs, a, b, reg=1e-3, max_iter=1, method="sinkhorn", tol=1e-14)
