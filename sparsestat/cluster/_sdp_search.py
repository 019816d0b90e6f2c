"""The search for a partition and its bound: starts, relaxations, rounding."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg, sparse
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.metrics import pairwise_distances_argmin
from sklearn.utils import check_random_state

from sparsestat._utils.parallel import run_parallel, single_blas_thread
from sparsestat._utils.progress import FitProgress
from sparsestat.cluster._admm import solve_admm
from sparsestat.cluster._certify import Bounds, dual_fits
from sparsestat.cluster._checks import import_cvxpy
from sparsestat.cluster._data import CenteredRows
from sparsestat.cluster._exchange import DistinctRows
from sparsestat.cluster._nlr import initial_factor, round_factor, solve_low_rank
from sparsestat.cluster._partitions import (
    cost_about,
    equal_rows,
    means_of,
    warn_of_few_points,
)
from sparsestat.cluster._seeding import drawing_order, kmeans_plusplus, lloyd

__all__ = ["SearchOptions", "search_partition"]

_CANDIDATES, _LOW_RANK_STARTS = 10, 3  # of n_init="auto"
_SMALL = 500  # points: below, threads of BLAS cost more than they give
_SETTLE = 1e-2
_PROOF_TOL = 1e-5  # of a relaxation that is solved for its bound alone
_SOLVER_SCALE = "infeasibility of the relaxation / its right-hand side"
_BOUND_SCALE = "last change of the lower bound / remaining gap"


@dataclass(frozen=True)
class SearchOptions:
    """What was asked for, beside the data; see :class:`SDPKMeans`."""

    n_clusters: int
    solver: str = "auto"
    rank: int | None = None
    init: str = "auto"
    n_init: object = "auto"
    max_iter: int | None = None
    tol: float = 1e-5
    label_tol: float | None = 1e-2
    gap_tol: float = 1e-6
    polish: bool = True
    certify: object = "auto"
    sketch_size: int = 1000
    sketch_rounds: int = 1
    sketch_weighting: str = "uniform"
    sketch_epochs: int = 1
    sketch_balance: bool = False
    random_state: object = None
    n_jobs: int | None = None


def search_partition(options, X, weights, progress=None):
    """Return the finished :class:`Search` of points of positive weights.

    Parameters
    ----------
    options : SearchOptions
        What is asked for.
    X : {ndarray, sparse array} of shape (n_samples, n_features)
        Points.
    weights : ndarray of shape (n_samples,)
        Their weights.
    progress : FitProgress, default=None
        None inside another fit, which reports.
    """
    small = X.shape[0] <= _SMALL
    with single_blas_thread() if small else nullcontext():
        search = Search(options, X, weights, progress or FitProgress(None, 0))
        search.run()
    return search


class Search:
    """One fit: the best partition so far, and what the solvers left behind."""

    def __init__(self, options, X, weights, progress):
        self.options, self.progress = options, progress
        self.X = X
        self.K = options.n_clusters
        self.rng = check_random_state(options.random_state)
        self.data = CenteredRows(X, weights)
        # Lloyd on centered data: rounding must not depend on where the origin is.
        self.rows, self.weights = self.data.rows(), self.data.weights
        self.order = drawing_order(self.rows)
        self.distinct = DistinctRows(self.rows, self.weights, self.order)
        proof = {True: "auto", False: None}.get(options.certify, options.certify)
        small = dual_fits(X.shape[0]) and proof == "auto"
        self.proof = "sdp" if small else "quick" if proof == "auto" else proof
        # Where there is no saying no, large data get the low-rank relaxation.
        self.relaxes = options.certify not in (False, "quick")
        given = options.n_init != "auto"
        self.n_candidates = options.n_init if given else _CANDIDATES
        self.n_starts = options.n_init if given else _LOW_RANK_STARTS
        self.cost = np.inf
        self.sdp_value = self.factor = self.matrix = None
        self.infeasibility, self.n_iter, self.converged = 0.0, 0, True
        self.solved = 0.0, options.tol, _SOLVER_SCALE

    def run(self):
        options = self.options
        self.n_distinct = self.X.shape[0]
        if options.solver == "sketch" and self.K > 1:  # is for data that are large
            self.plus_plus(1 if options.init != "random" else 0)
        elif options.solver == "nlr" and options.init == "random" and self.K > 1:
            pass
        else:
            self.plus_plus(self.n_candidates)
        if self.K == 1 or self.cost == 0.0:
            self.finish()
            return
        if options.solver == "auto" and self.relaxes:
            self.auto()
            return
        if options.solver != "auto":
            getattr(self, options.solver)()
        self.finish()

    # Starts and rounding

    def offer(self, labels, polish=True):
        """Keep a partition if it costs less than the best one, after polishing."""
        used, labels = np.unique(labels, return_inverse=True)
        centers = means_of(self.rows, labels, self.weights, len(used))
        if polish and len(used) == self.K:
            labels, centers, cost = self.polished(centers)
        else:
            cost = cost_about(self.rows, labels, self.weights, centers)
        if cost < self.cost:
            self.labels, self._centers, self.cost = labels, centers, float(cost)
            return True
        return False

    def polished(self, centers):
        """Return labels, means and cost where neither Lloyd nor a move gains."""
        labels, centers, cost = lloyd(self.rows, centers, self.weights)
        found = self.distinct.exchange(labels, self.K) if self.options.polish else None
        if found is None or found[2] == 0:
            return labels, centers, cost
        labels, centers, _, finished = found
        if not finished:
            return lloyd(self.rows, centers, self.weights)
        return labels, centers, cost_about(self.rows, labels, self.weights, centers)

    def plus_plus(self, n_init):
        """Try k-means++ starts."""
        for _ in range(n_init):
            picks = kmeans_plusplus(
                self.rows, self.K, self.rng, self.weights, order=self.order
            )
            centers = self.rows[picks]
            centers = centers.toarray() if sparse.issparse(centers) else centers
            if len(picks) < self.K:
                self.few_points(picks, centers)
                return
            labels, centers, cost = self.polished(centers)
            if cost < self.cost:
                self.labels, self._centers, self.cost = labels, centers, float(cost)
            if len(np.unique(labels)) < self.K:
                # Points too close for Lloyd's distances keep clusters of their own.
                first = pairwise_distances_argmin(self.rows, self.rows[picks])
                for k, pick in enumerate(picks):
                    first[equal_rows(self.rows, pick)] = k
                self.offer(first, polish=False)

    def few_points(self, picks, centers):
        """Give every distinct point a cluster of its own, which costs nothing."""
        warn_of_few_points(len(centers), self.K)
        self.labels = pairwise_distances_argmin(self.rows, centers).astype(np.int64)
        for k, pick in enumerate(picks):
            self.labels[equal_rows(self.rows, pick)] = k
        self._centers = np.vstack((centers, centers[:1].repeat(self.K, axis=0)))
        self._centers = self._centers[: self.K]
        self.cost = 0.0

    @property
    def centers(self):
        return self.data.frame.invert(self._centers)

    @property
    def inertia(self):
        return self.cost * self.data.cost_unit

    # Solvers

    def auto(self):
        """Certify k-means++, and solve the relaxation only where that fails."""
        bounds = self.bounds()
        self.certificate = self.certify(bounds)
        if self.certificate.certified:
            return
        if self.proof == "sdp":
            result = bounds.add_dual(settle=_SETTLE, **self.admm_options())
            if result is None:
                return
            better = self.keep_dense(result)
            if result.converged and result.infeasibility > self.options.tol:
                # It stopped on the bound, which is what was asked of it.
                value = result.change if result.change <= _SETTLE else 0.0
                self.solved = value, _SETTLE, _BOUND_SCALE
            if better:
                fresh = self.bounds()
                fresh._keep(bounds.bound, bounds.lower_bound)
                bounds = fresh
        else:
            better = self.nlr(self.n_starts)
            if better:
                bounds = self.bounds()
        self.certificate = self.certify(bounds)

    def admm_options(self):
        options = self.options
        return {
            "max_iter": options.max_iter or 2_000,
            "tol": options.tol,
            "gap_tol": options.gap_tol,
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
            stop_at_gap=self.proof is not None,
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
        self.solved = result.infeasibility, self.options.tol, _SOLVER_SCALE
        n = len(root)
        vectors = linalg.eigh(result.membership, subset_by_index=(n - self.K, n - 1))[1]
        return self.offer(self.labels_from(vectors), self.options.polish)

    def labels_from(self, vectors):
        rows = vectors / self.data.root[:, None]
        picks = kmeans_plusplus(rows, self.K, self.rng, self.weights)
        if len(picks) < self.K:
            return self.labels
        return lloyd(rows, rows[picks], self.weights)[0]

    def cvxpy(self):
        """Hand the relaxation to a generic conic solver."""
        cp = import_cvxpy()
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
        tol = self.options.tol
        self.converged = problem.status == "optimal" and self.infeasibility <= tol
        self.solved = self.infeasibility, tol, _SOLVER_SCALE
        vectors = linalg.eigh(Z.value, subset_by_index=(n - self.K, n - 1))[1]
        self.offer(self.labels_from(vectors), self.options.polish)

    def nlr(self, n_random=None):
        """Run the low-rank solver from each start; keep the cheapest partition."""
        options, K = self.options, self.K
        n_init = self.n_starts if n_random is None else n_random
        rank = options.rank or 2 * K
        starts = []
        for i in range(n_init):
            from_labels = n_random is None and (
                options.init == "k-means++" or (options.init == "auto" and i == 0)
            )
            seed = int(self.rng.randint(2**31 - 1))
            starts.append((seed, self.labels if from_labels else None))
        tasks = [
            (self.data, K, rank, seed, labels, self.low_rank_options())
            for seed, labels in starts
        ]
        found = run_parallel(_low_rank_start, tasks, n_jobs=options.n_jobs)
        better, best = False, None
        for result, labels in found:
            improved = self.offer(labels, options.polish)
            better = better or improved
            if best is None or improved:
                best = result
        self.factor = best.factor / self.data.root[:, None]
        if options.label_tol is None:
            self.sdp_value = best.value
        self.infeasibility, self.n_iter = best.infeasibility, best.n_iter
        self.converged = best.converged
        labels_only = options.label_tol is not None
        tol = options.label_tol if labels_only else options.tol
        self.solved = best.infeasibility, tol, _SOLVER_SCALE
        return better

    def low_rank_options(self):
        label_tol = self.options.label_tol
        return {
            "tol": self.options.tol,
            "label_tol": self.options.tol if label_tol is None else label_tol,
            "labels_only": label_tol is not None,
            "max_iter": self.options.max_iter or 10_000,
        }

    def sketch(self):
        """Solve on subsamples, and give every point to the nearest mean."""
        options, n = self.options, self.X.shape[0]
        size = min(n, max(options.sketch_size, self.K + 1))
        for _ in range(options.sketch_rounds):
            chance = self.weights / self.weights.sum()
            if options.sketch_weighting == "cluster" and np.isfinite(self.cost):
                mass = np.bincount(self.labels, chance, minlength=self.K)
                chance = chance / mass[self.labels]
                chance /= chance.sum()
            possible = np.count_nonzero(chance)
            size = min(size, possible)
            epochs = min(options.sketch_epochs, possible // size)
            drawn = self.rng.choice(n, epochs * size, replace=False, p=chance)
            parts = [np.sort(part) for part in drawn.reshape(epochs, size)]
            seeds = self.rng.randint(2**31 - 1, size=epochs)
            # Rows drawn by chance stand for their cluster, not for their weight.
            parts = [
                (self.sketched(rows, int(seed)), rows)
                for rows, seed in zip(parts, seeds, strict=True)
            ]
            centers = averaged_centers([self.sketch_centers(*part) for part in parts])
            labels = pairwise_distances_argmin(self.rows, centers)
            self.offer(labels, options.polish)
            inner = [search for search, _ in parts]
            worst = max(inner, key=lambda search: search.infeasibility)
            self.infeasibility = worst.infeasibility
            self.n_iter = max(search.n_iter for search in inner)
            self.converged = all(search.certificate.satisfied for search in inner)
            self.solved = self.infeasibility, worst.certificate.tol, _SOLVER_SCALE

    def sketched(self, rows, seed):
        """Return the search on a few rows, by the low-rank relaxation."""
        options = replace(
            self.options,
            solver="nlr",
            init="random",
            gap_tol=SearchOptions.gap_tol,
            polish=True,
            certify=False,
            random_state=seed,
        )
        return search_partition(options, self.rows[rows], np.ones(len(rows)))

    def sketch_centers(self, inner, rows):
        """Return the means of a subsample's clusters, of equally many points each."""
        if not self.options.sketch_balance:
            return inner.centers
        sizes = np.bincount(inner.labels, minlength=self.K)
        if not sizes.all():
            return inner.centers
        centers = np.empty_like(inner.centers)
        for k in range(self.K):
            mine = rows[inner.labels == k]
            some = np.sort(self.rng.choice(mine, sizes.min(), replace=False))
            centers[k] = np.asarray(self.rows[some].mean(axis=0)).ravel()
        return centers

    # Certificates

    def bounds(self):
        used, labels = np.unique(self.labels, return_inverse=True)
        return Bounds(self.data, labels.astype(np.int64), len(used), self.K)

    def finish(self):
        if self.proof is None:
            if self.cost > 0.0:
                parts = self.rows, self.labels, self.weights, self._centers
                self.cost = cost_about(*parts)
            self.certificate = self.certify(None)
            return
        bounds = self.bounds()
        if getattr(self, "extra_bound", None):
            bounds._keep(*self.extra_bound)
        self.certificate = self.certify(bounds)
        if (
            self.proof == "sdp"
            and bounds.bound != "dual"
            and not self.certificate.certified
        ):
            options = {**self.admm_options(), "tol": _PROOF_TOL}
            if bounds.add_dual(settle=_SETTLE, **options) is not None:
                self.certificate = self.certify(bounds)

    def certify(self, bounds):
        if bounds is None:
            bounds = object.__new__(Bounds)
            bounds.data, bounds.cost, bounds.cost_rounding = self.data, self.cost, 0.0
            bounds.bound, bounds.lower_bound, bounds.n_clusters = "trivial", 0.0, 1
            bounds.lam = bounds.lam_max = bounds.slack = np.nan
        self.cost = bounds.cost  # summed with the greatest care
        return bounds.certificate(
            self.options.gap_tol,
            value=self.solved[0],
            tol=self.solved[1],
            satisfied=self.converged,
            scale=self.solved[2],
        )


def averaged_centers(sets):
    """Match sets of centers to the first one and average them."""
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
