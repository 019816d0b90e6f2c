"""Subjects of error control."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat import inference
from tests.invariances.engine import GRID, Out, Subject, satisfied, table


def _numbers(seed, n=40, p=6):
    X = table(seed, n, p)
    noise = table(seed + 100, n, 1)[:, 0] * 2.0**-2
    y = np.round((X @ np.resize([2.0, 0.0, -1.0], p) + noise) / GRID) * GRID
    return {"X": X, "y": y}


def _stability(X, y, sample_weight=None):
    model = inference.StabilitySelection(n_pairs=4, q=4, random_state=0)
    model.fit(X, y, sample_weight=sample_weight)
    return {"probabilities": model.selection_probabilities_, "ok": satisfied(model)}


def _knockoffs(X, y):
    # The Gaussian kind draws noise of single rows, the fixed one does not see them.
    model = inference.KnockoffSelector(
        fdr=0.5, random_state=0, statistic=_marginal, s_method="sdp"
    )
    model.fit(X, y)
    return {"W": model.W_, "s": model.s_, "ok": satisfied(model)}


def _marginal(X, copies, y):
    y = y - y.mean()
    return np.abs(X.T @ y) - np.abs(copies.T @ y)


def _scaled(X, y):
    model = inference.ScaledLasso(0.5).fit(X, y)
    return {
        "predict": model.predict(X),
        "coef": model.coef_,
        "sigma": model.sigma_df_,
        "ok": satisfied(model),
    }


def _debiased(X, y):
    model = inference.DebiasedLasso().fit(X, y)
    return {
        "coef": model.coef_,
        "ends": model.conf_int_,
        "pvalues": model.pvalues_,
        "ok": satisfied(model),
    }


def _selective(X, y):
    # A strength in units of both, that does not look at their relation.
    dense = X.toarray() if hasattr(X, "toarray") else np.asarray(X, dtype=float)
    unit = np.median(dense.std(axis=0)) * np.std(y)
    model = inference.LassoSelectiveInference(0.05 * unit).fit(X, y)
    return {
        "coef": model.coef_,
        "lasso": model.lasso_coef_,
        "errors": np.sort(model.standard_errors_ / np.abs(model.estimates_)),
        "ok": satisfied(model),
    }


_COEF = Out({"y": 1, "X": -1}, features=0)

SUBJECTS = [
    Subject(
        "StabilitySelection", _stability, _numbers,
        {"probabilities": Out(features=0), "ok": Out()}, sparse=True, weights=True,
    ),
    Subject(
        "KnockoffSelector", _knockoffs, _numbers,
        {"W": Out({"y": 1}, features=0), "s": Out({"X": 2}, features=0), "ok": Out()},
        scales=(-100, 100),
    ),
    Subject(
        "ScaledLasso", _scaled, _numbers,
        {
            "predict": Out({"y": 1}, rows=0, moves="y"), "coef": _COEF,
            "sigma": Out({"y": 1}), "ok": Out(),
        },
        sparse=True,
    ),
    Subject(
        "DebiasedLasso", _debiased, _numbers,
        {"coef": _COEF, "ends": _COEF, "pvalues": Out(features=0), "ok": Out()},
    ),
    Subject(
        "LassoSelectiveInference", _selective, _numbers,
        {"coef": _COEF, "lasso": _COEF, "errors": Out(), "ok": Out()},
        sparse=True,
    ),
]  # fmt: skip

_DRAWN = "random numbers belong to rows and features by their places"

EXEMPT = {
    ("StabilitySelection", "permute rows"): _DRAWN,
    ("StabilitySelection", "repeat rows"): "halves are drawn from rows; a test of the "
    "room keeps repetitions together as groups",
    ("KnockoffSelector", "permute rows"): _DRAWN,
    ("KnockoffSelector", "permute features"): _DRAWN,
}
