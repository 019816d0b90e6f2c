"""Units of selection: single features, or groups of them that come and go together."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.linear_model._penalized._group_names import make_groups

__all__ = ["Units", "make_units"]

_RANK = 1e-10  # squared singular values of a group, relative to the largest


class Units:
    """A partition of the features into what is selected as a whole.

    Attributes
    ----------
    single : bool
        Whether every unit is one feature.
    sizes : ndarray of int of shape (n_units,)
    """

    def __init__(self, n_features, groups=None):
        self.n_features = n_features
        self.groups = groups
        self.single = groups is None or bool(
            (groups.sizes == 1).all() and (groups.order == np.arange(n_features)).all()
        )
        if self.single:
            self.groups = None
            self.sizes = np.ones(n_features, dtype=np.intp)
        else:
            self.sizes = np.asarray(groups.sizes)

    def __len__(self):
        return len(self.sizes)

    def columns_of(self, units):
        """Return the features of some units, unit after unit."""
        if self.single:
            return np.asarray(units, dtype=np.intp)
        return np.asarray(self.groups.columns_of(units), dtype=np.intp)

    def sums(self, values):
        """Sum feature values over each unit."""
        return values if self.single else self.groups.sums(values)

    def any_of(self, flags):
        """Return for each unit whether a flag is set for one of its features."""
        return flags if self.single else self.groups.sums(flags.astype(float)) > 0

    def top(self, values, count):
        """Return the units with the largest sums of feature values, sorted."""
        return top_units(self.sums(values), count)

    def roots(self, design, l2):
        """Return for each unit W with ``W W'`` the inverse of its Gram matrix."""
        found = []
        for unit in range(len(self)):
            columns = self.columns_of([unit])
            block = np.empty((design.n_samples, len(columns)), order="F")
            design.gather(columns, block, 0)
            squares = design.squares[columns]
            scale = np.sqrt(np.where(squares > 0.0, squares, 1.0))
            block /= scale
            gram = block.T @ block + l2 * np.diag((squares > 0.0).astype(float))
            values, vectors = np.linalg.eigh(gram)
            kept = values > _RANK * max(values[-1], 1e-300)
            root = vectors[:, kept] / np.sqrt(values[kept])
            half = vectors[:, kept] * np.sqrt(values[kept])
            found.append((root / scale[:, None], half * scale[:, None]))
        return found

    def energies(self, products, roots):
        """Return ``g' (X_u'X_u)^-1 g`` of each unit for products g."""
        out = np.empty(len(self))
        for unit, (root, _) in enumerate(roots):
            v = root.T @ products[self.columns_of([unit])]
            out[unit] = v @ v
        return out

    def quadratic(self, fit, roots):
        """Return ``w' X_u'X_u w`` of each unit of a fit."""
        out = np.empty(len(fit.units))
        coef = dict(zip(fit.columns.tolist(), fit.coef, strict=True))
        for at, unit in enumerate(fit.units):
            w = np.array([coef[int(j)] for j in self.columns_of([unit])])
            v = roots[unit][1].T @ w
            out[at] = v @ v
        return out


def top_units(scores, count):
    """Return the `count` units with the largest scores, ties to the first; sorted."""
    count = min(count, len(scores))
    if count == 0:
        return np.empty(0, dtype=np.intp)
    rough = np.argpartition(-scores, count - 1)[:count]
    least = scores[rough].min()
    above = np.flatnonzero(scores > least)
    level = np.flatnonzero(scores == least)[: count - len(above)]
    return np.sort(np.concatenate([above, level])).astype(np.intp)


def make_units(groups, n_features, always_select=None, feature_names=None):
    """Validate groups and forced units; return the units and a flag for each.

    Parameters
    ----------
    groups : int, str, array-like or list of array-like, or None
    n_features : int
    always_select : array-like of int, default=None
        Indices of units.
    feature_names : array-like of str, default=None

    Returns
    -------
    units : Units
    forced : ndarray of bool of shape (n_units,)
    """
    made = None
    if groups is not None:
        made = make_groups(groups, n_features, feature_names, may_overlap=False)
    units = Units(n_features, made)
    forced = np.zeros(len(units), dtype=bool)
    if always_select is not None:
        index = np.asarray(always_select)
        if index.size and (index.ndim != 1 or index.dtype.kind not in "iu"):
            raise ValueError(
                f"`always_select` must be a list of indices, got {always_select!r}."
            )
        if index.size and (index.min() < 0 or index.max() >= len(units)):
            what = "features" if units.single else "groups"
            raise ValueError(
                f"`always_select` has indices from {index.min()} to {index.max()}, but "
                f"there are {len(units)} {what}."
            )
        forced[index.astype(np.intp)] = True
    return units, forced
