"""Losses against their definitions, finite differences and convex duality."""

import math

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsestat.linear_model._penalized import _class_datafits as classes
from sparsestat.linear_model._penalized import _datafits as datafits
from sparsestat.linear_model._penalized import _kernels_losses as kernels
from sparsestat.linear_model._penalized import _steps as steps
from sparsestat.linear_model._penalized import _survival as survival
from tests.linear_model.glm_oracles import cox_loss

N = 14
POWER = 1.6


def make(name, seed=0, weighted=True):
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 4, N).astype(float) if weighted else None
    if name == "softmax":
        codes = np.concatenate([[0, 1, 2], rng.integers(0, 3, N - 3)])
        return classes.Softmax(codes, 3, weights), rng.normal(size=(N, 3))
    eta = rng.normal(size=N)
    if name == "squares":
        return datafits.LeastSquares(rng.normal(size=N), weights), eta
    if name == "logistic":
        return datafits.Logistic(np.arange(N) % 2, weights), eta
    if name == "poisson":
        return datafits.Poisson(rng.poisson(2, N), weights), eta
    if name == "huber":
        return datafits.Huber(3 * rng.normal(size=N), weights, delta=1.2), eta
    if name == "gamma":
        return datafits.Gamma(rng.gamma(2.0, 1.0, N), weights), eta
    if name == "tweedie":
        y = rng.gamma(2.0, 1.0, N) * (np.arange(N) % 3 > 0)
        return datafits.Tweedie(y, weights, power=POWER), eta
    time = rng.integers(1, 6, N).astype(float)
    event = rng.random(N) < 0.7
    return survival.Cox(time, event, weights, ties=name), eta


SEPARABLE = ["squares", "logistic", "poisson", "huber", "gamma", "tweedie"]
NAMES = [*SEPARABLE, "breslow", "efron", "softmax"]


def derivative(function, eta, step=1e-6):
    out = np.zeros((*np.shape(function(eta)), *eta.shape))
    for index in np.ndindex(eta.shape):
        up, down = eta.copy(), eta.copy()
        up[index] += step
        down[index] -= step
        out[(..., *index)] = (function(up) - function(down)) / (2 * step)
    return out


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_the_derivative_of_the_value(name):
    fit, eta = make(name)
    assert_allclose(derivative(fit.value, eta), fit.gradient(eta), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_curvature_is_or_bounds_the_hessian(name):
    fit, eta = make(name)
    if name == "softmax":
        diagonal = np.array(
            [
                derivative(lambda e, c=c: fit.gradient(e)[:, c], eta)[
                    :, :, c
                ].diagonal()
                for c in range(3)
            ]
        ).T
        assert_allclose(fit.curvature(eta), diagonal, atol=1e-6)
        return
    H = derivative(fit.gradient, eta)
    rest = np.diag(fit.curvature(eta)) - H
    assert np.linalg.eigvalsh((rest + rest.T) / 2).min() >= -1e-6
    if name not in ("breslow", "efron"):
        assert_allclose(rest, 0, atol=1e-6)
    A = np.random.default_rng(1).normal(size=(N, 3))
    assert_allclose(fit.gram(A, eta, fit.curvature(eta)), A.T @ H @ A, atol=1e-5)


@pytest.mark.parametrize("name", ["squares", "logistic", "huber", "softmax"])
def test_bounds_of_curvature_hold_far_away(name):
    fit, eta = make(name)
    for scale in (0.0, 1.0, 30.0):
        curvature = fit.curvature(scale * eta)
        bound = fit.curvature_bound
        assert (curvature <= (bound if curvature.ndim == 1 else bound[:, None])).all()


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("breslow", "efron")])
def test_conjugate_meets_fenchel_young_with_equality_at_the_gradient(name):
    fit, eta = make(name)
    v = fit.gradient(eta)
    assert_allclose(fit.value(eta) + fit.conjugate(v), (eta * v).sum(), rtol=1e-12)
    other = eta + 0.5
    if name == "softmax":
        other = eta * 0.5
    assert fit.value(other) + fit.conjugate(v) >= (other * v).sum() - 1e-10


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_settled_intercept_zeroes_the_gradient(name, scale):
    fit, eta = make(name)
    eta = scale * eta
    gradient = fit.gradient(eta + fit.settle_intercept(eta))
    terms = max(fit.total, np.abs(gradient).sum())
    assert_allclose(gradient.sum(axis=0), 0, atol=1e-11 * terms)
    assert np.isfinite(fit.value(eta))


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_cox_loss_agrees_with_risk_sets_one_by_one(ties):
    fit, eta = make(ties, weighted=False)
    assert_allclose(fit.value(eta), cox_loss(eta, fit.y, fit.event, ties), rtol=1e-12)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_cox_weights_are_repetitions(ties):
    fit, eta = make(ties)
    rows = np.repeat(np.arange(N), fit.weights.astype(int))
    long = survival.Cox(fit.y[rows], fit.event[rows], ties=ties)
    assert_allclose(fit.value(eta), long.value(eta[rows]), rtol=1e-12)
    folded = np.zeros(N)
    np.add.at(folded, rows, long.gradient(eta[rows]))
    assert_allclose(fit.gradient(eta), folded, atol=1e-12)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_cox_in_the_logarithmic_domain_is_the_same(ties, monkeypatch):
    fit, eta = make(ties)
    value, gradient = fit.value(eta), fit.gradient(eta)
    monkeypatch.setattr(survival, "_PLAIN_RANGE", -1.0)
    assert_allclose(fit.value(eta), value, rtol=1e-12)
    assert_allclose(fit.gradient(eta), gradient, atol=1e-12)
    assert np.isfinite(fit.value(1e4 * eta))
    assert np.isfinite(fit.gradient(1e4 * eta)).all()


