"""Supervised dictionaries: convex relaxations, brute force, monotone steps."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import nnls
from scipy.special import expit
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sparsestat.decomposition import SupervisedDictionaryLearning
from sparsestat.decomposition._low_rank import _supervised as lifted
from sparsestat.exceptions import ConvergenceWarning


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def semisynthetic(rng, n=120, p=30, r=2, noise=0.05, q=2):
    """Return samples, labels and covariates of the published generator."""
    W = rng.uniform(-1, 1, (r, p))
    W /= np.abs(W).sum(axis=1, keepdims=True)
    H = rng.random((n, r))
    H[:, :2] *= 10
    X = H @ W
    score = X @ (2 * W[0] - 2 * W[1])
    Z = rng.standard_normal((n, q))
    logit = 4 * (score - score.mean()) / score.std() + Z @ np.ones(q)
    y = (rng.random(n) < expit(logit)).astype(int)
    return X + noise * X.std() * rng.standard_normal(X.shape), y, Z


def objective(model, X, y, Z, W, H, beta, weights=None):
    """Return the objective of given factors, written out."""
    Z1 = np.column_stack([np.ones(len(X)), Z])
    gamma = np.column_stack([model.intercept_, model.covariate_coef_]).T
    A = W.T @ beta.T if model.mode == "filter" else H @ beta.T
    z = (X @ A if model.mode == "filter" else A) + Z1 @ gamma
    z = np.column_stack([np.zeros(len(X)), z])
    picked = z[np.arange(len(X)), np.searchsorted(model.classes_, y)]
    loss = np.log(np.exp(z).sum(axis=1)) - picked
    loss = loss.sum() if weights is None else weights @ loss
    ridge = (A**2).sum() + (gamma**2).sum()
    return loss + model.xi * ((X - H @ W) ** 2).sum() + model.nu * ridge


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("mode", ["filter", "feature"])
@pytest.mark.parametrize("solver", ["lpgd", "bcd"])
def test_the_objective_never_rises_and_is_that_of_the_factors(
    solver, mode, n_classes, rng
):
    X, y, Z = semisynthetic(rng)
    y = y + (X[:, 0] > np.median(X[:, 0])) if n_classes == 3 else y
    model = SupervisedDictionaryLearning(4, mode=mode, solver=solver, tol=1e-6)
    model.set_params(max_iter=3000).fit(X, y, Z)
    history = model.history_
    assert (np.diff(history) <= 1e-12 * history[0]).all()
    assert model.certificate_.satisfied
    assert model.components_.shape == (4, 30) and model.coef_.shape == (
        n_classes - 1,
        4,
    )
    details = model.certificate_.details
    assert details["lower_bound"] <= model.objective_ + 1e-9 * model.objective_
    if mode == "filter":
        # The codes of the fit are least-squares codes, which transform returns.
        H = model.transform(X)
        found = objective(model, X, y, Z, model.components_, H, model.coef_)
        assert_allclose(model.objective_, found, rtol=1e-8)
        error = np.linalg.norm(X - model.inverse_transform(H))
        assert_allclose(model.reconstruction_err_, error, rtol=1e-6)
    assert_allclose(
        model.objective_,
        details["label_loss"] + details["squared_error"] + _ridge(model, X, y, Z),
        rtol=1e-9,
    )


def _ridge(model, X, y, Z):
    """Return the ridge term, from what is left of the objective at the optimum."""
    gamma = np.sum(model.intercept_**2) + np.sum(model.covariate_coef_**2)
    if model.mode == "filter":
        return model.nu * (np.sum((model.components_.T @ model.coef_.T) ** 2) + gamma)
    details = model.certificate_.details  # codes of the fit are not kept
    left = model.objective_ - details["label_loss"] - details["squared_error"]
    assert left >= model.nu * gamma * (1 - 1e-9)
    return left


def relaxed_optimum(X, y, Z, mode, xi, nu):
    """Return the optimum without the bound on the rank, by cvxpy."""
    cp = pytest.importorskip("cvxpy")
    Z1 = np.column_stack([np.ones(len(X)), Z])
    A = cp.Variable(X.shape[1] if mode == "filter" else X.shape[0])
    gamma = cp.Variable(Z1.shape[1])
    z = (X @ A if mode == "filter" else A) + Z1 @ gamma
    loss = cp.sum(cp.logistic(z)) - y @ z
    ridge = nu * (cp.sum_squares(A) + cp.sum_squares(gamma))
    problem = cp.Problem(cp.Minimize(loss + ridge))
    problem.solve(solver=cp.CLARABEL)
    return problem.value


@pytest.mark.parametrize("solver", ["lpgd", "bcd"])
def test_without_a_bound_on_the_rank_the_convex_optimum_is_reached(solver, rng):
    # As many components as features: B = X, and A is free.
    X, y, Z = semisynthetic(rng, n=60, p=5, noise=0.3)
    model = SupervisedDictionaryLearning(5, solver=solver, nu=0.5, tol=1e-10)
    model.set_params(max_iter=5000).fit(X, y, Z)
    best = relaxed_optimum(X, y, Z, "filter", 1.0, 0.5)
    assert_allclose(model.objective_, best, rtol=1e-6)
    assert_allclose(model.certificate_.details["lower_bound"], best, rtol=1e-6)
    assert model.reconstruction_err_ < 1e-6 * np.linalg.norm(X)


@pytest.mark.parametrize("mode", ["filter", "feature"])
def test_the_lower_bound_is_the_sum_of_both_optima(mode, rng):
    X, y, Z = semisynthetic(rng, n=40, p=8, noise=0.3)
    model = SupervisedDictionaryLearning(2, mode=mode, nu=0.5, xi=0.7).fit(X, y, Z)
    s = np.linalg.svd(X, compute_uv=False)
    labels = relaxed_optimum(X, y, Z, mode, 0.7, 0.5)
    bound = labels + 0.7 * (s[2:] ** 2).sum()
    assert_allclose(model.certificate_.details["lower_bound"], bound, rtol=1e-5)
    assert model.objective_ >= bound * (1 - 1e-9)


def test_no_reconstruction_is_logistic_regression(rng):
    X, y, Z = semisynthetic(rng, n=100, p=6, noise=0.3)
    model = SupervisedDictionaryLearning(3, xi=0.0, nu=0.5).fit(X, y, Z)
    peer = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10, max_iter=10_000)
    peer.fit(np.column_stack([X, np.ones(100), Z]), y)  # C = 1 / (2 nu)
    assert_allclose(model.coef_ @ model.components_, peer.coef_[:, :6], atol=1e-5)
    assert_allclose(model.intercept_, peer.coef_[:, 6], atol=1e-5)
    assert_allclose(model.covariate_coef_, peer.coef_[:, 7:], atol=1e-5)
    assert model.certificate_.satisfied
    assert_allclose(model.reconstruction_err_, np.linalg.norm(X))


def test_one_component_in_the_plane_agrees_with_a_search_over_angles(rng):
    X = rng.standard_normal((80, 2)) * [1.0, 0.9]
    y = (X @ [0.3, 1.0] + 0.3 * rng.standard_normal(80) > 0).astype(int)
    xi, nu = 0.02, 0.1
    best = np.inf
    for angle in np.linspace(0, np.pi, 181):
        u = np.array([np.cos(angle), np.sin(angle)])
        F = np.column_stack([X @ u, np.ones(80)])
        peer = LogisticRegression(
            C=1 / (2 * nu), fit_intercept=False, tol=1e-6, solver="newton-cholesky"
        )
        w = peer.fit(F, y).coef_[0]
        value = np.logaddexp(0, F @ w).sum() - y @ (F @ w) + nu * (w @ w)
        best = min(best, value + xi * ((X - np.outer(X @ u, u)) ** 2).sum())
    for solver in ("lpgd", "bcd"):
        model = SupervisedDictionaryLearning(
            1, solver=solver, xi=xi, nu=nu, tol=1e-11, max_iter=10_000
        ).fit(X, y)
        assert_allclose(model.objective_, best, rtol=1e-3)
        assert model.objective_ <= best * (1 + 1e-8)


@pytest.mark.parametrize("mode", ["filter", "feature"])
def test_the_gradient_of_the_lift_is_the_derivative(mode, rng):
    X, y, Z = semisynthetic(rng, n=20, p=6)
    y = y + (X[:, 0] > np.median(X[:, 0]))
    model = SupervisedDictionaryLearning(2, mode=mode)
    model.classes_, labels = np.unique(y, return_inverse=True)
    weights = rng.random(20) + 0.5
    problem = model._problem(X, Z, labels, weights)
    A = rng.standard_normal((problem.Y.shape[0], len(model.classes_) - 1))
    slopes, _ = problem.slopes(problem.logits_of(A))
    gradient, h = problem.pull_back(slopes), 1e-6
    D = rng.standard_normal(A.shape)
    up, down = (problem.loss(problem.logits_of(A + s * h * D)) for s in (1, -1))
    assert_allclose(np.vdot(gradient, D), (up - down) / (2 * h), rtol=1e-6)
    # The curvature bounds second differences.
    second = (up + down - 2 * problem.loss(problem.logits_of(A))) / h**2
    ratio = second / np.vdot(D, D)
    assert ratio <= (problem.curvature() - 2 * problem.nu) * (1 + 1e-3) + 1e-3


def test_a_large_weight_of_the_data_gives_principal_components(rng):
    X, y, Z = semisynthetic(rng, noise=0.2)
    model = SupervisedDictionaryLearning(2, xi=1e8).fit(X, y, Z)
    V = TruncatedSVD(2, algorithm="arpack", random_state=0).fit(X).components_
    W = np.linalg.qr(model.components_.T)[0]
    assert_allclose(np.linalg.norm(V @ W), np.sqrt(2), rtol=1e-7)


def test_labels_pull_components_that_principal_components_miss(rng):
    # The direction of the labels has less variance than three others.
    n, p = 300, 20
    X = rng.standard_normal((n, p)) * np.r_[5.0, 4.0, 3.0, np.ones(p - 3)]
    y = (X[:, 10] > 0).astype(int)
    model = SupervisedDictionaryLearning(3, xi=1e-3).fit(X, y)
    assert model.score(X, y) > 0.95
    V = TruncatedSVD(3, random_state=0).fit(X).components_
    plain = LogisticRegression().fit(X @ V.T, y).score(X @ V.T, y)
    assert plain < 0.7
    # The other two components still reconstruct.
    rest = np.linalg.norm(X - X @ V[:2].T @ V[:2])
    assert model.reconstruction_err_ <= rest


@pytest.mark.parametrize("mode", ["filter", "feature"])
def test_both_solvers_agree_where_the_data_weigh_much(mode, rng):
    X, y, Z = semisynthetic(rng)
    one, two = (
        SupervisedDictionaryLearning(
            2, mode=mode, solver=solver, xi=100.0, tol=1e-10, max_iter=5000
        )
        .fit(X, y, Z)
        .objective_
        for solver in ("lpgd", "bcd")
    )
    assert_allclose(one, two, rtol=1e-6)


@pytest.mark.parametrize("mode", ["filter", "feature"])
def test_non_negative_factors(mode, rng):
    W = rng.random((3, 25)) * (rng.random((3, 25)) < 0.4)
    H = rng.random((150, 3))
    X = H @ W + 0.01 * rng.random((150, 25))
    y = (H[:, 0] > H[:, 1]).astype(int)
    model = SupervisedDictionaryLearning(
        3, mode=mode, solver="bcd", nonnegative=True, max_iter=5000
    ).fit(X, y)
    assert (model.components_ >= 0).all()
    assert_allclose(np.linalg.norm(model.components_), 1.0)
    codes = model.transform(X)
    expected = np.array([nnls(model.components_.T, x)[0] for x in X])
    assert_allclose(codes, expected, atol=1e-6)
    assert (np.diff(model.history_) <= 1e-10).all()
    assert model.score(X, y) > 0.8
    assert model.reconstruction_err_ < 0.1 * np.linalg.norm(X)


@pytest.mark.parametrize("mode", ["filter", "feature"])
@pytest.mark.parametrize("solver", ["lpgd", "bcd"])
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_matrix])
def test_sparse_data_give_the_dense_answer(container, solver, mode, rng):
    X = rng.standard_normal((60, 15)) * (rng.random((60, 15)) < 0.3)
    y = (X @ rng.standard_normal(15) > 0).astype(int)
    w = rng.random(60)
    model = SupervisedDictionaryLearning(3, mode=mode, solver=solver, max_iter=5000)
    dense = model.fit(X, y, sample_weight=w)
    dense = dense.predict_proba(X), dense.transform(X), dense.objective_
    thin = model.fit(container(X), y, sample_weight=w)
    assert_allclose(thin.objective_, dense[2], rtol=1e-9)
    assert_allclose(thin.predict_proba(container(X)), dense[0], atol=1e-7)
    assert_allclose(thin.transform(container(X)), dense[1], atol=1e-6)


@pytest.mark.parametrize("mode", ["filter", "feature"])
def test_large_sparse_data_are_not_densified(mode):
    rng = np.random.default_rng(0)
    X = sparse.random_array((1000, 20_000), density=2e-4, rng=rng, format="csr")
    y = (np.asarray(X[:, :10_000].sum(axis=1)).ravel() > 1.0).astype(int)
    import tracemalloc

    tracemalloc.start()
    model = SupervisedDictionaryLearning(2, mode=mode, max_iter=6, tol=1.0).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6 < X.shape[0] * X.shape[1] * 8
    assert (np.diff(model.history_) <= 1e-9).all()


def test_lanczos_and_dense_decompositions_agree(rng, monkeypatch):
    X, y, Z = semisynthetic(rng)
    for mode in ("filter", "feature"):
        model = SupervisedDictionaryLearning(3, mode=mode, random_state=0, tol=1e-10)
        dense = model.fit(X, y, Z).objective_
        with monkeypatch.context() as patch:
            patch.setattr(lifted, "_GRAM", 10)
            assert_allclose(model.fit(X, y, Z).objective_, dense, rtol=1e-9)


@pytest.mark.parametrize("solver", ["lpgd", "bcd"])
@pytest.mark.parametrize("mode", ["filter", "feature"])
def test_weights_are_repetitions(mode, solver, rng):
    X, y, Z = semisynthetic(rng, n=50, p=10, noise=0.2)
    w = rng.integers(0, 4, 50)
    model = SupervisedDictionaryLearning(
        2, mode=mode, solver=solver, class_weight="balanced", max_iter=5000
    )
    model.fit(X, y, Z, sample_weight=w)
    weighted = model.predict_proba(X, Z), model.objective_
    model.fit(*(np.repeat(a, w, axis=0) for a in (X, y, Z)))
    assert_allclose(model.objective_, weighted[1], rtol=1e-9)
    assert_allclose(model.predict_proba(X, Z), weighted[0], atol=1e-6)


def test_class_weights_are_sample_weights_of_the_labels(rng):
    X, y, Z = semisynthetic(rng, n=200)
    rare = (y == 0) | (np.arange(200) % 8 == 0)
    X, y, Z = X[rare], y[rare], Z[rare]
    plain = SupervisedDictionaryLearning(2).fit(X, y, Z)
    fair = SupervisedDictionaryLearning(2, class_weight="balanced").fit(X, y, Z)
    weights = len(y) / (2 * np.bincount(y))
    given = SupervisedDictionaryLearning(2, class_weight=dict(enumerate(weights)))
    assert_allclose(given.fit(X, y, Z).coef_, fair.coef_, rtol=1e-9)
    recall = [m.predict(X, Z)[y == 1].mean() for m in (plain, fair)]
    assert recall[1] >= recall[0]
    assert_allclose(
        fair.objective_,
        objective(
            fair, X, y, Z, fair.components_, fair.transform(X), fair.coef_, weights[y]
        ),
        rtol=1e-8,
    )


def test_covariates_explain_what_the_data_do_not(rng):
    X = rng.standard_normal((200, 10))
    Z = rng.standard_normal((200, 1))
    y = (Z[:, 0] > 0.2).astype(int)
    model = SupervisedDictionaryLearning(2, random_state=0).fit(X, y, Z)
    assert model.score(X, y, Z) > 0.95
    assert model.covariate_coef_.shape == (1, 1) and model.n_covariates_in_ == 1
    assert SupervisedDictionaryLearning(2).fit(X, y).score(X, y) < 0.8


def test_the_threshold_of_youden_is_the_best_of_the_training_data(rng):
    X, y, Z = semisynthetic(rng, n=200)
    rare = (y == 0) | (np.arange(200) % 8 == 0)
    X, y, Z = X[rare], y[rare], Z[rare]
    model = SupervisedDictionaryLearning(2, threshold="youden").fit(X, y, Z)
    score = model.predict_proba(X, Z)[:, 1]

    def youden(labels):
        return labels[y == 1].mean() - labels[y == 0].mean()

    best = max(youden(score >= bar) for bar in score)
    assert_allclose(youden(model.predict(X, Z)), best)
    assert 0 < model.threshold_ < 1
    shifted = SupervisedDictionaryLearning(2, threshold=0.9).fit(X, y, Z)
    assert_array_equal(shifted.predict(X, Z), (score > 0.9).astype(int))


def test_probabilities_decisions_and_labels_belong_together(rng):
    X = rng.standard_normal((150, 6))
    y = np.array(["a", "b", "c"])[np.argmax(X[:, :3], axis=1)]
    model = SupervisedDictionaryLearning(4, xi=0.01).fit(X, y)
    prob, logits = model.predict_proba(X), model.decision_function(X)
    assert_allclose(prob.sum(axis=1), 1.0)
    assert_allclose(np.log(prob / prob[:, :1]), logits, atol=1e-10)
    assert_array_equal(model.predict(X), model.classes_[prob.argmax(axis=1)])
    assert model.score(X, y) > 0.9


def test_covariates_are_routed(rng):
    import sklearn

    X, y, Z = semisynthetic(rng)
    model = SupervisedDictionaryLearning(2)
    direct = model.fit(X, y, Z).predict(X, Z)
    with sklearn.config_context(enable_metadata_routing=True):
        model.set_fit_request(Z=True).set_predict_request(Z=True)
        pipe = make_pipeline(FunctionTransformer(), model).fit(X, y, Z=Z)
        assert_array_equal(pipe.predict(X, Z=Z), direct)


def test_single_precision_is_kept(rng):
    X, y, Z = semisynthetic(rng)
    model = SupervisedDictionaryLearning(2).fit(X.astype(np.float32), y, Z)
    assert model.components_.dtype == model.transform(X.astype("f4")).dtype == "f4"


def test_bad_input_is_explained(rng):
    X, y, Z = semisynthetic(rng, n=40, p=8)
    make = SupervisedDictionaryLearning
    with pytest.raises(ValueError, match="Z has 39 rows, but X has 40"):
        make(2).fit(X, y, Z[:39])
    model = make(2).fit(X, y, Z)
    with pytest.raises(ValueError, match="Z has 3 rows, but X has 40"):
        model.predict(X, Z[:3])
    with pytest.raises(ValueError, match="pass Z as well"):
        model.predict(X)
    with pytest.raises(ValueError, match="Z has 1 covariates, but the model"):
        model.predict_proba(X, Z[:, :1])
    with pytest.raises(ValueError, match="n_components=9 exceeds"):
        make(9).fit(X, y)
    with pytest.raises(ValueError, match="only one class"):
        make(2).fit(X, np.ones(40))
    with pytest.raises(ValueError, match="Unknown label type"):
        make(2).fit(X, rng.standard_normal(40))
    with pytest.raises(ValueError, match="needs solver='bcd'"):
        make(2, nonnegative=True).fit(X, y)
    for options in ({"mode": "feature"}, {"solver": "bcd"}):
        with pytest.raises(ValueError, match="xi=0 leaves the data out"):
            make(2, xi=0, **options).fit(X, y)
    with pytest.raises(ValueError, match="n_components >= n_classes - 1 = 2"):
        make(1, xi=0).fit(X, np.arange(40) % 3)
    with pytest.raises(ValueError, match="'threshold' parameter"):
        make(2, threshold=1.0).fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        make(2).fit(X, y, np.where(Z > 0, np.nan, Z))
    with pytest.raises(ValueError, match="Complex data not supported: Z"):
        make(2).fit(X, y, Z * 1j)
    with pytest.warns(ConvergenceWarning, match="Raise max_iter") as caught:
        model = make(2, max_iter=1).fit(X, y, Z)
    assert len(caught) == 1 and not model.certificate_.satisfied


def test_separable_labels_without_ridge_end(rng):
    X = rng.standard_normal((40, 5))
    y = (X[:, 0] > 0).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for mode in ("filter", "feature"):
            model = SupervisedDictionaryLearning(2, mode=mode, nu=0.0).fit(X, y)
            assert np.isfinite(model.coef_).all()
            assert (np.diff(model.history_) <= 1e-9).all()
