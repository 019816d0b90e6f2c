"""Clusters of different shapes by a likelihood-adjusted semidefinite relaxation."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import linalg
from scipy.special import logsumexp
from sklearn.base import ClusterMixin
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
from sparsestat._utils.results import (
    Certificate,
    warn_if_unsatisfied,
)
from sparsestat._utils.samples import check_samples
from sparsestat._utils.validation import LARGEST_ENTRY
from sparsestat.cluster._checks import check_enough_samples
from sparsestat.cluster._la_alternation import (
    LABEL_TOL,
    Alternation,
    AlternationOptions,
)
from sparsestat.cluster._partitions import few_distinct_rows

__all__ = ["LikelihoodAdjustedSDP"]

_LARGEST_DENSE = 400


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
        Regularized covariances, in reduced coordinates.
    precisions_cholesky_ : ndarray of shape (n_clusters, q, q)
        Upper triangular factors of the inverse covariances.
    weights_ : ndarray of shape (n_clusters,)
        Shares of the samples.
    log_likelihood_ : float
        Classification log-likelihood of `labels_`, in reduced coordinates.
    upper_bound_ : float
        No partition has a larger log-likelihood under `covariances_`.
    certified_ : bool
        Whether the bound proves `labels_` optimal for `covariances_`, to 1e-6 nats a
        sample.
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
        X = check_samples(self, X, largest=LARGEST_ENTRY)
        self._check_size(len(X))
        distinct = few_distinct_rows(X, self.n_clusters)
        rng = check_random_state(self.random_state)
        fit = Alternation(self._options(AlternationOptions), X, rng)
        with FitProgress(
            self, 2 * self.max_iter, X=X, verbose=self.verbose
        ) as progress:
            if self.covariances is not None:
                factors = self._known_factors(X.shape[1])
                fit.run_known(factors / fit.frame.unit)
            else:
                fit.run(progress)
        if distinct is not None:
            fit.keep_together(distinct)
        self._store(X, fit)
        return self

    def _check_size(self, n):
        check_enough_samples(n, self.n_clusters)
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
        unit = fit.frame.unit
        self._factors = best["factors"] * unit
        self.covariances_ = np.array([L @ L.T for L in self._factors])
        eye = np.eye(self._factors.shape[1])
        self.precisions_cholesky_ = np.array(
            [linalg.solve_triangular(L, eye, lower=True).T for L in self._factors]
        )
        sizes = np.bincount(self.labels_, minlength=self.n_clusters)
        self.weights_ = sizes / len(X)
        self.means_ = fit.means(self.labels_)
        # In nats a sample: likelihoods themselves depend on the unit of X.
        gap = max(best["bound"] - best["likelihood"], 0.0) / len(X)
        # Densities are per unit of X.
        volume = X.shape[0] * self._factors.shape[1] * np.log(unit)
        self.log_likelihood_ = best["likelihood"] - volume
        self.upper_bound_ = best["bound"] - volume
        self.certified_ = bool(gap <= 1e-6)
        self.history_ = np.array(fit.history) - volume
        self.n_iter_ = len(fit.history)
        self.certificate_ = Certificate(
            "lower_bound",
            float(best["infeasibility"]),
            LABEL_TOL,
            bool(best["converged"] and fit.settled),
            "infeasibility of the relaxation / its right-hand side",
            {
                "log_likelihood": self.log_likelihood_,
                "upper_bound": self.upper_bound_,
                "gap": float(gap),
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
        return check_samples(self, X, reset=False, largest=LARGEST_ENTRY)

    def _log_density(self, X):
        """Return log densities of shape (n_samples, n_clusters), with proportions."""
        out = np.empty((len(X), self.n_clusters))
        for k, L in enumerate(self._factors):
            centered = X - self.means_[k]
            if self.reduction_ is not None:
                centered = centered @ self.reduction_
            white = linalg.solve_triangular(L, centered.T, lower=True)
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
