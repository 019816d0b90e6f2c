"""Duality gaps, and violations where there are none, of every loss and penalty."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

__all__ = [
    "GapParts",
    "StationarityParts",
    "likelihood_dual",
    "squared_parts",
    "squared_screen",
]


class GapParts:
    """Primal value, dual value and the scaling of the residual that gave it.

    Attributes
    ----------
    primal, dual, gap : float
    scaled_dual, target_dot : float
        The dual value of the scaled residual (`dual` may be that of another point),
        and the product of the target with the residual.
    scale : float
        The dual point is ``scale`` times the (augmented) residual.
    radius : float
        The optimal dual point is within this distance of the dual point.
    """

    def __init__(self, primal, dual, scale, scaled_dual, target_dot):
        self.primal, self.dual = primal, dual
        self.gap, self.scale = primal - dual, scale
        self.scaled_dual, self.target_dot = scaled_dual, target_dot
        # At an exact solution the gap is rounding: never trust it below that.
        rounding = 8.0 * np.finfo(np.float64).eps * abs(primal)
        self.radius = np.sqrt(2.0 * (max(primal - scaled_dual, 0.0) + rounding))


class StationarityParts:
    """Primal value and largest violation, where no duality gap exists.

    Attributes
    ----------
    primal, gap : float
        `gap` is the largest violation of stationarity.
    """

    dual = np.nan
    scale = 0.0
    radius = np.inf  # nothing can be screened

    def __init__(self, primal, violation):
        self.primal = primal
        self.gap = violation


def squared_parts(penalty, w, correlations, residual_square, target_dot):
    """Return the gap of a squared loss, or its largest violation if not convex.

    Parameters
    ----------
    penalty : Penalty
        Of the features that `w` and `correlations` stand on; the bound is one on the
        problem restricted to them.
    w, correlations : ndarray of shape (n_features,) or (n_features, n_targets)
        Coefficients, and products of the columns with the residual r = y - A w. Free
        columns must be orthogonal to r up to rounding.
    residual_square, target_dot : float
        ``||r||^2`` and ``y'r``.

    Returns
    -------
    parts : GapParts or StationarityParts
    """
    primal = 0.5 * residual_square + penalty.value(w)
    if not penalty.is_convex:
        worst = float(np.max(penalty.violations(w, correlations), initial=0.0))
        return StationarityParts(primal, worst)
    augmented, shrunk = residual_square, correlations
    if penalty.has_l2:
        ridge = (penalty.l2 if w.ndim == 1 else penalty.l2[:, None]) * w
        augmented += float(np.vdot(ridge, w))
        shrunk = correlations - ridge
    # theta = s (r, -sqrt(l2) w) is feasible for s <= 1 / ratio, and the dual is a
    # parabola in s with its top at y'r / ||(r, sqrt(l2) w)||^2.
    ratio = penalty.gauge(shrunk)
    best = target_dot / augmented if augmented > 0 else 0.0
    scale = max(min(best, 1.0 / ratio if ratio > 0 else np.inf), 0.0)
    scaled = scale * target_dot - 0.5 * scale * scale * augmented
    dual = scaled
    if penalty.has_l2:
        # With l2 > 0 the constraint is soft: r itself has a finite dual value.
        soft = target_dot - 0.5 * residual_square - penalty.conjugate(correlations)
        dual = max(dual, soft)
    return GapParts(primal, dual, scale, scaled, target_dot)


def squared_screen(penalty, parts, w, correlations, squares):
    """Gap-safe rule: True for units that are zero in every solution.

    Parameters
    ----------
    penalty : Penalty
    parts : GapParts
        Of the whole problem at w.
    w, correlations : ndarray of shape (n_features,) or (n_features, n_targets)
    squares : ndarray of shape (n_units,)
        Squared norms of the columns; those of the columns of a group, added up, bound
        its spectral norm.
    """
    if penalty.has_l2:
        ridge = (penalty.l2 if w.ndim == 1 else penalty.l2[:, None]) * w
        correlations, squares = correlations - ridge, squares + penalty.l2
    reach = parts.radius * np.sqrt(squares)
    return penalty.screened(parts.scale * correlations, reach)


def likelihood_dual(datafit, penalty, gradient, q):
    """Return the best dual value of a multiple of the gradient, and that multiple.

    Parameters
    ----------
    datafit : Datafit
    penalty : Penalty
    gradient : ndarray
        Of the loss, in the linear predictor.
    q : ndarray
        Products of the columns with its negative.

    Returns
    -------
    dual, multiple : float
    """
    ratio = penalty.gauge(q)
    multiple = min(1.0, 1.0 / ratio) if ratio > 0 else 1.0
    dual = -datafit.conjugate(multiple * gradient) if multiple > 0 else -np.inf
    if penalty.has_l2 and multiple < 1.0:
        # The constraint is soft, so the gradient itself is feasible too.
        soft = -datafit.conjugate(gradient) - penalty.conjugate(q)
        if soft > dual:
            return soft, 1.0
    return dual, multiple
