"""Frechet means of probabilities, and the labels they can reach."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from sparsestat.multiclass import FrechetMeanClassifier, _metrics, locus, next_label
from sparsestat.multiclass._metrics import TreeMetric


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose features are its probabilities."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.asarray(X, dtype=float)


def metric_on(n, rng):
    points = rng.normal(size=(n, 3))
    return cdist(points, points)


def path(n):
    return np.abs(np.subtract.outer(np.arange(float(n)), np.arange(float(n))))


def probabilities(n, k, rng):
    P = rng.gamma(0.5, size=(n, k))
    return P / P.sum(axis=1, keepdims=True)


def fitted(observed, **parameters):
    model = FrechetMeanClassifier(Given(), **parameters)
    return model.fit(np.zeros((len(observed), 1)), observed)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_predictions_are_brute_force(power, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    D, observed = metric_on(15, rng), np.array([1, 4, 7, 12])
    P = probabilities(40, 4, rng)
    model = fitted(observed, distances=D, power=power)
    expected = np.array(
        [
            [
                sum(p[k] * D[y, o] ** power for k, o in enumerate(observed))
                for y in range(15)
            ]
            for p in P
        ]
    )
    assert_allclose(model.frechet_variances(P), expected, rtol=1e-12)
    assert_array_equal(model.predict(P), expected.argmin(axis=1))
    assert_array_equal(model.predict_proba(P), P)


def test_equal_distances_give_the_most_likely_label(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    P = probabilities(200, 5, rng)
    P[0] = [0.1, 0.4, 0.4, 0.05, 0.05]
    names = np.array(["a", "b", "c", "d", "e"])
    for parameters in (
        {},
        {"labels": names, "distances": 1 - np.eye(5)},
        {"labels": [*names, "never"]},
    ):
        model = fitted(names, **parameters)
        assert_array_equal(model.predict(P), names[P.argmax(axis=1)])


def test_between_two_likely_labels_lies_a_third():
    model = fitted([0, 4], distances=path(5))
    share = np.linspace(0, 1, 5)
    P = np.column_stack([1 - share, share])
    assert_array_equal(model.predict(P), [0, 1, 2, 3, 4])
    grid = np.array([[i, j] for i in range(3) for j in range(3)])
    D = cdist(grid, grid, "cityblock")
    assert fitted([0, 8], distances=D).predict([[0.5, 0.5]])[0] in (2, 4, 6)
    assert fitted([0, 2, 6, 8], distances=D).predict([[0.25] * 4])[0] == 4


def test_all_forms_of_a_metric_agree(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    n, observed = 30, np.array([2, 5, 11, 29])
    P = probabilities(20, 4, rng)
    parents = np.array([-1, *(rng.integers(0, i) for i in range(1, n))])
    lengths = rng.uniform(0.5, 2.0, n)
    child = np.arange(1, n)
    graph = sparse.coo_array((lengths[1:], (child, parents[1:])), shape=(n, n))
    D = TreeMetric(parents, lengths).rows(np.arange(n))
    assert_allclose(D, D.T)
    expected = fitted(observed, distances=D).frechet_variances(P)
    tree = {"distances": "tree", "parents": parents, "edge_lengths": lengths}
    for parameters in (tree, {"distances": graph}, {"distances": graph.tocsr()}):
        assert_allclose(fitted(observed, **parameters).frechet_variances(P), expected)
    vectors = rng.normal(size=(n, 3))
    for metric in ("euclidean", "cosine"):
        D = cdist(vectors, vectors, metric)
        np.fill_diagonal(D, 0.0)
        model = fitted(observed, label_embeddings=vectors, metric=metric)
        expected = np.array(
            [[(p * D[y, observed] ** 2).sum() for y in range(n)] for p in P]
        )
        assert_allclose(model.frechet_variances(P), expected, atol=1e-12)


@pytest.mark.parametrize("block", [8, 400, 3000])
def test_blocks_change_nothing(block, monkeypatch, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    P, observed = probabilities(37, 6, rng), np.arange(6) * 3
    parents = np.array([-1, *(rng.integers(0, i) for i in range(1, 20))])
    for parameters in ({}, {"distances": "tree", "parents": parents}):
        parameters = {"labels": np.arange(20), **parameters}
        model = fitted(observed, **parameters)
        expected, best = model.frechet_variances(P), model.predict(P)
        with monkeypatch.context() as patch:
            patch.setattr(_metrics, "_BLOCK_BYTES", block)
            assert_allclose(model.frechet_variances(P), expected, rtol=1e-13)
            assert_array_equal(model.predict(P), best)


def test_units_of_distance_do_not_matter(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    D, P = metric_on(12, rng), probabilities(30, 3, rng)
    expected = fitted([0, 5, 9], distances=D).predict(P)
    for factor in (2.0**-100, 2.0**100):
        found = fitted([0, 5, 9], distances=D * factor).predict(P)
        assert_array_equal(found, expected)


def test_a_large_tree_needs_no_square_matrix():
    n = 30_000
    parents = np.maximum(np.arange(n) - 1, 0)  # a path
    parents[0] = -1
    model = fitted([0, n - 1], distances="tree", parents=parents)
    assert_array_equal(model.predict([[0.25, 0.75], [1.0, 0.0]]), [22499, 0])


def test_held_out_digits_are_predicted_by_their_place():
    """Labels are angles; the classifier sees half of them."""
    rng = np.random.default_rng(0)
    angle = rng.integers(0, 12, 600)
    X = np.column_stack([np.cos(angle * np.pi / 6), np.sin(angle * np.pi / 6)])
    X += 0.1 * rng.normal(size=X.shape)
    seen = angle % 2 == 0
    step = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    circle = np.minimum(step, 12 - step)
    model = FrechetMeanClassifier(LogisticRegression(C=10), distances=circle)
    model.fit(X[seen], angle[seen])
    assert (model.predict(X[~seen]) == angle[~seen]).mean() > 0.7
    plain = model.estimator_.predict(X[~seen])
    assert (plain == angle[~seen]).mean() == 0


def test_fitted_classifiers_and_weights_are_used():
    rng = np.random.default_rng(1)
    X = np.repeat([[0.0], [4.0]], 20, axis=0) + rng.normal(size=(40, 1))
    y = np.repeat([0, 4], 20)
    inner = GaussianNB().fit(X, y)
    frozen = FrechetMeanClassifier(FrozenEstimator(inner), distances=path(5))
    frozen.fit(X[:1], y[:1])
    assert_array_equal(frozen.predict_proba(X), inner.predict_proba(X))
    assert set(frozen.predict(X)) <= set(range(5))
    weights = np.where(y == 0, 1.0, 3.0)
    model = FrechetMeanClassifier(GaussianNB()).fit(X, y, sample_weight=weights)
    assert_allclose(model.estimator_.class_prior_, [0.25, 0.75])
    with pytest.raises(ValueError, match="does not take sample_weight"):
        FrechetMeanClassifier(KNeighborsClassifier()).fit(X, y, sample_weight=weights)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"distances": np.ones((2, 3))}, "square matrix"),
        ({"distances": -path(5)}, "must not be negative"),
        ({"distances": path(5) + np.eye(5)}, "distance 0 from itself"),
        ({"distances": np.triu(path(5))}, "must be symmetric"),
        ({"distances": path(3)}, r"classes \[4\] of y are not among"),
        ({"distances": path(5), "labels": [0, 1, 2, 3]}, "4 labels, but the metric"),
        ({"distances": path(5), "labels": list("abcde")}, "not among the 5 labels"),
        ({"distances": path(5), "labels": [0, 1, 2, 4, 4]}, "distinct"),
        ({"distances": path(5), "labels": [0, 4, 1, 2, np.nan]}, "NaN"),
        ({"distances": path(5), "label_embeddings": path(5)}, "not both"),
        ({"distances": "tree"}, "go together"),
        ({"parents": [-1, 0]}, "go together"),
        ({"edge_lengths": [1.0]}, "pass distances='tree'"),
        ({"distances": "tree", "parents": [1, 0, -1, 2, 2]}, "cycle"),
        ({"distances": "tree", "parents": [-1, -1, 0, 0, 0]}, "one root"),
        ({"distances": "tree", "parents": [-1, 9, 0, 0, 0]}, "below 5"),
        ({"distances": "tree", "parents": [-1.0, 0.0]}, "array of integers"),
        (
            {"distances": "tree", "parents": [-1, 0, 1, 2, 3], "edge_lengths": [1.0]},
            r"shape \(5,\)",
        ),
        (
            {
                "distances": "tree",
                "parents": [-1, 0, 1, 2, 3],
                "edge_lengths": [0, -1, 1, 1, 1],
            },
            "must not be negative",
        ),
        (
            {"distances": sparse.csr_array(np.eye(5, k=1) * [1, 1, 0, 1, 1])},
            "not connected",
        ),
        ({"label_embeddings": np.zeros((5, 2)), "metric": "cosine"}, "no direction"),
        ({"power": 0}, "power"),
        ({"estimator": RidgeClassifier()}, "estimator"),
    ],
)
def test_bad_metrics_are_refused(parameters, words):
    X, y = np.arange(20.0)[:, None], np.repeat([0, 4], 10)
    model = FrechetMeanClassifier(GaussianNB()).set_params(**parameters)
    with pytest.raises(ValueError, match=words):
        model.fit(X, y).predict(X)


def test_broken_triangles_warn():
    D = path(5)
    D[0, 4] = D[4, 0] = 9.0
    with pytest.warns(UserWarning, match="break the triangle inequality"):
        fitted([0, 4], distances=D)


# The locus


def paths_between(parents, observed):
    """The union of the paths between observed nodes of a tree."""

    def up(v):
        out = [v]
        while parents[v] >= 0:
            v = parents[v]
            out.append(v)
        return out

    inside = set(observed)
    for a in observed:
        for b in observed:
            inside |= set(up(a)) ^ set(up(b))
            inside.add(next(v for v in up(a) if v in up(b)))
    return sorted(inside)


def test_the_locus_of_a_tree_is_the_union_of_paths(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    for _ in range(5):
        parents = np.array([-1, *(rng.integers(0, i) for i in range(1, 14))])
        D = TreeMetric(parents).rows(np.arange(14))
        leaves = np.setdiff1d(np.arange(14), parents)
        observed = rng.choice(leaves, min(3, len(leaves)), replace=False)
        assert_array_equal(locus(D, observed), paths_between(parents, observed))


def test_the_locus_is_what_random_probabilities_reach(global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    D, observed = metric_on(12, rng), [0, 3, 8]
    P = probabilities(20_000, 3, rng)
    reached = np.unique((P @ D[observed] ** 2).argmin(axis=1))
    inside = locus(D, observed)
    assert set(reached) <= set(inside)
    assert set(observed) <= set(inside)


def test_the_next_label_is_the_farthest_from_the_locus():
    D = path(9)
    assert next_label(D, [3, 5]) == 0  # as far as 8, and lower
    assert next_label(D, [0, 5]) == 8
    assert next_label(D, [0, 8]) is None
    mask = np.zeros(9, bool)
    mask[[0, 5]] = True
    assert next_label(D, mask) == 8


@pytest.mark.parametrize(
    "observed", [[], [9], [-1], [0.5], ["a"], [[0]], np.zeros(9, bool), None]
)
def test_observed_labels_are_checked(observed):
    with pytest.raises(ValueError, match="observed must"):
        locus(path(9), observed)


def test_powers_are_checked():
    with pytest.raises(ValueError, match="power must be"):
        locus(path(4), [0], power=0)
