r"""Harmonic functions on graphs: minimize :math:`\sum_{ij} W_{ij} (x_i - x_j)^2`.

The values of labeled nodes are given. Those of the others solve
:math:`(D - W)_{uu}\, x_u = W_{uS}\, y_S`, a sparse positive definite system.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np
from joblib import effective_n_jobs

from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.validation import read_only, read_only_triple
from sparsestat.linear_model._forests._forest_cg import SweptSystem, relative_residuals
from sparsestat.linear_model._forests._forests import SparseSystem, static_blocks
from sparsestat.linear_model._graphs import _kernels_southwell as kernels

__all__ = ["METHODS", "GraphSolution", "harmonic_system", "solve_graph"]

METHODS = ("cg", "direct", "greedy_tree", "gs", "red_black", "tree_partition")
# Gradients that are kept up to date gather rounding errors.
REFRESH = 500
# A sweep visits a tree several times: small ones stay in the cache meanwhile. In a
# graph of few cycles long trees do most of the work, and all of it in a tree.
LARGEST_TREE, FEW_CYCLES = 256, 1.5


@dataclass
class GraphSolution:
    """Values of the unlabeled nodes that are connected to a label.

    Parameters
    ----------
    W : ndarray of shape (m, k)
    n_iter : int
    history : list of float
        Largest relative residual after each iteration.
    block : ndarray of int or None
        Forest or color of each node, where the method has fixed ones.
    mean_block : float
        Mean number of nodes that were solved for at once.
    """

    W: np.ndarray
    n_iter: int = 1
    history: list = field(default_factory=list)
    block: object = None
    mean_block: float = 0.0


def harmonic_system(graph, labeled, Y):
    """Reduce a graph to the nodes whose values have to be found.

    Parameters
    ----------
    graph : csr_array of shape (n, n)
        Symmetric, non-negative, float64.
    labeled : ndarray of bool of shape (n,)
    Y : ndarray of shape (n, k)
        Values of the labeled nodes; other rows are not read.

    Returns
    -------
    order : ndarray of int of shape (m,)
        The unlabeled nodes that are connected to a label, breadth first.
    system : SparseSystem
    B : ndarray of shape (m, k)
    """
    triple = read_only_triple(graph)
    order = np.empty(len(labeled), np.int64)
    found = kernels.explore(*triple, read_only(labeled), order)
    order = order[:found].copy()
    position = np.full(len(labeled), -1)
    position[order] = np.arange(found)
    diag, *off, B = kernels.reduce_graph(
        *triple, read_only(order), read_only(position), read_only(Y)
    )
    return order, SparseSystem(diag, *off), B


def solve_graph(system, B, *, method, tol, max_iter, n_jobs=None, step=None):
    """Solve A W = B to a relative residual of `tol` in every column.

    Parameters
    ----------
    system : SparseSystem
    B : ndarray of shape (m, k)
    method : {"cg", "direct", "greedy_tree", "gs", "red_black", "tree_partition"}
    tol : float
    max_iter : int
    n_jobs : int, default=None
        Threads over the columns (``"cg"`` only). The result is the same for all.
    step : callable, default=None
        Called with the residual of each iteration; a true answer stops.

    Returns
    -------
    solution : GraphSolution
    """
    if system.n == 0:
        return GraphSolution(np.zeros(B.shape))
    if method == "direct":
        return _direct(system, B)
    if method == "cg":
        return _forest_cg(system, B, tol, max_iter, n_jobs, step)
    return _descent(system, B, method, tol, max_iter, step)


def _direct(system, B):
    from scipy import sparse
    from scipy.sparse.linalg import splu

    data, indices, indptr = system.triple
    off = sparse.csr_array((data, indices, indptr), shape=(system.n, system.n))
    A = sparse.csc_array(off + sparse.diags_array(system.diag))
    factor = splu(
        A,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    W = np.ascontiguousarray(factor.solve(B))
    # One step of iterative refinement.
    W -= factor.solve(system.residual(W, B))
    residual = relative_residuals(system.residual(W, B), B)
    return GraphSolution(W, 1, [float(residual.max())], mean_block=float(system.n))


def _forest_cg(system, B, tol, max_iter, n_jobs, step):
    n_edges = len(system.triple[1]) // 2
    largest = None if n_edges <= FEW_CYCLES * system.n else LARGEST_TREE
    block, forests = static_blocks(system, "tree_partition", largest)
    mean_block = system.n / len(forests)
    swept = SweptSystem(system, forests)
    del forests
    width = B.shape[1]
    groups = np.array_split(np.arange(width), min(width, effective_n_jobs(n_jobs)))
    W = np.zeros(B.shape)

    def solve(group, report):
        whole = len(group) == width
        part = W if whole else np.zeros((system.n, len(group)))
        right = B if whole else np.ascontiguousarray(B[:, group])
        found = swept.solve(part, right, tol=tol, max_iter=max_iter, step=report)
        if not whole:
            W[:, group] = part
        return found

    # Progress is told by the first group, which is as good as any other.
    tasks = [(g, step if k == 0 else None) for k, g in enumerate(groups)]
    # The workers write into W, hence threads.
    found = run_parallel(solve, tasks, n_jobs=len(groups), require="sharedmem")
    n_iter = max(used for used, _ in found)
    longest = max((history for _, history in found), key=len)
    return GraphSolution(W, n_iter, longest, block, mean_block)


def _descent(system, B, method, tol, max_iter, step):
    """Block coordinate descent, one block (or one pass over fixed blocks) a step."""
    W = np.zeros(B.shape)
    G = -B
    worst = float(relative_residuals(G, B).max())
    history, block, nodes = [worst], None, 0
    n = system.n
    if method in ("tree_partition", "red_black"):
        block, forests = static_blocks(system, method)
        nodes = n / len(forests)
    elif method == "greedy_tree":
        chosen, scratch = np.empty(n, np.int64), np.empty((3, n), np.int64)
        steps = 0
    else:
        heap, place = np.empty((2, n), np.int64)
        key = system.scores(G, system.diag)
        kernels.build_heap(read_only(key), heap, place)
        nodes = 1.0
    used = 0
    while worst > tol and used < max_iter:
        if block is not None:
            for forest in forests:
                system.step_on(forest, W, G)
        elif method == "greedy_tree":
            order = np.argsort(-system.scores(G, system.diag), kind="stable")
            forest = system.greedy_forest(order, chosen, scratch)
            system.step_on(forest, W, G)
            steps += len(forest)
            nodes = steps / (used + 1)
        else:
            kernels.southwell(*system.triple, system.diag, W, G, key, heap, place, n)
        used += 1
        worst = float(relative_residuals(G, B).max())
        if worst <= tol or used % REFRESH == 0:
            system.residual(W, B, G)
            worst = float(relative_residuals(G, B).max())
            if method == "gs":
                key[:] = system.scores(G, system.diag)
                kernels.build_heap(read_only(key), heap, place)
        history.append(worst)
        if step is not None and step(worst):
            break
    return GraphSolution(W, used, history, block, float(nodes))
