"""Block-diagonal times N:M sparse times block-diagonal, by exact block descent.

Matrices are kept as a stack of block columns, (n_block_columns, n_rows, block), padded
with zeros to whole blocks. Padding stays out of the factors by itself: its rows and
columns of the core start at zero and have no gradient.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.validation import read_only
from sparsestat.decomposition import _kernels_select as select
from sparsestat.decomposition._factors import _kernels_core as kernels

__all__ = ["SemiStructured", "factorize"]

# Steps are regularized towards where they start, by this part of the mean curvature:
# the loss falls at each of them, and a singular system has a solution.
_RIDGE = 1e-10


@dataclass(frozen=True)
class SemiStructured:
    """Three factors and how they were found.

    Parameters
    ----------
    left : ndarray of shape (n_block_rows, block, block)
        Blocks of the left factor.
    core : ndarray of shape (n_rows, n_columns)
        The sparse factor, unpadded.
    right : ndarray of shape (n_block_columns, block, block)
        Blocks of the right factor.
    history : list of float
        Loss relative to that of zero: at the start, then after each sweep.
    change : float
        Last fall of the loss, relative to the loss before.
    """

    left: np.ndarray
    core: np.ndarray
    right: np.ndarray
    history: list
    change: float


def factorize(
    W, d, n, m, block, *, tol, max_iter, rotations=None, n_jobs=None, step=None
):
    """Lower ``sum_ij d_j (W - A S B)_ij^2`` from pruning on, one factor at a time.

    Parameters
    ----------
    W : ndarray of shape (n_rows, n_columns)
        The matrix.
    d : ndarray of shape (n_columns,)
        Non-negative importance of the columns, not all zero.
    n, m : int
        At most n of every m neighbors in a row of S; m divides `block`.
    block : int
        Size of the blocks of A and B; the last ones may be smaller.
    tol : float
        Stop when a sweep lowers the loss by at most `tol` relative to itself.
    max_iter : int
        Largest number of sweeps.
    rotations : RandomState, default=None
        Draws orthogonal blocks to start from. None starts from identities and the
        entries of W of most weight.
    n_jobs : int, default=None
        Threads for the core.
    step : callable, default=None
        Called with the loss; returning True stops.

    Returns
    -------
    result : SemiStructured
    """
    size = float(np.abs(W).max()) or 1.0
    size = 2.0 ** np.floor(np.log2(size))
    fit = _Descent(W / size, d / 2.0 ** np.floor(np.log2(d.max())), n, m, block, n_jobs)
    if rotations is not None:
        fit.rotate(W.shape, rotations)
    history, change = [fit.loss()], np.inf
    for _ in range(max_iter):
        kept = fit.factors()
        if history[-1] > 0:
            fit.improve_left()
            fit.improve_right()
            fit.improve_core()
        loss = fit.loss()
        if loss >= history[-1]:  # nothing is left but rounding
            fit.restore(kept)
            loss = history[-1]
        change = 0.0 if loss == history[-1] else 1.0 - loss / history[-1]
        history.append(loss)
        if (step is not None and step(loss)) or change <= tol:
            break
    A, S, B = fit.normalized()
    core = S.transpose(1, 0, 2).reshape(S.shape[1], -1)
    core = np.ascontiguousarray(core[: W.shape[0], : W.shape[1]]) * size
    return SemiStructured(A, core, B, history, float(change))


class _Descent:
    """Factors, residual, and the three steps that lower the loss."""

    def __init__(self, W, d, n, m, block, n_jobs):
        rows, columns = (-(-size // block) for size in W.shape)
        padded = np.zeros((rows * block, columns * block))
        padded[: W.shape[0], : W.shape[1]] = W
        weights = np.zeros(columns * block)
        weights[: len(d)] = d
        start = np.empty_like(padded)
        scores = np.abs(padded) * np.sqrt(weights)
        select.keep_n_of_m(
            read_only(padded.ravel()), read_only(scores.ravel()), n, m, start.ravel()
        )
        self.n_rows, self.n_columns, self.block, self.m = rows, columns, block, m
        self.n_jobs = n_jobs
        self.W, self.S = self._stack(padded), self._stack(start)
        self.d = weights.reshape(columns, 1, block)
        self.A = np.tile(np.eye(block), (rows, 1, 1))
        self.B = np.tile(np.eye(block), (columns, 1, 1))
        choices = list(itertools.combinations(range(m), min(n, m)))
        self.masks = read_only(np.array(choices, dtype=np.int64))
        self.zero_loss = self._weighted(self.W)
        self._take_residual()

    def _stack(self, M):
        """Return the block columns of a padded matrix, one after the other."""
        shape = (M.shape[0], self.n_columns, self.block)
        return np.ascontiguousarray(M.reshape(shape).transpose(1, 0, 2))

    def _blocks(self, M):
        """View a stack as blocks (n_block_columns, n_block_rows, block, block)."""
        return M.reshape(self.n_columns, self.n_rows, self.block, self.block)

    def _by_rows(self, M):
        """Return a stack as block rows (n_block_rows, block, all columns)."""
        blocks = self._blocks(M).transpose(1, 2, 0, 3)
        return blocks.reshape(self.n_rows, self.block, -1)

    def _left_times(self, M):
        return np.matmul(self.A, self._blocks(M)).reshape(M.shape)

    def _weighted(self, M):
        return float(np.einsum("crj,crj,cj->", M, M, self.d[:, 0]))

    def _take_residual(self):
        self.R = self.W - self._left_times(np.matmul(self.S, self.B))

    def loss(self):
        """Return the loss relative to that of zero."""
        if self.zero_loss == 0:
            return 0.0
        return self._weighted(self.R) / self.zero_loss

    def factors(self):
        return self.A.copy(), self.S.copy(), self.B.copy()

    def restore(self, factors):
        self.A, self.S, self.B = factors

    def rotate(self, shape, rng):
        """Start from random orthogonal blocks and an empty core, then fill that."""
        for blocks, size in ((self.A, shape[0]), (self.B, shape[1])):
            for k, block in enumerate(blocks):
                b = min(self.block, size - k * self.block)
                block[:b, :b] = np.linalg.qr(rng.standard_normal((b, b)))[0]
        self.S[:] = 0.0
        self.R = self.W.copy()
        self.improve_core()

    def improve_left(self):
        """Fit the rows of each block row on those of S B."""
        P = self._by_rows(np.matmul(self.S, self.B))
        R = self._by_rows(self.R)
        weighted = P * self.d.ravel()
        grams = np.matmul(weighted, P.transpose(0, 2, 1))
        sides = np.matmul(weighted, R.transpose(0, 2, 1))
        for k in range(self.n_rows):
            change = _solve(grams[k], sides[k])
            self.A[k] += change.T
            R[k] -= change.T @ P[k]
        shape = (self.n_rows, self.block, self.n_columns, self.block)
        R = R.reshape(shape).transpose(2, 0, 1, 3)
        self.R = np.ascontiguousarray(R).reshape(self.W.shape)

    def improve_right(self):
        """Fit each block column on A S; its importances cancel, column by column."""
        Q = self._left_times(self.S)
        grams = np.matmul(Q.transpose(0, 2, 1), Q)
        sides = np.matmul(Q.transpose(0, 2, 1), self.R)
        for c in range(self.n_columns):
            change = _solve(grams[c], sides[c])
            self.B[c] += change
            self.R[c] -= Q[c] @ change

    def improve_core(self):
        """Give each group of S its best mask and values, the others as they stand."""
        right = self.B * self.d
        curvature = np.matmul(right, self.B.transpose(0, 2, 1))
        left = np.matmul(self.A.transpose(0, 2, 1), self.A)
        gradient = self._blocks(np.matmul(self.R, right.transpose(0, 2, 1)))
        gradient = np.matmul(self.A.transpose(0, 2, 1), gradient)
        S, n = self._blocks(self.S), self.masks.shape[1]
        shape = (self.block // self.m, len(self.masks), n, n)

        def improve(c):
            factors = np.zeros(shape)
            kernels.factor_masks(read_only(curvature[c]), self.masks, self.m, factors)
            kernels.improve_core(
                gradient[c],
                read_only(left),
                read_only(curvature[c]),
                read_only(factors),
                self.masks,
                self.m,
                S[c],
            )

        run_parallel(
            improve,
            [(c,) for c in range(self.n_columns)],
            n_jobs=self.n_jobs,
            require="sharedmem",
        )
        self._take_residual()

    def normalized(self):
        """Return factors with unit columns in A and unit rows in B; S has the scale."""
        a, b = np.linalg.norm(self.A, axis=1), np.linalg.norm(self.B, axis=2)
        a, b = (np.where(norms > 0, norms, 1.0) for norms in (a, b))
        S = self.S * a.reshape(1, -1, 1) * b[:, None, :]
        return self.A / a[:, None, :], S, self.B / b[:, :, None]


def _solve(gram, sides):
    """Return the step from the normal equations, damped towards none."""
    ridge = _RIDGE * np.trace(gram) / len(gram)
    if not ridge > 0:
        return np.zeros_like(sides)
    damped = gram.copy()
    damped[np.diag_indices_from(damped)] += ridge
    try:
        return linalg.solve(damped, sides, assume_a="pos", check_finite=False)
    except linalg.LinAlgError:  # curvatures of too different sizes
        return np.zeros_like(sides)
