"""The dictionary display shows every atom in its place."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from sklearn.decomposition import PCA

from sparsestat.plotting import DictionaryDisplay

pytest.importorskip("matplotlib").use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def test_every_atom_stands_in_its_cell():
    atoms = np.random.default_rng(0).standard_normal((5, 6))
    display = DictionaryDisplay(atoms, shape=(2, 3)).plot(n_columns=2)
    mosaic = np.ma.filled(display.image_.get_array(), np.nan)
    assert mosaic.shape == (10, 9)
    cell = mosaic[4:6, 5:8]  # the fourth atom: second row, second column
    np.testing.assert_allclose(cell.ravel(), atoms[3] / np.abs(atoms[3]).max())
    assert np.isnan(mosaic[7:9, 5:8]).all()  # the sixth cell is empty


def test_estimators_with_components_are_drawn():
    X = np.random.default_rng(0).standard_normal((30, 9))
    display = DictionaryDisplay.from_estimator(PCA(4).fit(X), order=[2, 0])
    assert display.atoms.shape == (2, 9)
    assert display.figure_ is display.ax_.figure


def test_bad_input_is_explained():
    with pytest.raises(ValueError, match="has 4 pixels"):
        DictionaryDisplay(np.eye(9), shape=(2, 2)).plot()
    with pytest.raises(ValueError, match="finite array of shape"):
        DictionaryDisplay(np.full((2, 4), np.nan)).plot()
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(np.eye(3), [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="neither dictionary_ nor components_"):
        DictionaryDisplay.from_estimator(model)
