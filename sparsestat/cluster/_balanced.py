r"""K-means with bounds on the cluster sizes, or on what they hold.

.. math:: \min_{l, m} \sum_i w_i \|x_i - m_{l_i}\|^2
   \quad \text{subject to} \quad a_k \le |\{i : l_i = k\}| \le b_k
   \quad \text{or} \quad \sum_{i : l_i = k} w_i \le c_k
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import ClusterMixin
from sklearn.cluster import kmeans_plusplus
from sklearn.utils import check_random_state
from sklearn.utils.extmath import row_norms
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.arithmetic import power_of_two, rounding
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.samples import check_samples
from sparsestat._utils.validation import LARGEST_ENTRY, check_magnitude
from sparsestat.cluster._assignment import (
    bounded_assignment,
    check_exact_sizes,
    check_sizes,
    dual_bound,
    scaled_sizes,
)
from sparsestat.cluster._block_rows import ClusterBlocks
from sparsestat.cluster._centers import NearestCenters
from sparsestat.cluster._certify import check_weights
from sparsestat.cluster._checks import check_centers, check_enough_samples
from sparsestat.cluster._data import Frame
from sparsestat.cluster._packing import check_capacity, packed_assignment
from sparsestat.cluster._partitions import cost_about, few_distinct_rows

__all__ = ["BalancedKMeans"]

_MOST_DISTANCES = 10**9  # that are held where rows come in blocks
_SAMPLE = 10_000  # rows among which centers start there


class BalancedKMeans(
    CallbackSupportMixin,
    NearestCenters,
    ClusterMixin,
    SparsestatEstimator,
):
    r"""K-means whose cluster sizes hold exactly.

    Minimizes

    .. math:: \sum_i \|x_i - m_{l_i}\|^2 \quad \text{over labels } l \text{ and
        means } m, \quad a_k \le |\{i : l_i = k\}| \le b_k

    by alternating means and assignments. Each assignment is a transport problem with
    integral solutions; it is solved to optimality, not approximately, so that the
    sizes of `labels_` are within the bounds without exception. Use it in place of
    :class:`sklearn.cluster.KMeans` when groups must be of equal or bounded size:
    batches, teams, shards, codes of a quantizer. With `capacity` the bound is on the
    total weight of each cluster instead: loads of vehicles, bytes of shards. Read more
    in the :ref:`User Guide <balanced_kmeans>`.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    size_min : int or array-like of shape (n_clusters,), default=None
        Smallest sizes, for all clusters or one each.
    size_max : int or array-like of shape (n_clusters,), default=None
        Largest sizes. Both None: sizes that differ by at most one. One of them None:
        no bound on that side.
    sizes : int or array-like of shape (n_clusters,), default=None
        Exact sizes, which add up to the number of samples, in place of `size_min` and
        `size_max`.
    capacity : float or array-like of shape (n_clusters,), default=None
        Largest total `sample_weight` of each cluster, in place of bounds on its number
        of samples.
    init : {"k-means++", "random"} or array-like, default="k-means++"
        First centers; an array has shape (n_clusters, n_features).
    n_init : int, default=1
        Number of starts; the one with the least `inertia_` is kept. An array as
        `init` is started from once.
    max_iter : int, default=300
        Largest number of assignments per start.
    tol : float, default=1e-6
        Stop when the cost falls by at most `tol` relative to itself.
    random_state : int, RandomState instance or None, default=None
        Draws the first centers.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of each sample; sizes are within the bounds.
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Means of the clusters.
    inertia_ : float
        Sum of squared distances of the samples to the centers of their clusters.
    cluster_sizes_ : ndarray of shape (n_clusters,)
        Number of samples in each cluster.
    cluster_loads_ : ndarray of shape (n_clusters,)
        Total `sample_weight` of each cluster.
    prices_ : ndarray of shape (n_clusters,)
        Lagrange multipliers of the sizes, or of the capacities: what one more place (or
        unit of capacity) in a cluster would save, in units of `inertia_`, at the last
        assignment.
    size_bounds_ : ndarray of shape (n_clusters, 2)
        Smallest and largest sizes that were in force.
    capacity_ : ndarray of shape (n_clusters,) or None
        Capacities that were in force.
    history_ : ndarray of shape (n_iter_,)
        Cost after each iteration of the best start; never rises.
    certificate_ : Certificate
        Kind ``monotone_bound``: the last relative change of the cost. `details` has
        the relative gap between the last assignment and its dual bound, which is 0 but
        for rounding unless there are capacities.
    n_iter_ : int
        Number of iterations of the best start.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        If the sizes cannot be met, no packing into the capacities is found, or there
        are fewer samples than clusters.

    Warns
    -----
    ConvergenceWarning
        If the cost was still falling at `max_iter`, or there are fewer distinct samples
        than clusters, so that sizes split equal ones.

    See Also
    --------
    sklearn.cluster.KMeans : Without sizes.
    sparsestat.transport.OptimalTransport : Transport between samples.

    Notes
    -----
    The assignment is a minimum-cost flow. Rows are not nodes of it: on K + 1 nodes,
    the clusters and a sink, shortest paths move one row at a time from clusters with
    too many samples to those with too few, starting from the prices of the previous
    iteration, where few moves are left. A first assignment is started from the prices
    of a random part of the rows. Cost per iteration: O(n_samples n_clusters
    (n_features + 1)) and O(n_clusters^2 + n_clusters log n_samples) per move. Memory:
    n_samples n_clusters numbers for the costs and the heaps of those moves that may
    matter, usually a few per cent of that.

    Weights are those of the cost: a sample of weight 2 counts twice in means and cost,
    but takes one place, unless there are capacities. Samples are never split, and with
    unequal weights a packing into capacities is a hard problem of its own: the
    transport problem of split samples is solved exactly, the few samples that it
    splits are made whole, and what does not fit is moved or exchanged at least cost.
    Capacities that leave a few per cent free are met without trouble.

    The problem over labels and means together is not convex; the certificate is
    about convergence, not global optimality. Sparse X stays sparse.

    References
    ----------
    .. [1] P. S. Bradley, K. P. Bennett, A. Demiriz, "Constrained k-means
       clustering", Microsoft Research technical report, 2000.
    .. [2] J. Zhan, J. Mao, Y. Liu, J. Guo, M. Zhang, S. Ma, "Learning discrete
       representations via constrained clustering for effective and efficient dense
       retrieval", WSDM 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.cluster import BalancedKMeans
    >>> X = np.random.default_rng(0).standard_normal((100, 2))
    >>> model = BalancedKMeans(3, random_state=0).fit(X)
    >>> sorted(model.cluster_sizes_.tolist())
    [33, 33, 34]
    """

    _by_rows = True
    inertia_history_ = OldAttribute("history_")

    _parameter_constraints: dict = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "size_min": [Interval(Integral, 0, None, closed="left"), "array-like", None],
        "size_max": [Interval(Integral, 1, None, closed="left"), "array-like", None],
        "sizes": [Interval(Integral, 1, None, closed="left"), "array-like", None],
        "capacity": [Interval(Real, 0, None, closed="neither"), "array-like", None],
        "init": [StrOptions({"k-means++", "random"}), "array-like"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        size_min=None,
        size_max=None,
        sizes=None,
        capacity=None,
        init="k-means++",
        n_init=1,
        max_iter=300,
        tol=1e-6,
        random_state=None,
        verbose=0,
    ):
        self.n_clusters = n_clusters
        self.size_min = size_min
        self.size_max = size_max
        self.sizes = sizes
        self.capacity = capacity
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Cluster X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights in the cost, and loads if there is a `capacity`.
            Samples of weight zero take no place; the nearest center labels them.

        Returns
        -------
        self : BalancedKMeans
            The fitted estimator.
        """
        X = self._validate(X, reset=True)
        weights = check_weights(sample_weight, X)
        kept = np.flatnonzero(weights > 0)
        inner = X if len(kept) == X.shape[0] else X[kept]
        check_magnitude(inner, largest=LARGEST_ENTRY)
        n, k = inner.shape[0], self.n_clusters
        check_enough_samples(n, k)
        weight_unit = power_of_two(weights.max())
        limits = self._limits(n, weights[kept], weight_unit)
        few_distinct_rows(inner, k)
        # Distances lose digits when the data lie far from the origin.
        self._frame, rows = Frame.of(inner, weights[kept])
        unit = self._frame.unit**2 * weight_unit

        def start(rng):
            return self._first_centers(rows, limits.weights, rng)

        best = self._search(_ArrayRows(rows, limits.weights), start, limits, unit, X)
        self.cluster_centers_ = self._frame.invert(best["centers"])
        labels = best["assignment"].labels
        if len(kept) < X.shape[0]:
            labels = self._nearest(X)
            labels[kept] = best["assignment"].labels
        self.labels_ = labels.astype(np.int32)
        units = self._frame.unit**2, weight_unit
        return self._store(best, limits, weights[kept], units)

    def _fit_blocks(self, blocks):
        rows, k = ClusterBlocks(blocks).outline(), self.n_clusters
        n = len(rows.index)
        check_enough_samples(n, k)
        if n * k > _MOST_DISTANCES:
            raise ValueError(
                f"BalancedKMeans holds the distances of all rows to all centers, "
                f"{8e-9 * n * k:.0f} GB for {n} rows and {k} clusters. Fit a sample of "
                "the rows, and let predict label the rest."
            )
        weight_unit = power_of_two(rows.weights.max())
        limits = self._limits(n, rows.weights, weight_unit)
        size = min(max(_SAMPLE, 20 * k), n)

        def start(rng):
            X, weights = rows.sample(size, rng)
            self._frame, X = Frame.of(X.astype(np.float64), weights)
            return (
                self._frame.invert(self._first_centers(X, weights, rng)) - rows.center
            )

        inner = _BlockRows(rows, limits.weights)
        best = self._search(inner, start, limits, weight_unit)
        self.cluster_centers_ = best["centers"] + rows.center
        self.labels_ = np.full(rows.n_all, -1, dtype=np.int32)
        self.labels_[rows.index] = best["assignment"].labels
        return self._store(best, limits, rows.weights, (1.0, weight_unit))

    def _search(self, rows, start, limits, unit, X=None):
        """Return the best run of several starts."""
        rng = check_random_state(self.random_state)
        n_init = self.n_init if isinstance(self.init, str) else 1
        best = None
        with FitProgress(
            self, n_init * self.max_iter, X=X, verbose=self.verbose
        ) as progress:

            def report(cost):
                return progress.step(inertia=cost * unit)

            for _ in range(n_init):
                run = _alternate(
                    rows, start(rng), limits, self.max_iter, self.tol, report
                )
                if best is None or run["history"][-1] < best["history"][-1]:
                    best = run
        return best

    def _store(self, best, limits, weights, units):
        """Store a run in the units of the data: of squares, and of weights."""
        found, (square, weight_unit) = best["assignment"], units
        unit = square * weight_unit
        self.inertia_ = float(best["history"][-1]) * unit
        self.cluster_sizes_ = found.sizes
        self.cluster_loads_ = np.bincount(
            found.labels, weights, minlength=self.n_clusters
        )
        self.prices_ = found.prices * unit
        self.capacity_ = limits.capacity
        if limits.capacity is not None:
            self.capacity_ = limits.capacity * weight_unit
            self.prices_ = found.prices * square
        self._load_scale = len(weights), float(weights.sum())
        self.size_bounds_ = np.column_stack([limits.low, limits.high])
        self.history_ = np.array(best["history"]) * unit
        self.n_iter_ = len(best["history"])
        gap = max(found.cost - found.lower_bound, 0.0) / best["total"]
        self.certificate_ = Certificate(
            "monotone_bound",
            float(best["change"]),
            float(self.tol),
            bool(best["change"] <= self.tol),
            "last change of the cost relative to the cost",
            {"inertia": self.inertia_, "assignment_gap": float(gap)},
        )
        warn_if_unsatisfied(
            self.certificate_,
            "BalancedKMeans did not converge: the last change of the cost",
            "Raise max_iter or tol.",
        )
        return self

    def _limits(self, n, weights, weight_unit):
        """Return what the assignments have to keep."""
        k = self.n_clusters
        given = {
            "sizes": self.sizes is not None,
            "capacity": self.capacity is not None,
            "size_min and size_max": not (self.size_min is self.size_max is None),
        }
        used = [name for name, is_used in given.items() if is_used]
        if len(used) > 1:
            raise ValueError(
                f"{used[0]} and {used[1]} are two ways to bound a cluster. Pass one of "
                "them."
            )
        low, high = check_sizes(self.size_min, self.size_max, k, n)
        capacity = None
        if self.sizes is not None:
            low, high = check_exact_sizes(self.sizes, k, n)
        elif self.capacity is not None:
            capacity = check_capacity(self.capacity, k, weights) / weight_unit
            low, high = np.zeros_like(low), np.full_like(high, n)
        return _Limits(low, high, capacity, weights / weight_unit)

    def _validate(self, X, *, reset):
        return check_samples(self, X, accept_sparse="csr", reset=reset, largest=None)

    def _first_centers(self, X, weights, rng):
        n, k = X.shape[0], self.n_clusters
        if not isinstance(self.init, str):
            return self._frame.apply(check_centers(self.init, k, X.shape[1]))
        if self.init == "random":
            centers = X[rng.choice(n, k, replace=False)]
            return centers.toarray() if sparse.issparse(centers) else centers.copy()
        even = None if (weights == weights[0]).all() else weights
        return kmeans_plusplus(X, k, sample_weight=even, random_state=rng)[0]

    def predict(self, X, *, balanced=False, sample_weight=None):
        """Return the cluster of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            New samples.
        balanced : bool, default=False
            False: the nearest center, whatever the sizes. True: the least total
            distance under the bounds of the fit, scaled to the number of rows and
            rounded outwards, or under the capacities, scaled to the total weight; the
            answer for a row then depends on the others.
        sample_weight : array-like of shape (n_samples,), default=None
            Positive weights and loads of the new samples, with ``balanced=True``.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Clusters.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        if not balanced:
            return self._nearest(X).astype(np.int32)
        check_magnitude(X, largest=LARGEST_ENTRY)
        weights = check_weights(sample_weight, X)
        if not (weights > 0).all():
            raise ValueError(
                "sample_weight must be positive where sizes or capacities are kept. "
                "Leave samples of weight zero out."
            )
        D = _distances(self._frame.apply(X), self._framed_centers())
        n, total = self._load_scale
        if self.capacity_ is not None:
            capacity = self.capacity_ * (weights.sum() / total)
            return packed_assignment(D, weights, capacity).labels.astype(np.int32)
        low, high = self.size_bounds_.T
        weights /= power_of_two(weights.max())
        bounds = scaled_sizes(low, high, n, X.shape[0])
        found = bounded_assignment(D * weights[:, None], *bounds)
        return found.labels.astype(np.int32)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


@dataclass
class _Limits:
    """Bounds on the sizes or on the loads of clusters, and the loads."""

    low: np.ndarray
    high: np.ndarray
    capacity: np.ndarray | None
    weights: np.ndarray

    def __post_init__(self):
        self.even = bool((self.weights == self.weights[0]).all())
        if self.capacity is not None and self.even:  # a capacity is a number of samples
            most = np.floor(self.capacity / self.weights[0] * (1 + 1e-12))
            self.high = np.minimum(most, len(self.weights)).astype(np.int64)
            if self.high.sum() < len(self.weights):
                raise ValueError(
                    f"Samples are not split: clusters of these capacities hold "
                    f"{self.high.sum()} of the {len(self.weights)} samples. Raise "
                    "capacity or n_clusters."
                )

    def assign(self, D, before):
        """Return the best assignment for given costs, starting from the one before."""
        if self.capacity is not None and not self.even:
            labels = None if before is None else before.labels
            return packed_assignment(D, self.weights, self.capacity, labels)
        prices = None if before is None else before.prices
        return bounded_assignment(
            self.weighted(D), self.low, self.high, prices, prove=False
        )

    def weighted(self, D):
        return D if self.even else D * self.weights[:, None]

    def prove(self, D, found):
        """Fill in the cost of the last assignment and its bound, in units of a load."""
        if self.capacity is not None and not self.even:
            rows = np.arange(len(D))
            found.cost = float(self.weights @ D[rows, found.labels])
            least = (D - found.prices).min(axis=1)
            found.lower_bound = float(
                self.weights @ least + self.capacity @ found.prices
            )
            return
        D = self.weighted(D)
        found.cost = float(np.take_along_axis(D, found.labels[:, None], axis=1).sum())
        found.lower_bound = dual_bound(D, self.low, self.high, found.prices)
        factor = self.weights[0] if self.even else 1.0
        found.cost, found.lower_bound = factor * found.cost, factor * found.lower_bound
        # A place holds the load of one sample.
        found.prices = found.prices * (1.0 if self.capacity is not None else factor)


def _distances(X, centers):
    """Return squared distances less the squared norms of the rows."""
    D = np.asarray(X @ (-2.0 * centers.T))
    D += np.einsum("kd,kd->k", centers, centers)
    return D


def _means(X, labels, weights, centers):
    """Return the weighted means of the groups; empty ones keep their centers."""
    n, k = X.shape[0], len(centers)
    one_hot = sparse.csc_array((weights, labels, np.arange(n + 1)), shape=(k, n))
    means = one_hot @ X
    means = means.toarray() if sparse.issparse(means) else means
    mass = np.bincount(labels, weights, minlength=k)
    filled = mass > 0
    means[filled] /= mass[filled, None]
    means[~filled] = centers[~filled]
    return means


class _ArrayRows:
    """What the alternation asks of rows in memory, in the frame."""

    def __init__(self, X, weights):
        self.X, self.weights = X, weights

    def distances(self, centers):
        """Return squared distances less the squared norms of the rows."""
        return _distances(self.X, centers)

    def means(self, labels, centers):
        """Return the means of the clusters; empty ones keep their centers."""
        return _means(self.X, labels, self.weights, centers)

    def cost(self, labels, means):
        """Return the cost of a partition about some points."""
        return cost_about(self.X, labels, self.weights, means)

    def squares(self):
        """Return the squared norms of the rows."""
        return row_norms(self.X, squared=True)

    def at(self, where):
        """Return some rows."""
        rows = self.X[where]
        return rows.toarray() if sparse.issparse(rows) else rows


class _BlockRows:
    """What the alternation asks of rows in blocks, about their mean."""

    def __init__(self, rows, weights):
        self.rows, self.weights = rows, weights
        self._norms = None

    def distances(self, centers):
        D = np.empty((len(self.weights), len(centers)))
        self._norms = self.rows.distances(centers, D)
        return D

    def means(self, labels, centers):
        # Units of weights cancel.
        sums, mass = self.rows.sums(labels, len(centers))
        means, filled = centers.copy(), mass > 0
        means[filled] = sums[filled] / mass[filled, None]
        return means

    def cost(self, labels, means):
        return self.rows.cost(labels, means) / power_of_two(self.rows.weights.max())

    def squares(self):
        return self._norms

    def at(self, where):
        return self.rows.at(where)


def _alternate(rows, centers, limits, max_iter, tol, report):
    """Alternate assignments and means until the cost stands still."""
    history, change, best = [], np.inf, None
    for _ in range(max_iter):
        D = rows.distances(centers)
        found = limits.assign(D, best)
        means = rows.means(found.labels, centers)
        cost = rows.cost(found.labels, means)
        if history:
            change = (history[-1] - cost) / cost if cost > 0 else np.inf
            if change <= 0:  # a fixed point, or distances that rounding spoils
                same = (found.labels == best.labels).all()
                change = 0.0 if same or -change <= rounding(len(D)) else -change
                history.append(history[-1])
                report(history[-1])
                break
        history.append(cost)
        before, centers, best = centers, means, found
        if cost == 0:
            change = 0.0
        if report(cost) or change <= tol:
            break
        empty = np.flatnonzero(found.sizes == 0)
        if len(empty):  # only where sizes allow it: start again far from all
            own = rows.distances(centers)[np.arange(len(found.labels)), found.labels]
            rest = own + rows.squares()
            centers = centers.copy()
            centers[empty] = rows.at(np.argsort(-rest, kind="stable")[: len(empty)])
    limits.prove(rows.distances(before), best)
    total = float(limits.weights @ rows.squares()) + best.cost
    return {
        "assignment": best,
        "centers": rows.means(best.labels, centers),
        "history": history,
        "change": change,
        "total": total if total > 0 else 1.0,
    }
