"""Laplacian k-means: dense references, limits, monotone energy, seeds."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import logsumexp, softmax, xlogy
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import kneighbors_graph

from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.validation import as_compressed, read_only
from sparsestat.cluster import LaplacianKMeans
from sparsestat.cluster._laplacian import _change
from sparsestat.cluster._laplacian_energy import (
    GraphEnergy,
    _stages,
    effective_dimension,
)
from sparsestat.exceptions import ConvergenceWarning


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def random_problem(rng, update="sequential", prototype="mean", temperature=0.7):
    n, d, k = 40, 3, 4
    X = rng.standard_normal((n, d))
    W = sparse.random_array((n, n), density=0.2, rng=rng).toarray()
    W = W + W.T
    np.fill_diagonal(W, 0)
    fixed = np.full(n, -1)
    fixed[:3] = [0, 1, 3]
    problem = GraphEnergy(
        X, sparse.csr_array(W), fixed, prototype, 1.3, temperature, update, None
    )
    return problem, X, W, X[:k].copy()


def dense_energy(problem, W, U, Z):
    W = W + np.diag(problem.shift)
    smooth = np.sum(Z * (W @ Z))
    mixed = xlogy(Z, Z).sum()
    return (Z * U).sum() - 0.5 * problem.reg * smooth + problem.temperature * mixed


@pytest.mark.parametrize("update", ["sequential", "parallel"])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_one_pass_is_that_of_dense_numpy(update, temperature, rng):
    problem, X, W, centers = random_problem(rng, update, temperature=temperature)
    U = ((X[:, None] - centers) ** 2).sum(axis=2) / 2
    assert_allclose(problem.costs(centers), U, atol=1e-12)
    Z, entropy = problem.start(U)
    expected = Z.copy()

    def updated(field):
        if temperature == 0:
            return np.eye(len(field))[field.argmax()]
        return softmax(field / temperature)

    plain = np.array([updated(-u) for u in U[3:]])
    assert_allclose(Z[3:], plain, atol=1e-12)
    old = expected.copy()
    found, _ = problem.descend(U, Z, entropy, 0.0, 1, 1.0)
    order = range(len(X)) if update == "parallel" else problem.order
    for i in order:
        if i < 3:  # known
            continue
        source = expected if update == "sequential" else old
        pull = W[i] @ source + problem.shift[i] * source[i]
        expected[i] = updated(-U[i] + problem.reg * pull)
    assert_allclose(found, expected, atol=1e-12)
    energy, size = problem.energy(U, found, entropy)
    assert_allclose(energy, dense_energy(problem, W, U, found), rtol=1e-12)
    smooth = 0.65 * np.sum(found * ((W + np.diag(problem.shift)) @ found))
    mixed = temperature * xlogy(found, found).sum()
    expected = abs((found * U).sum()) + abs(smooth) + abs(mixed)
    assert_allclose(size, expected, rtol=1e-12)


def test_the_decrease_a_sweep_reports_is_the_decrease(rng):
    problem, _, _, centers = random_problem(rng)
    U = problem.costs(centers)
    Z, entropy = problem.start(U)
    before, _ = problem.energy(U, Z, entropy)
    problem.descend(U, Z.copy(), entropy.copy(), 0.0, 1, 1.0)  # colors the graph
    fall = problem._sweep(read_only(U), Z, entropy)
    after, _ = problem.energy(U, Z, entropy)
    assert fall > 0
    assert_allclose(before - after, fall, rtol=1e-10)


@pytest.mark.filterwarnings("ignore:.*distinct clusters")
@pytest.mark.parametrize("prototype", ["mean", "mode", "medoid"])
@pytest.mark.parametrize("update", ["sequential", "parallel"])
@pytest.mark.parametrize("reg", [0.0, 0.3, 3.0])
def test_the_energy_never_rises(prototype, update, reg):
    X = make_blobs(200, centers=5, cluster_std=2.0, random_state=0)[0]
    seeds = np.full(200, -1)
    seeds[:2] = [0, 1]
    model = LaplacianKMeans(
        5,
        prototype=prototype,
        update=update,
        reg=reg,
        random_state=0,
        tol=1e-8,
        max_iter=1000,
    ).fit(X, seeds=seeds)
    history = model.history_
    assert (np.diff(history) <= 1e-10 * np.abs(history).max()).all()
    assert model.certificate_.satisfied
    assert_allclose(model.memberships_.sum(axis=1), 1, rtol=1e-12)
    assert_array_equal(model.memberships_[:2], np.eye(5)[:2])
    assert_array_equal(model.labels_, model.memberships_.argmax(axis=1))
    if prototype == "medoid":
        gaps = np.abs(X[:, None] - model.cluster_centers_).sum(axis=2).min(axis=0)
        assert gaps.max() <= 1e-9


@pytest.mark.parametrize("prototype", ["mean", "mode"])
def test_the_answer_is_stationary(prototype):
    X = make_blobs(150, centers=4, cluster_std=2.0, random_state=1)[0]
    model = LaplacianKMeans(
        4, prototype=prototype, random_state=0, tol=1e-14, max_iter=5000
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)
    Z, W, M = model.memberships_, model.affinity_matrix_, model.cluster_centers_
    D = ((X[:, None] - M) ** 2).sum(axis=2) / (2 * model.sigma_**2)
    U = D if prototype == "mean" else -np.exp(-D)
    assert_allclose(Z, softmax(-U + W @ Z, axis=1), atol=1e-4)
    weights = Z if prototype == "mean" else Z * np.exp(-D)
    means = weights.T @ X / weights.sum(axis=0)[:, None]
    assert_allclose(M, means, atol=1e-3 * np.abs(X).max())


def test_without_graph_and_entropy_it_is_k_means(rng):
    X = rng.standard_normal((200, 3)) + 50.0
    start = X[:5]
    ours = LaplacianKMeans(5, reg=0, temperature=0, init=start, tol=0).fit(X)
    plain = KMeans(5, init=start, n_init=1, tol=0).fit(X)
    assert_array_equal(ours.labels_, plain.labels_)
    assert_allclose(ours.cluster_centers_, plain.cluster_centers_, rtol=1e-10)
    energy = plain.inertia_ / (2 * ours.sigma_**2)
    assert_allclose(ours.energy_, energy, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:.*distinct clusters")
def test_soft_memberships_without_graph_have_a_closed_form(rng):
    X = rng.standard_normal((80, 2))
    model = LaplacianKMeans(
        3, reg=0, temperature=0.5, sigma=1.5, random_state=0, tol=1e-12, max_iter=5000
    ).fit(X)
    D = ((X[:, None] - model.cluster_centers_) ** 2).sum(axis=2) / (2 * 1.5**2)
    free_energy = -0.5 * logsumexp(-D / 0.5, axis=1).sum()
    assert_allclose(model.energy_, free_energy, rtol=1e-9)
    assert_allclose(model.memberships_, softmax(-D / 0.5, axis=1), atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_two_moons_with_one_seed_each(seed):
    X, y = make_moons(400, noise=0.06, random_state=seed)
    rng = np.random.default_rng(seed)
    seeds = np.full(400, -1)
    for label in range(2):
        seeds[rng.choice(np.flatnonzero(y == label))] = label
    model = LaplacianKMeans(2, reg=50.0, n_neighbors=10).fit(X, seeds=seeds)
    assert (model.labels_ != y).mean() < 0.01
    # New points follow the moons too, if their neighbors are asked.
    new, y_new = make_moons(200, noise=0.06, random_state=seed + 10)
    assert (model.predict(new, neighbors=True) != y_new).mean() < 0.02
    assert (model.predict(new) != y_new).mean() > 0.02


def test_seed_spreading_is_the_harmonic_extension(rng):
    X = rng.standard_normal((60, 2))
    W = kneighbors_graph(X, 6)
    W = sparse.csr_array(0.5 * (W + W.T))
    fixed = np.full(60, -1)
    fixed[:6] = [0, 1, 2, 0, 1, 2]
    problem = GraphEnergy(X, W, fixed, "mean", 1.0, 1.0, "sequential", None)
    Z = problem.spread_seeds(3)
    L = (sparse.diags_array(np.asarray(W.sum(axis=1)).ravel()) - W).toarray()
    free = fixed < 0
    # scikit-learn's harmonic functions, by a dense solve
    exact = np.linalg.lstsq(
        L[np.ix_(free, free)], -L[np.ix_(free, ~free)] @ Z[~free], rcond=None
    )[0]
    labels = (exact / exact.sum(axis=0)).argmax(axis=1)
    agree = labels == Z[free].argmax(axis=1)
    sure = np.ptp(np.sort(exact / exact.sum(axis=0), axis=1)[:, -2:], axis=1) > 1e-3
    assert agree[sure].all()


@pytest.mark.parametrize("update", ["sequential", "parallel"])
def test_workers_do_not_change_the_result(update, monkeypatch):
    from sparsestat.cluster import _laplacian_energy

    monkeypatch.setattr(_laplacian_energy, "_ROWS_A_TASK", 500)
    X = make_blobs(9_000, centers=3, cluster_std=3.0, random_state=0)[0]
    W = sparse.csr_array(kneighbors_graph(X[:, :1], 3))
    kwargs = {"update": update, "affinity": W, "random_state": 0, "max_iter": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        one = LaplacianKMeans(3, n_jobs=1, **kwargs).fit(X)
        for n_jobs in (2, 3):
            more = LaplacianKMeans(3, n_jobs=n_jobs, **kwargs).fit(X)
            assert_array_equal(one.memberships_, more.memberships_)
            assert_array_equal(one.history_, more.history_)


def test_rows_that_change_at_once_are_no_neighbors(rng, monkeypatch):
    from sparsestat.cluster import _laplacian_energy

    monkeypatch.setattr(_laplacian_energy, "_ROWS_A_TASK", 30)
    X = rng.standard_normal((400, 3))
    W = kneighbors_graph(X, 4)
    W = as_compressed(sparse.csr_array(W + W.T))
    order, stages = _stages(W.indices, W.indptr)
    assert_array_equal(np.sort(order), np.arange(400))
    assert stages[0][0] == 0 and stages[-1][-1] == 400
    for one, two in pairwise(stages):
        assert one[-1] == two[0]
    n_parts = [len(stage) - 1 for stage in stages]
    assert max(n_parts) > 1 and min(n_parts) == 1
    for stage in stages:
        if len(stage) > 2:
            rows = order[stage[0] : stage[-1]]
            assert W[rows][:, rows].nnz == 0
    # A complete graph has as many colors as rows and goes one after the other.
    full = as_compressed(sparse.csr_array(np.ones((50, 50)) - np.eye(50)))
    order, stages = _stages(full.indices, full.indptr)
    assert_array_equal(order, np.arange(50))
    assert [stage.tolist() for stage in stages] == [[0, 50]]


@pytest.mark.parametrize("prototype", ["mean", "mode", "medoid"])
def test_sparse_data_give_the_dense_answer(prototype, rng):
    X = rng.standard_normal((60, 8)) * (rng.random((60, 8)) < 0.5)
    seeds = np.arange(60) % 5 - 1
    arguments = {"prototype": prototype, "sigma": 1.0, "max_iter": 1000}
    dense = LaplacianKMeans(4, **arguments).fit(X, seeds=seeds)
    thin = LaplacianKMeans(4, **arguments).fit(sparse.csr_array(X), seeds=seeds)
    assert_array_equal(dense.labels_, thin.labels_)
    assert_allclose(dense.energy_, thin.energy_, rtol=1e-10)
    new = rng.standard_normal((9, 8))
    assert_array_equal(dense.predict(new), thin.predict(sparse.csc_array(new)))


def test_scaling_the_data_changes_nothing(rng):
    X = rng.standard_normal((100, 4))
    first = LaplacianKMeans(3, random_state=0).fit(X)
    for scale in (1e-4, 1e4):
        again = LaplacianKMeans(3, random_state=0).fit(scale * X + 1e5 * scale)
        assert_array_equal(first.labels_, again.labels_)
        assert_allclose(first.energy_, again.energy_, rtol=1e-6)


def test_a_graph_of_ones_own_is_made_symmetric(rng):
    X = rng.standard_normal((50, 2))
    graph = kneighbors_graph(X, 5, include_self=True)
    before = graph.copy()
    ours = LaplacianKMeans(3, random_state=0).fit(X)
    given = LaplacianKMeans(3, affinity=graph, random_state=0).fit(X)
    W = given.affinity_matrix_.toarray()
    assert_array_equal(W, W.T)
    assert_array_equal(np.diag(W), 0)
    assert (graph != before).nnz == 0
    # Four true neighbors, since each point counts as its own.
    fewer = LaplacianKMeans(3, n_neighbors=4, random_state=0).fit(X)
    assert_allclose(W, fewer.affinity_matrix_.toarray())
    assert ours.affinity_matrix_.nnz > given.affinity_matrix_.nnz


def test_negative_weights_keep_points_apart():
    X = np.array([[0.0], [0.1], [1.0], [1.1]])
    W = np.zeros((4, 4))
    W[0, 1] = W[1, 0] = -100.0
    model = LaplacianKMeans(2, affinity=W, sigma=1.0, random_state=0).fit(X)
    assert model.labels_[0] != model.labels_[1]


def test_classes_beyond_the_clusters_are_numbered_in_order(rng):
    X = make_blobs(90, centers=3, random_state=0)[0]
    seeds = np.full(90, -1)
    seeds[[3, 5]] = [7, 40]
    model = LaplacianKMeans(3, random_state=0).fit(X, seeds=seeds)
    assert model.classes_.tolist() == [7, 40, -1]
    assert model.labels_[3] == 0 and model.labels_[5] == 1
    seeds[[3, 5]] = [2, 0]
    model = LaplacianKMeans(3, random_state=0).fit(X, seeds=seeds)
    assert model.classes_.tolist() == [0, -1, 2]
    assert model.labels_[3] == 2 and model.labels_[5] == 0


def test_all_samples_seeded(rng):
    X = rng.standard_normal((20, 2))
    seeds = np.arange(20) % 3
    model = LaplacianKMeans(3).fit(X, seeds=seeds)
    assert_array_equal(model.labels_, seeds)
    means = np.array([X[seeds == k].mean(axis=0) for k in range(3)])
    assert_allclose(model.cluster_centers_, means, rtol=1e-10)


def test_blobs_are_found_and_one_cluster_works():
    X, y = make_blobs(
        150, centers=[[0, 0], [5, 0], [0, 5]], cluster_std=0.5, random_state=5
    )
    for prototype in ("mean", "mode", "medoid"):
        model = LaplacianKMeans(3, prototype=prototype, random_state=0, n_init=3)
        assert adjusted_rand_score(y, model.fit(X).labels_) == 1.0
        assert_array_equal(model.predict(X), model.labels_)
    model = LaplacianKMeans(1, random_state=0).fit(X)
    assert not model.labels_.any()
    assert_allclose(model.cluster_centers_[0], X.mean(axis=0))
    assert LaplacianKMeans(1).fit(X[:1]).labels_.tolist() == [0]


def test_covariances_have_an_effective_dimension(rng):
    X = rng.standard_normal((4000, 6)) * [1, 1, 1, 0, 0, 0]
    X -= X.mean(axis=0)
    assert abs(effective_dimension(X) - 3) < 0.05
    assert abs(effective_dimension(sparse.csr_array(X)) - 3) < 0.05


def test_fewer_distinct_points_than_clusters_warn():
    X = np.repeat([[0.0], [5.0]], 10, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"distinct points \(2\)"):
        model = LaplacianKMeans(4, random_state=0).fit(X)
    assert len(np.unique(model.labels_)) == 2


@pytest.mark.parametrize(
    ("parameters", "seeds", "message"),
    [
        ({"n_clusters": 31}, None, "n_samples=30 must be at least"),
        ({}, np.zeros(5), r"seeds must have shape \(30,\)"),
        ({}, np.arange(30) % 4, "seeds have 4 classes, more than n_clusters=3"),
        ({}, np.full(30, -2), "got -2"),
        ({}, np.full(30, 0.5), "seeds must be integers"),
        ({"affinity": np.ones((3, 3))}, None, "affinity must have shape"),
        ({"affinity": np.full((30, 30), np.nan)}, None, "affinity contains NaN"),
        ({"init": np.ones((2, 2))}, None, "init must be a finite array"),
        ({"prototype": "median"}, None, "'prototype'"),
        ({"temperature": -1.0}, None, "'temperature'"),
    ],
)
def test_bad_input(parameters, seeds, message, rng):
    X = rng.standard_normal((30, 2))
    with pytest.raises(ValueError, match=message):
        LaplacianKMeans(**{"n_clusters": 3, **parameters}).fit(X, seeds=seeds)


def test_stopping_early_warns_once_with_the_numbers(rng):
    X = rng.standard_normal((100, 2))
    with pytest.warns(ConvergenceWarning, match="Raise max_iter or tol") as caught:
        model = LaplacianKMeans(4, max_iter=1, random_state=0).fit(X)
    assert len(caught) == 1 and not model.certificate_.satisfied
    with pytest.raises(ValueError, match="Complex data not supported"):
        LaplacianKMeans(2).fit(X * 1j)


def test_named_affinities_have_their_weights(rng):
    X = rng.standard_normal((60, 3))
    squares = ((X[:, None] - X) ** 2).sum(axis=2)
    graph = kneighbors_graph(X, 5).toarray() > 0
    heat = np.exp(-squares / (2 * squares[graph].mean()))
    for name, weights in (("connectivity", 1.0), ("rbf", heat)):
        W = np.where(graph, weights, 0.0)
        model = LaplacianKMeans(4, affinity=name, random_state=0).fit(X)
        assert_allclose(model.affinity_matrix_.toarray(), (W + W.T) / 2, rtol=1e-9)


def test_more_passes_between_prototypes_go_further(rng):
    X, _ = make_blobs(200, centers=4, cluster_std=3.0, random_state=0)
    few, many = (
        LaplacianKMeans(
            4, reg=3.0, init=X[:4], max_iter=1, max_inner_iter=passes, tol=0.0
        )
        for passes in (1, 50)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        few.fit(X), many.fit(X)
    assert many.energy_ < few.energy_
    assert few.n_iter_ == many.n_iter_ == 1


def test_a_rise_of_the_energy_is_no_convergence(rng, monkeypatch):
    X = rng.standard_normal((40, 2))
    values = iter([8.0, 6.0, 7.0])
    monkeypatch.setattr(GraphEnergy, "energy", lambda *_: (next(values), 10.0))
    with pytest.warns(ConvergenceWarning, match="Raise max_iter or tol"):
        model = LaplacianKMeans(3, init=X[:3], max_iter=2).fit(X)
    assert model.history_.tolist() == [6.0, 7.0]
    assert_allclose(model.certificate_.value, 0.1)
    assert not model.certificate_.satisfied and model.energy_ == 7.0
    # What summing ten terms can round is none.
    assert _change(2.0, 8.0, 10) == _change(-2.0, 8.0, 10) == 0.25
    assert _change(-8e-15, 8.0, 10) == _change(0.0, 8.0, 10) == _change(1.0, 0, 9) == 0
    assert _change(-rounding(10, 8.0), 8.0, 10) == 0.0
    assert_allclose(_change(-1e-14, 8.0, 10), 1.25e-15)
    assert_allclose(_change(1e-20, 8.0, 10), 1.25e-21)


@pytest.mark.parametrize("tol", [1e-2, 1e-4])
def test_alternations_end_where_the_energy_stands_still(tol):
    X = make_blobs(120, centers=3, cluster_std=2.0, random_state=0)[0]
    model = LaplacianKMeans(3, init=X[:3], tol=tol, sigma=2.0).fit(X)
    Z, W = model.memberships_, model.affinity_matrix_
    U = ((X[:, None] - model.cluster_centers_) ** 2).sum(axis=2) / 8.0
    smooth = 0.5 * (Z * (W @ Z)).sum()
    terms = [(Z * U).sum(), smooth, xlogy(Z, Z).sum()]
    assert_allclose(model.energy_, terms[0] - smooth + terms[2], rtol=1e-9)
    certificate, history = model.certificate_, model.history_
    assert certificate.satisfied and certificate.tol == tol
    assert len(history) == model.n_iter_ and history[-1] == model.energy_
    assert certificate.details == {"energy": model.energy_}
    change = (history[-2] - history[-1]) / np.abs(terms).sum()
    assert_allclose(certificate.value, change, rtol=1e-6, atol=1e-14)
    assert certificate.value <= tol
    # No iteration before met the tolerance with memberships as close as the last.
    sooner = LaplacianKMeans(
        3, init=X[:3], tol=tol, sigma=2.0, max_iter=model.n_iter_ - 1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        sooner.fit(X)
    assert_allclose(sooner.history_, history[:-1], rtol=1e-12)


def test_without_a_tolerance_alternations_end_where_nothing_changes(rng):
    X = rng.standard_normal((12, 2))
    X[6:] += 4.0
    model = LaplacianKMeans(2, init=X[[0, 6]], tol=0).fit(X)
    assert model.certificate_.satisfied and model.certificate_.value == 0.0
    assert model.n_iter_ < model.max_iter


def test_clusters_that_lose_all_samples_start_again_far_away():
    X = np.r_[np.zeros(20), np.ones(20), 50.0][:, None] + 1e-3 * np.arange(41)[:, None]
    init = np.array([[0.0], [1.0], [1e4]])
    arguments = {"init": init, "temperature": 0.0, "reg": 0.0, "sigma": 1.0}
    with pytest.warns(UserWarning, match="clusters lost all samples"):
        model = LaplacianKMeans(3, **arguments).fit(X)
    assert np.bincount(model.labels_).tolist() == [20, 20, 1]
    assert_allclose(model.cluster_centers_[2], X[-1])
    assert model.certificate_.satisfied
    # An iteration that moved an empty cluster is not the last.
    assert model.n_iter_ >= 3


@pytest.mark.parametrize(
    ("energies", "tols"),
    [
        ([20.0, 10.0, 9.0, 8.9, 8.899], [1e-2, 1e-2, 1e-2, 1e-3]),
        # What little rough memberships change does not count.
        ([20.0, 10.0, 9.995, 9.99], [1e-2, 1e-2, 1e-4]),
    ],
)
def test_memberships_are_rough_while_prototypes_travel(energies, tols, monkeypatch):
    X, asked, values = np.arange(12.0).reshape(6, 2), [], iter([*energies, 1.0])

    def descend(self, U, Z, entropy, tol, max_iter, size):
        asked.append((tol, max_iter, size))
        return Z, 1

    monkeypatch.setattr(GraphEnergy, "descend", descend)
    monkeypatch.setattr(GraphEnergy, "energy", lambda *_: (next(values), 10.0))
    model = LaplacianKMeans(2, init=X[[0, 5]], tol=1e-3, max_inner_iter=7).fit(X)
    assert model.history_.tolist() == energies[1:]
    assert_allclose(asked, [(tol, 7, 10.0) for tol in tols], rtol=1e-9)
    change = (energies[-2] - energies[-1]) / 10.0
    assert_allclose(model.certificate_.value, change, rtol=1e-9)
    assert model.certificate_.satisfied and model.n_iter_ == len(tols)


def test_clusters_that_a_graph_joins_are_announced():
    X = make_blobs(40, centers=[[0, 0], [9, 9]], cluster_std=0.3, random_state=0)[0]
    with pytest.warns(ConvergenceWarning, match="neighbors agree") as caught:
        model = LaplacianKMeans(
            3, affinity=np.ones((40, 40)), reg=50.0, temperature=0.0, random_state=0
        ).fit(X)
    assert len(np.unique(model.labels_)) < 3
    assert all(issubclass(one.category, ConvergenceWarning) for one in caught)
