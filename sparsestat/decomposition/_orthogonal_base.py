"""What both orthogonal dictionaries share: validation, exact codes, moments."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import CallbackSupportMixin, Interval, StrOptions
from sparsestat._utils.samples import FLOATS, check_samples, given_weights
from sparsestat._utils.validation import (
    check_complex_array,
    check_magnitude,
    refuse_complex,
)
from sparsestat.decomposition._codes import select_topk
from sparsestat.decomposition._components import ComponentsMixin
from sparsestat.decomposition._orthogonal import _frank_wolfe as fw

__all__ = ["COMMON_CONSTRAINTS", "OrthogonalTransformer", "second_moments"]

COMMON_CONSTRAINTS = {
    "n_components": [Interval(Integral, 1, None, closed="left"), None],
    "p": [Interval(Real, 2, None, closed="neither")],
    "precondition": ["boolean"],
    "center": ["boolean"],
    "transform_algorithm": [StrOptions({"linear", "topk", "soft", "hard"})],
    "transform_n_nonzero_coefs": [Interval(Integral, 1, None, closed="left"), None],
    "transform_alpha": [Interval(Real, 0, None, closed="left"), None],
    "allow_complex": ["boolean"],
    "init": ["array-like", None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


class OrthogonalTransformer(
    CallbackSupportMixin,
    ComponentsMixin,
    SparsestatEstimator,
):
    """Validation, exact codes and their inverse, shared by both dictionaries."""

    _by_rows = True

    def _keep_center(self, center):
        """Store what is taken off samples, a Standardization or None."""
        self._center, self.mean_ = center, None
        if center is not None:
            self.mean_ = center.offset + center.rest + center.mean

    def _given(self, X, sample_weight):
        """Return samples of positive weight, checked, and their weights or None."""
        weights = given_weights(sample_weight, X)
        if weights is not None:
            used = np.flatnonzero(weights)
            if 0 < len(used) < len(weights):
                X, weights = X[used], weights[used]
        check_magnitude(X)
        return X, weights

    def _validate_samples(self, X, *, reset):
        if self.allow_complex and _holds_complex(X):
            if not (reset or np.iscomplexobj(self.components_)):
                raise ValueError(
                    "X is complex, but the model was fitted to real data. Fit it to "
                    "complex data."
                )
            X = check_complex_array(X)
            validate_data(self, X, reset=reset, skip_check_array=True)
            return np.ascontiguousarray(X)
        return check_samples(
            self, X, accept_sparse="csr", dtype=FLOATS, reset=reset, largest=None
        )

    def _check_sizes(self, n_features):
        k = n_features if self.n_components is None else self.n_components
        if k > n_features:
            raise ValueError(
                f"n_components={k} exceeds the {n_features} features: an orthogonal "
                "dictionary has at most as many atoms as features. Lower "
                "n_components."
            )
        wanted = self.transform_n_nonzero_coefs
        if wanted is not None and wanted > k:
            raise ValueError(
                f"transform_n_nonzero_coefs={wanted} exceeds the {k} atoms. Lower it."
            )
        return k

    def _start(self, k, n_features, rng, is_complex):
        """Return the first iterate: the given one, or uniform on the manifold."""
        if self.init is None:
            return fw.random_stiefel(k, n_features, rng, is_complex=is_complex)
        if not is_complex:
            refuse_complex(self.init, name="init")
        A = np.array(self.init, dtype=np.complex128 if is_complex else np.float64)
        if A.shape != (k, n_features):
            raise ValueError(
                f"init has shape {A.shape}, but ({k}, {n_features}) is needed: "
                "(n_components, n_features)."
            )
        error = np.abs(A @ A.conj().T - np.eye(k)).max()
        if not error <= 1e-6:
            raise ValueError(
                f"The rows of init are not orthonormal: init @ init.T differs from "
                f"the identity by {error:.1e}, more than 1e-6. Pass "
                "project_stiefel(init)."
            )
        return A

    def _measure_noise(self, X, weights):
        """Store the noise of codes as the median of their magnitudes shows it."""
        step = -(-X.shape[0] // fw.BLOCK_ROWS)
        Z = fw.codes_of(
            fw.moved(X[::step], self._center), self.components_, self._center
        )
        size = np.linalg.norm(self.components_, axis=1)
        size[size == 0] = 1.0
        level = np.log(2.0) ** 0.5 if Z.dtype.kind == "c" else 0.6744897501960817
        w = None if weights is None else weights[::step]
        self.noise_scale_ = _median(np.abs(Z) / size, w) / level

    def _hard_level(self, is_complex):
        """Return what magnitudes of codes must exceed, one number an atom."""
        if self.transform_alpha is not None:
            return self.transform_alpha
        k = self.components_.shape[0]
        universal = np.sqrt((1.0 if is_complex else 2.0) * np.log(max(k, 2)))
        size = np.linalg.norm(self.components_, axis=1)
        return self.noise_scale_ * universal * size

    def _samples_like_components(self, X):
        X = check_magnitude(self._validate_samples(X, reset=False))
        if np.iscomplexobj(self.components_) and not np.iscomplexobj(X):
            X = X.astype(np.result_type(X.dtype, np.complex64))
        return X

    def _store_dictionary(self, A, whitening, coloring, dtype):
        self.whitening_ = whitening
        if whitening is None:
            self.components_ = A.astype(dtype)
            self.dictionary_ = np.ascontiguousarray(A.conj().T, dtype=dtype)
        else:
            self.components_ = (A @ whitening).astype(dtype)
            self.dictionary_ = (coloring @ A.conj().T).astype(dtype)

    def transform(self, X):
        """Compute the codes of samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components)
            The codes, thresholded as `transform_algorithm` says.
        """
        check_is_fitted(self)
        X = self._samples_like_components(X)
        Z = fw.codes_of(fw.moved(X, self._center), self.components_, self._center)
        Z = Z.astype(np.result_type(X.dtype, self.components_.dtype), copy=False)
        if self.transform_algorithm == "topk":
            k = self.transform_n_nonzero_coefs
            if k is None:
                k = max(1, int(np.ceil(self.components_.shape[0] / 10)))
            if Z.dtype.kind == "c":
                Z = np.where(select_topk(np.abs(Z), k, True).toarray() > 0, Z, 0)
            else:
                Z = select_topk(np.ascontiguousarray(Z), k, True).toarray()
        elif self.transform_algorithm == "soft":
            alpha = 1.0 if self.transform_alpha is None else self.transform_alpha
            # numpy's sign of a complex number is its phase.
            Z = np.sign(Z) * np.maximum(np.abs(Z) - Z.real.dtype.type(alpha), 0)
        elif self.transform_algorithm == "hard":
            Z = np.where(np.abs(Z) > self._hard_level(Z.dtype.kind == "c"), Z, 0)
        return Z

    def inverse_transform(self, X):
        """Return the samples that codes stand for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            ``X @ dictionary_.T + mean_``.
        """
        out = np.asarray(self._check_codes(X) @ self.dictionary_.T)
        if self.mean_ is not None:
            out = out + self.mean_.astype(out.dtype, copy=False)
        return out

    def score(self, X, y=None):
        """Return the mean over samples of the p-th powers of the linear codes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : None
            Ignored.

        Returns
        -------
        score : float
            The objective; larger is sparser.
        """
        check_is_fitted(self)
        X = self._samples_like_components(X)
        return fw.lp_value(X, self.components_, self.p, center=self._center)


def _median(Z, weights):
    """Return the median of all entries; a weight repeats a row."""
    if weights is None:
        return float(np.median(Z))
    order = np.argsort(Z, axis=None)
    values = Z.ravel()[order]
    mass = np.cumsum(np.repeat(weights, Z.shape[1])[order])
    low, high = np.searchsorted(mass, 0.5 * mass[-1] * np.array([1 - 1e-12, 1 + 1e-12]))
    return float(0.5 * (values[low] + values[min(high, len(values) - 1)]))


def _holds_complex(X):
    if isinstance(X, list | tuple):
        return np.iscomplexobj(X)
    return getattr(getattr(X, "dtype", None), "kind", None) == "c"


def second_moments(X, weights, center):
    """Return the (centered) second moments, a block of rows at a time."""
    out = np.zeros((X.shape[1],) * 2, dtype=np.result_type(X.dtype, np.float64))
    for s in range(0, X.shape[0], fw.BLOCK_ROWS):
        block = fw.moved(X[s : s + fw.BLOCK_ROWS], center)
        other = block.conj()
        if weights is not None:
            w = weights[s : s + fw.BLOCK_ROWS, None]
            other = block.multiply(w).tocsr() if hasattr(block, "tocsr") else other * w
        moment = block.T @ other
        out += moment.toarray() if hasattr(moment, "toarray") else moment
    out /= X.shape[0] if weights is None else weights.sum()
    if center is None or not center.mean.any():
        return out
    return out - np.outer(center.mean, center.mean.conj())
