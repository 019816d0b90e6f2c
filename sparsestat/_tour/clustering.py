"""Tour, clustering: proofs for k-means, how many wines, equal shares, few labels."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.semi_supervised import LabelSpreading

import sparsestat
from sparsestat._tour._section import Mark, Plot, SectionResult, Table, proof
from sparsestat._utils.parallel import single_blas_thread
from sparsestat.cluster import (
    BalancedKMeans,
    LaplacianKMeans,
    ProbabilisticPartitivePartitioning,
    SDPKMeans,
    kmeans_certificate,
)
from sparsestat.plotting import ClusterDisplay

NAME = "clustering"
TITLE = "Clustering"
ORDER = 50
GUIDE = "clustering"
CODE = """
from sklearn.cluster import KMeans
from sklearn.datasets import load_wine
from sklearn.preprocessing import scale
from sparsestat.cluster import kmeans_certificate

X = scale(load_wine().data)
labels = KMeans(3, n_init=10, random_state=0).fit_predict(X)
print(kmeans_certificate(X, labels).gap)
"""
N_STEPS = 6


def run(progress):
    """Count clusters, keep sizes, use few labels."""
    progress("compiling the kernels (once, then cached)")
    sparsestat.warmup(["cluster"])
    with single_blas_thread():
        progress("how far k-means is from its optimum")
        proofs, gaps = _certificates()
        progress("how many kinds of flower and wine")
        counts, wine = _counts()
        progress("digits in equal shares")
        shares, balanced = _sizes()
        progress("digits from one label per class")
        labels, ours, peer = _labels()
    progress("drawing")
    finding = (
        f"No partition of the wines into three is more than {gaps['wine']:.1%} cheaper "
        f"than the one found, {wine.n_clusters_} clusters of wine are found without "
        "being told, ten equal shares of the digits differ by "
        f"{int(np.ptp(balanced.cluster_sizes_))} in size, and from one label per class "
        f"{100 * ours:.0f} % of the other digits get a wrong one, against "
        f"{100 * peer:.0f} % by label spreading."
    )
    table = Table(
        ("data", "estimator", "answer", "certificate", "time"),
        (*proofs, *counts, *shares, *labels),
        "Gap: the share of the cost that no other partition can save more than, by the "
        "quick certificate for scikit-learn's KMeans labels and by the relaxation. "
        "Certificates: whether the solver converged, whether two seeds agree, the gap "
        "of the last assignment to its dual bound, the last change of the energy. "
        "Wrong labels: among the unlabeled digits, mean of five draws.",
    )
    glance = f"wine: within {gaps['wine']:.1%} of the best partition into three"
    return SectionResult(finding, table, _picture(wine, balanced), glance)


def _clock(function):
    start = time.perf_counter()
    value = function()
    return value, f"{time.perf_counter() - start:.2f} s"


def _certificates():
    """Return rows and the gaps of the relaxation."""
    rows, gaps = [], {}
    problems = (("iris", 2, load_iris().data), ("wine", 3, _wine()[0]))
    for name, n_clusters, X in problems:
        labels = KMeans(n_clusters, n_init=10, random_state=0).fit_predict(X)
        quick, spent = _clock(lambda X=X, labels=labels: kmeans_certificate(X, labels))
        rows.append(
            (
                f"{name}, {n_clusters} clusters",
                "kmeans_certificate",
                f"gap {quick.gap:.1%}",
                "",
                spent,
            )
        )
        model, spent = _clock(
            lambda X=X, k=n_clusters: SDPKMeans(k, random_state=0).fit(X)
        )
        gaps[name] = model.gap_
        rows.append(
            (
                f"{name}, {n_clusters} clusters",
                "SDPKMeans",
                f"gap {model.gap_:.2%}",
                proof(model),
                spent,
            )
        )
    return rows, gaps


def _wine():
    X, y = load_wine(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def _counts():
    """Return rows and the model of the wines."""
    rows, models = [], {}
    for name, (X, y) in (("iris", load_iris(return_X_y=True)), ("wine", _wine())):
        fits = [
            _clock(
                lambda X=X, seed=seed: ProbabilisticPartitivePartitioning(
                    6, random_state=seed
                ).fit(X)
            )
            for seed in range(2)
        ]
        (first, spent), (second, _) = fits
        models[name] = first
        same = np.array_equal(first.labels_, second.labels_)
        core = first.core_mask_
        rows.append(
            (
                f"{name}, {len(np.unique(y))} classes",
                "ProbabilisticPartitivePartitioning",
                f"{first.n_clusters_} clusters, {100 * core.mean():.0f} % core",
                Mark("two seeds agree" if same else "seeds differ", same),
                spent,
            )
        )
    return rows, models["wine"]


def _sizes():
    """Return rows and the balanced model."""
    X, _ = load_digits(return_X_y=True)
    rows, models = [], {}
    for name, model in (
        ("KMeans", KMeans(10, n_init=10, random_state=0)),
        ("BalancedKMeans", BalancedKMeans(10, n_init=3, random_state=0)),
    ):
        models[name], spent = _clock(lambda model=model: model.fit(X))
        sizes = np.bincount(model.labels_, minlength=10)
        shown = ""
        if name == "BalancedKMeans":
            gap = model.certificate_.details["assignment_gap"]
            shown = Mark(f"{gap:.0e}", gap <= 1e-9, certified=True)
        rows.append(
            (
                "digits, ten shares",
                name,
                f"{sizes.min()} to {sizes.max()}",
                shown,
                spent,
            )
        )
    return rows, models["BalancedKMeans"]


def _labels():
    X, y = load_digits(return_X_y=True)
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    found = {"LaplacianKMeans": [], "LabelSpreading": []}
    took = dict.fromkeys(found, 0.0)
    for draw in range(5):
        rng = np.random.default_rng(draw)
        seeds = np.full(len(y), -1)
        for label in range(10):
            seeds[rng.choice(np.flatnonzero(y == label))] = label
        free = seeds < 0
        start = time.perf_counter()
        model = LaplacianKMeans(10, reg=2.0, random_state=0).fit(X, seeds=seeds)
        took["LaplacianKMeans"] += time.perf_counter() - start
        found["LaplacianKMeans"].append((model.labels_ != y)[free].mean())
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spreading = LabelSpreading(kernel="knn", n_neighbors=7).fit(X, seeds)
        took["LabelSpreading"] += time.perf_counter() - start
        found["LabelSpreading"].append((spreading.transduction_ != y)[free].mean())
    mean = {name: float(np.mean(errors)) for name, errors in found.items()}
    rows = [
        (
            "digits, one label per class",
            name,
            f"{100 * mean[name]:.0f} % wrong",
            proof(model) if name == "LaplacianKMeans" else "",
            f"{took[name] / 5:.2f} s",
        )
        for name in found
    ]
    return rows, mean["LaplacianKMeans"], mean["LabelSpreading"]


def _picture(wine, balanced):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, 4), layout="constrained", width_ratios=(1.2, 1)
    )
    ClusterDisplay.from_estimator(wine, _wine()[0], ax=left)
    left.set_title("wine: core points and others", fontsize="medium")
    ClusterDisplay.from_estimator(balanced, ax=right)
    right.set_title("digits in ten equal shares", fontsize="medium")
    return Plot(
        figure, "Clusters of wine, core points in full color; sizes of equal shares."
    )
