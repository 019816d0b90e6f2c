"""Outside measures of Lasso-like solutions, written from the definitions."""

import numpy as np


def centered(X, y, sample_weight=None, fit_intercept=True):
    """Weighted, centered and scaled data: an unweighted problem without intercept."""
    X = np.asarray(X, dtype=float)
    y = np.asarray(y, dtype=float)
    s = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)
    if fit_intercept:
        X = X - s @ X / s.sum()
        y = y - s @ y / s.sum()
    root = np.sqrt(s)
    wide = root if y.ndim == 1 else root[:, None]
    return root[:, None] * X, wide * y, s.sum()


def objective(X, y, w, alpha, l1_ratio=1.0, omega=None, **weights):
    """The penalized objective, loss divided by the sum of weights."""
    A, t, total = centered(X, y, **weights)
    omega = np.ones(A.shape[1]) if omega is None else np.asarray(omega, float)
    size = np.abs(w) if w.ndim == 1 else np.sqrt((w**2).sum(axis=1))
    used = size > 0
    penalty = l1_ratio * size + 0.5 * (1 - l1_ratio) * size**2
    loss = ((t - A @ w) ** 2).sum() / (2 * total)
    return loss + alpha * (omega[used] @ penalty[used])


def relative_gap(X, y, w, alpha, l1_ratio=1.0, **weights):
    """Duality gap divided by the squared target norm.

    The better of two dual points: the residual, scaled to be feasible for the
    augmented problem, and as it is, where the ridge pays for what is infeasible.
    """
    A, t, total = centered(X, y, **weights)
    l1, l2 = total * alpha * l1_ratio, total * alpha * (1 - l1_ratio)
    r = t - A @ w
    size = np.abs(w) if w.ndim == 1 else np.sqrt((w**2).sum(axis=1))
    primal = 0.5 * (r**2).sum() + l1 * size.sum() + 0.5 * l2 * (w**2).sum()
    g = A.T @ r - l2 * w
    norms = np.abs(g) if w.ndim == 1 else np.sqrt((g**2).sum(axis=1))
    augmented = (r**2).sum() + l2 * (w**2).sum()
    dot = (t * r).sum()
    scale = min(dot / augmented, l1 / norms.max())
    dual = scale * dot - 0.5 * scale**2 * augmented
    if l2 > 0.0:
        g = A.T @ r
        norms = np.abs(g) if w.ndim == 1 else np.sqrt((g**2).sum(axis=1))
        over = np.maximum(norms - l1, 0.0)
        dual = max(dual, dot - 0.5 * (r**2).sum() - over @ over / (2 * l2))
    return (primal - dual) / (t**2).sum()


def largest_kkt_violation(X, y, w, alpha, l1_ratio=1.0, omega=None, **weights):
    """Largest distance of minus the gradient to the subdifferential."""
    A, t, total = centered(X, y, **weights)
    omega = np.ones(A.shape[1]) if omega is None else np.asarray(omega, float)
    kept = np.isfinite(omega)
    A, w, omega = A[:, kept], w[kept], omega[kept]
    g = A.T @ (t - A @ w) / total - alpha * (1 - l1_ratio) * omega * w
    lam = alpha * l1_ratio * omega
    active = np.abs(g - lam * np.sign(w))
    resting = np.maximum(np.abs(g) - lam, 0.0)
    return float(np.where(w != 0, active, resting).max())
