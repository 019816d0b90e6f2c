"""Subjects of matrix factorizations."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat import decomposition as dc
from tests.invariances.engine import GRID, Out, Subject, satisfied, table, weighted


def _on_grid(X):
    return np.round(X / GRID) * GRID


def _mixed(seed, n=60, p=5):
    """Return sparse codes times an orthogonal dictionary."""
    rng = np.random.RandomState(seed)
    codes = rng.standard_normal((n, p)) * (rng.random_sample((n, p)) < 0.4)
    Q = np.linalg.qr(rng.standard_normal((p, p)))[0]
    return {"X": _on_grid(codes @ Q)}


def _parts(seed):
    """Return non-negative codes of three parts and a little noise."""
    rng = np.random.RandomState(seed)
    codes = np.abs(rng.standard_normal((24, 3))) * (rng.random_sample((24, 3)) < 0.7)
    return {
        "X": _on_grid(codes @ rng.standard_normal((3, 6)) + 0.01 * table(seed, 24, 6))
    }


def _bars(seed):
    """Return sums of a few causes of binary states."""
    rng = np.random.RandomState(seed)
    states = rng.random_sample((50, 3)) < 0.3
    causes = 4.0 * np.eye(3).repeat(2, axis=1)
    noise = rng.standard_normal((50, 6))
    return {"X": _on_grid(states @ causes + 0.5 * noise)}


def _corrupted(seed):
    rng = np.random.RandomState(seed)
    L = rng.standard_normal((20, 2)) @ rng.standard_normal((2, 12))
    return {"X": _on_grid(L + 5.0 * (rng.random_sample(L.shape) < 0.05))}


def _labeled(seed):
    X = _mixed(seed)["X"]
    return {"X": X, "y": (X[:, 0] + X[:, 1] > 0).astype(int)}


def _orthogonal(label, make, units=1, **options):
    def run(X, sample_weight=None):
        model = make().fit(X, sample_weight=sample_weight)
        X = weighted(X, sample_weight)
        return {
            "energy": (model.dictionary_ @ model.components_),
            "codes": np.abs(np.sort(np.abs(model.transform(X)), axis=1)),
            "satisfied": satisfied(model),
        }

    outputs = {
        "energy": Out(),
        "codes": Out({"X": units}, rows=0),
        "satisfied": Out(),
    }
    return Subject(label, run, _mixed, outputs, **options)


def _dictionary(label, make, data, **options):
    """Return a subject of a coding model: what the data are explained by."""
    units = options.pop("units", 1)
    moves = "X" if options.pop("centered", False) else None

    def run(X, sample_weight=None, y=None):
        model = make()
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        model.fit(X, *(() if y is None else (y,)), **given)
        return {
            "fit": model.inverse_transform(model.transform(weighted(X, sample_weight))),
            "satisfied": satisfied(model),
        }

    outputs = {
        "fit": Out({"X": units}, rows=0, features=1, moves=moves),
        "satisfied": Out(),
    }
    return Subject(label, run, data, outputs, **options)


def _split(label, make):
    def run(X):
        model = make().fit(X)
        return {
            "low_rank": model.low_rank_,
            "sparse": model.sparse_,
            "satisfied": satisfied(model),
        }

    outputs = {
        "low_rank": Out({"X": 1}, rows=0, features=1),
        "sparse": Out({"X": 1}, rows=0, features=1),
        "satisfied": Out(),
    }
    return Subject(label, run, _corrupted, outputs, rtol=1e-5)


def _parts_of(found):
    return {"low_rank": found.low_rank, "sparse": found.sparse}


def _function(name, call, units=1, rows=0, features=1, **options):
    outputs = {"out": Out({"X": units}, rows=rows, features=features)}

    def run(X):
        return {"out": call(X)}

    data = options.pop("data", lambda seed: {"X": table(seed, 8, 8)})
    return Subject(name, run, data, outputs, **options)


def _calibrated(X):
    model = dc.CalibratedSparseFactorization(
        3, n_nonzero=2, random_state=0, max_iter=200
    )
    model.fit(X)
    return model.dictionary_ @ model.codes_


def _supervised(mode, solver):
    return lambda: dc.SupervisedDictionaryLearning(
        2, mode=mode, solver=solver, random_state=0, max_iter=3000
    )


def _probabilities(model, X, y, sample_weight):
    model.fit(X, y, sample_weight=sample_weight)
    X = weighted(X, sample_weight)
    return {"proba": model.predict_proba(X), "satisfied": satisfied(model)}


_CODING = {
    name: {"n_components": 3, "random_state": 0, "max_iter": 60, "n_steps": 20}
    for name in (
        "BinarySparseCoding",
        "TernarySparseCoding",
        "DiscreteSparseCoding",
        "MaximalCausesAnalysis",
        "MaxMagnitudeCausesAnalysis",
        "SpikeSlabSparseCoding",
    )
}

# The objective is a mean of fourth powers, whose values leave the doubles beyond 1e75;
# such data are refused by name.
_FOURTH = (-200, -100, 100, 200)

SUBJECTS = [
    _orthogonal(
        "OrthogonalDictionary",
        lambda: dc.OrthogonalDictionary(
            random_state=0, max_iter=2000, tol=1e-16, center=True
        ),
        scales=_FOURTH,
        weights=True,
        sparse=True,
    ),
    _orthogonal(
        "OrthogonalDictionary whitened",
        lambda: dc.OrthogonalDictionary(
            random_state=0, max_iter=2000, tol=1e-16, center=True, precondition=True
        ),
        units=0,
        scales=_FOURTH,
        weights=True,
        sparse=True,
        rtol=1e-5,
    ),
    _orthogonal(
        "OnlineOrthogonalDictionary",
        lambda: dc.OnlineOrthogonalDictionary(
            batch_size=60, random_state=0, center=True
        ),
        scales=_FOURTH,
        weights=True,
        sparse=True,
        rtol=1e-5,
    ),
    _dictionary(
        "SemiNMF",
        lambda: dc.SemiNMF(3, tol=1e-7, max_iter=20000),
        _parts,
        weights=True,
        sparse=True,
        rtol=1e-4,
    ),
    *(
        _dictionary(
            name,
            lambda name=name, options=options: getattr(dc, name)(**options),
            _bars,
            weights=True,
            sparse=True,
            rtol=1e-4,
        )
        for name, options in _CODING.items()
    ),
    *(
        _dictionary(
            f"{name} mean",
            lambda name=name: getattr(dc, name)(**_CODING[name], fit_mean=True),
            _bars,
            weights=True,
            sparse=True,
            centered=True,
            rtol=1e-4,
        )
        for name in ("BinarySparseCoding", "SpikeSlabSparseCoding")
    ),
    *(
        Subject(
            f"SupervisedDictionaryLearning {mode} {solver}",
            lambda X, y, sample_weight=None, mode=mode, solver=solver: _probabilities(
                _supervised(mode, solver)(), X, y, sample_weight
            ),
            _labeled,
            {"proba": Out(rows=0), "satisfied": Out()},
            weights=True,
            sparse=True,
            rtol=1e-3,
        )
        for mode, solver in (("filter", "lpgd"), ("feature", "lpgd"), ("filter", "bcd"))
    ),
    _split("RobustPCA ialm", lambda: dc.RobustPCA(random_state=0, tol=1e-8)),
    _split(
        "RobustPCA altproj",
        lambda: dc.RobustPCA(2, method="altproj", random_state=0),
    ),
    _split(
        "RobustPCA godec",
        lambda: dc.RobustPCA(2, method="godec", random_state=0),
    ),
    Subject(
        "low_rank_plus_sparse",
        lambda X: _parts_of(dc.low_rank_plus_sparse(X, 2, 12, random_state=0)),
        _corrupted,
        {
            "low_rank": Out({"X": 1}, rows=0, features=1),
            "sparse": Out({"X": 1}, rows=0, features=1),
        },
        rtol=1e-5,
    ),
    _function(
        "CalibratedSparseFactorization",
        _calibrated,
        rtol=1e-3,
        data=lambda seed: {"X": table(seed, 12, 9)},
    ),
    _function("topk_code", lambda X: dc.topk_code(X, 2)),
    _function("abs_topk_code", lambda X: dc.abs_topk_code(X, 2)),
    _function("project_topk", lambda X: dc.project_topk(X, 5)),
    _function("project_nm", lambda X: dc.project_nm(X, axis=0)),
    _function(
        "project_spectral_ball",
        lambda X: dc.project_spectral_ball(X, 2.0 * np.abs(X).max()),
    ),
    _function("project_stiefel", dc.project_stiefel, units=0),
    _function("project_monarch", lambda X: _monarch(X), rtol=1e-6),
    _function(
        "monarch_matmul",
        lambda X: dc.monarch_matmul(dc.project_monarch(table(3, 8, 8), 2), X),
        rows=None,
    ),
]


def _monarch(X):
    return dc.monarch_matmul(dc.project_monarch(X, 2), np.eye(8))


_LINEAR = "linear in X by its definition: the origin means something"
_COUNTS = "weights are repetitions: samples are counted, and a penalty is not"
_BATCHES = "batches are cut by rows: other rows make other batches"
_START = "the first components are drawn along the features in their order"
_BLOCKS = "blocks are made of neighbors in the order given"
_UNITS = "xi weighs squared errors, in squared units of X, against log losses"

_CENTERED = (
    "OrthogonalDictionary",
    "OrthogonalDictionary whitened",
    "OnlineOrthogonalDictionary",
    "BinarySparseCoding mean",
    "SpikeSlabSparseCoding mean",
)
_SUPERVISED = [s.name for s in SUBJECTS if s.name.startswith("Supervised")]

EXEMPT = {
    **{
        (s.name, relation): _LINEAR
        for s in SUBJECTS
        for relation in ("shift X", "shift sparse X", "shift single X")
        if s.name not in _CENTERED and (s.sparse or relation != "shift sparse X")
    },
    **{
        (s.name, "scale sample_weight"): _COUNTS
        for s in SUBJECTS
        if s.name in _SUPERVISED or s.name.split(" ")[0] in _CODING
    },
    ("OnlineOrthogonalDictionary", "repeat rows"): _BATCHES,
    ("OnlineOrthogonalDictionary", "permute features"): _START,
    **{
        (s.name, "permute features"): _START
        for s in SUBJECTS
        if s.name.split(" ")[0] in _CODING
    },
    ("CalibratedSparseFactorization", "permute features"): _START,
    ("project_nm", "permute rows"): _BLOCKS,
    **{
        (name, relation): _BLOCKS
        for name in ("project_monarch", "monarch_matmul")
        for relation in ("permute rows", "permute features")
        if (name, relation) != ("monarch_matmul", "permute features")
    },
    **{(name, "scale X"): _UNITS for name in _SUPERVISED},
}

_COMPRESSED = "tests of its own: tests/decomposition"
LEFT_OUT = {
    "denoise_image": "pixels have an order: tests/decomposition/test_denoise.py",
    "SemiStructuredFactorization": _COMPRESSED,
    "quantize_rows": _COMPRESSED,
    "quantized_low_rank_sparse": _COMPRESSED,
    "feature_choice_code": _COMPRESSED,
    "mutual_choice_code": _COMPRESSED,
    "norm_matched_code": _COMPRESSED,
    "quasi_orthogonality": "a statistic of atoms scaled to norm one",
    "zipf_budgets": "a function of sizes, not of data",
}
