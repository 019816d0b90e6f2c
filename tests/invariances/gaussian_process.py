"""Subjects of Gaussian processes."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.gaussian_process import (
    DistributedGridSpectralMixtureRegressor,
    GridSpectralMixtureRegressor,
)
from tests.invariances import gaussian_process_untuned
from tests.invariances.engine import GRID, Out, Subject, satisfied, table


def _series(seed, n=24):
    x = np.arange(float(n))
    y = np.sin(x / 3.0) + 0.1 * table(seed, n, 1)[:, 0]
    return {"X": x[:, None], "y": np.round(y / GRID) * GRID}


def _process(label, make, weights=False, **options):
    def run(X, y, sample_weight=None):
        model = make()
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        model.fit(X, y, **given)
        mean, std = model.predict(X, return_std=True)
        return {"mean": mean, "std": std, "satisfied": satisfied(model)}

    outputs = {
        "mean": Out({"y": 1}, rows=0, moves="y"),
        "std": Out({"y": 1}, rows=0, rtol=options.get("std_rtol")),
        "satisfied": Out(),
    }
    rtol = options.get("rtol", 1e-4)
    return Subject(label, run, _series, outputs, weights=weights, rtol=rtol)


SUBJECTS = [
    _process(
        "GridSpectralMixtureRegressor",
        lambda: GridSpectralMixtureRegressor(10, random_state=0),
        weights=True,
    ),
    *(
        _process(
            f"DistributedGridSpectralMixtureRegressor {mode}",
            lambda mode=mode: DistributedGridSpectralMixtureRegressor(
                10, n_agents=2, random_state=0, predict_mode=mode
            ),
            weights=True,
            rtol=1e-3,
        )
        for mode in ("full", "rbcm")
    ),
    *gaussian_process_untuned.SUBJECTS,
]

_COUNTS = "weights are repetitions: the likelihood counts rows"

EXEMPT = {(s.name, "scale sample_weight"): _COUNTS for s in SUBJECTS if s.weights}
