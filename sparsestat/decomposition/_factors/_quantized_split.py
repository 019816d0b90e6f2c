"""A matrix as even levels plus low rank plus sparse, at few bits an entry."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from sparsestat._utils.compat import Interval, align_sparse_interface, validate_params
from sparsestat._utils.validation import check_magnitude, read_only
from sparsestat.decomposition._codes import check_matrix
from sparsestat.decomposition._factors import _kernels_quantize as kernels
from sparsestat.decomposition._factors._calibration import VALUE_BITS, sparse_bits
from sparsestat.decomposition._factors._quantize import pack_codes, unpack_codes
from sparsestat.decomposition._low_rank._split import leading_triples, power_steps

__all__ = ["QuantizedSplit", "quantized_low_rank_sparse"]

_POWER_STEPS = 2


@dataclass(frozen=True, repr=False)
class QuantizedSplit:
    """Quantized, low-rank and sparse matrices whose sum is close to the input.

    Parameters
    ----------
    codes : ndarray of shape (n_vectors, n_bytes)
        Packed codes; vectors are rows for `axis` 1, columns for 0.
    scales, offsets : ndarray of shape (n_vectors, n_groups)
        A code c of a group stands for ``offset + scale * c``.
    U, V : ndarray of shape (n_rows, rank), (n_columns, rank)
        The low-rank part is ``U @ V.T``.
    sparse : csr_array of shape (n_rows, n_columns)
        What is added at few places, where the sum is exact.
    bits, group_size, axis : int
        As they were asked for.
    history : list of float
        Relative error of the best split after each pass.
    """

    codes: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray
    U: np.ndarray
    V: np.ndarray
    sparse: sparse.csr_array
    bits: int
    group_size: int
    axis: int
    history: list = field(default_factory=list)

    @property
    def shape(self):
        """Shape of the matrix."""
        return self.sparse.shape

    @property
    def error(self):
        """Frobenius norm of what is left, relative to that of the matrix."""
        return self.history[-1]

    @property
    def n_bits(self):
        """Bits: codes, 16 a real number, and the indices of sparse entries."""
        values = self.scales.size + self.offsets.size + self.U.size + self.V.size
        n_rows, n_columns = self.shape
        length = n_columns if self.axis == 1 else n_rows
        coded = self.bits * n_rows * n_columns + VALUE_BITS * values
        return coded + sparse_bits(self.sparse.nnz, length)

    def dequantize(self):
        """Return the quantized part alone.

        Returns
        -------
        Q : ndarray of shape (n_rows, n_columns)
            What codes, scales and offsets stand for.
        """
        n_rows, n_columns = self.shape
        length = n_columns if self.axis == 1 else n_rows
        codes = unpack_codes(self.codes, self.bits, length)
        Q = _levels(codes, self.scales, self.offsets, self.group_size)
        return Q if self.axis == 1 else np.ascontiguousarray(Q.T)

    def reconstruct(self):
        """Return the sum of the three parts.

        Returns
        -------
        X : ndarray of shape (n_rows, n_columns)
            ``dequantize() + U @ V.T + sparse``.
        """
        return self.dequantize() + self.U @ self.V.T + self.sparse.toarray()

    def __repr__(self):
        return (
            f"QuantizedSplit(shape={self.shape}, bits={self.bits}, "
            f"rank={self.U.shape[1]}, nnz={self.sparse.nnz}, error={self.error:.2g})"
        )


@validate_params(
    {
        "X": ["array-like"],
        "bits": [Interval(Integral, 1, 8, closed="both")],
        "rank": [Interval(Integral, 0, None, closed="left")],
        "sparsity": [Interval(Real, 0, 1, closed="both")],
        "group_size": [Interval(Integral, 1, None, closed="left")],
        "axis": [Integral],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def quantized_low_rank_sparse(
    X,
    bits=2,
    rank=4,
    sparsity=0.02,
    *,
    group_size=64,
    axis=1,
    n_iter=1,
    random_state=None,
):
    r"""Split a matrix into even levels, a low-rank and a sparse part.

    .. math:: X \approx Q + U V^\top + S

    The largest and the smallest entries of each vector go to S; the others are
    rounded to 2^bits even levels between the least and the largest of each group; what
    that leaves is approximated by low rank. Use it for matrices that have outliers in
    some channels and errors that are shared, such as caches of activations; for
    weights that are read often, :func:`quantize_rows` has better levels.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_columns)
        The matrix.
    bits : int, default=2
        Bits of a code, 1 to 8.
    rank : int, default=4
        Rank of the low-rank part; 0 leaves it out.
    sparsity : float, default=0.02
        Share of the entries of each vector that go to S, half from either end.
    group_size : int, default=64
        Neighbors in a vector that share levels; the last group may be smaller.
    axis : {0, 1}, default=1
        1: vectors are rows. 0: vectors are columns.
    n_iter : int, default=1
        Number of passes. Later ones quantize what the low-rank part leaves, and the
        best split is kept.
    random_state : int, RandomState instance or None, default=None
        Draws start vectors of the low-rank part.

    Returns
    -------
    split : QuantizedSplit
        With ``codes``, ``scales``, ``offsets``, ``U``, ``V``, ``sparse``, ``history``,
        ``error``, ``n_bits`` and the methods ``dequantize`` and ``reconstruct``.

    See Also
    --------
    quantize_rows : The best levels in place of even ones.
    low_rank_plus_sparse : Without quantization.

    Notes
    -----
    A pass costs O(n_rows n_columns (rank + 1)), and a decomposition where the rank
    is not below a fifth of the smaller side. The low-rank part is found by two steps
    of a subspace iteration from a random start. A constant group has scale 0.

    One pass is GEAR [1]_, but for the values of S, which are set last here: the sum is
    then exact at its places at no cost. More passes are ours: they fill the places of S
    with the low-rank part, so that it need not fit them. Whether low rank pays at a
    given number of bits depends on the matrix: see the :ref:`table
    <benchmark_compression>`.

    References
    ----------
    .. [1] H. Kang et al., "GEAR: an efficient KV cache compression recipe for
       near-lossless generative inference of LLM", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import quantized_low_rank_sparse
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((128, 4)) @ rng.standard_normal((4, 128))
    >>> plain = quantized_low_rank_sparse(X, rank=0, sparsity=0.0)
    >>> split = quantized_low_rank_sparse(X, rank=4, random_state=0)
    >>> bool(split.error < 0.9 * plain.error)
    True
    """
    X = check_matrix(X, "X", dtype=(np.float64,))
    check_magnitude(X, name="X")
    if axis not in (0, 1):
        raise ValueError(f"axis={axis} is out of range for a matrix: use 0 or 1.")
    if rank > min(X.shape):
        raise ValueError(f"rank={rank} exceeds the smaller side of X, {min(X.shape)}.")
    rng = check_random_state(random_state)
    turned = np.ascontiguousarray(X.T) if axis == 0 else X
    scale = float(np.linalg.norm(X))
    low = np.zeros_like(turned)
    factors = np.zeros((len(turned), 0)), np.zeros((turned.shape[1], 0))
    best, history = None, []
    for iteration in range(n_iter):
        places = _extremes(turned - low, sparsity)
        codes, scales, offsets = _round(turned - low, places, bits, group_size)
        Q = _levels(codes, scales, offsets, group_size)
        rest = turned - Q
        # The sparse part takes over at its places: there, nothing is asked of the
        # low-rank one.
        rest[places] = low[places]
        if rank > 0:
            factors = _low_rank(rest, rank, factors if iteration else None, rng)
            low = factors[0] @ factors[1].T
        left = turned - Q - low
        S = np.where(places, left, 0.0)
        left[places] = 0.0
        error = float(np.linalg.norm(left)) / scale if scale > 0 else 0.0
        if best is None or error < history[-1]:
            best = codes, scales, offsets, *factors, S, places
            history.append(error)
        else:
            history.append(history[-1])
    codes, scales, offsets, U, V, S, places = best
    if axis == 0:
        U, V, S, places = V, U, S.T, places.T
    rows, columns = np.nonzero(places)
    exact = sparse.csr_array((S[rows, columns], (rows, columns)), shape=X.shape)
    return QuantizedSplit(
        pack_codes(codes, bits),
        scales,
        offsets,
        np.ascontiguousarray(U),
        np.ascontiguousarray(V),
        align_sparse_interface(exact),
        int(bits),
        int(group_size),
        int(axis),
        history,
    )


def _extremes(X, sparsity):
    """Mark the largest and the smallest entries of each row, equal ones from the left.

    Of an odd number the larger half is of large entries.
    """
    count = round(sparsity * X.shape[1])
    marked = np.zeros(X.shape, dtype=bool)
    if count == 0:
        return marked
    order = np.argsort(X, axis=1, kind="stable")
    n_small = count // 2
    np.put_along_axis(marked, order[:, :n_small], True, axis=1)
    np.put_along_axis(marked, order[:, X.shape[1] - (count - n_small) :], True, axis=1)
    return marked


def _groups(length, group_size):
    return np.arange(0, length, group_size)


def _round(X, excluded, bits, group_size):
    """Return codes of even levels between the ends of each group, and their scales."""
    starts = _groups(X.shape[1], group_size)
    lowest = np.minimum.reduceat(np.where(excluded, np.inf, X), starts, axis=1)
    highest = np.maximum.reduceat(np.where(excluded, -np.inf, X), starts, axis=1)
    empty = lowest > highest  # all of the group is sparse
    lowest[empty] = highest[empty] = 0.0
    top = (1 << bits) - 1
    scales = (highest - lowest) / top
    codes = np.empty(X.shape, dtype=np.uint8)
    kernels.round_rows(
        read_only(np.ascontiguousarray(X)), lowest, scales, group_size, top, codes
    )
    return codes, scales, lowest


def _levels(codes, scales, offsets, group_size):
    """Return what codes stand for."""
    counts = np.diff(np.append(_groups(codes.shape[1], group_size), codes.shape[1]))
    out = codes * np.repeat(scales, counts, axis=1)
    out += np.repeat(offsets, counts, axis=1)
    return out


def _low_rank(M, rank, before, rng):
    """Return factors of a low-rank approximation; warm where there are some."""
    if not M.any():
        return np.zeros((M.shape[0], rank)), np.zeros((M.shape[1], rank))
    if rank < min(M.shape) / 5:
        if before is None:
            V = rng.standard_normal((M.shape[1], rank))
        else:
            V = before[1]
        U, s, Vt = power_steps(M, V, _POWER_STEPS)
    else:
        U, s, Vt = leading_triples(M, rank, rng)
    return U * s, np.ascontiguousarray(Vt.T)
