"""Labels spread over a graph: harmonic functions as classifier and regressor."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from sparsestat._utils.compat import Interval, fit_context
from sparsestat.linear_model._graphs._harmonic import HarmonicFunctions

__all__ = ["GraphLabelPropagation", "GraphLabelRegressor"]


class GraphLabelPropagation(ClassifierMixin, HarmonicFunctions):
    r"""Classify the nodes of a graph from the labels of a few of them.

    With the graph's weights W and labels known on the nodes S, the one-hot label
    distributions of the other nodes minimize

    .. math:: \tfrac12 \sum_{ij} W_{ij} \, \|x_i - x_j\|^2 ,
        \qquad x_i = e_{y_i} \text{ for } i \in S,

    a sparse linear system: each node gets the weighted mean of its neighbors. It is
    solved to a measured residual and never with a dense n x n matrix. Use it when few
    rows have labels and neighbors mostly share them. On graphs with hubs, such as those
    of links, citations or dependencies, use ``normalize=True``: hubs there say little
    about their neighbors, and harmonic values are nearly the same all over. Do not use
    it when the graph says nothing about the classes, when labels are wrong (they are
    kept as they are), or when all rows are labeled. It competes with
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
    unreachable : {"prior", "unlabeled"}, default="prior"
        What nodes get that no label is connected to: the frequencies of the labels,
        or nothing, which `transduction_` shows as -1. Either way a warning is raised.
    normalize : bool, default=False
        Let every label send out one random walk in place of keeping its value: the
        values solve ``(D - damping * W) F = Y`` with the degrees D, summed over walks
        whatever the `method`. Labeled nodes are shown with their labels all the same.
    damping : float, default=0.7
        Chance that a walk goes on from a node to a neighbor, with ``normalize=True``.
    class_mass : bool, default=False
        Scale the values of each class so that, on average over the unlabeled nodes,
        they are as the frequencies of the labels (class mass normalization). Harmonic
        values of a few labels on a large graph otherwise favor single classes.
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
        The largest relative residual of a column, or of a row with ``normalize=True``.
    history_ : ndarray of shape (n_iter_ + 1,)
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
    .. [3] K. Avrachenkov, P. Goncalves, A. Mishenin, M. Sokol, "Generalized
       optimization framework for graph-based semi-supervised learning", SIAM
       International Conference on Data Mining, 2012: ``normalize=True`` is in the
       spirit of its PageRank method.

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

    _parameter_constraints = {
        **HarmonicFunctions._parameter_constraints,
        "normalize": ["boolean"],
        "damping": [Interval(Real, 0, 1, closed="neither")],
        "class_mass": ["boolean"],
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
        normalize=False,
        damping=0.7,
        class_mass=False,
        n_jobs=None,
        verbose=0,
    ):
        super().__init__(
            affinity,
            n_neighbors=n_neighbors,
            weight=weight,
            gamma=gamma,
            method=method,
            tol=tol,
            max_iter=max_iter,
            unreachable=unreachable,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.normalize = normalize
        self.damping = damping
        self.class_mass = class_mass

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Find the classes of the unlabeled nodes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or \
                (n_samples, n_samples)
            Features, or the graph for ``affinity="precomputed"``.
        y : array-like of shape (n_samples,)
            Classes, -1 for unlabeled nodes. Among strings, in arrays of any type and in
            series, ``"-1"`` stands for unlabeled too.

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
        values = self._propagate(X, labeled, Y, self.class_prior_, self.normalize)
        if self.class_mass:
            values = _with_mass(values, labeled, self.class_prior_)
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
            Classes. With ``unreachable="unlabeled"``, -1 for rows without any labeled
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


class GraphLabelRegressor(MultiOutputMixin, RegressorMixin, HarmonicFunctions):
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
    unreachable : {"prior", "unlabeled"}, default="prior"
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
    history_ : ndarray of shape (n_iter_ + 1,)
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
            with ``unreachable="unlabeled"``.
        """
        check_is_fitted(self)
        values = self._average(self._validate_X(X, reset=False))
        if self.unreachable == "prior":
            values[np.isnan(values[:, 0])] = self._mean
        return values[:, 0] if self._one_column else values


def _is_minus_one(y):
    """Whether each entry stands for an unlabeled node."""
    if y.dtype.kind == "O":
        return np.array([v == "-1" if isinstance(v, str) else v == -1 for v in y])
    if y.dtype.kind in "US":
        return y == np.array("-1").astype(y.dtype)
    if y.dtype.kind in "bu":
        return np.zeros(len(y), dtype=bool)
    return y == -1


def _with_mass(values, labeled, prior):
    """Scale the classes so that their means over unlabeled nodes are the prior."""
    known = ~labeled & ~np.isnan(values[:, 0])
    mass = values[known].mean(axis=0) if known.any() else np.zeros(len(prior))
    factors = np.where(mass > 0, prior / np.where(mass > 0, mass, 1.0), 1.0)
    scaled = values[known] * factors
    total = scaled.sum(axis=1, keepdims=True)
    out = values.copy()
    out[known] = np.where(total > 0, scaled / np.where(total > 0, total, 1.0), prior)
    return out


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
