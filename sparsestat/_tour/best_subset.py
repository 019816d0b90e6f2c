"""Tour, best subset: few features, not shrunk, beside the Lasso."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from sparsestat._tour._section import Plot, SectionResult, Table
from sparsestat._utils.parallel import single_blas_thread

NAME = "best_subset"
TITLE = "Best subsets"
ORDER = 13
GUIDE = "hard_regression"
CODE = """
from sparsestat.datasets import load_diabetes_interactions
from sparsestat.linear_model import BestSubsetRegressor

data = load_diabetes_interactions(degree=2)
model = BestSubsetRegressor().fit(data.data, data.target)
print([data.feature_names[j] for j in model.support_])
"""
N_STEPS = 3
N_SPLITS = 5


def run(progress):
    """Select measurements of patients; return the finding, table and plot."""
    from sparsestat.datasets import load_diabetes_interactions
    from sparsestat.linear_model import (
        BestSubsetClassifier,
        BestSubsetRegressor,
        LassoCV,
        SparseLogisticRegressionCV,
    )

    with single_blas_thread():
        progress("diabetes: best subsets and the Lasso")
        data = load_diabetes_interactions(degree=2)
        problem = "diabetes, squares and products"
        rows = []
        found = {
            name: _held_out(make, data.data, data.target)
            for name, make in (
                ("best subset, GIC", BestSubsetRegressor),
                ("Lasso, CV", lambda: LassoCV(alphas=20, eps=1e-2, cv=3)),
            )
        }
        for name, (used, score, seconds) in found.items():
            rows.append(
                (problem, name, f"{used:.1f} of {data.data.shape[1]}", f"{score:.3f}",
                 f"{1e3 * seconds:.0f} ms")
            )  # fmt: skip
        progress("tumors: best subsets and the l1 penalty")
        tumors = load_breast_cancer()
        X = (tumors.data - tumors.data.mean(axis=0)) / tumors.data.std(axis=0)
        for name, make in (
            ("best subset, GIC", lambda: BestSubsetClassifier(max_nonzero_coefs=8)),
            (
                "l1, CV",
                lambda: SparseLogisticRegressionCV(alphas=15, eps=1e-2, cv=3),
            ),
        ):
            used, score, seconds = _held_out(make, X, tumors.target)
            rows.append(
                ("tumors", name, f"{used:.1f} of 30", f"{score:.3f}",
                 f"{1e3 * seconds:.0f} ms")
            )  # fmt: skip
        model = BestSubsetRegressor(max_nonzero_coefs=15).fit(data.data, data.target)
    progress("drawing")
    names = np.asarray(data.feature_names)[model.support_]
    (used, score, _), (lasso_used, lasso_score, _) = found.values()
    table = Table(
        columns=("data", "model", "features", "held-out score", "time"),
        rows=tuple(rows),
        note=f"Means over {N_SPLITS} splits into three quarters and one. The score is "
        "R² for diabetes and the accuracy for tumors.",
    )
    finding = (
        f"{used:.1f} unshrunken features predict the progression of diabetes with an "
        f"R² of {score:.3f} on held-out patients, where the Lasso reaches "
        f"{lasso_score:.3f} with {lasso_used:.1f}."
    )
    plot = Plot(
        _draw(model, data.target),
        "What each further feature explains, and the criterion that stops at "
        f"{model.n_nonzero_coefs_} of {data.data.shape[1]} on all patients: "
        f"{', '.join(names)}.",
    )
    glance = (
        f"{used:.1f} features: R² {score:.3f}; the Lasso, {lasso_used:.1f}: "
        f"{lasso_score:.3f}"
    )
    return SectionResult(finding, table, plot, glance)


def _held_out(make, X, y):
    """Return features used, held-out score and seconds, means over splits."""
    figures = []
    for split in range(N_SPLITS):
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=0.25, random_state=split
        )
        if not split:
            make().fit(X_train, y_train)  # compiles
        start = time.perf_counter()
        model = make().fit(X_train, y_train)
        seconds = time.perf_counter() - start
        used = np.count_nonzero(np.atleast_2d(model.coef_).any(axis=0))
        figures.append((used, model.score(X_test, y_test), seconds))
    return tuple(float(column) for column in np.mean(figures, axis=0))


def _draw(model, y):
    import matplotlib.pyplot as plt

    from sparsestat.plotting._style import COLORS, INK, tidy

    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.8), layout="constrained")
    sizes = model.path_.sizes
    left.plot(
        sizes, 1.0 - 2.0 * model.path_.losses / np.var(y), "o-", ms=4, color=COLORS[0]
    )
    left.set(xlabel="features", ylabel="R², all patients")
    right.plot(sizes, model.criterion_path_, "o-", ms=4, color=COLORS[0])
    right.plot(
        model.n_nonzero_coefs_,
        model.criterion_path_.min(),
        "o",
        mfc="none",
        ms=11,
        c=INK,
    )
    right.set(xlabel="features", ylabel="information criterion (GIC)")
    for ax in (left, right):
        ax.set_xticks(sizes[::3])
        tidy(ax)
    return figure
