"""What problems make of results: deviances, criteria, units, held-out losses."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import gammaln
from sklearn.metrics import log_loss, mean_tweedie_deviance

from sparsestat.linear_model import SparseLogisticRegression, SparsePoissonRegressor
from sparsestat.linear_model._penalized._likelihood_problems import (
    GammaProblem,
    HuberProblem,
    LogisticProblem,
    PoissonProblem,
    TweedieProblem,
)
from sparsestat.linear_model._penalized._multinomial_problem import MultinomialProblem
from sparsestat.linear_model._penalized._spec import PenaltySpec, penalty_spec

LIMITS = {"tol": 1e-10, "max_iter": 100, "max_epochs": 10_000}
FAMILIES = {
    "poisson": (PoissonProblem, {}),
    "gamma": (GammaProblem, {}),
    "tweedie": (TweedieProblem, {"power": 1.3}),
    "huber": (HuberProblem, {"delta": 0.7}),
    "logistic": (LogisticProblem, {}),
    "multinomial": (MultinomialProblem, {"n_classes": 3}),
}
families = pytest.mark.parametrize("name", FAMILIES)
storages = pytest.mark.parametrize("storage", [np.asarray, sparse.csc_array])


def data(name, seed=0, n=40):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4)) + 0.5
    eta = 0.8 * X[:, 0] - 0.4 * X[:, 1]
    weights = 8.0 * rng.integers(0, 3, n)
    offset = rng.uniform(-0.5, 0.5, (n, 3) if name == "multinomial" else n)
    y = {
        "poisson": rng.poisson(np.exp(eta)) + 0.0,
        "gamma": np.exp(eta) * rng.gamma(3.0, 1.0, n),
        "tweedie": rng.poisson(np.exp(eta)) * rng.gamma(3.0, 1.0, n),
        "huber": eta + rng.standard_t(3, n),
        "logistic": (eta + rng.logistic(size=n) > 0) + 0.0,
        "multinomial": np.argmax(
            np.outer(eta, [1.0, 0.0, -1.0]) + rng.gumbel(size=(n, 3)), axis=1
        ),
    }[name]
    return X, y, weights, offset, rng


def problem_of(name, X, y, weights, offset=None, storage=np.asarray, **options):
    cls, given = FAMILIES[name]
    options = {"fit_intercept": True, **LIMITS, **given, **options}
    return cls(storage(X), y, weights, offset=offset, **options)


def deviance(name, y, eta, w):
    """Twice the loss beyond that of a perfect fit, weighted and summed."""
    if name == "logistic":
        return 2.0 * w @ np.logaddexp(0.0, np.where(y > 0, -eta, eta))
    if name == "multinomial":
        P = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
        return 2.0 * w.sum() * log_loss(y, P, sample_weight=w, labels=[0, 1, 2])
    if name == "huber":
        size = np.abs(y - eta)
        inside = size <= 0.7
        return 2.0 * w @ np.where(inside, 0.5 * size**2, 0.7 * size - 0.5 * 0.7**2)
    power = {"poisson": 1, "gamma": 2, "tweedie": 1.3}[name]
    return w.sum() * mean_tweedie_deviance(y, np.exp(eta), sample_weight=w, power=power)


def predictors(problem, result, X, offset):
    eta = X @ result.dense_coef(4) + problem.intercept_of(result)
    return eta if offset is None else eta + offset


@families
@storages
@pytest.mark.parametrize("with_offset", [False, True])
def test_criteria_are_deviances_and_prices(name, storage, with_offset):
    X, y, w, offset, _ = data(name)
    offset = offset if with_offset else None
    problem = problem_of(name, X, y, w, offset, storage)
    assert problem.weight_unit == 16.0
    assert_allclose(problem.n_observed, w.sum())
    top = problem.alpha_max(1.0)
    results = problem.solve(np.array([top, 0.3 * top, 0.01 * top]), 1.0)
    found = [deviance(name, y, predictors(problem, r, X, offset), w) for r in results]
    df = np.array([np.count_nonzero(r.coef) for r in results])
    assert df[0] == 0 < df[1] <= df[2]
    n, p = w.sum(), 12 if name == "multinomial" else 4
    binomial = gammaln(p + 1) - gammaln(df + 1) - gammaln(p - df + 1)
    prices = {
        "aic": 2.0 * df,
        "bic": np.log(n) * df,
        "ebic": np.log(n) * df + 2.0 * binomial,
    }
    fit = np.array(found)
    if name in ("gamma", "tweedie", "huber"):
        fit = n * (np.log(fit) - np.log(n))
    for criterion, price in prices.items():
        values = problem.criteria(criterion, results, 0.1 * np.ones(3), 1.0)
        assert_allclose(values, fit + price, rtol=1e-8)
    shares = 1.0 - np.array(found) / found[0]
    assert_allclose(problem.explained(results), shares, atol=1e-8)
    assert (np.diff(shares) > 0.0).all()


@families
@storages
def test_held_out_losses_are_weighted_means(name, storage):
    X, y, w, offset, _ = data(name)
    train, test = slice(0, 25), slice(25, 40)
    problem = problem_of(name, X[train], y[train], w[train], offset[train], storage)
    results = problem.solve(np.array([0.2, 0.02]), 1.0)
    rest, loss = w[test], []
    for result in results:
        eta = predictors(problem, result, X[test], offset[test])
        loss.append(deviance(name, y[test], eta, rest) / rest.sum())
    if name in ("logistic", "multinomial", "huber"):  # losses, not deviances
        loss = [0.5 * value for value in loss]
    found = problem.losses(results, storage(X[test]), y[test], rest, offset[test])
    assert_allclose(found, loss, rtol=1e-9)
    # Without weights and offsets.
    found = problem.losses(results, storage(X[test]), y[test])
    eta = predictors(problem, results[1], X[test], None)
    whole = deviance(name, y[test], eta, np.ones(15)) / 15
    if name in ("logistic", "multinomial", "huber"):
        whole *= 0.5
    assert_allclose(found[1], whole, rtol=1e-9)


@storages
@pytest.mark.parametrize("name", [f for f in FAMILIES if f != "multinomial"])
def test_degrees_of_freedom_with_a_ridge_are_a_trace(name, storage):
    X, y, w, _, _ = data(name)
    omega = np.array([1.0, 0.5, 0.0, 3.0])
    spec = PenaltySpec(feature_weights=omega)
    problem = problem_of(name, X, y, w, None, storage, penalty=spec)
    (result,) = problem.solve(np.array([0.05]), 0.5)
    columns = result.columns
    assert len(columns) >= 2
    eta = predictors(problem, result, X, None)
    mean = np.exp(eta)
    p = 1.0 / (1.0 + np.exp(-eta))
    h = (
        w
        * {
            "poisson": mean,
            "gamma": y / mean,
            "tweedie": 0.3 * y * mean**-0.3 + 0.7 * mean**0.7,
            "huber": np.where(np.abs(eta - y) <= 0.7, 1.0, problem.datafit.floor),
            "logistic": p * (1.0 - p),
        }[name]
    )
    A = (X - h @ X / h.sum())[:, columns]
    G = (A.T * h) @ A
    ridge = w.sum() * 0.05 * 0.5 * np.diag(omega[columns])
    expected = np.trace(np.linalg.solve(G + ridge, G))
    assert 1.0 < expected < len(columns)
    found = problem.degrees_of_freedom(result, problem._fitted(result), 0.05, 0.5)
    assert_allclose(found, expected, rtol=1e-6)
    (lasso,) = problem.solve(np.array([0.05]), 1.0)
    found = problem.degrees_of_freedom(lasso, None, 0.05, 1.0)
    assert found == np.count_nonzero(lasso.coef)


@pytest.mark.parametrize("name", ["poisson", "tweedie", "gamma", "huber"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_units_of_targets_come_back(name, fit_intercept):
    X, y, w, _, _ = data(name)
    unit = {"gamma": 2.0**400, "huber": 2.0**400}.get(name, 2.0**-20)
    if name in ("gamma", "poisson", "tweedie") and not fit_intercept:
        unit = 0.5
    power = {"poisson": 1.0, "tweedie": 1.3, "gamma": 2.0, "huber": 0.0}[name]
    near = problem_of(name, X, y, w, fit_intercept=fit_intercept)
    cls, given = FAMILIES[name]
    given = {"delta": 0.7 * unit} if name == "huber" else given
    options = {"fit_intercept": fit_intercept, **LIMITS, **given}
    far = cls(X, y * unit, w, **options)
    alpha = 0.05
    one = near.solve_one(alpha, 1.0)
    if fit_intercept and name != "huber":  # the intercept takes the unit up
        scaled = far.solve_one(alpha * unit ** (2.0 - power), 1.0)
        assert_allclose(scaled.dense_coef(4), one.dense_coef(4), rtol=1e-6)
        moved = far.intercept_of(scaled) - near.intercept_of(one)
        assert_allclose(moved, np.log(unit), rtol=1e-9)
    elif name == "huber":
        scaled = far.solve_one(alpha * unit, 1.0)
        assert_allclose(scaled.dense_coef(4) / unit, one.dense_coef(4), rtol=1e-6)
        moved = far.intercept_of(scaled) / unit - near.intercept_of(one)
        assert_allclose(moved, 0.0, atol=1e-7)
    else:
        scaled = far.solve_one(alpha, 1.0)
    eta = X @ scaled.dense_coef(4) + far.intercept_of(scaled)
    loss = {
        "poisson": lambda: np.exp(eta) - y * unit * eta,
        "gamma": lambda: y * np.exp(np.log(unit) - eta) + eta,
        "tweedie": lambda: (
            y * unit * np.exp(-0.3 * eta) / 0.3 + np.exp(0.7 * eta) / 0.7
        ),
        "huber": lambda: far.row_losses(y * unit, eta),
    }[name]()
    strength = alpha
    if fit_intercept or name == "huber":
        strength = alpha * (unit if name == "huber" else unit ** (2.0 - power))
    expected = w @ loss + w.sum() * strength * np.abs(scaled.coef).sum()
    assert_allclose(scaled.objective, expected / far.weight_unit, rtol=1e-9)
    assert scaled.gap <= 1e-10
    if name != "huber":
        assert_allclose(scaled.dual, scaled.objective, rtol=1e-7)


@storages
def test_units_of_features_change_no_criterion(storage):
    X, y, w, offset, _ = data("poisson")
    near = problem_of("poisson", X, y, w, offset, storage)
    far = problem_of("poisson", X * 2.0**400, y, w, offset, storage)
    results = [p.solve_one(0.05 * u, 1.0) for p, u in ((near, 1.0), (far, 2.0**400))]
    assert results[0].coef.any()
    assert_allclose(results[1].coef * 2.0**400, results[0].coef, rtol=1e-7)
    found = [
        problem.criteria("bic", [result], np.array([0.05 * unit]), 1.0)
        for problem, result, unit in zip(
            (near, far), results, (1.0, 2.0**400), strict=True
        )
    ]
    assert_allclose(found[1], found[0], rtol=1e-9)


@pytest.mark.parametrize("name", ["poisson", "multinomial"])
def test_units_of_features_reach_a_ridge(name):
    X, y, w, _, _ = data(name)
    spec = penalty_spec(4, row_sparse=True) if name == "multinomial" else PenaltySpec()
    unit = 2.0**400
    near = problem_of(name, X, y, w, penalty=spec).solve_one(0.05, 0.0)
    far = problem_of(name, X * unit, y, w, penalty=spec)
    found = far.solve_one(0.05 * unit**2, 0.0)
    assert_allclose(found.dense_coef(4) * unit, near.dense_coef(4), rtol=1e-6)
    assert np.abs(near.dense_coef(4)).min() > 0.0


def test_who_looks_on_sees_every_iteration():
    problem, seen = problem_of("poisson", *data("poisson")[:3]), []
    quiet = problem.solve_one(0.05, 1.0)
    result = problem.solve_one(0.05, 1.0, step=lambda *a, **k: bool(seen.append(a)))
    assert len(seen) >= 1 and result.n_iter >= 1
    assert_allclose(result.dense_coef(4), quiet.dense_coef(4), rtol=1e-6)
    # A start that is the end takes no sweep.
    again = problem.solve_one(0.05, 1.0, coef_init=result.dense_coef(4))
    assert again.n_sweeps <= quiet.n_sweeps and again.gap <= 1e-10


def test_paths_are_silent_unless_asked(capsys):
    spec = PenaltySpec("mcp", shape=3.0)
    problem = problem_of("poisson", *data("poisson")[:3], penalty=spec)
    problem.solve(np.array([0.2, 0.1]), 1.0)
    assert capsys.readouterr().err == ""
    problem.solve(np.array([0.2, 0.1]), 1.0, verbose=1)
    assert "path" in capsys.readouterr().err


def test_losses_of_rows_stay_finite_far_away():
    y, eta = np.array([[0.0], [2.0]]), np.array([[1e4, -1e4], [1e4, -1e4]])
    poisson = problem_of("poisson", *data("poisson")[:3])
    found = poisson.row_losses(y, eta)
    assert_allclose(found[0, 1], 0.0)
    assert_allclose(found[1, 1], 2.0 * (2.0 * np.log(2.0) + 2e4 - 2.0))
    for name in ("poisson", "gamma", "tweedie"):
        problem = problem_of(name, *data(name)[:3])
        assert np.isfinite(problem.row_losses(y + 1.0, eta)).all()
    found = problem_of("multinomial", *data("multinomial")[:3]).row_losses(
        np.array([1, 2]), np.array([[0.0, 0.0, 0.0], [1e4, 0.0, 0.0]])
    )
    assert_allclose(found, [np.log(3.0), -np.log(1e-15)])


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_narrow_deltas_are_told_beside_the_targets(fit_intercept):
    X, y, _, _, _ = data("huber")
    y = (y + 5.0) * 2.0**40
    reach = np.abs(y - np.median(y) if fit_intercept else y).max()
    options = {"fit_intercept": fit_intercept, **LIMITS}
    for share, is_told in ((0.9e-6, True), (1.1e-6, False)):
        problem = HuberProblem(X, y, None, delta=share * reach, **options)
        assert ("is far below the targets" in problem.remedy) == is_told
        assert (f"which reach {reach:.1e}, so" in problem.remedy) == is_told
        assert (problem.precision_remedy == problem.remedy) == is_told


def test_small_means_are_those_below_a_thousandth():
    X, y, _, _, _ = data("poisson")
    for mean, is_moved in ((0.9e-3, True), (1.1e-3, False), (1e-285, False)):
        problem = problem_of("poisson", X, y * (mean / y.mean()), None)
        assert (problem.loss_unit < 1.0) == is_moved == (problem.y_offset < 0.0)
        if is_moved:
            assert problem.loss_unit == 2.0**-11  # beside the mean
            assert_allclose(problem.y_offset, -11.0 * np.log(2.0))
    problem = problem_of("poisson", X, y * 1e-5, None, fit_intercept=False)
    assert problem.loss_unit == 1.0 and problem.y_offset == 0.0


def test_classes_that_are_separated_are_warned_of():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 2))
    y = X[:, 0] > 0.1
    model = SparseLogisticRegression(alpha=1e-4, penalty="mcp", max_iter=3)
    for classes in (y, np.digitize(X[:, 0], [-0.4, 0.6])):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X, classes)
        assert any("separates the classes" in str(w.message) for w in caught)
    y = (X[:, 0] + rng.logistic(size=40)) > 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.set_params(alpha=0.05).fit(X, y)
        SparsePoissonRegressor(0.05, penalty="mcp").fit(X, y)
    assert not any("separates the classes" in str(w.message) for w in caught)


@pytest.mark.parametrize("name", ["poisson", "multinomial"])
def test_an_offset_without_weights_and_rows_without_weight(name):
    X, y, w, offset, _ = data(name)
    kept = w > 0
    assert not kept.all()
    whole = problem_of(name, X, y, w, offset).solve_one(0.05, 1.0)
    part = problem_of(name, X[kept], y[kept], w[kept], offset[kept])
    again = part.solve_one(0.05, 1.0)
    assert_allclose(whole.dense_coef(4), again.dense_coef(4), rtol=1e-9)
    assert_allclose(whole.objective, again.objective, rtol=1e-12)
    assert part.n_rows == kept.sum()


@storages
def test_squares_of_columns_are_weighted_and_centered(storage):
    X, y, w, _, _ = data("logistic")
    problem = problem_of("logistic", X, y, w, None, storage)
    kept = w > 0
    s = w[kept] / 16.0
    centered = X[kept] - s @ X[kept] / s.sum()
    assert_allclose(problem.weighted_squares, s @ centered**2, rtol=1e-10)
    # What a move along a column may bend a logistic loss by, at most a quarter.
    norms = problem.make_solver().norms
    assert_allclose(norms, np.sqrt(0.25 * (s @ centered**2)), rtol=1e-10)
    assert problem_of("huber", *data("huber")[:3]).make_solver().norms is None
    problem = problem_of("logistic", X, y, None, None, storage)
    squares = ((X - X.mean(axis=0)) ** 2).sum(axis=0)
    assert_allclose(problem.weighted_squares, squares, rtol=1e-10)


@pytest.mark.parametrize("positive", [False, True])
def test_free_features_of_several_classes_sum_to_zero(positive):
    X, y, w, _, _ = data("multinomial")
    spec = penalty_spec(
        4, feature_weights=np.array([0.0, 1.0, 1.0, 0.0]), positive=positive
    )
    problem = problem_of("multinomial", X, y, w, penalty=spec)
    result = problem.solve_one(0.02, 1.0)
    W = result.dense_coef(4)
    assert W[0].any()
    if positive:
        assert (W >= 0.0).all() and result.kind == "kkt"
    else:
        assert_allclose(W[[0, 3]].sum(axis=1), [0.0, 0.0], atol=1e-12)
        assert np.abs(W[1].sum()) > 1e-3 and result.kind == "duality_gap"
    intercepts = problem.intercept_of(result)
    assert_allclose(intercepts.sum(), 0.0, atol=1e-12)
    eta = X @ W + intercepts
    P = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
    G = X.T @ (w[:, None] * (P - np.eye(3)[y])) / w.sum()
    assert_allclose(G[[0, 3]][W[[0, 3]] != 0], 0.0, atol=1e-6)
    assert_allclose((w @ (P - np.eye(3)[y])) / w.sum(), np.zeros(3), atol=1e-7)


def test_paths_of_several_classes_have_an_axis_for_each():
    X, y, w, _, _ = data("multinomial")
    problem = problem_of("multinomial", X, y, w)
    results = problem.solve(np.array([0.1, 0.02]), 1.0)
    coefs, intercepts = problem.coefs_of(results), problem.intercepts_of(results)
    assert coefs.shape == (3, 4, 2) and intercepts.shape == (3, 2) and coefs.any()
    for k, result in enumerate(results):
        assert_allclose(coefs[:, :, k], result.dense_coef(4).T)
        assert_allclose(intercepts[:, k], problem.intercept_of(result))


def test_what_penalties_are_known_to_have():
    free, held = np.array([0.0, 1.0]), np.array([0.5, 1.0])
    plain = PenaltySpec()
    assert plain.is_convex and plain.has_gap and not plain.is_grouped
    assert not plain.positive and not plain.has_ridge and plain.kind == "elasticnet"
    for weights, positive, has_gap in (
        (free, False, True),
        (free, True, False),  # a multiplier that nothing settles
        (held, True, True),
        (None, True, True),
    ):
        spec = PenaltySpec(feature_weights=weights, positive=positive)
        assert spec.has_gap == has_gap and spec.is_convex
    for kind in ("mcp", "scad"):
        spec = PenaltySpec(kind, shape=3.0)
        assert not spec.is_convex and not spec.has_gap and spec.shape == 3.0
    grouped = penalty_spec(4, penalty="group", groups=2)
    assert grouped.is_grouped and grouped.has_gap and not grouped.has_ridge
    assert penalty_spec(4, row_sparse=True).has_ridge


def test_classes_that_a_fold_lacks_are_given_the_least_probability():
    X, y, _, _, _ = data("multinomial")
    some = y != 1
    problem = problem_of("multinomial", X[some], y[some], None)
    results = problem.solve(np.array([0.05]), 1.0)
    assert list(problem.present) == [0, 2]
    eta = X @ results[0].dense_coef(4) + problem.intercept_of(results[0])
    P = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
    own = np.where(y == 1, 1e-15, np.where(y == 0, P[:, 0], P[:, 1]))
    found = problem.losses(results, X, y)
    assert_allclose(found, [-np.log(own).mean()], rtol=1e-9)
    with pytest.raises(ValueError, match="of one class"):
        problem_of("multinomial", X, np.full(40, 2), None).solve_one(0.1, 1.0)
