"""Clusters of different shapes by a likelihood-adjusted semidefinite relaxation."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from functools import partial
from numbers import Integral, Real

import numpy as np
from scipy import linalg
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp
from sklearn.base import ClusterMixin
from sklearn.cluster import SpectralClustering
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import (
    Certificate,
    users_stacklevel,
    warn_if_unsatisfied,
)
from sparsestat._utils.validation import check_magnitude, refuse_complex
from sparsestat.cluster._la_solvers import (
    Affinities,
    solve_conic,
    solve_dense,
    solve_factored,
)
from sparsestat.cluster._la_updates import covariances_of, scatter, soft_labels
from sparsestat.cluster._sdp_kmeans import SDPKMeans
from sparsestat.cluster._seeding import kmeans_plusplus, lloyd

__all__ = ["LikelihoodAdjustedSDP"]

_AUTO_DENSE = 60
_LARGEST_DENSE = 400
_LARGEST_CONDITION = 1e6
_LABEL_TOL = 1e-2
_KMEANS_STARTS = 10


class LikelihoodAdjustedSDP(CallbackSupportMixin, ClusterMixin, SparsestatEstimator):
    r"""Clusters of unequal covariance, by a semidefinite relaxation for each.

    With :math:`A_k(i,j) = -\tfrac12 (x_i-x_j)^\top \Sigma_k^{-1} (x_i-x_j) -
    \log\det \Sigma_k` twice the profile log-likelihood of a partition is
    :math:`\sum_k \langle A_k, 1_k 1_k^\top / n_k\rangle`. The relaxation

    .. math:: \max \sum_k \langle A_k, Z_k\rangle \quad \text{s.t.} \quad
        Z_k \succeq 0,\; Z_k \ge 0,\; \operatorname{tr} Z_k = 1,\;
        \textstyle\sum_k Z_k 1 = 1

    is solved in turn with updates of the covariances. Read more in the
    :ref:`User Guide <likelihood_adjusted_sdp>`.

    Parameters
    ----------
    n_clusters : int, default=2
        Number of clusters.
    covariances : array-like (n_clusters, n_features, n_features), default=None
        Known covariances: the relaxation is solved once and nothing is updated.
    init : {"kmeans", "spectral", "sdp"} or array-like, default="kmeans"
        First labels; an array holds one for each sample.
    solver : {"auto", "low_rank", "admm", "cvxpy"}, default="auto"
        ``low_rank`` works on non-negative factors in memory linear in n; ``admm``
        solves the convex problem (at most 400 samples). ``auto`` takes ``admm`` up
        to 60 samples.
    rank : int, default=2
        Columns of each factor of ``low_rank``.
    max_iter : int, default=20
        Largest number of covariance updates from each start.
    tol : float, default=1e-6
        Stop when the log-likelihood changes by at most this share.
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        Which covariances are estimated.
    reg_covar : float, default=1e-6
        Added to the diagonal, relative to the mean variance of the features.
    shrinkage : {"pooled", "identity"} or None, default="pooled"
        What each covariance is drawn towards.
    shrinkage_intensity : float or "auto", default="auto"
        Weight of the target, in [0, 1]; "auto" is ``d / (d + n_k)`` for clusters
        smaller than 5 d and 0 for others.
    reduction : {"auto", "pca", "lda", "none"}, default="auto"
        Work in fewer dimensions: principal components, or discriminant directions
        of the current labels. "auto" takes ``n_clusters + 4`` principal components
        when a cluster has fewer than 5 d samples.
    use_weights : bool, default=False
        Put mixing proportions into the likelihood.
    min_cluster_size : int, default=None
        Least size of a cluster; smaller ones take in their likeliest points. None
        means one more than the dimension.
    soft_start : bool, default=True
        Alternate also from the labels that EM makes of the first ones, and keep what
        is likeliest. Hard labels shape the covariances that then confirm them; soft
        ones get away. If False the first labels are the only start.
    n_init : int, default=1
        Starts of ``low_rank``: the current labels, then random factors.
    random_state : int, RandomState instance or None, default=None
        Draws the starts.
    verbose : int, default=0
        At 1 and above, log a line per update.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of each sample.
    memberships_ : ndarray of shape (n_samples, n_clusters)
        Row sums of the lifted memberships; rows sum to 1.
    means_ : ndarray of shape (n_clusters, n_features)
        Means of the clusters.
    reduction_ : ndarray of shape (n_features, q) or None
        Directions that the covariances live in; None means all of them.
    covariances_ : ndarray of shape (n_clusters, q, q)
        Regularised covariances, in reduced coordinates.
    precisions_cholesky_ : ndarray of shape (n_clusters, q, q)
        Upper triangular factors of the inverse covariances.
    weights_ : ndarray of shape (n_clusters,)
        Shares of the samples.
    log_likelihood_ : float
        Classification log-likelihood of `labels_`, in reduced coordinates.
    upper_bound_ : float
        No partition has a larger log-likelihood under `covariances_`.
    certified_ : bool
        Whether the bound proves `labels_` optimal for `covariances_`.
    certificate_ : Certificate
        Kind ``lower_bound``. Its value is the infeasibility of the relaxation's
        solver; its details hold likelihood and bound.
    history_ : ndarray of shape (n_iter_,)
        Log-likelihood after each update, from one start after the other.
    n_iter_ : int
        Number of updates.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    SDPKMeans : Equal spherical covariances, with sharper certificates.
    sklearn.mixture.GaussianMixture : Maximum likelihood by EM, much faster.

    Notes
    -----
    An iteration of ``low_rank`` costs O(K n rank d). In our measurements the method
    ties with EM started from the same labels, at a higher cost, and without
    `soft_start` it is often worse; what it adds is a bound for given covariances. The
    factored problem is not convex. A bound from ``admm`` is sharp; from ``low_rank`` it
    is valid and usually loose.

    References
    ----------
    .. [1] Y. Zhuang, X. Chen, Y. Yang, "Likelihood adjusted semidefinite programs
       for clustering heterogeneous data", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.cluster import LikelihoodAdjustedSDP
    >>> rng = np.random.default_rng(0)
    >>> flat = rng.standard_normal((100, 2)) * [5.0, 0.3]
    >>> tall = rng.standard_normal((100, 2)) * [0.3, 5.0] + [0.0, 16.0]
    >>> X = np.vstack([flat, tall])
    >>> model = LikelihoodAdjustedSDP(2, random_state=0).fit(X)
    >>> sorted(np.bincount(model.labels_).tolist())
    [100, 100]
    """

    _parameter_constraints = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "covariances": ["array-like", None],
        "init": [StrOptions({"kmeans", "spectral", "sdp"}), "array-like"],
        "solver": [StrOptions({"auto", "low_rank", "admm", "cvxpy"})],
        "rank": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "covariance_type": [StrOptions({"full", "tied", "diag", "spherical"})],
        "reg_covar": [Interval(Real, 0, None, closed="left")],
        "shrinkage": [StrOptions({"pooled", "identity"}), None],
        "shrinkage_intensity": [
            StrOptions({"auto"}),
            Interval(Real, 0, 1, closed="both"),
        ],
        "reduction": [StrOptions({"auto", "pca", "lda", "none"})],
        "use_weights": ["boolean"],
        "min_cluster_size": [Interval(Integral, 1, None, closed="left"), None],
        "soft_start": ["boolean"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_clusters=2,
        *,
        covariances=None,
        init="kmeans",
        solver="auto",
        rank=2,
        max_iter=20,
        tol=1e-6,
        covariance_type="full",
        reg_covar=1e-6,
        shrinkage="pooled",
        shrinkage_intensity="auto",
        reduction="auto",
        use_weights=False,
        min_cluster_size=None,
        soft_start=True,
        n_init=1,
        random_state=None,
        verbose=0,
    ):
        self.n_clusters = n_clusters
        self.covariances = covariances
        self.init = init
        self.solver = solver
        self.rank = rank
        self.max_iter = max_iter
        self.tol = tol
        self.covariance_type = covariance_type
        self.reg_covar = reg_covar
        self.shrinkage = shrinkage
        self.shrinkage_intensity = shrinkage_intensity
        self.reduction = reduction
        self.use_weights = use_weights
        self.min_cluster_size = min_cluster_size
        self.soft_start = soft_start
        self.n_init = n_init
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Find clusters and their covariances.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If there are fewer samples than clusters, a given covariance is not
            positive definite, or the solver cannot take as many samples.
        ImportError
            If ``solver="cvxpy"`` and cvxpy is not installed.
        """
        refuse_complex(X)
        X = check_magnitude(validate_data(self, X, dtype=np.float64, order="C"))
        self._check_size(len(X))
        rng = check_random_state(self.random_state)
        fit = _Fit(self, X, rng)
        with FitProgress(
            self, 2 * self.max_iter, X=X, verbose=self.verbose
        ) as progress:
            if self.covariances is not None:
                fit.run_known(self._known_factors(X.shape[1]))
            else:
                fit.run(progress)
        self._store(X, fit)
        return self

    def _check_size(self, n):
        if n < self.n_clusters:
            raise ValueError(
                f"n_samples={n} should be >= n_clusters={self.n_clusters}."
            )
        if self.solver in ("admm", "cvxpy") and n > _LARGEST_DENSE:
            raise ValueError(
                f"solver={self.solver!r} forms n x n matrices and takes at most "
                f"{_LARGEST_DENSE} samples, got {n}. Use solver='low_rank'."
            )

    def _known_factors(self, d):
        covariances = np.asarray(self.covariances, dtype=np.float64)
        wanted = (self.n_clusters, d, d)
        if covariances.shape != wanted or not np.isfinite(covariances).all():
            raise ValueError(
                f"covariances must be a finite array of shape {wanted}, got shape "
                f"{covariances.shape}."
            )
        factors = []
        for k, S in enumerate(covariances):
            if not np.allclose(S, S.T, rtol=1e-8, atol=0):
                raise ValueError(f"covariances[{k}] is not symmetric.")
            try:
                factors.append(linalg.cholesky(S, lower=True))
            except linalg.LinAlgError as error:
                raise ValueError(
                    f"covariances[{k}] is not positive definite. Add a small "
                    "multiple of the identity to it."
                ) from error
        return np.array(factors)

    def _store(self, X, fit):
        best = fit.best
        self.labels_ = best["labels"].astype(np.int32)
        self.memberships_ = best["memberships"]
        self.reduction_ = fit.directions
        self._factors = best["factors"]
        self.covariances_ = np.array([L @ L.T for L in self._factors])
        eye = np.eye(self._factors.shape[1])
        self.precisions_cholesky_ = np.array(
            [linalg.solve_triangular(L, eye, lower=True).T for L in self._factors]
        )
        sizes = np.bincount(self.labels_, minlength=self.n_clusters)
        self.weights_ = sizes / len(X)
        self.means_ = fit.means(X, self.labels_)
        self.log_likelihood_ = best["likelihood"]
        self.upper_bound_ = best["bound"]
        gap = self.upper_bound_ - self.log_likelihood_
        relative = max(gap, 0.0) / max(abs(self.log_likelihood_), 1.0)
        self.certified_ = bool(relative <= 1e-6)
        self.history_ = np.array(fit.history)
        self.n_iter_ = len(fit.history)
        self.certificate_ = Certificate(
            "lower_bound",
            float(best["infeasibility"]),
            _LABEL_TOL,
            bool(best["converged"] and fit.settled),
            "infeasibility of the relaxation / its right-hand side",
            {
                "log_likelihood": self.log_likelihood_,
                "upper_bound": self.upper_bound_,
                "gap": float(relative),
                "certified": "yes" if self.certified_ else "no",
            },
        )
        warn_if_unsatisfied(
            self.certificate_,
            "LikelihoodAdjustedSDP did not settle: its labels still changed, or the "
            "infeasibility of the relaxation",
            "Raise max_iter.",
        )

    def _validate_new(self, X):
        check_is_fitted(self)
        refuse_complex(X)
        return check_magnitude(
            validate_data(self, X, dtype=np.float64, order="C", reset=False)
        )

    def _log_density(self, X):
        """Return log densities of shape (n_samples, n_clusters), with proportions."""
        out = np.empty((len(X), self.n_clusters))
        for k, L in enumerate(self._factors):
            centred = X - self.means_[k]
            if self.reduction_ is not None:
                centred = centred @ self.reduction_
            white = linalg.solve_triangular(L, centred.T, lower=True)
            out[:, k] = -0.5 * np.square(white).sum(axis=0)
            out[:, k] -= np.log(np.diag(L)).sum()
            out[:, k] -= 0.5 * len(L) * np.log(2 * np.pi)
        if self.use_weights:
            with np.errstate(divide="ignore"):
                out += np.log(self.weights_)
        return out

    def predict(self, X):
        """Return the likeliest cluster of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Cluster index.
        """
        return self._log_density(self._validate_new(X)).argmax(axis=1).astype(np.int32)

    def predict_proba(self, X):
        """Return the posterior probabilities of the clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_clusters)
            Rows sum to one.
        """
        density = self._log_density(self._validate_new(X))
        return np.exp(density - logsumexp(density, axis=1, keepdims=True))

    def score(self, X, y=None):
        """Return the mean log-likelihood of the samples under the mixture.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : None
            Ignored.

        Returns
        -------
        score : float
            Mean log density, in reduced coordinates if there is a reduction.
        """
        density = self._log_density(self._validate_new(X))
        if not self.use_weights:
            with np.errstate(divide="ignore"):
                density = density + np.log(self.weights_)
        return float(logsumexp(density, axis=1).mean())


