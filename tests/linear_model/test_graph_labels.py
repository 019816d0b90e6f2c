"""Labels on graphs: against a direct solve, the maximum principle, the odd cases."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
import tracemalloc
import warnings
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.sparse.linalg import spsolve
from sklearn.datasets import load_digits, make_moons
from sklearn.utils.estimator_checks import check_classifiers_classes

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.linear_model import GraphLabelPropagation, GraphLabelRegressor
from sparsestat.linear_model._graphs import _solvers as solvers
from sparsestat.linear_model._graphs._harmonic import _even_graph, _residual
from sparsestat.linear_model._graphs._solvers import METHODS
from sparsestat.linear_model._graphs._walks import walk_values


def moons(n=300, n_labeled=20, seed=0):
    X, classes = make_moons(n, noise=0.05, random_state=seed)
    y = np.full(n, -1)
    chosen = np.random.default_rng(seed).choice(n, n_labeled, replace=False)
    y[chosen] = classes[chosen]
    return X, y, classes


def geometric_graph(n=200, k=5, seed=0):
    """Return a symmetric weighted neighbor graph with several components or one."""
    from sklearn.neighbors import kneighbors_graph

    rng = np.random.default_rng(seed)
    W = kneighbors_graph(rng.random((n, 2)), k)
    W = sparse.csr_array(W.maximum(W.T))
    upper = sparse.triu(W, 1).tocsr()
    upper.data = rng.uniform(0.1, 2.0, upper.nnz)
    return sparse.csr_array(upper + upper.T)


def reference(W, labeled, Y):
    """Solve the Laplacian system by a factorization; NaN where no label is near."""
    W = sparse.csr_array(W)
    L = sparse.csr_array(sparse.diags_array(W.sum(axis=1)) - W)
    parts = sparse.csgraph.connected_components(W)[1]
    reach = np.isin(parts, parts[labeled])
    u = np.flatnonzero(reach & ~labeled)
    values = np.full(Y.shape, np.nan)
    values[labeled] = Y[labeled]
    A = sparse.csc_array(L[u][:, u])
    B = W[u][:, np.flatnonzero(labeled)] @ Y[labeled]
    values[u] = spsolve(A, B).reshape(len(u), -1)
    return values


def residual(graph, labeled, values, center):
    """Return the certificate's quantity from what the estimator returned."""
    W = sparse.csr_array(graph)
    degrees = W.sum(axis=1)
    G = (sparse.diags_array(degrees) @ values - W @ values)[~labeled]
    B = W[~labeled][:, labeled] @ (values[labeled] - center)
    worst = 0.0
    for scale in (1.0, degrees[~labeled][:, None]):
        norms = np.linalg.norm(B / scale, axis=0)
        found = np.linalg.norm(G / scale, axis=0)
        norms = np.where(norms > 0, norms, max(norms.max(), 1e-300))
        worst = max(worst, (found / norms).max())
    return worst


@pytest.mark.parametrize("method", METHODS)
def test_values_equal_a_direct_solve(method, global_random_seed):
    W = geometric_graph(seed=global_random_seed)
    rng = np.random.default_rng(global_random_seed)
    y = np.full(W.shape[0], np.nan)
    chosen = rng.choice(len(y), 40, replace=False)
    y[chosen] = rng.standard_normal(40)
    # One label in each component, so that every node is reached.
    parts = sparse.csgraph.connected_components(W)[1]
    for part in np.setdiff1d(parts, parts[chosen]):
        y[np.flatnonzero(parts == part)[0]] = 0.5
    labeled = ~np.isnan(y)
    model = GraphLabelRegressor(
        "precomputed", method=method, tol=1e-11, max_iter=20_000
    ).fit(W, y)
    expected = reference(W, labeled, y[:, None])[:, 0]
    assert_allclose(model.transduction_, expected, atol=1e-8)
    assert model.certificate_.satisfied
    outside = residual(
        model.graph_, labeled, model.transduction_[:, None], y[labeled].mean()
    )
    assert outside <= 1.1e-11
    # The maximum principle, to the last digit.
    assert model.transduction_.min() >= y[labeled].min()
    assert model.transduction_.max() <= y[labeled].max()
    assert_array_equal(model.transduction_[labeled], y[labeled])
    assert len(model.history_) == model.n_iter_ + 1 or method == "direct"
    assert model.history_[-1] == model.certificate_.value


