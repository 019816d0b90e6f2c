import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat._utils.validation import (
    as_compressed,
    check_complex_array,
    check_magnitude,
    read_only,
    read_only_triple,
    refuse_complex,
)

FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]


def random_sparse(seed, shape=(7, 5), density=0.4, dtype=np.float64):
    rng = np.random.default_rng(seed)
    dense = rng.standard_normal(shape) * (rng.random(shape) < density)
    return dense.astype(dtype)


def snapshot(X):
    return [np.array(a) for a in (X.data, X.indices, X.indptr)]


# Read-only views


def test_read_only_is_a_view_and_leaves_the_callers_flags():
    array = np.arange(3.0)
    view = read_only(array)
    assert np.shares_memory(view, array)
    assert array.flags.writeable and not view.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1.0


def test_read_only_triple_shares_memory():
    X = sparse.csr_array(np.eye(3))
    for view, array in zip(
        read_only_triple(X), (X.data, X.indices, X.indptr), strict=True
    ):
        assert np.shares_memory(view, array)
        assert array.flags.writeable and not view.flags.writeable


# The gate for compressed matrices


@pytest.mark.parametrize("layout", ["csr", "csc"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_gives_the_same_matrix(fmt, kind, layout, global_random_seed):
    dense = random_sparse(global_random_seed)
    X = getattr(sparse, f"{fmt}_{kind}")(dense)
    out = as_compressed(X, layout)
    assert out.format == layout
    assert isinstance(out, sparse.sparray)
    assert_array_equal(out.toarray(), dense)
    assert out.has_canonical_format
    assert out.indices.dtype == out.indptr.dtype == np.int32


@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_dense_input_is_compressed(layout, global_random_seed):
    dense = random_sparse(global_random_seed)
    for given in (dense, dense.tolist(), np.asfortranarray(dense)):
        assert_array_equal(as_compressed(given, layout).toarray(), dense)


def test_memory_is_shared_when_nothing_has_to_change(global_random_seed):
    X = sparse.csr_array(random_sparse(global_random_seed))
    out = as_compressed(X, "csr")
    for name in ("data", "indices", "indptr"):
        assert np.shares_memory(getattr(out, name), getattr(X, name))


def scrambled_csr():
    """Row 0 is unsorted, row 1 holds a duplicate, row 2 is empty."""
    X = sparse.csr_array((3, 4))
    X.indptr = np.array([0, 2, 5, 5])
    X.indices = np.array([3, 1, 2, 0, 2])
    X.data = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    dense = np.array([[0, 2.0, 0, 1], [4, 0, 8, 0], [0, 0, 0, 0]])
    return X, dense


@pytest.mark.parametrize("stale_flags", [False, True])
@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_unsorted_and_duplicate_entries_are_settled_on_a_copy(layout, stale_flags):
    X, dense = scrambled_csr()
    if stale_flags:  # what a user gets by filling the arrays in place
        X.has_sorted_indices = True
        X.has_canonical_format = True
    before = snapshot(X)
    out = as_compressed(X, layout)
    assert_array_equal(out.toarray(), dense)
    assert out.nnz == 4
    for row in range(out.indptr.size - 1):
        assert np.all(np.diff(out.indices[out.indptr[row] : out.indptr[row + 1]]) > 0)
    for a, b in zip(before, snapshot(X), strict=True):
        assert_array_equal(a, b)


def test_sorting_and_summing_can_be_left_out():
    X, dense = scrambled_csr()
    out = as_compressed(X, "csr", sort=False, sum_duplicates=False)
    assert_array_equal(out.indices, X.indices)
    out = as_compressed(X, "csr", sum_duplicates=False)
    assert out.nnz == 5
    assert_array_equal(out.indices, [1, 3, 0, 2, 2])
    assert_array_equal(out.toarray(), dense)


def test_read_only_unsorted_input_is_handled():
    X, dense = scrambled_csr()
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    assert_array_equal(as_compressed(X).toarray(), dense)


def test_int64_indices_come_back_as_int32(global_random_seed):
    X = sparse.csr_array(random_sparse(global_random_seed))
    X.indices = X.indices.astype(np.int64)
    X.indptr = X.indptr.astype(np.int64)
    out = as_compressed(X)
    assert out.indices.dtype == out.indptr.dtype == np.int32
    assert X.indices.dtype == np.int64
    assert_array_equal(out.toarray(), X.toarray())


def test_wide_shapes_keep_int64_indices():
    X = sparse.csr_array(
        (np.ones(1), (np.zeros(1, dtype=np.int64), np.array([2**33]))),
        shape=(1, 2**34),
    )
    out = as_compressed(X)
    assert out.indices.dtype == out.indptr.dtype == np.int64
    assert out.indices[0] == 2**33


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.bool_, np.float64),
        (np.int8, np.float64),
        (np.uint64, np.float64),
        (np.longdouble, np.float64),
        (np.clongdouble, np.complex128),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.complex64, np.complex64),
        (np.complex128, np.complex128),
    ],
)
def test_value_types(given, expected):
    X = sparse.csr_array(np.array([[0, 1], [1, 0]], dtype=given))
    out = as_compressed(X)
    assert out.dtype == expected
    assert_array_equal(out.toarray(), [[0, 1], [1, 0]])


def test_dtype_is_honored_and_complex_never_dropped(global_random_seed):
    X = sparse.csr_array(random_sparse(global_random_seed))
    assert as_compressed(X, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="Complex data not supported"):
        as_compressed(X * 1j, dtype=np.float64)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (1, 1)])
def test_empty_matrices_pass(shape):
    out = as_compressed(sparse.csr_array(shape))
    assert out.shape == shape and out.nnz == 0


