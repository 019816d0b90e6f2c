"""Partial transport against the linear program with inequalities."""

import numpy as np
import pytest
from scipy.optimize import linprog

from sparsestat.transport import partial_transport, sinkhorn


def program(C, a, b, mass=None, penalty=None):
    n, m = C.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    c = C.ravel()
    fixed = {}
    offset = 0.0
    if mass is not None:
        fixed = {"A_eq": np.ones((1, n * m)), "b_eq": [mass]}
    else:
        c, offset = c - 2 * penalty, penalty * (a.sum() + b.sum())
    found = linprog(c, np.vstack([rows, columns]), np.concatenate([a, b]), **fixed)
    return found.fun + offset


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (1, 4)])
def test_partial_plans_are_optimal(shape, seed):
    rng = np.random.default_rng(seed)
    C = rng.standard_normal(shape)
    a, b = rng.random(shape[0]), 1.3 * rng.random(shape[1])
    for share in (0.1, 0.7, 1.0):
        mass = share * min(a.sum(), b.sum())
        result = partial_transport(C, a, b, mass=mass)
        assert result.converged
        assert result.value == pytest.approx(program(C, a, b, mass), abs=1e-9)
        assert result.plan.sum() == pytest.approx(mass, rel=1e-13)
        assert (result.plan.sum(axis=1) <= a * (1 + 1e-14)).all()
        assert (result.plan.sum(axis=0) <= b * (1 + 1e-14)).all()
        assert result.value == pytest.approx((result.plan * C).sum(), abs=1e-14)
    for penalty in (0.0, 0.3, 5.0):
        result = partial_transport(C, a, b, penalty=penalty)
        rest = a.sum() + b.sum() - 2 * result.plan.sum()
        objective = result.value + penalty * rest
        assert objective == pytest.approx(program(C, a, b, penalty=penalty), abs=1e-9)
        assert result.value_regularized == pytest.approx(objective, abs=1e-12)


def test_the_whole_mass_is_ordinary_transport():
    rng = np.random.default_rng(0)
    C, a, b = rng.random((8, 7)), rng.random(8), rng.random(7)
    a, b = a / a.sum(), b / b.sum()
    exact = sinkhorn(C, a, b, method="exact")
    part = partial_transport(C, a, b, mass=1.0)
    np.testing.assert_allclose(part.plan, exact.plan, atol=1e-15)
    entropic = partial_transport(C, a, b, mass=1.0, reg=0.1)
    np.testing.assert_allclose(
        entropic.plan, sinkhorn(C, a, b, reg=0.1).plan, atol=1e-8
    )


@pytest.mark.parametrize("want", ["dense", "sparse"])
def test_entropic_parts_tend_to_the_exact_one(want):
    rng = np.random.default_rng(1)
    C, a, b = rng.random((9, 8)), rng.random(9), rng.random(8)
    mass = 0.6 * min(a.sum(), b.sum())
    exact = partial_transport(C, a, b, mass=mass, return_plan=want)
    near = partial_transport(C, a, b, mass=mass, reg=1e-4, return_plan=want)
    assert near.converged and near.value == pytest.approx(exact.value, rel=1e-3)
    assert near.plan.sum() == pytest.approx(mass, rel=1e-8)
    none = partial_transport(C, a, b, mass=mass, return_plan=False)
    assert none.plan is None and none.value == exact.value


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({}, "exactly one of mass and penalty"),
        ({"mass": 0.5, "penalty": 1.0}, "exactly one of mass and penalty"),
        ({"mass": 1.5}, "exceeds the total of b, 1"),
        ({"mass": 0.0}, "mass must be a finite number above 0"),
        ({"mass": np.nan}, "mass must be"),
        ({"penalty": -1.0}, "penalty must be"),
        ({"mass": 0.5, "reg": -1.0}, "reg must be"),
        ({"mass": 0.5, "a": [1.0]}, "a must have shape"),
    ],
)
def test_bad_input_is_refused_in_words(change, match):
    with pytest.raises(ValueError, match=match):
        partial_transport(np.ones((3, 2)), **change)


def test_plans_come_as_asked_and_masses_are_within_rounding():
    rng = np.random.default_rng(0)
    C, a, b = rng.random((4, 5)), rng.random(4), rng.random(5)
    mass = 0.6 * min(a.sum(), b.sum())
    expected = program(C, a, b, mass)
    for form in ("dense", "sparse", "auto", False):
        found = partial_transport(C, a, b, mass=mass, return_plan=form)
        assert found.value == pytest.approx(expected, abs=1e-12)
        assert (found.plan is None) == (form is False)
        assert found.potentials[0].shape == (4,) and found.potentials[1].shape == (5,)
        if form in ("dense", "sparse"):
            assert hasattr(found.plan, "indptr") == (form == "sparse")
    least = min(a.sum(), b.sum())
    for share in (1.0, 1.0 + 1e-13):
        assert partial_transport(C, a, b, mass=share * least).converged
    for share in (1.0 + 1e-9, 1.5):
        with pytest.raises(ValueError, match="exceeds the total"):
            partial_transport(C, a, b, mass=share * least)
    for given in ({}, {"mass": mass, "penalty": 1.0}):
        with pytest.raises(ValueError, match="exactly one of mass and penalty"):
            partial_transport(C, a, b, **given)
