"""Sparse likelihood models against KKT conditions, cvxpy and invariants."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_iris, make_blobs

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.linear_model import (
    PenalizedRegressor,
    SparseHuberRegressor,
    SparseHuberRegressorCV,
    SparseLogisticRegression,
    SparseLogisticRegressionCV,
    SparsePoissonRegressor,
    SparsePoissonRegressorCV,
)
from sparsestat.linear_model._penalized import _design
from tests.linear_model.glm_oracles import (
    logistic_gap,
    loss_terms,
    softmax_terms,
    violation,
)

KINDS = ["logistic", "poisson", "huber"]
ESTIMATORS = {
    "logistic": SparseLogisticRegression,
    "poisson": SparsePoissonRegressor,
    "huber": SparseHuberRegressor,
}


def problem(kind, n=60, p=90, seed=0, density=None):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * rng.uniform(0.5, 1.5, p) + 0.2
    if density is not None:
        X *= rng.random((n, p)) < density
    w = np.zeros(p)
    w[:5] = [1.0, -1.0, 0.7, -0.7, 0.5]
    eta = X @ w
    if kind == "logistic":
        y = (eta + rng.logistic(size=n) > 0).astype(float)
    elif kind == "poisson":
        y = rng.poisson(np.exp(0.4 * eta)).astype(float)
    elif kind == "multinomial":
        scores = X[:, :12] @ rng.standard_normal((12, 4)) + rng.gumbel(size=(n, 4))
        y = scores.argmax(axis=1)
    else:
        y = eta + rng.standard_t(1.5, size=n)
    return X, y


def gradient(kind, X, y, w, b):
    return X.T @ loss_terms(kind, X @ w + b, y)[1] / len(y)


def null_intercept(kind, X, y):
    model = ESTIMATORS[kind](alpha=1e6, tol=1e-12).fit(X, y)
    return float(np.squeeze(model.intercept_))


def largest_alpha(kind, X, y):
    b = null_intercept(kind, X, y)
    return np.abs(gradient(kind, X, y, np.zeros(X.shape[1]), b)).max()


def fitted(kind, X, y, share, **options):
    alpha = share * largest_alpha(kind, np.asarray(X), y)
    options.setdefault("tol", 1e-10 if kind == "huber" else 1e-14)
    return ESTIMATORS[kind](alpha=alpha, **options).fit(X, y)


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_max_gives_zero_and_just_below_one_nonzero(kind, global_random_seed):
    X, y = problem(kind, seed=global_random_seed)
    top = largest_alpha(kind, X, y)
    assert not ESTIMATORS[kind](alpha=top * (1 + 1e-9)).fit(X, y).coef_.any()
    below = ESTIMATORS[kind](alpha=0.999 * top, tol=1e-12).fit(X, y)
    assert np.count_nonzero(below.coef_) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.5, 0.1, 0.03])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.6])
def test_solution_satisfies_kkt(kind, share, l1_ratio, global_random_seed):
    X, y = problem(kind, seed=global_random_seed)
    model = fitted(kind, X, y, share, l1_ratio=l1_ratio)
    w, b = np.ravel(model.coef_), float(np.squeeze(model.intercept_))
    G = gradient(kind, X, y, w, b)
    assert violation(w, G, model.alpha, l1_ratio) <= 1e-7 * model.alpha
    assert abs(loss_terms(kind, X @ w + b, y)[1].sum()) <= 1e-9 * len(y)


@pytest.mark.parametrize("shape", [{}, {"l1_ratio": 0.5}, {"fit_intercept": False}])
@pytest.mark.parametrize("kind", KINDS)
def test_objective_agrees_with_cvxpy(kind, shape):
    cp = pytest.importorskip("cvxpy")
    X, y = problem(kind, n=40, p=50, seed=3)
    alpha = 0.1 * largest_alpha(kind, X, y)
    model = ESTIMATORS[kind](alpha=alpha, tol=1e-10, **shape).fit(X, y)
    rho = shape.get("l1_ratio", 1.0)
    w = cp.Variable(50)
    b = cp.Variable() if shape.get("fit_intercept", True) else 0.0
    eta = X @ w + b
    if kind == "logistic":
        loss = cp.sum(cp.logistic(eta)) - y @ eta
    elif kind == "poisson":
        loss = cp.sum(cp.exp(eta)) - y @ eta
    else:
        loss = cp.sum(cp.huber(eta - y, 1.35)) / 2
    penalty = rho * cp.norm1(w) + (1 - rho) / 2 * cp.sum_squares(w)
    task = cp.Problem(cp.Minimize(loss / len(y) + alpha * penalty))
    options = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-11)
    expected = task.solve(solver="CLARABEL", **options)
    assert_allclose(model.objective_, expected, rtol=1e-8)


def cvxpy_softmax(X, y, alpha, norm):
    cp = pytest.importorskip("cvxpy")
    n, p, K = len(y), X.shape[1], y.max() + 1
    W, b = cp.Variable((p, K)), cp.Variable((1, K))
    eta = X @ W + np.ones((n, 1)) @ b
    loss = cp.sum(cp.log_sum_exp(eta, axis=1)) - cp.sum(cp.multiply(np.eye(K)[y], eta))
    penalty = cp.sum(cp.abs(W)) if norm == "l1" else cp.sum(cp.norm(W, 2, axis=1))
    task = cp.Problem(cp.Minimize(loss / n + alpha * penalty))
    options = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-11)
    return task.solve(solver="CLARABEL", **options)


@pytest.mark.parametrize("norm", ["l1", "rows"])
def test_multinomial_objective_agrees_with_cvxpy(norm):
    X, y = problem("multinomial", n=40, p=12, seed=1)
    alpha = 0.03
    model = SparseLogisticRegression(alpha, row_sparse=norm == "rows", tol=1e-12)
    model.fit(X, y)
    assert_allclose(model.objective_, cvxpy_softmax(X, y, alpha, norm), rtol=1e-8)
    value, _ = softmax_terms(X @ model.coef_.T + model.intercept_, y)
    size = np.abs(model.coef_) if norm == "l1" else np.sqrt((model.coef_**2).sum(0))
    assert_allclose(model.objective_, value.mean() + alpha * size.sum(), rtol=1e-12)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_multinomial_solution_satisfies_kkt(container, l1_ratio, global_random_seed):
    X, y = problem("multinomial", seed=global_random_seed)
    model = SparseLogisticRegression(0.02, l1_ratio=l1_ratio, tol=1e-13)
    model.fit(container(X), y)
    _, R = softmax_terms(X @ model.coef_.T + model.intercept_, y)
    G = (X.T @ R / len(y)).T
    assert violation(model.coef_, G, 0.02, l1_ratio) <= 1e-8
    assert np.abs(R.sum(axis=0)).max() <= 1e-10
    assert_allclose(model.intercept_.sum(), 0, atol=1e-12)


@pytest.mark.parametrize("y_kind", ["logistic", "multinomial"])
def test_groups_agree_with_cvxpy(y_kind):
    cp = pytest.importorskip("cvxpy")
    X, y = problem(y_kind, n=40, p=12, seed=2)
    y = y.astype(int)
    groups = [[0, 5, 7], [1, 2], [3, 4, 6, 8, 9, 10], [11]]
    alpha = 0.09 if y_kind == "logistic" else 0.15
    model = SparseLogisticRegression(alpha, penalty="group", groups=groups, tol=1e-12)
    model.fit(X, y)
    n, K = len(y), (1 if y_kind == "logistic" else y.max() + 1)
    W, b = cp.Variable((12, K)), cp.Variable((1, K))
    eta = X @ W + np.ones((n, 1)) @ b
    if K == 1:
        loss = cp.sum(cp.logistic(eta)) - y @ eta[:, 0]
    else:
        chosen = cp.sum(cp.multiply(np.eye(K)[y], eta))
        loss = cp.sum(cp.log_sum_exp(eta, axis=1)) - chosen
    penalty = sum(np.sqrt(len(g)) * cp.norm(W[g], "fro") for g in groups)
    task = cp.Problem(cp.Minimize(loss / n + alpha * penalty))
    options = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-11)
    expected = task.solve(solver="CLARABEL", **options)
    assert_allclose(model.objective_, expected, rtol=1e-8)
    used = [bool(model.coef_[:, g].any()) for g in groups]
    assert not all(used) and any(used)
    assert model.certificate_.satisfied


@pytest.mark.parametrize("classes", [2, 3])
def test_large_gamma_makes_the_mcp_the_absolute_value(classes):
    kind = "logistic" if classes == 2 else "multinomial"
    X, y = problem(kind)
    plain = SparseLogisticRegression(0.05, tol=1e-12).fit(X, y)
    wide = SparseLogisticRegression(0.05, penalty="mcp", gamma=1e8, tol=1e-10)
    assert_allclose(wide.fit(X, y).coef_, plain.coef_, atol=1e-6)


@pytest.mark.parametrize("kind", ["logistic", "multinomial"])
def test_mcp_is_stationary_and_unshrunk(kind):
    X, y = problem(kind, n=150, p=30)
    alpha, gamma = 0.12, 3.0
    model = SparseLogisticRegression(alpha, penalty="mcp", gamma=gamma, tol=1e-10)
    model.fit(X, y)
    W = model.coef_
    if kind == "logistic":
        R = loss_terms(kind, X @ W[0] + model.intercept_[0], y)[1][:, None]
    else:
        _, R = softmax_terms(X @ W.T + model.intercept_, y)
    G = (X.T @ R / len(y)).T
    kappa = X.var(axis=0) / 4 / gamma
    slope = np.maximum(alpha - kappa * np.abs(W), 0) * np.sign(W)
    off = np.where(W != 0, np.abs(G + slope), np.maximum(np.abs(G) - alpha, 0))
    assert off.max() <= 1e-9
    assert model.certificate_.kind == "kkt" and not hasattr(model, "dual_gap_")
    assert 0 < np.count_nonzero(W) < W.size


def test_certificate_is_the_gap_measured_outside():
    X, y = problem("logistic")
    for tol in (1e-2, 1e-4, 1e-8):
        for l1_ratio in (1.0, 0.7):
            model = SparseLogisticRegression(0.03, l1_ratio=l1_ratio, tol=tol).fit(X, y)
            gap = logistic_gap(
                X, y, model.coef_[0], model.intercept_[0], 0.03, l1_ratio
            )
            assert gap <= tol
            assert_allclose(model.certificate_.value, gap, atol=1e-12)
            assert model.certificate_.kind == "duality_gap"


@pytest.mark.parametrize("kind", [*KINDS, "multinomial"])
def test_dense_and_sparse_agree(kind, monkeypatch):
    X, y = problem(kind, density=0.3)
    cls = ESTIMATORS.get(kind, SparseLogisticRegression)
    dense = cls(alpha=0.02, tol=1e-13).fit(X, y)
    messy = sparse.csc_array(X)
    messy.indices = messy.indices.astype(np.int64)
    messy.indptr = messy.indptr.astype(np.int64)
    assert_allclose(
        cls(alpha=0.02, tol=1e-13).fit(messy, y).coef_, dense.coef_, atol=1e-8
    )
    # Columns that are too empty to be gathered take another way.
    monkeypatch.setattr(_design, "_FULL_COLUMNS", 2.0)
    lean = cls(alpha=0.02, tol=1e-12).fit(sparse.csr_array(X), y)
    assert_allclose(lean.coef_, dense.coef_, atol=1e-7)
    assert_allclose(lean.intercept_, dense.intercept_, atol=1e-7)
    assert lean.certificate_.satisfied


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("kind", [*KINDS, "multinomial", "rows", "mcp"])
def test_integer_weights_are_repetitions(kind, container):
    X, y = problem({"rows": "multinomial", "mcp": "logistic"}.get(kind, kind))
    rng = np.random.default_rng(5)
    weights = rng.integers(0, 4, len(y))
    rows = np.repeat(np.arange(len(y)), weights)
    cls = ESTIMATORS.get(kind, SparseLogisticRegression)
    options = {"rows": {"row_sparse": True}, "mcp": {"penalty": "mcp"}}.get(kind, {})
    a = cls(alpha=0.08, tol=1e-12, **options)
    a.fit(container(X), y, sample_weight=weights)
    b = cls(alpha=0.08, tol=1e-12, **options).fit(container(X[rows]), y[rows])
    assert_allclose(a.coef_, b.coef_, atol=1e-9)
    assert_allclose(a.intercept_, b.intercept_, atol=1e-9)
    assert_allclose(a.objective_, b.objective_, rtol=1e-10)


def test_columns_may_be_permuted():
    for kind in ("logistic", "multinomial", "poisson"):
        X, y = problem(kind)
        cls = ESTIMATORS.get(kind, SparseLogisticRegression)
        order = np.random.default_rng(0).permutation(X.shape[1])
        a = cls(alpha=0.05, tol=1e-13).fit(X, y)
        b = cls(alpha=0.05, tol=1e-13).fit(X[:, order], y)
        assert_allclose(b.coef_, a.coef_[..., order], atol=1e-7)


def test_screening_never_discards_a_feature_of_the_optimal_support():
    from sparsestat.linear_model._penalized._datafits import Logistic
    from sparsestat.linear_model._penalized._design import make_design
    from sparsestat.linear_model._penalized._newton import GLMSolver
    from sparsestat.linear_model._penalized._penalties import ElasticNetPenalty

    screened = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((25, 30))
        y = (X[:, 0] + rng.standard_normal(25) > 0).astype(float)
        if y.min() == y.max():
            continue
        design = make_design(X, None, fit_intercept=True)
        norms = 0.5 * np.sqrt(design.squares)
        optimum = GLMSolver(design, Logistic(y))
        top = optimum.kkt_scale
        alpha = rng.uniform(0.2, 0.9) * top
        penalty = ElasticNetPenalty(alpha / 25, 1.0, 30, 25)
        support = optimum.solve(penalty, kind="duality_gap", tol=1e-13).columns
        rough = GLMSolver(design, Logistic(y), norms=norms)
        rough.solve(penalty, kind="duality_gap", tol=10.0 ** -rng.integers(1, 4))
        value, dual, _ = rough._measure(penalty)
        gone = rough._gone(penalty, value - dual)
        screened += np.count_nonzero(gone)
        assert not gone[support].any()
    assert screened > 500


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("options", [{}, {"row_sparse": True}, {"l1_ratio": 0.3}])
def test_separable_classes_leave_finite_coefficients(n_classes, options):
    X, y = make_blobs(60, 5, centers=n_classes, cluster_std=0.1, random_state=0)
    model = SparseLogisticRegression(1e-6, tol=1e-6, **options).fit(X, y)
    assert np.isfinite(model.coef_).all() and model.certificate_.satisfied
    assert model.score(X, y) == 1.0
    assert np.isfinite(model.predict_log_proba(X)).all()


def test_separable_classes_make_the_mcp_warn():
    X, y = make_blobs(60, 5, centers=2, cluster_std=0.1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.warns(UserWarning, match="separates the classes"):
            model = SparseLogisticRegression(1e-4, penalty="mcp", max_iter=20)
            model.fit(X, y)
    assert np.isfinite(model.coef_).all()


@pytest.mark.parametrize("penalty", ["mcp", "scad"])
def test_only_classes_and_bounded_penalties_are_told_of_separation(penalty):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4))
    t = 3.0 * X[:, 0] - 2.0 * X[:, 1]
    y = t + 0.001 * rng.standard_normal(60)
    # A ridge leaves finite coefficients, and squares have them without, however little
    # of the loss is left.
    models = [
        (SparseHuberRegressor(1e-3, penalty=penalty), y),
        (PenalizedRegressor(penalty=penalty, l1_ratio=0.99, alpha=1e-3), y),
        (SparseLogisticRegression(1e-7, penalty=penalty, l1_ratio=0.5), t > 0),
    ]
    for model, target in models:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, target)
        null = np.var(y) / 2 if target is y else np.log(2.0)
        assert model.objective_ < 1e-3 * null
    # Several classes, where they lie far apart.
    X, y = make_blobs(60, 5, centers=3, cluster_std=0.1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.warns(UserWarning, match="separates the classes"):
            SparseLogisticRegression(1e-5, penalty=penalty, max_iter=20).fit(X, y)


def test_labels_of_any_type_come_back():
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]
    codes = SparseLogisticRegression(0.01).fit(X, y)
    words = SparseLogisticRegression(0.01).fit(X, names)
    assert_array_equal(words.classes_, ["setosa", "versicolor", "virginica"])
    assert_array_equal(words.predict(X), names[codes.predict(X) * 50])
    assert_allclose(words.predict_proba(X).sum(axis=1), 1.0)
    two = SparseLogisticRegression(0.01).fit(X[:100], names[:100])
    assert two.coef_.shape == (1, 4) and set(two.predict(X[:100])) <= set(names[:100])


def test_class_weight_is_a_sample_weight():
    X, y = problem("multinomial")
    counts = np.bincount(y)
    factors = len(y) / (len(counts) * counts)
    a = SparseLogisticRegression(0.03, class_weight="balanced", tol=1e-10).fit(X, y)
    b = SparseLogisticRegression(0.03, tol=1e-10).fit(X, y, sample_weight=factors[y])
    assert_allclose(a.coef_, b.coef_, atol=1e-8)


def test_bad_targets_are_refused_kindly():
    X, y = problem("logistic")
    with pytest.raises(ValueError, match="at least 2 classes, but y holds 1 class"):
        SparseLogisticRegression().fit(X, np.full(len(y), "only"))
    with pytest.raises(ValueError, match="of positive weight"):
        SparseLogisticRegression().fit(X, y, sample_weight=y)
    with pytest.raises(ValueError, match="must not be negative, got -1 at position 3"):
        SparsePoissonRegressor().fit(X, np.where(np.arange(60) == 3, -1.0, 1.0))
    with pytest.raises(ValueError, match="infinity"):
        SparsePoissonRegressor().fit(X, np.where(np.arange(60) == 3, np.inf, 1.0))
    with pytest.raises(ValueError, match=r"All counts in y .* are zero"):
        SparsePoissonRegressor().fit(X, np.zeros(60))
    with pytest.raises(ValueError, match="needs `groups`"):
        SparseLogisticRegression(penalty="group").fit(X, y)
    with pytest.raises(ValueError, match="more than once"):
        groups = [[0, 1], [2, 2]]
        SparseLogisticRegression(penalty="group", groups=groups).fit(X[:, :3], y)
    with pytest.raises(ValueError, match="row_sparse=True goes with"):
        SparseLogisticRegression(penalty="mcp", row_sparse=True).fit(X, y)
    with pytest.warns(UserWarning, match="alpha=0 leaves"):
        SparsePoissonRegressor(alpha=0.0).fit(X[:, :3], np.arange(60) % 4)


def test_hitting_the_limit_warns_once_with_the_figure():
    X, y = problem("logistic")
    with pytest.warns(ConvergenceWarning) as caught:
        model = SparseLogisticRegression(1e-3, max_iter=1).fit(X, y)
    assert len(caught) == 1
    assert f"{model.certificate_.value:.3e}" in str(caught[0].message)
    assert not model.certificate_.satisfied


def test_columns_of_zeros_and_constants_are_left_out():
    for kind in ("logistic", "multinomial", "poisson", "huber"):
        X, y = problem(kind)
        X = np.hstack([X, np.zeros((60, 1)), np.full((60, 1), 7.0)])
        cls = ESTIMATORS.get(kind, SparseLogisticRegression)
        for data in (X, sparse.csc_array(X)):
            model = cls(alpha=0.02).fit(data, y)
            assert not model.coef_[..., -2:].any() and model.coef_.any()


def test_single_precision_is_close_and_kept():
    for kind in ("logistic", "multinomial", "poisson", "huber"):
        X, y = problem(kind)
        cls = ESTIMATORS.get(kind, SparseLogisticRegression)
        a = cls(alpha=0.05, tol=1e-9).fit(X, y)
        b = cls(alpha=0.05, tol=1e-9).fit(X.astype(np.float32), y)
        assert b.coef_.dtype == np.float32 and b.intercept_.dtype == np.float32
        assert_allclose(a.coef_, b.coef_, atol=1e-4)


def test_warm_start_stops_at_once_and_adapts_to_another_problem():
    X, y = problem("multinomial")
    model = SparseLogisticRegression(0.02, tol=1e-6, warm_start=True).fit(X, y)
    cold = model.n_iter_
    assert model.fit(X, y).n_iter_ <= 2 < cold
    model.fit(X[:, :10], (y > 1).astype(int))
    assert model.coef_.shape == (1, 10) and model.certificate_.satisfied


@pytest.mark.parametrize("kind", [*KINDS, "multinomial"])
def test_path_points_are_the_single_fits(kind):
    X, y = problem(kind)
    cls = ESTIMATORS.get(kind, SparseLogisticRegression)
    estimator = cls(tol=1e-12)
    path = estimator.path(X, y, alphas=6, eps=0.05)
    assert not hasattr(estimator, "coef_") and not hasattr(estimator, "n_features_in_")
    assert not path.coefs[..., 0].any() and (np.diff(path.alphas) < 0).all()
    assert path.gaps.max() <= 1e-12
    for k in (2, 5):
        single = cls(alpha=path.alphas[k], tol=1e-12).fit(X, y)
        shown = path.coefs[..., k]
        assert_allclose(shown, single.coef_.reshape(shown.shape), atol=1e-6)
        assert_allclose(
            path.intercepts[..., k], np.squeeze(single.intercept_), atol=1e-6
        )


CVS = {
    "logistic": SparseLogisticRegressionCV,
    "multinomial": SparseLogisticRegressionCV,
    "poisson": SparsePoissonRegressorCV,
    "huber": SparseHuberRegressorCV,
}


@pytest.mark.parametrize("kind", CVS)
def test_cross_validation_chooses_the_least_loss_whatever_n_jobs(kind):
    X, y = problem(kind)
    one = CVS[kind](alphas=8, eps=0.05, cv=3).fit(X, y)
    two = CVS[kind](alphas=8, eps=0.05, cv=3, n_jobs=2).fit(X, y)
    assert_array_equal(one.coef_path_, two.coef_path_)
    assert_array_equal(one.loss_path_, two.loss_path_)
    best = int(np.argmin(one.loss_path_.mean(axis=1)))
    assert one.alpha_ == one.alphas_[best]
    assert one.coef_path_.shape[-1] == 8 and one.loss_path_.shape == (8, 3)
    shown = one.coef_path_[..., best]
    assert_array_equal(one.coef_.reshape(shown.shape), shown)
    sparser = CVS[kind](alphas=8, eps=0.05, cv=3, one_se=True).fit(X, y)
    assert sparser.alpha_ >= one.alpha_


def test_held_out_loss_is_that_of_a_fit_on_the_rest():
    X, y = problem("multinomial")
    test = np.arange(0, 60, 3)
    train = np.setdiff1d(np.arange(60), test)
    model = SparseLogisticRegressionCV(alphas=[0.05], cv=[(train, test)], tol=1e-12)
    model.fit(X, y)
    single = SparseLogisticRegression(0.05, tol=1e-12).fit(X[train], y[train])
    P = single.predict_proba(X[test])
    expected = -np.log(P[np.arange(len(test)), y[test]]).mean()
    assert_allclose(model.loss_path_, [[expected]], rtol=1e-6)


def test_several_ratios_and_string_labels_in_cross_validation():
    X, y = problem("multinomial")
    labels = np.array(["a", "b", "c", "d"])[y]
    model = SparseLogisticRegressionCV(l1_ratio=[0.5, 1.0], alphas=5, cv=3)
    model.fit(X, labels)
    assert model.l1_ratio_ in (0.5, 1.0) and model.alphas_.shape == (2, 5)
    assert model.loss_path_.shape == (2, 5, 3)
    assert set(model.predict(X)) <= set(labels)


def test_a_class_that_a_fold_lacks_costs_but_does_not_fail():
    X, y = problem("multinomial")
    train, test = np.flatnonzero(y != 3), np.flatnonzero(y == 3)
    with pytest.warns(UserWarning, match="training samples of fold 0 lack class"):
        model = SparseLogisticRegressionCV(alphas=[0.1], cv=[(train, test)]).fit(X, y)
    assert_allclose(model.loss_path_, -np.log(1e-15))


def test_sparse_input_is_never_made_dense():
    import tracemalloc

    rng = np.random.default_rng(0)
    n, p = 2000, 20_000
    X = sparse.random_array((n, p), density=1e-3, rng=rng, format="csc")
    w = np.zeros(p)
    w[:50] = 3.0
    y = (X @ w + 0.1 * rng.standard_normal(n) > 0.02).astype(int)
    tracemalloc.start()
    SparseLogisticRegression(2e-3).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.05 * 8 * n * p


@pytest.mark.parametrize("kind", ["poisson", "multinomial"])
def test_paths_can_be_drawn(kind):
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    from sparsestat.plotting import RegularizationPathDisplay

    X, y = problem(kind)
    model = CVS[kind](alphas=6, eps=0.1, cv=3).fit(X, y)
    display = RegularizationPathDisplay.from_estimator(model)
    ever = model.coef_path_.reshape(-1, X.shape[1], 6).any(axis=(0, 2))
    assert len(display.lines_) == ever.sum()
    assert display.cv_ax_.get_ylabel() == "loss, held out"
    plt.close(display.figure_)


@pytest.mark.parametrize("scale", [1e3, 1e8])
def test_huber_converges_where_targets_are_far_from_its_knots(scale):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 10))
    y = scale * (X[:, :3] @ [1.0, -2.0, 1.5] + 0.1 * rng.standard_normal(60))
    model = SparseHuberRegressor(alpha=0.05, max_iter=20).fit(X, y)
    assert model.certificate_.satisfied
    assert model.score(X, y) > 0.95


def rare_class(seed, n=60, p=8):
    """Two common classes and one of four samples, which a plane separates."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    y = np.r_[np.zeros(30), np.ones(26), np.full(4, 2)].astype(int)
    X[:, 0] += y
    return X, y


