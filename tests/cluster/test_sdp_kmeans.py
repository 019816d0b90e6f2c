"""Bounds that brute force cannot contradict, and solvers that agree with cvxpy."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import itertools
import pickle
import sys
import tracemalloc
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import linalg, sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsestat.cluster import (
    KMeansCertificate,
    LikelihoodAdjustedSDP,
    SDPKMeans,
    kmeans_certificate,
)
from sparsestat.cluster._admm import capped_simplex, dual_bound, solve_admm
from sparsestat.cluster._certificate import (
    ClusterMoments,
    dense_multiplier,
    rank_one_bound,
)
from sparsestat.cluster._data import CenteredRows
from sparsestat.cluster._sdp_search import Search, averaged_centers
from sparsestat.cluster._seeding import kmeans_plusplus
from sparsestat.exceptions import ConvergenceWarning


def mixture(n, d, n_clusters, distance, seed):
    """Return points of unit noise about equidistant centers, and their labels."""
    rng = np.random.default_rng(seed)
    centers = np.eye(n_clusters, d) * distance / np.sqrt(2)
    labels = np.arange(n) % n_clusters
    return centers[labels] + rng.standard_normal((n, d)), labels


def cost_of(X, labels, weights=None):
    weights = np.ones(len(X)) if weights is None else weights
    total = 0.0
    for k in np.unique(labels):
        mine = labels == k
        mean = np.average(X[mine], axis=0, weights=weights[mine])
        total += weights[mine] @ ((X[mine] - mean) ** 2).sum(axis=1)
    return total


def optimum_by_enumeration(X, n_clusters):
    return min(
        cost_of(X, np.array((0, *rest)))
        for rest in itertools.product(range(n_clusters), repeat=len(X) - 1)
    )


def misclustering(labels, truth):
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(truth, labels)
    return 1 - table[linear_sum_assignment(-table)].sum() / len(truth)


# Soundness


@pytest.mark.parametrize("seed", range(8))
def test_no_bound_exceeds_the_optimum_found_by_enumeration(seed):
    spread = [1.0, 4.0, 12.0][seed % 3]
    X, labels = mixture(9, 2, 2, spread, seed)
    X[labels == 1, 1] += spread * (np.arange(4) % 2)  # three loose groups
    best = optimum_by_enumeration(X, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for solver in ("auto", "admm", "nlr", "sketch"):
            model = SDPKMeans(3, solver=solver, random_state=seed).fit(X)
            assert model.lower_bound_ <= best + 1e-9
            if model.certified_:
                assert model.inertia_ == pytest.approx(best, rel=1e-6)
    for method in ("rank_one", "dual"):
        certificate = kmeans_certificate(X, model.labels_, method=method)
        assert certificate.lower_bound <= best + 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_a_bound_for_bad_labels_is_still_a_bound(seed):
    X, _ = mixture(9, 2, 2, 5.0, seed)
    best = optimum_by_enumeration(X, 3)
    labels = np.random.default_rng(seed).permutation(np.arange(9) % 3)
    certificate = kmeans_certificate(X, labels)
    assert certificate.lower_bound <= best + 1e-9
    assert certificate.certified == (cost_of(X, labels) <= best * (1 + 1e-6))


def test_an_unconverged_solver_gives_a_valid_bound():
    X, truth = mixture(60, 3, 3, 3.0, 0)
    data = CenteredRows(X)
    exact = solve_admm(data, 3, cost=cost_of(X, truth), tol=1e-7, stop_at_gap=False)
    early = solve_admm(data, 3, cost=cost_of(X, truth), max_iter=7)
    assert not early.converged
    relaxed = data.sum_of_squares - exact.value  # the relaxation's own optimum
    assert early.lower_bound <= relaxed * (1 + 1e-6)
    assert exact.lower_bound == pytest.approx(relaxed, rel=1e-5)


def test_moving_a_boundary_point_takes_the_certificate_away():
    X, labels = mixture(200, 4, 3, 12.0, 0)
    good = kmeans_certificate(X, labels)
    assert good.certified and good.slack > 0 and good.lam < good.lam_max
    moved = labels.copy()
    moved[0] = (moved[0] + 1) % 3
    assert not kmeans_certificate(X, moved).certified
    assert kmeans_certificate(X, moved).gap > 0


# The relaxation


@pytest.mark.slow
def test_dense_solver_agrees_with_cvxpy():
    cp = pytest.importorskip("cvxpy")
    X, truth = mixture(40, 6, 4, 4.0, 1)
    centered = X - X.mean(axis=0)
    gram = centered @ centered.T
    gram /= linalg.norm(gram, 2)
    Z = cp.Variable((40, 40), PSD=True)
    problem = cp.Problem(
        cp.Maximize(cp.trace(gram @ Z)),
        [Z >= 0, cp.sum(Z, axis=1) == 1, cp.trace(Z) == 4],
    )
    problem.solve(solver="SCS", eps=1e-9, max_iters=100_000)
    data = CenteredRows(X)
    ours = solve_admm(data, 4, cost=cost_of(X, truth), tol=1e-9, stop_at_gap=False)
    # The solution is unique for these data; 1e-5 is what SCS leaves of it.
    np.testing.assert_allclose(ours.membership, Z.value, atol=1e-5)
    value = float((gram * ours.membership).sum())
    assert value == pytest.approx(problem.value, rel=1e-6)


def test_the_filtered_eigensolver_follows_the_full_one(monkeypatch):
    from sparsestat.cluster import _admm

    X, truth = mixture(320, 8, 4, 6.0, 2)
    data, cost = CenteredRows(X), cost_of(X, truth)
    options = {"cost": cost, "max_iter": 60, "stop_at_gap": False, "tol": 1e-12}
    filtered = solve_admm(data, 4, **options)
    monkeypatch.setattr(_admm, "_DENSE_UNTIL", 10_000)
    full = solve_admm(data, 4, **options)
    # Both decompositions are exact to what the filter leaves after its six steps.
    assert filtered.infeasibility == pytest.approx(full.infeasibility, rel=1e-3)
    assert filtered.lower_bound == pytest.approx(full.lower_bound, rel=1e-6)


def test_membership_matrix_is_feasible_and_worth_its_value():
    X, _ = mixture(80, 6, 4, 5.0, 0)
    model = SDPKMeans(4, solver="admm", certify=False, random_state=0).fit(X)
    Z = model.membership_matrix_
    np.testing.assert_allclose(Z.sum(axis=1), 1.0, atol=1e-9)
    assert np.trace(Z) == pytest.approx(4.0, abs=1e-9)
    assert linalg.eigvalsh(Z)[0] > -1e-10
    assert Z.min() > -1e-3  # the one constraint that holds to `tol` only
    centered = X - X.mean(axis=0)
    value = float(((centered @ centered.T) * Z).sum())
    assert model.sdp_value_ == pytest.approx(value, rel=1e-9)
    assert model.primal_infeasibility_ <= model.tol


@pytest.mark.parametrize("total", [1, 3, 7])
def test_projection_on_the_capped_simplex(total):
    rng = np.random.default_rng(total)
    for _ in range(20):
        e = rng.standard_normal(9) * rng.choice([0.1, 1.0, 5.0])
        x = capped_simplex(e, total)
        assert x.sum() == pytest.approx(total, abs=1e-12)
        assert x.min() >= 0 and x.max() <= 1
        # Optimality: one shift explains every entry inside the box.
        inside = (x > 1e-12) & (x < 1 - 1e-12)
        shift = (e - x)[inside]
        if inside.any():
            np.testing.assert_allclose(shift, shift[0], atol=1e-12)
            assert (e[x <= 1e-12] <= shift[0] + 1e-12).all()
            assert (e[x >= 1 - 1e-12] >= 1 + shift[0] - 1e-12).all()
    np.testing.assert_array_equal(capped_simplex(e, 10), np.ones(9))


# The rank-one certificate, against the matrices it never forms


def assembled(X, labels, moments, lam, data):
    """Return S, B and y of the dual of the relaxation for a partition."""
    n, K = len(X), moments.n_clusters
    sizes = np.bincount(labels)
    means = np.array([X[labels == k].mean(axis=0) for k in range(K)])
    own = ((X - means[labels]) ** 2).sum(axis=1)
    y = (X**2).sum(axis=1) - own - lam / sizes[labels]
    B = dense_multiplier(data, labels, moments, lam)
    S = lam * np.eye(n) + 0.5 * (y[:, None] + y) - X @ X.T - B
    return S, B, y


@pytest.mark.parametrize("n_clusters, d", [(3, 2), (3, 8), (5, 2)])
def test_rank_one_bound_is_the_dual_of_the_relaxation(n_clusters, d):
    X, labels = mixture(60, max(d, n_clusters), n_clusters, 9.0, 3)
    X = (
        X[:, :d]
        if d >= n_clusters
        else X @ np.random.default_rng(0).normal(size=(n_clusters, d))
    )
    X -= X.mean(axis=0)
    data = CenteredRows(X)
    X = data.block(slice(None))
    labels = KMeans(n_clusters, n_init=5, random_state=0).fit_predict(X)
    labels = labels.astype(np.int64)
    moments = ClusterMoments(data, labels, n_clusters)
    bound, lam, slack = rank_one_bound(moments)
    S, B, y = assembled(X, labels, moments, lam, data)
    indicator = np.eye(n_clusters)[labels]
    scale = np.abs(S).max()
    np.testing.assert_allclose(S @ indicator, 0, atol=1e-10 * scale * len(X))
    assert B.min() >= 0
    smallest = linalg.eigvalsh(S)[0]
    assert smallest == pytest.approx(min(0.0, slack), abs=1e-8 * scale)
    Z = indicator @ np.diag(1 / np.bincount(labels)) @ indicator.T
    dual_value = lam * n_clusters + y.sum()
    assert dual_value == pytest.approx(float((X @ X.T * Z).sum()), rel=1e-10)
    dense = dual_bound(X @ X.T, B, data.root, n_clusters, data.sum_of_squares)
    assert bound <= dense + 1e-8 * moments.cost
    if slack >= 0:
        assert bound == pytest.approx(dense, rel=1e-8)


@pytest.mark.parametrize("n_clusters, d", [(2, 30), (6, 2), (4, 4)])
def test_both_small_forms_of_the_eigenproblem_agree(n_clusters, d, monkeypatch):
    from sparsestat.cluster import _certificate

    X, labels = mixture(90, max(d, n_clusters), n_clusters, 8.0, 0)
    X = X[:, :d] * 1.0
    labels = KMeans(n_clusters, n_init=3, random_state=0).fit_predict(X)
    data = CenteredRows(X)
    moments = ClusterMoments(data, labels.astype(np.int64), n_clusters)
    if not moments.lam_max > 0:
        pytest.skip("not a fixed point of Lloyd's iteration")
    one = _certificate._RankOneMatrix(moments)
    other = object.__new__(_certificate._RankOneMatrix)
    other.__dict__.update(one.__dict__)
    first = one.pairs[:, 0]
    delta = moments.means[first] - moments.means[one.pairs[:, 1]]
    if one.compact:
        other._root_blocks(delta, first)
    else:
        other._root_compact(delta, first, d)
    lam = 0.7 * moments.lam_max
    top = [linalg.eigvalsh(m.at(lam))[-(n_clusters - 1) :] for m in (one, other)]
    np.testing.assert_allclose(top[0], top[1], rtol=1e-9)


@pytest.mark.parametrize("as_sparse", [False, True])
def test_wide_data_are_rotated_without_loss(as_sparse):
    X, labels = mixture(30, 120, 3, 25.0, 0)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(120, 120)))[0]
    narrow = kmeans_certificate(X, labels)
    wide = X @ rotation
    wide = sparse.csr_array(wide) if as_sparse else wide
    same = kmeans_certificate(wide, labels)
    assert same.lower_bound == pytest.approx(narrow.lower_bound, rel=1e-9)


# The low-rank solver


def test_low_rank_factor_reaches_the_value_of_the_relaxation():
    X, truth = mixture(200, 5, 4, 12.0, 0)
    model = SDPKMeans(4, solver="nlr", n_init=1, label_tol=None, random_state=0).fit(X)
    assert model.certified_
    U = model.membership_factor_
    assert U.min() >= 0
    centered = X - X.mean(axis=0)
    value = linalg.norm(U.T @ centered) ** 2
    tight = (centered**2).sum() - model.inertia_
    assert value == pytest.approx(tight, rel=1e-4)
    np.testing.assert_allclose(U @ U.sum(axis=0), 1.0, atol=1e-2)
    assert misclustering(model.labels_, truth) == 0


def test_a_random_start_of_the_factor_finds_what_one_kmeans_start_misses():
    wrong = right = 0
    for seed in range(6):
        X, truth = mixture(480, 20, 16, 7.0, seed)
        best = cost_of(X, truth)
        model = SDPKMeans(
            16, solver="nlr", init="random", n_init=1, certify=False, random_state=seed
        ).fit(X)
        right += model.inertia_ <= best * 1.001
        single = KMeans(16, n_init=1, random_state=seed).fit(X)
        wrong += single.inertia_ > best * 1.001
    assert right == 6
    assert wrong >= 1


@pytest.mark.parametrize("seed", [1008, 1011, 1072])
def test_a_long_first_step_does_not_collapse_the_factor(seed):
    # From these starts one step of length 1 clips all but one row to zero, which
    # lowers the augmented Lagrangian and can never be left again.
    rng = np.random.default_rng(seed)
    centers = np.eye(16, 20) * 7.0 / np.sqrt(2)
    truth = rng.permutation(np.arange(960) % 16)
    X = centers[truth] + rng.standard_normal((960, 20))
    model = SDPKMeans(
        16, solver="nlr", init="random", n_init=1, certify=False, random_state=seed
    ).fit(X)
    assert model.inertia_ <= 1.001 * cost_of(X, truth)


def test_memory_of_the_low_rank_solver_is_linear():
    X, _ = mixture(20_000, 8, 3, 9.0, 0)
    model = SDPKMeans(3, solver="nlr", init="random", n_init=1, random_state=0)
    model.fit(X[:200])
    tracemalloc.start()
    model.fit(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * X.nbytes  # one n x n array would be 2500 times X


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_rows_centered_block_by_block_are_those_of_the_copy(shift, monkeypatch):
    from sparsestat.cluster import _data

    monkeypatch.setattr(_data, "_FEWEST_ROWS", 32)
    monkeypatch.setattr(_data, "_ENTRIES", 1)
    rng = np.random.default_rng(0)
    X, weights = rng.standard_normal((101, 4)) + shift, rng.uniform(0.5, 2.0, 101)
    held, passing = CenteredRows(X, weights), CenteredRows(X, weights, copy=False)
    mean = np.average(X, axis=0, weights=weights)
    exact = np.sqrt(weights)[:, None] * (X - mean)
    U, V = rng.standard_normal((101, 3)), rng.standard_normal((4, 2))
    # Coordinates of size 1e6 carry ten digits of what is left after centering.
    close = {"rtol": 0, "atol": 1e-12 if shift == 0 else 1e-8}
    for data in (held, passing):
        unit = data.unit
        assert data.cost_unit == unit**2
        np.testing.assert_allclose(unit * data.block(slice(None)), exact, **close)
        part = unit * data.block(slice(40, 70))
        np.testing.assert_allclose(part, exact[40:70], **close)
        np.testing.assert_allclose(unit * data.dot(V), exact @ V, **close)
        np.testing.assert_allclose(unit * data.t_dot(U), exact.T @ U, **close)
        np.testing.assert_allclose(unit**2 * data.gram(), exact @ exact.T, **close)
        squares = unit**2 * data.sum_of_squares
        np.testing.assert_allclose(squares, (exact**2).sum(), rtol=1e-9)


def test_a_certificate_holds_no_copy_of_the_data():
    X, labels = mixture(100_000, 50, 4, 12.0, 0)
    kmeans_certificate(X[:500], labels[:500])
    tracemalloc.start()
    certificate = kmeans_certificate(X, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert certificate.certified
    assert peak < 0.75 * X.nbytes


# Invariances


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_bounds_follow_scale_and_ignore_the_origin(scale, shift):
    X, labels = mixture(120, 3, 3, 6.0, 0)
    base = kmeans_certificate(X, labels)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    moved = scale * (X @ rotation + shift)
    certificate = kmeans_certificate(moved, labels)
    # A shift of 1e6 leaves ten digits of the coordinates.
    rel = 1e-9 if shift == 0 else 1e-4
    assert certificate.lower_bound == pytest.approx(
        scale**2 * base.lower_bound, rel=rel
    )
    model = SDPKMeans(3, random_state=0).fit(moved)
    reference = SDPKMeans(3, random_state=0).fit(X)
    assert model.gap_ == pytest.approx(reference.gap_, rel=0.05, abs=1e-5)


def test_order_of_rows_and_split_weights_do_not_matter():
    X, labels = mixture(60, 3, 3, 5.0, 0)
    weights = np.random.default_rng(0).integers(1, 4, 60).astype(float)
    rows = np.repeat(np.arange(60), weights.astype(int))
    for method in ("rank_one", "dual"):
        one = kmeans_certificate(X, labels, sample_weight=weights, method=method)
        two = kmeans_certificate(X[rows], labels[rows], method=method)
        assert one.details["cost"] == pytest.approx(two.details["cost"], rel=1e-12)
        rel = 1e-9 if method == "rank_one" else 1e-4
        assert one.lower_bound == pytest.approx(two.lower_bound, rel=rel)
    order = np.random.default_rng(1).permutation(60)
    permuted = kmeans_certificate(X[order], labels[order], method="rank_one")
    straight = kmeans_certificate(X, labels, method="rank_one")
    assert permuted.lower_bound == pytest.approx(straight.lower_bound, rel=1e-10)


@pytest.mark.parametrize("solver", ["auto", "nlr"])
def test_sparse_and_dense_agree(solver):
    X, _ = mixture(150, 6, 3, 9.0, 0)
    X[np.abs(X) < 0.5] = 0.0
    dense = SDPKMeans(3, solver=solver, random_state=0).fit(X)
    csr = SDPKMeans(3, solver=solver, random_state=0).fit(sparse.csr_array(X))
    assert misclustering(csr.labels_, dense.labels_) == 0
    assert csr.inertia_ == pytest.approx(dense.inertia_, rel=1e-10)
    assert csr.lower_bound_ == pytest.approx(dense.lower_bound_, rel=1e-6)


def test_results_do_not_depend_on_the_number_of_workers():
    X, _ = mixture(300, 6, 5, 5.0, 0)
    fits = [
        SDPKMeans(5, solver="nlr", n_jobs=n_jobs, random_state=0).fit(X)
        for n_jobs in (1, 2)
    ]
    np.testing.assert_array_equal(fits[0].labels_, fits[1].labels_)
    assert fits[0].inertia_ == fits[1].inertia_


@pytest.mark.parametrize("solver", ["admm", "nlr"])
def test_weights_of_the_relaxation_are_repetition(solver):
    X, _ = mixture(60, 3, 3, 12.0, 0)
    weights = np.random.default_rng(0).integers(1, 4, 60).astype(float)
    rows = np.repeat(np.arange(60), weights.astype(int))
    model = SDPKMeans(3, solver=solver, label_tol=None, random_state=0)
    one = clone(model).fit(X, sample_weight=weights)
    two = clone(model).fit(X[rows])
    assert misclustering(one.labels_[rows], two.labels_) == 0
    assert one.inertia_ == pytest.approx(two.inertia_, rel=1e-10)
    # The constraints hold to 1e-4.
    assert one.sdp_value_ == pytest.approx(two.sdp_value_, rel=1e-3)
    assert one.certified_ and two.certified_
    assert one.lower_bound_ == pytest.approx(two.lower_bound_, rel=1e-5)


def test_seeding_draws_the_same_points_for_weights_and_for_repetition():
    X, _ = mixture(40, 2, 4, 3.0, 0)
    weights = np.random.default_rng(0).integers(0, 3, 40).astype(float)
    rows = np.repeat(np.arange(40), weights.astype(int))
    one = kmeans_plusplus(X, 4, np.random.RandomState(3), weights)
    two = kmeans_plusplus(X[rows], 4, np.random.RandomState(3))
    np.testing.assert_array_equal(X[one], X[rows][two])


# The certificate object and the estimator


def test_certificate_fields_are_consistent_and_recomputable():
    X, _ = mixture(150, 3, 3, 6.0, 0)
    model = SDPKMeans(3, random_state=0).fit(X)
    certificate = model.certificate_
    assert certificate.kind == "lower_bound"
    assert model.inertia_ == pytest.approx(cost_of(X, model.labels_), rel=1e-12)
    assert model.gap_ == pytest.approx(
        1 - model.lower_bound_ / model.inertia_, abs=1e-12
    )
    assert model.certified_ == (model.gap_ <= model.gap_tol)
    assert certificate.satisfied == (certificate.value <= certificate.tol)
    again = pickle.loads(pickle.dumps(certificate))
    assert again == certificate
    assert len(repr(certificate)) <= 30
    assert "certified" in certificate._repr_html_()


def test_a_statistical_bound_never_certifies():
    X, labels = mixture(400, 3, 3, 20.0, 0)
    certificate = kmeans_certificate(
        X, labels, method="sampled", subset_size=60, n_subsets=4, random_state=0
    )
    # The rank-one bound is exact here, and is kept because it is better.
    assert certificate.bound == "rank_one" and certificate.certified
    X, labels = mixture(400, 3, 3, 4.0, 0)
    labels = SDPKMeans(3, certify=False, random_state=0).fit(X).labels_
    certificate = kmeans_certificate(
        X, labels, method="sampled", subset_size=120, n_subsets=8, random_state=0
    )
    assert certificate.bound == "statistical" and not certificate.certified
    dual = kmeans_certificate(X, labels, method="dual")
    assert 0.5 * dual.lower_bound < certificate.lower_bound <= dual.details["cost"]


def test_dual_method_is_tighter_than_rank_one():
    X, labels = mixture(200, 4, 3, 5.0, 0)
    labels = SDPKMeans(3, certify=False, random_state=0).fit(X).labels_
    weak = kmeans_certificate(X, labels)
    strong = kmeans_certificate(X, labels, method="dual")
    assert strong.bound == "dual"
    assert weak.lower_bound < strong.lower_bound <= strong.details["cost"] * (1 + 1e-12)


def test_labels_of_scikit_learn_in_a_pipeline_can_be_certified():
    X = load_iris().data
    pipeline = make_pipeline(StandardScaler(), KMeans(2, n_init=5, random_state=0))
    labels = pipeline.fit_predict(X)
    scaled = pipeline[:-1].transform(X)
    named = np.array(["setosa", "other"])[labels]
    certificate = kmeans_certificate(scaled, named, method="dual")
    assert certificate.details["cost"] == pytest.approx(pipeline[-1].inertia_)
    assert certificate.gap < 0.01


@pytest.mark.parametrize("solver", ["auto", "admm", "nlr", "sketch", "cvxpy"])
def test_every_solver_finds_clusters_that_are_far_apart(solver):
    if solver == "cvxpy":
        pytest.importorskip("cvxpy")
    X, truth = mixture(45, 3, 3, 15.0, 0)
    model = SDPKMeans(3, solver=solver, random_state=0).fit(X)
    assert misclustering(model.labels_, truth) == 0
    assert model.certified_


def test_sketch_weighted_by_cluster_finds_small_clusters():
    rng = np.random.default_rng(0)
    sizes = [20, 20, 980, 980]
    truth = np.repeat(np.arange(4), sizes)
    X = 6.0 * np.eye(4, 6)[truth] + 0.7 * rng.standard_normal((2000, 6))
    model = SDPKMeans(
        4,
        solver="sketch",
        sketch_size=200,
        sketch_rounds=2,
        sketch_weighting="cluster",
        random_state=0,
    ).fit(X)
    assert misclustering(model.labels_, truth) == 0


def test_centers_of_sketches_are_matched_before_they_are_averaged():
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((5, 3)) * 10
    noisy = [
        (centers + 0.1 * rng.standard_normal((5, 3)))[rng.permutation(5)]
        for _ in range(40)
    ]
    found = averaged_centers(noisy)
    error = linalg.norm(found[:, None] - centers, axis=2).min(axis=1)
    assert error.max() < 0.1  # a single one is off by .17 on average
    one = linalg.norm(noisy[0][:, None] - centers, axis=2).min(axis=1)
    assert error.mean() < 0.5 * one.mean()


def test_many_epochs_of_a_sketch_are_closer_to_the_truth_than_one():
    errors = {1: [], 8: []}
    for seed in range(4):
        X, truth = mixture(4000, 40, 4, 4.5, seed)
        for epochs, found in errors.items():
            model = SDPKMeans(
                4,
                solver="sketch",
                sketch_size=120,
                sketch_epochs=epochs,
                init="random",
                polish=False,
                certify=False,
                n_init=1,
                random_state=seed,
            ).fit(X)
            found.append(misclustering(model.labels_, truth))
    assert np.mean(errors[8]) < 0.8 * np.mean(errors[1])
    # No more than there are points for.
    X, truth = mixture(400, 10, 4, 7.0, 0)
    few = SDPKMeans(4, solver="sketch", sketch_size=150, sketch_epochs=9)
    assert misclustering(few.set_params(random_state=0).fit(X).labels_, truth) < 0.01


def test_means_of_equally_many_points_do_not_favor_large_clusters():
    # In 600 dimensions the noise of a mean of 10 points is as large as the separation:
    # with all points of each cluster the large one takes members of the small one.
    rng = np.random.default_rng(0)
    truth = (np.arange(4000) % 20 == 0).astype(int)
    X = rng.standard_normal((4000, 600))
    X[:, 0] += 8.0 * truth
    rows = np.arange(200)
    means = [X[rows][truth[rows] == k].mean(axis=0) for k in range(2)]
    inner = SimpleNamespace(labels=truth[rows], centers=np.array(means))
    lost = {}
    for balance in (False, True):
        search = SimpleNamespace(
            options=SimpleNamespace(sketch_balance=balance),
            K=2,
            rng=np.random.RandomState(0),
            rows=X,
        )
        centers = Search.sketch_centers(search, inner, rows)
        labels = ((X[200:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
        lost[balance] = (labels != truth[200:]).mean()
    assert lost[False] > 0.01 and lost[True] < 0.5 * lost[False]
    X, truth = mixture(300, 10, 3, 8.0, 0)
    model = SDPKMeans(3, solver="sketch", sketch_size=90, sketch_balance=True)
    assert misclustering(model.set_params(random_state=0).fit(X).labels_, truth) == 0


def test_predict_transform_and_score_speak_of_the_fitted_means():
    X, _ = mixture(100, 3, 3, 8.0, 0)
    model = SDPKMeans(3, random_state=0).fit(X)
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    distances = model.transform(X)
    np.testing.assert_allclose(
        distances,
        linalg.norm(X[:, None] - model.cluster_centers_, axis=2),
        rtol=1e-12,
    )
    assert model.score(X) == pytest.approx(-model.inertia_, rel=1e-10)


def test_zero_weights_are_left_out_and_labeled_all_the_same():
    X, _ = mixture(60, 3, 3, 9.0, 0)
    weights = np.ones(60)
    weights[:6] = 0.0
    model = SDPKMeans(3, random_state=0).fit(X, sample_weight=weights)
    reference = SDPKMeans(3, random_state=0).fit(X[6:])
    assert model.inertia_ == pytest.approx(reference.inertia_, rel=1e-12)
    np.testing.assert_array_equal(model.labels_, model.predict(X))


# Edge cases and errors


def test_one_cluster_and_as_many_clusters_as_points():
    X, _ = mixture(12, 2, 2, 3.0, 0)
    one = SDPKMeans(1, random_state=0).fit(X)
    assert one.certified_ and (one.labels_ == 0).all()
    assert one.inertia_ == pytest.approx(((X - X.mean(axis=0)) ** 2).sum())
    for solver in ("auto", "admm", "nlr"):
        every = SDPKMeans(12, solver=solver, random_state=0).fit(X)
        assert every.certified_ and every.inertia_ == pytest.approx(0.0, abs=1e-12)
        assert len(np.unique(every.labels_)) == 12


def test_fewer_distinct_points_than_clusters_warn():
    X = np.repeat([[0.0, 1.0], [2.0, 3.0]], 5, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"distinct points \(2\)"):
        model = SDPKMeans(4, random_state=0).fit(X)
    assert len(np.unique(model.labels_)) == 2
    assert model.inertia_ == 0 and model.cluster_centers_.shape == (4, 2)
    with pytest.warns(ConvergenceWarning, match=r"distinct points \(1\)"):
        assert SDPKMeans(2).fit(np.ones((5, 3))).inertia_ == 0


def test_an_unfinished_solver_warns_once_and_names_the_remedy():
    X, _ = mixture(80, 3, 4, 3.0, 0)
    with pytest.warns(ConvergenceWarning, match="max_iter") as record:
        model = SDPKMeans(4, solver="admm", max_iter=3, random_state=0).fit(X)
    assert len(record) == 1
    assert not model.certificate_.satisfied
    assert model.lower_bound_ <= model.inertia_


def test_inputs_are_left_alone():
    X, labels = mixture(50, 3, 3, 6.0, 0)
    before = X.copy(), labels.copy()
    X.flags.writeable = False
    SDPKMeans(3, random_state=0).fit(X)
    kmeans_certificate(X, labels, method="dual")
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"solver": "admm", "n_clusters": 2}, "solver='nlr'"),
        ({"n_clusters": 6_001}, "n_samples=6000"),
        ({"n_clusters": 4, "rank": 3}, "rank=3 must be at least"),
    ],
)
def test_fit_refuses_what_it_cannot_do(arguments, error):
    with pytest.raises(ValueError, match=error):
        SDPKMeans(**arguments).fit(np.random.default_rng(0).normal(size=(6_000, 2)))


def test_a_missing_cvxpy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    X, _ = mixture(20, 2, 2, 5.0, 0)
    for model in (SDPKMeans, LikelihoodAdjustedSDP):
        with pytest.raises(ImportError, match="needs the package cvxpy"):
            model(2, solver="cvxpy", random_state=0).fit(X)


def test_certificate_refuses_what_it_cannot_do():
    X, labels = mixture(20, 2, 2, 5.0, 0)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        kmeans_certificate(X, labels[:-1])
    with pytest.raises(ValueError, match="subset_size"):
        kmeans_certificate(X, labels, method="sampled", subset_size=21)
    with pytest.raises(ValueError, match="takes at most 3000 points"):
        kmeans_certificate(np.zeros((3001, 1)), np.zeros(3001), method="dual")
    with pytest.raises(ValueError, match="zero"):
        kmeans_certificate(X, labels, sample_weight=np.zeros(20))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        kmeans_certificate(X, labels, sample_weight=-np.ones(20))
    with pytest.raises(ValueError, match="Complex"):
        kmeans_certificate(X + 1j, labels)
    with pytest.raises(ValueError, match="NaN"):
        kmeans_certificate(np.full((20, 2), np.nan), labels)


def test_clone_keeps_the_parameters():
    model = SDPKMeans(3, solver="nlr", label_tol=None)
    assert clone(model).get_params() == model.get_params()


def test_a_certificate_of_k_means_says_how_far_the_optimum_is():
    X, labels = mixture(60, 3, 3, 12.0, 0)
    near, far = (kmeans_certificate(X, y) for y in (labels, np.sort(labels)))
    for certificate in (near, far):
        assert isinstance(certificate, KMeansCertificate)
        assert certificate.kind == "lower_bound"
        cost = certificate.details["cost"]
        assert certificate.gap == pytest.approx((cost - certificate.lower_bound) / cost)
    assert near.certified and near.gap <= 1e-6 and near.bound == "rank_one"
    assert 0 < near.lam <= near.lam_max and near.slack > 0
    assert not far.certified and far.gap > 0.1
