"""Offsets, strata and entry times: likelihoods by hand, other packages, routing."""

import inspect

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import softmax, xlogy
from sklearn import set_config
from sklearn.linear_model import GammaRegressor, TweedieRegressor
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sparsestat.linear_model as ssl
from sparsestat.linear_model._penalized._datafits import (
    Gamma,
    Huber,
    Logistic,
    Offset,
    Tweedie,
)
from sparsestat.linear_model._penalized._survival import (
    Cox,
    StratifiedCox,
    partial_likelihood,
)
from sparsestat.linear_model._penalized._survival_problem import CoxProblem
from tests.linear_model.test_penalty_matrix import ALPHA, ESTIMATORS, gradient_of, make

storages = pytest.mark.parametrize("storage", [np.asarray, sparse.csc_array])


class Moved:
    """What `gradient_of` sees of a model whose predictor has an offset."""

    def __init__(self, model, offset):
        # An offset is a feature with the coefficient one.
        self.coef_ = np.column_stack([np.atleast_2d(model.coef_), [1.0]])
        self.intercept_ = model.intercept_


@pytest.mark.parametrize("loss", [k for k in ESTIMATORS if k != "multinomial"])
@storages
def test_an_offset_is_a_feature_with_the_coefficient_one(loss, storage):
    X, y, s = make(loss, 5)
    offset = np.random.default_rng(6).uniform(-1, 1, len(X))
    s[:4] = 0.0  # rows that do not matter
    offset[:4] = 1e3
    alpha = ALPHA.get(loss, 0.06)
    model = ESTIMATORS[loss](alpha, tol=1e-9)
    model.fit(storage(X), y, sample_weight=s, offset=offset)
    assert model.certificate_.satisfied
    used = s > 0
    wide = np.column_stack([X, offset])[used]
    gradient = gradient_of(loss, Moved(model, offset), wide, y[used], s[used])[0, :-1]
    coef = np.squeeze(model.coef_)
    violation = np.where(
        coef != 0,
        np.abs(gradient + alpha * np.sign(coef)),
        np.maximum(np.abs(gradient) - alpha, 0),
    )
    assert violation.max() <= 1e-6 and coef.any()
    with pytest.raises(ValueError, match="needs one to predict"):
        model.predict(X)
    scores = X @ coef + np.squeeze(model.intercept_) + offset
    with np.errstate(over="ignore"):
        expected = {
            "logistic": scores > 0, "huber": scores, "cox": scores
        }.get(loss, np.exp(np.minimum(scores, 700.0)))  # fmt: skip
    assert_allclose(model.predict(X, offset=offset), expected, rtol=1e-12)


def test_offsets_of_several_classes():
    X, y, _ = make("multinomial", 7)
    offset = np.random.default_rng(8).uniform(-1, 1, (len(X), 3))
    model = ssl.SparseLogisticRegression(0.03, tol=1e-9)
    model.fit(X, y, offset=offset)
    P = softmax(X @ model.coef_.T + model.intercept_ + offset, axis=1)
    assert_allclose(model.predict_proba(X, offset), P, rtol=1e-10)
    residual = P - np.eye(3)[y]
    assert np.abs(residual.sum(axis=0)).max() <= 1e-6
    slope = residual.T @ X / len(X)
    held = model.coef_ != 0
    assert_allclose(slope[held], -0.03 * np.sign(model.coef_[held]), atol=1e-6)
    # A constant over the classes changes nothing.
    again = ssl.SparseLogisticRegression(0.03, tol=1e-9)
    again.fit(X, y, offset=offset + np.arange(len(X))[:, None])
    assert_allclose(again.coef_, model.coef_, atol=1e-6)
    with pytest.raises(ValueError, match=r"expected \(50, 3\)"):
        model.fit(X, y, offset=offset[:, 0])


def test_an_exposure_is_a_weight_and_a_rate():
    X, y, s = make("poisson", 9)
    a = ssl.SparsePoissonRegressor(0.05, tol=1e-10)
    a.fit(X, y * s, offset=np.log(s))
    b = ssl.SparsePoissonRegressor(0.05 / s.mean(), tol=1e-10)
    b.fit(X, y, sample_weight=s)
    assert_allclose(a.coef_, b.coef_, atol=1e-6)
    assert_allclose(a.predict(X, np.log(s)), s * b.predict(X), rtol=1e-5)
    assert_allclose(a.score(X, y * s, offset=np.log(s)) > 0.1, True)


