"""Semi-non-negative factorization, with sparse components if wanted."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import svds
from sklearn.cluster import KMeans
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.arithmetic import power_of_two
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.linalg import solve_semidefinite
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.samples import FLOATS, check_samples, given_weights
from sparsestat._utils.validation import (
    LARGEST_ENTRY,
    as_compressed,
    check_magnitude,
    largest_entry,
)
from sparsestat.decomposition._codes import select_topk
from sparsestat.decomposition._components import ComponentsMixin
from sparsestat.decomposition._low_rank._semi_codes import (
    FactorBlocks,
    better_codes,
    least_codes,
    positive_parts,
)

__all__ = ["SemiNMF"]

_LEAST = 1e-7  # of the squared norm of X: what is left of an exact product
_EPS = 1e-12


class SemiNMF(
    CallbackSupportMixin,
    ComponentsMixin,
    SparsestatEstimator,
):
    r"""Factorization with non-negative codes and free components.

    Minimizes

    .. math:: \|X - G H\|_F^2 \quad \text{over} \quad G \ge 0

    with G the codes and H `components_`. Use it in place of
    :class:`sklearn.decomposition.NMF` for data with negative entries, or as k-means
    with soft memberships. With `feature_density` every component keeps only its
    largest entries. Read more in the :ref:`User Guide <semi_nmf>`.

    Parameters
    ----------
    n_components : int, default=8
        Number of components.
    feature_density : float, default=None
        Share of the features that a component may use, in (0, 1]. None means all.
    debias : bool, default=False
        Refit the entries that `feature_density` keeps by least squares, where they
        are otherwise those of the dense components.
    solver : {"hals", "mu"}, default="hals"
        Five sweeps of coordinate descent an iteration, or one multiplicative
        update, which is slower and never reaches zero.
    init : {"svd", "kmeans", "random"} or array-like, default="svd"
        First codes; an array has shape (n_samples, n_components).
    tol : float, default=1e-4
        Stop when the squared error falls by at most `tol` times itself, of which no
        less than ``1e-7 * ||X||_F^2`` is counted.
    max_iter : int, default=500
        Largest number of iterations.
    random_state : int, RandomState instance or None, default=None
        Draws the first codes.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Components, free in sign.
    reconstruction_err_ : float
        ``||X - G H||_F`` of the answer, rows scaled by the roots of sample weights.
    history_ : ndarray of shape (n_iter_,)
        Squared error at each iteration; never rises without `feature_density`.
    certificate_ : Certificate
        Kind ``monotone_bound``: the last change of the squared error, relative to
        the squared norm of X.
    n_iter_ : int
        Number of iterations.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    sklearn.decomposition.NMF : Both factors non-negative.
    OrthogonalDictionary : Orthogonal atoms, codes free in sign.

    Notes
    -----
    An iteration costs O(nnz(X) n_components + (n_samples + n_features)
    n_components^2). Sparse X stays sparse. The problem is not convex. With
    `feature_density` the objective may rise, and the best iterate is returned.

    References
    ----------
    .. [1] C. Ding, T. Li, M. Jordan, "Convex and semi-nonnegative matrix
       factorizations", IEEE TPAMI 32, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import SemiNMF
    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((50, 2)) @ rng.standard_normal((2, 20))
    >>> model = SemiNMF(2, random_state=0).fit(X)
    >>> bool(model.reconstruction_err_ < 0.05 * np.linalg.norm(X))
    True
    """

    _by_rows = True
    objective_history_ = OldAttribute("history_")

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "feature_density": [Interval(Real, 0, 1, closed="right"), None],
        "debias": ["boolean"],
        "solver": [StrOptions({"hals", "mu"})],
        "init": [StrOptions({"svd", "kmeans", "random"}), "array-like"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components=8,
        *,
        feature_density=None,
        debias=False,
        solver="hals",
        init="svd",
        tol=1e-4,
        max_iter=500,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.feature_density = feature_density
        self.debias = debias
        self.solver = solver
        self.init = init
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Factorize X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. Never densified or modified.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the squared errors; an integer weight equals
            repetition, except of random starts.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X = self._validate(X, reset=True)
        weights, used = given_weights(sample_weight, X), None
        root, weight_unit = None, 1.0
        if weights is not None:
            used = np.flatnonzero(weights)
            if 0 < len(used) < len(weights):
                X, weights = X[used], weights[used]
            # Only ratios count; a power of four has an exact root.
            weight_unit = power_of_two(np.sqrt(weights.max())) ** 2
            root = np.sqrt(weights / weight_unit)
        check_magnitude(X, largest=LARGEST_ENTRY)
        dtype, unit = X.dtype, power_of_two(largest_entry(X))
        X = X.astype(np.float64) / unit
        G = self._start(X, root, check_random_state(self.random_state), used)
        if root is not None:
            # Codes of scaled samples are scaled codes, so that nothing else changes.
            X, G = _scale_rows(X, root), np.ascontiguousarray(G * root[:, None])
        dense = X.data if hasattr(X, "tocsr") else X
        total = float(np.vdot(dense, dense))
        mass = X.shape[0] if root is None else float(root @ root) or 1.0
        units = unit, weight_unit
        H, change = self._alternate(_ArrayRows(X), G, total, mass, units, X)
        self.components_ = (H * unit).astype(dtype)
        return self._finish(_distance(X, least_codes(X, H), H), change, units)

    def _fit_blocks(self, blocks):
        if isinstance(self.init, str) and self.init == "kmeans":
            raise ValueError(
                "init='kmeans' needs X in memory. Use init='svd' or 'random', or pass "
                "codes to start from."
            )
        rows = FactorBlocks(blocks, self.n_components, self.init, type(self).__name__)
        rng = check_random_state(self.random_state)
        G = rows.spread(self._first_codes(rows, rng))
        units = rows.unit, rows.weight_unit
        H, change = self._alternate(rows, G, rows.total, rows.mass, units)
        self.components_ = H * rows.unit
        return self._finish(np.sqrt(rows.least_error(H)), change, units)

    def _alternate(self, rows, G, total, mass, units, X=None):
        """Alternate components and codes; return the best components, and a change."""
        square = units[0] ** 2 * units[1]
        history, best, change = [], (np.inf, None), np.inf
        gram, right = rows.products(G)
        with FitProgress(self, self.max_iter, X=X, verbose=self.verbose) as progress:
            for _ in range(self.max_iter):
                H = _free_factor(gram, right)
                if self.feature_density is not None:
                    H, G = self._sparsify(gram, right, H, G, mass)
                G, cross, gram, right = rows.update(H, G, self.solver)
                error = max(total - 2 * cross + np.vdot(gram, H @ H.T), 0.0)
                history.append(float(error))
                if error < best[0]:
                    best = error, H
                if len(history) > 1 and total > 0:
                    change = abs(history[-2] - error) / max(error, _LEAST * total)
                if total == 0:
                    change = 0.0
                if progress.step(objective=error * square) or change <= self.tol:
                    break
        self.history_, self.n_iter_ = np.array(history) * square, len(history)
        return best[1], float(change)

    def _finish(self, distance, change, units):
        self.reconstruction_err_ = float(distance) * units[0] * np.sqrt(units[1])
        self.certificate_ = Certificate(
            "monotone_bound",
            change,
            float(self.tol),
            bool(change <= self.tol),
            "last change of the squared error / squared error",
            {"squared_error": self.reconstruction_err_**2},
        )
        warn_if_unsatisfied(
            self.certificate_,
            "SemiNMF did not converge: the last change",
            "Raise max_iter or tol.",
        )
        return self

    def _validate(self, X, *, reset):
        X = check_samples(
            self, X, accept_sparse="csr", dtype=FLOATS, reset=reset, largest=None
        )
        return as_compressed(X) if sparse.issparse(X) else X

    def _start(self, X, root, rng, used):
        """Return positive codes of shape (n_samples, n_components)."""
        n, k = X.shape[0], self.n_components
        if not isinstance(self.init, str):
            return self._given_codes(n, used)
        G = rng.random_sample((n, k))
        rank = min(k, *X.shape)
        if self.init == "svd":
            weight = n if root is None else max(float(root @ root), 1e-300)
            G[:, :rank] = _positive_directions(X, root, rank, weight, rng)
        elif self.init == "kmeans":
            k_means = KMeans(min(k, n), n_init=1, random_state=rng)
            weights = None if root is None else root**2
            labels = k_means.fit(X, sample_weight=weights).labels_
            G = 0.2 + np.eye(k)[labels]
        return np.ascontiguousarray(G + _EPS)

    def _given_codes(self, n, used):
        """Return the codes to start from that were given, of rows that are used."""
        k = self.n_components
        G = np.array(self.init, dtype=np.float64)
        if used is not None and len(G) > n:
            G = G[used]
        if G.shape != (n, k) or not np.isfinite(G).all() or (G < 0).any():
            raise ValueError(
                f"init must be a finite, non-negative array of shape ({n}, {k}), "
                f"got shape {G.shape}."
            )
        if not G.any():
            raise ValueError(
                "init is zero everywhere, where codes would stay. Pass codes of which "
                "some are positive."
            )
        # Components are free in scale, and take up what this leaves out.
        return np.ascontiguousarray(G / power_of_two(G.max()))

    def _first_codes(self, rows, rng):
        """Return what `_start` does, for rows in blocks."""
        n, k = len(rows.index), self.n_components
        if not isinstance(self.init, str):
            return self._given_codes(n, rows.index)
        G = rng.random_sample((n, k))
        if self.init == "svd":
            rank = min(k, n, rows.blocks.n_features)
            s, Vt = rows.directions(rank)
            weight = max(rows.mass, 1e-300)
            if s[0] > 0:
                used = s > 1e-12 * s[0]
                U = rows.images(Vt) / np.where(used, s, 1.0)
                G[:, :rank] = positive_parts(U, s, used, rows.weights[:, None], weight)
            else:
                G[:, :rank] = 1.0
        return np.ascontiguousarray(G + _EPS)

    def _sparsify(self, gram, right, H, G, mass):
        """Keep the largest entries of each component; put scales into it."""
        keep = int(np.ceil(self.feature_density * H.shape[1]))
        norms = np.sqrt(gram.diagonal() / mass)
        scale = np.where(norms > 0, norms, 1.0)
        H = select_topk(np.ascontiguousarray(H), keep, True).toarray() * scale[:, None]
        if self.debias:
            H = _refit(H, gram / np.outer(scale, scale), right / scale[:, None])
        return H, G / scale

    def transform(self, X):
        """Return non-negative codes, by non-negative least squares.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components)
            The codes.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        check_magnitude(X, largest=LARGEST_ENTRY)
        unit = power_of_two(largest_entry(self.components_))
        H = self.components_.astype(np.float64) / unit
        return least_codes(X.astype(np.float64) / unit, H).astype(X.dtype)


