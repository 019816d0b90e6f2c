"""Numbers of clusters: planted ones are found, by every criterion."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import silhouette_score

from sparsestat.cluster import select_n_clusters
from sparsestat.plotting import KSelectionDisplay

CENTERS = [[0, 0], [9, 0], [0, 9], [9, 9]]
X, _ = make_blobs(100, centers=CENTERS, random_state=0)


@pytest.mark.parametrize("criterion", ["silhouette", "stability", "gap"])
def test_planted_clusters_are_found_by_every_criterion(criterion):
    result = select_n_clusters(
        X, [2, 3, 4, 5], criterion=criterion, n_resamples=4, random_state=0
    )
    assert result.n_clusters == 4
    assert len(np.unique(result.labels)) == 4
    assert result.gap[2] < 1e-6 and result.stability[2] == 1.0
    peer = KMeans(4, n_init=10, random_state=0).fit(X)
    assert result.silhouette[2] == pytest.approx(silhouette_score(X, peer.labels_))
    assert result.inertia[2] == pytest.approx(peer.inertia_)


def test_one_cluster_sparse_rows_and_seeds():
    options = {"certify": "quick", "n_resamples": 2, "random_state": 3}
    one = select_n_clusters(X, [1, 2], **options)
    assert one.silhouette[0] == 0.0 and one.n_clusters == 2
    two = select_n_clusters(sparse.csr_array(X), [2, 1], **options)
    assert_allclose(two.inertia, one.inertia, rtol=1e-9)
    assert_allclose(two.stability, one.stability)


@pytest.mark.parametrize("k_range", [[], [0, 2], [2, 101], [2.5], [2, 2]])
def test_other_ranges_are_refused(k_range):
    with pytest.raises(ValueError, match="k_range"):
        select_n_clusters(X, k_range)


def test_display_draws_three_curves_and_the_choice():
    result = select_n_clusters(
        X, [3, 4], certify="quick", n_resamples=2, random_state=0
    )
    display = KSelectionDisplay.from_result(result)
    assert_allclose(display.lines_[0].get_ydata(), result.silhouette)
    assert_allclose(display.lines_[2].get_ydata(), 1 - result.gap)
    assert len(display.ax_.lines) == 4
    with pytest.raises(ValueError, match="shape"):
        KSelectionDisplay(result.k_range, [0.1], result.stability, result.gap).plot()
    plt.close("all")
