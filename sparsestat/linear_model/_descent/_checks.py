"""Checks of what block coordinate descent is given: data, blocks, combinations."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_X_y

from sparsestat._utils.samples import given_weights
from sparsestat._utils.validation import as_compressed, check_magnitude
from sparsestat.linear_model._descent import _rules as rules
from sparsestat.linear_model._penalized import _datafits as datafits
from sparsestat.linear_model._penalized._class_datafits import Softmax
from sparsestat.linear_model._penalized._survival import Cox

__all__ = [
    "checked_blocks",
    "checked_data",
    "checked_rule",
    "checked_start",
    "checked_tree_rule",
]


def checked_rule(rule, update, loss, penalty, blocks, block_size, finish):
    """Return the rule in use, or raise ValueError."""
    if rule == "auto":
        rule = "gsd" if penalty is None else "gs-q"
    if penalty is not None and rule in rules.SMOOTH:
        raise ValueError(
            f"rule={rule!r} is for smooth problems, but penalty={penalty!r} was given. "
            f"Use one of {', '.join(rules.PROXIMAL)}."
        )
    if loss in ("poisson", "cox") and update in ("gradient", "diagonal", "matrix"):
        raise ValueError(
            f"update={update!r} needs an upper bound of the Hessian, which "
            f"loss={loss!r} does not have. Use update='newton' or 'adaptive'."
        )
    wanted = {"two_metric": "nonneg", "projected_newton": "l1"}.get(update)
    if wanted is not None and penalty != wanted:
        raise ValueError(
            f"update={update!r} is for penalty={wanted!r}, got {penalty!r}. Use "
            "update='newton'."
        )
    if update == "exact_1d" and (
        loss != "squared" or block_size != 1 or not isinstance(blocks, str)
    ):
        raise ValueError(
            "update='exact_1d' is the closed form for loss='squared' and block_size=1. "
            "Use update='matrix' for larger blocks."
        )
    if finish and penalty in ("mcp", "scad"):
        raise ValueError(
            f"finish=True is for penalty None, 'l1' and 'nonneg', got {penalty!r}."
        )
    return rule


def checked_tree_rule(rule, update, penalty, blocks):
    if penalty is not None:
        raise ValueError(
            f"blocks={blocks!r} solves smooth systems exactly and takes no penalty, "
            f"got {penalty!r}. Use blocks='variable'."
        )
    if update != "matrix":
        raise ValueError(
            f"blocks={blocks!r} needs update='matrix', got {update!r}. Use "
            "blocks='variable' for other updates."
        )
    allowed = {
        "greedy_tree": ("gs", "gsl", "gsd"),
        "random_tree": ("random",),
        "tree_partition": ("cyclic", "perm", "random", "gs"),
        "red_black": ("cyclic", "perm", "random", "gs"),
    }[blocks]
    if rule == "auto":
        return "gsl" if blocks == "greedy_tree" else allowed[0]
    if rule not in allowed:
        raise ValueError(
            f"blocks={blocks!r} goes with rule {', '.join(allowed)}, got {rule!r}."
        )
    return rule


def checked_blocks(blocks, p):
    """Return a partition as sorted index arrays, or the name as it is."""
    if isinstance(blocks, str):
        return blocks
    parts = [np.asarray(part) for part in blocks]
    if not parts or any(q.ndim != 1 or q.dtype.kind not in "iu" for q in parts):
        raise ValueError("blocks must be a list of one-dimensional index arrays.")
    counts = np.zeros(p, dtype=int)
    for part in parts:
        if len(part) == 0 or part.min() < 0 or part.max() >= p:
            raise ValueError(
                f"blocks must hold indices within 0..{p - 1} and no empty block."
            )
        np.add.at(counts, part, 1)
    if (counts != 1).any():
        wrong = np.flatnonzero(counts != 1)[:5].tolist()
        raise ValueError(
            f"blocks must hold each of the {p} coordinates exactly once, but "
            f"{wrong} are missing or repeated."
        )
    return [np.sort(part) for part in parts]


def checked_data(X, y, loss, sample_weight):
    """Return a checked design, the datafit, and the classes if there are any."""
    X, y = check_X_y(
        X,
        y,
        accept_sparse=["csc", "csr"],
        dtype=np.float64,
        order="F",
        multi_output=loss == "cox",
        y_numeric=loss not in ("logistic", "softmax"),
    )
    if sparse.issparse(X):
        X = as_compressed(X, "csc", dtype=np.float64)
    check_magnitude(X)
    check_magnitude(y, name="y")
    weights = given_weights(sample_weight, X)
    if loss == "cox":
        if y.ndim != 2 or y.shape[1] != 2:
            raise ValueError(
                f"loss='cox' needs y of shape (n_samples, 2) with times and events, "
                f"got {y.shape}."
            )
        if not y[:, 1].any():
            raise ValueError("All samples are censored: no event is in y[:, 1].")
        return X, Cox(y[:, 0], y[:, 1] != 0, weights), None
    if loss in ("logistic", "softmax"):
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y has a single class, {classes[0]!r}; two are needed.")
        if loss == "softmax":
            return X, Softmax(codes, len(classes), weights), classes
        if len(classes) > 2:
            raise ValueError(
                f"loss='logistic' is for two classes, y has {len(classes)}. Use "
                "loss='softmax'."
            )
        return X, datafits.Logistic(codes, weights), classes
    if loss == "poisson":
        if y.min() < 0:
            raise ValueError(f"Counts must not be negative, the least is {y.min()}.")
        return X, datafits.Poisson(y, weights), None
    if loss == "huber":
        return X, datafits.Huber(y, weights), None
    return X, datafits.LeastSquares(y, weights), None


def checked_start(coef_init, shape, penalty):
    """Return a copy of the coefficients to start from."""
    start = check_array(
        coef_init,
        ensure_2d=False,
        dtype=np.float64,
        copy=True,
        input_name="coef_init",
    )
    if start.shape != shape:
        raise ValueError(f"coef_init must have shape {shape}, got {start.shape}.")
    if penalty == "nonneg" and start.min() < 0:
        raise ValueError("coef_init must not be negative for penalty='nonneg'.")
    return start