def test_explicit_zeros_are_kept():
    X = sparse.csr_array((np.array([0.0, 1.0]), [0, 1], [0, 2]), shape=(1, 2))
    assert as_compressed(X).nnz == 2


def test_non_numeric_entries_are_refused():
    with pytest.raises(TypeError, match="numeric entries, got dtype object"):
        as_compressed(np.array([["a", 1]], dtype=object))


@pytest.mark.parametrize("X", [np.ones(3), np.ones((2, 2, 2)), 3.0])
def test_wrong_number_of_dimensions_is_refused(X):
    with pytest.raises(ValueError, match="two-dimensional matrix is required"):
        as_compressed(X)


def test_one_dimensional_sparse_arrays_are_refused():
    with pytest.raises(ValueError, match="two-dimensional matrix is required"):
        as_compressed(sparse.coo_array(np.ones(3)))


@pytest.mark.parametrize("layout", ["csr", "csc"])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("indices", [0, 9], r"indices outside 0\.\.2"),
        ("indices", [0, -1], r"indices outside 0\.\.2"),
        ("indptr", [0, 2, 1], "index pointer"),
        ("indptr", [1, 1, 2], "index pointer"),
        ("indptr", [0, 2], "index pointer"),
        ("indptr", [0, 1, 5], "declares 5 entries but holds 2"),
    ],
)
def test_broken_index_arrays_are_refused_before_any_conversion(
    name, value, message, layout
):
    X = sparse.csr_array((np.ones(2), [0, 2], [0, 1, 2]), shape=(2, 3))
    setattr(X, name, np.array(value, dtype=np.int32))
    with pytest.raises(ValueError, match=message):
        as_compressed(X, layout)


# Complex data


@pytest.mark.parametrize(
    "X",
    [
        np.ones(2) * 1j,
        np.ones((2, 2), dtype=np.complex64),
        sparse.csr_array(np.eye(2) * 1j),
        pd.Series([1j, 2j]),
    ],
    ids=["vector", "complex64", "sparse", "pandas"],
)
def test_complex_is_refused(X):
    with pytest.raises(ValueError, match="Complex data not supported: y has dtype"):
        refuse_complex(X, name="y")


@pytest.mark.parametrize(
    "X",
    [
        [1, 2],
        np.ones(2),
        sparse.eye_array(2),
        pd.Series(["a", "b"]),
        pd.Series(["a", "b"], dtype="category"),
        pd.Series([1, None], dtype="Int64"),
        pd.DataFrame({"a": [1.0]}),
        pl.Series([1.0]),
    ],
    ids=lambda X: type(X).__module__,
)
def test_anything_else_passes_the_complex_gate(X):
    refuse_complex(X)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.int32, np.float64),
        (np.bool_, np.float64),
        (np.float16, np.float64),
        (np.longdouble, np.float64),
        (np.float32, np.float32),
        (np.complex64, np.complex64),
        (np.complex128, np.complex128),
        (np.clongdouble, np.complex128),
        (object, np.float64),
    ],
)
def test_complex_door_value_types(given, expected):
    out = check_complex_array(np.ones((2, 2), dtype=given))
    assert out.dtype == expected
    assert_array_equal(out, np.ones((2, 2)))


def test_complex_door_never_drops_an_imaginary_part():
    X = np.array([[1 + 2j, 3]])
    for given in (X, X.astype(np.clongdouble), X.astype(object), X.tolist()):
        assert_allclose(check_complex_array(given), X)
    with pytest.raises(ValueError, match=r"Z is complex.*Pass Z\.real"):
        check_complex_array(X, name="Z", dtype=np.float64)


def test_complex_door_does_not_copy_what_is_right():
    X = np.ones((2, 2), dtype=np.complex128)
    assert check_complex_array(X) is X


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (sparse.eye_array(2), TypeError, r"sparse matrix.*Z\.toarray"),
        (np.array([["a"]]), ValueError, "cannot be converted to numbers"),
        (np.ones(3), ValueError, "Z has 1 dimensions"),
        (np.ones((0, 3)), ValueError, "Z is empty"),
        (np.array([[np.nan]]), ValueError, "NaN or infinity"),
        (np.array([[complex(0, np.inf)]]), ValueError, "NaN or infinity"),
    ],
    ids=["sparse", "text", "vector", "empty", "nan", "infinite"],
)
def test_complex_door_is_kind_on_bad_input(X, error, message):
    with pytest.raises(error, match=message):
        check_complex_array(X, name="Z")


def test_complex_door_accepts_several_dimensions():
    assert check_complex_array(np.ones(3), ndim=(1, 2)).shape == (3,)
    with pytest.raises(ValueError, match="1 or 2 expected"):
        check_complex_array(np.ones((1, 1, 1)), ndim=(1, 2))


# Magnitudes


@pytest.mark.parametrize(
    "value, what", [(1e80, "overflow"), (-1e300, "overflow"), (1e-80, "vanish")]
)
@pytest.mark.parametrize("kind", [np.array, sparse.csr_array])
def test_products_that_cannot_be_told_are_refused(value, what, kind):
    X = kind(np.array([[0.0, value], [value / 2, 0.0]]))
    with pytest.raises(ValueError, match=f"entries of Z {what} .* Rescale Z"):
        check_magnitude(X, name="Z")
    with pytest.raises(ValueError, match=what):
        check_magnitude(X * 1j)


def test_what_has_no_extreme_numbers_passes_as_it_is():
    for X in (
        np.zeros((2, 2)),
        np.array([[1e70, 1e-300]]),  # the largest decides
        np.empty((0, 3)),
        np.array([["a"]]),
        np.array([[2**40]]),
        sparse.csr_array((2, 2)),
    ):
        assert check_magnitude(X) is X
