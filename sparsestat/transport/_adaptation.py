"""A classifier for samples that are distributed otherwise than those with labels."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.base import ClassifierMixin, MetaEstimatorMixin, clone, is_classifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, has_fit_parameter, validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import HasMethods, check_sample_weight, fit_context
from sparsestat.transport._estimators import OptimalTransport, _dense

__all__ = ["DomainAdaptationClassifier"]


def _has(method):
    def check(self):
        inner = getattr(self, "estimator_", self.estimator)
        return inner is None or hasattr(inner, method)

    return check


class DomainAdaptationClassifier(
    MetaEstimatorMixin, ClassifierMixin, SparsestatEstimator
):
    r"""Classify target samples with labels of source samples moved onto them.

    Transports the source samples onto the target samples, fits the classifier on the
    moved ones, and predicts target samples as they are. A transformer in a pipeline
    cannot do this: it moves whatever it is given, so that at prediction it would move
    target samples as if they were source samples.

    Parameters
    ----------
    estimator : object, default=None
        The classifier; None means :class:`sklearn.linear_model.LogisticRegression`.
    transport : OptimalTransport, default=None
        How samples are moved; None means :class:`OptimalTransport` as it is.

    Attributes
    ----------
    estimator_ : object
        The classifier, fitted on the moved source samples.
    transport_ : OptimalTransport or None
        The fitted transport; None if there were no target samples.
    classes_ : ndarray of shape (n_classes,)
        The labels.
    certificate_ : Certificate or None
        That of the transport.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X is a data frame.

    See Also
    --------
    OptimalTransport : The transport alone.

    References
    ----------
    .. [1] N. Courty, R. Flamary, D. Tuia, A. Rakotomamonjy, "Optimal Transport for
       Domain Adaptation", IEEE TPAMI 39, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_moons
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sparsestat.transport import DomainAdaptationClassifier
    >>> X, y = make_moons(200, noise=0.1, random_state=0)
    >>> Xt, yt = make_moons(200, noise=0.1, random_state=1)
    >>> turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    >>> model = DomainAdaptationClassifier(KNeighborsClassifier())
    >>> model.fit(X, y, Xt=Xt @ turn + 2.0).score(Xt @ turn + 2.0, yt) > 0.8
    True
    """

    _needs_rows = "a transport plan couples all rows"

    # scikit-learn takes an argument of this name for data, not for metadata, unless
    # it is told otherwise.
    __metadata_request__fit = {"Xt": None, "yt": None}

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "transport": [OptimalTransport, None],
    }

    def __init__(self, estimator=None, *, transport=None):
        self.estimator = estimator
        self.transport = transport

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, Xt=None, yt=None, sample_weight=None):
        """Move the source samples onto the targets and fit the classifier there.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Source samples.
        y : array-like of shape (n_samples,)
            Their labels.
        Xt : {array-like, sparse matrix} of shape (n_targets, n_features), default=None
            Target samples; None fits the classifier on X as it is.
        yt : array-like of shape (n_targets,), default=None
            Integer labels of target samples where known, -1 elsewhere; `y` must hold
            integers then. Samples of different labels are not matched.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the source samples: their masses, and those of the classifier
            if it takes weights.

        Returns
        -------
        self : DomainAdaptationClassifier
            The fitted estimator.
        """
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64)
        check_classification_targets(y)
        inner = LogisticRegression() if self.estimator is None else self.estimator
        if not is_classifier(inner):
            raise ValueError(
                "estimator must be a classifier, got "
                f"{type(inner).__name__}. A regressor has no labels to adapt."
            )
        weights = {}
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, X, dtype=np.float64)
            if has_fit_parameter(inner, "sample_weight"):
                weights = {"sample_weight": sample_weight}
        self.classes_ = np.unique(y)
        self.transport_ = self.certificate_ = None
        moved = _dense(X)
        if Xt is not None:
            transport = self.transport
            transport = OptimalTransport() if transport is None else clone(transport)
            labels = {} if yt is None else {"ys": y, "yt": yt}
            transport.fit(X, Xt=Xt, sample_weight_s=sample_weight, **labels)
            moved = transport.transform(X)
            self.transport_ = transport
            self.certificate_ = transport.certificate_
        self.estimator_ = clone(inner).fit(moved, y, **weights)
        return self

    def _raw(self, X):
        check_is_fitted(self)
        return _dense(
            validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        )

    def predict(self, X):
        """Predict the labels of target samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples like `Xt`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Labels out of ``classes_``.
        """
        X = self._raw(X)
        return self.estimator_.predict(X)

    @available_if(_has("predict_proba"))
    def predict_proba(self, X):
        """Predict the probabilities of the labels of target samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples like `Xt`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        X = self._raw(X)
        return self.estimator_.predict_proba(X)

    @available_if(_has("decision_function"))
    def decision_function(self, X):
        """Evaluate the classifier's decision function at target samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples like `Xt`.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            As the classifier returns them.
        """
        X = self._raw(X)
        return self.estimator_.decision_function(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
