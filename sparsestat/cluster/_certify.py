"""Certificates for partitions that come from anywhere."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import column_or_1d

from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.block_sources import comes_in_blocks
from sparsestat._utils.blocks import row_blocks
from sparsestat._utils.compat import (
    Interval,
    StrOptions,
    check_sample_weight,
    validate_params,
)
from sparsestat._utils.validation import LARGEST_ENTRY, check_magnitude, refuse_complex
from sparsestat.cluster._admm import solve_admm
from sparsestat.cluster._certificate import (
    ClusterMoments,
    KMeansCertificate,
    dense_multiplier,
    pca_bound,
    rank_one_bound,
    relative_gap,
    sampled_bound,
)
from sparsestat.cluster._certify_blocks import BlockClusterMoments, labels_of_blocks
from sparsestat.cluster._data import CenteredRows
from sparsestat.cluster._seeding import kmeans_plusplus, lloyd

__all__ = ["Bounds", "check_weights", "dual_fits", "kmeans_certificate"]

LARGEST_DUAL = 3_000  # points that the dense relaxation takes in a certificate
_LARGEST_SIDE = 4_000
# What a proof may cost that nobody asked for by name: some 300 steps of n^3 flops, and
# six n x n arrays.
_DUAL_STEPS, _DUAL_FLOPS, _DUAL_BYTES = 300, 3 * 10**11, 2**29
_SETTLE = 1e-2
_TIGHTER = (
    "; the relaxation (method='dual', or certify='sdp' of SDPKMeans) bounds the cost "
    "more tightly"
)


@validate_params(
    {
        "X": "no_validation",
        "labels": ["array-like"],
        "sample_weight": ["array-like", str, None],
        "method": [StrOptions({"auto", "rank_one", "dual", "sampled"})],
        "gap_tol": [Interval(Real, 0, None, closed="left")],
        "subset_size": [Interval(Integral, 2, None, closed="left")],
        "n_subsets": [Interval(Integral, 2, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def kmeans_certificate(
    X,
    labels,
    *,
    sample_weight=None,
    method="auto",
    gap_tol=1e-6,
    subset_size=300,
    n_subsets=20,
    max_iter=1000,
    random_state=None,
):
    r"""Say how far from the global K-means optimum a partition can be.

    Works on the labels of any clustering. With K clusters of means :math:`m_k` and
    cost :math:`J = \sum_i \|x_i - m_{l_i}\|^2` it returns a number that no partition
    into K clusters gets below. If it equals the cost, the partition is globally
    optimal. Read more in the :ref:`User Guide <kmeans_certificates>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Points. Never densified or modified. Or rows in blocks: a collection of dask, a
        table, or what :func:`sparsestat.row_blocks` returns; they are read twice, for
        the bounds of ``method="auto"`` and ``"rank_one"``.
    labels : array-like of shape (n_samples,)
        Cluster of each point: integers or strings, each value a cluster.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights: the certificate of the data with repeated points.
    method : {"auto", "rank_one", "dual", "sampled"}, default="auto"
        ``auto`` tries ``rank_one`` and, where that does not prove optimality, goes on
        to ``dual`` for up to 1000 points: on real tables, whose clusters touch, the
        first often leaves half the cost open and the second a few per cent.
        ``rank_one`` costs about as much as a few Lloyd iterations and succeeds when
        clusters are visibly apart. ``dual`` solves the semidefinite relaxation (at
        most 3000 points) and is tighter. ``sampled`` gives a bound that holds with
        99 % confidence, from relaxations of random subsets; it never certifies.
    gap_tol : float, default=1e-6
        Relative gap under which a partition counts as globally optimal.
    subset_size : int, default=300
        Points in each subset of ``sampled``.
    n_subsets : int, default=20
        Subsets of ``sampled``.
    max_iter : int, default=1000
        Iterations of each relaxation. Fewer give a weaker bound, still valid.
    random_state : int, RandomState instance or None, default=None
        Draws the subsets.

    Returns
    -------
    certificate : KMeansCertificate
        With `lower_bound`, `gap`, `certified` and the name of the `bound`;
        ``details["cost"]`` is the cost of the partition about its means.

    Raises
    ------
    ValueError
        If there are not as many labels as points, or `method` cannot take as many
        points.

    See Also
    --------
    SDPKMeans : Finds the partition as well.

    Notes
    -----
    ``rank_one`` takes O(n d^2 + n d K) time plus eigenproblems of size at most
    min(K d, d + K^2). Beyond X and the labels it holds a few numbers a
    point and blocks of rows, no copy of X. When the size of the eigenproblems
    and the number of points both exceed 4000 no spectral bound is computed and the
    trivial bound 0 is returned. An allowance for rounding is taken off every bound.

    References
    ----------
    .. [1] J. Peng, Y. Wei, "Approximating K-means-type clustering via semidefinite
       programming", SIAM J. Optim. 18, 2007.
    .. [2] T. Iguchi, D. Mixon, J. Peterson, S. Villar, "Probably certifiably
       correct k-means clustering", Math. Program. 165, 2017.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from sparsestat.cluster import kmeans_certificate
    >>> X, _ = make_blobs(300, centers=3, cluster_std=0.5, random_state=1)
    >>> labels = KMeans(3, n_init=3, random_state=0).fit_predict(X)
    >>> certificate = kmeans_certificate(X, labels)
    >>> certificate.certified, certificate.bound
    (True, 'rank_one')
    """
    if comes_in_blocks(X):
        if method not in ("auto", "rank_one"):
            raise ValueError(
                f"method={method!r} needs X in memory. Rows in blocks are certified by "
                "method='rank_one', or pass a sample of the rows."
            )
        blocks = row_blocks(X, None, sample_weight)
        moments = BlockClusterMoments(blocks, labels_of_blocks(blocks, labels))
        return Bounds.of_moments(moments).certificate(gap_tol)
    refuse_complex(X)
    X = check_array(X, accept_sparse="csr", dtype=np.float64)
    labels = column_or_1d(labels)
    check_consistent_length(X, labels)
    names, labels = np.unique(labels, return_inverse=True)
    weights = check_weights(sample_weight, X)
    kept = weights > 0
    if not kept.all():
        X, labels, weights = X[kept], labels[kept], weights[kept]
        names, labels = np.unique(labels, return_inverse=True)
    check_magnitude(X, largest=LARGEST_ENTRY)
    labels = labels.astype(np.int64)
    n = X.shape[0]
    if method == "dual" and n > LARGEST_DUAL:
        raise ValueError(
            f"method='dual' forms n x n matrices and takes at most {LARGEST_DUAL} "
            f"points, got {n}. Use method='rank_one', or 'sampled' for a bound that "
            "holds with 99 % confidence."
        )
    if method == "sampled" and subset_size > min(n, LARGEST_DUAL):
        raise ValueError(
            f"subset_size={subset_size} must not exceed the number of points "
            f"({n}) nor {LARGEST_DUAL}."
        )
    data = CenteredRows(X, weights, copy=False)
    bounds = Bounds(data, labels, len(names))
    if method == "auto" and dual_fits(n):
        if not bounds.certificate(gap_tol).certified:
            bounds.add_dual(gap_tol=gap_tol, max_iter=max_iter, settle=_SETTLE)
    elif method == "dual":
        bounds.add_dual(gap_tol=gap_tol, max_iter=max_iter)
    elif method == "sampled":
        bounds.replace_by_sampled(
            X,
            weights,
            subset_size=subset_size,
            n_subsets=n_subsets,
            max_iter=max_iter,
            random_state=random_state,
        )
    return bounds.certificate(gap_tol)


def dual_fits(n):
    """Whether the dense relaxation of n points is cheap enough to solve unasked."""
    return _DUAL_STEPS * n**3 <= _DUAL_FLOPS and 6 * 8 * n**2 <= _DUAL_BYTES


def check_weights(sample_weight, X):
    """Validate sample weights: non-negative, finite, not all zero."""
    weights = check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if not (weights > 0).any():
        raise ValueError(
            "sample_weight is zero for every sample. Give at least one sample a "
            "positive weight."
        )
    # Only ratios count, and one of this size leaves no trace in any sum.
    return np.where(weights < 1e-200 * weights.max(), 0.0, weights)


class Bounds:
    """The lower bounds known for one partition, and the best of them.

    Parameters
    ----------
    data : CenteredRows
        Points of positive weight.
    labels : ndarray of shape (n_samples,)
        Partition, 0..n_found-1, none empty.
    n_found : int
        Number of clusters in `labels`.
    n_clusters : int, default=None
        Number that the optimum may use, when larger than `n_found`.
    """

    def __init__(self, data, labels, n_found, n_clusters=None):
        self.data, self.labels = data, labels
        self.n_found = n_found
        self.n_clusters = n_found if n_clusters is None else n_clusters
        self.bound, self.lower_bound = "trivial", 0.0
        self.lam = self.lam_max = self.slack = np.nan
        small = data.reduced(_LARGEST_SIDE)
        self.moments = None
        if small is None:
            self.cost, self.cost_rounding = partition_cost(data, labels, n_found)
            self._settle_zero()
            return
        self.reduced = small
        self._take(ClusterMoments(small, labels, n_found))

    @classmethod
    def of_moments(cls, moments):
        """Return the bounds that need no points any more."""
        bounds = object.__new__(cls)
        bounds.data, bounds.labels = moments.stands_for(), None
        bounds.n_found = bounds.n_clusters = moments.n_clusters
        bounds.bound, bounds.lower_bound = "trivial", 0.0
        bounds.lam = bounds.lam_max = bounds.slack = np.nan
        bounds._take(moments)
        return bounds

    def _take(self, moments):
        """Bound the cost by the moments of the clusters."""
        self.moments, n_found = moments, self.n_found
        self.cost = self.moments.cost
        self.cost_rounding = self.moments.cost_rounding
        self._settle_zero()
        self.lam_max = self.moments.lam_max
        total = self.data.sum_of_squares
        value, lam, slack = -np.inf, np.nan, np.nan
        if self.n_found == self.n_clusters:
            value, lam, slack = rank_one_bound(self.moments)
        if value > 0:
            self._keep("rank_one", value)
            self.lam, self.slack = lam, slack
        if value < (1 - 1e-9) * self.cost:
            self.moments.n_clusters = self.n_clusters
            self._keep("pca", pca_bound(self.moments, total))
            self.moments.n_clusters = n_found

    def _settle_zero(self):
        """Tell a cost of nothing from one that rounding could have made or hidden."""
        if self.cost <= self.cost_rounding and self.data.all_equal_within(self.labels):
            self.cost = self.cost_rounding = 0.0

    def _keep(self, bound, value):
        if value > self.lower_bound:
            self.bound, self.lower_bound = bound, float(value)

    def warm_multiplier(self):
        """Return the rank-one multiplier of the partition, or None."""
        if self.moments is None or not 0 < self.lam_max < np.inf:
            return None
        return dense_multiplier(self.reduced, self.labels, self.moments, self.lam_max)

    def add_dual(self, **options):
        """Solve the relaxation from this partition; return the solver's result."""
        n, K = self.data.shape[0], self.n_clusters
        if not 1 < K < n or self.cost == 0.0:
            return None
        multiplier = self.warm_multiplier() if self.n_found == K else None
        result = solve_admm(
            self.data,
            K,
            cost=self.cost,
            start=self.labels if multiplier is not None else None,
            multiplier=multiplier,
            **options,
        )
        self._keep("dual", result.lower_bound)
        return result

    def replace_by_sampled(
        self, X, weights, *, subset_size, n_subsets, max_iter, random_state
    ):
        """Put the statistical bound in place of a weaker deterministic one."""
        K = self.n_clusters
        rng = np.random.RandomState(0)

        def solve(rows):
            part = CenteredRows(X[rows], weights[rows])
            points = part.rows()
            start = kmeans_plusplus(points, K, rng, part.weights)
            if len(start) < K or len(rows) <= K:
                return 0.0
            centers = points[start]
            centers = centers.toarray() if part.is_sparse else centers
            labels = lloyd(points, centers, part.weights)[0]
            used, labels = np.unique(labels, return_inverse=True)
            bounds = Bounds(part, labels.astype(np.int64), len(used), K)
            bounds.add_dual(gap_tol=1e-3, max_iter=min(max_iter, 200))
            return bounds.lower_bound * (part.cost_unit / self.data.cost_unit)

        value = sampled_bound(
            X.shape[0],
            subset_size=subset_size,
            n_subsets=n_subsets,
            solve=solve,
            random_state=random_state,
        )
        self._keep("statistical", value)

    def certificate(self, gap_tol, *, value=0.0, tol=None, satisfied=True, scale=None):
        """Return the certificate; `value` and `tol` speak of the solver.

        Costs go back to the units of the data. What decides is the gap of the cost
        with all that rounding can have taken off it; the bound has its own allowance.
        """
        gap = relative_gap(self.cost, self.lower_bound)
        unsure = self.cost_rounding / self.cost if self.cost > 0.0 else 0.0
        certified = bool(self.bound != "statistical" and gap + unsure <= gap_tol)
        unit = self.data.cost_unit
        scale = scale or "no iterative solver had to converge; see gap and lower_bound"
        quick = self.bound in ("trivial", "pca", "rank_one")
        if quick and not certified and 1 < self.n_clusters < self.data.shape[0]:
            scale += _TIGHTER
        return KMeansCertificate(
            "lower_bound",
            float(value),
            float(gap_tol if tol is None else tol),
            bool(satisfied),
            scale,
            {
                "cost": self.cost * unit,
                "lower_bound": self.lower_bound * unit,
                "gap": gap,
                "gap_rounding": unsure,
                "certified": "yes" if certified else "no",
                "bound": self.bound,
            },
            bound=self.bound,
            lower_bound=self.lower_bound * unit,
            gap=gap,
            certified=certified,
            lam=float(self.lam) * unit,
            lam_max=float(self.lam_max) * unit,
            slack=float(self.slack) * unit,
        )


def partition_cost(data, labels, n_clusters):
    """Return the cost of a partition about its own means, and its rounding error."""
    n = len(labels)
    indicator = sparse.csr_array(
        (data.root, labels, np.arange(n + 1)), shape=(n, n_clusters)
    )
    sizes = np.bincount(labels, data.weights, minlength=n_clusters)
    sums = np.asarray(data.t_dot(indicator))
    between = float((sums**2 / sizes).sum())
    error = rounding(8 * sum(data.shape), data.magnitude)
    return max(data.sum_of_squares - between, 0.0), error
