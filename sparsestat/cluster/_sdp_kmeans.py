"""K-means by semidefinite relaxation, with a bound on what was missed."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from contextlib import nullcontext
from numbers import Integral, Real

import numpy as np
from scipy import linalg, sparse
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.metrics import pairwise_distances_argmin
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils import check_random_state
from sklearn.utils.extmath import row_norms
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    check_sample_weight,
    fit_context,
)
from sparsestat._utils.parallel import run_parallel, single_blas_thread
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import users_stacklevel, warn_if_unsatisfied
from sparsestat._utils.validation import check_magnitude, refuse_complex
from sparsestat.cluster._admm import solve_admm
from sparsestat.cluster._certify import Bounds, check_weights
from sparsestat.cluster._data import CentredRows
from sparsestat.cluster._nlr import initial_factor, round_factor, solve_low_rank
from sparsestat.cluster._seeding import kmeans_plusplus, lloyd
from sparsestat.exceptions import ConvergenceWarning

__all__ = ["SDPKMeans"]

_AUTO_ADMM = 1_000
_LARGEST_ADMM = 5_000
_NLR_TOL = 1e-4
_GENERIC_TOL = 1e-3  # what generic conic solvers leave of the constraints
_SETTLE = 1e-2
_SMALL = 500  # points: below, threads of BLAS cost more than they give
_SOLVER_SCALE = "infeasibility of the relaxation / its right-hand side"
_BOUND_SCALE = "last change of the lower bound / remaining gap"


class SDPKMeans(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClusterMixin,
    SparsestatEstimator,
):
    r"""K-means by semidefinite relaxation, saying whether the optimum was found.

    The cost of a partition with cluster indicators :math:`1_k` of sizes :math:`n_k`
    is :math:`\operatorname{tr} XX^\top - \langle XX^\top, Z\rangle` with
    :math:`Z = \sum_k 1_k 1_k^\top / n_k`. The relaxation

    .. math:: \max_Z \langle XX^\top, Z\rangle \quad \text{s.t.} \quad
        Z \succeq 0,\; Z \ge 0,\; Z 1 = 1,\; \operatorname{tr} Z = K

    is convex, so it bounds the cost of every partition from below. Where the bound
    meets the cost, the labels are a global optimum, and `certified_` is True. Read
    more in the :ref:`User Guide <sdp_kmeans>`.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters K.
    solver : {"auto", "admm", "nlr", "sketch", "cvxpy"}, default="auto"
        ``auto`` runs k-means++ starts and tries to certify the best; failing that
        it solves the relaxation, densely up to 1000 points and by a low-rank factor
        above. ``admm`` solves it densely (at most 5000 points). ``nlr`` finds a
        non-negative factor in memory linear in n. ``sketch`` solves it on a random
        subsample. ``cvxpy`` hands it to a generic solver, for tiny data.
    rank : int, default=None
        Columns of the factor of ``nlr``. None means ``2 * n_clusters``.
    init : {"auto", "k-means++", "random"}, default="auto"
        Starts of ``nlr``: ``auto`` takes one from k-means++ and the others at
        random.
    n_init : int, default=3
        Number of starts; the partition of least cost is kept.
    max_iter : int, default=None
        Iterations of the relaxation's solver. None means 2000 for ``admm`` and
        10,000 for ``nlr``.
    tol : float, default=1e-5
        Tolerance on infeasibility and stationarity of the relaxation's solver.
    label_tol : float or None, default=1e-2
        ``nlr`` stops once the constraints hold to this tolerance, which is enough
        for the labels. None runs it to ``max(tol, 1e-4)``, as `sdp_value_` needs.
    gap_tol : float, default=1e-6
        Relative gap under which the labels count as globally optimal.
    polish : bool, default=True
        Finish by Lloyd's iteration from the means of the rounded solution.
    certify : bool, default=True
        Compute the lower bound.
    sketch_size : int, default=1000
        Points in the subsample of ``sketch``.
    sketch_rounds : int, default=1
        Subsamples of ``sketch``, each weighted by the labels before it.
    sketch_weighting : {"uniform", "cluster"}, default="uniform"
        Whether points are drawn alike, or so that each preliminary cluster gets the
        same share, which suits clusters of unequal size.
    sketch_epochs : int, default=1
        Disjoint subsamples in each round of ``sketch``, as many as there are points
        for. The means of each are matched to those of the first and averaged.
    sketch_balance : bool, default=False
        Take the means of ``sketch`` from as many points of each cluster of the
        subsample, those of the smallest. Distances to means of large clusters are
        otherwise short by what their means lack in noise, which misplaces points
        where clusters are of unequal size and there are many features.
    random_state : int, RandomState instance or None, default=None
        Draws starts and subsamples.
    n_jobs : int, default=None
        Workers for the starts of ``nlr``; results do not depend on it.
    verbose : int, default=0
        At 1 and above, log a line per check of the dense solver.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of each point.
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Means of the clusters.
    inertia_ : float
        Cost: weighted sum of squared distances to the own mean.
    lower_bound_ : float
        No partition into as many clusters costs less. 0 without `certify`.
    gap_ : float
        ``(inertia_ - lower_bound_) / inertia_``.
    certified_ : bool
        Whether the labels are a global optimum, up to `gap_tol`.
    certificate_ : KMeansCertificate
        Kind ``lower_bound``. Its value is the infeasibility of the relaxation's
        solver, or how much the bound still moved when ``auto`` stopped. Its fields
        `bound`, `lower_bound`, `gap` and `certified` say what was proved.
    sdp_value_ : float or None
        Value of the relaxation, where a solver ran to `tol`.
    membership_factor_ : ndarray of shape (n_samples, rank) or None
        Non-negative factor of ``nlr``.
    membership_matrix_ : ndarray of shape (n_samples, n_samples) or None
        Z of ``admm`` and ``cvxpy``.
    primal_infeasibility_ : float
        How far the relaxation's constraints are from holding; 0 if it was not
        needed.
    n_iter_ : int
        Iterations of the relaxation's solver; 0 if it was not needed.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    kmeans_certificate : The bound alone, for labels from anywhere.
    sklearn.cluster.KMeans : Faster, and silent about what it missed.

    Notes
    -----
    Memory is O(n (d + rank)) but for ``admm`` and ``auto`` up to 1000 points, where
    six n x n arrays are held. The factorised problem is not convex; it is the
    certificate that proves an answer, not convergence.

    References
    ----------
    .. [1] J. Peng, Y. Wei, "Approximating K-means-type clustering via semidefinite
       programming", SIAM J. Optim. 18, 2007.
    .. [2] Y. Zhuang, X. Chen, Y. Yang, R. Zhang, "Statistically optimal K-means
       clustering via nonnegative low-rank semidefinite programming", ICLR 2024.
    .. [3] Y. Zhuang, X. Chen, Y. Yang, "Sketch-and-lift: scalable subsampled
       semidefinite program for K-means clustering", AISTATS 2022.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sparsestat.cluster import SDPKMeans
    >>> X, _ = make_blobs(200, centers=4, cluster_std=0.5, random_state=0)
    >>> model = SDPKMeans(4, random_state=0).fit(X)
    >>> model.certified_, model.certificate_
    (True, global optimum, proved)
    """

    _parameter_constraints = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"auto", "admm", "nlr", "sketch", "cvxpy"})],
        "rank": [Interval(Integral, 1, None, closed="left"), None],
        "init": [StrOptions({"auto", "k-means++", "random"})],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "label_tol": [Interval(Real, 0, None, closed="neither"), None],
        "gap_tol": [Interval(Real, 0, None, closed="left")],
        "polish": ["boolean"],
        "certify": ["boolean"],
        "sketch_size": [Interval(Integral, 2, None, closed="left")],
        "sketch_rounds": [Interval(Integral, 1, None, closed="left")],
        "sketch_weighting": [StrOptions({"uniform", "cluster"})],
        "sketch_epochs": [Interval(Integral, 1, None, closed="left")],
        "sketch_balance": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        solver="auto",
        rank=None,
        init="auto",
        n_init=3,
        max_iter=None,
        tol=1e-5,
        label_tol=1e-2,
        gap_tol=1e-6,
        polish=True,
        certify=True,
        sketch_size=1000,
        sketch_rounds=1,
        sketch_weighting="uniform",
        sketch_epochs=1,
        sketch_balance=False,
        random_state=None,
        n_jobs=None,
        verbose=0,
    ):
        self.n_clusters = n_clusters
        self.solver = solver
        self.rank = rank
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.label_tol = label_tol
        self.gap_tol = gap_tol
        self.polish = polish
        self.certify = certify
        self.sketch_size = sketch_size
        self.sketch_rounds = sketch_rounds
        self.sketch_weighting = sketch_weighting
        self.sketch_epochs = sketch_epochs
        self.sketch_balance = sketch_balance
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Find the partition and bound its distance from the optimum.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Points. Never densified or modified.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; integer weights are repetition.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If there are fewer points than clusters, or more points than `solver`
            takes.
        ImportError
            If ``solver="cvxpy"`` and cvxpy is not installed.
        """
        X = self._validate(X, reset=True)
        weights = check_weights(sample_weight, X)
        kept = np.flatnonzero(weights > 0)
        inner = X if len(kept) == X.shape[0] else X[kept]
        self._check_size(inner.shape[0])
        if self.rank is not None and self.rank < self.n_clusters:
            raise ValueError(
                f"rank={self.rank} must be at least n_clusters={self.n_clusters}."
            )
        limit = self.max_iter or (2_000 if self.solver == "auto" else 10_000)
        with FitProgress(self, limit, X=X, verbose=self.verbose) as progress:
            search = _Search(self, inner, weights[kept], progress)
            small = inner.shape[0] <= _SMALL
            with single_blas_thread() if small else nullcontext():
                search.run()
        self._store(X, kept, search)
        return self

    def _check_size(self, n):
        if n < self.n_clusters:
            raise ValueError(
                f"n_samples={n} should be >= n_clusters={self.n_clusters}. Samples "
                "of weight zero do not count."
            )
        if self.solver in ("admm", "cvxpy") and n > _LARGEST_ADMM:
            raise ValueError(
                f"solver={self.solver!r} forms n x n matrices and takes at most "
                f"{_LARGEST_ADMM} samples, got {n}. Use solver='nlr' or 'auto'."
            )

    def _store(self, X, kept, search):
        self.cluster_centers_ = search.centres
        self.inertia_ = search.cost
        if len(kept) == X.shape[0]:
            self.labels_ = search.labels.astype(np.int32)
        else:
            labels = pairwise_distances_argmin(X, search.centres)
            labels[kept] = search.labels
            self.labels_ = labels.astype(np.int32)
        self.certificate_ = search.certificate
        self.lower_bound_ = search.certificate.lower_bound
        self.gap_ = search.certificate.gap
        self.certified_ = search.certificate.certified
        self.sdp_value_ = search.sdp_value
        self.membership_factor_ = search.factor
        self.membership_matrix_ = search.matrix
        self.primal_infeasibility_ = search.infeasibility
        self.n_iter_ = search.n_iter
        warn_if_unsatisfied(
            self.certificate_,
            "SDPKMeans did not converge: the infeasibility of the relaxation",
            "Raise max_iter or tol. The bound reported is valid all the same.",
        )

    def _validate(self, X, *, reset):
        refuse_complex(X)
        X = validate_data(
            self, X, accept_sparse="csr", dtype=np.float64, order="C", reset=reset
        )
        return check_magnitude(X)

    def predict(self, X):
        """Return the nearest cluster of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Index of the nearest mean.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        return pairwise_distances_argmin(X, self.cluster_centers_).astype(np.int32)

    def transform(self, X):
        """Return the distances to the cluster means.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_clusters)
            Euclidean distances.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        return self._distances(X)

    def score(self, X, y=None, sample_weight=None):
        """Return minus the K-means cost of X under the fitted means.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        score : float
            Larger is better; at most 0.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        weights = check_sample_weight(sample_weight, X, dtype=np.float64)
        return -float(weights @ self._distances(X).min(axis=1) ** 2)

    def _distances(self, X):
        if sparse.issparse(X):
            return euclidean_distances(X, self.cluster_centers_)
        return cdist(X, self.cluster_centers_)  # exact where a point is a centre

    @property
    def _n_features_out(self):
        return self.cluster_centers_.shape[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class _Search:
    """One fit: the best partition so far, and what the solvers left behind."""

    def __init__(self, params, X, weights, progress):
        self.params, self.progress = params, progress
        self.X, self.weights = X, weights
        self.K = params.n_clusters
        self.rng = check_random_state(params.random_state)
        self.data = CentredRows(X, weights)
        # Lloyd on centred data: rounding must not depend on where the origin is.
        self.shift = np.zeros(X.shape[1])
        self.rows = X
        if not self.data.is_sparse:
            self.shift = self.data.mean
            self.rows = X - self.shift
        self.cost = np.inf
        self.sdp_value = self.factor = self.matrix = None
        self.infeasibility, self.n_iter, self.converged = 0.0, 0, True
        self.solved = 0.0, params.tol, _SOLVER_SCALE

    def run(self):
        params = self.params
        self.n_distinct = self.X.shape[0]
        if params.solver in ("auto", "admm", "cvxpy") or self.K == 1:
            self.plus_plus(params.n_init)
        else:
            self.plus_plus(1 if params.init != "random" else 0)
        if self.K == 1 or self.cost == 0.0:
            self.finish()
            return
        if params.solver == "auto":
            self.auto()
            return
        getattr(self, params.solver)()
        self.finish()

    # Starts and rounding

    def offer(self, labels, polish=True):
        """Keep a partition if it costs less than the best one, after polishing."""
        used, labels = np.unique(labels, return_inverse=True)
        centres = _means(self.rows, labels, self.weights, len(used))
        if polish and len(used) == self.K:
            labels, centres, cost = lloyd(self.rows, centres, self.weights)
        else:
            cost = _cost(self.rows, labels, self.weights, centres)
        if cost < self.cost:
            self.labels, self._centres, self.cost = labels, centres, float(cost)
            return True
        return False

    def plus_plus(self, n_init):
        """Try k-means++ starts."""
        for _ in range(n_init):
            picks = kmeans_plusplus(self.rows, self.K, self.rng, self.weights)
            centres = self.rows[picks]
            centres = centres.toarray() if sparse.issparse(centres) else centres
            if len(picks) < self.K:
                self.few_points(centres)
                return
            labels, centres, cost = lloyd(self.rows, centres, self.weights)
            if cost < self.cost:
                self.labels, self._centres, self.cost = labels, centres, float(cost)

    def few_points(self, centres):
        """Give every distinct point a cluster of its own, which costs nothing."""
        warnings.warn(
            f"Number of distinct points ({len(centres)}) found smaller than "
            f"n_clusters ({self.K}). Possibly due to duplicate points in X.",
            ConvergenceWarning,
            stacklevel=users_stacklevel(),
        )
        self.labels = pairwise_distances_argmin(self.rows, centres).astype(np.int64)
        self._centres = np.vstack((centres, centres[:1].repeat(self.K, axis=0)))
        self._centres = self._centres[: self.K]
        self.cost = 0.0

    @property
    def centres(self):
        return self._centres + self.shift

    # Solvers

    def auto(self):
        """Certify k-means++, and solve the relaxation only where that fails."""
        bounds = self.bounds()
        self.certificate = self.certify(bounds)
        if self.certificate.certified or not self.params.certify:
            return
        if self.X.shape[0] <= _AUTO_ADMM:
            result = bounds.add_dual(settle=_SETTLE, **self.admm_options())
            if result is None:
                return
            better = self.keep_dense(result)
            if result.converged and result.infeasibility > self.params.tol:
                # It stopped on the bound, which is what was asked of it.
                value = result.change if result.change <= _SETTLE else 0.0
                self.solved = value, _SETTLE, _BOUND_SCALE
            if better:
                fresh = self.bounds()
                fresh._keep(bounds.bound, bounds.lower_bound)
                bounds = fresh
        else:
            better = self.nlr(self.params.n_init)
            if better:
                bounds = self.bounds()
        self.certificate = self.certify(bounds)

    def admm_options(self):
        params = self.params
        return {
            "max_iter": params.max_iter or 2_000,
            "tol": params.tol,
            "gap_tol": params.gap_tol,
            "report": self.progress.step,
        }

    def admm(self):
        bounds = self.bounds()
        options = self.admm_options()
        multiplier = bounds.warm_multiplier()
        if self.X.shape[0] == self.K:
            return
        result = solve_admm(
            self.data,
            self.K,
            cost=self.cost,
            start=self.labels if multiplier is not None else None,
            multiplier=multiplier,
            stop_at_gap=self.params.certify,
            **options,
        )
        self.extra_bound = ("dual", result.lower_bound)
        self.keep_dense(result)

    def keep_dense(self, result):
        """Store a dense solution and round it."""
        root = self.data.root
        self.matrix = result.membership / np.multiply.outer(root, root)
        self.sdp_value = result.value
        self.infeasibility, self.n_iter = result.infeasibility, result.n_iter
        self.converged = result.converged
        self.solved = result.infeasibility, self.params.tol, _SOLVER_SCALE
        n = len(root)
        vectors = linalg.eigh(result.membership, subset_by_index=(n - self.K, n - 1))[1]
        return self.offer(self.labels_from(vectors), self.params.polish)

    def labels_from(self, vectors):
        rows = vectors / self.data.root[:, None]
        picks = kmeans_plusplus(rows, self.K, self.rng, self.weights)
        if len(picks) < self.K:
            return self.labels
        return lloyd(rows, rows[picks], self.weights)[0]

    def cvxpy(self):
        """Hand the relaxation to a generic conic solver."""
        try:
            import cvxpy as cp
        except ImportError as error:
            raise ImportError(
                "solver='cvxpy' needs the package cvxpy. Install it, or use "
                "solver='admm', which solves the same problem."
            ) from error
        n = self.X.shape[0]
        if n == self.K:
            return
        gram = self.data.gram()
        scale = max(float(np.trace(gram)), np.finfo(float).tiny)
        Z = cp.Variable((n, n), PSD=True)
        constraints = [Z >= 0, Z @ self.data.root == self.data.root]
        constraints.append(cp.trace(Z) == self.K)
        problem = cp.Problem(cp.Maximize(cp.trace(gram / scale @ Z)), constraints)
        problem.solve()
        if Z.value is None:
            raise ValueError(f"cvxpy did not solve the relaxation: {problem.status}.")
        root = self.data.root
        self.matrix = Z.value / np.multiply.outer(root, root)
        self.sdp_value = scale * float(problem.value)
        self.infeasibility = float(abs(Z.value @ root - root).max())
        self.converged = problem.status == "optimal"
        self.solved = self.infeasibility, _GENERIC_TOL, _SOLVER_SCALE
        vectors = linalg.eigh(Z.value, subset_by_index=(n - self.K, n - 1))[1]
        self.offer(self.labels_from(vectors), self.params.polish)

    def nlr(self, n_random=None):
        """Run the low-rank solver from each start; keep the cheapest partition."""
        params, K = self.params, self.K
        n_init = params.n_init if n_random is None else n_random
        rank = params.rank or 2 * K
        starts = []
        for i in range(n_init):
            from_labels = n_random is None and (
                params.init == "k-means++" or (params.init == "auto" and i == 0)
            )
            seed = int(self.rng.randint(2**31 - 1))
            starts.append((seed, self.labels if from_labels else None))
        tasks = [
            (self.data, K, rank, seed, labels, self.low_rank_options())
            for seed, labels in starts
        ]
        found = run_parallel(_low_rank_start, tasks, n_jobs=params.n_jobs)
        better, best = False, None
        for result, labels in found:
            improved = self.offer(labels, params.polish)
            better = better or improved
            if best is None or improved:
                best = result
        self.factor = best.factor / self.data.root[:, None]
        if params.label_tol is None:
            self.sdp_value = best.value
        self.infeasibility, self.n_iter = best.infeasibility, best.n_iter
        self.converged = best.converged
        labels_only = params.label_tol is not None
        tol = params.label_tol if labels_only else self.low_rank_tol()
        self.solved = best.infeasibility, tol, _SOLVER_SCALE
        return better

    def low_rank_tol(self):
        return max(self.params.tol, _NLR_TOL)

    def low_rank_options(self):
        label_tol = self.params.label_tol
        return {
            "tol": self.low_rank_tol(),
            "label_tol": _NLR_TOL if label_tol is None else label_tol,
            "labels_only": label_tol is not None,
            "max_iter": self.params.max_iter or 10_000,
        }

    def sketch(self):
        """Solve on subsamples, and give every point to the nearest mean."""
        params, n = self.params, self.X.shape[0]
        size = min(n, max(params.sketch_size, self.K + 1))
        for _ in range(params.sketch_rounds):
            chance = self.weights / self.weights.sum()
            if params.sketch_weighting == "cluster" and np.isfinite(self.cost):
                mass = np.bincount(self.labels, chance, minlength=self.K)
                chance = chance / mass[self.labels]
                chance /= chance.sum()
            possible = np.count_nonzero(chance)
            size = min(size, possible)
            epochs = min(params.sketch_epochs, possible // size)
            drawn = self.rng.choice(n, epochs * size, replace=False, p=chance)
            parts = [np.sort(part) for part in drawn.reshape(epochs, size)]
            seeds = self.rng.randint(2**31 - 1, size=epochs)
            # Rows drawn by chance stand for their cluster, not for their weight.
            models = [
                self.sketched(rows, int(seed))
                for rows, seed in zip(parts, seeds, strict=True)
            ]
            centres = averaged_centres([self.sketch_centres(*m) for m in models])
            labels = pairwise_distances_argmin(self.rows, centres)
            self.offer(labels, params.polish)
            worst = max((m for m, _ in models), key=_by_infeasibility)
            self.infeasibility = worst.primal_infeasibility_
            self.n_iter = max(m.n_iter_ for m, _ in models)
            self.converged = all(m.certificate_.satisfied for m, _ in models)
            self.solved = self.infeasibility, worst.certificate_.tol, _SOLVER_SCALE

    def sketched(self, rows, seed):
        """Return the relaxation fitted to a few rows, and these rows."""
        params = self.params
        inner = SDPKMeans(
            self.K,
            solver="nlr",
            rank=params.rank,
            init="random",
            n_init=params.n_init,
            max_iter=params.max_iter,
            tol=params.tol,
            label_tol=params.label_tol,
            certify=False,
            random_state=seed,
            n_jobs=params.n_jobs,
        )
        return inner.fit(self.rows[rows]), rows

    def sketch_centres(self, inner, rows):
        """Return the means of a subsample's clusters, of equally many points each."""
        if not self.params.sketch_balance:
            return inner.cluster_centers_
        sizes = np.bincount(inner.labels_, minlength=self.K)
        if not sizes.all():
            return inner.cluster_centers_
        centres = np.empty_like(inner.cluster_centers_)
        for k in range(self.K):
            mine = rows[inner.labels_ == k]
            some = np.sort(self.rng.choice(mine, sizes.min(), replace=False))
            centres[k] = np.asarray(self.rows[some].mean(axis=0)).ravel()
        return centres

    # Certificates

    def bounds(self):
        used, labels = np.unique(self.labels, return_inverse=True)
        return Bounds(self.data, labels.astype(np.int64), len(used), self.K)

    def finish(self):
        if not self.params.certify:
            self.certificate = self.certify(None)
            return
        bounds = self.bounds()
        if getattr(self, "extra_bound", None):
            bounds._keep(*self.extra_bound)
        self.certificate = self.certify(bounds)

    def certify(self, bounds):
        if bounds is None:
            bounds = object.__new__(Bounds)
            bounds.cost, bounds.bound, bounds.lower_bound = self.cost, "trivial", 0.0
            bounds.lam = bounds.lam_max = bounds.slack = np.nan
        return bounds.certificate(
            self.params.gap_tol,
            value=self.solved[0],
            tol=self.solved[1],
            satisfied=self.converged,
            scale=self.solved[2],
        )


