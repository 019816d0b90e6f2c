"""Losses against their definitions, finite differences and convex duality."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsestat.linear_model import _datafits as datafits
from tests.linear_model.glm_oracles import cox_loss

N = 14


def make(name, seed=0, weighted=True):
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 4, N).astype(float) if weighted else None
    if name == "softmax":
        codes = np.concatenate([[0, 1, 2], rng.integers(0, 3, N - 3)])
        return datafits.Softmax(codes, 3, weights), rng.normal(size=(N, 3))
    eta = rng.normal(size=N)
    if name == "squares":
        return datafits.LeastSquares(rng.normal(size=N), weights), eta
    if name == "logistic":
        return datafits.Logistic(np.arange(N) % 2, weights), eta
    if name == "poisson":
        return datafits.Poisson(rng.poisson(2, N), weights), eta
    if name == "huber":
        return datafits.Huber(3 * rng.normal(size=N), weights, delta=1.2), eta
    time = rng.integers(1, 6, N).astype(float)
    event = rng.random(N) < 0.7
    return datafits.Cox(time, event, weights, ties=name), eta


NAMES = ["squares", "logistic", "poisson", "huber", "breslow", "efron", "softmax"]


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
    assert_allclose(gradient.sum(axis=0), 0, atol=1e-11 * fit.total)
    assert np.isfinite(fit.value(eta))


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_cox_loss_agrees_with_risk_sets_one_by_one(ties):
    fit, eta = make(ties, weighted=False)
    assert_allclose(fit.value(eta), cox_loss(eta, fit.y, fit.event, ties), rtol=1e-12)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_cox_weights_are_repetitions(ties):
    fit, eta = make(ties)
    rows = np.repeat(np.arange(N), fit.weights.astype(int))
    long = datafits.Cox(fit.y[rows], fit.event[rows], ties=ties)
    assert_allclose(fit.value(eta), long.value(eta[rows]), rtol=1e-12)
    folded = np.zeros(N)
    np.add.at(folded, rows, long.gradient(eta[rows]))
    assert_allclose(fit.gradient(eta), folded, atol=1e-12)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_cox_in_the_logarithmic_domain_is_the_same(ties, monkeypatch):
    fit, eta = make(ties)
    value, gradient = fit.value(eta), fit.gradient(eta)
    monkeypatch.setattr(datafits, "_PLAIN_RANGE", -1.0)
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