@pytest.mark.parametrize("method", METHODS)
def test_classes_share_one_system(method):
    X, classes = load_digits(return_X_y=True)
    X, classes = X[:400], classes[:400]
    y = np.full(400, -1)
    y[:60] = classes[:60]
    with warnings.catch_warnings():
        # Fixed blocks are slow on this graph, which is not what is tested here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = GraphLabelPropagation(method=method, max_iter=5000, tol=1e-9).fit(X, y)
    expected = reference(model.graph_, y != -1, np.eye(10)[np.maximum(y, 0)])
    atol = 1e-7 if model.certificate_.satisfied else 1e-2
    assert_allclose(model.label_distributions_, expected, atol=atol)
    assert_allclose(model.label_distributions_.sum(axis=1), 1, atol=1e-1 * atol + 1e-6)
    assert model.label_distributions_.min() >= 0
    assert model.label_distributions_.max() <= 1
    assert (model.transduction_[60:] == classes[60:]).mean() > 0.85
    assert_array_equal(model.transduction_, model.predict(X))
    assert (model.forests_ is None) == (method in ("direct", "greedy_tree", "gs"))
    if model.forests_ is not None:
        assert_array_equal(model.forests_ >= 0, y == -1)


def test_the_number_of_threads_changes_nothing():
    X, digits = load_digits(return_X_y=True)
    y = np.where(np.arange(len(digits)) < 80, digits, -1)
    one = GraphLabelPropagation().fit(X, y)
    two = GraphLabelPropagation(n_jobs=2).fit(X, y)
    assert_array_equal(one.label_distributions_, two.label_distributions_)
    assert one.n_iter_ == two.n_iter_


def test_labels_of_any_type_and_order_mean_the_same():
    X, y, _ = moons()
    plain = GraphLabelPropagation().fit(X, y)
    names = np.array(["left", "right"], dtype=object)
    text = np.where(y == -1, -1, names[np.maximum(y, 0)]).astype(object)
    text[y == -1] = -1
    model = GraphLabelPropagation().fit(X, text)
    assert model.classes_.tolist() == ["left", "right"]
    assert_array_equal(model.transduction_, names[plain.transduction_])
    # An array of strings turns -1 into text.
    model = GraphLabelPropagation().fit(X, text.astype(str))
    assert_array_equal(model.transduction_, names[plain.transduction_].astype(str))
    # Other numbers; unsorted nodes.
    order = np.random.default_rng(0).permutation(len(y))
    other = GraphLabelPropagation().fit(X[order], np.where(y == -1, -1, y + 5)[order])
    assert_allclose(
        other.label_distributions_, plain.label_distributions_[order], atol=1e-6
    )
    assert other.classes_.tolist() == [5, 6]


def test_minus_one_is_no_class_but_all_else_of_that_check_holds():
    # The check that is exempted also tries the classes -1 and 1.
    with pytest.raises(AssertionError, match="classes_"):
        check_classifiers_classes("GraphLabelPropagation", GraphLabelPropagation())
    X, _, classes = moons(60)
    for labels in (classes, np.array(["one", "two"])[classes], classes == 1):
        model = GraphLabelPropagation().fit(X, labels)
        assert_array_equal(model.classes_, np.unique(labels))
        assert_array_equal(model.predict(X), labels)


def two_islands():
    """Return a graph of two paths, the second without a label."""
    link = np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    W = sparse.diags_array([link, link], offsets=[-1, 1], shape=(6, 6))
    return sparse.csr_array(W)


