"""Predictions of dask collections: chunk by chunk, where the chunks are, when asked."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect
from functools import wraps

import numpy as np

from sparsestat._utils.block_sources import is_dask
from sparsestat._utils.parallel import single_threaded

__all__ = ["make_lazy"]

# Methods that tell of each row by itself.
_METHODS = (
    "decision_function",
    "predict",
    "predict_log_proba",
    "predict_proba",
    "transform",
)


def make_lazy(cls):
    """Let the methods of a class return dask arrays for dask collections."""
    for name in _METHODS:
        method = inspect.getattr_static(cls, name, None)
        if inspect.isfunction(method) and not hasattr(method, "takes_collections"):
            setattr(cls, name, _lazy(method, name))


def _lazy(method, name):
    @wraps(method)
    def call(self, X, *arguments, **options):
        if not is_dask(X):
            return method(self, X, *arguments, **options)
        for value in (*arguments, *options.values()):
            if value is not None and value is not False:
                raise ValueError(
                    f"{type(self).__name__}.{name} takes a dask collection alone. Use "
                    "X.map_blocks with what belongs to each chunk, or X.compute()."
                )
        return _collection(self, X, name)

    call.takes_collections = True
    return call


def _collection(estimator, X, name):
    """Return the dask array of what a method says of the rows of X."""
    sample = np.asarray(getattr(estimator, name)(_one_row(X)))
    tail = sample.shape[1:]
    if hasattr(X, "npartitions") and hasattr(X, "columns"):
        import dask.array as da
        from dask import delayed

        held = delayed(estimator, pure=False, traverse=False)
        parts = [
            da.from_delayed(
                delayed(_call, pure=False)(part, held, name),
                shape=(np.nan, *tail),
                dtype=sample.dtype,
            )
            for part in X.to_delayed()
        ]
        return da.concatenate(parts)
    if X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    layout = {"drop_axis": 1} if not tail else {"chunks": (X.chunks[0], tail)}
    return X.map_blocks(
        _call,
        estimator=estimator,
        method=name,
        dtype=sample.dtype,
        meta=sample[:0],
        **layout,
    )


def _one_row(X):
    """Return a row of zeros in the form of the chunks of X."""
    if not hasattr(X, "columns"):
        return np.zeros(
            (1, X.shape[1]), dtype=X.dtype if X.dtype.kind == "f" else float
        )
    import pandas as pd

    return pd.DataFrame(np.zeros((1, len(X.columns))), columns=list(X.columns))


def _call(part, estimator, method):
    if part.shape[0] == 0:
        return np.asarray(getattr(estimator, method)(_one_row(part)))[:0]
    return np.asarray(single_threaded(getattr(estimator, method), part))
