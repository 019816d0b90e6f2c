"""K-means by semidefinite relaxation, with a bound on what was missed."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClusterMixin

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import warn_if_unsatisfied
from sparsestat._utils.samples import check_samples
from sparsestat._utils.validation import LARGEST_ENTRY, check_magnitude
from sparsestat.cluster._centers import NearestCenters
from sparsestat.cluster._certify import check_weights
from sparsestat.cluster._checks import check_enough_samples
from sparsestat.cluster._sdp_blocks import search_blocks
from sparsestat.cluster._sdp_search import SearchOptions, search_partition

__all__ = ["SDPKMeans"]

_LARGEST_ADMM = 5_000


class SDPKMeans(
    CallbackSupportMixin,
    NearestCenters,
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
    n_init : int or "auto", default="auto"
        Number of k-means++ starts, and of starts of ``nlr``; the partition of least
        cost is kept. ``auto`` makes ten of the first and three of the second.
        ``sketch`` makes one of the first.
    max_iter : int, default=None
        Iterations of the relaxation's solver. None means 2000 for ``admm`` and
        10,000 for ``nlr``.
    tol : float, default=1e-5
        Tolerance on the infeasibility of the relaxation's solver. For ``nlr`` the last
        step, relative to its length and the norm of the factor, may be ten times it.
    label_tol : float or None, default=1e-2
        ``nlr`` stops once the constraints hold to this tolerance, which is enough
        for the labels. None runs it to `tol`, as `sdp_value_` needs; 1e-4 is what
        it reaches in reasonable time.
    gap_tol : float, default=1e-6
        Relative gap under which the labels count as globally optimal.
    polish : bool, default=True
        Finish by Lloyd's iteration from the means of the rounded solution, and every
        start by exchanges of single points, best first, until none gains.
    certify : {"auto", "quick", "sdp"} or bool, default="auto"
        How the lower bound is proved. ``quick`` costs about as much as a few Lloyd
        iterations, succeeds when clusters are visibly apart and leaves half the cost
        open where they touch; with ``solver="auto"`` no relaxation is solved then.
        ``sdp`` solves the dense relaxation (at most 5000 points) where ``quick`` does
        not prove optimality: on real tables it leaves a few per cent. ``auto`` does so
        for up to 1000 points, and is ``quick`` beyond. True stands for ``auto``; False
        computes no bound.
    sketch_size : int, default=1000
        Points in the subsample of ``sketch``, and of any solver where X comes in blocks
        of rows.
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
        No partition into as many clusters costs less. 0 if ``certify=False``.
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
    six n x n arrays are held. The factorized problem is not convex; it is the
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

    _by_rows = True

    _parameter_constraints = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"auto", "admm", "nlr", "sketch", "cvxpy"})],
        "rank": [Interval(Integral, 1, None, closed="left"), None],
        "init": [StrOptions({"auto", "k-means++", "random"})],
        "n_init": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "label_tol": [Interval(Real, 0, None, closed="neither"), None],
        "gap_tol": [Interval(Real, 0, None, closed="left")],
        "polish": ["boolean"],
        "certify": [StrOptions({"auto", "quick", "sdp"}), "boolean"],
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
        n_init="auto",
        max_iter=None,
        tol=1e-5,
        label_tol=1e-2,
        gap_tol=1e-6,
        polish=True,
        certify="auto",
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
        check_magnitude(inner, largest=LARGEST_ENTRY)
        self._check_size(inner.shape[0])
        if self.rank is not None and self.rank < self.n_clusters:
            raise ValueError(
                f"rank={self.rank} must be at least n_clusters={self.n_clusters}."
            )
        limit = self.max_iter or (2_000 if self.solver == "auto" else 10_000)
        with FitProgress(self, limit, X=X, verbose=self.verbose) as progress:
            options = self._options(SearchOptions)
            search = search_partition(options, inner, weights[kept], progress)
        self._store(X, kept, search)
        return self

    def _fit_blocks(self, blocks):
        limit = self.max_iter or (2_000 if self.solver == "auto" else 10_000)
        with FitProgress(self, limit, verbose=self.verbose) as progress:
            found = search_blocks(self._options(SearchOptions), blocks, progress)
        self._frame, self.labels_ = found.frame, found.labels
        self.cluster_centers_, self.inertia_ = found.centers, found.inertia
        self._store_certificate(found.certificate)
        self.sdp_value_ = None  # that of a sample tells nothing
        self.membership_factor_ = self.membership_matrix_ = None
        self.primal_infeasibility_ = found.infeasibility
        self.n_iter_ = found.n_iter
        warn_if_unsatisfied(
            self.certificate_,
            "SDPKMeans saw a sample of the rows and is not proved optimal: the gap",
            "Raise sketch_size or gap_tol, or pass X in memory.",
        )
        return self

    def _check_size(self, n):
        check_enough_samples(
            n, self.n_clusters, "Lower n_clusters. Samples of weight zero do not count."
        )
        if self.solver in ("admm", "cvxpy") and n > _LARGEST_ADMM:
            raise ValueError(
                f"solver={self.solver!r} forms n x n matrices and takes at most "
                f"{_LARGEST_ADMM} samples, got {n}. Use solver='nlr' or 'auto'."
            )
        if self.certify == "sdp" and n > _LARGEST_ADMM:
            raise ValueError(
                f"certify='sdp' forms n x n matrices and takes at most {_LARGEST_ADMM} "
                f"samples, got {n}. Use certify='quick' or 'auto'."
            )

    def _store(self, X, kept, search):
        self._frame = search.data.frame
        self.cluster_centers_ = search.centers
        self.inertia_ = search.inertia
        if len(kept) == X.shape[0]:
            self.labels_ = search.labels.astype(np.int32)
        else:
            labels = self._nearest(X)
            labels[kept] = search.labels
            self.labels_ = labels.astype(np.int32)
        self._store_certificate(search.certificate)
        self.sdp_value_ = search.sdp_value
        if search.sdp_value is not None:
            self.sdp_value_ *= search.data.cost_unit
        self.membership_factor_ = search.factor
        self.membership_matrix_ = search.matrix
        self.primal_infeasibility_ = search.infeasibility
        self.n_iter_ = search.n_iter
        warn_if_unsatisfied(
            self.certificate_,
            "SDPKMeans did not converge: the infeasibility of the relaxation",
            "Raise max_iter or tol. The bound reported is valid all the same.",
        )

    def _store_certificate(self, certificate):
        self.certificate_ = certificate
        self.lower_bound_ = certificate.lower_bound
        self.gap_ = certificate.gap
        self.certified_ = certificate.certified

    def _validate(self, X, *, reset):
        return check_samples(self, X, accept_sparse="csr", reset=reset, largest=None)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
