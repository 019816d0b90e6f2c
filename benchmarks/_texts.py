"""Word counts of texts of two classes, and searches of sparse logistic models."""

import warnings

import numpy as np
from scipy import sparse

from benchmarks._harness import measure, milliseconds

__all__ = ["text_rows", "texts"]


def texts(n_texts=4200, n_words=30_000, *, tilt=2.2, least=6, seed=0):
    """Return tf-idf of word counts, a CSR matrix, and classes that tilt their topics.

    Frequencies of words fall as Zipf's law has it, lengths of texts are lognormal, and
    words of fewer than `least` texts are left out. The larger `tilt`, the more a topic
    says about its words.
    """
    from sklearn.feature_extraction.text import TfidfTransformer

    rng = np.random.default_rng(seed)
    n_topics = 40
    rare = 1.0 / (np.arange(n_words) + 10.0) ** 1.07
    own = rng.random((n_topics, n_words)) < 0.15
    topics = rare * np.exp(tilt * own * rng.standard_normal((n_topics, n_words)))
    topics /= topics.sum(axis=1, keepdims=True)
    y = rng.integers(0, 2, n_texts)
    shares = rng.dirichlet(np.full(n_topics, 0.3), 2)
    lengths = np.maximum(rng.lognormal(4.6, 0.8, n_texts).astype(int), 10)
    rows = [
        sparse.csr_matrix(
            rng.multinomial(length, rng.dirichlet(6.0 * shares[c] + 1e-3) @ topics)
        )
        for length, c in zip(lengths, y, strict=True)
    ]
    counts = sparse.vstack(rows, format="csc").astype(np.float64)
    counts = counts[:, np.diff(counts.indptr) >= least]
    return TfidfTransformer(sublinear_tf=True).fit_transform(counts).tocsr(), y


def text_rows(quick, repeat, limit):
    """Return rows of searches by five folds, with the defaults of each library."""
    from sklearn.linear_model import LogisticRegressionCV

    from sparsestat.linear_model import SparseLogisticRegressionCV

    def ours(X, y):
        return SparseLogisticRegressionCV().fit(X, y).cv_mean_.min()

    def theirs(X, y):
        model = LogisticRegressionCV(
            Cs=10, cv=5, solver="liblinear", penalty="l1", scoring="neg_log_loss"
        ).fit(X, y)
        (scores,) = list(model.scores_.values())[-1:]
        return -scores.mean(axis=0).max()

    found = []
    for name, tilt in (("", 2.2), (", little to learn", 1.0)):
        X, y = texts(400 if quick else 4200, 3000 if quick else 30_000, tilt=tilt)
        data = f"texts {X.shape[0]} x {X.shape[1]}{name}"
        own = None
        for library, fit in (("sparsestat", ours), ("liblinear", theirs)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                loss = fit(X, y)
            timing = measure(lambda fit=fit, X=X, y=y: fit(X, y), repeat, budget=limit)
            own = own or timing.median
            task = f"logistic search, loss {loss:.4f}"
            ratio = f"{timing.median / own:.2f}"
            found.append([data, task, library, milliseconds(timing), "", ratio])
    return found
