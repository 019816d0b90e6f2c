"""The likelihood-adjusted relaxation, its bound and its covariance updates."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import itertools
import warnings

import numpy as np
import pytest
from scipy import linalg
from scipy.optimize import linear_sum_assignment
from scipy.stats import multivariate_normal
from sklearn.metrics.cluster import contingency_matrix
from sklearn.mixture import GaussianMixture

from sparsestat.cluster import LikelihoodAdjustedSDP, SDPKMeans
from sparsestat.cluster._data import CenteredRows
from sparsestat.cluster._la_solvers import (
    Affinities,
    _partition_of_unity,
    _unit_trace,
    solve_conic,
    solve_dense,
    solve_factored,
)
from sparsestat.cluster._la_updates import covariances_of, soft_labels
from sparsestat.exceptions import ConvergenceWarning

SHAPES = np.array([np.diag([4.0, 0.3]), np.diag([0.3, 4.0]), np.eye(2)])


def shaped(n, seed, spacing=4.0):
    """Return points of three shapes in the plane, and their labels."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    centers = spacing * np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    noise = np.einsum("nij,nj->ni", np.sqrt(SHAPES)[truth], rng.normal(size=(n, 2)))
    return noise + centers[truth], truth


def objective(X, labels, covariances):
    """Return twice the profile log-likelihood, constants left out."""
    total = 0.0
    for k, S in enumerate(covariances):
        mine = X[labels == k]
        if len(mine):
            residual = mine - mine.mean(axis=0)
            total -= np.trace(residual @ linalg.solve(S, residual.T))
            total -= len(mine) * np.linalg.slogdet(S)[1]
    return total


def choleskys(covariances):
    return np.linalg.cholesky(covariances)


def misclustering(labels, truth):
    table = contingency_matrix(truth, labels)
    return 1 - table[linear_sum_assignment(-table)].sum() / len(truth)


def same_partition(a, b):
    return len(np.unique(np.column_stack((a, b)), axis=0)) == len(np.unique(b))


def test_value_of_a_partition_is_its_likelihood():
    X, truth = shaped(30, 0)
    affinities = Affinities(X, choleskys(SHAPES))
    assert affinities.value(truth) == pytest.approx(objective(X, truth, SHAPES))
    # The same from the matrices themselves.
    total = -affinities.shift * len(X)
    for k in range(3):
        e = (truth == k) / np.sqrt((truth == k).sum())
        total += e @ affinities.dense(k) @ e
    assert affinities.value(truth) == pytest.approx(total)


def test_products_are_those_of_the_dense_matrices():
    X, _ = shaped(20, 1)
    affinities = Affinities(X, choleskys(SHAPES), np.log([0.2, 0.3, 0.5]))
    U = np.random.default_rng(0).random((20, 2))
    for k in range(3):
        np.testing.assert_allclose(
            affinities.product(k, U), affinities.dense(k) @ U, rtol=1e-10
        )


@pytest.mark.parametrize("seed", range(3))
def test_bounds_hold_for_every_partition(seed):
    X, _ = shaped(8, seed, spacing=1.0)
    affinities = Affinities(X, choleskys(SHAPES))
    best = max(
        objective(X, np.array(labels), SHAPES)
        for labels in itertools.product(range(3), repeat=8)
    )
    dense = solve_dense(affinities, max_iter=60)
    assert dense.upper_bound >= best - 1e-9
    rng = np.random.default_rng(seed)
    assert affinities.weak_bound(rng.standard_normal(8)) >= best - 1e-9


def test_weak_bound_is_that_of_the_dense_eigenproblem():
    X, _ = shaped(25, 0)
    affinities = Affinities(X, choleskys(SHAPES))
    y = np.random.default_rng(1).standard_normal(25)
    dense = y.sum() - affinities.shift * 25
    for k in range(3):
        M = affinities.dense(k) - 0.5 * (y[:, None] + y)
        dense += linalg.eigvalsh(M)[-1]
    assert affinities.weak_bound(y) == pytest.approx(dense, rel=1e-9)


@pytest.mark.slow
def test_consensus_agrees_with_cvxpy():
    pytest.importorskip("cvxpy")
    X, _ = shaped(24, 3, spacing=2.0)
    affinities = Affinities(X, choleskys(SHAPES))
    ours, theirs = solve_dense(affinities), solve_conic(affinities)
    assert ours.converged
    # Relative to the scale of the problem: the optimum itself may be near zero.
    assert abs(ours.value - theirs.value) <= 1e-5 * affinities.scale
    assert ours.upper_bound >= theirs.value - 1e-5 * affinities.scale


