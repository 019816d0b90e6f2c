"""Input gates: compressed sparse matrices, complex data, read-only views."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
from scipy import sparse

__all__ = [
    "LARGEST_ENTRY",
    "as_compressed",
    "check_complex_array",
    "check_magnitude",
    "check_noise",
    "is_plain",
    "largest_entry",
    "read_only",
    "read_only_triple",
    "refuse_complex",
]

_KEPT_DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
# Products of four such numbers fit into double precision with digits to spare.
_LARGEST = 1e75
LARGEST_ENTRY = 1e125  # for algorithms that rescale, or form squares only
_INT32_MAX = np.iinfo(np.int32).max


def read_only(array):
    """Return a read-only view, so that numba compiles one variant, not two.

    A writable array and a read-only one (a joblib memmap, say) are different
    types to numba. Handing every kernel read-only views of its inputs lets both
    share one compilation. The caller's array keeps its flags.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def read_only_triple(X):
    """Return ``(data, indices, indptr)`` of a compressed matrix as read-only views."""
    return read_only(X.data), read_only(X.indices), read_only(X.indptr)


def is_plain(X, y):
    """Whether data are seen to be valid without the general check's time.

    They are a matrix of finite doubles and as many finite doubles or integers. A sum is
    finite only if its terms are; one that overflows is left to that check.
    """
    if not (
        type(X) is type(y) is np.ndarray
        and X.dtype == np.float64
        and (y.dtype == np.float64 or (y.dtype.kind in "biu" and y.dtype.isnative))
        and X.ndim == 2
        and y.shape == X.shape[:1]
        and X.size > 0
    ):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(X.sum()) and math.isfinite(y.sum())


def refuse_complex(X, *, name="X"):
    """Raise ValueError when X holds complex numbers."""
    # Data frames carry dtypes that numpy cannot read (categories, strings), so
    # the kind is asked for instead of converting the dtype.
    dtype = getattr(X, "dtype", None)
    if getattr(dtype, "kind", None) == "c":
        raise ValueError(
            f"Complex data not supported: {name} has dtype {dtype}. Pass real and "
            "imaginary parts as separate columns, or use an estimator that says it "
            "accepts complex data."
        )


def check_magnitude(X, *, name="X", largest=_LARGEST):
    """Raise ValueError when squares of squares of X would overflow or vanish.

    For algorithms that form such products and could only give infinity, NaN or
    zeros then.

    Parameters
    ----------
    X : {ndarray, sparse matrix}
        Finite numbers. Anything else that holds no numbers passes.
    name : str, default="X"
        How to call it in the message.
    largest : float, default=1e75
        What the largest absolute value may be; its inverse is the least it may be.
        `LARGEST_ENTRY` is for algorithms that rescale, or form squares only.

    Returns
    -------
    X : {ndarray, sparse matrix}
        The same object.
    """
    entries = X.data if sparse.issparse(X) else X
    if entries.dtype.kind not in "fc":
        return X
    found = largest_entry(X)
    if found > largest or 0 < found < 1.0 / largest:
        what = "overflow" if found > 1 else "vanish"
        raise ValueError(
            f"Products of the entries of {name} {what} in double precision: the "
            f"largest absolute value is {found:.1e}. Rescale {name} to between "
            f"{1.0 / largest:.0e} and {largest:.0e}, for example to unit variance."
        )
    return X


def check_noise(share):
    """Raise ValueError where a given noise variance, over that of y, dwarfs it."""
    if share > _LARGEST:
        raise ValueError(
            f"The noise variance that was given is {share:.0e} times that of y, and "
            "nothing is left to learn. Pass it in the units of y, squared."
        )
    return share


def largest_entry(X):
    """Return the largest absolute value, of real and imaginary parts if complex."""
    entries = X.data if sparse.issparse(X) else X
    if entries.size == 0:
        return 0.0
    if entries.dtype.kind == "c":
        return max(map(largest_entry, (entries.real, entries.imag)))
    return max(float(entries.max()), -float(entries.min()))


