"""Forests on rotated features."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.stats import ortho_group
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from sparsestat.ensemble import RotationForestClassifier, RotationForestRegressor
from sparsestat.ensemble._rotations import Scaler, draw_rotation

KINDS = ["pca", "sparse", "random", "rc", None]
OPTIONS = {"group_size": 3, "subsample": 0.75, "density": 1 / 3, "n_components": None}


def table(seed=0, n=120, p=7):
    return make_classification(
        n, p, n_informative=4, n_redundant=1, n_classes=3, random_state=seed
    )


def oblique(n, rng):
    """Two classes on either side of a plane in a few correlated features."""
    base = rng.normal(size=(n, 1))
    X = base + 0.3 * rng.normal(size=(n, 6))
    return X, (X[:, 0] + X[:, 1] - X[:, 2] - X[:, 3] > 0).astype(int)


@pytest.mark.parametrize("kind", ["pca", "random"])
@pytest.mark.parametrize("p", [1, 2, 7, 10])
def test_rotations_are_orthogonal(kind, p, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    X, codes = rng.normal(size=(40, p)), rng.integers(0, 3, 40)
    R = draw_rotation(kind, X, codes=codes, weights=None, options=OPTIONS, rng=rng)
    R = R.toarray() if sparse.issparse(R) else R
    assert_allclose(R.T @ R, np.eye(p), atol=1e-12)


def test_principal_axes_are_those_of_the_group():
    rng = np.random.default_rng(0)
    X = (
        rng.normal(size=(200, 3))
        @ np.diag([3.0, 2.0, 1.0])
        @ ortho_group.rvs(3, random_state=0)
    )
    options = {**OPTIONS, "subsample": 1.0}
    R = draw_rotation("pca", X, codes=None, weights=None, options=options, rng=rng)
    V = np.linalg.svd(X - X.mean(axis=0))[2].T
    assert_allclose(abs(V.T @ R.toarray()), np.eye(3), atol=1e-10)
    assert (R.toarray()[abs(R.toarray()).argmax(axis=0), np.arange(3)] > 0).all()


def test_haar_rotations_have_no_favorite_direction():
    traces = [
        np.trace(
            draw_rotation(
                "random",
                np.zeros((1, 4)),
                codes=None,
                weights=None,
                options=OPTIONS,
                rng=np.random.default_rng(seed),
            )
        )
        for seed in range(800)
    ]
    # The trace of a Haar matrix has mean 0 and variance 1.
    assert abs(np.mean(traces)) < 4 / np.sqrt(800)
    assert abs(np.var(traces) - 1) < 0.25


def test_sparse_and_few_feature_rotations_have_their_form():
    rng = np.random.default_rng(1)
    X = np.zeros((5, 40))
    options = {**OPTIONS, "n_components": 300, "density": 0.1}
    R = draw_rotation("sparse", X, codes=None, weights=None, options=options, rng=rng)
    assert R.shape == (40, 300) and (np.diff(R.tocsc().indptr) > 0).all()
    assert abs(R.nnz / (40 * 300) - 0.1) < 0.02
    assert_allclose(abs(R.data), 1 / np.sqrt(0.1 * 300))
    R = draw_rotation("rc", X, codes=None, weights=None, options=options, rng=rng)
    assert (np.diff(R.tocsc().indptr) == 3).all() and abs(R.data).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_nothing(kind):
    X, y = table()
    for cls in (RotationForestClassifier, RotationForestRegressor):
        parameters = {"rotation": kind, "trees_per_rotation": 3, "random_state": 0}
        one = cls(8, **parameters).fit(X, y)
        two = cls(8, n_jobs=2, **parameters).fit(X, y)
        assert_array_equal(one.predict(X), two.predict(X))
        assert len(one.estimators_) == 8 and len(one.rotations_) == 3


def test_without_rotation_it_is_a_bag_of_trees():
    X, y = table()
    model = RotationForestClassifier(
        5, rotation=None, scaling=None, random_state=0
    ).fit(X, y)
    X32 = (X * model._scaler.factor).astype(np.float32)
    expected = np.zeros((len(X), 3))
    for grown in model.estimators_:
        seed = grown.random_state
        drawn = np.random.RandomState(seed).randint(0, len(X), len(X))
        tree = DecisionTreeClassifier(max_features="sqrt", random_state=seed)
        counts = np.bincount(drawn, minlength=len(X)).astype(float)
        expected += tree.fit(X32, y, sample_weight=counts).predict_proba(X32) / 5
    assert_allclose(model.predict_proba(X), expected, atol=1e-15)


def test_without_rotation_it_is_as_good_as_a_random_forest():
    scores = []
    for seed in range(8):
        X, y = table(seed, n=400)
        for model in (
            RotationForestClassifier(40, rotation=None, random_state=seed),
            RandomForestClassifier(40, random_state=seed),
        ):
            scores.append(model.fit(X[:200], y[:200]).score(X[200:], y[200:]))
    ours, theirs = np.reshape(scores, (8, 2)).T
    assert abs((ours - theirs).mean()) < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_origins_and_common_units_do_not_matter(kind, global_random_seed):
    X, y = table(global_random_seed)
    model = RotationForestClassifier(10, rotation=kind, random_state=0)
    expected = model.fit(X, y).predict_proba(X)
    for other in (X * 2.0**50, X + 16.0):
        found = model.fit(other, y).predict_proba(other)
        assert (abs(found - expected) > 1e-9).mean() < 0.02  # thresholds may be tied


def test_random_rotations_do_not_see_a_rotation_of_the_data():
    rng = np.random.default_rng(0)
    gains = {"random": [], None: []}
    for seed in range(10):
        X = rng.normal(size=(300, 8))
        y = (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 0)
        turned = X @ ortho_group.rvs(8, random_state=seed)
        for kind, found in gains.items():
            model = RotationForestClassifier(
                30, rotation=kind, scaling=None, random_state=seed
            )
            scores = [
                model.fit(Z[:150], y[:150]).score(Z[150:], y[150:]) for Z in (X, turned)
            ]
            found.append(scores[0] - scores[1])
    error = np.std(gains["random"]) / np.sqrt(10)
    assert abs(np.mean(gains["random"])) < 3 * error
    assert np.mean(gains[None]) > 0.03  # trees along the axes do see it


def test_oblique_classes_are_where_rotations_win():
    rng = np.random.default_rng(1)
    differences = []
    for seed in range(4):
        X, y = oblique(600, rng)
        scores = [
            RotationForestClassifier(30, rotation=kind, random_state=seed)
            .fit(X[:300], y[:300])
            .score(X[300:], y[300:])
            for kind in ("random", None)
        ]
        differences.append(scores[0] - scores[1])
    assert np.mean(differences) > 0.02


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cls", [RotationForestClassifier, RotationForestRegressor])
def test_weights_are_repetitions(kind, cls):
    rng = np.random.default_rng(2)
    X, y = table(n=60)
    if cls is RotationForestRegressor:
        y = X @ np.arange(7.0)
    counts = rng.integers(0, 4, 60)
    # A node of one repeated row draws features to no use: all of them are drawn here.
    parameters = {"bootstrap": False, "subsample": 1.0, "max_features": None}
    weighted, repeated = (
        cls(5, rotation=kind, random_state=0, max_depth=3, **parameters)
        for _ in range(2)
    )
    weighted.fit(X, y, sample_weight=counts)
    repeated.fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    for one, other in zip(weighted.rotations_, repeated.rotations_, strict=True):
        if kind is not None:
            assert abs(one - other).max() < 1e-12
    found, expected = (
        model.predict_proba(X) if cls is RotationForestClassifier else model.predict(X)
        for model in (weighted, repeated)
    )
    assert_allclose(found[counts > 0], expected[counts > 0], atol=1e-9)
    # Features that part the rows alike are tied, and may part others otherwise.
    assert (abs(found - expected) > 1e-9).mean() < 0.25


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_samples_are_the_dense_ones(kind):
    X, y = table()
    X[abs(X) < 0.7] = 0.0
    model = RotationForestClassifier(10, rotation=kind, random_state=0)
    expected = model.fit(X, y).predict_proba(X)
    found = model.fit(sparse.csr_array(X), y).predict_proba(sparse.csc_array(X))
    # Not centered: thresholds are rounded at another place.
    assert (abs(found - expected) > 1e-6).mean() < 0.05


def test_unseen_samples_are_scored():
    X, y = table(n=300)
    model = RotationForestClassifier(40, oob_score=True, random_state=0).fit(X, y)
    held_out = RotationForestClassifier(40, random_state=0).fit(X[:150], y[:150])
    assert abs(model.oob_score_ - held_out.score(X[150:], y[150:])) < 0.15
    assert_allclose(model.oob_decision_function_.sum(axis=1), 1)
    target = X @ np.arange(7.0)
    regressor = RotationForestRegressor(40, oob_score=True, random_state=0)
    assert regressor.fit(X, target).oob_score_ > 0.5
    with pytest.warns(UserWarning, match="no out-of-bag answer"):
        RotationForestClassifier(1, oob_score=True, random_state=0).fit(X, y)


def test_importances_fall_on_the_features_that_matter():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 8))
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    for kind in KINDS:
        model = RotationForestClassifier(30, rotation=kind, random_state=0).fit(X, y)
        found = model.feature_importances_
        assert_allclose(found.sum(), 1)
        assert set(np.argsort(-found)[:2]) == {0, 1}


def test_leaves_probabilities_and_class_weights():
    X, y = table()
    names = np.array(["a", "b", "c"])[y]
    model = RotationForestClassifier(6, class_weight="balanced", random_state=0)
    model.fit(X, names)
    assert model.apply(X).shape == (len(X), 6)
    assert_array_equal(model.classes_, ["a", "b", "c"])
    P = model.predict_proba(X)
    assert_array_equal(model.predict(X), model.classes_[P.argmax(axis=1)])
    assert_allclose(np.exp(model.predict_log_proba(X)), P, rtol=1e-12)
    one = RotationForestClassifier(3, random_state=0).fit(X, np.zeros(len(X)))
    assert (one.predict_proba(X) == 1).all() and one.predict_proba(X).shape[1] == 1


def test_targets_may_be_far_from_zero_and_tiny():
    X, _ = table()
    y = X @ np.arange(7.0)
    # Targets lose digits: what is drawn at nodes of equal ones must not matter.
    parameters = {"bootstrap": False, "max_features": None, "max_depth": 5}
    model = RotationForestRegressor(10, random_state=0, **parameters)
    expected = model.fit(X, y).predict(X)
    moved = model.fit(X, y + 2.0**30).predict(X) - 2.0**30
    assert_allclose(moved, expected, rtol=0, atol=2.0**-21)
    model = RotationForestRegressor(10, random_state=0)
    expected = model.fit(X, y).predict(X)
    assert_allclose(model.fit(X, y * 2.0**-200).predict(X) * 2.0**200, expected)


def test_ranks_are_between_zero_and_one():
    rng = np.random.default_rng(4)
    X = np.exp(3 * rng.normal(size=(3000, 2)))
    scaled = Scaler(X, None, "rank")(X)
    assert scaled.min() > 0 and scaled.max() < 1
    expected = (np.argsort(np.argsort(X[:, 0])) + 0.5) / 3000
    assert_allclose(scaled[:, 0], expected, atol=2e-3)
    weights = rng.integers(1, 4, 3000)
    repeated = Scaler(np.repeat(X, weights, axis=0), None, "rank")(X)
    assert_allclose(Scaler(X, weights, "rank")(X), repeated, atol=1e-12)


def test_contradictions_are_refused(monkeypatch):
    X, y = table()
    for parameters, words in [
        ({"oob_score": True, "bootstrap": False}, "needs bootstrap=True"),
        ({"group_size": 0}, "group_size"),
        ({"density": 0.0}, "density"),
        ({"density": 1.5}, "density"),
        ({"rotation": "other"}, "rotation"),
    ]:
        with pytest.raises(ValueError, match=words):
            RotationForestClassifier(2, **parameters).fit(X, y)
    with pytest.raises(TypeError, match="dense"):
        RotationForestClassifier(2, scaling="rank").fit(sparse.csr_array(X), y)
    monkeypatch.setattr("sparsestat.ensemble._groups._MAX_DENSE", 100)
    with pytest.raises(ValueError, match="smaller n_components"):
        RotationForestClassifier(2).fit(sparse.csr_array(X), y)
    few = RotationForestClassifier(2, rotation="rc", n_components=1, random_state=0)
    monkeypatch.setattr("sparsestat.ensemble._groups._MAX_DENSE", 120)
    few.fit(sparse.csr_array(X), y)
