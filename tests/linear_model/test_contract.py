"""What all linear models promise alike: attributes, limits, paths, sparse forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import gammaln
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError

import sparsestat.linear_model as ssl
from sparsestat.exceptions import ConvergenceWarning
from tests.linear_model.glm_oracles import (
    logistic_gap,
    loss_terms,
    poisson_gap,
    softmax_terms,
    violation,
)
from tests.linear_model.lasso_oracles import objective, relative_gap
from tests.linear_model.penalty_oracles import (
    concave_problem,
    group_gap,
    group_objective,
    slope_gap,
    slope_objective,
)

# Every model that has max_epochs, with what it needs and the kind of its target.
DESCENTS = {
    "Lasso": (ssl.Lasso, {}, "real"),
    "ElasticNet": (ssl.ElasticNet, {}, "real"),
    "MultiTaskElasticNet": (ssl.MultiTaskElasticNet, {}, "several"),
    "MultiTaskLasso": (ssl.MultiTaskLasso, {}, "several"),
    "MCPRegressor": (ssl.MCPRegressor, {}, "real"),
    "SCADRegressor": (ssl.SCADRegressor, {}, "real"),
    "GroupLasso": (ssl.GroupLasso, {"groups": 3}, "real"),
    "Slope": (ssl.Slope, {}, "real"),
    "SparseHuberRegressor": (ssl.SparseHuberRegressor, {}, "real"),
    "PenalizedRegressor": (ssl.PenalizedRegressor, {"penalty": "scad"}, "real"),
    "SparsePoissonRegressor": (ssl.SparsePoissonRegressor, {}, "count"),
    "SparseGammaRegressor": (ssl.SparseGammaRegressor, {}, "positive"),
    "SparseTweedieRegressor": (ssl.SparseTweedieRegressor, {}, "count"),
    "SparseCoxRegressor": (ssl.SparseCoxRegressor, {}, "time"),
    "SparseLogisticRegression": (ssl.SparseLogisticRegression, {}, "two"),
    "multinomial": (ssl.SparseLogisticRegression, {}, "three"),
    "rows": (ssl.SparseLogisticRegression, {"row_sparse": True}, "three"),
}
CVS = {
    "ElasticNetCV": (ssl.ElasticNetCV, {"l1_ratio": 0.7}, "real"),
    "LassoCV": (ssl.LassoCV, {}, "real"),
    "MCPRegressorCV": (ssl.MCPRegressorCV, {}, "real"),
    "SCADRegressorCV": (ssl.SCADRegressorCV, {"a": [2.5, 3.7]}, "real"),
    "GroupLassoCV": (ssl.GroupLassoCV, {"groups": 3, "l1_ratio": 0.3}, "real"),
    "SlopeCV": (ssl.SlopeCV, {}, "real"),
    "SparseHuberRegressorCV": (ssl.SparseHuberRegressorCV, {}, "real"),
    "PenalizedRegressorCV": (ssl.PenalizedRegressorCV, {"l1_ratio": 0.5}, "real"),
    "SparsePoissonRegressorCV": (ssl.SparsePoissonRegressorCV, {}, "count"),
    "SparseGammaRegressorCV": (ssl.SparseGammaRegressorCV, {}, "positive"),
    "SparseTweedieRegressorCV": (ssl.SparseTweedieRegressorCV, {}, "count"),
    "SparseCoxRegressorCV": (ssl.SparseCoxRegressorCV, {}, "time"),
    "SparseLogisticRegressionCV": (ssl.SparseLogisticRegressionCV, {}, "two"),
    "multinomial": (ssl.SparseLogisticRegressionCV, {}, "three"),
}
OTHERS = {
    "AdaptiveLassoCV": (ssl.AdaptiveLassoCV, {"alphas": 6, "cv": 3}, "real"),
    "MultiTaskElasticNetCV": (ssl.MultiTaskElasticNetCV, {"alphas": 6}, "several"),
    "MultiTaskLassoCV": (ssl.MultiTaskLassoCV, {"alphas": 6}, "several"),
    "BestSubsetRegressor": (ssl.BestSubsetRegressor, {"n_nonzero_coefs": 4}, "real"),
    "BestSubsetClassifier": (ssl.BestSubsetClassifier, {"n_nonzero_coefs": 4}, "three"),
    "BestSubsetCoxRegressor": (
        ssl.BestSubsetCoxRegressor,
        {"n_nonzero_coefs": 4},
        "time",
    ),
    "BestSubsetPoissonRegressor": (
        ssl.BestSubsetPoissonRegressor,
        {"n_nonzero_coefs": 4},
        "count",
    ),
    "ElementaryEstimator": (ssl.ElementaryEstimator, {}, "real"),
    "RandomSupportRegressor": (
        ssl.RandomSupportRegressor,
        {"alphas": 5, "n_draws": 1, "random_state": 0},
        "real",
    ),
    "LDPSparseRegressor": (
        ssl.LDPSparseRegressor,
        {"epsilon": 50.0, "x_bound": 20.0, "y_bound": 9.0, "random_state": 0},
        "real",
    ),
}


def problem(n=60, p=30, seed=0):
    """Correlated features, and targets of every kind."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + 0.7 * rng.standard_normal((n, 1)) + 0.3
    eta = X[:, :6] @ [1.0, -1.0, 0.7, -0.7, 0.5, 0.5]
    real = eta + 0.3 * rng.standard_normal(n)
    time = np.round(rng.exponential(np.exp(-0.7 * eta)), 2)
    scores = X[:, :9] @ rng.standard_normal((9, 3)) + rng.gumbel(size=(n, 3))
    return X, {
        "real": real,
        "several": np.column_stack([real, X[:, 2] + rng.standard_normal(n)]),
        "positive": rng.gamma(2.0, np.exp(0.4 * eta)),
        "count": rng.poisson(np.exp(0.4 * eta)).astype(float),
        "time": np.column_stack([time, rng.random(n) < 0.8]),
        "two": (eta + rng.logistic(size=n) > 0).astype(float),
        "three": scores.argmax(axis=1),
    }


