"""Classifiers by Gaussian processes: classes to targets, processes to probabilities."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.gaussian_process._kernel._starts import feature_units, first_scales
from sparsestat.gaussian_process._variational._likelihoods import Bernoulli, Softmax

__all__ = ["ClassPosteriorMixin", "class_order", "length_candidates"]


def class_order(X, codes, n_classes):
    """Order classes by how far their means are from that of all, whatever their names.

    The points over which softmax is averaged belong to classes in this order.
    """
    U = (X - X.mean(axis=0)) / feature_units(X)
    far = [
        np.sum(U[codes == c].mean(axis=0) ** 2) if np.any(codes == c) else np.inf
        for c in range(n_classes)
    ]
    return np.argsort(far, kind="stable")


def length_candidates(X, target):
    """Return lengths of a Gaussian kernel to try for classes, in units of X.

    Beside lengths that are equal in all features, those at which the kernel explains
    an indicator; within bounds, because without noise lengths can become anything.
    """
    unit = feature_units(X)
    shared = unit * np.sqrt(X.shape[1])
    own = first_scales(X, target - target.mean()).lengths / unit
    own = np.clip(own, 0.2, 20.0 * np.sqrt(X.shape[1])) * unit
    return [own, 2.0 * shared, shared, 0.5 * shared, 0.25 * shared]


class ClassPosteriorMixin:
    """Predict classes from the posterior of one process, or of one a class.

    A subclass gives `_check_rows`, which validates points, and `_latent`, which returns
    means and variances of the processes, one column each.
    """

    def _encode(self, X, y, *, softmax=False, classes=None):
        """Store the classes and the likelihood of targets."""
        self.classes_ = np.unique(y if classes is None else classes)
        if len(np.setdiff1d(y, self.classes_)):
            raise ValueError(f"y has classes that `classes` lacks: {classes}.")
        codes = np.searchsorted(self.classes_, y)
        n_classes = len(self.classes_)
        if n_classes < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least two classes, but y "
                f"has only one class: {self.classes_[0]!r}."
            )
        if n_classes == 2 and not softmax:
            self._likelihood, self._order = Bernoulli(), np.arange(2)
        else:
            self._likelihood = Softmax(n_classes)
            self._order = class_order(X, codes, n_classes)

    def _targets(self, y):
        """Return the targets of the likelihood: signs, or rows of an identity."""
        codes = np.searchsorted(self.classes_, y)
        if self._likelihood.n_outputs == 1:
            return np.where(codes == 1, 1.0, -1.0)[:, None]
        place = np.argsort(self._order)
        return np.eye(len(self.classes_))[place[codes]]

    def predict_proba(self, X):
        """Return the probabilities of the classes, the processes integrated out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of `classes_`.
        """
        X = self._check_rows(X)
        p = self._likelihood.probabilities(*self._latent(X))
        if self._likelihood.n_outputs == 1:
            return p
        return p[:, np.argsort(self._order)]

    def predict(self, X):
        """Return the most probable class of every sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Classes.
        """
        p = self.predict_proba(X)
        return self.classes_[np.argmax(p, axis=1)]
