"""Lower bounds on the K-means optimum, from a partition that somebody found."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy import linalg, stats
from sklearn.utils import check_random_state

from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.results import Certificate
from sparsestat._utils.validation import read_only
from sparsestat.cluster import _kernels_sdp as kernels
from sparsestat.cluster._kernels_rows import residuals

__all__ = [
    "ClusterMoments",
    "KMeansCertificate",
    "dense_multiplier",
    "pca_bound",
    "rank_one_bound",
    "relative_gap",
    "sampled_bound",
]

_LARGEST_EIGENPROBLEM = 4_000
_BEST_SHARE = 0.99  # of the largest feasible multiplier: where bounds are tightest


@dataclass(frozen=True, repr=False)
class KMeansCertificate(Certificate):
    """What was proved about a K-means partition.

    Beside the fields of :class:`sparsestat.Certificate`, whose `value` and
    `satisfied` speak of the solver alone, it says how far from the global optimum
    the partition can be.

    Parameters
    ----------
    kind : str
        Always ``lower_bound``.
    value : float
        What the solver left to do, in the units said in `scale`; 0 without one.
    tol : float
        The tolerance the solver was asked to meet.
    satisfied : bool
        Whether it did.
    scale : str
        One sentence: what the value is relative to.
    details : dict, default={}
        Plain scalars, `cost` among them.
    bound : str, default="trivial"
        "rank_one", "dual", "pca", "trivial" or "statistical": which
        argument gave `lower_bound`.
    lower_bound : float, default=0.0
        No partition into as many clusters costs less.
    gap : float, default=inf
        ``(cost - lower_bound) / cost``.
    certified : bool, default=False
        Whether the partition is a global optimum, up to `gap_tol`. Never true for
        a statistical bound.
    lam, lam_max, slack : float, default=nan
        Multiplier of the rank-one bound, the largest feasible one, and the room
        left in its eigenvalue condition; the optimum is unique if it is positive.

    Examples
    --------
    >>> from sparsestat.cluster import kmeans_certificate
    >>> X = [[0.0], [0.1], [9.0], [9.1]]
    >>> certificate = kmeans_certificate(X, [0, 0, 1, 1])
    >>> certificate.certified
    True
    """

    bound: str = "trivial"
    lower_bound: float = 0.0
    gap: float = np.inf
    certified: bool = False
    lam: float = np.nan
    lam_max: float = np.nan
    slack: float = np.nan

    def __repr__(self):
        # scikit-learn's HTML repr cuts a value at 30 characters.
        if self.certified:
            return "global optimum, proved"
        sign = "<~" if self.bound == "statistical" else "<="
        return f"optimality gap {sign} {self.gap:.1e}"


def relative_gap(cost, lower_bound):
    """Return ``(cost - lower_bound) / cost``, 0 for a cost of 0."""
    if cost <= 0.0:
        return 0.0
    return float(max(cost - lower_bound, 0.0) / cost)


class ClusterMoments:
    """Weights, means and scatter of each cluster, and the margins between them.

    Parameters
    ----------
    data : CenteredRows
        The points.
    labels : ndarray of shape (n_samples,)
        Cluster of each point, 0..K-1, none empty.
    n_clusters : int
        K.
    """

    def __init__(self, data, labels, n_clusters):
        self.n_clusters = n_clusters
        self.weights = np.bincount(labels, data.weights, minlength=n_clusters)
        self.n_samples, self.n_features = data.shape
        indicator = _weighted_indicator(data, labels, n_clusters)
        self.steps = self.n_samples + self.n_features  # of the longest sum
        # Rows carry the square root of their weight, the indicator the other half.
        means = np.asarray(data.t_dot(indicator)).T / self.weights[:, None]
        self.means = np.ascontiguousarray(means)
        self._scatter_and_margins(data, labels)

    def _scatter_and_margins(self, data, labels):
        K, d = self.means.shape
        self.scatter = np.zeros((K, d, d))
        margins = np.full((K, K), np.inf)
        squares = np.einsum("ij,ij->i", self.means, self.means)
        farthest = 0.0
        left = None
        for rows, block in data.blocks():
            own, root = labels[rows], data.root[rows]
            scores = (block @ self.means.T) / root[:, None]
            kernels.smallest_margins(
                read_only(np.ascontiguousarray(scores)),
                read_only(own),
                read_only(squares),
                margins,
            )
            ends = np.append(0, np.cumsum(np.bincount(own, minlength=K)))
            left = np.empty(block.shape) if left is None else left[: len(own)]
            block, root, means = map(read_only, (block, root, self.means))
            square = residuals(
                block, read_only(own), root, means, ends[:-1].copy(), left
            )
            farthest = max(farthest, square)
            for k in range(K):
                part = left[ends[k] : ends[k + 1]]
                self.scatter[k] += part.T @ part
        self._settle(margins, farthest, data.magnitude, data.gram_rounding)

    def _settle(self, margins, farthest, magnitude, gram_rounding):
        """Take the cost from the scatter, and rounding from the margins."""
        K = self.n_clusters
        self.cost = float(np.trace(self.scatter, axis1=1, axis2=2).sum())
        # Residuals are exact to the rounding of points and means, and means cost what
        # their error squared does.
        size = np.sqrt(self.cost * magnitude)
        self.cost_rounding = rounding(8 * self.steps, size) + gram_rounding
        self.cost_rounding += rounding(8 * self.steps) ** 2 * magnitude
        self.magnitude = magnitude
        self.radius = np.sqrt(farthest)
        # Margins are differences of products of centered points.
        margins -= rounding(16 * self.steps, farthest) + gram_rounding
        w = self.weights
        np.fill_diagonal(margins, np.inf)
        harmonic = np.multiply.outer(w, w) / np.add.outer(w, w)
        self.lam_max = float((harmonic * margins).min()) if K > 1 else np.inf

    def total_scatter(self):
        """Return the (d, d) scatter about the overall mean."""
        between = self.means.T @ (self.weights[:, None] * self.means)
        return self.scatter.sum(axis=0) + between


def _weighted_indicator(data, labels, n_clusters):
    from scipy import sparse

    n = len(labels)
    return sparse.csr_array(
        (data.root, labels, np.arange(n + 1)), shape=(n, n_clusters)
    )


def _top_eigenvalues(matrix, count):
    """Return the `count` largest eigenvalues, in increasing order, by LAPACK.

    Ritz values would lie below the true ones and make a bound too good.
    """
    size = len(matrix)
    count = min(count, size)
    if count == 0:
        return np.zeros(0)
    return linalg.eigvalsh(matrix, subset_by_index=(size - count, size - 1))


def pca_bound(moments, sum_of_squares):
    """Return the cost that no partition can get below, by principal components."""
    top = _top_eigenvalues(moments.total_scatter(), moments.n_clusters - 1)
    bound = sum_of_squares - top.sum()
    steps = 8 * moments.steps + 32 * moments.n_features * moments.n_clusters
    allowance = rounding(steps, moments.magnitude) + moments.cost_rounding
    return max(bound - allowance, 0.0)


class _RankOneMatrix:
    """The matrix whose eigenvalues decide the rank-one bound, for any multiplier.

    Its non-zero eigenvalues are those of ``Y M Y'`` with Y the block-diagonal
    matrix of cluster-centered rows. Two factorizations of it are small: one of size
    K d, and one of size d + K (K - 1), since M differs from all-identity blocks by
    one direction for each ordered pair of clusters.
    """

    def __init__(self, moments):
        self.moments = moments
        K, d = moments.n_clusters, moments.n_features
        self.pairs = np.array(list(permutations(range(K), 2)), dtype=np.intp)
        self.pairs = self.pairs.reshape(-1, 2)
        self.compact = d + len(self.pairs) < K * d
        self.size = min(d + len(self.pairs), K * d)
        if self.size > _LARGEST_EIGENPROBLEM:
            return
        first, second = self.pairs.T
        delta = moments.means[first] - moments.means[second]
        w = moments.weights
        self.products = w[first] * w[second]
        self.sums = w[first] + w[second]
        self.distances = np.einsum("ij,ij->i", delta, delta)
        index = {(a, b): i for i, (a, b) in enumerate(self.pairs)}
        self.partner = np.array([index[b, a] for a, b in self.pairs], dtype=np.intp)
        if self.compact:
            self._root_compact(delta, first, d)
        else:
            self._root_blocks(delta, first)

    def _root_compact(self, delta, first, d):
        scatter, P = self.moments.scatter, len(self.pairs)
        gram = np.zeros((d + P, d + P))
        gram[:d, :d] = scatter.sum(axis=0)
        for k in range(self.moments.n_clusters):
            mine = np.flatnonzero(first == k)
            image = scatter[k] @ delta[mine].T
            gram[:d, d + mine] = image
            gram[d + mine, :d] = image.T
            gram[np.ix_(d + mine, d + mine)] = delta[mine] @ image
        # Unit diagonal, or small directions drown in the square root's rounding.
        scale = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
        root = _symmetric_root(gram / np.multiply.outer(scale, scale)) * scale
        self.base = root[:, :d] @ root[:, :d].T
        self.directions = root[:, d:]

    def _root_blocks(self, delta, first):
        K, d = self.moments.means.shape
        roots = np.array([_symmetric_root(C) for C in self.moments.scatter])
        stacked = roots.reshape(K * d, d)
        self.base = stacked @ stacked.T
        self.directions = np.zeros((K * d, len(self.pairs)))
        for j, k in enumerate(first):
            self.directions[k * d : (k + 1) * d, j] = roots[k] @ delta[j]

    def at(self, lam):
        """Return the matrix for one multiplier."""
        t = 0.5 * (self.products * self.distances - lam * self.sums)
        F = self.directions
        out = self.base + (F * (self.products / t)) @ F[:, self.partner].T
        return 0.5 * (out + out.T)

    def magnitude(self, lam):
        """Return what the absolute values add up to in the matrix for a multiplier."""
        t = 0.5 * (self.products * self.distances - lam * self.sums)
        norms = np.sqrt(np.einsum("ij,ij->j", self.directions, self.directions))
        pairs = self.products / t * norms * norms[self.partner]
        return float(np.trace(self.base) + pairs.sum())


def _symmetric_root(matrix):
    values, vectors = linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def rank_one_bound(moments, n_scan=20):
    """Bound the optimum by the multiplier that is of rank one in each pair of blocks.

    Returns
    -------
    bound : float
        Lower bound, less an allowance for rounding; ``-inf`` if not applicable.
    lam, slack : float
        Multiplier used, and multiplier minus largest eigenvalue.
    """
    K = moments.n_clusters
    if K == 1:
        return moments.cost - moments.cost_rounding, np.inf, np.inf
    if not moments.lam_max > 0 or not np.isfinite(moments.lam_max):
        return -np.inf, np.nan, np.nan
    matrix = _RankOneMatrix(moments)
    if matrix.size > _LARGEST_EIGENPROBLEM:
        return -np.inf, np.nan, np.nan

    def evaluate(share):
        lam = share * moments.lam_max
        top = _top_eigenvalues(matrix.at(lam), K - 1)
        loss = np.maximum(top - lam, 0.0).sum()
        return moments.cost - loss, lam, lam - top[-1]

    best = evaluate(_BEST_SHARE)
    share = _BEST_SHARE
    if best[2] < 0:
        n_scan = n_scan if matrix.size <= 600 else 6
        for candidate in np.linspace(0.02, 0.999, n_scan):
            trial = evaluate(candidate)
            if trial[0] > best[0]:
                best, share = trial, candidate
        width = 1.0 / n_scan
        best = _golden(evaluate, share - width, share + width, best)
    # Eigenvalues are as good as the entries of the matrix, and these as good as the
    # differences of means.
    apart = np.sqrt(matrix.distances.min())
    relative = rounding(64 * matrix.size)
    relative += rounding(8 * moments.steps) * moments.radius / apart
    allowance = (K - 1) * relative * matrix.magnitude(best[1])
    allowance += 2.0 * moments.cost_rounding
    return best[0] - allowance, best[1], best[2]


def _golden(evaluate, low, high, best, n_steps=8):
    """Return the best of a few golden-section trials around the scan's best."""
    ratio = 0.5 * (np.sqrt(5.0) - 1.0)
    low, high = max(low, 1e-3), min(high, 0.9999)
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    fa, fb = evaluate(a), evaluate(b)
    for _ in range(n_steps):
        if fa[0] > fb[0]:
            high, b, fb = b, a, fa
            a = high - ratio * (high - low)
            fa = evaluate(a)
        else:
            low, a, fa = a, b, fb
            b = low + ratio * (high - low)
            fb = evaluate(b)
    return max((best, fa, fb), key=lambda t: t[0])