def test_components_without_label_get_the_prior_or_nothing():
    W = two_islands()
    y = np.array([3, 4, 3, -1, -1, -1])
    with pytest.warns(UserWarning, match="3 nodes are in components") as caught:
        model = GraphLabelPropagation("precomputed").fit(W, y)
    assert len(caught) == 1
    assert "n_neighbors" not in str(caught[0].message)  # of no use to a given graph
    assert_allclose(model.label_distributions_[3:], np.tile([2 / 3, 1 / 3], (3, 1)))
    assert model.transduction_[3:].tolist() == [3, 3, 3]
    assert model.certificate_.satisfied
    assert model.certificate_.details["n_unreachable"] == 3
    with pytest.warns(UserWarning, match="stay unlabeled"):
        model = GraphLabelPropagation("precomputed", unreachable="unlabeled").fit(W, y)
    assert model.transduction_[3:].tolist() == [-1, -1, -1]
    assert (model.label_distributions_[3:] == 0).all()
    assert model.predict(W)[4] == -1
    assert_allclose(model.predict_proba(W).sum(axis=1), 1)
    names = np.array(["b", "a", "b", -1, -1, -1], dtype=object)
    with pytest.warns(UserWarning):
        model = GraphLabelPropagation("precomputed", unreachable="unlabeled")
        assert model.fit(W, names).transduction_.tolist() == [*names[:3], -1, -1, -1]
    values = np.array([1.0, np.nan, 3.0, np.nan, np.nan, np.nan])
    with pytest.warns(UserWarning, match="mean of the given"):
        model = GraphLabelRegressor("precomputed").fit(W, values)
    assert_allclose(model.transduction_, [1, 2, 3, 2, 2, 2])
    with pytest.warns(UserWarning):
        model = GraphLabelRegressor("precomputed", unreachable="unlabeled")
        model.fit(W, values)
    assert np.isnan(model.transduction_[3:]).all()
    assert np.isnan(model.predict(W)[3:]).all()


def test_the_old_spelling_of_unlabeled_warns_and_counts():
    y = np.array([0, 1, 0, -1, -1, -1])
    old = GraphLabelPropagation("precomputed", unreachable="unlabelled")
    with pytest.warns(FutureWarning, match="unreachable='unlabeled'` since 0.2"):
        with pytest.warns(UserWarning, match="stay unlabeled"):
            old.fit(two_islands(), y)
    assert old.transduction_[3:].tolist() == [-1, -1, -1]


def test_isolated_nodes_loops_and_explicit_zeros():
    W = two_islands().tolil()
    W[0, 0] = 7.0  # a loop does not matter
    W = sparse.csr_array(W)
    rows = sparse.coo_array(([0.0, 0.0], ([0, 5], [5, 0])), shape=W.shape)
    W = W.tocoo()
    W = sparse.csr_array(
        (
            np.r_[W.data, rows.data],
            (np.r_[W.row, rows.row], np.r_[W.col, rows.col]),
        ),
        shape=W.shape,
    )
    y = np.array([0.0, np.nan, 1.0, np.nan, np.nan, np.nan])
    with pytest.warns(UserWarning, match="3 nodes"):
        model = GraphLabelRegressor("precomputed").fit(W, y)
    assert model.transduction_[1] == pytest.approx(0.5)


def test_several_targets_share_the_sweep():
    W = geometric_graph(seed=3)
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((W.shape[0], 3))
    Y[60:] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GraphLabelRegressor("precomputed", tol=1e-11).fit(W, Y)
        for k in range(3):
            single = GraphLabelRegressor("precomputed", tol=1e-11).fit(W, Y[:, k])
            assert_allclose(model.transduction_[:, k], single.transduction_, atol=1e-9)
    assert model.predict(W).shape == (200, 3)
    Y[0, 0] = np.nan
    with pytest.raises(ValueError, match="Row 0 of y has values for some"):
        GraphLabelRegressor("precomputed").fit(W, Y)


def test_prediction_is_the_mean_of_the_neighbors_and_keeps_seen_rows():
    X, y, _ = moons()
    for weight in ("binary", "heat"):
        model = GraphLabelPropagation(weight=weight).fit(X, y)
        assert_allclose(model.predict_proba(X), model.label_distributions_, atol=1e-12)
        new = X[:5] + 1e-3
        distance, index = model._index.kneighbors(new)
        weights = np.ones_like(distance)
        if weight == "heat":
            weights = np.exp(-model.gamma_ * distance**2)
        weights /= weights.sum(axis=1, keepdims=True)
        expected = (weights[:, :, None] * model.label_distributions_[index]).sum(axis=1)
        assert_allclose(model.predict_proba(new), expected, atol=1e-12)
    # Far away, where every weight underflows, the nearest rows still decide.
    far = model.predict_proba([[1e6, 0.0]])
    assert np.isfinite(far).all()


