"""What the certificates of this room measure, measured again from outside."""

import logging
import warnings
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import minimize, nnls
from scipy.special import logsumexp, softmax

from sparsestat._utils.arithmetic import rounding
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
from sparsestat.decomposition._coding import _expectation_truncation as em
from sparsestat.decomposition._low_rank import _supervised as lifted
from sparsestat.decomposition._low_rank._supervised import _recent_fall
from sparsestat.decomposition._orthogonal import _frank_wolfe as fw
from sparsestat.exceptions import NumericalError


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
    for seed in range(10):  # what rounding leaves is never less than nothing
        ones = np.random.default_rng(seed).random((20, 1)) @ X[:1]
        assert (quiet(SemiNMF(1, random_state=0, tol=0.0), ones).history_ >= 0).all()
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
    model = CalibratedSparseFactorization(3, n_nonzero=2, tol=0.0, max_iter=5)
    model.fit(np.zeros((4, 6)))
    assert model.certificate_.satisfied and model.error_ == 0.0
    assert model.n_iter_ == 1  # no fall at all is at most the tolerance


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


def test_rounding_never_raises_a_loss():
    for seed in range(6):
        W = np.random.default_rng(seed).standard_normal((4, 4))
        model = SemiStructuredFactorization(
            block_size=4, tol=0.0, max_iter=2000, random_state=0
        )
        h = quiet(model, W).history_
        assert (np.diff(h) <= 0).all() and model.certificate_.value >= 0.0


# Probabilistic sparse coding


class Scripted:
    """A model of expectation truncation that moves W by one and counts its calls."""

    scale, floor, anneal_prior = 1.0, 0.0, False

    def __init__(self, values, overshoots=False):
        self.values, self.overshoots = list(values), overshoots
        self.temperatures, self.used, self.positions, self.admitted = [], [], [], 0

    def constant(self, params):
        return 3.0

    def admissible(self, params):
        self.admitted += 1
        return params

    def maximize(self, params, statistics):
        return params | {"W": params["W"] + 1.0}

    def run(self, monkeypatch, schedule=None, n_steps=0, max_iter=50, tol=0.0, **rest):
        def step(model, params, temper, n_use, samples, n_jobs):
            self.temperatures.append(temper.temperature)
            self.used.append(n_use)
            self.positions.append(float(params["W"]))
            value = self.values[min(len(self.positions), len(self.values)) - 1]
            return {}, (value - 3.0) / temper.temperature, 5.0

        monkeypatch.setattr(em, "e_step", step)
        monkeypatch.setattr(
            em, "weight_to_use", lambda model, params, ncut, samples: 5.0 - ncut
        )
        return em.run_em(
            self,
            {"W": np.float64(0.0)},
            None,
            schedule=em.check_schedule(schedule or {}),
            n_steps=n_steps,
            max_iter=max_iter,
            tol=tol,
            rng=np.random.default_rng(0),
            **rest,
        )


def test_a_likelihood_rests_when_its_relative_change_is_at_most_the_tolerance(
    monkeypatch,
):
    model = Scripted([-32.0, -16.0, -8.0, -10.0, -9.0])
    found = model.run(monkeypatch, tol=0.2)
    assert found.log_likelihoods.tolist() == [-32.0, -16.0, -8.0, -10.0]
    assert found.change == 0.2 and found.converged and found.n_iter == 3
    assert found.params["W"] == 3.0 and found.n_used == 5.0
    found = Scripted([0.0, 0.25, 0.5, 0.5]).run(monkeypatch, tol=0.125)
    assert found.change == 0.0 and found.n_iter == 3  # of size one at least
    found = Scripted([-32.0, -16.0, -8.0, -10.0, -9.0]).run(monkeypatch, max_iter=2)
    assert not found.converged and found.n_iter == 2 and found.change == 1.0
    found = Scripted([-8.0]).run(monkeypatch, max_iter=1, tol=0.5)
    assert found.converged and len(found.log_likelihoods) == 2 and found.change == 0.0
    with pytest.raises(NumericalError, match="nan at step 2"):
        Scripted([-8.0, -7.0, np.nan]).run(monkeypatch)


@pytest.mark.parametrize("stop", [False, True])
def test_every_step_is_reported_but_the_start(stop, monkeypatch):
    seen = []

    def report(params, value):
        seen.append((float(params["W"]), value))
        return stop

    values = [-9.0, -7.0, -6.0, -6.0]
    found = Scripted(values).run(monkeypatch, report=report)
    after = [(1.0, -7.0), (2.0, -6.0), (3.0, -6.0)]
    assert seen == (after[:1] if stop else after)
    assert found.n_iter == len(seen) and found.converged is not stop


