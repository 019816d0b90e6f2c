"""Probabilistic partitive partitioning: k-means that a mixture has to confirm."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from scipy import linalg, sparse
from scipy.optimize import linear_sum_assignment
from sklearn.base import ClusterMixin
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import Interval, fit_context
from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.results import Certificate, users_stacklevel
from sparsestat._utils.samples import check_samples
from sparsestat._utils.validation import LARGEST_ENTRY
from sparsestat.cluster._block_rows import ClusterBlocks
from sparsestat.cluster._data import Frame
from sparsestat.exceptions import ConvergenceWarning, NoAcceptablePartitionWarning

__all__ = ["ProbabilisticPartitivePartitioning"]

_MOST_ROWS = 20_000  # k-means starts and the mixture see at most so many rows
_MAX_EM = 200


@dataclass
class Trial:
    """What one number of clusters came to."""

    labels: np.ndarray
    centers: np.ndarray
    stability: float
    jaccard: np.ndarray
    posterior: np.ndarray
    core: np.ndarray
    mixture: object
    acceptable: bool


class ProbabilisticPartitivePartitioning(ClusterMixin, SparsestatEstimator):
    """Clusters that k-means finds again and again and a Gaussian mixture confirms.

    It is strict: on real tables, whose clusters touch, it finds fewer clusters than
    there are classes, often two, and one where nothing is confirmed. Take it for what
    cannot be doubted; raise `resolution` for finer partitions that are less sure, or
    choose K by :func:`select_n_clusters`.

    The number of clusters is found: for every K from 2 on, k-means is run from many
    starts, a mixture is started at the best partition, and K is acceptable if all
    starts agree and the mixture returns every cell of the partition with high
    posterior probability. Among the acceptable K the one with the most core points
    wins; if there is none, the answer is one cluster. Labels do not depend on the seed
    wherever the starts found the optimum of k-means. Read more in the
    :ref:`User Guide <probabilistic_partitive_partitioning>`.

    Parameters
    ----------
    max_clusters : int, default=None
        Largest K that is tried. None means ``min(10, sqrt(n_samples))``.
    n_init : int, default=10
        Runs of k-means for each K; fewer than 5 say little about stability.
    stability_threshold : float, default=0.9
        Least mean adjusted Rand index between the best run and all, and least Jaccard
        index between a cell of k-means and the one of the mixture.
    posterior_threshold : float, default=0.9
        Least mean posterior of a cell, and least posterior of a core point.
    core_quorum : float, default=0.9
        Share of the runs in which a core point has to stay in its cell.
    resolution : float, default=0.0
        Between 0 and 1. Both thresholds are lowered to ``1 - resolution`` of
        themselves, and the acceptable K are compared by their core points times
        ``K ** resolution``: the larger, the more clusters, and the less sure.
    recursive : bool, default=False
        Split accepted cells again by the same rules, as long as they hold
        ``5 (n_features + 1)`` samples.
    standardize : bool, default=True
        Scale features to variance 1 first.
    reg_covar : float, default=1e-6
        Added to the diagonal of covariances, relative to their mean variance.
    random_state : int, RandomState instance or None, default=None
        Draws the starts.
    n_jobs : int, default=None
        Runs of k-means at a time.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of each sample; clusters are in lexicographic order of their centers.
    n_clusters_ : int
        Number of clusters found.
    core_mask_ : ndarray of shape (n_samples,)
        True for core points: kept in their cell by `core_quorum` of the runs, by the
        mixture, and with posterior `posterior_threshold`.
    separable_fraction_ : float
        Share of core points; 0 if no K was acceptable.
    stability_ : dict
        Mean adjusted Rand index of each K that was tried.
    acceptable_ : dict
        Whether each K that was tried is acceptable.
    jaccard_ : ndarray of shape (n_clusters_,)
        Agreement of each cell with the mixture.
    posterior_ : ndarray of shape (n_clusters_,)
        Mean posterior of each cell.
    cluster_centers_ : ndarray of shape (n_clusters_, n_features)
        Means of the cells in units of X.
    gaussian_mixture_ : GaussianMixture
        scikit-learn's, of the scaled data, behind :meth:`predict`. With
        ``recursive=True`` and further splits, one with a component for each cell.
    certificate_ : Certificate
        Kind ``monotone_bound``: the last change of the mean log-likelihood in the
        mixture's EM.
    n_iter_ : int
        Iterations of that EM.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Warns
    -----
    NoAcceptablePartitionWarning
        If no K is acceptable: all samples are then in one cluster.
    ConvergenceWarning
        If the mixture's EM stopped early.

    See Also
    --------
    sklearn.mixture.GaussianMixture : The mixture alone, for a given K.
    kmeans_certificate : Whether a partition is the optimum of k-means.

    Notes
    -----
    Only the abstract of [1]_ could be consulted. It combines k-means, which
    partitions, with a mixture, which validates, and promises results that can be
    repeated and a separable subset; the rules and thresholds here are ours.

    With more than 20,000 samples k-means starts and the mixture are fitted to a random
    part, and all samples are assigned in the end. Covariances of the start are shrunk
    towards the pooled one with the weight of n_features samples.

    References
    ----------
    .. [1] M. Sultan, "Probabilistic partitive partitioning (PPP)", arXiv:2003.04372,
       2020.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sparsestat.cluster import ProbabilisticPartitivePartitioning
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = ProbabilisticPartitivePartitioning(random_state=0).fit(X)
    >>> model.n_clusters_
    2
    """

    _by_rows = True

    _parameter_constraints: dict = {
        "max_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "n_init": [Interval(Integral, 2, None, closed="left")],
        "stability_threshold": [Interval(Real, 0, 1, closed="both")],
        "posterior_threshold": [Interval(Real, 0, 1, closed="both")],
        "core_quorum": [Interval(Real, 0, 1, closed="both")],
        "resolution": [Interval(Real, 0, 1, closed="both")],
        "recursive": ["boolean"],
        "standardize": ["boolean"],
        "reg_covar": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        max_clusters=None,
        *,
        n_init=10,
        stability_threshold=0.9,
        posterior_threshold=0.9,
        core_quorum=0.9,
        resolution=0.0,
        recursive=False,
        standardize=True,
        reg_covar=1e-6,
        random_state=None,
        n_jobs=None,
    ):
        self.max_clusters = max_clusters
        self.n_init = n_init
        self.stability_threshold = stability_threshold
        self.posterior_threshold = posterior_threshold
        self.core_quorum = core_quorum
        self.resolution = resolution
        self.recursive = recursive
        self.standardize = standardize
        self.reg_covar = reg_covar
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Cluster X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : None
            Ignored.

        Returns
        -------
        self : ProbabilisticPartitivePartitioning
            The fitted estimator.
        """
        X = check_samples(self, X, largest=LARGEST_ENTRY)
        return self._fit_rows(X, check_random_state(self.random_state))

    def _fit_blocks(self, blocks):
        rows = ClusterBlocks(blocks).outline()
        rng = check_random_state(self.random_state)
        if (rows.weights != 1.0).any():
            raise ValueError(
                "ProbabilisticPartitivePartitioning takes no weights but 0 and 1."
            )
        X, _ = rows.sample(_MOST_ROWS, rng)
        X = X.toarray() if sparse.issparse(X) else X
        self._fit_rows(X.astype(np.float64), rng)
        sure = (1.0 - self.resolution) * self.posterior_threshold
        found = self.separable_fraction_ > 0.0
        placing = self._frame, self._scale, self.gaussian_mixture_
        labels, core, means = rows.placed(_place, placing, sure, self.n_clusters_)
        self.labels_, self.core_mask_ = labels, core & found
        self.separable_fraction_ = float(self.core_mask_[rows.index].mean())
        filled = ~np.isnan(means[:, 0])
        self.cluster_centers_[filled] = means[filled]
        return self

    def _fit_rows(self, X, rng):
        self._frame, framed = Frame.of(X)
        scale = framed.std(axis=0)
        self._scale = np.where(scale == 0.0, 1.0, scale)
        if not self.standardize:
            self._scale = np.full_like(scale, scale.max() if scale.max() > 0 else 1.0)
        Z = framed / self._scale
        chosen, trials = self._choose(Z, rng)
        self.stability_ = {k: float(t.stability) for k, t in trials.items()}
        self.acceptable_ = {k: bool(t.acceptable) for k, t in trials.items()}
        found = chosen is not None
        if not found:
            warnings.warn(
                "No number of clusters is acceptable: k-means does not find the same "
                "cells again, or a mixture does not confirm them. All samples are put "
                "into one cluster. Raise resolution, to .3 say, to accept less.",
                NoAcceptablePartitionWarning,
                stacklevel=users_stacklevel(),
            )
            chosen = _one_cluster(Z, self.reg_covar)
        elif self.recursive:
            chosen = self._split(Z, chosen, rng)
        self._store(Z, chosen, found)
        return self

    def _choose(self, Z, rng):
        """Return the acceptable trial with the most core points, and all trials."""
        n = len(Z)
        most = self.max_clusters
        if most is None:
            most = min(10, int(np.sqrt(n)))
        most = min(most, len(np.unique(Z, axis=0)) if n <= _MOST_ROWS else most, n)
        best, trials = None, {}
        part = np.arange(n)
        if n > _MOST_ROWS:
            part = np.sort(rng.choice(n, _MOST_ROWS, replace=False))
        for k in range(2, most + 1):
            trial = trials[k] = self._try(Z, part, k, rng)
            if not trial.acceptable:
                continue
            # Ties go to the larger number.
            if best is None or self._worth(trial) >= self._worth(best):
                best = trial
        return best, trials

    def _worth(self, trial):
        return trial.core.mean() * len(trial.centers) ** self.resolution

    def _try(self, Z, part, k, rng):
        rows = Z[part]
        seeds = rng.randint(np.iinfo(np.int32).max, size=self.n_init)

        def run(seed):
            model = KMeans(k, n_init=1, tol=0.0, random_state=int(seed))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(rows)
            return model.inertia_, model.cluster_centers_

        runs = [
            (cost, centers[np.lexsort(centers.T[::-1])])
            for cost, centers in run_parallel(
                run, [(s,) for s in seeds], n_jobs=self.n_jobs
            )
        ]
        least = min(cost for cost, _ in runs)
        # Rounding must not decide between runs that found the same partition.
        best = [centers for cost, centers in runs if cost <= least * (1 + 1e-10)]
        centers = min(best, key=lambda c: tuple(c.ravel().round(8)))
        labels = _nearest(Z, centers)
        others = [_nearest(Z, other) for _, other in runs]
        stability = np.mean([adjusted_rand_score(labels, other) for other in others])
        mixture = _mixture(rows, labels[part], k, self.reg_covar)
        mapped, posterior = _assign(mixture, Z)
        own = posterior[np.arange(len(Z)), labels]
        jaccard, mean_posterior = np.zeros(k), np.zeros(k)
        for j in range(k):
            one, two = mapped == j, labels == j
            either = np.count_nonzero(one | two)
            jaccard[j] = np.count_nonzero(one & two) / either if either else 0.0
            mean_posterior[j] = own[two].mean() if two.any() else 0.0
        share = 1.0 - self.resolution
        stable = share * self.stability_threshold
        sure = share * self.posterior_threshold
        kept = np.zeros(len(Z))
        for other in others:
            kept += _matched(labels, other, k) == labels
        core = kept >= self.core_quorum * len(others) - 1e-9
        core &= (mapped == labels) & (own >= sure)
        acceptable = (
            stability >= stable
            and jaccard.min() >= stable
            and mean_posterior.min() >= sure
        )
        return Trial(
            labels,
            centers,
            float(stability),
            jaccard,
            mean_posterior,
            core,
            mixture,
            bool(acceptable),
        )

    def _split(self, Z, trial, rng):
        """Split cells again while the parts are acceptable."""
        least = 5 * (Z.shape[1] + 1)
        cells, pending = [], []
        for j in range(len(trial.centers)):
            rows = np.flatnonzero(trial.labels == j)
            pending.append(
                (rows, trial.core[rows], trial.jaccard[j], trial.posterior[j])
            )
        while pending:
            rows, core, jaccard, posterior = pending.pop(0)
            inner = None
            if len(rows) >= 2 * least:
                inner, _ = self._choose(Z[rows], rng)
            if inner is not None and np.bincount(inner.labels).min() >= least:
                for j in range(len(inner.centers)):
                    part = inner.labels == j
                    pending.append(
                        (
                            rows[part],
                            core[part] & inner.core[part],
                            min(jaccard, inner.jaccard[j]),
                            min(posterior, inner.posterior[j]),
                        )
                    )
            else:
                cells.append((rows, core, jaccard, posterior))
        k = len(cells)
        if k == len(trial.centers):
            return trial
        centers = np.array([Z[rows].mean(axis=0) for rows, *_ in cells])
        order = np.lexsort(centers.T[::-1])
        labels, core = np.empty(len(Z), dtype=np.int64), np.zeros(len(Z), dtype=bool)
        for place, j in enumerate(order):
            labels[cells[j][0]] = place
            core[cells[j][0]] = cells[j][1]
        part = np.arange(len(Z))
        if len(Z) > _MOST_ROWS:
            part = np.sort(rng.choice(len(Z), _MOST_ROWS, replace=False))
        mixture = _mixture(Z[part], labels[part], k, self.reg_covar)
        return Trial(
            labels,
            centers[order],
            trial.stability,
            np.array([cells[j][2] for j in order]),
            np.array([cells[j][3] for j in order]),
            core,
            mixture,
            True,
        )

    def _store(self, Z, chosen, found):
        k = len(chosen.centers)
        self.n_clusters_ = k
        self.labels_ = chosen.labels.astype(np.int32)
        self.core_mask_ = chosen.core
        self.separable_fraction_ = float(chosen.core.mean()) if found else 0.0
        self.jaccard_, self.posterior_ = chosen.jaccard, chosen.posterior
        self.cluster_centers_ = np.array(
            [Z[chosen.labels == j].mean(axis=0) for j in range(k)]
        )
        self.cluster_centers_ = self._frame.invert(self.cluster_centers_ * self._scale)
        mixture = chosen.mixture
        self.gaussian_mixture_ = mixture
        self.n_iter_ = int(mixture.n_iter_)
        bounds = mixture.lower_bounds_ if hasattr(mixture, "lower_bounds_") else []
        change = abs(bounds[-1] - bounds[-2]) if len(bounds) > 1 else np.inf
        self.certificate_ = Certificate(
            "monotone_bound",
            float(change),
            float(mixture.tol),
            bool(mixture.converged_),
            "last change of the mean log-likelihood of the mixture",
            {
                "n_clusters": k,
                "stability": float(chosen.stability),
                "separable_fraction": self.separable_fraction_,
            },
        )
        if not mixture.converged_:
            warnings.warn(
                f"The EM of the mixture changed by {change:.3e} at its last iteration, "
                f"above the tolerance {mixture.tol:.3e} (mean log-likelihood). Raise "
                "reg_covar.",
                ConvergenceWarning,
                stacklevel=users_stacklevel(),
            )

    def predict(self, X):
        """Return the component of the mixture with the largest posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Clusters.
        """
        return self.predict_proba(X).argmax(axis=1).astype(np.int32)

    def predict_proba(self, X):
        """Return posterior probabilities of the clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New samples.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_clusters_)
            Rows sum to one.
        """
        check_is_fitted(self)
        X = check_samples(self, X, reset=False, largest=LARGEST_ENTRY)
        return _assign(self.gaussian_mixture_, self._frame.apply(X) / self._scale)[1]


