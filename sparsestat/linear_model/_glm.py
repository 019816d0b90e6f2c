"""What the estimators of penalised likelihoods share: fits, paths, cross-validation."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

from sparsestat._utils.compat import Interval
from sparsestat.linear_model import _cv as cv
from sparsestat.linear_model import _fit as one_fit
from sparsestat.linear_model._path_result import PathMethod
from sparsestat.linear_model._paths import check_l1_ratio
from sparsestat.linear_model._penalty_spec import (
    PENALTY_CONSTRAINTS,
    default_ratio,
    penalty_spec,
)

__all__ = [
    "CV_CONSTRAINTS",
    "FIT_CONSTRAINTS",
    "GLMCVMixin",
    "GLMFitMixin",
]

FIT_CONSTRAINTS = {**one_fit.FIT_CONSTRAINTS, **PENALTY_CONSTRAINTS}

CV_CONSTRAINTS = {
    **cv.CV_CONSTRAINTS,
    **PENALTY_CONSTRAINTS,
    "l1_ratio": [Interval(Real, 0, 1, closed="both"), "array-like", None],
}


class _PenaltyMixin:
    """The penalty of an estimator, from its parameters."""

    path = PathMethod()

    def _spec(self, n_features, **options):
        return penalty_spec(
            n_features,
            penalty=self.penalty,
            gamma=self.gamma,
            groups=self.groups,
            group_weights=self.group_weights,
            feature_weights=self.feature_weights,
            positive=self.positive,
            feature_names=getattr(self, "feature_names_in_", None),
            **options,
        )

    def _default_setting(self):
        return default_ratio(self.penalty)


class GLMFitMixin(_PenaltyMixin, one_fit.FitMixin):
    """Fit at one strength, or along a path of them."""

    def _setting(self):
        return self._default_setting() if self.l1_ratio is None else self.l1_ratio


class GLMCVMixin(_PenaltyMixin, cv.PathCVMixin):
    """Choose alpha, and l1_ratio if several are given, by the held-out loss."""

    _losses_name = "loss_path_"
    _setting_name = "l1_ratio"

    def _checked_setting(self, ratio):
        return check_l1_ratio(ratio)