def test_cross_validation_takes_the_offsets_of_its_rows():
    X, y, s = make("poisson", 10)
    offset = np.log(s)
    y = np.random.default_rng(0).poisson(s * np.exp(0.3 * X[:, 0])).astype(float)
    cv = ssl.SparsePoissonRegressorCV(alphas=5, cv=KFold(3), tol=1e-8)
    cv.fit(X, y, offset=offset)
    for k, (train, test) in enumerate(KFold(3).split(X)):
        one = ssl.SparsePoissonRegressor(cv.alphas_[3], tol=1e-8)
        one.fit(X[train], y[train], offset=offset[train])
        mean = one.predict(X[test], offset[test])
        terms = xlogy(y[test], y[test] / mean)
        loss = 2 * (terms - y[test] + mean).mean()
        assert_allclose(cv.loss_path_[3, k], loss, rtol=1e-5)
    path = cv.path(X, y, alphas=cv.alphas_, offset=offset)
    assert_allclose(path.coefs, cv.coef_path_, atol=1e-6)
    with pytest.raises(TypeError, match="takes no argument 'offsets'"):
        cv.path(X, y, offsets=offset)
    assert cv.predict(X, offset).shape == (50,)


def test_offsets_are_routed_through_pipelines_and_searches():
    X, y, s = make("poisson", 11)
    set_config(enable_metadata_routing=True)
    try:
        model = ssl.SparsePoissonRegressor(tol=1e-8)
        model.set_fit_request(offset=True, sample_weight=False)
        model.set_predict_request(offset=True)
        model.set_score_request(offset=True, sample_weight=False)
        pipe = make_pipeline(StandardScaler(), model)
        search = GridSearchCV(pipe, {"sparsepoissonregressor__alpha": [0.05, 0.2]})
        search.fit(X, y, offset=np.log(s))
        best = search.best_estimator_
        assert best.predict(X, offset=np.log(s)).shape == (50,)
        with pytest.raises(ValueError, match=r"set_predict_request\(offset=True\)"):
            best.predict(X)
    finally:
        set_config(enable_metadata_routing=False)


def test_the_datafit_with_an_offset_is_a_translation():
    rng = np.random.default_rng(12)
    offset, eta = rng.standard_normal((2, 20))
    y = rng.random(20) + 0.1
    for fit in (Gamma(y), Tweedie(y, power=1.3), Huber(y), Logistic(y > 0.6)):
        moved = Offset(fit, offset)
        assert moved.value(eta) == fit.value(eta + offset)
        assert_allclose(moved.gradient(eta), fit.gradient(eta + offset))
        g = moved.gradient(eta)
        # Fenchel: equality at a gradient.
        found = moved.value(eta) + moved.conjugate(g)
        if not isinstance(fit, Huber):
            assert_allclose(found, eta @ g, rtol=1e-10, atol=1e-10)
        shift = moved.null_intercept()
        assert abs(moved.gradient(np.full(20, shift)).sum()) <= 1e-10


@pytest.mark.parametrize("power", [1.1, 1.5, 1.9])
def test_conjugates_of_tweedie(power):
    rng = np.random.default_rng(13)
    y = np.where(rng.random(40) < 0.3, 0.0, rng.gamma(1.0, 10.0 ** rng.uniform(-3, 3)))
    fit = Tweedie(y, rng.uniform(0.5, 2.0, 40), power=power)
    for scale in (0.1, 1.0, 10.0):
        eta = scale * rng.standard_normal(40)
        g = fit.gradient(eta)
        assert_allclose(fit.value(eta) + fit.conjugate(g), eta @ g, rtol=1e-10)
        for c in (0.0, 0.3, 0.9):  # Young's inequality
            assert fit.value(eta) + fit.conjugate(c * g) >= c * eta @ g - 1e-9
    assert_allclose(-fit.conjugate(np.zeros(40)), fit.saturated, rtol=1e-12)


@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_the_ridge_of_gamma_and_tweedie_is_that_of_scikit_learn(ratio):
    X, y, s = make("gamma", 14)
    options = {"l1_ratio": 0.0, "tol": 1e-10}
    ours = ssl.SparseGammaRegressor(0.1, **options).fit(X, y, sample_weight=s)
    theirs = GammaRegressor(alpha=0.1, tol=1e-10, max_iter=1000).fit(X, y, s)
    assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    assert_allclose(ours.score(X, y, s), theirs.score(X, y, s), rtol=1e-5)
    X, y, s = make("tweedie", 14)
    ours = ssl.SparseTweedieRegressor(0.1, power=1.3, **options)
    ours.fit(X, y, sample_weight=s)
    theirs = TweedieRegressor(
        power=1.3, alpha=0.1, link="log", tol=1e-10, max_iter=1000
    ).fit(X, y, s)
    assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    assert_allclose(ours.score(X, y, s), theirs.score(X, y, s), rtol=1e-5)


