r"""Semi-structured factorization: N:M sparsity between block-diagonal matrices.

.. math:: \min_{A, S, B} \sum_{ij} d_j (W - A S B)_{ij}^2
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    align_sparse_interface,
    fit_context,
)
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.samples import check_samples
from sparsestat.decomposition._factors._calibration import VALUE_BITS, column_importance
from sparsestat.decomposition._factors._semi_structured_fit import factorize
from sparsestat.sparse import spmm

__all__ = ["SemiStructuredFactorization"]

_MOST_MASKS = 1000


class SemiStructuredFactorization(CallbackSupportMixin, SparsestatEstimator):
    r"""A matrix as block-diagonal times N:M sparse times block-diagonal.

    Lowers

    .. math:: \sum_{ij} d_j (W - A S B)_{ij}^2

    with A and B block-diagonal and S with at most N entries in every M neighbors of a
    row, the pattern that hardware multiplies fast. The importance :math:`d_j` of a
    column is the mean square of what it will be multiplied with. From plain pruning
    (A and B identities) the loss only falls: the answer is never worse than
    :func:`project_nm` with these importances. Use it where N:M pruning of a linear map
    costs too much accuracy; where the map is of low rank, a truncated singular value
    decomposition takes fewer bits. Read more in the
    :ref:`User Guide <semi_structured_factorization>`.

    Parameters
    ----------
    n : int, default=2
        Number of entries kept in each group of a row of S.
    m : int, default=4
        Size of the groups; the last one of a row may be smaller.
    block_size : int, default=32
        Size of the blocks of A and B, a multiple of `m`; the last ones may be smaller.
    init : {"identity", "rotation"}, default="identity"
        ``"identity"`` starts from pruning. ``"rotation"`` starts from random
        orthogonal blocks, and from pruning after all if that ends above it.
    max_iter : int, default=200
        Largest number of sweeps over A, B and S.
    tol : float, default=1e-3
        Stop when a sweep lowers the loss by at most `tol` relative to itself.
    n_jobs : int, default=None
        Threads for the core. The result does not depend on it.
    random_state : int, RandomState instance or None, default=None
        Draws the rotations.
    verbose : int, default=0
        At 1 and above, log a line per sweep.

    Attributes
    ----------
    left_blocks_ : list of ndarray of shape (block, block)
        Diagonal blocks of A, with columns of unit norm.
    core_ : csr_array of shape (n_rows, n_columns)
        The sparse factor S, which has the scale.
    right_blocks_ : list of ndarray of shape (block, block)
        Diagonal blocks of B, with rows of unit norm.
    loss_ : float
        The loss relative to that of zero.
    baseline_loss_ : float
        The same for pruning alone.
    history_ : ndarray of shape (n_iter_ + 1,)
        The relative loss at the start and after each sweep; never rises.
    n_bits_ : int
        Bits of the factors: 16 a value, and the choice of each group.
    certificate_ : Certificate
        Kind ``monotone_bound``: the last relative fall of the loss.
    n_iter_ : int
        Number of sweeps.
    n_features_in_ : int
        Number of columns seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, when W has string column names.

    Raises
    ------
    ValueError
        If `n` exceeds `m`, `m` does not divide `block_size`, or there are more than
        1000 choices of n of m.

    Warns
    -----
    ConvergenceWarning
        If the loss was still falling at `max_iter`.

    See Also
    --------
    project_nm : Pruning alone.
    CalibratedSparseFactorization : A dictionary and sparse codes.
    quantize_rows : Few levels in place of few entries.

    Notes
    -----
    A sweep solves for each block of A, then of B, by least squares, and gives every
    group of S its best mask and values by trying all masks, with all else fixed:
    O(n_rows n_columns (block_size + C(m, n) n^2 / m)) operations, and memory for some
    six arrays of the size of W. Least squares are damped towards the last iterate by
    1e-10 of the mean curvature, so that no step can raise the loss. The problem is not
    convex and the answer depends on the start.

    Model, proxy loss and start are those of ARMOR [1]_, which takes steps of Adam on A
    and B and changes one group of each block a step. The exact block descent is ours.

    References
    ----------
    .. [1] L. Liu et al., "ARMOR: high-performance semi-structured pruning via adaptive
       matrix factorization", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import SemiStructuredFactorization
    >>> rng = np.random.default_rng(0)
    >>> W = rng.standard_normal((64, 8)) @ rng.standard_normal((8, 64))
    >>> model = SemiStructuredFactorization(block_size=16).fit(W)
    >>> bool(model.loss_ < 0.05 * model.baseline_loss_)
    True
    >>> model.n_bits_ / (16 * W.size)  # of half precision
    1.046875
    """

    _parameter_constraints: dict = {
        "n": [Interval(Integral, 1, None, closed="left")],
        "m": [Interval(Integral, 1, None, closed="left")],
        "block_size": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"identity", "rotation"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n=2,
        *,
        m=4,
        block_size=32,
        init="identity",
        max_iter=200,
        tol=1e-3,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n = n
        self.m = m
        self.block_size = block_size
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, calibration=None, gram=None, importance=None):
        """Factorize a weight matrix.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_columns)
            The weight matrix W; its columns meet the data.
        y : None
            Ignored.
        calibration : array-like of shape (n_samples, n_columns), default=None
            Data that W will act on, ``W @ calibration.T``; a column's importance is
            the mean square of its data.
        gram : array-like of shape (n_columns, n_columns), default=None
            Second moments of the data, in place of `calibration`; their diagonal is
            used.
        importance : array-like of shape (n_columns,), default=None
            Importances, in place of both. All three None weighs columns alike.

        Returns
        -------
        self : SemiStructuredFactorization
            Fitted estimator.
        """
        W = check_samples(self, X)
        self._check_pattern()
        d = column_importance(W.shape[1], calibration, gram, importance)
        block = min(self.block_size, -(-max(W.shape) // self.m) * self.m)
        with FitProgress(self, self.max_iter, X=X, verbose=self.verbose) as progress:

            def run(rotations, max_iter, step=None):
                return factorize(
                    W,
                    d,
                    min(self.n, self.m),
                    self.m,
                    block,
                    tol=self.tol,
                    max_iter=max_iter,
                    rotations=rotations,
                    n_jobs=self.n_jobs,
                    step=step,
                )

            def step(loss):
                return progress.step(loss=loss)

            rotate = self.init == "rotation"
            rng = check_random_state(self.random_state) if rotate else None
            found = run(rng, self.max_iter, step)
            baseline = run(None, 0).history[0] if rotate else found.history[0]
            if found.history[-1] > baseline:
                found = run(None, self.max_iter)
        self.left_blocks_ = _cropped(found.left, W.shape[0])
        self.right_blocks_ = _cropped(found.right, W.shape[1])
        self.core_ = align_sparse_interface(sparse.csr_array(found.core))
        self.history_ = np.array(found.history)
        self.loss_, self.baseline_loss_ = found.history[-1], baseline
        self.n_iter_ = len(found.history) - 1
        self.n_bits_ = self._count_bits(W.shape)
        self.certificate_ = Certificate(
            "monotone_bound",
            found.change,
            float(self.tol),
            bool(found.change <= self.tol),
            "last fall of the loss / loss",
            {
                "loss": self.loss_,
                "baseline_loss": self.baseline_loss_,
                "n_bits": self.n_bits_,
            },
        )
        warn_if_unsatisfied(
            self.certificate_,
            "SemiStructuredFactorization did not converge: the last fall",
            "Raise max_iter or tol.",
        )
        return self

    def _check_pattern(self):
        if self.n > self.m:
            raise ValueError(
                f"n={self.n} exceeds m={self.m}: at most m of m can be kept."
            )
        if self.block_size % self.m:
            raise ValueError(
                f"m={self.m} does not divide block_size={self.block_size}. Groups may "
                "not cross blocks: choose a multiple of m."
            )
        n_masks = math.comb(self.m, self.n)
        if n_masks > _MOST_MASKS:
            raise ValueError(
                f"There are {n_masks} ways to keep n={self.n} of m={self.m}, and all "
                f"are tried: choose a pattern with at most {_MOST_MASKS}, such as 4:8."
            )

    def _count_bits(self, shape):
        """Return 16 bits a value, and for each group the bits that tell its choice."""
        n_rows, n_columns = shape
        bits = VALUE_BITS * sum(
            block.size for block in (*self.left_blocks_, *self.right_blocks_)
        )
        sizes = [self.m] * (n_columns // self.m) + [n_columns % self.m]
        for size in sizes:
            kept = min(self.n, size)
            choices = math.comb(size, kept)
            bits += n_rows * (kept * VALUE_BITS + math.ceil(math.log2(choices)))
        return bits

    def reconstruct(self):
        """Return the matrix that the factors stand for.

        Returns
        -------
        W : ndarray of shape (n_rows, n_columns)
            A S B.
        """
        check_is_fitted(self)
        SB = np.hstack(
            [
                self.core_[:, start : start + len(block)] @ block
                for start, block in _placed(self.right_blocks_)
            ]
        )
        return _apply(self.left_blocks_, SB)

    def matmul(self, X):
        """Multiply by the factors, without forming their product.

        Parameters
        ----------
        X : array-like of shape (n_columns,) or (n_columns, n_vectors)
            What to multiply.

        Returns
        -------
        Y : ndarray of shape (n_rows,) or (n_rows, n_vectors)
            ``reconstruct() @ X``.
        """
        check_is_fitted(self)
        X = np.asarray(X)
        n_columns = self.core_.shape[1]
        if X.ndim not in (1, 2) or X.shape[0] != n_columns:
            raise ValueError(
                f"X has shape {X.shape}, but its first dimension must be {n_columns}, "
                "the number of columns of the matrix."
            )
        columns = X[:, None] if X.ndim == 1 else X
        inner = spmm(self.core_, _apply(self.right_blocks_, columns))
        Y = _apply(self.left_blocks_, inner)
        return Y[:, 0] if X.ndim == 1 else Y


def _cropped(blocks, size):
    """Return the blocks without the padding of the last one."""
    b = blocks.shape[1]
    kept = [min(b, size - start) for start in range(0, size, b)]
    return [
        np.ascontiguousarray(block[:k, :k])
        for block, k in zip(blocks, kept, strict=True)
    ]


def _placed(blocks):
    """Yield the first row of each diagonal block, and the block."""
    start = 0
    for block in blocks:
        yield start, block
        start += len(block)


def _apply(blocks, X):
    """Multiply a block-diagonal matrix with a dense one."""
    return np.vstack([b @ X[start : start + len(b)] for start, b in _placed(blocks)])