def test_sparse_dense_and_single_precision_features_give_the_same():
    X, y, _ = moons(120)
    dense = GraphLabelPropagation().fit(X, y)
    for other in (sparse.csr_array(X), sparse.coo_matrix(X), X.astype(np.float32)):
        model = GraphLabelPropagation().fit(other, y)
        assert_allclose(
            model.label_distributions_, dense.label_distributions_, atol=1e-6
        )
        assert_array_equal(model.predict(other), model.transduction_)


def test_precomputed_graph_equals_the_one_that_was_built():
    X, y, _ = moons()
    built = GraphLabelPropagation(weight="heat", gamma=2.0).fit(X, y)
    given = built.graph_.copy()
    before = given.copy()
    model = GraphLabelPropagation("precomputed").fit(given, y)
    assert_allclose(model.label_distributions_, built.label_distributions_, atol=1e-12)
    assert (given != before).nnz == 0
    dense = GraphLabelPropagation("precomputed").fit(given.toarray(), y)
    assert_array_equal(dense.label_distributions_, model.label_distributions_)
    large = given.copy()
    large.indices, large.indptr = (
        large.indices.astype(np.int64),
        large.indptr.astype(np.int64),
    )
    model = GraphLabelPropagation("precomputed").fit(large, y)
    assert_array_equal(dense.label_distributions_, model.label_distributions_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda W: W[:, :4], "must be square"),
        (lambda W: -W, "[Nn]egative"),
        (lambda W: sparse.triu(W).tocsr(), "must be symmetric"),
    ],
)
def test_bad_graphs_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        GraphLabelPropagation("precomputed").fit(
            change(two_islands()), [0, 1, -1, 0, 1, -1]
        )


def test_bad_labels_are_refused():
    W = two_islands()
    with pytest.raises(ValueError, match="No node is labeled"):
        GraphLabelPropagation("precomputed").fit(W, np.full(6, -1))
    with pytest.raises(ValueError, match="No node has a value"):
        GraphLabelRegressor("precomputed").fit(W, np.full(6, np.nan))
    with pytest.raises(ValueError, match="infinity"):
        GraphLabelRegressor("precomputed").fit(W, np.full(6, np.inf))
    with pytest.raises(ValueError, match="Unknown label type"):
        GraphLabelPropagation("precomputed").fit(W, [0.5, 0.7, -1, 1, 1, -1])
    with pytest.raises(ValueError, match="must hold numbers"):
        GraphLabelRegressor("precomputed").fit(W, list("abcdef"))
    with pytest.raises(ValueError, match="inconsistent"):
        GraphLabelRegressor("precomputed").fit(W, [1.0, np.nan])


def test_stopping_early_warns_with_the_numbers():
    X, y, _ = moons()
    with pytest.warns(ConvergenceWarning, match="relative residual is") as caught:
        model = GraphLabelPropagation(max_iter=2).fit(X, y)
    assert len(caught) == 1
    assert f"{model.certificate_.value:.3e}" in str(caught[0].message)
    assert model.n_iter_ == 2 and not model.certificate_.satisfied
    values = model.label_distributions_
    outside = residual(model.graph_, y != -1, values, 0.0)
    assert outside == pytest.approx(model.certificate_.value, rel=1e-6)


def test_one_node_and_one_class():
    assert GraphLabelPropagation().fit([[0.0]], [4]).predict([[1.0]]).tolist() == [4]
    X, _, _ = moons(30)
    y = np.full(30, -1)
    y[3] = 2
    model = GraphLabelPropagation(n_neighbors=29).fit(X, y)
    assert (model.transduction_ == 2).all()


def test_pickling_keeps_predictions():
    X, y, _ = moons(80)
    model = GraphLabelPropagation().fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X + 0.01), model.predict(X + 0.01))


