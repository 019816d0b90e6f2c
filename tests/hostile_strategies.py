"""Twisted inputs for the suite of hostile input, and the judge of the answers."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import ast
import dataclasses
import linecache
import pickle
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
from hypothesis import strategies as st
from scipy import sparse

import sparsestat

# What is done to the numbers, and to the shape, of one array.
EXPONENTS = (-300, -160, -30, -8, 8, 30, 160, 300)
VALUES = (
    *(f"scale 1e{k}" for k in EXPONENTS),
    "denormal",
    "constant column",
    "zero column",
    "duplicate columns",
    "duplicate rows",
    "zeros",
    "constant",
    "mixed scales",
    "mixed units",
    "large offset",
    "negative",
    "nan",
    "inf",
    "-inf",
    "one huge entry",
)
SHAPES = (
    "one sample",
    "two samples",
    "one feature",
    "one entry",
    "no samples",
    "no features",
    "1d",
    "3d",
    "scalar",
    "one row too many",
)
DTYPES = (
    "float32",
    "float16",
    "longdouble",
    "int64",
    "int8",
    "uint8",
    "bool",
    "object",
    "complex128",
    "str",
    ">f8",
)
DENSE = (
    "fortran",
    "strided",
    "reversed",
    "list",
    "pandas",
    "polars",
    "read-only",
    "memmap",
    "masked",
)
SPARSE = ("csr_array", "csc_array", "csr_matrix", "coo_array", "lil_array", "int64 csr")
NONCANONICAL = ("noncanonical csr", "noncanonical csc", "noncanonical coo")
CONTAINERS = (*DENSE, *SPARSE, *NONCANONICAL)

# The same numbers in another guise: the answer has to be the same too.
SAME_ANSWER = {
    **dict.fromkeys(("fortran", "strided", "reversed", "read-only", "memmap"), None),
    **dict.fromkeys(("list", "pandas", "polars"), None),
    # Entries that stand twice, explicit zeros and disorder change nothing.
    "noncanonical csr": "csr_array",
    "noncanonical csc": "csc_array",
    "noncanonical coo": "coo_array",
}

# Seconds of processor time for one call on a dozen samples, once compiled.
TIME_LIMIT = 20.0


@dataclass(frozen=True)
class Twist:
    """What is done to one array: numbers, shape, type and container, in this order."""

    values: str = ""
    shape: str = ""
    dtype: str = ""
    container: str = ""

    def __repr__(self):
        done = [f"{f}={v!r}" for f, v in vars(self).items() if v]
        return f"Twist({', '.join(done)})"

    def __call__(self, array):
        """Return `array` so twisted; other things than numeric arrays as they are."""
        if not isinstance(array, np.ndarray) or array.dtype.names:
            return array
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # of what is done here, not there
            array = _typed(_shaped(_valued(array, self.values), self.shape), self.dtype)
            return _contained(array, self.container)

    def plain(self):
        """Return the twist that has to give the same answer, or None."""
        if self.container not in SAME_ANSWER:
            return None
        return dataclasses.replace(self, container=SAME_ANSWER[self.container] or "")


def _valued(array, how):
    if not how or array.size == 0:
        return array
    if array.dtype.kind != "f" and how not in ("nan", "inf", "-inf", "negative"):
        return array  # labels and indices
    out = array.astype(float)
    rows = out.reshape(len(out), -1)
    middle = (len(rows) // 2, rows.shape[1] // 2)
    if how.startswith("scale"):
        return out * float(how.removeprefix("scale "))
    if how == "denormal":
        return np.sign(out) * 5e-324 * np.ceil(np.abs(out) * 3)
    if how == "constant column":
        rows[:, 0] = 3.0
    elif how == "zero column":
        rows[:, 0] = 0.0
    elif how == "duplicate columns":
        rows[:] = rows[:, :1]
    elif how == "duplicate rows":
        rows[:] = rows[:1]
    elif how == "zeros":
        out[:] = 0.0
    elif how == "constant":
        out[:] = 2.0
    elif how == "mixed scales":
        rows *= 10.0 ** np.linspace(-150, 150, rows.shape[1])
    elif how == "mixed units":
        rows *= 10.0 ** np.linspace(-6, 6, rows.shape[1])
    elif how == "large offset":
        out += 1e12
    elif how == "negative":
        out = -np.abs(out) - 1
    elif how == "one huge entry":
        rows[middle] = 1e200
    else:
        rows[middle] = float(how)
    return out


def _shaped(array, how):
    if not how:
        return array
    if how == "one sample":
        return array[:1]
    if how == "two samples":
        return array[:2]
    if how == "one feature":
        return array[:, :1] if array.ndim > 1 else array
    if how == "one entry":
        return array[:1, :1] if array.ndim > 1 else array[:1]
    if how == "no samples":
        return array[:0]
    if how == "no features":
        return array[:, :0] if array.ndim > 1 else array[:0]
    if how == "1d":
        return array.ravel()
    if how == "3d":
        return array.reshape(*array.shape, *[1] * (3 - array.ndim))
    if how == "scalar":
        return np.array(array.flat[0]) if array.size else array
    return np.concatenate([array, array[:1]])


def _typed(array, how):
    if not how or array.dtype.kind not in "fiu":
        return array
    if how in ("int64", "int8", "uint8"):
        limits = np.iinfo(how)
        whole = np.nan_to_num(np.round(array.astype(float) * 10), posinf=9, neginf=-9)
        return np.clip(whole, max(limits.min, -1e9), min(limits.max, 1e9)).astype(how)
    if how == "bool":
        return array > 0
    if how == "complex128":
        return array + 1j * array[::-1]
    return array.astype(how)


def _contained(array, how):
    if not how:
        return array
    if how == "fortran":
        return np.asfortranarray(array)
    if how == "strided":
        wide = np.zeros(tuple(2 * s for s in array.shape), dtype=array.dtype)
        view = wide[(slice(None, None, 2),) * array.ndim]
        view[...] = array
        return view
    if how == "reversed":
        turn = (slice(None, None, -1),) * array.ndim
        return array[turn].copy()[turn]
    if how == "list":
        return array.tolist()
    if how == "pandas":
        return (pd.DataFrame if array.ndim == 2 else _series)(array)
    if how == "polars":
        if array.ndim != 2 or array.dtype.kind not in "fiub" or not array.size:
            return array
        if array.dtype.itemsize > 8 or array.dtype.byteorder == ">":
            return array
        return pl.DataFrame(
            {f"x{j}": array[:, j].copy() for j in range(array.shape[1])}
        )
    if how == "read-only":
        out = array.copy()
        out.flags.writeable = False
        return out
    if how == "memmap":
        if not array.size or array.dtype.kind == "O":
            return array
        with tempfile.TemporaryFile() as file:
            out = np.memmap(file, array.dtype, "w+", shape=array.shape)
            out[...] = array
            out.flags.writeable = False
            return out
    if how == "masked":
        return np.ma.masked_array(array, mask=np.zeros(array.shape, dtype=bool))
    if array.ndim != 2 or array.dtype.kind not in "fiubc" or array.dtype == np.float16:
        return array
    if array.dtype.byteorder == ">":
        return array
    kind = how.split()[-1]
    if how.startswith("noncanonical"):
        return _noncanonical(array, kind)
    if how == "int64 csr":
        out = sparse.csr_array(array)
        out.indices = out.indices.astype(np.int64)
        out.indptr = out.indptr.astype(np.int64)
        return out
    return getattr(sparse, kind)(array)


def _series(array):
    return pd.Series(array) if array.ndim == 1 else array


def _noncanonical(array, kind):
    """Store each entry in two unequal parts, with zeros, in disorder."""
    rows, columns = np.nonzero(np.ones(array.shape, dtype=bool))
    entries = array[rows, columns]
    if array.dtype.kind in "fc":
        # Halves add up exactly; a half of a denormal does not, so it stays whole.
        half = entries / 2
        half[half + half != entries] = 0
    else:
        half = np.zeros_like(entries)
    rest = entries - half if array.dtype.kind != "b" else entries
    order = np.random.default_rng(0).permutation(2 * len(entries))
    rows, columns = np.tile(rows, 2)[order], np.tile(columns, 2)[order]
    entries = np.concatenate([half, rest])[order]
    if kind == "coo":
        return sparse.coo_array((entries, (rows, columns)), shape=array.shape)
    major, minor = (rows, columns) if kind == "csr" else (columns, rows)
    by_major = np.argsort(major, kind="stable")
    n_major = array.shape[kind == "csc"]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(major, minlength=n_major))])
    triple = entries[by_major], minor[by_major], indptr
    cls = sparse.csr_array if kind == "csr" else sparse.csc_array
    return cls(triple, shape=array.shape)


def twists():
    """Return a strategy of one twist or of two at once."""
    parts = {
        "values": st.sampled_from(VALUES),
        "shape": st.sampled_from(SHAPES),
        "dtype": st.sampled_from(DTYPES),
        "container": st.sampled_from(CONTAINERS),
    }
    names = st.lists(
        st.sampled_from(sorted(parts)), min_size=1, max_size=2, unique=True
    )
    return names.flatmap(
        lambda chosen: st.builds(Twist, **{name: parts[name] for name in chosen})
    )


# The judge


@dataclass
class Verdict:
    """How a call ended: an answer or a documented error, and the warnings."""

    answer: object = None
    error: Exception = None
    caught: list = field(default_factory=list)

    @property
    def converged(self):
        names = [w.category.__name__ for w in self.caught]
        return "ConvergenceWarning" not in names


def judge(call, *arguments, **keywords):
    """Call it, and assert what holds for every answer.

    An error is documented when sparsestat or scikit-learn's validation raised it
    on purpose, as ValueError, TypeError or NumericalError. No warning of numpy
    or scipy gets out. Inputs are what they were. The time is bounded.
    """
    before = [fingerprint(a) for a in (*arguments, *keywords.values())]
    verdict = _call(call, arguments, keywords)
    after = [fingerprint(a) for a in (*arguments, *keywords.values())]
    assert before == after, "an input was modified"
    return verdict


def _call(call, arguments, keywords, again=False):
    verdict = Verdict()
    start = time.process_time()
    with warnings.catch_warnings(record=True) as verdict.caught:
        warnings.simplefilter("always")
        try:
            verdict.answer = call(*arguments, **keywords)
        except Exception as error:
            verdict.error = error
    seconds = time.process_time() - start
    if seconds > TIME_LIMIT and not again:  # it may have compiled a kernel
        return _call(call, arguments, keywords, again=True)
    assert seconds < TIME_LIMIT, f"it took {seconds:.1f} s"
    if verdict.error is not None:
        assert_documented(verdict.error)
    for warning in verdict.caught:
        leaked = not issubclass(warning.category, UserWarning)
        leaked = leaked or warning.category.__module__.startswith(("numpy", "scipy"))
        leaked = leaked or "cvxpy" in warning.filename
        assert not leaked, f"{warning.category.__name__} leaked: {warning.message}"
    return verdict


def assert_documented(error):
    """Assert that an error was raised on purpose and says what is wrong."""
    frames = traceback.extract_tb(error.__traceback__)
    where = "".join(traceback.format_list(frames[-3:]))
    kinds = (ValueError, TypeError, sparsestat.exceptions.NumericalError)
    named = f"{type(error).__name__}: {error}\n{where}"
    assert isinstance(error, kinds), named
    assert not isinstance(error, np.linalg.LinAlgError), named
    assert len(str(error)) > 15, named
    validated = any(
        "sklearn/utils" in f.filename or "sklearn/base" in f.filename for f in frames
    )
    last = frames[-1]
    raised = "sparsestat/" in last.filename and last.lineno in _raises(last.filename)
    assert validated or raised, "not raised on purpose: " + named


@cache
def _raises(filename):
    """Return the lines of all raise statements of a file."""
    tree = ast.parse("".join(linecache.getlines(filename)))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return {n for node in found for n in range(node.lineno, node.end_lineno + 1)}


def fingerprint(thing):
    """Return bytes that change when the contents of an input do."""
    if sparse.issparse(thing):
        if thing.format in ("csr", "csc"):
            parts = (thing.data, thing.indices, thing.indptr)
        elif thing.format == "coo":
            parts = (thing.data, *thing.coords)
        else:
            parts = (thing.toarray(),)
        return [np.array(part).tobytes() for part in parts]
    if isinstance(thing, list | tuple):
        return [fingerprint(part) for part in thing]
    if isinstance(thing, np.ndarray) and thing.dtype.kind != "O":
        return [thing.shape, str(thing.dtype), thing.tobytes()]
    if isinstance(thing, pd.DataFrame):
        return fingerprint(thing.to_numpy())
    if isinstance(thing, pl.DataFrame):
        return fingerprint(thing.to_numpy())
    try:
        return pickle.dumps(thing)
    except Exception:  # functions of a test
        return None


def arrays_in(thing, name="answer", depth=0):
    """Yield ``(name, array)`` of every numeric array in an answer."""
    if depth > 4 or thing is None or isinstance(thing, str):
        return
    if sparse.issparse(thing):
        yield name, thing.toarray()
    elif isinstance(thing, np.ndarray):
        if thing.dtype.names:
            for part in thing.dtype.names:
                yield from arrays_in(thing[part], f"{name}.{part}", depth + 1)
        elif thing.dtype.kind in "fc":
            yield name, thing
        elif thing.dtype.kind == "O":
            for i, part in enumerate(thing.flat):
                yield from arrays_in(part, f"{name}[{i}]", depth + 1)
    elif isinstance(thing, float | complex | np.floating | np.complexfloating):
        yield name, np.asarray(thing)
    elif dataclasses.is_dataclass(thing):
        for part in dataclasses.fields(thing):
            inner = getattr(thing, part.name)
            yield from arrays_in(inner, f"{name}.{part.name}", depth + 1)
    elif isinstance(thing, dict):
        for key, part in thing.items():
            yield from arrays_in(part, f"{name}.{key}", depth + 1)
    elif isinstance(thing, list | tuple):
        for i, part in enumerate(thing):
            yield from arrays_in(part, f"{name}[{i}]", depth + 1)


def assert_no_nan(thing, name="answer", allowed=()):
    """Assert that no array in an answer holds NaN."""
    for where, array in arrays_in(thing, name):
        if not any(word in where for word in allowed):
            assert not np.isnan(array).any(), f"NaN in {where}"
