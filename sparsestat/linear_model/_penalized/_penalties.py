r"""Penalties: strengths and a code for the kernels, duals for the gap.

A penalty is ``sum_u lam_u |w_u|`` over units u (coefficients, rows of them, groups),
with a ridge ``sum_j l2_j w_j^2 / 2`` beside it, or a concave cousin of it. Solvers
minimize ``loss(A w) + penalty(w)`` with a loss that is a sum over samples, so that
strengths are already multiplied by the sum of the sample weights. With q the negative
gradient of the loss, ``A'r`` for a squared one, every penalty has:

- ``value(w)``;
- ``magnitude(q)``: what is compared with `lam`, one number a unit, to tell whether the
  unit may rest at zero; ``excess(q)``, by how much it may not;
- ``violations(w, q)``: distance of q to the subdifferential at w, one number a unit;
- ``gauge(q)``: the smallest multiple of the strengths that keeps ``w = 0``, infinite
  where no multiple does; ``ratio(q)``, the same for units that have a strength;
- ``conjugate(q)``, and ``conjugate_error(q, reach)``, a bound of its error when those
  of q are bounded by `reach`;
- ``screened(q, reach)``: the units that are zero in every solution, given that the
  best dual products are within `reach` of q;
- ``restricted(units)``: the penalty on some of the units, as one on them alone, and
  ``columns_of(mask)``, the features of a mask over the units;
- ``derivatives(w)`` and ``slopes(w)`` (coefficients as units): first and second
  derivative where w is not zero, and the slope in ``|w|`` of what is not the ridge;
- ``lam`` and ``l2`` as arrays; ``free``, the features that nothing penalizes; ``kept``,
  False for units that are dropped, or None; ``positive``, whether negative coefficients
  are ruled out; ``is_convex``; ``has_l2``; ``is_nothing``.

The kernels of separable penalties take ``code``, ``params``, ``lam`` and
``kernel_l2``. A new penalty is a branch there and a class here.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.linear_model._penalized import _kernels_cd as kernels

__all__ = [
    "SHAPES",
    "ConcavePenalty",
    "ElasticNetPenalty",
    "Penalty",
    "multiplier_array",
]

# Of concave penalties: the name of the shape, its default, and what it lies above.
SHAPES = {"mcp": ("gamma", 3.0, 1.0), "scad": ("a", 3.7, 2.0)}


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


def _strengths(alpha, total, n_features, feature_weights):
    """Return ``total * alpha * omega`` (infinite for dropped features) and kept."""
    omega = np.ones(n_features) if feature_weights is None else feature_weights
    dropped = np.isinf(omega)
    lam = np.where(dropped, np.inf, total * alpha * np.where(dropped, 0.0, omega))
    return lam, ~dropped if dropped.any() else None


def _row_norms(w):
    return np.sqrt((w * w).sum(axis=1))


class Penalty:
    """What all penalties share; see the module for what they offer."""

    is_convex = True
    is_grouped = False
    positive = False
    params = np.empty(0)
    kept = None

    @property
    def is_nothing(self):
        """Whether no feature is penalized."""
        return not self.has_l2 and not np.any(self.lam[np.isfinite(self.lam)])

    def columns_of(self, mask):
        """Return the features of a mask over the units, which are features here."""
        return np.flatnonzero(mask)

    def excess(self, q):
        """By how much zeros violate optimality; negative where they do not."""
        return self.magnitude(q) - self._wide(self.lam, q)

    def screened(self, q, reach):
        """Gap-safe rule: True for units that are zero in every solution."""
        return self.magnitude(q) + self._wide(reach, q) < self._wide(self.lam, q)

    def conjugate(self, q):
        """Return the conjugate at q; infinite outside its domain."""
        over = np.maximum(self.excess(q), 0.0)
        if not over.any():
            return 0.0
        if not self.has_l2:
            # Free units are no part of the dual: q is zero there, to rounding.
            return np.inf if np.any(over * (self._wide(self.lam, q) > 0)) else 0.0
        l2 = self._wide(self._unit_l2, q)
        if np.any((over > 0) & (l2 == 0) & (self._wide(self.lam, q) > 0)):
            return np.inf
        return 0.5 * float((over * over / np.where(l2 > 0, l2, np.inf)).sum())

    def conjugate_error(self, q, reach):
        """Bound by how much the conjugate at q may err, given errors of its rows."""
        reach = self._wide(self._unit_reach(reach), q)
        l2 = self._wide(self._unit_l2, q)
        over = np.maximum(self.excess(q) + reach, 0.0)
        return float((over * reach / np.where(l2 > 0, l2, np.inf)).sum())


class _Separable(Penalty):
    """A penalty on every coefficient, or on every row of coefficients if `joint`."""

    joint = False

    def _wide(self, values, w):
        """Return values of the features beside w: a column where entries are units."""
        return values if w.ndim == 1 or self.joint else values[:, None]

    def _column(self, values, w):
        return values if w.ndim == 1 else values[:, None]

    @property
    def _unit_l2(self):
        return self.l2

    def _unit_reach(self, reach):
        return reach

    @property
    def _finite(self):
        # A dropped feature has an infinite strength and a zero coefficient.
        return self.lam if self.kept is None else np.where(self.kept, self.lam, 0.0)

    def magnitude(self, q):
        """What is compared with lam: one-sided, absolute or the norm of a row."""
        if q.ndim == 2 and self.joint:
            return _row_norms(q)
        return q if self.positive else np.abs(q)

    def ratio(self, q):
        """Return the largest magnitude relative to its strength, where there is one."""
        magnitude = self.magnitude(q)
        if magnitude.size == 0:
            return 0.0
        if self.uniform:
            return max(float(magnitude.max()), 0.0) / self.uniform
        lam = np.broadcast_to(self._wide(self.lam, q), magnitude.shape)
        bound = (lam > 0) & (magnitude > 0)
        return float(np.max(magnitude[bound] / lam[bound], initial=0.0))

    def gauge(self, q):
        """Return the smallest multiple of the strengths that keeps w = 0."""
        if self.has_l2 and not self.uniform:
            ridge_alone = (self.lam == 0) & (self.l2 > 0)
            if ridge_alone.any() and np.any(self.magnitude(q)[ridge_alone] > 0):
                return np.inf
        return self.ratio(q)

    def violations(self, w, q):
        """Distance of q to the subdifferential at w."""
        resting = np.maximum(self.excess(q), 0.0)
        if w.ndim == 2 and self.joint:
            norm = _row_norms(w)
            unit = w / np.where(norm > 0, norm, 1.0)[:, None]
            pull = self._finite[:, None] * unit + self.l2[:, None] * w
            return np.where(norm > 0, _row_norms(q - pull), resting)
        nonzero = w != 0
        first, _ = self.derivatives(w)
        return np.where(nonzero, np.abs(q - first), resting)

    def _ridge(self, w):
        """Value of the ridge."""
        return 0.5 * float((self._column(self.l2, w) * w * w).sum())


class ElasticNetPenalty(_Separable):
    r"""The weighted elastic net, ``lam_j |w_j| + l2_j w_j^2 / 2``.

    Here ``lam_j = total * alpha * l1_ratio * omega_j`` and ``l2_j = total * alpha
    * (1 - l1_ratio) * omega_j`` with feature weights omega: 0 leaves a feature
    free, infinity drops it. Where w is a matrix it stands for each entry, or, if
    `joint`, with the norm of a row of coefficients in the place of the absolute value.

    Attributes
    ----------
    lam, l2 : ndarray of shape (n_features,)
    uniform : float or None
        The strength of all features, without feature weights.
    """

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
        joint=False,
    ):
        lam, self.kept = _strengths(
            alpha * l1_ratio, total, n_features, feature_weights
        )
        share = alpha * (1.0 - l1_ratio) * l2_unit
        l2, _ = _strengths(share, total, n_features, feature_weights)
        self._set(lam, np.where(np.isfinite(l2), l2, 0.0), positive, joint)
        # Without feature weights one strength stands for all.
        self.uniform = float(lam[0]) if feature_weights is None else None

    @classmethod
    def of(cls, lam, l2, *, positive=False):
        """Return the penalty with the given strengths of each feature."""
        penalty = object.__new__(cls)
        penalty._set(lam, l2, positive, False)
        return penalty

    def _set(self, lam, l2, positive, joint):
        self.lam, self.l2 = lam, l2
        self.kernel_l2 = l2  # what the kernels take
        self.positive, self.joint = positive, joint
        self.code = kernels.L1_PLUS if positive else kernels.L1
        self.has_l2 = bool(l2.any())
        self.free = np.flatnonzero((lam == 0.0) & (l2 == 0.0))
        self.uniform = None

    def restricted(self, columns):
        """Return the penalty on some of the features, as one on them alone."""
        local = object.__new__(ElasticNetPenalty)
        local._set(self.lam[columns], self.l2[columns], self.positive, self.joint)
        local.uniform = self.uniform
        local.kept = None if self.kept is None else self.kept[columns]
        return local

    def derivatives(self, w):
        """First and second derivative where the coefficients w are not zero."""
        l2 = self._column(self.l2, w)
        return self._column(self._finite, w) * np.sign(w) + l2 * w, l2

    def slopes(self, w):
        """Slope of the absolute part at |w|, an array like w."""
        return np.broadcast_to(self._column(self.lam, w), w.shape).copy()

    def value(self, w):
        """Penalty of coefficients w."""
        size = _row_norms(w) if w.ndim == 2 and self.joint else np.abs(w)
        if self.uniform is not None:
            absolute = self.uniform * float(size.sum())
        else:
            absolute = float((self._wide(self._finite, w) * size).sum())
        return absolute + self._ridge(w) if self.has_l2 else absolute


class ConcavePenalty(_Separable):
    r"""MCP or SCAD, which leave large coefficients unshrunk, and a ridge beside them.

    With lam and the concavity kappa of a feature and t = abs(w_j), the MCP is
    ``lam t - kappa t^2 / 2`` up to ``t = lam / kappa`` and constant from there on.
    SCAD, with ``v = kappa (a - 1)``, has the slope lam up to ``t = lam / v`` and
    ``(a lam - v t) / (a - 1)`` from there to ``a lam / v``, where it is constant.
    Here ``lam_j = total * alpha * l1_ratio * omega_j``, and kappa_j is ``curvatures_j
    / gamma`` (MCP) or ``curvatures_j / (a - 1)`` (SCAD): a shape above 1 (MCP) or 2
    (SCAD) keeps the problem in one coordinate convex wherever the loss is at least as
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
    l1_ratio : float, default=1.0
        The rest is a ridge, which the kernels of the squared loss do not have.
    l2_unit : float, default=1.0
    positive : bool, default=False
    feature_weights : ndarray of shape (n_features,), default=None
        0 leaves a feature free, infinity drops it.

    Attributes
    ----------
    lam, kappa, l2 : ndarray of shape (n_features,)
        Strengths, concavities and the ridge.
    """

    is_convex = False
    uniform = None

    def __init__(
        self,
        kind,
        alpha,
        shape,
        curvatures,
        total,
        *,
        l1_ratio=1.0,
        l2_unit=1.0,
        positive=False,
        feature_weights=None,
    ):
        n_features = len(curvatures)
        self.kind, self.shape, self.positive = kind, float(shape), positive
        self.lam, self.kept = _strengths(
            alpha * l1_ratio, total, n_features, feature_weights
        )
        l2, _ = _strengths(
            alpha * (1.0 - l1_ratio) * l2_unit, total, n_features, feature_weights
        )
        self.l2 = np.where(np.isfinite(l2), l2, 0.0)
        self.has_l2 = bool(self.l2.any())
        self.code = {"mcp": kernels.MCP, "scad": kernels.SCAD}[kind]
        divisor = self.shape if kind == "mcp" else self.shape - 1.0
        bends = (self.lam > 0) & np.isfinite(self.lam) & np.isfinite(divisor)
        self.kappa = np.where(bends, np.asarray(curvatures) / divisor, 0.0)
        # An infinite shape would make 0 * infinity; without concavity it is not used.
        shape = self.shape if np.isfinite(divisor) else 3.0
        self.params = np.array([shape, 1.0] if positive else [shape])
        self.free = np.flatnonzero((self.lam == 0.0) & (self.l2 == 0.0))

    @property
    def kernel_l2(self):
        """What the kernels take for l2: the concavity."""
        return self.kappa

    def restricted(self, columns):
        """Return the penalty on some of the features, as one on them alone."""
        local = object.__new__(ConcavePenalty)
        vars(local).update(vars(self))
        local.lam, local.l2 = self.lam[columns], self.l2[columns]
        local.kappa = self.kappa[columns]
        local.kept = None if self.kept is None else self.kept[columns]
        local.free = np.flatnonzero((local.lam == 0.0) & (local.l2 == 0.0))
        return local

    def value(self, w):
        """Penalty of coefficients w."""
        lam, kappa = self._column(self._finite, w), self._column(self.kappa, w)
        t = np.abs(w)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.code == kernels.MCP:
                flat = (kappa * t >= lam) & (kappa > 0)
                rising = lam * t - 0.5 * kappa * t * t
                values = np.where(flat, 0.5 * lam * lam / kappa, rising)
            else:
                a = self.params[0]
                v = kappa * (a - 1.0)
                bend = 2.0 * a * lam * t - v * t * t - lam * lam / v
                bend /= 2.0 * (a - 1.0)
                level = 0.5 * (a + 1.0) * lam * lam / v
                values = np.where(v * t < a * lam, bend, level)
                values = np.where(v * t <= lam, lam * t, values)
        concave = float(values[t > 0].sum())
        return concave + self._ridge(w) if self.has_l2 else concave

    def _pieces(self, w):
        """Slope of the concave part at |w|, and where that bends."""
        lam, kappa = self._column(self._finite, w), self._column(self.kappa, w)
        t = np.abs(w)
        if self.code == kernels.MCP:
            return np.maximum(lam - kappa * t, 0.0), kappa * t < lam
        a = self.params[0]
        v = kappa * (a - 1.0)
        concave = (v * t > lam) & (v * t < a * lam)
        slope = np.where(v * t <= lam, lam, 0.0)
        return np.where(concave, (a * lam - v * t) / (a - 1.0), slope), concave

    def derivatives(self, w):
        """First and second derivative where the coefficients w are not zero."""
        slope, concave = self._pieces(w)
        l2 = self._column(self.l2, w)
        second = l2 - np.where(concave, self._column(self.kappa, w), 0.0)
        return np.sign(w) * slope + l2 * w, second

    def slopes(self, w):
        """Slope of the concave part at |w|, an array like w."""
        return self._pieces(w)[0]