def fitted(entry, **parameters):
    cls, more, target = entry
    X, targets = problem()
    return cls(**more, **parameters).fit(X, targets[target]), X, targets[target]


def test_the_tables_name_every_linear_model():
    named = {*DESCENTS, *CVS, *OTHERS} - {"multinomial", "rows"}
    estimators = {name for name in ssl.__all__ if name[0].isupper()}
    assert named == estimators - {"GraphLabelPropagation", "GraphLabelRegressor"}


@pytest.mark.parametrize("name", [*DESCENTS, *OTHERS])
def test_sparse_coefficients_are_the_coefficients(name):
    entry = {**DESCENTS, **OTHERS}[name]
    with pytest.raises(NotFittedError):
        _ = entry[0](**entry[1]).sparse_coef_
    model, X, _ = fitted(entry, **({"alpha": 0.1} if name in DESCENTS else {}))
    stored = model.sparse_coef_
    assert stored.format == "csr" and stored.shape[1] == X.shape[1]
    assert stored.nnz == np.count_nonzero(model.coef_) > 0
    assert_array_equal(stored.toarray(), np.atleast_2d(model.coef_))
    # They predict as the model does.
    scores = (sparse.csr_array(X) @ stored.T).toarray() + model.intercept_
    if any(kind in name for kind in ("Poisson", "Gamma", "Tweedie")):
        scores = np.exp(scores)
    shown = model.decision_function(X) if is_classifier(model) else model.predict(X)
    assert_allclose(scores.reshape(shown.shape), shown, rtol=1e-10)


@pytest.mark.parametrize("name", ["SparseLogisticRegression", "multinomial", "subset"])
def test_classifiers_agree_with_their_scores(name):
    entry = {**DESCENTS, "subset": OTHERS["BestSubsetClassifier"]}[name]
    model, X, _ = fitted(entry)
    scores = model.decision_function(X)
    assert_allclose(scores, np.squeeze(X @ model.coef_.T + model.intercept_))
    if scores.ndim == 1:
        scores = np.column_stack([np.zeros(len(X)), scores])
    log_proba = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    assert_allclose(model.predict_log_proba(X), log_proba, atol=1e-12)
    assert_allclose(model.predict_proba(X), np.exp(log_proba), atol=1e-12)
    assert_array_equal(model.predict(X), model.classes_[scores.argmax(axis=1)])


