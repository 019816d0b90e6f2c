"""LayerKernelDisplay shows the Gram matrices that layers have learned."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from sparsestat.gaussian_process import DeepKernelMachineRegressor
from sparsestat.linear_model import Lasso
from sparsestat.plotting import LayerKernelDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


def test_every_layer_is_drawn_as_correlations():
    X = np.random.default_rng(0).normal(size=(40, 2))
    model = DeepKernelMachineRegressor(
        2, nu=10.0, n_inducing=6, max_iter=5, tol=1e3, random_state=0
    ).fit(X, X[:, 0] ** 2)
    order = np.argsort(model.inducing_points_[:, 0])
    display = LayerKernelDisplay.from_estimator(model, order=order)
    assert len(display.axes_) == len(display.images_) == 2
    for image, G in zip(display.images_, model.grams_, strict=True):
        shown = image.get_array()
        size = np.sqrt(G.diagonal())
        expected = (G / np.outer(size, size))[np.ix_(order, order)]
        np.testing.assert_allclose(shown, expected)
        np.testing.assert_allclose(np.diagonal(shown), 1.0)
    matplotlib.pyplot.close("all")


def test_points_that_are_alike_come_together_by_default():
    # Two groups, mixed; anticorrelated.
    s = np.array([1.0, -1.0, 1.0, -1.0])
    G = 2.0 * np.outer(s, s) + np.eye(4)
    _, ax = matplotlib.pyplot.subplots()
    display = LayerKernelDisplay([G]).plot(ax)
    shown = np.asarray(display.images_[0].get_array())
    assert (shown[:2, :2] > 0).all() and (shown[:2, 2:] < 0).all()
    matplotlib.pyplot.close("all")


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="no layers to draw"):
        LayerKernelDisplay([]).plot()
    with pytest.raises(ValueError, match="square with positive diagonals"):
        LayerKernelDisplay([[[0.0, 1.0], [1.0, 1.0]]]).plot()
    with pytest.raises(ValueError, match="each of the 2 points once"):
        LayerKernelDisplay([np.eye(2)], order=[0, 0]).plot()
    with pytest.raises(ValueError, match="2 layers need as many axes"):
        LayerKernelDisplay([np.eye(2)] * 2).plot(matplotlib.pyplot.subplots()[1])
    with pytest.raises(ValueError, match="grams_"):
        LayerKernelDisplay.from_estimator(Lasso().fit(np.eye(3), np.ones(3)))
    matplotlib.pyplot.close("all")