class _Fit:
    """One run: labels, covariances and the best pair of the two."""

    def __init__(self, params, X, rng):
        self.params, self.rng = params, rng
        self.K = params.n_clusters
        self.centre = X.mean(axis=0)
        self.X = X - self.centre
        self.history, self.settled, self.best = [], True, None
        self.directions = None
        self.labels = self._first_labels()

    # Starts

    def _first_labels(self):
        params, X = self.params, self.X
        if not isinstance(params.init, str):
            labels = np.asarray(params.init)
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
        if params.init == "spectral" and self.K > 1:
            seed = int(self.rng.randint(2**31 - 1))
            scaled = X / max(X.std(), np.finfo(float).tiny)
            model = SpectralClustering(
                self.K, affinity="nearest_neighbors", random_state=seed
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # graph in two pieces
                return model.fit(scaled).labels_.astype(np.int64)
        if params.init == "sdp":
            seed = int(self.rng.randint(2**31 - 1))
            model = SDPKMeans(self.K, certify=False, random_state=seed)
            return model.fit(X).labels_.astype(np.int64)
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
        if self.params.soft_start and self.kind != "lda" and not stopped:
            self._try_soft_starts(start, progress)
        if self.locked and (self.best["labels"] == start).all():
            self._warn_about_lock()

    def _try_soft_starts(self, start, progress):
        """Alternate from the labels that EM makes of the start; keep the likeliest.

        EM runs with covariances as they are and with shrunk ones: either may stay
        where the other gets away.
        """
        T = self._coordinates()
        start = self._repair(T, start)
        for shrink in dict.fromkeys((False, self.params.shrinkage is not None)):
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
        params, Z, first = self.params, None, len(self.history)
        self.settled = False
        for it in range(params.max_iter):
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
            if same or (it and _relative_change(self.history[first:]) <= params.tol):
                self.settled = True
                break
        return False

    def _solve_and_keep(self, T, factors):
        """Solve for given covariances; update labels and keep the best iterate."""
        log_weights = None
        if self.params.use_weights:
            sizes = np.bincount(self.labels, minlength=self.K)
            log_weights = np.log(np.maximum(sizes, 0.5) / len(T))
        affinities = Affinities(T, factors, log_weights)
        result = self._solve(affinities)
        memberships = np.maximum(result.memberships, 0.0)
        memberships /= memberships.sum(axis=1, keepdims=True)
        candidate = memberships.argmax(axis=1)
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
                "likelihood": value,
                "bound": 0.5 * (result.upper_bound - constant),
                "infeasibility": result.infeasibility,
                "converged": result.converged or result.infeasibility <= _LABEL_TOL,
            }
        return result, value

    def _solve(self, affinities):
        params, n = self.params, affinities.n
        dense = params.solver == "admm" or (
            params.solver == "auto" and n <= _AUTO_DENSE
        )
        if params.solver == "cvxpy":
            return solve_conic(affinities)
        if dense:
            return solve_dense(affinities, start=self.labels)
        best = None
        for i in range(params.n_init):
            U = np.abs(self.rng.standard_normal((self.K, n, params.rank)))
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
        params, d = self.params, self.X.shape[1]
        sizes = np.bincount(self.labels, minlength=self.K)
        kind = params.reduction
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
        """Return Cholesky factors of the regularised covariances."""
        return self._shaped(T, *covariances_of(T, self.labels, self.K, result))

    def _shaped(self, T, raw, sizes, shrink=True):
        """Give covariances the form asked for, shrink and factorise them."""
        params, (n, d) = self.params, T.shape
        pooled = np.einsum("k,kij->ij", sizes, raw) / sizes.sum()
        if params.covariance_type == "tied":
            raw = np.broadcast_to(pooled, raw.shape)
        variance = max(np.square(T).sum() / (n * d), np.finfo(float).tiny)
        out = []
        for k in range(self.K):
            S = raw[k]
            if params.covariance_type == "diag":
                S = np.diag(np.diag(S))
            elif params.covariance_type == "spherical":
                S = np.trace(S) / d * np.eye(d)
            if shrink:
                S = self._shrink(S, pooled, sizes[k], d)
            e, Q = linalg.eigh(S + params.reg_covar * variance * np.eye(d))
            floor = max(e[-1] / _LARGEST_CONDITION, 1e-12 * variance)
            S = (Q * np.maximum(e, floor)) @ Q.T
            out.append(linalg.cholesky(0.5 * (S + S.T), lower=True))
        return np.array(out)

    def _shrink(self, S, pooled, size, d):
        params = self.params
        if params.shrinkage is None:
            return S
        share = params.shrinkage_intensity
        if share == "auto":
            share = d / (d + size) if size < 5 * d else 0.0
        target = pooled
        if params.covariance_type == "diag":
            target = np.diag(np.diag(pooled))
        if params.shrinkage == "identity" or params.covariance_type == "spherical":
            target = np.trace(S) / d * np.eye(d)
        return (1 - share) * S + share * target

    def _repair(self, T, labels):
        """Fill clusters that are empty or too small to have a covariance."""
        n, d = T.shape
        least = self.params.min_cluster_size or d + 1
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

    def means(self, X, labels):
        """Return the means in the original coordinates."""
        out = np.empty((self.K, X.shape[1]))
        for k in range(self.K):
            mine = labels == k
            out[k] = self.X[mine].mean(axis=0) if mine.any() else 0.0
        return out + self.centre


def _relative_change(history):
    return abs(history[-1] - history[-2]) / max(abs(history[-1]), 1.0)
