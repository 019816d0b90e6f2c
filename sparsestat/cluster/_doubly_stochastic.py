"""Spectral clustering of a doubly stochastic affinity."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import ClusterMixin
from sklearn.utils import check_random_state

from sparsestat._utils.arithmetic import power_of_two
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.results import warn_if_unsatisfied
from sparsestat._utils.samples import check_samples
from sparsestat._utils.validation import LARGEST_ENTRY, largest_entry
from sparsestat.cluster._checks import check_enough_samples, warn_if_fewer_clusters
from sparsestat.cluster._data import Frame
from sparsestat.cluster._partitions import few_distinct_rows
from sparsestat.cluster._spectral import spectral_embedding, spectral_labels
from sparsestat.exceptions import ConvergenceWarning
from sparsestat.transport import doubly_stochastic

__all__ = ["DoublyStochasticClustering"]

_ASYMMETRY = 1e-10  # of the largest affinity


class DoublyStochasticClustering(ClusterMixin, SparsestatEstimator):
    r"""Spectral clustering of an affinity whose rows and columns sum to one.

    The affinity is the doubly stochastic matrix nearest to a kernel in relative
    entropy,

    .. math:: \Gamma_{ij} = \exp\bigl((f_i + f_j - c(x_i, x_j)) / \varepsilon\bigr),
        \quad \Gamma 1 = 1, \; \Gamma = \Gamma^T

    so that no sample is a hub and none is isolated; its leading eigenvectors, clustered
    by k-means, give the labels. It competes with
    :class:`sklearn.cluster.SpectralClustering`, whose normalization leaves dense
    regions heavier. Read more in the
    :ref:`User Guide <doubly_stochastic_clustering>`.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    affinity : str, default="sqeuclidean"
        Cost of two samples: "sqeuclidean", their squared distance; or "subspace", minus
        the squared cosine, for samples near linear subspaces. With "precomputed" X is a
        symmetric matrix of *costs*, such as distances: small for samples that belong
        together, the opposite of what :class:`sklearn.cluster.SpectralClustering` takes
        under that name. With "precomputed_affinity" X is a symmetric, non-negative
        matrix of affinities, large for samples that belong together, scaled as it is;
        `reg` plays no part.
    reg : float, default=0.5
        Entropic strength, the width of the affinity. Small values follow winding
        clusters, large ones prefer compact clusters.
    reg_mode : {"relative", "absolute"}, default="relative"
        "relative" multiplies `reg` by the scale on which neighbors differ, see Notes.
    zero_diagonal : bool, default=True
        Give samples no affinity to themselves; needs at least 3.
    n_init : int, default=10
        Starts of k-means on the eigenvectors.
    tol : float, default=1e-6
        Stop when no row sum of the affinity is off by more than this.
    max_iter : int, default=300
        Largest number of scaling steps.
    random_state : int, RandomState instance or None, default=None
        Draws the starts of k-means.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of each sample.
    affinity_matrix_ : ndarray of shape (n_samples, n_samples)
        Symmetric and doubly stochastic.
    eigenvalues_ : ndarray of shape (min(n_clusters + 1, n_samples),)
        Largest eigenvalues of the affinity; the first is 1. A gap after the last but
        one speaks for `n_clusters`.
    embedding_ : ndarray of shape (n_samples, n_clusters)
        Their eigenvectors, without the last.
    reg_ : float
        Strength in units of the cost; 1 for precomputed affinities.
    certificate_ : Certificate
        Kind ``transport_gap``: the largest error of a row sum.
    n_iter_ : int
        Number of scaling steps.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        If there are fewer samples than clusters, or precomputed costs or affinities
        are not square and symmetric, or affinities are negative or cannot be scaled.

    Warns
    -----
    ConvergenceWarning
        If a row sum stays off by more than the tolerance, or there are fewer distinct
        samples than clusters.

    See Also
    --------
    sparsestat.transport.DoublyStochasticAffinity : The affinity alone.
    CodingRateSubspaceClustering : Subspaces without an n x n matrix.

    Notes
    -----
    Memory is O(n_samples^2), time O(n_samples^2 n_features + n_samples^3). A new sample
    would change the whole affinity, so that there is no ``predict``.

    With ``reg_mode="relative"`` the unit is the median, over samples, of the squared
    distance to the tenth nearest neighbor; of the cost of the tenth nearest less that
    of the nearest for precomputed costs; and 1 for ``affinity="subspace"``.

    References
    ----------
    .. [1] R. Zass, A. Shashua, "Doubly stochastic normalization for spectral
       clustering", NeurIPS 2006.
    .. [2] D. Lim, R. Vidal, B. D. Haeffele, "Doubly stochastic subspace clustering",
       2020.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from sparsestat.cluster import DoublyStochasticClustering
    >>> X, y = make_moons(200, noise=0.05, random_state=0)
    >>> labels = DoublyStochasticClustering(2, random_state=0).fit_predict(X)
    >>> bool(abs((labels == y).mean() - 0.5) == 0.5)
    True
    """

    _needs_rows = "an affinity couples all pairs of rows"

    _parameter_constraints: dict = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "affinity": [
            StrOptions(
                {"sqeuclidean", "subspace", "precomputed", "precomputed_affinity"}
            )
        ],
        "reg": [Interval(Real, 0, None, closed="neither")],
        "reg_mode": [StrOptions({"relative", "absolute"})],
        "zero_diagonal": ["boolean"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        affinity="sqeuclidean",
        reg=0.5,
        reg_mode="relative",
        zero_diagonal=True,
        n_init=10,
        tol=1e-6,
        max_iter=300,
        random_state=None,
    ):
        self.n_clusters = n_clusters
        self.affinity = affinity
        self.reg = reg
        self.reg_mode = reg_mode
        self.zero_diagonal = zero_diagonal
        self.n_init = n_init
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Cluster the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples; or costs of shape (n_samples, n_samples) if
            ``affinity="precomputed"``, affinities if ``"precomputed_affinity"``.
        y : None
            Ignored.

        Returns
        -------
        self : DoublyStochasticClustering
            The fitted estimator.
        """
        X = check_samples(self, X, largest=LARGEST_ENTRY)
        n, k = len(X), self.n_clusters
        check_enough_samples(n, k)
        C, unit = self._costs(X)
        if self.affinity == "precomputed_affinity":
            reg = 1.0
        elif self.reg_mode == "absolute":
            reg = float(self.reg) / unit
        else:
            reg = float(self.reg) * self._unit(C)
        self.reg_ = reg * unit
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = doubly_stochastic(
                C,
                reg=reg,
                zero_diagonal=self.zero_diagonal and n >= 3,
                tol=self.tol,
                max_iter=self.max_iter,
            )
        self.affinity_matrix_, _, self.certificate_ = found
        self.n_iter_ = max(1, int(self.certificate_.details["n_iter"]))
        self.eigenvalues_, vectors = spectral_embedding(self.affinity_matrix_, k + 1)
        self.embedding_ = vectors[:, :k]
        rng = check_random_state(self.random_state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            labels = spectral_labels(self.embedding_, k, rng, self.n_init)
        self.labels_ = labels.astype(np.int32)
        warn_if_unsatisfied(
            self.certificate_,
            "DoublyStochasticClustering: the error of a row sum",
            "Increase max_iter or tol, or use a larger reg.",
        )
        # Equal samples belong together, and more clusters than that would split them.
        distinct = (
            few_distinct_rows(X, k) if "precomputed" not in self.affinity else None
        )
        if distinct is not None:
            self.labels_ = distinct.astype(np.int32)
        else:
            warn_if_fewer_clusters(
                self.labels_, k, "there are duplicate samples. Lower n_clusters."
            )
        return self

    def _costs(self, X):
        """Return the costs, divided by a power of two, and that."""
        if self.affinity == "precomputed_affinity":
            return _log_affinities(X), 1.0
        if self.affinity == "precomputed":
            if len(X) != X.shape[1]:
                raise ValueError(
                    f"affinity='precomputed' needs square costs, got shape {X.shape}."
                )
            unit = power_of_two(largest_entry(X))
            return X / unit, unit
        if self.affinity == "subspace":
            X = X / power_of_two(largest_entry(X))
            norms = np.linalg.norm(X, axis=1)
            rows = X / np.where(norms > 0, norms, 1.0)[:, None]
            return -((rows @ rows.T) ** 2), 1.0
        frame, X = Frame.of(X)
        norms = np.einsum("nd,nd->n", X, X)
        C = -2.0 * (X @ X.T)
        C += norms[:, None]
        C += norms
        np.maximum(C, 0.0, out=C)
        np.fill_diagonal(C, 0.0)
        return 0.5 * (C + C.T), frame.unit**2

    def _unit(self, C):
        """Return the cost that `reg` is relative to."""
        n = len(C)
        if self.affinity == "subspace" or n < 3:
            return 1.0
        rest = C.copy()
        np.fill_diagonal(rest, np.inf)
        place = min(10, n - 1) - 1
        tenth = np.partition(rest, place, axis=1)[:, place]
        least = 0.0 if self.affinity == "sqeuclidean" else rest.min(axis=1)
        unit = float(np.median(tenth - least))
        if unit > 0:
            return unit
        spread = float(np.abs(C).mean())
        return spread if spread > 0 else 1.0

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = "precomputed" in self.affinity
        tags.input_tags.positive_only = self.affinity == "precomputed_affinity"
        return tags


def _log_affinities(X):
    """Return minus the logarithms of affinities, the costs whose kernel they are."""
    if len(X) != X.shape[1]:
        raise ValueError(
            "affinity='precomputed_affinity' needs a square matrix, got shape "
            f"{X.shape}."
        )
    if X.min() < 0:
        raise ValueError(
            "Negative values in data passed to DoublyStochasticClustering: affinities "
            f"must not be negative, the smallest is {X.min():.3g}. Costs go under "
            "affinity='precomputed'."
        )
    worst = float(np.abs(X - X.T).max())
    if worst > _ASYMMETRY * X.max():
        raise ValueError(
            f"Affinities must be symmetric, but |X_ij - X_ji| reaches {worst:.3g}. "
            "Pass (X + X.T) / 2."
        )
    X = 0.5 * (X + X.T)
    with np.errstate(divide="ignore"):
        return -np.log(X)
