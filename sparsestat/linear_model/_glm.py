"""What the estimators of penalized likelihoods share: fits, paths, cross-validation."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np
from sklearn.utils import check_array

from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat.linear_model import _cv as cv
from sparsestat.linear_model import _fit as one_fit
from sparsestat.linear_model._paths import check_l1_ratio
from sparsestat.linear_model._penalized._path_result import PathMethod
from sparsestat.linear_model._penalized._spec import (
    PENALTY_CONSTRAINTS,
    default_ratio,
    penalty_spec,
)

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


class OffsetMixin:
    """What is known of the linear predictor beforehand, in fits and predictions."""

    def _checked_rows(self, rows, y):
        """Validate what `fit` was given for each sample; remember that it was."""
        rows = {name: values for name, values in rows.items() if values is not None}
        if "offset" in rows:
            rows["offset"] = self._checked_offset(rows["offset"], len(y))
        self._has_offset = "offset" in rows
        return rows

    def _offset_shape(self, n_samples):
        return (n_samples,)

    def _checked_offset(self, offset, n_samples):
        offset = check_array(
            offset, ensure_2d=False, dtype=np.float64, input_name="offset"
        )
        shape = self._offset_shape(n_samples)
        if offset.shape != shape:
            raise ValueError(
                f"`offset` has shape {offset.shape}, expected {shape}: what is known "
                "of the linear predictor of each sample, such as log(exposure)."
            )
        return offset

    def _shifted(self, scores, offset):
        """Add the offset of new samples to their scores."""
        had = getattr(self, "_has_offset", False)
        if offset is None:
            if had:
                raise ValueError(
                    f"This {type(self).__name__} was fitted with an `offset` and needs "
                    "one to predict. Pass `offset`; inside a Pipeline or a search, "
                    "route it: sklearn.set_config(enable_metadata_routing=True) and "
                    "set_predict_request(offset=True), set_score_request(offset=True)."
                )
            return scores
        return scores + self._checked_offset(offset, len(scores))


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

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, offset=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition.
        offset : array-like of shape (n_samples,), default=None
            What is known of the linear predictor, added to it with the coefficient 1,
            such as the logarithm of an exposure. Several classes take one for each,
            shape (n_samples, n_classes).

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, y, sample_weight = self._validated(X, y, sample_weight)
        rows = self._checked_rows({"offset": offset}, y)
        return self._fit_validated(X, y, sample_weight, **rows)

    def _setting(self):
        return self._default_setting() if self.l1_ratio is None else self.l1_ratio


class GLMCVMixin(_PenaltyMixin, cv.PathCVMixin):
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
