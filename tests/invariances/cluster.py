"""Subjects of clustering."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.cluster import (
    BalancedKMeans,
    CodingRateSubspaceClustering,
    DoublyStochasticClustering,
    LaplacianKMeans,
    LikelihoodAdjustedSDP,
    ProbabilisticPartitivePartitioning,
    SDPKMeans,
    kmeans_certificate,
)
from tests.invariances.engine import GRID, Out, Subject, satisfied, table


def _groups(seed, n=36, p=3, apart=6.0):
    """Return points in three groups that every start finds."""
    X = table(seed, n, p)
    for k in range(3):
        X[k::3, k] += apart
    return {"X": np.round(X / GRID) * GRID}


def _subspaces(seed):
    rng = np.random.RandomState(seed)
    bases = rng.standard_normal((3, 2, 8))
    X = np.vstack([rng.standard_normal((12, 2)) @ B for B in bases])
    return {"X": np.round(X / GRID) * GRID}


def _proved(certificate):
    return {
        "cost": certificate.details["cost"],
        "bound": certificate.lower_bound,
        "certified": float(certificate.certified),
    }


_PROVED = {
    "cost": Out({"X": 2, "sample_weight": 1}),
    # An allowance that grows with the origin is not taken: only one for rounding.
    "bound": Out({"X": 2, "sample_weight": 1}, rtol=1e-6),
    "certified": Out(),
}


def _certificate(label, **options):
    def run(X, sample_weight=None):
        return _proved(
            kmeans_certificate(X, _nearest(X), sample_weight=sample_weight, **options)
        )

    return Subject(label, run, _groups, _PROVED, sparse=True, weights=True, rtol=1e-9)


def _nearest(X):
    """Return the groups by which of three columns is largest beside the others'."""
    rows = X.toarray() if hasattr(X, "toarray") else np.asarray(X, dtype=float)
    rows = rows - np.median(rows, axis=0)
    return rows[:, :3].argmax(axis=1)


def _kmeans(label, **options):
    def run(X, sample_weight=None):
        model = SDPKMeans(3, random_state=0, **options)
        model.fit(X, sample_weight=sample_weight)
        order = np.lexsort(np.round(model.cluster_centers_.T, 3))
        return {
            "labels": model.labels_,
            "predict": model.predict(X),
            "centers": model.cluster_centers_[model.labels_],
            "distances": model.transform(X)[:, order].min(axis=1),
            "satisfied": satisfied(model),
            **_proved(model.certificate_),
        }

    outputs = {
        "labels": Out(rows=0, labels=True),
        "predict": Out(rows=0, labels=True),
        "centers": Out({"X": 1}, rows=0, features=1, moves="X"),
        "distances": Out({"X": 1}, rows=0),
        "satisfied": Out(),
        **_PROVED,
    }
    return Subject(label, run, _groups, outputs, sparse=True, weights=True)


def _clusterer(label, make, data=_groups, centers=None, **options):
    def run(X):
        model = make().fit(X)
        found = {"labels": model.labels_, "satisfied": satisfied(model)}
        if hasattr(model, "predict"):
            found["predict"] = model.predict(X)
        if centers:
            found["centers"] = getattr(model, centers)[model.labels_]
        return found

    outputs = {"labels": Out(rows=0, labels=True), "satisfied": Out()}
    if hasattr(make(), "predict"):
        outputs["predict"] = Out(rows=0, labels=True)
    if centers:
        outputs["centers"] = Out({"X": 1}, rows=0, features=1, moves="X")
    return Subject(label, run, data, outputs, **options)


SUBJECTS = [
    _certificate("kmeans_certificate"),
    _certificate("kmeans_certificate dual", method="dual"),
    _kmeans("SDPKMeans"),
    _kmeans("SDPKMeans admm", solver="admm"),
    _kmeans("SDPKMeans nlr", solver="nlr"),
    _kmeans("SDPKMeans sketch", solver="sketch", sketch_size=30),
    _clusterer(
        "BalancedKMeans",
        lambda: BalancedKMeans(3, random_state=0, n_init=5),
        centers="cluster_centers_",
    ),
    _clusterer(
        "DoublyStochasticClustering",
        lambda: DoublyStochasticClustering(3, random_state=0),
    ),
    *(
        _clusterer(
            f"LaplacianKMeans {prototype}",
            lambda prototype=prototype: LaplacianKMeans(
                3, prototype=prototype, n_init=5, random_state=0
            ),
            centers="cluster_centers_",
            sparse=prototype == "mean",
            # Modes are climbed to a tenth of tol.
            rtol=1e-6 if prototype == "mean" else 1e-4,
        )
        for prototype in ("mean", "mode")
    ),
    _clusterer(
        "LikelihoodAdjustedSDP",
        lambda: LikelihoodAdjustedSDP(3, random_state=0),
        centers="means_",
    ),
    _clusterer(
        "ProbabilisticPartitivePartitioning",
        lambda: ProbabilisticPartitivePartitioning(4, random_state=0),
        centers="cluster_centers_",
    ),
    _clusterer(
        "CodingRateSubspaceClustering",
        lambda: CodingRateSubspaceClustering(3, random_state=0),
        data=_subspaces,
    ),
]

_LINEAR = "subspaces go through the origin, which is not to be moved"

EXEMPT = {
    ("CodingRateSubspaceClustering", "shift X"): _LINEAR,
    ("CodingRateSubspaceClustering", "shift single X"): _LINEAR,
}

LEFT_OUT = {
    "KMeans1D": "points on a line: tests/cluster/test_kmeans1d.py",
    "select_n_clusters": "scores of random starts: tests/cluster/test_select.py",
}