def test_low_rank_from_good_labels_reaches_a_tight_relaxation():
    X, truth = shaped(60, 0)
    affinities = Affinities(X, choleskys(SHAPES))
    U = np.zeros((3, 60, 2))
    U[truth, np.arange(60), 0] = 1.0
    U += 1e-3
    U /= np.sqrt((U**2).sum(axis=(1, 2), keepdims=True))
    result = solve_factored(affinities, U, max_iter=5000, tol=1e-6)
    assert result.value == pytest.approx(affinities.value(truth), rel=1e-3)
    np.testing.assert_allclose(result.memberships.sum(axis=1), 1, atol=1e-4)


def test_equal_spheres_give_the_relaxation_of_kmeans():
    X, _ = shaped(36, 2, spacing=1.0)
    variance = 2.5
    affinities = Affinities(X, choleskys(variance * np.array([np.eye(2)] * 3)))
    ours = solve_dense(affinities)
    sdp = SDPKMeans(3, solver="admm", tol=5e-6, certify=False, random_state=0).fit(X)
    # sum_k <A_k, Z_k> = (<X X', Z> - |X|^2) / variance - n log det.
    data = CenteredRows(X)
    expected = (sdp.sdp_value_ - data.cost_unit * data.sum_of_squares) / variance
    expected -= len(X) * 2 * np.log(variance)
    assert ours.value == pytest.approx(expected, rel=1e-5)


def test_updates_at_a_partition_are_the_covariances_of_its_clusters():
    X, truth = shaped(60, 0)

    class Lifted:
        memberships = np.eye(3)[truth]
        factored = True
        lifted = [np.diag((truth == k) * 0.0) for k in range(3)]

    for k in range(3):
        e = (truth == k) / np.sqrt((truth == k).sum())
        Lifted.lifted[k] = e[:, None]
    soft, sizes = covariances_of(X, truth, 3, Lifted)
    hard, _ = covariances_of(X, truth, 3, None)
    for k in range(3):
        expected = np.cov(X[truth == k].T, bias=True)
        np.testing.assert_allclose(soft[k], expected, rtol=1e-10)
        np.testing.assert_allclose(hard[k], expected, rtol=1e-10)
    np.testing.assert_allclose(sizes, np.bincount(truth))


def test_projections_of_the_consensus():
    rng = np.random.default_rng(0)
    T = rng.standard_normal((6, 6))
    T = T + T.T
    P = _unit_trace(T)
    assert np.trace(P) == pytest.approx(1) and linalg.eigvalsh(P)[0] > -1e-12
    for _ in range(20):  # variational inequality of a projection
        Q = rng.standard_normal((6, 3))
        Q = Q @ Q.T
        Q /= np.trace(Q)
        assert np.vdot(T - P, Q - P) <= 1e-10
    V = rng.standard_normal((3, 6, 6))
    V = V + V.transpose(0, 2, 1)
    W = _partition_of_unity(V)
    np.testing.assert_allclose(W.sum(axis=(0, 2)), 1, atol=1e-12)
    np.testing.assert_allclose(_partition_of_unity(W), W, atol=1e-12)


@pytest.mark.parametrize("solver", ["auto", "low_rank"])
def test_known_covariances_find_the_shapes(solver):
    X, truth = shaped(45, 0)
    model = LikelihoodAdjustedSDP(
        3, covariances=SHAPES, solver=solver, random_state=0
    ).fit(X)
    assert same_partition(model.labels_, truth)
    likelihood = sum(
        multivariate_normal(X[model.labels_ == k].mean(axis=0), SHAPES[k])
        .logpdf(X[model.labels_ == k])
        .sum()
        for k in range(3)
    )
    assert model.log_likelihood_ == pytest.approx(likelihood)
    assert model.upper_bound_ >= model.log_likelihood_
    assert model.certified_ == (solver == "auto")


def test_invertible_maps_leave_the_labels():
    X, _ = shaped(120, 1, spacing=1.5)
    M = np.array([[2.0, 0.7], [-0.3, 0.5]])
    mapped = np.array([M @ S @ M.T for S in SHAPES])
    start = np.arange(120) % 3
    one = LikelihoodAdjustedSDP(
        3, covariances=SHAPES, init=start, solver="low_rank", random_state=0
    ).fit(X)
    two = LikelihoodAdjustedSDP(
        3, covariances=mapped, init=start, solver="low_rank", random_state=0
    ).fit(X @ M.T)
    np.testing.assert_array_equal(one.labels_, two.labels_)


def test_it_finds_crossed_clusters_that_kmeans_misses():
    rng = np.random.default_rng(0)
    truth = np.arange(200) % 2
    X = rng.standard_normal((200, 2)) * np.where(truth[:, None], [5, 0.3], [0.3, 5])
    X[truth == 0] += [0.0, 12.0]
    model = LikelihoodAdjustedSDP(2, random_state=0).fit(X)
    plain = SDPKMeans(2, random_state=0).fit(X)
    wrong = [
        min((m.labels_ != truth).mean(), (m.labels_ == truth).mean())
        for m in (model, plain)
    ]
    assert wrong[0] <= 0.01 and wrong[1] >= 0.05
    # Updates may lower the likelihood, the answer is the best of them.
    assert model.log_likelihood_ == pytest.approx(model.history_.max())
    # The relaxation and the densities may differ about a point in between.
    assert (model.predict(X) == model.labels_).mean() > 0.99
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert model.score(X) > LikelihoodAdjustedSDP(
        2, covariance_type="spherical", random_state=0
    ).fit(X).score(X)


