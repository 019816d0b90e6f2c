"""Clusters that are subspaces, found by the shortest code of the data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClusterMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.results import (
    Certificate,
    warn_if_unsatisfied,
)
from sparsestat._utils.validation import check_magnitude, refuse_complex
from sparsestat.cluster._checks import check_enough_samples, warn_if_fewer_clusters
from sparsestat.cluster._coding_maps import (
    ascend_map,
    cosine_affinity,
    descend_affinity,
    first_map,
    mapped_rows,
)
from sparsestat.cluster._coding_rate import (
    RateDescent,
    anneal,
    batches,
    coding_rate,
    descend,
    group_factors,
    rate_slopes,
    slopes_of,
)
from sparsestat.cluster._partitions import few_distinct_rows
from sparsestat.cluster._spectral import spectral_embedding, spectral_labels

__all__ = ["CodingRateSubspaceClustering"]

_EPS_GRID = (0.05, 0.1, 0.2, 0.4)
_SEARCHED = (0.05, 0.2)  # distortions that starts are annealed for
_MOST_ROWS = 20_000  # above, starts are made on a part of the rows
_PART = 10_000
_MOST_SPECTRAL = 3_000
_FINALISTS = 2  # starts on a part that are continued on all rows
_MOST_AFFINITY = 2_000


class CodingRateSubspaceClustering(ClusterMixin, SparsestatEstimator):
    r"""Subspace clustering by the least coding rate.

    Minimizes over partitions the rate at which the clusters, each coded by itself,
    take to describe the rows up to a distortion :math:`\varepsilon`

    .. math:: R_c = \sum_j \frac{n_j}{2n} \log\det\Bigl(I + \frac{d}{n_j
        \varepsilon^2} X_j^T X_j\Bigr)

    which is small when each cluster lies near a subspace of low dimension. Rows are
    scaled to norm one first. There is no dictionary of all samples and no n x n matrix,
    unlike in sparse subspace clustering. Read more in the
    :ref:`User Guide <coding_rate_clustering>`.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    eps : float or "auto", default="auto"
        Distortion, about the norm of the noise in a row of norm one. "auto" fits 0.05,
        0.1, 0.2 and 0.4 and keeps the shortest description, see Notes.
    n_init : int, default=4
        Number of random starts.
    init : tuple of str or array-like, default=("random", "spectral")
        Kinds of starts: random partitions, and eigenvectors of a doubly stochastic
        kernel; or labels of shape (n_samples,) to start from.
    annealing : float or None, default=3.0
        First temperature of soft memberships, in nats, lowered by a fifth each sweep
        before the hard ones. None means hard from the start: faster sweeps, but where
        subspaces crowd even twenty starts may miss what four annealed ones find.
    membership : {"partition", "doubly_stochastic"}, default="partition"
        What the rate is minimized over: partitions, or doubly stochastic affinities
        of at most 2000 samples, in which each sample leads a group of its own and
        whose leading eigenvectors are clustered in the end.
    entropy : float, default=3.0
        Weight of the entropy of ``"doubly_stochastic"``, in nats. Too small, and each
        sample is left with one neighbor; too large, and with all.
    n_components : int, default=None
        Learn a linear map to so many dimensions as well: one with orthonormal
        columns, for which the rate of all rows exceeds that of the clusters most.
    balanced : bool, default=False
        Keep the sizes of clusters equal up to one.
    max_iter : int, default=100
        Largest number of sweeps per start, and of updates of the affinity or map.
    tol : float, default=1e-9
        Stop when a sweep lowers the rate by at most `tol` relative to itself; labels
        that stand still stop it in any case.
    map_tol : float, default=1e-6
        The same for updates of an affinity or a map, in place of `tol`.
    normalize : bool, default=True
        Scale rows to norm one. If False, `eps` is in the units of X.
    random_state : int, RandomState instance or None, default=None
        Draws starts.
    n_jobs : int, default=None
        Starts at a time.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of each sample.
    coding_rate_ : float
        R_c of the partition, in nats per sample.
    rate_reduction_ : float
        How much coding all rows together takes more than that.
    code_length_ : float
        Length of the description of rows, labels and subspaces in nats, see Notes. The
        smallest over several `n_clusters` tells how many there are.
    eps_ : float
        Distortion in force.
    subspace_bases_ : list of ndarray of shape (n_features, dimension)
        Orthonormal directions of each cluster that stand above the distortion.
    metrics_ : ndarray of shape (n_clusters, n_features, n_features)
        Cholesky factors of the matrices in the rate, which give predictions.
    history_ : ndarray of shape (n_iter_ + 1,)
        R_c before the first and after each sweep of the best start; with
        ``membership="doubly_stochastic"`` the rate of the affinity less its weighted
        entropy. Never rises.
    affinity_matrix_ : ndarray of shape (n_samples, n_samples) or None
        Doubly stochastic affinity, if one was asked for.
    projection_ : ndarray of shape (n_features, n_components) or None
        Learned map; bases and metrics are then in its coordinates.
    reduction_history_ : ndarray or None
        Rate reduction after each update of the map and the partition; never falls.
    certificate_ : Certificate
        Kind ``monotone_bound``: the last relative change of the rate, or of the rate
        reduction if a map is learned.
    n_iter_ : int
        Sweeps of the best start, at least 1.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        If a row is zero and `normalize` is True, there are fewer samples than
        clusters, or options do not go together.

    Warns
    -----
    ConvergenceWarning
        If labels still moved at `max_iter`, or fewer clusters were found than asked.

    See Also
    --------
    DoublyStochasticClustering : Spectral clustering of one balanced affinity.

    Notes
    -----
    The rate is concave in soft memberships, so that moving every row to the cluster
    of least slope never raises it and ends after finitely many sweeps, in a local
    optimum: several starts are needed. A sweep costs O(n_samples n_features^2
    n_clusters), by BLAS. With more than 20,000 rows starts are made on 10,000 of them
    and the best two continued on all, for the `eps` that is best for the part.
    With ``eps="auto"`` starts are annealed for 0.05 and 0.2, and the best of either is
    continued for all four.

    With ``membership="doubly_stochastic"`` the rate, also concave in the affinity,
    takes O(n_samples^2 n_features^2) time an update. It suits subspaces that are well
    apart and is slower and less accurate where they crowd.

    The description behind ``eps="auto"`` codes the rows of each cluster as a Gaussian
    with covariance ``X_j' X_j / n_j`` plus noise of norm eps, then the labels, and half
    of log(n_samples) for each parameter of the subspaces.

    References
    ----------
    .. [1] Y. Ma, H. Derksen, W. Hong, J. Wright, "Segmentation of multivariate mixed
       data via lossy data coding and compression", IEEE TPAMI 29, 2007.
    .. [2] T. Ding, S. Tong, K. H. R. Chan, X. Dai, Y. Ma, B. D. Haeffele,
       "Unsupervised manifold linearizing and clustering", ICCV 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.cluster import CodingRateSubspaceClustering
    >>> rng = np.random.default_rng(0)
    >>> planes = [rng.standard_normal((40, 2)) @ rng.standard_normal((2, 6))
    ...           for _ in range(3)]
    >>> model = CodingRateSubspaceClustering(3, random_state=0).fit(np.vstack(planes))
    >>> [len(set(model.labels_[s : s + 40].tolist())) for s in (0, 40, 80)]
    [1, 1, 1]
    """

    rate_history_ = OldAttribute("history_")

    _parameter_constraints: dict = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "eps": [Interval(Real, 1e-75, 1e75, closed="both"), StrOptions({"auto"})],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init": ["array-like", StrOptions({"random", "spectral"})],
        "annealing": [Interval(Real, 0, None, closed="neither"), None],
        "membership": [StrOptions({"partition", "doubly_stochastic"})],
        "entropy": [Interval(Real, 0, None, closed="neither")],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "balanced": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "map_tol": [Interval(Real, 0, None, closed="left")],
        "normalize": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        eps="auto",
        n_init=4,
        init=("random", "spectral"),
        annealing=3.0,
        membership="partition",
        entropy=3.0,
        n_components=None,
        balanced=False,
        max_iter=100,
        tol=1e-9,
        map_tol=1e-6,
        normalize=True,
        random_state=None,
        n_jobs=None,
    ):
        self.n_clusters = n_clusters
        self.eps = eps
        self.n_init = n_init
        self.init = init
        self.annealing = annealing
        self.membership = membership
        self.entropy = entropy
        self.n_components = n_components
        self.balanced = balanced
        self.max_iter = max_iter
        self.tol = tol
        self.map_tol = map_tol
        self.normalize = normalize
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Cluster the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : None
            Ignored.

        Returns
        -------
        self : CodingRateSubspaceClustering
            The fitted estimator.
        """
        X = self._rows(X, reset=True)
        n, k = len(X), self.n_clusters
        check_enough_samples(n, k)
        self._check_options(X)
        rng = check_random_state(self.random_state)
        kinds = self._kinds(n)
        self.affinity_matrix_ = self.projection_ = self.reduction_history_ = None
        Z = X
        if self.n_components is not None:
            self.projection_ = first_map(X, self.n_components)
            Z, _ = mapped_rows(X, self.projection_, self.normalize)
        if self.membership == "partition":
            found, self.eps_ = self._partition(Z, kinds, rng)
        else:
            found, self.eps_ = self._affinity(Z, rng)
        if self.n_components is not None:
            whole, _ = self._partition(X, kinds, rng)
            runs = [self._learn_map(X, start) for start in (found.labels, whole.labels)]
            Z, found, self.projection_, history = max(runs, key=lambda run: run[-1][-1])
            self.reduction_history_ = np.array(history)
        eps, labels = self.eps_, found.labels
        self.labels_ = labels.astype(np.int32)
        self.coding_rate_ = float(rate_slopes(Z, labels, k, eps)[1])
        self.rate_reduction_ = coding_rate(Z, eps) - self.coding_rate_
        self.code_length_ = _code_length(Z, labels, k, eps)
        self.metrics_, self._offsets = group_factors(Z, labels, k, eps)
        self.subspace_bases_ = [_basis(Z[labels == j], eps) for j in range(k)]
        self.history_ = np.array(found.history)
        self.n_iter_ = max(1, len(found.history) - 1)
        self._report(found.change, X)
        return self

    def _check_options(self, X):
        n, d = X.shape
        affinity = self.membership == "doubly_stochastic"
        if affinity and n > _MOST_AFFINITY:
            raise ValueError(
                f"membership='doubly_stochastic' forms n x n matrices and takes at "
                f"most {_MOST_AFFINITY} samples, got {n}. Use membership='partition'."
            )
        if affinity and (self.balanced or self.n_components is not None):
            raise ValueError(
                "membership='doubly_stochastic' goes neither with balanced=True nor "
                "with n_components. Use membership='partition'."
            )
        if self.n_components is not None and self.n_components > d:
            raise ValueError(
                f"n_components={self.n_components} must be at most the {d} features."
            )

    def _rows(self, X, *, reset):
        refuse_complex(X)
        X = validate_data(self, X, dtype=np.float64, order="C", reset=reset)
        if not self.normalize:
            return check_magnitude(X)
        # Scaled by the largest entry first: squares may overflow.
        largest = np.abs(X).max(axis=1)
        zero = np.flatnonzero(largest == 0)
        if len(zero):
            raise ValueError(
                f"Rows {zero[:10].tolist()} of X are zero and have no direction. Drop "
                "them, or set normalize=False."
            )
        X = X / largest[:, None]
        return X / np.linalg.norm(X, axis=1)[:, None]

    def _kinds(self, n):
        """Return the kinds of starts, or labels given by the user."""
        if isinstance(self.init, str):
            return (self.init,)
        kinds = tuple(self.init)
        if kinds and all(isinstance(kind, str) for kind in kinds):
            unknown = sorted(set(kinds) - {"random", "spectral"})
            if unknown:
                raise ValueError(
                    f"init has unknown kinds {unknown}. Expected 'random', 'spectral' "
                    "or labels."
                )
            return kinds
        labels = np.asarray(self.init)
        if labels.shape != (n,) or labels.dtype.kind not in "iu":
            raise ValueError(
                f"init as labels must be {n} integers, one a sample, got shape "
                f"{labels.shape} and dtype {labels.dtype}."
            )
        if labels.min() < 0 or labels.max() >= self.n_clusters:
            raise ValueError(
                f"init as labels must be in 0..{self.n_clusters - 1}, got "
                f"{labels.min()}..{labels.max()}."
            )
        return labels.astype(np.int64)

    def _starts(self, X, kinds, rng):
        """Return starts as labels of the rows, and of a part for spectral ones."""
        if isinstance(kinds, np.ndarray):
            return [kinds]
        n, k = len(X), self.n_clusters
        starts = []
        if "spectral" in kinds and n >= max(3, k):
            starts.append(_spectral_start(X, k, rng))
        if "random" in kinds or not starts:
            for _ in range(self.n_init):
                starts.append(rng.permutation(n) % k)
        return starts

    def _partition(self, X, kinds, rng):
        """Return the partition of the shortest description, and its distortion."""
        n, k = len(X), self.n_clusters
        part = None
        if n > _MOST_ROWS and not isinstance(kinds, np.ndarray):
            part = np.sort(rng.choice(n, _PART, replace=False))
        rows = X if part is None else X[part]
        starts = self._starts(rows, kinds, rng)
        grid = _EPS_GRID if self.eps == "auto" else (float(self.eps),)

        def run(eps, *labels):
            if self.annealing is not None:
                labels = anneal(rows, labels, k, eps, self.annealing)
            return [self._descend(rows, start, eps) for start in _distinct(labels)]

        searched = _SEARCHED if len(grid) > 1 else grid
        tasks = [
            (eps, *batch) for eps in searched for batch in batches(starts, rows, k)
        ]
        runs = run_parallel(run, tasks, n_jobs=self.n_jobs)
        found = {
            eps: [
                run
                for task, batch in zip(tasks, runs, strict=True)
                if task[0] == eps
                for run in batch
            ]
            for eps in grid
        }
        # What one distortion finds is a start for the others.
        tops = [min(found[eps], key=lambda run: run.rate).labels for eps in searched]
        tops = _distinct(tops)
        for eps in grid:
            if len(tops) > 1 or eps not in searched:
                found[eps] += [self._descend(rows, top, eps) for top in tops]
        best = None
        for eps in grid:
            mine = sorted(found[eps], key=lambda run: run.rate)
            length = _code_length(rows, mine[0].labels, k, eps)
            if best is None or length < best[0]:
                best = length, eps, mine
        _, eps, mine = best
        if part is None:
            return mine[0], eps
        final = []
        for found in mine[:_FINALISTS]:
            factors = group_factors(rows, found.labels, k, eps)
            labels = slopes_of(X, *factors, eps).argmin(axis=1)
            final.append(self._descend(X, labels, eps))
        return min(final, key=lambda found: found.rate), eps

    def _affinity(self, X, rng):
        """Return spectral labels of the affinity of least rate, and its distortion."""
        n, k = len(X), self.n_clusters
        if n < 3 or k == 1:
            self.affinity_matrix_ = np.full((n, n), 1.0 / n)
            labels = np.arange(n) % k
            return RateDescent(labels, 0.0, [0.0], 0.0), self._only_eps()
        start = cosine_affinity(X)
        seed = int(rng.randint(2**31 - 1))
        best = None
        for eps in _EPS_GRID if self.eps == "auto" else (float(self.eps),):
            found = descend_affinity(
                X, start, eps, self.entropy, self.max_iter, self.map_tol
            )
            _, vectors = spectral_embedding(found.affinity, k)
            labels = spectral_labels(vectors, k, np.random.RandomState(seed))
            length = _code_length(X, labels, k, eps)
            if best is None or length < best[0]:
                best = length, eps, found, labels
        _, eps, found, labels = best
        self.affinity_matrix_ = found.affinity
        return RateDescent(labels, np.nan, found.history, found.change), eps

    def _only_eps(self):
        return _EPS_GRID[0] if self.eps == "auto" else float(self.eps)

    def _learn_map(self, X, labels):
        """Alternate the map and the partition until the rate reduction stands still.

        Returns the mapped rows, the partition, the map and the rate reductions.
        """
        k, eps, W = self.n_clusters, self.eps_, self.projection_
        step, history, change = 1.0, [], np.inf
        for _ in range(self.max_iter):
            W, value, step = ascend_map(X, W, labels, k, eps, self.normalize, step)
            Z, _ = mapped_rows(X, W, self.normalize)
            found = self._descend(Z, labels, eps)
            moved = not np.array_equal(labels, found.labels)
            labels = found.labels
            if moved:
                value = coding_rate(Z, eps) - found.rate
            if history:
                change = abs(value - history[-1])
                change /= max(abs(value), np.finfo(float).tiny)
            history.append(value)
            if not moved and change <= self.map_tol:
                break
        found.change = float(change)
        return Z, found, W, history

    def _descend(self, X, labels, eps):
        return descend(
            X, labels, self.n_clusters, eps, self.max_iter, self.tol, self.balanced
        )

    def _report(self, change, X):
        what, tol = "coding rate", self.tol
        if self.projection_ is not None:
            what, tol = "rate reduction", self.map_tol
        elif self.affinity_matrix_ is not None:
            what, tol = "rate of the affinity", self.map_tol
        self.certificate_ = Certificate(
            "monotone_bound",
            float(change),
            float(tol),
            bool(change <= tol),
            f"last change of the {what} relative to itself",
            {"coding_rate": self.coding_rate_},
        )
        warn_if_unsatisfied(
            self.certificate_,
            "CodingRateSubspaceClustering did not converge: the last change",
            "Raise max_iter or tol, of affinities and maps map_tol.",
        )
        if few_distinct_rows(X, self.n_clusters) is not None:
            return
        warn_if_fewer_clusters(
            self.labels_,
            self.n_clusters,
            "coding some rows together is shorter. Lower n_clusters or eps.",
        )

    def predict(self, X):
        """Return the cluster that codes each row best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Clusters.
        """
        check_is_fitted(self)
        X = self._rows(X, reset=False)
        if self.projection_ is not None:
            X, _ = mapped_rows(X, self.projection_, self.normalize)
        slopes = slopes_of(X, self.metrics_, self._offsets, self.eps_)
        return slopes.argmin(axis=1).astype(np.int32)


