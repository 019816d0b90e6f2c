"""What clusterers with centers do with new samples."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.compat import check_sample_weight
from sparsestat.cluster._data import slices_of

__all__ = ["NearestCenters"]


class NearestCenters(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Predictions, distances and scores from ``cluster_centers_``.

    An estimator to the right of it holds the frame of its fit as ``_frame`` and
    validates samples in ``_validate(X, reset=...)``.
    """

    def predict(self, X):
        """Return the nearest cluster of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Index of the nearest mean.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        return self._nearest(X).astype(np.int32)

    def transform(self, X):
        """Return the distances to the cluster means.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_clusters)
            Euclidean distances.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        return self._distances(X)

    def score(self, X, y=None, sample_weight=None):
        """Return minus the K-means cost of X under the fitted means.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        score : float
            Larger is better; at most 0.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        weights = check_sample_weight(sample_weight, X, dtype=np.float64)
        kept = weights != 0
        if not kept.all():
            X, weights = X[kept], weights[kept]
        return -float(weights @ self._distances(X).min(axis=1) ** 2)

    def _nearest(self, X):
        rows, _ = self._frame.points(X)
        centers = self._framed_centers()
        norms = np.einsum("kd,kd->k", centers, centers)
        out = np.empty(X.shape[0], dtype=np.int64)
        for part in slices_of(X.shape):
            out[part] = (norms - 2.0 * (rows[part] @ centers.T)).argmin(axis=1)
        return out

    def _distances(self, X):
        rows, factors = self._frame.points(X)
        if sparse.issparse(rows):
            distances = euclidean_distances(rows, self._framed_centers())
        else:  # exact where a point is a center
            distances = cdist(rows, self._framed_centers())
        return distances / factors[:, None]

    def _framed_centers(self):
        return self._frame.apply(self.cluster_centers_)

    @property
    def _n_features_out(self):
        return self.cluster_centers_.shape[0]
