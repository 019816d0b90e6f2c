"""Subjects of Gaussian processes that find their scales themselves: no exemptions."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.gaussian_process import (
    CompactGPRegressor,
    DeepKernelMachineClassifier,
    DeepKernelMachineRegressor,
    SparseGPClassifier,
    SparseGPRegressor,
    ToeplitzGPRegressor,
)
from tests.invariances.engine import GRID, Out, Subject, satisfied, table


def _series(seed, n=40):
    x = np.arange(float(n))
    y = np.sin(x / 3.0) + 0.1 * table(seed, n, 1)[:, 0]
    return {"X": x[:, None], "y": np.round(y / GRID) * GRID}


def _map(seed, n=60):
    X = table(seed, n, 2)
    y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * table(seed + 1, n, 1)[:, 0]
    return {"X": X, "y": np.round(y / GRID) * GRID}


def _subject(label, make, data):
    def run(X, y):
        model = make().fit(X, y)
        mean, std = model.predict(X, return_std=True)
        return {"mean": mean, "std": std, "satisfied": satisfied(model)}

    outputs = {
        "mean": Out({"y": 1}, rows=0, moves="y"),
        "std": Out({"y": 1}, rows=0, rtol=1e-2),
        "satisfied": Out(),
    }
    # Found to a tolerance of 1e-4 of the evidence, which is flat at its top.
    return Subject(label, run, data, outputs, rtol=1e-3)


def _classes(seed, n=40):
    X = table(seed, n, 2)
    return {"X": X, "y": (np.sin(2 * X[:, 0]) + X[:, 1] > 0).astype(float)}


def _classifier(label, make):
    def run(X, y):
        model = make().fit(X, y > y.min())
        return {"p": model.predict_proba(X)[:, 1], "satisfied": satisfied(model)}

    outputs = {"p": Out(rows=0), "satisfied": Out()}
    return Subject(label, run, _classes, outputs, rtol=1e-3)


SUBJECTS = [
    # All points: k-means would depend on the order of rows.
    _classifier(
        "DeepKernelMachineClassifier",
        lambda: DeepKernelMachineClassifier(1, nu=100, n_inducing=None),
    ),
    _classifier(
        "SparseGPClassifier",
        lambda: SparseGPClassifier(n_inducing=60, optimize_inducing=False),
    ),
    _subject(
        "DeepKernelMachineRegressor",
        lambda: DeepKernelMachineRegressor(1, nu=100, n_inducing=None),
        _map,
    ),
    _subject("CompactGPRegressor", CompactGPRegressor, _map),
    _subject(
        "SparseGPRegressor",
        # All points: k-means would depend on the order of rows.
        lambda: SparseGPRegressor(n_inducing=60, optimize_inducing=False),
        _map,
    ),
    _subject("ToeplitzGPRegressor", ToeplitzGPRegressor, _series),
]
