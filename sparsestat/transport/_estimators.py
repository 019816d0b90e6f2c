"""Transport between samples as estimators: a transformer and an affinity."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat.transport._costs import METRICS, MatrixCost, pairwise_cost
from sparsestat.transport._entropic import Request, solve_entropic
from sparsestat.transport._exact import solve_exact
from sparsestat.transport._symmetric import doubly_stochastic
from sparsestat.transport._unbalanced import check_prices, solve_unbalanced
from sparsestat.transport._validation import (
    check_masses,
    check_points,
    choose_strength,
    make_cost,
    one_mass,
)

__all__ = ["DoublyStochasticAffinity", "OptimalTransport"]

_BLOCK_ENTRIES = 1 << 21


# Samples of different labels are this many largest costs further apart.
_APART = 10.0


def _dense(X):
    return X.toarray() if sparse.issparse(X) else X


def _shape(y):
    """Return the shape of what may be anything array-like, or None."""
    return () if y is None else getattr(y, "shape", None) or np.asarray(y).shape


def _centers(plan, points):
    """Return where the mass of each row goes on average; NaN where there is none."""
    rows = np.asarray(plan.sum(axis=1), dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(rows[:, None] > 0, (plan @ points) / rows[:, None], np.nan)


def _separated(cost, ys, yt):
    """Return costs raised where both labels are known and differ."""
    labels = []
    for name, y, size in (("ys", ys, cost.shape[0]), ("yt", yt, cost.shape[1])):
        y = np.full(size, -1) if y is None else np.asarray(y)
        if y.shape != (size,) or not np.issubdtype(y.dtype, np.integer):
            raise ValueError(
                f"{name} must hold {size} integer labels, -1 for unknown, got shape "
                f"{y.shape} and dtype {y.dtype}."
            )
        labels.append(y)
    if not isinstance(cost, MatrixCost):
        raise ValueError(
            "Labels need the matrix of costs, which is too large here. Leave ys and "
            "yt out, or use fewer samples."
        )
    left, right = labels[0][:, None], labels[1][None, :]
    apart = (left != right) & (left != -1) & (right != -1)
    return MatrixCost(np.where(apart, cost.C + _APART * cost.C.max(), cost.C))


class OptimalTransport(OneToOneFeatureMixin, TransformerMixin, SparsestatEstimator):
    r"""Map samples onto the distribution of others by entropic optimal transport.

    Finds the plan P between the fitted samples X and the target samples and maps a
    point by

    .. math::
        T(x) = \frac{\sum_j w_j(x)\, y_j}{\sum_j w_j(x)}, \qquad
        w_j(x) = b_j \exp\big((\psi_j - c(x, y_j)) / \varepsilon\big)

    At a fitted sample this is the mean of the targets that its mass goes to; at a new
    one it is the same formula, so that there is no separate rule for new data. Use it
    to adapt one domain to another, or to transfer colors; for labels or many
    correspondences known in advance a supervised model does better. Read more in
    :ref:`User Guide <optimal_transport>`.

    Parameters
    ----------
    reg : float, default=0.05
        Entropic strength: small values map sharply, large ones to the targets' mean.
    reg_mode : {"relative", "absolute"}, default="relative"
        "relative" multiplies `reg` by the median cost.
    metric : str, default="sqeuclidean"
        The cost between two samples: "sqeuclidean", "euclidean", "cityblock" or
        "cosine".
    method : {"auto", "sns", "ssns", "sinkhorn", "proximal", "exact"}, default="auto"
        As in :func:`sinkhorn`. "exact" finds the plan without entropy and leaves `reg`
        unused; samples are then mapped by their neighbors.
    reg_m : float or tuple of two floats, default=None
        Prices of missing the masses, in units of the cost; None enforces them. For
        samples with outliers, or different proportions of clusters.
    tol : float, default=1e-9
        Stop when the L1 error of the marginals is at most `tol` times the mass.
    max_iter : int, default=None
        Newton steps in all, or sweeps with "sinkhorn" and with `reg_m`; None means
        1000 and 10000.
    n_neighbors : int, default=None
        None maps by the formula above. A number maps a sample by the mean displacement
        of so many of its nearest fitted samples, weighted by inverse distance, which
        needs no entropy; "exact" takes one where this is None. Fitted samples go to
        the mean of their targets either way.
    keep_plan : bool, default=True
        Whether to store the plan and the costs, which only labels need once the samples
        are mapped; False makes small pickles.

    Attributes
    ----------
    coupling_ : {ndarray, csr_array} of shape (n_samples, n_targets) or None
        The plan; sparse above 16 million entries, and with "exact".
    potentials_ : tuple of ndarray
        Pair of shapes (n_samples,) and (n_targets,), as in ``OTResult.potentials``.
    cost_ : ndarray of shape (n_samples, n_targets) or None
        Costs between the samples, read-only; None above 25 million entries, which are
        computed when they are visited and not kept.
    value_ : float
        Cost of the plan.
    gap_ : float
        Distance of `value_` to the optimal cost without entropy is at most this; with
        `reg_m`, the duality gap.
    reg_ : float
        Strength in units of the cost; 0 with "exact".
    source_, target_ : ndarray
        The samples on both sides.
    source_weights_, target_weights_ : ndarray
        Their masses, with total one unless `reg_m` is given.
    certificate_ : Certificate
        The marginal error against the tolerance.
    n_iter_ : int
        Number of sweeps and Newton steps, or of pivots.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X is a data frame.

    See Also
    --------
    sinkhorn_points : The plan without an estimator.

    References
    ----------
    .. [1] N. Courty, R. Flamary, D. Tuia, A. Rakotomamonjy, "Optimal Transport for
       Domain Adaptation", IEEE TPAMI 39, 2017.
    .. [2] A.-A. Pooladian, J. Niles-Weed, "Entropic estimation of optimal transport
       maps", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.transport import OptimalTransport
    >>> X = np.random.default_rng(0).standard_normal((200, 2))
    >>> model = OptimalTransport(reg=0.01).fit(X, Xt=X + [3.0, 0.0])
    >>> bool(abs(model.transform(X) - X - [3.0, 0.0]).mean() < 0.1)
    True
    """

    _needs_rows = "a transport plan couples all rows"

    # scikit-learn takes an argument of this name for data, not for metadata, unless
    # it is told otherwise.
    __metadata_request__fit = {"Xt": None, "ys": None, "yt": None}

    _parameter_constraints: dict = {
        "reg": [Interval(Real, 0, None, closed="neither")],
        "reg_mode": [StrOptions({"relative", "absolute"})],
        "metric": [StrOptions(set(METRICS))],
        "method": [
            StrOptions({"auto", "sns", "ssns", "sinkhorn", "proximal", "exact"})
        ],
        "reg_m": [Interval(Real, 0, None, closed="neither"), tuple, None],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "keep_plan": ["boolean"],
    }

    def __init__(
        self,
        reg=0.05,
        *,
        reg_mode="relative",
        metric="sqeuclidean",
        method="auto",
        reg_m=None,
        tol=1e-9,
        max_iter=None,
        n_neighbors=None,
        keep_plan=True,
    ):
        self.reg = reg
        self.reg_mode = reg_mode
        self.metric = metric
        self.method = method
        self.reg_m = reg_m
        self.tol = tol
        self.max_iter = max_iter
        self.n_neighbors = n_neighbors
        self.keep_plan = keep_plan

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y=None,
        *,
        Xt=None,
        ys=None,
        yt=None,
        sample_weight_s=None,
        sample_weight_t=None,
    ):
        """Find the plan between X and the targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Source samples; sparse input is made dense.
        y : None
            Ignored, unless it looks like target samples, which is an error.
        Xt : {array-like, sparse matrix} of shape (n_targets, n_features), default=None
            Target samples; None means X itself.
        ys : array-like of shape (n_samples,), default=None
            Integer labels of the source samples; -1 means unknown.
        yt : array-like of shape (n_targets,), default=None
            Those of the target samples. Where both labels are known and differ, the
            cost is raised by ten times the largest one, so that the plan avoids it.
            Samples are then mapped by their neighbors, as with "exact".
        sample_weight_s : array-like of shape (n_samples,), default=None
            Masses of the source samples.
        sample_weight_t : array-like of shape (n_targets,), default=None
            Masses of the target samples; of X, if `Xt` is None, those given for it.

        Returns
        -------
        self : OptimalTransport
            The fitted estimator.
        """
        X = _dense(validate_data(self, X, accept_sparse="csr", dtype=np.float64))
        if Xt is None and _shape(y)[1:] == X.shape[1:]:
            raise ValueError(
                "The second argument of fit is y, which is not used, but it has the "
                "columns of X. Pass target samples by name: fit(X, Xt=...)."
            )
        if Xt is None:
            target = X.copy()
            if sample_weight_t is None:
                sample_weight_t = sample_weight_s
        else:
            Xt = check_array(Xt, accept_sparse="csr", dtype=np.float64, input_name="Xt")
            target = _dense(Xt).copy()
        X, target = check_points(X, target, self.metric)
        cost = make_cost(X, target, self.metric)
        eps = choose_strength(float(self.reg), self.reg_mode, cost)
        self._labeled = ys is not None or yt is not None
        if self._labeled:
            cost = _separated(cost, ys, yt)
        a = one_mass(sample_weight_s, len(X), "sample_weight_s")
        b = one_mass(sample_weight_t, len(target), "sample_weight_t")
        sweeps_only = self.method == "sinkhorn" or self.reg_m is not None
        max_iter = self.max_iter or (10_000 if sweeps_only else 1000)
        exact = self.method == "exact"
        if exact and self.reg_m is not None:
            raise ValueError(
                "method='exact' meets the masses exactly and takes no reg_m; leave one "
                "of them out."
            )
        if exact:
            a, b = check_masses(a / a.sum(), b / b.sum(), cost.shape)
            eps, result = 0.0, solve_exact(cost, a, b, return_plan="sparse")
        elif self.reg_m is None:
            a, b = check_masses(a / a.sum(), b / b.sum(), cost.shape)
            method = "sns" if self.method == "auto" else self.method
            request = Request(eps, method, float(self.tol), max_iter)
            result = solve_entropic(cost, a, b, request)
        else:
            prices = check_prices(self.reg_m)
            result = solve_unbalanced(
                cost, a, b, eps, prices, tol=float(self.tol), max_iter=max_iter
            )
        self.source_, self.target_ = X.copy(), target
        self.source_weights_, self.target_weights_ = a.copy(), b.copy()
        self._goals = self._homes = None
        if self._neighbors():
            self._goals = _centers(result.plan, target)
            self._homes = _centers(result.plan.T, X)
        self.coupling_ = result.plan if self.keep_plan else None
        matrix = isinstance(cost, MatrixCost) and self.keep_plan
        self.cost_ = cost.C if matrix else None
        self.potentials_ = result.potentials
        self.value_, self.gap_, self.reg_ = result.value, result.gap, eps
        self.certificate_ = result.certificate
        counts = result.n_iter
        done = [counts.get(key, 0) for key in ("sinkhorn", "newton", "pivots")]
        self.n_iter_ = max(1, sum(done))
        return self

    def transform(self, X):
        """Map samples to the target side.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples like those of :meth:`fit`.

        Returns
        -------
        X_mapped : ndarray of shape (n_samples, n_features)
            Weighted means of target samples.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        X = _dense(X)
        if self._neighbors():
            return self._moved(X, self.source_, self._goals)
        psi = self.potentials_[1]
        return self._map(X, self.target_, self.target_weights_, psi)

    def inverse_transform(self, X):
        """Map samples of the target side back to the source side.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples like those of `Xt`.

        Returns
        -------
        X_mapped : ndarray of shape (n_samples, n_features)
            Weighted means of source samples.
        """
        check_is_fitted(self)
        X = check_array(X, accept_sparse="csr", dtype=np.float64)
        X, _ = check_points(X, self.source_, self.metric)
        if self._neighbors():
            return self._moved(X, self.target_, self._homes)
        phi = self.potentials_[0]
        return self._map(X, self.source_, self.source_weights_, phi)

    def transform_labels(self, ys):
        """Carry labels of the source samples over to the target samples.

        Parameters
        ----------
        ys : array-like of shape (n_samples,)
            Labels of the fitted source samples. Integer labels of -1 are not carried.

        Returns
        -------
        yt : ndarray of shape (n_targets,)
            For each target sample, the label from which most of its mass comes.
        """
        check_is_fitted(self)
        return self._carried(self.source_, ys, "ys", transpose=True)

    def inverse_transform_labels(self, yt):
        """Carry labels of the target samples back to the source samples.

        Parameters
        ----------
        yt : array-like of shape (n_targets,)
            Labels of the fitted target samples. Integer labels of -1 are not carried.

        Returns
        -------
        ys : ndarray of shape (n_samples,)
            For each source sample, the label to which most of its mass goes.
        """
        check_is_fitted(self)
        return self._carried(self.target_, yt, "yt", transpose=False)

    def _carried(self, points, labels, name, *, transpose):
        if self.coupling_ is None:
            raise ValueError(
                "Labels are carried by the plan, which keep_plan=False has dropped."
            )
        labels = np.asarray(labels)
        if labels.shape != (len(points),):
            raise ValueError(
                f"{name} must have one label for each of the {len(points)} samples, "
                f"got shape {labels.shape}."
            )
        classes, codes = np.unique(labels, return_inverse=True)
        rows = np.arange(len(points))
        table = sparse.csr_array(
            (np.ones(len(points)), (rows, codes)), shape=(len(points), len(classes))
        )
        known = np.ones(len(classes), bool)
        if np.issubdtype(classes.dtype, np.signedinteger):
            known = classes != -1
        if not known.any():
            raise ValueError(f"{name} has no known label: all are -1.")
        plan = self.coupling_.T if transpose else self.coupling_
        shares = _dense(plan @ table[:, known].toarray())
        return classes[known][np.argmax(shares, axis=1)]

    def _neighbors(self):
        by_plan = self.method == "exact" or self._labeled
        return self.n_neighbors or (1 if by_plan else 0)

    def _moved(self, X, own, goals):
        """Move samples as far as their nearest fitted samples go."""
        seen = np.flatnonzero(np.isfinite(goals).all(axis=1))
        goals = goals[seen]
        k = min(self._neighbors(), len(seen))
        finder = NearestNeighbors(n_neighbors=k).fit(own[seen])
        distances, nearest = finder.kneighbors(X)
        same = distances == 0
        with np.errstate(divide="ignore"):
            shares = np.where(same.any(axis=1, keepdims=True), same, 1.0 / distances)
        shares /= shares.sum(axis=1, keepdims=True)
        far = goals - own[seen]
        return X + np.einsum("ik,ikd->id", shares, far[nearest])

    def _map(self, X, points, weights, potential):
        keep = np.flatnonzero(weights)
        points = points[keep]
        with np.errstate(under="ignore"):
            offset = potential[keep] / self.reg_ + np.log(weights[keep])
            out = np.empty((len(X), points.shape[1]))
            size = max(1, _BLOCK_ENTRIES // len(points))
            for start in range(0, len(X), size):
                part = slice(start, start + size)
                W = offset - pairwise_cost(X[part], points, self.metric) / self.reg_
                W -= W.max(axis=1, keepdims=True)
                np.exp(W, out=W)
                W /= W.sum(axis=1, keepdims=True)
                out[part] = W @ points
        return out

    def score(self, X, y=None):
        """Return minus the cost of moving X, with equal masses, to the targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples like those of :meth:`fit`.
        y : None
            Ignored.

        Returns
        -------
        score : float
            Larger is better; at most 0 for non-negative costs.
        """
        check_is_fitted(self)
        X = _dense(
            validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        )
        cost = make_cost(X, self.target_, self.metric)
        b = self.target_weights_ / self.target_weights_.sum()
        a, b = check_masses(None, b, cost.shape)
        if self.method == "exact":
            return -solve_exact(cost, a, b, return_plan=False).value
        request = Request(self.reg_, tol=float(self.tol), return_plan=False)
        return -solve_entropic(cost, a, b, request).value

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class DoublyStochasticAffinity(SparsestatEstimator):
    r"""Affinity between samples whose rows and columns all sum to one.

    .. math::
        \Gamma_{ij} = \exp((f_i + f_j - c(x_i, x_j)) / \varepsilon),
        \quad \Gamma 1 = 1, \; \Gamma = \Gamma^T

    Each sample has the same total affinity, so that dense regions do not dominate
    and no normalized Laplacian is needed: the leading eigenvectors of
    ``affinity_matrix_`` are spectral coordinates as they are. It competes with the
    "rbf" affinity of :class:`sklearn.cluster.SpectralClustering`, to which it can be
    handed as "precomputed". Read more in :ref:`User Guide <optimal_transport>`.

    Parameters
    ----------
    reg : float, default=0.1
        Entropic strength, the width of the affinity.
    reg_mode : {"relative", "absolute"}, default="relative"
        "relative" multiplies `reg` by the median cost of two different samples.
    perplexity : float, default=None
        In place of `reg`: the strength at which a sample has this many neighbors, the
        exponential of the mean entropy of a row. Between 1 and the number of samples.
    affinity : str, default="sqeuclidean"
        "sqeuclidean", "euclidean", "cityblock" or "cosine": the cost between two
        samples; "precomputed" takes X as symmetric costs.
    zero_diagonal : bool, default=False
        Give samples no affinity to themselves; needs at least 3.
    tol : float, default=1e-9
        Stop when no row sum is off by more than this.
    max_iter : int, default=300
        Largest number of sweeps and Newton steps.

    Attributes
    ----------
    affinity_matrix_ : ndarray of shape (n_samples, n_samples)
        Symmetric and doubly stochastic.
    potential_ : ndarray of shape (n_samples,)
        The potential f.
    reg_ : float
        Strength in units of the cost.
    certificate_ : Certificate
        The largest error of a row sum against the tolerance.
    n_iter_ : int
        Number of sweeps and Newton steps.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X is a data frame.

    See Also
    --------
    doubly_stochastic : The projection of a matrix.

    References
    ----------
    .. [1] R. Zass, A. Shashua, "Doubly Stochastic Normalization for Spectral
       Clustering", NeurIPS 2006.
    .. [2] T. Ding, S. Tong, K. H. R. Chan, X. Dai, Y. Ma, B. D. Haeffele,
       "Unsupervised Manifold Linearizing and Clustering", ICCV 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.transport import DoublyStochasticAffinity
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> Gamma = DoublyStochasticAffinity().fit(X).affinity_matrix_
    >>> bool(abs(Gamma.sum(axis=1) - 1).max() < 1e-8)
    True
    """

    _needs_rows = "an affinity couples all pairs of rows"

    _parameter_constraints: dict = {
        "reg": [Interval(Real, 0, None, closed="neither")],
        "reg_mode": [StrOptions({"relative", "absolute"})],
        "perplexity": [Interval(Real, 1, None, closed="neither"), None],
        "affinity": [StrOptions({*METRICS, "precomputed"})],
        "zero_diagonal": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        reg=0.1,
        *,
        reg_mode="relative",
        perplexity=None,
        affinity="sqeuclidean",
        zero_diagonal=False,
        tol=1e-9,
        max_iter=300,
    ):
        self.reg = reg
        self.reg_mode = reg_mode
        self.perplexity = perplexity
        self.affinity = affinity
        self.zero_diagonal = zero_diagonal
        self.tol = tol
        self.max_iter = max_iter

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Compute the affinity between the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples, made dense if sparse; or symmetric costs of shape (n_samples,
            n_samples) if ``affinity="precomputed"``.
        y : None
            Ignored.

        Returns
        -------
        self : DoublyStochasticAffinity
            The fitted estimator.
        """
        X = _dense(validate_data(self, X, accept_sparse="csr", dtype=np.float64))
        if self.affinity == "precomputed":
            C = X
            if len(C) != C.shape[1]:
                raise ValueError(
                    f"affinity='precomputed' needs square costs, got shape {C.shape}."
                )
        else:
            X, _ = check_points(X, X, self.affinity)
            C = pairwise_cost(X, X, self.affinity)
            C = 0.5 * (C + C.T)
            np.fill_diagonal(C, 0.0)
        scale = 1.0
        if self.reg_mode == "relative" and len(C) > 1:
            typical = np.abs(C[~np.eye(len(C), dtype=bool)])
            scale = float(np.median(typical)) or float(typical.mean()) or 1.0
        if self.perplexity is None:
            strength = {"reg": float(self.reg) * scale}
        else:
            strength = {"perplexity": float(self.perplexity)}
        Gamma, f, certificate = doubly_stochastic(
            C,
            **strength,
            zero_diagonal=self.zero_diagonal,
            tol=self.tol,
            max_iter=self.max_iter,
        )
        self.affinity_matrix_, self.potential_ = Gamma, f
        self.certificate_ = certificate
        self.reg_ = float(certificate.details["reg"])
        self.n_iter_ = max(1, int(certificate.details["n_iter"]))
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.pairwise = self.affinity == "precomputed"
        return tags
