"""Losses and penalties of users against the named ones and against cvxpy."""

import pickle

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone

import sparsestat.linear_model as ssl
from sparsestat.exceptions import ConvergenceWarning
from tests.linear_model.test_penalty_matrix import GROUPS, P, make

storages = pytest.mark.parametrize("storage", [np.asarray, sparse.csc_array])


class Absolute:
    """The absolute penalty in plain numpy."""

    def value(self, w):
        return np.abs(w).sum()

    def prox(self, z, strength):
        return np.sign(z) * np.maximum(np.abs(z) - strength, 0.0)


@njit
def _log_prox(z, strength, width):
    out = np.empty_like(z)
    for j in range(len(z)):
        # Of log(1 + |w| / width): a quadratic equation, or zero.
        t = abs(z[j])
        inside = (t + width) ** 2 - 4.0 * strength
        best = 0.0
        if inside > 0.0:
            w = 0.5 * (t - width + np.sqrt(inside))
            if w > 0.0:
                gain = 0.5 * (w - t) ** 2 + strength * np.log(1.0 + w / width)
                if gain < 0.5 * t * t:
                    best = w
        out[j] = best if z[j] > 0.0 else -best
    return out


class LogSum:
    """A concave penalty with a compiled proximal operator."""

    def __init__(self, width=1.0):
        self.width = width

    def value(self, w):
        return np.log1p(np.abs(w) / self.width).sum()

    def prox(self, z, strength):
        return _log_prox(z, strength, self.width)


class Logistic:
    """Labels of -1 and 1."""

    curvature = 0.25

    def losses(self, y, eta):
        return np.logaddexp(0.0, -y * eta)

    def slopes(self, y, eta):
        return -y / (1.0 + np.exp(y * eta))

    def inverse_link(self, eta):
        return np.tanh(0.5 * eta)


class Expectile:
    """Squared errors, those above three times as heavy; no curvature is told."""

    def losses(self, y, eta):
        return np.where(y > eta, 1.5, 0.5) * (y - eta) ** 2

    def slopes(self, y, eta):
        return -2.0 * np.where(y > eta, 1.5, 0.5) * (y - eta)


def data(seed=0):
    X, y, s = make("huber", seed)
    return X, y + 3.0, s


@storages
def test_the_absolute_penalty_of_a_user_is_the_lasso(storage):
    X, y, s = data()
    lasso = ssl.Lasso(0.2, tol=1e-10).fit(X, y, sample_weight=s)
    model = ssl.PenalizedRegressor(penalty=Absolute(), alpha=0.2, tol=1e-9)
    model.fit(storage(X), y, sample_weight=s)
    assert model.certificate_.kind == "kkt" and model.certificate_.satisfied
    assert_allclose(model.coef_, lasso.coef_, atol=1e-7)
    assert_allclose(model.intercept_, lasso.intercept_, atol=1e-6)
    assert_allclose(model.objective_, lasso.objective_, rtol=1e-8)
    assert_allclose(model.predict(X), lasso.predict(X), atol=1e-6)


def test_paths_and_cross_validation_with_objects():
    X, y, s = data(1)
    ours = ssl.PenalizedRegressorCV(penalty=Absolute(), alphas=6, cv=3, tol=1e-8)
    ours.fit(X, y, sample_weight=s)
    lasso = ssl.LassoCV(alphas=6, cv=3, tol=1e-10).fit(X, y, sample_weight=s)
    assert_allclose(ours.alphas_, lasso.alphas_, rtol=1e-6)
    assert_allclose(ours.loss_path_, lasso.mse_path_, rtol=1e-3)
    assert_allclose(ours.coef_path_, lasso.coef_path_, atol=1e-3)
    path = clone(ours).path(X, y, alphas=ours.alphas_, sample_weight=s)
    assert path.kind == "kkt" and (path.gaps <= 1e-8).all()
    again = pickle.loads(pickle.dumps(ours))
    assert_allclose(again.predict(X), ours.predict(X))


@pytest.mark.parametrize("scale", [1.0, 2.0**40])
def test_units_of_features_reach_a_penalty_that_is_not_homogeneous(scale):
    X, y, _ = data(2)
    model = ssl.PenalizedRegressor(penalty=LogSum(2.0 / scale), alpha=0.2, tol=1e-9)
    model.fit(X * scale, y)
    w = model.coef_ * scale
    gradient = -(X - X.mean(axis=0)).T @ (y - model.predict(X * scale)) / len(y)
    held = w != 0
    slope = 0.2 * np.sign(w) / (2.0 + np.abs(w))
    assert held.any() and not held.all()
    assert_allclose(gradient[held], -slope[held], atol=1e-6)
    assert (np.abs(gradient[~held]) <= 0.2 / 2.0 + 1e-6).all()


