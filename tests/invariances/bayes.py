"""Subjects of sparse Bayesian learning."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.bayes import (
    MRFSBL,
    BlockKroneckerSBL,
    InverseFreeSBL,
    KroneckerSBL,
    SBLClassifier,
    SBLRegressor,
)
from tests.invariances.engine import GRID, Out, Subject, satisfied, table


def _problem(seed, n=40, p=5):
    X = table(seed, n, p)
    noise = table(seed + 100, n, 1)[:, 0] * 2.0**-3
    y = np.round((X @ np.resize([2.0, 0.0, -1.0], p) + noise) / GRID) * GRID
    return {"X": X, "y": y}


def _regressor(label, make, **options):
    def run(X, y, sample_weight=None):
        model = make()
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        model.fit(X, y, **given)
        return {
            "predict": model.predict(X),
            "coef": model.coef_,
            "noise": model.noise_variance_,
            "satisfied": satisfied(model),
        }

    outputs = {
        "predict": Out({"y": 1}, rows=0, moves="y"),
        "coef": Out({"y": 1, "X": -1}, features=0),
        "noise": Out({"y": 2}, rtol=10 * options.get("rtol", 1e-6)),
        "satisfied": Out(),
    }
    return Subject(label, run, _problem, outputs, **options)


def _classifier(label, make, n_classes, **options):
    def run(X, y, sample_weight=None):
        model = make().fit(X, y, sample_weight)
        return {
            "proba": model.predict_proba(X),
            "coef": model.coef_,
            "satisfied": satisfied(model),
        }

    def data(seed):
        found = _problem(seed, 60)
        noisy = found["y"] + 2.0 * table(seed + 5, 60, 1)[:, 0]
        cuts = np.quantile(noisy, np.arange(1, n_classes) / n_classes)
        return {"X": found["X"], "y": np.digitize(noisy, cuts)}

    outputs = {
        "proba": Out(rows=0),
        "coef": Out({"X": -1}, features=1),
        "satisfied": Out(),
    }
    return Subject(label, run, data, outputs, weights=True, rtol=1e-4, **options)


def _factors(label, make):
    def run(X, y):
        other = table(7, 5, 3)
        model = make().fit([X, other], y)
        return {"coef": model.coef_tensor_, "satisfied": satisfied(model)}

    def data(seed):
        X = table(seed, 8, 4)
        coef = np.zeros((4, 3))
        coef[1, 2], coef[2, 0] = 2.0, -1.0
        y = X @ coef @ table(7, 5, 3).T + 2.0**-4 * table(seed + 1, 8, 5)
        return {"X": X, "y": (np.round(y / GRID) * GRID).ravel()}

    outputs = {
        "coef": Out({"y": 1, "X": -1}, features=0),
        "satisfied": Out(),
    }
    return Subject(label, run, data, outputs, rtol=1e-4)


_TIGHT = {"tol": 1e-9, "max_iter": 5000}

SUBJECTS = [
    *(
        _regressor(
            f"SBLRegressor {method}",
            lambda method=method: SBLRegressor(method, **_TIGHT),
            weights=True,
        )
        for method in ("mm", "em", "mackay", "fast")
    ),
    _regressor(
        "SBLRegressor cofem",
        lambda: SBLRegressor(
            "cofem", max_iter=300, cg_tol=1e-10, tol=1e-3, random_state=0
        ),
        weights=True,
        sparse=True,
        rtol=1e-5,
    ),
    *(
        _classifier(
            f"SBLClassifier {n_classes}",
            lambda: SBLClassifier(tol=1e-6, max_iter=5000),
            n_classes,
        )
        for n_classes in (2, 3)
    ),
    *(
        _regressor(
            f"InverseFreeSBL {majorizer}",
            lambda majorizer=majorizer: InverseFreeSBL(
                majorizer=majorizer, tol=1e-9, max_iter=5000, random_state=0
            ),
            weights=True,
            sparse=True,
            rtol=1e-5,
        )
        for majorizer in ("lmax", "diagonal")
    ),
    *(
        _regressor(
            f"MRFSBL {step}",
            lambda step=step: MRFSBL(
                e_step=step,
                allow_complex=False,
                random_state=0,
                tol=1e-7,
                max_iter=2000,
            ),
            sparse=step == "inverse-free",
            rtol=1e-4,
        )
        for step in ("exact", "inverse-free", "vb")
    ),
    _factors("KroneckerSBL", lambda: KroneckerSBL(tol=1e-8, max_iter=2000)),
    _factors("BlockKroneckerSBL", lambda: BlockKroneckerSBL(tol=1e-8, max_iter=2000)),
]

_NO_INTERCEPT = "the model has no intercept: its prediction is 0 at X = 0"
_PROBES = "probes are random signs, one a column in the order given"
_FIELD = "the columns are neighbors in the order given"
_TENSOR = "y is a tensor: its rows are those of a product of factors"

EXEMPT = {
    **{
        (name, relation): _NO_INTERCEPT
        for name in ("MRFSBL exact", "MRFSBL inverse-free", "MRFSBL vb")
        for relation in ("shift X", "shift single X", "shift y")
    },
    ("MRFSBL inverse-free", "shift sparse X"): _NO_INTERCEPT,
    **{
        (name, relation): _NO_INTERCEPT
        for name in ("KroneckerSBL", "BlockKroneckerSBL")
        for relation in ("shift X", "shift single X", "shift y")
    },
    ("KroneckerSBL", "permute rows"): _TENSOR,
    ("BlockKroneckerSBL", "permute rows"): _TENSOR,
    ("BlockKroneckerSBL", "permute features"): _FIELD,
    **{
        (f"MRFSBL {step}", "permute features"): _FIELD
        for step in ("exact", "inverse-free", "vb")
    },
    ("SBLRegressor cofem", "permute features"): _PROBES,
    ("InverseFreeSBL lmax", "permute features"): (
        "the power iteration starts at random numbers, one a column in the order given"
    ),
    **{
        (s.name, "scale sample_weight"): (
            "weights are repetitions: the likelihood counts rows"
        )
        for s in SUBJECTS
        if s.weights
    },
}
