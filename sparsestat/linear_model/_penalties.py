"""Penalties: an integer code and flat arrays for the kernels, duals for the gap.

The solvers minimise ``||y - A w||^2 / 2 + sum_j penalty_j(w_j)`` on the weighted,
centred columns of a Design. A penalty therefore holds strengths that are already
multiplied by the sum of the sample weights.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.linear_model import _kernels_cd as kernels

__all__ = ["ConcavePenalty", "ElasticNetPenalty", "GapParts", "multiplier_array"]


def multiplier_array(values, name, size, unit):
    """Validate penalty multipliers, one for each feature or group."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (size,):
        raise ValueError(
            f"`{name}` has shape {values.shape}, expected ({size},): one multiplier "
            f"per {unit}."
        )
    if np.isnan(values).any() or (values < 0).any():
        raise ValueError(
            f"`{name}` must not be negative or NaN: 0 leaves a {unit} unpenalized, "
            "infinity drops it."
        )
    return values


class GapParts:
    """Primal value, dual value and the scaling of the residual that gave it.

    Attributes
    ----------
    primal, dual : float
    scaled_dual, target_dot : float
        The dual value of the scaled residual (`dual` may be that of another point),
        and the product of the target with the residual.
    scale : float
        The dual point is ``scale`` times the (augmented) residual.
    radius : float
        The optimal dual point is within this distance of the dual point.
    """

    def __init__(self, primal, dual, scale, scaled_dual, target_dot):
        self.primal = primal
        self.dual = dual
        self.scale = scale
        self.scaled_dual, self.target_dot = scaled_dual, target_dot
        # At an exact solution the gap is rounding: never trust it below that.
        rounding = 8.0 * np.finfo(np.float64).eps * abs(primal)
        self.radius = np.sqrt(2.0 * (max(primal - scaled_dual, 0.0) + rounding))

    @property
    def gap(self):
        """Primal minus dual value."""
        return self.primal - self.dual


def _strengths(alpha, total, n_features, feature_weights):
    """Return ``total * alpha * omega`` (infinite for dropped features) and kept."""
    omega = np.ones(n_features) if feature_weights is None else feature_weights
    dropped = np.isinf(omega)
    lam = np.where(dropped, np.inf, total * alpha * np.where(dropped, 0.0, omega))
    return lam, ~dropped if dropped.any() else None


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