@pytest.mark.parametrize("name", DESCENTS)
def test_a_fit_cut_short_by_max_epochs_says_so(name):
    full, _, _ = fitted(DESCENTS[name], alpha=0.01, tol=1e-6)
    assert full.certificate_.satisfied and full.n_epochs_ > 1
    # The softmax counts sweeps over a part of the pairs as parts of a sweep.
    slack = 1 if DESCENTS[name][2] == "three" else 0
    for limit in (3, 1):
        with pytest.warns(ConvergenceWarning, match="max_epochs") as caught:
            short, _, _ = fitted(DESCENTS[name], alpha=0.01, tol=1e-6, max_epochs=limit)
        assert len(caught) == 1
        assert 1 <= short.n_epochs_ <= limit + slack
    assert not short.certificate_.satisfied
    assert short.certificate_.value > short.certificate_.tol
    assert short.objective_ > full.objective_


@pytest.mark.parametrize("name", DESCENTS)
def test_the_history_ends_with_the_certificate(name):
    model, _, _ = fitted(DESCENTS[name], alpha=0.03, tol=1e-7)
    assert model.history_.shape == (model.n_iter_,)
    assert model.history_[-1] == model.certificate_.value
    with pytest.warns(FutureWarning, match="`gap_history_` is called `history_`"):
        assert model.gap_history_ is model.history_
    assert_allclose(model.certificate_.details["objective"], model.objective_)
    if model.certificate_.kind == "duality_gap":
        bound = model.certificate_.details["dual_objective"]
        assert_allclose(model.dual_gap_, max(model.objective_ - bound, 0.0), atol=1e-14)


@pytest.mark.parametrize("name", [*DESCENTS, *CVS])
def test_every_history_can_be_drawn(name):
    pytest.importorskip("matplotlib").use("agg")
    from matplotlib import pyplot

    from sparsestat.plotting import ConvergenceDisplay

    if name in DESCENTS:
        model, _, _ = fitted(DESCENTS[name], alpha=0.03, tol=1e-7)
    else:
        model, _, _ = fitted(CVS[name], alphas=3, eps=0.1, cv=2)
    display = ConvergenceDisplay.from_estimator(model)
    (drawn,) = display.histories.values()
    assert_array_equal(drawn, model.history_)
    words = {"duality_gap": "gap", "kkt": "violation"}
    assert words[model.certificate_.kind] in display.ylabel
    pyplot.close("all")


@pytest.mark.parametrize("name", CVS)
def test_the_chosen_point_is_a_point_of_the_path(name):
    model, _, _ = fitted(CVS[name], alphas=6, eps=0.05, cv=3)
    alphas = np.atleast_2d(model.alphas_)
    row = 0
    if len(alphas) > 1:
        losses = model.mse_path_.mean(axis=2)
        row = int(losses.min(axis=1).argmin())
        assert model.a_ == CVS[name][1]["a"][row]
    k = int(np.flatnonzero(alphas[row] == model.alpha_)[0])
    shown = model.coef_path_[..., k]
    assert_array_equal(model.coef_.reshape(shown.shape), shown)
    assert_array_equal(model.sparse_coef_.toarray(), np.atleast_2d(model.coef_))
    if model.certificate_.kind == "duality_gap":
        assert model.dual_gaps_.shape == (6,)
        assert model.dual_gaps_[k] == model.dual_gap_
    else:
        assert model.kkt_residuals_.shape == (6,)
        assert model.kkt_residuals_[k] == model.certificate_.value


