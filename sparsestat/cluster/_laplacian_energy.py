r"""Energy of memberships on a graph, and its descent.

.. math:: E(Z, m) = \sum_{ik} z_{ik} u_{ik}(m)
   - \frac{\lambda}{2} \sum_{ij} w_{ij} z_i^T z_j + T \sum_{ik} z_{ik} \log z_{ik}
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import pairwise

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from scipy.sparse.linalg import cg
from sklearn.neighbors import NearestNeighbors

from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.validation import as_compressed, read_only, read_only_triple
from sparsestat.cluster import _kernels_laplacian as kernels

__all__ = ["GraphEnergy", "as_affinity", "effective_dimension", "neighbor_graph"]

_ROWS_A_TASK = 20_000
_MAX_MEAN_SHIFTS = 100
_CANDIDATES = 16  # points tried as the new medoid of a cluster, of each of two kinds


def neighbor_graph(X, n_neighbors, kind, n_jobs):
    """Return the symmetrized nearest-neighbor graph, without a diagonal."""
    n = X.shape[0]
    n_neighbors = min(n_neighbors, n - 1)
    if n_neighbors == 0:
        return sparse.csr_array((n, n))
    search = NearestNeighbors(n_neighbors=n_neighbors, n_jobs=n_jobs).fit(X)
    distances, indices = search.kneighbors()
    weights = np.ones(distances.size)
    if kind == "rbf":
        squares = distances.ravel() ** 2
        width = 2.0 * squares.mean()
        weights = np.exp(-squares / width) if width > 0 else weights
    indptr = np.arange(0, n * n_neighbors + 1, n_neighbors)
    W = sparse.csr_array((weights, indices.ravel(), indptr), shape=(n, n))
    return as_compressed(0.5 * (W + W.T))


def as_affinity(W, n):
    """Check a graph given by the user; make it symmetric, drop its diagonal."""
    W = as_compressed(W, dtype=np.float64)
    if W.shape != (n, n):
        raise ValueError(
            f"affinity must have shape ({n}, {n}), one row a sample, got {W.shape}."
        )
    if not np.isfinite(W.data).all():
        raise ValueError("affinity contains NaN or infinity.")
    W = 0.5 * (W + W.T)
    if W.diagonal().any():
        W = W - sparse.diags_array(W.diagonal())
        W.eliminate_zeros()
    return as_compressed(W)


def effective_dimension(X):
    """Return ``trace(S)^2 / trace(S^2)`` of the covariance S of the rows."""
    n, d = X.shape
    if n < 2:
        return 1.0
    if d <= 1000:
        S = X.T @ X  # X comes centered but for sparse columns with zeros
        if sparse.issparse(X):
            mean = np.asarray(X.mean(axis=0)).ravel()
            S = S.toarray() - n * np.multiply.outer(mean, mean)
        power = float(np.vdot(S, S))
        return float(np.trace(S)) ** 2 / power if power > 0 else 1.0
    rows = np.random.RandomState(0).permutation(n)[:1000]
    part = X[np.sort(rows)]
    gram = part @ part.T
    gram = gram.toarray() if sparse.issparse(gram) else gram
    # Double centering: the Gram matrix of the rows less their mean.
    gram = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
    power = float(np.vdot(gram, gram))
    return float(np.trace(gram)) ** 2 / power if power > 0 else 1.0


def _stages(indices, indptr):
    """Order the rows by color, and cut the order into parts for workers.

    Returns the order and, for each stage, the bounds of its parts. Parts of one stage
    are of one color and may be updated at once; small colors share a stage of a
    single part.
    """
    colors, n_colors = kernels.color_rows(indices, indptr)
    order = np.argsort(colors, kind="stable")
    stops = np.searchsorted(colors[order], np.arange(n_colors + 1))
    stages, pending = [], 0
    for lo, hi in pairwise(stops):
        if hi - lo < 2 * _ROWS_A_TASK:
            continue
        if pending < lo:
            stages.append(np.array([pending, lo]))
        parts = max(1, (hi - lo) // _ROWS_A_TASK)
        stages.append(np.linspace(lo, hi, parts + 1).astype(np.int64))
        pending = hi
    if pending < len(order):
        stages.append(np.array([pending, len(order)]))
    return read_only(order), [read_only(stage) for stage in stages]


class GraphEnergy:
    """One problem: data, graph, fixed rows and the constants of the energy.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Samples.
    W : csr_array of shape (n_samples, n_samples)
        Symmetric affinity without diagonal.
    fixed : ndarray of shape (n_samples,)
        Cluster of rows whose membership is known, -1 for the others.
    prototype : {"mean", "mode", "medoid"}
        What stands for a cluster.
    reg, temperature : float
        Weights of the graph and of the entropy.
    update : {"sequential", "parallel"}
        One color of the graph after the other, or all rows at once with a diagonal
        shift of the graph that makes it positive semi-definite.
    """

    def __init__(self, X, W, fixed, prototype, reg, temperature, update, n_jobs):
        self.X, self.W = X, W
        self.graph = read_only_triple(W)
        self.fixed = read_only(fixed)
        self.prototype = prototype
        self.reg, self.temperature = float(reg), float(temperature)
        self.update, self.n_jobs = update, n_jobs
        self.norms = (
            np.asarray(X.multiply(X).sum(axis=1)).ravel()
            if sparse.issparse(X)
            else np.einsum("nd,nd->n", X, X)
        )
        self.shift = np.zeros(X.shape[0])
        if update == "parallel":
            # A diagonally dominant matrix is positive semi-definite, row by row.
            self.shift = np.asarray(abs(W).sum(axis=1)).ravel()
        self.order = self.stages = None
        self.variance = 1.0

    def squared_distances(self, centers, X=None):
        """Return squared distances of the rows, (n_samples, n_clusters)."""
        norms = self.norms
        if X is None:
            X = self.X
        else:
            norms = (
                np.asarray(X.multiply(X).sum(axis=1)).ravel()
                if sparse.issparse(X)
                else np.einsum("nd,nd->n", X, X)
            )
        D = np.ascontiguousarray(X @ (-2.0 * centers.T))
        D += norms[:, None]
        D += np.einsum("kd,kd->k", centers, centers)
        return np.maximum(D, 0.0, out=D)

    def costs(self, centers, X=None):
        """Return u_ik for given prototypes."""
        D = self.squared_distances(centers, X)
        D /= 2.0 * self.variance
        if self.prototype == "mean":
            return D
        np.negative(D, out=D)
        with np.errstate(under="ignore"):
            np.exp(D, out=D)
        return np.negative(D, out=D)

    def start(self, U):
        """Return memberships and entropies without the graph; fixed rows one-hot."""
        n, k = U.shape
        Z, entropy = np.zeros((n, k)), np.zeros(n)
        known = np.flatnonzero(self.fixed >= 0)
        Z[known, self.fixed[known]] = 1.0
        kernels.plain_softmax(read_only(U), self.fixed, self.temperature, Z, entropy)
        return Z, entropy

    def spread_seeds(self, n_clusters):
        """Return hard memberships from seeds that spread along the graph, or None.

        The harmonic extension of the seeds, each class scaled to one mass. It finds
        clusters that wind around each other, which no set of prototypes does.
        """
        seeded = np.unique(self.fixed[self.fixed >= 0])
        if len(seeded) < n_clusters or self.reg == 0 or (self.W.data < 0).any():
            return None
        free = np.flatnonzero(self.fixed < 0)
        if not len(free):
            return None
        known = np.flatnonzero(self.fixed >= 0)
        degree = np.asarray(self.W.sum(axis=1)).ravel()[free]
        # Parts of the graph without seeds would make the system singular.
        diagonal = degree + 1e-6 * max(degree.max(), 1e-300)
        root = np.sqrt(diagonal)
        rows = self.W[free]
        inner = rows[:, free]
        scaled = sparse.diags_array(1.0 / root) @ inner @ sparse.diags_array(1.0 / root)
        system = sparse.eye_array(len(free)) - scaled
        one_hot = np.zeros((len(known), n_clusters))
        one_hot[np.arange(len(known)), self.fixed[known]] = 1.0
        pull = (rows[:, known] @ one_hot) / root[:, None]
        field = np.empty((len(free), n_clusters))
        for k in range(n_clusters):
            found, _ = cg(system, pull[:, k], rtol=1e-4, maxiter=500)
            field[:, k] = found / root
        mass = np.maximum(field, 0.0).sum(axis=0)
        field /= np.where(mass > 0, mass, 1.0)
        Z = np.zeros((len(self.fixed), n_clusters))
        Z[known] = one_hot
        Z[free, field.argmax(axis=1)] = 1.0
        return Z

    def energy(self, U, Z, entropy):
        """Return the energy and the sum of the magnitudes of its terms."""
        linear, smooth, mixed = kernels.energy_terms(
            *self.graph, read_only(U), self.shift, Z, entropy
        )
        smooth, mixed = 0.5 * self.reg * smooth, self.temperature * mixed
        return linear - smooth + mixed, abs(linear) + abs(smooth) + abs(mixed)

    def descend(self, U, Z, entropy, tol, max_iter, size):
        """Update memberships until a pass lowers the energy by at most tol size.

        Returns
        -------
        Z : ndarray
            Memberships; the array given may have been overwritten.
        n_iter : int
        """
        U, n_iter = read_only(U), 0
        if self.update == "sequential":
            if self.stages is None:
                self.order, self.stages = _stages(*self.graph[1:])
            while n_iter < max_iter:
                n_iter += 1
                if self._sweep(U, Z, entropy) <= tol * size:
                    break
            return Z, n_iter
        n = len(Z)
        before, _ = self.energy(U, Z, entropy)
        other = np.empty_like(Z)
        tasks = [(lo, min(lo + _ROWS_A_TASK, n)) for lo in range(0, n, _ROWS_A_TASK)]
        while n_iter < max_iter:
            n_iter += 1

            def task(lo, hi, old=Z, new=other):
                kernels.jacobi_rows(
                    *self.graph,
                    U,
                    self.fixed,
                    self.reg,
                    self.temperature,
                    self.shift,
                    old,
                    new,
                    entropy,
                    lo,
                    hi,
                )

            run_parallel(task, tasks, n_jobs=self.n_jobs, require="sharedmem")
            Z, other = other, Z
            after, _ = self.energy(U, Z, entropy)
            if before - after <= tol * size:
                break
            before = after
        return Z, n_iter

    def _sweep(self, U, Z, entropy):
        """Update every free row given the newest others; return the decrease.

        Rows of one color are no neighbors, so that they may be updated at once, and
        the answer is the same on any number of workers.
        """

        def update(stage, falls):
            kernels.sweep(
                *self.graph,
                U,
                self.fixed,
                self.reg,
                self.temperature,
                self.order,
                stage,
                falls,
                Z,
                entropy,
            )

        total, workers = 0.0, effective_n_jobs(self.n_jobs)
        for stage in self.stages:
            falls = np.empty(len(stage) - 1)
            if workers == 1 or len(falls) == 1:
                update(stage, falls)
            else:
                parts = np.array_split(np.arange(len(falls)), workers)
                tasks = [
                    (stage[p[0] : p[-1] + 2], falls[p[0] : p[-1] + 1])
                    for p in parts
                    if len(p)
                ]
                run_parallel(update, tasks, n_jobs=self.n_jobs, require="sharedmem")
            total += float(falls.sum())
        return total

    def prototypes(self, Z, centers):
        """Return prototypes that do not raise the energy; empty clusters keep theirs.

        Returns
        -------
        centers : ndarray of shape (n_clusters, n_features)
        empty : ndarray of int
            Clusters without mass.
        """
        if self.prototype == "mean":
            return self._weighted_means(Z, centers)
        if self.prototype == "mode":
            return self._modes(Z, centers)
        return self._medoids(Z, centers)

    def _weighted_means(self, weights, centers):
        mass = weights.sum(axis=0)
        # A mass that leaves no trace in the energy, not one that is small.
        empty = np.flatnonzero(mass <= 1e-12)
        moved = np.asarray(self.X.T @ weights).T
        scale = np.where(mass > 1e-12, mass, 1.0)
        moved = moved / scale[:, None]
        moved[empty] = centers[empty]
        return np.ascontiguousarray(moved), empty

    def _modes(self, Z, centers):
        """Shift each prototype uphill of the density of its members."""
        for _ in range(_MAX_MEAN_SHIFTS):
            moved, _ = self._weighted_means(-Z * self.costs(centers), centers)
            step = np.linalg.norm(moved - centers)
            centers = moved
            if step <= 1e-5 * max(np.linalg.norm(centers), 1e-300):
                break
        return centers, np.flatnonzero(Z.sum(axis=0) <= 1e-12)

    def _medoids(self, Z, centers):
        """Try the surest members and those next to the mean as prototypes."""
        means, empty = self._weighted_means(Z, centers)
        near = self.squared_distances(means)
        surest = np.argsort(-Z, axis=0, kind="stable")[:_CANDIDATES]
        nearest = np.argsort(near, axis=0, kind="stable")[:_CANDIDATES]
        best = np.einsum("nk,nk->k", Z, self.costs(centers))
        out = centers.copy()
        for row in np.concatenate([nearest, surest]):
            points = self.X[row]
            points = points.toarray() if sparse.issparse(points) else points
            values = np.einsum("nk,nk->k", Z, self.costs(points))
            better = values < best
            out[better], best = points[better], np.minimum(values, best)
        return out, empty
