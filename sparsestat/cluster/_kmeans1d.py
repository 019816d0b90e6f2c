r"""K-means of values on a line, solved exactly for every number of clusters at once.

.. math:: \min_{m_1 < \dots < m_K} \sum_i w_i \min_k (x_i - m_k)^2
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from scipy import sparse
from scipy.special import xlogy
from sklearn.base import ClusterMixin
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.samples import check_samples, given_weights
from sparsestat._utils.validation import read_only
from sparsestat.cluster._checks import check_enough_samples
from sparsestat.cluster._optimal_levels import RELATIVE_EXCESS, optimal_levels
from sparsestat.cluster._partitions import warn_of_few_points

__all__ = ["KMeans1D"]


class KMeans1D(ClusterMixin, SparsestatEstimator):
    r"""K-means of one column, globally optimal.

    Minimizes

    .. math:: \sum_i w_i \min_k (x_i - m_k)^2

    over the centers by dynamic programming on sorted values. There are no starts and no
    local minima, and the least cost for every smaller number of clusters comes with
    it. Use it for thresholds, histograms, natural breaks and codebooks of scalars, in
    place of :class:`sklearn.cluster.KMeans`, which finds a local minimum. Read more in
    the :ref:`User Guide <kmeans_1d>`.

    Parameters
    ----------
    n_clusters : int or "bic", default=8
        Number of clusters. ``"bic"`` takes the number up to `max_clusters`, and up to
        half the total weight, with the least `bic_path_`.
    max_clusters : int, default=10
        Largest number of clusters that ``"bic"`` tries.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters_, 1)
        Means of the clusters, ascending.
    labels_ : ndarray of shape (n_samples,)
        Cluster of each sample; larger values have larger labels.
    boundaries_ : ndarray of shape (n_clusters_ - 1,)
        Midpoints between neighboring centers: cluster k holds the values above
        ``boundaries_[k - 1]`` and up to ``boundaries_[k]``.
    inertia_ : float
        Weighted sum of squared distances to the centers.
    inertia_path_ : ndarray of shape (k_max,)
        The least cost with 1, 2, ... clusters, up to `n_clusters` or `max_clusters`.
    bic_path_ : ndarray of shape (k_max,)
        Bayesian information criterion of each number of clusters; see Notes.
    n_clusters_ : int
        Number of clusters: fewer than `n_clusters` where there are fewer distinct
        values of positive weight.
    certificate_ : Certificate
        Kind ``exact``: a bound on how far rounding may have left the cost above the
        optimum, relative to `inertia_`; at most 1e-7.
    n_features_in_ : int
        Number of features seen during fit, 1.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column, when X has string column names.

    Raises
    ------
    ValueError
        If X has more than one column, or fewer samples than clusters.

    Warns
    -----
    ConvergenceWarning
        If there are fewer distinct values than clusters, or the values differ by more
        than pairs of doubles resolve.

    See Also
    --------
    sklearn.cluster.KMeans : Any number of columns, a local minimum.
    sparsestat.decomposition.quantize_rows : The same optimum for each row of a matrix.

    Notes
    -----
    Time O(n log n) for sorting and O(k n log n) at worst for the rest, by divide and
    conquer over monotone cuts; memory for k n four-byte integers and some twelve
    arrays of n numbers. Sorted values are centered by their weighted median. Where the
    rounding of prefix sums could matter, all is computed again in pairs of doubles,
    some twenty times as slowly. Only ratios of weights matter for the clusters;
    samples of weight zero get the label of the nearest center.

    The criterion of k clusters of weights :math:`n_c`, of total n and cost J, is

    .. math:: n \log(2 \pi e J / n) - 2 \sum_c n_c \log(n_c / n) + 2 k \log n,

    minus twice the classification likelihood of a Gaussian mixture of one variance
    plus the usual penalty [3]_. Here weights are repetitions. J is taken to be at least
    1e-14 of the cost of one cluster.

    References
    ----------
    .. [1] H. Wang, M. Song, "Ckmeans.1d.dp: optimal k-means clustering in one dimension
       by dynamic programming", The R Journal 3, 2011.
    .. [2] A. Gronlund, K. G. Larsen, A. Mathiasen, J. S. Nielsen, S. Schneider, M.
       Song, "Fast exact k-means, k-medians and Bregman divergence clustering in 1D",
       arXiv 1701.07204, 2017.
    .. [3] M. J. Symons, "Clustering criteria and multivariate normal mixtures",
       Biometrics 37, 1981.

    Examples
    --------
    >>> from sparsestat.cluster import KMeans1D
    >>> model = KMeans1D(2).fit([1.0, 2.0, 9.0, 10.0, 11.0])
    >>> model.cluster_centers_.ravel(), model.boundaries_, model.inertia_
    (array([ 1.5, 10. ]), array([5.75]), 2.5)
    >>> model.inertia_path_
    array([89.2,  2.5])
    """

    _parameter_constraints: dict = {
        "n_clusters": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"bic"}),
        ],
        "max_clusters": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, n_clusters=8, *, max_clusters=10):
        self.n_clusters = n_clusters
        self.max_clusters = max_clusters

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Cluster the values.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            One column.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : KMeans1D
            The fitted estimator.
        """
        x = self._column(X)
        weights = given_weights(sample_weight, x)
        scale = 1.0
        if weights is not None:
            # A power of two: dividing by it is exact, and sums cannot overflow.
            scale = 2.0 ** np.floor(np.log2(weights.max()))
            weights = weights / scale
        by_bic = isinstance(self.n_clusters, str)
        k_max = self.max_clusters if by_bic else self.n_clusters
        if by_bic:
            total = len(x) if weights is None else weights.sum() * scale
            k_max = max(1, int(min(k_max, total // 2)))
        else:
            check_enough_samples(len(x), k_max)
        levels = optimal_levels(x, weights, k_max)
        self.bic_path_ = _bic(levels, scale)
        k = int(self.bic_path_.argmin()) + 1 if by_bic else len(levels.costs)
        self._store(levels, k, scale, x)
        if not by_bic and k < k_max:
            warn_of_few_points(k, k_max)
        warn_if_unsatisfied(
            self.certificate_,
            "KMeans1D lacks precision: the excess that rounding may have caused",
            "Far outliers or weights of very different sizes are the reason: scale "
            "the weights, or cluster the parts of the data separately.",
        )
        return self

    def _store(self, levels, k, scale, x):
        from sparsestat.sparse._kernels_codebook import sum_of_squares

        ends = levels.ends[k - 1]
        centers = _means(levels, ends)
        inertia = sum_of_squares(
            read_only(levels.values), read_only(levels.weights), ends, centers
        )
        self.cluster_centers_ = centers[:, None]
        self.n_clusters_ = k
        self.boundaries_ = _midpoints(centers)
        self.labels_ = self._label(x)
        self.inertia_ = float(inertia) * scale
        path = levels.costs.copy()
        # Centers are rounded, which may cost more than what their number saves.
        rounded = max(inertia - path[k - 1], 0.0)
        path[k - 1] = inertia
        self.inertia_path_ = path * scale
        bound = float(levels.excess[k - 1]) + rounded
        value = bound / inertia if inertia > 0 else 0.0  # nothing is below zero
        self.certificate_ = Certificate(
            "exact",
            float(value),
            RELATIVE_EXCESS,
            bool(value <= RELATIVE_EXCESS),
            "bound on the cost less the optimum, by rounding / cost",
            {
                "inertia": self.inertia_,
                "precision": "pairs of doubles" if levels.pairs else "double",
            },
        )

    def predict(self, X):
        """Return the cluster of each value.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            New values.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Index of the nearest center; of two equally near the lower one.
        """
        check_is_fitted(self)
        return self._label(self._column(X, reset=False))

    def _column(self, X, *, reset=True):
        """Return one checked column as a vector."""
        if not sparse.issparse(X) and not hasattr(X, "columns"):
            X = X if hasattr(X, "ndim") else np.asarray(X)
            X = np.asarray(X)[:, None] if X.ndim == 1 else X
        X = check_samples(self, X, reset=reset)
        if X.shape[1] != 1:
            raise ValueError(
                f"KMeans1D clusters one column, but X has {X.shape[1]} features. Pass "
                "X[:, [j]], or use sklearn.cluster.KMeans for all of them."
            )
        return X[:, 0]

    def _label(self, x):
        return np.searchsorted(self.boundaries_, x).astype(np.int32)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        return tags


def _means(levels, ends):
    """Return the means of clusters, summed as differences from a member of each."""
    starts = ends[:-1]
    first = levels.values[starts]
    counts = np.diff(ends)
    away = (levels.values - np.repeat(first, counts)) * levels.weights
    sizes = np.add.reduceat(levels.weights, starts)
    return first + np.add.reduceat(away, starts) / sizes


def _midpoints(centers):
    """Return boundaries: a value at or below one belongs to the lower center."""
    low, high = centers[:-1], centers[1:]
    middle = 0.5 * low + 0.5 * high
    # Between neighboring doubles the midpoint may round to the upper one.
    return np.where(middle < high, middle, low)


def _bic(levels, scale):
    """Return the criterion of the classification likelihood for every k."""
    n = levels.weights.sum() * scale
    floor = 1e-14 * levels.costs[0]
    out = np.empty(len(levels.costs))
    for k, sizes in enumerate(levels.sizes, start=1):
        share = sizes * scale / n
        # Of constant data every term but the penalty is the same for one cluster.
        spread = max(levels.costs[k - 1], floor) * scale / n or 1.0
        out[k - 1] = n * np.log(2 * np.pi * np.e * spread)
        out[k - 1] += -2 * n * xlogy(share, share).sum() + 2 * k * np.log(n)
    return out
