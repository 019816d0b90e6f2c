"""Encodings of sets: brute force, closed forms, and what they keep of the ranking."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sparsestat.neighbors import FixedDimensionalEncoder
from sparsestat.neighbors._sets import as_sets


def unit_sets(n, h, rng, smallest=1, largest=9):
    sizes = rng.integers(smallest, largest, n)
    sets = [rng.normal(size=(size, h)) for size in sizes]
    return [x / np.linalg.norm(x, axis=1, keepdims=True) for x in sets]


def chamfer(Q, X):
    return np.array([[(q @ x.T).max(axis=1).sum() for x in X] for q in Q])


def by_hand(model, X, is_document):
    """The definition, one vector and one bucket at a time."""
    R, k, h = model.n_repetitions, model.n_bits, X.shape[1]
    p = h if model.projection_dim is None else model.projection_dim
    blocks = []
    for r in range(R):
        G = model.hyperplanes_[:, r * k : (r + 1) * k]
        P = np.eye(h)
        if model.projections_ is not None:
            P = model.projections_[:, r * p : (r + 1) * p]
        codes = (X @ G > 0) @ (1 << np.arange(k)) if k else np.zeros(len(X), int)
        Y = X @ P
        for b in range(1 << k):
            inside = codes == b
            if inside.any():
                total = Y[inside].sum(axis=0)
                blocks.append(total / inside.sum() if is_document else total)
            elif is_document and model.fill_empty:
                away = [bin(int(c) ^ b).count("1") for c in codes]
                blocks.append(Y[int(np.argmin(away))])
            else:
                blocks.append(np.zeros(p))
    out = np.concatenate(blocks)
    return out / np.sqrt(R) if model.scale else out


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"n_bits": 0},
        {"n_bits": 6, "fill_empty": False},
        {"projection_dim": 3},
        {"projection_dim": 3, "projection": "sign", "scale": False},
        {"n_repetitions": 1, "n_bits": 9},
    ],
)
def test_encodings_are_those_of_the_definition(parameters, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X = unit_sets(12, 7, rng)
    parameters = {"n_repetitions": 4, **parameters}
    model = FixedDimensionalEncoder(
        dtype="float64", random_state=global_random_seed, **parameters
    ).fit(X)
    documents, queries = model.transform(X), model.transform_query(X)
    assert documents.shape == (12, model.n_components_)
    for i, x in enumerate(X):
        assert_allclose(documents[i], by_hand(model, x, True), atol=1e-12)
        assert_allclose(queries[i], by_hand(model, x, False), atol=1e-12)


def test_without_hyperplanes_it_is_sum_times_mean():
    rng = np.random.default_rng(0)
    Q, X = unit_sets(5, 6, rng), unit_sets(7, 6, rng)
    model = FixedDimensionalEncoder(3, n_bits=0, dtype="float64").fit(X)
    found = model.transform_query(Q) @ model.transform(X).T
    expected = [[q.sum(axis=0) @ x.mean(axis=0) for x in X] for q in Q]
    assert_allclose(found, expected, atol=1e-12)


def test_the_estimate_is_never_above_the_similarity(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    Q, X = unit_sets(40, 8, rng), unit_sets(60, 8, rng, 1, 20)
    for k in (0, 2, 5):
        model = FixedDimensionalEncoder(
            5, n_bits=k, dtype="float64", random_state=global_random_seed
        ).fit(X)
        estimate = model.transform_query(Q) @ model.transform(X).T
        assert (estimate <= chamfer(Q, X) + 1e-10).all()


@pytest.mark.parametrize("projection", ["ams", "sign"])
def test_projections_leave_inner_products_unbiased(projection):
    rng = np.random.default_rng(1)
    Q, X = unit_sets(1, 6, rng, 4, 5), unit_sets(1, 6, rng, 4, 5)
    common = {"n_bits": 0, "dtype": "float64"}  # the partition is always the same
    plain = FixedDimensionalEncoder(1, **common).fit(X)
    expected = float((plain.transform_query(Q) @ plain.transform(X).T)[0, 0])
    # Repetitions are independent, and their mean is what is returned.
    model = FixedDimensionalEncoder(
        4000, projection_dim=3, projection=projection, random_state=0, **common
    ).fit(X)
    terms = 4000 * (model.transform_query(Q) * model.transform(X)).reshape(-1, 3).sum(1)
    error = terms.std() / np.sqrt(len(terms))
    assert abs(terms.mean() - expected) < 4 * error


def test_a_final_sketch_leaves_inner_products_unbiased():
    rng = np.random.default_rng(2)
    X = unit_sets(1, 6, rng, 4, 5)
    found = []
    for seed in range(300):
        model = FixedDimensionalEncoder(
            2, n_bits=2, final_dim=8, dtype="float64", random_state=seed
        ).fit(X)
        plain = clone(model).set_params(final_dim=None).fit(X)
        both = [m.transform_query(X) @ m.transform(X).T for m in (model, plain)]
        found.append(float((both[0] - both[1])[0, 0]))
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))


def test_order_and_batches_of_sets_change_nothing():
    rng = np.random.default_rng(3)
    X = unit_sets(700, 16, rng, 1, 30)
    model = FixedDimensionalEncoder(6, projection_dim=4, random_state=0).fit(X)
    whole = model.transform(X)
    parts = [
        model.transform(X[:3]),
        model.transform(X[3:401]),
        model.transform(X[401:]),
    ]
    # In single precision: products round by the number of rows in a batch.
    assert_allclose(np.concatenate(parts), whole, atol=1e-6)
    turned = model.transform([x[::-1] for x in X[:50]])
    # Filling takes the first vector of equally near codes, which turns too.
    plain = clone(model).set_params(fill_empty=False).fit(X)
    assert_allclose(
        plain.transform([x[::-1] for x in X[:50]]), plain.transform(X[:50]), atol=1e-6
    )
    assert turned.shape == (50, model.n_components_)
    two = clone(model).set_params(n_jobs=2).fit(X)
    assert_array_equal(two.transform(X), whole)
    assert_array_equal(pickle.loads(pickle.dumps(model)).transform(X), whole)


def test_queries_add_up_and_documents_scale():
    rng = np.random.default_rng(4)
    a, b = unit_sets(2, 5, rng, 3, 6)
    model = FixedDimensionalEncoder(4, dtype="float64", random_state=0).fit([a])
    both = model.transform_query([np.concatenate([a, b])])
    assert_allclose(both[0], model.transform_query([a, b]).sum(axis=0), atol=1e-12)
    for factor in (2.0**60, 2.0**-60, 3.0):
        assert_allclose(
            model.transform([factor * a]), factor * model.transform([a]), rtol=1e-12
        )


def test_sparse_queries_are_the_dense_ones(monkeypatch):
    rng = np.random.default_rng(5)
    Q = unit_sets(20, 6, rng, 1, 4)
    model = FixedDimensionalEncoder(3, n_bits=5, random_state=0).fit(Q)
    dense = model.transform_query(Q)
    monkeypatch.setattr("sparsestat.neighbors._encoder._BLOCK_BYTES", dense.nbytes // 6)
    found = model.transform_query(Q, sparse_output=True)
    assert_array_equal(found.toarray(), dense)
    assert found.nnz < 0.2 * dense.size


def test_containers_of_sets_are_equal():
    rng = np.random.default_rng(6)
    X = unit_sets(4, 5, rng, 3, 4)  # three vectors each
    model = FixedDimensionalEncoder(3, random_state=0).fit(X)
    expected = model.transform(X)
    cube = np.stack(X)
    wide = np.concatenate([cube, np.full((4, 2, 5), 7.0)], axis=1)
    mask = np.arange(5) < np.full((4, 1), 3)
    masked = np.ma.masked_array(wide, np.repeat(~mask[:, :, None], 5, axis=2))
    pair = np.concatenate(X), np.arange(5) * 3
    lists = [x.tolist() for x in X]
    for same in (cube, (wide, mask), masked, pair, lists, tuple(X)):
        assert_array_equal(model.transform(same), expected)


def test_exact_scores_are_brute_force():
    rng = np.random.default_rng(7)
    Q, X = unit_sets(6, 5, rng), unit_sets(9, 5, rng)
    model = FixedDimensionalEncoder(2).fit(X)
    expected = chamfer(Q, X)
    assert_allclose(model.score_chamfer(Q, X), expected)
    chosen = np.array([[3, -1, 0]] * 6)
    found = model.score_chamfer(Q, X, candidates=chosen)
    assert_allclose(found[:, [0, 2]], expected[:, [3, 0]])
    assert (found[:, 1] == -np.inf).all()


def test_better_encodings_find_the_nearest_document_more_often():
    rng = np.random.default_rng(8)
    centers = rng.normal(size=(40, 32))

    def document():
        topics = rng.integers(0, 40, 3)
        x = centers[rng.choice(topics, rng.integers(10, 40))]
        x = x + 0.6 * rng.normal(size=x.shape)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    X = [document() for _ in range(300)]
    Q = []
    for i in range(40):
        q = X[i][rng.integers(0, len(X[i]), 8)] + 0.15 * rng.normal(size=(8, 32))
        Q.append(q / np.linalg.norm(q, axis=1, keepdims=True))
    best = chamfer(Q, X).argmax(axis=1)
    shares = []
    for parameters in ({"n_bits": 0, "n_repetitions": 1}, {"n_bits": 4}):
        model = FixedDimensionalEncoder(random_state=0, **parameters).fit(X)
        scores = model.transform_query(Q) @ model.transform(X).T
        ten = np.argsort(-scores, axis=1)[:, :10]
        shares.append((ten == best[:, None]).any(axis=1).mean())
    assert shares[1] > 0.9 and shares[1] >= shares[0]


def test_empty_sets_are_refused_or_encoded_by_zeros():
    sets = [np.ones((2, 3)), np.empty((0, 3)), []]
    with pytest.raises(ValueError, match=r"2 sets of X are empty.* number 1"):
        FixedDimensionalEncoder().fit(sets)
    model = FixedDimensionalEncoder(2, allow_empty=True).fit(sets)
    found = model.transform(sets)
    assert (found[1:] == 0).all() and (found[0] != 0).any()
    assert model.score_chamfer(sets[:1], sets)[0, 1] == 0
    assert (model.transform([np.empty((0, 3))]) == 0).all()


@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        ([np.ones((2, 3)), np.ones((2, 4))], ValueError, "different lengths"),
        ([np.ones(3)], ValueError, "one vector a row"),
        ([[[1.0, 2.0], [3.0]]], ValueError, "ragged"),
        ([], ValueError, "holds no sets"),
        ("sets", TypeError, "sequence of arrays"),
        ([np.full((1, 2), np.nan)], ValueError, "NaN"),
        ([np.full((1, 2), 1e200)], ValueError, "Rescale"),
        ([np.ones((1, 2)) * 1j], ValueError, "Complex"),
        ((np.ones((4, 2)), np.array([0, 3])), ValueError, "offsets"),
        ((np.ones((4, 2)), np.array([0, 3, 2, 4])), ValueError, "offsets"),
        ((np.ones((4, 2, 2)), np.ones((4, 3), bool)), ValueError, "mask"),
    ],
)
def test_bad_sets_are_refused(X, error, words):
    with pytest.raises(error, match=words):
        FixedDimensionalEncoder(2).fit(X)


def test_bad_calls_are_refused():
    X = [np.ones((2, 3))]
    with pytest.warns(UserWarning, match="projection_dim=9 is larger"):
        model = FixedDimensionalEncoder(2, projection_dim=9).fit(X)
    with pytest.raises(ValueError, match="have 4 entries"):
        model.transform([np.ones((2, 4))])
    with pytest.raises(ValueError, match="n_bits"):
        FixedDimensionalEncoder(n_bits=17).fit(X)
    with pytest.raises(MemoryError, match="Encode in batches"):
        FixedDimensionalEncoder(2, max_memory=10).fit(X).transform(X)
    for bad, words in [
        (np.array([[0.5]]), "integer array"),
        (np.array([[0], [0]]), "2 rows for 1 queries"),
        (np.array([[1]]), "from -1 to 0"),
    ]:
        with pytest.raises(ValueError, match=words):
            model.score_chamfer(X, X, candidates=bad)
    huge = [np.full((1, 2), 1e60)]
    with pytest.raises(ValueError, match="dtype='float64'"):
        FixedDimensionalEncoder(2).fit(huge).transform(huge)


def test_feature_names_and_frames():
    pd = pytest.importorskip("pandas")
    X = [np.ones((2, 3)), np.ones((1, 3))]
    model = FixedDimensionalEncoder(1, n_bits=1).fit(X)
    assert model.get_feature_names_out()[0] == "fixeddimensionalencoder0"
    frame = model.set_output(transform="pandas").transform(X)
    assert isinstance(frame, pd.DataFrame) and frame.shape == (2, 6)


def test_offsets_may_be_of_any_integer_type():
    values, offsets = as_sets((np.ones((3, 2)), np.array([0, 1, 3], np.int32)))
    assert offsets.dtype == np.int64 and len(values) == 3