def test_steps_that_overshoot_are_halved(monkeypatch):
    values = [-9.0, -8.0, -10.0, -9.0, -10.0, -11.0, -12.0, -13.0, -14.0, -14.0]
    model = Scripted(values, overshoots=True)
    model.run(monkeypatch)
    strides = [1, 1, 0.5, 0.5, 0.25, 0.125, 0.0625, 0.0625, 0.0625]
    assert model.positions == [0.0, *np.cumsum(strides)]
    model = Scripted([-9.0, -8.0, -8.5, -8.5], overshoots=True)
    model.run(monkeypatch)
    assert model.positions == [0.0, 1.0, 2.0, 2.5]
    model = Scripted(values)
    model.run(monkeypatch)
    assert model.positions == list(range(10))


@pytest.mark.parametrize("noisy", [False, True])
def test_the_change_is_between_likelihoods_of_temperature_one(noisy, monkeypatch):
    schedule = {"T": [(0.0, 3.0), (1.0, 1.0)], "ncut": [(0.0, 1.0), (1.0, 0.0)]}
    if noisy:
        schedule["pi_noise"] = schedule["sigma_noise"] = 0.0
        schedule["W_noise"] = [(0.0, 1e-9), (1.0, 0.0)]
    model = Scripted([-8.0])
    found = model.run(monkeypatch, schedule, n_steps=4, tol=1.0)
    assert model.temperatures == [3.0, 2.5, 2.0, 1.5, 1.0, 1.0]
    assert_allclose(model.used, [4.0, 4.25, 4.5, 4.75, 5.0, 5.0])
    assert found.converged and found.n_iter == 5  # 4 and 5 are alike
    assert model.admitted == (4 if noisy else 0)
    # A schedule longer than max_iter is cut, and ends at temperature one.
    model = Scripted([-8.0])
    found = model.run(monkeypatch, schedule, n_steps=9, max_iter=4, tol=1.0)
    assert model.temperatures == [3.0, 2.5, 2.0, 1.5, 1.0]
    assert not found.converged and np.isinf(found.change) and found.n_iter == 4
    # Without heat the last value of a schedule may be compared with that before.
    model = Scripted([-8.0])
    cool = {"ncut": schedule["ncut"]}
    found = model.run(monkeypatch, cool, n_steps=3, tol=1.0)
    assert found.converged and found.n_iter == 3 and found.change == 0.0
    assert_allclose(model.used, [4.0, 4 + 1 / 3, 4 + 2 / 3, 5.0])
    model = Scripted([-8.0])
    found = model.run(monkeypatch, {"T": [(0.0, 0.5), (1.0, 1.0)]}, n_steps=2, tol=1.0)
    assert model.temperatures == [0.5, 0.75, 1.0, 1.0] and found.n_iter == 3
    # What is used stays after the schedule.
    model = Scripted([-8.0, -7.0, -6.0, -5.0, -4.0])
    model.run(monkeypatch, {"ncut": [(0.0, 0.0), (1.0, 0.5)]}, n_steps=2, max_iter=4)
    assert_allclose(model.used, [5.0, 4.75, 4.5, 4.5, 4.5])


def test_batches_whose_likelihood_is_near_zero():
    rng = np.random.default_rng(0)
    X = 4.0 * (rng.random((200, 1)) < 0.4) + 0.1 * rng.standard_normal((200, 2))
    model = BinarySparseCoding(1, random_state=0, annealing=None, init=[[4.0, 4.0]])
    sizes = []
    for t in range(8):
        h = model.partial_fit(X).history_ - model._per_unit()
        sizes.append(abs(h[-1]))
        if t > 0:
            value = abs(h[-1] - h[-2]) / max(1.0, sizes[-1])
            assert_allclose(model.certificate_.value, value, rtol=1e-9)
    assert min(sizes) < 0.5 and max(sizes) > 2.0


@pytest.mark.parametrize("annealed", [True, False])
def test_batches_by_brute_force(annealed):
    bars = make_bars(250, size=2, pi=0.3, random_state=0)
    X, W, k = bars.data, bars.components, 4
    model = BinarySparseCoding(
        k,
        n_candidates=k,
        max_active=k,
        init=W,
        learn=("pi",),
        n_steps=2,
        annealing={"T": [(0.0, 3.0), (1.0, 1.0)]} if annealed else None,
        anneal_prior=True,
        random_state=0,
    )
    states = np.array(list(product((0, 1), repeat=k)))
    values, running, pi = [], None, None
    for t in range(5):
        batch = X[50 * t : 50 * t + 50]
        if t == 0:  # the start of pi and sigma, which stays
            clone = BinarySparseCoding(**model.get_params()).set_params(learn=("W",))
            clone.partial_fit(batch)
            pi, sigma = clone.pi_, clone.sigma_
        model.partial_fit(batch)
        T = (3.0, 2.0, 1.0, 1.0, 1.0)[t] if annealed else 1.0
        far = ((batch[:, None] - states @ W) ** 2).sum(axis=-1) / (2 * sigma**2)
        odds = states.sum(axis=1) * np.log(pi / (1 - pi))
        logs = (odds - far) / T
        constant = k * np.log1p(-pi) - 0.5 * 4 * np.log(2 * np.pi * sigma**2)
        values.append(constant + T * logsumexp(logs, axis=1).mean())
        fresh = (softmax(logs, axis=1) @ states).mean()
        share = 1.0 if t == 0 else (max(0, t - 2 * annealed) + 2.0) ** -0.6
        running = fresh if t == 0 else (1 - share) * running + share * fresh
        pi = running
        assert_allclose(model.pi_, pi, rtol=1e-9)
        assert_allclose(model.history_, values, rtol=1e-9)
        assert model.sigma_ == pytest.approx(sigma, rel=1e-12)