def test_huge_logits_stay_finite():
    fit, eta = make("softmax")
    for scale in (1e4, 1e8):
        assert np.isfinite(fit.value(scale * eta))
        assert np.isfinite(fit.gradient(scale * eta)).all()
    binary, eta = make("logistic")
    assert np.isfinite(binary.value(1e4 * eta))
    assert_allclose(binary.value(np.full(N, 1e4)), 1e4 * binary.weights[::2].sum())


def by_hand(name, eta, y, delta=1.2):
    if name == "squares":
        return (eta - y) ** 2 / 2
    if name == "logistic":
        return math.log(1 + math.exp(eta)) - y * eta
    if name == "poisson":
        return math.exp(eta) - y * eta
    if name == "gamma":
        return y * math.exp(-eta) + eta
    if name == "tweedie":
        low, high = y * math.exp((1 - POWER) * eta), math.exp((2 - POWER) * eta)
        return low / (POWER - 1) + high / (2 - POWER)
    r = abs(eta - y)
    return r * r / 2 if r <= delta else delta * (r - delta / 2)


@pytest.mark.parametrize("name", SEPARABLE)
@pytest.mark.parametrize("weighted", [False, True])
def test_values_are_weighted_sums_of_the_definitions(name, weighted):
    fit, eta = make(name, weighted=weighted)
    terms = [by_hand(name, e, y) for e, y in zip(eta, fit.y, strict=True)]
    s = fit.weights if weighted else np.ones(N)
    assert_allclose(fit.value(eta), s @ terms, rtol=1e-13)
    assert fit.total == s.sum() and fit.n_samples == N


def test_the_value_of_softmax_is_its_definition():
    fit, eta = make("softmax")
    terms = [
        math.log(sum(map(math.exp, row))) - row[c]
        for row, c in zip(eta, fit.codes, strict=True)
    ]
    assert_allclose(fit.value(eta), fit.weights @ terms, rtol=1e-13)
    assert fit.magnitude(eta) == fit.value(eta)
    P = fit.probabilities(eta)
    assert_allclose(P, np.exp(eta) / np.exp(eta).sum(axis=1)[:, None], rtol=1e-13)
    shares = np.array([fit.weights[fit.codes == c].sum() for c in range(3)])
    logs = np.log(shares) - np.log(shares).mean()
    assert_allclose(fit.null_intercept(), logs, rtol=1e-12)
    assert_array_equal(fit.curvature_bound, fit.weights / 4)
    assert_array_equal(fit.smoothness, fit.weights / 2)
    unweighted, _ = make("softmax", weighted=False)
    assert unweighted.total == N


