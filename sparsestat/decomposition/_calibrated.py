"""Sparse factorization of a matrix in the norm of the data it will act on."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import linalg, sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.arithmetic import power_of_two
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    align_sparse_interface,
    fit_context,
)
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.samples import check_samples
from sparsestat._utils.validation import (
    LARGEST_ENTRY,
    largest_entry,
    read_only,
)
from sparsestat.decomposition._factors import _kernels_omp as kernels
from sparsestat.decomposition._factors._calibration import (
    VALUE_BITS,
    root_of_moments,
    second_moments_of,
    sparse_bits,
)

__all__ = ["CalibratedSparseFactorization"]


class CalibratedSparseFactorization(CallbackSupportMixin, SparsestatEstimator):
    r"""Dictionary times sparse codes, accurate on calibration data.

    Lowers

    .. math:: \|X (W - D S)\|_F, \quad \text{columns of } S \text{ with few entries,}

    for a weight matrix W and calibration data X, with D `dictionary_` and S `codes_`.
    With :math:`X^\top X / N = R^\top R` this is dictionary learning on the columns of
    R W, done by K-SVD. Use it to compress linear maps whose columns lie near several
    subspaces; when one subspace is enough, a truncated singular value decomposition
    of R W is better. Read more in the :ref:`User Guide <calibrated_factorization>`.

    Parameters
    ----------
    n_components : int, default=32
        Number of atoms.
    n_nonzero : int, default=4
        Largest number of atoms in a column.
    ridge : float, default=1e-6
        Added to the diagonal of the second moments, relative to its mean.
    tol : float, default=1e-4
        Stop when the error falls by at most `tol` of the norm of R W.
    max_iter : int, default=50
        Largest number of rounds of coding and updating.
    random_state : int, RandomState instance or None, default=None
        Draws the columns that start the dictionary.
    verbose : int, default=0
        At 1 and above, log a line per round.

    Attributes
    ----------
    dictionary_ : ndarray of shape (n_rows, n_components)
        Atoms as columns, of unit norm after calibration.
    codes_ : csc_array of shape (n_components, n_columns)
        Sparse codes.
    error_ : float
        ``||R (W - D S)||_F / ||R W||_F``.
    n_bits_ : int
        Bits of both factors: 16 a value, and the indices of the codes.
    history_ : ndarray of shape (n_iter_,)
        The error after each round; never rises.
    certificate_ : Certificate
        Kind ``monotone_bound``: the last fall of the error.
    n_iter_ : int
        Number of rounds.
    n_features_in_ : int
        Number of columns seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, when W has string column names.

    See Also
    --------
    OrthogonalDictionary : Orthogonal atoms, codes without iteration.
    SemiStructuredFactorization : N:M sparse cores between block-diagonal factors.

    Notes
    -----
    A round costs O(n_rows n_columns n_components) in matrix products and
    O(n_nonzero n_components + n_nonzero^3) for each column. The problem is not
    convex. A code is replaced only by a better one.

    References
    ----------
    .. [1] M. Aharon, M. Elad, A. Bruckstein, "K-SVD: an algorithm for designing
       overcomplete dictionaries for sparse representation", IEEE TSP 54, 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import CalibratedSparseFactorization
    >>> rng = np.random.default_rng(0)
    >>> W = rng.standard_normal((20, 60))
    >>> model = CalibratedSparseFactorization(30, n_nonzero=3, random_state=0).fit(W)
    >>> model.codes_.shape, model.codes_.nnz <= 180
    ((30, 60), True)
    """

    objective_history_ = OldAttribute("history_")

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_nonzero": [Interval(Integral, 1, None, closed="left")],
        "ridge": [Interval(Real, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components=32,
        *,
        n_nonzero=4,
        ridge=1e-6,
        tol=1e-4,
        max_iter=50,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.n_nonzero = n_nonzero
        self.ridge = ridge
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, calibration=None, gram=None):
        """Factorize a weight matrix.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_columns)
            The weight matrix W; its rows meet the columns of the data.
        y : None
            Ignored.
        calibration : array-like of shape (n_samples, n_rows), default=None
            Data that W will act on. None weighs all rows alike.
        gram : array-like of shape (n_rows, n_rows), default=None
            Second moments of the data, in place of `calibration`.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        W = check_samples(self, X, largest=LARGEST_ENTRY)
        R = self._root(W.shape[0], calibration, gram)
        target = W if R is None else R @ W
        unit = power_of_two(largest_entry(target))
        target = target / unit
        scale = np.linalg.norm(target) or 1.0
        D = self._start(target, check_random_state(self.random_state))
        codes = np.zeros((W.shape[1], D.shape[1]))
        history, change, before = [], np.inf, np.linalg.norm(target) / scale
        with FitProgress(self, self.max_iter, X=X, verbose=self.verbose) as progress:
            for _ in range(self.max_iter):
                codes = self._code(target, D, codes)
                rest = target - D @ codes.T
                _update_atoms(D, codes, rest)
                rest = target - D @ codes.T
                history.append(float(np.linalg.norm(rest) / scale))
                change, before = before - history[-1], history[-1]
                if progress.step(error=before) or change <= self.tol:
                    break
        self.dictionary_ = D if R is None else linalg.solve_triangular(R, D)
        self.codes_ = align_sparse_interface(sparse.csc_array(codes.T * unit))
        self.error_ = history[-1]
        self.n_bits_ = VALUE_BITS * D.size + sparse_bits(self.codes_.nnz, D.shape[1])
        self.history_ = np.array(history)
        self.n_iter_ = len(history)
        self.certificate_ = Certificate(
            "monotone_bound",
            float(max(change, 0.0)),
            float(self.tol),
            bool(change <= self.tol),
            "last fall of the error / norm of the calibrated matrix",
            {"error": self.error_, "nnz": int(self.codes_.nnz)},
        )
        warn_if_unsatisfied(
            self.certificate_,
            "CalibratedSparseFactorization did not converge: the last fall",
            "Raise max_iter or tol.",
        )
        return self

    def reconstruct(self):
        """Return the matrix that the factors stand for.

        Returns
        -------
        W : ndarray of shape (n_rows, n_columns)
            ``dictionary_ @ codes_``.
        """
        check_is_fitted(self)
        return np.asarray((self.codes_.T @ self.dictionary_.T).T)

    def _root(self, n_rows, calibration, gram):
        """Return the upper Cholesky factor of the second moments, or None."""
        C = second_moments_of(n_rows, calibration, gram)
        return None if C is None else root_of_moments(C, self.ridge)

    def _start(self, target, rng):
        """Return unit atoms: columns of the target, then random directions."""
        norms = np.linalg.norm(target, axis=0)
        usable = rng.permutation(np.flatnonzero(norms > 0))[: self.n_components]
        D = rng.standard_normal((target.shape[0], self.n_components))
        D[:, : len(usable)] = target[:, usable]
        return D / np.linalg.norm(D, axis=0)

    def _code(self, target, D, old):
        """Return better codes by matching pursuit, or the old ones where it fails."""
        k = D.shape[1]
        s = min(self.n_nonzero, k, D.shape[0])
        A, Q = np.ascontiguousarray(target.T @ D), D.T @ D
        codes = np.empty_like(old)
        kernels.omp_rows(
            read_only(A),
            read_only(Q),
            s,
            codes,
            np.empty(k),
            np.empty(s, dtype=np.int64),
            np.empty((s, s)),
            np.empty(s),
        )
        now, then = (((target - D @ c.T) ** 2).sum(axis=0) for c in (codes, old))
        worse = now > then
        codes[worse] = old[worse]
        return codes


def _update_atoms(D, codes, rest):
    """Fit each atom to the columns that use it, then their codes to it; in place.

    `rest` is ``target - D @ codes.T`` and kept up to date.
    """
    for j in range(D.shape[1]):
        used = np.flatnonzero(codes[:, j])
        if not len(used):
            # Nobody uses it, so it may become whatever is fitted worst.
            worst = int(np.argmax((rest**2).sum(axis=0)))
            size = np.linalg.norm(rest[:, worst])
            if size > 0:
                D[:, j] = rest[:, worst] / size
            continue
        E = rest[:, used] + np.outer(D[:, j], codes[used, j])
        d = E @ codes[used, j]
        size = np.linalg.norm(d)
        if size > 0:
            d /= size
            D[:, j], codes[used, j] = d, E.T @ d
            rest[:, used] = E - np.outer(d, codes[used, j])