def test_memory_is_linear_in_the_graph():
    side = 150
    line = sparse.diags_array([np.ones(side - 1)] * 2, offsets=[-1, 1])
    eye = sparse.eye_array(side)
    W = sparse.csr_array(sparse.kron(line, eye) + sparse.kron(eye, line))
    n = side * side
    y = np.full(n, -1)
    y[::50] = np.arange(len(y[::50])) % 3
    model = GraphLabelPropagation("precomputed", tol=1e-6)
    model.fit(W, y)
    tracemalloc.start()
    model.fit(W, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    entries = 8 * (2 * W.nnz + 3 * n)
    assert peak < 4 * entries + 16 * 8 * 3 * n
    assert peak < 8 * n * n / 50


def test_grid_search_over_the_graph_works():
    from sklearn.model_selection import GridSearchCV

    X, y, classes = moons(200, 60)
    grid = GridSearchCV(
        GraphLabelPropagation(), {"n_neighbors": [3, 7], "weight": ["binary", "heat"]}
    )
    assert grid.fit(X[y != -1], y[y != -1]).best_score_ > 0.9
    assert (grid.predict(X) == classes).mean() > 0.9


def test_the_prior_is_the_frequency_of_the_given_labels():
    X = np.random.default_rng(0).standard_normal((30, 2))
    y = np.full(30, -1)
    y[:5] = [2, 2, 2, 7, 5]
    model = GraphLabelPropagation(affinity="knn").fit(X, y)
    assert_array_equal(model.classes_, [2, 5, 7])
    assert_allclose(model.class_prior_, [0.6, 0.2, 0.2])
    other = GraphLabelPropagation(affinity="precomputed").fit(model.graph_, y)
    assert_allclose(other.label_distributions_, model.label_distributions_)
    assert_array_equal(other.class_prior_, model.class_prior_)
    # A node far from all others gets it.
    far = np.zeros((1, 30))
    assert_allclose(other.predict_proba(sparse.csr_array(far)), [[0.6, 0.2, 0.2]])


# Weights of any size


def chain(*weights):
    W = np.diag(np.array(weights), 1)
    return sparse.csr_array(W + W.T)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e-100, 1e100, 1e300])
def test_a_common_scale_of_the_weights_does_not_matter(method, scale):
    W = chain(scale, scale, scale)
    y = np.array([0, -1, -1, 1])
    model = GraphLabelPropagation("precomputed", method=method).fit(W, y)
    assert_allclose(model.label_distributions_[1], [2 / 3, 1 / 3], atol=1e-7)
    assert model.certificate_.satisfied
    assert_allclose(model.predict_proba(W)[1], [2 / 3, 1 / 3], atol=1e-7)
    numbers = GraphLabelRegressor("precomputed", method=method)
    numbers.fit(W, [3.0, np.nan, np.nan, 0.0])
    assert_allclose(numbers.transduction_, [3.0, 2.0, 1.0, 0.0], atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-12, 1e-100])
def test_small_weights_are_solved_beside_large_ones(method, scale):
    one = chain(1.0, 1.0, 1.0)
    W = sparse.csr_array(sparse.block_diag([one, scale * one]))
    y = np.array([0, -1, -1, 1] * 2)
    model = GraphLabelPropagation("precomputed", method=method).fit(W, y)
    expected = [1, 2 / 3, 1 / 3, 0] * 2
    assert_allclose(model.label_distributions_[:, 0], expected, atol=1e-7)
    # In one component too: the voltage drops where the conductance is small.
    W = chain(1.0, 1.0, scale, scale, scale)
    model = GraphLabelPropagation("precomputed", method=method).fit(
        W, np.array([0, -1, -1, -1, -1, 1])
    )
    drops = np.cumsum([0.0, scale, scale, 1.0, 1.0, 1.0])
    expected = 1.0 - drops / drops[-1]
    assert_allclose(model.label_distributions_[:, 0], expected, atol=1e-7)
    assert model.certificate_.satisfied


def test_a_tree_is_solved_exactly_in_one_step():
    rng = np.random.default_rng(0)
    n = 20_000
    parents = np.maximum(np.arange(1, n) - rng.integers(1, 50, n - 1), 0)
    W = sparse.csr_array((np.ones(n - 1), (np.arange(1, n), parents)), shape=(n, n))
    y = np.full(n, -1)
    y[rng.choice(n, 50, replace=False)] = rng.integers(0, 3, 50)
    model = GraphLabelPropagation("precomputed").fit(W + W.T, y)
    assert model.n_iter_ == 1 and model.certificate_.value < 1e-11


