"""A satisfied certificate is never false: hard instances, recomputed in 50 digits.

Each instance is fitted with a tolerance that is sometimes out of reach of double
precision. Where the certificate says that it was met, the gap of the coefficients that
were returned is computed again from the data that were given, with all digits.
"""

import warnings

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import sparse
from sklearn.base import clone

from sparsestat.exceptions import NumericalError
from sparsestat.linear_model import (
    ElasticNet,
    GroupLasso,
    Lasso,
    MultiTaskLasso,
    SparseLogisticRegression,
    SparsePoissonRegressor,
)

DIGITS = 50


def instance(rng):
    """Return X, a target and weights (or None) that are hard in some way."""
    n, p = rng.integers(5, 22), rng.integers(1, 8)
    X = rng.standard_normal((n, p))
    kind = rng.integers(6)
    if kind == 1:
        X = X + 2.0 ** rng.integers(0, 27, p) * rng.integers(0, 2, p)
    elif kind == 2:
        X = X[:, rng.integers(0, p, p)] + 10.0 ** rng.uniform(-12, -2) * X
    elif kind == 3:
        X = X * 10.0 ** rng.uniform(-8, 8, p)
    elif kind == 4:
        X = np.round(X)
    y = X[:, 0] / (np.abs(X[:, 0]).max() + 1e-300) + 0.3 * rng.standard_normal(n)
    weights = None
    if rng.random() < 0.4:
        weights = 10.0 ** rng.uniform(-6, 6, n) * (rng.random(n) < 0.9)
        weights[:3] = 1.0
    return X, y, weights


def container(X, rng):
    choice = rng.integers(4)
    if choice == 0:
        return sparse.csc_array(X)
    if choice == 1:
        return X.astype(np.float32)
    return np.asfortranarray(X) if choice == 2 else X


def exact(values):
    """Return an array of numbers with all digits."""
    return np.vectorize(mpf, otypes=[object])(np.asarray(values, dtype=float))


def dense(X):
    return np.asarray(X.toarray() if sparse.issparse(X) else X, dtype=float)


def total(values):
    return sum(np.ravel(values), mpf(0))


def squared_gap(X, y, weights, model, witness, norm, dual_norm, l1, l2):
    """Return the gap of ``mean loss + norm(W) + l2 |W|^2 / 2`` and its unit.

    The residual of `witness` is the dual point; `dual_norm` is the least factor of the
    strengths that makes it feasible.
    """
    X, y, s = exact(X), exact(y), exact(weights)
    y = y if y.ndim == 2 else y[:, None]
    s = (s / total(s))[:, None]

    def parts(fitted):
        W = exact(fitted.coef_).T.reshape(X.shape[1], -1)
        return W, y - X @ W - exact(np.atleast_1d(fitted.intercept_))[None]

    W, R = parts(model)
    primal = total(s * R * R) / 2 + norm(W) + l2 * total(W * W) / 2
    # Any residual whose weighted sum is zero makes a dual point.
    W, R = parts(witness)
    R = R - (s * R).sum(axis=0)
    centered = y - (s * y).sum(axis=0)
    correlations = X.T @ (s * R)
    bound = dual_norm(correlations - l2 * W)
    square, product = total(s * R * R) + l2 * total(W * W), total(s * centered * R)
    best = product / square if square > 0 else mpf(0)
    c = max(min(best, 1 / bound if bound > 0 else best), mpf(0))
    dual = c * product - c * c * square / 2
    if l2 > 0:  # the ridge makes the constraint of the dual a soft one
        over = [max(abs(v) - l1, mpf(0)) for v in np.ravel(correlations)]
        soft = product - total(s * R * R) / 2 - sum(v * v for v in over) / (2 * l2)
        dual = max(dual, soft)
    return primal - dual, total(s * centered * centered)


def witness_of(model, Z, y, weights):
    """Return a model whose residual proves that the coefficients are optimal.

    That of coefficients stored in single precision is too coarse to show it.
    """
    if Z.dtype != np.float32:
        return model
    return clone(model).fit(Z.astype(np.float64), y, sample_weight=weights)


