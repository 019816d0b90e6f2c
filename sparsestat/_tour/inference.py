"""Tour, inference: which features of a sparse model can be trusted."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

import sparsestat
from sparsestat._tour._section import Plot, SectionResult, Table
from sparsestat.datasets import load_diabetes_interactions
from sparsestat.inference import (
    DebiasedLasso,
    KnockoffSelector,
    LassoSelectiveInference,
    StabilitySelection,
)
from sparsestat.plotting import IntervalDisplay, StabilityPathDisplay

NAME = "inference"
TITLE = "Which features can be trusted"
ORDER = 25
GUIDE = "inference"
CODE = """
from sparsestat.datasets import load_diabetes_interactions
from sparsestat.inference import StabilitySelection

data = load_diabetes_interactions(degree=2)
model = StabilitySelection(random_state=0)
model.fit(data.data / data.data.std(axis=0), data.target)
print(model.get_support().nonzero(), model.pfer_bound_)
"""
N_STEPS = 4
N_SHOWN = 8


def run(progress):
    """Judge the features of diabetes patients in four ways."""
    progress("compiling the kernels (once, then cached)")
    sparsestat.warmup(["inference"])
    data = load_diabetes_interactions(degree=2)
    X, y = data.data / data.data.std(axis=0), data.target
    progress("selecting on halves of the patients")
    stable = StabilitySelection(random_state=0).fit(X, y)
    progress("comparing with knockoffs")
    knockoffs = KnockoffSelector(construction="fixed", fdr=0.2, random_state=0)
    knockoffs.fit(X, y)
    progress("intervals, before and after a selection")
    debiased = DebiasedLasso(multiple_testing="holm").fit(X, y)
    selective = LassoSelectiveInference(alpha=4.0).fit(X, y)
    given = np.full(X.shape[1], np.nan)
    given[selective.features_] = selective.pvalues_
    rows = []
    for j in np.argsort(debiased.pvalues_, kind="stable")[:N_SHOWN]:
        low, high = debiased.conf_int_[j]
        rows.append(
            (
                data.feature_names[j],
                f"{stable.selection_probabilities_[j]:.2f}",
                "yes" if knockoffs.get_support()[j] else "",
                f"{debiased.estimates_[j]:.1f}",
                f"{low:.1f} to {high:.1f}",
                f"{debiased.pvalues_corrected_[j]:.2g}",
                "" if np.isnan(given[j]) else f"{given[j]:.2g}",
            )
        )
    table = Table(
        (
            "feature",
            "share of halves",
            "knockoffs",
            "effect",
            "95 % interval",
            "p (Holm)",
            "p given the Lasso",
        ),
        tuple(rows),
        note=f"442 patients, {X.shape[1]} measurements and products of two, in "
        "standard deviations. Halves: at most one false feature expected from 0.75 on. "
        "Knockoffs: a fifth of those selected may be false; another draw of them may "
        "select nothing.",
        text_columns=1,
    )
    chosen = [data.feature_names[j] for j in stable.get_support(indices=True)]
    finding = (
        f"Three of four halves agree on {', '.join(chosen)} (at most "
        f"{stable.pfer_bound_:.2f} false ones expected); "
        f"{int((debiased.pvalues_corrected_ < 0.05).sum())} effects are away from zero "
        "when all are asked about at once."
    )
    glance = (
        f"{len(chosen)} features stay; false ones expected: at most "
        f"{stable.pfer_bound_:.2f}"
    )
    plot = _plot(stable, debiased, data.feature_names)
    return SectionResult(finding, table, plot, glance)


def _plot(stable, debiased, names):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    StabilityPathDisplay.from_estimator(
        stable, feature_names=names, ax=axes[0], name="halves"
    )
    IntervalDisplay.from_estimator(
        debiased, feature_names=names, ax=axes[1], name="intervals", max_features=10
    )
    return Plot(
        figure,
        "Left: how often each feature is among the first selected on a half. Right: "
        "effects with their intervals, and the shrunken coefficients of the Lasso.",
    )
