"""What certificates of relaxations and alternations say, whatever solvers return.

Solvers are replaced by ones that return prescribed numbers, so that stopping rules and
certificates can be asserted to the last digit of these.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import linalg

from sparsestat.cluster import (
    LikelihoodAdjustedSDP,
    SDPKMeans,
    _admm,
    _certify,
    _la_alternation,
    _sdp_search,
)
from sparsestat.cluster._admm import ADMMResult, dual_bound, solve_admm
from sparsestat.cluster._data import CenteredRows, Frame
from sparsestat.cluster._la_alternation import Alternation, AlternationOptions
from sparsestat.cluster._la_solvers import Affinities
from sparsestat.exceptions import ConvergenceWarning

SOLVER = "infeasibility of the relaxation / its right-hand side"
BOUND = "last change of the lower bound / remaining gap"


def touching(n=18, seed=0):
    """Return three clusters that touch, so that no quick bound proves anything."""
    rng = np.random.default_rng(seed)
    centers = 2.5 * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    return centers[np.arange(n) % 3] + rng.standard_normal((n, 2)) + 7.0


def cost_of(X, labels):
    parts = [X[labels == k] for k in np.unique(labels)]
    return sum(((p - p.mean(axis=0)) ** 2).sum() for p in parts)


# The dense relaxation


@pytest.mark.parametrize("n_clusters", [1, 2, 4])
@pytest.mark.parametrize("shift", [0.0, -3.0])
def test_the_dual_bound_is_that_of_the_projected_matrix(n_clusters, shift, monkeypatch):
    monkeypatch.setattr(_admm, "_EPS", 2.0**-20)
    rng = np.random.default_rng(n_clusters)
    root = np.sqrt(rng.integers(1, 5, 7).astype(float))
    q = root / np.sqrt(root @ root)
    P = np.eye(7) - np.outer(q, q)
    rows = P @ rng.standard_normal((7, 2))
    gram, B = rows @ rows.T, rng.random((7, 7))
    B = B + B.T + 2.0 * shift * np.eye(7)  # eigenvalues below zero count as none
    N = P @ (gram + B) @ P
    top = np.sort(linalg.eigvalsh(N))[::-1][: n_clusters - 1]
    along = q @ (gram + B) @ q
    slack = 70 * 2.0**-20 * (linalg.norm(N) + abs(along)) + 0.125
    expected = 50.0 - along - np.maximum(top, 0.0).sum() - slack
    found = dual_bound(gram, B, root, n_clusters, 50.0, 0.125)
    assert_allclose(found, expected, rtol=1e-9)


@pytest.fixture
def stubbed(monkeypatch):
    """Replace the steps and bounds of the dense solver by prescribed numbers."""

    def prescribe(bounds, primal=8.0, dual=2.0):
        values = iter(bounds)
        monkeypatch.setattr(_admm, "dual_bound", lambda *_: next(values))
        steps = SimpleNamespace(
            admm_pass=lambda *_: (primal, dual), shifted_target=lambda *_: None
        )
        monkeypatch.setattr(_admm, "kernels", steps)

    return prescribe


@pytest.mark.parametrize(
    ("bounds", "cost", "options", "n_iter", "converged", "change"),
    [
        # The bound proves the cost to gap_tol, at a check and not before.
        ([6.0], 8.0, {"gap_tol": 0.25}, 20, True, np.inf),
        ([4.0, 6.0], 8.0, {"gap_tol": 0.25}, 40, True, 1.0),
        ([4.0, 5.0], 8.0, {"gap_tol": 0.25, "max_iter": 35}, 35, False, 1 / 3),
        ([6.0], 8.0, {"gap_tol": 0.25, "stop_at_gap": False, "max_iter": 9}, 9, False,
         np.inf),
        ([6.0], 0.0, {}, 20, True, 0.0),
        ([8.5], 8.0, {}, 20, True, 0.0),
        # It stands still at two checks running.
        ([0.0, 5.0, 6.0, 5.5, 6.5], 8.0, {"settle": 0.5}, 80, True, 0.0),
        ([0.0, 7.0, 6.0, 7.5, 6.5, 7.0], 8.0, {"settle": 0.5}, 120, True, 0.0),
        ([0.0, 4.0, 6.0, 6.0], 8.0, {"settle": 1.0}, 60, True, 1.0),
        ([0.0, 5.0, 6.0, 5.5], 8.0, {"max_iter": 80}, 80, False, 0.0),
        # The residual is met: at once, or once the bound gains no more.
        ([1.0], 8.0, {"tol": 2.0, "stop_at_gap": False}, 1, True, np.inf),
        ([1.0], 8.0, {"tol": 3.0, "stop_at_gap": False}, 1, True, np.inf),
        ([1.0], 8.0, {"tol": 1.9, "stop_at_gap": False, "max_iter": 5}, 5, False,
         np.inf),
        ([1.0, 4.0, 4.25], 8.0, {"tol": 2.0}, 60, True, 0.25 / 3.75),
    ],
)  # fmt: skip
def test_the_dense_solver_stops_when_it_says(
    bounds, cost, options, n_iter, converged, change, stubbed
):
    stubbed(bounds)
    data, seen = CenteredRows(touching()), []

    def report(residual, gap):
        seen.append((residual, gap))

    given = {"tol": 1e-6, **options}
    found = solve_admm(data, 2, cost=cost, report=report, **given)
    assert found.n_iter == n_iter and found.converged == converged
    best = max(bounds[: max(1, -(-n_iter // 20))])
    assert found.lower_bound == best
    assert found.change == pytest.approx(change)
    assert found.infeasibility == pytest.approx(2.0)  # of sqrt(8 / 2) and sqrt(2)
    for k, (residual, gap) in enumerate(seen):
        assert residual == pytest.approx(2.0)
        assert gap == pytest.approx((cost - max(bounds[: k + 1])) / cost)


def test_the_dense_solver_reports_and_may_be_stopped(stubbed):
    data = CenteredRows(touching())
    stubbed([1.0, 2.0], primal=2.0, dual=9.0)
    found = solve_admm(data, 2, cost=8.0, report=lambda **seen: True)
    assert found.n_iter == 20 and not found.converged and found.lower_bound == 1.0
    assert found.infeasibility == pytest.approx(3.0)  # the dual one, rho is 1
    assert found.value == pytest.approx(float(np.vdot(data.gram(), found.membership)))
    # The penalty halves at each check while the dual residual leads, up to step 500.
    for max_iter, halved in ((60, 2), (600, 25)):
        stubbed([1.0] * 30, primal=0.0, dual=9.0)
        found = solve_admm(data, 2, cost=8.0, max_iter=max_iter, tol=0.0)
        assert found.infeasibility == pytest.approx(3.0 * 0.5**halved)
    stubbed([1.0] * 2, primal=2.0, dual=4.0)  # neither leads
    found = solve_admm(data, 2, cost=8.0, max_iter=40, tol=0.0)
    assert found.infeasibility == pytest.approx(2.0)
    flat = CenteredRows(np.ones((4, 2)), np.array([1.0, 2.0, 2.0, 4.0]))
    found = solve_admm(flat, 2, cost=0.0)
    assert found.converged and found.n_iter == 0
    assert (found.value, found.lower_bound, found.infeasibility, found.change) == (
        0.0, 0.0, 0.0, 0.0,
    )  # fmt: skip
    q = flat.root / linalg.norm(flat.root)
    assert_allclose(found.membership, np.outer(q, q))


def test_the_allowance_of_the_dense_solver_is_that_of_its_products(monkeypatch):
    given = []
    monkeypatch.setattr(_admm, "dual_bound", lambda *args: given.append(args) or 0.0)
    monkeypatch.setattr(_admm, "rounding", lambda n_terms, size: n_terms * size)
    data = CenteredRows(touching())
    solve_admm(data, 3, cost=8.0, max_iter=1)
    gram, B, root, n_clusters, total, slack = given[0]
    assert_array_equal(gram, data.gram())
    assert_array_equal(root, data.root)
    assert (B >= 0).all() and (B == B.T).all() and n_clusters == 3
    assert total == pytest.approx(np.trace(gram))
    assert slack == pytest.approx(8 * 20 * data.magnitude + 3 * data.gram_rounding)


# The search


def admm_result(X, labels, share, **fields):
    """Return a solution that is a partition, and a bound below the best cost."""
    same = labels[:, None] == labels
    sizes = np.bincount(labels)[labels]
    return ADMMResult(same / sizes, fields.pop("value", 3.0), share, **fields)


@pytest.mark.parametrize(
    ("solved", "value", "tol", "scale"),
    [
        ((1e-7, 0.5, True), 1e-7, 1e-5, SOLVER),
        ((1e-5, 0.5, True), 1e-5, 1e-5, SOLVER),
        ((1e-2, 5e-3, True), 5e-3, 1e-2, BOUND),  # the bound stood still
        ((1e-2, 1e-2, True), 1e-2, 1e-2, BOUND),
        ((1e-2, 0.5, True), 0.0, 1e-2, BOUND),  # the gap is closed
        ((3e-1, 0.5, False), 3e-1, 1e-5, SOLVER),
    ],
)
@pytest.mark.parametrize("share", [0.9, 1.0])
def test_auto_says_how_far_the_relaxation_was_solved(
    solved, value, tol, scale, share, monkeypatch
):
    X, given = touching(), {}
    infeasibility, change, converged = solved

    def solve(data, n_clusters, *, cost, **options):
        given.update(options, cost=cost)
        labels = np.arange(18) % 3
        return admm_result(
            X, labels, share * cost, infeasibility=infeasibility, change=change,
            n_iter=77, converged=converged,
        )  # fmt: skip

    monkeypatch.setattr(_certify, "solve_admm", solve)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = SDPKMeans(3, random_state=0, gap_tol=1e-3, max_iter=500).fit(X)
    certificate = model.certificate_
    assert certificate.value == value and certificate.tol == tol
    assert certificate.scale.startswith(scale)
    assert certificate.satisfied == converged
    assert (given["max_iter"], given["tol"], given["gap_tol"]) == (500, 1e-5, 1e-3)
    assert given["settle"] == 1e-2
    assert model.n_iter_ == 77 and model.primal_infeasibility_ == infeasibility
    assert model.inertia_ == pytest.approx(cost_of(X, model.labels_), rel=1e-12)
    assert certificate.bound == "dual"
    unit = model._frame.unit**2
    assert model.lower_bound_ == pytest.approx(share * given["cost"] * unit)
    assert model.sdp_value_ == pytest.approx(3.0 * unit)
    assert model.gap_ == pytest.approx(
        1 - model.lower_bound_ / model.inertia_, abs=1e-12
    )
    assert model.certified_ == (share == 1.0)
    assert_allclose(model.membership_matrix_.sum(axis=1), 1.0)


def test_a_cheaper_partition_keeps_the_bound_that_was_proved(monkeypatch):
    X = touching(30)
    best = SDPKMeans(3, random_state=0, certify=False).fit(X)

    def solve(data, n_clusters, *, cost, **options):
        return admm_result(
            X, best.labels_.astype(int), 0.9 * cost, infeasibility=0.0, change=0.0,
            n_iter=1, converged=True,
        )  # fmt: skip

    def poor(self, n_init):
        self.offer(np.arange(30) // 10, polish=False)

    monkeypatch.setattr(_certify, "solve_admm", solve)
    monkeypatch.setattr(_sdp_search.Search, "plus_plus", poor)
    model = SDPKMeans(3, random_state=0).fit(X)
    assert model.inertia_ == pytest.approx(best.inertia_)
    poor_cost = cost_of(X, np.arange(30) // 10)
    proved = min(0.9 * poor_cost, poor_cost)
    assert model.lower_bound_ == pytest.approx(proved, rel=1e-9)
    assert model.certificate_.details["cost"] == pytest.approx(best.inertia_)
    # A bound above the cost would be a fault of the solver: here it is made up.
    assert model.gap_ == 0.0


@pytest.mark.parametrize("label_tol", [1e-2, None])
def test_low_rank_certificates_are_those_of_the_best_start(label_tol, monkeypatch):
    X, asked = touching(), []
    weights = np.where(np.arange(18) % 2, 4.0, 1.0)
    good = SDPKMeans(3, random_state=0, certify=False).fit(X).labels_.astype(int)
    results = iter([(0.25, 11, True), (0.5, 12, False), (0.75, 13, True)])

    def start(data, n_clusters, rank, seed, labels, options):
        asked.append((n_clusters, rank, labels is None, options))
        infeasibility, n_iter, converged = next(results)
        result = SimpleNamespace(
            factor=np.full((18, rank), float(n_iter)), value=2.0,
            infeasibility=infeasibility, n_iter=n_iter, converged=converged,
        )  # fmt: skip
        return result, good if n_iter == 12 else np.arange(18) // 6

    monkeypatch.setattr(_sdp_search, "_low_rank_start", start)
    monkeypatch.setattr(
        _sdp_search.Search,
        "plus_plus",
        lambda self, n: self.offer(np.arange(18) // 6, polish=False),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = SDPKMeans(
            3, solver="nlr", label_tol=label_tol, certify="quick", polish=False,
            random_state=0, tol=1e-4,
        ).fit(X, sample_weight=weights)  # fmt: skip
    tol = 1e-4 if label_tol is None else 1e-2
    for k, (n_clusters, rank, at_random, options) in enumerate(asked):
        assert (n_clusters, rank, at_random) == (3, 6, k > 0)
        assert options == {
            "tol": 1e-4, "label_tol": tol, "labels_only": label_tol is not None,
            "max_iter": 10_000,
        }  # fmt: skip
    assert len(asked) == 3
    # The second costs least, though it did not converge.
    certificate = model.certificate_
    assert (certificate.value, model.n_iter_) == (0.5, 12)
    assert not certificate.satisfied
    assert certificate.tol == tol and certificate.scale.startswith(SOLVER)
    assert model.primal_infeasibility_ == certificate.value
    assert (model.sdp_value_ is None) == (label_tol is not None)
    assert_allclose(
        model.membership_factor_,
        np.repeat((24.0 / np.sqrt(weights))[:, None], 6, axis=1),
    )


def test_partitions_without_a_bound_have_the_trivial_one(monkeypatch):
    X = touching()
    model = SDPKMeans(3, certify=False, random_state=0).fit(X)
    certificate = model.certificate_
    assert (certificate.bound, model.lower_bound_, model.gap_) == ("trivial", 0.0, 1.0)
    assert not model.certified_ and certificate.satisfied
    assert certificate.details["cost"] == pytest.approx(cost_of(X, model.labels_))
    assert certificate.details["gap_rounding"] == 0.0
    assert np.isnan([certificate.lam, certificate.lam_max, certificate.slack]).all()
    # Weights of zero: labels of those points are their nearest centers.
    weights = np.r_[np.zeros(4), np.ones(14)]
    model.fit(X, sample_weight=weights)
    assert model.inertia_ == pytest.approx(cost_of(X[4:], model.labels_[4:]))
    assert_array_equal(model.predict(X)[:4], model.labels_[:4])
    # As many points of positive weight as features.
    X = np.random.default_rng(0).standard_normal((6, 4))
    model.fit(X, sample_weight=[0.0, 0, 1, 1, 1, 1])
    assert model.labels_.shape == (6,)
    # The cost is summed once more, with care.
    monkeypatch.setattr(_sdp_search, "cost_about", lambda *_: 7.0)
    model.set_params(polish=False).fit(X)
    assert model.inertia_ == 7.0 * model._frame.unit**2


def test_other_solvers_are_followed_by_the_relaxation(monkeypatch):
    X, calls = touching(), []

    def solve(data, n_clusters, *, cost, **options):
        calls.append(options)
        return admm_result(
            X, np.arange(18) % 3, 0.8 * cost, infeasibility=0.5, change=0.0,
            n_iter=3, converged=False,
        )  # fmt: skip

    monkeypatch.setattr(_certify, "solve_admm", solve)
    for certify, bound in (("sdp", "dual"), ("auto", "dual"), ("quick", None)):
        model = SDPKMeans(3, solver="nlr", certify=certify, random_state=0, tol=1e-3)
        model.fit(X)
        assert (model.certificate_.bound == "dual") == (bound == "dual")
    assert [(one["tol"], one["settle"]) for one in calls] == [(1e-5, 1e-2)] * 2


# The likelihood-adjusted relaxation


@pytest.mark.parametrize(
    ("infeasibility", "converged", "satisfied"),
    [(1e-3, False, True), (0.5, True, True), (0.5, False, False), (1e-2, False, True)],
)
@pytest.mark.parametrize("excess", [-1e-3, 0.0, 1e-5, 6e-5, 1.0])
@pytest.mark.parametrize("solver", ["admm", "low_rank"])
def test_likelihoods_are_bounded_by_the_relaxation(
    solver, infeasibility, converged, satisfied, excess, monkeypatch
):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 3))
    X[:12, 0] += 60.0
    covariances = np.array([np.eye(3), np.diag([2.0, 1.0, 0.5])])
    covariances[1, 0, 1] = covariances[1, 1, 0] = 0.5
    truth, starts = (np.arange(20) >= 12).astype(int), []

    def solve(affinities, start, enough=None):
        starts.append(enough)
        known = truth if enough is None else start
        top = max(affinities.value(labels) for labels in (known, truth, 1 - truth))
        memberships = np.eye(2)[truth]
        return SimpleNamespace(
            memberships=memberships, upper_bound=top + excess,
            infeasibility=infeasibility, converged=converged,
        )  # fmt: skip

    monkeypatch.setattr(_la_alternation, "solve_dense", solve)
    monkeypatch.setattr(_la_alternation, "solve_factored", solve)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LikelihoodAdjustedSDP(
            2, covariances=covariances, solver=solver, random_state=0
        ).fit(X)
    if solver == "admm":
        assert starts[0] == 1e-3 and starts[-1] == 3e-5
    densities = 0.0
    for k, S in enumerate(covariances):
        rows = X[model.labels_ == k]
        rest = rows - rows.mean(axis=0)
        densities -= 0.5 * np.einsum("ij,ij->", rest @ linalg.inv(S), rest)
        densities -= 0.5 * len(rows) * np.log((2 * np.pi) ** 3 * linalg.det(S))
        W = model.precisions_cholesky_[k]
        assert_allclose(W @ W.T @ S, np.eye(3), atol=1e-9)
        assert_allclose(model.means_[k], rows.mean(axis=0))
    assert model.log_likelihood_ == pytest.approx(densities, rel=1e-9)
    gap = max(0.5 * excess / 20, 0.0)
    assert model.upper_bound_ - model.log_likelihood_ == pytest.approx(
        0.5 * excess, abs=1e-10
    )
    certificate = model.certificate_
    assert certificate.details["gap"] == pytest.approx(gap, abs=1e-11)
    assert certificate.details["gap"] >= 0.0
    assert model.certified_ == (gap <= 1e-6)
    assert certificate.details["certified"] == ("yes" if gap <= 1e-6 else "no")
    assert certificate.value == infeasibility and certificate.tol == 1e-2
    assert certificate.satisfied == satisfied
    assert certificate.details["log_likelihood"] == model.log_likelihood_
    assert certificate.details["upper_bound"] == model.upper_bound_
    assert_allclose(model.history_, model.log_likelihood_, rtol=1e-9)
    assert_allclose(model.covariances_, covariances, rtol=1e-9)
    assert_allclose(model.weights_, np.bincount(model.labels_) / 20)
    assert_allclose(model.memberships_.sum(axis=1), 1.0)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_likeliest_labels_and_their_bound_are_kept(weighted):
    """Labels are those of the relaxation only where these are at least as likely."""
    X, good = touching(20), np.arange(20) % 2
    X[good == 1] += 9.0
    options = LikelihoodAdjustedSDP(2, use_weights=weighted, init=np.arange(20) // 10)
    fit = Alternation(options._options(AlternationOptions), X, np.random)
    factors = np.array([np.eye(2), 0.5 * np.eye(2)])
    T = fit.X

    def value(labels, factors, sizes):
        total = 0.0
        for k, L in enumerate(factors):
            rows = T[labels == k]
            rest = linalg.solve(L, (rows - rows.mean(axis=0)).T)
            total -= 0.5 * (rest**2).sum() + len(rows) * np.log(linalg.det(L))
            total -= len(rows) * np.log(2 * np.pi)
            total += len(rows) * np.log(sizes[k] / 20) if weighted else 0.0
        return total

    def solved(labels, bound, **fields):
        # Shares that need to be scaled, and one that rounding made negative.
        memberships = 3.0 * np.eye(2)[labels]
        memberships[0, 1 - labels[0]] = -1e-9
        return SimpleNamespace(
            memberships=memberships, upper_bound=bound,
            **{"infeasibility": 0.5, "converged": False, **fields},
        )  # fmt: skip

    bad, constant = np.arange(20) // 10, 40 * np.log(2 * np.pi)
    steps = [
        # Labels of the relaxation, covariances, and which labels are kept.
        (good, factors, good, True),
        (bad, factors, good, False),
        (good, 3.0 * factors, good, False),
        (good, 0.5 * factors, good, True),
    ]
    sizes = [10, 10]
    for k, (labels, shape, kept, better) in enumerate(steps):
        fit._solve = lambda affinities, labels=labels, k=k: solved(labels, 100.0 * k)
        before = fit.best
        _, found = fit._solve_and_keep(T, shape)
        assert_array_equal(fit.labels, kept)
        expected = value(kept, shape, sizes)
        assert found == pytest.approx(expected, rel=1e-9)
        assert (fit.best is not before) == better
        if better:
            best = fit.best
            assert best["likelihood"] == found and best["factors"] is shape
            assert best["bound"] == pytest.approx(0.5 * (100.0 * k - constant))
            assert_allclose(best["memberships"], np.eye(2)[labels], atol=1e-9)
            assert not best["converged"] and best["infeasibility"] == 0.5


def test_one_cluster_has_the_likelihood_of_its_gaussian():
    X = touching(12)
    model = LikelihoodAdjustedSDP(1, covariances=[np.eye(2)], random_state=0).fit(X)
    expected = -0.5 * ((X - X.mean(axis=0)) ** 2).sum() - 12 * np.log(2 * np.pi)
    assert model.log_likelihood_ == pytest.approx(expected, rel=1e-9)
    assert model.certified_


@pytest.mark.parametrize(("first", "last"), [(2e3, 3e3), (3e3, 2e3)])
def test_the_tighter_bound_and_the_likelier_labels_are_kept(first, last, monkeypatch):
    X = touching(20)
    covariances = np.array([np.eye(2), 2.0 * np.eye(2)])
    bounds = []

    def solve(affinities, start, enough):
        memberships = np.eye(2)[(X[:, 0] > 8.5).astype(int)]
        if enough < 1e-4:  # at the end: a looser bound, and worse labels
            memberships = np.eye(2)[np.arange(20) % 2]
        bounds.append(affinities.value(memberships.argmax(axis=1)))
        return SimpleNamespace(
            memberships=memberships, infeasibility=1e-4, converged=True,
            upper_bound=last if enough < 1e-4 else first,
        )  # fmt: skip

    monkeypatch.setattr(_la_alternation, "solve_dense", solve)
    model = LikelihoodAdjustedSDP(2, covariances=covariances, random_state=0).fit(X)
    volume = 20 * 2 * np.log(2 * np.pi)
    scale = 20 * 2 * np.log(Frame.of(X)[0].unit)  # densities are per unit of X
    assert model.upper_bound_ == pytest.approx(0.5 * (2000.0 - volume) - scale)
    assert model.log_likelihood_ >= 0.5 * (max(bounds) - volume) - scale - 1e-9
    assert model.certificate_.details["gap"] == pytest.approx(
        (model.upper_bound_ - model.log_likelihood_) / 20
    )


def test_equal_points_are_kept_together_at_their_likelihood():
    X = np.repeat([[0.0, 0.0], [9.0, 1.0]], 6, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LikelihoodAdjustedSDP(3, random_state=0).fit(X)
    assert len(np.unique(model.labels_)) == 2
    assert_array_equal(model.memberships_, np.eye(3)[model.labels_])
    unit = Frame.of(X)[0].unit
    T = X if model.reduction_ is None else X @ model.reduction_
    affinities = Affinities(T / unit, model._factors / unit)
    value = 0.5 * affinities.value(model.labels_) - 12 * np.log(2 * np.pi)
    value -= 12 * T.shape[1] * np.log(unit)
    assert model.log_likelihood_ == pytest.approx(value, rel=1e-6)
    assert model.upper_bound_ >= model.log_likelihood_


def test_alternations_settle_where_likelihoods_stand_still():
    change = _la_alternation._relative_change
    assert change([10.0, 8.0]) == change([8.0, 8.0, 6.0, 4.0]) / 2 == 0.25
    assert change([-8.0, -10.0]) == 0.2
    assert change([0.5, 0.25]) == 0.25  # likelihoods below one are not divided by
    X = touching(60)
    for max_iter, tol in ((1, 0.0), (20, 1e9)):
        model = LikelihoodAdjustedSDP(
            3, max_iter=max_iter, tol=tol, soft_start=False, random_state=0,
            solver="low_rank",
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X)
        assert model.n_iter_ <= 2
        if max_iter == 1 and not model.certificate_.satisfied:
            assert tol == 0.0
