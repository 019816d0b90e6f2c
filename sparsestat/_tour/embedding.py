"""Tour, embeddings: real graphs that ship with networkx, and sparse products."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import SpectralEmbedding
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sparsestat
from sparsestat._tour._section import Mark, Plot, SectionResult, Table
from sparsestat.embedding import FastRP
from sparsestat.sparse import spgemm

NAME = "embedding"
TITLE = "Graph embeddings and sparse products"
ORDER = 70
GUIDE = "sparse_kernels_and_embeddings"
CODE = """
import networkx as nx
from sparsestat.embedding import FastRP

graph = nx.karate_club_graph()
model = FastRP(8, random_state=0)
vectors = model.fit_transform(graph)
print(vectors.shape, model.certificate_)
"""
N_STEPS = 7
RISING = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def run(progress):
    """Embed four graphs and classify their nodes; multiply sparse matrices."""
    progress("compiling the kernels (once, then cached)")
    sparsestat.warmup(["sparse", "embedding"])
    rows, ratios, fitted = [], [], {}
    for name, A, y, d, share in _graphs():
        progress(f"embedding {name}")
        row, ratio, model = _compare(name, A, y, d, share)
        rows.append(row)
        ratios.append(ratio)
        fitted[name] = model, A, y
    progress("multiplying sparse matrices")
    product = _product()
    progress("drawing")
    table = Table(
        (
            "graph",
            "labels",
            "nodes",
            "edges",
            "macro-F1",
            "spectral",
            "seconds",
            "spectral, s",
            "certificate",
        ),
        tuple(rows),
        note=f"Macro-F1 of logistic regression on the embedding, mean over 10 "
        "stratified splits: half of the nodes labeled, 10% of the planted partition. "
        "The other embedding is scikit-learn's SpectralEmbedding with "
        "eight components a class, at most 16. Times are of one fit. Underneath are "
        f"{product}.",
    )
    (karate, A, y) = fitted["karate club"]
    finding = (
        f"On the largest of {len(rows)} graphs FastRP took 1/{ratios[-1]:.0f} of the "
        f"time of the spectral embedding, with a macro-F1 of {rows[-1][4]} against "
        f"{rows[-1][5]}."
    )
    glance = (
        f"macro-F1 {rows[-1][4]} in {rows[-1][6]} s; spectral {rows[-1][5]} in "
        f"{rows[-1][7]} s"
    )
    return SectionResult(finding, table, _plot(karate, A, y), glance)


def _graphs():
    """Yield name, matrix, labels, components and labeled share of each graph."""
    import networkx as nx

    karate = nx.karate_club_graph()
    club = np.array([karate.nodes[i]["club"] for i in karate])
    yield "karate club", nx.to_scipy_sparse_array(karate), club, 16, 0.5
    novel = nx.les_miserables_graph()
    parts = nx.community.greedy_modularity_communities(novel, weight="weight")
    of = {node: f"part {k + 1}" for k, part in enumerate(parts) for node in part}
    part = np.array([of[node] for node in novel])
    yield "Les Misérables", nx.to_scipy_sparse_array(novel), part, 16, 0.5
    davis = nx.davis_southern_women_graph()
    side = np.array(
        ["event" if davis.nodes[i]["bipartite"] else "woman" for i in davis]
    )
    yield "Davis women", nx.to_scipy_sparse_array(davis), side, 16, 0.5
    yield "planted partition", *_planted(2500, 10, 16, seed=0), 64, 0.1


def _names(y):
    """Return the labels: both of two, a word for more."""
    names = sorted(set(y))
    kind = names[0].split()[0]
    return ", ".join(names) if len(names) == 2 else f"{len(names)} {kind}s"


def _planted(n, groups, degree, seed):
    """Return a graph of equal groups; half of the arcs stay inside."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % groups
    i = rng.integers(0, n, n * degree // 2)
    j = rng.integers(0, n, len(i))
    inside = rng.random(len(i)) < 0.5
    j[inside] = rng.integers(0, n // groups, inside.sum()) * groups + y[i[inside]]
    keep = i != j
    A = sparse.csr_array((np.ones(keep.sum()), (i[keep], j[keep])), shape=(n, n))
    A = sparse.csr_array(A + A.T)
    A.data[:] = 1.0
    return A, np.array([f"group {k}" for k in y])


def _compare(name, A, y, d, share):
    start = time.perf_counter()
    model = FastRP(d, weights=RISING, random_state=0).fit(A)
    seconds = time.perf_counter() - start
    spectral = SpectralEmbedding(
        min(16, 8 * len(np.unique(y)), A.shape[0] - 2),
        affinity="precomputed",
        random_state=0,
        eigen_solver="arpack",
    )
    start = time.perf_counter()
    other = spectral.fit_transform(sparse.csr_matrix(A))
    seconds_spectral = time.perf_counter() - start
    score, score_spectral = (_score(E, y, share) for E in (model.embedding_, other))
    row = (
        name,
        _names(y),
        f"{A.shape[0]}",
        f"{(A != 0).sum() // 2}",
        f"{score:.3f}",
        f"{score_spectral:.3f}",
        f"{seconds:.3f}",
        f"{seconds_spectral:.3f}",
        Mark(repr(model.certificate_), model.certificate_.satisfied, True),
    )
    return row, seconds_spectral / seconds, model


def _score(E, y, share):
    codes = np.unique(y, return_inverse=True)[1]
    usable = np.bincount(codes)[codes] >= 4
    E, y = E[usable], y[usable]
    splits = StratifiedShuffleSplit(10, train_size=share, random_state=0)
    scores = []
    for train, test in splits.split(E, y):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        predicted = model.fit(E[train], y[train]).predict(E[test])
        scores.append(f1_score(y[test], predicted, average="macro"))
    return float(np.mean(scores))


def _product():
    """Time the square of a sparse matrix beside SciPy's; return a sentence's part."""
    rng = np.random.default_rng(1)
    n, k = 30_000, 10
    places = np.repeat(np.arange(n), k), rng.integers(0, n, n * k)
    A = sparse.csr_array((rng.normal(size=n * k), places), shape=(n, n))
    A.sum_duplicates()
    ours, C = _time(lambda: spgemm(A, A))
    theirs, expected = _time(lambda: _sorted_square(A))
    same = np.array_equal(C.indices, expected.indices) and np.array_equal(
        C.data, expected.data
    )
    return (
        f"sparse products: the square of a matrix with {A.nnz:,} entries takes "
        f"{1e3 * ours:.0f} ms, SciPy {1e3 * theirs:.0f} ms with sorted rows, and is "
        f"{'equal to the last bit' if same else 'different'}"
    )


def _sorted_square(A):
    C = A @ A
    C.sort_indices()
    return C


def _time(function, repeats=5):
    times = []
    function()
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), result


def _plot(model, A, y):
    from sparsestat.plotting import EmbeddingDisplay

    display = EmbeddingDisplay.from_estimator(model, labels=y, graph=A, name="")
    return Plot(
        display.figure_,
        "Zachary's karate club: FastRP, its two leading directions. Members of the two "
        "later clubs fall apart without their labels having been used.",
    )
