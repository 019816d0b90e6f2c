"""What the certificates of this room measure, measured again from outside."""

import logging
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import minimize, nnls

from sparsestat.datasets import make_bars
from sparsestat.decomposition import (
    BinarySparseCoding,
    CalibratedSparseFactorization,
    OnlineOrthogonalDictionary,
    OrthogonalDictionary,
    SemiNMF,
    SemiStructuredFactorization,
    SpikeSlabSparseCoding,
    SupervisedDictionaryLearning,
    _orthogonal_batch,
    _semi_nmf,
    project_nm,
)
from sparsestat.decomposition._low_rank import _supervised as lifted
from sparsestat.decomposition._low_rank._supervised import _recent_fall
from sparsestat.decomposition._orthogonal import _frank_wolfe as fw


def quiet(model, *data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(*data, **options)


def runs(model, lengths, *data, **options):
    """Return the states after fits of so many iterations."""
    return [
        quiet(model.set_params(max_iter=k), *data, **options).__dict__.copy()
        for k in lengths
    ]


# Semi-NMF


@pytest.mark.parametrize("solver", ["hals", "mu"])
@pytest.mark.parametrize("density", [None, 0.4])
@pytest.mark.parametrize("max_iter", [1, 2, 5, 400])
def test_the_last_change_of_semi_nmf(solver, density, max_iter):
    X = 40.0 * np.random.default_rng(0).standard_normal((40, 12))
    model = SemiNMF(
        4, solver=solver, feature_density=density, max_iter=max_iter, random_state=0
    )
    model = quiet(model, X)
    h, certificate = model.history_, model.certificate_
    value = abs(h[-1] - h[-2]) / h[-1] if len(h) > 1 else np.inf
    assert_allclose(certificate.value, value, rtol=1e-9)
    assert certificate.satisfied == (value <= model.tol)
    assert certificate.satisfied or len(h) == max_iter
    codes = np.array([nnls(model.components_.T, x)[0] for x in X])
    error = ((X - codes @ model.components_) ** 2).sum()
    assert_allclose(certificate.details["squared_error"], error, rtol=1e-8)
    assert error <= h.min() * (1 + 1e-9)  # the best components, and better codes
    assert h[0] > 0.5 * error and len(h) == model.n_iter_


def test_a_rise_of_the_error_is_not_convergence():
    found = 0
    for seed in range(8):
        X = np.random.default_rng(seed).standard_normal((30, 10))
        model = SemiNMF(4, feature_density=0.3, random_state=0, tol=1e-6)
        for k in range(2, 12):
            model = quiet(model.set_params(max_iter=k), X)
            h = model.history_
            if h[-1] > h[-2] * (1 + 2e-6):
                found += 1
                assert not model.certificate_.satisfied
                assert model.reconstruction_err_**2 <= h.min() * (1 + 1e-9)
    assert found > 3


def test_semi_nmf_of_an_exact_product_and_of_zeros():
    rng = np.random.default_rng(0)
    X = rng.random((20, 2)) @ rng.standard_normal((2, 6))
    model = quiet(SemiNMF(2, random_state=0, max_iter=3000, tol=1e-4), X)
    total = (X**2).sum()
    h = model.history_
    value = abs(h[-1] - h[-2]) / max(h[-1], 1e-7 * total)
    assert_allclose(model.certificate_.value, value, rtol=1e-9, atol=1e-12)
    zero = SemiNMF(2).fit(np.zeros((5, 3)))
    assert zero.certificate_.value == 0.0 and zero.certificate_.satisfied
    assert zero.n_iter_ == 1


def test_distances_go_through_all_blocks_of_rows():
    rng = np.random.default_rng(0)
    X, G = rng.standard_normal((2100, 3)), rng.random((2100, 2))
    X *= rng.random(X.shape) < 0.5
    H = rng.standard_normal((2, 3))
    for data in (X, sparse.csr_array(X)):
        mine = _semi_nmf._distance(data, G, H)
        assert_allclose(mine, np.linalg.norm(X - G @ H), rtol=1e-12)


# Factorizations of weight matrices


@pytest.mark.parametrize("max_iter", [1, 2, 4, 300])
def test_the_last_fall_of_calibrated_factors(max_iter):
    rng = np.random.default_rng(0)
    W, X = 7 * rng.standard_normal((10, 30)), rng.standard_normal((50, 10))
    model = CalibratedSparseFactorization(
        14, n_nonzero=3, random_state=0, ridge=0.0, max_iter=max_iter
    )
    model = quiet(model, W, calibration=X)
    errors = np.append(1.0, model.history_)
    certificate = model.certificate_
    assert_allclose(certificate.value, errors[-2] - errors[-1], rtol=1e-9, atol=1e-14)
    assert certificate.satisfied == (errors[-2] - errors[-1] <= model.tol)
    assert certificate.satisfied == (max_iter == 300)
    rest = X @ (W - model.dictionary_ @ model.codes_.toarray())
    error = np.linalg.norm(rest) / np.linalg.norm(X @ W)
    assert_allclose(certificate.details["error"], error, rtol=1e-8)
    assert certificate.details["nnz"] == np.count_nonzero(model.codes_.toarray())
    assert model.n_iter_ == len(model.history_) <= max_iter
    falls = -np.diff(errors)
    assert (falls[:-1] > model.tol).all() and (max_iter < 300 or len(falls) < 300)
    # 16 bits a value, and 4 for which of 14 atoms.
    assert model.n_bits_ == 16 * 10 * 14 + (16 + 4) * model.codes_.nnz


def test_calibrated_factors_of_zeros_are_exact():
    model = CalibratedSparseFactorization(3, n_nonzero=2).fit(np.zeros((4, 6)))
    assert model.certificate_.satisfied and model.error_ == 0.0


@pytest.mark.parametrize("init", ["identity", "rotation"])
@pytest.mark.parametrize(("max_iter", "tol"), [(1, 1e-3), (4, 0.2), (6, 0.0)])
def test_the_last_fall_of_three_factors(init, max_iter, tol):
    rng = np.random.default_rng(1)
    W, d = rng.standard_normal((16, 24)), rng.random(24)
    model = SemiStructuredFactorization(
        block_size=8, init=init, max_iter=max_iter, tol=tol, random_state=0
    )
    model = quiet(model, W, importance=d)
    h, certificate = model.history_, model.certificate_
    assert_allclose(certificate.value, 1 - h[-1] / h[-2], rtol=1e-9, atol=1e-14)
    assert certificate.satisfied == (certificate.value <= tol)
    loss = (d * (W - model.reconstruct()) ** 2).sum() / (d * W**2).sum()
    assert_allclose(certificate.details["loss"], loss, rtol=1e-8)
    assert certificate.details["baseline_loss"] == model.baseline_loss_
    assert certificate.details["n_bits"] == model.n_bits_
    assert model.n_iter_ == len(h) - 1 and model.loss_ <= model.baseline_loss_
    assert (h[0] == model.baseline_loss_) == (init == "identity")
    falls = 1 - h[1:] / h[:-1]
    assert (falls[:-1] > tol).all() and (len(falls) == max_iter or falls[-1] <= tol)


@pytest.mark.parametrize("init", ["identity", "rotation"])
def test_a_sweep_that_gains_nothing_is_the_last(init):
    W = project_nm(np.random.default_rng(0).standard_normal((16, 24)))
    model = SemiStructuredFactorization(
        block_size=8, init=init, tol=0.0, max_iter=4, random_state=0
    )
    model = quiet(model, W)
    assert model.history_.tolist() == [0.0, 0.0]  # a rotation does not get there
    assert model.certificate_.value == 0.0 and model.certificate_.satisfied


# Probabilistic sparse coding


@pytest.mark.parametrize("cls", [BinarySparseCoding, SpikeSlabSparseCoding])
@pytest.mark.parametrize("annealing", [None, "default"])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_the_last_change_of_the_likelihood(cls, annealing, scale):
    X = scale * make_bars(100, size=2, pi=0.3, random_state=0).data
    for max_iter in (1, 6, 12, 200):
        model = cls(
            4, random_state=0, annealing=annealing, n_steps=6, max_iter=max_iter
        )
        model = quiet(model.set_params(tol=1e-3), X)
        h, certificate = model.history_, model.certificate_
        size = max(1.0, abs(h[-1] - certificate.details["log_unit"]))
        value = abs(h[-1] - h[-2]) / size
        rested = annealing is None or max_iter > 6 or len(h) > 7
        if not rested:  # no two values of temperature one
            assert not certificate.satisfied
        else:
            assert_allclose(certificate.value, value, rtol=1e-7, atol=1e-15)
            assert certificate.satisfied == (certificate.value <= 1e-3)
        assert certificate.satisfied == model.converged_
        assert certificate.satisfied or model.n_iter_ == max_iter
        assert len(h) == max_iter + 1 or certificate.satisfied
        assert certificate.details["log_likelihood"] == h[-1]
        begin = min(6, max_iter) if annealing else 0
        falls = np.append(-np.diff(h[begin:]), 0.0)
        assert_allclose(
            certificate.details["largest_fall"], falls.max(), rtol=1e-6, atol=1e-9
        )
        assert certificate.details["n_used"] <= 100
        assert certificate.details["exact"] is (model.max_active_ == 4)
        if certificate.details["n_used"] == 100:
            assert_allclose(model.score(X), h[-1], rtol=1e-8)
    assert certificate.satisfied


def test_batches_report_the_change_between_them():
    X = make_bars(300, size=2, pi=0.3, random_state=0).data
    model = BinarySparseCoding(4, random_state=0, annealing=None)
    assert np.isinf(model.partial_fit(X[:100]).certificate_.value)
    unit = model.history_[0]
    for start in (100, 200):
        model.partial_fit(X[start : start + 100])
        h = model.history_
        shift = model._per_unit()
        value = abs(h[-1] - h[-2]) / max(1.0, abs(h[-1] - shift))
        certificate = model.certificate_
        assert_allclose(certificate.value, value, rtol=1e-9)
        assert certificate.satisfied and np.isinf(certificate.tol)
        assert certificate.details["log_likelihood"] == h[-1]
        assert certificate.details["n_steps"] == len(h) == model.n_iter_
    assert model.history_[0] == unit and not model.converged_


# Orthogonal dictionaries


def lp_parts(X, A, p, weights):
    """Return the mean of powers of codes and its gradient, written out."""
    w = np.ones(len(X)) if weights is None else weights
    Z = X @ A.T
    value = (w[:, None] * np.abs(Z) ** p).sum() / w.sum()
    gradient = (w[:, None] * Z * np.abs(Z) ** (p - 2)).T @ X / w.sum()
    return value, gradient


@pytest.mark.parametrize("p", [3, 4])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_components", [None, 2])
def test_rises_moves_and_gaps_of_orthogonal_dictionaries(p, weighted, n_components):
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((200, 5)) * (rng.random((200, 5)) < 0.3)
    X = codes @ np.linalg.qr(rng.standard_normal((5, 5)))[0]
    weights = rng.uniform(0.5, 2.0, 200) if weighted else None
    model = OrthogonalDictionary(n_components, p=p, random_state=0, tol=1e-9)
    before, after = runs(model, (3, 4), X, sample_weight=weights)
    A, B = before["components_"], after["components_"]
    (old, _), (new, G) = (lp_parts(X, D, p, weights) for D in (A, B))
    details = after["certificate_"].details
    move = np.linalg.norm(B - A) / np.sqrt(len(A))
    assert before["n_iter_"] == 3 and after["n_iter_"] == 4
    assert len(before["history_"]) == 4 and len(after["history_"]) == 5
    assert_allclose(details["move"], move, rtol=1e-7)
    assert_allclose(details["rise"], (new - old) / new, rtol=1e-7)
    assert_allclose(after["certificate_"].value, min(move, details["rise"]), rtol=1e-9)
    share = details["objective"] / new  # of one atom, or of all
    assert share == pytest.approx(after["objective_"] / new, rel=1e-12)
    nuclear = np.linalg.norm(G, "nuc")
    gap = (nuclear - np.vdot(B, G)) / nuclear
    mine = details["frank_wolfe_gap"] * len(B)
    assert mine == pytest.approx(gap * np.linalg.norm(after["gradient_"], "nuc"))
    assert not after["certificate_"].satisfied
    ended = quiet(model.set_params(max_iter=3000), X, sample_weight=weights)
    assert ended.certificate_.satisfied and ended.certificate_.value <= 1e-9
    loose = quiet(model.set_params(tol=float(move)), X, sample_weight=weights)
    assert loose.certificate_.satisfied and loose.n_iter_ <= 4


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_blocks_of_rows_and_small_values_change_no_rise(scale, monkeypatch):
    monkeypatch.setattr(fw, "BLOCK_ROWS", 64)
    rng = np.random.default_rng(0)
    X = scale * rng.standard_normal((200, 5)) * (rng.random((200, 5)) < 0.3)
    weights = rng.uniform(0.5, 2.0, 200) / 400.0  # less than one together
    start = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    for w in (None, weights):
        value, gradient = lp_parts(X, start, 4, w)
        G, mine = fw.lp_gradient(X, start, 4, weights=w)
        assert_allclose(mine, value, rtol=1e-12)
        assert_allclose(G, gradient, rtol=1e-10, atol=1e-12 * abs(gradient).max())
        found = fw.maximize_lp(X, start, 4, weights=w, tol=0.0, max_iter=3)
        h = found.history
        assert found.n_iter == 3 and len(h) == 4
        assert_allclose(found.rise, (h[-1] - h[-2]) / h[-1], rtol=1e-9)
        assert found.rise > 1e-6
        for asked, n_iter in ((False, 9), (True, 1)):
            found = fw.maximize_lp(
                X, start, 4, weights=w, tol=0.0, max_iter=9, step=lambda v, a=asked: a
            )
            assert found.n_iter == n_iter == len(found.history) - 1


def test_samples_without_weight_have_no_objective():
    gradient, value = fw.lp_gradient(np.eye(3), np.eye(3), 4, weights=np.zeros(3))
    assert value == 0.0 and not gradient.any()
    found = fw.maximize_lp(np.zeros((4, 3)), np.eye(3), 4, tol=0.0, max_iter=5)
    assert found.move == found.rise == 0.0 and found.n_iter == 1


@pytest.mark.parametrize("n_init", [1, 2, 4])
def test_the_best_of_all_starts_is_certified(n_init, monkeypatch, caplog):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 8)) * (rng.random((60, 8)) < 0.3)
    run, results = fw.maximize_lp, []

    def spy(*args, **options):
        results.append(run(*args, **options))
        return results[-1]

    monkeypatch.setattr(fw, "maximize_lp", spy)
    if n_init == 1:  # needs no pool of workers
        monkeypatch.setattr(_orthogonal_batch, "run_parallel", None)
    model = OrthogonalDictionary(n_init=n_init, random_state=0, max_iter=500, verbose=1)
    with caplog.at_level(logging.INFO, logger="sparsestat"):
        model.fit(X)
    assert len(results) == n_init
    best = max(results, key=lambda r: r.objective)
    assert model.objective_ == best.objective and model.n_iter_ == best.n_iter
    assert model.certificate_.value == min(best.move, best.rise)
    lines = [r for r in caplog.records if "iteration" in r.getMessage()]
    assert len(lines) == (model.n_iter_ if n_init == 1 else 0)  # of one run alone


