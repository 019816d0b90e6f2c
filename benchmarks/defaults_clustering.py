"""Untuned clusterers and graph methods on real tables, against untuned peers.

``rows_of(quick)`` gives the rows alone, for a table of all families.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import re
import subprocess
import warnings
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.metrics import f1_score
from sklearn.preprocessing import scale

from benchmarks._harness import measure
from sparsestat.cluster import BalancedKMeans, SDPKMeans, kmeans_certificate
from sparsestat.embedding import from_edges
from sparsestat.linear_model import GraphLabelPropagation

TITLE = "Defaults: clusterings and graphs on real tables"
CLAIM = (
    "Targets; the rows show whether they are met: on tables of about 200 rows "
    "SDPKMeans with the quick proof takes at most 5 times as long as ten starts of "
    "k-means and never costs more; BalancedKMeans at most twice. The relaxation as a "
    "proof has rows of its own."
)
PEERS = ("scikit-learn",)
COLUMNS = ["data", "method", "score", "seconds", "x KMeans", "gap", "warnings"]
SEED = 41


def tables(quick):
    """Yield names, standardized tables of some 200 rows, and numbers of clusters."""
    rng = np.random.default_rng(SEED)
    loaders = {"iris": load_iris, "wine": load_wine}
    if not quick:
        loaders |= {"breast cancer": load_breast_cancer, "digits": load_digits}
    for name, load in loaders.items():
        X = load().data
        if len(X) > 200:
            X = X[np.sort(rng.choice(len(X), 200, replace=False))]
        X = scale(X[:, X.std(axis=0) > 0])
        yield name, X, len(np.unique(load().target))
        yield name, X, 6


def rows_of(quick=False):
    """Return the rows of this module, in the order of `COLUMNS`."""
    rows = []
    for name, X, k in tables(quick):
        data = f"{name}, {len(X)} x {X.shape[1]}, K = {k}"
        sides = {
            "KMeans(n_init=10)": KMeans(k, n_init=10, random_state=SEED),
            "SDPKMeans(certify='quick')": SDPKMeans(
                k, certify="quick", random_state=SEED
            ),
            "SDPKMeans(), the SDP bound": SDPKMeans(k, random_state=SEED),
            "BalancedKMeans()": BalancedKMeans(k, random_state=SEED),
        }
        base = None
        for method, model in sides.items():
            told = _warnings(lambda model=model, X=X: model.fit(X))
            timed = measure(lambda model=model, X=X: model.fit(X))
            base = base or timed.median
            gap = getattr(model, "gap_", None)
            if base == timed.median:
                gap = kmeans_certificate(X, model.labels_, method="rank_one").gap
            rows.append(
                [
                    data,
                    method,
                    f"{model.inertia_:.2f}",
                    f"{timed.median:.4f}",
                    f"{timed.median / base:.1f}",
                    "" if gap is None else f"{gap:.1e}",
                    told,
                ]
            )
    return rows + graph_rows(quick)


def graph_rows(quick=False):
    """Sections of a distribution's packages from those of one in five or ten."""
    graph = package_graph()
    if graph is None:
        return []
    W, y = graph
    rows = []
    for share in (0.1,) if quick else (0.1, 0.2):
        rng = np.random.default_rng(SEED)
        known = rng.permutation(len(y))[: int(share * len(y))]
        given = np.full(len(y), -1)
        given[known] = y[known]
        rest = given < 0
        for options in (
            {},
            {"class_mass": True},
            {"normalize": True},
            {"normalize": True, "class_mass": True},
        ):
            model = GraphLabelPropagation("precomputed", **options)
            timed = measure(
                lambda m=model, g=given: _warnings(lambda: m.fit(W, g)), 1, warm=False
            )
            told = timed.value
            found = model.transduction_[rest]
            accuracy = (found == y[rest]).mean()
            macro = f1_score(y[rest], found, average="macro", zero_division=0)
            words = ", ".join(f"{k}={v}" for k, v in options.items())
            rows.append(
                [
                    f"packages, {len(y)} nodes, {share:.0%} labeled",
                    f"GraphLabelPropagation({words})",
                    f"accuracy {accuracy:.3f}, macro-F1 {macro:.3f}",
                    f"{timed.median:.2f}",
                    "",
                    f"{model.certificate_.value:.0e}",
                    told,
                ]
            )
    return rows


def package_graph():
    """Return the dependencies of a Debian release and the sections, or None.

    From the lists that apt keeps on such a system; elsewhere there is no such graph.
    """
    lists = sorted(Path("/var/lib/apt/lists").glob("*main_binary-*_Packages*"))
    helper = Path("/usr/lib/apt/apt-helper")
    if not lists or not helper.exists():
        return None
    command = [str(helper), "cat-file", str(lists[0])]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    sections, needs = {}, {}
    for block in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", block, re.MULTILINE))
        if "Package" not in fields:
            continue
        name = fields["Package"]
        sections[name] = fields.get("Section", "?").split("/")[-1]
        told = [fields.get(f, "") for f in ("Depends", "Pre-Depends", "Recommends")]
        needs[name] = re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]+)", ",".join(told))
    edges = [
        (name, other)
        for name, others in needs.items()
        for other in set(others)
        if other in sections and other != name
    ]
    edges += [(name, name) for name in sections]  # isolated nodes stay
    W, names = from_edges(edges)
    W.setdiag(0.0)
    W.eliminate_zeros()
    W.data[:] = 1.0
    classes = np.unique([sections[name] for name in names], return_inverse=True)[1]
    return sparse.csr_array(W), classes


def _warnings(fit):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    kinds = {w.category.__name__ for w in caught}
    return ", ".join(sorted(kinds)) or "none"


def run(quick=False):
    """Time all sides on all tables; return the table."""
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": COLUMNS,
        "rows": rows_of(quick),
        "notes": [
            "Score: cost of k-means, lower is better; that of BalancedKMeans keeps "
            "equal sizes. Gap: what the method's own proof leaves open, the rank-one "
            "bound for KMeans, the residual for graphs.",
            "Data are standardized, at most 200 rows of each. The package graph has an "
            "edge for each dependency or recommendation; classes are the sections. The "
            "warning there is of packages in components without any label, most of "
            "them alone.",
        ],
    }
