"""What the estimators of penalised likelihoods share: fits, paths, cross-validation."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

from sparsestat._utils.compat import Interval
from sparsestat.linear_model import _cv as cv
from sparsestat.linear_model import _fit as one_fit
from sparsestat.linear_model._path_result import PathMethod
from sparsestat.linear_model._paths import check_l1_ratio

__all__ = [
    "CV_CONSTRAINTS",
    "FIT_CONSTRAINTS",
    "GLMCVMixin",
    "GLMFitMixin",
]

FIT_CONSTRAINTS = {
    **one_fit.FIT_CONSTRAINTS,
    "l1_ratio": [Interval(Real, 0, 1, closed="right")],
}

CV_CONSTRAINTS = {
    **cv.CV_CONSTRAINTS,
    "l1_ratio": [Interval(Real, 0, 1, closed="right"), "array-like"],
}


class GLMFitMixin(one_fit.FitMixin):
    """Fit at one strength, or along a path of them."""

    def _setting(self):
        return self.l1_ratio

    path = PathMethod()


class GLMCVMixin(cv.PathCVMixin):
    """Choose alpha, and l1_ratio if several are given, by the held-out loss."""

    path = PathMethod()
    _losses_name = "loss_path_"
    _setting_name = "l1_ratio"

    def _checked_setting(self, ratio):
        return check_l1_ratio(ratio, zero=False)
