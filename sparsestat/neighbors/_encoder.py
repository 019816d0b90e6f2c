r"""MUVERA: vectors of fixed length whose inner products approximate Chamfer similarity.

.. math:: \mathrm{Chamfer}(Q, X) = \sum_{q \in Q} \max_{x \in X} \langle q, x \rangle

Dhulipala, Hadian, Jayaram, Lee, Mirrokni, "MUVERA: Multi-vector retrieval via fixed
dimensional encodings", NeurIPS 2024.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.results import Certificate, users_stacklevel
from sparsestat.neighbors._sets import as_sets, chamfer, draw_encoding, encode

__all__ = ["FixedDimensionalEncoder"]

_BLOCK_BYTES = 1 << 26  # dense queries that are made sparse at a time


class FixedDimensionalEncoder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, SparsestatEstimator
):
    r"""Encode sets of vectors so that inner products stand for Chamfer similarity.

    A document is a set of vectors, such as one for each patch of an image or each token
    of a text, and so is a query. Random hyperplanes cut space into buckets; a query is
    encoded by the sum of its vectors in each bucket, a document by their mean, and an
    empty bucket of a document by its vector with the nearest code. Vectors that are
    near each other mostly share a bucket, so that the inner product of the two
    encodings, over several repetitions, ranks documents as

    .. math::
        \mathrm{Chamfer}(Q, X) = \sum_{q \in Q} \max_{x \in X} \langle q, x \rangle

    does, and one search for the largest inner product replaces a search for each vector
    of the query. The value itself is too low, often by a factor of three: use the
    encodings to choose candidates, and :meth:`score_chamfer` to rank them. When there
    are few documents, rank them all. Read more in :ref:`User Guide <retrieval>`.

    Parameters
    ----------
    n_repetitions : int, default=20
        Independent partitions R, whose encodings stand side by side.
    n_bits : int, default=4
        Hyperplanes k of a partition, which has :math:`2^k` buckets. At most 16.
    projection_dim : int, default=None
        Length p to which vectors are projected at random in each repetition. None keeps
        them whole.
    projection : {"ams", "sign"}, default="ams"
        Add up coordinates with random signs in p places, as the authors' code does, or
        multiply by a dense matrix of signs, as their theorem assumes. Either leaves
        inner products unbiased.
    fill_empty : bool, default=True
        Whether empty buckets of documents take the vector whose code differs in the
        fewest bits, the first of equal ones.
    final_dim : int, default=None
        Length to which the whole encoding is brought by adding up entries with random
        signs. None leaves it at R times :math:`2^k` times p.
    scale : bool, default=True
        Divide by the square root of R, so that the inner product is the mean over the
        repetitions.
    allow_empty : bool, default=False
        Encode empty sets by zeros instead of refusing them.
    dtype : {"float32", "float64"}, default="float32"
        Type of the encodings.
    max_memory : float, default=4e9
        Bytes that a dense result may take.
    n_jobs : int, default=None
        Threads. The result is the same for every number.
    random_state : int, RandomState instance or None, default=None
        Seed. Queries and documents must be encoded by the same fitted encoder.

    Attributes
    ----------
    hyperplanes_ : ndarray of shape (n_features_in_, n_repetitions * n_bits)
        Normals of the hyperplanes, a column each.
    projections_ : ndarray of shape (n_features_in_, n_repetitions * projection_dim)
        The random projections side by side, or None.
    n_components_ : int
        Length of an encoding.
    certificate_ : Certificate
        Of kind "exact": encodings are a closed form. Nothing is said about how well
        they rank.
    n_features_in_ : int
        Length of the vectors.

    See Also
    --------
    SparseNeighbors : Search for the largest inner products of sparse vectors.
    sklearn.random_projection.SparseRandomProjection : For single vectors.

    Notes
    -----
    Sets are given as a sequence of arrays of shape (n_i, h); as a tuple of all vectors
    (N, h) and offsets (n + 1,); as an array (n, m, h); or as a tuple of such an array
    and a boolean mask (n, m). Encoding a set does not depend on the others. Cost is two
    dense products, N h R (k + p), and one pass over the projected vectors. Without a
    projection and final sketch the estimate is never above the Chamfer similarity, up
    to rounding: a mean is no larger than a maximum.

    References
    ----------
    .. [1] L. Dhulipala, M. Hadian, R. Jayaram, J. Lee, V. Mirrokni, "MUVERA:
       Multi-vector retrieval via fixed dimensional encodings", NeurIPS, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.neighbors import FixedDimensionalEncoder
    >>> rng = np.random.default_rng(0)
    >>> documents = [rng.normal(size=(n, 8)) for n in (3, 5, 4)]
    >>> query = [documents[1][:2]]
    >>> encoder = FixedDimensionalEncoder(random_state=0).fit(documents)
    >>> scores = encoder.transform_query(query) @ encoder.transform(documents).T
    >>> int(scores.argmax()), int(encoder.score_chamfer(query, documents).argmax())
    (1, 1)
    """

    _parameter_constraints = {
        "n_repetitions": [Interval(Integral, 1, None, closed="left")],
        "n_bits": [Interval(Integral, 0, 16, closed="both")],
        "projection_dim": [Interval(Integral, 1, None, closed="left"), None],
        "projection": [StrOptions({"ams", "sign"})],
        "fill_empty": ["boolean"],
        "final_dim": [Interval(Integral, 1, None, closed="left"), None],
        "scale": ["boolean"],
        "allow_empty": ["boolean"],
        "dtype": [StrOptions({"float32", "float64"})],
        "max_memory": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_repetitions=20,
        *,
        n_bits=4,
        projection_dim=None,
        projection="ams",
        fill_empty=True,
        final_dim=None,
        scale=True,
        allow_empty=False,
        dtype="float32",
        max_memory=4e9,
        n_jobs=None,
        random_state=None,
    ):
        self.n_repetitions = n_repetitions
        self.n_bits = n_bits
        self.projection_dim = projection_dim
        self.projection = projection
        self.fill_empty = fill_empty
        self.final_dim = final_dim
        self.scale = scale
        self.allow_empty = allow_empty
        self.dtype = dtype
        self.max_memory = max_memory
        self.n_jobs = n_jobs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Draw the hyperplanes and projections for vectors of the length of X's.

        Parameters
        ----------
        X : sequence of array-like, tuple or ndarray
            Sets of vectors; see Notes of the class. Only their length is used.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : FixedDimensionalEncoder
            The fitted encoder.

        Raises
        ------
        ValueError
            If vectors have different lengths, or NaN or infinite entries, or a set is
            empty.

        Warns
        -----
        UserWarning
            If `projection_dim` is larger than the length of the vectors.
        """
        values, _ = as_sets(X, allow_empty=self.allow_empty)
        h = values.shape[1]
        if self.projection_dim is not None and self.projection_dim > h:
            warnings.warn(
                f"projection_dim={self.projection_dim} is larger than the vectors, "
                f"which have {h} entries: encodings get longer without getting better. "
                "Pass projection_dim=None to keep the vectors whole.",
                stacklevel=users_stacklevel(),
            )
        self.n_features_in_ = h
        self._encoding = draw_encoding(
            h,
            R=self.n_repetitions,
            k=self.n_bits,
            p=self.projection_dim,
            projection=self.projection,
            final_dim=self.final_dim,
            scale=self.scale,
            dtype=np.dtype(self.dtype),
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
        )
        self.hyperplanes_ = self._encoding.hyperplanes
        self.projections_ = self._encoding.projections
        self.n_components_ = self.final_dim or self._encoding.n_columns
        self.certificate_ = Certificate(
            "exact", 0.0, 0.0, True, "closed form: nothing is iterated to a tolerance"
        )
        return self

    def transform(self, X):
        """Encode documents.

        Parameters
        ----------
        X : sequence of array-like, tuple or ndarray
            Sets of vectors; see Notes of the class.

        Returns
        -------
        encodings : ndarray of shape (n_sets, n_components_)
            A row for each set.
        """
        values, offsets = self._sets(X, "X")
        return self._encode(values, offsets, is_document=True)

    def transform_query(self, X, *, sparse_output=False):
        """Encode queries.

        Parameters
        ----------
        X : sequence of array-like, tuple or ndarray
            Sets of vectors; see Notes of the class.
        sparse_output : bool, default=False
            Return a sparse array: a query has few vectors, and its other buckets are
            empty.

        Returns
        -------
        encodings : ndarray or csr_array of shape (n_sets, n_components_)
            A row for each set.
        """
        values, offsets = self._sets(X, "X")
        if not sparse_output:
            return self._encode(values, offsets, is_document=False)
        row = self.n_components_ * np.dtype(self.dtype).itemsize
        step = max(1, _BLOCK_BYTES // row)
        blocks = []
        for first in range(0, len(offsets) - 1, step):
            part = offsets[first : first + step + 1]
            points = values[part[0] : part[-1]]
            blocks.append(
                sparse.csr_array(
                    self._encode(points, part - part[0], is_document=False)
                )
            )
        return sparse.vstack(blocks, format="csr")

    def score_chamfer(self, Q, X, *, candidates=None):
        """Return exact Chamfer similarities.

        Parameters
        ----------
        Q : sequence of array-like, tuple or ndarray
            The queries, as sets.
        X : sequence of array-like, tuple or ndarray
            The documents, as sets.
        candidates : array-like of shape (n_queries, n_candidates), default=None
            Numbers of the documents to score for each query; -1 stands for none. None
            scores all documents.

        Returns
        -------
        scores : ndarray of shape (n_queries, n_documents or n_candidates)
            In double precision; -inf where there is no candidate. An empty document has
            similarity zero.
        """
        documents = self._sets(X, "X")
        queries = self._sets(Q, "Q")
        if candidates is not None:
            candidates = np.asarray(candidates)
            n_queries, n = len(queries[1]) - 1, len(documents[1]) - 1
            if candidates.dtype.kind not in "iu" or candidates.ndim != 2:
                raise ValueError(
                    "candidates must be an integer array of shape (n_queries, "
                    f"n_candidates), got {candidates.dtype} of shape "
                    f"{candidates.shape}."
                )
            if len(candidates) != n_queries:
                raise ValueError(
                    f"candidates has {len(candidates)} rows for {n_queries} queries."
                )
            if candidates.size and not (
                -1 <= candidates.min() and candidates.max() < n
            ):
                raise ValueError(
                    f"candidates must be from -1 to {n - 1}, got values from "
                    f"{candidates.min()} to {candidates.max()}."
                )
        return chamfer(queries, documents, candidates, n_jobs=self.n_jobs)

    @property
    def _n_features_out(self):
        return self.n_components_

    def _sets(self, X, name):
        """Return validated sets of vectors of the fitted length."""
        check_is_fitted(self)
        values, offsets = as_sets(X, name=name, allow_empty=self.allow_empty)
        if len(values) and values.shape[1] != self.n_features_in_:
            raise ValueError(
                f"The vectors of {name} have {values.shape[1]} entries, but those of "
                f"the fit had {self.n_features_in_}."
            )
        if not len(values):
            values = np.empty((0, self.n_features_in_))
        return values, offsets

    def _encode(self, values, offsets, *, is_document):
        shape = (len(offsets) - 1, self.n_components_)
        dtype = self._encoding.hyperplanes.dtype
        size = shape[0] * shape[1] * dtype.itemsize
        if size > self.max_memory:
            raise MemoryError(
                f"Encodings of shape {shape} take {size / 1e9:.1f} GB, more than "
                f"max_memory={self.max_memory:.3g} bytes. Encode in batches, which "
                "changes nothing, or use final_dim or a smaller projection_dim."
            )
        return encode(
            self._encoding,
            values,
            offsets,
            np.zeros(shape, dtype),
            is_document=is_document,
            fill=is_document and self.fill_empty,
            n_jobs=self.n_jobs,
        )
