"""Every penalty with every likelihood: against cvxpy, or stationarity from outside."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import expit, logsumexp

import sparsestat.linear_model as ssl

cp = pytest.importorskip("cvxpy")

GROUPS = [[0, 1, 2], [3], [4, 5], [6, 7]]
SIZES = np.array([3.0, 1.0, 2.0, 2.0])
P = 8
WEIGHTS = np.array([1.0, 0.5, 0.0, 2.0, np.inf, 1.0, 0.0, 1.5])


def make(loss, seed=0, n=50):
    """Return X, y and sample weights."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, P)) * rng.uniform(0.5, 2.0, P) + rng.uniform(-1, 1, P)
    eta = 0.4 * X[:, 0] - 0.5 * X[:, 3] + 0.3 * X[:, 6]
    s = rng.uniform(0.3, 2.0, n)
    if loss == "logistic":
        y = (eta + rng.logistic(size=n) > 0).astype(float)
    elif loss == "multinomial":
        scores = np.c_[eta, -eta, 0.5 * X[:, 4]] + rng.gumbel(size=(n, 3))
        y = scores.argmax(axis=1)
    elif loss == "poisson":
        y = rng.poisson(np.exp(eta)).astype(float)
    elif loss == "gamma":
        y = rng.gamma(2.0, np.exp(eta) / 2.0)
    elif loss == "tweedie":
        y = rng.gamma(2.0, 1.0, n) * rng.poisson(np.exp(eta))
    elif loss == "huber":
        y = eta + rng.standard_t(2, n)
    else:
        time = np.ceil(4 * rng.exponential(np.exp(-eta)))
        y = np.column_stack([time, rng.random(n) < 0.7])
    return X, y, s


ESTIMATORS = {
    "logistic": ssl.SparseLogisticRegression,
    "multinomial": ssl.SparseLogisticRegression,
    "poisson": ssl.SparsePoissonRegressor,
    "gamma": ssl.SparseGammaRegressor,
    "tweedie": ssl.SparseTweedieRegressor,
    "huber": ssl.SparseHuberRegressor,
    "cox": ssl.SparseCoxRegressor,
}
ALPHA = {"huber": 0.05, "cox": 0.03}
losses = pytest.mark.parametrize("loss", list(ESTIMATORS))
storages = pytest.mark.parametrize("storage", [np.asarray, sparse.csc_array])
offsets = pytest.mark.parametrize("shifted", [False, True], ids=["plain", "offset"])


def offset_of(loss, shifted, n=50):
    """Return what is known of the linear predictors, or None."""
    shape = (n, 3) if loss == "multinomial" else n
    return np.random.default_rng(99).uniform(-1, 1, shape) if shifted else None


def loss_of(loss, eta, y, s):
    """Loss as a cvxpy expression: the weighted mean."""
    total = s.sum()
    if loss == "logistic":
        return s @ (cp.logistic(eta) - cp.multiply(y, eta)) / total
    if loss == "multinomial":
        picked = sum(eta[i, y[i]] * s[i] for i in range(len(y)))
        return (s @ cp.log_sum_exp(eta, axis=1) - picked) / total
    if loss == "poisson":
        return s @ (cp.exp(eta) - cp.multiply(y, eta)) / total
    if loss == "gamma":
        return s @ (cp.multiply(y, cp.exp(-eta)) + eta) / total
    if loss == "tweedie":
        return s @ (2 * cp.multiply(y, cp.exp(-eta / 2)) + 2 * cp.exp(eta / 2)) / total
    if loss == "huber":
        return 0.5 * s @ cp.huber(eta - y, 1.35) / total
    terms = []
    for i in range(len(y)):
        if y[i, 1]:
            risk = np.flatnonzero(y[:, 0] >= y[i, 0])
            lse = cp.log_sum_exp(eta[risk] + np.log(s[risk]))
            terms.append(s[i] * (lse - eta[i]))
    return sum(terms) / total