def test_what_is_left_out_of_a_whitening_and_of_a_second_fit():
    X = np.random.default_rng(0).standard_normal((50, 4))
    wide = np.column_stack([X, X[:, 0]])
    with pytest.raises(ValueError, match="only 4 of 5 directions"):
        OrthogonalDictionary(precondition=True).fit(wide)
    model = OrthogonalDictionary(3, precondition=True, random_state=0, max_iter=2000)
    assert model.fit(X).n_features_in_ == 4
    assert model.fit(wide).n_features_in_ == 5 and model.components_.shape == (3, 5)


def test_the_gap_before_the_last_step_is_kept():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 4)) * (rng.random((80, 4)) < 0.3)
    init = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    model = OnlineOrthogonalDictionary(p=4, init=init, batch_size=80, shuffle=False)
    details = model.fit(X).certificate_.details
    for A, gap in ((init, "fresh_gap"), (model.components_, "gap")):
        _, G = lp_parts(X, A, 4, None)
        assert_allclose(
            details[gap], (np.linalg.norm(G, "nuc") - np.vdot(A, G)) / 4, rtol=1e-8
        )
    assert details["gap"] > 2 * details["fresh_gap"]  # a step may well raise it


@pytest.mark.parametrize("weighted", [False, True])
def test_the_gap_of_the_last_batch(weighted):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 4)) * (rng.random((200, 4)) < 0.3)
    weights = rng.uniform(0.5, 2.0, 200) if weighted else None
    model = OnlineOrthogonalDictionary(
        3, p=4, shuffle=False, random_state=0, batch_size=50
    )
    model.fit(X, sample_weight=weights)
    part = None if weights is None else weights[-50:]
    _, G = lp_parts(X[-50:], model.components_, 4, part)
    nuclear = np.linalg.norm(G, "nuc")
    gap = nuclear - np.vdot(model.components_, G)
    certificate = model.certificate_
    assert_allclose(certificate.value, gap / nuclear, rtol=1e-6, atol=1e-12)
    assert certificate.details["gap"] == model.gap_ >= 0
    assert model.gap_ / certificate.value == pytest.approx(nuclear / 3, rel=1e-6)
    assert certificate.satisfied and np.isinf(certificate.tol)
    assert certificate.details["n_steps"] == 4
    empty = OnlineOrthogonalDictionary(3).fit(np.zeros((20, 4)))
    assert empty.certificate_.value == 0.0 == empty.certificate_.details["gap"]


