"""Probabilistic sparse coding: recovery, inference, invariances, bad input."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import logging
import warnings
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax
from sklearn.base import clone

from sparsestat.datasets import make_bars
from sparsestat.decomposition import (
    BinarySparseCoding,
    DiscreteSparseCoding,
    MaximalCausesAnalysis,
    MaxMagnitudeCausesAnalysis,
    SpikeSlabSparseCoding,
    TernarySparseCoding,
)
from sparsestat.decomposition._coding import _expectation_truncation
from sparsestat.exceptions import ConvergenceWarning

CLASSES = [
    BinarySparseCoding,
    TernarySparseCoding,
    DiscreteSparseCoding,
    MaximalCausesAnalysis,
    MaxMagnitudeCausesAnalysis,
    SpikeSlabSparseCoding,
]
LINEAR = CLASSES[:3]
# What each model is for.
BARS = {
    BinarySparseCoding: {"pi": 0.2},
    TernarySparseCoding: {"values": (-1, 0, 1), "pi": 0.2},
    DiscreteSparseCoding: {"values": (0, 1, 2), "pi": (0.8, 0.15, 0.05)},
    MaximalCausesAnalysis: {"superposition": "max", "pi": 0.2},
    MaxMagnitudeCausesAnalysis: {"superposition": "max_magnitude", "pi": 0.2},
    SpikeSlabSparseCoding: {"superposition": "slab", "pi": 0.2, "sigma": 1.0},
}
OPTIONS = {DiscreteSparseCoding: {"values": (0, 1, 2)}}
every_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def small(cls, **options):
    """Return a quick estimator of a class."""
    base = {"n_components": 6, "n_steps": 20, "max_iter": 25, "random_state": 0}
    return cls(**(base | OPTIONS.get(cls, {}) | options))


def bars_for(cls, n_samples=400, seed=0, size=3):
    return make_bars(n_samples, size=size, random_state=seed, **BARS[cls])


def quiet(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return function(*arguments, **options)


def largest_error(found, truth, signs=False):
    """Return the largest mean absolute error of a component, best assignment."""
    far = np.abs(found[:, None] - truth[None]).mean(axis=-1)
    if signs:
        far = np.minimum(far, np.abs(found[:, None] + truth[None]).mean(axis=-1))
    return far[linear_sum_assignment(far)].max()


# Recovery


@pytest.mark.slow
def test_binary_coding_finds_the_bars():
    found = 0
    for seed in range(5):
        bars = make_bars(1000, random_state=200 + seed)
        model = BinarySparseCoding(
            10, n_candidates=8, max_active=5, random_state=seed
        ).fit(bars.data)
        if largest_error(model.components_, bars.components) < 1.0:
            found += 1
            assert model.pi_ == pytest.approx(0.2, abs=0.03)
            assert model.sigma_ == pytest.approx(2.0, abs=0.1)
    assert found >= 4


@every_class
def test_small_bars_are_found(cls):
    errors = []
    for seed in range(1, 5):  # a single start may end in a poor optimum
        bars = bars_for(cls, 1000, seed, size=4)
        model = small(cls, n_components=8, n_steps=100, max_iter=300, random_state=seed)
        W = quiet(model.fit, bars.data).components_
        if cls is SpikeSlabSparseCoding:  # scale and sign are shared with the slab
            scale = np.sqrt(model.slab_mean_**2 + np.diag(model.slab_cov_)) / 2**0.5
            W = W * (scale * np.sign(model.slab_mean_))[:, None]
        errors.append(largest_error(W, bars.components, cls is TernarySparseCoding))
        if errors[-1] < 1.0:
            break
    assert errors[-1] < 1.0, errors


# Inference


@every_class
def test_posteriors_are_consistent(cls):
    X = bars_for(cls, 200).data
    model = quiet(small(cls).fit, X)
    states, q = model.posterior(X[:30], top_k=10**9)
    assert_allclose(q.sum(axis=1), 1.0, rtol=1e-10)
    assert (np.diff(q, axis=1) <= 1e-15).all()
    assert_array_equal(states[:, 0], model.predict_states(X[:30]))
    few, some = model.posterior(X[:30], top_k=3)
    assert_array_equal(few, states[:, :3])
    assert_allclose(some, q[:, :3])
    if cls is not SpikeSlabSparseCoding:
        expected = (states * q[:, :, None]).sum(axis=1)
        assert_allclose(model.transform(X[:30]), expected, atol=1e-10)
    assert model.score(X) == pytest.approx(model.score_samples(X).mean())
    assert model.components_.shape == (6, 9)
    assert model.get_feature_names_out().shape == (6,)


def test_states_have_the_values_of_the_model():
    X = bars_for(TernarySparseCoding).data
    states = quiet(small(TernarySparseCoding).fit, X).predict_states(X)
    assert states.dtype == np.int8
    assert set(np.unique(states)) <= {-1, 0, 1}
    model = quiet(small(DiscreteSparseCoding, values=(0.5, 0, 1.5)).fit, X)
    assert set(np.unique(model.predict_states(X))) <= {0.0, 0.5, 1.5}
    assert model.pi_.shape == (3,)
    assert model.pi_.sum() == pytest.approx(1.0)


@every_class
def test_adaptive_states_are_never_less_probable(cls):
    bars = bars_for(cls)
    model = quiet(small(cls, n_candidates=3, max_active=1).fit, bars.data)
    narrow = model.predict_states(bars.data)
    wide = model.predict_states(bars.data, adaptive=True)
    assert (narrow != 0).sum(axis=1).max() == 1
    assert (wide != 0).sum(axis=1).max() > 1
    changed = (narrow != wide).any(axis=1)
    assert ((narrow[changed] != 0).sum(axis=1) == 1).all()
    if cls in LINEAR:
        prior = model._model(6, 6, 6, 9).log_prior(model.pi_)[1]
        values = model._values()

        def joint(S):
            odds = sum(
                p * (v == S).sum(axis=1) for p, v in zip(prior, values, strict=True)
            )
            far = ((bars.data - S @ model.components_) ** 2).sum(axis=1)
            return odds - 0.5 * far / model.sigma_**2

        assert (joint(wide) >= joint(narrow) - 1e-9).all()


@every_class
def test_samples_of_the_model_have_its_moments(cls):
    X = bars_for(cls).data
    model = quiet(small(cls, fit_mean=True).fit, X)
    drawn, causes = model.sample(4000)
    assert drawn.shape == (4000, 9) and causes.shape == (4000, 6)
    residual = drawn - model.inverse_transform(causes)
    assert_allclose(residual.std(), np.mean(model.sigma_), rtol=0.03)
    if cls is DiscreteSparseCoding:
        share = [(causes == v).mean() for v in (0, 1, 2)]
        assert_allclose(share, model.pi_, atol=0.03)
    else:
        assert_allclose((causes != 0).mean(), np.mean(model.pi_), atol=0.03)
    # The truth is likelier than data that are shifted.
    assert model.score(drawn) > model.score(drawn + 3.0)
    assert_array_equal(drawn, model.sample(4000)[0])


def test_superpositions_of_maximal_causes():
    model = quiet(
        small(MaxMagnitudeCausesAnalysis, n_components=3).fit,
        bars_for(MaxMagnitudeCausesAnalysis).data,
    )
    W = model.components_
    X = model.inverse_transform(np.array([[1, 1, 1], [0, 1, 0], [0, 0, 0]]))
    expected = W[np.abs(W).argmax(axis=0), np.arange(9)]
    assert_allclose(X[0], expected)
    assert_allclose(X[1], W[1])
    assert not X[2].any()


# Invariances


@every_class
def test_workers_and_batches_change_no_bit(cls, monkeypatch):
    monkeypatch.setattr(_expectation_truncation, "_SMALLEST_BLOCK", 32)
    X = bars_for(cls).data
    options = [(None, 4096), (4, 1), (2, 100), (None, 7)]
    fits = [
        quiet(small(cls, max_iter=8, n_jobs=n_jobs, batch_size=batch).fit, X)
        for n_jobs, batch in options
    ]
    for other in fits[1:]:
        assert_array_equal(other.components_, fits[0].components_)
        assert_array_equal(other.history_, fits[0].history_)
        assert_array_equal(other.transform(X), fits[0].transform(X))


@every_class
def test_sparse_data_give_the_dense_answer(cls):
    X = np.where(bars_for(cls).data > 3.0, bars_for(cls).data, 0.0)
    options = {"max_iter": 6, "fit_mean": True}
    if cls is SpikeSlabSparseCoding:
        options["noise"] = "diagonal"
    dense = quiet(small(cls, **options).fit, X)
    thin = quiet(small(cls, **options).fit, sparse.csr_array(X))
    assert_allclose(thin.components_, dense.components_, atol=1e-7)
    assert_allclose(thin.transform(sparse.csc_array(X)), dense.transform(X), atol=1e-6)


@every_class
def test_single_precision_is_close(cls):
    X = bars_for(cls).data
    double = quiet(small(cls, max_iter=5, n_steps=5).fit, X)
    single = quiet(small(cls, max_iter=5, n_steps=5).fit, X.astype(np.float32))
    assert single.components_.dtype == np.float32
    assert single.transform(X.astype(np.float32)).dtype == np.float32
    size = np.abs(double.components_).max()
    assert_allclose(single.components_, double.components_, atol=2e-3 * size)


@pytest.mark.parametrize("init", ["mean", "data"])
@every_class
def test_weights_are_repetitions(cls, init, rng):
    if cls is MaximalCausesAnalysis and init == "data":
        X = np.abs(bars_for(cls, 150).data)
    else:
        X = bars_for(cls, 150).data
    weights = rng.integers(0, 4, len(X))
    options = {"max_iter": 4, "init": init}
    weighted = quiet(small(cls, **options).fit, X, sample_weight=weights)
    order = rng.permutation(int(weights.sum()))
    repeated = np.repeat(X, weights, axis=0)[order]
    plain = quiet(small(cls, **options).fit, repeated)
    assert_allclose(weighted.components_, plain.components_, atol=1e-6)
    assert_allclose(weighted.history_, plain.history_, rtol=1e-8)


def test_weights_need_not_be_whole():
    X = bars_for(BinarySparseCoding).data
    annealing = {"T": [(0.0, 3.0), (1.0, 1.0)]}
    plain = quiet(small(BinarySparseCoding, annealing=annealing).fit, X)
    weights = np.full(len(X), 1e-3)
    model = quiet(
        small(BinarySparseCoding, annealing=annealing).fit, X, sample_weight=weights
    )
    assert_allclose(model.components_, plain.components_, atol=1e-6)
    weights[:10] = 1e-5
    model = quiet(small(BinarySparseCoding).fit, X, sample_weight=weights)
    used = model.certificate_.details["n_used"]
    assert 0.5 * weights.sum() < used <= weights.sum()


@every_class
def test_a_learned_mean_follows_a_shift_of_the_data(cls):
    X, shift = bars_for(cls).data, np.linspace(-30, 50, 9)
    options = {"fit_mean": True, "max_iter": 10}
    plain = quiet(small(cls, **options).fit, X)
    moved = quiet(small(cls, **options).fit, X + shift)
    assert_allclose(moved.mean_ - plain.mean_, shift, atol=1e-5)
    assert_allclose(moved.components_, plain.components_, atol=1e-5)
    assert_allclose(moved.sigma_, plain.sigma_, rtol=1e-6)
    assert np.abs(plain.mean_).max() > 0.0


def test_several_starts_keep_the_best():
    X = bars_for(BinarySparseCoding).data
    one = quiet(small(BinarySparseCoding, annealing=None).fit, X)
    many = quiet(small(BinarySparseCoding, annealing=None, n_init=4).fit, X)
    assert many.history_[-1] >= one.history_[-1]


def test_only_what_is_to_be_learned_changes():
    bars = bars_for(BinarySparseCoding)
    model = small(BinarySparseCoding, init=bars.components, learn=("pi", "sigma"))
    model.fit(bars.data)
    assert_array_equal(model.components_, bars.components)
    assert model.sigma_ == pytest.approx(2.0, abs=0.2)
    slab = small(SpikeSlabSparseCoding, learn=("W",))
    quiet(slab.fit, bars.data)
    assert slab.sigma_ == pytest.approx(bars.data.std(axis=0).mean())


def test_the_input_is_left_alone():
    bars = bars_for(BinarySparseCoding)
    for cls in CLASSES:
        X, init = bars.data.copy(), bars.components.copy()
        model = quiet(small(cls, init=init, max_iter=3).fit, X)
        model.transform(X)
        assert_array_equal(X, bars.data)
        assert_array_equal(init, bars.components)


# Annealing


def test_noise_of_the_schedule_is_reproducible_and_ends():
    X = bars_for(BinarySparseCoding).data
    noise = [(0.0, 0.3), (0.8, 0.0)]
    annealing = {"T": 2.0, "W_noise": noise, "pi_noise": noise, "sigma_noise": noise}
    for cls in (BinarySparseCoding, DiscreteSparseCoding, SpikeSlabSparseCoding):
        fits = [quiet(small(cls, annealing=annealing).fit, X) for _ in range(2)]
        assert_array_equal(fits[0].components_, fits[1].components_)
        calm = quiet(small(cls, annealing={"T": 2.0}).fit, X)
        assert not np.array_equal(calm.components_, fits[0].components_)
        assert np.isfinite(fits[0].history_).all()


def test_schedules_are_lines_between_points():
    schedule = _expectation_truncation.check_schedule(
        {"T": [(0.0, 5.0), (0.8, 1.0)], "ncut": 0.5}
    )
    now = [_expectation_truncation.anneal(schedule, t) for t in (0.0, 0.4, 0.8, 1.0)]
    assert_allclose([v["T"] for v in now], [5.0, 3.0, 1.0, 1.0])
    assert {v["ncut"] for v in now} == {0.5} and now[0]["W_noise"] == 0.0


def test_no_convergence_is_warned_about_with_the_numbers():
    X = bars_for(BinarySparseCoding).data
    with pytest.warns(ConvergenceWarning, match="Raise max_iter or tol") as caught:
        model = small(BinarySparseCoding, tol=0.0, max_iter=3).fit(X)
    assert len(caught) == 1
    assert not model.certificate_.satisfied and not model.converged_
    assert f"{model.certificate_.value:.3e}" in str(caught[0].message)


def test_the_certificate_can_be_recomputed():
    X = bars_for(BinarySparseCoding).data
    model = BinarySparseCoding(6, random_state=0, annealing=None, max_active=6).fit(X)
    last = model.history_[-2:]
    size = abs(last[1] - model.certificate_.details["log_unit"])
    value = abs(last[1] - last[0]) / max(1.0, size)
    assert model.certificate_.value == pytest.approx(value, abs=1e-15)
    assert model.certificate_.satisfied and value <= model.tol
    assert model.score(X) == pytest.approx(last[1], rel=1e-9)


def test_verbose_fits_log_a_line_per_step(caplog):
    X = bars_for(BinarySparseCoding).data
    with caplog.at_level(logging.INFO, logger="sparsestat"):
        model = quiet(small(BinarySparseCoding, verbose=1).fit, X)
    assert len(caplog.records) == model.n_iter_
    assert "log_likelihood" in caplog.text


# Batch by batch


@pytest.mark.parametrize("cls", LINEAR, ids=lambda c: c.__name__)
def test_batches_lead_to_the_bars(cls):
    size = 3 if cls is TernarySparseCoding else 4
    bars = bars_for(cls, 4000, 5, size=size)
    errors = []
    for seed in range(6):
        model = small(cls, n_components=2 * size, n_steps=80, random_state=seed)
        for _ in range(6):
            for start in range(0, 4000, 200):
                model.partial_fit(bars.data[start : start + 200])
        assert model.n_steps_ == 120 and model.certificate_.satisfied
        signs = cls is TernarySparseCoding
        errors.append(largest_error(model.components_, bars.components, signs))
        if errors[-1] < 1.0:
            break
    assert errors[-1] < 1.0, errors


def test_the_first_batch_is_one_step_of_fit():
    X = bars_for(BinarySparseCoding).data
    batch = small(BinarySparseCoding, annealing=None).partial_fit(X)
    fit = quiet(small(BinarySparseCoding, annealing=None, max_iter=1).fit, X)
    assert_allclose(batch.components_, fit.components_)
    assert batch.sigma_ == pytest.approx(fit.sigma_)
    before = fit.components_.copy()
    fit.partial_fit(X)  # goes on from the statistics of the fit
    assert fit.n_steps_ == 2
    assert not np.array_equal(before, fit.components_)
    assert clone(fit).get_params() == fit.get_params()


# Bad input


@every_class
def test_bad_input_is_named(cls):
    X = bars_for(cls, 50).data
    cases = [
        ({"n_candidates": 7}, r"n_candidates=7 exceeds n_components=6"),
        ({"n_candidates": 3, "max_active": 4}, r"max_active=4 exceeds n_candidates=3"),
        ({"annealing": {"T": [(0, 1e-4)]}}, r"annealing\['T'\] must be at least 1e-3"),
        ({"annealing": {"ncut": 1.5}}, r"annealing\['ncut'\] must lie in \[0, 1\]"),
        ({"annealing": {"noise": 1.5}}, "unknown keys"),
        ({"annealing": {"T": [1, 2, 3]}}, "list of pairs"),
        ({"annealing": {"T": [(0.5, 2), (0.1, 1)]}}, "by rising progress"),
        ({"annealing": {"T": [(0.0, 2), (3.0, 1)]}}, "runs from 0 to 1"),
        ({"annealing": {"W_noise": -1.0}}, "must not be negative"),
        ({"init": np.ones((5, 9))}, r"init must be a finite array of shape \(6, 9\)"),
        ({"init": np.full((6, 9), np.nan)}, "init must be a finite array"),
        ({"learn": ("W", "rho")}, r"learn names \['rho'\]"),
        ({"tol": -1.0}, "'tol' parameter"),
        ({"init": "nonsense"}, "'init' parameter"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            small(cls, **options).fit(X)
    for bad, message in [
        (X * 1j, "Complex data not supported"),
        (X[0], "Expected 2D array"),
        (np.where(X > 5, np.nan, X), "NaN"),
        (np.where(X > 5, np.inf, X), "infinity"),
    ]:
        with pytest.raises(ValueError, match=message):
            small(cls).fit(bad)
    model = quiet(small(cls, max_iter=2).fit, X)
    with pytest.raises(ValueError, match="top_k must be a positive integer"):
        model.posterior(X, top_k=0)
    with pytest.raises(ValueError, match="n_samples must be a positive integer"):
        model.sample(0)
    with pytest.raises(ValueError, match="Codes have shape"):
        model.inverse_transform(np.ones((2, 5)))


def test_too_many_states_are_refused_with_their_number():
    X = np.random.default_rng(0).standard_normal((50, 9))
    model = BinarySparseCoding(40, n_candidates=30, max_active=10)
    with pytest.raises(ValueError, match=r"make 53009112 states .* more than 5000000"):
        model.fit(X)
    model = DiscreteSparseCoding(20, values=range(6), n_candidates=12, max_active=8)
    with pytest.raises(ValueError, match="Lower one of them"):
        model.fit(X)


@pytest.mark.parametrize("values", [(1, 2), (0, 0, 1), (0, 1, 1), (0,), (0, np.nan)])
def test_values_need_one_zero_and_no_repetition(values):
    X = np.random.default_rng(0).standard_normal((50, 9))
    with pytest.raises(ValueError, match="values must"):
        DiscreteSparseCoding(3, values=values).fit(X)


def test_maximal_causes_start_positive():
    X = bars_for(MaximalCausesAnalysis).data
    with pytest.raises(ValueError, match="init must not be negative"):
        small(MaximalCausesAnalysis, init=-np.ones((6, 9))).fit(X)
    with pytest.raises(ValueError, match=r"init='data'.* must not be negative"):
        small(MaximalCausesAnalysis, init="data").fit(X)
    model = quiet(small(MaximalCausesAnalysis, init="data").fit, np.abs(X))
    assert (model.components_ > 0).all()


@every_class
def test_degenerate_data_give_finite_parameters(cls):
    for X in (np.ones((5, 3)), np.zeros((4, 2)), np.array([[1.0, 2.0, 3.0]])):
        model = quiet(small(cls, n_components=2).fit, X)
        assert np.isfinite(model.components_).all()
        assert np.all(np.isfinite(model.sigma_)) and np.all(model.sigma_ > 0)
        assert np.isfinite(model.transform(X)).all()
    model = quiet(cls(1, random_state=0, max_iter=5).fit, np.array([[1.0], [2.0]]))
    assert np.isfinite(model.score(np.array([[1.0]])))


@pytest.mark.parametrize("anneal_prior", [False, True])
def test_the_temperature_acts_on_the_prior_only_if_asked_to(anneal_prior):
    bars = bars_for(BinarySparseCoding, 60, size=2)
    W = bars.components
    options = {"n_components": 4, "n_candidates": 4, "max_active": 4, "init": W}
    start = {"n_steps": 1, "max_iter": 1, "annealing": {"T": 3.0, "ncut": 0.0}}
    still = quiet(BinarySparseCoding(learn=("W",), **options, **start).fit, bars.data)
    pi, sigma = still.pi_, still.sigma_  # as they start
    model = quiet(
        BinarySparseCoding(
            learn=("pi",), anneal_prior=anneal_prior, **options, **start
        ).fit,
        bars.data,
    )
    states = np.array(list(product((0, 1), repeat=4)))
    far = ((bars.data[:, None] - states @ W) ** 2).sum(axis=-1) / (2 * sigma**2)
    prior = states.sum(axis=1) * np.log(pi) + (1 - states).sum(axis=1) * np.log1p(-pi)
    logs = -far / 3.0 + prior * (1 / 3.0 if anneal_prior else 1.0)
    posterior = softmax(logs, axis=1)
    assert model.pi_ == pytest.approx((posterior @ states).mean(), rel=1e-9)


def test_correlated_strengths_are_learned_if_they_may_be(rng):
    W = 4.0 * np.eye(3, 6) + 0.3
    truth = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]])
    strengths = rng.multivariate_normal([3.0, 3.0, 3.0], truth, size=1500)
    X = (strengths * (rng.random((1500, 3)) < 0.6)) @ W
    X = X + 0.1 * rng.standard_normal(X.shape)
    for kind in ("diagonal", "full"):
        model = SpikeSlabSparseCoding(
            3, slab_covariance=kind, init=W, learn=("pi", "sigma", "slab"),
            annealing=None, max_active=3, max_iter=60, random_state=0,
        )  # fmt: skip
        quiet(model.fit, X)
        found = model.slab_cov_
        assert_allclose(model.slab_mean_, 3.0, atol=0.1)
        assert_allclose(np.diag(found), 1.0, atol=0.15)
        off = found - np.diag(np.diag(found))
        if kind == "diagonal":
            assert not off.any()
        else:
            assert_allclose(off, truth - np.eye(3), atol=0.15)
