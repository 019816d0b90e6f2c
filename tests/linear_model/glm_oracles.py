"""Outside measures of sparse generalized linear models, from the definitions."""

import numpy as np
from scipy.special import logsumexp, xlogy


def softmax_terms(eta, codes):
    """Losses and gradient rows of the multinomial log loss."""
    top = logsumexp(eta, axis=1)
    rows = np.arange(len(codes))
    P = np.exp(eta - top[:, None])
    P[rows, codes] -= 1.0
    return top - eta[rows, codes], P


def loss_terms(kind, eta, y, delta=1.35):
    """Losses and derivatives of one linear predictor for each sample."""
    if kind == "logistic":
        return np.logaddexp(0, eta) - y * eta, 1 / (1 + np.exp(-eta)) - y
    if kind == "poisson":
        return np.exp(eta) - y * eta, np.exp(eta) - y
    if kind == "gamma":
        return y * np.exp(-eta) + eta, 1 - y * np.exp(-eta)
    if kind == "tweedie":
        low, high = y * np.exp(-eta / 2), np.exp(eta / 2)
        return 2 * low + 2 * high, high - low
    r = eta - y
    small = np.abs(r) <= delta
    value = np.where(small, r * r / 2, delta * np.abs(r) - delta**2 / 2)
    return value, np.clip(r, -delta, delta)


def cox_loss(eta, time, event, ties="breslow"):
    """Negative log partial likelihood, one risk set after the other."""
    total = 0.0
    for t in np.unique(time[event]):
        at = event & (time == t)
        risk = np.exp(eta[time >= t]).sum()
        tied = np.exp(eta[at]).sum()
        for k in range(at.sum()):
            share = k / at.sum() if ties == "efron" else 0.0
            total += np.log(risk - share * tied)
        total -= eta[at].sum()
    return total


def violation(W, G, alpha, l1_ratio=1.0):
    """Largest distance of minus the gradient G to the subdifferential of alpha |W|."""
    G = G + alpha * (1 - l1_ratio) * W
    lam = alpha * l1_ratio
    active = np.abs(G + lam * np.sign(W))
    return float(np.where(W != 0, active, np.maximum(np.abs(G) - lam, 0)).max())


def logistic_gap(X, y, w, b, alpha, l1_ratio=1.0):
    """Duality gap of the binary problem divided by its null loss."""
    n = len(y)
    value, r = loss_terms("logistic", X @ w + b, y)
    primal = value.sum() + n * alpha * (
        l1_ratio * np.abs(w).sum() + (1 - l1_ratio) / 2 * w @ w
    )
    lam, l2 = n * alpha * l1_ratio, n * alpha * (1 - l1_ratio)
    q = np.abs(X.T @ r)
    duals = []
    for c in (1.0, min(1.0, lam / q.max())):
        t = c * r + y
        conjugate = (xlogy(t, t) + xlogy(1 - t, 1 - t)).sum()
        over = np.maximum(c * q - lam, 0)
        if l2 > 0:
            duals.append(-conjugate - (over**2).sum() / (2 * l2))
        elif over.max() <= 1e-9 * lam:
            duals.append(-conjugate)
    p = y.mean()
    return (primal - max(duals)) / (-n * (xlogy(p, p) + xlogy(1 - p, 1 - p)))


def poisson_gap(X, y, w, b, alpha):
    """Duality gap of the absolute penalty on Poisson counts, per sample."""
    n = len(y)
    value, r = loss_terms("poisson", X @ w + b, y)
    primal = value.sum() + n * alpha * np.abs(w).sum()
    c = min(1.0, n * alpha / np.abs(X.T @ r).max())
    t = c * r + y
    return (primal + (xlogy(t, t) - t).sum()) / n
