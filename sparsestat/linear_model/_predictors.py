"""What linear models share beside their fits: validation, scores, predictions."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse
from scipy.special import log_expit, log_softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import align_sparse_interface
from sparsestat._utils.samples import FLOATS, given_weights
from sparsestat._utils.validation import is_plain

__all__ = ["LinearClassifier", "LinearPredictor", "OffsetMixin", "validate_fit_data"]


class _LinearScores(SparsestatEstimator):
    """Scores of new samples, and the coefficients in sparse form."""

    _needs_rows = "it gathers working sets of columns from X in memory"
    _by_rows = True

    def _scores(self, X):
        check_is_fitted(self)
        X = validate_data(
            self,
            X,
            accept_sparse=["csr", "csc", "coo"],
            dtype=FLOATS,
            reset=False,
        )
        return safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_

    @property
    def sparse_coef_(self):
        """Coefficients as a CSR array of shape (n_targets, n_features)."""
        check_is_fitted(self)
        coef = sparse.csr_array(np.atleast_2d(self.coef_))
        return align_sparse_interface(coef)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class LinearPredictor(RegressorMixin, _LinearScores):
    """What all sparse linear regressors share but the way to their coefficients."""

    def predict(self, X):
        """Predict with the linear model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_targets)
            ``X @ coef_.T + intercept_``.
        """
        return self._scores(X)

    def _validated(self, X, y, sample_weight):
        return validate_fit_data(self, X, y, sample_weight)


class LinearClassifier(ClassifierMixin, _LinearScores):
    """Classes and probabilities of all sparse linear classifiers."""

    def _validated(self, X, y, sample_weight):
        """Return X, class numbers and weights that hold `class_weight` too."""
        X, y = _checked_data(self, X, y)
        if not _are_plain_labels(y):
            check_classification_targets(y)
            y = column_or_1d(y, warn=True)
        seen = y
        if sample_weight is not None:
            sample_weight = given_weights(sample_weight, X)
            seen = y[sample_weight > 0]
        self.classes_ = np.unique(seen)
        if len(self.classes_) < 2:
            raise ValueError(
                "A classifier needs samples (of positive weight) of at least 2 "
                f"classes, but y holds 1 class: {self.classes_[0]!r}."
            )
        # A class that only rows of weight zero have is no class at all.
        codes = np.searchsorted(self.classes_, y)
        codes = np.minimum(codes, len(self.classes_) - 1)
        if self.class_weight is not None:
            positive = None
            if sample_weight is not None:
                positive = sample_weight[sample_weight > 0]
            factors = compute_class_weight(
                self.class_weight,
                classes=self.classes_,
                y=seen,
                sample_weight=positive,
            )
            if not (factors > 0).all():
                raise ValueError(
                    "`class_weight` must be positive for every class, got "
                    f"{dict(zip(self.classes_.tolist(), factors, strict=True))}."
                )
            own = factors[codes]
            sample_weight = own if sample_weight is None else own * sample_weight
        return X, codes, sample_weight

    def decision_function(self, X):
        """Return the linear predictors.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            With two classes the log odds of the second.
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X):
        """Predict the most probable class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Labels, from `classes_`.
        """
        return self._classes_of(self.decision_function(X))

    def _classes_of(self, scores):
        if scores.ndim == 1:
            return self.classes_[(scores > 0).astype(np.intp)]
        return self.classes_[scores.argmax(axis=1)]

    def predict_log_proba(self, X):
        """Predict the logarithms of the class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return self._log_proba_of(self.decision_function(X))

    @staticmethod
    def _log_proba_of(scores):
        if scores.ndim == 1:
            return np.column_stack([log_expit(-scores), log_expit(scores)])
        return log_softmax(scores, axis=1)

    def predict_proba(self, X):
        """Predict the class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return np.exp(self.predict_log_proba(X))


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


def _checked_data(estimator, X, y, **options):
    """Return validated X and y, and leave on the estimator what is seen of features."""
    if is_plain(X, y):  # what validate_data does to such, without its time
        estimator.n_features_in_ = X.shape[1]
        vars(estimator).pop("feature_names_in_", None)
        return np.asfortranarray(X), y
    return validate_data(
        estimator,
        X,
        y,
        accept_sparse=["csc", "csr"],
        dtype=FLOATS,
        order="F",
        **options,
    )


def _are_plain_labels(y):
    """Whether these are class labels that scikit-learn has nothing to say about."""
    return (
        type(y) is np.ndarray
        and y.ndim == 1
        and y.dtype.kind in "biu"
        and 2 * len(np.unique(y)) <= len(y)  # more look like numbers, it warns
    )


def validate_fit_data(estimator, X, y, sample_weight, *, multi_output=False):
    """Validate what `fit` of a sparse linear regressor was given."""
    X, y = _checked_data(estimator, X, y, y_numeric=True, multi_output=multi_output)
    if sparse.issparse(y):
        raise ValueError(
            f"y is sparse, of shape {y.shape}, but dense targets are expected. Pass "
            "y.toarray()."
        )
    if sample_weight is not None:
        sample_weight = given_weights(sample_weight, X)
    return X, np.asarray(y, dtype=np.float64), sample_weight
