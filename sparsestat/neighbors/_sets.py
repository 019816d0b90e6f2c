"""Sets of vectors as one array with offsets, and their fixed dimensional encodings."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.validation import check_magnitude, read_only, refuse_complex

__all__ = ["Encoding", "as_sets", "chamfer", "draw_encoding", "encode"]

_ROWS = 256  # vectors multiplied at a time: one shape, so that batches change no bit
_POINTS = 4096  # vectors of a block of sets, about
_BITS, _PROJECTION, _SKETCH = 0, 1, 2  # roles of random streams


def as_sets(X, *, name="X", allow_empty=False):
    """Return sets of vectors as ``(values, offsets)``.

    Parameters
    ----------
    X : sequence of ndarray, tuple or ndarray
        A sequence of arrays (n_i, h); a tuple of all vectors (N, h) and the offsets
        (n + 1,) at which the sets begin; an array (n, m, h); or a tuple of such an
        array and a mask (n, m) that is true where a vector counts.
    name : str, default="X"
        How to call it in messages.
    allow_empty : bool, default=False
        Whether a set may have no vectors.

    Returns
    -------
    values : ndarray of shape (N, h)
        All vectors, in single or double precision.
    offsets : ndarray of shape (n + 1,)
        Set i is ``values[offsets[i]:offsets[i + 1]]``.
    """
    if isinstance(X, tuple) and len(X) == 2 and np.ndim(X[1]) == 1:
        values, offsets = X[0], _checked_offsets(X, name)
    elif isinstance(X, tuple) and len(X) == 2 and np.ndim(X[0]) == 3:
        values, offsets = _masked(*X, name)
    elif isinstance(X, np.ma.MaskedArray) and X.ndim == 3:
        values, offsets = _masked(X.data, ~np.ma.getmaskarray(X).any(axis=2), name)
    elif isinstance(X, np.ndarray) and X.ndim == 3:
        values = X.reshape(-1, X.shape[2])
        offsets = np.arange(X.shape[0] + 1) * X.shape[1]
    else:
        values, offsets = _stacked(X, name)
    refuse_complex(values, name=name)
    if len(offsets) < 2:
        raise ValueError(f"{name} holds no sets; at least one is required.")
    empty = np.flatnonzero(np.diff(offsets) == 0)
    if len(empty) and not allow_empty:
        raise ValueError(
            f"{len(empty)} sets of {name} are empty, the first is number {empty[0]}. "
            "Remove them, or pass allow_empty=True, which encodes them by zeros."
        )
    values = check_array(
        values,
        dtype=[np.float64, np.float32],
        order="C",
        ensure_min_samples=0,
        input_name=name,
    )
    return check_magnitude(values, name=name), offsets.astype(np.int64)


def _checked_offsets(X, name):
    offsets = np.asarray(X[1])
    n = len(np.asarray(X[0]))
    good = offsets.dtype.kind in "iu" and len(offsets) > 0
    if not good or offsets[0] != 0 or offsets[-1] != n or (np.diff(offsets) < 0).any():
        raise ValueError(
            f"The offsets of {name} must be integers that rise from 0 to the number of "
            f"vectors, {n}."
        )
    return offsets


def _masked(array, mask, name):
    array, mask = np.asarray(array), np.asarray(mask)
    if mask.dtype != bool or mask.shape != array.shape[:2]:
        raise ValueError(
            f"The mask of {name} must be boolean and of shape {array.shape[:2]}, got "
            f"{mask.dtype} of shape {mask.shape}."
        )
    return array[mask], np.concatenate([[0], np.cumsum(mask.sum(axis=1))])


def _stacked(X, name):
    if isinstance(X, str) or sparse.issparse(X) or not hasattr(X, "__len__"):
        raise TypeError(
            f"{name} must be a sequence of arrays of shape (n_i, h), a pair of all "
            f"vectors and offsets, or a 3-D array, got {type(X).__name__}."
        )
    sets = []
    for i, part in enumerate(X):
        if sparse.issparse(part):
            raise TypeError(f"Set {i} of {name} is sparse; pass a dense array.")
        try:
            part = np.asarray(part)
        except ValueError as error:
            raise ValueError(f"Set {i} of {name} is ragged: {error}.") from error
        if part.ndim == 1 and part.size == 0:
            part = part.reshape(0, sets[0].shape[1] if sets else 0)
        if part.ndim != 2:
            raise ValueError(
                f"Set {i} of {name} has shape {part.shape}; every set must be an array "
                "of shape (n_i, h), one vector a row."
            )
        sets.append(part)
    widths = sorted({part.shape[1] for part in sets if len(part)})
    if len(widths) > 1:
        raise ValueError(
            f"The vectors of {name} have different lengths, {widths}; they must all "
            "have the same."
        )
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in sets])])
    kept = [part for part in sets if len(part)]
    if not kept:
        h = max((part.shape[1] for part in sets), default=0)
        return np.empty((0, max(h, 1))), offsets.astype(np.int64)
    return np.concatenate(kept), offsets.astype(np.int64)


@dataclass(frozen=True)
class Encoding:
    """What was drawn: hyperplanes (h, R k), projections (h, R p), slots and signs."""

    hyperplanes: np.ndarray
    projections: np.ndarray
    slots: np.ndarray
    signs: np.ndarray
    n_repetitions: int
    n_bits: int
    width: int
    scale: float

    @property
    def n_columns(self):
        """Length of an encoding before it is sketched."""
        return self.n_repetitions * (1 << self.n_bits) * self.width


def draw_encoding(h, *, R, k, p, projection, final_dim, scale, dtype, seed):
    """Draw the matrices; each repetition has streams of its own."""
    hyperplanes = np.empty((h, R * k), dtype)
    width = h if p is None else p
    projections = None if p is None else np.zeros((h, R * p), dtype)
    for r in range(R):
        rng = np.random.default_rng([seed, r, _BITS])
        hyperplanes[:, r * k : (r + 1) * k] = rng.standard_normal((h, k))
        if p is None:
            continue
        rng = np.random.default_rng([seed, r, _PROJECTION])
        if projection == "ams":
            columns = rng.integers(0, p, h)
            projections[np.arange(h), r * p + columns] = rng.choice([-1.0, 1.0], h)
        else:
            signs = rng.choice([-1.0, 1.0], (h, p)) / np.sqrt(p)
            projections[:, r * p : (r + 1) * p] = signs
    slots, signs = np.empty(0, np.int64), np.empty(0, dtype)
    if final_dim is not None:
        rng = np.random.default_rng([seed, R, _SKETCH])
        n = R * (1 << k) * width
        slots = rng.integers(0, final_dim, n)
        signs = rng.choice([-1.0, 1.0], n).astype(dtype)
    factor = R**-0.5 if scale else 1.0
    return Encoding(hyperplanes, projections, slots, signs, R, k, width, factor)


def encode(encoding, values, offsets, out, *, is_document, fill, n_jobs):
    """Write the encodings of sets into `out`, which is zero on entry."""
    from sparsestat.neighbors import _kernels_sets as kernels

    dtype = encoding.hyperplanes.dtype
    exponent = _exponent(values)

    def encode_block(first, last):
        begin, end = offsets[first], offsets[last]
        points = np.ldexp(values[begin:end], -exponent).astype(dtype, copy=False)
        codes = np.zeros((len(points), encoding.n_repetitions), np.int64)
        if encoding.n_bits:
            products = _multiply(points, encoding.hyperplanes)
            kernels.pack_signs(read_only(products), encoding.n_bits, codes)
        step = 0
        if encoding.projections is not None:
            points = _multiply(points, encoding.projections)
            step = encoding.width
        kernels.encode_sets(
            read_only(np.ascontiguousarray(points)),
            step,
            read_only(codes),
            read_only(offsets[first : last + 1] - begin),
            1 << encoding.n_bits,
            encoding.width,
            is_document,
            fill,
            read_only(encoding.slots),
            read_only(encoding.signs),
            out[first:last],
        )

    run_parallel(encode_block, _blocks(offsets), n_jobs=n_jobs, require="sharedmem")
    out *= dtype.type(encoding.scale)
    if exponent:
        with np.errstate(over="ignore"):
            np.ldexp(out, exponent, out=out)
        if not np.isfinite(out).all():
            raise ValueError(
                f"The encodings do not fit into {dtype}: the largest entry of a vector "
                f"is about 2**{exponent}. Rescale the vectors, or use dtype='float64'."
            )
    return out


def _exponent(values):
    """Return the power of two by which vectors far from unit scale are divided."""
    largest = np.abs(values).max(initial=0.0)
    exponent = int(np.frexp(largest)[1])
    return exponent if abs(exponent) > 20 else 0


def _multiply(points, matrix):
    """Multiply by blocks of one shape: rows do not depend on those around them."""
    out = np.empty((len(points), matrix.shape[1]), points.dtype)
    padded = np.zeros((_ROWS, points.shape[1]), points.dtype)
    for first in range(0, len(points), _ROWS):
        block = points[first : first + _ROWS]
        if len(block) < _ROWS:
            padded[: len(block)] = block
            out[first:] = (padded @ matrix)[: len(block)]
        else:
            np.matmul(block, matrix, out=out[first : first + _ROWS])
    return out


def _blocks(offsets):
    """Cut sets into blocks of about so many vectors, at any number of workers."""
    marks = np.searchsorted(offsets, np.arange(_POINTS, offsets[-1], _POINTS))
    cuts = np.unique(np.concatenate([[0], marks, [len(offsets) - 1]]))
    return list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True))


def chamfer(queries, documents, candidates, *, n_jobs):
    """Return the Chamfer similarities of queries and all, or chosen, documents."""
    from sparsestat.neighbors import _kernels_sets as kernels

    q_values, q_offsets = queries
    d_values, d_offsets = documents
    n_documents = len(d_offsets) - 1
    width = n_documents if candidates is None else candidates.shape[1]
    out = np.full((len(q_offsets) - 1, width), -np.inf)

    def one_query(i):
        Q = q_values[q_offsets[i] : q_offsets[i + 1]]
        if candidates is None:
            for first, last in _blocks(d_offsets):
                begin, end = d_offsets[first], d_offsets[last]
                kernels.sum_of_largest(
                    Q @ d_values[begin:end].T,
                    read_only(d_offsets[first : last + 1] - begin),
                    out[i, first:last],
                )
            return
        good = np.flatnonzero(candidates[i] >= 0)
        chosen = candidates[i, good]
        sizes = d_offsets[chosen + 1] - d_offsets[chosen]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        rows = np.repeat(d_offsets[chosen] - offsets[:-1], sizes) + np.arange(
            offsets[-1]
        )
        found = np.empty(len(good))
        kernels.sum_of_largest(Q @ d_values[rows].T, read_only(offsets), found)
        out[i, good] = found

    tasks = [(i,) for i in range(len(out))]
    run_parallel(one_query, tasks, n_jobs=n_jobs, require="sharedmem")
    return out
