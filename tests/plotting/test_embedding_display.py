"""The plane of an embedding."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import networkx as nx
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from sparsestat.embedding import FastRP
from sparsestat.plotting import EmbeddingDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def test_points_lie_in_the_leading_plane():
    rng = np.random.default_rng(0)
    E = rng.normal(size=(30, 6)) * [5, 3, 1, 1, 1, 1] + 7
    display = EmbeddingDisplay.from_embedding(E)
    centered = E - E.mean(axis=0)
    _, singular, directions = np.linalg.svd(centered, full_matrices=False)
    expected = np.abs(centered @ directions[:2].T)
    assert_allclose(np.abs(display.points), expected, atol=1e-10)
    assert_allclose(display.explained, (singular**2 / (singular**2).sum())[:2])


def test_classes_edges_and_names_are_drawn():
    graph = nx.karate_club_graph()
    A = nx.to_scipy_sparse_array(graph)
    labels = [graph.nodes[i]["club"] for i in graph]
    model = FastRP(8, random_state=0).fit(A)
    display = EmbeddingDisplay.from_estimator(
        make_pipeline(model), labels=labels, graph=A, names=list(graph)
    )
    assert len(display.scatters_) == 2
    assert sum(len(s.get_offsets()) for s in display.scatters_) == 34
    assert len(display.edges_.get_segments()) == graph.number_of_edges()
    assert [t.get_text() for t in display.name_texts_] == [str(i) for i in graph]
    assert display.ax_.get_title() == "FastRP"
    _, ax = matplotlib.pyplot.subplots()
    assert display.plot(ax=ax, name="").ax_ is ax
    assert ax.get_title() == ""


def test_one_component_and_too_many_edges():
    display = EmbeddingDisplay.from_embedding(np.arange(5.0)[:, None])
    assert display.points.shape == (5, 2)
    assert display.explained == (1.0, 0.0)
    E = np.random.default_rng(0).normal(size=(120, 3))
    assert EmbeddingDisplay.from_embedding(E, graph=np.ones((120, 120))).edges is None


def test_bad_input_is_refused_in_words():
    E = np.ones((4, 3))
    with pytest.raises(ValueError, match="labels must have one entry a row"):
        EmbeddingDisplay.from_embedding(E, labels=[1, 2])
    with pytest.raises(ValueError, match="graph must be the 4 x 4"):
        EmbeddingDisplay.from_embedding(E, graph=np.ones((3, 3)))
    with pytest.raises(ValueError, match="one row a node"):
        EmbeddingDisplay.from_embedding(np.ones(3))
    with pytest.raises(NotFittedError):
        EmbeddingDisplay.from_estimator(FastRP())
    with pytest.raises(ValueError, match="has no embedding_"):
        EmbeddingDisplay.from_estimator(LinearRegression().fit(E, E[:, 0]))


def test_arrays_give_what_the_embedding_gives():
    E = np.random.default_rng(0).normal(size=(20, 4))
    labels = np.arange(20) % 2
    shown = EmbeddingDisplay.from_embedding(E, labels=labels)
    drawn = EmbeddingDisplay(
        points=shown.points,
        explained=shown.explained,
        labels=labels,
        estimator_name="mine",
    ).plot()
    assert drawn.figure_ is drawn.ax_.figure and drawn.ax_.get_title() == "mine"
    for a, b in zip(drawn.scatters_, shown.scatters_, strict=True):
        assert_allclose(a.get_offsets(), b.get_offsets())
    assert drawn.ax_.get_xlabel() == shown.ax_.get_xlabel()
