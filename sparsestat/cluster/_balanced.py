r"""K-means with bounds on the cluster sizes.

.. math:: \min_{l, m} \sum_i \|x_i - m_{l_i}\|^2
   \quad \text{subject to} \quad a_k \le |\{i : l_i = k\}| \le b_k
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import ClusterMixin
from sklearn.cluster import kmeans_plusplus
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.samples import check_samples
from sparsestat.cluster._assignment import (
    bounded_assignment,
    check_sizes,
    dual_bound,
    scaled_sizes,
)
from sparsestat.cluster._checks import check_centers, check_enough_samples
from sparsestat.cluster._data import LARGEST_ENTRY, Frame

__all__ = ["BalancedKMeans"]


class BalancedKMeans(CallbackSupportMixin, ClusterMixin, SparsestatEstimator):
    r"""K-means whose cluster sizes hold exactly.

    Minimizes

    .. math:: \sum_i \|x_i - m_{l_i}\|^2 \quad \text{over labels } l \text{ and
        means } m, \quad a_k \le |\{i : l_i = k\}| \le b_k

    by alternating means and assignments. Each assignment is a transport problem with
    integral solutions; it is solved to optimality, not approximately, so that the
    sizes of `labels_` are within the bounds without exception. Use it in place of
    :class:`sklearn.cluster.KMeans` when groups must be of equal or bounded size:
    batches, teams, shards, codes of a quantiser. Read more in the
    :ref:`User Guide <balanced_kmeans>`.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    size_min : int or array-like of shape (n_clusters,), default=None
        Smallest sizes, for all clusters or one each.
    size_max : int or array-like of shape (n_clusters,), default=None
        Largest sizes. Both None: sizes that differ by at most one. One of them None:
        no bound on that side.
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
    prices_ : ndarray of shape (n_clusters,)
        Lagrange multipliers of the sizes: what one more place in a cluster would
        save, in units of `inertia_`, at the last assignment.
    size_bounds_ : ndarray of shape (n_clusters, 2)
        Smallest and largest sizes that were in force.
    inertia_history_ : ndarray of shape (n_iter_,)
        Cost after each iteration of the best start; never rises.
    certificate_ : Certificate
        Kind ``monotone_bound``: the last relative change of the cost. `details` has
        the relative gap between the last assignment and its dual bound.
    n_iter_ : int
        Number of iterations of the best start.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        If the sizes cannot be met, or there are fewer samples than clusters.

    Warns
    -----
    ConvergenceWarning
        If the cost was still falling at `max_iter`.

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

    The problem over labels and means together is not convex; the certificate is
    about convergence, not global optimality.

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

    _parameter_constraints: dict = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "size_min": [Interval(Integral, 0, None, closed="left"), "array-like", None],
        "size_max": [Interval(Integral, 1, None, closed="left"), "array-like", None],
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
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose

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
        self : BalancedKMeans
            The fitted estimator.
        """
        X = check_samples(self, X, largest=LARGEST_ENTRY)
        n, k = len(X), self.n_clusters
        check_enough_samples(n, k)
        low, high = check_sizes(self.size_min, self.size_max, k, n)
        # Distances lose digits when the data lie far from the origin.
        self._frame, X = Frame.of(X)
        unit = self._frame.unit
        rng = check_random_state(self.random_state)
        n_init = self.n_init if isinstance(self.init, str) else 1
        best = None
        with FitProgress(
            self, n_init * self.max_iter, X=X, verbose=self.verbose
        ) as progress:

            def report(cost):
                return progress.step(inertia=cost * unit**2)

            for _ in range(n_init):
                centers = self._first_centers(X, rng)
                run = _alternate(X, centers, low, high, self.max_iter, self.tol, report)
                if best is None or run["history"][-1] < best["history"][-1]:
                    best = run
        found = best["assignment"]
        self.labels_ = found.labels.astype(np.int32)
        self.cluster_centers_ = self._frame.invert(best["centers"])
        self.inertia_ = float(best["history"][-1]) * unit**2
        self.cluster_sizes_ = found.sizes
        self.prices_ = found.prices * unit**2
        self.size_bounds_ = np.column_stack([low, high])
        self.inertia_history_ = np.array(best["history"]) * unit**2
        self.n_iter_ = len(best["history"])
        total = float(np.vdot(X, X)) + found.cost
        gap = max(found.cost - found.lower_bound, 0.0) / total if total > 0 else 0.0
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

    def _first_centers(self, X, rng):
        n, k = len(X), self.n_clusters
        if not isinstance(self.init, str):
            return self._frame.apply(check_centers(self.init, k, X.shape[1]))
        if self.init == "random":
            return X[rng.choice(n, k, replace=False)].copy()
        return kmeans_plusplus(X, k, random_state=rng)[0]

    def predict(self, X, *, balanced=False):
        """Return the cluster of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New samples.
        balanced : bool, default=False
            False: the nearest center, whatever the sizes. True: the least total
            distance under the bounds of the fit, scaled to the number of rows and
            rounded outwards; the answer for a row then depends on the others.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Clusters.
        """
        check_is_fitted(self)
        X = check_samples(self, X, reset=False, largest=LARGEST_ENTRY)
        D = _distances(self._frame.apply(X), self._frame.apply(self.cluster_centers_))
        if not balanced:
            return D.argmin(axis=1).astype(np.int32)
        low, high = self.size_bounds_.T
        bounds = scaled_sizes(low, high, len(self.labels_), len(X))
        return bounded_assignment(D, *bounds).labels.astype(np.int32)


def _distances(X, centers):
    """Return squared distances less the squared norms of the rows."""
    D = X @ (-2.0 * centers.T)
    D += np.einsum("kd,kd->k", centers, centers)
    return D


def _means(X, labels, sizes, centers):
    """Return the means of the groups; empty ones keep their centers."""
    n, k = len(X), len(centers)
    one_hot = sparse.csc_array((np.ones(n), labels, np.arange(n + 1)), shape=(k, n))
    means = one_hot @ X
    filled = sizes > 0
    means[filled] /= sizes[filled, None]
    means[~filled] = centers[~filled]
    return means


def _cost(X, labels, centers):
    """Return the sum of squared distances, from differences, by blocks of rows."""
    total = 0.0
    for start in range(0, len(X), 16_384):
        part = slice(start, start + 16_384)
        rest = X[part] - centers[labels[part]]
        total += float(np.vdot(rest, rest))
    return total


def _alternate(X, centers, low, high, max_iter, tol, report):
    """Alternate assignments and means until the cost stands still."""
    history, prices, change, best = [], None, np.inf, None
    for _ in range(max_iter):
        D = _distances(X, centers)
        found = bounded_assignment(D, low, high, prices, prove=False)
        prices = found.prices
        means = _means(X, found.labels, found.sizes, centers)
        cost = _cost(X, found.labels, means)
        if history:
            change = (history[-1] - cost) / cost if cost > 0 else 0.0
            if change <= 0:  # a fixed point: what differs is rounding
                change = 0.0
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
        if len(empty):  # only where size_min allows it: start again far from all
            rest = np.einsum("nd,nd->n", *[X - centers[found.labels]] * 2)
            far = np.argsort(-rest, kind="stable")[: len(empty)]
            centers = centers.copy()
            centers[empty] = X[far]
    D = _distances(X, before)
    best.cost = float(np.take_along_axis(D, best.labels[:, None], axis=1).sum())
    best.lower_bound = dual_bound(D, low, high, best.prices)
    return {
        "assignment": best,
        "centers": _means(X, best.labels, best.sizes, centers),
        "history": history,
        "change": change,
    }