def test_log_densities_are_those_of_scipy():
    X, _ = shaped(90, 0)
    model = LikelihoodAdjustedSDP(3, use_weights=True, random_state=0).fit(X)
    for k in range(3):
        normal = multivariate_normal(model.means_[k], model.covariances_[k])
        np.testing.assert_allclose(
            model._log_density(X)[:, k],
            normal.logpdf(X) + np.log(model.weights_[k]),
            rtol=1e-9,
        )
        precision = model.precisions_cholesky_[k] @ model.precisions_cholesky_[k].T
        np.testing.assert_allclose(
            precision @ model.covariances_[k], np.eye(2), atol=1e-9
        )


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("shrinkage", ["pooled", "identity", None])
def test_covariance_types_have_their_form(kind, shrinkage):
    X, _ = shaped(90, 0)
    model = LikelihoodAdjustedSDP(
        3, covariance_type=kind, shrinkage=shrinkage, max_iter=2, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        S = model.fit(X).covariances_
    if kind == "tied":
        np.testing.assert_allclose(S[1:], S[:-1], rtol=1e-8)
    if kind in ("diag", "spherical"):
        off = S - S * np.eye(2)
        np.testing.assert_allclose(off, 0, atol=1e-10)
    if kind == "spherical":
        np.testing.assert_allclose(S[:, 0, 0], S[:, 1, 1], rtol=1e-8)


@pytest.mark.parametrize("reduction", ["auto", "pca", "lda"])
def test_many_dimensions_are_reduced(reduction):
    rng = np.random.default_rng(0)
    truth = np.arange(150) % 3
    X = 4.0 * np.eye(3, 40)[truth] + rng.standard_normal((150, 40))
    model = LikelihoodAdjustedSDP(3, reduction=reduction, random_state=0).fit(X)
    q = 2 if reduction == "lda" else 7
    assert model.reduction_.shape == (40, q)
    assert model.covariances_.shape == (3, q, q)
    assert np.mean(model.predict(X) == model.labels_) > 0.9
    assert model.means_.shape == (3, 40)


def test_locked_labels_are_warned_about():
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 3
    X = 3.0 * np.eye(3, 30)[truth] + rng.standard_normal((60, 30))
    with pytest.warns(UserWarning, match="lock its members in"):
        LikelihoodAdjustedSDP(
            3, reduction="none", solver="low_rank", random_state=0
        ).fit(X)


def ellipsoids(seed):
    """Return three rotated Gaussians in seven dimensions, 50 points each."""
    rng = np.random.default_rng(seed)
    truth = np.arange(150) % 3
    X = rng.standard_normal((150, 7))
    for k in range(3):
        Q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
        mine = truth == k
        X[mine, :6] = X[mine, :6] * np.sqrt([9, 6, 1, 0.3, 0.3, 0.2]) @ Q.T
    return X + 3.2 * np.eye(3, 7)[truth], truth


def test_soft_labels_are_those_of_em():
    X, truth = ellipsoids(0)
    start = np.where(np.random.default_rng(0).random(150) < 0.2, 0, truth)

    def plain(T, raw, sizes):
        return choleskys(raw + 1e-6 * np.eye(7))

    model = GaussianMixture(3, tol=1e-4, reg_covar=1e-6, max_iter=200)
    model.weights_init = np.bincount(start) / 150
    model.means_init = np.array([X[start == k].mean(axis=0) for k in range(3)])
    covariances = [np.cov(X[start == k].T, bias=True) for k in range(3)]
    model.precisions_init = np.linalg.inv(covariances)
    np.testing.assert_array_equal(soft_labels(X, start, plain), model.fit_predict(X))


def test_soft_starts_get_away_from_labels_that_confirm_themselves():
    hard, soft, gained = [], [], 0
    for seed in range(6):
        X, truth = ellipsoids(seed)
        arguments = {"reduction": "none", "random_state": 0}
        one = LikelihoodAdjustedSDP(3, soft_start=False, **arguments).fit(X)
        two = LikelihoodAdjustedSDP(3, **arguments).fit(X)
        assert two.log_likelihood_ >= one.log_likelihood_ - 1e-9
        gained += two.log_likelihood_ > one.log_likelihood_ + 1.0
        assert two.log_likelihood_ == two.history_.max()
        np.testing.assert_array_equal(two.history_[: one.n_iter_], one.history_)
        for errors, model in ((hard, one), (soft, two)):
            errors.append(misclustering(model.labels_, truth))
    assert gained >= 2
    assert np.mean(soft) < 0.7 * np.mean(hard)


@pytest.mark.parametrize("init", ["kmeans", "spectral", "sdp"])
def test_starts_agree_where_clusters_are_clear(init):
    X, truth = shaped(90, 0, spacing=8.0)
    model = LikelihoodAdjustedSDP(3, init=init, random_state=0).fit(X)
    assert same_partition(model.labels_, truth)


def test_covariances_cannot_become_singular():
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((40, 3)) * [1.0, 1.0, 0.0]
    X = np.vstack([flat, rng.standard_normal((40, 3)) + 8.0])
    model = LikelihoodAdjustedSDP(2, reg_covar=0.0, shrinkage=None, random_state=0)
    model.fit(X)
    assert np.linalg.cond(model.covariances_).max() <= 1e6 * (1 + 1e-6)
    assert np.isfinite(model.log_likelihood_)
    assert model.upper_bound_ >= model.log_likelihood_


def test_empty_and_tiny_clusters_are_refilled():
    X, _ = shaped(60, 0)
    start = np.zeros(60, dtype=int)
    start[:2] = 1
    model = LikelihoodAdjustedSDP(3, init=start, random_state=0).fit(X)
    assert np.isfinite(model.log_likelihood_)
    assert (np.bincount(model.labels_, minlength=3) > 0).all()


def test_constant_data_and_one_cluster():
    X = np.ones((10, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LikelihoodAdjustedSDP(1).fit(X)
        assert np.isfinite(model.log_likelihood_)
        LikelihoodAdjustedSDP(1, random_state=0).fit(np.arange(20.0).reshape(10, 2))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"n_clusters": 11}, "n_samples=10"),
        ({"covariances": np.eye(2)}, r"shape \(2, 2, 2\)"),
        ({"covariances": [np.eye(2), -np.eye(2)]}, "not positive definite"),
        ({"covariances": [np.eye(2), [[1, 0.5], [0, 1]]]}, "not symmetric"),
        ({"init": np.arange(10)}, "more than"),
        ({"init": [0, 1]}, "one label for each of the 10 samples"),
    ],
)
def test_bad_input_says_what_was_expected(arguments, message):
    X = np.random.default_rng(0).standard_normal((10, 2))
    with pytest.raises(ValueError, match=message):
        LikelihoodAdjustedSDP(**{"n_clusters": 2, **arguments}).fit(X)