def test_graphs_are_brought_to_one_scale_by_powers_of_two():
    W = chain(1.0, 3.0, 0.5)
    assert _even_graph(W) is W
    wide = chain(1.0, 2.0**20)
    assert _even_graph(wide) is wide
    for size in (1e-50, 1e50):  # the limits belong to what stays
        stays = chain(size, size / 3)
        assert _even_graph(stays) is stays
    for size, exponent in ((1.5 * 2.0**-170, -170), (1.5 * 2.0**170, 170)):
        low = chain(size / 4, size)
        even = _even_graph(low)
        assert_array_equal(even.data, low.data / 2.0**exponent)
        assert even.data.max() == 1.5
    # Components apart, each by its own largest weight; an explicit zero stays zero.
    W = sparse.block_diag([chain(0.75, 0.5), chain(2.0**40, 3 * 2.0**40)])
    W = sparse.csr_array(W)
    held = W.copy()
    even = _even_graph(W)
    assert_array_equal(W.toarray(), held.toarray())
    expected = sparse.block_diag([chain(1.5, 1.0), chain(0.5, 1.5)]).toarray()
    assert_array_equal(even.toarray(), expected)
    zeros = sparse.csr_array(np.zeros((3, 3)))
    assert _even_graph(zeros) is zeros
    hidden = chain(1.0, 1e-3)
    hidden.data[:2] = 0.0
    assert _even_graph(hidden) is hidden  # a weight of zero is not the smallest


def test_the_residual_is_the_larger_of_plain_and_by_degree():
    A, degrees = np.array([[2.0, -1.0], [-1.0, 100.0]]), np.array([2.0, 100.0])

    class System:
        diag = degrees

        def residual(self, W, B):
            return B - A @ W

    B = np.array([[1.0, 0.0], [2.0, 5.0]])
    for W in (np.array([[0.5, 0.1], [0.1, 0.2]]), np.array([[0.6, 0.0], [0.02, 0.1]])):
        G = B - A @ W
        shares = []
        for scale in (np.ones(2), degrees):
            top = np.linalg.norm(B / scale[:, None], axis=0)
            shares.append((np.linalg.norm(G / scale[:, None], axis=0) / top).max())
        assert_allclose(_residual(System(), W, B), max(shares), rtol=1e-13)
    assert _residual(System(), np.zeros((0, 2)), np.zeros((0, 2))) == 0.0


@pytest.mark.parametrize("unreachable", ["prior", "unlabeled"])
def test_certificates_of_graphs_count_the_nodes(unreachable):
    W = sparse.csr_array(sparse.block_diag([chain(1.0, 1.0, 1.0), chain(1.0)]))
    y = np.array([0, -1, -1, 1, -1, -1])
    model = GraphLabelPropagation("precomputed", unreachable=unreachable)
    with pytest.warns(UserWarning, match="2 nodes are in components"):
        model.fit(W, y)
    details = model.certificate_.details
    counts = [details[k] for k in ("n_labeled", "n_unlabeled", "n_unreachable")]
    assert counts == [2, 2, 2]
    assert model.certificate_.tol == model.tol == 1e-8
    assert model.certificate_.kind == "kkt"
    shown = model.label_distributions_
    assert_allclose(shown[:4, 0], [1.0, 2 / 3, 1 / 3, 0.0], atol=1e-8)
    if unreachable == "prior":
        assert_array_equal(shown[4:], [[0.5, 0.5]] * 2)
    connected = GraphLabelPropagation("precomputed").fit(W[:4][:, :4], y[:4])
    assert connected.certificate_.details["n_unreachable"] == 0


def test_what_is_left_is_solved_for_again():
    W = geometric_graph(60, seed=3)
    labeled = np.arange(60) % 5 == 0
    Y = np.zeros((60, 2))
    Y[labeled] = np.random.default_rng(0).random((12, 2))
    _, system, B = solvers.harmonic_system(W, labeled, Y)
    model = GraphLabelPropagation(tol=1e-10, max_iter=500)
    start = np.full(B.shape, 0.5)

    def refined(max_iter, tol=1e-10, W=start):
        solution = SimpleNamespace(W=W.copy(), n_iter=3, history=[])
        model.set_params(max_iter=max_iter, tol=tol)._refine(system, B, solution)
        return solution

    found = refined(500)
    assert _residual(system, found.W, B) <= 0.9e-10
    assert found.history[-1] == _residual(system, found.W, B)
    assert 2 <= len(found.history) <= 6
    assert all(b < 1e-2 * a for a, b in pairwise(found.history))
    assert 3 + len(found.history) <= found.n_iter <= 500
    # Neither after the last iteration nor below the tolerance.
    for same in (refined(3), refined(500, 1.0 + _residual(system, start, B) / 0.9)):
        assert_array_equal(same.W, start)
        assert same.n_iter == 3 and not same.history
    within = _residual(system, start, B) / 0.9
    assert not refined(500, within * 1.001).history
    assert refined(500, within * 0.999).history


