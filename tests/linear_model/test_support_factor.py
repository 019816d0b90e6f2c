"""Factors that follow a support against systems solved from scratch."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsestat.linear_model._penalized import _factor
from sparsestat.linear_model._penalized._factor import SupportFactor


def solved(G, index, ridge, rhs):
    return np.linalg.solve(G[np.ix_(index, index)] + np.diag(ridge), rhs)


def test_supports_that_change_are_solved_as_from_scratch(monkeypatch):
    rng = np.random.default_rng(0)
    m = 300
    A = rng.standard_normal((400, m))
    G = A.T @ A
    ridges = rng.random(m)
    factor = SupportFactor()
    renewals = []
    original = SupportFactor._renew

    def spy(self, *arguments):
        renewals.append(1)
        return original(self, *arguments)

    monkeypatch.setattr(SupportFactor, "_renew", spy)
    held = np.zeros(m, dtype=bool)
    held[:150] = True
    for trial in range(60):
        held[rng.integers(0, m, 4)] ^= True
        index = np.flatnonzero(held)
        rhs = rng.standard_normal(len(index))
        x = factor.solve(G, index, ridges[index], rhs)
        assert_allclose(x, solved(G, index, ridges[index], rhs), atol=1e-10)
        if trial % 20 == 7:  # the matrix loses rows, some of the factor or none
            spare = np.setdiff1d(np.flatnonzero(~held), factor._at)
            gone = spare[:5] if trial < 20 else np.flatnonzero(~held)[:5]
            kept = np.setdiff1d(np.arange(m), gone)
            G, ridges, held = G[np.ix_(kept, kept)], ridges[kept], held[kept]
            factor.keep(kept)
            m = len(kept)
    assert 1 < len(renewals) < 20
    # Another ridge is another matrix.
    before = len(renewals)
    x = factor.solve(G, index, ridges[index] + 1.0, rhs)
    assert_allclose(x, solved(G, index, ridges[index] + 1.0, rhs), atol=1e-10)
    assert len(renewals) == before + 1


def test_dependent_columns_are_singular_and_forgotten():
    rng = np.random.default_rng(1)
    A = rng.standard_normal((200, 100))
    A = np.column_stack([A, A[:, 0] + A[:, 1]])
    G = A.T @ A
    factor = SupportFactor()
    first, every = np.arange(100), np.arange(101)
    none = np.zeros(101)
    assert factor.solve(G, first, none[:100], np.ones(100)) is not None
    assert factor.solve(G, every, none, np.ones(101)) is None
    # With one of the three out of the support, though not out of the factor, it is
    # regular again; so it is with a ridge.
    assert factor.solve(G, first, none[:100], np.ones(100)) is not None
    others = every[1:]
    x = factor.solve(G, others, none[1:], np.ones(100))
    assert_allclose(x, solved(G, others, none[1:], np.ones(100)), atol=1e-10)
    assert factor.solve(G, every, none + 1.0, np.ones(101)) is not None


@pytest.mark.parametrize("size", [0, 1, _factor._LEAST - 1])
def test_small_supports_keep_no_factor(size):
    rng = np.random.default_rng(2)
    A = rng.standard_normal((100, 70))
    G = A.T @ A
    factor = SupportFactor()
    index, rhs = np.arange(size) + 3, rng.standard_normal(size)
    x = factor.solve(G, index, np.zeros(size), rhs)
    assert_allclose(x, solved(G, index, np.zeros(size), rhs), atol=1e-12)
    assert len(factor._at) == 0
