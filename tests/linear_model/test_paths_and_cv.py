"""Paths, their choice by cross-validation and criteria, and screening."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import comb
from sklearn import linear_model as skl
from sklearn.base import clone
from sklearn.datasets import make_regression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sparsestat.linear_model as ssl
from sparsestat.linear_model._cv import mean_and_error
from sparsestat.linear_model._penalized._criteria import information_criterion
from sparsestat.linear_model._penalized._design import make_design
from sparsestat.linear_model._penalized._gaps import squared_parts, squared_screen
from sparsestat.linear_model._penalized._penalties import ElasticNetPenalty
from sparsestat.linear_model._penalized._solver import WorkingSetSolver
from tests.linear_model.lasso_oracles import objective, relative_gap


@pytest.fixture(scope="module")
def data():
    X, y = make_regression(
        60, 100, n_informative=8, noise=10.0, random_state=0, bias=3.0
    )
    return X * (np.random.default_rng(0).random(X.shape) < 0.6), y / 30


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_path_agrees_with_scikit_learn(data, container, l1_ratio):
    X, y = data
    y = y - y.mean()
    ours = ssl.enet_path(
        container(X), y, l1_ratio=l1_ratio, alphas=30, eps=1e-2, tol=1e-15
    )
    # A gap of 1e-12 would still allow coefficients to differ by 1e-6.
    _, coefs, _ = skl.enet_path(
        X, y, l1_ratio=l1_ratio, alphas=ours.alphas, tol=1e-15, max_iter=10**6
    )
    assert_allclose(ours.coefs, coefs, atol=1e-6)
    assert not ours.coefs[:, 0].any()
    assert_allclose(ours.alphas[[0, -1]], [ours.alphas[0], ours.alphas[0] / 100])


def test_every_point_of_a_path_has_its_gap(data):
    X, y = data
    y = y - y.mean()
    alphas, coefs, gaps = ssl.lasso_path(X, y, alphas=50, tol=1e-6)
    for k, alpha in enumerate(alphas):
        outside = relative_gap(X, y, coefs[:, k], alpha, fit_intercept=False)
        assert outside <= 1e-6 * (1 + 1e-9)
        assert_allclose(gaps[k], outside * (y @ y) / len(y), atol=1e-12)


def test_path_does_not_depend_on_the_warm_start(data):
    X, y = data
    path = ssl.lasso_path(X, y, fit_intercept=True, alphas=20, tol=1e-13)
    for k in (5, 12, 19):
        cold = ssl.Lasso(path.alphas[k], tol=1e-13).fit(X, y)
        assert_allclose(path.coefs[:, k], cold.coef_, atol=1e-6)


def test_path_starts_where_it_is_told(data):
    X, y = data
    alpha = 0.3 * np.abs(X.T @ (y - y.mean())).max() / len(y)
    once = ssl.lasso_path(X, y, alphas=[alpha], tol=1e-12)
    again = ssl.lasso_path(X, y, alphas=[alpha], tol=1e-12, coef_init=once.coefs[:, 0])
    assert_allclose(again.coefs, once.coefs, atol=1e-10)


def test_a_path_into_pure_noise_never_stalls():
    # Working sets grow while the gap does not fall: that is progress, not a stall.
    rng = np.random.RandomState(0)
    X = np.linspace(-1, 1, 120)[:, None] ** np.arange(1, 9)
    X = (X[:, :, None] * rng.standard_normal((120, 1, 60))).reshape(120, -1)
    y = rng.standard_normal(120)
    path = ssl.lasso_path(StandardScaler().fit_transform(X), y - y.mean(), eps=1e-2)
    assert (path.gaps <= 1e-4 * y.var() * (1 + 1e-9)).all()


@pytest.mark.parametrize("l1_ratio", [1.0, 0.7])
def test_gap_safe_screening_never_drops_a_feature_of_the_solution(l1_ratio):
    rng = np.random.default_rng(0)
    dropped = 0
    for _ in range(200):
        n, p = rng.integers(5, 30), rng.integers(5, 60)
        X = rng.standard_normal((n, p))
        y = rng.standard_normal(n)
        share = rng.uniform(0.05, 0.95)
        design = make_design(X, fit_intercept=False)
        top = np.abs(X.T @ y).max() / n / l1_ratio
        penalty = ElasticNetPenalty(share * top, l1_ratio, p, design.total)
        exact = WorkingSetSolver(design, y).solve(penalty, tol=1e-14)
        support = np.zeros(p, dtype=bool)
        support[exact.columns] = True
        # A rough solution: the exact one, disturbed.
        w = exact.dense_coef(p) * rng.uniform(0.9, 1.0)
        r = y - X @ w
        correlations = X.T @ r
        parts = squared_parts(penalty, w, correlations, r @ r, y @ r)
        gone = squared_screen(penalty, parts, w, correlations, design.squares)
        assert not (gone & support).any()
        dropped += gone.sum()
    assert dropped > 200  # the rule is not vacuous


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_lasso_cv_agrees_with_scikit_learn(data, container):
    X, y = data
    alphas = np.geomspace(1.0, 0.02, 12)
    cv = KFold(4, shuffle=True, random_state=0)
    ours = ssl.LassoCV(alphas=alphas, cv=cv, tol=1e-11).fit(container(X), y)
    theirs = skl.LassoCV(alphas=alphas, cv=cv, tol=1e-11, max_iter=10**6).fit(X, y)
    assert ours.alpha_ == theirs.alpha_
    assert_allclose(ours.mse_path_, theirs.mse_path_, rtol=1e-6)
    assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-6)
    index = np.flatnonzero(ours.alphas_ == ours.alpha_)[0]
    assert_array_equal(ours.coef_path_[:, index], ours.coef_)
    assert ours.certificate_.satisfied


def test_weighted_lasso_cv_agrees_with_scikit_learn(data):
    X, y = data
    s = np.random.default_rng(0).uniform(0.2, 2.0, len(y))
    alphas = np.geomspace(1.0, 0.02, 8)
    ours = ssl.LassoCV(alphas=alphas, cv=3, tol=1e-11).fit(X, y, sample_weight=s)
    theirs = skl.LassoCV(alphas=alphas, cv=3, tol=1e-11, max_iter=10**6)
    theirs.fit(X, y, sample_weight=s)
    assert ours.alpha_ == theirs.alpha_
    assert_allclose(ours.mse_path_, theirs.mse_path_, rtol=1e-6)
    assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)


def test_elastic_net_cv_tries_every_ratio(data):
    X, y = data
    ratios = [0.3, 0.9]
    ours = ssl.ElasticNetCV(l1_ratio=ratios, alphas=8, cv=3, tol=1e-14).fit(X, y)
    theirs = skl.ElasticNetCV(
        l1_ratio=ratios, alphas=8, cv=3, tol=1e-14, max_iter=10**6
    ).fit(X, y)
    assert ours.mse_path_.shape == (2, 8, 3)
    # A gap of 1e-14 allows coefficients to differ by sqrt(2 gap / curvature) = 1e-5.
    assert_allclose(ours.mse_path_, theirs.mse_path_, rtol=1e-5)
    assert ours.l1_ratio_ == theirs.l1_ratio_
    assert_allclose(ours.alpha_, theirs.alpha_, rtol=1e-12)


@pytest.mark.parametrize("criterion", ["cv", "bic"])
def test_result_does_not_depend_on_n_jobs(data, criterion):
    X, y = data
    first, *others = [
        ssl.ElasticNetCV(
            l1_ratio=[0.5, 1.0], alphas=10, cv=3, criterion=criterion, n_jobs=n_jobs
        ).fit(X, y)
        for n_jobs in (1, 2, 3)
    ]
    for other in others:
        assert_array_equal(first.coef_, other.coef_)
        assert first.alpha_ == other.alpha_ and first.l1_ratio_ == other.l1_ratio_


def test_one_standard_error_rule_takes_the_largest_alpha_within_reach(data):
    X, y = data
    model = ssl.LassoCV(alphas=20, cv=5, one_se=True).fit(X, y)
    plain = ssl.LassoCV(alphas=20, cv=5).fit(X, y)
    mean = plain.mse_path_.mean(axis=1)
    best = mean.argmin()
    bar = mean[best] + plain.mse_path_[best].std(ddof=1) / np.sqrt(5)
    assert model.alpha_ == plain.alphas_[mean <= bar].max()
    assert model.alpha_ >= plain.alpha_
    assert plain.alpha_min_ == plain.alpha_ == model.alpha_min_
    assert plain.alpha_1se_ == model.alpha_1se_ == model.alpha_
    assert_allclose(plain.cv_mean_, mean)
    errors = plain.mse_path_.std(axis=1, ddof=1) / np.sqrt(5)
    assert_allclose(plain.cv_standard_error_, errors)
    table = np.array([[3.0, 3.2], [1.1, 1.3], [1.0, 1.2], [1.2, 1.6]])
    means, errors = mean_and_error(table, np.array([1.0, 3.0]))
    assert_allclose(means, [3.15, 1.25, 1.15, 1.5])
    assert_allclose(errors, [0.1, 0.1, 0.1, 0.2])
    assert_allclose(mean_and_error(table[:, :1])[1], 0.0)


def test_information_criteria_follow_their_formulas():
    rss, df = np.array([10.0, 0.0]), np.array([2.0, 3.0])
    n, p, scale = 50.0, 20, 40.0
    floored = np.array([10.0, 1e-14 * scale])
    base = n * np.log(floored / n)
    kwargs = {"n_effective": n, "n_features": p}
    aic = information_criterion("aic", rss, scale, df, **kwargs)
    bic = information_criterion("bic", rss, scale, df, **kwargs)
    ebic = information_criterion("ebic", rss, scale, df, **kwargs)
    assert_allclose(aic, base + 2 * df)
    assert_allclose(bic, base + np.log(n) * df)
    assert_allclose(ebic, bic + 2 * np.log(comb(p, df)), rtol=1e-12)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_bic_picks_the_minimum_and_counts_degrees_of_freedom(data, l1_ratio):
    X, y = data
    model = ssl.ElasticNetCV(
        l1_ratio=l1_ratio, criterion="bic", alphas=15, eps=1e-2, tol=1e-10
    )
    model.fit(X, y)
    A, t = X - X.mean(axis=0), y - y.mean()
    n = len(y)
    expected = []
    for k, alpha in enumerate(model.alphas_):
        w = model.coef_path_[:, k]
        S = A[:, w != 0]
        shift = n * alpha * (1 - l1_ratio) * np.eye(S.shape[1])
        df = np.trace(S @ np.linalg.solve(S.T @ S + shift, S.T)) if S.size else 0.0
        rss = ((t - A @ w) ** 2).sum()
        expected.append(n * np.log(rss / n) + np.log(n) * df)
    assert_allclose(model.criterion_path_, expected, rtol=1e-6)
    assert model.alpha_ == model.alphas_[np.argmin(expected)]


def test_groups_and_weights_route_through_a_search(data):
    import sklearn

    X, y = data
    groups = np.repeat(np.arange(6), 10)
    s = np.random.default_rng(0).uniform(0.5, 1.5, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        lasso = ssl.Lasso(tol=1e-8).set_fit_request(sample_weight=True)
        lasso.set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        search = GridSearchCV(
            make_pipeline(scaler, lasso),
            {"lasso__alpha": [0.01, 0.1]},
            cv=GroupKFold(3),
        )
        search.fit(X, y, sample_weight=s, groups=groups)
    assert search.best_params_["lasso__alpha"] in (0.01, 0.1)
    by_groups = ssl.LassoCV(alphas=5, cv=GroupKFold(3)).fit(X, y, groups=groups)
    assert by_groups.mse_path_.shape == (5, 3)


def test_feature_weights_shift_the_grid(data):
    X, y = data
    omega = np.full(X.shape[1], 2.0)
    omega[0] = 0.0
    model = ssl.LassoCV(alphas=10, cv=3, feature_weights=omega).fit(X, y)
    A, t = X - X.mean(axis=0), y - y.mean()
    rest = t - A[:, 0] * (A[:, 0] @ t) / (A[:, 0] @ A[:, 0])
    assert_allclose(
        model.alphas_[0], np.abs(A[:, 1:].T @ rest).max() / len(y) / 2, rtol=1e-10
    )
    assert np.count_nonzero(model.coef_path_[:, 0]) == 1
    assert model.coef_path_[0, 0] != 0


def test_constant_target_is_no_reason_to_fail(data):
    X, _ = data
    model = ssl.LassoCV(alphas=5, cv=3).fit(X, np.full(len(X), 2.0))
    assert not model.coef_.any() and model.intercept_ == 2.0


def test_ridge_has_no_automatic_grid(data):
    X, y = data
    with pytest.raises(ValueError, match="no automatic grid"):
        ssl.enet_path(X, y, l1_ratio=0.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"l1_ratio": 1.5}, "l1_ratio"),
        ({"alphas": [-1.0, 1.0]}, "alphas"),
        ({"coef_init": np.zeros(3)}, "coef_init"),
    ],
)
def test_bad_path_arguments_are_refused(data, arguments, words):
    with pytest.raises(ValueError, match=words):
        ssl.enet_path(*data, **arguments)


def test_objective_falls_along_the_solver(data):
    X, y = data
    alpha = 0.05
    values = [
        objective(X, y, ssl.Lasso(alpha, tol=tol).fit(X, y).coef_, alpha)
        for tol in (1e-1, 1e-3, 1e-6, 1e-12)
    ]
    assert all(b <= a + 1e-12 for a, b in pairwise(values))


# Folds


@pytest.mark.parametrize(
    "cv, what",
    [
        ([], "no fold"),
        ([(np.arange(40), np.arange(0))], "no test samples"),
        ([(np.arange(0), np.arange(40))], "no training samples"),
        ([(np.arange(20), np.arange(20, 40))], "no test samples"),
    ],
)
@pytest.mark.parametrize(
    "model",
    [
        ssl.LassoCV(alphas=4),
        ssl.SlopeCV(alphas=4),
        ssl.SparsePoissonRegressorCV(alphas=4),
        ssl.BestSubsetRegressor(criterion="cv"),
        ssl.RandomSupportRegressor(criterion="cv", n_draws=1, alphas=3),
    ],
)
def test_folds_without_rows_are_refused(model, cv, what):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    weights = np.repeat([1.0, 0.0], 20) if what == "no test samples" else None
    with pytest.raises(ValueError, match=what):
        model.set_params(cv=cv).fit(X, np.abs(X[:, 0]), sample_weight=weights)


# Paths of classes and of instances


@pytest.mark.parametrize(
    "model",
    [
        ssl.Lasso(tol=1e-10),
        ssl.ElasticNet(l1_ratio=0.7, tol=1e-10, positive=True),
        ssl.MCPRegressor(gamma=5.0, tol=1e-8),
        ssl.SCADRegressor(a=4.0, tol=1e-8),
        ssl.GroupLasso(2, tol=1e-10),
        ssl.Slope(q=0.3, tol=1e-10),
        ssl.MultiTaskLasso(tol=1e-10),
        ssl.SparseHuberRegressor(delta=1.0, tol=1e-8),
        ssl.LassoCV(tol=1e-10),
        ssl.SparsePoissonRegressorCV(tol=1e-8),
    ],
)
def test_an_instance_keeps_its_settings_on_its_path(model):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((60, 6)) + 3.0
    y = np.abs(X[:, 0] + 10 + rng.standard_normal(60))
    y = np.column_stack([y, X[:, 1]]) if "MultiTask" in repr(model) else y
    path = model.path(X, y, alphas=5, eps=0.05)
    alphas, coefs, gaps = path  # unpacks into three
    assert coefs.shape[-1] == gaps.shape[0] == path.intercepts.shape[-1] == 5
    assert not hasattr(model, "coef_")
    again = pickle.loads(pickle.dumps(path))
    assert_array_equal(again.intercepts, path.intercepts)
    assert again.kind == path.kind
    if hasattr(model, "alpha"):
        single = clone(model).set_params(alpha=alphas[3]).fit(X, y)
        assert_allclose(coefs[..., 3], single.coef_, atol=1e-5)
        assert_allclose(path.intercepts[..., 3], single.intercept_, atol=1e-4)
        assert path.kind == single.certificate_.kind


def test_a_class_offers_a_function_and_old_names_warn():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((60, 6))
    y = X[:, 0] + 10 + rng.standard_normal(60)
    assert ssl.Lasso.path is ssl.lasso_path
    counts = rng.poisson(1.0, 60)
    path = ssl.SparsePoissonRegressor.path(X, counts, alphas=4, tol=1e-8)
    same = ssl.SparsePoissonRegressor(tol=1e-8).path(X, counts, alphas=4)
    assert_array_equal(path.coefs, same.coefs)
    lasso = ssl.lasso_path(X, y, alphas=4, fit_intercept=True)
    assert_allclose(lasso.intercepts[0], y.mean())
    for name in ("dual_gaps", "kkt_residuals", "values"):
        with pytest.warns(FutureWarning, match=name):
            assert_array_equal(getattr(lasso, name), lasso.gaps)
    with pytest.raises(AttributeError, match="nonsense"):
        lasso.nonsense  # noqa: B018
    with pytest.raises(ValueError, match="l1_ratio"):
        ssl.ElasticNetCV(l1_ratio=[0.5, 1.0]).path(X, y)


def test_intercepts_of_a_cross_validated_path_are_stored():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((60, 4))
    y = X[:, 0] + 5 + rng.standard_normal(60)
    model = ssl.LassoCV(alphas=6, tol=1e-10).fit(X, y)
    at = int(np.flatnonzero(model.alphas_ == model.alpha_)[0])
    assert model.intercept_path_.shape == (6,)
    assert_allclose(model.intercept_path_[at], model.intercept_)
    assert_allclose(model.intercept_path_[0], y.mean())


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
def test_a_path_may_end_where_nothing_more_is_explained(storage):
    rng = np.random.default_rng(11)
    X = rng.standard_normal((60, 8))
    y = X[:, 0] - X[:, 1] + 0.3 * rng.standard_normal(60)
    X = storage(X)
    options = {"alphas": 60, "fit_intercept": True, "tol": 1e-9}
    whole = ssl.lasso_path(X, y, **options)
    short = ssl.lasso_path(X, y, stop_explained=True, **options)
    k = len(short.alphas)
    residuals = y[:, None] - X @ whole.coefs - whole.intercepts
    shares = 1.0 - (residuals**2).sum(axis=0) / ((y - y.mean()) ** 2).sum()
    gains = np.diff(shares) / shares[1:]
    assert 5 < k < 60
    assert gains[k - 2] < 1e-5 and (gains[4 : k - 2] >= 1e-5).all()
    assert shares[k - 1] < 0.999
    assert_allclose(short.coefs, whole.coefs[:, :k])
    # Without noise the share ends it.
    exact = ssl.lasso_path(X, X @ np.arange(8.0), stop_explained=True, **options)
    residuals = X @ np.arange(8.0)[:, None] - X @ exact.coefs - exact.intercepts
    left = residuals.var(axis=0) / (X @ np.arange(8.0)).var()
    assert left[-1] < 1e-3 <= left[-2]


def test_grids_of_all_folds_and_ratios_end_together():
    rng = np.random.default_rng(12)
    X = rng.standard_normal((80, 6))
    y = X[:, 0] + 0.3 * rng.standard_normal(80)
    options = {"l1_ratio": [0.5, 1.0], "alphas": 50, "cv": 4, "tol": 1e-8}
    whole = ssl.ElasticNetCV(**options).fit(X, y)
    short = ssl.ElasticNetCV(stop_explained=True, **options).fit(X, y)
    k = short.alphas_.shape[1]
    assert 5 < k < 50
    assert_allclose(short.alphas_, whole.alphas_[:, :k])
    assert_allclose(short.mse_path_, whole.mse_path_[:, :k])
    assert short.coef_path_.shape == (6, k)
    path = short.set_params(l1_ratio=1.0).path(X, y, alphas=50)
    assert len(path.alphas) <= k
    criterion = ssl.LassoCV(criterion="bic", stop_explained=True).fit(X, y)
    assert len(criterion.criterion_path_) == len(criterion.alphas_) < 100


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_that_are_told_apart_end_a_path(n_classes):
    rng = np.random.default_rng(13)
    X = rng.standard_normal((90, 3))
    y = np.digitize(X[:, 0], [0.0] if n_classes == 2 else [-0.5, 0.5])
    options = {"alphas": 30, "eps": 1e-6, "cv": 3, "tol": 1e-4}
    whole = ssl.SparseLogisticRegressionCV(**options).fit(X, y)
    short = ssl.SparseLogisticRegressionCV(stop_explained=True, **options).fit(X, y)
    k = len(short.alphas_)
    assert 5 <= k < 30
    assert_allclose(short.alphas_, whole.alphas_[:k])
    chances = short.predict_proba(X)[np.arange(90), y]
    assert k == 5 or np.log(chances).mean() > -0.5


def test_only_automatic_grids_of_one_target_end_early():
    rng = np.random.default_rng(14)
    X, y = rng.standard_normal((30, 3)), rng.standard_normal(30)
    with pytest.raises(ValueError, match="automatic grids"):
        ssl.LassoCV(alphas=[1.0, 0.1], stop_explained=True).fit(X, y)
    with pytest.raises(ValueError, match="automatic grids"):
        ssl.lasso_path(X, y, alphas=[1.0, 0.1], stop_explained=True)
    with pytest.raises(ValueError, match="one target"):
        ssl.LassoCV(stop_explained=True).fit(X, np.column_stack([y, -y]))
