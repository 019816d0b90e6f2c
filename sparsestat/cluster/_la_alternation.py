"""The alternation of labels and covariances, and the best pair of the two."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import linalg
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import SpectralClustering

from sparsestat._utils.results import users_stacklevel
from sparsestat.cluster._data import Frame
from sparsestat.cluster._la_solvers import (
    Affinities,
    solve_conic,
    solve_dense,
    solve_factored,
)
from sparsestat.cluster._la_updates import covariances_of, scatter, soft_labels
from sparsestat.cluster._sdp_search import SearchOptions, search_partition
from sparsestat.cluster._seeding import kmeans_plusplus, lloyd

__all__ = ["LABEL_TOL", "Alternation", "AlternationOptions"]

LABEL_TOL = 1e-2
# n of the dense solver by default, and K n^3, to which its time is proportional.
_AUTO_DENSE, _AUTO_WORK = 60, 10**6
# Residuals at which a bound that stands still is believed, on the way and at the end.
_ENOUGH, _ENOUGH_TO_PROVE = 1e-3, 3e-5
_LARGEST_CONDITION = 1e6
_KMEANS_STARTS = 10


@dataclass(frozen=True)
class AlternationOptions:
    """What was asked for, beside the data; see :class:`LikelihoodAdjustedSDP`."""

    n_clusters: int
    init: object
    solver: str
    rank: int
    max_iter: int
    tol: float
    covariance_type: str
    reg_covar: float
    shrinkage: str | None
    shrinkage_intensity: object
    reduction: str
    use_weights: bool
    min_cluster_size: int | None
    soft_start: bool
    n_init: int


class Alternation:
    """One run: labels, covariances and the best pair of the two."""

    def __init__(self, options, X, rng):
        self.options, self.rng = options, rng
        self.K = options.n_clusters
        self.frame, self.X = Frame.of(X)
        self.history, self.settled, self.best = [], True, None
        self.directions = None
        self.labels = self._first_labels()

    # Starts

    def _first_labels(self):
        options, X = self.options, self.X
        if not isinstance(options.init, str):
            labels = np.asarray(options.init)
            if labels.shape != (len(X),):
                raise ValueError(
                    f"init must hold one label for each of the {len(X)} samples, got "
                    f"shape {labels.shape}."
                )
            names, labels = np.unique(labels, return_inverse=True)
            if len(names) > self.K:
                raise ValueError(
                    f"init has {len(names)} different labels, more than "
                    f"n_clusters={self.K}."
                )
            return labels.astype(np.int64)
        if options.init == "spectral" and self.K > 1:
            seed = int(self.rng.randint(2**31 - 1))
            scaled = X / max(X.std(), np.finfo(float).tiny)
            model = SpectralClustering(
                self.K, affinity="nearest_neighbors", random_state=seed
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # graph in two pieces
                return model.fit(scaled).labels_.astype(np.int64)
        if options.init == "sdp":
            seed = int(self.rng.randint(2**31 - 1))
            relaxation = SearchOptions(self.K, certify=False, random_state=seed)
            found = search_partition(relaxation, X, np.ones(len(X)))
            return found.labels.astype(np.int64)
        best = np.inf
        for _ in range(_KMEANS_STARTS):
            picks = kmeans_plusplus(X, self.K, self.rng)
            found, _, cost = lloyd(X, X[picks])
            if cost < best:
                best, labels = cost, found
        return labels

    # Iterations

    def run_known(self, factors):
        """Solve with labels matched to the covariances, again if the match changes."""
        for _ in range(self.K + 1):
            matched = self._match(factors)
            if self.history and (matched == self.labels).all():
                break
            self.labels = matched
            self._solve_and_keep(self.X, factors)
            self.history.append(self.best["likelihood"])
        self._prove()

    def _match(self, factors):
        """Return the labels renamed so that the covariances fit them best."""
        spread = np.array([scatter(self.X, self.labels, k) for k in range(self.K)])
        sizes = np.bincount(self.labels, minlength=self.K)
        cost = np.empty((self.K, self.K))
        for j, L in enumerate(factors):
            log_det = 2.0 * np.log(np.diag(L)).sum()
            for k in range(self.K):
                white = linalg.cho_solve((L, True), spread[k])
                cost[k, j] = np.trace(white) + sizes[k] * log_det
        return linear_sum_assignment(cost)[1][self.labels]

    def run(self, progress):
        self._reduce_once()
        start = self.labels
        stopped = self._alternate(progress)
        if self.options.soft_start and self.kind != "lda" and not stopped:
            self._try_soft_starts(start, progress)
        self._prove()
        if self.locked and (self.best["labels"] == start).all():
            self._warn_about_lock()

    def _try_soft_starts(self, start, progress):
        """Alternate from the labels that EM makes of the start; keep the likeliest.

        EM runs with covariances as they are and with shrunk ones: either may stay
        where the other gets away.
        """
        T = self._coordinates()
        start = self._repair(T, start)
        for shrink in dict.fromkeys((False, self.options.shrinkage is not None)):
            kept = self.best, self.settled
            labels = soft_labels(T, start, partial(self._shaped, shrink=shrink))
            if (labels == kept[0]["labels"]).all():
                continue
            self.labels, self.best = labels, None
            stopped = self._alternate(progress)
            if kept[0]["likelihood"] >= self.best["likelihood"]:
                self.best, self.settled = kept
            if stopped:
                break

    def _alternate(self, progress):
        """Alternate relaxation and covariances; return whether a callback stopped."""
        options, Z, first = self.options, None, len(self.history)
        self.settled = False
        for it in range(options.max_iter):
            T = self._coordinates()
            self.labels = self._repair(T, self.labels)
            factors = self._factors(T, Z)
            before = self.labels
            result, value = self._solve_and_keep(T, factors)
            self.history.append(value)
            Z = result
            same = (self.labels == before).all()
            if it == 0:
                smallest = np.bincount(before, minlength=self.K).min()
                self.locked = same and self.K > 1 and smallest < 2 * T.shape[1]
            if progress.step(log_likelihood=value):
                return True
            if same or (it and _relative_change(self.history[first:]) <= options.tol):
                self.settled = True
                break
        return False

    def _solve_and_keep(self, T, factors):
        """Solve for given covariances; update labels and keep the best iterate."""
        log_weights = None
        if self.options.use_weights:
            sizes = np.bincount(self.labels, minlength=self.K)
            log_weights = np.log(np.maximum(sizes, 0.5) / len(T))
        affinities = Affinities(T, factors, log_weights)
        result = self._solve(affinities)
        memberships, candidate = _rounded(result)
        # Rounding an unfinished relaxation may lose against where it started.
        if affinities.value(candidate) >= affinities.value(self.labels):
            self.labels = candidate
        constant = len(T) * T.shape[1] * np.log(2 * np.pi)
        value = 0.5 * (affinities.value(self.labels) - constant)
        if self.best is None or value > self.best["likelihood"]:
            self.best = {
                "labels": self.labels,
                "memberships": memberships,
                "factors": factors,
                "affinities": affinities,
                "likelihood": value,
                "bound": 0.5 * (result.upper_bound - constant),
                "infeasibility": result.infeasibility,
                "converged": result.converged or result.infeasibility <= LABEL_TOL,
            }
        return result, value

    def _prove(self):
        """Solve the best pair's relaxation as far as its bound is worth it."""
        best = self.best
        affinities, n = best["affinities"], len(self.X)
        if not self._is_dense(affinities):
            return
        result = solve_dense(affinities, start=best["labels"], enough=_ENOUGH_TO_PROVE)
        constant = n * affinities.Y[0].shape[1] * np.log(2 * np.pi)
        memberships, candidate = _rounded(result)
        value = 0.5 * (affinities.value(candidate) - constant)
        if value > best["likelihood"]:
            best.update(labels=candidate, likelihood=value)
        bound = min(best["bound"], 0.5 * (result.upper_bound - constant))
        converged = result.converged or result.infeasibility <= LABEL_TOL
        best.update(memberships=memberships, bound=bound, converged=converged)
        best["infeasibility"] = result.infeasibility

    def keep_together(self, labels):
        """Give up clusters that would split equal points: these are the labels."""
        best = self.best
        constant = len(self.X) * best["affinities"].Y[0].shape[1] * np.log(2 * np.pi)
        value = 0.5 * (best["affinities"].value(labels) - constant)
        best.update(labels=labels, likelihood=value)
        best["memberships"] = np.eye(self.K)[labels]

    def _is_dense(self, affinities):
        n, solver = affinities.n, self.options.solver
        small = n <= _AUTO_DENSE and affinities.K * n**3 <= _AUTO_WORK
        return solver == "admm" or (solver == "auto" and small)

    def _solve(self, affinities):
        options, n = self.options, affinities.n
        if options.solver == "cvxpy":
            return solve_conic(affinities)
        if self._is_dense(affinities):
            return solve_dense(affinities, start=self.labels, enough=_ENOUGH)
        best = None
        for i in range(options.n_init):
            U = np.abs(self.rng.standard_normal((self.K, n, options.rank)))
            if i == 0:
                U *= 1e-2 / np.sqrt(n)
                sizes = np.bincount(self.labels, minlength=self.K)
                rows = np.arange(n)
                U[self.labels, rows, 0] = 1.0 / np.sqrt(sizes[self.labels])
            U /= np.sqrt(np.square(U).sum(axis=(1, 2), keepdims=True))
            result = solve_factored(affinities, U)
            value = affinities.value(result.memberships.argmax(axis=1))
            if best is None or value > best[0]:
                best = value, result
        return best[1]

    # Dimensions

    def _reduce_once(self):
        options, d = self.options, self.X.shape[1]
        sizes = np.bincount(self.labels, minlength=self.K)
        kind = options.reduction
        q = min(d, self.K + 4)
        if kind == "auto":
            kind = "pca" if sizes.min() < 5 * d and q < d else "none"
        self.kind = kind
        if kind == "pca" and q < d:
            self.directions = linalg.svd(self.X, full_matrices=False)[2][:q].T

    def _coordinates(self):
        """Return the samples in the directions in force."""
        if self.kind == "lda" and self.K > 1:
            self._discriminants()
        if self.directions is None:
            return self.X
        return self.X @ self.directions

    def _discriminants(self):
        X, d = self.X, self.X.shape[1]
        within = sum(scatter(X, self.labels, k) for k in range(self.K)) / len(X)
        total = X.T @ X / len(X)
        within += 1e-3 * max(np.trace(within) / d, np.finfo(float).tiny) * np.eye(d)
        q = min(d, self.K - 1)
        vectors = linalg.eigh(total, within, subset_by_index=(d - q, d - 1))[1]
        self.directions = vectors / linalg.norm(vectors, axis=0)
        # Other directions, other densities: likelihoods do not compare.
        self.best = None

    def _factors(self, T, result):
        """Return Cholesky factors of the regularized covariances."""
        return self._shaped(T, *covariances_of(T, self.labels, self.K, result))

    def _shaped(self, T, raw, sizes, shrink=True):
        """Give covariances the form asked for, shrink and factorize them."""
        options, (n, d) = self.options, T.shape
        pooled = np.einsum("k,kij->ij", sizes, raw) / sizes.sum()
        if options.covariance_type == "tied":
            raw = np.broadcast_to(pooled, raw.shape)
        variance = max(np.square(T).sum() / (n * d), np.finfo(float).tiny)
        out = []
        for k in range(self.K):
            S = raw[k]
            if options.covariance_type == "diag":
                S = np.diag(np.diag(S))
            elif options.covariance_type == "spherical":
                S = np.trace(S) / d * np.eye(d)
            if shrink:
                S = self._shrink(S, pooled, sizes[k], d)
            e, Q = linalg.eigh(S + options.reg_covar * variance * np.eye(d))
            floor = max(e[-1] / _LARGEST_CONDITION, 1e-12 * variance)
            S = (Q * np.maximum(e, floor)) @ Q.T
            out.append(linalg.cholesky(0.5 * (S + S.T), lower=True))
        return np.array(out)

    def _shrink(self, S, pooled, size, d):
        options = self.options
        if options.shrinkage is None:
            return S
        share = options.shrinkage_intensity
        if share == "auto":
            share = d / (d + size) if size < 5 * d else 0.0
        target = pooled
        if options.covariance_type == "diag":
            target = np.diag(np.diag(pooled))
        if options.shrinkage == "identity" or options.covariance_type == "spherical":
            target = np.trace(S) / d * np.eye(d)
        return (1 - share) * S + share * target

    def _repair(self, T, labels):
        """Fill clusters that are empty or too small to have a covariance."""
        n, d = T.shape
        least = self.options.min_cluster_size or d + 1
        least = max(1, min(least, n // (2 * self.K)))
        labels = labels.copy()
        for k in range(self.K):
            sizes = np.bincount(labels, minlength=self.K)
            if sizes[k] >= least:
                continue
            if sizes[k] == 0:
                own = np.array([T[labels == j].mean(axis=0) for j in labels])
                distance = np.square(T - own).sum(axis=1)
                wanted = max(least, n // (10 * self.K))
            else:
                mean = T[labels == k].mean(axis=0)
                distance = -np.square(T - mean).sum(axis=1)
                wanted = least - sizes[k]
            for i in np.argsort(-distance, kind="stable"):
                if wanted == 0:
                    break
                if labels[i] != k and sizes[labels[i]] > least:
                    sizes[labels[i]] -= 1
                    labels[i] = k
                    wanted -= 1
        return labels

    def _warn_about_lock(self):
        warnings.warn(
            "No update moved a sample, and a cluster has fewer than two samples per "
            "dimension: its own covariance may lock its members in. Use "
            "reduction='pca' or more samples.",
            UserWarning,
            stacklevel=users_stacklevel(),
        )

    def means(self, labels):
        """Return the means in the original coordinates."""
        out = np.empty((self.K, self.X.shape[1]))
        for k in range(self.K):
            mine = labels == k
            out[k] = self.X[mine].mean(axis=0) if mine.any() else out[0]
        return self.frame.invert(out)


def _rounded(result):
    """Return memberships whose rows sum to one, and the labels that they favor."""
    memberships = np.maximum(result.memberships, 0.0)
    memberships /= memberships.sum(axis=1, keepdims=True)
    return memberships, memberships.argmax(axis=1)


def _relative_change(history):
    return abs(history[-1] - history[-2]) / max(abs(history[-1]), 1.0)