class _ArrayRows:
    """What the alternation asks of rows in memory."""

    def __init__(self, X):
        self.X = X

    def products(self, G):
        """Return the products of codes with themselves and with the rows."""
        return G.T @ G, np.asarray((self.X.T @ G).T)

    def update(self, H, G, solver):
        """Return better codes, their product with the fit, and their products."""
        G, P = better_codes(self.X, H, G, solver)
        return G, float(np.vdot(P, G)), *self.products(G)


def _free_factor(gram, right):
    """Return the least-squares components, given products of codes and rows."""
    gram = gram.copy()
    ridge = _EPS * max(np.trace(gram) / len(gram), np.finfo(float).tiny)
    gram[np.diag_indices_from(gram)] += ridge
    return solve_semidefinite(gram, right)  # codes may be dependent to rounding


def _refit(H, gram, right):
    """Return the least-squares entries on the support of H, given such products."""
    supports, group = np.unique(H != 0, axis=1, return_inverse=True)
    group = group.ravel()
    out = np.zeros_like(H)
    for j, on in enumerate(supports.T):
        if on.any():
            columns = np.flatnonzero(group == j)
            block = np.ix_(on, columns)
            out[block] = linalg.lstsq(gram[np.ix_(on, on)], right[block])[0]
    return out


def _scale_rows(X, root):
    if sparse.issparse(X):
        return (sparse.diags_array(root) @ X).tocsr()
    return X * root[:, None]