class ElasticNetPenalty:
    r"""The weighted elastic net, ``lam_j |w_j| + l2_j w_j^2 / 2``.

    Here ``lam_j = total * alpha * l1_ratio * omega_j`` and ``l2_j = total * alpha
    * (1 - l1_ratio) * omega_j`` with feature weights omega: 0 leaves a feature
    free, infinity drops it. With several targets the absolute value becomes the
    norm of a row of coefficients.

    Attributes
    ----------
    lam, l2 : ndarray of shape (n_features,)
    free : ndarray of int
        Features without any penalty.
    kept : ndarray of bool or None
        False for dropped features; None when none is.
    """

    params = np.empty(0)
    is_convex = True

    @property
    def is_nothing(self):
        """Whether no feature is penalised."""
        return not self.has_l2 and not np.any(self.lam[np.isfinite(self.lam)])

    def columns_of(self, mask):
        """Return the features of a mask over the units, which are features here."""
        return np.flatnonzero(mask)

    def __init__(
        self,
        alpha,
        l1_ratio,
        n_features,
        total,
        *,
        l2_unit=1.0,
        positive=False,
        feature_weights=None,
    ):
        self.lam, self.kept = _strengths(
            alpha * l1_ratio, total, n_features, feature_weights
        )
        share = alpha * (1.0 - l1_ratio) * l2_unit
        l2, _ = _strengths(share, total, n_features, feature_weights)
        self.l2 = np.where(np.isfinite(l2), l2, 0.0)
        self.positive = positive
        self.code = kernels.L1_PLUS if positive else kernels.L1
        self.free = np.flatnonzero((self.lam == 0.0) & (self.l2 == 0.0))
        self.has_l2 = bool(self.l2.any())
        # Without feature weights one strength stands for all.
        self.uniform = float(self.lam[0]) if feature_weights is None else None

    @classmethod
    def of(cls, lam, l2):
        """Return the penalty with the given strengths of each feature."""
        penalty = cls(0.0, 1.0, len(lam), 1.0)
        penalty.lam, penalty.l2, penalty.uniform = lam, l2, None
        penalty.free = np.flatnonzero((lam == 0.0) & (l2 == 0.0))
        penalty.has_l2 = bool(l2.any())
        return penalty

    def least_factor(self, correlations):
        """Return the smallest multiple of the strengths that keeps w = 0."""
        magnitude = self.magnitude(correlations)
        penalised = (self.lam > 0) & np.isfinite(self.lam)
        ratios = magnitude[penalised] / self.lam[penalised]
        return float(np.max(ratios, initial=0.0))

    def derivatives(self, columns, w):
        """First and second derivative where the coefficients w are not zero."""
        l2 = self.l2[columns]
        return self.lam[columns] * np.sign(w) + l2 * w, l2

    def value(self, columns, w):
        """Penalty of coefficients w that stand on `columns`."""
        size = np.abs(w) if w.ndim == 1 else np.sqrt((w * w).sum(axis=1))
        if self.uniform is not None:
            absolute = self.uniform * float(size.sum())
        else:
            # A dropped feature has an infinite strength and a zero coefficient.
            used = np.flatnonzero(size)
            absolute = float(self.lam[columns][used] @ size[used])
        if not self.has_l2:
            return absolute
        return absolute + 0.5 * float(self.l2[columns] @ (size * size))

    def magnitude(self, correlations):
        """What is compared with lam: one-sided, absolute or row norm."""
        if correlations.ndim == 2:
            return np.sqrt((correlations**2).sum(axis=1))
        return correlations if self.positive else np.abs(correlations)

    def gap_parts(self, columns, w, correlations, residual_square, target_dot):
        """Duality gap at w, from quantities that every caller has at hand.

        Parameters
        ----------
        columns : ndarray of int
            The features that `w` and `correlations` stand on. The bound is one
            on the problem restricted to them.
        w : ndarray of shape (n_columns,) or (n_columns, n_targets)
        correlations : ndarray of the same shape
            Column products with the residual r = y - Aw. Free columns must be
            orthogonal to r up to rounding.
        residual_square, target_dot : float
            ``||r||^2`` and ``y'r``.

        Returns
        -------
        parts : GapParts
        """
        primal = 0.5 * residual_square + self.value(columns, w)
        augmented = residual_square
        shrunk = correlations
        if self.has_l2:
            l2 = self.l2[columns]
            wide = l2 if w.ndim == 1 else l2[:, None]
            augmented += float((wide * w * w).sum())
            shrunk = correlations - wide * w
        magnitude = self.magnitude(shrunk)
        ratio = self._largest_ratio(columns, magnitude)
        # theta = s (r, -sqrt(l2) w) is feasible for s <= 1 / ratio, and the dual
        # is a parabola in s with its top at y'r / ||(r, sqrt(l2) w)||^2.
        best = target_dot / augmented if augmented > 0 else 0.0
        scale = max(min(best, 1.0 / ratio if ratio > 0 else np.inf), 0.0)
        if self.has_l2:
            lam = self.lam[columns]
            if np.any((lam == 0) & (l2 > 0) & (magnitude > 0)):
                scale = 0.0  # no scaling is feasible, the conjugate form serves
        scaled = scale * target_dot - 0.5 * scale * scale * augmented
        dual = scaled
        if self.has_l2:
            # With l2 > 0 the constraint is soft: r itself has a finite dual value.
            soft = l2 > 0
            plain = self.magnitude(correlations)
            over = np.maximum(plain[soft] - lam[soft], 0.0)
            hard = ~soft & (lam > 0) & (plain > lam)
            if not hard.any():
                conjugate = target_dot - 0.5 * residual_square
                conjugate -= 0.5 * float((over * over / l2[soft]).sum())
                dual = max(dual, conjugate)
        return GapParts(primal, dual, scale, scaled, target_dot)

    def conjugate_error(self, correlations, reach):
        """Bound by how much the soft part of the dual value may err.

        Given bounds `reach` of the errors of the correlations.
        """
        soft = self.l2 > 0.0
        over = self.magnitude(correlations)[soft] + reach[soft] - self.lam[soft]
        return float((np.maximum(over, 0.0) * reach[soft] / self.l2[soft]).sum())

    def _largest_ratio(self, columns, magnitude):
        """Largest magnitude relative to its strength, over penalised features."""
        if self.uniform is not None:
            if self.uniform == 0.0 or magnitude.size == 0:
                return 0.0
            return max(float(magnitude.max()), 0.0) / self.uniform
        lam = self.lam[columns]
        bound = (lam > 0) & (magnitude > 0)
        return float(np.max(magnitude[bound] / lam[bound], initial=0.0))

    def screened(self, parts, w, correlations, squares):
        """Gap-safe rule: True for features that are zero in every solution.

        Parameters
        ----------
        parts : GapParts
            Of the whole problem at w.
        w, correlations : ndarray of shape (n_features,) or (n_features, n_targets)
        squares : ndarray of shape (n_features,)
            Squared column norms.
        """
        norms = np.sqrt(squares + self.l2) if self.has_l2 else np.sqrt(squares)
        shrunk = correlations
        if self.has_l2:
            shrunk = correlations - (self.l2 if w.ndim == 1 else self.l2[:, None]) * w
        magnitude = self.magnitude(shrunk)
        return parts.scale * magnitude + parts.radius * norms < self.lam

    def violations(self, columns, w, correlations):
        """Distance of the smooth part's descent direction to the subdifferential."""
        lam, l2 = self.lam[columns], self.l2[columns]
        if w.ndim == 2:
            lam, l2 = lam[:, None], l2[:, None]
            norm = np.sqrt((w * w).sum(axis=1))
            unit = w / np.where(norm > 0, norm, 1.0)[:, None]
            finite = np.where(np.isinf(lam), 0.0, lam)
            active = np.sqrt(((correlations - l2 * w - finite * unit) ** 2).sum(axis=1))
            resting = np.maximum(self.magnitude(correlations) - lam[:, 0], 0.0)
            return np.where(norm > 0, active, resting)
        finite = np.where(np.isinf(lam), 0.0, lam)
        active = np.abs(correlations - l2 * w - finite * np.sign(w))
        resting = np.maximum(self.magnitude(correlations) - lam, 0.0)
        return np.where(w != 0, active, resting)


