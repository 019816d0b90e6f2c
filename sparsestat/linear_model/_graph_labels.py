"""Labels spread over a graph: harmonic functions as classifier and regressor."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    align_sparse_interface,
    fit_context,
)
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
from sparsestat.linear_model import _graph_solvers as solvers
from sparsestat.linear_model import _kernels_forest as kernels
from sparsestat.linear_model._forest_cg import relative_residuals
from sparsestat.linear_model._forests import SYMMETRY

__all__ = ["GraphLabelPropagation", "GraphLabelRegressor"]

SCALE = "largest over the columns of ||(D - W) x - W y|| / ||W y|| on unlabeled nodes"
# The solver is held to a little less than `tol`, which leaves room for the rounding of
# values into the range of the labels.
MARGIN = 0.9


class _GraphLabels(CallbackSupportMixin, SparsestatEstimator):
    """What the classifier and the regressor share: graph, system, neighbors."""

    _parameter_constraints = {
        "affinity": [StrOptions({"knn", "precomputed"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "weight": [StrOptions({"binary", "heat"})],
        "gamma": [Interval(Real, 0, None, closed="neither"), None],
        "method": [StrOptions(set(solvers.METHODS))],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "unreachable": [StrOptions({"prior", "unlabelled"})],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

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
        if self.affinity == "precomputed":
            self.graph_ = align_sparse_interface(_checked_graph(X))
            return
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

    def _propagate(self, X, labeled, Y, prior):
        """Return the values of all nodes; NaN rows where no label is connected.

        The certificate is computed from what is returned.
        """
        self._build_graph(X)
        graph = as_compressed(self.graph_, "csr", dtype=np.float64)
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
        # The maximum principle: no value is outside the range of the labels.
        found = Y[labeled]
        np.clip(solution.W, found.min(axis=0), found.max(axis=0), out=solution.W)
        values = np.full((len(labeled), Y.shape[1]), np.nan)
        values[labeled] = found
        values[order] = solution.W
        residual = 0.0
        if len(order):
            G = system.residual(solution.W, B)
            residual = float(relative_residuals(G, B).max())
        missing = len(labeled) - len(order) - int(np.count_nonzero(labeled))
        self.forests_ = None
        if solution.block is not None:
            self.forests_ = np.full(len(labeled), -1)
            self.forests_[order] = solution.block
        self.n_iter_ = max(1, int(solution.n_iter))
        self.residual_history_ = np.array(solution.history)
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
        if missing:
            self._warn_unreachable(missing)
            if self.unreachable == "prior":
                values[np.isnan(values[:, 0])] = prior
        return values

    def _warn_unreachable(self, missing):
        remedy = (
            f"They get the {self._prior_name}."
            if self.unreachable == "prior"
            else "They stay unlabeled."
        )
        warnings.warn(
            f"{missing} nodes are in components of the graph without any label. "
            f"{remedy} Label one node of each component, or raise n_neighbors.",
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


class GraphLabelPropagation(ClassifierMixin, _GraphLabels):
    r"""Classify the nodes of a graph from the labels of a few of them.

    With the graph's weights W and labels known on the nodes S, the one-hot label
    distributions of the other nodes minimize

    .. math:: \tfrac12 \sum_{ij} W_{ij} \, \|x_i - x_j\|^2 ,
        \qquad x_i = e_{y_i} \text{ for } i \in S,

    a sparse linear system: each node gets the weighted mean of its neighbors. It is
    solved to a measured residual and never with a dense n x n matrix. Use it when few
    rows have labels and neighbors mostly share them. Do not use it when the graph says
    nothing about the classes, when labels are wrong (they are kept as they are), or
    when all rows are labeled. It competes with
    :class:`sklearn.semi_supervised.LabelPropagation`, whose kernel is dense by default.
    Read more in the :ref:`User Guide <graph_labels>`.

    Parameters
    ----------
    affinity : {"knn", "precomputed"}, default="knn"
        Whether X holds features, whose nearest neighbors make the graph, or is itself
        a symmetric, non-negative matrix of weights.
    n_neighbors : int, default=7
        Neighbors of each row, for ``affinity="knn"``. Rows are joined if either is
        among the nearest of the other.
    weight : {"binary", "heat"}, default="binary"
        Weight 1 of an edge, or :math:`\exp(-\gamma \|x_i - x_j\|^2)`.
    gamma : float, default=None
        Of the heat weights; None takes the inverse of the mean squared distance of
        neighbors.
    method : str, default="cg"
        ``"cg"``: conjugate gradients preconditioned by a symmetric sweep over forests;
        ``"direct"``: sparse factorization; ``"greedy_tree"``: exact steps on forests
        that are grown anew from the nodes of largest residual; ``"gs"``: single nodes
        in the order of their progress (Gauss-Southwell on a heap); ``"red_black"``:
        cycles over independent sets; ``"tree_partition"``: cycles over a fixed
        partition into forests.
    tol : float, default=1e-8
        Stop when the residual of every column is at most `tol` relative to its
        right-hand side.
    max_iter : int, default=1000
        Largest number of steps: CG iterations, blocks (``"greedy_tree"``), or passes
        over all nodes.
    unreachable : {"prior", "unlabelled"}, default="prior"
        What nodes get that no label is connected to: the frequencies of the labels,
        or nothing, which `transduction_` shows as -1. Either way a warning is raised.
    n_jobs : int, default=None
        Threads over the classes (``"cg"``) and of the search for neighbors. The
        result does not depend on it.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes among the labels.
    label_distributions_ : ndarray of shape (n_samples, n_classes)
        Distributions over the classes; those of labeled nodes are one-hot. Rows of
        nodes that stay unlabeled are zero.
    transduction_ : ndarray of shape (n_samples,)
        Class of each node, -1 where there is none.
    graph_ : csr_array of shape (n_samples, n_samples)
        The weights.
    class_prior_ : ndarray of shape (n_classes,)
        Frequencies of the labels.
    gamma_ : float
        The gamma in use (``affinity="knn"``).
    forests_ : ndarray of shape (n_samples,) or None
        Forest or color of each node, -1 for nodes that were not solved for. None for
        methods without a fixed partition.
    certificate_ : Certificate
        The largest relative residual of a column.
    residual_history_ : ndarray of shape (n_iter_ + 1,)
        The same after each iteration, from the start on.
    n_iter_ : int
        Number of iterations.
    n_features_in_ : int
        Number of features (or of nodes, for a precomputed graph).
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        If no node is labeled; if a precomputed graph is not square, not symmetric or
        has negative weights.

    Warns
    -----
    ConvergenceWarning
        If the residual is above `tol` after `max_iter` iterations.
    UserWarning
        If a component of the graph has no label.

    See Also
    --------
    GraphLabelRegressor : The same for numbers.
    greedy_bcd_quadratic : The block methods, for any sparse system, with a history.
    sklearn.semi_supervised.LabelSpreading : Lets labels of labeled nodes change.

    Notes
    -----
    One iteration costs O((n_edges + n_samples) * n_classes); ``"greedy_tree"`` sorts
    the nodes in addition. ``"direct"`` fills in, and is for some ten thousand nodes.
    Memory beside the graph is a second copy of its entries and about ten arrays of
    n_samples * n_classes. All computations are in double precision and deterministic.
    By the maximum principle all values lie between 0 and 1.

    References
    ----------
    .. [1] X. Zhu, Z. Ghahramani, J. Lafferty, "Semi-supervised learning using Gaussian
       fields and harmonic functions", ICML, 2003.
    .. [2] J. Nutini, I. Laradji, M. Schmidt, "Let's make block coordinate descent
       converge faster", JMLR 23, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sparsestat.linear_model import GraphLabelPropagation
    >>> X, digits = load_digits(return_X_y=True)
    >>> y = np.full(len(digits), -1)
    >>> y[:100] = digits[:100]  # the other 1697 are unlabeled
    >>> model = GraphLabelPropagation().fit(X, y)
    >>> bool((model.transduction_[100:] == digits[100:]).mean() > 0.9)
    True
    >>> model.certificate_.satisfied
    True
    """

    _prior_name = "frequencies of the labels"

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Find the classes of the unlabeled nodes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or \
                (n_samples, n_samples)
            Features, or the graph for ``affinity="precomputed"``.
        y : array-like of shape (n_samples,)
            Classes, -1 for unlabeled nodes. String labels are best held in an object
            array; in an array of strings, ``"-1"`` stands for unlabeled.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc", "coo"],
            dtype=[np.float64, np.float32],
        )
        X = self._within_bounds(X)
        unlabeled = _is_minus_one(y)
        if unlabeled.all():
            raise ValueError(
                "No node is labeled: all entries of y are -1. At least one label is "
                "needed."
            )
        labeled = ~unlabeled
        check_classification_targets(y[labeled])
        self.classes_, codes = np.unique(y[labeled], return_inverse=True)
        Y = np.zeros((len(y), len(self.classes_)))
        Y[np.flatnonzero(labeled), codes] = 1.0
        self.class_prior_ = Y[labeled].mean(axis=0)
        values = self._propagate(X, labeled, Y, self.class_prior_)
        self._values = values
        missing = np.isnan(values[:, 0])
        self.label_distributions_ = np.where(missing[:, None], 0.0, values)
        self.transduction_ = self._decode(values)
        return self

    def predict_proba(self, X):
        """Return the distribution over the classes for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features_in_)
            New rows; for a precomputed graph, their weights to the fitted nodes.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            The weighted mean over the nearest fitted nodes. A row that was seen during
            fit gets its own distribution (``affinity="knn"``). Rows without any
            labeled neighbor get `class_prior_`.
        """
        check_is_fitted(self)
        values = self._average(self._validate_X(X, reset=False))
        values[np.isnan(values[:, 0])] = self.class_prior_
        return values / values.sum(axis=1, keepdims=True)

    def predict(self, X):
        """Return the most likely class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features_in_)
            New rows; for a precomputed graph, their weights to the fitted nodes.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Classes. With ``unreachable="unlabelled"``, -1 for rows without any labeled
            neighbor.
        """
        check_is_fitted(self)
        values = self._average(self._validate_X(X, reset=False))
        if self.unreachable == "prior":
            values[np.isnan(values[:, 0])] = self.class_prior_
        return self._decode(values)

    def _decode(self, values):
        """Return the class of largest weight, -1 for rows of NaN."""
        missing = np.isnan(values[:, 0])
        found = self.classes_[np.where(missing[:, None], 0.0, values).argmax(axis=1)]
        if missing.any():
            if found.dtype.kind in "US":
                found = found.astype(object)
            elif found.dtype.kind in "bu":
                found = found.astype(np.int64)
            found[missing] = -1
        return found


class GraphLabelRegressor(MultiOutputMixin, RegressorMixin, _GraphLabels):
    r"""Interpolate numbers over the nodes of a graph from the values of a few.

    With the graph's weights W and values known on the nodes S, those of the other
    nodes minimize

    .. math:: \tfrac12 \sum_{ij} W_{ij} \, (x_i - x_j)^2 ,
        \qquad x_i = y_i \text{ for } i \in S,

    a sparse linear system: each node gets the weighted mean of its neighbors. The
    values are interpolated, never extrapolated: none is outside the range of those
    given. Do not use it when the given values are noisy, since they are kept as they
    are, or when few labels are spread over a graph of high dimension, where the
    solution is nearly constant with spikes at the labels. Read more in the
    :ref:`User Guide <graph_labels>`.

    Parameters
    ----------
    affinity : {"knn", "precomputed"}, default="knn"
        Whether X holds features, whose nearest neighbors make the graph, or is itself
        a symmetric, non-negative matrix of weights.
    n_neighbors : int, default=7
        Neighbors of each row, for ``affinity="knn"``. Rows are joined if either is
        among the nearest of the other.
    weight : {"binary", "heat"}, default="binary"
        Weight 1 of an edge, or :math:`\exp(-\gamma \|x_i - x_j\|^2)`.
    gamma : float, default=None
        Of the heat weights; None takes the inverse of the mean squared distance of
        neighbors.
    method : str, default="cg"
        As in :class:`GraphLabelPropagation`.
    tol : float, default=1e-8
        Stop when the residual of every column is at most `tol` relative to its
        right-hand side.
    max_iter : int, default=1000
        Largest number of steps: CG iterations, blocks (``"greedy_tree"``), or passes
        over all nodes.
    unreachable : {"prior", "unlabelled"}, default="prior"
        What nodes get that no label is connected to: the mean of the given values, or
        NaN. Either way a warning is raised.
    n_jobs : int, default=None
        Threads over the targets (``"cg"``) and of the search for neighbors. The
        result does not depend on it.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    transduction_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Values of all nodes.
    graph_ : csr_array of shape (n_samples, n_samples)
        The weights.
    gamma_ : float
        The gamma in use (``affinity="knn"``).
    forests_ : ndarray of shape (n_samples,) or None
        Forest or color of each node, -1 for nodes that were not solved for. None for
        methods without a fixed partition.
    certificate_ : Certificate
        The largest relative residual of a column.
    residual_history_ : ndarray of shape (n_iter_ + 1,)
        The same after each iteration, from the start on.
    n_iter_ : int
        Number of iterations.
    n_features_in_ : int
        Number of features (or of nodes, for a precomputed graph).
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        If no node has a value, or a row of y is NaN in part; if a precomputed graph is
        not square, not symmetric or has negative weights.

    Warns
    -----
    ConvergenceWarning
        If the residual is above `tol` after `max_iter` iterations.
    UserWarning
        If a component of the graph has no label.

    See Also
    --------
    GraphLabelPropagation : The same for classes.
    sklearn.neighbors.KNeighborsRegressor : Uses rows with values only.

    Notes
    -----
    The columns are centered by the mean of the given values first, which changes no
    solution. Costs as in :class:`GraphLabelPropagation`.

    References
    ----------
    .. [1] X. Zhu, Z. Ghahramani, J. Lafferty, "Semi-supervised learning using Gaussian
       fields and harmonic functions", ICML, 2003.
    .. [2] J. Nutini, I. Laradji, M. Schmidt, "Let's make block coordinate descent
       converge faster", JMLR 23, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import diags_array
    >>> from sparsestat.linear_model import GraphLabelRegressor
    >>> path = diags_array([np.ones(4), np.ones(4)], offsets=[-1, 1])
    >>> y = [0.0, np.nan, np.nan, np.nan, 8.0]
    >>> model = GraphLabelRegressor("precomputed").fit(path, y)
    >>> model.transduction_.round(6)
    array([0., 2., 4., 6., 8.])
    """

    _prior_name = "mean of the given values"

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Find the values of the nodes that have none.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or \
                (n_samples, n_samples)
            Features, or the graph for ``affinity="precomputed"``.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Values, NaN where there is none.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X = self._validate_X(X, reset=True)
        y = _values_with_gaps(y, type(self).__name__)
        check_consistent_length(X, y)
        Y = y.reshape(len(y), -1)
        missing = np.isnan(Y)
        labeled = ~missing[:, 0]
        if (missing != missing[:, :1]).any():
            row = int(np.flatnonzero((missing != missing[:, :1]).any(axis=1))[0])
            raise ValueError(
                f"Row {row} of y has values for some targets only. A row must be NaN "
                "throughout or not at all; fit such targets one by one."
            )
        if not labeled.any():
            raise ValueError(
                "No node has a value: all entries of y are NaN. At least one is needed."
            )
        mean = Y[labeled].mean(axis=0)
        values = self._propagate(X, labeled, Y - mean, 0.0) + mean
        values[labeled] = Y[labeled]  # to the last digit
        self._values, self._mean = values, mean
        self._one_column = y.ndim == 1
        self.transduction_ = values[:, 0].copy() if y.ndim == 1 else values
        return self

    def predict(self, X):
        """Return the weighted mean of the values around each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features_in_)
            New rows; for a precomputed graph, their weights to the fitted nodes.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_targets)
            A row that was seen during fit gets its own value (``affinity="knn"``).
            Rows whose neighbors have no value get the mean of the given ones, or NaN
            with ``unreachable="unlabelled"``.
        """
        check_is_fitted(self)
        values = self._average(self._validate_X(X, reset=False))
        if self.unreachable == "prior":
            values[np.isnan(values[:, 0])] = self._mean
        return values[:, 0] if self._one_column else values


def _checked_graph(X):
    """Return a precomputed graph as a symmetric, non-negative CSR array."""
    W = as_compressed(X, "csr", dtype=np.float64)
    if W.shape[0] != W.shape[1]:
        raise ValueError(
            f"A precomputed graph must be square, got shape {W.shape}. Use "
            "affinity='knn' for features."
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


def _check_weights(W):
    if W.data.size and W.data.min() < 0:
        raise ValueError(
            "Negative values in data passed to X: the weights of a graph must not be "
            f"negative, the smallest is {W.data.min():.3g}."
        )


def _is_minus_one(y):
    """Whether each entry stands for an unlabeled node."""
    if y.dtype.kind == "O":
        return np.array([not isinstance(v, str | bytes) and v == -1 for v in y])
    if y.dtype.kind in "US":
        return y == np.array("-1").astype(y.dtype)
    if y.dtype.kind in "bu":
        return np.zeros(len(y), dtype=bool)
    return y == -1


def _values_with_gaps(y, name):
    """Return y in float64, where NaN is allowed and infinity is not."""
    if y is None:
        raise ValueError(
            f"This {name} estimator requires y to be passed, but the target y is None."
        )
    y = np.asarray(y)
    if y.dtype.kind == "c":
        raise ValueError("Complex data not supported: y is complex.")
    try:
        y = y.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"y must hold numbers, NaN for nodes without a value; got dtype {y.dtype}."
        ) from error
    if y.ndim not in (1, 2):
        raise ValueError(f"y must have one or two dimensions, got shape {y.shape}.")
    if np.isinf(y).any():
        raise ValueError("y contains infinity. NaN marks nodes without a value.")
    return column_or_1d(y) if y.ndim == 1 else y
