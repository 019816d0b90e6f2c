"""One-step codes: the k largest activations of each sample."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from sparsestat._utils.compat import Interval, align_sparse_interface, validate_params
from sparsestat._utils.validation import read_only, refuse_complex
from sparsestat.decomposition import _kernels_select as kernels

__all__ = ["abs_topk_code", "check_matrix", "select_topk", "topk_code"]


def check_matrix(M, name, *, dtype=(np.float64, np.float32)):
    """Validate a dense real matrix, keeping single precision."""
    refuse_complex(M, name=name)
    return check_array(
        M, dtype=list(dtype), order="C", input_name=name, ensure_min_samples=1
    )


def select_topk(U, k, signed):
    """Return the selected entries of each row as a CSR array."""
    n_rows, n_columns = U.shape
    k = min(int(k), n_columns)
    indices = np.empty((n_rows, k), dtype=np.int32)
    values = np.empty((n_rows, k), dtype=U.dtype)
    counts = np.empty(n_rows, dtype=np.int64)
    keys = np.empty(n_columns, dtype=U.dtype)
    kernels.topk_of_rows(read_only(U), k, signed, keys, indices, values, counts)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    if indptr[-1] < n_rows * k:
        filled = np.arange(k) < counts[:, None]
        indices, values = indices[filled], values[filled]
    else:
        indices, values = indices.ravel(), values.ravel()
    return sparse.csr_array((values, indices, indptr), shape=U.shape)


@validate_params(
    {
        "U": ["array-like"],
        "k": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def topk_code(U, k):
    r"""Keep the k largest positive activations of each row.

    The projection of U onto the matrices with at most k positive entries a row
    and zeros elsewhere.

    Parameters
    ----------
    U : array-like of shape (n_samples, n_atoms)
        Activations, e.g. ``X @ W.T + b``.
    k : int
        Number of entries to keep; at least `n_atoms` keeps all positive ones.

    Returns
    -------
    Z : csr_array of shape (n_samples, n_atoms)
        The code. Of equal entries the first ones are kept.

    See Also
    --------
    abs_topk_code : Keeps large negative activations as well.
    sparsestat.sparse.topk_rows : The same selection on sparse matrices.

    Notes
    -----
    O(n_atoms) a row by quickselect; nothing is sorted.

    Examples
    --------
    >>> from sparsestat.decomposition import topk_code
    >>> topk_code([[3.0, -5.0, 1.0, 2.0]], 2).toarray()
    array([[3., 0., 0., 2.]])
    """
    return align_sparse_interface(select_topk(check_matrix(U, "U"), k, False))


@validate_params(
    {
        "U": ["array-like"],
        "k": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def abs_topk_code(U, k):
    r"""Keep the k activations of largest magnitude in each row, with their signs.

    The Euclidean projection onto the vectors with at most k entries other than
    zero, hence never farther from U than :func:`topk_code`.

    Parameters
    ----------
    U : array-like of shape (n_samples, n_atoms)
        Activations.
    k : int
        Number of entries to keep; at least `n_atoms` keeps all.

    Returns
    -------
    Z : csr_array of shape (n_samples, n_atoms)
        The code. Of equal magnitudes the first ones are kept.

    See Also
    --------
    topk_code : Keeps positive activations only.

    References
    ----------
    .. [1] X. Zhu, M. Khalili, Z. Zhu, "AbsTopK: rethinking sparse autoencoders for
       bidirectional features", arXiv 2510.00404, 2025.

    Examples
    --------
    >>> from sparsestat.decomposition import abs_topk_code
    >>> abs_topk_code([[3.0, -5.0, 1.0, 2.0]], 2).toarray()
    array([[ 3., -5.,  0.,  0.]])
    """
    return align_sparse_interface(select_topk(check_matrix(U, "U"), k, True))