def test_log_likelihoods_are_those_of_the_units_of_the_data():
    X = make_bars(60, size=2, pi=0.3, random_state=0).data
    options = {"annealing": None, "max_iter": 3, "random_state": 0}
    one, large = (
        quiet(BinarySparseCoding(4, **options), data) for data in (X, 1024.0 * X)
    )
    assert_allclose(large.history_, one.history_ - 4 * np.log(1024.0), rtol=1e-9)
    rest = [
        model.certificate_.details["log_likelihood"]
        - model.certificate_.details["log_unit"]
        for model in (one, large)
    ]
    assert rest[1] == pytest.approx(rest[0], rel=1e-9)
    assert one.certificate_.value == pytest.approx(large.certificate_.value, rel=1e-6)
    batches = [
        BinarySparseCoding(4, **options).partial_fit(data) for data in (X, 1024.0 * X)
    ]
    step = batches[1].history_[0] - batches[0].history_[0]
    assert step == pytest.approx(-4 * np.log(1024.0), rel=1e-9)


@pytest.mark.parametrize("max_active", [2, 4, 6])
def test_only_all_causes_together_are_exact(max_active):
    X = make_bars(30, size=3, pi=0.3, random_state=0).data
    model = BinarySparseCoding(
        6, n_candidates=6, max_active=max_active, max_iter=1, random_state=0
    )
    details = quiet(model, X).certificate_.details
    assert details["exact"] is (max_active == 6) and model.n_iter_ == 1


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


@pytest.mark.parametrize(
    ("values", "tol", "rise", "n_iter"),
    [
        ((3.0, 4.0, 9.0), 0.25, 0.25, 1),  # as much as the tolerance
        ((3.0, 4.0, 3.5, 9.0), 0.0, 0.0, 2),  # a fall by rounding is no rise
        ((3.0, 4.0, 8.0), 0.2, 0.5, 2),
    ],
)
def test_a_rise_ends_at_the_tolerance(values, tol, rise, n_iter, monkeypatch):
    told = iter(values)
    turns = iter(np.array([[[0.0, 1.0], [1.0, 0.0]], np.eye(2)] * 3))
    monkeypatch.setattr(fw, "lp_gradient", lambda *a, **k: (next(turns), next(told)))
    found = fw.maximize_lp(None, np.eye(2), 4, tol=tol, max_iter=len(values) - 1)
    assert found.rise == rise and found.n_iter == n_iter
    assert found.history == list(values[: n_iter + 1])
    assert found.move == pytest.approx(np.sqrt(2.0))  # both atoms change places
    assert found.change == rise


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
        fall = gradient @ gradient / (4 * nu)
        if fall < 1e-3 * value:  # else it hides what is allowed for rounding
            slack = (value - bound - fall) / rounding(8 * (50 + 6), value)
            assert slack == pytest.approx(1.0, rel=0.05)
        else:
            assert scale == 1.0
        assert_allclose(bound, value - gradient @ gradient / (4 * nu), rtol=1e-9)
        lowest = minimize(parts, np.zeros(7), jac=True, options={"gtol": 1e-10}).fun
        assert bound <= lowest * (1 + 1e-12)


@pytest.mark.parametrize("n_components", [2, 6])
def test_lower_bounds_of_both_parts_are_below_by_their_rounding(n_components):
    X, y = labeled()
    xi = 1e6  # so that what is allowed for rounding can be seen
    models = [
        quiet(
            SupervisedDictionaryLearning(
                n_components, xi=weight, max_iter=1, random_state=0
            ),
            X,
            y,
        )
        for weight in (0.0, xi)
    ]
    labels, both = (m.certificate_.details["lower_bound"] for m in models)
    squares = np.linalg.svd(X, compute_uv=False) ** 2
    allowed = rounding(8 * (50 + 6) + 64 * 6, squares.sum())
    left = squares[n_components:].sum()
    if n_components == 6:  # nothing is left, and nothing is taken from the labels
        assert both == pytest.approx(labels, rel=1e-9)
    else:
        assert (left - (both - labels) / xi) / allowed == pytest.approx(1.0, rel=0.2)
    assert models[0].n_iter_ == 1


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