def survival(seed=0, n=60):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 5))
    entry = np.round(rng.uniform(0, 2, n), 1)
    time = np.round(entry + 0.1 + rng.exponential(np.exp(-0.7 * X[:, 0])), 1)
    time = np.maximum(time, entry + 0.1)
    event = rng.random(n) < 0.7
    strata = rng.integers(0, 3, n)
    return X, np.column_stack([entry, time, event]), strata


def likelihood(eta, y, s, strata, ties):
    """Negative log partial likelihood, event by event."""
    entry, time, event = y.T
    total = 0.0
    for code in np.unique(strata):
        inside = strata == code
        for t in np.unique(time[inside & (event > 0)]):
            risk = inside & (entry < t) & (time >= t)
            tied = inside & (time == t) & (event > 0)
            e = s * np.exp(eta)
            total -= (s * eta)[tied].sum()
            if ties == "breslow":
                total += s[tied].sum() * np.log(e[risk].sum())
            else:
                d = int(s[tied].sum())
                for step in range(d):
                    total += np.log(e[risk].sum() - step / d * e[tied].sum())
    return total


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("stratified", [False, True])
def test_risk_sets_of_strata_and_entries_one_by_one(ties, stratified, monkeypatch):
    X, y, strata = survival()
    rng = np.random.default_rng(1)
    s = rng.integers(1, 4, len(y)).astype(float)
    if not stratified:
        strata = np.zeros(len(y), dtype=int)
    fit = partial_likelihood(y, s, ties=ties, strata=strata)
    if not stratified:
        assert isinstance(partial_likelihood(y, s, ties=ties), Cox)
        fit = partial_likelihood(y, s, ties=ties)
    eta = X[:, 0] + 0.3 * rng.standard_normal(len(y))
    assert_allclose(fit.value(eta), likelihood(eta, y, s, strata, ties), rtol=1e-11)
    h = 1e-5
    numeric = [
        (
            likelihood(eta + h * unit, y, s, strata, ties)
            - likelihood(eta - h * unit, y, s, strata, ties)
        )
        / (2 * h)
        for unit in np.eye(len(y))
    ]
    assert_allclose(fit.gradient(eta), numeric, atol=1e-6)
    v = rng.standard_normal(len(y))
    second = (fit.gradient(eta + h * v) - fit.gradient(eta - h * v)) / (2 * h)
    assert_allclose(fit.hessian_product(eta, v), second, atol=1e-6)
    h = fit.curvature(eta)
    assert_allclose(
        fit.gram(X, eta, h),
        X.T @ np.column_stack([fit.hessian_product(eta, x) for x in X.T]),
        atol=1e-9,
    )
    assert (
        np.linalg.eigvalsh(
            np.diag(h)
            - np.column_stack([fit.hessian_product(eta, u) for u in np.eye(len(y))])
        )
        >= -1e-9
    ).all()
    # The same beyond the range of exponentials.
    monkeypatch.setattr(inspect.getmodule(Cox), "_PLAIN_RANGE", -1.0)
    assert_allclose(fit.value(eta), likelihood(eta, y, s, strata, ties), rtol=1e-11)
    assert_allclose(fit.gradient(eta), numeric, atol=1e-6)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("storage", [np.asarray, sparse.csc_array])