def penalty_of(W, kind, alpha, ratio, omega):
    """Penalty as a cvxpy expression, and constraints."""
    if kind == "group":
        value, single = 0, 0
        for group, size in zip(GROUPS, SIZES, strict=True):
            block = W[group] if W.ndim == 1 else W[group, :]
            value = value + np.sqrt(size) * cp.norm(cp.vec(block, order="C"), 2)
            single = single + cp.sum(cp.abs(block))
        return alpha * ((1 - ratio) * value + ratio * single), []
    omega = np.ones(P) if omega is None else omega
    value, constraints = 0, []
    for j in range(P):
        row = W[j] if W.ndim == 1 else W[j, :]
        if np.isinf(omega[j]):
            constraints.append(row == 0)
            continue
        absolute, square = cp.sum(cp.abs(row)), cp.sum_squares(row)
        if kind == "rows":
            absolute = cp.norm(row, 2)
        value = value + omega[j] * (ratio * absolute + (1 - ratio) / 2 * square)
    return alpha * value, constraints


def reference(
    loss, X, y, s, kind, alpha, ratio, omega=None, positive=False, offset=None
):
    n_outputs = 3 if loss == "multinomial" else None
    W = cp.Variable(P if n_outputs is None else (P, n_outputs))
    b = cp.Variable() if n_outputs is None else cp.Variable((1, n_outputs))
    eta = X @ W
    if loss != "cox":
        eta = eta + (b if n_outputs is None else np.ones((len(X), 1)) @ b)
    if offset is not None:
        eta = eta + offset
    value, constraints = penalty_of(W, kind, alpha, ratio, omega)
    if positive:
        constraints.append(W >= 0)
    objective = loss_of(loss, eta, y, s) + value
    program = cp.Problem(cp.Minimize(objective), constraints)
    program.solve(solver=cp.CLARABEL, tol_gap_rel=1e-10, tol_gap_abs=1e-11)
    return program.value, W.value.T


def check(model, X, y, s, expected, coef, *, offset=None, rtol=1e-6):
    model.fit(X, y, sample_weight=s, offset=offset)
    assert model.certificate_.satisfied
    omega = model.get_params()["feature_weights"]
    if coef.ndim == 2 and omega is not None:
        # What is free is known up to a constant over the classes.
        coef[:, omega == 0] -= coef[:, omega == 0].mean(axis=0)
    assert_allclose(model.objective_, expected, rtol=rtol, atol=1e-9)
    assert_allclose(np.squeeze(model.coef_), np.squeeze(coef), atol=2e-3)


@losses
@storages
@offsets
@pytest.mark.parametrize("positive", [False, True])
def test_feature_weights_and_signs(loss, storage, shifted, positive):
    X, y, s = make(loss)
    omega = np.where(WEIGHTS == 0, 0.3, WEIGHTS) if positive else WEIGHTS
    alpha = ALPHA.get(loss, 0.08)
    offset = offset_of(loss, shifted)
    expected, coef = reference(
        loss, X, y, s, "elasticnet", alpha, 0.7, omega, positive, offset
    )
    model = ESTIMATORS[loss](
        alpha, l1_ratio=0.7, feature_weights=omega, positive=positive, tol=1e-9
    )
    check(model, storage(X), y, s, expected, coef, offset=offset)
    has_gap = loss not in ("huber", "cox")
    assert model.certificate_.kind == ("duality_gap" if has_gap else "kkt")
    assert not np.atleast_2d(model.coef_)[:, 4].any()
    if positive:
        assert (model.coef_ >= 0).all()


@losses
@storages
@offsets
@pytest.mark.parametrize("ratio", [None, 0.4])
def test_groups(loss, storage, shifted, ratio):
    X, y, s = make(loss, 1)
    alpha = ALPHA.get(loss, 0.06)
    offset = offset_of(loss, shifted)
    expected, coef = reference(
        loss, X, y, s, "group", alpha, ratio or 0.0, offset=offset
    )
    model = ESTIMATORS[loss](
        alpha, penalty="group", groups=GROUPS, l1_ratio=ratio, tol=1e-9
    )
    check(model, storage(X), y, s, expected, coef, offset=offset)
    coef = np.atleast_2d(model.coef_)
    used = [bool(coef[:, g].any()) for g in GROUPS]
    if ratio is None:
        assert used == [bool(coef[:, g].all()) for g in GROUPS]


