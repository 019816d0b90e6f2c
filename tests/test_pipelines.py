"""Pipelines across families, as a user would write them, and metadata routing."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.neighbors import kneighbors_graph
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsestat.cluster import SDPKMeans, kmeans_certificate
from sparsestat.datasets import make_sparse_regression
from sparsestat.decomposition import OnlineOrthogonalDictionary, OrthogonalDictionary
from sparsestat.embedding import FastRP
from sparsestat.linear_model import (
    GraphLabelPropagation,
    Lasso,
    LassoCV,
    SparseLogisticRegression,
)
from sparsestat.transport import OptimalTransport
from tests.test_common import OWN_CONTRACT, public_estimators
from tests.test_hostile_input import data_of, estimator_of, outputs_of


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def block_graph(n, n_blocks, within, between, rng):
    """Return the adjacency matrix of a graph of communities, and these."""
    blocks = np.arange(n) % n_blocks
    odds = np.where(blocks[:, None] == blocks, within, between)
    upper = np.triu(rng.random((n, n)) < odds, 1)
    return sparse.csr_array((upper | upper.T).astype(float)), blocks


# Families in a row


def test_fastrp_features_into_sparse_logistic_regression_under_grid_search(rng):
    A, blocks = block_graph(240, 3, 0.2, 0.02, rng)
    pipeline = Pipeline(
        [
            ("embed", FastRP(16, random_state=0)),
            ("classify", SparseLogisticRegression()),
        ]
    )
    search = GridSearchCV(
        pipeline,
        {
            "embed__weights": [(1.0, 1.0), (0.0, 1.0, 4.0)],
            "classify__alpha": [0.003, 0.03, 10.0],
        },
        cv=3,
    )
    # The graph among the nodes of a fold is cut out: rows and columns.
    search.fit(A, blocks)
    assert search.best_score_ > 0.9
    assert search.best_params_["classify__alpha"] < 10.0
    best = search.best_estimator_
    assert best["embed"].n_features_in_ == 240
    assert best["classify"].certificate_.satisfied
    assert search.score(A, blocks) > 0.95
    scores = search.cv_results_["mean_test_score"]
    worst = scores[[p["classify__alpha"] == 10.0 for p in search.cv_results_["params"]]]
    assert worst.max() < 0.5  # everything is penalized away


def test_the_two_sides_of_a_table_embed_inside_cross_validation(rng):
    topics = np.arange(200) % 4
    rates = np.full((4, 60), 0.05)
    for k in range(4):
        rates[k, 15 * k : 15 * (k + 1)] = 1.0
    counts = sparse.csr_array(rng.poisson(rates[topics]).astype(float))
    pipeline = make_pipeline(
        FastRP(24, metric="bipartite", random_state=0),
        SparseLogisticRegression(alpha=0.003),
    )
    assert cross_val_score(pipeline, counts, topics, cv=3).min() > 0.95


def test_optimal_transport_adapts_the_domain_before_a_classifier(routing, rng):
    X, y = make_blobs(150, centers=[[0, 0], [4, 0], [0, 4]], random_state=0)
    turn = 1.2 * np.array([[0.94, -0.34], [0.34, 0.94]])
    Xt, yt = make_blobs(150, centers=[[0, 0], [4, 0], [0, 4]], random_state=1)
    Xt = Xt @ turn + [9.0, -2.0]
    model = make_pipeline(
        OptimalTransport(reg=0.02).set_fit_request(Xt=True),
        LogisticRegression(),
    )
    model.fit(X, y, Xt=Xt)
    # The classifier was trained on samples moved to the target, so it is what
    # predicts there.
    adapted = model[-1].score(Xt, yt)
    assert adapted > 0.9
    assert adapted > LogisticRegression().fit(X, y).score(Xt, yt) + 0.2
    assert model[0].certificate_.satisfied
    # New samples of the source go the whole way.
    again, labels = make_blobs(60, centers=[[0, 0], [4, 0], [0, 4]], random_state=2)
    assert model.score(again, labels) > 0.9


@pytest.mark.parametrize("cls", [OnlineOrthogonalDictionary, OrthogonalDictionary])
def test_dictionary_codes_into_lasso_cv(cls, rng):
    n = 12
    D = np.linalg.qr(rng.standard_normal((n, n)))[0]
    codes = rng.standard_normal((1200, n)) * (rng.random((1200, n)) < 0.2)
    y = 3.0 * codes[:, 2] - 2.0 * codes[:, 7] + 0.05 * rng.standard_normal(1200)
    dictionary = cls(random_state=0, max_iter=50)
    model = make_pipeline(dictionary, LassoCV(alphas=20, cv=3, one_se=True))
    scores = cross_val_score(model, codes @ D, y, cv=3)
    assert scores.min() > 0.95
    model.fit(codes @ D, y)
    # Two codes carry y: in the codes the model is sparse, in the data it is not.
    weights = np.abs(model[-1].coef_)
    assert (weights > 0.1 * weights.max()).sum() == 2
    assert model[-1].certificate_.satisfied


def test_a_certificate_for_k_means_inside_a_pipeline():
    X, _ = make_blobs(180, centers=3, cluster_std=0.6, random_state=3)
    X = X * [1.0, 100.0]
    pipeline = make_pipeline(StandardScaler(), KMeans(3, n_init=3, random_state=0))
    pipeline.fit(X)
    proved = kmeans_certificate(pipeline[:-1].transform(X), pipeline[-1].labels_)
    assert proved.certified
    assert proved.lower_bound == pytest.approx(pipeline[-1].inertia_, rel=1e-6)
    # A few samples astray: no proof, and a gap.
    other = pipeline[-1].labels_.copy()
    other[:5] = (other[:5] + 1) % 3
    below = kmeans_certificate(pipeline[:-1].transform(X), other)
    assert not below.certified and below.gap > 0
    relaxed = make_pipeline(StandardScaler(), SDPKMeans(3, random_state=0)).fit(X)
    assert relaxed[-1].certificate_.certified
    assert relaxed[-1].inertia_ == pytest.approx(pipeline[-1].inertia_, rel=1e-6)


def test_labels_propagate_over_a_fastrp_graph(rng):
    A, blocks = block_graph(300, 3, 0.15, 0.02, rng)
    y = np.full(300, -1)
    known = rng.permutation(300)[:30]
    y[known] = blocks[known]
    model = make_pipeline(
        FastRP(64, weights=(0.0, 1.0, 4.0), random_state=0),
        GraphLabelPropagation(n_neighbors=10),
    )
    model.fit(A, y)
    unknown = y == -1
    found = model[-1].transduction_
    assert (found[unknown] == blocks[unknown]).mean() > 0.9
    assert_array_equal(found[known], blocks[known])
    assert model[-1].certificate_.satisfied
    direct = GraphLabelPropagation("precomputed").fit(A, y)
    # Over the graph itself, a tenth of whose nodes are labeled, labels wash out.
    reached = (found[unknown] == blocks[unknown]).mean()
    assert reached > (direct.transduction_[unknown] == blocks[unknown]).mean()
    E = model[0].embedding_
    W = kneighbors_graph(E, 10, mode="connectivity")
    W = W.maximum(W.T)
    again = GraphLabelPropagation("precomputed").fit(W, y)
    assert_array_equal(again.transduction_, found)


def test_image_patches_of_digits_go_through_three_families():
    X, y = load_digits(return_X_y=True)
    keep = y < 4
    X, y = X[keep], y[keep]
    model = make_pipeline(
        StandardScaler(),
        OrthogonalDictionary(
            32, max_iter=30, tol=0.1, transform_algorithm="soft", random_state=0
        ),
        SparseLogisticRegression(alpha=0.003),
    )
    assert cross_val_score(model, X, y, cv=3).mean() > 0.9


# Metadata


@pytest.fixture
def weighted_problem():
    made = make_sparse_regression(
        120, 30, n_nonzero=4, snr=5.0, random_state=0, return_X_y=True
    )
    rng = np.random.default_rng(0)
    weights = rng.integers(1, 5, 120).astype(float)
    groups = rng.permutation(np.arange(120) % 6)
    return made[0], made[1], weights, groups


def test_weights_and_groups_reach_a_grid_search_over_a_pipeline(
    routing, weighted_problem
):
    X, y, weights, groups = weighted_problem
    lasso = Lasso().set_fit_request(sample_weight=True)
    lasso.set_score_request(sample_weight=True)
    scaler = StandardScaler().set_fit_request(sample_weight=True)
    pipeline = Pipeline([("scale", scaler), ("lasso", lasso)])
    grid = {"lasso__alpha": [0.01, 0.1, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=GroupKFold(3))
    search.fit(X, y, sample_weight=weights, groups=groups)

    # The same by hand.
    alphas, scores = grid["lasso__alpha"], np.zeros(3)
    for train, test in GroupKFold(3).split(X, y, groups):
        for k, alpha in enumerate(alphas):
            scale = StandardScaler().fit(X[train], sample_weight=weights[train])
            model = Lasso(alpha).fit(
                scale.transform(X[train]), y[train], sample_weight=weights[train]
            )
            scores[k] += model.score(
                scale.transform(X[test]), y[test], sample_weight=weights[test]
            )
    assert_allclose(search.cv_results_["mean_test_score"], scores / 3, rtol=1e-10)
    scale = StandardScaler().fit(X, sample_weight=weights)
    best = Lasso(alphas[int(scores.argmax())])
    best.fit(scale.transform(X), y, sample_weight=weights)
    assert_allclose(search.best_estimator_["lasso"].coef_, best.coef_, rtol=1e-12)


def test_weights_and_groups_reach_a_search_at_the_end_of_a_pipeline(
    routing, weighted_problem
):
    X, y, weights, groups = weighted_problem
    model = LassoCV(alphas=10, cv=GroupKFold(3))
    direct = clone(model).fit(X, y, sample_weight=weights, groups=groups)
    unit = StandardScaler(with_mean=False, with_std=False)
    routed = Pipeline(
        [
            ("scale", unit.set_fit_request(sample_weight=False)),
            ("lasso", model.set_fit_request(sample_weight=True, groups=True)),
        ]
    )
    routed.fit(X, y, sample_weight=weights, groups=groups)
    assert routed["lasso"].alpha_ == direct.alpha_
    assert_allclose(routed["lasso"].coef_, direct.coef_, rtol=1e-12)
    splits = list(GroupKFold(3).split(X, y, groups))
    by_hand = clone(model).set_params(cv=splits).fit(X, y, sample_weight=weights)
    assert_array_equal(routed["lasso"].mse_path_, by_hand.mse_path_)


def test_groups_without_routing(weighted_problem):
    X, y, _, groups = weighted_problem
    found = LassoCV(alphas=10, cv=GroupKFold(3)).fit(X, y, groups=groups)
    splits = list(GroupKFold(3).split(X, y, groups))
    by_hand = LassoCV(alphas=10, cv=splits).fit(X, y)
    assert_array_equal(found.mse_path_, by_hand.mse_path_)


def test_weights_that_nobody_asked_for_are_refused(routing, weighted_problem):
    X, y, weights, _ = weighted_problem
    with pytest.raises(ValueError, match="sample_weight"):
        cross_validate(Lasso(), X, y, params={"sample_weight": weights})
    asked = Lasso().set_fit_request(sample_weight=True)
    asked.set_score_request(sample_weight=False)
    found = cross_validate(asked, X, y, params={"sample_weight": weights})
    assert np.isfinite(found["test_score"]).all()


def weighted_estimators():
    for cls in public_estimators():
        if cls.__name__ in OWN_CONTRACT:
            continue
        if "sample_weight" in inspect.signature(cls.fit).parameters:
            yield cls


@pytest.mark.parametrize(
    "cls", list(weighted_estimators()), ids=lambda cls: cls.__name__
)
def test_every_estimator_with_weights_gets_them_through_a_pipeline(cls, routing):
    model = estimator_of(cls)
    data = data_of(model)
    weights = 1.0 + np.arange(len(data["X"])) % 3
    requested = clone(model).set_fit_request(sample_weight=True)
    pipeline = Pipeline([("nothing", "passthrough"), ("model", requested)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        direct = clone(model).fit(**data, sample_weight=weights)
        pipeline.fit(data["X"], data.get("y"), sample_weight=weights)
        expected = outputs_of(direct, data["X"])
        found = outputs_of(pipeline["model"], data["X"])
    for name, value in expected.items():
        assert_array_equal(found[name], value, err_msg=name)