def squared_error_gaps(name, model, X, y):
    """Gaps along a path for squared errors, from the definitions."""
    omega = np.full(10, np.sqrt(3.0))
    groups = np.arange(30).reshape(10, 3)
    square = ((y - y.mean()) ** 2).sum()
    found = []
    for alpha, w in zip(model.alphas_, model.coef_path_.T, strict=True):
        if name == "GroupLassoCV":
            gap = group_gap(X, y, w, alpha, groups, 0.3, omega)
        elif name == "SlopeCV":
            gap = slope_gap(X, y, w, alpha, model.lambdas_)
        else:
            gap = relative_gap(X, y, w, alpha, getattr(model, "l1_ratio_", 1.0))
        found.append(gap * square / len(y))
    return np.array(found)


@pytest.mark.parametrize("name", ["LassoCV", "ElasticNetCV", "GroupLassoCV", "SlopeCV"])
def test_gaps_and_objectives_of_paths_measured_from_outside(name):
    # A loose tolerance leaves gaps that are worth comparing.
    model, X, y = fitted(CVS[name], alphas=6, eps=0.05, cv=3, tol=1e-2)
    gaps = squared_error_gaps(name, model, X, y)
    assert_allclose(model.dual_gaps_, gaps, rtol=1e-6, atol=1e-13)
    w = model.coef_
    if name == "GroupLassoCV":
        groups = np.arange(30).reshape(10, 3)
        omega = np.full(10, np.sqrt(3.0))
        value = group_objective(X, y, w, model.alpha_, groups, 0.3, omega)
    elif name == "SlopeCV":
        value = slope_objective(X, y, w, model.alpha_, model.lambdas_)
    else:
        value = objective(X, y, w, model.alpha_, getattr(model, "l1_ratio_", 1.0))
    assert_allclose(model.objective_, value, rtol=1e-10)


@pytest.mark.parametrize("name", ["MCPRegressorCV", "SCADRegressorCV"])
def test_residuals_and_objectives_of_concave_paths_measured_from_outside(name):
    model, X, y = fitted(CVS[name], alphas=6, eps=0.05, cv=3, tol=1e-3)
    kind, shape = ("scad", model.a_) if name[0] == "S" else ("mcp", model.gamma_)
    alphas = np.atleast_2d(model.alphas_)[0]
    for k, alpha in enumerate(alphas):
        w = model.coef_path_[:, k]
        value, residual = concave_problem(X, y, w, alpha, kind, shape)
        assert_allclose(model.kkt_residuals_[k], residual, rtol=1e-6, atol=1e-12)
        if alpha == model.alpha_:
            assert_allclose(model.objective_, value, rtol=1e-10)


@pytest.mark.parametrize(
    "name", [n for n in CVS if n.startswith("Sparse") or n == "multinomial"]
)
def test_intercepts_of_a_path_balance_the_residuals(name):
    model, X, y = fitted(CVS[name], alphas=6, eps=0.05, cv=3, tol=1e-8)
    if name == "SparseCoxRegressorCV":
        assert not model.intercept_path_.any()  # the hazard takes their place
        return
    several = name == "multinomial"
    assert model.intercept_path_.shape == ((3, 6) if several else (6,))
    kind = name.removeprefix("Sparse").partition("Reg")[0].lower()
    for k in range(6):
        eta = X @ model.coef_path_[..., k].T + model.intercept_path_[..., k]
        if several:
            slope = softmax_terms(eta, y)[1]
            assert_allclose(model.intercept_path_[:, k].sum(), 0.0, atol=1e-12)
        else:
            slope = loss_terms(kind, eta, y)[1]
        # The loss does not fall along any intercept.
        assert_allclose(slope.mean(axis=0), 0.0, atol=1e-8)


