"""Best subsets of counts, survival times and several targets: enumeration, limits."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from itertools import combinations
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import minimize
from sklearn.linear_model import LinearRegression, PoissonRegressor

from sparsestat._utils.arithmetic import rounding
from sparsestat.exceptions import ConvergenceWarning
from sparsestat.linear_model import (
    BestSubsetClassifier,
    BestSubsetCoxRegressor,
    BestSubsetPoissonRegressor,
    BestSubsetRegressor,
    SparseCoxRegressor,
)
from sparsestat.linear_model._subsets import _likelihoods
from sparsestat.linear_model._subsets._units import Units
from tests.linear_model.glm_oracles import cox_loss

METHODS = ("splicing", "omp", "htp", "cosamp", "exact")


def counts(seed, n=80, d=7, k=3):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) + 0.5 * rng.standard_normal((n, 1))
    w = np.zeros(d)
    w[rng.choice(d, k, replace=False)] = rng.choice([-0.5, 0.4, 0.6], k)
    return X, rng.poisson(np.exp(0.5 + X @ w)).astype(float)


def times(seed, n=60, d=6, k=2, step=0.1):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) + 0.5 * rng.standard_normal((n, 1))
    w = np.zeros(d)
    w[rng.choice(d, k, replace=False)] = rng.choice([-0.8, 0.6, 0.9], k)
    time = np.ceil(rng.exponential(np.exp(-X @ w)) / step) * step
    return X, np.column_stack([time, rng.random(n) < 0.7])


def targets(seed, n=60, d=8, k=3, q=3):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) + 0.5 * rng.standard_normal((n, 1)) + 3.0
    W = np.zeros((d, q))
    W[rng.choice(d, k, replace=False)] = rng.standard_normal((k, q))
    return X, X @ W + rng.standard_normal((n, q)) + [1.0, -2.0, 5.0][:q]


def standardized(X, columns):
    Z = X[:, list(columns)]
    return (Z - Z.mean(axis=0)) / Z.std(axis=0)


def poisson_outside(X, y, columns, l2):
    Z = standardized(X, columns)
    model = PoissonRegressor(alpha=l2, solver="newton-cholesky", tol=1e-12).fit(Z, y)
    eta = Z @ model.coef_ + model.intercept_
    return np.mean(np.exp(eta) - y * eta) + 0.5 * l2 * float(model.coef_ @ model.coef_)


def cox_outside(X, y, columns, l2, ties):
    Z, event = standardized(X, columns), y[:, 1] > 0

    def value(w):
        return cox_loss(Z @ w, y[:, 0], event, ties) / len(y) + 0.5 * l2 * float(w @ w)

    return minimize(value, np.zeros(Z.shape[1]), method="BFGS", tol=1e-8).fun


def test_poisson_agrees_with_enumeration():
    for seed in range(3):
        X, y = counts(seed)
        for k in (1, 3):
            best = min(
                poisson_outside(X, y, set_, 0.01) for set_ in combinations(range(7), k)
            )
            exact = BestSubsetPoissonRegressor(k, l2=0.01, method="exact").fit(X, y)
            assert_allclose(exact.objective_, best, rtol=1e-8)
            assert exact.certificate_.satisfied and exact.certificate_.kind == "exact"
            local = BestSubsetPoissonRegressor(k, l2=0.01).fit(X, y)
            assert_allclose(local.objective_, best, rtol=1e-8)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_cox_agrees_with_enumeration(ties):
    X, y = times(0)
    best = min(
        cox_outside(X, y, set_, 0.01, ties) for set_ in combinations(range(6), 2)
    )
    exact = BestSubsetCoxRegressor(2, l2=0.01, method="exact", ties=ties).fit(X, y)
    assert_allclose(exact.objective_, best, rtol=1e-7)
    local = BestSubsetCoxRegressor(2, l2=0.01, ties=ties).fit(X, y)
    assert_allclose(local.objective_, best, rtol=1e-7)


def test_several_targets_agree_with_enumeration():
    for seed in range(4):
        X, Y = targets(seed)
        Z = X - X.mean(axis=0)
        losses = {}
        for set_ in combinations(range(8), 3):
            model = LinearRegression().fit(Z[:, set_], Y)
            losses[set_] = 0.5 * ((Y - model.predict(Z[:, set_])) ** 2).sum() / 60
        best = min(losses, key=losses.get)
        for method in ("exact", "splicing"):
            found = BestSubsetRegressor(3, method=method).fit(X, Y)
            assert_array_equal(found.support_, best)
            assert_allclose(found.objective_, losses[best], rtol=1e-10)
        plain = LinearRegression().fit(X[:, best], Y)
        assert_allclose(found.coef_[:, best], plain.coef_, rtol=1e-9)
        assert_allclose(found.intercept_, plain.intercept_, rtol=1e-9)
        assert_allclose(found.predict(X), plain.predict(X[:, best]), rtol=1e-9)


def test_splicing_agrees_with_the_exact_search_in_most_draws():
    hits = 0
    for seed in range(8):
        for cls, data in (
            (BestSubsetPoissonRegressor, counts(seed, d=10)),
            (BestSubsetCoxRegressor, times(seed, d=10, k=3)),
            (BestSubsetRegressor, targets(seed, d=10)),
        ):
            exact = cls(3, method="exact").fit(*data).objective_
            local = cls(3).fit(*data).objective_
            assert local >= exact - 1e-9 * abs(exact)
            hits += local <= exact + 1e-9 * abs(exact)
    assert hits >= 23


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["count", "time", "targets"])
def test_every_method_finds_clear_signals(method, kind):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((300, 12))
    eta = 0.8 * X[:, 3] - 0.8 * X[:, 7]
    if kind == "count":
        cls, y = BestSubsetPoissonRegressor, rng.poisson(np.exp(eta))
    elif kind == "time":
        cls, y = BestSubsetCoxRegressor, rng.exponential(np.exp(-eta))
    else:
        cls, y = BestSubsetRegressor, np.column_stack([X[:, 3], X[:, 7]])
        y = y + 0.5 * rng.standard_normal((300, 2))
    model = cls(2, method=method).fit(X, y)
    assert_array_equal(model.support_, [3, 7])
    assert model.score(X, y) > 0.4


def test_iht_takes_several_targets_and_refuses_the_rest():
    X, Y = targets(1)
    best = BestSubsetRegressor(3, method="exact").fit(X, Y)
    model = BestSubsetRegressor(3, method="iht").fit(X, Y)
    assert model.objective_ <= 1.5 * best.objective_
    with pytest.raises(ValueError, match="cd_swaps' is for one target"):
        BestSubsetRegressor(3, method="cd_swaps").fit(X, Y)
    for method in ("iht", "cd_swaps"):
        with pytest.raises(ValueError, match="method"):
            BestSubsetPoissonRegressor(2, method=method).fit(*counts(0))


def test_one_column_of_targets_is_one_target():
    X, Y = targets(2, q=1)
    a = BestSubsetRegressor(3).fit(X, Y)
    b = BestSubsetRegressor(3).fit(X, Y[:, 0])
    assert_array_equal(a.coef_, b.coef_)


def test_equal_targets_select_what_one_does():
    X, Y = targets(3, q=1)
    one = BestSubsetRegressor(3, l2=0.1).fit(X, Y[:, 0])
    two = BestSubsetRegressor(3, l2=0.1).fit(X, np.hstack([Y, 2.0 * Y]))
    assert_allclose(two.coef_, [one.coef_, 2.0 * one.coef_], rtol=1e-9)
    assert_allclose(two.objective_, 5.0 * one.objective_, rtol=1e-9)


@pytest.mark.parametrize(
    ("cls", "data"),
    [
        (BestSubsetPoissonRegressor, counts),
        (BestSubsetCoxRegressor, times),
        (BestSubsetRegressor, targets),
    ],
)
def test_invariances(cls, data):
    rng = np.random.default_rng(8)
    X, y = data(8)
    n, d = X.shape
    X = X * (rng.random(X.shape) < 0.6)
    model = cls(3).fit(X, y)
    for container in (sparse.csc_array, sparse.csr_matrix):
        thin = cls(3).fit(container(X), y)
        assert_allclose(thin.coef_, model.coef_, rtol=1e-6, atol=1e-9)
    scales = np.geomspace(1e-4, 1e4, d)
    scaled = cls(3).fit(X * scales, y)
    assert_allclose(scaled.coef_ * scales, model.coef_, rtol=1e-6, atol=1e-8)
    order = rng.permutation(d)
    moved = cls(3).fit(X[:, order] + 5.0, y)
    assert_allclose(moved.coef_, model.coef_[..., order], rtol=1e-6, atol=1e-8)
    weights = rng.integers(0, 3, n)
    rows = np.repeat(np.arange(n), weights)
    options = {"ties": "efron"} if cls is BestSubsetCoxRegressor else {}
    a = cls(**options).fit(X, y, sample_weight=weights)
    b = cls(**options).fit(X[rows], y[rows])
    assert a.n_nonzero_coefs_ == b.n_nonzero_coefs_
    assert_allclose(a.coef_, b.coef_, rtol=1e-6, atol=1e-9)
    assert_allclose(a.criterion_path_, b.criterion_path_ + 0.0, rtol=1e-8)
    single = cls(3).fit(X.astype(np.float32), y)
    assert single.coef_.dtype == np.float32
    assert_allclose(single.coef_, model.coef_, rtol=1e-3, atol=1e-4)


def test_criteria_are_the_documented_ones():
    X, y = counts(1)
    model = BestSubsetPoissonRegressor(criterion="bic", max_nonzero_coefs=3).fit(X, y)
    losses, sizes = np.asarray(model.path_.losses), np.arange(4)
    price = 2 * 80 * losses + np.log(80) * sizes
    assert_allclose(np.diff(model.criterion_path_), np.diff(price), rtol=1e-8)
    X, y = times(1)
    model = BestSubsetCoxRegressor(criterion="bic", max_nonzero_coefs=3).fit(X, y)
    price = 2 * 60 * np.asarray(model.path_.losses) + np.log(y[:, 1].sum()) * sizes
    assert_allclose(np.diff(model.criterion_path_), np.diff(price), rtol=1e-8)
    X, Y = targets(1)
    model = BestSubsetRegressor(criterion="aic", max_nonzero_coefs=3).fit(X, Y)
    rss = 2 * 60 * np.asarray(model.path_.losses)
    assert_allclose(
        model.criterion_path_, 180 * np.log(rss / 180) + 6.0 * sizes, rtol=1e-9
    )


@pytest.mark.parametrize(
    ("cls", "data", "name"),
    [
        (BestSubsetPoissonRegressor, counts, "loss_path_"),
        (BestSubsetCoxRegressor, times, "loss_path_"),
        (BestSubsetRegressor, targets, "mse_path_"),
    ],
)
def test_cross_validation_and_groups(cls, data, name):
    X, y = data(9)
    one = cls(criterion="cv", cv=3, max_nonzero_coefs=4).fit(X, y)
    two = cls(criterion="cv", cv=3, max_nonzero_coefs=4, n_jobs=2).fit(X, y)
    losses = getattr(one, name)
    assert_array_equal(losses, getattr(two, name))
    assert losses.shape == (5, 3) and np.isfinite(losses).all()
    assert one.n_nonzero_coefs_ == np.argmin(losses.mean(axis=1))
    model = cls(2, groups=2, always_select=[1]).fit(X, y)
    assert {2, 3} <= set(model.support_.tolist()) and len(model.support_) == 4
    nothing = cls(0).fit(X, y)
    assert not np.any(nothing.coef_) and nothing.certificate_.kind == "none"


def test_held_out_partial_likelihood_is_that_of_the_convex_model():
    """All features and next to no ridge: both are the same maximum."""
    X, y = times(4, d=3)
    subset = BestSubsetCoxRegressor(
        criterion="cv", cv=3, max_nonzero_coefs=3, l2=0.0
    ).fit(X, y)
    rows = np.arange(60)
    for fold, test in enumerate(np.array_split(rows, 3)):
        train = np.setdiff1d(rows, test)
        plain = BestSubsetCoxRegressor(3, l2=0.0).fit(X[train], y[train])
        eta, event = X @ plain.coef_, y[:, 1] > 0
        whole = cox_loss(eta, y[:, 0], event)
        part = cox_loss(eta[train], y[train, 0], event[train])
        expected = (whole - part) / event[test].sum()
        assert_allclose(subset.loss_path_[3, fold], expected, rtol=1e-7)


def test_cox_survival_functions_are_those_of_the_maximum():
    X, y = times(5, d=3)
    subset = BestSubsetCoxRegressor(3, l2=0.0).fit(X + 50.0, y)
    with pytest.warns(UserWarning, match="alpha=0"):
        plain = SparseCoxRegressor(0.0, tol=1e-9).fit(X + 50.0, y)
    assert_allclose(subset.coef_, plain.coef_, rtol=1e-5)
    assert_allclose(
        subset.predict_survival(X[:4] + 50.0),
        plain.predict_survival(X[:4] + 50.0),
        rtol=1e-5,
    )
    assert_array_equal(subset.event_times_, plain.event_times_)


def test_features_that_tell_everything_have_finite_coefficients():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 5))
    X[:, 2] = np.arange(50) < 20
    y = np.where(np.arange(50) < 20, 0.0, 2.0)
    for l2 in (1e-4, 0.0):
        model = BestSubsetPoissonRegressor(1, l2=l2).fit(X, y)
        assert_array_equal(model.support_, [2])
        assert np.isfinite(model.coef_).all()
        model = BestSubsetCoxRegressor(1, l2=l2).fit(X, np.exp(-X[:, 3]))
        assert_array_equal(model.support_, [3])
        assert np.isfinite(model.coef_).all()


def test_bad_input_is_refused():
    X, y = counts(0)
    with pytest.raises(ValueError, match="must not be negative"):
        BestSubsetPoissonRegressor().fit(X, y - 5.0)
    with pytest.raises(ValueError, match="All counts"):
        BestSubsetPoissonRegressor().fit(X, np.zeros(80))
    with pytest.raises(ValueError, match="`n_nonzero_coefs`=9 is more"):
        BestSubsetPoissonRegressor(9).fit(X, y)
    X, y = times(0)
    with pytest.raises(ValueError, match="censored"):
        BestSubsetCoxRegressor().fit(X, np.column_stack([y[:, 0], np.zeros(60)]))


def test_classes_that_are_separated_have_no_best_subset_without_a_ridge():
    X = np.random.default_rng(0).standard_normal((12, 4))
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    model = BestSubsetClassifier(3, l2=0.0, method="exact")
    with pytest.warns(ConvergenceWarning, match="classes are separated: set `l2`"):
        model.fit(X, y)
    # The loss falls to zero as coefficients grow: all that is left may be saved.
    assert model.certificate_.kind == "exact" and not model.certificate_.satisfied
    assert model.certificate_.value == 1.0
    ridge = BestSubsetClassifier(3, l2=1e-3, method="exact").fit(X, y)
    assert ridge.certificate_.satisfied and ridge.certificate_.value <= 1e-12
    # Classes that overlap have a maximum.
    y[:2] = 1 - y[:2]
    overlap = BestSubsetClassifier(1, l2=0.0, method="exact").fit(X, y)
    assert overlap.certificate_.satisfied and overlap.certificate_.value <= 1e-12


def test_counts_of_zero_on_one_side_have_no_best_subset_without_a_ridge():
    x = np.array([-2.0, -1.0, -0.5, 1.0, 2.0, 3.0])
    X = np.column_stack([x, np.sign(x)])
    y = np.array([0.0, 0.0, 0.0, 2.0, 1.0, 4.0])
    model = BestSubsetPoissonRegressor(2, l2=0.0, method="exact")
    with pytest.warns(ConvergenceWarning, match="no maximum on some sets"):
        model.fit(X, y)
    assert not model.certificate_.satisfied
    ridge = BestSubsetPoissonRegressor(2, l2=1e-2, method="exact").fit(X, y)
    assert ridge.certificate_.satisfied
    # A constant that has to be selected has no spread to be divided by.
    forced = BestSubsetPoissonRegressor(3, l2=1e-2, always_select=[2], method="exact")
    forced.fit(np.column_stack([X, np.ones(6)]), y)
    assert_allclose(forced.coef_[:2], ridge.coef_, rtol=1e-6)
    assert_allclose(forced.objective_, ridge.objective_, rtol=1e-8)


class Curve:
    """A loss of one predictor with given value and slope, as a datafit."""

    n_classes = 1

    def __init__(self, value, slope, bend):
        self.value = lambda eta: value(float(eta[0, 0]))
        self.gradient = lambda eta: np.array([[slope(float(eta[0, 0]))]])
        self.model = lambda eta: (
            np.zeros((1, 1)),
            np.array([[bend(float(eta[0, 0]))]]),
        )


def newton(value, slope, bend, null, start=0.0, ridge=0.0):
    """Minimize a loss in one coefficient; return where, its value and what is left."""
    fake = SimpleNamespace(
        datafit=Curve(value, slope, bend), null_loss=null, n_outputs=1, has_shift=False
    )
    kind = _likelihoods.LikelihoodSubsets
    fake._value = fake.datafit.value
    fake._hessian = lambda A, eta: kind._hessian(fake, A, eta)
    fake._newton_step = lambda *arguments: kind._newton_step(fake, *arguments)
    theta, _, loss, left = kind._newton(
        fake, np.ones((1, 1)), np.array([[start]]), np.array([ridge])
    )
    return float(theta[0, 0]), loss, left


def test_newton_says_what_is_left_to_save():
    at, loss, left = newton(
        lambda t: 2.0 + (t - 3.0) ** 2, lambda t: 2.0 * (t - 3.0), lambda t: 2.0, 11.0
    )
    assert_allclose([at, loss, left], [3.0, 2.0, 0.0], atol=1e-9)
    at, loss, left = newton(
        lambda t: 0.5 * (t - 3.0) ** 2, lambda t: t - 3.0, lambda t: 1.0, 9.0, ridge=2.0
    )
    assert_allclose([at, loss, left], [1.0, 3.0, 0.0], atol=1e-9)
    # A start that is worse than nothing is given up.
    at, loss, left = newton(np.square, lambda t: 2.0 * t, lambda t: 2.0, 1.0, 5.0)
    assert_allclose([at, loss, left], [0.0, 0.0, 0.0], atol=1e-12)
    # A loss that falls for ever, too slowly to come near its least value.
    at, loss, left = newton(
        lambda t: 1.0 / (1.0 + t), lambda t: -((1.0 + t) ** -2), lambda t: 1e3, 1.0
    )
    assert 0.0 < at < 1.0 and loss == left == 1.0 / (1.0 + at)
    # A slope that promises what the value does not hold: rounding, if it is little.
    for size, lost in ((1e-6, 1e-12), (1e-3, 1.0)):
        found = newton(lambda t: 1.0 + abs(t), lambda t, s=size: -s, lambda t: 1.0, 1.0)
        assert_allclose(found, [0.0, 1.0, lost])
    # What counts is the gain beside the loss of no features at all.
    near = 3.0 - 5e-5
    for null, stays in ((1e6, True), (1e-6, False)):
        at, _, left = newton(
            lambda t: (t - 3.0) ** 2, lambda t: 2 * (t - 3.0), lambda t: 2.0, null, near
        )
        assert (at == near) == stays and left == 0.0


@pytest.mark.parametrize("size", [1e3, 1e12])
@pytest.mark.parametrize("eps", [1e-3, 1e-8])
def test_large_counts_of_near_copies_are_told_apart_or_not_claimed(size, eps):
    # One of three copies fits; its loss is far below the last digit of the counts.
    rng = np.random.default_rng(1)
    X = rng.standard_normal((12, 4))
    X[:, 2:] = X[:, :1] + eps * X[:, 2:]
    mean = size * np.exp(0.3 * X[:, 2] - 0.2 * X[:, 1])
    y = np.round(mean) if size > 1e6 else rng.poisson(mean).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = BestSubsetPoissonRegressor(2, method="exact").fit(X, y)
    problem = _likelihoods.PoissonSubsets(
        X, y, None, fit_intercept=True, units=Units(4)
    )
    fits = [problem.fit(pair) for pair in combinations(range(4), 2)]
    deviances = []
    for fit in fits:
        with mpmath.workdps(60):
            # Of the fit that was found, exactly.
            etas, sizes = fit.state["eta"][:, 0].tolist(), y.tolist()
            exact = mpmath.mpf(0)
            for e, t in zip(map(mpmath.mpf, etas), map(mpmath.mpf, sizes), strict=True):
                exact += mpmath.exp(e) - t * (e + 1 - mpmath.log(t))
        assert abs(fit.loss - exact) <= problem.loss_error(fit)
        deviances.append(float(exact))
    best = fits[int(np.argmin(deviances))]
    lost = 1.0 - min(deviances) / max(deviances[_place(model.support_)], 1e-300)
    if model.certificate_.satisfied:
        assert lost <= 1e-6 and model.support_.tolist() == best.columns.tolist()
    assert model.certificate_.satisfied == (size < 1e6 or eps > 1e-6)
    assert 0.0 < model.certificate_.value <= 1.0


def _place(pair):
    return [*combinations(range(4), 2)].index(tuple(pair))


def test_bounds_of_the_rounding_of_losses_are_sums_of_their_terms():
    X, y = counts(3, n=50)
    s, options = np.linspace(0.5, 2.0, 50), {"fit_intercept": True, "units": Units(7)}
    problem = _likelihoods.PoissonSubsets(X, y, s, **options)
    fit, s = problem.fit([0, 2, 5]), problem.weights
    eta, some = fit.state["eta"][:, 0], y > 0
    log_y = np.log(np.where(some, y, 1.0))
    hidden = y * np.abs(eta - log_y)
    hidden += np.abs(np.exp(eta) - y) * (1.0 + np.abs(eta) + log_y)
    expected = rounding(50 // 8 + 16, fit.data_loss) + rounding(3 + 8, s @ hidden)
    assert (~some).any() and (log_y >= 0.0).all()
    assert_allclose(problem.loss_error(fit), 2.0 * expected, rtol=1e-10)
    classes = _likelihoods.ClassSubsets(X, y > 1, s, n_classes=2, **options)
    fit = classes.fit([0, 2])
    expected = 2.0 * rounding(50 // 8 + 16, classes.datafit.magnitude(fit.state["eta"]))
    assert_allclose(classes.loss_error(fit), expected, rtol=1e-12)


def test_newton_steps_are_those_of_the_hessian(monkeypatch):
    monkeypatch.setattr(_likelihoods, "_JITTER", 0.5)
    step = _likelihoods.LikelihoodSubsets._newton_step
    # A share of the mean curvature goes on the diagonal.
    for H, ridge, expected in (
        (np.diag([4.0, 8.0]), [0.0, 0.0], [-1 / 7, -2 / 11]),
        (np.diag([4.0, 8.0]), [1.0, 2.0], [-1 / 8, -2 / 13]),
        (np.diag([-8.0, -8.0]), [0.0, 0.0], [1 / 8, 2 / 8]),  # no Cholesky factor
    ):
        fake = SimpleNamespace(
            n_outputs=1, _hessian=lambda A, eta, H=H: H.copy()[None, :, None]
        )
        found = step(
            fake, np.ones((3, 2)), None, np.array([[1.0], [2.0]]), np.array(ridge)
        )
        assert_allclose(found[:, 0], expected, rtol=1e-12)
