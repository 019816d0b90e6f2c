"""Hypothesis strategies: sparse matrices of every awkward kind."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from hypothesis import strategies as st
from scipy import sparse

CLASSES = {
    ("csr", True): sparse.csr_matrix,
    ("csr", False): sparse.csr_array,
    ("csc", True): sparse.csc_matrix,
    ("csc", False): sparse.csc_array,
}
FLOATS = (np.float32, np.float64)
NUMBERS = (*FLOATS, np.complex64, np.complex128)


def build(shape, layout, matrix, dtype, rng, density, *, duplicates, shuffled, wide):
    """Return a matrix whose index arrays are as unkind as the flags say."""
    n, m = shape if layout == "csr" else shape[::-1]
    counts = rng.binomial(m, density, size=n) if m else np.zeros(n, int)
    rows = []
    for count in counts:
        if duplicates:
            row = rng.integers(0, m, size=count)
        else:
            row = rng.permutation(m)[:count]
        rows.append(row if shuffled else np.sort(row))
    indices = np.concatenate([*rows, np.empty(0, int)]).astype(int)
    data = rng.integers(-4, 5, size=len(indices)).astype(dtype)  # zeros included
    if np.dtype(dtype).kind == "c":
        data = data + 1j * rng.integers(-2, 3, size=len(indices))
        data = data.astype(dtype)
    X = CLASSES[layout, matrix](shape, dtype=dtype)
    kind = np.int64 if wide else np.int32
    X.data, X.indices = data, indices.astype(kind)
    X.indptr = np.concatenate([[0], np.cumsum(counts)]).astype(kind)
    for flag in ("_has_sorted_indices", "_has_canonical_format"):
        if hasattr(X, flag):
            delattr(X, flag)
    return X


@st.composite
def matrices(draw, shape=None, dtypes=NUMBERS, layouts=("csr", "csc")):
    """Draw a matrix with integer-valued entries, so that sums are exact."""
    if shape is None:
        shape = draw(st.tuples(st.integers(0, 9), st.integers(0, 90)))
    X = build(
        shape,
        draw(st.sampled_from(layouts)),
        draw(st.booleans()),
        draw(st.sampled_from(dtypes)),
        np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
        draw(st.sampled_from([0.0, 0.05, 0.3, 1.0])),
        duplicates=draw(st.booleans()),
        shuffled=draw(st.booleans()),
        wide=draw(st.booleans()),
    )
    if draw(st.booleans()):
        for array in (X.data, X.indices, X.indptr):
            array.flags.writeable = False
    return X


def fingerprint(X):
    """Return the bytes of all arrays of X, to see whether anything changed."""
    return tuple(np.asarray(a).tobytes() for a in (X.data, X.indices, X.indptr))


def dense(X):
    """Return X as an array, duplicates summed, without scipy's cached flags."""
    out = np.zeros(X.shape, X.dtype)
    major = np.repeat(np.arange(len(X.indptr) - 1), np.diff(X.indptr))
    place = (major, X.indices) if X.format == "csr" else (X.indices, major)
    np.add.at(out, place, X.data)
    return out