# Supervised dictionaries


def labeled(n=50, p=6):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 2)) @ rng.standard_normal((2, p))
    y = (X[:, 0] + 0.5 * rng.standard_normal(n) > 0).astype(int)
    return X + 0.1 * rng.standard_normal((n, p)), y


def test_the_largest_of_the_last_falls():
    assert _recent_fall([8.0, 7.0, 6.0, 5.0, 4.0]) == np.inf
    assert _recent_fall([3.0, 0.0]) == 0.0
    assert _recent_fall([9.0, 8.0, 7.0, 6.5, 5.0, 4.0]) == 1.5 / 4.0
    assert _recent_fall([99.0, 8.0, 7.0, 7.0, 6.0, 5.5, 4.0]) == 1.5 / 4.0
    assert _recent_fall([99.0, 8.0, 7.9, 7.9, 7.9, 7.9, 7.9]) == pytest.approx(
        0.1 / 7.9
    )


@pytest.mark.parametrize("solver", ["lpgd", "bcd"])
@pytest.mark.parametrize("mode", ["filter", "feature"])
@pytest.mark.parametrize("max_iter", [2, 7, 3000])
def test_falls_of_supervised_dictionaries(solver, mode, max_iter):
    X, y = labeled()
    model = SupervisedDictionaryLearning(
        2, solver=solver, mode=mode, max_iter=max_iter, tol=1e-7, random_state=0
    )
    model = quiet(model, X, y)
    h, certificate = model.history_, model.certificate_
    value = -np.diff(h[-6:]).min() / h[-1] if len(h) > 5 else np.inf
    assert_allclose(certificate.value, max(value, 0.0), rtol=1e-9)
    assert certificate.satisfied == (value <= 1e-7)
    assert certificate.satisfied if max_iter == 3000 else len(h) > 3 or value > 1
    details = certificate.details
    assert details["objective"] == model.objective_ == h[-1]
    gap = (model.objective_ - details["lower_bound"]) / model.objective_
    assert details["global_gap"] == pytest.approx(gap, rel=1e-12)
    assert gap >= -1e-12
    assert details["squared_error"] == pytest.approx(model.reconstruction_err_**2)
    assert certificate.kind == "monotone_bound"


