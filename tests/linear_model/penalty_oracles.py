"""Outside measures for concave, group and sorted penalties, from the definitions."""

import numpy as np

from tests.linear_model.lasso_oracles import centered


def concave_value(kind, t, alpha, shape):
    """MCP or SCAD of abs(w) = t for a feature of unit variance."""
    t = np.abs(t)
    if kind == "mcp":
        flat = 0.5 * shape * alpha**2
        return np.where(t <= shape * alpha, alpha * t - t**2 / (2 * shape), flat)
    middle = (2 * shape * alpha * t - t**2 - alpha**2) / (2 * (shape - 1))
    flat = 0.5 * alpha**2 * (shape + 1)
    return np.where(t <= alpha, alpha * t, np.where(t <= shape * alpha, middle, flat))


def concave_slope(kind, t, alpha, shape):
    """Derivative of MCP or SCAD at t > 0 for a feature of unit variance."""
    if kind == "mcp":
        return np.maximum(alpha - t / shape, 0.0)
    return np.where(t <= alpha, alpha, np.maximum(shape * alpha - t, 0) / (shape - 1))


def concave_problem(X, y, w, alpha, kind, shape, omega=None, **weights):
    """Objective and relative violation of stationarity of MCP or SCAD.

    The features are standardized, the strength of each divided by its scale, and
    the textbook formulas applied.
    """
    A, t, total = centered(X, y, **weights)
    omega = np.ones(A.shape[1]) if omega is None else omega
    scale = np.sqrt((A**2).sum(axis=0) / total)
    scale[scale == 0] = 1.0
    r = t - A @ w
    strength = alpha * omega / scale
    value = concave_value(kind, w * scale, strength, shape).sum()
    gradient = A.T @ r / total
    slope = scale * concave_slope(kind, np.abs(w) * scale, strength, shape)
    violation = np.where(
        w != 0,
        np.abs(gradient - np.sign(w) * slope),
        np.maximum(np.abs(gradient) - alpha * omega, 0.0),
    )
    return 0.5 * r @ r / total + value, violation.max() / np.abs(A.T @ t / total).max()


def group_objective(X, y, w, alpha, groups, l1_ratio, omega, **weights):
    """Objective of the sparse-group Lasso."""
    A, t, total = centered(X, y, **weights)
    norms = np.array([np.linalg.norm(w[g]) for g in groups])
    used = norms > 0
    penalty = (1 - l1_ratio) * omega[used] @ norms[used] + l1_ratio * np.abs(w).sum()
    return ((t - A @ w) ** 2).sum() / (2 * total) + alpha * penalty


def group_gap(X, y, w, alpha, groups, l1_ratio, omega, **weights):
    """Duality gap over the squared norm of y; the dual norm by bisection."""
    A, t, total = centered(X, y, **weights)
    r = t - A @ w
    scale = t @ r / (r @ r)  # the best multiple, if it is feasible
    for g, weight in zip(groups, omega, strict=True):
        c = np.abs(A[:, g].T @ r) / (total * alpha)
        low, high = 0.0, scale
        for _ in range(200):
            s = 0.5 * (low + high)
            inside = np.maximum(s * c - l1_ratio, 0.0)
            if np.linalg.norm(inside) <= (1 - l1_ratio) * weight:
                low = s
            else:
                high = s
        scale = min(scale, low)
    primal = total * group_objective(X, y, w, alpha, groups, l1_ratio, omega, **weights)
    return (primal - scale * t @ r + 0.5 * scale**2 * r @ r) / (t @ t)


def slope_objective(X, y, w, alpha, lambdas, **weights):
    """Objective of SLOPE."""
    A, t, total = centered(X, y, **weights)
    penalty = np.sort(np.abs(w))[::-1] @ lambdas
    return ((t - A @ w) ** 2).sum() / (2 * total) + alpha * penalty


def slope_gap(X, y, w, alpha, lambdas, **weights):
    """Duality gap over the squared norm of y."""
    A, t, total = centered(X, y, **weights)
    r = t - A @ w
    c = np.cumsum(np.sort(np.abs(A.T @ r))[::-1]) / (total * alpha)
    scale = min(t @ r / (r @ r), 1.0 / np.max(c / np.cumsum(lambdas)))
    primal = total * slope_objective(X, y, w, alpha, lambdas, **weights)
    return (primal - scale * t @ r + 0.5 * scale**2 * r @ r) / (t @ t)
