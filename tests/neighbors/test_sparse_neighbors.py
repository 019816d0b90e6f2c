"""Neighbors by inner product: the index against all products."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from sparsestat.neighbors import SparseNeighbors, _kernels_search
from sparsestat.neighbors._index import search_index
from sparsestat.neighbors._kernels_index import energy_cut

# Nothing is pruned and summaries are bounds: the answer has to be exact.
BOUNDS = {
    "n_postings": 10**6,
    "pruning": "fixed",
    "summary_energy": 1.0,
    "query_cut": None,
    "heap_factor": 1.0,
    "random_state": 0,
}


def draw(shape, rng, density=0.2, signed=False):
    X = sparse.random_array(shape, density=density, rng=rng, format="csr")
    X.data = rng.lognormal(size=X.nnz)
    if signed:
        X.data *= rng.choice([-1, 1], X.nnz)
    return X


def topics(n, V, rng, n_topics=20, length=30):
    """Rows that share the coordinates of a few topics."""
    words = rng.integers(0, V, (n_topics, 60))
    rows = np.repeat(np.arange(n), length)
    topic = np.repeat(rng.integers(0, n_topics, n), length)
    columns = words[topic, rng.integers(0, 60, len(rows))]
    values = rng.lognormal(size=len(rows))
    X = sparse.coo_array((values, (rows, columns)), shape=(n, V)).tocsr()
    X.sum_duplicates()
    return X


def recall(expected, found):
    both = zip(expected, found, strict=True)
    return np.mean([len(set(a) & set(b)) / len(a) for a, b in both])


@pytest.mark.parametrize("quantize", [True, False])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_with_bounds_the_index_is_exact(quantize, signed, metric, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    for n in (6, 60, 300):
        X, Q = draw((n, 40), rng, signed=signed), draw((25, 40), rng, signed=signed)
        parameters = {"n_neighbors": 5, "metric": metric, "signed": signed}
        index = SparseNeighbors(quantize=quantize, **parameters, **BOUNDS).fit(X)
        exact = SparseNeighbors(algorithm="exact", **parameters).fit(X)
        (values, found), (expected, documents) = (
            index.kneighbors(Q),
            exact.kneighbors(Q),
        )
        # The index finds documents with positive products only.
        least = 1.0 if metric == "cosine" else 0.0
        good = expected < least if metric == "cosine" else expected > least
        assert_allclose(values[good], expected[good], rtol=1e-12, atol=1e-12)
        assert_array_equal(found[good], documents[good])
        assert (found[~good] == -1).all()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("k", [1, 4])
def test_documents_outside_their_bound_are_not_scored_and_none_is_missed(signed, k):
    rng = np.random.default_rng(0)
    X, Q = draw((40, 12), rng, 0.4, signed), draw((6, 12), rng, 0.5, signed)
    model = SparseNeighbors(k, signed=signed, centroid_fraction=0.5, **BOUNDS)
    for quantize in (False, True):
        with np.errstate(over="ignore"):  # of random bits, where nothing is compiled
            index = model.set_params(quantize=quantize).fit(X)._index
        documents = index.data, index.indices, index.indptr
        documents = sparse.csr_array(documents, shape=X.shape)  # in their unit
        products = (Q @ documents.T).toarray()
        order = np.argsort(-products, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(products, order, axis=1)
        scores, found, scored = search_index(
            index, Q, k, query_cut=None, heap_factor=1.0
        )
        good = best > 0
        assert_array_equal(found, np.where(good, order, -1))
        assert_allclose(scores[good], best[good], rtol=1e-12)
        assert (scored >= good.sum(axis=1)).all() and (scored <= 40).all()
        assert scored.sum() < 0.9 * 6 * 40  # bounds leave some out
        every = search_index(index, Q, k, query_cut=None, heap_factor=0.0)
        assert_array_equal(every[1], found)  # at no cut all that overlap are scored
        overlap = (abs(Q) @ abs(X).T).toarray() > 0
        if not signed:
            assert_array_equal(every[2], overlap.sum(axis=1))


def test_bounds_are_sums_over_common_coordinates():
    # Three blocks; coordinates 1, 4 and 7 of their summaries.
    coords = np.array([1, 4, 7], dtype=np.int32)
    pointer, block = np.array([0, 2, 3, 5]), np.array([0, 2, 1, 0, 1])
    value = np.array([1.0, 2.0, 3.0, 4.0, 5.0], dtype=np.float32)
    for query, expected in (
        ({1: 2.0, 7: 0.5}, [4.0, 2.5, 4.0]),
        ({0: 9.0, 4: 1.0, 5: 9.0}, [0.0, 3.0, 0.0]),
        ({4: 2.0, 7: 1.0, 8: 9.0}, [4.0, 11.0, 0.0]),
        ({8: 9.0}, [0.0, 0.0, 0.0]),
    ):
        acc = np.zeros(3, dtype=np.float32)
        # Of a query and of lists that have others before and behind.
        at = np.array([3, *query, 1], dtype=np.int32)
        data = np.array([7.0, *query.values(), 7.0], dtype=np.float32)
        lists = np.concatenate([coords[:1], coords, coords[-1:]])
        ends = np.concatenate([[0], pointer, [5]])
        _kernels_search._score_blocks(
            data, at, 1, 1 + len(query), lists, 1, 4, ends, block, value, acc
        )
        assert_array_equal(acc, expected)


def test_the_best_document_is_not_lost_by_rounding():
    # The bound of the second is its product; the first is worse by a millionth, and
    # comes first.
    X = sparse.csr_array([[0.7, 0.3 - 1e-6, 0.0], [0.0, 0.0, 1.0]])
    with np.errstate(over="ignore"):
        model = SparseNeighbors(1, quantize=True, **BOUNDS).fit(X)
    values, found = model.kneighbors(sparse.csr_array(np.ones((1, 3))))
    assert found[0, 0] == 1 and values[0, 0] == 1.0


def test_blocks_whose_summary_shares_nothing_are_passed_over():
    X = sparse.csr_array(np.tile([9.0, 1.0], (5, 1)))
    options = BOUNDS | {"summary_energy": 0.5}
    with np.errstate(over="ignore"):
        index = SparseNeighbors(3, **options).fit(X)._index
    for query, n_found in (([0.0, 1.0], 0), ([1.0, 0.0], 3)):
        _, found, scored = search_index(
            index, sparse.csr_array([query]), 3, query_cut=None, heap_factor=1.0
        )
        assert (found >= 0).sum() == n_found and (scored[0] > 0) == (n_found > 0)


@pytest.mark.parametrize("itself", [False, True])
def test_a_graph_of_few_documents_is_searched_once(itself):
    rng = np.random.default_rng(0)
    X = draw((12, 8), rng, 0.5)
    model = SparseNeighbors(3, **BOUNDS)
    with np.errstate(over="ignore"):
        index = model.fit(X)._index
    graph = np.full((12, 3), -1, dtype=np.int64)
    documents = sparse.csr_array((index.data, index.indices, index.indptr), X.shape)
    products = (X @ documents.T).toarray()
    if itself:
        np.fill_diagonal(products, 0.0)
    for doc in range(12):
        graph[doc, :2] = (doc + 1) % 12, (doc + 5) % 12
    for links in (graph, graph[:, :1], np.full((12, 2), -1)):
        # What one list of a query holds, and the neighbors of that.
        options = {"query_cut": 1, "heap_factor": 1.0, "itself": itself}
        plain = search_index(index, X, 12, **options)
        found = search_index(replace(index, graph=links), X, 12, **options)
        for i in range(12):
            first = set(plain[1][i][plain[1][i] >= 0].tolist())
            near = {int(d) for j in first for d in links[j] if d >= 0}
            near -= {i} if itself else set()
            wanted = sorted(
                (d for d in first | near if products[i, d] > 0),
                key=lambda d: (-products[i, d], d),
            )
            assert found[1][i][found[1][i] >= 0].tolist() == wanted
            assert_allclose(found[0][i][: len(wanted)], products[i, wanted], rtol=1e-12)
            assert found[2][i] == plain[2][i] + len(near - first)


@pytest.mark.parametrize("n", [0, 1, 3, 9])
def test_the_largest_coordinates_are_those_of_sorting(n):
    data = np.array([9.0, 2.0, 5.0, 0.0, -1.0, 5.0, 1.0, 7.0, 99.0])
    out = np.full(max(n, 1), -1)
    count = _kernels_search._largest_coordinates(data, 1, 8, n, out)
    expected = [7, 2, 5, 1, 6][:n]
    assert count == len(expected) and out[:count].tolist() == expected


@pytest.mark.parametrize("length", range(10))
def test_products_of_a_document(length):
    rng = np.random.default_rng(length)
    dense, data = rng.standard_normal(20), rng.standard_normal(14)
    at = rng.permutation(20)[:14].astype(np.int32)
    found = _kernels_search._product(dense, data, at, 2, 2 + length)
    part = slice(2, 2 + length)
    assert found == pytest.approx(dense[at[part]] @ data[part], rel=1e-12)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_lists_keep_the_best_and_of_equal_ones_the_first(k):
    rng = np.random.default_rng(0)
    for _ in range(20):
        values, order = rng.integers(0, 4, 7) / 2.0, rng.permutation(7)
        scores, docs, count = np.full(k, -np.inf), np.full(k, -1), 0
        for doc in order:
            count = _kernels_search._insert(scores, docs, count, k, values[doc], doc)
        expected = np.lexsort((np.arange(7), -values))[:k]
        assert count == len(expected)
        assert_array_equal(docs[:count], expected)
        assert_array_equal(scores[:count], values[expected])


def test_exact_search_is_brute_force(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X, Q = draw((50, 30), rng), draw((9, 30), rng)
    values, found = SparseNeighbors(4, algorithm="exact").fit(X).kneighbors(Q)
    products = (Q @ X.T).toarray()
    expected = np.argsort(-products, axis=1, kind="stable")[:, :4]
    good = found >= 0
    assert_array_equal(found[good], expected[good])
    assert_allclose(values[good], np.take_along_axis(products, expected, 1)[good])


def test_cosine_distances_are_scikit_learns():
    rng = np.random.default_rng(0)
    X = draw((60, 30), rng, density=0.4)
    ours = SparseNeighbors(5, metric="cosine", algorithm="exact").fit(X)
    theirs = NearestNeighbors(n_neighbors=5, metric="cosine").fit(X)
    for queries in (None, X[:7]):
        (d1, i1), (d2, i2) = ours.kneighbors(queries), theirs.kneighbors(queries)
        assert_allclose(d1, d2, atol=1e-12)
        assert (i1 == i2).mean() > 0.9  # equal distances may change places


def test_most_neighbors_are_found_with_little_work():
    rng = np.random.default_rng(0)
    X, Q = topics(3000, 1500, rng), topics(60, 1500, np.random.default_rng(0))
    exact = SparseNeighbors(algorithm="exact").fit(X)
    model = SparseNeighbors(n_postings=150, summary_energy=0.5, random_state=0).fit(X)
    found = model.kneighbors(Q, return_distance=False)
    assert recall(exact.kneighbors(Q, return_distance=False), found) > 0.95


def test_a_graph_of_neighbors_raises_the_recall():
    rng = np.random.default_rng(1)
    X, Q = topics(2000, 1500, rng), topics(60, 1500, np.random.default_rng(1))
    exact = SparseNeighbors(algorithm="exact").fit(X)
    recalls = []
    for knn in (0, 10):
        model = SparseNeighbors(n_postings=20, knn=knn, random_state=0).fit(X)
        found = model.kneighbors(Q, return_distance=False, query_cut=2)
        recalls.append(recall(exact.kneighbors(Q, return_distance=False), found))
    assert recalls[1] > recalls[0] + 0.05


@pytest.mark.parametrize("algorithm", ["seismic", "exact"])
def test_a_document_is_not_its_own_neighbor(algorithm):
    rng = np.random.default_rng(2)
    X = draw((40, 20), rng, density=0.4)
    with np.errstate(over="ignore"):
        model = SparseNeighbors(5, algorithm=algorithm, **BOUNDS).fit(X)
    found = model.kneighbors(return_distance=False)
    assert not (found == np.arange(40)[:, None]).any()
    products = (X @ X.T).toarray()
    np.fill_diagonal(products, -1)
    assert_array_equal(found, np.argsort(-products, axis=1, kind="stable")[:, :5])


@pytest.mark.parametrize("algorithm", ["seismic", "exact"])
@pytest.mark.parametrize("factor", [2.0**-200, 2.0**200])
def test_scale_moves_scores_and_nothing_else(algorithm, factor):
    rng = np.random.default_rng(3)
    X, Q = draw((80, 30), rng), draw((10, 30), rng)
    model = SparseNeighbors(4, algorithm=algorithm, random_state=0)
    values, found = model.fit(X).kneighbors(Q)
    again, other = model.fit(X * factor).kneighbors(Q / factor)
    assert_array_equal(found, other)
    assert_array_equal(values, again)


def test_dense_and_single_precision_input_find_the_same():
    rng = np.random.default_rng(4)
    X, Q = draw((80, 30), rng), draw((10, 30), rng)
    model = SparseNeighbors(4, random_state=0).fit(X)
    values, found = model.kneighbors(Q)
    dense = SparseNeighbors(4, random_state=0).fit(X.toarray())
    assert_array_equal(dense.kneighbors(Q.toarray())[1], found)
    single = SparseNeighbors(4, random_state=0).fit(X.astype(np.float32))
    assert_allclose(single.kneighbors(Q)[0], values, rtol=1e-5)


def test_threads_and_pickles_change_nothing():
    rng = np.random.default_rng(5)
    X = topics(6000, 800, rng)
    one = SparseNeighbors(5, knn=3, random_state=0).fit(X)
    two = SparseNeighbors(5, knn=3, random_state=0, n_jobs=2).fit(X)
    for a, b in zip(one._index.arrays, two._index.arrays, strict=True):
        assert_array_equal(a, b)
    expected = one.kneighbors(X[:500])
    for model in (two, pickle.loads(pickle.dumps(one))):
        for a, b in zip(model.kneighbors(X[:500]), expected, strict=True):
            assert_array_equal(a, b)


def test_short_rows_are_filled_up():
    X = sparse.csr_array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    Q = sparse.csr_array([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    for algorithm in ("seismic", "exact"):
        model = SparseNeighbors(2, algorithm=algorithm, **BOUNDS).fit(X)
        values, found = model.kneighbors(Q)
        assert_array_equal(found, [[0, -1], [-1, -1]])
        assert_array_equal(values, [[2.0, -np.inf], [-np.inf, -np.inf]])
        assert model.kneighbors_graph(Q).nnz == 1
    cosine = SparseNeighbors(2, metric="cosine", **BOUNDS).fit(X)
    assert_array_equal(cosine.kneighbors(Q)[0], [[0.0, np.inf], [np.inf, np.inf]])


def test_the_graph_has_the_neighbors_and_their_scores():
    rng = np.random.default_rng(6)
    X = draw((30, 20), rng, density=0.5)
    model = SparseNeighbors(3, random_state=0).fit(X)
    values, found = model.kneighbors()
    graph = model.kneighbors_graph(mode="distance")
    assert graph.shape == (30, 30)
    assert_allclose(np.sort(graph[[0]].data), np.sort(values[0]))
    assert set(graph[[0]].indices) == set(found[0])
    assert (model.kneighbors_graph().data == 1).all()


def test_sizes_are_reported():
    X = topics(500, 300, np.random.default_rng(7))
    model = SparseNeighbors(random_state=0).fit(X)
    assert model.n_blocks_ == len(model._index.step) > 300
    assert model.index_bytes_ > X.data.nbytes
    assert model.certificate_.kind == "none"
    exact = SparseNeighbors(algorithm="exact").fit(X)
    assert exact.n_blocks_ == 0 and exact.certificate_.kind == "exact"


@pytest.mark.parametrize("share", [1e-6, 0.3, 0.5, 0.99, 1.0])
def test_energy_cut_is_what_sorting_gives(share, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    for n in (1, 2, 7, 200):
        values = np.round(rng.lognormal(size=n), 1) + 0.1
        goal = share * values.sum() * (1 - 1e-12)
        falling = np.sort(values)[::-1]
        expected = falling[np.searchsorted(np.cumsum(falling), goal)]
        assert energy_cut(values.copy(), n, goal) == expected


def test_bad_input_is_refused():
    X = draw((20, 10), np.random.default_rng(8), signed=True)
    with pytest.raises(ValueError, match="Pass signed=True"):
        SparseNeighbors().fit(X)
    model = SparseNeighbors(3).fit(abs(X))
    with pytest.raises(ValueError, match="Pass signed=True"):
        model.kneighbors(X)
    with pytest.raises(ValueError, match=r"n_neighbors <= 20, the number of documents"):
        model.kneighbors(abs(X), 21)
    with pytest.raises(ValueError, match=r"<= 19.*other than the query"):
        model.kneighbors(n_neighbors=20)
    with pytest.raises(ValueError, match="X has 9 features"):
        model.kneighbors(abs(X)[:, :9])
    with pytest.raises(ValueError, match="query_cut"):
        model.kneighbors(abs(X), query_cut=0)
    with pytest.raises(ValueError, match="heap_factor"):
        model.kneighbors(abs(X), heap_factor=-1)
    with pytest.raises(ValueError, match="mode"):
        model.kneighbors_graph(abs(X), mode="x")
    bad = abs(X)
    bad.data[0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        SparseNeighbors().fit(bad)


def test_dense_data_warn():
    X = np.ones((20, 5))
    with pytest.warns(UserWarning, match="100% of the entries of X are not zero"):
        SparseNeighbors(3).fit(X)