@pytest.mark.parametrize("nu", [0.5, 0.0])
def test_labels_alone_are_certified_by_their_bound_or_slope(nu):
    X, y = labeled()
    y = np.where(np.arange(50) % 7 == 0, 1 - y, y)  # no line separates them
    model = quiet(SupervisedDictionaryLearning(1, xi=0.0, nu=nu, tol=1e-6), X, y)
    D = np.column_stack([X, np.ones(50)])

    def function(theta):
        z = D @ theta
        loss = np.logaddexp(0.0, z).sum() - y @ z
        slope = D.T @ (1 / (1 + np.exp(-z)) - y)
        return loss + nu * theta @ theta, slope + 2 * nu * theta

    theta = np.append(model.coef_ @ model.components_, model.intercept_)
    value, slope = function(theta)
    best = minimize(function, theta, jac=True, options={"gtol": 1e-9}).fun
    certificate, details = model.certificate_, model.certificate_.details
    assert_allclose(details["objective"], value, rtol=1e-9)
    assert certificate.satisfied and certificate.value <= 1e-6
    assert details["lower_bound"] <= best * (1 + 1e-12)
    if nu > 0:
        assert certificate.kind == "duality_gap"
        assert_allclose(details["lower_bound"], best, rtol=1e-6)
        gap = (value - details["lower_bound"]) / value
        assert_allclose(certificate.value, gap, rtol=1e-3, atol=1e-12)
        assert value - best <= certificate.value * value + 1e-12
    else:
        assert certificate.kind == "kkt" and details["lower_bound"] == 0.0
        first = np.linalg.norm(function(np.zeros(7))[1])
        ratio = np.linalg.norm(slope) / first
        assert certificate.value == pytest.approx(ratio, rel=0.05, abs=1e-10)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