@storages
@pytest.mark.parametrize("penalty", ["named", "object"])
def test_losses_of_users_with_named_penalties_and_their_own(storage, penalty):
    X, y, s = make("logistic", 3)
    labels = 2 * y - 1
    named = ssl.SparseLogisticRegression(0.05, tol=1e-10)
    named.fit(X, y, sample_weight=s)
    which = "elasticnet" if penalty == "named" else Absolute()
    model = ssl.PenalizedRegressor(Logistic(), which, alpha=0.05, tol=1e-9)
    model.fit(storage(X), labels, sample_weight=s)
    assert model.certificate_.satisfied
    assert_allclose(model.coef_, named.coef_[0], atol=1e-6)
    assert_allclose(model.intercept_, named.intercept_[0], atol=1e-6)
    p = named.predict_proba(X)[:, 1]
    assert_allclose(model.predict(X), 2 * p - 1, atol=1e-6)


def test_a_loss_without_a_curvature_against_cvxpy():
    cp = pytest.importorskip("cvxpy")
    X, y, s = data(4)
    offset = np.linspace(-1, 1, len(y))
    w, b = cp.Variable(P), cp.Variable()
    r = y - X @ w - b - offset
    loss = s @ (cp.square(cp.pos(r)) * 1.5 + cp.square(cp.neg(r)) * 0.5) / s.sum()
    cp.Problem(cp.Minimize(loss + 0.3 * cp.norm1(w))).solve(solver=cp.CLARABEL)
    for penalty in ("l1", Absolute()):
        model = ssl.PenalizedRegressor(Expectile(), penalty, alpha=0.3, tol=1e-8)
        model.fit(X, y, sample_weight=s, offset=offset)
        assert_allclose(model.coef_, w.value, atol=1e-5)
        assert_allclose(
            model.predict(X, offset), X @ w.value + b.value + offset, atol=1e-4
        )


@storages
@pytest.mark.parametrize("ratio", [None, 0.3])
def test_named_cases_of_the_squared_loss(storage, ratio):
    X, y, s = data(5)
    model = ssl.PenalizedRegressor(
        penalty="group", groups=GROUPS, l1_ratio=ratio, alpha=0.2, tol=1e-10
    ).fit(storage(X), y, sample_weight=s)
    group = ssl.GroupLasso(GROUPS, alpha=0.2, l1_ratio=ratio or 0.0, tol=1e-10)
    assert_allclose(model.coef_, group.fit(X, y, sample_weight=s).coef_, atol=1e-6)
    assert model.certificate_.kind == "duality_gap" and model.certificate_.satisfied
    for kind, cls in (("mcp", ssl.MCPRegressor), ("scad", ssl.SCADRegressor)):
        model = ssl.PenalizedRegressor(penalty=kind, alpha=0.3, tol=1e-9)
        found = model.fit(storage(X), y, sample_weight=s).coef_
        other = cls(0.3, tol=1e-10).fit(X, y, sample_weight=s)
        assert_allclose(found, other.coef_, atol=1e-5)
        signed = model.set_params(positive=True).fit(storage(X), y, sample_weight=s)
        assert (signed.coef_ >= 0).all() and signed.certificate_.satisfied
    net = ssl.PenalizedRegressor(alpha=0.2, l1_ratio=0.5, tol=1e-10).fit(X, y)
    assert_allclose(
        net.coef_, ssl.ElasticNet(0.2, tol=1e-10).fit(X, y).coef_, atol=1e-7
    )


def test_what_does_not_fit_is_named():
    X, y, _ = data(6)
    with pytest.raises(ValueError, match="`gamma` is a parameter of the named"):
        ssl.PenalizedRegressor(penalty=Absolute(), gamma=3.0).fit(X, y)
    with pytest.raises(ValueError, match="The 'penalty' parameter"):
        ssl.PenalizedRegressor(penalty=3.0).fit(X, y)

    class Never(Absolute):
        def prox(self, z, strength):
            return z + 1.0

    with pytest.raises(ValueError, match="no automatic grid"):
        ssl.PenalizedRegressorCV(penalty=Never(), cv=2).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        ssl.PenalizedRegressor(
            penalty=Absolute(), alpha=1e-3, max_iter=2, tol=1e-12
        ).fit(X, y)