@storages
def test_rows_with_a_ridge_and_weights(storage):
    X, y, s = make("multinomial", 2)
    omega = np.where(np.isinf(WEIGHTS), np.inf, WEIGHTS + 0.2)
    expected, coef = reference("multinomial", X, y, s, "rows", 0.05, 0.6, omega)
    model = ssl.SparseLogisticRegression(
        0.05, l1_ratio=0.6, row_sparse=True, feature_weights=omega, tol=1e-9
    )
    check(model, storage(X), y, s, expected, coef)


def gradient_of(loss, model, X, y, s, offset=None):
    """Derivative of the weighted mean loss in the coefficients, rows of classes."""
    coef = np.atleast_2d(model.coef_)
    eta = X @ coef.T + np.atleast_1d(model.intercept_)
    if offset is not None:
        eta = eta + offset.reshape(len(X), -1)
    one = eta[:, 0]
    if loss == "logistic":
        g = expit(one) - y
    elif loss == "multinomial":
        g = np.exp(eta - logsumexp(eta, axis=1, keepdims=True))
        g[np.arange(len(y)), y] -= 1
    elif loss == "poisson":
        g = np.exp(one) - y
    elif loss == "gamma":
        g = 1 - y * np.exp(-one)
    elif loss == "tweedie":
        g = np.exp(one / 2) - y * np.exp(-one / 2)
    elif loss == "huber":
        g = np.clip(one - y, -1.35, 1.35)
    else:
        g = np.zeros(len(y))
        for i in np.flatnonzero(y[:, 1]):
            risk = np.flatnonzero(y[:, 0] >= y[i, 0])
            logs = one[risk] + np.log(s[risk])
            g[risk] += s[i] * np.exp(logs - logsumexp(logs)) / s[risk]
            g[i] -= 1
    g = g if g.ndim == 2 else g[:, None]
    assert loss == "cox" or abs((s[:, None] * g).sum(axis=0)).max() <= 1e-6 * s.sum()
    return (X.T @ (s[:, None] * g)).T / s.sum()


def concavity_of(loss, X, y, s):
    centered = X - s @ X / s.sum()
    variance = s @ centered**2 / s.sum()
    mean = abs(s @ y) / s.sum() if np.ndim(y) == 1 else None
    return variance * {
        "logistic": 0.25, "multinomial": 0.25, "huber": 1.0, "gamma": 1.0,
        "poisson": mean, "tweedie": None if mean is None else mean**0.5,
        "cox": None if mean is not None else s @ y[:, 1] / s.sum(),
    }[loss]  # fmt: skip


@losses
@storages
@offsets
@pytest.mark.parametrize("kind", ["mcp", "scad"])
def test_concave_penalties_are_stationary(loss, storage, shifted, kind):
    X, y, s = make(loss, 3)
    alpha = ALPHA.get(loss, 0.08) / 0.8
    gamma, omega, offset = 4.0, WEIGHTS, offset_of(loss, shifted)
    model = ESTIMATORS[loss](
        alpha,
        penalty=kind,
        gamma=gamma,
        l1_ratio=0.8,
        feature_weights=omega,
        tol=1e-8,
    ).fit(storage(X), y, sample_weight=s, offset=offset)
    assert model.certificate_.kind == "kkt" and model.certificate_.satisfied
    gradient = gradient_of(loss, model, X, y, s, offset)
    coef = np.atleast_2d(model.coef_)
    finite = np.where(np.isinf(omega), 0.0, omega)
    lam, l2 = 0.8 * alpha * finite, 0.2 * alpha * finite
    size = np.abs(coef)
    if kind == "mcp":
        kappa = concavity_of(loss, X, y, s) / gamma
        slope = np.maximum(lam - kappa * size, 0.0)
    else:
        v = concavity_of(loss, X, y, s)
        middle = np.clip((gamma * lam - v * size) / (gamma - 1), 0.0, None)
        slope = np.where(v * size <= lam, lam, middle)
    violation = np.where(
        coef != 0,
        np.abs(gradient + l2 * coef + slope * np.sign(coef)),
        np.maximum(np.abs(gradient) - lam, 0.0),
    )
    violation[:, 4] = 0.0  # dropped
    assert violation.max() <= 1e-6
    assert not coef[:, 4].any()
    free = [2, 6]
    assert np.abs(gradient[:, free]).max() <= 1e-6
    assert np.any((slope < lam) & (coef != 0))  # something is less than fully shrunk


