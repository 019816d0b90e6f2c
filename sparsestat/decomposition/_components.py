"""What every estimator with components offers: codes back to samples, tags."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

__all__ = ["ComponentsMixin"]


class ComponentsMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Transformers whose codes are coordinates in the rows of `components_`."""

    _takes_sparse = True

    def inverse_transform(self, X):
        """Return the samples that codes stand for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            ``X @ components_``.
        """
        return np.asarray(self._check_codes(X) @ self.components_)

    def _check_codes(self, X):
        """Return codes with one column for each component."""
        check_is_fitted(self)
        codes = X if hasattr(X, "tocsr") else np.asarray(X)
        k = self.components_.shape[0]
        if codes.ndim != 2 or codes.shape[1] != k:
            raise ValueError(
                f"Codes have shape {codes.shape}, but (n_samples, {k}) is needed: one "
                "column for each component."
            )
        return codes

    @property
    def _n_features_out(self):
        return self.components_.shape[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._takes_sparse
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
