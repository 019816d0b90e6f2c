"""Basis functions in place of columns: a kernel at every row of the training data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse
from sklearn.metrics.pairwise import pairwise_kernels

from sparsestat._utils.compat import StrOptions
from sparsestat._utils.validation import LARGEST_ENTRY, check_magnitude
from sparsestat.bayes._data import is_complex, is_operator

__all__ = ["KERNEL_CONSTRAINTS", "KernelBasis"]

_WITH_GAMMA = ("rbf", "laplacian", "poly", "polynomial", "sigmoid", "chi2")
_SCALED = ("rbf", "laplacian", "poly", "polynomial", "sigmoid")
NAMES = (*_WITH_GAMMA, "linear", "cosine", "additive_chi2")
KERNEL_CONSTRAINTS = {
    "kernel": [StrOptions(set(NAMES)), callable, None],
    "kernel_params": [dict, None],
}


class KernelBasis:
    """A kernel with its parameters settled, and the rows it stands at.

    Parameters
    ----------
    kernel : str or callable
        A name that scikit-learn knows, or a function of two matrices.
    params : dict or None
        Parameters of the kernel.
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
        Training rows. Where a kernel has a width and none is given, ``gamma`` is one
        over the number of features times the variance of the entries of X about the
        means of their columns.
    """

    def __init__(self, kernel, params, X):
        if is_operator(X) or is_complex(X):
            raise ValueError(
                "A kernel needs the entries of a real X. Pass kernel=None for linear "
                "operators and complex numbers."
            )
        self.kernel, self.params = kernel, dict(params or {})
        self.offset = None
        if kernel in _SCALED:
            mean = np.asarray(X.mean(axis=0, dtype=np.float64)).ravel()
            if kernel == "rbf" and not sparse.issparse(X):
                self.offset = mean  # distances are differences of squares
            if "gamma" not in self.params:
                spread = _mean_square(X, mean)
                self.params["gamma"] = 1.0 / spread if spread > 0 else 1.0

    def __call__(self, X, rows):
        """Return the kernel between X and `rows`, as float64."""
        if self.offset is not None:
            X, rows = X - self.offset, rows - self.offset
        if callable(self.kernel):
            K = self.kernel(X, rows, **self.params)
        else:
            K = pairwise_kernels(X, rows, metric=self.kernel, **self.params)
        K = np.array(K, dtype=np.float64)
        if K.shape != (X.shape[0], rows.shape[0]):
            raise ValueError(
                f"`kernel` returned shape {K.shape} for {X.shape[0]} and "
                f"{rows.shape[0]} rows. It is called with two matrices and must return "
                "one number for each pair of their rows."
            )
        if not np.isfinite(K).all():
            raise ValueError(
                "`kernel` returned NaN or infinity. Rescale X, or choose other "
                "kernel_params."
            )
        return check_magnitude(K, name="the kernel", largest=LARGEST_ENTRY)


def _mean_square(X, mean):
    """Return the sum over columns of the mean square about `mean`."""
    if sparse.issparse(X):
        squares = np.asarray(X.multiply(X).mean(axis=0, dtype=np.float64)).ravel()
        return float(np.maximum(squares - mean**2, 0.0).sum())
    return float(((X - mean) ** 2).sum() / len(X))