@losses
def test_nothing_is_selected_above_alpha_max_beside_free_features(loss):
    X, y, s = make(loss, 4)
    options = {"feature_weights": np.where(WEIGHTS == 0, 0.0, 1.0), "tol": 1e-8}
    cv = getattr(ssl, ESTIMATORS[loss].__name__ + "CV")
    grid = cv(alphas=3, cv=3, **options).fit(X, y, sample_weight=s).alphas_
    largest = grid[0]
    free, held = [2, 6], [0, 1, 3, 4, 5, 7]
    above = ESTIMATORS[loss](largest * 1.0001, **options).fit(X, y, sample_weight=s)
    assert not np.atleast_2d(above.coef_)[:, held].any()
    assert np.atleast_2d(above.coef_)[:, free].all()
    below = ESTIMATORS[loss](largest * 0.999, **options).fit(X, y, sample_weight=s)
    assert np.atleast_2d(below.coef_)[:, held].any()


@losses
@pytest.mark.parametrize("kind", ["elasticnet", "mcp", "scad", "group"])
def test_paths_and_cross_validation_of_every_pair(loss, kind):
    X, y, s = make(loss, 5)
    options = {"penalty": kind, "alphas": 4, "eps": 0.2, "tol": 1e-8}
    options["groups"] = GROUPS if kind == "group" else None
    cls = ESTIMATORS[loss]
    model = getattr(ssl, cls.__name__ + "CV")(cv=2, **options)
    model.fit(X, y, sample_weight=s)
    assert model.loss_path_.shape == (4, 2) and np.isfinite(model.loss_path_).all()
    best = int(model.cv_mean_.argmin())
    assert model.alpha_ == model.alphas_[best] and model.certificate_.satisfied
    path = cls.path(X, y, sample_weight=s, **options)
    assert_allclose(path.alphas, model.alphas_, rtol=1e-12)
    assert path.kind == model.certificate_.kind
    # The path stores what a fit that starts from the strength before finds.
    for name in ("alphas", "eps"):
        del options[name]
    single = cls(warm_start=True, **options)
    for k in range(1, 4):
        single.set_params(alpha=path.alphas[k]).fit(X, y, sample_weight=s)
        found = [path.coefs[..., k], model.coef_path_[..., k], single.coef_]
        if loss == "multinomial":  # known up to a constant over the classes
            found = [coef - coef.mean(axis=0) for coef in found]
        for coef in found[:2]:
            assert_allclose(coef, np.squeeze(found[2]), atol=1e-4)


def test_what_does_not_go_together_is_named():
    X, y, _ = make("poisson")
    for options, message in [
        ({"penalty": "group"}, "needs `groups`"),
        ({"groups": 2}, "`groups` goes with penalty='group'"),
        ({"gamma": 3.0}, "`gamma` is the shape of"),
        ({"penalty": "scad", "gamma": 1.5}, "must be above 2"),
        (
            {"penalty": "group", "groups": 2, "positive": True},
            "penalty='group' does not go with positive=True",
        ),
        (
            {"penalty": "group", "groups": 2, "feature_weights": np.ones(P)},
            "does not go with feature_weights",
        ),
        ({"feature_weights": np.ones(3)}, "one multiplier per feature"),
    ]:
        with pytest.raises(ValueError, match=message):
            ssl.SparsePoissonRegressor(**options).fit(X, y)
    with pytest.raises(ValueError, match="No alpha makes the ridge"):
        ssl.SparsePoissonRegressorCV(l1_ratio=0.0).fit(X, y)


def test_l1_is_an_alias_and_none_the_ratio_of_the_penalty():
    X, y, _ = make("poisson")
    a = ssl.SparsePoissonRegressor(0.1, penalty="l1").fit(X, y)
    b = ssl.SparsePoissonRegressor(0.1, l1_ratio=1.0).fit(X, y)
    assert_allclose(a.coef_, b.coef_)
    cv = ssl.SparsePoissonRegressorCV(
        penalty="group", groups=2, alphas=5, l1_ratio=[0.0, 0.5], cv=3
    ).fit(X, y)
    assert cv.l1_ratio_ in (0.0, 0.5) and cv.alphas_.shape == (2, 5)
