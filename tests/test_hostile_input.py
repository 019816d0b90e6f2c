"""Hostile input: every public name gives the right answer or says what is wrong.

Each public estimator and function gets data that were twisted in value, shape,
type or container. Accepted are a right answer (no NaN, honest about convergence,
the same for the same numbers in another container) and an error raised on
purpose. Names are found by walking the package, so that a new one is tested as
soon as it is public.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import importlib
import inspect
import math
import pickle
import sys
import warnings
from numbers import Integral

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.utils import get_tags

import sparsestat
from sparsestat._utils import base
from sparsestat._utils.compat import Interval
from sparsestat.exceptions import InconsistentVersionWarning
from tests.hostile_strategies import Twist, arrays_in, assert_no_nan, judge, twists
from tests.test_common import PRESETS, public_estimators

N_SAMPLES, N_FEATURES = 14, 4

# The twists that broke most things are tried on every name; the others are drawn.
ALWAYS = [
    Twist(),
    *(Twist(values=v) for v in ("nan", "inf", "scale 1e300", "scale 1e-300")),
    *(Twist(values=v) for v in ("zeros", "constant column", "duplicate columns")),
    *(Twist(values=v) for v in ("scale 1e160", "scale 1e-160", "denormal")),
    *(Twist(shape=s) for s in ("one sample", "one feature", "one entry", "3d")),
    *(Twist(shape=s) for s in ("no samples", "one row too many")),
    *(Twist(dtype=d) for d in ("float32", "object", "str")),
    *(Twist(container=c) for c in ("list", "memmap", "strided", "noncanonical csr")),
]


def hostile(max_examples):
    """Decorate a test of one twist: the fixed ones, and `max_examples` drawn ones."""

    def decorate(test):
        test = settings(
            max_examples=max_examples,
            derandomize=True,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )(given(twist=twists())(test))
        for twist in ALWAYS:
            test = example(twist=twist)(test)
        return test

    return decorate


# Plain data of every estimator


def _table(seed=0, n=N_SAMPLES, p=N_FEATURES):
    return np.random.RandomState(seed).standard_normal((n, p))


def _response(X):
    return X @ np.linspace(-1, 2, X.shape[1]) + 0.1 * _table(1, len(X), 1)[:, 0]


def _graph(n=N_SAMPLES):
    W = np.abs(_table(2, n, n)) * (_table(3, n, n) > 0.2)
    np.fill_diagonal(W, 0.0)
    return W + W.T


def _classes(n=N_SAMPLES):
    return np.arange(n) % 2


def _factors():
    rng = np.random.RandomState(0)
    return [rng.standard_normal((3, 4)), rng.standard_normal((4, 5))]


def _blocks():
    return [_table(0, 8, 6)]


# Estimators whose data are not a table, with what to fit them to.
DATA = {
    "FastRP": lambda: {"X": _graph()},
    "FastRPCV": lambda: {"X": _graph(), "y": _classes()},
    "FixedDimensionalEncoder": lambda: {"X": [_table(k, 3 + k) for k in range(5)]},
    "KMeans1D": lambda: {"X": _table(p=1)},
    "ToeplitzGPRegressor": lambda: {
        "X": np.arange(float(N_SAMPLES))[:, None],
        "y": _response(_table()),
    },
    "KroneckerSBL": lambda: {"factors": _factors(), "y": _table(4, 12, 1)[:, 0]},
    "BlockKroneckerSBL": lambda: {
        "factors": _factors(),
        "y": _table(4, 12, 1)[:, 0],
    },
}

# Beside the presets of the common checks: quick on a dozen samples.
QUICK = {
    "CodingRateSubspaceClustering": {"n_clusters": 2},
    "OnlineOrthogonalDictionary": {"batch_size": 5},
}


def estimator_of(cls):
    """Return an instance that is quick on a dozen samples."""
    arguments = {**PRESETS.get(cls.__name__, [{}])[0], **QUICK.get(cls.__name__, {})}
    estimator = cls(**arguments)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    if "n_clusters" in estimator.get_params():
        estimator.set_params(n_clusters=2)
    return estimator


def data_of(estimator):
    """Return ``{argument of fit: array}`` that suits an estimator."""
    name = type(estimator).__name__
    if name in DATA:
        return DATA[name]()
    X = _table()
    tags = get_tags(estimator)
    if tags.input_tags.positive_only:
        X = np.abs(X)
    if not tags.target_tags.required and "y" not in _required(estimator.fit):
        return {"X": X}
    if is_classifier(estimator):
        return {"X": X, "y": _classes()}
    y = _response(X)
    if tags.target_tags.positive_only or "Poisson" in name or "Cox" in name:
        y = np.abs(y)
    if not tags.target_tags.single_output:
        y = np.column_stack([y, y[::-1]])
    return {"X": X, "y": y}


def _required(function):
    return [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]


# Fitted attributes in which NaN says that there is nothing to say.
NAN_MEANS_NONE = (
    *("lam", "slack", "certificate_.value", "certificate_.tol"),
    *("low_rank_plus_sparse.objective", "low_rank_plus_sparse.dual_objective"),
    *("silhouette", "davies_bouldin"),
)

OUTPUTS = ("predict", "predict_proba", "decision_function", "transform")


def outputs_of(model, X):
    """Return what a fitted model says about the data it was fitted to."""
    found = {}
    for method in OUTPUTS:
        if hasattr(model, method):
            found[method] = getattr(model, method)(X)
    for name in ("labels_", "embedding_", "coupling_"):
        if hasattr(model, name):
            found[name] = getattr(model, name)
    return found


def fit_twisted(cls, argument, twist):
    """Fit a class to its data with one argument twisted; return model and verdict."""
    model = estimator_of(cls)
    data = data_of(model)
    if isinstance(data[argument], list):
        data[argument] = [twist(data[argument][0]), *data[argument][1:]]
    else:
        data[argument] = twist(data[argument])
    verdict = judge(model.fit, **data)
    return model, data, verdict


def check_estimator_with(cls, argument, twist):
    model, data, verdict = fit_twisted(cls, argument, twist)
    if verdict.error is not None:
        hint = f"tell DATA or QUICK what {cls.__name__} takes: {verdict.error}"
        assert twist != Twist(), hint
        public = [n for n in vars(model) if n.endswith("_") and n[0] != "_"]
        assert not public, f"a failed fit left {public}"
        return
    fitted = {n: v for n, v in vars(model).items() if n.endswith("_")}
    assert_no_nan(fitted, cls.__name__, NAN_MEANS_NONE)
    certificate = fitted.get("certificate_")
    if certificate is not None and not isinstance(certificate, list):
        # A search warns of its whole path, and certifies the fit it chose; and as in
        # scikit-learn, fewer clusters than were asked for are worth a warning.
        messages = " ".join(str(w.message) for w in verdict.caught)
        said = cls.__name__.endswith("CV") or "distinct" in messages
        assert (
            said and certificate.satisfied
        ) or certificate.satisfied == verdict.converged, (
            f"{certificate} but converged={verdict.converged}"
        )
    if "X" not in data:
        return
    said = judge(outputs_of, model, data["X"])
    if said.error is None:
        assert_no_nan(said.answer, cls.__name__)
    plain = twist.plain()
    if plain is None:
        return
    other, others, again = fit_twisted(cls, argument, plain)
    if again.error is not None:  # say, one sample too few to be a data frame
        return
    expected = outputs_of(other, others["X"])
    for name, value in said.answer.items():
        assert_same(value, expected[name], f"{cls.__name__}.{name}")


def assert_same(value, expected, what):
    if sparse.issparse(value):
        value, expected = value.toarray(), expected.toarray()
    value, expected = np.asarray(value), np.asarray(expected)
    if value.dtype.kind in "fc":
        size = np.abs(expected).max(initial=0.0)
        # Layouts round differently, and an optimizer may stop a step earlier.
        rtol = 1e-3 if value.dtype in (np.float32, np.complex64) else 1e-4
        atol = max(rtol * size, 1e-12)
        assert_allclose(value, expected, rtol=rtol, atol=atol, err_msg=what)
    else:
        assert (value == expected).all(), what


CLASSES = list(public_estimators())


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_estimators_take_hostile_data(cls):
    @hostile(10)
    def check(twist):
        first = next(iter(data_of(estimator_of(cls))))
        check_estimator_with(cls, first, twist)

    check()


TAUGHT = [cls for cls in CLASSES if "y" in data_of(estimator_of(cls))]


@pytest.mark.parametrize("cls", TAUGHT, ids=lambda cls: cls.__name__)
def test_estimators_take_hostile_targets(cls):
    @hostile(5)
    def check(twist):
        check_estimator_with(cls, "y", twist)

    check()


def extreme_numbers(cls):
    """Yield names of numeric parameters and values at the ends of what is allowed."""
    for name, constraints in cls._parameter_constraints.items():
        for interval in constraints if isinstance(constraints, list) else ():
            if isinstance(interval, Interval) and not issubclass(
                interval.type, Integral
            ):
                values = [interval.left, interval.right, 1e-300, 1e300]
                if not cls.__name__.endswith("CV"):  # the same and more of it
                    values += [1 - 1e-12, 1e-100, 1e16, 1e100]
                for value in values:
                    if value is not None and value in interval:
                        yield name, float(value)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_estimators_take_extreme_parameters(cls):
    for name, value in extreme_numbers(cls):
        model = estimator_of(cls).set_params(**{name: value})
        verdict = judge(model.fit, **data_of(model))
        if verdict.error is None:
            fitted = {n: v for n, v in vars(model).items() if n.endswith("_")}
            assert_no_nan(fitted, f"{cls.__name__}({name}={value})", NAN_MEANS_NONE)


# Public functions


def _cost():
    return np.abs(_table(5, 7, 6))


def _sparse(seed, m, n):
    return sparse.csr_array(_table(seed, m, n) * (_table(seed + 50, m, n) > 0))


def _spd(n=8):
    A = _table(6, n, n)
    return sparse.csr_array(A @ A.T + n * np.eye(n))


def _segments():
    made = sparsestat.datasets.make_correlation_structures(
        4, lengths=[60], random_state=0
    )
    known = {"targets": made.relaxed, "pattern_ids": made.pattern_ids}
    return made.X, made.segments, known


def _distances():
    return np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))


def _reward(action):
    return 0.1 * action


# What every required argument is called, unless CALLS says otherwise.
ARGUMENTS = {
    "A": lambda: _sparse(6, 5, 7),
    "B": lambda: _sparse(7, 7, 3),
    "C": _cost,
    "D": lambda: _table(13, 6, 4),
    "M": lambda: _table(8, 6, 6),
    "U": _table,
    "W": lambda: _table(9, 6, 8),
    "X": _table,
    "Y": lambda: _table(10, 9),
    "b": lambda: _table(11, 8, 1)[:, 0],
    "k": lambda: 2,
    "labels": _classes,
    "n_blocks": lambda: 2,
    "rank": lambda: 1,
    "segments": lambda: _segments()[1],
    "x": lambda: _table(12, 7, 1)[:, 0],
    "y": lambda: _response(_table()),
}
_SDR = {"n": 64, "a": 12, "theta": lambda: np.arange(1, 6)}
# Arguments that differ from those, and optional ones that are needed or tested.
CALLS = {
    "denoise_image": {
        "image": lambda: _table(21, 12, 10),
        "patch_size": (3, 3),
        "random_state": 0,
    },
    "barycenter": {
        "distributions": lambda: np.abs(_table(19, 3, 7)),
        "X": lambda: _table(20, 7, 2),
        "reg": 0.5,
    },
    "locus": {"distances": _distances, "observed": lambda: np.array([0, 4])},
    "next_label": {
        "distances": _distances,
        "observed": lambda: np.array([0, 4]),
    },
    "doubly_stochastic": {"C": lambda: _graph(7), "reg": 0.5},
    "enet_path": {"alphas": 5},
    "feature_choice_code": {"n_samples_per_feature": 2},
    "from_edges": {
        "edges": lambda: np.array(
            [[0, 1, 1], [1, 2, 2], [2, 3, 1], [3, 0, 3], [4, 2, 1]]
        )
    },
    "greedy_bcd": {"alpha": 0.01, "max_iter": 50},
    "greedy_bcd_quadratic": {"A": _spd},
    "laplacian": {"W": _graph},
    "lasso_path": {"alphas": 5},
    "multi_task_enet_path": {"alphas": 5, "y": lambda: _table(21, 14, 2)},
    "multi_task_lasso_path": {"alphas": 5, "y": lambda: _table(21, 14, 2)},
    "masked_spgemm": {"M": lambda: _sparse(8, 5, 3)},
    "monarch_matmul": {
        "factors": lambda: sparsestat.decomposition.project_monarch(
            _spd().toarray(), 2
        ),
        "X": lambda: _table(14, 8, 3),
    },
    "mutual_choice_code": {"n_nonzero": 5},
    "norm_matched_code": {"norms": lambda: np.arange(float(N_SAMPLES)) / 4},
    "partial_transport": {"mass": 0.5},
    "score_segmentation": {
        "X": lambda: _segments()[0],
        "true_segments": lambda: _segments()[1],
        "targets": lambda: _segments()[2]["targets"],
        "pattern_ids": lambda: _segments()[2]["pattern_ids"],
    },
    "sdr_false_negative": {**_SDR, "noise": 3},
    "sdr_false_positive": _SDR,
    "sdr_optimal_threshold": {
        **{k: v for k, v in _SDR.items() if k != "theta"},
        "s": 12,
        "noise": lambda: np.arange(4),
        "max_false_negative": 0.1,
    },
    "sdr_overlap_probability": _SDR,
    "sdr_union_false_positive": {**_SDR, "m": 5},
    "select_n_clusters": {"k_range": [2, 3], "certify": "quick", "n_resamples": 1},
    "sddmm": {"left": lambda: _table(15, 5, 2), "right": lambda: _table(16, 7, 2)},
    "sinkhorn": {"reg": 0.2},
    "sinkhorn_divergence": {"reg": 0.2},
    "sinkhorn_newton_sparse": {"reg": 0.2},
    "sinkhorn_points": {"reg": 0.2},
    "sinkhorn_unbalanced": {"reg": 0.2},
    "sparse_misspecified_bandit": {
        "features": lambda: _table(18, 6, 3) / 5,
        "query": lambda: _reward,
        "sparsity": 1,
        "misspecification": 0.3,
    },
    "sparsify": {"keep": 2},
    "spmm": {"B": lambda: _table(17, 7, 2)},
    "spmm_t": {"B": lambda: _table(17, 5, 2)},
    "zipf_budgets": {"n_atoms": 5, "total": 20},
}
# Here a stored zero is an entry, so that those of the twists change the answer.
STRUCTURE = [("masked_spgemm", "M"), ("sddmm", "A"), ("doubly_stochastic", "C")]
# Pure algebra: what is not a number stays so, and the largest numbers overflow.
ALGEBRA = ("sparsestat.sparse", "sparsestat.decomposition._factors._monarch")


def public_functions():
    """Yield ``(name, function)`` of all public functions that take data."""
    for subpackage in sparsestat._SUBPACKAGES:
        module = importlib.import_module(f"sparsestat.{subpackage}")
        for name in getattr(module, "__all__", []):
            if inspect.isfunction(getattr(module, name)):
                yield name, getattr(module, name)


TAKES_DATA = [
    pytest.param(name, function, id=name)
    for name, function in public_functions()
    if not name.startswith(("make_", "load_"))
]
MAKES_DATA = [
    pytest.param(function, id=name)
    for name, function in public_functions()
    if name.startswith(("make_", "load_"))
]


def call_of(name, function):
    """Return the arguments of a plain call."""
    special = {k: v() if callable(v) else v for k, v in CALLS.get(name, {}).items()}
    names = [k for k in _required(function) if k not in special]
    found = {k: ARGUMENTS.get(k, ARGUMENTS["y"])() for k in names}
    found = {**found, **special}
    if "random_state" in inspect.signature(function).parameters:
        found["random_state"] = 0
    return found


def _twisted(value, twist):
    if sparse.issparse(value):
        out = twist(value.toarray())
        good = isinstance(out, np.ndarray) and out.ndim == 2 and out.dtype.kind in "iuf"
        good = good and out.dtype.isnative and out.dtype != np.float16
        return type(value)(out) if good and not twist.container else out
    if isinstance(value, tuple):
        return tuple(twist(part) for part in value)
    return twist(value)


@pytest.mark.parametrize("name, function", TAKES_DATA)
def test_functions_take_hostile_data(name, function):
    plain = call_of(name, function)
    twistable = [
        k
        for k, v in plain.items()
        if isinstance(v, np.ndarray | tuple) or sparse.issparse(v)
    ]
    algebra = function.__module__.startswith(ALGEBRA)

    def answer(argument, twist):
        given = call_of(name, function)
        given[argument] = _twisted(given[argument], twist)
        return judge(function, **given)

    @hostile(5)
    def check(twist):
        for argument in twistable:
            verdict = answer(argument, twist)
            if verdict.error is not None:
                hint = f"tell CALLS what {name} takes: {verdict.error}"
                assert twist != Twist(), hint
                continue
            extreme = algebra and twist.values
            if not extreme:
                assert_no_nan(verdict.answer, name, NAN_MEANS_NONE)
            same = twist.plain()
            if same is None or extreme or (name, argument) in STRUCTURE:
                continue
            other = answer(argument, same)
            if other.error is None:
                ours, theirs = arrays_in(verdict.answer), arrays_in(other.answer)
                for (where, value), (_, expected) in zip(ours, theirs, strict=True):
                    if "seconds" in where:
                        continue
                    assert_same(value, expected, f"{name}: {where}")

    check()


SCALARS = [None, -1, 0, 2.5, math.nan, math.inf, -math.inf, 1e-300, True, "x", "", []]


@pytest.mark.parametrize("function", MAKES_DATA)
def test_makers_of_data_take_hostile_parameters(function):
    names = [n for n in inspect.signature(function).parameters if n != "random_state"]

    @settings(
        max_examples=40,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(name=st.sampled_from(names), value=st.sampled_from(SCALARS))
    def check(name, value):
        verdict = judge(function, **{name: value})
        if verdict.error is None and name != "missing":
            assert_no_nan(verdict.answer, function.__name__)

    check()


# Interrupts


def _count_and_interrupt(at):
    """Return a profiler that interrupts at the `at`-th call of our own code."""
    state = {"calls": 0}

    def profiler(frame, event, _):
        if event == "call" and "sparsestat/" in frame.f_code.co_filename:
            # Around the fit there is nothing to undo; in a generator that is being
            # closed Python swallows the interrupt.
            if "compat" in frame.f_code.co_filename:
                return
            if frame.f_code.co_flags & inspect.CO_GENERATOR:
                return
            state["calls"] += 1
            if state["calls"] == at:
                raise KeyboardInterrupt

    return profiler, state


def _interrupted(method, data, at):
    profiler, state = _count_and_interrupt(at)
    before = sys.getprofile()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.setprofile(profiler)
        try:
            method(**data)
        except KeyboardInterrupt:
            return True, state["calls"]
        finally:
            sys.setprofile(before)
    return False, state["calls"]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_interrupt_leaves_the_estimator_as_it_was(cls):
    names = [n for n in ("fit", "partial_fit") if hasattr(cls, n)]
    model = estimator_of(cls)
    data = data_of(model)
    for name in names:
        for _ in range(2):  # the first may import modules and fill caches
            stopped, total = _interrupted(getattr(clone(model), name), data, -1)
            assert not stopped and total > 1
        fitted = clone(model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            getattr(fitted, name)(**data)
        for estimator in (clone(model), fitted):
            before = joblib.hash(vars(estimator))
            for at in sorted({1, total // 3, 2 * total // 3, total - 1}):
                stopped, _ = _interrupted(getattr(estimator, name), data, max(at, 1))
                assert stopped or estimator is fitted  # a warm start is shorter
                if stopped:
                    assert joblib.hash(vars(estimator)) == before, (name, at)
                else:
                    before = joblib.hash(vars(estimator))


# Versions


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_reading_a_pickle_of_another_version_warns(cls, monkeypatch):
    model = estimator_of(cls)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = pickle.loads(pickle.dumps(model))
    assert repr(again) == repr(model) and vars(again).keys() == vars(model).keys()
    with monkeypatch.context() as patch:
        patch.setattr(base, "__version__", "0.0.1")
        payload = pickle.dumps(model)
    with pytest.warns(InconsistentVersionWarning, match=cls.__name__) as caught:
        again = pickle.loads(payload)
    assert caught[0].message.original_sparsestat_version == "0.0.1"
    assert caught[0].message.current_sparsestat_version == sparsestat.__version__
    assert vars(again).keys() == vars(model).keys()
    assert caught[0].filename == __file__
