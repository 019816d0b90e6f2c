"""SBLClassifier against dense algebra, a general optimizer and itself."""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.datasets import make_moons
from sklearn.metrics import log_loss
from sklearn.metrics.pairwise import rbf_kernel

from sparsestat.bayes import SBLClassifier
from sparsestat.exceptions import ConvergenceWarning


def draw(n=80, p=6, n_classes=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    W = np.zeros((p, n_classes))
    W[:2] = 2 * rng.standard_normal((2, n_classes))
    return X, (X @ W + rng.gumbel(size=(n, n_classes))).argmax(axis=1)


def quiet(model, *data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(*data)


def parts(model, X, y):
    """Return scores, probabilities and the joint precision, written out densely."""
    active, k = model.active_, len(model.coef_)
    gamma = model.gamma_[active]
    scores = X @ model.coef_.T + model.intercept_
    full = scores if k > 1 else np.hstack([np.zeros_like(scores), scores])
    P = softmax(full, axis=1)
    own = P if k > 1 else P[:, 1:]
    A = np.hstack([X[:, active], np.ones((len(X), 1))])
    d = A.shape[1]
    J = np.zeros((k * d, k * d))
    for a in range(k):
        for b in range(k):
            rows = own[:, a] * ((a == b) - own[:, b])
            J[a * d : a * d + d, b * d : b * d + d] = (A * rows[:, None]).T @ A
    prior = np.tile(np.append(1 / gamma, 0.0), k)
    return scores, own, A, J, prior


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("shape", [(80, 6), (30, 50)])
def test_coefficients_are_the_posterior_mode(n_classes, shape):
    X, y = draw(*shape, n_classes)
    model = quiet(SBLClassifier(max_iter=20), X, y)
    scores, P, _, _, _ = parts(model, X, y)
    observed = np.eye(n_classes)[y] if n_classes > 2 else (y == 1.0)[:, None]
    active = model.active_
    slope = X[:, active].T @ (observed - P)
    pull = model.coef_[:, active].T / model.gamma_[active, None]
    np.testing.assert_allclose(slope, pull, atol=2e-4)
    np.testing.assert_allclose((observed - P).sum(axis=0), 0.0, atol=2e-4)
    decision = model.decision_function(X).reshape(len(y), -1)
    assert np.all(np.abs(decision) <= np.abs(scores))
    ratio = decision / scores  # one a row
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones_like(ratio), rtol=1e-6)
    assert np.all(ratio > 0)
    if n_classes > 2:
        np.testing.assert_allclose(model.coef_.sum(axis=0), 0.0, atol=1e-6)


def test_the_mode_of_several_classes_is_that_of_a_general_optimizer():
    X, y = draw(60, 3, 3)
    model = quiet(SBLClassifier(max_iter=5), X, y)
    active = model.active_
    gamma, k = model.gamma_[active], len(active)

    def loss(flat):
        W, b = flat[: 3 * k].reshape(3, k), flat[3 * k :]
        logs = log_softmax(X[:, active] @ W.T + b, axis=1)
        return -logs[np.arange(60), y].sum() + 0.5 * (W**2 / gamma).sum()

    best = minimize(loss, np.zeros(3 * k + 3), options={"gtol": 1e-7})
    np.testing.assert_allclose(
        best.x[: 3 * k].reshape(3, k), model.coef_[:, active], atol=1e-3
    )
    own = np.concatenate([model.coef_[:, active].ravel(), model.intercept_])
    assert loss(own) <= best.fun + 1e-7


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("shape", [(80, 6), (30, 50)])
def test_posterior_variances_and_evidence_are_dense_algebra(n_classes, shape):
    X, y = draw(*shape, n_classes)
    model = quiet(SBLClassifier(max_iter=20), X, y)
    _, P, A, J, prior = parts(model, X, y)
    k, d = len(model.coef_), A.shape[1]
    ends = np.arange(1, k + 1) * d - 1
    if k > 1:  # intercepts sum to zero, with next to nothing else
        J[np.ix_(ends, ends)] += 1e6
    S = np.linalg.inv(J + np.diag(prior))
    contrast = np.eye(k) - (1 / k if k > 1 else 0)  # what classes share is not seen
    X_new = np.random.default_rng(5).standard_normal((20, X.shape[1]))
    new = np.hstack([X_new[:, model.active_], np.ones((20, 1))])
    rows = np.einsum("ce,ij->icej", contrast, new).reshape(20, k, k * d)
    variance = np.einsum("icp,pq,icq->ic", rows, S, rows)
    plain = X_new @ model.coef_.T + model.intercept_
    moderated = plain / np.sqrt(1 + np.pi / 8 * variance.mean(axis=1)[:, None])
    full = moderated if k > 1 else np.hstack([np.zeros_like(moderated), moderated])
    expected = softmax(full, axis=1)
    np.testing.assert_allclose(model.predict_proba(X_new), expected, atol=1e-4)
    # The evidence: the determinant of the coefficients without their intercepts.
    rest = np.setdiff1d(np.arange(k * d), ends)
    left = (
        J[np.ix_(rest, rest)]
        - J[np.ix_(rest, ends)]
        @ np.linalg.pinv(J[np.ix_(ends, ends)], rcond=1e-9)
        @ J[np.ix_(ends, rest)]
    )
    root = np.sqrt(1 / prior[rest])
    sign, logdet = np.linalg.slogdet(np.eye(len(rest)) + root[:, None] * left * root)
    all_P = P if k > 1 else np.hstack([1 - P, P])
    chosen = all_P[np.arange(len(y)), y]
    active = model.active_
    value = np.log(chosen).sum() - 0.5 * logdet
    value -= 0.5 * (model.coef_[:, active] ** 2 / model.gamma_[active]).sum()
    assert sign == 1 and model.history_[-1] == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("method", ["mm", "em", "mackay"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_variances_are_stationary(method, n_classes):
    X, y = draw(100, 5, n_classes)
    model = SBLClassifier(method, tol=1e-5, max_iter=5000, prune_tol=1e-8).fit(X, y)
    _, _, A, J, prior = parts(model, X, y)
    k, d = len(model.coef_), A.shape[1]
    ends = np.arange(1, k + 1) * d - 1
    if k > 1:
        J[np.ix_(ends, ends)] += 1e6
    S = np.diagonal(np.linalg.inv(J + np.diag(prior))).reshape(k, d)[:, :-1]
    active = model.active_
    second = (model.coef_[:, active] ** 2 + S).mean(axis=0)
    strong = model.gamma_[active] > 1e-2 * model.gamma_.max()
    np.testing.assert_allclose(second[strong], model.gamma_[active][strong], rtol=2e-3)
    assert model.certificate_.satisfied and {0, 1} & set(active)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_weights_are_repetitions(n_classes):
    X, y = draw(60, 5, n_classes)
    w = np.arange(60) % 3
    weighted = quiet(SBLClassifier(max_iter=30), X, y, w)
    repeated = quiet(SBLClassifier(max_iter=30), np.repeat(X, w, 0), np.repeat(y, w))
    np.testing.assert_allclose(
        weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-6
    )


def test_far_columns_and_single_precision_cost_nothing():
    X, y = draw(80, 4)
    plain = SBLClassifier().fit(X, y)
    far = SBLClassifier().fit(1e3 * X + 1e7, y)
    np.testing.assert_allclose(
        far.predict_proba(1e3 * X + 1e7), plain.predict_proba(X), atol=1e-5
    )
    single = SBLClassifier().fit(X.astype("f4"), y)
    assert single.coef_.dtype == np.float32
    np.testing.assert_allclose(single.coef_, plain.coef_, atol=1e-3)


def test_separable_classes_stay_finite_and_labels_are_kept():
    X = np.repeat([[-1.0, 0.5], [1.0, 0.5]], 10, axis=0)
    y = np.repeat(["no", "yes"], 10)
    model = quiet(SBLClassifier(), X, y)
    assert list(model.predict(X)) == list(y)
    proba = model.predict_proba(X)
    assert np.isfinite(proba).all() and proba[0, 0] > 0.7
    assert model.gamma_[1] == 0  # a constant column


def test_noise_alone_gives_frequencies():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((400, 3)), (np.arange(400) % 4 == 0).astype(int)
    model = SBLClassifier().fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1].mean(), 0.25, atol=0.01)
    assert log_loss(y, model.predict_proba(X)) < 0.57


def test_kernel_is_the_model_of_its_matrix_and_learns_moons():
    X, y = make_moons(150, noise=0.2, random_state=0)
    model = quiet(SBLClassifier(kernel="rbf", kernel_params={"gamma": 1.0}), X, y)
    K = rbf_kernel(X - X.mean(axis=0), gamma=1.0)
    plain = quiet(SBLClassifier(), K, y)
    np.testing.assert_allclose(
        model.predict_proba(X), plain.predict_proba(K), rtol=1e-6, atol=1e-9
    )
    np.testing.assert_array_equal(model.relevance_vectors_, X[model.active_])
    X_new, y_new = make_moons(300, noise=0.2, random_state=1)
    assert model.score(X_new, y_new) > 0.95 and model.n_active_ < 15
    w = np.ones(150)
    w[::5] = 0
    dropped = quiet(SBLClassifier(kernel="rbf", kernel_params={"gamma": 1.0}), X, y, w)
    np.testing.assert_array_equal(dropped.relevance_vectors_, X[dropped.active_])
    assert dropped.coef_.shape == (1, 150)


def test_what_is_below_the_limit_is_dropped():
    X, y = draw(60, 12, 3)
    model = quiet(SBLClassifier(prune_tol=0.05, max_iter=20), X, y)
    gamma = model.gamma_ * X.var(axis=0)
    assert 0 < model.n_active_ < 12
    assert gamma[model.active_].min() >= 0.05 * gamma.max()
    np.testing.assert_allclose(model.intercept_.sum(), 0.0, atol=1e-9)


def test_the_iteration_limit_warns_once():
    X, y = draw()
    with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
        model = SBLClassifier(max_iter=2).fit(X, y)
    assert len(caught) == 1 and model.n_iter_ == 2
    assert not model.certificate_.satisfied
    with pytest.raises(ValueError, match="1 class"):
        SBLClassifier().fit(X, np.zeros(len(y)))
