"""Retrieval: sparse inner products, an inverted index, encodings of sets."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import contextlib
import io
import os
import time

import numpy as np
from scipy import sparse

os.environ.setdefault("RAYON_NUM_THREADS", "1")  # the Rust packages, one thread too

from benchmarks._harness import measure, milliseconds
from sparsestat.neighbors import FixedDimensionalEncoder, SparseNeighbors
from sparsestat.sparse import topk_product

TITLE = "Retrieval of sparse vectors and of sets of vectors"
CLAIM = (
    "Targets; the rows show which are met: topk_product twice as fast as "
    "sparse_dot_topn; the index within 1.5 times the query time of pyseismic-lsr at a "
    "recall of at least .95, built within 3 times its time; encodings 10 times as fast "
    "as muvera-python in NumPy and on a par with its Rust code, at equal recall."
)
PEERS = ("sparse_dot_topn", "pyseismic-lsr", "muvera-python")
K = 10


def expanded_texts(n, n_queries, seed, *, words=30_000, topics=500, width=400):
    """Return documents and queries like those of learned sparse encoders.

    A text draws 60% of its words (a query 80%) from two of the topics, whose words and
    weights are fixed, the rest from all words; word frequencies follow a power law.
    """
    rng = np.random.default_rng(seed)
    common = 1 / np.arange(10, words + 10)
    common = rng.permutation(common / common.sum())
    of_topic = np.stack(
        [rng.choice(words, width, p=common, replace=False) for _ in range(topics)]
    )
    weight = rng.lognormal(0, 0.6, (topics, width))
    within = 1 / np.arange(3, width + 3) ** 0.8
    popular = 1 / np.arange(5, topics + 5) ** 0.7

    def draw(m, length, share):
        topic = rng.choice(topics, (m, 2), p=popular / popular.sum())
        rows = np.repeat(np.arange(m), np.maximum(3, rng.poisson(length, m)))
        size = len(rows)
        of = topic[rows, (rng.random(size) < 0.3).astype(int)]
        word = rng.choice(width, size, p=within / within.sum())
        inside = rng.random(size) < share
        columns = np.where(
            inside, of_topic[of, word], rng.choice(words, size, p=common)
        )
        values = np.where(inside, weight[of, word], 0.3) * rng.lognormal(0, 0.4, size)
        X = sparse.coo_array((values.astype(np.float32), (rows, columns)), (m, words))
        X = sparse.csr_array(X)
        X.sum_duplicates()
        return X

    return draw(n, 120, 0.6), draw(n_queries, 40, 0.8)


def recall(found, truth):
    return float(np.mean([len(set(a) & t) / K for a, t in zip(found, truth)]))  # noqa: B905


def run(quick=False):
    """Return the tables of products, of the index and of encodings in one."""
    notes = []
    rows = _product_rows(quick, notes)
    rows += _index_rows(quick, notes)
    rows += _encoding_rows(quick, notes)
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": ["what", "setting", "sparsestat", "peer", "x peer", "quality"],
        "rows": rows,
        "notes": [
            "One thread each; median and half range of the runs, after one that is not "
            "counted. Ratios above 1: sparsestat is faster.",
            *notes,
        ],
    }


def _product_rows(quick, notes):
    try:
        import sparse_dot_topn
    except ImportError as error:
        notes.append(f"sparse_dot_topn was left out: {error}")
        return []
    rows = []
    sizes = [(20_000, 30_000, 20), (100_000, 100_000, 10), (100_000, 30_000, 120)]
    for n, m, length in sizes[:1] if quick else sizes:
        rng = np.random.default_rng(n + m)
        p = 1 / np.arange(1, m + 1) ** 0.8
        columns = rng.choice(m, n * length, p=p / p.sum())
        places = np.repeat(np.arange(n), length), columns
        values = rng.lognormal(size=len(columns)).astype(np.float32)
        X = sparse.csr_matrix((values, places), shape=(n, m))
        X.sum_duplicates()
        Q, T = X[: 500 if length > 100 else 20_000], sparse.csr_matrix(X.T)

        def theirs(Q=Q, T=T):
            return sparse_dot_topn.sp_matmul_topn(Q, T, K, n_threads=1)

        ours, peer = measure(lambda Q=Q, T=T: topk_product(Q, T, K)), measure(theirs)
        # Equal entries may be chosen differently: their sums are compared.
        sums = [np.asarray(t.value.sum(axis=1)).ravel() for t in (ours, peer)]
        gap = (abs(sums[0] - sums[1]) / sums[1].max()).max()
        rows.append(
            [
                "topk_product / sparse_dot_topn",
                f"{Q.shape[0]} x {n} rows, {length} entries each",
                milliseconds(ours) + " ms",
                milliseconds(peer) + " ms",
                f"{peer.median / ours.median:.1f}",
                f"relative difference {gap:.0e}",
            ]
        )
    return rows


def _index_rows(quick, notes):
    try:
        import seismic
    except ImportError as error:
        notes.append(f"pyseismic-lsr was left out: {error}")
        return []
    n = 10_000 if quick else 100_000
    X, Q = expanded_texts(n, 500, seed=41)
    exact = SparseNeighbors(K, algorithm="exact").fit(X)
    brute = measure(lambda: exact.kneighbors(Q, return_distance=False), repeat=3)
    truth = [set(row) for row in brute.value]
    postings = {"n_postings": 500, "centroid_fraction": 0.1, "summary_energy": 0.4}
    start = time.perf_counter()
    model = SparseNeighbors(K, random_state=0, **postings).fit(X)
    built = time.perf_counter() - start
    kind = seismic.get_seismic_string()
    names = np.array([str(j) for j in range(X.shape[1])], dtype=kind)
    data = seismic.SeismicDataset()
    for i in range(n):
        a, b = X.indptr[i], X.indptr[i + 1]
        data.add_document(str(i), names[X.indices[a:b]], X.data[a:b])
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        index = seismic.SeismicIndex.build_from_dataset(
            data, min_cluster_size=2, max_fraction=6.0, num_threads=1, **postings
        )
    peer_built = time.perf_counter() - start
    rows = [
        [
            "index / pyseismic-lsr, building",
            f"{n} rows, {X.nnz / n:.0f} entries each",
            f"{built:.1f} s",
            f"{peer_built:.1f} s",
            f"{peer_built / built:.1f}",
            f"{model.index_bytes_ / 1e6:.0f} MB",
        ]
    ]
    tokens = [names[Q.indices[a:b]] for a, b in zip(Q.indptr, Q.indptr[1:])]  # noqa: B905
    values = [Q.data[a:b] for a, b in zip(Q.indptr, Q.indptr[1:])]  # noqa: B905
    ids = np.array([str(i) for i in range(len(tokens))], dtype=kind)
    for cut, factor in ((5, 0.8), (10, 0.8), (10, 1.0)):

        def ours(cut=cut, factor=factor):
            return model.kneighbors(
                Q, return_distance=False, query_cut=cut, heap_factor=factor
            )

        def theirs(cut=cut, factor=factor):
            return index.batch_search(
                ids, tokens, values, K, cut, factor, num_threads=1
            )

        mine, peer = measure(ours), measure(theirs)
        found = [[int(hit[2]) for hit in row] for row in peer.value]
        rows.append(
            [
                "index / pyseismic-lsr, 500 queries",
                f"query_cut {cut}, heap_factor {factor}",
                milliseconds(mine) + " ms",
                milliseconds(peer) + " ms",
                f"{peer.median / mine.median:.2f}",
                f"recall {recall(mine.value, truth):.3f} and "
                f"{recall(found, truth):.3f}",
            ]
        )
    rows.append(
        [
            "exact search, 500 queries",
            "every product",
            milliseconds(brute) + " ms",
            "-",
            "-",
            "recall 1",
        ]
    )
    notes.append(
        "The index: entries of 30,000 coordinates in single precision, both sides with "
        "500 postings a list on average (at most 3,000), a block for ten documents, "
        "energy 0.4. The time of the peer does not include handing over its strings at "
        "building. Exact search is by topk_product."
    )
    return rows


def _encoding_rows(quick, notes):
    try:
        import muvera
    except ImportError as error:
        notes.append(f"muvera-python was left out: {error}")
        return []
    rng = np.random.default_rng(51)
    h, n = 64, 300 if quick else 2000
    centers = rng.normal(size=(60, h))

    def normalized(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    X, Q = [], []
    for _ in range(n):
        x = centers[rng.choice(rng.integers(0, 60, 4), rng.integers(10, 60))]
        X.append(normalized(x + 0.7 * rng.normal(size=x.shape)).astype(np.float32))
    for i in range(100):
        q = X[i][rng.integers(0, len(X[i]), 12)]
        Q.append(normalized(q + 0.5 * rng.normal(size=q.shape)).astype(np.float32))
    rows = []
    for bits, width in ((4, None), (4, 8), (5, 16)):
        model = FixedDimensionalEncoder(
            20, n_bits=bits, projection_dim=width, random_state=0
        ).fit(X)
        kind = {"projection_type": "ams_sketch", "projection_dimension": width}
        peer = muvera.Muvera(20, bits, h, **(kind if width else {}))
        best = model.score_chamfer(Q, X).argmax(axis=1)

        def share(scores, best=best):
            ten = np.argsort(-scores, axis=1)[:, :K]
            return (ten == best[:, None]).any(axis=1).mean()

        mine = measure(lambda m=model: m.transform(X))
        theirs = measure(lambda p=peer: p.encode_documents(X))
        hits = share(model.transform_query(Q) @ mine.value.T)
        peer_hits = share(peer.encode_queries(Q) @ theirs.value.T)
        quality = f"nearest set among ten: {hits:.2f} and {peer_hits:.2f}"
        fast = muvera._RUST_AVAILABLE
        muvera._RUST_AVAILABLE = False
        plain = measure(lambda p=peer: p.encode_documents(X), repeat=3)
        muvera._RUST_AVAILABLE = fast
        for name, other in (("Rust", theirs), ("NumPy", plain)):
            rows.append(
                [
                    f"encoding / muvera-python ({name})",
                    f"{n} sets, {bits} bits, width {width or h}",
                    milliseconds(mine) + " ms",
                    milliseconds(other) + " ms",
                    f"{other.median / mine.median:.1f}",
                    quality,
                ]
            )
    notes.append(
        "Sets of 10 to 59 vectors of length 64; the 100 queries are noisy parts of "
        "sets. Quality: how often the set of the largest Chamfer similarity is among "
        "the ten of the largest inner products, ours and the peer's."
    )
    return rows
