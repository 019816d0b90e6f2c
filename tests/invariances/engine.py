"""Relations between fits of related data, and how outputs must answer to them.

A subject runs one public name on a small problem and hands back named outputs. Each
output says how it answers: its units as powers of those of the arguments, which axis
goes with rows or features, and whether it moves with a shift. A relation changes the
arguments; what comes out, taken back, must equal what came out before.

Numbers of the problems lie on a grid of powers of two, so that shifts by powers of two
and scales round nothing: the two problems are the same, and any difference is made by
the code under test.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

GRID = 2.0**-10  # of the numbers in the problems
SHIFTS = (10, 17, 26)  # powers of two, in spreads: 1e3, 1e5, 7e7
SHIFTS_SINGLE = (10, 12)
SCALES = (-332, -100, 100, 332)  # powers of two: 1e-100 to 1e100
GARBAGE = (1e30, 1e300)
EPS = np.finfo(float).eps


@dataclass(frozen=True)
class Out:
    """How an output answers to changes of the arguments.

    Parameters
    ----------
    units : dict
        Powers of the units of arguments, e.g. ``{"y": 1, "X": -1}`` of a coefficient.
    rows, features : int, default=None
        Axis along which samples or features are numbered.
    moves : str, default=None
        Argument with which the output shifts.
    labels : bool, default=False
        Names of groups, which may be exchanged.
    signs : bool, default=False
        Defined up to its sign.
    rtol : float, default=None
        Tolerance in place of the subject's.
    """

    units: Mapping = field(default_factory=dict)
    rows: int | None = None
    features: int | None = None
    moves: str | None = None
    labels: bool = False
    signs: bool = False
    rtol: float | None = None


@dataclass(frozen=True)
class Subject:
    """One public name on a small problem.

    Parameters
    ----------
    name : str
        The public name, and what else tells subjects apart after a space.
    run : callable
        Takes the arguments, returns a dict of outputs.
    data : callable
        Takes a seed, returns the arguments; real arrays, samples first.
    outputs : dict
        An :class:`Out` for each output that `run` returns.
    sparse : bool, default=False
        Whether X may be sparse.
    weights : bool, default=False
        Whether there is a `sample_weight`.
    rtol : float, default=1e-6
        Largest difference relative to the largest entry: what the tolerance of the
        fit promises.
    scales : tuple of int, default=SCALES
        Powers of two by which arguments are scaled.
    """

    name: str
    run: Callable
    data: Callable
    outputs: Mapping
    sparse: bool = False
    weights: bool = False
    rtol: float = 1e-6
    scales: tuple = SCALES


def table(seed, n=24, p=4, *, zeros=0.0, positive=False):
    """Return numbers on the grid, about standard normal."""
    rng = np.random.RandomState(seed)
    X = np.round(rng.standard_normal((n, p)) / GRID) * GRID
    X = np.abs(X) + GRID if positive else X
    return np.where(rng.random_sample((n, p)) < zeros, 0.0, X)


def satisfied(model):
    """Return the verdict of a certificate as a number to compare.

    One that only lacks precision, as in single precision, has found the answer.
    """
    certificate = model.certificate_
    return float(certificate.satisfied or certificate.lacks_precision)


def weighted(X, sample_weight):
    """Return the rows that have a weight."""
    return X if sample_weight is None else X[np.asarray(sample_weight) > 0]


# Relations: generators of (changed arguments, how to take an output back, tolerance)


@dataclass(frozen=True)
class Case:
    """Changed arguments, and what takes their outputs back.

    Parameters
    ----------
    data : dict
        The arguments.
    undo : callable
        Takes an output and its :class:`Out`, returns what should equal the output of
        the plain problem, or of `other`.
    coarse : float, default=0.0
        Absolute error that the change alone excuses in outputs that move with it.
    other : dict, default=None
        Arguments to compare with in place of the plain ones.
    rtol : float, default=0.0
        Least relative tolerance.
    """

    data: Mapping
    undo: Callable
    coarse: float = 0.0
    other: Mapping | None = None
    rtol: float = 0.0


def _same(value, out):
    return value


def _offsets(power, p):
    return 2.0**power * np.where(np.arange(p) % 2 == 0, 1.0, -1.0)


def _shift(data, name, power, container=np.asarray):
    offset = (
        _offsets(power, data[name].shape[1]) if data[name].ndim == 2 else 2.0**power
    )
    moved = {**data, name: container(data[name] + offset)}

    def undo(value, out):
        if out.moves != name:
            return value
        return np.asarray(value, dtype=float) - offset

    return Case(moved, undo, coarse=4.0 * EPS * 2.0**power)


def shift_dense(subject, data):
    for power in SHIFTS:
        yield _shift(data, "X", power)


def shift_sparse(subject, data):
    for power in SHIFTS:
        for container in (sparse.csr_array, sparse.csc_array):
            yield _shift(data, "X", power, container)


def shift_single(subject, data):
    coarse = {k: v for k, v in data.items()}
    coarse["X"] = np.round(data["X"] * 2.0**8) / 2.0**8
    containers = [lambda X: X.astype(np.float32)]
    if subject.sparse:
        containers.append(lambda X: sparse.csr_array(X.astype(np.float32)))
    for power in SHIFTS_SINGLE:
        for container in containers:
            case = _shift(coarse, "X", power, container)
            yield Case(case.data, case.undo, 4e-7 * 2.0**power, coarse, 2e-3)


def shift_target(subject, data):
    for power in SHIFTS:
        yield _shift(data, "y", power)


def _scale(data, name, power):
    if isinstance(data[name], list):
        scaled = [data[name][0] * 2.0**power, *data[name][1:]]
    else:
        scaled = data[name] * 2.0**power

    def undo(value, out):
        back = -power * out.units.get(name, 0)
        # In two steps, as a square may leave the range on the way.
        half = back / 2
        return np.asarray(value) * 2.0**half * 2.0**half if back else value

    return Case({**data, name: scaled}, undo)


def scale_of(name):
    def relation(subject, data):
        for power in subject.scales:
            yield _scale(data, name, power)

    return relation


def permute_rows(subject, data):
    order = np.random.RandomState(0).permutation(len(data["X"]))
    mixed = {
        k: v[order] if isinstance(v, np.ndarray) and len(v) == len(order) else v
        for k, v in data.items()
    }

    def undo(value, out):
        if out.rows is None:
            return value
        return np.take(_plain(value), np.argsort(order), axis=out.rows)

    yield Case(mixed, undo)


def permute_features(subject, data):
    order = np.random.RandomState(1).permutation(data["X"].shape[1])

    def undo(value, out):
        if out.features is None:
            return value
        return np.take(_plain(value), np.argsort(order), axis=out.features)

    yield Case({**data, "X": data["X"][:, order]}, undo)


def _with_rows(data, rows):
    """Return the data with rows taken along `rows`, without weights."""
    n = len(data["X"])
    return {
        k: v[rows] if isinstance(v, np.ndarray) and len(v) == n else v
        for k, v in data.items()
        if k != "sample_weight"
    }


def repeat_rows(subject, data):
    counts = 1 + np.arange(len(data["X"])) % 3
    rows = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts

    def undo(value, out):
        value = _plain(value)
        return value if out.rows is None else np.take(value, first, axis=out.rows)

    other = {**data, "sample_weight": counts.astype(float)}
    yield Case(_with_rows(data, rows), undo, other=other)


def zero_rows(subject, data):
    n = len(data["X"])
    places = np.array([0, n // 2, n - 1])
    kept = np.delete(np.arange(n + 3), places + np.arange(3))
    for garbage in GARBAGE:
        wide = {}
        for k, v in {"sample_weight": np.ones(n), **data}.items():
            if not (isinstance(v, np.ndarray) and len(v) == n):
                wide[k] = v
                continue
            fill = v[:1] if v.dtype.kind in "iub" else np.full_like(v[:1], garbage)
            fill = np.zeros(1) if k == "sample_weight" else fill
            wide[k] = np.insert(v, places, fill, axis=0)

        def undo(value, out):
            value = _plain(value)
            # Of samples with a weight only, where the subject asks for no others.
            if out.rows is None or value.shape[out.rows] == n:
                return value
            return np.take(value, kept, axis=out.rows)

        yield Case(wide, undo)


def dense_is_sparse(subject, data):
    thin = np.where(np.random.RandomState(2).random_sample(data["X"].shape) < 0.3, 0, 1)
    plain = {**data, "X": data["X"] * thin}
    for container in (sparse.csr_array, sparse.csc_array, sparse.csr_matrix):
        yield Case({**plain, "X": container(plain["X"])}, _same, other=plain)


def single_precision(subject, data):
    coarse = {**data, "X": np.round(data["X"] * 2.0**8) / 2.0**8}
    single = {**coarse, "X": coarse["X"].astype(np.float32)}
    yield Case(single, _same, other=coarse, rtol=2e-3)


RELATIONS = {
    "shift X": shift_dense,
    "shift sparse X": shift_sparse,
    "shift single X": shift_single,
    "shift y": shift_target,
    "scale X": scale_of("X"),
    "scale y": scale_of("y"),
    "scale sample_weight": scale_of("sample_weight"),
    "permute rows": permute_rows,
    "permute features": permute_features,
    "repeat rows": repeat_rows,
    "zero rows": zero_rows,
    "sparse": dense_is_sparse,
    "single": single_precision,
}


def applies(subject, relation):
    """Whether a subject has the arguments that a relation changes."""
    if "sparse" in relation and not subject.sparse:
        return False
    if relation in ("repeat rows", "zero rows", "scale sample_weight"):
        return subject.weights
    data = subject.data(0)
    if relation.endswith(" y"):
        return "y" in data and data["y"].dtype.kind == "f"
    if "C" in data and "X" not in data:
        return False
    return True


def compare(value, expected, out, rtol, atol, what):
    """Assert that two outputs agree to a tolerance relative to the largest entry."""
    value, expected = _plain(value), _plain(expected)
    assert value.shape == expected.shape, what
    if out.labels:
        pairs = set(zip(value.tolist(), expected.tolist(), strict=True))
        assert len(pairs) == len(set(value.tolist())), what
        assert len(pairs) == len(set(expected.tolist())), what
        return
    value = value.astype(complex if value.dtype.kind == "c" else float)
    assert np.isfinite(value).all(), what
    size = np.abs(expected).max(initial=0.0)
    apart = np.abs(value - expected).max(initial=0.0)
    if out.signs:
        apart = min(apart, np.abs(value + expected).max(initial=0.0))
    assert apart <= rtol * size + atol, f"{what}: {apart / max(size, 1e-300):.2e}"


def _plain(value):
    return value.toarray() if sparse.issparse(value) else np.asarray(value)


def check(subject, relation, seed=0):
    """Run the plain problem and its relatives; compare what comes out."""
    data = subject.data(seed)
    if relation == "scale sample_weight":
        weights = 1.0 + np.arange(len(data["X"])) % 3
        data = {"sample_weight": weights, **data}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = None
        for number, case in enumerate(RELATIONS[relation](subject, data)):
            if case.other is not None:
                expected = subject.run(**case.other)
            else:
                plain = subject.run(**data) if plain is None else plain
                expected = plain
            found = subject.run(**case.data)
            assert set(found) == set(subject.outputs)
            for name, out in subject.outputs.items():
                if name == "satisfied" and "single" in relation:
                    # What single precision cannot store is not proved.
                    assert found[name] <= expected[name]
                    continue
                rtol = max(out.rtol or subject.rtol, case.rtol)
                compare(
                    case.undo(found[name], out),
                    expected[name],
                    out,
                    rtol,
                    case.coarse if out.moves else 0.0,
                    f"{subject.name}, {relation} ({number}), {name}",
                )
