"""FastRP: time and classification against two peers, and a graph of 1e7 edges."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import json
import os
import subprocess
import sys
import warnings

import networkx as nx
import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

os.environ.setdefault("RAYON_NUM_THREADS", "1")  # the PyPI package, one thread too

from benchmarks._graphs import alternate, uniform
from sparsestat.embedding import FastRP
from sparsestat.embedding._propagation import block_width

TITLE = "FastRP: graph embedding by very sparse random projection"
CLAIM = (
    "Targets; the rows show which are met: "
    "At equal powers and components at least as fast as the PyPI package fastrp; "
    "macro-F1 at least that of scikit-network's random projection; 1e6 nodes and 1e7 "
    "edges in 128 components under 30 s on 2 cores, with peak memory below twice the "
    "embedding plus the graph."
)
PEERS = ("fastrp", "scikit-network", "networkx")


def symmetric(n, per_row, seed):
    """Return an unweighted undirected graph with about per_row * n / 2 edges."""
    A = uniform(n, per_row // 2, seed=seed)
    A.data[:] = 1.0
    A = (A + A.T).tocsr()
    A.data[:] = 1.0
    return A


def planted(n, groups, inside, between, seed):
    """Return a planted partition: mean degrees within and between groups."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % groups
    pairs = []
    for degree, same in ((inside, True), (between, False)):
        a = rng.integers(0, n, n * degree // 2)
        if same:
            b = rng.integers(0, n // groups, len(a)) * groups + y[a]
        else:
            b = rng.integers(0, n, len(a))
        pairs.append((a, b))
    i = np.concatenate([p[0] for p in pairs])
    j = np.concatenate([p[1] for p in pairs])
    keep = i != j
    A = sparse.csr_matrix((np.ones(keep.sum()), (i[keep], j[keep])), shape=(n, n))
    A = A + A.T
    A.data[:] = 1.0
    return A, y


def bundled():
    """Return graphs of networkx that carry labels, or whose communities serve."""
    karate = nx.karate_club_graph()
    yield (
        "karate: club",
        nx.to_scipy_sparse_array(karate),
        np.array([karate.nodes[i]["club"] == "Officer" for i in karate]),
    )
    novel = nx.les_miserables_graph()
    parts = nx.community.greedy_modularity_communities(novel, weight="weight")
    of = {node: k for k, part in enumerate(parts) for node in part}
    yield (
        "Les Miserables: modularity communities",
        nx.to_scipy_sparse_array(novel),
        np.array([of[node] for node in novel]),
    )
    davis = nx.davis_southern_women_graph()
    yield (
        "Davis: women or events",
        nx.to_scipy_sparse_array(davis),
        np.array([davis.nodes[i]["bipartite"] for i in davis]),
    )


def run(quick=False):
    """Return the tables of times, scores and scale in one."""
    rows, notes = [], []
    rows += _time_rows(quick, notes)
    rows += _score_rows(quick, notes)
    rows += _scale_rows(quick, notes)
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": ["what", "sparsestat", "peer", "ratio or difference"],
        "rows": rows,
        "notes": notes,
    }


def _time_rows(quick, notes):
    try:
        import fastrp
    except ImportError as error:
        notes.append(f"fastrp was left out: {error}")
        return []
    from sknetwork.embedding import RandomProjection

    notes.append(
        "Times: one thread each, medians of alternating runs in ms. fastrp sums the "
        "powers and does nothing else, as ours with normalize_powers=False and "
        "output=None; with our defaults rows are normalized and columns standardized."
    )
    rows = []
    sizes = [(10_000, 10)] if quick else [(50_000, 10), (200_000, 20)]
    for n, per_row in sizes:
        A = symmetric(n, per_row, seed=31)
        indptr, indices = A.indptr.astype(np.int64), A.indices.astype(np.int64)
        for weights in ((0.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0)):
            common = {"weights": weights, "random_state": 0}
            calls = {
                "plain": lambda A=A, c=common: FastRP(
                    128, normalize_powers=False, output=None, **c
                ).fit(A),
                "default": lambda A=A, c=common: FastRP(128, **c).fit(A),
                "fastrp": lambda A=A, p=indptr, i=indices, w=weights: fastrp.fit_csr(
                    p,
                    i,
                    A.data,
                    A.shape[0],
                    128,
                    list(w),
                    seed=0,
                    undirected=False,
                ),
            }
            if n <= 50_000 and len(weights) == 4:
                calls["sknetwork"] = lambda A=A: RandomProjection(
                    128, n_iter=4, random_state=0
                ).fit_transform(A)
            times = alternate(calls, 3 if quick else 5)
            label = f"n = {n:.0e}, {A.nnz:.1e} entries, {len(weights)} powers"
            for ours, peer in [
                ("plain", "fastrp"),
                ("default", "fastrp"),
                ("default", "sknetwork"),
            ]:
                if peer in times:
                    rows.append(
                        [
                            f"ms, {label}: {ours} against {peer}",
                            _shown(times[ours]),
                            _shown(times[peer]),
                            f"{times[peer][0] / times[ours][0]:.2f} times",
                        ]
                    )
    return rows


def _score_rows(quick, notes):
    from sknetwork.embedding import RandomProjection

    notes.append(
        "Scores: macro-F1 (micro-F1), means over 10 stratified splits, standardized "
        "embeddings, logistic regression with C=0.1 for both; the difference is that "
        "of macro-F1 with the standard error of the paired differences. 10% of the "
        "nodes of planted partitions are labeled, half of those of bundled graphs."
    )
    data = [
        (f"planted n={n}, {g} groups, degrees {a}+{b}", *planted(n, g, a, b, 41), 0.1)
        for n, g, a, b in ([(1000, 5, 8, 8)] if quick else PARTITIONS)
    ]
    data += [(name, A, y, 0.5) for name, A, y in bundled()]
    rows = []
    for name, A, y, share in data:
        d = 128 if A.shape[0] > 500 else 16
        embeddings = {
            "default": FastRP(d, random_state=0).fit_transform(A),
            "rising": FastRP(d, weights=RISING, random_state=0).fit_transform(A),
            "peer": RandomProjection(d, n_iter=4, random_state=0).fit_transform(
                sparse.csr_matrix(A)
            ),
        }
        scores = _scores(embeddings, y, share)
        for side in ("default", "rising"):
            difference = scores[side][:, 0] - scores["peer"][:, 0]
            error = difference.std(ddof=1) / np.sqrt(len(difference))
            rows.append(
                [
                    f"F1, {name}, d = {d}, {side} weights",
                    *(
                        "{:.3f} ({:.3f})".format(*scores[s].mean(axis=0))
                        for s in (side, "peer")
                    ),
                    f"{difference.mean():+.3f} +- {error:.3f}",
                ]
            )
    notes.append(
        "The peer of the scores is scikit-network's RandomProjection, whose powers of "
        "the adjacency matrix grow with its eigenvalues, so that the last one counts "
        f"most; rising weights are {RISING}."
    )
    return rows


RISING = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
PARTITIONS = [(5000, 10, 8, 8), (5000, 20, 6, 10), (20_000, 50, 8, 8)]


def _scores(embeddings, y, share):
    counts = np.bincount(np.unique(y, return_inverse=True)[1])
    usable = counts[np.unique(y, return_inverse=True)[1]] >= 4
    splits = StratifiedShuffleSplit(10, train_size=share, random_state=0)
    scores = {name: [] for name in embeddings}
    for train, test in splits.split(y[usable], y[usable]):
        for name, E in embeddings.items():
            model = make_pipeline(
                StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(E[usable][train], y[usable][train])
            predicted = model.predict(E[usable][test])
            scores[name].append(
                [
                    f1_score(y[usable][test], predicted, average=average)
                    for average in ("macro", "micro")
                ]
            )
    return {name: np.array(values) for name, values in scores.items()}


_SCALE = """
import json, time
import numpy as np
from scipy import sparse
from benchmarks._harness import memory
from sparsestat.embedding import FastRP

n, edges, limit, jobs = {n}, {edges}, {limit}, {jobs}

def graph(n, edges):
    rng = np.random.default_rng(51)
    i, j = rng.integers(0, n, (2, edges), dtype=np.int32)
    ends = np.concatenate([i, j]), np.concatenate([j, i])
    A = sparse.csr_array((np.ones(2 * edges, np.float32), ends), shape=(n, n))
    A.sum_duplicates()
    A.data[:] = 1
    return A

small = graph(60, 400)
FastRP(32, random_state=0, max_memory=limit and 1.6e4).fit(small)  # compiles
A = graph(n, edges)
size = A.data.nbytes + A.indices.nbytes + A.indptr.nbytes
open("/proc/self/clear_refs", "w").write("5")  # peak memory starts anew
before = memory("VmRSS")
start = time.perf_counter()
model = FastRP(128, random_state=0, max_memory=limit, n_jobs=jobs).fit(A)
seconds = time.perf_counter() - start
print(json.dumps(dict(
    seconds=seconds,
    peak=memory("VmHWM") - before + size,
    graph=size,
    embedding=model.embedding_.nbytes,
    block=model.block_width_,
)))
"""


def _scale_rows(quick, notes):
    rows = []
    cases = [(20_000, 200_000)] if quick else [(1_000_000, 10_000_000)]
    for n, edges in cases:
        embedding = 4 * n * 128
        for limit, jobs in ((None, 2), (1.9 * embedding, 1), (1.9 * embedding, 2)):
            out = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    _SCALE.format(n=n, edges=edges, limit=limit, jobs=jobs),
                ],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "NUMBA_NUM_THREADS": "2"},
            )
            found = json.loads(out.stdout)
            allowed = 2 * found["embedding"] + found["graph"]
            rows.append(
                [
                    f"scale, n = {n:.0e}, {edges:.0e} edges, d = 128, {jobs} threads, "
                    f"blocks of {found['block']}",
                    f"{found['seconds']:.1f} s",
                    f"{found['peak'] / 1e6:.0f} MB",
                    f"{found['peak'] / allowed:.2f} of 2 embeddings + graph",
                ]
            )
    notes.append(
        "Scale: the second number is the growth of peak memory during the fit plus the "
        "graph. Plan for 1e7 nodes, 1e8 entries, 128 components, 4 powers in 9 GB: "
        f"blocks of {block_width(10**7, 128, 4, 4, 9e9)} components, "
        "that is 5.1 GB for the embedding, 2.6 GB for two blocks, 0.7 GB for degrees "
        "and norms, beside 0.4 GB of column indices (weights are equal: not read)."
    )
    return rows


def _shown(times):
    return f"{times[0]:.0f} [{times[1]:.0f}, {times[2]:.0f}]"
