r"""Predict the Frechet mean of a classifier's probabilities in a space of labels.

.. math:: \hat y = \arg\min_y \sum_k P(k \mid x) \, d(y, k)^2

Roberts et al., "Geometry-aware adaptation for pretrained models" (Loki), NeurIPS 2023.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np
from sklearn.base import ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import column_or_1d, get_tags
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import HasMethods, Interval, StrOptions, fit_context
from sparsestat._utils.results import Certificate
from sparsestat.exceptions import NumericalError
from sparsestat.multiclass._metrics import (
    EmbeddingMetric,
    TreeMetric,
    ZeroOneMetric,
    graph_or_matrix,
    variances,
)

__all__ = ["FrechetMeanClassifier"]


class FrechetMeanClassifier(ClassifierMixin, MetaEstimatorMixin, SparsestatEstimator):
    r"""Predict labels, seen or never seen, by their distances from the likely ones.

    A classifier gives probabilities to the K labels it was trained on. With a metric d
    on all N labels this predicts

    .. math:: \hat y = \arg\min_y \sum_k P(k \mid x) \, d(y, k)^2,

    the Frechet mean of the probabilities, which may be a label that no training sample
    has: between two labels that are both likely lies a third. With the metric 0 and 1
    it is the most likely label. Nothing is trained beyond the classifier. Use it when
    distances of labels mean something, as in a taxonomy, on a scale or a grid; it
    cannot be better than its metric, and mistakes of one step become more frequent
    where distances are flat. Which labels can be predicted at all says
    :func:`~sparsestat.multiclass.locus`. Read more in :ref:`User Guide <ensembles>`.

    Parameters
    ----------
    estimator : estimator
        A classifier with `predict_proba`. A :class:`sklearn.frozen.FrozenEstimator`
        around a fitted one is used as it is.
    labels : array-like of shape (n_labels,), default=None
        All labels, in the order of the distances. None stands for 0, 1, ... where a
        metric is given, and for the observed labels where none is.
    distances : {array-like, sparse matrix} or "tree", default=None
        A matrix of distances, of shape (n_labels, n_labels); a sparse matrix of the
        lengths of edges of an undirected graph, whose shortest paths are the distances;
        or "tree". None, without
        `label_embeddings`, means that all labels are equally far apart.
    parents : array-like of shape (n_labels,), default=None
        With ``distances="tree"``, the number of the parent of each label; -1 for the
        root.
    edge_lengths : array-like of shape (n_labels,), default=None
        With ``distances="tree"``, the length of the edge above each label. None means
        1.
    label_embeddings : array-like of shape (n_labels, n_dimensions), default=None
        Vectors of the labels, from whose distances the metric is made.
    metric : {"euclidean", "cosine"}, default="euclidean"
        Distance of the vectors of labels.
    power : float, default=2.0
        Power of the distances. With 1 the prediction is a median.

    Attributes
    ----------
    estimator_ : estimator
        The fitted classifier.
    classes_ : ndarray of shape (n_classes,)
        The observed labels, those of the probabilities.
    labels_ : ndarray of shape (n_labels,)
        All labels that may be predicted.
    certificate_ : Certificate
        That of the fitted classifier, if it has one. The mean itself is exact.
    n_features_in_ : int
        Number of features, if the classifier says so.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if the classifier has them.

    See Also
    --------
    sparsestat.multiclass.locus : Labels that can be predicted.
    sparsestat.multiclass.next_label : The label to observe next.

    Notes
    -----
    Time is that of the classifier's probabilities and O(n K N). Distances are needed
    from observed labels only: K N numbers, computed again for blocks of samples where
    they would take more than 64 MiB. Ties go to the label that comes first.

    References
    ----------
    .. [1] N. Roberts, X. Li, D. Adila, S. Cromp, T.-H. Huang, J. Zhao, F. Sala,
       "Geometry-aware adaptation for pretrained models", NeurIPS, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sparsestat.multiclass import FrechetMeanClassifier
    >>> X = np.array([[0.0], [0.2], [3.8], [4.0]])
    >>> y = np.array([0, 0, 4, 4])  # labels 1, 2 and 3 are never seen
    >>> path = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))
    >>> model = FrechetMeanClassifier(LogisticRegression(), distances=path).fit(X, y)
    >>> model.predict([[0.0], [2.0], [4.0]])
    array([0, 2, 4])
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "labels": ["array-like", None],
        "distances": ["array-like", "sparse matrix", StrOptions({"tree"}), None],
        "parents": ["array-like", None],
        "edge_lengths": ["array-like", None],
        "label_embeddings": ["array-like", None],
        "metric": [StrOptions({"euclidean", "cosine"})],
        "power": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        estimator,
        *,
        labels=None,
        distances=None,
        parents=None,
        edge_lengths=None,
        label_embeddings=None,
        metric="euclidean",
        power=2.0,
    ):
        self.estimator = estimator
        self.labels = labels
        self.distances = distances
        self.parents = parents
        self.edge_lengths = edge_lengths
        self.label_embeddings = label_embeddings
        self.metric = metric
        self.power = power

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None):
        """Fit the classifier, and place its classes among the labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples, in any form that the classifier takes.
        y : array-like of shape (n_samples,)
            Labels, all of them among `labels`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights, passed to the classifier.

        Returns
        -------
        self : FrechetMeanClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If the metric is none, or a class of `y` is not among the labels.

        Warns
        -----
        UserWarning
            If a matrix of distances breaks the triangle inequality.
        """
        metric = self._make_metric()
        weights = {}
        if sample_weight is not None:
            if not has_fit_parameter(self.estimator, "sample_weight"):
                raise ValueError(
                    f"{type(self.estimator).__name__} does not take sample_weight. "
                    "Leave it out, or choose another classifier."
                )
            weights["sample_weight"] = sample_weight
        self.estimator_ = clone(self.estimator).fit(X, y, **weights)
        self.classes_ = np.asarray(self.estimator_.classes_)
        if self.labels is not None:
            labels = _checked_labels(self.labels)
        elif metric is None:
            labels = self.classes_
        else:
            labels = np.arange(metric.n_labels)
        if metric is None:
            metric = ZeroOneMetric(len(labels))
        if len(labels) != metric.n_labels:
            raise ValueError(
                f"There are {len(labels)} labels, but the metric is of "
                f"{metric.n_labels}."
            )
        place = {label: k for k, label in enumerate(labels.tolist())}
        missing = [c for c in self.classes_.tolist() if c not in place]
        if missing:
            raise ValueError(
                f"The classes {missing[:5]} of y are not among the {len(labels)} "
                "labels. Pass labels in the order of the distances, of the type of y."
            )
        self._observed = np.array([place[c] for c in self.classes_.tolist()])
        self.labels_, self._metric = labels, metric
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        self.certificate_ = getattr(
            self.estimator_,
            "certificate_",
            Certificate("none", 0.0, np.inf, True, "the classifier proves nothing"),
        )
        return self

    def predict(self, X):
        """Predict the labels nearest to the probabilities of the classifier.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels, which need not be among the classes.
        """
        P = self.predict_proba(X)
        best = np.empty(len(P), np.int64)
        for first, scores in variances(P, self._metric, self._observed, self.power):
            best[first : first + len(scores)] = scores.argmin(axis=1)
        return self.labels_[best]

    def frechet_variances(self, X):
        """Return the expected power of the distance of every label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        variances : ndarray of shape (n_samples, n_labels)
            The predicted label has the least.
        """
        P = self.predict_proba(X)
        out = np.empty((len(P), self._metric.n_labels))
        for first, scores in variances(P, self._metric, self._observed, self.power):
            out[first : first + len(scores)] = scores
        if not np.isfinite(out).all():
            raise NumericalError(
                f"Distances to the power {self.power} overflow. Rescale the distances."
            )
        return out

    def predict_proba(self, X):
        """Return the classifier's probabilities of the observed labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        check_is_fitted(self)
        return np.asarray(self.estimator_.predict_proba(X), dtype=np.float64)

    def _make_metric(self):
        """Return the metric that was asked for, None for 0 and 1."""
        tree = isinstance(self.distances, str)
        if self.distances is not None and self.label_embeddings is not None:
            raise ValueError("Give distances or label_embeddings, not both.")
        if tree != (self.parents is not None):
            raise ValueError("distances='tree' and parents go together.")
        if self.edge_lengths is not None and not tree:
            raise ValueError("edge_lengths are those of a tree: pass distances='tree'.")
        if tree:
            return TreeMetric(self.parents, self.edge_lengths)
        if self.label_embeddings is not None:
            return EmbeddingMetric(self.label_embeddings, self.metric)
        if self.distances is not None:
            return graph_or_matrix(self.distances)
        return None

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.input_tags.positive_only = inner.input_tags.positive_only
        tags.classifier_tags.multi_class = inner.classifier_tags.multi_class
        return tags


def _checked_labels(labels):
    """Return the labels as an array, or raise ValueError."""
    labels = column_or_1d(labels)
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError("labels must not hold NaN or infinity.")
    try:
        n_distinct = len(set(labels.tolist()))
    except TypeError as error:
        raise ValueError(
            f"labels must be numbers or strings, got {labels.dtype}: {error}."
        ) from error
    if n_distinct < len(labels):
        raise ValueError(
            f"labels must be distinct, but {len(labels) - n_distinct} of "
            f"{len(labels)} are repeated."
        )
    return labels