def test_problems_of_survival_by_hand(ties, storage):
    X, y, strata = survival(4)
    rng = np.random.default_rng(2)
    s, offset = rng.integers(0, 10, 60).astype(float), rng.uniform(-1, 1, 60)
    s[[0, 59]] = 0.5 if ties == "breslow" else 1.0  # between none and one
    s[45] = 0.0
    train, held = slice(0, 40), slice(40, 60)
    used = np.flatnonzero(s[train] > 0)
    assert 30 < len(used) < 40 and (s[held] == 0).any()
    problem = CoxProblem(
        storage(X[train]), y[train], s[train], ties=ties, strata=strata[train],
        offset=offset[train], tol=1e-9, max_iter=100, max_epochs=10_000,
    )  # fmt: skip
    assert len(problem.strata) == len(used)
    alphas = np.array([0.1, 0.02])
    results = problem.solve(alphas, 1.0)
    eta = [X @ r.dense_coef(5) + offset for r in results]
    events = s[train] @ y[train, 2]
    assert_allclose(problem.n_observed, events)
    mine = [likelihood(e[used], y[used], s[used], strata[used], ties) for e in eta]
    df = np.array([np.count_nonzero(r.coef) for r in results])
    assert 0 < df[0] < df[1]
    for name, price in (("aic", 2.0), ("bic", np.log(events))):
        found = problem.criteria(name, results, alphas, 1.0)
        assert_allclose(found, 2.0 * np.array(mine) + price * df, rtol=1e-9)
    sizes = [np.abs(r.coef).sum() for r in results]
    expected = np.array(mine) + s[train].sum() * alphas * sizes
    unit = problem.weight_unit
    assert unit == (8.0 if ties == "breslow" else 1.0)
    assert_allclose([unit * r.objective for r in results], expected, rtol=1e-9)
    null = likelihood(offset[used], y[used], s[used], strata[used], ties)
    assert_allclose(problem.explained(results), 1.0 - mine / null, atol=1e-9)
    # Held-out rows add to the risk sets of those that were fitted.
    both = np.concatenate([used, np.arange(40, 60)])
    whole = [likelihood(e[both], y[both], s[both], strata[both], ties) for e in eta]
    found = problem.losses(
        results, storage(X[held]), y[held], s[held], offset[held], strata[held]
    )
    expected = (np.array(whole) - mine) / (s[held] @ y[held, 2])
    assert_allclose(found, expected, rtol=1e-9)
    y[held, 2] = 0
    found = problem.losses(
        results, storage(X[held]), y[held], s[held], offset[held], strata[held]
    )
    assert_allclose(found, [0.0, 0.0], atol=0.0)


@pytest.mark.parametrize("storage", [np.asarray, sparse.csc_array])
def test_units_of_features_reach_the_losses_and_hazards_of_survival(storage):
    X, y, strata = survival(4)
    found = []
    for unit in (1.0, 2.0**400):
        problem = CoxProblem(
            storage(X[:40] * unit), y[:40], None, ties="efron", strata=strata[:40],
            tol=1e-9, max_iter=100, max_epochs=10_000,
        )  # fmt: skip
        results = problem.solve(np.array([0.1, 0.02]) * unit, 1.0)
        assert results[1].coef.any()
        losses = problem.losses(
            results, storage(X[40:] * unit), y[40:], strata=strata[40:]
        )
        shown = problem.attributes(results[1])
        found.append([losses, shown["_center_hazard"], shown["baseline_hazard_"]])
    for near, far in zip(*found, strict=True):
        assert_allclose(far, near, rtol=1e-7)


def test_a_stratum_without_events_adds_nothing():
    X, y, strata = survival(2)
    y[strata == 1, 2] = 0
    fit = partial_likelihood(y, ties="efron", strata=strata)
    assert isinstance(fit, StratifiedCox) and len(fit.parts) == 2
    eta = X[:, 0]
    assert not fit.gradient(eta)[strata == 1].any()
    assert not fit.baseline(eta)[1].any() and fit.baseline(eta)[0].any()


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@storages
def test_fits_are_those_of_statsmodels(ties, storage):
    phreg = pytest.importorskip("statsmodels.duration.hazard_regression").PHReg
    X, y, strata = survival(3, 120)
    y[:, 1] += 0.03  # so that nobody enters at the time of an event
    theirs = phreg(
        y[:, 1], X, status=y[:, 2], entry=y[:, 0], strata=strata, ties=ties
    ).fit()
    with pytest.warns(UserWarning, match="alpha=0"):
        ours = ssl.SparseCoxRegressor(0.0, ties=ties, tol=1e-9)
        ours.fit(storage(X), y, strata=strata)
    model = ssl.SparseCoxRegressor(1e-9, ties=ties, tol=1e-9)
    model.fit(storage(X), y, strata=strata)
    assert_allclose(model.coef_, ours.coef_, atol=1e-5)
    value = likelihood(X @ ours.coef_, y, np.ones(120), strata, ties)
    theirs_value = likelihood(X @ theirs.params, y, np.ones(120), strata, ties)
    assert value <= theirs_value + 1e-6
    assert_allclose(ours.coef_, theirs.params, atol=1e-5)


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie", "logistic"])
@storages
def test_unpenalized_fits_are_those_of_statsmodels(loss, storage):
    sm = pytest.importorskip("statsmodels.api")
    X, y, s = make(loss, 11)
    offset = np.random.default_rng(12).uniform(-1, 1, len(X))
    log = sm.families.links.Log()
    family = {
        "poisson": sm.families.Poisson(),
        "gamma": sm.families.Gamma(log),
        "tweedie": sm.families.Tweedie(log, var_power=1.5),
        "logistic": sm.families.Binomial(),
    }[loss]
    theirs = sm.GLM(
        y, sm.add_constant(X), family=family, offset=offset, var_weights=s
    ).fit(tol=1e-12, maxiter=200)
    ours = ESTIMATORS[loss](0.0, tol=1e-10)
    with pytest.warns(UserWarning, match="alpha=0"):
        ours.fit(storage(X), y, sample_weight=s, offset=offset)
    found = np.r_[np.atleast_1d(ours.intercept_), np.squeeze(ours.coef_)]
    assert_allclose(found, theirs.params, rtol=1e-6, atol=1e-7)