def check_complex_array(X, *, name="X", ndim=2, dtype=None):
    """Validate an array that may be complex.

    scikit-learn's own check refuses complex input at any dtype, so estimators
    that accept it come through this door.

    Parameters
    ----------
    X : array-like
        The input.
    name : str, default="X"
        How to call it in messages.
    ndim : int or tuple of int, default=2
        Accepted numbers of dimensions.
    dtype : dtype, default=None
        Converts to this dtype. None keeps float32, float64, complex64 and
        complex128; other complex types become complex128 and everything else
        float64.

    Returns
    -------
    X : ndarray
        Finite, floating or complex, C-contiguous if it had to be converted.
    """
    if sparse.issparse(X):
        raise TypeError(
            f"{name} is a sparse matrix, but a dense array is required. Use "
            f"{name}.toarray() if it fits in memory."
        )
    array = np.asarray(X)
    if array.dtype.kind not in "fciub":
        array = _numbers_from_objects(array, name)
    if dtype is None:
        wide = np.complex128 if array.dtype.kind == "c" else np.float64
        dtype = array.dtype if array.dtype.type in _KEPT_DTYPES else wide
    elif array.dtype.kind == "c" and np.dtype(dtype).kind != "c":
        raise ValueError(
            f"{name} is complex (dtype {array.dtype}), but real numbers of dtype "
            f"{np.dtype(dtype)} are required. Pass {name}.real if the imaginary "
            "part means nothing."
        )
    array = np.asarray(array, dtype=dtype)
    allowed = (ndim,) if isinstance(ndim, int) else tuple(ndim)
    if array.ndim not in allowed:
        raise ValueError(
            f"{name} has {array.ndim} dimensions (shape {array.shape}), but "
            f"{' or '.join(map(str, allowed))} expected. Reshape your data."
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} contains NaN or infinity. Remove or impute these entries."
        )
    return array


def _numbers_from_objects(array, name):
    """Turn an array of objects into float64, or complex128 if it has to be."""
    try:
        wide = array.astype(np.complex128)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} has dtype {array.dtype}, which cannot be converted to "
            "numbers. Pass an array of floats or complex numbers."
        ) from error
    is_complex = wide.imag.any() or any(
        isinstance(entry, complex | np.complexfloating) for entry in array.flat
    )
    return wide if is_complex else wide.real.copy()


