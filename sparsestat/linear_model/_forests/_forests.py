r"""Forests in sparse positive definite matrices, and linear-time solves on them.

If the graph of ``A[b, b]`` has no cycle, Gaussian elimination from the leaves to the
roots creates no fill, so that :math:`A_{bb} d = -g_b` costs O(|b|).
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np

from sparsestat._utils.validation import as_compressed, read_only, read_only_triple
from sparsestat.linear_model._forests import _kernels_forest as kernels

__all__ = ["Forest", "SparseSystem", "static_blocks"]

SYMMETRY = 1e-10


class SparseSystem:
    """A symmetric positive definite matrix, its diagonal apart from the rest.

    Parameters
    ----------
    diag : ndarray of shape (n,)
    data, indices, indptr : ndarray
        The entries beside the diagonal, both triangles, in CSR form.
    """

    def __init__(self, diag, data, indices, indptr):
        self.diag = read_only(diag)
        self.triple = read_only(data), read_only(indices), read_only(indptr)

    @classmethod
    def from_matrix(cls, A):
        """Check a matrix and split it.

        Parameters
        ----------
        A : {array-like, sparse matrix} of shape (n, n)

        Returns
        -------
        system : SparseSystem

        Raises
        ------
        ValueError
            If A is not square, not finite, not symmetric to 1e-10 relative to its
            largest entry, or has a diagonal entry that is not positive.
        """
        A = as_compressed(A, "csr", dtype=np.float64)
        if A.shape[0] != A.shape[1]:
            raise ValueError(f"A must be square, got shape {A.shape}.")
        if A.shape[0] == 0:
            raise ValueError("A is empty: its shape is (0, 0).")
        if not np.isfinite(A.data).all():
            raise ValueError("A contains NaN or infinity.")
        triple = read_only_triple(A)
        largest = np.abs(A.data).max(initial=0.0)
        worst = kernels.asymmetry(*triple)
        if worst > SYMMETRY * largest:
            raise ValueError(
                f"A must be symmetric, but |A_ij - A_ji| reaches {worst:.3g} where the "
                f"largest entry is {largest:.3g}. Pass (A + A.T) / 2 if it is "
                "symmetric up to rounding."
            )
        diag, *rest = kernels.split_diagonal(*triple)
        if diag.min() <= 0:
            raise ValueError(
                f"A is not positive definite: its diagonal entry {int(diag.argmin())} "
                f"is {diag.min():.3g}."
            )
        return cls(diag, *rest)

    @property
    def n(self):
        """Number of nodes."""
        return len(self.diag)

    def residual(self, W, B, out=None):
        """Return A W - B."""
        G = np.empty_like(W) if out is None else out
        kernels.residual(*self.triple, self.diag, W, read_only(B), G)
        return G

    def greedy_forest(self, order, chosen=None, scratch=None):
        """Choose nodes in the given order unless they close a cycle.

        Returns
        -------
        forest : Forest
            Acyclic, and maximal: no other node can be added.
        """
        n = self.n
        _, indices, indptr = self.triple
        chosen = np.empty(n, np.int64) if chosen is None else chosen
        scratch = np.empty((3, n), np.int64) if scratch is None else scratch
        order = read_only(order)
        size = kernels.grow_forest(indices, indptr, order, chosen, *scratch)
        return self._forest(order, chosen, 1, size)

    def _forest(self, order, block, chosen, size):
        sequence, up = np.empty((2, size), np.int64)
        link, pivot = np.empty((2, size))
        kernels.breadth_first(*self.triple, order, block, chosen, sequence, up, link)
        bad = kernels.factor_forest(self.diag, sequence, up, link, pivot)
        if bad >= 0:
            raise ValueError(
                "A is not positive definite: elimination on a forest met a pivot of "
                f"{pivot[bad]:.3g} at index {sequence[bad]}, whose diagonal entry is "
                f"{self.diag[sequence[bad]]:.3g}."
            )
        return Forest(sequence, up, link, pivot)

    def step_on(self, forest, W, G):
        """Minimize exactly over the nodes of a forest, and keep G = A W - B."""
        step = np.empty((len(forest.sequence), W.shape[1]))
        kernels.solve_forest(
            forest.sequence, forest.up, forest.link, forest.pivot, G, step
        )
        kernels.apply_step(*self.triple, self.diag, forest.sequence, step, W, G)
        return step

    def scores(self, G, scale):
        """Return ||G_j||^2 / scale_j."""
        out = np.empty(self.n)
        kernels.scores(G, read_only(scale), out)
        return out


@dataclass(frozen=True)
class Forest:
    """Nodes in breadth-first order with parents, links and eliminated pivots.

    Parameters
    ----------
    sequence : ndarray of int
        The nodes.
    up : ndarray of int
        Position of each node's parent, -1 for roots.
    link : ndarray
        Matrix entry between a node and its parent.
    pivot : ndarray
        Diagonal after elimination.
    """

    sequence: np.ndarray
    up: np.ndarray
    link: np.ndarray
    pivot: np.ndarray

    def __len__(self):
        return len(self.sequence)

    def solve(self, G):
        """Return the step d with A_bb d = -G_b, by position."""
        step = np.empty((len(self), G.shape[1]))
        kernels.solve_forest(self.sequence, self.up, self.link, self.pivot, G, step)
        return step


def static_blocks(system, kind, largest=None):
    """Partition the nodes once and for all.

    Parameters
    ----------
    system : SparseSystem
    kind : {"tree_partition", "red_black"}
    largest : int, default=None
        Nodes in a tree at most; None sets no limit.
        Forests, or sets of nodes without a link between them. Nodes are placed in
        order of decreasing diagonal, into the first block that takes them.

    Returns
    -------
    block : ndarray of int of shape (n,)
        Number of each node's block.
    forests : list of Forest
    """
    n = system.n
    _, indices, indptr = system.triple
    order = read_only(np.argsort(-system.diag, kind="stable"))
    block = np.empty(n, np.int64)
    if kind == "tree_partition":
        largest = n if largest is None else largest
        n_blocks = kernels.partition_forests(indices, indptr, order, block, largest)
    else:
        n_blocks = kernels.color_nodes(indices, indptr, order, block)
    sizes = np.bincount(block, minlength=n_blocks)
    by_block = np.argsort(block, kind="stable")
    ends = np.cumsum(sizes)
    forests = [
        system._forest(
            read_only(by_block[ends[f] - sizes[f] : ends[f]]), block, f, int(sizes[f])
        )
        for f in range(n_blocks)
    ]
    return block, forests
