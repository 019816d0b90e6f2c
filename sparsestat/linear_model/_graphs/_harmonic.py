"""Harmonic functions on graphs: what their classifier and regressor share."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    align_sparse_interface,
)
from sparsestat._utils.deprecation import OldAttribute, renamed
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import (
    Certificate,
    users_stacklevel,
    warn_if_unsatisfied,
)
from sparsestat._utils.validation import (
    as_compressed,
    check_magnitude,
    read_only_triple,
)
from sparsestat.linear_model._forests import _kernels_forest as kernels
from sparsestat.linear_model._forests._forest_cg import relative_residuals
from sparsestat.linear_model._forests._forests import SYMMETRY
from sparsestat.linear_model._graphs import _solvers as solvers
from sparsestat.linear_model._graphs._walks import walk_values

__all__ = ["HarmonicFunctions"]

SCALE = (
    "largest over the columns of ||(D - W) x - W y|| / ||W y|| on unlabeled nodes, "
    "also with both divided by the degrees D"
)
# Refinements that find the values of nodes whose weights are far below those of others.
MAX_REFINEMENTS = 6
EVEN = 2.0**20  # ratio of weights beyond which components are brought to one scale
_PLAIN = 1e-50  # weights that are not smaller, nor larger than its inverse, may stay
# The solver is held to a little less than `tol`, which leaves room for the rounding of
# values into the range of the labels.
MARGIN = 0.9


class HarmonicFunctions(CallbackSupportMixin, SparsestatEstimator):
    """What the classifier and the regressor share: graph, system, neighbors."""

    _parameter_constraints = {
        "affinity": [StrOptions({"knn", "precomputed"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "weight": [StrOptions({"binary", "heat"})],
        "gamma": [Interval(Real, 0, None, closed="neither"), None],
        "method": [StrOptions(set(solvers.METHODS))],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "unreachable": [StrOptions({"prior", "unlabeled", "unlabelled"})],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    residual_history_ = OldAttribute("history_")

    def __init__(
        self,
        affinity="knn",
        *,
        n_neighbors=7,
        weight="binary",
        gamma=None,
        method="cg",
        tol=1e-8,
        max_iter=1000,
        unreachable="prior",
        n_jobs=None,
        verbose=0,
    ):
        self.affinity = affinity
        self.n_neighbors = n_neighbors
        self.weight = weight
        self.gamma = gamma
        self.method = method
        self.tol = tol
        self.max_iter = max_iter
        self.unreachable = unreachable
        self.n_jobs = n_jobs
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.pairwise = self.affinity == "precomputed"
        tags.input_tags.positive_only = self.affinity == "precomputed"
        return tags

    def _validate_X(self, X, *, reset):
        X = validate_data(
            self,
            X,
            accept_sparse=["csr", "csc", "coo"],
            dtype=[np.float64, np.float32],
            reset=reset,
        )
        return self._within_bounds(X)

    def _within_bounds(self, X):
        if sparse.issparse(X):
            X = as_compressed(X, "csr")
        return X if self.affinity == "precomputed" else check_magnitude(X)

    def _build_graph(self, X):
        """Set `graph_`, and what predictions need."""
        if self.unreachable == "unlabelled":
            renamed(None, None, "unreachable='unlabeled'", "unreachable='unlabelled'")
        if self.affinity == "precomputed":
            self.graph_ = align_sparse_interface(_checked_graph(X))
            return
        if _could_be_a_graph(X):
            warnings.warn(
                "X is sparse, square, symmetric and not negative, as graphs are, but "
                f"its rows are taken for features of {X.shape[0]} samples. Use "
                "affinity='precomputed' for a graph.",
                UserWarning,
                stacklevel=users_stacklevel(),
            )
        index = NearestNeighbors(n_neighbors=self.n_neighbors, n_jobs=self.n_jobs)
        self._index = index.fit(X)
        self._points = X
        n = X.shape[0]
        k = min(self.n_neighbors, n - 1)
        if k == 0:
            self.gamma_ = 1.0 if self.gamma is None else float(self.gamma)
            empty = sparse.csr_array((n, n), dtype=np.float64)
            self.graph_ = align_sparse_interface(empty)
            return
        G = index.kneighbors_graph(n_neighbors=k, mode="distance")
        squares = G.data.astype(np.float64) ** 2
        if self.gamma is None:
            mean = squares.mean()
            self.gamma_ = float(1.0 / mean) if mean > 0 else 1.0
        else:
            self.gamma_ = float(self.gamma)
        data = np.ones(len(squares))
        if self.weight == "heat":
            with np.errstate(under="ignore"):
                data = np.exp(-self.gamma_ * squares)
        W = sparse.csr_array((data, G.indices, G.indptr), shape=(n, n))
        W.eliminate_zeros()  # weights that underflowed
        W = W.maximum(sparse.csr_array(W.T))
        W.sort_indices()
        self.graph_ = align_sparse_interface(W)

    def _propagate(self, X, labeled, Y, prior, by_walks=False):
        """Return the values of all nodes; NaN rows where no label is connected.

        The certificate is computed from what is returned.
        """
        self._build_graph(X)
        graph = _even_graph(as_compressed(self.graph_, "csr", dtype=np.float64))
        if by_walks:
            return self._walk(X, graph, labeled, Y, prior)
        order, system, B = solvers.harmonic_system(graph, labeled, Y)
        with FitProgress(self, self.max_iter, X=X, verbose=self.verbose) as progress:
            solution = solvers.solve_graph(
                system,
                B,
                method=self.method,
                tol=MARGIN * self.tol,
                max_iter=self.max_iter,
                n_jobs=self.n_jobs,
                step=lambda residual: progress.step(residual=residual),
            )
            self._refine(system, B, solution)
        # The maximum principle: no value is outside the range of the labels.
        found = Y[labeled]
        np.clip(solution.W, found.min(axis=0), found.max(axis=0), out=solution.W)
        residual = _residual(system, solution.W, B)
        values = np.full((len(labeled), Y.shape[1]), np.nan)
        values[labeled] = found
        values[order] = solution.W
        missing = len(labeled) - len(order) - int(np.count_nonzero(labeled))
        self.forests_ = None
        if solution.block is not None:
            self.forests_ = np.full(len(labeled), -1)
            self.forests_[order] = solution.block
        self.n_iter_ = max(1, int(solution.n_iter))
        # The last of them is that of what is returned.
        self.history_ = np.array([*solution.history[:-1], residual])
        self.certificate_ = Certificate(
            "kkt",
            residual,
            float(self.tol),
            bool(residual <= self.tol),
            SCALE,
            {
                "n_labeled": int(np.count_nonzero(labeled)),
                "n_unlabeled": len(order),
                "n_unreachable": missing,
                "mean_block_size": solution.mean_block,
            },
        )
        warn_if_unsatisfied(
            self.certificate_,
            f"{type(self).__name__} did not converge: its relative residual",
            "Increase max_iter, or use method='cg'.",
        )
        return self._filled(values, missing, prior)

    def _filled(self, values, missing, prior):
        """Warn of nodes that no label is connected to, and give them the prior."""
        if missing:
            self._warn_unreachable(missing)
            if self.unreachable == "prior":
                values[np.isnan(values[:, 0])] = prior
        return values

    def _walk(self, X, graph, labeled, Y, prior):
        """Return the shares of the walks that come to each node."""
        with FitProgress(self, self.max_iter, X=X, verbose=self.verbose) as progress:
            found = walk_values(
                graph,
                Y,
                damping=float(self.damping),
                tol=MARGIN * self.tol,
                max_iter=self.max_iter,
                step=lambda residual: progress.step(residual=residual),
            )
        total = found.F.sum(axis=1, keepdims=True)
        values = np.where(total > 0, found.F / np.where(total > 0, total, 1.0), prior)
        values[labeled] = Y[labeled]
        values[~found.reach] = np.nan
        missing = int(np.count_nonzero(~found.reach))
        self.forests_ = None
        self.n_iter_ = max(1, found.n_iter)
        self.history_ = np.array([1.0, *found.history[:-1], found.residual])
        self.certificate_ = Certificate(
            "kkt",
            found.residual,
            float(self.tol),
            bool(found.residual <= self.tol),
            "largest over the nodes of |Y + damping W F - D F| / |D F|",
            {
                "n_labeled": int(np.count_nonzero(labeled)),
                "n_unlabeled": int(np.count_nonzero(~labeled)) - missing,
                "n_unreachable": missing,
            },
        )
        warn_if_unsatisfied(
            self.certificate_,
            f"{type(self).__name__} did not converge: its relative residual",
            "Increase max_iter, or lower damping.",
        )
        return self._filled(values, missing, prior)

    def _refine(self, system, B, solution):
        """Solve for what is left where small weights hide it beside large ones."""
        for _ in range(MAX_REFINEMENTS):
            left = self.max_iter - solution.n_iter
            if left <= 0 or _residual(system, solution.W, B) <= MARGIN * self.tol:
                return
            more = solvers.solve_graph(
                system,
                -system.residual(solution.W, B),
                method=self.method,
                tol=1e-3,
                max_iter=left,
                n_jobs=self.n_jobs,
            )
            solution.W += more.W
            solution.n_iter += more.n_iter
            solution.history.append(_residual(system, solution.W, B))

    def _warn_unreachable(self, missing):
        remedy = (
            f"They get the {self._prior_name}."
            if self.unreachable == "prior"
            else "They stay unlabeled."
        )
        link = (
            "link it to others"
            if self.affinity == "precomputed"
            else "raise n_neighbors"
        )
        warnings.warn(
            f"{missing} nodes are in components of the graph without any label. "
            f"{remedy} Label one node of each component, or {link}.",
            UserWarning,
            stacklevel=users_stacklevel(),
        )

    def _average(self, X):
        """Return the weighted means of the values around new rows; NaN where none."""
        values = self._values
        if self.affinity == "precomputed":
            W = as_compressed(X, "csr", dtype=np.float64)
            _check_weights(W)
        else:
            W = self._affinities(X)
        # Only ratios within a row matter, and sums of denormal numbers lose them.
        if W.nnz:
            tops = np.repeat(W.max(axis=1).toarray().ravel(), np.diff(W.indptr))
            data = np.ldexp(W.data, -np.frexp(tops)[1])
            W = sparse.csr_array((data, W.indices, W.indptr), shape=W.shape)
        known = ~np.isnan(values[:, 0])
        total = W @ known.astype(np.float64)
        sums = W @ np.where(known[:, None], values, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total[:, None] > 0, sums / total[:, None], np.nan)

    def _affinities(self, X):
        """Return the weights of the fitted nodes around new points, as CSR."""
        points = self._points
        n, m = X.shape[0], points.shape[0]
        k = min(self.n_neighbors, m)
        distance, index = self._index.kneighbors(X, n_neighbors=k)
        weights = np.ones((n, k))
        if self.weight == "heat":
            squares = distance.astype(np.float64) ** 2
            # Shifted by the smallest, which cancels in the mean.
            with np.errstate(under="ignore"):
                weights = np.exp(-self.gamma_ * (squares - squares.min(1)[:, None]))
        # A row that was seen during fit has a value of its own.
        nearest = points[index[:, 0]]
        if sparse.issparse(X):
            apart = abs(X.tocsr() - nearest).sum(axis=1)
            same = np.asarray(apart).ravel() == 0
        else:
            same = (X == nearest).all(axis=1)
        weights[same] = 0.0
        weights[same, 0] = 1.0
        ends = np.arange(0, n * k + 1, k)
        return sparse.csr_array((weights.ravel(), index.ravel(), ends), shape=(n, m))


def _residual(system, W, B):
    """Return the larger of the relative residuals, plain and by degrees."""
    if len(B) == 0:
        return 0.0
    G = system.residual(W, B)
    degrees = system.diag[:, None]
    by_degree = relative_residuals(G / degrees, B / degrees)
    return float(max(relative_residuals(G, B).max(), by_degree.max()))


def _even_graph(W):
    """Return the graph with the largest weight of each component in [1, 2).

    No solution changes when the weights of a component are multiplied by a number.
    """
    positive = W.data[W.data > 0]
    if positive.size == 0:
        return W
    least, top = float(positive.min()), float(W.data.max())
    if top <= EVEN * least:
        if _PLAIN <= top <= 1.0 / _PLAIN:
            return W
    else:
        n_parts, part = csgraph.connected_components(W, directed=False)
        entries = np.repeat(part, np.diff(W.indptr))
        tops = np.zeros(n_parts)
        np.maximum.at(tops, entries, W.data)
        top = tops[entries]
    even = W.copy()
    even.data = np.ldexp(W.data, 1 - np.frexp(top)[1])
    return even


def _checked_graph(X):
    """Return a precomputed graph as a symmetric, non-negative CSR array."""
    W = as_compressed(X, "csr", dtype=np.float64)
    if W.shape[0] != W.shape[1]:
        raise ValueError(
            f"A precomputed graph must be square, got shape {W.shape}. Use "
            "affinity='knn' for features, and sparsestat.embedding.from_edges for an "
            "edge list."
        )
    _check_weights(W)
    worst = kernels.asymmetry(*read_only_triple(W))
    largest = W.data.max(initial=0.0)
    if worst > SYMMETRY * largest:
        raise ValueError(
            f"The graph must be symmetric, but |W_ij - W_ji| reaches {worst:.3g} where "
            f"the largest weight is {largest:.3g}. Pass X.maximum(X.T) or "
            "(X + X.T) / 2."
        )
    return W


def _could_be_a_graph(X):
    """Whether features look like the weights of a graph on their rows."""
    if not sparse.issparse(X) or X.shape[0] != X.shape[1] or X.nnz == 0:
        return False
    W = as_compressed(X, "csr", dtype=np.float64)
    return W.data.min() >= 0 and kernels.asymmetry(*read_only_triple(W)) == 0


def _check_weights(W):
    if W.data.size and W.data.min() < 0:
        raise ValueError(
            "Negative values in data passed to X: the weights of a graph must not be "
            f"negative, the smallest is {W.data.min():.3g}."
        )
