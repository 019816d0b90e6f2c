"""Signals with structured supports: parts that add up, shapes, noise."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsestat.datasets import (
    make_burst_sparse,
    make_irs_mimo_channel,
    make_kronecker_sparse,
)


def ratio(data):
    """Return the signal-to-noise ratio in decibel, from what is returned."""
    return 10 * np.log10((np.abs(data.signal) ** 2).mean() / data.noise_variance)


def check_noise(data, snr_db):
    assert ratio(data) == pytest.approx(snr_db)
    noise = data.y - data.signal
    found = (np.abs(noise) ** 2).mean()
    assert found == pytest.approx(data.noise_variance, rel=0.4)


@pytest.mark.parametrize("complex_values", [False, True])
@pytest.mark.parametrize("support", ["rectangles", "scattered", "lines"])
def test_bursts_have_their_shapes(support, complex_values):
    data = make_burst_sparse(
        n_measurements=80, grid_shape=(12, 15), support=support, n_bursts=2,
        snr_db=13.0, complex_values=complex_values, random_state=0,
    )  # fmt: skip
    assert data.X.shape == (80, 180) and np.iscomplexobj(data.y) == complex_values
    assert_array_equal(data.support, data.coef != 0)
    assert_allclose(data.signal, data.X @ data.coef)
    assert (np.abs(data.X) ** 2).mean() == pytest.approx(1 / 80, rel=0.05)
    check_noise(data, 13.0)
    cells = data.support.reshape(12, 15)
    beside = (cells[1:] & cells[:-1]).sum() + (cells[:, 1:] & cells[:, :-1]).sum()
    if support == "rectangles":
        assert beside >= cells.sum()
    if support == "lines":
        assert beside <= 2  # two lines may touch
        corner = cells[1:, 1:] & cells[:-1, :-1] | cells[1:, :-1] & cells[:-1, 1:]
        assert corner.sum() >= cells.sum() - 4


def test_bursts_on_a_chain():
    chain = make_burst_sparse(grid_shape=(64,), n_bursts=1, random_state=0)
    where = np.flatnonzero(chain.support)
    assert 9 <= len(where) <= 36 and (np.diff(where) == 1).all()
    lines = make_burst_sparse(
        grid_shape=(64,), n_bursts=1, support="lines", random_state=0
    )
    assert (np.diff(np.flatnonzero(lines.support)) == 2).all()


@pytest.mark.parametrize("complex_values", [False, True])
@pytest.mark.parametrize("coef", ["kronecker", "independent"])
def test_kronecker_parts_add_up(coef, complex_values):
    data = make_kronecker_sparse(
        n_rows=(5, 6), n_columns=(9, 8), n_nonzero=2, coef=coef, snr_db=17.0,
        complex_values=complex_values, random_state=0,
    )  # fmt: skip
    assert [H.shape for H in data.factors] == [(5, 9), (6, 8)]
    assert_allclose(data.signal, np.kron(*data.factors) @ data.coef)
    assert np.iscomplexobj(data.coef) == complex_values
    check_noise(data, 17.0)
    tensor = data.coef.reshape(9, 8)
    block = tensor[np.ix_(*data.supports)]
    assert block.shape == (2, 2) and block.all()
    assert np.count_nonzero(tensor) == 4
    assert np.linalg.matrix_rank(block) == (1 if coef == "kronecker" else 2)


def test_channels_are_blocks_of_angles():
    data = make_irs_mimo_channel(
        n_pilots=4, n_patterns=5, n_angles=12, spread=2, snr_db=21.0, random_state=0
    )
    assert [H.shape for H in data.factors] == [(5, 12), (4, 12), (16, 12)]
    first, second, third = data.factors
    whole = np.kron(np.kron(first, second), third)
    assert_allclose(data.signal, whole @ data.coef, atol=1e-10)
    assert data.y.shape == (5 * 4 * 16,)
    check_noise(data, 21.0)
    one, two, three = data.channel_factors
    channels = np.kron(np.kron(one, two), three) @ data.coef
    assert data.channels.shape == (5, 6, 16)
    assert_allclose(channels.reshape(5, 6, 16), data.channels, atol=1e-10)
    # A coupled factor has its support in neighbors, on the circle of angles.
    tensor = data.coef.reshape(12, 12, 12)
    for axis, coupled in enumerate(data.coupled):
        rest = tuple(i for i in range(3) if i != axis)
        used = np.flatnonzero(np.abs(tensor).sum(axis=rest))
        if coupled:
            gaps = np.diff(np.append(used, used[0] + 12))
            assert len(used) >= 2 and (gaps == 1).sum() >= len(used) // 2
