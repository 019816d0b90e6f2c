"""What users say of a penalty, validated once for all problems of an estimator."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np

from sparsestat._utils.compat import Interval, StrOptions
from sparsestat.linear_model._penalized._group_names import make_groups
from sparsestat.linear_model._penalized._groups import group_weight_array
from sparsestat.linear_model._penalized._penalties import SHAPES, multiplier_array

__all__ = ["PENALTY_CONSTRAINTS", "PenaltySpec", "penalty_spec"]

PENALTY_CONSTRAINTS = {
    "penalty": [StrOptions({"elasticnet", "l1", "mcp", "scad", "group"})],
    "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
    "gamma": [Interval(Real, 1, None, closed="neither"), None],
    "groups": ["array-like", Interval(Integral, 1, None, closed="left"), None, str],
    "group_weights": [StrOptions({"sqrt"}), "array-like", None],
    "feature_weights": ["array-like", None],
    "positive": ["boolean"],
}


class PenaltySpec:
    """A penalty without its strength.

    Attributes
    ----------
    kind : {"elasticnet", "mcp", "scad", "group"}
    shape : float
        gamma of the MCP, a of SCAD.
    groups : Groups or None
    group_weights : ndarray of shape (n_groups,) or None
    feature_weights : ndarray of shape (n_features,) or None
    positive : bool
    has_ridge : bool
        Of groups, whether the l1_ratio leaves a ridge; otherwise it is the share of an
        absolute penalty inside them.
    is_grouped : bool
        Whether the units are groups of features.
    is_convex : bool
        Whether every local minimum is a global one, given a convex loss.
    has_gap : bool
        Whether the penalty has a duality gap that the solvers can measure. A feature
        that is free but must not be negative has no multiplier that could be settled,
        so that stationarity is measured.
    """

    def __init__(
        self,
        kind="elasticnet",
        *,
        shape=None,
        groups=None,
        group_weights=None,
        feature_weights=None,
        positive=False,
        has_ridge=False,
    ):
        self.kind, self.shape = kind, shape
        self.groups, self.group_weights = groups, group_weights
        self.feature_weights, self.positive = feature_weights, positive
        self.has_ridge = has_ridge
        self.is_grouped, self.is_convex = groups is not None, kind not in SHAPES
        is_half_free = (
            positive and feature_weights is not None and (feature_weights == 0).any()
        )
        self.has_gap = self.is_convex and not is_half_free


def penalty_spec(
    n_features,
    *,
    penalty="elasticnet",
    gamma=None,
    groups=None,
    group_weights="sqrt",
    feature_weights=None,
    positive=False,
    row_sparse=False,
    feature_names=None,
):
    """Validate the parameters of a penalty; return its :class:`PenaltySpec`.

    Raises
    ------
    ValueError
        If parameters do not go together; the message names both.
    """
    kind = "elasticnet" if penalty == "l1" else penalty
    if feature_weights is not None:
        feature_weights = multiplier_array(
            feature_weights, "feature_weights", n_features, "feature"
        )
    if kind == "group" or row_sparse:
        given = {"positive=True": positive, "gamma": gamma is not None}
        if kind == "group":
            given["feature_weights"] = feature_weights is not None
        name = "penalty='group'" if kind == "group" else "row_sparse=True"
        for what, is_given in given.items():
            if is_given:
                raise ValueError(
                    f"{name} does not go with {what}: its units are norms of several "
                    "coefficients. Use `group_weights` for multipliers of groups, or "
                    "penalty='elasticnet'."
                )
        if kind in SHAPES:
            raise ValueError(
                "row_sparse=True goes with penalty='elasticnet' or 'group', not with "
                f"{kind!r}."
            )
        if kind == "group":
            if groups is None:
                raise ValueError(
                    "penalty='group' needs `groups`: a size, one label per feature, "
                    "lists of the features of each group, or 'prefix'."
                )
            groups = make_groups(groups, n_features, feature_names)
            weights = group_weight_array(group_weights, groups)
            return PenaltySpec("group", groups=groups, group_weights=weights)
        groups = make_groups(1, n_features)
        weights = np.ones(n_features) if feature_weights is None else feature_weights
        return PenaltySpec(
            "elasticnet", groups=groups, group_weights=weights, has_ridge=True
        )
    if groups is not None:
        raise ValueError(
            f"`groups` goes with penalty='group', not with {penalty!r}. Leave it out, "
            "or choose that penalty."
        )
    shape = None
    if kind in SHAPES:
        name, default, bound = SHAPES[kind]
        shape = default if gamma is None else float(gamma)
        if not shape > bound:
            raise ValueError(
                f"`gamma` must be above {bound:g} for penalty={kind!r}, got {shape}: "
                "at and below it the problem in one coefficient has several minima."
            )
    elif gamma is not None:
        raise ValueError(
            f"`gamma` is the shape of penalty='mcp' or 'scad', not of {penalty!r}. "
            "Leave it out, or choose one of those penalties."
        )
    return PenaltySpec(
        kind, shape=shape, feature_weights=feature_weights, positive=positive
    )
