"""Bars: components, superpositions, probabilities and noise."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsestat.datasets import make_bars


def test_components_are_the_bars():
    bars = make_bars(n_samples=7, size=3, amplitude=4.0, random_state=0)
    assert bars.data.shape == (7, 9) and bars.causes.shape == (7, 6)
    rows = np.repeat(np.eye(3), 3, axis=1)
    columns = np.tile(np.eye(3), 3)
    assert_array_equal(bars.components, 4.0 * np.vstack([rows, columns]))


@pytest.mark.parametrize("superposition", ["sum", "max", "max_magnitude", "slab"])
def test_bars_combine_as_they_should(superposition):
    options = {"size": 4, "superposition": superposition, "random_state": 1}
    bars = make_bars(200, sigma=0.0, **options)
    parts = bars.causes[:, :, None] * bars.components
    if superposition in ("sum", "slab"):
        expected = parts.sum(axis=1)
    elif superposition == "max":
        expected = parts.max(axis=1)
    else:
        at = np.abs(parts).argmax(axis=1)
        expected = np.take_along_axis(parts, at[:, None], axis=1)[:, 0]
        assert (np.abs(bars.components).sum(axis=1) == 40.0).all()
        assert (bars.components < 0).any() and (bars.components > 0).any()
    if superposition == "max_magnitude":  # a tie of both signs may fall either way
        assert_allclose(np.abs(bars.data), np.abs(expected))
    else:
        assert_allclose(bars.data, expected)
    noisy = make_bars(200, sigma=0.5, **options)
    assert noisy.sigma == 0.5
    assert_array_equal(noisy.causes, bars.causes)
    assert (noisy.data - bars.data).std() == pytest.approx(0.5, rel=0.1)


def test_causes_have_their_probabilities():
    plain = make_bars(4000, size=5, random_state=0)
    assert (plain.causes != 0).mean() == pytest.approx(0.2, abs=0.01)
    signed = make_bars(4000, values=(-1, 0, 1), pi=0.4, random_state=0)
    shares = [(signed.causes == v).mean() for v in (-1, 0, 1)]
    assert_allclose(shares, [0.2, 0.6, 0.2], atol=0.01)
    three = make_bars(4000, values=(0, 1, 2), pi=(0.7, 0.1, 0.2), random_state=0)
    shares = [(three.causes == v).mean() for v in (0, 1, 2)]
    assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.01)
    slab = make_bars(4000, superposition="slab", pi=0.3, random_state=0)
    strengths = slab.causes[slab.causes != 0]
    assert_allclose([strengths.mean(), strengths.std()], 1.0, atol=0.03)
