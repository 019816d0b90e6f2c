"""Rows in blocks: one door for all containers, and ordered sums over the blocks.

Estimators that can be fitted from sums over rows see a :class:`RowBlocks`: functions
go to the rows, and results, which are small, come back and are put together in one
order. The answer depends neither on the size of the blocks nor on who computes them,
but for rounding.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect
from functools import partial
from numbers import Integral
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from sparsestat._utils.block_sources import DaskSource, source_of
from sparsestat._utils.dask_tasks import computed
from sparsestat._utils.parallel import in_order, single_threaded
from sparsestat._utils.progress import progress_bar
from sparsestat._utils.validation import check_magnitude, refuse_complex

__all__ = ["Block", "RowBlocks", "fit_blocks", "row_blocks"]

_FLOATS = [np.float64, np.float32]
_LARGEST = 1e40  # of an entry: sums of squares of many fit into double precision
_TOGETHER = 8  # results that are put together at once on a cluster


class Block(NamedTuple):
    """Validated rows.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_rows, n_features)
        In single or double precision.
    y : ndarray or None
        Targets, as they were given.
    weights : ndarray of shape (n_rows,) or None
        Positive: rows of weight zero are left out.
    kept : ndarray of int or None
        Where the rows stand in the block as it was read, if some were left out.
    n_read : int
        How many rows were read.
    """

    X: object
    y: object
    weights: object
    kept: object
    n_read: int


def fit_blocks(estimator, X, y=None, sample_weight=None, **others):
    """Fit an estimator on rows in blocks, or say why it cannot be.

    Parameters
    ----------
    estimator : estimator
        With a method ``_fit_blocks(blocks, **others)`` if it can; `_needs_rows` may say
        why not.
    X, y, sample_weight : see :func:`row_blocks`
    **others : object
        What else ``fit`` was given.
    """
    name = type(estimator).__name__
    if not hasattr(estimator, "_fit_blocks"):
        raise TypeError(
            f"{name} cannot be fitted from blocks of rows: "
            f"{getattr(estimator, '_needs_rows', 'it needs all of X at once')}. Pass "
            "an array in memory, for example X.compute() of a dask collection, "
            "X.to_pandas() of a pyarrow table, or a sample of the rows. (X is "
            f"{type(X).__name__}.)"
        )
    others = {key: value for key, value in others.items() if value is not None}
    known = inspect.signature(estimator._fit_blocks).parameters
    for key in others:
        if key not in known:
            raise ValueError(
                f"{name} takes no `{key}` where X comes in blocks of rows. Pass an "
                "array in memory for that."
            )
    blocks = row_blocks(X, y, sample_weight)
    if hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_
    if blocks.feature_names is not None:
        estimator.feature_names_in_ = blocks.feature_names
    estimator.n_features_in_ = blocks.n_features
    if estimator.n_features_in_ == 0:
        raise ValueError(
            "Found array with 0 feature(s) while a minimum of 1 is required."
        )
    return estimator._fit_blocks(blocks, **others)


def row_blocks(X, y=None, sample_weight=None, *, block_size=None):
    """Return rows in blocks, for fits that need not hold them all in memory.

    Pass what comes back to ``fit`` in place of X, without y: the estimators that can
    be fitted from sums over rows read it block by block, several times, and hold a
    few blocks at a time. Dask collections, tables of pyarrow and ``polars.LazyFrame``
    may be passed to ``fit`` as they are; arrays and memory maps are read in blocks
    only through this function. Read more in the :ref:`User Guide <row_blocks>`.

    Parameters
    ----------
    X : array, memory map, sparse matrix, table, dask collection or iterable
        Rows and features: a numpy array or memory map, a scipy sparse matrix, a
        ``dask.array`` (its chunks of rows may be of unknown sizes) or
        ``dask.dataframe``, a pyarrow ``Table`` or ``Dataset``, a data frame of pandas
        or polars, a ``polars.LazyFrame``; or an iterable of blocks ``(X, y)`` or ``(X,
        y, sample_weight)`` that starts from the beginning each time it is iterated
        over.
    y : array-like, str or list of str, default=None
        Targets, or the names of columns of a table.
    sample_weight : array-like or str, default=None
        Non-negative weights, or the name of a column.
    block_size : int, default=None
        Rows in a block. None takes two million entries. Chunks of dask collections
        are blocks as they are.

    Returns
    -------
    blocks : RowBlocks
        Its ``n_features`` and ``feature_names`` are known at once.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat import row_blocks
    >>> from sparsestat.linear_model import Lasso
    >>> X = np.random.default_rng(0).standard_normal((1000, 20))
    >>> y = X[:, 0] - X[:, 1]
    >>> model = Lasso(alpha=0.1).fit(row_blocks(X, y, block_size=300))
    >>> np.flatnonzero(model.coef_)
    array([0, 1])
    >>> model.certificate_.satisfied
    True
    """
    if isinstance(X, RowBlocks):
        if y is not None or sample_weight is not None or block_size is not None:
            raise ValueError(
                "X is a RowBlocks, which holds y and sample_weight already. Pass them "
                "to row_blocks."
            )
        return X
    if block_size is not None and (
        not isinstance(block_size, Integral) or block_size < 1
    ):
        raise ValueError(f"block_size must be a positive integer, got {block_size!r}.")
    refuse_complex(X)
    return RowBlocks(source_of(X, y, sample_weight, block_size))


class RowBlocks:
    """Rows that are read in blocks; see :func:`row_blocks`.

    Attributes
    ----------
    n_features : int
        Number of columns of X.
    feature_names : ndarray of str or None
        Their names, of tables.
    n_blocks : int or None
        How many blocks there are, where that is known before reading.
    """

    def __init__(self, source):
        self._source = source
        self.feature_names = source.names
        self.n_blocks = source.n_parts
        self._n_features = getattr(source, "n_features", None)
        if source.names is not None:
            self._n_features = len(source.names)
        self._sizes = None

    def __repr__(self):
        count = "an unknown number of" if self.n_blocks is None else self.n_blocks
        return f"RowBlocks({count} blocks, {self.n_features} features)"

    @property
    def n_features(self):
        """Number of columns of X."""
        if self._n_features is None:
            first = next(self._source.parts(), None)
            if first is None:
                raise ValueError("Found array with 0 sample(s): there is no block.")
            shape = getattr(first[0], "shape", None) or np.shape(first[0])
            if len(shape) != 2:
                raise ValueError(
                    f"Expected 2D array, got {len(shape)}D array instead: a block of X "
                    f"has shape {tuple(shape)}."
                )
            self._n_features = int(shape[1])
        return self._n_features

    @property
    def _is_dask(self):
        return isinstance(self._source, DaskSource)

    @property
    def sizes(self):
        """Numbers of rows of the blocks as they are read; a pass if not yet known."""
        if self._sizes is None:
            self.reduce(_count, _add, description="counting rows")
        return self._sizes

    @property
    def n_samples(self):
        """Number of rows, those of weight zero included."""
        if self._sizes is None and self._source.n_rows is not None:
            return int(self._source.n_rows())
        return int(sum(self.sizes))

    def targets(self):
        """Return the targets of all rows, as they were given, in memory."""
        if self._is_dask:
            found = computed([part[1] for part in self._source.parts])
        else:
            found = [part[1] for part in self._source.parts()]
        return np.concatenate([np.asarray(y).reshape(len(y)) for y in found])

    def sample(self, size, rng):
        """Return a block of rows of positive weight, drawn alike.

        Parameters
        ----------
        size : int
            At most so many.
        rng : RandomState
            What is drawn does not depend on the blocks.
        """
        keys = rng.random_sample(self.n_samples)
        merge = partial(_smallest, size=size)
        return self.reduce(_keyed, merge, size, rows=keys)[0]

    def reduce(
        self, function, merge, *arguments, rows=None, n_jobs=None, description="",
        verbose=0,
    ):  # fmt: skip
        """Sum a function over the blocks, in their order.

        Parameters
        ----------
        function : callable
            Called as ``function(block, *arguments)``, or with `rows` as
            ``function(block, rows, *arguments)``; defined at module level, so that it
            travels to workers.
        merge : callable
            Puts two results together; associative but for rounding.
        *arguments : object
            The same for all blocks.
        rows : ndarray of shape (n_samples,), default=None
            Something with an entry for each row, of which each block gets its own.
        n_jobs : int, default=None
            Threads that work on local blocks at once.
        description : str, default=""
            Of the progress bar.
        verbose : int, default=0
            At 1 and above, show a bar that counts blocks.

        Returns
        -------
        total : object
            What all results give together.
        """
        if rows is not None and len(rows) != self.n_samples:
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: "
                f"{len(rows)} entries for {self.n_samples} rows."
            )
        call = _Call(function, self.n_features, rows is not None, arguments)
        reduce = self._reduce_dask if self._is_dask else self._reduce_local
        sizes, total = reduce(call, merge, rows, n_jobs, description, verbose)
        if self._sizes is not None and sizes != self._sizes:
            raise ValueError(
                "The blocks of X had other numbers of rows when they were read before: "
                f"{sum(self._sizes)} rows then, {sum(sizes)} now. They must be the "
                "same each time."
            )
        self._sizes = sizes
        if total is None:
            raise ValueError(
                "Found array with 0 sample(s): no block of X has a row of positive "
                "weight."
            )
        return total

    def batches(self, size):
        """Yield blocks of so many rows of positive weight, in order; the last is rest.

        For algorithms that go through rows in one order. Chunks of dask come here one
        after the other.
        """
        held = []
        for part in self._source.parts() if not self._is_dask else self._source.parts:
            if self._is_dask:
                part = computed(part)
            block = checked_block(*part, n_features=self.n_features)
            held.append(block)
            n_held = sum(block.X.shape[0] for block in held)
            if n_held < size:
                continue
            whole = _joined(held)
            for start in range(0, n_held - n_held % size, size):
                yield _rows(whole, slice(start, start + size))
            held = [_rows(whole, slice(n_held - n_held % size, n_held))]
        if held and sum(block.X.shape[0] for block in held):
            yield _joined(held)

    def _reduce_local(self, call, merge, rows, n_jobs, description, verbose):
        def tasks():
            start = 0
            for part in self._source.parts():
                size = part[0].shape[0] if hasattr(part[0], "shape") else len(part[0])
                own = None if rows is None else rows[start : start + size]
                start += size
                yield part, own

        found = in_order(call, tasks(), n_jobs=n_jobs)
        bar = progress_bar(
            found, total=self.n_blocks, description=description, verbose=verbose
        )
        sizes, total = [], None
        for size, result in bar:
            sizes.append(size)
            if result is not None:
                total = result if total is None else merge(total, result)
        return tuple(sizes), total

    def _reduce_dask(self, call, merge, rows, n_jobs, description, verbose):
        import dask

        shared = dask.delayed(call, pure=False, traverse=False)
        cut = [None] * self.n_blocks
        if rows is not None:
            ends = np.cumsum(self.sizes)[:-1]
            cut = np.split(rows, ends)
        apply = dask.delayed(_apply, pure=False)
        parts = [
            apply(shared, tuple(part), own)
            for part, own in zip(self._source.parts, cut, strict=True)
        ]
        put_together = dask.delayed(_put_together, pure=False)
        while len(parts) > 1:
            groups = range(0, len(parts), _TOGETHER)
            parts = [put_together(merge, parts[k : k + _TOGETHER]) for k in groups]
        if not parts:
            return (), None
        return computed(parts[0], verbose)


def _keyed(block, keys, size):
    kept = np.argsort(keys, kind="stable")[:size]
    return _rows(block, kept), keys[kept]


def _smallest(a, b, size):
    """Keep the rows of the smallest keys of two blocks."""
    keys = np.concatenate([a[1], b[1]])
    kept = np.argsort(keys, kind="stable")[:size]
    return _rows(_joined([a[0], b[0]]), kept), keys[kept]


def _joined(blocks):
    """Return one block of the rows of several."""
    if len(blocks) == 1:
        return blocks[0]
    Xs, ys, ws = (list(values) for values in list(zip(*blocks, strict=True))[:3])
    stack = sparse.vstack if sparse.issparse(Xs[0]) else np.concatenate
    X = stack(Xs).tocsr() if sparse.issparse(Xs[0]) else stack(Xs)
    joined = [None if v[0] is None else np.concatenate(v) for v in (ys, ws)]
    return Block(X, *joined, None, X.shape[0])


def _rows(block, rows):
    """Return some rows of a block."""
    y, weights = (v if v is None else v[rows] for v in (block.y, block.weights))
    X = block.X[rows]
    return Block(X, y, weights, None, X.shape[0])


class _Call:
    """Validates a block and calls a function on it."""

    def __init__(self, function, n_features, has_rows, arguments):
        self.function, self.n_features = function, n_features
        self.has_rows, self.arguments = has_rows, arguments

    def __call__(self, part, own):
        block = checked_block(*part, n_features=self.n_features)
        if block.X.shape[0] == 0:
            return block.n_read, None
        if not self.has_rows:
            return block.n_read, self.function(block, *self.arguments)
        own = own if block.kept is None else own[block.kept]
        return block.n_read, self.function(block, own, *self.arguments)


def _apply(call, part, own):
    size, result = single_threaded(call, part, own)
    return (size,), result


def _put_together(merge, parts):
    sizes, total = (), None
    for size, result in parts:
        sizes += size
        if result is not None:
            total = result if total is None else merge(total, result)
    return sizes, total


def _count(block):
    return block.X.shape[0]


def _add(a, b):
    return a + b


def checked_block(X, y, sample_weight, *, n_features):
    """Validate the rows of a block; return a :class:`Block`."""
    X = check_array(
        X,
        accept_sparse="csr",
        dtype=_FLOATS,
        ensure_min_samples=0,
        input_name="X",
    )
    if X.shape[1] != n_features:
        raise ValueError(
            f"A block of X has {X.shape[1]} features, but the first one has "
            f"{n_features}."
        )
    n = X.shape[0]
    if y is not None:
        y = np.asarray(y)
        if y.ndim == 0 or len(y) != n:
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: a block "
                f"of X has {n} rows, its y has shape {y.shape}."
            )
    if sample_weight is None:
        return Block(check_magnitude(X, largest=_LARGEST), y, None, None, n)
    weights = check_array(
        sample_weight,
        ensure_2d=False,
        dtype=np.float64,
        ensure_min_samples=0,
        input_name="sample_weight",
    )
    if weights.shape != (n,):
        raise ValueError(
            f"sample_weight of a block has shape {weights.shape}, expected ({n},)."
        )
    if (weights < 0).any():
        raise ValueError("Negative values in data passed to `sample_weight`.")
    if weights.all():
        return Block(check_magnitude(X, largest=_LARGEST), y, weights, None, n)
    kept = np.flatnonzero(weights)
    X = check_magnitude(X[kept], largest=_LARGEST)
    return Block(X, None if y is None else y[kept], weights[kept], kept, n)
