"""Hard regression designs: lengths, canceled factors, spectra, refusals."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsestat.datasets import make_hard_regression
from sparsestat.datasets._hard_designs import HARD_DESIGNS


@pytest.mark.parametrize("design", HARD_DESIGNS)
def test_columns_and_signal_have_unit_mean_square(design, global_random_seed):
    data = make_hard_regression(
        60, 100, design=design, noise=0.5, random_state=global_random_seed
    )
    assert_allclose((data.X**2).mean(axis=0), 1.0)
    assert_allclose((data.signal**2).mean(), 1.0)
    assert_allclose(data.X @ data.coef, data.signal, atol=1e-7)
    assert len(data.support) == (8 if design == "two_scale" else 5)
    assert_array_equal(data.support, np.flatnonzero(data.coef))
    assert 0.3 < (data.y - data.signal).std() < 0.8
    again = make_hard_regression(
        60, 100, design=design, noise=0.5, random_state=global_random_seed
    )
    assert_array_equal(data.X, again.X)
    assert_array_equal(data.y, again.y)


@pytest.mark.parametrize("design", ["factor", "two_scale"])
def test_coefficients_grow_as_the_columns_become_alike(design):
    sizes = [
        np.abs(make_hard_regression(design=design, delta=d, random_state=0).coef).sum()
        for d in (1e-1, 1e-3)
    ]
    assert 50 < sizes[1] / sizes[0] < 200


def test_two_scales_share_the_signal():
    data = make_hard_regression(random_state=1)
    first = data.X[:, :250] @ data.coef[:250]
    second = data.X[:, 250:] @ data.coef[250:]
    assert_allclose(np.linalg.norm(first), np.linalg.norm(second), rtol=1e-7)
    assert np.count_nonzero(data.coef[:250]) == 5


def test_equal_sizes_where_they_are_promised():
    for design in ("iid", "clusters", "geometric"):
        coef = make_hard_regression(design=design, random_state=2).coef
        assert_allclose(np.ptp(np.abs(coef[coef != 0])), 0.0, atol=1e-9)


def test_the_spectrum_is_geometric():
    data = make_hard_regression(
        50, 40, design="geometric", condition=1e4, random_state=3
    )
    values = np.linalg.svd(data.X, compute_uv=False)
    assert 1e2 < values[0] / values[-1] < 1e6


def test_clusters_are_clusters():
    data = make_hard_regression(design="clusters", delta=1e-4, random_state=4)
    similarity = data.X.T @ data.X / 200
    assert similarity[0, 20] > 0.999999 and abs(similarity[0, 1]) < 0.4


def test_impossible_wishes_are_refused():
    with pytest.raises(ValueError, match="cannot cancel 5 factors"):
        make_hard_regression(design="factor", n_factors=5)
    with pytest.raises(ValueError, match="more than the 4 features"):
        make_hard_regression(10, 4, design="iid")
    with pytest.raises(ValueError, match="fewer than their"):
        make_hard_regression(10, 8, n_nonzero=8)