class ConcavePenalty:
    r"""MCP or SCAD, which leave large coefficients unshrunk.

    With lam and the concavity kappa of a feature and t = abs(w_j), the MCP is
    ``lam t - kappa t^2 / 2`` up to ``t = lam / kappa`` and constant from there on.
    SCAD, with ``v = kappa (a - 1)``, has the slope lam up to ``t = lam / v`` and
    ``(a lam - v t) / (a - 1)`` from there to ``a lam / v``, where it is constant.
    Here ``lam_j = total * alpha * omega_j``, and kappa_j is ``curvatures_j / gamma``
    (MCP) or ``curvatures_j / (a - 1)`` (SCAD): a shape above 1 (MCP) or 2 (SCAD)
    keeps the problem in one coordinate convex wherever the loss is at least as
    curved as `curvatures`.

    Parameters
    ----------
    kind : {"mcp", "scad"}
    alpha : float
    shape : float
        gamma of the MCP, a of SCAD. Infinity makes the absolute value.
    curvatures : ndarray of shape (n_features,)
        Second derivative of the loss (not divided by `total`) in each coordinate;
        for least squares the squared norms of the columns.
    total : float
        Sum of the sample weights.
    feature_weights : ndarray of shape (n_features,), default=None
        0 leaves a feature free, infinity drops it.

    Attributes
    ----------
    lam, l2 : ndarray of shape (n_features,)
        Strengths, and concavities (the kernels take them in the place of l2).
    free : ndarray of int
        Features without any penalty.
    kept : ndarray of bool or None
        False for dropped features; None when none is.
    """

    is_convex = False
    positive = False
    has_l2 = False

    @property
    def is_nothing(self):
        """Whether no feature is penalised."""
        return not np.any(self.lam[np.isfinite(self.lam)])

    def columns_of(self, mask):
        """Return the features of a mask over the units, which are features here."""
        return np.flatnonzero(mask)

    def __init__(self, kind, alpha, shape, curvatures, total, *, feature_weights=None):
        n_features = len(curvatures)
        self.kind, self.shape = kind, float(shape)
        self.lam, self.kept = _strengths(alpha, total, n_features, feature_weights)
        self.code = {"mcp": kernels.MCP, "scad": kernels.SCAD}[kind]
        divisor = self.shape if kind == "mcp" else self.shape - 1.0
        bends = (self.lam > 0) & np.isfinite(self.lam) & np.isfinite(divisor)
        self.l2 = np.where(bends, np.asarray(curvatures) / divisor, 0.0)
        # An infinite shape would make 0 * infinity; without concavity it is not used.
        self.params = np.array([self.shape if np.isfinite(divisor) else 3.0])
        self.free = np.flatnonzero(self.lam == 0.0)

    def value(self, columns, w):
        """Penalty of coefficients w that stand on `columns`."""
        used = np.flatnonzero(w)
        lam, kappa = self.lam[columns][used], self.l2[columns][used]
        t = np.abs(w[used])
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.code == kernels.MCP:
                flat = kappa * t >= lam
                flat &= kappa > 0
                rising = lam * t - 0.5 * kappa * t * t
                return float(np.where(flat, 0.5 * lam * lam / kappa, rising).sum())
            a = self.params[0]
            v = kappa * (a - 1.0)
            bend = (2.0 * a * lam * t - v * t * t - lam * lam / v) / (2.0 * (a - 1.0))
            level = 0.5 * (a + 1.0) * lam * lam / v
        values = np.where(v * t <= lam, lam * t, np.where(v * t < a * lam, bend, level))
        return float(values.sum())

    def derivatives(self, columns, w):
        """First and second derivative where the coefficients w are not zero."""
        lam, kappa, t = self.lam[columns], self.l2[columns], np.abs(w)
        lam = np.where(np.isinf(lam), 0.0, lam)  # dropped: w is zero there
        if self.code == kernels.MCP:
            concave = kappa * t < lam
            first = np.where(concave, lam - kappa * t, 0.0)
        else:
            a = self.params[0]
            v = kappa * (a - 1.0)
            concave = (v * t > lam) & (v * t < a * lam)
            first = np.where(v * t <= lam, lam, 0.0)
            first = np.where(concave, (a * lam - v * t) / (a - 1.0), first)
        return np.sign(w) * first, np.where(concave, -kappa, 0.0)

    def magnitude(self, correlations):
        """What is compared with lam to tell whether zero is stationary."""
        return np.abs(correlations)

    def least_factor(self, correlations):
        """Return the smallest multiple of the strengths that keeps w = 0."""
        penalised = (self.lam > 0) & np.isfinite(self.lam)
        ratios = np.abs(correlations[penalised]) / self.lam[penalised]
        return float(np.max(ratios, initial=0.0))

    def violations(self, columns, w, correlations):
        """Distance of the smooth part's descent direction to the subdifferential."""
        lam = self.lam[columns]
        nonzero = w != 0
        first, _ = self.derivatives(columns, np.where(nonzero, w, 0.0))
        active = np.abs(correlations - np.where(nonzero, first, 0.0))
        return np.where(nonzero, active, np.maximum(np.abs(correlations) - lam, 0.0))

    def gap_parts(self, columns, w, correlations, residual_square, target_dot):
        """Objective, and the largest violation of stationarity in place of a gap."""
        violations = self.violations(columns, w, correlations)
        primal = 0.5 * residual_square + self.value(columns, w)
        return StationarityParts(primal, float(np.max(violations, initial=0.0)))