def near_copies(seed, n=120, p=10, n_classes=5):
    """Columns of correlation .99 that almost separate the classes."""
    rng = np.random.default_rng(seed)
    X = np.sqrt(0.99) * rng.standard_normal((n, 1)) + 0.1 * rng.standard_normal((n, p))
    W = rng.standard_normal((p, n_classes)) * (rng.random((p, n_classes)) < 0.3)
    return X, np.argmax(2.0 * X @ W + rng.gumbel(size=(n, n_classes)), axis=1)


@pytest.mark.parametrize("make", [rare_class, near_copies])
@pytest.mark.parametrize("options", [{}, {"positive": True}, {"penalty": "mcp"}])
def test_small_strengths_of_nearly_separable_classes_converge(make, options):
    # The steps of the intercepts counted as coefficients that come and go, and those
    # that were projected on the signs were useless: sweeps alone crept.
    for seed in (0, 3, 10):
        X, y = make(seed)
        model = SparseLogisticRegression(tol=1e-6, **options)
        path = model.path(X, y, alphas=6, eps=1e-4)
        assert max(path.gaps) <= 1e-6
        last = SparseLogisticRegression(float(path.alphas[-1]), tol=1e-6, **options)
        last.fit(X, y)
        assert last.certificate_.satisfied
        assert last.n_epochs_ <= 1000


def test_objective_of_a_rare_class_agrees_with_cvxpy():
    X, y = rare_class(0)
    alpha = 2.6e-4
    model = SparseLogisticRegression(alpha, tol=1e-10).fit(X, y)
    assert_allclose(model.objective_, cvxpy_softmax(X, y, alpha, "l1"), rtol=1e-7)
