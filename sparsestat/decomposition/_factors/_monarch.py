"""Monarch matrices: products of two block-diagonal factors and a permutation."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from sparsestat._utils.compat import Interval, validate_params
from sparsestat._utils.validation import LARGEST_ENTRY, check_magnitude
from sparsestat.decomposition._codes import check_matrix

__all__ = ["MonarchFactors", "monarch_matmul", "project_monarch"]


@dataclass(frozen=True, repr=False)
class MonarchFactors:
    """The two factors of a Monarch matrix.

    Entry ``(a * p + k, r * c + s)`` of the matrix is ``L[k, a, r] * R[r, k, s]``.

    Parameters
    ----------
    L : ndarray of shape (p, b, q)
        Left factor: p blocks.
    R : ndarray of shape (q, p, c)
        Right factor: q blocks.
    residual : float
        Frobenius distance to the matrix that was projected.
    """

    L: np.ndarray
    R: np.ndarray
    residual: float

    @property
    def shape(self):
        """Shape ``(b p, q c)`` of the matrix."""
        p, b, q = self.L.shape
        return b * p, q * self.R.shape[2]

    def to_dense(self):
        """Return the matrix itself."""
        T = np.einsum("kar,rks->akrs", self.L, self.R)
        return T.reshape(self.shape)

    def __repr__(self):
        size = self.L.size + self.R.size
        return (
            f"MonarchFactors(shape={self.shape}, {size} values, "
            f"residual={self.residual:.3g})"
        )


@validate_params(
    {
        "M": [np.ndarray, "array-like"],
        "n_blocks": [
            Interval(Integral, 1, None, closed="left"),
            tuple,
        ],
    },
    prefer_skip_nested_validation=True,
)
def project_monarch(M, n_blocks):
    r"""Project a matrix onto the Monarch matrices.

    Cut M into slices, :math:`T_{kr}[a, s] = M[a p + k, r c + s]`, where the number of
    rows is b p and that of columns q c. A Monarch matrix is one whose slices all
    have rank one, hence its projection takes the leading singular triple of each.

    Parameters
    ----------
    M : array-like of shape (n_rows, n_columns)
        The matrix, real or complex.
    n_blocks : int or tuple of two int
        Numbers ``(p, q)`` of blocks of the left and of the right factor; an integer
        stands for both. p divides `n_rows`, q divides `n_columns`.

    Returns
    -------
    factors : MonarchFactors
        With ``L`` of shape (p, b, q), ``R`` of shape (q, p, c), the Frobenius
        distance ``residual`` and the method ``to_dense``.

    See Also
    --------
    monarch_matmul : Multiplies by the factors.

    Notes
    -----
    O(n_rows n_columns min(b, c)). The factors hold ``n_rows q + n_columns p`` values.

    References
    ----------
    .. [1] T. Dao et al., "Monarch: expressive structured matrices for efficient and
       accurate training", ICML, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import project_monarch
    >>> M = np.random.default_rng(0).standard_normal((16, 16))
    >>> project_monarch(M, 4)
    MonarchFactors(shape=(16, 16), 128 values, residual=...)
    """
    M = np.asarray(M)
    if M.dtype.kind == "c":
        parts = np.hstack([M.real, M.imag]) if M.ndim == 2 else M
        check_matrix(parts.real, "M")
    else:
        M = check_matrix(M, "M")
    check_magnitude(M, name="M", largest=LARGEST_ENTRY)
    p, q = (n_blocks, n_blocks) if isinstance(n_blocks, Integral) else n_blocks
    for blocks, size, name in ((p, M.shape[0], "rows"), (q, M.shape[1], "columns")):
        if blocks < 1 or size % blocks:
            raise ValueError(
                f"{blocks} blocks do not divide the {size} {name} of M. Choose "
                "n_blocks that divide the shape, or pad M with zeros."
            )
    b, c = M.shape[0] // p, M.shape[1] // q
    T = M.reshape(b, p, q, c).transpose(1, 2, 0, 3)
    U, s, Vt = np.linalg.svd(T, full_matrices=False)
    root = np.sqrt(s[..., 0])
    L = (U[..., 0] * root[..., None]).transpose(0, 2, 1)
    R = (Vt[..., 0, :] * root[..., None]).transpose(1, 0, 2)
    residual = float(np.sqrt((s[..., 1:].astype(float) ** 2).sum()))
    return MonarchFactors(np.ascontiguousarray(L), np.ascontiguousarray(R), residual)


@validate_params(
    {"factors": [MonarchFactors], "X": [np.ndarray, "array-like"]},
    prefer_skip_nested_validation=True,
)
def monarch_matmul(factors, X):
    """Multiply by a Monarch matrix with two batched products.

    Parameters
    ----------
    factors : MonarchFactors
        From :func:`project_monarch`.
    X : array-like of shape (n_columns,) or (n_columns, n_vectors)
        What to multiply.

    Returns
    -------
    Y : ndarray of shape (n_rows,) or (n_rows, n_vectors)
        ``factors.to_dense() @ X``.

    See Also
    --------
    project_monarch : Makes the factors.

    Notes
    -----
    O(n_vectors (n_rows q + n_columns p)), against O(n_vectors n_rows n_columns).

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import monarch_matmul, project_monarch
    >>> M = np.random.default_rng(0).standard_normal((6, 4))
    >>> factors = project_monarch(M, 2)
    >>> np.allclose(monarch_matmul(factors, np.eye(4)), factors.to_dense())
    True
    """
    X = np.asarray(X)
    n_rows, n_columns = factors.shape
    if X.ndim not in (1, 2) or X.shape[0] != n_columns:
        raise ValueError(
            f"X has shape {X.shape}, but its first dimension must be {n_columns}, the "
            "number of columns of the Monarch matrix."
        )
    L, R = factors.L, factors.R
    blocks = X.reshape(R.shape[0], R.shape[2], -1)
    inner = np.matmul(R, blocks)  # q blocks of (p, n_vectors)
    outer = np.matmul(L, inner.transpose(1, 0, 2))  # p blocks of (b, n_vectors)
    Y = outer.transpose(1, 0, 2).reshape(n_rows, -1)
    return Y[:, 0] if X.ndim == 1 else Y