def test_held_out_losses_of_users_are_their_means():
    X, y, s = make("logistic", 7)
    labels, train, held = 2 * y - 1, np.arange(len(y) // 2), np.arange(len(y) // 2, 40)
    cv = [(train, held)]
    for loss, one, fitted in ((Logistic(), Logistic(), labels), ("squared", None, y)):
        model = ssl.PenalizedRegressorCV(loss, alphas=[0.1], cv=cv, tol=1e-9)
        found = model.fit(X, fitted, sample_weight=s).loss_path_
        single = ssl.PenalizedRegressor(loss, alpha=0.1, tol=1e-9)
        single.fit(X[train], fitted[train], sample_weight=s[train])
        eta = X[held] @ single.coef_ + single.intercept_
        losses = (fitted[held] - eta) ** 2
        if one is not None:
            losses = one.losses(fitted[held], eta)
        assert_allclose(found, [[np.average(losses, weights=s[held])]], rtol=1e-6)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_units_of_targets_come_back(fit_intercept):
    X, y, s = data(8)
    y, unit, offset = y * 2.0**4, 2.0**400, np.linspace(-1.0, 2.0, len(y))
    for options, known in (
        ({"penalty": "group", "groups": GROUPS}, 0.0 * offset),
        ({"penalty": "mcp"}, offset),
    ):
        model = ssl.PenalizedRegressor(
            alpha=0.5, tol=1e-9, fit_intercept=fit_intercept, **options
        ).fit(X, y, sample_weight=s, offset=known)
        coef, intercept = model.coef_, model.intercept_
        assert coef.any() and bool(intercept) == fit_intercept
        if fit_intercept:  # residuals have the mean zero
            assert_allclose(s @ (y - X @ coef - intercept - known), 0.0, atol=1e-5)
        model.set_params(alpha=0.5 * unit)
        model.fit(X, y * unit, sample_weight=s, offset=known * unit)
        assert_allclose(model.coef_ / unit, coef, rtol=1e-6)
        assert_allclose(model.intercept_ / unit, intercept, rtol=1e-6)


def test_targets_reach_a_loss_of_users_as_they_are():
    X, y, s = data(8)
    labels = np.where(y > np.quantile(y, 0.3), 1.0, -1.0)
    model = ssl.PenalizedRegressor(Logistic(), alpha=0.01, tol=1e-9)
    model.fit(X, labels, sample_weight=s)
    # The slopes of the intercept and of coefficients that are not zero, by hand.
    slopes = s * Logistic().slopes(labels, X @ model.coef_ + model.intercept_)
    used = model.coef_ != 0.0
    assert used.any()
    assert_allclose(slopes.sum() / s.sum(), 0.0, atol=1e-7)
    signs = np.sign(model.coef_[used])
    assert_allclose(X[:, used].T @ slopes / s.sum(), -0.01 * signs, atol=1e-7)


def test_units_of_features_reach_the_strength_of_an_object():
    X, y, s = data(8)
    near = ssl.PenalizedRegressor(penalty=Absolute(), alpha=0.5, tol=1e-9)
    coef = near.fit(X, y, sample_weight=s).coef_
    assert coef.any() and not coef.all()
    far = ssl.PenalizedRegressor(penalty=Absolute(), alpha=0.5 * 2.0**400, tol=1e-9)
    found = far.fit(X * 2.0**400, y, sample_weight=s).coef_
    assert_allclose(found * 2.0**400, coef, rtol=1e-7)


def test_criteria_of_squared_losses_know_no_variance():
    X, y, _ = data(10)
    model = ssl.PenalizedRegressorCV(
        penalty="group", groups=GROUPS, alphas=[1.0, 0.1], criterion="bic", tol=1e-9
    ).fit(X, y)
    found, n = [], len(y)
    for alpha in (1.0, 0.1):
        one = ssl.PenalizedRegressor(
            penalty="group", groups=GROUPS, alpha=alpha, tol=1e-9
        ).fit(X, y)
        mean = np.mean((y - one.predict(X)) ** 2)
        found.append(n * np.log(mean) + np.log(n) * np.count_nonzero(one.coef_))
    assert found[0] != found[1]
    assert_allclose(model.criterion_path_, np.reshape(found, (-1, 1))[:, 0], rtol=1e-6)


def test_nothing_to_explain_is_no_reason_to_stop():
    X, y, _ = data(11)
    model = ssl.PenalizedRegressorCV(
        Expectile(), alphas=4, cv=2, stop_explained=True, fit_intercept=False
    )
    assert not model.fit(X, 0.0 * y).coef_.any()


@pytest.mark.parametrize("strength", [2.0**-150, 0.25, 3.0])
def test_the_grid_of_an_object_starts_where_all_rests(strength):
    class Heavy(Absolute):
        def prox(self, z, s):
            return super().prox(z, strength * s)

    X, y, s = data(9)
    top = ssl.PenalizedRegressorCV(alphas=5, cv=2).fit(X, y, sample_weight=s).alphas_
    ours = ssl.PenalizedRegressorCV(penalty=Heavy(), alphas=5, cv=2)
    assert_allclose(ours.fit(X, y, sample_weight=s).alphas_, top / strength, rtol=1e-9)
    problem = ours._problem(X, np.ones(len(y)), None)
    assert problem.alpha_max() == 0.0 and not problem.has_gap and not problem.is_convex
