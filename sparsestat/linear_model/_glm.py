"""What the estimators of penalized likelihoods share: fits, paths, cross-validation."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat.linear_model import _cv as cv
from sparsestat.linear_model import _fit as one_fit
from sparsestat.linear_model._fit import GLMFitMixin, PenaltyMixin
from sparsestat.linear_model._paths import check_l1_ratio
from sparsestat.linear_model._penalized._spec import PENALTY_CONSTRAINTS
from sparsestat.linear_model._predictors import OffsetMixin

__all__ = [
    "CV_CONSTRAINTS",
    "FIT_CONSTRAINTS",
    "GLMCVMixin",
    "GLMFitMixin",
    "OffsetMixin",
]

FIT_CONSTRAINTS = {**one_fit.FIT_CONSTRAINTS, **PENALTY_CONSTRAINTS}

CV_CONSTRAINTS = {
    **cv.CV_CONSTRAINTS,
    **PENALTY_CONSTRAINTS,
    "l1_ratio": [Interval(Real, 0, 1, closed="both"), "array-like", None],
    "criterion": [StrOptions({"cv", "aic", "bic", "ebic"})],
}


class GLMCVMixin(PenaltyMixin, cv.PathCVMixin):
    """Choose alpha, and l1_ratio if several are given, by the held-out loss."""

    _losses_name = "loss_path_"
    _setting_name = "l1_ratio"

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None, offset=None):
        """Fit the paths and choose a point.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, of the training and of the held-out errors.
        groups : array-like of shape (n_samples,), default=None
            Group labels handed to the splitter.
        offset : array-like of shape (n_samples,), default=None
            What is known of the linear predictor, added to it with the coefficient 1,
            such as the logarithm of an exposure. Several classes take one for each,
            shape (n_samples, n_classes).

        Returns
        -------
        self : object
            Fitted estimator.
        """
        return self._fit_cv(X, y, sample_weight, groups, offset=offset)

    def _checked_setting(self, ratio):
        return check_l1_ratio(ratio)