def _by_infeasibility(model):
    return model.primal_infeasibility_


def averaged_centres(sets):
    """Match sets of centres to the first one and average them."""
    total = sets[0].copy()
    for other in sets[1:]:
        _, order = linear_sum_assignment(cdist(sets[0], other, "sqeuclidean"))
        total += other[order]
    return total / len(sets)


def _low_rank_start(data, n_clusters, rank, seed, labels, options):
    """Return the solver's result and the labels it rounds to."""
    rng = np.random.RandomState(seed)
    U = initial_factor(
        data.shape[0], rank, n_clusters, rng, labels=labels, weights=data.weights
    )
    result = solve_low_rank(data, n_clusters, U, **options)
    labels = round_factor(result.factor, data.weights, n_clusters, rng)
    return result, labels


def _indicator(labels, weights, n_clusters):
    n = len(labels)
    return sparse.csr_array((weights, labels, np.arange(n + 1)), shape=(n, n_clusters))


def _means(rows, labels, weights, n_clusters):
    """Return the weighted means of the clusters, as a dense array."""
    sizes = np.bincount(labels, weights, minlength=n_clusters)
    sums = _indicator(labels, weights, n_clusters).T @ rows
    sums = sums.toarray() if sparse.issparse(sums) else sums
    return sums / sizes[:, None]


def _cost(rows, labels, weights, centres):
    """Return the weighted sum of squared distances to the own centre."""
    own = np.einsum("ij,ij->i", centres, centres)[labels]
    if sparse.issparse(rows):
        scores = rows @ centres.T
        cross = np.asarray(scores)[np.arange(len(labels)), labels]
        distance = row_norms(rows, squared=True) - 2.0 * cross + own
        return float(weights @ np.maximum(distance, 0.0))
    return float(weights @ np.square(rows - centres[labels]).sum(axis=1))
