r"""FastRP: graph embedding by very sparse random projection.

.. math:: E = \sum_k a_k \, \mathrm{rownorm}\big((D^{-1} S)^k L R\big)

Chen et al., "Fast and Accurate Network Embeddings via Very Sparse Random
Projection", CIKM 2019.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.results import Certificate
from sparsestat._utils.validation import as_compressed
from sparsestat.embedding import _propagation as core
from sparsestat.embedding._fastrp_checks import (
    check_graph,
    checked_features,
    checked_keys,
    checked_out,
    checked_weights,
    refuse_negative,
)
from sparsestat.embedding._graph import (
    is_edge_list,
    is_networkx,
    read_graph,
    warn_if_triangular,
)
from sparsestat.embedding._scaling import finish, statistics

__all__ = ["FastRP"]

_KEEP_BYTES = 1 << 26  # powers up to this size are kept with keep_powers="auto"
_SALT = 0x5851F42D4C957F2D  # separates the random streams of one seed


class FastRP(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SparsestatEstimator):
    r"""Embed the nodes of a graph by very sparse random projection.

    With the adjacency matrix :math:`S`, its row sums :math:`D` and the transition
    matrix :math:`P = D^{-1} S`, the rows of

    .. math::
        E = \sum_{k=0}^{q} a_k \, \mathrm{rownorm}(N_k), \quad
        N_0 = L R, \quad N_k = P N_{k-1}

    are random projections of the rows of a weighted sum of powers of P, whose columns
    are scaled by :math:`L = \mathrm{diag}((d_j / \sum d)^\beta)`. R has independent
    entries :math:`\pm\sqrt{s/d}` with probability :math:`1/(2s)` each and zeros
    otherwise, so that :math:`E[R R^T] = I`. Nothing of size n x n is formed: the cost
    is one sparse times dense product a power. Use it where a spectral embedding would
    take too long, or where classes follow neighborhoods; a spectral embedding can be
    better when few dimensions must do. Read more in :ref:`User Guide
    <sparse_kernels_and_embeddings>`.

    Parameters
    ----------
    n_components : int, default=128
        Dimensions of the embedding.
    weights : array-like of shape (n_powers,), default=(1, 2, 4, 8, 16, 32)
        Weights :math:`a_1, \dots, a_q` of the powers. They rise because far powers
        carry less noise where classes are groups of nodes that know each other. The
        authors' tuned values for the BlogCatalog graph are ``(0, 0, 1, 6.67)`` with
        ``beta=-0.64`` and ``n_components=512``.
    beta : float, default=0.0
        Exponent of the degrees in L, from -8 to 8; -1 divides the stationary
        distribution out.
    s : "sqrt" or float, default="sqrt"
        One in `s` entries of R is not zero; "sqrt" stands for the square root of the
        number of nodes. At least 1.
    self_weight : float, default=0.0
        Weight :math:`a_0` of a node's own row of N_0.
    normalize_powers : bool, default=True
        Divide the rows of each power by their lengths before they are added.
    propagate : {"raw", "normalized"}, default="raw"
        Whether P multiplies the rows as they are or divided by their lengths. With
        ``s=3``, ``propagate="normalized"`` and ``output=None`` this is the variant of
        the Neo4j library.
    output : {"standard", "l2"} or None, default="standard"
        Standardize the columns, or divide the rows by their lengths, or neither.
    direction : {"out", "in", "both", "undirected"}, default="out"
        Average over the targets of a node's arcs, over their sources, over both with
        half of the components each, or over the graph of S + S^T. All but "both",
        which concatenates two equal-law halves, agree up to scale on a symmetric S.
    self_loops : {"add"} or None, default=None
        "add" puts weight 1 on the diagonal. On a bipartite graph powers otherwise
        alternate between the two sides.
    symmetrize : bool, default=True
        Whether the edges of an edge list have no direction. Matrices and networkx
        graphs are taken as they are.
    metric : {"adjacency", "bipartite"}, default="adjacency"
        With "bipartite", X is a rectangular matrix of weights between n rows and p
        columns, such as samples and features; both are nodes, and the graph of
        n + p nodes is not assembled.
    property_ratio : float, default=0.0
        Share of the components, the last ones, into which node features are
        projected. Needs `features` in :meth:`fit`.
    property_mode : {"add", "replace"}, default="add"
        Add features to the random projection there, or leave it out there.
    feature_scaling : {"standard"} or None, default=None
        Standardize features first: advisable when they have different units.
    keep_powers : bool or "auto", default="auto"
        Keep N_1 to N_{q-1} for :meth:`transform`; otherwise the graph is kept and
        they are computed again. "auto" keeps up to 64 MiB; nothing is kept where
        `max_memory` forces blocks.
    dtype : {"float32", "float64"}, default="float32"
        Type of the embedding. Degrees, lengths and column statistics are in double
        precision in any case.
    max_memory : float, default=None
        Bytes for the embedding and all working arrays, not counting the graph and R.
        If three times the embedding is more, columns are taken in blocks, at twice
        the time if powers are normalized. None means no limit.
    n_jobs : int, default=None
        Threads. The result is bitwise the same for every number.
    random_state : int, RandomState instance or None, default=None
        Seed of R. Row i of R depends on the seed and i (or its node id) alone.

    Attributes
    ----------
    embedding_ : ndarray of shape (n_nodes, n_components)
        The embedding; of the rows, for a bipartite graph.
    row_embedding_, column_embedding_ : ndarray
        Both sides of a bipartite graph; only then.
    degrees_ : ndarray of shape (n_nodes,)
        Weighted degrees in the direction of averaging (out-degrees for "both").
    mean_, scale_ : ndarray of shape (n_components,)
        Column statistics, with ``output="standard"``; zeros and ones otherwise.
    isolated_ : ndarray
        Indices of nodes without neighbors to average. Their rows are zero before
        standardization, unless `self_weight` is used.
    projection_ : csr_array of shape (n_nodes, n_components)
        The matrix R (columns of the bipartite graph come after its rows).
    n_powers_ : int
        Highest power with a non-zero weight.
    block_width_ : int
        Components propagated at a time.
    node_ids_ : ndarray of shape (n_nodes,)
        Labels of the nodes in the order of the rows: those of the graph or edge list,
        `node_ids` if given, else 0, 1, ...
    certificate_ : Certificate
        Of kind "exact": the embedding is a closed form, computed without iteration.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X is a data frame.

    See Also
    --------
    FastRPCV : Choose beta and the weights by cross-validation.
    sklearn.manifold.SpectralEmbedding : Eigenvectors of the Laplacian.
    sklearn.random_projection.SparseRandomProjection : The projection alone.

    Notes
    -----
    Time is O(q nnz d). Memory is the graph, R and three arrays of shape (n, d), or
    less with `max_memory`. A graph whose weights are all equal is averaged without
    reading them.

    References
    ----------
    .. [1] H. Chen, S. F. Sultan, Y. Tian, M. Chen, S. Skiena, "Fast and accurate
       network embeddings via very sparse random projection", CIKM, 2019.
    .. [2] P. Li, T. Hastie, K. Church, "Very sparse random projections", KDD, 2006.

    Examples
    --------
    >>> import networkx as nx
    >>> from sparsestat.embedding import FastRP
    >>> graph = nx.karate_club_graph()
    >>> model = FastRP(16, random_state=0).fit(graph)
    >>> model.embedding_.shape
    (34, 16)
    >>> A = nx.to_scipy_sparse_array(graph)
    >>> bool(abs(model.transform(A) - model.embedding_).max() < 1e-5)
    True
    """

    _needs_rows = "its rows and columns are the nodes of one graph"

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "weights": ["array-like"],
        "beta": [Interval(Real, -8, 8, closed="both")],
        "s": [StrOptions({"sqrt"}), Interval(Real, 1, None, closed="left")],
        "self_weight": [Interval(Real, None, None, closed="neither")],
        "normalize_powers": ["boolean"],
        "propagate": [StrOptions({"raw", "normalized"})],
        "output": [StrOptions({"standard", "l2"}), None],
        "direction": [StrOptions({"out", "in", "both", "undirected"})],
        "self_loops": [StrOptions({"add"}), None],
        "symmetrize": ["boolean"],
        "metric": [StrOptions({"adjacency", "bipartite"})],
        "property_ratio": [Interval(Real, 0, 1, closed="both")],
        "property_mode": [StrOptions({"add", "replace"})],
        "feature_scaling": [StrOptions({"standard"}), None],
        "keep_powers": ["boolean", StrOptions({"auto"})],
        "dtype": [StrOptions({"float32", "float64"})],
        "max_memory": [Interval(Real, 0, None, closed="neither"), None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=128,
        *,
        weights=(1, 2, 4, 8, 16, 32),
        beta=0.0,
        s="sqrt",
        self_weight=0.0,
        normalize_powers=True,
        propagate="raw",
        output="standard",
        direction="out",
        self_loops=None,
        symmetrize=True,
        metric="adjacency",
        property_ratio=0.0,
        property_mode="add",
        feature_scaling=None,
        keep_powers="auto",
        dtype="float32",
        max_memory=None,
        n_jobs=None,
        random_state=None,
    ):
        self.n_components = n_components
        self.weights = weights
        self.beta = beta
        self.s = s
        self.self_weight = self_weight
        self.normalize_powers = normalize_powers
        self.propagate = propagate
        self.output = output
        self.direction = direction
        self.self_loops = self_loops
        self.symmetrize = symmetrize
        self.metric = metric
        self.property_ratio = property_ratio
        self.property_mode = property_mode
        self.feature_scaling = feature_scaling
        self.keep_powers = keep_powers
        self.dtype = dtype
        self.max_memory = max_memory
        self.n_jobs = n_jobs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, features=None, node_ids=None, out=None):
        """Embed the nodes of a graph.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_nodes, n_nodes), networkx graph \
                or edge list
            Entry (i, j) is the non-negative weight of the arc from i to j. Data frames,
            arrays and lists of two or three columns are edge lists, as
            :func:`from_edges` takes them, and so is a tuple ``(sources, targets)`` or
            ``(sources, targets, weights)``. Of shape (n_rows, n_columns) with
            ``metric="bipartite"``.
        y : Ignored
            Present for API consistency.
        features : {array-like, sparse matrix} of shape (n_nodes, n_properties), \
                default=None
            Properties of the nodes (of the rows, for a bipartite graph), projected
            into the last components; see `property_ratio`.
        node_ids : array-like of int of shape (n_nodes,), default=None
            Keys of the rows of R in place of 0, 1, ...: with them the embedding of a
            node does not depend on its place in the matrix.
        out : ndarray of shape (n_nodes, n_components), default=None
            Where to write the embedding, such as a numpy memmap. C-ordered, of type
            `dtype`.

        Returns
        -------
        self : FastRP
            The fitted embedding.

        Raises
        ------
        ValueError
            If X is not square (unless bipartite), contains NaN, infinity, negative or
            complex numbers, or has no edges and no features are given; if the weights
            are empty or all zero; if `features` or `node_ids` do not fit; or if
            `max_memory` is too small.
        """
        return self._fit(X, features, node_ids, out)

    def _fit(self, X, features=None, node_ids=None, out=None, *, keep=None):
        weights = checked_weights(self.weights, self.self_weight)
        if self.metric == "bipartite" and (is_networkx(X) or isinstance(X, tuple)):
            raise ValueError(
                "metric='bipartite' takes the rectangular matrix between the sides. "
                "For a networkx graph use networkx.bipartite.biadjacency_matrix."
            )
        if self.metric == "adjacency":
            self._check_symmetrize(X)
            X, labels = read_graph(X, symmetrize=self.symmetrize)
        else:
            labels = None
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32])
        S = as_compressed(X, "csr")
        check_graph(
            S,
            features,
            metric=self.metric,
            direction=self.direction,
            self_loops=self.self_loops,
        )
        if self.metric == "adjacency" and self.direction != "undirected":
            if labels is None:  # lists and graphs say what their edges are
                warn_if_triangular(S)
        sides_of = self._sides_of_halves(S)
        self._keys = checked_keys(node_ids, S.shape[0], self.metric)
        given = labels is None or node_ids is not None
        self.node_ids_ = self._keys if given else labels
        features = checked_features(features, S.shape[0], self.property_ratio)

        n, d = S.shape[0], self.n_components
        widths = [d] if self.direction != "both" else [d - d // 2, d // 2]
        dtype = np.dtype(self.dtype)
        total = sum(S.shape) if self.metric == "bipartite" else n
        self.block_width_ = core.block_width(
            total,
            d,
            len(weights) - 1,
            dtype.itemsize,
            self.max_memory,
        )
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(2**31 - 1)) << 31 | int(rng.randint(2**31 - 1))
        if keep is None:
            keep = self._keeps_powers(total, d, len(weights) - 1, dtype.itemsize)

        out = checked_out(out, (n, d), dtype)
        arrays = [out]
        if self.metric == "bipartite":
            arrays.append(np.zeros((S.shape[1], d), dtype))
        self._halves, left = [], 0
        for index, (sides, width) in enumerate(zip(sides_of, widths, strict=True)):
            if width == 0:
                continue
            starts, carry = self._starts(sides, width, seed + index, features, dtype)
            # With two halves each has its own embedding, so that lengths are its own.
            whole = len(widths) == 1
            place = [a if whole else np.zeros((len(a), width), dtype) for a in arrays]
            scaled = weights.copy()
            if not self.normalize_powers:
                # Only N_0 and N_1 carry it on if lengths are divided out on the way.
                scaled[: 2 if self.propagate == "normalized" else None] *= carry
            powers = core.embed(
                core.Operator(sides),
                starts,
                scaled,
                normalize=self.normalize_powers,
                rescale=self.propagate == "normalized",
                out=place,
                block=min(self.block_width_, width),
                n_jobs=self.n_jobs,
                keep=keep,
            )
            if not whole:
                for array, part in zip(arrays, place, strict=True):
                    array[:, left : left + width] = part
            half = {
                "starts": starts,
                "weights": scaled,
                "columns": (left, left + width),
            }
            half["powers" if keep else "sides"] = powers if keep else sides
            self._halves.append(half)
            left += width

        self.projection_ = sparse.hstack(
            [
                sparse.vstack([s.projection for s in half["starts"]], format="csr")
                for half in self._halves
            ],
            format="csr",
        )
        self.degrees_ = sides_of[0][0].degrees
        alone = self.degrees_ == 0
        if self.direction == "both":
            alone &= sides_of[1][0].degrees == 0
        self.isolated_ = np.flatnonzero(alone)
        self.n_powers_ = len(weights) - 1
        self.mean_, self.scale_ = statistics(out, self.output)
        for array in arrays:
            finish(array, self.output, self.mean_, self.scale_)
        self.embedding_ = out
        if self.metric == "bipartite":
            self.row_embedding_, self.column_embedding_ = arrays
        self.certificate_ = Certificate(
            "exact", 0.0, 0.0, True, "closed form: nothing is iterated to a tolerance"
        )
        return self

    def fit_transform(self, X, y=None, **fit_params):
        """Embed the nodes of a graph and return the embedding.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_nodes, n_nodes), networkx graph \
                or tuple
            As in :meth:`fit`.
        y : Ignored
            Present for API consistency.
        **fit_params : dict
            Keyword arguments of :meth:`fit`.

        Returns
        -------
        embedding : ndarray of shape (n_nodes, n_components)
            The attribute `embedding_`.
        """
        return self.fit(X, y, **fit_params).embedding_

    def transform(self, X):
        """Embed new nodes by their arcs to the nodes of the fit.

        A new node averages the rows of its neighbors, as the fitted ones do, so that
        the rows of the fitted graph give the fitted embedding. Arcs among new nodes
        cannot be given, and neither self loops nor the self weight apply to them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_new, n_features_in_)
            Weights of the arcs by which a new node averages: those to fitted nodes for
            ``direction="out"``, those from them for "in", both added for "undirected".
            For "both", one matrix for both halves or a tuple of two, out and in. New
            rows, for a bipartite graph.

        Returns
        -------
        embedding : ndarray of shape (n_new, n_components)
            A row without neighbors is zero before standardization.

        Raises
        ------
        ValueError
            If X has another number of columns, or NaN, infinite or negative entries.
        """
        check_is_fitted(self)
        parts = X if isinstance(X, tuple) and self.direction == "both" else (X,)
        if len(parts) not in (1, 2):
            raise ValueError(
                f"transform takes one matrix or two, out and in, got {len(parts)}."
            )
        matrices = []
        for part in parts:
            part = validate_data(
                self,
                part,
                reset=False,
                accept_sparse="csr",
                dtype=[np.float64, np.float32],
            )
            matrices.append(as_compressed(part, "csr"))
            refuse_negative(matrices[-1])
        if len({B.shape[0] for B in matrices}) > 1:
            raise ValueError(
                f"The two matrices have shapes {matrices[0].shape} and "
                f"{matrices[1].shape}; they must be equal."
            )
        dtype = self.embedding_.dtype
        out = np.zeros((matrices[0].shape[0], self.embedding_.shape[1]), dtype)
        source = 1 if self.metric == "bipartite" else 0
        for index, half in enumerate(self._halves):
            left, right = half["columns"]
            part = np.zeros((len(out), right - left), dtype)
            powers = half.get("powers")
            if powers is None:
                powers = self._powers_again(half, right - left, dtype)
            core.average(
                core.make_side(matrices[min(index, len(matrices) - 1)], dtype),
                half["starts"][source],
                [power[source] for power in powers],
                half["weights"],
                normalize=self.normalize_powers,
                rescale=self.propagate == "normalized",
                out=part,
                n_jobs=self.n_jobs,
            )
            out[:, left:right] = part
        finish(out, self.output, self.mean_, self.scale_)
        return out

    @property
    def _n_features_out(self):
        return self.embedding_.shape[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.input_tags.pairwise = self.metric == "adjacency"
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _fit_powers(self, X):
        """Fit, and return the powers one by one, with normalized rows.

        For searching over weights, on which the powers do not depend.
        """
        self._fit(X, keep="all")
        columns = []
        for half in self._halves:
            powers = []
            for power in half["powers"]:
                rows = power[0].astype(np.float64)
                lengths = np.sqrt((rows**2).sum(axis=1, keepdims=True))
                powers.append(rows / np.where(lengths > 0, lengths, 1.0))
            columns.append(powers)
        return [np.hstack(power) for power in zip(*columns, strict=True)]

    def _check_symmetrize(self, X):
        if self.direction in ("in", "both") and self.symmetrize and is_edge_list(X):
            raise ValueError(
                f"direction={self.direction!r} needs edges with a direction, but "
                "symmetrize=True takes those of an edge list as undirected. Set "
                "symmetrize=False."
            )

    def _sides_of_halves(self, S):
        """Return the averaging matrices of each half of the components."""
        dtype = np.dtype(self.dtype)
        if self.metric == "bipartite":
            columns = as_compressed(S.T, "csr")
            return [
                [
                    core.make_side(S, dtype, source=1),
                    core.make_side(columns, dtype, source=0),
                ]
            ]
        if self.self_loops == "add":
            S = sparse.csr_array(S + sparse.eye_array(S.shape[0], dtype=S.dtype))
        if self.direction == "undirected":
            S = sparse.csr_array(S + S.T)
        wanted = {"in": [True], "both": [False, True]}.get(self.direction, [False])
        matrices = [as_compressed(S.T if back else S, "csr") for back in wanted]
        return [[core.make_side(M, dtype, arrivals=True)] for M in matrices]

    def _starts(self, sides, d, seed, features, dtype):
        """Return N_0 of each side, and the number by which it was divided."""
        n_all = sum(side.n_nodes for side in sides)
        s = float(np.sqrt(n_all)) if self.s == "sqrt" else float(self.s)
        d_f = round(self.property_ratio * d)
        d_r = d - d_f if features is not None and self.property_mode == "replace" else d
        levels = [self._level(sides, index) for index in range(len(sides))]
        # A negative beta and tiny degrees overflow single precision: the largest
        # entry of L is divided out, and put back into the weights where it matters.
        carry = max(float(level.max()) for level in levels if len(level))
        starts = []
        for index, side in enumerate(sides):
            # Keys of columns are negative, so that those of rows do not depend on
            # them; they are the keys of a square graph too.
            keys = self._keys if index == 0 else -1 - np.arange(side.n_nodes)
            if d_r:
                R = core.make_projection(
                    keys, d_r, s, np.sqrt(s / d_r), seed, dtype, n_jobs=self.n_jobs
                )
                R.resize((side.n_nodes, d))
            else:
                R = sparse.csr_array((side.n_nodes, d), dtype=dtype)
            dense = None
            if features is not None and d_f and index == 0:
                dense = self._project(features, d_f, seed, dtype) / dtype.type(carry)
            elif features is not None and d_f:
                dense = np.zeros((side.n_nodes, d_f), dtype)
            starts.append(core.Start(R, levels[index] / carry, dense))
        return starts, carry

    def _level(self, sides, index):
        """Return the diagonal of L: degrees of arrival over their sum, to the beta."""
        side = sides[index]
        if self.metric == "bipartite":
            degrees, total = side.degrees, sum(other.degrees.sum() for other in sides)
        else:
            degrees, total = side.arrivals, side.arrivals.sum()
        if self.beta == 0 or total == 0:
            return np.ones(len(degrees))
        share = np.where(degrees > 0, degrees, total) / total
        return share**self.beta

    def _project(self, features, d_f, seed, dtype):
        """Return F W, the features in the last components."""
        if self.feature_scaling == "standard":
            if sparse.issparse(features):
                raise ValueError(
                    "feature_scaling='standard' would make sparse features dense. Pass "
                    "a dense array, or feature_scaling=None."
                )
            spread = features.std(axis=0)
            spread[spread == 0] = 1
            features = (features - features.mean(axis=0)) / spread
        keys = np.arange(features.shape[1])
        W = core.make_projection(
            keys, d_f, 3.0, np.sqrt(3.0 / d_f), seed ^ _SALT, np.float64
        )
        projected = features @ W.toarray()
        return np.ascontiguousarray(projected, dtype)

    def _keeps_powers(self, n, d, q, itemsize):
        if self.keep_powers == "auto":
            size = max(q - 1, 0) * n * d * itemsize
            return size <= _KEEP_BYTES and self.block_width_ == d
        return bool(self.keep_powers) and self.block_width_ == d

    def _powers_again(self, half, d, dtype):
        """Compute the powers of the fitted nodes once more from the graph."""
        place = [np.zeros((side.n_nodes, d), dtype) for side in half["sides"]]
        return core.embed(
            core.Operator(half["sides"]),
            half["starts"],
            half["weights"],
            normalize=self.normalize_powers,
            rescale=self.propagate == "normalized",
            out=place,
            block=d,
            n_jobs=self.n_jobs,
            keep=True,
        )
