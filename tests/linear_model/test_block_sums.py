"""What passes over blocks of rows sum, and what is measured from it, by formula."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat._utils.blocks import Block
from sparsestat.linear_model._penalized import (
    _block_likelihood,
    _block_sums,
    _kernels_blocks,
)
from sparsestat.linear_model._penalized._block_likelihood import BlockLikelihood
from sparsestat.linear_model._penalized._class_datafits import Softmax
from sparsestat.linear_model._penalized._datafits import (
    Gamma,
    Huber,
    Logistic,
    Poisson,
)
from sparsestat.linear_model._penalized._likelihood_loop import SETTLED

# Kernels


@pytest.mark.parametrize("n", [3, 4, 9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_are_centered_as_they_are_summed(n, dtype):
    rng = np.random.default_rng(n)
    X, center = rng.standard_normal((n, 5)).astype(dtype), rng.standard_normal(5)
    v, A = rng.standard_normal(n), X.astype(float) - center
    columns, w = np.array([3, 0]), np.array([2.0, -0.5])
    out = np.full(n, np.nan)
    _kernels_blocks.predictors(X, center, columns, w, out)
    assert_allclose(out, A[:, columns] @ w, rtol=1e-12)
    out = np.arange(5.0)
    _kernels_blocks.products(X, center, v, out)
    assert_allclose(out, np.arange(5.0) + A.T @ v, rtol=1e-12)
    out = np.arange(5.0)
    _kernels_blocks.squares(X, center, v, out)
    assert_allclose(out, np.arange(5.0) + v @ A**2, rtol=1e-12)
    out = np.full((n, 3), np.nan)
    _kernels_blocks.weighted_columns(X, center, columns, v, out)
    assert_allclose(out, v[:, None] * np.c_[A[:, columns], np.ones(n)], rtol=1e-12)


# Sums of a pass


def likelihoods():
    rng = np.random.default_rng(0)
    n = 11
    labels = (rng.random(n) < 0.5).astype(float)
    counts = rng.poisson(2.0, n).astype(float)
    return {
        "logistic": (Logistic, labels),
        "poisson": (Poisson, counts),
        "gamma": (Gamma, rng.random(n) + 0.1),
        "huber": (partial(Huber, delta=0.7), rng.standard_normal(n)),
    }


@pytest.mark.parametrize("with_offset", [False, True])
@pytest.mark.parametrize("container", [np.array, sparse.csr_array])
@pytest.mark.parametrize("name", ["logistic", "poisson", "gamma", "huber"])
def test_sums_of_a_pass_are_those_of_the_datafit(
    name, container, with_offset, monkeypatch
):
    monkeypatch.setattr(_block_sums, "_ENTRIES", 16)  # slices of four rows
    make, y = likelihoods()[name]
    rng = np.random.default_rng(1)
    n, p = len(y), 4
    X, weights = rng.standard_normal((n, p)) + 1.0, rng.random(n) + 0.5
    center, columns = rng.standard_normal(p), np.array([0, 3])
    w, shift, working = np.array([0.3, -0.2]), 0.25, np.array([1, 3])
    offset = rng.standard_normal(n) if with_offset else None
    block = Block(container(X), y[:, None], weights, None, len(X))
    at = center, columns, w, shift
    datafit, A = make(y, sample_weight=weights), X - center
    fit = A[:, columns] @ w
    eta = fit + shift + (offset if with_offset else 0.0)
    g, h = datafit.gradient(eta), datafit.model_curvature(eta)
    multiples = (0.5, 1.0)
    found = _block_sums.sums(block, offset, make, at, working, multiples, True)
    Z = np.c_[A[:, working], np.ones(n)]
    bound = datafit.curvature_bound
    expected = {
        "value": datafit.value(eta),
        "magnitude": datafit.magnitude(eta),
        "saturated": datafit.saturated,
        "slope": g.sum(),
        "absolute": np.abs(g).sum(),
        "square": g @ g,
        "fall": g @ fit,
        "bend": h.sum(),
        "steepest": h.max() if bound is None else np.max(bound),
        "weight": weights.sum(),
        "q": -A.T @ g,
        "columns": A.sum(axis=0),
        "H": (Z * h[:, None]).T @ Z,
    }
    for k, multiple in enumerate(multiples):
        moved = multiple * (g @ offset) if with_offset else 0.0
        expected[f"conjugate{k}"] = datafit.conjugate(multiple * g) - moved
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert_allclose(found[key], value, rtol=1e-9, atol=1e-11, err_msg=key)
    short = _block_sums.sums(block, offset, make, at, "gradient", (), False)
    assert short.keys() == expected.keys() - {
        "H", "columns", "conjugate0", "conjugate1"
    }  # fmt: skip
    assert_allclose(short["q"], expected["q"], atol=1e-11)
    assert short["magnitude"] == abs(short["value"])
    none = _block_sums.sums(block, offset, make, at, None, (), False)
    assert "q" not in none and none["value"] == short["value"]
    twice = _block_sums.merge(found, {**found, "steepest": 0.0})
    assert twice["steepest"] == found["steepest"]
    assert_allclose(twice["H"], 2.0 * found["H"])
    assert twice["value"] == 2.0 * found["value"]
    # At the minimum of the conjugate and the loss, both sums are a product.
    fenchel = g @ eta - expected["value"]
    assert datafit.conjugate(g) == pytest.approx(fenchel, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("with_offset", [False, True])
@pytest.mark.parametrize("container", [np.array, sparse.csr_array])
def test_sums_of_classes_are_those_of_the_datafit(container, with_offset, monkeypatch):
    monkeypatch.setattr(_block_sums, "_ENTRIES", 16)
    rng = np.random.default_rng(2)
    n, p, C = 11, 4, 3
    X, weights = rng.standard_normal((n, p)) + 1.0, rng.random(n) + 0.5
    codes = np.arange(n) % C
    center, columns = rng.standard_normal(p), np.array([0, 3])
    w, shift = rng.standard_normal((2, C)), rng.standard_normal(C)
    offset = rng.standard_normal((n, C)) if with_offset else None

    def make(y, weights):
        return Softmax(y, C, weights)

    block, working = Block(container(X), codes, weights, None, len(X)), np.array([1, 3])
    datafit, A = make(codes, weights), X - center
    fit = A[:, columns] @ w
    eta = fit + shift + (offset if with_offset else 0.0)
    P = np.exp(eta)
    P /= P.sum(axis=1, keepdims=True)
    g = weights[:, None] * (P - np.eye(C)[codes])
    Z, H, bend = np.c_[A[:, working], np.ones(n)], 0.0, 0.0
    for i in range(n):
        inner = weights[i] * (np.diag(P[i]) - np.outer(P[i], P[i]))
        H, bend = H + np.kron(np.outer(Z[i], Z[i]), inner), bend + inner
    value = -weights @ np.log(P[np.arange(n), codes])
    expected = {
        "value": value,
        "magnitude": value,
        "saturated": 0.0,
        "slope": g.sum(axis=0),
        "absolute": np.abs(g).sum(axis=0),
        "square": (g * g).sum(),
        "fall": (g * fit).sum(),
        "bend": bend,
        "steepest": 0.5 * weights.max(),
        "weight": weights.sum(),
        "q": -A.T @ g,
        "columns": A.sum(axis=0),
        "H": H,
    }
    for k, multiple in enumerate((0.5, 1.0)):
        moved = multiple * (g * offset).sum() if with_offset else 0.0
        expected[f"conjugate{k}"] = datafit.conjugate(multiple * g) - moved
    at = center, columns, w, shift
    found = _block_sums.class_sums(block, offset, make, at, working, (0.5, 1.0), True)
    assert found.keys() == expected.keys()
    for key, number in expected.items():
        assert_allclose(found[key], number, rtol=1e-9, atol=1e-11, err_msg=key)
    short = _block_sums.class_sums(block, offset, make, at, "gradient", (), False)
    assert "H" not in short and "columns" not in short
    assert_allclose(short["q"], expected["q"], atol=1e-11)
    assert "q" not in _block_sums.class_sums(block, offset, make, at, None, (), True)


def test_slices_cover_all_rows_and_keep_to_their_size(monkeypatch):
    monkeypatch.setattr(_block_sums, "_ENTRIES", 16)
    X = np.asfortranarray(np.arange(40.0).reshape(10, 4))
    for X_, width, step in ((X, 1, 4), (X, 8, 2), (X, 99, 1), (X[:, :1], 1, 16)):
        parts = list(_block_sums.kernel_slices(X_, width))
        starts = [rows.start for rows, _ in parts]
        assert starts == list(range(0, 10, step)) and parts[-1][0].stop == 10
        assert_array_equal(np.vstack([part for _, part in parts]), X_)
        assert all(part.flags.c_contiguous for _, part in parts)


def test_outlines_of_few_and_many_labels(monkeypatch):
    monkeypatch.setattr(_block_sums, "MOST_CLASSES", 3)
    rng = np.random.default_rng(3)
    X, w = rng.standard_normal((6, 2)) + 4.0, rng.random(6) + 0.5

    def of(y, weights=w, X=X):
        return _block_sums.Outline(X, np.array(y), weights, labels=True)

    y = [0.5, 2.0, 0.5, -1.0, 2.0, 0.5]
    one = of(y)
    assert (one.n_rows, one.lowest) == (6, -1.0)
    assert one.y_sum == pytest.approx(w @ y)
    assert_allclose(one.mean, w @ X / w.sum())
    assert_allclose(one.squares, w @ (X - one.mean) ** 2)
    assert one.classes == pytest.approx(
        {-1.0: w[3], 0.5: w[[0, 2, 5]].sum(), 2.0: w[[1, 4]].sum()}
    )
    assert of(np.arange(6.0)).classes is None
    names = of(["b", "a", "b", "a", "a", "b"])
    assert (names.y_sum, names.lowest) == (0.0, np.inf)
    assert set(names.classes) == {"a", "b"}
    plain = of(y, None, sparse.csr_array(X))
    assert plain.weight == 6.0
    assert_allclose(plain.squares, ((X - X.mean(axis=0)) ** 2).sum(axis=0))
    both = one.merged(plain)
    assert both.classes[0.5] == pytest.approx(w[[0, 2, 5]].sum() + 3.0)
    assert both.lowest == -1.0 and both.n_rows == 12
    assert one.merged(of([7.0, 0.5, 0.5, 0.5, 0.5, 0.5])).classes is None
    assert one.merged(of(np.arange(6.0))).classes is None
    # Constant columns stay what they are.
    level = of(y, w, np.full((6, 2), 0.1))
    assert_array_equal(level.mean, [0.1, 0.1])
    assert_array_equal(level.squares, [0.0, 0.0])


def test_losses_of_many_results(monkeypatch):
    monkeypatch.setattr(_block_sums, "_ENTRIES", 16)
    rng = np.random.default_rng(4)
    n, p, K, C = 11, 4, 3, 2
    X, weights, center = rng.random((n, p)), rng.random(n), rng.random(p)
    y, model = rng.random(n), SimpleNamespace(power=3.0)

    def row_losses(model, y, eta):
        return model.power * (y - eta) ** 2

    coefs, shifts = rng.standard_normal((p, K)), rng.standard_normal(K)
    coefs[1] = 0.0
    for offset in (None, rng.random(n)):
        total, mass, count = _block_sums.losses(
            Block(X, y, weights, None, len(X)), offset, Huber, (center, coefs, shifts),
            row_losses, model,
        )  # fmt: skip
        for k in range(K):
            eta = (X - center) @ coefs[:, k] + shifts[k]
            eta = eta if offset is None else eta + offset
            assert total[k] == pytest.approx(weights @ (3.0 * (y - eta) ** 2))
        assert (mass, count) == (pytest.approx(weights.sum()), n)
    codes = np.arange(n) % C
    coefs, shifts = rng.standard_normal((p, C, K)), rng.standard_normal((C, K))
    coefs[2] = 0.0
    for offset in (None, rng.random((n, C))):
        total, mass, count = _block_sums.class_losses(
            Block(X, codes, weights, None, len(X)), offset,
            lambda y, weights: Softmax(y, C, weights), (center, coefs, shifts),
            lambda model, y, eta: model.power * (eta[:, 1] - eta[:, 0] - y) ** 2, model,
        )  # fmt: skip
        for k in range(K):
            eta = (X - center) @ coefs[:, :, k] + shifts[:, k]
            eta = eta if offset is None else eta + offset
            rest = eta[:, 1] - eta[:, 0] - codes
            assert total[k] == pytest.approx(weights @ (3.0 * rest**2))
        assert (mass, count) == (pytest.approx(weights.sum()), n)


# Measures

LOSS = 0.01


class Penalty(SimpleNamespace):
    """A penalty that says what it is told."""

    has_l2 = False

    def value(self, w):
        return 0.25 * np.abs(w).sum()

    def violations(self, w, q):
        return np.abs(q) + 3.0 * np.ones(len(q)) * [0.0, 0.5, 0.0, 50.0]

    def gauge(self, q):
        return self.ratio_of_q

    def ratio(self, reach):
        return 0.5 * reach.max()

    def conjugate(self, q):
        return self.soft

    def conjugate_error(self, q, reach):
        return 10.0 * reach.sum()


def measured(monkeypatch, ratio=0.5, kind="duality_gap", free=(), w=None, **given):
    """Return what is said of given sums, and the multiples that were asked for."""
    monkeypatch.setattr(
        _block_likelihood, "rounding", lambda n, magnitude=1.0: LOSS * n * magnitude
    )
    found = {
        "value": 5.0,
        "q": np.array([2.0, -1.0, 0.5, 4.0]),
        "square": 9.0,
        "steepest": 2.0,
        "slope": 0.125,
        "conjugate0": -2.0,
        "conjugate1": -1.0,
        "magnitude": 7.0,
        "fall": -6.0,
    }
    found |= {k: v for k, v in given.items() if k in found}
    asked = []

    def settled(w, shift, multiples):
        asked.append(multiples)
        return 0.75 * np.ones_like(shift), found

    def a_pass(w, shift, working, multiples):
        asked.append(multiples)
        assert working is None and np.all(shift == 0.75)
        return {"conjugate0": -1.5}

    w = np.array([1.5, 0.0, -0.5, 0.0]) if w is None else w
    own = {
        "squares": np.array([4.0, 1.0, 9.0, 0.0]),
        "n_rows": 25,
        "rows": SimpleNamespace(offset_norm=3.0),
        "kkt_scale": 4.0,
        "gap_scale": 8.0,
        "_chain": 40,
        "_shift": 0.5,
        "fit_intercept": True,
        "total": 16.0,
        "_null_norm": 1e6,
        "_settled": settled,
        "_pass": a_pass,
    }
    own |= {k: v for k, v in given.items() if k in own}
    penalty = Penalty(ratio_of_q=ratio, soft=given.get("soft"))
    penalty.has_l2 = "soft" in given
    shift = np.ones_like(own["_shift"])
    out = BlockLikelihood._judged(
        SimpleNamespace(**own), penalty, w, shift, kind, np.array(free, dtype=int)
    )
    assert np.all(out.shift == 0.75) and out.w is w
    assert np.all(out.q[3] == 0.0)
    assert out.value == pytest.approx(found["value"] + 0.25 * np.abs(w).sum())
    return out, asked


REACH = LOSS * 40 * 3.0 * np.array([2.0, 1.0, 3.0, 0.0])
SLIP = LOSS * 6 * (4.5 + 0.75 * 5.0) + LOSS * 4 * 3.0
NEAR = _block_likelihood._NEAR


def error_of(multiple, slip=SLIP):
    error = slip * (3.0 + 0.5 * 2.0 * slip) + 2.0 * LOSS * 40 * 7.0
    return error + 0.25 * 0.125 + 0.5 * REACH.max() * multiple * 6.0


def test_violations_carry_what_rounding_may_hide(monkeypatch):
    for scale in (4.0, 0.0):
        out, asked = measured(monkeypatch, kind="kkt", kkt_scale=scale)
        assert asked == [()] and np.isnan(out.dual)
        assert out.gap == pytest.approx(2.5 / (scale or 1.0))
        expected = REACH.max() + 3.0 * 2.0 * SLIP
        assert out.rounding == pytest.approx(expected / (scale or 1.0))


@pytest.mark.parametrize("slope", [8.0, -8.0, np.array([1.0, -8.0])])
def test_slopes_of_intercepts_count_as_those_of_the_longest_column(monkeypatch, slope):
    out, _ = measured(monkeypatch, kind="kkt", slope=slope)
    assert out.gap == pytest.approx(8.0 * 3.0 / 4.0 / 4.0)
    out, _ = measured(monkeypatch, kind="kkt", slope=slope, fit_intercept=False)
    assert out.gap == pytest.approx(2.5 / 4.0)
    flat = SETTLED * 5.0 * 1e6
    for size, met in ((0.999, True), (1.001, False)):
        out, _ = measured(monkeypatch, slope=size * flat / 8.0 * slope)
        assert out.dual == (1.0 if met else -np.inf)
    assert measured(monkeypatch, slope=slope, fit_intercept=False)[0].dual == 1.0


@pytest.mark.parametrize("scale", [8.0, 0.0])
def test_gaps_are_of_the_scaled_gradient(monkeypatch, scale):
    unit = scale or 1.0
    value = 5.0 + 0.25 * 2.0
    for ratio in (0.0, 0.5, 1.0):  # nothing is to be scaled
        out, asked = measured(monkeypatch, ratio, gap_scale=scale)
        assert asked == [(NEAR, 1.0)]
        assert out.dual == pytest.approx(1.0)
        assert out.gap == pytest.approx((value - 1.0) / unit)
        assert out.rounding == pytest.approx(error_of(1.0) / unit)
    # A chord where it is nearly feasible.
    for share in (0.25, 0.9):
        multiple = 1.0 - share * (1.0 - NEAR)
        out, asked = measured(monkeypatch, 1.0 / multiple, gap_scale=scale)
        assert len(asked) == 1
        assert out.dual == pytest.approx(1.0 + share, abs=1e-9)
        assert out.rounding == pytest.approx(error_of(multiple) / unit)
    # A pass of its own otherwise.
    out, asked = measured(monkeypatch, 2.0, gap_scale=scale)
    assert asked[1:] == [(0.5,)]
    assert out.dual == 1.5 and out.gap == pytest.approx((value - 1.5) / unit)
    assert out.rounding == pytest.approx(error_of(0.5) / unit)
    out, _ = measured(monkeypatch, np.inf, gap_scale=scale)
    assert out.dual == -np.inf and out.gap == np.inf
    # A gap is not negative.
    assert measured(monkeypatch, conjugate1=-99.0, gap_scale=scale)[0].gap == 0.0


def test_the_multiple_that_the_chord_begins_with(monkeypatch):
    for ratio in 1.0 / NEAR * (1.0 + 2.0**-52 * np.arange(-4, 5)):
        out, asked = measured(monkeypatch, float(ratio))
        if 1.0 / ratio == NEAR:
            assert len(asked) == 1 and out.dual == pytest.approx(2.0)
        if 1.0 / ratio < NEAR:
            assert len(asked) == 2 and out.dual == 1.5


def test_nothing_to_explain_has_no_gap(monkeypatch):
    none = np.zeros(4)
    assert measured(monkeypatch, w=none, gap_scale=0.0)[0].gap == 0.0
    assert measured(monkeypatch, w=none)[0].gap == pytest.approx(4.0 / 8.0)


def test_ridges_allow_a_gradient_that_is_not_scaled(monkeypatch):
    for soft, better in ((-0.5, True), (0.0, False), (0.5, False)):
        out, _ = measured(monkeypatch, soft=soft)
        assert out.dual == max(1.0, 1.0 - soft)
        more = 10.0 * REACH.sum() if better else 0.0
        assert out.rounding == pytest.approx((error_of(1.0) + more) / 8.0)


def test_free_features_have_to_be_settled(monkeypatch):
    for kkt_scale in (1e7, 0.0):
        limit = SETTLED * (kkt_scale or 1.0)
        for size, met in ((1.0, True), (1.001, False)):
            q = np.array([2.0, -1.0, -size * limit, 4.0])
            out, _ = measured(monkeypatch, free=[2], q=q, kkt_scale=kkt_scale)
            assert out.dual == (1.0 if met else -np.inf)
            more = (size * limit + REACH[2]) * 0.5
            assert out.rounding == pytest.approx((error_of(1.0) + more) / 8.0)


def test_coefficients_of_classes_are_measured_by_their_rows(monkeypatch):
    w = np.array([[0.9, 1.2], [0.0, 0.0], [0.3, -0.4], [0.0, 0.0]])  # rows of 1.5, .5
    q = np.array([[2.0, 1.0], [-1.0, 0.5], [3e-8, -1e-8], [4.0, 1.0]])
    slope = np.array([0.125, -0.25])
    out, _ = measured(
        monkeypatch, w=w, q=q, slope=slope, _shift=np.full(2, 0.5), free=[2]
    )
    slip = LOSS * 6 * (4.5 + 0.75 * np.sqrt(2.0) * 5.0) + LOSS * 4 * 3.0
    expected = error_of(1.0, slip) + 0.25 * 0.25 + (q[2].max() + REACH[2]) * 0.7
    assert out.rounding == pytest.approx(expected / 8.0, rel=1e-6)


def test_sums_are_chains_of_four_rows_at_a_time():
    of = SimpleNamespace(n_rows=23, rows=SimpleNamespace(n_blocks=3))
    assert BlockLikelihood._chain.fget(of) == 5 + 3 + 16


# Intercepts


def settle(slope, bend, start, fit_intercept=True, scale=1.0, tol=1e-4):
    """Return where the gradient sums to zero, and where that was tried."""
    tried = []

    def a_pass(w, shift, working, multiples):
        assert working == "gradient" and multiples == (0.5,)
        tried.append(shift)
        return {"slope": slope(shift), "bend": bend(shift), "absolute": scale}

    of = SimpleNamespace(_pass=a_pass, fit_intercept=fit_intercept, tol=tol)
    shift, found = BlockLikelihood._settled(of, None, start, (0.5,))
    assert np.array_equal(found["slope"], slope(shift))
    return shift, tried


def test_intercepts_are_settled_by_newton_in_a_bracket():
    shift, tried = settle(lambda t: 2.0 * (t - 3.0), lambda t: 2.0, 0.0)
    assert shift == 3.0 and tried == [0.0, 3.0]
    assert settle(lambda t: 1.0, lambda t: 2.0, 0.5, fit_intercept=False) == (
        0.5,
        [0.5],
    )
    # What is flat enough beside the slopes of the rows is left.
    assert settle(lambda t: 1e-9, lambda t: 2.0, 0.5) == (0.5, [0.5])
    assert settle(lambda t: -1e-9, lambda t: 2.0, 0.5) == (0.5, [0.5])
    assert len(settle(lambda t: 1.1e-9 * (2 - t), lambda t: 1.0, 0.5)[1]) > 1
    # As far as the tolerance asks, which counts what is left as a violation.
    for tol, flat in ((1e-8, 1e-9), (1e-10, 1e-11), (1e-14, 1e-13)):
        assert len(settle(lambda t, f=flat: f, lambda t: 2.0, 0.5, tol=tol)[1]) == 1
        tried = settle(
            lambda t, f=flat: 1.1 * f * (2 - t), lambda t: 1.0, 0.5, tol=tol
        )[1]
        assert len(tried) > 1
    # Steps that leave the bracket halve it: 1 + |t| makes those of arctan too long.
    for start in (-4.0, 5.0):
        shift, tried = settle(
            lambda t: np.arctan(t - 0.5), lambda t: 1.0 / (1.0 + (t - 0.5) ** 2), start
        )
        assert shift == pytest.approx(0.5, abs=1e-8) and len(tried) < 40
    # Where there is no bracket yet, steps that overflow go four on.
    for sign in (1.0, -1.0):
        shift, tried = settle(
            lambda t: t if abs(t) <= 1.0 else float(np.copysign(np.inf, t)),
            lambda t: 1.0 if abs(t) <= 1.0 else np.inf,
            9.0 * sign,
        )
        assert shift == 0.0 and tried == [9.0 * sign, 5.0 * sign, 1.0 * sign, 0.0]


def test_the_flattest_place_is_returned_where_none_is_flat():
    # A jump: the slope is never zero, and least at its right.
    shift, tried = settle(lambda t: 0.5 if t > 0.7 else -1.0, lambda t: 1.0, 3.0)
    assert shift > 0.7 and len(tried) <= 60
    shift, _ = settle(lambda t: 1.0 if t > 0.7 else -0.5, lambda t: 1.0, 3.0)
    assert shift <= 0.7


def test_intercepts_of_classes_step_back_where_slopes_grow():
    goal = np.array([1.0, -2.0])
    bend = np.array([[2.0, 0.5], [0.5, 1.0]])
    shift, tried = settle(
        lambda t: bend @ (t - goal), lambda t: bend, np.zeros(2), scale=np.ones(2)
    )
    assert_allclose(shift, goal, atol=1e-8)
    assert len(tried) == 2
    # A step is of eight at most in each intercept.
    shift, tried = settle(
        lambda t: t - 20.0, lambda t: np.eye(2), np.zeros(2), scale=np.ones(2)
    )
    assert_allclose(tried[1:3], [[8.0, 8.0], [16.0, 16.0]])
    assert_allclose(shift, 20.0)
    # A step three times too long is halved until slopes fall.
    shift, tried = settle(
        lambda t: t - 1.0, lambda t: np.eye(2) / 3.0, np.zeros(2), scale=np.ones(2)
    )
    assert_allclose(tried[1:3], [[3.0, 3.0], [1.5, 1.5]])
    assert_allclose(shift, 1.0, atol=1e-8)


def test_passes_add_what_is_left_of_the_means():
    calls = []

    def reduce(function, merge, make, at, working, multiples, with_columns, **options):
        calls.append((at, with_columns))
        out = {"q": np.zeros(3), "slope": 0.5}
        return out | {"columns": np.array([2.0, 0.0, -4.0])} if with_columns else out

    of = SimpleNamespace(
        rows=SimpleNamespace(reduce=reduce), _sums=None, make=None, _columns=None,
        center=np.arange(3.0), n_jobs=1, verbose=0, fit_intercept=True, n_rows=10,
        _rows_used=BlockLikelihood._rows_used,
    )  # fmt: skip
    w = np.array([0.0, 2.0, -3.0])
    for with_columns in (True, False):
        found = BlockLikelihood._pass(of, w, 0.25, "gradient")
        assert_allclose(found["q"], [0.1, 0.0, -0.2])
        (_, columns, coef, shift), wanted = calls[-1]
        assert wanted == with_columns and shift == 0.25
        assert_array_equal(columns, [1, 2])
        assert_array_equal(coef, [2.0, -3.0])
    of.fit_intercept = False
    assert_array_equal(BlockLikelihood._pass(of, w, 0.0, "gradient")["q"], np.zeros(3))
    both = np.array([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    assert_array_equal(BlockLikelihood._rows_used(both), [False, True, True])