def dense_multiplier(data, labels, moments, lam):
    """Return the (n, n) rank-one multiplier B of a partition; for moderate n only.

    Entries are those of the weighted problem. Negative entries, which appear when
    `lam` is too large to be feasible, are set to 0, so B is always a valid start.
    """
    K = moments.n_clusters
    n = data.shape[0]
    if K == 1:
        return np.zeros((n, n))
    w = moments.weights
    scores = np.asarray(data.dot(moments.means.T)) / data.root[:, None]
    squares = np.einsum("ij,ij->i", moments.means, moments.means)
    distance = squares - 2.0 * scores
    margin = distance - distance[np.arange(n), labels][:, None]
    own = w[labels][:, None]
    r = 0.5 * (w * margin - lam * (w + own) / own)
    gaps = squares[:, None] + squares - 2.0 * moments.means @ moments.means.T
    t = 0.5 * (np.multiply.outer(w, w) * gaps - lam * np.add.outer(w, w))
    # Any non-negative entries will do: none where the pair leaves nothing to divide.
    some = t > 1e-9 * np.multiply.outer(w, w) * gaps
    shares = np.divide(1.0, t, out=np.zeros_like(t), where=some)
    towards = np.maximum(r[:, labels], 0.0)
    B = towards * towards.T * shares[labels][:, labels]
    B[labels[:, None] == labels] = 0.0
    return B * np.multiply.outer(data.root, data.root)


def sampled_bound(n_samples, *, subset_size, n_subsets, solve, random_state):
    """Return a one-sided 99 % lower confidence bound from random subsets.

    The optimum of a uniform subset, scaled up, is on average at most the optimum of
    all points, so bounds of independent subsets estimate one of the whole.

    Parameters
    ----------
    solve : callable
        Takes row indices and returns a lower bound for those rows.
    """
    rng = check_random_state(random_state)
    values = []
    for _ in range(n_subsets):
        rows = np.sort(rng.choice(n_samples, size=subset_size, replace=False))
        values.append(solve(rows) * n_samples / subset_size)
    mean, spread = np.mean(values), np.std(values, ddof=1)
    quantile = stats.t.ppf(0.99, n_subsets - 1)
    return float(max(mean - quantile * spread / np.sqrt(n_subsets), 0.0))
