r"""Penalties of generalised linear models: values, slopes and dual bounds.

Strengths are already multiplied by the sum of the sample weights. Coefficients
have shape ``(n_features,)``, or ``(n_features, n_classes)``.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from copy import copy

import numpy as np

__all__ = ["GLMPenalty", "GroupGLMPenalty", "MCPenalty"]


class GLMPenalty:
    """The elastic net ``lam |w| + l2 w^2 / 2`` on every coefficient.

    Attributes
    ----------
    lam, l2 : float
        ``total * alpha * l1_ratio`` and ``total * alpha * (1 - l1_ratio)``.
    is_convex : bool
    """

    is_convex = True
    is_grouped = False

    def __init__(self, alpha, l1_ratio, total, l2_unit=1.0):
        self.lam = float(total * alpha * l1_ratio)
        self.l2 = float(total * alpha * (1.0 - l1_ratio) * l2_unit)

    def value(self, w):
        """Penalty of coefficients w."""
        return self.lam * float(np.abs(w).sum()) + 0.5 * self.l2 * float(np.vdot(w, w))

    def slopes(self, w):
        """Slope of the absolute part at |w|, an array like w."""
        return np.full(w.shape, self.lam)

    def violations(self, w, q):
        """Distance of the descent direction q to the subdifferential at w."""
        active = np.abs(q - self.l2 * w - self.slopes(w) * np.sign(w))
        return np.where(w != 0, active, np.maximum(np.abs(q) - self.lam, 0.0))

    def excess(self, q):
        """By how much zero coefficients violate optimality; negative where not."""
        return np.abs(q) - self.lam

    def largest_ratio(self, q):
        """Return the least strength, relative to the present, that keeps w = 0."""
        return float(np.abs(q).max(initial=0.0)) / self.lam if self.lam > 0 else np.inf

    def conjugate(self, q):
        """Return the conjugate at q; infinite outside its domain."""
        over = np.maximum(np.abs(q) - self.lam, 0.0)
        return self._soft_conjugate(over)

    def _soft_conjugate(self, over):
        if self.l2 > 0.0:
            return 0.5 * float(np.vdot(over, over)) / self.l2
        return 0.0 if not over.any() else np.inf

    def conjugate_error(self, q, reach):
        """Bound by how much the conjugate at q may err, given errors of q's rows."""
        over = np.maximum(self.excess(q), 0.0)
        wide = float(np.sqrt(np.vdot(reach, reach) * (q.ndim == 1 or q.shape[1])))
        size = float(np.sqrt(np.vdot(over, over)))
        return (size + 0.5 * wide) * wide / self.l2

    def restricted(self, columns):
        """Return the penalty of some of the features."""
        return self

    def screened(self, q, radius, norms):
        """Gap-safe rule: True where w is certainly zero.

        Parameters
        ----------
        q : ndarray
            Products of the columns with the dual point.
        radius : float
            Distance of the dual point to the optimal one.
        norms : ndarray of shape (n_features,)
            Norms of the columns in the same metric.
        """
        wide = norms if q.ndim == 1 else norms[:, None]
        return np.abs(q) + radius * wide < self.lam


class MCPenalty(GLMPenalty):
    r"""The minimax concave penalty: ``lam t - kappa_j t^2 / 2`` up to its knee.

    With ``t = |w_j|``; constant beyond the knee ``lam / kappa_j``. A ridge takes the
    share ``1 - l1_ratio`` of the strength.

    Parameters
    ----------
    curvatures : ndarray of shape (n_features,)
        A bound of the second derivative of the loss in each coordinate.
    gamma : float
        kappa is `curvatures` divided by it.
    """

    is_convex = False

    def __init__(self, alpha, l1_ratio, total, l2_unit=1.0, *, curvatures, gamma):
        super().__init__(alpha, l1_ratio, total, l2_unit)
        self.kappa = np.asarray(curvatures) / gamma

    def restricted(self, columns):
        """Return the penalty of some of the features."""
        part = copy(self)
        part.kappa = self.kappa[columns]
        return part

    def slopes(self, w):
        """Slope of the concave part at |w|, an array like w."""
        kappa = self.kappa if w.ndim == 1 else self.kappa[:, None]
        return np.maximum(self.lam - kappa * np.abs(w), 0.0)

    def value(self, w):
        """Penalty of coefficients w."""
        size = np.abs(w)
        kappa = self.kappa if w.ndim == 1 else self.kappa[:, None]
        # A column of zeros has no curvature, and its coefficient is zero.
        knee = self.lam / np.where(kappa > 0, kappa, np.inf)
        knee = np.where(kappa > 0, knee, np.inf)
        inner = np.minimum(size, knee)
        concave = (inner * (self.lam - 0.5 * kappa * inner)).sum()
        return float(concave) + 0.5 * self.l2 * float(np.vdot(w, w))


class GroupGLMPenalty(GLMPenalty):
    """The group penalty ``lam omega_g ||W_g|| + l2 ||W||^2 / 2`` over rows of W.

    Parameters
    ----------
    groups : tuple of ndarray
        ``(members, starts, omega)``: the features group after group, where each
        group starts (one entry more than groups), and its weight.
    """

    is_grouped = True

    def __init__(self, alpha, l1_ratio, total, l2_unit=1.0, *, groups):
        super().__init__(alpha, l1_ratio, total, l2_unit)
        self._regroup(*groups)

    def _regroup(self, members, starts, omega):
        self.members, self.starts, self.omega = members, starts, omega
        self.n_groups = len(self.omega)
        self.group_of = np.empty(len(self.members), dtype=np.intp)
        self.group_of[self.members] = np.repeat(
            np.arange(self.n_groups), np.diff(self.starts)
        )

    def subset(self, chosen):
        """Return the penalty of some groups; its `columns` are their features."""
        part = copy(self)
        runs = [self.members[self.starts[g] : self.starts[g + 1]] for g in chosen]
        part.columns = np.concatenate(runs) if runs else np.empty(0, dtype=np.intp)
        starts = np.concatenate([[0], np.cumsum([len(run) for run in runs])])
        members = np.arange(len(part.columns))
        part._regroup(members, starts.astype(np.intp), self.omega[chosen])
        return part

    def norms(self, w):
        """Euclidean norm of each group of rows of w."""
        rows = w * w if w.ndim == 1 else (w * w).sum(axis=1)
        return np.sqrt(np.bincount(self.group_of, rows, self.n_groups))

    def value(self, w):
        """Penalty of coefficients w."""
        return self.lam * float(self.omega @ self.norms(w)) + 0.5 * self.l2 * float(
            np.vdot(w, w)
        )

    def violations(self, w, q):
        """Distance of q to the subdifferential at w, one number a group."""
        norms = self.norms(w)
        safe = np.where(norms > 0, norms, 1.0)
        pull = np.where(norms > 0, self.lam * self.omega / safe, 0.0) + self.l2
        wide = pull[self.group_of]
        active = self.norms(q - (wide if w.ndim == 1 else wide[:, None]) * w)
        return np.where(norms > 0, active, np.maximum(self.excess(q), 0.0))

    def excess(self, q):
        """By how much zero groups violate optimality; negative where not."""
        return self.norms(q) - self.lam * self.omega

    def largest_ratio(self, q):
        """Return the least strength, relative to the present, that keeps w = 0."""
        if self.lam == 0.0:
            return np.inf
        return float((self.norms(q) / (self.lam * self.omega)).max(initial=0.0))

    def conjugate(self, q):
        """Return the conjugate at q; infinite outside its domain."""
        return self._soft_conjugate(np.maximum(self.excess(q), 0.0))