@pytest.mark.parametrize("name", [*SEPARABLE, "softmax"])
def test_samples_without_weight_are_not_there(name):
    fit, eta = make(name)
    fit.weights = fit.weights.copy()
    fit.weights[3] = 0.0
    used = np.arange(N) != 3
    if name == "softmax":
        less = classes.Softmax(fit.codes[used], 3, fit.weights[used])
        full = classes.Softmax(fit.codes, 3, fit.weights)
    else:
        more = {"huber": {"delta": 1.2}, "tweedie": {"power": POWER}}.get(name, {})
        less = type(fit)(fit.y[used], fit.weights[used], **more)
        full = type(fit)(fit.y, fit.weights, **more)
    v = full.gradient(eta)
    assert_allclose(full.conjugate(v), less.conjugate(v[used]), rtol=1e-13)
    assert_allclose(full.value(eta), less.value(eta[used]), rtol=1e-13)
    assert_allclose(
        full.settle_intercept(eta), less.settle_intercept(eta[used]), atol=1e-12
    )
    assert_allclose(full.null_intercept(), less.null_intercept(), atol=1e-12)


def steepest_ascent(fit, name, i, v):
    """The eta of sample i at which its loss has the slope v, by bisection."""
    only = {"gamma": datafits.Gamma, "tweedie": datafits.Tweedie}[name]
    more = {"power": POWER} if name == "tweedie" else {}
    one = only(fit.y[i : i + 1], fit.weights[i : i + 1], **more)
    low, high = -60.0, 60.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        below = one.gradient(np.array([middle]))[0] < v
        low, high = (middle, high) if below else (low, middle)
    return low