@pytest.mark.parametrize("nu", [0.0, 0.7])
def test_bound_and_slope_of_labels_that_are_not_solved(nu, scale):
    X, Z = scale * labeled()[0], np.ones((50, 1))
    y = np.arange(50) // 7 % 2  # no line separates them
    w = np.where(y == 1, 0.5 / y.sum(), 0.5 / (50 - y.sum()))
    problem = lifted.LiftedProblem(
        X.T, X, np.ones(50), Z, y[:, None].astype(float), w, 0.0, nu
    )
    A, gamma, value, bound, slope = lifted.labels_alone(problem, max_iter=1, tol=1e-30)

    def parts(theta):
        z = X @ theta[:-1] + theta[-1]
        loss = w @ (np.logaddexp(0.0, z) - y * z)
        pull = w * (1 / (1 + np.exp(-z)) - y)
        gradient = np.append(X.T @ pull, pull.sum()) + 2 * nu * theta
        return loss + nu * theta @ theta, gradient

    best, gradient = parts(np.append(A[:, 0], gamma[0]))
    assert_allclose(value, best, rtol=1e-12)
    first = np.linalg.norm(parts(np.zeros(X.shape[1] + 1))[1])
    assert 0.0 < first < 1.0  # balanced labels: nothing but the columns pulls
    assert_allclose(slope, np.linalg.norm(gradient) / first, rtol=1e-6, atol=1e-9)
    if nu == 0:
        assert bound == 0.0
    else:  # of strong convexity, with the modulus 2 nu
        assert_allclose(bound, value - gradient @ gradient / (4 * nu), rtol=1e-9)
        lowest = minimize(parts, np.zeros(7), jac=True, options={"gtol": 1e-10}).fun
        assert bound <= lowest * (1 + 1e-12)