def test_too_many_samples_for_a_dense_solver():
    with pytest.raises(ValueError, match="solver='low_rank'"):
        LikelihoodAdjustedSDP(solver="admm").fit(np.random.rand(401, 2))


def test_shrinkage_weighs_its_target():
    X, truth = shaped(90, 0)
    own = np.array([np.cov(X[truth == k].T, bias=True) for k in range(3)])
    pooled = own.mean(axis=0)  # the clusters have equal sizes
    found = {}
    for share in (0.0, 0.5, 1.0):
        model = LikelihoodAdjustedSDP(
            3, init=truth, soft_start=False, reg_covar=0.0, random_state=0,
            shrinkage_intensity=share, reduction="none",
        ).fit(X)  # fmt: skip
        np.testing.assert_array_equal(model.labels_, truth)
        found[share] = model.covariances_
    np.testing.assert_allclose(found[0.0], own, rtol=1e-6, atol=1e-8)
    half = 0.5 * (own + pooled)
    np.testing.assert_allclose(found[0.5], half, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found[1.0], [pooled] * 3, rtol=1e-6, atol=1e-8)


def test_no_cluster_is_smaller_than_asked():
    X, _ = shaped(60, 0)
    X = np.vstack([X, [[40.0, 40.0], [40.5, 40.0], [40.0, 40.5], [40.5, 40.5]]])
    free, held = (
        LikelihoodAdjustedSDP(4, min_cluster_size=size, random_state=0)
        for size in (None, 7)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        free.fit(X), held.fit(X)
    assert np.bincount(free.labels_, minlength=4).min() == 4
    assert np.bincount(held.labels_, minlength=4).min() >= 7


def test_memberships_are_the_lifted_labels():
    X, truth = shaped(60, 1, spacing=8.0)
    model = LikelihoodAdjustedSDP(3, random_state=0).fit(X)
    assert same_partition(model.labels_, truth)
    memberships = model.memberships_
    assert memberships.shape == (60, 3) and (memberships >= -1e-8).all()
    np.testing.assert_allclose(memberships.sum(axis=1), 1.0, atol=1e-4)
    # A tight relaxation is the partition itself.
    np.testing.assert_allclose(memberships, np.eye(3)[model.labels_], atol=1e-2)
