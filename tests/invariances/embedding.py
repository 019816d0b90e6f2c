"""Subjects of node embeddings."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.embedding import FastRP, FastRPCV
from tests.invariances.engine import Out, Subject, satisfied, table


def _graph(seed, n=20):
    W = table(seed, n, n, zeros=0.7, positive=False)
    W = np.abs(np.triu(W, 1))
    return {"X": W + W.T}


def _labeled(seed):
    return {**_graph(seed), "y": np.arange(20) % 2}


def _embed(X, **options):
    model = FastRP(8, dtype="float64", random_state=0, **options)
    return {"embedding": model.fit_transform(X), "satisfied": satisfied(model)}


def _search(X, y):
    model = FastRPCV(n_components=8, n_iter=4, random_state=0).fit(X, y)
    return {"score": model.best_score_, "embedding": model.embedding_}


SUBJECTS = [
    Subject(
        "FastRP",
        _embed,
        _graph,
        {"embedding": Out(), "satisfied": Out()},
        sparse=True,
    ),
    Subject(
        "FastRP beta",
        lambda X: _embed(X, beta=-0.5),
        _graph,
        {"embedding": Out(), "satisfied": Out()},
        sparse=True,
    ),
    Subject(
        "FastRPCV",
        _search,
        _labeled,
        {"score": Out(), "embedding": Out()},
        sparse=True,
        rtol=1e-4,
    ),
]

_ADJACENCY = "entries are weights of edges: a shift would join all nodes"
_NODES = "rows and columns are both nodes, each with random numbers of its own"

EXEMPT = {
    (s.name, relation): why
    for s in SUBJECTS
    for relation, why in (
        ("shift X", _ADJACENCY),
        ("shift sparse X", _ADJACENCY),
        ("shift single X", _ADJACENCY),
        ("permute rows", _NODES),
        ("permute features", _NODES),
    )
}

LEFT_OUT = {"from_edges": "names and counts: tests/embedding/test_edges.py"}