def as_compressed(X, layout="csr", *, dtype=None, sort=True, sum_duplicates=True):
    """Bring sparse or dense X into a checked CSR or CSC array for the kernels.

    Parameters
    ----------
    X : sparse matrix, sparse array or array-like of shape (n_rows, n_columns)
        The input, never modified.
    layout : {"csr", "csc"}, default="csr"
        Which compressed form to return.
    dtype : dtype, default=None
        Value type. None keeps single and double precision, real or complex, and
        turns everything else (booleans, integers, half and long double) into
        double precision.
    sort : bool, default=True
        Sort the indices within each row (column).
    sum_duplicates : bool, default=True
        Add entries that stand at the same place. Implies sorting.

    Returns
    -------
    X : csr_array or csc_array
        Shares memory with the input wherever nothing had to change. Index
        pointers and indices have one dtype: int32 when the shape and the number
        of entries allow it, int64 otherwise.

    Raises
    ------
    TypeError
        If the entries are objects or strings.
    ValueError
        If X is not two-dimensional, its index arrays are inconsistent, or its
        entries are complex and `dtype` is real.
    """
    cls = {"csr": sparse.csr_array, "csc": sparse.csc_array}[layout]
    if not sparse.issparse(X):
        X = np.asarray(X)
        if X.dtype == np.float16:  # which scipy.sparse refuses
            X = X.astype(np.float64)
        if not X.dtype.isnative:
            X = X.astype(X.dtype.newbyteorder("="))
        if X.ndim != 2:
            raise ValueError(
                f"A two-dimensional matrix is required, got shape {X.shape}."
            )
    if X.dtype.kind not in "biufc":
        raise TypeError(
            f"Sparse kernels need numeric entries, got dtype {X.dtype}. Convert with "
            ".astype(float)."
        )
    if X.ndim != 2:
        raise ValueError(f"A two-dimensional matrix is required, got shape {X.shape}.")
    if dtype is not None and X.dtype.kind == "c" and np.dtype(dtype).kind != "c":
        raise ValueError(
            f"Complex data not supported: the matrix has dtype {X.dtype}, but real "
            f"numbers of dtype {np.dtype(dtype)} are required."
        )
    given = X
    if sparse.issparse(X) and X.format in ("csr", "csc"):
        # Before any conversion: scipy's compiled converters trust the indices.
        major, minor = X.shape if X.format == "csr" else X.shape[::-1]
        order = _check_compressed(X.indices, X.indptr, X.data, major, minor)
    if not (sparse.issparse(X) and X.format == layout):
        X = cls(X)  # a conversion always makes new arrays
        major, minor = X.shape if layout == "csr" else X.shape[::-1]
        order = _check_compressed(X.indices, X.indptr, X.data, major, minor)
    indices, indptr, data = X.indices, X.indptr, X.data
    if dtype is None and data.dtype.type not in _KEPT_DTYPES:
        dtype = np.complex128 if data.dtype.kind == "c" else np.float64
    if dtype is not None:
        data = data.astype(dtype, copy=False)
    nnz = int(indptr[-1])
    index_dtype = np.int32 if max(*X.shape, nnz) <= _INT32_MAX else np.int64
    out = cls(
        (
            data[:nnz],
            indices[:nnz].astype(index_dtype, copy=False),
            indptr.astype(index_dtype, copy=False),
        ),
        shape=X.shape,
        copy=False,
    )
    # scipy picks its own index dtype and its canonical-format flags may be
    # stale on user-built matrices, so both are settled here.
    out.indices = out.indices.astype(index_dtype, copy=False)
    out.indptr = out.indptr.astype(index_dtype, copy=False)
    is_sorted, is_unique = order
    out.has_sorted_indices = is_sorted
    out.has_canonical_format = is_unique
    must_sum = sum_duplicates and not is_unique
    if must_sum or (sort and not is_sorted):
        if X is given:
            out = out.copy()  # sorting happens in place: never in the user's arrays
            out.has_sorted_indices = is_sorted
            out.has_canonical_format = is_unique
        if must_sum:
            out.sum_duplicates()
        else:
            out.sort_indices()
    return out


def _check_compressed(indices, indptr, data, major, minor):
    """Refuse index arrays that would make a kernel read outside its arrays.

    Returns whether the indices are non-decreasing, and whether they are strictly
    increasing, within every row.
    """
    from sparsestat._utils import _kernels

    nnz = int(indptr[-1]) if len(indptr) else 0
    if len(indptr) == major + 1 and nnz > min(len(indices), len(data)):
        raise ValueError(
            f"The sparse matrix declares {nnz} entries but holds "
            f"{min(len(indices), len(data))}."
        )
    if len(indptr) != major + 1:
        found = _kernels.BAD_POINTER
    else:
        found = _kernels.scan_indices(read_only(indices), read_only(indptr), minor)
    if found == _kernels.BAD_POINTER:
        raise ValueError(
            "The index pointer of the sparse matrix is inconsistent: it must start "
            f"at 0, never decrease and have length {major + 1}."
        )
    if found == _kernels.BAD_INDEX:
        used = indices[:nnz]
        raise ValueError(
            f"The sparse matrix has indices outside 0..{minor - 1} "
            f"(smallest {used.min()}, largest {used.max()})."
        )
    return found >= _kernels.SORTED, found == _kernels.UNIQUE
