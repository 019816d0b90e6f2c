"""The estimators: one map for old and new samples, masses, affinities."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.cluster import SpectralClustering
from sklearn.datasets import make_blobs, make_moons
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.transport import (
    DomainAdaptationClassifier,
    DoublyStochasticAffinity,
    OptimalTransport,
    sinkhorn,
)


@pytest.fixture
def domains():
    X, y = make_blobs(120, centers=[[0, 0], [4, 0], [0, 4]], random_state=0)
    Xt, yt = make_blobs(100, centers=[[6, 1], [10, 1], [6, 5]], random_state=1)
    return X, y, Xt, yt


@pytest.mark.parametrize("reg_m", [None, 2.0])
@pytest.mark.parametrize("reg", [0.5, 0.01])
def test_map_of_fitted_samples_is_the_barycentric_one(domains, reg, reg_m):
    X, _, Xt, _ = domains
    rng = np.random.default_rng(0)
    ws, wt = rng.random(120) + 0.1, rng.random(100) + 0.1
    ws[3] = wt[7] = 0.0
    model = OptimalTransport(reg=reg, reg_m=reg_m, tol=1e-12)
    model.fit(X, Xt=Xt, sample_weight_s=ws, sample_weight_t=wt)
    P, seen = model.coupling_, ws > 0
    rows = P.sum(axis=1)
    expected = (P @ Xt)[seen] / rows[seen, None]
    np.testing.assert_allclose(model.transform(X)[seen], expected, atol=1e-8)
    seen = wt > 0
    back = (P.T @ X)[seen] / P.sum(axis=0)[seen, None]
    np.testing.assert_allclose(model.inverse_transform(Xt)[seen], back, atol=1e-8)
    assert np.isfinite(model.transform(X)).all()
    if reg_m is None:
        np.testing.assert_allclose(rows, ws / ws.sum(), atol=1e-9)


def test_new_samples_land_among_the_targets(domains):
    X, _, Xt, _ = domains
    model = OptimalTransport(reg=0.01).fit(X, Xt=Xt)
    new = model.transform(X + 0.01)
    assert new.shape == X.shape
    assert np.abs(new - model.transform(X)).mean() < 0.5
    assert (new >= Xt.min(axis=0) - 1e-9).all() and (new <= Xt.max(axis=0) + 1e-9).all()


def test_adaptation_keeps_the_classes_together():
    X, y = make_blobs(90, centers=[[0, 0], [6, 0], [0, 6]], random_state=0)
    Xt, yt = X + [5.0, 1.0], y
    mapped = OptimalTransport(reg=0.01).fit(X, Xt=Xt).transform(X)
    nearest = yt[((mapped[:, None] - Xt) ** 2).sum(axis=-1).argmin(axis=1)]
    assert (nearest == y).mean() > 0.95


def test_attributes_score_and_certificate(domains):
    X, _, Xt, _ = domains
    model = OptimalTransport(reg=0.1).fit(X, Xt=Xt)
    C = ((X[:, None] - Xt) ** 2).sum(axis=-1)
    assert model.reg_ == pytest.approx(0.1 * np.median(C))
    direct = sinkhorn(C, reg=model.reg_)
    np.testing.assert_allclose(model.coupling_, direct.plan, atol=1e-9)
    assert model.value_ == pytest.approx(direct.value)
    assert model.score(X) == pytest.approx(-model.value_, rel=1e-7)
    assert model.certificate_.satisfied and model.n_iter_ >= 1
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    assert clone(model).get_params() == model.get_params()


def test_without_targets_samples_map_close_to_themselves(domains):
    X = domains[0]
    model = OptimalTransport(reg=1e-4).fit(X)
    assert np.abs(model.fit_transform(X) - X).mean() < 0.05
    np.testing.assert_array_equal(
        OptimalTransport(reg=0.1).fit(sparse.csr_array(X)).coupling_,
        OptimalTransport(reg=0.1).fit(X).coupling_,
    )


def test_bad_targets_are_refused(domains):
    X, _, Xt, _ = domains
    with pytest.raises(ValueError, match="same space"):
        OptimalTransport().fit(X, Xt=np.ones((5, 3)))
    with pytest.raises(ValueError, match="negative entries"):
        OptimalTransport().fit(X, Xt=Xt, sample_weight_s=-np.ones(120))
    with pytest.raises(ValueError, match="must have shape"):
        OptimalTransport().fit(X, Xt=Xt, sample_weight_t=np.ones(3))
    with pytest.raises(ValueError, match="Xt contains NaN"):
        OptimalTransport().fit(X, Xt=np.full((5, 2), np.nan))


def test_affinity_separates_clusters_and_takes_costs():
    X, y = make_blobs(90, centers=3, cluster_std=0.6, random_state=4)
    model = DoublyStochasticAffinity(reg=0.05).fit(X)
    G = model.affinity_matrix_
    assert model.certificate_.satisfied
    assert np.abs(G.sum(axis=1) - 1).max() < 1e-8
    labels = SpectralClustering(3, affinity="precomputed", random_state=0).fit_predict(
        G
    )
    assert adjusted_rand_score(y, labels) > 0.95
    C = ((X[:, None] - X) ** 2).sum(axis=-1)
    C = 0.5 * (C + C.T)
    other = DoublyStochasticAffinity(reg=0.05, affinity="precomputed").fit(C)
    np.testing.assert_allclose(other.affinity_matrix_, G, atol=1e-8)
    with pytest.raises(ValueError, match="square"):
        DoublyStochasticAffinity(affinity="precomputed").fit(X)


@pytest.mark.parametrize("n_neighbors", [None, 1, 4])
def test_exact_plan_maps_by_neighbors(domains, n_neighbors):
    X, _, Xt, _ = domains
    ws = np.random.default_rng(0).random(120)
    ws[5] = 0.0
    model = OptimalTransport(method="exact", n_neighbors=n_neighbors)
    model.fit(X, Xt=Xt, sample_weight_s=ws)
    C = ((X[:, None] - Xt) ** 2).sum(axis=-1)
    exact = sinkhorn(C, ws / ws.sum(), method="exact")
    assert model.value_ == pytest.approx(exact.value, rel=1e-9) and model.reg_ == 0
    P, seen = model.coupling_, ws > 0
    expected = (P @ Xt)[seen] / P.sum(axis=1)[seen, None]
    np.testing.assert_allclose(model.transform(X)[seen], expected, atol=1e-9)
    back = (P.T @ X) / P.sum(axis=0)[:, None]
    np.testing.assert_allclose(model.inverse_transform(Xt), back, atol=1e-9)
    near = X[seen] + 1e-7
    moved = model.transform(near) - near
    np.testing.assert_allclose(moved, expected - X[seen], atol=1e-4)
    assert model.score(X) <= 0
    with pytest.raises(ValueError, match="takes no reg_m"):
        OptimalTransport(method="exact", reg_m=1.0).fit(X, Xt=Xt)


def test_affinity_of_a_given_perplexity():
    X = np.random.default_rng(0).random((50, 3))
    model = DoublyStochasticAffinity(perplexity=8.0).fit(X)
    G = model.affinity_matrix_
    entropy = -(G[G > 0] * np.log(G[G > 0])).sum() / 50
    assert np.exp(entropy) == pytest.approx(8.0, rel=1e-3)
    direct = DoublyStochasticAffinity(reg=model.reg_, reg_mode="absolute").fit(X)
    np.testing.assert_allclose(direct.affinity_matrix_, G, atol=1e-12)


@pytest.mark.parametrize("zero_diagonal", [False, True])
@pytest.mark.parametrize("affinity", ["sqeuclidean", "cityblock"])
def test_the_potential_gives_the_affinity(affinity, zero_diagonal):
    X, _ = make_blobs(40, centers=2, random_state=0)
    C = cdist(X, X, affinity)
    median = np.median(C[~np.eye(40, dtype=bool)])
    for reg_mode, unit in (("absolute", 1.0), ("relative", median)):
        model = DoublyStochasticAffinity(
            reg=0.4, reg_mode=reg_mode, affinity=affinity, zero_diagonal=zero_diagonal
        ).fit(X)
        assert model.reg_ == pytest.approx(0.4 * unit, rel=1e-9)
        f = model.potential_
        G = np.exp((f[:, None] + f - C) / model.reg_)
        np.fill_diagonal(G, 0.0 if zero_diagonal else G.diagonal())
        np.testing.assert_allclose(model.affinity_matrix_, G, rtol=1e-8, atol=1e-12)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        short = DoublyStochasticAffinity(reg=0.001, max_iter=1).fit(X)
    assert not short.certificate_.satisfied


@pytest.mark.parametrize("reg_m", [None, (0.5, 2.0)])
def test_the_potentials_give_the_plan(domains, reg_m):
    X, _, Xt, _ = domains
    model = OptimalTransport(reg=0.1, reg_mode="absolute", reg_m=reg_m)
    model.fit(X, Xt=Xt)
    assert model.reg_ == 0.1
    f, g = model.potentials_
    a, b = model.source_weights_, model.target_weights_
    plan = a[:, None] * b * np.exp((f[:, None] + g - model.cost_) / 0.1)
    np.testing.assert_allclose(model.coupling_, plan, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(model.value_, (plan * model.cost_).sum(), rtol=1e-6)
    if reg_m is None:
        optimum = OptimalTransport(method="exact").fit(X, Xt=Xt).value_
        assert 0.0 <= model.value_ - optimum <= model.gap_ * (1 + 1e-9) + 1e-12
    else:
        assert model.gap_ >= -1e-12


def test_exact_potentials_are_the_dual_variables(domains):
    X, _, Xt, _ = domains
    model = OptimalTransport(method="exact").fit(X, Xt=Xt)
    f, g = model.potentials_
    slack = model.cost_ - f[:, None] - g
    assert slack.min() >= -1e-9
    P = (
        model.coupling_.toarray()
        if sparse.issparse(model.coupling_)
        else model.coupling_
    )
    np.testing.assert_allclose(slack[P > 1e-12], 0.0, atol=1e-9)
    dual = f @ model.source_weights_ + g @ model.target_weights_
    np.testing.assert_allclose(dual, model.value_, rtol=1e-9)
    assert model.reg_ == 0.0 and abs(model.gap_) <= 1e-9


def test_targets_by_position_are_refused(domains):
    X, y, Xt, _ = domains
    with pytest.raises(ValueError, match=r"fit\(X, Xt=...\)"):
        OptimalTransport().fit(X, Xt)
    with pytest.raises(ValueError, match=r"fit\(X, Xt=...\)"):
        OptimalTransport().fit(X, X.tolist())
    ignored = OptimalTransport().fit(X, y, Xt=Xt)
    np.testing.assert_array_equal(
        ignored.coupling_, OptimalTransport().fit(X, Xt=Xt).coupling_
    )
    OptimalTransport().fit(X, Xt, Xt=Xt)  # y is ignored where targets are named


@pytest.mark.parametrize("method", ["auto", "exact"])
def test_known_labels_are_not_mixed_and_labels_are_carried(method):
    rng = np.random.default_rng(0)
    X, y = make_blobs(90, centers=[[0, 0], [3, 0]], cluster_std=1.2, random_state=0)
    Xt, yt = make_blobs(80, centers=[[1, 1], [4, 1]], cluster_std=1.2, random_state=1)
    known = np.where(rng.random(80) < 0.7, yt, -1)
    model = OptimalTransport(reg=0.02, method=method)
    model.fit(X, Xt=Xt, ys=y, yt=known)
    P = model.coupling_.toarray() if method == "exact" else model.coupling_
    mixed = (y[:, None] != known) & (known != -1)
    free = OptimalTransport(reg=0.02, method=method).fit(X, Xt=Xt).coupling_
    free = free.toarray() if method == "exact" else free
    # As little as the proportions of the labels demand.
    assert P[mixed].sum() < 0.5 * free[mixed].sum()
    carried = model.transform_labels(y)
    assert (carried == yt).mean() > 0.9
    back = model.inverse_transform_labels(known)
    assert set(back) == {0, 1} and (back == y).mean() > 0.85
    names = np.array(["left", "right"])[y]
    np.testing.assert_array_equal(
        model.transform_labels(names), np.array(["left", "right"])[carried]
    )
    moved = model.transform(X)
    np.testing.assert_allclose(moved, P @ Xt / P.sum(axis=1)[:, None], atol=1e-9)
    with pytest.raises(ValueError, match="90 integer labels"):
        model.fit(X, Xt=Xt, ys=y[:5])
    with pytest.raises(ValueError, match="all are -1"):
        model.transform_labels(np.full(90, -1))
    with pytest.raises(ValueError, match="one label for each"):
        model.transform_labels(y[:3])


@pytest.mark.parametrize("n_neighbors", [None, 2])
def test_models_without_a_plan_are_small_and_map_alike(domains, n_neighbors):
    X, _, Xt, _ = domains
    for method in ("auto", "exact"):
        given = {"method": method, "n_neighbors": n_neighbors}
        whole = OptimalTransport(**given).fit(X, Xt=Xt)
        small = OptimalTransport(keep_plan=False, **given).fit(X, Xt=Xt)
        assert small.coupling_ is None and small.cost_ is None
        assert len(pickle.dumps(small)) < 20_000 < len(pickle.dumps(whole))
        new = X + 0.1
        np.testing.assert_array_equal(small.transform(new), whole.transform(new))
        back = small.inverse_transform(Xt)
        np.testing.assert_array_equal(back, whole.inverse_transform(Xt))
        with pytest.raises(ValueError, match="keep_plan=False"):
            small.transform_labels(np.zeros(120, int))


def rotated_moons(seed):
    X, y = make_moons(200, noise=0.1, random_state=seed)
    Xt, yt = make_moons(200, noise=0.1, random_state=seed + 50)
    angle = np.deg2rad(40)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return X, y, Xt @ turn, yt


def test_adaptation_predicts_targets_as_they_are():
    plain, adapted, by_pipeline = [], [], []
    for seed in range(3):
        X, y, Xt, yt = rotated_moons(seed)
        base = KNeighborsClassifier()
        plain.append(base.fit(X, y).score(Xt, yt))
        model = DomainAdaptationClassifier(base).fit(X, y, Xt=Xt)
        adapted.append(model.score(Xt, yt))
        moved = model.transport_.transform(X)
        np.testing.assert_array_equal(
            model.predict(Xt), clone(base).fit(moved, y).predict(Xt)
        )
        wrong = clone(base).fit(moved, y).predict(model.transport_.transform(Xt))
        by_pipeline.append((wrong == yt).mean())
        assert model.certificate_.satisfied
    assert np.mean(adapted) > np.mean(plain) + 0.03
    assert np.mean(adapted) > np.mean(by_pipeline)


def test_adaptation_uses_few_target_labels_weights_and_any_classifier():
    X, y, Xt, yt = rotated_moons(0)
    known = np.full(200, -1)
    known[::5] = yt[::5]
    model = DomainAdaptationClassifier(KNeighborsClassifier(3))
    without = model.fit(X, y, Xt=Xt).score(Xt, yt)
    assert model.fit(X, y, Xt=Xt, yt=known).score(Xt, yt) > without
    weights = np.random.default_rng(0).integers(0, 3, 200).astype(float)
    weighted = DomainAdaptationClassifier().fit(X, y, Xt=Xt, sample_weight=weights)
    assert weighted.predict_proba(Xt).shape == (200, 2)
    assert weighted.decision_function(Xt).shape == (200,)
    alone = DomainAdaptationClassifier().fit(X, y)
    assert alone.transport_ is None
    np.testing.assert_array_equal(
        alone.predict(Xt), LogisticRegression().fit(X, y).predict(Xt)
    )
    assert not hasattr(DomainAdaptationClassifier(LinearSVC()), "predict_proba")
    with pytest.raises(ValueError, match="must be a classifier"):
        DomainAdaptationClassifier(LinearRegression()).fit(X, y)
    with pytest.raises(ValueError, match="same space"):
        DomainAdaptationClassifier().fit(X, y, Xt=np.ones((5, 3)))


@pytest.mark.parametrize("perplexity", [3.0, 5.0, 15.0])
def test_perplexity_with_an_outlier(perplexity):
    X = np.random.default_rng(0).normal(size=(20, 2))
    for far in (10.0, 1e4, 1e7):
        points = np.vstack([X, [[far, far]]])
        model = DoublyStochasticAffinity(perplexity=perplexity, zero_diagonal=True)
        G = model.fit(points).affinity_matrix_
        assert model.certificate_.satisfied
        assert np.abs(G.sum(axis=1) - 1).max() <= 1e-9
        entropy = -(G[G > 0] * np.log(G[G > 0])).sum() / 21
        assert np.exp(entropy) == pytest.approx(perplexity, rel=1e-3)


def test_values_have_two_names():
    C = np.random.default_rng(0).random((8, 6))
    result = sinkhorn(C, reg=0.1)
    assert result.value_linear == result.value
    assert result.value_regularized == result.value_entropic
    P = result.plan
    objective = (P * C).sum() + 0.1 * (P * (np.log(P) - 1)).sum()
    assert result.value_regularized == pytest.approx(objective, rel=1e-10)
    exact = sinkhorn(C, method="exact")
    assert exact.value_regularized == exact.value_linear == exact.value


def test_scores_are_costs_of_the_plan_of_new_samples():
    rng = np.random.default_rng(0)
    X, Y, new = rng.random((9, 2)), rng.random((7, 2)) + 1.0, rng.random((5, 2))
    w = rng.integers(1, 5, 7).astype(float)
    C = ((new[:, None] - Y) ** 2).sum(axis=2)
    for method in ("exact", "auto", "sns"):
        model = OptimalTransport(method=method, reg=0.5, reg_mode="absolute")
        model.fit(X, Xt=Y, sample_weight_t=w)
        plan = sinkhorn(
            C, np.full(5, 0.2), w / w.sum(),
            **({"method": "exact"} if method == "exact" else {"reg": 0.5}),
        )  # fmt: skip
        assert model.score(new) == pytest.approx(-plan.value, rel=1e-7)
        with pytest.raises(ValueError, match="features"):
            model.score(new[:, :1])


@pytest.mark.parametrize("affinity", ["sqeuclidean", "euclidean", "precomputed"])
def test_an_affinity_has_the_strength_of_its_median_cost(affinity):
    X = np.random.default_rng(0).standard_normal((12, 2))
    C = ((X[:, None] - X) ** 2).sum(axis=2)
    C = np.sqrt(C) if affinity == "euclidean" else C
    given = C if affinity == "precomputed" else X
    model = DoublyStochasticAffinity(0.4, affinity=affinity).fit(given)
    off = ~np.eye(12, dtype=bool)
    assert model.reg_ == pytest.approx(0.4 * np.median(C[off]), rel=1e-12)
    G, f, reg = model.affinity_matrix_, model.potential_, model.reg_
    np.testing.assert_allclose(G, np.exp((f[:, None] + f - C) / reg), rtol=1e-9)
    error = np.abs(G.sum(axis=1) - 1.0).max()
    assert error <= model.certificate_.value + 1e-14 <= 1e-9
    assert model.certificate_.satisfied
    assert model.n_iter_ == model.certificate_.details["n_iter"] >= 1
    absolute = DoublyStochasticAffinity(0.4, affinity=affinity, reg_mode="absolute")
    assert absolute.fit(given).reg_ == 0.4
    # Where most costs are zero their mean is the unit.
    C = np.zeros((6, 6))
    C[0, 1:] = C[1:, 0] = 6.0
    flat = DoublyStochasticAffinity(0.5, affinity="precomputed").fit(C)
    assert flat.reg_ == pytest.approx(0.5 * 60.0 / 30.0)
    none = DoublyStochasticAffinity(0.5, affinity="precomputed").fit(0.0 * C)
    assert none.reg_ == 0.5
    pair = DoublyStochasticAffinity(0.5, affinity="precomputed").fit(C[:2, :2])
    assert pair.reg_ == 3.0
    lone = DoublyStochasticAffinity(0.5, affinity="precomputed").fit(C[:1, :1])
    assert lone.reg_ == 0.5 and lone.n_iter_ >= 1
    for part in (C[:, :4], C[:4]):
        with pytest.raises(ValueError, match="square costs"):
            DoublyStochasticAffinity(affinity="precomputed").fit(part)
