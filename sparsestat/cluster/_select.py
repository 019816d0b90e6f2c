"""How many clusters: what is proved, how apart they are, whether they come again."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.utils import check_array, check_random_state

from sparsestat._utils.compat import Interval, StrOptions, validate_params
from sparsestat._utils.validation import LARGEST_ENTRY, check_magnitude, refuse_complex
from sparsestat.cluster._sdp_kmeans import SDPKMeans

__all__ = ["KSelectionResult", "select_n_clusters"]

_MOST_PAIRS = 2_000  # rows that the silhouette is taken over
_AS_STABLE = 0.02  # of the adjusted Rand index: no difference to speak of
_PROVED = 1e-6  # relative gap
_FEWEST = 4  # rows of a half for each cluster


@dataclass(frozen=True)
class KSelectionResult:
    """Numbers of clusters, and what speaks for each.

    Parameters
    ----------
    n_clusters : int
        The one that `criterion` chooses.
    k_range : ndarray of shape (n_tried,)
        Those that were tried.
    criterion : str
        "silhouette", "stability" or "gap".
    silhouette : ndarray of shape (n_tried,)
        Mean silhouette; 0 for one cluster and for as many as points.
    stability : ndarray of shape (n_tried,)
        Mean adjusted Rand index of the labels and those found from halves of the
        rows; 0 where halves have fewer than four rows for each cluster.
    gap : ndarray of shape (n_tried,)
        Relative optimality gap of k-means: 0 where the partition is proved optimal.
    inertia : ndarray of shape (n_tried,)
        Cost of k-means.
    labels : ndarray of shape (n_samples,)
        Labels for `n_clusters`.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sparsestat.cluster import select_n_clusters
    >>> X, _ = make_blobs(90, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> result = select_n_clusters(X, range(2, 6), random_state=0)
    >>> result.k_range[result.gap < 1e-6].tolist()
    [3]
    """

    n_clusters: int
    k_range: np.ndarray
    criterion: str
    silhouette: np.ndarray
    stability: np.ndarray
    gap: np.ndarray
    inertia: np.ndarray
    labels: np.ndarray


@validate_params(
    {
        "X": ["array-like", "sparse matrix"],
        "k_range": ["array-like"],
        "criterion": [StrOptions({"silhouette", "stability", "gap"})],
        "certify": [StrOptions({"auto", "quick", "sdp"})],
        "n_resamples": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def select_n_clusters(
    X,
    k_range=tuple(range(2, 11)),
    *,
    criterion="silhouette",
    certify="auto",
    n_resamples=10,
    random_state=None,
):
    """Compare numbers of clusters for k-means.

    No number is right for all purposes, so that three measures are computed for each.
    Where they agree the data have such clusters; where they do not, look at
    :class:`sparsestat.plotting.KSelectionDisplay`. Read more in the
    :ref:`User Guide <sdp_kmeans>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Points.
    k_range : array-like of int, default=(2, 3, 4, 5, 6, 7, 8, 9, 10)
        Numbers of clusters to try, each from 1 to n_samples.
    criterion : {"silhouette", "stability", "gap"}, default="silhouette"
        What chooses. ``silhouette``: the largest. ``stability``: the largest number
        whose stability is within .02 of the best. ``gap``: the smallest, of those that
        are proved optimal the largest number.
    certify : {"auto", "quick", "sdp"}, default="auto"
        How gaps are proved, as in :class:`SDPKMeans`.
    n_resamples : int, default=10
        Halves of the rows that stability is measured on.
    random_state : int, RandomState instance or None, default=None
        Draws starts, halves, and the rows of the silhouette beyond 2000.

    Returns
    -------
    result : KSelectionResult
        Measures of all numbers, the choice and its labels.

    Raises
    ------
    ValueError
        If `k_range` holds anything but different integers from 1 to n_samples.

    See Also
    --------
    ProbabilisticPartitivePartitioning : Strict: clusters that cannot be doubted.
    KMeans1D : Chooses K on a line by the BIC.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sparsestat.cluster import select_n_clusters
    >>> X, _ = make_blobs(90, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> select_n_clusters(X, range(2, 6), random_state=0).n_clusters
    3
    """
    refuse_complex(X)
    X = check_array(X, accept_sparse="csr", dtype=np.float64)
    check_magnitude(X, largest=LARGEST_ENTRY)
    n = X.shape[0]
    numbers = np.asarray(k_range)
    wrong = numbers.ndim != 1 or numbers.size == 0 or numbers.dtype.kind not in "iu"
    if wrong or numbers.min() < 1 or numbers.max() > n:
        raise ValueError(
            f"k_range must hold integers from 1 to n_samples={n}, got {k_range!r}."
        )
    if len(np.unique(numbers)) < len(numbers):
        raise ValueError(f"k_range holds a number twice: {k_range!r}.")
    rng = check_random_state(random_state)
    numbers = np.sort(numbers).astype(np.int64)
    rows = np.arange(n)
    if n > _MOST_PAIRS:
        rows = np.sort(rng.choice(n, _MOST_PAIRS, replace=False))
    halves = [rng.permutation(n)[: (n + 1) // 2] for _ in range(n_resamples)]
    seeds = rng.randint(2**31 - 1, size=len(numbers))
    found = {name: np.zeros(len(numbers)) for name in _MEASURES}
    models = []
    for place, (k, seed) in enumerate(zip(numbers, seeds, strict=True)):
        model = SDPKMeans(int(k), certify=certify, random_state=int(seed)).fit(X)
        models.append(model.labels_)
        found["gap"][place] = model.gap_
        found["inertia"][place] = model.inertia_
        if 2 <= len(np.unique(model.labels_[rows])) < len(rows):
            found["silhouette"][place] = silhouette_score(X[rows], model.labels_[rows])
        if len(halves[0]) >= _FEWEST * k:
            found["stability"][place] = _stability(X, model, halves)
    best = _chosen(criterion, found[criterion])
    return KSelectionResult(
        int(numbers[best]), numbers, criterion, labels=models[best], **found
    )


_MEASURES = ("silhouette", "stability", "gap", "inertia")


def _stability(X, model, halves):
    """Return how well halves of the rows find the same labels for all of them."""
    scores = []
    for half in halves:
        part = SDPKMeans(
            model.n_clusters, certify=False, n_init=3, random_state=model.random_state
        ).fit(X[np.sort(half)])
        scores.append(adjusted_rand_score(model.labels_, part.predict(X)))
    return float(np.mean(scores))


def _chosen(criterion, values):
    """Return the place of the number that a criterion chooses."""
    if criterion == "silhouette":
        return int(np.argmax(values))
    if criterion == "gap":
        proved = np.flatnonzero(values <= _PROVED)
        return int(proved[-1]) if len(proved) else int(np.argmin(values))
    return int(np.flatnonzero(values >= np.max(values) - _AS_STABLE)[-1])
