"""FastRP against its dense formula, its invariances, and its promises on memory."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import networkx as nx
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB

from sparsestat.embedding import FastRP, FastRPCV
from sparsestat.embedding import _propagation as core

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def arcs(n=50, density=0.12, seed=0, weighted=True):
    """Return a directed graph with one node that has no arcs at all."""
    rng = np.random.default_rng(seed)
    A = (rng.random((n, n)) < density) * rng.uniform(0.2, 3.0, (n, n))
    if not weighted:
        A = (A > 0).astype(float)
    A[7] = A[:, 7] = 0
    return A


def rownorm(N):
    length = np.linalg.norm(N, axis=1, keepdims=True)
    return N / np.where(length > 0, length, 1)


def formula(A, R, weights, beta, *, normalize=True, propagate="raw", self_weight=0.0):
    """Return the embedding as its definition says, with dense matrices."""
    d = A.sum(axis=1)
    P = np.divide(A, d[:, None], out=np.zeros_like(A), where=d[:, None] > 0)
    arriving = A.sum(axis=0)
    share = np.where(arriving > 0, arriving / arriving.sum(), 1.0)
    N = np.where(arriving > 0, share**beta, 1.0)[:, None] * R
    E = self_weight * (rownorm(N) if normalize else N)
    for a in weights:
        N = P @ N
        E = E + a * (rownorm(N) if normalize else N)
        if propagate == "normalized":
            N = rownorm(N)
    return E


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("s", ["sqrt", 1.0, 3.0])
@pytest.mark.parametrize("beta", [0.0, -0.7, 0.4])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("propagate", ["raw", "normalized"])
def test_equals_the_dense_formula(dtype, s, beta, normalize, propagate):
    A = arcs()
    weights = (0.5, 0.0, 1.0, 2.0)
    model = FastRP(
        20,
        weights=(*weights, 0.0),
        beta=beta,
        s=s,
        self_weight=0.3,
        normalize_powers=normalize,
        propagate=propagate,
        output=None,
        dtype=dtype,
        random_state=3,
    ).fit(sparse.csr_array(A))
    assert model.n_powers_ == 4  # the trailing zero is not propagated
    expected = formula(
        A,
        model.projection_.toarray().astype(float),
        weights,
        beta,
        normalize=normalize,
        propagate=propagate,
        self_weight=0.3,
    )
    scale = np.abs(expected).max()
    assert_allclose(
        model.embedding_ / scale, expected / scale, rtol=0, atol=TOLERANCE[dtype]
    )
    assert model.embedding_.dtype == dtype
    assert_array_equal(model.isolated_, [7])


@pytest.mark.parametrize("output", ["standard", "l2"])
def test_output_is_standardized_or_normalized(output):
    A = arcs()
    raw = FastRP(20, output=None, dtype="float64", random_state=0).fit(A)
    model = clone(raw).set_params(output=output).fit(A)
    E = raw.embedding_
    if output == "l2":
        assert_allclose(model.embedding_, rownorm(E), atol=1e-13)
    else:
        assert_allclose(model.mean_, E.mean(axis=0), atol=1e-14)
        assert_allclose(model.scale_, E.std(axis=0), atol=1e-14)
        assert_allclose(model.embedding_, (E - E.mean(0)) / E.std(0), atol=1e-12)


@pytest.mark.parametrize("s", [1.0, 3.0, 10.0])
def test_projection_has_its_law(s):
    n, d = 4000, 50
    scale = np.sqrt(s / d)
    R = core.make_projection(np.arange(n), d, s, scale, 12345, np.float64)
    expected = n * d / s
    assert abs(R.nnz - expected) <= 4 * np.sqrt(n * d / s * (1 - 1 / s)) + 1e-9
    assert set(np.unique(R.data)) == {-scale, scale}
    assert abs((R.data > 0).sum() - R.nnz / 2) <= 4 * np.sqrt(R.nnz / 4)
    columns = np.bincount(R.indices, minlength=d)
    assert (abs(columns - n / s) <= 5 * np.sqrt(n / s * (1 - 1 / s)) + 1e-9).all()
    assert R.has_sorted_indices and R.has_canonical_format


def test_projection_is_an_isometry_on_average():
    n, d, s, seeds = 8, 16, 3.0, 2000
    total = np.zeros((n, n))
    squares = np.zeros((n, n))
    for seed in range(seeds):
        R = core.make_projection(
            np.arange(n), d, s, np.sqrt(s / d), seed, np.float64
        ).toarray()
        gram = R @ R.T
        total += gram
        squares += gram**2
    mean = total / seeds
    error = np.sqrt((squares / seeds - mean**2) / seeds)
    assert (abs(mean - np.eye(n)) <= 5 * error + 1e-12).all()


def test_gram_matrix_is_unbiased():
    A = arcs(30, 0.2)
    weights, beta = (1.0, 0.5), -0.3
    M = formula(A, np.eye(30), weights, beta, normalize=False)
    mean = np.zeros((30, 30))
    for seed in range(400):
        E = FastRP(
            512,
            weights=weights,
            beta=beta,
            normalize_powers=False,
            output=None,
            random_state=seed,
        ).fit_transform(A)
        mean += E @ E.T / 400
    target = M @ M.T
    assert np.linalg.norm(mean - target) < 0.05 * np.linalg.norm(target)


@pytest.mark.parametrize("keep_powers", [True, False, "auto"])
@pytest.mark.parametrize("propagate", ["raw", "normalized"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("s", ["sqrt", 2.0])
def test_transform_of_the_fitted_rows_is_the_embedding(
    keep_powers, propagate, normalize, s
):
    A = sparse.csr_array(arcs())
    model = FastRP(
        24,
        beta=-0.4,
        s=s,
        keep_powers=keep_powers,
        propagate=propagate,
        normalize_powers=normalize,
        random_state=0,
    ).fit(A)
    assert_allclose(model.transform(A), model.embedding_, rtol=0, atol=1e-6)
    assert_allclose(model.transform(A[5:9]), model.embedding_[5:9], rtol=0, atol=1e-6)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.transform(A), model.transform(A))


@pytest.mark.parametrize("direction", ["out", "in", "both", "undirected"])
def test_directions(direction):
    A = arcs()
    model = FastRP(
        21, direction=direction, beta=0.3, output=None, dtype="float64", random_state=0
    ).fit(A)
    R = model.projection_.toarray()
    rising = 2.0 ** np.arange(6)  # the default
    if direction == "both":
        expected = np.hstack(
            [formula(A, R[:, :11], rising, 0.3), formula(A.T, R[:, 11:], rising, 0.3)]
        )
        back = model.transform((A, A.T))
    else:
        B = {"out": A, "in": A.T, "undirected": A + A.T}[direction]
        expected = formula(B, R, rising, 0.3)
        back = model.transform(B)
    assert_allclose(model.embedding_, expected, atol=1e-12)
    assert_allclose(back, model.embedding_, atol=1e-12)


def test_self_loops_are_added_once():
    A = arcs()
    model = FastRP(10, self_loops="add", dtype="float64", random_state=0)
    loops = clone(model).set_params(self_loops=None).fit(A + np.eye(len(A)))
    assert_allclose(model.fit(A).embedding_, loops.embedding_, atol=1e-12)
    assert model.isolated_.size == 0


def test_bipartite_equals_the_assembled_graph():
    rng = np.random.default_rng(0)
    X = (rng.random((30, 18)) < 0.2) * rng.uniform(size=(30, 18))
    model = FastRP(
        12, metric="bipartite", beta=-0.5, output=None, dtype="float64", random_state=0
    ).fit(sparse.csr_matrix(X))
    S = np.block([[np.zeros((30, 30)), X], [X.T, np.zeros((18, 18))]])
    E = formula(S, model.projection_.toarray(), 2.0 ** np.arange(6), -0.5)
    assert_allclose(model.row_embedding_, E[:30], atol=1e-12)
    assert_allclose(model.column_embedding_, E[30:], atol=1e-12)
    assert_allclose(model.transform(X), model.embedding_, atol=1e-12)
    assert model.embedding_ is model.row_embedding_


@pytest.mark.parametrize("s", ["sqrt", 2.0])
@pytest.mark.parametrize("propagate", ["raw", "normalized"])
@pytest.mark.parametrize("metric", ["adjacency", "bipartite"])
def test_column_blocks_change_nothing(s, propagate, metric):
    A = arcs(200, 0.05)
    plain = FastRP(50, s=s, propagate=propagate, metric=metric, random_state=0).fit(A)
    n = 400 if metric == "bipartite" else 200
    for room in (1.0, 0.6, 0.05):  # blocks of 48, 16 and 2
        memory = n * 50 * 4 * (1 + room) + 8 * n * 11
        model = clone(plain).set_params(max_memory=memory).fit(A)
        assert model.block_width_ < 50
        assert_allclose(model.embedding_, plain.embedding_, rtol=0, atol=1e-5)
        assert_allclose(model.transform(A), model.embedding_, rtol=0, atol=1e-5)
        raw = clone(model).set_params(output=None).fit(A)
        reference = clone(plain).set_params(output=None).fit(A)
        assert_allclose(raw.embedding_, reference.embedding_, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="max_memory=100 bytes is too small"):
        clone(plain).set_params(max_memory=100).fit(A)


def test_memory_plan_of_ten_million_nodes():
    n, d, q = 10_000_000, 128, 4
    embedding = n * d * 4
    for limit in (9e9, 7e9, 6e9):
        b = core.block_width(n, d, q, 4, limit)
        assert 1 <= b < d
        assert embedding + 2 * n * b * 4 + 8 * n * (q + 5) <= limit
    assert core.block_width(n, d, q, 4, 9e9) == 32
    assert core.block_width(n, d, q, 4, 20e9) == d
    assert core.block_width(n, d, q, 4, None) == d


def test_threads_change_nothing_bitwise(monkeypatch):
    monkeypatch.setattr(core, "_ENOUGH", 0)
    A = sparse.random_array((3000, 3000), density=0.004, rng=0, format="csr")
    models = [
        FastRP(32, beta=-0.3, random_state=0, n_jobs=n_jobs).fit(A)
        for n_jobs in (1, 2, 8)
    ]
    for model in models[1:]:
        assert_array_equal(model.embedding_, models[0].embedding_)
        assert_array_equal(model.projection_.data, models[0].projection_.data)
        assert_array_equal(model.transform(A), models[0].transform(A))


def test_disjoint_graphs_keep_their_embeddings():
    A, B = arcs(40, seed=1), arcs(30, seed=2)
    options = {"s": 5.0, "output": None, "beta": -0.5, "dtype": "float64"}
    ids_a, ids_b = np.arange(100, 140), np.arange(7, 37)
    S = sparse.block_diag([A, B], format="csr")
    whole = FastRP(16, random_state=0, **options)
    whole.fit(S, node_ids=np.concatenate([ids_a, ids_b]))
    for part, ids, rows in ((A, ids_a, slice(0, 40)), (B, ids_b, slice(40, 70))):
        model = FastRP(16, random_state=0, **options).fit(part, node_ids=ids)
        assert_allclose(whole.embedding_[rows], model.embedding_, atol=1e-12)


def test_node_ids_make_the_embedding_equivariant():
    A = arcs()
    ids = np.arange(50) * 17
    order = np.random.default_rng(0).permutation(50)
    one = FastRP(16, dtype="float64", random_state=0).fit(A, node_ids=ids)
    other = FastRP(16, dtype="float64", random_state=0).fit(
        A[np.ix_(order, order)], node_ids=ids[order]
    )
    assert_allclose(other.embedding_, one.embedding_[order], atol=1e-12)
    assert_array_equal(other.node_ids_, ids[order])


@pytest.mark.parametrize("factor", [7.0, 1e-60, 1e60])
def test_scaling_the_graph_changes_nothing(factor):
    A = arcs()
    one = FastRP(16, beta=-0.5, random_state=0).fit_transform(A)
    other = FastRP(16, beta=-0.5, random_state=0).fit_transform(factor * A)
    assert_allclose(other, one, atol=2e-5)


def test_extreme_degrees_do_not_overflow():
    A = arcs()
    A[:, 3] *= 1e-45  # degrees whose inverse no single-precision number holds
    model = FastRP(16, beta=-1.0, random_state=0).fit(A)
    assert np.isfinite(model.embedding_).all()


def test_twins_have_equal_rows():
    A = arcs(weighted=False)
    A[11] = A[12]
    E = FastRP(16, random_state=0).fit_transform(A)
    assert_array_equal(E[11], E[12])


def test_beta_means_nothing_on_a_regular_graph():
    A = nx.to_scipy_sparse_array(nx.random_regular_graph(5, 40, seed=0), dtype=float)
    plain, other = (
        FastRP(16, beta=b, dtype="float64", random_state=0).fit_transform(A)
        for b in (0.0, -0.8)
    )
    assert_allclose(plain, other, atol=1e-12)


def test_high_powers_converge_to_stationarity():
    A = nx.to_numpy_array(nx.karate_club_graph(), weight=None)
    d = A.sum(axis=1)
    second = np.sort(np.abs(np.linalg.eigvals(A / d[:, None])))[-2]
    spread = []
    for q in (40, 80):
        E = FastRP(
            8,
            weights=[0.0] * (q - 1) + [1.0],
            beta=-1.0,
            normalize_powers=False,
            output=None,
            dtype="float64",
            random_state=0,
        ).fit_transform(A)
        spread.append(np.abs(E - E[0]).max())
    assert spread[1] < 1e-3
    assert_allclose((spread[1] / spread[0]) ** (1 / 40), second, rtol=0.02)


@pytest.mark.parametrize("mode", ["add", "replace"])
def test_features_fill_the_last_components(mode):
    A = arcs()
    F = np.random.default_rng(0).normal(size=(50, 6)) * [1, 10, 100, 1, 1, 1]
    model = FastRP(
        20,
        property_ratio=0.25,
        property_mode=mode,
        feature_scaling="standard",
        output=None,
        self_weight=1.0,
        beta=0.5,
        dtype="float64",
        random_state=0,
    ).fit(A, features=F)
    start = model.projection_.toarray()
    if mode == "replace":
        assert not start[:, 15:].any()
        values = np.unique(np.abs(start[start != 0]))
        assert_allclose(values, np.sqrt(np.sqrt(50) / 15))
    # The part of the features is linear in them: recover W from unit features.
    plain = clone(model).set_params(feature_scaling=None, normalize_powers=False)
    base = plain.fit(A, features=np.zeros((50, 6))).embedding_
    both = plain.fit(A, features=F).embedding_
    P = A / np.where(A.sum(1) > 0, A.sum(1), 1)[:, None]
    M = np.eye(50) + sum(2**k * np.linalg.matrix_power(P, k + 1) for k in range(6))
    scaled = np.linalg.lstsq(M @ F, both - base, rcond=None)[0]
    assert_allclose(M @ F @ scaled, both - base, atol=1e-9)
    assert_allclose(scaled[:, :15], 0, atol=1e-10)
    assert_allclose(np.unique(np.abs(scaled.round(9))), [0, np.sqrt(3 / 5)], atol=1e-8)
    assert_allclose(model.transform(A).shape, (50, 20))
    sparse_features = clone(model).set_params(feature_scaling=None)
    dense = sparse_features.fit(A, features=F).embedding_
    same = sparse_features.fit(A, features=sparse.csr_array(F)).embedding_
    assert_allclose(same, dense, atol=1e-12)


def test_features_alone_are_enough():
    model = FastRP(8, property_ratio=1.0, self_weight=1.0, output=None, random_state=0)
    E = model.fit(np.zeros((5, 5)), features=np.eye(5)).embedding_
    assert np.isfinite(E).all() and E.any()


def test_graphs_and_edge_lists_are_read_once():
    graph = nx.les_miserables_graph()
    A = nx.to_scipy_sparse_array(graph, dtype=float)
    model = FastRP(16, random_state=0).fit(graph)
    assert_array_equal(model.embedding_, FastRP(16, random_state=0).fit_transform(A))
    assert list(model.node_ids_) == list(graph)
    names = np.array(sorted(graph))
    ends = np.array([(u, v) for u, v in graph.edges])
    weights = np.array([w for _, _, w in graph.edges(data="weight")])
    edges = FastRP(16, direction="undirected", random_state=0).fit(
        (ends[:, 0], ends[:, 1], weights)
    )
    assert_array_equal(edges.node_ids_, names)
    ordered = nx.to_scipy_sparse_array(graph, nodelist=list(names), dtype=float)
    expected = FastRP(16, random_state=0).fit_transform(ordered)
    assert_allclose(edges.embedding_, expected, atol=1e-5)


def test_unkind_matrices_give_the_same_embedding():
    A = sparse.csr_array(arcs())
    expected = FastRP(8, random_state=0).fit_transform(A)
    shuffled = A.copy()
    for i in range(50):
        place = slice(A.indptr[i], A.indptr[i + 1])
        shuffled.indices[place] = A.indices[place][::-1]
        shuffled.data[place] = A.data[place][::-1]
    shuffled.indices = shuffled.indices.astype(np.int64)
    shuffled.indptr = shuffled.indptr.astype(np.int64)
    before = shuffled.indices.copy()
    forms = [shuffled, sparse.csc_matrix(A), A.toarray(), sparse.coo_array(A)]
    for X in forms:
        assert_array_equal(FastRP(8, random_state=0).fit_transform(X), expected)
    assert_array_equal(shuffled.indices, before)
    half = sparse.csr_array(A.astype(np.float32))
    assert_allclose(FastRP(8, random_state=0).fit_transform(half), expected, atol=1e-4)


def test_out_may_be_a_memmap(tmp_path):
    A = arcs()
    place = np.memmap(tmp_path / "e", dtype=np.float32, mode="w+", shape=(50, 8))
    place[:] = np.nan
    model = FastRP(8, random_state=0).fit(A, out=place)
    assert model.embedding_ is place
    assert_array_equal(place, FastRP(8, random_state=0).fit_transform(A))
    with pytest.raises(ValueError, match="out must be a writable"):
        FastRP(8).fit(A, out=np.empty((50, 9), np.float32))


@pytest.mark.parametrize(
    ("options", "fit", "message"),
    [
        ({}, {"X": np.ones((3, 4))}, r"square, got shape \(3, 4\)"),
        ({}, {"X": np.array([[0, np.nan], [1, 0]])}, "NaN"),
        ({}, {"X": np.array([[0, np.inf], [1, 0]])}, "infinity"),
        ({}, {"X": np.array([[0, -1.0], [1, 0]])}, "Negative values in data"),
        ({}, {"X": np.array([[0, 1j], [1, 0]])}, "Complex data not supported"),
        ({}, {"X": np.zeros((3, 3))}, "no edges"),
        ({"weights": ()}, {}, "weights must be"),
        ({"weights": (0.0, 0.0)}, {}, "weights must be"),
        ({"n_components": 0}, {}, "n_components"),
        ({"s": 0.5}, {}, "'s' parameter"),
        ({"property_ratio": 1.5}, {}, "property_ratio"),
        ({"property_ratio": 0.5}, {}, "needs features"),
        ({}, {"features": np.ones((3, 2))}, "property_ratio=0"),
        (
            {"property_ratio": 0.5},
            {"features": np.ones((2, 2))},
            "one row a node: 2 rows against 3",
        ),
        ({}, {"node_ids": [1, 2]}, "3 integers"),
        ({}, {"node_ids": [1, 2, 2]}, "distinct"),
        ({}, {"node_ids": [1.5, 2, 3]}, "3 integers"),
        ({"metric": "bipartite", "direction": "in"}, {}, "neither directions"),
        ({"metric": "bipartite"}, {"node_ids": [-1, 2, 3]}, "must not be negative"),
        ({"metric": "bipartite"}, {"X": nx.path_graph(3)}, "biadjacency_matrix"),
        ({}, {"X": ([1, 2],)}, "edge list"),
        ({}, {"X": ([1, 2], [1])}, "equally long"),
        ({}, {"X": nx.Graph()}, "no nodes"),
    ],
)
def test_bad_input_is_refused_in_words(options, fit, message):
    fit = {"X": np.ones((3, 3)), **fit}
    X = fit.pop("X")
    with pytest.raises(ValueError, match=message):
        FastRP(**options).fit(X, **fit)


def test_transform_refuses_what_does_not_fit():
    A = arcs()
    with pytest.raises(NotFittedError):
        FastRP().transform(A)
    model = FastRP(8, random_state=0).fit(A)
    with pytest.raises(ValueError, match="50 features"):
        model.transform(A[:, :49])
    with pytest.raises(ValueError, match="Negative values"):
        model.transform(-A)


def test_feature_names_and_certificate():
    model = FastRP(3, random_state=0).fit(arcs())
    assert list(model.get_feature_names_out()) == ["fastrp0", "fastrp1", "fastrp2"]
    assert model.certificate_.kind == "exact" and model.certificate_.satisfied


def planted(n, groups, inside, between, seed):
    graph = nx.planted_partition_graph(groups, n // groups, inside, between, seed=seed)
    return nx.to_scipy_sparse_array(graph, dtype=float), np.arange(n) // (n // groups)


def test_cross_validation_finds_a_setting_at_least_as_good_as_the_default():
    A, y = planted(300, 3, 0.12, 0.03, seed=0)
    model = FastRPCV(32, n_iter=6, n_betas=3, random_state=0).fit(A, y)
    scores = model.cv_results_["mean_test_score"]
    assert model.best_score_ == scores.max() >= scores[0]
    assert model.cv_results_["beta"][0] == 0.0
    assert_array_equal(model.cv_results_["weights"][0], FastRP().weights)
    assert len(np.unique(model.cv_results_["beta"])) == 3
    assert model.best_score_ > 0.7
    assert_array_equal(model.fit_transform(A, y), model.embedding_)
    again = clone(model).fit(A, y)
    assert_array_equal(again.embedding_, model.embedding_)
    assert_allclose(model.transform(A), model.embedding_, atol=1e-5)


def test_cross_validation_scores_the_embedding_of_its_setting():
    # One setting, two directions: the sum of cached powers is FastRP's embedding.
    A = arcs()
    model = FastRPCV(12, n_iter=1, direction="both", random_state=0)
    powers = model._powers(A, -0.3, 5)
    expected = FastRP(
        12, beta=-0.3, direction="both", output=None, random_state=5
    ).fit_transform(A)
    weighted = sum(2**k * power for k, power in enumerate(powers))
    assert_allclose(weighted, expected, atol=1e-5)


def test_cross_validation_uses_only_the_labeled_nodes():
    A, y = planted(200, 2, 0.15, 0.03, seed=1)
    y = y.copy()
    known = np.arange(0, 200, 2)
    y[1::2] = -99
    model = FastRPCV(16, n_iter=2, n_betas=1, random_state=0)
    mask = np.isin(np.arange(200), known)
    by_index = model.fit(A, y, labeled=known).best_score_
    assert model.fit(A, y, labeled=mask).best_score_ == by_index > 0.8
    for labeled in ([500], mask[:5], [0.5]):
        with pytest.raises(ValueError, match="labeled"):
            model.fit(A, y, labeled=labeled)
    with pytest.warns(UserWarning, match="single class"):
        model.fit(A, np.zeros(200))
    assert model.best_beta_ == 0.0
    with pytest.raises(ValueError, match="one entry a node"):
        model.fit(A, y[:5])
    with pytest.raises(ValueError, match="beta_range"):
        FastRPCV(beta_range=(1.0, 0.0)).fit(A, y)
    with pytest.raises(ValueError, match="weight_range"):
        FastRPCV(weight_range=(0.0, 1.0)).fit(A, y)


def test_degrees_are_those_of_the_direction():
    A = arcs()
    expected = {
        "out": A.sum(axis=1),
        "in": A.sum(axis=0),
        "both": A.sum(axis=1),
        "undirected": (A + A.T).sum(axis=1),
    }
    for direction, degrees in expected.items():
        model = FastRP(8, direction=direction, random_state=0).fit(A)
        assert_allclose(model.degrees_, degrees, rtol=1e-12)
        assert_array_equal(model.isolated_, np.flatnonzero(degrees == 0))
    looped = FastRP(8, self_loops="add", random_state=0).fit(A)
    assert_allclose(looped.degrees_, A.sum(axis=1) + 1.0)


def test_the_best_setting_is_the_one_that_is_refitted():
    A, y = planted(120, 2, 0.2, 0.05, seed=0)
    model = FastRPCV(
        24, n_powers=3, tune_components=10, weight_range=(2.0, 9.0),
        beta_range=(-0.5, 0.2), n_iter=5, n_betas=2, s=3.0, random_state=0,
    ).fit(A, y)  # fmt: skip
    results = model.cv_results_
    assert results["weights"].shape == (5, 3)
    drawn = results["weights"][1:, 1:]
    assert (drawn >= 2.0).all() and (drawn <= 9.0).all() and np.ptp(drawn) > 0
    assert (results["beta"] >= -0.5).all() and (results["beta"] <= 0.2).all()
    best = results["mean_test_score"].argmax()
    assert_array_equal(model.best_weights_, results["weights"][best])
    assert model.best_beta_ == results["beta"][best]
    refitted = model.best_estimator_
    assert_array_equal(refitted.weights, model.best_weights_)
    assert refitted.beta == model.best_beta_ and refitted.s == 3.0
    again = clone(refitted).fit(A)
    assert_array_equal(again.embedding_, model.embedding_)


@pytest.mark.parametrize("tune_components", [6, 64])
def test_settings_are_scored_by_the_given_rules(tune_components):
    A, y = planted(120, 3, 0.2, 0.08, seed=1)
    rules = {
        "estimator": GaussianNB(),
        "scoring": "balanced_accuracy",
        "cv": StratifiedKFold(4, shuffle=True, random_state=3),
    }
    model = FastRPCV(
        12, n_iter=1, tune_components=tune_components, random_state=0, **rules
    ).fit(A, y)
    # The only setting is the default, on as few components as were asked for.
    tried = FastRP(
        min(tune_components, 12), random_state=model.best_estimator_.random_state
    ).fit_transform(A)
    scores = cross_val_score(
        rules["estimator"], tried, y, scoring=rules["scoring"], cv=rules["cv"]
    )
    assert_allclose(model.best_score_, scores.mean(), atol=1e-12)
    assert_allclose(model.cv_results_["std_test_score"], [scores.std()], atol=1e-12)
