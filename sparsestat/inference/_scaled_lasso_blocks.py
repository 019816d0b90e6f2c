"""The scaled Lasso on rows in blocks: solved on a square root of their moments."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from types import SimpleNamespace

import numpy as np

from sparsestat._utils.arithmetic import dot, power_of_two
from sparsestat._utils.moments import (
    check_width,
    fold_moments,
    merge_folds,
    merge_sums,
    numeric_targets,
    residual_sums,
    square_root,
)
from sparsestat.inference._scaled_lasso_solver import (
    gap_rounding,
    scaled_lasso,
    universal_strength,
)

__all__ = ["scaled_lasso_of_blocks"]


def _without_mean(root):
    """Return rows with the same products whose mean is zero, one more than in `root`.

    A reflection takes the vector of ones to the last axis, where the added row is zero.
    """
    rows = np.vstack([root, np.zeros(root.shape[1])])
    axis = np.full(len(rows), 1.0 / np.sqrt(len(rows)))
    axis[-1] += 1.0
    return rows - np.outer(axis, (2.0 / (axis @ axis)) * (axis @ rows))


def scaled_lasso_of_blocks(blocks, *, factor, tol, max_iter):
    """Return what the scaled Lasso stores, measured on the rows.

    Parameters
    ----------
    blocks : RowBlocks
    factor, tol, max_iter : number
        As in ``ScaledLasso``.

    Returns
    -------
    found : SimpleNamespace
        Of `coef`, `intercept`, `sigma`, `sigma_df`, `strength`, `n_iter`, `gap`,
        `rounding`, `collapsed`.
    """
    p = blocks.n_features
    check_width("ScaledLasso", p)
    moments = blocks.reduce(fold_moments, merge_folds, None, numeric_targets)[0]
    if len(moments.mean) != p + 1:
        raise ValueError(
            f"y should be a 1d array, got one with {len(moments.mean) - p} columns."
        )
    n = moments.n_rows
    if moments.weight != n:
        raise ValueError("ScaledLasso takes no sample weights; leave them out.")
    products = moments.products(centered=True)
    spreads = np.sqrt(np.maximum(products.diagonal(), 0.0) / n)
    scales = np.where(spreads[:p] > 0.0, spreads[:p], 1.0)
    unit = power_of_two(spreads[p])
    rows = _without_mean(square_root(products))
    rows *= np.sqrt(len(rows) / n)
    strength = universal_strength(factor, n, int((spreads[:p] > 0.0).sum()))
    # Contiguous, since the Lasso inside would copy it each time.
    Z, y = np.asfortranarray(rows[:, :p] / scales), rows[:, p] / unit
    solution = scaled_lasso(Z, y, strength, tol=tol, max_iter=max_iter)
    coef = solution.coef * unit / scales
    center = moments.center
    squares, dots, Q, sums, columns, _ = blocks.reduce(
        residual_sums,
        merge_sums,
        center[:p],
        center[p:],
        coef.reshape(p, 1, 1),
        numeric_targets,
    )
    mean = float(sums[0, 0]) / n  # rounding has left it
    square = max(float(squares[0]) - n * mean * mean, 0.0)
    q = (Q[:, 0, 0] - columns * mean) / scales
    level = float(np.sqrt(square / n))
    free = n - 1 - np.count_nonzero(coef)
    gap = error = 0.0
    if spreads[p] > 0.0:
        standard = coef * scales
        gap = _gap(n, square, float(dots[0]), q, standard, strength) / spreads[p]
        chain = max(blocks.sizes) // 8 + len(blocks.sizes) + 16
        ones, terms = np.ones(p), n + len(blocks.sizes)
        error = gap_rounding(terms, chain, standard / spreads[p], ones, strength)
    return SimpleNamespace(
        coef=coef,
        intercept=float(center[p]) - dot(center[:p], coef),
        sigma=level,
        sigma_df=float(np.sqrt(square / free)) if free > 0 else 0.0,
        strength=strength,
        n_iter=solution.n_iter,
        gap=max(gap, 0.0),
        rounding=error,
        collapsed=solution.collapsed,
    )


def _gap(n, square, target_dot, q, coef, strength):
    """Return the duality gap of the square-root Lasso from sums over the rows."""
    norm, root = np.sqrt(square), np.sqrt(n)
    primal = norm / root + strength * float(np.abs(coef).sum())
    if norm == 0.0:
        return primal
    largest = float(np.abs(q).max(initial=0.0)) / norm
    share = min(1.0, strength * root / largest) if largest > 0.0 else 1.0
    return primal - share * target_dot / norm / root
