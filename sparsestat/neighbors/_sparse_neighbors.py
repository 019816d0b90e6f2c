r"""Nearest neighbors of sparse vectors by their inner product.

Finds :math:`\arg\max_i \langle q, x_i \rangle`, exactly or through an inverted index
whose lists are cut into blocks that carry a bound ("Seismic").
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.results import Certificate, users_stacklevel
from sparsestat._utils.samples import FLOATS, check_samples
from sparsestat._utils.validation import as_compressed
from sparsestat.neighbors._index import Blocks, build_index, search_index
from sparsestat.sparse import normalize_rows, topk_product

__all__ = ["SparseNeighbors"]

_DENSE = 0.5  # share of non-zero entries from which sparse storage is a loss


class SparseNeighbors(SparsestatEstimator):
    r"""Find the sparse vectors with the largest inner products.

    For every coordinate the index keeps a list of the documents (rows) in which it is
    large. A list is cut into blocks of similar documents, and each block is summed up
    by the largest value of every coordinate, of which only the largest are kept. A
    query visits the lists of its own largest coordinates, scores the summaries of their
    blocks, and computes the inner products of the documents in those blocks that may
    hold something better than what it has. This is the index that its authors call
    Seismic [1]_, optionally with a graph of neighbors beside it [2]_.

    With ``algorithm="exact"`` all non-zero products are computed instead, by
    :func:`~sparsestat.sparse.topk_product`. Use that for fewer than some ten thousand
    rows, or where lists are short: it is then the faster one too. The index pays for
    many rows that share their coordinates, such as texts expanded by a language model.
    For dense vectors use :class:`sklearn.neighbors.NearestNeighbors`. Read more in
    :ref:`User Guide <retrieval>`.

    Parameters
    ----------
    n_neighbors : int, default=10
        How many neighbors :meth:`kneighbors` returns.
    metric : {"dot", "cosine"}, default="dot"
        Inner product, or that of the rows divided by their lengths.
    algorithm : {"seismic", "exact"}, default="seismic"
        Index, or products with all rows.
    n_postings : int, default=2000
        Entries kept per list: of each with ``pruning="fixed"``, on average with
        "global".
    centroid_fraction : float, default=0.1
        Blocks per document of a list, before small ones are dissolved.
    min_cluster_size : int, default=2
        Smaller blocks are dissolved.
    summary_energy : float, default=0.4
        Share of the sum of a summary that is kept, by its largest entries. 1 keeps all,
        so that a summary bounds the inner products of its block.
    max_fraction : float, default=6.0
        Longest list in units of `n_postings`, with global pruning.
    pruning : {"global", "fixed"}, default="global"
        Whether the entries of all lists compete, or those of each list.
    query_cut : int or None, default=10
        Lists that a query visits; None for all of its coordinates.
    heap_factor : float, default=0.8
        A block is left out if its score is below this times the smallest score found.
        Larger values leave out more. With a value up to 1, ``summary_energy=1.0``,
        ``query_cut=None`` and no pruning, all neighbors are found.
    knn : int, default=0
        Neighbors of every document that are kept in a graph. The neighbors of what a
        query has found are scored at its end. 0 builds no graph.
    signed : bool, default=False
        Accept negative entries. Every coordinate then has two lists, one for each sign,
        and a document is found by a coordinate in which it has the sign of the query.
    quantize : bool, default=True
        Store summaries in one byte an entry, rounded upwards.
    n_jobs : int, default=None
        Threads. The result is the same for every number.
    random_state : int, RandomState instance or None, default=None
        Seed of the documents around which blocks are formed.

    Attributes
    ----------
    n_samples_fit_ : int
        Number of documents.
    index_bytes_ : int
        Bytes of the index, documents included.
    n_blocks_ : int
        Blocks of all lists; 0 for exact search.
    certificate_ : Certificate
        Of kind "exact" for exact search. Otherwise of kind "none": nothing is promised
        about the neighbors that were missed.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X is a data frame.

    See Also
    --------
    sparsestat.sparse.topk_product : Exact search as a function.
    FixedDimensionalEncoder : Vectors for sets of vectors.
    sklearn.neighbors.NearestNeighbors : Neighbors of dense vectors.

    Notes
    -----
    The index takes one pass of k-means around random documents a list: time is about
    that of the postings times the entries of a document. The documents are scored in
    their own precision, after division by a power of two. With data of more than half
    of the entries not zero a warning is given.

    References
    ----------
    .. [1] S. Bruch, F. M. Nardini, C. Rulli, R. Venturini, "Efficient inverted indexes
       for approximate retrieval over learned sparse representations", SIGIR, 2024.
    .. [2] S. Bruch, F. M. Nardini, C. Rulli, R. Venturini, "Pairing clustered inverted
       indexes with k-NN graphs for fast approximate retrieval over learned sparse
       representations", CIKM, 2024.

    Examples
    --------
    >>> from scipy.sparse import random_array
    >>> from sparsestat.neighbors import SparseNeighbors
    >>> X = random_array((500, 200), density=0.05, random_state=0, format="csr")
    >>> model = SparseNeighbors(3, random_state=0).fit(X)
    >>> scores, found = model.kneighbors(X[:1])
    >>> int(found[0, 0])
    0
    """

    _needs_rows = "its index holds the codes of all rows"
    _parameter_constraints = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions({"dot", "cosine"})],
        "algorithm": [StrOptions({"seismic", "exact"})],
        "n_postings": [Interval(Integral, 1, None, closed="left")],
        "centroid_fraction": [Interval(Real, 0, 1, closed="right")],
        "min_cluster_size": [Interval(Integral, 1, None, closed="left")],
        "summary_energy": [Interval(Real, 0, 1, closed="right")],
        "max_fraction": [Interval(Real, 0, None, closed="neither")],
        "pruning": [StrOptions({"global", "fixed"})],
        "query_cut": [Interval(Integral, 1, None, closed="left"), None],
        "heap_factor": [Interval(Real, 0, None, closed="left")],
        "knn": [Interval(Integral, 0, None, closed="left")],
        "signed": ["boolean"],
        "quantize": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_neighbors=10,
        *,
        metric="dot",
        algorithm="seismic",
        n_postings=2000,
        centroid_fraction=0.1,
        min_cluster_size=2,
        summary_energy=0.4,
        max_fraction=6.0,
        pruning="global",
        query_cut=10,
        heap_factor=0.8,
        knn=0,
        signed=False,
        quantize=True,
        n_jobs=None,
        random_state=None,
    ):
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.algorithm = algorithm
        self.n_postings = n_postings
        self.centroid_fraction = centroid_fraction
        self.min_cluster_size = min_cluster_size
        self.summary_energy = summary_energy
        self.max_fraction = max_fraction
        self.pruning = pruning
        self.query_cut = query_cut
        self.heap_factor = heap_factor
        self.knn = knn
        self.signed = signed
        self.quantize = quantize
        self.n_jobs = n_jobs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Index the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The documents. CSR in single precision takes the least memory.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : SparseNeighbors
            The fitted index.

        Raises
        ------
        ValueError
            If X has NaN or infinite entries, or negative ones without ``signed=True``.

        Warns
        -----
        UserWarning
            If X is dense and more than half of its entries are not zero.
        """
        X, exponent = self._checked(X, reset=True)
        self._exponent = exponent
        self.n_samples_fit_ = X.shape[0]
        if self.algorithm == "exact":
            self._index = None
            self._documents = X
            self._transposed = as_compressed(X.T, "csr")
            arrays = (*_arrays(X), *_arrays(self._transposed))
            self.index_bytes_ = sum(array.nbytes for array in arrays)
            self.n_blocks_ = 0
            self.certificate_ = Certificate(
                "exact", 0.0, 0.0, True, "all inner products are computed"
            )
            return self
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        blocks = Blocks(
            n_postings=self.n_postings,
            fraction=self.centroid_fraction,
            smallest=self.min_cluster_size,
            energy=self.summary_energy,
            longest=self.max_fraction,
            pruning=self.pruning,
            quantize=self.quantize,
        )
        index = build_index(
            X, blocks, signed=self.signed, seed=seed, n_jobs=self.n_jobs
        )
        if self.knn:
            _, graph, _ = search_index(
                index,
                X,
                max(1, min(self.knn, X.shape[0] - 1)),
                query_cut=self.query_cut,
                heap_factor=self.heap_factor,
                itself=True,
                n_jobs=self.n_jobs,
            )
            index = replace(index, graph=graph)
        self._index = index
        self.index_bytes_ = index.n_bytes
        self.n_blocks_ = len(index.step)
        self.certificate_ = Certificate(
            "none", 0.0, np.inf, True, "approximate search: nothing is promised"
        )
        return self

    def kneighbors(
        self,
        X=None,
        n_neighbors=None,
        return_distance=True,
        *,
        query_cut=None,
        heap_factor=None,
    ):
        """Find the nearest documents of queries.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_queries, n_features), default=None
            The queries. None asks for the neighbors of every document but itself.
        n_neighbors : int, default=None
            How many; None for the value of the constructor.
        return_distance : bool, default=True
            Whether scores or distances are returned too.
        query_cut : int, default=None
            Lists to visit; None for the value of the constructor.
        heap_factor : float, default=None
            How boldly blocks are left out; None for the value of the constructor.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Inner products, falling, for ``metric="dot"``; for "cosine" one minus the
            cosine, rising. Where fewer documents have a product other than zero (a
            positive one, for the index), -inf for "dot" and inf for "cosine".
        indices : ndarray of shape (n_queries, n_neighbors)
            The documents; of equal ones the lower first. -1 where there is none.
        """
        check_is_fitted(self)
        k = self._checked_number(n_neighbors, itself=X is None)
        if query_cut is None:
            query_cut = self.query_cut
        elif isinstance(query_cut, bool) or not isinstance(query_cut, Integral):
            raise ValueError(f"query_cut must be an integer, got {query_cut!r}.")
        elif query_cut < 1:
            raise ValueError(f"query_cut must be at least 1, got {query_cut}.")
        if heap_factor is None:
            heap_factor = self.heap_factor
        elif not isinstance(heap_factor, Real) or not heap_factor >= 0:
            raise ValueError(f"heap_factor must not be negative, got {heap_factor!r}.")
        itself = X is None
        if itself:
            exact = self._index is None
            Q = self._documents if exact else self._index.documents
            exponent = self._exponent
        else:
            Q, exponent = self._checked(X, reset=False)
        if self._index is None:
            scores, found = self._exact(Q, k, itself)
        else:
            dtype = self._index.data.dtype
            scores, found, _ = search_index(
                self._index,
                Q.astype(dtype, copy=False),
                k,
                query_cut=query_cut,
                heap_factor=heap_factor,
                itself=itself,
                n_jobs=self.n_jobs,
            )
        if not return_distance:
            return found
        scores = scores.astype(np.float64)
        if self.metric == "cosine":
            return np.maximum(1.0 - scores, 0.0), found
        return np.ldexp(scores, self._exponent + exponent), found

    def kneighbors_graph(self, X=None, n_neighbors=None, mode="connectivity"):
        """Return the nearest documents of queries as a sparse matrix.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_queries, n_features), default=None
            The queries. None asks for the neighbors of every document but itself.
        n_neighbors : int, default=None
            How many; None for the value of the constructor.
        mode : {"connectivity", "distance"}, default="connectivity"
            Entries are one, or the scores or distances of :meth:`kneighbors`.

        Returns
        -------
        graph : csr_array of shape (n_queries, n_samples_fit)
            With at most `n_neighbors` entries a row.
        """
        if mode not in ("connectivity", "distance"):
            raise ValueError(
                f"mode must be 'connectivity' or 'distance', got {mode!r}."
            )
        values, found = self.kneighbors(X, n_neighbors)
        good = found >= 0
        indptr = np.concatenate([[0], np.cumsum(good.sum(axis=1))])
        values = np.ones(indptr[-1]) if mode == "connectivity" else values[good]
        shape = (len(found), self.n_samples_fit_)
        graph = sparse.csr_array((values, found[good], indptr), shape=shape)
        graph.sort_indices()
        return graph

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = not self.signed
        return tags

    def _checked(self, X, *, reset):
        """Return rows without zeros, divided by a power of two, and its exponent."""
        dense = not sparse.issparse(X)
        X = check_samples(
            self, X, reset=reset, accept_sparse="csr", dtype=FLOATS, order=None
        )
        if dense and reset and np.count_nonzero(X) > _DENSE * X.size:
            warnings.warn(
                f"{np.count_nonzero(X) / X.size:.0%} of the entries of X are not zero. "
                "SparseNeighbors stores them as a sparse matrix; for dense data "
                "sklearn.neighbors.NearestNeighbors is the better choice.",
                stacklevel=users_stacklevel(),
            )
        X = as_compressed(X, "csr")
        if not self.signed and (X.data < 0).any():
            raise ValueError(
                "Negative values in data passed to SparseNeighbors: the smallest is "
                f"{X.data.min():.3g}, and the largest values of a block then bound "
                "nothing. Pass signed=True."
            )
        X = X.copy()
        if not (X.data != 0).all():
            X.eliminate_zeros()
        exponent = 0
        if X.nnz:
            exponent = int(np.frexp(np.abs(X.data).max())[1])
            X.data = np.ldexp(X.data, -exponent)
            X.eliminate_zeros()  # what vanished beside the largest entry
        if self.metric == "cosine":
            X = normalize_rows(X)
        return X, exponent

    def _checked_number(self, n_neighbors, itself):
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
            raise ValueError(f"n_neighbors must be a positive integer, got {k!r}.")
        most = self.n_samples_fit_ - itself
        if k > most:
            raise ValueError(
                f"Expected n_neighbors <= {most}, the number of documents"
                f"{' other than the query' if itself else ''}, got {k}."
            )
        return int(k)

    def _exact(self, Q, k, itself):
        """Return scores and documents of exact search."""
        from sparsestat.sparse._kernels_topk import sort_rows_by_value

        product = topk_product(Q, self._transposed, k + itself, n_jobs=self.n_jobs)
        scores = np.full((Q.shape[0], k + itself), -np.inf, product.dtype)
        found = np.full((Q.shape[0], k + itself), -1, np.int64)
        sort_rows_by_value(*_arrays(product), scores, found)
        if itself:
            # Itself, or else the last of one document too many, goes to the end.
            own = found == np.arange(len(found))[:, None]
            own[~own.any(axis=1), -1] = True
            order = np.argsort(own, axis=1, kind="stable")[:, :k]
            scores = np.take_along_axis(scores, order, axis=1)
            found = np.take_along_axis(found, order, axis=1)
        return scores, found


def _arrays(X):
    return X.data, X.indices, X.indptr
