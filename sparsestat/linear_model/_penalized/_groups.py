"""The sparse-group penalty, and the groups it works on."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.sparse import issparse

from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized import _kernels_group as kernels
from sparsestat.linear_model._penalized._penalties import Penalty, multiplier_array

__all__ = ["GroupPenalty", "Groups", "group_weight_array"]


class Groups:
    """A partition of the features, or of copies of them where groups overlap.

    Attributes
    ----------
    labels : ndarray of int of shape (n_columns,)
        Group of each feature, and of its further copies.
    order : ndarray of int of shape (n_columns,)
        The features, those of one group side by side.
    ptr : ndarray of int of shape (n_groups + 1,)
        Group k holds ``order[ptr[k]:ptr[k + 1]]``.
    sizes : ndarray of int of shape (n_groups,)
    names : ndarray of shape (n_groups,) or None
        What the user calls the groups, if anything.
    copies : ndarray of int of shape (n_columns,) or None
        The feature behind each column, when groups overlap: first every feature once,
        then the further copies.
    """

    def __init__(self, labels, n_groups, *, names=None, copies=None):
        self.labels = labels
        self.names, self.copies = names, copies
        self.sizes = np.bincount(labels, minlength=n_groups)
        self.order = read_only(np.argsort(labels, kind="stable"))
        self.ptr = read_only(np.concatenate([[0], np.cumsum(self.sizes)]))

    def __len__(self):
        return len(self.sizes)

    def columns_of(self, units):
        """Return the features of some groups, group after group."""
        pieces = [self.order[self.ptr[k] : self.ptr[k + 1]] for k in units]
        return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.intp)

    def features(self):
        """Return the features of each group, as a list of arrays."""
        order = self.order if self.copies is None else self.copies[self.order]
        return np.split(order, self.ptr[1:-1])

    def spread(self, X):
        """Return X with a column for every copy."""
        if self.copies is None:
            return X
        return (
            X[:, self.copies] if issparse(X) else np.asfortranarray(X[:, self.copies])
        )

    def sums(self, values):
        """Sum feature values over each group."""
        return np.bincount(self.labels, weights=values, minlength=len(self))

    def entries(self, n_columns):
        """Return `order` and `ptr` for matrices, whose entries lie row after row."""
        order = self.order[:, None] * n_columns + np.arange(n_columns)
        return read_only(order.ravel()), read_only(self.ptr * n_columns)

    def restricted(self, units):
        """Return the groups in `units` as a partition of their columns."""
        labels = np.repeat(np.arange(len(units)), self.sizes[units])
        return Groups(labels, len(units))


def group_weight_array(weights, groups, name="group_weights"):
    """Validate penalty multipliers of groups: "sqrt", None or one for each group."""
    if weights is None:
        return np.ones(len(groups))
    if isinstance(weights, str):
        if weights != "sqrt":
            raise ValueError(
                f"`{name}` must be 'sqrt', None or an array, got {weights!r}."
            )
        return np.sqrt(groups.sizes)
    return multiplier_array(weights, name, len(groups), "group")


class GroupPenalty(Penalty):
    r"""The sparse-group penalty, ``sum_g lam_g ||W_g|| + l1 ||W||_1``, and a ridge.

    Here ``lam_g = total * alpha * (1 - l1_ratio) * omega_g`` and ``l1 = total *
    alpha * l1_ratio``. Its units are groups where those of the other penalties are
    features; a group holds all entries of its rows where W is a matrix.

    Parameters
    ----------
    groups : Groups
    weights : ndarray of shape (n_groups,)
        Multipliers omega: 0 leaves the group without its norm, infinity drops it.
    alpha, l1_ratio, total : float
    l2 : float, default=0.0
        Strength of the ridge, times `total`; it has the same multipliers.
    """

    is_grouped = True
    uniform = None

    def __init__(self, groups, weights, alpha, l1_ratio, total, *, l2=0.0):
        self.groups = groups
        dropped = np.isinf(weights)
        strength = total * alpha * (1.0 - l1_ratio)
        lam = np.where(dropped, np.inf, strength * np.where(dropped, 0.0, weights))
        self.kept = ~dropped if dropped.any() else None
        ridge = l2 * np.where(dropped, 0.0, weights)
        self._set(lam, float(total * alpha * l1_ratio), ridge)

    def _set(self, lam, l1, ridge):
        self.lam, self.l1, self.ridge = lam, l1, ridge
        self.has_l2 = bool(ridge.any())
        free = (self.lam == 0.0) & (self.l1 == 0.0) & (ridge == 0.0)
        self.free_units = np.flatnonzero(free)
        self.free = self.groups.columns_of(self.free_units)

    @property
    def is_nothing(self):
        """Whether no feature is penalized."""
        return self.l1 == 0.0 and super().is_nothing

    @property
    def l2(self):
        """Ridge of each feature."""
        return self.ridge[self.groups.labels]

    @property
    def _unit_l2(self):
        return self.ridge

    def _unit_reach(self, reach):
        return np.sqrt(self.groups.sums(reach * reach))

    def _wide(self, values, w):
        return values

    def columns_of(self, mask):
        """Return the features of the groups in a mask."""
        return np.flatnonzero(mask[self.groups.labels])

    def norms(self, w):
        """Euclidean norm of each group of (rows of) w."""
        return np.sqrt(self.groups.sums(w * w if w.ndim == 1 else (w * w).sum(axis=1)))

    def gauge(self, q):
        """Return the smallest multiple of the strengths that keeps w = 0."""
        if self.has_l2 and self.l1 == 0.0:
            ridge_alone = (self.lam == 0.0) & (self.ridge > 0.0)
            if np.any(self.norms(q)[ridge_alone] > 0.0):
                return np.inf
        return self.ratio(q)

    def ratio(self, q):
        """Return the same for the groups that have a strength."""
        groups = self.groups
        order, ptr = groups.order, groups.ptr
        if q.ndim == 2:
            order, ptr = groups.entries(q.shape[1])
        out = np.empty(len(groups))
        kernels.group_factors(
            read_only(q.ravel()), order, ptr, read_only(self.lam), self.l1, out
        )
        return float(np.max(out, initial=0.0))

    def magnitude(self, q):
        """What is compared with lam to tell whether a group rests at zero."""
        if q.ndim == 2:
            shrunk = np.maximum(np.abs(q) - self.l1, 0.0) if self.l1 > 0.0 else q
            return self.norms(shrunk)
        out = np.empty(len(self.groups))
        kernels.shrunk_norms(
            read_only(q), self.groups.order, self.groups.ptr, self.l1, out
        )
        return out

    def violations(self, w, q):
        """Distance of q to the subdifferential at w, one number a group."""
        norms = self.norms(w)
        safe = np.where(norms > 0, norms, 1.0)
        pull = (np.where(norms > 0, self.lam, 0.0) / safe)[self.groups.labels]
        pull = pull + self.l2
        rest = q - (pull if w.ndim == 1 else pull[:, None]) * w
        if self.l1 > 0.0:
            shrunk = np.sign(rest) * np.maximum(np.abs(rest) - self.l1, 0.0)
            rest = np.where(w != 0, rest - self.l1 * np.sign(w), shrunk)
        resting = np.maximum(self.excess(q), 0.0)
        return np.where(norms > 0, self.norms(rest), resting)

    def restricted(self, units):
        """Return the penalty on some groups, as one on their columns alone."""
        local = object.__new__(GroupPenalty)
        local.groups = self.groups.restricted(units)
        local._set(self.lam[units], self.l1, self.ridge[units])
        return local

    def value(self, w):
        """Penalty of the coefficients w."""
        norms = self.norms(w)
        used = norms > 0  # a dropped group has an infinite strength
        value = float(self.lam[used] @ norms[used]) + self.l1 * float(np.abs(w).sum())
        return value + 0.5 * float(self.ridge @ (norms * norms))