def test_labels_that_cost_nothing_have_neither_gap_nor_slope():
    X, y = np.random.default_rng(0).standard_normal((20, 3)), np.tile([0, 1], 10)
    X[:, 0] = 2000.0 * y - 1000.0
    model = SupervisedDictionaryLearning(1, xi=0.0, nu=0.0).fit(X, y)
    certificate = model.certificate_
    assert model.objective_ == certificate.value == 0.0 and certificate.kind == "kkt"
    assert certificate.details["lower_bound"] == 0.0


def test_descent_by_blocks_keeps_signs_and_the_size_of_one_factor():
    X, y = labeled()
    for mode in ("filter", "feature"):
        model = SupervisedDictionaryLearning(
            2, solver="bcd", mode=mode, nonnegative=True, random_state=0, max_iter=5
        )
        W = quiet(model, np.abs(X), y).components_
        assert (W >= 0).all()
        assert_allclose(np.linalg.norm(W), 1.0, rtol=1e-10)


@pytest.mark.parametrize("mode", ["filter", "feature"])
def test_sparse_data_have_the_bounds_of_dense_ones(mode):
    X, y = labeled()
    X = X * (np.abs(X) > 0.8)
    fits = [
        quiet(
            SupervisedDictionaryLearning(2, mode=mode, max_iter=6, random_state=0), D, y
        )
        for D in (X, sparse.csr_array(X))
    ]
    one, two = (model.certificate_ for model in fits)
    for key in ("objective", "lower_bound", "squared_error"):
        assert_allclose(one.details[key], two.details[key], rtol=1e-7)
    assert_allclose(fits[0].history_, fits[1].history_, rtol=1e-7)