def _positive_directions(X, root, rank, weight, rng):
    """Return the positive parts of the leading left singular vectors, not quite zero.

    Their signs are those with the larger positive part. A sample's row does not
    depend on how often it is repeated, or weighted in place of that.
    """
    scaled = X if root is None else _scale_rows(X, root)
    small = min(X.shape)
    if sparse.issparse(X) and rank < small:
        _, s, Vt = svds(scaled, k=rank, v0=rng.standard_normal(small))
        s, Vt = s[::-1], Vt[::-1]
    else:
        scaled = scaled.toarray() if sparse.issparse(scaled) else scaled
        _, s, Vt = linalg.svd(scaled, full_matrices=False)
        s, Vt = s[:rank], Vt[:rank]
    if not s[0] > 0:
        return np.ones((X.shape[0], rank))
    used = s > 1e-12 * s[0]
    U = np.asarray(X @ Vt.T) / np.where(used, s, 1.0)
    w = 1.0 if root is None else (root**2)[:, None]
    return positive_parts(U, s, used, w, weight)


def _distance(X, G, H):
    """Return ``||X - G H||_F``, by blocks of rows."""
    total = 0.0
    for s in range(0, X.shape[0], 1024):
        block = X[s : s + 1024]
        block = block.toarray() if hasattr(block, "toarray") else block
        total += np.linalg.norm(block - G[s : s + 1024] @ H) ** 2
    return float(np.sqrt(total))