def test_survival_functions_of_strata():
    X, y, strata = survival(4)
    names = np.array(["north", "south", "west"])[strata]
    model = ssl.SparseCoxRegressor(0.02, tol=1e-8).fit(X, y, strata=names)
    assert list(model.strata_) == ["north", "south", "west"]
    assert model.baseline_hazard_.shape == (3, len(model.event_times_))
    found = model.predict_survival(X, strata=names)
    for k, name in enumerate(model.strata_):
        alone = y[strata == k]
        eta = X[strata == k] @ model.coef_
        hazard = []
        for t in model.event_times_:
            past = [
                1.0 / np.exp(eta[(alone[:, 0] < u) & (alone[:, 1] >= u)]).sum()
                for u in alone[(alone[:, 2] > 0) & (alone[:, 1] <= t), 1]
            ]
            hazard.append(sum(past))
        expected = np.exp(-np.outer(np.exp(eta), hazard))
        assert_allclose(found[names == name], expected, rtol=1e-8, atol=1e-12)
    assert (np.diff(found, axis=1) <= 1e-15).all()
    with pytest.raises(ValueError, match="fitted with `strata`"):
        model.predict_survival(X)
    with pytest.raises(ValueError, match="'east', which was not there"):
        model.predict_survival(X[:2], strata=["east", "up"])
    for few in (2, 4):
        with pytest.raises(ValueError, match=f"{few} entries, but X has 3 samples"):
            model.predict_survival(X[:3], strata=names[:few])
    cv = ssl.SparseCoxRegressorCV(alphas=5, cv=3, tol=1e-7)
    cv.fit(X, y, strata=names)
    assert np.isfinite(cv.loss_path_).all()


def test_targets_with_entries_are_columns_or_fields():
    X, y, _ = survival(5)
    model = ssl.SparseCoxRegressor(0.02, tol=1e-8).fit(X, y)
    fields = np.empty(
        len(y), dtype=[("event", bool), ("entry", float), ("time", float)]
    )
    fields["entry"], fields["time"], fields["event"] = y.T
    again = ssl.SparseCoxRegressor(0.02, tol=1e-8).fit(X, fields)
    assert_allclose(again.coef_, model.coef_)
    assert_allclose(again.score(X, fields), model.score(X, y[:, 1:]))
    early = y.copy()
    early[:, 0] = -1.0
    late = ssl.SparseCoxRegressor(0.02, tol=1e-8).fit(X, early)
    without = ssl.SparseCoxRegressor(0.02, tol=1e-8).fit(X, y[:, 1:])
    assert_allclose(late.coef_, without.coef_, atol=1e-8)
    y[3, 0] = y[3, 1]
    with pytest.raises(ValueError, match=r"Sample 3 has the entry .* never be at risk"):
        ssl.SparseCoxRegressor().fit(X, y)


def test_offsets_of_wrong_shape_are_refused():
    X, y, _ = make("poisson")
    with pytest.raises(ValueError, match=r"`offset` has shape \(3,\)"):
        ssl.SparsePoissonRegressor().fit(X, y, offset=np.zeros(3))
    with pytest.raises(ValueError, match="NaN"):
        ssl.SparsePoissonRegressor().fit(X, y, offset=np.full(50, np.nan))