@pytest.mark.parametrize("name", [*SEPARABLE, "softmax"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_conjugates_are_suprema(name, share):
    """At a multiple of the gradient: no eta gives more, and some come as close."""
    fit, eta = make(name)
    v = share * fit.gradient(eta + fit.settle_intercept(eta))
    found = fit.conjugate(v)
    if name == "softmax":
        # The supremum is at the logarithms of v / s + indicator.
        t = v / fit.weights[:, None]
        t[np.arange(N), fit.codes] += 1.0
        with np.errstate(divide="ignore"):
            best = np.maximum(np.log(t), -60.0)
    elif name in ("gamma", "tweedie"):
        best = np.array([steepest_ascent(fit, name, i, v[i]) for i in range(N)])
    else:
        t = v / fit.weights + fit.y
        with np.errstate(divide="ignore"):
            if name == "logistic":
                best = np.clip(np.log(t) - np.log1p(-t), -60, 60)
            elif name == "poisson":
                best = np.maximum(np.log(t), -60.0)
            else:
                best = t
    assert_allclose(found, (v * best).sum() - fit.value(best), rtol=1e-10, atol=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = best + rng.normal(size=best.shape) * rng.choice([1e-2, 1.0])
        assert (v * other).sum() - fit.value(other) <= found + 1e-10


def test_bounds_for_rounding_are_those_of_the_definitions():
    logistic, eta = make("logistic")
    assert logistic.steepest(eta) == logistic.weights.max() / 4
    assert_array_equal(logistic.smoothness, logistic.weights / 4)
    assert_allclose(logistic.magnitude(eta), logistic.value(eta))
    poisson, eta = make("poisson")
    assert_allclose(poisson.steepest(eta), (poisson.weights * np.exp(eta)).max())
    y, s = poisson.y, poisson.weights
    best = sum(
        w * (v - (v * math.log(v) if v else 0.0)) for v, w in zip(y, s, strict=True)
    )
    assert_allclose(poisson.saturated, best, rtol=1e-13)
    terms = s @ (np.exp(eta) + y * np.abs(eta)) + abs(best)
    assert_allclose(poisson.magnitude(eta), terms, rtol=1e-13)
    assert_allclose(
        poisson.settle_intercept(eta), math.log(s @ y / (s @ np.exp(eta))), rtol=1e-12
    )
    for name in ("squares", "huber"):
        fit, _ = make(name)
        assert_array_equal(fit.curvature_bound, fit.weights)
        assert_array_equal(fit.smoothness, fit.weights)
        assert fit.steepest(eta) == fit.weights.max()


def test_models_of_curvature():
    huber, eta = make("huber")
    size = np.abs(eta - huber.y)
    expected = [1.0 if r <= 1.2 else min(0.02, 0.3 * 1.2 / r) for r in size]
    assert (size > 1.2).any() and (size <= 1.2).any()
    assert_allclose(huber.model_curvature(eta), huber.weights * expected, rtol=1e-13)
    far = huber.model_curvature(eta + 100.0) / huber.weights
    assert_allclose(far, 0.36 / np.abs(eta + 100.0 - huber.y), rtol=1e-13)
    edge = datafits.Huber(np.zeros(3), np.array([1.0, 2.0, 3.0]), delta=0.75)
    at = np.array([0.75, -0.75, 0.5])  # the limit belongs to the quadratic
    assert_array_equal(edge.model_curvature(at), [1.0, 2.0, 3.0])
    assert_array_equal(edge.curvature(at), [1.0, 2.0, 3.0])
    assert_allclose(edge.value(at), 0.5 * (0.5625 + 2 * 0.5625 + 3 * 0.25))
    logistic, eta = make("logistic")
    floor = logistic.model_curvature(np.full(N, 1e3))
    assert_array_equal(floor, 1e-6 * logistic.weights)
    assert_allclose(logistic.model_curvature(eta), logistic.curvature(eta))


@pytest.mark.parametrize("mass", [1.0, 2.0, 2.5, 31.0, 33.0, 60.5, 100.0, 5000.0])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_efron_sums_of_few_nodes_are_the_sums_term_by_term(mass, share):
    steps, counts = survival._efron_terms(mass)
    assert_allclose(counts.sum(), mass, rtol=1e-13)
    assert len(steps) <= 32 + 12 * 9
    long = np.arange(math.ceil(mass))
    sizes = np.minimum(1.0, mass - long)
    for function in (
        lambda k: np.log(1.0 + 1e-3 - share * k / mass),
        lambda k: 1.0 / (1.0 + 1e-3 - share * k / mass),
        lambda k: k / mass,
    ):
        assert_allclose(counts @ function(steps), sizes @ function(long), rtol=1e-12)


def test_the_last_terms_of_efron_are_taken_one_by_one():
    steps, counts = survival._efron_terms(100.0)
    assert_array_equal(steps[:32], np.arange(68.0, 100.0))
    assert_array_equal(counts[:32], np.ones(32))
    assert len(steps) == 32 + 12 + 12  # and runs of 32 and 36
    assert_array_equal(survival._efron_terms(1e-3)[1], [1e-3])
    assert_array_equal(survival._efron_terms(3.0 + 1e-14)[0], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_the_pieces_of_cox_one_risk_set_after_the_other(ties):
    fit, eta = make(ties, weighted=False)
    time, event = fit.y.copy(), fit.event.copy()
    time[4], event[4] = 0.5, False  # left before anything happened
    fit = survival.Cox(time, event, ties=ties)
    events = np.unique(fit.y[fit.event])
    assert_array_equal(fit.event_times, events)
    hazard, expected = 0.0, np.zeros(N)
    jumps = []
    for t in events:
        at, risk = fit.event & (fit.y == t), fit.y >= t
        jump = 0.0
        for k in range(at.sum()):
            part = k / at.sum() if ties == "efron" else 0.0
            phi = np.exp(eta[risk]).sum() - part * np.exp(eta[at]).sum()
            expected += np.exp(eta) * (risk - part * at) / phi
            jump += 1.0 / phi
        hazard += jump
        jumps.append(hazard)
    assert_allclose(fit.baseline(eta), jumps, rtol=1e-12)
    assert_allclose(fit.curvature(eta), expected, rtol=1e-12)
    assert_allclose(fit.gradient(eta), expected - fit.event, atol=1e-12)
    assert fit.null_intercept() == fit.settle_intercept(eta) == 0.0
    assert fit.value(np.full(N, np.nan)) == np.inf
    shifted = fit.value(eta + 300.0)
    assert_allclose(shifted, fit.value(eta), rtol=1e-12)
    # Far apart: the largest of each risk set stands for its sum.
    wide = 600.0 * np.arange(N)
    order = np.argsort(fit.y, kind="stable")
    wide[order] = 600.0 * np.arange(N)[::-1]
    by_hand = cox_log(wide, fit.y, fit.event, ties)
    assert_allclose(fit.value(wide), by_hand, rtol=1e-12)


def cox_log(eta, time, event, ties):
    """The loss with every sum relative to its largest term."""
    total = 0.0
    for t in np.unique(time[event]):
        at, risk = event & (time == t), time >= t
        top = eta[risk].max()
        for k in range(at.sum()):
            part = k / at.sum() if ties == "efron" else 0.0
            phi = np.exp(eta[risk] - top).sum() - part * np.exp(eta[at] - top).sum()
            total += math.log(phi) + top
        total -= eta[at].sum()
    return total


@pytest.mark.parametrize("start", [1e4, -1e4, 700.0])
def test_intercepts_are_found_from_where_nothing_bends(start):
    """By steps of bounded length, however far away the root is."""
    fit = datafits.Logistic(np.arange(6) % 2, np.ones(6))
    eta = np.full(6, start / 20.0)
    assert_allclose(fit.settle_intercept(eta), -start / 20.0, atol=1e-10)
    flat = np.full(6, np.sign(start) * 790.0)
    assert fit.curvature(flat).sum() == 0.0
    assert_allclose(fit.settle_intercept(flat), -flat[0], atol=1e-6)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_risk_sets_that_vanish_take_nothing_off_the_hessian(ties):
    time, event = np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4, dtype=bool)
    fit = survival.Cox(time, event, ties=ties)
    eta = np.array([0.3, -0.2, 0.1, -2000.0])
    A = np.array([[1.0, 0.5], [-1.0, 2.0], [0.0, 1.0], [3.0, -1.0]])
    h = fit.curvature(eta)
    expected = (A * h[:, None]).T @ A
    for k in range(3):  # the last sum of exponentials is zero
        e = np.exp(eta[k:])
        mean = e @ A[k:] / e.sum()
        expected -= np.outer(mean, mean)
    assert_allclose(fit.gram(A, eta, h), expected, rtol=1e-12)


@pytest.mark.parametrize("spread", [0.0, 3.0, 12.0, 30.0])
def test_intercepts_of_classes_are_found_however_far_away(spread):
    codes, mass = np.array([0, 1, 1, 2, 2, 2]), np.array([1.0, 2.0, 3.0])
    fit = classes.Softmax(codes, 3, np.ones(6))
    eta = spread * np.array([1.0, -1.0, 0.25]) + np.zeros((6, 1))
    expected = np.log(mass / 6.0) - eta[0]
    assert_allclose(
        fit.settle_intercept(eta), expected - expected.mean(), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("power", [1.01, 1.5, 1.9, 1.99])
def test_slopes_of_tweedie_losses_are_inverted(power):
    y, k = np.meshgrid([1e-8, 0.3, 1.0, 50.0], [-1e5, -3.0, -0.1, 0.0, 0.1, 3.0, 1e5])
    y, u = y.ravel(), (k * y ** (2.0 - power)).ravel()
    found = datafits._tweedie_root(u, y, power)
    low, high = np.log(y) - 2000.0, np.log(y) + 2000.0
    with np.errstate(over="ignore"):
        for _ in range(200):
            middle = 0.5 * (low + high)
            x = middle - np.log(y)
            slope = np.exp((2.0 - power) * x) - np.exp((1.0 - power) * x)
            above = slope * y ** (2.0 - power) > u
            low, high = np.where(above, low, middle), np.where(above, middle, high)
    assert_allclose(found, low, rtol=1e-12, atol=1e-12)


def test_slopes_that_are_far_from_zero_are_inverted():
    """Where one of the two terms is all, a step gains no more than its exponent."""
    found = datafits._tweedie_root(np.array([-1e250, 1e250]), np.ones(2), 1.99)
    logs = 250.0 * math.log(10.0)
    assert_allclose(found, [-logs / 0.99, logs / 0.01], rtol=1e-12)


@pytest.mark.parametrize("name", ["gamma", "tweedie"])
def test_likelihoods_of_sizes_are_measured(name):
    fit, eta = make(name)
    y, s = fit.y, fit.weights
    if name == "gamma":
        best = s @ (1.0 + np.log(y))
        terms = np.abs(y * np.exp(-eta)) + np.abs(eta) + 1.0 + np.abs(np.log(y))
        assert_allclose(fit.magnitude(eta), s @ terms, rtol=1e-13)
    else:
        best = s @ (y ** (2 - POWER)) / ((POWER - 1) * (2 - POWER))
        assert_allclose(fit.magnitude(eta), fit.value(eta) + best, rtol=1e-13)
        assert_allclose(fit.null_curvature, (s @ y / s.sum()) ** (2 - POWER))
    assert_allclose(fit.saturated, best, rtol=1e-13)
    seen = y > 0
    with np.errstate(divide="ignore"):
        at = fit.value(np.where(seen, np.log(y), -200.0))
    assert_allclose(at, best, rtol=1e-12)
    assert_allclose(
        fit.null_intercept(), math.log(s @ y / s.sum()), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("with_shift", [False, True])
@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_blocks_of_classes_settle_at_their_minimum(with_shift, scale):
    fit, eta = make("softmax")
    eta = scale * eta
    A = np.random.default_rng(3).normal(size=(N, 2))
    calls = counted(fit, "model")
    coef, shift = fit.settle_block(A, eta, with_shift=with_shift)
    assert len(calls) <= 20
    assert coef.shape == (2, 3) and shift.shape == (3,)
    gradient = fit.gradient(eta + A @ coef + shift)
    assert_allclose(A.T @ gradient, 0.0, atol=1e-9)
    assert_allclose(coef.sum(axis=1), 0.0, atol=1e-9)  # the least of all that do
    if with_shift:
        assert_allclose(gradient.sum(axis=0), 0.0, atol=1e-9)
        assert_allclose(shift.sum(), 0.0, atol=1e-9)
    else:
        assert not shift.any()


@pytest.mark.parametrize("with_shift", [False, True])
@pytest.mark.parametrize("start", [0.0, 6.0, -6.0])
@pytest.mark.parametrize("name", ["logistic", "poisson", "gamma", "huber"])
def test_blocks_settle_at_their_minimum(name, start, with_shift):
    """From afar a full step of Newton's method rises: its length has to be found."""
    fit, eta = make(name)
    A = np.random.default_rng(3).normal(size=(N, 2))
    eta = eta + start * (A[:, 0] if not with_shift else 1.0)
    calls = counted(fit, "gram")
    coef, shift = fit.settle_block(A, eta, with_shift=with_shift)
    assert len(calls) <= 30
    gradient = fit.gradient(eta + A @ coef + shift)
    assert_allclose(A.T @ gradient, 0.0, atol=1e-8)
    assert_allclose(gradient.sum() if with_shift else shift, 0.0, atol=1e-8)


def test_steps_must_gain_a_share_of_what_the_model_promises():
    fell = {1.0: 1.0 - 0.5e-4, 0.5: 0.9}
    assert steps.line_search(fell.get, 1.0, -1.0) == 0.5
    assert steps.line_search({1.0: 1.0 - 2e-4}.get, 1.0, -1.0) == 1.0
    # Of whatever a step promises, the same share is asked for.
    assert (
        steps.line_search({1.0: 1.0 - 0.5e-4 * 1e-3, 0.5: 0.0}.get, 1.0, -1e-3) == 0.5
    )
    assert steps.line_search({1.0: 1.0 - 2e-4 * 1e-3, 0.5: 0.0}.get, 1.0, -1e-3) == 1.0
    # A promise that is rounding is tried all the same, a rise by more is not.
    assert steps.line_search(lambda t: 1.0, 1.0, 9.5e-14) == 1.0
    assert steps.line_search(lambda t: 1.0, 1.0, 1.05e-13) == 0.0
    for unit in (1.0, -1.0, 2.0**-60, -(2.0**60)):  # relative to the objective
        scale = abs(unit)

        def search(rise, change, unit=unit, scale=scale):
            tried = []

            def objective(length):
                tried.append(length)
                return unit + rise * scale

            return steps.line_search(objective, unit, change * scale), tried

        assert search(0.5e-14, -5e-14) == (1.0, [1.0])
        assert search(2e-14, -5e-14) == (0.0, [1.0])
        # What is more than rounding has to be gained, if need be by small steps.
        found, tried = search(0.5e-14, -1.05e-13)
        assert found == 0.0 and tried == [0.5**k for k in range(34)]
        assert search(-1.0, -5e-14) == (1.0, [1.0])
        assert search(0.0, 9e-13) == (0.0, [])


def test_columns_in_one_unit_are_divided_by_powers_of_two():
    rng = np.random.default_rng(21)
    A = rng.standard_normal((7, 4)) * [1e-30, 1.0, -3e5, 0.0]
    found, units = steps.in_one_unit(A)
    assert_array_equal(found * units, A)
    assert_array_equal(np.frexp(units)[0], 0.5)
    largest = np.abs(found).max(axis=0)
    assert ((largest[:3] >= 1.0) & (largest[:3] < 2.0)).all() and units[3] == 1.0
    assert found.flags.f_contiguous


class Roots(datafits.Datafit):
    """A slope for which Newton's method goes to and fro about the root for ever."""

    def gradient(self, eta):
        return np.sign(eta - self.y) * np.sqrt(np.abs(eta - self.y))

    def curvature(self, eta):
        return 0.5 / np.sqrt(np.maximum(np.abs(eta - self.y), 1e-300))


@pytest.mark.parametrize("root", [-1.0, 1.0])
def test_steps_between_two_points_are_cut(root):
    assert Roots([root]).settle_intercept(np.zeros(1)) == root


def counted(fit, name):
    """Count the calls of a method of a fit."""
    calls, method = [], getattr(fit, name)
    setattr(fit, name, lambda *given: (calls.append(1), method(*given))[1])
    return calls


def test_intercepts_take_few_steps():
    light = datafits.Logistic(np.arange(6) % 2, np.full(6, 1e-3))
    calls = counted(light, "gradient")
    eta = 2.0 * np.arange(6.0) - 3.0
    slope = light.gradient(eta + light.settle_intercept(eta)).sum()
    assert_allclose(slope, 0.0, atol=1e-17)
    assert len(calls) <= 12
    # Slopes as small as rounding lets them be end the search.
    for seed in range(10):
        fit, eta = make("softmax", seed)
        calls = counted(fit, "probabilities")
        fit.settle_intercept(3e3 + 3.0 * eta)
        assert len(calls) <= 20


def test_intercepts_of_classes_descend_where_newton_does_not():
    """A step of bounded length down the gradient, not one of no length."""
    fit, eta = make("softmax")
    true = np.linalg.solve
    first = []

    def uphill(H, right):
        first.append(1)
        return -true(H, right) if len(first) == 1 else true(H, right)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.linalg, "solve", uphill)
        patch.setattr(classes, "MAX_INTERCEPT_STEPS", 1)
        shift = fit.settle_intercept(eta)
    slope = fit.gradient(eta).sum(axis=0)
    assert_allclose(shift, -2.0 / fit.total * slope, rtol=1e-12)
    assert fit.value(eta + shift) < fit.value(eta)


@pytest.mark.parametrize("kind", ["binary", "several"])
def test_losses_of_confident_samples_keep_their_digits(kind):
    # Beside a heavy weight, what is lost of a small loss passes for a gap of zero.
    margins, weights = np.array([1e-3, 0.5, 9.0, 17.0, 30.0]), np.full(5, 2.0**20)
    exact = [mpmath.mpf(m) for m in margins]
    with mpmath.workdps(40):
        left = [1 / (1 + mpmath.exp(m)) for m in exact]
        value = [mpmath.log(1 + mpmath.exp(-m)) for m in exact]
        entropy = [u * mpmath.log(u) + (1 - u) * mpmath.log(1 - u) for u in left]
    if kind == "binary":
        fit, eta = datafits.Logistic(np.ones(5), weights), margins
    else:
        fit = classes.Softmax(np.ones(5, int), 2, weights)
        eta = np.column_stack([np.zeros(5), margins])
    for i in range(5):
        chosen = np.arange(5) == i
        one = type(fit)(
            *((fit.codes, 2) if kind == "several" else (fit.y,)), weights * chosen
        )
        g = one.gradient(eta)
        own = g[i] if kind == "binary" else g[i, 1]
        for found, true in (
            (one.value(eta), value[i]),
            (-own, left[i]),
            (one.conjugate(g), entropy[i]),
        ):
            assert_allclose(found, weights[i] * float(true), rtol=1e-13)
        if kind == "binary":
            found = kernels.conjugate(
                kernels.LOGISTIC, 0.0, fit.y, weights, eta, g, 1.0
            )
            assert_allclose(found, weights[i] * float(entropy[i]), rtol=1e-13)
