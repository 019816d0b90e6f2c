"""The display of clusters: sizes, bounds, core points, points in the plane."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsestat.cluster import BalancedKMeans, ProbabilisticPartitivePartitioning
from sparsestat.datasets import make_gaussian_clusters
from sparsestat.plotting import ClusterDisplay


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def data():
    return make_gaussian_clusters(120, 4, 3, separation=8.0, random_state=0)


def test_sizes_and_bounds_are_drawn(data):
    X, _ = data
    model = BalancedKMeans(3, random_state=0).fit(X)
    display = ClusterDisplay.from_estimator(model)
    heights = [bar.get_height() for bar in display.bars_[0]]
    assert heights == [40, 40, 40]
    assert len(display.ax_.collections) == 2  # both bounds


def test_core_points_are_part_of_the_bars(data):
    X, _ = data
    model = ProbabilisticPartitivePartitioning(random_state=0).fit(X)
    mask = model.core_mask_.copy()
    mask[:5] = False
    display = ClusterDisplay(model.labels_, mask).plot()
    everything, core = (
        np.array([b.get_height() for b in bars]) for bars in display.bars_
    )
    assert everything.sum() == 120 and core.sum() == mask.sum()


@pytest.mark.parametrize("d", [1, 2, 4])
def test_points_of_any_dimension(data, d):
    X = data[0][:, :d]
    model = KMeans(3, n_init=1, random_state=0).fit(X)
    display = ClusterDisplay.from_estimator(model, X)
    drawn = np.concatenate([p.get_offsets() for p in display.points_])
    assert drawn.shape == (120, 2)
    if d == 2:
        assert_allclose(np.sort(drawn[:, 0]), np.sort(X[:, 0]))


def test_pipelines_are_opened_and_axes_taken(data):
    X, _ = data
    model = make_pipeline(StandardScaler(), BalancedKMeans(3, random_state=0)).fit(X)
    _, ax = plt.subplots()
    display = ClusterDisplay.from_estimator(model, ax=ax)
    assert display.ax_ is ax


def test_bad_input(data):
    X, y = data
    with pytest.raises(ValueError, match="has no labels_"):
        ClusterDisplay.from_estimator(StandardScaler().fit(X))
    with pytest.raises(ValueError, match="points must have 120 rows"):
        ClusterDisplay(y, points=X[:5]).plot()
    with pytest.raises(ValueError, match="core_mask must have shape"):
        ClusterDisplay(y, core_mask=[True]).plot()


@pytest.mark.parametrize("with_points", [False, True])
def test_arrays_give_what_the_estimator_gives(data, with_points):
    X = data[0][:, :2] if with_points else None
    model = BalancedKMeans(3, random_state=0).fit(data[0][:, :2])
    shown = ClusterDisplay.from_estimator(model, X)
    drawn = ClusterDisplay(
        labels=model.labels_,
        size_bounds=model.size_bounds_,
        points=X,
        centers=model.cluster_centers_,
    ).plot()
    assert drawn.figure_ is drawn.ax_.figure
    assert len(drawn.ax_.collections) == len(shown.ax_.collections) > 0
    for a, b in zip(drawn.ax_.collections, shown.ax_.collections, strict=True):
        assert_allclose(a.get_offsets(), b.get_offsets())
    if with_points:
        centers = drawn.ax_.collections[-1].get_offsets()
        assert_allclose(np.sort(centers, axis=0), np.sort(model.cluster_centers_, 0))
    else:
        bounds = np.concatenate(
            [s[:, 1] for c in drawn.ax_.collections for s in c.get_segments()]
        )
        assert_allclose(np.unique(bounds), np.unique(model.size_bounds_))
