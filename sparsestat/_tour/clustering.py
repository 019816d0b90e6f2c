"""Tour, clustering: proofs for k-means, how many wines, equal shares, few labels."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import warnings

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.semi_supervised import LabelSpreading

import sparsestat
from sparsestat._tour._section import Mark, Plot, SectionResult, Table
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
        sizes, balanced = _sizes()
        progress("digits from one label per class")
        labels, ours, peer = _labels()
    progress("drawing")
    finding = (
        f"No partition of the iris flowers into two costs less than {gaps['iris']:.1%} "
        f"below the one found, none of the wines into three less than "
        f"{gaps['wine']:.1%}. "
        f"Among the wines {wine.n_clusters_} clusters were found without being told, "
        f"the same from both seeds, and {100 * wine.core_mask_.mean():.0f} % of the "
        f"bottles are core points. Ten equal shares of the digits differ by "
        f"{int(np.ptp(balanced.cluster_sizes_))} in size, each assignment proved "
        f"optimal. From one label per class {100 * ours:.0f} % of the other digits are "
        f"put in the wrong class on average, against {100 * peer:.0f} % by label "
        "spreading."
    )
    return SectionResult(
        finding, [proofs, counts, sizes, labels], [_picture(wine, balanced)]
    )


def _certificates():
    rows, gaps = [], {}
    digits = load_digits()
    some = np.isin(digits.target, (0, 1, 6))
    problems = (
        ("iris", 2, load_iris().data),
        ("wine", 3, _wine()[0]),
        ("digits 0, 1, 6", 3, digits.data[some]),
    )
    for name, n_clusters, X in problems:
        labels = KMeans(n_clusters, n_init=10, random_state=0).fit_predict(X)
        start = time.perf_counter()
        quick = kmeans_certificate(X, labels)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        model = SDPKMeans(n_clusters, random_state=0).fit(X)
        took = time.perf_counter() - start
        gaps[name] = model.gap_
        rows.append(
            (
                name,
                f"{n_clusters}",
                f"{quick.gap:.1%}",
                f"{seconds:.3f}",
                f"{model.gap_:.2%}",
                f"{took:.2f}",
            )
        )
    table = Table(
        ("data", "clusters", "quick gap", "s", "gap of the relaxation", "fit, s"),
        tuple(rows),
        title="How much cheaper could another partition be?",
        note="Quick: the rank-one certificate of scikit-learn's KMeans labels. The gap "
        "is the share of the cost that no other partition can save more than.",
        text_columns=1,
    )
    return table, gaps


def _wine():
    X, y = load_wine(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def _counts():
    rows, models = [], {}
    for name, (X, y) in (("iris", load_iris(return_X_y=True)), ("wine", _wine())):
        start = time.perf_counter()
        fits = [
            ProbabilisticPartitivePartitioning(6, random_state=seed).fit(X)
            for seed in range(2)
        ]
        seconds = (time.perf_counter() - start) / len(fits)
        first = models[name] = fits[0]
        same = all(np.array_equal(first.labels_, other.labels_) for other in fits)
        core = first.core_mask_
        rows.append(
            (
                name,
                f"{len(np.unique(y))}",
                f"{first.n_clusters_}",
                Mark("same labels" if same else "differ", same),
                f"{100 * core.mean():.0f} %",
                f"{adjusted_rand_score(y, first.labels_):.3f}",
                f"{adjusted_rand_score(y[core], first.labels_[core]):.3f}",
                f"{seconds:.2f}",
            )
        )
    table = Table(
        (
            "data",
            "classes",
            "clusters",
            "two seeds",
            "core",
            "ARI",
            "ARI of core",
            "fit, s",
        ),
        tuple(rows),
        title="Number of clusters, found or refused",
        note="k-means proposes, a Gaussian mixture has to confirm. ARI: agreement with "
        "the classes, of which two of the three kinds of iris overlap.",
    )
    return table, models["wine"]


def _sizes():
    X, y = load_digits(return_X_y=True)
    rows = []
    start = time.perf_counter()
    balanced = BalancedKMeans(10, n_init=3, random_state=0).fit(X)
    spent = time.perf_counter() - start
    plain = KMeans(10, n_init=10, random_state=0)
    start = time.perf_counter()
    plain.fit(X)
    seconds = time.perf_counter() - start
    for name, model, took in (
        ("KMeans", plain, seconds),
        ("BalancedKMeans", balanced, spent),
    ):
        sizes = np.bincount(model.labels_, minlength=10)
        gap = "–"
        if model is balanced:
            value = model.certificate_.details["assignment_gap"]
            gap = Mark(f"{value:.0e}", value <= 1e-9)
        rows.append(
            (
                name,
                f"{sizes.min()} to {sizes.max()}",
                f"{model.inertia_:.0f}",
                gap,
                f"{_error(y, model.labels_):.3f}",
                f"{took:.2f}",
            )
        )
    table = Table(
        ("method", "sizes", "cost", "assignment gap", "error", "s"),
        tuple(rows),
        title="Digits in ten shares",
        note="Equal sizes cost more in distance; the gap compares the last assignment "
        "with its dual bound.",
    )
    return table, balanced


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
    best = min(mean, key=mean.get)
    table = Table(
        ("method", "error", "worst of five", "fit, s"),
        tuple(
            (
                name,
                Mark(f"{mean[name]:.3f}", name == best),
                f"{max(errors):.3f}",
                f"{took[name] / 5:.2f}",
            )
            for name, errors in found.items()
        ),
        title="Digits from one label per class",
        note="Error on the unlabelled digits over five draws of the ten labelled ones.",
        text_columns=1,
    )
    return table, mean["LaplacianKMeans"], mean["LabelSpreading"]


def _error(y, labels):
    table = contingency_matrix(y, labels)
    rows, columns = linear_sum_assignment(-table)
    return 1.0 - table[rows, columns].sum() / len(y)


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
        figure, "Clusters of wine, core points in full colour; sizes of equal shares."
    )
