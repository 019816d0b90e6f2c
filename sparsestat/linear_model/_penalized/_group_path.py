"""Paths of the group Lasso from moments of the data, in one call."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized._gram_path import (
    BUDGET,
    LEAST_TOL,
    MOST_BYTES,
    MOST_FEATURES,
    points_of,
)

__all__ = ["group_results", "suits_group_gram"]


def suits_group_gram(problem, alphas, l1_ratio):
    """Whether a path of groups is solved on the Gram matrix of all features."""
    design = problem.design
    n, p = design.n_samples, design.n_features
    return (
        l1_ratio == 0.0
        and problem.target.ndim == 1
        and problem.copies is None
        and design.prefers_gram
        and p <= MOST_FEATURES
        and 8.0 * n * p <= MOST_BYTES
        and problem.tol >= LEAST_TOL
        and problem.weights.min() > 0.0
        and np.isfinite(problem.weights).all()
        and len(alphas) > 3
        and alphas[-1] > 0.0
    )


def _rotations(G, groups):
    """Return arrays of members and of eigenvectors, for the groups of each size."""
    out = []
    for size in np.unique(groups.sizes):
        starts = groups.ptr[:-1][groups.sizes == size]
        members = starts[:, None] + np.arange(size)
        if size > 1:
            blocks = G[members[:, :, None], members[:, None, :]]
            out.append((members, np.linalg.eigh(blocks)[1]))
    return out


def _gap_rounding(problem, yy, c, W, strengths, scales):
    """Bound the rounding errors of the gaps that moments give."""
    design, groups = problem.design, problem.groups
    reach = np.sqrt(yy) + np.abs(W) @ np.sqrt(design.squares)
    unit = rounding(design.n_samples + 8 + 8 * int(groups.sizes.max()))
    longest = np.sqrt(groups.sums(design.squares))
    steepest = (longest / problem.weights).max() / strengths
    target_dot = np.abs(yy - W @ c)
    return unit * reach**2 + 3.0 * unit * steepest * reach * target_dot * scales


def group_results(problem, alphas, verbose=0):
    """Return the results of a path, or None where no strength could be solved.

    Parameters
    ----------
    problem : GroupProblem
        For which :func:`suits_group_gram` is true.
    alphas : ndarray of shape (n_alphas,)
        In decreasing order.
    verbose : int, default=0
    """
    from sparsestat.linear_model._penalized import _kernels_group_path as kernels

    design, y, groups = problem.design, problem.target, problem.groups
    yy = float(y @ y)
    if yy == 0.0:
        return None
    A = design.block(np.arange(design.n_features))
    B = A[:, groups.order]
    G, c = B.T @ B, B.T @ y
    rotations = _rotations(G, groups)
    for members, V in rotations:
        G[:, members] = np.einsum("pgs,gst->pgt", G[:, members], V)
        c[members] = np.einsum("gst,gs->gt", V, c[members])
    for members, V in rotations:
        G[members] = np.einsum("gst,gsp->gtp", V, G[members])
    K, p = len(alphas), design.n_features
    rotated, gaps, info = np.zeros((K, p)), np.zeros((K, 3)), np.zeros((K, 3), np.int64)
    inside = problem.total * np.asarray(alphas, dtype=np.float64) / problem.alpha_unit
    n_solved = kernels.group_gram_path(
        read_only(np.ascontiguousarray(G)),
        read_only(c),
        yy,
        read_only(groups.ptr.astype(np.int64)),
        read_only(np.asarray(problem.weights, dtype=np.float64)),
        inside,
        problem.tol * yy,
        min(BUDGET, problem.limits["max_epochs"]),
        rotated,
        gaps,
        info,
    )
    if n_solved == 0:
        return None
    for members, V in rotations:
        rotated[:, members] = np.einsum("gst,kgt->kgs", V, rotated[:, members])
    W = np.zeros((K, p))
    W[:, groups.order] = rotated
    W[:, design.squares == 0.0] = 0.0
    errors = _gap_rounding(problem, yy, A.T @ y, W, inside, gaps[:, 2])
    return points_of(
        problem, W, gaps, info, n_solved, errors, alphas, 0.0, verbose, A=A
    )