# Walks in place of harmonic values, class masses, and names of unlabeled nodes


def walked(W, Y, damping):
    """Return the shares of walks by a dense solve."""
    D = np.diag(W.sum(axis=1))
    F = np.linalg.solve(D - damping * W, Y)
    return F / F.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("damping", [0.3, 0.7, 0.95])
def test_walks_solve_their_system(damping):
    W = geometric_graph(80, 6)
    y = np.full(80, -1)
    y[:9] = np.arange(9) % 3
    Y = np.eye(4)[y][:, :3] * (y >= 0)[:, None]
    expected = walked(W.toarray(), Y, damping)
    expected[:9] = Y[:9]
    model = GraphLabelPropagation("precomputed", normalize=True, damping=damping)
    model.fit(W, y)
    assert_allclose(model.label_distributions_, expected, rtol=1e-6)
    assert model.certificate_.satisfied and model.certificate_.value <= 1e-8
    scaled = model.fit(2.0**-300 * W, y).label_distributions_
    assert_allclose(scaled, expected, rtol=1e-6)
    order = np.random.default_rng(0).permutation(80)
    moved = model.fit(W[order][:, order], y[order]).label_distributions_
    assert_allclose(moved, expected[order], rtol=1e-6)


@pytest.mark.parametrize("max_iter", [1, 3, 6, 400])
def test_walks_measure_what_every_node_lacks(max_iter):
    W = geometric_graph(60, 6).toarray()
    W = np.block([[W, np.zeros((60, 3))], [np.zeros((3, 60)), np.ones((3, 3))]])
    W[60:, 60:] -= np.eye(3)
    W = np.pad(W, (0, 1))  # and a node alone
    Y = np.zeros((64, 2))
    Y[:4], Y[63, 0] = np.eye(2)[[0, 1, 1, 0]], 1.0
    found = walk_values(
        sparse.csr_array(W), Y, damping=0.8, tol=1e-6, max_iter=max_iter
    )
    degrees = np.where(W.sum(axis=1) > 0, W.sum(axis=1), 1.0)
    expected = Y / degrees[:, None]
    for _ in range(len(found.history)):
        expected = (Y + 0.8 * W @ expected) / degrees[:, None]
    assert_allclose(found.F, expected, rtol=1e-12)
    assert_array_equal(found.reach, np.r_[np.ones(60), np.zeros(3), 1.0])
    left = np.abs(Y + 0.8 * W @ expected - degrees[:, None] * expected).sum(axis=1)
    size = degrees * expected.sum(axis=1)
    share = np.where(size > 0, left / np.where(size > 0, size, 1.0), 1.0)
    assert_allclose(found.residual, share[found.reach].max(), rtol=1e-6, atol=1e-14)
    assert found.n_iter == len(found.history) <= max_iter
    assert found.history[-1] <= 1e-6 if max_iter == 400 else found.residual > 1e-6
    assert (np.array(found.history[:-1]) > 1e-6).all()


def test_walks_that_have_not_come_everywhere_lack_all_of_it():
    path = sparse.diags_array([np.ones(2), np.ones(2)], offsets=[-1, 1]).tocsr()
    Y = np.array([[1.0], [0.0], [0.0]])
    # After one step the last has no value yet; after two (9/8, 1/4, 1/8) the middle
    # one ought to have 5/16.
    residuals = [
        walk_values(path, Y, damping=0.5, tol=0.0, max_iter=steps).residual
        for steps in (1, 2)
    ]
    assert residuals == [1.0, pytest.approx(0.25)]


