"""What data may come in: arrays, memory maps, tables, collections, iterables of blocks.

A source knows how to give its rows part by part, as ``(X, y, sample_weight)`` of which
the last two may be None. Local sources are read by iterating, as often as wanted;
those of dask are lists of tasks, so that rows are read where they are.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
from scipy import sparse

from sparsestat._utils.dask_tasks import computed

__all__ = [
    "DaskSource",
    "LocalSource",
    "comes_in_blocks",
    "is_dask",
    "source_of",
]

_ENTRIES = 2**21  # of a block, unless its size is asked for


def _library(X):
    return type(X).__module__.partition(".")[0]


def is_dask(X):
    """Whether X is a collection of dask."""
    return _library(X) in ("dask", "dask_expr")


def _is_frame(X):
    """Whether X is a table in memory whose rows can be cut out."""
    name = type(X).__name__
    if _library(X) == "pyarrow":
        return name in ("Table", "RecordBatch")
    return _library(X) in ("pandas", "polars") and name == "DataFrame"


def _is_stream(X):
    """Whether X is a table that is read in batches."""
    if _library(X) == "pyarrow":
        return hasattr(X, "to_batches") and hasattr(X, "scanner")
    return _library(X) == "polars" and type(X).__name__ == "LazyFrame"


def comes_in_blocks(X):
    """Whether X is of a kind that is read in blocks of rows: never loaded as a whole.

    Collections, tables of pyarrow and lazy ones, and what `row_blocks` has made; arrays
    and memory maps are arrays unless `row_blocks` says otherwise.
    """
    if type(X).__module__ == "sparsestat._utils.blocks":
        return True
    return is_dask(X) or _is_stream(X) or (_library(X) == "pyarrow" and _is_frame(X))


class LocalSource:
    """Parts that this process reads one after the other.

    Parameters
    ----------
    parts : callable
        Returns an iterator over ``(X, y, sample_weight)``, from the start each time.
    n_parts : int or None
        How many there will be, if that is known.
    names : ndarray of str or None
        Names of the features.
    n_rows : callable, default=None
        Returns the number of rows, where that needs no reading.
    """

    def __init__(self, parts, n_parts=None, names=None, n_rows=None):
        self.parts, self.n_parts, self.names = parts, n_parts, names
        self.n_rows = n_rows


class DaskSource:
    """Parts that dask computes where it likes.

    Parameters
    ----------
    parts : list of tuple
        The tasks of ``(X, y, sample_weight)``, or arrays, or None.
    n_features : int
    names : ndarray of str or None
    held : object
        Collections that stay in the memory of a cluster as long as this source does.
    """

    def __init__(self, parts, n_features, names=None, held=None):
        self.parts, self.n_parts, self.held = parts, len(parts), held
        self.n_features, self.names = n_features, names
        self.n_rows = None


def source_of(X, y, sample_weight, block_size):
    """Return the source of what a user passed."""
    if is_dask(X):
        return _dask_source(X, y, sample_weight, block_size)
    for values, name in ((y, "y"), (sample_weight, "sample_weight")):
        if is_dask(values):
            raise ValueError(
                f"{name} is a dask collection but X is {type(X).__name__}. Pass both "
                f"as dask collections, or {name}.compute()."
            )
    if _is_frame(X) or _is_stream(X):
        return _table_source(X, y, sample_weight, block_size)
    if hasattr(X, "shape") or _is_nested_list(X):
        return _array_source(X, y, sample_weight, block_size)
    return _iterable_source(X, y, sample_weight)


def _is_nested_list(X):
    """Whether X is a list of rows, not of blocks."""
    if not (isinstance(X, list) and X):
        return False
    return isinstance(X[0], list | np.ndarray) and all(np.ndim(x) == 0 for x in X[0])


# Arrays, sparse matrices, memory maps


def _array_source(X, y, sample_weight, block_size):
    if sparse.issparse(X):
        X = X if X.format == "csr" else X.tocsr()
    elif not isinstance(X, np.ndarray):
        X = np.asarray(X)
    if X.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {X.ndim}D array instead: X has shape {X.shape}."
        )
    n, p = X.shape
    y, sample_weight = _sliceable(y, n, "y"), _sliceable(sample_weight, n, "weights")
    step = _rows(block_size, p)

    def parts():
        for start in range(0, n, step):
            rows = slice(start, min(start + step, n))
            yield _read(X, rows), _cut(y, rows), _cut(sample_weight, rows)

    return LocalSource(parts, math.ceil(n / step), n_rows=lambda: n)


def _read(X, rows):
    """Return rows as an array of its own class: a memory map is copied into memory."""
    part = X[rows]
    return np.array(part, copy=True) if isinstance(part, np.memmap) else part


def _rows(block_size, n_features):
    if block_size is not None:
        return block_size
    return max(1, _ENTRIES // max(n_features, 1))


def _sliceable(values, n, name):
    """Return values with an entry for each row, checked for their number."""
    if values is None:
        return None
    if isinstance(values, str):
        raise ValueError(
            f"{name}={values!r} names a column, but X is not a table. Pass an array."
        )
    if not hasattr(values, "shape"):
        values = np.asarray(values)
    if len(values.shape) == 0 or (n is not None and values.shape[0] != n):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {n} "
            f"rows, {name} has shape {values.shape}."
        )
    return values


def _cut(values, rows):
    """Return some rows of an array, a Series or None."""
    if values is None:
        return None
    return np.asarray(getattr(values, "iloc", values)[rows])


# Tables


class _Columns:
    """Which columns of a table are features, targets and weights."""

    def __init__(self, names, y, sample_weight):
        self.y, self.sample_weight = y, sample_weight
        taken = set()
        for what, wanted in (("y", y), ("sample_weight", sample_weight)):
            if not _names_columns(wanted):
                continue
            wanted = [wanted] if isinstance(wanted, str) else list(wanted)
            missing = [name for name in wanted if name not in names]
            if missing:
                raise ValueError(
                    f"{what} names the column {missing[0]!r}, which the table does not "
                    f"have. Its columns are {list(names)[:20]}."
                )
            taken |= set(wanted)
        self.features = [name for name in names if name not in taken]

    def split(self, table, y=None, sample_weight=None):
        """Return ``(X, y, sample_weight)`` of rows of a table."""
        if _names_columns(self.y):
            y = _column(table, self.y) if isinstance(self.y, str) else None
            if y is None:
                y = np.column_stack([_column(table, name) for name in self.y])
        if _names_columns(self.sample_weight):
            sample_weight = _column(table, self.sample_weight)
        columns = [_column(table, name) for name in self.features]
        return _stacked(columns, self.features), y, sample_weight

    @property
    def names(self):
        """Names of the features if all are strings, as scikit-learn keeps them."""
        if all(isinstance(name, str) for name in self.features):
            return np.asarray(self.features, dtype=object)
        return None


def _names_columns(values):
    if isinstance(values, str):
        return True
    return (
        isinstance(values, list | tuple)
        and bool(values)
        and all(isinstance(name, str) for name in values)
    )


def _column(table, name):
    column = table[name] if hasattr(table, "__getitem__") else table.column(name)
    if _library(table) == "pyarrow":
        return (
            column.to_numpy(zero_copy_only=False)
            if _plain(column)
            else (column.to_numpy())
        )
    return column.to_numpy()


def _plain(column):
    return type(column).__name__ != "ChunkedArray"


def _stacked(columns, names):
    """Return columns side by side in memory order, as float32 if all fit it."""
    if not columns:
        raise ValueError("The table has no column of features left.")
    for name, column in zip(names, columns, strict=True):
        if column.dtype.kind not in "fiub":
            if column.dtype.kind == "c":
                raise ValueError(f"Complex data not supported: column {name!r}.")
            try:  # nullable columns come as objects
                column.astype(np.float64)
            except (TypeError, ValueError):
                raise ValueError(
                    f"The column {name!r} has dtype {column.dtype}, but numbers are "
                    "expected. Encode or drop it."
                ) from None
    single = all(column.dtype == np.float32 for column in columns)
    out = np.empty(
        (len(columns[0]), len(columns)), np.float32 if single else np.float64, order="F"
    )
    for k, column in enumerate(columns):
        out[:, k] = column
    return out


def _names_of(table):
    if _library(table) == "polars" and hasattr(table, "collect_schema"):
        return table.collect_schema().names()
    if _library(table) == "pyarrow":
        return list(table.schema.names)
    return list(table.columns)


def _table_source(table, y, sample_weight, block_size):
    columns = _Columns(_names_of(table), y, sample_weight)
    step = _rows(block_size, len(columns.features))
    n = len(table) if _is_frame(table) else None
    given = [
        None if _names_columns(values) else _sliceable(values, n, name)
        for values, name in ((y, "y"), (sample_weight, "sample_weight"))
    ]

    def parts():
        start = 0
        for batch in _batches(table, step):
            rows = slice(start, start + len(batch))
            yield columns.split(batch, *(_cut(values, rows) for values in given))
            start = rows.stop
        for values, name in zip(given, ("y", "sample_weight"), strict=True):
            if values is not None and len(values) != start:
                _sliceable(values, start, name)

    n_parts = None if n is None else math.ceil(n / step)
    return LocalSource(parts, n_parts, columns.names, lambda: _n_rows(table))


def _n_rows(table):
    if _is_frame(table):
        return len(table)
    if _library(table) == "pyarrow":
        return table.count_rows()
    import polars

    return table.select(polars.len()).collect().item()


def _batches(table, step):
    """Yield tables of at most so many rows, in order."""
    if _is_frame(table):
        for start in range(0, len(table), step):
            if _library(table) == "pandas":
                yield table.iloc[start : start + step]
            else:
                yield table.slice(start, step)
    elif _library(table) == "polars":
        for batch in table.collect_batches(chunk_size=step, maintain_order=True):
            yield from _batches(batch, step)
    else:
        # Little reading ahead: blocks are large.
        scanner = table.scanner(
            batch_size=step, batch_readahead=1, fragment_readahead=1
        )
        for batch in scanner.to_batches():
            if batch.num_rows:
                yield batch


# Iterables of blocks


def _iterable_source(blocks, y, sample_weight):
    try:
        first = iter(blocks)
    except TypeError:
        raise TypeError(
            f"X is {type(blocks).__name__}, which can neither be cut into blocks of "
            "rows nor iterated over. Pass an array, a sparse matrix, a table, a dask "
            "collection, or an iterable of (X, y) blocks."
        ) from None
    if first is blocks:
        raise TypeError(
            "X is a generator (or another iterator), which can be read only once, but "
            "fits read their data several times. Pass an object whose __iter__ starts "
            "from the beginning each time, such as a list, or a class with a generator "
            "as its __iter__."
        )
    if y is not None or sample_weight is not None:
        raise ValueError(
            "X is an iterable of blocks: y and sample_weight belong into the blocks. "
            "Pass (X, y) or (X, y, sample_weight)."
        )

    def parts():
        for block in blocks:
            block = block if isinstance(block, tuple | list) else (block,)
            if not 1 <= len(block) <= 3:
                raise ValueError(
                    f"A block has {len(block)} parts, expected X, (X, y) or (X, y, "
                    "sample_weight)."
                )
            yield tuple(block) + (None,) * (3 - len(block))

    return LocalSource(parts)


# Collections of dask


def _dask_source(X, y, sample_weight, block_size):
    if block_size is not None:
        raise ValueError(
            "block_size is for data in memory or on disk; a dask collection has chunks "
            "of its own. Use X.rechunk or X.repartition."
        )
    if hasattr(X, "npartitions") and hasattr(X, "columns"):
        return _dask_frame_source(X, y, sample_weight)
    if X.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {X.ndim}D array instead: X has shape {X.shape}."
        )
    if X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    sizes = X.chunks[0]
    given = [
        _like_chunks(values, sizes, name)
        for values, name in ((y, "y"), (sample_weight, "sample_weight"))
    ]
    X, *given = _held((X, *given), X.nbytes)
    tasks = X.to_delayed().ravel()
    parts = _zipped(tasks, given, sizes)
    return DaskSource(parts, int(X.shape[1]), held=(X, given))


def _dask_frame_source(X, y, sample_weight):
    from dask import delayed

    columns = _Columns(list(X.columns), y, sample_weight)
    tasks = X.to_delayed()
    sizes = (np.nan,) * len(tasks)
    given = [
        None if _names_columns(values) else _like_chunks(values, sizes, name)
        for values, name in ((y, "y"), (sample_weight, "sample_weight"))
    ]
    if any(values is not None and not is_dask(values) for values in given):
        sizes = computed(X.map_partitions(len))
    split = delayed(columns.split, pure=False, nout=3)
    parts = [
        tuple(split(task, *rest)) for task, *rest in _zipped(tasks, given, tuple(sizes))
    ]
    return DaskSource(parts, len(columns.features), columns.names)


def _like_chunks(values, sizes, name):
    """Return values with an entry for each row in the chunks of X, if they are dask's.

    Arrays in memory are cut later.
    """
    if values is None:
        return None
    known = not np.isnan(sizes).any()
    if not is_dask(values):
        return _sliceable(values, int(sum(sizes)) if known else None, name)
    if not hasattr(values, "chunks"):  # of a data frame
        if values.npartitions != len(sizes):
            raise ValueError(
                f"{name} has {values.npartitions} partitions, X has {len(sizes)}. "
                "Repartition them alike."
            )
        return values.to_dask_array()
    if values.chunks[0] == sizes:
        return values
    if known and not np.isnan(values.chunks[0]).any():
        _sliceable(values, int(sum(sizes)), name)
        return values.rechunk({0: sizes})
    if values.numblocks[0] != len(sizes):
        raise ValueError(
            f"{name} has {values.numblocks[0]} chunks and X has {len(sizes)}, some of "
            "unknown size. Call compute_chunk_sizes() on both, or chunk them alike."
        )
    return values


def _zipped(tasks, given, sizes):
    columns = []
    for values in given:
        if values is None:
            columns.append([None] * len(tasks))
        elif is_dask(values):
            if values.ndim == 2 and values.numblocks[1] > 1:
                values = values.rechunk({1: -1})
            columns.append(values.to_delayed().ravel())
        else:
            ends = np.cumsum([_known(size) for size in sizes])
            starts = np.concatenate([[0], ends[:-1]])
            _sliceable(values, int(ends[-1]), "y")
            rows = map(slice, starts.tolist(), ends.tolist())
            columns.append([_cut(values, here) for here in rows])
    return list(zip(tasks, *columns, strict=True))


def _known(size):
    if np.isnan(size):
        raise ValueError(
            "The chunks of X have unknown sizes, so that an array in memory cannot be "
            "cut alike. Call X.compute_chunk_sizes(), or pass y as a dask array."
        )
    return int(size)


def _held(collections, n_bytes):
    """Keep collections in the memory of a cluster, where they are small beside it."""
    try:
        from distributed import get_client

        client = get_client()
    except (ImportError, ValueError):
        return collections
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    memory = sum(worker["memory_limit"] or 0 for worker in workers)
    if not n_bytes <= memory / 4:  # unknown sizes are nan
        return collections
    import dask

    held = iter(dask.persist(*(c for c in collections if is_dask(c))))
    return [next(held) if is_dask(c) else c for c in collections]
