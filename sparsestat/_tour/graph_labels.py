"""Tour, labels on graphs: digits from a hundred labels."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.semi_supervised import LabelPropagation, LabelSpreading

import sparsestat
from sparsestat._tour._section import Plot, SectionResult, Table, proof
from sparsestat._utils.parallel import single_blas_thread
from sparsestat.linear_model import GraphLabelPropagation

NAME = "graph_labels"
TITLE = "Labels on graphs"
ORDER = 15
GUIDE = "greedy_bcd"
CODE = """
import numpy as np
from sklearn.datasets import load_digits
from sparsestat.linear_model import GraphLabelPropagation

X, y = load_digits(return_X_y=True)
few = np.where(np.arange(len(y)) < 100, y, -1)
model = GraphLabelPropagation().fit(X, few)
print((model.transduction_ == y)[100:].mean())
"""
N_STEPS = 4
N_LABELED = 100
METHODS = {
    "cg": 1000,
    "gs": 1000,
    "greedy_tree": 400,
    "tree_partition": 400,
    "red_black": 400,
}


def run(progress):
    """Classify digits from few labels; return the finding, table and plot."""
    progress("compiling the kernels (once, then cached)")
    sparsestat.warmup(["linear_model"])
    X, digits = load_digits(return_X_y=True)
    with single_blas_thread():
        progress("digits from a hundred labels")
        peers, best, ours = _peers(X, digits)
        progress("ways to solve one system")
        models = _methods(X, digits)
    progress("drawing")
    finding = (
        f"With {N_LABELED} of {len(digits)} labels, {100 * ours:.1f} % of the other "
        f"digits are named right over their graph of neighbors, and "
        f"{100 * best:.1f} % by the best of the peers, on the same labels."
    )
    glance = f"{100 * ours:.1f} % of the others right, the best peer {100 * best:.1f} %"
    return SectionResult(finding, peers, _picture(models), glance)


def _hidden(digits, seed=0, n=N_LABELED):
    """Return the labels with all but n of them replaced by -1."""
    chosen = np.random.default_rng(seed).choice(len(digits), n, replace=False)
    y = np.full(len(digits), -1)
    y[chosen] = digits[chosen]
    return y


def _peers(X, digits):
    graphs = {
        "GraphLabelPropagation": GraphLabelPropagation(),
        "scikit-learn LabelPropagation, knn": LabelPropagation(
            kernel="knn", max_iter=5000
        ),
        "scikit-learn LabelSpreading, knn": LabelSpreading(kernel="knn"),
    }
    supervised = {
        "nearest neighbor, labels only": KNeighborsClassifier(1),
        "logistic regression, labels only": LogisticRegression(max_iter=1000),
    }
    rows, rights = [], {}
    for name, model in {**graphs, **supervised}.items():
        shares, seconds = [], []
        for seed in range(5):
            y = _hidden(digits, seed)
            known, others = y != -1, y == -1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                start = time.perf_counter()
                if name in graphs:
                    named = model.fit(X, y).transduction_
                else:
                    named = model.fit(X[known], y[known]).predict(X)
                seconds.append(time.perf_counter() - start)
            shares.append((named == digits)[others].mean())
        rights[name] = float(np.mean(shares))
        rows.append(
            (
                name,
                f"{100 * rights[name]:.1f} %",
                f"{100 * min(shares):.1f} %",
                f"{1e3 * np.median(seconds):.0f}",
                proof(model),
            )
        )
    ours = rights.pop("GraphLabelPropagation")
    table = Table(
        ("method", "right", "worst", "ms", "residual"),
        tuple(rows),
        note=f"Share of right answers among the {len(digits) - N_LABELED} digits "
        "without label: mean and worst of five random choices of the labeled ones. "
        "Time of one fit with everything, one thread.",
        text_columns=1,
    )
    return table, max(rights.values()), ours


def _methods(X, digits):
    """Solve the same system by all methods."""
    y, models = _hidden(digits), {}
    for method, max_iter in METHODS.items():
        with warnings.catch_warnings():
            # Descent by blocks is stopped early: the plot shows how far it came.
            warnings.simplefilter("ignore", ConvergenceWarning)
            models[method] = GraphLabelPropagation(
                method=method, max_iter=max_iter
            ).fit(X, y)
    return models


def _picture(models):
    import matplotlib.pyplot as plt

    from sparsestat.plotting._style import COLORS, DASHES, tidy

    figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for (method, model), dash, color in zip(
        models.items(), DASHES, COLORS, strict=False
    ):
        ax.semilogy(model.history_, label=method, linestyle=dash, color=color)
    ax.axhline(models["cg"].tol, color="0.6", linestyle="--", linewidth=1)
    ax.set(xlabel="iteration", ylabel="relative residual, worst class")
    tidy(ax)
    ax.legend(frameon=False, fontsize="small")
    return Plot(
        figure,
        "Five ways to solve the linear system behind it: an iteration visits every "
        "node about once. The dashed line is the tolerance.",
    )