def _distinct(starts):
    """Drop labels that repeat others under other names."""
    out, seen = [], set()
    for labels in starts:
        _, first, names = np.unique(labels, return_index=True, return_inverse=True)
        key = np.argsort(np.argsort(first))[names].tobytes()
        if key not in seen:
            seen.add(key)
            out.append(labels)
    return out


def _spectral_start(X, n_clusters, rng):
    """Return labels from a doubly stochastic kernel of squared cosines."""
    n = len(X)
    part = np.arange(n)
    if n > _MOST_SPECTRAL:
        part = np.sort(rng.choice(n, _MOST_SPECTRAL, replace=False))
    rows = X[part]
    affinity = cosine_affinity(rows)
    _, vectors = spectral_embedding(affinity, n_clusters)
    labels = spectral_labels(vectors, n_clusters, rng, n_init=3)
    if n == len(part):
        return labels
    slopes = slopes_of(X, *group_factors(rows, labels, n_clusters, 0.2), 0.2)
    return slopes.argmin(axis=1)


def _spectrum(B, eps):
    """Return directions of a cluster and their variances over the distortion."""
    d = B.shape[1]
    if not len(B):
        return np.zeros(0), np.zeros((d, 0))
    _, s, directions = np.linalg.svd(B, full_matrices=False)
    return s**2 * d / (len(B) * eps**2), directions.T


def _basis(B, eps):
    ratio, directions = _spectrum(B, eps)
    return directions[:, ratio > 1.0]


def _code_length(X, labels, n_clusters, eps):
    """Return the length of a description of rows, labels and subspaces in nats."""
    n, d = X.shape
    total = 0.5 * n * d * np.log(2.0 * np.pi * eps**2 / d)
    for j in range(n_clusters):
        B = X[labels == j]
        if not len(B):
            continue
        ratio, _ = _spectrum(B, eps)
        total += 0.5 * len(B) * (np.log1p(ratio) + ratio / (1.0 + ratio)).sum()
        total -= len(B) * np.log(len(B) / n)
        rank = int((ratio > 1.0).sum())
        total += 0.5 * np.log(n) * (rank * d - 0.5 * rank * (rank - 1))
    return float(total)
