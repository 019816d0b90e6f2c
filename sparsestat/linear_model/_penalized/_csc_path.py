"""Paths of the elastic net on sparse columns, in one call of compiled code.

Gaps are measured on the data inside the kernel; what misses the tolerance, or comes too
near to it for its rounding, goes to the working-set solver.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized._gram_path import BUDGET, points_of

__all__ = ["center_share", "csc_results", "suits_csc", "unsigned_columns"]


def suits_csc(problem, alphas):
    """Whether a path is solved on sparse columns in one call."""
    omega = problem.feature_weights
    return (
        problem.design.is_sparse
        and not problem.design.prefers_gram
        and problem.target.ndim == 1
        and (omega is None or omega.min() > 0.0)
        and len(alphas) > 3
        and alphas[-1] > 0.0
    )


def center_share(design, norms):
    """Return how large centers are beside the norms of the centered columns."""
    if not design.fit_intercept:
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.abs(design.means) / norms
    largest = float(np.max(shares, initial=0.0, where=norms > 0.0))
    return largest * np.sqrt(design.total)


def unsigned_columns(design):
    """Return the columns as kernels take them: rows and bounds unsigned."""
    rows = design.indices.view(f"u{design.indices.itemsize}")
    bounds = design.indptr.astype(np.uint64)
    return design.data, read_only(rows), read_only(bounds)


def csc_results(problem, alphas, l1_ratio, verbose=0):
    """Return the results of a path, or None where no strength could be solved.

    Parameters
    ----------
    problem : ElasticNetProblem
        For which :func:`suits_csc` is true.
    alphas : ndarray of shape (n_alphas,)
        In decreasing order.
    l1_ratio : float
    verbose : int, default=0
    """
    from sparsestat.linear_model._penalized import _kernels_csc_path as kernels

    design, y = problem.design, problem.target
    n, p, K = design.n_samples, design.n_features, len(alphas)
    yy = float(y @ y)
    if yy == 0.0 or l1_ratio == 0.0:
        return None
    omega = problem.feature_weights
    multipliers = np.ones(p) if omega is None else omega
    inside = problem.total * np.asarray(alphas, dtype=np.float64) / problem.alpha_unit
    strengths = inside * l1_ratio
    norms = np.sqrt(design.squares)
    # Errors of a product: of its entries, and of the center times the sum of all rows.
    far = center_share(design, norms)
    unit = rounding(design.chain + 4) + far * rounding(n + 4)
    W = np.zeros((K, p))
    gaps, info = np.zeros((K, 7)), np.zeros((K, 3), dtype=np.int64)
    n_solved = kernels.csc_path(
        *unsigned_columns(design),
        design.means,
        design.squares,
        read_only(design.roots if design.is_weighted else np.ones(n)),
        float(design.total),
        read_only(np.ascontiguousarray(y)),
        read_only(multipliers),
        read_only(np.where(np.isfinite(multipliers), multipliers, 0.0)),
        strengths,
        inside * (1.0 - l1_ratio) * problem.coef_unit,
        problem.positive,
        problem.tol * yy,
        min(BUDGET, problem.limits["max_epochs"]),
        unit,
        W,
        gaps,
        info,
    )
    if n_solved == 0:
        return None
    steepest = float(np.max(norms / multipliers)) / strengths
    errors = _rounding(gaps, np.count_nonzero(W, axis=1), n, unit, far, steepest)
    return points_of(
        problem, W, gaps, info, n_solved, errors, alphas, l1_ratio, verbose,
        measured=True,
    )  # fmt: skip


def _rounding(gaps, counts, n, unit, far, steepest):
    """Bound the rounding errors of gaps measured on the data.

    Those of the fit, of the sums, and of the products, which the scaled dual point
    divides by the strengths.
    """
    _, primal, scale, conjugate, size, target_dot, reach = gaps.T
    slip = rounding(1) * (counts + 8) * ((1.0 + 2.0 * far) * reach + size)
    target_dot = np.abs(target_dot)
    errors = slip * (size + 0.5 * slip)
    errors += rounding(n + 8) * (primal + scale * target_dot)
    return errors + steepest * unit * size * scale * target_dot + conjugate