def test_walks_that_a_callback_ends_stop_at_once():
    W = geometric_graph(60, 6)
    Y = np.eye(60)[:, :2]
    told = []
    found = walk_values(
        W, Y, damping=0.8, tol=0.0, max_iter=9,
        step=lambda value: told.append(value) or len(told) == 4,
    )  # fmt: skip
    assert found.n_iter == 4 and told == found.history


def test_walks_are_exact_far_from_all_labels_too():
    n = 120
    path = sparse.diags_array([np.ones(n - 1), np.ones(n - 1)], offsets=[-1, 1])
    y = np.full(n, -1)
    y[[0, 1]] = [0, 1]
    model = GraphLabelPropagation("precomputed", normalize=True).fit(path, y)
    expected = walked(path.toarray(), np.eye(n)[:, :2], 0.7)
    # Beyond the labels both classes decay at one rate: their ratio stands still.
    assert_allclose(model.label_distributions_[2:], expected[2:], rtol=1e-6)
    short = GraphLabelPropagation("precomputed", normalize=True, max_iter=30)
    with pytest.warns(ConvergenceWarning, match="lower damping"):
        short.fit(path, y)
    assert short.certificate_.value >= 1.0


def test_class_masses_follow_the_labels():
    X, y, classes = moons(n_labeled=12, seed=3)
    model = GraphLabelPropagation(class_mass=True).fit(X, y)
    plain = GraphLabelPropagation().fit(X, y).label_distributions_
    unlabeled = y == -1
    factors = model.class_prior_ / plain[unlabeled].mean(axis=0)
    expected = plain[unlabeled] * factors
    expected /= expected.sum(axis=1, keepdims=True)
    assert_allclose(model.label_distributions_[unlabeled], expected, rtol=1e-9)
    assert_allclose(model.label_distributions_[~unlabeled], plain[~unlabeled])
    assert (model.predict_proba(X).sum(axis=1) - 1 < 1e-12).all()
    assert (model.transduction_ == classes).mean() > 0.9


def test_walks_find_the_classes_of_a_graph_with_hubs():
    # Two classes of 300, and twenty hubs that everybody is joined to.
    rng = np.random.default_rng(0)
    n, hubs = 600, 20
    classes = np.arange(n + hubs) % 2
    heads, tails = rng.integers(0, n, (2, 4 * n))
    same = classes[heads] == classes[tails]
    keep = same | (rng.uniform(size=4 * n) < 0.15)
    heads, tails = heads[keep], tails[keep]
    far = np.repeat(np.arange(n), 2), n + rng.integers(0, hubs, 2 * n)
    rows, columns = np.r_[heads, far[0]], np.r_[tails, far[1]]
    W = sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(n + hubs,) * 2)
    W = sparse.csr_array(W)
    W = W.maximum(W.T)
    y = np.full(n + hubs, -1)
    y[:30] = classes[:30]
    y[n : n + 12] = 1  # hubs, of whatever class, are labeled with one

    def accuracy(**options):
        model = GraphLabelPropagation("precomputed", **options).fit(W, y)
        return (model.transduction_[30:n] == classes[30:n]).mean()

    assert accuracy(normalize=True, class_mass=True) > accuracy() + 0.05


@pytest.mark.parametrize("kind", ["series", "object", "string"])
def test_minus_one_among_names_is_unlabeled(kind):
    X = np.array([[0.0], [1], [2], [10], [11], [12]])
    names = ["a", "-1", "-1", "b", "-1", "-1"]
    if kind == "series":
        y = pytest.importorskip("pandas").Series(names)
    else:
        y = np.array(names, dtype={"object": object, "string": str}[kind])
    model = GraphLabelPropagation(n_neighbors=2).fit(X, y)
    assert list(model.classes_) == ["a", "b"]
    assert list(model.transduction_) == list("aaabbb")


def test_a_graph_that_is_taken_for_features_warns():
    graph = sparse.csr_array(np.diag(np.ones(5), 1) + np.diag(np.ones(5), -1))
    labels = [0, -1, -1, -1, -1, 1]
    with pytest.warns(UserWarning, match="affinity='precomputed' for a graph"):
        GraphLabelPropagation(n_neighbors=2).fit(graph, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GraphLabelPropagation(affinity="precomputed").fit(graph, labels)
        GraphLabelPropagation(n_neighbors=2).fit(graph.toarray(), labels)