def _place(X, placing, sure):
    """Return the components of rows, and whether their posteriors are sure."""
    frame, scale, mixture = placing
    labels, posterior = _assign(mixture, frame.apply(X) / scale)
    return labels, posterior.max(axis=1) >= sure


def _nearest(Z, centers):
    """Return the nearest center of every row, by blocks."""
    norms = np.einsum("kd,kd->k", centers, centers)
    out = np.empty(len(Z), dtype=np.int64)
    for start in range(0, len(Z), 65_536):
        part = slice(start, start + 65_536)
        out[part] = (norms - 2.0 * Z[part] @ centers.T).argmin(axis=1)
    return out


def _matched(labels, other, k):
    """Return the other labels renamed to agree with the first as far as possible."""
    table = np.zeros((k, k), dtype=np.int64)
    np.add.at(table, (labels, other), 1)
    rows, columns = linear_sum_assignment(-table)
    names = np.empty(k, dtype=np.int64)
    names[columns] = rows
    return names[other]


def _mixture(Z, labels, k, reg_covar):
    """Fit a mixture by EM from a partition with shrunk covariances."""
    n, d = Z.shape
    pooled = np.zeros((d, d))
    scatters, counts, means = [], np.zeros(k), np.zeros((k, d))
    for j in range(k):
        rows = Z[labels == j]
        counts[j] = len(rows)
        means[j] = rows.mean(axis=0) if len(rows) else 0.0
        rest = rows - means[j]
        scatters.append(rest.T @ rest)
        pooled += scatters[-1]
    pooled /= n
    ridge = reg_covar * max(np.trace(pooled) / d, 1e-12)
    precisions = np.empty((k, d, d))
    for j in range(k):
        S = (scatters[j] + d * pooled) / (counts[j] + d)
        S[np.diag_indices(d)] += ridge
        half = linalg.solve_triangular(
            linalg.cholesky(S, lower=True), np.eye(d), lower=True
        )
        precisions[j] = half.T @ half  # what GaussianMixture wants to start from
    model = GaussianMixture(
        k,
        weights_init=np.maximum(counts, 1e-12) / np.maximum(counts, 1e-12).sum(),
        means_init=means,
        precisions_init=precisions,
        reg_covar=max(ridge, 1e-12),
        max_iter=_MAX_EM,
        init_params="random_from_data",  # unused: all starts are given
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(Z)


def _assign(mixture, Z):
    """Return the most probable components and all posteriors, by blocks."""
    posterior = np.empty((len(Z), mixture.n_components))
    for start in range(0, len(Z), 65_536):
        part = slice(start, start + 65_536)
        posterior[part] = mixture.predict_proba(Z[part])
    return posterior.argmax(axis=1), posterior


def _one_cluster(Z, reg_covar):
    n = len(Z)
    labels = np.zeros(n, dtype=np.int64)
    if n > 1:
        mixture = _mixture(Z[:_MOST_ROWS], labels[:_MOST_ROWS], 1, reg_covar)
    else:  # a mixture wants two rows
        mixture = _mixture(np.repeat(Z, 2, axis=0), np.zeros(2, int), 1, reg_covar)
    return Trial(
        labels,
        Z.mean(axis=0, keepdims=True),
        1.0,
        np.ones(1),
        np.ones(1),
        np.zeros(n, dtype=bool),
        mixture,
        False,
    )
