"""Tour, ensembles: forests on rotated features, features without labels, new labels."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedShuffleSplit

import sparsestat
from sparsestat._tour._section import Plot, SectionResult, Table
from sparsestat.ensemble import RotationForestClassifier
from sparsestat.feature_selection import QuickSelection

NAME = "ensembles"
TITLE = "Forests on rotated features, and features without labels"
ORDER = 76
GUIDE = "ensembles"
CODE = """
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import cross_val_score
from sparsestat.ensemble import RotationForestClassifier

X, y = load_breast_cancer(return_X_y=True)
model = RotationForestClassifier(20, random_state=0)
print(cross_val_score(model, X, y, cv=3).mean())
"""
N_STEPS = 4
N_SPLITS = 6


def run(progress):
    """Compare forests with and without rotations, and select pixels."""
    progress("compiling the kernels (once, then cached)")
    sparsestat.warmup(["feature_selection"])
    rows, gains = [], {}
    for name, (X, y) in (
        ("breast cancer", load_breast_cancer(return_X_y=True)),
        ("digits", load_digits(return_X_y=True)),
    ):
        progress(f"growing forests: {name}")
        gains[name] = _compare(X, y)
        mean, gain, error = gains[name]
        rows.append((name, f"{mean:.4f}", f"{gain:+.4f}", f"{error:.4f}"))
    progress("selecting pixels of digits without labels")
    X, y = load_digits(return_X_y=True)
    selector = QuickSelection(20, n_epochs=60, random_state=0).fit(X)
    table = Table(
        ("data", "random forest", "rotation forest, difference", "standard error"),
        tuple(rows),
        note=f"Accuracy of 50 trees, mean over {N_SPLITS} splits into halves: "
        "scikit-learn's random forest, and the paired difference of a rotation forest "
        "(principal axes of groups of three features).",
        text_columns=1,
    )
    mean, gain, error = gains["breast cancer"]
    finding = (
        f"On breast cancer data rotations change the accuracy of a forest by "
        f"{gain:+.3f} (standard error {error:.3f}); where single features matter they "
        "lose, as the benchmarks show."
    )
    glance = f"rotations change the accuracy by {gain:+.3f} ± {error:.3f}"
    return SectionResult(finding, table, _plot(selector), glance)


def _compare(X, y):
    splits = StratifiedShuffleSplit(N_SPLITS, test_size=0.5, random_state=0)
    scores = []
    for seed, (train, test) in enumerate(splits.split(X, y)):
        models = (
            RandomForestClassifier(50, random_state=seed),
            RotationForestClassifier(50, random_state=seed),
        )
        scores.append(
            [m.fit(X[train], y[train]).score(X[test], y[test]) for m in models]
        )
    scores = np.array(scores)
    gain = scores[:, 1] - scores[:, 0]
    return scores[:, 0].mean(), gain.mean(), gain.std(ddof=1) / np.sqrt(N_SPLITS)


def _plot(selector):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(6, 2.9), layout="constrained")
    image = axes[0].imshow(selector.feature_strengths_.reshape(8, 8), cmap="viridis")
    figure.colorbar(image, ax=axes[0], shrink=0.8)
    axes[0].set_title("strength of the connections", fontsize="small")
    axes[1].imshow(selector.get_support().reshape(8, 8), cmap="gray")
    axes[1].set_title("the 20 strongest pixels", fontsize="small")
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    return Plot(
        figure,
        "Pixels of handwritten digits, ranked by a sparse autoencoder that sees no "
        "labels: the middle, where digits differ, and not the border.",
    )