def test_gaps_and_residuals_of_likelihood_paths_measured_from_outside():
    options = {"alphas": 5, "eps": 0.1, "cv": 3, "tol": 1e-2}
    model, X, y = fitted(CVS["SparseLogisticRegressionCV"], **options)
    p = y.mean()
    null = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    for k, alpha in enumerate(model.alphas_):
        w, b = model.coef_path_[:, k], model.intercept_path_[k]
        gap = logistic_gap(X, y, w, b, alpha) * null
        assert_allclose(model.dual_gaps_[k], gap, rtol=1e-5, atol=1e-12)

    model, X, y = fitted(CVS["SparsePoissonRegressorCV"], **options)
    for k, alpha in enumerate(model.alphas_):
        w, b = model.coef_path_[:, k], model.intercept_path_[k]
        gap = poisson_gap(X, y, w, b, alpha)
        assert_allclose(model.dual_gaps_[k], gap, rtol=1e-5, atol=1e-12)

    model, X, y = fitted(CVS["SparseHuberRegressorCV"], **options)
    for k, alpha in enumerate(model.alphas_):
        w, b = model.coef_path_[:, k], model.intercept_path_[k]
        gradient = X.T @ loss_terms("huber", X @ w + b, y)[1] / len(y)
        residual = violation(w, gradient, alpha) / model.alphas_[0]
        assert_allclose(model.kkt_residuals_[k], residual, rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("name", CVS)
def test_one_standard_error_leaves_a_model_at_least_as_sparse(name):
    cls, more, target = CVS[name]
    X, targets = problem()
    options = {**more, "alphas": 10, "eps": 0.02, "cv": 4}
    if name == "SCADRegressorCV":
        options["a"] = 3.7
    least, sparser = (
        cls(one_se=one_se, **options).fit(X, targets[target])
        for one_se in (False, True)
    )
    losses = getattr(least, "mse_path_", None)
    losses = least.loss_path_ if losses is None else losses
    mean = losses.mean(axis=1)
    best = mean.argmin()
    assert least.alpha_ == least.alphas_[best]
    bar = mean[best] + losses[best].std(ddof=1) / np.sqrt(4)
    assert sparser.alpha_ == least.alphas_[mean <= bar].max()


ALL_CVS = CVS | {name: entry for name, entry in OTHERS.items() if name.endswith("CV")}


def one_setting(name):
    """Return the class, its options with a single setting, and its target."""
    cls, more, target = ALL_CVS[name]
    more = more | {"a": 3.7} if name == "SCADRegressorCV" else more
    return cls, more | {"alphas": 8, "eps": 0.05}, target


@pytest.mark.parametrize("name", ALL_CVS)
def test_errors_of_folds_and_both_choices_are_stored(name):
    cls, options, target = one_setting(name)
    X, targets = problem()
    model = cls(**options | {"cv": 4}).fit(X, targets[target])
    losses = getattr(model, "mse_path_", None)
    losses = model.loss_path_ if losses is None else losses
    assert losses.shape == (8, 4) and np.isfinite(losses).all()
    mean, error = losses.mean(axis=1), losses.std(axis=1, ddof=1) / 2.0
    assert_allclose(model.cv_mean_, mean)
    assert_allclose(model.cv_standard_error_, error)
    best = mean.argmin()
    assert model.alpha_ == model.alpha_min_ == model.alphas_[best]
    assert model.alpha_1se_ == model.alphas_[mean <= mean[best] + error[best]].max()
    assert model.coef_path_.shape[-1] == 8
    assert model.intercept_path_.shape[-1] == 8


@pytest.mark.parametrize("name", ALL_CVS)
def test_every_criterion_chooses_its_least_value(name):
    cls, options, target = one_setting(name)
    X, targets = problem()
    found = {}
    for criterion in ("aic", "bic", "ebic"):
        model = cls(**options, criterion=criterion).fit(X, targets[target])
        found[criterion] = model.criterion_path_
        assert model.criterion_path_.shape == (8,)
        assert model.alpha_ == model.alphas_[model.criterion_path_.argmin()]
        assert not hasattr(model, "cv_mean_")
    # A degree of freedom costs 2 and log n; none is in use where nothing is selected.
    n = {"time": targets["time"][:, -1].sum(), "several": 2 * len(X)}.get(
        target, len(X)
    )
    degrees = (found["bic"] - found["aic"]) / (np.log(n) - 2.0)
    assert_allclose(degrees[0], 0.0, atol=1e-9)
    assert degrees[-1] > 1.0 and (degrees >= -1e-9).all()
    # The extended BIC adds the choice among all coefficients, or among the features
    # that targets share.
    size, chosen = model.coef_path_[..., 0].size, degrees
    if target == "several":
        size, chosen = X.shape[1], degrees / 2
    ways = [gammaln(count + 1) for count in (size, chosen, size - chosen)]
    extra = 2.0 * (ways[0] - ways[1] - ways[2])
    assert_allclose(found["ebic"] - found["bic"], extra, rtol=1e-6, atol=1e-6)
    if name == "SlopeCV":
        shown = [np.unique(np.abs(w[w != 0])).size for w in model.coef_path_.T]
        assert_allclose(degrees, shown, atol=1e-6)


@pytest.mark.parametrize("criterion", ["aic", "bic"])
@pytest.mark.parametrize("cls", [ssl.MCPRegressorCV, ssl.SCADRegressorCV])
def test_criteria_of_concave_paths_count_the_support(cls, criterion):
    X, targets = problem()
    y = targets["real"]
    model = cls(criterion=criterion, alphas=10, eps=0.05, tol=1e-8).fit(X, y)
    A, t = X - X.mean(axis=0), y - y.mean()
    rss = ((t[:, None] - A @ model.coef_path_) ** 2).sum(axis=0)
    price = 2.0 if criterion == "aic" else np.log(len(y))
    df = np.count_nonzero(model.coef_path_, axis=0)
    expected = len(y) * np.log(rss / len(y)) + price * df
    assert_allclose(model.criterion_path_, expected, rtol=1e-6)
    assert model.alpha_ == model.alphas_[expected.argmin()]


@pytest.mark.parametrize("cls", [ssl.LassoCV, ssl.ElasticNetCV])
def test_positive_paths_are_positive_and_the_single_fits(cls):
    X, targets = problem()
    y = targets["real"]
    model = cls(positive=True, alphas=6, eps=0.05, cv=3, tol=1e-10).fit(X, y)
    assert model.coef_path_.min() == 0.0 < model.coef_.max()
    single = {ssl.LassoCV: ssl.Lasso, ssl.ElasticNetCV: ssl.ElasticNet}[cls]
    one = single(model.alpha_, positive=True, tol=1e-10).fit(X, y)
    assert_allclose(one.coef_, model.coef_, atol=1e-5)
    function = {ssl.LassoCV: ssl.lasso_path, ssl.ElasticNetCV: ssl.enet_path}[cls]
    path = function(
        X, y, alphas=model.alphas_, positive=True, fit_intercept=True, tol=1e-10
    )
    assert_allclose(path.coefs, model.coef_path_, atol=1e-5)
    with pytest.warns(ConvergenceWarning, match="max_epochs"):
        short = function(X, y, alphas=3, eps=1e-3, tol=1e-12, max_epochs=1)
    assert short.gaps.max() > path.gaps.max()


@pytest.mark.parametrize("delta", [0.05, 0.5, 1e3])
def test_huber_clips_the_residuals_at_delta(delta):
    X, targets = problem()
    y = targets["real"]
    model = ssl.SparseHuberRegressor(0.02, delta=delta, tol=1e-9).fit(X, y)
    eta = model.predict(X)
    value, slope = loss_terms("huber", eta, y, delta)
    assert np.abs(slope).max() <= delta
    assert_allclose(
        model.objective_, value.mean() + 0.02 * np.abs(model.coef_).sum(), rtol=1e-8
    )
    assert violation(model.coef_, X.T @ slope / len(y), 0.02) <= 1e-6
    chosen = ssl.SparseHuberRegressorCV(delta=delta, alphas=[0.02], cv=3, tol=1e-9)
    assert_allclose(chosen.fit(X, y).coef_, model.coef_, atol=1e-6)


@pytest.mark.parametrize("name", DESCENTS)
def test_a_warm_start_stops_where_it_was(name):
    cls, more, target = DESCENTS[name]
    X, targets = problem()
    model = cls(alpha=0.03, tol=1e-5, warm_start=True, **more)
    model.fit(X, targets[target])
    cold, before = model.n_epochs_, model.coef_.copy()
    model.fit(X, targets[target])
    assert model.n_epochs_ <= 2 < cold and model.certificate_.satisfied
    assert_allclose(model.coef_, before, atol=2e-2)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        cls(alpha=0.003, tol=1e-9, max_iter=1, **more).fit(X, targets[target])
