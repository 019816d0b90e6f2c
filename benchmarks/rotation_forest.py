"""Rotation forests against random forests on six tables, and their time."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_wine,
    make_classification,
)
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedShuffleSplit

from benchmarks._harness import measure, milliseconds
from sparsestat.ensemble import RotationForestClassifier
from sparsestat.ensemble._groups import rotate
from sparsestat.ensemble._rotations import draw_rotation

TITLE = "Forests on rotated features"
CLAIM = (
    "No claim of accuracy: paired differences from scikit-learn's forest over 20 "
    "splits, lost rows included. Target: time within 1.3 times that of scikit-learn's "
    "random forest plus the rotation."
)
PEERS = ("scikit-learn",)
KINDS = ("pca", "sparse", "random", "rc", None)
TREES = 30


def oblique(n, seed):
    """Four classes by two differences of strongly correlated features, as bands are."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=(n, 1))
    X = level + 0.25 * rng.normal(size=(n, 8))
    y = (X[:, 0] + X[:, 1] > X[:, 2] + X[:, 3]) + 2 * (X[:, 4] > X[:, 5])
    return X, y.astype(int)


def aligned(n, seed):
    """Classes by single features among many that are noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 30))
    return X, (X[:, 0] > 0).astype(int) + 2 * ((X[:, 1] > 0.5) & (X[:, 2] < 0.5))


def tables():
    yield "digits", load_digits(return_X_y=True)
    yield "breast cancer", load_breast_cancer(return_X_y=True)
    yield "wine", load_wine(return_X_y=True)
    yield "oblique classes (made)", oblique(1000, 61)
    yield "aligned classes (made)", aligned(1000, 62)
    yield (
        "make_classification, 15 of 30 informative",
        make_classification(1500, 30, n_informative=15, n_classes=4, random_state=63),
    )


def run(quick=False):
    """Return paired differences, and times."""
    rows = []
    for name, (X, y) in list(tables())[: 3 if quick else None]:
        splits = StratifiedShuffleSplit(
            3 if quick else 20, train_size=0.5, test_size=0.5, random_state=64
        )
        scores = []
        for seed, (train, test) in enumerate(splits.split(X, y)):
            models = [RandomForestClassifier(TREES, random_state=seed)]
            models += [
                RotationForestClassifier(TREES, rotation=kind, random_state=seed)
                for kind in KINDS
            ]
            scores.append(
                [m.fit(X[train], y[train]).score(X[test], y[test]) for m in models]
            )
        scores = np.array(scores)
        row = [f"accuracy: {name}", f"{scores[:, 0].mean():.4f}"]
        for k in range(1, scores.shape[1]):
            gain = scores[:, k] - scores[:, 0]
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            row.append(f"{gain.mean():+.4f} ± {error:.4f}")
        rows.append(row)
    X, y = load_digits(return_X_y=True)
    forest = measure(lambda: RandomForestClassifier(TREES, random_state=0).fit(X, y))
    row = ["seconds of a fit: digits", milliseconds(forest) + " ms"]
    for kind in KINDS:
        model = RotationForestClassifier(TREES, rotation=kind, random_state=0)
        ours = measure(lambda m=model: m.fit(X, y))
        # The rotated features have no equal values, so that their sorting takes longer.
        peer = RandomForestClassifier(TREES, random_state=0)
        scaled = model._scaler(X)
        rotated = rotate(scaled, model.rotations_[0])
        same = measure(lambda p=peer, Z=rotated: p.fit(Z, y))
        turning = measure(lambda k=kind, Z=scaled: _rotations(k, Z, y)).median
        row.append(
            f"{milliseconds(ours)} ms, "
            f"{ours.median / (same.median + turning):.2f} x the peer and the rotation"
        )
    rows.append(row)
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": [
            "what",
            "random forest (scikit-learn)",
            *(f"rotation={kind!r}" for kind in KINDS),
        ],
        "rows": rows,
        "notes": [
            f"{TREES} trees, half of the samples for training. Accuracies: that of "
            "scikit-learn's forest, and mean differences from it with their standard "
            "errors. Times: one thread, median and half range; the ratio is to the sum "
            "of scikit-learn's forest, on features that one rotation has made, and of "
            "the rotations alone.",
            "Two tables are made so that one side should win: oblique classes in "
            "correlated features, and single features among noise.",
        ],
    }


def _rotations(kind, X, y):
    """Draw and apply as many rotations as there are trees."""
    options = {"group_size": 3, "subsample": 0.75, "density": 1 / 3}
    for seed in range(TREES if kind is not None else 0):
        R = draw_rotation(
            kind,
            X,
            codes=y,
            weights=None,
            options={**options, "n_components": None},
            rng=np.random.default_rng(seed),
        )
        rotate(X, R)
