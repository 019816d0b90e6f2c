"""QuickSelection: time against a port of the original, accuracy on eight tables."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
from scipy import sparse
from scipy.linalg import eigh
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_wine,
    make_classification,
)
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import lars_path
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.neighbors import kneighbors_graph
from sklearn.preprocessing import minmax_scale

from benchmarks._harness import measure
from sparsestat.feature_selection import QuickSelection

TITLE = "QuickSelection: features by the strength of a sparse autoencoder"
CLAIM = (
    "Targets; the rows show which are met: 20 times as fast as the original's path "
    "through NumPy and SciPy at equal epochs, and as accurate. No claim of accuracy "
    "against other selections: all rows are printed."
)
PEERS = ("scikit-learn",)


class Port:
    """The original algorithm on NumPy and SciPy arrays.

    With `loop` the gradient is a loop over connections, as in the original without its
    compiled extension (which loops over samples too); else it is one expression.
    """

    def __init__(
        self, n_hidden=1000, epsilon=13, zeta=0.2, n_epochs=10, seed=0, loop=False
    ):
        self.h, self.epsilon, self.zeta = n_hidden, epsilon, zeta
        self.n_epochs, self.seed, self.loop = n_epochs, seed, loop

    def fit(self, X):
        rng = np.random.default_rng(self.seed)
        X = minmax_scale(X)
        n, p = X.shape
        layers = [self._layer((p, self.h), rng), self._layer((self.h, p), rng)]
        biases = [np.zeros(self.h), np.zeros(p)]
        momenta = [np.zeros(len(layer[0])) for layer in layers]
        bias_momenta = [np.zeros(self.h), np.zeros(p)]
        for epoch in range(self.n_epochs):
            order = rng.permutation(n)
            for first in range(0, n, 100):
                x = X[order[first : first + 100]]
                noisy = x + 0.2 * rng.standard_normal(x.shape)
                W1, W2 = (
                    sparse.csr_matrix((w, (r, c)), shape=shape)
                    for (r, c, w), shape in zip(
                        layers, ((p, self.h), (self.h, p)), strict=True
                    )
                )
                hidden = 1 / (1 + np.exp(-(noisy @ W1 + biases[0])))
                mask = (rng.random(hidden.shape) >= 0.2) / 0.8
                dropped = hidden * mask
                error = dropped @ W2 + biases[1] - x
                back = (W2 @ error.T).T * hidden * (1 - hidden) * mask
                for k, (a, delta) in enumerate(((noisy, back), (dropped, error))):
                    rows, columns, w = layers[k]
                    if self.loop:
                        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
                        gradient = [a[:, r] @ delta[:, c] for r, c in pairs]
                        gradient = np.array(gradient) / len(a)
                    else:
                        gradient = (a[:, rows] * delta[:, columns]).mean(axis=0)
                    momenta[k] = 0.9 * momenta[k] - 0.01 * (gradient + 1e-5 * w)
                    layers[k] = rows, columns, w + momenta[k]
                    bias_momenta[k] = 0.9 * bias_momenta[k] - 0.01 * delta.mean(axis=0)
                    biases[k] = biases[k] + bias_momenta[k]
            if epoch < self.n_epochs - 1:
                for k, shape in enumerate(((p, self.h), (self.h, p))):
                    layers[k], momenta[k] = self._evolve(
                        layers[k], momenta[k], shape, rng
                    )
        rows, _, w = layers[0]
        self.strengths_ = np.bincount(rows, weights=abs(w), minlength=p)
        return self

    def _layer(self, shape, rng):
        count = min(int(self.epsilon * sum(shape)), shape[0] * shape[1])
        places = rng.choice(shape[0] * shape[1], count, replace=False)
        return *np.divmod(places, shape[1]), 0.1 * rng.standard_normal(count)

    def _evolve(self, layer, momentum, shape, rng):
        rows, columns, w = layer
        low = np.sort(w[w > 0])[int(self.zeta * (w > 0).sum())]
        high = np.sort(w[w < 0])[::-1][int(self.zeta * (w < 0).sum())]
        keep = (w >= low) | (w <= high)
        taken = set((rows[keep] * shape[1] + columns[keep]).tolist())
        new = []
        while len(new) < (~keep).sum():
            place = int(rng.integers(shape[0] * shape[1]))
            if place not in taken:
                taken.add(place)
                new.append(place)
        r, c = np.divmod(np.array(new, dtype=int), shape[1])
        fresh = 0.1 * rng.standard_normal(len(new))
        layer = (
            np.concatenate([rows[keep], r]),
            np.concatenate([columns[keep], c]),
            np.concatenate([w[keep], fresh]),
        )
        return layer, np.concatenate([momentum[keep], np.zeros(len(new))])


def laplacian_score(X):
    """Return scores (He, Cai, Niyogi 2005), larger is better."""
    X = minmax_scale(X)
    W = kneighbors_graph(X, 5, mode="distance")
    width = np.median(W.data) or 1.0
    W.data = np.exp(-((W.data / width) ** 2))
    W = W.maximum(W.T)
    d = np.asarray(W.sum(axis=1)).ravel()
    F = X - (d @ X) / d.sum()
    spread = (F * F * d[:, None]).sum(axis=0)
    rough = spread - (F * (W @ F)).sum(axis=0)
    return -np.where(spread > 0, rough / np.where(spread > 0, spread, 1), np.inf)


def mcfs_score(X, n_clusters, k):
    """Return scores of multi-cluster feature selection (Cai, Zhang, He 2010)."""
    X = minmax_scale(X)
    W = kneighbors_graph(X, 5, mode="connectivity")
    W = W.maximum(W.T).toarray()
    D = np.diag(W.sum(axis=1))
    last = min(n_clusters, len(X) - 1)
    _, Y = eigh(D - W, D, subset_by_index=[1, last])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coefficients = [
            lars_path(X - X.mean(axis=0), y, max_iter=k, method="lar")[2][:, -1]
            for y in Y.T
        ]
    return np.abs(coefficients).max(axis=0)


def tables():
    from sparsestat.datasets import load_breast_cancer_interactions

    rng = np.random.default_rng(71)
    X, y = load_digits(return_X_y=True)
    yield "digits", X, y
    yield "digits and as much noise", np.hstack([X, 4 * rng.normal(size=X.shape)]), y
    moved = np.roll(X.reshape(-1, 8, 8), 1, axis=2).reshape(len(X), -1)
    yield "digits and shifted digits", np.hstack([X, moved]), y
    yield "breast cancer", *load_breast_cancer(return_X_y=True)
    wide = load_breast_cancer_interactions()
    yield "breast cancer, products", wide.data, wide.target
    yield "wine", *load_wine(return_X_y=True)
    yield (
        "20 redundant, 10 informative of 300",
        *make_classification(
            800, 300, n_informative=10, n_redundant=20, n_classes=3, random_state=72
        ),
    )
    causes = rng.normal(size=(600, 4))
    made = causes @ rng.normal(size=(4, 200)) + 0.5 * rng.normal(size=(600, 200))
    X = np.hstack([made, rng.normal(size=(600, 200))])
    yield "200 of four causes, 200 noise", X, np.argmax(causes, axis=1)


def clustering_accuracy(X, y, k):
    labels = KMeans(k, n_init=3, random_state=0).fit_predict(minmax_scale(X))
    counts = confusion_matrix(np.unique(y, return_inverse=True)[1], labels)
    rows, columns = linear_sum_assignment(-counts)
    return counts[rows, columns].sum() / len(y)


def run(quick=False):
    """Return times and accuracies."""
    rng = np.random.default_rng(70)
    X = rng.random((500 if quick else 3000, 784))
    ours = measure(lambda: QuickSelection(n_epochs=2, random_state=0).fit(X), 3)
    rows = []
    for name, loop in (("", False), (", the port's gradient in a loop", True)):
        port = measure(
            lambda loop=loop: Port(n_epochs=2, loop=loop).fit(X),
            1 if loop else 3,
            warm=False,
        )
        rows.append(
            [
                f"seconds: {len(X)} x 784, two epochs{name}",
                f"{ours.median:.2f}",
                f"{port.median:.2f} ({port.median / ours.median:.0f} x)",
                *["-"] * 5,
            ]
        )
    for name, X, y in list(tables())[: 2 if quick else None]:
        X = np.asarray(X, dtype=float)
        n_classes, p = len(np.unique(y)), X.shape[1]
        k = max(5, p // 5)
        splits = StratifiedShuffleSplit(
            2 if quick else 5, train_size=0.7, random_state=73
        )
        scores = []
        for seed, (train, test) in enumerate(splits.split(X, y)):
            A = X[train]
            chosen = [
                QuickSelection(random_state=seed).fit(A).feature_strengths_,
                Port(n_epochs=20, seed=seed).fit(A).strengths_,
                QuickSelection(scaling="standard", random_state=seed)
                .fit(A)
                .feature_strengths_,
                minmax_scale(A).var(axis=0),
                laplacian_score(A),
                mcfs_score(A, n_classes, k),
                np.nan_to_num(SelectKBest(f_classif).fit(A, y[train]).scores_),
            ]
            row = []
            for value in chosen:
                best = np.argsort(-value, kind="stable")[:k]
                trees = ExtraTreesClassifier(50, random_state=seed)
                trees.fit(A[:, best], y[train])
                row.append(
                    (
                        trees.score(X[test][:, best], y[test]),
                        clustering_accuracy(X[:, best], y, n_classes),
                    )
                )
            scores.append(row)
        mean = np.mean(scores, axis=0)
        rows.append(
            [
                f"{name}: {k} of {p}",
                *(f"{a:.3f} / {b:.3f}" for a, b in mean),
            ]
        )
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": [
            "what",
            "QuickSelection",
            "port of the original",
            "QuickSelection, standard",
            "variance",
            "Laplacian score",
            "MCFS",
            "F test (supervised)",
        ],
        "rows": rows,
        "notes": [
            "Accuracy of extra-trees on the selected features / of K-means with the "
            "best assignment of clusters; means over 5 splits. All "
            "without labels but the last. 20 epochs, 1000 hidden units.",
            "The port follows the original's algorithm through SciPy's products. Its "
            "gradient is one expression but in the second row, where it loops over "
            "connections as the original's path without compiled code does.",
        ],
    }
