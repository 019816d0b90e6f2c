"""K-means, K-modes and K-medoids with a Laplacian and known labels."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import ClusterMixin
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import (
    Certificate,
    users_stacklevel,
    warn_if_unsatisfied,
)
from sparsestat._utils.samples import check_samples
from sparsestat._utils.validation import LARGEST_ENTRY
from sparsestat.cluster._checks import (
    check_centers,
    check_enough_samples,
    warn_if_fewer_clusters,
)
from sparsestat.cluster._data import Frame
from sparsestat.cluster._laplacian_energy import (
    GraphEnergy,
    as_affinity,
    effective_dimension,
    neighbor_graph,
)
from sparsestat.cluster._partitions import few_distinct_rows
from sparsestat.cluster._seeding import kmeans_plusplus

__all__ = ["LaplacianKMeans", "read_seeds"]

_LEAST_SHARE = 1e-75  # of the size of X that a distance between samples may be
_FIRST_STEPS = 5  # of plain seeded k-means before the graph comes in


class LaplacianKMeans(CallbackSupportMixin, ClusterMixin, SparsestatEstimator):
    r"""K-means whose memberships agree along a neighbor graph, with optional seeds.

    Minimizes over memberships z_i in the simplex and prototypes m_k

    .. math:: \sum_{ik} z_{ik} u_{ik} - \frac{\lambda}{2} \sum_{ij} w_{ij} z_i^T z_j
        + T \sum_{ik} z_{ik} \log z_{ik}

    where :math:`u_{ik} = \|x_i - m_k\|^2 / (2 \sigma^2)` for means and
    :math:`-\exp(-\|x_i - m_k\|^2 / (2 \sigma^2))` for modes and medoids, w is a
    nearest-neighbor graph, :math:`\lambda` is `reg` and T is `temperature`. Labels
    that are known are given to :meth:`fit` as `seeds`; their samples keep them.
    Between :class:`sklearn.cluster.KMeans` (no graph) and
    :class:`sklearn.semi_supervised.LabelSpreading` (no prototypes). Read more in the
    :ref:`User Guide <laplacian_kmeans>`.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    prototype : {"mean", "mode", "medoid"}, default="mean"
        Weighted means; modes of the density of the members; samples.
    reg : float, default=1.0
        Weight of the graph. Zero gives soft k-means.
    n_neighbors : int, default=5
        Neighbors of each sample in the graph, which is then made symmetric.
    affinity : {"connectivity", "rbf"} or sparse matrix, default="connectivity"
        Weights 1, halved between neighbors in one direction only; or of a heat
        kernel as wide as the mean squared distance between neighbors; or a matrix of
        shape (n_samples, n_samples), which is made symmetric, and whose diagonal is
        left out. Negative weights repel.
    sigma : float or "auto", default="auto"
        Width of the clusters. "auto" takes the mean squared distance to the nearest
        first prototype divided by the effective dimension of the data.
    temperature : float, default=1.0
        Weight of the entropy. Zero makes memberships hard.
    update : {"sequential", "parallel"}, default="sequential"
        Memberships one after the other, each optimal given the rest, in the order of a
        coloring of the graph: those of one color are no neighbors and may change at
        once. Or all at once, with a diagonal shift of the graph that keeps the energy
        falling and makes memberships harder.
    max_iter : int, default=100
        Largest number of prototype updates.
    max_inner_iter : int, default=100
        Largest number of passes over the memberships between two of those.
    tol : float, default=1e-5
        Stop when prototypes and memberships together change the energy by at most
        `tol` times the sum of the magnitudes of its three terms.
    init : {"k-means++"} or array-like, default="k-means++"
        First prototypes; an array has shape (n_clusters, n_features). Clusters with
        seeds start from the means of those, the others far from them, followed by a
        few steps of k-means.
    n_init : int, default=1
        Number of starts; the one with the least energy is kept.
    random_state : int, RandomState instance or None, default=None
        Draws the first prototypes.
    n_jobs : int, default=None
        Workers of the neighbor search and of updates that change rows at once.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster with the largest membership.
    memberships_ : ndarray of shape (n_samples, n_clusters)
        Non-negative with rows of sum 1; rows of seeds are exactly one-hot.
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Prototypes.
    classes_ : ndarray of shape (n_clusters,)
        Label of the seeds of each cluster, -1 for clusters without seeds.
    energy_ : float
        Energy of the answer; with ``update="parallel"`` that of the shifted graph.
    history_ : ndarray of shape (n_iter_,)
        Energy after each iteration; never rises but for rounding, which counts as a
        change.
    sigma_ : float
        Width in force.
    affinity_matrix_ : csr_array of shape (n_samples, n_samples)
        Symmetric graph.
    certificate_ : Certificate
        Kind ``monotone_bound``: the last relative change of the energy.
    n_iter_ : int
        Number of prototype updates of the best start.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        If seeds have more classes than `n_clusters`, or there are fewer samples than
        clusters.

    Warns
    -----
    ConvergenceWarning
        If the energy was still falling at `max_iter`, or there are fewer distinct
        samples than clusters.

    See Also
    --------
    sklearn.semi_supervised.LabelSpreading : The graph alone.
    BalancedKMeans : Sizes in place of a graph.

    Notes
    -----
    A nearest-neighbor graph is not positive semi-definite, so that updating all
    memberships at once may raise the energy; one after the other it cannot, whatever
    the graph, nor one color of the graph after the other. A pass costs
    O(nnz(W) n_clusters), prototypes O(n_samples n_clusters n_features); memory is
    three arrays of shape (n_samples, n_clusters). Sparse X stays sparse. Results do not
    depend on `n_jobs`.

    References
    ----------
    .. [1] I. M. Ziko, E. Granger, I. Ben Ayed, "Scalable Laplacian K-modes",
       NeurIPS 2018.
    .. [2] I. M. Ziko, M. Boudiaf, J. Dolz, E. Granger, I. Ben Ayed, "Transductive
       few-shot learning: clustering is all you need?", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_moons
    >>> from sparsestat.cluster import LaplacianKMeans
    >>> X, y = make_moons(200, noise=0.05, random_state=0)
    >>> seeds = np.full(200, -1)
    >>> seeds[[np.flatnonzero(y == 0)[0], np.flatnonzero(y == 1)[0]]] = [0, 1]
    >>> model = LaplacianKMeans(2, reg=50.0, n_neighbors=10).fit(X, seeds=seeds)
    >>> float((model.labels_ == y).mean()) > 0.98
    True
    """

    _needs_rows = "its graph couples rows that are neighbors"
    energy_history_ = OldAttribute("history_")

    _parameter_constraints: dict = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "prototype": [StrOptions({"mean", "mode", "medoid"})],
        "reg": [Interval(Real, 0, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "affinity": [
            StrOptions({"connectivity", "rbf"}),
            "array-like",
            "sparse matrix",
        ],
        "sigma": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "temperature": [Interval(Real, 0, None, closed="left")],
        "update": [StrOptions({"sequential", "parallel"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "max_inner_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "init": [StrOptions({"k-means++"}), "array-like"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        prototype="mean",
        reg=1.0,
        n_neighbors=5,
        affinity="connectivity",
        sigma="auto",
        temperature=1.0,
        update="sequential",
        max_iter=100,
        max_inner_iter=100,
        tol=1e-5,
        init="k-means++",
        n_init=1,
        random_state=None,
        n_jobs=None,
        verbose=0,
    ):
        self.n_clusters = n_clusters
        self.prototype = prototype
        self.reg = reg
        self.n_neighbors = n_neighbors
        self.affinity = affinity
        self.sigma = sigma
        self.temperature = temperature
        self.update = update
        self.max_iter = max_iter
        self.max_inner_iter = max_inner_iter
        self.tol = tol
        self.init = init
        self.n_init = n_init
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, seeds=None):
        """Cluster X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : None
            Ignored.
        seeds : array-like of shape (n_samples,), default=None
            Known labels as integers, -1 where unknown. Labels below `n_clusters`
            name their clusters; if some are larger, classes are numbered in order,
            see `classes_`.

        Returns
        -------
        self : LaplacianKMeans
            The fitted estimator.
        """
        X = self._validate(X, reset=True)
        n, k = X.shape[0], self.n_clusters
        check_enough_samples(n, k)
        fixed, self.classes_ = read_seeds(seeds, n, k)
        self._frame, X = Frame.of(X)
        if isinstance(self.affinity, str):
            W = neighbor_graph(X, self.n_neighbors, self.affinity, self.n_jobs)
        else:
            W = as_affinity(self.affinity, n)
        problem = GraphEnergy(
            X,
            W,
            fixed,
            self.prototype,
            self.reg,
            self.temperature,
            self.update,
            self.n_jobs,
        )
        rng = check_random_state(self.random_state)
        given = not isinstance(self.init, str)
        n_init = 1 if given or len(np.unique(fixed[fixed >= 0])) == k else self.n_init
        best = None
        with FitProgress(
            self, (n_init + 1) * self.max_iter, X=X, verbose=self.verbose
        ) as progress:
            starts = []
            if given:
                starts = [self._frame.apply(check_centers(self.init, k, X.shape[1]))]
            while len(starts) < n_init:
                starts.append(_first_centers(problem, k, rng))
            # One width for all starts, or their energies could not be compared.
            problem.variance = self._variance(problem, starts)
            for centers in starts:
                run = self._alternate(problem, centers, None, progress)
                if best is None or run["history"][-1] < best["history"][-1]:
                    best = run
            spread = problem.spread_seeds(k)
            if spread is not None:
                centers, _ = problem.prototypes(spread, centers)
                run = self._alternate(problem, centers, spread, progress)
                if run["history"][-1] < best["history"][-1]:
                    best = run
        self.memberships_ = best["Z"]
        self.labels_ = best["Z"].argmax(axis=1).astype(np.int32)
        self.cluster_centers_ = self._frame.invert(best["centers"])
        self.sigma_ = float(np.sqrt(problem.variance)) * self._frame.unit
        self.history_ = np.array(best["history"])
        self.energy_ = float(best["history"][-1])
        self.affinity_matrix_ = W
        self.n_iter_ = len(best["history"])
        self._X = X
        few = few_distinct_rows(X, k) is not None
        self._report(best["change"], best["n_refilled"], few)
        return self

    def _validate(self, X, *, reset):
        return check_samples(
            self, X, accept_sparse="csr", reset=reset, largest=LARGEST_ENTRY
        )

    def _variance(self, problem, starts):
        if self.sigma != "auto":
            share = float(self.sigma) / self._frame.unit
            if not _LEAST_SHARE < share < 1.0 / _LEAST_SHARE:
                raise ValueError(
                    f"sigma={self.sigma} is {share:.0e} times the largest entry of X: "
                    "it is a distance between samples. Pass one, or 'auto'."
                )
            return share**2
        nearest = min(
            problem.squared_distances(centers).min(axis=1).mean() for centers in starts
        )
        total = problem.norms.mean()
        if nearest <= 1e-12 * total:  # a sample for each prototype
            nearest = total
        return float(nearest) / effective_dimension(problem.X) or 1.0

    def _alternate(self, problem, centers, Z, progress):
        """Alternate memberships and prototypes until the energy stands still.

        Starts from hard memberships Z, or without the graph if None.
        """
        U = problem.costs(centers)
        if Z is None:
            Z, entropy = problem.start(U)
        else:
            Z, entropy = Z.copy(), np.zeros(len(Z))
        history, change, n_refilled = [], np.inf, 0
        energy, size = problem.energy(U, Z, entropy)
        inner_tol = 1e-2
        for _ in range(self.max_iter):
            Z, _ = problem.descend(U, Z, entropy, inner_tol, self.max_inner_iter, size)
            centers, empty = problem.prototypes(Z, centers)
            if len(empty) and n_refilled < self.n_clusters:
                n_refilled += len(empty)
                nearest = np.delete(U, empty, axis=1).min(axis=1, initial=np.inf)
                far = np.argsort(-nearest, kind="stable")[: len(empty)]
                points = problem.X[far]
                centers[empty] = points.toarray() if sparse.issparse(points) else points
            U = problem.costs(centers)
            before = energy
            energy, size = problem.energy(U, Z, entropy)
            history.append(energy)
            change = _change(before - energy, size, Z.size)
            stop = progress.step(energy=energy)
            # Rough memberships while the prototypes still travel.
            done = change <= self.tol and inner_tol <= self.tol and not len(empty)
            if stop or done:
                break
            inner_tol = max(0.1 * self.tol, min(inner_tol, 0.1 * change))
        return {
            "Z": Z,
            "centers": centers,
            "history": history,
            "change": change,
            "n_refilled": n_refilled,
        }

    def _report(self, change, n_refilled, few):
        self.certificate_ = Certificate(
            "monotone_bound",
            float(change),
            float(self.tol),
            bool(change <= self.tol),
            "last change of the energy relative to the magnitudes of its terms",
            {"energy": self.energy_},
        )
        warn_if_unsatisfied(
            self.certificate_,
            "LaplacianKMeans did not converge: the last change of the energy",
            "Raise max_iter or tol.",
        )
        fewer = few or warn_if_fewer_clusters(
            self.labels_,
            self.n_clusters,
            f"there are duplicate samples, or reg={self.reg} makes neighbors agree "
            "across clusters.",
        )
        if n_refilled and not fewer:
            warnings.warn(
                f"{n_refilled} clusters lost all samples and were started again far "
                "from all prototypes. Lower reg or n_clusters if that is unwanted.",
                UserWarning,
                stacklevel=users_stacklevel(),
            )

    def predict(self, X, *, neighbors=False):
        """Return the cluster of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            New samples.
        neighbors : bool, default=False
            False: the nearest prototype. True: also heed the memberships of the
            `n_neighbors` nearest training samples, as a sample of the fit that these
            do not name as their neighbor would.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Clusters.
        """
        check_is_fitted(self)
        X = self._frame.apply(self._validate(X, reset=False))
        n_train = self._X.shape[0]
        problem = GraphEnergy(
            self._X,
            sparse.csr_array((n_train, n_train)),
            np.full(n_train, -1),
            self.prototype,
            self.reg,
            self.temperature,
            self.update,
            self.n_jobs,
        )
        problem.variance = (self.sigma_ / self._frame.unit) ** 2
        field = -problem.costs(self._frame.apply(self.cluster_centers_), X)
        if neighbors:
            n_neighbors = min(self.n_neighbors, n_train)
            search = NearestNeighbors(n_neighbors=n_neighbors, n_jobs=self.n_jobs)
            near = search.fit(self._X).kneighbors(X, return_distance=False)
            for column in near.T:
                field += 0.5 * self.reg * self.memberships_[column]
        return field.argmax(axis=1).astype(np.int32)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _change(fall, size, n_terms):
    """Return the change of the energy relative to `size`; 0 for a rise to rounding."""
    if size == 0 or -rounding(n_terms, size) <= fall <= 0:
        return 0.0
    return abs(fall) / size


def read_seeds(seeds, n, n_clusters):
    """Return the cluster of each seed (-1: none) and the label of each cluster."""
    fixed = np.full(n, -1, dtype=np.int64)
    classes = np.full(n_clusters, -1, dtype=np.int64)
    if seeds is None:
        return fixed, classes
    seeds = np.asarray(seeds)
    if seeds.shape != (n,):
        raise ValueError(
            f"seeds must have shape ({n},), one a sample with -1 for unknown, got "
            f"{seeds.shape}."
        )
    if seeds.dtype.kind == "f" and np.array_equal(seeds, np.round(seeds)):
        seeds = seeds.astype(np.int64)
    if seeds.dtype.kind not in "iu":
        raise ValueError(
            f"seeds must be integers, -1 for unknown, got dtype {seeds.dtype}. Encode "
            "labels with sklearn.preprocessing.LabelEncoder."
        )
    if (seeds < -1).any():
        raise ValueError(
            f"seeds must be -1 for unknown or a label of at least 0, got {seeds.min()}."
        )
    known = seeds >= 0
    found = np.unique(seeds[known])
    if len(found) > n_clusters:
        raise ValueError(
            f"seeds have {len(found)} classes, more than n_clusters={n_clusters}. "
            "Raise n_clusters."
        )
    places = found
    if len(found) and found[-1] >= n_clusters:
        places = np.arange(len(found))
    fixed[known] = places[np.searchsorted(found, seeds[known])]
    classes[places] = found
    return fixed, classes


def _first_centers(problem, n_clusters, rng):
    """Return means of seeds, k-means++ points beside them, and a few steps."""
    X, fixed = problem.X, problem.fixed
    centers = np.zeros((n_clusters, X.shape[1]))
    seeded = np.unique(fixed[fixed >= 0])
    for k in seeded:
        centers[k] = np.asarray(X[np.flatnonzero(fixed == k)].mean(axis=0)).ravel()
    free = np.setdiff1d(np.arange(n_clusters), seeded)
    if not len(seeded):
        rows = kmeans_plusplus(X, n_clusters, rng)
        points = X[np.resize(rows, n_clusters)]  # repeated if there are too few
        centers[:] = points.toarray() if sparse.issparse(points) else points
    else:
        nearest = problem.squared_distances(centers[seeded]).min(axis=1)
        for k in free:
            mass = nearest.cumsum()
            row = int(np.searchsorted(mass, rng.uniform() * mass[-1]))
            row = min(row, X.shape[0] - 1)
            point = X[[row]]
            centers[k] = (point.toarray() if sparse.issparse(point) else point).ravel()
            distance = problem.squared_distances(centers[k : k + 1])[:, 0]
            nearest = np.minimum(nearest, distance)
    if len(free):
        for _ in range(_FIRST_STEPS):
            labels = problem.squared_distances(centers).argmin(axis=1)
            labels = np.where(fixed >= 0, fixed, labels)
            one_hot = np.eye(n_clusters)[labels]
            centers, _ = problem._weighted_means(one_hot, centers)
    if problem.prototype == "medoid":
        points = X[problem.squared_distances(centers).argmin(axis=0)]
        centers = points.toarray() if sparse.issparse(points) else points.copy()
    return centers
