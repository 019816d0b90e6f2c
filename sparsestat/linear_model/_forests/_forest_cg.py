"""Conjugate gradients preconditioned by a symmetric sweep over forests.

Every right-hand side has steps of its own, so that the columns can be shared out among
threads in any way without changing a digit.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.validation import read_only
from sparsestat.linear_model._forests import _kernels_sweep as kernels

__all__ = ["SweptSystem", "relative_residuals"]

# A check of the true residual costs a product; the residual in the norm of the
# preconditioner is free and is compared with the tolerance through the last check.
RESTART_AFTER = 4


def relative_residuals(G, B):
    """Norms of the columns of G relative to those of B (to the largest, if zero)."""
    scale = np.sqrt(np.einsum("ij,ij->j", B, B))
    top = scale.max(initial=0.0)
    found = np.sqrt(np.einsum("ij,ij->j", G, G))
    return found / np.where(scale > 0, scale, top if top > 0 else 1.0)


class SweptSystem:
    """A sparse system, renumbered forest by forest for symmetric sweeps.

    Parameters
    ----------
    system : SparseSystem
    forests : list of Forest
        A partition of the nodes.
    """

    def __init__(self, system, forests):
        self.system = system
        sizes = np.array([len(f) for f in forests])
        offsets = np.repeat(np.cumsum(sizes) - sizes, sizes)
        up = np.concatenate([f.up for f in forests])
        sequence = np.concatenate([f.sequence for f in forests])
        # A tree is tied to no other of its forest, so that trees may be swept one by
        # one, in the order of their first nodes: neighbors are then close in memory.
        roots = np.flatnonzero(up < 0)
        lengths = np.diff(np.append(roots, system.n))
        order = np.argsort(sequence[roots], kind="stable")
        lengths = lengths[order]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        moved = np.repeat(roots[order] - starts[:-1], lengths) + np.arange(system.n)
        place = np.empty(system.n, np.int64)
        place[moved] = np.arange(system.n)
        up = np.where(up >= 0, place[np.maximum(up + offsets, 0)], -1)[moved]
        self.starts, self.up = read_only(starts), read_only(up)
        self.sequence = read_only(sequence[moved])
        position = np.empty(system.n, np.int64)
        position[self.sequence] = np.arange(system.n)
        self.link = read_only(np.concatenate([f.link for f in forests])[moved])
        self.pivot = read_only(np.concatenate([f.pivot for f in forests])[moved])
        self.diag = read_only(system.diag[self.sequence])
        self.lower = tuple(
            read_only(part)
            for part in kernels.lower_part(
                *system.triple, self.sequence, self.starts, position
            )
        )

    def solve(self, W, B, *, tol, max_iter, step=None):
        """Improve W, in place, until every relative residual is at most `tol`.

        Parameters
        ----------
        W, B : ndarray of shape (n, k)
        tol : float
        max_iter : int
        step : callable, default=None
            Called with the residual of each iteration; a true answer stops.

        Returns
        -------
        n_iter : int
        history : list of float
            Estimates of the largest relative residual.
        """
        n, width = B.shape
        T, S, P, R = np.empty((4, n, width))
        Z = S  # one is no longer needed when the other is filled
        X = W[self.sequence]
        rho, curvature = np.zeros(width), np.empty(width)
        history, used, fails = [], 0, RESTART_AFTER
        ratio = np.zeros(width)
        G = None
        while True:
            if fails >= RESTART_AFTER:
                W[self.sequence] = X
                G = self.system.residual(W, B, G)
                true = relative_residuals(G, B)
                if not history:
                    history.append(float(true.max()))
                if true.max() <= tol or used >= max_iter:
                    return used, history
                R[:] = -G[self.sequence]
                self._forward(R)
                kernels.forest_product(self.up, self.link, self.diag, R, Z, rho)
                measure = true / np.sqrt(np.where(rho > 0, rho, 1.0))
                P[:] = Z
                fails = 0
            kernels.backward_sweep(
                *self.lower, self.starts, self.up, self.link, self.pivot, P, T, S
            )
            self._forward(S)
            kernels.advance(P, T, S, X, R, rho, curvature)
            before = rho.copy()
            kernels.forest_product(self.up, self.link, self.diag, R, Z, rho)
            np.divide(rho, before, out=ratio, where=before > 0)
            kernels.conjugate(P, Z, ratio)
            used += 1
            estimate = float((measure * np.sqrt(rho)).max())
            history.append(estimate)
            stop = step is not None and step(estimate)
            if stop or used >= max_iter:
                fails, max_iter = RESTART_AFTER, used
            elif estimate <= tol:
                W[self.sequence] = X
                G = self.system.residual(W, B, G)
                true = relative_residuals(G, B)
                history[-1] = float(true.max())
                if true.max() <= tol:
                    return used, history
                measure = true / np.sqrt(np.where(rho > 0, rho, 1.0))
                fails += 1

    def _forward(self, S):
        kernels.forward_sweep(
            *self.lower, self.starts, self.up, self.link, self.pivot, S
        )