def check_squared(rng):
    X, y, weights = instance(rng)
    Z = container(X, rng)
    raw = dense(Z)
    held = np.ones(len(y)) if weights is None else weights
    name = rng.integers(4)
    tol = 10.0 ** rng.uniform(-15, -3)
    center = raw - held @ raw / held.sum()
    reach = np.abs(center.T @ (held * y)).max() / held.sum()
    alpha = float(max(reach, 1e-300) * 10.0 ** rng.uniform(-7, 0))
    options = {"tol": tol, "max_epochs": 2000}
    ratio = 1.0
    if name == 0:
        model = Lasso(alpha, **options)
    elif name == 1:
        ratio = rng.uniform(0.2, 1.0)
        model = ElasticNet(alpha, l1_ratio=ratio, **options)
    elif name == 2:
        model = GroupLasso(2, alpha=alpha, group_weights=None, **options)
    else:
        y = np.column_stack([y, rng.standard_normal(len(y))])
        model = MultiTaskLasso(alpha, **options)
    model.fit(Z, y, sample_weight=weights)
    if not model.certificate_.satisfied:
        return 0
    l1, l2 = mpf(alpha) * mpf(ratio), mpf(alpha) * (1 - mpf(ratio))
    rows = np.arange(raw.shape[1]) // (2 if name == 2 else 1)

    def norms(W):
        square = (W * W).sum(axis=1)
        return [
            mpmath.sqrt(total(square[rows == g])) for g in range(int(rows.max()) + 1)
        ]

    gap, unit = squared_gap(
        raw,
        y,
        held,
        model,
        witness_of(model, Z, y, weights),
        lambda W: l1 * sum(norms(W), mpf(0)),
        lambda C: max(norms(C)) / l1,
        l1,
        l2,
    )
    assert gap <= mpf(tol) * unit * (1 + mpf(10) ** -9), (name, model)
    return 1


def check_likelihood(rng):
    X, y, weights = instance(rng)
    Z = container(X, rng)
    raw = dense(Z)
    poisson = rng.random() < 0.5
    if poisson:
        y = rng.poisson(np.exp(np.clip(y, -3, 3))).astype(float)
        y[0] += 1
    else:
        y = (y > np.median(y)).astype(float)
    if weights is not None:
        weights[np.argmax(y)] = weights[np.argmin(y)] = 1.0
    held = np.ones(len(y)) if weights is None else weights
    tol = 10.0 ** rng.uniform(-13, -3)
    mean = held @ y / held.sum()
    center = raw - held @ raw / held.sum()
    reach = np.abs(center.T @ (held * (y - mean))).max() / held.sum()
    alpha = float(max(reach, 1e-300) * 10.0 ** rng.uniform(-3, 0))
    cls = SparsePoissonRegressor if poisson else SparseLogisticRegression
    model = cls(alpha, tol=tol, max_epochs=2000)
    model.fit(Z, y, sample_weight=weights)
    if not model.certificate_.satisfied:
        return 0
    X, t, s = exact(raw), exact(y), exact(held)
    s = s / total(s)
    w = exact(model.coef_).ravel()
    log, exp = np.frompyfunc(mpmath.log, 1, 1), np.frompyfunc(mpmath.exp, 1, 1)

    def entropy(u):
        return u * log(np.where(u > 0, u, mpf(1)))

    def loss(eta):
        values = exp(eta) if poisson else log(1 + exp(eta))
        return total(s * (values - t * eta))

    def fitted(eta):
        return exp(eta) if poisson else 1 / (1 + exp(-eta))

    eta = X @ w + mpf(float(np.ravel(model.intercept_)[0]))
    primal = loss(eta) + mpf(alpha) * total(abs(w))
    witness = witness_of(model, Z, y, weights)
    eta = X @ exact(witness.coef_).ravel() + mpf(float(np.ravel(witness.intercept_)[0]))
    # The intercept that makes the gradient sum to zero, for the dual point.
    shift = mpf(0)
    for _ in range(60):
        mu = fitted(eta + shift)
        bend = total(s * mu) if poisson else total(s * mu * (1 - mu))
        step = total(s * (t - mu)) / bend
        shift += step
        if abs(step) < mpf(10) ** -40:
            break
    v = fitted(eta + shift) - t
    bound = max(abs(X.T @ (s * v))) / mpf(alpha)
    c = min(mpf(1), 1 / bound) if bound > 0 else mpf(1)
    u = t + c * v
    conjugate = entropy(u) - u if poisson else entropy(u) + entropy(1 - u)
    dual = -total(s * conjugate)
    null = mpf(0) + total(s * t)
    null = mpmath.log(null) if poisson else mpmath.log(null / (1 - null))
    unit = loss(np.full(len(t), null, dtype=object))
    if poisson:
        unit -= total(s * (t - entropy(t)))
    assert primal - dual <= mpf(tol) * unit * (1 + mpf(10) ** -9), model
    return 1


@pytest.mark.parametrize("check", [check_squared, check_likelihood])
def test_satisfied_gaps_are_true(check, global_random_seed, n_instances=60):
    rng = np.random.default_rng(global_random_seed)
    proved = 0
    with mp.workdps(DIGITS), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(n_instances):
            try:
                proved += check(rng)
            except NumericalError:
                continue
    assert proved > n_instances // 4  # the instances are hard, not hopeless
