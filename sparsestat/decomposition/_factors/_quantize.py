"""Matrices in few bits: the best levels of each row, outliers kept exactly."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from scipy import sparse

from sparsestat._utils.compat import Interval, align_sparse_interface, validate_params
from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.validation import check_magnitude, read_only, read_only_triple
from sparsestat.decomposition._codes import check_matrix
from sparsestat.decomposition._factors import _kernels_quantize as kernels
from sparsestat.decomposition._factors._calibration import (
    VALUE_BITS,
    check_weights,
    sparse_bits,
)
from sparsestat.decomposition._projections import places_of_largest

__all__ = ["QuantizedMatrix", "pack_codes", "quantize_rows", "unpack_codes"]

_BLOCK_ROWS = 256  # decoded at a time, so that memory stays small
_SENSITIVE_SHARE = 10  # one outlier in so many is taken for its sensitivity


def pack_codes(codes, bits):
    """Return the rows of an array of codes as bytes, `bits` bits a code."""
    packed = np.empty((len(codes), -(-codes.shape[1] * bits // 8)), dtype=np.uint8)
    kernels.pack_rows(read_only(codes), bits, packed)
    return packed


def unpack_codes(packed, bits, n_columns):
    """Undo `pack_codes`."""
    codes = np.empty((len(packed), n_columns), dtype=np.uint8)
    kernels.unpack_rows(read_only(packed), bits, codes)
    return codes


@dataclass(frozen=True, repr=False)
class QuantizedMatrix:
    """A matrix whose rows have few levels each, and exact outliers.

    Made by :func:`quantize_rows`.

    Parameters
    ----------
    codes : ndarray of shape (n_rows, n_bytes)
        Index of the level of each entry, `bits` bits each, packed row by row.
    codebook : ndarray of shape (n_rows, 2 ** bits)
        Levels of each row, ascending.
    outliers : csr_array of shape (n_rows, n_columns)
        Entries that are kept as they are; stored zeros count.
    bits : int
        Bits of a code.
    loss : float
        Weighted squared error relative to that of zero.

    See Also
    --------
    quantize_rows : Makes one from a matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import quantize_rows
    >>> Q = quantize_rows(np.array([[1.0, 1.2, 5.0, 4.8]]), bits=1)
    >>> Q
    QuantizedMatrix(shape=(1, 4), bits=1, outliers=0, loss=0.00079)
    >>> Q.dequantize()
    array([[1.1, 1.1, 4.9, 4.9]])
    """

    codes: np.ndarray
    codebook: np.ndarray
    outliers: sparse.csr_array
    bits: int
    loss: float

    @property
    def shape(self):
        """Shape of the matrix."""
        return self.outliers.shape

    @property
    def n_bits(self):
        """Bits: codes, 16 a level, 16 and an index an outlier."""
        n_rows, n_columns = self.shape
        levels = self.codebook.size * VALUE_BITS
        outliers = sparse_bits(self.outliers.nnz, n_columns)
        return self.bits * n_rows * n_columns + levels + outliers

    @property
    def nbytes(self):
        """Bytes that the arrays take in memory."""
        S = self.outliers
        arrays = self.codes, self.codebook, S.data, S.indices, S.indptr
        return sum(array.nbytes for array in arrays)

    def unpack(self):
        """Return the codes, one byte each.

        Returns
        -------
        codes : ndarray of shape (n_rows, n_columns)
            Indices into the rows of the codebook.
        """
        return unpack_codes(self.codes, self.bits, self.shape[1])

    def dequantize(self):
        """Return the matrix itself.

        Returns
        -------
        W : ndarray of shape (n_rows, n_columns)
            Levels, and outliers in their places.
        """
        out = np.empty(self.shape, dtype=self.codebook.dtype)
        self._decode(0, out)
        return out

    def matmul(self, X):
        """Multiply by the matrix, decoding some rows at a time.

        Parameters
        ----------
        X : array-like of shape (n_columns,) or (n_columns, n_vectors)
            What to multiply.

        Returns
        -------
        Y : ndarray of shape (n_rows,) or (n_rows, n_vectors)
            ``dequantize() @ X``.
        """
        X = np.asarray(X)
        n_rows, n_columns = self.shape
        if X.ndim not in (1, 2) or X.shape[0] != n_columns:
            raise ValueError(
                f"X has shape {X.shape}, but its first dimension must be {n_columns}, "
                "the number of columns of the quantized matrix."
            )
        dtype = np.result_type(self.codebook.dtype, X.dtype)
        Y = np.empty((n_rows, *X.shape[1:]), dtype=dtype)
        buffer = np.empty(
            (min(_BLOCK_ROWS, n_rows), n_columns), dtype=self.codebook.dtype
        )
        for start in range(0, n_rows, _BLOCK_ROWS):
            part = buffer[: n_rows - start]
            self._decode(start, part)
            Y[start : start + _BLOCK_ROWS] = part @ X
        return Y

    def _decode(self, start, out):
        kernels.decode_rows(
            read_only(self.codes),
            self.bits,
            read_only(self.codebook),
            *read_only_triple(self.outliers),
            start,
            out,
        )

    def __repr__(self):
        return (
            f"QuantizedMatrix(shape={self.shape}, bits={self.bits}, "
            f"outliers={self.outliers.nnz}, loss={self.loss:.2g})"
        )


@validate_params(
    {
        "W": ["array-like"],
        "bits": [Interval(Integral, 1, 8, closed="both")],
        "sensitivity": ["array-like", None],
        "outlier_fraction": [Interval(Real, 0, 1, closed="both")],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def quantize_rows(W, bits=3, *, sensitivity=None, outlier_fraction=0.0, n_jobs=None):
    r"""Round each row of a matrix to its best 2^bits levels.

    For every row the levels minimize

    .. math:: \sum_j h_{ij} \min_k (w_{ij} - l_{ik})^2

    globally, by dynamic programming. With outliers, some entries are taken out before
    and kept exactly, so that the levels need not reach them. Use it to store a linear
    map in a fifth of the memory or less and to multiply by it as it is stored.

    Parameters
    ----------
    W : array-like of shape (n_rows, n_columns)
        The matrix. float32 stays float32.
    bits : int, default=3
        Bits of a code, 1 to 8.
    sensitivity : array-like, default=None
        Non-negative weights h, of the shape of W or broadcast to it: for example mean
        squared gradients of a loss, or mean squares of the data that meet the
        columns. A row in which they are all zero has equal ones.
    outlier_fraction : float, default=0.0
        Share of the entries of the whole matrix that are kept exactly: those of
        largest magnitude or, with `sensitivity`, first the most sensitive ones, a
        tenth of them, and then the largest of the others.
    n_jobs : int, default=None
        Threads, over rows. The result does not depend on it.

    Returns
    -------
    Q : QuantizedMatrix
        With ``codes``, ``codebook``, ``outliers``, ``n_bits``, ``loss`` and the methods
        ``dequantize`` and ``matmul``.

    See Also
    --------
    sparsestat.cluster.KMeans1D : The same optimum for one column of values.
    quantized_low_rank_sparse : Even levels, plus low rank.
    SemiStructuredFactorization : Few entries in place of few levels.

    Notes
    -----
    Per row O(n_columns log n_columns) for sorting and at worst O(2^bits n_columns log
    n_columns). Levels are optimal up to the rounding of prefix sums in double
    precision. Where a row has fewer distinct values than levels, the last one is
    repeated and the row is exact.

    Levels for each row weighted by sensitivity, and exact outliers, are those of
    SqueezeLLM [1]_, which finds levels by k-means from a random start.

    References
    ----------
    .. [1] S. Kim et al., "SqueezeLLM: dense-and-sparse quantization", ICML, 2024.
    .. [2] H. Wang, M. Song, "Ckmeans.1d.dp: optimal k-means clustering in one dimension
       by dynamic programming", The R Journal 3, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import quantize_rows
    >>> W = np.random.default_rng(0).standard_normal((64, 256))
    >>> Q = quantize_rows(W, bits=3, outlier_fraction=0.005)
    >>> Q
    QuantizedMatrix(shape=(64, 256), bits=3, outliers=82, loss=0.026)
    >>> X = np.ones((256, 2))
    >>> np.allclose(Q.matmul(X), Q.dequantize() @ X)
    True
    """
    W = check_magnitude(check_matrix(W, "W"), name="W")
    weights = None
    if sensitivity is not None:
        weights = check_weights(sensitivity, W.shape, "sensitivity")
    places = _outliers(W, weights, outlier_fraction)
    kept = np.ones(W.shape)
    kept.ravel()[places] = 0.0
    if weights is not None:
        weighted = kept * weights
        dull = ~weighted.any(axis=1)
        weighted[dull] = kept[dull]
        kept = weighted
    codebook = np.empty((len(W), 1 << bits), dtype=W.dtype)
    codes = np.empty(W.shape, dtype=np.uint8)

    def code(start):
        rows = slice(start, start + _BLOCK_ROWS)
        order = np.argsort(W[rows], axis=1)
        kernels.code_rows(
            read_only(W[rows]),
            read_only(order),
            read_only(kept[rows]),
            codebook[rows],
            codes[rows],
        )

    blocks = [(start,) for start in range(0, len(W), _BLOCK_ROWS)]
    run_parallel(code, blocks, n_jobs=n_jobs, require="sharedmem")
    rows, columns = np.divmod(np.sort(places), W.shape[1])
    indptr = np.searchsorted(rows, np.arange(len(W) + 1))
    outliers = sparse.csr_array(
        (W[rows, columns], columns.astype(np.int32), indptr.astype(np.int32)),
        shape=W.shape,
    )
    found = QuantizedMatrix(pack_codes(codes, bits), codebook, outliers, int(bits), 0.0)
    loss = _relative_loss(W, found.dequantize(), weights)
    return QuantizedMatrix(
        found.codes, codebook, align_sparse_interface(outliers), found.bits, loss
    )


def _outliers(W, weights, fraction):
    """Return flat places of the entries to keep: sensitive ones, then large ones."""
    count = round(fraction * W.size)
    if weights is None:
        return places_of_largest(W.ravel(), count)
    sensitive = places_of_largest(weights.ravel(), count // _SENSITIVE_SHARE)
    rest = np.setdiff1d(np.arange(W.size), sensitive, assume_unique=True)
    large = places_of_largest(W.ravel()[rest], count - len(sensitive))
    return np.append(sensitive, rest[large])


def _relative_loss(W, approximation, weights):
    """Return the weighted squared error relative to that of zero; 0/0 is 0."""
    W = W.astype(np.float64, copy=False)
    rest = W - approximation
    if weights is None:
        left, total = np.vdot(rest, rest), np.vdot(W, W)
    else:
        scaled = weights / (weights.max() or 1.0)
        left, total = (float((scaled * M**2).sum()) for M in (rest, W))
    return float(left / total) if total > 0 else 0.0
