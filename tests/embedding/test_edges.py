"""Edge lists: what they are taken for, and what is said about the rest."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import networkx as nx
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat.embedding import FastRP, from_edges

PAIRS = [("b", "a"), ("a", "c"), ("c", "b"), ("d", "c")]
DENSE = np.array(
    [[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]], dtype=float
)  # of a, b, c, d


def forms():
    pd = pytest.importorskip("pandas")
    table = np.array(PAIRS)
    frame = pd.DataFrame(PAIRS, columns=["source", "target"])
    return [
        PAIRS,
        [list(pair) for pair in PAIRS],
        table,
        table.astype(object),
        (table[:, 0], table[:, 1]),
        (list(table[:, 0]), list(table[:, 1]), np.ones(4)),
        frame,
        frame.assign(weight=1.0),
        frame.astype("category"),
    ]


@pytest.mark.parametrize("which", range(9))
def test_every_form_of_a_list_gives_the_matrix(which):
    adjacency, names = from_edges(forms()[which])
    assert isinstance(adjacency, sparse.csr_array)
    assert list(names) == list("abcd")
    assert_array_equal(adjacency.toarray(), DENSE)
    arcs, _ = from_edges(forms()[which], symmetrize=False)
    expected = np.zeros((4, 4))
    for u, v in PAIRS:
        expected["abcd".index(u), "abcd".index(v)] = 1
    assert_array_equal(arcs.toarray(), expected)


def test_integers_weights_loops_and_parallel_edges():
    edges = np.array([[7, 3, 2.0], [3, 7, 0.5], [3, 3, 1.0], [9, 3, 4.0]])
    adjacency, names = from_edges(edges)
    assert names.dtype.kind == "i" and names.tolist() == [3, 7, 9]
    assert_array_equal(adjacency.toarray(), [[1, 2.5, 4], [2.5, 0, 0], [4, 0, 0]])
    # Both directions of every edge: nothing is counted twice.
    both = np.vstack([edges, edges[:, [1, 0, 2]]])
    both = both[both[:, 0] != both[:, 1]]
    twice, _ = from_edges(both)
    assert_array_equal(twice.toarray(), [[0, 2.5, 4], [2.5, 0, 0], [4, 0, 0]])


def test_fastrp_takes_a_list_for_the_graph_it_is():
    graph = nx.les_miserables_graph()
    names = sorted(graph)
    A = nx.to_scipy_sparse_array(graph, nodelist=names, dtype=float)
    pd = pytest.importorskip("pandas")
    rows = [(u, v, w) for u, v, w in graph.edges(data="weight")]
    table = pd.DataFrame(rows, columns=["source", "target", "weight"])
    model = FastRP(16, random_state=0).fit(table)
    assert_array_equal(model.node_ids_, names)
    expected = FastRP(16, random_state=0).fit_transform(A)
    assert_allclose(model.embedding_, expected, atol=1e-6)
    assert model.n_features_in_ == len(names)
    arcs = FastRP(16, random_state=0, symmetrize=False, direction="both").fit(table)
    directed, _ = from_edges(table, symmetrize=False)
    expected = FastRP(16, random_state=0, direction="both").fit(sparse.tril(directed).T)
    assert arcs.embedding_.shape == expected.embedding_.shape
    assert FastRP(4).fit(PAIRS[:2]).embedding_.shape == (3, 4)  # names: no 2 x 2 matrix


@pytest.mark.parametrize(
    "edges, message",
    [
        ([(1, 2, 3, 4)] * 5, "two columns, the ends of the edges, or three"),
        (np.random.default_rng(0).normal(size=(9, 3)), "table of features"),
        ([("a", "b"), ("b", None), ("c", "a")], "missing"),
        ([("a", 1), ("b", 2), ("c", 3)], "all strings or all integers, got int, str"),
        ([("a", "b", "c"), ("b", "c", "d")], "third column"),
        ([("a", "b", np.nan), ("b", "c", 1.0)], "NaN or infinity"),
        (np.array([[0, np.nan], [1, 2], [2, 3]]), "NaN or infinite"),
        (([1, 2], [2]), "equally long"),
        (([1, 2],), "got 1 parts"),
        ([1, 2, 3], "array of shape"),
    ],
)
def test_what_is_no_list_of_edges_is_told_by_name(edges, message):
    with pytest.raises(ValueError, match=message):
        from_edges(edges)


def test_messages_name_the_remedy_that_fits():
    with pytest.raises(ValueError, match="edge list has two columns"):
        FastRP(4).fit(np.ones((5, 4)))
    with pytest.raises(ValueError, match="symmetrize=False"):
        FastRP(4, direction="in").fit(PAIRS)
    with pytest.warns(UserWarning, match="upper triangular"):
        FastRP(4).fit(np.triu(DENSE))
    with pytest.warns(UserWarning, match="lower triangular"):
        FastRP(4, direction="in").fit(sparse.csr_array(np.tril(DENSE)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FastRP(4).fit(DENSE)
        FastRP(4, direction="undirected").fit(np.triu(DENSE))
        FastRP(4, symmetrize=False).fit(PAIRS)
        FastRP(4, self_loops="add").fit(np.eye(4))
